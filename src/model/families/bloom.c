/* SPDX-License-Identifier: Apache-2.0
 *
 * bloom.c: BLOOM: ALiBi, a LayerNorm behind the embeddings, q, k and v head by head in one weight, plain MLP, biases everywhere.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

enum { MAX_POSITIONS = 2048, ALIBI_MAX_BIAS = 8 };

static void set_form(tn_model_config *config) {
    config->is_layer_norm = config->has_plain_mlp = config->has_embedding_norm = true;
    config->norm_bias = config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_REQUIRED;
    config->head_bias = TN_BIAS_NONE;
    config->activation = TN_ACTIVATION_GELU_TANH;
    config->alibi_max_bias = ALIBI_MAX_BIAS;
}

/* ALiBi has no longest sequence; seq_length is what the model was trained on. */
static void read_hf(tn_hf_reader *reader) {
    static const tn_hf_keys keys = {.hidden = "hidden_size|n_embed",
                                    .layers = "n_layer|num_hidden_layers",
                                    .heads = "n_head|num_attention_heads",
                                    .kv_heads = "",
                                    .inner = "",
                                    .positions = ""};
    tn_model_config *config = reader->config;
    set_form(config);
    tn_hf_sizes(reader, &keys);
    config->max_positions = config->max_scaled_positions = tn_hf_integer_or(reader, "seq_length", 1, 1 << 30, MAX_POSITIONS);
    config->norm_epsilon = tn_hf_number(reader, "layer_norm_epsilon", 1e-30, 1.0);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    config->qkv_is_by_heads = true;
    config->residual_is_normed = tn_hf_bool(reader, "apply_residual_connection_post_layernorm", false);
    (void)tn_hf_has(reader, "offset_alibi|n_inner|skip_bias_add|skip_bias_add_qkv|bias_dropout_fusion|masked_softmax_fusion|"
                            "attention_softmax_in_fp32|unk_token_id"); /* of the program that trained it */
}

/* The converter puts q, k and v one after another. */
static void read_gguf(tn_gguf_reader *reader) {
    set_form(reader->config);
    tn_gguf_norm(reader, true);
}

static const char *const hf_architectures[] = {"BloomForCausalLM", NULL};
static const char *const gguf_architectures[] = {"bloom", NULL};

static const tn_weight_names hf_names = {
    .embedding = "transformer.word_embeddings",
    .embedding_norm = "transformer.word_embeddings_layernorm",
    .final_norm = "transformer.ln_f",
    .head = "lm_head",
    .attention_norm = "transformer.h.%d.input_layernorm",
    .mlp_norm = "transformer.h.%d.post_attention_layernorm",
    .qkv = "transformer.h.%d.self_attention.query_key_value",
    .o = "transformer.h.%d.self_attention.dense",
    .up = "transformer.h.%d.mlp.dense_h_to_4h",
    .down = "transformer.h.%d.mlp.dense_4h_to_h",
    .bare_prefix = "transformer.",
};

const tn_family tn_family_bloom = {
    .name = "bloom",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
