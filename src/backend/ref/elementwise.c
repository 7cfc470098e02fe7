/* SPDX-License-Identifier: Apache-2.0
 *
 * elementwise.c: UNARY, ACTIVATION, PARAMETRIC_RELU, ELEMENTWISE, SELECT. Floats in double, integers in int64 (wrapping), bools as 0 and 1.
 */
#include <math.h>

#include "backend/ref/ref.h"

static double unary(tn_unary_op op, double x) {
    switch (op) {
    case TN_UNARY_EXP: return exp(x);
    case TN_UNARY_LOG: return log(x);
    case TN_UNARY_SQRT: return sqrt(x);
    case TN_UNARY_RECIP: return 1.0 / x;
    case TN_UNARY_ABS: return fabs(x);
    case TN_UNARY_NEG: return -x;
    case TN_UNARY_SIN: return sin(x);
    case TN_UNARY_COS: return cos(x);
    case TN_UNARY_ERF: return erf(x);
    case TN_UNARY_FLOOR: return floor(x);
    case TN_UNARY_CEIL: return ceil(x);
    case TN_UNARY_ROUND: return rint(x);
    case TN_UNARY_NOT: return x == 0.0;
    case TN_UNARY_TAN: return tan(x);
    case TN_UNARY_SINH: return sinh(x);
    case TN_UNARY_COSH: return cosh(x);
    case TN_UNARY_ASIN: return asin(x);
    case TN_UNARY_ACOS: return acos(x);
    case TN_UNARY_ATAN: return atan(x);
    case TN_UNARY_ASINH: return asinh(x);
    case TN_UNARY_ACOSH: return acosh(x);
    case TN_UNARY_ATANH: return atanh(x);
    case TN_UNARY_SIGN: return isnan(x) ? x : (double)((x > 0.0) - (x < 0.0));
    case TN_UNARY_ISINF: return isinf(x) != 0;
    case TN_UNARY_ISNAN: return isnan(x) != 0;
    default: return (double)NAN;
    }
}

static int64_t unary_int(tn_unary_op op, int64_t x) {
    switch (op) {
    case TN_UNARY_ABS: return x < 0 ? (int64_t)(0u - (uint64_t)x) : x;
    case TN_UNARY_NEG: return (int64_t)(0u - (uint64_t)x);
    case TN_UNARY_NOT: return x == 0;
    case TN_UNARY_SIGN: return (x > 0) - (x < 0);
    default: return x; /* floor, ceil, round */
    }
}

tn_status tn_ref_unary(const tn_ref_call *call) {
    const tn_unary_params *params = call->problem->params;
    tn_unary_op op = (tn_unary_op)params->op;
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    for (int64_t i = 0; i < y.count; i++) {
        if (tn_ref_is_integer(x.dtype))
            tn_ref_store_int(&y, i, unary_int(op, tn_ref_load_int(&x, i)));
        else
            tn_ref_store(&y, i, unary(op, tn_ref_load(&x, i)));
    }
    return TN_OK;
}

double tn_ref_activation(tn_activation_type type, double x) {
    switch (type) {
    case TN_ACTIVATION_RELU: return x < 0.0 ? 0.0 : x;
    case TN_ACTIVATION_SIGMOID: return 1.0 / (1.0 + exp(-x));
    case TN_ACTIVATION_TANH: return tanh(x);
    case TN_ACTIVATION_SILU: return x / (1.0 + exp(-x));
    case TN_ACTIVATION_GELU_ERF: return 0.5 * x * erfc(-x * 0.70710678118654752440);
    case TN_ACTIVATION_GELU_TANH: return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case TN_ACTIVATION_GELU_QUICK: return x / (1.0 + exp(-1.702 * x));
    default: return x;
    }
}

