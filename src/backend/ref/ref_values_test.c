/* SPDX-License-Identifier: Apache-2.0
 *
 * ref_values_test.c: values, elementwise and reducing kernels on numbers worked by hand.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "backend/conformance/problem_builder.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static tn_problem_builder b;

static void run(void) {
    assert_int_equal(tn_ref_run(tn_build_problem(&b), b.buffers, b.symbols, NULL), TN_OK);
}

static void assert_near(const float *got, const float *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(got[i] - expected[i]) <= 1e-6f * fmaxf(1.0f, fabsf(expected[i]))))
            fail_msg("element %zu is %.9g, expected %.9g", i, (double)got[i], (double)expected[i]);
}

static void cast(tn_dtype from, const void *x, tn_dtype to, void *y, int64_t count) {
    static tn_cast_params params;
    params.to = to;
    tn_build_begin(&b, TN_OP_CAST, &params);
    tn_build_input(&b, from, x, TN_DIMS(count));
    tn_build_output(&b, to, y, TN_DIMS(count));
    run();
}

static void cast_truncates_and_saturates_floats_and_wraps_integers(void **state) {
    (void)state;
    const float x[] = {1.9f, -1.9f, 300.0f, NAN, -1e20f};
    int8_t i8[5];
    cast(TN_FLOAT32, x, TN_INT8, i8, 5);
    assert_memory_equal(i8, ((int8_t[]){1, -1, 127, 0, -128}), 5);
    uint8_t flags[5];
    cast(TN_FLOAT32, ((float[]){0.0f, 0.25f, -0.0f, NAN, -3.0f}), TN_BOOL, flags, 5);
    assert_memory_equal(flags, ((uint8_t[]){0, 1, 0, 1, 1}), 5);
    const int64_t wide[] = {(int64_t)1 << 60 | 5, -1, 200};
    cast(TN_INT64, wide, TN_INT8, i8, 3);
    assert_memory_equal(i8, ((int8_t[]){5, -1, -56}), 3);
    int64_t back[1];
    cast(TN_INT64, ((int64_t[]){INT64_MAX}), TN_INT64, back, 1);
    assert_true(back[0] == INT64_MAX);
    float half_way[1];
    cast(TN_INT64, ((int64_t[]){((int64_t)1 << 60) + ((int64_t)1 << 36) + 1}), TN_FLOAT32, half_way, 1);
    assert_true(half_way[0] == 0x1p60f + 0x1p37f); /* one rounding: through double it would be a tie and go down */
}

static void shape_and_fill_write_integers_and_floats(void **state) {
    (void)state;
    int64_t dims[2], line[4];
    float steps[3];
    tn_build_begin(&b, TN_OP_SHAPE, NULL);
    tn_build_input(&b, TN_Q15_32, NULL, TN_DIMS(7, 64));
    tn_build_output(&b, TN_INT64, dims, TN_DIMS(2));
    run();
    assert_true(dims[0] == 7 && dims[1] == 64);
    tn_fill_params params = {.dtype = TN_INT64, .rank = 2};
    tn_build_begin(&b, TN_OP_FILL, &params);
    tn_build_input(&b, TN_INT64, ((int64_t[]){2, 2}), TN_DIMS(2));
    tn_build_input(&b, TN_INT64, ((int64_t[]){((int64_t)1 << 60) + 1}), TN_SCALAR);
    tn_build_input(&b, TN_INT64, ((int64_t[]){3}), TN_SCALAR);
    tn_build_output(&b, TN_INT64, line, TN_DIMS(2, 2));
    run();
    assert_true(line[0] == ((int64_t)1 << 60) + 1 && line[1] == line[0] + 3 && line[2] == line[0]);
    tn_build_begin(&b, TN_OP_FILL, &params);
    tn_build_input(&b, TN_INT64, ((int64_t[]){3}), TN_DIMS(1));
    tn_build_input(&b, TN_FLOAT32, ((float[]){1.0f}), TN_SCALAR);
    tn_build_input(&b, TN_FLOAT32, ((float[]){-0.5f}), TN_SCALAR);
    tn_build_output(&b, TN_FLOAT32, steps, TN_DIMS(3));
    run();
    assert_near(steps, (float[]){1.0f, 0.5f, 0.0f}, 3);
}

