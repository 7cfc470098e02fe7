/* SPDX-License-Identifier: Apache-2.0
 *
 * deepseek.c: DeepSeek V2 and V3: keys and values out of one narrow latent vector, a rotated part of the keys shared by all heads,
 * experts beside some that every token goes through. V3 chooses by sigmoids and a bias of the choice alone.
 */
#include <math.h>
#include <string.h>

#include "model/family.h"
#include "model/hf_reader.h"

static void read_heads(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    config->latent.q_rank = tn_hf_integer_or(reader, "q_lora_rank", 1, TN_HF_MAX_SIZE, 0);
    config->latent.kv_rank = tn_hf_integer(reader, "kv_lora_rank", 1, TN_HF_MAX_SIZE);
    config->latent.rope_dim = tn_hf_integer(reader, "qk_rope_head_dim", 2, TN_HF_MAX_SIZE);
    config->v_head_dim = tn_hf_integer(reader, "v_head_dim", 1, TN_HF_MAX_SIZE);
    config->head_dim = config->latent.rope_dim + tn_hf_integer(reader, "qk_nope_head_dim", 1, TN_HF_MAX_SIZE);
    config->num_kv_heads = config->num_heads;
    (void)tn_hf_has(reader, "head_dim|qk_head_dim|num_key_value_heads");
}

static void read_experts(tn_hf_reader *reader, bool is_v3) {
    tn_model_config *config = reader->config;
    config->num_experts = tn_hf_integer_or(reader, "n_routed_experts|num_local_experts", 1, TN_HF_MAX_EXPERTS, 0);
    int64_t dense = tn_hf_integer_or(reader, "first_k_dense_replace", 0, TN_HF_MAX_LAYERS, 0);
    int64_t groups = tn_hf_integer_or(reader, "n_group", 1, TN_HF_MAX_EXPERTS, 1);
    int64_t chosen_groups = tn_hf_integer_or(reader, "topk_group", 1, TN_HF_MAX_EXPERTS, groups);
    bool is_limited = groups > 1 && chosen_groups < groups;
    if (is_limited && tn_hf_has(reader, "topk_method") && !is_v3) {
        const char *method = "";
        if (reader->status == TN_OK) reader->status = tn_json_to_string(tn_hf_find(reader, "topk_method"), reader->diag, &method, NULL);
        is_limited = strcmp(method, "greedy") != 0;
    }
    if (is_limited)
        tn_hf_fail(reader, tn_hf_find(reader, "n_group"), TN_UNSUPPORTED, "is above topk_group: choosing groups of experts is not built");
    config->experts_per_token = tn_hf_integer(reader, "num_experts_per_tok", 1, config->num_experts > 0 ? config->num_experts : 1);
    config->expert_size = tn_hf_integer(reader, "moe_intermediate_size", 1, TN_HF_MAX_SIZE);
    config->shared_expert_size = config->expert_size * tn_hf_integer_or(reader, "n_shared_experts", 0, 1024, 0);
    config->route = is_v3 ? TN_ROUTE_SIGMOID_TOPK : TN_ROUTE_SOFTMAX_TOPK;
    bool renormalizes = tn_hf_bool(reader, "norm_topk_prob", is_v3);
    config->renormalizes_scores = is_v3 && renormalizes; /* transformers' V2 never does */
    config->has_choice_bias = is_v3;
    config->expert_scale = tn_hf_number_or(reader, "routed_scaling_factor", 1e-6, 1e6, is_v3 ? 2.5 : 1.0);
    (void)tn_hf_has(reader, "topk_method|scoring_func|aux_loss_alpha|seq_aux|ep_size|num_nextn_predict_layers"); /* V2's or V3's own */
    if (tn_hf_integer_or(reader, "moe_layer_freq", 1, 1024, 1) != 1)
        tn_hf_fail(reader, tn_hf_find(reader, "moe_layer_freq"), TN_UNSUPPORTED, "is above 1, which is not built");
    bool *is_dense = tn_arena_alloc_array(reader->arena, (size_t)config->num_layers, sizeof *is_dense);
    if (is_dense == NULL) tn_hf_fail_memory(reader, (size_t)config->num_layers);
    for (int64_t i = 0; is_dense != NULL && i < config->num_layers; i++) is_dense[i] = i < dense;
    config->layer_is_dense = is_dense;
}

/* Scaled rotary embedding raises the scores too. */
static void read_scale(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    const tn_json_value *scaling = tn_hf_find(reader, "rope_parameters|rope_scaling");
    double all_dim = 0.0, factor = config->rope.factor;
    if (scaling != NULL && reader->status == TN_OK)
        reader->status = tn_json_get_number_or(scaling, "mscale_all_dim", 0.0, 1e6, 0.0, reader->diag, &all_dim);
    double raise = config->rope.scaling != TN_ROPE_DEFAULT && factor > 1.0 ? 0.1 * all_dim * log(factor) + 1.0 : 1.0;
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
    read_experts(reader, is_v3);
    bool is_interleaved = tn_hf_bool(reader, "rope_interleave", true);
    tn_hf_rope(reader, NULL, 1e4, 1.0, is_interleaved ? TN_ROTARY_INTERLEAVED : TN_ROTARY_HALVES, &config->rope);
    config->rope.dim = config->latent.rope_dim;
    read_scale(reader);
}

static const char *const hf_architectures[] = {"DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", NULL};
static const char *const gguf_architectures[] = {NULL}; /* "deepseek2" keeps its keys and values in another form */

static const tn_weight_names hf_names = {
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attention_norm = "model.layers.%d.input_layernorm",
    .mlp_norm = "model.layers.%d.post_attention_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .q_a = "model.layers.%d.self_attn.q_a_proj",
    .q_a_norm = "model.layers.%d.self_attn.q_a_layernorm",
    .q_b = "model.layers.%d.self_attn.q_b_proj",
    .kv_a = "model.layers.%d.self_attn.kv_a_proj_with_mqa",
    .kv_a_norm = "model.layers.%d.self_attn.kv_a_layernorm",
    .kv_b = "model.layers.%d.self_attn.kv_b_proj",
    .o = "model.layers.%d.self_attn.o_proj",
    .gate = "model.layers.%d.mlp.gate_proj",
    .up = "model.layers.%d.mlp.up_proj",
    .down = "model.layers.%d.mlp.down_proj",
    .router = "model.layers.%d.mlp.gate",
    .choice_bias = "model.layers.%d.mlp.gate.e_score_correction_bias=",
    .expert_gate = "model.layers.%d.mlp.experts.%d.gate_proj",
    .expert_up = "model.layers.%d.mlp.experts.%d.up_proj",
    .expert_down = "model.layers.%d.mlp.experts.%d.down_proj",
    .shared_gate = "model.layers.%d.mlp.shared_experts.gate_proj",
    .shared_up = "model.layers.%d.mlp.shared_experts.up_proj",
    .shared_down = "model.layers.%d.mlp.shared_experts.down_proj",
};

const tn_family tn_family_deepseek = {
    .name = "deepseek",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
};
