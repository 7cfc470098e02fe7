/* SPDX-License-Identifier: Apache-2.0
 *
 * gptj.c: GPT-J: attention and MLP beside each other behind one LayerNorm, neighbouring elements of a head rotated, biases in the
 * MLP and the head only.
 */
#include "model/family.h"
#include "model/hf_reader.h"

static void set_form(tn_model_config *config) {
    config->is_layer_norm = config->has_plain_mlp = true;
    config->residual = TN_RESIDUAL_PARALLEL_ONE_NORM;
    config->norm_bias = config->mlp_bias = config->head_bias = TN_BIAS_REQUIRED;
    config->qkv_bias = config->o_bias = TN_BIAS_NONE;
}

static void read_hf(tn_hf_reader *reader) {
    static const tn_hf_keys keys = {"n_embd", "n_layer", "n_head", "", "n_inner", "n_positions"};
    tn_model_config *config = reader->config;
    set_form(config);
    tn_hf_sizes(reader, &keys);
    config->norm_epsilon = tn_hf_number(reader, "layer_norm_epsilon", 1e-30, 1.0);
    tn_hf_activation(reader, "activation_function", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->rope = (tn_rope){.type = TN_ROTARY_INTERLEAVED, .theta = 1e4, .factor = 1.0};
    config->rope.dim = tn_hf_integer_or(reader, "rotary_dim", 2, TN_HF_MAX_SIZE, config->head_dim);
}

static const char *const hf_architectures[] = {"GPTJForCausalLM", NULL};
static const char *const gguf_architectures[] = {NULL}; /* llama.cpp has a name for it, and no more */

static const tn_weight_names hf_names = {
    .embedding = "transformer.wte",
    .final_norm = "transformer.ln_f",
    .head = "lm_head",
    .attention_norm = "transformer.h.%d.ln_1",
    .q = "transformer.h.%d.attn.q_proj",
    .k = "transformer.h.%d.attn.k_proj",
    .v = "transformer.h.%d.attn.v_proj",
    .o = "transformer.h.%d.attn.out_proj",
    .up = "transformer.h.%d.mlp.fc_in",
    .down = "transformer.h.%d.mlp.fc_out",
};

const tn_family tn_family_gptj = {
    .name = "gptj",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
};
