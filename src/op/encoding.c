/* SPDX-License-Identifier: Apache-2.0
 *
 * encoding.c: sizes, names and decoding of the weight encodings.
 */
#include "op/encoding.h"

#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "op/gguf_blocks.h"

const char *tn_weight_part_name(tn_weight_part part) {
    static const char *const names[TN_NUM_WEIGHT_PARTS] = {"data", "scale", "zero", "scale2", "perm"};
    return (int)part >= 0 && part < TN_NUM_WEIGHT_PARTS ? names[part] : "unknown";
}

int64_t tn_weight_num_rows(const tn_weight_desc *desc) {
    int64_t rows = 1;
    for (int i = 0; i + 1 < desc->dims.rank; i++) rows *= desc->dims.d[i];
    return rows;
}

int64_t tn_weight_num_columns(const tn_weight_desc *desc) {
    return desc->dims.rank > 0 ? desc->dims.d[desc->dims.rank - 1] : 1;
}

tn_encoding tn_encoding_plain(tn_dtype storage) {
    return (tn_encoding){.kind = TN_ENCODING_PLAIN, .storage = storage, .bits = tn_dtype_get_info(storage)->bits};
}

bool tn_encoding_equal(const tn_encoding *a, const tn_encoding *b) {
    if (a->kind != b->kind) return false;
    if (a->kind == TN_ENCODING_PLAIN) return a->storage == b->storage;
    if (a->kind == TN_ENCODING_GGUF) return a->gguf_type == b->gguf_type;
    return a->storage == b->storage && a->scale_dtype == b->scale_dtype && a->zero_dtype == b->zero_dtype && a->bits == b->bits &&
           a->block_rows == b->block_rows && a->block_cols == b->block_cols && a->has_zero == b->has_zero &&
           a->has_scale2 == b->has_scale2 && a->has_perm == b->has_perm;
}

/* Shorter than tn_dtype_name, so that a whole encoding's name fits. */
static const char *short_name(tn_dtype dtype) {
    switch (dtype) {
    case TN_FLOAT16: return "f16";
    case TN_BFLOAT16: return "bf16";
    case TN_FLOAT32: return "f32";
    case TN_FLOAT64: return "f64";
    case TN_FLOAT8_E4M3FN: return "e4m3fn";
    case TN_FLOAT8_E4M3FNUZ: return "e4m3fnuz";
    case TN_FLOAT8_E5M2: return "e5m2";
    case TN_FLOAT8_E5M2FNUZ: return "e5m2fnuz";
    case TN_FLOAT8_E8M0: return "e8m0";
    case TN_FLOAT4_E2M1: return "e2m1";
    default: return tn_dtype_get_info(dtype)->name;
    }
}

const char *tn_encoding_name(const tn_encoding *encoding, char buffer[64]) {
    const tn_encoding *e = encoding;
    char zero[16] = "";
    switch (e->kind) {
    case TN_ENCODING_PLAIN: (void)snprintf(buffer, 64, "%s", tn_dtype_get_info(e->storage)->name); break;
    case TN_ENCODING_GGUF: {
        const tn_gguf_block_type *type = tn_gguf_block_type_find(e->gguf_type);
        if (type != NULL)
            (void)snprintf(buffer, 64, "%s", type->name);
        else
            (void)snprintf(buffer, 64, "gguf_%u", e->gguf_type);
        break;
    }
    case TN_ENCODING_MX: (void)snprintf(buffer, 64, "mx_%s", short_name(e->storage)); break;
    case TN_ENCODING_NVFP4: (void)snprintf(buffer, 64, "nvfp4"); break;
    default:
        if (e->has_zero) (void)snprintf(zero, sizeof zero, "_z%s", short_name(e->zero_dtype));
        (void)snprintf(buffer, 64, "affine_%s_b%lldx%lld%s%s%s%s%s", short_name(e->storage), (long long)e->block_rows,
                       (long long)e->block_cols, e->scale_dtype == TN_FLOAT32 ? "" : "_s",
                       e->scale_dtype == TN_FLOAT32 ? "" : short_name(e->scale_dtype), zero, e->has_scale2 ? "_s2" : "",
                       e->has_perm ? "_perm" : "");
        break;
    }
    return buffer;
}

