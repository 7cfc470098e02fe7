/* SPDX-License-Identifier: Apache-2.0
 *
 * response.c: responses as the caller's own copies.
 */
#include <string.h>

#include "base/memory.h"
#include "executor/sequence.h"

struct tn_response {
    tn_arena arena;
    tn_arena results; /* of a final response: the sequence's own arena, taken over with its large arrays */
    tn_allocator allocator;
    uint64_t id, client_id;
    bool is_final;
    tn_finish_reason finish_reason;
    tn_status status;
    const char *error;
    const int32_t *ids;
    size_t num_ids;
    const tn_log_prob *log_probs;
    size_t log_probs_per_token;
    const float *prompt_log_probs, *context_logits, *generation_logits;
    size_t num_prompt_log_probs;
    int32_t max_tokens;
    tn_request_timings timings;
};

void tn_sequence_show(tn_sequence *sequence) {
    sequence->num_visible = sequence->num_known;
    sequence->visible_first_token_ns = sequence->first_token_ns;
    sequence->visible_last_token_ns = sequence->last_token_ns;
}

bool tn_sequence_has_response(const tn_sequence *sequence) {
    if (sequence->is_finished) return true;
    return sequence->streaming && sequence->num_visible - sequence->num_prompt > sequence->num_delivered;
}

static bool copy_results(tn_response *response, const tn_sequence *sequence, int32_t first, int32_t count) {
    tn_arena *arena = &response->arena;
    response->ids =
        (const int32_t *)(void *)tn_arena_bytes(arena, sequence->tokens + sequence->num_prompt + first, (size_t)count * sizeof(int32_t));
    response->num_ids = (size_t)count;
    if (response->ids == NULL) return false;
    if (sequence->log_probs != NULL) {
        response->log_probs_per_token = (size_t)sequence->num_log_probs + 1;
        size_t row = response->log_probs_per_token * sizeof(tn_log_prob);
        response->log_probs = (const tn_log_prob *)(void *)tn_arena_bytes(
            arena, sequence->log_probs + (size_t)first * response->log_probs_per_token, (size_t)count * row);
        if (response->log_probs == NULL) return false;
    }
    return true;
}

static void take_results(tn_response *response, tn_sequence *sequence) {
    response->prompt_log_probs = sequence->prompt_log_probs;
    response->num_prompt_log_probs = sequence->prompt_log_probs != NULL ? (size_t)sequence->num_prompt - 1 : 0;
    response->context_logits = sequence->context_logits;
    response->generation_logits = sequence->generation_logits;
    response->results = sequence->arena;
    response->results.allocator = response->arena.allocator;
    sequence->arena.chunks = NULL;
}

tn_status tn_sequence_take_response(tn_sequence *sequence, const tn_allocator *allocator, tn_response **out_response) {
    *out_response = NULL;
    tn_response *response = tn_alloc_zero(allocator, sizeof *response);
    if (response == NULL) return TN_OUT_OF_MEMORY;
    if (allocator != NULL) response->allocator = *allocator;
    response->arena.allocator = &response->allocator;
    int32_t generated = sequence->num_visible - sequence->num_prompt;
    int32_t first = sequence->streaming ? sequence->num_delivered : 0;
    int32_t count = generated - first;
    if (sequence->streaming && count > 1) count = 1;
    bool is_final = sequence->is_finished && first + count == generated;
    bool is_copied = copy_results(response, sequence, first, count);
    if (is_copied && is_final && sequence->error[0] != '\0') {
        response->error = tn_arena_string(&response->arena, sequence->error);
        is_copied = response->error != NULL;
    }
    if (!is_copied) {
        tn_response_destroy(response);
        return TN_OUT_OF_MEMORY;
    }
    response->id = sequence->id;
    response->client_id = sequence->client_id;
    response->is_final = is_final;
    response->finish_reason = is_final ? sequence->finish_reason : TN_FINISH_NOT_FINISHED;
    response->status = is_final ? sequence->status : TN_OK;
    response->max_tokens = sequence->max_tokens;
    response->timings = (tn_request_timings){.queued_ns = sequence->queued_ns,
                                             .first_token_ns = sequence->visible_first_token_ns,
                                             .last_token_ns = sequence->visible_last_token_ns,
                                             .num_prompt_tokens = sequence->num_prompt,
                                             .num_reused_tokens = sequence->num_reused_tokens,
                                             .num_generated_tokens = first + count};
    sequence->num_delivered = first + count;
    if (is_final) take_results(response, sequence);
    *out_response = response;
    return TN_OK;
}

void tn_response_destroy(tn_response *response) {
    if (response == NULL) return;
    tn_arena_deinit(&response->arena);
    tn_arena_deinit(&response->results);
    tn_allocator allocator = response->allocator;
    tn_free(&allocator, response);
}

uint64_t tn_response_id(const tn_response *response) {
    return response->id;
}
uint64_t tn_response_client_id(const tn_response *response) {
    return response->client_id;
}
bool tn_response_is_final(const tn_response *response) {
    return response->is_final;
}
tn_finish_reason tn_response_finish_reason(const tn_response *response) {
    return response->finish_reason;
}
const char *tn_response_error(const tn_response *response) {
    return response->error;
}
tn_status tn_response_status(const tn_response *response) {
    return response->status;
}
int32_t tn_response_max_tokens(const tn_response *response) {
    return response->max_tokens;
}
const float *tn_response_context_logits(const tn_response *response) {
    return response->context_logits;
}
const float *tn_response_generation_logits(const tn_response *response) {
    return response->generation_logits;
}
void tn_response_timings(const tn_response *response, tn_request_timings *out_timings) {
    *out_timings = response->timings;
}

const int32_t *tn_response_ids(const tn_response *response, size_t *out_count) {
    *out_count = response->num_ids;
    return response->ids;
}

const tn_log_prob *tn_response_log_probs(const tn_response *response, size_t token, size_t *out_count) {
    *out_count = 0;
    if (response->log_probs == NULL || token >= response->num_ids) return NULL;
    *out_count = response->log_probs_per_token;
    return response->log_probs + token * response->log_probs_per_token;
}

const float *tn_response_prompt_log_probs(const tn_response *response, size_t *out_count) {
    *out_count = response->num_prompt_log_probs;
    return response->prompt_log_probs;
}

const char *tn_finish_reason_name(tn_finish_reason reason) {
    switch (reason) {
    case TN_FINISH_NOT_FINISHED: return "not_finished";
    case TN_FINISH_END_ID: return "end_id";
    case TN_FINISH_STOP_WORDS: return "stop_words";
    case TN_FINISH_LENGTH: return "length";
    case TN_FINISH_TIMED_OUT: return "timed_out";
    case TN_FINISH_CANCELLED: return "cancelled";
    }
    return "unknown";
}
