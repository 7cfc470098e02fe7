/* SPDX-License-Identifier: Apache-2.0
 *
 * opt.c: OPT: learned positions from row 2 on, LayerNorm, plain MLP, biases everywhere. The 350M one norms behind each sum, has no
 * final norm, and embeddings narrower than its layers.
 */
#include <string.h>

#include "model/family.h"
#include "model/hf_reader.h"

static void read_hf(tn_hf_reader *reader) {
    static const tn_hf_keys keys = {.kv_heads = "", .inner = "ffn_dim"};
    tn_model_config *config = reader->config;
    config->is_layer_norm = config->has_plain_mlp = config->has_learned_positions = true;
    config->norm_bias = TN_BIAS_REQUIRED;
    config->position_offset = 2;
    tn_hf_sizes(reader, &keys);
    config->norm_epsilon = 1e-5;
    tn_hf_activation(reader, "activation_function", "relu");
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    config->qkv_bias = config->o_bias = config->mlp_bias = tn_hf_bias(reader, "enable_bias", true);
    int64_t width = tn_hf_integer_or(reader, "word_embed_proj_dim", 1, TN_HF_MAX_SIZE, config->hidden_size);
    if (width != config->hidden_size) config->embedding_size = width;
    bool norms_first = tn_hf_bool(reader, "do_layer_norm_before", true);
    config->norm_order = norms_first ? TN_NORMS_BEFORE : TN_NORMS_OF_SUMS;
    config->has_no_final_norm = tn_hf_bool(reader, "_remove_final_layer_norm", false) || !norms_first;
    tn_hf_require_bool(reader, "layer_norm_elementwise_affine", true, "is false: norms without weights are not built");
}

static const char *const hf_architectures[] = {"OPTForCausalLM", NULL};
static const char *const gguf_architectures[] = {NULL}; /* the format knows no OPT */

static const tn_weight_names hf_names = {
    .embedding = "model.decoder.embed_tokens",
    .positions = "model.decoder.embed_positions",
    .project_in = "model.decoder.project_in",
    .project_out = "model.decoder.project_out",
    .final_norm = "model.decoder.final_layer_norm",
    .head = "lm_head",
    .attention_norm = "model.decoder.layers.%d.self_attn_layer_norm",
    .mlp_norm = "model.decoder.layers.%d.final_layer_norm",
    .q = "model.decoder.layers.%d.self_attn.q_proj",
    .k = "model.decoder.layers.%d.self_attn.k_proj",
    .v = "model.decoder.layers.%d.self_attn.v_proj",
    .o = "model.decoder.layers.%d.self_attn.out_proj",
    .up = "model.decoder.layers.%d.fc1",
    .down = "model.decoder.layers.%d.fc2",
    .bare_prefix = "model.",
};

const tn_family tn_family_opt = {
    .name = "opt",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
};
