/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.h: SAMPLE: the next token of each row by the rules of op/slot.h. A tile is a row of logits.
 *
 * Greedy rows without penalties and masks cost two vector passes (largest value and the sum for log-probabilities; where the
 * largest stands). top-k keeps a heap of k ids behind a vector compare with its worst; top-p sorts only tokens above a bound
 * that is lowered until they hold enough. Arithmetic is float32 (sums of 256 in sixteen lanes, then double), so bits do not
 * depend on the instruction set level; against double a draw can differ only where u falls within 1e-6 of a boundary.
 *
 * workspace: for each worker logits f32 [V], weights f32 [V], ids i32 [V], V padded to 16
 */
#ifndef TN_BACKEND_CPU_SAMPLE_H_
#define TN_BACKEND_CPU_SAMPLE_H_

#include "backend/cpu/kernels/vector_math.h"
#include "op/philox.h"
#include "op/slot.h"
#include "op/tactic.h"

enum { SUM_BLOCK = 256 };

typedef struct sample_row {
    tn_slot *slot;
    int32_t *history, *counts;
    const float *bias;
    int64_t vocab, max_seq_len;
    float *logits, *weights;
    int32_t *ids;
} sample_row;

/* --- passes over a row ---------------------------------------------------------------------------------------------------- */

/* The largest value; NaNs are passed over; −∞ if nothing else is there. */
V_INLINE float row_largest(const float *x, int64_t n) {
    vf largest = v_set1(-INFINITY);
    for (int64_t i = 0; i + LANES <= n; i += LANES) largest = v_max(v_load(x + i), largest);
    float result = v_largest(largest);
    for (int64_t i = n / LANES * LANES; i < n; i++) result = x[i] > result ? x[i] : result;
    return result;
}

/* The first index that holds `value`; n if none does. */
V_INLINE int64_t row_find(const float *x, int64_t n, float value) {
    vf wanted = v_set1(value);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        if (v_any(v_equal(v_load(x + i), wanted))) break;
    while (i < n && !(x[i] == value)) i++;
    return i;
}

/* Σ e^(x − largest), 1 where x is the largest itself (also if it is infinite), 0 for a NaN */
V_INLINE double row_exp_sum(const float *x, int64_t n, float largest) {
    double sum = 0;
    vf top = v_set1(largest);
    for (int64_t block = 0; block < n; block += SUM_BLOCK) {
        vf lanes = v_zero();
        int64_t end = block + SUM_BLOCK < n ? block + SUM_BLOCK : n;
        for (int64_t i = block; i < end; i += LANES) {
            vf value = v_load_upto(x + i, end - i);
            vf e = v_select(v_equal(value, top), v_set1(1.0f), v_exp_negative(v_sub(value, top)));
            e = v_select(v_equal(value, value), e, v_zero());
            lanes = v_add(lanes, v_select(v_mask_range(0, end - i), e, v_zero()));
        }
        sum += (double)v_sum(lanes);
    }
    return sum;
}

/* --- selection -------------------------------------------------------------------------------------------------------------- */

V_INLINE bool is_before(const float *values, int32_t a, int32_t b) {
    return values[a] > values[b] || (values[a] == values[b] && a < b);
}

/* Restores a heap whose root is the id that comes last. */
static void sift_last(const float *values, int32_t *heap, int64_t root, int64_t count) {
    for (int64_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && is_before(values, heap[child], heap[child + 1])) child++;
        if (!is_before(values, heap[root], heap[child])) return;
        int32_t swapped = heap[root];
        heap[root] = heap[child];
        heap[child] = swapped;
    }
}

/* Sorts ids by descending value, the lower id first among equals; `heaped`: they are such a heap already. */
static void sort_ids(const float *values, int32_t *ids, int64_t count, bool heaped) {
    for (int64_t i = heaped ? -1 : count / 2 - 1; i >= 0; i--) sift_last(values, ids, i, count);
    for (int64_t end = count - 1; end > 0; end--) {
        int32_t swapped = ids[0];
        ids[0] = ids[end];
        ids[end] = swapped;
        sift_last(values, ids, 0, end);
    }
}

