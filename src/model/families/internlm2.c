/* SPDX-License-Identifier: Apache-2.0
 *
 * internlm2.c: InternLM 2 and 2.5: a Llama with q, k and v in one weight, those of a key/value head together, and names of its own.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_hf_sizes(reader, NULL);
    config->norm_epsilon = tn_hf_number_or(reader, "rms_norm_eps", 1e-30, 1.0, 1e-6);
    tn_hf_activation(reader, "hidden_act", "silu");
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = tn_hf_bias(reader, "bias", true);
    config->mlp_bias = TN_BIAS_NONE;
    config->qkv_is_by_heads = true;
    (void)tn_hf_has(reader, "attn_implementation");
    tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
}

/* The converter pulls q, k and v apart and permutes q and k as Llama's. */
static void read_gguf(tn_gguf_reader *reader) {
    tn_gguf_norm(reader, false);
    reader->config->activation = TN_ACTIVATION_SILU;
    tn_gguf_rope(reader, TN_ROTARY_INTERLEAVED);
}

static const char *const hf_architectures[] = {"InternLM2ForCausalLM", NULL};
static const char *const gguf_architectures[] = {"internlm2", NULL};

static const tn_weight_names hf_names = {
    .embedding = "model.tok_embeddings",
    .final_norm = "model.norm",
    .head = "output",
    .attention_norm = "model.layers.%d.attention_norm",
    .mlp_norm = "model.layers.%d.ffn_norm",
    .qkv = "model.layers.%d.attention.wqkv",
    .o = "model.layers.%d.attention.wo",
    .gate = "model.layers.%d.feed_forward.w1",
    .up = "model.layers.%d.feed_forward.w3",
    .down = "model.layers.%d.feed_forward.w2",
};

const tn_family tn_family_internlm2 = {
    .name = "internlm2",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
