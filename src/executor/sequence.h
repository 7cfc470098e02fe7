/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence.h: one answer to a request inside the executor, from enqueue to the taking of its final response. A request with
 * num_return_sequences has several; the first, its lead, stands for the request. The beams of a request are one sequence here, with
 * several tables of blocks.
 *
 * The members are in the order of how often they are looked at: a step costs cache lines of each sequence, little else.
 *
 * All memory that it will ever need is taken at enqueue, on the caller's thread, from one arena and one more for results of the prompt:
 * the loop never allocates.
 * Owners: members marked (loop) belong to the loop thread; (lock) are read and written under the executor's lock; the rest
 * never change after enqueue. Token and result arrays are written by the loop beyond num_visible and read by others below it.
 *
 *     tokens:  | prompt … | generated …        |
 *              0          num_prompt  num_known      num_drawn         max_total
 *                                    (host has them) (being drawn too: depth 2)
 *     num_finished ≤ num_computed: tokens whose keys and values are in the cache; and in flight
 *     num_prefill: tokens to read before anything is drawn: the prompt; after a pause all that were known then
 */
#ifndef TN_EXECUTOR_SEQUENCE_H_
#define TN_EXECUTOR_SEQUENCE_H_

#include <stdatomic.h>

#include "base/arena.h"
#include "executor/kv_cache.h"
#include "op/slot.h"
#include "tenon/executor.h"

enum { TN_CACHE_LINE = 64 };

typedef struct tn_sequence tn_sequence;
typedef struct tn_beams tn_beams; /* executor/beams.h */

/* What the engine gives for a row, beside the drawn token. */
typedef enum tn_row_kind { TN_ROW_LOGITS, TN_ROW_HIDDEN_STATES, TN_NUM_ROW_KINDS } tn_row_kind;

/* The rows of a kind that a request asked for. */
typedef struct tn_row_results {
    float *context; /* [num_prompt, num_columns] or NULL */
    float *
        generation; /* [max_tokens, num_columns] or NULL; with beams [max_tokens, width, num_columns], of the beam that the token came after */
    size_t num_columns;
} tn_row_results;

/* What responses say of the work so far. */
typedef struct tn_sequence_account {
    int64_t queued_ns, first_token_ns, last_token_ns; /* since enqueue */
    int64_t first_iter, last_iter;                    /* −1: none */
    int32_t num_reused_tokens, num_new_blocks, num_reused_blocks, num_missed_blocks;
} tn_sequence_account;

/* What was asked for of a prompt's logits: held by the sequence and by the responses that show it. */
typedef struct tn_prompt_results {
    atomic_int num_holders;
    tn_arena arena;
} tn_prompt_results;
void tn_prompt_results_release(tn_prompt_results *results, const tn_allocator *allocator); /* accepts NULL */

struct tn_sequence {
    /* (loop) what planning looks at in every step: one cache line */
    _Alignas(TN_CACHE_LINE) int32_t slot; /* −1: not running */
    int32_t num_known, num_computed, num_prefill, num_drawn, num_finished, num_in_flight;
    int32_t max_total;
    int32_t num_blocks, num_committed_blocks, num_promised; /* promised: set aside for it, not taken yet */
    bool is_done;                                           /* nothing more will be drawn */
    bool wants_pause;                                       /* to be paused when it is not in flight */
    bool needs_slot;                                        /* its next row writes the sampling slot */
    bool needs_host;                                        /* its next step waits until the host has looked at the logits of this one */
    bool reads_rows;                                        /* what its rows give is copied to the host */
    bool has_prompt_results, uses_host_logits, is_paused;
    int32_t last_token; /* the last known */
    tn_beams *beams;    /* NULL: none */

    /* (loop) what filling a step and taking its results look at: another, and the account */
    _Alignas(TN_CACHE_LINE) int32_t *tokens; /* [max_total]; of the first beam */
    int32_t *blocks;                         /* [max_blocks]; of the first beam */
    uint64_t table_stamp;                    /* changes when blocks do otherwise than by new ones behind the others */
    int64_t last_step;                       /* that it ran in */
    int32_t end_id;
    uint32_t num_more_end_ids, num_stop_words;
    int32_t num_prompt;
    tn_log_prob *log_probs; /* [max_tokens, 1 + K] or NULL */
    int64_t enqueue_ns;

    _Alignas(TN_CACHE_LINE) tn_sequence_account account;

    /* (lock) what showing and taking responses look at: one more, and what is shown */
    _Alignas(TN_CACHE_LINE) int32_t num_visible; /* tokens that responses may show */
    int32_t num_delivered;                       /* of them: the prompt and what streaming responses have given out */
    bool streaming, is_ready, is_in_cancelled;
    bool is_finished;  /* the final response is ready */
    bool is_delivered; /* … and taken */
    int32_t num_siblings, num_undelivered;
    tn_sequence *next_sibling, *lead;
    tn_sequence *turn; /* of a lead: the sibling whose responses are looked for first */
    tn_sequence *previous_ready, *next_ready;
    _Alignas(TN_CACHE_LINE) tn_sequence_account shown;

