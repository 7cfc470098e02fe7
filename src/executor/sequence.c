/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence.c: copying requests; what ends an answer.
 */
#include "executor/beam_blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/report.h"
#include "base/thread.h"

static bool copy_slot_params(tn_sequence *sequence, const tn_request *request) {
    const tn_sampling_config *sampling = &request->sampling;
    tn_slot_params *params = tn_arena_alloc(&sequence->arena, sizeof *params);
    if (params == NULL) return false;
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
        .sequence_index = (uint64_t)sequence->sequence_index,
        .prompt_ignore_length = sampling->prompt_ignore_length,
        .num_log_probs = request->num_log_probs > 0 ? request->num_log_probs : 0,
        .num_bad_words = (int32_t)request->num_bad_words,
        .has_bias = request->embedding_bias != NULL,
    };
    int32_t end = 0;
    for (size_t i = 0; i < request->num_bad_words; i++) {
        memcpy(params->bad_tokens + end, request->bad_words[i].ids, request->bad_words[i].num_ids * sizeof(int32_t));
        end += (int32_t)request->bad_words[i].num_ids;
        params->bad_word_ends[i] = end;
    }
    sequence->slot_params = params;
    return true;
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
    sequence->num_stop_words = (uint32_t)request->num_stop_words;
    return true;
}

void tn_prompt_results_release(tn_prompt_results *results, const tn_allocator *allocator) {
    if (results == NULL || atomic_fetch_sub(&results->num_holders, 1) > 1) return;
    results->arena.allocator = allocator;
    tn_arena_deinit(&results->arena);
    tn_free(allocator, results);
}

const char *tn_row_kind_name(tn_row_kind kind) {
    static const char *const names[TN_NUM_ROW_KINDS] = {"logits", TN_OUTPUT_HIDDEN_STATES};
    return names[kind];
}

typedef struct wanted_rows {
    bool context, generation;
} wanted_rows;

static wanted_rows find_wanted(const tn_request *request, tn_row_kind kind) {
    if (kind == TN_ROW_LOGITS) return (wanted_rows){request->return_context_logits, request->return_generation_logits};
    for (size_t i = 0; i < request->num_additional_outputs; i++)
        if (strcmp(request->additional_outputs[i].name, tn_row_kind_name(kind)) == 0)
            return (wanted_rows){request->additional_outputs[i].gather_context, true};
    return (wanted_rows){0};
}

/* [num_prompt] of these */
static void *allocate_prompt_result(tn_sequence *sequence, size_t row_bytes) {
    const tn_allocator *allocator = sequence->arena.allocator;
    if (sequence->prompt_results == NULL) {
        sequence->prompt_results = tn_alloc_zero(allocator, sizeof *sequence->prompt_results);
        if (sequence->prompt_results == NULL) return NULL;
        atomic_init(&sequence->prompt_results->num_holders, 1);
        sequence->prompt_results->arena.allocator = allocator;
    }
    return tn_arena_alloc_array(&sequence->prompt_results->arena, (size_t)sequence->num_prompt, row_bytes);
}

/* Of beams that stream rows of generated tokens are not kept. */
static bool allocate_rows(tn_sequence *sequence, const tn_request *request, tn_row_kind kind) {
    wanted_rows wanted = find_wanted(request, kind);
    tn_row_results *rows = &sequence->rows[kind];
    size_t row_bytes = rows->num_columns * sizeof(float), generated = (size_t)sequence->max_tokens;
    if (sequence->beams != NULL) generated *= (size_t)sequence->beams->width;
    if (wanted.context) {
        rows->context = allocate_prompt_result(sequence, row_bytes);
        if (rows->context == NULL) return false;
    }
    if (wanted.generation && (sequence->beams == NULL || !request->streaming))
        rows->generation = tn_arena_alloc_array(&sequence->arena, generated, row_bytes);
    return !sequence->arena.out_of_memory;
}

