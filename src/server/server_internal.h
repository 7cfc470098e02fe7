/* SPDX-License-Identifier: Apache-2.0
 *
 * server_internal.h: the server as its own files see it. What belongs to which thread stands at each group of members.
 */
#ifndef TN_SERVER_SERVER_INTERNAL_H_
#define TN_SERVER_SERVER_INTERNAL_H_

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/memory.h"
#include "base/report.h"
#include "base/text.h"
#include "server/connection.h"
#include "server/exchange.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/server.h"
#include "server/tls.h"
#include "tokenizer/tool_calls.h"

struct MHD_Daemon;

enum { TN_MAX_LISTENERS = 8 };

/* A socket whose request was refused unread, until its client has read why. */
typedef struct tn_lingering {
    int fd;
    int64_t end_ns;
} tn_lingering;

struct tn_server {
    /* never change after create */
    tn_server_options options; /* strings are the arena's */
    tn_allocator allocator;
    tn_arena arena;
    tn_executor *executor;
    const tn_tokenizer *tokenizer;
    tn_executor_info limits; /* of the executor: vocabulary, context, batch */
    int64_t created_unix_s;
    uint16_t port;
    char *url;
    bool is_public;         /* reachable from other machines */
    tn_tool_form tool_form; /* how the model's template has calls written */
    uint64_t salt;          /* random: of seeds and of ids */

    /* the loop's */
    struct MHD_Daemon *daemon;
    int epoll, daemon_epoll, wake; /* wake: an eventfd, written by whoever has something for the loop */
    int listeners[TN_MAX_LISTENERS], num_listeners;
    int64_t accept_again_ns; /* descriptors ran out: not before */
    int64_t now_ns;          /* once a turn */
    tn_connection *accepted; /* the one that libmicrohttpd is being told of */
    tn_deadline_queue deadlines[TN_NUM_DEADLINES];
    tn_peer *peers[TN_NUM_PEER_BUCKETS];
    TN_ARRAY(tn_lingering) lingering;
    int64_t next_tick_ns, next_throughput_ns;
    uint32_t num_calm_turns; /* in a row without an event */
    int64_t last_num_steps, last_step_ns, last_num_prompt_tokens, last_num_generated_tokens;

    tn_keys *keys;      /* under `lock`; NULL: none are asked for */
    tn_tls *tls;        /* NULL: plain */
    tn_metrics metrics; /* locked inside */

    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t progress; /* exchanges ended; something to prepare */
    tn_exchange *first_unprepared, *last_unprepared, *first_prepared;
    bool is_started;

    atomic_int num_connections, num_exchanges, num_generations, num_live_jobs;
    atomic_int_fast64_t num_requests, num_queued_requests, num_queued_tokens, num_prompt_logits_bytes;
    atomic_int_fast64_t heartbeat_ns;
    atomic_bool is_draining, is_stalled;
    atomic_bool is_stopping, is_preparer_stopping; /* the loop's end, then the preparer's */
    atomic_bool is_woken;                          /* the loop was told and has not looked yet */
    atomic_uint_fast64_t next_id;
    pthread_t loop, preparer;
    tn_diag *loop_diag, *preparer_diag; /* scratch of these threads */
    pthread_mutex_t log_lock;
};

/* The threads. */
void *tn_server_run_loop(void *server);
void *tn_server_run_preparer(void *server);
/* Something is there for the loop: responses, exchanges that are prepared, its end. */
void tn_server_wake(void *server);
/* Waits for responses, then takes all that are ready: errors of tn_executor_await_all_ready. The loop's, or after its end the thread's that
 * stops the server. */
tn_status tn_server_take_responses(tn_server *server, int64_t timeout_ms);
uint64_t tn_server_next_id(tn_server *server);

/* http.c: libmicrohttpd's side. */
TN_MUST_CHECK tn_status tn_http_start(tn_server *server, tn_diag *diag);
void tn_http_stop(tn_server *server); /* after all connections were abandoned */
/* Goes on with an exchange that was suspended. */
void tn_exchange_resume(tn_exchange *exchange);

/* listener.c: sockets. */
TN_MUST_CHECK tn_status tn_listeners_open(tn_server *server, tn_diag *diag);
void tn_listeners_close(tn_server *server);
/* Takes what is waiting at a listening socket. */
void tn_listeners_accept(tn_server *server, int listener);
void tn_listeners_pause(tn_server *server, int64_t pause_ns);
void tn_listeners_resume(tn_server *server);

/* connection.c: reads what still comes from refused clients. */
void tn_lingering_read(tn_server *server);

/* options.c */
TN_MUST_CHECK tn_status tn_server_check_options(const tn_server_options *options, tn_diag *diag);
TN_MUST_CHECK tn_status tn_server_copy_options(tn_server *server, const tn_server_options *options, tn_diag *diag);

#endif
