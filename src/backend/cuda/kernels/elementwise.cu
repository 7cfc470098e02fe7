/* SPDX-License-Identifier: Apache-2.0
 *
 * elementwise.cu: what is one function of the elements at a place, a thread an element: ELEMENTWISE, UNARY, ACTIVATION,
 * PARAMETRIC_RELU, SCALE, CAST, SELECT, with operands that broadcast.
 *
 * Types    float32, float16 and bfloat16 in float32, rounded once when stored; integers in 64 bits, wrapping; bools as 0 and 1
 * Bound    bytes of the operands
 */
#include "backend/cuda/kernels/activation.cuh"
#include "backend/cuda/kernels/elements.cuh"

enum { MAX_OPERANDS = 4 };

/* Where element i of the output reads each operand. */
struct operand_places {
    int64_t at[MAX_OPERANDS];

    __device__ __forceinline__ operand_places(const tn_cuda_args &args, int64_t i) {
        int64_t strides[MAX_OPERANDS], rest = i;
        int num_axes = (int)args.constants[TN_ELEMENTS_NUM_AXES];
#pragma unroll
        for (int k = 0; k < MAX_OPERANDS; k++) at[k] = num_axes == 0 ? i : 0, strides[k] = 1;
        for (int a = num_axes - 1; a >= 0; a--) {
            uint32_t size = (uint32_t)args.constants[TN_ELEMENTS_AXES + a], owners = (uint32_t)(args.constants[TN_ELEMENTS_AXES + a] >> 32);
            int64_t outer = rest / size, place = rest - outer * size;
            rest = outer;
#pragma unroll
            for (int k = 0; k < MAX_OPERANDS; k++) {
                if ((owners >> k & 1) == 0) continue;
                at[k] += place * strides[k];
                strides[k] *= size;
            }
        }
    }
};

/* --- ELEMENTWISE ------------------------------------------------------------------------------------------------------------- */

__device__ __forceinline__ float combine_floats(int op, float a, float b) {
    switch (op) {
    case TN_ELEMENTWISE_PROD: return a * b;
    case TN_ELEMENTWISE_MAX: return a != a || a > b ? a : b; /* NaN of either stays */
    case TN_ELEMENTWISE_MIN: return a != a || a < b ? a : b;
    case TN_ELEMENTWISE_SUB: return a - b;
    case TN_ELEMENTWISE_DIV: return a / b;
    case TN_ELEMENTWISE_POW: return powf(a, b);
    case TN_ELEMENTWISE_FLOOR_DIV: return (float)floor((double)a / (double)b); /* a quotient just below a whole number stays there */
    case TN_ELEMENTWISE_MOD: {
        float rest = fmodf(a, b);
        return rest != 0.0f && (rest < 0.0f) != (b < 0.0f) ? rest + b : rest;
    }
    case TN_ELEMENTWISE_EQUAL: return a == b;
    case TN_ELEMENTWISE_GREATER: return a > b;
    case TN_ELEMENTWISE_LESS: return a < b;
    default: return a + b;
    }
}

__device__ __forceinline__ int64_t power(int64_t base, int64_t exponent) {
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? ((exponent & 1) != 0 ? -1 : 1) : 0;
    uint64_t result = 1, square = (uint64_t)base;
    for (; exponent > 0; exponent >>= 1, square *= square)
        if ((exponent & 1) != 0) result *= square;
    return (int64_t)result;
}

/* DIV, FLOOR_DIV, MOD. By zero: 0. */
__device__ __forceinline__ int64_t divide(int op, int64_t a, int64_t b) {
    if (b == 0) return 0;
    if (b == -1) return op == TN_ELEMENTWISE_MOD ? 0 : (int64_t)(0ul - (uint64_t)a);
    int64_t quotient = a / b, rest = a % b;
    bool is_lower = rest != 0 && (rest < 0) != (b < 0);
    if (op == TN_ELEMENTWISE_DIV) return quotient;
    if (op == TN_ELEMENTWISE_FLOOR_DIV) return is_lower ? quotient - 1 : quotient;
    return is_lower ? rest + b : rest;
}

__device__ __forceinline__ int64_t combine_integers(int op, int64_t a, int64_t b) {
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
    switch (op) {
    case TN_ELEMENTWISE_SUM: return (int64_t)(ua + ub);
    case TN_ELEMENTWISE_PROD: return (int64_t)(ua * ub);
    case TN_ELEMENTWISE_MAX: return a > b ? a : b;
    case TN_ELEMENTWISE_MIN: return a < b ? a : b;
    case TN_ELEMENTWISE_SUB: return (int64_t)(ua - ub);
    case TN_ELEMENTWISE_POW: return power(a, b);
    case TN_ELEMENTWISE_AND: return a != 0 && b != 0;
    case TN_ELEMENTWISE_OR: return a != 0 || b != 0;
    case TN_ELEMENTWISE_XOR: return (a != 0) != (b != 0);
    case TN_ELEMENTWISE_EQUAL: return a == b;
    case TN_ELEMENTWISE_GREATER: return a > b;
    case TN_ELEMENTWISE_LESS: return a < b;
    default: return divide(op, a, b);
    }
}

