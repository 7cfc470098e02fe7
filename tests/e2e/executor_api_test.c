/* SPDX-License-Identifier: Apache-2.0
 *
 * executor_api_test.c: every entry of tenon/executor.h, request.h and executor_stats.h that executor_test.c does not use, on a
 * running engine.
 */
#include "support/executor.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "format/json.h"
#include "support/fault_allocator.h"

enum { PROMPT = 40, ANSWER = 24, BLOCK = 16 };

static void expect_refused(tn_test_decoder *decoder, const tn_request *request, tn_status wanted, const char *message) {
    tn_diag *diag;
    tn_diag_entry entry;
    uint64_t id;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_executor_enqueue_diag(decoder->executor, request, diag, &id), wanted);
    assert_int_equal(tn_diag_num_entries(diag), 1);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, message);
    tn_diag_destroy(diag);
}

/* --- return sequences ------------------------------------------------------------------------------------------------------- */

static void return_sequences_share_the_prompt_and_draw_on_their_own(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 1);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, PROMPT, 8);
    request.sampling.top_p = 1.0f;
    request.sampling.temperature = 3.0f;
    request.sampling.seed = 9;
    tn_response *alone = tn_test_answer(decoder, &request);
    request.sampling.num_return_sequences = 4;
    request.client_id = 5;
    request.has_client_id = true;
    uint64_t id = enqueue(decoder, &request), next = enqueue(decoder, &request);
    assert_int_equal(next, id + 4);
    bool seen[4] = {false};
    int32_t tokens[4][8];
    for (int i = 0; i < 4; i++) {
        tn_response *response = await(decoder, id);
        int32_t index = tn_response_sequence_index(response);
        size_t count;
        assert_in_range(index, 0, 3);
        assert_false(seen[index]);
        seen[index] = true;
        assert_true(tn_response_is_sequence_final(response));
        assert_int_equal(tn_response_is_final(response), i == 3);
        assert_int_equal(tn_response_id(response), id);
        assert_int_equal(tn_response_client_id(response), 5);
        assert_true(tn_response_has_client_id(response));
        memcpy(tokens[index], tn_response_ids(response, &count), sizeof tokens[index]);
        assert_int_equal(count, 8);
        if (index == 0) assert_same_ids(alone, response);
        tn_response_destroy(response);
    }
    assert_memory_not_equal(tokens[0], tokens[1], sizeof tokens[0]);
    assert_memory_not_equal(tokens[2], tokens[3], sizeof tokens[0]);
    tn_response *none;
    assert_int_equal(tn_executor_await(decoder->executor, id, 0, &none), TN_NOT_FOUND);
    for (int i = 0; i < 4; i++) tn_response_destroy(await(decoder, next));
    tn_response_destroy(alone);
    assert_no_block_left(decoder);
}

static void each_streamed_token_of_each_sequence_is_a_response(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 2);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, PROMPT, 5);
    request.streaming = true;
    request.return_generation_logits = true;
    request.sampling.num_return_sequences = 3;
    uint64_t id = enqueue(decoder, &request);
    while (tn_executor_num_responses_ready(decoder->executor, id) < 15) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    assert_int_equal(tn_executor_num_responses_ready(decoder->executor, 0), 15);
    assert_int_equal(tn_executor_num_responses_ready(decoder->executor, id + 1), 0); /* ids of siblings are never named */
    int32_t num_tokens[3] = {0};
    for (int i = 0; i < 15; i++) {
        tn_response *response = await(decoder, id);
        size_t count;
        const int32_t *token = tn_response_ids(response, &count);
        assert_int_equal(count, 1);
        int32_t index = tn_response_sequence_index(response), most = 0;
        const float *logits = tn_response_generation_logits(response); /* of this token: greedy took the largest */
        for (int32_t v = 1; v < VOCAB; v++)
            if (logits[v] > logits[most]) most = v;
        assert_int_equal(most, token[0]);
        assert_int_equal(tn_response_decoding_iter(response), ++num_tokens[index]);
        assert_int_equal(tn_response_finish_reason(response), num_tokens[index] == 5 ? TN_FINISH_LENGTH : TN_FINISH_NOT_FINISHED);
        assert_int_equal(tn_response_is_final(response), i == 14);
        tn_response_destroy(response);
    }
    request.return_all_generated_tokens = true;
    request.sampling.num_return_sequences = 1;
    id = enqueue(decoder, &request);
    for (size_t i = 1; i <= 5; i++) {
        tn_response *response = await(decoder, id);
        size_t count;
        (void)tn_response_ids(response, &count);
        assert_int_equal(count, i);
        tn_response_destroy(response);
    }
}

static void cancelling_a_request_cancels_all_its_sequences(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 3);
    tn_executor_options options = make_options();
    options.max_batch_size = 2;
    tn_test_decoder_start(decoder, &options);
    tn_request request = make_request(ids, PROMPT, 400);
    request.sampling.num_return_sequences = 5;
    uint64_t id = enqueue(decoder, &request);
    tn_executor_cancel(decoder->executor, id);
    for (int i = 0; i < 5; i++) {
        tn_response *response = await(decoder, id);
        assert_int_equal(tn_response_finish_reason(response), TN_FINISH_CANCELLED);
        assert_int_equal(tn_response_is_final(response), i == 4);
        tn_response_destroy(response);
    }
    assert_no_block_left(decoder);
}

/* --- waiting ---------------------------------------------------------------------------------------------------------------- */

static void many_are_enqueued_together_or_not_at_all(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[3][PROMPT];
    tn_request requests[3];
    uint64_t out[3];
    tn_response *responses[3];
    start(decoder, 0, 0);
    for (uint32_t i = 0; i < 3; i++) {
        make_prompt(ids[i], PROMPT, 4 + i);
        requests[i] = make_request(ids[i], PROMPT, 4 + (int32_t)i);
    }
    requests[2].end_id = VOCAB;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_executor_enqueue_many(decoder->executor, requests, 3, diag, out), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_executor_await_any(decoder->executor, 0, responses), TN_NOT_FOUND);
    requests[2].end_id = -1;
    assert_int_equal(tn_executor_enqueue_many(decoder->executor, requests, 3, diag, out), TN_OK);
    assert_int_equal(out[1], out[0] + 1);
    assert_int_equal(out[2], out[0] + 2);
    assert_int_equal(tn_executor_await_ids(decoder->executor, out, 3, TN_FOREVER, responses), TN_OK);
    for (size_t i = 0; i < 3; i++) {
        size_t count;
        (void)tn_response_ids(responses[i], &count);
        assert_int_equal(tn_response_id(responses[i]), out[i]);
        assert_int_equal(count, 4 + i);
        tn_response_destroy(responses[i]);
    }
    assert_int_equal(tn_executor_await_ids(decoder->executor, out, 3, 0, responses), TN_NOT_FOUND);
    assert_null(responses[0]);
    tn_diag_destroy(diag);
}

