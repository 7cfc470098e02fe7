/* SPDX-License-Identifier: Apache-2.0
 *
 * dtype.h: what there is to know about an element type, and scalar conversion. The table is dtype.c.
 */
#ifndef TN_OP_DTYPE_H_
#define TN_OP_DTYPE_H_

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "tenon/dtype.h"

typedef struct tn_dtype_info {
    const char *name;
    uint8_t bits; /* of one element; 0 for NONE and the quantised activations */
    bool is_float, is_integer, is_signed;
} tn_dtype_info;

const tn_dtype_info *tn_dtype_get_info(tn_dtype dtype); /* never NULL: NONE's entry for values outside the enum */
tn_dtype tn_dtype_find(const char *name);               /* TN_DTYPE_NONE if unknown; also "f32", "F32", "bf16", "fp8" … */

/* Bytes of `rows` rows of `columns` elements: each row padded to a whole byte, quantised activations by
 * tn_quantized_row_bytes. False on overflow or for TN_DTYPE_NONE. */
bool tn_dtype_matrix_bytes(tn_dtype dtype, int64_t rows, int64_t columns, size_t *out_bytes);

/* One element at data[index] as a double, and back (round to nearest even, integers saturate, NaN → 0 for integers).
 * For the reference kernels and tests; every dtype but complex and the quantised activations. */
double tn_dtype_load(tn_dtype dtype, const void *data, int64_t index);
void tn_dtype_store(tn_dtype dtype, void *data, int64_t index, double value);

/* Exact. */
static inline float tn_f32_from_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}
float tn_f32_from_f16(uint16_t bits);
/* Round to nearest even; overflow to infinity; NaN stays a NaN. */
uint16_t tn_f16_from_f32(float value);
uint16_t tn_bf16_from_f32(float value);

#endif
