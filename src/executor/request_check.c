/* SPDX-License-Identifier: Apache-2.0
 *
 * request_check.c: which requests can be served, and why another cannot. Every rule has one place, here.
 */
#include <math.h>
#include <string.h>

#include "base/report.h"
#include "executor/beam_blocks.h"

enum { MAX_RETURN_SEQUENCES = 1024, MAX_RETENTION_RANGES = 64 };

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
                     .repetition_penalty = 1.0f,
                     .beam_width = 1,
                     .early_stopping = 1},
        .end_id = -1,
        .num_log_probs = -1,
        .priority = 0.5f,
        .allotted_time_ms = -1,
    };
}

void tn_kv_retention_init(tn_kv_retention *retention) {
    *retention = (tn_kv_retention){.decode_priority = TN_DEFAULT_RETENTION_PRIORITY, .decode_duration_ms = -1};
}

static tn_status bad_field(tn_diag *diag, const char *field, const char *rule, double value) {
    tn_where where = {.subject = field};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot take the request: %s is %g, must be %s", field, value, rule);
}

static tn_status check_beams(const tn_sampling_config *sampling, int32_t max_beam_width, tn_diag *diag) {
    if (sampling->beam_width < 1 || sampling->beam_width > 1024) return bad_field(diag, "beam_width", "1 to 1024", sampling->beam_width);
    if (!(sampling->beam_search_diversity_rate >= 0.0f) || isinf(sampling->beam_search_diversity_rate))
        return bad_field(diag, "beam_search_diversity_rate", "0 or more", (double)sampling->beam_search_diversity_rate);
    if (!(sampling->length_penalty >= 0.0f) || isinf(sampling->length_penalty))
        return bad_field(diag, "length_penalty", "0 or more", (double)sampling->length_penalty);
    if (sampling->early_stopping < 0) return bad_field(diag, "early_stopping", "0 or more", sampling->early_stopping);
    if (sampling->num_beam_widths > 8) return bad_field(diag, "beam_width_array", "of at most 8 widths", (double)sampling->num_beam_widths);
    for (size_t i = 0; i < sampling->num_beam_widths; i++) {
        int32_t width = sampling->beam_width_array[i];
        if (width < 1 || width > 1023) return bad_field(diag, "beam_width_array", "of 1 to 1023", width);
    }
    int32_t width = tn_beam_width(sampling);
    if (width == 1) return TN_OK;
    if (sampling->num_return_sequences > width)
        return bad_field(diag, "num_return_sequences", "at most beam_width", sampling->num_return_sequences);
    if (width <= max_beam_width) return TN_OK;
    tn_where where = {.subject = "beam_width", .hint = "start the executor with a larger max_beam_width"};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot take the request: beam_width is %d, the executor's max_beam_width is %d",
                      (int)width, (int)max_beam_width);
}

