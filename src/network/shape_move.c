/* SPDX-License-Identifier: Apache-2.0
 *
 * shape_move.c: shapes of layers that move values: shuffle, squeeze, unsqueeze, slice, concatenation, gather, non_zero.
 */
#include <inttypes.h>
#include <string.h>

#include "network/network_internal.h"

static tn_tensor *optional_input(const tn_shape *shape, uint32_t input) {
    return input < shape->num_inputs ? shape->inputs[input] : NULL;
}

/* A tensor of dims as symbols. */
static bool want_host_vector(const tn_shape *shape, tn_tensor *tensor, const char *what) {
    if (tensor->rank == 1 && tn_tensor_require_host(tensor)) return true;
    return tn_shape_fail(shape, "%s must be an integer tensor of 1 dimension and at most %d elements, it is %s", what, TN_MAX_HOST_VALUES,
                         tn_shape_describe(shape, tensor));
}

/* --- shuffle -------------------------------------------------------------------------------------------------------------- */

static bool transpose(const tn_shape *shape, const tn_dims *permutation, const char *which, tn_sym *dims, int rank) {
    if (permutation->rank == 0) return true;
    tn_sym before[TN_MAX_RANK];
    uint32_t seen = 0;
    memcpy(before, dims, sizeof before);
    bool is_valid = permutation->rank == rank;
    for (int i = 0; is_valid && i < rank; i++) {
        int64_t from = permutation->d[i];
        is_valid = from >= 0 && from < rank && (seen >> from & 1u) == 0;
        if (is_valid) {
            seen |= 1u << from;
            dims[i] = before[from];
        }
    }
    if (is_valid) return true;
    return tn_shape_fail(shape, "the %s transpose is no permutation of %d axes", which, rank);
}

static tn_sym volume(const tn_shape *shape, const tn_sym *dims, int rank) {
    tn_sym product = TN_SYM_ONE;
    for (int i = 0; i < rank; i++) product = tn_sym_binary(shape->network->symbols, TN_SYM_MUL, product, dims[i]);
    return product;
}

/* The wanted dims as symbols; the index of the one to infer, or −1. */
static bool read_reshape(const tn_shape *shape, const tn_sym *from, int from_rank, tn_sym *to, int *out_rank, int *out_inferred) {
    const tn_shuffle_params *params = &shape->params->shuffle;
    tn_tensor *tensor = optional_input(shape, 1);
    int64_t rank = params->reshape.rank;
    if (tensor != NULL) {
        if (!want_host_vector(shape, tensor, "the reshape")) return false;
        rank = tensor->num_host_values;
    }
    if (rank < 0 || rank > TN_MAX_RANK)
        return tn_shape_fail(shape, "it reshapes to %" PRId64 " dimensions, at most %d are allowed", rank, TN_MAX_RANK);
    *out_rank = (int)rank;
    *out_inferred = -1;
    for (int i = 0; i < rank; i++) {
        to[i] = tensor != NULL ? tensor->host_syms[i] : tn_shape_const(shape, params->reshape.d[i]);
        int64_t value;
        if (!tn_sym_is_const(shape->network->symbols, to[i], &value)) continue;
        if (value == -1 && *out_inferred >= 0) return tn_shape_fail(shape, "it reshapes with two dimensions of −1, one can be inferred");
        if (value < -1) return tn_shape_fail(shape, "it reshapes to a dimension of %" PRId64, value);
        if (value == -1) *out_inferred = i;
        if (value != 0 || params->zero_is_zero) continue;
        if (i >= from_rank) return tn_shape_fail(shape, "dimension %d of the reshape copies one that the input lacks", i);
        to[i] = from[i];
    }
    return true;
}

