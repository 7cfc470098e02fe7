/* SPDX-License-Identifier: Apache-2.0
 *
 * connection.h: sockets and their time limits. libmicrohttpd knows only idle time, so each connection stands in one queue
 * of deadlines: all members of a queue wait equally long, so new ones go to the end and the first is the next to expire.
 * Only the loop's thread touches connections.
 */
#ifndef TN_SERVER_CONNECTION_H_
#define TN_SERVER_CONNECTION_H_

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct tn_exchange;
struct tn_server;

typedef enum tn_deadline {
    TN_DEADLINE_HEAD,    /* until the headers are there */
    TN_DEADLINE_BODY,    /* until the body is there */
    TN_DEADLINE_IDLE,    /* until the next request */
    TN_DEADLINE_WRITE,   /* until the reader takes something */
    TN_DEADLINE_LEAVING, /* until what the client sent before it ended its side is read */
    TN_DEADLINE_PING,    /* of a stream that waits for tokens */
    TN_DEADLINE_NONE,    /* the executor's turn */
    TN_NUM_DEADLINES,
    TN_DEADLINE_UNLISTED = TN_NUM_DEADLINES, /* at the beginning and at the end */
} tn_deadline;

/* An address that has connections, or had them lately. */
typedef struct tn_peer {
    struct tn_peer *next; /* in its bucket */
    uint8_t address[16];  /* IPv6; IPv4 mapped; of IPv6 the first 64 bits */
    int32_t num_connections, num_key_failures;
    int64_t failures_since_ns;
} tn_peer;

enum { TN_MAX_PATH = 192 };

typedef struct tn_connection {
    struct tn_server *server;
    struct tn_connection *previous, *next; /* in the queue of its deadline */
    tn_peer *peer;
    struct tn_exchange *exchange; /* NULL between requests */
    int fd;
    tn_deadline deadline;
    int64_t deadline_ns;
    uint64_t bytes_acked;   /* by the reader, when a write deadline was set */
    bool is_gone;           /* the client has left, or was made to */
    bool is_leaving;        /* the client has ended its side */
    bool has_answered;      /* something was sent: no more bare answers */
    char path[TN_MAX_PATH]; /* of the request at hand, as sent, without what follows '?' */
    bool is_path_cut;       /* it is longer: no route has it */
    size_t target_size;     /* with what follows '?' */
    struct sockaddr_storage address;
} tn_connection;

typedef struct tn_deadline_queue {
    tn_connection *first, *last;
    int64_t timeout_ns;
} tn_deadline_queue;

/* Moves the connection to the end of that queue, its time begins now. */
void tn_connection_set_deadline(tn_connection *connection, tn_deadline deadline);
/* Ends what is due. */
void tn_connections_expire(struct tn_server *server);
/* When the next is due: milliseconds from now, -1: never. */
int tn_connections_next_timeout_ms(const struct tn_server *server);
/* The client has left, or has to: its work is cancelled and its socket shut; libmicrohttpd then ends the connection. */
void tn_connection_abandon(tn_connection *connection);
void tn_connection_destroy(tn_connection *connection); /* libmicrohttpd closes the socket */
/* Answers without libmicrohttpd, where that takes no answer; then the socket is shut. Over TLS it is only shut. */
void tn_connection_refuse(tn_connection *connection, int status, const tn_text *body);
/* The socket stays for a moment after libmicrohttpd has closed it: a client that still sends would else get a reset in
 * place of the answer that says why nobody reads. */
void tn_connection_linger(tn_connection *connection);

/* --- addresses: peers.c ---------------------------------------------------------------------------------------------------------- */

enum { TN_NUM_PEER_BUCKETS = 1024 };

/* The peer of an address, made if need be; NULL: no memory. */
tn_peer *tn_peers_find(struct tn_server *server, const struct sockaddr_storage *address);
/* Forgets it if nothing is left to know. */
void tn_peers_release(struct tn_server *server, tn_peer *peer);
void tn_peers_deinit(struct tn_server *server);

#endif
