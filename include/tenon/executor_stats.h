/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/executor_stats.h: what an executor tells of itself: statistics of iterations and requests, performance metrics of a
 * response, events of the key/value cache. Names and JSON keys are those of TensorRT-LLM.
 *
 *     tn_iteration_stats stats;
 *     char json[TN_ITERATION_STATS_JSON_SIZE];
 *     while (tn_executor_take_iteration_stats(ex, &stats) == TN_OK) {
 *         tn_iteration_stats_to_json(&stats, json, sizeof json);
 *         puts(json);
 *     }
 *
 * An iteration is a step of the engine. Functions may be called from any thread.
 */
#ifndef TENON_EXECUTOR_STATS_H_
#define TENON_EXECUTOR_STATS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenon/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tn_executor;

/* --- iterations -------------------------------------------------------------------------------------------------------------- */

typedef struct tn_kv_cache_stats {
    int64_t max_num_blocks, free_num_blocks, used_num_blocks; /* free ones include cached blocks that may be taken back */
    int32_t tokens_per_block;
    int64_t alloc_total_blocks, alloc_new_blocks; /* since the start: given to requests, and of these with nothing in them */
    int64_t reused_blocks, missed_blocks;         /* since the start: blocks of prompts that were found, and that were not */
    double cache_hit_rate;                        /* reused / (reused + missed); 0 if nothing was looked for */
} tn_kv_cache_stats;

typedef struct tn_static_batching_stats { /* with STATIC_BATCH */
    int32_t num_scheduled_requests, num_context_requests, num_ctx_tokens, num_gen_tokens, empty_gen_slots;
} tn_static_batching_stats;

typedef struct tn_inflight_batching_stats { /* with the other policies */
    int32_t num_scheduled_requests, num_context_requests, num_gen_requests, num_paused_requests, num_ctx_tokens, micro_batch_id;
    float avg_num_decoded_tokens_per_iter;
} tn_inflight_batching_stats;

typedef struct tn_iteration_stats {
    char timestamp[32]; /* "%m-%d-%Y %H:%M:%S", local time */
    uint64_t iter;
    double iter_latency_ms;
    double new_active_requests_queue_latency_ms; /* sum over the requests that became active */
    int32_t num_new_active_requests, num_active_requests, num_queued_requests, num_completed_requests, max_num_active_requests;
    int32_t max_batch_size_static, max_batch_size_tuner_recommended, max_batch_size_runtime;
    int32_t max_num_tokens_static, max_num_tokens_tuner_recommended, max_num_tokens_runtime;
    size_t gpu_mem_usage, cpu_mem_usage, pinned_mem_usage; /* bytes of the engine on its device: gpu 0 on host devices, cpu there */
    bool has_static_batching_stats;                        /* false: in-flight */
    tn_kv_cache_stats kv_cache_stats;
    tn_static_batching_stats static_batching_stats;
    tn_inflight_batching_stats inflight_batching_stats;
} tn_iteration_stats;

/* Takes the oldest that was not taken yet. At most iter_stats_max_iterations are kept, the oldest are dropped. TN_NOT_FOUND: none. */
TN_API TN_MUST_CHECK tn_status tn_executor_take_iteration_stats(struct tn_executor *executor, tn_iteration_stats *out_stats);
/* As snprintf: writes at most size − 1 bytes and a NUL, returns the length of the whole. Enough: */
#define TN_ITERATION_STATS_JSON_SIZE 4096
TN_API size_t tn_iteration_stats_to_json(const tn_iteration_stats *stats, char *buffer, size_t size);

/* --- requests ------------------------------------------------------------------------------------------------------------------ */

typedef enum tn_request_stage {
    TN_STAGE_QUEUED = 0,
    TN_STAGE_ENCODER_IN_PROGRESS,
    TN_STAGE_CONTEXT_IN_PROGRESS,
    TN_STAGE_GENERATION_IN_PROGRESS,
    TN_STAGE_GENERATION_COMPLETE,
} tn_request_stage;
TN_API const char *tn_request_stage_name(tn_request_stage stage); /* "QUEUED", "CONTEXT_IN_PROGRESS" … */

typedef struct tn_request_stats {
    uint64_t id;
    tn_request_stage stage;
    int32_t context_prefill_position; /* tokens of the prompt that are read */
    int32_t num_generated_tokens;
    float avg_num_decoded_tokens_per_iter;
    bool scheduled, paused; /* ran in this iteration; waits to be read again (MAX_UTILIZATION) */
    int32_t alloc_total_blocks, alloc_new_blocks, reused_blocks, missed_blocks;
    double kv_cache_hit_rate;
} tn_request_stats;

