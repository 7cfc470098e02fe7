/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_events.h: what the block manager tells of itself, from the loop thread to whoever takes it (tenon/executor_stats.h).
 *
 * The loop records events and shows them once an iteration; takers see whole iterations. All functions that record accept NULL.
 * An event for which there is no memory is dropped: its id is missing, as when the buffer is too small.
 */
#ifndef TN_EXECUTOR_KV_EVENTS_H_
#define TN_EXECUTOR_KV_EVENTS_H_

#include "base/report.h"
#include "tenon/executor_stats.h"

/* max_events ≥ 1 are kept, the oldest are dropped. */
TN_MUST_CHECK tn_status tn_kv_events_create(int32_t max_events, const tn_allocator *allocator, tn_diag *diag,
                                            tn_kv_event_manager **out_manager);
void tn_kv_events_destroy(tn_kv_event_manager *manager); /* accepts NULL */

void tn_kv_events_created(tn_kv_event_manager *manager, int64_t num_blocks, int64_t num_host_slots);
/* parent_hash NULL: the root. A block after the last one of the event before joins it. */
void tn_kv_events_stored(tn_kv_event_manager *manager, const uint64_t *parent_hash, const tn_kv_event_block *block);
void tn_kv_events_removed(tn_kv_event_manager *manager, uint64_t hash);
/* level, priority: {old, new} or NULL */
void tn_kv_events_updated(tn_kv_event_manager *manager, uint64_t hash, const int32_t *level, const int32_t *priority);
void tn_kv_events_show(tn_kv_event_manager *manager);
/* Wakes takers for good. */
void tn_kv_events_stop(tn_kv_event_manager *manager);

#endif
