/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_rows.cu: y[r][c] = Σ_k x[r][k] · w[c][k] for 2 to 8 rows r of x and bfloat16 weights, on tensor cores: bound by reading w
 * once, where a GEMV's sums take more issue slots than its loads leave.
 *
 * A block takes TILE rows of w at once (with a gate: a strip of gate rows and one of up rows) and goes on to others; its warps split
 * k by UNIT values. Weights go from memory to registers as they stand: a sum over k has any order, so each product takes the values
 * that a lane has loaded with 16 bytes, and x is put in the same order. With g = lane / 4, t = lane % 4: lane: rows g, g + 8, g + 16,
 * g + 24 of the tile, row g of x, values 32c + 8t … + 7. x is rounded to bfloat16 twice, what the first rounding left the second time:
 * two products, about 2^-18 of each value lost.
 * The next unit is on its way while the present one is used, and the first before the wait for the kernel that makes x. At the end of
 * a tile's k: sums of the warps in shared memory in their order, epilogue.
 */
#include "backend/cuda/kernels/matmul.cuh"

enum { TILE = 32, UNIT = 64, ROWS = 8, MAX_WARPS = 16, FETCHED = 2048 /* bytes a row of w */ };

struct unit {
    uint4 weights[4][UNIT / 32]; /* rows g + 8i */
    float4 x[UNIT / 32][2];
};

struct place {
    int tile, unit;
};

__device__ __forceinline__ const uint8_t *weight_row(const tn_cuda_args &args, int tile, int row) {
    long long at = (long long)tile * TILE + row, n = args.constants[TN_MATMUL_N];
    return (const uint8_t *)args.buffers[1] + 2 * (at < n ? at : n - 1) * args.constants[TN_MATMUL_K]; /* those behind are not stored */
}

__device__ __forceinline__ void load_weights(unit &u, const tn_cuda_args &args, place at, int num_tiles) {
    if (at.tile >= num_tiles) return;
    int g = threadIdx.x % 32 / 4, column = at.unit * UNIT + (int)threadIdx.x % 4 * 8;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint8_t *from = weight_row(args, at.tile, g + 8 * i) + 2 * column;
#pragma unroll
        for (int c = 0; c < UNIT / 32; c++) u.weights[i][c] = load_once(from + 64 * c);
    }
}

__device__ __forceinline__ void load_x(unit &u, const float *x_row, int unit_index) {
    const float *from = x_row + unit_index * UNIT;
#pragma unroll
    for (int c = 0; c < UNIT / 32; c++) {
        u.x[c][0] = *(const float4 *)(from + 32 * c);
        u.x[c][1] = *(const float4 *)(from + 32 * c + 4);
    }
}

/* Two values as a pair of bfloat16, and the pair of what is left of them. */
__device__ __forceinline__ void split_pair(float first, float second, uint32_t *out_pair, uint32_t *out_rest) {
    *out_pair = floats_to_bf16x2(first, second);
    *out_rest = floats_to_bf16x2(first - bf16_low(*out_pair), second - bf16_high(*out_pair));
}

__device__ __forceinline__ void multiply_unit(float (&sums)[2][4], const unit &u) {
#pragma unroll
    for (int c = 0; c < UNIT / 32; c++) {
        uint32_t pairs[4], rests[4];
        split_pair(u.x[c][0].x, u.x[c][0].y, &pairs[0], &rests[0]);
        split_pair(u.x[c][0].z, u.x[c][0].w, &pairs[1], &rests[1]);
        split_pair(u.x[c][1].x, u.x[c][1].y, &pairs[2], &rests[2]);
        split_pair(u.x[c][1].z, u.x[c][1].w, &pairs[3], &rests[3]);
#pragma unroll
        for (int m = 0; m < 2; m++) {
            const uint4 &upper = u.weights[2 * m][c], &lower = u.weights[2 * m + 1][c];
            const uint32_t first[4] = {upper.x, lower.x, upper.y, lower.y}, second[4] = {upper.z, lower.z, upper.w, lower.w};
            multiply_bf16(sums[m], first, pairs[0], pairs[1]);
            multiply_bf16(sums[m], first, rests[0], rests[1]);
            multiply_bf16(sums[m], second, pairs[2], pairs[3]);
            multiply_bf16(sums[m], second, rests[2], rests[3]);
        }
    }
}