static void all_ready_responses_are_taken_at_once(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 7);
    start(decoder, 0, 0);
    tn_response *responses[8];
    size_t count, total = 0;
    assert_int_equal(tn_executor_await_all_ready(decoder->executor, 1, responses, 8, &count), TN_TIMED_OUT);
    assert_int_equal(count, 0);
    tn_request request = make_request(ids, PROMPT, 3);
    for (int i = 0; i < 10; i++) (void)enqueue(decoder, &request);
    while (total < 10) {
        assert_int_equal(tn_executor_await_all_ready(decoder->executor, TN_FOREVER, responses, 8, &count), TN_OK);
        assert_in_range(count, 1, 8);
        for (size_t i = 0; i < count; i++) tn_response_destroy(responses[i]);
        total += count;
    }
    assert_int_equal(total, 10);
}

static void *wait_for_anything(void *argument) {
    tn_response *response;
    size_t count;
    return (void *)(uintptr_t)tn_executor_await_all_ready(argument, TN_FOREVER, &response, 1, &count);
}

static void shutdown_wakes_those_who_wait_and_closes_the_door(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 8);
    start(decoder, 0, 0);
    pthread_t thread;
    void *status;
    assert_true(tn_executor_can_enqueue(decoder->executor));
    assert_int_equal(pthread_create(&thread, NULL, wait_for_anything, decoder->executor), 0);
    tn_executor_shutdown(decoder->executor, true);
    tn_executor_shutdown(decoder->executor, true);
    assert_int_equal(pthread_join(thread, &status), 0);
    assert_int_equal((uintptr_t)status, TN_UNAVAILABLE);
    assert_false(tn_executor_can_enqueue(decoder->executor));
    tn_request request = make_request(ids, PROMPT, 1);
    expect_refused(decoder, &request, TN_UNAVAILABLE, "cannot take the request: the executor is shutting down");
}

/* --- time limits ------------------------------------------------------------------------------------------------------------ */

static void a_request_ends_when_its_time_is_over_queued_or_running(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 9);
    start(decoder, 1, 0);
    tn_request request = make_request(ids, PROMPT, 400);
    request.allotted_time_ms = 0;
    tn_response *response = await(decoder, enqueue(decoder, &request));
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_TIMED_OUT);
    assert_null(tn_response_error(response));
    tn_response_destroy(response);
    request.allotted_time_ms = 1; /* 40 steps for the prompt alone take longer */
    response = await(decoder, enqueue(decoder, &request));
    size_t count;
    (void)tn_response_ids(response, &count);
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_TIMED_OUT);
    assert_true(count < 400);
    tn_response_destroy(response);
    request.allotted_time_ms = 1000000;
    request.max_tokens = 2;
    response = await(decoder, enqueue(decoder, &request));
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_LENGTH);
    tn_response_destroy(response);
    assert_no_block_left(decoder);
}

/* --- refusing --------------------------------------------------------------------------------------------------------------- */

static void a_request_that_gets_into_no_step_gives_its_place_up(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 23);
    tn_executor_options options = make_options();
    options.enable_chunked_context = false;
    options.max_num_tokens = 16;
    options.max_seq_idle_microseconds = 3000;
    tn_test_decoder_start(decoder, &options);
    tn_request busy = make_request(ids, 2, 200), starved = make_request(ids, 12, 4); /* 8 of 16 tokens are left for 12 */
    uint64_t pending[8];
    for (int i = 0; i < 8; i++) pending[i] = enqueue(decoder, &busy);
    tn_response *response = await(decoder, enqueue(decoder, &starved));
    size_t count;
    (void)tn_response_ids(response, &count);
    assert_int_equal(tn_response_finish_reason(response), TN_FINISH_TIMED_OUT);
    assert_int_equal(count, 0);
    tn_response_destroy(response);
    for (int i = 0; i < 8; i++) {
        response = await(decoder, pending[i]);
        assert_int_equal(tn_response_finish_reason(response), TN_FINISH_LENGTH);
        tn_response_destroy(response);
    }
    assert_no_block_left(decoder);
}

static void absent_features_are_refused_by_name(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 10);
    start(decoder, 0, 0);
    tn_request request = make_request(ids, PROMPT, 4);
    static const char *const names[] = {"LoRA",
                                        "prompt tuning",
                                        "multimodal input",
                                        "MRoPE",
                                        "external draft tokens",
                                        "lookahead decoding",
                                        "EAGLE",
                                        "guided decoding",
                                        "encoder input",
                                        "disaggregated serving",
                                        "position ids",
                                        "language adapters"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char message[128];
        snprintf(message, sizeof message, "cannot take the request: %s is not built", names[i]);
        request.features = 1u << i;
        expect_refused(decoder, &request, TN_UNSUPPORTED, message);
    }
    request.features = 0;
    request.sampling.beam_width = 2;
    expect_refused(decoder, &request, TN_INVALID_ARGUMENT, "cannot take the request: beam_width is 2, the executor's max_beam_width is 1");
    request.sampling.num_return_sequences = 3;
    expect_refused(decoder, &request, TN_INVALID_ARGUMENT,
                   "cannot take the request: num_return_sequences is 3, must be at most beam_width");
    request = make_request(ids, PROMPT, 4);
    request.logits_post_processor_name = "nobody";
    expect_refused(decoder, &request, TN_NOT_FOUND, "cannot take the request: the executor has no logits post-processor 'nobody'");
}

static void errors_can_come_as_responses(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 11);
    tn_executor_options options = make_options();
    options.errors_as_responses = true;
    tn_test_decoder_start(decoder, &options);
    float bias = 1.0f;
    tn_request bad = make_request(ids, PROMPT, 4), good = bad;
    bad.embedding_bias = &bias;
    bad.embedding_bias_size = 1;
    bad.client_id = 3;
    uint64_t bad_id = enqueue(decoder, &bad), good_id = enqueue(decoder, &good);
    assert_int_equal(good_id, bad_id + 1);
    tn_response *response = await(decoder, bad_id);
    assert_true(tn_response_is_final(response));
    assert_int_equal(tn_response_status(response), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_response_client_id(response), 3);
    const char *error = tn_response_error(response);
    assert_non_null(error);
    assert_ptr_equal(strstr(error, "Encountered an error when fetching new request: "), error);
    assert_non_null(strstr(error, "embedding bias shape is not as expected"));
    tn_response_destroy(response);
    response = await(decoder, good_id);
    assert_null(tn_response_error(response));
    tn_response_destroy(response);
    good.logits_post_processor_name = "nobody"; /* names are checked at once */
    expect_refused(decoder, &good, TN_NOT_FOUND, "cannot take the request: the executor has no logits post-processor 'nobody'");
}

