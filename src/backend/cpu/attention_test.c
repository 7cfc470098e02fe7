/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_test.c: attention over a paged cache against double arithmetic, and the bits that must not change with chunks of
 * the prompt, the size of blocks, threads or the instruction set level.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "backend/cpu/test_problem.h"

enum { HEADS = 6, GROUPS = 2, DIM = 32, LENGTH = 600 };

typedef struct world {
    float q[LENGTH * HEADS * DIM], k[LENGTH * GROUPS * DIM], v[LENGTH * GROUPS * DIM];
} world;
static world w;

typedef struct setting {
    int64_t window, sink_tokens, block;
    double soft_cap;
    bool with_sinks, with_slopes;
    tn_dtype cache_dtype;
    double tolerance; /* 0: float32's */
    int threads;
    const char *isa;
} setting;

/* Runs the prompt in pieces of `piece` tokens; out [LENGTH][HEADS · DIM]. The cache begins as NaNs. */
static void run(const setting *s, int64_t piece, float *out) {
    static float sinks[HEADS] = {0.5f, -1.0f, 0.0f, 2.0f, 1.0f, -3.0f}, slopes[HEADS] = {0.5f, 0.25f, 0.125f, 0.06f, 0.03f, 0.01f};
    tn_device *device = test_device_create(s->isa, s->threads);
    tn_kv_geometry geometry = {1, GROUPS, DIM, DIM, s->block, s->cache_dtype};
    int64_t num_blocks = (LENGTH + s->block - 1) / s->block;
    size_t block_bytes = tn_cpu_backend.kv_block_bytes(device, &geometry);
    char *cache = test_alloc(block_bytes * (size_t)num_blocks);
    int32_t *table = test_alloc((size_t)num_blocks * sizeof *table);
    memset(cache, 0xff, block_bytes * (size_t)num_blocks);
    for (int64_t i = 0; i < num_blocks; i++) table[i] = (int32_t)((i * 7 + 3) % num_blocks);
    for (int64_t i = 0; i < num_blocks && num_blocks % 7 == 0; i++) table[i] = (int32_t)i;
    for (int64_t first = 0; first < LENGTH; first += piece) {
        int64_t count = first + piece < LENGTH ? piece : LENGTH - first;
        int32_t query_start[2] = {0, (int32_t)count}, kv_length[1] = {(int32_t)(first + count)};
        test_problem t;
        test_problem_init(&t, TN_OP_KV_CACHE_UPDATE);
        t.params.kv_cache_update = (tn_kv_cache_update_params){0, 0, 1, GROUPS, DIM, DIM, s->block, s->cache_dtype};
        test_add_input(&t, TN_FLOAT32, TN_DIMS(count, GROUPS * DIM), w.k + first * GROUPS * DIM);
        test_add_input(&t, TN_FLOAT32, TN_DIMS(count, GROUPS * DIM), w.v + first * GROUPS * DIM);
        test_add_state(&t, TN_DTYPE_NONE, TN_SCALAR, cache);
        test_add_input(&t, TN_INT32, TN_DIMS(2), query_start);
        test_add_input(&t, TN_INT32, TN_DIMS(1), kv_length);
        test_add_input(&t, TN_INT32, TN_DIMS(1, num_blocks), table);
        test_add(&t, TN_DTYPE_NONE, TN_ROLE_STATE, TN_SCALAR, cache);
        assert_null(test_run(&t, device, &tn_cpu_tactic_kv_cache_update));

        test_problem_init(&t, TN_OP_ATTENTION);
        t.params.attention = (tn_attention_params){.num_heads = HEADS,
                                                   .scale = 0.2,
                                                   .soft_cap = s->soft_cap,
                                                   .window = s->window,
                                                   .sink_tokens = s->sink_tokens,
                                                   .num_layers = 1,
                                                   .num_kv_heads = GROUPS,
                                                   .k_dim = DIM,
                                                   .v_dim = DIM,
                                                   .tokens_per_block = s->block,
                                                   .cache_dtype = s->cache_dtype};
        test_add_input(&t, TN_FLOAT32, TN_DIMS(count, HEADS * DIM), w.q + first * HEADS * DIM);
        test_add_state(&t, TN_DTYPE_NONE, TN_SCALAR, cache);
        test_add_input(&t, TN_INT32, TN_DIMS(2), query_start);
        test_add_input(&t, TN_INT32, TN_DIMS(1), kv_length);
        test_add_input(&t, TN_INT32, TN_DIMS(1, num_blocks), table);
        if (s->with_sinks) test_add_input(&t, TN_FLOAT32, TN_DIMS(HEADS), sinks);
        if (!s->with_sinks && s->with_slopes) test_add_absent(&t);
        if (s->with_slopes) test_add_input(&t, TN_FLOAT32, TN_DIMS(HEADS), slopes);
        test_add_output(&t, TN_FLOAT32, TN_DIMS(count, HEADS * DIM), out + first * HEADS * DIM);
        assert_null(test_run(&t, device, &tn_cpu_tactic_attention));
    }
    free(cache);
    free(table);
    tn_cpu_backend.device_destroy(device);
}

