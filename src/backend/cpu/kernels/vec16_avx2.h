/* SPDX-License-Identifier: Apache-2.0
 *
 * vec16_avx2.h: the words of vec16.h as pairs of AVX2 vectors. Included by it only.
 */
#ifndef TN_BACKEND_CPU_VEC16_AVX2_H_
#define TN_BACKEND_CPU_VEC16_AVX2_H_

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
#define V_ROUND(x, mode) V_BOTH(vf, _mm256_round_ps((x).a, (mode) | _MM_FROUND_NO_EXC), _mm256_round_ps((x).b, (mode) | _MM_FROUND_NO_EXC))
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
#define vi_shl(x, n) V_BOTH(vi, _mm256_slli_epi32((x).a, (n)), _mm256_slli_epi32((x).b, (n)))
#define vi_shr(x, n) V_BOTH(vi, _mm256_srli_epi32((x).a, (n)), _mm256_srli_epi32((x).b, (n)))
#define vi_sar(x, n) V_BOTH(vi, _mm256_srai_epi32((x).a, (n)), _mm256_srai_epi32((x).b, (n)))
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
V_INLINE vi vi_load_i8(const int8_t *p) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return V_BOTH(vi, _mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)));
}
V_INLINE vi vi_load_i16(const int16_t *p) {
    return V_BOTH(vi, _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)),
                  _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p + 8))));
}
V_INLINE void vi_store_i16(int16_t *p, vi a) {
    int32_t wide[LANES];
    vi_store(wide, a);
    for (int i = 0; i < LANES; i++) p[i] = (int16_t)wide[i];
}
V_INLINE vb vb_load(const uint8_t *p) {
    return vi_load((const int32_t *)(const void *)p);
}
V_INLINE void vb_store(uint8_t *p, vb a) {
    vi_store((int32_t *)(void *)p, a);
}
V_INLINE vb vb_low_nibbles(vb a) {
    return vi_and(a, vi_set1(0x0f0f0f0f));
}
V_INLINE vb vb_high_nibbles(vb a) {
    return vi_and(vi_shr(a, 4), vi_set1(0x0f0f0f0f));
}
V_INLINE __m256i bits_half(__m256i a, int by, uint8_t mask) {
    typedef uint32_t words __attribute__((vector_size(32)));
    return _mm256_and_si256((__m256i)(by >= 0 ? (words)a >> by : (words)a << -by), _mm256_set1_epi8((char)mask));
}
V_INLINE vb vb_bits(vb a, int by, uint8_t mask) {
    return V_BOTH(vb, bits_half(a.a, by, mask), bits_half(a.b, by, mask));
}
V_INLINE vb vb_or(vb a, vb b) {
    return vi_or(a, b);
}
V_INLINE vb vb_lookup(const uint8_t table[16], vb a) {
    __m256i entries = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
    return V_BOTH(vb, _mm256_shuffle_epi8(entries, a.a), _mm256_shuffle_epi8(entries, a.b));
}
/* By hand because gcc 12 adds a block's products up as a tree: it keeps them all first, in memory. */
V_INLINE __m256i add_in_order(__m256i sum, __m256i products) {
    __asm__("vpaddd %1, %0, %0" : "+x"(sum) : "x"(products));
    return sum;
}
/* pairs of products fit 16 bits: 2 · 127 · 128 < 32,768 */
V_INLINE __m256i dot4_half(__m256i sum, __m256i weights, __m256i x) {
    return add_in_order(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(weights, x), _mm256_set1_epi16(1)));
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
/* Both planes of activations at once: a third fewer instructions than one after the other, and half as many sums, which 16 registers
 * hold. v_dot4_joined is v_dot4_wide of the 16-bit numbers that v_join_planes makes: 32 products of 255 · 32,512 fit 32 bits. */
#define V_JOINED_PLANES 1
/* Of 16 columns: 256 · hi + lo as int16, of each four columns the first, third, second, fourth. */
V_INLINE void v_join_planes(const int8_t *hi, const int8_t *lo, int8_t *out) {
    __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)hi));
    __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)lo));
    __m256i x = _mm256_add_epi16(_mm256_slli_epi16(high, 8), low);
    x = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(x, 0xd8), 0xd8);
    _mm256_storeu_si256((__m256i *)(void *)out, x);
}
V_INLINE __m256i dot4_joined_half(__m256i sum, __m256i weights, __m256i even, __m256i odd) {
    sum = add_in_order(sum, _mm256_madd_epi16(_mm256_and_si256(weights, _mm256_set1_epi16(255)), even));
    return add_in_order(sum, _mm256_madd_epi16(_mm256_srli_epi16(weights, 8), odd));
}
V_INLINE vi v_dot4_joined(vi sum, vb weights, const int8_t *four) {
    int32_t first_and_third, second_and_fourth; /* one load of both is taken apart again */
    memcpy(&first_and_third, four, 4);
    memcpy(&second_and_fourth, four + 4, 4);
    __m256i even = _mm256_set1_epi32(first_and_third), odd = _mm256_set1_epi32(second_and_fourth);
    return V_BOTH(vi, dot4_joined_half(sum.a, weights.a, even, odd), dot4_joined_half(sum.b, weights.b, even, odd));
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

#endif
