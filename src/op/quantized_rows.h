/* SPDX-License-Identifier: Apache-2.0
 *
 * quantized_rows.h: the bytes of q15_32 and q8_32 activations (reference: measured prototypes, ARCHITECTURE.md "numbers").
 *
 * A row of `columns` values stands alone, so that rows can be gathered, split among threads and read by tiles of any
 * height. columns is padded with zeros to a multiple of 64 (`padded`), blocks = padded / 32:
 *
 *     q15_32   hi int8 [padded] | lo int8 [padded] | scale f32 [blocks] | scaled_sum f32 [blocks] | sum i32 [blocks]
 *     q8_32    hi int8 [padded] |                    scale f32 [blocks] | scaled_sum f32 [blocks] | sum i32 [blocks]
 *
 * then zeros up to a multiple of 64 bytes. For a block with largest magnitude a:
 *     q15_32   scale d = a / 32512, q = rint(x / d) in [−32512, 32512], hi = (q + 128) >> 8, lo = q − 256·hi in [−128, 127]
 *     q8_32    scale d = a / 127,   q = rint(x / d) = hi
 * computed as q = rint(x · (32512 / a)) in float32, round half to even; a < 2⁻¹¹¹ gives zeros in all parts (below, 32512 / a
 * would overflow and d lose bits). A NaN or infinity anywhere in a block gives scale and scaled_sum NaN (0x7fc00000) and q 0,
 * so it is seen at the output and not hidden. sum = Σq, scaled_sum = d · (float)Σq, one rounding. Every backend makes the
 * same bytes from the same floats.
 */
#ifndef TN_OP_QUANTIZED_ROWS_H_
#define TN_OP_QUANTIZED_ROWS_H_

#include "op/dtype.h"

#define TN_QUANTIZED_BLOCK 32
#define TN_QUANTIZED_LEAST 0x1p-111f

static inline size_t tn_quantized_padded_columns(int64_t columns) {
    return ((size_t)columns + 63u) & ~(size_t)63u;
}

static inline size_t tn_quantized_row_bytes(tn_dtype dtype, int64_t columns) {
    size_t padded = tn_quantized_padded_columns(columns);
    size_t bytes = padded * (dtype == TN_Q15_32 ? 2u : 1u) + padded / TN_QUANTIZED_BLOCK * 12u;
    return (bytes + 63u) & ~(size_t)63u;
}

/* Where the parts of one row stand. `lo` is NULL for q8_32. */
typedef struct tn_quantized_row {
    int8_t *hi, *lo;
    float *scale, *scaled_sum;
    int32_t *sum;
} tn_quantized_row;

static inline tn_quantized_row tn_quantized_row_at(tn_dtype dtype, void *row, int64_t columns) {
    size_t padded = tn_quantized_padded_columns(columns), blocks = padded / TN_QUANTIZED_BLOCK;
    int8_t *bytes = (int8_t *)row;
    tn_quantized_row parts = {.hi = bytes, .lo = dtype == TN_Q15_32 ? bytes + padded : NULL};
    bytes += padded * (dtype == TN_Q15_32 ? 2u : 1u);
    parts.scale = (float *)(void *)bytes;
    parts.scaled_sum = parts.scale + blocks;
    parts.sum = (int32_t *)(void *)(parts.scaled_sum + blocks);
    return parts;
}

/* The plain C form of the rule above; the oracle of the vector ones. x: [columns] */
void tn_quantize_row(tn_dtype dtype, const float *x, int64_t columns, void *row);
/* The blocks of columns [begin, begin + count) alone, from x[count]; begin a multiple of 32, and count too unless the range
 * ends at `columns`. The range that ends there writes the padding. */
void tn_quantize_columns(tn_dtype dtype, const float *x, int64_t begin, int64_t count, int64_t columns, void *row);
/* x[i] = scale · q, the value that the integer kernels compute with. */
void tn_dequantize_row(tn_dtype dtype, const void *row, int64_t columns, float *x);

#endif
