/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c: a server's life.
 */
#include "server/server.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "server/generation.h"
#include "server/server_internal.h"

static tn_status init_locks(tn_server *server, tn_diag *diag) {
    pthread_condattr_t attributes;
    bool is_ok = pthread_condattr_init(&attributes) == 0;
    is_ok = is_ok && pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0;
    is_ok = is_ok && pthread_mutex_init(&server->lock, NULL) == 0 && pthread_mutex_init(&server->log_lock, NULL) == 0 &&
            pthread_mutex_init(&server->metrics.lock, NULL) == 0 && pthread_cond_init(&server->progress, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return is_ok ? TN_OK : tn_fail_memory(diag, "the server's locks", 0);
}

static tn_status open_descriptors(tn_server *server, tn_diag *diag) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &server->wake};
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (server->epoll < 0 || server->wake < 0 || epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->wake, &event) != 0)
        return tn_fail(diag, TN_IO_ERROR, "cannot start the server: no descriptors are left");
    return TN_OK;
}

static tn_status load_secrets(tn_server *server, tn_diag *diag) {
    const tn_server_options *options = &server->options;
    tn_status status = TN_OK;
    if (options->keys_path != NULL) status = tn_keys_load(options->keys_path, &server->allocator, diag, &server->keys);
    if (status == TN_OK && options->tls_certificate_path != NULL)
        status = tn_tls_create(options->tls_certificate_path, options->tls_key_path, &server->allocator, diag, &server->tls);
    return status;
}

static void find_tool_form(tn_server *server) {
    size_t size = 0;
    const char *text = server->options.chat_template;
    if (text != NULL)
        size = strlen(text);
    else if (server->tokenizer != NULL)
        text = tn_tokenizer_chat_template(server->tokenizer, &size);
    server->tool_form = text != NULL ? tn_tool_form_of_template(text, size) : TN_TOOLS_NONE;
}

static tn_status make_url(tn_server *server, tn_diag *diag) {
    const char *host = server->options.host;
    bool is_v6 = strchr(host, ':') != NULL;
    server->url = tn_arena_format(&server->arena, "%s://%s%s%s:%u", server->tls != NULL ? "https" : "http", is_v6 ? "[" : "", host,
                                  is_v6 ? "]" : "", (unsigned)server->port);
    return server->url != NULL ? TN_OK : tn_fail_memory(diag, "the server", 0);
}

tn_status tn_server_create(const tn_server_options *options, tn_server **out_server) {
    *out_server = NULL;
    tn_diag *diag = options->diag;
    tn_status status = tn_server_check_options(options, diag);
    if (status != TN_OK) return status;
    tn_server *server = tn_alloc_zero(options->allocator, sizeof *server);
    if (server == NULL) return tn_fail_memory(diag, "the server", sizeof *server);
    if (options->allocator != NULL) server->allocator = *options->allocator;
    server->arena.allocator = &server->allocator;
    server->epoll = server->wake = -1;
    server->executor = options->executor;
    server->tokenizer = options->tokenizer;
    server->created_unix_s = (int64_t)time(NULL);
    tn_executor_get_info(server->executor, &server->limits);
    if (getrandom(&server->salt, sizeof server->salt, 0) != sizeof server->salt)
        status = tn_fail(diag, TN_IO_ERROR, "cannot start the server: the system gives no random bytes");
    atomic_init(&server->next_id, server->salt >> 16);
    if (status == TN_OK) status = init_locks(server, diag);
    if (status == TN_OK) status = tn_server_copy_options(server, options, diag);
    if (status == TN_OK) find_tool_form(server);
    if (status == TN_OK) status = tn_diag_create(&server->allocator, &server->loop_diag);
    if (status == TN_OK) status = tn_diag_create(&server->allocator, &server->preparer_diag);
    if (status == TN_OK) status = open_descriptors(server, diag);
    if (status == TN_OK) status = load_secrets(server, diag);
    if (status == TN_OK) status = tn_listeners_open(server, diag);
    if (status == TN_OK) status = make_url(server, diag);
    if (status == TN_OK)
        *out_server = server;
    else
        tn_server_destroy(server);
    return status;
}

/* One token, so that the first client does not wait for what is made at the first step. */
static tn_status warm_up(tn_server *server, tn_diag *diag) {
    int32_t id = 0;
    tn_request request;
    tn_response *response;
    uint64_t request_id;
    tn_request_init(&request, &id, 1, 1);
    tn_status status = tn_executor_enqueue_diag(server->executor, &request, diag, &request_id);
    if (status == TN_OK) status = tn_executor_await(server->executor, request_id, TN_FOREVER, &response);
    if (status != TN_OK) return status;
    if (tn_response_error(response) != NULL)
        status = tn_fail(diag, tn_response_status(response), "the first token failed: %s", tn_response_error(response));
    tn_response_destroy(response);
    return status;
}

