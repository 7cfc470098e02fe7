/* SPDX-License-Identifier: Apache-2.0
 *
 * executor_test.c: requests from queue to response on a running engine: endings, cancelling, failing, sharing, on the reference
 * device, synchronous and asynchronous.
 */
#include "support/executor.h"

#include <pthread.h>
#include <time.h>

#include "runtime/runtime.h"
#include "support/fault_allocator.h"

/* *state: the decoder of the group. */
enum { PROMPT = 40, ANSWER = 24 };

/* The greedy answer to a prompt, alone. */
static tn_response *answer_alone(tn_test_decoder *decoder, const int32_t *ids, size_t count, int32_t max_tokens) {
    tn_request request = make_request(ids, count, max_tokens);
    request.return_generation_logits = true;
    return tn_test_answer(decoder, &request);
}

/* --- endings ------------------------------------------------------------------------------------------------------------- */

static void an_end_id_and_stop_words_end_the_answer_where_it_has_them(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 1);
    start(decoder, 0, 0);
    tn_response *whole = answer_alone(decoder, ids, PROMPT, ANSWER);
    size_t count;
    const int32_t *tokens = tn_response_ids(whole, &count);
    assert_int_equal(count, ANSWER);
    assert_int_equal(tn_response_finish_reason(whole), TN_FINISH_LENGTH);
    size_t first = 0;
    while (tokens[first] != tokens[7]) first++;

    tn_request request = make_request(ids, PROMPT, ANSWER);
    request.end_id = tokens[7];
    tn_response *ended = tn_test_answer(decoder, &request);
    const int32_t *ended_ids = tn_response_ids(ended, &count);
    assert_int_equal(count, first + 1);
    assert_memory_equal(ended_ids, tokens, count * sizeof *tokens);
    assert_int_equal(tn_response_finish_reason(ended), TN_FINISH_END_ID);
    tn_response_destroy(ended);

    request.end_id = -1;
    request.more_end_ids = &tokens[7];
    request.num_more_end_ids = 1;
    ended = tn_test_answer(decoder, &request);
    (void)tn_response_ids(ended, &count);
    assert_int_equal(count, first + 1);
    assert_int_equal(tn_response_finish_reason(ended), TN_FINISH_END_ID);
    tn_response_destroy(ended);

    const tn_token_list word = {tokens + 9, 3}; /* a stop word that comes token by token */
    size_t end = 3;
    while (memcmp(tokens + end - 3, word.ids, 3 * sizeof *tokens) != 0) end++;
    request.num_more_end_ids = 0;
    request.stop_words = &word;
    request.num_stop_words = 1;
    for (int depth = 1; depth <= 2; depth++) { /* depth 2 runs a step too much and drops it */
        start(decoder, 0, depth);
        ended = tn_test_answer(decoder, &request);
        (void)tn_response_ids(ended, &count);
        assert_int_equal(count, end);
        assert_int_equal(tn_response_finish_reason(ended), TN_FINISH_STOP_WORDS);
        tn_response_destroy(ended);
        assert_no_block_left(decoder);
    }
    tn_response_destroy(whole);
}

static void max_tokens_is_lowered_to_the_context_and_the_response_says_so(void **state) {
    tn_test_decoder *decoder = *state;
    static int32_t ids[MAX_SEQ_LEN];
    make_prompt(ids, MAX_SEQ_LEN, 2);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, MAX_SEQ_LEN - 5, 100);
    tn_response *response = tn_test_answer(decoder, &request);
    size_t count;
    (void)tn_response_ids(response, &count);
    assert_int_equal(count, 5);
    assert_int_equal(tn_response_max_tokens(response), 5);
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_LENGTH);
    tn_response_destroy(response);
    assert_no_block_left(decoder);
}

static void a_prompt_as_long_as_the_context_is_refused(void **state) {
    tn_test_decoder *decoder = *state;
    static int32_t ids[MAX_SEQ_LEN];
    start(decoder, 0, 0);
    tn_diag *diag;
    tn_diag_entry entry;
    uint64_t id;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_request request = make_request(ids, MAX_SEQ_LEN, 1);
    assert_int_equal(tn_executor_enqueue_diag(decoder->executor, &request, diag, &id), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message,
                        "cannot take the request: the prompt has 512 tokens, the context holds 512 and needs one more for the answer");
    tn_diag_destroy(diag);
}