static void options_of_absent_features_are_refused_by_name(void **state) {
    const tn_test_decoder *decoder = *state;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
#define REFUSED(field, value, wanted, text)                                                               \
    do {                                                                                                  \
        tn_executor_options options = make_options();                                                     \
        options.diag = diag;                                                                              \
        options.field = (value);                                                                          \
        tn_executor *executor;                                                                            \
        assert_int_equal(tn_executor_create_from_engine(decoder->engine, &options, &executor), (wanted)); \
        tn_diag_entry entry;                                                                              \
        assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);                                            \
        assert_string_equal(entry.message, "cannot start the executor: " text);                           \
        tn_diag_clear(diag);                                                                              \
    } while (0)
    REFUSED(max_beam_width, 0, TN_INVALID_ARGUMENT, "max_beam_width is 0, must be 1 to 1024");
    REFUSED(max_beam_width, MAX_BATCH + 1, TN_INVALID_ARGUMENT, "max_beam_width is 17, beams are sequences, and a step holds 16");
    REFUSED(normalize_log_probs, false, TN_UNSUPPORTED, "normalize_log_probs: log-probabilities that are not normalised are not built");
    REFUSED(max_seq_idle_microseconds, 0, TN_INVALID_ARGUMENT, "max_seq_idle_microseconds is 0, must be 1 or more");
    REFUSED(max_attention_window, 64, TN_UNSUPPORTED, "max_attention_window: windows are built into plans and cannot be narrowed here");
    REFUSED(sink_token_length, 4, TN_UNSUPPORTED, "sink_token_length: sink tokens are built into plans and cannot be set here");
    REFUSED(debug_input_tensors, true, TN_UNSUPPORTED,
            "debug_tensors_max_iterations: 0 would write files, which is not built; set how many to keep");
    REFUSED(capacity_policy, 3, TN_INVALID_ARGUMENT, "capacity_policy is 3, must be one of tn_capacity_policy");
    REFUSED(chunking_policy, 2, TN_INVALID_ARGUMENT, "chunking_policy is 2, must be one of tn_chunking_policy");
    REFUSED(dynamic_batch_moving_average_window, 0, TN_INVALID_ARGUMENT, "dynamic_batch_moving_average_window is 0, must be 1 to 1048576");
    REFUSED(secondary_offload_min_priority, 101, TN_INVALID_ARGUMENT, "secondary_offload_min_priority is 101, must be -1 to 100");
    REFUSED(event_buffer_max_size, -1, TN_INVALID_ARGUMENT, "event_buffer_max_size is -1, must be 0 or more");
    REFUSED(iter_stats_max_iterations, -1, TN_INVALID_ARGUMENT, "iter_stats_max_iterations is -1, must be 0 or more");
    REFUSED(request_stats_max_iterations, -1, TN_INVALID_ARGUMENT, "request_stats_max_iterations is -1, must be 0 or more");
    REFUSED(debug_tensors_max_iterations, -1, TN_INVALID_ARGUMENT, "debug_tensors_max_iterations is -1, must be 0 or more");
    REFUSED(struct_size, 8, TN_INVALID_ARGUMENT, "its options were not set up by tn_executor_options_init");
#undef REFUSED
    tn_diag_destroy(diag);
}

/* --- post-processors -------------------------------------------------------------------------------------------------------- */

typedef struct processor {
    int32_t forced_id;
    int num_calls;
    size_t num_views, most_views;
    uint64_t last_client_id;
    bool saw_right_ids;
    const int32_t *prompt;
} processor;

static void force_id(void *user, tn_logits_view *views, size_t num_views) {
    processor *self = user;
    self->num_calls++;
    self->num_views += num_views;
    if (num_views > self->most_views) self->most_views = num_views;
    for (size_t i = 0; i < num_views; i++) {
        self->last_client_id = views[i].client_id;
        self->saw_right_ids = views[i].num_ids >= PROMPT && memcmp(views[i].ids, self->prompt, PROMPT * sizeof *self->prompt) == 0;
        for (size_t t = PROMPT; t < views[i].num_ids; t++) self->saw_right_ids = self->saw_right_ids && views[i].ids[t] == self->forced_id;
        for (int64_t v = 0; v < views[i].vocab_size; v++) views[i].logits[v] = v == self->forced_id ? 0.0f : -INFINITY;
    }
}

static void fail_third(void *user, tn_logits_view *views, size_t num_views) {
    (void)user;
    for (size_t i = 0; i < num_views; i++)
        if (views[i].client_id == 2) views[i].status = TN_INVALID_DATA;
}

static void assert_all(tn_response *response, int32_t wanted, size_t wanted_count) {
    size_t count;
    const int32_t *ids = tn_response_ids(response, &count);
    assert_null(tn_response_error(response));
    assert_int_equal(count, wanted_count);
    for (size_t i = 0; i < count; i++) assert_int_equal(ids[i], wanted);
    tn_response_destroy(response);
}

/* From the third token on nothing is left. */
static void forbid_all(void *user, tn_logits_view *views, size_t num_views) {
    (void)num_views;
    for (int64_t v = 0; views->num_ids >= PROMPT + 2 && v < views->vocab_size; v++) views->logits[v] = *(const float *)user;
}

static void logits_that_leave_nothing_to_draw_are_an_error(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 24);
    start(decoder, 0, 0);
    static float bias[VOCAB], values[] = {NAN, -INFINITY};
    for (int i = 0; i < VOCAB; i++) bias[i] = i == 5 ? 0.0f : -INFINITY;
    for (int run = 0; run < 5; run++) {
        tn_request request = make_request(ids, PROMPT, 6);
        if (run % 2 == 0) request.end_id = 7;
        if (run < 4) request.logits_post_processor = forbid_all, request.logits_post_processor_user = &values[run / 2];
        if (run == 4) { /* one token is allowed, and may not come twice */
            request.embedding_bias = bias;
            request.embedding_bias_size = VOCAB;
            request.sampling.no_repeat_ngram_size = 1;
            request.max_tokens = 2;
        }
        tn_response *response = await(decoder, enqueue(decoder, &request));
        assert_non_null(tn_response_error(response));
        assert_string_equal(tn_response_error(response), "the logits left no token to choose: all are -inf or NaN, or were forbidden");
        assert_int_equal(tn_response_status(response), TN_INVALID_DATA);
        tn_response_destroy(response);
    }
    assert_no_block_left(decoder);
}