tn_status tn_encoding_from_gguf(uint32_t gguf_number, tn_encoding *out_encoding) {
    *out_encoding = (tn_encoding){0};
    switch (gguf_number) { /* GGUF's numbers of the float types */
    case 0: *out_encoding = tn_encoding_plain(TN_FLOAT32); return TN_OK;
    case 1: *out_encoding = tn_encoding_plain(TN_FLOAT16); return TN_OK;
    case 30: *out_encoding = tn_encoding_plain(TN_BFLOAT16); return TN_OK;
    default: break;
    }
    const tn_gguf_block_type *type = tn_gguf_block_type_find(gguf_number);
    if (type == NULL) return TN_UNSUPPORTED;
    *out_encoding = (tn_encoding){.kind = TN_ENCODING_GGUF,
                                  .storage = type->storage,
                                  .scale_dtype = TN_FLOAT16,
                                  .bits = type->code_bits,
                                  .block_rows = 1,
                                  .block_cols = type->values,
                                  .gguf_type = gguf_number};
    return TN_OK;
}

static int64_t scale_block_cols(const tn_encoding *encoding) {
    switch (encoding->kind) {
    case TN_ENCODING_MX: return 32;
    case TN_ENCODING_NVFP4: return 16;
    default: return encoding->block_cols;
    }
}

static int64_t scale_block_rows(const tn_encoding *encoding) {
    return encoding->kind == TN_ENCODING_AFFINE ? encoding->block_rows : 1;
}

int64_t tn_encoding_column_multiple(const tn_encoding *encoding) {
    if (encoding->kind == TN_ENCODING_PLAIN) return 1;
    int64_t multiple = scale_block_cols(encoding);
    return multiple > 0 ? multiple : 1;
}

bool tn_encoding_has_part(const tn_encoding *encoding, tn_weight_part part) {
    bool scaled = encoding->kind != TN_ENCODING_PLAIN && encoding->kind != TN_ENCODING_GGUF;
    switch (part) {
    case TN_PART_DATA: return true;
    case TN_PART_SCALE: return scaled;
    case TN_PART_ZERO: return scaled && encoding->has_zero;
    case TN_PART_SCALE2: return scaled && encoding->has_scale2;
    case TN_PART_PERM: return scaled && encoding->has_perm;
    default: return false;
    }
}

bool tn_encoding_part_bytes(const tn_encoding *encoding, tn_weight_part part, int64_t rows, int64_t columns, size_t *out_bytes) {
    const tn_encoding *e = encoding;
    if (rows < 0 || columns < 0 || columns % tn_encoding_column_multiple(e) != 0) return false;
    *out_bytes = 0;
    if (!tn_encoding_has_part(e, part)) return (int)part >= 0 && part < TN_NUM_WEIGHT_PARTS;
    int64_t block_rows = scale_block_rows(e), block_cols = scale_block_cols(e);
    int64_t grid_rows = rows == 0 ? 0 : block_rows > 0 ? (rows - 1) / block_rows + 1 : 1;
    int64_t grid_cols = columns == 0 ? 0 : block_cols > 0 ? columns / block_cols : 1;
    switch (part) {
    case TN_PART_DATA:
        if (e->kind == TN_ENCODING_GGUF) {
            const tn_gguf_block_type *type = tn_gguf_block_type_find(e->gguf_type);
            size_t row_bytes;
            if (type == NULL || !tn_mul_size((size_t)(columns / type->values), type->size_bytes, &row_bytes)) return false;
            return tn_mul_size((size_t)rows, row_bytes, out_bytes);
        }
        return tn_dtype_matrix_bytes(e->storage, rows, columns, out_bytes);
    case TN_PART_SCALE: return tn_dtype_matrix_bytes(e->scale_dtype, grid_rows, grid_cols, out_bytes);
    case TN_PART_ZERO: return tn_dtype_matrix_bytes(e->zero_dtype, grid_rows, grid_cols, out_bytes);
    case TN_PART_SCALE2: *out_bytes = sizeof(float); return true;
    case TN_PART_PERM: return tn_mul_size((size_t)columns, sizeof(int32_t), out_bytes);
    default: return false;
    }
}

/* --- decoding ---------------------------------------------------------------------------------------------------------- */

/* data[row][column] of a matrix whose rows are padded to whole bytes */
static double load_at(tn_dtype dtype, const void *data, int64_t row, int64_t column, int64_t columns) {
    unsigned bits = tn_dtype_get_info(dtype)->bits;
    int64_t row_bytes = (columns * (int64_t)bits + 7) / 8;
    return tn_dtype_load(dtype, (const uint8_t *)data + row * row_bytes, column);
}

