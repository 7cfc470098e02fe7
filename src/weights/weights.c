/* SPDX-License-Identifier: Apache-2.0
 *
 * weights.c: the constructors of recipe nodes: what each accepts, and the desc of its result.
 */
#include "weights/weights.h"

#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "weights/weight_grid.h"

void tn_weight_source_destroy(tn_weight_source *source) {
    if (source != NULL && source->destroy != NULL) source->destroy(source);
}

const char *tn_weights_op_name(tn_weights_op op) {
    static const char *const names[TN_NUM_WEIGHTS_OPS] = {
        [TN_WEIGHTS_LOAD] = "load",
        [TN_WEIGHTS_VALUE] = "value",
        [TN_WEIGHTS_SLICE] = "slice",
        [TN_WEIGHTS_CONCAT] = "concat",
        [TN_WEIGHTS_STACK] = "stack",
        [TN_WEIGHTS_RESHAPE] = "reshape",
        [TN_WEIGHTS_TRANSPOSE] = "transpose",
        [TN_WEIGHTS_INTERLEAVE] = "interleave",
        [TN_WEIGHTS_PERMUTE_ROWS] = "permute_rows",
        [TN_WEIGHTS_DECODE] = "decode",
        [TN_WEIGHTS_ENCODE] = "encode",
        [TN_WEIGHTS_MUL] = "mul",
        [TN_WEIGHTS_ADD] = "add",
        [TN_WEIGHTS_COLUMN_ORDER] = "column_order",
        [TN_WEIGHTS_AS_STORED] = "as_stored",
        [TN_WEIGHTS_INVERSE_NORMS] = "inverse_norms",
    };
    return (int)op >= 0 && op < TN_NUM_WEIGHTS_OPS ? names[op] : "unknown";
}

/* --- helpers ----------------------------------------------------------------------------------------------------------- */

static const tn_weights *fail_desc(tn_diag *diag, tn_weights_op op, const tn_weight_desc *desc, const char *reason) {
    tn_text text = {0};
    char encoding[64];
    tn_text_append_format(&text, "%s[", tn_encoding_name(&desc->encoding, encoding));
    for (int i = 0; i < desc->dims.rank && i < TN_MAX_RANK; i++)
        tn_text_append_format(&text, "%s%lld", i > 0 ? "," : "", (long long)desc->dims.d[i]);
    tn_text_append_char(&text, ']');
    (void)tn_fail(diag, TN_INVALID_ARGUMENT, "cannot %s a weight %s: %s", tn_weights_op_name(op), text.data != NULL ? text.data : "",
                  reason);
    tn_text_deinit(&text);
    return NULL;
}

/* Every product of dims and every part's size must fit, so that nothing later needs to look. */
static bool desc_is_valid(const tn_weight_desc *desc) {
    if (desc->dims.rank < 0 || desc->dims.rank > TN_MAX_RANK) return false;
    int64_t rows = 1;
    for (int i = 0; i < desc->dims.rank; i++) {
        if (desc->dims.d[i] < 0) return false;
        if (i + 1 < desc->dims.rank && !tn_mul_i64(rows, desc->dims.d[i], &rows)) return false;
    }
    size_t total = 0;
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes;
        if (!tn_encoding_part_bytes(&desc->encoding, (tn_weight_part)part, rows, tn_weight_num_columns(desc), &bytes)) return false;
        if (!tn_add_size(total, 64, &total) || !tn_add_size(total, bytes, &total) || total > (size_t)INT64_MAX / 64) return false;
    }
    int64_t elements;
    return tn_mul_i64(rows, tn_weight_num_columns(desc), &elements);
}

static tn_weights *make_node(tn_arena *arena, tn_weights_op op, const tn_weight_desc *desc, const tn_weights *const *inputs,
                             uint32_t num_inputs, tn_diag *diag) {
    if (!desc_is_valid(desc)) {
        (void)fail_desc(diag, op, desc, "no such shape is possible in this encoding");
        return NULL;
    }
    tn_weights *node = tn_arena_alloc(arena, sizeof *node);
    const tn_weights **copy = tn_arena_alloc_array(arena, num_inputs, sizeof *copy);
    if (node == NULL || copy == NULL) {
        (void)tn_fail_memory(diag, "a weight's recipe", sizeof *node + num_inputs * sizeof *copy);
        return NULL;
    }
    if (num_inputs > 0) memcpy(copy, inputs, num_inputs * sizeof *copy);
    *node = (tn_weights){.op = op, .desc = *desc, .inputs = copy, .num_inputs = num_inputs};
    return node;
}

