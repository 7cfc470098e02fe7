/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.c: the tactics of RESIZE and GRID_SAMPLE: values between elements, from one, two or four neighbours along each axis.
 * In double and in the reference's order (numerics double): the places decide which neighbours count, and a rounding there is a
 * wrong pixel. Plain C; neighbours and shares are found once for a line of RESIZE and for all channels of GRID_SAMPLE.
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/tactics/move.h"
#include "base/checked.h"

enum { MAX_TAPS = 4, RESIZE_CHUNK = 256 };

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

/* --- RESIZE ------------------------------------------------------------------------------------------------------------------------- */

typedef struct resize_call {
    const tn_resize_params *params;
    tensor x, y;
    bool by_scales; /* else the scale is that of the sizes */
} resize_call;

static double find_place(const resize_call *c, int axis, int64_t at) {
    const tn_resize_params *params = c->params;
    int64_t in = c->x.dims[axis], out = c->y.dims[axis];
    double num = c->by_scales ? (double)params->numerators.d[axis] : (double)out;
    double den = c->by_scales ? (double)params->denominators.d[axis] : (double)in;
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

static taps resize_taps(const resize_call *c, int axis, int64_t at) {
    int64_t in = c->x.dims[axis];
    taps result = {.count = 1, .index = {at}, .weight = {1.0}};
    if (in == c->y.dims[axis]) return result;
    double place = find_place(c, axis, at), sum = 0.0;
    int64_t first = (int64_t)floor(place);
    double t = place - (double)first;
    if (c->params->mode == TN_INTERPOLATION_NEAREST) {
        result.index[0] = clamp(round_place(c->params->rounding, place), in);
        return result;
    }
    if (c->params->mode == TN_INTERPOLATION_LINEAR)
        return (taps){.count = 2, .index = {clamp(first, in), clamp(first + 1, in)}, .weight = {1.0 - t, t}};
    result.count = MAX_TAPS;
    cubic_weights(t, c->params->cubic_coeff, result.weight);
    for (int i = 0; i < MAX_TAPS; i++) {
        int64_t index = first - 1 + i;
        if (c->params->exclude_outside && (index < 0 || index >= in)) result.weight[i] = 0.0;
        sum += result.weight[i];
        result.index[i] = clamp(index, in);
    }
    for (int i = 0; c->params->exclude_outside && i < MAX_TAPS; i++) result.weight[i] /= sum;
    return result;
}

/* One element of y from its neighbours along all axes, the last one's first. */
static void resize_one(const resize_call *c, int64_t to, taps *axes, const taps *last) {
    int64_t num_terms = last->count, rank = c->x.rank;
    double sum = 0.0;
    for (int i = 0; i + 1 < rank; i++) num_terms *= axes[i].count;
    for (int64_t term = 0; term < num_terms; term++) {
        int64_t choice = term / last->count, tap = term % last->count, from = last->index[tap];
        double weight = last->weight[tap];
        for (int64_t i = rank - 2; i >= 0; i--) {
            int64_t k = choice % axes[i].count;
            choice /= axes[i].count;
            from += axes[i].index[k] * c->x.strides[i];
            weight *= axes[i].weight[k];
        }
        if (weight != 0.0) sum += weight * tensor_double(&c->x, from);
    }
    tensor_set_double(&c->y, to, sum);
}

static void resize_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    resize_call c = {.params = step->problem->params, .x = tensor_input(step, 0), .y = tensor_output(step, 0)};
    tensor size = tensor_input(step, 1);
    c.by_scales = !size.is_given && c.params->size.rank == 0 && c.params->numerators.rank > 0;
    int last_axis = c.y.rank - 1;
    int64_t columns = c.y.dims[last_axis], num_rows = c.y.count / columns, chunk = -1;
    bool is_nearest = c.params->mode == TN_INTERPOLATION_NEAREST;
    taps last[RESIZE_CHUNK], axes[TN_MAX_RANK];
    for (int64_t tile = begin; tile < end; tile++) { /* rows of one chunk of columns follow each other */
        int64_t first = tile / num_rows * RESIZE_CHUNK, row = tile % num_rows, rest = row, base = 0;
        int64_t count = columns - first < RESIZE_CHUNK ? columns - first : RESIZE_CHUNK;
        for (int64_t i = 0; chunk != first && i < count; i++) last[i] = resize_taps(&c, last_axis, first + i);
        chunk = first;
        for (int i = last_axis - 1; i >= 0; i--) {
            axes[i] = resize_taps(&c, i, rest % c.y.dims[i]);
            rest /= c.y.dims[i];
            base += axes[i].index[0] * c.x.strides[i];
        }
        for (int64_t i = 0; i < count; i++) {
            int64_t to = row * columns + first + i;
            if (is_nearest)
                tn_cpu_copy_elements(c.y.bits, c.y.data, to, 1, c.x.data, base + last[i].index[0], 1, 1);
            else
                resize_one(&c, to, axes, &last[i]);
        }
    }
}

