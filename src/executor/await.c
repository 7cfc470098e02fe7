/* SPDX-License-Identifier: Apache-2.0
 *
 * await.c: waiting for responses and taking them.
 */
#include "base/report.h"
#include "base/thread.h"
#include "executor/executor_internal.h"
#include "executor/wait.h"

static bool wait_for_progress(tn_executor *executor, int64_t timeout_ms, const struct timespec *deadline) {
    return tn_condition_wait(&executor->progress, &executor->lock, timeout_ms, deadline);
}

/* The sibling that has a response, from the one whose turn it is; NULL: none. */
static tn_sequence *find_ready(tn_sequence *lead) {
    tn_sequence *sequence = lead->turn;
    for (int32_t i = 0; i < lead->num_siblings; i++) {
        if (tn_sequence_has_response(sequence)) return sequence;
        sequence = sequence->next_sibling != NULL ? sequence->next_sibling : lead;
    }
    return NULL;
}

static tn_status take(tn_executor *executor, tn_sequence *sequence, tn_response **out_response) {
    tn_sequence *lead = sequence->lead;
    tn_status status = tn_sequence_take_response(sequence, &executor->allocator, out_response);
    if (status != TN_OK)
        return tn_fail(NULL, status, "out of memory: the response of request %llu, which waits for another try",
                       (unsigned long long)sequence->id);
    if (tn_response_is_final(*out_response)) {
        tn_executor_remove(executor, lead);
        pthread_cond_broadcast(&executor->progress); /* others may wait for the same id */
        return TN_OK;
    }
    lead->turn = sequence->next_sibling != NULL ? sequence->next_sibling : lead;
    tn_executor_requeue_ready(executor, lead, find_ready(lead) != NULL);
    return TN_OK;
}

tn_status tn_executor_await(tn_executor *executor, uint64_t id, int64_t timeout_ms, tn_response **out_response) {
    *out_response = NULL;
    struct timespec deadline = tn_deadline_after(timeout_ms);
    tn_status status = TN_TIMED_OUT;
    pthread_mutex_lock(&executor->lock);
    for (;;) {
        tn_sequence *lead = tn_executor_find(executor, id), *ready = lead != NULL ? find_ready(lead) : NULL;
        if (lead == NULL) status = TN_NOT_FOUND;
        if (ready != NULL) status = take(executor, ready, out_response);
        if (lead == NULL || ready != NULL || !wait_for_progress(executor, timeout_ms, &deadline)) break;
    }
    pthread_mutex_unlock(&executor->lock);
    return status;
}

tn_status tn_executor_await_any(tn_executor *executor, int64_t timeout_ms, tn_response **out_response) {
    *out_response = NULL;
    struct timespec deadline = tn_deadline_after(timeout_ms);
    tn_status status = TN_TIMED_OUT;
    pthread_mutex_lock(&executor->lock);
    for (;;) {
        bool is_ready = executor->first_ready != NULL, has_any = executor->num_requests > 0;
        if (is_ready) status = take(executor, find_ready(executor->first_ready), out_response);
        if (!has_any) status = TN_NOT_FOUND;
        if (is_ready || !has_any || !wait_for_progress(executor, timeout_ms, &deadline)) break;
    }
    pthread_mutex_unlock(&executor->lock);
    return status;
}

tn_status tn_executor_await_all_ready(tn_executor *executor, int64_t timeout_ms, tn_response **out_responses, size_t max_responses,
                                      size_t *out_count) {
    *out_count = 0;
    struct timespec deadline = tn_deadline_after(timeout_ms);
    tn_status status = TN_OK;
    pthread_mutex_lock(&executor->lock);
    while (executor->first_ready == NULL && status == TN_OK) {
        if (executor->is_stopped)
            status = TN_UNAVAILABLE;
        else if (!wait_for_progress(executor, timeout_ms, &deadline))
            status = TN_TIMED_OUT;
    }
    if (executor->first_ready != NULL) status = TN_OK;
    while (status == TN_OK && executor->first_ready != NULL && *out_count < max_responses) {
        const tn_sequence *next = executor->first_ready->next_ready;
        for (unsigned line = 1; next != NULL && line <= 4; line += line == 1 ? 2 : 1) tn_sequence_prefetch(next, line);
        status = take(executor, find_ready(executor->first_ready), &out_responses[*out_count]);
        if (status == TN_OK) (*out_count)++;
    }
    pthread_mutex_unlock(&executor->lock);
    return *out_count > 0 ? TN_OK : status; /* what could not be taken for lack of memory is still there */
}

void tn_executor_set_listener(tn_executor *executor, tn_responses_callback callback, void *user) {
    pthread_mutex_lock(&executor->lock);
    while (executor->is_telling) pthread_cond_wait(&executor->progress, &executor->lock);
    executor->listener = callback;
    executor->listener_user = user;
    executor->has_news = executor->has_news || executor->first_ready != NULL;
    pthread_cond_signal(&executor->work);
    pthread_mutex_unlock(&executor->lock);
}

tn_status tn_executor_await_ids(tn_executor *executor, const uint64_t *ids, size_t num_ids, int64_t timeout_ms,
                                tn_response **out_responses) {
    int64_t end_ns = timeout_ms < 0 ? INT64_MAX : tn_now_ns() + (timeout_ms < (int64_t)1 << 40 ? timeout_ms : (int64_t)1 << 40) * 1000000;
    tn_status result = TN_OK;
    for (size_t i = 0; i < num_ids; i++) {
        int64_t left_ns = end_ns - tn_now_ns(), left_ms = left_ns > 0 ? (left_ns + 999999) / 1000000 : 0;
        tn_status status = tn_executor_await(executor, ids[i], timeout_ms < 0 ? TN_FOREVER : left_ms, &out_responses[i]);
        if (result == TN_OK || (result == TN_TIMED_OUT && status != TN_OK)) result = status;
    }
    return result;
}

int32_t tn_executor_num_responses_ready(tn_executor *executor, uint64_t id) {
    int32_t count = 0;
    pthread_mutex_lock(&executor->lock);
    for (const tn_sequence *lead = id == 0 ? executor->first_ready : tn_executor_find(executor, id); lead != NULL;
         lead = lead->next_ready) {
        for (const tn_sequence *sequence = lead; sequence != NULL; sequence = sequence->next_sibling)
            count += tn_sequence_num_responses(sequence);
        if (id != 0) break;
    }
    pthread_mutex_unlock(&executor->lock);
    return count;
}
