/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence.h: one request inside the executor, from enqueue to the taking of its final response.
 *
 * All memory that it will ever need is taken at enqueue, on the caller's thread, from one arena: the loop never allocates.
 * Owners: members marked (loop) belong to the loop thread; (lock) are read and written under the executor's lock; the rest
 * never change after enqueue. Token and result arrays are written by the loop beyond num_visible and read by others below it.
 *
 *     tokens:  | prompt … | generated …        |
 *              0          num_prompt  num_known      num_drawn         max_total
 *                                    (host has them) (being drawn too: depth 2)
 *     num_finished ≤ num_computed: tokens whose keys and values are in the cache; and in flight
 */
#ifndef TN_EXECUTOR_SEQUENCE_H_
#define TN_EXECUTOR_SEQUENCE_H_

#include "base/arena.h"
#include "op/slot.h"
#include "tenon/executor.h"

typedef struct tn_sequence tn_sequence;
struct tn_sequence {
    tn_arena arena;
    uint64_t id, client_id, cache_salt;
    tn_slot_params slot_params;
    const float *bias;
    const tn_token_list *stop_words;
    size_t num_stop_words;
    const int32_t *more_end_ids;
    size_t num_more_end_ids;
    int32_t end_id;
    int32_t num_prompt, max_tokens, max_total;
    int32_t num_log_probs; /* −1: none */
    bool streaming, return_prompt_log_probs, return_context_logits, return_generation_logits;
    float priority;
    int64_t enqueue_ns;

    int32_t *tokens;          /* [max_total] */
    tn_log_prob *log_probs;   /* [max_tokens, 1 + K] or NULL */
    float *prompt_log_probs;  /* [num_prompt − 1] or NULL */
    float *context_logits;    /* [num_prompt, vocab] or NULL */
    float *generation_logits; /* [max_tokens, vocab] or NULL */
    int32_t *blocks;          /* [max_blocks] */
    int32_t max_blocks;

    /* (loop) */
    int32_t slot;
    int32_t num_known, num_drawn, num_computed, num_finished, num_blocks, num_committed_blocks, num_reused_tokens, num_in_flight;
    bool is_done; /* nothing more will be drawn */
    tn_finish_reason done_reason;
    int64_t queued_ns, first_token_ns, last_token_ns; /* since enqueue */
    tn_sequence *next_active;

    /* (lock) */
    bool is_cancelled;
    int32_t num_visible; /* tokens that responses may show */
    int64_t visible_first_token_ns, visible_last_token_ns;
    int32_t num_delivered; /* generated tokens given out by streaming responses */
    bool is_finished;      /* the final response is ready */
    tn_finish_reason finish_reason;
    tn_status status; /* with error: written by the loop before is_finished, read by others after */
    char error[256];
    tn_sequence *next_queued, *next_in_bucket;
    tn_sequence *previous_ready, *next_ready;
    bool is_ready; /* in the list of ready sequences */
};

/* Checks the request against what the executor serves and copies it. limits: from tn_executor_get_info. */
TN_MUST_CHECK tn_status tn_sequence_create(const tn_request *request, const tn_executor_info *limits, const tn_allocator *allocator,
                                           tn_diag *diag, tn_sequence **out_sequence);
void tn_sequence_destroy(tn_sequence *sequence);

/* Shows what is known so far. (loop, lock) */
void tn_sequence_show(tn_sequence *sequence);
/* Is there a response to take? (lock) */
bool tn_sequence_has_response(const tn_sequence *sequence);
/* Takes the next one: one new token of a streaming sequence, or the whole. (lock) */
TN_MUST_CHECK tn_status tn_sequence_take_response(tn_sequence *sequence, const tn_allocator *allocator, tn_response **out_response);

/* Appends a drawn token to the known ones; sets is_done and the reason when it ends the answer. (loop) */
void tn_sequence_accept_token(tn_sequence *sequence, int32_t token);

#endif
