/* SPDX-License-Identifier: Apache-2.0
 *
 * disconnect_test.c: clients that leave, in every phase: while they connect, in the head, in the body, while their request waits, in a
 * stream, by closing, by half closing, by a reset. Nothing of them is left: no block of the cache, no memory, no descriptor; and
 * the answers of others are what they were.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "support/server.h"

#ifdef TN_SANITIZED
enum { NUM_CLIENTS = 400, NUM_IDLE = 150, NUM_SLOW = 20 };
#else
enum { NUM_CLIENTS = 10000, NUM_IDLE = 1000, NUM_SLOW = 200 };
#endif

static const char normal[] = "{\"prompt\": \"Once upon a time\", \"max_tokens\": 24, \"temperature\": 1, \"seed\": 3}";

static tn_test_server self;
static uint32_t random_state = 1;

static uint32_t pick(uint32_t below) {
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

static char *normal_answer(void) {
    tn_test_http answer = tn_test_post(self.port, "/v1/completions", normal);
    assert_int_equal(answer.status, 200);
    char *text = strstr(answer.body, "\"choices\": ");
    assert_non_null(text);
    char *end = strstr(text, "\"usage\"");
    assert_non_null(end);
    *end = '\0';
    char *copy = strdup(text);
    assert_non_null(copy);
    tn_test_http_free(&answer);
    return copy;
}

static void leave(int fd) {
    struct linger reset = {.l_onoff = 1};
    switch (pick(3)) {
    case 0: break;
    case 1: (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); break; /* a reset in place of an end */
    default: (void)shutdown(fd, SHUT_WR);
    }
    close(fd);
}

