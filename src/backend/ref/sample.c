/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.c: SAMPLE by the rules of op/slot.h, in double. A row of logits depends on its slot alone.
 */
#include <math.h>

#include "backend/ref/ref.h"
#include "op/philox.h"
#include "op/slot.h"

/* A slot's row and the scratch of one draw, [vocab] each. */
typedef struct draw_state {
    tn_slot *slot;
    int32_t *history, *counts;
    const float *bias;
    int64_t vocab, max_seq_len;
    double *logits, *weights;
    int32_t *order;
} draw_state;

size_t tn_ref_sample_workspace(const tn_problem *problem, const int64_t *symbols) {
    return (size_t)tn_operand_columns(&problem->operands[0], symbols) * (2 * sizeof(double) + sizeof(int32_t));
}

static void apply_penalties(draw_state *s) {
    const tn_slot_params *params = &s->slot->params;
    for (int64_t i = 0; i < s->vocab; i++) {
        double x = s->logits[i];
        if (isnan(x)) x = -INFINITY;
        if (params->has_bias) x += (double)s->bias[i];
        if (s->counts[i] > 0) {
            x = x > 0.0 ? x / (double)params->repetition_penalty : x * (double)params->repetition_penalty;
            x -= (double)params->presence_penalty + (double)params->frequency_penalty * (double)s->counts[i];
        }
        s->logits[i] = isnan(x) ? -INFINITY : x;
    }
}

static void forbid(draw_state *s, int32_t token) {
    if (token >= 0 && token < s->vocab) s->logits[token] = -INFINITY;
}

/* Does history end with these tokens? */
static bool history_ends_with(const draw_state *s, const int32_t *tokens, int32_t count) {
    if (count > s->slot->history_count) return false;
    return memcmp(s->history + s->slot->history_count - count, tokens, (size_t)count * sizeof *tokens) == 0;
}

static void apply_masks(draw_state *s, const uint32_t *allowed) {
    const tn_slot_params *params = &s->slot->params;
    int32_t length = s->slot->history_count, prefix = params->no_repeat_ngram_size - 1;
    if (length - params->prompt_length < params->min_tokens) forbid(s, params->end_id);
    for (int32_t word = 0, begin = 0; word < params->num_bad_words; begin = params->bad_word_ends[word++]) {
        int32_t last = params->bad_word_ends[word] - 1;
        if (last >= begin && history_ends_with(s, params->bad_tokens + begin, last - begin)) forbid(s, params->bad_tokens[last]);
    }
    for (int32_t at = 0; params->no_repeat_ngram_size > 0 && at + prefix < length; at++)
        if (history_ends_with(s, s->history + at, prefix)) forbid(s, s->history[at + prefix]);
    for (int64_t i = 0; allowed != NULL && i < s->vocab; i++)
        if ((allowed[i / 32] >> (i % 32) & 1u) == 0) s->logits[i] = -INFINITY;
}

static bool is_before(const double *values, int32_t a, int32_t b) {
    return values[a] > values[b] || (values[a] == values[b] && a < b);
}

static void sift_down(const double *values, int32_t *order, int64_t root, int64_t count) {
    for (int64_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && is_before(values, order[child], order[child + 1])) child++;
        if (!is_before(values, order[root], order[child])) return;
        int32_t swapped = order[root];
        order[root] = order[child];
        order[child] = swapped;
    }
}

/* Ids by descending value, the lower id first among equals. No NaNs. */
static void sort_descending(const double *values, int32_t *order, int64_t count) {
    for (int64_t i = 0; i < count; i++) order[i] = (int32_t)i;
    for (int64_t i = count / 2 - 1; i >= 0; i--) sift_down(values, order, i, count);
    for (int64_t end = count - 1; end > 0; end--) {
        int32_t swapped = order[0];
        order[0] = order[end];
        order[end] = swapped;
        sift_down(values, order, 0, end);
    }
}

/* Sets the weights of tokens outside top-k, top-p and min-p to 0. */
static void filter(draw_state *s) {
    const tn_slot_params *params = &s->slot->params;
    int64_t kept = params->top_k > 0 && params->top_k < s->vocab ? params->top_k : s->vocab;
    bool has_top_p = params->top_p > 0.0f && s->slot->current_top_p < 1.0f;
    if (kept < s->vocab || has_top_p) sort_descending(s->logits, s->order, s->vocab);
    for (int64_t i = kept; i < s->vocab; i++) s->weights[s->order[i]] = 0.0;
    if (has_top_p) {
        double total = 0.0, sum = 0.0;
        int64_t in = 0;
        for (int64_t i = 0; i < kept; i++) total += s->weights[s->order[i]];
        while (in < kept && (in == 0 || sum < (double)s->slot->current_top_p * total)) sum += s->weights[s->order[in++]];
        for (int64_t i = in; i < kept; i++) s->weights[s->order[i]] = 0.0;
    }
    for (int64_t i = 0; i < s->vocab; i++)
        if (s->weights[i] < (double)params->min_p) s->weights[i] = 0.0; /* the largest weight is 1 */
}

