/* SPDX-License-Identifier: Apache-2.0
 *
 * sse_test.c: streams of events, split at every byte, ended in each of three ways, too large, without memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/sse.h"
#include "support/fault_allocator.h"

/* All events of a stream given in pieces of at most `piece` bytes, each followed by '|'. */
static tn_status read_all(tn_sse *sse, const char *text, size_t size, size_t piece, tn_text *events) {
    while (size > 0) {
        size_t count = size < piece ? size : piece, left = count, data_size;
        char *copy = malloc(count);
        assert_non_null(copy);
        memcpy(copy, text, count);
        const char *at = copy, *data;
        tn_status status;
        do {
            status = tn_sse_next(sse, &at, &left, &data, &data_size);
            if (status == TN_OK && data == NULL) assert_int_equal(left, 0);
            if (data == NULL) break;
            assert_int_equal(data[data_size], '\0');
            tn_text_append(events, data, data_size);
            tn_text_append_char(events, '|');
        } while (status == TN_OK);
        free(copy);
        if (status != TN_OK) return status;
        text += count, size -= count;
    }
    return TN_OK;
}

static void expect(const char *text, const char *expected) {
    tn_sse sse;
    tn_text events = {0};
    tn_sse_init(&sse, NULL);
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        tn_sse_reset(&sse);
        tn_text_reset(&events);
        assert_int_equal(read_all(&sse, text, strlen(text), piece, &events), TN_OK);
        if (strcmp(events.data != NULL ? events.data : "", expected) != 0)
            fail_msg("'%s' in pieces of %zu: '%s', must be '%s'", text, piece, events.data != NULL ? events.data : "", expected);
    }
    tn_sse_deinit(&sse);
    tn_text_deinit(&events);
}

static void events_are_the_same_in_pieces_of_any_size(void **state) {
    (void)state;
    expect("data: {\"a\": 1}\n\ndata: {\"b\": \"\xe2\x82\xac\"}\n\ndata: [DONE]\n\n", "{\"a\": 1}|{\"b\": \"\xe2\x82\xac\"}|[DONE]|");
}

static void lines_end_in_three_ways(void **state) {
    (void)state;
    expect("data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\r\n\ndata: e\n\r\n", "a|b|c|d|e|");
}

static void data_lines_of_one_event_are_joined(void **state) {
    (void)state;
    expect("data: a\ndata: b\n\ndata\ndata\n\ndata:\n\ndata:  x\n\n", "a\nb|\n|| x|");
}

static void what_is_no_data_is_skipped(void **state) {
    (void)state;
    expect("\xef\xbb\xbf: ping\n\nevent: message\nid: 7\nretry: 5\ndata: a\n\n:\n\nevent: none\n\ndatabase: b\ndat: c\n\nid\ndata: d\n\n",
           "a|d|");
}

static void an_event_cut_by_the_end_is_dropped(void **state) {
    (void)state;
    expect("data: a\n\ndata: b\n", "a|");
    expect("data: a\n\ndata: b", "a|");
    expect("data: a\n", "");
}

static void an_event_without_end_is_refused(void **state) {
    (void)state;
    enum { LINE = 1 << 16 };
    char *line = malloc(LINE);
    assert_non_null(line);
    memset(line, 'x', LINE);
    memcpy(line, "data: ", 6);
    tn_sse sse;
    tn_text events = {0};
    for (int is_one_line = 0; is_one_line < 2; is_one_line++) {
        tn_sse_init(&sse, NULL);
        line[LINE - 1] = is_one_line ? 'x' : '\n';
        tn_status status = TN_OK;
        for (int i = 0; i < 15; i++) assert_int_equal(read_all(&sse, line, LINE, LINE, &events), TN_OK);
        for (int i = 0; i < 2 && status == TN_OK; i++) status = read_all(&sse, line, LINE, LINE, &events);
        assert_int_equal(status, TN_INVALID_DATA);
        assert_int_equal(events.size, 0);
        tn_sse_deinit(&sse);
    }
    tn_text_deinit(&events);
    free(line);
}

static void each_allocation_failing_is_told(void **state) {
    (void)state;
    static const char text[] = "data: a line that is cut\ndata: and another, of some length more than the first needs\n\n";
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_sse sse;
        tn_text events = {0};
        tn_fault_allocator_init(&fault, n);
        tn_sse_init(&sse, &fault.allocator);
        tn_status status = read_all(&sse, text, sizeof text - 1, 10, &events);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        tn_sse_deinit(&sse);
        tn_text_deinit(&events);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_the_same_in_pieces_of_any_size), cmocka_unit_test(lines_end_in_three_ways),
        cmocka_unit_test(data_lines_of_one_event_are_joined),        cmocka_unit_test(what_is_no_data_is_skipped),
        cmocka_unit_test(an_event_cut_by_the_end_is_dropped),        cmocka_unit_test(an_event_without_end_is_refused),
        cmocka_unit_test(each_allocation_failing_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
