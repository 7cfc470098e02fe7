/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_writer.h: makes the bytes of a plan. The builder fills tables; finish packs the weights into the file or into memory,
 * adds checksums, and opens the result like any other plan.
 *
 *     tn_plan_writer writer;
 *     tn_plan_writer_init(&writer, "cpu", allocator, diag);
 *     function.name = tn_plan_writer_string(&writer, "forward");
 *     if (!tn_array_push(allocator, &writer.functions, function)) …
 *     status = tn_plan_writer_add_weight(&writer, &record, &source);
 *     status = tn_plan_writer_finish(&writer, &options, &plan);
 *     tn_plan_writer_deinit(&writer);
 *
 * Memory: to a file, one buffer of the largest weight or 32 MB, whichever is more; to memory, the plan itself. The same tables
 * and weights give the same bytes.
 */
#ifndef TN_PLAN_PLAN_WRITER_H_
#define TN_PLAN_PLAN_WRITER_H_

#include "base/memory.h"
#include "base/text.h"
#include "plan/plan.h"
#include "tenon/progress.h"
#include "weights/weights.h"

/* Where the bytes of an INLINE weight come from: a recipe in a layout, or bytes that are packed already. */
typedef struct tn_plan_weight_source {
    const tn_weights *recipe;
    const tn_layout *layout; /* NULL: plain */
    const void *packed;      /* record.size bytes; used if recipe is NULL */
} tn_plan_weight_source;

typedef struct tn_plan_writer {
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_plan_header header; /* backend, builder_version; fingerprint and flags are the caller's to set */
    tn_text strings;
    uint32_t *string_slots; /* offsets by hash; 0: empty */
    size_t num_string_slots, num_strings;
    tn_text meta; /* JSON; the caller appends it */
    TN_ARRAY(tn_plan_function) functions;
    TN_ARRAY(tn_plan_tensor) tensors;
    TN_ARRAY(tn_plan_symbol) symbols;
    TN_ARRAY(tn_plan_profile) profiles;
    TN_ARRAY(tn_plan_step) steps;
    TN_ARRAY(tn_plan_ref) refs;
    TN_ARRAY(tn_plan_variant) variants;
    TN_ARRAY(tn_plan_state) states;
    TN_ARRAY(tn_plan_weight) weights;
    TN_ARRAY(tn_plan_weight_source) weight_sources; /* as many as weights */
    uint64_t weight_data_bytes;
} tn_plan_writer;

void tn_plan_writer_init(tn_plan_writer *writer, const char *backend, const tn_allocator *allocator, tn_diag *diag);
void tn_plan_writer_deinit(tn_plan_writer *writer);

/* The offset of the text in STRINGS; each text stands there once. Failing for lack of memory is remembered and found by finish:
 * the offset is 0 then. */
uint32_t tn_plan_writer_string(tn_plan_writer *writer, const char *string);

/* Adds a record; an INLINE one gets its place among the weights and its hash when it is packed. record->size is the layout's. */
TN_MUST_CHECK tn_status tn_plan_writer_add_weight(tn_plan_writer *writer, const tn_plan_weight *record, const tn_plan_weight_source *source,
                                                  uint32_t *out_index);

typedef struct tn_plan_write_options {
    const char *path; /* NULL: memory */
    /* Runs task(task_user, index, worker) for each index below num_tasks, perhaps on many threads. NULL: one by one. */
    void (*run_tasks)(void *user, void (*task)(void *task_user, int64_t index, int worker), void *task_user, int64_t num_tasks);
    void *user;
    const tn_progress *progress; /* phase "pack weights", in bytes */
} tn_plan_write_options;

/* TN_CANCELLED: progress said so; no file is left behind. */
TN_MUST_CHECK tn_status tn_plan_writer_finish(tn_plan_writer *writer, const tn_plan_write_options *options, tn_plan **out_plan);

#endif
