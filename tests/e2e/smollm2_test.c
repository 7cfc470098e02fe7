/* SPDX-License-Identifier: Apache-2.0
 *
 * smollm2_test.c: a real quantised model on the cpu: its tokens, its log-probabilities, how far the default path and int8 are
 * from float32, and that a request's bits depend on nothing around it (ARCHITECTURE.md, "numbers").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "format/json.h"
#include "support/decoder.h"
#include "support/expected.h"
#include "support/model_file.h"
#include "tenon/tokenizer.h"

enum { NUM_KL_POSITIONS = 1100 };

/* Plain builds check the numbers. Sanitizers take ten times as long, and see in a few cases what they look for. */
#ifdef TN_SANITIZED
enum { IS_SANITIZED = 1, MOST_CASES = 2 };
#else
enum { IS_SANITIZED = 0, MOST_CASES = 1000 };
#endif

static char model_path[4096];
static tn_test_decoder float32_path, default_path, int8_path, int16_cache_path;
static tn_json *expected;

static void open_path(tn_test_decoder *decoder, tn_activation_precision activations, tn_dtype cache_dtype, int num_threads) {
    tn_model_options model;
    tn_model_options_init(&model);
    model.activations = activations;
    model.cache_dtype = cache_dtype;
    model.max_seq_len = 2048;
    tn_device_options device;
    tn_device_options_init(&device);
    device.num_threads = num_threads;
    tn_test_decoder_open(decoder, model_path, "cpu", &device, &model);
    tn_test_decoder_start(decoder, NULL);
}

static int open_all(void **state) {
    (void)state;
    assert_int_equal(tn_json_load(TN_TEST_DATA "/smollm2/expected.json", NULL, NULL, NULL, &expected), TN_OK);
    open_path(&float32_path, TN_ACTIVATIONS_FLOAT32, TN_DTYPE_NONE, 2);
    open_path(&default_path, TN_ACTIVATIONS_AUTO, TN_DTYPE_NONE, 2);
    open_path(&int8_path, TN_ACTIVATIONS_INT8, TN_DTYPE_NONE, 2);
    open_path(&int16_cache_path, TN_ACTIVATIONS_AUTO, TN_INT16, 2);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    tn_test_decoder_close(&float32_path);
    tn_test_decoder_close(&default_path);
    tn_test_decoder_close(&int8_path);
    tn_test_decoder_close(&int16_cache_path);
    tn_json_destroy(expected);
    return 0;
}

static void float32_path_gives_every_expected_token(void **state) {
    (void)state;
    tn_test_check_expected(&float32_path, expected, MOST_CASES, -1.0, 1e-3);
}

static void default_path_gives_the_tokens_of_float32_up_to_a_margin_of_a_hundredth(void **state) {
    (void)state;
    tn_test_check_expected(&default_path, expected, MOST_CASES, 0.01, 3e-3);
}

static void a_cache_of_int16_gives_the_same_tokens(void **state) {
    (void)state;
    tn_test_check_expected(&int16_cache_path, expected, MOST_CASES, 0.01, 3e-3);
}

static void prompts_get_the_ids_that_the_model_was_trained_with(void **state) {
    (void)state;
    tn_tokenizer *tokenizer;
    assert_int_equal(tn_tokenizer_load(model_path, NULL, &tokenizer), TN_OK);
    const tn_json_value *cases = tn_json_find(tn_json_root(expected), "cases");
    for (size_t c = 0; c < tn_json_count(cases); c++) {
        const tn_json_value *test = tn_json_at(cases, c);
        const char *kind, *text;
        size_t size, num_ids;
        static int32_t wanted[TN_TEST_MAX_IDS];
        int32_t *ids;
        assert_int_equal(tn_json_get_string(test, "kind", NULL, &kind, NULL), TN_OK);
        assert_int_equal(tn_json_get_string(test, "text", NULL, &text, &size), TN_OK);
        size_t num_wanted = tn_test_read_ids(tn_json_find(test, "ids"), wanted);
        tn_encode_options options;
        tn_encode_options_init(&options);
        if (strcmp(kind, "chat") == 0) {
            tn_chat_message message = {"user", text, size};
            tn_text_segment *segments;
            size_t num_segments;
            assert_int_equal(tn_tokenizer_render_chat(tokenizer, &message, 1, NULL, &segments, &num_segments), TN_OK);
            options.add_special = false;
            assert_int_equal(tn_tokenizer_encode_segments(tokenizer, segments, num_segments, &options, &ids, &num_ids), TN_OK);
            tn_tokenizer_free(tokenizer, segments);
        } else {
            assert_int_equal(tn_tokenizer_encode(tokenizer, text, size, &options, &ids, &num_ids), TN_OK);
        }
        assert_int_equal(num_ids, num_wanted);
        assert_memory_equal(ids, wanted, num_ids * sizeof *ids);
        tn_tokenizer_free(tokenizer, ids);
    }
    tn_tokenizer_destroy(tokenizer);
}

