/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence_test.c: which requests are taken, what is copied of them, what ends an answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "executor/sequence.h"
#include "support/fault_allocator.h"

static const int32_t prompt[] = {5, 6, 7, 8, 9};
static const tn_executor_info limits = {
    .vocab_size = 320,
    .max_seq_len = 64,
    .tokens_per_block = 16,
    .max_log_probs = 5,
    .num_blocks = 4,
    .hidden_size = 8,
};

static tn_request make_request(void) {
    tn_request request;
    tn_request_init(&request, prompt, 5, 10);
    return request;
}

static tn_sequence *make_sequence(const tn_request *request) {
    tn_sequence *sequence;
    assert_int_equal(tn_sequence_create(request, 0, &limits, NULL, NULL, &sequence), TN_OK);
    return sequence;
}

static void expect_refused(const tn_request *request, const tn_executor_info *info, const char *message) {
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_sequence *sequence;
    tn_status status = tn_sequence_create(request, 0, info, NULL, diag, &sequence);
    tn_diag_entry entry = {0};
    if (status == TN_OK) fail_msg("not refused: wanted \"%s\"", message);
    assert_int_equal(tn_diag_num_entries(diag), 1);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_int_equal(status, TN_INVALID_ARGUMENT);
    assert_int_equal(entry.code, TN_INVALID_ARGUMENT);
    assert_string_equal(entry.message, message);
    assert_null(sequence);
    tn_diag_destroy(diag);
}

/* One wrong field: `change` is a statement about `request`. */
#define REFUSED(change, message)                    \
    do {                                            \
        tn_request request = make_request();        \
        change;                                     \
        expect_refused(&request, &limits, message); \
    } while (0)

static void each_sampling_field_out_of_range_is_refused_by_name(void **state) {
    (void)state;
#define FIELD(name, value, rule) REFUSED(request.sampling.name = (value), "cannot take the request: " #name " is " rule)
    FIELD(top_k, -1, "-1, must be 0 or more");
    FIELD(top_p, -0.5f, "-0.5, must be above 0 and at most 1 (0 = off)");
    FIELD(top_p, 1.5f, "1.5, must be above 0 and at most 1 (0 = off)");
    FIELD(top_p, NAN, "nan, must be above 0 and at most 1 (0 = off)");
    FIELD(top_p_min, -1.0f, "-1, must be 0 to 1");
    FIELD(top_p_min, 2.0f, "2, must be 0 to 1");
    FIELD(top_p_min, NAN, "nan, must be 0 to 1");
    FIELD(top_p_decay, 0.0f, "0, must be above 0 and at most 1");
    FIELD(top_p_decay, 1.25f, "1.25, must be above 0 and at most 1");
    FIELD(top_p_decay, NAN, "nan, must be above 0 and at most 1");
    FIELD(top_p_reset_id, -2, "-2, must be an id (-1 = none)");
    FIELD(min_p, -0.25f, "-0.25, must be 0 to 1");
    FIELD(min_p, 1.5f, "1.5, must be 0 to 1");
    FIELD(min_p, NAN, "nan, must be 0 to 1");
    FIELD(num_return_sequences, -1, "-1, must be 1 to 1024 (0 = 1, or all beams)");
    FIELD(num_return_sequences, 1025, "1025, must be 1 to 1024 (0 = 1, or all beams)");
    FIELD(beam_width, 0, "0, must be 1 to 1024");
    FIELD(beam_width, 1025, "1025, must be 1 to 1024");
    FIELD(beam_search_diversity_rate, -1.0f, "-1, must be 0 or more");
    FIELD(beam_search_diversity_rate, NAN, "nan, must be 0 or more");
    FIELD(length_penalty, -0.5f, "-0.5, must be 0 or more");
    FIELD(length_penalty, INFINITY, "inf, must be 0 or more");
    FIELD(early_stopping, -1, "-1, must be 0 or more");
    REFUSED(request.sampling.num_beam_widths = 9, "cannot take the request: beam_width_array is 9, must be of at most 8 widths");
    FIELD(temperature, -1.0f, "-1, must be 0 or more");
    FIELD(temperature, INFINITY, "inf, must be 0 or more");
    FIELD(temperature, NAN, "nan, must be 0 or more");
    FIELD(min_tokens, -1, "-1, must be 0 or more");
    FIELD(repetition_penalty, 0.0f, "0, must be above 0");
    FIELD(repetition_penalty, INFINITY, "inf, must be above 0");
    FIELD(repetition_penalty, NAN, "nan, must be above 0");
    FIELD(presence_penalty, INFINITY, "inf, must be a finite number");
    FIELD(presence_penalty, NAN, "nan, must be a finite number");
    FIELD(frequency_penalty, -INFINITY, "-inf, must be a finite number");
    FIELD(frequency_penalty, NAN, "nan, must be a finite number");
    FIELD(prompt_ignore_length, -1, "-1, must be 0 or more");
    FIELD(no_repeat_ngram_size, -3, "-3, must be 0 or more (0 = off)");
#undef FIELD
}

