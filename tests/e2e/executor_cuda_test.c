/* SPDX-License-Identifier: Apache-2.0
 *
 * executor_cuda_test.c: the executor on a GPU: many requests that come, share prefixes and are cancelled; sampling with a seed;
 * too little memory. Tokens are held against the golden ones: bits may depend on the rows beside a row there.
 */
#include "e2e/golden.h"

#define MODEL "llama-gqa"

enum { NUM_REQUESTS = 400, WINDOW = 24 };

static golden_model *model;
static char path[64];

static void open_on(tn_test_decoder *decoder, const char *backend, bool hidden_states, const tn_executor_options *options) {
    tn_model_options model_options;
    tn_model_options_init(&model_options);
    model_options.tokens_per_block = 16;
    model_options.max_num_tokens = 128;
    model_options.max_batch_size = 16;
    model_options.hidden_states = hidden_states;
    tn_test_decoder_open(decoder, path, backend, NULL, &model_options);
    tn_test_decoder_start(decoder, options);
}

static void open_engine(tn_test_decoder *decoder, const tn_executor_options *options) {
    open_on(decoder, "cuda", false, options);
}

static tn_response *await_final(tn_test_decoder *decoder, uint64_t id) {
    tn_response *response;
    assert_int_equal(tn_executor_await(decoder->executor, id, TN_FOREVER, &response), TN_OK);
    assert_true(tn_response_is_final(response));
    return response;
}

static void check_tokens(const golden_case *example, const tn_response *response) {
    size_t count;
    const int32_t *ids = tn_response_ids(response, &count);
    if (tn_response_error(response) != NULL) fail_msg("%s", tn_response_error(response));
    assert_int_equal(count, GOLDEN_TOKENS);
    for (size_t i = 0; i < count; i++) assert_int_equal(ids[i], example->greedy[i]);
}

static void check_idle(const tn_test_decoder *decoder) {
    tn_executor_info info;
    tn_executor_get_info(decoder->executor, &info);
    assert_int_equal(info.num_free_blocks, info.num_blocks);
    assert_int_equal(info.num_active, 0);
    assert_int_equal(info.num_queued, 0);
}

static void run_many(int32_t pipeline_depth, int32_t max_chunk_tokens) {
    tn_test_decoder decoder;
    tn_executor_options options;
    uint64_t pending[WINDOW] = {0};
    int num_finished = 0, num_cancelled = 0;
    uint32_t random = 7;
    tn_executor_options_init(&options);
    options.pipeline_depth = pipeline_depth;
    options.max_chunk_tokens = max_chunk_tokens;
    options.max_cache_tokens = 1024; /* less than the window wants: some wait */
    open_engine(&decoder, &options);
    for (int i = 0; i < NUM_REQUESTS + WINDOW; i++) {
        int place = i % WINDOW;
        if (i >= WINDOW) {
            tn_response *response = await_final(&decoder, pending[place]);
            if (tn_response_finish_reason(response) == TN_FINISH_CANCELLED) {
                num_cancelled++;
            } else {
                check_tokens(&model->cases[(size_t)(i - WINDOW) % model->num_cases], response);
                num_finished++;
            }
            tn_response_destroy(response);
        }
        if (i >= NUM_REQUESTS) continue;
        const golden_case *example = &model->cases[(size_t)i % model->num_cases];
        tn_request request;
        tn_request_init(&request, example->ids, example->num_ids, GOLDEN_TOKENS);
        assert_int_equal(tn_executor_enqueue(decoder.executor, &request, &pending[place]), TN_OK);
        random = random * 1664525u + 1013904223u;
        if (random >> 29 == 0) tn_executor_cancel(decoder.executor, pending[(random >> 8) % (uint32_t)(i < WINDOW ? i + 1 : WINDOW)]);
    }
    assert_int_equal(num_finished + num_cancelled, NUM_REQUESTS);
    assert_true(num_finished > NUM_REQUESTS / 2);
    check_idle(&decoder);
    tn_test_decoder_close(&decoder);
}

static void requests_that_come_and_go_get_their_own_answers(void **state) {
    (void)state;
    run_many(1, 0);
}

static void overlapped_steps_give_the_same_tokens(void **state) {
    (void)state;
    run_many(2, 0);
}

static void chunked_prompts_among_others_give_the_same_tokens(void **state) {
    (void)state;
    run_many(2, 8);
}

static void a_shared_prefix_changes_no_token(void **state) {
    (void)state;
    tn_test_decoder decoder;
    open_engine(&decoder, NULL);
    const golden_case *longest = &model->cases[0];
    for (size_t i = 1; i < model->num_cases; i++)
        if (model->cases[i].num_ids > longest->num_ids) longest = &model->cases[i];
    for (int round = 0; round < 3; round++) {
        tn_request request;
        tn_request_timings timings;
        tn_request_init(&request, longest->ids, longest->num_ids, GOLDEN_TOKENS);
        tn_response *response = tn_test_answer(&decoder, &request);
        check_tokens(longest, response);
        tn_response_timings(response, &timings);
        assert_int_equal(timings.num_reused_tokens > 0, round > 0);
        tn_response_destroy(response);
    }
    tn_test_decoder_close(&decoder);
}

