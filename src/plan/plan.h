/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h: a plan as its users inside see it: validated tables, used in place.
 *
 * The bytes come from a file (mapped), from memory that the caller gives, or from the section writer (plan_writer.h). All
 * checks of plan_format.h happen in tn_plan_open_*; whatever a tn_plan_view points to is safe to walk without checks, except
 * that weights' contents are not verified here (tn_plan_verify_weights, or the loader while it copies).
 */
#ifndef TN_PLAN_PLAN_H_
#define TN_PLAN_PLAN_H_

#include "base/arena.h"
#include "base/file.h"
#include "op/problem.h"
#include "plan/plan_format.h"
#include "tenon/plan.h"

typedef struct tn_plan_view {
    const tn_plan_header *header;
    const char *strings;
    const char *meta; /* JSON text */
    const tn_plan_function *functions;
    const tn_plan_tensor *tensors;
    const tn_plan_symbol *symbols;
    const tn_plan_profile *profiles;
    const tn_plan_step *steps;
    const tn_plan_ref *refs;
    const tn_plan_variant *variants;
    const tn_plan_state *states;
    const tn_plan_weight *weights;
    const uint8_t *weight_data; /* NULL: stripped, or all external */
    uint32_t num_functions, num_tensors, num_symbols, num_profiles, num_steps, num_refs, num_variants, num_states, num_weights;
    uint64_t weight_data_bytes, weight_data_offset; /* offset in the file */
} tn_plan_view;

/* Reference counted: engines keep the plan they were made from. */
TN_MUST_CHECK tn_status tn_plan_open_file(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_plan **out_plan);
/* bytes: owned by the caller and kept until the plan is destroyed (free_bytes NULL), or given away
 * (on failure they stay the caller's). 64-byte aligned. */
TN_MUST_CHECK tn_status tn_plan_open_memory(const void *bytes, size_t size_bytes, void (*free_bytes)(void *user, void *bytes), void *user,
                                            const tn_allocator *allocator, tn_diag *diag, tn_plan **out_plan);
tn_plan *tn_plan_retain(tn_plan *plan);
const tn_plan_view *tn_plan_get_view(const tn_plan *plan);
const char *tn_plan_path(const tn_plan *plan); /* "" if it is memory only */
/* The bytes and, for a file, the open file (for pread); NULL file: memory. */
const void *tn_plan_bytes(const tn_plan *plan, const tn_file **out_file);
/* Compares every inline weight's hash: TN_INVALID_DATA names the first that differs. */
TN_MUST_CHECK tn_status tn_plan_verify_weights(const tn_plan *plan, tn_diag *diag);

static inline const char *tn_plan_string(const tn_plan_view *view, uint32_t offset) {
    return view->strings + offset;
}

/* A problem from its text (the inverse of tn_problem_print; symbols as s<id>, constants as numbers are looked up or added by
 * `sym_const`). Everything in `arena`. TN_INVALID_DATA names the place. */

TN_MUST_CHECK tn_status tn_problem_parse(const char *text, tn_sym (*sym_const)(void *user, int64_t value), void *user, uint32_t num_symbols,
                                         tn_arena *arena, tn_diag *diag, tn_problem *out_problem);

#endif
