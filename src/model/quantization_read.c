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
    const uint8_t *data, *scale, *zero, *order; /* mapped; order NULL: none */
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

/* Walks the columns of a weight whose groups are out of order: which stored column each is. */
typedef struct order_walk {
    const uint8_t *groups; /* int32 a column */
    int32_t width, next[TN_QUANTIZED_MAX_GROUPS];
} order_walk;

static void begin_order(const reading *r, order_walk *walk) {
    walk->groups = r->order;
    walk->width = (int32_t)(r->columns / r->groups);
    for (int32_t g = 0; g < r->groups; g++) walk->next[g] = g * walk->width;
}

/* −1: not what it was when the file was opened. */
static int32_t next_stored(const reading *r, order_walk *walk, int64_t column) {
    int32_t group;
    memcpy(&group, walk->groups + column * 4, sizeof group);
    if (group < 0 || group >= r->groups || walk->next[group] == (group + 1) * walk->width) return -1;
    return walk->next[group]++;
}

/* Sixteen rows at a time: theirs of a word stand in one line of the cache, and what is written fits the first cache. */
static bool read_ordered_codes(const reading *r, int64_t begin, int64_t end, uint8_t *out) {
    order_walk walk;
    int64_t row_bytes = r->columns * r->quantization->bits / 8;
    bool has_nibbles = r->quantization->bits == 4;
    memset(out, 0, (size_t)((end - begin) * row_bytes));
    for (int64_t first = begin; first < end; first += 16) {
        int64_t last = first + 16 < end ? first + 16 : end;
        begin_order(r, &walk);
        for (int64_t column = 0; column < r->columns; column++) {
            int32_t stored = next_stored(r, &walk, column);
            if (stored < 0) return false;
            uint8_t *at = out + (first - begin) * row_bytes + (has_nibbles ? stored / 2 : stored);
            int shift = has_nibbles ? 4 * (stored % 2) : 0;
            for (int64_t row = first; row < last; row++, at += row_bytes) *at |= (uint8_t)(code_at(r, row, column) << shift);
        }
    }
    return true;
}

static bool read_perm(const reading *r, int32_t *out) {
    order_walk walk;
    begin_order(r, &walk);
    for (int64_t column = 0; column < r->columns; column++)
        if ((out[column] = next_stored(r, &walk, column)) < 0) return false;
    return true;
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
    if (weight->order != NULL) r.order = tn_safetensors_data(files, weight->order);
    if (r.data == NULL || r.scale == NULL || r.zero == NULL || (r.order == NULL && weight->order != NULL))
        return tn_fail(diag, TN_INTERNAL, "the files of a quantised weight are not mapped");
    if (part == TN_PART_DATA && r.order == NULL) read_codes(&r, begin, end, dst);
    if ((part == TN_PART_DATA && r.order != NULL && !read_ordered_codes(&r, begin, end, dst)) ||
        (part == TN_PART_PERM && !read_perm(&r, dst)))
        return tn_fail(diag, TN_INVALID_DATA, "cannot read a weight: its file has changed");
    if (part != TN_PART_SCALE && part != TN_PART_ZERO) return TN_OK;
    for (int64_t row = begin; row < end; row++)
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
