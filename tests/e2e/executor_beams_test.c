/* SPDX-License-Identifier: Apache-2.0
 *
 * executor_beams_test.c: beam search on a running engine: bitwise the same alone, beside others, streamed, paused and after a
 * prefix hit; endings, post-processors, memory. What the search itself finds: golden.h, executor/beams_test.c.
 */
#include "support/executor.h"

#include "support/fault_allocator.h"

enum { PROMPT = 37, ANSWER = 20, BLOCK = 16, WIDTH = 4 };

static tn_request beam_request(const int32_t *ids, size_t count, int32_t width) {
    tn_request request = make_request(ids, count, ANSWER);
    request.sampling.beam_width = width;
    request.sampling.length_penalty = 1.0f;
    request.num_log_probs = 2;
    request.return_generation_logits = true;
    return request;
}

static tn_executor_options beam_options(void) {
    tn_executor_options options = make_options();
    options.max_beam_width = 6;
    return options;
}

static void assert_same_beams(const tn_response *a, const tn_response *b) {
    assert_null(tn_response_error(a));
    assert_null(tn_response_error(b));
    assert_int_equal(tn_response_num_beams(a), tn_response_num_beams(b));
    for (int32_t beam = 0; beam < tn_response_num_beams(a); beam++) {
        size_t count_a, count_b;
        const int32_t *ids_a = tn_response_beam_ids(a, beam, &count_a), *ids_b = tn_response_beam_ids(b, beam, &count_b);
        assert_int_equal(count_a, count_b);
        assert_memory_equal(ids_a, ids_b, count_a * sizeof *ids_a);
        assert_int_equal(tn_response_beam_finish_reason(a, beam), tn_response_beam_finish_reason(b, beam));
        assert_true(tn_response_beam_score(a, beam) == tn_response_beam_score(b, beam));
        assert_true(tn_response_beam_cum_log_prob(a, beam) == tn_response_beam_cum_log_prob(b, beam));
        const float *logits_a = tn_response_beam_generation_logits(a, beam), *logits_b = tn_response_beam_generation_logits(b, beam);
        if (logits_a != NULL && logits_b != NULL) assert_memory_equal(logits_a, logits_b, count_a * VOCAB * sizeof *logits_a);
        for (size_t i = 0; i < count_a; i++) {
            size_t columns_a, columns_b;
            const tn_log_prob *row_a = tn_response_beam_log_probs(a, beam, i, &columns_a);
            const tn_log_prob *row_b = tn_response_beam_log_probs(b, beam, i, &columns_b);
            assert_int_equal(columns_a, columns_b);
            if (columns_a > 0) assert_memory_equal(row_a, row_b, columns_a * sizeof *row_a);
        }
    }
}

/* --- answers ------------------------------------------------------------------------------------------------------------------ */

static double log_softmax(const float *logits, int32_t id) {
    double largest = (double)logits[0], sum = 0.0;
    for (int v = 0; v < VOCAB; v++) largest = fmax(largest, (double)logits[v]);
    for (int v = 0; v < VOCAB; v++) sum += exp((double)logits[v] - largest);
    return (double)logits[id] - largest - log(sum);
}

