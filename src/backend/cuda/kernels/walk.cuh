/* SPDX-License-Identifier: Apache-2.0
 *
 * walk.cuh: a row-major index as a place by strides.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_WALK_CUH_
#define TN_BACKEND_CUDA_KERNELS_WALK_CUH_

#include "backend/cuda/kernels/common.cuh"

/* Element `index` of `count` axes: Σ coordinate · stride. One constant an axis from `first` on: its size in the low, its stride
 * (signed) in the high 32 bits. Without axes: the index. */
__device__ __forceinline__ int64_t walk_axes(const tn_cuda_args &args, int first, int count, int64_t index) {
    int64_t at = 0, rest = index;
    if (count == 0) return index;
    for (int a = count - 1; a >= 0; a--) {
        uint64_t axis = (uint64_t)args.constants[first + a];
        uint32_t size = (uint32_t)axis;
        int64_t outer = rest / size;
        at += (rest - outer * size) * (int32_t)(axis >> 32);
        rest = outer;
    }
    return at;
}

#endif
