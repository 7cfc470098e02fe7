/* SPDX-License-Identifier: Apache-2.0
 *
 * response.c: responses as the caller's own copies.
 */
#include <string.h>

#include "base/memory.h"
#include "executor/beams.h"

/* One answer, or one beam of it. */
typedef struct response_beam {
    const int32_t *ids;
    size_t num_ids;
    const tn_log_prob *log_probs;
    const float *generation[TN_NUM_ROW_KINDS]; /* NULL: none */
    tn_finish_reason finish_reason;
    float cum_log_prob, score;
} response_beam;

enum { NUM_FEW_IDS = 4 }; /* a streamed token costs one allocation, not two */

struct tn_response {
    tn_arena arena;
    tn_arena results; /* of a final response: the sequence's own arena, taken over with its large arrays */
    tn_allocator allocator;
    uint64_t id, client_id;
    bool has_client_id, is_final, is_sequence_final, has_perf_metrics;
    int32_t sequence_index, decoding_iter;
    tn_status status;
    const char *error;
    response_beam one, *beams; /* [num_beams], &one without beam search */
    int32_t num_beams;
    int32_t few_ids[NUM_FEW_IDS];
    size_t log_probs_per_token;
    tn_prompt_results *prompt_results; /* held; NULL: not shown by this one */
    const float *prompt_log_probs, *context[TN_NUM_ROW_KINDS];
    size_t num_prompt_log_probs, num_columns[TN_NUM_ROW_KINDS];
    int32_t max_tokens;
    tn_request_timings timings;
    tn_perf_metrics metrics;
};

void tn_sequence_show(tn_sequence *sequence) {
    sequence->num_visible = sequence->num_known;
    sequence->shown = sequence->account;
}

int32_t tn_sequence_num_responses(const tn_sequence *sequence) {
    if (sequence->is_delivered) return 0;
    int32_t num_waiting = sequence->num_visible - sequence->num_delivered;
    if (sequence->streaming && num_waiting > 0) return num_waiting;
    return sequence->is_finished ? 1 : 0;
}

bool tn_sequence_has_response(const tn_sequence *sequence) {
    return tn_sequence_num_responses(sequence) > 0;
}

static bool copy_results(tn_response *response, const tn_sequence *sequence, int32_t first, int32_t count, bool is_last) {
    tn_arena *arena = &response->arena;
    int32_t *ids = count <= NUM_FEW_IDS ? response->few_ids : tn_arena_alloc_array(arena, (size_t)count, sizeof *ids);
    response_beam *one = &response->one;
    if (ids == NULL) return false;
    for (int32_t i = 0; i < count; i++) ids[i] = sequence->tokens[sequence->num_prompt + first + i];
    one->ids = ids;
    one->num_ids = (size_t)count;
    if (sequence->log_probs != NULL) {
        response->log_probs_per_token = (size_t)sequence->num_log_probs + 1;
        size_t row = response->log_probs_per_token * sizeof(tn_log_prob);
        one->log_probs = (const tn_log_prob *)(void *)tn_arena_bytes(
            arena, sequence->log_probs + (size_t)first * response->log_probs_per_token, (size_t)count * row);
        if (one->log_probs == NULL) return false;
    }
    for (tn_row_kind kind = 0; kind < TN_NUM_ROW_KINDS && !is_last; kind++) { /* the last response takes over the whole arrays */
        const tn_row_results *rows = &sequence->rows[kind];
        if (rows->generation == NULL) continue;
        one->generation[kind] = (const float *)(void *)tn_arena_bytes(arena, rows->generation + (size_t)first * rows->num_columns,
                                                                      (size_t)count * rows->num_columns * sizeof(float));
        if (one->generation[kind] == NULL) return false;
    }
    return true;
}