static bool reshape(const tn_shape *shape, tn_sym *dims, int *rank) {
    tn_sym to[TN_MAX_RANK], rest[TN_MAX_RANK];
    int to_rank = 0, inferred = -1;
    if (!read_reshape(shape, dims, *rank, to, &to_rank, &inferred)) return false;
    tn_symbols *symbols = shape->network->symbols;
    tn_sym from_volume = volume(shape, dims, *rank);
    if (inferred >= 0) {
        int num_rest = 0;
        for (int i = 0; i < to_rank; i++)
            if (i != inferred) rest[num_rest++] = to[i];
        tn_sym known = volume(shape, rest, num_rest);
        int64_t from_elements, known_elements;
        bool is_const = tn_sym_is_const(symbols, from_volume, &from_elements) && tn_sym_is_const(symbols, known, &known_elements);
        if (is_const && (known_elements == 0 || from_elements % known_elements != 0))
            return tn_shape_fail(shape, "%s cannot be reshaped: %" PRId64 " elements are no multiple of %" PRId64,
                                 tn_shape_describe(shape, shape->inputs[0]), from_elements, known_elements);
        to[inferred] = tn_sym_binary(symbols, TN_SYM_FLOOR_DIV, from_volume, known);
    } else {
        tn_sym to_volume = volume(shape, to, to_rank);
        if (tn_sym_equal(symbols, from_volume, to_volume) == TN_NO)
            return tn_shape_fail(shape, "%s cannot be reshaped: it has %s elements, the reshape %s",
                                 tn_shape_describe(shape, shape->inputs[0]), tn_shape_describe_dim(shape, from_volume),
                                 tn_shape_describe_dim(shape, to_volume));
    }
    memcpy(dims, to, sizeof to);
    *rank = to_rank;
    return true;
}

bool tn_shape_shuffle(tn_shape *shape) {
    const tn_shuffle_params *params = &shape->params->shuffle;
    if (!tn_shape_want_elements(shape, 0)) return false;
    tn_shape_copy(shape, 0, shape->inputs[0], shape->inputs[0]->dtype);
    tn_shape_output *output = &shape->outputs[0];
    if (!transpose(shape, &params->first, "first", output->dims, output->rank)) return false;
    if ((params->has_reshape || optional_input(shape, 1) != NULL) && !reshape(shape, output->dims, &output->rank)) return false;
    return transpose(shape, &params->second, "second", output->dims, output->rank);
}

/* --- squeeze, unsqueeze --------------------------------------------------------------------------------------------------- */

bool tn_shape_squeeze(tn_shape *shape) {
    int64_t axes = shape->params->squeeze.axes;
    const tn_tensor *x = shape->inputs[0];
    if (!tn_shape_want_elements(shape, 0)) return false;
    if (axes < 0 || axes >= (int64_t)1 << x->rank)
        return tn_shape_fail(shape, "axes 0x%" PRIx64 " are none of %s", (uint64_t)axes, tn_shape_describe(shape, x));
    tn_shape_output *output = &shape->outputs[0];
    output->dtype = x->dtype;
    for (int axis = 0; axis < x->rank; axis++) {
        if ((axes >> axis & 1) == 0)
            output->dims[output->rank++] = x->dims[axis];
        else if (!tn_shape_want_dim(shape, 0, "x", axis, TN_SYM_ONE))
            return false;
    }
    shape->num_outputs = 1;
    return true;
}

bool tn_shape_unsqueeze(tn_shape *shape) {
    int64_t axes = shape->params->unsqueeze.axes;
    const tn_tensor *x = shape->inputs[0];
    if (!tn_shape_want_elements(shape, 0)) return false;
    int rank = x->rank + __builtin_popcountll((unsigned long long)axes);
    if (axes < 0 || rank > TN_MAX_RANK || axes >= (int64_t)1 << rank)
        return tn_shape_fail(shape, "axes 0x%" PRIx64 " are none of an output of %d dimensions; at most %d are allowed", (uint64_t)axes,
                             rank, TN_MAX_RANK);
    tn_shape_output *output = &shape->outputs[0];
    output->dtype = x->dtype;
    output->rank = rank;
    for (int axis = 0, from = 0; axis < rank; axis++) output->dims[axis] = (axes >> axis & 1) != 0 ? TN_SYM_ONE : x->dims[from++];
    shape->num_outputs = 1;
    return true;
}