static void logits_post_processors_decide_what_is_drawn(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 12);
    processor named = {.forced_id = 42, .prompt = ids}, batched = {.forced_id = 17, .prompt = ids}, own = {.forced_id = 99, .prompt = ids};
    const tn_logits_post_processor processors[] = {{"fail", fail_third, NULL}, {"force", force_id, &named}};
    for (int depth = 1; depth <= 2; depth++) {
        tn_executor_options options = make_options();
        options.pipeline_depth = depth;
        options.logits_post_processors = processors;
        options.num_logits_post_processors = 2;
        options.batched_logits_post_processor = force_id;
        options.batched_logits_post_processor_user = &batched;
        tn_test_decoder_start(decoder, &options);
        tn_request plain = make_request(ids, PROMPT, 6), request = plain;
        plain.return_generation_logits = true;
        tn_response *alone = tn_test_answer(decoder, &plain);

        request.logits_post_processor_name = "force";
        request.client_id = 123;
        uint64_t forced = enqueue(decoder, &request), beside = enqueue(decoder, &plain);
        assert_all(await(decoder, forced), 42, 6);
        tn_response *response = await(decoder, beside);
        assert_same_answer(alone, response);
        tn_response_destroy(response);
        assert_int_equal(named.num_calls, 6 * depth);
        assert_int_equal(named.most_views, 1);
        assert_int_equal(named.last_client_id, 123);
        assert_true(named.saw_right_ids);

        request.logits_post_processor_name = TN_BATCHED_POST_PROCESSOR_NAME;
        uint64_t pending[4];
        for (int i = 0; i < 4; i++) pending[i] = enqueue(decoder, &request);
        for (int i = 0; i < 4; i++) assert_all(await(decoder, pending[i]), 17, 6);
        assert_int_equal(batched.num_views, 24 * (size_t)depth);
        assert_true(batched.saw_right_ids);

        request.logits_post_processor_name = NULL;
        request.logits_post_processor = force_id;
        request.logits_post_processor_user = &own;
        assert_all(tn_test_answer(decoder, &request), 99, 6);

        request = make_request(ids, PROMPT, 6);
        request.return_generation_logits = true;
        request.logits_post_processor_name = "fail";
        for (uint64_t i = 0; i < 4; i++) {
            request.client_id = i;
            pending[i] = enqueue(decoder, &request);
        }
        for (uint64_t i = 0; i < 4; i++) {
            response = await(decoder, pending[i]);
            if (i == 2) {
                assert_int_equal(tn_response_status(response), TN_INVALID_DATA);
                assert_string_equal(tn_response_error(response), "the logits post-processor failed: invalid data");
            } else {
                assert_same_answer(alone, response);
            }
            tn_response_destroy(response);
        }
        tn_response_destroy(alone);
        assert_no_block_left(decoder);
    }
}

/* --- policies --------------------------------------------------------------------------------------------------------------- */

enum { CROWD = 8, CROWD_ANSWER = 60 };

static tn_request crowd_request(int32_t (*ids)[PROMPT], uint32_t i) {
    tn_request request = make_request(ids[i], PROMPT, CROWD_ANSWER);
    request.return_generation_logits = true;
    request.return_context_logits = i == 3;
    request.num_log_probs = 2;
    request.streaming = false;
    if (i % 2 == 0) return request;
    request.sampling.top_p = 0.95f; /* all that a slot keeps between draws */
    request.sampling.top_p_decay = 0.97f;
    request.sampling.top_p_min = 0.2f;
    request.sampling.top_p_reset_id = 7;
    request.sampling.temperature = 2.0f;
    request.sampling.seed = i;
    request.sampling.repetition_penalty = 1.3f;
    request.sampling.frequency_penalty = 0.1f;
    request.sampling.no_repeat_ngram_size = 3;
    return request;
}

static int64_t num_paused_in_all(tn_test_decoder *decoder) {
    tn_iteration_stats stats;
    int64_t count = 0;
    while (tn_executor_take_iteration_stats(decoder->executor, &stats) == TN_OK) count += stats.inflight_batching_stats.num_paused_requests;
    return count;
}

static void under_max_utilization_paused_requests_answer_bitwise_as_alone(void **state) {
    tn_test_decoder *decoder = *state;
    static int32_t ids[CROWD][PROMPT];
    tn_response *alone[CROWD];
    start(decoder, 0, 0);
    for (uint32_t i = 0; i < CROWD; i++) {
        make_prompt(ids[i], PROMPT, 40 + i);
        tn_request request = crowd_request(ids, i);
        alone[i] = tn_test_answer(decoder, &request);
    }
    for (int depth = 1; depth <= 2; depth++)
        for (int reuse = 0; reuse < 2; reuse++) {
            tn_executor_options options = make_options();
            options.capacity_policy = TN_MAX_UTILIZATION;
            options.pipeline_depth = depth;
            options.enable_block_reuse = reuse == 1;
            options.max_cache_tokens = 16 * BLOCK; /* four prompts fit, two answers */
            options.iter_stats_max_iterations = 100000;
            tn_test_decoder_start(decoder, &options);
            uint64_t pending[CROWD];
            for (uint32_t i = 0; i < CROWD; i++) {
                tn_request request = crowd_request(ids, i);
                pending[i] = enqueue(decoder, &request);
            }
            for (uint32_t i = 0; i < CROWD; i++) {
                tn_response *response = await(decoder, pending[i]);
                assert_same_answer(alone[i], response);
                size_t count, columns, columns_alone;
                (void)tn_response_ids(response, &count);
                for (size_t t = 0; t < count; t++) {
                    const tn_log_prob *row = tn_response_log_probs(response, t, &columns);
                    assert_memory_equal(row, tn_response_log_probs(alone[i], t, &columns_alone), columns * sizeof *row);
                }
                assert_true(tn_response_cum_log_prob(response) == tn_response_cum_log_prob(alone[i]));
                if (i == 3)
                    assert_memory_equal(tn_response_context_logits(response), tn_response_context_logits(alone[i]),
                                        (size_t)PROMPT * VOCAB * sizeof(float));
                tn_response_destroy(response);
            }
            assert_no_block_left(decoder);
            assert_true(num_paused_in_all(decoder) > 0);
        }
    for (int i = 0; i < CROWD; i++) tn_response_destroy(alone[i]);
}

static void a_static_batch_ends_before_the_next_one_starts(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 13);
    tn_executor_options options = make_options();
    options.capacity_policy = TN_STATIC_BATCH;
    options.max_batch_size = 3;
    tn_test_decoder_start(decoder, &options);
    uint64_t pending[7];
    for (int i = 0; i < 7; i++) {
        tn_request request = make_request(ids, PROMPT, 4 + i * 3);
        pending[i] = enqueue(decoder, &request);
    }
    for (int i = 0; i < 7; i++) tn_response_destroy(await(decoder, pending[i]));
    tn_iteration_stats stats;
    int32_t num_before = 0;
    while (tn_executor_take_iteration_stats(decoder->executor, &stats) == TN_OK) {
        assert_true(stats.has_static_batching_stats);
        if (stats.num_new_active_requests > 0) assert_int_equal(num_before, 0);
        num_before = stats.num_active_requests;
    }
    assert_no_block_left(decoder);
}

