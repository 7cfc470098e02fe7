/* SPDX-License-Identifier: Apache-2.0
 *
 * gpt_neox.c: GPT-NeoX (Pythia): LayerNorm, attention and MLP beside each other with a norm each (or one after the other), a part
 * of each head rotated, q, k and v head by head in one weight.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void set_form(tn_model_config *config) {
    config->is_layer_norm = config->has_plain_mlp = true;
    config->norm_bias = config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_REQUIRED;
    config->head_bias = TN_BIAS_NONE;
}

static void read_hf(tn_hf_reader *reader) {
    static const tn_hf_keys keys = {.kv_heads = ""};
    tn_model_config *config = reader->config;
    set_form(config);
    tn_hf_sizes(reader, &keys);
    config->norm_epsilon = tn_hf_number(reader, "layer_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", true);
    config->qkv_is_by_heads = true;
    if (tn_hf_bool(reader, "use_parallel_residual", true)) config->residual = TN_RESIDUAL_PARALLEL;
    tn_hf_require_bool(reader, "is_decoder", false, "is true: cross attention is not built");
    tn_hf_rope(reader, NULL, 1e4, 0.25, TN_ROTARY_HALVES, &config->rope);
}

/* The converter puts q, k and v one after another. */
static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    set_form(config);
    config->qkv_bias = config->o_bias = TN_BIAS_AS_STORED;
    tn_gguf_norm(reader, true);
    config->activation = TN_ACTIVATION_GELU_ERF;
    if (tn_gguf_bool_key(reader, "use_parallel_residual", true)) config->residual = TN_RESIDUAL_PARALLEL;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
}

static const char *const hf_architectures[] = {"GPTNeoXForCausalLM", NULL};
static const char *const gguf_architectures[] = {"gptneox", NULL};

static const tn_weight_names hf_names = {
    .embedding = "gpt_neox.embed_in",
    .final_norm = "gpt_neox.final_layer_norm",
    .head = "embed_out|lm_head",
    .attention_norm = "gpt_neox.layers.%d.input_layernorm",
    .mlp_norm = "gpt_neox.layers.%d.post_attention_layernorm",
    .qkv = "gpt_neox.layers.%d.attention.query_key_value",
    .o = "gpt_neox.layers.%d.attention.dense",
    .up = "gpt_neox.layers.%d.mlp.dense_h_to_4h",
    .down = "gpt_neox.layers.%d.mlp.dense_4h_to_h",
};

const tn_family tn_family_gpt_neox = {
    .name = "gpt_neox",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
