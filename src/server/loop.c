/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.c: the thread that never rests: sockets, deadlines, libmicrohttpd, the executor's responses.
 *
 * It waits at one epoll for: new connections, libmicrohttpd's own epoll, the end of clients (EPOLLRDHUP of every socket, since libmicrohttpd
 * does not look at suspended ones), and an eventfd by which the executor says once a step that there are responses, and the preparer that an
 * exchange is ready.
 */
#include <errno.h>
#include <microhttpd.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/thread.h"
#include "server/generation.h"
#include "server/log.h"
#include "server/prepare.h"
#include "server/server_internal.h"

enum { MAX_EVENTS = 256, MAX_RESPONSES = 256, FEW_RESPONSES = 4, TICK_MS = 250, MAX_CALM_TURNS = 64, CALM_MS = 10, SLICE_NS = 100000 };

static const int64_t tick_ns = (int64_t)TICK_MS * 1000000;

/* --- news ------------------------------------------------------------------------------------------------------------------------------- */

void tn_server_wake(void *argument) {
    tn_server *server = argument;
    uint64_t one = 1;
    if (!atomic_exchange(&server->is_woken, true)) (void)!write(server->wake, &one, sizeof one);
}

static void look_at_generation(tn_generation *generation) {
    tn_exchange *exchange = generation->exchange;
    if (exchange == NULL || exchange->phase == TN_PHASE_PREPARING) return; /* the preparer's: looked at when that is done */
    bool is_complete = tn_generation_is_complete(generation);
    if (generation->is_overflowing && !is_complete) {
        tn_connection_abandon(exchange->connection);
        return;
    }
    if (!exchange->is_suspended) return;
    if (exchange->phase == TN_PHASE_STREAMING || is_complete) tn_exchange_resume(exchange);
}

/* job NULL: somebody else's request. */
static void take_response(tn_job *job, tn_response *response) {
    bool is_final = tn_response_is_final(response);
    if (job != NULL) tn_job_take(job, response);
    tn_response_destroy(response);
    if (job == NULL) return;
    look_at_generation(job->generation);
    if (is_final) tn_job_end(job);
}

/* First tokens come first, and go out before the events of the other streams are made: those take longer than all else that a first token
 * waits for here. */
tn_status tn_server_take_responses(tn_server *server, int64_t timeout_ms) {
    tn_response *responses[MAX_RESPONSES];
    size_t max = FEW_RESPONSES, count;
    bool has_first = false;
    tn_status status;
    while ((status = tn_executor_await_all_ready(server->executor, timeout_ms, responses, max, &count)) == TN_OK) {
        tn_metrics_lock(&server->metrics);
        for (size_t i = 0; i < count; i++) {
            tn_job *job = (tn_job *)(uintptr_t)tn_response_client_id(responses[i]);
            bool is_first = job != NULL && job->is_queued;
            if (has_first && !is_first) {
                tn_metrics_unlock(&server->metrics);
                (void)MHD_run(server->daemon);
                tn_metrics_lock(&server->metrics);
            }
            has_first = is_first;
            take_response(job, responses[i]);
        }
        tn_metrics_unlock(&server->metrics);
        if (count < max) break;
        max = MAX_RESPONSES;
        timeout_ms = 0;
    }
    tn_diag_clear(server->loop_diag);
    return status;
}

static void look_at_news(tn_server *server) {
    uint64_t count;
    if (!atomic_load(&server->is_woken)) return;
    (void)!read(server->wake, &count, sizeof count);
    atomic_store(&server->is_woken, false);
    pthread_mutex_lock(&server->lock);
    tn_exchange *prepared = server->first_prepared;
    server->first_prepared = NULL;
    pthread_mutex_unlock(&server->lock);
    for (tn_exchange *next; prepared != NULL; prepared = next) {
        next = prepared->next_prepared;
        tn_exchange_resume(prepared);
    }
    (void)tn_server_take_responses(server, 0);
}

/* --- the loop ----------------------------------------------------------------------------------------------------------------------------- */

static void note_end(tn_connection *connection) {
    const tn_exchange *exchange = connection->exchange;
    connection->is_leaving = true;
    if (exchange == NULL || exchange->phase == TN_PHASE_READING)
        tn_connection_set_deadline(connection, TN_DEADLINE_LEAVING); /* a request may still lie in the socket */
    else if (exchange->phase != TN_PHASE_REPLY)                      /* a reply that is made may still be read */
        tn_connection_abandon(connection);
}

static void take_events(tn_server *server, const struct epoll_event *events, int count) {
    for (int i = 0; i < count; i++) {
        void *source = events[i].data.ptr;
        int *listener = source;
        if (source == &server->wake || source == &server->daemon_epoll) continue; /* looked at in any case */
        if (listener >= server->listeners && listener < server->listeners + TN_MAX_LISTENERS) continue;
        note_end(source);
    }
    for (int i = 0; i < count; i++) {
        int *listener = events[i].data.ptr;
        if (listener >= server->listeners && listener < server->listeners + TN_MAX_LISTENERS) tn_listeners_accept(server, *listener);
    }
}

