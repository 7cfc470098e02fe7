/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.c: the executor's thread: take cancellations, start requests, run a step, publish.
 *
 * With depth 1 a step is finished before the next is planned. With depth 2 the next one is planned and queued first; the
 * tokens that it needs and the host does not have yet come from the slots (input id −1).
 */
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "executor/executor_internal.h"

/* --- blocks ---------------------------------------------------------------------------------------------------------------------- */

static void release_blocks(tn_executor *executor, tn_sequence *sequence) {
    executor->promised_blocks -= sequence->max_blocks - sequence->num_blocks;
    for (int32_t i = sequence->num_blocks - 1; i >= 0; i--) tn_kv_cache_release(executor->cache, sequence->blocks[i]);
    sequence->num_blocks = 0;
}

/* GUARANTEED_NO_EVICT promised them, so allocation cannot fail. */
static bool ensure_blocks(tn_executor *executor, tn_sequence *sequence, int32_t num_tokens) {
    int32_t tokens_per_block = executor->info.tokens_per_block;
    int32_t needed = (num_tokens + tokens_per_block - 1) / tokens_per_block;
    while (sequence->num_blocks < needed) {
        int32_t block = tn_kv_cache_allocate(executor->cache);
        if (block < 0) return false;
        sequence->blocks[sequence->num_blocks++] = block;
        executor->promised_blocks--;
    }
    return true;
}

/* Blocks whose tokens the host knows and whose keys and values are computed may be shared from now on. */
static void commit_blocks(tn_executor *executor, tn_sequence *sequence) {
    if (!executor->options.enable_block_reuse || sequence->status != TN_OK) return;
    int32_t tokens_per_block = executor->info.tokens_per_block;
    int32_t complete = sequence->num_finished < sequence->num_known ? sequence->num_finished : sequence->num_known;
    for (int32_t i = sequence->num_committed_blocks; (i + 1) * tokens_per_block <= complete; i++) {
        tn_kv_cache_commit(executor->cache, sequence->cache_salt, sequence->tokens + i * tokens_per_block,
                           i > 0 ? sequence->blocks[i - 1] : -1, sequence->blocks[i]);
        sequence->num_committed_blocks = i + 1;
    }
}

/* --- starting and ending ------------------------------------------------------------------------------------------------------ */

/* Under the lock: the final response can be taken, and the sequence may be gone at once. */
static void publish_end(tn_executor *executor, tn_sequence *sequence, tn_finish_reason reason) {
    sequence->finish_reason = reason;
    tn_sequence_show(sequence);
    sequence->is_finished = true;
    tn_executor_mark_ready(executor, sequence);
}

static void fail_sequence(tn_sequence *sequence, tn_status status, const char *message) {
    sequence->status = status;
    snprintf(sequence->error, sizeof sequence->error, "%s", message);
    sequence->is_done = true;
    sequence->done_reason = TN_FINISH_NOT_FINISHED;
}

static int32_t take_slot(tn_executor *executor) {
    for (int32_t i = 0; i < executor->options.max_batch_size; i++)
        if (!executor->used_slots[i]) {
            executor->used_slots[i] = true;
            return i;
        }
    return -1;
}

static void match_prefix(tn_executor *executor, tn_sequence *sequence) {
    bool wants_prompt = sequence->return_context_logits || sequence->return_prompt_log_probs;
    if (!executor->options.enable_block_reuse || wants_prompt) return;
    /* The last prompt token always runs: its logits draw the first token. */
    int32_t most = (sequence->num_prompt - 1) / executor->info.tokens_per_block;
    sequence->num_blocks =
        tn_kv_cache_match(executor->cache, sequence->cache_salt, sequence->tokens, sequence->num_prompt - 1, most, sequence->blocks);
    sequence->num_committed_blocks = sequence->num_blocks;
    sequence->num_computed = sequence->num_finished = sequence->num_reused_tokens = sequence->num_blocks * executor->info.tokens_per_block;
}

/* Under the lock. Admission decides on the blocks that are there beside the promised ones; matched cached blocks stop being
 * available, so they are matched first and given back if the request must wait. */
