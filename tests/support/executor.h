/* SPDX-License-Identifier: Apache-2.0
 *
 * executor.h: what the tests of the running executor share: the golden model llama-gqa on a device (also as a group of tests:
 * *state is its decoder), requests, prompts, whole answers to compare.
 */
#ifndef TN_TESTS_SUPPORT_EXECUTOR_H_
#define TN_TESTS_SUPPORT_EXECUTOR_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <time.h>

#include "support/decoder.h"

#define MODEL TN_TEST_DATA "/models/llama-gqa"
enum { VOCAB = 320, MAX_SEQ_LEN = 512, MAX_BATCH = 16, MAX_NUM_TOKENS = 256 };

/* A prompt that depends on `seed` from its first token on. */
static inline void make_prompt(int32_t *ids, size_t count, uint32_t seed) {
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = (int32_t)(seed >> 8) % VOCAB;
    }
}

static inline void open_decoder(tn_test_decoder *decoder, const char *backend, const tn_device_options *device_options) {
    tn_model_options options;
    tn_model_options_init(&options);
    options.tokens_per_block = 16;
    options.max_num_tokens = MAX_NUM_TOKENS;
    options.max_batch_size = MAX_BATCH;
    tn_test_decoder_open(decoder, MODEL, backend, device_options, &options);
}

static inline tn_executor_options make_options(void) {
    tn_executor_options options;
    tn_executor_options_init(&options);
    return options;
}

static inline tn_request make_request(const int32_t *ids, size_t count, int32_t max_tokens) {
    tn_request request;
    tn_request_init(&request, ids, count, max_tokens);
    return request;
}

static inline void start(tn_test_decoder *decoder, int32_t chunk, int32_t depth) {
    tn_executor_options options;
    tn_executor_options_init(&options);
    options.max_chunk_tokens = chunk;
    options.pipeline_depth = depth;
    tn_test_decoder_start(decoder, &options);
}

static inline uint64_t enqueue(const tn_test_decoder *decoder, const tn_request *request) {
    uint64_t id;
    assert_int_equal(tn_executor_enqueue(decoder->executor, request, &id), TN_OK);
    return id;
}

static inline tn_response *await(const tn_test_decoder *decoder, uint64_t id) {
    tn_response *response;
    assert_int_equal(tn_executor_await(decoder->executor, id, TN_FOREVER, &response), TN_OK);
    return response;
}

/* A moment for the loop. */
static inline void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static inline int64_t num_steps(const tn_test_decoder *decoder) {
    tn_executor_info info;
    tn_executor_get_info(decoder->executor, &info);
    return info.num_steps;
}

static inline void assert_no_block_left(const tn_test_decoder *decoder) {
    tn_executor_info info;
    tn_executor_get_info(decoder->executor, &info);
    assert_int_equal(info.num_free_blocks, info.num_blocks);
    assert_int_equal(info.num_active, 0);
    assert_int_equal(info.num_queued, 0);
}

static inline void assert_same_ids(const tn_response *a, const tn_response *b) {
    size_t count_a, count_b;
    const int32_t *ids_a = tn_response_ids(a, &count_a), *ids_b = tn_response_ids(b, &count_b);
    assert_int_equal(count_a, count_b);
    assert_memory_equal(ids_a, ids_b, count_a * sizeof *ids_a);
}

/* Tokens, and the logits of each generated one bit for bit. */
static inline void assert_same_answer(const tn_response *a, const tn_response *b) {
    assert_null(tn_response_error(a));
    assert_null(tn_response_error(b));
    assert_same_ids(a, b);
    size_t count;
    (void)tn_response_ids(a, &count);
    const float *logits_a = tn_response_generation_logits(a), *logits_b = tn_response_generation_logits(b);
    assert_true(logits_a != NULL && logits_b != NULL);
    if (memcmp(logits_a, logits_b, count * VOCAB * sizeof(float)) == 0) return;
    for (size_t i = 0; i < count * VOCAB; i++)
        if (logits_a[i] != logits_b[i])
            fail_msg("logit %zu of generated token %zu: %.9g and %.9g", i % VOCAB, i / VOCAB, (double)logits_a[i], (double)logits_b[i]);
}

/* --- the decoder of a group of tests ------------------------------------------------------------------------------------------ */

static inline int open_group(void **state, bool is_async) {
    static tn_test_decoder decoder;
    tn_device_options options;
    tn_device_options_init(&options);
    options.async = is_async;
    options.async_seed = 7;
    open_decoder(&decoder, "ref", &options);
    *state = &decoder;
    return 0;
}

static inline int open_synchronous(void **state) {
    return open_group(state, false);
}

static inline int open_asynchronous(void **state) {
    return open_group(state, true);
}

static inline int close_group(void **state) {
    tn_test_decoder_close(*state);
    return 0;
}

#endif
