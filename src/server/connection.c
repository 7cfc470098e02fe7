/* SPDX-License-Identifier: Apache-2.0
 *
 * connection.c: time limits, and ends of connections.
 */
#include "server/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/generation.h"
#include "server/server_internal.h"

enum { MAX_LINGERING = 64 };

/* --- deadlines ------------------------------------------------------------------------------------------------------------------------ */

static void leave_queue(tn_connection *connection) {
    if (connection->deadline == TN_DEADLINE_UNLISTED) return;
    tn_deadline_queue *queue = &connection->server->deadlines[connection->deadline];
    *(connection->previous != NULL ? &connection->previous->next : &queue->first) = connection->next;
    *(connection->next != NULL ? &connection->next->previous : &queue->last) = connection->previous;
    connection->previous = connection->next = NULL;
    connection->deadline = TN_DEADLINE_UNLISTED;
}

static uint64_t count_acked(const tn_connection *connection) {
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_acked : 0;
}

void tn_connection_set_deadline(tn_connection *connection, tn_deadline deadline) {
    tn_server *server = connection->server;
    bool waits_for_client = deadline == TN_DEADLINE_HEAD || deadline == TN_DEADLINE_BODY || deadline == TN_DEADLINE_IDLE;
    if (waits_for_client && connection->is_leaving) deadline = TN_DEADLINE_LEAVING; /* it sends nothing more */
    leave_queue(connection);
    tn_deadline_queue *queue = &server->deadlines[deadline];
    connection->deadline = deadline;
    connection->deadline_ns = deadline == TN_DEADLINE_NONE ? INT64_MAX : server->now_ns + queue->timeout_ns;
    connection->previous = queue->last;
    *(queue->last != NULL ? &queue->last->next : &queue->first) = connection;
    queue->last = connection;
}

int tn_connections_next_timeout_ms(const tn_server *server) {
    int64_t next_ns = INT64_MAX;
    for (int i = 0; i < TN_NUM_DEADLINES; i++) {
        const tn_connection *first = server->deadlines[i].first;
        if (first != NULL && first->deadline_ns < next_ns) next_ns = first->deadline_ns;
    }
    if (next_ns == INT64_MAX) return -1;
    int64_t left_ms = (next_ns - server->now_ns + 999999) / 1000000;
    return left_ms < 0 ? 0 : left_ms > 60000 ? 60000 : (int)left_ms;
}

static void ping(tn_connection *connection) {
    tn_exchange *exchange = connection->exchange;
    if (exchange == NULL || !exchange->is_suspended) return;
    tn_text_append_string(&exchange->reply, ": ping\n\n");
    tn_exchange_resume(exchange);
}

/* What was due is over: 408 where nothing was said yet, the end of the connection else. */
static void expire(tn_connection *connection, tn_deadline deadline) {
    if (deadline == TN_DEADLINE_PING) {
        ping(connection);
        return;
    }
    uint64_t acked = deadline == TN_DEADLINE_WRITE ? count_acked(connection) : 0;
    if (acked > connection->bytes_acked) { /* a slow reader, but a reader */
        connection->bytes_acked = acked;
        tn_connection_set_deadline(connection, TN_DEADLINE_WRITE);
        return;
    }
    tn_api_error error;
    tn_text body = {.allocator = &connection->server->allocator};
    if (deadline == TN_DEADLINE_HEAD || deadline == TN_DEADLINE_BODY) {
        tn_api_fail(&error, 408, "request_timeout", NULL, "the %s did not arrive in time", deadline == TN_DEADLINE_HEAD ? "head" : "body");
        tn_api_error_write(&error, &body);
        tn_connection_refuse(connection, 408, &body);
        tn_text_deinit(&body);
    }
    tn_connection_abandon(connection);
}

void tn_connections_expire(tn_server *server) {
    for (int i = 0; i < TN_NUM_DEADLINES; i++) {
        tn_connection *connection;
        while ((connection = server->deadlines[i].first) != NULL && connection->deadline_ns <= server->now_ns) {
            leave_queue(connection);
            expire(connection, (tn_deadline)i);
        }
    }
}

/* --- ends -------------------------------------------------------------------------------------------------------------------------------- */

void tn_connection_abandon(tn_connection *connection) {
    tn_exchange *exchange = connection->exchange;
    connection->is_gone = true;
    leave_queue(connection);
    (void)shutdown(connection->fd, SHUT_RDWR);
    if (exchange == NULL || exchange->phase == TN_PHASE_PREPARING) return;
    if (exchange->generation != NULL) {
        tn_generation_abandon(exchange->generation);
        exchange->generation = NULL;
    }
    if (exchange->is_suspended) tn_exchange_resume(exchange);
}

void tn_connection_destroy(tn_connection *connection) {
    tn_server *server = connection->server;
    leave_queue(connection);
    (void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
    connection->peer->num_connections--;
    tn_peers_release(server, connection->peer);
    atomic_fetch_sub(&server->num_connections, 1);
    tn_free(&server->allocator, connection);
}

void tn_connection_refuse(tn_connection *connection, int status, const tn_text *body) {
    char head[256];
    if (connection->server->tls == NULL && !connection->is_gone && !body->failed) {
        int size =
            snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", status,
                     status == 408   ? "Request Timeout"
                     : status == 413 ? "Content Too Large"
                     : status == 429 ? "Too Many Requests"
                                     : "Service Unavailable",
                     body->size, status == 429 || status == 503 ? "Retry-After: 1\r\n" : "");
        if (send(connection->fd, head, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE) == size)
            (void)!send(connection->fd, body->data, body->size, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)shutdown(connection->fd, SHUT_WR);
        tn_connection_linger(connection);
    }
}

void tn_connection_linger(tn_connection *connection) {
    tn_server *server = connection->server;
    if (server->tls != NULL || server->lingering.count >= MAX_LINGERING) return;
    int fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return;
    tn_lingering added = {.fd = fd, .end_ns = server->now_ns + (int64_t)2 * 1000000000};
    if (!tn_array_push(&server->allocator, &server->lingering, added)) close(fd);
}

/* Reads what comes and throws it away, for a moment. */
void tn_lingering_read(tn_server *server) {
    char scratch[16384];
    for (size_t i = 0; i < server->lingering.count;) {
        tn_lingering *one = &server->lingering.data[i];
        ssize_t size;
        int num_reads = 0;
        do size = recv(one->fd, scratch, sizeof scratch, MSG_DONTWAIT);
        while (size > 0 && ++num_reads < 64);
        bool is_over = size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR) || server->now_ns >= one->end_ns;
        if (!is_over) {
            i++;
            continue;
        }
        close(one->fd);
        *one = server->lingering.data[--server->lingering.count];
    }
}