/* What beam `index` is after num_tokens tokens. */
static bool copy_beam(tn_response *response, const tn_sequence *sequence, int32_t index, int32_t num_tokens, bool is_last) {
    const tn_beams *beams = sequence->beams;
    tn_beam_answer answer = tn_beams_get(beams, index, num_tokens, is_last);
    size_t count = (size_t)answer.num_tokens, columns = response->log_probs_per_token;
    int32_t *ids = tn_arena_alloc_array(&response->arena, count, sizeof *ids);
    tn_log_prob *log_probs = columns > 0 ? tn_arena_alloc_array(&response->arena, count * columns, sizeof *log_probs) : NULL;
    if (ids == NULL || (columns > 0 && log_probs == NULL)) return false;
    tn_beams_copy(beams, &answer, ids, log_probs, columns);
    response->beams[index] = (response_beam){.ids = ids,
                                             .num_ids = count,
                                             .log_probs = log_probs,
                                             .finish_reason = answer.reason,
                                             .cum_log_prob = (float)tn_beams_sum(beams, &answer),
                                             .score = (float)answer.score};
    for (tn_row_kind kind = 0; kind < TN_NUM_ROW_KINDS; kind++) {
        const tn_row_results *rows = &sequence->rows[kind];
        if (rows->generation == NULL) continue;
        float *out = tn_arena_alloc_array(&response->arena, count, rows->num_columns * sizeof *out);
        if (out == NULL) return false;
        tn_beams_copy_rows(beams, &answer, rows, out);
        response->beams[index].generation[kind] = out;
    }
    return true;
}

/* Where nothing was generated, one answer without tokens stands for all beams. */
static bool copy_beams(tn_response *response, const tn_sequence *sequence, int32_t num_tokens, bool is_last) {
    int32_t count = num_tokens > 0 ? tn_beams_num_shown(sequence->beams, num_tokens, is_last) : 0;
    if (count == 0) return copy_results(response, sequence, 0, 0, is_last);
    response->beams = tn_arena_alloc_array(&response->arena, (size_t)count, sizeof *response->beams);
    if (response->beams == NULL) return false;
    response->num_beams = count;
    if (sequence->beams->top != NULL) response->log_probs_per_token = (size_t)sequence->num_log_probs + 1;
    for (int32_t i = 0; i < count; i++)
        if (!copy_beam(response, sequence, i, num_tokens, is_last)) return false;
    return true;
}

static void fill_metrics(tn_response *response, const tn_sequence *sequence, int32_t num_generated) {
    const tn_sequence_account *shown = &sequence->shown;
    response->timings = (tn_request_timings){.queued_ns = shown->queued_ns,
                                             .first_token_ns = shown->first_token_ns,
                                             .last_token_ns = shown->last_token_ns,
                                             .num_prompt_tokens = sequence->num_prompt,
                                             .num_reused_tokens = shown->num_reused_tokens,
                                             .num_generated_tokens = num_generated};
    response->has_perf_metrics = sequence->returns_perf_metrics;
    if (!sequence->returns_perf_metrics) return;
    int32_t num_looked_for = shown->num_reused_blocks + shown->num_missed_blocks;
    bool has_tokens = num_generated > 0, has_ended = has_tokens && response->is_sequence_final;
    response->metrics = (tn_perf_metrics){
        .arrival_ns = sequence->enqueue_ns,
        .first_scheduled_ns = shown->first_iter >= 0 ? sequence->enqueue_ns + shown->queued_ns : 0,
        .first_token_ns = has_tokens ? sequence->enqueue_ns + shown->first_token_ns : 0,
        .last_token_ns = has_ended ? sequence->enqueue_ns + shown->last_token_ns : 0,
        .num_total_allocated_blocks = shown->num_new_blocks + shown->num_reused_blocks,
        .num_new_allocated_blocks = shown->num_new_blocks,
        .num_reused_blocks = shown->num_reused_blocks,
        .num_missed_blocks = shown->num_missed_blocks,
        .kv_cache_hit_rate = num_looked_for > 0 ? (double)shown->num_reused_blocks / num_looked_for : 0.0,
        .first_iter = shown->first_iter,
        .last_iter = has_ended ? shown->last_iter : -1,
        .iter = num_generated - 1,
    };
}

static float sum_log_probs(const tn_sequence *sequence, int32_t num_generated) {
    double sum = 0.0;
    size_t columns = (size_t)sequence->num_log_probs + 1;
    for (int32_t i = 0; sequence->log_probs != NULL && i < num_generated; i++)
        sum += (double)sequence->log_probs[(size_t)i * columns].value;
    return (float)sum;
}

