/* SPDX-License-Identifier: Apache-2.0
 *
 * move.c: the tactics of what moves values and changes no bits: IDENTITY, SQUEEZE, UNSQUEEZE, SHUFFLE, SLICE, CONCATENATION and
 * REVERSE_SEQUENCE. Types of whole bytes; plain C, the same at every instruction set level, bound by memory.
 */
#include <string.h>

#include "backend/cpu/tactics/move.h"
#include "base/checked.h"

enum { COPY_BYTES = 16 << 10, BLOCK = 32 /* elements of a side: both sides of a transposition stay in the first cache */ };

/* --- elements -------------------------------------------------------------------------------------------------------------------- */

typedef struct sixteen_bytes {
    uint64_t low, high;
} sixteen_bytes;

#define COPY_TYPED(type)                                                               \
    do {                                                                               \
        type *to = (type *)(void *)dst + dst_at;                                       \
        const type *from = (const type *)(const void *)src + src_at;                   \
        for (int64_t i = 0; i < count; i++) to[i * dst_stride] = from[i * src_stride]; \
    } while (false)

void tn_cpu_copy_elements(unsigned bits, char *dst, int64_t dst_at, int64_t dst_stride, const char *src, int64_t src_at, int64_t src_stride,
                          int64_t count) {
    if (dst_stride == 1 && src_stride == 1) {
        int64_t bytes = bits / 8;
        if (count > 0) memcpy(dst + dst_at * bytes, src + src_at * bytes, (size_t)(count * bytes));
        return;
    }
    switch (bits) {
    case 8: COPY_TYPED(uint8_t); break;
    case 16: COPY_TYPED(uint16_t); break;
    case 32: COPY_TYPED(uint32_t); break;
    case 64: COPY_TYPED(uint64_t); break;
    default: COPY_TYPED(sixteen_bytes); break;
    }
}

tn_status tn_cpu_move_launch(tn_tile_function run, int64_t num_tiles, int64_t bytes_per_tile, tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    tn_cpu_launch_tiles(out_launch, run, num_tiles, bytes_per_tile, 16 << 10);
    return TN_OK;
}

/* --- IDENTITY, SQUEEZE, UNSQUEEZE ---------------------------------------------------------------------------------------------------- */

void tn_cpu_copy_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tensor y = tensor_output(step, 0);
    int64_t bytes = y.count * (y.bits / 8), first = begin * COPY_BYTES, last = end * COPY_BYTES < bytes ? end * COPY_BYTES : bytes;
    if (first < last) memcpy(y.data + first, (const char *)step->buffers[0] + first, (size_t)(last - first));
}

int64_t tn_cpu_num_copy_tiles(const tensor *t) {
    return tn_ceil_div(t->count * (t->bits / 8), COPY_BYTES);
}

static bool copy_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 0, TN_DTYPES_WHOLE_BYTES, 0, reason, reason_size);
}

static tn_status copy_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    return tn_cpu_move_launch(tn_cpu_copy_tile, tn_cpu_num_copy_tiles(&y), COPY_BYTES, out_launch);
}

/* --- transpositions ---------------------------------------------------------------------------------------------------------------------- */

/* A dense output from x by strides. Where x's elements lie together along another dimension than the output's, the two go by
 * square blocks. */
typedef struct transposition {
    nest walk;    /* operands: output, x */
    int together; /* the dimension along which x's elements lie together; −1: the last, or none */
    int64_t blocks_across, blocks_along, num_tiles;
} transposition;