static void each_beam_comes_with_its_own_score_log_probs_and_logits(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 1);
    tn_executor_options options = beam_options();
    tn_test_decoder_start(decoder, &options);
    tn_request request = beam_request(ids, PROMPT, WIDTH);
    tn_response *response = tn_test_answer(decoder, &request);
    assert_int_equal(tn_response_num_beams(response), WIDTH);
    assert_int_equal(tn_response_sequence_index(response), 0);
    for (int32_t beam = 0; beam < WIDTH; beam++) {
        size_t count, columns;
        const int32_t *tokens = tn_response_beam_ids(response, beam, &count);
        const float *logits = tn_response_beam_generation_logits(response, beam);
        double sum = 0.0;
        assert_int_equal(count, ANSWER);
        for (size_t i = 0; i < count; i++) {
            const tn_log_prob *row = tn_response_beam_log_probs(response, beam, i, &columns);
            assert_int_equal(columns, 3);
            assert_int_equal(row[0].id, tokens[i]);
            assert_true(row[1].value >= row[0].value && row[1].value >= row[2].value);
            assert_true(fabs((double)row[0].value - log_softmax(logits + i * VOCAB, tokens[i])) < 1e-5);
            assert_true(fabs((double)row[1].value - log_softmax(logits + i * VOCAB, row[1].id)) < 1e-5);
            sum += (double)row[0].value;
        }
        assert_true(fabs((double)tn_response_beam_cum_log_prob(response, beam) - sum) < 1e-4);
        assert_true(fabs((double)tn_response_beam_score(response, beam) - sum / ANSWER) < 1e-5);
        if (beam > 0) assert_true(tn_response_beam_score(response, beam - 1) >= tn_response_beam_score(response, beam));
        assert_null(tn_response_beam_log_probs(response, beam, ANSWER, &columns));
    }
    size_t count;
    assert_null(tn_response_beam_ids(response, WIDTH, &count));
    assert_int_equal(count, 0);
    assert_null(tn_response_beam_ids(response, -1, &count));
    request.sampling.num_return_sequences = 2;
    tn_response *fewer = tn_test_answer(decoder, &request);
    assert_int_equal(tn_response_num_beams(fewer), 2);
    for (int32_t beam = 0; beam < 2; beam++) assert_true(tn_response_beam_score(fewer, beam) == tn_response_beam_score(response, beam));
    request.sampling.beam_width = 1;
    request.sampling.num_return_sequences = 0;
    tn_response *greedy = tn_test_answer(decoder, &request);
    assert_int_equal(tn_response_num_beams(greedy), 1);
    assert_true(tn_response_beam_cum_log_prob(response, 0) >= tn_response_cum_log_prob(greedy) - 1e-4f);
    tn_response_destroy(response);
    tn_response_destroy(fewer);
    tn_response_destroy(greedy);
    assert_no_block_left(decoder);
}

static void streaming_shows_the_beams_that_run_and_ends_with_the_answer(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 2);
    tn_executor_options options = beam_options();
    tn_test_decoder_start(decoder, &options);
    tn_request request = beam_request(ids, PROMPT, WIDTH);
    request.sampling.num_return_sequences = 3;
    tn_response *whole = tn_test_answer(decoder, &request);
    request.streaming = true;
    uint64_t id = enqueue(decoder, &request);
    while (tn_executor_num_responses_ready(decoder->executor, id) < ANSWER) nap();
    for (size_t i = 1; i <= ANSWER; i++) {
        tn_response *response = await(decoder, id);
        assert_int_equal(tn_response_num_beams(response), 3);
        assert_int_equal(tn_response_is_final(response), i == ANSWER);
        assert_int_equal(tn_response_decoding_iter(response), i);
        for (int32_t beam = 0; beam < 3; beam++) {
            size_t count, columns;
            (void)tn_response_beam_ids(response, beam, &count);
            assert_int_equal(count, i);
            assert_non_null(tn_response_beam_log_probs(response, beam, i - 1, &columns));
            assert_null(tn_response_beam_generation_logits(response, beam));
            assert_int_equal(tn_response_beam_finish_reason(response, beam), i == ANSWER ? TN_FINISH_LENGTH : TN_FINISH_NOT_FINISHED);
        }
        if (i == ANSWER) assert_same_beams(whole, response);
        tn_response_destroy(response);
    }
    tn_response_destroy(whole);
}

