/* SPDX-License-Identifier: Apache-2.0
 *
 * olmo2.c: OLMo 2: a Llama whose norms stand behind attention and MLP, with norms over all heads of q and of k.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void set_form(tn_model_config *config) {
    config->norm_order = TN_NORMS_AFTER;
    config->qk_norm = TN_QK_NORM_ROW;
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    set_form(config);
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    config->mlp_bias = TN_BIAS_NONE;
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
}

static void read_gguf(tn_gguf_reader *reader) {
    set_form(reader->config);
    tn_gguf_norm(reader, false);
    reader->config->activation = TN_ACTIVATION_SILU;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
}

static const char *const hf_architectures[] = {"Olmo2ForCausalLM", NULL};
static const char *const gguf_architectures[] = {"olmo2", NULL};

static const tn_weight_names hf_names = {
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attention_post_norm = "model.layers.%d.post_attention_layernorm",
    .mlp_post_norm = "model.layers.%d.post_feedforward_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .k = "model.layers.%d.self_attn.k_proj",
    .v = "model.layers.%d.self_attn.v_proj",
    .o = "model.layers.%d.self_attn.o_proj",
    .q_norm = "model.layers.%d.self_attn.q_norm",
    .k_norm = "model.layers.%d.self_attn.k_norm",
    .gate = "model.layers.%d.mlp.gate_proj",
    .up = "model.layers.%d.mlp.up_proj",
    .down = "model.layers.%d.mlp.down_proj",
};

const tn_family tn_family_olmo2 = {
    .name = "olmo2",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
