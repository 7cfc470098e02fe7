/* SPDX-License-Identifier: Apache-2.0
 *
 * http_response_test.c: responses whole, cut at every byte, and wrong in every way that the header names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cli/http_response.h"
#include "support/fault_allocator.h"

static tn_http_response response;
static char body[4096];
static size_t body_size, num_used;

/* Feeds pieces of at most `piece` bytes. */
static tn_status feed(const char *bytes, size_t size, size_t piece) {
    body_size = num_used = 0;
    while (num_used < size && !response.is_complete) {
        const char *part;
        size_t used, part_size, count = size - num_used < piece ? size - num_used : piece;
        /* A copy of just these bytes: reading further is seen by sanitizers. */
        char *copy = malloc(count);
        assert_non_null(copy);
        memcpy(copy, bytes + num_used, count);
        tn_status status = tn_http_response_feed(&response, copy, count, &used, &part, &part_size);
        assert_true(used <= count);
        if (status == TN_OK) assert_true(used >= 1);
        assert_true(body_size + part_size < sizeof body);
        if (part_size > 0) memcpy(body + body_size, part, part_size);
        body_size += part_size;
        num_used += used;
        free(copy);
        if (status != TN_OK) return status;
    }
    body[body_size] = '\0';
    return TN_OK;
}

