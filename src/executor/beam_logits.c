/* SPDX-License-Identifier: Apache-2.0
 *
 * beam_logits.c: from the logits of a beam to its most likely next tokens: the rules of op/slot.h, in their order, on the host.
 */
#include <math.h>
#include <string.h>

#include "executor/beams.h"

/* --- rules -------------------------------------------------------------------------------------------------------------------- */

static void apply_bias(float *logits, const float *bias, int64_t count) {
    for (int64_t i = 0; i < count; i++) logits[i] += bias[i];
}

static void apply_penalties(const tn_slot_params *params, const int32_t *tokens, int32_t num_tokens, float *logits, int32_t *counts) {
    bool has_any = params->repetition_penalty != 1.0f || params->presence_penalty != 0.0f || params->frequency_penalty != 0.0f;
    if (!has_any) return;
    int32_t first = params->prompt_ignore_length < params->prompt_length ? params->prompt_ignore_length : params->prompt_length;
    for (int32_t i = first; i < num_tokens; i++) counts[tokens[i]]++;
    for (int32_t i = first; i < num_tokens; i++) {
        int32_t id = tokens[i], count = counts[id];
        if (count == 0) continue; /* done */
        double x = (double)logits[id];
        x = x > 0.0 ? x / (double)params->repetition_penalty : x * (double)params->repetition_penalty;
        logits[id] = (float)(x - (double)params->presence_penalty - (double)params->frequency_penalty * count);
        counts[id] = 0;
    }
}

static bool ends_with(const int32_t *tokens, int32_t num_tokens, const int32_t *tail, int32_t count) {
    return count <= num_tokens && memcmp(tokens + num_tokens - count, tail, (size_t)count * sizeof *tail) == 0;
}

static void apply_masks(const tn_slot_params *params, const int32_t *tokens, int32_t num_tokens, float *logits) {
    if (params->end_id >= 0 && num_tokens - params->prompt_length < params->min_tokens) logits[params->end_id] = -INFINITY;
    for (int32_t word = 0, begin = 0; word < params->num_bad_words; begin = params->bad_word_ends[word++]) {
        int32_t last = params->bad_word_ends[word] - 1;
        if (ends_with(tokens, num_tokens, params->bad_tokens + begin, last - begin)) logits[params->bad_tokens[last]] = -INFINITY;
    }
    int32_t prefix = params->no_repeat_ngram_size - 1;
    for (int32_t at = 0; params->no_repeat_ngram_size > 0 && at < num_tokens - prefix; at++)
        if (ends_with(tokens, num_tokens, tokens + at, prefix)) logits[tokens[at + prefix]] = -INFINITY;
}

/* --- log-softmax -------------------------------------------------------------------------------------------------------------- */

/* e^x for x ≤ 0 to 2 units in the last place, e^−87 below −87: in a form that compilers make vectors of. */
static float exp_negative(float x) {
    x = x > -87.0f ? x : -87.0f;
    float rounded = x * 1.44269504f + 12582912.0f; /* adds 1.5 · 2^23: the whole part stands in the low bits */
    int32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    float n = rounded - 12582912.0f, r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t scaled;
    memcpy(&scaled, &p, sizeof scaled);
    scaled = (int32_t)((uint32_t)scaled + ((uint32_t)bits << 23));
    memcpy(&p, &scaled, sizeof p);
    return p;
}

enum { LANES = 16 };

/* Σ e^(x − largest), in one order whatever the compiler does. */
static double sum_of_exp(const float *logits, int64_t count, float largest) {
    float sums[LANES] = {0};
    double total = 0.0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        float terms[LANES];
        for (int lane = 0; lane < LANES; lane++) terms[lane] = exp_negative(logits[i + lane] - largest);
        for (int lane = 0; lane < LANES; lane++) sums[lane] += terms[lane];
        if (i / LANES % 64 != 63) continue; /* floats add few terms before a double takes them */
        for (int lane = 0; lane < LANES; lane++) total += (double)sums[lane], sums[lane] = 0.0f;
    }
    for (int lane = 0; lane < LANES; lane++) total += (double)sums[lane];
    for (; i < count; i++) total += (double)exp_negative(logits[i] - largest);
    return total;
}

/* --- the best ----------------------------------------------------------------------------------------------------------------- */

/* Less likely, or equally and of a higher id. */
static bool is_worse(tn_log_prob a, tn_log_prob b) {
    return a.value < b.value || (a.value == b.value && a.id > b.id);
}

/* A heap whose first entry is the worst; puts `entry` in the place of the first. */
static void replace_worst(tn_log_prob *heap, int32_t count, tn_log_prob entry) {
    int32_t at = 0;
    for (int32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_worse(heap[child + 1], heap[child])) child++;
        if (!is_worse(heap[child], entry)) break;
        heap[at] = heap[child];
    }
    heap[at] = entry;
}

static int32_t add_first(tn_log_prob *heap, int32_t count, tn_log_prob entry) {
    int32_t at = count;
    for (; at > 0 && is_worse(entry, heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
    return count + 1;
}

/* The best max_count logits above −∞, the best first. */
static int32_t find_best(const float *logits, int64_t vocab_size, tn_log_prob *out, int32_t max_count) {
    int32_t count = 0;
    for (int64_t i = 0; i < vocab_size; i++) {
        if (count == max_count && logits[i] <= out[0].value) continue;
        if (logits[i] == -INFINITY) continue;
        tn_log_prob entry = {(int32_t)i, logits[i]};
        if (count < max_count)
            count = add_first(out, count, entry);
        else
            replace_worst(out, count, entry);
    }
    for (int32_t left = count; left > 1; left--) {
        tn_log_prob worst = out[0], last = out[left - 1];
        replace_worst(out, left - 1, last);
        out[left - 1] = worst;
    }
    return count;
}

int32_t tn_beam_rank(const tn_slot_params *params, const float *bias, const int32_t *tokens, int32_t num_tokens, float *logits,
                     int64_t vocab_size, int32_t *counts, tn_log_prob *out, int32_t max_count) {
    if (bias != NULL) apply_bias(logits, bias, vocab_size);
    apply_penalties(params, tokens, num_tokens, logits, counts);
    apply_masks(params, tokens, num_tokens, logits);
    float largest = -INFINITY, scale = params->temperature > 0.0f ? 1.0f / params->temperature : 1.0f;
    for (int64_t i = 0; i < vocab_size; i++) {
        float x = logits[i] * scale;
        x = x == x ? x : -INFINITY;
        logits[i] = x;
        largest = x > largest ? x : largest;
    }
    if (largest == -INFINITY) return 0;
    if (largest == INFINITY) { /* infinite ones share all there is */
        for (int64_t i = 0; i < vocab_size; i++) logits[i] = logits[i] == INFINITY ? 0.0f : -INFINITY;
        largest = 0.0f;
    }
    double log_sum = log(sum_of_exp(logits, vocab_size, largest));
    int32_t count = find_best(logits, vocab_size, out, max_count);
    for (int32_t i = 0; i < count; i++) out[i].value = (float)((double)(out[i].value - largest) - log_sum);
    return count;
}
