/* SPDX-License-Identifier: Apache-2.0
 *
 * embeddings.c: /v1/embeddings.
 */
#include "server/embeddings.h"

#include <math.h>
#include <string.h>

#include "format/quote.h"
#include "server/prepare.h"
#include "server/server_internal.h"

/* --- the request ------------------------------------------------------------------------------------------------------------------------ */

static bool pools_mean(const tn_server *server) {
    return strcmp(server->options.pooling, "mean") == 0;
}

static bool check_form(const tn_preparation *self, const tn_api_fields *fields) {
    int64_t hidden_size = self->server->limits.hidden_size;
    const char *format = fields->encoding_format;
    char quoted[TN_QUOTE_SIZE];
    if (format != NULL && strcmp(format, "base64") != 0 && strcmp(format, "float") != 0)
        return tn_api_fail(self->error, 400, "invalid_value", "encoding_format", "'encoding_format' is '%s', must be float or base64",
                           tn_quote(format, strlen(format), quoted));
    if (fields->dimensions > hidden_size)
        return tn_api_fail(self->error, 400, "invalid_value", "dimensions", "'dimensions' is %lld, this model's vectors have %lld",
                           (long long)fields->dimensions, (long long)hidden_size);
    return true;
}

/* Rows that wait in the executor until they are pooled. */
static int64_t count_row_bytes(const tn_server *server, const tn_prompt *prompts, size_t count) {
    int64_t num_rows = 0;
    for (size_t i = 0; i < count; i++) num_rows += pools_mean(server) ? (int64_t)prompts[i].num_ids + 1 : 1;
    return num_rows * server->limits.hidden_size * (int64_t)sizeof(float); /* prompts fit the context: far from overflow */
}

bool tn_embeddings_prepare(const tn_preparation *self, tn_exchange *exchange, const tn_json_value *body) {
    static const tn_additional_output last = {TN_OUTPUT_HIDDEN_STATES, false}, all = {TN_OUTPUT_HIDDEN_STATES, true};
    tn_server *server = self->server;
    tn_api_fields fields;
    tn_prompt *prompts;
    size_t count;
    if (server->limits.hidden_size == 0)
        return tn_api_fail(self->error, 501, "unsupported", NULL,
                           "this engine gives no embeddings: start the server (or build the engine) with --embeddings");
    if (!tn_fields_read(body, TN_FIELDS_EMBEDDINGS, self->diag, &fields, self->error) || !tn_prepare_check_model(self, &fields))
        return false;
    if (!check_form(self, &fields)) return false;
    if (!tn_prompts_read(self, fields.input, "input", (size_t)server->options.max_sequences_per_request, &prompts, &count)) return false;
    if (!tn_prepare_check_context(self, "input", prompts, count)) return false;
    tn_generation *generation = tn_generation_create(server, (int32_t)count, 1);
    if (generation == NULL) return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
    generation->num_dimensions = (int32_t)(fields.dimensions > 0 ? fields.dimensions : server->limits.hidden_size);
    generation->is_base64 = fields.encoding_format != NULL && strcmp(fields.encoding_format, "base64") == 0;
    tn_request request;
    tn_request_init(&request, NULL, 0, 1);
    request.additional_outputs = pools_mean(server) ? &all : &last;
    request.num_additional_outputs = 1;
    if (!tn_generation_start(self, &fields, exchange, generation, &request, prompts, count_row_bytes(server, prompts, count))) {
        tn_generation_release(generation);
        return false;
    }
    exchange->generation = generation;
    return true;
}

/* --- the vector ------------------------------------------------------------------------------------------------------------------------- */

static void append_base64(const float *values, size_t count, tn_text *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *bytes = (const uint8_t *)values; /* little-endian float32, as OpenAI's */
    size_t size = count * sizeof *values;
    for (size_t i = 0; i < size; i += 3) {
        size_t num_bytes = size - i < 3 ? size - i : 3;
        uint32_t bits = (uint32_t)bytes[i] << 16;
        if (num_bytes > 1) bits |= (uint32_t)bytes[i + 1] << 8;
        if (num_bytes > 2) bits |= bytes[i + 2];
        char group[4] = {digits[bits >> 18], digits[bits >> 12 & 63], num_bytes > 1 ? digits[bits >> 6 & 63] : '=',
                         num_bytes > 2 ? digits[bits & 63] : '='};
        tn_text_append(out, group, sizeof group);
    }
}

