/* SPDX-License-Identifier: Apache-2.0
 *
 * response_test.c: what callers get of a sequence, whole or token by token.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "executor/sequence.h"
#include "support/fault_allocator.h"

enum { VOCAB = 8, HIDDEN = 4, NUM_PROMPT = 3, MAX_TOKENS = 4 };
static const int32_t prompt[NUM_PROMPT] = {5, 6, 7};
static const tn_executor_info limits = {
    .vocab_size = VOCAB, .max_seq_len = 64, .tokens_per_block = 16, .max_log_probs = 2, .num_blocks = 4, .hidden_size = HIDDEN};

static const tn_additional_output with_context = {TN_OUTPUT_HIDDEN_STATES, true};

static tn_sequence *make_sequence(bool streaming, bool with_results, const tn_allocator *allocator) {
    tn_request request;
    tn_request_init(&request, prompt, NUM_PROMPT, MAX_TOKENS);
    request.streaming = streaming;
    request.client_id = 77;
    if (with_results) {
        request.num_log_probs = 1;
        request.return_prompt_log_probs = request.return_context_logits = request.return_generation_logits = true;
        request.additional_outputs = &with_context;
        request.num_additional_outputs = 1;
    }
    tn_sequence *sequence;
    assert_int_equal(tn_sequence_create(&request, 0, &limits, allocator, NULL, &sequence), TN_OK);
    sequence->id = 3;
    return sequence;
}

/* What the loop does with a drawn token; its own log-probability is −token, the largest is of token + 1. */
static void draw(tn_sequence *sequence, int32_t token) {
    if (sequence->log_probs != NULL) {
        tn_log_prob *row = sequence->log_probs + 2 * (sequence->num_known - NUM_PROMPT);
        row[0] = (tn_log_prob){token, -(float)token};
        row[1] = (tn_log_prob){token + 1, -0.5f};
    }
    tn_sequence_accept_token(sequence, token, 0);
    sequence->num_visible = sequence->num_known;
}

static void end(tn_sequence *sequence, tn_finish_reason reason) {
    sequence->is_finished = true;
    sequence->finish_reason = reason;
}

static tn_response *take(tn_sequence *sequence) {
    tn_response *response;
    assert_true(tn_sequence_has_response(sequence));
    assert_int_equal(tn_sequence_take_response(sequence, NULL, &response), TN_OK);
    return response;
}

static void expect_ids(const tn_response *response, const int32_t *ids, size_t count) {
    size_t found;
    const int32_t *got = tn_response_ids(response, &found);
    assert_int_equal(found, count);
    if (count > 0) assert_memory_equal(got, ids, count * sizeof *ids);
}

static void a_whole_response_comes_when_the_request_is_finished(void **state) {
    (void)state;
    tn_sequence *sequence = make_sequence(false, false, NULL);
    draw(sequence, 1);
    assert_false(tn_sequence_has_response(sequence));
    draw(sequence, 2);
    end(sequence, TN_FINISH_STOP_WORDS);
    tn_response *response = take(sequence);
    tn_sequence_destroy(sequence);
    expect_ids(response, (int32_t[]){1, 2}, 2);
    assert_true(tn_response_is_final(response));
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_STOP_WORDS);
    assert_int_equal(tn_response_id(response), 3);
    assert_int_equal(tn_response_client_id(response), 77);
    assert_int_equal(tn_response_max_tokens(response), MAX_TOKENS);
    assert_int_equal(tn_response_status(response), TN_OK);
    assert_null(tn_response_error(response));
    size_t count;
    assert_null(tn_response_log_probs(response, 0, &count));
    assert_int_equal(count, 0);
    assert_null(tn_response_prompt_log_probs(response, &count));
    assert_int_equal(count, 0);
    tn_request_timings timings;
    tn_response_timings(response, &timings);
    assert_int_equal(timings.num_prompt_tokens, NUM_PROMPT);
    assert_int_equal(timings.num_generated_tokens, 2);
    tn_response_destroy(response);
}

