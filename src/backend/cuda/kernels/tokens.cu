/* SPDX-License-Identifier: Apache-2.0
 *
 * tokens.cu: what begins a step: TOKEN_IDS, GATHER of rows, ROTARY_TABLE.
 */
#include "backend/cuda/kernels/sequence.cuh"
#include "backend/cuda/layout_planes.h"
#include "op/slot.h"

/* --- TOKEN_IDS: a thread a token. constants as in tactics/tokens.c ----------------------------------------------------------- */

enum { IDS_NUM_TOKENS, IDS_NUM_SEQS, IDS_SLOT_BYTES };

TN_KERNEL(token_ids, 256) {
    const int32_t *ids = (const int32_t *)args.buffers[0], *query_start = (const int32_t *)args.buffers[1];
    const int32_t *seq_slot = (const int32_t *)args.buffers[2];
    int token = blockIdx.x * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    if (token >= args.constants[IDS_NUM_TOKENS]) return;
    int32_t id = ids[token];
    if (id < 0) {
        int sequence = find_sequence(query_start, (int)args.constants[IDS_NUM_SEQS], token);
        int slot = sequence >= 0 ? seq_slot[sequence] : -1;
        if (slot >= 0) id = ((const tn_slot *)((const char *)args.buffers[3] + slot * args.constants[IDS_SLOT_BYTES]))->last_token;
    }
    ((int32_t *)args.buffers[4])[token] = id;
}

/* --- GATHER: a block of threads an index. An index out of range gives zeros. ------------------------------------------------------------ */

enum { GATHER_ROWS, GATHER_COLUMNS, GATHER_INDEX_IS_64 };

/* The row that this block of threads copies; −1: zeros. */
__device__ __forceinline__ int64_t find_row(const tn_cuda_args &args) {
    int64_t row = args.constants[GATHER_INDEX_IS_64] ? ((const int64_t *)args.buffers[1])[blockIdx.x]
                                                     : (int64_t)((const int32_t *)args.buffers[1])[blockIdx.x];
    return row >= 0 && row < args.constants[GATHER_ROWS] ? row : -1;
}

template <typename T> __device__ __forceinline__ void gather_row(const tn_cuda_args &args) {
    int columns = (int)args.constants[GATHER_COLUMNS];
    float *y = (float *)args.buffers[2] + (int64_t)blockIdx.x * columns;
    let_next_start();
    wait_for_previous();
    int64_t row = find_row(args);
    const T *x = (const T *)args.buffers[0] + (row < 0 ? 0 : row) * columns;
#pragma unroll 4
    for (int i = threadIdx.x; i < columns; i += blockDim.x) y[i] = row < 0 ? 0.0f : to_float(x[i]);
}

TN_KERNEL(gather_rows_f32, 1024) {
    gather_row<float>(args);
}
TN_KERNEL(gather_rows_bf16, 1024) {
    gather_row<bf16>(args);
}
TN_KERNEL(gather_rows_f16, 1024) {
    gather_row<f16>(args);
}

__device__ __forceinline__ void gather_planes(const tn_cuda_args &args, tn_planes_type type) {
    int64_t columns = args.constants[GATHER_COLUMNS];
    float *y = (float *)args.buffers[2] + blockIdx.x * columns;
    const char *weight = (const char *)args.buffers[0];
    let_next_start();
    wait_for_previous();
    int64_t row = find_row(args);
    for (int64_t i = threadIdx.x; i < columns; i += blockDim.x) {
        float value = 0.0f;
        if (row >= 0) {
            const f16 *scale =
                (const f16 *)(weight + tn_planes_scale_offset(type, args.constants[GATHER_ROWS], columns, row, i / TN_PLANES_BLOCK));
            const char *quants = weight + tn_planes_quant_offset(type, columns, row, i / TN_PLANES_BLOCK);
            value = __fmul_rn(to_float(scale[0]), (float)tn_planes_quant(type, quants, (int)(i % TN_PLANES_BLOCK)));
            if (type == TN_PLANES_Q4_1) value = __fadd_rn(value, to_float(scale[1])); /* ref rounds the product first */
        }
        y[i] = value;
    }
}

TN_KERNEL(gather_rows_q4_0, 1024) {
    gather_planes(args, TN_PLANES_Q4_0);
}
TN_KERNEL(gather_rows_q4_1, 1024) {
    gather_planes(args, TN_PLANES_Q4_1);
}
TN_KERNEL(gather_rows_q8_0, 1024) {
    gather_planes(args, TN_PLANES_Q8_0);
}

/* --- ROTARY_TABLE: a thread an angle, in double: positions times frequencies exceed what float32 holds of a turn ---------------- */

enum { TABLE_NUM_ANGLES, TABLE_HALF, TABLE_SCALE };

TN_KERNEL(rotary_table, 128) {
    int index = blockIdx.x * blockDim.x + threadIdx.x, half = (int)args.constants[TABLE_HALF];
    let_next_start();
    wait_for_previous();
    if (index >= args.constants[TABLE_NUM_ANGLES]) return;
    int token = index / half, i = index % half;
    double scale = constant_real(args, TABLE_SCALE), sine, cosine;
    double position = (double)((const int32_t *)args.buffers[0])[token], frequency = (double)((const float *)args.buffers[1])[i];
    sincos(position * frequency, &sine, &cosine);
    float *row = (float *)args.buffers[2] + (int64_t)token * 2 * half;
    row[i] = (float)(cosine * scale);
    row[half + i] = (float)(sine * scale);
}