TN_KERNEL(elementwise, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    operand_places places(args, i);
    int op = (int)args.constants[TN_ELEMENTS_KIND], type = (int)args.constants[TN_ELEMENTS_INPUT],
        y_type = (int)args.constants[TN_ELEMENTS_OUTPUT];
    const void *a = args.buffers[0], *b = args.buffers[1];
    if (is_float_type(type))
        store_float(y_type, args.buffers[2], i, combine_floats(op, load_float(type, a, places.at[0]), load_float(type, b, places.at[1])));
    else
        store_integer(y_type, args.buffers[2], i,
                      combine_integers(op, load_integer(type, a, places.at[0]), load_integer(type, b, places.at[1])));
}

/* --- UNARY, ACTIVATION -------------------------------------------------------------------------------------------------------- */

__device__ __forceinline__ float unary_float(int op, float x) {
    switch (op) {
    case TN_UNARY_EXP: return expf(x);
    case TN_UNARY_LOG: return logf(x);
    case TN_UNARY_SQRT: return sqrtf(x);
    case TN_UNARY_RECIP: return 1.0f / x;
    case TN_UNARY_ABS: return fabsf(x);
    case TN_UNARY_NEG: return -x;
    case TN_UNARY_SIN: return sinf(x);
    case TN_UNARY_COS: return cosf(x);
    case TN_UNARY_ERF: return erff(x);
    case TN_UNARY_FLOOR: return floorf(x);
    case TN_UNARY_CEIL: return ceilf(x);
    case TN_UNARY_TAN: return tanf(x);
    case TN_UNARY_SINH: return sinhf(x);
    case TN_UNARY_COSH: return coshf(x);
    case TN_UNARY_ASIN: return asinf(x);
    case TN_UNARY_ACOS: return acosf(x);
    case TN_UNARY_ATAN: return atanf(x);
    case TN_UNARY_ASINH: return asinhf(x);
    case TN_UNARY_ACOSH: return acoshf(x);
    case TN_UNARY_ATANH: return atanhf(x);
    case TN_UNARY_SIGN: return x != x ? x : (float)((x > 0.0f) - (x < 0.0f));
    case TN_UNARY_ISINF: return fabsf(x) == INFINITY;
    case TN_UNARY_ISNAN: return x != x;
    default: return rintf(x);
    }
}

__device__ __forceinline__ int64_t unary_integer(int op, int64_t x) {
    int64_t negative = (int64_t)(0ul - (uint64_t)x);
    switch (op) {
    case TN_UNARY_ABS: return x < 0 ? negative : x;
    case TN_UNARY_NEG: return negative;
    case TN_UNARY_NOT: return x == 0;
    case TN_UNARY_SIGN: return (x > 0) - (x < 0);
    default: return x; /* floor, ceil, round */
    }
}

TN_KERNEL(unary, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int op = (int)args.constants[TN_ELEMENTS_KIND], type = (int)args.constants[TN_ELEMENTS_INPUT],
        y_type = (int)args.constants[TN_ELEMENTS_OUTPUT];
    if (is_float_type(type))
        store_float(y_type, args.buffers[1], i, unary_float(op, load_float(type, args.buffers[0], i)));
    else
        store_integer(y_type, args.buffers[1], i, unary_integer(op, load_integer(type, args.buffers[0], i)));
}

/* Those with parameters; `activate` has the others. */
__device__ __forceinline__ float activate_by(int type, float x, float alpha, float beta) {
    switch (type) {
    case TN_ACTIVATION_LEAKY_RELU: return x < 0.0f ? alpha * x : x;
    case TN_ACTIVATION_ELU: return x < 0.0f ? alpha * expm1f(x) : x;
    case TN_ACTIVATION_SELU: return beta * (x < 0.0f ? alpha * expm1f(x) : x);
    case TN_ACTIVATION_SOFTSIGN: return fabsf(x) == INFINITY ? copysignf(1.0f, x) : x / (1.0f + fabsf(x));
    case TN_ACTIVATION_SOFTPLUS: {
        float t = beta * x;
        return alpha * (t > 0.0f ? t + log1pf(expf(-t)) : log1pf(expf(t)));
    }
    case TN_ACTIVATION_CLIP: {
        float capped = x > beta ? beta : x;
        return capped < alpha ? alpha : capped;
    }
    case TN_ACTIVATION_HARD_SIGMOID: {
        float t = fmaf(alpha, x, beta);
        return t < 0.0f ? 0.0f : t > 1.0f ? 1.0f : t;
    }
    case TN_ACTIVATION_SCALED_TANH: return alpha * tanhf(beta * x);
    case TN_ACTIVATION_THRESHOLDED_RELU: return x > alpha || x != x ? x : 0.0f;
    default: return activate(type, x);
    }
}

