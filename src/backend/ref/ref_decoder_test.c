/* SPDX-License-Identifier: Apache-2.0
 *
 * ref_decoder_test.c: norms, rotary positions, the paged cache and attention.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "backend/conformance/problem_builder.h"
#include "backend/ref/ref.h"
#include "op/quantized_rows.h"
#include "op/slot.h"

static tn_problem_builder b;

static void run(void) {
    assert_int_equal(tn_ref_run(tn_build_problem(&b), b.buffers, b.symbols, NULL), TN_OK);
}

static void assert_near(const float *got, const float *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(got[i] - expected[i]) <= 2e-6f * fmaxf(1.0f, fabsf(expected[i]))))
            fail_msg("element %zu is %.9g, expected %.9g", i, (double)got[i], (double)expected[i]);
}

static void norms_follow_their_formulas(void **state) {
    (void)state;
    const float x[] = {1, 2, 3, 6}, scale[] = {1, 1, 2, 2}, bias[] = {0, 1, 0, 0};
    float y[4];
    tn_normalization_params params = {.type = TN_NORMALIZATION_LAYER, .epsilon = 0.5};
    tn_build_begin(&b, TN_OP_NORMALIZATION, &params);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(1, 4));
    tn_build_input(&b, TN_FLOAT32, scale, TN_DIMS(4));
    tn_build_input(&b, TN_FLOAT32, bias, TN_DIMS(4));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(1, 4));
    run(); /* mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5, √4 = 2 */
    assert_near(y, (float[]){-1, 0.5f, 0, 3}, 4);
    params = (tn_normalization_params){.type = TN_NORMALIZATION_RMS, .epsilon = 3.5, .scale_offset = 1.0};
    tn_build_begin(&b, TN_OP_NORMALIZATION, &params);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(1, 4));
    tn_build_input(&b, TN_FLOAT32, scale, TN_DIMS(4));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(1, 4));
    run(); /* mean of squares 12.5, √16 = 4 */
    assert_near(y, (float[]){0.5f, 1, 2.25f, 4.5f}, 4);
}

static void a_residual_is_added_before_the_norm_and_kept(void **state) {
    (void)state;
    float x[70], residual[70], ones[70], sum[70], y[70];
    _Alignas(64) uint8_t row[512], expected[512];
    for (int i = 0; i < 70; i++) x[i] = (float)i, residual[i] = 1.0f - (float)(i % 2), ones[i] = 1.0f;
    tn_normalization_params params = {.type = TN_NORMALIZATION_RMS, .epsilon = 1e-5};
    for (int quantised = 0; quantised < 2; quantised++) {
        tn_build_begin(&b, TN_OP_NORMALIZATION, &params);
        tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(1, 70));
        tn_build_input(&b, TN_FLOAT32, ones, TN_DIMS(70));
        tn_build_absent(&b);
        tn_build_input(&b, TN_FLOAT32, residual, TN_DIMS(1, 70));
        tn_build_output(&b, quantised ? TN_Q15_32 : TN_FLOAT32, quantised ? (void *)row : y, TN_DIMS(1, 70));
        tn_build_output(&b, TN_FLOAT32, sum, TN_DIMS(1, 70));
        if (quantised) tn_build_epilogue(&b, (tn_epilogue){.kind = TN_EPILOGUE_QUANTIZE, .dtype = TN_Q15_32, .operand = -1});
        run();
    }
    double squares = 0.0;
    for (int i = 0; i < 70; i++) squares += (double)sum[i] * (double)sum[i];
    assert_true(sum[0] == 1.0f && sum[1] == 1.0f && sum[2] == 3.0f);
    assert_true(fabs((double)y[69] - 69.0 / sqrt(squares / 70.0 + 1e-5)) < 1e-6);
    tn_quantize_row(TN_Q15_32, y, 70, expected);
    assert_memory_equal(row, expected, tn_quantized_row_bytes(TN_Q15_32, 70));
}

