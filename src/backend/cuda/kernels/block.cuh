/* SPDX-License-Identifier: Apache-2.0
 *
 * block.cuh: sums and maxima over a block, in a fixed order. All threads of the block call them; all get the result.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_BLOCK_CUH_
#define TN_BACKEND_CUDA_KERNELS_BLOCK_CUH_

#include "backend/cuda/kernels/common.cuh"

/* scratch: shared, 32 floats; may be used again at once. blockDim.x is a multiple of 32. */
__device__ __forceinline__ float block_sum(float x, float *scratch) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    x = warp_sum(x);
    if (lane == 0) scratch[warp] = x;
    __syncthreads();
    x = warp_sum(lane < blockDim.x / 32 ? scratch[lane] : 0.0f);
    __syncthreads();
    return x;
}

__device__ __forceinline__ float block_max(float x, float *scratch) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    x = warp_max(x);
    if (lane == 0) scratch[warp] = x;
    __syncthreads();
    x = warp_max(lane < blockDim.x / 32 ? scratch[lane] : scratch[0]);
    __syncthreads();
    return x;
}

#endif
