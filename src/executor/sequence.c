/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence.c: checking and copying requests; what ends an answer.
 */
#include "executor/sequence.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/report.h"
#include "base/thread.h"

void tn_request_init(tn_request *request, const int32_t *input_ids, size_t num_input_ids, int32_t max_tokens) {
    *request = (tn_request){
        .struct_size = sizeof *request,
        .input_ids = input_ids,
        .num_input_ids = num_input_ids,
        .max_tokens = max_tokens,
        .sampling = {.top_p_min = 1e-6f,
                     .top_p_decay = 1.0f,
                     .top_p_reset_id = -1,
                     .temperature = 1.0f,
                     .min_tokens = 1,
                     .repetition_penalty = 1.0f},
        .end_id = -1,
        .num_log_probs = -1,
        .priority = 0.5f,
    };
}

static tn_status bad_field(tn_diag *diag, const char *field, const char *rule, double value) {
    tn_where where = {.subject = field};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot take the request: %s is %g, must be %s", field, value, rule);
}

static tn_status check_sampling(const tn_sampling_config *sampling, tn_diag *diag) {
    if (sampling->top_k < 0) return bad_field(diag, "top_k", "0 or more", sampling->top_k);
    if (!(sampling->top_p >= 0.0f && sampling->top_p <= 1.0f))
        return bad_field(diag, "top_p", "above 0 and at most 1 (0 = off)", (double)sampling->top_p);
    if (!(sampling->top_p_min >= 0.0f && sampling->top_p_min <= 1.0f))
        return bad_field(diag, "top_p_min", "0 to 1", (double)sampling->top_p_min);
    if (!(sampling->top_p_decay > 0.0f && sampling->top_p_decay <= 1.0f))
        return bad_field(diag, "top_p_decay", "above 0 and at most 1", (double)sampling->top_p_decay);
    if (sampling->top_p_reset_id < -1) return bad_field(diag, "top_p_reset_id", "an id (-1 = none)", sampling->top_p_reset_id);
    if (!(sampling->min_p >= 0.0f && sampling->min_p <= 1.0f)) return bad_field(diag, "min_p", "0 to 1", (double)sampling->min_p);
    if (!(sampling->temperature >= 0.0f) || isinf(sampling->temperature))
        return bad_field(diag, "temperature", "0 or more", (double)sampling->temperature);
    if (sampling->min_tokens < 0) return bad_field(diag, "min_tokens", "0 or more", sampling->min_tokens);
    if (!(sampling->repetition_penalty > 0.0f) || isinf(sampling->repetition_penalty))
        return bad_field(diag, "repetition_penalty", "above 0", (double)sampling->repetition_penalty);
    if (!isfinite(sampling->presence_penalty))
        return bad_field(diag, "presence_penalty", "a finite number", (double)sampling->presence_penalty);
    if (!isfinite(sampling->frequency_penalty))
        return bad_field(diag, "frequency_penalty", "a finite number", (double)sampling->frequency_penalty);
    if (sampling->prompt_ignore_length < 0) return bad_field(diag, "prompt_ignore_length", "0 or more", sampling->prompt_ignore_length);
    if (sampling->no_repeat_ngram_size < 0)
        return bad_field(diag, "no_repeat_ngram_size", "0 or more (0 = off)", sampling->no_repeat_ngram_size);
    return TN_OK;
}

static tn_status check_ids(const char *what, const int32_t *ids, size_t num_ids, int64_t vocab_size, tn_diag *diag) {
    for (size_t i = 0; i < num_ids; i++)
        if (ids[i] < 0 || ids[i] >= vocab_size)
            return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: %s holds id %d at %zu, the vocabulary has 0 to %lld", what,
                           (int)ids[i], i, (long long)vocab_size - 1);
    return TN_OK;
}

