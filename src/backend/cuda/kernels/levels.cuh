/* SPDX-License-Identifier: Apache-2.0
 *
 * levels.cuh: elements of caches that hold levels and a scale a head of a token, by the rule of op/kv_geometry.h.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_LEVELS_CUH_
#define TN_BACKEND_CUDA_KERNELS_LEVELS_CUH_

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kv_layout.h"

struct level16 { /* int16 */
    uint16_t bits;
};
struct level8 { /* int8 */
    uint8_t bits;
};
struct level_e4m3 {
    uint8_t bits;
};

/* L: what the largest magnitude of a head becomes; 0: elements are values. */
template <typename T> __device__ __forceinline__ constexpr float top_level() {
    return 0.0f;
}
template <> __device__ __forceinline__ constexpr float top_level<level16>() {
    return 32767.0f;
}
template <> __device__ __forceinline__ constexpr float top_level<level8>() {
    return 127.0f;
}
template <> __device__ __forceinline__ constexpr float top_level<level_e4m3>() {
    return 448.0f;
}
/* Elements in whose place a scale stands; 0: there are none. */
template <typename T> __device__ __forceinline__ constexpr int scale_elements() {
    return top_level<T>() > 0.0f ? (int)(sizeof(float) / sizeof(T)) : 0;
}

__device__ __forceinline__ float level_to_float(level8 x) {
    return (float)(int8_t)x.bits;
}
/* As a float16 of the same bits the exponent is 8 too small. Levels are no NaN. */
__device__ __forceinline__ float level_to_float(level_e4m3 x) {
    return 256.0f * to_float(f16{(uint16_t)((x.bits & 0x80u) << 8 | (x.bits & 0x7fu) << 7)});
}

/* Rounds half to even. */
template <typename T> __device__ __forceinline__ T level_from_float(float x);
template <> __device__ __forceinline__ level16 level_from_float<level16>(float x) {
    return level16{(uint16_t)(int)rintf(x)};
}
template <> __device__ __forceinline__ level8 level_from_float<level8>(float x) {
    return level8{(uint8_t)(int)rintf(x)};
}
template <> __device__ __forceinline__ level_e4m3 level_from_float<level_e4m3>(float x) {
    uint32_t bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu, code;
    if (magnitude < 0x3c800000u) { /* below 2^-6: steps of 2^-9 */
        code = (uint32_t)rintf(512.0f * __uint_as_float(magnitude));
    } else {
        code = ((magnitude + 0x7ffffu + (magnitude >> 20 & 1u)) >> 20) - (120u << 3);
        if (code > 0x7eu) code = 0x7eu; /* 448 */
    }
    return level_e4m3{(uint8_t)(code | bits >> 24 & 0x80u)};
}

/* Scale, and what values are multiplied by to get levels, of a head whose largest magnitude this is; NaN: not all are finite. */
template <typename T> __device__ __forceinline__ void find_scale(float largest, float *out_scale, float *out_inverse) {
    *out_scale = largest / top_level<T>();
    *out_inverse = top_level<T>() / largest;
    if (largest < 0x1p-111f) *out_scale = 0.0f, *out_inverse = 0.0f;
    if (!(largest < INFINITY)) *out_scale = NAN, *out_inverse = 0.0f;
}
/* Of a head of which every lane knows the largest magnitude of its own values, NaN where one is not finite. */
template <typename T> __device__ __forceinline__ void find_warp_scale(float largest, float *out_scale, float *out_inverse) {
    bool is_finite = !__any_sync(0xffffffffu, !(largest < INFINITY));
    find_scale<T>(is_finite ? warp_max(largest) : NAN, out_scale, out_inverse);
}

#endif
