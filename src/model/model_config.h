/* SPDX-License-Identifier: Apache-2.0
 *
 * model_config.h: what a model is, whichever file said so. Read from config.json (hf_config.c) or GGUF metadata
 * (gguf_config.c), checked there; families turn it into a network.
 */
#ifndef TN_MODEL_MODEL_CONFIG_H_
#define TN_MODEL_MODEL_CONFIG_H_

#include "base/arena.h"
#include "functional/functional.h"
#include "model/quantization.h"

#define TN_MAX_END_IDS 16

/* Which linears have biases. GGUF does not say: there the file's tensors decide. */
typedef enum tn_bias_rule { TN_BIAS_AS_STORED = 0, TN_BIAS_NONE, TN_BIAS_REQUIRED } tn_bias_rule;

/* Where the norms of a layer's attention and MLP (f) stand. */
typedef enum tn_norm_order {
    TN_NORMS_BEFORE = 0, /* x += f(norm(x)) */
    TN_NORMS_AFTER,      /* x += norm(f(x)): OLMo 2 */
    TN_NORMS_AROUND,     /* x += norm'(f(norm(x))): Gemma 2 */
    TN_NORMS_OF_SUMS,    /* x = norm(x + f(x)): the first OPT */
} tn_norm_order;

typedef enum tn_residual_form {
    TN_RESIDUAL_SEQUENTIAL = 0,    /* attention, then the MLP of what it made */
    TN_RESIDUAL_PARALLEL,          /* x += attention(norm(x)) + mlp(norm'(x)) */
    TN_RESIDUAL_PARALLEL_ONE_NORM, /* the same with one norm */
} tn_residual_form;

typedef enum tn_qk_norm {
    TN_QK_NORM_NONE = 0,
    TN_QK_NORM_HEAD,  /* of each head, one scale [head_dim]: Qwen3 */
    TN_QK_NORM_HEADS, /* of each head, with a scale of its own [heads, head_dim]: Cohere */
    TN_QK_NORM_ROW,   /* of all heads together [heads · head_dim]: OLMo 2 */
} tn_qk_norm;

/* What each layer does with positions. */
typedef enum tn_layer_rope { TN_LAYER_ROPE = 0, TN_LAYER_ROPE_LOCAL, TN_LAYER_ROPE_NONE } tn_layer_rope;