static bool allocate_results(tn_sequence *sequence, const tn_request *request, size_t vocab_size) {
    tn_arena *arena = &sequence->arena;
    size_t generated = (size_t)sequence->max_tokens;
    bool has_beams = sequence->beams != NULL; /* which keep results of generated tokens themselves */
    if (request->num_log_probs >= 0 && !has_beams) {
        sequence->log_probs = tn_arena_alloc_array(arena, generated, (size_t)(1 + request->num_log_probs) * sizeof *sequence->log_probs);
        if (sequence->log_probs == NULL) return false;
    }
    if (request->return_prompt_log_probs) {
        sequence->prompt_log_probs = allocate_prompt_result(sequence, sizeof *sequence->prompt_log_probs);
        if (sequence->prompt_log_probs == NULL) return false;
    }
    if (has_beams) {
        sequence->host_logits = sequence->beams->logits;
    } else if (sequence->uses_host_logits) {
        sequence->host_logits = tn_arena_alloc_array(arena, vocab_size, sizeof *sequence->host_logits);
        if (sequence->host_logits == NULL) return false;
    }
    for (tn_row_kind kind = 0; kind < TN_NUM_ROW_KINDS; kind++)
        if (!allocate_rows(sequence, request, kind)) return false;
    return true;
}

static bool allocate_tokens(tn_sequence *sequence, const tn_request *request, int32_t tokens_per_block) {
    tn_arena *arena = &sequence->arena;
    int32_t width = tn_beam_width(&request->sampling);
    sequence->max_held = sequence->max_blocks;
    if (width > 1) {
        sequence->beams = tn_beams_create(sequence, request);
        if (sequence->beams == NULL) return false;
        sequence->max_held = tn_beam_blocks_most(sequence->num_prompt, sequence->max_total, width, tokens_per_block);
        sequence->tokens = sequence->beams->tokens[0];
        sequence->blocks = sequence->beams->tables[0];
        return true;
    }
    sequence->tokens = tn_arena_alloc_array(arena, (size_t)sequence->max_total, sizeof *sequence->tokens);
    sequence->blocks = tn_arena_alloc_array(arena, (size_t)sequence->max_blocks, sizeof *sequence->blocks);
    if (sequence->tokens == NULL || sequence->blocks == NULL) return false;
    memcpy(sequence->tokens, request->input_ids, request->num_input_ids * sizeof *sequence->tokens);
    sequence->last_token = sequence->tokens[sequence->num_prompt - 1];
    return true;
}

static bool copy_request(tn_sequence *sequence, const tn_request *request, const tn_executor_info *limits) {
    tn_arena *arena = &sequence->arena;
    int64_t total = (int64_t)request->num_input_ids + request->max_tokens;
    sequence->max_total = (int32_t)(total < limits->max_seq_len ? total : limits->max_seq_len);
    sequence->num_prompt = sequence->num_prefill = sequence->num_known = sequence->num_drawn = sequence->num_visible =
        sequence->num_delivered = (int32_t)request->num_input_ids;
    sequence->max_tokens = sequence->max_total - sequence->num_prompt;
    sequence->max_blocks = (sequence->max_total + limits->tokens_per_block - 1) / limits->tokens_per_block;
    if (!allocate_tokens(sequence, request, limits->tokens_per_block)) return false;
    if (request->embedding_bias != NULL) {
        sequence->bias = copy_array(arena, request->embedding_bias, request->embedding_bias_size, sizeof *sequence->bias);
        if (sequence->bias == NULL) return false;
    }
    sequence->more_end_ids = copy_array(arena, request->more_end_ids, request->num_more_end_ids, sizeof *sequence->more_end_ids);
    sequence->num_more_end_ids = (uint32_t)request->num_more_end_ids;
    return sequence->more_end_ids != NULL && copy_stop_words(sequence, request) &&
           allocate_results(sequence, request, (size_t)limits->vocab_size);
}

/* −1 (for ever) also beyond what the clock holds. */
static int64_t duration_ns_of(int64_t duration_ms) {
    return duration_ms < 0 || duration_ms > INT64_MAX / 2000000 ? -1 : duration_ms * 1000000;
}

static int compare_ranges(const void *a, const void *b) {
    const tn_retention_range *first = a, *second = b;
    return (first->token_start > second->token_start) - (first->token_start < second->token_start);
}

