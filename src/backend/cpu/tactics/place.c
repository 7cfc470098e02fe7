/* SPDX-License-Identifier: Apache-2.0
 *
 * place.c: the tactics of what places values by index: GATHER of anything in all modes, SCATTER, ONE_HOT, NON_ZERO. Plain C, the
 * same at every instruction set level.
 */
#include <string.h>

#include "backend/cpu/tactics/move.h"
#include "base/checked.h"

static const char zeros[16] = {0};

static int64_t product(const int64_t *dims, int64_t begin, int64_t end) {
    int64_t result = 1;
    for (int64_t i = begin; i < end; i++) result *= dims[i];
    return result;
}

/* --- GATHER ------------------------------------------------------------------------------------------------------------------------ */

/* A row of y: `inner` elements behind one index. DEFAULT: batch dims, the outer ones, the indices of a batch, inner; ND: rows of
 * indices, inner. */
typedef struct gather_call {
    const tn_gather_params *params;
    tensor data, indices, y;
    int64_t inner, per_batch, outer_per_batch;
} gather_call;

static gather_call gather_begin(const tn_problem *problem, const int64_t *symbols, void *const *buffers) {
    gather_call c = {.params = problem->params, .inner = 1, .per_batch = 1, .outer_per_batch = 1};
    c.data = tensor_make(problem, symbols, buffers, 0);
    c.indices = tensor_make(problem, symbols, buffers, 1);
    c.y = tensor_make(problem, symbols, buffers, problem->num_inputs);
    int64_t batch_dims = c.params->batch_dims, axis = c.params->axis;
    if (c.params->mode == TN_GATHER_DEFAULT) {
        c.inner = product(c.data.dims, axis + 1, c.data.rank);
        c.per_batch = product(c.indices.dims, batch_dims, c.indices.rank);
        c.outer_per_batch = product(c.data.dims, batch_dims, axis);
    } else if (c.params->mode == TN_GATHER_ND) {
        c.inner = product(c.data.dims, batch_dims + c.indices.dims[c.indices.rank - 1], c.data.rank);
        c.per_batch = product(c.indices.dims, batch_dims, c.indices.rank - 1);
    }
    return c;
}

/* Where row `row` of y begins in the data; −1: nowhere. */
static int64_t gather_place(const gather_call *c, int64_t row) {
    if (c->params->mode == TN_GATHER_DEFAULT) {
        int64_t outer = row / c->per_batch, length = c->data.dims[c->params->axis];
        int64_t index = tensor_index(&c->indices, outer / c->outer_per_batch * c->per_batch + row % c->per_batch);
        return index >= 0 && index < length ? (outer * length + index) * c->inner : -1;
    }
    int64_t batch_dims = c->params->batch_dims, depth = c->indices.dims[c->indices.rank - 1];
    int64_t place = batch_dims > 0 ? row / c->per_batch * c->data.strides[batch_dims - 1] : 0;
    for (int64_t d = 0; d < depth; d++) {
        int64_t index = tensor_index(&c->indices, row * depth + d);
        if (index < 0 || index >= c->data.dims[batch_dims + d]) return -1;
        place += index * c->data.strides[batch_dims + d];
    }
    return place;
}

static void gather_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    gather_call c = gather_begin(step->problem, step->symbols, step->buffers);
    int64_t per_row = tn_ceil_div(c.inner, TN_CPU_MOVE_CHUNK);
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t row = tile / per_row, first = tile % per_row * TN_CPU_MOVE_CHUNK, place = gather_place(&c, row);
        int64_t count = c.inner - first < TN_CPU_MOVE_CHUNK ? c.inner - first : TN_CPU_MOVE_CHUNK;
        bool is_inside = place >= 0;
        tn_cpu_copy_elements(c.y.bits, c.y.data, row * c.inner + first, 1, is_inside ? c.data.data : zeros, is_inside ? place + first : 0,
                             is_inside, count);
    }
}

