/* SPDX-License-Identifier: Apache-2.0
 *
 * requests.c: the table of requests: enqueue, await, cancel.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/report.h"
#include "base/thread.h"
#include "executor/executor_internal.h"

/* --- the table -------------------------------------------------------------------------------------------------------------- */

static tn_sequence **bucket_of(tn_executor *executor, uint64_t id) {
    return &executor->buckets[id & (executor->num_buckets - 1)];
}

tn_sequence *tn_executor_find(tn_executor *executor, uint64_t id) {
    tn_sequence *sequence = *bucket_of(executor, id);
    while (sequence != NULL && sequence->id != id) sequence = sequence->next_in_bucket;
    return sequence;
}

/* Ids ascend, so a table of twice as many buckets as requests has short chains. */
static bool grow_table(tn_executor *executor) {
    if (executor->num_requests < executor->num_buckets) return true;
    size_t count = executor->num_buckets * 2;
    tn_sequence **buckets = tn_alloc_array(&executor->allocator, count, sizeof(tn_sequence *));
    if (buckets == NULL) return false;
    for (size_t i = 0; i < executor->num_buckets; i++)
        for (tn_sequence *sequence = executor->buckets[i], *next; sequence != NULL; sequence = next) {
            next = sequence->next_in_bucket;
            sequence->next_in_bucket = buckets[sequence->id & (count - 1)];
            buckets[sequence->id & (count - 1)] = sequence;
        }
    tn_free(&executor->allocator, executor->buckets);
    executor->buckets = buckets;
    executor->num_buckets = count;
    return true;
}

static void unready(tn_executor *executor, tn_sequence *sequence) {
    if (!sequence->is_ready) return;
    if (sequence->previous_ready != NULL)
        sequence->previous_ready->next_ready = sequence->next_ready;
    else
        executor->first_ready = sequence->next_ready;
    if (sequence->next_ready != NULL)
        sequence->next_ready->previous_ready = sequence->previous_ready;
    else
        executor->last_ready = sequence->previous_ready;
    sequence->previous_ready = sequence->next_ready = NULL;
    sequence->is_ready = false;
}

void tn_executor_mark_ready(tn_executor *executor, tn_sequence *sequence) {
    if (sequence->is_ready || !tn_sequence_has_response(sequence)) return;
    sequence->is_ready = true;
    sequence->previous_ready = executor->last_ready;
    if (executor->last_ready != NULL)
        executor->last_ready->next_ready = sequence;
    else
        executor->first_ready = sequence;
    executor->last_ready = sequence;
}

void tn_executor_remove(tn_executor *executor, tn_sequence *sequence) {
    unready(executor, sequence);
    tn_sequence **link = bucket_of(executor, sequence->id);
    while (*link != sequence) link = &(*link)->next_in_bucket;
    *link = sequence->next_in_bucket;
    executor->num_requests--;
    tn_sequence_destroy(sequence);
}

/* --- queue -------------------------------------------------------------------------------------------------------------------- */

static void queue_by_priority(tn_executor *executor, tn_sequence *sequence) {
    tn_sequence *previous = NULL, *next = executor->first_queued;
    if (executor->last_queued != NULL && executor->last_queued->priority >= sequence->priority) {
        previous = executor->last_queued;
        next = NULL;
    }
    while (next != NULL && next->priority >= sequence->priority) {
        previous = next;
        next = next->next_queued;
    }
    sequence->next_queued = next;
    if (previous != NULL)
        previous->next_queued = sequence;
    else
        executor->first_queued = sequence;
    if (next == NULL) executor->last_queued = sequence;
    executor->info.num_queued++;
}

void tn_executor_unqueue(tn_executor *executor, tn_sequence *sequence, tn_sequence *previous) {
    if (previous != NULL)
        previous->next_queued = sequence->next_queued;
    else
        executor->first_queued = sequence->next_queued;
    if (executor->last_queued == sequence) executor->last_queued = previous;
    sequence->next_queued = NULL;
    executor->info.num_queued--;
}