/* Every product is exact in double for the types there are; the result is rounded once. */
static float decode_scaled(const tn_encoding *e, const tn_weight_parts *parts, int64_t columns, int64_t row, int64_t column) {
    if (e->has_perm) column = (int64_t)tn_dtype_load(TN_INT32, parts->part[TN_PART_PERM], column);
    if (column < 0 || column >= columns) return NAN;
    int64_t block_rows = scale_block_rows(e), block_cols = scale_block_cols(e);
    int64_t grid_row = block_rows > 0 ? row / block_rows : 0, grid_col = block_cols > 0 ? column / block_cols : 0;
    int64_t grid_cols = block_cols > 0 ? columns / block_cols : 1;
    double value = load_at(e->storage, parts->part[TN_PART_DATA], row, column, columns);
    if (e->has_zero) value -= load_at(e->zero_dtype, parts->part[TN_PART_ZERO], grid_row, grid_col, grid_cols);
    value *= load_at(e->scale_dtype, parts->part[TN_PART_SCALE], grid_row, grid_col, grid_cols);
    if (e->has_scale2) value *= tn_dtype_load(TN_FLOAT32, parts->part[TN_PART_SCALE2], 0);
    return (float)value;
}

void tn_encoding_decode_columns(const tn_encoding *encoding, const tn_weight_parts *parts, int64_t columns, int64_t row, int64_t begin,
                                int64_t count, float *out) {
    const uint8_t *data = parts->part[TN_PART_DATA];
    if (encoding->kind == TN_ENCODING_PLAIN && encoding->storage == TN_FLOAT32) {
        memcpy(out, data + (size_t)(row * columns + begin) * sizeof *out, (size_t)count * sizeof *out);
    } else if (encoding->kind == TN_ENCODING_PLAIN) {
        for (int64_t i = 0; i < count; i++) out[i] = (float)load_at(encoding->storage, data, row, begin + i, columns);
    } else if (encoding->kind == TN_ENCODING_GGUF) {
        const tn_gguf_block_type *type = tn_gguf_block_type_find(encoding->gguf_type);
        if (type == NULL) return;
        data += (size_t)(row * columns / type->values) * type->size_bytes;
        for (int64_t i = begin; i < begin + count; i += TN_GGUF_PIECE)
            tn_gguf_decode_piece(type, data + (size_t)(i / type->values) * type->size_bytes, (int)(i % type->values / TN_GGUF_PIECE),
                                 out + i - begin);
    } else {
        for (int64_t i = 0; i < count; i++) out[i] = decode_scaled(encoding, parts, columns, row, begin + i);
    }
}

void tn_encoding_decode(const tn_encoding *encoding, const tn_weight_parts *parts, int64_t rows, int64_t columns, float *out) {
    for (int64_t row = 0; row < rows; row++) tn_encoding_decode_columns(encoding, parts, columns, row, 0, columns, out + row * columns);
}

/* --- encoding ---------------------------------------------------------------------------------------------------------- */

tn_status tn_encoding_encode(const tn_encoding *encoding, const float *values, int64_t rows, int64_t columns,
                             void *parts[TN_NUM_WEIGHT_PARTS]) {
    uint8_t *data = parts[TN_PART_DATA];
    if (encoding->kind == TN_ENCODING_PLAIN) {
        size_t row_bytes;
        if (!tn_dtype_matrix_bytes(encoding->storage, 1, columns, &row_bytes)) return TN_UNSUPPORTED;
        for (int64_t row = 0; row < rows; row++)
            for (int64_t i = 0; i < columns; i++)
                tn_dtype_store(encoding->storage, data + (size_t)row * row_bytes, i, (double)values[row * columns + i]);
        return TN_OK;
    }
    const tn_gguf_block_type *type = encoding->kind == TN_ENCODING_GGUF ? tn_gguf_block_type_find(encoding->gguf_type) : NULL;
    tn_gguf_encoder encode = type != NULL ? tn_gguf_encoder_of(type) : NULL;
    if (encode == NULL) return TN_UNSUPPORTED;
    if (columns % type->values != 0) return TN_INVALID_ARGUMENT;
    for (int64_t i = 0; i < rows * columns; i += type->values, data += type->size_bytes) encode(values + i, data);
    return TN_OK;
}
