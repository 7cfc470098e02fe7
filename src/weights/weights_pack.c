/* SPDX-License-Identifier: Apache-2.0
 *
 * weights_pack.c: from a recipe to the bytes that kernels read: rows are computed a chunk at a time and packed at once.
 */
#include <string.h>

#include "base/checked.h"
#include "base/report.h"
#include "weights/weight_grid.h"
#include "weights/weights.h"

#define PART_ALIGNMENT 64

/* Rows are computed in chunks of about this many bytes; a transpose reads its whole input for each chunk and gets large ones. */
static const int64_t chunk_bytes = 512 << 10, transposed_chunk_bytes = 16 << 20;

static bool is_plain_layout(const tn_layout *layout) {
    return layout == NULL || strcmp(layout->name, TN_LAYOUT_PLAIN) == 0;
}

static size_t part_bytes(const tn_weight_desc *desc, tn_weight_part part) {
    size_t bytes = 0;
    return tn_encoding_part_bytes(&desc->encoding, part, tn_weight_num_rows(desc), tn_weight_num_columns(desc), &bytes) ? bytes : 0;
}

size_t tn_weights_plain_offset(const tn_weight_desc *desc, tn_weight_part part) {
    size_t offset = 0;
    for (int before = 0; before < (int)part; before++)
        offset += (part_bytes(desc, (tn_weight_part)before) + PART_ALIGNMENT - 1) & ~(size_t)(PART_ALIGNMENT - 1);
    return offset;
}

tn_status tn_weights_packed_bytes(const tn_weight_desc *desc, const tn_layout *layout, size_t *out_bytes) {
    *out_bytes = 0;
    if (!is_plain_layout(layout)) return layout->size(desc, out_bytes);
    size_t total = 0;
    int64_t rows = 1;
    for (int i = 0; i + 1 < desc->dims.rank; i++)
        if (desc->dims.d[i] < 0 || !tn_mul_i64(rows, desc->dims.d[i], &rows)) return TN_INVALID_ARGUMENT;
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes;
        if (!tn_encoding_part_bytes(&desc->encoding, (tn_weight_part)part, rows, tn_weight_num_columns(desc), &bytes) ||
            !tn_align_size(bytes, PART_ALIGNMENT, &bytes) || !tn_add_size(total, bytes, &total))
            return TN_INVALID_ARGUMENT;
    }
    *out_bytes = total;
    return TN_OK;
}

int64_t tn_weights_pack_step(const tn_weights *weights, const tn_layout *layout) {
    int64_t a = tn_weight_row_multiple(&weights->desc.encoding), b = is_plain_layout(layout) ? 1 : layout->row_multiple;
    int64_t x = a, y = b;
    while (y != 0) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

static bool has_transpose(const tn_weights *weights) {
    if (weights->op == TN_WEIGHTS_TRANSPOSE) return true;
    for (uint32_t i = 0; i < weights->num_inputs; i++)
        if (has_transpose(weights->inputs[i])) return true;
    return false;
}

/* Where rows from `begin` on go in the plain form. Parts of the whole weight go to scratch but for the first range, so that
 * no two ranges write the same bytes. */
static tn_status plain_targets(const tn_weights *weights, int64_t begin, void *dst, tn_arena *scratch, tn_diag *diag,
                               void *parts[TN_NUM_WEIGHT_PARTS]) {
    const tn_weight_desc *desc = &weights->desc;
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes = part_bytes(desc, (tn_weight_part)part);
        parts[part] = NULL;
        if (bytes == 0) continue;
        if (tn_part_row_height(&desc->encoding, (tn_weight_part)part) == 0 && begin > 0) {
            parts[part] = tn_arena_alloc(scratch, bytes);
            if (parts[part] == NULL) return tn_fail_memory(diag, "a part of a weight", bytes);
        } else {
            parts[part] = (char *)dst + tn_weights_plain_offset(desc, (tn_weight_part)part) +
                          tn_part_row_offset(&desc->encoding, (tn_weight_part)part, begin, tn_weight_num_columns(desc));
        }
    }
    return TN_OK;
}

static void clear_padding(const tn_weight_desc *desc, void *dst) {
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes = part_bytes(desc, (tn_weight_part)part), rest = bytes % PART_ALIGNMENT;
        if (rest > 0) memset((char *)dst + tn_weights_plain_offset(desc, (tn_weight_part)part) + bytes, 0, PART_ALIGNMENT - rest);
    }
}

static tn_status pack_chunk(const tn_weights *weights, const tn_layout *layout, int64_t begin, int64_t end, void *dst, tn_arena *scratch,
                            tn_diag *diag) {
    void *parts[TN_NUM_WEIGHT_PARTS];
    if (is_plain_layout(layout)) {
        tn_status status = plain_targets(weights, begin, dst, scratch, diag, parts);
        return status == TN_OK ? tn_weights_read_rows(weights, begin, end, parts, scratch, diag) : status;
    }
    tn_weight_parts src;
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes = 0;
        parts[part] = NULL;
        if (!tn_encoding_part_bytes(&weights->desc.encoding, (tn_weight_part)part, end - begin, tn_weight_num_columns(&weights->desc),
                                    &bytes))
            return tn_fail(diag, TN_INTERNAL, "cannot size a weight's rows");
        if (bytes > 0 && (parts[part] = tn_arena_alloc(scratch, bytes)) == NULL) return tn_fail_memory(diag, "rows of a weight", bytes);
        src.part[part] = parts[part];
    }
    tn_status status = tn_weights_read_rows(weights, begin, end, parts, scratch, diag);
    if (status != TN_OK) return status;
    status = layout->pack_rows(&weights->desc, &src, begin, end, dst);
    return status == TN_OK ? TN_OK : tn_fail(diag, status, "cannot pack a weight as %s", layout->name);
}

tn_status tn_weights_pack_range(const tn_weights *weights, const tn_layout *layout, int64_t begin, int64_t end, void *dst,
                                tn_arena *scratch, tn_diag *diag) {
    const tn_weight_desc *desc = &weights->desc;
    int64_t rows = tn_weight_num_rows(desc), step = tn_weights_pack_step(weights, layout);
    if (begin < 0 || begin % step != 0 || end < begin || end > rows || (end % step != 0 && end != rows))
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot pack rows %lld to %lld: ranges of this weight start at multiples of %lld",
                       (long long)begin, (long long)end, (long long)step);
    size_t row_bytes = 1;
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
        if (tn_part_row_height(&desc->encoding, (tn_weight_part)part) > 0)
            row_bytes += tn_part_row_bytes(&desc->encoding, (tn_weight_part)part, tn_weight_num_columns(desc));
    int64_t chunk = (has_transpose(weights) ? transposed_chunk_bytes : chunk_bytes) / (int64_t)row_bytes / step * step;
    if (chunk < step) chunk = step;
    tn_status status = TN_OK;
    for (int64_t row = begin; row < end && status == TN_OK; row += chunk) {
        status = pack_chunk(weights, layout, row, end - row < chunk ? end : row + chunk, dst, scratch, diag);
        tn_arena_reset(scratch);
    }
    if (status == TN_OK && end == rows && is_plain_layout(layout)) clear_padding(desc, dst);
    return status;
}
