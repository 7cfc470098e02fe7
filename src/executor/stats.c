/* SPDX-License-Identifier: Apache-2.0
 *
 * stats.c: keeping and taking statistics.
 */
#include "executor/stats.h"

#include <string.h>
#include <time.h>

#include "executor/executor_internal.h"

bool tn_stats_init(tn_stats *stats, int32_t max_iterations, int32_t max_lists, const tn_allocator *allocator, tn_arena *arena) {
    *stats = (tn_stats){.allocator = allocator, .max_iterations = max_iterations, .max_lists = max_lists};
    stats->iterations = tn_arena_alloc_array(arena, (size_t)max_iterations, sizeof *stats->iterations);
    return stats->iterations != NULL;
}

static tn_request_stats_list *take_first_list(tn_stats *stats) {
    tn_request_stats_list *list = stats->first_list;
    if (list == NULL) return NULL;
    stats->first_list = list->next;
    if (stats->first_list == NULL) stats->last_list = NULL;
    stats->num_lists--;
    list->next = NULL;
    return list;
}

void tn_stats_deinit(tn_stats *stats) {
    while (stats->first_list != NULL) tn_request_stats_list_destroy(take_first_list(stats));
    tn_request_stats_list_destroy(stats->open);
    stats->open = NULL;
}

void tn_stats_add_iteration(tn_stats *stats, const tn_iteration_stats *iteration) {
    if (stats->max_iterations > 0) {
        if (stats->num_iterations == stats->max_iterations) {
            stats->first_iteration = (stats->first_iteration + 1) % stats->max_iterations;
            stats->num_iterations--;
        }
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        tn_iteration_record *record = &stats->iterations[(stats->first_iteration + stats->num_iterations++) % stats->max_iterations];
        record->wall_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
        record->stats = *iteration;
        record->stats.num_new_active_requests = stats->num_new_active;
        record->stats.num_completed_requests = stats->num_completed;
        record->stats.new_active_requests_queue_latency_ms = stats->queue_latency_ms;
    }
    stats->num_new_active = stats->num_completed = 0;
    stats->queue_latency_ms = 0.0;
}

tn_request_stage tn_sequence_stage(const tn_sequence *sequence) {
    if (sequence->is_finished) return TN_STAGE_GENERATION_COMPLETE;
    if (sequence->slot < 0) return TN_STAGE_QUEUED;
    return sequence->num_computed < sequence->num_prefill ? TN_STAGE_CONTEXT_IN_PROGRESS : TN_STAGE_GENERATION_IN_PROGRESS;
}

void tn_stats_add_request(tn_stats *stats, const tn_sequence *sequence, tn_request_stage stage, bool is_scheduled) {
    if (stats->max_lists == 0) return;
    if (stats->open == NULL) {
        stats->open = tn_alloc_zero(stats->allocator, sizeof *stats->open);
        if (stats->open == NULL) return;
        if (stats->allocator != NULL) stats->open->allocator = *stats->allocator;
    }
    int32_t num_looked_for = sequence->account.num_reused_blocks + sequence->account.num_missed_blocks;
    int32_t num_generated = sequence->num_known - sequence->num_prompt;
    int32_t position = sequence->num_finished < sequence->num_prompt ? sequence->num_finished : sequence->num_prompt;
    tn_request_stats entry = {
        .id = sequence->id,
        .stage = stage,
        .context_prefill_position = stage == TN_STAGE_GENERATION_COMPLETE ? sequence->num_prompt : position,
        .num_generated_tokens = num_generated,
        .avg_num_decoded_tokens_per_iter = num_generated > 0 ? 1.0f : 0.0f,
        .scheduled = is_scheduled,
        .paused = sequence->is_paused,
        .alloc_total_blocks = sequence->account.num_new_blocks + sequence->account.num_reused_blocks,
        .alloc_new_blocks = sequence->account.num_new_blocks,
        .reused_blocks = sequence->account.num_reused_blocks,
        .missed_blocks = sequence->account.num_missed_blocks,
        .kv_cache_hit_rate = num_looked_for > 0 ? (double)sequence->account.num_reused_blocks / num_looked_for : 0.0,
    };
    (void)tn_array_push(stats->allocator, &stats->open->requests, entry);
}

void tn_stats_close_requests(tn_stats *stats, uint64_t iter) {
    tn_request_stats_list *list = stats->open;
    if (list == NULL) return;
    stats->open = NULL;
    list->iter = iter;
    if (stats->last_list != NULL)
        stats->last_list->next = list;
    else
        stats->first_list = list;
    stats->last_list = list;
    stats->num_lists++;
    while (stats->num_lists > stats->max_lists) tn_request_stats_list_destroy(take_first_list(stats));
}

/* --- taking ------------------------------------------------------------------------------------------------------------------ */

tn_status tn_executor_take_iteration_stats(tn_executor *executor, tn_iteration_stats *out_stats) {
    tn_stats *stats = &executor->stats;
    int64_t wall_ns = 0;
    *out_stats = (tn_iteration_stats){0};
    pthread_mutex_lock(&executor->lock);
    bool has_any = stats->num_iterations > 0;
    if (has_any) {
        const tn_iteration_record *record = &stats->iterations[stats->first_iteration];
        *out_stats = record->stats;
        wall_ns = record->wall_ns;
        stats->first_iteration = (stats->first_iteration + 1) % stats->max_iterations;
        stats->num_iterations--;
    }
    pthread_mutex_unlock(&executor->lock);
    if (!has_any) return TN_NOT_FOUND;
    time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm local;
    if (localtime_r(&seconds, &local) != NULL) strftime(out_stats->timestamp, sizeof out_stats->timestamp, "%m-%d-%Y %H:%M:%S", &local);
    return TN_OK;
}

tn_status tn_executor_take_request_stats(tn_executor *executor, tn_request_stats_list **out_list) {
    pthread_mutex_lock(&executor->lock);
    *out_list = take_first_list(&executor->stats);
    pthread_mutex_unlock(&executor->lock);
    return *out_list != NULL ? TN_OK : TN_NOT_FOUND;
}

void tn_request_stats_list_destroy(tn_request_stats_list *list) {
    if (list == NULL) return;
    tn_allocator allocator = list->allocator;
    tn_array_deinit(&allocator, &list->requests);
    tn_free(&allocator, list);
}

uint64_t tn_request_stats_list_iter(const tn_request_stats_list *list) {
    return list->iter;
}

const tn_request_stats *tn_request_stats_list_get(const tn_request_stats_list *list, size_t *out_count) {
    *out_count = list->requests.count;
    return list->requests.data;
}