static void without_chunks_a_prompt_longer_than_a_step_is_refused(void **state) {
    tn_test_decoder *decoder = *state;
    static int32_t ids[MAX_NUM_TOKENS + 1];
    make_prompt(ids, MAX_NUM_TOKENS + 1, 2);
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.enable_chunked_context = false;
    tn_test_decoder_start(decoder, &options);
    tn_diag *diag;
    tn_diag_entry entry;
    uint64_t id;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_request request = make_request(ids, MAX_NUM_TOKENS + 1, 1);
    assert_int_equal(tn_executor_enqueue_diag(decoder->executor, &request, diag, &id), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message,
                        "cannot take the request: the prompt has 257 tokens, a step holds 256 and prompts are not read in chunks");
    tn_diag_destroy(diag);
    request.num_input_ids = MAX_NUM_TOKENS;
    tn_response_destroy(tn_test_answer(decoder, &request));
}

/* --- results -------------------------------------------------------------------------------------------------------------- */

static double log_softmax(const float *logits, int32_t id) {
    double largest = -INFINITY, sum = 0.0;
    for (int i = 0; i < VOCAB; i++) largest = fmax(largest, (double)logits[i]);
    for (int i = 0; i < VOCAB; i++) sum += exp((double)logits[i] - largest);
    return (double)logits[id] - largest - log(sum);
}

static void log_probs_are_the_log_softmax_of_the_logits_drawn_first_then_the_largest(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 3);
    enum { K = 5 };
    start(decoder, 16, 0);
    tn_request request = make_request(ids, PROMPT, 8);
    request.num_log_probs = K;
    request.return_prompt_log_probs = request.return_context_logits = request.return_generation_logits = true;
    request.sampling.top_p = 1.0f;
    request.sampling.temperature = 2.0f; /* does not change log-probabilities */
    request.sampling.seed = 5;
    tn_response *response = tn_test_answer(decoder, &request);
    size_t count, columns;
    const int32_t *tokens = tn_response_ids(response, &count);
    assert_int_equal(count, 8);
    for (size_t i = 0; i < count; i++) {
        const float *logits = tn_response_generation_logits(response) + i * VOCAB;
        const tn_log_prob *row = tn_response_log_probs(response, i, &columns);
        assert_int_equal(columns, K + 1);
        assert_int_equal(row[0].id, tokens[i]);
        for (size_t c = 0; c <= K; c++) assert_true(fabs((double)row[c].value - log_softmax(logits, row[c].id)) < 1e-4);
        for (int v = 0; v < VOCAB; v++) {
            bool is_listed = false;
            for (size_t c = 1; c <= K; c++) is_listed = is_listed || row[c].id == v;
            if (!is_listed) assert_true(logits[v] <= logits[row[K].id]);
        }
        for (size_t c = 2; c <= K; c++) assert_true(row[c].value <= row[c - 1].value);
    }
    const float *prompt_log_probs = tn_response_prompt_log_probs(response, &count);
    assert_int_equal(count, PROMPT - 1);
    for (size_t i = 0; i + 1 < PROMPT; i++) {
        double wanted = log_softmax(tn_response_context_logits(response) + i * VOCAB, ids[i + 1]);
        assert_true(fabs((double)prompt_log_probs[i] - wanted) < 1e-5);
    }
    /* The last row of the prompt is what the first token was drawn from. */
    assert_memory_equal(tn_response_context_logits(response) + (PROMPT - 1) * VOCAB, tn_response_generation_logits(response),
                        VOCAB * sizeof(float));
    tn_response_destroy(response);
}