/* Single elements of 32 bits of a row: what the order of a weight's columns needs. A tile is a part of a row. */
static void gather_columns_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    gather_call c = gather_begin(step->problem, step->symbols, step->buffers);
    const int32_t *indices = (const int32_t *)(const void *)c.indices.data;
    int64_t length = c.data.dims[c.data.rank - 1], per_row = tn_ceil_div(c.per_batch, TN_CPU_MOVE_CHUNK);
    for (int64_t tile = begin; tile < end; tile++) {
        const uint32_t *x = (const uint32_t *)(const void *)c.data.data + tile / per_row * length;
        uint32_t *y = (uint32_t *)(void *)c.y.data + tile / per_row * c.per_batch;
        int64_t first = tile % per_row * TN_CPU_MOVE_CHUNK,
                last = first + TN_CPU_MOVE_CHUNK < c.per_batch ? first + TN_CPU_MOVE_CHUNK : c.per_batch;
        for (int64_t i = first; i < last; i++) y[i] = indices[i] >= 0 && indices[i] < length ? x[indices[i]] : 0;
    }
}

static bool gathers_columns(const gather_call *c) {
    return c->params->mode == TN_GATHER_DEFAULT && c->params->batch_dims == 0 && c->params->axis == c->data.rank - 1 && c->y.bits == 32 &&
           c->indices.dtype == TN_INT32;
}

/* ELEMENT: every index stands for one element, along the axis; the others are its own. */
static nest gather_nest(const gather_call *c) {
    int64_t strides[TN_MAX_RANK] = {0};
    nest n = nest_begin(&c->y);
    for (int i = 0; i < c->y.rank; i++) strides[i] = i == c->params->axis ? 0 : c->data.strides[i];
    nest_add(&n, c->y.strides);
    nest_add(&n, strides);
    nest_end(&n, false);
    return n;
}

static void gather_elements_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    gather_call c = gather_begin(step->problem, step->symbols, step->buffers);
    nest n = gather_nest(&c);
    int64_t length = c.data.dims[c.params->axis], axis_stride = c.data.strides[c.params->axis], stride = n.strides[1][n.rank - 1];
    for (int64_t tile = begin; tile < end; tile++) {
        nest_tile t = nest_find(&n, tile);
        for (int64_t i = 0; i < t.count; i++) {
            int64_t index = tensor_index(&c.indices, t.offsets[0] + i);
            bool is_inside = index >= 0 && index < length;
            tn_cpu_copy_elements(c.y.bits, c.y.data, t.offsets[0] + i, 1, is_inside ? c.data.data : zeros,
                                 is_inside ? t.offsets[1] + i * stride + index * axis_stride : 0, 1, 1);
        }
    }
}

static bool gather_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const uint32_t complex = TN_DTYPE_BIT(TN_COMPLEX64) | TN_DTYPE_BIT(TN_COMPLEX128);
    return tn_check_moves(problem, 1u << 1, TN_DTYPES_WHOLE_BYTES & ~complex, 0, reason, reason_size);
}

static tn_status gather_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    gather_call c = gather_begin(problem, symbols, NULL);
    int64_t bytes = c.y.bits / 8;
    if (c.params->mode == TN_GATHER_ELEMENT) {
        nest n = gather_nest(&c);
        return tn_cpu_move_launch(gather_elements_tile, nest_num_tiles(&n), n.line * (bytes + 16), out_launch);
    }
    if (gathers_columns(&c))
        return tn_cpu_move_launch(gather_columns_tile,
                                  c.y.count > 0 ? c.y.count / c.per_batch * tn_ceil_div(c.per_batch, TN_CPU_MOVE_CHUNK) : 0,
                                  (c.per_batch < TN_CPU_MOVE_CHUNK ? c.per_batch : TN_CPU_MOVE_CHUNK) * (bytes + 8), out_launch);
    int64_t width = c.inner < TN_CPU_MOVE_CHUNK ? c.inner : TN_CPU_MOVE_CHUNK;
    return tn_cpu_move_launch(gather_tile, c.y.count > 0 ? c.y.count / c.inner * tn_ceil_div(c.inner, TN_CPU_MOVE_CHUNK) : 0,
                              width * bytes + 16, out_launch);
}

/* --- SCATTER: a copy of the data, then the updates. Those that may meet in one element are one tile's, in order ------------------------ */

