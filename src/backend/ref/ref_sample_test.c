/* SPDX-License-Identifier: Apache-2.0
 *
 * ref_sample_test.c: drawing tokens by the rules of op/slot.h.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "backend/conformance/problem_builder.h"
#include "op/philox.h"
#include "op/slot.h"

enum { VOCAB = 8, MAX_LEN = 16, COLUMNS = 4 };

static tn_problem_builder b;
static _Alignas(64) uint8_t slots[2 * 8192];
static float logits[VOCAB], log_probs[COLUMNS];
static int32_t next_id, ids[COLUMNS], slot_index, position;
static uint32_t mask;

static tn_slot *row(void) {
    return (tn_slot *)(void *)(slots + tn_slot_layout_make(VOCAB, MAX_LEN).row_bytes);
}
static int32_t *history(void) {
    return (int32_t *)(void *)((uint8_t *)row() + tn_slot_layout_make(VOCAB, MAX_LEN).history_offset);
}
static int32_t *counts(void) {
    return (int32_t *)(void *)((uint8_t *)row() + tn_slot_layout_make(VOCAB, MAX_LEN).counts_offset);
}

static int setup(void **state) {
    (void)state;
    memset(slots, 0, sizeof slots);
    row()->params = (tn_slot_params){.temperature = 1.0f,
                                     .repetition_penalty = 1.0f,
                                     .top_p_decay = 1.0f,
                                     .top_p_reset_id = -1,
                                     .end_id = -1,
                                     .num_log_probs = COLUMNS - 1};
    const float values[VOCAB] = {0.0f, 1.0f, 2.0f, 3.0f, 2.5f, -1.0f, 1.5f, 0.5f};
    memcpy(logits, values, sizeof logits);
    slot_index = 1, position = 0, mask = ~0u;
    return 0;
}

static int32_t draw(void) {
    static const tn_sample_params params = {.max_log_probs = COLUMNS - 1, .vocab_size = VOCAB, .max_seq_len = MAX_LEN};
    tn_build_begin(&b, TN_OP_SAMPLE, &params);
    tn_build_input(&b, TN_FLOAT32, logits, TN_DIMS(1, VOCAB));
    tn_build_input(&b, TN_INT32, &slot_index, TN_DIMS(1));
    tn_build_input(&b, TN_INT32, &position, TN_DIMS(1));
    tn_build_state(&b, slots, false);
    tn_build_input(&b, TN_UINT32, &mask, TN_DIMS(1, 1));
    tn_build_output(&b, TN_INT32, &next_id, TN_DIMS(1));
    tn_build_output(&b, TN_INT32, ids, TN_DIMS(1, COLUMNS));
    tn_build_output(&b, TN_FLOAT32, log_probs, TN_DIMS(1, COLUMNS));
    tn_build_state(&b, slots, true);
    assert_int_equal(tn_ref_run(tn_build_problem(&b), b.buffers, b.symbols, NULL), TN_OK);
    return next_id;
}

static void greedy_takes_the_largest_and_the_lowest_id_among_equals(void **state) {
    (void)state;
    assert_int_equal(draw(), 3);
    assert_true(row()->last_token == 3 && row()->history_count == 1 && history()[0] == 3 && counts()[3] == 1);
    logits[6] = 3.0f, logits[2] = 3.0f;
    assert_int_equal(draw(), 2);
    row()->params.top_k = 4;
    row()->params.temperature = 0.0f;
    assert_int_equal(draw(), 2);
}

static void log_probs_are_of_the_raw_logits_in_descending_order(void **state) {
    (void)state;
    double sum = 0.0;
    for (int i = 0; i < VOCAB; i++) sum += exp((double)logits[i]);
    row()->params.presence_penalty = 100.0f;
    counts()[3] = 1;
    assert_int_equal(draw(), 4);
    assert_memory_equal(ids, ((int32_t[]){4, 3, 4, 2}), sizeof ids);
    assert_true(fabs((double)log_probs[0] - (2.5 - log(sum))) < 1e-6 && fabs((double)log_probs[1] - (3.0 - log(sum))) < 1e-6);
    slot_index = -1;
    assert_int_equal(draw(), -1);
    assert_memory_equal(ids, ((int32_t[]){0, 3, 4, 2}), sizeof ids);
    assert_true(log_probs[0] == 0.0f);
}

static void penalties_count_what_was_seen(void **state) {
    (void)state;
    counts()[3] = 2, counts()[5] = 1;
    row()->params.repetition_penalty = 2.0f; /* 3 → 1.5 */
    assert_int_equal(draw(), 4);
    row()->params.repetition_penalty = 1.0f;
    counts()[4] = 0;
    row()->params.frequency_penalty = 0.3f; /* 3 − 0.6 = 2.4 < 2.5 */
    assert_int_equal(draw(), 4);
    counts()[4] = 0;
    row()->params.frequency_penalty = 0.2f;
    assert_int_equal(draw(), 3);
}

