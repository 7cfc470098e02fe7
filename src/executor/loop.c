/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.c: the executor's thread: take cancellations and time limits, start requests, run a step, publish.
 *
 * With depth 1 a step is finished before the next is planned. With depth 2 the next one is planned and queued first; the
 * tokens that it needs and the host does not have yet come from the slots (input id −1). First tokens are published before the step's
 * other rows are looked at.
 */
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "executor/beams.h"
#include "executor/executor_internal.h"

/* --- ending, under the lock ------------------------------------------------------------------------------------------------- */

/* The final response can be taken, and the sequence may be gone at once. */
static void publish_end(tn_executor *executor, tn_sequence *sequence, tn_finish_reason reason) {
    tn_heap_remove(&executor->deadlines, sequence);
    sequence->finish_reason = reason;
    if (sequence->beams != NULL) tn_beams_end(sequence, reason);
    tn_sequence_show(sequence);
    sequence->is_finished = true;
    executor->stats.num_completed++;
    tn_stats_add_request(&executor->stats, sequence, TN_STAGE_GENERATION_COMPLETE, sequence->last_step == executor->scheduler.num_steps);
    tn_executor_mark_ready(executor, sequence);
}

/* Queued: over at once. Running: when it is not in flight. */
static void stop(tn_executor *executor, tn_sequence *sequence, tn_finish_reason reason) {
    if (sequence->is_finished || sequence->is_done) return;
    sequence->is_done = true;
    sequence->done_reason = reason;
    if (!tn_heap_has(&executor->scheduler.queue, sequence)) return;
    tn_heap_remove(&executor->scheduler.queue, sequence);
    publish_end(executor, sequence, reason);
}

static void take_cancellations(tn_executor *executor) {
    while (executor->first_cancelled != NULL) {
        tn_sequence *lead = executor->first_cancelled;
        executor->first_cancelled = lead->next_cancelled;
        lead->is_in_cancelled = false;
        for (tn_sequence *sequence = lead; sequence != NULL; sequence = sequence->next_sibling)
            stop(executor, sequence, TN_FINISH_CANCELLED);
    }
    if (!executor->is_stopping || executor->is_draining) return;
    for (tn_sequence *first; (first = tn_heap_first(&executor->scheduler.queue)) != NULL;) stop(executor, first, TN_FINISH_CANCELLED);
    for (int32_t i = 0; i < executor->scheduler.num_active; i++) stop(executor, executor->scheduler.active[i], TN_FINISH_CANCELLED);
}

static void take_time_limits(tn_executor *executor) {
    int64_t now_ns = executor->deadlines.count > 0 ? tn_now_ns() : 0;
    for (tn_sequence *first; (first = tn_heap_first(&executor->deadlines)) != NULL && first->deadline_ns <= now_ns;) {
        tn_heap_remove(&executor->deadlines, first);
        stop(executor, first, TN_FINISH_TIMED_OUT);
    }
}

/* Requests that run and got into no step for too long: looked for four times in that time, so that a step costs nothing. */
static void take_idle(tn_executor *executor) {
    int64_t limit_ns = executor->options.max_seq_idle_microseconds * 1000, now_ns = executor->last_step_ns;
    if (now_ns - executor->last_idle_look_ns < limit_ns / 4) return;
    executor->last_idle_look_ns = now_ns;
    for (int32_t i = 0; i < executor->scheduler.num_active; i++) {
        tn_sequence *sequence = executor->scheduler.active[i];
        if (sequence->last_step != sequence->seen_step || sequence->num_in_flight > 0) {
            sequence->seen_step = sequence->last_step;
            sequence->idle_since_ns = now_ns;
        } else if (now_ns - sequence->idle_since_ns >= limit_ns) {
            stop(executor, sequence, TN_FINISH_TIMED_OUT);
        }
    }
}

/* --- publishing, under the lock ----------------------------------------------------------------------------------------------- */

static void prefetch_shown(const tn_sequence *sequence) {
    tn_sequence_prefetch(sequence, 0);
    tn_sequence_prefetch(sequence, 3);
    tn_sequence_prefetch(sequence, 4);
}

static void show_new_tokens(tn_executor *executor, tn_sequence *sequence) {
    if (!sequence->streaming || sequence->num_visible >= sequence->num_known) return;
    tn_sequence_show(sequence);
    tn_executor_mark_ready(executor, sequence);
}

