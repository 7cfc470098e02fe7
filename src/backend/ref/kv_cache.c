/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.c: the paged cache as ref keeps it (ref.h), KV_CACHE_UPDATE, QKV_CACHE.
 */
#include <math.h>
#include <string.h>

#include "backend/ref/ref.h"

static size_t element_bytes(const tn_kv_geometry *g) {
    return tn_dtype_get_info(g->dtype)->bits / 8u;
}

/* A layer: keys [head][token][k_dim], values [head][token][v_dim], then of scaled types scales [2: keys, values][head][token]. */
static size_t layer_bytes(const tn_kv_geometry *g) {
    size_t elements = (size_t)(g->num_kv_heads * g->tokens_per_block * (g->k_dim + g->v_dim)) * element_bytes(g);
    return elements + (tn_kv_levels(g->dtype) > 0 ? (size_t)(2 * g->num_kv_heads * g->tokens_per_block) * sizeof(float) : 0);
}

size_t tn_ref_kv_block_bytes(const tn_kv_geometry *geometry) {
    return (layer_bytes(geometry) * (size_t)geometry->num_layers + 63u) & ~(size_t)63u;
}

size_t tn_ref_kv_offset(const tn_kv_geometry *g, int64_t block, int64_t layer, bool is_value, int64_t head, int64_t token) {
    int64_t element = is_value ? g->num_kv_heads * g->tokens_per_block * g->k_dim + (head * g->tokens_per_block + token) * g->v_dim
                               : (head * g->tokens_per_block + token) * g->k_dim;
    return (size_t)block * tn_ref_kv_block_bytes(g) + (size_t)layer * layer_bytes(g) + (size_t)element * element_bytes(g);
}

static size_t scale_offset(const tn_kv_geometry *g, int64_t block, int64_t layer, bool is_value, int64_t head, int64_t token) {
    int64_t place = ((is_value ? g->num_kv_heads : 0) + head) * g->tokens_per_block + token;
    return tn_ref_kv_offset(g, block, layer, true, g->num_kv_heads, 0) + (size_t)place * sizeof(float);
}

void tn_ref_kv_copy_blocks(const tn_kv_geometry *g, void *state, const tn_block_copy *copies, size_t num_copies) {
    for (size_t c = 0; c < num_copies; c++)
        for (int64_t layer = 0; layer < g->num_layers; layer++)
            for (int64_t head = 0; head < g->num_kv_heads; head++)
                for (int is_value = 0; is_value < 2; is_value++) {
                    size_t dst = tn_ref_kv_offset(g, copies[c].dst, layer, is_value != 0, head, 0);
                    size_t src = tn_ref_kv_offset(g, copies[c].src, layer, is_value != 0, head, 0);
                    size_t dim = (size_t)(is_value != 0 ? g->v_dim : g->k_dim);
                    memmove((char *)state + dst, (char *)state + src, (size_t)copies[c].num_tokens * dim * element_bytes(g));
                    if (tn_kv_levels(g->dtype) == 0) continue;
                    dst = scale_offset(g, copies[c].dst, layer, is_value != 0, head, 0);
                    src = scale_offset(g, copies[c].src, layer, is_value != 0, head, 0);
                    memmove((char *)state + dst, (char *)state + src, (size_t)copies[c].num_tokens * sizeof(float));
                }
}

double tn_ref_kv_scale(const tn_kv_geometry *g, const void *state, int64_t block, int64_t layer, bool is_value, int64_t head,
                       int64_t token) {
    float scale = 1.0f;
    if (tn_kv_levels(g->dtype) > 0)
        memcpy(&scale, (const char *)state + scale_offset(g, block, layer, is_value, head, token), sizeof scale);
    return (double)scale;
}

/* One head's key or value of one token: float32 values first, as every backend has them, then the cache's type. */
static void store_head(const tn_kv_geometry *g, void *state, int64_t block, int64_t layer, bool is_value, int64_t head, int64_t token,
                       const double *values) {
    char *to = (char *)state + tn_ref_kv_offset(g, block, layer, is_value, head, token);
    int64_t dim = is_value ? g->v_dim : g->k_dim;
    if (tn_kv_levels(g->dtype) == 0) {
        for (int64_t i = 0; i < dim; i++) tn_dtype_store(g->dtype, to, i, values[i]);
        return;
    }
    float largest = 0.0f;
    for (int64_t i = 0; i < dim; i++) {
        float magnitude = fabsf((float)values[i]);
        largest = isfinite(magnitude) ? fmaxf(largest, magnitude) : NAN;
        if (isnan(largest)) break;
    }
    tn_kv_scale scale = tn_kv_scale_of(g->dtype, largest);
    for (int64_t i = 0; i < dim; i++)
        tn_dtype_store(g->dtype, to, i, scale.inverse != 0.0f ? (double)((float)values[i] * scale.inverse) : 0.0);
    memcpy((char *)state + scale_offset(g, block, layer, is_value, head, token), &scale.scale, sizeof scale.scale);
}