static void show_prompt_results(tn_response *response, const tn_sequence *sequence) {
    response->prompt_results = sequence->prompt_results;
    if (response->prompt_results != NULL) atomic_fetch_add(&response->prompt_results->num_holders, 1);
    response->prompt_log_probs = sequence->prompt_log_probs;
    response->num_prompt_log_probs = sequence->prompt_log_probs != NULL ? (size_t)sequence->num_prompt - 1 : 0;
    for (tn_row_kind kind = 0; kind < TN_NUM_ROW_KINDS; kind++) response->context[kind] = sequence->rows[kind].context;
}

static void take_results(tn_response *response, tn_sequence *sequence, int32_t first) {
    for (tn_row_kind kind = 0; kind < TN_NUM_ROW_KINDS; kind++) {
        const tn_row_results *rows = &sequence->rows[kind];
        if (rows->generation != NULL && sequence->beams == NULL)
            response->one.generation[kind] = rows->generation + (size_t)first * rows->num_columns;
    }
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
    response->beams = &response->one;
    response->num_beams = 1;
    int32_t generated = sequence->num_visible - sequence->num_prompt;
    int32_t end = generated, first = sequence->streaming ? sequence->num_delivered - sequence->num_prompt : 0;
    if (sequence->streaming && end > first + 1) end = first + 1;
    if (sequence->returns_all_tokens) first = 0;
    bool is_last = sequence->is_finished && end == generated;
    bool is_copied = sequence->beams != NULL ? copy_beams(response, sequence, end, is_last)
                                             : copy_results(response, sequence, first, end - first, is_last);
    if (is_copied && is_last && sequence->error[0] != '\0') {
        response->error = tn_arena_string(&response->arena, sequence->error);
        is_copied = response->error != NULL;
    }
    if (!is_copied) {
        tn_response_destroy(response);
        return TN_OUT_OF_MEMORY;
    }
    tn_sequence *lead = sequence->lead;
    response->id = lead->id;
    response->client_id = sequence->client_id;
    response->has_client_id = sequence->has_client_id;
    response->sequence_index = sequence->sequence_index;
    response->is_sequence_final = is_last;
    response->is_final = is_last && lead->num_undelivered == 1;
    response->one.finish_reason = is_last ? sequence->finish_reason : TN_FINISH_NOT_FINISHED;
    response->status = is_last ? sequence->status : TN_OK;
    for (tn_row_kind kind = 0; kind < TN_NUM_ROW_KINDS; kind++) response->num_columns[kind] = sequence->rows[kind].num_columns;
    response->max_tokens = sequence->max_tokens;
    response->decoding_iter = end;
    response->one.cum_log_prob = response->one.score = sum_log_probs(sequence, end);
    fill_metrics(response, sequence, end);
    if (is_last || sequence->num_delivered == sequence->num_prompt) show_prompt_results(response, sequence);
    sequence->num_delivered = sequence->num_prompt + end;
    if (is_last) {
        take_results(response, sequence, first);
        sequence->is_delivered = true;
        lead->num_undelivered--;
    }
    *out_response = response;
    return TN_OK;
}

void tn_response_destroy(tn_response *response) {
    if (response == NULL) return;
    tn_arena_deinit(&response->arena);
    tn_arena_deinit(&response->results);
    tn_allocator allocator = response->allocator;
    tn_prompt_results_release(response->prompt_results, &allocator);
    tn_free(&allocator, response);
}

uint64_t tn_response_id(const tn_response *response) {
    return response->id;
}
uint64_t tn_response_client_id(const tn_response *response) {
    return response->client_id;
}
bool tn_response_has_client_id(const tn_response *response) {
    return response->has_client_id;
}
int32_t tn_response_sequence_index(const tn_response *response) {
    return response->sequence_index;
}
bool tn_response_is_sequence_final(const tn_response *response) {
    return response->is_sequence_final;
}
int32_t tn_response_decoding_iter(const tn_response *response) {
    return response->decoding_iter;
}
bool tn_response_perf_metrics(const tn_response *response, tn_perf_metrics *out_metrics) {
    *out_metrics = response->metrics;
    return response->has_perf_metrics;
}
bool tn_response_is_final(const tn_response *response) {
    return response->is_final;
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
    return response->context[TN_ROW_LOGITS];
}
void tn_response_timings(const tn_response *response, tn_request_timings *out_timings) {
    *out_timings = response->timings;
}

