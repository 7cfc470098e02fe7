/* SPDX-License-Identifier: Apache-2.0
 *
 * starcoder2.c: StarCoder2: LayerNorm, rotary attention with grouped heads and a window, plain MLP, biases everywhere or nowhere.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    config->is_layer_norm = config->has_plain_mlp = true;
    config->norm_bias = TN_BIAS_REQUIRED;
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "norm_epsilon", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    config->qkv_bias = config->o_bias = config->mlp_bias = tn_hf_bias(reader, "use_bias", true);
    (void)tn_hf_has(reader, "activation_function|norm_type|mlp_type|layer_norm_epsilon|scale_attn_weights|"
                            "attention_softmax_in_fp32|scale_attention_softmax_in_fp32"); /* of StarCoder's own program */
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
    tn_hf_windows(reader, tn_hf_integer_or(reader, "sliding_window", 1, 1 << 30, 0), 0, 0);
}

static void read_gguf(tn_gguf_reader *reader) {
    reader->config->has_plain_mlp = true;
    tn_gguf_norm(reader, true);
    reader->config->activation = TN_ACTIVATION_GELU_TANH;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
    tn_gguf_windows(reader, 0);
}

static const char *const hf_architectures[] = {"Starcoder2ForCausalLM", NULL};
static const char *const gguf_architectures[] = {"starcoder2", NULL};

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
    .up = "model.layers.%d.mlp.c_fc",
    .down = "model.layers.%d.mlp.c_proj",
};

const tn_family tn_family_starcoder2 = {
    .name = "starcoder2",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