static void streaming_gives_the_same_tokens_one_by_one(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 4);
    start(decoder, 0, 0);
    tn_response *whole = answer_alone(decoder, ids, PROMPT, ANSWER);
    size_t count;
    const int32_t *tokens = tn_response_ids(whole, &count);
    tn_request request = make_request(ids, PROMPT, ANSWER);
    request.streaming = true;
    uint64_t id = enqueue(decoder, &request);
    for (size_t i = 0; i < ANSWER; i++) {
        tn_response *response = await(decoder, id);
        const int32_t *token = tn_response_ids(response, &count);
        assert_int_equal(count, 1);
        assert_int_equal(token[0], tokens[i]);
        assert_int_equal(tn_response_is_final(response), i + 1 == ANSWER);
        tn_response_destroy(response);
    }
    tn_response *none;
    assert_int_equal(tn_executor_await(decoder->executor, id, 0, &none), TN_NOT_FOUND);
    tn_response_destroy(whole);
}

static void a_shared_prefix_gives_bitwise_the_same_answer(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 5);
    start(decoder, 0, 0);
    tn_response *first = answer_alone(decoder, ids, PROMPT, ANSWER), *second = answer_alone(decoder, ids, PROMPT, ANSWER);
    tn_request_timings timings;
    tn_response_timings(first, &timings);
    assert_int_equal(timings.num_reused_tokens, 0);
    tn_response_timings(second, &timings);
    assert_int_equal(timings.num_reused_tokens, PROMPT - 1); /* two blocks and seven tokens of the third */
    assert_same_answer(first, second);
    /* The answer's blocks are shared too, with a prompt that goes on from it. */
    int32_t longer[PROMPT + ANSWER];
    size_t count;
    memcpy(longer, ids, sizeof ids);
    memcpy(longer + PROMPT, tn_response_ids(first, &count), ANSWER * sizeof(int32_t));
    tn_response *third = answer_alone(decoder, longer, PROMPT + ANSWER, 4);
    tn_response_timings(third, &timings);
    assert_int_equal(timings.num_reused_tokens, PROMPT + ANSWER - 1);
    tn_response_destroy(third);

    tn_request request = make_request(ids, PROMPT, ANSWER);
    request.cache_salt = 1;
    third = tn_test_answer(decoder, &request);
    tn_response_timings(third, &timings);
    assert_int_equal(timings.num_reused_tokens, 0);
    assert_same_ids(first, third);
    tn_response_destroy(third);
    assert_no_block_left(decoder);
    tn_response_destroy(first);
    tn_response_destroy(second);
}

/* --- cancelling ------------------------------------------------------------------------------------------------------------ */

static void assert_cancelled(tn_response *response, size_t *out_count) {
    while (!tn_response_is_final(response)) fail_msg("not final");
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_CANCELLED);
    assert_null(tn_response_error(response));
    (void)tn_response_ids(response, out_count);
    tn_response_destroy(response);
}

static void a_request_cancelled_in_the_queue_never_runs(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 6);
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.max_batch_size = 1;
    tn_test_decoder_start(decoder, &options);
    tn_request request = make_request(ids, PROMPT, 400);
    uint64_t running = enqueue(decoder, &request), queued = enqueue(decoder, &request), last = enqueue(decoder, &request);
    tn_executor_cancel(decoder->executor, queued);
    size_t count;
    assert_cancelled(await(decoder, queued), &count);
    assert_int_equal(count, 0);
    tn_executor_cancel(decoder->executor, running);
    tn_executor_cancel(decoder->executor, last);
    tn_executor_cancel(decoder->executor, 12345); /* unknown: no effect */
    assert_cancelled(await(decoder, running), &count);
    assert_cancelled(await(decoder, last), &count);
    assert_no_block_left(decoder);
}

