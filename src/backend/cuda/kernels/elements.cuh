/* SPDX-License-Identifier: Apache-2.0
 *
 * elements.cuh: elements of a type that is known at run time, loaded and stored; whole elements moved by their size.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_ELEMENTS_CUH_
#define TN_BACKEND_CUDA_KERNELS_ELEMENTS_CUH_

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/elements.h"

__device__ __forceinline__ bool is_float_type(int type) {
    return type <= TN_ELEMENT_BF16;
}

__device__ __forceinline__ float load_float(int type, const void *data, int64_t i) {
    switch (type) {
    case TN_ELEMENT_F16: return to_float(((const f16 *)data)[i]);
    case TN_ELEMENT_BF16: return to_float(((const bf16 *)data)[i]);
    default: return ((const float *)data)[i];
    }
}

/* Rounds once. Bools: is it other than 0? */
__device__ __forceinline__ void store_float(int type, void *data, int64_t i, float x) {
    switch (type) {
    case TN_ELEMENT_F16: ((f16 *)data)[i] = from_float<f16>(x); break;
    case TN_ELEMENT_BF16: ((bf16 *)data)[i] = from_float<bf16>(x); break;
    case TN_ELEMENT_BOOL: ((uint8_t *)data)[i] = x != 0.0f; break;
    default: ((float *)data)[i] = x; break;
    }
}

__device__ __forceinline__ int64_t load_integer(int type, const void *data, int64_t i) {
    switch (type) {
    case TN_ELEMENT_I8: return ((const int8_t *)data)[i];
    case TN_ELEMENT_I32: return ((const int32_t *)data)[i];
    case TN_ELEMENT_I64: return ((const int64_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

/* Wraps. Bools: is it other than 0? */
__device__ __forceinline__ void store_integer(int type, void *data, int64_t i, int64_t x) {
    switch (type) {
    case TN_ELEMENT_BOOL: ((uint8_t *)data)[i] = x != 0; break;
    case TN_ELEMENT_I32: ((int32_t *)data)[i] = (int32_t)x; break;
    case TN_ELEMENT_I64: ((int64_t *)data)[i] = x; break;
    default: ((uint8_t *)data)[i] = (uint8_t)x; break;
    }
}

/* An index among the inputs: int64 or int32. */
__device__ __forceinline__ int64_t load_index(bool is_64, const void *data, int64_t i) {
    return is_64 ? ((const int64_t *)data)[i] : ((const int32_t *)data)[i];
}

/* One element of 1, 2, 4, 8 or 16 bytes; places count in elements. src null: zeros. */
template <typename T> __device__ __forceinline__ void move_one(void *dst, int64_t to, const void *src, int64_t from) {
    ((T *)dst)[to] = src != nullptr ? ((const T *)src)[from] : T{};
}
__device__ __forceinline__ void move_element(int num_bytes, void *dst, int64_t to, const void *src, int64_t from) {
    switch (num_bytes) {
    case 1: move_one<uint8_t>(dst, to, src, from); break;
    case 2: move_one<uint16_t>(dst, to, src, from); break;
    case 4: move_one<uint32_t>(dst, to, src, from); break;
    case 8: move_one<uint64_t>(dst, to, src, from); break;
    default: move_one<uint4>(dst, to, src, from); break;
    }
}

/* This thread's element (or unit of bytes) among constants[TN_ELEMENTS_COUNT]; false: it has none. Waits for the kernel before. */
__device__ __forceinline__ bool find_own(const tn_cuda_args &args, int64_t *out_index) {
    *out_index = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    let_next_start();
    wait_for_previous();
    return *out_index < args.constants[TN_ELEMENTS_COUNT];
}

#endif
