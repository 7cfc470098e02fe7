/* SPDX-License-Identifier: Apache-2.0
 *
 * normalization_nd.h: NORMALIZATION_ND over any axes and by groups, NORMALIZATION of half types, and LRN.
 *
 * Order    sums by lanes as axes.h has them: k mod 16, then the fixed tree; the variance is Σ(x − mean)² in a second pass; LRN's squares
 *          channel by channel
 */
#ifndef TN_BACKEND_CPU_NORMALIZATION_ND_H_
#define TN_BACKEND_CPU_NORMALIZATION_ND_H_

#include "backend/cpu/kernels/axes.h"

/* --- NORMALIZATION_ND, NORMALIZATION of half types --------------------------------------------------------------------------------------- */

static void store_strided(const tensor *t, int64_t at, int64_t stride, int64_t n, const float *values) {
    if (stride == 1) {
        line_store_floats(t, at, n, values);
        return;
    }
    for (int64_t i = 0; i < n; i++) line_store_floats(t, at + i * stride, 1, values + i);
}

typedef struct norm_call {
    tensor x, y, weights[2]; /* scale, bias */
    axes_plan plan;
    bool has_bias, subtracts_mean;
    float epsilon, scale_offset;
} norm_call;

static void norm_statistics(const norm_call *c, int64_t base, float *out_mean, float *out_inverse) {
    float buffer[NEST_CHUNK], count = (float)c->plan.num_inner;
    const float *x;
    vf sum = v_zero(), squares = v_zero();
    *out_mean = 0.0f;
    if (c->subtracts_mean) {
        stream s = {.t = &c->x, .walk = &c->plan.inner, .base = base};
        for (int64_t n; (n = stream_next(&s, buffer, &x)) > 0;)
            for (int64_t i = 0; i < n; i += LANES) sum = v_add(sum, v_load_upto(x + i, n - i));
        *out_mean = v_sum(sum) / count;
    }
    vf center = v_set1(*out_mean);
    stream s = {.t = &c->x, .walk = &c->plan.inner, .base = base};
    for (int64_t n; (n = stream_next(&s, buffer, &x)) > 0;)
        for (int64_t i = 0; i < n; i += LANES) {
            vf d = v_sub(v_load_upto(x + i, n - i), center);
            if (n - i < LANES) d = v_select(v_mask_range(0, n - i), d, v_zero());
            squares = v_fma(d, d, squares);
        }
    *out_inverse = 1.0f / sqrtf(v_sum(squares) / count + c->epsilon);
}

static void norm_one(const norm_call *c, int64_t index) {
    float buffers[4][NEST_CHUNK], mean, inverse;
    const nest *inner = &c->plan.inner;
    int64_t bases[3] = {0}, axis = inner->rank - 1;
    for (int k = 0; k < inner->num_operands; k++) bases[k] = nest_offset(&c->plan.kept, index, k);
    norm_statistics(c, bases[0], &mean, &inverse);
    vf center = v_set1(mean), factor = v_set1(inverse), offset = v_set1(c->scale_offset);
    for (int64_t tile = 0; tile < nest_num_tiles(inner); tile++) {
        nest_tile t = nest_find(inner, tile);
        const float *x = line_floats_spread(&c->x, bases[0] + t.offsets[0], inner->strides[0][axis], t.count, buffers[0]);
        const float *scale = line_floats_spread(&c->weights[0], bases[1] + t.offsets[1], inner->strides[1][axis], t.count, buffers[1]);
        const float *bias = NULL;
        if (c->has_bias) bias = line_floats_spread(&c->weights[1], bases[2] + t.offsets[2], inner->strides[2][axis], t.count, buffers[2]);
        for (int64_t i = 0; i < t.count; i += LANES) {
            int64_t left = t.count - i;
            vf s = v_add(v_load_upto(scale + i, left), offset);
            vf y = v_mul(v_sub(v_load_upto(x + i, left), center), factor);
            v_store_upto(buffers[3] + i, bias != NULL ? v_fma(y, s, v_load_upto(bias + i, left)) : v_mul(y, s), left);
        }
        store_strided(&c->y, bases[0] + t.offsets[0], inner->strides[0][axis], t.count, buffers[3]);
    }
}

void TN_ISA_NAME(tn_cpu_normalization_nd)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_normalization_nd)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    norm_call c = {.x = tensor_input(step, 0), .y = tensor_output(step, 0)};
    c.weights[0] = tensor_input(step, 1);
    c.weights[1] = tensor_input(step, 2);
    c.has_bias = c.weights[1].is_given;
    if (step->problem->op == TN_OP_NORMALIZATION) {
        const tn_normalization_params *params = step->problem->params;
        c.epsilon = (float)params->epsilon, c.scale_offset = (float)params->scale_offset;
        c.subtracts_mean = params->type == TN_NORMALIZATION_LAYER;
        c.plan = tn_cpu_axes_plan(&c.x, (int64_t)1 << (c.x.rank - 1), 1, c.weights, 1 + c.has_bias);
    } else {
        const tn_normalization_nd_params *params = step->problem->params;
        c.epsilon = (float)params->epsilon;
        c.subtracts_mean = params->type == TN_NORMALIZATION_LAYER;
        c.plan = tn_cpu_axes_plan(&c.x, params->axes, params->groups, c.weights, 1 + c.has_bias);
    }
    for (int64_t i = begin; i < end; i++) norm_one(&c, i);
}

/* --- LRN ------------------------------------------------------------------------------------------------------------------------------------ */

void TN_ISA_NAME(tn_cpu_lrn)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_lrn)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_lrn_params *params = step->problem->params;
    tensor x = tensor_input(step, 0), y = tensor_output(step, 0);
    axis_walk w = tensor_axis(&x, 1);
    int64_t half = params->window / 2;
    vf factor = v_set1((float)(params->alpha / (double)params->window)), k = v_set1((float)params->k), beta = v_set1((float)-params->beta);
    for (int64_t line = begin; line < end; line++) {
        int64_t channel = line % w.length, before = channel < half ? channel : half;
        int64_t after = w.length - 1 - channel < half ? w.length - 1 - channel : half;
        for (int64_t i = 0; i < w.inner; i += LANES) {
            int64_t at = line * w.inner + i, left = w.inner - i;
            vf sum = v_zero();
            for (int64_t c = -before; c <= after; c++) {
                vf value = v_load_any(&x, at + c * w.inner, left);
                sum = v_fma(value, value, sum);
            }
            vf scale = v_exp(v_mul(beta, v_log(v_fma(factor, sum, k))));
            v_store_any(&y, at, v_mul(v_load_any(&x, at, left), scale), left);
        }
    }
}

#endif
