/* SPDX-License-Identifier: Apache-2.0
 *
 * serve_load.c: see serve_load.h.
 */
#include "cli/serve_load.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "cli/sse.h"
#include "format/json.h"
#include "op/philox.h"

enum { MAX_ERROR_BODY = 4096 };

/* A request under way. */
typedef struct answer {
    tn_sse sse;
    tn_text refusal; /* the body of an answer that is no stream */
    bool is_done;    /* [DONE] came */
} answer;

typedef struct load_run {
    const tn_serve_load_options *options;
    const tn_dataset *dataset;
    tn_serve_result *result;
    answer *answers; /* [num_requests] */
    tn_http_client *client;
    tn_diag *quiet; /* what is wrong with an answer becomes its record's error */
    tn_text request, body;
    size_t num_sent, num_ended;
    int64_t start_ns, next_ns; /* when the next request is due */
    bool is_out_of_memory;
} load_run;

/* --- requests ----------------------------------------------------------------------------------------------------------------- */

/* Random ids as text for chats. The words are one token each in most vocabularies; what counts is the server's own count. */
static void append_words(tn_text *text, const int32_t *ids, int32_t num_ids) {
    static const char *const words[] = {"time",   "year",  "people", "way",     "day",    "man",     "thing",    "woman", "life",
                                        "child",  "world", "school", "state",   "family", "group",   "country",  "hand",  "part",
                                        "place",  "case",  "week",   "company", "system", "program", "question", "work",  "government",
                                        "number", "night", "point",  "home",    "water",  "room",    "mother",   "area",  "money",
                                        "story",  "fact",  "month",  "lot",     "right",  "study",   "book"};
    for (int32_t i = 0; i < num_ids; i++) {
        if (i > 0) tn_text_append_char(text, ' ');
        tn_text_append_string(text, words[(size_t)ids[i] % (sizeof words / sizeof *words)]);
    }
}

static void append_ids(tn_text *text, const int32_t *ids, int32_t num_ids) {
    for (int32_t i = 0; i < num_ids; i++) tn_text_append_format(text, "%s%d", i == 0 ? "[" : ",", (int)ids[i]);
    tn_text_append_char(text, ']');
}

static void write_body(const load_run *load, const tn_dataset_request *item, tn_text *body) {
    const tn_serve_load_options *options = load->options;
    tn_text words = {0};
    const char *prompt = item->text;
    size_t prompt_size = item->text_size;
    tn_text_append_string(body, "{\"model\":");
    tn_text_append_json_string(body, options->model, strlen(options->model));
    if (options->is_chat && prompt == NULL) {
        append_words(&words, item->ids, item->num_ids);
        prompt = words.data;
        prompt_size = words.size;
        if (words.failed) body->failed = true;
    }
    tn_text_append_string(body, options->is_chat ? ",\"messages\":[{\"role\":\"user\",\"content\":" : ",\"prompt\":");
    if (prompt != NULL)
        tn_text_append_json_string(body, prompt, prompt_size);
    else
        append_ids(body, item->ids, item->num_ids);
    tn_text_append_format(body, "%s,\"max_tokens\":%d,\"stream\":true,\"stream_options\":{\"include_usage\":true}",
                          options->is_chat ? "}]" : "", (int)item->output_tokens);
    if (options->temperature >= 0.0) tn_text_append_format(body, ",\"temperature\":%.9g", options->temperature);
    if (options->ignore_eos) tn_text_append_string(body, ",\"ignore_eos\":true");
    tn_text_append_char(body, '}');
    tn_text_deinit(&words);
}

static void write_head(tn_text *request, const tn_http_address *address, const char *method, const char *path, const char *key) {
    tn_text_append_format(request, "%s %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tenon-bench/" TN_VERSION "\r\n", method, address->prefix,
                          path, address->authority);
    if (key != NULL) tn_text_append_format(request, "Authorization: Bearer %s\r\n", key);
}

/* --- answers ------------------------------------------------------------------------------------------------------------------ */

static void fail_request(load_run *load, size_t index, const char *format, ...) TN_PRINTF(3, 4);
static void fail_request(load_run *load, size_t index, const char *format, ...) {
    tn_serve_record *record = &load->result->records[index];
    char text[512];
    va_list arguments;
    if (record->error != NULL) return; /* the first reason is the reason */
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    record->error = tn_copy_string(NULL, text);
    if (record->error == NULL) load->is_out_of_memory = true;
}

/* The `message` of {"error": {"message": …}}; NULL if there is none. */
static const char *error_message(const load_run *load, const tn_json_value *root) {
    const tn_json_value *error = tn_json_find(root, "error");
    const char *message = NULL;
    if (error == NULL) return NULL;
    if (tn_json_kind_of(error) == TN_JSON_OBJECT) error = tn_json_find(error, "message");
    if (error == NULL || tn_json_to_string(error, load->quiet, &message, NULL) != TN_OK) return "an error without a message";
    return message;
}