static void scatter_elements_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t axis = ((const tn_scatter_params *)step->problem->params)->axis;
    tensor indices = tensor_input(step, 1), updates = tensor_input(step, 2), y = tensor_output(step, 0);
    axis_walk w = tensor_axis(&indices, axis);
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t from = tile / w.inner * w.length * w.inner + tile % w.inner, rest = from, base = 0;
        for (int i = indices.rank - 1; i >= 0; i--) {
            if (i != axis) base += rest % indices.dims[i] * y.strides[i];
            rest /= indices.dims[i];
        }
        for (int64_t i = 0; i < w.length; i++) {
            int64_t index = tensor_index(&indices, from + i * w.inner);
            if (index < 0 || index >= y.dims[axis]) continue;
            tn_cpu_copy_elements(y.bits, y.data, base + index * y.strides[axis], 1, updates.data, from + i * w.inner, 1, 1);
        }
    }
}

/* Tiles are pieces of the rows that the places name. */
static void scatter_nd_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tensor indices = tensor_input(step, 1), updates = tensor_input(step, 2), y = tensor_output(step, 0);
    int64_t depth = indices.dims[indices.rank - 1], inner = product(y.dims, depth, y.rank),
            rows = product(indices.dims, 0, indices.rank - 1);
    int64_t first = begin * TN_CPU_MOVE_CHUNK, last = end * TN_CPU_MOVE_CHUNK < inner ? end * TN_CPU_MOVE_CHUNK : inner;
    for (int64_t row = 0; row < rows; row++) {
        int64_t place = 0;
        bool is_inside = true;
        for (int64_t d = 0; d < depth; d++) {
            int64_t index = tensor_index(&indices, row * depth + d);
            is_inside = is_inside && index >= 0 && index < y.dims[d];
            place += index * y.strides[d] * is_inside;
        }
        if (is_inside) tn_cpu_copy_elements(y.bits, y.data, place + first, 1, updates.data, row * inner + first, 1, last - first);
    }
}

static bool scatter_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 1u << 1, TN_DTYPES_WHOLE_BYTES, 0, reason, reason_size);
}

static tn_status scatter_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_scatter_params *params = problem->params;
    tensor indices = tensor_make(problem, symbols, NULL, 1), y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    (void)tn_cpu_move_launch(tn_cpu_copy_tile, tn_cpu_num_copy_tiles(&y), 16 << 10, out_launch);
    if (params->mode == TN_SCATTER_ELEMENT) {
        axis_walk w = tensor_axis(&indices, params->axis);
        tn_cpu_launch_tiles(out_launch, scatter_elements_tile, w.length > 0 ? w.outer * w.inner : 0, w.length * 32, 16 << 10);
        return TN_OK;
    }
    int64_t inner = product(y.dims, indices.dims[indices.rank - 1], y.rank), rows = product(indices.dims, 0, indices.rank - 1);
    tn_cpu_launch_tiles(out_launch, scatter_nd_tile, y.count > 0 ? tn_ceil_div(inner, TN_CPU_MOVE_CHUNK) : 0, rows * 4096, 16 << 10);
    return TN_OK;
}

/* --- ONE_HOT ---------------------------------------------------------------------------------------------------------------------------- */

static void one_hot_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tensor indices = tensor_input(step, 0), values = tensor_input(step, 1), y = tensor_output(step, 0);
    axis_walk w = tensor_axis(&y, ((const tn_one_hot_params *)step->problem->params)->axis);
    for (int64_t line = begin; line < end; line++) {
        int64_t index = tensor_index(&indices, line), base = line / w.inner * w.length * w.inner + line % w.inner;
        if (index < 0) index += w.length;
        tn_cpu_copy_elements(y.bits, y.data, base, w.inner, values.data, 0, 0, w.length);
        if (index >= 0 && index < w.length) tn_cpu_copy_elements(y.bits, y.data, base + index * w.inner, 1, values.data, 1, 1, 1);
    }
}

static bool one_hot_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 1u << 0, TN_DTYPES_WHOLE_BYTES, 0, reason, reason_size);
}

static tn_status one_hot_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    tensor indices = tensor_make(problem, symbols, NULL, 0), y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    return tn_cpu_move_launch(one_hot_tile, y.count > 0 ? indices.count : 0, indices.count > 0 ? y.count / indices.count * (y.bits / 8) : 1,
                              out_launch);
}

