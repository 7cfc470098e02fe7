/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange.h: one HTTP request and its answer. The loop's thread owns it; while `phase` is PREPARING the preparer has it.
 *
 * A route's handler looks at the body and does one of three things: it fills the reply (REPLY), it lets the exchange wait for
 * a generation (WAITING), or it starts a stream (STREAMING), and says so in next_phase. It runs in the loop, or, if the body is
 * large, in the preparer; http.c does the rest.
 */
#ifndef TN_SERVER_EXCHANGE_H_
#define TN_SERVER_EXCHANGE_H_

#include "base/text.h"
#include "server/api_error.h"
#include "server/connection.h"

struct MHD_Connection;
struct tn_generation;
typedef struct tn_exchange tn_exchange;

typedef enum tn_method { TN_METHOD_GET = 1, TN_METHOD_POST = 2 } tn_method;

typedef struct tn_route {
    const char *path;
    tn_method method;
    bool is_open;        /* needs no key */
    bool needs_executor; /* refused while draining */
    int fields;          /* the TN_FIELDS_ bit of its body; 0: none */
    void (*handle)(tn_exchange *exchange);
    const char *summary;
} tn_route;

/* NULL, with the error: 404, or 405 with the methods there are in *out_allowed. */
const tn_route *tn_route_find(const char *path, const char *method, const char **out_allowed, tn_api_error *error);
const tn_route *tn_routes(size_t *out_count);

typedef enum tn_phase {
    TN_PHASE_READING,   /* the body comes */
    TN_PHASE_PREPARING, /* the preparer has it */
    TN_PHASE_WAITING,   /* for the whole answer of a generation */
    TN_PHASE_STREAMING,
    TN_PHASE_REPLY, /* the reply is made */
} tn_phase;

struct tn_exchange {
    struct tn_server *server;
    tn_connection *connection;
    struct MHD_Connection *mhd;
    const tn_route *route;      /* NULL: refused before one was found */
    tn_exchange *next_prepared; /* in the preparer's queues */
    uint64_t id, key_salt;
    char key_name[64]; /* "" */
    tn_text body;
    tn_phase phase;      /* the loop's */
    tn_phase next_phase; /* the handler's */
    tn_diag *diag;       /* scratch of the thread that runs the handler */
    bool is_suspended, is_refused_early, is_body_refused;
    char origin[128]; /* that CORS allows; "" */
    int64_t begin_ns;

    /* the reply */
    int status;
    const char *content_type;
    const char *allowed_methods;       /* of 405 and OPTIONS */
    const char *etag, *content_policy; /* of the page's files; NULL: none */
    int retry_after_s;
    tn_text reply; /* of a stream: what was made and not taken */
    size_t num_taken;
    uint64_t num_sent_bytes;

    struct tn_generation *generation;
    bool is_stream, is_stream_ended;
};

/* Fills the reply. The JSON text is the reply's own: append to exchange->reply. */
void tn_exchange_reply(tn_exchange *exchange, int status, const char *content_type);
void tn_exchange_refuse(tn_exchange *exchange, const tn_api_error *error);

#endif
