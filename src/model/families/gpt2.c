/* SPDX-License-Identifier: Apache-2.0
 *
 * gpt2.c: GPT-2: learned positions, LayerNorm, one weight for q, k and v, plain MLP, everything with biases.
 */
#include <math.h>
#include <stdio.h>

#include "model/family.h"

static const tn_weights *slice_rows(tn_model_builder *builder, const tn_weights *x, int64_t part, int64_t size) {
    tn_network *network = builder->network;
    return tn_weights_slice(&network->arena, x, 0, part * size, (part + 1) * size, network->diag);
}

static const tn_weights *slice_vector(tn_model_builder *builder, const tn_weights *x, int64_t part, int64_t size) {
    tn_network *network = builder->network;
    return tn_weights_slice(&network->arena, x, -1, part * size, (part + 1) * size, network->diag);
}

static tn_tensor *add_attention(tn_model_builder *builder, tn_tensor *x, int64_t layer) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    int64_t hidden = config->hidden_size;
    const tn_weights *qkv = tn_model_expect(builder, tn_model_linear(builder, names->qkv, layer), TN_DIMS(3 * hidden, hidden));
    const tn_weights *bias = tn_model_expect(builder, tn_model_weight(builder, names->qkv, layer, "bias", true), TN_DIMS(3 * hidden));
    tn_attention_weights weights = {
        .q = slice_rows(builder, qkv, 0, hidden),
        .k = slice_rows(builder, qkv, 1, hidden),
        .v = slice_rows(builder, qkv, 2, hidden),
        .q_bias = slice_vector(builder, bias, 0, hidden),
        .k_bias = slice_vector(builder, bias, 1, hidden),
        .v_bias = slice_vector(builder, bias, 2, hidden),
        .o = tn_model_expect(builder, tn_model_linear(builder, names->o, layer), TN_DIMS(hidden, hidden)),
        .o_bias = tn_model_expect(builder, tn_model_weight(builder, names->o, layer, "bias", true), TN_DIMS(hidden)),
    };
    double scale = config->scale_attention ? 1.0 / sqrt((double)config->head_dim) : 1.0;
    if (config->scale_by_layer) scale /= (double)(layer + 1);
    tn_attention_config attention = {.num_heads = config->num_heads, .layer = layer, .scale = scale};
    char name[64];
    snprintf(name, sizeof name, "layers.%lld.attention", (long long)layer);
    return tn_fn_attention(&builder->decoder, x, &weights, &attention, name);
}

static tn_tensor *add_norm(tn_model_builder *builder, tn_tensor *x, const char *pattern, int64_t layer, const char *name) {
    tn_dims dims = TN_DIMS(builder->config->hidden_size);
    const tn_weights *scale = tn_model_expect(builder, tn_model_weight(builder, pattern, layer, "weight", true), dims);
    const tn_weights *bias = tn_model_expect(builder, tn_model_weight(builder, pattern, layer, "bias", true), dims);
    return tn_fn_layer_norm(builder->network, x, scale, bias, builder->config->norm_epsilon, name);
}

static tn_tensor *add_mlp(tn_model_builder *builder, tn_tensor *x, int64_t layer, const char *name) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    int64_t hidden = config->hidden_size, inner = config->intermediate_size;
    return tn_fn_mlp(builder->network, x, tn_model_expect(builder, tn_model_linear(builder, names->up, layer), TN_DIMS(inner, hidden)),
                     tn_model_expect(builder, tn_model_weight(builder, names->up, layer, "bias", true), TN_DIMS(inner)),
                     tn_model_expect(builder, tn_model_linear(builder, names->down, layer), TN_DIMS(hidden, inner)),
                     tn_model_expect(builder, tn_model_weight(builder, names->down, layer, "bias", true), TN_DIMS(hidden)),
                     config->activation, name);
}

static void build(tn_model_builder *builder) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    tn_network *network = builder->network;
    tn_dims table_dims = TN_DIMS(config->vocab_size, config->hidden_size);
    const tn_weights *embedding = tn_model_expect(builder, tn_model_weight(builder, names->embedding, 0, "weight", true), table_dims);
    const tn_weights *positions = tn_model_expect(builder, tn_model_weight(builder, names->positions, 0, "weight", true),
                                                  TN_DIMS(config->max_positions, config->hidden_size));
    tn_tensor *x = tn_fn_add(network, tn_fn_embedding(network, builder->decoder.ids, embedding, "embedding"),
                             tn_fn_embedding(network, builder->decoder.positions, positions, "positions"), NULL);
    for (int64_t layer = 0; layer < config->num_layers; layer++) {
        char name[64];
        snprintf(name, sizeof name, "layers.%lld.attention_norm", (long long)layer);
        x = tn_fn_add(network, x, add_attention(builder, add_norm(builder, x, names->attention_norm, layer, name), layer), NULL);
        snprintf(name, sizeof name, "layers.%lld.mlp_norm", (long long)layer);
        tn_tensor *normed = add_norm(builder, x, names->mlp_norm, layer, name);
        snprintf(name, sizeof name, "layers.%lld.mlp", (long long)layer);
        x = tn_fn_add(network, x, add_mlp(builder, normed, layer, name), NULL);
    }
    x = add_norm(builder, tn_decoder_gather_rows(&builder->decoder, x), names->final_norm, 0, "final_norm");
    const tn_weights *head = config->tie_embeddings ? embedding : tn_model_weight(builder, names->head, 0, "weight", true);
    tn_decoder_end(&builder->decoder, x, tn_model_expect(builder, head, table_dims), NULL);
}

static const char *const hf_architectures[] = {"GPT2LMHeadModel", NULL};
static const char *const gguf_architectures[] = {"gpt2", NULL};

static const tn_weight_names hf_names = {
    .embedding = "transformer.wte",
    .positions = "transformer.wpe",
    .final_norm = "transformer.ln_f",
    .head = "lm_head",
    .attention_norm = "transformer.h.%d.ln_1",
    .mlp_norm = "transformer.h.%d.ln_2",
    .qkv = "transformer.h.%d.attn.c_attn",
    .o = "transformer.h.%d.attn.c_proj",
    .up = "transformer.h.%d.mlp.c_fc",
    .down = "transformer.h.%d.mlp.c_proj",
    .linear_is_transposed = true,
};

static const tn_weight_names gguf_names = {
    .embedding = "token_embd",
    .positions = "position_embd",
    .final_norm = "output_norm",
    .head = "output",
    .attention_norm = "blk.%d.attn_norm",
    .mlp_norm = "blk.%d.ffn_norm",
    .qkv = "blk.%d.attn_qkv",
    .o = "blk.%d.attn_output",
    .up = "blk.%d.ffn_up",
    .down = "blk.%d.ffn_down",
};

const tn_family tn_family_gpt2 = {
    .name = "gpt2",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .gguf_names = &gguf_names,
    .build = build,
};
