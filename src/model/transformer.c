/* SPDX-License-Identifier: Apache-2.0
 *
 * transformer.c: decoders by their configuration: embeddings, layers of attention and MLP with their norms and residuals, logits.
 */
#include "model/transformer.h"

#include <stdio.h>

static const tn_weights *make_ones(tn_model_builder *builder) {
    tn_network *network = builder->network;
    int64_t count = builder->config->hidden_size;
    float *ones = tn_arena_alloc_array(&network->arena, (size_t)count, sizeof *ones);
    for (int64_t i = 0; ones != NULL && i < count; i++) ones[i] = 1.0f;
    if (ones == NULL) network->failed = network->out_of_memory = true;
    return ones != NULL ? tn_weights_floats(&network->arena, ones, TN_DIMS(count), network->diag) : NULL;
}

static tn_tensor *add_norm(tn_model_builder *builder, tn_tensor *x, const char *pattern, int64_t layer, const char *name) {
    const tn_model_config *config = builder->config;
    const tn_weights *scale =
        config->norms_are_bare ? make_ones(builder) : tn_model_norm(builder, pattern, layer, TN_DIMS(config->hidden_size));
    if (!config->is_layer_norm) return tn_fn_rms_norm(builder->network, x, scale, config->norm_epsilon, name);
    const tn_weights *bias = tn_model_bias(builder, pattern, layer, config->norm_bias, config->hidden_size);
    return tn_fn_layer_norm(builder->network, x, scale, bias, config->norm_epsilon, name);
}

/* Attention (is_mlp false) or MLP of a layer with the norms around it, without the sum. */
static tn_tensor *add_half(const tn_transformer *self, tn_tensor *x, int64_t layer, bool is_mlp) {
    tn_model_builder *builder = self->builder;
    const tn_weight_names *names = builder->names;
    tn_norm_order order = builder->config->norm_order;
    const char *half = is_mlp ? "mlp" : "attention";
    char name[64];
    snprintf(name, sizeof name, "layers.%lld.%s_norm", (long long)layer, half);
    if (order == TN_NORMS_BEFORE || order == TN_NORMS_AROUND)
        x = add_norm(builder, x, is_mlp ? names->mlp_norm : names->attention_norm, layer, name);
    x = is_mlp ? tn_transformer_mlp(self, x, layer) : tn_transformer_attention(self, x, layer);
    snprintf(name, sizeof name, "layers.%lld.%s_post_norm", (long long)layer, half);
    if (order == TN_NORMS_AFTER || order == TN_NORMS_AROUND)
        x = add_norm(builder, x, is_mlp ? names->mlp_post_norm : names->attention_post_norm, layer, name);
    return tn_fn_scale(builder->network, x, builder->config->residual_scale, NULL);
}

static tn_tensor *add_parallel(const tn_transformer *self, tn_tensor *x, int64_t layer) {
    tn_model_builder *builder = self->builder;
    const tn_weight_names *names = builder->names;
    tn_network *network = builder->network;
    char name[64];
    snprintf(name, sizeof name, "layers.%lld.attention_norm", (long long)layer);
    tn_tensor *normed = add_norm(builder, x, names->attention_norm, layer, name), *mlp_normed = normed;
    snprintf(name, sizeof name, "layers.%lld.mlp_norm", (long long)layer);
    if (builder->config->residual == TN_RESIDUAL_PARALLEL) mlp_normed = add_norm(builder, x, names->mlp_norm, layer, name);
    x = tn_fn_add(network, x, tn_transformer_attention(self, normed, layer), NULL);
    return tn_fn_add(network, x, tn_transformer_mlp(self, mlp_normed, layer), NULL);
}

/* Norms of sums, and BLOOM's residuals that are taken behind the norm. */
static tn_tensor *add_unusual_half(const tn_transformer *self, tn_tensor *x, int64_t layer, bool is_mlp) {
    tn_model_builder *builder = self->builder;
    const char *norm = is_mlp ? builder->names->mlp_norm : builder->names->attention_norm;
    char name[64];
    snprintf(name, sizeof name, "layers.%lld.%s_norm", (long long)layer, is_mlp ? "mlp" : "attention");
    bool norms_sum = builder->config->norm_order == TN_NORMS_OF_SUMS;
    if (!norms_sum) x = add_norm(builder, x, norm, layer, name);
    tn_tensor *y = is_mlp ? tn_transformer_mlp(self, x, layer) : tn_transformer_attention(self, x, layer);
    y = tn_fn_add(builder->network, x, y, NULL);
    return norms_sum ? add_norm(builder, y, norm, layer, name) : y;
}

