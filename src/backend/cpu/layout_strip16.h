/* SPDX-License-Identifier: Apache-2.0
 *
 * layout_strip16.h: weights as strips of 16 output rows, one form for products with one row and with many.
 *
 * A strip is 16 consecutive rows with all of k, 64-byte aligned; vector lane n is row n. The last strip of a matrix is padded
 * with rows of zeros (zero scales), k to the unit with zero scales. A weight of rank 3 [experts, n, k] pads each expert's
 * rows to 16 for itself, so that an expert starts at a strip. Float forms, a unit of 64 bytes along k:
 *
 *     strip16_f32    k 1     16 float32
 *     strip16_f16    k 2     16 float16 of the even k, then 16 of the odd
 *     strip16_bf16   k 2     byte pairs [16 rows][2]: a 32-bit lane holds the even k in its low half
 *     strip16_e4m3   k 128   AFFINE of fp8: 32 vectors, byte 4n+j of vector g is column 4g + j; then scales and zeros as a8x128
 *
 * All other forms hold codes of 2, 3, 4, 5, 6 or 8 bits (op/gguf_blocks.h), as many vectors of 64 bytes a block of 32 columns as a
 * code has bits. Column k of the block is byte j = k % 4 of a lane in group g = k / 4:
 *
 *     8 bits           vector g: the whole code
 *     low 4 of 4…6     vector v of 4: group 2v in the low half of each byte, 2v + 1 in the high half
 *     2 (2, 3, 6 bits) vector h of 2: group 4h + i at bits 2i of each byte
 *     1 (3, 5 bits)    one vector: group g at bit g of each byte
 *
 * in this order, the blocks of a unit one after another; then the unit's scales:
 *
 *     without integers  for each block 16 float16 scales [, 16 float16 minima] (mxfp4: 16 bytes)
 *     a4…, a8…          AFFINE: 16 float32 scales, 16 float32 zeros of the unit (whatever types the file has; nothing is rounded)
 *     with integers     for each 16 or 32 columns 16 int8 scales [, 16 uint8 minima]; then 16 float16 scales of the unit and
 *                       16 float16 minima or zeros
 *
 * Every byte belongs to one row, so rows can be packed in any order and by several threads; whoever packs the last row of a
 * matrix also writes its padding rows.
 */
#ifndef TN_BACKEND_CPU_LAYOUT_STRIP16_H_
#define TN_BACKEND_CPU_LAYOUT_STRIP16_H_

#include <string.h>

#include "op/layout.h"

#define TN_STRIP_ROWS 16

typedef enum tn_strip_type {
    TN_STRIP_F32 = 0,
    TN_STRIP_F16,
    TN_STRIP_BF16,
    TN_STRIP_E4M3,
    TN_STRIP_Q4_0, /* the first of codes */
    TN_STRIP_Q4_1,
    TN_STRIP_Q5_0,
    TN_STRIP_Q5_1,
    TN_STRIP_Q8_0,
    TN_STRIP_Q2_K,
    TN_STRIP_Q3_K,
    TN_STRIP_Q4_K,
    TN_STRIP_Q5_K,
    TN_STRIP_Q6_K,
    TN_STRIP_IQ4_NL,
    TN_STRIP_IQ4_XS,
    TN_STRIP_MXFP4,
    TN_STRIP_MX_E2M1, /* the first that are not GGUF's */
    TN_STRIP_A4X32,
    TN_STRIP_A4X128,
    TN_STRIP_A8X32,
    TN_STRIP_A8X128,
    TN_NUM_STRIP_TYPES
} tn_strip_type;

/* X(form, name): forms of codes. The first are those of GGUF types of the same name. */
#define TN_STRIP_GGUF_FORMS(X) \
    X(Q4_0, q4_0)              \
    X(Q4_1, q4_1)              \
    X(Q5_0, q5_0)              \
    X(Q5_1, q5_1)              \
    X(Q8_0, q8_0)              \
    X(Q2_K, q2_k)              \
    X(Q3_K, q3_k)              \
    X(Q4_K, q4_k)              \
    X(Q5_K, q5_k)              \
    X(Q6_K, q6_k)              \
    X(IQ4_NL, iq4_nl)          \
    X(IQ4_XS, iq4_xs)          \
    X(MXFP4, mxfp4)
#define TN_STRIP_CODE_FORMS(X) \
    TN_STRIP_GGUF_FORMS(X)     \
    X(MX_E2M1, mx_e2m1)        \
    X(A4X32, a4x32)            \
    X(A4X128, a4x128)          \
    X(A8X32, a8x32)            \
    X(A8X128, a8x128)

/* What kernels must know of a form; all constants, so that they fold into the code. */
typedef struct tn_strip_form {
    int16_t unit_columns, unit_bytes;
    uint8_t code_bits;     /* 0: floats */
    uint8_t scale_columns; /* that share a scale: 16 or 32 */
    bool has_integers;     /* a scale is a small integer times the unit's */
    bool has_minimum;
    int16_t offset; /* that codes (with a table: what kernels look up) are above the numbers they stand for */
    bool has_table, is_affine;
} tn_strip_form;

