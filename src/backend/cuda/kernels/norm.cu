/* SPDX-License-Identifier: Apache-2.0
 *
 * norm.cu: NORMALIZATION over rows of float32, a block a row; with a residual, the sum is stored too.
 *
 * With one row this is all latency: weights are read before the kernel before has ended, and a row is read once.
 */
#include "backend/cuda/kernels/block.cuh"
#include "backend/cuda/kernels/instructions.cuh"
#include "backend/cuda/kernels/norm_args.h"
#include "backend/cuda/kernels/packed_rows.cuh"

/* Rows of up to 4 · PIECES · threads columns, a multiple of 4, stay in registers: memory is read once. */
enum { PIECES = 4 };

struct row_reader {
    const float4 *x, *residual;
    float4 *sum;
    __device__ __forceinline__ float4 read(int i) const {
        float4 v = x[i];
        if (residual == nullptr) return v;
        float4 r = residual[i];
        v = {v.x + r.x, v.y + r.y, v.z + r.z, v.w + r.w};
        sum[i] = v;
        return v;
    }
};

TN_KERNEL(normalize_short_rows, 1024) {
    __shared__ float scratch[32];
    int columns = (int)args.constants[TN_NORM_COLUMNS], count = columns / 4;
    int64_t start = (int64_t)blockIdx.x * columns;
    const float4 *scale = (const float4 *)args.buffers[1],
                 *bias = args.constants[TN_NORM_HAS_BIAS] ? (const float4 *)args.buffers[2] : nullptr;
    float4 *y = (float4 *)((float *)args.buffers[args.constants[TN_NORM_OUTPUT]] + start), scales[PIECES], values[PIECES];
    float offset = (float)constant_real(args, TN_NORM_SCALE_OFFSET);
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        int i = p * blockDim.x + threadIdx.x;
        if (i < count) scales[p] = scale[i];
    }
    row_reader row = {(const float4 *)((const float *)args.buffers[0] + start), nullptr, nullptr};
    if (args.constants[TN_NORM_HAS_RESIDUAL]) {
        row.residual = (const float4 *)((const float *)args.buffers[3] + start);
        row.sum = (float4 *)((float *)args.buffers[args.constants[TN_NORM_OUTPUT] + 1] + start);
    }
    let_next_start();
    wait_for_previous();

    float mean = 0.0f, squares = 0.0f;
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        int i = p * blockDim.x + threadIdx.x;
        values[p] = i < count ? row.read(i) : float4{0.0f, 0.0f, 0.0f, 0.0f};
        mean += (values[p].x + values[p].y) + (values[p].z + values[p].w);
    }
    mean = args.constants[TN_NORM_IS_RMS] ? 0.0f : block_sum(mean, scratch) / (float)columns;
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        if (p * blockDim.x + threadIdx.x >= count) continue;
        float4 v = values[p] = {values[p].x - mean, values[p].y - mean, values[p].z - mean, values[p].w - mean};
        squares += (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
    }
    squares = block_sum(squares, scratch) / (float)columns;
    float inverse = 1.0f / sqrtf(squares + (float)constant_real(args, TN_NORM_EPSILON));
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        int i = p * blockDim.x + threadIdx.x;
        if (i >= count) continue;
        float4 v = values[p], s = scales[p], b = bias != nullptr ? bias[i] : float4{0.0f, 0.0f, 0.0f, 0.0f};
        v = {v.x * inverse * (s.x + offset) + b.x, v.y * inverse * (s.y + offset) + b.y, v.z * inverse * (s.z + offset) + b.z,
             v.w * inverse * (s.w + offset) + b.w};
        if (!args.constants[TN_NORM_Y_IS_PACKED])
            y[i] = v;
        else
            *(uint2 *)packed_place(args.buffers[args.constants[TN_NORM_OUTPUT]], blockIdx.x, 4 * i, columns) = {floats_to_bf16x2(v.x, v.y),
                                                                                                                floats_to_bf16x2(v.z, v.w)};
    }
}

TN_KERNEL(normalize_rows, 1024) {
    __shared__ float scratch[32];
    int columns = (int)args.constants[TN_NORM_COLUMNS];
    int64_t start = (int64_t)blockIdx.x * columns;
    const float *x = (const float *)args.buffers[0] + start, *scale = (const float *)args.buffers[1];
    const float *bias = args.constants[TN_NORM_HAS_BIAS] ? (const float *)args.buffers[2] : nullptr;
    float *y = (float *)args.buffers[args.constants[TN_NORM_OUTPUT]] + start;
    let_next_start();
    wait_for_previous();

    if (args.constants[TN_NORM_HAS_RESIDUAL]) {
        const float *residual = (const float *)args.buffers[3] + start;
        float *sum = (float *)args.buffers[args.constants[TN_NORM_OUTPUT] + 1] + start;
        for (int i = threadIdx.x; i < columns; i += blockDim.x) sum[i] = x[i] + residual[i]; /* read back by the same thread */
        x = sum;
    }
    float mean = 0.0f, squares = 0.0f;
    if (!args.constants[TN_NORM_IS_RMS]) {
        for (int i = threadIdx.x; i < columns; i += blockDim.x) mean += x[i];
        mean = block_sum(mean, scratch) / (float)columns;
    }
    for (int i = threadIdx.x; i < columns; i += blockDim.x) squares += (x[i] - mean) * (x[i] - mean);
    squares = block_sum(squares, scratch) / (float)columns;
    float inverse = (float)(1.0 / sqrt((double)squares + constant_real(args, TN_NORM_EPSILON))),
          offset = (float)constant_real(args, TN_NORM_SCALE_OFFSET);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) {
        float value = (x[i] - mean) * inverse * (scale[i] + offset);
        y[i] = bias != nullptr ? value + bias[i] : value;
    }
}
