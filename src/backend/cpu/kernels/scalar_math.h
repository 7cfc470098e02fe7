/* SPDX-License-Identifier: Apache-2.0
 *
 * scalar_math.h: functions of doubles for layers whose functions are too rare for sixteen lanes of float32, or whose values are
 * float64: each one chain of additions, products and divisions, so that all instruction set levels and machines give the same
 * bits. Errors of a few units in the last place of a double (scalar_math_test.c); only rint, floor, fmod and sqrt, which have one
 * right result, are libm's.
 */
#ifndef TN_BACKEND_CPU_SCALAR_MATH_H_
#define TN_BACKEND_CPU_SCALAR_MATH_H_

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define S_PI_HALF 0x1.921fb54442d18p+0
#define S_LN2     0x1.62e42fefa39efp-1

static inline double s_from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline uint64_t s_to_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
static inline double s_with_sign(double magnitude, double sign) {
    return s_from_bits((s_to_bits(magnitude) & ~((uint64_t)1 << 63)) | (s_to_bits(sign) & (uint64_t)1 << 63));
}
/* −1022 ≤ n ≤ 1023 */
static inline double s_power_of_two(int64_t n) {
    return s_from_bits((uint64_t)(n + 1023) << 52);
}

/* 2^n · exp(r), |r| ≤ ln 2 / 2; the series' first term left out is 5e-18 */
static inline double s_exp(double x) {
    if (x != x) return x;
    if (x > 709.79) return (double)INFINITY;
    if (x < -745.2) return 0.0;
    double n = rint(x * 0x1.71547652b82fep+0), r = x - n * 0x1.62e42feep-1 - n * 0x1.a39ef35793c76p-33, p = 1.0;
    for (int k = 13; k > 0; k--) p = 1.0 + p * r / (double)k;
    int64_t half = (int64_t)n / 2;
    return p * s_power_of_two(half) * s_power_of_two((int64_t)n - half);
}

/* e · ln 2 + 2 artanh((m − 1) / (m + 1)), m in [√½, √2) */
static inline double s_log(double x) {
    if (!(x > 0.0)) return x == 0.0 ? -(double)INFINITY : (double)NAN;
    if (x > 0x1.fffffffffffffp+1023) return x;
    int64_t shift = 0;
    if (x < 0x1p-1022) x *= 0x1p54, shift = -54;
    uint64_t bits = s_to_bits(x);
    int64_t e = (int64_t)((bits - 0x3fe6a09e667f3bcdu) >> 52);
    if (e > 2047) e -= 4096; /* the difference was negative */
    double m = s_from_bits(bits - ((uint64_t)e << 52)), s = (m - 1.0) / (m + 1.0), q = s * s, p = 0.0;
    for (int k = 23; k >= 3; k -= 2) p = q * (1.0 / (double)k + p);
    double exponent = (double)(e + shift);
    return exponent * 0x1.62e42feep-1 + (exponent * 0x1.a39ef35793c76p-33 + 2.0 * s * p + 2.0 * s);
}

/* Kahan's corrections: what rounding 1 + x lost cancels in the quotient. */
static inline double s_log1p(double x) {
    double u = 1.0 + x;
    if (u == 1.0 || !(x > -1.0) || u > 0x1.fffffffffffffp+1023) return u == 1.0 ? x : s_log(u);
    return s_log(u) * (x / (u - 1.0));
}
static inline double s_expm1(double x) {
    double u = s_exp(x), d = u - 1.0;
    if (u == 1.0) return x;
    if (d == -1.0 || u > 0x1.fffffffffffffp+1023 || u != u) return d;
    if (fabs(x) > 1.0) return d;
    return d * (x / s_log(u));
}

