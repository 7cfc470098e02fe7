/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_groups.cuh: which rows of a grouped product are whose. Rows come sorted by expert: expert g has those from start[g] to
 * start[g + 1]. Counted in tiles of 64 rows and in units of more, each expert's rows begin a new one.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_MATMUL_GROUPS_CUH_
#define TN_BACKEND_CUDA_KERNELS_MATMUL_GROUPS_CUH_

#include "backend/cuda/kernels/matmul.cuh"
#include "backend/cuda/kernels/packed_rows.cuh"

struct row_groups {
    int count, start[TN_MATMUL_MAX_GROUPS + 1];
    int tile_end[TN_MATMUL_MAX_GROUPS], unit_end[TN_MATMUL_MAX_GROUPS]; /* tiles and units of this expert and those before */
};

/* Of a warp: lane l returns the sum of lanes 0 to l. */
__device__ __forceinline__ int warp_prefix(int x) {
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
        int before = __shfl_up_sync(0xffffffffu, x, offset);
        if (threadIdx.x % 32 >= offset) x += before;
    }
    return x;
}

/* All threads of the block, behind wait_for_previous(); `groups` is shared. */
__device__ __forceinline__ void find_groups(const tn_cuda_args &args, row_groups &groups, int unit_rows) {
    const int *start = (const int *)args.buffers[2];
    int count = num_groups(args);
    for (int g = threadIdx.x; g <= count; g += blockDim.x) groups.start[g] = start[g];
    if (threadIdx.x == 0) groups.count = count;
    __syncthreads();
    if (threadIdx.x < 32) {
        int tiles = 0, units = 0; /* before */
        for (int first = 0; first < count; first += 32) {
            int g = first + threadIdx.x, rows = g < count ? groups.start[g + 1] - groups.start[g] : 0;
            tiles += warp_prefix((rows + TILE_ROWS - 1) / TILE_ROWS), units += warp_prefix((rows + unit_rows - 1) / unit_rows);
            if (g < count) groups.tile_end[g] = tiles, groups.unit_end[g] = units;
            tiles = __shfl_sync(0xffffffffu, tiles, 31), units = __shfl_sync(0xffffffffu, units, 31);
        }
    }
    __syncthreads();
}

/* The first of `count` ascending numbers that is above `at`; count if none is. */
__device__ __forceinline__ int find_group(const int *ends, int count, int at) {
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (ends[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

#endif
