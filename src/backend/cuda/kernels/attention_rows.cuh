/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_rows.cuh: which rows of queries a block of the kernels for prompts takes, and which positions they see.
 *
 * Rows of a sequence are (token, head of those that share a key/value head), heads within tokens, so that a tile of keys serves
 * all of them. A block takes ROWS of them.
 * The tiles of sequence s are numbered from query_start[s] · group / ROWS + s on: there is room for a tile that is not full in
 * each, and a block finds its sequence by halving. After the last sequence come rows without one, whose results are zero.
 * Numbers without a tile end at once. Blocks start from the last tile, which sees most positions.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_ATTENTION_ROWS_CUH_
#define TN_BACKEND_CUDA_KERNELS_ATTENTION_ROWS_CUH_

#include "backend/cuda/kernels/attention_args.h"
#include "backend/cuda/kernels/sequence.cuh"
#include "backend/cuda/kv_layout.h"

enum { ROWS = 128, GROUP = 16 /* positions whose place is looked up together: no block of the cache is smaller */ };
#define LOG2_E 1.44269504f

/* The block's rows, and the tiles of positions that some of them see: first those of sink tokens, then those of the window. */
struct query_tile {
    int sequence, first_token, first_row, num_rows; /* first_row: in the sequence; no rows: the number has no tile */
    int base, last_index;                           /* row r stands at position base + (first_row + r) / group */
    int num_sink_tiles, window_tile, num_tiles;
    int64_t block, first_key, first_value; /* elements of a block of the cache; to the head's keys and values in block 0 */
};

__device__ __forceinline__ int find_tile_sequence(const int32_t *query_start, int num_seqs, int group, int tile) {
    int low = 0, high = num_seqs + 1;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (query_start[middle] * group / ROWS + middle <= tile)
            low = middle;
        else
            high = middle;
    }
    return low;
}

template <int POSITIONS> __device__ __forceinline__ query_tile find_query_tile(const tn_cuda_args &args, int group, int tile) {
    const int32_t *query_start = (const int32_t *)args.buffers[2], *kv_length = (const int32_t *)args.buffers[3];
    int num_seqs = (int)args.constants[TN_ATTENTION_NUM_SEQS], window = (int)args.constants[TN_ATTENTION_WINDOW];
    query_tile q = {};
    tn_cuda_kv_layout layout = tn_cuda_kv_layout_make(args.constants[TN_ATTENTION_NUM_LAYERS], args.constants[TN_ATTENTION_NUM_KV_HEADS],
                                                      args.constants[TN_ATTENTION_K_DIM], args.constants[TN_ATTENTION_V_DIM],
                                                      args.constants[TN_ATTENTION_TOKENS_PER_BLOCK]);
    q.block = layout.block;
    q.first_key = args.constants[TN_ATTENTION_LAYER] * layout.layer + blockIdx.x % args.constants[TN_ATTENTION_NUM_KV_HEADS] * layout.head;
    q.first_value = q.first_key + layout.v_offset;
    q.sequence = find_tile_sequence(query_start, num_seqs, group, tile);
    q.first_token = query_start[q.sequence];
    int end = q.sequence < num_seqs ? query_start[q.sequence + 1] : (int)args.constants[TN_ATTENTION_NUM_TOKENS];
    q.first_row = (tile - q.first_token * group / ROWS - q.sequence) * ROWS;
    q.num_rows = min((end - q.first_token) * group - q.first_row, (int)ROWS);
    if (q.num_rows <= 0 || q.sequence == num_seqs) {
        q.base = q.last_index = -(end - q.first_token);
        return q;
    }
    q.base = kv_length[q.sequence] - (end - q.first_token);
    int capacity = (int)args.constants[TN_ATTENTION_TABLE_COLUMNS] * (int)args.constants[TN_ATTENTION_TOKENS_PER_BLOCK];
    int first_index = q.base + q.first_row / group;
    q.last_index = min(q.base + (q.first_row + q.num_rows - 1) / group, capacity - 1);
    if (q.last_index < 0) return q;
    q.window_tile = window > 0 && first_index >= window ? (first_index - window + 1) / POSITIONS : 0;
    q.num_sink_tiles = min(((int)args.constants[TN_ATTENTION_SINK_TOKENS] + POSITIONS - 1) / POSITIONS, q.window_tile);
    q.num_tiles = max(q.num_sink_tiles + q.last_index / POSITIONS + 1 - q.window_tile, 0);
    return q;
}

/* One query head of one token. */
struct row_place {
    int index; /* the token's position; −1: it sees none */
    int head;  /* token · num_heads + head */
    float slope;
};

#endif
