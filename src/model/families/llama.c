/* SPDX-License-Identifier: Apache-2.0
 *
 * llama.c: Llama 1–3, Mistral, Qwen2, Qwen3, Mixtral, the text of Mistral 3 and what has their form: pre-norm RMS, rotary attention with grouped
 * key/value heads, gated MLP or a mixture of them.
 */
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

/* sliding_window and the switches that Qwen has beside it. */
static void read_windows(tn_hf_reader *reader, int64_t fallback, bool has_switch) {
    const tn_json_value *given = tn_hf_find(reader, "sliding_window");
    bool is_absent = tn_json_find(reader->json, "sliding_window") == NULL; /* null says none */
    int64_t window = given != NULL ? tn_hf_integer(reader, "sliding_window", 1, 1 << 30) : is_absent ? fallback : 0, first = 0;
    if (has_switch) {
        if (!tn_hf_bool(reader, "use_sliding_window", false)) window = 0;
        first = tn_hf_integer_or(reader, "max_window_layers", 0, 1 << 20, 28);
    }
    tn_hf_windows(reader, window, first, 0);
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    const char *name = config->architecture;
    bool is_qwen2 = strcmp(name, "Qwen2ForCausalLM") == 0, is_qwen3 = strcmp(name, "Qwen3ForCausalLM") == 0;
    bool is_mistral = strncmp(name, "Mistral", 7) == 0, is_mixtral = strcmp(name, "MixtralForCausalLM") == 0;
    bool is_llama = !is_qwen2 && !is_qwen3 && !is_mistral && !is_mixtral;
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_NONE;
    if (is_llama || is_qwen3) config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    if (is_llama) config->mlp_bias = tn_hf_bias(reader, "mlp_bias", false);
    if (is_qwen2) config->qkv_bias = TN_BIAS_REQUIRED;
    if (is_qwen3) config->qk_norm = TN_QK_NORM_HEAD;
    if (is_mixtral) {
        config->num_experts = tn_hf_integer(reader, "num_local_experts", 1, TN_HF_MAX_EXPERTS);
        config->experts_per_token = tn_hf_integer(reader, "num_experts_per_tok", 1, config->num_experts);
        config->expert_size = config->intermediate_size;
        config->route = TN_ROUTE_TOPK_SOFTMAX;
    }
    tn_hf_rope(reader, NULL, is_mixtral ? 1e6 : 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
    if (!is_llama) read_windows(reader, is_mixtral ? 0 : 4096, is_qwen2 || is_qwen3);
}

/* The converter permutes the rows of q and k of "llama" to pairs (2i, 2i + 1). */
static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    config->route = TN_ROUTE_TOPK_SOFTMAX;
    config->qk_norm = tn_gguf_is(reader, "qwen3") ? TN_QK_NORM_HEAD : TN_QK_NORM_NONE;
    tn_gguf_rope(reader, tn_gguf_is(reader, "llama") ? TN_ROTARY_INTERLEAVED : TN_ROTARY_HALVES);
}

static const char *const hf_architectures[] = {
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "MixtralForCausalLM",
    "Mistral3ForConditionalGeneration",
    NULL,
};
static const char *const gguf_architectures[] = {"llama", "qwen2", "qwen3", NULL};

const tn_weight_names tn_llama_names = {
    TN_LLAMA_NAMES,
    .router = "model.layers.%d.block_sparse_moe.gate",
    .expert_gate = "model.layers.%d.block_sparse_moe.experts.%d.w1",
    .expert_up = "model.layers.%d.block_sparse_moe.experts.%d.w3",
    .expert_down = "model.layers.%d.block_sparse_moe.experts.%d.w2",
    .text_prefix = "language_model.",
};

const tn_family tn_family_llama = {
    .name = "llama",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &tn_llama_names,
    .text_model_type = "mistral",
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
