/* SPDX-License-Identifier: Apache-2.0
 *
 * family.h: a model family is a table of names, and how its configuration is read into tn_model_config;
 * tn_transformer_build says every form that the configuration has in functionals. One file a family under
 * families/; a relative that differs by config fields needs none.
 */
#ifndef TN_MODEL_FAMILY_H_
#define TN_MODEL_FAMILY_H_

#include "model/model_config.h"

/* Ranks that share the work (tensor, pipeline, expert parallel). All sizes are 1 today; others are refused by name. */
typedef struct tn_mapping {
    int tp_size, tp_rank, pp_size, pp_rank, ep_size, ep_rank;
} tn_mapping;
tn_mapping tn_mapping_single(void);

/* Where a family's weights are called what: a name with %d for the layer (and a second for the expert), NULL where the family
 * has none. Names are without ".weight" and ".bias"; one that ends in "=" is the whole name, without the "=" (its bias is called
 * "name_bias"). Of "a|b" the first counts that the file has. */
typedef struct tn_weight_names {
    const char *embedding, *embedding_norm, *positions, *project_in, *project_out, *final_norm, *head;
    const char *attention_norm, *attention_post_norm, *mlp_norm, *mlp_post_norm;
    const char *q, *k, *v, *qkv, *o, *q_norm, *k_norm, *sinks;
    const char *q_a, *q_a_norm, *q_b, *kv_a, *kv_a_norm, *kv_b; /* of latent attention */
    const char *k_b, *v_b;                                      /* instead of kv_b: [heads, kv_rank, k], [heads, v, kv_rank] */
    const char *gate, *up, *gate_up, *down;
    const char *router, *choice_bias;                                   /* choice_bias: a whole name */
    const char *expert_gate, *expert_up, *expert_gate_up, *expert_down; /* with expert number: one tensor an expert; without: stacked */
    const char *shared_gate, *shared_up, *shared_down, *shared_router;
    bool linear_is_transposed;   /* stored [in, out] */
    bool experts_are_transposed; /* stacked ones are stored [E, in, out] */
    const char *bare_prefix;     /* that checkpoints of the model without a head lack */
    const char *text_prefix;     /* that checkpoints put before where they hold towers for images beside the decoder */
} tn_weight_names;

/* What build() works with. */
typedef struct tn_model_builder {
    tn_network *network;
    const tn_model_config *config;
    const tn_weight_names *names;
    tn_weight_source *source;
    tn_decoder decoder;
    tn_dtype float_dtype; /* float matrices are kept as this; NONE: as stored */
    tn_mapping mapping;
} tn_model_builder;

struct tn_hf_reader;
struct tn_gguf_reader;

typedef struct tn_family {
    const char *name;
    const char *const *hf_architectures; /* NULL-terminated */
    const char *const *gguf_architectures;
    const tn_weight_names *hf_names, *gguf_names; /* gguf_names NULL: tn_gguf_names */
    /* Of "…ForConditionalGeneration": the decoder's fields stand in text_config, of this model_type, which may leave out those of
     * text_defaults (JSON). NULL: the family has no such checkpoints, or nothing may be left out. */
    const char *text_model_type, *text_defaults;
    void (*read_hf)(struct tn_hf_reader *reader);
    void (*read_gguf)(struct tn_gguf_reader *reader);
} tn_family;

/* What llama.cpp's converter calls the tensors of nearly every architecture. */
extern const tn_weight_names tn_gguf_names;
/* What Hugging Face calls those of Llama, and of families that kept its names. */
extern const tn_weight_names tn_llama_names;
/* The beginning of such a table that goes on with names of its own. */
#define TN_LLAMA_NAMES                                                                                                                     \
    .embedding = "model.embed_tokens", .final_norm = "model.norm", .head = "lm_head", .attention_norm = "model.layers.%d.input_layernorm", \
    .mlp_norm = "model.layers.%d.post_attention_layernorm", .q = "model.layers.%d.self_attn.q_proj",                                       \
    .k = "model.layers.%d.self_attn.k_proj", .v = "model.layers.%d.self_attn.v_proj", .o = "model.layers.%d.self_attn.o_proj",             \
    .q_norm = "model.layers.%d.self_attn.q_norm", .k_norm = "model.layers.%d.self_attn.k_norm", .gate = "model.layers.%d.mlp.gate_proj",   \
    .up = "model.layers.%d.mlp.up_proj", .down = "model.layers.%d.mlp.down_proj"
