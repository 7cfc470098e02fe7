/* SPDX-License-Identifier: Apache-2.0
 *
 * taps.c: neighbours and shares of values between elements.
 */
#include "op/taps.h"

#include <math.h>

/* Cubic convolution: shares of the elements at −1, 0, 1, 2 around a place `t` after element 0. */
static void cubic_weights(double t, double a, double out[TN_MAX_TAPS]) {
    double distance[TN_MAX_TAPS] = {1.0 + t, t, 1.0 - t, 2.0 - t};
    for (int i = 0; i < TN_MAX_TAPS; i++) {
        double d = distance[i];
        bool is_near = i == 1 || i == 2;
        out[i] = is_near ? ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0 : ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    }
}

static int64_t clamp(int64_t value, int64_t size) {
    return value < 0 ? 0 : value >= size ? size - 1 : value;
}

/* --- RESIZE ----------------------------------------------------------------------------------------------------------------- */

static double find_place(const tn_resize_params *params, bool sizes_given, int axis, int64_t at, int64_t in, int64_t out) {
    bool has_scale = !sizes_given && params->size.rank == 0 && params->numerators.rank > 0;
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

tn_taps tn_resize_taps(const tn_resize_params *params, bool sizes_given, int axis, int64_t at, int64_t in, int64_t out) {
    if (in == out) return (tn_taps){.count = 1, .index = {at}, .weight = {1.0}};
    double place = find_place(params, sizes_given, axis, at, in, out);
    int64_t first = (int64_t)floor(place);
    double t = place - (double)first;
    tn_taps result = {.count = 1, .weight = {1.0}};
    if (params->mode == TN_INTERPOLATION_NEAREST) {
        result.index[0] = clamp(round_place(params->rounding, place), in);
    } else if (params->mode == TN_INTERPOLATION_LINEAR) {
        result = (tn_taps){.count = 2, .index = {clamp(first, in), clamp(first + 1, in)}, .weight = {1.0 - t, t}};
    } else {
        double sum = 0.0;
        result.count = TN_MAX_TAPS;
        cubic_weights(t, params->cubic_coeff, result.weight);
        for (int i = 0; i < TN_MAX_TAPS; i++) {
            int64_t index = first - 1 + i;
            if (params->exclude_outside && (index < 0 || index >= in)) result.weight[i] = 0.0;
            sum += result.weight[i];
            result.index[i] = clamp(index, in);
        }
        if (params->exclude_outside)
            for (int i = 0; i < TN_MAX_TAPS; i++) result.weight[i] /= sum;
    }
    return result;
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

tn_taps tn_grid_sample_taps(const tn_grid_sample_params *params, double at, int64_t size) {
    double n = (double)size;
    if (!isfinite(at)) at = -2.0; /* outside */
    double place = params->align_corners ? (at + 1.0) / 2.0 * (n - 1.0) : ((at + 1.0) * n - 1.0) / 2.0;
    tn_taps result = {.count = 1, .weight = {1.0}};
    if (params->mode == TN_INTERPOLATION_CUBIC) {
        double first = floor(place);
        result.count = TN_MAX_TAPS;
        cubic_weights(place - first, -0.75, result.weight);
        for (int i = 0; i < TN_MAX_TAPS; i++) result.index[i] = index_or_outside(bring_inside(params, first - 1.0 + i, size), size);
        return result;
    }
    place = bring_inside(params, place, size);
    if (params->mode == TN_INTERPOLATION_NEAREST) {
        result.index[0] = index_or_outside(rint(place), size);
        return result;
    }
    double first = floor(place);
    return (tn_taps){.count = 2,
                     .index = {index_or_outside(first, size), index_or_outside(first + 1.0, size)},
                     .weight = {1.0 - (place - first), place - first}};
}
