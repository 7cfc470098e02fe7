/* SPDX-License-Identifier: Apache-2.0
 *
 * shape_matmul.c: shapes and types of matrix multiplication and of quantisation.
 */
#include <inttypes.h>

#include "network/network_internal.h"

static bool is_quantized_rows(tn_dtype dtype) {
    return dtype == TN_Q15_32 || dtype == TN_Q8_32;
}

/* An operand as [batch…, rows, columns] after its op; a vector's missing dimension is 1. */
typedef struct matrix {
    int num_batch;
    const tn_sym *batch;
    tn_sym rows, columns;
} matrix;

static bool read_matrix(const tn_shape *shape, uint32_t input, int op, bool is_left, matrix *out) {
    const tn_tensor *x = shape->inputs[input];
    int own = op == TN_MATRIX_VECTOR ? 1 : 2;
    if (op < 0 || op >= TN_NUM_MATRIX_OPS) return tn_shape_fail(shape, "there is no matrix operation %d", op);
    if (x->rank < own)
        return tn_shape_fail(shape, "input %" PRIu32 " is %s, it needs at least %d dimension%s", input, tn_shape_describe(shape, x), own,
                             own > 1 ? "s" : "");
    out->num_batch = x->rank - own;
    out->batch = x->dims;
    tn_sym last = x->dims[x->rank - 1];
    if (op == TN_MATRIX_VECTOR) {
        out->rows = is_left ? TN_SYM_ONE : last;
        out->columns = is_left ? last : TN_SYM_ONE;
    } else {
        tn_sym before = x->dims[x->rank - 2];
        out->rows = op == TN_MATRIX_NONE ? before : last;
        out->columns = op == TN_MATRIX_NONE ? last : before;
    }
    return true;
}

static bool fail_mismatch(const tn_shape *shape, const char *reason) {
    return tn_shape_fail(shape, "'%s' is %s and '%s' is %s: %s", shape->inputs[0]->name, tn_shape_describe(shape, shape->inputs[0]),
                         shape->inputs[1]->name, tn_shape_describe(shape, shape->inputs[1]), reason);
}

/* The type of a · b; quantised rows multiply weights [n, k] only. */
static bool product_dtype(const tn_shape *shape, bool rows_by_weight, tn_dtype *out) {
    const tn_tensor *a = shape->inputs[0], *b = shape->inputs[1];
    if (is_quantized_rows(b->dtype)) return tn_shape_fail(shape, "the second operand cannot be %s", tn_shape_describe(shape, b));
    if (is_quantized_rows(a->dtype)) {
        if (!rows_by_weight || tn_tensor_weights(b) == NULL || b->dtype != TN_FLOAT32)
            return fail_mismatch(shape, "quantised rows multiply only float32 weights [n, k]");
        *out = TN_FLOAT32;
        return true;
    }
    if (a->dtype == TN_BOOL || a->dtype != b->dtype) return fail_mismatch(shape, "the types must be equal numbers");
    *out = a->dtype;
    return true;
}

bool tn_shape_matrix_multiply(tn_shape *shape) {
    const tn_matrix_multiply_params *params = &shape->params->matrix_multiply;
    tn_symbols *symbols = shape->network->symbols;
    matrix a = {0}, b = {0};
    if (!read_matrix(shape, 0, params->op_a, true, &a) || !read_matrix(shape, 1, params->op_b, false, &b)) return false;
    tn_shape_output *output = &shape->outputs[0];
    if (!product_dtype(shape, params->op_a == TN_MATRIX_NONE && params->op_b == TN_MATRIX_TRANSPOSE, &output->dtype)) return false;
    if (tn_sym_equal(symbols, a.columns, b.rows) == TN_NO) {
        return tn_shape_fail(shape, "'%s' is %s and '%s' is %s%s: the inner dimensions %s and %s differ", shape->inputs[0]->name,
                             tn_shape_describe(shape, shape->inputs[0]), shape->inputs[1]->name, tn_shape_describe(shape, shape->inputs[1]),
                             params->op_b == TN_MATRIX_TRANSPOSE ? ", transposed" : "", tn_shape_describe_dim(shape, a.columns),
                             tn_shape_describe_dim(shape, b.rows));
    }
    if (a.num_batch != b.num_batch && b.num_batch != 0) return fail_mismatch(shape, "they need equally many dimensions before the matrix");
    for (int i = 0; i < a.num_batch; i++) {
        tn_sym dim = b.num_batch == 0 ? a.batch[i] : tn_shape_broadcast(shape, a.batch[i], b.batch[i]);
        if (dim == TN_SYM_INVALID && !tn_symbols_out_of_memory(symbols))
            return fail_mismatch(shape, "the dimensions before the matrix must be equal or 1");
        output->dims[output->rank++] = dim;
    }
    if (params->op_a != TN_MATRIX_VECTOR) output->dims[output->rank++] = a.rows;
    if (params->op_b != TN_MATRIX_VECTOR) output->dims[output->rank++] = b.columns;
    shape->num_outputs = 1;
    return true;
}