static void both_chunking_policies_and_any_unit_give_the_same_answers(void **state) {
    tn_test_decoder *decoder = *state;
    static int32_t ids[4][200];
    tn_response *first[4];
    for (int round = 0; round < 4; round++) {
        tn_executor_options options = make_options();
        options.chunking_policy = round % 2 == 0 ? TN_FIRST_COME_FIRST_SERVED : TN_EQUAL_PROGRESS;
        options.max_num_tokens = 50;
        options.chunk_unit_tokens = round / 2 == 0 ? 0 : 7;
        options.enable_max_num_tokens_tuning = options.enable_batch_size_tuning = round == 3;
        tn_test_decoder_start(decoder, &options);
        uint64_t pending[4];
        for (uint32_t i = 0; i < 4; i++) {
            make_prompt(ids[i], 200, 60 + i);
            tn_request request = make_request(ids[i], 50 + i * 50, 6);
            request.return_generation_logits = true;
            pending[i] = enqueue(decoder, &request);
        }
        for (int i = 0; i < 4; i++) {
            tn_response *response = await(decoder, pending[i]);
            if (round == 0) {
                first[i] = response;
                continue;
            }
            assert_same_answer(first[i], response);
            tn_response_destroy(response);
        }
        assert_no_block_left(decoder);
    }
    for (int i = 0; i < 4; i++) tn_response_destroy(first[i]);
}

/* --- the cache -------------------------------------------------------------------------------------------------------------- */

static int32_t num_reused(const tn_response *response) {
    tn_request_timings timings;
    tn_response_timings(response, &timings);
    return timings.num_reused_tokens;
}

static tn_response *answer_with_logits(tn_test_decoder *decoder, const int32_t *ids, size_t count) {
    tn_request request = make_request(ids, count, 6);
    request.return_generation_logits = true;
    return tn_test_answer(decoder, &request);
}

static void blocks_that_went_to_the_host_come_back_bitwise(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[6][60];
    tn_response *alone[6];
    start(decoder, 0, 0);
    tn_executor_info info;
    tn_executor_get_info(decoder->executor, &info);
    for (uint32_t i = 0; i < 6; i++) {
        make_prompt(ids[i], 60, 70 + i);
        alone[i] = answer_with_logits(decoder, ids[i], 60);
    }
    for (int onboards = 0; onboards < 2; onboards++) {
        tn_executor_options options = make_options();
        options.max_cache_tokens = 6 * BLOCK; /* one request and a block */
        options.host_cache_bytes = info.cache_bytes / (size_t)info.num_blocks * 40;
        options.onboard_blocks = onboards == 1;
        tn_test_decoder_start(decoder, &options);
        for (int i = 0; i < 6; i++) {
            tn_response *response = answer_with_logits(decoder, ids[i], 60);
            assert_int_equal(num_reused(response), 0);
            assert_same_answer(alone[i], response);
            tn_response_destroy(response);
        }
        tn_response *response = answer_with_logits(decoder, ids[1], 60);
        assert_int_equal(num_reused(response), onboards == 1 ? 59 : 0); /* whole blocks and a part of one */
        assert_same_answer(alone[1], response);
        tn_response_destroy(response);
        assert_no_block_left(decoder);
    }
    for (int i = 0; i < 6; i++) tn_response_destroy(alone[i]);
}

static void a_retained_prompt_outlives_others_until_its_time_is_over(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t kept[PROMPT], other[PROMPT];
    make_prompt(kept, PROMPT, 14);
    for (int64_t duration_ms = -1; duration_ms <= 1; duration_ms += 2) {
        tn_executor_options options = make_options();
        options.max_cache_tokens = 8 * BLOCK;
        tn_test_decoder_start(decoder, &options);
        const tn_retention_range range = {0, -1, 90, duration_ms};
        tn_kv_retention retention;
        tn_kv_retention_init(&retention);
        retention.ranges = &range;
        retention.num_ranges = 1;
        tn_request request = make_request(kept, PROMPT, 2);
        request.retention = &retention;
        tn_response_destroy(tn_test_answer(decoder, &request));
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
        for (uint32_t i = 0; i < 12; i++) {
            make_prompt(other, PROMPT, 80 + i);
            request = make_request(other, PROMPT, 2);
            tn_response_destroy(tn_test_answer(decoder, &request));
        }
        request = make_request(kept, PROMPT, 2);
        tn_response *response = tn_test_answer(decoder, &request);
        assert_int_equal(num_reused(response), duration_ms < 0 ? PROMPT - 1 : 0);
        tn_response_destroy(response);
    }
    tn_request request = make_request(kept, PROMPT, 2);
    const tn_retention_range overlapping[] = {{20, 30, 50, -1}, {0, 21, 50, -1}}, beyond[] = {{0, -1, 101, -1}};
    tn_kv_retention retention;
    tn_kv_retention_init(&retention);
    request.retention = &retention;
    retention.ranges = overlapping;
    retention.num_ranges = 2;
    expect_refused(decoder, &request, TN_INVALID_ARGUMENT,
                   "cannot take the request: the retention ranges from 0 and from 20 overlap; only the last may be open");
    retention.ranges = beyond;
    retention.num_ranges = 1;
    expect_refused(decoder, &request, TN_INVALID_ARGUMENT, "cannot take the request: a retention priority is 101, must be 0 to 100");
}

static void parts_of_blocks_are_reused_only_if_allowed(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 15);
    tn_response *first = NULL;
    for (int mode = 0; mode < 3; mode++) {
        tn_executor_options options = make_options();
        options.enable_partial_reuse = mode > 0;
        options.copy_on_partial_reuse = mode == 1;
        tn_test_decoder_start(decoder, &options);
        tn_response_destroy(answer_with_logits(decoder, ids, PROMPT));
        tn_response *response = answer_with_logits(decoder, ids, PROMPT);
        assert_int_equal(num_reused(response), mode == 0 ? 32 : PROMPT - 1);
        if (first == NULL) {
            first = response;
            continue;
        }
        assert_same_answer(first, response);
        tn_response_destroy(response);
    }
    tn_response_destroy(first);
}

