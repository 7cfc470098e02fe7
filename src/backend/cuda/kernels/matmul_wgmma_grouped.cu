/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_wgmma_grouped.cu: the kernels of products with experts' matrices, as matmul_wgmma.cuh describes them.
 */
#include "backend/cuda/kernels/matmul_wgmma.cuh"

/* Tile blockIdx.y, slices from blockIdx.x on. Only an upper bound of the number of tiles is known where this is launched. */
TN_KERNEL(pack_groups, 512) {
    __shared__ row_groups groups;
    let_next_start();
    wait_for_previous();
    find_groups(args, groups, TILE_ROWS);
    int tile = blockIdx.y, group = find_group(groups.tile_end, groups.count, tile), in_tile = threadIdx.x / 8;
    if (group == groups.count) return;
    int first_tile = group > 0 ? groups.tile_end[group - 1] : 0, row = groups.start[group] + (tile - first_tile) * TILE_ROWS + in_tile;
    if (row >= groups.start[group + 1]) return;
    int k = (int)args.constants[TN_MATMUL_K];
    const float *x = (const float *)args.buffers[0] + grouped_x_row(args, row) * k;
    for (int slice = blockIdx.x; slice < num_slices(args); slice += gridDim.x) {
        int column = slice * DEPTH + 8 * (threadIdx.x % 8);
        *(uint4 *)packed_place(packed_rows(args), (long long)tile * TILE_ROWS + in_tile, column, k) = pack_eight(x, column, k);
    }
}

#if TN_HAS_WGMMA
#define WGMMA_GROUPED(name, rows, columns, stages)                                                                \
    extern "C" __global__ void __launch_bounds__(128 + 2 * (rows), 1)                                             \
        wgmma_grouped_##name(const __grid_constant__ tn_cuda_args args, const __grid_constant__ tensor_map map) { \
        multiply_block<shape<rows, columns, stages, 1, 1, true>>(args, &map);                                     \
    }
#else
#define WGMMA_GROUPED(name, rows, columns, stages) \
    TN_KERNEL(wgmma_grouped_##name, 128) {}
#endif
/* Rows, columns, stages: `grouped_blocks` of tactics/matmul.c has the same numbers. */
WGMMA_GROUPED(64x128, 64, 128, 8)
WGMMA_GROUPED(128x256, 128, 256, 4)
