/* SPDX-License-Identifier: Apache-2.0
 *
 * layout_strip16.h: weights as strips of 16 output rows, one form for products with one row and with many.
 *
 * A strip is 16 consecutive rows with all of k, 64-byte aligned; vector lane n is row n. The last strip of a matrix is padded
 * with rows of zeros (zero scales), k to the unit with zero scales. A weight of rank 3 [experts, n, k] pads each expert's
 * rows to 16 for itself, so that an expert starts at a strip. A unit along k:
 *
 *     strip16_q4_1   k 32   320 B  4 vectors of 64 B: vector v, byte 4n+j: low nibble w[n][8v+j], high nibble w[n][8v+4+j],
 *                                  j = 0…3; then 16 f16 scales, 16 f16 minima
 *     strip16_q4_0   k 64   576 B  8 such vectors (4 a block of 32), then 16 f16 scales for each of the two blocks
 *     strip16_q8_0   k 64 1,088 B  16 vectors: byte 4n+j of vector g = w[n][4g+j] + 128, unsigned; then 2 × 16 f16 scales
 *     strip16_f32    k 1     64 B  16 float32
 *     strip16_f16    k 2     64 B  16 float16 of the even k, then 16 of the odd
 *     strip16_bf16   k 2     64 B  byte pairs [16 rows][2]: a 32-bit lane holds the even k in its low half
 *
 * Every byte belongs to one row, so rows can be packed in any order and by several threads; whoever packs the last row of a
 * matrix also writes its padding rows.
 */
#ifndef TN_BACKEND_CPU_LAYOUT_STRIP16_H_
#define TN_BACKEND_CPU_LAYOUT_STRIP16_H_

#include <string.h>

#include "op/layout.h"

#define TN_STRIP_ROWS      16
#define TN_NUM_CPU_LAYOUTS 6

typedef enum tn_strip_type {
    TN_STRIP_F32 = 0,
    TN_STRIP_F16,
    TN_STRIP_BF16,
    TN_STRIP_Q4_0,
    TN_STRIP_Q4_1,
    TN_STRIP_Q8_0,
    TN_NUM_STRIP_TYPES
} tn_strip_type;

extern const tn_layout *const tn_cpu_layouts[TN_NUM_CPU_LAYOUTS];

const char *tn_strip_layout_name(tn_strip_type type); /* "strip16_q4_1" */
/* The strip type that a weight's encoding can be packed as; false: none. */
bool tn_strip_type_of(const tn_encoding *encoding, tn_strip_type *out_type);

static inline int64_t tn_strip_unit_columns(tn_strip_type type) {
    static const int64_t columns[TN_NUM_STRIP_TYPES] = {1, 2, 2, 64, 32, 64};
    return columns[type];
}
static inline int64_t tn_strip_unit_bytes(tn_strip_type type) {
    static const int64_t bytes[TN_NUM_STRIP_TYPES] = {64, 64, 64, 576, 320, 1088};
    return bytes[type];
}
/* Bytes of one strip of `columns` columns. */
static inline int64_t tn_strip_bytes(tn_strip_type type, int64_t columns) {
    int64_t unit = tn_strip_unit_columns(type);
    return (columns + unit - 1) / unit * tn_strip_unit_bytes(type);
}

/* Decodes one row (lane of a strip) to float32, as its encoding defines it. out: [columns] */
void tn_strip_decode_row(tn_strip_type type, const void *strip, int lane, int64_t columns, float *out);

#endif
