/* SPDX-License-Identifier: Apache-2.0
 *
 * shape_select.c: shapes of layers that order, choose and place elements, and of normalisation with parameters of x's rank.
 */
#include <inttypes.h>

#include "network/network_internal.h"
#include "op/einsum.h"

static bool want_indices(const tn_shape *shape, uint32_t input, const char *what) {
    tn_dtype dtype = shape->inputs[input]->dtype;
    if (dtype == TN_INT32 || dtype == TN_INT64) return true;
    return tn_shape_fail(shape, "%s must be int32 or int64, it is %s", what, tn_shape_describe(shape, shape->inputs[input]));
}

/* A type of indices that a layer makes; NONE becomes `none`. */
static bool want_index_type(const tn_shape *shape, tn_dtype *dtype, tn_dtype none) {
    if (*dtype == TN_DTYPE_NONE) *dtype = none;
    if (*dtype == TN_INT32 || *dtype == TN_INT64) return true;
    return tn_shape_fail(shape, "its indices can be int32 or int64, not %s", tn_dtype_name(*dtype));
}

/* A host scalar as a symbol. */
static bool want_host_scalar(const tn_shape *shape, uint32_t input, const char *what, tn_sym *out) {
    tn_tensor *tensor = shape->inputs[input];
    if (tensor->dtype == TN_BOOL || !tn_tensor_require_host(tensor) || tensor->num_host_values != 1)
        return tn_shape_fail(shape, "%s must be an integer scalar, it is %s", what, tn_shape_describe(shape, tensor));
    *out = tensor->host_syms[0];
    return true;
}

bool tn_shape_topk(tn_shape *shape) {
    tn_topk_params *params = &shape->params->topk;
    const tn_tensor *x = shape->inputs[0];
    if (params->op < 0 || params->op >= TN_NUM_TOPK_OPS) return tn_shape_fail(shape, "there is no operation %d", params->op);
    if (!tn_shape_want_elements(shape, 0) || !tn_shape_want_axis(shape, &params->axis, x->rank) ||
        !want_index_type(shape, &params->indices, TN_INT32))
        return false;
    if (x->dtype == TN_BOOL) return tn_shape_fail(shape, "it needs numbers, it gets %s", tn_shape_describe(shape, x));
    tn_sym k = tn_shape_const(shape, params->k);
    if (shape->num_inputs > 1 && shape->inputs[1] != NULL) {
        if (!want_host_scalar(shape, 1, "k", &k)) return false;
        params->k = 0;
    }
    int64_t k_value, dim_value;
    bool is_known = tn_sym_is_const(shape->network->symbols, k, &k_value);
    if (is_known && (k_value < 0 || (tn_sym_is_const(shape->network->symbols, x->dims[params->axis], &dim_value) && k_value > dim_value)))
        return tn_shape_fail(shape, "it cannot take %" PRId64 " elements along axis %" PRId64 " of %s", k_value, params->axis,
                             tn_shape_describe(shape, x));
    tn_shape_copy(shape, 0, x, x->dtype);
    tn_shape_copy(shape, 1, x, params->indices);
    shape->outputs[0].dims[params->axis] = shape->outputs[1].dims[params->axis] = k;
    return true;
}

bool tn_shape_cumulative(tn_shape *shape) {
    tn_cumulative_params *params = &shape->params->cumulative;
    if (params->op < 0 || params->op >= TN_NUM_CUMULATIVE_OPS) return tn_shape_fail(shape, "there is no operation %d", params->op);
    if (!tn_shape_want_elements(shape, 0)) return false;
    if (shape->inputs[0]->dtype == TN_BOOL)
        return tn_shape_fail(shape, "it needs numbers, it gets %s", tn_shape_describe(shape, shape->inputs[0]));
    return tn_shape_want_axis(shape, &params->axis, shape->inputs[0]->rank) && tn_shape_output_is_input(shape);
}

bool tn_shape_ragged_softmax(tn_shape *shape) {
    const tn_tensor *x = shape->inputs[0];
    if (!tn_shape_want_float(shape, 0, "x") || !tn_shape_want_rank(shape, 0, "x", 3) || !want_indices(shape, 1, "the bounds") ||
        !tn_shape_want_rank(shape, 1, "the bounds", 3) || !tn_shape_want_dim(shape, 1, "the bounds", 2, TN_SYM_ONE))
        return false;
    for (int axis = 0; axis < 2; axis++)
        if (!tn_shape_want_dim(shape, 1, "the bounds", axis, x->dims[axis])) return false;
    return tn_shape_output_is_input(shape);
}

