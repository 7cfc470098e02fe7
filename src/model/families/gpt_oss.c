/* SPDX-License-Identifier: Apache-2.0
 *
 * gpt_oss.c: gpt-oss: a Llama with a learned sink logit for each head, a window in every second layer, and experts with biases whose
 * activation is gate · sigmoid(1.702 · gate) · (up + 1), both clamped.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void set_form(tn_model_config *config) {
    config->qkv_bias = config->o_bias = TN_BIAS_REQUIRED;
    config->has_sinks = config->has_router_bias = config->has_expert_bias = true;
    config->route = TN_ROUTE_TOPK_SOFTMAX;
    config->activation = TN_ACTIVATION_GELU_QUICK;
    config->expert_limit = 7.0;
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    set_form(config);
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    (void)tn_hf_has(reader, "hidden_act|initial_context_length|experts_per_token"); /* says silu; names of an older form */
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", true);
    config->num_experts = tn_hf_integer(reader, "num_local_experts|num_experts", 1, TN_HF_MAX_EXPERTS);
    config->experts_per_token = tn_hf_integer(reader, "num_experts_per_tok", 1, config->num_experts);
    config->expert_size = config->intermediate_size;
    config->expert_gate_is_interleaved = true;
    config->expert_limit = tn_hf_number_or(reader, "swiglu_limit", 1e-3, 1e6, config->expert_limit);
    const tn_json_value *alpha = tn_hf_find(reader, "swiglu_alpha");
    if (alpha != NULL && tn_hf_number(reader, "swiglu_alpha", 0.0, 1e6) != 1.702)
        tn_hf_fail(reader, alpha, TN_UNSUPPORTED, "is another factor than 1.702, which is not built");
    tn_hf_rope(reader, NULL, 150000.0, 1.0, TN_ROTARY_HALVES, &config->rope);
    tn_hf_windows(reader, tn_hf_integer_or(reader, "sliding_window", 1, 1 << 30, 128), 0, 2);
}

static void read_gguf(tn_gguf_reader *reader) {
    set_form(reader->config);
    tn_gguf_norm(reader, false);
    tn_gguf_rope(reader, TN_ROTARY_HALVES);
    reader->config->rope.keep_correction_range_fractional = true;
    tn_gguf_windows(reader, 2);
}

static const char *const hf_architectures[] = {"GptOssForCausalLM", NULL};
static const char *const gguf_architectures[] = {"gpt-oss", NULL};

static const tn_weight_names hf_names = {
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attention_norm = "model.layers.%d.input_layernorm",
    .mlp_norm = "model.layers.%d.post_attention_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .k = "model.layers.%d.self_attn.k_proj",
    .v = "model.layers.%d.self_attn.v_proj",
    .o = "model.layers.%d.self_attn.o_proj",
    .sinks = "model.layers.%d.self_attn.sinks=",
    .router = "model.layers.%d.mlp.router",
    .expert_gate_up = "model.layers.%d.mlp.experts.gate_up_proj=",
    .expert_down = "model.layers.%d.mlp.experts.down_proj=",
    .experts_are_transposed = true,
};

/* The norm before the experts has the name of another one. */
static const tn_weight_names gguf_names = TN_GGUF_NAMES("blk.%d.attn_norm", "blk.%d.post_attention_norm");

const tn_family tn_family_gpt_oss = {
    .name = "gpt_oss",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .gguf_names = &gguf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