static void rotary_turns_pairs_of_both_kinds(void **state) {
    (void)state;
    const float half_pi = 1.57079637f, frequencies[] = {half_pi, 0.0f};
    float table[8], y[6];
    tn_rotary_table_params table_params = {.scale = 2.0};
    tn_build_begin(&b, TN_OP_ROTARY_TABLE, &table_params);
    tn_build_input(&b, TN_INT32, ((int32_t[]){0, 1}), TN_DIMS(2));
    tn_build_input(&b, TN_FLOAT32, frequencies, TN_DIMS(2));
    tn_build_output(&b, TN_FLOAT32, table, TN_DIMS(2, 4));
    run();
    assert_near(table, (float[]){2, 2, 0, 0, -8.74e-8f, 2, 2, 0}, 8);
    for (int type = 0; type < 2; type++) {
        tn_rotary_params params = {.type = type, .head_dim = 6};
        tn_build_begin(&b, TN_OP_ROTARY, &params);
        tn_build_input(&b, TN_FLOAT32, ((float[]){1, 2, 3, 4, 5, 6}), TN_DIMS(1, 6));
        tn_build_input(&b, TN_FLOAT32, table + 4, TN_DIMS(1, 4));
        tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(1, 6));
        run(); /* pair 0 turns by 90°, pair 1 by 0°, both doubled; the last two stay */
        if (type == TN_ROTARY_HALVES)
            assert_near(y, (float[]){-6, 4, 2, 8, 5, 6}, 6);
        else
            assert_near(y, (float[]){-4, 2, 6, 8, 5, 6}, 6);
    }
}

static void minus_one_becomes_the_slots_last_token(void **state) {
    (void)state;
    tn_slot_layout layout = tn_slot_layout_make(8, 4);
    _Alignas(64) static uint8_t slots[3 * 8192];
    assert_true(layout.row_bytes <= 8192);
    ((tn_slot *)(void *)(slots + 2 * layout.row_bytes))->last_token = 7;
    tn_token_ids_params params = {.vocab_size = 8, .max_seq_len = 4};
    int32_t y[4];
    tn_build_begin(&b, TN_OP_TOKEN_IDS, &params);
    tn_build_input(&b, TN_INT32, ((int32_t[]){3, 4, -1, 5}), TN_DIMS(4));
    tn_build_input(&b, TN_INT32, ((int32_t[]){0, 2, 3}), TN_DIMS(3));
    tn_build_input(&b, TN_INT32, ((int32_t[]){0, 2}), TN_DIMS(2));
    tn_build_state(&b, slots, false);
    tn_build_output(&b, TN_INT32, y, TN_DIMS(4));
    run();
    assert_memory_equal(y, ((int32_t[]){3, 4, 7, 5}), sizeof y);
}

/* --- cache and attention: two sequences over a paged cache against plain arrays ------------------------------------------- */

enum { HEADS = 4, KV_HEADS = 2, K_DIM = 6, V_DIM = 10, PAGE = 16, LAYERS = 2, MAX_LEN = 40, TOKENS = 5 };

static float pseudo(int i) {
    return sinf((float)i * 12.9898f);
}

typedef struct world {
    float k[2][MAX_LEN][KV_HEADS * K_DIM], v[2][MAX_LEN][KV_HEADS * V_DIM];
    uint8_t cache[8 * 16384];
} world;
static _Alignas(64) world w;

static const int32_t block_table[] = {5, 1, 3, 0, 2, 6}, kv_length[] = {40, 19}, query_start[] = {0, 3, 5};

static void add_cache_inputs(void) {
    tn_build_input(&b, TN_INT32, query_start, TN_DIMS(3));
    tn_build_input(&b, TN_INT32, kv_length, TN_DIMS(2));
    tn_build_input(&b, TN_INT32, block_table, TN_DIMS(2, 3));
}

#define KV_PARAMS \
    .num_layers = LAYERS, .num_kv_heads = KV_HEADS, .k_dim = K_DIM, .v_dim = V_DIM, .tokens_per_block = PAGE, .cache_dtype = TN_FLOAT32

/* Writes all positions of both sequences through KV_CACHE_UPDATE, a sequence a call. */
static void fill_cache(void) {
    w = (world){0};
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < MAX_LEN * KV_HEADS * K_DIM; i++) ((float *)w.k[s])[i] = pseudo(i + 1000 * s);
        for (int i = 0; i < MAX_LEN * KV_HEADS * V_DIM; i++) ((float *)w.v[s])[i] = pseudo(i + 5000 + 1000 * s);
        tn_kv_cache_update_params params = {.layer = 1, KV_PARAMS};
        tn_build_begin(&b, TN_OP_KV_CACHE_UPDATE, &params);
        tn_build_input(&b, TN_FLOAT32, w.k[s], TN_DIMS(kv_length[s], KV_HEADS * K_DIM));
        tn_build_input(&b, TN_FLOAT32, w.v[s], TN_DIMS(kv_length[s], KV_HEADS * V_DIM));
        tn_build_state(&b, w.cache, false);
        tn_build_input(&b, TN_INT32, ((int32_t[]){0, kv_length[s]}), TN_DIMS(2));
        tn_build_input(&b, TN_INT32, &kv_length[s], TN_DIMS(1));
        tn_build_input(&b, TN_INT32, &block_table[s * 3], TN_DIMS(1, 3));
        tn_build_state(&b, w.cache, true);
        run();
    }
}

