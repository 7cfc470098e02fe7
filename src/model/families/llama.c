/* SPDX-License-Identifier: Apache-2.0
 *
 * llama.c: Llama 1–3, Mistral, Qwen2, Qwen3, Mixtral and what has their form: pre-norm RMS, rotary attention with grouped
 * key/value heads, gated MLP or a mixture of them.
 */
#include <stdio.h>
#include <string.h>

#include "model/family.h"

static tn_tensor *add_attention(tn_model_builder *builder, tn_tensor *x, int64_t layer) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    int64_t q_size = config->num_heads * config->head_dim, kv_size = config->num_kv_heads * config->head_dim;
    int64_t hidden = config->hidden_size;
    tn_attention_weights weights = {
        .q = tn_model_expect(builder, tn_model_linear(builder, names->q, layer), TN_DIMS(q_size, hidden)),
        .k = tn_model_expect(builder, tn_model_linear(builder, names->k, layer), TN_DIMS(kv_size, hidden)),
        .v = tn_model_expect(builder, tn_model_linear(builder, names->v, layer), TN_DIMS(kv_size, hidden)),
        .o = tn_model_expect(builder, tn_model_linear(builder, names->o, layer), TN_DIMS(hidden, q_size)),
        .q_bias = tn_model_bias(builder, names->q, layer, config->qkv_bias, q_size),
        .k_bias = tn_model_bias(builder, names->k, layer, config->qkv_bias, kv_size),
        .v_bias = tn_model_bias(builder, names->v, layer, config->qkv_bias, kv_size),
        .o_bias = tn_model_bias(builder, names->o, layer, config->o_bias, hidden),
    };
    if (config->has_qk_norm) {
        weights.q_norm =
            tn_model_expect(builder, tn_model_weight(builder, names->q_norm, layer, "weight", true), TN_DIMS(config->head_dim));
        weights.k_norm =
            tn_model_expect(builder, tn_model_weight(builder, names->k_norm, layer, "weight", true), TN_DIMS(config->head_dim));
    }
    tn_attention_config attention = {.num_heads = config->num_heads, .layer = layer, .norm_epsilon = config->norm_epsilon};
    char name[64];
    snprintf(name, sizeof name, "layers.%lld.attention", (long long)layer);
    return tn_fn_attention(&builder->decoder, x, &weights, &attention, name);
}

static tn_tensor *add_dense_mlp(tn_model_builder *builder, tn_tensor *x, int64_t layer, const char *name) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    int64_t hidden = config->hidden_size, intermediate = config->intermediate_size;
    const tn_weights *gate = tn_model_expect(builder, tn_model_linear(builder, names->gate, layer), TN_DIMS(intermediate, hidden));
    const tn_weights *up = tn_model_expect(builder, tn_model_linear(builder, names->up, layer), TN_DIMS(intermediate, hidden));
    const tn_weights *down = tn_model_expect(builder, tn_model_linear(builder, names->down, layer), TN_DIMS(hidden, intermediate));
    const tn_weights *gate_bias = tn_model_bias(builder, names->gate, layer, config->mlp_bias, intermediate);
    const tn_weights *up_bias = tn_model_bias(builder, names->up, layer, config->mlp_bias, intermediate);
    const tn_weights *down_bias = tn_model_bias(builder, names->down, layer, config->mlp_bias, hidden);
    tn_network *network = builder->network;
    if (gate_bias == NULL && up_bias == NULL && down_bias == NULL)
        return tn_fn_gated_mlp(network, x, gate, up, down, config->activation, name);
    /* the same with biases, written out */
    char part[80];
    snprintf(part, sizeof part, "%s.gate", name);
    tn_tensor *gated = tn_fn_activation(network, tn_fn_linear(network, x, gate, gate_bias, part), config->activation, NULL);
    snprintf(part, sizeof part, "%s.up", name);
    tn_tensor *product = tn_fn_multiply(network, gated, tn_fn_linear(network, x, up, up_bias, part), NULL);
    snprintf(part, sizeof part, "%s.down", name);
    return tn_fn_linear(network, product, down, down_bias, part);
}

static tn_tensor *add_experts(tn_model_builder *builder, tn_tensor *x, int64_t layer, const char *name) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    int64_t hidden = config->hidden_size, intermediate = config->intermediate_size, experts = config->num_experts;
    tn_moe_weights weights = {
        .router = tn_model_expect(builder, tn_model_linear(builder, names->router, layer), TN_DIMS(experts, hidden)),
        .gate = tn_model_expect(builder, tn_model_experts(builder, names->expert_gate, layer), TN_DIMS(experts, intermediate, hidden)),
        .up = tn_model_expect(builder, tn_model_experts(builder, names->expert_up, layer), TN_DIMS(experts, intermediate, hidden)),
        .down = tn_model_expect(builder, tn_model_experts(builder, names->expert_down, layer), TN_DIMS(experts, hidden, intermediate)),
    };
    tn_moe_config moe = {
        .num_experts = experts, .top_k = config->experts_per_token, .route = TN_ROUTE_TOPK_SOFTMAX, .activation = config->activation};
    return tn_fn_moe(builder->network, x, &weights, &moe, name);
}

