/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/plan.h: the result of a build: functions, steps, packed weights. A plan is bytes; to run it, load it as an engine
 * (tenon/engine.h). Immutable and thread-safe.
 */
#ifndef TENON_PLAN_H_
#define TENON_PLAN_H_

#include "tenon/allocator.h"
#include "tenon/diag.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_plan tn_plan;

/* Opens a plan file to look at it or to retune it. Checks every table; errors as tn_engine_load. allocator by malloc. */
TN_API TN_MUST_CHECK tn_status tn_plan_load(const char *path, tn_diag *diag, tn_plan **out_plan);
TN_API void tn_plan_destroy(tn_plan *plan); /* accepts NULL; engines made from it keep what they need */

/* Writes the plan to a file: temporary file, fsync, rename. */
TN_API TN_MUST_CHECK tn_status tn_plan_save(const tn_plan *plan, const char *path, tn_diag *diag);
TN_API size_t tn_plan_size_bytes(const tn_plan *plan);

/* A JSON text about the plan: functions, steps with problems, tactics and workspaces, tensors with places in memory, weights
 * with layouts, refused tactics with reasons. The caller frees it with tn_string_free. */
TN_API TN_MUST_CHECK tn_status tn_plan_inspect(const tn_plan *plan, tn_diag *diag, char **out_json);
TN_API void tn_string_free(char *string);

#ifdef __cplusplus
}
#endif
#endif
