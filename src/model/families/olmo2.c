/* SPDX-License-Identifier: Apache-2.0
 *
 * olmo2.c: OLMo 1 to 3. 1: a Llama with LayerNorms that have no weights. 2: norms behind attention and MLP, and norms over all heads
 * of q and of k. 3: the same with windows in three layers of four, where rotary scaling does not count.
 */
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

enum { PATTERN = 4, WINDOW = 4096 };

static void read_shared_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_hf_sizes(reader, NULL);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    config->mlp_bias = TN_BIAS_NONE;
}

static void set_first_form(tn_model_config *config) {
    config->is_layer_norm = config->norms_are_bare = true;
    config->norm_bias = TN_BIAS_NONE;
}

static void read_first_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    set_first_form(config);
    read_shared_hf(reader);
    config->norm_epsilon = 1e-5;
    config->qkv_clip = tn_hf_number_or(reader, "clip_qkv", 1e-6, 1e6, 0.0);
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
}

/* q and k permuted as Llama's */
static void read_first_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    set_first_form(config);
    tn_gguf_norm(reader, true);
    config->activation = TN_ACTIVATION_SILU;
    config->qkv_clip = tn_gguf_number_key_or(reader, "attention.clamp_kqv", 0.0, 1e6, 0.0);
    tn_gguf_rope(reader, TN_ROTARY_INTERLEAVED);
}

static void set_form(tn_model_config *config) {
    config->norm_order = TN_NORMS_AFTER;
    config->qk_norm = TN_QK_NORM_ROW;
}

/* Layers with a window turn without scaling. false: out of memory */
static bool use_local_rope(tn_model_config *config, tn_arena *arena) {
    config->local_rope = (tn_rope){.type = TN_ROTARY_HALVES, .dim = config->rope.dim, .theta = config->rope.theta, .factor = 1.0};
    config->layer_ropes = tn_model_ropes_of_windows(config, arena, TN_LAYER_ROPE_LOCAL, TN_LAYER_ROPE);
    return config->layer_ropes != NULL;
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    bool is_third = strcmp(config->architecture, "Olmo3ForCausalLM") == 0;
    set_form(config);
    read_shared_hf(reader);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_rope(reader, is_third ? "full_attention" : NULL, is_third ? 5e5 : 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
    if (!is_third) return;
    tn_hf_windows(reader, tn_hf_integer_or(reader, "sliding_window", 1, 1 << 30, WINDOW), 0, PATTERN);
    if (!use_local_rope(config, reader->arena)) tn_hf_fail_memory(reader, (size_t)config->num_layers);
    const tn_json_value *all = tn_hf_find(reader, "rope_parameters");
    if (all != NULL && tn_json_find(all, "sliding_attention") != NULL)
        tn_hf_rope(reader, "sliding_attention", 5e5, 1.0, TN_ROTARY_HALVES, &config->local_rope);
}

/* OLMo 3 has OLMo 2's architecture there, and a window. */
static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    set_form(config);
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
    tn_gguf_windows(reader, PATTERN);
    if (config->layer_windows != NULL && !use_local_rope(config, reader->arena) && reader->status == TN_OK)
        reader->status = tn_fail_memory(reader->diag, "the model's configuration", (size_t)config->num_layers);
}

static const char *const hf_architectures[] = {"Olmo2ForCausalLM", "Olmo3ForCausalLM", NULL};
static const char *const gguf_architectures[] = {"olmo2", NULL};
static const char *const first_hf_architectures[] = {"OlmoForCausalLM", NULL};
static const char *const first_gguf_architectures[] = {"olmo", NULL};

const tn_weight_names tn_olmo2_names = {
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attention_post_norm = "model.layers.%d.post_attention_layernorm",
    .mlp_post_norm = "model.layers.%d.post_feedforward_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .k = "model.layers.%d.self_attn.k_proj",
    .v = "model.layers.%d.self_attn.v_proj",
    .o = "model.layers.%d.self_attn.o_proj",
    .q_norm = "model.layers.%d.self_attn.q_norm",
    .k_norm = "model.layers.%d.self_attn.k_norm",
    .gate = "model.layers.%d.mlp.gate_proj",
    .up = "model.layers.%d.mlp.up_proj",
    .down = "model.layers.%d.mlp.down_proj",
};

const tn_family tn_family_olmo2 = {
    .name = "olmo2",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &tn_olmo2_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};

const tn_family tn_family_olmo = {
    .name = "olmo",
    .hf_architectures = first_hf_architectures,
    .gguf_architectures = first_gguf_architectures,
    .hf_names = &tn_llama_names,
    .read_hf = read_first_hf,
    .read_gguf = read_first_gguf,
};
