/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.h: what runs in a step. Pure: numbers in, numbers out.
 *
 * Capacity (GUARANTEED_NO_EVICT): a request starts only when the blocks that it may need to its very end are there beside those
 * promised to the running ones, so nothing that runs is ever paused. Requests start in order of priority, then of arrival; one
 * that does not fit holds back those behind it, or large requests would starve.
 *
 * Micro-batch: every running sequence that generates takes one token; what is left of the token budget goes to prompts, first
 * come first served, in chunks.
 */
#ifndef TN_EXECUTOR_SCHEDULER_H_
#define TN_EXECUTOR_SCHEDULER_H_

#include <stdbool.h>
#include <stdint.h>

/* promised: blocks that running sequences may still ask for. */
static inline bool tn_capacity_admits(int32_t num_available, int32_t promised, int32_t needed) {
    return needed <= num_available - promised;
}

typedef struct tn_micro_batch_limits {
    int32_t max_num_tokens;
    int32_t max_chunk_tokens; /* of one prompt in one step */
    int32_t chunk_unit;       /* a chunk that does not end its prompt ends at a multiple of this, if it can */
    bool allow_chunks;        /* false: a prompt runs whole or waits */
} tn_micro_batch_limits;

typedef struct tn_micro_batch_entry {
    int32_t num_computed; /* tokens already in the cache */
    int32_t num_waiting;  /* tokens to run: 1 while generating, 0 = nothing now */
    bool is_context;
    int32_t num_scheduled; /* out */
} tn_micro_batch_entry;

/* Fills num_scheduled of all entries; returns the sum. Entries come in the order of service. */
int32_t tn_micro_batch_schedule(tn_micro_batch_entry *entries, int32_t num_entries, const tn_micro_batch_limits *limits);

#endif