static tn_tensor *add_layer(const tn_transformer *self, tn_tensor *x, int64_t layer) {
    const tn_model_config *config = self->builder->config;
    tn_network *network = self->builder->network;
    if (config->residual != TN_RESIDUAL_SEQUENTIAL) return add_parallel(self, x, layer);
    for (int half = 0; half < 2; half++) {
        if (config->norm_order == TN_NORMS_OF_SUMS || config->residual_is_normed)
            x = add_unusual_half(self, x, layer, half == 1);
        else
            x = tn_fn_add(network, x, add_half(self, x, layer, half == 1), NULL);
    }
    return x;
}

static tn_tensor *add_embeddings(tn_model_builder *builder, const tn_weights *table) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    tn_network *network = builder->network;
    int64_t hidden = config->hidden_size;
    tn_tensor *x = tn_fn_embedding(network, builder->decoder.ids, table, "embedding");
    x = tn_fn_scale(network, x, config->embedding_scale, "embedding.scale");
    if (config->embedding_size > 0)
        x = tn_fn_linear(network, x, tn_model_linear(builder, names->project_in, 0, hidden, config->embedding_size), NULL, "project_in");
    if (config->has_learned_positions) {
        int64_t first = config->position_offset;
        const tn_weights *positions = tn_model_expect(builder, tn_model_weight(builder, names->positions, 0, "weight", true),
                                                      TN_DIMS(first + config->max_positions, hidden));
        positions = tn_model_rows(builder, positions, first, first + config->max_positions);
        x = tn_fn_add(network, x, tn_fn_embedding(network, builder->decoder.positions, positions, "positions"), NULL);
    }
    return config->has_embedding_norm ? add_norm(builder, x, names->embedding_norm, 0, "embedding_norm") : x;
}

static const tn_weights *make_slopes(tn_model_builder *builder) {
    const tn_model_config *config = builder->config;
    tn_network *network = builder->network;
    if (config->alibi_max_bias == 0.0) return NULL;
    float *slopes = tn_arena_alloc_array(&network->arena, (size_t)config->num_heads, sizeof *slopes);
    if (slopes == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    tn_alibi_slopes(config->num_heads, config->alibi_max_bias, slopes);
    double scale = config->alibi_scale != 0.0 ? config->alibi_scale : 1.0;
    for (int64_t i = 0; i < config->num_heads; i++) slopes[i] = (float)((double)slopes[i] * scale);
    return tn_weights_floats(&network->arena, slopes, TN_DIMS(config->num_heads), network->diag);
}

static const tn_weights *make_head_scale(tn_model_builder *builder, const tn_weights *head) {
    tn_network *network = builder->network;
    if (!builder->config->has_unit_head) return NULL;
    const tn_weights *norms = tn_weights_inverse_norms(&network->arena, head, network->diag);
    return tn_weights_reshape(&network->arena, norms, TN_DIMS(1, builder->config->vocab_size), network->diag);
}

void tn_transformer_build(tn_model_builder *builder) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    int64_t width = tn_model_head_columns(config);
    tn_dims table_dims = TN_DIMS(config->vocab_size, width);
    const tn_weights *table = tn_model_expect(builder, tn_model_weight(builder, names->embedding, 0, "weight", true), table_dims);
    tn_transformer self = {.builder = builder, .alibi_slopes = make_slopes(builder)};
    self.rotary_tables[TN_LAYER_ROPE] = tn_decoder_rotary(&builder->decoder, &config->rope, "rotary");
    self.rotary_tables[TN_LAYER_ROPE_LOCAL] = tn_decoder_rotary(&builder->decoder, &config->local_rope, "rotary_local");
    tn_tensor *x = add_embeddings(builder, table);
    for (int64_t layer = 0; layer < config->num_layers; layer++) x = add_layer(&self, x, layer);
    x = tn_decoder_gather_rows(&builder->decoder, x);
    if (!config->has_no_final_norm) x = add_norm(builder, x, names->final_norm, 0, "final_norm");
    if (config->embedding_size > 0)
        x = tn_fn_linear(builder->network, x, tn_model_linear(builder, names->project_out, 0, width, config->hidden_size), NULL,
                         "project_out");
    bool is_tied = config->tie_embeddings || (config->head_is_optional && !tn_model_has_weight(builder, names->head, 0, "weight"));
    const tn_weights *head = is_tied ? table : tn_model_weight(builder, names->head, 0, "weight", true);
    const tn_weights *head_bias = tn_model_bias(builder, names->head, 0, config->head_bias, config->vocab_size);
    head = tn_model_expect(builder, head, table_dims);
    tn_decoder_end(&builder->decoder, x, head, head_bias, make_head_scale(builder, head), config->logit_scale, config->logit_soft_cap);
}
