/* SPDX-License-Identifier: Apache-2.0
 *
 * beam_blocks.h: the blocks of a request's beams: one table each, with shared blocks, copied before one of several writes.
 *
 * The tokens that all beams have, the trunk, are read once, into one table. Then the beams part: whole blocks get more owners, the
 * block that is written next gets a copy for each further beam. After each token beams end, and several may follow one: the same
 * again. Parted beams have equally many tokens, so their tables are equally long.
 *
 *     blocks at once ≤ whole blocks of the prompt + width · the blocks after them
 *
 * What the scheduler does with it: tn_beam_blocks_begin when the request starts, then before each step that the beams run in
 * tn_beam_blocks_drop, tn_beam_blocks_needed, and, once so many blocks may be taken, tn_beam_blocks_take.
 */
#ifndef TN_EXECUTOR_BEAM_BLOCKS_H_
#define TN_EXECUTOR_BEAM_BLOCKS_H_

#include "executor/beams.h"
#include "executor/schedule.h"

/* The most blocks for num_tokens tokens of `width` beams that have num_trunk in common. INT32_MAX: too many to count. */
int32_t tn_beam_blocks_most(int32_t num_trunk, int32_t num_tokens, int32_t width, int32_t tokens_per_block);

/* Before anything is computed: what is known is to be read, the trunk into one table. */
void tn_beam_blocks_begin(tn_sequence *sequence);
/* Gives back the tables that no beam follows. */
void tn_beam_blocks_drop(tn_scheduler *scheduler, tn_sequence *sequence);
/* Blocks to take so that all beams run up to `end` tokens. */
int32_t tn_beam_blocks_needed(const tn_scheduler *scheduler, const tn_sequence *sequence, int32_t end);
/* Takes them; there must be as many. */
void tn_beam_blocks_take(tn_scheduler *scheduler, tn_sequence *sequence, int32_t end);
/* Gives back all tables. */
void tn_beam_blocks_release(tn_scheduler *scheduler, tn_sequence *sequence);

/* The next step runs all beams, not the trunk. */
static inline bool tn_beams_run(const tn_sequence *sequence) {
    return sequence->beams != NULL && sequence->num_computed >= sequence->beams->num_trunk && sequence->beams->num_live > 0;
}

#endif