static void ends_of_beams_are_those_of_the_rules(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 3);
    tn_executor_options options = beam_options();
    tn_test_decoder_start(decoder, &options);
    tn_request request = beam_request(ids, PROMPT, WIDTH);
    tn_response *plain = tn_test_answer(decoder, &request);
    size_t count;
    const int32_t *tokens = tn_response_ids(plain, &count);
    int32_t pair[2] = {tokens[5], tokens[6]}, forbidden[1] = {tokens[2]}, end = tokens[9];
    const tn_token_list stop = {pair, 2}, bad = {forbidden, 1};
    request.stop_words = &stop;
    request.num_stop_words = 1;
    request.bad_words = &bad;
    request.num_bad_words = 1;
    request.end_id = end;
    request.sampling.min_tokens = 4;
    request.sampling.no_repeat_ngram_size = 2;
    request.sampling.early_stopping = 2;
    tn_response *ended = tn_test_answer(decoder, &request);
    bool has_changed = false;
    for (int32_t beam = 0; beam < WIDTH; beam++) {
        const int32_t *found = tn_response_beam_ids(ended, beam, &count);
        bool is_stopped = count >= 2 && found[count - 2] == pair[0] && found[count - 1] == pair[1];
        tn_finish_reason wanted = found[count - 1] == end ? TN_FINISH_END_ID : is_stopped ? TN_FINISH_STOP_WORDS : TN_FINISH_LENGTH;
        assert_int_equal(tn_response_beam_finish_reason(ended, beam), wanted);
        assert_true(count > 4 || wanted != TN_FINISH_END_ID);
        if (wanted == TN_FINISH_LENGTH) assert_int_equal(count, ANSWER);
        has_changed = has_changed || wanted != TN_FINISH_LENGTH;
        for (size_t i = 0; i < count; i++) {
            assert_int_not_equal(found[i], forbidden[0]);
            if (i + 1 < count) assert_true(found[i] != end && !(i > 0 && found[i - 1] == pair[0] && found[i] == pair[1]));
            for (size_t before = 1; i > 0 && before < i; before++)
                assert_false(found[before - 1] == found[i - 1] && found[before] == found[i]);
        }
    }
    tn_response_destroy(ended);
    tn_response_destroy(plain);
}

static void widths_may_change_from_token_to_token(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    static const int32_t widths[] = {1, 5, 3}, wanted[] = {1, 5, 3, 3, 3, 3};
    make_prompt(ids, PROMPT, 4);
    tn_executor_options options = beam_options();
    tn_test_decoder_start(decoder, &options);
    tn_request request = make_request(ids, PROMPT, 6);
    request.streaming = true;
    request.sampling.beam_width_array = widths;
    request.sampling.num_beam_widths = 3;
    uint64_t id = enqueue(decoder, &request);
    for (size_t i = 0; i < 6; i++) {
        tn_response *response = await(decoder, id);
        assert_int_equal(tn_response_num_beams(response), i < 5 ? wanted[i] : 5); /* the last token is looked for as widely as it can be */
        tn_response_destroy(response);
    }
    assert_no_block_left(decoder);
}

/* --- beside others ------------------------------------------------------------------------------------------------------------ */

enum { CROWD = 9 };

static tn_request crowd_request(int32_t ids[CROWD][PROMPT], int32_t i) {
    tn_request request = beam_request(ids[i], PROMPT - (size_t)i, 1 + i % 5);
    request.sampling.early_stopping = i % 3;
    request.sampling.repetition_penalty = i == 3 ? 1.3f : 1.0f;
    request.sampling.beam_search_diversity_rate = i == 7 ? 0.5f : 0.0f;
    if (i == 2) request.return_context_logits = request.return_prompt_log_probs = true;
    if (i == 5) request.sampling.top_p = 0.9f, request.sampling.temperature = 2.0f;
    return request;
}