static void expected_row(const setting *s, int64_t token, int head, double out[DIM]) {
    static const double sinks[HEADS] = {0.5, -1.0, 0.0, 2.0, 1.0, -3.0}, slopes[HEADS] = {0.5, 0.25, 0.125, 0.06, 0.03, 0.01};
    double sum = s->with_sinks ? exp(sinks[head]) : 0.0;
    int group = head / (HEADS / GROUPS);
    for (int d = 0; d < DIM; d++) out[d] = 0;
    for (int64_t j = 0; j <= token; j++) {
        if (s->window > 0 && j <= token - s->window && j >= s->sink_tokens) continue;
        double score = 0;
        for (int d = 0; d < DIM; d++) score += (double)w.q[(token * HEADS + head) * DIM + d] * (double)w.k[(j * GROUPS + group) * DIM + d];
        score *= 0.2;
        if (s->soft_cap > 0) score = s->soft_cap * tanh(score / s->soft_cap);
        if (s->with_slopes) score += slopes[head] * (double)(j - token);
        double weight = exp(score);
        sum += weight;
        for (int d = 0; d < DIM; d++) out[d] += weight * (double)w.v[(j * GROUPS + group) * DIM + d];
    }
    for (int d = 0; d < DIM; d++) out[d] /= sum;
}

static const setting settings[] = {
    {.block = 32, .cache_dtype = TN_FLOAT32},
    {.block = 16, .window = 37, .cache_dtype = TN_FLOAT32},
    {.block = 64, .window = 300, .sink_tokens = 5, .with_slopes = true, .cache_dtype = TN_FLOAT32},
    {.block = 32, .soft_cap = 3.0, .with_sinks = true, .cache_dtype = TN_FLOAT32},
    {.block = 32, .with_sinks = true, .cache_dtype = TN_FLOAT16, .tolerance = 2e-3},
    {.block = 16, .window = 37, .sink_tokens = 5, .cache_dtype = TN_INT16, .tolerance = 2e-4},
    {.block = 32, .with_slopes = true, .cache_dtype = TN_INT8, .tolerance = 3e-2},
    {.block = 32, .soft_cap = 3.0, .cache_dtype = TN_FLOAT8_E4M3FN, .tolerance = 0.2},
    {.block = 64, .cache_dtype = TN_BFLOAT16, .tolerance = 2e-2},
};
enum { NUM_SETTINGS = sizeof settings / sizeof settings[0] };
static float first_out[LENGTH * HEADS * DIM], second_out[LENGTH * HEADS * DIM];

static void attention_agrees_with_double(void **state) {
    (void)state;
    for (int i = 0; i < NUM_SETTINGS; i++) {
        double expected[DIM], tolerance = settings[i].tolerance > 0 ? settings[i].tolerance : 2e-6;
        run(&settings[i], LENGTH, first_out);
        for (int64_t token = 0; token < LENGTH; token += 13)
            for (int head = 0; head < HEADS; head++) {
                expected_row(&settings[i], token, head, expected);
                for (int d = 0; d < DIM; d++) {
                    double error = fabs((double)first_out[(token * HEADS + head) * DIM + d] - expected[d]);
                    if (!(error <= tolerance)) fail_msg("setting %d token %d head %d: error %g", i, (int)token, head, error);
                }
            }
    }
}

static void chunks_blocks_threads_and_levels_do_not_change_a_bit(void **state) {
    (void)state;
    static const char *const isas[] = {NULL, "avx2", "c"};
    for (int i = 0; i < NUM_SETTINGS; i++) {
        setting other = settings[i];
        run(&settings[i], LENGTH, first_out);
        for (int variant = 0; variant < 4; variant++) {
            static const int64_t pieces[] = {8, 24, 1, 257};
            other.block = variant % 2 == 0 ? 16 : 128;
            other.threads = 1 + variant % 2;
            other.isa = variant == 2 ? NULL : isas[variant % 3];
            memset(second_out, 0, sizeof second_out);
            run(&other, pieces[variant], second_out);
            assert_memory_equal(first_out, second_out, sizeof first_out);
        }
    }
}

int main(void) {
    test_fill(11, w.q, LENGTH * HEADS * DIM);
    test_fill(12, w.k, LENGTH * GROUPS * DIM);
    test_fill(13, w.v, LENGTH * GROUPS * DIM);
    for (int i = 0; i < LENGTH * HEADS * DIM; i++) w.q[i] *= 4.0f;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_agrees_with_double),
        cmocka_unit_test(chunks_blocks_threads_and_levels_do_not_change_a_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
