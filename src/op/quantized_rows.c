/* SPDX-License-Identifier: Apache-2.0
 *
 * quantized_rows.c: plain C of the rule in quantized_rows.h. Vector forms must give the same bytes.
 */
#include "op/quantized_rows.h"

#include <math.h>

static void quantize_block(bool two_planes, const float *x, int64_t count, size_t block, const tn_quantized_row *row) {
    float largest = 0.0f, levels = two_planes ? 32512.0f : 127.0f;
    bool finite = true;
    for (int64_t i = 0; i < count; i++) {
        finite = finite && isfinite(x[i]);
        largest = fmaxf(largest, fabsf(x[i]));
    }
    bool is_zero = !finite || largest < TN_QUANTIZED_LEAST;
    float inverse = is_zero ? 0.0f : levels / largest;
    float scale = !finite ? NAN : is_zero ? 0.0f : largest / levels;
    int32_t sum = 0;
    for (int64_t i = 0; i < TN_QUANTIZED_BLOCK; i++) {
        int32_t q = i < count && !is_zero ? (int32_t)rintf(x[i] * inverse) : 0;
        size_t at = block * TN_QUANTIZED_BLOCK + (size_t)i;
        sum += q;
        if (two_planes) {
            int32_t hi = (q + 128) >> 8; /* arithmetic shift: gcc and clang */
            row->hi[at] = (int8_t)hi;
            row->lo[at] = (int8_t)(q - 256 * hi);
        } else {
            row->hi[at] = (int8_t)q;
        }
    }
    row->scale[block] = scale;
    row->sum[block] = sum;
    row->scaled_sum[block] = scale * (float)sum;
}

void tn_quantize_columns(tn_dtype dtype, const float *x, int64_t begin, int64_t count, int64_t columns, void *row) {
    tn_quantized_row parts = tn_quantized_row_at(dtype, row, columns);
    for (int64_t i = 0; i < count; i += TN_QUANTIZED_BLOCK) {
        int64_t n = count - i < TN_QUANTIZED_BLOCK ? count - i : TN_QUANTIZED_BLOCK;
        quantize_block(dtype == TN_Q15_32, x + i, n, (size_t)(begin + i) / TN_QUANTIZED_BLOCK, &parts);
    }
    if (begin + count < columns) return;
    size_t blocks = tn_quantized_padded_columns(columns) / TN_QUANTIZED_BLOCK;
    for (size_t b = ((size_t)columns + TN_QUANTIZED_BLOCK - 1) / TN_QUANTIZED_BLOCK; b < blocks; b++)
        quantize_block(dtype == TN_Q15_32, x, 0, b, &parts);
    char *end = (char *)(parts.sum + blocks), *row_end = (char *)row + tn_quantized_row_bytes(dtype, columns);
    memset(end, 0, (size_t)(row_end - end));
}

void tn_quantize_row(tn_dtype dtype, const float *x, int64_t columns, void *row) {
    tn_quantize_columns(dtype, x, 0, columns, columns, row);
}

void tn_dequantize_row(tn_dtype dtype, const void *row, int64_t columns, float *x) {
    /* The view is only read from. */
    tn_quantized_row parts = tn_quantized_row_at(dtype, (void *)(uintptr_t)row, columns);
    for (int64_t i = 0; i < columns; i++) {
        int32_t q = parts.lo != NULL ? 256 * parts.hi[i] + parts.lo[i] : parts.hi[i];
        x[i] = parts.scale[i / TN_QUANTIZED_BLOCK] * (float)q;
    }
}
