/* SPDX-License-Identifier: Apache-2.0
 *
 * prepare.c: from a body to work in the executor.
 */
#include "server/prepare.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "server/answer.h"
#include "server/embeddings.h"
#include "server/generation.h"
#include "server/sampling.h"
#include "server/server_internal.h"

/* --- options of the answer ------------------------------------------------------------------------------------------------------------ */

static bool read_stream_options(const tn_preparation *self, const tn_api_fields *fields, tn_generation *generation) {
    const tn_json_value *value = fields->stream_options;
    generation->streams = fields->stream;
    if (value == NULL) return true;
    if (!fields->stream) return tn_api_fail(self->error, 400, "invalid_value", "stream_options", "'stream_options' needs 'stream': true");
    tn_status status = tn_json_expect(value, TN_JSON_OBJECT, self->diag);
    if (status == TN_OK) status = tn_json_get_bool_or(value, "include_usage", false, self->diag, &generation->include_usage);
    if (status == TN_OK) status = tn_json_get_bool_or(value, "continuous_usage_stats", false, self->diag, &generation->continuous_usage);
    return status == TN_OK || tn_api_fail_from(self->error, status, self->diag, "stream_options");
}

static bool check_response_format(const tn_preparation *self, const tn_api_fields *fields) {
    const char *type = NULL;
    if (fields->response_format == NULL) return true;
    tn_status status = tn_json_get_string(fields->response_format, "type", self->diag, &type, NULL);
    if (status != TN_OK) return tn_api_fail_from(self->error, status, self->diag, "response_format");
    if (strcmp(type, "text") == 0) return true;
    return tn_api_fail(self->error, 400, "unsupported", "response_format",
                       "'response_format' other than text is not supported: guided decoding is not built");
}

bool tn_prepare_check_model(const tn_preparation *self, const tn_api_fields *fields) {
    const tn_server_options *options = &self->server->options;
    if (!options->require_model_name || (fields->model != NULL && strcmp(fields->model, options->model_name) == 0)) return true;
    return tn_api_fail(self->error, 404, "model_not_found", "model", "this server has the model '%s'", options->model_name);
}

/* Tools go to the template, and calls are read back; a call that must come would need guided decoding. */
static bool read_tool_choice(const tn_preparation *self, tn_api_fields *fields) {
    const char *choice = "auto";
    const tn_json_value *value = fields->tool_choice;
    if (fields->tools != NULL && (tn_json_kind_of(fields->tools) != TN_JSON_ARRAY))
        return tn_api_fail(self->error, 400, "invalid_value", "tools", "'tools' is not a list");
    if (value != NULL && tn_json_kind_of(value) == TN_JSON_STRING && tn_json_to_string(value, self->diag, &choice, NULL) != TN_OK)
        return tn_api_fail_from(self->error, TN_INVALID_DATA, self->diag, "tool_choice");
    if (value != NULL && (tn_json_kind_of(value) != TN_JSON_STRING || strcmp(choice, "required") == 0))
        return tn_api_fail(self->error, 400, "unsupported", "tool_choice",
                           "'tool_choice' other than \"none\" and \"auto\" is not supported: guided decoding is not built");
    if (strcmp(choice, "none") != 0 && strcmp(choice, "auto") != 0)
        return tn_api_fail(self->error, 400, "invalid_value", "tool_choice", "'tool_choice' is neither \"none\" nor \"auto\"");
    if (fields->tools != NULL && (strcmp(choice, "none") == 0 || tn_json_count(fields->tools) == 0)) fields->tools = NULL;
    if (fields->tools == NULL || self->server->tool_form != TN_TOOLS_NONE) return true;
    return tn_api_fail(self->error, 400, "unsupported", "tools",
                       "'tools' is not supported: this model's template writes calls in no known form");
}

/* --- room -------------------------------------------------------------------------------------------------------------------------------- */

static bool refuse_full(const tn_preparation *self, const char *what, long long limit) {
    tn_metrics *metrics = &self->server->metrics;
    tn_metrics_lock(metrics);
    tn_metrics_add(metrics, TN_COUNTER_admission_rejections_total, 1);
    tn_metrics_unlock(metrics);
    return tn_api_fail(self->error, 429, "overloaded", NULL, "the queue is full: at most %lld %s wait", limit, what);
}

