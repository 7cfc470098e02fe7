/* SPDX-License-Identifier: Apache-2.0
 *
 * weights_read.c: running a recipe for a range of rows. Each op asks its inputs for the rows it needs; nothing is kept between
 * calls. Buffers of a node are as large as the range asked for, times what the op widens.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/report.h"
#include "weights/weight_grid.h"
#include "weights/weights.h"

typedef struct row_reader {
    tn_arena *scratch;
    tn_diag *diag;
} row_reader;

static tn_status read_node(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts);

static int64_t columns_of(const tn_weights *x) {
    return tn_weight_num_columns(&x->desc);
}

static tn_status allocate_parts(const row_reader *reader, const tn_weights *x, int64_t rows, void *parts[TN_NUM_WEIGHT_PARTS]) {
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes = 0;
        parts[part] = NULL;
        if (!tn_encoding_part_bytes(&x->desc.encoding, (tn_weight_part)part, rows, columns_of(x), &bytes))
            return tn_fail(reader->diag, TN_INTERNAL, "cannot size a weight's rows");
        if (bytes == 0) continue;
        parts[part] = tn_arena_alloc(reader->scratch, bytes);
        if (parts[part] == NULL) return tn_fail_memory(reader->diag, "rows of a weight", bytes);
    }
    return TN_OK;
}

/* `parts` moved to row `row` of what they hold. */
static void advance_parts(const tn_weights *x, void *const *parts, int64_t row, void *out[TN_NUM_WEIGHT_PARTS]) {
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
        out[part] = parts[part] == NULL
                        ? NULL
                        : (char *)parts[part] + tn_part_row_offset(&x->desc.encoding, (tn_weight_part)part, row, columns_of(x));
}

static tn_status read_leaf(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    const tn_encoding *encoding = &x->desc.encoding;
    if (x->op == TN_WEIGHTS_LOAD && x->source == NULL)
        return tn_fail_at(reader->diag, TN_NOT_FOUND, &(tn_where){.subject = x->name},
                          "weight '%s' has no values yet: it must be given first", x->name);
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes;
        if (!tn_encoding_part_bytes(encoding, (tn_weight_part)part, end - begin, columns_of(x), &bytes) || bytes == 0) continue;
        if (parts[part] == NULL) continue; /* not asked for */
        size_t offset = tn_part_row_offset(encoding, (tn_weight_part)part, begin, columns_of(x));
        if (x->op == TN_WEIGHTS_VALUE) {
            memcpy(parts[part], (const char *)x->value.part[part] + offset, bytes);
        } else {
            tn_status status = x->source->read(x->source, x->name, (tn_weight_part)part, offset, bytes, parts[part], reader->diag);
            if (status != TN_OK) return status;
        }
    }
    return TN_OK;
}

/* Columns [from, from + count) of `rows` rows of src, to column `to` of dst. */
static void copy_columns(const tn_encoding *encoding, void *const *src, int64_t src_columns, int64_t from, void *const *dst,
                         int64_t dst_columns, int64_t to, int64_t count, int64_t rows) {
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        if (dst[part] == NULL) continue;
        tn_weight_part p = (tn_weight_part)part;
        size_t src_row = tn_part_row_bytes(encoding, p, src_columns), dst_row = tn_part_row_bytes(encoding, p, dst_columns);
        size_t src_at = tn_part_row_bytes(encoding, p, from), dst_at = tn_part_row_bytes(encoding, p, to);
        size_t bytes = tn_part_row_bytes(encoding, p, count);
        if (encoding->kind == TN_ENCODING_AFFINE && encoding->block_cols == 0 && part != TN_PART_DATA) src_at = dst_at = 0;
        for (int64_t row = 0; row < tn_part_grid_rows(encoding, p, rows); row++)
            memcpy((char *)dst[part] + (size_t)row * dst_row + dst_at, (const char *)src[part] + (size_t)row * src_row + src_at, bytes);
    }
}