static void masks_forbid_end_bad_words_ngrams_and_bits(void **state) {
    (void)state;
    tn_slot_params *params = &row()->params;
    params->end_id = 3, params->min_tokens = 1;
    assert_int_equal(draw(), 4);
    assert_int_equal(draw(), 3); /* one is generated now */
    params->num_bad_words = 2, params->bad_word_ends[0] = 1, params->bad_word_ends[1] = 3;
    params->bad_tokens[0] = 4, params->bad_tokens[1] = 3, params->bad_tokens[2] = 3; /* "4", "3 3" */
    assert_int_equal(draw(), 2);
    assert_int_equal(draw(), 3); /* the last was 2: "3 3" does not apply */
    params->num_bad_words = 0, params->no_repeat_ngram_size = 2;
    /* history 4 3 2 3: after 3 came 2; 2 3 is there as well but 3 ends it */
    logits[2] = 9.0f;
    assert_int_equal(draw(), 3);
    mask = 1u << 7;
    assert_int_equal(draw(), 7);
}

static void bias_is_added_when_there_is_one(void **state) {
    (void)state;
    float *bias = (float *)(void *)((uint8_t *)row() + tn_slot_layout_make(VOCAB, MAX_LEN).bias_offset);
    bias[5] = 10.0f;
    assert_int_equal(draw(), 3);
    row()->params.has_bias = true;
    assert_int_equal(draw(), 5);
}

static void logits_that_leave_nothing_give_the_end_and_an_error(void **state) {
    (void)state;
    for (int i = 0; i < VOCAB; i++) logits[i] = i % 2 ? NAN : -INFINITY;
    assert_int_equal(draw(), 0);
    assert_int_equal(row()->error, 1);
    row()->params.end_id = 6;
    assert_int_equal(draw(), 6);
    logits[5] = -50.0f;
    assert_int_equal(draw(), 5);
    assert_int_equal(row()->error, 0);
}

/* Draws 20,000 tokens and compares with `probability` by chi-square; the bound is the 1e-4 quantile of 7 degrees. */
static void assert_distribution(const double *probability) {
    enum { DRAWS = 20000 };
    int seen[VOCAB] = {0};
    double chi_square = 0.0;
    for (position = 0; position < DRAWS; position++) {
        row()->history_count = 0;
        memset(counts(), 0, VOCAB * sizeof(int32_t));
        seen[draw()]++;
    }
    for (int i = 0; i < VOCAB; i++) {
        if (probability[i] == 0.0)
            assert_int_equal(seen[i], 0);
        else
            chi_square += pow(seen[i] - DRAWS * probability[i], 2) / (DRAWS * probability[i]);
    }
    if (chi_square > 29.9) fail_msg("chi-square is %.1f", chi_square);
}

