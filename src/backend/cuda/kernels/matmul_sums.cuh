/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_sums.cuh: from sums in the registers of a warpgroup, as wgmma.cuh describes them, through the epilogues to y.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_MATMUL_SUMS_CUH_
#define TN_BACKEND_CUDA_KERNELS_MATMUL_SUMS_CUH_

#include "backend/cuda/kernels/matmul.cuh"
#include "backend/cuda/kernels/packed_rows.cuh"

/* Functions of their own: a copy of all curves for each sum would take minutes to compile. */
static __device__ __noinline__ float4 activate_four(int activation, float4 x) {
    return {activate(activation, x.x), activate(activation, x.y), activate(activation, x.z), activate(activation, x.w)};
}
static __device__ __noinline__ float4 soft_cap_four(float cap, float4 x) {
    return {cap * tanhf(x.x / cap), cap * tanhf(x.y / cap), cap * tanhf(x.z / cap), cap * tanhf(x.w / cap)};
}

/* Two neighbours of a row of which `left` columns are there. EVEN: rows begin at even places. */
template <bool EVEN> __device__ __forceinline__ float2 load_pair(const float *from, int left) {
    if constexpr (EVEN) return left > 0 ? *(const float2 *)from : float2{0.0f, 0.0f};
    return {left > 0 ? from[0] : 0.0f, left > 1 ? from[1] : 0.0f};
}
template <bool EVEN> __device__ __forceinline__ void store_pair(float *to, float2 pair, int left) {
    if constexpr (EVEN) {
        if (left > 0) *(float2 *)to = pair;
    } else {
        if (left > 0) to[0] = pair.x;
        if (left > 1) to[1] = pair.y;
    }
}

/* Those of sums[4j + v] that lie in `left` columns and `rows_left` rows from the thread's first on. */
template <bool EVEN, int COUNT> __device__ __forceinline__ void add_row(float (&sums)[COUNT], const float *row, int left) {
#pragma unroll
    for (int j = 0; j < COUNT / 4; j++) {
        float2 added = load_pair<EVEN>(row + 8 * j, left - 8 * j);
        sums[4 * j] += added.x, sums[4 * j + 1] += added.y, sums[4 * j + 2] += added.x, sums[4 * j + 3] += added.y;
    }
}
template <bool EVEN, int COUNT>
__device__ __forceinline__ void add_rows(float (&sums)[COUNT], const float *rows, long long width, int left, long long rows_left) {
    enum { FOURS = COUNT / 4, BATCH = FOURS > 16 ? FOURS / 2 : FOURS }; /* loads on the way at a time: they come from far */
#pragma unroll
    for (int i = 0; i < 2 * FOURS; i += BATCH) {
        int half = i / FOURS, first = i % FOURS;
        const float *from = rows + 8 * half * width + 8 * first;
        int left_here = rows_left > 8 * half ? left - 8 * first : 0;
        float2 added[BATCH];
#pragma unroll
        for (int j = 0; j < BATCH; j++) added[j] = load_pair<EVEN>(from + 8 * j, left_here - 8 * j);
#pragma unroll
        for (int j = 0; j < BATCH; j++) sums[4 * (first + j) + 2 * half] += added[j].x, sums[4 * (first + j) + 2 * half + 1] += added[j].y;
    }
}
template <bool EVEN, int COUNT>
__device__ __forceinline__ void store_rows(const float (&sums)[COUNT], float *y, long long width, int left, long long rows_left) {
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int j = 0; j < COUNT / 4; j++)
            store_pair<EVEN>(y + 8 * half * width + 8 * j, {sums[4 * j + 2 * half], sums[4 * j + 2 * half + 1]},
                             rows_left > 8 * half ? left - 8 * j : 0);
}

template <int COUNT>
__device__ __forceinline__ void store_packed(const float (&sums)[COUNT], void *y, long long row, int column, int width, int left,
                                             long long rows_left) {
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int j = 0; j < COUNT / 4; j++)
            if (rows_left > 8 * half && left > 8 * j)
                *(uint32_t *)packed_place(y, row + 8 * half, column + 8 * j, width) =
                    floats_to_bf16x2(sums[4 * j + 2 * half], sums[4 * j + 2 * half + 1]);
}

