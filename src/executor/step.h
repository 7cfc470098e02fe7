/* SPDX-License-Identifier: Apache-2.0
 *
 * step.h: one step of the engine: which rows of which sequences run, the flat arrays that the engine reads, and its results.
 *
 * A tn_batch holds numbers only, no pointers, so that one rank can hand it to others. Rows of prompts come before rows of
 * generation. A step owns its arrays: with pipeline depth 2 two steps are in flight, each with its own.
 */
#ifndef TN_EXECUTOR_STEP_H_
#define TN_EXECUTOR_STEP_H_

#include "executor/scheduler.h"
#include "runtime/runtime.h"

typedef struct tn_batch {
    int32_t num_seqs, num_tokens, num_logits;
    bool has_draws;
    int32_t *input_ids;       /* [num_tokens], −1 = the slot's last drawn token */
    int32_t *positions;       /* [num_tokens] */
    int32_t *query_start;     /* [num_seqs + 1] */
    int32_t *seq_slot;        /* [num_seqs] */
    int32_t *kv_length;       /* [num_seqs] after this step */
    int32_t *block_table;     /* [num_seqs, max_blocks] */
    int32_t *logits_rows;     /* [num_logits] */
    int32_t *sample_slot;     /* [num_logits], −1 = not drawn */
    int32_t *sample_position; /* [num_logits] */
} tn_batch;

/* A row of the schedule, and where its logits are. */
typedef struct tn_step_row {
    tn_schedule_row plan;
    int32_t first_logits;
} tn_step_row;

typedef struct tn_engine_step {
    tn_batch batch;
    tn_step_row *rows;                    /* [max_batch_size] */
    int32_t num_rows, num_rows_that_read; /* plan.reads_rows */
    int32_t *next_ids;                    /* [max_logits] */
    int32_t *top_ids;                     /* [max_logits, 1 + K] */
    float *top_log_probs;                 /* [max_logits, 1 + K] */
    tn_fence *fence;
    int32_t *table_columns; /* [max_batch_size] columns of the block table that are in use */
    uint64_t *table_stamps; /* [max_batch_size] of what is in them */
    int64_t iter, begin_ns;
    tn_schedule_counts counts;
    bool is_in_flight;
} tn_engine_step;

/* Runs steps on the engine: contexts of `forward` and `sample`, the states, the stream. Used by the loop thread only. */
typedef struct tn_step_runner {
    tn_engine *engine;
    tn_stream *stream;
    tn_context *forward, *sample;
    tn_state_set *states;
    int slots_state;
    int num_groups;
    char block_table_names[8][32];
    int32_t max_batch_size, max_num_tokens, max_logits, max_blocks, top_columns;
    int64_t vocab_size;
    int64_t hidden_size;        /* 0: the plan gives no hidden states */
    void *logits;               /* of the step at hand: device memory of `forward`, read by `sample` */
    int32_t largest_num_logits; /* of all steps so far */
    float *logits_row;          /* [vocab], for log-probabilities of prompts */
    tn_logits_view *views;      /* [max_batch_size] */
    tn_logits_callback batched_callback;
    void *batched_user;
    int kv_states[8];        /* [num_groups] */
    uint8_t *host_blocks[8]; /* [num_groups] host memory of blocks that went there */
    tn_diag *diag;           /* of the step at hand; borrowed */
} tn_step_runner;

typedef struct tn_step_runner_options {
    int32_t max_batch_size, max_num_tokens, max_blocks, num_slots, top_columns;
    int64_t num_blocks, vocab_size, hidden_size, num_host_slots;
    tn_logits_callback batched_callback;
    void *batched_user;
} tn_step_runner_options;

TN_MUST_CHECK tn_status tn_step_runner_init(tn_step_runner *runner, tn_engine *engine, const tn_step_runner_options *options,
                                            tn_arena *arena, tn_diag *diag);
void tn_step_runner_deinit(tn_step_runner *runner);

TN_MUST_CHECK tn_status tn_engine_step_init(tn_engine_step *step, const tn_step_runner *runner, tn_arena *arena, tn_diag *diag);
void tn_engine_step_deinit(tn_engine_step *step);

/* Empties the step. */
void tn_engine_step_begin(tn_engine_step *step);
/* Adds a row of the schedule. */
void tn_engine_step_add(tn_engine_step *step, const tn_step_runner *runner, const tn_schedule_row *row);
/* Runs the post-processors of the rows that have one: waits for the logits, lets them be changed on the host, queues the changed
 * ones (post_process.c). */
TN_MUST_CHECK tn_status tn_step_runner_process_logits(tn_step_runner *runner, tn_engine_step *step);
/* Queues forward and sample. */
TN_MUST_CHECK tn_status tn_step_runner_launch(tn_step_runner *runner, tn_engine_step *step);
/* Waits for the step. */
TN_MUST_CHECK tn_status tn_step_runner_wait(tn_step_runner *runner, tn_engine_step *step);
/* The row that draws the first token of a request, or of one that was read again. Beams choose theirs together: never. */
bool tn_step_row_ends_context(const tn_step_row *row);
/* Hands results to the sequences: tokens (tn_sequence_accept_token), log-probs, logits; of the rows that end a context, or of the others.
 * The scheduler learns of each row (tn_scheduler_retire) before its token is accepted. status: how the step, or the rows before, went. */
TN_MUST_CHECK tn_status tn_step_runner_hand_out(tn_step_runner *runner, const tn_engine_step *step, tn_scheduler *scheduler,
                                                bool ends_context, tn_status status);
/* Queues copies of blocks, in order. */
TN_MUST_CHECK tn_status tn_step_runner_copy(tn_step_runner *runner, const tn_kv_copy *copies, int32_t num_copies);
/* Queues the writing of a sequence's sampling slot. */
TN_MUST_CHECK tn_status tn_step_runner_write_slot(tn_step_runner *runner, const tn_sequence *sequence);

#endif
