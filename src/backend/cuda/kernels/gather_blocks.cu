/* SPDX-License-Identifier: Apache-2.0
 *
 * gather_blocks.cu: GATHER of rows of a weight in GGUF's blocks as the file has them: a block of threads an index, a thread eight columns.
 */
#include "backend/cuda/kernels/gguf.cuh"

/* constants, as in tactics/tokens.c */
enum { GATHER_ROWS, GATHER_COLUMNS };

template <typename B> __device__ __forceinline__ void gather_blocks(const tn_cuda_args &args) {
    int rows = (int)args.constants[GATHER_ROWS], columns = (int)args.constants[GATHER_COLUMNS];
    let_next_start();
    wait_for_previous();
    int index = ((const int32_t *)args.buffers[1])[blockIdx.x];
    bool is_inside = index >= 0 && index < rows;
    const uint8_t *row = (const uint8_t *)args.buffers[0] + (int64_t)index * (columns / B::VALUES) * B::BYTES;
    float *y = (float *)args.buffers[2] + (int64_t)blockIdx.x * columns;
    for (int group = threadIdx.x; group < columns / 8; group += blockDim.x) {
        float values[8] = {};
        if (is_inside) decode_group<B>(row, group, values);
        *(float4 *)(y + 8 * group) = float4{values[0], values[1], values[2], values[3]};
        *(float4 *)(y + 8 * group + 4) = float4{values[4], values[5], values[6], values[7]};
    }
}

#define GATHER_BLOCKS(type)               \
    TN_KERNEL(gather_rows_##type, 1024) { \
        gather_blocks<gguf_##type>(args); \
    }
FOR_GGUF_BLOCKS(GATHER_BLOCKS)
