/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.h: which sequences run, and what of them runs in the next step. Knows blocks and sequences, no engine: the simulation
 * (simulation_test.c) drives this code as the loop does.
 *
 *     tn_scheduler_push                   enqueue (lock)
 *     tn_scheduler_requeue                what the last plan paused waits again (lock)
 *     tn_scheduler_admit                  starts what may start (lock)
 *     tn_scheduler_plan                   rows of the next step; their blocks are there and their sequences advanced
 *     tn_scheduler_retire                 a row's results are known
 *     tn_scheduler_end                    a sequence that is done and not in flight gives everything back
 *
 * Requests start in order of priority, then of arrival; one that does not fit holds back those behind it, or large requests
 * would starve. What must fit is the policy's (tenon/executor.h).
 *
 * Blocks that a running sequence will still need are *promised*: set aside from those that are available. GUARANTEED_NO_EVICT
 * promises all to its very end, MAX_UTILIZATION what its reading needs and one token; what a sequence generates beyond that it
 * takes from what is not promised, or the sequence of the lowest priority that started last is paused: all its blocks are given
 * back, it waits in the queue at its old place and reads its tokens again when it starts. Reading gives the same bits as
 * generating did, so its answer does not change. A sequence in flight is paused after the step.
 *
 * A request's beams are one sequence, with as many places and slots as it may have beams (beam_blocks.h): they start, run, are
 * paused and end together.
 *
 * A prompt whose next whole block another prompt is reading in this step waits a step and shares the block then.
 */
#ifndef TN_EXECUTOR_SCHEDULER_H_
#define TN_EXECUTOR_SCHEDULER_H_

#include "executor/heap.h"
#include "executor/micro_batch.h"

typedef struct tn_scheduler_options {
    tn_capacity_policy policy;
    tn_micro_batch_limits limits;
    int32_t max_batch_size, tokens_per_block;
    bool enable_block_reuse;
    int32_t window, sink_tokens; /* all that any layer looks back on: the last `window` tokens and the first sink_tokens; 0: all */
} tn_scheduler_options;

/* Blocks of tokens that no layer looks at any more are given back while a sequence runs; with block reuse they are kept to be
 * shared. The most that a sequence holds at once; INT32_MAX: all of it. */
int32_t tn_scheduler_most_held(const tn_scheduler_options *options);

/* Rows of one request's beams follow each other. */
typedef struct tn_schedule_row {
    tn_sequence *sequence;
    const int32_t *tokens, *blocks; /* of the sequence, or of the beam; as they are when planned */
    uint64_t table_stamp;           /* 0: compare the blocks */
    int32_t slot, num_blocks;
    int32_t beam, num_beams;                    /* of the rows of this request: which, of how many */
    int32_t first_token, num_tokens, num_known; /* of the sequence */
    int32_t first_id;                           /* that of first_token, −1: still being drawn */
    int32_t num_logits;                         /* rows of logits: of the last num_logits of its tokens */
    bool is_context;
    bool draws;      /* from the last of them */
    bool needs_slot; /* the sampling slot is to be written first */
    bool reads_rows; /* they, or other outputs of these rows, are copied to the host */
} tn_schedule_row;

typedef struct tn_schedule_counts { /* of one step */
    int32_t num_rows, num_requests, num_context_requests, num_context_tokens, num_tokens, num_paused;
} tn_schedule_counts;

/* A whole block of a prompt that is computed in a step in flight, or in the plan at hand. */
typedef struct tn_pending_key {
    uint64_t key;
    int64_t step, plan;
} tn_pending_key;
enum { TN_NUM_PENDING_KEYS = 1024 };

typedef struct tn_scheduler {
    tn_scheduler_options options;
    tn_kv_cache *cache; /* borrowed */
    tn_heap queue;      /* (lock) */

    tn_sequence **active;               /* [max_batch_size] in the order of starting */
    int32_t num_active, num_free_slots; /* a slot is a place in the batch */
    int32_t *free_slots;
    int64_t num_promised;
    tn_sequence **paused; /* [max_batch_size] since the last admit */
    int32_t num_paused;
    tn_micro_batch_entry *entries; /* [max_batch_size] */
    tn_schedule_row *rows;         /* [max_batch_size] of the last plan: contexts first */
    tn_schedule_counts counts;
    int32_t most_held;                               /* tn_scheduler_most_held */
    int32_t batch_limit;                             /* places that may be taken now: max_batch_size, or fewer by tuning */
    int64_t num_plans, num_steps, num_retired_steps; /* steps: plans with rows; those known to be finished */
    tn_pending_key pending[TN_NUM_PENDING_KEYS];

    int64_t num_new_blocks, num_reused_blocks, num_missed_blocks; /* since the start */
    int64_t num_pauses;
    uint64_t num_stamps; /* given to tables of blocks */
} tn_scheduler;

TN_MUST_CHECK tn_status tn_scheduler_init(tn_scheduler *scheduler, const tn_scheduler_options *options, tn_kv_cache *cache, tn_arena *arena,
                                          tn_diag *diag);

/* Room in the queue is the caller's to reserve: all sequences that live may be in it. */
void tn_scheduler_push(tn_scheduler *scheduler, tn_sequence *sequence);
void tn_scheduler_requeue(tn_scheduler *scheduler);
/* Returns how many started: the last ones of `active`. */
int32_t tn_scheduler_admit(tn_scheduler *scheduler, int64_t now_ns);
/* At most max_num_tokens tokens. Returns the number of rows; 0: nothing can run now. */
int32_t tn_scheduler_plan(tn_scheduler *scheduler, int32_t max_num_tokens);
/* Blocks that became whole may be shared from now on. is_right: the row was computed. Of beams: the row of the first speaks for all. */
void tn_scheduler_retire(tn_scheduler *scheduler, const tn_schedule_row *row, bool is_right);
/* All rows of the oldest planned step are retired. */
static inline void tn_scheduler_retire_step(tn_scheduler *scheduler) {
    scheduler->num_retired_steps++;
}
/* Gives back the sequence at `index` of active and closes the gap at the next tn_scheduler_compact. */
void tn_scheduler_end(tn_scheduler *scheduler, int32_t index);
void tn_scheduler_compact(tn_scheduler *scheduler);

/* False if what sequences hold and are promised does not add up, or a limit is broken. O(blocks + active). */
bool tn_scheduler_check(const tn_scheduler *scheduler);

#endif