/* --- slice ---------------------------------------------------------------------------------------------------------------- */

/* Element `at` of start, size or stride: from the tensor if there is one. */
static tn_sym slice_value(const tn_shape *shape, uint32_t input, const tn_dims *dims, int at) {
    const tn_tensor *tensor = optional_input(shape, input);
    return tensor != NULL ? tensor->host_syms[at] : tn_shape_const(shape, dims->d[at]);
}

static bool want_slice_vector(const tn_shape *shape, uint32_t input, const tn_dims *dims, const char *what, int needed) {
    tn_tensor *tensor = optional_input(shape, input);
    if (tensor != NULL && !want_host_vector(shape, tensor, what)) return false;
    int64_t count = tensor != NULL ? tensor->num_host_values : dims->rank;
    if (count == needed) return true;
    return tn_shape_fail(shape, "its %s has %" PRId64 " elements, it needs %d for %s", what, count, needed,
                         tn_shape_describe(shape, shape->inputs[0]));
}

/* Start, size and stride of one axis inside the dimension, if all are known. */
static bool slice_is_inside(const tn_shape *shape, int axis, tn_sym dim, tn_sym start, tn_sym size, tn_sym stride) {
    const tn_symbols *symbols = shape->network->symbols;
    int64_t start_value, size_value, stride_value, dim_value, last = 0;
    if (!tn_sym_is_const(symbols, size, &size_value)) return true;
    if (size_value < 0) return tn_shape_fail(shape, "its size is %" PRId64 " on axis %d", size_value, axis);
    if (size_value == 0 || !tn_sym_is_const(symbols, dim, &dim_value)) return true;
    int mode = shape->params->slice.mode;
    if (mode == TN_SAMPLE_FILL) return true;
    if (mode != TN_SAMPLE_STRICT_BOUNDS)
        return dim_value > 0 || tn_shape_fail(shape, "axis %d: it takes %" PRId64 " elements of an empty dimension", axis, size_value);
    if (!tn_sym_is_const(symbols, start, &start_value) || !tn_sym_is_const(symbols, stride, &stride_value)) return true;
    bool overflows = __builtin_mul_overflow(size_value - 1, stride_value, &last) || __builtin_add_overflow(last, start_value, &last);
    if (!overflows && start_value >= 0 && start_value < dim_value && last >= 0 && last < dim_value) return true;
    return tn_shape_fail(shape, "axis %d: start %" PRId64 ", size %" PRId64 ", stride %" PRId64 " leave the dimension of %" PRId64, axis,
                         start_value, size_value, stride_value, dim_value);
}

static bool slice_axis(tn_shape *shape, int axis, int at) {
    const tn_slice_params *params = &shape->params->slice;
    tn_symbols *symbols = shape->network->symbols;
    tn_sym dim = shape->inputs[0]->dims[axis];
    tn_sym start = slice_value(shape, 1, &params->start, at), size = slice_value(shape, 2, &params->size, at);
    tn_sym stride = slice_value(shape, 3, &params->stride, at);
    int64_t size_value, stride_value;
    if (tn_sym_is_const(symbols, size, &size_value) && size_value < 0) { /* −1: up to the end */
        if (size_value != -1 || !tn_sym_is_const(symbols, stride, &stride_value) || stride_value < 1)
            return tn_shape_fail(shape, "its size is %" PRId64 " on axis %d; −1, up to the end, needs a stride ≥ 1", size_value, axis);
        size = tn_sym_binary(symbols, TN_SYM_CEIL_DIV, tn_sym_binary(symbols, TN_SYM_SUB, dim, start), stride);
    }
    shape->outputs[0].dims[axis] = size;
    return slice_is_inside(shape, axis, dim, start, size, stride);
}