static transposition transposition_make(const tensor *x, const tn_dims *permutation) {
    transposition t = {.together = -1};
    tensor y = {.rank = x->rank};
    int64_t strides[TN_MAX_RANK], stride = 1;
    for (int i = 0; i < x->rank; i++) {
        int64_t from = permutation->rank > 0 ? permutation->d[i] : i;
        y.dims[i] = x->dims[from];
        strides[i] = x->strides[from];
    }
    for (int i = y.rank - 1; i >= 0; i--) {
        y.strides[i] = stride;
        stride *= y.dims[i];
    }
    t.walk = nest_begin(&y);
    nest_add(&t.walk, y.strides);
    nest_add(&t.walk, strides);
    nest_end(&t.walk, false);
    nest *n = &t.walk;
    for (int i = 0; i + 1 < n->rank && n->strides[1][n->rank - 1] != 1; i++)
        if (n->strides[1][i] == 1) t.together = i;
    t.num_tiles = nest_num_tiles(n);
    if (t.together < 0 || n->num_lines == 0) return t;
    t.blocks_across = tn_ceil_div(n->dims[t.together], BLOCK);
    t.blocks_along = tn_ceil_div(n->line, BLOCK);
    t.num_tiles = n->num_lines / n->dims[t.together] * t.blocks_across * t.blocks_along;
    return t;
}

/* x lies together along one side, the output along the other. */
static void transpose_block(unsigned bits, const nest *n, int together, const int64_t *offsets, int64_t across, int64_t along, char *dst,
                            const char *src) {
    int64_t dst_stride = n->strides[0][together], src_stride = n->strides[1][n->rank - 1];
    for (int64_t i = 0; i < across; i++)
        tn_cpu_copy_elements(bits, dst, offsets[0] + i * dst_stride, 1, src, offsets[1] + i, src_stride, along);
}

static void transpose_tile(const transposition *t, unsigned bits, int64_t tile, char *dst, const char *src) {
    const nest *n = &t->walk;
    if (t->together < 0) {
        nest_tile found = nest_find(n, tile);
        tn_cpu_copy_elements(bits, dst, found.offsets[0], 1, src, found.offsets[1], n->strides[1][n->rank - 1], found.count);
        return;
    }
    int64_t along = tile % t->blocks_along * BLOCK, rest = tile / t->blocks_along;
    int64_t across = rest % t->blocks_across * BLOCK, offsets[2];
    rest /= t->blocks_across;
    for (int k = 0; k < 2; k++) offsets[k] = along * n->strides[k][n->rank - 1] + across * n->strides[k][t->together];
    for (int i = n->rank - 2; i >= 0; i--) {
        if (i == t->together) continue;
        for (int k = 0; k < 2; k++) offsets[k] += rest % n->dims[i] * n->strides[k][i];
        rest /= n->dims[i];
    }
    int64_t rows = n->dims[t->together] - across, columns = n->line - along;
    transpose_block(bits, n, t->together, offsets, rows < BLOCK ? rows : BLOCK, columns < BLOCK ? columns : BLOCK, dst, src);
}

/* --- SHUFFLE: transpose into the workspace where a second transposition follows, then from there ------------------------------------------- */

static transposition first_of(const tn_problem *problem, const int64_t *symbols) {
    tensor x = tensor_make(problem, symbols, NULL, 0);
    return transposition_make(&x, &((const tn_shuffle_params *)problem->params)->first);
}

/* The reshaped tensor has the output's dimensions before the second transposition. */
static transposition second_of(const tn_problem *problem, const int64_t *symbols) {
    const tn_shuffle_params *params = problem->params;
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs), reshaped = {.rank = y.rank};
    int64_t stride = 1;
    for (int i = 0; i < y.rank; i++) reshaped.dims[params->second.rank > 0 ? params->second.d[i] : i] = y.dims[i];
    for (int i = y.rank - 1; i >= 0; i--) {
        reshaped.strides[i] = stride;
        stride *= reshaped.dims[i];
    }
    return transposition_make(&reshaped, &params->second);
}

static bool has_both(const tn_problem *problem) {
    const tn_shuffle_params *params = problem->params;
    return params->first.rank > 0 && params->second.rank > 0;
}