static void a_streaming_request_gives_one_token_a_response_however_many_wait(void **state) {
    (void)state;
    tn_sequence *sequence = make_sequence(true, true, NULL);
    assert_false(tn_sequence_has_response(sequence));
    for (int32_t token = 1; token <= 3; token++) draw(sequence, token);
    end(sequence, TN_FINISH_END_ID);
    for (int32_t token = 1; token <= 3; token++) {
        tn_response *response = take(sequence);
        expect_ids(response, &token, 1);
        assert_int_equal(tn_response_is_final(response), token == 3);
        assert_int_equal(tn_response_finish_reason(response), token == 3 ? TN_FINISH_END_ID : TN_FINISH_NOT_FINISHED);
        size_t count;
        const tn_log_prob *log_probs = tn_response_log_probs(response, 0, &count);
        assert_int_equal(count, 2);
        assert_int_equal(log_probs[0].id, token);
        assert_true(log_probs[0].value == -(float)token);
        assert_int_equal(log_probs[1].id, token + 1);
        assert_null(tn_response_log_probs(response, 1, &count));
        assert_int_equal(tn_response_context_logits(response) != NULL, token != 2); /* the first and the last */
        tn_response_destroy(response);
    }
    tn_sequence_destroy(sequence);
}

static void a_streaming_request_that_ends_without_a_new_token_gets_an_empty_final_response(void **state) {
    (void)state;
    tn_sequence *sequence = make_sequence(true, false, NULL);
    draw(sequence, 1);
    tn_response *response = take(sequence);
    assert_false(tn_response_is_final(response));
    tn_response_destroy(response);
    assert_false(tn_sequence_has_response(sequence));
    end(sequence, TN_FINISH_CANCELLED);
    response = take(sequence);
    expect_ids(response, NULL, 0);
    assert_true(tn_response_is_final(response));
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_CANCELLED);
    tn_response_destroy(response);
    tn_sequence_destroy(sequence);
}

static void results_live_as_long_as_the_final_response(void **state) {
    (void)state;
    tn_sequence *sequence = make_sequence(false, true, NULL);
    for (int i = 0; i < NUM_PROMPT * VOCAB; i++) sequence->rows[TN_ROW_LOGITS].context[i] = (float)i;
    for (int i = 0; i < VOCAB; i++) sequence->rows[TN_ROW_LOGITS].generation[i] = 100.0f + (float)i;
    for (int i = 0; i < NUM_PROMPT * HIDDEN; i++) sequence->rows[TN_ROW_HIDDEN_STATES].context[i] = 200.0f + (float)i;
    for (int i = 0; i < HIDDEN; i++) sequence->rows[TN_ROW_HIDDEN_STATES].generation[i] = 300.0f + (float)i;
    sequence->prompt_log_probs[0] = -1.0f;
    sequence->prompt_log_probs[1] = -2.0f;
    draw(sequence, 4);
    end(sequence, TN_FINISH_LENGTH);
    tn_response *response = take(sequence);
    tn_sequence_destroy(sequence);
    assert_true(tn_response_context_logits(response)[NUM_PROMPT * VOCAB - 1] == (float)(NUM_PROMPT * VOCAB - 1));
    assert_true(tn_response_generation_logits(response)[1] == 101.0f);
    size_t count;
    assert_true(tn_response_context_output(response, TN_OUTPUT_HIDDEN_STATES, &count)[NUM_PROMPT * HIDDEN - 1] == 211.0f);
    assert_int_equal(count, HIDDEN);
    assert_true(tn_response_generation_output(response, TN_OUTPUT_HIDDEN_STATES, &count)[1] == 301.0f);
    assert_int_equal(count, HIDDEN);
    assert_null(tn_response_context_output(response, "logits", &count));
    assert_int_equal(count, 0);
    assert_null(tn_response_beam_generation_output(response, 1, TN_OUTPUT_HIDDEN_STATES, &count));
    assert_int_equal(count, 0);
    const float *prompt_log_probs = tn_response_prompt_log_probs(response, &count);
    assert_int_equal(count, NUM_PROMPT - 1);
    assert_true(prompt_log_probs[1] == -2.0f);
    assert_int_equal(tn_response_log_probs(response, 0, &count)[0].id, 4);
    tn_response_destroy(response);
}

