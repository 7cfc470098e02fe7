/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule.h: what the two halves of the scheduler share: scheduler.c (starting, pausing, ending) and schedule.c (one step).
 */
#ifndef TN_EXECUTOR_SCHEDULE_H_
#define TN_EXECUTOR_SCHEDULE_H_

#include "executor/beams.h"
#include "executor/scheduler.h"

int64_t tn_scheduler_num_spare(const tn_scheduler *scheduler); /* blocks that are available and not promised */
/* One of those set aside for the sequence, else one that is spare; −1: there is none. */
int32_t tn_scheduler_take_block(tn_scheduler *scheduler, tn_sequence *sequence);
/* Sets aside what the sequence may still take. */
void tn_scheduler_promise(tn_scheduler *scheduler, tn_sequence *sequence);
/* Places in the batch that it takes. */
static inline int32_t tn_scheduler_num_places(const tn_sequence *sequence) {
    return sequence->beams != NULL ? sequence->beams->width : 1;
}
/* Leading tokens whose keys and values are computed, known, and the same for all its beams. */
int32_t tn_scheduler_num_sharable(const tn_sequence *sequence);
/* Leaves a gap at `index` of active. */
void tn_scheduler_pause(tn_scheduler *scheduler, int32_t index);
/* Index of the running sequence of the lowest priority, the one that started last; −1: none. */
int32_t tn_scheduler_find_victim(const tn_scheduler *scheduler);

#endif