static bool copy_retention(tn_sequence *sequence, const tn_kv_retention *retention) {
    sequence->decode_priority = TN_KV_DEFAULT_PRIORITY;
    if (retention == NULL) return true;
    tn_retention_range *ranges = copy_array(&sequence->arena, retention->ranges, retention->num_ranges, sizeof *ranges);
    if (ranges == NULL) return false;
    qsort(ranges, retention->num_ranges, sizeof *ranges, compare_ranges);
    sequence->retention = ranges;
    sequence->num_retention = retention->num_ranges;
    sequence->decode_priority.priority = retention->decode_priority;
    sequence->decode_priority.duration_ns = duration_ns_of(retention->decode_duration_ms);
    return true;
}

static tn_sequence *allocate(const tn_request *request, const tn_allocator *allocator) {
    char *allocation = tn_alloc_zero(allocator, sizeof(tn_sequence) + TN_CACHE_LINE - 1);
    if (allocation == NULL) return NULL;
    tn_sequence *sequence = (tn_sequence *)(void *)(allocation + (-(uintptr_t)allocation & (TN_CACHE_LINE - 1)));
    sequence->allocation = allocation;
    sequence->arena.allocator = allocator;
    sequence->slot = sequence->heap_index[0] = sequence->heap_index[1] = -1;
    sequence->account.first_iter = sequence->account.last_iter = -1;
    sequence->lead = sequence->turn = sequence;
    sequence->num_siblings = sequence->num_undelivered = 1;
    sequence->client_id = request->client_id;
    sequence->has_client_id = request->has_client_id;
    sequence->priority = request->priority;
    sequence->num_log_probs = -1;
    sequence->enqueue_ns = tn_now_ns();
    sequence->deadline_ns = -1;
    return sequence;
}

tn_status tn_sequence_create_failed(const tn_request *request, tn_status status, const char *message, const tn_allocator *allocator,
                                    tn_diag *diag, tn_sequence **out_sequence) {
    *out_sequence = allocate(request, allocator);
    if (*out_sequence == NULL) return tn_fail_memory(diag, "a request", sizeof **out_sequence);
    (*out_sequence)->status = status;
    (*out_sequence)->is_done = (*out_sequence)->is_finished = true;
    snprintf((*out_sequence)->error, sizeof(*out_sequence)->error, "%s", message);
    return TN_OK;
}

tn_status tn_sequence_create(const tn_request *request, int32_t sequence_index, const tn_executor_info *limits,
                             const tn_allocator *allocator, tn_diag *diag, tn_sequence **out_sequence) {
    *out_sequence = NULL;
    tn_status status = tn_request_check(request, limits, diag);
    if (status != TN_OK) return status;
    tn_sequence *sequence = allocate(request, allocator);
    if (sequence == NULL) return tn_fail_memory(diag, "a request", sizeof *sequence);
    sequence->sequence_index = sequence_index;
    sequence->cache_salt = request->cache_salt;
    sequence->end_id = request->end_id;
    sequence->num_log_probs = request->num_log_probs;
    sequence->streaming = request->streaming;
    sequence->returns_all_tokens = request->return_all_generated_tokens;
    sequence->returns_perf_metrics = request->return_perf_metrics;
    sequence->rows[TN_ROW_LOGITS].num_columns = (size_t)limits->vocab_size;
    sequence->rows[TN_ROW_HIDDEN_STATES].num_columns = (size_t)limits->hidden_size;
    sequence->wants_prompt_results = request->return_prompt_log_probs;
    sequence->logits_callback = request->logits_post_processor;
    sequence->logits_user = request->logits_post_processor_user;
    sequence->uses_host_logits = request->logits_post_processor != NULL || request->logits_post_processor_name != NULL;
    sequence->needs_host = sequence->uses_host_logits || tn_beam_width(&request->sampling) > 1;
    sequence->reads_rows = sequence->needs_host || request->return_prompt_log_probs;
    for (tn_row_kind kind = 0; kind < TN_NUM_ROW_KINDS; kind++) {
        wanted_rows wanted = find_wanted(request, kind);
        sequence->wants_prompt_results = sequence->wants_prompt_results || wanted.context;
        sequence->reads_rows = sequence->reads_rows || wanted.context || wanted.generation;
    }
    sequence->vocab_size = limits->vocab_size;
    int64_t allotted_ms = request->allotted_time_ms;
    if (allotted_ms >= 0 && allotted_ms < INT64_MAX / 2000000) sequence->deadline_ns = sequence->enqueue_ns + allotted_ms * 1000000;
    if (!copy_request(sequence, request, limits) || !copy_slot_params(sequence, request) || !copy_retention(sequence, request->retention)) {
        size_t used = sequence->arena.used_bytes + (sequence->prompt_results != NULL ? sequence->prompt_results->arena.used_bytes : 0);
        tn_sequence_destroy(sequence);
        return tn_fail_memory(diag, "a request", used);
    }
    *out_sequence = sequence;
    return TN_OK;
}