static const tn_strip_form tn_strip_forms[TN_NUM_STRIP_TYPES] = {
    [TN_STRIP_F32] = {1, 64, 0, 0, false, false, 0, false, false},
    [TN_STRIP_F16] = {2, 64, 0, 0, false, false, 0, false, false},
    [TN_STRIP_BF16] = {2, 64, 0, 0, false, false, 0, false, false},
    [TN_STRIP_Q4_0] = {64, 576, 4, 32, false, false, 8, false, false},
    [TN_STRIP_Q4_1] = {32, 320, 4, 32, false, true, 0, false, false},
    [TN_STRIP_Q5_0] = {64, 704, 5, 32, false, false, 16, false, false},
    [TN_STRIP_Q5_1] = {32, 384, 5, 32, false, true, 0, false, false},
    [TN_STRIP_Q8_0] = {64, 1088, 8, 32, false, false, 128, false, false},
    [TN_STRIP_Q2_K] = {256, 1600, 2, 16, true, true, 0, false, false},
    [TN_STRIP_Q3_K] = {256, 1856, 3, 16, true, false, 4, false, false},
    [TN_STRIP_Q4_K] = {256, 2368, 4, 32, true, true, 0, false, false},
    [TN_STRIP_Q5_K] = {256, 2880, 5, 32, true, true, 0, false, false},
    [TN_STRIP_Q6_K] = {256, 3392, 6, 16, true, false, 32, false, false},
    [TN_STRIP_IQ4_NL] = {64, 576, 4, 32, false, false, 127, true, false},
    [TN_STRIP_IQ4_XS] = {256, 2240, 4, 32, true, false, 127, true, false},
    [TN_STRIP_MXFP4] = {128, 1088, 4, 32, false, false, 12, true, false},
    [TN_STRIP_E4M3] = {128, 2176, 0, 0, false, false, 0, false, true},
    [TN_STRIP_MX_E2M1] = {128, 1088, 4, 32, false, false, 12, true, false},
    [TN_STRIP_A4X32] = {32, 384, 4, 32, false, true, 0, false, true},
    [TN_STRIP_A4X128] = {128, 1152, 4, 32, false, true, 0, false, true},
    [TN_STRIP_A8X32] = {32, 640, 8, 32, false, true, 0, false, true},
    [TN_STRIP_A8X128] = {128, 2176, 8, 32, false, true, 0, false, true},
};

/* Entries of the tables, `offset` above the numbers. */
static const uint8_t tn_strip_iq4_table[16] = {0, 23, 44, 62, 78, 92, 105, 117, 128, 140, 152, 165, 180, 196, 216, 240};
static const uint8_t tn_strip_mxfp4_table[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

extern const tn_layout *const tn_cpu_layouts[TN_NUM_STRIP_TYPES];
/* Names for tactics' lists, NULL at the end: "plain" and all forms; all forms; those with codes. */
extern const char *const tn_cpu_layout_names[TN_NUM_STRIP_TYPES + 2];
#define tn_strip_layout_names      (tn_cpu_layout_names + 1)
#define tn_strip_code_layout_names (tn_strip_layout_names + TN_STRIP_Q4_0)

const char *tn_strip_layout_name(tn_strip_type type); /* "strip16_q4_1" */
/* The strip type that a weight's encoding can be packed as; false: none. */
bool tn_strip_type_of(const tn_encoding *encoding, tn_strip_type *out_type);

/* Where block b of a strip begins, and the scales of its unit. */
static inline const uint8_t *tn_strip_block(tn_strip_type type, const uint8_t *strip, int64_t b) {
    const tn_strip_form *form = &tn_strip_forms[type];
    int64_t blocks = form->unit_columns / 32;
    return strip + b / blocks * form->unit_bytes + b % blocks * form->code_bits * 64;
}
static inline const uint8_t *tn_strip_unit_scales(tn_strip_type type, const uint8_t *strip, int64_t b) {
    const tn_strip_form *form = &tn_strip_forms[type];
    int64_t blocks = form->unit_columns / 32;
    return strip + b / blocks * form->unit_bytes + blocks * form->code_bits * 64;
}
/* Bytes of the scales (and minima) of `columns` columns in a unit, but for those of the whole unit. */
static inline int64_t tn_strip_scale_bytes(tn_strip_type type, int64_t columns) {
    const tn_strip_form *form = &tn_strip_forms[type];
    if (form->is_affine) return 0;
    int64_t each = form->has_integers || type == TN_STRIP_MXFP4 || type == TN_STRIP_MX_E2M1 ? 16 : 32;
    return columns / form->scale_columns * each * (form->has_minimum ? 2 : 1);
}
/* Bytes of one row of activations in a tile's block: its planes, scale, and the sums of its halves (kernels/matmul_integer.h). */
static inline int64_t tn_strip_tile_row_bytes(int halves, bool two_planes) {
    return (two_planes ? 64 : 32) + 4 + 4 * halves;
}
/* Are there codes above 127 (or table entries)? */
static inline bool tn_strip_is_wide(tn_strip_type type) {
    return tn_strip_forms[type].code_bits == 8 || tn_strip_forms[type].offset > 126;
}
/* Scales of a block of 32 columns. */
static inline int tn_strip_halves(tn_strip_type type) {
    return 32 / tn_strip_forms[type].scale_columns;
}
/* Bytes of one strip of `columns` columns. */
static inline int64_t tn_strip_bytes(tn_strip_type type, int64_t columns) {
    int64_t unit = tn_strip_forms[type].unit_columns;
    return (columns + unit - 1) / unit * tn_strip_forms[type].unit_bytes;
}

/* Decodes one row (lane of a strip) to float32, as its encoding defines it. out: [columns] */
void tn_strip_decode_row(tn_strip_type type, const void *strip, int lane, int64_t columns, float *out);

#endif