static tn_status read_slice(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    const tn_weights *in = x->inputs[0];
    if (x->axis == 0) {
        int64_t first = x->begin * (tn_weight_num_rows(&in->desc) / in->desc.dims.d[0]);
        return read_node(reader, in, first + begin, first + end, parts);
    }
    void *wide[TN_NUM_WEIGHT_PARTS];
    tn_status status = allocate_parts(reader, in, end - begin, wide);
    if (status == TN_OK) status = read_node(reader, in, begin, end, wide);
    if (status == TN_OK)
        copy_columns(&x->desc.encoding, wide, columns_of(in), x->begin, parts, columns_of(x), 0, columns_of(x), end - begin);
    return status;
}

/* CONCAT along rows and STACK: the inputs' rows one after another. */
static tn_status read_joined_rows(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    int64_t first = 0;
    for (uint32_t i = 0; i < x->num_inputs && first < end; i++) {
        const tn_weights *in = x->inputs[i];
        int64_t rows = tn_weight_num_rows(&in->desc);
        int64_t from = begin > first ? begin : first, to = end < first + rows ? end : first + rows;
        if (from < to) {
            void *at[TN_NUM_WEIGHT_PARTS];
            advance_parts(x, parts, from - begin, at);
            tn_status status = read_node(reader, in, from - first, to - first, at);
            if (status != TN_OK) return status;
        }
        first += rows;
    }
    return TN_OK;
}

static tn_status read_joined_columns(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    int64_t column = 0;
    for (uint32_t i = 0; i < x->num_inputs; i++) {
        const tn_weights *in = x->inputs[i];
        void *narrow[TN_NUM_WEIGHT_PARTS];
        tn_status status = allocate_parts(reader, in, end - begin, narrow);
        if (status == TN_OK) status = read_node(reader, in, begin, end, narrow);
        if (status != TN_OK) return status;
        copy_columns(&x->desc.encoding, narrow, columns_of(in), 0, parts, columns_of(x), column, columns_of(in), end - begin);
        column += columns_of(in);
    }
    return TN_OK;
}

static tn_status read_reshape(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    const tn_weights *in = x->inputs[0];
    int64_t columns = columns_of(x), in_columns = columns_of(in);
    if (columns == in_columns) return read_node(reader, in, begin, end, parts);
    if (begin == end || columns == 0) return TN_OK;
    int64_t first = begin * columns, last = end * columns;
    int64_t from = first / in_columns, to = (last - 1) / in_columns + 1;
    if (first == from * in_columns && last == to * in_columns) return read_node(reader, in, from, to, parts);
    void *rows[TN_NUM_WEIGHT_PARTS];
    tn_status status = allocate_parts(reader, in, to - from, rows);
    if (status == TN_OK) status = read_node(reader, in, from, to, rows);
    if (status != TN_OK) return status;
    size_t size = x->desc.encoding.bits / 8;
    memcpy(parts[TN_PART_DATA], (const char *)rows[TN_PART_DATA] + (size_t)(first - from * in_columns) * size,
           (size_t)(last - first) * size);
    return TN_OK;
}

/* dst[c][dst_column + r] = src[r][column + c]; src is a band of rows that fits a cache. */
#define SCATTER(name, type)                                                                                                   \
    static void name(const type *src, int64_t src_rows, int64_t src_columns, int64_t column, int64_t count, type *dst,        \
                     int64_t dst_columns, int64_t dst_column) {                                                               \
        for (int64_t c = 0; c < count; c++)                                                                                   \
            for (int64_t r = 0; r < src_rows; r++) dst[c * dst_columns + dst_column + r] = src[r * src_columns + column + c]; \
    }
SCATTER(scatter_8, uint8_t)
SCATTER(scatter_16, uint16_t)
SCATTER(scatter_32, uint32_t)
SCATTER(scatter_64, uint64_t)

