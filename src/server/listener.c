/* SPDX-License-Identifier: Apache-2.0
 *
 * listener.c: listening sockets and new connections. We accept ourselves: so a full server says so, each address has its
 * share, and running out of descriptors pauses instead of spinning.
 */
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server_internal.h"

/* SEND_BUFFER: of each connection, in the kernel, inherited from the listening socket. Left alone it grows to megabytes, and a
 * thousand readers that take nothing would hold gigabytes. */
enum { BACKLOG = 1024, MAX_ACCEPTS = 64, SEND_BUFFER = 131072 };

static const int64_t accept_pause_ns = 200000000;

static tn_status open_one(tn_server *server, const struct addrinfo *address, tn_diag *diag) {
    int yes = 1, buffer = SEND_BUFFER, fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN};
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    bool is_ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
                 setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer) == 0;
    if (is_ok && address->ai_family == AF_INET6) is_ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) == 0;
    is_ok = is_ok && bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    is_ok = is_ok && getsockname(fd, (struct sockaddr *)&bound, &size) == 0;
    event.data.ptr = &server->listeners[server->num_listeners];
    is_ok = is_ok && epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
    if (!is_ok) {
        int code = errno;
        if (fd >= 0) close(fd);
        tn_where where = {.hint = code == EADDRINUSE ? "another program listens there; choose another port with --port" : NULL};
        return tn_fail_at(diag, TN_IO_ERROR, &where, "cannot listen on %s port %u: %s", server->options.host,
                          (unsigned)server->options.port, strerrordesc_np(code));
    }
    server->listeners[server->num_listeners++] = fd;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&bound;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&bound;
    server->port = ntohs(bound.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
    return TN_OK;
}

static bool is_loopback(const struct addrinfo *address) {
    if (address->ai_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address->ai_addr;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address->ai_addr;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

tn_status tn_listeners_open(tn_server *server, tn_diag *diag) {
    const tn_server_options *options = &server->options;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)options->port);
    const char *host = strcmp(options->host, "localhost") == 0 ? "127.0.0.1" : options->host;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot listen on '%s': it is no address", options->host);
    tn_status status = TN_OK;
    server->is_public = !is_loopback(found);
    if (server->is_public && options->keys_path == NULL && !options->insecure) {
        tn_where where = {.hint = "give --keys FILE, or --insecure if everybody who reaches this machine may use it"};
        status = tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot listen on %s without keys: other machines reach it", options->host);
    }
    for (const struct addrinfo *address = found; status == TN_OK && address != NULL && server->num_listeners < TN_MAX_LISTENERS;
         address = address->ai_next)
        status = open_one(server, address, diag);
    freeaddrinfo(found);
    return status;
}

void tn_listeners_close(tn_server *server) {
    for (int i = 0; i < server->num_listeners; i++) close(server->listeners[i]);
    server->num_listeners = 0;
}

/* Says why in one packet, where the client speaks plain HTTP. */
static void turn_away(tn_server *server, int fd, int status) {
    tn_connection gone = {.server = server, .fd = fd, .deadline = TN_DEADLINE_UNLISTED};
    tn_text body = {.allocator = &server->allocator};
    tn_api_error error;
    tn_api_fail(&error, status, "overloaded", NULL,
                status == 429 ? "this address has too many connections" : "the server has too many connections");
    tn_api_error_write(&error, &body);
    tn_connection_refuse(&gone, status, &body);
    tn_text_deinit(&body);
    close(fd);
}

static void take(tn_server *server, int fd, const struct sockaddr_storage *address, socklen_t size) {
    tn_peer *peer = tn_peers_find(server, address);
    bool is_full = atomic_load(&server->num_connections) >= server->options.max_connections;
    bool has_too_many = peer != NULL && peer->num_connections >= server->options.max_connections_per_address;
    tn_connection *connection = peer == NULL || is_full || has_too_many ? NULL : tn_alloc_zero(&server->allocator, sizeof *connection);
    if (connection == NULL) {
        if (peer != NULL) tn_peers_release(server, peer);
        turn_away(server, fd, has_too_many ? 429 : 503);
        return;
    }
    *connection = (tn_connection){.server = server, .peer = peer, .fd = fd, .deadline = TN_DEADLINE_UNLISTED, .address = *address};
    peer->num_connections++;
    atomic_fetch_add(&server->num_connections, 1);
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = connection};
    tn_connection_set_deadline(connection, TN_DEADLINE_HEAD);
    server->accepted = connection;
    bool is_taken = epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
    if (!is_taken)
        close(fd);
    else
        is_taken = MHD_add_connection(server->daemon, fd, (const struct sockaddr *)address, size) == MHD_YES;
    if (!is_taken && server->accepted != NULL) tn_connection_destroy(connection);
    server->accepted = NULL;
}

void tn_listeners_accept(tn_server *server, int listener) {
    for (int i = 0; i < MAX_ACCEPTS; i++) {
        struct sockaddr_storage address = {0};
        socklen_t size = sizeof address;
        int fd = accept4(listener, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(server, fd, &address, size);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        /* no descriptor, no memory: what waits goes on waiting */
        if (errno != EAGAIN) tn_listeners_pause(server, accept_pause_ns);
        return;
    }
}

static void watch(tn_server *server, uint32_t events) {
    for (int i = 0; i < server->num_listeners; i++) {
        struct epoll_event event = {.events = events, .data.ptr = &server->listeners[i]};
        (void)epoll_ctl(server->epoll, EPOLL_CTL_MOD, server->listeners[i], &event);
    }
}

void tn_listeners_pause(tn_server *server, int64_t pause_ns) {
    server->accept_again_ns = server->now_ns + pause_ns;
    watch(server, 0);
}

void tn_listeners_resume(tn_server *server) {
    server->accept_again_ns = 0;
    watch(server, EPOLLIN);
}
