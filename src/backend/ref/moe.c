/* SPDX-License-Identifier: Apache-2.0
 *
 * moe.c: ROUTE (which experts a token goes to, tokens sorted by expert) and COMBINE (their weighted sum). The experts' own
 * multiplications are in matmul.c.
 */
#include <math.h>

#include "backend/ref/ref.h"

/* For one token: what choices are compared by, what the scores are made of, how good a group is. Then T·K chosen experts. */
size_t tn_ref_route_workspace(const tn_problem *problem, const int64_t *symbols) {
    size_t experts = (size_t)tn_operand_columns(&problem->operands[0], symbols),
           tokens = (size_t)tn_operand_rows(&problem->operands[0], symbols);
    return experts * 3 * sizeof(double) + tokens * (size_t)((const tn_route_params *)problem->params)->top_k * sizeof(int32_t);
}

static void score_experts(const tn_route_params *params, const tn_ref_view *logits, const tn_ref_view *bias, int64_t token, double *keys,
                          double *scores) {
    int64_t experts = logits->columns;
    double largest = -INFINITY, sum = 0.0;
    for (int64_t e = 0; e < experts; e++) {
        scores[e] = tn_ref_load(logits, token * experts + e);
        largest = fmax(largest, scores[e]);
    }
    for (int64_t e = 0; e < experts; e++) sum += exp(scores[e] - largest);
    for (int64_t e = 0; e < experts; e++) {
        if (params->type == TN_ROUTE_SOFTMAX_TOPK) scores[e] = exp(scores[e] - largest) / sum;
        if (params->type == TN_ROUTE_SIGMOID_TOPK) scores[e] = 1.0 / (1.0 + exp(-scores[e]));
        keys[e] = scores[e] + (bias->absent ? 0.0 : tn_ref_load(bias, e));
    }
}

/* Experts outside the best groups get keys that no other expert's is below. */
static void drop_groups(const tn_route_params *params, int64_t experts, double *keys, double *groups) {
    int64_t count = params->groups, size = experts / count;
    for (int64_t g = 0; g < count; g++) {
        double first = -INFINITY, second = -INFINITY;
        for (int64_t e = g * size; e < (g + 1) * size; e++) {
            if (keys[e] > first)
                second = first, first = keys[e];
            else if (keys[e] > second)
                second = keys[e];
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
static int32_t find_best(const double *keys, int64_t experts, const int32_t *chosen, int64_t choice) {
    int32_t best = -1;
    for (int32_t e = 0; e < experts; e++) {
        bool taken = false;
        for (int64_t c = 0; c < choice; c++) taken = taken || chosen[c] == e;
        if (!taken && (best < 0 || keys[e] > keys[best] || (isnan(keys[best]) && !isnan(keys[e])))) best = e;
    }
    return best;
}

tn_status tn_ref_route(const tn_ref_call *call) {
    const tn_route_params *params = call->problem->params;
    tn_ref_view logits = tn_ref_input(call, 0), bias = tn_ref_input(call, 1);
    tn_ref_view start = tn_ref_output(call, 0), order = tn_ref_output(call, 1), weights = tn_ref_output(call, 2);
    int64_t experts = logits.columns, tokens = logits.rows, top_k = params->top_k, at = 0;
    double *keys = call->workspace, *scores = keys + experts, *groups = scores + experts;
    int32_t *chosen = (int32_t *)(void *)(groups + experts);
    for (int64_t t = 0; t < tokens; t++) {
        score_experts(params, &logits, &bias, t, keys, scores);
        if (params->groups > 1) drop_groups(params, experts, keys, groups);
        double sum = 0.0, first = 0.0;
        for (int64_t choice = 0; choice < top_k; choice++) {
            int32_t best = find_best(keys, experts, chosen + t * top_k, choice);
            chosen[t * top_k + choice] = best;
            if (choice == 0) first = scores[best];
            sum += params->type == TN_ROUTE_TOPK_SOFTMAX ? exp(scores[best] - first) : scores[best];
        }
        for (int64_t choice = 0; choice < top_k; choice++) {
            double score = scores[chosen[t * top_k + choice]];
            if (params->type == TN_ROUTE_TOPK_SOFTMAX)
                score = exp(score - first) / sum;
            else if (params->renormalize)
                score /= sum;
            tn_ref_store(&weights, t * top_k + choice, score * params->scale);
        }
    }
    for (int64_t e = 0; e < experts; e++) {
        tn_ref_store_int(&start, e, at);
        for (int64_t i = 0; i < tokens * top_k; i++)
            if (chosen[i] == e) tn_ref_store_int(&order, at++, i);
    }
    tn_ref_store_int(&start, experts, at);
    return TN_OK;
}

size_t tn_ref_combine_workspace(const tn_problem *problem, const int64_t *symbols) {
    return (size_t)tn_operand_rows(&problem->operands[0], symbols) * sizeof(int32_t);
}

tn_status tn_ref_combine(const tn_ref_call *call) {
    tn_ref_view x = tn_ref_input(call, 0), order = tn_ref_input(call, 1), scores = tn_ref_input(call, 2), y = tn_ref_output(call, 0);
    int32_t *place = call->workspace; /* of token · K + choice in the sorted order */
    int64_t top_k = scores.columns;
    for (int64_t i = 0; i < x.rows; i++) place[tn_ref_load_int(&order, i)] = (int32_t)i;
    for (int64_t t = 0; t < y.rows; t++)
        for (int64_t i = 0; i < y.columns; i++) {
            double sum = 0.0;
            for (int64_t choice = 0; choice < top_k; choice++)
                sum += tn_ref_load(&scores, t * top_k + choice) * tn_ref_load(&x, place[t * top_k + choice] * y.columns + i);
            tn_ref_store(&y, t * y.columns + i, sum);
        }
    return TN_OK;
}