static void each_request_field_out_of_range_is_refused_by_name(void **state) {
    (void)state;
    static const int32_t outside[] = {1, 320}, negative[] = {-1};
    static const float bias[4] = {0};
    const tn_token_list empty = {outside, 0}, beyond = {outside, 2}, below = {negative, 1}, one = {prompt, 1};
    tn_token_list many[TN_SLOT_MAX_BAD_WORDS + 1];
    for (int i = 0; i <= TN_SLOT_MAX_BAD_WORDS; i++) many[i] = one;
    static int32_t long_ids[TN_SLOT_MAX_BAD_TOKENS + 1];
    const tn_token_list long_word = {long_ids, TN_SLOT_MAX_BAD_TOKENS + 1};

    REFUSED(request.struct_size = 8, "cannot take the request: it was not set up by tn_request_init");
    REFUSED(request.num_input_ids = 0, "cannot take the request: it has no input ids");
    REFUSED(request.input_ids = NULL, "cannot take the request: it has no input ids");
    REFUSED(request.max_tokens = 0, "cannot take the request: max_tokens is 0, must be 1 or more");
    REFUSED(request.max_tokens = -5, "cannot take the request: max_tokens is -5, must be 1 or more");
    REFUSED((request.input_ids = outside, request.num_input_ids = 2),
            "cannot take the request: the prompt holds id 320 at 1, the vocabulary has 0 to 319");
    REFUSED((request.input_ids = negative, request.num_input_ids = 1),
            "cannot take the request: the prompt holds id -1 at 0, the vocabulary has 0 to 319");
    REFUSED(request.end_id = -2, "cannot take the request: end_id is -2, must be an id of the vocabulary, or -1");
    REFUSED(request.end_id = 320, "cannot take the request: end_id is 320, must be an id of the vocabulary, or -1");
    REFUSED((request.more_end_ids = outside, request.num_more_end_ids = 2),
            "cannot take the request: more_end_ids holds id 320 at 1, the vocabulary has 0 to 319");
    REFUSED((request.stop_words = &empty, request.num_stop_words = 1), "cannot take the request: stop_words has an empty sequence at 0");
    REFUSED((request.stop_words = &beyond, request.num_stop_words = 1),
            "cannot take the request: stop_words holds id 320 at 1, the vocabulary has 0 to 319");
    REFUSED((request.bad_words = &empty, request.num_bad_words = 1), "cannot take the request: bad_words has an empty sequence at 0");
    REFUSED((request.bad_words = &below, request.num_bad_words = 1),
            "cannot take the request: bad_words holds id -1 at 0, the vocabulary has 0 to 319");
    REFUSED((request.bad_words = many, request.num_bad_words = TN_SLOT_MAX_BAD_WORDS + 1),
            "cannot take the request: bad_words has 65 sequences of 65 tokens, at most 64 of 512 are possible");
    REFUSED((request.bad_words = &long_word, request.num_bad_words = 1),
            "cannot take the request: bad_words has 1 sequences of 513 tokens, at most 64 of 512 are possible");
    REFUSED((request.embedding_bias = bias, request.embedding_bias_size = 4),
            "cannot take the request: embedding bias shape is not as expected: it has 4 values, the vocabulary has 320");
    REFUSED(request.num_log_probs = -2, "cannot take the request: num_log_probs is -2, the engine was built for at most 5");
    REFUSED(request.num_log_probs = 6, "cannot take the request: num_log_probs is 6, the engine was built for at most 5");
    REFUSED(request.priority = NAN, "cannot take the request: priority is nan, must be a finite number");
    REFUSED(request.priority = INFINITY, "cannot take the request: priority is inf, must be a finite number");
}