static void shuffle_first_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    transposition t = first_of(step->problem, step->symbols);
    tensor y = tensor_output(step, 0);
    char *dst = has_both(step->problem) ? step_workspace(step) : y.data;
    for (int64_t tile = begin; tile < end; tile++) transpose_tile(&t, y.bits, tile, dst, step->buffers[0]);
}

static void shuffle_second_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    transposition t = second_of(step->problem, step->symbols);
    tensor y = tensor_output(step, 0);
    const char *src = has_both(step->problem) ? step_workspace(step) : step->buffers[0];
    for (int64_t tile = begin; tile < end; tile++) transpose_tile(&t, y.bits, tile, y.data, src);
}

static bool shuffle_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 1u << 1, TN_DTYPES_WHOLE_BYTES, 1u << 1, reason, reason_size);
}

static size_t shuffle_workspace(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    tensor x = tensor_make(problem, symbols, NULL, 0);
    return has_both(problem) ? (size_t)x.count * x.bits / 8 : 0;
}

static tn_status shuffle_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_shuffle_params *params = problem->params;
    memset(out_launch, 0, sizeof *out_launch);
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    if (params->first.rank == 0 && params->second.rank == 0) {
        tn_cpu_launch_tiles(out_launch, tn_cpu_copy_tile, tn_cpu_num_copy_tiles(&y), COPY_BYTES, 16 << 10);
        return TN_OK;
    }
    if (params->first.rank > 0) {
        transposition t = first_of(problem, symbols);
        tn_cpu_launch_tiles(out_launch, shuffle_first_tile, t.num_tiles, t.together >= 0 ? BLOCK * BLOCK * 4 : t.walk.line * 4, 16 << 10);
    }
    if (params->second.rank > 0) {
        transposition t = second_of(problem, symbols);
        tn_cpu_launch_tiles(out_launch, shuffle_second_tile, t.num_tiles, t.together >= 0 ? BLOCK * BLOCK * 4 : t.walk.line * 4, 16 << 10);
    }
    out_launch->workspace_bytes = shuffle_workspace(device, problem, symbols);
    return TN_OK;
}

/* --- SLICE --------------------------------------------------------------------------------------------------------------------------------------- */

/* A tile function cannot refuse: in STRICT_BOUNDS an index that a tensor of starts leads outside is the nearest one inside. */
typedef struct slice_call {
    tensor x, y, fill;
    tn_sample_mode mode;
    int64_t begins[TN_MAX_RANK], steps[TN_MAX_RANK];
} slice_call;

static slice_call slice_begin(const tn_bound_step *step) {
    const tn_slice_params *params = step->problem->params;
    slice_call c = {
        .x = tensor_input(step, 0), .fill = tensor_input(step, 4), .y = tensor_output(step, 0), .mode = (tn_sample_mode)params->mode};
    tensor start = tensor_input(step, 1), stride = tensor_input(step, 3);
    bool has_axes = params->axes.rank > 0;
    for (int i = 0; i < c.x.rank; i++) c.begins[i] = 0, c.steps[i] = 1;
    for (int i = 0; i < (has_axes ? params->axes.rank : c.x.rank); i++) {
        int64_t axis = has_axes ? params->axes.d[i] : i;
        c.begins[axis] = start.is_given ? tensor_index(&start, i) : params->start.d[i];
        if (stride.is_given)
            c.steps[axis] = tensor_index(&stride, i);
        else if (params->stride.rank > 0)
            c.steps[axis] = params->stride.d[i];
    }
    return c;
}

/* The index in x of element `at` of an axis of y; −1: the fill value. */
static int64_t slice_index(const slice_call *c, int axis, int64_t at) {
    int64_t size = c->x.dims[axis], index = (int64_t)((uint64_t)c->begins[axis] + (uint64_t)at * (uint64_t)c->steps[axis]);
    if (index >= 0 && index < size) return index;
    if (c->mode == TN_SAMPLE_FILL || size == 0) return -1;
    int64_t period = c->mode == TN_SAMPLE_WRAP ? size : 2 * (size - 1);
    if (c->mode != TN_SAMPLE_WRAP && c->mode != TN_SAMPLE_REFLECT) return index < 0 ? 0 : size - 1;
    if (period == 0) return 0;
    int64_t rest = index % period < 0 ? index % period + period : index % period;
    return rest < size ? rest : period - rest;
}

