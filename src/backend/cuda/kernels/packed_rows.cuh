/* SPDX-License-Identifier: Apache-2.0
 *
 * packed_rows.cuh: a matrix rounded to bfloat16 in tiles of 64 rows × 64 columns, 8 KB each, in the form in which wgmma reads them from
 * shared memory (wgmma.cuh). Tile (i, j) of a matrix of k columns is number i · ⌈k / 64⌉ + j.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_PACKED_ROWS_CUH_
#define TN_BACKEND_CUDA_KERNELS_PACKED_ROWS_CUH_

#include <stdint.h>

enum { DEPTH = 64, TILE_ROWS = 64, TILE_BYTES = TILE_ROWS * DEPTH * 2 };

/* Up to the next multiple of 8 columns the rest of the row follows. */
__device__ __forceinline__ uint8_t *packed_place(void *packed, long long row, int column, int num_columns) {
    int in_tile = (int)(row % TILE_ROWS), piece = column % DEPTH / 8;
    long long tile = row / TILE_ROWS * ((num_columns + DEPTH - 1) / DEPTH) + column / DEPTH;
    return (uint8_t *)packed + tile * TILE_BYTES + in_tile * (DEPTH * 2) + (piece ^ in_tile % 8) * 16 + column % 8 * 2;
}

#endif