/* Ends sequences that are done and no longer in flight, shows new tokens of those that stream. */
static void publish(tn_executor *executor) {
    tn_scheduler *scheduler = &executor->scheduler;
    bool has_ended = false;
    for (int32_t i = 0; i < scheduler->num_active; i++) {
        if (i + TN_PREFETCH_DISTANCE < scheduler->num_active) prefetch_shown(scheduler->active[i + TN_PREFETCH_DISTANCE]);
        tn_sequence *sequence = scheduler->active[i];
        if (sequence->is_done && sequence->num_in_flight == 0) {
            tn_scheduler_end(scheduler, i);
            tn_batch_tuner_add(&executor->tuner, sequence->num_prompt, sequence->num_known - sequence->num_prompt);
            publish_end(executor, sequence, sequence->done_reason);
            has_ended = true;
        } else {
            show_new_tokens(executor, sequence);
        }
    }
    if (has_ended) tn_scheduler_compact(scheduler);
    executor->info.num_active = scheduler->num_active;
    executor->info.num_queued = scheduler->queue.count;
    executor->info.num_steps = executor->num_steps;
    executor->info.num_free_blocks = tn_kv_cache_num_available(executor->cache);
    executor->info.num_cached_blocks = tn_kv_cache_num_cached(executor->cache);
    tn_debug_ring_show(&executor->debug);
    pthread_cond_broadcast(&executor->progress);
}

static void fill_cache_stats(const tn_executor *executor, tn_kv_cache_stats *stats) {
    const tn_scheduler *scheduler = &executor->scheduler;
    int64_t num_looked_for = scheduler->num_reused_blocks + scheduler->num_missed_blocks;
    *stats = (tn_kv_cache_stats){
        .max_num_blocks = executor->info.num_blocks,
        .free_num_blocks = executor->info.num_free_blocks,
        .used_num_blocks = executor->info.num_blocks - executor->info.num_free_blocks,
        .tokens_per_block = executor->info.tokens_per_block,
        .alloc_total_blocks = scheduler->num_new_blocks + scheduler->num_reused_blocks,
        .alloc_new_blocks = scheduler->num_new_blocks,
        .reused_blocks = scheduler->num_reused_blocks,
        .missed_blocks = scheduler->num_missed_blocks,
        .cache_hit_rate = num_looked_for > 0 ? (double)scheduler->num_reused_blocks / (double)num_looked_for : 0.0,
    };
}

static void add_request_stats(tn_executor *executor, int64_t iter) {
    tn_scheduler *scheduler = &executor->scheduler;
    if (executor->stats.max_lists == 0) return;
    for (int32_t i = 0; i < scheduler->num_active; i++)
        tn_stats_add_request(&executor->stats, scheduler->active[i], tn_sequence_stage(scheduler->active[i]),
                             scheduler->active[i]->last_step == scheduler->num_steps);
    for (int32_t i = 0; i < scheduler->queue.count; i++)
        tn_stats_add_request(&executor->stats, scheduler->queue.items[i], TN_STAGE_QUEUED, false);
    tn_stats_close_requests(&executor->stats, (uint64_t)iter);
}

/* The step that was finished last; NULL: the engine goes idle. */
static void record_iteration(tn_executor *executor, const tn_engine_step *step) {
    if (executor->stats.max_iterations == 0 && executor->stats.max_lists == 0) return;
    const tn_executor_options *options = &executor->options;
    const tn_schedule_counts counts = step != NULL ? step->counts : (tn_schedule_counts){0};
    int32_t batch_size = tn_batch_tuner_batch_size(&executor->tuner);
    tn_iteration_stats stats = {
        .iter = step != NULL ? (uint64_t)step->iter : (uint64_t)executor->num_steps,
        .iter_latency_ms = step != NULL ? (double)(tn_now_ns() - step->begin_ns) / 1e6 : 0.0,
        .num_active_requests = executor->scheduler.num_active,
        .num_queued_requests = executor->scheduler.queue.count,
        .max_num_active_requests = executor->info.max_batch_size,
        .max_batch_size_static = options->max_batch_size,
        .max_batch_size_tuner_recommended = options->enable_batch_size_tuning ? batch_size : 0,
        .max_batch_size_runtime = executor->scheduler.batch_limit,
        .max_num_tokens_static = options->max_num_tokens,
        .max_num_tokens_tuner_recommended =
            options->enable_max_num_tokens_tuning ? tn_batch_tuner_num_tokens(&executor->tuner, executor->scheduler.batch_limit) : 0,
        .max_num_tokens_runtime = executor->num_tokens_limit,
        .has_static_batching_stats = options->capacity_policy == TN_STATIC_BATCH,
    };
    tn_engine_memory memory;
    tn_engine_get_memory(executor->engine, &memory);
    size_t used = memory.weights_bytes + memory.activations_bytes + memory.states_bytes;
    *(executor->is_on_host ? &stats.cpu_mem_usage : &stats.gpu_mem_usage) = used;
    fill_cache_stats(executor, &stats.kv_cache_stats);
    if (stats.has_static_batching_stats)
        stats.static_batching_stats = (tn_static_batching_stats){.num_scheduled_requests = counts.num_requests,
                                                                 .num_context_requests = counts.num_context_requests,
                                                                 .num_ctx_tokens = counts.num_context_tokens,
                                                                 .num_gen_tokens = counts.num_tokens - counts.num_context_tokens,
                                                                 .empty_gen_slots = options->max_batch_size - counts.num_rows};
    else
        stats.inflight_batching_stats = (tn_inflight_batching_stats){.num_scheduled_requests = counts.num_requests,
                                                                     .num_context_requests = counts.num_context_requests,
                                                                     .num_gen_requests = counts.num_requests - counts.num_context_requests,
                                                                     .num_paused_requests = counts.num_paused,
                                                                     .num_ctx_tokens = counts.num_context_tokens,
                                                                     .avg_num_decoded_tokens_per_iter = counts.num_rows > 0 ? 1.0f : 0.0f};
    tn_stats_add_iteration(&executor->stats, &stats);
    add_request_stats(executor, (int64_t)stats.iter);
}

