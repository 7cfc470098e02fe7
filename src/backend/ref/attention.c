/* SPDX-License-Identifier: Apache-2.0
 *
 * attention.c: ATTENTION over the paged cache: softmax(scale · q·k, masked) · v, each sum in double over ascending positions.
 */
#include <math.h>

#include "backend/ref/ref.h"

/* Scores of one token and head over all positions, its query, and a chunk of its result. */
static size_t max_positions(const tn_problem *problem, const int64_t *symbols) {
    const tn_attention_params *params = problem->params;
    return (size_t)(tn_operand_columns(&problem->operands[4], symbols) * params->tokens_per_block);
}

size_t tn_ref_attention_workspace(const tn_problem *problem, const int64_t *symbols) {
    const tn_attention_params *params = problem->params;
    /* The result of a token is kept whole: quantised rows are stored 64 columns at a time, heads may be any size. */
    return (max_positions(problem, symbols) + (size_t)(params->k_dim + params->num_heads * params->v_dim)) * sizeof(double);
}

typedef struct head_call {
    const tn_attention_params *params;
    tn_kv_geometry geometry;
    tn_ref_view q, cache, sinks, slopes;
    tn_ref_tokens tokens;
    double *scores, *query, *result; /* [positions], [k_dim], [heads · v_dim] */
} head_call;

static bool is_visible(const tn_attention_params *params, int64_t query, int64_t key) {
    return params->window <= 0 || key > query - params->window || key < params->sink_tokens;
}

static double score(const head_call *c, const char *key, double scale, int64_t head, int64_t query_index, int64_t key_index) {
    const tn_attention_params *params = c->params;
    double sum = 0.0;
    for (int64_t i = 0; i < params->k_dim; i++) sum += c->query[i] * tn_dtype_load(c->geometry.dtype, key, i);
    sum *= scale * params->scale;
    if (params->soft_cap > 0.0) sum = params->soft_cap * tanh(sum / params->soft_cap);
    if (!c->slopes.absent) sum += tn_ref_load(&c->slopes, head) * (double)(key_index - query_index);
    return sum;
}

static void attend(const head_call *c, int64_t token, int64_t head, int64_t sequence, int64_t index) {
    const tn_kv_geometry *g = &c->geometry;
    int64_t kv_head = head / (c->params->num_heads / g->num_kv_heads);
    double largest = c->sinks.absent ? -INFINITY : tn_ref_load(&c->sinks, head), sum = 0.0;
    double *result = c->result + head * g->v_dim;
    for (int64_t i = 0; i < g->k_dim; i++) c->query[i] = tn_ref_load(&c->q, token * c->q.columns + head * g->k_dim + i);
    for (int64_t j = 0; j <= index; j++) {
        int64_t block = tn_ref_find_block(&c->tokens, sequence, j, g->tokens_per_block);
        c->scores[j] = -INFINITY;
        if (block < 0 || !is_visible(c->params, index, j)) continue;
        int64_t token_of_block = j % g->tokens_per_block;
        size_t offset = tn_ref_kv_offset(g, block, c->params->layer, false, kv_head, token_of_block);
        double scale = tn_ref_kv_scale(g, c->cache.data, block, c->params->layer, false, kv_head, token_of_block);
        c->scores[j] = score(c, (const char *)c->cache.data + offset, scale, head, index, j);
        largest = isnan(largest) || largest > c->scores[j] ? largest : c->scores[j];
    }
    if (!c->sinks.absent) sum = exp(tn_ref_load(&c->sinks, head) - largest);
    for (int64_t i = 0; i < g->v_dim; i++) result[i] = 0.0;
    for (int64_t j = 0; j <= index; j++) {
        if (c->scores[j] == -INFINITY) continue;
        int64_t block = tn_ref_find_block(&c->tokens, sequence, j, g->tokens_per_block);
        double weight = exp(c->scores[j] - largest);
        const char *value =
            (const char *)c->cache.data + tn_ref_kv_offset(g, block, c->params->layer, true, kv_head, j % g->tokens_per_block);
        sum += weight;
        weight *= tn_ref_kv_scale(g, c->cache.data, block, c->params->layer, true, kv_head, j % g->tokens_per_block);
        for (int64_t i = 0; i < g->v_dim; i++) result[i] += weight * tn_dtype_load(g->dtype, value, i);
    }
    for (int64_t i = 0; i < g->v_dim && sum != 0.0; i++) result[i] /= sum;
}

tn_status tn_ref_attention(const tn_ref_call *call) {
    const tn_attention_params *params = call->problem->params;
    head_call c = {.params = params, .geometry = TN_KV_GEOMETRY(params), .q = tn_ref_input(call, 0), .cache = tn_ref_input(call, 1)};
    c.tokens = (tn_ref_tokens){tn_ref_input(call, 2), tn_ref_input(call, 3), tn_ref_input(call, 4)};
    c.sinks = tn_ref_input(call, 5);
    c.slopes = tn_ref_input(call, 6);
    c.scores = call->workspace;
    c.query = c.scores + max_positions(call->problem, call->symbols);
    c.result = c.query + params->k_dim;
    int64_t columns = params->num_heads * params->v_dim;
    for (int64_t t = 0; t < c.q.rows; t++) {
        int64_t sequence, index;
        bool found = tn_ref_find_token(&c.tokens, t, &sequence, &index);
        found = found && index < (int64_t)max_positions(call->problem, call->symbols);
        for (int64_t i = 0; i < columns && !found; i++) c.result[i] = 0.0;
        for (int64_t head = 0; head < params->num_heads && found; head++) attend(&c, t, head, sequence, index);
        for (int64_t begin = 0; begin < columns; begin += TN_REF_CHUNK)
            tn_ref_finish_columns(call, t, 0, begin, columns - begin < TN_REF_CHUNK ? columns - begin : TN_REF_CHUNK, c.result + begin);
    }
    return TN_OK;
}