bool tn_shape_slice(tn_shape *shape) {
    tn_slice_params *params = &shape->params->slice;
    const tn_tensor *x = shape->inputs[0], *fill = optional_input(shape, 4);
    int count = params->axes.rank > 0 ? params->axes.rank : x->rank;
    uint32_t seen = 0;
    if (params->mode < 0 || params->mode >= TN_NUM_SAMPLE_MODES) return tn_shape_fail(shape, "there is no slice mode %d", params->mode);
    if (!tn_shape_want_elements(shape, 0) || !want_slice_vector(shape, 1, &params->start, "start", count) ||
        !want_slice_vector(shape, 2, &params->size, "size", count) || !want_slice_vector(shape, 3, &params->stride, "stride", count))
        return false;
    if (fill != NULL && params->mode != TN_SAMPLE_FILL) return tn_shape_fail(shape, "it has a fill value, and its mode is not fill");
    if (fill != NULL && (!tn_shape_want_dtype(shape, 4, "the fill value", x->dtype) || !tn_shape_want_rank(shape, 4, "the fill value", 0)))
        return false;
    tn_shape_copy(shape, 0, x, x->dtype);
    for (int i = 0; i < count; i++) {
        int64_t axis = i;
        if (params->axes.rank > 0) {
            if (!tn_shape_want_axis(shape, &params->axes.d[i], x->rank)) return false;
            axis = params->axes.d[i];
        }
        if ((seen >> axis & 1u) != 0) return tn_shape_fail(shape, "axis %" PRId64 " stands twice among its axes", axis);
        seen |= 1u << axis;
        if (!slice_axis(shape, (int)axis, i)) return false;
    }
    return true;
}

/* --- concatenation, gather, non_zero -------------------------------------------------------------------------------------- */

bool tn_shape_concatenation(tn_shape *shape) {
    const tn_tensor *first = shape->inputs[0];
    int64_t *axis = &shape->params->concatenation.axis;
    if (!tn_shape_want_elements(shape, 0)) return false;
    if (!tn_shape_want_axis(shape, axis, first->rank)) return false;
    tn_shape_copy(shape, 0, first, first->dtype);
    for (uint32_t i = 1; i < shape->num_inputs; i++) {
        const tn_tensor *input = shape->inputs[i];
        bool fits = input->dtype == first->dtype && input->rank == first->rank;
        for (int d = 0; fits && d < first->rank; d++)
            fits = d == *axis || tn_sym_equal(shape->network->symbols, first->dims[d], input->dims[d]) != TN_NO;
        if (!fits)
            return tn_shape_fail(shape, "'%s' is %s and '%s' is %s: they may differ only along axis %" PRId64, first->name,
                                 tn_shape_describe(shape, first), input->name, tn_shape_describe(shape, input), *axis);
        tn_sym *joined = &shape->outputs[0].dims[*axis];
        *joined = tn_sym_binary(shape->network->symbols, TN_SYM_ADD, *joined, input->dims[*axis]);
    }
    return true;
}

/* Dimensions that data and indices have in common. */
static bool want_batch_dims(const tn_shape *shape, int64_t most) {
    const tn_tensor *data = shape->inputs[0], *indices = shape->inputs[1];
    int64_t count = shape->params->gather.batch_dims;
    if (count < 0 || count > most || count > data->rank || count > indices->rank)
        return tn_shape_fail(shape, "%" PRId64 " dimensions cannot be common to data %s and indices %s in this mode", count,
                             tn_shape_describe(shape, data), tn_shape_describe(shape, indices));
    for (int i = 0; i < count; i++)
        if (!tn_shape_want_dim(shape, 1, "the indices", i, data->dims[i])) return false;
    return true;
}