static void a_prompt_that_does_not_fit_is_refused_with_both_numbers(void **state) {
    (void)state;
    static const int32_t ids[65] = {0};
    REFUSED((request.input_ids = ids, request.num_input_ids = 65),
            "cannot take the request: the prompt has 65 tokens, the context holds 64 and needs one more for the answer");
    REFUSED((request.input_ids = ids, request.num_input_ids = 64),
            "cannot take the request: the prompt has 64 tokens, the context holds 64 and needs one more for the answer");
    tn_request request = make_request();
    request.input_ids = ids;
    request.num_input_ids = 63;
    tn_sequence_destroy(make_sequence(&request));
}

static void a_request_larger_than_the_whole_cache_is_refused(void **state) {
    (void)state;
    tn_executor_info small = limits;
    small.num_blocks = 2;
    tn_request request = make_request();
    request.max_tokens = 28; /* 33 tokens in blocks of 16 */
    expect_refused(&request, &small, "cannot take the request: it may need 33 tokens of cache, the executor has 32");
    request.max_tokens = 27;
    tn_sequence *sequence;
    assert_int_equal(tn_sequence_create(&request, 0, &small, NULL, NULL, &sequence), TN_OK);
    assert_int_equal(sequence->max_blocks, 2);
    tn_sequence_destroy(sequence);
}

static void max_tokens_is_lowered_to_what_the_context_holds(void **state) {
    (void)state;
    tn_request request = make_request();
    request.max_tokens = 60;
    tn_sequence *sequence = make_sequence(&request);
    assert_int_equal(sequence->max_tokens, 59);
    assert_int_equal(sequence->max_total, 64);
    tn_sequence_destroy(sequence);
    request.max_tokens = INT32_MAX;
    sequence = make_sequence(&request);
    assert_int_equal(sequence->max_tokens, 59);
    tn_sequence_destroy(sequence);
}

static void values_at_the_edges_are_taken(void **state) {
    (void)state;
    tn_request request = make_request();
    request.sampling.top_p = 1.0f;
    request.sampling.min_p = 1.0f;
    request.sampling.top_p_min = 0.0f;
    request.sampling.temperature = 0.0f;
    request.sampling.top_k = INT32_MAX;
    request.sampling.min_tokens = 0;
    request.end_id = 319;
    request.num_log_probs = 5;
    tn_sequence_destroy(make_sequence(&request));
}

static void everything_the_caller_owns_is_copied(void **state) {
    (void)state;
    int32_t ids[3] = {1, 2, 3}, ends[1] = {4}, stop[2] = {5, 6}, bad[3] = {7, 8, 9};
    tn_token_list stop_words[1] = {{stop, 2}}, bad_words[2] = {{bad, 1}, {bad + 1, 2}};
    float bias[320] = {[11] = 2.5f};
    tn_request request;
    tn_request_init(&request, ids, 3, 4);
    request.more_end_ids = ends;
    request.num_more_end_ids = 1;
    request.stop_words = stop_words;
    request.num_stop_words = 1;
    request.bad_words = bad_words;
    request.num_bad_words = 2;
    request.embedding_bias = bias;
    request.embedding_bias_size = 320;
    request.sampling.seed = 99;
    request.sampling.top_k = 3;
    request.client_id = 12;
    request.cache_salt = 13;
    tn_sequence *sequence = make_sequence(&request);
    memset(ids, 0, sizeof ids);
    memset(ends, 0, sizeof ends);
    memset(stop, 0, sizeof stop);
    memset(bad, 0, sizeof bad);
    memset(bias, 0, sizeof bias);
    memset(stop_words, 0, sizeof stop_words);

    assert_memory_equal(sequence->tokens, ((int32_t[]){1, 2, 3}), sizeof ids);
    assert_int_equal(sequence->more_end_ids[0], 4);
    assert_int_equal(sequence->stop_words[0].num_ids, 2);
    assert_int_equal(sequence->stop_words[0].ids[1], 6);
    const tn_slot_params *params = sequence->slot_params;
    assert_int_equal(params->num_bad_words, 2);
    assert_int_equal(params->bad_word_ends[0], 1);
    assert_int_equal(params->bad_word_ends[1], 3);
    assert_memory_equal(params->bad_tokens, ((int32_t[]){7, 8, 9}), sizeof bad);
    assert_true(sequence->bias[11] == 2.5f);
    assert_true(params->has_bias);
    assert_int_equal(params->seed, 99);
    assert_int_equal(params->top_k, 3);
    assert_int_equal(params->prompt_length, 3);
    assert_int_equal(sequence->client_id, 12);
    assert_int_equal(sequence->cache_salt, 13);
    tn_sequence_destroy(sequence);
}

/* --- endings -------------------------------------------------------------------------------------------------------------- */

