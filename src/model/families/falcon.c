/* SPDX-License-Identifier: Apache-2.0
 *
 * falcon.c: Falcon in its three forms: 7B (one key/value head for all, one norm before attention and MLP side by side), 40B
 * (groups of heads, a norm each), and the RefinedWeb ones with ALiBi.
 */
#include <math.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

enum { ALIBI_MAX_BIAS = 8 };

static void read_heads(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    bool is_new = tn_hf_bool(reader, "new_decoder_architecture", false), shares_head = tn_hf_bool(reader, "multi_query", true);
    bool is_parallel = tn_hf_bool(reader, "parallel_attn", true);
    int64_t given = tn_hf_integer_or(reader, "num_kv_heads|n_head_kv", 1, TN_HF_MAX_HEADS, config->num_heads);
    int64_t num_norms = tn_hf_integer_or(reader, "num_ln_in_parallel_attn", 1, 2, is_new ? 2 : 1);
    config->num_kv_heads = is_new ? given : shares_head ? 1 : config->num_heads;
    config->qkv_is_by_heads = is_new || !shares_head;
    config->residual = TN_RESIDUAL_SEQUENTIAL;
    if (is_new || is_parallel) config->residual = is_new && num_norms == 2 ? TN_RESIDUAL_PARALLEL : TN_RESIDUAL_PARALLEL_ONE_NORM;
}

static void read_hf(tn_hf_reader *reader) {
    static const tn_hf_keys keys = {.layers = "num_hidden_layers|n_layer",
                                    .heads = "num_attention_heads|n_head",
                                    .kv_heads = "",
                                    .inner = "ffn_hidden_size",
                                    .positions = ""};
    tn_model_config *config = reader->config;
    config->is_layer_norm = config->has_plain_mlp = true;
    config->norm_bias = TN_BIAS_REQUIRED;
    tn_hf_sizes(reader, &keys);
    config->max_positions = config->max_scaled_positions = tn_hf_integer_or(reader, "max_position_embeddings", 1, 1 << 30, 2048);
    read_heads(reader);
    config->norm_epsilon = tn_hf_number(reader, "layer_norm_epsilon", 1e-30, 1.0);
    tn_hf_activation(reader, "activation", "gelu");
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    config->qkv_bias = config->o_bias = config->mlp_bias = tn_hf_bias(reader, "bias", false);
    if (tn_hf_bool(reader, "alibi", false)) {
        config->alibi_max_bias = ALIBI_MAX_BIAS;
        config->alibi_scale = 1.0 / sqrt((double)config->head_dim); /* it is added before scores are divided */
        (void)tn_hf_has(reader, "rope_parameters|rope_theta|rope_scaling");
    } else {
        tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
    }
}

/* The converter puts q, k and v one after another; the 40B's norm of attention is the second one. */
static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_gguf_norm(reader, true);
    config->has_plain_mlp = true;
    config->activation = TN_ACTIVATION_GELU_ERF;
    config->residual = tn_gguf_has_tensor(reader, "blk.0.attn_norm_2.weight") ? TN_RESIDUAL_PARALLEL : TN_RESIDUAL_PARALLEL_ONE_NORM;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
}

static const char *const hf_architectures[] = {"FalconForCausalLM", NULL};
static const char *const gguf_architectures[] = {"falcon", NULL};

static const tn_weight_names hf_names = {
    .embedding = "transformer.word_embeddings",
    .final_norm = "transformer.ln_f",
    .head = "lm_head",
    .attention_norm = "transformer.h.%d.input_layernorm|transformer.h.%d.ln_attn",
    .mlp_norm = "transformer.h.%d.post_attention_layernorm|transformer.h.%d.ln_mlp",
    .qkv = "transformer.h.%d.self_attention.query_key_value",
    .o = "transformer.h.%d.self_attention.dense",
    .up = "transformer.h.%d.mlp.dense_h_to_4h",
    .down = "transformer.h.%d.mlp.dense_4h_to_h",
};

static const tn_weight_names gguf_names = TN_GGUF_NAMES("blk.%d.attn_norm_2|blk.%d.attn_norm", "blk.%d.attn_norm");

const tn_family tn_family_falcon = {
    .name = "falcon",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .gguf_names = &gguf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
