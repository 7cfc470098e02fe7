/* SPDX-License-Identifier: Apache-2.0
 *
 * shape_basic.c: shapes and types of values, elementwise layers and layers along axes.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "network/network_internal.h"

static bool is_quantized_rows(tn_dtype dtype) {
    return dtype == TN_Q15_32 || dtype == TN_Q8_32;
}

bool tn_shape_constant(tn_shape *shape) {
    const tn_constant_params *params = &shape->params->constant;
    tn_shape_output *output = &shape->outputs[0];
    if (params->dims.rank < 0 || params->dims.rank > TN_MAX_RANK)
        return tn_shape_fail(shape, "it has %" PRId32 " dimensions, at most %d are allowed", params->dims.rank, TN_MAX_RANK);
    if (params->dtype <= TN_DTYPE_NONE || params->dtype >= TN_NUM_DTYPES || is_quantized_rows(params->dtype))
        return tn_shape_fail(shape, "it has no type");
    output->dtype = params->dtype;
    output->rank = params->dims.rank;
    for (int i = 0; i < params->dims.rank; i++) {
        if (params->dims.d[i] < 0) return tn_shape_fail(shape, "dimension %d is %" PRId64 ", it must be ≥ 0", i, params->dims.d[i]);
        output->dims[i] = tn_shape_const(shape, params->dims.d[i]);
    }
    shape->num_outputs = 1;
    return true;
}

bool tn_shape_identity(tn_shape *shape) {
    return tn_shape_output_is_input(shape);
}

bool tn_shape_cast(tn_shape *shape) {
    tn_dtype to = shape->params->cast.to;
    if (to <= TN_DTYPE_NONE || to >= TN_NUM_DTYPES || is_quantized_rows(to))
        return tn_shape_fail(shape, "there is no such type to cast to");
    if (!tn_shape_want_elements(shape, 0)) return false;
    tn_shape_copy(shape, 0, shape->inputs[0], to);
    return true;
}

bool tn_shape_shape(tn_shape *shape) {
    shape->num_outputs = 1;
    shape->outputs[0] = (tn_shape_output){.dtype = TN_INT64, .rank = 1, .dims = {tn_shape_const(shape, shape->inputs[0]->rank)}};
    return true;
}

bool tn_shape_fill(tn_shape *shape) {
    tn_tensor *dims = shape->inputs[0];
    tn_fill_params *params = &shape->params->fill;
    int64_t rank;
    if (!tn_tensor_require_host(dims) || dims->rank != 1 || !tn_sym_is_const(shape->network->symbols, dims->dims[0], &rank) ||
        rank > TN_MAX_RANK)
        return tn_shape_fail(shape, "its dims must be an integer tensor of 1 dimension and at most %d elements, they are %s", TN_MAX_RANK,
                             tn_shape_describe(shape, dims));
    if (params->op < 0 || params->op >= TN_NUM_FILL_OPS) return tn_shape_fail(shape, "there is no fill operation %d", params->op);
    if (!tn_shape_want_rank(shape, 1, "alpha", 0)) return false;
    if (params->op != TN_FILL_LINSPACE && (!tn_shape_want_rank(shape, 2, "beta", 0) || !tn_shape_want_float(shape, 1, "alpha")))
        return false;
    if (shape->inputs[2]->rank != 0 &&
        (!tn_shape_want_rank(shape, 2, "beta", 1) || !tn_shape_want_dim(shape, 2, "beta", 0, tn_shape_const(shape, rank))))
        return false;
    if (!tn_shape_want_dtype(shape, 2, "beta", shape->inputs[1]->dtype)) return false;
    if (params->dtype == TN_DTYPE_NONE) params->dtype = shape->inputs[1]->dtype;
    if (params->dtype != shape->inputs[1]->dtype)
        return tn_shape_fail(shape, "alpha and beta must be %s, they are %s", tn_dtype_name(params->dtype),
                             tn_dtype_name(shape->inputs[1]->dtype));
    params->rank = rank;
    shape->num_outputs = 1;
    shape->outputs[0].dtype = params->dtype;
    shape->outputs[0].rank = (int)rank;
    for (int64_t i = 0; i < rank; i++) shape->outputs[0].dims[i] = dims->host_syms[i];
    return true;
}

bool tn_shape_assertion(tn_shape *shape) {
    tn_tensor *condition = shape->inputs[0];
    const char *message = shape->params->assertion.message.text;
    if (!tn_shape_want_dtype(shape, 0, "the condition", TN_BOOL)) return false;
    if (!tn_tensor_require_host(condition))
        return tn_shape_fail(shape, "the condition must be a scalar or have 1 fixed dimension, it is %s",
                             tn_shape_describe(shape, condition));
    for (int64_t i = 0; i < condition->num_host_values; i++) {
        int64_t value;
        if (tn_sym_is_const(shape->network->symbols, condition->host_syms[i], &value) && value == 0)
            return tn_shape_fail(shape, "it never holds: %s", message);
    }
    return tn_shape_output_is_input(shape);
}

/* --- element by element --------------------------------------------------------------------------------------------------- */