/* The cancelled request and one beside it, whose answer must not change. */
static void cancel_in_prefill_or_decode(tn_test_decoder *decoder, bool in_prefill) {
    static int32_t ids[480];
    int32_t other_ids[PROMPT];
    make_prompt(ids, 480, 7);
    make_prompt(other_ids, PROMPT, 8);
    start(decoder, 2, 0);
    tn_response *alone = answer_alone(decoder, other_ids, PROMPT, ANSWER);
    tn_request request = make_request(ids, in_prefill ? 480 : 8, in_prefill ? 8 : 400);
    bool was_in_time = false;
    for (int attempt = 0; attempt < 20 && !was_in_time; attempt++) { /* the loop may be faster than this thread */
        start(decoder, 2, 0);
        tn_request other = make_request(other_ids, PROMPT, ANSWER);
        other.return_generation_logits = true;
        int64_t steps = num_steps(decoder);
        uint64_t id = enqueue(decoder, &request), other_id = enqueue(decoder, &other);
        while (num_steps(decoder) < steps + (in_prefill ? 3 : 12)) nap();
        tn_executor_cancel(decoder->executor, id);
        tn_response *response = await(decoder, id);
        size_t count;
        (void)tn_response_ids(response, &count);
        was_in_time = tn_response_finish_reason(response) == TN_FINISH_CANCELLED && (in_prefill ? count == 0 : count > 0 && count < 400);
        tn_response_destroy(response);
        response = await(decoder, other_id);
        assert_same_answer(alone, response);
        tn_response_destroy(response);
        assert_no_block_left(decoder);
    }
    assert_true(was_in_time);
    tn_response_destroy(alone);
}

static void a_request_cancelled_in_prefill_frees_its_blocks_and_changes_no_other(void **state) {
    cancel_in_prefill_or_decode(*state, true);
}

static void a_request_cancelled_in_decode_frees_its_blocks_and_changes_no_other(void **state) {
    cancel_in_prefill_or_decode(*state, false);
}

static void shutdown_cancels_what_is_left(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 9);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, PROMPT, 450);
    uint64_t requests[20];
    for (int i = 0; i < 20; i++) requests[i] = enqueue(decoder, &request);
    tn_executor_shutdown(decoder->executor, false);
    for (int i = 0; i < 20; i++) {
        tn_response *response = await(decoder, requests[i]);
        assert_true(tn_response_is_final(response));
        if (tn_response_finish_reason(response) != TN_FINISH_LENGTH)
            assert_int_equal(tn_response_finish_reason(response), TN_FINISH_CANCELLED);
        tn_response_destroy(response);
    }
    assert_no_block_left(decoder);
    uint64_t id;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_executor_enqueue_diag(decoder->executor, &request, diag, &id), TN_UNAVAILABLE);
    tn_diag_destroy(diag);
    tn_response *none;
    assert_int_equal(tn_executor_await_any(decoder->executor, TN_FOREVER, &none), TN_NOT_FOUND);
}

static void shutdown_with_drain_finishes_what_was_taken(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 10);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, PROMPT, 6);
    for (int i = 0; i < 20; i++) (void)enqueue(decoder, &request);
    tn_executor_shutdown(decoder->executor, true);
    for (int i = 0; i < 20; i++) {
        tn_response *response;
        assert_int_equal(tn_executor_await_any(decoder->executor, TN_FOREVER, &response), TN_OK);
        assert_int_equal(tn_response_finish_reason(response), TN_FINISH_LENGTH);
        tn_response_destroy(response);
    }
    assert_no_block_left(decoder);
}

static void an_executor_destroyed_with_work_leaves_nothing_behind(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 11);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, PROMPT, 450);
    for (int i = 0; i < 20; i++) (void)enqueue(decoder, &request);
    tn_executor_destroy(decoder->executor);
    decoder->executor = NULL;
}

/* --- waiting, order ------------------------------------------------------------------------------------------------------- */

static void awaiting_knows_unknown_ids_and_time_outs(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 12);
    start(decoder, 0, 0);
    tn_response *response;
    assert_int_equal(tn_executor_await(decoder->executor, 77, TN_FOREVER, &response), TN_NOT_FOUND);
    assert_int_equal(tn_executor_await_any(decoder->executor, TN_FOREVER, &response), TN_NOT_FOUND);
    tn_request request = make_request(ids, PROMPT, 450);
    uint64_t id = enqueue(decoder, &request);
    assert_int_equal(tn_executor_num_responses_ready(decoder->executor, id), 0);
    tn_status status = tn_executor_await(decoder->executor, id, 1, &response);
    if (status == TN_OK) /* done within the millisecond */
        tn_response_destroy(response);
    else
        assert_int_equal(status, TN_TIMED_OUT);
}

