/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.h: float32 to q15_32 and q8_32 by vectors; the rule and the bytes are those of op/quantized_rows.h.
 */
#ifndef TN_BACKEND_CPU_QUANTIZE_H_
#define TN_BACKEND_CPU_QUANTIZE_H_

#include "backend/cpu/kernels/vec16.h"
#include "op/quantized_rows.h"

/* One block of 32 from two vectors; values behind the end of a row are zeros. */
V_INLINE void v_quantize_block(bool two_planes, vf x0, vf x1, int64_t block, const tn_quantized_row *row) {
    const float levels = two_planes ? 32512.0f : 127.0f;
    vf a0 = v_abs(x0), a1 = v_abs(x1);
    float largest = v_largest(v_max(a0, a1));
    vf infinity = v_set1(INFINITY);
    bool finite = v_all(v_less(a0, infinity)) && v_all(v_less(a1, infinity)); /* false for a NaN */
    bool is_zero = !finite || largest < TN_QUANTIZED_LEAST;
    vf inverse = v_set1(is_zero ? 0.0f : levels / largest);
    float scale = !finite ? NAN : is_zero ? 0.0f : largest / levels;
    vi q0 = vi_zero(), q1 = vi_zero();
    if (!is_zero) {
        q0 = v_to_int(v_mul(x0, inverse));
        q1 = v_to_int(v_mul(x1, inverse));
    }
    int8_t *hi = row->hi + block * TN_QUANTIZED_BLOCK;
    if (two_planes) {
        int8_t *lo = row->lo + block * TN_QUANTIZED_BLOCK;
        vi h0 = vi_sar(vi_add(q0, vi_set1(128)), 8), h1 = vi_sar(vi_add(q1, vi_set1(128)), 8);
        vi_store_i8(hi, h0);
        vi_store_i8(hi + LANES, h1);
        vi_store_i8(lo, vi_sub(q0, vi_shl(h0, 8)));
        vi_store_i8(lo + LANES, vi_sub(q1, vi_shl(h1, 8)));
    } else {
        vi_store_i8(hi, q0);
        vi_store_i8(hi + LANES, q1);
    }
    int32_t sum = vi_sum(vi_add(q0, q1));
    row->scale[block] = scale;
    row->sum[block] = sum;
    row->scaled_sum[block] = scale * (float)sum;
}

/* Zeros behind the last column of a row: the rest of a unit of 64 columns, and up to the row's end. */
V_INLINE void v_quantize_padding(tn_dtype dtype, int64_t columns, void *bytes) {
    tn_quantized_row row = tn_quantized_row_at(dtype, bytes, columns);
    int64_t blocks = (int64_t)tn_quantized_padded_columns(columns) / TN_QUANTIZED_BLOCK;
    for (int64_t b = (columns + TN_QUANTIZED_BLOCK - 1) / TN_QUANTIZED_BLOCK; b < blocks; b++)
        v_quantize_block(dtype == TN_Q15_32, v_zero(), v_zero(), b, &row);
    char *end = (char *)(row.sum + blocks), *row_end = (char *)bytes + tn_quantized_row_bytes(dtype, columns);
    memset(end, 0, (size_t)(row_end - end));
}

/* Columns [begin, begin + count) of a row from x: whole blocks, or up to the row's end, which also gets its padding. */
V_INLINE void v_quantize_columns(tn_dtype dtype, const float *x, int64_t begin, int64_t count, int64_t columns, void *bytes) {
    tn_quantized_row row = tn_quantized_row_at(dtype, bytes, columns);
    for (int64_t i = 0; i < count; i += TN_QUANTIZED_BLOCK) {
        int64_t left = count - i;
        vf x0 = v_load_upto(x + i, left), x1 = left > LANES ? v_load_upto(x + i + LANES, left - LANES) : v_zero();
        v_quantize_block(dtype == TN_Q15_32, x0, x1, (begin + i) / TN_QUANTIZED_BLOCK, &row);
    }
    if (begin + count >= columns) v_quantize_padding(dtype, columns, bytes);
}

#endif