/* What it calls those of OLMo 2, whose norms stand behind attention and MLP. */
extern const tn_weight_names tn_olmo2_names;
/* tn_gguf_names with other names for two norms. */
#define TN_GGUF_NAMES(attention_norm_name, mlp_norm_name)                                                                                 \
    {                                                                                                                                     \
        .embedding = "token_embd", .embedding_norm = "token_embd_norm", .positions = "position_embd", .final_norm = "output_norm",        \
        .head = "output", .attention_norm = attention_norm_name, .attention_post_norm = "blk.%d.post_attention_norm",                     \
        .mlp_norm = mlp_norm_name, .mlp_post_norm = "blk.%d.post_ffw_norm", .q = "blk.%d.attn_q", .k = "blk.%d.attn_k",                   \
        .v = "blk.%d.attn_v", .qkv = "blk.%d.attn_qkv", .o = "blk.%d.attn_output", .q_norm = "blk.%d.attn_q_norm",                        \
        .k_norm = "blk.%d.attn_k_norm", .sinks = "blk.%d.attn_sinks", .q_a = "blk.%d.attn_q_a", .q_a_norm = "blk.%d.attn_q_a_norm",       \
        .q_b = "blk.%d.attn_q_b", .kv_a = "blk.%d.attn_kv_a_mqa", .kv_a_norm = "blk.%d.attn_kv_a_norm", .kv_b = "blk.%d.attn_kv_b",       \
        .k_b = "blk.%d.attn_k_b", .v_b = "blk.%d.attn_v_b", .gate = "blk.%d.ffn_gate", .up = "blk.%d.ffn_up", .gate_up = "blk.%d.ffn_up", \
        .down = "blk.%d.ffn_down", .router = "blk.%d.ffn_gate_inp",                                                                       \
        .choice_bias = "blk.%d.exp_probs_b.bias=", .expert_gate = "blk.%d.ffn_gate_exps", .expert_up = "blk.%d.ffn_up_exps",              \
        .expert_down = "blk.%d.ffn_down_exps", .shared_gate = "blk.%d.ffn_gate_shexp", .shared_up = "blk.%d.ffn_up_shexp",                \
        .shared_down = "blk.%d.ffn_down_shexp", .shared_router = "blk.%d.ffn_gate_inp_shexp"                                              \
    }

const tn_family *tn_family_find_hf(const char *architecture); /* NULL: unknown */
const tn_family *tn_family_find_gguf(const char *architecture);
const tn_family *const *tn_families(void); /* NULL-terminated */

/* A weight by its name pattern; `suffix` is "weight" or "bias". A missing one that is required is reported; linears come out
 * [out, in]. NULL patterns give NULL. */
const tn_weights *tn_model_weight(tn_model_builder *builder, const char *pattern, int64_t layer, const char *suffix, bool is_required);
bool tn_model_has_weight(tn_model_builder *builder, const char *pattern, int64_t layer, const char *suffix);
/* A linear's [rows, columns]. */
const tn_weights *tn_model_linear(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t rows, int64_t columns);
/* A linear's bias [size] by the rule; NULL: it has none. */
const tn_weights *tn_model_bias(tn_model_builder *builder, const char *pattern, int64_t layer, tn_bias_rule rule, int64_t size);
/* A norm's scales, the configuration's norm_offset added; of [heads, size] each head's may be a tensor of its own. */
const tn_weights *tn_model_norm(tn_model_builder *builder, const char *pattern, int64_t layer, tn_dims dims);
/* All experts' [n, k] as one [E, n, k]. */
const tn_weights *tn_model_experts(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t rows, int64_t columns);
/* [heads, rows, columns], in the file or (is_transposed) with columns before rows, as [heads · rows, columns]. */
const tn_weights *tn_model_heads(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t rows, int64_t columns,
                                 bool is_transposed);
/* The gates (first 0) or ups (first 1) of all experts, where they are halves of one [E, 2n, k]. */
const tn_weights *tn_model_joined_experts(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t first, int64_t rows,
                                          int64_t columns);
/* The gates (first 0) or ups (first 1) of all experts, where they are alternate columns of one [E, k, 2n]; and their biases. */
const tn_weights *tn_model_expert_half(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t first, int64_t rows,
                                       int64_t columns);
const tn_weights *tn_model_expert_half_bias(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t first, int64_t rows);
/* Ropes of layers with a window and of those without. NULL: out of memory. */
const uint8_t *tn_model_ropes_of_windows(const tn_model_config *config, tn_arena *arena, tn_layer_rope with_window, tn_layer_rope without);
/* Checks a weight's shape against what the config says; reports and returns NULL if it differs. */
const tn_weights *tn_model_expect(tn_model_builder *builder, const tn_weights *weights, tn_dims dims);
/* Rows [begin, end) of a matrix or elements of a vector. */
const tn_weights *tn_model_rows(tn_model_builder *builder, const tn_weights *weights, int64_t begin, int64_t end);

/* Every form of decoder that tn_model_config can say. */
void tn_transformer_build(tn_model_builder *builder);

extern const tn_family tn_family_llama, tn_family_gpt2, tn_family_gpt_bigcode, tn_family_gemma, tn_family_gemma2, tn_family_phi,
    tn_family_phi3, tn_family_gptj, tn_family_gpt_neox, tn_family_falcon, tn_family_opt, tn_family_bloom, tn_family_qwen_moe,
    tn_family_starcoder2, tn_family_olmo, tn_family_olmo2, tn_family_granite, tn_family_cohere, tn_family_stablelm, tn_family_smollm3,
    tn_family_nemotron, tn_family_mpt, tn_family_gpt_oss, tn_family_deepseek, tn_family_exaone, tn_family_exaone4, tn_family_internlm2,
    tn_family_baichuan, tn_family_glm, tn_family_chatglm, tn_family_glm4_moe;

#endif