static void the_cache_tells_what_it_stores_and_drops(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT], other[120];
    make_prompt(ids, PROMPT, 16);
    make_prompt(other, 120, 17);
    tn_executor_options options = make_options();
    options.max_cache_tokens = 8 * BLOCK;
    options.event_buffer_max_size = 100;
    tn_test_decoder_start(decoder, &options);
    tn_kv_event_manager *manager = tn_executor_get_kv_event_manager(decoder->executor);
    assert_non_null(manager);
    tn_kv_event_list *list;
    size_t count;
    assert_int_equal(tn_kv_event_manager_take(manager, TN_FOREVER, &list), TN_OK);
    const tn_kv_event *events = tn_kv_event_list_get(list, &count);
    assert_int_equal(count, 1);
    assert_int_equal(events[0].event_id, 0);
    assert_int_equal(events[0].kind, TN_KV_EVENT_CREATED);
    assert_int_equal(events[0].num_blocks_per_level[0], 8);
    tn_kv_event_list_destroy(list);
    assert_int_equal(tn_kv_event_manager_take(manager, 5, &list), TN_TIMED_OUT);
    assert_null(list);

    tn_request request = make_request(ids, PROMPT, 2);
    tn_response_destroy(tn_test_answer(decoder, &request));
    assert_int_equal(tn_kv_event_manager_take(manager, TN_FOREVER, &list), TN_OK);
    events = tn_kv_event_list_get(list, &count);
    assert_true(count >= 1);
    assert_int_equal(events[0].event_id, 1);
    assert_int_equal(events[0].kind, TN_KV_EVENT_STORED);
    assert_false(events[0].has_parent);
    assert_int_equal(events[0].num_blocks >= 2, 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(events[0].blocks[i].num_tokens, BLOCK);
        assert_int_equal(events[0].blocks[i].priority, 35);
        assert_memory_equal(events[0].blocks[i].tokens, ids + i * BLOCK, BLOCK * sizeof *ids);
    }
    uint64_t first_hash = events[0].blocks[0].hash;
    uint64_t next_id = events[count - 1].event_id + 1;
    tn_kv_event_list_destroy(list);

    request = make_request(other, 120, 2); /* takes all blocks */
    tn_response_destroy(tn_test_answer(decoder, &request));
    bool is_removed = false;
    while (!is_removed) {
        assert_int_equal(tn_kv_event_manager_take(manager, TN_FOREVER, &list), TN_OK);
        events = tn_kv_event_list_get(list, &count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(events[i].event_id, next_id++);
            for (size_t b = 0; events[i].kind == TN_KV_EVENT_REMOVED && b < events[i].num_blocks; b++)
                is_removed = is_removed || events[i].blocks[b].hash == first_hash;
        }
        tn_kv_event_list_destroy(list);
    }
    tn_executor_shutdown(decoder->executor, true);
    while (tn_kv_event_manager_take(manager, TN_FOREVER, &list) == TN_OK) tn_kv_event_list_destroy(list);
    assert_int_equal(tn_kv_event_manager_take(manager, TN_FOREVER, &list), TN_UNAVAILABLE);
    start(decoder, 0, 0);
    assert_null(tn_executor_get_kv_event_manager(decoder->executor));
}

static void the_cache_keeps_to_its_byte_limit(void **state) {
    tn_test_decoder *decoder = *state;
    start(decoder, 0, 0);
    tn_executor_info info;
    tn_executor_get_info(decoder->executor, &info);
    size_t block_bytes = info.cache_bytes / (size_t)info.num_blocks;
    tn_executor_options options = make_options();
    options.max_cache_bytes = block_bytes * 7 + block_bytes / 2;
    tn_test_decoder_start(decoder, &options);
    tn_executor_get_info(decoder->executor, &info);
    assert_int_equal(info.num_blocks, 7);
    options.max_cache_tokens = 5 * BLOCK;
    tn_test_decoder_start(decoder, &options);
    tn_executor_get_info(decoder->executor, &info);
    assert_int_equal(info.num_blocks, 5);
}

/* The golden mistral with a window, as a directory. */
static void make_windowed_model(char path[64], int window) {
    char from[256], to[128], config[8192];
    snprintf(path, 64, "/tmp/tenon-window-XXXXXX");
    assert_non_null(mkdtemp(path));
    snprintf(from, sizeof from, TN_TEST_DATA "/models/mistral/model.safetensors");
    snprintf(to, sizeof to, "%s/model.safetensors", path);
    assert_int_equal(symlink(from, to), 0);
    FILE *file = fopen(TN_TEST_DATA "/models/mistral/config.json", "rb");
    assert_non_null(file);
    size_t size = fread(config, 1, sizeof config - 1, file);
    fclose(file);
    config[size] = '\0';
    const char *key = "\"sliding_window\": null", *found = strstr(config, key);
    assert_non_null(found);
    snprintf(to, sizeof to, "%s/config.json", path);
    file = fopen(to, "wb");
    assert_non_null(file);
    fprintf(file, "%.*s\"sliding_window\": %d%s", (int)(found - config), config, window, found + strlen(key));
    assert_int_equal(fclose(file), 0);
}

static void remove_model(const char *path) {
    char file[128];
    snprintf(file, sizeof file, "%s/model.safetensors", path);
    unlink(file);
    snprintf(file, sizeof file, "%s/config.json", path);
    unlink(file);
    assert_int_equal(rmdir(path), 0);
}

static void blocks_behind_the_window_are_given_back_and_no_answer_changes(void **state) {
    (void)state;
    char path[64];
    make_windowed_model(path, 20);
    tn_test_decoder decoder;
    tn_model_options model;
    tn_model_options_init(&model);
    model.tokens_per_block = BLOCK;
    model.max_num_tokens = MAX_NUM_TOKENS;
    model.max_batch_size = MAX_BATCH;
    tn_test_decoder_open(&decoder, path, "cpu", NULL, &model);
    int32_t ids[3][100];
    tn_response *alone[3];
    tn_executor_options options = make_options();
    tn_test_decoder_start(&decoder, &options); /* with reuse: nothing is given back */
    for (uint32_t i = 0; i < 3; i++) {
        make_prompt(ids[i], 100, 90 + i);
        tn_request request = make_request(ids[i], 100, 100);
        request.return_generation_logits = true;
        alone[i] = tn_test_answer(&decoder, &request);
    }
    options.enable_block_reuse = false;
    options.max_chunk_tokens = 16;
    options.max_cache_tokens = 8 * BLOCK; /* 200 tokens are 13 blocks */
    for (int depth = 1; depth <= 2; depth++) {
        options.pipeline_depth = depth;
        tn_test_decoder_start(&decoder, &options);
        tn_executor_info info;
        tn_executor_get_info(decoder.executor, &info);
        assert_int_equal(info.max_blocks_per_request, 4);
        uint64_t pending[3];
        for (int i = 0; i < 3; i++) {
            tn_request request = make_request(ids[i], 100, 100);
            request.return_generation_logits = true;
            pending[i] = enqueue(&decoder, &request);
        }
        for (int i = 0; i < 3; i++) {
            tn_response *response = await(&decoder, pending[i]);
            assert_same_answer(alone[i], response);
            tn_response_destroy(response);
        }
        assert_no_block_left(&decoder);
    }
    for (int i = 0; i < 3; i++) tn_response_destroy(alone[i]);
    tn_test_decoder_close(&decoder);
    remove_model(path);
}

/* --- statistics ------------------------------------------------------------------------------------------------------------- */