/* The k first ids of a row in order; −∞ and NaN are never taken unless k reaches them. Returns how many (at most n). */
static int64_t select_top(const float *values, int64_t n, int64_t k, int32_t *ids) {
    int64_t count = 0, i = 0;
    for (; i < n && count < k; i++)
        if (values[i] == values[i]) ids[count++] = (int32_t)i;
    for (int64_t root = count / 2 - 1; root >= 0; root--) sift_last(values, ids, root, count);
    while (i < n && count > 0) {
        if (i % LANES == 0 && i + LANES <= n && !v_any(v_less(v_set1(values[ids[0]]), v_load(values + i)))) {
            i += LANES;
            continue;
        }
        if (values[i] > values[ids[0]]) {
            ids[0] = (int32_t)i;
            sift_last(values, ids, 0, count);
        }
        i++;
    }
    sort_ids(values, ids, count, true);
    return count;
}

/* --- rules -------------------------------------------------------------------------------------------------------------------- */

V_INLINE bool changes_logits(const tn_slot_params *params) {
    return params->has_bias || params->repetition_penalty != 1.0f || params->presence_penalty != 0.0f || params->frequency_penalty != 0.0f;
}

static void apply_penalties(sample_row *s, const float *raw) {
    const tn_slot_params *params = &s->slot->params;
    bool change = changes_logits(params);
    for (int64_t i = 0; i < s->vocab; i += LANES) {
        int64_t left = s->vocab - i;
        vf x = v_load_upto(raw + i, left);
        x = v_select(v_equal(x, x), x, v_set1(-INFINITY));
        if (change && params->has_bias) x = v_add(x, v_load_upto(s->bias + i, left));
        v_store_upto(s->logits + i, x, left);
    }
    for (int64_t i = 0; change && i < s->vocab; i++) {
        float x = s->logits[i];
        if (s->counts[i] > 0) {
            x = x > 0 ? x / params->repetition_penalty : x * params->repetition_penalty;
            x -= params->presence_penalty + params->frequency_penalty * (float)s->counts[i];
        }
        s->logits[i] = x == x ? x : -INFINITY;
    }
}

static void forbid(sample_row *s, int32_t token) {
    if (token >= 0 && token < s->vocab) s->logits[token] = -INFINITY;
}

static bool history_ends_with(const sample_row *s, const int32_t *tokens, int32_t count) {
    if (count > s->slot->history_count) return false;
    return memcmp(s->history + s->slot->history_count - count, tokens, (size_t)count * sizeof *tokens) == 0;
}

static void apply_masks(sample_row *s, const uint32_t *allowed) {
    const tn_slot_params *params = &s->slot->params;
    int32_t length = s->slot->history_count, prefix = params->no_repeat_ngram_size - 1;
    if (length - params->prompt_length < params->min_tokens) forbid(s, params->end_id);
    for (int32_t word = 0, begin = 0; word < params->num_bad_words; begin = params->bad_word_ends[word++]) {
        int32_t last = params->bad_word_ends[word] - 1;
        if (last >= begin && history_ends_with(s, params->bad_tokens + begin, last - begin)) forbid(s, params->bad_tokens[last]);
    }
    for (int32_t at = 0; params->no_repeat_ngram_size > 0 && at + prefix < length; at++)
        if (history_ends_with(s, s->history + at, prefix)) forbid(s, s->history[at + prefix]);
    for (int64_t word = 0; allowed != NULL && word * 32 < s->vocab; word++) {
        if (allowed[word] == UINT32_MAX) continue;
        for (int64_t i = word * 32; i < word * 32 + 32 && i < s->vocab; i++)
            if ((allowed[word] >> (i % 32) & 1u) == 0) s->logits[i] = -INFINITY;
    }
}

/* e^((x − largest) / temperature) of all tokens; those below min_p to 0 if nothing else filters. Returns their sum by blocks. */
static double make_weights(sample_row *s, float largest, float least) {
    vf top = v_set1(largest), temperature = v_set1(s->slot->params.temperature), bound = v_set1(least);
    double sum = 0;
    for (int64_t block = 0; block < s->vocab; block += SUM_BLOCK) {
        vf lanes = v_zero();
        int64_t end = block + SUM_BLOCK < s->vocab ? block + SUM_BLOCK : s->vocab;
        for (int64_t i = block; i < end; i += LANES) {
            vf x = v_load_upto(s->logits + i, end - i);
            vf e = v_select(v_equal(x, top), v_set1(1.0f), v_exp_negative(v_div(v_sub(x, top), temperature)));
            e = v_select(v_less(e, bound), v_zero(), v_select(v_mask_range(0, end - i), e, v_zero()));
            lanes = v_add(lanes, e);
            v_store_upto(s->weights + i, e, end - i);
        }
        sum += (double)v_sum(lanes);
    }
    return sum;
}

