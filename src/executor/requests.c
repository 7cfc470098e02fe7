/* SPDX-License-Identifier: Apache-2.0
 *
 * requests.c: the table of requests: enqueue and cancel.
 */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/report.h"
#include "base/thread.h"
#include "executor/beams.h"
#include "executor/executor_internal.h"

/* --- the table -------------------------------------------------------------------------------------------------------------- */

static tn_sequence **bucket_of(tn_executor *executor, uint64_t id) {
    return &executor->buckets[id & (executor->num_buckets - 1)];
}

tn_sequence *tn_executor_find(tn_executor *executor, uint64_t id) {
    tn_sequence *lead = *bucket_of(executor, id);
    while (lead != NULL && lead->id != id) lead = lead->next_in_bucket;
    return lead;
}

/* Ids ascend, so a table of twice as many buckets as requests has short chains. */
static bool grow_table(tn_executor *executor, size_t num_requests) {
    size_t count = executor->num_buckets;
    while (count < num_requests) count *= 2;
    if (count == executor->num_buckets) return true;
    tn_sequence **buckets = tn_alloc_array(&executor->allocator, count, sizeof(tn_sequence *));
    if (buckets == NULL) return false;
    for (size_t i = 0; i < executor->num_buckets; i++)
        for (tn_sequence *lead = executor->buckets[i], *next; lead != NULL; lead = next) {
            next = lead->next_in_bucket;
            lead->next_in_bucket = buckets[lead->id & (count - 1)];
            buckets[lead->id & (count - 1)] = lead;
        }
    tn_free(&executor->allocator, executor->buckets);
    executor->buckets = buckets;
    executor->num_buckets = count;
    return true;
}

static void unready(tn_executor *executor, tn_sequence *lead) {
    if (!lead->is_ready) return;
    if (lead->previous_ready != NULL)
        lead->previous_ready->next_ready = lead->next_ready;
    else
        executor->first_ready = lead->next_ready;
    if (lead->next_ready != NULL)
        lead->next_ready->previous_ready = lead->previous_ready;
    else
        executor->last_ready = lead->previous_ready;
    if (executor->last_new_ready == lead) executor->last_new_ready = lead->previous_ready;
    lead->previous_ready = lead->next_ready = NULL;
    lead->is_ready = false;
}

/* Behind `previous`; NULL: before all. */
static void insert_ready(tn_executor *executor, tn_sequence *lead, tn_sequence *previous) {
    tn_sequence *next = previous != NULL ? previous->next_ready : executor->first_ready;
    lead->is_ready = true;
    lead->previous_ready = previous;
    lead->next_ready = next;
    *(previous != NULL ? &previous->next_ready : &executor->first_ready) = lead;
    *(next != NULL ? &next->previous_ready : &executor->last_ready) = lead;
}

void tn_executor_mark_ready(tn_executor *executor, tn_sequence *sequence) {
    if (sequence->lead->is_ready || !tn_sequence_has_response(sequence)) return;
    bool is_new = sequence->num_delivered == sequence->num_prompt;
    insert_ready(executor, sequence->lead, is_new ? executor->last_new_ready : executor->last_ready);
    if (is_new) executor->last_new_ready = sequence->lead;
    executor->has_news = true;
}

void tn_executor_requeue_ready(tn_executor *executor, tn_sequence *lead, bool is_ready) {
    unready(executor, lead);
    if (is_ready) insert_ready(executor, lead, executor->last_ready);
}

static void destroy_all(tn_sequence *lead) {
    for (tn_sequence *sequence = lead, *next; sequence != NULL; sequence = next) {
        next = sequence->next_sibling;
        tn_sequence_destroy(sequence);
    }
}

void tn_executor_remove(tn_executor *executor, tn_sequence *lead) {
    unready(executor, lead);
    tn_sequence **link = bucket_of(executor, lead->id);
    while (*link != lead) link = &(*link)->next_in_bucket;
    *link = lead->next_in_bucket;
    if (lead->is_in_cancelled) {
        for (link = &executor->first_cancelled; *link != lead;) link = &(*link)->next_cancelled;
        *link = lead->next_cancelled;
    }
    executor->num_requests--;
    executor->num_sequences -= (size_t)lead->num_siblings;
    destroy_all(lead);
}

/* --- enqueue ---------------------------------------------------------------------------------------------------------------- */