static void beams_of_any_width_answer_bitwise_as_alone_beside_others(void **state) {
    tn_test_decoder *decoder = *state;
    static int32_t ids[CROWD][PROMPT];
    tn_response *alone[CROWD];
    tn_executor_options options = beam_options();
    tn_test_decoder_start(decoder, &options);
    for (int32_t i = 0; i < CROWD; i++) {
        make_prompt(ids[i], PROMPT, 20 + (uint32_t)i / 2); /* two begin alike each */
        tn_request request = crowd_request(ids, i);
        alone[i] = tn_test_answer(decoder, &request);
    }
    for (int run = 0; run < 4; run++) {
        options = beam_options();
        options.enable_block_reuse = run != 1;
        options.max_chunk_tokens = run == 2 ? 7 : 0;
        options.pipeline_depth = 1 + run % 2;
        tn_test_decoder_start(decoder, &options);
        uint64_t pending[CROWD];
        for (int32_t i = 0; i < CROWD; i++) {
            tn_request request = crowd_request(ids, i);
            request.streaming = run == 3 && i % 2 == 0;
            pending[i] = enqueue(decoder, &request);
        }
        for (int32_t i = 0; i < CROWD; i++) {
            tn_response *response = await(decoder, pending[i]);
            while (!tn_response_is_final(response)) {
                tn_response_destroy(response);
                response = await(decoder, pending[i]);
            }
            if (i % 5 > 0 || run < 3) assert_same_beams(alone[i], response); /* without beams streaming gives one token at a time */
            if (i == 2)
                assert_memory_equal(tn_response_context_logits(response), tn_response_context_logits(alone[i]),
                                    (PROMPT - 2) * VOCAB * sizeof(float));
            tn_response_destroy(response);
        }
        assert_no_block_left(decoder);
    }
    for (int i = 0; i < CROWD; i++) tn_response_destroy(alone[i]);
}

static int64_t num_paused_in_all(tn_test_decoder *decoder) {
    tn_iteration_stats stats;
    int64_t count = 0;
    while (tn_executor_take_iteration_stats(decoder->executor, &stats) == TN_OK) count += stats.inflight_batching_stats.num_paused_requests;
    return count;
}

static void paused_beams_come_back_bitwise(void **state) {
    tn_test_decoder *decoder = *state;
    static int32_t ids[CROWD][PROMPT];
    tn_response *alone[CROWD];
    tn_executor_options options = beam_options();
    tn_test_decoder_start(decoder, &options);
    for (int32_t i = 0; i < CROWD; i++) {
        make_prompt(ids[i], PROMPT, 40 + (uint32_t)i);
        tn_request request = crowd_request(ids, i);
        alone[i] = tn_test_answer(decoder, &request);
    }
    for (int run = 0; run < 4; run++) {
        options = beam_options();
        options.capacity_policy = TN_MAX_UTILIZATION;
        options.pipeline_depth = 1 + run % 2;
        options.enable_block_reuse = run >= 2;
        options.max_chunk_tokens = run == 1 ? 5 : 0;
        options.max_cache_tokens = 16 * BLOCK;
        options.iter_stats_max_iterations = 100000;
        tn_test_decoder_start(decoder, &options);
        uint64_t pending[CROWD];
        for (int32_t i = 0; i < CROWD; i++) {
            tn_request request = crowd_request(ids, i);
            pending[i] = enqueue(decoder, &request);
        }
        for (int32_t i = 0; i < CROWD; i++) {
            tn_response *response = await(decoder, pending[i]);
            assert_same_beams(alone[i], response);
            tn_response_destroy(response);
        }
        assert_no_block_left(decoder);
        assert_true(num_paused_in_all(decoder) > 0);
    }
    for (int i = 0; i < CROWD; i++) tn_response_destroy(alone[i]);
}

