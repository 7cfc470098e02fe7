/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_float.cu: y = x · wᵀ of many rows with float32 weights, float32 throughout, on the CUDA cores; bound by their rate.
 *
 * A block of 256 threads makes a tile of 16 T × 16 T. Thread (ty, tx) has T × T sums: rows ty·T + i, columns tx + 16 j, so
 * that with a gate column j is a gate and j + 1 its up column. Slices of DEPTH columns of x and w stand transposed in shared
 * memory, two of them: one is read while the next is written. Each sum is one chain of fused multiply-adds, k ascending.
 */
#include "backend/cuda/kernels/matmul_tile.cuh"

enum { NUM_THREADS = 256, PAD = 4 };

/* Four neighbouring columns of a row; zeros behind the end and where there is no row. */
__device__ __forceinline__ float4 load4(const float *row, long long column, long long k, bool is_there) {
    float4 y = {0.0f, 0.0f, 0.0f, 0.0f};
    if (!is_there || column >= k) return y;
    if (k % 4 == 0) return *(const float4 *)(row + column);
    y.x = row[column];
    if (column + 1 < k) y.y = row[column + 1];
    if (column + 2 < k) y.z = row[column + 2];
    if (column + 3 < k) y.w = row[column + 3];
    return y;
}

template <int WIDTH> __device__ __forceinline__ void store4(float (*slice)[WIDTH], int depth, int at, const float4 &v) {
    slice[depth][at] = v.x, slice[depth + 1][at] = v.y, slice[depth + 2][at] = v.z, slice[depth + 3][at] = v.w;
}

template <int T, bool GROUPED> __device__ __forceinline__ void multiply_tile(const tn_cuda_args &args) {
    enum { TILE = 16 * T, DEPTH = 64 / T, QUADS = DEPTH / 4, WIDTH = TILE + PAD }; /* one quad of x and of w a thread */
    __shared__ float slices[2][2][DEPTH][WIDTH];                                   /* [side][x, w] */
    long long n = args.constants[TN_MATMUL_N], k = args.constants[TN_MATMUL_K];
    let_next_start();
    wait_for_previous();
    tile_place tile = find_tile<TILE, GROUPED>(args, TILE);
    if (tile.num_rows == 0) return;

    int row = threadIdx.x / QUADS, depth = threadIdx.x % QUADS * 4;
    bool has_x = row < tile.num_rows, has_w = tile.first_column + row < n;
    const float *x = tile_x_row<GROUPED>(args, tile, has_x ? row : 0);
    const float *w = (const float *)args.buffers[1] + (tile.group * n + (has_w ? tile.first_column + row : 0)) * k;
    float4 next_x = load4(x, depth, k, has_x), next_w = load4(w, depth, k, has_w);
    store4<WIDTH>(slices[0][0], depth, row, next_x);
    store4<WIDTH>(slices[0][1], depth, row, next_w);
    __syncthreads();

    int ty = threadIdx.x / 16, tx = threadIdx.x % 16, side = 0;
    float sums[T][T] = {};
    for (long long begin = 0; begin < k; begin += DEPTH, side ^= 1) {
        bool goes_on = begin + DEPTH < k;
        if (goes_on) next_x = load4(x, begin + DEPTH + depth, k, has_x), next_w = load4(w, begin + DEPTH + depth, k, has_w);
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            float a[T], b[T];
#pragma unroll
            for (int i = 0; i < T; i++) a[i] = slices[side][0][d][ty * T + i], b[i] = slices[side][1][d][tx + 16 * i];
#pragma unroll
            for (int i = 0; i < T; i++)
#pragma unroll
                for (int j = 0; j < T; j++) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
        }
        if (!goes_on) break;
        store4<WIDTH>(slices[side ^ 1][0], depth, row, next_x);
        store4<WIDTH>(slices[side ^ 1][1], depth, row, next_w);
        __syncthreads();
    }

    /* A warp's threads hold 2 T rows of y: through shared memory, 32 columns at a time. */
    enum { STRIDE = 33 };
    __syncthreads();
    float *part = &slices[0][0][0][0] + threadIdx.x / 32 * (2 * T * STRIDE);
    int y_row = threadIdx.x / 32 * 2 * T, num_rows = tile.num_rows - y_row < 2 * T ? tile.num_rows - y_row : 2 * T;
#pragma unroll
    for (int p = 0; p < T / 2; p++) {
#pragma unroll
        for (int i = 0; i < T; i++) {
            part[(ty % 2 * T + i) * STRIDE + tx] = sums[i][2 * p];
            part[(ty % 2 * T + i) * STRIDE + tx + 16] = sums[i][2 * p + 1];
        }
        finish_part(args, part, STRIDE, tile.first_row + y_row, tile.first_column + 32 * p, num_rows, tile.group);
    }
}

TN_KERNEL(float_64, NUM_THREADS) {
    multiply_tile<4, false>(args);
}
TN_KERNEL(float_128, NUM_THREADS) {
    multiply_tile<8, false>(args);
}
TN_KERNEL(grouped_float_64, NUM_THREADS) {
    multiply_tile<4, true>(args);
}