/* --- distance from float32 --------------------------------------------------------------------------------------------------------- */

static size_t text_ids(int32_t *ids, size_t max_ids) {
    tn_tokenizer *tokenizer;
    char *text;
    size_t size, count;
    int32_t *all;
    assert_int_equal(tn_file_read_all(TN_TEST_DATA "/smollm2/text.txt", 1 << 20, NULL, NULL, &text, &size), TN_OK);
    assert_int_equal(tn_tokenizer_load(model_path, NULL, &tokenizer), TN_OK);
    assert_int_equal(tn_tokenizer_encode(tokenizer, text, size, NULL, &all, &count), TN_OK);
    if (count > max_ids) count = max_ids;
    memcpy(ids, all, count * sizeof *ids);
    tn_tokenizer_free(tokenizer, all);
    tn_tokenizer_destroy(tokenizer);
    tn_free(NULL, text);
    return count;
}

static tn_response *context_logits(tn_test_decoder *decoder, const int32_t *ids, size_t count) {
    tn_request request;
    tn_request_init(&request, ids, count, 1);
    request.return_context_logits = true;
    return tn_test_answer(decoder, &request);
}

static void log_softmax(const float *logits, int64_t vocab_size, double *out) {
    double largest = -INFINITY, sum = 0.0;
    for (int64_t i = 0; i < vocab_size; i++) largest = fmax(largest, (double)logits[i]);
    for (int64_t i = 0; i < vocab_size; i++) sum += exp((double)logits[i] - largest);
    for (int64_t i = 0; i < vocab_size; i++) out[i] = (double)logits[i] - largest - log(sum);
}

static double mean_kl(const float *p_logits, const float *q_logits, size_t count, int64_t vocab_size) {
    double *p = malloc((size_t)vocab_size * sizeof *p), *q = malloc((size_t)vocab_size * sizeof *q), total = 0.0;
    assert_non_null(p);
    assert_non_null(q);
    for (size_t row = 0; row < count; row++) {
        log_softmax(p_logits + row * (size_t)vocab_size, vocab_size, p);
        log_softmax(q_logits + row * (size_t)vocab_size, vocab_size, q);
        for (int64_t i = 0; i < vocab_size; i++) total += exp(p[i]) * (p[i] - q[i]);
    }
    free(p);
    free(q);
    return total / (double)count;
}

static void default_path_and_int8_stay_near_float32(void **state) {
    (void)state;
    if (IS_SANITIZED) {
        print_message("skipped: 1,100 positions take sanitizers minutes\n");
        skip();
    }
    static int32_t ids[NUM_KL_POSITIONS];
    size_t count = text_ids(ids, NUM_KL_POSITIONS);
    assert_in_range(count, 1024, NUM_KL_POSITIONS);
    tn_executor_info info;
    tn_executor_get_info(float32_path.executor, &info);
    tn_response *exact = context_logits(&float32_path, ids, count), *near = context_logits(&default_path, ids, count);
    double default_kl = mean_kl(tn_response_context_logits(exact), tn_response_context_logits(near), count, info.vocab_size);
    tn_response_destroy(near);
    near = context_logits(&int8_path, ids, count);
    double int8_kl = mean_kl(tn_response_context_logits(exact), tn_response_context_logits(near), count, info.vocab_size);
    tn_response_destroy(near);
    near = context_logits(&int16_cache_path, ids, count);
    double int16_cache_kl = mean_kl(tn_response_context_logits(exact), tn_response_context_logits(near), count, info.vocab_size);
    tn_response_destroy(near);
    tn_response_destroy(exact);
    print_message("mean KL from float32 over %zu positions: default %.3g, with a cache of int16 %.3g, int8 %.3g\n", count, default_kl,
                  int16_cache_kl, int8_kl);
    assert_true(default_kl <= 1e-5);
    assert_true(int16_cache_kl <= 1e-5);
    assert_true(int8_kl <= 5e-3);
}