static void a_full_queue_answers_unavailable(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 13);
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.max_batch_size = 1;
    options.max_queue_size = 2;
    tn_test_decoder_start(decoder, &options);
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_request request = make_request(ids, PROMPT, 450);
    uint64_t id;
    int taken = 0;
    while (tn_executor_enqueue_diag(decoder->executor, &request, diag, &id) == TN_OK) taken++;
    assert_true(taken >= 2 && taken < 1000);
    tn_diag_entry entry;
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_int_equal(entry.code, TN_UNAVAILABLE);
    assert_string_equal(entry.message, "cannot take the request: 2 requests are waiting, which is the queue's limit");
    tn_diag_destroy(diag);
}

static void higher_priority_runs_first(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 14);
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.max_batch_size = 1;
    tn_test_decoder_start(decoder, &options);
    tn_request request = make_request(ids, PROMPT, 100);
    (void)enqueue(decoder, &request);
    request.max_tokens = 2;
    uint64_t low = enqueue(decoder, &request);
    request.priority = 0.9f;
    uint64_t high = enqueue(decoder, &request), high_too = enqueue(decoder, &request);
    uint64_t order[4];
    for (int i = 0; i < 4; i++) {
        tn_response *response;
        assert_int_equal(tn_executor_await_any(decoder->executor, TN_FOREVER, &response), TN_OK);
        order[i] = tn_response_id(response);
        tn_response_destroy(response);
    }
    /* The first may have been overtaken too, if the loop had not seen it yet. */
    int place[5] = {0};
    for (int i = 0; i < 4; i++) place[order[i]] = i;
    assert_true(place[high] < place[high_too] && place[high_too] < place[low]);
}

static void a_small_cache_makes_requests_wait_not_fail(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[4][PROMPT];
    tn_response *alone[4];
    start(decoder, 0, 0);
    for (uint32_t i = 0; i < 4; i++) {
        make_prompt(ids[i], PROMPT, 20 + i);
        alone[i] = answer_alone(decoder, ids[i], PROMPT, ANSWER);
    }
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.max_cache_tokens = 80; /* five blocks: one request at a time, and each takes back the last one's */
    tn_test_decoder_start(decoder, &options);
    uint64_t requests[4];
    for (int i = 0; i < 4; i++) {
        tn_request request = make_request(ids[i], PROMPT, ANSWER);
        request.return_generation_logits = true;
        requests[i] = enqueue(decoder, &request);
    }
    for (int i = 0; i < 4; i++) {
        tn_response *response = await(decoder, requests[i]);
        assert_same_answer(alone[i], response);
        tn_response_destroy(response);
        tn_response_destroy(alone[i]);
    }
    assert_no_block_left(decoder);
}

static void options_out_of_range_are_refused_by_name(void **state) {
    const tn_test_decoder *decoder = *state;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
#define REFUSED(field, value, text)                                                                                  \
    do {                                                                                                             \
        tn_executor_options options;                                                                                 \
        tn_executor_options_init(&options);                                                                          \
        options.diag = diag;                                                                                         \
        options.field = (value);                                                                                     \
        tn_executor *executor;                                                                                       \
        assert_int_equal(tn_executor_create_from_engine(decoder->engine, &options, &executor), TN_INVALID_ARGUMENT); \
        tn_diag_entry entry;                                                                                         \
        assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);                                                       \
        assert_string_equal(entry.message, "cannot start the executor: " text);                                      \
        assert_null(executor);                                                                                       \
        tn_diag_clear(diag);                                                                                         \
    } while (0)
    REFUSED(max_batch_size, 17, "max_batch_size is 17, must be 0 (default) or 1 to 16");
    REFUSED(max_batch_size, -1, "max_batch_size is -1, must be 0 (default) or 1 to 16");
    REFUSED(max_num_tokens, 257, "max_num_tokens is 257, must be 0 (default) or 1 to 256");
    REFUSED(max_chunk_tokens, -3, "max_chunk_tokens is -3, must be 0 (default) or 1 to 256");
    REFUSED(pipeline_depth, 3, "pipeline_depth is 3, must be 0 (default) or 1 to 2");
    REFUSED(max_queue_size, -1, "max_queue_size is -1, must be 0 (default) or 1 to 2147483647");
    REFUSED(max_cache_tokens, -1, "max_cache_tokens is -1, must be 0 (default) or 1 to 9223372036854775807");
    REFUSED(cache_memory_fraction, 0.0, "cache_memory_fraction is 0, must be above 0 and at most 1");
    REFUSED(cache_memory_fraction, NAN, "cache_memory_fraction is nan, must be above 0 and at most 1");