static void a_seed_gives_the_same_draws_again(void **state) {
    (void)state;
    tn_test_decoder decoder;
    tn_response *responses[2];
    const int32_t *ids[2];
    size_t counts[2];
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.enable_block_reuse = false;
    open_engine(&decoder, &options);
    for (int i = 0; i < 2; i++) {
        tn_request request;
        tn_request_init(&request, model->cases[0].ids, model->cases[0].num_ids, GOLDEN_TOKENS);
        request.sampling.temperature = 1.3f;
        request.sampling.top_p = 0.95f;
        request.sampling.seed = 11;
        responses[i] = tn_test_answer(&decoder, &request);
        assert_null(tn_response_error(responses[i]));
        ids[i] = tn_response_ids(responses[i], &counts[i]);
    }
    assert_int_equal(counts[0], counts[1]);
    assert_memory_equal(ids[0], ids[1], counts[0] * sizeof *ids[0]);
    for (int i = 0; i < 2; i++) tn_response_destroy(responses[i]);
    tn_test_decoder_close(&decoder);
}

/* The prompt's rows and those of the generated tokens. */
static void hidden_states_are_those_of_ref(void **state) {
    (void)state;
    const golden_case *longest = &model->cases[model->num_cases - 1];
    tn_test_decoder decoders[2];
    tn_response *responses[2];
    for (int i = 0; i < 2; i++) {
        open_on(&decoders[i], i == 0 ? "cuda" : "ref", true, NULL);
        tn_request request;
        tn_request_init(&request, longest->ids, longest->num_ids, GOLDEN_TOKENS);
        request.additional_outputs = &(const tn_additional_output){TN_OUTPUT_HIDDEN_STATES, true};
        request.num_additional_outputs = 1;
        responses[i] = tn_test_answer(&decoders[i], &request);
        check_tokens(longest, responses[i]);
    }
    for (int part = 0; part < 2; part++) {
        const float *rows[2];
        size_t columns, num_rows = part == 0 ? longest->num_ids : GOLDEN_TOKENS;
        for (int i = 0; i < 2; i++)
            rows[i] = part == 0 ? tn_response_context_output(responses[i], TN_OUTPUT_HIDDEN_STATES, &columns)
                                : tn_response_generation_output(responses[i], TN_OUTPUT_HIDDEN_STATES, &columns);
        for (size_t i = 0; i < num_rows * columns; i++)
            if (!(fabs((double)rows[0][i] - (double)rows[1][i]) <= golden_tolerance(&decoders[0])))
                fail_msg("row %zu: %zu is %g, wanted %g", i / columns, i % columns, (double)rows[0][i], (double)rows[1][i]);
    }
    for (int i = 0; i < 2; i++) {
        tn_response_destroy(responses[i]);
        tn_test_decoder_close(&decoders[i]);
    }
}

static void too_little_memory_is_told_and_nothing_breaks(void **state) {
    (void)state;
    tn_test_decoder decoder;
    open_engine(&decoder, NULL);
    tn_engine_options options;
    tn_engine *engine = NULL;
    tn_engine_options_init(&options);
    assert_int_equal(tn_diag_create(NULL, &options.diag), TN_OK);
    options.device = decoder.device;
    options.memory_limit_bytes = 4096;
    assert_int_equal(tn_engine_create(decoder.plan, &options, &engine), TN_OUT_OF_MEMORY);
    assert_null(engine);
    tn_diag_destroy(options.diag);
    tn_request request;
    tn_request_init(&request, model->cases[0].ids, model->cases[0].num_ids, GOLDEN_TOKENS);
    tn_response *response = tn_test_answer(&decoder, &request);
    check_tokens(&model->cases[0], response);
    tn_response_destroy(response);
    tn_test_decoder_close(&decoder);
}

static int open_model(void **state) {
    (void)state;
    model = golden_load(MODEL, "config.json");
    golden_make_directory(model, path);
    return 0;
}

static int close_model(void **state) {
    (void)state;
    golden_remove_directory(path);
    free(model);
    return 0;
}

int main(void) {
    if (!tn_test_has_device("cuda")) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_that_come_and_go_get_their_own_answers),
        cmocka_unit_test(overlapped_steps_give_the_same_tokens),
        cmocka_unit_test(chunked_prompts_among_others_give_the_same_tokens),
        cmocka_unit_test(a_shared_prefix_changes_no_token),
        cmocka_unit_test(a_seed_gives_the_same_draws_again),
        cmocka_unit_test(hidden_states_are_those_of_ref),
        cmocka_unit_test(too_little_memory_is_told_and_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
