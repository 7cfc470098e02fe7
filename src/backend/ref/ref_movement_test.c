/* SPDX-License-Identifier: Apache-2.0
 *
 * ref_movement_test.c: kernels that move values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "backend/conformance/problem_builder.h"

static tn_problem_builder b;

static void run(void) {
    assert_int_equal(tn_ref_run(tn_build_problem(&b), b.buffers, b.symbols, NULL), TN_OK);
}

static void shuffle_transposes_reshapes_and_transposes(void **state) {
    (void)state;
    const int32_t x[] = {0, 1, 2, 3, 4, 5}; /* [2, 3] → [3, 2] = 0 3 1 4 2 5 → [2, 3] = 0 3 1 | 4 2 5 → [3, 2] */
    int32_t y[6];
    tn_shuffle_params params = {.first = TN_DIMS(1, 0), .reshape = TN_DIMS(2, 3), .has_reshape = true, .second = TN_DIMS(1, 0)};
    tn_build_begin(&b, TN_OP_SHUFFLE, &params);
    tn_build_input(&b, TN_INT32, x, TN_DIMS(2, 3));
    tn_build_output(&b, TN_INT32, y, TN_DIMS(3, 2));
    run();
    assert_memory_equal(y, ((int32_t[]){0, 4, 3, 2, 1, 5}), sizeof y);
}

static void shuffle_of_three_axes_uses_the_permutation_the_right_way_round(void **state) {
    (void)state;
    int32_t x[24], y[24];
    for (int i = 0; i < 24; i++) x[i] = i;
    tn_shuffle_params params = {.first = TN_DIMS(2, 0, 1)}; /* y[k][i][j] = x[i][j][k] */
    tn_build_begin(&b, TN_OP_SHUFFLE, &params);
    tn_build_input(&b, TN_INT32, x, TN_DIMS(2, 3, 4));
    tn_build_output(&b, TN_INT32, y, TN_DIMS(4, 2, 3));
    run();
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 4; k++) assert_int_equal(y[(k * 2 + i) * 3 + j], x[(i * 3 + j) * 4 + k]);
    params = (tn_shuffle_params){.second = TN_DIMS(2, 0, 1)};
    tn_build_begin(&b, TN_OP_SHUFFLE, &params);
    tn_build_input(&b, TN_INT32, x, TN_DIMS(2, 3, 4));
    tn_build_output(&b, TN_INT32, y, TN_DIMS(4, 2, 3));
    run();
    assert_int_equal(y[(3 * 2 + 1) * 3 + 2], x[(1 * 3 + 2) * 4 + 3]);
}

static void slice_steps_backwards_and_reads_host_tensors(void **state) {
    (void)state;
    const float x[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    float y[3];
    tn_slice_params params = {.start = TN_DIMS(9), .size = TN_DIMS(3), .stride = TN_DIMS(-4)};
    tn_build_begin(&b, TN_OP_SLICE, &params);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(10));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(3));
    run();
    assert_true(y[0] == 9 && y[1] == 5 && y[2] == 1);
    tn_build_begin(&b, TN_OP_SLICE, &params);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(10));
    tn_build_input(&b, TN_INT64, ((int64_t[]){4}), TN_DIMS(1));
    tn_build_absent(&b);
    tn_build_input(&b, TN_INT64, ((int64_t[]){2}), TN_DIMS(1));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(3));
    run();
    assert_true(y[0] == 4 && y[1] == 6 && y[2] == 8);
    b.symbols[b.operands[4].dims[0]] = 4; /* the last would be element 10 */
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_ref_run(tn_build_problem(&b), b.buffers, b.symbols, diag), TN_INVALID_DATA);
    tn_diag_entry entry;
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_string_equal(entry.message, "cannot slice axis 0: elements 4 to 10 of 10");
    tn_diag_destroy(diag);
}

static void concatenation_interleaves_along_inner_axes(void **state) {
    (void)state;
    int64_t y[6];
    tn_concatenation_params params = {.axis = 1};
    tn_build_begin(&b, TN_OP_CONCATENATION, &params);
    tn_build_input(&b, TN_INT64, ((int64_t[]){1, 2}), TN_DIMS(2, 1));
    tn_build_input(&b, TN_INT64, ((int64_t[]){10, 11, 20, 21}), TN_DIMS(2, 2));
    tn_build_output(&b, TN_INT64, y, TN_DIMS(2, 3));
    run();
    assert_memory_equal(y, ((int64_t[]){1, 10, 11, 2, 20, 21}), sizeof y);
}

