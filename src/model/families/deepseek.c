/* SPDX-License-Identifier: Apache-2.0
 *
 * deepseek.c: DeepSeek V2 and V3: keys and values out of one narrow latent vector, a rotated part of the keys shared by all heads,
 * experts beside some that every token goes through, chosen out of the best groups of them. V3 chooses by sigmoids and a bias of the
 * choice alone.
 */
#include "model/families/deepseek.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/family.h"

/* The norms of the narrow vectors take the norm's default, whatever rms_norm_eps says. */
#define LATENT_EPSILON 1e-6

static void read_heads(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    config->latent.q_rank = tn_hf_integer_or(reader, "q_lora_rank", 1, TN_HF_MAX_SIZE, 0);
    config->latent.kv_rank = tn_hf_integer(reader, "kv_lora_rank", 1, TN_HF_MAX_SIZE);
    config->latent.rope_dim = tn_hf_integer(reader, "qk_rope_head_dim", 2, TN_HF_MAX_SIZE);
    config->v_head_dim = tn_hf_integer(reader, "v_head_dim", 1, TN_HF_MAX_SIZE);
    config->head_dim = config->latent.rope_dim + tn_hf_integer(reader, "qk_nope_head_dim", 1, TN_HF_MAX_SIZE);
    config->num_kv_heads = config->num_heads;
    config->latent.norm_epsilon = LATENT_EPSILON;
    (void)tn_hf_has(reader, "head_dim|qk_head_dim|num_key_value_heads");
}

/* Does the field say `text`, or, where there is one to say, nothing? `other` is all that it may say else. */
static bool reads_as(tn_hf_reader *reader, const char *key, const char *text, const char *other) {
    const tn_json_value *value = tn_hf_find(reader, key);
    const char *found = text;
    if (value != NULL && reader->status == TN_OK) reader->status = tn_json_to_string(value, reader->diag, &found, NULL);
    bool is_text = text != NULL && found != NULL && strcmp(found, text) == 0;
    if (found != NULL && !is_text && strcmp(found, other) != 0)
        tn_hf_fail(reader, value, TN_UNSUPPORTED, "is a way to choose experts that is not built");
    return is_text;
}

static const bool *dense_layers(const tn_model_config *config, tn_arena *arena, int64_t num_dense, int64_t frequency) {
    bool *is_dense = tn_arena_alloc_array(arena, (size_t)config->num_layers, sizeof *is_dense);
    for (int64_t i = 0; is_dense != NULL && i < config->num_layers; i++) is_dense[i] = i < num_dense || i % frequency != 0;
    return is_dense;
}

void tn_deepseek_experts_from_hf(tn_hf_reader *reader, const tn_deepseek_experts *defaults) {
    bool by_sigmoids = defaults->by_sigmoids;
    tn_model_config *config = reader->config;
    config->num_experts = tn_hf_integer_or(reader, "n_routed_experts|num_local_experts", 1, TN_HF_MAX_EXPERTS, 0);
    int64_t groups = tn_hf_integer_or(reader, "n_group", 1, TN_HF_MAX_EXPERTS, defaults->groups);
    int64_t chosen_groups = tn_hf_integer_or(reader, "topk_group", 1, TN_HF_MAX_EXPERTS, defaults->chosen_groups);
    bool is_greedy = reads_as(reader, "topk_method", by_sigmoids ? NULL : "greedy", by_sigmoids ? "noaux_tc" : "group_limited_greedy");
    (void)reads_as(reader, "scoring_func", NULL, by_sigmoids ? "sigmoid" : "softmax");
    if (!is_greedy) config->expert_groups = groups, config->chosen_groups = chosen_groups;
    config->experts_per_token = tn_hf_integer(reader, "num_experts_per_tok", 1, config->num_experts > 0 ? config->num_experts : 1);
    config->expert_size = tn_hf_integer(reader, "moe_intermediate_size", 1, TN_HF_MAX_SIZE);
    config->shared_expert_size = config->expert_size * tn_hf_integer_or(reader, "n_shared_experts", 0, 1024, 0);
    config->route = by_sigmoids ? TN_ROUTE_SIGMOID_TOPK : TN_ROUTE_SOFTMAX_TOPK;
    bool renormalizes = tn_hf_bool(reader, "norm_topk_prob", by_sigmoids);
    config->renormalizes_scores = by_sigmoids && renormalizes; /* transformers' V2 never does */
    config->has_choice_bias = by_sigmoids;
    config->expert_scale = tn_hf_number_or(reader, "routed_scaling_factor", 1e-6, 1e6, defaults->scale);
    (void)tn_hf_has(reader, "aux_loss_alpha|seq_aux|ep_size|num_nextn_predict_layers|num_mtp_layers");
    int64_t num_dense = tn_hf_integer_or(reader, "first_k_dense_replace", 0, TN_HF_MAX_LAYERS, defaults->num_dense);
    config->layer_is_dense = dense_layers(config, reader->arena, num_dense, tn_hf_integer_or(reader, "moe_layer_freq", 1, 1024, 1));
    if (config->layer_is_dense == NULL) tn_hf_fail_memory(reader, (size_t)config->num_layers);
}

