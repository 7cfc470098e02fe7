/* SPDX-License-Identifier: Apache-2.0
 *
 * generation.c: tokens become text.
 */
#include "server/generation.h"

#include <string.h>

#include "server/embeddings.h"
#include "server/server_internal.h"

tn_generation *tn_generation_create(tn_server *server, int32_t num_jobs, int32_t choices_per_job) {
    tn_generation *self = tn_alloc_zero(&server->allocator, sizeof *self);
    if (self == NULL) return NULL;
    size_t num_choices = (size_t)num_jobs * (size_t)choices_per_job;
    self->server = server;
    self->arena.allocator = &server->allocator;
    self->jobs = tn_arena_alloc_array(&self->arena, (size_t)num_jobs, sizeof *self->jobs);
    self->choices = tn_arena_alloc_array(&self->arena, num_choices, sizeof *self->choices);
    if (self->jobs == NULL || self->choices == NULL) {
        tn_arena_deinit(&self->arena);
        tn_free(&server->allocator, self);
        return NULL;
    }
    self->num_holders = 1;
    self->num_jobs = num_jobs;
    self->num_choices = self->num_running = (int32_t)num_choices;
    for (int32_t i = 0; i < num_jobs; i++) {
        tn_job *job = &self->jobs[i];
        *job = (tn_job){.generation = self, .choices = &self->choices[i * choices_per_job]};
        job->num_choices = job->num_running = choices_per_job;
    }
    for (size_t i = 0; i < num_choices; i++) {
        tn_choice *choice = &self->choices[i];
        choice->job = &self->jobs[i / (size_t)choices_per_job];
        choice->raw.allocator = choice->text.allocator = choice->filter.held.allocator = &server->allocator;
        choice->filter.stops = &self->stops;
        choice->stop_id = -1;
    }
    atomic_fetch_add(&server->num_generations, 1);
    return self;
}

static void destroy(tn_generation *self) {
    tn_server *server = self->server;
    for (int32_t i = 0; i < self->num_choices; i++) {
        tn_choice *choice = &self->choices[i];
        tn_detokenizer_destroy(choice->detokenizer);
        tn_stop_filter_deinit(&choice->filter);
        tn_text_deinit(&choice->text);
        tn_text_deinit(&choice->raw);
        tn_tool_parser_destroy(choice->tools);
        for (size_t k = 0; k < choice->calls.count; k++) {
            tn_text_deinit(&choice->calls.data[k].name);
            tn_text_deinit(&choice->calls.data[k].arguments);
        }
        tn_array_deinit(&server->allocator, &choice->calls);
        tn_array_deinit(&server->allocator, &choice->entries);
        tn_array_deinit(&server->allocator, &choice->tops);
    }
    atomic_fetch_sub(&server->num_prompt_logits_bytes, self->prompt_logits_bytes);
    tn_arena_deinit(&self->arena);
    tn_free(&server->allocator, self);
    atomic_fetch_sub(&server->num_generations, 1);
}

void tn_generation_release(tn_generation *self) {
    if (--self->num_holders == 0) destroy(self);
}

bool tn_generation_is_complete(const tn_generation *self) {
    return self->num_running == 0 || self->is_failed;
}

void tn_generation_abandon(tn_generation *self) {
    self->exchange = NULL;
    for (int32_t i = 0; i < self->num_jobs; i++)
        if (self->jobs[i].is_live) tn_executor_cancel(self->server->executor, self->jobs[i].id);
    tn_generation_release(self);
}

/* --- tokens ------------------------------------------------------------------------------------------------------------------------- */