/* Under the lock. Writing the slot is queued work, done after the lock is given back. */
static void admit(tn_executor *executor) {
    tn_scheduler *scheduler = &executor->scheduler;
    const tn_executor_options *options = &executor->options;
    if (options->enable_batch_size_tuning) scheduler->batch_limit = tn_batch_tuner_batch_size(&executor->tuner);
    executor->num_tokens_limit = options->max_num_tokens;
    if (options->enable_max_num_tokens_tuning)
        executor->num_tokens_limit = tn_batch_tuner_num_tokens(&executor->tuner, scheduler->batch_limit);
    if (scheduler->queue.count == 0) return;
    int64_t now_ns = tn_now_ns();
    tn_kv_cache_set_time(executor->cache, now_ns);
    int32_t num_started = tn_scheduler_admit(scheduler, now_ns);
    executor->stats.num_new_active += num_started;
    for (int32_t i = scheduler->num_active - num_started; i < scheduler->num_active; i++)
        executor->stats.queue_latency_ms += (double)(now_ns - scheduler->active[i]->enqueue_ns) / 1e6;
    executor->info.num_queued = scheduler->queue.count;
    executor->info.num_active = scheduler->num_active;
}

/* --- steps ------------------------------------------------------------------------------------------------------------------ */

/* The reason that the engine gave last. */
static void fail_with_report(tn_executor *executor, tn_sequence *sequence, tn_status status) {
    /* Where even the report found no memory, the status says as much. */
    tn_diag_entry entry;
    size_t count = tn_diag_num_entries(executor->runner.diag);
    if (count == 0 || tn_diag_get(executor->runner.diag, count - 1, &entry) != TN_OK)
        entry.message = status == TN_OUT_OF_MEMORY ? "out of memory in a step" : "the step failed";
    tn_sequence_fail(sequence, status, entry.message);
}

static void fail_rows(tn_executor *executor, const tn_engine_step *step, tn_status status) {
    for (int32_t i = 0; i < step->num_rows; i++)
        if (!step->rows[i].plan.sequence->is_done) fail_with_report(executor, step->rows[i].plan.sequence, status);
    tn_diag_clear(executor->runner.diag);
}

static void fail_all(tn_executor *executor, tn_status status) {
    for (int32_t i = 0; i < executor->scheduler.num_active; i++)
        if (!executor->scheduler.active[i]->is_done) fail_with_report(executor, executor->scheduler.active[i], status);
    tn_diag_clear(executor->runner.diag);
}

/* Copies of blocks first: rows read what they bring. */
static tn_status queue_copies(tn_executor *executor) {
    int32_t count;
    const tn_kv_copy *copies = tn_kv_cache_take_copies(executor->cache, &count);
    return count > 0 ? tn_step_runner_copy(&executor->runner, copies, count) : TN_OK;
}

static tn_status queue_step(tn_executor *executor, tn_engine_step *step, tn_status status) {
    const tn_scheduler *scheduler = &executor->scheduler;
    for (int32_t i = 0; i < scheduler->counts.num_rows; i++) {
        const tn_schedule_row *row = &scheduler->rows[i];
        tn_engine_step_add(step, &executor->runner, row);
        if (status == TN_OK && row->needs_slot) status = tn_step_runner_write_slot(&executor->runner, row->sequence);
    }
    if (status == TN_OK) return tn_step_runner_launch(&executor->runner, step);
    tn_status waited = tn_stream_synchronize(executor->runner.stream, executor->runner.diag);
    return waited != TN_OK ? waited : status;
}