TN_KERNEL(activation, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int kind = (int)args.constants[TN_ELEMENTS_KIND], type = (int)args.constants[TN_ELEMENTS_INPUT];
    if (is_float_type(type)) {
        float alpha = (float)constant_real(args, TN_ELEMENTS_ALPHA), beta = (float)constant_real(args, TN_ELEMENTS_BETA);
        store_float(type, args.buffers[1], i, activate_by(kind, load_float(type, args.buffers[0], i), alpha, beta));
    } else {
        int64_t x = load_integer(type, args.buffers[0], i);
        store_integer(type, args.buffers[1], i, kind == TN_ACTIVATION_RELU && x < 0 ? 0 : x);
    }
}

TN_KERNEL(parametric_relu, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    operand_places places(args, i);
    int type = (int)args.constants[TN_ELEMENTS_INPUT];
    float x = load_float(type, args.buffers[0], i);
    store_float(type, args.buffers[2], i, x < 0.0f ? x * load_float(type, args.buffers[1], places.at[1]) : x);
}

/* buffers: x, shift?, scale?, power?; the output's is KIND. */
TN_KERNEL(scale_elements, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    operand_places places(args, i);
    int type = (int)args.constants[TN_ELEMENTS_INPUT], output = (int)args.constants[TN_ELEMENTS_KIND];
    const void *shift = output > 1 ? args.buffers[1] : nullptr, *factor = output > 2 ? args.buffers[2] : nullptr;
    const void *exponent = output > 3 ? args.buffers[3] : nullptr;
    float x = load_float(type, args.buffers[0], i), by = factor != nullptr ? load_float(type, factor, places.at[2]) : 1.0f;
    x = fmaf(x, by, shift != nullptr ? load_float(type, shift, places.at[1]) : 0.0f);
    if (exponent != nullptr) x = powf(x, load_float(type, exponent, places.at[3]));
    store_float(type, args.buffers[output], i, x);
}

/* --- CAST, SELECT ---------------------------------------------------------------------------------------------------------------- */

/* The nearest integer towards 0 that `type` holds; NaN: 0. */
__device__ __forceinline__ int64_t integer_of(int type, float x) {
    float least = type == TN_ELEMENT_I8 ? -128.0f : type == TN_ELEMENT_U8 ? 0.0f : type == TN_ELEMENT_I32 ? -0x1p31f : -0x1p63f;
    float end = type == TN_ELEMENT_I8 ? 128.0f : type == TN_ELEMENT_U8 ? 256.0f : type == TN_ELEMENT_I32 ? 0x1p31f : 0x1p63f;
    if (x != x) return 0;
    if (x <= least) return type == TN_ELEMENT_I64 ? INT64_MIN : (int64_t)least;
    if (x >= end) return type == TN_ELEMENT_I64 ? INT64_MAX : (int64_t)end - 1;
    return (int64_t)x;
}

/* Rounded once: to a float of 24 bits whose last one says that something was left, which any shorter type is rounded from. */
__device__ __forceinline__ float odd_float_of(int64_t x) {
    float y = __ll2float_rz(x);
    return (int64_t)y == x ? y : __uint_as_float(__float_as_uint(y) | 1u);
}

TN_KERNEL(cast_elements, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    int type = (int)args.constants[TN_ELEMENTS_INPUT], y_type = (int)args.constants[TN_ELEMENTS_OUTPUT];
    const void *x = args.buffers[0];
    void *y = args.buffers[1];
    if (is_float_type(type)) {
        float value = load_float(type, x, i);
        if (is_float_type(y_type) || y_type == TN_ELEMENT_BOOL)
            store_float(y_type, y, i, value);
        else
            store_integer(y_type, y, i, integer_of(y_type, value));
        return;
    }
    int64_t value = load_integer(type, x, i);
    if (y_type == TN_ELEMENT_F32)
        ((float *)y)[i] = (float)value;
    else if (is_float_type(y_type))
        store_float(y_type, y, i, odd_float_of(value));
    else
        store_integer(y_type, y, i, value);
}

TN_KERNEL(select_elements, 256) {
    int64_t i;
    if (!find_own(args, &i)) return;
    operand_places places(args, i);
    bool is_first = ((const uint8_t *)args.buffers[0])[places.at[0]] != 0;
    move_element((int)args.constants[TN_ELEMENTS_KIND], args.buffers[3], i, args.buffers[is_first ? 1 : 2],
                 is_first ? places.at[1] : places.at[2]);
}
