/* SPDX-License-Identifier: Apache-2.0
 *
 * elementwise.h: ELEMENTWISE, ACTIVATION, UNARY on float32, and SOFTMAX over the last dimension: what decoders need where a pass
 * did not fuse it. Each result is one chain of float32 operations; a tile is 1,024 elements (SOFTMAX: a row).
 */
#ifndef TN_BACKEND_CPU_ELEMENTWISE_H_
#define TN_BACKEND_CPU_ELEMENTWISE_H_

#include "backend/cpu/kernels/vector_math.h"
#include "op/tactic.h"

enum { ELEMENTS_PER_TILE = 1024 };

V_INLINE vf combine(tn_elementwise_op op, vf a, vf b) {
    switch (op) {
    case TN_ELEMENTWISE_PROD: return v_mul(a, b);
    case TN_ELEMENTWISE_MAX: return v_max(a, b);
    case TN_ELEMENTWISE_MIN: return v_min(a, b);
    case TN_ELEMENTWISE_SUB: return v_sub(a, b);
    case TN_ELEMENTWISE_DIV: return v_div(a, b);
    default: return v_add(a, b);
    }
}

/* The second operand may be shorter: constants[0] of its elements repeat (a row, or a single value). */
void TN_ISA_NAME(tn_cpu_elementwise)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_elementwise)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_elementwise_params *params = step->problem->params;
    const float *a = step->buffers[0], *b = step->buffers[1];
    float *out = step->buffers[2];
    int64_t period = step->launch->constants[0], row = step->launch->constants[1];
    int64_t tiles_per_row = (row + ELEMENTS_PER_TILE - 1) / ELEMENTS_PER_TILE;
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t start = tile / tiles_per_row * row, first = tile % tiles_per_row * ELEMENTS_PER_TILE;
        int64_t last = first + ELEMENTS_PER_TILE < row ? first + ELEMENTS_PER_TILE : row;
        const float *right = b; /* one value, one row for all, or (one long row) an equal shape */
        for (int64_t i = first; i < last; i += LANES) {
            vf y = period == 1 ? v_set1(right[0]) : v_load_upto(right + i, last - i);
            v_store_upto(out + start + i, combine((tn_elementwise_op)params->op, v_load_upto(a + start + i, last - i), y), last - i);
        }
    }
}

V_INLINE vf apply_unary(tn_unary_op op, vf x) {
    switch (op) {
    case TN_UNARY_EXP: return v_exp(x);
    case TN_UNARY_LOG: return v_log(x);
    case TN_UNARY_SQRT: return v_sqrt(x);
    case TN_UNARY_RECIP: return v_div(v_set1(1.0f), x);
    case TN_UNARY_ABS: return v_abs(x);
    case TN_UNARY_NEG: return v_negate(x);
    case TN_UNARY_ERF: return v_erf(x);
    case TN_UNARY_FLOOR: return v_floor(x);
    case TN_UNARY_CEIL: return v_ceil(x);
    default: return v_rint(x);
    }
}

/* launch constants: [0] elements */
void TN_ISA_NAME(tn_cpu_unary)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_unary)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const float *x = step->buffers[0];
    float *out = step->buffers[1];
    bool is_activation = step->problem->op == TN_OP_ACTIVATION;
    int kind =
        is_activation ? ((const tn_activation_params *)step->problem->params)->type : ((const tn_unary_params *)step->problem->params)->op;
    int64_t count = step->launch->constants[0], last = end * ELEMENTS_PER_TILE < count ? end * ELEMENTS_PER_TILE : count;
    for (int64_t i = begin * ELEMENTS_PER_TILE; i < last; i += LANES) {
        vf value = v_load_upto(x + i, last - i);
        v_store_upto(out + i, is_activation ? v_activate((tn_activation_type)kind, value) : apply_unary((tn_unary_op)kind, value),
                     last - i);
    }
}

/* e^(x − max) / Σ: the sum in sixteen lanes by index mod 16, then the fixed tree. */
void TN_ISA_NAME(tn_cpu_softmax)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_softmax)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t n = tn_operand_columns(&step->problem->operands[0], step->symbols);
    for (int64_t r = begin; r < end; r++) {
        const float *x = (const float *)step->buffers[0] + r * n;
        float *out = (float *)step->buffers[1] + r * n;
        vf hidden = v_set1(-INFINITY), largest = hidden, sum = v_zero();
        for (int64_t i = 0; i < n; i += LANES)
            largest = v_max(largest, v_select(v_mask_range(0, n - i), v_load_upto(x + i, n - i), hidden));
        vf maximum = v_set1(v_largest(largest));
        for (int64_t i = 0; i < n; i += LANES) {
            vf e = v_exp_negative(v_sub(v_load_upto(x + i, n - i), maximum));
            sum = v_add(sum, v_select(v_mask_range(0, n - i), e, v_zero()));
            v_store_upto(out + i, e, n - i);
        }
        vf total = v_set1(v_sum(sum));
        for (int64_t i = 0; i < n; i += LANES) v_store_upto(out + i, v_div(v_load_upto(out + i, n - i), total), n - i);
    }
}

#endif