static void make_probabilities(double temperature, const int *kept, int num_kept, double *probability) {
    double sum = 0.0;
    for (int i = 0; i < VOCAB; i++) probability[i] = 0.0;
    for (int i = 0; i < num_kept; i++) sum += probability[kept[i]] = exp((double)logits[kept[i]] / temperature);
    for (int i = 0; i < VOCAB; i++) probability[i] /= sum;
}

static void draws_follow_the_filtered_distribution(void **state) {
    (void)state;
    static const int all[] = {3, 4, 2, 6, 1, 7, 0, 5}; /* by probability */
    double probability[VOCAB];
    tn_slot_params *params = &row()->params;
    params->top_p = 1.0f, params->temperature = 0.8f, params->seed = 42, row()->current_top_p = 1.0f;
    make_probabilities(0.8, all, 8, probability);
    assert_distribution(probability);
    params->temperature = 1.5f, params->top_p = 0.0f, params->top_k = 3, params->seed = 43;
    make_probabilities(1.5, all, 3, probability);
    assert_distribution(probability);
    /* at temperature 1: 0.405 0.246 0.149 …; the first two make 0.65, three 0.80 */
    params->temperature = 1.0f, params->top_k = 0, params->top_p = 0.7f, row()->current_top_p = 0.7f, params->seed = 44;
    make_probabilities(1.0, all, 3, probability);
    assert_distribution(probability);
    /* inside the best three they are 0.506 0.307 0.186: two make 0.81 */
    params->top_k = 3, params->seed = 45;
    make_probabilities(1.0, all, 2, probability);
    assert_distribution(probability);
    /* min_p 0.2: down to e^(3 − 1.609) → 3, 2.5, 2, 1.5 */
    params->top_k = 0, params->top_p = 1.0f, row()->current_top_p = 1.0f, params->min_p = 0.2f, params->seed = 46;
    make_probabilities(1.0, all, 4, probability);
    assert_distribution(probability);
}

static void a_draw_is_the_inverse_of_the_cumulated_probabilities_in_id_order(void **state) {
    (void)state;
    tn_slot_params *params = &row()->params;
    params->top_k = VOCAB, params->seed = 7, params->sequence_index = 3;
    for (position = 0; position < 50; position++) {
        double total = 0.0, sum = 0.0, u = tn_philox_uniform(7, 3, (uint64_t)position);
        int expected = 0;
        for (int i = 0; i < VOCAB; i++) total += exp((double)logits[i] - 3.0);
        for (expected = 0; expected < VOCAB; expected++)
            if ((sum += exp((double)logits[expected] - 3.0)) > u * total) break;
        assert_int_equal(draw(), expected);
    }
}

static void top_p_decays_to_its_floor_and_is_reset(void **state) {
    (void)state;
    tn_slot_params *params = &row()->params;
    params->top_p = 0.8f, params->top_p_decay = 0.5f, params->top_p_min = 0.3f, params->top_p_reset_id = 3, row()->current_top_p = 0.8f;
    logits[4] = 60.0f;
    assert_int_equal(draw(), 4);
    assert_true(row()->current_top_p == 0.4f);
    assert_int_equal(draw(), 4);
    assert_true(row()->current_top_p == 0.3f);
    logits[3] = 120.0f;
    assert_int_equal(draw(), 3);
    assert_true(row()->current_top_p == 0.8f);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(greedy_takes_the_largest_and_the_lowest_id_among_equals),
        TEST(log_probs_are_of_the_raw_logits_in_descending_order),
        TEST(penalties_count_what_was_seen),
        TEST(masks_forbid_end_bad_words_ngrams_and_bits),
        TEST(bias_is_added_when_there_is_one),
        TEST(logits_that_leave_nothing_give_the_end_and_an_error),
        TEST(draws_follow_the_filtered_distribution),
        TEST(a_draw_is_the_inverse_of_the_cumulated_probabilities_in_id_order),
        TEST(top_p_decays_to_its_floor_and_is_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