static inline double s_tanh(double x) {
    double t = s_expm1(2.0 * (fabs(x) < 22.0 ? fabs(x) : 22.0));
    return x != x ? x : s_with_sign(t / (t + 2.0), x);
}
static inline double s_sinh(double x) {
    double a = fabs(x), t = s_expm1(a), e = s_exp(0.5 * a);
    if (x != x) return x;
    return s_with_sign(a < 40.0 ? 0.5 * (t + t / (t + 1.0)) : 0.5 * e * e, x);
}
static inline double s_cosh(double x) {
    double a = fabs(x), e = s_exp(0.5 * a);
    return a < 40.0 ? 0.5 * (s_exp(a) + s_exp(-a)) : 0.5 * e * e;
}

/* |x| → 1/x above 1, then by π/6 down to tan(π/12), then the series */
static inline double s_atan(double x) {
    if (x != x) return x;
    double a = fabs(x), base = 0.0, p = 0.0;
    bool is_inverse = a > 1.0;
    if (is_inverse) a = 1.0 / a;
    if (a > 0.2679491924311227) {
        a = (a * 1.7320508075688772 - 1.0) / (a + 1.7320508075688772);
        base = 0.52359877559829887;
    }
    double q = -a * a;
    for (int k = 29; k >= 3; k -= 2) p = q * (1.0 / (double)k + p);
    double y = base + (a + a * p);
    return s_with_sign(is_inverse ? S_PI_HALF - y : y, x);
}
static inline double s_asin(double x) {
    return s_with_sign(s_atan(fabs(x) / sqrt((1.0 - fabs(x)) * (1.0 + fabs(x)))), x);
}
static inline double s_acos(double x) {
    return x == -1.0 ? 2.0 * S_PI_HALF : 2.0 * s_atan(sqrt((1.0 - x) / (1.0 + x)));
}
static inline double s_asinh(double x) {
    double a = fabs(x), y = a > 1e150 ? s_log(a) + S_LN2 : s_log1p(a + a * a / (1.0 + sqrt(1.0 + a * a)));
    return x != x ? x : s_with_sign(y, x);
}
static inline double s_acosh(double x) {
    double t = x - 1.0;
    return x > 1e150 ? s_log(x) + S_LN2 : s_log1p(t + sqrt(2.0 * t + t * t));
}
static inline double s_atanh(double x) {
    return s_with_sign(0.5 * s_log1p(2.0 * fabs(x) / (1.0 - fabs(x))), x);
}

/* e^(−x²) · Σ 2^n x^(2n+1) / (2n+1)!! has no terms of other sign; above 3 the continued fraction of erfc */
static inline double s_erf(double x) {
    double a = fabs(x), sum = a, term = a;
    if (x != x || a == 0.0) return x;
    if (a > 6.0) return s_with_sign(1.0, x);
    double e = s_exp(-a * a);
    if (a < 3.0) {
        for (int n = 1; n < 80; n++) sum += term *= 2.0 * a * a / (double)(2 * n + 1);
        return s_with_sign(1.1283791670955126 * e * sum, x);
    }
    double tail = a;
    for (int n = 40; n > 0; n--) tail = a + 0.5 * (double)n / tail;
    return s_with_sign(1.0 - 0.56418958354775629 * e / tail, x);
}