/* Takes room in the queue; what could not be had is given back. */
static bool reserve(const tn_preparation *self, int64_t num_requests, int64_t num_tokens, int64_t num_bytes) {
    tn_server *server = self->server;
    const tn_server_options *options = &server->options;
    bool fits_requests = atomic_fetch_add(&server->num_queued_requests, num_requests) + num_requests <= options->max_queued_requests;
    bool fits_tokens = atomic_fetch_add(&server->num_queued_tokens, num_tokens) + num_tokens <= options->max_queued_tokens;
    bool fits_bytes =
        atomic_fetch_add(&server->num_prompt_logits_bytes, num_bytes) + num_bytes <= (int64_t)options->max_prompt_logits_bytes;
    if (fits_requests && fits_tokens && fits_bytes) return true;
    atomic_fetch_sub(&server->num_queued_requests, num_requests);
    atomic_fetch_sub(&server->num_queued_tokens, num_tokens);
    atomic_fetch_sub(&server->num_prompt_logits_bytes, num_bytes);
    if (!fits_requests) return refuse_full(self, "requests", options->max_queued_requests);
    if (!fits_tokens) return refuse_full(self, "prompt tokens", options->max_queued_tokens);
    return refuse_full(self, "bytes of prompts' log-probabilities and hidden states", (long long)options->max_prompt_logits_bytes);
}

bool tn_prepare_check_context(const tn_preparation *self, const char *param, const tn_prompt *prompts, size_t count) {
    int64_t context = self->server->limits.max_seq_len;
    for (size_t i = 0; i < count; i++)
        if ((int64_t)prompts[i].num_ids >= context)
            return tn_api_fail(self->error, 400, "context_length_exceeded", param,
                               "the prompt has %zu tokens, the context holds %lld with at least one of the answer", prompts[i].num_ids,
                               (long long)context);
    return true;
}

/* What the log-probabilities of prompts take while they are computed. */
static int64_t count_logits_bytes(const tn_server *server, const tn_prompt *prompts, size_t count, int32_t n) {
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += (int64_t)prompts[i].num_ids;
    return sum * n * server->limits.vocab_size * (int64_t)sizeof(float); /* prompts fit the context: far from overflow */
}

/* --- the generation ---------------------------------------------------------------------------------------------------------------------- */

static bool make_detokenizers(const tn_preparation *self, tn_generation *generation, bool has_tools) {
    tn_detokenizer_options options;
    tn_detokenizer_options_init(&options);
    options.skip_special = generation->skip_special && !has_tools; /* markers of calls are special tokens */
    for (int32_t i = 0; has_tools && i < generation->num_choices; i++)
        if (tn_tool_parser_create(self->server->tool_form, &self->server->allocator, self->server->loop_diag,
                                  &generation->choices[i].tools) != TN_OK)
            return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
    for (int32_t i = 0; self->server->tokenizer != NULL && i < generation->num_choices; i++)
        if (tn_detokenizer_create(self->server->tokenizer, &options, &generation->choices[i].detokenizer) != TN_OK)
            return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
    return true;
}

static uint64_t salt_of(const tn_exchange *exchange, const tn_api_fields *fields) {
    uint64_t salt = exchange->key_salt;
    return fields->cache_salt != NULL ? tn_hash(fields->cache_salt, strlen(fields->cache_salt), salt + 1) : salt;
}

