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

/* Vectors of the compiler's own kind, as large as every x86-64 and arm64 has them: sums are in one order everywhere. A row of
 * 49,152 costs 0.12 ms (Xeon, 2.5 GHz, gcc 12 and clang 14), four times that one by one. */
enum { LANES = 4, BLOCK = 4 * LANES };
typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t words __attribute__((vector_size(LANES * sizeof(int32_t)))); /* what comparing gives: 0 or −1 */
typedef uint32_t bits __attribute__((vector_size(LANES * sizeof(uint32_t))));

static floats load(const float *x) {
    floats result;
    memcpy(&result, x, sizeof result);
    return result;
}

static void store(float *x, floats value) {
    memcpy(x, &value, sizeof value);
}

static floats broadcast(float x) {
    return (floats){x, x, x, x};
}

static floats select(words mask, floats a, floats b) {
    return (floats)((mask & (words)a) | (~mask & (words)b));
}

static bool has_any(words mask) {
    int64_t halves[2];
    memcpy(halves, &mask, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

/* e^x for x ≤ 0 to 2 units in the last place, e^−87 below −87. */
static floats exp_negative(floats x) {
    x = select(x > -87.0f, x, broadcast(-87.0f));
    floats rounded = x * 1.44269504f + 12582912.0f; /* adds 1.5 · 2^23: the whole part stands in the low bits */
    floats n = rounded - 12582912.0f, r = x - n * 0.693359375f + n * 2.12194440e-4f;
    floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return (floats)((bits)p + ((bits)rounded << 23));
}

/* Scales, makes −∞ of what is no number, returns the largest. */
static float scale_logits(float *logits, int64_t count, float scale) {
    floats best[BLOCK / LANES];
    for (int v = 0; v < BLOCK / LANES; v++) best[v] = broadcast(-INFINITY);
    int64_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK)
        for (int v = 0; v < BLOCK / LANES; v++) {
            floats x = load(logits + i + v * LANES) * scale;
            x = select(x == x, x, broadcast(-INFINITY));
            store(logits + i + v * LANES, x);
            best[v] = select(x > best[v], x, best[v]);
        }
    float largest = -INFINITY;
    for (; i < count; i++) {
        float x = logits[i] * scale;
        logits[i] = x == x ? x : -INFINITY;
        largest = fmaxf(largest, logits[i]);
    }
    for (int v = 0; v < BLOCK / LANES; v++)
        for (int lane = 0; lane < LANES; lane++) largest = fmaxf(largest, best[v][lane]);
    return largest;
}

/* Σ e^(x − largest). */
static double sum_of_exp(const float *logits, int64_t count, float largest) {
    floats sums[BLOCK / LANES] = {{0}};
    double total = 0.0;
    int64_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        for (int v = 0; v < BLOCK / LANES; v++) sums[v] += exp_negative(load(logits + i + v * LANES) - largest);
        if (i / BLOCK % 64 != 63) continue; /* floats add few terms before a double takes them */
        for (int v = 0; v < BLOCK / LANES; v++) {
            for (int lane = 0; lane < LANES; lane++) total += (double)sums[v][lane];
            sums[v] = broadcast(0.0f);
        }
    }
    for (int v = 0; v < BLOCK / LANES; v++)
        for (int lane = 0; lane < LANES; lane++) total += (double)sums[v][lane];
    for (; i < count; i++) total += (double)exp_negative(broadcast(logits[i] - largest))[0];
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

/* Is any of a block's logits above? */
static bool has_larger(const float *logits, float bound) {
    words any = load(logits) > bound;
    for (int v = 1; v < BLOCK / LANES; v++) any |= load(logits + v * LANES) > bound;
    return has_any(any);
}

/* The best max_count logits above −∞, the best first. */
static int32_t find_best(const float *logits, int64_t vocab_size, tn_log_prob *out, int32_t max_count) {
    int32_t count = 0;
    for (int64_t i = 0; i < vocab_size; i++) {
        while (count == max_count && i + BLOCK <= vocab_size && !has_larger(logits + i, out[0].value)) i += BLOCK;
        if (i == vocab_size) break;
        if (logits[i] == -INFINITY || (count == max_count && logits[i] <= out[0].value)) continue;
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
    float largest = scale_logits(logits, vocab_size, params->temperature > 0.0f ? 1.0f / params->temperature : 1.0f);
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