/* --- placing ---------------------------------------------------------------------------------------------------------------- */

static bool want_same_dims(const tn_shape *shape, uint32_t input, const char *what, const tn_sym *dims, int rank) {
    if (!tn_shape_want_rank(shape, input, what, rank)) return false;
    for (int axis = 0; axis < rank; axis++)
        if (!tn_shape_want_dim(shape, input, what, axis, dims[axis])) return false;
    return true;
}

static bool scatter_nd(const tn_shape *shape) {
    const tn_tensor *data = shape->inputs[0], *indices = shape->inputs[1];
    int64_t depth;
    if (indices->rank < 1 || !tn_sym_is_const(shape->network->symbols, indices->dims[indices->rank - 1], &depth) || depth < 1 ||
        depth > data->rank)
        return tn_shape_fail(shape, "the last dimension of the indices must be a constant from 1 to %d, they are %s", data->rank,
                             tn_shape_describe(shape, indices));
    tn_sym dims[2 * TN_MAX_RANK];
    int rank = 0;
    for (int i = 0; i + 1 < indices->rank; i++) dims[rank++] = indices->dims[i];
    for (int i = (int)depth; i < data->rank; i++) dims[rank++] = data->dims[i];
    return want_same_dims(shape, 2, "the updates", dims, rank);
}

bool tn_shape_scatter(tn_shape *shape) {
    tn_scatter_params *params = &shape->params->scatter;
    const tn_tensor *data = shape->inputs[0], *indices = shape->inputs[1];
    if (params->mode < 0 || params->mode >= TN_NUM_SCATTER_MODES) return tn_shape_fail(shape, "there is no scatter mode %d", params->mode);
    if (!tn_shape_want_elements(shape, 0) || !want_indices(shape, 1, "the indices") ||
        !tn_shape_want_dtype(shape, 2, "the updates", data->dtype))
        return false;
    if (params->mode == TN_SCATTER_ND) return scatter_nd(shape) && tn_shape_output_is_input(shape);
    return tn_shape_want_axis(shape, &params->axis, data->rank) && tn_shape_want_rank(shape, 1, "the indices", data->rank) &&
           want_same_dims(shape, 2, "the updates", indices->dims, indices->rank) && tn_shape_output_is_input(shape);
}

bool tn_shape_one_hot(tn_shape *shape) {
    tn_one_hot_params *params = &shape->params->one_hot;
    const tn_tensor *indices = shape->inputs[0], *values = shape->inputs[1];
    if (!want_indices(shape, 0, "the indices") || !tn_shape_want_elements(shape, 1) || !tn_shape_want_rank(shape, 1, "the values", 1) ||
        !tn_shape_want_dim(shape, 1, "the values", 0, tn_shape_const(shape, 2)))
        return false;
    if (params->depth < 1) return tn_shape_fail(shape, "its depth is %" PRId64 ", it must be at least 1", params->depth);
    if (indices->rank == TN_MAX_RANK) return tn_shape_fail(shape, "its output has more than %d dimensions", TN_MAX_RANK);
    if (!tn_shape_want_axis(shape, &params->axis, indices->rank + 1)) return false;
    tn_shape_output *output = &shape->outputs[0];
    output->dtype = values->dtype;
    for (int axis = 0, from = 0; axis <= indices->rank; axis++)
        output->dims[output->rank++] = axis == params->axis ? tn_shape_const(shape, params->depth) : indices->dims[from++];
    shape->num_outputs = 1;
    return true;
}

bool tn_shape_reverse_sequence(tn_shape *shape) {
    tn_reverse_sequence_params *params = &shape->params->reverse_sequence;
    const tn_tensor *x = shape->inputs[0];
    if (!tn_shape_want_elements(shape, 0) || !want_indices(shape, 1, "the lengths") || !tn_shape_want_rank(shape, 1, "the lengths", 1) ||
        !tn_shape_want_axis(shape, &params->batch_axis, x->rank) || !tn_shape_want_axis(shape, &params->sequence_axis, x->rank))
        return false;
    if (params->batch_axis == params->sequence_axis)
        return tn_shape_fail(shape, "its batch axis and its sequence axis are both %" PRId64, params->batch_axis);
    return tn_shape_want_dim(shape, 1, "the lengths", 0, x->dims[params->batch_axis]) && tn_shape_output_is_input(shape);
}