/* sums[4j + v]: row `row` + 8 (v / 2), column `column` + 8j + v % 2; those of rows below `end` are stored. With a gate the first half of
 * them is left. group: the expert, whose row of a bias it may be. */
template <bool GROUPED, typename Row, int COUNT>
__device__ __forceinline__ void finish_sums(const tn_cuda_args &args, float (&sums)[COUNT], Row row, Row column, Row end, int group) {
    enum { FOURS = COUNT / 4 };
    int count = (int)args.constants[TN_MATMUL_NUM_EPILOGUES] & 15;
    long long width = args.constants[TN_MATMUL_N];
    Row rows_left = end - row;
    bool is_even = width % 2 == 0;
    int left = (int)(width - column);
    for (int e = 0; e < count; e++) {
        int code = (int)args.constants[TN_MATMUL_EPILOGUES + 2 * e], activation = code >> 8 & 255;
        const float *operand = (const float *)args.buffers[code >> 16 & 255] + column;
        float real = (float)constant_real(args, TN_MATMUL_EPILOGUES + 2 * e + 1);
        switch (code & 255) {
        case TN_MATMUL_BIAS:
            if constexpr (GROUPED) operand += code >> 24 != 0 ? group * width : 0;
            if (is_even)
                add_row<true>(sums, operand, left);
            else
                add_row<false>(sums, operand, left);
            break;
        case TN_MATMUL_ADD:
            if (is_even)
                add_rows<true>(sums, operand + row * width, width, left, rows_left);
            else
                add_rows<false>(sums, operand + row * width, width, left, rows_left);
            break;
        case TN_MATMUL_ACTIVATION:
        case TN_MATMUL_SOFT_CAP:
#pragma unroll
            for (int j = 0; j < FOURS; j++) {
                float4 x = {sums[4 * j], sums[4 * j + 1], sums[4 * j + 2], sums[4 * j + 3]};
                float4 y = (code & 255) == TN_MATMUL_ACTIVATION ? activate_four(activation, x) : soft_cap_four(real, x);
                sums[4 * j] = y.x, sums[4 * j + 1] = y.y, sums[4 * j + 2] = y.z, sums[4 * j + 3] = y.w;
            }
            break;
        case TN_MATMUL_GATE: /* strips of 16: a gate's up stands two fours behind it */
#pragma unroll
            for (int j = 0; j < FOURS / 2; j++) {
                int gate = 4 * (j / 2 * 4 + j % 2), up = gate + 8;
                float4 x = {sums[gate], sums[gate + 1], sums[gate + 2], sums[gate + 3]}, y;
                if (activation == TN_ACTIVATION_SILU) /* the most usual one, side by side */
                    y = {silu(x.x), silu(x.y), silu(x.z), silu(x.w)};
                else
                    y = activate_four(activation, x);
                sums[4 * j] = y.x * sums[up], sums[4 * j + 1] = y.y * sums[up + 1];
                sums[4 * j + 2] = y.z * sums[up + 2], sums[4 * j + 3] = y.w * sums[up + 3];
            }
            width /= 2;
            column = column / (2 * TN_MATMUL_STRIP) * TN_MATMUL_STRIP + column % TN_MATMUL_STRIP;
            left = (int)(width - column) < 4 * FOURS ? (int)(width - column) : 4 * FOURS;
            break;
        default: /* TN_MATMUL_SCALE */
#pragma unroll
            for (int i = 0; i < COUNT; i++) sums[i] *= real;
            break;
        }
    }
    float *y = (float *)args.buffers[args.constants[TN_MATMUL_OUTPUT]] + row * width + column;
    if (!GROUPED && (args.constants[TN_MATMUL_PACKED] & TN_MATMUL_Y_IS_PACKED))
        store_packed(sums, args.buffers[args.constants[TN_MATMUL_OUTPUT]], row, (int)column, (int)width, left, rows_left);
    else if (is_even)
        store_rows<true>(sums, y, width, left, rows_left);
    else
        store_rows<false>(sums, y, width, left, rows_left);
}

#endif
