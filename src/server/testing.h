/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what tests by loopback share: `self`, the server, answers of which status and words are known, and the end of a test.
 * A program with one server for all of its tests has open_all and close_all around them and goes_on after each.
 */
#ifndef TN_SERVER_TESTING_H_
#define TN_SERVER_TESTING_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "support/server.h"

static tn_test_server self;
static size_t calm_heap_bytes; /* what the process held before the first test */

static inline void expect_answer(tn_test_http answer, int status, const char *words) {
    if (answer.status != status || !answer.is_whole || strstr(answer.body, words) == NULL)
        fail_msg("status %d%s, must be %d, with '%s' in:\n%s", answer.status, answer.is_whole ? "" : ", cut off", status, words,
                 answer.body);
    tn_test_http_free(&answer);
}

static inline void expect_post(const char *path, const char *body, int status, const char *words) {
    expect_answer(tn_test_post(self.port, path, body), status, words);
}

static inline int open_all(void **state) {
    (void)state;
    tn_test_server_open(&self, "cpu");
    tn_test_server_start(&self, NULL, NULL);
    expect_post("/v1/completions", "{\"prompt\": \"a\", \"max_tokens\": 1, \"n\": 128}", 200, "choices"); /* what grows once has grown */
    calm_heap_bytes = tn_test_server_heap_bytes(&self);
    return 0;
}

static inline int close_all(void **state) {
    (void)state;
    tn_test_server_close(&self);
    return 0;
}

/* A normal request is answered, nothing is under way, and no memory is left. main calls tn_test_turn_off_thread_caches. */
static inline int goes_on(void **state) {
    (void)state;
    expect_post("/v1/completions", "{\"prompt\": \"a\", \"max_tokens\": 1}", 200, "choices");
    tn_test_server_settle(&self);
    assert_in_range(tn_test_server_heap_bytes(&self), 0, calm_heap_bytes + 65536);
    return 0;
}

#endif
