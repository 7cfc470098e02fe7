/* SPDX-License-Identifier: Apache-2.0
 *
 * map_functions.h: the functions of map.h on lines: floats sixteen at a time, or one by one in double where they are rare; doubles;
 * integers. A loop for each operation: the choice stands outside it.
 */
#ifndef TN_BACKEND_CPU_MAP_FUNCTIONS_H_
#define TN_BACKEND_CPU_MAP_FUNCTIONS_H_

#include "backend/cpu/kernels/scalar_math.h"
#include "backend/cpu/kernels/vector_math.h"
#include "op/problem.h"

/* A NaN on either side wins. */
V_INLINE vf v_max_nan(vf a, vf b) {
    return v_select(v_equal(a, a), v_max(a, b), a);
}
V_INLINE vf v_min_nan(vf a, vf b) {
    return v_select(v_equal(a, a), v_min(a, b), a);
}

typedef struct map_line {
    const float *a, *b, *c, *d; /* b to d: NULL where not given */
    float *out;
    int64_t n;
} map_line;

#define MAP_EACH(expression)                             \
    for (int64_t i = 0; i < line->n; i += LANES) {       \
        int64_t left = line->n - i;                      \
        vf x = v_load_upto(line->a + i, left);           \
        v_store_upto(line->out + i, (expression), left); \
    }                                                    \
    break
#define MAP_EACH2(expression)                                                      \
    for (int64_t i = 0; i < line->n; i += LANES) {                                 \
        int64_t left = line->n - i;                                                \
        vf x = v_load_upto(line->a + i, left), y = v_load_upto(line->b + i, left); \
        v_store_upto(line->out + i, (expression), left);                           \
    }                                                                              \
    break
#define MAP_EACH_SCALAR(expression)         \
    for (int64_t i = 0; i < line->n; i++) { \
        double x = (double)line->a[i];      \
        line->out[i] = (float)(expression); \
    }                                       \
    break
#define MAP_EACH_SCALAR2(expression)                           \
    for (int64_t i = 0; i < line->n; i++) {                    \
        double x = (double)line->a[i], y = (double)line->b[i]; \
        line->out[i] = (float)(expression);                    \
    }                                                          \
    break

/* --- functions of doubles -------------------------------------------------------------------------------------------------------- */

static inline double map_sign(double x) {
    return x != x ? x : (double)((x > 0.0) - (x < 0.0));
}
static inline double map_trigonometric(tn_unary_op op, double x) {
    double s, c;
    s_sin_cos(x, &s, &c);
    return op == TN_UNARY_SIN ? s : op == TN_UNARY_COS ? c : s / c;
}
static inline double map_remainder(double x, double y) {
    double rest = fmod(x, y);
    return rest != 0.0 && (rest < 0.0) != (y < 0.0) ? rest + y : rest;
}

static double map_unary_double(tn_unary_op op, double x) {
    switch (op) {
    case TN_UNARY_EXP: return s_exp(x);
    case TN_UNARY_LOG: return s_log(x);
    case TN_UNARY_SQRT: return sqrt(x);
    case TN_UNARY_RECIP: return 1.0 / x;
    case TN_UNARY_ABS: return fabs(x);
    case TN_UNARY_NEG: return -x;
    case TN_UNARY_SIN:
    case TN_UNARY_COS:
    case TN_UNARY_TAN: return map_trigonometric(op, x);
    case TN_UNARY_ERF: return s_erf(x);
    case TN_UNARY_FLOOR: return floor(x);
    case TN_UNARY_CEIL: return ceil(x);
    case TN_UNARY_ROUND: return rint(x);
    case TN_UNARY_SINH: return s_sinh(x);
    case TN_UNARY_COSH: return s_cosh(x);
    case TN_UNARY_ASIN: return s_asin(x);
    case TN_UNARY_ACOS: return s_acos(x);
    case TN_UNARY_ATAN: return s_atan(x);
    case TN_UNARY_ASINH: return s_asinh(x);
    case TN_UNARY_ACOSH: return s_acosh(x);
    case TN_UNARY_ATANH: return s_atanh(x);
    default: return map_sign(x);
    }
}