/* One client that leaves somewhere. */
static void come_and_go(void) {
    char body[256], text[768];
    snprintf(body, sizeof body,
             "{\"prompt\": \"Request %u\", \"max_tokens\": %u, \"n\": %u, \"stream\": %s, \"ignore_eos\": true, \"stop\": \"zz\"}",
             (unsigned)pick(1000), 1 + (unsigned)pick(100), 1 + (unsigned)pick(3), pick(2) == 0 ? "true" : "false");
    snprintf(text, sizeof text,
             "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    int fd = tn_test_connect(self.port);
    uint32_t phase = pick(5);
    size_t size = strlen(text);
    if (phase == 0) size = 0;
    if (phase == 1) size = pick((uint32_t)size);
    (void)tn_test_send(fd, text, size);
    if (phase >= 3) nanosleep(&(struct timespec){.tv_nsec = (long)pick(phase == 3 ? 1000000 : 3000000)}, NULL);
    if (phase == 4) (void)!recv(fd, text, sizeof text, MSG_DONTWAIT);
    leave(fd);
}

/* A context of the engine keeps what it prepared for the last 32 shapes: steps of 40 shapes fill that before anything is counted. */
static void fill_caches_of_the_engine(void) {
    enum { NUM_SHAPES = 40 };
    char body[256];
    for (int i = 1; i <= NUM_SHAPES; i++) {
        snprintf(body, sizeof body, "{\"prompt\": \"%.*s\", \"n\": %d, \"max_tokens\": 2, \"ignore_eos\": true}", i,
                 "Each length of a prompt is another shape.", i);
        tn_test_http answer = tn_test_post(self.port, "/v1/completions", body);
        assert_int_equal(answer.status, 200);
        tn_test_http_free(&answer);
    }
}

static void clients_that_leave_in_any_phase_leave_nothing_behind(void **state) {
    (void)state;
    tn_test_server_start(&self, NULL, NULL);
    char *before = normal_answer();
    fill_caches_of_the_engine();
    for (int i = 0; i < NUM_CLIENTS / 10; i++) come_and_go(); /* tables and buffers grow to what is under way at a time */
    tn_test_server_settle(&self);
    size_t before_bytes = tn_test_server_heap_bytes(&self);
    int num_descriptors = tn_test_num_descriptors();
    for (int i = 0; i < NUM_CLIENTS; i++) {
        come_and_go();
        if (i % (NUM_CLIENTS / 4) != 0) continue;
        char *beside = normal_answer();
        assert_string_equal(beside, before);
        free(beside);
    }
    tn_test_server_settle(&self);
    char *after = normal_answer();
    assert_string_equal(after, before);
    free(after);
    free(before);
    for (int i = 0; i < 1000 && tn_test_num_descriptors() > num_descriptors; i++) usleep(5000); /* lingering ones */
    assert_in_range(tn_test_num_descriptors(), 0, num_descriptors);
    assert_in_range(tn_test_server_heap_bytes(&self), 0,
                    before_bytes + 32768); /* more were under way at a time than before; 7 KB in 30,000 clients */
    tn_test_server_stop(&self);
}

static void idle_and_slow_clients_do_not_hold_up_others(void **state) {
    (void)state;
    static int idle[NUM_IDLE], slow[NUM_SLOW];
    tn_server_options options = tn_test_server_options(&self);
    options.max_connections = 1400;
    tn_test_server_start(&self, NULL, &options);
    char *before = normal_answer(), head[256];
    const char *body = "{\"prompt\": \"a\", \"max_tokens\": 60, \"ignore_eos\": true, \"stream\": true}";
    for (int i = 0; i < NUM_IDLE; i++) idle[i] = tn_test_connect(self.port);
    snprintf(head, sizeof head,
             "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             strlen(body));
    for (int i = 0; i < NUM_SLOW; i++) {
        slow[i] = tn_test_connect_small(self.port, 2048);
        assert_true(tn_test_send_text(slow[i], head) && tn_test_send_text(slow[i], body));
    }
    for (int i = 0; i < 5; i++) {
        char *beside = normal_answer();
        assert_string_equal(beside, before);
        free(beside);
    }
    for (int i = 0; i < NUM_IDLE; i++) close(idle[i]);
    for (int i = 0; i < NUM_SLOW; i++) close(slow[i]);
    tn_test_server_settle(&self);
    free(before);
    tn_test_server_stop(&self);
}

static void waiting_client_that_leaves_is_cancelled(void **state) {
    (void)state;
    tn_executor_options executor;
    tn_executor_options_init(&executor);
    executor.max_batch_size = 1;
    tn_test_server_start(&self, &executor, NULL);
    const char *body = "{\"prompt\": \"a\", \"max_tokens\": 500, \"ignore_eos\": true}";
    char text[512];
    int fds[6];
    snprintf(text, sizeof text,
             "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    for (int i = 0; i < 6; i++) {
        fds[i] = tn_test_connect(self.port);
        assert_true(tn_test_send_text(fds[i], text));
    }
    tn_server_info info = {0};
    for (int i = 0; i < 2000 && info.num_generations < 5; i++, usleep(500)) tn_server_get_info(self.server, &info);
    for (int i = 0; i < 6; i++) close(fds[i]);
    int64_t before = info.num_requests;
    tn_test_server_settle(&self);
    tn_executor_info executor_info;
    tn_executor_get_info(self.decoder.executor, &executor_info);
    assert_true(executor_info.num_steps < 2500); /* most of the 3,000 tokens were never made */
    tn_server_get_info(self.server, &info);
    assert_true(info.num_requests >= before);
    tn_test_server_stop(&self);
}

static int open_all(void **state) {
    (void)state;
    tn_test_server_open(&self, "cpu");
    return 0;
}

static int close_all(void **state) {
    (void)state;
    tn_test_server_close(&self);
    return 0;
}

int main(int argc, char **argv) {
    (void)argc;
    tn_test_turn_off_thread_caches(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_that_leave_in_any_phase_leave_nothing_behind),
        cmocka_unit_test(idle_and_slow_clients_do_not_hold_up_others),
        cmocka_unit_test(waiting_client_that_leaves_is_cancelled),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