typedef struct tn_model_config {
    const char *architecture; /* "LlamaForCausalLM", "llama" */
    const char *name;         /* for people; may be "" */
    int64_t vocab_size, hidden_size, intermediate_size, num_layers;
    int64_t num_heads, num_kv_heads, head_dim;
    int64_t v_head_dim;           /* of values; 0: head_dim */
    int64_t embedding_size;       /* where it is projected to hidden_size; 0: it is hidden_size */
    int64_t max_positions;        /* the longest sequence the model was made for */
    int64_t max_scaled_positions; /* and what its rotary scaling stretches that to; at least max_positions */
    bool tie_embeddings;
    bool head_is_optional; /* tied where the file has no head */
    int32_t bos_id;        /* −1: none */
    int32_t end_ids[TN_MAX_END_IDS];
    int num_end_ids;

    /* norms, residuals */
    double norm_epsilon;
    bool is_layer_norm;     /* LayerNorm; else RMS */
    tn_bias_rule norm_bias; /* of LayerNorm */
    double norm_offset;     /* is added to the stored scales: 1 for Gemma */
    tn_norm_order norm_order;
    tn_residual_form residual;
    bool residual_is_normed; /* BLOOM's apply_residual_connection_post_layernorm */
    bool has_embedding_norm, has_no_final_norm;
    bool norms_are_bare;                                 /* no scales */
    double embedding_scale, residual_scale, logit_scale; /* 0: 1 */
    double logit_soft_cap;                               /* 0: none */
    tn_bias_rule head_bias;
    bool has_unit_head; /* rows of the head count as if of length 1: Baichuan 2 */

    /* positions */
    tn_rope rope, local_rope;     /* theta 0: none */
    const uint8_t *layer_ropes;   /* tn_layer_rope of each layer; NULL: all the first */
    const int64_t *layer_windows; /* [num_layers], 0 = all; NULL: all 0 */
    bool has_learned_positions;
    int64_t position_offset; /* of the first row of the table that is used: 2 for OPT */
    double alibi_max_bias;   /* 0: no ALiBi */
    double alibi_scale;      /* of its slopes; 0: 1 */

    /* attention */
    double attention_scale;              /* of scores; 0: 1/√head_dim */
    bool scale_by_layer;                 /* GPT-2: scores of layer i are divided by i + 1 */
    double attention_soft_cap, qkv_clip; /* 0: none */
    tn_bias_rule qkv_bias, o_bias;
    bool qkv_is_by_heads; /* rows of a joint q, k, v: of each key/value head its query heads, k, v; else all of q, of k, of v */
    tn_qk_norm qk_norm;
    bool qk_norm_is_layer_norm;
    bool has_sinks;
    struct {                     /* keys and values out of one latent vector: DeepSeek; kv_rank 0: not so */
        int64_t q_rank, kv_rank; /* q_rank 0: queries straight from x */
        int64_t rope_dim;        /* of head_dim; these keys are shared by all heads */
        double norm_epsilon;     /* of the norms of the narrow vectors */
    } latent;

    /* MLP */
    tn_activation_type activation;
    bool squares_activation, has_plain_mlp; /* Nemotron's relu²; no gate */
    bool is_gate_joined;                    /* gate and up are one tensor, gate first */
    tn_bias_rule mlp_bias;
    int64_t num_experts, experts_per_token; /* 0: no experts */
    int64_t expert_size, shared_expert_size;
    const bool *layer_is_dense; /* [num_layers]: an MLP where others have experts; NULL: none */
    tn_route_type route;
    int64_t expert_groups, chosen_groups; /* experts come out of the best groups (TN_OP_ROUTE); 0, 1: of all */
    bool renormalizes_scores, has_router_bias, has_choice_bias, has_shared_gate, has_expert_bias;
    bool expert_gate_is_interleaved; /* gate and up are alternate columns of one [experts, in, out]: gpt-oss */
    bool expert_gate_is_joined;      /* gate and up are one [experts, out, in], gate first */
    double expert_scale;             /* of the scores; 0: 1 */
    double expert_limit;             /* gpt-oss: inputs of the activation are clamped to it; 0: none */
    tn_quantization quantization;    /* of a Hugging Face directory; NONE: each tensor is what it says */
} tn_model_config;

/* Columns of the embedding table and of the head. */
static inline int64_t tn_model_head_columns(const tn_model_config *config) {
    return config->embedding_size > 0 ? config->embedding_size : config->hidden_size;
}

struct tn_json;
struct tn_gguf;
struct tn_family;

/* Finds the family and fills the config; arrays in the arena.
 * TN_UNSUPPORTED   an architecture, or a field that changes results, that Tenon does not know: named
 * TN_INVALID_DATA  a value out of range or contradicting another */
TN_MUST_CHECK tn_status tn_model_config_from_hf(const char *directory, tn_arena *arena, tn_diag *diag, tn_model_config *out_config,
                                                const struct tn_family **out_family);
/* The same of config.json alone; `file` stands in messages. */
TN_MUST_CHECK tn_status tn_model_config_from_json(const struct tn_json *json, const char *file, tn_arena *arena, tn_diag *diag,
                                                  tn_model_config *out_config, const struct tn_family **out_family);
TN_MUST_CHECK tn_status tn_model_config_from_gguf(const struct tn_gguf *gguf, tn_arena *arena, tn_diag *diag, tn_model_config *out_config,
                                                  const struct tn_family **out_family);
/* Relations between fields that hold for every decoder: heads divide, dims are even where rotated, ids inside the vocabulary. */
TN_MUST_CHECK tn_status tn_model_config_check(const tn_model_config *config, const char *file, tn_diag *diag);

#endif