static double map_binary_double(tn_elementwise_op op, double x, double y) {
    switch (op) {
    case TN_ELEMENTWISE_SUM: return x + y;
    case TN_ELEMENTWISE_PROD: return x * y;
    case TN_ELEMENTWISE_MAX: return x != x || x > y ? x : y;
    case TN_ELEMENTWISE_MIN: return x != x || x < y ? x : y;
    case TN_ELEMENTWISE_SUB: return x - y;
    case TN_ELEMENTWISE_DIV: return x / y;
    case TN_ELEMENTWISE_POW: return s_pow(x, y);
    case TN_ELEMENTWISE_FLOOR_DIV: return floor(x / y);
    default: return map_remainder(x, y);
    }
}

/* --- functions of lines of float32 ------------------------------------------------------------------------------------------------ */

static void map_unary(tn_unary_op op, const map_line *line) {
    switch (op) {
    case TN_UNARY_EXP: MAP_EACH(v_exp(x));
    case TN_UNARY_LOG: MAP_EACH(v_log(x));
    case TN_UNARY_SQRT: MAP_EACH(v_sqrt(x));
    case TN_UNARY_RECIP: MAP_EACH(v_div(v_set1(1.0f), x));
    case TN_UNARY_ABS: MAP_EACH(v_abs(x));
    case TN_UNARY_NEG: MAP_EACH(v_negate(x));
    case TN_UNARY_ERF: MAP_EACH(v_erf(x));
    case TN_UNARY_FLOOR: MAP_EACH(v_floor(x));
    case TN_UNARY_CEIL: MAP_EACH(v_ceil(x));
    case TN_UNARY_ROUND: MAP_EACH(v_rint(x));
    default: MAP_EACH_SCALAR(map_unary_double(op, x));
    }
}

/* e^x − 1 by the same reduction as v_exp, so that small x keep their digits */
V_INLINE vf v_expm1_negative(vf x) {
    vf least = v_set1(-87.33654f), r;
    vi n = v_exp_reduce(v_max(least, x), &r);
    vf power = v_power_of_two(n);
    vf y = v_fma(power, v_mul(v_exp_series(r), r), v_sub(power, v_set1(1.0f)));
    return v_select(v_less(x, least), v_set1(-1.0f), y);
}

static double map_softplus(double alpha, double beta, double x) {
    double t = beta * x;
    return alpha * (t > 0.0 ? t + s_log1p(s_exp(-t)) : s_log1p(s_exp(t)));
}

