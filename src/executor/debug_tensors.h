/* SPDX-License-Identifier: Apache-2.0
 *
 * debug_tensors.h: copies of what went into a step and came out of it, for looking (DebugConfig). Costs a wait for the device in
 * every step, and allocates.
 */
#ifndef TN_EXECUTOR_DEBUG_TENSORS_H_
#define TN_EXECUTOR_DEBUG_TENSORS_H_

#include "base/memory.h"
#include "executor/step.h"

typedef struct tn_debug_ring {
    tn_allocator *allocator;
    bool wants_inputs, wants_outputs;
    char **names; /* [num_names] of marked tensors */
    size_t num_names;
    int32_t max_iterations, num_iterations;
    tn_debug_tensors *first, *last; /* (lock) */
    tn_debug_tensors *open;         /* (loop) of the step at hand */
} tn_debug_ring;

TN_MUST_CHECK bool tn_debug_ring_init(tn_debug_ring *ring, const tn_executor_options *options, tn_allocator *allocator, tn_arena *arena);
void tn_debug_ring_deinit(tn_debug_ring *ring);
/* Has the marked tensors of both functions told to the ring. */
void tn_debug_ring_attach(tn_debug_ring *ring, tn_step_runner *runner);
/* After a step was queued; waits for it. Out of memory: the step is left out. */
TN_MUST_CHECK tn_status tn_debug_ring_capture(tn_debug_ring *ring, tn_step_runner *runner, const tn_engine_step *step);
void tn_debug_ring_show(tn_debug_ring *ring);              /* (lock) */
tn_debug_tensors *tn_debug_ring_take(tn_debug_ring *ring); /* (lock) NULL: none */

#endif
