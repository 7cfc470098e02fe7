/* SPDX-License-Identifier: Apache-2.0
 *
 * scale.c: SCALE, LRN, NORMALIZATION_ND: x with parameters or statistics along some of its axes.
 */
#include <math.h>

#include "backend/ref/ref.h"

static double load_or(const tn_ref_view *weights, int64_t index, double value) {
    return weights->absent ? value : tn_ref_load(weights, index);
}

tn_status tn_ref_scale(const tn_ref_call *call) {
    const tn_scale_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), shift = tn_ref_input(call, 1), scale = tn_ref_input(call, 2), power = tn_ref_input(call, 3);
    tn_ref_view y = tn_ref_output(call, 0);
    int64_t inner = 1, own = 1; /* elements behind the axis; elements from the axis on */
    for (int64_t i = params->axis; i < x.rank && params->mode != TN_SCALE_UNIFORM; i++) {
        own *= x.dims[i];
        if (i > params->axis) inner *= x.dims[i];
    }
    for (int64_t i = 0; i < y.count; i++) {
        int64_t at = params->mode == TN_SCALE_UNIFORM ? 0 : params->mode == TN_SCALE_CHANNEL ? i % own / inner : i % own;
        double value = tn_ref_load(&x, i) * load_or(&scale, at, 1.0) + load_or(&shift, at, 0.0);
        tn_ref_store(&y, i, power.absent ? value : pow(value, tn_ref_load(&power, at)));
    }
    return TN_OK;
}

tn_status tn_ref_lrn(const tn_ref_call *call) {
    const tn_lrn_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    int64_t channels = x.dims[1], inner = 1, half = params->window / 2;
    for (int i = 2; i < x.rank; i++) inner *= x.dims[i];
    for (int64_t i = 0; i < y.count; i++) {
        int64_t channel = i / inner % channels;
        int64_t first = channel > half ? channel - half : 0, last = channels - 1 - channel > half ? channel + half : channels - 1;
        double sum = 0.0;
        for (int64_t c = first; c <= last; c++) {
            double value = tn_ref_load(&x, i + (c - channel) * inner);
            sum += value * value;
        }
        tn_ref_store(&y, i, tn_ref_load(&x, i) / pow(params->k + params->alpha / (double)params->window * sum, params->beta));
    }
    return TN_OK;
}

/* --- NORMALIZATION_ND --------------------------------------------------------------------------------------------------------- */

/* A walk over some axes of x; `groups` makes the channel axis one of [groups, channels of a group]. */
typedef struct walk {
    tn_ref_view shape;
    int64_t strides[TN_MAX_RANK + 1], count;
} walk;

static void add_axis(walk *w, int64_t size, int64_t stride) {
    w->strides[w->shape.rank] = stride;
    w->shape.dims[w->shape.rank++] = size;
    w->count *= size;
}

/* Index of the parameter of element `at` of x: axes of 1 broadcast, and a channel axis may have one a group. */
static int64_t weight_index(const tn_ref_view *weights, const tn_ref_view *x, int64_t at, int64_t groups) {
    int64_t index = 0, stride = 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        int64_t place = at % x->dims[i];
        at /= x->dims[i];
        if (i == 1 && groups > 1 && weights->dims[1] != x->dims[1]) place /= x->dims[1] / groups;
        if (weights->dims[i] != 1) index += place * stride;
        stride *= weights->dims[i];
    }
    return index;
}

tn_status tn_ref_normalize_nd(const tn_ref_call *call) {
    const tn_normalization_nd_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), scale = tn_ref_input(call, 1), bias = tn_ref_input(call, 2), y = tn_ref_output(call, 0);
    int64_t stride = 1, groups = params->groups > 1 ? params->groups : 1, strides[TN_MAX_RANK];
    walk outer = {.count = 1}, inner = {.count = 1};
    for (int i = x.rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= x.dims[i];
    }
    for (int i = 0; i < x.rank; i++) {
        bool is_inner = (params->axes >> i & 1) != 0;
        if (i != 1 || groups == 1) {
            add_axis(is_inner ? &inner : &outer, x.dims[i], strides[i]);
            continue;
        }
        add_axis(&outer, groups, x.dims[1] / groups * strides[1]);
        add_axis(&inner, x.dims[1] / groups, strides[1]);
    }
    for (int64_t i = 0; i < outer.count && inner.count > 0; i++) {
        int64_t base = tn_ref_offset(&outer.shape, i, outer.strides);
        double mean = 0.0, squares = 0.0;
        for (int64_t k = 0; k < inner.count && params->type != TN_NORMALIZATION_RMS; k++)
            mean += tn_ref_load(&x, base + tn_ref_offset(&inner.shape, k, inner.strides)) / (double)inner.count;
        for (int64_t k = 0; k < inner.count; k++) {
            double difference = tn_ref_load(&x, base + tn_ref_offset(&inner.shape, k, inner.strides)) - mean;
            squares += difference * difference;
        }
        double divisor = sqrt(squares / (double)inner.count + params->epsilon);
        for (int64_t k = 0; k < inner.count; k++) {
            int64_t at = base + tn_ref_offset(&inner.shape, k, inner.strides);
            double value = (tn_ref_load(&x, at) - mean) / divisor * tn_ref_load(&scale, weight_index(&scale, &x, at, groups));
            tn_ref_store(&y, at, bias.absent ? value : value + tn_ref_load(&bias, weight_index(&bias, &x, at, groups)));
        }
    }
    return TN_OK;
}
