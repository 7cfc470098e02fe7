/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor.h: operands of a bound step as tensors, and the one loop nest that layers over whole tensors share.
 *
 * A nest walks an output in row-major order with a stride for each operand (0 where it broadcasts), its dimensions joined where
 * all operands allow it. The innermost dimension is a line; a tile is up to NEST_CHUNK elements of one. Shapes only: prepare()
 * builds it to count the tiles, the tile function builds the same again.
 */
#ifndef TN_BACKEND_CPU_TENSOR_H_
#define TN_BACKEND_CPU_TENSOR_H_

#include "op/dtype.h"
#include "op/tactic.h"

typedef struct tensor {
    bool is_given;
    tn_dtype dtype;
    unsigned bits; /* of an element */
    char *data;    /* NULL in prepare() */
    int rank;
    int64_t dims[TN_MAX_RANK], strides[TN_MAX_RANK]; /* in elements, row-major; of types below a byte see tensor_row */
    int64_t count;
} tensor;

/* buffers NULL: shapes only. No operand before this one may be an encoded weight of several parts. */
static inline tensor tensor_make(const tn_problem *problem, const int64_t *symbols, void *const *buffers, uint32_t index) {
    tensor t = {.count = 1};
    if (index >= problem->num_operands || problem->operands[index].absent) return t;
    const tn_operand *operand = &problem->operands[index];
    t.is_given = true;
    t.dtype = operand->dtype;
    t.bits = tn_dtype_get_info(operand->dtype)->bits;
    t.rank = operand->rank;
    t.data = buffers != NULL ? buffers[index] : NULL;
    for (int i = t.rank - 1; i >= 0; i--) {
        t.dims[i] = tn_operand_dim(operand, i, symbols);
        t.strides[i] = t.count;
        t.count *= t.dims[i] > 0 ? t.dims[i] : 0; /* a size that the op itself finds out is negative before */
    }
    return t;
}
static inline tensor tensor_input(const tn_bound_step *step, uint32_t index) {
    return index < step->problem->num_inputs ? tensor_make(step->problem, step->symbols, step->buffers, index) : (tensor){.count = 1};
}
static inline tensor tensor_output(const tn_bound_step *step, uint32_t index) {
    return tensor_make(step->problem, step->symbols, step->buffers, step->problem->num_inputs + index);
}
/* The workspace stands behind the operands. */
static inline void *step_workspace(const tn_bound_step *step) {
    return step->buffers[step->problem->num_operands];
}

/* int32 or int64 */
static inline int64_t tensor_index(const tensor *t, int64_t at) {
    return t->dtype == TN_INT64 ? ((const int64_t *)(const void *)t->data)[at] : ((const int32_t *)(const void *)t->data)[at];
}
static inline void tensor_set_index(const tensor *t, int64_t at, int64_t value) {
    if (t->dtype == TN_INT64)
        ((int64_t *)(void *)t->data)[at] = value;
    else
        ((int32_t *)(void *)t->data)[at] = (int32_t)value;
}

/* Any type with a number in an element of whole bytes. */
static inline double tensor_double(const tensor *t, int64_t at) {
    return t->dtype == TN_FLOAT32 ? (double)((const float *)(const void *)t->data)[at] : tn_dtype_load(t->dtype, t->data, at);
}
static inline void tensor_set_double(const tensor *t, int64_t at, double value) {
    if (t->dtype == TN_FLOAT32)
        ((float *)(void *)t->data)[at] = (float)value;
    else
        tn_dtype_store(t->dtype, t->data, at, value);
}

/* Elements before and from `axis` on, without itself: index = (outer · length + i) · inner + place. */
typedef struct axis_walk {
    int64_t outer, length, inner;
} axis_walk;
static inline axis_walk tensor_axis(const tensor *t, int64_t axis) {
    axis_walk w = {1, t->dims[axis], 1};
    for (int i = 0; i < t->rank; i++) {
        if (i < axis) w.outer *= t->dims[i];
        if (i > axis) w.inner *= t->dims[i];
    }
    return w;
}

