/* SPDX-License-Identifier: Apache-2.0
 *
 * slot.h: the bytes of one row of the state `slots`: all that drawing a sequence's next token needs. The executor writes a
 * row through the runtime when a request is admitted; TN_OP_SAMPLE updates the members marked (sample).
 *
 * A row is the struct, then three arrays at the offsets that tn_slot_layout_make gives:
 *     history  i32 [max_seq_len]   prompt and generated tokens in order (sample appends)
 *     counts   i32 [vocab_size]    how often each token occurs in history from prompt_ignore_length on (sample)
 *     bias     f32 [vocab_size]    added to the logits if has_bias
 *
 * Order of the rules (design, executor): raw logits → bias → repetition → presence, frequency → masks (min tokens, bad words,
 * n-grams, token_mask) → temperature → top-k → top-p → min-p → draw. Draw: inverse CDF over the kept tokens in id order with
 * u from Philox4x32-10, key = seed, counter = (sequence_index, position): never of batch, rank or step.
 *     greedy (top_k 0 and top_p 0, or temperature 0): the largest logit after the masks, the lowest id among equals
 *     top_k > 0, top_p 0: among the k largest; top_k 0, top_p > 0: the smallest set of most likely tokens with sum ≥ top_p;
 *     both: top-k first, renormalised, then top-p inside. Equal probabilities: lower id first.
 *     min_p: drops tokens below min_p · largest probability (after temperature).
 * A NaN logit counts as −∞; if no token is left, or all are −∞, the answer is end_id if that is ≥ 0, else token 0, and
 * `error` is set (sample).
 */
#ifndef TN_OP_SLOT_H_
#define TN_OP_SLOT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TN_SLOT_MAX_BAD_WORDS  64
#define TN_SLOT_MAX_BAD_TOKENS 512

typedef struct tn_slot_params {
    uint64_t seed;
    uint64_t sequence_index; /* 0 for a request's first sequence */
    float temperature;       /* > 0; 0 means greedy */
    float top_p;             /* 0 = off, else in (0, 1] */
    float min_p;
    float top_p_min, top_p_decay;              /* after each draw top_p = max(top_p · decay, top_p_min); decay 1: constant */
    float repetition_penalty;                  /* 1 = off; logit > 0 is divided by it, else multiplied, for tokens with count > 0 */
    float presence_penalty, frequency_penalty; /* logit −= presence (once) + frequency · count */
    int32_t top_k;                             /* 0 = all */
    int32_t top_p_reset_id;                    /* drawing it resets top_p to its first value; −1 = none */
    int32_t end_id;                            /* −1 = none; blocked while fewer than min_tokens are generated */
    int32_t min_tokens;
    int32_t no_repeat_ngram_size; /* 0 = off */
    int32_t prompt_length;        /* tokens of history at admission */
    int32_t prompt_ignore_length; /* leading prompt tokens that the penalties do not count */
    int32_t num_log_probs;        /* log-probabilities that are wanted beside the drawn token's: of so many of the largest */
    int32_t num_bad_words;
    int32_t bad_word_ends[TN_SLOT_MAX_BAD_WORDS]; /* exclusive ends in bad_tokens */
    int32_t bad_tokens[TN_SLOT_MAX_BAD_TOKENS];
    bool has_bias;
} tn_slot_params;

typedef struct tn_slot {
    tn_slot_params params;
    float current_top_p;   /* (sample) starts as params.top_p */
    int32_t last_token;    /* (sample) what −1 in input_ids stands for */
    int32_t history_count; /* (sample) */
    int32_t error;         /* (sample) 1: the logits left nothing to draw */
} tn_slot;

typedef struct tn_slot_layout {
    size_t history_offset, counts_offset, bias_offset, row_bytes;
} tn_slot_layout;

static inline tn_slot_layout tn_slot_layout_make(int64_t vocab_size, int64_t max_seq_len) {
    size_t history = (sizeof(tn_slot) + 63u) & ~(size_t)63u;
    size_t counts = (history + (size_t)max_seq_len * sizeof(int32_t) + 63u) & ~(size_t)63u;
    size_t bias = (counts + (size_t)vocab_size * sizeof(int32_t) + 63u) & ~(size_t)63u;
    size_t end = (bias + (size_t)vocab_size * sizeof(float) + 63u) & ~(size_t)63u;
    tn_slot_layout layout = {history, counts, bias, end};
    return layout;
}

#endif
