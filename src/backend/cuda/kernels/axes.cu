/* SPDX-License-Identifier: Apache-2.0
 *
 * axes.cu: what gathers values along axes: REDUCE over any of them, SOFTMAX and RAGGED_SOFTMAX along one, CUMULATIVE.
 *
 * Order    each thread its elements in ascending order, then the block's threads as block.cuh adds them, or by a fixed tree
 * Bound    bytes read; a line that does not lie together costs a sector of 32 bytes an element
 */
#include "backend/cuda/kernels/block.cuh"
#include "backend/cuda/kernels/elements.cuh"
#include "backend/cuda/kernels/walk.cuh"

/* --- REDUCE: a block an element of the output. constants, as in tactics/axes.c ---------------------------------------------------- */

enum { NUM_INNER, KIND, TYPE, NUM_AXES /* kept | reduced << 8 */, AXES };

__device__ __forceinline__ float reduce_pair(int op, float a, float b) {
    switch (op) {
    case TN_REDUCE_PROD: return a * b;
    case TN_REDUCE_MAX: return a != a || a > b ? a : b;
    case TN_REDUCE_MIN: return a != a || a < b ? a : b;
    default: return a + b;
    }
}
__device__ __forceinline__ int64_t reduce_pair(int op, int64_t a, int64_t b) {
    switch (op) {
    case TN_REDUCE_PROD: return (int64_t)((uint64_t)a * (uint64_t)b);
    case TN_REDUCE_MAX: return a > b ? a : b;
    case TN_REDUCE_MIN: return a < b ? a : b;
    default: return (int64_t)((uint64_t)a + (uint64_t)b);
    }
}

__device__ __forceinline__ void nothing_of(int op, float *out) {
    *out = op == TN_REDUCE_PROD ? 1.0f : op == TN_REDUCE_MAX ? -INFINITY : op == TN_REDUCE_MIN ? INFINITY : 0.0f;
}
__device__ __forceinline__ void nothing_of(int op, int64_t *out) {
    *out = op == TN_REDUCE_PROD ? 1 : op == TN_REDUCE_MAX ? INT64_MIN : op == TN_REDUCE_MIN ? INT64_MAX : 0;
}

__device__ __forceinline__ void load_value(int type, const void *x, int64_t i, float *out) {
    *out = load_float(type, x, i);
}
__device__ __forceinline__ void load_value(int type, const void *x, int64_t i, int64_t *out) {
    *out = load_integer(type, x, i);
}

/* The block's elements; all threads return the result. scratch: [32] */
template <typename T> __device__ __forceinline__ T reduce_block(const tn_cuda_args &args, T *scratch) {
    int op = (int)args.constants[KIND], type = (int)args.constants[TYPE], lane = threadIdx.x % 32;
    int kept = (int)args.constants[NUM_AXES] & 255, reduced = (int)args.constants[NUM_AXES] >> 8;
    int64_t base = walk_axes(args, AXES, kept, blockIdx.x), count = args.constants[NUM_INNER];
    T result, value;
    nothing_of(op, &result);
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
        load_value(type, args.buffers[0], base + walk_axes(args, AXES + kept, reduced, i), &value);
        result = reduce_pair(op, result, value);
    }
    for (int offset = 16; offset > 0; offset >>= 1) result = reduce_pair(op, result, __shfl_xor_sync(0xffffffffu, result, offset));
    if (lane == 0) scratch[threadIdx.x / 32] = result;
    __syncthreads();
    if (lane < blockDim.x / 32)
        result = scratch[lane];
    else
        nothing_of(op, &result);
    for (int offset = 16; offset > 0; offset >>= 1) result = reduce_pair(op, result, __shfl_xor_sync(0xffffffffu, result, offset));
    return result;
}

TN_KERNEL(reduce_axes, 256) {
    __shared__ int64_t scratch[32];
    bool is_average = args.constants[KIND] == TN_REDUCE_AVG;
    int64_t count = args.constants[NUM_INNER];
    int type = (int)args.constants[TYPE];
    let_next_start();
    wait_for_previous();
    if (is_float_type(type)) {
        float y = reduce_block(args, (float *)scratch);
        if (threadIdx.x == 0) store_float(type, args.buffers[1], blockIdx.x, is_average ? y / (float)count : y);
    } else {
        int64_t y = reduce_block(args, scratch);
        if (threadIdx.x == 0) store_integer(type, args.buffers[1], blockIdx.x, is_average && count > 0 ? y / count : y);
    }
}

/* --- SOFTMAX, RAGGED_SOFTMAX: a block a line ----------------------------------------------------------------------------------------- */

enum { LENGTH, INNER /* elements from one of the line to the next */, LINE_TYPE, BOUNDS /* 0: none, 1: int32, 2: int64 */ };

TN_KERNEL(softmax_lines, 256) {
    __shared__ float scratch[32];
    int64_t whole = args.constants[LENGTH], stride = args.constants[INNER], length = whole;
    int64_t base = blockIdx.x / stride * stride * whole + blockIdx.x % stride;
    int type = (int)args.constants[LINE_TYPE], bounds = (int)args.constants[BOUNDS];
    const void *x = args.buffers[0];
    void *y = args.buffers[bounds != 0 ? 2 : 1];
    float largest = -INFINITY, sum = 0.0f;
    let_next_start();
    wait_for_previous();
    if (bounds != 0) {
        int64_t bound = load_index(bounds == 2, args.buffers[1], blockIdx.x);
        length = bound < 0 ? 0 : bound < whole ? bound : whole;
    }
    for (int64_t i = threadIdx.x; i < length; i += blockDim.x) largest = fmaxf(largest, load_float(type, x, base + i * stride));
    largest = block_max(largest, scratch);
    for (int64_t i = threadIdx.x; i < length; i += blockDim.x) sum += expf(load_float(type, x, base + i * stride) - largest);
    sum = block_sum(sum, scratch);
    for (int64_t i = threadIdx.x; i < whole; i += blockDim.x)
        store_float(type, y, base + i * stride, i < length ? expf(load_float(type, x, base + i * stride) - largest) / sum : 0.0f);
}

/* --- CUMULATIVE: a thread a line -------------------------------------------------------------------------------------------------------- */

enum { FLAGS = 3 /* 1: without the element itself, 2: from the end */, NUM_LINES };

TN_KERNEL(cumulate, 256) {
    int64_t line = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, length = args.constants[LENGTH], stride = args.constants[INNER];
    let_next_start();
    wait_for_previous();
    if (line >= args.constants[NUM_LINES]) return;
    int64_t base = line / stride * stride * length + line % stride, whole = 0;
    int type = (int)args.constants[LINE_TYPE];
    bool is_exclusive = (args.constants[FLAGS] & 1) != 0, is_reverse = (args.constants[FLAGS] & 2) != 0;
    double sum = 0.0;
    for (int64_t i = 0; i < length; i++) {
        int64_t at = base + (is_reverse ? length - 1 - i : i) * stride;
        if (is_float_type(type)) {
            double before = sum;
            sum += (double)load_float(type, args.buffers[0], at);
            store_float(type, args.buffers[1], at, (float)(is_exclusive ? before : sum));
        } else {
            int64_t before = whole;
            whole = (int64_t)((uint64_t)whole + (uint64_t)load_integer(type, args.buffers[0], at));
            store_integer(type, args.buffers[1], at, is_exclusive ? before : whole);
        }
    }
}
