/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_maker.h: plans for tests, record by record, so that a test can also make what the builder never would.
 *
 *     tn_plan_maker maker;
 *     tn_plan_maker_init(&maker, "ref");
 *     tn_maker_begin_function(&maker, "forward");
 *     uint32_t n = tn_maker_input_dim(&maker, 0, 0);
 *     uint32_t x = tn_maker_tensor(&maker, "x", "float32", TN_SPACE_INPUT, 2, (uint32_t[]){n, four});
 *     …
 *     tn_maker_end_function(&maker);
 *     maker.tensors.data[x].rank = 9;                      // damage as wanted
 *     size_t size;
 *     void *bytes = tn_plan_maker_finish(&maker, &size);   // 64-byte aligned; checksums are right; free(bytes)
 *     tn_plan_maker_deinit(&maker);
 *
 * Without memory the test program ends.
 */
#ifndef TN_TESTS_SUPPORT_PLAN_MAKER_H_
#define TN_TESTS_SUPPORT_PLAN_MAKER_H_

#include "base/memory.h"
#include "base/text.h"
#include "plan/plan_format.h"

typedef struct tn_plan_maker {
    tn_plan_header header;
    tn_text strings, weight_data;
    const char *meta;
    TN_ARRAY(tn_plan_function) functions;
    TN_ARRAY(tn_plan_tensor) tensors;
    TN_ARRAY(tn_plan_symbol) symbols;
    TN_ARRAY(tn_plan_profile) profiles;
    TN_ARRAY(tn_plan_step) steps;
    TN_ARRAY(tn_plan_ref) refs;
    TN_ARRAY(tn_plan_variant) variants;
    TN_ARRAY(tn_plan_state) states;
    TN_ARRAY(tn_plan_weight) weights;
} tn_plan_maker;

void tn_plan_maker_init(tn_plan_maker *maker, const char *backend);
void tn_plan_maker_deinit(tn_plan_maker *maker);
void *tn_plan_maker_finish(tn_plan_maker *maker, size_t *out_size_bytes);
/* The same into a file. */
void tn_plan_maker_save(tn_plan_maker *maker, const char *path);
/* Makes the checksums right again after bytes were changed. */
void tn_plan_seal(void *bytes, size_t size_bytes);

uint32_t tn_maker_string(tn_plan_maker *maker, const char *string);
void tn_maker_begin_function(tn_plan_maker *maker, const char *name); /* with symbol 0 */
void tn_maker_end_function(tn_plan_maker *maker);

/* Indices inside the function. */
uint32_t tn_maker_symbol(tn_plan_maker *maker, const char *op, uint32_t a, uint32_t b, uint32_t c, int64_t value);
uint32_t tn_maker_const(tn_plan_maker *maker, int64_t value);
uint32_t tn_maker_input_dim(tn_plan_maker *maker, uint32_t tensor, uint32_t axis);
uint32_t tn_maker_tensor(tn_plan_maker *maker, const char *name, const char *dtype, uint32_t space, uint32_t rank, const uint32_t *dims);
void tn_maker_profile(tn_plan_maker *maker, uint32_t profile, uint32_t tensor, uint32_t axis, int64_t min, int64_t opt, int64_t max);
/* A LAUNCH with one variant for all of profile 0 (tactic NULL: a host step). refs: {space, id} pairs, num_refs of them. */
uint32_t tn_maker_launch(tn_plan_maker *maker, const char *name, const char *problem, const char *tactic, uint32_t tactic_version,
                         uint32_t num_refs, const uint32_t (*refs)[2]);
uint32_t tn_maker_transfer(tn_plan_maker *maker, const char *name, tn_step_kind kind, const uint32_t source[2],
                           const uint32_t destination[2]);
uint32_t tn_maker_loop(tn_plan_maker *maker, const char *name, uint32_t count, uint32_t condition, uint32_t body_end);

/* Index in the plan; inline, layout "plain", hash recorded. */
uint32_t tn_maker_weight(tn_plan_maker *maker, const char *name, const char *encoding, const char *dtype, uint32_t rank,
                         const int64_t *dims, const void *data, size_t size_bytes, const char *recipe);

#endif
