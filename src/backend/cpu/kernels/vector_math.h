/* SPDX-License-Identifier: Apache-2.0
 *
 * vector_math.h: exp, log, tanh, erf and the activations made of them, each as one chain of fused multiply-adds on sixteen
 * lanes: the same bits at every instruction set level, no libm.
 *
 * Largest errors that vector_math_test.c measures: of the value exp 7e-8, log 1.3e-7, tanh 1.8e-7; erf 1.9e-7 absolute (near 0 it
 * loses its last digits: it is made for GELU); SiLU and the GELUs 1.4e-7 of |x|.
 */
#ifndef TN_BACKEND_CPU_VECTOR_MATH_H_
#define TN_BACKEND_CPU_VECTOR_MATH_H_

#include "backend/cpu/kernels/vec16.h"
#include "op/op.h"

#define V_LN2_HIGH 0x1.62e4p-1f /* 16 bits: n · V_LN2_HIGH is exact */
#define V_LN2_LOW  0x1.7f7d1cp-20f

/* 2^n by its exponent; −126 ≤ n ≤ 127 */
V_INLINE vf v_power_of_two(vi n) {
    return v_as_float(vi_shl(vi_add(n, vi_set1(127)), 23));
}

/* exp(x) = 2^n · exp(r), n = rint(x / ln 2), |r| ≤ ln 2 / 2. Sets r and n; x in [−126 ln 2, 128 ln 2] */
V_INLINE vi v_exp_reduce(vf x, vf *r) {
    vf n = v_rint(v_mul(x, v_set1(0x1.715476p+0f)));
    *r = v_fma(n, v_set1(-V_LN2_LOW), v_fma(n, v_set1(-V_LN2_HIGH), x));
    return v_to_int(n);
}

/* (exp(r) − 1) / r by its series, |r| ≤ ln 2 / 2: the first term left out is 6e-9 of the sum */
V_INLINE vf v_exp_series(vf r) {
    vf p = v_set1(1.0f / 5040.0f);
    p = v_fma(p, r, v_set1(1.0f / 720.0f));
    p = v_fma(p, r, v_set1(1.0f / 120.0f));
    p = v_fma(p, r, v_set1(1.0f / 24.0f));
    p = v_fma(p, r, v_set1(1.0f / 6.0f));
    p = v_fma(p, r, v_set1(0.5f));
    return v_fma(p, r, v_set1(1.0f));
}

/* Below −87.3 (where results would be denormal) exactly 0; above 88.7 infinity; a NaN stays one. */
V_INLINE vf v_exp(vf x) {
    vf least = v_set1(-87.33654f), most = v_set1(88.9f), r;
    vf clamped = v_max(least, v_min(most, x));
    vi n = v_exp_reduce(clamped, &r), half = vi_sar(n, 1);
    vf p = v_fma(v_exp_series(r), r, v_set1(1.0f));
    p = v_mul(v_mul(p, v_power_of_two(half)), v_power_of_two(vi_sub(n, half)));
    return v_select(v_less(x, least), v_zero(), p);
}

/* exp(x) for x ≤ 0 (or NaN): softmax, where nothing overflows */
V_INLINE vf v_exp_negative(vf x) {
    vf least = v_set1(-87.33654f), r;
    vi n = v_exp_reduce(v_max(least, x), &r);
    vf p = v_mul(v_fma(v_exp_series(r), r, v_set1(1.0f)), v_power_of_two(n));
    return v_select(v_less(x, least), v_zero(), p);
}

/* Positive normal x: m · 2^e with m in [√½, √2), log m = 2 artanh((m − 1) / (m + 1)). */
V_INLINE vf v_log_positive(vf x) {
    vi bits = v_as_int(x), exponent = vi_sar(vi_sub(bits, vi_set1(0x3f3504f3)), 23);
    vf m = v_as_float(vi_sub(bits, vi_shl(exponent, 23))), e = v_from_int(exponent);
    vf s = v_div(v_sub(m, v_set1(1.0f)), v_add(m, v_set1(1.0f))), q = v_mul(s, s);
    vf p = v_set1(2.0f / 11.0f);
    p = v_fma(p, q, v_set1(2.0f / 9.0f));
    p = v_fma(p, q, v_set1(2.0f / 7.0f));
    p = v_fma(p, q, v_set1(2.0f / 5.0f));
    p = v_fma(p, q, v_set1(2.0f / 3.0f));
    p = v_fma(v_mul(p, q), s, v_mul(e, v_set1(V_LN2_LOW)));
    return v_fma(e, v_set1(V_LN2_HIGH), v_fma(s, v_set1(2.0f), p));
}

