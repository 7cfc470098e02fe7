/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler_test.c: who starts, who is paused, who waits for whom: small cases worked by hand. simulation_test.c has the rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "executor/batch_tuner.h"
#include "executor/scheduler.h"

enum { BLOCK = 4, MAX_SEQUENCES = 8 };
static const tn_executor_info limits = {.vocab_size = 100, .max_seq_len = 64, .tokens_per_block = BLOCK, .num_blocks = 16};

typedef struct fixture {
    tn_arena arena;
    tn_kv_cache *cache;
    tn_scheduler scheduler;
    tn_sequence *sequences[MAX_SEQUENCES];
    int32_t num_sequences;
} fixture;

static void open_fixture(fixture *self, tn_capacity_policy policy, int32_t num_blocks, int32_t max_batch_size) {
    *self = (fixture){0};
    tn_kv_cache_options cache = {.num_blocks = num_blocks, .tokens_per_block = BLOCK};
    tn_scheduler_options options = {.policy = policy,
                                    .limits = {.max_num_tokens = 64, .max_chunk_tokens = 64, .chunk_unit = BLOCK, .allow_chunks = true},
                                    .max_batch_size = max_batch_size,
                                    .tokens_per_block = BLOCK,
                                    .enable_block_reuse = true};
    assert_int_equal(tn_kv_cache_create(&cache, NULL, NULL, &self->cache), TN_OK);
    assert_int_equal(tn_scheduler_init(&self->scheduler, &options, self->cache, &self->arena, NULL), TN_OK);
    assert_true(tn_heap_reserve(&self->scheduler.queue, NULL, MAX_SEQUENCES));
}

static void close_fixture(fixture *self) {
    for (int32_t i = 0; i < self->num_sequences; i++) tn_sequence_destroy(self->sequences[i]);
    tn_heap_deinit(&self->scheduler.queue, NULL);
    tn_kv_cache_destroy(self->cache);
    tn_arena_deinit(&self->arena);
}

/* A request of num_prompt tokens that begin with `first`. */
static tn_sequence *add(fixture *self, int32_t first, int32_t num_prompt, int32_t max_tokens, float priority) {
    int32_t ids[64];
    for (int32_t i = 0; i < num_prompt; i++) ids[i] = (first + i) % 100;
    tn_request request;
    tn_request_init(&request, ids, (size_t)num_prompt, max_tokens);
    request.priority = priority;
    tn_sequence *sequence;
    assert_int_equal(tn_sequence_create(&request, 0, &limits, NULL, NULL, &sequence), TN_OK);
    sequence->id = (uint64_t)++self->num_sequences;
    self->sequences[self->num_sequences - 1] = sequence;
    tn_scheduler_push(&self->scheduler, sequence);
    return sequence;
}

/* Plans a step; all of it was computed and every drawn token is 1. Returns the number of rows. */
static int32_t run_step(fixture *self) {
    tn_scheduler *scheduler = &self->scheduler;
    int32_t count = tn_scheduler_plan(scheduler, 64);
    assert_true(tn_scheduler_check(scheduler));
    for (int32_t i = 0; i < count; i++) {
        const tn_schedule_row *row = &scheduler->rows[i];
        tn_scheduler_retire(scheduler, row, true);
        if (row->draws && !row->sequence->is_done) tn_sequence_accept_token(row->sequence, 1, 0);
    }
    if (count > 0) tn_scheduler_retire_step(scheduler);
    tn_scheduler_requeue(scheduler);
    for (int32_t i = 0; i < scheduler->num_active; i++)
        if (scheduler->active[i]->is_done) tn_scheduler_end(scheduler, i);
    tn_scheduler_compact(scheduler);
    return count;
}

static int32_t admit(fixture *self) {
    return tn_scheduler_admit(&self->scheduler, 0);
}

