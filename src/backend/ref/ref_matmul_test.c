/* SPDX-License-Identifier: Apache-2.0
 *
 * ref_matmul_test.c: matrix products, their epilogues and expert groups on numbers worked by hand or by a plain loop.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "backend/conformance/problem_builder.h"
#include "op/quantized_rows.h"

static tn_problem_builder b;
static tn_matrix_multiply_params params;

static void run(void) {
    assert_int_equal(tn_ref_run(tn_build_problem(&b), b.buffers, b.symbols, NULL), TN_OK);
}

static void begin(tn_matrix_op op_a, tn_matrix_op op_b) {
    params = (tn_matrix_multiply_params){.op_a = (int)op_a, .op_b = (int)op_b};
    tn_build_begin(&b, TN_OP_MATRIX_MULTIPLY, &params);
}

static void every_orientation_gives_the_same_product(void **state) {
    (void)state;
    const float a[] = {1, 2, 3, 4, 5, 6}, a_transposed[] = {1, 4, 2, 5, 3, 6}; /* [2, 3] */
    const float w[] = {1, 0, 2, 1, 3, 1}, w_transposed[] = {1, 2, 3, 0, 1, 1}; /* [3, 2] */
    const float expected[] = {1 + 4 + 9, 0 + 2 + 3, 4 + 10 + 18, 0 + 5 + 6};
    for (int i = 0; i < 4; i++) {
        float y[4];
        begin(i & 1 ? TN_MATRIX_TRANSPOSE : TN_MATRIX_NONE, i & 2 ? TN_MATRIX_TRANSPOSE : TN_MATRIX_NONE);
        tn_build_input(&b, TN_FLOAT32, i & 1 ? a_transposed : a, i & 1 ? TN_DIMS(3, 2) : TN_DIMS(2, 3));
        tn_build_input(&b, TN_FLOAT32, i & 2 ? w_transposed : w, i & 2 ? TN_DIMS(2, 3) : TN_DIMS(3, 2));
        tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2, 2));
        run();
        assert_memory_equal(y, expected, sizeof y);
    }
}

static void vectors_drop_their_dimension(void **state) {
    (void)state;
    const float v[] = {1, 10}, m[] = {1, 2, 3, 4};
    float y[2], dot[1];
    begin(TN_MATRIX_VECTOR, TN_MATRIX_NONE);
    tn_build_input(&b, TN_FLOAT32, v, TN_DIMS(2));
    tn_build_input(&b, TN_FLOAT32, m, TN_DIMS(2, 2));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2));
    run();
    assert_true(y[0] == 31 && y[1] == 42);
    begin(TN_MATRIX_NONE, TN_MATRIX_VECTOR);
    tn_build_input(&b, TN_FLOAT32, m, TN_DIMS(2, 2));
    tn_build_input(&b, TN_FLOAT32, v, TN_DIMS(2));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2));
    run();
    assert_true(y[0] == 21 && y[1] == 43);
    begin(TN_MATRIX_VECTOR, TN_MATRIX_VECTOR);
    tn_build_input(&b, TN_FLOAT32, v, TN_DIMS(2));
    tn_build_input(&b, TN_FLOAT32, v, TN_DIMS(2));
    tn_build_output(&b, TN_FLOAT32, dot, TN_SCALAR);
    run();
    assert_true(dot[0] == 101);
}

static void leading_dimensions_broadcast(void **state) {
    (void)state;
    const float a[] = {1, 2, 3, 4}, w[] = {1, 1, 10, 10, 100, 100}; /* [2, 1, 1, 2] · [3, 2, 1] → [2, 3, 1, 1] */
    float y[6];
    begin(TN_MATRIX_NONE, TN_MATRIX_NONE);
    tn_build_input(&b, TN_FLOAT32, a, TN_DIMS(2, 1, 1, 2));
    tn_build_input(&b, TN_FLOAT32, w, TN_DIMS(3, 2, 1));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2, 3, 1, 1));
    run();
    assert_memory_equal(y, ((float[]){3, 30, 300, 7, 70, 700}), sizeof y);
}