static bool has_text(const tn_json_value *object, const char *key) {
    const tn_json_value *value = tn_json_find(object, key);
    const char *text;
    size_t size;
    if (value == NULL || tn_json_kind_of(value) != TN_JSON_STRING) return false;
    return tn_json_to_string(value, NULL, &text, &size) == TN_OK && size > 0;
}

static bool chunk_has_text(const tn_json_value *root) {
    const tn_json_value *choices = tn_json_find(root, "choices");
    if (choices == NULL || tn_json_kind_of(choices) != TN_JSON_ARRAY || tn_json_count(choices) == 0) return false;
    const tn_json_value *choice = tn_json_at(choices, 0), *delta = tn_json_find(choice, "delta");
    if (delta == NULL) return has_text(choice, "text");
    const tn_json_value *calls = tn_json_find(delta, "tool_calls");
    return has_text(delta, "content") || has_text(delta, "reasoning_content") || (calls != NULL && tn_json_count(calls) > 0);
}

static void take_usage(const load_run *load, tn_serve_record *record, const tn_json_value *root) {
    const tn_json_value *usage = tn_json_find(root, "usage");
    int64_t input, output;
    if (usage == NULL || tn_json_kind_of(usage) != TN_JSON_OBJECT) return;
    if (tn_json_get_integer(usage, "prompt_tokens", 0, INT32_MAX, load->quiet, &input) != TN_OK) return;
    if (tn_json_get_integer_or(usage, "completion_tokens", 0, INT32_MAX, 0, load->quiet, &output) != TN_OK) return;
    record->num_input = input;
    record->num_output = output;
    record->has_usage = true;
}

static void count_chunk(load_run *load, tn_serve_record *record, int64_t now_ns) {
    tn_serve_result *result = load->result;
    size_t second = (size_t)((now_ns - load->start_ns) / 1000000000);
    if (record->first_text_ns == 0)
        record->first_text_ns = now_ns;
    else if (!tn_array_push(NULL, &record->gaps_ms, (float)((double)(now_ns - record->last_text_ns) * 1e-6)))
        load->is_out_of_memory = true;
    record->last_text_ns = now_ns;
    while (result->chunks_each_second.count <= second && !load->is_out_of_memory)
        if (!tn_array_push(NULL, &result->chunks_each_second, 0)) load->is_out_of_memory = true;
    if (!load->is_out_of_memory) result->chunks_each_second.data[second]++;
}

/* False: the request is given up. */
static bool take_event(load_run *load, size_t index, const char *data, size_t size, int64_t now_ns) {
    tn_serve_record *record = &load->result->records[index];
    if (size == 6 && memcmp(data, "[DONE]", 6) == 0) {
        load->answers[index].is_done = true;
        return true;
    }
    tn_json *json;
    tn_status status = tn_json_parse("an event", data, size, NULL, NULL, load->quiet, &json);
    if (status != TN_OK) {
        tn_diag_clear(load->quiet);
        fail_request(load, index, status == TN_OUT_OF_MEMORY ? "out of memory" : "an event of the stream is no JSON");
        return false;
    }
    const tn_json_value *root = tn_json_root(json);
    const char *error = error_message(load, root);
    if (error != NULL)
        fail_request(load, index, "in the stream: %s", error);
    else if (chunk_has_text(root))
        count_chunk(load, record, now_ns);
    take_usage(load, record, root);
    tn_json_destroy(json);
    if (tn_diag_num_entries(load->quiet) > 0) tn_diag_clear(load->quiet);
    return error == NULL && !load->is_out_of_memory;
}

static bool take_body(void *context, uint64_t request, const tn_http_response *response, const char *bytes, size_t size, int64_t now_ns) {
    load_run *load = context;
    size_t index = (size_t)request;
    answer *state = &load->answers[index];
    if (response->status != 200 || !response->is_event_stream) {
        tn_text_append(&state->refusal, bytes, size);
        return true; /* beyond MAX_ERROR_BODY nothing is kept */
    }
    const char *data;
    size_t data_size;
    do {
        tn_status status = tn_sse_next(&state->sse, &bytes, &size, &data, &data_size);
        if (status != TN_OK) {
            fail_request(load, index, status == TN_OUT_OF_MEMORY ? "out of memory" : "an event of the stream is larger than 1 MiB");
            return false;
        }
        if (data != NULL && !take_event(load, index, data, data_size, now_ns)) return false;
    } while (data != NULL);
    return true;
}

