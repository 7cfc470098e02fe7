/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/builder.h: turn a network into a plan: passes, tactic choice by measurement, memory planning, weight packing.
 *
 *     tn_builder *builder;            tn_builder_create(NULL, &builder);
 *     tn_builder_config *config;      tn_builder_config_create(builder, &config);
 *     tn_profile *p = tn_builder_config_add_profile(config);
 *     tn_profile_set_dims(p, "x", TN_DIMS(1, 784), TN_DIMS(32, 784), TN_DIMS(256, 784));
 *     tn_plan *plan;                  if (tn_builder_build(builder, net, config, &plan) != TN_OK) …
 *
 * A build does not depend on what ran before it: the same network, config, device and timing cache give the same bytes.
 * Not locked; two builders may work at once on different networks.
 */
#ifndef TENON_BUILDER_H_
#define TENON_BUILDER_H_

#include "tenon/device.h"
#include "tenon/network.h"
#include "tenon/plan.h"
#include "tenon/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_builder tn_builder;
typedef struct tn_builder_config tn_builder_config;
typedef struct tn_profile tn_profile;
typedef struct tn_timing_cache tn_timing_cache;

typedef struct tn_builder_options {
    size_t struct_size;            /* set by tn_builder_options_init */
    tn_diag *diag;                 /* borrowed until destroy; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: malloc */
    tn_device *device;             /* borrowed; NULL: a cpu device of the builder's own */
} tn_builder_options;
TN_API void tn_builder_options_init(tn_builder_options *options);
TN_API TN_MUST_CHECK tn_status tn_builder_create(const tn_builder_options *options, tn_builder **out_builder);
TN_API void tn_builder_destroy(tn_builder *builder); /* after its configs; accepts NULL */

TN_API TN_MUST_CHECK tn_status tn_builder_config_create(tn_builder *builder, tn_builder_config **out_config);
TN_API void tn_builder_config_destroy(tn_builder_config *config); /* owns its profiles; accepts NULL */

/* Ranges of the dynamic dimensions. A network without dynamic dimensions needs none; otherwise at least one. */
TN_API tn_profile *tn_builder_config_add_profile(tn_builder_config *config); /* NULL: out of memory */
/* min ≤ opt ≤ max in every axis, equal to the input's where that is fixed; equal dimension names must get equal ranges. Checked
 * at the build. Inputs without an entry: all of −1 must be named dimensions that another input gives. */
TN_API void tn_profile_set_dims(tn_profile *profile, const char *input, tn_dims min, tn_dims opt, tn_dims max);
/* Of an input whose elements shapes depend on (tn_tensor_is_shape): the range of each element, as many as it has. Optional: without
 * it any values may come, and kernels are chosen as for ones. */
TN_API void tn_profile_set_values(tn_profile *profile, const char *input, const int64_t *min, const int64_t *opt, const int64_t *max,
                                  int num_values);
/* The range of all dimensions of this name. */
TN_API void tn_profile_set_dim(tn_profile *profile, const char *dim_name, int64_t min, int64_t opt, int64_t max);

/* float32 … int8: what activations of matrix multiplications are stored as. Default auto (README, "numbers"). */
TN_API void tn_builder_config_set_activation_precision(tn_builder_config *config, tn_activation_precision precision);
/* 0: estimates only; 1–3 (default 1): time the best few; 4–5: time all within the budget. */
TN_API void tn_builder_config_set_optimization_level(tn_builder_config *config, int level);
TN_API void tn_builder_config_set_timing_budget_ms(tn_builder_config *config, int64_t budget_ms); /* default 1,000; 0: none */
/* Default: what the device's backend says (cpu: true). */
TN_API void tn_builder_config_set_batch_invariant(tn_builder_config *config, bool batch_invariant);
/* Weights stay where they are if their layout's bytes equal the source's; default false: the plan is self-contained. */
TN_API void tn_builder_config_set_external_weights(tn_builder_config *config, bool external);
TN_API void tn_builder_config_set_strip(tn_builder_config *config, bool strip); /* leave weight data out; refill by recipe */
TN_API void tn_builder_config_set_refit(tn_builder_config *config, bool refit); /* keep recipes; default true */
/* Layers that the device has no tactic for run on the host, with copies around them, instead of failing the build. Default false. */
TN_API void tn_builder_config_set_host_fallback(tn_builder_config *config, bool host_fallback);
TN_API void tn_builder_config_set_progress(tn_builder_config *config, const tn_progress *progress); /* copied */
/* Peak bytes that build and engine may need; 0 (default): what the machine has. The build stops before work if it is less. */
TN_API void tn_builder_config_set_memory_limit(tn_builder_config *config, size_t limit_bytes);
TN_API void tn_builder_config_set_timing_cache(tn_builder_config *config, tn_timing_cache *cache); /* borrowed; NULL: none */
/* A JSON object stored with the plan under "model"; copied. */
TN_API void tn_builder_config_set_model_info(tn_builder_config *config, const char *json);
/* Where the plan is written while it is built, so that weights need not fit in memory twice; NULL (default): memory. The file
 * appears under this name only when the build is done. */
TN_API void tn_builder_config_set_output_path(tn_builder_config *config, const char *path);

TN_API TN_MUST_CHECK tn_status tn_builder_build(tn_builder *builder, tn_network *network, const tn_builder_config *config,
                                                tn_plan **out_plan);
/* Several functions that share weights, one a network; names from the networks. */
TN_API TN_MUST_CHECK tn_status tn_builder_build_functions(tn_builder *builder, tn_network *const *networks, int num_networks,
                                                          const tn_builder_config *config, tn_plan **out_plan);
/* Chooses tactics again for this builder's device from the problems stored in the plan; weights are kept as they are.
 * TN_INCOMPATIBLE if a weight's layout has no reader here. */
TN_API TN_MUST_CHECK tn_status tn_builder_retune(tn_builder *builder, const tn_plan *plan, const tn_builder_config *config,
                                                 tn_plan **out_plan);

/* Measured times, kept between builds: a text file, one entry a line, editable and mergeable. A missing file is an empty cache;
 * entries of other devices and versions are kept and ignored; a damaged line is skipped with a warning. */
TN_API TN_MUST_CHECK tn_status tn_timing_cache_create(const tn_allocator *allocator, tn_timing_cache **out_cache);
TN_API void tn_timing_cache_destroy(tn_timing_cache *cache);
TN_API TN_MUST_CHECK tn_status tn_timing_cache_load(tn_timing_cache *cache, const char *path, tn_diag *diag); /* adds to it */
TN_API TN_MUST_CHECK tn_status tn_timing_cache_save(const tn_timing_cache *cache, const char *path, tn_diag *diag);
TN_API size_t tn_timing_cache_num_measured(const tn_timing_cache *cache); /* timings made since create, not loaded */

#ifdef __cplusplus
}
#endif
#endif
