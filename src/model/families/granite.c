/* SPDX-License-Identifier: Apache-2.0
 *
 * granite.c: Granite, also with experts: a Llama with a number on embeddings, scores, residuals and logits each.
 */
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void read_experts(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    config->num_experts = tn_hf_integer(reader, "num_local_experts", 1, TN_HF_MAX_EXPERTS);
    config->experts_per_token = tn_hf_integer(reader, "num_experts_per_tok", 1, config->num_experts);
    config->expert_size = config->intermediate_size;
    config->route = TN_ROUTE_TOPK_SOFTMAX;
    config->expert_gate_is_joined = true;
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    if (strcmp(config->architecture, "GraniteMoeForCausalLM") == 0)
        read_experts(reader);
    else
        config->mlp_bias = tn_hf_bias(reader, "mlp_bias", false);
    config->embedding_scale = tn_hf_number_or(reader, "embedding_multiplier", 1e-6, 1e6, 1.0);
    config->residual_scale = tn_hf_number_or(reader, "residual_multiplier", 1e-6, 1e6, 1.0);
    config->attention_scale = tn_hf_number_or(reader, "attention_multiplier", 1e-6, 1e6, 1.0);
    config->logit_scale = 1.0 / tn_hf_number_or(reader, "logits_scaling", 1e-6, 1e6, 1.0);
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
}

static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    config->route = TN_ROUTE_TOPK_SOFTMAX;
    config->embedding_scale = tn_gguf_number_key_or(reader, "embedding_scale", 1e-6, 1e6, 1.0);
    config->residual_scale = tn_gguf_number_key_or(reader, "residual_scale", 1e-6, 1e6, 1.0);
    config->attention_scale = tn_gguf_number_key_or(reader, "attention.scale", 1e-6, 1e6, 0.0);
    config->logit_scale = 1.0 / tn_gguf_number_key_or(reader, "logit_scale", 1e-6, 1e6, 1.0);
    tn_gguf_rope(reader, TN_ROTARY_INTERLEAVED); /* q and k permuted as Llama's */
}

static const char *const hf_architectures[] = {"GraniteForCausalLM", "GraniteMoeForCausalLM", NULL};
static const char *const gguf_architectures[] = {"granite", "granitemoe", NULL};

static const tn_weight_names hf_names = {
    TN_LLAMA_NAMES,
    .router = "model.layers.%d.block_sparse_moe.router.layer",
    .expert_gate_up = "model.layers.%d.block_sparse_moe.input_linear",
    .expert_down = "model.layers.%d.block_sparse_moe.output_linear",
};

const tn_family tn_family_granite = {
    .name = "granite",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