static bool gather_nd(tn_shape *shape) {
    const tn_tensor *data = shape->inputs[0], *indices = shape->inputs[1];
    int64_t depth, batch = shape->params->gather.batch_dims;
    if (!want_batch_dims(shape, data->rank - 1)) return false;
    if (indices->rank < 1 + batch || !tn_sym_is_const(shape->network->symbols, indices->dims[indices->rank - 1], &depth) || depth < 1 ||
        depth > data->rank - batch)
        return tn_shape_fail(shape, "the last dimension of the indices must be a constant from 1 to %" PRId64 ", they are %s",
                             data->rank - batch, tn_shape_describe(shape, indices));
    tn_shape_output *output = &shape->outputs[0];
    int rank = indices->rank - 1 + data->rank - (int)(depth + batch);
    if (rank > TN_MAX_RANK) return tn_shape_fail(shape, "its output has %d dimensions, at most %d are allowed", rank, TN_MAX_RANK);
    for (int i = 0; i + 1 < indices->rank; i++) output->dims[output->rank++] = indices->dims[i];
    for (int i = (int)(depth + batch); i < data->rank; i++) output->dims[output->rank++] = data->dims[i];
    return true;
}

static bool gather_along_axis(tn_shape *shape) {
    const tn_tensor *data = shape->inputs[0], *indices = shape->inputs[1];
    const tn_gather_params *params = &shape->params->gather;
    tn_shape_output *output = &shape->outputs[0];
    if (!want_batch_dims(shape, 1)) return false;
    if (params->batch_dims > params->axis)
        return tn_shape_fail(shape, "axis %" PRId64 " is one of the %" PRId64 " common dimensions", params->axis, params->batch_dims);
    int64_t rank = data->rank - 1 + indices->rank - params->batch_dims;
    if (rank > TN_MAX_RANK) return tn_shape_fail(shape, "its output has %" PRId64 " dimensions, at most %d are allowed", rank, TN_MAX_RANK);
    for (int i = 0; i < data->rank; i++) {
        if (i != params->axis) {
            output->dims[output->rank++] = data->dims[i];
            continue;
        }
        for (int64_t j = params->batch_dims; j < indices->rank; j++) output->dims[output->rank++] = indices->dims[j];
    }
    return true;
}

bool tn_shape_gather(tn_shape *shape) {
    const tn_tensor *data = shape->inputs[0], *indices = shape->inputs[1];
    tn_gather_params *params = &shape->params->gather;
    if (!tn_shape_want_elements(shape, 0)) return false;
    if (indices->dtype != TN_INT32 && indices->dtype != TN_INT64)
        return tn_shape_fail(shape, "the indices must be int32 or int64, they are %s", tn_shape_describe(shape, indices));
    shape->outputs[0].dtype = data->dtype;
    shape->num_outputs = 1;
    if (params->mode == TN_GATHER_ND) return gather_nd(shape);
    if (!tn_shape_want_axis(shape, &params->axis, data->rank)) return false;
    if (params->mode == TN_GATHER_DEFAULT) return gather_along_axis(shape);
    if (params->mode != TN_GATHER_ELEMENT) return tn_shape_fail(shape, "there is no gather mode %d", params->mode);
    if (!want_batch_dims(shape, 0) || !tn_shape_want_rank(shape, 1, "the indices", data->rank)) return false;
    tn_shape_copy(shape, 0, indices, data->dtype);
    return true;
}

/* The count is known when the layer has run: output 1's element stands for it in output 0's shape. Its id is the next one
 * but one: the outputs are made in order. */
bool tn_shape_non_zero(tn_shape *shape) {
    const tn_tensor *x = shape->inputs[0];
    if (!tn_shape_want_elements(shape, 0)) return false;
    if (x->rank < 1) return tn_shape_fail(shape, "its input is a scalar");
    tn_dtype *indices = &shape->params->non_zero.indices;
    if (*indices == TN_DTYPE_NONE) *indices = TN_INT64;
    if (*indices != TN_INT32 && *indices != TN_INT64)
        return tn_shape_fail(shape, "its indices can be int32 or int64, not %s", tn_dtype_name(*indices));
    tn_sym count = tn_sym_host_value(shape->network->symbols, shape->count_id, 0);
    shape->num_outputs = 2;
    shape->outputs[0] = (tn_shape_output){.dtype = *indices, .rank = 2, .dims = {tn_shape_const(shape, x->rank), count}};
    shape->outputs[1] = (tn_shape_output){.dtype = TN_INT64, .rank = 0};
    return true;
}
