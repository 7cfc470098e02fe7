/* SPDX-License-Identifier: Apache-2.0
 *
 * model_config.h: what a model is, whichever file said so. Read from config.json (hf_config.c) or GGUF metadata
 * (gguf_config.c), checked there; families turn it into a network.
 */
#ifndef TN_MODEL_MODEL_CONFIG_H_
#define TN_MODEL_MODEL_CONFIG_H_

#include "base/arena.h"
#include "functional/functional.h"

#define TN_MAX_END_IDS 16

/* Which linears have biases. GGUF does not say: there the file's tensors decide. */
typedef enum tn_bias_rule { TN_BIAS_AS_STORED = 0, TN_BIAS_NONE, TN_BIAS_REQUIRED } tn_bias_rule;

typedef struct tn_model_config {
    const char *architecture; /* "LlamaForCausalLM", "llama" */
    const char *name;         /* for people; may be "" */
    int64_t vocab_size, hidden_size, intermediate_size, num_layers;
    int64_t num_heads, num_kv_heads, head_dim;
    int64_t max_positions;        /* the longest sequence the model was made for */
    int64_t max_scaled_positions; /* and what its rotary scaling stretches that to; at least max_positions */
    double norm_epsilon;
    tn_activation_type activation;
    bool tie_embeddings;
    bool has_qk_norm;     /* RMS norms on the heads of q and k: Qwen3 */
    bool scale_by_layer;  /* GPT-2: attention scores of layer i are divided by i + 1 */
    bool scale_attention; /* scores are divided by √head_dim */
    tn_bias_rule qkv_bias, o_bias, mlp_bias;
    tn_rope rope;
    const int64_t *layer_windows; /* [num_layers], 0 = all; NULL: all 0 */
    int64_t num_experts, experts_per_token;
    int32_t bos_id; /* −1: none */
    int32_t end_ids[TN_MAX_END_IDS];
    int num_end_ids;
} tn_model_config;

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