/* --- beams -------------------------------------------------------------------------------------------------------------------- */

static const response_beam *beam_at(const tn_response *response, int32_t beam) {
    return beam >= 0 && beam < response->num_beams ? &response->beams[beam] : NULL;
}

int32_t tn_response_num_beams(const tn_response *response) {
    return response->num_beams;
}

const int32_t *tn_response_beam_ids(const tn_response *response, int32_t beam, size_t *out_count) {
    const response_beam *found = beam_at(response, beam);
    *out_count = found != NULL ? found->num_ids : 0;
    return found != NULL ? found->ids : NULL;
}

tn_finish_reason tn_response_beam_finish_reason(const tn_response *response, int32_t beam) {
    const response_beam *found = beam_at(response, beam);
    return found != NULL ? found->finish_reason : TN_FINISH_NOT_FINISHED;
}

const tn_log_prob *tn_response_beam_log_probs(const tn_response *response, int32_t beam, size_t token, size_t *out_count) {
    const response_beam *found = beam_at(response, beam);
    *out_count = 0;
    if (found == NULL || found->log_probs == NULL || token >= found->num_ids) return NULL;
    *out_count = response->log_probs_per_token;
    return found->log_probs + token * response->log_probs_per_token;
}

float tn_response_beam_cum_log_prob(const tn_response *response, int32_t beam) {
    const response_beam *found = beam_at(response, beam);
    return found != NULL ? found->cum_log_prob : 0.0f;
}

float tn_response_beam_score(const tn_response *response, int32_t beam) {
    const response_beam *found = beam_at(response, beam);
    return found != NULL ? found->score : 0.0f;
}

const float *tn_response_beam_generation_logits(const tn_response *response, int32_t beam) {
    const response_beam *found = beam_at(response, beam);
    return found != NULL ? found->generation[TN_ROW_LOGITS] : NULL;
}

static const float *find_output(const tn_response *response, const char *name, const float *const rows[TN_NUM_ROW_KINDS],
                                size_t *out_columns) {
    bool is_there = strcmp(name, TN_OUTPUT_HIDDEN_STATES) == 0 && rows[TN_ROW_HIDDEN_STATES] != NULL;
    *out_columns = is_there ? response->num_columns[TN_ROW_HIDDEN_STATES] : 0;
    return is_there ? rows[TN_ROW_HIDDEN_STATES] : NULL;
}

const float *tn_response_context_output(const tn_response *response, const char *name, size_t *out_columns) {
    return find_output(response, name, response->context, out_columns);
}

const float *tn_response_beam_generation_output(const tn_response *response, int32_t beam, const char *name, size_t *out_columns) {
    static const response_beam none;
    const response_beam *found = beam_at(response, beam);
    return find_output(response, name, (found != NULL ? found : &none)->generation, out_columns);
}

const int32_t *tn_response_ids(const tn_response *response, size_t *out_count) {
    return tn_response_beam_ids(response, 0, out_count);
}
tn_finish_reason tn_response_finish_reason(const tn_response *response) {
    return response->beams[0].finish_reason;
}
const tn_log_prob *tn_response_log_probs(const tn_response *response, size_t token, size_t *out_count) {
    return tn_response_beam_log_probs(response, 0, token, out_count);
}
float tn_response_cum_log_prob(const tn_response *response) {
    return response->beams[0].cum_log_prob;
}
const float *tn_response_generation_logits(const tn_response *response) {
    return response->beams[0].generation[TN_ROW_LOGITS];
}
const float *tn_response_generation_output(const tn_response *response, const char *name, size_t *out_columns) {
    return tn_response_beam_generation_output(response, 0, name, out_columns);
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
