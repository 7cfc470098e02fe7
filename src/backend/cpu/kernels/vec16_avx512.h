/* SPDX-License-Identifier: Apache-2.0
 *
 * vec16_avx512.h: the words of vec16.h with AVX-512 and VNNI. Included by it only.
 */
#ifndef TN_BACKEND_CPU_VEC16_AVX512_H_
#define TN_BACKEND_CPU_VEC16_AVX512_H_

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
V_INLINE vi vi_load_i8(const int8_t *p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
V_INLINE vi vi_load_i16(const int16_t *p) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
V_INLINE void vi_store_i16(int16_t *p, vi a) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(a));
}
V_INLINE vb vb_load(const uint8_t *p) {
    return _mm512_loadu_si512(p);
}
V_INLINE void vb_store(uint8_t *p, vb a) {
    _mm512_storeu_si512(p, a);
}
V_INLINE vb vb_low_nibbles(vb a) {
    return _mm512_and_si512(a, _mm512_set1_epi8(15));
}
V_INLINE vb vb_high_nibbles(vb a) {
    return _mm512_and_si512(_mm512_srli_epi32(a, 4), _mm512_set1_epi8(15));
}
/* Bits of `mask` of each byte, moved down by `by` before (up: by < 0); none crosses a byte's edge. */
V_INLINE vb vb_bits(vb a, int by, uint8_t mask) {
    typedef uint32_t words __attribute__((vector_size(64)));
    return _mm512_and_si512((vb)(by >= 0 ? (words)a >> by : (words)a << -by), _mm512_set1_epi8((char)mask));
}
V_INLINE vb vb_or(vb a, vb b) {
    return _mm512_or_si512(a, b);
}
/* table[a] for bytes a < 16 */
V_INLINE vb vb_lookup(const uint8_t table[16], vb a) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table)), a);
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

#endif
