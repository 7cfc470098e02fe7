/* SPDX-License-Identifier: Apache-2.0
 *
 * gemma.c: Gemma 1, 2 and 3 (text): embeddings times √hidden, norms times 1 + scale, gated GELU. Gemma 2 norms around attention
 * and MLP, caps scores and logits, and gives every second layer a window; Gemma 3 has norms of q and k instead of caps, a window
 * in five layers of six, and a rotary base of its own there.
 */
#include <math.h>
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void set_form(tn_model_config *config) {
    config->embedding_scale = (double)(float)sqrt((double)config->hidden_size);
    config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_NONE;
}

/* Layers with a window turn by the local rope. */
static void use_local_rope(tn_arena *arena, tn_diag *diag, tn_model_config *config, tn_status *status) {
    if (*status != TN_OK || config->layer_windows == NULL) return;
    config->layer_ropes = tn_model_ropes_of_windows(config, arena, TN_LAYER_ROPE_LOCAL, TN_LAYER_ROPE);
    if (config->layer_ropes == NULL) *status = tn_fail_memory(diag, "the model's configuration", (size_t)config->num_layers);
}

static void read_gemma3_ropes(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    const tn_json_value *all = tn_hf_find(reader, "rope_parameters");
    double local = tn_hf_number_or(reader, "rope_local_base_freq", 1.001, 1e12, 1e4);
    tn_hf_rope(reader, "full_attention", 1e6, 1.0, TN_ROTARY_HALVES, &config->rope);
    if (all != NULL && tn_json_find(all, "sliding_attention") != NULL)
        tn_hf_rope(reader, "sliding_attention", local, 1.0, TN_ROTARY_HALVES, &config->local_rope);
    else
        config->local_rope = (tn_rope){.type = TN_ROTARY_HALVES, .dim = config->rope.dim, .theta = local, .factor = 1.0};
    use_local_rope(reader->arena, reader->diag, config, &reader->status);
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    bool is_first = strcmp(config->architecture, "GemmaForCausalLM") == 0;
    bool is_third = strncmp(config->architecture, "Gemma3", 6) == 0;
    tn_hf_sizes(reader, NULL);
    set_form(config);
    config->norm_offset = 1.0;
    config->norm_epsilon = tn_hf_number_or(reader, "rms_norm_eps", 1e-30, 1.0, 1e-6);
    /* Gemma's first hidden_act said "gelu" and meant its approximation, which hidden_activation then said. */
    tn_hf_activation(reader, is_first ? "hidden_activation" : "hidden_activation|hidden_act", "gelu_pytorch_tanh");
    if (is_first) (void)tn_hf_has(reader, "hidden_act");
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    tn_hf_require_bool(reader, "use_bidirectional_attention", false, "is true: attention to later tokens is not built");
    if (is_first) {
        tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
        return;
    }
    config->norm_order = TN_NORMS_AROUND;
    config->attention_scale = 1.0 / sqrt(tn_hf_number_or(reader, "query_pre_attn_scalar", 1e-3, 1e6, 256.0));
    config->attention_soft_cap = tn_hf_number_or(reader, "attn_logit_softcapping", 1e-3, 1e6, 0.0);
    config->logit_soft_cap = tn_hf_number_or(reader, "final_logit_softcapping", 1e-3, 1e6, 0.0);
    int64_t window = tn_hf_integer_or(reader, "sliding_window", 1, 1 << 30, 4096);
    int64_t pattern = tn_hf_integer_or(reader, "sliding_window_pattern|_sliding_window_pattern", 1, 1 << 16, is_third ? 6 : 2);
    tn_hf_windows(reader, window, 0, pattern);
    if (is_third) {
        config->qk_norm = TN_QK_NORM_HEAD;
        read_gemma3_ropes(reader);
    } else {
        tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
    }
}