static tn_status check_words(const char *what, const tn_token_list *words, size_t num_words, int64_t vocab_size, tn_diag *diag) {
    for (size_t i = 0; i < num_words; i++) {
        if (words[i].num_ids == 0)
            return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: %s has an empty sequence at %zu", what, i);
        tn_status status = check_ids(what, words[i].ids, words[i].num_ids, vocab_size, diag);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

static tn_status check_request(const tn_request *request, const tn_executor_info *limits, tn_diag *diag) {
    if (request->struct_size != sizeof *request)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: it was not set up by tn_request_init");
    if (request->num_input_ids == 0 || request->input_ids == NULL)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: it has no input ids");
    if (request->max_tokens < 1) return bad_field(diag, "max_tokens", "1 or more", request->max_tokens);
    if (request->num_input_ids >= (size_t)limits->max_seq_len) {
        tn_where where = {.hint = "shorten the prompt, or build with a larger --max-seq-len"};
        return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where,
                          "cannot take the request: the prompt has %zu tokens, the context holds %lld and needs one more for the answer",
                          request->num_input_ids, (long long)limits->max_seq_len);
    }
    tn_status status = check_ids("the prompt", request->input_ids, request->num_input_ids, limits->vocab_size, diag);
    if (status == TN_OK) status = check_sampling(&request->sampling, diag);
    if (status == TN_OK && (request->end_id < -1 || request->end_id >= limits->vocab_size))
        status = bad_field(diag, "end_id", "an id of the vocabulary, or -1", request->end_id);
    if (status == TN_OK) status = check_ids("more_end_ids", request->more_end_ids, request->num_more_end_ids, limits->vocab_size, diag);
    if (status == TN_OK) status = check_words("stop_words", request->stop_words, request->num_stop_words, limits->vocab_size, diag);
    if (status == TN_OK) status = check_words("bad_words", request->bad_words, request->num_bad_words, limits->vocab_size, diag);
    if (status != TN_OK) return status;
    if (request->embedding_bias != NULL && request->embedding_bias_size != (size_t)limits->vocab_size)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: embedding_bias has %zu values, the vocabulary has %lld",
                       request->embedding_bias_size, (long long)limits->vocab_size);
    if (request->num_log_probs < -1 || request->num_log_probs > limits->max_log_probs)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: num_log_probs is %d, the engine was built for at most %d",
                       (int)request->num_log_probs, (int)limits->max_log_probs);
    size_t num_bad_tokens = 0;
    for (size_t i = 0; i < request->num_bad_words; i++) num_bad_tokens += request->bad_words[i].num_ids;
    if (request->num_bad_words > TN_SLOT_MAX_BAD_WORDS || num_bad_tokens > TN_SLOT_MAX_BAD_TOKENS)
        return tn_fail(diag, TN_INVALID_ARGUMENT,
                       "cannot take the request: bad_words has %zu sequences of %zu tokens, at most %d of %d are possible",
                       request->num_bad_words, num_bad_tokens, TN_SLOT_MAX_BAD_WORDS, TN_SLOT_MAX_BAD_TOKENS);
    int64_t total = (int64_t)request->num_input_ids + request->max_tokens;
    if (total > limits->max_seq_len) total = limits->max_seq_len;
    int64_t num_blocks = (total + limits->tokens_per_block - 1) / limits->tokens_per_block;
    if (num_blocks > limits->num_blocks) {
        tn_where where = {.hint = "ask for fewer tokens, or start the executor with more cache"};
        return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where,
                          "cannot take the request: it may need %lld tokens of cache, the executor has %lld", (long long)total,
                          (long long)(limits->num_blocks * limits->tokens_per_block));
    }
    if (!isfinite(request->priority)) return bad_field(diag, "priority", "a finite number", (double)request->priority);
    return TN_OK;
}

