/* SPDX-License-Identifier: Apache-2.0
 *
 * nemotron.c: Nemotron and Minitron: LayerNorm times 1 + scale, a part of each head rotated, plain MLP with squared ReLU.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void set_form(tn_model_config *config) {
    config->is_layer_norm = config->has_plain_mlp = true;
    config->norm_bias = TN_BIAS_REQUIRED;
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    set_form(config);
    config->norm_offset = 1.0;
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    config->mlp_bias = tn_hf_bias(reader, "mlp_bias", false);
    tn_hf_rope(reader, NULL, 1e4, 0.5, TN_ROTARY_HALVES, &config->rope);
}

/* The converter adds 1 to the norms' scales. */
static void read_gguf(tn_gguf_reader *reader) {
    set_form(reader->config);
    tn_gguf_norm(reader, true);
    reader->config->activation = TN_ACTIVATION_RELU;
    reader->config->squares_activation = true;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
}

static const char *const hf_architectures[] = {"NemotronForCausalLM", NULL};
static const char *const gguf_architectures[] = {"nemotron", NULL};

const tn_family tn_family_nemotron = {
    .name = "nemotron",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &tn_llama_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
