/* SPDX-License-Identifier: Apache-2.0
 *
 * baichuan.c: Baichuan 1 and 2: a Llama with q, k and v one after another in one weight. The 13B form has ALiBi instead of rotary
 * embedding; the second generation's logits are of a head with rows of length 1.
 */
#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

enum { ALIBI_MAX_BIAS = 8, LARGE_LAYERS = 40, SECOND_VOCAB = 125696 };

/* Sizes decide, as in the code that came with the models: the 13B form calls its longest sequence by another name. */
static void read_hf(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    bool is_rotated = tn_hf_has(reader, "max_position_embeddings");
    tn_hf_sizes(reader, &(tn_hf_keys){.kv_heads = "", .positions = "max_position_embeddings|model_max_length"});
    config->norm_epsilon = tn_hf_number(reader, "rms_norm_eps", 1e-30, 1.0);
    tn_hf_activation(reader, "hidden_act", NULL);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", false);
    config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_NONE;
    config->has_unit_head = tn_hf_has(reader, "z_loss_weight") || config->vocab_size == SECOND_VOCAB;
    if (is_rotated)
        tn_hf_rope(reader, NULL, 1e4, 1.0, TN_ROTARY_HALVES, &config->rope);
    else
        config->alibi_max_bias = ALIBI_MAX_BIAS;
}

/* The converter pulls q, k and v apart and permutes q and k as Llama's, also where nothing is rotated. */
static void read_gguf(tn_gguf_reader *reader) {
    tn_model_config *config = reader->config;
    tn_gguf_norm(reader, false);
    config->activation = TN_ACTIVATION_SILU;
    config->has_unit_head = config->vocab_size == SECOND_VOCAB;
    tn_gguf_rope(reader, TN_ROTARY_INTERLEAVED);
    if (config->num_layers != LARGE_LAYERS) return;
    config->rope = (tn_rope){0};
    config->alibi_max_bias = ALIBI_MAX_BIAS;
}

static const char *const hf_architectures[] = {"BaichuanForCausalLM", "BaiChuanForCausalLM", NULL};
static const char *const gguf_architectures[] = {"baichuan", NULL};

static const tn_weight_names hf_names = {
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .attention_norm = "model.layers.%d.input_layernorm",
    .mlp_norm = "model.layers.%d.post_attention_layernorm",
    .qkv = "model.layers.%d.self_attn.W_pack",
    .o = "model.layers.%d.self_attn.o_proj",
    .gate = "model.layers.%d.mlp.gate_proj",
    .up = "model.layers.%d.mlp.up_proj",
    .down = "model.layers.%d.mlp.down_proj",
};

const tn_family tn_family_baichuan = {
    .name = "baichuan",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
