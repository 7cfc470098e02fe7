/* SPDX-License-Identifier: Apache-2.0
 *
 * norm.cu: NORMALIZATION over rows of float32, a block a row; with a residual, the sum is stored too.
 */
#include "backend/cuda/kernels/block.cuh"

/* constants, as in tactics/norm.c */
enum { COLUMNS, IS_RMS, EPSILON, SCALE_OFFSET, OUTPUT /* its buffer; the sum's is the next */, HAS_BIAS, HAS_RESIDUAL };

TN_KERNEL(normalize_rows, 1024) {
    __shared__ float scratch[32];
    int columns = (int)args.constants[COLUMNS];
    int64_t start = (int64_t)blockIdx.x * columns;
    const float *x = (const float *)args.buffers[0] + start, *scale = (const float *)args.buffers[1];
    const float *bias = args.constants[HAS_BIAS] ? (const float *)args.buffers[2] : nullptr;
    float *y = (float *)args.buffers[args.constants[OUTPUT]] + start;
    wait_for_previous();
    let_next_start();

    if (args.constants[HAS_RESIDUAL]) {
        const float *residual = (const float *)args.buffers[3] + start;
        float *sum = (float *)args.buffers[args.constants[OUTPUT] + 1] + start;
        for (int i = threadIdx.x; i < columns; i += blockDim.x) sum[i] = x[i] + residual[i]; /* read back by the same thread */
        x = sum;
    }
    float mean = 0.0f, squares = 0.0f;
    if (!args.constants[IS_RMS]) {
        for (int i = threadIdx.x; i < columns; i += blockDim.x) mean += x[i];
        mean = block_sum(mean, scratch) / (float)columns;
    }
    for (int i = threadIdx.x; i < columns; i += blockDim.x) squares += (x[i] - mean) * (x[i] - mean);
    squares = block_sum(squares, scratch) / (float)columns;
    float inverse = (float)(1.0 / sqrt((double)squares + constant_real(args, EPSILON))), offset = (float)constant_real(args, SCALE_OFFSET);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) {
        float value = (x[i] - mean) * inverse * (scale[i] + offset);
        y[i] = bias != nullptr ? value + bias[i] : value;
    }
}
