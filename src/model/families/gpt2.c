/* SPDX-License-Identifier: Apache-2.0
 *
 * gpt2.c: GPT-2 and GPT-BigCode (StarCoder): learned positions, LayerNorm, one weight for q, k and v, plain MLP, everything with
 * biases. GPT-BigCode shares one key/value head among all.
 */
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void set_form(tn_model_config *config) {
    config->is_layer_norm = config->has_plain_mlp = config->has_learned_positions = true;
    config->norm_bias = config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_REQUIRED;
}

static void read_hf(tn_hf_reader *reader) {
    static const tn_hf_keys keys = {"n_embd", "n_layer", "n_head", "", "n_inner", "n_positions"};
    tn_model_config *config = reader->config;
    set_form(config);
    tn_hf_sizes(reader, &keys);
    config->norm_epsilon = tn_hf_number(reader, "layer_norm_epsilon", 1e-30, 1.0);
    tn_hf_activation(reader, "activation_function", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    if (!tn_hf_bool(reader, "scale_attn_weights", true)) config->attention_scale = 1.0;
    tn_hf_require_bool(reader, "add_cross_attention", false, "is true: cross attention is not built");
    if (strcmp(config->architecture, "GPT2LMHeadModel") == 0) {
        config->scale_by_layer = tn_hf_bool(reader, "scale_attn_by_inverse_layer_idx", false);
        return;
    }
    (void)tn_hf_has(reader, "num_key_value_heads"); /* follows from multi_query */
    bool shares_heads = tn_hf_bool(reader, "multi_query", true);
    config->qkv_is_by_heads = !shares_heads;
    if (shares_heads) config->num_kv_heads = 1;
    /* how it was served, and where sums are rounded in float16 */
    (void)tn_hf_has(reader, "inference_runner|max_batch_size|max_sequence_length|pre_allocate_kv_cache|validate_runner_input");
    (void)tn_hf_bool(reader, "attention_softmax_in_fp32", true);
    (void)tn_hf_bool(reader, "scale_attention_softmax_in_fp32", true);
}

static void read_gguf(tn_gguf_reader *reader) {
    set_form(reader->config);
    tn_gguf_norm(reader, true);
    reader->config->activation = TN_ACTIVATION_GELU_TANH;
    reader->config->head_bias = TN_BIAS_NONE;
}

static const char *const gpt2_architectures[] = {"GPT2LMHeadModel", NULL};
static const char *const bigcode_architectures[] = {"GPTBigCodeForCausalLM", NULL};
static const char *const gpt2_gguf_architectures[] = {"gpt2", NULL};
static const char *const bigcode_gguf_architectures[] = {"starcoder", NULL};

#define NAMES(is_transposed)                                                                                                   \
    {                                                                                                                          \
        .embedding = "transformer.wte", .positions = "transformer.wpe", .final_norm = "transformer.ln_f", .head = "lm_head",   \
        .attention_norm = "transformer.h.%d.ln_1", .mlp_norm = "transformer.h.%d.ln_2", .qkv = "transformer.h.%d.attn.c_attn", \
        .o = "transformer.h.%d.attn.c_proj", .up = "transformer.h.%d.mlp.c_fc", .down = "transformer.h.%d.mlp.c_proj",         \
        .linear_is_transposed = (is_transposed), .bare_prefix = "transformer."                                                 \
    }
static const tn_weight_names gpt2_names = NAMES(true), bigcode_names = NAMES(false);

const tn_family tn_family_gpt2 = {
    .name = "gpt2",
    .hf_architectures = gpt2_architectures,
    .gguf_architectures = gpt2_gguf_architectures,
    .hf_names = &gpt2_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};

const tn_family tn_family_gpt_bigcode = {
    .name = "gpt_bigcode",
    .hf_architectures = bigcode_architectures,
    .gguf_architectures = bigcode_gguf_architectures,
    .hf_names = &bigcode_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