static bool resize_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    bool is_nearest = ((const tn_resize_params *)problem->params)->mode == TN_INTERPOLATION_NEAREST;
    if (problem->operands[0].rank == 0) return tn_refuse(reason, reason_size, "no scalars");
    return tn_cpu_move_fits(problem, 1u << 1, is_nearest ? TN_CPU_WHOLE_BYTES : TN_CPU_FLOATS, 1u << 1, reason, reason_size);
}

static tn_status resize_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    int64_t columns = y.dims[y.rank - 1], width = columns < RESIZE_CHUNK ? columns : RESIZE_CHUNK;
    tensor x = tensor_make(problem, symbols, NULL, 0);
    return tn_cpu_move_launch(resize_tile, columns > 0 && x.count > 0 ? y.count / columns * tn_ceil_div(columns, RESIZE_CHUNK) : 0,
                              width * 32, out_launch);
}

/* --- GRID_SAMPLE ---------------------------------------------------------------------------------------------------------------------- */

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

static taps grid_taps(const tn_grid_sample_params *params, double at, int64_t size) {
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

/* A tile: one point of an image, all channels. */
static void grid_sample_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_grid_sample_params *params = step->problem->params;
    tensor x = tensor_input(step, 0), grid = tensor_input(step, 1), y = tensor_output(step, 0);
    int64_t channels = x.dims[1], height = x.dims[2], width = x.dims[3], num_points = y.dims[2] * y.dims[3];
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t image = tile / num_points, point = tile % num_points;
        taps across = grid_taps(params, tensor_double(&grid, tile * 2), width);
        taps down = grid_taps(params, tensor_double(&grid, tile * 2 + 1), height);
        for (int64_t channel = 0; channel < channels; channel++) {
            int64_t plane = image * channels + channel;
            double sum = 0.0;
            for (int r = 0; r < down.count; r++)
                for (int c = 0; c < across.count; c++)
                    if (down.index[r] >= 0 && across.index[c] >= 0)
                        sum += down.weight[r] * across.weight[c] *
                               tensor_double(&x, (plane * height + down.index[r]) * width + across.index[c]);
            tensor_set_double(&y, plane * num_points + point, sum);
        }
    }
}

static bool grid_sample_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    int outside = ((const tn_grid_sample_params *)problem->params)->outside;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (outside != TN_SAMPLE_CLAMP && outside != TN_SAMPLE_FILL && outside != TN_SAMPLE_REFLECT)
        return tn_refuse(reason, reason_size, "outside: clamp, fill and reflect only");
    if (problem->operands[2].dtype != problem->operands[0].dtype) return tn_refuse(reason, reason_size, "x and y of one type only");
    return tn_cpu_check_type(problem, 0, TN_CPU_FLOATS, reason, reason_size) &&
           tn_cpu_check_type(problem, 1, TN_CPU_FLOATS, reason, reason_size);
}

static tn_status grid_sample_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                     tn_launch *out_launch) {
    (void)device;
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    return tn_cpu_move_launch(grid_sample_tile, y.dims[0] * y.dims[2] * y.dims[3], y.dims[1] * 32 + 64, out_launch);
}

#define SAMPLING_TACTIC(suffix, text, kind, checks, prepares) \
    const tn_tactic tn_cpu_tactic_##suffix = {                \
        .name = text,                                         \
        .version = 1,                                         \
        .numerics = TN_NUMERICS_DOUBLE,                       \
        .op = TN_OP_##kind,                                   \
        .supports = checks,                                   \
        .estimate_us = tn_cpu_estimate_operands_us,           \
        .prepare = prepares,                                  \
    };
SAMPLING_TACTIC(resize, "resize", RESIZE, resize_supports, resize_prepare)
SAMPLING_TACTIC(grid_sample, "grid_sample", GRID_SAMPLE, grid_sample_supports, grid_sample_prepare)