bool tn_shape_unary(tn_shape *shape) {
    int op = shape->params->unary.op;
    tn_dtype dtype = shape->inputs[0]->dtype;
    if (op < 0 || op >= TN_NUM_UNARY_OPS) return tn_shape_fail(shape, "there is no unary operation %d", op);
    if (!tn_shape_want_elements(shape, 0)) return false;
    if ((op == TN_UNARY_NOT) != (dtype == TN_BOOL))
        return tn_shape_fail(shape, "%s needs %s, it gets %s", tn_enum_get_info(TN_ENUM_ID_UNARY)->values[op],
                             op == TN_UNARY_NOT ? "bool" : "numbers", tn_shape_describe(shape, shape->inputs[0]));
    bool any_number = op == TN_UNARY_ABS || op == TN_UNARY_NEG || op == TN_UNARY_NOT || op == TN_UNARY_SIGN;
    if (!any_number && !tn_shape_want_float(shape, 0, "its input")) return false;
    if (op == TN_UNARY_ISINF || op == TN_UNARY_ISNAN) {
        tn_shape_copy(shape, 0, shape->inputs[0], TN_BOOL);
        return true;
    }
    return tn_shape_output_is_input(shape);
}

bool tn_shape_activation(tn_shape *shape) {
    const tn_activation_params *params = &shape->params->activation;
    int type = params->type;
    if (type < 0 || type >= TN_NUM_ACTIVATIONS) return tn_shape_fail(shape, "there is no activation %d", type);
    if (!isfinite(params->alpha) || !isfinite(params->beta))
        return tn_shape_fail(shape, "alpha %g and beta %g must be finite", params->alpha, params->beta);
    bool is_integer = tn_dtype_get_info(shape->inputs[0]->dtype)->is_integer && (type == TN_ACTIVATION_RELU || type == TN_ACTIVATION_NONE);
    if (!is_integer && !tn_shape_want_float(shape, 0, "its input")) return false;
    return tn_shape_output_is_input(shape);
}

/* Broadcasts inputs first … first + count − 1 into output 0. */
static bool broadcast_inputs(tn_shape *shape, uint32_t first, uint32_t count, tn_dtype dtype) {
    const tn_tensor *a = shape->inputs[first];
    tn_shape_copy(shape, 0, a, dtype);
    for (uint32_t i = first + 1; i < first + count; i++) {
        const tn_tensor *b = shape->inputs[i];
        bool fits = a->rank == b->rank;
        for (int axis = 0; fits && axis < a->rank; axis++) {
            tn_sym dim = tn_shape_broadcast(shape, shape->outputs[0].dims[axis], b->dims[axis]);
            fits = dim != TN_SYM_INVALID || tn_symbols_out_of_memory(shape->network->symbols);
            shape->outputs[0].dims[axis] = dim;
        }
        if (!fits)
            return tn_shape_fail(shape, "'%s' is %s and '%s' is %s: ranks must be equal, and dimensions equal or 1", a->name,
                                 tn_shape_describe(shape, a), b->name, tn_shape_describe(shape, b));
    }
    return true;
}