static void expect_attention(const tn_attention_params *params, const float *q, const float *sinks, const float *slopes, float *out) {
    for (int t = 0; t < TOKENS; t++)
        for (int h = 0; h < HEADS; h++) {
            int s = t >= 3, index = kv_length[s] - (query_start[s + 1] - t), g = h / (HEADS / KV_HEADS);
            double weights[MAX_LEN], sum = sinks != NULL ? exp((double)sinks[h]) : 0.0, result[V_DIM] = {0};
            for (int j = 0; j <= index; j++) {
                double dot = 0.0;
                for (int i = 0; i < K_DIM; i++) dot += (double)q[(t * HEADS + h) * K_DIM + i] * (double)w.k[s][j][g * K_DIM + i];
                dot *= params->scale;
                if (params->soft_cap > 0) dot = params->soft_cap * tanh(dot / params->soft_cap);
                if (slopes != NULL) dot += (double)slopes[h] * (j - index);
                bool seen = params->window == 0 || j > index - params->window || j < params->sink_tokens;
                weights[j] = seen ? exp(dot) : 0.0;
                sum += weights[j];
            }
            for (int j = 0; j <= index; j++)
                for (int i = 0; i < V_DIM; i++) result[i] += weights[j] / sum * (double)w.v[s][j][g * V_DIM + i];
            for (int i = 0; i < V_DIM; i++) out[(t * HEADS + h) * V_DIM + i] = (float)result[i];
        }
}

static void attention_sees_the_pages_of_its_sequence(void **state) {
    (void)state;
    static const tn_attention_params cases[] = {
        {.scale = 0.4},
        {.scale = 1.5, .soft_cap = 1.0},
        {.scale = 0.4, .window = 7},
        {.scale = 0.4, .window = 5, .sink_tokens = 3},
    };
    static const float sinks[] = {0.5f, -1, 0, 2}, slopes[] = {0.5f, 0.25f, 0.125f, 0.0625f};
    fill_cache();
    float q[TOKENS * HEADS * K_DIM], y[TOKENS * HEADS * V_DIM], expected[TOKENS * HEADS * V_DIM];
    for (int i = 0; i < TOKENS * HEADS * K_DIM; i++) q[i] = pseudo(i + 77);
    for (int i = 0; i < 8; i++) {
        tn_attention_params params = cases[i / 2];
        bool extras = i % 2 == 1;
        params.layer = 1, params.num_heads = HEADS, params.num_layers = LAYERS, params.num_kv_heads = KV_HEADS, params.k_dim = K_DIM;
        params.v_dim = V_DIM, params.tokens_per_block = PAGE, params.cache_dtype = TN_FLOAT32;
        tn_build_begin(&b, TN_OP_ATTENTION, &params);
        tn_build_input(&b, TN_FLOAT32, q, TN_DIMS(TOKENS, HEADS * K_DIM));
        tn_build_state(&b, w.cache, false);
        add_cache_inputs();
        if (extras) tn_build_input(&b, TN_FLOAT32, sinks, TN_DIMS(HEADS));
        if (extras) tn_build_input(&b, TN_FLOAT32, slopes, TN_DIMS(HEADS));
        tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(TOKENS, HEADS * V_DIM));
        run();
        expect_attention(&params, q, extras ? sinks : NULL, extras ? slopes : NULL, expected);
        assert_near(y, expected, TOKENS * HEADS * V_DIM);
    }
}

