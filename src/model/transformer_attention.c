/* SPDX-License-Identifier: Apache-2.0
 *
 * transformer_attention.c: the weights of a layer's attention, however the file keeps them.
 */
#include <math.h>
#include <stdio.h>

#include "model/transformer.h"

typedef struct sizes {
    int64_t q, kv, hidden;
} sizes;

static sizes sizes_of(const tn_model_config *config) {
    return (sizes){config->num_heads * config->head_dim, config->num_kv_heads * config->head_dim, config->hidden_size};
}

/* Queries by way of a narrow vector, or straight from x; rows of a head with the rotated part first, as the cache has it. */
static const tn_weights *rotated_first(tn_model_builder *builder, const tn_weights *x) {
    const tn_model_config *config = builder->config;
    tn_network *network = builder->network;
    int64_t size = config->head_dim, rotated = config->latent.rope_dim, rest = size - rotated;
    int64_t *table = tn_arena_alloc_array(&network->arena, (size_t)(config->num_heads * size), sizeof *table);
    if (table == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    for (int64_t row = 0; row < config->num_heads * size; row++)
        table[row] = row / size * size + (row % size < rotated ? rest + row % size : row % size - rotated);
    return tn_weights_permute_rows(&network->arena, x, table, network->diag);
}

/* Of a [heads · (k + v), rank] weight all heads' first k rows, then all heads' v rows. */
static const tn_weights *keys_first(tn_model_builder *builder, const tn_weights *x, int64_t k, int64_t v) {
    tn_network *network = builder->network;
    int64_t heads = builder->config->num_heads;
    int64_t *table = tn_arena_alloc_array(&network->arena, (size_t)(heads * (k + v)), sizeof *table);
    if (table == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    for (int64_t row = 0; row < heads * k; row++) table[row] = row / k * (k + v) + row % k;
    for (int64_t row = 0; row < heads * v; row++) table[heads * k + row] = row / v * (k + v) + k + row % v;
    return tn_weights_permute_rows(&network->arena, x, table, network->diag);
}

static tn_tensor *add_latent(tn_model_builder *builder, tn_tensor *x, int64_t layer, const tn_attention_config *attention,
                             const char *name) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    int64_t hidden = config->hidden_size, heads = config->num_heads, rank = config->latent.kv_rank, q_rank = config->latent.q_rank;
    int64_t rotated = config->latent.rope_dim, plain = config->head_dim - rotated, v = config->v_head_dim;
    tn_latent_weights weights = {.rotated_dim = rotated};
    if (q_rank > 0) {
        weights.q_a = tn_model_linear(builder, names->q_a, layer, q_rank, hidden);
        weights.q_a_bias = tn_model_bias(builder, names->q_a, layer, config->qkv_bias, q_rank);
        weights.q_a_norm = tn_model_norm(builder, names->q_a_norm, layer, TN_DIMS(q_rank));
    }
    weights.q = rotated_first(builder, tn_model_linear(builder, q_rank > 0 ? names->q_b : names->q, layer, heads * config->head_dim,
                                                       q_rank > 0 ? q_rank : hidden));
    const tn_weights *kv_a = tn_model_linear(builder, names->kv_a, layer, rank + rotated, hidden);
    const tn_weights *kv_a_bias = tn_model_bias(builder, names->kv_a, layer, config->qkv_bias, rank + rotated);
    weights.latent = tn_model_rows(builder, kv_a, 0, rank);
    weights.latent_bias = tn_model_rows(builder, kv_a_bias, 0, rank);
    weights.latent_norm = tn_model_norm(builder, names->kv_a_norm, layer, TN_DIMS(rank));
    weights.k_rotated = tn_model_rows(builder, kv_a, rank, rank + rotated);
    weights.k_rotated_bias = tn_model_rows(builder, kv_a_bias, rank, rank + rotated);
    if (names->k_b != NULL && tn_model_has_weight(builder, names->k_b, layer, "weight")) {
        weights.k = tn_model_heads(builder, names->k_b, layer, plain, rank, true);
        weights.v = tn_model_heads(builder, names->v_b, layer, v, rank, false);
    } else {
        const tn_weights *kv_b = keys_first(builder, tn_model_linear(builder, names->kv_b, layer, heads * (plain + v), rank), plain, v);
        weights.k = tn_model_rows(builder, kv_b, 0, heads * plain);
        weights.v = tn_model_rows(builder, kv_b, heads * plain, heads * (plain + v));
    }
    weights.o = tn_model_linear(builder, names->o, layer, hidden, heads * v);
    weights.o_bias = tn_model_bias(builder, names->o, layer, config->o_bias, hidden);
    return tn_fn_latent_attention(&builder->decoder, x, &weights, attention, name);
}

/* For each row of q, k, v one after another: where it stands if each key/value head's query heads, k and v stand together. */
static int64_t *rows_by_parts(tn_model_builder *builder) {
    const tn_model_config *config = builder->config;
    tn_network *network = builder->network;
    int64_t size = config->head_dim, shared = config->num_heads / config->num_kv_heads, group = (shared + 2) * size;
    sizes n = sizes_of(config);
    int64_t *table = tn_arena_alloc_array(&network->arena, (size_t)(n.q + 2 * n.kv), sizeof *table);
    if (table == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    for (int64_t head = 0; head < config->num_heads; head++)
        for (int64_t i = 0; i < size; i++) table[head * size + i] = head / shared * group + head % shared * size + i;
    for (int64_t head = 0; head < config->num_kv_heads; head++)
        for (int64_t i = 0; i < size; i++) {
            table[n.q + head * size + i] = head * group + shared * size + i;
            table[n.q + n.kv + head * size + i] = head * group + (shared + 1) * size + i;
        }
    return table;
}

static void load_joint(tn_model_builder *builder, int64_t layer, tn_attention_weights *out) {
    const tn_model_config *config = builder->config;
    const char *name = builder->names->qkv;
    tn_network *network = builder->network;
    sizes n = sizes_of(config);
    int64_t rows = n.q + 2 * n.kv;
    const tn_weights *qkv = tn_model_linear(builder, name, layer, rows, n.hidden);
    const tn_weights *bias = tn_model_bias(builder, name, layer, config->qkv_bias, rows);
    if (config->qkv_is_by_heads) {
        const int64_t *table = rows_by_parts(builder);
        if (table == NULL) return;
        qkv = tn_weights_permute_rows(&network->arena, qkv, table, network->diag);
        bias = tn_weights_permute_rows(&network->arena, bias, table, network->diag);
    }
    out->q = tn_model_rows(builder, qkv, 0, n.q);
    out->k = tn_model_rows(builder, qkv, n.q, n.q + n.kv);
    out->v = tn_model_rows(builder, qkv, n.q + n.kv, rows);
    out->q_bias = tn_model_rows(builder, bias, 0, n.q);
    out->k_bias = tn_model_rows(builder, bias, n.q, n.q + n.kv);
    out->v_bias = tn_model_rows(builder, bias, n.q + n.kv, rows);
}

static void load_separate(tn_model_builder *builder, int64_t layer, tn_attention_weights *out) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    sizes n = sizes_of(config);
    out->q = tn_model_linear(builder, names->q, layer, n.q, n.hidden);
    out->k = tn_model_linear(builder, names->k, layer, n.kv, n.hidden);
    out->v = tn_model_linear(builder, names->v, layer, n.kv, n.hidden);
    out->q_bias = tn_model_bias(builder, names->q, layer, config->qkv_bias, n.q);
    out->k_bias = tn_model_bias(builder, names->k, layer, config->qkv_bias, n.kv);
    out->v_bias = tn_model_bias(builder, names->v, layer, config->qkv_bias, n.kv);
}

static tn_dims norm_dims(const tn_model_config *config, int64_t heads) {
    switch (config->qk_norm) {
    case TN_QK_NORM_HEADS: return TN_DIMS(heads, config->head_dim);
    case TN_QK_NORM_ROW: return TN_DIMS(heads * config->head_dim);
    default: return TN_DIMS(config->head_dim);
    }
}

static void load_norms(tn_model_builder *builder, int64_t layer, tn_attention_weights *out) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    if (config->qk_norm == TN_QK_NORM_NONE) return;
    out->q_norm = tn_model_norm(builder, names->q_norm, layer, norm_dims(config, config->num_heads));
    out->k_norm = tn_model_norm(builder, names->k_norm, layer, norm_dims(config, config->num_kv_heads));
    if (!config->qk_norm_is_layer_norm || config->qk_norm != TN_QK_NORM_HEAD) return;
    out->q_norm_bias = tn_model_bias(builder, names->q_norm, layer, config->norm_bias, config->head_dim);
    out->k_norm_bias = tn_model_bias(builder, names->k_norm, layer, config->norm_bias, config->head_dim);
}

