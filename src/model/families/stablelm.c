/* SPDX-License-Identifier: Apache-2.0
 *
 * stablelm.c: StableLM: LayerNorm with biases, a part of each head rotated, gated MLP; the 12B norms each head of q and k by a scale
 * of its own and puts attention and MLP beside each other.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void set_form(tn_model_config *config) {
    config->is_layer_norm = config->qk_norm_is_layer_norm = true;
    config->norm_bias = TN_BIAS_REQUIRED;
    config->o_bias = config->mlp_bias = TN_BIAS_NONE;
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    set_form(config);
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "layer_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = tn_hf_bias(reader, "use_qkv_bias", false);
    if (tn_hf_bool(reader, "qk_layernorm", false)) config->qk_norm = TN_QK_NORM_HEADS;
    if (tn_hf_bool(reader, "use_parallel_residual", false)) config->residual = TN_RESIDUAL_PARALLEL_ONE_NORM;
    tn_hf_rope(reader, NULL, 1e4, 0.25, TN_ROTARY_HALVES, &config->rope);
}

static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    set_form(config);
    tn_gguf_norm(reader, true);
    config->activation = TN_ACTIVATION_SILU;
    if (tn_gguf_has_tensor(reader, "blk.0.attn_q_norm.weight")) config->qk_norm = TN_QK_NORM_HEADS;
    if (tn_gguf_bool_key(reader, "use_parallel_residual", false)) config->residual = TN_RESIDUAL_PARALLEL_ONE_NORM;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
}

static const char *const hf_architectures[] = {"StableLmForCausalLM", NULL};
static const char *const gguf_architectures[] = {"stablelm", NULL};

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
    .q_norm = "model.layers.%d.self_attn.q_layernorm.norms.%d",
    .k_norm = "model.layers.%d.self_attn.k_layernorm.norms.%d",
    .gate = "model.layers.%d.mlp.gate_proj",
    .up = "model.layers.%d.mlp.up_proj",
    .down = "model.layers.%d.mlp.down_proj",
};

const tn_family tn_family_stablelm = {
    .name = "stablelm",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
