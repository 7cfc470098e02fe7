/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_tile.cuh: which tile of y a block of a many-row kernel makes, with and without expert groups.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_MATMUL_TILE_CUH_
#define TN_BACKEND_CUDA_KERNELS_MATMUL_TILE_CUH_

#include "backend/cuda/kernels/matmul.cuh"

/* Rows [first_row, first_row + num_rows) of y, columns of w from first_column on; num_rows 0: nothing to do. */
struct tile_place {
    long long first_row, first_column, group;
    int num_rows;
};

/* Tiles of ROWS rows; blockIdx.x counts them. Grouped: a group's rows begin a tile of their own, so that the host only knows an
 * upper bound of their number. Reads expert_start: behind wait_for_previous(). */
template <int ROWS, bool GROUPED> __device__ __forceinline__ tile_place find_tile(const tn_cuda_args &args, int columns) {
    tile_place tile = {(long long)blockIdx.x * ROWS, (long long)blockIdx.y * columns, 0, 0};
    long long end = args.constants[TN_MATMUL_ROWS];
    if constexpr (GROUPED) {
        const int *start = (const int *)args.buffers[2];
        long long num_groups = args.constants[TN_MATMUL_WEIGHT_ROWS] / args.constants[TN_MATMUL_N], before = 0;
        int first = start[0];
        for (tile.group = 0; tile.group < num_groups; tile.group++) {
            int next = start[tile.group + 1];
            long long tiles = (next - first + ROWS - 1) / ROWS;
            if (before + tiles > blockIdx.x) {
                tile.first_row = first + (blockIdx.x - before) * ROWS;
                end = next;
                break;
            }
            before += tiles;
            first = next;
        }
        if (tile.group == num_groups) return tile;
    }
    if (tile.first_row < end) tile.num_rows = end - tile.first_row < ROWS ? (int)(end - tile.first_row) : ROWS;
    return tile;
}

/* Row of x behind row i of the tile. */
template <bool GROUPED> __device__ __forceinline__ const float *tile_x_row(const tn_cuda_args &args, const tile_place &tile, int i) {
    long long row = tile.first_row + i;
    if constexpr (GROUPED) row = grouped_x_row(args, row);
    return (const float *)args.buffers[0] + row * args.constants[TN_MATMUL_K];
}

#endif