static void beams_wait_for_their_blocks_and_places(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 5);
    tn_executor_options options = beam_options();
    options.max_cache_tokens = (2 + 2 * WIDTH) * BLOCK; /* of one of them: 2 whole blocks of the prompt, 2 more for each beam */
    options.enable_block_reuse = false;
    tn_test_decoder_start(decoder, &options);
    tn_request request = beam_request(ids, PROMPT, WIDTH);
    tn_diag *diag;
    tn_diag_entry entry;
    uint64_t pending[3];
    for (int i = 0; i < 3; i++) pending[i] = enqueue(decoder, &request);
    for (int i = 0; i < 3; i++) {
        tn_response *response = await(decoder, pending[i]);
        assert_null(tn_response_error(response));
        tn_response_destroy(response);
    }
    request.sampling.beam_width = WIDTH + 1;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_executor_enqueue_diag(decoder->executor, &request, diag, pending), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, "cannot take the request: it may need 192 tokens of cache, the executor has 160");
    tn_diag_clear(diag);
    options.max_cache_tokens = 0;
    options.max_batch_size = 6; /* one search and little else at a time */
    options.capacity_policy = TN_MAX_UTILIZATION;
    options.enable_chunked_context = false;
    options.max_num_tokens = 100;
    tn_test_decoder_start(decoder, &options);
    for (int i = 0; i < 3; i++) pending[i] = enqueue(decoder, &request);
    for (int i = 0; i < 3; i++) tn_response_destroy(await(decoder, pending[i]));
    request.sampling.beam_width = 6; /* a pause would have to read 19 tokens for each beam in one step */
    assert_int_equal(tn_executor_enqueue_diag(decoder->executor, &request, diag, pending), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, "cannot take the request: it could be paused with 114 tokens to read, a step holds 100 and prompts "
                                       "are not read in chunks");
    tn_diag_destroy(diag);
    assert_no_block_left(decoder);
}

static void a_prompt_of_beams_is_shared_with_later_requests(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 6);
    tn_executor_options options = beam_options();
    tn_test_decoder_start(decoder, &options);
    tn_request request = beam_request(ids, PROMPT, WIDTH);
    tn_response *first = tn_test_answer(decoder, &request), *second = tn_test_answer(decoder, &request);
    tn_request_timings timings;
    tn_response_timings(second, &timings);
    assert_int_equal(timings.num_reused_tokens, PROMPT - 1); /* two whole blocks and the rest of the prompt */
    assert_same_beams(first, second);
    tn_response_destroy(first);
    tn_response_destroy(second);
}

/* --- stopping ----------------------------------------------------------------------------------------------------------------- */

static void cancelled_beams_answer_with_what_they_have_and_free_all(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 7);
    tn_executor_options options = beam_options();
    tn_test_decoder_start(decoder, &options);
    tn_request request = beam_request(ids, PROMPT, WIDTH), other = beam_request(ids, PROMPT - 1, 3);
    tn_response *alone = tn_test_answer(decoder, &other);
    request.max_tokens = 400;
    request.return_generation_logits = false;
    uint64_t queued[20], id = enqueue(decoder, &request), beside = enqueue(decoder, &other);
    for (int i = 0; i < 20; i++) queued[i] = enqueue(decoder, &request);
    int64_t first = num_steps(decoder);
    while (num_steps(decoder) < first + 5) nap();
    tn_executor_cancel(decoder->executor, id);
    for (int i = 0; i < 20; i++) tn_executor_cancel(decoder->executor, queued[i]);
    tn_response *response = await(decoder, id);
    assert_true(tn_response_is_final(response));
    assert_int_equal(tn_response_num_beams(response), WIDTH);
    for (int32_t beam = 0; beam < WIDTH; beam++) {
        size_t count;
        (void)tn_response_beam_ids(response, beam, &count);
        assert_int_equal(tn_response_beam_finish_reason(response, beam), TN_FINISH_CANCELLED);
        assert_true(count > 0);
    }
    tn_response_destroy(response);
    for (int i = 0; i < 20; i++) {
        response = await(decoder, queued[i]);
        assert_int_equal(tn_response_finish_reason(response), TN_FINISH_CANCELLED);
        tn_response_destroy(response);
    }
    response = await(decoder, beside);
    assert_same_beams(alone, response);
    tn_response_destroy(response);
    request.allotted_time_ms = 3;
    response = await(decoder, enqueue(decoder, &request));
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_TIMED_OUT);
    tn_response_destroy(response);
    tn_response_destroy(alone);
    assert_no_block_left(decoder);
}