/* x · 2/π mod 4 of a large x: its 53 bits times the bits of 2/π that matter, exactly (Payne and Hanek, 1983). */
static inline double s_reduce_large(double x, int *quadrant) {
    __extension__ typedef unsigned __int128 wide;
    static const uint64_t two_over_pi[20] = {0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u, 0xfe5163abdebbc561u,
                                             0xb7246e3a424dd2e0u, 0x06492eea09d1921cu, 0xfe1deb1cb129a73eu, 0xe88235f52ebb4484u,
                                             0xe99c7026b45f7e41u, 0x3991d639835339f4u, 0x9c845f8bbdf9283bu, 0x1ff897ffde05980fu,
                                             0xef2f118b5a0a6d1fu, 0x6d367ecf27cb09b7u, 0x4f463f669e5fea2du, 0x7527bac7ebe5f17bu,
                                             0x3d0739f78a5292eau, 0x6bfb5fb11f8d5d08u, 0x56033046fc7b6babu, 0xf0cfbc209af4361du};
    uint64_t bits = s_to_bits(fabs(x)), m = (bits & 0xfffffffffffffu) | (uint64_t)1 << 52, window[3];
    int skip = (int)(bits >> 52) - 1075 - 2; /* the bits of 2/π before give multiples of 4; negative: zeros in front */
    int first = skip >= 0 ? skip / 64 : -1, shift = skip - 64 * first;
    for (int i = 0; i < 3; i++) {
        uint64_t word = first + i >= 0 ? two_over_pi[first + i] : 0;
        window[i] = shift == 0 ? word : word << shift | two_over_pi[first + i + 1] >> (64 - shift);
    }
    wide low = (wide)m * window[2], middle = (wide)m * window[1] + (uint64_t)(low >> 64);
    uint64_t top = m * window[0] + (uint64_t)(middle >> 64); /* two bits, then the fraction */
    uint64_t high = top << 2 | (uint64_t)middle >> 62, rest = (uint64_t)middle << 2 | (uint64_t)low >> 62;
    bool is_above = high >> 63 != 0; /* the next multiple of π/2 is nearer */
    if (is_above) high = ~high, rest = ~rest;
    double fraction = (double)high * 0x1p-64 + (double)rest * 0x1p-128;
    int q = (int)(top >> 62) + is_above;
    *quadrant = x < 0.0 ? -q : q;
    return (is_above != (x < 0.0) ? -fraction : fraction) * S_PI_HALF;
}

static inline void s_sin_cos(double x, double *sine, double *cosine) {
    int quadrant = 0;
    double r = x;
    if (!(fabs(x) <= 0x1.fffffffffffffp+1023)) {
        *sine = *cosine = (double)NAN;
        return;
    }
    if (fabs(x) > 0x1p20) {
        r = s_reduce_large(x, &quadrant);
    } else if (fabs(x) > 0.78) {
        double turns = rint(x * 0x1.45f306dc9c883p-1);
        r = x - turns * 0x1.921fb544p+0 - turns * 0x1.0b4611a626331p-34; /* the first has 33 bits: exact below 2^20 turns */
        quadrant = (int)turns;
    }
    double q = -r * r, s = 1.0, c = 1.0;
    for (int k = 18; k >= 2; k -= 2) s = 1.0 + q / (double)(k * (k + 1)) * s, c = 1.0 + q / (double)(k * (k - 1)) * c;
    s *= r;
    switch (quadrant & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s; break;
    }
}

static inline bool s_is_integer(double x) {
    return rint(x) == x;
}

/* C's pow. The logarithm's error is multiplied by b · log a: for float32 results still far below their last place. */
static inline double s_pow(double a, double b) {
    if (b == 0.0 || a == 1.0) return 1.0;
    if (a != a || b != b) return (double)NAN;
    bool is_odd = s_is_integer(b) && fabs(b) < 0x1p53 && fmod(b, 2.0) != 0.0, is_infinite = fabs(b) > 0x1.fffffffffffffp+1023;
    double magnitude = fabs(a);
    if (magnitude == 1.0 && is_infinite) return 1.0;
    if (a < 0.0 && !is_infinite && !s_is_integer(b) && magnitude <= 0x1.fffffffffffffp+1023) return (double)NAN;
    double y;
    if (s_is_integer(b) && fabs(b) <= 64.0) { /* by products: squares and cubes are what layers have */
        double base = magnitude;
        y = 1.0;
        for (int n = (int)fabs(b); n > 0; n >>= 1, base *= base)
            if ((n & 1) != 0) y *= base;
        if (b < 0.0) y = 1.0 / y;
    } else if (b == 0.5 && magnitude <= 0x1.fffffffffffffp+1023) {
        y = sqrt(magnitude);
    } else {
        double t = b * s_log(magnitude);
        y = s_exp(t);
    }
    return is_odd ? s_with_sign(y, a) : y;
}

#endif
