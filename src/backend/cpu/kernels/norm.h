/* SPDX-License-Identifier: Apache-2.0
 *
 * norm.h: NORMALIZATION over the last dimension: y = (x − mean) / √(var + eps) · scale + bias, or x / √(mean(x²) + eps) · scale.
 *
 * Shapes   x, residual?, y [rows, n]; scale, bias? [n]; with a residual x + residual is normalised and is output 1
 * Order    sums in sixteen lanes by index mod 16, then the fixed tree: f32_lanes16. The variance is Σ(x − mean)² in a second
 *          pass. y = (x − mean) · (1/√…) · (scale + offset) + bias, each one rounding, the last an fma
 * Bound    bytes of x and y; a tile is a row, the row stays in the first-level cache between passes
 */
#ifndef TN_BACKEND_CPU_NORM_H_
#define TN_BACKEND_CPU_NORM_H_

#include "backend/cpu/kernels/quantize.h"
#include "op/tactic.h"

/* 1 / √(Σ (x − mean)² / n + eps) */
V_INLINE float inverse_deviation(const float *x, int64_t n, float mean, float epsilon) {
    vf sum = v_zero(), center = v_set1(mean);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf d = v_sub(v_load(x + i), center);
        sum = v_fma(d, d, sum);
    }
    if (i < n) {
        vf d = v_select(v_mask_range(0, n - i), v_sub(v_load_part(x + i, n - i), center), v_zero());
        sum = v_fma(d, d, sum);
    }
    float mean_square = v_sum(sum) / (float)n;
    return 1.0f / sqrtf(mean_square + epsilon);
}

V_INLINE float mean_of(const float *x, int64_t n) {
    vf sum = v_zero();
    for (int64_t i = 0; i < n; i += LANES) sum = v_add(sum, v_load_upto(x + i, n - i));
    return v_sum(sum) / (float)n;
}

typedef struct norm_row {
    const float *scale, *bias;
    float scale_offset, mean, inverse;
} norm_row;

/* Sixteen outputs at column i; `left` of them exist. */
V_INLINE vf normalise(const norm_row *row, const float *x, int64_t i, int64_t left) {
    vf factor = v_add(v_load_upto(row->scale + i, left), v_set1(row->scale_offset));
    vf y = v_mul(v_sub(v_load_upto(x + i, left), v_set1(row->mean)), v_set1(row->inverse));
    return row->bias != NULL ? v_fma(y, factor, v_load_upto(row->bias + i, left)) : v_mul(y, factor);
}

void TN_ISA_NAME(tn_cpu_normalization)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_normalization)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_problem *problem = step->problem;
    const tn_normalization_params *params = problem->params;
    uint32_t first_output = problem->num_inputs;
    int64_t n = tn_operand_columns(&problem->operands[0], step->symbols);
    tn_dtype dtype = problem->operands[first_output].dtype;
    size_t out_bytes = dtype == TN_FLOAT32 ? (size_t)n * sizeof(float) : tn_quantized_row_bytes(dtype, n);
    const float *inputs = step->buffers[0], *residuals = problem->num_inputs > 3 ? step->buffers[3] : NULL;
    float *sums = residuals != NULL ? step->buffers[first_output + 1] : NULL;
    norm_row row = {
        .scale = step->buffers[1], .bias = problem->num_inputs > 2 ? step->buffers[2] : NULL, .scale_offset = (float)params->scale_offset};
    for (int64_t r = begin; r < end; r++) {
        const float *x = inputs + r * n;
        char *out = (char *)step->buffers[first_output] + (size_t)r * out_bytes;
        if (residuals != NULL) {
            for (int64_t i = 0; i < n; i += LANES)
                v_store_upto(sums + r * n + i, v_add(v_load_upto(x + i, n - i), v_load_upto(residuals + r * n + i, n - i)), n - i);
            x = sums + r * n;
        }
        row.mean = params->type == TN_NORMALIZATION_LAYER ? mean_of(x, n) : 0.0f;
        row.inverse = inverse_deviation(x, n, row.mean, (float)params->epsilon);
        if (dtype == TN_FLOAT32) {
            for (int64_t i = 0; i < n; i += LANES) v_store_upto((float *)(void *)out + i, normalise(&row, x, i, n - i), n - i);
            continue;
        }
        tn_quantized_row parts = tn_quantized_row_at(dtype, out, n);
        for (int64_t i = 0; i < n; i += TN_QUANTIZED_BLOCK) {
            vf y0 = normalise(&row, x, i, n - i), y1 = v_zero();
            if (i + LANES < n) y1 = normalise(&row, x, i + LANES, n - i - LANES);
            if (n - i < LANES) y0 = v_select(v_mask_range(0, n - i), y0, v_zero());
            if (n - i < 2 * LANES) y1 = v_select(v_mask_range(0, n - i - LANES), y1, v_zero());
            v_quantize_block(dtype == TN_Q15_32, y0, y1, i / TN_QUANTIZED_BLOCK, &parts);
        }
        v_quantize_padding(dtype, n, out);
    }
}

#endif