/* The post-processor that the request names. */
static tn_status find_post_processor(const tn_executor *executor, const char *name, tn_diag *diag, tn_sequence *sequence) {
    const tn_executor_options *options = &executor->options;
    if (name == NULL) return TN_OK;
    sequence->is_logits_batched = strcmp(name, TN_BATCHED_POST_PROCESSOR_NAME) == 0 && options->batched_logits_post_processor != NULL;
    if (sequence->is_logits_batched) return TN_OK;
    for (size_t i = 0; i < options->num_logits_post_processors; i++) {
        if (strcmp(options->logits_post_processors[i].name, name) != 0) continue;
        sequence->logits_callback = options->logits_post_processors[i].callback;
        sequence->logits_user = options->logits_post_processors[i].user;
        return TN_OK;
    }
    tn_where where = {.subject = name};
    return tn_fail_at(diag, TN_NOT_FOUND, &where, "cannot take the request: the executor has no logits post-processor '%s'", name);
}

static tn_status check_step_size(const tn_executor *executor, const tn_request *request, tn_diag *diag) {
    const tn_executor_options *options = &executor->options;
    size_t max_num_tokens = (size_t)options->max_num_tokens;
    if (options->enable_chunked_context || request->num_input_ids > (size_t)executor->info.max_seq_len) return TN_OK;
    tn_where where = {.subject = "input_ids", .hint = "enable chunked context, or start the executor with more max_num_tokens"};
    if (request->num_input_ids > max_num_tokens)
        return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where,
                          "cannot take the request: the prompt has %zu tokens, a step holds %d and prompts are not read in chunks",
                          request->num_input_ids, (int)options->max_num_tokens);
    int64_t longest = (int64_t)request->num_input_ids + request->max_tokens - 1;
    if (longest >= executor->info.max_seq_len) longest = executor->info.max_seq_len - 1;
    int64_t of_beams = tn_beam_width(&request->sampling) * (longest - (int64_t)request->num_input_ids); /* after what they share */
    if (of_beams > longest) longest = of_beams;
    if (options->capacity_policy != TN_MAX_UTILIZATION || longest <= options->max_num_tokens) return TN_OK;
    return tn_fail_at(
        diag, TN_INVALID_ARGUMENT, &where,
        "cannot take the request: it could be paused with %lld tokens to read, a step holds %d and prompts are not read in chunks",
        (long long)longest, (int)options->max_num_tokens);
}

/* All sequences of a request, linked; the lead in *out_lead. */
static tn_status create_sequences(tn_executor *executor, const tn_request *request, tn_diag *diag, tn_sequence **out_lead) {
    *out_lead = NULL;
    tn_sequence **link = out_lead;
    tn_status status = tn_request_check(request, &executor->info, diag);
    if (status == TN_OK) status = check_step_size(executor, request, diag);
    bool is_one = status != TN_OK || request->sampling.num_return_sequences == 0 || tn_beam_width(&request->sampling) > 1;
    for (int32_t i = 0; status == TN_OK && i < (is_one ? 1 : request->sampling.num_return_sequences); i++) {
        status = tn_sequence_create(request, i, &executor->info, &executor->allocator, diag, link);
        if (status != TN_OK) break;
        tn_sequence *sequence = *link, *lead = *out_lead;
        link = &sequence->next_sibling;
        sequence->lead = lead;
        lead->num_siblings = lead->num_undelivered = i + 1;
        status = find_post_processor(executor, request->logits_post_processor_name, diag, sequence);
    }
    if (status == TN_OK) return TN_OK;
    destroy_all(*out_lead);
    *out_lead = NULL;
    return status;
}

/* TensorRT-LLM's way: the request is taken and answers with the reason. */
static tn_status create_answer(tn_executor *executor, const tn_request *request, tn_diag *diag, tn_sequence **out_lead) {
    tn_diag *reasons;
    tn_status status = tn_diag_create(&executor->allocator, &reasons);
    if (status != TN_OK) return tn_fail_memory(diag, "a request", 0);
    status = create_sequences(executor, request, reasons, out_lead);
    tn_diag_entry entry = {.message = tn_status_name(status)};
    size_t count = tn_diag_num_entries(reasons);
    if (count > 0 && tn_diag_get(reasons, count - 1, &entry) != TN_OK) entry.message = tn_status_name(status);
    if (status == TN_NOT_FOUND || status == TN_OUT_OF_MEMORY || (status != TN_OK && request->struct_size != sizeof *request)) {
        tn_fail(diag, status, "%s", entry.message);
    } else if (status != TN_OK) {
        char message[256];
        snprintf(message, sizeof message, "Encountered an error when fetching new request: %s", entry.message);
        status = tn_sequence_create_failed(request, status, message, &executor->allocator, diag, out_lead);
    }
    tn_diag_destroy(reasons);
    return status;
}