/* Elements [first, first + count) of a row of y that read the row of x at `base`. */
static void slice_row(const slice_call *c, int64_t to, int64_t base, int64_t first, int64_t count) {
    int axis = c->x.rank - 1;
    static const char zeros[16] = {0};
    const char *fill = c->fill.is_given ? c->fill.data : zeros;
    for (int64_t i = 0, n; i < count; i += n) {
        int64_t index = slice_index(c, axis, first + i), step = c->steps[axis];
        int64_t raw = (int64_t)((uint64_t)c->begins[axis] + (uint64_t)(first + i) * (uint64_t)step);
        n = 1;
        if (index < 0 || base < 0) { /* up to the first one inside */
            while (i + n < count && (base < 0 || slice_index(c, axis, first + i + n) < 0)) n++;
            tn_cpu_copy_elements(c->y.bits, c->y.data, to + i, 1, fill, 0, 0, n);
            continue;
        }
        if (index == raw && step > 0) n = (c->x.dims[axis] - 1 - index) / step + 1;
        if (index == raw && step < 0) n = step == INT64_MIN ? 1 : index / -step + 1;
        if (index == raw && step == 0) n = count - i;
        if (n > count - i) n = count - i;
        tn_cpu_copy_elements(c->y.bits, c->y.data, to + i, 1, c->x.data, base + index, step, n);
    }
}

static void slice_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    slice_call c = slice_begin(step);
    int64_t columns = c.y.rank > 0 ? c.y.dims[c.y.rank - 1] : 1, per_row = tn_ceil_div(columns, TN_CPU_MOVE_CHUNK);
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t row = tile / per_row, first = tile % per_row * TN_CPU_MOVE_CHUNK, rest = row, base = 0;
        int64_t count = columns - first < TN_CPU_MOVE_CHUNK ? columns - first : TN_CPU_MOVE_CHUNK;
        for (int i = c.y.rank - 2; i >= 0; i--) {
            int64_t index = slice_index(&c, i, rest % c.y.dims[i]);
            rest /= c.y.dims[i];
            base = index < 0 || base < 0 ? -1 : base + index * c.x.strides[i];
        }
        if (c.x.rank == 0)
            tn_cpu_copy_elements(c.y.bits, c.y.data, 0, 1, c.x.data, 0, 1, 1);
        else
            slice_row(&c, row * columns + first, base, first, count);
    }
}

static bool slice_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 7u << 1, TN_DTYPES_WHOLE_BYTES, 15u << 1, reason, reason_size);
}

static tn_status slice_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    int64_t columns = y.rank > 0 ? y.dims[y.rank - 1] : 1, per_row = tn_ceil_div(columns, TN_CPU_MOVE_CHUNK);
    int64_t bytes = (columns < TN_CPU_MOVE_CHUNK ? columns : TN_CPU_MOVE_CHUNK) * (y.bits / 8) + 32;
    return tn_cpu_move_launch(slice_tile, columns > 0 ? y.count / columns * per_row : 0, bytes, out_launch);
}

/* --- CONCATENATION ------------------------------------------------------------------------------------------------------------------------------- */

/* Bytes of a run of one input or output: what lies together from the axis on. */
static int64_t run_bytes(const tensor *t, int64_t axis) {
    int64_t bytes = t->bits / 8;
    for (int i = t->rank - 1; i >= axis; i--) bytes *= t->dims[i];
    return bytes;
}