tn_status tn_executor_enqueue_diag(tn_executor *executor, const tn_request *request, tn_diag *diag, uint64_t *out_id) {
    *out_id = 0;
    const tn_executor_options *options = &executor->options;
    if (!options->enable_chunked_context && request->num_input_ids > (size_t)options->max_num_tokens) {
        tn_where where = {.subject = "input_ids", .hint = "enable chunked context, or start the executor with more max_num_tokens"};
        return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where,
                          "cannot take the request: the prompt has %zu tokens, a step holds %d and prompts are not read in chunks",
                          request->num_input_ids, (int)options->max_num_tokens);
    }
    tn_sequence *sequence;
    tn_status status = tn_sequence_create(request, &executor->info, &executor->allocator, diag, &sequence);
    if (status != TN_OK) return status;
    pthread_mutex_lock(&executor->lock);
    if (executor->is_stopping) {
        status = tn_fail(diag, TN_UNAVAILABLE, "cannot take the request: the executor is shutting down");
    } else if (options->max_queue_size > 0 && executor->info.num_queued >= options->max_queue_size) {
        status = tn_fail(diag, TN_UNAVAILABLE, "cannot take the request: %d requests are waiting, which is the queue's limit",
                         (int)executor->info.num_queued);
    } else if (!grow_table(executor)) {
        status = tn_fail_memory(diag, "the table of requests", executor->num_buckets * 2 * sizeof(tn_sequence *));
    } else {
        *out_id = sequence->id = executor->next_id++;
        sequence->next_in_bucket = *bucket_of(executor, sequence->id);
        *bucket_of(executor, sequence->id) = sequence;
        executor->num_requests++;
        queue_by_priority(executor, sequence);
        pthread_cond_signal(&executor->work);
    }
    pthread_mutex_unlock(&executor->lock);
    if (status != TN_OK) tn_sequence_destroy(sequence);
    return status;
}

tn_status tn_executor_enqueue(tn_executor *executor, const tn_request *request, uint64_t *out_id) {
    return tn_executor_enqueue_diag(executor, request, NULL, out_id);
}

void tn_executor_cancel(tn_executor *executor, uint64_t id) {
    pthread_mutex_lock(&executor->lock);
    tn_sequence *sequence = tn_executor_find(executor, id);
    if (sequence != NULL && !sequence->is_finished) {
        sequence->is_cancelled = executor->has_cancellations = true;
        pthread_cond_signal(&executor->work);
    }
    pthread_mutex_unlock(&executor->lock);
}

/* --- responses ------------------------------------------------------------------------------------------------------------------ */

static struct timespec deadline_after(int64_t timeout_ms) {
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (timeout_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    return deadline;
}

/* False: the time is over. */
static bool wait_for_progress(tn_executor *executor, int64_t timeout_ms, const struct timespec *deadline) {
    if (timeout_ms < 0) return pthread_cond_wait(&executor->progress, &executor->lock) == 0;
    return pthread_cond_timedwait(&executor->progress, &executor->lock, deadline) != ETIMEDOUT;
}

static tn_status take(tn_executor *executor, tn_sequence *sequence, tn_response **out_response) {
    tn_status status = tn_sequence_take_response(sequence, &executor->allocator, out_response);
    if (status != TN_OK)
        return tn_fail(NULL, status, "out of memory: the response of request %llu, which waits for another try",
                       (unsigned long long)sequence->id);
    if (tn_response_is_final(*out_response)) {
        tn_executor_remove(executor, sequence);
        return TN_OK;
    }
    /* To the end of the list: others that are ready get their turn first. */
    unready(executor, sequence);
    tn_executor_mark_ready(executor, sequence);
    return TN_OK;
}

tn_status tn_executor_await(tn_executor *executor, uint64_t id, int64_t timeout_ms, tn_response **out_response) {
    *out_response = NULL;
    struct timespec deadline = deadline_after(timeout_ms < 0 ? 0 : timeout_ms);
    tn_status status = TN_OK;
    pthread_mutex_lock(&executor->lock);
    for (;;) {
        tn_sequence *sequence = tn_executor_find(executor, id);
        if (sequence == NULL) {
            status = TN_NOT_FOUND;
            break;
        }
        if (tn_sequence_has_response(sequence)) {
            status = take(executor, sequence, out_response);
            break;
        }
        if (!wait_for_progress(executor, timeout_ms, &deadline)) {
            status = TN_TIMED_OUT;
            break;
        }
    }
    pthread_mutex_unlock(&executor->lock);
    return status;
}

tn_status tn_executor_await_any(tn_executor *executor, int64_t timeout_ms, tn_response **out_response) {
    *out_response = NULL;
    struct timespec deadline = deadline_after(timeout_ms < 0 ? 0 : timeout_ms);
    tn_status status = TN_OK;
    pthread_mutex_lock(&executor->lock);
    for (;;) {
        if (executor->first_ready != NULL) {
            status = take(executor, executor->first_ready, out_response);
            break;
        }
        if (executor->num_requests == 0) {
            status = TN_NOT_FOUND;
            break;
        }
        if (!wait_for_progress(executor, timeout_ms, &deadline)) {
            status = TN_TIMED_OUT;
            break;
        }
    }
    pthread_mutex_unlock(&executor->lock);
    return status;
}

int32_t tn_executor_num_responses_ready(tn_executor *executor, uint64_t id) {
    int32_t count = 0;
    pthread_mutex_lock(&executor->lock);
    const tn_sequence *sequence = tn_executor_find(executor, id);
    if (sequence != NULL && tn_sequence_has_response(sequence)) {
        int32_t waiting = sequence->num_visible - sequence->num_prompt - sequence->num_delivered;
        count = sequence->streaming && waiting > 0 ? waiting : 1;
    }
    pthread_mutex_unlock(&executor->lock);
    return count;
}
