/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_qkv_cache.c: what stands between the product qkv and attention → QKV_CACHE: slices, the norms of each head, rotary
 * embedding of q and k, and writing k and v to the cache.
 *
 *     qkv ─ slice ─ [split heads, rms norm, join] ─ [rotary] ─ q ──────────────────────────► attention
 *         ├ slice ─ [split heads, rms norm, join] ─ [rotary] ─ k ─ cache update ─ cache' ──┘
 *         └ slice ─────────────────────────────────────────── v ─┘
 *
 * The new layer stands at the attention: everything that it reads stands before, and all that reads q and cache' comes after.
 */
#include "passes/passes_internal.h"

/* Between the update and its attention stand the layers of q at most. */
enum { WINDOW = 64 };

/* How one of q, k, v comes from the product. */
typedef struct chain {
    tn_tensor *qkv;
    int64_t begin, columns;
    tn_tensor *table; /* rotary; NULL: none */
    int rotary;
    int64_t rotary_head_dim;
    const tn_layer *norm; /* NULL: none */
} chain;

static bool is_blocked(const tn_layer *layer) {
    const tn_tensor *output = layer->outputs.data[0];
    return output->is_output || output->is_debug;
}

/* [T, columns] of [T, n] from a constant column on. */
static bool read_slice(const tn_tensor *tensor, const tn_layer *near, chain *out) {
    const tn_layer *slice = tensor->producer;
    if (slice == NULL || slice->kind != TN_OP_SLICE || slice->region != near->region || tensor->rank != 2 || is_blocked(slice))
        return false;
    for (uint32_t i = 1; i < slice->inputs.count; i++)
        if (slice->inputs.data[i] != NULL) return false;
    const tn_slice_params *params = &slice->params.slice;
    tn_tensor *x = slice->inputs.data[0];
    if (params->start.d[0] != 0 || params->stride.d[0] != 1 || params->stride.d[1] != 1) return false;
    if (tn_sym_equal(x->network->symbols, x->dims[0], tensor->dims[0]) != TN_YES) return false;
    out->qkv = x;
    out->begin = params->start.d[1];
    return tn_pass_dim_is(tensor, 1, &out->columns);
}

/* A shuffle that only reshapes. */
static const tn_layer *plain_reshape(const tn_tensor *tensor, const tn_layer *near) {
    const tn_layer *shuffle = tensor->producer;
    if (shuffle == NULL || shuffle->kind != TN_OP_SHUFFLE || shuffle->region != near->region || is_blocked(shuffle)) return NULL;
    const tn_shuffle_params *params = &shuffle->params.shuffle;
    return params->first.rank == 0 && params->second.rank == 0 ? shuffle : NULL;
}

/* join(norm(split(x))) → x; tensor itself if it is no such thing. */
static const tn_tensor *skip_head_norm(const tn_tensor *tensor, const tn_layer *near, int64_t head_dim, chain *out) {
    const tn_layer *join = plain_reshape(tensor, near);
    const tn_layer *norm = join != NULL ? tn_match_producer(join, 0, TN_OP_NORMALIZATION) : NULL;
    if (norm == NULL || norm->num_epilogues > 0 || norm->inputs.data[2] != NULL || norm->inputs.data[3] != NULL || is_blocked(norm))
        return tensor;
    const tn_normalization_params *params = &norm->params.normalization;
    const tn_tensor *rows = norm->inputs.data[0];
    int64_t columns;
    if (params->type != TN_NORMALIZATION_RMS || params->scale_offset != 0.0 || tn_match_weights(norm, 1) == NULL) return tensor;
    if (rows->rank != 2 || !tn_pass_dim_is(rows, 1, &columns) || columns != head_dim) return tensor;
    const tn_layer *split = plain_reshape(rows, near);
    if (split == NULL || !tn_pass_same_dims(split->inputs.data[0], tensor)) return tensor;
    out->norm = norm;
    return split->inputs.data[0];
}

static bool read_chain(const tn_tensor *tensor, const tn_layer *near, int64_t head_dim, chain *out) {
    *out = (chain){0};
    const tn_layer *rotary = tensor->producer;
    if (rotary == NULL || rotary->region != near->region) return false;
    if (rotary->kind == TN_OP_ROTARY) {
        if (is_blocked(rotary)) return false;
        out->table = rotary->inputs.data[1];
        out->rotary = rotary->params.rotary.type;
        out->rotary_head_dim = rotary->params.rotary.head_dim;
        tensor = rotary->inputs.data[0];
    }
    return read_slice(skip_head_norm(tensor, near, head_dim, out), near, out);
}