static void scatter_transposed(const void *src, int64_t src_rows, int64_t src_columns, int64_t column, int64_t count, void *dst,
                               int64_t dst_columns, int64_t dst_column, size_t size) {
    switch (size) {
    case 1: scatter_8(src, src_rows, src_columns, column, count, dst, dst_columns, dst_column); break;
    case 2: scatter_16(src, src_rows, src_columns, column, count, dst, dst_columns, dst_column); break;
    case 4: scatter_32(src, src_rows, src_columns, column, count, dst, dst_columns, dst_column); break;
    case 8: scatter_64(src, src_rows, src_columns, column, count, dst, dst_columns, dst_column); break;
    default: /* complex128 */
        for (int64_t c = 0; c < count; c++)
            for (int64_t r = 0; r < src_rows; r++)
                memcpy((char *)dst + (size_t)(c * dst_columns + dst_column + r) * size,
                       (const char *)src + (size_t)(r * src_columns + column + c) * size, size);
    }
}

/* All rows of the input, a band at a time. The bands' own scratch is freed at once: it could be as large as the input. */
static tn_status read_transpose(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    const tn_weights *in = x->inputs[0];
    const int64_t band_bytes = 256 << 10;
    int64_t rows = in->desc.dims.d[0], columns = in->desc.dims.d[1];
    size_t size = x->desc.encoding.bits / 8;
    if (rows == 0 || columns == 0) return TN_OK;
    int64_t band = band_bytes / (columns * (int64_t)size);
    band = band < 1 ? 1 : band > rows ? rows : band;
    void *buffer[TN_NUM_WEIGHT_PARTS];
    tn_status status = allocate_parts(reader, in, band, buffer);
    tn_arena band_scratch = {.allocator = reader->scratch->allocator};
    row_reader band_reader = {.scratch = &band_scratch, .diag = reader->diag};
    for (int64_t row = 0; row < rows && status == TN_OK; row += band) {
        int64_t count = rows - row < band ? rows - row : band;
        status = read_node(&band_reader, in, row, row + count, buffer);
        if (status == TN_OK)
            scatter_transposed(buffer[TN_PART_DATA], count, columns, begin, end - begin, parts[TN_PART_DATA], rows, row, size);
        tn_arena_reset(&band_scratch);
    }
    tn_arena_deinit(&band_scratch);
    return status;
}

static tn_status read_interleave(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    int64_t strip = x->begin, pair = 2 * strip;
    for (int64_t row = begin; row < end;) {
        int64_t within = row % strip, count = strip - within < end - row ? strip - within : end - row;
        int64_t from = row / pair * strip + within;
        void *at[TN_NUM_WEIGHT_PARTS];
        advance_parts(x, parts, row - begin, at);
        tn_status status = read_node(reader, x->inputs[row / strip % 2], from, from + count, at);
        if (status != TN_OK) return status;
        row += count;
    }
    return TN_OK;
}

static tn_status read_permuted(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    for (int64_t row = begin; row < end;) {
        int64_t from = x->table[row], count = 1;
        while (row + count < end && x->table[row + count] == from + count) count++;
        void *at[TN_NUM_WEIGHT_PARTS];
        advance_parts(x, parts, row - begin, at);
        tn_status status = read_node(reader, x->inputs[0], from, from + count, at);
        if (status != TN_OK) return status;
        row += count;
    }
    return TN_OK;
}

