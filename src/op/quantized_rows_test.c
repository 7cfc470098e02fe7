/* SPDX-License-Identifier: Apache-2.0
 *
 * quantized_rows_test.c: bytes of q15_32 and q8_32 rows, by hand.
 */
#include "op/quantized_rows.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_block_is_scaled_to_its_largest_magnitude(void **state) {
    (void)state;
    float x[40] = {0};
    x[0] = -32512.0f, x[1] = 228.0f, x[2] = 128.0f, x[3] = -129.0f; /* scale 1 */
    x[32] = 2.0f, x[33] = -1.0f;
    _Alignas(64) uint8_t row[256];
    memset(row, 0xee, sizeof row);
    assert_int_equal(tn_quantized_row_bytes(TN_Q15_32, 40), 192);
    tn_quantize_row(TN_Q15_32, x, 40, row);
    tn_quantized_row parts = tn_quantized_row_at(TN_Q15_32, row, 40);
    assert_true(parts.scale[0] == 1.0f && parts.scale[1] == 2.0f / 32512.0f);
    assert_int_equal(parts.sum[0], -32512 + 228 + 128 - 129);
    assert_int_equal(parts.sum[1], 32512 - 16256);
    assert_true(parts.scaled_sum[0] == (float)parts.sum[0]);
    assert_int_equal(parts.hi[0], -127), assert_int_equal(parts.lo[0], 0);
    assert_int_equal(parts.hi[1], 1), assert_int_equal(parts.lo[1], -28);
    assert_int_equal(parts.hi[2], 1), assert_int_equal(parts.lo[2], -128);
    assert_int_equal(parts.hi[3], -1), assert_int_equal(parts.lo[3], 127);
    for (size_t i = 34; i < 64; i++) assert_true(parts.hi[i] == 0 && parts.lo[i] == 0);
    for (size_t i = 152; i < 192; i++) assert_int_equal(row[i], 0);
    assert_int_equal(row[192], 0xee);
}

static void one_plane_keeps_127_levels(void **state) {
    (void)state;
    float x[3] = {-4.0f, 2.0f, 1.0f}, back[3];
    _Alignas(64) uint8_t row[128];
    tn_quantize_row(TN_Q8_32, x, 3, row);
    tn_quantized_row parts = tn_quantized_row_at(TN_Q8_32, row, 3);
    assert_int_equal(parts.hi[0], -127);
    assert_int_equal(parts.hi[1], 64); /* 63.5 rounds to even */
    assert_int_equal(parts.hi[2], 32);
    assert_int_equal(parts.sum[0], -31);
    tn_dequantize_row(TN_Q8_32, row, 3, back);
    assert_true(back[0] == parts.scale[0] * -127.0f && back[1] == parts.scale[0] * 64.0f);
}

static void fifteen_bits_lose_less_than_one_in_thirty_two_thousand(void **state) {
    (void)state;
    float x[96], back[96];
    _Alignas(64) uint8_t row[512];
    for (int i = 0; i < 96; i++) x[i] = sinf((float)i * 1.7f) * powf(10.0f, (float)(i / 32) * 8.0f - 8.0f);
    tn_quantize_row(TN_Q15_32, x, 96, row);
    tn_dequantize_row(TN_Q15_32, row, 96, back);
    for (int i = 0; i < 96; i++) {
        float largest = powf(10.0f, (float)(i / 32) * 8.0f - 8.0f);
        assert_true(fabsf(x[i] - back[i]) <= largest / 32500.0f);
    }
}

static void infinities_and_nans_show_in_the_scale_and_nowhere_else(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        float x[64];
        for (int i = 0; i < 64; i++) x[i] = 1.0f;
        x[5] = bad[b];
        _Alignas(64) uint8_t row[512];
        tn_quantize_row(TN_Q15_32, x, 64, row);
        tn_quantized_row parts = tn_quantized_row_at(TN_Q15_32, row, 64);
        const uint32_t nan_bits = 0x7fc00000;
        assert_memory_equal(&parts.scale[0], &nan_bits, 4);
        assert_memory_equal(&parts.scaled_sum[0], &nan_bits, 4);
        assert_int_equal(parts.sum[0], 0);
        for (int i = 0; i < 32; i++) assert_int_equal(parts.hi[i], 0);
        assert_true(parts.scale[1] == 1.0f / 32512.0f);
    }
}

static void extremes_of_float_stay_in_range(void **state) {
    (void)state;
    _Alignas(64) uint8_t row[512];
    const float largest[] = {FLT_MAX, FLT_MIN, FLT_TRUE_MIN, TN_QUANTIZED_LEAST, 1.9e-34f, 0.0f};
    for (size_t i = 0; i < sizeof largest / sizeof largest[0]; i++) {
        float x[4] = {largest[i], -largest[i], largest[i] / 2, 0.0f};
        bool is_zero = largest[i] < TN_QUANTIZED_LEAST;
        tn_quantize_row(TN_Q15_32, x, 4, row);
        tn_quantized_row parts = tn_quantized_row_at(TN_Q15_32, row, 4);
        assert_int_equal(parts.hi[0], is_zero ? 0 : 127);
        assert_int_equal(parts.hi[1], is_zero ? 0 : -127);
        assert_true(is_zero ? parts.scale[0] == 0.0f : parts.scale[0] >= FLT_MIN);
    }
}

static void a_row_made_in_pieces_has_the_same_bytes(void **state) {
    (void)state;
    float x[150];
    _Alignas(64) uint8_t whole[1024], pieces[1024];
    for (int i = 0; i < 150; i++) x[i] = cosf((float)i);
    memset(pieces, 0xee, sizeof pieces);
    tn_quantize_row(TN_Q8_32, x, 150, whole);
    for (int64_t begin = 0; begin < 150; begin += 64)
        tn_quantize_columns(TN_Q8_32, x + begin, begin, begin + 64 <= 150 ? 64 : 150 - begin, 150, pieces);
    assert_memory_equal(whole, pieces, tn_quantized_row_bytes(TN_Q8_32, 150));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_scaled_to_its_largest_magnitude),
        cmocka_unit_test(one_plane_keeps_127_levels),
        cmocka_unit_test(fifteen_bits_lose_less_than_one_in_thirty_two_thousand),
        cmocka_unit_test(infinities_and_nans_show_in_the_scale_and_nowhere_else),
        cmocka_unit_test(extremes_of_float_stay_in_range),
        cmocka_unit_test(a_row_made_in_pieces_has_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