static void accept(tn_sequence *sequence, int32_t token) {
    assert_false(sequence->is_done);
    tn_sequence_accept_token(sequence, token, 0);
}

static void an_end_id_ends_the_answer_and_stays_in_it(void **state) {
    (void)state;
    static const int32_t more[] = {40, 41};
    tn_request request = make_request();
    request.end_id = 2;
    request.more_end_ids = more;
    request.num_more_end_ids = 2;
    const int32_t ends[] = {2, 40, 41};
    for (int i = 0; i < 3; i++) {
        tn_sequence *sequence = make_sequence(&request);
        accept(sequence, 10);
        accept(sequence, ends[i]);
        assert_true(sequence->is_done);
        assert_int_equal(sequence->done_reason, TN_FINISH_END_ID);
        assert_int_equal(sequence->num_known, 7);
        tn_sequence_destroy(sequence);
    }
}

static void no_end_id_means_none(void **state) {
    (void)state;
    tn_request request = make_request();
    tn_sequence *sequence = make_sequence(&request);
    for (int32_t i = 0; i < 9; i++) accept(sequence, i % 3);
    accept(sequence, 0);
    assert_int_equal(sequence->done_reason, TN_FINISH_LENGTH);
    tn_sequence_destroy(sequence);
}

static void a_stop_word_of_several_tokens_ends_the_answer_when_its_last_token_comes(void **state) {
    (void)state;
    static const int32_t word[] = {20, 20, 21}, other[] = {30};
    const tn_token_list words[] = {{other, 1}, {word, 3}};
    tn_request request = make_request();
    request.stop_words = words;
    request.num_stop_words = 2;
    tn_sequence *sequence = make_sequence(&request);
    accept(sequence, 20);
    accept(sequence, 20);
    accept(sequence, 20); /* a false start inside the word */
    accept(sequence, 21);
    assert_true(sequence->is_done);
    assert_int_equal(sequence->done_reason, TN_FINISH_STOP_WORDS);
    tn_sequence_destroy(sequence);
}

static void a_stop_word_does_not_begin_in_the_prompt(void **state) {
    (void)state;
    static const int32_t word[] = {9, 10};
    const tn_token_list words[] = {{word, 2}};
    tn_request request = make_request(); /* ends with 9 */
    request.stop_words = words;
    request.num_stop_words = 1;
    tn_sequence *sequence = make_sequence(&request);
    accept(sequence, 10);
    assert_false(sequence->is_done);
    tn_sequence_destroy(sequence);
}

static void the_last_token_that_fits_ends_with_length(void **state) {
    (void)state;
    tn_request request = make_request();
    request.max_tokens = 1;
    tn_sequence *sequence = make_sequence(&request);
    accept(sequence, 3);
    assert_true(sequence->is_done);
    assert_int_equal(sequence->done_reason, TN_FINISH_LENGTH);
    tn_sequence_destroy(sequence);
}

static void an_end_id_on_the_last_place_counts_as_end(void **state) {
    (void)state;
    tn_request request = make_request();
    request.max_tokens = 1;
    request.end_id = 3;
    tn_sequence *sequence = make_sequence(&request);
    accept(sequence, 3);
    assert_int_equal(sequence->done_reason, TN_FINISH_END_ID);
    tn_sequence_destroy(sequence);
}

/* --- memory --------------------------------------------------------------------------------------------------------------- */

static void retention_ranges_and_time_limits_out_of_range_are_refused_by_name(void **state) {
    (void)state;
    tn_kv_retention retention;
    tn_retention_range range = {0, 4, 50, -1};
#define RETENTION(change, message)                                                    \
    do {                                                                              \
        tn_kv_retention_init(&retention);                                             \
        range = (tn_retention_range){0, 4, 50, -1};                                   \
        retention.ranges = &range;                                                    \
        retention.num_ranges = 1;                                                     \
        change;                                                                       \
        REFUSED(request.retention = &retention, "cannot take the request: " message); \
    } while (0)
    RETENTION(retention.decode_priority = 101, "decode_priority is 101, must be 0 to 100");
    RETENTION(retention.decode_priority = -1, "decode_priority is -1, must be 0 to 100");
    RETENTION(retention.decode_duration_ms = -2, "decode_duration_ms is -2, must be 0 or more (-1 = for ever)");
    RETENTION(retention.num_ranges = 65, "retention is 65, must be of at most 64 ranges");
    RETENTION(range.priority = 101, "a retention priority is 101, must be 0 to 100");
    RETENTION(range.priority = -1, "a retention priority is -1, must be 0 to 100");
    RETENTION(range.duration_ms = -2, "a retention duration_ms is -2, must be 0 or more (-1 = for ever)");
    RETENTION(range.token_start = -1, "a retention token_start is -1, must be 0 or more");
    RETENTION(range.token_end = 0, "a retention token_end is 0, must be above its token_start (-1 = open)");
#undef RETENTION
    REFUSED(request.allotted_time_ms = -2, "cannot take the request: allotted_time_ms is -2, must be 0 or more (-1 = none)");
}

