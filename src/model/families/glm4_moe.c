/* SPDX-License-Identifier: Apache-2.0
 *
 * glm4_moe.c: GLM-4.5 and 4.6: half of each head rotated, biases of q, k and v, norms of each head of q and k in the large ones, and
 * DeepSeek V3's experts.
 */
#include "model/families/deepseek.h"
#include "model/family.h"

static void read_hf(tn_hf_reader *reader) {
    static const tn_deepseek_experts experts = {.by_sigmoids = true, .groups = 1, .chosen_groups = 1, .num_dense = 1, .scale = 1.0};
    tn_model_config *config = reader->config;
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", "silu");
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = tn_hf_bias(reader, "attention_bias", false);
    config->o_bias = config->mlp_bias = TN_BIAS_NONE;
    config->qk_norm = tn_hf_bool(reader, "use_qk_norm", false) ? TN_QK_NORM_HEAD : TN_QK_NORM_NONE;
    tn_deepseek_experts_from_hf(reader, &experts);
    tn_hf_rope(reader, NULL, 1e4, 0.5, TN_ROTARY_HALVES, &config->rope);
}

/* The last layers of the file guess tokens beyond the next one: they are not the model's. */
static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    config->num_layers -= tn_gguf_integer_key_or(reader, "nextn_predict_layers", 0, config->num_layers - 1, 0);
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    config->qk_norm = tn_gguf_has_tensor(reader, "blk.0.attn_q_norm.weight") ? TN_QK_NORM_HEAD : TN_QK_NORM_NONE;
    tn_deepseek_experts_from_gguf(reader, true);
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
}

static const char *const hf_architectures[] = {"Glm4MoeForCausalLM", NULL};
static const char *const gguf_architectures[] = {"glm4moe", NULL};

static const tn_weight_names hf_names = {
    TN_LLAMA_NAMES,
    TN_DEEPSEEK_EXPERT_NAMES,
};
static const tn_weight_names gguf_names = TN_GGUF_NAMES("blk.%d.attn_norm", "blk.%d.post_attention_norm");

const tn_family tn_family_glm4_moe = {
    .name = "glm4_moe",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .gguf_names = &gguf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