static tn_tensor *add_plain(tn_model_builder *builder, tn_tensor *x, int64_t layer, const tn_weights *alibi_slopes,
                            const tn_attention_config *attention, const char *name) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    sizes n = sizes_of(config);
    tn_attention_weights weights = {.alibi_slopes = alibi_slopes};
    bool is_joint = names->qkv != NULL && (names->q == NULL || tn_model_has_weight(builder, names->qkv, layer, "weight"));
    if (is_joint)
        load_joint(builder, layer, &weights);
    else
        load_separate(builder, layer, &weights);
    load_norms(builder, layer, &weights);
    weights.o = tn_model_linear(builder, names->o, layer, n.hidden, n.q);
    weights.o_bias = tn_model_bias(builder, names->o, layer, config->o_bias, n.hidden);
    if (config->has_sinks)
        weights.sinks = tn_model_expect(builder, tn_model_weight(builder, names->sinks, layer, "weight", true), TN_DIMS(config->num_heads));
    return tn_fn_attention(&builder->decoder, x, &weights, attention, name);
}

tn_tensor *tn_transformer_attention(const tn_transformer *self, tn_tensor *x, int64_t layer) {
    tn_model_builder *builder = self->builder;
    const tn_model_config *config = builder->config;
    double scale = config->attention_scale != 0.0 ? config->attention_scale : 1.0 / sqrt((double)config->head_dim);
    int rope = config->layer_ropes != NULL ? config->layer_ropes[layer] : TN_LAYER_ROPE;
    tn_attention_config attention = {
        .num_heads = config->num_heads,
        .layer = layer,
        .scale = config->scale_by_layer ? scale / (double)(layer + 1) : scale,
        .soft_cap = config->attention_soft_cap,
        .norm_epsilon = config->latent.kv_rank > 0 ? config->latent.norm_epsilon : config->norm_epsilon,
        .norm_type = config->qk_norm_is_layer_norm ? TN_NORMALIZATION_LAYER : TN_NORMALIZATION_RMS,
        .clip = config->qkv_clip,
        .rotary_table = rope == TN_LAYER_ROPE_NONE ? NULL : self->rotary_tables[rope],
        .rotary = rope == TN_LAYER_ROPE_LOCAL ? config->local_rope.type : config->rope.type,
    };
    char name[64];
    snprintf(name, sizeof name, "layers.%lld.attention", (long long)layer);
    if (config->latent.kv_rank > 0) return add_latent(builder, x, layer, &attention, name);
    return add_plain(builder, x, layer, self->alibi_slopes, &attention, name);
}
