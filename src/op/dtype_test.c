/* SPDX-License-Identifier: Apache-2.0
 *
 * dtype_test.c: element conversion against ml_dtypes (scripts/golden/op.py) and hand-worked values.
 */
#include "op/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void read_golden(const char *name, void *out, size_t size_bytes) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/op/%s", TN_TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(out, 1, size_bytes, file), size_bytes);
    assert_int_equal(fgetc(file), EOF);
    (void)fclose(file);
}

static void small_floats_convert_as_ml_dtypes_does(void **state) {
    (void)state;
    static const struct {
        tn_dtype dtype;
        int num_codes;
    } formats[] = {
        {TN_FLOAT8_E4M3FN, 256}, {TN_FLOAT8_E4M3FNUZ, 256}, {TN_FLOAT8_E5M2, 256}, {TN_FLOAT8_E5M2FNUZ, 256}, {TN_FLOAT4_E2M1, 16}};
    static uint8_t golden[4 * (1024 + 1024) + 64 + 1024];
    static float cases[1024];
    read_golden("small_floats.bin", golden, sizeof golden);
    read_golden("rounding_cases.bin", cases, sizeof cases);
    const uint8_t *at = golden;
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        tn_dtype dtype = formats[f].dtype;
        for (int code = 0; code < formats[f].num_codes; code++, at += 4) {
            uint8_t byte = (uint8_t)code;
            float expected, got = (float)tn_dtype_load(dtype, &byte, 0);
            memcpy(&expected, at, 4);
            if (isnan(expected))
                assert_true(isnan(got));
            else
                assert_memory_equal(&got, &expected, 4);
        }
        for (int i = 0; i < 1024; i++, at++) {
            uint8_t code = 0;
            tn_dtype_store(dtype, &code, 0, (double)cases[i]);
            if (code != *at) fail_msg("%s: %.9g gave code %d, expected %d", tn_dtype_name(dtype), (double)cases[i], code, *at);
        }
    }
}

static void every_half_and_bfloat16_survives_the_way_through_float(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float half = tn_f32_from_f16((uint16_t)bits), brain = tn_f32_from_bf16((uint16_t)bits);
        uint16_t stored = 0;
        if (isnan(half))
            assert_true(isnan(tn_f32_from_f16(tn_f16_from_f32(half))));
        else
            assert_int_equal(tn_f16_from_f32(half), bits);
        if (isnan(brain))
            assert_true(isnan(tn_f32_from_bf16(tn_bf16_from_f32(brain))));
        else
            assert_int_equal(tn_bf16_from_f32(brain), bits);
        if (!isnan(half)) tn_dtype_store(TN_FLOAT16, &stored, 0, (double)half);
        if (!isnan(half)) assert_int_equal(stored, bits);
    }
}

