/* SPDX-License-Identifier: Apache-2.0
 *
 * model.h: a model on disk (a GGUF file or a Hugging Face directory) as config, weights and networks.
 *
 *     tn_model *model;
 *     tn_model_open("SmolLM2.gguf", allocator, diag, &model);
 *     tn_model_networks networks;
 *     tn_model_make_networks(model, &options, &networks);     // then tn_builder_build_functions
 *     tn_model_close(model);                                   // after the build: weights are read from it
 */
#ifndef TN_MODEL_MODEL_H_
#define TN_MODEL_MODEL_H_

#include "model/family.h"
#include "tenon/builder.h"

typedef struct tn_model tn_model;

/* TN_NOT_FOUND, TN_INVALID_DATA, TN_UNSUPPORTED with what and where. */
TN_MUST_CHECK tn_status tn_model_open(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_model **out_model);
/* A known shape with random weights, for measuring; dummy.h. */
TN_MUST_CHECK tn_status tn_model_open_dummy(const char *name, const tn_allocator *allocator, tn_diag *diag, tn_model **out_model);
void tn_model_close(tn_model *model); /* accepts NULL */
const tn_model_config *tn_model_get_config(const tn_model *model);
/* Where tn_tokenizer_load finds the tokenizer: the path itself, or NULL if the directory has none. */
const char *tn_model_tokenizer_path(const tn_model *model);
/* Bytes of all weights as stored. */
uint64_t tn_model_weight_bytes(const tn_model *model);

typedef struct tn_model_options {
    int64_t max_seq_len;      /* 0: the model's own */
    int64_t max_num_tokens;   /* of one step; 0: 2,048 */
    int64_t max_batch_size;   /* sequences of one step; 0: 16 */
    int64_t tokens_per_block; /* 0: 32 */
    tn_dtype cache_dtype;     /* one of op/kv_geometry.h; NONE: float32 (ARCHITECTURE.md, "numbers", says why not float16) */
    tn_dtype float_dtype;     /* how float matrices are kept; NONE: as stored */
    tn_activation_precision activations;
    int64_t max_log_probs; /* K of the sampler; 0: 20 */
    bool hidden_states;    /* `forward` gives them too */
    tn_mapping mapping;
} tn_model_options;
void tn_model_options_init(tn_model_options *options);
/* Bytes of cache that a token takes; NONE: with the default type. */
int64_t tn_model_cache_token_bytes(const tn_model *model, tn_dtype cache_dtype);

typedef struct tn_model_networks {
    tn_network *forward, *sample;
    char *info; /* JSON object for tn_builder_config_set_model_info: what the executor must know (model_info.h) */
} tn_model_networks;
/* TN_INVALID_ARGUMENT names an option out of range; weights missing or of a wrong shape: TN_INVALID_DATA, all of them at once. */
TN_MUST_CHECK tn_status tn_model_make_networks(const tn_model *model, const tn_model_options *options, tn_diag *diag,
                                               tn_model_networks *out_networks);
void tn_model_networks_deinit(const tn_model *model, tn_model_networks *networks);
/* One profile over num_tokens, num_seqs, num_logits and max_blocks of the functions above. */
void tn_model_set_profile(const tn_model *model, const tn_model_options *options, tn_builder_config *config);

#endif
