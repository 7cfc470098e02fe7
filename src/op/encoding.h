/* SPDX-License-Identifier: Apache-2.0
 *
 * encoding.h: how a weight's values are stored, whatever file they came from. After import this is the only form.
 *
 * A weight has up to five *parts*; an encoding says which exist and what each holds for rows [n, k]:
 *     PLAIN    data: storage dtype [n, k]
 *     AFFINE   value = (data − zero) · scale, one scale (and zero) a block of block_rows × block_cols (0 = whole)
 *     GGUF     data: the blocks of a GGUF type, rows one after another; scales inside
 *     MX       data + e8m0 scale per 32 along k;   NVFP4: fp4 + e4m3 scale per 16 + one float32 scale2
 * zero has the grid of scale. perm (AFFINE with has_perm): int32 [k]; column c of the value stands at stored column perm[c].
 */
#ifndef TN_OP_ENCODING_H_
#define TN_OP_ENCODING_H_

#include "base/report.h"
#include "op/dtype.h"

typedef enum tn_encoding_kind {
    TN_ENCODING_PLAIN = 0,
    TN_ENCODING_AFFINE,
    TN_ENCODING_GGUF,
    TN_ENCODING_MX,
    TN_ENCODING_NVFP4,
} tn_encoding_kind;

/* GGUF's own numbers of the types that have an encoding here (gguf specification, "ggml_type"). */
enum {
    TN_GGUF_Q4_0 = 2,
    TN_GGUF_Q4_1 = 3,
    TN_GGUF_Q5_0 = 6,
    TN_GGUF_Q5_1 = 7,
    TN_GGUF_Q8_0 = 8,
    TN_GGUF_Q2_K = 10,
    TN_GGUF_Q3_K = 11,
    TN_GGUF_Q4_K = 12,
    TN_GGUF_Q5_K = 13,
    TN_GGUF_Q6_K = 14,
    TN_GGUF_IQ4_NL = 20,
    TN_GGUF_IQ4_XS = 23,
    TN_GGUF_MXFP4 = 39,
};

typedef struct tn_encoding {
    tn_encoding_kind kind;
    tn_dtype storage, scale_dtype, zero_dtype;
    uint8_t bits;
    int64_t block_rows, block_cols; /* 0 = whole */
    uint32_t gguf_type;
    bool has_zero, has_scale2, has_perm;
} tn_encoding;

typedef enum tn_weight_part {
    TN_PART_DATA = 0,
    TN_PART_SCALE,
    TN_PART_ZERO,
    TN_PART_SCALE2,
    TN_PART_PERM,
    TN_NUM_WEIGHT_PARTS
} tn_weight_part;
const char *tn_weight_part_name(tn_weight_part part); /* "data", "scale", "zero", "scale2", "perm": the names refit uses */

/* A weight's shape and form; dims are never symbolic. Rows are all dimensions but the last, flattened. */
typedef struct tn_weight_desc {
    tn_dtype dtype; /* what it decodes to: the type the network computes with */
    tn_encoding encoding;
    tn_dims dims;
} tn_weight_desc;

/* The parts of some consecutive rows, each from its first row on; parts that the encoding lacks are NULL. */
typedef struct tn_weight_parts {
    const void *part[TN_NUM_WEIGHT_PARTS];
} tn_weight_parts;

int64_t tn_weight_num_rows(const tn_weight_desc *desc);    /* product of all but the last; 1 for rank ≤ 1 */
int64_t tn_weight_num_columns(const tn_weight_desc *desc); /* the last; 1 for a scalar */

tn_encoding tn_encoding_plain(tn_dtype storage);
bool tn_encoding_equal(const tn_encoding *a, const tn_encoding *b);
/* "float32", "q4_1", "affine_int4_b1x128" …, into a caller's buffer; returns it. Distinct encodings have distinct names. */
const char *tn_encoding_name(const tn_encoding *encoding, char buffer[64]);
/* The inverse: false if the name is not one that tn_encoding_name gives. */
bool tn_encoding_parse(const char *name, tn_encoding *out_encoding);
/* The encoding of a GGUF type number (F32, F16, BF16: PLAIN). TN_UNSUPPORTED (without report) if there is none here. */
tn_status tn_encoding_from_gguf(uint32_t gguf_type, tn_encoding *out_encoding);

/* Columns must be a multiple of this; 1 for PLAIN. */
int64_t tn_encoding_column_multiple(const tn_encoding *encoding);
/* Does a weight in this encoding have the part? */
bool tn_encoding_has_part(const tn_encoding *encoding, tn_weight_part part);
/* Bytes of one part for `rows` rows; false on overflow or if columns does not fit the blocks. 0 if the part is absent. */
bool tn_encoding_part_bytes(const tn_encoding *encoding, tn_weight_part part, int64_t rows, int64_t columns, size_t *out_bytes);
/* Decodes whole rows to float32, exactly as the encoding defines them; PLAIN of any float or integer dtype too.
 * out: [rows, columns]. The oracle of every packed form. */
void tn_encoding_decode(const tn_encoding *encoding, const tn_weight_parts *parts, int64_t rows, int64_t columns, float *out);
/* Columns [begin, begin + count) of row `row` alone; of GGUF types both are multiples of 32. Parts point at row 0. out: [count] */
void tn_encoding_decode_columns(const tn_encoding *encoding, const tn_weight_parts *parts, int64_t columns, int64_t row, int64_t begin,
                                int64_t count, float *out);
/* The inverse for what `tenon quantize` and tests need: PLAIN, GGUF Q4_0, Q4_1, Q8_0. TN_UNSUPPORTED for others.
 * parts: writable memory of tn_encoding_part_bytes. */
tn_status tn_encoding_encode(const tn_encoding *encoding, const float *values, int64_t rows, int64_t columns,
                             void *parts[TN_NUM_WEIGHT_PARTS]);

#endif
