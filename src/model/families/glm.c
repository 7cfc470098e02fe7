/* SPDX-License-Identifier: Apache-2.0
 *
 * glm.c: ChatGLM 2 and 3, GLM-4 under its first names and transformers' (Glm), and GLM-4-0414 (Glm4): half of each head rotated,
 * neighbouring elements together, few key/value heads, biases of q, k and v, gate and up in one weight. Glm4 norms around attention
 * and MLP.
 */
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    if (strcmp(config->architecture, "Glm4ForCausalLM") == 0) config->norm_order = TN_NORMS_AROUND;
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", "silu");
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = tn_hf_bias(reader, "attention_bias", true);
    config->o_bias = config->mlp_bias = TN_BIAS_NONE;
    config->is_gate_joined = true;
    tn_hf_rope(reader, NULL, 1e4, 0.5, TN_ROTARY_INTERLEAVED, &config->rope);
}

/* Switches of the code that came with the models; what was never published with another value is refused. */
static void read_switches(tn_hf_reader *reader) {
    tn_hf_require_bool(reader, "rmsnorm", true, "is false: LayerNorm is not built for ChatGLM");
    tn_hf_require_bool(reader, "post_layer_norm", true, "is false: a model without its last norm is not built");
    tn_hf_require_bool(reader, "original_rope", true, "is false: another rotary embedding is not built");
    tn_hf_require_bool(reader, "apply_residual_connection_post_layernorm", false, "is true: residuals behind norms are not built");
    tn_hf_require_bool(reader, "add_bias_linear", false, "is true: biases of the MLP are not built");
    tn_hf_require_bool(reader, "interleaved_qkv", false, "is true: q, k and v head by head are not built");
    (void)tn_hf_integer_or(reader, "quantization_bit", 0, 0, 0);
    (void)tn_hf_has(reader, "apply_query_key_layer_scaling|attention_softmax_in_fp32|bias_dropout_fusion|fp32_residual_connection");
}

static void read_chat_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    bool has_groups = tn_hf_bool(reader, "multi_query_attention", false);
    (void)tn_hf_has(reader, "multi_query_group_num");
    tn_hf_sizes(reader, &(tn_hf_keys){.layers = "num_layers|num_hidden_layers",
                                      .kv_heads = has_groups ? "multi_query_group_num" : "",
                                      .inner = "ffn_hidden_size",
                                      .positions = "seq_length"});
    config->head_dim = tn_hf_integer_or(reader, "kv_channels", 1, TN_HF_MAX_SIZE, config->head_dim);
    config->norm_epsilon = tn_hf_number_or(reader, "layernorm_epsilon", 1e-30, 1.0, 1e-5);
    config->activation = TN_ACTIVATION_SILU;
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = tn_hf_bias(reader, "add_qkv_bias", false);
    config->o_bias = config->mlp_bias = TN_BIAS_NONE;
    config->is_gate_joined = true;
    tn_hf_rope(reader, NULL, 1e4, 0.5, TN_ROTARY_INTERLEAVED, &config->rope);
    config->rope.theta *= tn_hf_number_or(reader, "rope_ratio", 1e-3, 1e6, 1.0);
    read_switches(reader);
}

static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    if (tn_gguf_is(reader, "glm4")) config->norm_order = TN_NORMS_AROUND;
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    config->is_gate_joined = true;
    tn_gguf_rope(reader, TN_ROTARY_INTERLEAVED);
}

static const char *const hf_architectures[] = {"GlmForCausalLM", "Glm4ForCausalLM", NULL};
static const char *const gguf_architectures[] = {"glm4", "chatglm", NULL};
static const char *const chat_hf_architectures[] = {"ChatGLMModel", "ChatGLMForConditionalGeneration", NULL};
static const char *const chat_gguf_architectures[] = {NULL};

static const tn_weight_names hf_names = {
    TN_LLAMA_NAMES,
    .attention_post_norm = "model.layers.%d.post_self_attn_layernorm",
    .mlp_post_norm = "model.layers.%d.post_mlp_layernorm",
    .gate_up = "model.layers.%d.mlp.gate_up_proj",
};

static const tn_weight_names chat_names = {
    .embedding = "transformer.embedding.word_embeddings",
    .final_norm = "transformer.encoder.final_layernorm",
    .head = "transformer.output_layer",
    .attention_norm = "transformer.encoder.layers.%d.input_layernorm",
    .mlp_norm = "transformer.encoder.layers.%d.post_attention_layernorm",
    .qkv = "transformer.encoder.layers.%d.self_attention.query_key_value",
    .o = "transformer.encoder.layers.%d.self_attention.dense",
    .gate_up = "transformer.encoder.layers.%d.mlp.dense_h_to_4h",
    .down = "transformer.encoder.layers.%d.mlp.dense_4h_to_h",
};

const tn_family tn_family_glm = {
    .name = "glm",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};

const tn_family tn_family_chatglm = {
    .name = "chatglm",
    .hf_architectures = chat_hf_architectures,
    .gguf_architectures = chat_gguf_architectures,
    .hf_names = &chat_names,
    .read_hf = read_chat_hf,
};
