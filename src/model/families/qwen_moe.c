/* SPDX-License-Identifier: Apache-2.0
 *
 * qwen_moe.c: Qwen2-MoE and Qwen3-MoE: a Llama with experts chosen behind a softmax over all of them. Qwen2's have biases on q, k, v
 * and an expert that every token goes through, weighed by a sigmoid; Qwen3's have norms on q and k.
 */
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

/* Layers of mlp_only_layers, and those between every decoder_sparse_step-th, have a plain MLP. */
static void read_dense_layers(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    int64_t step = tn_hf_integer_or(reader, "decoder_sparse_step", 1, TN_HF_MAX_LAYERS, 1);
    const tn_json_value *list = tn_hf_find(reader, "mlp_only_layers");
    bool *is_dense = tn_arena_alloc_array(reader->arena, (size_t)config->num_layers, sizeof *is_dense);
    if (is_dense == NULL) {
        tn_hf_fail_memory(reader, (size_t)config->num_layers);
        return;
    }
    for (int64_t i = 0; i < config->num_layers; i++) is_dense[i] = (i + 1) % step != 0;
    for (size_t i = 0; list != NULL && i < tn_json_count(list) && reader->status == TN_OK; i++) {
        int64_t layer;
        reader->status = tn_json_to_integer(tn_json_at(list, i), 0, TN_HF_MAX_LAYERS, reader->diag, &layer);
        if (reader->status == TN_OK && layer < config->num_layers) is_dense[layer] = true;
    }
    config->layer_is_dense = is_dense;
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    bool is_qwen2 = strcmp(config->architecture, "Qwen2MoeForCausalLM") == 0;
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->mlp_bias = config->o_bias = TN_BIAS_NONE;
    if (is_qwen2)
        config->qkv_bias = tn_hf_bias(reader, "qkv_bias", true);
    else
        config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    config->qk_norm = is_qwen2 ? TN_QK_NORM_NONE : TN_QK_NORM_HEAD;
    config->num_experts = tn_hf_integer(reader, "num_experts|num_local_experts", 1, TN_HF_MAX_EXPERTS);
    config->experts_per_token = tn_hf_integer(reader, "num_experts_per_tok", 1, config->num_experts);
    config->expert_size = tn_hf_integer(reader, "moe_intermediate_size", 1, TN_HF_MAX_SIZE);
    config->renormalizes_scores = tn_hf_bool(reader, "norm_topk_prob", false);
    config->route = TN_ROUTE_SOFTMAX_TOPK;
    if (is_qwen2) config->shared_expert_size = tn_hf_integer(reader, "shared_expert_intermediate_size", 1, TN_HF_MAX_SIZE);
    config->has_shared_gate = is_qwen2;
    read_dense_layers(reader);
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
    bool has_window = tn_hf_bool(reader, "use_sliding_window", false);
    int64_t window = tn_hf_integer_or(reader, "sliding_window", 0, 1 << 30, 4096);
    tn_hf_windows(reader, has_window ? window : 0, tn_hf_integer_or(reader, "max_window_layers", 0, 1 << 20, 28), 0);
}

static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    bool is_qwen2 = tn_gguf_is(reader, "qwen2moe");
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    config->qk_norm = is_qwen2 ? TN_QK_NORM_NONE : TN_QK_NORM_HEAD;
    config->route = TN_ROUTE_SOFTMAX_TOPK;
    config->renormalizes_scores = tn_gguf_bool_key(reader, "expert_weights_norm", !is_qwen2);
    if (is_qwen2) config->shared_expert_size = tn_gguf_integer_key(reader, "expert_shared_feed_forward_length", 1, 1 << 24);
    config->has_shared_gate = is_qwen2;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
}

static const char *const hf_architectures[] = {"Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM", NULL};
static const char *const gguf_architectures[] = {"qwen2moe", "qwen3moe", NULL};

static const tn_weight_names hf_names = {
    TN_LLAMA_NAMES,
    .router = "model.layers.%d.mlp.gate",
    .expert_gate = "model.layers.%d.mlp.experts.%d.gate_proj",
    .expert_up = "model.layers.%d.mlp.experts.%d.up_proj",
    .expert_down = "model.layers.%d.mlp.experts.%d.down_proj",
    .shared_gate = "model.layers.%d.mlp.shared_expert.gate_proj",
    .shared_up = "model.layers.%d.mlp.shared_expert.up_proj",
    .shared_down = "model.layers.%d.mlp.shared_expert.down_proj",
    .shared_router = "model.layers.%d.mlp.shared_expert_gate",
};

const tn_family tn_family_qwen_moe = {
    .name = "qwen_moe",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