/* --- the nest ------------------------------------------------------------------------------------------------------------------- */

enum { NEST_MAX_OPERANDS = 5, NEST_CHUNK = 256 };

typedef struct nest {
    int rank, num_operands; /* operand 0 is the output */
    int64_t dims[TN_MAX_RANK], strides[NEST_MAX_OPERANDS][TN_MAX_RANK];
    int64_t num_lines, line, tiles_per_line;
} nest;

static inline nest nest_begin(const tensor *output) {
    nest n = {.rank = output->rank};
    for (int i = 0; i < n.rank; i++) n.dims[i] = output->dims[i];
    return n;
}
/* The strides of operand `number` in the output's dimensions. */
static inline void nest_add(nest *n, const int64_t *strides) {
    for (int i = 0; i < n->rank; i++) n->strides[n->num_operands][i] = strides[i];
    n->num_operands++;
}
/* An operand that broadcasts: aligned at the end, stride 0 where its dimension is 1. */
static inline void nest_add_broadcast(nest *n, const tensor *t) {
    int64_t strides[TN_MAX_RANK] = {0};
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] != 1 && i + n->rank >= t->rank) strides[i + n->rank - t->rank] = t->strides[i];
    nest_add(n, strides);
}

static inline bool nest_can_join(const nest *n, int axis) {
    for (int k = 0; k < n->num_operands; k++)
        if (n->strides[k][axis - 1] != n->strides[k][axis] * n->dims[axis]) return false;
    return true;
}

/* Joins dimensions and counts lines. keeps_rows: the last one stays apart (types below a byte pad their rows). */
static inline void nest_end(nest *n, bool keeps_rows) {
    int to = 0;
    for (int i = 0; i < n->rank; i++) {
        if (n->dims[i] == 1 && !(keeps_rows && i + 1 == n->rank)) continue;
        if (to < i) {
            n->dims[to] = n->dims[i];
            for (int k = 0; k < n->num_operands; k++) n->strides[k][to] = n->strides[k][i];
        }
        to++;
        bool is_kept = keeps_rows && i + 1 == n->rank;
        if (to > 1 && !is_kept && nest_can_join(n, to - 1)) {
            n->dims[to - 2] *= n->dims[to - 1];
            for (int k = 0; k < n->num_operands; k++) n->strides[k][to - 2] = n->strides[k][to - 1];
            to--;
        }
    }
    if (to == 0) { /* one element */
        n->dims[0] = 1;
        for (int k = 0; k < n->num_operands; k++) n->strides[k][0] = 0;
        to = 1;
    }
    n->rank = to;
    n->line = n->dims[to - 1];
    n->num_lines = 1;
    for (int i = 0; i + 1 < to; i++) n->num_lines *= n->dims[i];
    n->tiles_per_line = n->line > 0 ? (n->line + NEST_CHUNK - 1) / NEST_CHUNK : 0;
}
static inline int64_t nest_num_tiles(const nest *n) {
    return n->num_lines * n->tiles_per_line;
}

/* A tile: `count` elements; offsets of its first in each operand, in elements; `line` and `first` are its place. */
typedef struct nest_tile {
    int64_t offsets[NEST_MAX_OPERANDS], line, first, count;
} nest_tile;
static inline nest_tile nest_find(const nest *n, int64_t tile) {
    nest_tile t = {.line = tile / n->tiles_per_line, .first = tile % n->tiles_per_line * NEST_CHUNK};
    t.count = n->line - t.first < NEST_CHUNK ? n->line - t.first : NEST_CHUNK;
    for (int k = 0; k < n->num_operands; k++) t.offsets[k] = t.first * n->strides[k][n->rank - 1];
    int64_t rest = t.line;
    for (int i = n->rank - 2; i >= 0; i--) {
        int64_t at = rest % n->dims[i];
        rest /= n->dims[i];
        for (int k = 0; k < n->num_operands; k++) t.offsets[k] += at * n->strides[k][i];
    }
    return t;
}

#endif
