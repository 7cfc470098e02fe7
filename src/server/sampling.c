/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.c: from API fields to sampling parameters.
 */
#include "server/sampling.h"

#include <string.h>

#include "base/hash.h"
#include "format/quote.h"
#include "server/server_internal.h"

enum { MAX_STOPS = 16, MAX_STOP_SIZE = 1024, MAX_STOP_IDS = 128, MAX_BIASES = 1024, DEFAULT_MAX_TOKENS = 16 };

/* Below it, dividing logits would leave float's range, and no draw could differ from the most likely token. */
static const double MIN_TEMPERATURE = 1e-5;

static bool out_of_memory(const tn_preparation *self) {
    return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
}

/* --- logit_bias ------------------------------------------------------------------------------------------------------------------------ */

static bool read_bias(const tn_preparation *self, const tn_json_value *member, float *biases) {
    const char *param = "logit_bias", *key = tn_json_key(member, NULL);
    int64_t vocab = self->server->limits.vocab_size, id = 0;
    double value;
    char quoted[TN_QUOTE_SIZE];
    for (const char *c = key; id >= 0 && *c != '\0'; c++) id = *c >= '0' && *c <= '9' && id < vocab ? id * 10 + (*c - '0') : -1;
    if (key[0] == '\0' || id < 0 || id >= vocab)
        return tn_api_fail(self->error, 400, "invalid_value", param, "'logit_bias' names the token '%s', ids are 0 to %lld",
                           tn_quote(key, strlen(key), quoted), (long long)vocab - 1);
    tn_status status = tn_json_to_number(member, -100.0, 100.0, self->diag, &value);
    if (status != TN_OK) return tn_api_fail_from(self->error, status, self->diag, param);
    biases[id] = (float)value;
    return true;
}

static bool read_biases(const tn_preparation *self, const tn_json_value *value, tn_request *out) {
    const char *param = "logit_bias";
    if (value == NULL) return true;
    if (tn_json_kind_of(value) != TN_JSON_OBJECT)
        return tn_api_fail(self->error, 400, "invalid_value", param, "'logit_bias' is not an object");
    size_t count = tn_json_count(value), vocab = (size_t)self->server->limits.vocab_size;
    if (count > MAX_BIASES)
        return tn_api_fail(self->error, 400, "invalid_value", param, "'logit_bias' has %zu ids, at most %d are taken", count, MAX_BIASES);
    if (count == 0) return true;
    float *biases = tn_arena_alloc_array(self->arena, vocab, sizeof *biases);
    if (biases == NULL) return out_of_memory(self);
    for (size_t i = 0; i < count; i++)
        if (!read_bias(self, tn_json_at(value, i), biases)) return false;
    out->embedding_bias = biases;
    out->embedding_bias_size = vocab;
    return true;
}

/* --- what ends an answer ---------------------------------------------------------------------------------------------------------------- */

bool tn_stops_read(const tn_preparation *self, const tn_api_fields *fields, tn_generation *generation) {
    const tn_json_value *value = fields->stop;
    generation->stops.keep = generation->include_stop = fields->include_stop_str_in_output;
    if (value != NULL) {
        bool is_list = tn_json_kind_of(value) == TN_JSON_ARRAY;
        size_t count = is_list ? tn_json_count(value) : 1;
        if (count > MAX_STOPS)
            return tn_api_fail(self->error, 400, "invalid_value", "stop", "'stop' has %zu texts, at most %d are taken", count, MAX_STOPS);
        const char **strings = tn_arena_alloc_array(&generation->arena, count, sizeof *strings);
        size_t *sizes = tn_arena_alloc_array(&generation->arena, count, sizeof *sizes);
        if (strings == NULL || sizes == NULL) return out_of_memory(self);
        for (size_t i = 0; i < count; i++) {
            const char *text;
            tn_status status = tn_json_to_string(is_list ? tn_json_at(value, i) : value, self->diag, &text, &sizes[i]);
            if (status != TN_OK) return tn_api_fail_from(self->error, status, self->diag, "stop");
            if (sizes[i] == 0 || sizes[i] > MAX_STOP_SIZE)
                return tn_api_fail(self->error, 400, "invalid_value", "stop", "'stop' has a text of %zu bytes, must be 1 to %d", sizes[i],
                                   MAX_STOP_SIZE);
            strings[i] = tn_arena_bytes(&generation->arena, text, sizes[i]);
            if (strings[i] == NULL) return out_of_memory(self);
        }
        generation->stops = (tn_stop_strings){strings, sizes, count, generation->include_stop};
    }
    if (fields->stop_token_ids == NULL) return true;
    int32_t *ids;
    tn_preparation kept = *self;
    kept.arena = &generation->arena;
    if (!tn_ids_read(&kept, fields->stop_token_ids, "stop_token_ids", MAX_STOP_IDS, &ids, &generation->num_stop_ids)) return false;
    generation->stop_ids = ids;
    return true;
}

