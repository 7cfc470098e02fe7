/* SPDX-License-Identifier: Apache-2.0
 *
 * invariance_test.c: an answer does not depend on what runs beside it: logits bit for bit, within one plan.
 */
#include "support/executor.h"

enum { PROMPT = 45, ANSWER = 12 };

static tn_request request_with_logits(const int32_t *ids, size_t count) {
    tn_request request;
    tn_request_init(&request, ids, count, ANSWER);
    request.return_generation_logits = true;
    return request;
}

/* In a batch of 16 with other lengths; the request of interest is the sixth. */
static void check_batch(const tn_test_decoder *decoder, const int32_t *ids, const tn_response *alone) {
    static int32_t others[MAX_BATCH][120];
    uint64_t requests[MAX_BATCH];
    for (uint32_t i = 0; i < MAX_BATCH; i++) {
        size_t count = 1 + (i * 29) % 113;
        make_prompt(others[i], count, 100 + i);
        tn_request request = i == 5 ? request_with_logits(ids, PROMPT) : request_with_logits(others[i], count);
        requests[i] = enqueue(decoder, &request);
    }
    for (int i = 0; i < MAX_BATCH; i++) {
        tn_response *response = await(decoder, requests[i]);
        if (i == 5) assert_same_answer(alone, response);
        tn_response_destroy(response);
    }
}

static void check_engine(tn_test_decoder *decoder, const int32_t *ids, const tn_response *alone, const tn_response *prompt) {
    static const int32_t chunks[] = {0, 8, 24};
    for (int c = 0; c < 3; c++) {
        start(decoder, chunks[c], 0);
        tn_request request = request_with_logits(ids, PROMPT);
        tn_response *cold = tn_test_answer(decoder, &request), *hit = tn_test_answer(decoder, &request);
        tn_request_timings timings;
        tn_response_timings(hit, &timings);
        assert_int_equal(timings.num_reused_tokens, PROMPT - 1); /* whole blocks and a part of one */
        assert_same_answer(alone, cold);
        assert_same_answer(alone, hit);
        tn_response_destroy(cold);
        tn_response_destroy(hit);
        request.return_context_logits = true;
        tn_response *response = tn_test_answer(decoder, &request);
        assert_same_answer(alone, response);
        assert_memory_equal(tn_response_context_logits(prompt), tn_response_context_logits(response), PROMPT * VOCAB * sizeof(float));
        tn_response_destroy(response);
        start(decoder, chunks[c], 0);
        check_batch(decoder, ids, alone);
        check_batch(decoder, ids, alone); /* all of them hit the cache now */
    }
}

/* The plan of `decoder` on a device of its own with that many threads. */
static void check_threads(const tn_test_decoder *decoder, const char *backend, int num_threads, const int32_t *ids,
                          const tn_response *alone, const tn_response *prompt) {
    tn_test_decoder other = {.plan = decoder->plan};
    tn_device_options device_options;
    tn_device_options_init(&device_options);
    device_options.num_threads = num_threads;
    assert_int_equal(tn_device_create(backend, &device_options, &other.device), TN_OK);
    tn_engine_options options;
    tn_engine_options_init(&options);
    options.device = other.device;
    assert_int_equal(tn_engine_create(other.plan, &options, &other.engine), TN_OK);
    check_engine(&other, ids, alone, prompt);
    other.plan = NULL;
    tn_test_decoder_close(&other);
}