/* --- NON_ZERO: counts by pieces, then each piece writes behind the sum of those before ------------------------------------------------------ */

enum { MAX_PIECES = 64 };

static int64_t piece_size(const tensor *x) {
    return tn_ceil_div(x->count, MAX_PIECES) > TN_CPU_MOVE_CHUNK ? tn_ceil_div(x->count, MAX_PIECES) : TN_CPU_MOVE_CHUNK;
}

static bool is_non_zero(const tensor *x, int64_t at) {
    const char *element = x->data + at * (x->bits / 8);
    uint16_t half;
    float single;
    double value;
    switch (x->dtype) {
    case TN_FLOAT16:
    case TN_BFLOAT16: memcpy(&half, element, sizeof half); return (half & 0x7fff) != 0;
    case TN_FLOAT32: memcpy(&single, element, sizeof single); return single != 0.0f;
    case TN_FLOAT64: memcpy(&value, element, sizeof value); return value != 0.0;
    default: return memcmp(element, zeros, x->bits / 8) != 0;
    }
}

static void count_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tensor x = tensor_input(step, 0);
    int64_t size = piece_size(&x), *counts = step_workspace(step);
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t last = (piece + 1) * size < x.count ? (piece + 1) * size : x.count, count = 0;
        for (int64_t i = piece * size; i < last; i++) count += is_non_zero(&x, i);
        counts[piece] = count;
    }
}

static void list_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tensor x = tensor_input(step, 0), y = tensor_output(step, 0), total = tensor_output(step, 1);
    int64_t size = piece_size(&x), num_pieces = tn_ceil_div(x.count, size), *counts = step_workspace(step), n = 0;
    for (int64_t i = 0; i < num_pieces; i++) n += counts[i];
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t last = (piece + 1) * size < x.count ? (piece + 1) * size : x.count, place = 0;
        if (piece == 0) tensor_set_index(&total, 0, n);
        for (int64_t i = 0; i < piece; i++) place += counts[i];
        for (int64_t i = piece * size; i < last; i++) {
            int64_t rest = i;
            if (!is_non_zero(&x, i)) continue;
            for (int axis = x.rank - 1; axis >= 0; axis--) {
                tensor_set_index(&y, axis * n + place, rest % x.dims[axis]);
                rest /= x.dims[axis];
            }
            place++;
        }
    }
}

static bool non_zero_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const uint32_t types = TN_DTYPES_FLOATS | TN_DTYPES_INTEGERS | TN_DTYPE_BIT(TN_BOOL) | TN_DTYPE_BIT(TN_FLOAT64);
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    return tn_check_type(problem, 0, types, reason, reason_size) && tn_check_type(problem, 1, TN_DTYPES_INDICES, reason, reason_size) &&
           tn_check_type(problem, 2, TN_DTYPE_BIT(TN_INT64), reason, reason_size);
}

static size_t non_zero_workspace(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device, (void)problem, (void)symbols;
    return MAX_PIECES * sizeof(int64_t);
}

static tn_status non_zero_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    tensor x = tensor_make(problem, symbols, NULL, 0);
    int64_t num_pieces = tn_ceil_div(x.count, piece_size(&x));
    (void)tn_cpu_move_launch(count_tile, num_pieces, piece_size(&x) * 4, out_launch);
    tn_cpu_launch_tiles(out_launch, list_tile, num_pieces > 0 ? num_pieces : 1, piece_size(&x) * 8, 16 << 10); /* one to write the count */
    out_launch->workspace_bytes = non_zero_workspace(device, problem, symbols);
    return TN_OK;
}

TN_CPU_TACTIC(gather_any, "gather", 1, GATHER, EXACT, gather_supports, NULL, gather_prepare)
TN_CPU_TACTIC(scatter, "scatter", 1, SCATTER, EXACT, scatter_supports, NULL, scatter_prepare)
TN_CPU_TACTIC(one_hot, "one_hot", 1, ONE_HOT, EXACT, one_hot_supports, NULL, one_hot_prepare)
TN_CPU_TACTIC(non_zero, "non_zero", 1, NON_ZERO, EXACT, non_zero_supports, non_zero_workspace, non_zero_prepare)