/* Like NON_ZERO's, the number of rows is output 1's element. */
bool tn_shape_nms(tn_shape *shape) {
    tn_nms_params *params = &shape->params->nms;
    const tn_tensor *boxes = shape->inputs[0];
    tn_sym most;
    if (params->format < 0 || params->format >= TN_NUM_BOX_FORMATS)
        return tn_shape_fail(shape, "there is no box format %d", params->format);
    if (params->top_k < 0) return tn_shape_fail(shape, "its limit of boxes is %" PRId64, params->top_k);
    if (!tn_shape_want_float(shape, 0, "the boxes") || !tn_shape_want_float(shape, 1, "the scores") ||
        !tn_shape_want_rank(shape, 1, "the scores", 3) || !want_index_type(shape, &params->indices, TN_INT32))
        return false;
    if (boxes->rank != 3 && boxes->rank != 4)
        return tn_shape_fail(shape, "the boxes must be [batch, boxes, 4] or [batch, boxes, classes, 4], they are %s",
                             tn_shape_describe(shape, boxes));
    for (int axis = 0; axis < 2; axis++)
        if (!tn_shape_want_dim(shape, 1, "the scores", axis, boxes->dims[axis])) return false;
    if (boxes->rank == 4 && !tn_shape_dim_is(shape, boxes->dims[2], 1) && !tn_shape_want_dim(shape, 1, "the scores", 2, boxes->dims[2]))
        return false;
    if (!tn_shape_want_dim(shape, 0, "the boxes", boxes->rank - 1, tn_shape_const(shape, 4)) ||
        !want_host_scalar(shape, 2, "the number of boxes a class", &most))
        return false;
    for (uint32_t i = 3; i < shape->num_inputs; i++)
        if (shape->inputs[i] != NULL && (!tn_shape_want_rank(shape, i, i == 3 ? "the IoU threshold" : "the score threshold", 0) ||
                                         !tn_shape_want_float(shape, i, i == 3 ? "the IoU threshold" : "the score threshold")))
            return false;
    tn_sym count = tn_sym_host_value(shape->network->symbols, shape->count_id, 0);
    shape->num_outputs = 2;
    shape->outputs[0] = (tn_shape_output){.dtype = params->indices, .rank = 2, .dims = {count, tn_shape_const(shape, 3)}};
    shape->outputs[1] = (tn_shape_output){.dtype = TN_INT64, .rank = 0};
    return true;
}

/* --- parameters that broadcast to x ------------------------------------------------------------------------------------------- */

bool tn_shape_parametric_relu(tn_shape *shape) {
    const tn_tensor *x = shape->inputs[0];
    if (!tn_shape_want_float(shape, 0, "x") || !tn_shape_want_dtype(shape, 1, "the slope", x->dtype) ||
        !tn_shape_want_rank(shape, 1, "the slope", x->rank))
        return false;
    for (int axis = 0; axis < x->rank; axis++)
        if (!tn_shape_dim_is(shape, shape->inputs[1]->dims[axis], 1) && !tn_shape_want_dim(shape, 1, "the slope", axis, x->dims[axis]))
            return false;
    return tn_shape_output_is_input(shape);
}

bool tn_shape_scale(tn_shape *shape) {
    static const char *const names[] = {"x", "the shift", "the scale", "the power"};
    tn_scale_params *params = &shape->params->scale;
    const tn_tensor *x = shape->inputs[0];
    if (params->mode < 0 || params->mode >= TN_NUM_SCALE_MODES) return tn_shape_fail(shape, "there is no scale mode %d", params->mode);
    if (!tn_shape_want_float(shape, 0, "x")) return false;
    if (params->mode != TN_SCALE_UNIFORM && !tn_shape_want_axis(shape, &params->axis, x->rank)) return false;
    for (uint32_t i = 1; i < shape->num_inputs; i++) {
        const tn_tensor *weights = shape->inputs[i];
        if (weights == NULL) continue;
        if (!tn_shape_want_dtype(shape, i, names[i], x->dtype)) return false;
        bool is_one = weights->rank == 0 || (weights->rank == 1 && tn_shape_dim_is(shape, weights->dims[0], 1));
        if (params->mode == TN_SCALE_UNIFORM && !is_one)
            return tn_shape_fail(shape, "%s must be one value, it is %s", names[i], tn_shape_describe(shape, weights));
        int rank = params->mode == TN_SCALE_CHANNEL ? 1 : x->rank - (int)params->axis;
        if (params->mode != TN_SCALE_UNIFORM && !want_same_dims(shape, i, names[i], x->dims + params->axis, rank)) return false;
    }
    return tn_shape_output_is_input(shape);
}