#undef REFUSED
    tn_diag_destroy(diag);
}

/* --- many at once ----------------------------------------------------------------------------------------------------------- */

enum { SOAK_REQUESTS = 300, SOAK_PROMPTS = 12, SOAK_ANSWER = 10 };

static void hundreds_of_requests_with_cancels_give_right_answers_and_leave_no_block(void **state) {
    tn_test_decoder *decoder = *state;
    static int32_t ids[SOAK_PROMPTS][100];
    size_t lengths[SOAK_PROMPTS];
    tn_response *alone[SOAK_PROMPTS];
    start(decoder, 0, 0);
    for (uint32_t i = 0; i < SOAK_PROMPTS; i++) {
        lengths[i] = 1 + (i * 37) % 97;
        make_prompt(ids[i], lengths[i], 30 + i % 4); /* several begin alike */
        alone[i] = answer_alone(decoder, ids[i], lengths[i], SOAK_ANSWER);
    }
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.max_cache_tokens = 640;
    options.max_num_tokens = 48;
    options.max_batch_size = 8;
    tn_test_decoder_start(decoder, &options);
    uint32_t random = 1, num_cancelled = 0;
    uint64_t pending[SOAK_REQUESTS];
    for (int i = 0; i < SOAK_REQUESTS; i++) {
        random = random * 1664525u + 1013904223u;
        uint32_t prompt = (random >> 16) % SOAK_PROMPTS;
        tn_request request = make_request(ids[prompt], lengths[prompt], SOAK_ANSWER);
        request.client_id = prompt;
        request.streaming = (random >> 9 & 3) == 0;
        pending[i] = enqueue(decoder, &request);
        if ((random >> 12 & 7) == 0) {
            tn_executor_cancel(decoder->executor, pending[(random >> 20) % (uint32_t)(i + 1)]);
            num_cancelled++;
        }
        if ((random >> 24 & 15) == 0) nap();
    }
    assert_true(num_cancelled > 10);
    for (int i = 0; i < SOAK_REQUESTS; i++) {
        size_t total = 0;
        for (bool is_final = false; !is_final;) {
            tn_response *response = await(decoder, pending[i]);
            size_t count, wanted;
            const int32_t *tokens = tn_response_ids(response, &count);
            const int32_t *expected = tn_response_ids(alone[tn_response_client_id(response)], &wanted);
            assert_null(tn_response_error(response));
            assert_true(total + count <= wanted);
            assert_memory_equal(tokens, expected + total, count * sizeof *tokens);
            total += count;
            is_final = tn_response_is_final(response);
            if (is_final && tn_response_finish_reason(response) != TN_FINISH_CANCELLED) assert_int_equal(total, wanted);
            tn_response_destroy(response);
        }
    }
    assert_no_block_left(decoder);
    for (int i = 0; i < SOAK_PROMPTS; i++) tn_response_destroy(alone[i]);
}

typedef struct client {
    tn_test_decoder *decoder;
    uint32_t seed;
    bool is_right;
} client;

static void *run_client(void *argument) {
    client *self = argument;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, self->seed);
    size_t first_count = 0, count;
    int32_t first[8];
    self->is_right = true;
    for (int round = 0; round < 5 && self->is_right; round++) {
        tn_request request;
        uint64_t id;
        tn_response *response;
        tn_request_init(&request, ids, PROMPT, 8);
        self->is_right = tn_executor_enqueue(self->decoder->executor, &request, &id) == TN_OK &&
                         tn_executor_await(self->decoder->executor, id, TN_FOREVER, &response) == TN_OK;
        if (!self->is_right) break;
        const int32_t *tokens = tn_response_ids(response, &count);
        if (round == 0) memcpy(first, tokens, (first_count = count) * sizeof *first);
        self->is_right = count == 8 && count == first_count && memcmp(first, tokens, count * sizeof *first) == 0;
        tn_response_destroy(response);
    }
    return NULL;
}