static void without_eviction_a_request_starts_only_with_room_to_its_end(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, TN_GUARANTEED_NO_EVICT, 8, 4);
    tn_sequence *first = add(&f, 0, 8, 8, 0.5f), *second = add(&f, 50, 8, 12, 0.5f), *third = add(&f, 70, 4, 1, 0.5f);
    assert_int_equal(admit(&f), 1); /* four blocks and five are more than eight; the third, which fits, waits behind */
    assert_true(first->slot >= 0 && second->slot < 0 && third->slot < 0);
    assert_int_equal(f.scheduler.num_promised, 4);
    while (!first->is_done) assert_int_equal(run_step(&f), 1);
    assert_int_equal(f.scheduler.num_promised, 0);
    assert_int_equal(admit(&f), 2);
    assert_int_equal(f.scheduler.num_pauses, 0);
    while (!second->is_done) (void)run_step(&f);
    close_fixture(&f);
}

static void under_max_utilization_the_last_to_start_makes_room_and_goes_on_later(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, TN_MAX_UTILIZATION, 6, 4);
    tn_sequence *first = add(&f, 0, 8, 9, 0.5f), *second = add(&f, 50, 7, 9, 0.5f);
    assert_int_equal(admit(&f), 2); /* three blocks and two: all but one */
    while (second->num_pauses == 0) assert_int_equal(run_step(&f) > 0, 1);
    assert_int_equal(first->num_pauses, 0);
    assert_true(second->slot < 0 && second->num_blocks == 0 && tn_heap_has(&f.scheduler.queue, second));
    int32_t num_known = second->num_known;
    assert_true(num_known > 7);
    while (!first->is_done) {
        (void)admit(&f);
        (void)run_step(&f);
    }
    while (!second->is_done) {
        (void)admit(&f);
        (void)run_step(&f);
    }
    assert_true(second->num_prefill >= num_known); /* all that was known was read again */
    assert_int_equal(second->num_known, 16);
    assert_int_equal(tn_kv_cache_num_available(f.cache), 6);
    close_fixture(&f);
}

static void under_max_utilization_a_higher_priority_takes_a_place(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, TN_MAX_UTILIZATION, 16, 2);
    tn_sequence *low = add(&f, 0, 4, 8, 0.2f), *middle = add(&f, 20, 4, 8, 0.5f);
    assert_int_equal(admit(&f), 2);
    assert_int_equal(run_step(&f), 2);
    tn_sequence *high = add(&f, 40, 4, 8, 0.9f), *equal = add(&f, 60, 4, 8, 0.5f);
    assert_int_equal(admit(&f), 1);
    assert_true(high->slot >= 0 && middle->slot >= 0 && low->slot < 0 && low->is_paused && equal->slot < 0);
    assert_true(tn_scheduler_check(&f.scheduler));
    close_fixture(&f);
}

static void a_sequence_in_flight_is_paused_after_its_step(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, TN_MAX_UTILIZATION, 16, 1);
    tn_sequence *low = add(&f, 0, 4, 8, 0.2f);
    assert_int_equal(admit(&f), 1);
    assert_int_equal(tn_scheduler_plan(&f.scheduler, 64), 1);
    tn_schedule_row row = f.scheduler.rows[0];
    tn_sequence *high = add(&f, 40, 4, 8, 0.9f);
    assert_int_equal(admit(&f), 0);
    assert_true(low->slot >= 0 && low->wants_pause);
    assert_int_equal(tn_scheduler_plan(&f.scheduler, 64), 0); /* still in flight, and no more of it is run */
    tn_scheduler_retire(&f.scheduler, &row, true);
    tn_sequence_accept_token(low, 1, 0);
    tn_scheduler_retire_step(&f.scheduler);
    assert_int_equal(tn_scheduler_plan(&f.scheduler, 64), 0);
    assert_true(low->is_paused);
    tn_scheduler_requeue(&f.scheduler);
    assert_int_equal(admit(&f), 1);
    assert_true(high->slot >= 0);
    assert_int_equal(low->num_known, 5); /* the token that was in flight counts */
    close_fixture(&f);
}

static void a_static_batch_waits_for_all_of_the_last_one(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, TN_STATIC_BATCH, 16, 2);
    tn_sequence *quick = add(&f, 0, 4, 1, 0.5f), *slow = add(&f, 20, 4, 5, 0.5f), *next = add(&f, 40, 4, 1, 0.5f);
    assert_int_equal(admit(&f), 2);
    while (!slow->is_done) {
        assert_int_equal(admit(&f), 0);
        (void)run_step(&f);
    }
    assert_true(quick->is_done);
    assert_int_equal(admit(&f), 1);
    assert_true(next->slot >= 0);
    close_fixture(&f);
}

