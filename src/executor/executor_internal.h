/* SPDX-License-Identifier: Apache-2.0
 *
 * executor_internal.h: the executor's parts: the table of requests (any thread, under the lock) and the loop (one thread).
 *
 * The lock guards requests and their members marked (lock) in sequence.h; it is never held while a step runs. The loop thread
 * owns scheduling, blocks and the engine.
 */
#ifndef TN_EXECUTOR_EXECUTOR_INTERNAL_H_
#define TN_EXECUTOR_EXECUTOR_INTERNAL_H_

#include <pthread.h>

#include "executor/batch_tuner.h"
#include "executor/debug_tensors.h"
#include "executor/kv_cache.h"
#include "executor/scheduler.h"
#include "executor/stats.h"
#include "executor/step.h"

#define TN_MAX_PIPELINE_DEPTH 2

struct tn_executor {
    tn_allocator allocator;
    tn_arena arena; /* everything with the executor's lifetime */
    tn_executor_options options;
    tn_executor_info info; /* (lock) counters; the limits never change */
    int64_t num_host_slots;
    tn_engine *engine;
    tn_engine *owned_engine; /* of tn_executor_create */

    pthread_t thread;
    bool has_thread, has_lock;
    pthread_mutex_t lock;
    pthread_cond_t work, progress; /* work: for the loop; progress: for those who wait for responses */

    /* (lock) */
    bool is_stopping, is_draining, is_stopped;
    uint64_t next_id;
    tn_sequence **buckets; /* leads by id; num_buckets is a power of two */
    size_t num_buckets, num_requests, num_sequences;
    tn_heap deadlines;
    tn_sequence *first_cancelled; /* leads, since the loop looked last */
    tn_sequence *first_ready, *last_ready;
    tn_sequence *last_new_ready; /* of those at the head of the list that have their first response; NULL: none */
    tn_responses_callback listener;
    void *listener_user;
    bool has_news, is_telling; /* for the listener; it is being called, under no lock */
    tn_stats stats;

    /* (loop), the scheduler's queue under the lock */
    tn_kv_cache *cache;
    tn_kv_event_manager *events;
    tn_scheduler scheduler;
    tn_batch_tuner tuner;
    tn_step_runner runner;
    tn_engine_step steps[TN_MAX_PIPELINE_DEPTH];
    int first_step, num_steps_in_flight;
    int64_t num_steps;
    int64_t last_step_ns, last_idle_look_ns; /* when the last step was planned, and when it was looked for requests that get none */
    int32_t num_tokens_limit;                /* of a step, now */
    bool is_on_host;                         /* the engine's device is the host */
    tn_debug_ring debug;
};

/* requests.c, all under the lock */
tn_sequence *tn_executor_find(tn_executor *executor, uint64_t id);
/* Into the list of those that have a response: at its end, before the others if it is the first one. */
void tn_executor_mark_ready(tn_executor *executor, tn_sequence *sequence);
/* To the end of the list, or out of it: others that are ready get their turn first. */
void tn_executor_requeue_ready(tn_executor *executor, tn_sequence *lead, bool is_ready);
void tn_executor_remove(tn_executor *executor, tn_sequence *lead);

/* loop.c */
void *tn_executor_loop(void *executor);

#endif
