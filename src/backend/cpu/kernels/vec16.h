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
#define V_TILE_ROWS 8 /* rows of a register tile */
#else
#define V_TILE_ROWS 4
#endif
#else
#define V_INLINE static inline __attribute__((unused))
#define V_UNROLL
#define V_TILE_ROWS 1
#endif

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

typedef __m512 vf;
typedef __m512i vi;
typedef __m512i vb; /* 64 bytes: four a lane */
typedef __mmask16 vm;

V_INLINE vf v_zero(void) {
    return _mm512_setzero_ps();
}
V_INLINE vf v_set1(float x) {
    return _mm512_set1_ps(x);
}
V_INLINE vf v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V_INLINE void v_store(float *p, vf a) {
    _mm512_storeu_ps(p, a);
}
V_INLINE vf v_load_part(const float *p, int64_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
V_INLINE void v_store_part(float *p, vf a, int64_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), a);
}
V_INLINE vf v_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
V_INLINE vf v_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
V_INLINE vf v_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
V_INLINE vf v_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
V_INLINE vf v_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
V_INLINE vf v_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
V_INLINE vf v_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
V_INLINE vf v_sqrt(vf a) {
    return _mm512_sqrt_ps(a);
}
V_INLINE vf v_rint(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
V_INLINE vf v_floor(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
V_INLINE vf v_ceil(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
V_INLINE vm v_less(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
V_INLINE vm v_equal(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
V_INLINE vf v_select(vm m, vf a, vf b) {
    return _mm512_mask_blend_ps(m, b, a);
}
/* lanes first ≤ lane < end */
V_INLINE vm v_mask_range(int64_t first, int64_t end) {
    uint32_t upto = end >= LANES ? 0xffffu : end <= 0 ? 0u : (1u << end) - 1u;
    uint32_t below = first >= LANES ? 0xffffu : first <= 0 ? 0u : (1u << first) - 1u;
    return (__mmask16)(upto & ~below);
}
V_INLINE vi v_to_int(vf a) {
    return _mm512_cvtps_epi32(a);
}
V_INLINE vf v_from_int(vi a) {
    return _mm512_cvtepi32_ps(a);
}
V_INLINE vi v_as_int(vf a) {
    return _mm512_castps_si512(a);
}
V_INLINE vf v_as_float(vi a) {
    return _mm512_castsi512_ps(a);
}
V_INLINE vi vi_zero(void) {
    return _mm512_setzero_si512();
}
V_INLINE vi vi_set1(int32_t x) {
    return _mm512_set1_epi32(x);
}
V_INLINE vi vi_load(const int32_t *p) {
    return _mm512_loadu_si512(p);
}
V_INLINE void vi_store(int32_t *p, vi a) {
    _mm512_storeu_si512(p, a);
}
V_INLINE vi vi_add(vi a, vi b) {
    return _mm512_add_epi32(a, b);
}
V_INLINE vi vi_sub(vi a, vi b) {
    return _mm512_sub_epi32(a, b);
}
V_INLINE vi vi_and(vi a, vi b) {
    return _mm512_and_si512(a, b);
}
V_INLINE vi vi_or(vi a, vi b) {
    return _mm512_or_si512(a, b);
}
#define vi_shl(a, n) _mm512_slli_epi32((a), (n))
#define vi_shr(a, n) _mm512_srli_epi32((a), (n)) /* logical */
#define vi_sar(a, n) _mm512_srai_epi32((a), (n)) /* arithmetic */
V_INLINE vf v_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
V_INLINE void v_store_f16(uint16_t *p, vf a) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V_INLINE void vi_store_i8(int8_t *p, vi a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(a));
}
V_INLINE vb vb_load(const uint8_t *p) {
    return _mm512_loadu_si512(p);
}
V_INLINE vb vb_low_nibbles(vb a) {
    return _mm512_and_si512(a, _mm512_set1_epi8(15));
}
V_INLINE vb vb_high_nibbles(vb a) {
    return _mm512_and_si512(_mm512_srli_epi32(a, 4), _mm512_set1_epi8(15));
}
/* By hand because gcc 12 makes two instructions of it: a broadcast, then the product. Up to 40 % on tiles of 8 rows. */
V_INLINE vi v_dot4(vi sum, vb weights, const int8_t *four) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(weights), "m"(*(const int8_t(*)[4])four));
    return sum;
}
#define v_dot4_wide v_dot4
V_INLINE float v_sum(vf a) {
    return v_sum_256(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
}
V_INLINE float v_largest(vf a) {
    return v_largest_256(_mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
}
V_INLINE int32_t vi_sum(vi a) {
    return vi_sum_256(_mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)));
}
V_INLINE bool v_all(vm m) {
    return m == 0xffff;
}
V_INLINE bool v_any(vm m) {
    return m != 0;
}
V_INLINE void v_prefetch(const void *p) {
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}
V_INLINE void v_prefetch_l2(const void *p) {
    _mm_prefetch((const char *)p, _MM_HINT_T1);
}

#elif defined(__AVX2__) && defined(__FMA__)
#define TN_ISA_SUFFIX avx2

typedef struct vf {
    __m256 a, b;
} vf;
typedef struct vi {
    __m256i a, b;
} vi;
typedef vi vb;
typedef vf vm;

#define V_BOTH(type, expression_a, expression_b) ((type){(expression_a), (expression_b)})
V_INLINE vf v_zero(void) {
    return V_BOTH(vf, _mm256_setzero_ps(), _mm256_setzero_ps());
}
V_INLINE vf v_set1(float x) {
    return V_BOTH(vf, _mm256_set1_ps(x), _mm256_set1_ps(x));
}
V_INLINE vf v_load(const float *p) {
    return V_BOTH(vf, _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
V_INLINE void v_store(float *p, vf a) {
    _mm256_storeu_ps(p, a.a), _mm256_storeu_ps(p + 8, a.b);
}
V_INLINE vf v_load_part(const float *p, int64_t n) {
    float buffer[LANES] = {0};
    memcpy(buffer, p, (size_t)n * sizeof *p);
    return v_load(buffer);
}
V_INLINE void v_store_part(float *p, vf a, int64_t n) {
    float buffer[LANES];
    v_store(buffer, a);
    memcpy(p, buffer, (size_t)n * sizeof *p);
}
V_INLINE vf v_add(vf a, vf b) {
    return V_BOTH(vf, _mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b));
}
V_INLINE vf v_sub(vf a, vf b) {
    return V_BOTH(vf, _mm256_sub_ps(a.a, b.a), _mm256_sub_ps(a.b, b.b));
}
V_INLINE vf v_mul(vf a, vf b) {
    return V_BOTH(vf, _mm256_mul_ps(a.a, b.a), _mm256_mul_ps(a.b, b.b));
}
V_INLINE vf v_div(vf a, vf b) {
    return V_BOTH(vf, _mm256_div_ps(a.a, b.a), _mm256_div_ps(a.b, b.b));
}
V_INLINE vf v_fma(vf a, vf b, vf c) {
    return V_BOTH(vf, _mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b));
}
V_INLINE vf v_max(vf a, vf b) {
    return V_BOTH(vf, _mm256_max_ps(a.a, b.a), _mm256_max_ps(a.b, b.b));
}
V_INLINE vf v_min(vf a, vf b) {
    return V_BOTH(vf, _mm256_min_ps(a.a, b.a), _mm256_min_ps(a.b, b.b));
}
V_INLINE vf v_sqrt(vf a) {
    return V_BOTH(vf, _mm256_sqrt_ps(a.a), _mm256_sqrt_ps(a.b));
}
#define V_ROUND(x, mode)                         V_BOTH(vf, _mm256_round_ps((x).a, (mode) | _MM_FROUND_NO_EXC), _mm256_round_ps((x).b, (mode) | _MM_FROUND_NO_EXC))
V_INLINE vf v_rint(vf a) {
    return V_ROUND(a, _MM_FROUND_TO_NEAREST_INT);
}
V_INLINE vf v_floor(vf a) {
    return V_ROUND(a, _MM_FROUND_TO_NEG_INF);
}
V_INLINE vf v_ceil(vf a) {
    return V_ROUND(a, _MM_FROUND_TO_POS_INF);
}
V_INLINE vm v_less(vf a, vf b) {
    return V_BOTH(vf, _mm256_cmp_ps(a.a, b.a, _CMP_LT_OQ), _mm256_cmp_ps(a.b, b.b, _CMP_LT_OQ));
}
V_INLINE vm v_equal(vf a, vf b) {
    return V_BOTH(vf, _mm256_cmp_ps(a.a, b.a, _CMP_EQ_OQ), _mm256_cmp_ps(a.b, b.b, _CMP_EQ_OQ));
}
V_INLINE vf v_select(vm m, vf a, vf b) {
    return V_BOTH(vf, _mm256_blendv_ps(b.a, a.a, m.a), _mm256_blendv_ps(b.b, a.b, m.b));
}
V_INLINE vm v_mask_range(int64_t first, int64_t end) {
    static const float lanes[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    float low = first < 0 ? 0.0f : first > LANES ? (float)LANES : (float)first;
    float high = end < 0 ? 0.0f : end > LANES ? (float)LANES : (float)end;
    vf lane = v_load(lanes), below = v_set1(high), from = v_set1(low - 0.5f);
    vm under = v_less(lane, below), over = v_less(from, lane);
    return V_BOTH(vf, _mm256_and_ps(under.a, over.a), _mm256_and_ps(under.b, over.b));
}
V_INLINE vi v_to_int(vf a) {
    return V_BOTH(vi, _mm256_cvtps_epi32(a.a), _mm256_cvtps_epi32(a.b));
}
V_INLINE vf v_from_int(vi a) {
    return V_BOTH(vf, _mm256_cvtepi32_ps(a.a), _mm256_cvtepi32_ps(a.b));
}
V_INLINE vi v_as_int(vf a) {
    return V_BOTH(vi, _mm256_castps_si256(a.a), _mm256_castps_si256(a.b));
}
V_INLINE vf v_as_float(vi a) {
    return V_BOTH(vf, _mm256_castsi256_ps(a.a), _mm256_castsi256_ps(a.b));
}
V_INLINE vi vi_zero(void) {
    return V_BOTH(vi, _mm256_setzero_si256(), _mm256_setzero_si256());
}
V_INLINE vi vi_set1(int32_t x) {
    return V_BOTH(vi, _mm256_set1_epi32(x), _mm256_set1_epi32(x));
}
V_INLINE vi vi_load(const int32_t *p) {
    return V_BOTH(vi, _mm256_loadu_si256((const __m256i *)(const void *)p), _mm256_loadu_si256((const __m256i *)(const void *)(p + 8)));
}
V_INLINE void vi_store(int32_t *p, vi a) {
    _mm256_storeu_si256((__m256i *)(void *)p, a.a), _mm256_storeu_si256((__m256i *)(void *)(p + 8), a.b);
}
V_INLINE vi vi_add(vi a, vi b) {
    return V_BOTH(vi, _mm256_add_epi32(a.a, b.a), _mm256_add_epi32(a.b, b.b));
}
V_INLINE vi vi_sub(vi a, vi b) {
    return V_BOTH(vi, _mm256_sub_epi32(a.a, b.a), _mm256_sub_epi32(a.b, b.b));
}
V_INLINE vi vi_and(vi a, vi b) {
    return V_BOTH(vi, _mm256_and_si256(a.a, b.a), _mm256_and_si256(a.b, b.b));
}
V_INLINE vi vi_or(vi a, vi b) {
    return V_BOTH(vi, _mm256_or_si256(a.a, b.a), _mm256_or_si256(a.b, b.b));
}
#define vi_shl(x, n)                             V_BOTH(vi, _mm256_slli_epi32((x).a, (n)), _mm256_slli_epi32((x).b, (n)))
#define vi_shr(x, n)                             V_BOTH(vi, _mm256_srli_epi32((x).a, (n)), _mm256_srli_epi32((x).b, (n)))
#define vi_sar(x, n)                             V_BOTH(vi, _mm256_srai_epi32((x).a, (n)), _mm256_srai_epi32((x).b, (n)))
V_INLINE vf v_load_f16(const uint16_t *p) {
    return V_BOTH(vf, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p)),
                  _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p + 8))));
}
V_INLINE void v_store_f16(uint16_t *p, vf a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(a.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(void *)(p + 8), _mm256_cvtps_ph(a.b, _MM_FROUND_TO_NEAREST_INT));
}
V_INLINE void vi_store_i8(int8_t *p, vi a) {
    int32_t wide[LANES];
    vi_store(wide, a);
    for (int i = 0; i < LANES; i++) p[i] = (int8_t)wide[i];
}
V_INLINE vb vb_load(const uint8_t *p) {
    return vi_load((const int32_t *)(const void *)p);
}
V_INLINE vb vb_low_nibbles(vb a) {
    return vi_and(a, vi_set1(0x0f0f0f0f));
}
V_INLINE vb vb_high_nibbles(vb a) {
    return vi_and(vi_shr(a, 4), vi_set1(0x0f0f0f0f));
}
/* pairs of products fit 16 bits: 2 · 127 · 128 < 32,768 */
V_INLINE __m256i dot4_half(__m256i sum, __m256i weights, __m256i x) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(weights, x), _mm256_set1_epi16(1)));
}
V_INLINE vi v_dot4(vi sum, vb weights, const int8_t *four) {
    int32_t bytes;
    memcpy(&bytes, four, sizeof bytes);
    __m256i x = _mm256_set1_epi32(bytes);
    return V_BOTH(vi, dot4_half(sum.a, weights.a, x), dot4_half(sum.b, weights.b, x));
}
/* the top bit of a weight apart, else a pair of products could saturate: 2 · 128 · −128 is the least 16-bit number, 2 · 128 · 127 fits */
V_INLINE vi v_dot4_wide(vi sum, vb weights, const int8_t *four) {
    vi top = vi_set1((int32_t)0x80808080u), rest = vi_set1(0x7f7f7f7f);
    return v_dot4(v_dot4(sum, vi_and(weights, rest), four), vi_and(weights, top), four);
}
V_INLINE float v_sum(vf a) {
    return v_sum_256(_mm256_add_ps(a.a, a.b));
}
V_INLINE float v_largest(vf a) {
    return v_largest_256(_mm256_max_ps(a.a, a.b));
}
V_INLINE int32_t vi_sum(vi a) {
    return vi_sum_256(_mm256_add_epi32(a.a, a.b));
}
V_INLINE bool v_all(vm m) {
    return _mm256_movemask_ps(_mm256_and_ps(m.a, m.b)) == 0xff;
}
V_INLINE bool v_any(vm m) {
    return _mm256_movemask_ps(_mm256_or_ps(m.a, m.b)) != 0;
}
V_INLINE void v_prefetch(const void *p) {
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}
V_INLINE void v_prefetch_l2(const void *p) {
    _mm_prefetch((const char *)p, _MM_HINT_T1);
}

