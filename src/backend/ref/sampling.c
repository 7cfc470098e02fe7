/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.c: RESIZE and GRID_SAMPLE: values between elements, from one, two or four neighbours along each axis.
 */
#include <math.h>

#include "backend/ref/ref.h"

enum { MAX_TAPS = 4 };

/* Neighbours along one axis with their shares; index −1: outside, 0. */
typedef struct taps {
    int count;
    int64_t index[MAX_TAPS];
    double weight[MAX_TAPS];
} taps;

/* Cubic convolution: shares of the elements at −1, 0, 1, 2 around a place `t` after element 0. */
static void cubic_weights(double t, double a, double out[MAX_TAPS]) {
    double distance[MAX_TAPS] = {1.0 + t, t, 1.0 - t, 2.0 - t};
    for (int i = 0; i < MAX_TAPS; i++) {
        double d = distance[i];
        bool is_near = i == 1 || i == 2;
        out[i] = is_near ? ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0 : ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    }
}

static int64_t clamp(int64_t value, int64_t size) {
    return value < 0 ? 0 : value >= size ? size - 1 : value;
}

/* --- RESIZE ----------------------------------------------------------------------------------------------------------------- */

static double find_place(const tn_resize_params *params, int axis, int64_t at, int64_t in, int64_t out) {
    bool has_scale = params->size.rank == 0 && params->numerators.rank > 0;
    double num = has_scale ? (double)params->numerators.d[axis] : (double)out,
           den = has_scale ? (double)params->denominators.d[axis] : (double)in;
    if (out == 1 && params->selector == TN_RESIZE_SELECT_UPPER) return 0.0;
    switch (params->transform) {
    case TN_RESIZE_ALIGN_CORNERS: return out > 1 ? (double)at * (double)(in - 1) / (double)(out - 1) : 0.0;
    case TN_RESIZE_HALF_PIXEL: return ((double)at + 0.5) * den / num - 0.5;
    default: return (double)at * den / num;
    }
}

static int64_t round_place(int rounding, double place) {
    switch (rounding) {
    case TN_RESIZE_HALF_UP: return (int64_t)floor(place + 0.5);
    case TN_RESIZE_HALF_DOWN: return (int64_t)ceil(place - 0.5);
    case TN_RESIZE_CEIL: return (int64_t)ceil(place);
    default: return (int64_t)floor(place);
    }
}

static taps find_taps(const tn_resize_params *params, bool by_tensor, int axis, int64_t at, int64_t in, int64_t out) {
    tn_resize_params own = *params;
    if (by_tensor) own.size.rank = 1; /* the scale is that of the sizes */
    double place = find_place(&own, axis, at, in, out);
    int64_t first = (int64_t)floor(place);
    double t = place - (double)first;
    taps result = {.count = 1, .weight = {1.0}};
    if (params->mode == TN_INTERPOLATION_NEAREST) {
        result.index[0] = clamp(round_place(params->rounding, place), in);
    } else if (params->mode == TN_INTERPOLATION_LINEAR) {
        result = (taps){.count = 2, .index = {clamp(first, in), clamp(first + 1, in)}, .weight = {1.0 - t, t}};
    } else {
        double sum = 0.0;
        result.count = MAX_TAPS;
        cubic_weights(t, params->cubic_coeff, result.weight);
        for (int i = 0; i < MAX_TAPS; i++) {
            int64_t index = first - 1 + i;
            if (params->exclude_outside && (index < 0 || index >= in)) result.weight[i] = 0.0;
            sum += result.weight[i];
            result.index[i] = clamp(index, in);
        }
        if (params->exclude_outside)
            for (int i = 0; i < MAX_TAPS; i++) result.weight[i] /= sum;
    }
    return result;
}

