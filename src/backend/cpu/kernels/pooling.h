/* SPDX-License-Identifier: Apache-2.0
 *
 * pooling.h: POOLING over 1 to 3 spatial dimensions: the largest, the mean, or a blend of both, of what a window sees.
 *
 * Shapes   x [.., spatial], y [.., spatial]; a tile is up to NEST_CHUNK outputs of one row
 * Order    elements of a window in row-major order, one accumulator an output: f32_ascending. A NaN in a window is its largest
 * Method   one line of the input, `stride` apart, for each element of the window; lanes are outputs
 */
#ifndef TN_BACKEND_CPU_KERNELS_POOLING_H_
#define TN_BACKEND_CPU_KERNELS_POOLING_H_

#include "backend/cpu/kernels/lines.h"
#include "backend/cpu/pooling.h"

typedef struct pooled_line {
    float sums[NEST_CHUNK], largest[NEST_CHUNK];
} pooled_line;

static void pool_line(pooled_line *line, const float *x, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        float *sums = line->sums + first + i, *largest = line->largest + first + i;
        vf value = v_load_upto(x + i, n - i), most = v_load_upto(largest, n - i);
        v_store_upto(sums, v_add(v_load_upto(sums, n - i), value), n - i);
        v_store_upto(largest, v_select(v_equal(most, most), v_max(most, value), most), n - i);
    }
}

/* How many elements of the window at `at` lie inside along axis i, or (with_padding) inside input and padding. */
static int64_t pooled_count(const pooling_plan *p, int i, int64_t at, bool with_padding) {
    int64_t begin = at * p->windows[i].stride - p->pre[i], end = begin + p->windows[i].size, limit = p->in[i];
    if (with_padding) limit += tn_window_is_same(&p->windows[i]) ? p->windows[i].size : p->windows[i].post;
    if (!with_padding && begin < 0) begin = 0;
    if (end > limit) end = limit;
    return end > begin ? end - begin : 0;
}

static void pool_tile(const tn_pooling_params *params, const pooling_plan *p, const tensor *x, const tensor *y, int64_t tile) {
    pooled_line line;
    float buffer[NEST_CHUNK];
    int64_t per_row = (p->out[2] + NEST_CHUNK - 1) / NEST_CHUNK, row = tile / per_row, first = tile % per_row * NEST_CHUNK;
    int64_t count = p->out[2] - first < NEST_CHUNK ? p->out[2] - first : NEST_CHUNK;
    int64_t at[2] = {row / p->out[1] % p->out[0], row % p->out[1]}, plane = row / p->out[1] / p->out[0] * p->in[0];
    const tn_window *across = &p->windows[2];
    for (int64_t i = 0; i < count; i++) line.sums[i] = 0.0f, line.largest[i] = -INFINITY;
    for (int64_t d = 0; d < p->windows[0].size; d++)
        for (int64_t r = 0; r < p->windows[1].size; r++) {
            int64_t deep = at[0] * p->windows[0].stride - p->pre[0] + d, down = at[1] * p->windows[1].stride - p->pre[1] + r;
            if (deep < 0 || deep >= p->in[0] || down < 0 || down >= p->in[1]) continue;
            int64_t base = ((plane + deep) * p->in[1] + down) * p->in[2];
            for (int64_t j = 0; j < across->size; j++) {
                int64_t place = first * across->stride - p->pre[2] + j; /* that output `first` sees */
                int64_t begin = place >= 0 ? 0 : (-place + across->stride - 1) / across->stride;
                int64_t end = place >= p->in[2] ? 0 : (p->in[2] - 1 - place) / across->stride + 1;
                if (end > count) end = count;
                if (begin >= end) continue;
                int64_t from = base + place + begin * across->stride;
                pool_line(&line, line_floats(x, from, across->stride, end - begin, buffer), begin, end - begin);
            }
        }
    int64_t rows = pooled_count(p, 0, at[0], params->counts_padding) * pooled_count(p, 1, at[1], params->counts_padding);
    bool has_rows = pooled_count(p, 0, at[0], false) * pooled_count(p, 1, at[1], false) > 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t divisor = rows * pooled_count(p, 2, first + i, params->counts_padding);
        bool is_empty = !has_rows || pooled_count(p, 2, first + i, false) == 0;
        float average = divisor > 0 ? line.sums[i] / (float)divisor : 0.0f, largest = is_empty ? 0.0f : line.largest[i];
        float blend = (float)params->blend;
        if (params->type == TN_POOLING_MAX_AVERAGE_BLEND)
            buffer[i] = blend * average + (1.0f - blend) * largest;
        else
            buffer[i] = params->type == TN_POOLING_MAX ? largest : average;
    }
    line_store_floats(y, row * p->out[2] + first, count, buffer);
}

void TN_ISA_NAME(tn_cpu_pooling)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_pooling)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tensor x = tensor_input(step, 0), y = tensor_output(step, 0);
    pooling_plan plan = tn_cpu_pooling_plan(step->problem, step->symbols);
    for (int64_t tile = begin; tile < end; tile++) pool_tile(step->problem->params, &plan, &x, &y, tile);
}

#endif
