/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_work.h: what a step must move and multiply: counted from its operands, not measured.
 *
 * Bytes are those of the step itself at the given dimensions: weights as they are stored in the plan, activations, and of a cache
 * only the positions that the batch's tokens see. Every byte counts once, whatever a kernel reads again.
 */
#ifndef TN_CLI_INSPECT_WORK_H_
#define TN_CLI_INSPECT_WORK_H_

#include "runtime/engine.h"

/* All sequences of the measured batch are alike: `num_cached` tokens in the cache, then `num_new`. */
typedef struct tn_work_batch {
    int64_t num_seqs, num_cached, num_new;
} tn_work_batch;

typedef struct tn_step_work {
    bool is_known;     /* false: sizes are found only while running, or the step is in a loop */
    double bytes_read; /* inputs */
    double bytes_written;
    double flops; /* of matrix products and attention, a multiply-add as two; 0 for all else */
} tn_step_work;

/* values: the function's symbols, TN_SYM_UNKNOWN where they are not known.
 * Which rows of an embedding and which experts are read depends on data: rows count as all different, experts as if tokens chose
 * evenly. What a step of kind `sample` reads of its slots is not counted. */
tn_step_work tn_step_work_count(const tn_engine *engine, const tn_function *function, uint32_t step, const int64_t *values,
                                const tn_work_batch *batch);

#endif