static void activations_have_their_published_values(void **state) {
    (void)state;
    static const struct {
        tn_activation_type type;
        float at_one, at_minus_two;
    } cases[] = {
        {TN_ACTIVATION_NONE, 1.0f, -2.0f},
        {TN_ACTIVATION_RELU, 1.0f, 0.0f},
        {TN_ACTIVATION_SIGMOID, 0.731058579f, 0.119202922f},
        {TN_ACTIVATION_TANH, 0.761594156f, -0.964027580f},
        {TN_ACTIVATION_SILU, 0.731058579f, -0.238405844f},
        {TN_ACTIVATION_GELU_ERF, 0.841344746f, -0.045500264f},
        {TN_ACTIVATION_GELU_TANH, 0.841191990f, -0.045402306f},
        {TN_ACTIVATION_GELU_QUICK, 0.845795753f, -0.064341374f},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        tn_activation_params params = {.type = (int)cases[i].type};
        float y[2];
        tn_build_begin(&b, TN_OP_ACTIVATION, &params);
        tn_build_input(&b, TN_FLOAT32, ((float[]){1.0f, -2.0f}), TN_DIMS(2));
        tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2));
        run();
        assert_near(y, (float[]){cases[i].at_one, cases[i].at_minus_two}, 2);
    }
}

static tn_status elementwise(tn_elementwise_op op, tn_dtype dtype, const void *x, const void *y, tn_dtype to, void *out, int64_t count) {
    static tn_elementwise_params params;
    params.op = (int)op;
    tn_build_begin(&b, TN_OP_ELEMENTWISE, &params);
    tn_build_input(&b, dtype, x, TN_DIMS(count));
    tn_build_input(&b, dtype, y, TN_DIMS(count));
    tn_build_output(&b, to, out, TN_DIMS(count));
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_status status = tn_ref_run(tn_build_problem(&b), b.buffers, b.symbols, diag);
    tn_diag_destroy(diag);
    return status;
}

static void integer_division_follows_its_rules(void **state) {
    (void)state;
    const int64_t x[] = {7, -7, 7, -7, INT64_MIN}, y[] = {2, 2, -2, -2, -1};
    int64_t out[5];
    assert_int_equal(elementwise(TN_ELEMENTWISE_DIV, TN_INT64, x, y, TN_INT64, out, 5), TN_OK);
    assert_memory_equal(out, ((int64_t[]){3, -3, -3, 3, INT64_MIN}), sizeof out);
    assert_int_equal(elementwise(TN_ELEMENTWISE_FLOOR_DIV, TN_INT64, x, y, TN_INT64, out, 4), TN_OK);
    assert_memory_equal(out, ((int64_t[]){3, -4, -4, 3}), 4 * sizeof *out);
    assert_int_equal(elementwise(TN_ELEMENTWISE_MOD, TN_INT64, x, y, TN_INT64, out, 5), TN_OK);
    assert_memory_equal(out, ((int64_t[]){1, 1, -1, -1, 0}), sizeof out);
    assert_int_equal(elementwise(TN_ELEMENTWISE_POW, TN_INT64, ((int64_t[]){3, -2}), ((int64_t[]){4, 3}), TN_INT64, out, 2), TN_OK);
    assert_true(out[0] == 81 && out[1] == -8);
    assert_int_equal(elementwise(TN_ELEMENTWISE_MOD, TN_INT64, x, ((int64_t[]){0}), TN_INT64, out, 1), TN_INVALID_DATA);
}