static double parametric(const tn_activation_params *params, double x) {
    double alpha = params->alpha, beta = params->beta;
    switch (params->type) {
    case TN_ACTIVATION_LEAKY_RELU: return x < 0.0 ? alpha * x : x;
    case TN_ACTIVATION_ELU: return x < 0.0 ? alpha * expm1(x) : x;
    case TN_ACTIVATION_SELU: return beta * (x < 0.0 ? alpha * expm1(x) : x);
    case TN_ACTIVATION_SOFTSIGN: return isinf(x) ? copysign(1.0, x) : x / (1.0 + fabs(x));
    case TN_ACTIVATION_SOFTPLUS: return alpha * (beta * x > 0.0 ? beta * x + log1p(exp(-beta * x)) : log1p(exp(beta * x)));
    case TN_ACTIVATION_CLIP: {
        double capped = x > beta ? beta : x;
        return capped < alpha ? alpha : capped;
    }
    case TN_ACTIVATION_HARD_SIGMOID: return alpha * x + beta < 0.0 ? 0.0 : alpha * x + beta > 1.0 ? 1.0 : alpha * x + beta;
    case TN_ACTIVATION_SCALED_TANH: return alpha * tanh(beta * x);
    case TN_ACTIVATION_THRESHOLDED_RELU: return x > alpha || isnan(x) ? x : 0.0;
    default: return tn_ref_activation((tn_activation_type)params->type, x);
    }
}

tn_status tn_ref_activate(const tn_ref_call *call) {
    const tn_activation_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    for (int64_t i = 0; i < y.count; i++) {
        if (!tn_ref_is_integer(x.dtype)) {
            tn_ref_store(&y, i, parametric(params, tn_ref_load(&x, i)));
            continue;
        }
        int64_t value = tn_ref_load_int(&x, i); /* relu or none */
        tn_ref_store_int(&y, i, value < 0 && params->type == TN_ACTIVATION_RELU ? 0 : value);
    }
    return TN_OK;
}

tn_status tn_ref_parametric_relu(const tn_ref_call *call) {
    tn_ref_view x = tn_ref_input(call, 0), slope = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    int64_t strides[TN_MAX_RANK];
    tn_ref_broadcast_strides(&slope, y.rank, strides);
    for (int64_t i = 0; i < y.count; i++) {
        double value = tn_ref_load(&x, i);
        tn_ref_store(&y, i, value < 0.0 ? value * tn_ref_load(&slope, tn_ref_offset(&y, i, strides)) : value);
    }
    return TN_OK;
}

static double binary(tn_elementwise_op op, double a, double b) {
    switch (op) {
    case TN_ELEMENTWISE_SUM: return a + b;
    case TN_ELEMENTWISE_PROD: return a * b;
    case TN_ELEMENTWISE_MAX: return isnan(a) || a > b ? a : b; /* a NaN wins on either side */
    case TN_ELEMENTWISE_MIN: return isnan(a) || a < b ? a : b;
    case TN_ELEMENTWISE_SUB: return a - b;
    case TN_ELEMENTWISE_DIV: return a / b;
    case TN_ELEMENTWISE_POW: return pow(a, b);
    case TN_ELEMENTWISE_FLOOR_DIV: return floor(a / b);
    case TN_ELEMENTWISE_MOD: {
        double rest = fmod(a, b);
        return rest != 0.0 && (rest < 0.0) != (b < 0.0) ? rest + b : rest;
    }
    case TN_ELEMENTWISE_EQUAL: return a == b;
    case TN_ELEMENTWISE_GREATER: return a > b;
    case TN_ELEMENTWISE_LESS: return a < b;
    default: return (double)NAN;
    }
}

static uint64_t power(uint64_t base, int64_t exponent) {
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if ((exponent & 1) != 0) result *= base;
    return result;
}

/* b ≠ 0; INT64_MIN / −1 wraps */
static int64_t divide(tn_elementwise_op op, int64_t a, int64_t b) {
    if (b == -1) return op == TN_ELEMENTWISE_MOD ? 0 : (int64_t)(0u - (uint64_t)a);
    int64_t quotient = a / b, rest = a % b;
    bool lower = rest != 0 && (rest < 0) != (b < 0);
    if (op == TN_ELEMENTWISE_DIV) return quotient;
    if (op == TN_ELEMENTWISE_FLOOR_DIV) return lower ? quotient - 1 : quotient;
    return lower ? rest + b : rest;
}