static void map_activation(const tn_activation_params *params, const map_line *line) {
    tn_activation_type type = (tn_activation_type)params->type;
    vf alpha = v_set1((float)params->alpha), beta = v_set1((float)params->beta), zero = v_zero(), one = v_set1(1.0f);
    switch (type) {
    case TN_ACTIVATION_LEAKY_RELU: MAP_EACH(v_select(v_less(x, zero), v_mul(alpha, x), x));
    case TN_ACTIVATION_ELU: MAP_EACH(v_select(v_less(x, zero), v_mul(alpha, v_expm1_negative(x)), x));
    case TN_ACTIVATION_SELU: MAP_EACH(v_mul(beta, v_select(v_less(x, zero), v_mul(alpha, v_expm1_negative(x)), x)));
    case TN_ACTIVATION_SOFTSIGN:
        MAP_EACH(v_select(v_equal(v_abs(x), v_set1(INFINITY)), v_div(x, v_abs(x)), v_div(x, v_add(one, v_abs(x)))));
    case TN_ACTIVATION_SOFTPLUS: MAP_EACH_SCALAR(map_softplus(params->alpha, params->beta, x));
    case TN_ACTIVATION_CLIP: MAP_EACH(v_max(alpha, v_min(beta, x)));
    case TN_ACTIVATION_HARD_SIGMOID: MAP_EACH(v_max(zero, v_min(one, v_add(v_mul(alpha, x), beta))));
    case TN_ACTIVATION_SCALED_TANH: MAP_EACH(v_mul(alpha, v_tanh(v_mul(beta, x))));
    case TN_ACTIVATION_THRESHOLDED_RELU: MAP_EACH(v_select(v_equal(x, x), v_select(v_less(alpha, x), x, zero), x));
    case TN_ACTIVATION_RELU: MAP_EACH(v_activate(TN_ACTIVATION_RELU, x));
    case TN_ACTIVATION_SIGMOID: MAP_EACH(v_activate(TN_ACTIVATION_SIGMOID, x));
    case TN_ACTIVATION_TANH: MAP_EACH(v_activate(TN_ACTIVATION_TANH, x));
    case TN_ACTIVATION_SILU: MAP_EACH(v_activate(TN_ACTIVATION_SILU, x));
    case TN_ACTIVATION_GELU_ERF: MAP_EACH(v_activate(TN_ACTIVATION_GELU_ERF, x));
    case TN_ACTIVATION_GELU_TANH: MAP_EACH(v_activate(TN_ACTIVATION_GELU_TANH, x));
    case TN_ACTIVATION_GELU_QUICK: MAP_EACH(v_activate(TN_ACTIVATION_GELU_QUICK, x));
    default: MAP_EACH(x);
    }
}

static void map_binary(tn_elementwise_op op, const map_line *line) {
    switch (op) {
    case TN_ELEMENTWISE_SUM: MAP_EACH2(v_add(x, y));
    case TN_ELEMENTWISE_PROD: MAP_EACH2(v_mul(x, y));
    case TN_ELEMENTWISE_MAX: MAP_EACH2(v_max_nan(x, y));
    case TN_ELEMENTWISE_MIN: MAP_EACH2(v_min_nan(x, y));
    case TN_ELEMENTWISE_SUB: MAP_EACH2(v_sub(x, y));
    case TN_ELEMENTWISE_DIV: MAP_EACH2(v_div(x, y));
    case TN_ELEMENTWISE_POW: MAP_EACH_SCALAR2(s_pow(x, y));
    default: MAP_EACH_SCALAR2(map_binary_double(op, x, y)); /* exact quotients: floor and rest do not forgive */
    }
}

/* (x · scale + shift)^power; a: x, b: shift, c: scale, d: power. A power makes the error of what it is taken of larger: in double. */
static void map_scale(const map_line *line) {
    for (int64_t i = 0; line->d != NULL && i < line->n; i++) {
        double value = (double)line->a[i] * (line->c != NULL ? (double)line->c[i] : 1.0) + (line->b != NULL ? (double)line->b[i] : 0.0);
        line->out[i] = (float)s_pow(value, (double)line->d[i]);
    }
    for (int64_t i = 0; line->d == NULL && i < line->n; i += LANES) {
        int64_t left = line->n - i;
        vf x = v_load_upto(line->a + i, left), factor = line->c != NULL ? v_load_upto(line->c + i, left) : v_set1(1.0f);
        x = line->b != NULL ? v_fma(x, factor, v_load_upto(line->b + i, left)) : v_mul(x, factor);
        v_store_upto(line->out + i, x, left);
    }
}

static void map_floats(const tn_problem *problem, const map_line *line) {
    switch (problem->op) {
    case TN_OP_UNARY: map_unary((tn_unary_op)((const tn_unary_params *)problem->params)->op, line); break;
    case TN_OP_ACTIVATION: map_activation(problem->params, line); break;
    case TN_OP_ELEMENTWISE: map_binary((tn_elementwise_op)((const tn_elementwise_params *)problem->params)->op, line); break;
    case TN_OP_PARAMETRIC_RELU: do { MAP_EACH2(v_select(v_less(x, v_zero()), v_mul(y, x), x));
        } while (false);
        break;
    default: map_scale(line); break;
    }
}

