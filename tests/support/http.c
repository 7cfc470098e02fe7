/* SPDX-License-Identifier: Apache-2.0
 *
 * http.c: a small client.
 */
#include "support/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_MS = 20000 };

int tn_test_connect_small(uint16_t port, int buffer_bytes) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (buffer_bytes > 0) assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes), 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail_msg("cannot connect to port %u: %s", (unsigned)port, strerror(errno));
    return fd;
}

int tn_test_connect(uint16_t port) {
    return tn_test_connect_small(port, 0);
}

bool tn_test_send(int fd, const void *bytes, size_t size) {
    for (size_t sent = 0; sent < size;) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        if (poll(&ready, 1, TIMEOUT_MS) != 1) return false;
        ssize_t count = send(fd, (const char *)bytes + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (count < 0) return false;
        sent += (size_t)count;
    }
    return true;
}

bool tn_test_send_text(int fd, const char *text) {
    return tn_test_send(fd, text, strlen(text));
}

/* One more byte or many; 0: the end, or time is over. */
static size_t read_some(int fd, char *bytes, size_t size) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, TIMEOUT_MS) != 1) return 0;
    ssize_t count = recv(fd, bytes, size, 0);
    return count > 0 ? (size_t)count : 0;
}

/* Up to and with the line's end, byte by byte: nothing of what follows may be taken. */
static size_t read_line(int fd, char *line, size_t size) {
    size_t used = 0;
    while (used + 1 < size && read_some(fd, line + used, 1) == 1)
        if (line[used++] == '\n') break;
    line[used] = '\0';
    return used;
}

static bool read_exactly(int fd, tn_test_http *answer, size_t count) {
    answer->body = realloc(answer->body, answer->size + count + 1);
    assert_non_null(answer->body);
    size_t end = answer->size + count;
    while (answer->size < end) {
        size_t num_read = read_some(fd, answer->body + answer->size, end - answer->size);
        if (num_read == 0) break;
        answer->size += num_read;
    }
    answer->body[answer->size] = '\0';
    return answer->size == end;
}

static bool read_chunks(int fd, tn_test_http *answer) {
    char line[64];
    for (;;) {
        if (read_line(fd, line, sizeof line) == 0) return false;
        size_t count = strtoul(line, NULL, 16);
        if (count > 0 && !read_exactly(fd, answer, count)) return false;
        if (read_line(fd, line, sizeof line) == 0) return false;
        if (count == 0) return true;
    }
}

static bool read_body(int fd, tn_test_http *answer) {
    const char *length = strcasestr(answer->head, "\ncontent-length:");
    if (strcasestr(answer->head, "\ntransfer-encoding: chunked") != NULL) return read_chunks(fd, answer);
    if (length != NULL) return read_exactly(fd, answer, strtoul(length + 16, NULL, 10));
    if (answer->status == 204 || answer->status == 304) return true;
    while (read_exactly(fd, answer, 1)) {}
    return true;
}

tn_test_http tn_test_receive(int fd, bool is_head) {
    enum { MAX_HEAD = 65536 };
    tn_test_http answer = {0};
    do {
        size_t used = 0, count;
        free(answer.head);
        answer.status = 0;
        answer.head = malloc(MAX_HEAD);
        assert_non_null(answer.head);
        answer.head[0] = '\0';
        while (used + 1024 < MAX_HEAD && (count = read_line(fd, answer.head + used, MAX_HEAD - used)) > 0) {
            used += count;
            if (strcmp(answer.head + used - count, "\r\n") == 0) break;
        }
        if (sscanf(answer.head, "HTTP/1.%*c %d", &answer.status) != 1) answer.status = 0;
    } while (answer.status == 100);
    answer.body = calloc(1, 1);
    answer.is_whole = answer.status != 0 && (is_head || read_body(fd, &answer));
    return answer;
}

bool tn_test_is_closed(int fd, int timeout_ms) {
    char scratch[4096];
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (poll(&ready, 1, timeout_ms) == 1)
        if (recv(fd, scratch, sizeof scratch, 0) <= 0) return true;
    return false;
}

void tn_test_http_free(tn_test_http *answer) {
    free(answer->head);
    free(answer->body);
    *answer = (tn_test_http){0};
}

tn_test_http tn_test_raw(uint16_t port, const void *bytes, size_t size) {
    int fd = tn_test_connect(port);
    (void)tn_test_send(fd, bytes, size); /* the server may have answered and closed before all was sent */
    tn_test_http answer = tn_test_receive(fd, false);
    close(fd);
    return answer;
}

tn_test_http tn_test_request(uint16_t port, const char *method, const char *path, const char *headers, const char *body) {
    char head[8192];
    int size = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s", method, path, (unsigned)port,
                        headers != NULL ? headers : "");
    if (body != NULL)
        size +=
            snprintf(head + size, sizeof head - (size_t)size, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    size += snprintf(head + size, sizeof head - (size_t)size, "\r\n");
    assert_true(size < (int)sizeof head);
    int fd = tn_test_connect(port);
    if (tn_test_send(fd, head, (size_t)size) && body != NULL) (void)tn_test_send_text(fd, body);
    tn_test_http answer = tn_test_receive(fd, strcmp(method, "HEAD") == 0);
    close(fd);
    return answer;
}

tn_test_http tn_test_get(uint16_t port, const char *path) {
    return tn_test_request(port, "GET", path, NULL, NULL);
}

tn_test_http tn_test_post(uint16_t port, const char *path, const char *body) {
    return tn_test_request(port, "POST", path, NULL, body);
}
