/* SPDX-License-Identifier: Apache-2.0
 *
 * movement.c: SHUFFLE, SLICE, CONCATENATION, GATHER, NON_ZERO: values move, bits do not change.
 */
#include <string.h>

#include "backend/ref/ref.h"

static void row_major_strides(int rank, const int64_t *dims, int64_t strides[TN_MAX_RANK]) {
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= dims[i];
    }
}

/* Output index → (undo second) → reshaped index = index of the first transposition → (undo first) → input. */
tn_status tn_ref_shuffle(const tn_ref_call *call) {
    const tn_shuffle_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0), reshaped = {.rank = y.rank}, first = {.rank = x.rank};
    int64_t reshaped_strides[TN_MAX_RANK], second_strides[TN_MAX_RANK], x_strides[TN_MAX_RANK], first_strides[TN_MAX_RANK];
    bool has_first = params->first.rank > 0, has_second = params->second.rank > 0;
    for (int i = 0; i < y.rank; i++) reshaped.dims[has_second ? params->second.d[i] : i] = y.dims[i];
    row_major_strides(reshaped.rank, reshaped.dims, reshaped_strides);
    for (int i = 0; i < y.rank; i++) second_strides[i] = reshaped_strides[has_second ? params->second.d[i] : i];
    row_major_strides(x.rank, x.dims, x_strides);
    for (int i = 0; i < x.rank; i++) {
        first.dims[i] = x.dims[has_first ? params->first.d[i] : i];
        first_strides[i] = x_strides[has_first ? params->first.d[i] : i];
    }
    for (int64_t i = 0; i < y.count; i++) {
        int64_t linear = tn_ref_offset(&y, i, second_strides);
        tn_ref_copy(&y, i, &x, tn_ref_offset(&first, linear, first_strides));
    }
    return TN_OK;
}

/* start and stride of every axis; those that `axes` leaves out are whole. */
static void read_slice(const tn_ref_call *call, int rank, int64_t *begins, int64_t *steps) {
    const tn_slice_params *params = call->problem->params;
    tn_ref_view start = tn_ref_input(call, 1), stride = tn_ref_input(call, 3);
    bool has_axes = params->axes.rank > 0;
    for (int i = 0; i < rank; i++) begins[i] = 0, steps[i] = 1;
    for (int i = 0; i < (has_axes ? params->axes.rank : rank); i++) {
        int64_t axis = has_axes ? params->axes.d[i] : i;
        begins[axis] = start.absent ? params->start.d[i] : tn_ref_load_int(&start, i);
        if (!stride.absent)
            steps[axis] = tn_ref_load_int(&stride, i);
        else if (params->stride.rank > 0)
            steps[axis] = params->stride.d[i];
    }
}

/* An index outside as the mode sees it; −1: the fill value. */
static int64_t bring_inside(tn_sample_mode mode, int64_t index, int64_t size) {
    if (index >= 0 && index < size) return index;
    int64_t period = mode == TN_SAMPLE_WRAP ? size : 2 * (size - 1), rest;
    switch (mode) {
    case TN_SAMPLE_CLAMP: return index < 0 ? 0 : size - 1;
    case TN_SAMPLE_WRAP:
    case TN_SAMPLE_REFLECT:
        if (period == 0) return 0;
        rest = index % period < 0 ? index % period + period : index % period;
        return rest < size ? rest : period - rest;
    default: return -1;
    }
}

static void store_zero(const tn_ref_view *y, int64_t index) {
    size_t bytes = tn_dtype_get_info(y->dtype)->bits / 8u;
    if (bytes > 0)
        memset((char *)y->data + (size_t)index * bytes, 0, bytes);
    else
        tn_ref_store(y, index, 0.0);
}