static void append_vector(const float *values, size_t count, bool is_base64, tn_text *out) {
    tn_text_append_char(out, is_base64 ? '"' : '[');
    if (is_base64) append_base64(values, count, out);
    for (size_t i = 0; i < count && !is_base64; i++) tn_text_append_format(out, "%s%.9g", i > 0 ? ", " : "", (double)values[i]);
    tn_text_append_char(out, is_base64 ? '"' : ']');
}

/* The first `count` columns added up, of length 1, as their mean would be then; zeros stay zeros. False: it is not finite. */
static bool pool(const float *rows, size_t num_rows, size_t num_columns, size_t count, double *sums, float *out) {
    double squares = 0.0;
    for (size_t row = 0; row < num_rows; row++)
        for (size_t i = 0; i < count; i++) sums[i] += (double)rows[row * num_columns + i];
    for (size_t i = 0; i < count; i++) squares += sums[i] * sums[i];
    double length = squares > 0.0 ? sqrt(squares) : 1.0;
    for (size_t i = 0; i < count; i++) out[i] = (float)(sums[i] / length);
    return isfinite(squares);
}

static void count_prompt(tn_metrics *metrics, const tn_response *response) {
    tn_request_timings timings;
    tn_response_timings(response, &timings);
    tn_metrics_add(metrics, TN_COUNTER_prompt_tokens_total, (uint64_t)timings.num_prompt_tokens);
    tn_metrics_add(metrics, TN_COUNTER_prefix_cache_queries_total, (uint64_t)timings.num_prompt_tokens);
    tn_metrics_add(metrics, TN_COUNTER_prefix_cache_hits_total, (uint64_t)timings.num_reused_tokens);
}

bool tn_embedding_take(tn_choice *choice, const tn_response *response, tn_api_error *error) {
    const tn_generation *generation = choice->job->generation;
    tn_server *server = generation->server;
    size_t columns, num_ids, count = (size_t)generation->num_dimensions, num_rows = 1;
    (void)tn_response_ids(response, &num_ids);
    if (num_ids == 0) return tn_api_fail(error, 503, "overloaded", NULL, "the prompt was not read in time");
    count_prompt(&server->metrics, response);
    const float *rows = tn_response_generation_output(response, TN_OUTPUT_HIDDEN_STATES, &columns);
    if (pools_mean(server)) {
        rows = tn_response_context_output(response, TN_OUTPUT_HIDDEN_STATES, &columns);
        num_rows = (size_t)choice->job->num_prompt_tokens;
    }
    double *sums = tn_alloc_array(&server->allocator, count, sizeof *sums);
    float *vector = tn_alloc_array(&server->allocator, count, sizeof *vector);
    bool has_memory = sums != NULL && vector != NULL;
    bool is_ok = has_memory && pool(rows, num_rows, columns, count, sums, vector);
    if (is_ok) append_vector(vector, count, generation->is_base64, &choice->text);
    tn_free(&server->allocator, sums);
    tn_free(&server->allocator, vector);
    if (!has_memory || choice->text.failed) return tn_api_fail(error, 503, "overloaded", NULL, "out of memory for the answer's text");
    return is_ok || tn_api_fail(error, 500, "internal_error", NULL, "the model's hidden states are not finite");
}

/* --- the answer ------------------------------------------------------------------------------------------------------------------------- */

void tn_embeddings_write(const tn_generation *generation, tn_text *out) {
    int64_t num_prompt = 0, num_cached = 0;
    tn_text_append_format(out, "{\"id\": \"%s\", \"object\": \"list\", \"created\": %lld, \"model\": ", generation->id,
                          (long long)generation->created_unix_s);
    tn_text_append_json_string(out, generation->model, strlen(generation->model));
    tn_text_append_string(out, ", \"data\": [");
    for (int32_t i = 0; i < generation->num_choices; i++) {
        const tn_choice *choice = &generation->choices[i];
        tn_text_append_format(out, "%s{\"object\": \"embedding\", \"index\": %d, \"embedding\": ", i > 0 ? ", " : "", (int)i);
        tn_text_append(out, choice->text.data, choice->text.size);
        tn_text_append_char(out, '}');
        num_prompt += choice->job->num_prompt_tokens;
        num_cached += choice->job->num_reused_tokens;
    }
    tn_text_append_format(out,
                          "], \"usage\": {\"prompt_tokens\": %lld, \"total_tokens\": %lld, \"prompt_tokens_details\": "
                          "{\"cached_tokens\": %lld}}}",
                          (long long)num_prompt, (long long)num_prompt, (long long)num_cached);
}
