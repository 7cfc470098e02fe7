/* SPDX-License-Identifier: Apache-2.0
 *
 * builder_internal.h: the objects behind tenon/builder.h, and how a build goes through the files of this folder:
 *
 *     builder.c    the calls; a build from networks, in the order below
 *     profiles.c   ranges of all dynamic dimensions, every contradiction at once
 *     lower*.c     networks after passes → draft.h
 *     memory.c     what build and engine need, before any work
 *     select.c     a layout for each weight, a tactic for each step and range; timing.c measures, timing_cache.c remembers
 *     emit.c       draft → plan writer
 *     retune.c     a plan → draft with its weights as they are → select → emit
 */
#ifndef TN_BUILDER_BUILDER_INTERNAL_H_
#define TN_BUILDER_BUILDER_INTERNAL_H_

#include "base/text.h"
#include "builder/draft.h"
#include "plan/plan_writer.h"
#include "tenon/builder.h"

struct tn_builder {
    tn_allocator allocator_copy;
    const tn_allocator *allocator; /* NULL: malloc */
    tn_diag *diag;
    tn_device *device;
    bool owns_device;
};

typedef struct tn_profile_entry {
    char *name;  /* of an input, or of a dimension */
    bool is_dim; /* then only element 0 counts */
    tn_dims min, opt, max;
    int64_t *values; /* of an input's elements: all min, all opt, all max; NULL: ranges of dimensions */
    int num_values;
} tn_profile_entry;

struct tn_profile {
    tn_builder_config *config;
    TN_ARRAY(tn_profile_entry) entries;
};

struct tn_builder_config {
    tn_builder *builder;
    const tn_allocator *allocator;
    TN_ARRAY(tn_profile *) profiles;
    tn_activation_precision activations;
    int optimization_level;
    int64_t timing_budget_ms;
    bool batch_invariant, external_weights, strip, refit, host_fallback, has_progress;
    tn_progress progress;
    size_t memory_limit_bytes;
    tn_timing_cache *timing_cache;
    char *model_info, *output_path;
    bool out_of_memory; /* in a setter */
    bool invalid;       /* a setter refused its argument; the diag has it */
};

/* --- profiles ---------------------------------------------------------------------------------------------------------------- */

/* Ranges of network `n`: ranges[(profile · num_inputs + input) · TN_MAX_RANK + axis]; at least one profile. In `arena`. */
typedef struct tn_network_ranges {
    uint32_t num_profiles;
    size_t num_inputs;
    tn_dim_range *ranges;
    const tn_profile_entry **values; /* [num_profiles · num_inputs]: of elements; NULL: none */
} tn_network_ranges;
TN_MUST_CHECK tn_status tn_profiles_resolve(const tn_builder_config *config, tn_network *const *networks, int num_networks, tn_arena *arena,
                                            tn_diag *diag, tn_network_ranges *out_ranges);

/* --- lowering ---------------------------------------------------------------------------------------------------------------- */

typedef struct tn_lower_options {
    const tn_device *device;
    bool batch_invariant, host_fallback;
} tn_lower_options;
/* Adds one function. Layers that nothing can run are all reported: TN_UNSUPPORTED. */
TN_MUST_CHECK tn_status tn_lower_network(tn_draft *draft, tn_network *network, const tn_network_ranges *ranges,
                                         const tn_lower_options *options);

/* --- selection --------------------------------------------------------------------------------------------------------------- */

typedef struct tn_select_options {
    tn_device *device;
    int optimization_level;
    int64_t timing_budget_ms;
    bool batch_invariant;
    tn_timing_cache *cache; /* may be NULL */
    const tn_progress *progress;
    bool layouts_are_fixed; /* retune */
} tn_select_options;
/* Chooses layouts and variants. */
TN_MUST_CHECK tn_status tn_select_tactics(tn_draft *draft, const tn_select_options *options);

/* --- writing ------------------------------------------------------------------------------------------------------------------ */

/* Adds everything but the weights. */
TN_MUST_CHECK tn_status tn_emit_functions(const tn_draft *draft, tn_plan_writer *writer);
TN_MUST_CHECK tn_status tn_emit_weights(const tn_draft *draft, const tn_builder_config *config, tn_plan_writer *writer);
void tn_emit_meta(const tn_draft *draft, const tn_builder_config *config, tn_plan_writer *writer);

/* --- memory ------------------------------------------------------------------------------------------------------------------- */

/* TN_OUT_OF_MEMORY with the table in the message if building or running needs more than there is. */
TN_MUST_CHECK tn_status tn_builder_check_memory(const tn_draft *draft, tn_device *device, const tn_builder_config *config);

/* Adds meta and packs: the last part of build and retune. */
TN_MUST_CHECK tn_status tn_builder_write(tn_draft *draft, tn_builder *builder, const tn_builder_config *config, tn_plan_writer *writer,
                                         tn_plan **out_plan);
TN_MUST_CHECK tn_status tn_builder_select(tn_draft *draft, tn_builder *builder, const tn_builder_config *config, bool layouts_are_fixed);

/* TN_DUMP=steps or plan: prints to stderr. */
void tn_builder_dump(const tn_draft *draft, const char *what);

#endif