static void results_of_the_prompt_live_as_long_as_the_first_response_too(void **state) {
    (void)state;
    tn_sequence *sequence = make_sequence(true, true, NULL);
    for (int i = 0; i < NUM_PROMPT * VOCAB; i++) sequence->rows[TN_ROW_LOGITS].context[i] = (float)i;
    sequence->prompt_log_probs[1] = -2.0f;
    draw(sequence, 4);
    draw(sequence, 5);
    tn_response *first = take(sequence);
    end(sequence, TN_FINISH_LENGTH);
    tn_response_destroy(take(sequence));
    tn_sequence_destroy(sequence);
    size_t count;
    assert_true(tn_response_context_logits(first)[NUM_PROMPT * VOCAB - 1] == (float)(NUM_PROMPT * VOCAB - 1));
    assert_true(tn_response_prompt_log_probs(first, &count)[1] == -2.0f);
    assert_int_equal(count, NUM_PROMPT - 1);
    tn_response_destroy(first);
}

static void an_error_stands_in_the_final_response_only(void **state) {
    (void)state;
    tn_sequence *sequence = make_sequence(true, false, NULL);
    draw(sequence, 1);
    sequence->status = TN_IO_ERROR;
    snprintf(sequence->error, sizeof sequence->error, "the device is gone");
    end(sequence, TN_FINISH_NOT_FINISHED);
    draw(sequence, 2);
    tn_response *response = take(sequence);
    assert_null(tn_response_error(response));
    assert_int_equal(tn_response_status(response), TN_OK);
    tn_response_destroy(response);
    response = take(sequence);
    assert_string_equal(tn_response_error(response), "the device is gone");
    assert_int_equal(tn_response_status(response), TN_IO_ERROR);
    assert_true(tn_response_is_final(response));
    tn_response_destroy(response);
    tn_sequence_destroy(sequence);
}

/* The caller may try again: nothing was taken. */
static void a_response_that_memory_is_missing_for_can_be_taken_later(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, 0);
        tn_sequence *sequence = make_sequence(false, true, &fault.allocator);
        draw(sequence, 4);
        snprintf(sequence->error, sizeof sequence->error, "late");
        end(sequence, TN_FINISH_LENGTH);
        size_t first = atomic_load(&fault.num_calls);
        fault.fail_at = first + n;
        tn_response *response;
        tn_status status = tn_sequence_take_response(sequence, &fault.allocator, &response);
        bool has_failed = tn_fault_has_failed(&fault);
        if (has_failed) {
            assert_int_equal(status, TN_OUT_OF_MEMORY);
            assert_null(response);
            fault.fail_at = 0;
            assert_true(tn_sequence_has_response(sequence));
            status = tn_sequence_take_response(sequence, &fault.allocator, &response);
        }
        assert_int_equal(status, TN_OK);
        expect_ids(response, (int32_t[]){4}, 1);
        assert_string_equal(tn_response_error(response), "late");
        assert_non_null(tn_response_context_logits(response));
        tn_sequence_destroy(sequence);
        tn_response_destroy(response);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!has_failed) {
            assert_true(n > 2);
            return;
        }
    }
}

static void every_finish_reason_has_a_name(void **state) {
    (void)state;
    assert_string_equal(tn_finish_reason_name(TN_FINISH_NOT_FINISHED), "not_finished");
    assert_string_equal(tn_finish_reason_name(TN_FINISH_END_ID), "end_id");
    assert_string_equal(tn_finish_reason_name(TN_FINISH_STOP_WORDS), "stop_words");
    assert_string_equal(tn_finish_reason_name(TN_FINISH_LENGTH), "length");
    assert_string_equal(tn_finish_reason_name(TN_FINISH_TIMED_OUT), "timed_out");
    assert_string_equal(tn_finish_reason_name(TN_FINISH_CANCELLED), "cancelled");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_response_comes_when_the_request_is_finished),
        cmocka_unit_test(a_streaming_request_gives_one_token_a_response_however_many_wait),
        cmocka_unit_test(a_streaming_request_that_ends_without_a_new_token_gets_an_empty_final_response),
        cmocka_unit_test(results_live_as_long_as_the_final_response),
        cmocka_unit_test(results_of_the_prompt_live_as_long_as_the_first_response_too),
        cmocka_unit_test(an_error_stands_in_the_final_response_only),
        cmocka_unit_test(a_response_that_memory_is_missing_for_can_be_taken_later),
        cmocka_unit_test(every_finish_reason_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