static float pseudo(int i) {
    return sinf((float)i * 12.9898f) * 2.0f;
}

/* 37 rows, 70 outputs, 96 deep: no dimension fits a tile. */
static void encoded_weights_and_quantised_rows_multiply_as_their_values(void **state) {
    (void)state;
    enum { ROWS = 37, OUTPUTS = 70, DEPTH = 96 };
    static const uint32_t types[] = {TN_GGUF_Q4_0, TN_GGUF_Q4_1, TN_GGUF_Q8_0};
    static float x[ROWS * DEPTH], weight[OUTPUTS * DEPTH], y[ROWS * OUTPUTS], x_back[DEPTH];
    static uint8_t blocks[OUTPUTS * DEPTH * 2];
    static _Alignas(64) uint8_t rows[ROWS * 512];
    for (int i = 0; i < ROWS * DEPTH; i++) x[i] = pseudo(i);
    size_t row_bytes = tn_quantized_row_bytes(TN_Q15_32, DEPTH);
    for (int t = 0; t < ROWS; t++) tn_quantize_row(TN_Q15_32, x + t * DEPTH, DEPTH, rows + (size_t)t * row_bytes);
    for (size_t type = 0; type < 6; type++) {
        tn_encoding encoding;
        assert_int_equal(tn_encoding_from_gguf(types[type % 3], &encoding), TN_OK);
        for (int i = 0; i < OUTPUTS * DEPTH; i++) weight[i] = pseudo(i + 7);
        void *parts[TN_NUM_WEIGHT_PARTS] = {blocks};
        assert_int_equal(tn_encoding_encode(&encoding, weight, OUTPUTS, DEPTH, parts), TN_OK);
        tn_encoding_decode(&encoding, &(tn_weight_parts){{blocks}}, OUTPUTS, DEPTH, weight);
        begin(TN_MATRIX_NONE, TN_MATRIX_TRANSPOSE);
        tn_build_input(&b, type < 3 ? TN_FLOAT32 : TN_Q15_32, type < 3 ? (const void *)x : rows, TN_DIMS(ROWS, DEPTH));
        tn_build_weight(&b, &encoding, &(tn_weight_parts){{blocks}}, TN_DIMS(OUTPUTS, DEPTH));
        tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(ROWS, OUTPUTS));
        run();
        for (int t = 0; t < ROWS; t++) {
            memcpy(x_back, x + t * DEPTH, sizeof x_back);
            if (type >= 3) tn_dequantize_row(TN_Q15_32, rows + (size_t)t * row_bytes, DEPTH, x_back);
            for (int n = 0; n < OUTPUTS; n++) {
                double sum = 0.0;
                for (int k = 0; k < DEPTH; k++) sum += (double)x_back[k] * (double)weight[n * DEPTH + k];
                assert_true(fabs((double)y[t * OUTPUTS + n] - sum) < 1e-5);
            }
        }
    }
}

static void epilogues_apply_in_order(void **state) {
    (void)state;
    const float x[] = {1, 2}, w[] = {1, 0, 0, 1, 1, 1}; /* y = 1 2 3 */
    float y[3];
    begin(TN_MATRIX_NONE, TN_MATRIX_TRANSPOSE);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(1, 2));
    tn_build_input(&b, TN_FLOAT32, w, TN_DIMS(3, 2));
    tn_build_input(&b, TN_FLOAT32, ((float[]){-1, -5, 0}), TN_DIMS(3));
    tn_build_input(&b, TN_FLOAT32, ((float[]){10, 20, 30}), TN_DIMS(1, 3));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(1, 3));
    tn_build_epilogue(&b, (tn_epilogue){.kind = TN_EPILOGUE_BIAS, .operand = 2});
    tn_build_epilogue(&b, (tn_epilogue){.kind = TN_EPILOGUE_ACTIVATION, .activation = TN_ACTIVATION_RELU, .operand = -1});
    tn_build_epilogue(&b, (tn_epilogue){.kind = TN_EPILOGUE_SCALE, .value = 2.0, .operand = -1});
    tn_build_epilogue(&b, (tn_epilogue){.kind = TN_EPILOGUE_ADD, .operand = 3});
    run();
    assert_memory_equal(y, ((float[]){10, 20, 36}), sizeof y);
    b.problem.num_epilogues = 0;
    tn_build_epilogue(&b, (tn_epilogue){.kind = TN_EPILOGUE_SOFT_CAP, .value = 2.0, .operand = -1});
    run();
    assert_true(fabsf(y[2] - 2.0f * tanhf(1.5f)) < 1e-6f);
}

