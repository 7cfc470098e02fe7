/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence.cuh: which sequence a token of the step belongs to, and where in the paged cache it stands.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_SEQUENCE_CUH_
#define TN_BACKEND_CUDA_KERNELS_SEQUENCE_CUH_

#include "backend/cuda/kernels/common.cuh"

/* The sequence s with query_start[s] ≤ token < query_start[s + 1]; −1 if there is none. query_start ascends. */
__device__ __forceinline__ int find_sequence(const int32_t *query_start, int num_seqs, int token) {
    if (token < num_seqs && query_start[token] == token && query_start[token + 1] > token) return token; /* a token each */
    int low = 0, high = num_seqs; /* the last start ≤ token is in [low, high) */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (query_start[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    return low < num_seqs && query_start[low] <= token && token < query_start[low + 1] ? low : -1;
}

/* The block and the place in it of a token; false: it has none and is dropped. */
__device__ __forceinline__ bool find_place(const int32_t *query_start, const int32_t *kv_length, const int32_t *block_table, int num_seqs,
                                           int table_columns, int tokens_per_block, int token, int64_t *out_block, int *out_place) {
    int sequence = find_sequence(query_start, num_seqs, token);
    if (sequence < 0) return false;
    int index = kv_length[sequence] - (query_start[sequence + 1] - token);
    if (index < 0 || index / tokens_per_block >= table_columns) return false;
    int block = block_table[(int64_t)sequence * table_columns + index / tokens_per_block];
    *out_block = block;
    *out_place = index % tokens_per_block;
    return block >= 0;
}

#endif