static void gather_takes_rows_elements_and_tuples(void **state) {
    (void)state;
    const float x[] = {0, 1, 2, 10, 11, 12};
    float y[8];
    tn_gather_params params = {.mode = TN_GATHER_DEFAULT, .axis = 1};
    tn_build_begin(&b, TN_OP_GATHER, &params);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(2, 3));
    tn_build_input(&b, TN_INT32, ((int32_t[]){2, 0, 7, -1}), TN_DIMS(2, 2));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2, 2, 2));
    run();
    assert_memory_equal(y, ((float[]){2, 0, 0, 0, 12, 10, 0, 0}), sizeof y);

    params = (tn_gather_params){.mode = TN_GATHER_ELEMENT, .axis = 0};
    tn_build_begin(&b, TN_OP_GATHER, &params);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(2, 3));
    tn_build_input(&b, TN_INT64, ((int64_t[]){1, 0, 1}), TN_DIMS(1, 3));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(1, 3));
    run();
    assert_memory_equal(y, ((float[]){10, 1, 12}), 12);

    params.mode = TN_GATHER_ND;
    tn_build_begin(&b, TN_OP_GATHER, &params);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(2, 3));
    tn_build_input(&b, TN_INT64, ((int64_t[]){1, 2, 0, 1}), TN_DIMS(2, 2));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2));
    run();
    assert_memory_equal(y, ((float[]){12, 1}), 8);
}

static void gather_decodes_rows_of_an_encoded_weight(void **state) {
    (void)state;
    tn_encoding encoding;
    assert_int_equal(tn_encoding_from_gguf(TN_GGUF_Q8_0, &encoding), TN_OK);
    float rows[3 * 96], y[2 * 96], expected[3 * 96];
    uint8_t blocks[9 * 34];
    for (int i = 0; i < 3 * 96; i++) rows[i] = (float)(i % 17) - 8.0f;
    void *parts[TN_NUM_WEIGHT_PARTS] = {blocks};
    assert_int_equal(tn_encoding_encode(&encoding, rows, 3, 96, parts), TN_OK);
    tn_encoding_decode(&encoding, &(tn_weight_parts){{blocks}}, 3, 96, expected);
    tn_gather_params params = {0};
    tn_build_begin(&b, TN_OP_GATHER, &params);
    tn_build_weight(&b, &encoding, &(tn_weight_parts){{blocks}}, TN_DIMS(3, 96));
    tn_build_input(&b, TN_INT32, ((int32_t[]){2, 5}), TN_DIMS(2));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2, 96));
    run();
    assert_memory_equal(y, expected + 2 * 96, 96 * sizeof(float));
    for (int i = 96; i < 192; i++) assert_true(y[i] == 0.0f);
}

static void non_zero_counts_then_writes_compact_rows(void **state) {
    (void)state;
    int64_t indices[12], count[1];
    for (int i = 0; i < 12; i++) indices[i] = -7;
    tn_build_begin(&b, TN_OP_NON_ZERO, NULL);
    tn_build_input(&b, TN_FLOAT32, ((float[]){0, 3, 0, 0, -1, 2}), TN_DIMS(2, 3));
    tn_build_output(&b, TN_INT64, indices, TN_DIMS(2, 6));
    tn_build_output(&b, TN_INT64, count, TN_SCALAR);
    b.symbols[b.operands[1].dims[1]] = TN_SYM_UNKNOWN; /* as the runtime has it before the step */
    run();
    assert_int_equal(count[0], 3);
    assert_memory_equal(indices, ((int64_t[]){0, 1, 1, 1, 1, 2, -7}), 7 * sizeof *indices);
}

static void four_bit_rows_with_padding_move_whole(void **state) {
    (void)state;
    const uint8_t x[] = {0x21, 0x03, 0x54, 0x06}; /* 1 2 3 | 4 5 6, rows of two bytes */
    uint8_t y[6] = {0};
    tn_shuffle_params params = {.first = TN_DIMS(1, 0)};
    tn_build_begin(&b, TN_OP_SHUFFLE, &params);
    tn_build_input(&b, TN_UINT4, x, TN_DIMS(2, 3));
    tn_build_output(&b, TN_UINT4, y, TN_DIMS(3, 2));
    run();
    assert_memory_equal(y, ((uint8_t[]){0x41, 0x52, 0x63}), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffle_transposes_reshapes_and_transposes),
        cmocka_unit_test(shuffle_of_three_axes_uses_the_permutation_the_right_way_round),
        cmocka_unit_test(slice_steps_backwards_and_reads_host_tensors),
        cmocka_unit_test(concatenation_interleaves_along_inner_axes),
        cmocka_unit_test(gather_takes_rows_elements_and_tuples),
        cmocka_unit_test(gather_decodes_rows_of_an_encoded_weight),
        cmocka_unit_test(non_zero_counts_then_writes_compact_rows),
        cmocka_unit_test(four_bit_rows_with_padding_move_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