/* An answer that is no stream: what it says. */
static void take_refusal(load_run *load, size_t index, int status) {
    const tn_text *text = &load->answers[index].refusal;
    tn_json *json = NULL;
    const char *message = NULL;
    if (text->size > 0 && tn_json_parse("an answer", text->data, text->size, NULL, NULL, load->quiet, &json) == TN_OK)
        message = error_message(load, tn_json_root(json));
    if (status == 200)
        fail_request(load, index, "the answer is no event stream");
    else
        fail_request(load, index, "HTTP %d%s%s", status, message != NULL ? ": " : "", message != NULL ? message : "");
    tn_json_destroy(json);
    tn_diag_clear(load->quiet);
}

static void end_answer(void *context, uint64_t request, const tn_http_response *response, const char *error, int64_t now_ns) {
    load_run *load = context;
    size_t index = (size_t)request;
    tn_serve_record *record = &load->result->records[index];
    answer *state = &load->answers[index];
    record->end_ns = now_ns;
    if (response->status != 0 && (response->status != 200 || !response->is_event_stream) && error == NULL)
        take_refusal(load, index, response->status);
    else if (error != NULL)
        fail_request(load, index, "%s", error);
    else if (!state->is_done)
        fail_request(load, index, "the stream ended before its [DONE]");
    record->is_ok = record->error == NULL;
    if (!record->has_usage) {
        record->num_input = load->dataset->requests[index].num_ids;
        record->num_output = record->first_text_ns != 0 ? (int64_t)record->gaps_ms.count + 1 : 0;
    }
    if (record->is_ok && record->first_text_ns == 0) record->first_text_ns = record->last_text_ns = now_ns; /* tokens without a text */
    tn_sse_deinit(&state->sse);
    tn_text_deinit(&state->refusal);
    load->num_ended++;
    if (load->options->on_progress != NULL) load->options->on_progress(load->options->context, load->num_ended, load->result->num_requests);
}

/* --- sending ------------------------------------------------------------------------------------------------------------------ */

static tn_status send_request(load_run *load, size_t index) {
    const tn_serve_load_options *options = load->options;
    tn_text_reset(&load->body);
    tn_text_reset(&load->request);
    write_body(load, &load->dataset->requests[index], &load->body);
    write_head(&load->request, options->address, "POST", options->endpoint, options->key);
    tn_text_append_format(&load->request, "Content-Type: application/json\r\nAccept: text/event-stream\r\nContent-Length: %zu\r\n\r\n",
                          load->body.size);
    tn_text_append(&load->request, load->body.data, load->body.size);
    if (load->body.failed || load->request.failed) return tn_fail_memory(options->diag, "a request", load->body.size);
    answer *state = &load->answers[index];
    tn_sse_init(&state->sse, NULL);
    state->refusal = (tn_text){.max_size = MAX_ERROR_BODY};
    load->result->records[index].begin_ns = tn_now_ns();
    return tn_http_client_send(load->client, load->request.data, load->request.size, index);
}

/* When the request after `index` is due. */
static void draw_next(load_run *load, size_t index) {
    double rate = load->options->request_rate;
    if (rate <= 0.0) return;
    double interval_s = -log1p(-tn_philox_uniform(load->options->seed, 0, index)) / rate;
    load->next_ns += (int64_t)(interval_s * 1e9);
}

static bool has_room(const load_run *load) {
    return load->options->max_concurrency == 0 || tn_http_client_num_active(load->client) < load->options->max_concurrency;
}

static tn_status run(load_run *load) {
    size_t count = load->result->num_requests;
    load->start_ns = load->next_ns = tn_now_ns();
    while (load->num_ended < count) {
        while (load->num_sent < count && has_room(load) && tn_now_ns() >= load->next_ns) {
            size_t index = load->num_sent++;
            tn_status status = send_request(load, index);
            if (status != TN_OK) return status;
            draw_next(load, index);
            size_t num_active = tn_http_client_num_active(load->client);
            if (num_active > load->result->max_active) load->result->max_active = num_active;
        }
        if (load->num_ended == count) break;
        int timeout_ms = -1;
        if (load->num_sent < count && has_room(load)) {
            int64_t wait_ns = load->next_ns - tn_now_ns();
            timeout_ms = wait_ns <= 0 ? 0 : wait_ns > 1000000000 ? 1000 : (int)((wait_ns + 999999) / 1000000);
        }
        tn_http_client_wait(load->client, timeout_ms);
        if (load->is_out_of_memory) return tn_fail_memory(load->options->diag, "the times of answers", sizeof(float));
    }
    load->result->duration_ns = tn_now_ns() - load->start_ns;
    return TN_OK;
}