/* log(0) −infinity, of a negative NaN, of infinity itself; denormals as their scaled self */
V_INLINE vf v_log(vf x) {
    vm small = v_less(x, v_set1(0x1p-126f));
    vf scaled = v_select(small, v_mul(x, v_set1(0x1p24f)), x);
    vf y = v_sub(v_log_positive(scaled), v_select(small, v_set1(16.635532f), v_zero()));
    vf infinity = v_set1(INFINITY);
    y = v_select(v_less(x, infinity), y, v_add(x, x));
    y = v_select(v_equal(x, v_zero()), v_negate(infinity), y);
    return v_select(v_less(x, v_zero()), v_set1(NAN), y);
}

/* tanh |x| = e / (e + 2), e = exp(2|x|) − 1 = 2^n · (series · r) + (2^n − 1): accurate near 0 too. */
V_INLINE vf v_tanh(vf x) {
    vf magnitude = v_min(v_set1(15.0f), v_abs(x)), r;
    vi n = v_exp_reduce(v_add(magnitude, magnitude), &r);
    vf power = v_power_of_two(n);
    vf e = v_fma(power, v_mul(v_exp_series(r), r), v_sub(power, v_set1(1.0f)));
    vf y = v_div(e, v_add(e, v_set1(2.0f)));
    return v_as_float(vi_or(v_as_int(y), vi_and(v_as_int(x), vi_set1(INT32_MIN))));
}

V_INLINE vf v_sigmoid(vf x) {
    return v_div(v_set1(1.0f), v_add(v_set1(1.0f), v_exp(v_negate(x))));
}
V_INLINE vf v_silu(vf x) {
    return v_div(x, v_add(v_set1(1.0f), v_exp(v_negate(x))));
}

/* erfc(x) for x ≥ 0 = exp(−x²) · P(y) / (1 + 2x), y = (x − 2) / (x + 2): P interpolates at Chebyshev's points on [0, 9.3].
 * exp(−x²) from x² and what rounding it lost. */
V_INLINE vf v_erfc_positive(vf x) {
    vf square = v_mul(x, x), lost = v_fma(x, x, v_negate(square));
    vf y = v_div(v_sub(x, v_set1(2.0f)), v_add(x, v_set1(2.0f)));
    vf p = v_set1(-4.294795303e-04f);
    p = v_fma(p, y, v_set1(-1.276178457e-03f));
    p = v_fma(p, y, v_set1(1.323564878e-03f));
    p = v_fma(p, y, v_set1(8.671376786e-03f));
    p = v_fma(p, y, v_set1(-8.056293959e-03f));
    p = v_fma(p, y, v_set1(-5.421529667e-02f));
    p = v_fma(p, y, v_set1(1.640539720e-01f));
    p = v_fma(p, y, v_set1(-1.660304080e-01f));
    p = v_fma(p, y, v_set1(-9.276390365e-02f));
    p = v_fma(p, y, v_set1(1.276978378e+00f));
    vf e = v_exp_negative(v_negate(square));
    e = v_fma(e, v_negate(lost), e);
    return v_mul(e, v_div(p, v_fma(x, v_set1(2.0f), v_set1(1.0f))));
}

V_INLINE vf v_erf(vf x) {
    vf y = v_sub(v_set1(1.0f), v_erfc_positive(v_min(v_set1(9.3f), v_abs(x))));
    return v_as_float(vi_or(v_as_int(y), vi_and(v_as_int(x), vi_set1(INT32_MIN))));
}

/* x · Φ(x): with Φ(x) = erfc(−x/√2)/2 for x < 0 and 1 − erfc(x/√2)/2 else, so the tails do not cancel. */
V_INLINE vf v_gelu_erf(vf x) {
    vf tail = v_mul(v_set1(0.5f), v_erfc_positive(v_min(v_set1(9.3f), v_mul(v_abs(x), v_set1(0x1.6a09e6p-1f)))));
    return v_mul(x, v_select(v_less(x, v_zero()), tail, v_sub(v_set1(1.0f), tail)));
}
/* 0.5 · x · (1 + tanh(u)) = x · sigmoid(2u) */
V_INLINE vf v_gelu_tanh(vf x) {
    vf u = v_mul(v_set1(0x1.988454p-1f), v_fma(v_mul(v_set1(0.044715f), v_mul(x, x)), x, x));
    return v_mul(x, v_sigmoid(v_add(u, u)));
}
V_INLINE vf v_gelu_quick(vf x) {
    return v_mul(x, v_sigmoid(v_mul(v_set1(1.702f), x)));
}

V_INLINE vf v_activate(tn_activation_type type, vf x) {
    switch (type) {
    case TN_ACTIVATION_RELU: return v_max(v_zero(), x);
    case TN_ACTIVATION_SIGMOID: return v_sigmoid(x);
    case TN_ACTIVATION_TANH: return v_tanh(x);
    case TN_ACTIVATION_SILU: return v_silu(x);
    case TN_ACTIVATION_GELU_ERF: return v_gelu_erf(x);
    case TN_ACTIVATION_GELU_TANH: return v_gelu_tanh(x);
    case TN_ACTIVATION_GELU_QUICK: return v_gelu_quick(x);
    default: return x;
    }
}

#endif
