/* SPDX-License-Identifier: Apache-2.0
 *
 * http_client.h: thousands of HTTP/1.1 requests to one server at a time, by one thread: non-blocking sockets and epoll.
 *
 *     tn_http_client_create("http://127.0.0.1:8000", &options, &client);
 *     tn_http_client_send(client, request, size, 7);            // the bytes of a whole request; 7 names it in the calls back
 *     while (tn_http_client_num_active(client) > 0) tn_http_client_wait(client, -1);
 *
 * Connections are kept and used again. A kept one that the server has closed meanwhile costs nothing: the request goes out again
 * over a new one, as long as no byte of an answer came. Plain http only; https is refused by name.
 * Threads: one.
 */
#ifndef TN_CLI_HTTP_CLIENT_H_
#define TN_CLI_HTTP_CLIENT_H_

#include "base/report.h"
#include "cli/http_response.h"

typedef struct tn_http_client tn_http_client;

typedef struct tn_http_client_options {
    const tn_allocator *allocator; /* borrowed; NULL: malloc */
    tn_diag *diag;                 /* NULL: stderr */
    int64_t timeout_ns;            /* of a request, from send to its end; 0: none */
    void *context;
    /* A piece of a body; read_ns: when it was read. False gives the request up: on_end follows, with `error` "given up". */
    bool (*on_body)(void *context, uint64_t request, const tn_http_response *response, const char *bytes, size_t size_bytes,
                    int64_t read_ns);
    /* The request is over. error NULL: the whole answer was there. Neither call back sends: a server that is gone would make it recurse. */
    void (*on_end)(void *context, uint64_t request, const tn_http_response *response, const char *error, int64_t end_ns);
} tn_http_client_options;

/* "http://host[:port][/prefix]": `prefix` goes before each path; "" if there is none. Strings are owned, freed by deinit. */
typedef struct tn_http_address {
    const tn_allocator *allocator;
    char *host, *port, *prefix;
    char *authority; /* for the Host field: host[:port] as in the address */
} tn_http_address;
/* TN_INVALID_ARGUMENT no such address; TN_UNSUPPORTED https; TN_OUT_OF_MEMORY */
TN_MUST_CHECK tn_status tn_http_address_parse(const char *text, const tn_allocator *allocator, tn_diag *diag, tn_http_address *out_address);
void tn_http_address_deinit(tn_http_address *address); /* accepts a zeroed one */

/* Looks the host up and takes its first address that answers. TN_NOT_FOUND: no such host, or nothing listens there. */
TN_MUST_CHECK tn_status tn_http_client_create(const tn_http_address *address, const tn_http_client_options *options,
                                              tn_http_client **out_client);
void tn_http_client_destroy(tn_http_client *client); /* accepts NULL; gives up what is under way, without calls back */

/* `request` is copied. What fails from here on is told by on_end; only TN_OUT_OF_MEMORY is returned, and then on_end does not come. */
TN_MUST_CHECK tn_status tn_http_client_send(tn_http_client *client, const char *request, size_t size_bytes, uint64_t id);
/* Waits for something to happen, at most timeout_ms (−1: for ever), and makes the calls back. */
void tn_http_client_wait(tn_http_client *client, int timeout_ms);
size_t tn_http_client_num_active(const tn_http_client *client);

#endif
