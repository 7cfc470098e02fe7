/* SPDX-License-Identifier: Apache-2.0
 *
 * beams.c: choosing the next beams, keeping what ended, telling when the search is over.
 */
#include "executor/beams.h"

#include <math.h>
#include <string.h>

/* --- creation ----------------------------------------------------------------------------------------------------------------- */

int32_t tn_beam_width(const tn_sampling_config *sampling) {
    int32_t width = sampling->beam_width;
    for (size_t i = 0; i < sampling->num_beam_widths; i++)
        if (sampling->beam_width_array[i] > width) width = sampling->beam_width_array[i];
    return width;
}

static int32_t **make_arrays(tn_arena *arena, int32_t count, int32_t length) {
    int32_t **arrays = tn_arena_alloc_array(arena, (size_t)count, sizeof(int32_t *));
    for (int32_t i = 0; arrays != NULL && i < count; i++) {
        arrays[i] = tn_arena_alloc_array(arena, (size_t)length, sizeof **arrays);
        if (arrays[i] == NULL) return NULL;
    }
    return arrays;
}

/* Of one beam: `width` that go on, and all that may end it before them. */
static int32_t count_candidates(const tn_sequence *sequence, const tn_request *request, int32_t width) {
    size_t count = (size_t)width + (request->end_id >= 0) + request->num_more_end_ids + request->num_stop_words;
    if (request->num_log_probs > 0 && (size_t)request->num_log_probs > count) count = (size_t)request->num_log_probs;
    return count < (size_t)sequence->vocab_size ? (int32_t)count : (int32_t)sequence->vocab_size;
}

static bool allocate(tn_sequence *sequence, const tn_request *request, tn_beams *beams) {
    tn_arena *arena = &sequence->arena;
    size_t width = (size_t)beams->width, steps = (size_t)beams->max_tokens, vocab = (size_t)sequence->vocab_size;
    beams->tokens = make_arrays(arena, beams->width, sequence->max_total);
    beams->tables = make_arrays(arena, beams->width, sequence->max_blocks);
    beams->sums = tn_arena_alloc_array(arena, width, sizeof *beams->sums);
    beams->logits = tn_arena_alloc_array(arena, width, vocab * sizeof *beams->logits);
    beams->answers = tn_arena_alloc_array(arena, width, sizeof *beams->answers);
    beams->nodes = tn_arena_alloc_array(arena, steps, 2 * width * sizeof *beams->nodes);
    beams->num_live_after = tn_arena_alloc_array(arena, steps, sizeof *beams->num_live_after);
    beams->num_candidates = tn_arena_alloc_array(arena, width, sizeof *beams->num_candidates);
    beams->candidates = tn_arena_alloc_array(arena, width, (size_t)beams->max_candidates * sizeof *beams->candidates);
    beams->heads = tn_arena_alloc_array(arena, width, sizeof *beams->heads);
    beams->counts = tn_arena_alloc_array(arena, vocab, sizeof *beams->counts);
    beams->choices = tn_arena_alloc_array(arena, width, sizeof *beams->choices);
    beams->spare = tn_arena_alloc_array(arena, width, sizeof(int32_t *));
    beams->copied_from = tn_arena_alloc_array(arena, width, sizeof *beams->copied_from);
    beams->slots = tn_arena_alloc_array(arena, width, sizeof *beams->slots);
    beams->parents = tn_arena_alloc_array(arena, width, sizeof *beams->parents);
    if (request->num_log_probs >= 0)
        beams->top = tn_arena_alloc_array(arena, steps * 2 * width, (size_t)(1 + request->num_log_probs) * sizeof *beams->top);
    return !arena->out_of_memory;
}