static bool enqueue(const tn_preparation *self, tn_generation *generation, const tn_request *pattern, const tn_prompt *prompts,
                    int64_t num_logits_bytes) {
    size_t count = (size_t)generation->num_jobs;
    int64_t num_tokens = 0;
    tn_request *requests = tn_arena_alloc_array(self->arena, count, sizeof *requests);
    uint64_t *ids = tn_arena_alloc_array(self->arena, count, sizeof *ids);
    if (requests == NULL || ids == NULL) return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
    for (size_t i = 0; i < count; i++) {
        tn_job *job = &generation->jobs[i];
        requests[i] = *pattern;
        requests[i].input_ids = prompts[i].ids;
        requests[i].num_input_ids = prompts[i].num_ids;
        requests[i].has_client_id = true;
        requests[i].client_id = (uint64_t)(uintptr_t)job;
        if (generation->echo) {
            job->prompt_ids =
                (const int32_t *)(void *)tn_arena_bytes(&generation->arena, prompts[i].ids, prompts[i].num_ids * sizeof(int32_t));
            if (job->prompt_ids == NULL) return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
        }
        job->num_prompt_tokens = (int32_t)prompts[i].num_ids;
        job->is_queued = job->is_live = true;
        num_tokens += job->num_prompt_tokens;
    }
    if (!reserve(self, (int64_t)count, num_tokens, num_logits_bytes)) return false;
    generation->prompt_logits_bytes = num_logits_bytes;
    generation->num_holders += (int32_t)count;
    atomic_fetch_add(&self->server->num_live_jobs, (int)count);
    tn_status status = tn_executor_enqueue_many(self->server->executor, requests, count, self->diag, ids);
    for (size_t i = 0; i < count; i++) generation->jobs[i].id = status == TN_OK ? ids[i] : 0;
    if (status == TN_OK) return true;
    generation->num_holders -= (int32_t)count;
    atomic_fetch_sub(&self->server->num_live_jobs, (int)count);
    atomic_fetch_sub(&self->server->num_queued_requests, (int64_t)count);
    atomic_fetch_sub(&self->server->num_queued_tokens, num_tokens);
    if (status == TN_UNAVAILABLE) return refuse_full(self, "requests", self->server->options.max_queued_requests);
    return tn_api_fail_from(self->error, status, self->diag, NULL);
}

static bool read_prompts(const tn_preparation *self, const tn_api_fields *fields, bool is_chat, tn_prompt **out_prompts,
                         size_t *out_count) {
    size_t max_prompts = (size_t)(self->server->options.max_sequences_per_request / fields->n);
    if (max_prompts == 0)
        return tn_api_fail(self->error, 400, "invalid_value", "n", "'n' is %lld, this server takes at most %d answers of one request",
                           (long long)fields->n, (int)self->server->options.max_sequences_per_request);
    if (!is_chat) return tn_prompts_read(self, fields->prompt, "prompt", max_prompts, out_prompts, out_count);
    *out_count = 1;
    *out_prompts = tn_arena_alloc_array(self->arena, 1, sizeof **out_prompts);
    if (*out_prompts == NULL) return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
    return tn_chat_encode(self, fields, *out_prompts);
}

static void name_generation(tn_generation *generation, const tn_api_fields *fields, const tn_exchange *exchange) {
    const tn_server *server = generation->server;
    const char *kind = generation->is_chat ? "chatcmpl" : generation->num_dimensions > 0 ? "embd" : "cmpl";
    snprintf(generation->id, sizeof generation->id, "%s-%llx", kind, (unsigned long long)exchange->id);
    generation->created_unix_s = (int64_t)time(NULL);
    const char *model = fields->model != NULL ? tn_arena_string(&generation->arena, fields->model) : NULL;
    generation->model = model != NULL ? model : server->options.model_name;
}

bool tn_generation_start(const tn_preparation *self, const tn_api_fields *fields, tn_exchange *exchange, tn_generation *generation,
                         tn_request *pattern, const tn_prompt *prompts, int64_t num_bytes) {
    name_generation(generation, fields, exchange);
    generation->exchange = exchange;
    generation->n = 1;
    pattern->cache_salt = salt_of(exchange, fields);
    pattern->allotted_time_ms = self->server->options.request_timeout_ms;
    return enqueue(self, generation, pattern, prompts, num_bytes);
}

static bool make_generation(const tn_preparation *self, const tn_api_fields *fields, tn_exchange *exchange, tn_generation *generation,
                            const tn_prompt *prompts) {
    bool is_chat = generation->is_chat;
    tn_request request;
    tn_request_init(&request, NULL, 0, 1);
    name_generation(generation, fields, exchange);
    generation->exchange = exchange;
    generation->echo = fields->echo;
    generation->skip_special = fields->skip_special_tokens;
    generation->n = (int32_t)fields->n;
    if (!read_stream_options(self, fields, generation) || !tn_stops_read(self, fields, generation)) return false;
    if (!tn_sampling_read(self, fields, is_chat, &request)) return false;
    generation->max_tokens = fields->max_tokens == 0 ? 0 : request.max_tokens;
    generation->has_log_probs = request.num_log_probs >= 0;
    generation->num_top = request.num_log_probs > 0 ? request.num_log_probs : 0;
    /* Token by token also where the answer is told whole: stop strings end it, and a client that leaves is noticed. */
    request.streaming = !fields->use_beam_search;
    request.return_prompt_log_probs = generation->echo && generation->has_log_probs;
    request.return_context_logits = request.return_prompt_log_probs && generation->num_top > 0;
    request.cache_salt = salt_of(exchange, fields);
    int64_t num_bytes =
        request.return_context_logits ? count_logits_bytes(self->server, prompts, (size_t)generation->num_jobs, generation->n) : 0;
    generation->one_call = !fields->parallel_tool_calls;
    if (generation->streams && !tn_generation_prepare_events(generation))
        return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
    return make_detokenizers(self, generation, fields->tools != NULL) && enqueue(self, generation, &request, prompts, num_bytes);
}