static void halves_round_to_even_and_overflow_to_infinity(void **state) {
    (void)state;
    assert_int_equal(tn_f16_from_f32(1.0f + 0x1p-11f), 0x3c00);
    assert_int_equal(tn_f16_from_f32(1.0f + 0x3p-11f), 0x3c02);
    assert_int_equal(tn_f16_from_f32(65519.0f), 0x7bff);
    assert_int_equal(tn_f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(tn_f16_from_f32(-1e30f), 0xfc00);
    assert_int_equal(tn_f16_from_f32(0x1p-25f), 0);
    assert_int_equal(tn_f16_from_f32(0x1.8p-25f), 1);
    assert_int_equal(tn_bf16_from_f32(1.0f + 0x1p-8f), 0x3f80);
    assert_int_equal(tn_bf16_from_f32(3.4e38f), 0x7f80);
}

static void a_double_is_rounded_once_on_its_way_to_half(void **state) {
    (void)state;
    uint16_t bits;
    tn_dtype_store(TN_FLOAT16, &bits, 0, 1.0 + 0x1p-11 + 0x1p-40); /* through float it would round down to the tie, then to even */
    assert_int_equal(bits, 0x3c01);
}

static void integers_saturate_and_nan_becomes_zero(void **state) {
    (void)state;
    int8_t i8[1];
    uint8_t u8[1];
    int64_t i64[1];
    uint64_t u64[1];
    tn_dtype_store(TN_INT8, i8, 0, 127.6), assert_int_equal(i8[0], 127);
    tn_dtype_store(TN_INT8, i8, 0, -1e9), assert_int_equal(i8[0], -128);
    tn_dtype_store(TN_INT8, i8, 0, 2.5), assert_int_equal(i8[0], 2);
    tn_dtype_store(TN_UINT8, u8, 0, -3.0), assert_int_equal(u8[0], 0);
    tn_dtype_store(TN_UINT8, u8, 0, 255.5), assert_int_equal(u8[0], 255);
    tn_dtype_store(TN_INT64, i64, 0, 1e30), assert_true(i64[0] == INT64_MAX);
    tn_dtype_store(TN_INT64, i64, 0, -INFINITY), assert_true(i64[0] == INT64_MIN);
    tn_dtype_store(TN_UINT64, u64, 0, 1e30), assert_true(u64[0] == UINT64_MAX);
    tn_dtype_store(TN_INT64, i64, 0, (double)NAN), assert_int_equal(i64[0], 0);
}

static void small_integers_are_packed_low_bits_first(void **state) {
    (void)state;
    uint8_t bytes[2] = {0, 0};
    for (int i = 0; i < 4; i++) tn_dtype_store(TN_INT4, bytes, i, i - 2);
    assert_int_equal(bytes[0], 0xfe);
    assert_int_equal(bytes[1], 0x10);
    for (int i = 0; i < 4; i++) assert_true(tn_dtype_load(TN_INT4, bytes, i) == i - 2);
    uint8_t pairs = 0;
    for (int i = 0; i < 4; i++) tn_dtype_store(TN_UINT2, &pairs, i, i);
    assert_int_equal(pairs, 0xe4);
    assert_true(tn_dtype_load(TN_INT2, &pairs, 2) == -2.0);
}

static void powers_of_two_scales_round_to_the_nearest(void **state) {
    (void)state;
    static const struct {
        double value;
        uint8_t code;
    } cases[] = {{1.0, 127}, {1.4, 127}, {1.6, 128}, {0.0, 0}, {-5.0, 0}, {1e300, 254}, {(double)NAN, 255}, {0.25, 125}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t code;
        tn_dtype_store(TN_FLOAT8_E8M0, &code, 0, cases[i].value);
        assert_int_equal(code, cases[i].code);
    }
    assert_true(tn_dtype_load(TN_FLOAT8_E8M0, &cases[0].code, 0) == 1.0);
}

static void names_are_found_in_all_spellings(void **state) {
    (void)state;
    for (int i = TN_DTYPE_NONE + 1; i < TN_NUM_DTYPES; i++) assert_int_equal(tn_dtype_find(tn_dtype_name((tn_dtype)i)), i);
    assert_int_equal(tn_dtype_find("F32"), TN_FLOAT32);
    assert_int_equal(tn_dtype_find("BF16"), TN_BFLOAT16);
    assert_int_equal(tn_dtype_find("fp8"), TN_FLOAT8_E4M3FN);
    assert_int_equal(tn_dtype_find("float31"), TN_DTYPE_NONE);
    assert_null(tn_dtype_name(TN_NUM_DTYPES));
    assert_string_equal(tn_dtype_get_info((tn_dtype)-1)->name, "none");
}

static void matrix_sizes_are_padded_by_row_and_refused_on_overflow(void **state) {
    (void)state;
    size_t bytes = 0;
    assert_true(tn_dtype_matrix_bytes(TN_INT4, 3, 5, &bytes));
    assert_int_equal(bytes, 9);
    assert_true(tn_dtype_matrix_bytes(TN_Q15_32, 2, 33, &bytes));
    assert_int_equal(bytes, 2 * 192);
    assert_false(tn_dtype_matrix_bytes(TN_FLOAT32, INT64_MAX, 4, &bytes));
    assert_false(tn_dtype_matrix_bytes(TN_FLOAT32, -1, 4, &bytes));
    assert_false(tn_dtype_matrix_bytes(TN_DTYPE_NONE, 1, 1, &bytes));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_floats_convert_as_ml_dtypes_does),
        cmocka_unit_test(every_half_and_bfloat16_survives_the_way_through_float),
        cmocka_unit_test(halves_round_to_even_and_overflow_to_infinity),
        cmocka_unit_test(a_double_is_rounded_once_on_its_way_to_half),
        cmocka_unit_test(integers_saturate_and_nan_becomes_zero),
        cmocka_unit_test(small_integers_are_packed_low_bits_first),
        cmocka_unit_test(powers_of_two_scales_round_to_the_nearest),
        cmocka_unit_test(names_are_found_in_all_spellings),
        cmocka_unit_test(matrix_sizes_are_padded_by_row_and_refused_on_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