tn_status tn_ref_resize(const tn_ref_call *call) {
    const tn_resize_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), size = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    bool is_nearest = params->mode == TN_INTERPOLATION_NEAREST;
    for (int64_t i = 0; i < y.count; i++) {
        taps axes[TN_MAX_RANK];
        int64_t rest = i, num_terms = 1;
        for (int axis = x.rank - 1; axis >= 0; axis--) {
            int64_t at = rest % y.dims[axis];
            rest /= y.dims[axis];
            axes[axis] = x.dims[axis] == y.dims[axis] ? (taps){.count = 1, .index = {at}, .weight = {1.0}}
                                                      : find_taps(params, !size.absent, axis, at, x.dims[axis], y.dims[axis]);
            num_terms *= axes[axis].count;
        }
        double sum = 0.0;
        for (int64_t term = 0; term < num_terms; term++) {
            int64_t from = 0, stride = 1, choice = term;
            double weight = 1.0;
            for (int axis = x.rank - 1; axis >= 0; axis--) {
                int tap = (int)(choice % axes[axis].count);
                choice /= axes[axis].count;
                from += axes[axis].index[tap] * stride;
                stride *= x.dims[axis];
                weight *= axes[axis].weight[tap];
            }
            if (is_nearest)
                tn_ref_copy(&y, i, &x, from);
            else if (weight != 0.0)
                sum += weight * tn_ref_load(&x, from);
        }
        if (!is_nearest) tn_ref_store(&y, i, sum);
    }
    return TN_OK;
}

/* --- GRID_SAMPLE ------------------------------------------------------------------------------------------------------------ */

/* A place folded back into the input at its edges: the middles of the edge elements, or (not aligned) their outer sides. */
static double reflect(double place, double low, double high) {
    double span = high - low;
    if (span <= 0.0) return 0.0;
    double rest = fmod(fabs(place - low), 2.0 * span);
    return low + (rest <= span ? rest : 2.0 * span - rest);
}

static double bring_inside(const tn_grid_sample_params *params, double place, int64_t size) {
    double last = (double)(size - 1);
    if (params->outside == TN_SAMPLE_REFLECT) place = params->align_corners ? reflect(place, 0.0, last) : reflect(place, -0.5, last + 0.5);
    if (params->outside != TN_SAMPLE_FILL) place = fmin(fmax(place, 0.0), last);
    return place;
}

static int64_t index_or_outside(double place, int64_t size) {
    return place >= 0.0 && place < (double)size ? (int64_t)place : -1;
}

static taps find_grid_taps(const tn_grid_sample_params *params, double at, int64_t size) {
    double n = (double)size;
    if (!isfinite(at)) at = -2.0; /* outside */
    double place = params->align_corners ? (at + 1.0) / 2.0 * (n - 1.0) : ((at + 1.0) * n - 1.0) / 2.0;
    taps result = {.count = 1, .weight = {1.0}};
    if (params->mode == TN_INTERPOLATION_CUBIC) {
        double first = floor(place);
        result.count = MAX_TAPS;
        cubic_weights(place - first, -0.75, result.weight);
        for (int i = 0; i < MAX_TAPS; i++) result.index[i] = index_or_outside(bring_inside(params, first - 1.0 + i, size), size);
        return result;
    }
    place = bring_inside(params, place, size);
    if (params->mode == TN_INTERPOLATION_NEAREST) {
        result.index[0] = index_or_outside(rint(place), size);
        return result;
    }
    double first = floor(place);
    return (taps){.count = 2,
                  .index = {index_or_outside(first, size), index_or_outside(first + 1.0, size)},
                  .weight = {1.0 - (place - first), place - first}};
}

tn_status tn_ref_grid_sample(const tn_ref_call *call) {
    const tn_grid_sample_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), grid = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    int64_t height = x.dims[2], width = x.dims[3], out_size = y.dims[2] * y.dims[3];
    for (int64_t i = 0; i < y.count; i++) {
        int64_t image = i / out_size / y.dims[1], point = (image * out_size + i % out_size) * 2;
        taps across = find_grid_taps(params, tn_ref_load(&grid, point), width);
        taps down = find_grid_taps(params, tn_ref_load(&grid, point + 1), height);
        double sum = 0.0;
        for (int r = 0; r < down.count; r++)
            for (int c = 0; c < across.count; c++)
                if (down.index[r] >= 0 && across.index[c] >= 0)
                    sum += down.weight[r] * across.weight[c] *
                           tn_ref_load(&x, (i / out_size * height + down.index[r]) * width + across.index[c]);
        tn_ref_store(&y, i, sum);
    }
    return TN_OK;
}