static void perf_metrics_tell_times_blocks_and_iterations(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 18);
    start(decoder, 0, 0);
    tn_perf_metrics metrics;
    tn_request request = make_request(ids, 4, 5);
    tn_response *response = tn_test_answer(decoder, &request);
    assert_false(tn_response_perf_metrics(response, &metrics));
    tn_response_destroy(response);
    start(decoder, 0, 0);
    request.return_perf_metrics = request.streaming = true;
    uint64_t id = enqueue(decoder, &request);
    for (int64_t i = 0; i < 5; i++) {
        response = await(decoder, id);
        assert_true(tn_response_perf_metrics(response, &metrics));
        assert_true(metrics.arrival_ns <= metrics.first_scheduled_ns && metrics.first_scheduled_ns < metrics.first_token_ns);
        assert_int_equal(metrics.last_token_ns != 0, i == 4);
        if (i == 4) assert_true(metrics.last_token_ns > metrics.first_token_ns);
        assert_int_equal(metrics.num_total_allocated_blocks, 1);
        assert_int_equal(metrics.num_new_allocated_blocks, 1);
        assert_int_equal(metrics.num_reused_blocks, 0);
        assert_int_equal(metrics.num_missed_blocks, 1);
        assert_int_equal(metrics.first_iter, 0);
        assert_int_equal(metrics.iter, i);
        assert_int_equal(metrics.last_iter, i == 4 ? 4 : -1);
        tn_response_destroy(response);
    }
    request = make_request(ids, 20, 2); /* a block and a part */
    tn_response_destroy(tn_test_answer(decoder, &request));
    request = make_request(ids, 22, 2); /* known tokens and two more */
    request.return_perf_metrics = true;
    response = tn_test_answer(decoder, &request);
    assert_true(tn_response_perf_metrics(response, &metrics));
    assert_int_equal(metrics.num_reused_blocks, 2);
    assert_int_equal(metrics.num_new_allocated_blocks, 0);
    assert_true(metrics.kv_cache_hit_rate == 1.0);
    tn_response_destroy(response);
}

static void expect_keys(const char *text, const char *const *keys, size_t num_keys) {
    tn_json *json;
    assert_int_equal(tn_json_parse("statistics", text, strlen(text), NULL, NULL, NULL, &json), TN_OK);
    for (size_t i = 0; i < num_keys; i++)
        if (tn_json_find(tn_json_root(json), keys[i]) == NULL) fail_msg("no key %s in %s", keys[i], text);
    tn_json_destroy(json);
}

static void iterations_are_counted_and_written_with_upstream_keys(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 19);
    tn_executor_options options = make_options();
    options.iter_stats_max_iterations = 4;
    tn_test_decoder_start(decoder, &options);
    tn_iteration_stats stats;
    assert_int_equal(tn_executor_take_iteration_stats(decoder->executor, &stats), TN_NOT_FOUND);
    tn_request request = make_request(ids, PROMPT, 10);
    tn_response_destroy(tn_test_answer(decoder, &request));
    tn_executor_shutdown(decoder->executor, true);
    uint64_t iter = 7; /* of ten iterations and the record of going idle the last four are kept */
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tn_executor_take_iteration_stats(decoder->executor, &stats), TN_OK);
        assert_int_equal(stats.iter, iter++);
        assert_int_equal(strlen(stats.timestamp), 19);
        assert_int_equal(stats.inflight_batching_stats.num_gen_requests, i < 3 ? 1 : 0);
        assert_int_equal(stats.num_completed_requests, i == 2 ? 1 : 0);
        assert_int_equal(stats.kv_cache_stats.tokens_per_block, BLOCK);
        assert_int_equal(stats.kv_cache_stats.missed_blocks, 3);
    }
    assert_int_equal(tn_executor_take_iteration_stats(decoder->executor, &stats), TN_NOT_FOUND);
    static const char *const keys[] = {"timestamp",
                                       "iter",
                                       "iterLatencyMS",
                                       "newActiveRequestsQueueLatencyMS",
                                       "numNewActiveRequests",
                                       "numActiveRequests",
                                       "numQueuedRequests",
                                       "numCompletedRequests",
                                       "maxNumActiveRequests",
                                       "maxBatchSizeStatic",
                                       "maxBatchSizeTunerRecommended",
                                       "maxBatchSizeRuntime",
                                       "maxNumTokensStatic",
                                       "maxNumTokensTunerRecommended",
                                       "maxNumTokensRuntime",
                                       "gpuMemUsage",
                                       "cpuMemUsage",
                                       "pinnedMemUsage",
                                       "kvCacheStats",
                                       "staticBatchingStats",
                                       "inflightBatchingStats",
                                       "specDecodingStats"};
    char json[TN_ITERATION_STATS_JSON_SIZE], small[16];
    size_t length = tn_iteration_stats_to_json(&stats, json, sizeof json);
    assert_int_equal(length, strlen(json));
    expect_keys(json, keys, sizeof keys / sizeof *keys);
    assert_int_equal(tn_iteration_stats_to_json(&stats, small, sizeof small), length);
    assert_int_equal(strlen(small), sizeof small - 1);
    stats.has_static_batching_stats = true;
    (void)tn_iteration_stats_to_json(&stats, json, sizeof json);
    expect_keys(json, keys, sizeof keys / sizeof *keys);
}

static void requests_are_listed_in_each_iteration_until_they_finish(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 20);
    tn_executor_options options = make_options();
    options.request_stats_max_iterations = 100;
    options.max_batch_size = 1;
    options.max_chunk_tokens = 16;
    tn_test_decoder_start(decoder, &options);
    tn_request requests[2] = {make_request(ids, PROMPT, 3), make_request(ids, PROMPT, 3)};
    uint64_t pending[2];
    assert_int_equal(tn_executor_enqueue_many(decoder->executor, requests, 2, NULL, pending), TN_OK);
    for (int i = 0; i < 2; i++) tn_response_destroy(await(decoder, pending[i]));
    tn_executor_shutdown(decoder->executor, true);
    tn_request_stats_list *list;
    int num_seen[TN_STAGE_GENERATION_COMPLETE + 1] = {0};
    while (tn_executor_take_request_stats(decoder->executor, &list) == TN_OK) {
        size_t count;
        const tn_request_stats *stats = tn_request_stats_list_get(list, &count);
        for (size_t i = 0; i < count; i++) {
            assert_true(stats[i].id == pending[0] || stats[i].id == pending[1]);
            num_seen[stats[i].stage]++;
        }
        static const char *const keys[] = {"iter", "requestStats"};
        static const char *const request_keys[] = {"id",
                                                   "stage",
                                                   "contextPrefillPosition",
                                                   "numGeneratedTokens",
                                                   "avgNumDecodedTokensPerIter",
                                                   "scheduled",
                                                   "paused",
                                                   "disServingStats",
                                                   "allocTotalBlocksPerRequest",
                                                   "allocNewBlocksPerRequest",
                                                   "reusedBlocksPerRequest",
                                                   "missedBlocksPerRequest",
                                                   "kvCacheHitRatePerRequest"};
        char json[8192];
        (void)tn_request_stats_list_to_json(list, json, sizeof json);
        expect_keys(json, keys, 2);
        if (count > 0) {
            assert_true(tn_request_stats_to_json(stats, json, sizeof json) < 512);
            expect_keys(json, request_keys, sizeof request_keys / sizeof *request_keys);
        }
        tn_request_stats_list_destroy(list);
    }
    assert_int_equal(num_seen[TN_STAGE_GENERATION_COMPLETE], 2);
    assert_true(num_seen[TN_STAGE_QUEUED] > 0 && num_seen[TN_STAGE_CONTEXT_IN_PROGRESS] > 0);
    assert_true(num_seen[TN_STAGE_GENERATION_IN_PROGRESS] > 0);
    assert_string_equal(tn_request_stage_name(TN_STAGE_CONTEXT_IN_PROGRESS), "CONTEXT_IN_PROGRESS");
}