static bool is_plain(const tn_weights *x) {
    return x->desc.encoding.kind == TN_ENCODING_PLAIN;
}

static bool is_plain_float(const tn_weights *x) {
    return is_plain(x) && tn_dtype_get_info(x->desc.encoding.storage)->is_float;
}

static bool is_byte_plain(const tn_weights *x) {
    return is_plain(x) && x->desc.encoding.bits % 8 == 0;
}

static bool dims_equal(const tn_dims *a, const tn_dims *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->d[i] != b->d[i]) return false;
    return true;
}

/* Can rows of several weights stand one after another? Not if something belongs to a weight as a whole. */
static bool rows_are_separable(const tn_encoding *encoding) {
    return !encoding->has_scale2 && !encoding->has_perm && (encoding->kind != TN_ENCODING_AFFINE || encoding->block_rows > 0);
}

/* Do the first `columns` columns end at a whole byte in every part? */
static bool column_bytes_are_whole(const tn_encoding *encoding, int64_t columns) {
    if (encoding->kind == TN_ENCODING_GGUF) return true;
    if (columns * tn_dtype_get_info(encoding->storage)->bits % 8 != 0) return false;
    if (encoding->kind == TN_ENCODING_PLAIN) return true;
    int64_t grid = columns / tn_encoding_column_multiple(encoding);
    if (encoding->kind == TN_ENCODING_AFFINE && encoding->block_cols == 0) grid = 0;
    return grid * tn_dtype_get_info(encoding->scale_dtype)->bits % 8 == 0 &&
           (!encoding->has_zero || grid * tn_dtype_get_info(encoding->zero_dtype)->bits % 8 == 0);
}

/* --- leaves ------------------------------------------------------------------------------------------------------------ */

const tn_weights *tn_weights_declare(tn_arena *arena, tn_weight_source *source, const char *name, const tn_weight_desc *desc,
                                     tn_diag *diag) {
    tn_weights *node = make_node(arena, TN_WEIGHTS_LOAD, desc, NULL, 0, diag);
    if (node == NULL) return NULL;
    node->source = source;
    node->name = tn_arena_string(arena, name);
    if (node->name == NULL) (void)tn_fail_memory(diag, "a weight's name", strlen(name));
    return node->name != NULL ? node : NULL;
}

const tn_weights *tn_weights_load(tn_arena *arena, tn_weight_source *source, const char *name, tn_diag *diag) {
    tn_weight_desc desc = {0};
    tn_status status = source->find(source, name, &desc);
    if (status == TN_NOT_FOUND)
        (void)tn_fail_at(diag, status, &(tn_where){.subject = name}, "cannot load weight '%s': the model has no tensor of that name", name);
    else if (status != TN_OK)
        (void)tn_fail_at(diag, status, &(tn_where){.subject = name}, "cannot load weight '%s': %s", name, tn_status_name(status));
    return status == TN_OK ? tn_weights_declare(arena, source, name, &desc, diag) : NULL;
}

const tn_weights *tn_weights_value(tn_arena *arena, const tn_weight_desc *desc, const tn_weight_parts *parts, const char *name,
                                   tn_diag *diag) {
    tn_weights *node = make_node(arena, TN_WEIGHTS_VALUE, desc, NULL, 0, diag);
    if (node == NULL) return NULL;
    node->value = *parts;
    if (name != NULL) {
        node->name = tn_arena_string(arena, name);
        if (node->name == NULL) {
            (void)tn_fail_memory(diag, "a weight's name", strlen(name));
            return NULL;
        }
    }
    return node;
}

const tn_weights *tn_weights_floats(tn_arena *arena, const float *values, tn_dims dims, tn_diag *diag) {
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = dims};
    if (!desc_is_valid(&desc)) return fail_desc(diag, TN_WEIGHTS_VALUE, &desc, "no such shape is possible");
    size_t bytes = (size_t)(tn_weight_num_rows(&desc) * tn_weight_num_columns(&desc)) * sizeof(float);
    float *copy = tn_arena_alloc(arena, bytes);
    if (copy == NULL) {
        (void)tn_fail_memory(diag, "a constant", bytes);
        return NULL;
    }
    if (bytes > 0) memcpy(copy, values, bytes);
    return tn_weights_value(arena, &desc, &(tn_weight_parts){.part = {copy}}, NULL, diag);
}