/* --- invariance ----------------------------------------------------------------------------------------------------------------------- */

enum { PROMPT = 61, GENERATED = 12 };

static tn_request probe_request(const int32_t *ids) {
    tn_request request;
    tn_request_init(&request, ids, PROMPT, GENERATED);
    request.return_generation_logits = true;
    return request;
}

static void check_probe(const tn_response *response, const tn_response *alone, size_t vocab_size) {
    size_t count, wanted;
    const int32_t *ids = tn_response_ids(response, &count), *alone_ids = tn_response_ids(alone, &wanted);
    assert_int_equal(count, wanted);
    assert_memory_equal(ids, alone_ids, count * sizeof *ids);
    assert_memory_equal(tn_response_generation_logits(response), tn_response_generation_logits(alone), count * vocab_size * sizeof(float));
}

static void answer_alone_in_chunks(int32_t chunk, const int32_t *ids, const tn_response *alone, size_t vocab_size) {
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.max_chunk_tokens = chunk;
    tn_test_decoder_start(&default_path, &options);
    tn_request request = probe_request(ids);
    tn_response *response = tn_test_answer(&default_path, &request);
    check_probe(response, alone, vocab_size);
    tn_response_destroy(response);
}

static void a_request_has_the_same_bits_alone_batched_chunked_reused_and_on_one_thread(void **state) {
    (void)state;
    static int32_t ids[NUM_KL_POSITIONS];
    text_ids(ids, NUM_KL_POSITIONS);
    tn_executor_info info;
    tn_executor_get_info(default_path.executor, &info);
    size_t vocab_size = (size_t)info.vocab_size;
    tn_request request = probe_request(ids);
    tn_response *alone = tn_test_answer(&default_path, &request);

    /* After a prefix hit: the same prompt again. */
    tn_response *response = tn_test_answer(&default_path, &request);
    tn_request_timings timings;
    tn_response_timings(response, &timings);
    assert_true(timings.num_reused_tokens > 0);
    check_probe(response, alone, vocab_size);
    tn_response_destroy(response);

    answer_alone_in_chunks(8, ids, alone, vocab_size);
    answer_alone_in_chunks(24, ids, alone, vocab_size);

    /* Among 15 others of other lengths. */
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.enable_block_reuse = false;
    tn_test_decoder_start(&default_path, &options);
    uint64_t request_ids[16];
    for (int i = 0; i < 16; i++) {
        tn_request other;
        tn_request_init(&other, ids + 3 * i + 1, (size_t)(5 + 17 * i), 8 + i);
        if (i == 9) other = request;
        assert_int_equal(tn_executor_enqueue(default_path.executor, &other, &request_ids[i]), TN_OK);
    }
    for (int i = 0; i < 16; i++) {
        assert_int_equal(tn_executor_await(default_path.executor, request_ids[i], TN_FOREVER, &response), TN_OK);
        if (i == 9) check_probe(response, alone, vocab_size);
        tn_response_destroy(response);
    }

    tn_test_decoder one_thread;
    open_path(&one_thread, TN_ACTIVATIONS_AUTO, TN_DTYPE_NONE, 1);
    response = tn_test_answer(&one_thread, &request);
    check_probe(response, alone, vocab_size);
    tn_response_destroy(response);
    tn_test_decoder_close(&one_thread);
    tn_response_destroy(alone);
}

int main(void) {
    if (tn_test_smollm2_path(model_path, sizeof model_path) == NULL) {
        puts(tn_test_no_model);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_get_the_ids_that_the_model_was_trained_with),
        cmocka_unit_test(float32_path_gives_every_expected_token),
        cmocka_unit_test(default_path_gives_the_tokens_of_float32_up_to_a_margin_of_a_hundredth),
        cmocka_unit_test(a_cache_of_int16_gives_the_same_tokens),
        cmocka_unit_test(default_path_and_int8_stay_near_float32),
        cmocka_unit_test(a_request_has_the_same_bits_alone_batched_chunked_reused_and_on_one_thread),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