static bool prepare(const tn_preparation *self, tn_exchange *exchange, const tn_json_value *body) {
    tn_server *server = self->server;
    tn_api_fields fields;
    tn_prompt *prompts = NULL;
    size_t num_prompts = 0;
    bool is_chat = exchange->route->fields == TN_FIELDS_CHAT;
    if (exchange->route->fields == TN_FIELDS_EMBEDDINGS) return tn_embeddings_prepare(self, exchange, body);
    if (!tn_fields_read(body, exchange->route->fields, self->diag, &fields, self->error) || !tn_prepare_check_model(self, &fields))
        return false;
    if (!check_response_format(self, &fields) || !read_tool_choice(self, &fields)) return false;
    if (!read_prompts(self, &fields, is_chat, &prompts, &num_prompts)) return false;
    if (!tn_prepare_check_context(self, is_chat ? "messages" : "prompt", prompts, num_prompts)) return false;
    tn_generation *generation = tn_generation_create(server, (int32_t)num_prompts, (int32_t)fields.n);
    if (generation == NULL) return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
    generation->is_chat = is_chat;
    if (generation->arena.out_of_memory || !make_generation(self, &fields, exchange, generation, prompts)) {
        tn_generation_release(generation);
        return false;
    }
    exchange->generation = generation;
    return true;
}

void tn_exchange_generate(tn_exchange *exchange) {
    tn_server *server = exchange->server;
    tn_arena arena = {.allocator = &server->allocator};
    tn_api_error error = {0};
    tn_preparation self = {.server = server, .arena = &arena, .diag = exchange->diag, .error = &error, .body_bytes = exchange->body.size};
    tn_json *json = NULL;
    if (!tn_fields_parse(exchange->body.data != NULL ? exchange->body.data : "", exchange->body.size, &server->allocator, exchange->diag,
                         &json, &error) ||
        !prepare(&self, exchange, tn_json_root(json)))
        tn_exchange_refuse(exchange, &error);
    else
        exchange->next_phase = exchange->generation->streams ? TN_PHASE_STREAMING : TN_PHASE_WAITING;
    tn_json_destroy(json);
    tn_arena_deinit(&arena);
    tn_text_deinit(&exchange->body); /* nobody looks at it again */
}

/* --- the preparer ------------------------------------------------------------------------------------------------------------------------ */

void tn_exchange_hand_over(tn_exchange *exchange) {
    tn_server *server = exchange->server;
    pthread_mutex_lock(&server->lock);
    exchange->next_prepared = NULL;
    if (server->last_unprepared != NULL)
        server->last_unprepared->next_prepared = exchange;
    else
        server->first_unprepared = exchange;
    server->last_unprepared = exchange;
    pthread_cond_broadcast(&server->progress);
    pthread_mutex_unlock(&server->lock);
}

void *tn_server_run_preparer(void *argument) {
    tn_server *server = argument;
    (void)pthread_setname_np(pthread_self(), "tenon-prepare");
    pthread_mutex_lock(&server->lock);
    for (;;) {
        tn_exchange *exchange = server->first_unprepared;
        if (exchange == NULL && atomic_load(&server->is_preparer_stopping)) break;
        if (exchange == NULL) {
            pthread_cond_wait(&server->progress, &server->lock);
            continue;
        }
        server->first_unprepared = exchange->next_prepared;
        if (server->first_unprepared == NULL) server->last_unprepared = NULL;
        pthread_mutex_unlock(&server->lock);
        exchange->diag = server->preparer_diag;
        exchange->route->handle(exchange);
        pthread_mutex_lock(&server->lock);
        exchange->next_prepared = server->first_prepared;
        server->first_prepared = exchange;
        pthread_mutex_unlock(&server->lock);
        tn_server_wake(server);
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}