static void equal_prompts_that_come_together_are_read_once(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, TN_GUARANTEED_NO_EVICT, 16, 3);
    tn_sequence *first = add(&f, 0, 14, 2, 0.5f), *second = add(&f, 0, 14, 2, 0.5f), *other = add(&f, 50, 6, 2, 0.5f);
    assert_int_equal(admit(&f), 3);
    assert_int_equal(run_step(&f), 2); /* the second waits for the blocks that the first is reading */
    assert_int_equal(second->num_computed, 0);
    assert_true(first->num_known == 15 && other->num_known == 7);
    assert_int_equal(run_step(&f), 3);
    assert_int_equal(second->account.num_reused_tokens, 12);
    assert_int_equal(second->num_known, 15);
    assert_int_equal(first->blocks[2], second->blocks[2]);
    close_fixture(&f);
}

static void a_prompt_whose_reader_is_cancelled_is_read_by_the_next(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, TN_GUARANTEED_NO_EVICT, 16, 3);
    tn_sequence *first = add(&f, 0, 14, 2, 0.5f), *second = add(&f, 0, 14, 2, 0.5f);
    assert_int_equal(admit(&f), 2);
    assert_int_equal(tn_scheduler_plan(&f.scheduler, 64), 1);
    tn_schedule_row row = f.scheduler.rows[0];
    assert_ptr_equal(row.sequence, first);
    first->is_done = true;
    tn_scheduler_retire(&f.scheduler, &row, false);
    tn_scheduler_retire_step(&f.scheduler);
    assert_int_equal(run_step(&f), 1);
    assert_int_equal(second->num_known, 15);
    close_fixture(&f);
}

static void the_batch_tuner_follows_the_table_and_the_lengths(void **state) {
    (void)state;
    const struct {
        int64_t capacity;
        int32_t batch_size;
    } table[] = {{1, 128},    {143, 128},   {144, 256},   {335, 256},   {336, 512},   {672, 768},
                 {832, 1024}, {1280, 1536}, {1663, 1536}, {1664, 1536}, {2047, 1536}, {2048, 2048}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) assert_int_equal(tn_batch_size_for(table[i].capacity), table[i].batch_size);
    tn_arena arena = {0};
    tn_batch_tuner tuner;
    assert_true(tn_batch_tuner_init(&tuner, 40000, 512, 4096, 4, &arena));
    assert_int_equal(tn_batch_tuner_batch_size(&tuner), 512);
    assert_int_equal(tn_batch_tuner_num_tokens(&tuner, 512), 4096);
    for (int i = 0; i < 10; i++) tn_batch_tuner_add(&tuner, 100, 100);
    assert_int_equal(tn_batch_tuner_batch_size(&tuner), 256); /* 200 of them fit */
    assert_int_equal(tn_batch_tuner_num_tokens(&tuner, 256), 512);
    for (int i = 0; i < 4; i++) tn_batch_tuner_add(&tuner, 300, 100); /* the window has only these now */
    assert_int_equal(tn_batch_tuner_batch_size(&tuner), 128);
    assert_int_equal(tn_batch_tuner_num_tokens(&tuner, 128), 512);
    tn_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_eviction_a_request_starts_only_with_room_to_its_end),
        cmocka_unit_test(under_max_utilization_the_last_to_start_makes_room_and_goes_on_later),
        cmocka_unit_test(under_max_utilization_a_higher_priority_takes_a_place),
        cmocka_unit_test(a_sequence_in_flight_is_paused_after_its_step),
        cmocka_unit_test(a_static_batch_waits_for_all_of_the_last_one),
        cmocka_unit_test(equal_prompts_that_come_together_are_read_once),
        cmocka_unit_test(a_prompt_whose_reader_is_cancelled_is_read_by_the_next),
        cmocka_unit_test(the_batch_tuner_follows_the_table_and_the_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
