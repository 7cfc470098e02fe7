/* SPDX-License-Identifier: Apache-2.0
 *
 * http_client.c: see http_client.h.
 *
 * A connection is idle (kept for the next request) or has one request. All are in one table; the free and the idle ones are lists in
 * it. epoll is level-triggered and names a connection by its place in the table and a count of its uses, so that an event of a
 * socket that was closed meanwhile is known for what it is.
 */
#include "cli/http_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/thread.h"

enum { READ_BYTES = 64 << 10, MAX_EVENTS = 256, NONE = -1 };

typedef struct connection {
    int socket; /* −1: none */
    uint32_t generation;
    bool is_active, is_connected, was_used, wants_write;
    int32_t next, previous; /* of the free or idle list; of the active ones, oldest first */
    uint64_t request;
    tn_text out; /* the request's bytes */
    size_t num_sent;
    int64_t begin_ns;
    tn_http_response response;
} connection;

typedef struct list {
    int32_t first, last;
} list;

struct tn_http_client {
    tn_http_client_options options;
    const tn_allocator *allocator;
    struct sockaddr_storage address;
    socklen_t address_size;
    int family, epoll;
    TN_ARRAY(connection *) connections;
    list free, idle, active;
    size_t num_active;
    char buffer[READ_BYTES];
};

/* --- addresses ---------------------------------------------------------------------------------------------------------------- */

static tn_status refuse_address(tn_diag *diag, const char *text) {
    const tn_where where = {.hint = "give one such as http://127.0.0.1:8000"};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot use the address '%s': must be http://host[:port][/prefix]", text);
}

static bool is_visible(const char *text) {
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f) return false;
    return true;
}

tn_status tn_http_address_parse(const char *text, const tn_allocator *allocator, tn_diag *diag, tn_http_address *out_address) {
    *out_address = (tn_http_address){.allocator = allocator};
    if (strncmp(text, "https://", 8) == 0) {
        const tn_where where = {.hint = "measure behind the proxy that speaks TLS, or give the server's http address"};
        return tn_fail_at(diag, TN_UNSUPPORTED, &where, "cannot use the address '%s': https is not built into the load generator", text);
    }
    if (strncmp(text, "http://", 7) != 0 || !is_visible(text)) return refuse_address(diag, text);
    const char *authority = text + 7, *end = authority + strcspn(authority, "/?#"), *host = authority, *host_end = end;
    if (*end == '?' || *end == '#' || memchr(authority, '@', (size_t)(end - authority)) != NULL) return refuse_address(diag, text);
    const char *port = NULL;
    if (*host == '[') {
        host++;
        host_end = memchr(host, ']', (size_t)(end - host));
        if (host_end == NULL || (host_end + 1 < end && host_end[1] != ':')) return refuse_address(diag, text);
        if (host_end + 1 < end) port = host_end + 2;
    } else if ((port = memchr(host, ':', (size_t)(end - host))) != NULL) {
        host_end = port++;
    }
    size_t port_size = port != NULL ? (size_t)(end - port) : 0, prefix_size = strlen(end);
    if (host_end == host || (port != NULL && (port_size == 0 || port_size > 5 || strspn(port, "0123456789") < port_size)))
        return refuse_address(diag, text);
    while (prefix_size > 0 && end[prefix_size - 1] == '/') prefix_size--;
    out_address->host = tn_copy_bytes(allocator, host, (size_t)(host_end - host));
    out_address->port = port != NULL ? tn_copy_bytes(allocator, port, port_size) : tn_copy_string(allocator, "80");
    out_address->prefix = tn_copy_bytes(allocator, end, prefix_size);
    out_address->authority = tn_copy_bytes(allocator, authority, (size_t)(end - authority));
    if (out_address->host != NULL && out_address->port != NULL && out_address->prefix != NULL && out_address->authority != NULL)
        return TN_OK;
    tn_http_address_deinit(out_address);
    return tn_fail_memory(diag, "an address", strlen(text));
}

void tn_http_address_deinit(tn_http_address *address) {
    tn_free(address->allocator, address->host);
    tn_free(address->allocator, address->port);
    tn_free(address->allocator, address->prefix);
    tn_free(address->allocator, address->authority);
    *address = (tn_http_address){0};
}

/* --- lists of connections ----------------------------------------------------------------------------------------------------- */

static void list_add(tn_http_client *client, list *to, int32_t index) {
    connection *added = client->connections.data[index];
    added->next = NONE;
    added->previous = to->last;
    if (to->last == NONE)
        to->first = index;
    else
        client->connections.data[to->last]->next = index;
    to->last = index;
}