    /* (loop) */
    tn_finish_reason done_reason;
    int32_t max_blocks;
    int32_t max_held;             /* blocks that it may hold at once: max_blocks, or of all its beams together */
    int32_t num_target;           /* blocks that the policy wants for it in all */
    int32_t num_left, first_held; /* of num_blocks: given back as no layer looks at them (−1 in blocks); the next that may be */
    int32_t num_pauses;
    int64_t seen_step, idle_since_ns; /* when it was looked at last: the step that it had run in, and since when */
    uint64_t cache_salt;

    uint64_t id, client_id;
    bool has_client_id, returns_all_tokens, returns_perf_metrics;
    bool wants_prompt_results; /* something of each prompt token, which is then computed and not shared */
    int32_t sequence_index;
    int32_t max_tokens;
    int32_t num_log_probs; /* −1: none */
    float priority;
    int64_t deadline_ns; /* −1: none */
    const float *bias;
    const tn_token_list *stop_words;
    const int32_t *more_end_ids;
    tn_logits_callback logits_callback;
    void *logits_user;
    bool is_logits_batched;
    float *host_logits;                  /* (loop) [vocab] for the post-processor (of beams: theirs), or NULL */
    const tn_retention_range *retention; /* by token_start; NULL: none */
    size_t num_retention;
    tn_kv_priority decode_priority;
    int64_t vocab_size;
    const tn_slot_params *slot_params;

    tn_prompt_results *prompt_results; /* NULL: none were asked for */
    float *prompt_log_probs;           /* of prompt_results, as rows' context: [num_prompt − 1] or NULL */
    tn_row_results rows[TN_NUM_ROW_KINDS];

    /* (lock) */
    int32_t heap_index[2]; /* in the queue; among the time limits. −1: not in it */
    tn_finish_reason finish_reason;
    tn_sequence *next_in_bucket, *next_cancelled;
    tn_status status; /* with error: written by the loop before is_finished, read by others after */
    char error[256];

    tn_arena arena;
    void *allocation; /* that it lies in */
};

/* Brings in what planning (0), taking results (0 to 2) or showing (0, 3, 4) of a sequence looks at, while others are at work:
 * thousands of sequences do not stay in the nearest cache from step to step. */
static inline void tn_sequence_prefetch(const tn_sequence *sequence, unsigned line) {
    __builtin_prefetch((const char *)sequence + line * TN_CACHE_LINE);
}
enum { TN_PREFETCH_DISTANCE = 6 }; /* sequences ahead */

/* The engine's name of a kind. */
const char *tn_row_kind_name(tn_row_kind kind);
/* Checks the request against what the executor serves. limits: from tn_executor_get_info. */
TN_MUST_CHECK tn_status tn_request_check(const tn_request *request, const tn_executor_info *limits, tn_diag *diag);
/* Checks and copies the request, as its answer number sequence_index. */
TN_MUST_CHECK tn_status tn_sequence_create(const tn_request *request, int32_t sequence_index, const tn_executor_info *limits,
                                           const tn_allocator *allocator, tn_diag *diag, tn_sequence **out_sequence);
/* One that only has an error to answer with. */
TN_MUST_CHECK tn_status tn_sequence_create_failed(const tn_request *request, tn_status status, const char *message,
                                                  const tn_allocator *allocator, tn_diag *diag, tn_sequence **out_sequence);
void tn_sequence_destroy(tn_sequence *sequence);

/* Shows what is known so far. (loop, lock) */
void tn_sequence_show(tn_sequence *sequence);
/* Is there a response to take? (lock) */
bool tn_sequence_has_response(const tn_sequence *sequence);
int32_t tn_sequence_num_responses(const tn_sequence *sequence);
/* Takes the next one: one new token of a streaming sequence, or the whole. (lock) */
TN_MUST_CHECK tn_status tn_sequence_take_response(tn_sequence *sequence, const tn_allocator *allocator, tn_response **out_response);

/* Ends it with an error. (loop) */
void tn_sequence_fail(tn_sequence *sequence, tn_status status, const char *message);
/* Ends it with the error that there was no token to draw. (loop) */
void tn_sequence_fail_without_token(tn_sequence *sequence);
/* Does the last of these tokens end an answer? NOT_FINISHED: no. */
tn_finish_reason tn_sequence_end_reason(const tn_sequence *sequence, const int32_t *tokens, int32_t num_tokens);
/* Appends a drawn token to the known ones; sets is_done and the reason when it ends the answer. (loop) */
void tn_sequence_accept_token(tn_sequence *sequence, int32_t token, int64_t now_ns);
/* How its block number `index` is to be kept. */
tn_kv_priority tn_sequence_block_priority(const tn_sequence *sequence, int32_t index, int32_t tokens_per_block);

#endif