void tn_sequence_destroy(tn_sequence *sequence) {
    if (sequence == NULL) return;
    const tn_allocator *allocator = sequence->arena.allocator;
    tn_prompt_results_release(sequence->prompt_results, allocator);
    tn_arena_deinit(&sequence->arena);
    tn_free(allocator, sequence->allocation);
}

void tn_sequence_fail(tn_sequence *sequence, tn_status status, const char *message) {
    sequence->status = status;
    snprintf(sequence->error, sizeof sequence->error, "%s", message);
    sequence->is_done = true;
    sequence->done_reason = TN_FINISH_NOT_FINISHED;
}

void tn_sequence_fail_without_token(tn_sequence *sequence) {
    tn_sequence_fail(sequence, TN_INVALID_DATA, "the logits left no token to choose: all are -inf or NaN, or were forbidden");
}

static bool ends_with(const int32_t *end, size_t num_generated, const tn_token_list *word) {
    return word->num_ids <= num_generated && memcmp(end - word->num_ids, word->ids, word->num_ids * sizeof *end) == 0;
}

static bool is_end(const tn_sequence *sequence, int32_t token) {
    if (token == sequence->end_id) return true;
    for (size_t i = 0; i < sequence->num_more_end_ids; i++)
        if (sequence->more_end_ids[i] == token) return true;
    return false;
}

tn_kv_priority tn_sequence_block_priority(const tn_sequence *sequence, int32_t index, int32_t tokens_per_block) {
    int32_t first = index * tokens_per_block;
    if (first >= sequence->num_prompt) return sequence->decode_priority;
    for (size_t i = 0; i < sequence->num_retention; i++) {
        const tn_retention_range *range = &sequence->retention[i];
        if (first < range->token_start || (range->token_end >= 0 && first >= range->token_end)) continue;
        return (tn_kv_priority){range->priority, duration_ns_of(range->duration_ms)};
    }
    return TN_KV_DEFAULT_PRIORITY;
}

tn_finish_reason tn_sequence_end_reason(const tn_sequence *sequence, const int32_t *tokens, int32_t num_tokens) {
    if (is_end(sequence, tokens[num_tokens - 1])) return TN_FINISH_END_ID;
    for (size_t i = 0; i < sequence->num_stop_words; i++)
        if (ends_with(tokens + num_tokens, (size_t)(num_tokens - sequence->num_prompt), &sequence->stop_words[i]))
            return TN_FINISH_STOP_WORDS;
    return num_tokens == sequence->max_total ? TN_FINISH_LENGTH : TN_FINISH_NOT_FINISHED;
}

void tn_sequence_accept_token(tn_sequence *sequence, int32_t token, int64_t now_ns) {
    sequence->tokens[sequence->num_known++] = sequence->last_token = token;
    sequence->account.last_token_ns = now_ns - sequence->enqueue_ns;
    if (sequence->num_known == sequence->num_prompt + 1) sequence->account.first_token_ns = sequence->account.last_token_ns;
    tn_finish_reason reason = tn_sequence_end_reason(sequence, sequence->tokens, sequence->num_known);
    if (reason == TN_FINISH_NOT_FINISHED) return;
    sequence->is_done = true;
    sequence->done_reason = reason;
}
