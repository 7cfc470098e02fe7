/* SPDX-License-Identifier: Apache-2.0
 *
 * vec16_c.h: the words of vec16.h as arrays in plain C. Included by it only.
 */
#ifndef TN_BACKEND_CPU_VEC16_C_H_
#define TN_BACKEND_CPU_VEC16_C_H_

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
V_INLINE vi vi_load_i8(const int8_t *p) {
    V_EACH(vi, i, p[n]);
}
V_INLINE vi vi_load_i16(const int16_t *p) {
    V_EACH(vi, i, p[n]);
}
V_INLINE void vi_store_i16(int16_t *p, vi a) {
    for (int n = 0; n < LANES; n++) p[n] = (int16_t)a.i[n];
}
V_INLINE vb vb_load(const uint8_t *p) {
    vb result;
    memcpy(result.b, p, sizeof result.b);
    return result;
}
V_INLINE void vb_store(uint8_t *p, vb a) {
    memcpy(p, a.b, sizeof a.b);
}
V_INLINE vb vb_low_nibbles(vb a) {
    for (int n = 0; n < 4 * LANES; n++) a.b[n] &= 15;
    return a;
}
V_INLINE vb vb_high_nibbles(vb a) {
    for (int n = 0; n < 4 * LANES; n++) a.b[n] >>= 4;
    return a;
}
V_INLINE vb vb_bits(vb a, int by, uint8_t mask) {
    for (int n = 0; n < 4 * LANES; n++) a.b[n] = (uint8_t)((by >= 0 ? a.b[n] >> by : a.b[n] << -by) & mask);
    return a;
}
V_INLINE vb vb_or(vb a, vb b) {
    for (int n = 0; n < 4 * LANES; n++) a.b[n] |= b.b[n];
    return a;
}
V_INLINE vb vb_lookup(const uint8_t table[16], vb a) {
    for (int n = 0; n < 4 * LANES; n++) a.b[n] = table[a.b[n]];
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