/* The first tokens by weight whose sum reaches `wanted`, in order; returns how many. */
static int64_t select_mass(sample_row *s, double wanted) {
    for (float bound = 0x1p-8f;; bound = bound > 0x1p-60f ? bound * 0x1p-6f : 0.0f) {
        int64_t count = 0;
        double mass = 0;
        for (int64_t i = 0; i < s->vocab; i++) {
            if (i % LANES == 0 && i + LANES <= s->vocab && v_all(v_less(v_load(s->weights + i), v_set1(bound)))) {
                i += LANES - 1;
                continue;
            }
            if (s->weights[i] < bound) continue;
            s->ids[count++] = (int32_t)i;
            mass += (double)s->weights[i];
        }
        if (mass < wanted && bound > 0) continue;
        sort_ids(s->logits, s->ids, count, false);
        return count;
    }
}

static void sort_ascending(int32_t *ids, int64_t count) {
    for (int64_t gap = count / 2; gap > 0; gap = gap > 2 ? gap * 5 / 11 : gap - 1)
        for (int64_t i = gap; i < count; i++) {
            int32_t id = ids[i];
            int64_t at = i;
            for (; at >= gap && ids[at - gap] > id; at -= gap) ids[at] = ids[at - gap];
            ids[at] = id;
        }
}

/* Inverse of the cumulated weights of the given ids. */
static int32_t draw_among(sample_row *s, int64_t count, double u) {
    float least = s->slot->params.min_p;
    double total = 0, sum = 0;
    int32_t last = s->ids[0];
    sort_ascending(s->ids, count);
    for (int64_t i = 0; i < count; i++) total += s->weights[s->ids[i]] < least ? 0.0 : (double)s->weights[s->ids[i]];
    for (int64_t i = 0; i < count; i++) {
        float weight = s->weights[s->ids[i]];
        if (weight < least || weight == 0.0f) continue;
        last = s->ids[i];
        sum += (double)weight;
        if (sum > total * u) break;
    }
    return last;
}

/* The same among all tokens: whole blocks first, with the sums that made the total. */
static int32_t draw_among_all(sample_row *s, double total, double u) {
    double sum = 0, threshold = total * u;
    int32_t last = 0;
    for (int64_t block = 0; block < s->vocab; block += SUM_BLOCK) {
        vf lanes = v_zero();
        int64_t end = block + SUM_BLOCK < s->vocab ? block + SUM_BLOCK : s->vocab;
        for (int64_t i = block; i < end; i += LANES) lanes = v_add(lanes, v_load_upto(s->weights + i, end - i));
        double block_sum = (double)v_sum(lanes);
        if (block_sum == 0.0) continue;
        bool here = sum + block_sum > threshold;
        double inside = sum;
        for (int64_t i = block; i < end; i++) {
            if (s->weights[i] == 0.0f) continue;
            last = (int32_t)i;
            inside += (double)s->weights[i];
            if (here && inside > threshold) break;
        }
        if (here) return last;
        sum += block_sum;
    }
    return last;
}

static int32_t choose(sample_row *s, int64_t position) {
    const tn_slot_params *params = &s->slot->params;
    float largest = row_largest(s->logits, s->vocab);
    s->slot->error = largest == -INFINITY;
    if (s->slot->error != 0) return params->end_id >= 0 ? params->end_id : 0;
    if (params->temperature == 0.0f || (params->top_k == 0 && params->top_p == 0.0f))
        return (int32_t)row_find(s->logits, s->vocab, largest);
    double u = tn_philox_uniform(params->seed, params->sequence_index, (uint64_t)position);
    bool has_top_k = params->top_k > 0 && params->top_k<s->vocab, has_top_p = params->top_p> 0.0f && s->slot->current_top_p < 1.0f;
    double total = make_weights(s, largest, has_top_k || has_top_p ? 0.0f : params->min_p);
    if (!has_top_k && !has_top_p) return draw_among_all(s, total, u);
    int64_t count;
    if (has_top_k) {
        count = select_top(s->logits, s->vocab, params->top_k, s->ids);
        total = 0;
        for (int64_t i = 0; i < count; i++) total += (double)s->weights[s->ids[i]];
    } else {
        count = select_mass(s, (double)s->slot->current_top_p * total);
    }
    if (has_top_p) {
        double sum = 0;
        int64_t kept = 0;
        while (kept < count && (kept == 0 || sum < (double)s->slot->current_top_p * total)) sum += (double)s->weights[s->ids[kept++]];
        count = kept;
    }
    return draw_among(s, count, u);
}

