/* SPDX-License-Identifier: Apache-2.0
 *
 * phi.c: Phi 1 to 4. Phi 1 and 2: LayerNorm, attention and MLP beside each other, part of each head rotated, biases everywhere;
 * Phi 3 and 4 are Llamas whose q, k, v and whose gate and up are one tensor each.
 */
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void set_phi(tn_model_config *config) {
    config->is_layer_norm = config->has_plain_mlp = true;
    config->residual = TN_RESIDUAL_PARALLEL_ONE_NORM;
    config->norm_bias = config->qkv_bias = config->o_bias = config->mlp_bias = config->head_bias = TN_BIAS_REQUIRED;
}

static void set_phi3(tn_model_config *config) {
    config->is_gate_joined = true;
    config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_NONE;
}

static void read_phi(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    set_phi(config);
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "layer_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    if (tn_hf_bool(reader, "qk_layernorm", false)) config->qk_norm = TN_QK_NORM_HEAD;
    config->qk_norm_is_layer_norm = true;
    tn_hf_rope(reader, NULL, 1e4, 0.5, TN_ROTARY_HALVES, &config->rope);
}

static void read_phi3(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    set_phi3(config);
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
    tn_hf_windows(reader, tn_hf_integer_or(reader, "sliding_window", 1, 1 << 30, 0), 0, 0);
}

static void read_phi_gguf(tn_gguf_reader *reader) {
    set_phi(reader->config);
    tn_gguf_norm(reader, true);
    reader->config->activation = TN_ACTIVATION_GELU_TANH;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
}

static void read_phi3_gguf(tn_gguf_reader *reader) {
    set_phi3(reader->config);
    tn_gguf_norm(reader, false);
    reader->config->activation = TN_ACTIVATION_SILU;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
    tn_gguf_windows(reader, 0);
}

static const char *const phi_architectures[] = {"PhiForCausalLM", NULL};
static const char *const phi3_architectures[] = {"Phi3ForCausalLM", NULL};
static const char *const phi_gguf_architectures[] = {"phi2", NULL};
static const char *const phi3_gguf_architectures[] = {"phi3", NULL};

static const tn_weight_names phi_names = {
    .embedding = "model.embed_tokens",
    .final_norm = "model.final_layernorm",
    .head = "lm_head",
    .attention_norm = "model.layers.%d.input_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .k = "model.layers.%d.self_attn.k_proj",
    .v = "model.layers.%d.self_attn.v_proj",
    .o = "model.layers.%d.self_attn.dense",
    .q_norm = "model.layers.%d.self_attn.q_layernorm",
    .k_norm = "model.layers.%d.self_attn.k_layernorm",
    .up = "model.layers.%d.mlp.fc1",
    .down = "model.layers.%d.mlp.fc2",
};

static const tn_weight_names phi3_names = {
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attention_norm = "model.layers.%d.input_layernorm",
    .mlp_norm = "model.layers.%d.post_attention_layernorm",
    .qkv = "model.layers.%d.self_attn.qkv_proj",
    .o = "model.layers.%d.self_attn.o_proj",
    .gate_up = "model.layers.%d.mlp.gate_up_proj",
    .down = "model.layers.%d.mlp.down_proj",
};

const tn_family tn_family_phi = {
    .name = "phi",
    .hf_architectures = phi_architectures,
    .gguf_architectures = phi_gguf_architectures,
    .hf_names = &phi_names,
    .read_hf = read_phi,
    .read_gguf = read_phi_gguf,
};

const tn_family tn_family_phi3 = {
    .name = "phi3",
    .hf_architectures = phi3_architectures,
    .gguf_architectures = phi3_gguf_architectures,
    .hf_names = &phi3_names,
    .read_hf = read_phi3,
    .read_gguf = read_phi3_gguf,
};