/* --- moving rows and columns --------------------------------------------------------------------------------------------- */

const tn_weights *tn_weights_slice(tn_arena *arena, const tn_weights *x, int axis, int64_t begin, int64_t end, tn_diag *diag) {
    if (x == NULL) return NULL;
    int rank = x->desc.dims.rank;
    if (axis == rank - 1) axis = -1;
    if (rank < 1 || (axis != 0 && axis != -1))
        return fail_desc(diag, TN_WEIGHTS_SLICE, &x->desc, "only the first and the last axis can be cut");
    int dim = axis == 0 ? 0 : rank - 1;
    tn_weight_desc desc = x->desc;
    const tn_encoding *encoding = &desc.encoding;
    if (begin < 0 || end < begin || end > desc.dims.d[dim])
        return fail_desc(diag, TN_WEIGHTS_SLICE, &x->desc, "the range is outside the axis");
    if (begin == 0 && end == desc.dims.d[dim]) return x;
    desc.dims.d[dim] = end - begin;
    if (axis == 0) {
        int64_t rows_each = x->desc.dims.d[0] > 0 ? tn_weight_num_rows(&x->desc) / x->desc.dims.d[0] : 0;
        if (begin * rows_each % tn_weight_row_multiple(encoding) != 0)
            return fail_desc(diag, TN_WEIGHTS_SLICE, &x->desc, "the range starts inside a block of rows");
    } else {
        int64_t multiple = tn_encoding_column_multiple(encoding);
        if (begin % multiple != 0 || end % multiple != 0 || encoding->has_perm || !column_bytes_are_whole(encoding, begin))
            return fail_desc(diag, TN_WEIGHTS_SLICE, &x->desc, "the columns' range cuts a block or a byte apart");
    }
    tn_weights *node = make_node(arena, TN_WEIGHTS_SLICE, &desc, &x, 1, diag);
    if (node == NULL) return NULL;
    node->axis = axis;
    node->begin = begin;
    node->end = end;
    return node;
}

/* Null if an input is; fails unless dtypes, encodings, ranks and all dims but `except` are equal. */
static bool inputs_agree(const tn_weights *const *inputs, uint32_t num_inputs, int except, tn_weights_op op, tn_diag *diag) {
    for (uint32_t i = 0; i < num_inputs; i++)
        if (inputs[i] == NULL) return false;
    for (uint32_t i = 1; i < num_inputs; i++) {
        const tn_weight_desc *a = &inputs[0]->desc, *b = &inputs[i]->desc;
        bool same = a->dtype == b->dtype && tn_encoding_equal(&a->encoding, &b->encoding) && a->dims.rank == b->dims.rank;
        for (int d = 0; same && d < a->dims.rank; d++) same = d == except || a->dims.d[d] == b->dims.d[d];
        if (!same) {
            (void)fail_desc(diag, op, b, "its type, encoding or shape does not fit the first one's");
            return false;
        }
    }
    return true;
}

const tn_weights *tn_weights_concat(tn_arena *arena, const tn_weights *const *inputs, uint32_t num_inputs, int axis, tn_diag *diag) {
    if (num_inputs == 0 || inputs[0] == NULL) return NULL;
    int rank = inputs[0]->desc.dims.rank;
    if (axis == rank - 1) axis = -1;
    if (rank < 1 || (axis != 0 && axis != -1))
        return fail_desc(diag, TN_WEIGHTS_CONCAT, &inputs[0]->desc, "only the first and the last axis can be joined");
    int dim = axis == 0 ? 0 : rank - 1;
    if (!inputs_agree(inputs, num_inputs, dim, TN_WEIGHTS_CONCAT, diag)) return NULL;
    if (num_inputs == 1) return inputs[0];
    tn_weight_desc desc = inputs[0]->desc;
    const tn_encoding *encoding = &desc.encoding;
    bool joins = axis == 0
                     ? rows_are_separable(encoding)
                     : !encoding->has_scale2 && !encoding->has_perm && (encoding->kind != TN_ENCODING_AFFINE || encoding->block_cols > 0);
    if (!joins) return fail_desc(diag, TN_WEIGHTS_CONCAT, &desc, "its scales belong to the whole weight; decode it first");
    desc.dims.d[dim] = 0;
    for (uint32_t i = 0; i < num_inputs; i++) {
        const tn_weight_desc *in = &inputs[i]->desc;
        bool whole =
            axis == 0 ? tn_weight_num_rows(in) % tn_weight_row_multiple(encoding) == 0 : column_bytes_are_whole(encoding, in->dims.d[dim]);
        if (i + 1 < num_inputs && !whole) return fail_desc(diag, TN_WEIGHTS_CONCAT, in, "it ends inside a block or a byte");
        if (!tn_add_i64(desc.dims.d[dim], in->dims.d[dim], &desc.dims.d[dim]))
            return fail_desc(diag, TN_WEIGHTS_CONCAT, in, "the result is too large");
    }
    tn_weights *node = make_node(arena, TN_WEIGHTS_CONCAT, &desc, inputs, num_inputs, diag);
    if (node != NULL) node->axis = axis;
    return node;
}