tn_status tn_serve_load_run(const tn_serve_load_options *options, const tn_dataset *dataset, tn_serve_result *out_result) {
    *out_result = (tn_serve_result){.num_requests = dataset->num_requests};
    load_run load = {.options = options, .dataset = dataset, .result = out_result};
    const tn_http_client_options client = {
        .diag = options->diag, .timeout_ns = options->timeout_ns, .context = &load, .on_body = take_body, .on_end = end_answer};
    out_result->records = tn_alloc_array(NULL, dataset->num_requests, sizeof *out_result->records);
    load.answers = tn_alloc_array(NULL, dataset->num_requests, sizeof *load.answers);
    tn_status status = tn_diag_create(NULL, &load.quiet);
    if (out_result->records == NULL || load.answers == NULL || status != TN_OK)
        status = tn_fail_memory(options->diag, "the requests", dataset->num_requests * sizeof *out_result->records);
    if (status == TN_OK) status = tn_http_client_create(options->address, &client, &load.client);
    if (status == TN_OK) status = run(&load);
    tn_http_client_destroy(load.client);
    for (size_t i = 0; load.answers != NULL && i < dataset->num_requests; i++) {
        tn_sse_deinit(&load.answers[i].sse);
        tn_text_deinit(&load.answers[i].refusal);
    }
    tn_free(NULL, load.answers);
    tn_text_deinit(&load.request);
    tn_text_deinit(&load.body);
    tn_diag_destroy(load.quiet);
    if (status != TN_OK) tn_serve_result_deinit(out_result);
    return status;
}

void tn_serve_result_deinit(tn_serve_result *result) {
    for (size_t i = 0; result->records != NULL && i < result->num_requests; i++) {
        tn_free(NULL, result->records[i].error);
        tn_array_deinit(NULL, &result->records[i].gaps_ms);
    }
    tn_free(NULL, result->records);
    tn_array_deinit(NULL, &result->chunks_each_second);
    *result = (tn_serve_result){0};
}

/* --- the model ---------------------------------------------------------------------------------------------------------------- */

typedef struct model_list {
    tn_text body;
    int status;
    char *error;
} model_list;

static bool keep_body(void *context, uint64_t request, const tn_http_response *response, const char *bytes, size_t size, int64_t now_ns) {
    (void)request, (void)response, (void)now_ns;
    model_list *list = context;
    tn_text_append(&list->body, bytes, size);
    return !list->body.failed;
}

static void keep_end(void *context, uint64_t request, const tn_http_response *response, const char *error, int64_t now_ns) {
    (void)request, (void)now_ns;
    model_list *list = context;
    list->status = response->status;
    list->error = error != NULL ? tn_copy_string(NULL, error) : NULL;
}

static tn_status read_model(const model_list *list, const tn_http_address *address, tn_diag *diag, char **out_model) {
    const tn_where where = {.hint = "name the model with --model"};
    if (list->error != NULL || list->status != 200)
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "cannot ask %s for its models: HTTP %d%s%s", address->authority, list->status,
                          list->error != NULL ? ", " : "", list->error != NULL ? list->error : "");
    tn_json *json;
    const tn_json_value *data;
    const char *id = NULL;
    tn_status status = tn_json_parse("the list of models", list->body.data, list->body.size, NULL, NULL, diag, &json);
    if (status != TN_OK) return status;
    status = tn_json_get_array(tn_json_root(json), "data", diag, &data);
    if (status == TN_OK && tn_json_count(data) == 0)
        status = tn_fail_at(diag, TN_INVALID_DATA, &where, "%s says that it has no model", address->authority);
    if (status == TN_OK) status = tn_json_get_string(tn_json_at(data, 0), "id", diag, &id, NULL);
    if (status == TN_OK && (*out_model = tn_copy_string(NULL, id)) == NULL) status = tn_fail_memory(diag, "a model's name", strlen(id));
    tn_json_destroy(json);
    return status;
}

tn_status tn_serve_find_model(const tn_http_address *address, const char *key, tn_diag *diag, char **out_model) {
    enum { TIMEOUT_S = 30, MAX_LIST_BYTES = 1 << 20 };
    *out_model = NULL;
    model_list list = {.body = {.max_size = MAX_LIST_BYTES}};
    const tn_http_client_options options = {
        .diag = diag, .timeout_ns = TIMEOUT_S * 1000000000LL, .context = &list, .on_body = keep_body, .on_end = keep_end};
    tn_http_client *client;
    tn_text request = {0};
    tn_status status = tn_http_client_create(address, &options, &client);
    write_head(&request, address, "GET", "/v1/models", key);
    tn_text_append_string(&request, "\r\n");
    if (status == TN_OK && request.failed) status = tn_fail_memory(diag, "a request", request.size);
    if (status == TN_OK) status = tn_http_client_send(client, request.data, request.size, 0);
    while (status == TN_OK && tn_http_client_num_active(client) > 0) tn_http_client_wait(client, -1);
    if (status == TN_OK) status = read_model(&list, address, diag, out_model);
    tn_http_client_destroy(client);
    tn_text_deinit(&request);
    tn_text_deinit(&list.body);
    tn_free(NULL, list.error);
    return status;
}