static void debug_tensors_show_what_went_in_and_came_out(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 21);
    tn_executor_options options = make_options();
    options.debug_input_tensors = options.debug_output_tensors = true;
    options.debug_tensors_max_iterations = 2;
    tn_test_decoder_start(decoder, &options);
    tn_request request = make_request(ids, PROMPT, 2);
    request.return_generation_logits = true;
    tn_response *response = tn_test_answer(decoder, &request);
    tn_executor_shutdown(decoder->executor, true);
    tn_debug_tensors *tensors;
    for (uint64_t iter = 0; iter < 2; iter++) {
        assert_int_equal(tn_executor_take_debug_tensors(decoder->executor, &tensors), TN_OK);
        assert_int_equal(tn_debug_tensors_iter(tensors), iter);
        size_t count;
        const tn_debug_tensor *list = tn_debug_tensors_get(tensors, &count);
        bool has_ids = false, has_logits = false;
        for (size_t i = 0; i < count; i++) {
            if (iter == 0 && strcmp(list[i].name, "forward.input_ids") == 0) {
                has_ids = true;
                assert_int_equal(list[i].dims.d[0], PROMPT);
                assert_memory_equal(list[i].data, ids, sizeof ids);
            }
            if (strcmp(list[i].name, "forward.logits") != 0) continue;
            has_logits = true;
            assert_int_equal(list[i].dims.d[1], VOCAB);
            assert_memory_equal(list[i].data, tn_response_generation_logits(response) + iter * VOCAB, VOCAB * sizeof(float));
        }
        assert_true(has_logits && (has_ids || iter == 1));
        tn_debug_tensors_destroy(tensors);
    }
    assert_int_equal(tn_executor_take_debug_tensors(decoder->executor, &tensors), TN_NOT_FOUND);
    tn_response_destroy(response);
}

static void each_failing_allocation_of_enqueue_is_reported_and_queues_nothing(void **state) {
    tn_test_decoder *decoder = *state;
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 22);
    for (int as_responses = 0; as_responses < 2; as_responses++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, 0);
        tn_executor_options options = make_options();
        options.allocator = &fault.allocator;
        options.errors_as_responses = as_responses == 1;
        tn_test_decoder_start(decoder, &options);
        tn_request requests[2] = {make_request(ids, PROMPT, 2), make_request(ids, PROMPT, 2)};
        requests[0].sampling.num_return_sequences = 3;
        if (as_responses == 1) requests[1].end_id = VOCAB; /* answers with an error */
        tn_status status = TN_OUT_OF_MEMORY;
        for (size_t n = 1; status != TN_OK; n++) {
            uint64_t pending[2];
            tn_diag *diag;
            assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
            fault.fail_at = atomic_load(&fault.num_calls) + n;
            status = tn_executor_enqueue_many(decoder->executor, requests, 2, diag, pending);
            fault.fail_at = 0;
            if (status == TN_OK) {
                assert_true(n > 5);
                for (int i = 0; i < 3; i++) tn_response_destroy(await(decoder, pending[0]));
                tn_response *last = await(decoder, pending[1]);
                assert_int_equal(tn_response_error(last) != NULL, as_responses == 1);
                tn_response_destroy(last);
            } else {
                tn_response *none;
                assert_int_equal(status, TN_OUT_OF_MEMORY);
                assert_int_equal(tn_diag_num_entries(diag), 1);
                assert_int_equal(tn_executor_await_any(decoder->executor, 0, &none), TN_NOT_FOUND);
                assert_no_block_left(decoder);
            }
            tn_diag_destroy(diag);
        }
        tn_executor_destroy(decoder->executor);
        decoder->executor = NULL;
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(return_sequences_share_the_prompt_and_draw_on_their_own),
        cmocka_unit_test(each_streamed_token_of_each_sequence_is_a_response),
        cmocka_unit_test(cancelling_a_request_cancels_all_its_sequences),
        cmocka_unit_test(many_are_enqueued_together_or_not_at_all),
        cmocka_unit_test(all_ready_responses_are_taken_at_once),
        cmocka_unit_test(shutdown_wakes_those_who_wait_and_closes_the_door),
        cmocka_unit_test(a_request_ends_when_its_time_is_over_queued_or_running),
        cmocka_unit_test(logits_that_leave_nothing_to_draw_are_an_error),
        cmocka_unit_test(logits_post_processors_decide_what_is_drawn),
        cmocka_unit_test(under_max_utilization_paused_requests_answer_bitwise_as_alone),
        cmocka_unit_test(a_static_batch_ends_before_the_next_one_starts),
        cmocka_unit_test(both_chunking_policies_and_any_unit_give_the_same_answers),
        cmocka_unit_test(blocks_that_went_to_the_host_come_back_bitwise),
        cmocka_unit_test(a_retained_prompt_outlives_others_until_its_time_is_over),
        cmocka_unit_test(parts_of_blocks_are_reused_only_if_allowed),
        cmocka_unit_test(the_cache_tells_what_it_stores_and_drops),
        cmocka_unit_test(debug_tensors_show_what_went_in_and_came_out),
    };
    const struct CMUnitTest once[] = {
        cmocka_unit_test(a_request_that_gets_into_no_step_gives_its_place_up),
        cmocka_unit_test(absent_features_are_refused_by_name),
        cmocka_unit_test(errors_can_come_as_responses),
        cmocka_unit_test(options_of_absent_features_are_refused_by_name),
        cmocka_unit_test(the_cache_keeps_to_its_byte_limit),
        cmocka_unit_test(blocks_behind_the_window_are_given_back_and_no_answer_changes),
        cmocka_unit_test(each_failing_allocation_of_enqueue_is_reported_and_queues_nothing),
        cmocka_unit_test(perf_metrics_tell_times_blocks_and_iterations),
        cmocka_unit_test(iterations_are_counted_and_written_with_upstream_keys),
        cmocka_unit_test(requests_are_listed_in_each_iteration_until_they_finish),
    };
    int failed = cmocka_run_group_tests_name("ref", tests, open_synchronous, close_group);
    failed += cmocka_run_group_tests_name("ref, once", once, open_synchronous, close_group);
    return failed + cmocka_run_group_tests_name("ref, asynchronous", tests, open_asynchronous, close_group);
}