static void concatenation_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t axis = ((const tn_concatenation_params *)step->problem->params)->axis;
    tensor y = tensor_output(step, 0);
    int64_t run = run_bytes(&y, axis), per_run = tn_ceil_div(run, COPY_BYTES);
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t outer = tile / per_run, first = tile % per_run * COPY_BYTES, last = first + COPY_BYTES < run ? first + COPY_BYTES : run,
                at = 0;
        for (uint32_t i = 0; i < step->problem->num_inputs && at < last; i++) {
            tensor x = tensor_input(step, i);
            int64_t own = run_bytes(&x, axis), from = first > at ? first - at : 0, to = last - at < own ? last - at : own;
            if (from < to) memcpy(y.data + outer * run + at + from, x.data + outer * own + from, (size_t)(to - from));
            at += own;
        }
    }
}

static tn_status concatenation_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                       tn_launch *out_launch) {
    (void)device;
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    int64_t run = run_bytes(&y, ((const tn_concatenation_params *)problem->params)->axis), bytes = y.count * (y.bits / 8);
    return tn_cpu_move_launch(concatenation_tile, run > 0 ? bytes / run * tn_ceil_div(run, COPY_BYTES) : 0,
                              run < COPY_BYTES ? run : COPY_BYTES, out_launch);
}

/* --- REVERSE_SEQUENCE ------------------------------------------------------------------------------------------------------------------------------ */

/* A tile: the elements behind the later of both axes, which lie together. */
static void reverse_sequence_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_reverse_sequence_params *params = step->problem->params;
    tensor x = tensor_input(step, 0), lengths = tensor_input(step, 1), y = tensor_output(step, 0);
    int64_t later = params->batch_axis > params->sequence_axis ? params->batch_axis : params->sequence_axis, inner = x.strides[later];
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t at = tile * inner, place = at / x.strides[params->sequence_axis] % x.dims[params->sequence_axis];
        int64_t length = tensor_index(&lengths, at / x.strides[params->batch_axis] % x.dims[params->batch_axis]);
        if (length > x.dims[params->sequence_axis]) length = x.dims[params->sequence_axis];
        int64_t from = place < length ? at + (length - 1 - 2 * place) * x.strides[params->sequence_axis] : at;
        tn_cpu_copy_elements(y.bits, y.data, at, 1, x.data, from, 1, inner);
    }
}

static bool reverse_sequence_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 1u << 1, TN_DTYPES_WHOLE_BYTES, 0, reason, reason_size);
}

static tn_status reverse_sequence_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                          tn_launch *out_launch) {
    (void)device;
    const tn_reverse_sequence_params *params = problem->params;
    tensor x = tensor_make(problem, symbols, NULL, 0);
    int64_t later = params->batch_axis > params->sequence_axis ? params->batch_axis : params->sequence_axis;
    int64_t inner = x.strides[later];
    return tn_cpu_move_launch(reverse_sequence_tile, x.count > 0 ? x.count / inner : 0, inner * (x.bits / 8) + 16, out_launch);
}

TN_CPU_TACTIC(identity, "identity", 1, IDENTITY, EXACT, copy_supports, NULL, copy_prepare)
TN_CPU_TACTIC(squeeze, "squeeze", 1, SQUEEZE, EXACT, copy_supports, NULL, copy_prepare)
TN_CPU_TACTIC(unsqueeze, "unsqueeze", 1, UNSQUEEZE, EXACT, copy_supports, NULL, copy_prepare)
TN_CPU_TACTIC(shuffle, "shuffle", 1, SHUFFLE, EXACT, shuffle_supports, shuffle_workspace, shuffle_prepare)
TN_CPU_TACTIC(slice, "slice", 1, SLICE, EXACT, slice_supports, NULL, slice_prepare)
TN_CPU_TACTIC(concatenation, "concatenation", 1, CONCATENATION, EXACT, copy_supports, NULL, concatenation_prepare)
TN_CPU_TACTIC(reverse_sequence, "reverse_sequence", 1, REVERSE_SEQUENCE, EXACT, reverse_sequence_supports, NULL, reverse_sequence_prepare)