static void fill_slot_params(const tn_request *request, tn_slot_params *params) {
    const tn_sampling_config *sampling = &request->sampling;
    *params = (tn_slot_params){
        .seed = sampling->seed,
        .temperature = sampling->temperature,
        .top_p = sampling->top_p,
        .min_p = sampling->min_p,
        .top_p_min = sampling->top_p_min,
        .top_p_decay = sampling->top_p_decay,
        .repetition_penalty = sampling->repetition_penalty,
        .presence_penalty = sampling->presence_penalty,
        .frequency_penalty = sampling->frequency_penalty,
        .top_k = sampling->top_k,
        .top_p_reset_id = sampling->top_p_reset_id,
        .end_id = request->end_id,
        .min_tokens = sampling->min_tokens,
        .no_repeat_ngram_size = sampling->no_repeat_ngram_size,
        .prompt_length = (int32_t)request->num_input_ids,
        .prompt_ignore_length = sampling->prompt_ignore_length,
        .num_bad_words = (int32_t)request->num_bad_words,
        .has_bias = request->embedding_bias != NULL,
    };
    int32_t end = 0;
    for (size_t i = 0; i < request->num_bad_words; i++) {
        memcpy(params->bad_tokens + end, request->bad_words[i].ids, request->bad_words[i].num_ids * sizeof(int32_t));
        end += (int32_t)request->bad_words[i].num_ids;
        params->bad_word_ends[i] = end;
    }
}

static void *copy_array(tn_arena *arena, const void *data, size_t count, size_t element_size) {
    void *copy = tn_arena_alloc_array(arena, count, element_size);
    if (copy != NULL && count > 0) memcpy(copy, data, count * element_size);
    return copy;
}

static bool copy_stop_words(tn_sequence *sequence, const tn_request *request) {
    tn_token_list *words = tn_arena_alloc_array(&sequence->arena, request->num_stop_words, sizeof *words);
    if (words == NULL) return false;
    for (size_t i = 0; i < request->num_stop_words; i++) {
        words[i].num_ids = request->stop_words[i].num_ids;
        words[i].ids = copy_array(&sequence->arena, request->stop_words[i].ids, words[i].num_ids, sizeof(int32_t));
        if (words[i].ids == NULL) return false;
    }
    sequence->stop_words = words;
    sequence->num_stop_words = request->num_stop_words;
    return true;
}

static bool allocate_results(tn_sequence *sequence, const tn_request *request, size_t vocab_size) {
    tn_arena *arena = &sequence->arena;
    size_t generated = (size_t)sequence->max_tokens, prompt = (size_t)sequence->num_prompt;
    if (request->num_log_probs >= 0) {
        sequence->log_probs = tn_arena_alloc_array(arena, generated, (size_t)(1 + request->num_log_probs) * sizeof *sequence->log_probs);
        if (sequence->log_probs == NULL) return false;
    }
    if (request->return_prompt_log_probs) {
        sequence->prompt_log_probs = tn_arena_alloc_array(arena, prompt, sizeof *sequence->prompt_log_probs);
        if (sequence->prompt_log_probs == NULL) return false;
    }
    if (request->return_context_logits) {
        sequence->context_logits = tn_arena_alloc_array(arena, prompt, vocab_size * sizeof *sequence->context_logits);
        if (sequence->context_logits == NULL) return false;
    }
    if (request->return_generation_logits) {
        sequence->generation_logits = tn_arena_alloc_array(arena, generated, vocab_size * sizeof *sequence->generation_logits);
        if (sequence->generation_logits == NULL) return false;
    }
    return true;
}

static bool copy_request(tn_sequence *sequence, const tn_request *request, const tn_executor_info *limits) {
    tn_arena *arena = &sequence->arena;
    int64_t total = (int64_t)request->num_input_ids + request->max_tokens;
    sequence->max_total = (int32_t)(total < limits->max_seq_len ? total : limits->max_seq_len);
    sequence->num_prompt = sequence->num_known = sequence->num_drawn = sequence->num_visible = (int32_t)request->num_input_ids;
    sequence->max_tokens = sequence->max_total - sequence->num_prompt;
    sequence->max_blocks = (sequence->max_total + limits->tokens_per_block - 1) / limits->tokens_per_block;
    sequence->tokens = tn_arena_alloc_array(arena, (size_t)sequence->max_total, sizeof *sequence->tokens);
    sequence->blocks = tn_arena_alloc_array(arena, (size_t)sequence->max_blocks, sizeof *sequence->blocks);
    if (sequence->tokens == NULL || sequence->blocks == NULL) return false;
    memcpy(sequence->tokens, request->input_ids, request->num_input_ids * sizeof *sequence->tokens);
    if (request->embedding_bias != NULL) {
        sequence->bias = copy_array(arena, request->embedding_bias, request->embedding_bias_size, sizeof *sequence->bias);
        if (sequence->bias == NULL) return false;
    }
    sequence->more_end_ids = copy_array(arena, request->more_end_ids, request->num_more_end_ids, sizeof *sequence->more_end_ids);
    sequence->num_more_end_ids = request->num_more_end_ids;
    return sequence->more_end_ids != NULL && copy_stop_words(sequence, request) &&
           allocate_results(sequence, request, (size_t)limits->vocab_size);
}