tn_beams *tn_beams_create(tn_sequence *sequence, const tn_request *request) {
    const tn_sampling_config *sampling = &request->sampling;
    tn_beams *beams = tn_arena_alloc(&sequence->arena, sizeof *beams);
    if (beams == NULL) return NULL;
    beams->width = tn_beam_width(sampling);
    beams->max_tokens = sequence->max_tokens;
    beams->num_return = sampling->num_return_sequences > 0 ? sampling->num_return_sequences : beams->width;
    beams->early_stopping = sampling->early_stopping;
    beams->length_penalty = (double)sampling->length_penalty;
    beams->diversity_rate = (double)sampling->beam_search_diversity_rate;
    beams->num_widths = (int32_t)sampling->num_beam_widths;
    for (size_t i = 0; i < sampling->num_beam_widths; i++) beams->widths[i] = sampling->beam_width_array[i];
    beams->max_candidates = count_candidates(sequence, request, beams->width);
    if (!allocate(sequence, request, beams)) return NULL;
    for (int32_t i = 0; i < beams->width; i++)
        memcpy(beams->tokens[i], request->input_ids, request->num_input_ids * sizeof **beams->tokens);
    beams->num_tables = 1;
    beams->num_trunk = sequence->num_prompt;
    return beams;
}

/* --- answers ------------------------------------------------------------------------------------------------------------------ */

static tn_beam_node *node_at(const tn_beams *beams, int32_t num_tokens, int32_t node) {
    return &beams->nodes[(size_t)(num_tokens - 1) * 2 * (size_t)beams->width + (size_t)node];
}

static double score_of(const tn_beams *beams, double sum, int32_t num_tokens) {
    return sum / pow((double)num_tokens, beams->length_penalty);
}

/* Among the first `count` answers, behind equals; the worst leaves where there is no room. Returns the new count. */
static int32_t add_answer(tn_beams *beams, int32_t count, const tn_beam_answer *answer) {
    int32_t place = count;
    while (place > 0 && beams->answers[place - 1].score < answer->score) place--;
    if (place == beams->width) return count;
    int32_t last = count < beams->width ? count : beams->width - 1;
    memmove(beams->answers + place + 1, beams->answers + place, (size_t)(last - place) * sizeof *beams->answers);
    beams->answers[place] = *answer;
    return count < beams->width ? count + 1 : count;
}

/* --- choosing ----------------------------------------------------------------------------------------------------------------- */

/* Beams that are kept after so many tokens. */
static int32_t width_after(const tn_beams *beams, int32_t num_tokens) {
    if (beams->num_widths == 0) return beams->width;
    return beams->widths[num_tokens < beams->num_widths ? num_tokens - 1 : beams->num_widths - 1];
}

static void rank_rows(tn_sequence *sequence, int32_t num_rows) {
    tn_beams *beams = sequence->beams;
    size_t vocab = (size_t)sequence->vocab_size, most = (size_t)beams->max_candidates;
    for (int32_t row = 0; row < num_rows; row++) {
        beams->num_candidates[row] = tn_beam_rank(sequence->slot_params, sequence->bias, beams->tokens[row], sequence->num_known,
                                                  beams->logits + (size_t)row * vocab, sequence->vocab_size, beams->counts,
                                                  beams->candidates + (size_t)row * most, beams->max_candidates);
        beams->heads[row] = 0;
    }
}

/* The best candidate that was not taken yet; of equals that of the lower beam, then of the lower id. False: none is left. */
static bool take_choice(tn_beams *beams, int32_t num_rows, tn_beam_choice *out_choice) {
    int32_t best = -1;
    double best_rank = 0.0;
    for (int32_t row = 0; row < num_rows; row++) {
        int32_t head = beams->heads[row];
        if (head == beams->num_candidates[row]) continue;
        const tn_log_prob *candidate = &beams->candidates[(size_t)row * (size_t)beams->max_candidates + (size_t)head];
        double before = beams->num_live > 0 ? beams->sums[row] : 0.0, sum = before + (double)candidate->value;
        double rank = sum - beams->diversity_rate * head;
        if (best >= 0 && rank <= best_rank) continue;
        best = row;
        best_rank = rank;
        *out_choice = (tn_beam_choice){row, candidate->id, candidate->value, sum};
    }
    if (best >= 0) beams->heads[best]++;
    return best >= 0;
}

static void record(tn_beams *beams, int32_t num_tokens, int32_t node, const tn_beam_choice *choice, int32_t num_log_probs) {
    *node_at(beams, num_tokens, node) = (tn_beam_node){choice->token, choice->parent, choice->log_prob, choice->sum};
    if (beams->top == NULL) return;
    size_t columns = (size_t)num_log_probs + 1, at = (size_t)(num_tokens - 1) * 2 * (size_t)beams->width + (size_t)node;
    tn_log_prob *row = beams->top + at * columns;
    row[0] = (tn_log_prob){choice->token, choice->log_prob};
    for (int32_t i = 0; i < num_log_probs; i++)
        row[i + 1] = i < beams->num_candidates[choice->parent]
                         ? beams->candidates[(size_t)choice->parent * (size_t)beams->max_candidates + (size_t)i]
                         : (tn_log_prob){-1, -INFINITY};
}

