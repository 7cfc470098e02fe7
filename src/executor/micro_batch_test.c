/* SPDX-License-Identifier: Apache-2.0
 *
 * micro_batch_test.c: how the tokens of a step are divided.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "executor/micro_batch.h"

static tn_micro_batch_entry prompt(int32_t num_computed, int32_t num_waiting) {
    return (tn_micro_batch_entry){
        .num_computed = num_computed, .num_waiting = num_waiting, .is_context = true, .width = 1, .num_scheduled = -1};
}

static tn_micro_batch_entry generation(int32_t num_waiting) {
    return (tn_micro_batch_entry){.num_computed = 100, .num_waiting = num_waiting, .width = 1, .num_scheduled = -1};
}

static tn_micro_batch_limits limits_of(int32_t max_num_tokens, int32_t max_chunk_tokens, int32_t chunk_unit) {
    return (tn_micro_batch_limits){max_num_tokens, max_chunk_tokens, chunk_unit, .allow_chunks = true};
}

/* Schedules and compares; `wanted` has one number an entry. */
static void expect(tn_micro_batch_entry *entries, int32_t count, tn_micro_batch_limits limits, const int32_t *wanted) {
    int32_t sum = 0, used = tn_micro_batch_schedule(entries, count, &limits);
    for (int32_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].num_scheduled, wanted[i]);
        sum += wanted[i] * entries[i].width;
    }
    assert_int_equal(used, sum);
    assert_true(used <= limits.max_num_tokens);
}

static void generation_comes_before_prompts(void **state) {
    (void)state;
    tn_micro_batch_entry entries[] = {prompt(0, 100), generation(1), generation(1)};
    expect(entries, 3, limits_of(10, 10, 1), (int32_t[]){8, 1, 1});
}

static void a_sequence_with_nothing_waiting_is_left_out(void **state) {
    (void)state;
    tn_micro_batch_entry entries[] = {generation(0), prompt(4, 0), generation(1)};
    expect(entries, 3, limits_of(10, 10, 1), (int32_t[]){0, 0, 1});
}

static void prompts_are_served_in_order_until_the_budget_is_spent(void **state) {
    (void)state;
    tn_micro_batch_entry entries[] = {prompt(0, 6), prompt(0, 6), prompt(0, 6)};
    expect(entries, 3, limits_of(10, 10, 1), (int32_t[]){6, 4, 0});
}

static void generation_beyond_the_budget_waits(void **state) {
    (void)state;
    tn_micro_batch_entry entries[] = {generation(1), generation(1), generation(1), prompt(0, 5)};
    expect(entries, 4, limits_of(2, 2, 1), (int32_t[]){1, 1, 0, 0});
}

static tn_micro_batch_entry beams(tn_micro_batch_entry entry, int32_t width) {
    entry.width = width;
    return entry;
}

static void all_beams_of_a_request_run_or_none(void **state) {
    (void)state;
    tn_micro_batch_entry entries[] = {beams(generation(1), 4), beams(generation(1), 4), generation(1), beams(prompt(0, 5), 3),
                                      prompt(0, 5)};
    expect(entries, 5, limits_of(9, 9, 1), (int32_t[]){1, 1, 1, 0, 0});
    expect(entries, 5, limits_of(7, 9, 1), (int32_t[]){1, 0, 1, 0, 2});
    expect(entries, 5, limits_of(20, 9, 1), (int32_t[]){1, 1, 1, 3, 2});
    tn_micro_batch_limits equal = limits_of(17, 9, 1);
    equal.policy = TN_EQUAL_PROGRESS;
    expect(entries, 5, equal, (int32_t[]){1, 1, 1, 2, 2});
}

static void a_chunk_ends_at_a_multiple_of_the_unit(void **state) {
    (void)state;
    tn_micro_batch_entry entries[] = {prompt(0, 100)};
    expect(entries, 1, limits_of(40, 40, 16), (int32_t[]){32});
    entries[0] = prompt(5, 95); /* after a chunk that could not end at one */
    expect(entries, 1, limits_of(40, 40, 16), (int32_t[]){27});
}

