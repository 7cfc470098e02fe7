/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.c: the tactics of RESIZE and GRID_SAMPLE: values between elements, from one, two or four neighbours along each axis.
 * In double and in the reference's order (numerics double): the places decide which neighbours count, and a rounding there is a
 * wrong pixel. Plain C; neighbours and shares are found once for a line of RESIZE and for all channels of GRID_SAMPLE.
 */
#include "backend/cpu/tactics/move.h"
#include "base/checked.h"
#include "op/taps.h"

enum { RESIZE_CHUNK = 256 };

/* --- RESIZE ------------------------------------------------------------------------------------------------------------------------- */

typedef struct resize_call {
    const tn_resize_params *params;
    tensor x, y;
    bool sizes_given;
} resize_call;

static tn_taps find_taps(const resize_call *c, int axis, int64_t at) {
    return tn_resize_taps(c->params, c->sizes_given, axis, at, c->x.dims[axis], c->y.dims[axis]);
}

/* One element of y from its neighbours along all axes, the last one's first. */
static void resize_one(const resize_call *c, int64_t to, tn_taps *axes, const tn_taps *last) {
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
    c.sizes_given = tensor_input(step, 1).is_given;
    int last_axis = c.y.rank - 1;
    int64_t columns = c.y.dims[last_axis], num_rows = c.y.count / columns, chunk = -1;
    bool is_nearest = c.params->mode == TN_INTERPOLATION_NEAREST;
    tn_taps last[RESIZE_CHUNK], axes[TN_MAX_RANK];
    for (int64_t tile = begin; tile < end; tile++) { /* rows of one chunk of columns follow each other */
        int64_t first = tile / num_rows * RESIZE_CHUNK, row = tile % num_rows, rest = row, base = 0;
        int64_t count = columns - first < RESIZE_CHUNK ? columns - first : RESIZE_CHUNK;
        for (int64_t i = 0; chunk != first && i < count; i++) last[i] = find_taps(&c, last_axis, first + i);
        chunk = first;
        for (int i = last_axis - 1; i >= 0; i--) {
            axes[i] = find_taps(&c, i, rest % c.y.dims[i]);
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
    return tn_check_moves(problem, 1u << 1, is_nearest ? TN_DTYPES_WHOLE_BYTES : TN_DTYPES_FLOATS, 1u << 1, reason, reason_size);
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

/* A tile: one point of an image, all channels. */
static void grid_sample_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_grid_sample_params *params = step->problem->params;
    tensor x = tensor_input(step, 0), grid = tensor_input(step, 1), y = tensor_output(step, 0);
    int64_t channels = x.dims[1], height = x.dims[2], width = x.dims[3], num_points = y.dims[2] * y.dims[3];
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t image = tile / num_points, point = tile % num_points;
        tn_taps across = tn_grid_sample_taps(params, tensor_double(&grid, tile * 2), width);
        tn_taps down = tn_grid_sample_taps(params, tensor_double(&grid, tile * 2 + 1), height);
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
    return tn_check_type(problem, 0, TN_DTYPES_FLOATS, reason, reason_size) &&
           tn_check_type(problem, 1, TN_DTYPES_FLOATS, reason, reason_size);
}

static tn_status grid_sample_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                     tn_launch *out_launch) {
    (void)device;
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    return tn_cpu_move_launch(grid_sample_tile, y.dims[0] * y.dims[2] * y.dims[3], y.dims[1] * 32 + 64, out_launch);
}

TN_CPU_TACTIC(resize, "resize", 1, RESIZE, DOUBLE, resize_supports, NULL, resize_prepare)
TN_CPU_TACTIC(grid_sample, "grid_sample", 1, GRID_SAMPLE, DOUBLE, grid_sample_supports, NULL, grid_sample_prepare)