/* Fills in the next beams and adds what ends; returns how many go on. num_tokens: of the answers with the new token. */
static int32_t choose(tn_sequence *sequence, int32_t num_tokens, int32_t num_rows) {
    tn_beams *beams = sequence->beams;
    bool is_last = num_tokens == beams->max_tokens;
    int32_t width = width_after(beams, num_tokens), num_next = 0, num_ended = 0;
    int32_t num_counted = is_last && beams->num_return > width ? beams->num_return : width; /* of these an end is an answer */
    tn_beam_choice choice;
    for (int32_t i = 0; i < num_counted || (!is_last && num_next < width); i++) {
        if (!take_choice(beams, num_rows, &choice)) break;
        int32_t *tokens = beams->tokens[choice.parent];
        tokens[sequence->num_known] = choice.token;
        tn_finish_reason reason = tn_sequence_end_reason(sequence, tokens, sequence->num_known + 1);
        if (reason == TN_FINISH_NOT_FINISHED) {
            record(beams, num_tokens, num_next, &choice, sequence->num_log_probs);
            beams->choices[num_next++] = choice;
        } else if (i < num_counted) {
            tn_beam_answer answer = {num_tokens, beams->width + num_ended++, reason, score_of(beams, choice.sum, num_tokens)};
            record(beams, num_tokens, answer.node, &choice, sequence->num_log_probs);
            beams->num_ends = add_answer(beams, beams->num_ends, &answer);
        }
    }
    beams->num_live_after[num_tokens - 1] = num_next;
    return num_next;
}

/* --- moving ------------------------------------------------------------------------------------------------------------------- */

void tn_beams_move(const tn_beams *beams, int32_t **arrays, const int32_t *parents, int32_t num_beams, int32_t *copied_from) {
    int32_t num_spare = 0, **spare = beams->spare;
    memcpy(spare, arrays, (size_t)beams->width * sizeof(int32_t *));
    for (int32_t i = 0; i < num_beams; i++) {
        copied_from[i] = -1;
        for (int32_t other = 0; other < i && copied_from[i] < 0; other++)
            if (parents[other] == parents[i]) copied_from[i] = other;
        if (copied_from[i] >= 0) continue;
        arrays[i] = spare[parents[i]];
    }
    for (int32_t i = 0; i < num_beams; i++)
        if (copied_from[i] < 0) spare[parents[i]] = NULL;
    for (int32_t i = 0; i < beams->width; i++) {
        if (i < num_beams && copied_from[i] < 0) continue;
        while (spare[num_spare] == NULL) num_spare++;
        arrays[i] = spare[num_spare++];
    }
}

static void take_over(tn_sequence *sequence, int32_t num_next) {
    tn_beams *beams = sequence->beams;
    size_t generated = (size_t)(sequence->num_known - sequence->num_prompt);
    for (int32_t i = 0; i < num_next; i++) {
        beams->parents[i] = beams->choices[i].parent;
        beams->sums[i] = beams->choices[i].sum;
    }
    tn_beams_move(beams, beams->tokens, beams->parents, num_next, beams->copied_from);
    for (int32_t i = 0; i < num_next; i++)
        if (beams->copied_from[i] >= 0)
            memcpy(beams->tokens[i] + sequence->num_prompt, beams->tokens[beams->copied_from[i]] + sequence->num_prompt,
                   generated * sizeof **beams->tokens);
    for (int32_t i = 0; i < num_next; i++) beams->tokens[i][sequence->num_known] = beams->choices[i].token;
    sequence->tokens = beams->tokens[0];
    beams->num_live = num_next;
    beams->has_moved = true;
}

/* --- the end ------------------------------------------------------------------------------------------------------------------ */