/* The model's own end ids, then those of the request. */
static bool set_end_ids(const tn_preparation *self, const tn_api_fields *fields, tn_request *out) {
    const int32_t *own = NULL;
    const tn_tokenizer *tokenizer = self->server->tokenizer;
    size_t num_own = tokenizer != NULL && !fields->ignore_eos ? tn_tokenizer_end_ids(tokenizer, &own) : 0;
    size_t num_more = fields->stop_token_ids != NULL ? tn_json_count(fields->stop_token_ids) : 0;
    int32_t *ids = tn_arena_alloc_array(self->arena, num_own + num_more, sizeof *ids);
    if (ids == NULL) return out_of_memory(self);
    if (num_own > 0) memcpy(ids, own, num_own * sizeof *ids);
    for (size_t i = 0; i < num_more; i++) {
        int64_t id = 0;
        (void)!tn_json_to_integer(tn_json_at(fields->stop_token_ids, i), 0, INT32_MAX, self->diag, &id); /* checked by tn_stops_read */
        ids[num_own + i] = (int32_t)id;
    }
    if (num_own + num_more == 0) return true;
    out->end_id = ids[0];
    out->more_end_ids = ids + 1;
    out->num_more_end_ids = num_own + num_more - 1;
    return true;
}

/* --- sampling ---------------------------------------------------------------------------------------------------------------------------- */

static uint64_t seed_of(const tn_preparation *self, const tn_api_fields *fields) {
    if (fields->seed > -1000000000000000000) return (uint64_t)fields->seed;
    uint64_t words[2] = {self->server->salt, atomic_fetch_add(&self->server->next_id, 1)};
    return tn_hash(words, sizeof words, 1);
}

static bool set_beams(const tn_preparation *self, const tn_api_fields *fields, tn_sampling_config *sampling) {
    int64_t width = fields->best_of > 0 ? fields->best_of : fields->n;
    if (!fields->use_beam_search && fields->best_of > 0 && fields->best_of != fields->n)
        return tn_api_fail(self->error, 400, "unsupported", "best_of", "'best_of' other than 'n' is supported only with 'use_beam_search'");
    if (!fields->use_beam_search) return true;
    if (fields->stream) return tn_api_fail(self->error, 400, "unsupported", "use_beam_search", "beam search does not stream");
    if (fields->echo) return tn_api_fail(self->error, 400, "unsupported", "use_beam_search", "beam search does not echo the prompt");
    if (fields->n > width) return tn_api_fail(self->error, 400, "invalid_value", "best_of", "'best_of' is less than 'n'");
    if (width > self->server->limits.max_beam_width)
        return tn_api_fail(self->error, 400, "invalid_value", "use_beam_search", "%lld beams are asked for, the server has at most %d",
                           (long long)width, (int)self->server->limits.max_beam_width);
    sampling->beam_width = (int32_t)width;
    sampling->length_penalty = (float)fields->length_penalty;
    sampling->early_stopping = fields->early_stopping ? 1 : 0;
    return true;
}

static int32_t clamp_to_i32(int64_t value) {
    return value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

/* Log-probabilities in both of their spellings: -1 none, else how many alternatives. */
static bool read_log_probs(const tn_preparation *self, const tn_api_fields *fields, bool is_chat, tn_request *out) {
    int64_t count = fields->logprobs;
    if (is_chat) {
        count = fields->chat_logprobs ? (fields->top_logprobs > 0 ? fields->top_logprobs : 0) : -1;
        if (!fields->chat_logprobs && fields->top_logprobs > 0)
            return tn_api_fail(self->error, 400, "invalid_value", "top_logprobs", "'top_logprobs' needs 'logprobs': true");
    }
    if (count > self->server->limits.max_log_probs)
        return tn_api_fail(self->error, 400, "invalid_value", is_chat ? "top_logprobs" : "logprobs",
                           "%lld log-probabilities are asked for, this engine gives at most %d", (long long)count,
                           (int)self->server->limits.max_log_probs);
    out->num_log_probs = (int32_t)count;
    return true;
}

bool tn_sampling_read(const tn_preparation *self, const tn_api_fields *fields, bool is_chat, tn_request *out) {
    tn_sampling_config *sampling = &out->sampling;
    int64_t max_tokens = fields->max_completion_tokens > 0 ? fields->max_completion_tokens : fields->max_tokens;
    if (max_tokens == 0 && !fields->echo)
        return tn_api_fail(self->error, 400, "invalid_value", "max_tokens", "'max_tokens' is 0, must be at least 1 without 'echo'");
    if (max_tokens < 0) max_tokens = is_chat ? self->server->limits.max_seq_len : DEFAULT_MAX_TOKENS;
    out->max_tokens = clamp_to_i32(max_tokens > 0 ? max_tokens : 1);
    sampling->temperature = fields->temperature < MIN_TEMPERATURE ? 0.0f : (float)fields->temperature;
    sampling->top_p = (float)fields->top_p; /* never 0: with neither top_p nor top_k a request is greedy */
    sampling->top_k = fields->top_k > 0 ? clamp_to_i32(fields->top_k) : 0;
    sampling->min_p = (float)fields->min_p;
    sampling->presence_penalty = (float)fields->presence_penalty;
    sampling->frequency_penalty = (float)fields->frequency_penalty;
    sampling->repetition_penalty = (float)fields->repetition_penalty;
    sampling->min_tokens = clamp_to_i32(fields->min_tokens);
    sampling->seed = seed_of(self, fields);
    sampling->num_return_sequences = fields->n > 1 || fields->use_beam_search ? (int32_t)fields->n : 0;
    out->allotted_time_ms = self->server->options.request_timeout_ms;
    return set_beams(self, fields, sampling) && read_log_probs(self, fields, is_chat, out) && read_biases(self, fields->logit_bias, out) &&
           set_end_ids(self, fields, out);
}