static void list_remove(tn_http_client *client, list *from, int32_t index) {
    const connection *removed = client->connections.data[index];
    if (removed->previous == NONE)
        from->first = removed->next;
    else
        client->connections.data[removed->previous]->next = removed->next;
    if (removed->next == NONE)
        from->last = removed->previous;
    else
        client->connections.data[removed->next]->previous = removed->previous;
}

/* Index of a connection that is in no list; NONE without memory. */
static int32_t take_unused(tn_http_client *client) {
    int32_t index = client->free.first;
    if (index != NONE) {
        list_remove(client, &client->free, index);
        return index;
    }
    if (client->connections.count >= INT32_MAX) return NONE;
    connection *created = tn_alloc_zero(client->allocator, sizeof *created);
    if (created == NULL) return NONE;
    created->socket = -1;
    created->out.allocator = client->allocator;
    tn_http_response_init(&created->response, client->allocator);
    if (tn_array_push(client->allocator, &client->connections, created)) return (int32_t)client->connections.count - 1;
    tn_free(client->allocator, created);
    return NONE;
}

/* --- sockets ------------------------------------------------------------------------------------------------------------------ */

static bool watch(tn_http_client *client, int32_t index, int operation, uint32_t events) {
    const connection *watched = client->connections.data[index];
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)watched->generation << 32 | (uint32_t)index};
    return epoll_ctl(client->epoll, operation, watched->socket, &event) == 0;
}

static void close_socket(connection *closed) {
    if (closed->socket >= 0) (void)close(closed->socket); /* which also takes it from epoll */
    closed->socket = -1;
    closed->generation++;
    closed->is_connected = closed->was_used = closed->wants_write = false;
}

static const char *describe(int error) {
    const char *text = strerrordesc_np(error);
    return text != NULL ? text : "unknown error";
}

static void set_up_socket(int new_socket) {
    int one = 1;
    (void)setsockopt(new_socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)fcntl(new_socket, F_SETFL, O_NONBLOCK);
}