static void clients_on_many_threads_each_get_their_own_answer(void **state) {
    tn_test_decoder *decoder = *state;
    start(decoder, 0, 0);
    pthread_t threads[6];
    client clients[6];
    for (uint32_t i = 0; i < 6; i++) {
        clients[i] = (client){.decoder = decoder, .seed = 50 + i};
        assert_int_equal(pthread_create(&threads[i], NULL, run_client, &clients[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        assert_true(clients[i].is_right);
    }
    assert_no_block_left(decoder);
}

/* --- failing, memory -------------------------------------------------------------------------------------------------------- */

static void restart_with_limit(tn_test_decoder *decoder, size_t limit_bytes) {
    tn_executor_destroy(decoder->executor);
    decoder->executor = NULL;
    tn_engine_destroy(decoder->engine);
    tn_engine_options options;
    tn_engine_options_init(&options);
    options.device = decoder->device;
    options.memory_limit_bytes = limit_bytes;
    assert_int_equal(tn_engine_create(decoder->plan, &options, &decoder->engine), TN_OK);
    tn_executor_options executor_options;
    tn_executor_options_init(&executor_options);
    executor_options.max_cache_tokens = 1024;
    tn_test_decoder_start(decoder, &executor_options);
}

/* An engine that has just the memory that short steps need: a step of 200 tokens fails for want of it. */
static void a_failed_step_fails_its_requests_only(void **state) {
    (void)state;
    tn_test_decoder decoder;
    open_decoder(&decoder, "ref", NULL);
    int32_t short_ids[20], long_ids[200];
    make_prompt(short_ids, 20, 60);
    make_prompt(long_ids, 200, 61);
    restart_with_limit(&decoder, 0);
    tn_response *right = answer_alone(&decoder, short_ids, 20, 8);
    tn_engine_memory used;
    tn_engine_get_memory(decoder.engine, &used);
    restart_with_limit(&decoder, used.weights_bytes + used.activations_bytes + used.states_bytes);

    tn_response *response = answer_alone(&decoder, short_ids, 20, 8);
    assert_same_answer(right, response);
    tn_response_destroy(response);
    tn_executor_info info;
    tn_executor_get_info(decoder.executor, &info);
    int64_t num_cached = info.num_cached_blocks;
    for (int round = 0; round < 3; round++) {
        tn_request request = make_request(long_ids, 200, 4);
        response = await(&decoder, enqueue(&decoder, &request));
        assert_true(tn_response_is_final(response));
        assert_int_equal(tn_response_status(response), TN_OUT_OF_MEMORY);
        assert_non_null(tn_response_error(response));
        assert_non_null(strstr(tn_response_error(response), "out of memory"));
        tn_response_destroy(response);
        assert_no_block_left(&decoder);
        tn_executor_get_info(decoder.executor, &info);
        assert_int_equal(info.num_cached_blocks, num_cached); /* nothing of the failed step is shared */
        response = answer_alone(&decoder, short_ids, 20, 8);
        assert_same_answer(right, response);
        tn_response_destroy(response);
    }
    tn_response_destroy(right);
    tn_test_decoder_close(&decoder);
}

/* On a device with a thread of its own errors come late: with the fence of the step. */
static void a_step_that_fails_on_the_device_fails_its_requests_only(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    tn_device_options device_options;
    tn_device_options_init(&device_options);
    device_options.allocator = &fault.allocator;
    device_options.async = true;
    tn_test_decoder decoder;
    open_decoder(&decoder, "ref", &device_options);
    start(&decoder, 0, 2);
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 63);
    tn_response *right = answer_alone(&decoder, ids, PROMPT, 8);
    int num_failed = 0;
    for (size_t n = 1; n <= 25; n++) {
        fault.fail_at = atomic_load(&fault.num_calls) + n * 13;
        tn_request request = make_request(ids, PROMPT, 8);
        tn_response *response = await(&decoder, enqueue(&decoder, &request));
        if (tn_response_error(response) == NULL) {
            assert_same_ids(right, response);
        } else {
            assert_int_equal(tn_response_status(response), TN_OUT_OF_MEMORY);
            num_failed++;
        }
        tn_response_destroy(response);
        fault.fail_at = 0;
        response = answer_alone(&decoder, ids, PROMPT, 8);
        assert_same_answer(right, response);
        tn_response_destroy(response);
        assert_no_block_left(&decoder);
    }
    assert_true(num_failed > 5);
    tn_response_destroy(right);
    tn_test_decoder_close(&decoder);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

/* Every allocator that the loop can reach counts. */
static void the_steady_loop_does_not_allocate(void **state) {
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
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.allocator = &counters[2].allocator;
    tn_test_decoder_start(&decoder, &options);
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 62);
    tn_request request = make_request(ids, PROMPT, 120);
    request.num_log_probs = 3;
    request.return_generation_logits = true;
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

static void each_failing_allocation_of_starting_an_executor_is_reported_and_leaks_nothing(void **state) {
    const tn_test_decoder *decoder = *state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_diag *diag;
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        tn_executor_options options;
        tn_executor_options_init(&options);
        options.diag = diag;
        options.allocator = &fault.allocator;
        options.max_cache_tokens = 64;
        tn_executor *executor;
        tn_status status = tn_executor_create_from_engine(decoder->engine, &options, &executor);
        tn_executor_destroy(executor);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        bool has_failed = tn_fault_has_failed(&fault);
        assert_int_equal(status, has_failed ? TN_OUT_OF_MEMORY : TN_OK);
        assert_int_equal(tn_diag_num_entries(diag), has_failed ? 1 : 0);
        tn_diag_destroy(diag);
        if (!has_failed) {
            assert_true(n > 10);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_id_and_stop_words_end_the_answer_where_it_has_them),
        cmocka_unit_test(max_tokens_is_lowered_to_the_context_and_the_response_says_so),
        cmocka_unit_test(a_prompt_as_long_as_the_context_is_refused),
        cmocka_unit_test(without_chunks_a_prompt_longer_than_a_step_is_refused),
        cmocka_unit_test(log_probs_are_the_log_softmax_of_the_logits_drawn_first_then_the_largest),
        cmocka_unit_test(streaming_gives_the_same_tokens_one_by_one),
        cmocka_unit_test(a_shared_prefix_gives_bitwise_the_same_answer),
        cmocka_unit_test(a_request_cancelled_in_the_queue_never_runs),
        cmocka_unit_test(a_request_cancelled_in_prefill_frees_its_blocks_and_changes_no_other),
        cmocka_unit_test(a_request_cancelled_in_decode_frees_its_blocks_and_changes_no_other),
        cmocka_unit_test(shutdown_cancels_what_is_left),
        cmocka_unit_test(shutdown_with_drain_finishes_what_was_taken),
        cmocka_unit_test(an_executor_destroyed_with_work_leaves_nothing_behind),
        cmocka_unit_test(awaiting_knows_unknown_ids_and_time_outs),
        cmocka_unit_test(a_full_queue_answers_unavailable),
        cmocka_unit_test(higher_priority_runs_first),
        cmocka_unit_test(a_small_cache_makes_requests_wait_not_fail),
        cmocka_unit_test(hundreds_of_requests_with_cancels_give_right_answers_and_leave_no_block),
        cmocka_unit_test(clients_on_many_threads_each_get_their_own_answer),
    };
    const struct CMUnitTest once[] = {
        cmocka_unit_test(options_out_of_range_are_refused_by_name),
        cmocka_unit_test(each_failing_allocation_of_starting_an_executor_is_reported_and_leaks_nothing),
        cmocka_unit_test(a_failed_step_fails_its_requests_only),
        cmocka_unit_test(a_step_that_fails_on_the_device_fails_its_requests_only),
        cmocka_unit_test(the_steady_loop_does_not_allocate),
    };
    int failed = cmocka_run_group_tests_name("ref", tests, open_synchronous, close_group);
    failed += cmocka_run_group_tests_name("ref, once", once, open_synchronous, close_group);
    return failed + cmocka_run_group_tests_name("ref, asynchronous", tests, open_asynchronous, close_group);
}