static bool is_over(const tn_beams *beams, int32_t num_tokens) {
    if (beams->num_live == 0) return true;
    if (beams->num_ends < beams->width) return false;
    if (beams->early_stopping == 1) return true;
    double best = -INFINITY;
    for (int32_t i = 0; i < beams->num_live; i++) best = fmax(best, beams->sums[i]);
    bool may_grow = beams->early_stopping != 0 && beams->length_penalty > 0.0;
    return score_of(beams, best, may_grow ? beams->max_tokens : num_tokens) <= beams->answers[beams->width - 1].score;
}

void tn_beams_end(tn_sequence *sequence, tn_finish_reason reason) {
    tn_beams *beams = sequence->beams;
    int32_t num_tokens = sequence->num_known - sequence->num_prompt;
    beams->num_answers = beams->num_ends;
    for (int32_t i = 0; i < beams->num_live && beams->num_answers < beams->num_return; i++) {
        tn_beam_answer answer = {num_tokens, i, reason, score_of(beams, beams->sums[i], num_tokens)};
        beams->num_answers = add_answer(beams, beams->num_answers, &answer);
    }
}

void tn_beams_advance(tn_sequence *sequence, int64_t now_ns) {
    tn_beams *beams = sequence->beams;
    int32_t num_rows = tn_beams_num_rows(beams), num_tokens = sequence->num_known - sequence->num_prompt + 1;
    rank_rows(sequence, num_rows);
    int32_t num_next = choose(sequence, num_tokens, num_rows);
    take_over(sequence, num_next);
    sequence->num_known++;
    sequence->account.last_token_ns = now_ns - sequence->enqueue_ns;
    if (num_tokens == 1) sequence->account.first_token_ns = sequence->account.last_token_ns;
    if (!is_over(beams, num_tokens)) return;
    if (num_next == 0 && beams->num_ends == 0) {
        tn_sequence_fail_without_token(sequence);
        return;
    }
    sequence->is_done = true;
    sequence->done_reason = beams->answers[0].reason;
}

int32_t tn_beams_find_trunk(const tn_sequence *sequence) {
    const tn_beams *beams = sequence->beams;
    int32_t count = sequence->num_prompt;
    for (; count < sequence->num_known; count++)
        for (int32_t i = 1; i < beams->num_live; i++)
            if (beams->tokens[i][count] != beams->tokens[0][count]) return count;
    return count;
}

/* --- what responses show ------------------------------------------------------------------------------------------------------ */

int32_t tn_beams_num_shown(const tn_beams *beams, int32_t num_tokens, bool is_last) {
    int32_t count = is_last ? beams->num_answers : beams->num_live_after[num_tokens - 1];
    return count < beams->num_return ? count : beams->num_return;
}

tn_beam_answer tn_beams_get(const tn_beams *beams, int32_t beam, int32_t num_tokens, bool is_last) {
    if (is_last) return beams->answers[beam];
    double score = score_of(beams, node_at(beams, num_tokens, beam)->sum, num_tokens);
    return (tn_beam_answer){num_tokens, beam, TN_FINISH_NOT_FINISHED, score};
}

double tn_beams_sum(const tn_beams *beams, const tn_beam_answer *answer) {
    return node_at(beams, answer->num_tokens, answer->node)->sum;
}

void tn_beams_copy(const tn_beams *beams, const tn_beam_answer *answer, int32_t *ids, tn_log_prob *log_probs, size_t columns) {
    int32_t at = answer->node;
    for (int32_t i = answer->num_tokens; i > 0; i--) {
        const tn_beam_node *node = node_at(beams, i, at);
        size_t place = (size_t)(i - 1);
        ids[place] = node->token;
        if (log_probs != NULL)
            memcpy(log_probs + place * columns, beams->top + (place * 2 * (size_t)beams->width + (size_t)at) * columns,
                   columns * sizeof *log_probs);
        at = node->parent;
    }
}

void tn_beams_copy_rows(const tn_beams *beams, const tn_beam_answer *answer, const tn_row_results *rows, float *out) {
    int32_t at = answer->node;
    size_t columns = rows->num_columns;
    for (int32_t i = answer->num_tokens; i > 0; i--) {
        size_t place = (size_t)(i - 1);
        at = node_at(beams, i, at)->parent;
        memcpy(out + place * columns, rows->generation + (place * (size_t)beams->width + (size_t)at) * columns, columns * sizeof *out);
    }
}