/* A new socket that begins to connect. NULL, or what is wrong. */
static const char *open_socket(tn_http_client *client, int32_t index) {
    connection *opened = client->connections.data[index];
    opened->socket = socket(client->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (opened->socket < 0) return describe(errno);
    set_up_socket(opened->socket);
    int result = connect(opened->socket, (const struct sockaddr *)&client->address, client->address_size);
    if (result != 0 && errno != EINPROGRESS) return describe(errno);
    opened->is_connected = result == 0;
    opened->wants_write = true;
    return watch(client, index, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT) ? NULL : describe(errno);
}

/* --- requests ----------------------------------------------------------------------------------------------------------------- */

/* The request of this connection is over; the connection is kept if it can be. */
static void end_request(tn_http_client *client, int32_t index, const char *error, int64_t now_ns) {
    connection *ended = client->connections.data[index];
    list_remove(client, &client->active, index);
    client->num_active--;
    ended->is_active = false;
    client->options.on_end(client->options.context, ended->request, &ended->response, error, now_ns);
    if (error == NULL && ended->response.keeps_connection && ended->num_sent == ended->out.size) {
        ended->was_used = true;
        list_add(client, &client->idle, index);
    } else {
        close_socket(ended);
        list_add(client, &client->free, index);
    }
}

static void begin_again(tn_http_client *client, int32_t index, int64_t now_ns) {
    connection *again = client->connections.data[index];
    close_socket(again);
    again->num_sent = 0;
    const char *error = open_socket(client, index);
    if (error != NULL) end_request(client, index, error, now_ns);
}

/* The connection broke. */
static void lose(tn_http_client *client, int32_t index, const char *error, int64_t now_ns) {
    const connection *lost = client->connections.data[index];
    bool is_stale = lost->was_used && lost->response.status == 0 && lost->response.line.size == 0;
    if (is_stale)
        begin_again(client, index, now_ns);
    else
        end_request(client, index, error, now_ns);
}

/* Sends what the socket takes. False: the connection is lost or the request over. */
static bool write_out(tn_http_client *client, int32_t index) {
    connection *writer = client->connections.data[index];
    while (writer->num_sent < writer->out.size) {
        ssize_t count = send(writer->socket, writer->out.data + writer->num_sent, writer->out.size - writer->num_sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && (errno == EAGAIN || errno == ENOTCONN)) break;
        if (count < 0) {
            /* The server may have answered before it closed: what it said is worth more than how. */
            if (errno == EPIPE || errno == ECONNRESET) writer->num_sent = writer->out.size;
            if (writer->num_sent == writer->out.size) break;
            lose(client, index, describe(errno), tn_now_ns());
            return false;
        }
        writer->num_sent += (size_t)count;
    }
    bool wants_write = writer->num_sent < writer->out.size;
    if (wants_write != writer->wants_write) {
        writer->wants_write = wants_write;
        (void)watch(client, index, EPOLL_CTL_MOD, wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
    return true;
}

/* Gives bytes to the response, and its body to the caller. */
static void take_bytes(tn_http_client *client, int32_t index, const char *bytes, size_t size, int64_t now_ns) {
    connection *taker = client->connections.data[index];
    while (size > 0 && !taker->response.is_complete) {
        const char *body;
        size_t used, body_size;
        tn_status status = tn_http_response_feed(&taker->response, bytes, size, &used, &body, &body_size);
        if (status != TN_OK) {
            end_request(client, index, taker->response.error, now_ns);
            return;
        }
        if (body_size > 0 && !client->options.on_body(client->options.context, taker->request, &taker->response, body, body_size, now_ns)) {
            end_request(client, index, "given up", now_ns);
            return;
        }
        bytes += used;
        size -= used;
    }
    if (!taker->response.is_complete) return;
    if (size > 0) taker->response.keeps_connection = false; /* bytes behind the answer belong to none */
    end_request(client, index, NULL, now_ns);
}

static void read_in(tn_http_client *client, int32_t index) {
    connection *reader = client->connections.data[index];
    ssize_t count = recv(reader->socket, client->buffer, sizeof client->buffer, 0);
    int error = errno;
    int64_t now_ns = tn_now_ns();
    if (count > 0) {
        take_bytes(client, index, client->buffer, (size_t)count, now_ns);
    } else if (count == 0) {
        bool is_begun = reader->response.status != 0 || reader->response.line.size > 0;
        if (is_begun && tn_http_response_end(&reader->response) == TN_OK)
            end_request(client, index, NULL, now_ns);
        else
            lose(client, index, is_begun ? reader->response.error : "the server closed the connection without an answer", now_ns);
    } else if (error != EAGAIN && error != EINTR) {
        lose(client, index, describe(error), now_ns);
    }
}

tn_status tn_http_client_send(tn_http_client *client, const char *request, size_t size_bytes, uint64_t id) {
    int32_t index = client->idle.last;
    bool is_kept = index != NONE;
    if (is_kept)
        list_remove(client, &client->idle, index);
    else if ((index = take_unused(client)) == NONE)
        return tn_fail_memory(client->options.diag, "a connection", sizeof(connection));
    connection *sender = client->connections.data[index];
    tn_text_reset(&sender->out);
    tn_text_append(&sender->out, request, size_bytes);
    if (sender->out.failed) {
        list_add(client, is_kept ? &client->idle : &client->free, index);
        return tn_fail_memory(client->options.diag, "a request", size_bytes);
    }
    tn_http_response_reset(&sender->response);
    sender->request = id;
    sender->num_sent = 0;
    sender->begin_ns = tn_now_ns();
    sender->is_active = true;
    list_add(client, &client->active, index);
    client->num_active++;
    if (is_kept) {
        (void)write_out(client, index);
        return TN_OK;
    }
    begin_again(client, index, sender->begin_ns);
    return TN_OK;
}

/* --- events ------------------------------------------------------------------------------------------------------------------- */

static void handle_event(tn_http_client *client, const struct epoll_event *event) {
    int32_t index = (int32_t)(uint32_t)event->data.u64;
    connection *here = client->connections.data[index];
    if (here->generation != (uint32_t)(event->data.u64 >> 32) || here->socket < 0) return;
    if (!here->is_active) { /* a kept connection: the server closed it, or speaks without being asked */
        list_remove(client, &client->idle, index);
        close_socket(here);
        list_add(client, &client->free, index);
        return;
    }
    if (!here->is_connected && (event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        int error = 0;
        socklen_t size = sizeof error;
        (void)getsockopt(here->socket, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            end_request(client, index, describe(error), tn_now_ns());
            return;
        }
        here->is_connected = true;
    }
    uint32_t generation = here->generation;
    if (here->is_connected && here->wants_write && !write_out(client, index)) return;
    if (here->generation == generation && here->is_active && (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) read_in(client, index);
}

static void end_overdue(tn_http_client *client) {
    if (client->options.timeout_ns <= 0) return;
    int64_t now_ns = tn_now_ns();
    while (client->active.first != NONE) {
        int32_t index = client->active.first;
        if (now_ns - client->connections.data[index]->begin_ns < client->options.timeout_ns) return;
        end_request(client, index, "no answer within the time limit", now_ns);
    }
}

void tn_http_client_wait(tn_http_client *client, int timeout_ms) {
    enum { LOOK_AT_TIME_MS = 1000 };
    struct epoll_event events[MAX_EVENTS];
    if (client->options.timeout_ns > 0 && (timeout_ms < 0 || timeout_ms > LOOK_AT_TIME_MS)) timeout_ms = LOOK_AT_TIME_MS;
    int count = epoll_wait(client->epoll, events, MAX_EVENTS, timeout_ms);
    for (int i = 0; i < count; i++) handle_event(client, &events[i]);
    end_overdue(client);
}

size_t tn_http_client_num_active(const tn_http_client *client) {
    return client->num_active;
}

/* --- life --------------------------------------------------------------------------------------------------------------------- */

/* Keeps a connected socket for the first request. */
static tn_status keep_socket(tn_http_client *client, int kept_socket) {
    int32_t index = take_unused(client);
    if (index == NONE) {
        (void)close(kept_socket);
        return tn_fail_memory(client->options.diag, "a connection", sizeof(connection));
    }
    connection *kept = client->connections.data[index];
    kept->socket = kept_socket;
    kept->is_connected = kept->was_used = true;
    if (!watch(client, index, EPOLL_CTL_ADD, EPOLLIN)) return tn_fail(client->options.diag, TN_IO_ERROR, "cannot watch a socket: %m");
    list_add(client, &client->idle, index);
    return TN_OK;
}

/* The first of the host's addresses that takes a connection, and this connection. */
static tn_status choose_address(tn_http_client *client, const tn_http_address *address) {
    tn_diag *diag = client->options.diag;
    struct addrinfo *found = NULL;
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int result = getaddrinfo(address->host, address->port, &wanted, &found);
    if (result != 0) return tn_fail(diag, TN_NOT_FOUND, "cannot find the host '%s': %s", address->host, gai_strerror(result));
    int error = 0, connected = -1;
    for (const struct addrinfo *at = found; at != NULL && connected < 0; at = at->ai_next) {
        connected = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connected >= 0 && at->ai_addrlen <= sizeof client->address && connect(connected, at->ai_addr, at->ai_addrlen) == 0) {
            memcpy(&client->address, at->ai_addr, at->ai_addrlen);
            client->address_size = at->ai_addrlen;
            client->family = at->ai_family;
            break;
        }
        error = errno;
        if (connected >= 0) (void)close(connected);
        connected = -1;
    }
    freeaddrinfo(found);
    if (connected >= 0) {
        set_up_socket(connected);
        return keep_socket(client, connected);
    }
    const tn_where where = {.hint = "is the server running, and is this its address?"};
    return tn_fail_at(diag, TN_NOT_FOUND, &where, "cannot connect to %s: %s", address->authority, describe(error));
}

tn_status tn_http_client_create(const tn_http_address *address, const tn_http_client_options *options, tn_http_client **out_client) {
    *out_client = NULL;
    tn_http_client *client = tn_alloc_zero(options->allocator, sizeof *client);
    if (client == NULL) return tn_fail_memory(options->diag, "an HTTP client", sizeof *client);
    client->options = *options;
    client->allocator = options->allocator;
    client->free = client->idle = client->active = (list){NONE, NONE};
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    tn_status status = client->epoll >= 0 ? choose_address(client, address)
                                          : tn_fail(options->diag, TN_INTERNAL, "cannot create an epoll instance: %s", describe(errno));
    if (status != TN_OK) {
        tn_http_client_destroy(client);
        return status;
    }
    *out_client = client;
    return TN_OK;
}

void tn_http_client_destroy(tn_http_client *client) {
    if (client == NULL) return;
    for (size_t i = 0; i < client->connections.count; i++) {
        connection *ended = client->connections.data[i];
        close_socket(ended);
        tn_text_deinit(&ended->out);
        tn_http_response_deinit(&ended->response);
        tn_free(client->allocator, ended);
    }
    tn_array_deinit(client->allocator, &client->connections);
    if (client->epoll >= 0) (void)close(client->epoll);
    tn_free(client->allocator, client);
}
