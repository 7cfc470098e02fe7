/* SPDX-License-Identifier: Apache-2.0
 *
 * stats.h: the rings of statistics that have not been taken yet. Under the executor's lock.
 */
#ifndef TN_EXECUTOR_STATS_H_
#define TN_EXECUTOR_STATS_H_

#include "base/memory.h"
#include "executor/sequence.h"
#include "tenon/executor_stats.h"

/* An iteration as the ring keeps it: the time is made a text when it is taken. */
typedef struct tn_iteration_record {
    int64_t wall_ns;
    tn_iteration_stats stats;
} tn_iteration_record;

struct tn_request_stats_list {
    tn_allocator allocator;
    uint64_t iter;
    TN_ARRAY(tn_request_stats) requests;
    struct tn_request_stats_list *next;
};

typedef struct tn_stats {
    const tn_allocator *allocator;
    tn_iteration_record *iterations; /* [max_iterations] ring */
    int32_t max_iterations, first_iteration, num_iterations;
    int32_t max_lists, num_lists;
    tn_request_stats_list *first_list, *last_list;
    tn_request_stats_list *open; /* of the iteration at hand; NULL: not kept, or out of memory */
    /* since the last record */
    int32_t num_new_active, num_completed;
    double queue_latency_ms;
} tn_stats;

TN_MUST_CHECK bool tn_stats_init(tn_stats *stats, int32_t max_iterations, int32_t max_lists, const tn_allocator *allocator,
                                 tn_arena *arena);
void tn_stats_deinit(tn_stats *stats);
/* Keeps an iteration; fills in what was counted since the last one. */
void tn_stats_add_iteration(tn_stats *stats, const tn_iteration_stats *iteration);
/* A request of the iteration at hand. Out of memory: it is left out. */
void tn_stats_add_request(tn_stats *stats, const tn_sequence *sequence, tn_request_stage stage, bool is_scheduled);
/* Keeps the requests added since the last call. */
void tn_stats_close_requests(tn_stats *stats, uint64_t iter);

tn_request_stage tn_sequence_stage(const tn_sequence *sequence);

#endif
