/* SPDX-License-Identifier: Apache-2.0
 *
 * elementwise.cu: ELEMENTWISE, UNARY and ACTIVATION on float32, a thread an element; SOFTMAX over rows, a block a row.
 */
#include "backend/cuda/kernels/activation.cuh"
#include "backend/cuda/kernels/block.cuh"

/* constants, as in tactics/elementwise.c */
enum { COUNT, KIND, PERIOD /* the second operand repeats after so many elements */ };

TN_KERNEL(elementwise, 256) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    if (i >= args.constants[COUNT]) return;
    float a = ((const float *)args.buffers[0])[i], b = ((const float *)args.buffers[1])[i % args.constants[PERIOD]], y;
    switch ((int)args.constants[KIND]) {
    case TN_ELEMENTWISE_PROD: y = a * b; break;
    case TN_ELEMENTWISE_MAX: y = a != a || a > b ? a : b; break; /* NaN of either stays */
    case TN_ELEMENTWISE_MIN: y = a != a || a < b ? a : b; break;
    case TN_ELEMENTWISE_SUB: y = a - b; break;
    case TN_ELEMENTWISE_DIV: y = a / b; break;
    default: y = a + b; break;
    }
    ((float *)args.buffers[2])[i] = y;
}

TN_KERNEL(unary, 256) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    if (i >= args.constants[COUNT]) return;
    float x = ((const float *)args.buffers[0])[i], y;
    switch ((int)args.constants[KIND]) {
    case TN_UNARY_EXP: y = expf(x); break;
    case TN_UNARY_LOG: y = logf(x); break;
    case TN_UNARY_SQRT: y = sqrtf(x); break;
    case TN_UNARY_RECIP: y = 1.0f / x; break;
    case TN_UNARY_ABS: y = fabsf(x); break;
    case TN_UNARY_NEG: y = -x; break;
    case TN_UNARY_SIN: y = sinf(x); break;
    case TN_UNARY_COS: y = cosf(x); break;
    case TN_UNARY_ERF: y = erff(x); break;
    case TN_UNARY_FLOOR: y = floorf(x); break;
    case TN_UNARY_CEIL: y = ceilf(x); break;
    default: y = rintf(x); break;
    }
    ((float *)args.buffers[1])[i] = y;
}

TN_KERNEL(activation, 256) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    if (i < args.constants[COUNT]) ((float *)args.buffers[1])[i] = activate((int)args.constants[KIND], ((const float *)args.buffers[0])[i]);
}

enum { SOFTMAX_COLUMNS };

TN_KERNEL(softmax_rows, 256) {
    __shared__ float scratch[32];
    int columns = (int)args.constants[SOFTMAX_COLUMNS];
    const float *x = (const float *)args.buffers[0] + (int64_t)blockIdx.x * columns;
    float *y = (float *)args.buffers[1] + (int64_t)blockIdx.x * columns, largest = -INFINITY, sum = 0.0f;
    let_next_start();
    wait_for_previous();
    for (int i = threadIdx.x; i < columns; i += blockDim.x) largest = fmaxf(largest, x[i]);
    largest = block_max(largest, scratch);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += expf(x[i] - largest);
    sum = block_sum(sum, scratch);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) y[i] = expf(x[i] - largest) / sum;
}
