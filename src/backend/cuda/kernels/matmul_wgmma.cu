/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_wgmma.cu: the kernels of products with one matrix, as matmul_wgmma.cuh describes them.
 */
#include "backend/cuda/kernels/matmul_wgmma.cuh"

/* A thread packs 8 values: piece threadIdx.x % 8 of slice blockIdx.x, rows of tile blockIdx.y. */
TN_KERNEL(pack_rows, 512) {
    int k = (int)args.constants[TN_MATMUL_K], column = blockIdx.x * DEPTH + 8 * (threadIdx.x % 8);
    long long row = (long long)blockIdx.y * TILE_ROWS + threadIdx.x / 8;
    let_next_start();
    wait_for_previous();
    if (row >= args.constants[TN_MATMUL_ROWS]) return;
    *(uint4 *)packed_place(packed_rows(args), row, column, k) = pack_eight((const float *)args.buffers[0] + row * k, column, k);
}

#if TN_HAS_WGMMA
#define WGMMA(name, rows, columns, stages, sharers, split)                                                        \
    extern "C" __global__ void __launch_bounds__(128 + 2 * (rows), 1) __cluster_dims__((sharers) * (split), 1, 1) \
        wgmma_##name(const __grid_constant__ tn_cuda_args args, const __grid_constant__ tensor_map map) {         \
        multiply_block<shape<rows, columns, stages, sharers, split>>(args, &map);                                 \
    }
#else
#define WGMMA(name, rows, columns, stages, sharers, split) \
    TN_KERNEL(wgmma_##name, 128) {}
#endif
/* Rows, columns, stages, sharers, split: `blocks` of tactics/matmul.c has the same numbers. */
WGMMA(64x64, 64, 64, 12, 1, 1)
WGMMA(128x96, 128, 96, 8, 1, 1)
WGMMA(128x128, 128, 128, 6, 1, 1)
WGMMA(128x256, 128, 256, 4, 1, 1)
WGMMA(128x192_pair, 128, 192, 5, 2, 1)
WGMMA(128x224_pair, 128, 224, 5, 2, 1)
WGMMA(128x256_pair, 128, 256, 4, 2, 1)
WGMMA(64x64_split, 64, 64, 12, 1, 2)
WGMMA(128x128_split, 128, 128, 6, 1, 2)
WGMMA(128x256_split, 128, 256, 3, 1, 2)
