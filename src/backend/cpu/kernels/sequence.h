/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence.h: which sequence of a step a token belongs to.
 */
#ifndef TN_BACKEND_CPU_SEQUENCE_H_
#define TN_BACKEND_CPU_SEQUENCE_H_

#include <stdint.h>

/* The sequence s with query_start[s] ≤ token < query_start[s+1]; num_seqs if there is none. */
static inline int64_t sequence_of_token(const int32_t *query_start, int64_t num_seqs, int64_t token) {
    int64_t low = 0, high = num_seqs; /* the first s with query_start[s+1] > token */
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (query_start[middle + 1] > token) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

#endif