bool tn_shape_grouped_matmul(tn_shape *shape) {
    const tn_grouped_matmul_params *params = &shape->params->grouped_matmul;
    const tn_tensor *x = shape->inputs[0], *weight = shape->inputs[1];
    tn_symbols *symbols = shape->network->symbols;
    tn_shape_output *output = &shape->outputs[0];
    if (params->top_k < 1) return tn_shape_fail(shape, "top_k is %" PRId64 ", it must be at least 1", params->top_k);
    if (!tn_shape_want_rank(shape, 0, "x", 2) || !tn_shape_want_rank(shape, 1, "the weight", 3) ||
        !tn_shape_want_rank(shape, 2, "expert_start", 1) || !tn_shape_want_rank(shape, 3, "order", 1) ||
        !tn_shape_want_dtype(shape, 2, "expert_start", TN_INT32) || !tn_shape_want_dtype(shape, 3, "order", TN_INT32) ||
        !product_dtype(shape, true, &output->dtype))
        return false;
    if (tn_sym_equal(symbols, x->dims[1], weight->dims[2]) == TN_NO)
        return tn_shape_fail(shape, "x is %s and the weight %s: the inner dimensions %s and %s differ", tn_shape_describe(shape, x),
                             tn_shape_describe(shape, weight), tn_shape_describe_dim(shape, x->dims[1]),
                             tn_shape_describe_dim(shape, weight->dims[2]));
    tn_sym starts = tn_sym_binary(symbols, TN_SYM_ADD, weight->dims[0], TN_SYM_ONE);
    tn_sym rows = params->sorted ? x->dims[0] : tn_sym_binary(symbols, TN_SYM_MUL, x->dims[0], tn_shape_const(shape, params->top_k));
    if (!tn_shape_want_dim(shape, 2, "expert_start", 0, starts) || !tn_shape_want_dim(shape, 3, "order", 0, rows)) return false;
    output->rank = 2;
    output->dims[0] = shape->inputs[3]->dims[0];
    output->dims[1] = weight->dims[1];
    shape->num_outputs = 1;
    return true;
}

/* --- quantisation --------------------------------------------------------------------------------------------------------- */

static bool is_quantized_storage(tn_dtype dtype) {
    switch (dtype) {
    case TN_INT4:
    case TN_INT8:
    case TN_FLOAT8_E4M3FN:
    case TN_FLOAT8_E5M2:
    case TN_FLOAT4_E2M1: return true;
    default: return false;
    }
}

/* A scalar scale, a vector along `axis`, or a block scale of x's rank. */
static bool want_scale(const tn_shape *shape, int64_t *axis, const tn_dims *block) {
    const tn_tensor *x = shape->inputs[0], *scale = shape->inputs[1];
    if (!tn_shape_want_float(shape, 1, "the scale")) return false;
    if (block->rank > 0) {
        if (block->rank != x->rank || scale->rank != x->rank)
            return tn_shape_fail(shape, "block scales need %d dimensions as x has, block has %d and the scale %d", x->rank, block->rank,
                                 scale->rank);
        for (int i = 0; i < x->rank; i++) {
            if (block->d[i] < 1) return tn_shape_fail(shape, "block size %" PRId64 " of axis %d must be at least 1", block->d[i], i);
            tn_sym blocks = tn_sym_binary(shape->network->symbols, TN_SYM_CEIL_DIV, x->dims[i], tn_shape_const(shape, block->d[i]));
            if (!tn_shape_want_dim(shape, 1, "the scale", i, blocks)) return false;
        }
        return true;
    }
    if (scale->rank == 0 || (scale->rank == 1 && tn_shape_dim_is(shape, scale->dims[0], 1))) return true;
    return tn_shape_want_axis(shape, axis, x->rank) && tn_shape_want_rank(shape, 1, "the scale", 1) &&
           tn_shape_want_dim(shape, 1, "the scale", 0, x->dims[*axis]);
}

