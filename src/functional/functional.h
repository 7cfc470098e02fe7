/* SPDX-License-Identifier: Apache-2.0
 *
 * functional.h: the words that model families are written in. Each adds plain layers to a network (passes fuse them later)
 * and records its call (tenon/rewrite.h), so that a pattern can match "an attention" by its arguments: all tensors, under the
 * names of the parameters here, and what else decides its meaning.
 *
 * A decoder's network is made between tn_decoder_begin, which adds the inputs and states of the executor's contract (roles,
 * below), and tn_decoder_end, which adds the logits. All functions accept NULL tensors and weights of a failed call before and
 * return NULL; the network remembers the first error.
 *
 * Shapes: T num_tokens (all sequences of a step one after another), S num_seqs, B max_blocks, L num_logits.
 *     input_ids i32 [T]     positions i32 [T]      query_start i32 [S+1]   seq_slot i32 [S]   kv_length i32 [S]
 *     block_table.<group> i32 [S, B]               logits_rows i32 [L]  →  logits f32 [L, vocab], hidden_states f32 [L, n]
 */
#ifndef TN_FUNCTIONAL_FUNCTIONAL_H_
#define TN_FUNCTIONAL_FUNCTIONAL_H_

#include "network/network.h"

#define TN_MAX_KV_GROUPS 8

/* --- rotary position embedding ------------------------------------------------------------------------------------- */

typedef enum tn_rope_scaling {
    TN_ROPE_DEFAULT = 0,
    TN_ROPE_LINEAR,  /* frequencies / factor */
    TN_ROPE_DYNAMIC, /* NTK: the base grows once max_seq_len exceeds original_max_positions; fixed for an engine */
    TN_ROPE_LLAMA3,  /* by wavelength: kept, divided by factor, or blended (Llama 3.1's release) */
    TN_ROPE_YARN,    /* YaRN (arXiv 2309.00071) as Hugging Face computes it */
    TN_ROPE_LONG,    /* LongRoPE (arXiv 2402.13753): factors of their own for each pair, one set beyond original_max_positions */
} tn_rope_scaling;

typedef struct tn_rope {
    tn_rotary_type type;
    tn_rope_scaling scaling;
    int64_t dim; /* rotated part of a head, even; 0: no rotary embedding */
    double theta, factor;
    double low_freq_factor, high_freq_factor;  /* LLAMA3 */
    double beta_fast, beta_slow;               /* YARN */
    double attention_factor;                   /* on cos and sin; YARN, LONG. 0: by their papers from factor */
    bool keep_correction_range_fractional;     /* YARN: truncate = false */
    int64_t original_max_positions;            /* LLAMA3, YARN, DYNAMIC, LONG */
    const float *short_factors, *long_factors; /* LONG [dim / 2] */
    const float *frequency_factors;            /* [dim / 2], each frequency is divided by its own; NULL: none */
} tn_rope;

/* Inverse frequencies f32 [dim / 2] and the factor on cos and sin. Pure. */
void tn_rope_frequencies(const tn_rope *rope, int64_t max_seq_len, float *out_inverse_frequencies, double *out_scale);

/* --- single layers ---------------------------------------------------------------------------------------------------- */

/* x [T, k] · weight [n, k]ᵀ + bias [n] */
tn_tensor *tn_fn_linear(tn_network *network, tn_tensor *x, const tn_weights *weight, const tn_weights *bias, const char *name);
tn_tensor *tn_fn_rms_norm(tn_network *network, tn_tensor *x, const tn_weights *scale, double epsilon, const char *name);
tn_tensor *tn_fn_layer_norm(tn_network *network, tn_tensor *x, const tn_weights *scale, const tn_weights *bias, double epsilon,
                            const char *name);
tn_tensor *tn_fn_embedding(tn_network *network, tn_tensor *ids, const tn_weights *table, const char *name);
tn_tensor *tn_fn_add(tn_network *network, tn_tensor *a, tn_tensor *b, const char *name);
tn_tensor *tn_fn_multiply(tn_network *network, tn_tensor *a, tn_tensor *b, const char *name);
tn_tensor *tn_fn_activation(tn_network *network, tn_tensor *x, tn_activation_type type, const char *name);
/* x times a number; 0 and 1 leave it as it is. */
tn_tensor *tn_fn_scale(tn_network *network, tn_tensor *x, double factor, const char *name);
/* x within [low, high] */
tn_tensor *tn_fn_clip(tn_network *network, tn_tensor *x, double low, double high, const char *name);

/* --- decoders ------------------------------------------------------------------------------------------------------------ */

typedef struct tn_decoder_options {
    int64_t vocab_size, max_seq_len;
    int64_t num_layers;
    int64_t tokens_per_block; /* power of two, 16 to 256 */
    tn_dtype cache_dtype;     /* one of op/kv_geometry.h */
    int64_t num_kv_heads, k_dim, v_dim;
    const int64_t *layer_windows; /* [num_layers], 0 = all positions; NULL: all 0. Layers of one window share a cache group */
    int64_t sink_tokens;
    tn_activation_precision head_activations; /* of the product that makes the logits; AUTO: as all others */
    bool gives_hidden_states;                 /* x of tn_decoder_end is an output too */
} tn_decoder_options;

typedef struct tn_decoder {
    tn_network *network;
    tn_decoder_options options;
    int num_groups;
    int64_t group_windows[TN_MAX_KV_GROUPS], group_layers[TN_MAX_KV_GROUPS];
    tn_tensor *cache[TN_MAX_KV_GROUPS]; /* the present version */
    tn_tensor *block_table[TN_MAX_KV_GROUPS];
    int64_t next_layer[TN_MAX_KV_GROUPS];
    tn_tensor *ids, *positions, *query_start, *kv_length, *logits_rows; /* ids: after TOKEN_IDS */
} tn_decoder;