/* Rows of any encoding as floats in scratch: [end - begin, columns]. Rows that share scales are decoded from the first on. */
static tn_status read_floats(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, float **out_values) {
    const tn_encoding *encoding = &x->desc.encoding;
    int64_t columns = columns_of(x), skipped = begin % tn_weight_row_multiple(encoding);
    begin -= skipped;
    void *parts[TN_NUM_WEIGHT_PARTS];
    tn_status status = allocate_parts(reader, x, end - begin, parts);
    if (status == TN_OK) status = read_node(reader, x, begin, end, parts);
    if (status != TN_OK) return status;
    if (encoding->kind == TN_ENCODING_PLAIN && encoding->storage == TN_FLOAT32) {
        *out_values = parts[TN_PART_DATA];
        return TN_OK;
    }
    size_t bytes = (size_t)((end - begin) * columns) * sizeof(float);
    float *values = tn_arena_alloc(reader->scratch, bytes);
    if (values == NULL) return tn_fail_memory(reader->diag, "rows of a weight", bytes);
    tn_weight_parts decoded = {{NULL}};
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) decoded.part[part] = parts[part];
    tn_encoding_decode(encoding, &decoded, end - begin, columns, values);
    *out_values = values + skipped * columns;
    return TN_OK;
}

static tn_status write_floats(const row_reader *reader, const tn_weights *x, const float *values, int64_t rows, void *const *parts) {
    void *out[TN_NUM_WEIGHT_PARTS];
    memcpy(out, parts, sizeof out);
    tn_status status = tn_encoding_encode(&x->desc.encoding, values, rows, columns_of(x), out);
    return status == TN_OK ? TN_OK : tn_fail(reader->diag, status, "cannot write a weight in its encoding");
}

static tn_status read_converted(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    float *values = NULL;
    tn_status status = read_floats(reader, x->inputs[0], begin, end, &values);
    return status == TN_OK ? write_floats(reader, x, values, end - begin, parts) : status;
}

static tn_status read_arithmetic(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    const tn_weights *small = x->inputs[1];
    int64_t columns = columns_of(x), small_rows = tn_weight_num_rows(&small->desc);
    bool by_row = small_rows > 1;
    int64_t column_step = !by_row && columns_of(small) > 1 ? 1 : 0;
    float *values = NULL, *operand = NULL;
    tn_status status = read_floats(reader, x->inputs[0], begin, end, &values);
    if (status == TN_OK) status = read_floats(reader, small, by_row ? begin : 0, by_row ? end : small_rows, &operand);
    if (status != TN_OK) return status;
    for (int64_t row = 0; row < end - begin; row++) {
        const float *by = operand + (by_row ? row : 0);
        float *value = values + row * columns;
        for (int64_t c = 0; c < columns; c++, by += column_step) value[c] = x->op == TN_WEIGHTS_MUL ? value[c] * *by : value[c] + *by;
    }
    return write_floats(reader, x, values, end - begin, parts);
}

/* perm of a weight as the inverse that a gather reads. */
static tn_status read_order(const row_reader *reader, const tn_weights *x, void *const *parts) {
    int64_t columns = columns_of(x);
    int32_t *perm = tn_arena_alloc_array(reader->scratch, (size_t)columns, sizeof *perm), *order = parts[TN_PART_DATA];
    if (perm == NULL) return tn_fail_memory(reader->diag, "an order of columns", (size_t)columns * sizeof *perm);
    void *only_perm[TN_NUM_WEIGHT_PARTS] = {[TN_PART_PERM] = perm};
    tn_status status = read_node(reader, x->inputs[0], 0, 1, only_perm);
    if (status != TN_OK) return status;
    for (int64_t s = 0; s < columns; s++) order[s] = -1;
    for (int64_t c = 0; c < columns; c++) {
        if (perm[c] < 0 || perm[c] >= columns || order[perm[c]] >= 0)
            return tn_fail(reader->diag, TN_INVALID_DATA, "cannot read a weight's order of columns: it is no permutation");
        order[perm[c]] = (int32_t)c;
    }
    return TN_OK;
}

