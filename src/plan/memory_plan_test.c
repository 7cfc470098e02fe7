/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_plan_test.c: placements never overlap, are aligned, and are near the best there is for small cases.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/memory_plan.h"

enum { MAX_REQUESTS = 300 };

static bool live_together(const tn_memory_request *a, const tn_memory_request *b) {
    return a->first_step <= b->last_step && b->first_step <= a->last_step;
}

static size_t padded(size_t size) {
    return (size + 63) / 64 * 64;
}

static void assert_valid(const tn_memory_request *requests, size_t count, size_t total) {
    size_t end = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(requests[i].offset % 64, 0);
        size_t mine = requests[i].offset + padded(requests[i].size_bytes);
        if (mine > end) end = mine;
        for (size_t j = 0; j < i; j++)
            if (live_together(&requests[i], &requests[j]) && requests[i].size_bytes > 0 && requests[j].size_bytes > 0)
                assert_true(requests[i].offset >= requests[j].offset + padded(requests[j].size_bytes) || requests[j].offset >= mine);
    }
    assert_int_equal(total, end);
}

static size_t lower_bound(const tn_memory_request *requests, size_t count, uint32_t num_steps) {
    size_t bound = 0;
    for (uint32_t step = 0; step < num_steps; step++) {
        size_t live = 0;
        for (size_t i = 0; i < count; i++)
            if (requests[i].first_step <= step && step <= requests[i].last_step) live += padded(requests[i].size_bytes);
        if (live > bound) bound = live;
    }
    return bound;
}

/* The best of all orders of placement, each request at the lowest place that is free. */
static size_t place_in_order(tn_memory_request *requests, const uint32_t *order, size_t count) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        tn_memory_request *request = &requests[order[i]];
        request->offset = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (size_t j = 0; j < i; j++) {
                const tn_memory_request *other = &requests[order[j]];
                size_t other_end = other->offset + padded(other->size_bytes);
                if (live_together(request, other) && request->offset < other_end &&
                    other->offset < request->offset + padded(request->size_bytes)) {
                    request->offset = other_end;
                    moved = true;
                }
            }
        }
        if (request->offset + padded(request->size_bytes) > total) total = request->offset + padded(request->size_bytes);
    }
    return total;
}

static size_t best_of_orders(tn_memory_request *requests, uint32_t *order, size_t fixed, size_t count) {
    if (fixed == count) return place_in_order(requests, order, count);
    size_t best = SIZE_MAX;
    for (size_t i = fixed; i < count; i++) {
        uint32_t swap = order[fixed];
        order[fixed] = order[i];
        order[i] = swap;
        size_t total = best_of_orders(requests, order, fixed + 1, count);
        if (total < best) best = total;
        swap = order[fixed];
        order[fixed] = order[i];
        order[i] = swap;
    }
    return best;
}

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void make_requests(tn_memory_request *requests, size_t count, uint32_t num_steps, uint32_t *seed) {
    for (size_t i = 0; i < count; i++) {
        uint32_t a = next_random(seed) % num_steps, length = next_random(seed) % 4;
        requests[i] = (tn_memory_request){.size_bytes = next_random(seed) % 8 * 100, .first_step = a, .last_step = a + length};
    }
}

static void nothing_needs_nothing(void **state) {
    (void)state;
    assert_int_equal(tn_memory_plan(NULL, 0, NULL), 0);
}

static void blocks_that_never_meet_share_memory(void **state) {
    (void)state;
    tn_memory_request requests[] = {{.size_bytes = 1000, .first_step = 0, .last_step = 1},
                                    {.size_bytes = 900, .first_step = 2, .last_step = 3},
                                    {.size_bytes = 64, .first_step = 1, .last_step = 2}};
    uint32_t scratch[3];
    assert_int_equal(tn_memory_plan(requests, 3, scratch), 1024 + 64);
    assert_valid(requests, 3, 1024 + 64);
    assert_int_equal(requests[0].offset, requests[1].offset);
}

static void small_cases_are_within_a_quarter_of_the_best_order(void **state) {
    (void)state;
    uint32_t seed = 1, scratch[6], order[6];
    size_t ours = 0, best = 0;
    for (int round = 0; round < 200; round++) {
        tn_memory_request requests[6], copy[6];
        make_requests(requests, 6, 6, &seed);
        memcpy(copy, requests, sizeof copy);
        for (uint32_t i = 0; i < 6; i++) order[i] = i;
        size_t total = tn_memory_plan(requests, 6, scratch), least = best_of_orders(copy, order, 0, 6);
        assert_valid(requests, 6, total);
        assert_true(total >= least);
        assert_true(total * 4 <= least * 5);
        ours += total;
        best += least;
    }
    assert_true(ours * 100 <= best * 103);
}

static void large_cases_do_not_overlap_and_repeat_exactly(void **state) {
    (void)state;
    static tn_memory_request requests[MAX_REQUESTS], again[MAX_REQUESTS];
    static uint32_t scratch[MAX_REQUESTS];
    uint32_t seed = 7;
    make_requests(requests, MAX_REQUESTS, 250, &seed);
    memcpy(again, requests, sizeof again);
    size_t total = tn_memory_plan(requests, MAX_REQUESTS, scratch);
    assert_valid(requests, MAX_REQUESTS, total);
    assert_true(total <= lower_bound(requests, MAX_REQUESTS, 260) * 5 / 4);
    assert_int_equal(tn_memory_plan(again, MAX_REQUESTS, scratch), total);
    assert_memory_equal(again, requests, sizeof again);
}

static void sizes_that_overflow_are_noticed(void **state) {
    (void)state;
    tn_memory_request requests[] = {{.size_bytes = SIZE_MAX - 100}, {.size_bytes = 200}};
    uint32_t scratch[2];
    assert_true(tn_memory_plan(requests, 2, scratch) == SIZE_MAX);
    assert_true(tn_memory_plan(requests, 1, scratch) == SIZE_MAX || requests[0].offset == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_needs_nothing),
        cmocka_unit_test(blocks_that_never_meet_share_memory),
        cmocka_unit_test(small_cases_are_within_a_quarter_of_the_best_order),
        cmocka_unit_test(large_cases_do_not_overlap_and_repeat_exactly),
        cmocka_unit_test(sizes_that_overflow_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