tn_status tn_ref_slice(const tn_ref_call *call) {
    const tn_slice_params *params = call->problem->params;
    tn_sample_mode mode = (tn_sample_mode)params->mode;
    tn_ref_view x = tn_ref_input(call, 0), fill = tn_ref_input(call, 4), y = tn_ref_output(call, 0);
    int64_t x_strides[TN_MAX_RANK], begins[TN_MAX_RANK], steps[TN_MAX_RANK];
    row_major_strides(x.rank, x.dims, x_strides);
    read_slice(call, x.rank, begins, steps);
    for (int i = 0; i < x.rank && y.count > 0; i++) {
        int64_t last;
        bool overflows = __builtin_mul_overflow(y.dims[i] - 1, steps[i], &last) || __builtin_add_overflow(last, begins[i], &last);
        bool is_outside = begins[i] < 0 || begins[i] >= x.dims[i] || last < 0 || last >= x.dims[i];
        bool may_be_outside = mode == TN_SAMPLE_FILL || (mode != TN_SAMPLE_STRICT_BOUNDS && x.dims[i] > 0);
        if (overflows || (is_outside && !may_be_outside))
            return tn_fail(call->diag, TN_INVALID_DATA, "cannot slice axis %d: elements %lld to %lld of %lld", i, (long long)begins[i],
                           (long long)last, (long long)x.dims[i]);
    }
    for (int64_t i = 0; i < y.count; i++) {
        int64_t from = 0, rest = i;
        for (int axis = y.rank - 1; axis >= 0; axis--) {
            int64_t index = bring_inside(mode, begins[axis] + rest % y.dims[axis] * steps[axis], x.dims[axis]);
            rest /= y.dims[axis];
            from = index < 0 || from < 0 ? -1 : from + index * x_strides[axis];
        }
        if (from >= 0)
            tn_ref_copy(&y, i, &x, from);
        else if (!fill.absent)
            tn_ref_copy(&y, i, &fill, 0);
        else
            store_zero(&y, i);
    }
    return TN_OK;
}

tn_status tn_ref_concatenate(const tn_ref_call *call) {
    const tn_concatenation_params *params = call->problem->params;
    tn_ref_view y = tn_ref_output(call, 0);
    int64_t inner = 1, at = 0;
    for (int i = y.rank - 1; i > params->axis; i--) inner *= y.dims[i];
    int64_t y_run = y.dims[params->axis] * inner;
    for (uint32_t input = 0; input < call->problem->num_inputs; input++) {
        tn_ref_view x = tn_ref_input(call, input);
        int64_t run = x.dims[params->axis] * inner;
        for (int64_t i = 0; i < x.count; i++) tn_ref_copy(&y, i / run * y_run + at + i % run, &x, i);
        at += run;
    }
    return TN_OK;
}

/* Whole rows along axis 0: also encoded weights, and types that need conversion. */
static void gather_rows(const tn_ref_view *data, const tn_ref_view *indices, const tn_ref_view *y) {
    int64_t rows_per_index = data->dims[0] > 0 ? data->rows / data->dims[0] : 0;
    double values[TN_REF_CHUNK];
    for (int64_t row = 0; row < y->rows; row++) {
        int64_t index = tn_ref_load_int(indices, row / rows_per_index);
        bool inside = index >= 0 && index < data->dims[0];
        for (int64_t begin = 0; begin < y->columns; begin += TN_REF_CHUNK) {
            int64_t count = y->columns - begin < TN_REF_CHUNK ? y->columns - begin : TN_REF_CHUNK;
            for (int64_t i = 0; i < count; i++) values[i] = 0.0;
            if (inside) tn_ref_load_columns(data, index * rows_per_index + row % rows_per_index, begin, count, values);
            tn_ref_store_columns(y, row, begin, count, values);
        }
    }
}

/* batch: the product of the dimensions in common, which are the first of both. */
static void gather_along_axis(const tn_ref_view *data, const tn_ref_view *indices, const tn_ref_view *y, int64_t axis, int64_t batch) {
    int64_t inner = 1, length = data->dims[axis];
    for (int i = data->rank - 1; i > axis; i--) inner *= data->dims[i];
    int64_t per_batch = batch > 0 ? indices->count / batch : 0, outer_per_batch = 1;
    for (int64_t i = 0; i < axis; i++) outer_per_batch *= data->dims[i];
    if (batch > 0) outer_per_batch /= batch;
    for (int64_t i = 0; i < y->count; i++) {
        int64_t outer = i / (inner * per_batch);
        int64_t index = tn_ref_load_int(indices, outer / outer_per_batch * per_batch + i / inner % per_batch);
        if (index >= 0 && index < length)
            tn_ref_copy(y, i, data, (outer * length + index) * inner + i % inner);
        else
            tn_ref_store(y, i, 0.0);
    }
}