bool tn_shape_elementwise(tn_shape *shape) {
    int op = shape->params->elementwise.op;
    const tn_tensor *a = shape->inputs[0], *b = shape->inputs[1];
    if (op < 0 || op >= TN_NUM_ELEMENTWISE_OPS) return tn_shape_fail(shape, "there is no elementwise operation %d", op);
    if (!tn_shape_want_elements(shape, 0) || !tn_shape_want_elements(shape, 1)) return false;
    if (a->dtype != b->dtype)
        return tn_shape_fail(shape, "'%s' is %s and '%s' is %s: the types must be equal", a->name, tn_shape_describe(shape, a), b->name,
                             tn_shape_describe(shape, b));
    bool is_logical = op == TN_ELEMENTWISE_AND || op == TN_ELEMENTWISE_OR || op == TN_ELEMENTWISE_XOR;
    bool is_comparison = op == TN_ELEMENTWISE_EQUAL || op == TN_ELEMENTWISE_GREATER || op == TN_ELEMENTWISE_LESS;
    if (op != TN_ELEMENTWISE_EQUAL && is_logical != (a->dtype == TN_BOOL))
        return tn_shape_fail(shape, "%s needs %s, it gets %s", tn_enum_get_info(TN_ENUM_ID_ELEMENTWISE)->values[op],
                             is_logical ? "bool" : "numbers", tn_dtype_name(a->dtype));
    return broadcast_inputs(shape, 0, 2, is_comparison ? TN_BOOL : a->dtype);
}

bool tn_shape_select(tn_shape *shape) {
    const tn_tensor *if_true = shape->inputs[1];
    if (!tn_shape_want_dtype(shape, 0, "the condition", TN_BOOL) || !tn_shape_want_elements(shape, 1) ||
        !tn_shape_want_dtype(shape, 2, "the value if false", if_true->dtype))
        return false;
    return broadcast_inputs(shape, 0, 3, if_true->dtype);
}

/* --- along axes ----------------------------------------------------------------------------------------------------------- */

bool tn_shape_reduce(tn_shape *shape) {
    const tn_reduce_params *params = &shape->params->reduce;
    const tn_tensor *x = shape->inputs[0];
    if (params->op < 0 || params->op >= TN_NUM_REDUCE_OPS) return tn_shape_fail(shape, "there is no reduction %d", params->op);
    if (!tn_shape_want_elements(shape, 0)) return false;
    if (x->dtype == TN_BOOL) return tn_shape_fail(shape, "it needs numbers, it gets %s", tn_shape_describe(shape, x));
    if (params->axes <= 0 || params->axes >= (int64_t)1 << x->rank)
        return tn_shape_fail(shape, "axes 0x%" PRIx64 " are none of %s", (uint64_t)params->axes, tn_shape_describe(shape, x));
    tn_shape_output *output = &shape->outputs[0];
    output->dtype = x->dtype;
    for (int axis = 0; axis < x->rank; axis++) {
        bool is_reduced = (params->axes >> axis & 1) != 0;
        if (!is_reduced)
            output->dims[output->rank++] = x->dims[axis];
        else if (params->keep_dims)
            output->dims[output->rank++] = TN_SYM_ONE;
    }
    shape->num_outputs = 1;
    return true;
}

bool tn_shape_softmax(tn_shape *shape) {
    return tn_shape_want_float(shape, 0, "its input") && tn_shape_want_axis(shape, &shape->params->softmax.axis, shape->inputs[0]->rank) &&
           tn_shape_output_is_input(shape);
}

bool tn_shape_normalization(tn_shape *shape) {
    const tn_tensor *x = shape->inputs[0];
    const tn_normalization_params *params = &shape->params->normalization;
    if (params->type < 0 || params->type >= TN_NUM_NORMALIZATIONS)
        return tn_shape_fail(shape, "there is no normalization %d", params->type);
    if (!(params->epsilon >= 0.0)) return tn_shape_fail(shape, "epsilon %g must be ≥ 0", params->epsilon);
    if (!tn_shape_want_float(shape, 0, "its input")) return false;
    if (x->rank < 1) return tn_shape_fail(shape, "its input is a scalar");
    tn_sym columns = x->dims[x->rank - 1];
    if (!tn_shape_want_weight_vector(shape, 1, "the scale", columns) || !tn_shape_want_weight_vector(shape, 2, "the bias", columns))
        return false;
    shape->num_outputs = 1;
    tn_shape_copy(shape, 0, x, x->dtype);
    const tn_tensor *residual = shape->num_inputs > 3 ? shape->inputs[3] : NULL;
    if (residual == NULL) return true;
    if (!tn_shape_want_dtype(shape, 3, "the residual", x->dtype) || !tn_shape_want_rank(shape, 3, "the residual", x->rank)) return false;
    for (int axis = 0; axis < x->rank; axis++)
        if (!tn_shape_want_dim(shape, 3, "the residual", axis, x->dims[axis])) return false;
    tn_shape_copy(shape, 1, x, x->dtype);
    return true;
}
