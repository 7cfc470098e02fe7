/* SPDX-License-Identifier: Apache-2.0
 *
 * encoding.c: sizes, names and decoding of the weight encodings.
 */
#include "op/encoding.h"

#include <math.h>
#include <stdio.h>

#include "base/checked.h"

/* A GGUF block is `size_bytes` long and holds `values` values of one row. */
typedef struct gguf_type {
    uint32_t number;
    const char *name;
    uint8_t bits, size_bytes, values;
    tn_dtype storage;
} gguf_type;

static const gguf_type gguf_types[] = {
    {TN_GGUF_Q4_0, "q4_0", 4, 18, 32, TN_INT4},
    {TN_GGUF_Q4_1, "q4_1", 4, 20, 32, TN_UINT4},
    {TN_GGUF_Q8_0, "q8_0", 8, 34, 32, TN_INT8},
};

static const gguf_type *find_gguf_type(uint32_t number) {
    for (size_t i = 0; i < sizeof gguf_types / sizeof gguf_types[0]; i++)
        if (gguf_types[i].number == number) return &gguf_types[i];
    return NULL;
}

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
        const gguf_type *type = find_gguf_type(e->gguf_type);
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
    const gguf_type *type = find_gguf_type(gguf_number);
    if (type == NULL) return TN_UNSUPPORTED;
    *out_encoding = (tn_encoding){.kind = TN_ENCODING_GGUF,
                                  .storage = type->storage,
                                  .scale_dtype = TN_FLOAT16,
                                  .bits = type->bits,
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
            const gguf_type *type = find_gguf_type(e->gguf_type);
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

static float load_f16(const uint8_t *bytes) {
    return tn_f32_from_f16((uint16_t)(bytes[0] | bytes[1] << 8));
}

static void decode_gguf_block(const gguf_type *type, const uint8_t *block, float *out) {
    float d = load_f16(block);
    switch (type->number) {
    case TN_GGUF_Q4_0:
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((block[2 + i] & 15) - 8);
            out[i + 16] = d * (float)((block[2 + i] >> 4) - 8);
        }
        break;
    case TN_GGUF_Q4_1: {
        float m = load_f16(block + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(block[4 + i] & 15) + m;
            out[i + 16] = d * (float)(block[4 + i] >> 4) + m;
        }
        break;
    }
    default: /* Q8_0 */
        for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)block[2 + i];
        break;
    }
}

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
        const gguf_type *type = find_gguf_type(encoding->gguf_type);
        if (type == NULL) return;
        const uint8_t *block = data + (size_t)((row * columns + begin) / type->values) * type->size_bytes;
        for (int64_t i = 0; i < count; i += type->values, block += type->size_bytes) decode_gguf_block(type, block, out + i);
    } else {
        for (int64_t i = 0; i < count; i++) out[i] = decode_scaled(encoding, parts, columns, row, begin + i);
    }
}

void tn_encoding_decode(const tn_encoding *encoding, const tn_weight_parts *parts, int64_t rows, int64_t columns, float *out) {
    for (int64_t row = 0; row < rows; row++) tn_encoding_decode_columns(encoding, parts, columns, row, 0, columns, out + row * columns);
}

/* --- encoding ---------------------------------------------------------------------------------------------------------- */

static void store_f16(uint8_t *bytes, float value) {
    uint16_t bits = tn_f16_from_f32(value);
    bytes[0] = (uint8_t)bits;
    bytes[1] = (uint8_t)(bits >> 8);
}

/* 0 … 15 of a value that is 0.5 above its level; NaN → 0 */
static uint8_t nibble(float shifted) {
    return (uint8_t)(shifted >= 15.0f ? 15.0f : shifted >= 0.0f ? shifted : 0.0f);
}

static void encode_q4_0(const float *x, uint8_t *block) {
    float extreme = x[0];
    for (int i = 1; i < 32; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    float d = extreme / -8.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    store_f16(block, d);
    for (int i = 0; i < 16; i++) {
        float low = x[i] * inverse + 8.5f, high = x[i + 16] * inverse + 8.5f;
        block[2 + i] = (uint8_t)(nibble(low) | nibble(high) << 4);
    }
}

static void encode_q4_1(const float *x, uint8_t *block) {
    float least = x[0], largest = x[0];
    for (int i = 1; i < 32; i++) {
        least = fminf(least, x[i]);
        largest = fmaxf(largest, x[i]);
    }
    float d = (largest - least) / 15.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    store_f16(block, d);
    store_f16(block + 2, least);
    for (int i = 0; i < 16; i++) {
        float low = (x[i] - least) * inverse + 0.5f, high = (x[i + 16] - least) * inverse + 0.5f;
        block[4 + i] = (uint8_t)(nibble(low) | nibble(high) << 4);
    }
}

static void encode_q8_0(const float *x, uint8_t *block) {
    float largest = 0.0f;
    for (int i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(x[i]));
    float d = largest / 127.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    store_f16(block, d);
    for (int i = 0; i < 32; i++) {
        float q = roundf(x[i] * inverse); /* half away from zero, as GGUF's writers do */
        block[2 + i] = (uint8_t)(int8_t)(q >= 127.0f ? 127.0f : q >= -128.0f ? q : 0.0f);
    }
}

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
    const gguf_type *type = encoding->kind == TN_ENCODING_GGUF ? find_gguf_type(encoding->gguf_type) : NULL;
    if (type == NULL) return TN_UNSUPPORTED;
    if (columns % type->values != 0) return TN_INVALID_ARGUMENT;
    for (int64_t i = 0; i < rows * columns; i += type->values, data += type->size_bytes) switch (type->number) {
        case TN_GGUF_Q4_0: encode_q4_0(values + i, data); break;
        case TN_GGUF_Q4_1: encode_q4_1(values + i, data); break;
        default: encode_q8_0(values + i, data); break;
        }
    return TN_OK;
}
