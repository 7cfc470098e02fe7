/* SPDX-License-Identifier: Apache-2.0
 *
 * quantization_read.c: rows of quantised weights, in the order that encodings have (op/encoding.h). Words are little endian int32 with
 * the first number in the low bits, so a row of packed words is a row of packed numbers; AWQ's words hold eight rows in an order
 * of their own.
 */
#include <string.h>

#include "base/report.h"
#include "model/quantization.h"

typedef struct reading {
    const tn_quantization *quantization;
    const tn_quantized_weight *weight;
    const uint8_t *data, *scale, *zero; /* mapped */
    int64_t rows, columns, groups;
} reading;

/* Number `row` of a line of packed words. */
static unsigned packed_at(const reading *r, const uint8_t *line, int64_t row) {
    static const uint8_t awq_places[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    int64_t place = row;
    if (r->quantization->bits == 8) return line[row];
    if (r->quantization->method == TN_QUANTIZATION_AWQ) place = row / 8 * 8 + awq_places[row % 8];
    return line[place / 2] >> 4 * (place % 2) & 15;
}

static unsigned code_at(const reading *r, int64_t row, int64_t column) {
    int64_t per_word = 32 / r->quantization->bits;
    if (r->quantization->method == TN_QUANTIZATION_AWQ) return packed_at(r, r->data + column * (r->rows / 8) * 4, row);
    const uint8_t *word = r->data + (column / per_word * r->rows + row) * 4;
    return r->quantization->bits == 8 ? word[column % 4] : word[column % 8 / 2] >> 4 * (column % 2) & 15;
}

static unsigned zero_at(const reading *r, int64_t row, int64_t group) {
    unsigned mask = r->quantization->bits == 4 ? 15u : 255u;
    unsigned stored = packed_at(r, r->zero + group * (r->rows * r->quantization->bits / 32) * 4, row);
    return r->quantization->zeros_are_one_less ? (stored + 1) & mask : stored;
}

static double scale_at(const reading *r, int64_t row, int64_t group) {
    return tn_dtype_load(r->weight->scale->dtype, r->scale, group * r->rows + row);
}

static void read_codes(const reading *r, int64_t begin, int64_t end, uint8_t *out) {
    int64_t per_word = 32 / r->quantization->bits, row_bytes = r->columns * r->quantization->bits / 8;
    if (r->quantization->method == TN_QUANTIZATION_GPTQ) { /* words as they are, transposed */
        for (int64_t word = 0; word < r->columns / per_word; word++)
            for (int64_t row = begin; row < end; row++)
                memcpy(out + (row - begin) * row_bytes + word * 4, r->data + (word * r->rows + row) * 4, 4);
        return;
    }
    for (int64_t column = 0; column < r->columns; column += 2)
        for (int64_t row = begin; row < end; row++)
            out[(row - begin) * row_bytes + column / 2] = (uint8_t)(code_at(r, row, column) | code_at(r, row, column + 1) << 4);
}

/* Columns out of order: their values. */
static tn_status read_values(const reading *r, const tn_safetensors *files, int64_t begin, int64_t end, float *out, tn_diag *diag) {
    int32_t groups[256];
    for (int64_t column = 0; column < r->columns; column += 256) {
        int64_t count = r->columns - column < 256 ? r->columns - column : 256;
        tn_status status = tn_safetensors_read(files, r->weight->order, (uint64_t)column * 4, groups, (size_t)count * 4, diag);
        if (status != TN_OK) return status;
        for (int64_t i = 0; i < count; i++) {
            if (groups[i] < 0 || groups[i] >= r->groups)
                return tn_fail(diag, TN_INVALID_DATA, "cannot read a weight: its file has changed");
            for (int64_t row = begin; row < end; row++) {
                double number = (double)code_at(r, row, column + i) - zero_at(r, row, groups[i]);
                out[(row - begin) * r->columns + column + i] = (float)(number * scale_at(r, row, groups[i]));
            }
        }
    }
    return TN_OK;
}

/* AWQ and GPTQ: rows of theirs are our columns. */
static tn_status read_transposed(const tn_safetensors *files, const tn_quantization *quantization, const tn_quantized_weight *weight,
                                 tn_weight_part part, int64_t begin, int64_t end, void *dst, tn_diag *diag) {
    reading r = {.quantization = quantization, .weight = weight, .groups = weight->num_groups};
    r.rows = tn_weight_num_rows(&weight->desc);
    r.columns = tn_weight_num_columns(&weight->desc);
    r.data = tn_safetensors_data(files, weight->data);
    r.scale = tn_safetensors_data(files, weight->scale);
    r.zero = tn_safetensors_data(files, weight->zero);
    if (r.data == NULL || r.scale == NULL || r.zero == NULL)
        return tn_fail(diag, TN_INTERNAL, "the files of a quantised weight are not mapped");
    if (weight->order != NULL) return read_values(&r, files, begin, end, dst, diag);
    if (part == TN_PART_DATA) read_codes(&r, begin, end, dst);
    for (int64_t row = begin; row < end && part != TN_PART_DATA; row++)
        for (int64_t group = 0; group < r.groups; group++) {
            int64_t at = (row - begin) * r.groups + group;
            if (part == TN_PART_ZERO)
                ((uint8_t *)dst)[at] = (uint8_t)zero_at(&r, row, group);
            else
                tn_dtype_store(weight->scale->dtype, dst, at, scale_at(&r, row, group));
        }
    return TN_OK;
}

/* Zeros of compressed-tensors: words of several rows, [rows / per word, groups]. */
static tn_status read_packed_zeros(const tn_safetensors *files, const tn_quantization *quantization, const tn_quantized_weight *weight,
                                   int64_t begin, int64_t end, uint8_t *out, tn_diag *diag) {
    int64_t per_word = 32 / quantization->bits;
    for (int64_t row = begin; row < end; row++)
        for (int64_t group = 0; group < weight->num_groups; group++) {
            uint8_t word[4];
            uint64_t offset = (uint64_t)(row / per_word * weight->num_groups + group) * 4;
            tn_status status = tn_safetensors_read(files, weight->zero, offset, word, sizeof word, diag);
            if (status != TN_OK) return status;
            int64_t place = row % per_word;
            *out++ = quantization->bits == 8 ? word[place] : word[place / 2] >> 4 * (place % 2) & 15;
        }
    return TN_OK;
}

tn_status tn_quantized_read(const tn_safetensors *files, const tn_quantization *quantization, const tn_quantized_weight *weight,
                            tn_weight_part part, uint64_t offset, size_t size_bytes, void *dst, tn_diag *diag) {
    const tn_encoding *encoding = &weight->desc.encoding;
    size_t row_bytes;
    bool is_known = tn_encoding_part_bytes(encoding, part, 1, tn_weight_num_columns(&weight->desc), &row_bytes) && row_bytes > 0;
    if (!is_known || offset % row_bytes != 0 || size_bytes % row_bytes != 0)
        return tn_fail(diag, TN_INTERNAL, "cannot read a part of a quantised weight's row");
    int64_t begin = (int64_t)(offset / row_bytes), end = begin + (int64_t)(size_bytes / row_bytes);
    if (quantization->method == TN_QUANTIZATION_AWQ || quantization->method == TN_QUANTIZATION_GPTQ)
        return read_transposed(files, quantization, weight, part, begin, end, dst, diag);
    bool is_packed = weight->data->dtype == TN_INT32;
    if (part == TN_PART_ZERO && is_packed) return read_packed_zeros(files, quantization, weight, begin, end, dst, diag);
    const tn_safetensors_tensor *tensor = part == TN_PART_SCALE ? weight->scale : part == TN_PART_ZERO ? weight->zero : weight->data;
    tn_status status = tn_safetensors_read(files, tensor, offset, dst, size_bytes, diag);
    /* Signed numbers are packed as much above themselves as makes them positive; that is their sign bit. */
    bool is_signed = is_packed && part == TN_PART_DATA && (encoding->storage == TN_INT4 || encoding->storage == TN_INT8);
    uint8_t sign = encoding->storage == TN_INT4 ? 0x88 : 0x80;
    for (size_t i = 0; i < size_bytes && is_signed; i++) ((uint8_t *)dst)[i] ^= sign;
    return status;
}
