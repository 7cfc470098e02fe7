/* SPDX-License-Identifier: Apache-2.0
 *
 * http.c: libmicrohttpd's side: its callbacks, and answers in its terms.
 *
 * libmicrohttpd calls `handle` for a request once when its head is there, then with each part of the body, then once more, and
 * again after each resume. All of its functions are called by the loop's thread.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "server/answer.h"
#include "server/generation.h"
#include "server/head_check.h"
#include "server/log.h"
#include "server/prepare.h"
#include "server/server_internal.h"

/* Smaller bodies are read by the loop itself: handing over costs more than tokenizing them. */
enum { MAX_INLINE_BODY = 16384 };

/* --- answers ----------------------------------------------------------------------------------------------------------------------- */

void tn_exchange_reply(tn_exchange *exchange, int status, const char *content_type) {
    exchange->next_phase = TN_PHASE_REPLY;
    exchange->status = status;
    exchange->content_type = content_type;
}

void tn_exchange_refuse(tn_exchange *exchange, const tn_api_error *error) {
    tn_text_reset(&exchange->reply);
    tn_api_error_write(error, &exchange->reply);
    exchange->retry_after_s = error->retry_after_s;
    tn_exchange_reply(exchange, error->status, "application/json");
}

static void add_headers(const tn_exchange *exchange, struct MHD_Response *response) {
    char text[32];
    const tn_server *server = exchange->server;
    if (exchange->content_type != NULL) (void)MHD_add_response_header(response, "Content-Type", exchange->content_type);
    snprintf(text, sizeof text, "req-%llx", (unsigned long long)exchange->id);
    (void)MHD_add_response_header(response, "X-Request-Id", text);
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (exchange->status == 401) (void)MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (exchange->retry_after_s > 0) {
        snprintf(text, sizeof text, "%d", exchange->retry_after_s);
        (void)MHD_add_response_header(response, "Retry-After", text);
    }
    if (exchange->status == 405) (void)MHD_add_response_header(response, "Allow", exchange->allowed_methods);
    if (exchange->etag != NULL) {
        (void)MHD_add_response_header(response, "ETag", exchange->etag);
        (void)MHD_add_response_header(response, "Cache-Control", "no-cache");
        (void)MHD_add_response_header(response, "Content-Security-Policy", exchange->content_policy);
        (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    if (exchange->is_stream) {
        (void)MHD_add_response_header(response, "Cache-Control", "no-store");
        (void)MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* nginx would hold events back */
    }
    if (exchange->origin[0] != '\0') {
        (void)MHD_add_response_header(response, "Access-Control-Allow-Origin", exchange->origin);
        (void)MHD_add_response_header(response, "Vary", "Origin");
        if (exchange->status == 204) {
            (void)MHD_add_response_header(response, "Access-Control-Allow-Methods", exchange->allowed_methods);
            (void)MHD_add_response_header(response, "Access-Control-Allow-Headers", "Authorization, Content-Type");
            (void)MHD_add_response_header(response, "Access-Control-Max-Age", "600");
        }
    }
    if (atomic_load(&server->is_draining) || exchange->is_refused_early) (void)MHD_add_response_header(response, "Connection", "close");
}

static ssize_t pull(void *cls, uint64_t position, char *buffer, size_t size) {
    tn_exchange *exchange = cls;
    (void)position;
    return tn_stream_pull(exchange, buffer, size);
}

static enum MHD_Result queue_reply(tn_exchange *exchange) {
    enum { STREAM_BLOCK = 4096 };
    struct MHD_Response *response;
    if (exchange->is_stream)
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, pull, exchange, NULL);
    else
        response = MHD_create_response_from_buffer(exchange->reply.size, exchange->reply.data, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) return MHD_NO;
    add_headers(exchange, response);
    exchange->connection->has_answered = true;
    tn_connection_set_deadline(exchange->connection, TN_DEADLINE_WRITE);
    enum MHD_Result result = MHD_queue_response(exchange->mhd, (unsigned)exchange->status, response);
    MHD_destroy_response(response);
    return result;
}

/* What the exchange's phase asks for. */
static enum MHD_Result follow_phase(tn_exchange *exchange) {
    switch (exchange->phase) {
    case TN_PHASE_READING: return MHD_YES;
    case TN_PHASE_PREPARING: /* the preparer has it */
    case TN_PHASE_WAITING:
        exchange->is_suspended = true;
        tn_connection_set_deadline(exchange->connection, TN_DEADLINE_NONE);
        MHD_suspend_connection(exchange->mhd);
        return MHD_YES;
    case TN_PHASE_STREAMING:
        exchange->is_stream = true;
        exchange->status = 200;
        exchange->content_type = "text/event-stream; charset=utf-8";
        return queue_reply(exchange);
    case TN_PHASE_REPLY:
        if (exchange->reply.failed) { /* a short one needs no memory that is not there already */
            tn_text_reset(&exchange->reply);
            exchange->status = 503;
        }
        return queue_reply(exchange);
    }
    return MHD_NO;
}

void tn_exchange_resume(tn_exchange *exchange) {
    exchange->is_suspended = false;
    MHD_resume_connection(exchange->mhd);
}

/* --- requests ------------------------------------------------------------------------------------------------------------------------ */

static tn_connection *connection_of(struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static void *note_target(void *cls, const char *target, struct MHD_Connection *mhd) {
    (void)cls;
    tn_connection *connection = connection_of(mhd);
    if (connection == NULL) return NULL;
    size_t size = strcspn(target, "?");
    connection->is_path_cut = size >= sizeof connection->path;
    if (connection->is_path_cut) size = sizeof connection->path - 1;
    memcpy(connection->path, target, size);
    connection->path[size] = '\0';
    connection->target_size = strlen(target);
    if (connection->deadline == TN_DEADLINE_IDLE) tn_connection_set_deadline(connection, TN_DEADLINE_HEAD);
    return NULL;
}

static enum MHD_Result refuse_early(tn_exchange *exchange, const tn_api_error *error) {
    exchange->is_refused_early = true;
    tn_exchange_refuse(exchange, error);
    exchange->phase = TN_PHASE_REPLY;
    return queue_reply(exchange);
}

static enum MHD_Result begin(tn_connection *connection, struct MHD_Connection *mhd, const tn_request_line *line, void **context) {
    tn_server *server = connection->server;
    tn_exchange *exchange = tn_alloc_zero(&server->allocator, sizeof *exchange);
    if (exchange == NULL) return MHD_NO;
    exchange->server = server;
    exchange->connection = connection;
    exchange->mhd = mhd;
    exchange->begin_ns = server->now_ns;
    exchange->id = tn_server_next_id(server);
    exchange->body = (tn_text){.allocator = &server->allocator, .max_size = server->options.max_body_bytes};
    exchange->reply = (tn_text){.allocator = &server->allocator};
    connection->exchange = exchange;
    *context = exchange;
    atomic_fetch_add(&server->num_exchanges, 1);
    tn_api_error error = {0};
    if (!tn_head_check(exchange, line, &error)) return refuse_early(exchange, &error);
    if (exchange->status == 204) {
        tn_exchange_reply(exchange, 204, NULL);
        exchange->phase = TN_PHASE_REPLY;
        return queue_reply(exchange);
    }
    tn_connection_set_deadline(connection, TN_DEADLINE_BODY);
    return MHD_YES;
}

static enum MHD_Result take_body(tn_exchange *exchange, const char *data, size_t *size) {
    tn_api_error error;
    if (!exchange->body.failed) tn_text_append(&exchange->body, data, *size);
    *size = 0;
    if (!exchange->body.failed) return MHD_YES;
    size_t limit = exchange->server->options.max_body_bytes;
    if (exchange->is_body_refused) return MHD_NO;
    exchange->is_body_refused = true;
    tn_api_fail(&error, 413, "body_too_large", NULL, "the body has more than %zu bytes", limit);
    tn_exchange_refuse(exchange, &error);
    /* libmicrohttpd takes no answer here: what is still to come is not read any more, the answer goes out by hand */
    tn_connection_refuse(exchange->connection, exchange->status, &exchange->reply);
    return MHD_NO;
}

/* The body is there, or the exchange was resumed. */
static enum MHD_Result go_on(tn_exchange *exchange) {
    tn_connection *connection = exchange->connection;
    if (connection->is_gone) return MHD_NO;
    switch (exchange->phase) {
    case TN_PHASE_READING:
        tn_connection_set_deadline(connection, TN_DEADLINE_NONE);
        if (connection->is_leaving && exchange->route->needs_executor) return MHD_NO; /* nobody would read it */
        exchange->phase = TN_PHASE_PREPARING;
        if (exchange->body.size > MAX_INLINE_BODY) {
            tn_exchange_hand_over(exchange);
            break;
        }
        exchange->diag = exchange->server->loop_diag;
        exchange->route->handle(exchange);
        exchange->phase = exchange->next_phase;
        break;
    case TN_PHASE_PREPARING:
        exchange->phase = exchange->next_phase;
        if (exchange->phase != TN_PHASE_WAITING || !tn_generation_is_complete(exchange->generation)) break;
        /* it ended before anybody looked */
        __attribute__((fallthrough));
    case TN_PHASE_WAITING:
        tn_exchange_finish(exchange);
        exchange->phase = exchange->next_phase;
        break;
    case TN_PHASE_STREAMING:
    case TN_PHASE_REPLY: return MHD_YES;
    }
    return follow_phase(exchange);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
                              const char *data, size_t *size, void **context) {
    (void)cls;
    tn_exchange *exchange = *context;
    if (exchange == NULL) {
        tn_connection *connection = connection_of(mhd);
        tn_request_line line = {url, method, version, connection != NULL ? connection->target_size : 0};
        return connection != NULL ? begin(connection, mhd, &line, context) : MHD_NO;
    }
    return *size > 0 ? take_body(exchange, data, size) : go_on(exchange);
}

static void note_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code) {
    (void)mhd;
    tn_server *server = cls;
    tn_exchange *exchange = *context;
    if (exchange == NULL) return;
    *context = NULL;
    tn_connection *connection = exchange->connection;
    bool is_whole = code == MHD_REQUEST_TERMINATED_COMPLETED_OK || exchange->is_body_refused;
    tn_log_exchange(server, exchange, is_whole);
    if (exchange->generation != NULL) tn_generation_abandon(exchange->generation);
    connection->exchange = NULL;
    if (is_whole && !connection->is_gone) tn_connection_set_deadline(connection, TN_DEADLINE_IDLE);
    if (is_whole && exchange->is_refused_early) tn_connection_linger(connection);
    tn_text_deinit(&exchange->body);
    tn_text_deinit(&exchange->reply);
    tn_free(&server->allocator, exchange);
    pthread_mutex_lock(&server->lock);
    atomic_fetch_sub(&server->num_exchanges, 1);
    atomic_fetch_add(&server->num_requests, 1);
    pthread_cond_broadcast(&server->progress);
    pthread_mutex_unlock(&server->lock);
}

static void note_connection(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode code) {
    (void)mhd;
    tn_server *server = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = server->accepted;
        server->accepted = NULL; /* libmicrohttpd tells of its end from now on */
        return;
    }
    if (*context != NULL) tn_connection_destroy(*context);
    *context = NULL;
}

/* --- the daemon ------------------------------------------------------------------------------------------------------------------------ */

tn_status tn_http_start(tn_server *server, tn_diag *diag) {
    const tn_server_options *options = &server->options;
    /* For the head and the answer's head. Of up to 32 KiB libmicrohttpd asks malloc, of more the kernel, each time. */
    size_t memory = options->max_head_bytes + 16384;
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem items[] = {
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)memory, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, options->max_connections + 16, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, 0, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)note_completed, server},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)note_connection, server},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)note_target, server},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    if (server->tls != NULL) {
        flags |= MHD_USE_TLS;
        items[6] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t) "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"};
        items[7] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0, tn_tls_callback()};
    }
    server->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, server, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = server->daemon != NULL ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (info == NULL) return tn_fail(diag, TN_INTERNAL, "cannot start the server: libmicrohttpd refuses its options");
    server->daemon_epoll = info->listen_fd;
    return TN_OK;
}

void tn_http_stop(tn_server *server) {
    if (server->daemon != NULL) MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
}
