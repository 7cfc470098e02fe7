/* SPDX-License-Identifier: Apache-2.0
 *
 * epilogue.h: what happens to a tile of float32 outputs before it is stored: the problem's epilogues in their order, sixteen
 * outputs at a time, each one float32 operation; then stored as float32 or quantised by blocks of 32.
 */
#ifndef TN_BACKEND_CPU_EPILOGUE_H_
#define TN_BACKEND_CPU_EPILOGUE_H_

#include "backend/cpu/kernels/quantize.h"
#include "backend/cpu/kernels/vector_math.h"
#include "op/tactic.h"

#define TILE_COLUMNS 64 /* outputs of a tile before gating: four strips */

typedef struct tile_output {
    const tn_problem *problem;
    void *const *buffers;
    char *out;
    size_t row_bytes;
    tn_dtype dtype;
    int64_t columns; /* of the output: n, or n/2 when gated */
    bool gated;
    int64_t group; /* the expert, whose row of a bias of rank 2 is added */
} tile_output;

V_INLINE tile_output tile_output_make(const tn_bound_step *step, int64_t columns) {
    const tn_problem *problem = step->problem;
    const tn_operand *operand = &problem->operands[problem->num_inputs];
    tile_output output = {.problem = problem, .buffers = step->buffers, .out = step->buffers[problem->num_inputs], .dtype = operand->dtype};
    for (uint32_t i = 0; i < problem->num_epilogues; i++)
        output.gated = output.gated || problem->epilogues[i].kind == TN_EPILOGUE_GATED_ACTIVATION;
    output.columns = output.gated ? columns / 2 : columns;
    output.row_bytes =
        output.dtype == TN_FLOAT32 ? (size_t)output.columns * sizeof(float) : tn_quantized_row_bytes(output.dtype, output.columns);
    return output;
}

/* Epilogues [first, end) on sixteen values of one row; column: of the operands, `left` of them exist. */
V_INLINE vf apply_epilogues(const tile_output *output, uint32_t first, uint32_t end, vf y, int64_t row, int64_t column, int64_t columns) {
    int64_t left = columns - column;
    for (uint32_t i = first; i < end; i++) {
        const tn_epilogue *e = &output->problem->epilogues[i];
        const float *operand = e->operand >= 0 ? output->buffers[e->operand] : NULL;
        switch (e->kind) {
        case TN_EPILOGUE_BIAS: {
            bool of_group = output->problem->operands[e->operand].rank > 1;
            y = v_add(y, v_load_upto(operand + (of_group ? output->group * columns : 0) + column, left));
            break;
        }
        case TN_EPILOGUE_ADD: y = v_add(y, v_load_upto(operand + row * columns + column, left)); break;
        case TN_EPILOGUE_ACTIVATION: y = v_activate(e->activation, y); break;
        case TN_EPILOGUE_SCALE: y = v_mul(y, v_set1((float)e->value)); break;
        case TN_EPILOGUE_SOFT_CAP: {
            vf cap = v_set1((float)e->value);
            y = v_mul(cap, v_tanh(v_div(y, cap)));
            break;
        }
        default: break;
        }
    }
    return y;
}

/* One row of a tile: `values` holds num_strips · 16 outputs, the first being column `column` of n. Columns behind n hold zeros
 * of padded rows and are not stored. */
V_INLINE void finish_row(const tile_output *output, float *values, int64_t row, int64_t column, int num_strips, int64_t n) {
    const tn_problem *problem = output->problem;
    uint32_t gate = 0, num = problem->num_epilogues;
    int64_t columns = n;
    if (output->gated) {
        while (problem->epilogues[gate].kind != TN_EPILOGUE_GATED_ACTIVATION) gate++;
        for (int s = 0; s < num_strips; s += 2) {
            vf g = v_load(values + s * LANES), up = v_load(values + (s + 1) * LANES);
            g = apply_epilogues(output, 0, gate, g, row, column + s * LANES, n);
            up = apply_epilogues(output, 0, gate, up, row, column + (s + 1) * LANES, n);
            v_store(values + s / 2 * LANES, v_mul(v_activate(problem->epilogues[gate].activation, g), up));
        }
        num_strips /= 2;
        column /= 2;
        columns /= 2;
        gate++;
    }
    char *out = output->out + (size_t)row * output->row_bytes;
    int64_t left = columns - column, count = num_strips * LANES < left ? num_strips * LANES : left;
    if (gate < num && problem->epilogues[gate].kind != TN_EPILOGUE_QUANTIZE)
        for (int64_t i = 0; i < count; i += LANES)
            v_store(values + i, apply_epilogues(output, gate, num, v_load(values + i), row, column + i, columns));
    if (output->dtype == TN_FLOAT32) {
        for (int64_t i = 0; i < count; i += LANES) v_store_upto((float *)(void *)out + column + i, v_load(values + i), count - i);
    } else {
        v_quantize_columns(output->dtype, values, column, count, columns, out);
    }
}

#endif