#else
#define TN_ISA_SUFFIX c

typedef struct vf {
    float f[LANES];
} vf;
typedef struct vi {
    int32_t i[LANES];
} vi;
typedef struct vb {
    uint8_t b[4 * LANES];
} vb;
typedef struct vm {
    bool m[LANES];
} vm;

#define V_EACH(type, member, expression)                             \
    type result;                                                     \
    for (int n = 0; n < LANES; n++) result.member[n] = (expression); \
    return result
V_INLINE vf v_zero(void) {
    V_EACH(vf, f, 0.0f);
}
V_INLINE vf v_set1(float x) {
    V_EACH(vf, f, x);
}
V_INLINE vf v_load(const float *p) {
    V_EACH(vf, f, p[n]);
}
V_INLINE void v_store(float *p, vf a) {
    memcpy(p, a.f, sizeof a.f);
}
V_INLINE vf v_load_part(const float *p, int64_t count) {
    V_EACH(vf, f, n < count ? p[n] : 0.0f);
}
V_INLINE void v_store_part(float *p, vf a, int64_t n) {
    memcpy(p, a.f, (size_t)n * sizeof *p);
}
V_INLINE vf v_add(vf a, vf b) {
    V_EACH(vf, f, a.f[n] + b.f[n]);
}
V_INLINE vf v_sub(vf a, vf b) {
    V_EACH(vf, f, a.f[n] - b.f[n]);
}
V_INLINE vf v_mul(vf a, vf b) {
    V_EACH(vf, f, a.f[n] * b.f[n]);
}
V_INLINE vf v_div(vf a, vf b) {
    V_EACH(vf, f, a.f[n] / b.f[n]);
}
V_INLINE vf v_fma(vf a, vf b, vf c) {
    V_EACH(vf, f, __builtin_fmaf(a.f[n], b.f[n], c.f[n]));
}
V_INLINE vf v_max(vf a, vf b) {
    V_EACH(vf, f, a.f[n] > b.f[n] ? a.f[n] : b.f[n]);
}
V_INLINE vf v_min(vf a, vf b) {
    V_EACH(vf, f, a.f[n] < b.f[n] ? a.f[n] : b.f[n]);
}
V_INLINE vf v_sqrt(vf a) {
    V_EACH(vf, f, sqrtf(a.f[n]));
}
V_INLINE vf v_rint(vf a) {
    V_EACH(vf, f, rintf(a.f[n]));
}
V_INLINE vf v_floor(vf a) {
    V_EACH(vf, f, floorf(a.f[n]));
}
V_INLINE vf v_ceil(vf a) {
    V_EACH(vf, f, ceilf(a.f[n]));
}
V_INLINE vm v_less(vf a, vf b) {
    V_EACH(vm, m, a.f[n] < b.f[n]);
}
V_INLINE vm v_equal(vf a, vf b) {
    V_EACH(vm, m, a.f[n] == b.f[n]);
}
V_INLINE vf v_select(vm m, vf a, vf b) {
    V_EACH(vf, f, m.m[n] ? a.f[n] : b.f[n]);
}
V_INLINE vm v_mask_range(int64_t first, int64_t end) {
    V_EACH(vm, m, n >= first && n < end);
}
/* what the processor's conversion gives: the least integer for NaN and what does not fit */
V_INLINE vi v_to_int(vf a) {
    V_EACH(vi, i, fabsf(a.f[n]) < 0x1p31f ? (int32_t)rintf(a.f[n]) : INT32_MIN);
}
V_INLINE vf v_from_int(vi a) {
    V_EACH(vf, f, (float)a.i[n]);
}
V_INLINE vi v_as_int(vf a) {
    vi result;
    memcpy(&result, &a, sizeof result);
    return result;
}
V_INLINE vf v_as_float(vi a) {
    vf result;
    memcpy(&result, &a, sizeof result);
    return result;
}
V_INLINE vi vi_zero(void) {
    V_EACH(vi, i, 0);
}
V_INLINE vi vi_set1(int32_t x) {
    V_EACH(vi, i, x);
}
V_INLINE vi vi_load(const int32_t *p) {
    V_EACH(vi, i, p[n]);
}
V_INLINE void vi_store(int32_t *p, vi a) {
    memcpy(p, a.i, sizeof a.i);
}
V_INLINE vi vi_add(vi a, vi b) {
    V_EACH(vi, i, (int32_t)((uint32_t)a.i[n] + (uint32_t)b.i[n]));
}
V_INLINE vi vi_sub(vi a, vi b) {
    V_EACH(vi, i, (int32_t)((uint32_t)a.i[n] - (uint32_t)b.i[n]));
}
V_INLINE vi vi_and(vi a, vi b) {
    V_EACH(vi, i, a.i[n] & b.i[n]);
}
V_INLINE vi vi_or(vi a, vi b) {
    V_EACH(vi, i, a.i[n] | b.i[n]);
}
V_INLINE vi vi_shl(vi a, int by) {
    V_EACH(vi, i, (int32_t)((uint32_t)a.i[n] << by));
}
V_INLINE vi vi_shr(vi a, int by) {
    V_EACH(vi, i, (int32_t)((uint32_t)a.i[n] >> by));
}
V_INLINE vi vi_sar(vi a, int by) {
    V_EACH(vi, i, a.i[n] >> by);
}
V_INLINE vf v_load_f16(const uint16_t *p) {
    V_EACH(vf, f, tn_f32_from_f16(p[n]));
}
V_INLINE void v_store_f16(uint16_t *p, vf a) {
    for (int n = 0; n < LANES; n++) p[n] = tn_f16_from_f32(a.f[n]);
}
V_INLINE void vi_store_i8(int8_t *p, vi a) {
    for (int n = 0; n < LANES; n++) p[n] = (int8_t)a.i[n];
}
V_INLINE vb vb_load(const uint8_t *p) {
    vb result;
    memcpy(result.b, p, sizeof result.b);
    return result;
}
V_INLINE vb vb_low_nibbles(vb a) {
    for (int n = 0; n < 4 * LANES; n++) a.b[n] &= 15;
    return a;
}
V_INLINE vb vb_high_nibbles(vb a) {
    for (int n = 0; n < 4 * LANES; n++) a.b[n] >>= 4;
    return a;
}
V_INLINE vi v_dot4(vi sum, vb w, const int8_t *x) {
    V_EACH(vi, i, sum.i[n] + w.b[4 * n] * x[0] + w.b[4 * n + 1] * x[1] + w.b[4 * n + 2] * x[2] + w.b[4 * n + 3] * x[3]);
}
#define v_dot4_wide v_dot4
/* The fixed tree of v_sum: lane n + lane n+8, then 4, 2, 1. */
V_INLINE float v_sum(vf a) {
    float f[LANES];
    v_store(f, a);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int n = 0; n < half; n++) f[n] += f[n + half];
    return f[0];
}
V_INLINE float v_largest(vf a) {
    float f[LANES];
    v_store(f, a);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int n = 0; n < half; n++) f[n] = f[n] > f[n + half] ? f[n] : f[n + half];
    return f[0];
}
V_INLINE int32_t vi_sum(vi a) {
    int32_t i[LANES], sum = 0;
    vi_store(i, a);
    for (int n = 0; n < LANES; n++) sum += i[n];
    return sum;
}

V_INLINE bool v_all(vm m) {
    bool all = true;
    for (int n = 0; n < LANES; n++) all = all && m.m[n];
    return all;
}
V_INLINE bool v_any(vm m) {
    bool any = false;
    for (int n = 0; n < LANES; n++) any = any || m.m[n];
    return any;
}
V_INLINE void v_prefetch(const void *p) {
    (void)p;
}
V_INLINE void v_prefetch_l2(const void *p) {
    (void)p;
}

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