static void load_head(const tn_ref_view *view, int64_t token, int64_t column, int64_t dim, double *values) {
    for (int64_t i = 0; i < dim; i++) values[i] = tn_ref_load(view, token * view->columns + column + i);
}

size_t tn_ref_kv_cache_update_workspace(const tn_problem *problem, const int64_t *symbols) {
    (void)symbols;
    const tn_kv_cache_update_params *params = problem->params;
    return (size_t)(params->k_dim > params->v_dim ? params->k_dim : params->v_dim) * sizeof(double);
}

tn_status tn_ref_kv_cache_update(const tn_ref_call *call) {
    const tn_kv_cache_update_params *params = call->problem->params;
    tn_kv_geometry g = TN_KV_GEOMETRY(params);
    tn_ref_view k = tn_ref_input(call, 0), v = tn_ref_input(call, 1), cache = tn_ref_input(call, 2);
    tn_ref_tokens tokens = {tn_ref_input(call, 3), tn_ref_input(call, 4), tn_ref_input(call, 5)};
    double *values = call->workspace;
    for (int64_t t = 0; t < k.rows; t++) {
        int64_t sequence, index;
        if (!tn_ref_find_token(&tokens, t, &sequence, &index)) continue;
        int64_t block = tn_ref_find_block(&tokens, sequence, index, g.tokens_per_block);
        if (block < 0) continue;
        for (int64_t head = 0; head < g.num_kv_heads; head++) {
            load_head(&k, t, head * g.k_dim, g.k_dim, values);
            store_head(&g, cache.data, block, params->layer, false, head, index % g.tokens_per_block, values);
            load_head(&v, t, head * g.v_dim, g.v_dim, values);
            store_head(&g, cache.data, block, params->layer, true, head, index % g.tokens_per_block, values);
        }
    }
    return TN_OK;
}

size_t tn_ref_qkv_cache_workspace(const tn_problem *problem, const int64_t *symbols) {
    (void)symbols;
    const tn_qkv_cache_params *params = problem->params;
    return (size_t)(params->k_dim > params->v_dim ? params->k_dim : params->v_dim) * sizeof(double);
}

/* One head of q or k: loaded, RMS-normalised by `norm` if there is one, rotated by `table` if there is one. */
static void make_head(const tn_qkv_cache_params *params, const tn_ref_view *qkv, int64_t token, int64_t column, const tn_ref_view *norm,
                      const tn_ref_view *table, double *head) {
    double squares = 0.0;
    for (int64_t i = 0; i < params->k_dim; i++) {
        head[i] = tn_ref_load(qkv, token * qkv->columns + column + i);
        squares += head[i] * head[i];
    }
    double inverse = 1.0 / sqrt(squares / (double)params->k_dim + params->epsilon);
    for (int64_t i = 0; i < params->k_dim && !norm->absent; i++) head[i] *= inverse * tn_ref_load(norm, i);
    if (!table->absent) tn_ref_rotate((tn_rotary_type)params->rotary, table, token, head, params->k_dim);
}

tn_status tn_ref_qkv_cache(const tn_ref_call *call) {
    const tn_qkv_cache_params *params = call->problem->params;
    tn_kv_geometry g = TN_KV_GEOMETRY(params);
    tn_ref_view qkv = tn_ref_input(call, 0), table = tn_ref_input(call, 1), q_norm = tn_ref_input(call, 2), k_norm = tn_ref_input(call, 3);
    tn_ref_view cache = tn_ref_input(call, 4), q = tn_ref_output(call, 0);
    tn_ref_tokens tokens = {tn_ref_input(call, 5), tn_ref_input(call, 6), tn_ref_input(call, 7)};
    double *head = call->workspace;
    int64_t k_column = params->num_heads * g.k_dim, v_column = k_column + g.num_kv_heads * g.k_dim;
    for (int64_t t = 0; t < qkv.rows; t++) {
        for (int64_t h = 0; h < params->num_heads; h++) {
            make_head(params, &qkv, t, h * g.k_dim, &q_norm, &table, head);
            for (int64_t i = 0; i < g.k_dim; i++) tn_ref_store(&q, t * q.columns + h * g.k_dim + i, head[i]);
        }
        int64_t sequence, index;
        if (!tn_ref_find_token(&tokens, t, &sequence, &index)) continue;
        int64_t block = tn_ref_find_block(&tokens, sequence, index, g.tokens_per_block), place = index % g.tokens_per_block;
        for (int64_t h = 0; h < g.num_kv_heads && block >= 0; h++) {
            make_head(params, &qkv, t, k_column + h * g.k_dim, &k_norm, &table, head);
            store_head(&g, cache.data, block, params->layer, false, h, place, head);
            load_head(&qkv, t, v_column + h * g.v_dim, g.v_dim, head);
            store_head(&g, cache.data, block, params->layer, true, h, place, head);
        }
    }
    return TN_OK;
}