static void update_slot(sample_row *s, int32_t token) {
    tn_slot *slot = s->slot;
    slot->last_token = token;
    if (slot->history_count < s->max_seq_len) s->history[slot->history_count++] = token;
    if (token < s->vocab) s->counts[token]++;
    if (slot->params.top_p > 0.0f) {
        float decayed = slot->current_top_p * slot->params.top_p_decay;
        slot->current_top_p = decayed > slot->params.top_p_min ? decayed : slot->params.top_p_min;
    }
    if (token == slot->params.top_p_reset_id) slot->current_top_p = slot->params.top_p;
}

/* Column 0: the drawn token (−1: none, zeros), then the `wanted` largest raw logits in descending order, then zeros. */
static void store_log_probs(sample_row *s, const float *raw, int32_t drawn, int64_t wanted, int64_t columns, int32_t *ids, float *values) {
    float largest = row_largest(raw, s->vocab), log_sum[LANES];
    v_store(log_sum, v_log(v_set1((float)row_exp_sum(raw, s->vocab, largest))));
    if (wanted > columns - 1) wanted = columns - 1;
    int64_t found = wanted > 0 ? select_top(raw, s->vocab, wanted, s->ids) : 0;
    for (int64_t nan = 0; found < wanted && nan < s->vocab; nan++) /* too few numbers: the NaNs come last */
        if (raw[nan] != raw[nan]) s->ids[found++] = (int32_t)nan;
    for (int64_t column = 0; column < columns; column++) {
        int32_t id = column == 0 ? drawn : column - 1 < found ? s->ids[column - 1] : -1;
        ids[column] = id < 0 ? 0 : id;
        values[column] = 0.0f;
        if (id < 0) continue;
        float x = raw[id] == raw[id] ? raw[id] : -INFINITY;
        values[column] = x == largest ? -log_sum[0] : (float)((double)x - (double)largest - (double)log_sum[0]);
    }
}

void TN_ISA_NAME(tn_cpu_sample)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_sample)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    const tn_problem *problem = step->problem;
    const tn_sample_params *params = problem->params;
    uint32_t outputs = problem->num_inputs;
    tn_slot_layout layout = tn_slot_layout_make(params->vocab_size, params->max_seq_len);
    int64_t vocab = tn_operand_columns(&problem->operands[0], step->symbols), padded = (vocab + LANES - 1) / LANES * LANES;
    int64_t columns = params->max_log_probs + 1, mask_words = (vocab + 31) / 32;
    const int32_t *slots = step->buffers[1], *positions = step->buffers[2];
    const uint32_t *masks = problem->num_inputs > 4 ? step->buffers[4] : NULL;
    sample_row s = {.vocab = vocab, .max_seq_len = params->max_seq_len};
    s.logits = (float *)step->buffers[problem->num_operands] + (int64_t)worker * padded * 3;
    s.weights = s.logits + padded;
    s.ids = (int32_t *)(void *)(s.weights + padded);
    for (int64_t row = begin; row < end; row++) {
        const float *raw = (const float *)step->buffers[0] + row * vocab;
        int64_t wanted = columns;
        int32_t drawn = -1;
        if (slots[row] >= 0) {
            char *bytes = (char *)step->buffers[3] + (size_t)slots[row] * layout.row_bytes;
            s.slot = (tn_slot *)(void *)bytes;
            s.history = (int32_t *)(void *)(bytes + layout.history_offset);
            s.counts = (int32_t *)(void *)(bytes + layout.counts_offset);
            s.bias = (const float *)(void *)(bytes + layout.bias_offset);
            apply_penalties(&s, raw);
            apply_masks(&s, masks != NULL ? masks + row * mask_words : NULL);
            drawn = choose(&s, positions[row]);
            wanted = s.slot->params.num_log_probs;
            update_slot(&s, drawn);
        }
        ((int32_t *)step->buffers[outputs])[row] = drawn;
        store_log_probs(&s, raw, drawn, wanted, columns, (int32_t *)step->buffers[outputs + 1] + row * columns,
                        (float *)step->buffers[outputs + 2] + row * columns);
    }
}

#endif