const tn_weights *tn_weights_stack(tn_arena *arena, const tn_weights *const *inputs, uint32_t num_inputs, tn_diag *diag) {
    if (num_inputs == 0 || !inputs_agree(inputs, num_inputs, -1, TN_WEIGHTS_STACK, diag)) return NULL;
    const tn_weight_desc *in = &inputs[0]->desc;
    if (in->dims.rank < 1 || in->dims.rank >= TN_MAX_RANK) return fail_desc(diag, TN_WEIGHTS_STACK, in, "its rank must be 1 to 7");
    if (!rows_are_separable(&in->encoding) || tn_weight_num_rows(in) % tn_weight_row_multiple(&in->encoding) != 0)
        return fail_desc(diag, TN_WEIGHTS_STACK, in, "its scales belong to the whole weight; decode it first");
    tn_weight_desc desc = *in;
    desc.dims.rank = in->dims.rank + 1;
    desc.dims.d[0] = num_inputs;
    for (int i = 0; i < in->dims.rank; i++) desc.dims.d[i + 1] = in->dims.d[i];
    return make_node(arena, TN_WEIGHTS_STACK, &desc, inputs, num_inputs, diag);
}

const tn_weights *tn_weights_reshape(tn_arena *arena, const tn_weights *x, tn_dims dims, tn_diag *diag) {
    if (x == NULL) return NULL;
    if (dims_equal(&x->desc.dims, &dims)) return x;
    tn_weight_desc desc = x->desc;
    desc.dims = dims;
    if (!desc_is_valid(&desc)) return fail_desc(diag, TN_WEIGHTS_RESHAPE, &desc, "no such shape is possible in this encoding");
    int64_t rows = tn_weight_num_rows(&desc), columns = tn_weight_num_columns(&desc);
    if (rows * columns != tn_weight_num_rows(&x->desc) * tn_weight_num_columns(&x->desc))
        return fail_desc(diag, TN_WEIGHTS_RESHAPE, &x->desc, "the number of elements would change");
    if (columns != tn_weight_num_columns(&x->desc) && !is_byte_plain(x))
        return fail_desc(diag, TN_WEIGHTS_RESHAPE, &x->desc, "the length of its rows can change only in plain form; decode it first");
    return make_node(arena, TN_WEIGHTS_RESHAPE, &desc, &x, 1, diag);
}

const tn_weights *tn_weights_transpose(tn_arena *arena, const tn_weights *x, tn_diag *diag) {
    if (x == NULL) return NULL;
    if (x->desc.dims.rank != 2 || !is_byte_plain(x))
        return fail_desc(diag, TN_WEIGHTS_TRANSPOSE, &x->desc, "only matrices in plain form can be; decode it first");
    tn_weight_desc desc = x->desc;
    desc.dims.d[0] = x->desc.dims.d[1];
    desc.dims.d[1] = x->desc.dims.d[0];
    return make_node(arena, TN_WEIGHTS_TRANSPOSE, &desc, &x, 1, diag);
}

/* [n] as [n, 1]: a vector that goes with the rows of a matrix. */
static const tn_weights *as_column(tn_arena *arena, const tn_weights *x, tn_diag *diag) {
    return tn_weights_reshape(arena, x, TN_DIMS(x->desc.dims.d[0], 1), diag);
}

static const tn_weights *as_vector(tn_arena *arena, const tn_weights *x, tn_diag *diag) {
    return x == NULL ? NULL : tn_weights_reshape(arena, x, TN_DIMS(x->desc.dims.d[0]), diag);
}