static tn_status read_as_stored(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    int64_t columns = columns_of(x);
    int32_t *order = tn_arena_alloc_array(reader->scratch, (size_t)columns, 2 * sizeof *order), *perm = order + columns;
    if (order == NULL) return tn_fail_memory(reader->diag, "an order of columns", (size_t)columns * 2 * sizeof *order);
    void *with_perm[TN_NUM_WEIGHT_PARTS], *only_order[TN_NUM_WEIGHT_PARTS] = {order};
    memcpy(with_perm, parts, sizeof with_perm);
    with_perm[TN_PART_PERM] = perm;
    tn_status status = read_node(reader, x->inputs[0], begin, end, with_perm);
    if (status == TN_OK) status = read_node(reader, x->inputs[1], 0, 1, only_order);
    for (int64_t c = 0; c < columns && status == TN_OK; c++)
        if (perm[c] < 0 || perm[c] >= columns || order[perm[c]] != c)
            status = tn_fail(reader->diag, TN_INVALID_DATA,
                             "cannot read a weight: its columns stand in another order than those of the weights it was joined with");
    return status;
}

/* A row of zeros is as long as torch's normalize takes it to be. */
static tn_status read_inverse_norms(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    const tn_weights *in = x->inputs[0];
    int64_t columns = columns_of(in);
    float *values = NULL, *out = parts[TN_PART_DATA];
    tn_status status = read_floats(reader, in, begin, end, &values);
    for (int64_t row = 0; status == TN_OK && row < end - begin; row++) {
        double sum = 0.0;
        for (int64_t c = 0; c < columns; c++) sum += (double)values[row * columns + c] * (double)values[row * columns + c];
        out[row] = (float)(1.0 / fmax(sqrt(sum), 1e-12));
    }
    return status;
}

static tn_status read_node(const row_reader *reader, const tn_weights *x, int64_t begin, int64_t end, void *const *parts) {
    if (begin == end) return TN_OK;
    switch (x->op) {
    case TN_WEIGHTS_LOAD:
    case TN_WEIGHTS_VALUE: return read_leaf(reader, x, begin, end, parts);
    case TN_WEIGHTS_SLICE: return read_slice(reader, x, begin, end, parts);
    case TN_WEIGHTS_CONCAT:
        return x->axis == 0 ? read_joined_rows(reader, x, begin, end, parts) : read_joined_columns(reader, x, begin, end, parts);
    case TN_WEIGHTS_STACK: return read_joined_rows(reader, x, begin, end, parts);
    case TN_WEIGHTS_RESHAPE: return read_reshape(reader, x, begin, end, parts);
    case TN_WEIGHTS_TRANSPOSE: return read_transpose(reader, x, begin, end, parts);
    case TN_WEIGHTS_INTERLEAVE: return read_interleave(reader, x, begin, end, parts);
    case TN_WEIGHTS_PERMUTE_ROWS: return read_permuted(reader, x, begin, end, parts);
    case TN_WEIGHTS_DECODE:
    case TN_WEIGHTS_ENCODE: return read_converted(reader, x, begin, end, parts);
    case TN_WEIGHTS_MUL:
    case TN_WEIGHTS_ADD: return read_arithmetic(reader, x, begin, end, parts);
    case TN_WEIGHTS_COLUMN_ORDER: return read_order(reader, x, parts);
    case TN_WEIGHTS_AS_STORED: return read_as_stored(reader, x, begin, end, parts);
    case TN_WEIGHTS_INVERSE_NORMS: return read_inverse_norms(reader, x, begin, end, parts);
    default: return tn_fail(reader->diag, TN_INTERNAL, "a weight's recipe has an unknown operation");
    }
}

tn_status tn_weights_read_rows(const tn_weights *weights, int64_t begin, int64_t end, void *const parts[TN_NUM_WEIGHT_PARTS],
                               tn_arena *scratch, tn_diag *diag) {
    if (begin < 0 || end < begin || end > tn_weight_num_rows(&weights->desc) ||
        begin % tn_weight_row_multiple(&weights->desc.encoding) != 0)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot read rows %lld to %lld of a weight with %lld rows", (long long)begin,
                       (long long)end, (long long)tn_weight_num_rows(&weights->desc));
    row_reader reader = {.scratch = scratch, .diag = diag};
    return read_node(&reader, weights, begin, end, parts);
}