/* Requests run, and no step has ended for too long. */
static void watch_steps(tn_server *server) {
    tn_executor_info info;
    tn_executor_get_info(server->executor, &info);
    if (info.num_steps != server->last_num_steps || info.num_active == 0) {
        server->last_num_steps = info.num_steps;
        server->last_step_ns = server->now_ns;
    }
    bool is_stalled = server->now_ns - server->last_step_ns > server->options.stall_timeout_ms * 1000000;
    if (is_stalled && !atomic_load(&server->is_stalled))
        tn_log_message(server, "stalled", "requests run and no step has ended for %lld ms", (long long)server->options.stall_timeout_ms);
    atomic_store(&server->is_stalled, is_stalled);
}

/* What the executor tells of steps: kept there until somebody asks. */
static void count_steps(tn_server *server) {
    tn_iteration_stats stats;
    tn_metrics_lock(&server->metrics);
    while (tn_executor_take_iteration_stats(server->executor, &stats) == TN_OK) {
        const tn_inflight_batching_stats *step = &stats.inflight_batching_stats;
        int32_t num_tokens = stats.has_static_batching_stats
                                 ? stats.static_batching_stats.num_ctx_tokens + stats.static_batching_stats.num_gen_tokens
                                 : step->num_ctx_tokens + step->num_gen_requests;
        tn_metrics_observe(&server->metrics, TN_HISTOGRAM_iteration_tokens, num_tokens);
        if (!stats.has_static_batching_stats)
            tn_metrics_add(&server->metrics, TN_COUNTER_num_preemptions_total, (uint64_t)step->num_paused_requests);
    }
    tn_metrics_unlock(&server->metrics);
}

static void tick(tn_server *server) {
    if (server->accept_again_ns != 0 && server->now_ns >= server->accept_again_ns) tn_listeners_resume(server);
    if (server->lingering.count > 0) tn_lingering_read(server);
    if (server->now_ns < server->next_tick_ns) return;
    server->next_tick_ns = server->now_ns + tick_ns;
    watch_steps(server);
    count_steps(server);
    (void)tn_server_take_responses(server, 0); /* those that found no memory */
    int64_t interval_ns = server->options.throughput_interval_ms * 1000000;
    if (interval_ns == 0 || server->now_ns < server->next_throughput_ns) return;
    server->next_throughput_ns = server->now_ns + interval_ns;
    tn_log_throughput(server, (double)interval_ns * 1e-9);
}

static int timeout_of(tn_server *server) {
    MHD_UNSIGNED_LONG_LONG pending;
    /* The line of a chunk's size that fills libmicrohttpd's buffer is never read to its end, and libmicrohttpd says that there is work
     * until the body's deadline. What did not get done in so many turns without an event is no work. */
    if (MHD_get_timeout(server->daemon, &pending) == MHD_YES && pending == 0) return server->num_calm_turns < MAX_CALM_TURNS ? 0 : CALM_MS;
    if (server->lingering.count > 0) return 10;
    int timeout_ms = tn_connections_next_timeout_ms(server);
    return timeout_ms < 0 || timeout_ms > TICK_MS ? TICK_MS : timeout_ms;
}

static void abandon_all(tn_server *server) {
    for (int i = 0; i < TN_NUM_DEADLINES; i++)
        while (server->deadlines[i].first != NULL) tn_connection_abandon(server->deadlines[i].first);
    for (int i = 0; i < server->num_listeners; i++) (void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, server->listeners[i], NULL);
}

static void turn(tn_server *server) {
    struct epoll_event events[MAX_EVENTS];
    int count = epoll_wait(server->epoll, events, MAX_EVENTS, timeout_of(server));
    server->now_ns = tn_now_ns();
    atomic_store_explicit(&server->heartbeat_ns, server->now_ns, memory_order_relaxed);
    if (count < 0) count = 0; /* interrupted: look around all the same */
    server->num_calm_turns = count > 0 ? 0 : server->num_calm_turns + 1;
    take_events(server, events, count);
    look_at_news(server);
    tn_connections_expire(server);
    tick(server);
    if (atomic_load(&server->is_stopping)) abandon_all(server);
    (void)MHD_run(server->daemon);
}

/* sched_setattr(2), for which older C libraries have no name. */
typedef struct sched_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
} sched_attributes;

/* Of threads on one processor, those with shorter slices run first when they are woken: the loop does not wait until the executor's thread,
 * which has the next step to plan, sleeps (Linux 6.12 and later; elsewhere nothing changes). */
static void ask_for_short_slices(void) {
    sched_attributes attributes = {.size = sizeof attributes};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
    attributes.runtime_ns = SLICE_NS;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void *tn_server_run_loop(void *argument) {
    tn_server *server = argument;
    ask_for_short_slices();
    (void)pthread_setname_np(pthread_self(), "tenon-http");
    server->now_ns = server->last_step_ns = tn_now_ns();
    server->next_throughput_ns = server->now_ns + server->options.throughput_interval_ms * 1000000;
    while (!atomic_load(&server->is_stopping) || atomic_load(&server->num_connections) > 0) turn(server);
    for (size_t i = 0; i < server->lingering.count; i++) close(server->lingering.data[i].fd);
    return NULL;
}