/* Scaled rotary embedding raises the scores too. */
static void set_scale(tn_model_config *config, double raise_by_log) {
    bool is_scaled = config->rope.scaling != TN_ROPE_DEFAULT && config->rope.factor > 1.0;
    double raise = is_scaled ? raise_by_log * log(config->rope.factor) + 1.0 : 1.0;
    config->attention_scale = raise * raise / sqrt((double)config->head_dim);
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    bool is_v3 = strcmp(config->architecture, "DeepseekV3ForCausalLM") == 0;
    tn_hf_sizes(reader, NULL);
    read_heads(reader);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    config->mlp_bias = TN_BIAS_NONE;
    tn_hf_require_bool(reader, "mlp_bias", false, "is true: biases of the MLP are not built");
    static const tn_deepseek_experts v2 = {.groups = 1, .chosen_groups = 1, .scale = 1.0};
    static const tn_deepseek_experts v3 = {.by_sigmoids = true, .groups = 8, .chosen_groups = 4, .num_dense = 3, .scale = 2.5};
    tn_deepseek_experts_from_hf(reader, is_v3 ? &v3 : &v2);
    bool is_interleaved = tn_hf_bool(reader, "rope_interleave", true);
    tn_hf_rope(reader, NULL, 1e4, 1.0, is_interleaved ? TN_ROTARY_INTERLEAVED : TN_ROTARY_HALVES, &config->rope);
    config->rope.dim = config->latent.rope_dim;
    double all_dim = 0.0;
    const tn_json_value *scaling = tn_hf_find(reader, "rope_parameters|rope_scaling");
    if (scaling != NULL && reader->status == TN_OK)
        reader->status = tn_json_get_number_or(scaling, "mscale_all_dim", 0.0, 1e6, 0.0, reader->diag, &all_dim);
    set_scale(config, 0.1 * all_dim);
}

/* A file for absorbed projections states the sizes of the latent as those of its heads, and of heads as "..._mla". */
static void read_gguf_heads(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    config->num_kv_heads = config->num_heads;
    config->latent.norm_epsilon = LATENT_EPSILON;
    config->latent.q_rank = tn_gguf_integer_key_or(reader, "attention.q_lora_rank", 1, TN_HF_MAX_SIZE, 0);
    config->latent.kv_rank = tn_gguf_integer_key(reader, "attention.kv_lora_rank", 1, TN_HF_MAX_SIZE);
    config->latent.rope_dim = tn_gguf_integer_key(reader, "rope.dimension_count", 2, 1024);
    config->head_dim = tn_gguf_integer_key_or(reader, "attention.key_length_mla", 1, 1 << 16, config->head_dim);
    config->v_head_dim = tn_gguf_integer_key_or(reader, "attention.value_length_mla", 1, 1 << 16, config->v_head_dim);
    if (reader->status == TN_OK && config->head_dim <= config->latent.rope_dim)
        reader->status = tn_fail(reader->diag, TN_INVALID_DATA, "cannot read %s: %lld elements of key heads of %lld are rotated",
                                 tn_gguf_name(reader->gguf), (long long)config->latent.rope_dim, (long long)config->head_dim);
}

void tn_deepseek_experts_from_gguf(tn_gguf_reader *reader, bool by_sigmoids) {
    enum { SOFTMAX = 1, SIGMOID = 2 };
    tn_model_config *config = reader->config;
    int64_t num_dense = tn_gguf_integer_key_or(reader, "leading_dense_block_count", 0, TN_HF_MAX_LAYERS, 0);
    int64_t function = tn_gguf_integer_key_or(reader, "expert_gating_func", SOFTMAX, SIGMOID, by_sigmoids ? SIGMOID : SOFTMAX);
    char name[64];
    snprintf(name, sizeof name, "blk.%lld.exp_probs_b.bias", (long long)num_dense);
    config->route = function == SIGMOID ? TN_ROUTE_SIGMOID_TOPK : TN_ROUTE_SOFTMAX_TOPK;
    config->has_choice_bias = tn_gguf_has_tensor(reader, name);
    config->renormalizes_scores = tn_gguf_bool_key(reader, "expert_weights_norm", false);
    config->expert_scale = tn_gguf_number_key_or(reader, "expert_weights_scale", 0.0, 1e6, 0.0);
    config->expert_groups = tn_gguf_integer_key_or(reader, "expert_group_count", 0, TN_HF_MAX_EXPERTS, 0);
    config->chosen_groups = tn_gguf_integer_key_or(reader, "expert_group_used_count", 0, TN_HF_MAX_EXPERTS, config->expert_groups);
    config->shared_expert_size = config->expert_size * tn_gguf_integer_key_or(reader, "expert_shared_count", 0, 1024, 0);
    if (reader->status != TN_OK) return;
    config->layer_is_dense = dense_layers(config, reader->arena, num_dense, 1);
    if (config->layer_is_dense == NULL)
        reader->status = tn_fail_memory(reader->diag, "the model's configuration", (size_t)config->num_layers);
}

/* Of YaRN's two factors the file has mscale_all_dim; mscale is taken to be the same, so cosines and sines keep their size. */
static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    read_gguf_heads(reader);
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    tn_deepseek_experts_from_gguf(reader, false);
    tn_gguf_rope(reader, TN_ROTARY_INTERLEAVED);
    if (config->rope.attention_factor == 0.0) config->rope.attention_factor = 1.0;
    set_scale(config, tn_gguf_number_key_or(reader, "rope.scaling.yarn_log_multiplier", 0.0, 1e6, 0.0));
}

static const char *const hf_architectures[] = {"DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", NULL};
static const char *const gguf_architectures[] = {"deepseek2", NULL};

static const tn_weight_names hf_names = {
    TN_LLAMA_NAMES,
    .q_a = "model.layers.%d.self_attn.q_a_proj",
    .q_a_norm = "model.layers.%d.self_attn.q_a_layernorm",
    .q_b = "model.layers.%d.self_attn.q_b_proj",
    .kv_a = "model.layers.%d.self_attn.kv_a_proj_with_mqa",
    .kv_a_norm = "model.layers.%d.self_attn.kv_a_layernorm",
    .kv_b = "model.layers.%d.self_attn.kv_b_proj",
    TN_DEEPSEEK_EXPERT_NAMES,
};

const tn_family tn_family_deepseek = {
    .name = "deepseek",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