static void build(tn_model_builder *builder) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    tn_network *network = builder->network;
    tn_dims norm_dims = TN_DIMS(config->hidden_size), table_dims = TN_DIMS(config->vocab_size, config->hidden_size);
    const tn_weights *embedding = tn_model_expect(builder, tn_model_weight(builder, names->embedding, 0, "weight", true), table_dims);
    tn_decoder_rotary(&builder->decoder, &config->rope);
    tn_tensor *x = tn_fn_embedding(network, builder->decoder.ids, embedding, "embedding");
    for (int64_t layer = 0; layer < config->num_layers; layer++) {
        char name[64];
        snprintf(name, sizeof name, "layers.%lld.attention_norm", (long long)layer);
        const tn_weights *norm =
            tn_model_expect(builder, tn_model_weight(builder, names->attention_norm, layer, "weight", true), norm_dims);
        tn_tensor *normed = tn_fn_rms_norm(network, x, norm, config->norm_epsilon, name);
        x = tn_fn_add(network, x, add_attention(builder, normed, layer), NULL);
        snprintf(name, sizeof name, "layers.%lld.mlp_norm", (long long)layer);
        norm = tn_model_expect(builder, tn_model_weight(builder, names->mlp_norm, layer, "weight", true), norm_dims);
        normed = tn_fn_rms_norm(network, x, norm, config->norm_epsilon, name);
        snprintf(name, sizeof name, "layers.%lld.mlp", (long long)layer);
        tn_tensor *mlp = config->num_experts > 0 ? add_experts(builder, normed, layer, name) : add_dense_mlp(builder, normed, layer, name);
        x = tn_fn_add(network, x, mlp, NULL);
    }
    const tn_weights *norm = tn_model_expect(builder, tn_model_weight(builder, names->final_norm, 0, "weight", true), norm_dims);
    x = tn_fn_rms_norm(network, tn_decoder_gather_rows(&builder->decoder, x), norm, config->norm_epsilon, "final_norm");
    const tn_weights *head = config->tie_embeddings ? embedding : tn_model_weight(builder, names->head, 0, "weight", true);
    tn_decoder_end(&builder->decoder, x, tn_model_expect(builder, head, table_dims), NULL);
}

static const char *const hf_architectures[] = {
    "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MixtralForCausalLM", NULL,
};
static const char *const gguf_architectures[] = {"llama", "qwen2", "qwen3", NULL};

static const tn_weight_names hf_names = {
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attention_norm = "model.layers.%d.input_layernorm",
    .mlp_norm = "model.layers.%d.post_attention_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .k = "model.layers.%d.self_attn.k_proj",
    .v = "model.layers.%d.self_attn.v_proj",
    .o = "model.layers.%d.self_attn.o_proj",
    .q_norm = "model.layers.%d.self_attn.q_norm",
    .k_norm = "model.layers.%d.self_attn.k_norm",
    .gate = "model.layers.%d.mlp.gate_proj",
    .up = "model.layers.%d.mlp.up_proj",
    .down = "model.layers.%d.mlp.down_proj",
    .router = "model.layers.%d.block_sparse_moe.gate",
    .expert_gate = "model.layers.%d.block_sparse_moe.experts.%d.w1",
    .expert_up = "model.layers.%d.block_sparse_moe.experts.%d.w3",
    .expert_down = "model.layers.%d.block_sparse_moe.experts.%d.w2",
};

static const tn_weight_names gguf_names = {
    .embedding = "token_embd",
    .final_norm = "output_norm",
    .head = "output",
    .attention_norm = "blk.%d.attn_norm",
    .mlp_norm = "blk.%d.ffn_norm",
    .q = "blk.%d.attn_q",
    .k = "blk.%d.attn_k",
    .v = "blk.%d.attn_v",
    .o = "blk.%d.attn_output",
    .q_norm = "blk.%d.attn_q_norm",
    .k_norm = "blk.%d.attn_k_norm",
    .gate = "blk.%d.ffn_gate",
    .up = "blk.%d.ffn_up",
    .down = "blk.%d.ffn_down",
    .router = "blk.%d.ffn_gate_inp",
    .expert_gate = "blk.%d.ffn_gate_exps",
    .expert_up = "blk.%d.ffn_up_exps",
    .expert_down = "blk.%d.ffn_down_exps",
};

/* The converter permutes the rows of q and k of "llama" to pairs (2i, 2i + 1). */
static tn_rotary_type gguf_rotary(const char *architecture) {
    return strcmp(architecture, "llama") == 0 ? TN_ROTARY_INTERLEAVED : TN_ROTARY_HALVES;
}

const tn_family tn_family_llama = {
    .name = "llama",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .gguf_names = &gguf_names,
    .hf_rotary = TN_ROTARY_HALVES,
    .gguf_rotary = gguf_rotary,
    .build = build,
};