static bool start_sequence(tn_executor *executor, tn_sequence *sequence) {
    if (executor->num_active >= executor->options.max_batch_size) return false;
    match_prefix(executor, sequence);
    int32_t needed = sequence->max_blocks - sequence->num_blocks;
    if (!tn_capacity_admits(tn_kv_cache_num_available(executor->cache), executor->promised_blocks, needed)) {
        for (int32_t i = sequence->num_blocks - 1; i >= 0; i--) tn_kv_cache_release(executor->cache, sequence->blocks[i]);
        sequence->num_blocks = sequence->num_committed_blocks = 0;
        sequence->num_computed = sequence->num_finished = sequence->num_reused_tokens = 0;
        return false;
    }
    executor->promised_blocks += needed;
    sequence->slot = take_slot(executor);
    sequence->queued_ns = tn_now_ns() - sequence->enqueue_ns;
    if (executor->last_active != NULL)
        executor->last_active->next_active = sequence;
    else
        executor->first_active = sequence;
    executor->last_active = sequence;
    executor->num_active++;
    return true;
}

/* Under the lock. */
static void take_cancellations(tn_executor *executor) {
    bool cancels_all = executor->is_stopping && !executor->is_draining;
    if (!executor->has_cancellations && !cancels_all) return;
    executor->has_cancellations = false;
    tn_sequence *previous = NULL, *next;
    for (tn_sequence *sequence = executor->first_queued; sequence != NULL; sequence = next) {
        next = sequence->next_queued;
        if (!sequence->is_cancelled && !cancels_all) {
            previous = sequence;
            continue;
        }
        tn_executor_unqueue(executor, sequence, previous);
        publish_end(executor, sequence, TN_FINISH_CANCELLED);
    }
    for (tn_sequence *sequence = executor->first_active; sequence != NULL; sequence = sequence->next_active)
        if ((sequence->is_cancelled || cancels_all) && !sequence->is_done) {
            sequence->is_done = true;
            sequence->done_reason = TN_FINISH_CANCELLED;
        }
}

/* Under the lock: ends sequences that are done and no longer in flight, shows new tokens of the others. */
static void publish(tn_executor *executor) {
    tn_sequence **link = &executor->first_active, *last = NULL;
    while (*link != NULL) {
        tn_sequence *sequence = *link;
        commit_blocks(executor, sequence);
        if (sequence->is_done && sequence->num_in_flight == 0) {
            *link = sequence->next_active;
            executor->num_active--;
            release_blocks(executor, sequence);
            executor->used_slots[sequence->slot] = false;
            publish_end(executor, sequence, sequence->done_reason);
            continue;
        }
        tn_sequence_show(sequence);
        tn_executor_mark_ready(executor, sequence);
        last = sequence;
        link = &sequence->next_active;
    }
    executor->last_active = last;
    executor->info.num_active = executor->num_active;
    executor->info.num_steps = executor->num_steps;
    executor->info.num_free_blocks = tn_kv_cache_num_available(executor->cache);
    executor->info.num_cached_blocks = tn_kv_cache_num_cached(executor->cache);
    pthread_cond_broadcast(&executor->progress);
}

/* Under the lock. Writing the slot is queued work, done after the lock is given back. */
static void admit(tn_executor *executor) {
    while (executor->first_queued != NULL && start_sequence(executor, executor->first_queued))
        tn_executor_unqueue(executor, executor->first_queued, NULL);
}

/* --- steps --------------------------------------------------------------------------------------------------------------------- */

/* Tokens that the sequence can run now. */
static int32_t num_waiting(const tn_sequence *sequence) {
    if (sequence->is_done) return 0;
    if (sequence->num_computed < sequence->num_prompt) return sequence->num_prompt - sequence->num_computed;
    /* A drawn token that would be the last needs no further step. */
    return sequence->num_drawn > sequence->num_computed && sequence->num_drawn < sequence->max_total ? 1 : 0;
}

static int32_t schedule(tn_executor *executor) {
    int32_t count = 0;
    for (tn_sequence *sequence = executor->first_active; sequence != NULL; sequence = sequence->next_active)
        executor->entries[count++] = (tn_micro_batch_entry){.num_computed = sequence->num_computed,
                                                            .num_waiting = num_waiting(sequence),
                                                            .is_context = sequence->num_computed < sequence->num_prompt};
    tn_micro_batch_limits limits = {
        .max_num_tokens = executor->options.max_num_tokens,
        .max_chunk_tokens = executor->options.max_chunk_tokens,
        .chunk_unit = executor->options.max_chunk_tokens < executor->info.tokens_per_block ? 1 : executor->info.tokens_per_block,
        .allow_chunks = executor->options.enable_chunked_context,
    };
    return tn_micro_batch_schedule(executor->entries, count, &limits);
}

