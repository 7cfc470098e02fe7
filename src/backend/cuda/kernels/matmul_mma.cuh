/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_mma.cuh: y = x · wᵀ of many rows on tensor cores (mma.sync): x rounded to bfloat16, w as bfloat16 (float16 and GGUF
 * weights are rounded to it), float32 sums. matmul_mma.cu has its kernels of weights in vectors, matmul_mma_blocks.cu those of weights in
 * GGUF's own blocks.
 *
 * A block of 8 warps makes a tile of ROWS × 128: warps 2 × 4, each ROWS/2 × 32, so that with a gate the two strips of a pair
 * belong to one warp, and to the same thread. Slices of 32 columns of x and w go through registers (converted there) into
 * shared memory, two of them: one is read while the next is on its way.
 *
 * Shared rows are 64 bytes: four pieces of 8 values; piece q of row r stands at place q ^ (r / 2 % 4), so that neither the
 * stores nor ldmatrix (8 rows, one piece) meet in a bank.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_MATMUL_MMA_CUH_
#define TN_BACKEND_CUDA_KERNELS_MATMUL_MMA_CUH_

#include "backend/cuda/kernels/matmul_tile.cuh"

enum { NUM_THREADS = 256, COLUMNS = 128, DEPTH = 32, PIECES = DEPTH / 8, PART_STRIDE = 36 };

/* Bytes from the slice's start to piece `piece` of row `row`. */
__device__ __forceinline__ int piece_offset(int row, int piece) {
    return row * (DEPTH * 2) + (piece ^ (row / 2 % PIECES)) * 16;
}

__device__ __forceinline__ uint4 pack_piece(const float (&v)[8]) {
    uint4 y = {floats_to_bf16x2(v[0], v[1]), floats_to_bf16x2(v[2], v[3]), floats_to_bf16x2(v[4], v[5]), floats_to_bf16x2(v[6], v[7])};
    return y;
}

/* Eight neighbouring values of x, k a multiple of 8. */
struct x_piece {
    float4 a, b;
};
__device__ __forceinline__ x_piece load_x(const float *row, int column, bool is_there) {
    x_piece y = {};
    if (!is_there) return y;
    y.a = *(const float4 *)(row + column);
    y.b = *(const float4 *)(row + column + 4);
    return y;
}
__device__ __forceinline__ uint4 pack_x(const x_piece &p) {
    uint4 y = {floats_to_bf16x2(p.a.x, p.a.y), floats_to_bf16x2(p.a.z, p.a.w), floats_to_bf16x2(p.b.x, p.b.y),
               floats_to_bf16x2(p.b.z, p.b.w)};
    return y;
}

/* Eight neighbouring values of w as loaded: their bits and their block's scale. `column` is a multiple of 8. */
struct w_piece {
    uint4 bits;
    uint32_t scale;
};

/* A weight that is taken apart as it is loaded: W::load8 gives eight values of a row, of the kernel's arguments. */
template <typename W> constexpr bool comes_in_blocks = false;

template <typename W> __device__ __forceinline__ w_piece load_blocks(const tn_cuda_args &args, long long row, int column, bool is_there) {
    w_piece y = {};
    if (!is_there) return y;
    float v[8];
    W::load8(args, row, column, v);
    y.bits = pack_piece(v);
    return y;
}

template <typename W> __device__ __forceinline__ w_piece load_w(const uint8_t *row, const uint8_t *scales, int column, bool is_there) {
    w_piece y = {};
    if (!is_there) return y;
    if constexpr (W::VALUES == 8) {
        y.bits = *(const uint4 *)(row + 2 * column);
    } else if constexpr (W::VALUES == 16) {
        uint2 bits = *(const uint2 *)(row + column);
        y.bits.x = bits.x, y.bits.y = bits.y;
    } else {
        y.bits.x = *(const uint32_t *)(row + column / 2);
    }
    y.scale = W::scale(scales, column / W::VALUES);
    return y;
}

template <typename W> __device__ __forceinline__ uint4 pack_w(const w_piece &p) {
    if constexpr (comes_in_blocks<W>) {
        return p.bits;
    } else {
        float v[8], low[4], high[4];
        W::decode4(p.bits, 0, low);
        W::decode4(p.bits, 1, high);
        float2 scale = f16x2_to_floats(p.scale);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            v[i] = i < 4 ? low[i] : high[i - 4];
            if (W::HAS_MINIMUM)
                v[i] = fmaf(scale.x, v[i], scale.y);
            else if (W::IS_SCALED)
                v[i] *= scale.x;
        }
        return pack_piece(v);
    }
}
template <> __device__ __forceinline__ uint4 pack_w<weight_bf16>(const w_piece &p) {
    return p.bits;
}

/* Sums of a warp, 16 × 32 at a time, through its own part of shared memory. */
template <int ROW_TILES>
__device__ __forceinline__ void finish_sums(const tn_cuda_args &args, const tile_place &tile, const float (&sums)[ROW_TILES][4][4],
                                            float *part, int first_row, int first_column) {
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < ROW_TILES; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int v = 0; v < 4; v++) part[(lane / 4 + v / 2 * 8) * PART_STRIDE + 8 * j + lane % 4 * 2 + v % 2] = sums[i][j][v];
        int row = first_row + 16 * i, num_rows = tile.num_rows - row < 16 ? tile.num_rows - row : 16;
        finish_part(args, part, PART_STRIDE, tile.first_row + row, tile.first_column + first_column, num_rows, tile.group);
    }
}