/* --- post-processors ---------------------------------------------------------------------------------------------------------- */

typedef struct observer {
    int num_calls, num_views;
    int32_t widest;
    bool is_wrong, refuses;
} observer;

/* Leaves tokens 7 to 12 only. */
static void allow_few(void *user, tn_logits_view *views, size_t num_views) {
    observer *self = user;
    self->num_calls++;
    for (size_t i = 0; i < num_views; i++) {
        tn_logits_view *view = &views[i];
        self->num_views++;
        if (view->num_beams > self->widest) self->widest = view->num_beams;
        self->is_wrong = self->is_wrong || view->beam_ids[0] != view->ids || (view->num_ids == PROMPT) != (view->num_beams == 1);
        for (int32_t beam = 0; beam < view->num_beams; beam++) {
            for (size_t t = PROMPT; t < view->num_ids; t++)
                self->is_wrong = self->is_wrong || view->beam_ids[beam][t] < 7 || view->beam_ids[beam][t] > 12;
            for (int32_t v = 0; v < view->vocab_size; v++)
                if (v < 7 || v > 12) view->logits[beam * view->vocab_size + v] = -INFINITY;
        }
        if (self->refuses && view->num_ids == PROMPT + 3) view->status = TN_CANCELLED;
    }
}

static void post_processors_see_all_beams_of_a_request(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 8);
    observer own = {0}, batched = {0};
    tn_executor_options options = beam_options();
    options.batched_logits_post_processor = allow_few;
    options.batched_logits_post_processor_user = &batched;
    tn_test_decoder_start(decoder, &options);
    tn_request request = beam_request(ids, PROMPT, WIDTH);
    request.logits_post_processor = allow_few;
    request.logits_post_processor_user = &own;
    tn_response *response = tn_test_answer(decoder, &request);
    assert_false(own.is_wrong);
    assert_int_equal(own.widest, WIDTH);
    assert_int_equal(own.num_calls, ANSWER);
    for (int32_t beam = 0; beam < WIDTH; beam++) {
        size_t count;
        const int32_t *tokens = tn_response_beam_ids(response, beam, &count);
        for (size_t i = 0; i < count; i++) assert_in_range(tokens[i], 7, 12);
    }
    request.logits_post_processor = NULL;
    request.logits_post_processor_name = TN_BATCHED_POST_PROCESSOR_NAME;
    uint64_t pending[2] = {enqueue(decoder, &request), enqueue(decoder, &request)};
    for (int i = 0; i < 2; i++) {
        tn_response *other = await(decoder, pending[i]);
        assert_same_beams(response, other);
        tn_response_destroy(other);
    }
    assert_false(batched.is_wrong);
    assert_int_equal(batched.num_views, 2 * ANSWER);
    batched.refuses = true;
    tn_response *failed = await(decoder, enqueue(decoder, &request));
    assert_string_equal(tn_response_error(failed), "the logits post-processor failed: cancelled");
    tn_response_destroy(failed);
    tn_response_destroy(response);
    assert_no_block_left(decoder);
}

/* --- memory ------------------------------------------------------------------------------------------------------------------- */