static int64_t binary_int(tn_elementwise_op op, int64_t a, int64_t b) {
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
    switch (op) {
    case TN_ELEMENTWISE_SUM: return (int64_t)(ua + ub);
    case TN_ELEMENTWISE_PROD: return (int64_t)(ua * ub);
    case TN_ELEMENTWISE_MAX: return a > b ? a : b;
    case TN_ELEMENTWISE_MIN: return a < b ? a : b;
    case TN_ELEMENTWISE_SUB: return (int64_t)(ua - ub);
    case TN_ELEMENTWISE_POW:
        if (b < 0) return a == 1 ? 1 : a == -1 ? ((b & 1) != 0 ? -1 : 1) : 0;
        return (int64_t)power(ua, b);
    case TN_ELEMENTWISE_AND: return a != 0 && b != 0;
    case TN_ELEMENTWISE_OR: return a != 0 || b != 0;
    case TN_ELEMENTWISE_XOR: return (a != 0) != (b != 0);
    case TN_ELEMENTWISE_EQUAL: return a == b;
    case TN_ELEMENTWISE_GREATER: return a > b;
    case TN_ELEMENTWISE_LESS: return a < b;
    default: return b == 0 ? 0 : divide(op, a, b);
    }
}

tn_status tn_ref_elementwise(const tn_ref_call *call) {
    const tn_elementwise_params *params = call->problem->params;
    tn_elementwise_op op = (tn_elementwise_op)params->op;
    tn_ref_view a = tn_ref_input(call, 0), b = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    int64_t a_strides[TN_MAX_RANK], b_strides[TN_MAX_RANK];
    tn_ref_broadcast_strides(&a, y.rank, a_strides);
    tn_ref_broadcast_strides(&b, y.rank, b_strides);
    bool divides = op == TN_ELEMENTWISE_DIV || op == TN_ELEMENTWISE_FLOOR_DIV || op == TN_ELEMENTWISE_MOD;
    for (int64_t i = 0; i < y.count; i++) {
        int64_t at_a = tn_ref_offset(&y, i, a_strides), at_b = tn_ref_offset(&y, i, b_strides);
        if (!tn_ref_is_integer(a.dtype)) {
            tn_ref_store(&y, i, binary(op, tn_ref_load(&a, at_a), tn_ref_load(&b, at_b)));
            continue;
        }
        int64_t left = tn_ref_load_int(&a, at_a), right = tn_ref_load_int(&b, at_b);
        if (divides && right == 0 && call->on_host)
            return tn_fail(call->diag, TN_INVALID_DATA, "cannot compute %s: element %lld divides %lld by zero",
                           tn_enum_get_info(TN_ENUM_ID_ELEMENTWISE)->values[op], (long long)i, (long long)left);
        tn_ref_store_int(&y, i, binary_int(op, left, right));
    }
    return TN_OK;
}

tn_status tn_ref_select(const tn_ref_call *call) {
    tn_ref_view condition = tn_ref_input(call, 0), a = tn_ref_input(call, 1), b = tn_ref_input(call, 2), y = tn_ref_output(call, 0);
    int64_t c_strides[TN_MAX_RANK], a_strides[TN_MAX_RANK], b_strides[TN_MAX_RANK];
    tn_ref_broadcast_strides(&condition, y.rank, c_strides);
    tn_ref_broadcast_strides(&a, y.rank, a_strides);
    tn_ref_broadcast_strides(&b, y.rank, b_strides);
    for (int64_t i = 0; i < y.count; i++) {
        if (tn_ref_load_int(&condition, tn_ref_offset(&y, i, c_strides)) != 0)
            tn_ref_copy(&y, i, &a, tn_ref_offset(&y, i, a_strides));
        else
            tn_ref_copy(&y, i, &b, tn_ref_offset(&y, i, b_strides));
    }
    return TN_OK;
}