const tn_weights *tn_weights_interleave(tn_arena *arena, const tn_weights *a, const tn_weights *b, int64_t strip, tn_diag *diag) {
    const tn_weights *inputs[2] = {a, b};
    if (!inputs_agree(inputs, 2, -1, TN_WEIGHTS_INTERLEAVE, diag)) return NULL;
    int rank = a->desc.dims.rank;
    if (rank == 1) {
        inputs[0] = as_column(arena, a, diag);
        inputs[1] = as_column(arena, b, diag);
        if (inputs[0] == NULL || inputs[1] == NULL) return NULL;
        return as_vector(arena, tn_weights_interleave(arena, inputs[0], inputs[1], strip, diag), diag);
    }
    if (rank != 2 && rank != 3) return fail_desc(diag, TN_WEIGHTS_INTERLEAVE, &a->desc, "its rank must be 1 to 3");
    tn_weight_desc desc = a->desc;
    int64_t *n = &desc.dims.d[rank - 2];
    if (strip < 1 || *n % strip != 0) return fail_desc(diag, TN_WEIGHTS_INTERLEAVE, &a->desc, "its rows are no multiple of the strip");
    if (!rows_are_separable(&desc.encoding) || strip % tn_weight_row_multiple(&desc.encoding) != 0)
        return fail_desc(diag, TN_WEIGHTS_INTERLEAVE, &a->desc, "a strip would cut its scales apart; decode it first");
    if (!tn_mul_i64(*n, 2, n)) return fail_desc(diag, TN_WEIGHTS_INTERLEAVE, &a->desc, "the result is too large");
    tn_weights *node = make_node(arena, TN_WEIGHTS_INTERLEAVE, &desc, inputs, 2, diag);
    if (node != NULL) node->begin = strip;
    return node;
}

const tn_weights *tn_weights_permute_rows(tn_arena *arena, const tn_weights *x, const int64_t *table, tn_diag *diag) {
    if (x == NULL) return NULL;
    if (x->desc.dims.rank == 1) {
        const tn_weights *column = as_column(arena, x, diag);
        return column == NULL ? NULL : as_vector(arena, tn_weights_permute_rows(arena, column, table, diag), diag);
    }
    if (x->desc.dims.rank < 1 || tn_weight_row_multiple(&x->desc.encoding) != 1)
        return fail_desc(diag, TN_WEIGHTS_PERMUTE_ROWS, &x->desc, "its rows share scales; decode it first");
    int64_t rows = tn_weight_num_rows(&x->desc);
    for (int64_t i = 0; i < rows; i++)
        if (table[i] < 0 || table[i] >= rows)
            return fail_desc(diag, TN_WEIGHTS_PERMUTE_ROWS, &x->desc, "the table names a row that is not there");
    tn_weights *node = make_node(arena, TN_WEIGHTS_PERMUTE_ROWS, &x->desc, &x, 1, diag);
    int64_t *copy = node != NULL ? tn_arena_alloc_array(arena, (size_t)rows, sizeof *copy) : NULL;
    if (copy == NULL) {
        if (node != NULL) (void)tn_fail_memory(diag, "a table of rows", (size_t)rows * sizeof *copy);
        return NULL;
    }
    if (rows > 0) memcpy(copy, table, (size_t)rows * sizeof *copy);
    node->table = copy;
    return node;
}

/* --- changing values ------------------------------------------------------------------------------------------------------ */

const tn_weights *tn_weights_decode(tn_arena *arena, const tn_weights *x, tn_dtype dtype, tn_diag *diag) {
    if (x == NULL) return NULL;
    if (is_plain(x) && x->desc.encoding.storage == dtype) return x;
    const tn_dtype_info *info = tn_dtype_get_info(dtype);
    if (!info->is_float || info->bits % 8 != 0) return fail_desc(diag, TN_WEIGHTS_DECODE, &x->desc, "the result must be of a float type");
    tn_weight_desc desc = {.dtype = dtype, .encoding = tn_encoding_plain(dtype), .dims = x->desc.dims};
    return make_node(arena, TN_WEIGHTS_DECODE, &desc, &x, 1, diag);
}

