/* SPDX-License-Identifier: Apache-2.0
 *
 * vec16.h: sixteen lanes of float32, int32 or four bytes, at the instruction set level of the file that includes it: AVX-512
 * with VNNI, pairs of AVX2 vectors, or arrays in plain C. Kernels are written once in these words and compiled once a level;
 * every operation rounds alike on all of them, so the bits of a kernel do not depend on the level.
 *
 * v_max(a, b) and v_min(a, b) return b if either is a NaN. v_dot4 adds the products of four unsigned weights (each ≤ 127 for
 * v_dot4, any byte for v_dot4_wide) with four signed activations to each lane, exactly.
 */
#ifndef TN_BACKEND_CPU_VEC16_H_
#define TN_BACKEND_CPU_VEC16_H_

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "op/dtype.h"

#define LANES 16

#if defined(__AVX2__) && defined(__FMA__)
/* Kernels take their shapes as constant arguments and keep arrays of vectors in registers: all of it must be inlined. */
#define V_INLINE static inline __attribute__((always_inline, unused))
#define V_UNROLL _Pragma("GCC unroll 8")
#if defined(__AVX512F__)
#define V_TILE_ROWS   8 /* rows of a register tile of one strip */
#define V_TILE_STRIPS 4 /* strips of one of one row */
#else
#define V_TILE_ROWS   4
#define V_TILE_STRIPS 2
#endif
#else
#define V_INLINE static inline __attribute__((unused))
#define V_UNROLL
#define V_TILE_ROWS   1
#define V_TILE_STRIPS 1
#endif
#define V_TILE_SUMS V_TILE_ROWS /* the larger of both */

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

/* The fixed tree of v_sum: lane n + lane n+8, then 4, 2, 1. */
V_INLINE float v_sum_256(__m256 a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
V_INLINE float v_largest_256(__m256 a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}
V_INLINE int32_t vi_sum_256(__m256i a) {
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}
#endif

#if defined(__AVX512F__) && defined(__AVX512VNNI__)
#define TN_ISA_SUFFIX avx512
#include "backend/cpu/kernels/vec16_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#define TN_ISA_SUFFIX avx2
#include "backend/cpu/kernels/vec16_avx2.h"
#else
#define TN_ISA_SUFFIX c
#include "backend/cpu/kernels/vec16_c.h"
#endif

/* tn_cpu_norm → tn_cpu_norm_avx512: one name a level. */
#define TN_PASTE_(a, b)   a##_##b
#define TN_PASTE(a, b)    TN_PASTE_(a, b)
#define TN_ISA_NAME(name) TN_PASTE(name, TN_ISA_SUFFIX)

V_INLINE vf v_load_bf16(const uint16_t *p) {
    float values[LANES];
    for (int n = 0; n < LANES; n++) values[n] = tn_f32_from_bf16(p[n]);
    return v_load(values);
}

V_INLINE vf v_abs(vf a) {
    return v_as_float(vi_and(v_as_int(a), vi_set1(INT32_MAX)));
}
V_INLINE vf v_negate(vf a) {
    return v_sub(v_set1(-0.0f), a);
}

/* `n` of the next LANES values, zeros behind. */
V_INLINE vf v_load_upto(const float *p, int64_t n) {
    return n >= LANES ? v_load(p) : v_load_part(p, n);
}
V_INLINE void v_store_upto(float *p, vf a, int64_t n) {
    if (n >= LANES) {
        v_store(p, a);
    } else {
        v_store_part(p, a, n);
    }
}

#endif
