/* SPDX-License-Identifier: Apache-2.0
 *
 * micro_batch.h: how many tokens of which sequence run in a step. Pure: numbers in, numbers out.
 *
 * Every running sequence that generates takes one token (for each beam); what is left of the token budget goes to prompts, in chunks: first come
 * first served, or all by one unit in turn.
 */
#ifndef TN_EXECUTOR_MICRO_BATCH_H_
#define TN_EXECUTOR_MICRO_BATCH_H_

#include <stdbool.h>
#include <stdint.h>

#include "tenon/executor.h"

typedef struct tn_micro_batch_limits {
    int32_t max_num_tokens;
    int32_t max_chunk_tokens; /* of one prompt in one step */
    int32_t chunk_unit;       /* a chunk that does not end its prompt ends at a multiple of this, if it can */
    bool allow_chunks;        /* false: a prompt runs whole or waits */
    tn_chunking_policy policy;
} tn_micro_batch_limits;

typedef struct tn_micro_batch_entry {
    int32_t num_computed; /* tokens already in the cache */
    int32_t num_waiting;  /* tokens to run: 1 while generating, 0 = nothing now */
    int32_t width;        /* rows that run them side by side: beams; else 1. All or none run */
    bool is_context;
    int32_t num_scheduled; /* out */
} tn_micro_batch_entry;

/* Fills num_scheduled of all entries; returns the sum over all rows. Entries come in the order of service. */
int32_t tn_micro_batch_schedule(tn_micro_batch_entry *entries, int32_t num_entries, const tn_micro_batch_limits *limits);

#endif
