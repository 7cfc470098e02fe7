/* SPDX-License-Identifier: Apache-2.0
 *
 * beams.h: beam search of one request: which tokens the next beams end in, what has ended, what responses show of it.
 *
 * After each step tn_beams_advance looks at the logits of every beam that runs. Of all next tokens of all beams the best `width`
 * are looked at, and more until `width` of them go on: those that end an answer join `ends`, the others are the next beams.
 *
 *     nodes[step][i]   the token that beam i got in that step, and after which beam of the step before it: a tree that only
 *                      grows, so that others may read what is shown while the loop goes on. Places from `width` on: answers
 *                      that ended in that step
 *     tokens[i]        prompt and answer of running beam i in one piece: what the next step and its rules look at
 *     tables[i]        its blocks: kept by beam_blocks.c
 *
 * Pure: logits in, tokens out. All memory is taken at enqueue. Owners as in sequence.h: all of it belongs to the loop, nodes,
 * top and answers are read by others where the loop has shown them.
 */
#ifndef TN_EXECUTOR_BEAMS_H_
#define TN_EXECUTOR_BEAMS_H_

#include "executor/sequence.h"

typedef struct tn_beam_node {
    int32_t token, parent; /* parent: beam of the step before; 0 in the first */
    float log_prob;
    double sum; /* of log-probabilities up to here */
} tn_beam_node;

/* An answer: its last token is nodes[num_tokens − 1][node]. */
typedef struct tn_beam_answer {
    int32_t num_tokens, node;
    tn_finish_reason reason;
    double score; /* sum / num_tokens ^ length_penalty */
} tn_beam_answer;

/* A next token of a beam. */
typedef struct tn_beam_choice {
    int32_t parent, token;
    float log_prob;
    double sum;
} tn_beam_choice;

struct tn_beams {
    int32_t width;    /* most beams that ever run, which is also how many answers are kept */
    int32_t num_live; /* that run; 0 before the first token, and when the search is over */
    int32_t num_return, max_tokens, early_stopping, num_widths, widths[8];
    double length_penalty, diversity_rate;
    int32_t **tokens; /* [width] of [max_total]; those from num_live on are spare */
    double *sums;     /* [width] */
    float *logits;    /* [width, vocab] of the step at hand, changed by tn_beams_advance */

    int32_t num_ends;
    tn_beam_answer *answers; /* [width] the best first: num_ends that ended, after the end also others */
    int32_t num_answers;     /* after the end */
    tn_beam_node *nodes;     /* [max_tokens, 2 · width] */
    int32_t *num_live_after; /* [max_tokens] */
    tn_log_prob *top;        /* [max_tokens, 2 · width, 1 + num_log_probs] or NULL */

    /* of one step */
    int32_t max_candidates, *num_candidates; /* [width] */
    tn_log_prob *candidates;                 /* [width, max_candidates] the best first */
    int32_t *heads, *counts;                 /* [width]; [vocab] zero */
    tn_beam_choice *choices;                 /* [width] the next beams */
    int32_t **spare;                         /* [width] for moving arrays */
    int32_t *copied_from;                    /* [width] */

    /* (beam_blocks.c) */
    int32_t **tables;   /* [width] of [max_blocks]; tables[0] is the only one until the beams part */
    int32_t *slots;     /* [width] */
    int32_t *parents;   /* [num_live] whose table each follows, while has_moved */
    int32_t num_tables; /* in use */
    int32_t num_trunk;  /* leading tokens of all beams, read once; then they part */
    int32_t num_held;   /* different blocks in all tables, once they have parted */
    bool has_parted, has_moved;
};

/* The most beams of a request at once; 1: none. */
int32_t tn_beam_width(const tn_sampling_config *sampling);
/* NULL: out of memory. */
TN_MUST_CHECK tn_beams *tn_beams_create(tn_sequence *sequence, const tn_request *request);
/* One token more: of each beam that runs, or of the prompt, from beams->logits. Sets is_done when the search is over. */
void tn_beams_advance(tn_sequence *sequence, int64_t now_ns);
/* It ends for this reason: what runs is counted among the answers. */
void tn_beams_end(tn_sequence *sequence, tn_finish_reason reason);
/* Rows of logits of the next step that draws. */
static inline int32_t tn_beams_num_rows(const tn_beams *beams) {
    return beams->num_live > 0 ? beams->num_live : 1;
}
/* Leading tokens that all beams have. */
int32_t tn_beams_find_trunk(const tn_sequence *sequence);

/* Beam i follows parents[i]: each array goes to the first that follows its beam, others get spare ones: copied_from[i] is the beam
 * (by its new number) that has what belongs there, −1: it is there. */
void tn_beams_move(const tn_beams *beams, int32_t **arrays, const int32_t *parents, int32_t num_beams, int32_t *copied_from);

/* beam_logits.c: the next tokens of one beam by the rules of op/slot.h up to the temperature; changes the logits, which are their
 * log-probabilities afterwards, −∞ = never. Fills in the best max_count and returns how many there are. counts [vocab] is zero. */
int32_t tn_beam_rank(const tn_slot_params *params, const float *bias, const int32_t *tokens, int32_t num_tokens, float *logits,
                     int64_t vocab_size, int32_t *counts, tn_log_prob *out, int32_t max_count);

/* --- what responses show ---------------------------------------------------------------------------------------------------- */

/* Beams after num_tokens tokens, or at the end; at most num_return. */
int32_t tn_beams_num_shown(const tn_beams *beams, int32_t num_tokens, bool is_last);
tn_beam_answer tn_beams_get(const tn_beams *beams, int32_t beam, int32_t num_tokens, bool is_last);
double tn_beams_sum(const tn_beams *beams, const tn_beam_answer *answer);
/* ids [num_tokens of the answer]; log_probs [num_tokens, columns] or NULL. */
void tn_beams_copy(const tn_beams *beams, const tn_beam_answer *answer, int32_t *ids, tn_log_prob *log_probs, size_t columns);
/* Of tn_row_results.generation to out [num_tokens, num_columns]. */
void tn_beams_copy_rows(const tn_beams *beams, const tn_beam_answer *answer, const tn_row_results *rows, float *out);

#endif