static tn_status check_sampling(const tn_sampling_config *sampling, int32_t max_beam_width, tn_diag *diag) {
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
    if (sampling->num_return_sequences < 0 || sampling->num_return_sequences > MAX_RETURN_SEQUENCES)
        return bad_field(diag, "num_return_sequences", "1 to 1024 (0 = 1, or all beams)", sampling->num_return_sequences);
    return check_beams(sampling, max_beam_width, diag);
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

static tn_status check_outputs(const tn_request *request, const tn_executor_info *limits, tn_diag *diag) {
    if (request->embedding_bias != NULL && request->embedding_bias_size != (size_t)limits->vocab_size)
        return tn_fail(diag, TN_INVALID_ARGUMENT,
                       "cannot take the request: embedding bias shape is not as expected: it has %zu values, the vocabulary has %lld",
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
    return TN_OK;
}

static tn_status check_capacity(const tn_request *request, const tn_executor_info *limits, tn_diag *diag) {
    int64_t total = (int64_t)request->num_input_ids + request->max_tokens;
    if (total > limits->max_seq_len) total = limits->max_seq_len;
    int64_t num_blocks = (total + limits->tokens_per_block - 1) / limits->tokens_per_block;
    int32_t width = tn_beam_width(&request->sampling);
    if (width > 1)
        num_blocks = tn_beam_blocks_most((int32_t)request->num_input_ids, (int32_t)total, width, limits->tokens_per_block);
    else if (limits->max_blocks_per_request > 0 && num_blocks > limits->max_blocks_per_request)
        num_blocks = limits->max_blocks_per_request;
    if (num_blocks > limits->num_blocks) {
        tn_where where = {.hint = "ask for fewer tokens, or start the executor with more cache"};
        int64_t num_tokens = num_blocks * limits->tokens_per_block;
        return tn_fail_at(
            diag, TN_INVALID_ARGUMENT, &where, "cannot take the request: it may need %lld tokens of cache, the executor has %lld",
            (long long)(width == 1 && total < num_tokens ? total : num_tokens), (long long)(limits->num_blocks * limits->tokens_per_block));
    }
    return TN_OK;
}

static const char *const feature_names[] = {"LoRA",
                                            "prompt tuning",
                                            "multimodal input",
                                            "MRoPE",
                                            "external draft tokens",
                                            "lookahead decoding",
                                            "EAGLE",
                                            "guided decoding",
                                            "encoder input",
                                            "disaggregated serving",
                                            "position ids",
                                            "language adapters"};

static tn_status refuse_feature(uint32_t features, tn_diag *diag) {
    size_t count = sizeof feature_names / sizeof *feature_names, first = (size_t)__builtin_ctz(features);
    tn_where where = {.subject = "features"};
    return tn_fail_at(diag, TN_UNSUPPORTED, &where, "cannot take the request: %s is not built",
                      first < count ? feature_names[first] : "a feature without a name");
}

static tn_status check_additional_outputs(const tn_request *request, const tn_executor_info *limits, tn_diag *diag) {
    for (size_t i = 0; i < request->num_additional_outputs; i++) {
        const char *name = request->additional_outputs[i].name;
        if (name == NULL) return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: additional output %zu has no name", i);
        tn_where where = {.subject = name, .hint = "there is one: " TN_OUTPUT_HIDDEN_STATES};
        if (strcmp(name, TN_OUTPUT_HIDDEN_STATES) != 0)
            return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot take the request: there is no additional output '%s'", name);
        where.hint = "build the plan with hidden_states (tenon build --embeddings)";
        if (limits->hidden_size == 0)
            return tn_fail_at(diag, TN_UNSUPPORTED, &where, "cannot take the request: the plan does not give the additional output '%s'",
                              name);
        if (i > 0)
            return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: the additional output '%s' is asked for twice", name);
    }
    return TN_OK;
}

static tn_status check_retention(const tn_kv_retention *retention, tn_diag *diag) {
    if (retention == NULL) return TN_OK;
    if (retention->decode_priority < 0 || retention->decode_priority > 100)
        return bad_field(diag, "decode_priority", "0 to 100", retention->decode_priority);
    if (retention->decode_duration_ms < -1)
        return bad_field(diag, "decode_duration_ms", "0 or more (-1 = for ever)", (double)retention->decode_duration_ms);
    if (retention->num_ranges > MAX_RETENTION_RANGES)
        return bad_field(diag, "retention", "of at most 64 ranges", (double)retention->num_ranges);
    for (size_t i = 0; i < retention->num_ranges; i++) {
        const tn_retention_range *range = &retention->ranges[i];
        bool is_open = range->token_end == -1;
        if (range->priority < 0 || range->priority > 100) return bad_field(diag, "a retention priority", "0 to 100", range->priority);
        if (range->duration_ms < -1)
            return bad_field(diag, "a retention duration_ms", "0 or more (-1 = for ever)", (double)range->duration_ms);
        if (range->token_start < 0) return bad_field(diag, "a retention token_start", "0 or more", range->token_start);
        if (!is_open && range->token_end <= range->token_start)
            return bad_field(diag, "a retention token_end", "above its token_start (-1 = open)", range->token_end);
        for (size_t other = 0; other < retention->num_ranges; other++) {
            const tn_retention_range *next = &retention->ranges[other];
            if (other == i || next->token_start < range->token_start) continue;
            if (is_open || next->token_start < range->token_end)
                return tn_fail(diag, TN_INVALID_ARGUMENT,
                               "cannot take the request: the retention ranges from %d and from %d overlap; only the last may be open",
                               (int)range->token_start, (int)next->token_start);
        }
    }
    return TN_OK;
}

tn_status tn_request_check(const tn_request *request, const tn_executor_info *limits, tn_diag *diag) {
    if (request->struct_size != sizeof *request)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: it was not set up by tn_request_init");
    if (request->features != 0) return refuse_feature(request->features, diag);
    if (request->num_input_ids == 0 || request->input_ids == NULL)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot take the request: it has no input ids");
    if (request->max_tokens < 1) return bad_field(diag, "max_tokens", "1 or more", request->max_tokens);
    if (request->num_input_ids >= (size_t)limits->max_seq_len) {
        tn_where where = {.hint = "shorten the prompt, or build with a larger --max-seq-len"};
        return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where,
                          "cannot take the request: the prompt has %zu tokens, the context holds %lld and needs one more for the answer",
                          request->num_input_ids, (long long)limits->max_seq_len);
    }
    if (request->num_stop_words > INT32_MAX) return bad_field(diag, "num_stop_words", "below 2^31", (double)request->num_stop_words);
    if (request->num_more_end_ids > INT32_MAX) return bad_field(diag, "num_more_end_ids", "below 2^31", (double)request->num_more_end_ids);
    tn_status status = check_ids("the prompt", request->input_ids, request->num_input_ids, limits->vocab_size, diag);
    if (status == TN_OK) status = check_sampling(&request->sampling, limits->max_beam_width, diag);
    if (status == TN_OK && (request->end_id < -1 || request->end_id >= limits->vocab_size))
        status = bad_field(diag, "end_id", "an id of the vocabulary, or -1", request->end_id);
    if (status == TN_OK) status = check_ids("more_end_ids", request->more_end_ids, request->num_more_end_ids, limits->vocab_size, diag);
    if (status == TN_OK) status = check_words("stop_words", request->stop_words, request->num_stop_words, limits->vocab_size, diag);
    if (status == TN_OK) status = check_words("bad_words", request->bad_words, request->num_bad_words, limits->vocab_size, diag);
    if (status == TN_OK) status = check_outputs(request, limits, diag);
    if (status == TN_OK) status = check_additional_outputs(request, limits, diag);
    if (status == TN_OK) status = check_capacity(request, limits, diag);
    if (status == TN_OK) status = check_retention(request->retention, diag);
    if (status != TN_OK) return status;
    if (!isfinite(request->priority)) return bad_field(diag, "priority", "a finite number", (double)request->priority);
    if (request->allotted_time_ms < -1)
        return bad_field(diag, "allotted_time_ms", "0 or more (-1 = none)", (double)request->allotted_time_ms);
    if (request->logits_post_processor != NULL && request->logits_post_processor_name != NULL)
        return tn_fail(diag, TN_INVALID_ARGUMENT,
                       "cannot take the request: it has a logits post-processor of its own and the name of another, '%s'",
                       request->logits_post_processor_name);
    return TN_OK;
}