bool tn_shape_normalization_nd(tn_shape *shape) {
    tn_normalization_nd_params *params = &shape->params->normalization_nd;
    const tn_tensor *x = shape->inputs[0];
    int64_t channels;
    if (params->type < 0 || params->type >= TN_NUM_NORMALIZATIONS)
        return tn_shape_fail(shape, "there is no normalization %d", params->type);
    if (!(params->epsilon >= 0.0)) return tn_shape_fail(shape, "epsilon %g must be ≥ 0", params->epsilon);
    if (!tn_shape_want_float(shape, 0, "x")) return false;
    if (params->groups == 0) params->groups = 1;
    if (params->axes <= 0 || params->axes >= (int64_t)1 << x->rank)
        return tn_shape_fail(shape, "axes 0x%" PRIx64 " are none of %s", (uint64_t)params->axes, tn_shape_describe(shape, x));
    if (params->groups < 1) return tn_shape_fail(shape, "it has %" PRId64 " groups, it needs at least 1", params->groups);
    if (params->groups > 1) {
        if ((params->axes & 3) != 0 || x->rank < 3)
            return tn_shape_fail(shape, "with groups its axes are spatial ones of [batch, channels, …], not 0x%" PRIx64 " of %s",
                                 (uint64_t)params->axes, tn_shape_describe(shape, x));
        if (!tn_sym_is_const(shape->network->symbols, x->dims[1], &channels) || channels % params->groups != 0)
            return tn_shape_fail(shape, "%" PRId64 " groups do not divide the channels of %s", params->groups, tn_shape_describe(shape, x));
    }
    for (uint32_t i = 1; i < shape->num_inputs; i++) {
        const tn_tensor *weights = shape->inputs[i];
        const char *what = i == 1 ? "the scale" : "the bias";
        if (weights == NULL) continue;
        if (!tn_shape_want_float(shape, i, what) || !tn_shape_want_rank(shape, i, what, x->rank)) return false;
        for (int axis = 0; axis < x->rank; axis++) {
            bool is_group = axis == 1 && params->groups > 1 && tn_shape_dim_is(shape, weights->dims[1], params->groups);
            if (is_group || tn_shape_dim_is(shape, weights->dims[axis], 1)) continue;
            if (!tn_shape_want_dim(shape, i, what, axis, x->dims[axis])) return false;
        }
    }
    return tn_shape_output_is_input(shape);
}

/* --- einsum --------------------------------------------------------------------------------------------------------------------- */

bool tn_shape_einsum(tn_shape *shape) {
    tn_einsum einsum;
    tn_sym sizes[TN_EINSUM_NUM_LABELS];
    const char *equation = shape->params->einsum.equation.text;
    if (!tn_einsum_read(&shape->params->einsum.equation, &einsum) || einsum.num_inputs != (int)shape->num_inputs)
        return tn_shape_fail(shape, "'%s' is no equation of %" PRIu32 " inputs", equation, shape->num_inputs);
    for (int i = 0; i < TN_EINSUM_NUM_LABELS; i++) sizes[i] = TN_SYM_ONE;
    for (uint32_t i = 0; i < shape->num_inputs; i++) {
        const tn_tensor *x = shape->inputs[i];
        if (!tn_shape_want_elements(shape, i) || !tn_shape_want_dtype(shape, i, "every input", shape->inputs[0]->dtype) ||
            !tn_shape_want_rank(shape, i, "an input", einsum.rank[i]))
            return false;
        if (x->dtype == TN_BOOL) return tn_shape_fail(shape, "it needs numbers, it gets %s", tn_shape_describe(shape, x));
        for (int axis = 0; axis < x->rank; axis++) {
            tn_sym *size = &sizes[einsum.labels[i][axis]];
            tn_sym both = tn_shape_broadcast(shape, *size, x->dims[axis]);
            if (both == TN_SYM_INVALID && !tn_symbols_out_of_memory(shape->network->symbols))
                return tn_shape_fail(shape, "'%s': dimension %d of '%s' is %s where another input has %s", equation, axis, x->name,
                                     tn_shape_describe_dim(shape, x->dims[axis]), tn_shape_describe_dim(shape, *size));
            *size = both;
        }
    }
    tn_shape_output *output = &shape->outputs[0];
    output->dtype = shape->inputs[0]->dtype;
    output->rank = einsum.rank[TN_EINSUM_OUTPUT];
    for (int axis = 0; axis < output->rank; axis++) output->dims[axis] = sizes[einsum.labels[TN_EINSUM_OUTPUT][axis]];
    shape->num_outputs = 1;
    return true;
}