/* Weight row n gives output n + 1, so gate strips are 1…16, 33…48, up strips 17…32, 49…64. */
static void gated_pairs_strips_of_sixteen_and_quantises(void **state) {
    (void)state;
    float w[64], y[32], x[] = {1.0f};
    _Alignas(64) uint8_t row[256], expected[256];
    for (int n = 0; n < 64; n++) w[n] = (float)(n + 1);
    begin(TN_MATRIX_NONE, TN_MATRIX_TRANSPOSE);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(1, 1));
    tn_build_input(&b, TN_FLOAT32, w, TN_DIMS(64, 1));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(1, 32));
    tn_build_epilogue(&b, (tn_epilogue){.kind = TN_EPILOGUE_GATED_ACTIVATION, .activation = TN_ACTIVATION_RELU, .operand = -1});
    run();
    for (int i = 0; i < 32; i++) {
        int gate = i / 16 * 32 + i % 16 + 1;
        assert_true(y[i] == (float)(gate * (gate + 16)));
    }
    tn_build_epilogue(&b, (tn_epilogue){.kind = TN_EPILOGUE_QUANTIZE, .dtype = TN_Q8_32, .operand = -1});
    b.operands[2].dtype = TN_Q8_32;
    b.buffers[2] = row;
    run();
    tn_quantize_row(TN_Q8_32, y, 32, expected);
    assert_memory_equal(row, expected, tn_quantized_row_bytes(TN_Q8_32, 32));
}

static void grouped_rows_meet_their_expert(void **state) {
    (void)state;
    /* Two tokens, two choices each; experts 2 × 1. order: expert 0 has entries 1 and 2, expert 1 has 0 and 3. */
    const float x[] = {1, 100}, weight[] = {1, 2, 10, 20}, bias[] = {0, 0, 0.5f, 0.5f};
    const int32_t start[] = {0, 2, 4}, order[] = {1, 2, 0, 3};
    float y[8];
    tn_grouped_matmul_params grouped = {.top_k = 2};
    tn_build_begin(&b, TN_OP_GROUPED_MATMUL, &grouped);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(2, 1));
    tn_encoding plain = tn_encoding_plain(TN_FLOAT32);
    tn_build_weight(&b, &plain, &(tn_weight_parts){{weight}}, TN_DIMS(2, 2, 1));
    tn_build_input(&b, TN_INT32, start, TN_DIMS(3));
    tn_build_input(&b, TN_INT32, order, TN_DIMS(4));
    tn_build_input(&b, TN_FLOAT32, bias, TN_DIMS(2, 2));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(4, 2));
    tn_build_epilogue(&b, (tn_epilogue){.kind = TN_EPILOGUE_BIAS, .operand = 4});
    run();
    assert_memory_equal(y, ((float[]){1, 2, 100, 200, 10.5f, 20.5f, 1000.5f, 2000.5f}), sizeof y);

    float sum[4];
    tn_build_begin(&b, TN_OP_COMBINE, NULL);
    tn_build_input(&b, TN_FLOAT32, y, TN_DIMS(4, 2));
    tn_build_input(&b, TN_INT32, order, TN_DIMS(4));
    tn_build_input(&b, TN_FLOAT32, ((float[]){0.5f, 0.25f, 1, 2}), TN_DIMS(2, 2));
    tn_build_output(&b, TN_FLOAT32, sum, TN_DIMS(2, 2));
    run();
    /* token 0: choice 0 is entry 0 (expert 1), choice 1 is entry 1 (expert 0); token 1: entries 2 (expert 0) and 3 (expert 1) */
    assert_memory_equal(sum, ((float[]){0.5f * 10.5f + 0.25f, 0.5f * 20.5f + 0.5f, 100 + 2001, 200 + 4001}), sizeof sum);
}