/* Plans and queues one step; false if there was nothing to run. */
static bool launch_step(tn_executor *executor) {
    int32_t num_rows = tn_scheduler_plan(&executor->scheduler, executor->num_tokens_limit);
    tn_status copied = queue_copies(executor);
    if (copied != TN_OK) fail_all(executor, copied); /* any of them may read what was not copied */
    if (num_rows == 0) return false;
    int depth = executor->options.pipeline_depth;
    tn_engine_step *step = &executor->steps[(executor->first_step + executor->num_steps_in_flight) % depth];
    tn_engine_step_begin(step);
    step->iter = executor->num_steps++;
    step->counts = executor->scheduler.counts;
    step->begin_ns = executor->last_step_ns = tn_now_ns();
    executor->num_steps_in_flight++;
    tn_status status = queue_step(executor, step, copied);
    if (status == TN_OK) status = tn_debug_ring_capture(&executor->debug, &executor->runner, step);
    if (status != TN_OK) fail_rows(executor, step, status);
    return true;
}

/* Gives the lock back meanwhile. */
static void tell_listener(tn_executor *executor) {
    tn_responses_callback listener = executor->listener;
    void *user = executor->listener_user;
    executor->has_news = false;
    if (listener == NULL) return;
    executor->is_telling = true;
    pthread_mutex_unlock(&executor->lock);
    listener(user);
    pthread_mutex_lock(&executor->lock);
    executor->is_telling = false;
    pthread_cond_broadcast(&executor->progress); /* who sets another one may wait */
}

/* Those who wait for them are on their way while the other rows are looked at. */
static void publish_first_tokens(tn_executor *executor, const tn_engine_step *step) {
    pthread_mutex_lock(&executor->lock);
    for (int32_t i = 0; i < step->num_rows; i++) {
        tn_sequence *sequence = step->rows[i].plan.sequence;
        if (tn_step_row_ends_context(&step->rows[i]) && !sequence->is_done) show_new_tokens(executor, sequence);
    }
    if (executor->has_news) {
        pthread_cond_broadcast(&executor->progress);
        tell_listener(executor);
    }
    pthread_mutex_unlock(&executor->lock);
}

static tn_engine_step *finish_step(tn_executor *executor) {
    tn_engine_step *step = &executor->steps[executor->first_step];
    executor->first_step = (executor->first_step + 1) % executor->options.pipeline_depth;
    executor->num_steps_in_flight--;
    tn_status status = tn_step_runner_wait(&executor->runner, step);
    if (step->counts.num_context_requests > 0) {
        status = tn_step_runner_hand_out(&executor->runner, step, &executor->scheduler, true, status);
        if (status == TN_OK) publish_first_tokens(executor, step);
    }
    status = tn_step_runner_hand_out(&executor->runner, step, &executor->scheduler, false, status);
    tn_scheduler_retire_step(&executor->scheduler);
    if (status != TN_OK) fail_rows(executor, step, status);
    return step;
}

void *tn_executor_loop(void *argument) {
    tn_executor *executor = argument;
    tn_scheduler *scheduler = &executor->scheduler;
    const tn_engine_step *finished = NULL;
    bool was_busy = false;
    (void)pthread_setname_np(pthread_self(), "tenon-executor");
    pthread_mutex_lock(&executor->lock);
    for (;;) {
        tn_scheduler_requeue(scheduler);
        take_cancellations(executor);
        take_time_limits(executor);
        take_idle(executor);
        publish(executor);
        if (finished != NULL) record_iteration(executor, finished);
        finished = NULL;
        admit(executor);
        tn_kv_events_show(executor->events);
        if (executor->has_news) {
            tell_listener(executor);
            if (scheduler->num_active == 0) continue; /* a request may have come meanwhile */
        }
        bool is_idle = scheduler->num_active == 0 && executor->num_steps_in_flight == 0;
        if (is_idle && was_busy) record_iteration(executor, NULL);
        was_busy = !is_idle;
        if (is_idle && executor->is_stopping && scheduler->queue.count == 0) break;
        if (is_idle) {
            pthread_cond_wait(&executor->work, &executor->lock);
            continue;
        }
        pthread_mutex_unlock(&executor->lock);
        bool is_launched = executor->num_steps_in_flight < executor->options.pipeline_depth && launch_step(executor);
        if (executor->num_steps_in_flight == executor->options.pipeline_depth || !is_launched)
            if (executor->num_steps_in_flight > 0) finished = finish_step(executor);
        pthread_mutex_lock(&executor->lock);
    }
    executor->is_stopped = true;
    pthread_cond_broadcast(&executor->progress);
    tell_listener(executor);
    pthread_mutex_unlock(&executor->lock);
    tn_kv_events_stop(executor->events);
    return NULL;
}