static size_t count_code_points(const char *text, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

static void end_choice(tn_choice *choice, tn_choice_end end) {
    if (choice->end != TN_CHOICE_RUNS) return;
    choice->end = end;
    choice->job->num_running--;
    choice->job->generation->num_running--;
}

/* What the parser of tool calls made of the text; calls beyond the first are dropped where only one was asked for. */
static bool take_tool_events(tn_choice *choice, const tn_tool_event *events, size_t count) {
    const tn_generation *generation = choice->job->generation;
    const tn_allocator *allocator = &generation->server->allocator;
    for (size_t i = 0; i < count; i++) {
        const tn_tool_event *event = &events[i];
        if (event->kind == TN_TOOL_CONTENT) tn_text_append(&choice->text, event->text, event->size_bytes);
        if (event->kind == TN_TOOL_CONTENT || (generation->one_call && event->index > 0)) continue;
        if (event->kind == TN_TOOL_CALL_BEGIN) {
            tn_choice_call call = {.name = {.allocator = allocator}, .arguments = {.allocator = allocator}};
            if (!tn_array_push(allocator, &choice->calls, call)) return false;
            tn_text_append(&choice->calls.data[choice->calls.count - 1].name, event->text, event->size_bytes);
        } else if (event->kind == TN_TOOL_CALL_DELTA && event->index < choice->calls.count) {
            tn_text_append(&choice->calls.data[event->index].arguments, event->text, event->size_bytes);
        }
    }
    return true;
}

/* Text that no stop string holds back any more. */
static void tell(tn_choice *choice) {
    const tn_tool_event *events;
    size_t count;
    if (choice->tools == NULL || choice->raw.size == 0) return;
    if (choice->raw.failed || tn_tool_parser_push(choice->tools, choice->raw.data, choice->raw.size, &events, &count) != TN_OK ||
        !take_tool_events(choice, events, count))
        choice->text.failed = true;
    tn_text_reset(&choice->raw);
}

static void finish_tools(tn_choice *choice) {
    const tn_tool_event *events;
    size_t count;
    if (choice->tools == NULL) return;
    if (tn_tool_parser_finish(choice->tools, &events, &count) != TN_OK || !take_tool_events(choice, events, count))
        choice->text.failed = true;
}

static void push_text(tn_choice *choice, const char *text, size_t size) {
    choice->num_code_points += count_code_points(text, size);
    bool goes_on = tn_stop_filter_push(&choice->filter, text, size, choice->tools != NULL ? &choice->raw : &choice->text);
    tell(choice);
    if (goes_on) return;
    finish_tools(choice);
    choice->stop_string = choice->filter.found;
    end_choice(choice, TN_CHOICE_STOP);
}

static bool push_entry(tn_choice *choice, int32_t id, const tn_log_prob *log_probs, size_t count) {
    const tn_allocator *allocator = &choice->job->generation->server->allocator;
    tn_token_entry entry = {.id = id, .log_prob = log_probs[0].value, .has_log_prob = true, .text_offset = choice->num_code_points};
    entry.first_top = choice->tops.count;
    entry.num_top = count - 1;
    if (!tn_array_reserve(allocator, &choice->tops, entry.num_top)) return false;
    for (size_t i = 1; i < count; i++) choice->tops.data[choice->tops.count++] = log_probs[i];
    return tn_array_push(allocator, &choice->entries, entry);
}

static bool push_token(tn_choice *choice, int32_t id, const tn_log_prob *log_probs, size_t num_log_probs, bool is_hidden) {
    choice->num_tokens++;
    if (choice->end != TN_CHOICE_RUNS || is_hidden) return true;
    const tn_generation *generation = choice->job->generation;
    if (generation->has_log_probs && log_probs != NULL && !push_entry(choice, id, log_probs, num_log_probs)) return false;
    const char *text = "";
    size_t size = 0;
    if (choice->detokenizer != NULL && tn_detokenizer_push(choice->detokenizer, id, &text, &size) != TN_OK) return false;
    push_text(choice, text, size);
    return !choice->text.failed;
}

static tn_choice_end end_of(tn_finish_reason reason) {
    switch (reason) {
    case TN_FINISH_LENGTH: return TN_CHOICE_LENGTH;
    case TN_FINISH_TIMED_OUT: return TN_CHOICE_TIMED_OUT;
    case TN_FINISH_CANCELLED: return TN_CHOICE_CANCELLED;
    case TN_FINISH_NOT_FINISHED:
    case TN_FINISH_END_ID:
    case TN_FINISH_STOP_WORDS: break;
    }
    return TN_CHOICE_STOP;
}

static void finish_choice(tn_choice *choice, tn_finish_reason reason, int32_t last_id) {
    const tn_generation *generation = choice->job->generation;
    const char *text;
    size_t size;
    if (choice->end != TN_CHOICE_RUNS) return;
    for (size_t i = 0; reason == TN_FINISH_END_ID && i < generation->num_stop_ids; i++)
        if (generation->stop_ids[i] == last_id) choice->stop_id = last_id;
    if (choice->detokenizer != NULL && tn_detokenizer_finish(choice->detokenizer, &text, &size) == TN_OK) push_text(choice, text, size);
    if (choice->end == TN_CHOICE_RUNS) {
        tn_stop_filter_finish(&choice->filter, choice->tools != NULL ? &choice->raw : &choice->text);
        tell(choice);
        finish_tools(choice);
    }
    end_choice(choice, end_of(reason));
}

/* One sequence's, or one beam's, tokens of this response. */
static bool take_tokens(tn_choice *choice, const tn_response *response, int32_t beam, bool is_last) {
    const tn_generation *generation = choice->job->generation;
    size_t count, num_log_probs;
    const int32_t *ids = tn_response_beam_ids(response, beam, &count);
    tn_finish_reason reason = is_last ? tn_response_beam_finish_reason(response, beam) : TN_FINISH_NOT_FINISHED;
    for (size_t i = 0; i < count; i++) {
        const tn_log_prob *log_probs = tn_response_beam_log_probs(response, beam, i, &num_log_probs);
        bool is_end = reason == TN_FINISH_END_ID && i + 1 == count;
        /* what ends an answer is no part of it; with max_tokens 0 the one token that was drawn is none either */
        if (!push_token(choice, ids[i], log_probs, num_log_probs, (is_end && !generation->include_stop) || generation->max_tokens == 0))
            return false;
    }
    if (generation->max_tokens == 0) choice->num_tokens = 0;
    if (is_last) finish_choice(choice, reason, count > 0 ? ids[count - 1] : -1);
    return true;
}

/* --- prompts that are echoed --------------------------------------------------------------------------------------------------------- */

/* The `count` largest of a row as log-probabilities, the largest first. Of equal ones the first. */
static void find_tops(const float *row, size_t size, double offset, tn_log_prob *out, size_t count) {
    size_t num_found = 0;
    for (size_t i = 0; i < size; i++) {
        if (num_found == count && !(row[i] > out[count - 1].value)) continue;
        size_t place = num_found < count ? num_found++ : count - 1;
        for (; place > 0 && row[i] > out[place - 1].value; place--) out[place] = out[place - 1];
        out[place] = (tn_log_prob){(int32_t)i, row[i]};
    }
    for (size_t i = 0; i < num_found; i++) out[i].value = (float)((double)out[i].value - offset);
}

static bool push_prompt_token(tn_choice *choice, size_t index, const tn_response *response, tn_detokenizer *detokenizer) {
    const tn_generation *generation = choice->job->generation;
    const tn_server *server = generation->server;
    const int32_t *ids = choice->job->prompt_ids;
    tn_token_entry entry = {.id = ids[index], .text_offset = choice->num_code_points, .first_top = choice->tops.count};
    size_t num_log_probs, vocab = (size_t)server->limits.vocab_size;
    const float *log_probs = tn_response_prompt_log_probs(response, &num_log_probs), *logits = tn_response_context_logits(response);
    if (index > 0 && index <= num_log_probs) {
        entry.has_log_prob = true;
        entry.log_prob = log_probs[index - 1];
    }
    if (entry.has_log_prob && logits != NULL && generation->num_top > 0) {
        const float *row = logits + (index - 1) * vocab;
        entry.num_top = (size_t)generation->num_top < vocab ? (size_t)generation->num_top : vocab;
        if (!tn_array_reserve(&server->allocator, &choice->tops, entry.num_top)) return false;
        tn_log_prob *tops = &choice->tops.data[choice->tops.count];
        find_tops(row, vocab, (double)row[ids[index]] - (double)entry.log_prob, tops, entry.num_top);
        for (size_t i = 0; i < entry.num_top; i++) /* lm-eval compares the token's own value with the largest, bit for bit */
            if (tops[i].id == ids[index]) tops[i].value = entry.log_prob;
        choice->tops.count += entry.num_top;
    }
    const char *text;
    size_t size;
    if (detokenizer != NULL) {
        if (tn_detokenizer_push(detokenizer, entry.id, &text, &size) != TN_OK) return false;
        tn_text_append(&choice->text, text, size);
        choice->num_code_points += count_code_points(text, size);
    }
    return !generation->has_log_probs || tn_array_push(&server->allocator, &choice->entries, entry);
}

static size_t count_untold(const tn_choice *choice) {
    return choice->text.size + choice->entries.count * sizeof *choice->entries.data + choice->tops.count * sizeof *choice->tops.data;
}

/* Stop strings are looked for in the answer only. */
static bool push_prompt(tn_choice *choice, const tn_response *response) {
    const tn_server *server = choice->job->generation->server;
    tn_detokenizer *detokenizer = NULL;
    tn_detokenizer_options options;
    tn_detokenizer_options_init(&options);
    options.skip_special = choice->job->generation->skip_special;
    bool is_ok = server->tokenizer == NULL || tn_detokenizer_create(server->tokenizer, &options, &detokenizer) == TN_OK;
    for (int32_t i = 0; is_ok && i < choice->job->num_prompt_tokens; i++)
        is_ok = push_prompt_token(choice, (size_t)i, response, detokenizer);
    const char *text;
    size_t size;
    if (is_ok && detokenizer != NULL && tn_detokenizer_finish(detokenizer, &text, &size) == TN_OK)
        tn_text_append(&choice->text, text, size);
    tn_detokenizer_destroy(detokenizer);
    choice->has_echo = true;
    choice->num_echo_bytes = count_untold(choice);
    return is_ok && !choice->text.failed;
}

/* --- responses ------------------------------------------------------------------------------------------------------------------------ */

static void count_queue(tn_job *job) {
    if (!job->is_queued) return;
    job->is_queued = false;
    atomic_fetch_sub(&job->generation->server->num_queued_requests, 1);
    atomic_fetch_sub(&job->generation->server->num_queued_tokens, job->num_prompt_tokens);
}

static tn_finish_label label_of(const tn_choice *choice, const tn_response *response) {
    if (tn_response_error(response) != NULL) return TN_LABEL_ERROR;
    if (choice->end == TN_CHOICE_STOP) return TN_LABEL_STOP;
    return choice->end == TN_CHOICE_CANCELLED ? TN_LABEL_ABORT : TN_LABEL_LENGTH;
}

static void count_response(tn_choice *choice, const tn_response *response, size_t num_new) {
    tn_metrics *metrics = &choice->job->generation->server->metrics;
    tn_request_timings timings;
    tn_response_timings(response, &timings);
    bool is_first = choice->last_token_ns == 0 && num_new > 0;
    if (is_first) {
        tn_metrics_observe(metrics, TN_HISTOGRAM_time_to_first_token_seconds, (double)timings.first_token_ns * 1e-9);
        if (choice == choice->job->choices) {
            tn_metrics_add(metrics, TN_COUNTER_prompt_tokens_total, (uint64_t)timings.num_prompt_tokens);
            tn_metrics_add(metrics, TN_COUNTER_prefix_cache_queries_total, (uint64_t)timings.num_prompt_tokens);
            tn_metrics_add(metrics, TN_COUNTER_prefix_cache_hits_total, (uint64_t)timings.num_reused_tokens);
        }
    } else if (num_new > 0) {
        double seconds = (double)(timings.last_token_ns - choice->last_token_ns) * 1e-9 / (double)num_new;
        tn_metrics_observe(metrics, TN_HISTOGRAM_time_per_output_token_seconds, seconds);
        tn_metrics_observe(metrics, TN_HISTOGRAM_inter_token_latency_seconds, seconds);
    }
    if (num_new > 0) choice->last_token_ns = timings.last_token_ns > 0 ? timings.last_token_ns : 1;
    tn_metrics_add(metrics, TN_COUNTER_generation_tokens_total, num_new);
    if (!tn_response_is_sequence_final(response)) return;
    metrics->finished[label_of(choice, response)]++;
    if (choice->num_tokens == 0) return;
    tn_metrics_observe(metrics, TN_HISTOGRAM_e2e_request_latency_seconds, (double)timings.last_token_ns * 1e-9);
    tn_metrics_observe(metrics, TN_HISTOGRAM_request_queue_time_seconds, (double)timings.queued_ns * 1e-9);
    tn_metrics_observe(metrics, TN_HISTOGRAM_request_inference_time_seconds, (double)(timings.last_token_ns - timings.queued_ns) * 1e-9);
    tn_metrics_observe(metrics, TN_HISTOGRAM_request_prefill_time_seconds, (double)(timings.first_token_ns - timings.queued_ns) * 1e-9);
    tn_metrics_observe(metrics, TN_HISTOGRAM_request_decode_time_seconds, (double)(timings.last_token_ns - timings.first_token_ns) * 1e-9);
    tn_metrics_observe(metrics, TN_HISTOGRAM_request_prompt_tokens, timings.num_prompt_tokens);
    tn_metrics_observe(metrics, TN_HISTOGRAM_request_generation_tokens, timings.num_generated_tokens);
    tn_metrics_observe(metrics, TN_HISTOGRAM_request_params_n, choice->job->generation->n);
    tn_metrics_observe(metrics, TN_HISTOGRAM_request_params_max_tokens, choice->job->generation->max_tokens);
    if (timings.num_generated_tokens > 1)
        tn_metrics_observe(metrics, TN_HISTOGRAM_request_time_per_output_token_seconds,
                           (double)(timings.last_token_ns - timings.first_token_ns) * 1e-9 / (timings.num_generated_tokens - 1));
}

static void fail(tn_generation *self, int status, const char *message) {
    if (self->is_failed) return;
    self->is_failed = true;
    tn_api_fail(&self->error, status, status == 503 ? "overloaded" : "internal_error", NULL, "%s", message);
}

static void take(tn_job *job, const tn_response *response) {
    tn_generation *self = job->generation;
    bool is_last = tn_response_is_sequence_final(response), is_ok = true;
    tn_choice *choice = &job->choices[tn_response_sequence_index(response)];
    int32_t num_before = choice->num_tokens;
    tn_request_timings timings;
    tn_response_timings(response, &timings);
    job->num_reused_tokens = timings.num_reused_tokens;
    count_queue(job);
    if (tn_response_error(response) != NULL)
        fail(self, tn_response_status(response) == TN_OUT_OF_MEMORY ? 503 : 500, tn_response_error(response));
    if (self->echo && !choice->has_echo) is_ok = push_prompt(choice, response);
    int32_t num_beams = tn_response_num_beams(response);
    for (int32_t i = 0; is_ok && i < num_beams && &choice[i] < job->choices + job->num_choices; i++)
        is_ok = take_tokens(&choice[i], response, i, is_last);
    if (is_last && self->num_dimensions > 0 && !self->is_failed) self->is_failed = !tn_embedding_take(choice, response, &self->error);
    count_response(choice, response, (size_t)(choice->num_tokens - num_before));
    /* fewer beams than were asked for: the rest are empty */
    if (tn_response_is_final(response))
        for (int32_t i = 0; i < job->num_choices; i++) end_choice(&job->choices[i], TN_CHOICE_STOP);
    if (!is_ok) fail(self, 503, "out of memory for the answer's text");
    size_t max_bytes = self->server->options.max_stream_buffer_bytes + choice->num_echo_bytes;
    if (self->streams && count_untold(choice) > max_bytes) self->is_overflowing = true;
}

void tn_job_take(tn_job *job, const tn_response *response) {
    take(job, response);
    /* A stop string ends a choice before the executor knows. */
    if (tn_response_is_final(response) || job->num_running > 0 || job->is_cancelled) return;
    tn_executor_cancel(job->generation->server->executor, tn_response_id(response));
    job->is_cancelled = true;
}

void tn_job_end(tn_job *job) {
    tn_server *server = job->generation->server;
    job->is_live = false;
    tn_generation_release(job->generation);
    atomic_fetch_sub(&server->num_live_jobs, 1);
}