static void route_sorts_tokens_by_expert(void **state) {
    (void)state;
    const float logits[] = {1, 3, 2, 0, 0, 0}; /* token 0: experts 1, 2; token 1: a tie, the lower ones */
    int32_t start[4], order[4];
    float scores[4];
    tn_route_params route = {.type = TN_ROUTE_TOPK_SOFTMAX, .top_k = 2, .scale = 1.0};
    tn_build_begin(&b, TN_OP_ROUTE, &route);
    tn_build_input(&b, TN_FLOAT32, logits, TN_DIMS(2, 3));
    tn_build_output(&b, TN_INT32, start, TN_DIMS(4));
    tn_build_output(&b, TN_INT32, order, TN_DIMS(4));
    tn_build_output(&b, TN_FLOAT32, scores, TN_DIMS(2, 2));
    run();
    assert_memory_equal(start, ((int32_t[]){0, 1, 3, 4}), sizeof start);
    assert_memory_equal(order, ((int32_t[]){2, 0, 3, 1}), sizeof order);
    assert_true(fabsf(scores[0] - 0.731058579f) < 1e-6f && fabsf(scores[1] - 0.268941421f) < 1e-6f && scores[2] == 0.5f);
    route = (tn_route_params){.type = TN_ROUTE_SOFTMAX_TOPK, .top_k = 2, .scale = 2.0};
    run();
    assert_true(fabsf(scores[0] - 2.0f * 0.665240956f) < 1e-6f && fabsf(scores[2] - 2.0f / 3.0f) < 1e-6f);
    route.renormalize = true;
    run();
    assert_true(fabsf(scores[0] - 2.0f * 0.731058579f) < 1e-6f);
    route.type = TN_ROUTE_SIGMOID_TOPK;
    run();
    assert_true(fabsf(scores[0] - 2.0f * 0.952574127f / (0.952574127f + 0.880797078f)) < 1e-6f);
}

static void route_chooses_among_the_best_groups(void **state) {
    (void)state;
    const float logits[] = {4, -9, 3, 2, 2.5f, -9}; /* groups {4, -9}, {3, 2}, {2.5, -9} */
    int32_t start[7], order[2];
    float scores[2];
    tn_route_params route = {.type = TN_ROUTE_SOFTMAX_TOPK, .top_k = 2, .scale = 1.0, .renormalize = true, .groups = 3, .top_groups = 1};
    tn_build_begin(&b, TN_OP_ROUTE, &route);
    tn_build_input(&b, TN_FLOAT32, logits, TN_DIMS(1, 6));
    tn_build_output(&b, TN_INT32, start, TN_DIMS(7));
    tn_build_output(&b, TN_INT32, order, TN_DIMS(2));
    tn_build_output(&b, TN_FLOAT32, scores, TN_DIMS(1, 2));
    run(); /* by its best expert: the first group, both of it */
    assert_memory_equal(start, ((int32_t[]){0, 1, 2, 2, 2, 2, 2}), sizeof start);
    route.type = TN_ROUTE_SIGMOID_TOPK;
    run(); /* by its two best: the second */
    assert_memory_equal(start, ((int32_t[]){0, 0, 0, 1, 2, 2, 2}), sizeof start);
    route.top_groups = 2;
    run(); /* the best of the first group, then of the second */
    assert_memory_equal(start, ((int32_t[]){0, 1, 1, 2, 2, 2, 2}), sizeof start);
    assert_true(scores[0] > scores[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_orientation_gives_the_same_product),
        cmocka_unit_test(vectors_drop_their_dimension),
        cmocka_unit_test(leading_dimensions_broadcast),
        cmocka_unit_test(encoded_weights_and_quantised_rows_multiply_as_their_values),
        cmocka_unit_test(epilogues_apply_in_order),
        cmocka_unit_test(gated_pairs_strips_of_sixteen_and_quantises),
        cmocka_unit_test(grouped_rows_meet_their_expert),
        cmocka_unit_test(route_sorts_tokens_by_expert),
        cmocka_unit_test(route_chooses_among_the_best_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