/* The reason that the engine gave last. */
static void fail_with_report(tn_executor *executor, tn_sequence *sequence, tn_status status) {
    /* Where even the report found no memory, the status says as much. */
    const char *message = status == TN_OUT_OF_MEMORY ? "out of memory in a step" : "the step failed";
    size_t count = tn_diag_num_entries(executor->runner.diag);
    tn_diag_entry entry;
    if (count > 0 && tn_diag_get(executor->runner.diag, count - 1, &entry) == TN_OK) message = entry.message;
    fail_sequence(sequence, status, message);
}

static void add_rows(tn_executor *executor, tn_engine_step *step, bool is_context) {
    int32_t index = 0;
    for (tn_sequence *sequence = executor->first_active; sequence != NULL; sequence = sequence->next_active, index++) {
        const tn_micro_batch_entry *entry = &executor->entries[index];
        if (entry->num_scheduled == 0 || entry->is_context != is_context) continue;
        if (!ensure_blocks(executor, sequence, entry->num_computed + entry->num_scheduled)) {
            fail_sequence(sequence, TN_INTERNAL, "the cache had fewer blocks than were promised");
            continue;
        }
        bool is_first = sequence->num_computed == sequence->num_reused_tokens;
        if (is_first && is_context) {
            tn_status status = tn_step_runner_write_slot(&executor->runner, sequence);
            if (status != TN_OK) {
                fail_with_report(executor, sequence, status);
                tn_diag_clear(executor->runner.diag);
                continue;
            }
        }
        tn_engine_step_add(step, &executor->runner, sequence, entry->num_scheduled);
    }
}

static void fail_rows(tn_executor *executor, const tn_engine_step *step, tn_status status) {
    for (int32_t i = 0; i < step->num_rows; i++)
        if (!step->rows[i].sequence->is_done) fail_with_report(executor, step->rows[i].sequence, status);
    tn_diag_clear(executor->runner.diag);
}

/* Plans and queues one step; false if there was nothing to run. */
static bool launch_step(tn_executor *executor) {
    if (schedule(executor) == 0) return false;
    int depth = executor->options.pipeline_depth;
    tn_engine_step *step = &executor->steps[(executor->first_step + executor->num_steps_in_flight) % depth];
    tn_engine_step_begin(step);
    add_rows(executor, step, true);
    add_rows(executor, step, false);
    if (step->num_rows == 0) return true; /* all of them failed */
    tn_status status = tn_step_runner_launch(&executor->runner, step);
    executor->num_steps_in_flight++;
    executor->num_steps++;
    if (status != TN_OK) fail_rows(executor, step, status);
    return true;
}

static void finish_step(tn_executor *executor) {
    tn_engine_step *step = &executor->steps[executor->first_step];
    executor->first_step = (executor->first_step + 1) % executor->options.pipeline_depth;
    executor->num_steps_in_flight--;
    tn_status status = tn_step_runner_finish(&executor->runner, step);
    if (status != TN_OK) fail_rows(executor, step, status);
}

void *tn_executor_loop(void *argument) {
    tn_executor *executor = argument;
    pthread_mutex_lock(&executor->lock);
    for (;;) {
        take_cancellations(executor);
        publish(executor);
        admit(executor);
        bool is_idle = executor->num_active == 0 && executor->num_steps_in_flight == 0;
        if (is_idle && executor->is_stopping && executor->first_queued == NULL) break;
        if (is_idle) {
            pthread_cond_wait(&executor->work, &executor->lock);
            continue;
        }
        pthread_mutex_unlock(&executor->lock);
        bool is_launched = executor->num_steps_in_flight < executor->options.pipeline_depth && launch_step(executor);
        if (executor->num_steps_in_flight == executor->options.pipeline_depth || !is_launched)
            if (executor->num_steps_in_flight > 0) finish_step(executor);
        pthread_mutex_lock(&executor->lock);
    }
    executor->is_stopped = true;
    pthread_cond_broadcast(&executor->progress);
    pthread_mutex_unlock(&executor->lock);
    return NULL;
}