/* Every allocator that the loop can reach counts. */
static void the_steady_loop_of_beams_does_not_allocate(void **state) {
    (void)state;
    static tn_fault_allocator counters[3];
    for (int i = 0; i < 3; i++) tn_fault_allocator_init(&counters[i], 0);
    tn_device_options device_options;
    tn_device_options_init(&device_options);
    device_options.allocator = &counters[0].allocator;
    tn_test_decoder decoder;
    open_decoder(&decoder, "ref", &device_options);
    tn_engine_destroy(decoder.engine);
    tn_engine_options engine_options;
    tn_engine_options_init(&engine_options);
    engine_options.device = decoder.device;
    engine_options.allocator = &counters[1].allocator;
    assert_int_equal(tn_engine_create(decoder.plan, &engine_options, &decoder.engine), TN_OK);
    tn_executor_options options = beam_options();
    options.allocator = &counters[2].allocator;
    tn_test_decoder_start(&decoder, &options);
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 9);
    tn_request request = beam_request(ids, PROMPT, WIDTH);
    request.max_tokens = 120;
    uint64_t requests[3];
    int64_t first = num_steps(&decoder);
    for (int i = 0; i < 3; i++) requests[i] = enqueue(&decoder, &request);
    while (num_steps(&decoder) < first + 20) nap();
    size_t before[3], after[3];
    for (int i = 0; i < 3; i++) before[i] = atomic_load(&counters[i].num_calls);
    while (num_steps(&decoder) < first + 100) nap();
    for (int i = 0; i < 3; i++) after[i] = atomic_load(&counters[i].num_calls);
    assert_memory_equal(before, after, sizeof before);
    for (int i = 0; i < 3; i++) tn_response_destroy(await(&decoder, requests[i]));
    tn_test_decoder_close(&decoder);
    for (int i = 0; i < 3; i++) assert_int_equal(tn_fault_num_live_blocks(&counters[i]), 0);
}

static void a_response_of_beams_that_memory_is_missing_for_can_be_taken_later(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 10);
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    tn_executor_options options = beam_options();
    options.allocator = &fault.allocator;
    tn_test_decoder_start(decoder, &options);
    tn_request request = beam_request(ids, PROMPT, WIDTH);
    tn_response *right = tn_test_answer(decoder, &request), *response = NULL;
    uint64_t id = enqueue(decoder, &request);
    while (tn_executor_num_responses_ready(decoder->executor, id) == 0) nap();
    tn_status status = TN_OUT_OF_MEMORY;
    for (size_t n = 1; status != TN_OK; n++) {
        fault.fail_at = atomic_load(&fault.num_calls) + n;
        status = tn_executor_await(decoder->executor, id, TN_FOREVER, &response);
        fault.fail_at = 0;
        assert_true(status == TN_OK || status == TN_OUT_OF_MEMORY);
        if (status == TN_OK) assert_true(n > 2);
    }
    assert_same_beams(right, response);
    tn_response_destroy(right);
    tn_response_destroy(response);
    tn_executor_destroy(decoder->executor);
    decoder->executor = NULL;
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

static int open_cpu(void **state) {
    static tn_test_decoder decoder;
    open_decoder(&decoder, "cpu", NULL);
    *state = &decoder;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_beam_comes_with_its_own_score_log_probs_and_logits),
        cmocka_unit_test(streaming_shows_the_beams_that_run_and_ends_with_the_answer),
        cmocka_unit_test(ends_of_beams_are_those_of_the_rules),
        cmocka_unit_test(widths_may_change_from_token_to_token),
        cmocka_unit_test(beams_of_any_width_answer_bitwise_as_alone_beside_others),
        cmocka_unit_test(paused_beams_come_back_bitwise),
        cmocka_unit_test(beams_wait_for_their_blocks_and_places),
        cmocka_unit_test(a_prompt_of_beams_is_shared_with_later_requests),
        cmocka_unit_test(cancelled_beams_answer_with_what_they_have_and_free_all),
        cmocka_unit_test(post_processors_see_all_beams_of_a_request),
        cmocka_unit_test(a_response_of_beams_that_memory_is_missing_for_can_be_taken_later),
    };
    const struct CMUnitTest once[] = {
        cmocka_unit_test(the_steady_loop_of_beams_does_not_allocate),
    };
    int failed = cmocka_run_group_tests_name("cpu", tests, open_cpu, close_group);
    failed += cmocka_run_group_tests_name("ref, once", once, NULL, NULL);
    return failed + cmocka_run_group_tests_name("ref, asynchronous", tests, open_asynchronous, close_group);
}