/* The converter adds 1 to the norms' scales. The largest Gemma 2 and 3 scale by hidden_size / heads, which no key says. */
static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    bool is_second = tn_gguf_is(reader, "gemma2"), is_third = tn_gguf_is(reader, "gemma3");
    set_form(config);
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_GELU_TANH;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
    if (!is_second && !is_third) return;
    config->norm_order = TN_NORMS_AROUND;
    bool is_largest = config->num_layers == (is_second ? 46 : 62);
    config->attention_scale = 1.0 / sqrt((double)(is_largest ? config->hidden_size / config->num_heads : config->head_dim));
    config->attention_soft_cap = tn_gguf_number_key_or(reader, "attn_logit_softcapping", 1e-3, 1e6, is_second ? 50.0 : 0.0);
    config->logit_soft_cap = tn_gguf_number_key_or(reader, "final_logit_softcapping", 1e-3, 1e6, is_second ? 30.0 : 0.0);
    tn_gguf_windows(reader, is_second ? 2 : 6);
    if (!is_third) return;
    config->qk_norm = TN_QK_NORM_HEAD;
    double local = tn_gguf_number_key_or(reader, "rope.freq_base_swa", 1.001, 1e12, 1e4);
    config->local_rope = (tn_rope){.type = TN_ROTARY_HALVES, .dim = config->rope.dim, .theta = local, .factor = 1.0};
    use_local_rope(reader->arena, reader->diag, config, &reader->status);
}

static const char *const first_architectures[] = {"GemmaForCausalLM", NULL};
static const char *const later_architectures[] = {"Gemma2ForCausalLM", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", NULL};
static const char *const first_gguf_architectures[] = {"gemma", NULL};
static const char *const later_gguf_architectures[] = {"gemma2", "gemma3", NULL};

/* Gemma 1 calls the norm before the MLP what Gemma 2 calls the one behind attention. */
#define NAMES(mlp_norm_name, attention_post_norm_name, mlp_post_norm_name)                                                               \
    {                                                                                                                                    \
        .embedding = "model.embed_tokens", .final_norm = "model.norm", .head = "lm_head",                                                \
        .attention_norm = "model.layers.%d.input_layernorm", .attention_post_norm = attention_post_norm_name, .mlp_norm = mlp_norm_name, \
        .mlp_post_norm = mlp_post_norm_name, .q = "model.layers.%d.self_attn.q_proj", .k = "model.layers.%d.self_attn.k_proj",           \
        .v = "model.layers.%d.self_attn.v_proj", .o = "model.layers.%d.self_attn.o_proj", .q_norm = "model.layers.%d.self_attn.q_norm",  \
        .k_norm = "model.layers.%d.self_attn.k_norm", .gate = "model.layers.%d.mlp.gate_proj", .up = "model.layers.%d.mlp.up_proj",      \
        .down = "model.layers.%d.mlp.down_proj", .text_prefix = "language_model."                                                        \
    }
static const tn_weight_names first_names = NAMES("model.layers.%d.post_attention_layernorm", NULL, NULL);
static const tn_weight_names later_names = NAMES("model.layers.%d.pre_feedforward_layernorm", "model.layers.%d.post_attention_layernorm",
                                                 "model.layers.%d.post_feedforward_layernorm");

const tn_family tn_family_gemma = {
    .name = "gemma",
    .hf_architectures = first_architectures,
    .gguf_architectures = first_gguf_architectures,
    .hf_names = &first_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};

/* Checkpoints of Gemma 3 say only what differs from these, transformers' own. */
static const char gemma3_text_defaults[] =
    "{\"vocab_size\": 262208, \"hidden_size\": 2304, \"intermediate_size\": 9216, \"num_hidden_layers\": 26, \"num_attention_heads\": 8, "
    "\"num_key_value_heads\": 4, \"head_dim\": 256, \"max_position_embeddings\": 131072, \"bos_token_id\": 2}";

const tn_family tn_family_gemma2 = {
    .name = "gemma2",
    .hf_architectures = later_architectures,
    .gguf_architectures = later_gguf_architectures,
    .hf_names = &later_names,
    .text_model_type = "gemma3_text",
    .text_defaults = gemma3_text_defaults,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
