/* SPDX-License-Identifier: Apache-2.0
 *
 * weight_parts.cuh: a product's weight in parts of their own (AFFINE and MX of op/encoding.h): data, scales, perhaps zero points, one
 * scale a block of rows and columns: value = (data − zero) · scale, rounded once.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_WEIGHT_PARTS_CUH_
#define TN_BACKEND_CUDA_KERNELS_WEIGHT_PARTS_CUH_

#include "backend/cuda/kernels/levels.cuh"
#include "backend/cuda/kernels/matmul_args.h"

/* What TN_MATMUL_PARTS holds. */
struct parts_form {
    int data, scale;            /* TN_PARTS_… */
    bool has_zero;              /* uint8 */
    int block_rows, block_cols; /* 0: whole */

    __device__ __forceinline__ parts_form(const tn_cuda_args &args) {
        uint64_t bits = (uint64_t)args.constants[TN_MATMUL_PARTS];
        data = (int)(bits & 15), scale = (int)(bits >> 4 & 15), has_zero = (bits >> 8 & 1) != 0;
        block_rows = (int)(bits >> 16 & 0xffffffu), block_cols = (int)(bits >> 40);
    }
};

/* Twice the value of e2m1. */
__device__ __forceinline__ int twice_e2m1(int code) {
    int magnitude = code & 7, twice = magnitude < 4 ? magnitude : magnitude < 6 ? 2 * magnitude - 4 : 4 * magnitude - 16;
    return (code & 8) != 0 ? -twice : twice;
}

__device__ __forceinline__ float part_number(int form, uint32_t code) {
    switch (form) {
    case TN_PARTS_I4: return (float)((int)(code ^ 8u) - 8);
    case TN_PARTS_I8: return (float)(int8_t)code;
    case TN_PARTS_E4M3: return (code & 0x7fu) == 0x7fu ? NAN : level_to_float(level_e4m3{(uint8_t)code});
    case TN_PARTS_E2M1: return 0.5f * (float)twice_e2m1((int)code);
    default: return (float)code; /* uint4, uint8 */
    }
}

__device__ __forceinline__ float part_scale(int form, const void *scales, int64_t at) {
    switch (form) {
    case TN_PARTS_SCALE_F16: return to_float(((const f16 *)scales)[at]);
    case TN_PARTS_SCALE_BF16: return to_float(((const bf16 *)scales)[at]);
    case TN_PARTS_SCALE_E8M0: {
        uint32_t exponent = ((const uint8_t *)scales)[at]; /* 2^(exponent − 127) */
        return exponent == 255 ? NAN : __uint_as_float(exponent > 0 ? exponent << 23 : 0x00400000u);
    }
    default: return ((const float *)scales)[at];
    }
}

/* Columns from `column`, a multiple of 8, on; behind the last one zeros. */
struct weight_parts {
    static __device__ __forceinline__ void load8(const tn_cuda_args &args, long long row, int column, float (&v)[8]) {
        parts_form form(args);
        int k = (int)args.constants[TN_MATMUL_K], grid_columns = form.block_cols > 0 ? k / form.block_cols : 1;
        bool is_four = form.data == TN_PARTS_I4 || form.data == TN_PARTS_U4 || form.data == TN_PARTS_E2M1;
        int64_t row_bytes = is_four ? (k + 1) / 2 : k, grid_row = form.block_rows > 0 ? row / form.block_rows : 0;
        const uint8_t *data = (const uint8_t *)args.buffers[1] + row * row_bytes;
        uint32_t codes[8];
        if (k % 8 == 0) {
            uint32_t low = *(const uint32_t *)(data + (is_four ? column / 2 : column)),
                     high = is_four ? 0 : *(const uint32_t *)(data + column + 4);
#pragma unroll
            for (int i = 0; i < 8; i++) codes[i] = is_four ? low >> (4 * i) & 15u : (i < 4 ? low : high) >> (i % 4 * 8) & 255u;
        } else {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                int c = column + i < k ? column + i : k - 1;
                codes[i] = is_four ? data[c / 2] >> (c % 2 * 4) & 15u : data[c];
            }
        }
        bool shares_scale = form.block_cols == 0 || form.block_cols % 8 == 0;
        float scale = 0.0f, zero = 0.0f;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (i == 0 || !shares_scale) {
                int c = column + i < k ? column + i : k - 1;
                int64_t at = grid_row * grid_columns + (form.block_cols > 0 ? c / form.block_cols : 0);
                scale = part_scale(form.scale, args.buffers[2], at);
                zero = form.has_zero ? (float)((const uint8_t *)args.buffers[3])[at] : 0.0f;
            }
            v[i] = column + i < k ? (part_number(form.data, codes[i]) - zero) * scale : 0.0f;
        }
    }
};

#endif