static void a_block_takes_the_priority_of_the_range_of_its_first_token(void **state) {
    (void)state;
    int32_t ids[40] = {0};
    const tn_retention_range ranges[] = {{16, 30, 80, 5}, {0, 10, 20, -1}}; /* in any order, with gaps */
    tn_kv_retention retention;
    tn_kv_retention_init(&retention);
    retention.ranges = ranges;
    retention.num_ranges = 2;
    retention.decode_priority = 60;
    tn_request request;
    tn_request_init(&request, ids, 40, 20);
    request.retention = &retention;
    tn_sequence *sequence = make_sequence(&request);
    static const int32_t wanted[] = {20, 20, 20, 35, 80, 80, 80, 80, 35, 35, 60, 60}; /* blocks of four */
    for (int32_t i = 0; i < 12; i++) assert_int_equal(tn_sequence_block_priority(sequence, i, 4).priority, wanted[i]);
    assert_int_equal(tn_sequence_block_priority(sequence, 4, 4).duration_ns, 5000000);
    assert_int_equal(tn_sequence_block_priority(sequence, 0, 4).duration_ns, -1);
    tn_sequence_destroy(sequence);
}

static void each_failing_allocation_of_create_is_reported_and_leaks_nothing(void **state) {
    (void)state;
    static const int32_t word[] = {20, 21};
    static const float bias[320] = {0};
    const tn_token_list words[] = {{word, 2}, {word, 1}};
    tn_request request = make_request();
    request.stop_words = words;
    request.num_stop_words = 2;
    request.more_end_ids = word;
    request.num_more_end_ids = 2;
    request.embedding_bias = bias;
    request.embedding_bias_size = 320;
    request.num_log_probs = 5;
    request.return_prompt_log_probs = request.return_context_logits = request.return_generation_logits = true;
    request.additional_outputs = &(const tn_additional_output){TN_OUTPUT_HIDDEN_STATES, true};
    request.num_additional_outputs = 1;
    request.logits_post_processor_name = "any";
    const tn_retention_range range = {0, -1, 50, -1};
    const tn_kv_retention retention = {&range, 1, 35, -1};
    request.retention = &retention;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_diag *diag;
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        tn_sequence *sequence;
        tn_status status = tn_sequence_create(&request, 0, &limits, &fault.allocator, diag, &sequence);
        tn_sequence_destroy(sequence);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        assert_int_equal(tn_diag_num_entries(diag), tn_fault_has_failed(&fault) ? 1 : 0);
        tn_diag_destroy(diag);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            assert_true(n > 3);
            return;
        }
        assert_int_equal(status, TN_OUT_OF_MEMORY);
        assert_null(sequence);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sampling_field_out_of_range_is_refused_by_name),
        cmocka_unit_test(each_request_field_out_of_range_is_refused_by_name),
        cmocka_unit_test(a_prompt_that_does_not_fit_is_refused_with_both_numbers),
        cmocka_unit_test(a_request_larger_than_the_whole_cache_is_refused),
        cmocka_unit_test(max_tokens_is_lowered_to_what_the_context_holds),
        cmocka_unit_test(values_at_the_edges_are_taken),
        cmocka_unit_test(everything_the_caller_owns_is_copied),
        cmocka_unit_test(an_end_id_ends_the_answer_and_stays_in_it),
        cmocka_unit_test(no_end_id_means_none),
        cmocka_unit_test(a_stop_word_of_several_tokens_ends_the_answer_when_its_last_token_comes),
        cmocka_unit_test(a_stop_word_does_not_begin_in_the_prompt),
        cmocka_unit_test(the_last_token_that_fits_ends_with_length),
        cmocka_unit_test(an_end_id_on_the_last_place_counts_as_end),
        cmocka_unit_test(retention_ranges_and_time_limits_out_of_range_are_refused_by_name),
        cmocka_unit_test(a_block_takes_the_priority_of_the_range_of_its_first_token),
        cmocka_unit_test(each_failing_allocation_of_create_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