bool tn_shape_quantize(tn_shape *shape) {
    tn_quantize_params *params = &shape->params->quantize;
    if (!is_quantized_storage(params->to))
        return tn_shape_fail(shape, "it cannot quantise to %s; int8, int4, float8 and float4 are possible",
                             tn_dtype_get_info(params->to)->name);
    if (!tn_shape_want_float(shape, 0, "x") || !want_scale(shape, &params->axis, &params->block)) return false;
    tn_shape_copy(shape, 0, shape->inputs[0], params->to);
    return true;
}

bool tn_shape_dequantize(tn_shape *shape) {
    tn_dequantize_params *params = &shape->params->dequantize;
    const tn_tensor *x = shape->inputs[0];
    if (!is_quantized_storage(x->dtype) && x->dtype != TN_UINT8 && x->dtype != TN_UINT4)
        return tn_shape_fail(shape, "x must be quantised, it is %s", tn_shape_describe(shape, x));
    if (params->to != TN_FLOAT32 && params->to != TN_FLOAT16 && params->to != TN_BFLOAT16)
        return tn_shape_fail(shape, "it cannot dequantise to %s", tn_dtype_get_info(params->to)->name);
    if (!want_scale(shape, &params->axis, &params->block)) return false;
    tn_shape_copy(shape, 0, x, params->to);
    return true;
}

bool tn_shape_dynamic_quantize(tn_shape *shape) {
    tn_dynamic_quantize_params *params = &shape->params->dynamic_quantize;
    const tn_tensor *x = shape->inputs[0];
    if (params->to != TN_INT8 && params->to != TN_FLOAT8_E4M3FN && params->to != TN_FLOAT4_E2M1)
        return tn_shape_fail(shape, "it cannot quantise to %s; int8, float8_e4m3fn and float4_e2m1 are possible",
                             tn_dtype_name(params->to));
    if (params->scale_type != TN_FLOAT32 && params->scale_type != TN_FLOAT8_E4M3FN && params->scale_type != TN_FLOAT8_E8M0)
        return tn_shape_fail(shape, "its scales cannot be %s; float32, float8_e4m3fn and float8_e8m0 are possible",
                             tn_dtype_name(params->scale_type));
    if (!tn_shape_want_float(shape, 0, "x")) return false;
    if (params->block.rank != x->rank || x->rank == 0)
        return tn_shape_fail(shape, "its block has %d dimensions, it needs those of %s", params->block.rank, tn_shape_describe(shape, x));
    if (shape->num_inputs > 1 && shape->inputs[1] != NULL &&
        (!tn_shape_want_float(shape, 1, "the scale of the scales") || !tn_shape_want_rank(shape, 1, "the scale of the scales", 0)))
        return false;
    tn_shape_copy(shape, 0, x, params->to);
    tn_shape_copy(shape, 1, x, params->scale_type);
    for (int i = 0; i < x->rank; i++) {
        if (params->block.d[i] < 1 || params->block.d[i] > INT32_MAX)
            return tn_shape_fail(shape, "block size %" PRId64 " of axis %d must be at least 1", params->block.d[i], i);
        shape->outputs[1].dims[i] =
            tn_sym_binary(shape->network->symbols, TN_SYM_CEIL_DIV, x->dims[i], tn_shape_const(shape, params->block.d[i]));
    }
    return true;
}

bool tn_shape_quantize_rows(tn_shape *shape) {
    tn_dtype to = shape->params->quantize_rows.to;
    if (!is_quantized_rows(to)) return tn_shape_fail(shape, "it quantises to q15_32 or q8_32, not %s", tn_dtype_get_info(to)->name);
    if (!tn_shape_want_dtype(shape, 0, "x", TN_FLOAT32)) return false;
    if (shape->inputs[0]->rank < 1) return tn_shape_fail(shape, "x is a scalar");
    tn_shape_copy(shape, 0, shape->inputs[0], to);
    return true;
}