static void check(const char *model, const char *backend, tn_dtype float_dtype, tn_dtype cache_dtype) {
    int32_t ids[PROMPT];
    make_prompt(ids, PROMPT, 77);
    tn_model_options options;
    tn_model_options_init(&options);
    options.tokens_per_block = 16;
    options.max_num_tokens = MAX_NUM_TOKENS;
    options.max_batch_size = MAX_BATCH;
    options.float_dtype = float_dtype;
    options.cache_dtype = cache_dtype;
    tn_test_decoder decoder;
    char path[256];
    snprintf(path, sizeof path, TN_TEST_DATA "/models/%s", model);
    tn_test_decoder_open(&decoder, path, backend, NULL, &options);
    start(&decoder, 0, 0);
    tn_request request = request_with_logits(ids, PROMPT);
    tn_response *alone = tn_test_answer(&decoder, &request);
    request.return_context_logits = true;
    tn_response *prompt = tn_test_answer(&decoder, &request);
    tn_executor_destroy(decoder.executor);
    decoder.executor = NULL;
    check_threads(&decoder, backend, 1, ids, alone, prompt);
    if (strcmp(backend, "cpu") == 0) check_threads(&decoder, backend, 2, ids, alone, prompt);
    tn_response_destroy(alone);
    tn_response_destroy(prompt);
    tn_test_decoder_close(&decoder);
}

static void on_cpu_no_answer_depends_on_batch_chunks_cache_or_threads(void **state) {
    (void)state;
    static const char *const models[] = {"llama-gqa", "qwen3", "gpt2", "mixtral"};
    for (int i = 0; i < 4; i++) check(models[i], "cpu", TN_DTYPE_NONE, TN_DTYPE_NONE);
}

static void on_cpu_nor_with_half_precision_weights_and_cache(void **state) {
    (void)state;
    check("llama-gqa", "cpu", TN_FLOAT16, TN_FLOAT16);
    check("llama-gqa", "cpu", TN_BFLOAT16, TN_FLOAT16);
}

static void on_cpu_nor_with_any_type_of_cache(void **state) {
    (void)state;
    static const tn_dtype types[] = {TN_BFLOAT16, TN_INT16, TN_INT8, TN_FLOAT8_E4M3FN};
    for (int i = 0; i < 4; i++) check("llama-gqa", "cpu", TN_DTYPE_NONE, types[i]);
}

static void on_ref_no_answer_depends_on_batch_chunks_or_cache(void **state) {
    (void)state;
    check("llama-gqa", "ref", TN_DTYPE_NONE, TN_DTYPE_NONE);
}

/* Overlapping steps changes when things happen, never what comes out. */
static void on_the_asynchronous_device_depth_two_equals_depth_one(void **state) {
    (void)state;
    tn_device_options device_options;
    tn_device_options_init(&device_options);
    device_options.async = true;
    tn_test_decoder decoder;
    open_decoder(&decoder, "ref", &device_options);
    static int32_t ids[6][90];
    tn_response *first[6];
    for (int depth = 1; depth <= 2; depth++) {
        start(&decoder, 0, depth);
        uint64_t requests[6];
        for (uint32_t i = 0; i < 6; i++) {
            size_t count = 3 + i * 17;
            make_prompt(ids[i], count, 200 + i);
            tn_request request = request_with_logits(ids[i], count);
            request.sampling.top_p = 0.9f; /* draws depend on seed and position only */
            request.sampling.temperature = 1.5f;
            request.sampling.seed = i;
            request.sampling.repetition_penalty = 1.2f;
            requests[i] = enqueue(&decoder, &request);
        }
        for (int i = 0; i < 6; i++) {
            tn_response *response = await(&decoder, requests[i]);
            if (depth == 1) {
                first[i] = response;
                continue;
            }
            assert_same_answer(first[i], response);
            tn_response_destroy(response);
            tn_response_destroy(first[i]);
        }
        assert_no_block_left(&decoder);
    }
    tn_test_decoder_close(&decoder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_cpu_no_answer_depends_on_batch_chunks_cache_or_threads),
        cmocka_unit_test(on_cpu_nor_with_half_precision_weights_and_cache),
        cmocka_unit_test(on_cpu_nor_with_any_type_of_cache),
        cmocka_unit_test(on_ref_no_answer_depends_on_batch_chunks_or_cache),
        cmocka_unit_test(on_the_asynchronous_device_depth_two_equals_depth_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