const tn_weights *tn_weights_encode(tn_arena *arena, const tn_weights *x, const tn_encoding *encoding, tn_diag *diag) {
    if (x == NULL) return NULL;
    if (tn_encoding_equal(&x->desc.encoding, encoding)) return x;
    if (!is_plain_float(x)) return fail_desc(diag, TN_WEIGHTS_ENCODE, &x->desc, "only plain floats can be; decode it first");
    tn_weight_desc desc = x->desc;
    desc.encoding = *encoding;
    if (encoding->kind == TN_ENCODING_PLAIN) desc.dtype = encoding->storage;
    void *parts[TN_NUM_WEIGHT_PARTS] = {NULL};
    if (tn_encoding_encode(encoding, NULL, 0, tn_encoding_column_multiple(encoding), parts) != TN_OK)
        return fail_desc(diag, TN_WEIGHTS_ENCODE, &desc, "writing this encoding is not built");
    return make_node(arena, TN_WEIGHTS_ENCODE, &desc, &x, 1, diag);
}

static const tn_weights *make_arithmetic(tn_arena *arena, tn_weights_op op, const tn_weights *x, const tn_weights *small, tn_diag *diag) {
    if (x == NULL || small == NULL) return NULL;
    if (!is_plain_float(x) || !is_plain_float(small))
        return fail_desc(diag, op, is_plain_float(x) ? &small->desc : &x->desc, "only plain floats can be; decode it first");
    int64_t rows = tn_weight_num_rows(&small->desc), columns = tn_weight_num_columns(&small->desc);
    bool fits = (rows == 1 && (columns == 1 || columns == tn_weight_num_columns(&x->desc))) ||
                (columns == 1 && rows == tn_weight_num_rows(&x->desc));
    if (!fits) return fail_desc(diag, op, &small->desc, "the second one must be [1], [columns] or [rows, 1] of the first");
    return make_node(arena, op, &x->desc, (const tn_weights *[]){x, small}, 2, diag);
}

const tn_weights *tn_weights_mul(tn_arena *arena, const tn_weights *x, const tn_weights *factor, tn_diag *diag) {
    return make_arithmetic(arena, TN_WEIGHTS_MUL, x, factor, diag);
}

const tn_weights *tn_weights_add(tn_arena *arena, const tn_weights *x, const tn_weights *term, tn_diag *diag) {
    return make_arithmetic(arena, TN_WEIGHTS_ADD, x, term, diag);
}

/* --- columns that stand in another order -------------------------------------------------------------------------------------- */

const tn_weights *tn_weights_column_order(tn_arena *arena, const tn_weights *x, tn_diag *diag) {
    if (x == NULL) return NULL;
    int64_t columns = tn_weight_num_columns(&x->desc);
    if (!x->desc.encoding.has_perm || tn_weight_num_rows(&x->desc) == 0 || columns > INT32_MAX)
        return fail_desc(diag, TN_WEIGHTS_COLUMN_ORDER, &x->desc, "its columns stand in their own order");
    tn_weight_desc desc = {.dtype = TN_INT32, .encoding = tn_encoding_plain(TN_INT32), .dims = TN_DIMS(columns)};
    return make_node(arena, TN_WEIGHTS_COLUMN_ORDER, &desc, &x, 1, diag);
}

const tn_weights *tn_weights_as_stored(tn_arena *arena, const tn_weights *x, const tn_weights *order, tn_diag *diag) {
    if (x == NULL || order == NULL) return NULL;
    if (!x->desc.encoding.has_perm || order->op != TN_WEIGHTS_COLUMN_ORDER ||
        tn_weight_num_columns(&order->desc) != tn_weight_num_columns(&x->desc))
        return fail_desc(diag, TN_WEIGHTS_AS_STORED, &x->desc, "it has no such order of columns");
    tn_weight_desc desc = x->desc;
    desc.encoding.has_perm = false;
    return make_node(arena, TN_WEIGHTS_AS_STORED, &desc, (const tn_weights *[]){x, order}, 2, diag);
}

const tn_weights *tn_weights_inverse_norms(tn_arena *arena, const tn_weights *x, tn_diag *diag) {
    if (x == NULL) return NULL;
    if (x->desc.dims.rank != 2) return fail_desc(diag, TN_WEIGHTS_INVERSE_NORMS, &x->desc, "it must be a matrix");
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = TN_DIMS(x->desc.dims.d[0], 1)};
    return make_node(arena, TN_WEIGHTS_INVERSE_NORMS, &desc, &x, 1, diag);
}