/* q, k and v side by side in one product, treated alike. */
static bool chains_fit(const chain *q, const chain *k, const chain *v, const tn_attention_params *attention) {
    int64_t columns, k_columns = attention->num_kv_heads * attention->k_dim, v_columns = attention->num_kv_heads * attention->v_dim;
    if (q->qkv != k->qkv || q->qkv != v->qkv || q->qkv->dtype != TN_FLOAT32) return false;
    if (q->begin != 0 || q->columns != attention->num_heads * attention->k_dim) return false;
    if (k->begin != q->columns || k->columns != k_columns || v->begin != q->columns + k_columns || v->columns != v_columns) return false;
    if (!tn_pass_dim_is(q->qkv, 1, &columns) || columns != v->begin + v_columns) return false;
    if (v->table != NULL || v->norm != NULL) return false;
    if (q->table != k->table || q->rotary != k->rotary || q->rotary_head_dim != k->rotary_head_dim) return false;
    if (q->table != NULL && q->rotary_head_dim != attention->k_dim) return false;
    if ((q->norm == NULL) != (k->norm == NULL)) return false;
    return q->norm == NULL || q->norm->params.normalization.epsilon == k->norm->params.normalization.epsilon;
}

/* The new place is after the update's: nothing between may read what it makes. */
static bool may_move(const tn_layer *update, const tn_layer *attention) {
    const tn_layer *layer = update->next;
    for (int i = 0; i < WINDOW && layer != NULL && layer != attention; i++, layer = layer->next)
        for (size_t j = 0; j < layer->inputs.count; j++)
            if (layer->inputs.data[j] == update->outputs.data[0]) return false;
    return layer == attention;
}

static bool add_norm(tn_rewriter *rewriter, const chain *c, tn_tensor **out) {
    *out = NULL;
    if (c->norm == NULL) return true;
    const tn_weights *vector = tn_pass_float_vector(rewriter->network, tn_match_weights(c->norm, 1));
    *out = vector != NULL ? tn_network_add_weights(rewriter->network, vector, c->norm->inputs.data[1]->producer->name) : NULL;
    return *out != NULL;
}

static tn_layer *make_fused(tn_rewriter *rewriter, const tn_layer *attention, const tn_layer *update, const chain *q, const chain *k) {
    const tn_kv_cache_update_params *cache = &update->params.kv_cache_update;
    tn_op_params params = {.qkv_cache = {.layer = cache->layer,
                                         .num_heads = attention->params.attention.num_heads,
                                         .rotary = q->rotary,
                                         .epsilon = q->norm != NULL ? q->norm->params.normalization.epsilon : 0.0,
                                         .group = cache->group,
                                         .num_layers = cache->num_layers,
                                         .num_kv_heads = cache->num_kv_heads,
                                         .k_dim = cache->k_dim,
                                         .v_dim = cache->v_dim,
                                         .tokens_per_block = cache->tokens_per_block,
                                         .cache_dtype = cache->cache_dtype}};
    tn_tensor *q_norm, *k_norm;
    if (!add_norm(rewriter, q, &q_norm) || !add_norm(rewriter, k, &k_norm)) return NULL;
    tn_tensor *const *old = update->inputs.data;
    tn_tensor *inputs[8] = {q->qkv, q->table, q_norm, k_norm, old[2], old[3], old[4], old[5]};
    return tn_pass_keep_if_supported(rewriter, tn_network_add_layer(rewriter->network, TN_OP_QKV_CACHE, &params, inputs, 8, update->name));
}

static bool fuse_qkv_cache(tn_rewriter *rewriter, tn_layer *root) {
    tn_layer *update = tn_match_producer(root, 1, TN_OP_KV_CACHE_UPDATE);
    tn_tensor *q_tensor = root->inputs.data[0];
    if (update == NULL || update->outputs.data[0]->is_debug || !tn_match_is_read_once(q_tensor) || !may_move(update, root)) return false;
    const tn_attention_params *attention = &root->params.attention;
    if (update->params.kv_cache_update.layer != attention->layer) return false;
    chain q, k, v;
    if (!read_chain(q_tensor, root, attention->k_dim, &q) || !read_chain(update->inputs.data[0], root, attention->k_dim, &k) ||
        !read_chain(update->inputs.data[1], root, attention->v_dim, &v) || !chains_fit(&q, &k, &v, attention))
        return false;
    tn_layer *fused = make_fused(rewriter, root, update, &q, &k);
    if (fused == NULL) return false;
    return tn_rewriter_replace_outputs(rewriter, q_tensor->producer, &fused->outputs.data[0], 1) &&
           tn_rewriter_replace_outputs(rewriter, update, &fused->outputs.data[1], 1);
}

static const tn_op_kind roots[] = {TN_OP_ATTENTION};
const tn_pattern tn_fuse_qkv_cache = {
    .name = "fuse_qkv_cache", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_qkv_cache};