static void float_rules_keep_nans_and_signs(void **state) {
    (void)state;
    float out[3];
    const float x[] = {-7.0f, NAN, 3.0f}, y[] = {2.0f, 1.0f, NAN};
    assert_int_equal(elementwise(TN_ELEMENTWISE_MOD, TN_FLOAT32, x, y, TN_FLOAT32, out, 1), TN_OK);
    assert_true(out[0] == 1.0f);
    assert_int_equal(elementwise(TN_ELEMENTWISE_MAX, TN_FLOAT32, x, y, TN_FLOAT32, out, 3), TN_OK);
    assert_true(out[0] == 2.0f && isnan(out[1]) && isnan(out[2]));
    uint8_t flags[3];
    assert_int_equal(elementwise(TN_ELEMENTWISE_LESS, TN_FLOAT32, x, y, TN_BOOL, flags, 3), TN_OK);
    assert_memory_equal(flags, ((uint8_t[]){1, 0, 0}), 3);
    assert_int_equal(elementwise(TN_ELEMENTWISE_XOR, TN_BOOL, ((uint8_t[]){0, 1, 1}), ((uint8_t[]){1, 1, 0}), TN_BOOL, flags, 3), TN_OK);
    assert_memory_equal(flags, ((uint8_t[]){1, 0, 1}), 3);
    assert_int_equal(elementwise(TN_ELEMENTWISE_AND, TN_FLOAT32, x, y, TN_FLOAT32, out, 1), TN_UNSUPPORTED);
}

static void dimensions_of_one_broadcast(void **state) {
    (void)state;
    tn_elementwise_params params = {.op = TN_ELEMENTWISE_SUB};
    float y[6];
    tn_build_begin(&b, TN_OP_ELEMENTWISE, &params);
    tn_build_input(&b, TN_FLOAT32, ((float[]){10, 20}), TN_DIMS(2, 1));
    tn_build_input(&b, TN_FLOAT32, ((float[]){1, 2, 3}), TN_DIMS(1, 3));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2, 3));
    run();
    assert_near(y, (float[]){9, 8, 7, 19, 18, 17}, 6);
    tn_build_begin(&b, TN_OP_SELECT, NULL);
    tn_build_input(&b, TN_BOOL, ((uint8_t[]){1, 0, 1}), TN_DIMS(1, 3));
    tn_build_input(&b, TN_FLOAT32, ((float[]){-1}), TN_DIMS(1, 1));
    tn_build_input(&b, TN_FLOAT32, ((float[]){10, 20}), TN_DIMS(2, 1));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2, 3));
    run();
    assert_near(y, (float[]){-1, 10, -1, -1, 20, -1}, 6);
}

static void unary_rounds_half_to_even_and_negates(void **state) {
    (void)state;
    tn_unary_params params = {.op = TN_UNARY_ROUND};
    float y[4];
    tn_build_begin(&b, TN_OP_UNARY, &params);
    tn_build_input(&b, TN_FLOAT32, ((float[]){0.5f, 1.5f, -2.5f, 2.6f}), TN_DIMS(4));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(4));
    run();
    assert_near(y, (float[]){0, 2, -2, 3}, 4);
    uint8_t flags[2];
    params.op = TN_UNARY_NOT;
    tn_build_begin(&b, TN_OP_UNARY, &params);
    tn_build_input(&b, TN_BOOL, ((uint8_t[]){0, 1}), TN_DIMS(2));
    tn_build_output(&b, TN_BOOL, flags, TN_DIMS(2));
    run();
    assert_memory_equal(flags, ((uint8_t[]){1, 0}), 2);
}