static void a_chunk_smaller_than_the_unit_runs_rather_than_nothing(void **state) {
    (void)state;
    tn_micro_batch_entry entries[] = {prompt(0, 100)};
    expect(entries, 1, limits_of(7, 7, 16), (int32_t[]){7});
    entries[0] = prompt(7, 93);
    expect(entries, 1, limits_of(7, 7, 16), (int32_t[]){7});
    entries[0] = prompt(14, 86);
    expect(entries, 1, limits_of(7, 7, 16), (int32_t[]){2});
}

static void the_end_of_a_prompt_needs_no_unit(void **state) {
    (void)state;
    tn_micro_batch_entry entries[] = {prompt(32, 5)};
    expect(entries, 1, limits_of(40, 40, 16), (int32_t[]){5});
}

static void one_prompt_takes_no_more_than_a_chunk(void **state) {
    (void)state;
    tn_micro_batch_entry entries[] = {prompt(0, 100), prompt(0, 100)};
    expect(entries, 2, limits_of(40, 24, 8), (int32_t[]){24, 16});
}

static void without_chunks_a_prompt_runs_whole_and_holds_back_those_behind_it(void **state) {
    (void)state;
    tn_micro_batch_limits limits = {.max_num_tokens = 10, .max_chunk_tokens = 4, .chunk_unit = 1};
    tn_micro_batch_entry entries[] = {prompt(0, 6), prompt(0, 6), prompt(0, 2), generation(1)};
    expect(entries, 4, limits, (int32_t[]){6, 0, 0, 1});
}

static void any_prompt_ends_in_the_fewest_steps_that_budget_and_unit_allow(void **state) {
    (void)state;
    for (int32_t length = 1; length <= 70; length++)
        for (int32_t chunk = 1; chunk <= 40; chunk++) {
            tn_micro_batch_limits limits = limits_of(64, chunk, chunk < 16 ? 1 : 16);
            int32_t computed = 0, steps = 0;
            while (computed < length) {
                tn_micro_batch_entry entry = prompt(computed, length - computed);
                int32_t used = tn_micro_batch_schedule(&entry, 1, &limits);
                assert_in_range(used, 1, chunk);
                computed += used;
                steps++;
            }
            int32_t even = chunk < 16 ? chunk : chunk / 16 * 16;
            assert_true(steps <= (length + even - 1) / even);
        }
}

static void equal_progress_grows_all_prompts_by_a_unit_in_turn(void **state) {
    (void)state;
    tn_micro_batch_limits limits = limits_of(72, 72, 16);
    limits.policy = TN_EQUAL_PROGRESS;
    tn_micro_batch_entry entries[] = {prompt(0, 100), prompt(0, 20), prompt(8, 100), generation(1)};
    expect(entries, 4, limits, (int32_t[]){32, 20, 8, 1}); /* what is left at the end is less than a unit */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generation_comes_before_prompts),
        cmocka_unit_test(a_sequence_with_nothing_waiting_is_left_out),
        cmocka_unit_test(prompts_are_served_in_order_until_the_budget_is_spent),
        cmocka_unit_test(generation_beyond_the_budget_waits),
        cmocka_unit_test(all_beams_of_a_request_run_or_none),
        cmocka_unit_test(a_chunk_ends_at_a_multiple_of_the_unit),
        cmocka_unit_test(a_chunk_smaller_than_the_unit_runs_rather_than_nothing),
        cmocka_unit_test(the_end_of_a_prompt_needs_no_unit),
        cmocka_unit_test(one_prompt_takes_no_more_than_a_chunk),
        cmocka_unit_test(without_chunks_a_prompt_runs_whole_and_holds_back_those_behind_it),
        cmocka_unit_test(any_prompt_ends_in_the_fewest_steps_that_budget_and_unit_allow),
        cmocka_unit_test(equal_progress_grows_all_prompts_by_a_unit_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