static int32_t choose(draw_state *s, int64_t position) {
    const tn_slot_params *params = &s->slot->params;
    int32_t best = 0, last = 0;
    for (int32_t i = 1; i < s->vocab; i++)
        if (s->logits[i] > s->logits[best]) best = i;
    s->slot->error = s->logits[best] == -INFINITY;
    if (s->slot->error != 0) return params->end_id >= 0 ? params->end_id : 0;
    if (params->temperature == 0.0f || (params->top_k == 0 && params->top_p == 0.0f)) return best;
    double largest = s->logits[best], total = 0.0, sum = 0.0;
    for (int64_t i = 0; i < s->vocab; i++)
        s->weights[i] = s->logits[i] == largest ? 1.0 : exp((s->logits[i] - largest) / (double)params->temperature);
    filter(s);
    for (int64_t i = 0; i < s->vocab; i++) total += s->weights[i];
    double threshold = total * tn_philox_uniform(params->seed, params->sequence_index, (uint64_t)position);
    for (int32_t i = 0; i < s->vocab; i++) {
        if (s->weights[i] == 0.0) continue;
        last = i;
        sum += s->weights[i];
        if (sum > threshold) break;
    }
    return last;
}

static void update_slot(draw_state *s, int32_t token) {
    tn_slot *slot = s->slot;
    slot->last_token = token;
    if (slot->history_count < s->max_seq_len) s->history[slot->history_count++] = token;
    if (token < s->vocab) s->counts[token]++;
    if (slot->params.top_p > 0.0f) slot->current_top_p = fmaxf(slot->current_top_p * slot->params.top_p_decay, slot->params.top_p_min);
    if (token == slot->params.top_p_reset_id) slot->current_top_p = slot->params.top_p;
}

/* Column 0: the drawn token (−1: none, zeros), then the `wanted` largest raw logits in descending order, then zeros. */
static void store_log_probs(const tn_ref_view *logits, int64_t row, int32_t drawn, int64_t wanted, const tn_ref_view *ids,
                            const tn_ref_view *values) {
    int64_t vocab = logits->columns, columns = ids->columns, base = row * vocab;
    double largest = -INFINITY, sum = 0.0, previous = INFINITY;
    for (int64_t i = 0; i < vocab; i++) largest = fmax(largest, tn_ref_load(logits, base + i));
    for (int64_t i = 0; i < vocab; i++) {
        double x = tn_ref_load(logits, base + i);
        if (!isnan(x)) sum += x == largest ? 1.0 : exp(x - largest);
    }
    double log_sum = log(sum);
    int64_t previous_id = -1;
    for (int64_t column = 0; column < columns; column++) {
        int64_t best = column == 0 ? drawn : -1;
        for (int64_t i = 0; column > 0 && column <= wanted && i < vocab; i++) {
            double x = tn_ref_load(logits, base + i);
            x = isnan(x) ? -INFINITY : x;
            bool is_after = x < previous || (x == previous && i > previous_id);
            if (is_after && (best < 0 || x > fmax(-INFINITY, tn_ref_load(logits, base + best)))) best = i;
        }
        double x = best >= 0 ? fmax(-INFINITY, tn_ref_load(logits, base + best)) : 0.0; /* fmax drops a NaN */
        if (column > 0) previous = x, previous_id = best;
        double log_prob = best < 0 ? 0.0 : x == largest ? -log_sum : x - largest - log_sum;
        tn_ref_store_int(ids, row * columns + column, best < 0 ? 0 : best);
        tn_ref_store(values, row * columns + column, log_prob);
    }
}

tn_status tn_ref_sample(const tn_ref_call *call) {
    const tn_sample_params *params = call->problem->params;
    tn_ref_view logits = tn_ref_input(call, 0), slots = tn_ref_input(call, 1), positions = tn_ref_input(call, 2);
    tn_ref_view state = tn_ref_input(call, 3), mask = tn_ref_input(call, 4);
    tn_ref_view next_ids = tn_ref_output(call, 0), top_ids = tn_ref_output(call, 1), top_log_probs = tn_ref_output(call, 2);
    tn_slot_layout layout = tn_slot_layout_make(params->vocab_size, params->max_seq_len);
    int64_t vocab = logits.columns;
    for (int64_t row = 0; row < logits.rows; row++) {
        int64_t slot = tn_ref_load_int(&slots, row);
        int64_t wanted = top_ids.columns;
        int32_t drawn = -1;
        if (slot >= 0) {
            char *bytes = (char *)state.data + (size_t)slot * layout.row_bytes;
            draw_state s = {.slot = (tn_slot *)(void *)bytes, .vocab = vocab, .max_seq_len = params->max_seq_len};
            s.history = (int32_t *)(void *)(bytes + layout.history_offset);
            s.counts = (int32_t *)(void *)(bytes + layout.counts_offset);
            s.bias = (const float *)(void *)(bytes + layout.bias_offset);
            s.logits = call->workspace;
            s.weights = s.logits + vocab;
            s.order = (int32_t *)(void *)(s.weights + vocab);
            for (int64_t i = 0; i < vocab; i++) s.logits[i] = tn_ref_load(&logits, row * vocab + i);
            apply_penalties(&s);
            apply_masks(&s, mask.absent ? NULL : (const uint32_t *)mask.data + row * mask.columns);
            drawn = choose(&s, tn_ref_load_int(&positions, row));
            wanted = s.slot->params.num_log_probs;
            update_slot(&s, drawn);
        }
        tn_ref_store_int(&next_ids, row, drawn);
        store_log_probs(&logits, row, drawn, wanted, &top_ids, &top_log_probs);
    }
    return TN_OK;
}
