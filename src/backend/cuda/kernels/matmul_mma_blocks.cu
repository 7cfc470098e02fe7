/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_mma_blocks.cu: matmul_mma.cuh's kernels of weights in GGUF's blocks as the file has them, and of weights in parts.
 */
#include "backend/cuda/kernels/gguf.cuh"
#include "backend/cuda/kernels/matmul_mma.cuh"
#include "backend/cuda/kernels/weight_parts.cuh"

template <typename B> constexpr bool comes_in_blocks<weight_blocks<B>> = true;
template <> constexpr bool comes_in_blocks<weight_parts> = true;

#define BLOCK_WEIGHT(type) typedef weight_blocks<gguf_##type> weight_##type;
FOR_GGUF_BLOCKS(BLOCK_WEIGHT)
FOR_GGUF_BLOCKS(MMA)

TN_KERNEL(mma_parts_64, NUM_THREADS) {
    multiply_tile<weight_parts, 64, false>(args);
}
TN_KERNEL(mma_parts_128, NUM_THREADS) {
    multiply_tile<weight_parts, 128, false>(args);
}
