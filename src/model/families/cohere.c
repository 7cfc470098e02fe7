/* SPDX-License-Identifier: Apache-2.0
 *
 * cohere.c: Command-R (Cohere) and Command-R7B (Cohere 2): attention and MLP beside each other behind one LayerNorm without biases,
 * neighbouring elements rotated, scaled logits. Cohere 2 rotates only in layers with a window, three of four.
 */
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void set_form(tn_model_config *config) {
    config->is_layer_norm = config->qk_norm_is_layer_norm = true;
    config->residual = TN_RESIDUAL_PARALLEL_ONE_NORM;
    config->norm_bias = config->mlp_bias = TN_BIAS_NONE;
}

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    bool is_second = strcmp(config->architecture, "Cohere2ForCausalLM") == 0;
    set_form(config);
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number(reader, "layer_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "attention_bias", false);
    config->logit_scale = tn_hf_number_or(reader, "logit_scale", 1e-6, 1e6, 0.0625);
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_INTERLEAVED, &config->rope);
    if (!is_second) {
        if (tn_hf_bool(reader, "use_qk_norm", false)) config->qk_norm = TN_QK_NORM_HEADS;
        return;
    }
    int64_t pattern = tn_hf_integer_or(reader, "sliding_window_pattern|_sliding_window_pattern", 1, 1 << 16, 4);
    tn_hf_windows(reader, tn_hf_integer_or(reader, "sliding_window", 1, 1 << 30, 4096), 0, pattern);
    (void)tn_hf_has(reader, "order_of_interleaved_layers|rotary_pct|position_embedding_type|use_embedding_sharing|"
                            "use_gated_activation|use_parallel_block|use_parallel_embedding"); /* notes */
    config->layer_ropes = tn_model_ropes_of_windows(config, reader->arena, TN_LAYER_ROPE, TN_LAYER_ROPE_NONE);
    if (config->layer_ropes == NULL) tn_hf_fail_memory(reader, (size_t)config->num_layers);
}

static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    set_form(config);
    tn_gguf_norm(reader, true);
    config->activation = TN_ACTIVATION_SILU;
    config->logit_scale = tn_gguf_number_key_or(reader, "logit_scale", 1e-6, 1e6, 0.0625);
    tn_gguf_rope(reader, TN_ROTARY_INTERLEAVED);
    if (tn_gguf_is(reader, "command-r")) {
        if (tn_gguf_has_tensor(reader, "blk.0.attn_q_norm.weight")) config->qk_norm = TN_QK_NORM_HEADS;
        return;
    }
    tn_gguf_windows(reader, 4);
    config->layer_ropes = tn_model_ropes_of_windows(config, reader->arena, TN_LAYER_ROPE, TN_LAYER_ROPE_NONE);
    if (config->layer_ropes == NULL && reader->status == TN_OK)
        reader->status = tn_fail_memory(reader->diag, "the model's configuration", (size_t)config->num_layers);
}

static const char *const hf_architectures[] = {"CohereForCausalLM", "Cohere2ForCausalLM", NULL};
static const char *const gguf_architectures[] = {"command-r", "cohere2", NULL};

const tn_family tn_family_cohere = {
    .name = "cohere",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &tn_llama_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