tn_status tn_server_start(tn_server *server) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &server->daemon_epoll};
    tn_diag *diag = NULL; /* as everybody who gives none: errors go to stderr */
    tn_status status = warm_up(server, diag);
    if (status == TN_OK) status = tn_http_start(server, diag);
    if (status == TN_OK && epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->daemon_epoll, &event) != 0)
        status = tn_fail(diag, TN_IO_ERROR, "cannot start the server: no descriptors are left");
    if (status != TN_OK) return status;
    tn_executor_set_listener(server->executor, tn_server_wake, server);
    bool has_preparer = pthread_create(&server->preparer, NULL, tn_server_run_preparer, server) == 0;
    if (has_preparer && pthread_create(&server->loop, NULL, tn_server_run_loop, server) == 0) {
        server->is_started = true;
        return TN_OK;
    }
    tn_executor_set_listener(server->executor, NULL, NULL);
    atomic_store(&server->is_preparer_stopping, true);
    pthread_mutex_lock(&server->lock);
    pthread_cond_broadcast(&server->progress);
    pthread_mutex_unlock(&server->lock);
    if (has_preparer) pthread_join(server->preparer, NULL);
    return tn_fail(diag, TN_OUT_OF_MEMORY, "cannot start the server: the system gives no threads");
}

void tn_server_drain(tn_server *server) {
    atomic_store(&server->is_draining, true);
    tn_server_wake(server);
}

tn_status tn_server_wait(tn_server *server, int64_t timeout_ms) {
    struct timespec end;
    int64_t end_ns = tn_now_ns() + (timeout_ms < (int64_t)1 << 40 ? timeout_ms : (int64_t)1 << 40) * 1000000;
    end.tv_sec = (time_t)(end_ns / 1000000000);
    end.tv_nsec = (long)(end_ns % 1000000000);
    tn_status status = TN_OK;
    pthread_mutex_lock(&server->lock);
    while (status == TN_OK && atomic_load(&server->num_exchanges) > 0)
        if (pthread_cond_timedwait(&server->progress, &server->lock, &end) != 0) status = TN_TIMED_OUT;
    pthread_mutex_unlock(&server->lock);
    return status;
}

void tn_server_stop(tn_server *server) {
    tn_server_drain(server);
    if (!server->is_started) return;
    server->is_started = false;
    atomic_store(&server->is_stopping, true);
    tn_server_wake(server);
    pthread_join(server->loop, NULL);
    tn_listeners_close(server); /* who waited there is told */
    pthread_mutex_lock(&server->lock);
    atomic_store(&server->is_preparer_stopping, true);
    pthread_cond_broadcast(&server->progress);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->preparer, NULL);
    while (atomic_load(&server->num_live_jobs) > 0 && tn_server_take_responses(server, TN_FOREVER) != TN_UNAVAILABLE) {}
    tn_executor_set_listener(server->executor, NULL, NULL);
}

void tn_server_destroy(tn_server *server) {
    if (server == NULL) return;
    tn_server_stop(server);
    tn_http_stop(server);
    tn_listeners_close(server);
    tn_peers_deinit(server);
    tn_array_deinit(&server->allocator, &server->lingering);
    if (server->wake >= 0) close(server->wake);
    if (server->epoll >= 0) close(server->epoll);
    tn_keys_destroy(server->keys);
    tn_tls_destroy(server->tls);
    tn_diag_destroy(server->loop_diag);
    tn_diag_destroy(server->preparer_diag);
    pthread_cond_destroy(&server->progress);
    pthread_mutex_destroy(&server->lock);
    pthread_mutex_destroy(&server->log_lock);
    pthread_mutex_destroy(&server->metrics.lock);
    tn_arena_deinit(&server->arena);
    tn_allocator allocator = server->allocator;
    tn_free(&allocator, server);
}

tn_status tn_server_reload(tn_server *server, tn_diag *diag) {
    const tn_server_options *options = &server->options;
    tn_keys *keys = NULL;
    tn_status status = TN_OK;
    if (options->keys_path != NULL) status = tn_keys_load(options->keys_path, &server->allocator, diag, &keys);
    if (status == TN_OK && server->tls != NULL)
        status = tn_tls_reload(server->tls, options->tls_certificate_path, options->tls_key_path, diag);
    if (status != TN_OK || keys == NULL) {
        tn_keys_destroy(keys);
        return status;
    }
    pthread_mutex_lock(&server->lock);
    tn_keys *old = server->keys;
    server->keys = keys;
    pthread_mutex_unlock(&server->lock);
    tn_keys_destroy(old);
    return TN_OK;
}

uint16_t tn_server_port(const tn_server *server) {
    return server->port;
}

const char *tn_server_url(const tn_server *server) {
    return server->url;
}

bool tn_server_is_ready(tn_server *server) {
    return !atomic_load(&server->is_draining) && !atomic_load(&server->is_stalled);
}

uint64_t tn_server_next_id(tn_server *server) {
    return atomic_fetch_add(&server->next_id, 1);
}

void tn_server_get_info(tn_server *server, tn_server_info *out_info) {
    *out_info = (tn_server_info){
        .num_connections = atomic_load(&server->num_connections),
        .num_exchanges = atomic_load(&server->num_exchanges),
        .num_generations = atomic_load(&server->num_generations),
        .num_requests = atomic_load(&server->num_requests),
        .heartbeat_age_ms = (tn_now_ns() - atomic_load(&server->heartbeat_ns)) / 1000000,
        .is_stalled = atomic_load(&server->is_stalled),
    };
}