template <typename W, int ROWS, bool GROUPED> __device__ __forceinline__ void multiply_tile(const tn_cuda_args &args) {
    enum {
        X_PIECES = ROWS * PIECES / NUM_THREADS, /* a thread's: piece threadIdx.x % 4 of rows threadIdx.x / 4 + 64 i */
        W_PIECES = COLUMNS * PIECES / NUM_THREADS,
        STEP = NUM_THREADS / PIECES,
        ROW_TILES = ROWS / 2 / 16, /* of a warp: 16 rows, 8 columns */
        COLUMN_TILES = 4,
        SLICE_BYTES = (ROWS + COLUMNS) * DEPTH * 2,
    };
    __shared__ __align__(128) uint8_t slices[2][SLICE_BYTES];
    int n = (int)args.constants[TN_MATMUL_N], k = (int)args.constants[TN_MATMUL_K];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, piece = threadIdx.x % PIECES, row = threadIdx.x / PIECES;
    let_next_start();
    wait_for_previous();
    tile_place tile = find_tile<ROWS, GROUPED>(args, COLUMNS);
    if (tile.num_rows == 0) return;

    weight_place place = {};
    if constexpr (!comes_in_blocks<W>) place = place_weight<W>(args);
    const float *x[X_PIECES];
    const uint8_t *w[W_PIECES], *scales[W_PIECES];
    long long w_rows[W_PIECES];
    x_piece next_x[X_PIECES];
    w_piece next_w[W_PIECES];
#pragma unroll
    for (int i = 0; i < X_PIECES; i++) x[i] = tile_x_row<GROUPED>(args, tile, row + STEP * i < tile.num_rows ? row + STEP * i : 0);
#pragma unroll
    for (int i = 0; i < W_PIECES; i++) {
        long long w_row = tile.first_column + row + STEP * i;
        w_row = tile.group * n + (w_row < n ? w_row : 0);
        w_rows[i] = w_row;
        w[i] = place.data + w_row * place.row_bytes;
        scales[i] = place.scales + w_row * place.scale_row_bytes;
    }

    auto load = [&](int begin) {
        int column = begin + 8 * piece;
#pragma unroll
        for (int i = 0; i < X_PIECES; i++) next_x[i] = load_x(x[i], column, column < k && row + STEP * i < tile.num_rows);
#pragma unroll
        for (int i = 0; i < W_PIECES; i++) {
            bool is_there = column < k && tile.first_column + row + STEP * i < n;
            if constexpr (comes_in_blocks<W>)
                next_w[i] = load_blocks<W>(args, w_rows[i], column, is_there);
            else
                next_w[i] = load_w<W>(w[i], scales[i], column, is_there);
        }
    };
    auto store = [&](uint8_t *slice) {
#pragma unroll
        for (int i = 0; i < X_PIECES; i++) *(uint4 *)(slice + piece_offset(row + STEP * i, piece)) = pack_x(next_x[i]);
#pragma unroll
        for (int i = 0; i < W_PIECES; i++) *(uint4 *)(slice + piece_offset(ROWS + row + STEP * i, piece)) = pack_w<W>(next_w[i]);
    };

    int first_row = warp / 4 * (ROWS / 2), first_column = warp % 4 * 32;
    float sums[ROW_TILES][COLUMN_TILES][4] = {};
    auto multiply = [&](const uint8_t *slice) {
#pragma unroll
        for (int half = 0; half < 2; half++) { /* 16 of the 32 columns */
            uint32_t a[ROW_TILES][4], b[COLUMN_TILES / 2][4];
#pragma unroll
            for (int i = 0; i < ROW_TILES; i++)
                load_matrices(a[i], slice + piece_offset(first_row + 16 * i + lane % 16, 2 * half + lane / 16));
#pragma unroll
            for (int j = 0; j < COLUMN_TILES / 2; j++)
                load_matrices(b[j], slice + piece_offset(ROWS + first_column + 16 * j + lane / 16 * 8 + lane % 8, 2 * half + lane / 8 % 2));
#pragma unroll
            for (int i = 0; i < ROW_TILES; i++)
#pragma unroll
                for (int j = 0; j < COLUMN_TILES; j++) multiply_bf16(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
    };

    load(0);
    store(slices[0]);
    __syncthreads();
    int side = 0;
    for (int begin = 0; begin < k; begin += DEPTH, side ^= 1) {
        bool goes_on = begin + DEPTH < k;
        if (goes_on) load(begin + DEPTH);
        multiply(slices[side]);
        if (goes_on) store(slices[side ^ 1]);
        __syncthreads();
    }

    finish_sums<ROW_TILES>(args, tile, sums, (float *)slices[0] + warp * (16 * PART_STRIDE), first_row, first_column);
}

#define MMA(type)                                       \
    TN_KERNEL(mma_##type##_64, NUM_THREADS) {           \
        multiply_tile<weight_##type, 64, false>(args);  \
    }                                                   \
    TN_KERNEL(mma_##type##_128, NUM_THREADS) {          \
        multiply_tile<weight_##type, 128, false>(args); \
    }                                                   \
    TN_KERNEL(grouped_mma_##type##_64, NUM_THREADS) {   \
        multiply_tile<weight_##type, 64, true>(args);   \
    }

#endif