static void insert(tn_executor *executor, tn_sequence *lead) {
    lead->next_in_bucket = *bucket_of(executor, executor->next_id);
    *bucket_of(executor, executor->next_id) = lead;
    executor->num_requests++;
    executor->num_sequences += (size_t)lead->num_siblings;
    for (tn_sequence *sequence = lead; sequence != NULL; sequence = sequence->next_sibling) {
        sequence->id = executor->next_id++;
        if (sequence->is_finished) {
            tn_executor_mark_ready(executor, sequence);
            pthread_cond_broadcast(&executor->progress);
            continue;
        }
        tn_scheduler_push(&executor->scheduler, sequence);
        if (sequence->deadline_ns >= 0) tn_heap_push(&executor->deadlines, sequence);
    }
    executor->info.num_queued = executor->scheduler.queue.count;
}

/* Under the lock: all of them or none. */
static tn_status take_requests(tn_executor *executor, tn_sequence *const *leads, size_t count, tn_diag *diag, uint64_t *out_ids) {
    const tn_executor_options *options = &executor->options;
    size_t num_new = 0;
    for (size_t i = 0; i < count; i++) num_new += (size_t)leads[i]->num_siblings;
    if (executor->is_stopping) return tn_fail(diag, TN_UNAVAILABLE, "cannot take the request: the executor is shutting down");
    size_t num_queued = (size_t)executor->scheduler.queue.count;
    if (options->max_queue_size > 0 && num_queued + num_new > (size_t)options->max_queue_size)
        return tn_fail(diag, TN_UNAVAILABLE, "cannot take the request: %zu requests are waiting, which is the queue's limit", num_queued);
    size_t num_sequences = executor->num_sequences + num_new;
    if (num_sequences > INT32_MAX / 2 || !grow_table(executor, executor->num_requests + count) ||
        !tn_heap_reserve(&executor->scheduler.queue, &executor->allocator, num_sequences) ||
        !tn_heap_reserve(&executor->deadlines, &executor->allocator, num_sequences))
        return tn_fail_memory(diag, "the table of requests", num_sequences * sizeof(tn_sequence *));
    for (size_t i = 0; i < count; i++) {
        insert(executor, leads[i]);
        out_ids[i] = leads[i]->id;
    }
    pthread_cond_signal(&executor->work);
    return TN_OK;
}

tn_status tn_executor_enqueue_many(tn_executor *executor, const tn_request *requests, size_t num_requests, tn_diag *diag,
                                   uint64_t *out_ids) {
    memset(out_ids, 0, num_requests * sizeof *out_ids);
    if (num_requests == 0) return TN_OK;
    tn_sequence *one = NULL, **leads = &one;
    if (num_requests > 1) leads = tn_alloc_array(&executor->allocator, num_requests, sizeof(tn_sequence *));
    if (leads == NULL) return tn_fail_memory(diag, "requests", num_requests * sizeof(tn_sequence *));
    tn_status status = TN_OK;
    for (size_t i = 0; status == TN_OK && i < num_requests; i++)
        status = (executor->options.errors_as_responses ? create_answer : create_sequences)(executor, &requests[i], diag, &leads[i]);
    if (status == TN_OK) {
        pthread_mutex_lock(&executor->lock);
        status = take_requests(executor, leads, num_requests, diag, out_ids);
        pthread_mutex_unlock(&executor->lock);
    }
    for (size_t i = 0; status != TN_OK && i < num_requests; i++) destroy_all(leads[i]);
    if (leads != &one) tn_free(&executor->allocator, leads);
    return status;
}

tn_status tn_executor_enqueue_diag(tn_executor *executor, const tn_request *request, tn_diag *diag, uint64_t *out_id) {
    return tn_executor_enqueue_many(executor, request, 1, diag, out_id);
}

tn_status tn_executor_enqueue(tn_executor *executor, const tn_request *request, uint64_t *out_id) {
    return tn_executor_enqueue_many(executor, request, 1, NULL, out_id);
}

bool tn_executor_can_enqueue(tn_executor *executor) {
    pthread_mutex_lock(&executor->lock);
    int32_t limit = executor->options.max_queue_size;
    bool can = !executor->is_stopping && (limit == 0 || executor->scheduler.queue.count < limit);
    pthread_mutex_unlock(&executor->lock);
    return can;
}

void tn_executor_cancel(tn_executor *executor, uint64_t id) {
    pthread_mutex_lock(&executor->lock);
    tn_sequence *lead = tn_executor_find(executor, id);
    if (lead != NULL && !lead->is_in_cancelled && lead->num_undelivered > 0) {
        lead->is_in_cancelled = true;
        lead->next_cancelled = executor->first_cancelled;
        executor->first_cancelled = lead;
        pthread_cond_signal(&executor->work);
    }
    pthread_mutex_unlock(&executor->lock);
}
