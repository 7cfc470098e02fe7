/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_blocks.cu: y[r][c] = Σ_k x[r][k] · w[c][k] for few rows r and weights in GGUF's blocks as the file has them, or in parts.
 *
 * A warp takes one column of y (with a gate two rows of w) and up to ROWS rows of x; lane l takes columns 8l … 8l + 7 of each 256, so that
 * the lanes of a warp read a row of w together. blockIdx.y: which ROWS rows of x (grouped: which row).
 * Order    a lane's columns ascending, then a butterfly over the warp: depends on k alone
 * Bound    the weight's bytes, once; taking the bits apart costs about as much as two rows of products
 */
#include "backend/cuda/kernels/gguf.cuh"
#include "backend/cuda/kernels/matmul.cuh"
#include "backend/cuda/kernels/weight_parts.cuh"

/* Columns from `column` on of a row of x; behind the last one zeros. */
__device__ __forceinline__ void load_x(const float *row, int column, int k, float (&x)[8]) {
    if (k % 4 == 0) {
        float4 a = *(const float4 *)(row + column), b = {0.0f, 0.0f, 0.0f, 0.0f};
        if (column + 4 < k) b = *(const float4 *)(row + column + 4);
        x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) x[i] = column + i < k ? row[column + i] : 0.0f;
}

/* first_operand: the buffer behind the weight's. */
template <typename W, int ROWS, bool GROUPED> __device__ __forceinline__ void multiply_blocks(const tn_cuda_args &args, int first_operand) {
    int n = (int)args.constants[TN_MATMUL_N], k = (int)args.constants[TN_MATMUL_K], lane = threadIdx.x % 32;
    bool gated = is_gated(args);
    long long column = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    long long first_row = (long long)blockIdx.y * ROWS, expert = 0, x_row = first_row;
    int rows_left = (int)(args.constants[TN_MATMUL_ROWS] - first_row), num_rows = rows_left < ROWS ? rows_left : ROWS;
    if (gated) column = gate_row(column);
    if constexpr (GROUPED) {
        let_next_start();
        wait_for_previous();
        const int *start = (const int *)args.buffers[first_operand], *order = (const int *)args.buffers[first_operand + 1];
        expert = group_of_row(args, start, first_row);
        long long top_k = args.constants[TN_MATMUL_TOP_K];
        if (top_k > 0) x_row = order[first_row] / top_k;
    }
    long long w_row = expert * n + (column < n ? column : 0);
    float next[8] = {}, next_up[8] = {};
    if (8 * lane < k) W::load8(args, w_row, 8 * lane, next);
    if (gated && 8 * lane < k) W::load8(args, w_row + TN_MATMUL_STRIP, 8 * lane, next_up);
    if constexpr (!GROUPED) {
        let_next_start();
        wait_for_previous();
    }
    if (column >= n) return;
    const float *x = (const float *)args.buffers[0] + x_row * k;
    float sums[ROWS] = {}, ups[ROWS] = {};
    for (int at = 8 * lane; at < k; at += 256) {
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            float values[8];
            load_x(x + (r < num_rows ? r : num_rows - 1) * (long long)k, at, k, values);
#pragma unroll
            for (int i = 0; i < 8; i++) sums[r] = fmaf(values[i], next[i], sums[r]);
#pragma unroll
            for (int i = 0; i < 8; i++)
                if (gated) ups[r] = fmaf(values[i], next_up[i], ups[r]);
        }
        if (at + 256 >= k) continue;
        W::load8(args, w_row, at + 256, next);
        if (gated) W::load8(args, w_row + TN_MATMUL_STRIP, at + 256, next_up);
    }
    float value = 0.0f, up = 0.0f; /* lane r finishes row r */
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float sum = warp_sum(sums[r]), up_sum = gated ? warp_sum(ups[r]) : 0.0f;
        if (lane == r) value = sum, up = up_sum;
    }
    if (lane < num_rows) finish(args, first_row + lane, column, expert, value, up);
}

#define BLOCKS_GEMV(name, weight, rows, grouped, first_operand)                                                                         \
    extern "C" __global__ void __launch_bounds__(256, (rows) == 8                ? 1                                                    \
                                                      : (rows) == 4 || (grouped) ? 2                                                    \
                                                                                 : 3) name(const __grid_constant__ tn_cuda_args args) { \
        multiply_blocks<weight, rows, grouped>(args, first_operand);                                                                    \
    }
#define BLOCKS_GEMVS(type, weight, first_operand)                 \
    BLOCKS_GEMV(gemv_##type##_1, weight, 1, false, first_operand) \
    BLOCKS_GEMV(gemv_##type##_2, weight, 2, false, first_operand) \
    BLOCKS_GEMV(gemv_##type##_4, weight, 4, false, first_operand) \
    BLOCKS_GEMV(gemv_##type##_8, weight, 8, false, first_operand) \
    BLOCKS_GEMV(grouped_gemv_##type, weight, 1, true, first_operand)
#define GGUF_GEMVS(type) BLOCKS_GEMVS(type, weight_blocks<gguf_##type>, 2)
FOR_GGUF_BLOCKS(GGUF_GEMVS)
BLOCKS_GEMVS(parts, weight_parts, (args.constants[TN_MATMUL_PARTS] >> 8 & 1) != 0 ? 4 : 3)
