/* SPDX-License-Identifier: Apache-2.0
 *
 * experts.h: ROUTE (which experts a token goes to) and COMBINE (their outputs weighted and added, choices ascending).
 * GROUPED_MATMUL between them is in matmul.h. ROUTE is one tile: its counting sort needs all tokens.
 */
#ifndef TN_BACKEND_CPU_EXPERTS_H_
#define TN_BACKEND_CPU_EXPERTS_H_

#include "backend/cpu/kernels/vector_math.h"
#include "op/tactic.h"

/* scores: what a choice weighs before renormalisation; keys: what it is chosen by */
V_INLINE void score_experts(const tn_route_params *params, const float *logits, const float *bias, int64_t experts, float *keys,
                            float *scores) {
    float largest = -INFINITY;
    for (int64_t e = 0; e < experts; e++) largest = logits[e] > largest ? logits[e] : largest;
    vf sum = v_zero();
    for (int64_t e = 0; e < experts; e += LANES) {
        int64_t left = experts - e;
        vf x = v_load_upto(logits + e, left);
        if (params->type == TN_ROUTE_SOFTMAX_TOPK) {
            x = v_exp_negative(v_sub(x, v_set1(largest)));
            sum = v_add(sum, v_select(v_mask_range(0, left), x, v_zero()));
        } else if (params->type == TN_ROUTE_SIGMOID_TOPK) {
            x = v_sigmoid(x);
        }
        v_store_upto(scores + e, x, left);
    }
    float total = v_sum(sum);
    for (int64_t e = 0; e < experts; e++) {
        if (params->type == TN_ROUTE_SOFTMAX_TOPK) scores[e] /= total;
        keys[e] = scores[e] + (bias != NULL ? bias[e] : 0.0f);
    }
}

/* Experts outside the best groups get keys that no other expert's is below. groups: room for [E] */
V_INLINE void drop_groups(const tn_route_params *params, int64_t experts, float *keys, float *groups) {
    int64_t count = params->groups, size = experts / count;
    for (int64_t g = 0; g < count; g++) {
        float first = -INFINITY, second = -INFINITY;
        for (int64_t e = g * size; e < (g + 1) * size; e++) {
            second = keys[e] > first ? first : keys[e] > second ? keys[e] : second;
            first = keys[e] > first ? keys[e] : first;
        }
        groups[g] = params->type == TN_ROUTE_SIGMOID_TOPK && size > 1 ? first + second : first;
    }
    for (int64_t g = 0; g < count; g++) {
        int64_t better = 0;
        for (int64_t h = 0; h < count; h++) better += groups[h] > groups[g] || (groups[h] == groups[g] && h < g);
        for (int64_t e = g * size; e < (g + 1) * size && better >= params->top_groups; e++) keys[e] = -INFINITY;
    }
}

/* The best expert that is not among the first `choice` chosen; equal keys: the lower one; NaN last. */
V_INLINE int32_t best_expert(const float *keys, int64_t experts, const int32_t *chosen, int64_t choice) {
    int32_t best = -1;
    for (int32_t e = 0; e < experts; e++) {
        bool taken = false;
        for (int64_t c = 0; c < choice; c++) taken = taken || chosen[c] == e;
        if (!taken && (best < 0 || keys[e] > keys[best] || (keys[best] != keys[best] && keys[e] == keys[e]))) best = e;
    }
    return best;
}

/* workspace: keys f32 [E], scores f32 [E], groups f32 [E], chosen i32 [T · K] */
void TN_ISA_NAME(tn_cpu_route)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_route)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    const tn_problem *problem = step->problem;
    const tn_route_params *params = problem->params;
    uint32_t outputs = problem->num_inputs;
    int64_t experts = tn_operand_columns(&problem->operands[0], step->symbols),
            tokens = tn_operand_rows(&problem->operands[0], step->symbols);
    int64_t top_k = params->top_k;
    const float *logits = step->buffers[0], *bias = problem->num_inputs > 1 ? step->buffers[1] : NULL;
    int32_t *start = step->buffers[outputs], *order = step->buffers[outputs + 1];
    float *weights = step->buffers[outputs + 2], *keys = step->buffers[problem->num_operands], *scores = keys + experts,
          *groups = scores + experts;
    int32_t *all_chosen = (int32_t *)(void *)(groups + experts);
    memset(start, 0, (size_t)(experts + 1) * sizeof *start);
    for (int64_t t = 0; t < tokens; t++) {
        int32_t *chosen = all_chosen + t * top_k;
        float first = 0, sum = 0;
        score_experts(params, logits + t * experts, bias, experts, keys, scores);
        if (params->groups > 1) drop_groups(params, experts, keys, groups);
        for (int64_t c = 0; c < top_k; c++) {
            chosen[c] = best_expert(keys, experts, chosen, c);
            start[chosen[c] + 1]++;
            float score = scores[chosen[c]];
            if (c == 0) first = score;
            if (params->type == TN_ROUTE_TOPK_SOFTMAX) {
                float all[LANES];
                v_store(all, v_exp(v_set1(score - first)));
                score = all[0];
            }
            weights[t * top_k + c] = score;
            sum += score;
        }
        bool divide = params->type == TN_ROUTE_TOPK_SOFTMAX || params->renormalize;
        for (int64_t c = 0; c < top_k; c++) {
            float *weight = &weights[t * top_k + c];
            *weight = (divide ? *weight / sum : *weight) * (float)params->scale;
        }
    }
    for (int64_t e = 0; e < experts; e++) start[e + 1] += start[e];
    for (int64_t i = 0; i < tokens * top_k; i++) order[start[all_chosen[i]]++] = (int32_t)i;
    for (int64_t e = experts; e > 0; e--) start[e] = start[e - 1]; /* each stands at its expert's end now */
    start[0] = 0;
}

/* First phase, one tile: where each choice stands in the sorted order. workspace: i32 [T · K] */
void TN_ISA_NAME(tn_cpu_combine_places)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_combine_places)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    const int32_t *order = step->buffers[1];
    int32_t *place = step->buffers[step->problem->num_operands];
    int64_t count = tn_operand_rows(&step->problem->operands[0], step->symbols);
    for (int64_t i = 0; i < count; i++) place[order[i]] = (int32_t)i;
}

void TN_ISA_NAME(tn_cpu_combine)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_combine)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t n = tn_operand_columns(&step->problem->operands[0], step->symbols);
    int64_t top_k = tn_operand_columns(&step->problem->operands[2], step->symbols);
    const float *y = step->buffers[0], *scores = step->buffers[2];
    float *out = step->buffers[3];
    const int32_t *place = step->buffers[step->problem->num_operands];
    for (int64_t t = begin; t < end; t++) {
        for (int64_t i = 0; i < n; i += LANES) {
            vf sum = v_zero();
            for (int64_t c = 0; c < top_k; c++)
                sum = v_fma(v_set1(scores[t * top_k + c]), v_load_upto(y + place[t * top_k + c] * n + i, n - i), sum);
            v_store_upto(out + t * n + i, sum, n - i);
        }
    }
}

#endif