/* Requests of one iteration: active, queued and just finished ones; each finished request appears once. */
typedef struct tn_request_stats_list tn_request_stats_list;
/* As for iterations, request_stats_max_iterations of them (default 0: none is ever kept). Free with destroy.
 * TN_NOT_FOUND: none. TN_OUT_OF_MEMORY: nothing was taken. */
TN_API TN_MUST_CHECK tn_status tn_executor_take_request_stats(struct tn_executor *executor, tn_request_stats_list **out_list);
TN_API void tn_request_stats_list_destroy(tn_request_stats_list *list); /* accepts NULL */
TN_API uint64_t tn_request_stats_list_iter(const tn_request_stats_list *list);
TN_API const tn_request_stats *tn_request_stats_list_get(const tn_request_stats_list *list, size_t *out_count); /* lent */
/* As tn_iteration_stats_to_json; one request needs at most 512 bytes. */
TN_API size_t tn_request_stats_to_json(const tn_request_stats *stats, char *buffer, size_t size);
TN_API size_t tn_request_stats_list_to_json(const tn_request_stats_list *list, char *buffer, size_t size);

/* Of one sequence, in a response. Times are of the monotonic clock in ns; 0: not yet. */
typedef struct tn_perf_metrics {
    int64_t arrival_ns, first_scheduled_ns, first_token_ns, last_token_ns; /* last_token_ns is set by the final response */
    int32_t num_total_allocated_blocks, num_new_allocated_blocks, num_reused_blocks, num_missed_blocks;
    double kv_cache_hit_rate;
    int64_t first_iter, last_iter, iter; /* −1: not yet. iter: iterations of this sequence before that of this response's last token */
} tn_perf_metrics;

/* --- events of the key/value cache ------------------------------------------------------------------------------------------ */

typedef enum tn_kv_event_kind {
    TN_KV_EVENT_CREATED = 0, /* the first event, id 0 */
    TN_KV_EVENT_STORED,      /* blocks that can be reused from now on: a chain from parent to child */
    TN_KV_EVENT_REMOVED,
    TN_KV_EVENT_UPDATED, /* a block went to another level or got another priority */
} tn_kv_event_kind;

typedef struct tn_kv_event_block {
    uint64_t hash;
    const int32_t *tokens;                     /* [num_tokens] lent by the list */
    int32_t num_tokens, cache_level, priority; /* level 0: the device, 1: the host */
} tn_kv_event_block;

typedef struct tn_kv_event {
    uint64_t event_id; /* ascending by one: a gap tells that the buffer was too small */
    tn_kv_event_kind kind;
    int64_t num_blocks_per_level[2]; /* CREATED */
    bool has_parent;                 /* STORED: false = the first block follows the root */
    uint64_t parent_hash;            /* STORED */
    const tn_kv_event_block *blocks; /* STORED [num_blocks]; REMOVED, UPDATED: hashes only */
    size_t num_blocks;
    bool has_level, has_priority; /* UPDATED */
    int32_t old_level, new_level, old_priority, new_priority;
} tn_kv_event;

typedef struct tn_kv_event_manager tn_kv_event_manager;
typedef struct tn_kv_event_list tn_kv_event_list;
/* NULL if event_buffer_max_size is 0. Lent: lives as long as the executor. */
TN_API tn_kv_event_manager *tn_executor_get_kv_event_manager(struct tn_executor *executor);
/* Takes all events there are; waits for the first one up to timeout_ms (TN_FOREVER: until the executor shuts down). Events become
 * visible at the end of each iteration. TN_TIMED_OUT, TN_UNAVAILABLE (shut down and none left), TN_OUT_OF_MEMORY: *out_list is NULL. */
TN_API TN_MUST_CHECK tn_status tn_kv_event_manager_take(tn_kv_event_manager *manager, int64_t timeout_ms, tn_kv_event_list **out_list);
TN_API void tn_kv_event_list_destroy(tn_kv_event_list *list);                                    /* accepts NULL */
TN_API const tn_kv_event *tn_kv_event_list_get(const tn_kv_event_list *list, size_t *out_count); /* lent */

#ifdef __cplusplus
}
#endif
#endif