/* Adds inputs, states and TOKEN_IDS. The decoder borrows the arrays of options. */
void tn_decoder_begin(tn_network *network, const tn_decoder_options *options, tn_decoder *out_decoder);
/* The table that layers of one rope share; NULL where theta is 0. */
tn_tensor *tn_decoder_rotary(tn_decoder *decoder, const tn_rope *rope, const char *name);

/* Weights are [out, in]; biases and norms may be NULL. */
typedef struct tn_attention_weights {
    const tn_weights *q, *k, *v, *o;
    const tn_weights *q_bias, *k_bias, *v_bias, *o_bias;
    /* Over each head: [head_dim], or [heads, head_dim], a scale for each; or over all heads: [heads · head_dim]. Biases of
     * LayerNorm as [head_dim] only. */
    const tn_weights *q_norm, *k_norm, *q_norm_bias, *k_norm_bias;
    const tn_weights *sinks, *alibi_slopes; /* [num_heads] */
} tn_attention_weights;
typedef struct tn_attention_config {
    int64_t num_heads;
    int64_t layer; /* of the model; gives window and group */
    double scale;  /* 0: 1/√k_dim */
    double soft_cap, norm_epsilon;
    tn_normalization_type norm_type;
    double clip;             /* q, k and v are clamped to ±clip; 0: not */
    tn_tensor *rotary_table; /* of tn_decoder_rotary; NULL: not rotated */
    tn_rotary_type rotary;
} tn_attention_config;
/* The slopes of ALiBi (arXiv 2108.12409), the first 2^(−max_bias / heads) for a power of two of heads; for others the odd ones of
 * the next power of two follow. */
void tn_alibi_slopes(int64_t num_heads, double max_bias, float *out_slopes);
/* x [T, hidden] → [T, hidden] */
tn_tensor *tn_fn_attention(tn_decoder *decoder, tn_tensor *x, const tn_attention_weights *weights, const tn_attention_config *params,
                           const char *name);

/* Keys and values out of one narrow vector (DeepSeek-V2, arXiv 2405.04434): latent = norm(x · latentᵀ); keys of a head are
 * rotated_dim elements that all heads share, rotated, before those out of the latent; queries have the same order, and may come out
 * of a narrow vector of their own (q_a). The cache holds whole keys and values. */
typedef struct tn_latent_weights {
    const tn_weights *q_a, *q_a_bias, *q_a_norm, *q;                                   /* q_a NULL: q is of x */
    const tn_weights *latent, *latent_bias, *latent_norm, *k_rotated, *k_rotated_bias; /* [rank, hidden], [rotated_dim, hidden] */
    const tn_weights *k, *v, *o, *o_bias;                                              /* of the latent: [heads · …, rank] */
    int64_t rotated_dim;
} tn_latent_weights;
tn_tensor *tn_fn_latent_attention(tn_decoder *decoder, tn_tensor *x, const tn_latent_weights *weights, const tn_attention_config *params,
                                  const char *name);

/* down(activation(gate(x)) · up(x)) */
tn_tensor *tn_fn_gated_mlp(tn_network *network, tn_tensor *x, const tn_weights *gate, const tn_weights *up, const tn_weights *down,
                           tn_activation_type activation, const char *name);
/* Second(activation(first(x) + bias)) + bias */
tn_tensor *tn_fn_mlp(tn_network *network, tn_tensor *x, const tn_weights *first, const tn_weights *first_bias, const tn_weights *second,
                     const tn_weights *second_bias, tn_activation_type activation, const char *name);

typedef struct tn_moe_weights {
    const tn_weights *router, *router_bias;            /* [E, hidden], [E] */
    const tn_weights *choice_bias;                     /* [E]: counts in choosing, not in the scores; NULL */
    const tn_weights *gate, *up, *down;                /* [E, n, k] */
    const tn_weights *gate_bias, *up_bias, *down_bias; /* [E, n]; NULL */
} tn_moe_weights;
typedef struct tn_moe_config {
    int64_t num_experts, top_k;
    tn_route_type route;
    bool renormalize;
    double scale;                   /* 0: 1 */
    int64_t num_groups, top_groups; /* TN_OP_ROUTE's */
    tn_activation_type activation;
    double limit; /* 0: down(activation(gate) · up); else gpt-oss's: gate at most limit, up within ±limit, and up + 1 */
} tn_moe_config;
tn_tensor *tn_fn_moe(tn_network *network, tn_tensor *x, const tn_moe_weights *weights, const tn_moe_config *params, const char *name);

/* The rows that logits are wanted of, x [T, n] → [L, n]: before the final norm, so that it runs on those rows only. */
tn_tensor *tn_decoder_gather_rows(tn_decoder *decoder, tn_tensor *x);
/* logits = soft_cap · tanh(scale · (x · headᵀ + bias) · head_scale / soft_cap); scale and soft_cap 0, bias and head_scale [1, vocab]
 * NULL: without. head: [vocab, hidden]; marks "logits", and x as "hidden_states" where the options say so. */
void tn_decoder_end(tn_decoder *decoder, tn_tensor *x, const tn_weights *head, const tn_weights *head_bias, const tn_weights *head_scale,
                    double scale, double soft_cap);

/* The plan function "sample" (TN_OP_SAMPLE) as a network of its own. */
void tn_sample_network(tn_network *network, int64_t vocab_size, int64_t max_seq_len, int64_t max_log_probs);

#endif
