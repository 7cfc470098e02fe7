/* SPDX-License-Identifier: Apache-2.0
 *
 * batch_tuner.h: how many sequences should run at once, from the lengths of the requests that ended last (DynamicBatchConfig).
 *
 * Batch size: as many sequences of the average length as the cache holds, rounded to a size of the table below. Tokens of a step:
 * while a batch runs in balance, each generated token comes with prompt / generated tokens that are read. Pure numbers.
 */
#ifndef TN_EXECUTOR_BATCH_TUNER_H_
#define TN_EXECUTOR_BATCH_TUNER_H_

#include <stdint.h>

#include "base/arena.h"

typedef struct tn_batch_tuner {
    int64_t cache_tokens, sum_prompt, sum_generated;
    int32_t max_batch_size, max_num_tokens, window;
    struct tn_batch_lengths {
        int32_t num_prompt, num_generated;
    } * lengths; /* [window] ring */
    int64_t count;
} tn_batch_tuner;

/* False: out of memory. */
bool tn_batch_tuner_init(tn_batch_tuner *tuner, int64_t cache_tokens, int32_t max_batch_size, int32_t max_num_tokens, int32_t window,
                         tn_arena *arena);
void tn_batch_tuner_add(tn_batch_tuner *tuner, int32_t num_prompt, int32_t num_generated);
/* The limits themselves until a request has ended. */
int32_t tn_batch_tuner_batch_size(const tn_batch_tuner *tuner);
int32_t tn_batch_tuner_num_tokens(const tn_batch_tuner *tuner, int32_t batch_size);

/* The batch size for a cache that holds `capacity` requests. */
int32_t tn_batch_size_for(int64_t capacity);

#endif
