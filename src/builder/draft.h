/* SPDX-License-Identifier: Apache-2.0
 *
 * draft.h: a plan while it is made: what lowering writes, tactic selection completes and emit.c turns into records.
 *
 * 1. Everything is in plan numbers already: symbols and tensors are those of their function, weights and states those of the
 *    plan. A problem's dims are its function's symbols.
 * 2. Nodes of `symbols` stand after their operands; node 0 is the constant 1.
 * 3. All memory is the draft's arena, but for the growing arrays.
 */
#ifndef TN_BUILDER_DRAFT_H_
#define TN_BUILDER_DRAFT_H_

#include "backend/backend.h"
#include "base/arena.h"
#include "base/memory.h"
#include "base/text.h"
#include "network/network.h"
#include "plan/plan_format.h"

/* What a named dimension may be at run time. */
typedef struct tn_dim_range {
    int64_t min, opt, max;
} tn_dim_range;

typedef struct tn_draft_tensor {
    const char *name, *role; /* role: "" if none */
    tn_dtype dtype;
    uint32_t space, place, rank, flags;
    uint32_t dims[TN_MAX_RANK], max_dims[TN_MAX_RANK];
    const char *dim_names[TN_MAX_RANK]; /* "" if none */
    uint32_t first_step, last_step;
    bool is_used;
} tn_draft_tensor;

typedef struct tn_draft_variant {
    uint32_t profile;
    int64_t bucket_min, bucket_max;
    const tn_tactic *tactic;
    size_t workspace_bytes;
} tn_draft_variant;

typedef struct tn_draft_step {
    tn_plan_step record; /* name, problem, refs and variants are filled by emit.c */
    const char *name;
    bool has_problem;
    tn_problem problem;
    tn_operand *operands; /* problem.operands, writable: layouts are chosen here */
    tn_plan_ref *refs;
    const tn_draft_variant *variants;
    uint32_t num_variants;
} tn_draft_step;

typedef struct tn_draft_function {
    const char *name;
    TN_ARRAY(tn_draft_tensor) tensors;
    TN_ARRAY(tn_sym_node) symbols;   /* INPUT_DIM, HOST_VALUE: a is a tensor of the function */
    TN_ARRAY(uint32_t) value_bounds; /* as many as symbols: of a HOST_VALUE, the symbol of its largest value; 0: none known */
    TN_ARRAY(tn_draft_step) steps;
    TN_ARRAY(tn_plan_profile) profiles;
    uint32_t num_profiles; /* at least 1 */
} tn_draft_function;

typedef struct tn_weight_reader {
    uint32_t function, step, operand;
} tn_weight_reader;

typedef struct tn_draft_weight {
    const tn_weights *weights;
    uint64_t hash;
    const char *name;
    bool is_host;            /* read by host steps: stays plain and in the plan */
    bool is_plain;           /* source of a copy: stays plain */
    const tn_layout *layout; /* NULL: plain */
    TN_ARRAY(tn_weight_reader) readers;
} tn_draft_weight;

typedef struct tn_draft {
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_arena arena;
    TN_ARRAY(tn_draft_function) functions;
    TN_ARRAY(tn_draft_weight) weights;
    TN_ARRAY(tn_network_state) states; /* tensors unused */
    tn_text *refused;                  /* JSON list under construction: tactics that said no, and why */
} tn_draft;

void tn_draft_init(tn_draft *draft, const tn_allocator *allocator, tn_diag *diag);
void tn_draft_deinit(tn_draft *draft);

/* The values of a function's symbols (as many as it has) with each profile dimension at what `point` says; a HOST_VALUE takes
 * its largest value, or 1 where there is no bound. The symbol bucket_symbol takes the value `bucket`; 0: as the point says. */
typedef enum tn_range_point { TN_AT_MIN, TN_AT_OPT, TN_AT_MAX } tn_range_point;
TN_MUST_CHECK tn_status tn_draft_evaluate(const tn_draft *draft, const tn_draft_function *function, uint32_t profile, tn_range_point point,
                                          uint32_t bucket_symbol, int64_t bucket, int64_t *values);

#endif