static int set_up(void **state) {
    (void)state;
    tn_http_response_init(&response, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tn_http_response_deinit(&response);
    return 0;
}

#define CHUNKED                                                                                               \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n" \
    "5\r\nHello\r\n00a;name=\"value\"\r\n, \r\nworld!\r\n0\r\nTrailer: skipped\r\n\r\n"
#define SIZED     "HTTP/1.1 429 Too Many Requests\r\ncontent-length:  3 \r\nRetry-After: 1\r\n\r\nno!"
#define TO_CLOSE  "HTTP/1.0 200 OK\nContent-Type: text/plain\n\nall there is"
#define CONTINUED "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define EMPTY     "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"

static const struct {
    const char *text, *body;
    int status;
    bool is_event_stream, keeps_connection;
} good[] = {
    {CHUNKED, "Hello, \r\nworld!", 200, true, true},
    {SIZED, "no!", 429, false, true},
    {TO_CLOSE, "all there is", 200, false, false},
    {CONTINUED, "ok", 200, false, true},
    {EMPTY, "", 204, false, false},
    {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", "", 200, false, true},
    {"HTTP/1.1 200\r\nContent-Type: text/event-streams\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "x", 200, false, true},
};

static void a_response_is_the_same_in_pieces_of_any_size(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        for (size_t piece = 1; piece <= strlen(good[i].text); piece++) {
            tn_http_response_reset(&response);
            assert_int_equal(feed(good[i].text, strlen(good[i].text), piece), TN_OK);
            if (!response.is_complete) assert_int_equal(tn_http_response_end(&response), TN_OK);
            assert_int_equal(num_used, strlen(good[i].text));
            assert_string_equal(body, good[i].body);
            assert_int_equal(response.status, good[i].status);
            assert_int_equal(response.is_event_stream, good[i].is_event_stream);
            assert_int_equal(response.keeps_connection, good[i].keeps_connection);
        }
}

static void a_response_cut_at_any_byte_is_not_complete(void **state) {
    (void)state;
    static const char *const texts[] = {CHUNKED, SIZED, CONTINUED, EMPTY};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t size = 0; size < strlen(texts[i]); size++) {
            tn_http_response_reset(&response);
            assert_int_equal(feed(texts[i], size, 7), TN_OK);
            assert_false(response.is_complete);
            assert_int_equal(tn_http_response_end(&response), TN_INVALID_DATA);
            assert_string_equal(response.error, "the server closed the connection before the answer's end");
        }
}

static void bytes_behind_the_response_are_left(void **state) {
    (void)state;
    static const char text[] = SIZED "HTTP/1.1 200 OK\r\n";
    assert_int_equal(feed(text, sizeof text - 1, sizeof text), TN_OK);
    assert_true(response.is_complete);
    assert_int_equal(num_used, sizeof SIZED - 1);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
    } wrong[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP/1.1"},
        {"HTTP/2 200\r\n", "the answer is not HTTP/1.1"},
        {"HTTP/1.1 20x OK\r\n", "the answer is not HTTP/1.1"},
        {"HTTP/1.1 2000\r\n", "the answer is not HTTP/1.1"},
        {"HTTP/1.1 099 x\r\n", "the answer's status cannot be used"},
        {"HTTP/1.1 101 Switching Protocols\r\n", "the answer's status cannot be used"},
        {"HTTP/1.1 200 OK\r\nno colon\r\n", "it has a header line without name"},
        {"HTTP/1.1 200 OK\r\n: value\r\n", "it has a header line without name"},
        {"HTTP/1.1 200 OK\r\nname : value\r\n", "it has a header line without name"},
        {"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n", "it has a folded header line"},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", "its Content-Length is no number"},
        {"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n", "its Content-Length is no number"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n", "its Content-Length is no number"},
        {"HTTP/1.1 200 OK\r\nContent-Length:\r\n", "its Content-Length is no number"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n", "its Content-Length is no number"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n", "it has two different Content-Lengths"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "it has a Content-Length and a Transfer-Encoding"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n", "its Transfer-Encoding is not just chunked"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "its Transfer-Encoding is not just chunked"},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n", "it is compressed, which was not asked for"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "a chunk's size is no number"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "a chunk's size is no number"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1x\r\n", "a chunk's size is no number"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", "a chunk's size is beyond 64 bits"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "a chunk is longer than its size"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tn_http_response_reset(&response);
        tn_status status = feed(wrong[i].text, strlen(wrong[i].text), 1);
        if (status != TN_INVALID_DATA) fail_msg("accepted: %s", wrong[i].text);
        assert_string_equal(response.error, wrong[i].error);
    }
    tn_http_response_reset(&response);
    assert_int_equal(feed("HTTP/1.1 200 OK\r\nA: \0\r\n", 23, 23), TN_INVALID_DATA);
    assert_string_equal(response.error, "it has a NUL in a line");
}

static void heads_and_lines_without_end_are_refused(void **state) {
    (void)state;
    static const char begin[] = "HTTP/1.1 200 OK\r\n", field[] = "Some-Name: some value\r\n";
    tn_text text = {0};
    tn_text_append_string(&text, begin);
    for (int i = 0; i < 101; i++) tn_text_append_string(&text, field);
    assert_int_equal(feed(text.data, text.size, 500), TN_INVALID_DATA);
    assert_string_equal(response.error, "it has more than 100 header fields");
    tn_http_response_reset(&response);
    tn_text_reset(&text);
    tn_text_append_string(&text, begin);
    for (int i = 0; i < 17 << 10; i++) tn_text_append_char(&text, 'x');
    assert_int_equal(feed(text.data, text.size, 500), TN_INVALID_DATA);
    assert_string_equal(response.error, "it has a line of more than 16 KiB");
    tn_http_response_reset(&response);
    tn_text_reset(&text);
    for (int i = 0; i < 5000; i++) tn_text_append_string(&text, "HTTP/1.1 100 C\r\n\r\n");
    assert_int_equal(feed(text.data, text.size, 500), TN_INVALID_DATA);
    assert_string_equal(response.error, "its head is larger than 64 KiB");
    tn_http_response_reset(&response);
    tn_text_reset(&text);
    tn_text_append_string(&text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 5000; i++) tn_text_append_string(&text, "Trailer: value\r\n");
    assert_int_equal(feed(text.data, text.size, 500), TN_INVALID_DATA);
    assert_string_equal(response.error, "its head is larger than 64 KiB");
    tn_text_deinit(&text);
}

static void each_allocation_failing_is_told(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_http_response_deinit(&response);
        tn_http_response_init(&response, &fault.allocator);
        tn_status status = feed(CHUNKED, sizeof CHUNKED - 1, 9);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        tn_http_response_deinit(&response);
        tn_http_response_init(&response, NULL);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) break;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_response_is_the_same_in_pieces_of_any_size), TEST(a_response_cut_at_any_byte_is_not_complete),
        TEST(bytes_behind_the_response_are_left),           TEST(what_is_wrong_is_named),
        TEST(heads_and_lines_without_end_are_refused),      TEST(each_allocation_failing_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