static void reduce_takes_any_axes(void **state) {
    (void)state;
    float x[24], y[6], sums[4];
    for (int i = 0; i < 24; i++) x[i] = (float)i; /* [2, 3, 4] */
    tn_reduce_params params = {.op = TN_REDUCE_AVG, .axes = 4};
    tn_build_begin(&b, TN_OP_REDUCE, &params);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(2, 3, 4));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2, 3));
    run();
    assert_near(y, (float[]){1.5f, 5.5f, 9.5f, 13.5f, 17.5f, 21.5f}, 6);
    params = (tn_reduce_params){.op = TN_REDUCE_SUM, .axes = 3, .keep_dims = true};
    tn_build_begin(&b, TN_OP_REDUCE, &params);
    tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(2, 3, 4));
    tn_build_output(&b, TN_FLOAT32, sums, TN_DIMS(1, 1, 4));
    run();
    assert_near(sums, (float[]){60, 66, 72, 78}, 4);
    int64_t product[1];
    params = (tn_reduce_params){.op = TN_REDUCE_PROD, .axes = 1};
    tn_build_begin(&b, TN_OP_REDUCE, &params);
    tn_build_input(&b, TN_INT64, ((int64_t[]){3, 5, (int64_t)1 << 55}), TN_DIMS(3));
    tn_build_output(&b, TN_INT64, product, TN_SCALAR);
    run();
    assert_true(product[0] == (int64_t)15 << 55);
}

static void sums_are_rounded_once(void **state) {
    (void)state;
    tn_reduce_params params = {.op = TN_REDUCE_SUM, .axes = 1};
    float y[1];
    tn_build_begin(&b, TN_OP_REDUCE, &params);
    tn_build_input(&b, TN_FLOAT32, ((float[]){0x1p30f, 1.0f, -0x1p30f}), TN_DIMS(3));
    tn_build_output(&b, TN_FLOAT32, y, TN_SCALAR);
    run();
    assert_true(y[0] == 1.0f);
}

static void softmax_goes_along_its_axis(void **state) {
    (void)state;
    tn_softmax_params params = {.axis = 0};
    float y[4];
    tn_build_begin(&b, TN_OP_SOFTMAX, &params);
    tn_build_input(&b, TN_FLOAT32, ((float[]){0.0f, 1000.0f, 0.0f, 1000.0f + 0.693147181f}), TN_DIMS(2, 2));
    tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2, 2));
    run();
    assert_true(y[0] == 0.5f && fabsf(y[1] - 1.0f / 3.0f) < 1e-4f && fabsf(y[1] + y[3] - 1.0f) < 1e-6f);
}

static void what_has_no_kernel_is_refused_with_the_reason(void **state) {
    (void)state;
    char reason[128] = "";
    tn_plugin_params params = {0};
    tn_build_begin(&b, TN_OP_PLUGIN, &params);
    assert_false(tn_ref_supports(tn_build_problem(&b), reason, sizeof reason));
    assert_string_equal(reason, "plugin has no kernel");
    tn_activation_params activation = {.type = TN_ACTIVATION_TANH};
    tn_build_begin(&b, TN_OP_ACTIVATION, &activation);
    tn_build_input(&b, TN_INT32, NULL, TN_DIMS(2));
    tn_build_output(&b, TN_INT32, NULL, TN_DIMS(2));
    assert_false(tn_ref_supports(tn_build_problem(&b), reason, sizeof reason));
    assert_string_equal(reason, "only relu of integers, in their own type");
    tn_build_begin(&b, TN_OP_ACTIVATION, &activation);
    tn_build_input(&b, TN_BOOL, NULL, TN_DIMS(2));
    tn_build_output(&b, TN_BOOL, NULL, TN_DIMS(2));
    assert_false(tn_ref_supports(tn_build_problem(&b), reason, sizeof reason));
    assert_string_equal(reason, "input 0: no bool");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cast_truncates_and_saturates_floats_and_wraps_integers),
        cmocka_unit_test(shape_and_fill_write_integers_and_floats),
        cmocka_unit_test(activations_have_their_published_values),
        cmocka_unit_test(integer_division_follows_its_rules),
        cmocka_unit_test(float_rules_keep_nans_and_signs),
        cmocka_unit_test(dimensions_of_one_broadcast),
        cmocka_unit_test(unary_rounds_half_to_even_and_negates),
        cmocka_unit_test(reduce_takes_any_axes),
        cmocka_unit_test(sums_are_rounded_once),
        cmocka_unit_test(softmax_goes_along_its_axis),
        cmocka_unit_test(what_has_no_kernel_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