/* --- integers ----------------------------------------------------------------------------------------------------------------------- */

static uint64_t map_power(uint64_t base, int64_t exponent) {
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if ((exponent & 1) != 0) result *= base;
    return result;
}

/* By zero: 0. INT64_MIN / −1 wraps. */
static int64_t map_divide(tn_elementwise_op op, int64_t a, int64_t b) {
    if (b == 0) return 0;
    if (b == -1) return op == TN_ELEMENTWISE_MOD ? 0 : (int64_t)(0u - (uint64_t)a);
    int64_t quotient = a / b, rest = a % b;
    bool is_lower = rest != 0 && (rest < 0) != (b < 0);
    if (op == TN_ELEMENTWISE_DIV) return quotient;
    return op == TN_ELEMENTWISE_FLOOR_DIV ? quotient - is_lower : is_lower ? rest + b : rest;
}

static int64_t map_power_int(int64_t a, int64_t b) {
    if (b >= 0) return (int64_t)map_power((uint64_t)a, b);
    return a == 1 ? 1 : a == -1 ? ((b & 1) != 0 ? -1 : 1) : 0;
}

#define MAP_INTS(expression)                        \
    for (int64_t i = 0; i < n; i++) {               \
        int64_t x = a[i], y = b != NULL ? b[i] : 0; \
        (void)y;                                    \
        out[i] = (int64_t)(expression);             \
    }                                               \
    break

static void map_ints_binary(tn_elementwise_op op, int64_t n, const int64_t *a, const int64_t *b, int64_t *out) {
    switch (op) {
    case TN_ELEMENTWISE_SUM: MAP_INTS((uint64_t)x + (uint64_t)y);
    case TN_ELEMENTWISE_PROD: MAP_INTS((uint64_t)x * (uint64_t)y);
    case TN_ELEMENTWISE_MAX: MAP_INTS(x > y ? x : y);
    case TN_ELEMENTWISE_MIN: MAP_INTS(x < y ? x : y);
    case TN_ELEMENTWISE_SUB: MAP_INTS((uint64_t)x - (uint64_t)y);
    case TN_ELEMENTWISE_POW: MAP_INTS(map_power_int(x, y));
    case TN_ELEMENTWISE_AND: MAP_INTS(x != 0 && y != 0);
    case TN_ELEMENTWISE_OR: MAP_INTS(x != 0 || y != 0);
    case TN_ELEMENTWISE_XOR: MAP_INTS((x != 0) != (y != 0));
    case TN_ELEMENTWISE_EQUAL: MAP_INTS(x == y);
    case TN_ELEMENTWISE_GREATER: MAP_INTS(x > y);
    case TN_ELEMENTWISE_LESS: MAP_INTS(x < y);
    default: MAP_INTS(map_divide(op, x, y));
    }
}

static void map_ints_unary(const tn_problem *problem, int64_t n, const int64_t *a, int64_t *out) {
    const int64_t *b = NULL;
    if (problem->op == TN_OP_ACTIVATION) {
        bool is_relu = ((const tn_activation_params *)problem->params)->type == TN_ACTIVATION_RELU;
        for (int64_t i = 0; i < n; i++) out[i] = is_relu && a[i] < 0 ? 0 : a[i];
        return;
    }
    switch (((const tn_unary_params *)problem->params)->op) {
    case TN_UNARY_ABS: MAP_INTS(x < 0 ? 0u - (uint64_t)x : (uint64_t)x);
    case TN_UNARY_NEG: MAP_INTS(0u - (uint64_t)x);
    case TN_UNARY_NOT: MAP_INTS(x == 0);
    case TN_UNARY_SIGN: MAP_INTS((x > 0) - (x < 0));
    default: MAP_INTS(x); /* floor, ceil, round */
    }
}

#endif
