/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_args.h: the constants of every kernel of ATTENTION, for tactics/attention*.c and attention*.cu.
 *
 * buffers: 0 queries, 1 … of the tables and the cache in the problem's order, the output, the workspace.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_ATTENTION_ARGS_H_
#define TN_BACKEND_CUDA_KERNELS_ATTENTION_ARGS_H_

enum {
    TN_ATTENTION_NUM_TOKENS = 0,    /* of attention_rows.cuh */
    TN_ATTENTION_NUM_SPLITS = 0,    /* attention.cu: of a sequence's positions */
    TN_ATTENTION_HEADS_A_BLOCK = 0, /* attention_decode.cu */
    TN_ATTENTION_NUM_SEQS,
    TN_ATTENTION_TABLE_COLUMNS,
    TN_ATTENTION_LAYER,
    TN_ATTENTION_NUM_LAYERS,
    TN_ATTENTION_NUM_KV_HEADS,
    TN_ATTENTION_K_DIM,
    TN_ATTENTION_V_DIM,
    TN_ATTENTION_TOKENS_PER_BLOCK,
    TN_ATTENTION_NUM_HEADS,
    TN_ATTENTION_WINDOW,
    TN_ATTENTION_SINK_TOKENS,
    TN_ATTENTION_SCALE,
    TN_ATTENTION_SOFT_CAP,
    TN_ATTENTION_FLAGS,
    TN_ATTENTION_OUTPUT, /* its buffer; the workspace's is the next */
};

/* Of FLAGS: which optional operands are there, and the form of the output (packed_rows.cuh): of attention_wgmma, and of attention_decode
 * with blocks of 128 threads. */
enum { TN_ATTENTION_HAS_SINKS = 1, TN_ATTENTION_HAS_SLOPES = 2, TN_ATTENTION_Y_IS_PACKED = 4 };

#endif