static void the_fused_form_equals_norm_rotary_update(void **state) {
    (void)state;
    enum { COLUMNS = HEADS * K_DIM + KV_HEADS * K_DIM + KV_HEADS * V_DIM };
    float qkv[TOKENS * COLUMNS], q[TOKENS * HEADS * K_DIM], table[TOKENS * K_DIM], norm[K_DIM];
    for (int i = 0; i < TOKENS * COLUMNS; i++) qkv[i] = pseudo(i);
    for (int i = 0; i < TOKENS * K_DIM; i++) table[i] = pseudo(i + 3);
    for (int i = 0; i < K_DIM; i++) norm[i] = 1.0f + pseudo(i);
    fill_cache();
    tn_qkv_cache_params params = {.layer = 1, .num_heads = HEADS, .rotary = TN_ROTARY_HALVES, .epsilon = 1e-6, KV_PARAMS};
    tn_build_begin(&b, TN_OP_QKV_CACHE, &params);
    tn_build_input(&b, TN_FLOAT32, qkv, TN_DIMS(TOKENS, COLUMNS));
    tn_build_input(&b, TN_FLOAT32, table, TN_DIMS(TOKENS, K_DIM));
    tn_build_absent(&b);
    tn_build_input(&b, TN_FLOAT32, norm, TN_DIMS(K_DIM));
    tn_build_state(&b, w.cache, false);
    add_cache_inputs();
    tn_build_output(&b, TN_FLOAT32, q, TN_DIMS(TOKENS, HEADS * K_DIM));
    tn_build_state(&b, w.cache, true);
    run();
    tn_kv_geometry geometry = TN_KV_GEOMETRY(&params);
    /* token 4 is index 18 of sequence 1: page 1, block 2, place 2; its second key head */
    const float *k = &qkv[4 * COLUMNS + HEADS * K_DIM + K_DIM], *turn = &table[4 * K_DIM];
    const float *stored = (const float *)(void *)(w.cache + tn_ref_kv_offset(&geometry, 2, 1, false, 1, 2));
    double squares = 0.0;
    for (int i = 0; i < K_DIM; i++) squares += (double)k[i] * (double)k[i];
    double inverse = 1.0 / sqrt(squares / K_DIM + 1e-6);
    for (int i = 0; i < 3; i++) {
        double first = (double)k[i] * inverse * (double)norm[i], second = (double)k[i + 3] * inverse * (double)norm[i + 3];
        assert_near(&stored[i], (float[]){(float)(first * (double)turn[i] - second * (double)turn[i + 3])}, 1);
        assert_near(&stored[i + 3], (float[]){(float)(second * (double)turn[i] + first * (double)turn[i + 3])}, 1);
    }
    const float *v = (const float *)(void *)(w.cache + tn_ref_kv_offset(&geometry, 2, 1, true, 0, 2));
    assert_memory_equal(v, &qkv[4 * COLUMNS + HEADS * K_DIM + KV_HEADS * K_DIM], V_DIM * sizeof(float));
    float first = qkv[0], second = qkv[3]; /* q has no norm here */
    assert_near(q, (float[]){first * table[0] - second * table[3]}, 1);
}

static void a_negative_block_drops_the_token(void **state) {
    (void)state;
    static float k[KV_HEADS * K_DIM], v[KV_HEADS * V_DIM];
    static uint8_t before[sizeof w.cache];
    fill_cache();
    memcpy(before, w.cache, sizeof before);
    tn_kv_cache_update_params params = {.layer = 0, KV_PARAMS};
    tn_build_begin(&b, TN_OP_KV_CACHE_UPDATE, &params);
    tn_build_input(&b, TN_FLOAT32, k, TN_DIMS(1, KV_HEADS * K_DIM));
    tn_build_input(&b, TN_FLOAT32, v, TN_DIMS(1, KV_HEADS * V_DIM));
    tn_build_state(&b, w.cache, false);
    tn_build_input(&b, TN_INT32, ((int32_t[]){0, 1}), TN_DIMS(2));
    tn_build_input(&b, TN_INT32, ((int32_t[]){1}), TN_DIMS(1));
    tn_build_input(&b, TN_INT32, ((int32_t[]){-1}), TN_DIMS(1, 1));
    tn_build_state(&b, w.cache, true);
    run();
    assert_memory_equal(before, w.cache, sizeof before);
}

static void copying_a_block_takes_its_first_tokens_of_all_layers(void **state) {
    (void)state;
    fill_cache();
    tn_kv_geometry g = {LAYERS, KV_HEADS, K_DIM, V_DIM, PAGE, TN_FLOAT32};
    tn_ref_kv_copy_blocks(&g, w.cache, &(tn_block_copy){.src = 5, .dst = 7, .num_tokens = 3}, 1);
    for (int token = 0; token < 4; token++) {
        const void *src = w.cache + tn_ref_kv_offset(&g, 5, 1, true, 1, token), *dst = w.cache + tn_ref_kv_offset(&g, 7, 1, true, 1, token);
        if (token < 3)
            assert_memory_equal(dst, src, V_DIM * sizeof(float));
        else
            assert_memory_not_equal(dst, src, V_DIM * sizeof(float));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_follow_their_formulas),
        cmocka_unit_test(a_residual_is_added_before_the_norm_and_kept),
        cmocka_unit_test(rotary_turns_pairs_of_both_kinds),
        cmocka_unit_test(minus_one_becomes_the_slots_last_token),
        cmocka_unit_test(attention_sees_the_pages_of_its_sequence),
        cmocka_unit_test(the_fused_form_equals_norm_rotary_update),
        cmocka_unit_test(a_negative_block_drops_the_token),
        cmocka_unit_test(copying_a_block_takes_its_first_tokens_of_all_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
