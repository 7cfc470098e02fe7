/* SPDX-License-Identifier: Apache-2.0
 *
 * http.h: a client for tests of servers on 127.0.0.1: bytes go out as they are given, so that wrong ones can be sent, and what
 * comes back is taken apart. All waiting is bounded. Failures of the test machine (no socket) fail the test; what the server
 * does is told.
 *
 *     tn_test_http answer = tn_test_post(port, "/v1/completions", "{\"prompt\": \"a\"}");
 *     assert_int_equal(answer.status, 200);
 *     tn_test_http_free(&answer);
 */
#ifndef TN_TESTS_SUPPORT_HTTP_H_
#define TN_TESTS_SUPPORT_HTTP_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tn_test_http {
    int status;    /* 0: the connection ended without an answer, or time was over */
    char *head;    /* with a NUL; NULL if there is none */
    char *body;    /* chunks put together, with a NUL */
    size_t size;   /* of the body */
    bool is_whole; /* it ended as its head said */
} tn_test_http;

int tn_test_connect(uint16_t port);
/* With a receive buffer of about so many bytes: a reader that takes nothing is soon full. */
int tn_test_connect_small(uint16_t port, int buffer_bytes);
/* False if the server has closed the connection before all was sent. */
bool tn_test_send(int fd, const void *bytes, size_t size);
bool tn_test_send_text(int fd, const char *text);
/* Reads one answer; the connection stays open. `is_head`: it has no body. */
tn_test_http tn_test_receive(int fd, bool is_head);
/* Waits up to timeout_ms until the server has closed the connection; what still comes is thrown away. */
bool tn_test_is_closed(int fd, int timeout_ms);
void tn_test_http_free(tn_test_http *answer);

/* A connection for one exchange. `headers`: further lines, each with its \r\n; NULL: none. */
tn_test_http tn_test_request(uint16_t port, const char *method, const char *path, const char *headers, const char *body);
tn_test_http tn_test_get(uint16_t port, const char *path);
tn_test_http tn_test_post(uint16_t port, const char *path, const char *body);
/* Sends these bytes and reads one answer. */
tn_test_http tn_test_raw(uint16_t port, const void *bytes, size_t size);

#endif
