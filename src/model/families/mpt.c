/* SPDX-License-Identifier: Apache-2.0
 *
 * mpt.c: MPT: ALiBi, LayerNorm without biases, q, k and v in one weight, plain MLP, no biases.
 */
#include <string.h>

#include "model/family.h"
#include "model/gguf_reader.h"
#include "model/hf_reader.h"

enum { ALIBI_MAX_BIAS = 8 };

static void set_form(tn_model_config *config) {
    config->is_layer_norm = config->has_plain_mlp = true;
    config->norm_bias = config->qkv_bias = config->o_bias = config->mlp_bias = TN_BIAS_NONE;
    config->activation = TN_ACTIVATION_GELU_ERF;
}

static tn_status check_attention_keys(const tn_json_value *attention, tn_diag *diag) {
    static const char *const known[] = {"alibi",    "alibi_bias_max", "attn_impl", "attn_pdrop",    "attn_type",
                                        "clip_qkv", "prefix_lm",      "qk_ln",     "softmax_scale", NULL};
    for (size_t i = 0; i < tn_json_count(attention); i++) {
        const tn_json_value *member = tn_json_at(attention, i);
        const char *const *key = known;
        while (*key != NULL && strcmp(*key, tn_json_key(member, NULL)) != 0) key++;
        if (*key == NULL && !tn_hf_is_harmless(member))
            return tn_json_fail(member, diag, TN_UNSUPPORTED, "is a field that Tenon does not know; it could change the results");
    }
    return TN_OK;
}

static void read_attention(tn_hf_reader *reader) {
    tn_model_config *config = reader->config;
    const tn_json_value *attention = tn_hf_find(reader, "attn_config");
    config->alibi_max_bias = ALIBI_MAX_BIAS;
    if (attention == NULL || reader->status != TN_OK) return;
    bool has_alibi = true, norms_qk = false, is_prefix = false;
    tn_diag *diag = reader->diag;
    tn_status status = tn_json_expect(attention, TN_JSON_OBJECT, diag);
    double max_bias = ALIBI_MAX_BIAS;
    if (status == TN_OK) status = tn_json_get_number_or(attention, "alibi_bias_max", 1e-3, 1e6, ALIBI_MAX_BIAS, diag, &max_bias);
    if (status == TN_OK) status = tn_json_get_number_or(attention, "clip_qkv", 1e-6, 1e6, 0.0, diag, &config->qkv_clip);
    if (status == TN_OK) status = tn_json_get_number_or(attention, "softmax_scale", 1e-6, 1e6, 0.0, diag, &config->attention_scale);
    if (status == TN_OK) status = tn_json_get_bool_or(attention, "alibi", true, diag, &has_alibi);
    if (status == TN_OK) status = tn_json_get_bool_or(attention, "qk_ln", false, diag, &norms_qk);
    if (status == TN_OK) status = tn_json_get_bool_or(attention, "prefix_lm", false, diag, &is_prefix);
    const char *type = "";
    if (status == TN_OK) status = check_attention_keys(attention, diag);
    if (status == TN_OK) status = tn_json_get_string_or(attention, "attn_type", "multihead_attention", diag, &type);
    const char *other = !has_alibi ? "alibi false" : norms_qk ? "qk_ln true" : is_prefix ? "prefix_lm true" : NULL;
    if (max_bias != ALIBI_MAX_BIAS) other = "an alibi_bias_max other than 8"; /* which transformers passes over */
    if (strcmp(type, "multihead_attention") != 0) other = "another attn_type than multihead_attention";
    if (status == TN_OK && other != NULL) status = tn_json_fail(attention, diag, TN_UNSUPPORTED, "has %s, which is not built", other);
    reader->status = status;
}

static void read_hf(tn_hf_reader *reader) {
    static const tn_hf_keys keys = {
        .hidden = "d_model", .layers = "n_layers", .heads = "n_heads", .kv_heads = "", .inner = "", .positions = "max_seq_len"};
    tn_model_config *config = reader->config;
    set_form(config);
    tn_hf_sizes(reader, &keys);
    config->intermediate_size = config->hidden_size * tn_hf_integer_or(reader, "expansion_ratio", 1, 1024, 4);
    config->norm_epsilon = tn_hf_number_or(reader, "layer_norm_epsilon", 1e-30, 1.0, 1e-5);
    config->tie_embeddings = tn_hf_bool(reader, "tie_word_embeddings", true);
    tn_hf_require_bool(reader, "no_bias", true, "is false: biases are not built for MPT");
    (void)tn_hf_has(reader, "learned_pos_emb|norm_type|embedding_fraction|verbose|init_config|tokenizer_name"); /* of its trainer */
    read_attention(reader);
}

static void read_gguf(tn_gguf_reader *reader) {
    set_form(reader->config);
    tn_gguf_norm(reader, true);
    reader->config->qkv_clip = tn_gguf_number_key_or(reader, "attention.clamp_kqv", 0.0, 1e6, 0.0);
    reader->config->alibi_max_bias = tn_gguf_number_key_or(reader, "attention.max_alibi_bias", 0.0, 1e6, 0.0);
}

static const char *const hf_architectures[] = {"MptForCausalLM", "MPTForCausalLM", NULL};
static const char *const gguf_architectures[] = {"mpt", NULL};

static const tn_weight_names hf_names = {
    .embedding = "transformer.wte",
    .final_norm = "transformer.norm_f",
    .head = "lm_head",
    .attention_norm = "transformer.blocks.%d.norm_1",
    .mlp_norm = "transformer.blocks.%d.norm_2",
    .qkv = "transformer.blocks.%d.attn.Wqkv",
    .o = "transformer.blocks.%d.attn.out_proj",
    .up = "transformer.blocks.%d.ffn.up_proj",
    .down = "transformer.blocks.%d.ffn.down_proj",
};

const tn_family tn_family_mpt = {
    .name = "mpt",
    .hf_architectures = hf_architectures,
    .gguf_architectures = gguf_architectures,
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
};
