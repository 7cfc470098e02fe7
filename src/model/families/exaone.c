/* SPDX-License-Identifier: Apache-2.0
 *
 * exaone.c: EXAONE 3 and 4. 3: a Llama with GPT-2's names. 4: norms behind attention and MLP, norms of each head of q and k, windows
 * in all layers but every fourth, which is not rotated then.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

enum { PATTERN = 4, WINDOW = 4096 };

static void read_third_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_hf_sizes(reader, &(tn_hf_keys){.layers = "num_layers|num_hidden_layers"});
    config->norm_epsilon = tn_hf_number_or(reader, "layer_norm_epsilon", 1e-30, 1.0, 1e-5);
    tn_hf_activation(reader, "activation_function", "silu");
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_NONE;
    (void)tn_hf_has(reader, "embed_dropout|resid_dropout");
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
}

static void read_third_gguf(tn_gguf_reader *reader) {
    tn_gguf_norm(reader, false);
    reader->config->activation = TN_ACTIVATION_SILU;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
}

static void set_fourth_form(tn_model_config *config) {
    config->norm_order = TN_NORMS_AFTER;
    config->qk_norm = TN_QK_NORM_HEAD;
}

static int64_t read_pattern(tn_hf_reader *reader) {
    const tn_json_value *pattern = tn_hf_find(reader, "sliding_window_pattern");
    if (pattern == NULL || tn_json_kind_of(pattern) != TN_JSON_STRING)
        return tn_hf_integer_or(reader, "sliding_window_pattern", 1, 1 << 16, PATTERN);
    if (!tn_hf_has(reader, "layer_types")) tn_hf_fail(reader, pattern, TN_UNSUPPORTED, "is a text without layer_types, which is not built");
    return PATTERN;
}

static void read_fourth_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    set_fourth_form(config);
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number_or(reader, "rms_norm_eps", 1e-30, 1.0, 1e-5);
    tn_hf_activation(reader, "hidden_act", "silu");
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_NONE;
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
    bool is_absent = tn_json_find(reader->json, "sliding_window") == NULL; /* null says none */
    int64_t window = tn_hf_integer_or(reader, "sliding_window", 1, 1 << 30, is_absent ? WINDOW : 0);
    tn_hf_windows(reader, window, 0, read_pattern(reader));
    if (window == 0) return;
    config->layer_ropes = tn_model_ropes_of_windows(config, reader->arena, TN_LAYER_ROPE, TN_LAYER_ROPE_NONE);
    if (config->layer_ropes == NULL) tn_hf_fail_memory(reader, (size_t)config->num_layers);
}

static void read_fourth_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    set_fourth_form(config);
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
    tn_gguf_windows(reader, PATTERN);
    if (config->layer_windows == NULL) return;
    config->layer_ropes = tn_model_ropes_of_windows(config, reader->arena, TN_LAYER_ROPE, TN_LAYER_ROPE_NONE);
    if (config->layer_ropes == NULL && reader->status == TN_OK)
        reader->status = tn_fail_memory(reader->diag, "the model's configuration", (size_t)config->num_layers);
}

static const char *const third_hf_architectures[] = {"ExaoneForCausalLM", NULL};
static const char *const third_gguf_architectures[] = {"exaone", NULL};
static const char *const fourth_hf_architectures[] = {"Exaone4ForCausalLM", NULL};
static const char *const fourth_gguf_architectures[] = {"exaone4", NULL};

static const tn_weight_names third_names = {
    .embedding = "transformer.wte",
    .final_norm = "transformer.ln_f",
    .head = "lm_head",
    .attention_norm = "transformer.h.%d.ln_1",
    .mlp_norm = "transformer.h.%d.ln_2",
    .q = "transformer.h.%d.attn.attention.q_proj",
    .k = "transformer.h.%d.attn.attention.k_proj",
    .v = "transformer.h.%d.attn.attention.v_proj",
    .o = "transformer.h.%d.attn.attention.out_proj",
    .gate = "transformer.h.%d.mlp.c_fc_0",
    .up = "transformer.h.%d.mlp.c_fc_1",
    .down = "transformer.h.%d.mlp.c_proj",
};

const tn_family tn_family_exaone = {
    .name = "exaone",
    .hf_architectures = third_hf_architectures,
    .gguf_architectures = third_gguf_architectures,
    .hf_names = &third_names,
    .read_hf = read_third_hf,
    .read_gguf = read_third_gguf,
};

const tn_family tn_family_exaone4 = {
    .name = "exaone4",
    .hf_architectures = fourth_hf_architectures,
    .gguf_architectures = fourth_gguf_architectures,
    .hf_names = &tn_olmo2_names,
    .read_hf = read_fourth_hf,
    .read_gguf = read_fourth_gguf,
};