static void gather_elements(const tn_ref_view *data, const tn_ref_view *indices, const tn_ref_view *y, int64_t axis) {
    int64_t strides[TN_MAX_RANK];
    row_major_strides(data->rank, data->dims, strides);
    int64_t axis_stride = strides[axis];
    strides[axis] = 0;
    for (int64_t i = 0; i < y->count; i++) {
        int64_t index = tn_ref_load_int(indices, i);
        if (index >= 0 && index < data->dims[axis])
            tn_ref_copy(y, i, data, tn_ref_offset(y, i, strides) + index * axis_stride);
        else
            tn_ref_store(y, i, 0.0);
    }
}

static void gather_nd(const tn_ref_view *data, const tn_ref_view *indices, const tn_ref_view *y, int64_t batch_dims) {
    int64_t strides[TN_MAX_RANK], depth = indices->columns, inner = 1, rows_per_batch = indices->rows;
    row_major_strides(data->rank, data->dims, strides);
    for (int64_t i = batch_dims + depth; i < data->rank; i++) inner *= data->dims[i];
    for (int64_t i = 0; i < batch_dims; i++) rows_per_batch = data->dims[i] > 0 ? rows_per_batch / data->dims[i] : 0;
    for (int64_t i = 0; i < y->count; i++) {
        int64_t row = i / inner, offset = i % inner;
        if (batch_dims > 0) offset += row / rows_per_batch * strides[batch_dims - 1];
        bool inside = true;
        for (int64_t d = 0; d < depth; d++) {
            int64_t index = tn_ref_load_int(indices, row * depth + d);
            inside = inside && index >= 0 && index < data->dims[batch_dims + d];
            if (inside) offset += index * strides[batch_dims + d];
        }
        if (inside)
            tn_ref_copy(y, i, data, offset);
        else
            tn_ref_store(y, i, 0.0);
    }
}

tn_status tn_ref_gather(const tn_ref_call *call) {
    const tn_gather_params *params = call->problem->params;
    tn_ref_view data = tn_ref_input(call, 0), indices = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    int64_t batch = 1;
    for (int64_t i = 0; i < params->batch_dims; i++) batch *= data.dims[i];
    if (data.encoding != NULL)
        gather_rows(&data, &indices, &y);
    else if (params->mode == TN_GATHER_ELEMENT)
        gather_elements(&data, &indices, &y, params->axis);
    else if (params->mode == TN_GATHER_ND)
        gather_nd(&data, &indices, &y, params->batch_dims);
    else
        gather_along_axis(&data, &indices, &y, params->axis, batch);
    return TN_OK;
}

static bool is_non_zero(const tn_ref_view *x, int64_t index) {
    return tn_ref_is_integer(x->dtype) ? tn_ref_load_int(x, index) != 0 : tn_ref_load(x, index) != 0.0;
}

tn_status tn_ref_non_zero(const tn_ref_call *call) {
    tn_ref_view x = tn_ref_input(call, 0), count = tn_ref_output(call, 1), indices = tn_ref_output(call, 0);
    int64_t n = 0, found = 0;
    for (int64_t i = 0; i < x.count; i++) n += is_non_zero(&x, i);
    tn_ref_store_int(&count, 0, n);
    for (int64_t i = 0; i < x.count; i++) {
        if (!is_non_zero(&x, i)) continue;
        int64_t rest = i;
        for (int axis = x.rank - 1; axis >= 0; axis--) {
            tn_ref_store_int(&indices, axis * n + found, rest % x.dims[axis]);
            rest /= x.dims[axis];
        }
        found++;
    }
    return TN_OK;
}