/* partial: [warp][row of x][row of the tile] */
__device__ __forceinline__ void store_tile(const tn_cuda_args &args, const float (&sums)[2][4], float (*partial)[ROWS][TILE], int tile) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, num_warps = blockDim.x / 32, num_rows = (int)args.constants[TN_MATMUL_ROWS];
    bool gated = is_gated(args);
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int v = 0; v < 4; v++) partial[threadIdx.x / 32][2 * t + v % 2][16 * m + g + v / 2 * 8] = sums[m][v];
    __syncthreads();
    int r = threadIdx.x / TILE, i = threadIdx.x % TILE;
    if (r < num_rows && (!gated || i < TN_MATMUL_STRIP)) {
        float value = 0.0f, up = 0.0f;
        for (int w = 0; w < num_warps; w++) value += partial[w][r][i];
        for (int w = 0; w < num_warps && gated; w++) up += partial[w][r][i + TN_MATMUL_STRIP];
        long long column = (long long)tile * TILE + i;
        if (column < args.constants[TN_MATMUL_N]) finish(args, r, column, 0, value, up);
    }
    __syncthreads(); /* before the next tile's sums */
}

/* What follows the first units of the block's first tile: on its way to the second-level cache while the kernels before are at work. */
__device__ __forceinline__ void fetch_ahead(const tn_cuda_args &args, int num_tiles) {
    long long first = (long long)blockDim.x / 32 * (2 * UNIT), left = 2 * args.constants[TN_MATMUL_K] - first;
    if (threadIdx.x >= TILE || (int)blockIdx.x >= num_tiles || left <= 0) return;
    fetch_to_l2(weight_row(args, blockIdx.x, threadIdx.x) + first, (uint32_t)(left < FETCHED ? left : FETCHED));
}

/* blockDim.x: 256 or 512; k: a multiple of UNIT, a unit or more for each warp. */
TN_KERNEL(rows_bf16, 512) {
    __shared__ float partial[MAX_WARPS][ROWS][TILE];
    int num_tiles = (int)((args.constants[TN_MATMUL_N] + TILE - 1) / TILE), k = (int)args.constants[TN_MATMUL_K];
    int num_rows = (int)args.constants[TN_MATMUL_ROWS], num_units = k / UNIT, num_warps = blockDim.x / 32, g = threadIdx.x % 32 / 4;
    unit now, next;
    place at = {(int)blockIdx.x, (int)threadIdx.x / 32};
    load_weights(now, args, at, num_tiles);
    fetch_ahead(args, num_tiles);
    let_next_start();
    wait_for_previous();

    const float *x_row = (const float *)args.buffers[0] + (long long)(g < num_rows ? g : num_rows - 1) * k + threadIdx.x % 4 * 8;
    float sums[2][4] = {};
    load_x(now, x_row, at.unit);
    while (at.tile < num_tiles) {
        bool is_last = at.unit + num_warps >= num_units;
        place after = is_last ? place{at.tile + (int)gridDim.x, (int)threadIdx.x / 32} : place{at.tile, at.unit + num_warps};
        load_weights(next, args, after, num_tiles);
        load_x(next, x_row, after.unit);
        multiply_unit(sums, now);
        if (is_last) {
            store_tile(args, sums, partial, at.tile);
#pragma unroll
            for (int i = 0; i < 8; i++) sums[i / 4][i % 4] = 0.0f;
        }
        now = next;
        at = after;
    }
}
