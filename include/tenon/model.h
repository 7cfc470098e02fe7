/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/model.h: from a model on disk to a plan in one call: import, networks, profile, build. To run it, make an engine of the
 * plan (tenon/engine.h) and start an executor (tenon/executor.h); its tokenizer is loaded from the same path (tenon/tokenizer.h).
 *
 *     tn_plan *plan;
 *     if (tn_model_build("SmolLM2.gguf", NULL, &plan) != TN_OK) return 1;      // the reason went to stderr
 *     tn_plan_save(plan, "engine/rank0.plan", NULL);
 *     tn_plan_destroy(plan);
 *
 * Any number of threads may build at once.
 */
#ifndef TENON_MODEL_H_
#define TENON_MODEL_H_

#include "tenon/builder.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 0 of a limit: the default in its comment. */
typedef struct tn_model_build_options {
    size_t struct_size;                  /* set by tn_model_build_options_init */
    tn_diag *diag;                       /* borrowed for the call; NULL: stderr */
    const tn_allocator *allocator;       /* copied; NULL: malloc */
    tn_device *device;                   /* borrowed for the call; NULL: a cpu device of the call's own */
    int64_t max_seq_len;                 /* the model's own, lowered (a warning says so) to what has a cache beside the weights in memory */
    int64_t max_num_tokens;              /* of one step; 2,048 */
    int64_t max_batch_size;              /* sequences of one step; 16 */
    int64_t tokens_per_block;            /* of the key/value cache; 32 */
    int64_t max_log_probs;               /* most likely tokens that sampling gives; 20 */
    tn_dtype cache_dtype;                /* TN_DTYPE_NONE (default): float32; else float16, bfloat16, int16, int8, float8_e4m3fn */
    tn_activation_precision activations; /* default auto */
    int optimization_level;              /* as tn_builder_config_set_optimization_level; default 1 */
    size_t memory_limit_bytes;           /* what the machine has */
    tn_timing_cache *timing_cache;       /* borrowed; NULL: none */
    tn_progress progress;                /* silent by default */
    const char *output_path;             /* as tn_builder_config_set_output_path; NULL: memory */
    bool hidden_states;                  /* the plan gives TN_OUTPUT_HIDDEN_STATES (tenon/request.h); default false */
} tn_model_build_options;
TN_API void tn_model_build_options_init(tn_model_build_options *options);

/* path: a GGUF file or a Hugging Face directory (config.json, *.safetensors).
 * TN_NOT_FOUND        no such file
 * TN_INVALID_DATA     damaged, or weights missing or of a wrong shape, all named
 * TN_UNSUPPORTED      an architecture, encoding or option that is not built, by name
 * TN_INVALID_ARGUMENT an option out of range
 * TN_CANCELLED        by progress
 * TN_OUT_OF_MEMORY    with the table of what was needed */
TN_API TN_MUST_CHECK tn_status tn_model_build(const char *path, const tn_model_build_options *options, tn_plan **out_plan);

#ifdef __cplusplus
}
#endif
#endif