tn_status tn_sequence_create(const tn_request *request, const tn_executor_info *limits, const tn_allocator *allocator, tn_diag *diag,
                             tn_sequence **out_sequence) {
    *out_sequence = NULL;
    tn_status status = check_request(request, limits, diag);
    if (status != TN_OK) return status;
    tn_sequence *sequence = tn_alloc_zero(allocator, sizeof *sequence);
    if (sequence == NULL) return tn_fail_memory(diag, "a request", sizeof *sequence);
    sequence->arena.allocator = allocator;
    sequence->slot = -1;
    sequence->client_id = request->client_id;
    sequence->cache_salt = request->cache_salt;
    sequence->end_id = request->end_id;
    sequence->num_log_probs = request->num_log_probs;
    sequence->streaming = request->streaming;
    sequence->return_prompt_log_probs = request->return_prompt_log_probs;
    sequence->return_context_logits = request->return_context_logits;
    sequence->return_generation_logits = request->return_generation_logits;
    sequence->priority = request->priority;
    sequence->enqueue_ns = tn_now_ns();
    fill_slot_params(request, &sequence->slot_params);
    if (!copy_request(sequence, request, limits)) {
        size_t used = sequence->arena.used_bytes;
        tn_sequence_destroy(sequence);
        return tn_fail_memory(diag, "a request", used);
    }
    *out_sequence = sequence;
    return TN_OK;
}

void tn_sequence_destroy(tn_sequence *sequence) {
    if (sequence == NULL) return;
    const tn_allocator *allocator = sequence->arena.allocator;
    tn_arena_deinit(&sequence->arena);
    tn_free(allocator, sequence);
}

static bool ends_with(const tn_sequence *sequence, const tn_token_list *word) {
    size_t generated = (size_t)(sequence->num_known - sequence->num_prompt);
    if (word->num_ids > generated) return false;
    const int32_t *tail = sequence->tokens + sequence->num_known - word->num_ids;
    return memcmp(tail, word->ids, word->num_ids * sizeof *tail) == 0;
}

static bool is_end(const tn_sequence *sequence, int32_t token) {
    if (token == sequence->end_id) return true;
    for (size_t i = 0; i < sequence->num_more_end_ids; i++)
        if (sequence->more_end_ids[i] == token) return true;
    return false;
}

static void finish(tn_sequence *sequence, tn_finish_reason reason) {
    sequence->is_done = true;
    sequence->done_reason = reason;
}

void tn_sequence_accept_token(tn_sequence *sequence, int32_t token) {
    sequence->tokens[sequence->num_known++] = token;
    sequence->last_token_ns = tn_now_ns() - sequence->enqueue_ns;
    if (sequence->num_known == sequence->num_prompt + 1) sequence->first_token_ns = sequence->last_token_ns;
    if (is_end(sequence, token)) {
        finish(sequence, TN_FINISH_END_ID);
        return;
    }
    for (size_t i = 0; i < sequence->num_stop_words; i++)
        if (ends_with(sequence, &sequence->stop_words[i])) {
            finish(sequence, TN_FINISH_STOP_WORDS);
            return;
        }
    if (sequence->num_known == sequence->max_total) finish(sequence, TN_FINISH_LENGTH);
}
