/* SPDX-License-Identifier: Apache-2.0
 *
 * family.h: a model family is a table of names and one function that says its network in functionals. One file a family
 * under families/; a relative that differs by config fields needs none.
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
 * has none. Norm and linear names are without ".weight" and ".bias". */
typedef struct tn_weight_names {
    const char *embedding, *positions, *final_norm, *head;
    const char *attention_norm, *mlp_norm;
    const char *q, *k, *v, *qkv, *o, *q_norm, *k_norm;
    const char *gate, *up, *down;
    const char *router, *expert_gate, *expert_up, *expert_down; /* with expert number: one tensor an expert; without: stacked */
    bool linear_is_transposed;                                  /* stored [in, out] */
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

typedef struct tn_family {
    const char *name;
    const char *const *hf_architectures; /* NULL-terminated */
    const char *const *gguf_architectures;
    const tn_weight_names *hf_names, *gguf_names;
    tn_rotary_type hf_rotary;
    /* The rotary pairing of a GGUF architecture differs by how its converter permuted q and k. */
    tn_rotary_type (*gguf_rotary)(const char *architecture);
    void (*build)(tn_model_builder *builder);
} tn_family;

const tn_family *tn_family_find_hf(const char *architecture); /* NULL: unknown */
const tn_family *tn_family_find_gguf(const char *architecture);
const tn_family *const *tn_families(void); /* NULL-terminated */

/* A weight by its name pattern; `suffix` is "weight" or "bias". A missing one that is required is reported; linears come out
 * [out, in]. NULL patterns give NULL. */
const tn_weights *tn_model_weight(tn_model_builder *builder, const char *pattern, int64_t layer, const char *suffix, bool is_required);
const tn_weights *tn_model_linear(tn_model_builder *builder, const char *pattern, int64_t layer);
/* A linear's bias [size] by the rule; NULL: it has none. */
const tn_weights *tn_model_bias(tn_model_builder *builder, const char *pattern, int64_t layer, tn_bias_rule rule, int64_t size);
/* All experts' [n, k] as one [E, n, k]. */
const tn_weights *tn_model_experts(tn_model_builder *builder, const char *pattern, int64_t layer);
/* Checks a weight's shape against what the config says; reports and returns NULL if it differs. */
const tn_weights *tn_model_expect(tn_model_builder *builder, const tn_weights *weights, tn_dims dims);

extern const tn_family tn_family_llama, tn_family_gpt2;

#endif
