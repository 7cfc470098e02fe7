/* SPDX-License-Identifier: Apache-2.0
 *
 * dtype.c: the table of element types, and conversion of single elements to and from double.
 *
 * All floating formats below 32 bits go through one description (exponent bits, mantissa bits, bias, what the top codes
 * mean), so that each rounds once, from the double that was given.
 */
#include "op/dtype.h"

#include <math.h>
#include <strings.h>

#include "base/checked.h"
#include "op/quantized_rows.h"

static const tn_dtype_info dtype_table[TN_NUM_DTYPES] = {
    [TN_DTYPE_NONE] = {"none", 0, false, false, false},
    [TN_BOOL] = {"bool", 8, false, false, false},
    [TN_INT2] = {"int2", 2, false, true, true},
    [TN_UINT2] = {"uint2", 2, false, true, false},
    [TN_INT4] = {"int4", 4, false, true, true},
    [TN_UINT4] = {"uint4", 4, false, true, false},
    [TN_INT8] = {"int8", 8, false, true, true},
    [TN_UINT8] = {"uint8", 8, false, true, false},
    [TN_INT16] = {"int16", 16, false, true, true},
    [TN_UINT16] = {"uint16", 16, false, true, false},
    [TN_INT32] = {"int32", 32, false, true, true},
    [TN_UINT32] = {"uint32", 32, false, true, false},
    [TN_INT64] = {"int64", 64, false, true, true},
    [TN_UINT64] = {"uint64", 64, false, true, false},
    [TN_FLOAT16] = {"float16", 16, true, false, true},
    [TN_BFLOAT16] = {"bfloat16", 16, true, false, true},
    [TN_FLOAT32] = {"float32", 32, true, false, true},
    [TN_FLOAT64] = {"float64", 64, true, false, true},
    [TN_COMPLEX64] = {"complex64", 64, false, false, true},
    [TN_COMPLEX128] = {"complex128", 128, false, false, true},
    [TN_FLOAT8_E4M3FN] = {"float8_e4m3fn", 8, true, false, true},
    [TN_FLOAT8_E4M3FNUZ] = {"float8_e4m3fnuz", 8, true, false, true},
    [TN_FLOAT8_E5M2] = {"float8_e5m2", 8, true, false, true},
    [TN_FLOAT8_E5M2FNUZ] = {"float8_e5m2fnuz", 8, true, false, true},
    [TN_FLOAT8_E8M0] = {"float8_e8m0", 8, true, false, false},
    [TN_FLOAT4_E2M1] = {"float4_e2m1", 4, true, false, true},
    [TN_Q15_32] = {"q15_32", 0, false, false, true},
    [TN_Q8_32] = {"q8_32", 0, false, false, true},
};

/* Other spellings: short forms, and those of safetensors, ONNX and NumPy. Compared without case. */
static const struct {
    const char *name;
    tn_dtype dtype;
} dtype_aliases[] = {
    {"f16", TN_FLOAT16},
    {"fp16", TN_FLOAT16},
    {"half", TN_FLOAT16},
    {"bf16", TN_BFLOAT16},
    {"f32", TN_FLOAT32},
    {"fp32", TN_FLOAT32},
    {"float", TN_FLOAT32},
    {"f64", TN_FLOAT64},
    {"double", TN_FLOAT64},
    {"i8", TN_INT8},
    {"i16", TN_INT16},
    {"i32", TN_INT32},
    {"i64", TN_INT64},
    {"u8", TN_UINT8},
    {"u16", TN_UINT16},
    {"u32", TN_UINT32},
    {"u64", TN_UINT64},
    {"c64", TN_COMPLEX64},
    {"c128", TN_COMPLEX128},
    {"fp8", TN_FLOAT8_E4M3FN},
    {"f8_e4m3", TN_FLOAT8_E4M3FN},
    {"e4m3fn", TN_FLOAT8_E4M3FN},
    {"e4m3fnuz", TN_FLOAT8_E4M3FNUZ},
    {"f8_e5m2", TN_FLOAT8_E5M2},
    {"e5m2", TN_FLOAT8_E5M2},
    {"e5m2fnuz", TN_FLOAT8_E5M2FNUZ},
    {"f8_e8m0", TN_FLOAT8_E8M0},
    {"e8m0", TN_FLOAT8_E8M0},
    {"fp4", TN_FLOAT4_E2M1},
    {"f4", TN_FLOAT4_E2M1},
    {"e2m1", TN_FLOAT4_E2M1},
};

static bool is_known(tn_dtype dtype) {
    return (int)dtype >= 0 && dtype < TN_NUM_DTYPES;
}

const tn_dtype_info *tn_dtype_get_info(tn_dtype dtype) {
    return &dtype_table[is_known(dtype) ? dtype : TN_DTYPE_NONE];
}

const char *tn_dtype_name(tn_dtype dtype) {
    return is_known(dtype) ? dtype_table[dtype].name : NULL;
}

tn_dtype tn_dtype_find(const char *name) {
    for (int i = TN_DTYPE_NONE + 1; i < TN_NUM_DTYPES; i++)
        if (strcasecmp(name, dtype_table[i].name) == 0) return (tn_dtype)i;
    for (size_t i = 0; i < sizeof dtype_aliases / sizeof dtype_aliases[0]; i++)
        if (strcasecmp(name, dtype_aliases[i].name) == 0) return dtype_aliases[i].dtype;
    return TN_DTYPE_NONE;
}

bool tn_dtype_matrix_bytes(tn_dtype dtype, int64_t rows, int64_t columns, size_t *out_bytes) {
    if (rows < 0 || columns < 0) return false;
    size_t row_bytes;
    if (dtype == TN_Q15_32 || dtype == TN_Q8_32) {
        if (columns > INT64_MAX / 16) return false;
        row_bytes = tn_quantized_row_bytes(dtype, columns);
    } else {
        size_t bits = tn_dtype_get_info(dtype)->bits;
        if (bits == 0) return false;
        if (!tn_mul_size((size_t)columns, bits, &row_bytes) || !tn_add_size(row_bytes, 7, &row_bytes)) return false;
        row_bytes /= 8;
    }
    return tn_mul_size((size_t)rows, row_bytes, out_bytes);
}

/* --- small floating formats ------------------------------------------------------------------------------------------ */

typedef enum top_codes {
    TOP_IEEE,     /* top exponent: infinity, then NaNs */
    TOP_NAN,      /* only all ones is NaN (e4m3fn) */
    TOP_NUMBERS,  /* all codes are numbers (fp4) */
    TOP_NEG_ZERO, /* the code of −0 is the only NaN (uz forms) */
} top_codes;

typedef struct small_float {
    int exponent_bits, mantissa_bits, bias;
    top_codes top;
} small_float;

static const small_float *find_small_float(tn_dtype dtype) {
    static const small_float float16 = {5, 10, 15, TOP_IEEE}, bfloat16 = {8, 7, 127, TOP_IEEE}, e4m3fn = {4, 3, 7, TOP_NAN},
                             e4m3fnuz = {4, 3, 8, TOP_NEG_ZERO}, e5m2 = {5, 2, 15, TOP_IEEE}, e5m2fnuz = {5, 2, 16, TOP_NEG_ZERO},
                             e2m1 = {2, 1, 1, TOP_NUMBERS};
    switch (dtype) {
    case TN_FLOAT16: return &float16;
    case TN_BFLOAT16: return &bfloat16;
    case TN_FLOAT8_E4M3FN: return &e4m3fn;
    case TN_FLOAT8_E4M3FNUZ: return &e4m3fnuz;
    case TN_FLOAT8_E5M2: return &e5m2;
    case TN_FLOAT8_E5M2FNUZ: return &e5m2fnuz;
    case TN_FLOAT4_E2M1: return &e2m1;
    default: return NULL;
    }
}

static double small_float_decode(const small_float *format, uint32_t bits) {
    int mantissa_bits = format->mantissa_bits;
    uint32_t sign_bit = 1u << (format->exponent_bits + mantissa_bits), magnitude = bits & (sign_bit - 1);
    uint32_t exponent = magnitude >> mantissa_bits, mantissa = magnitude & ((1u << mantissa_bits) - 1);
    double sign = (bits & sign_bit) != 0 ? -1.0 : 1.0;
    if (format->top == TOP_NEG_ZERO && bits == sign_bit) return NAN;
    if (format->top == TOP_NAN && magnitude == sign_bit - 1) return NAN;
    if (format->top == TOP_IEEE && exponent == (1u << format->exponent_bits) - 1) return mantissa != 0 ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp((double)mantissa, 1 - format->bias - mantissa_bits);
    return sign * ldexp((double)(mantissa + (1u << mantissa_bits)), (int)exponent - format->bias - mantissa_bits);
}

static uint32_t small_float_encode(const small_float *format, double value, bool saturates) {
    int mantissa_bits = format->mantissa_bits;
    uint32_t sign_bit = 1u << (format->exponent_bits + mantissa_bits), all = sign_bit - 1, one = 1u << mantissa_bits;
    uint32_t sign = signbit(value) ? sign_bit : 0;
    uint32_t infinity = ((1u << format->exponent_bits) - 1) << mantissa_bits;
    uint32_t largest = format->top == TOP_IEEE ? infinity - 1 : format->top == TOP_NAN ? all - 1 : all;
    if (isnan(value)) {
        switch (format->top) {
        case TOP_IEEE: return sign | infinity | (one >> 1);
        case TOP_NAN: return sign | all;
        case TOP_NEG_ZERO: return sign_bit;
        case TOP_NUMBERS: return 0;
        }
    }
    if (isinf(value)) return sign | (format->top == TOP_IEEE ? infinity : largest);
    double magnitude = fabs(value);
    int exponent = 0, lowest = 1 - format->bias;
    (void)frexp(magnitude, &exponent);
    exponent = exponent - 1 < lowest || magnitude == 0.0 ? lowest : exponent - 1;
    if (exponent > 2 * (1 << format->exponent_bits)) exponent = 2 * (1 << format->exponent_bits); /* far beyond the largest */
    double scaled = rint(ldexp(magnitude, mantissa_bits - exponent));
    /* The implicit one of a normal number, or a carry out of the mantissa, raises the exponent field by itself. */
    double code = ldexp((double)(exponent - lowest), mantissa_bits) + scaled;
    if (code > (double)largest) return sign | (format->top == TOP_IEEE && !saturates ? infinity : largest);
    if (code == 0.0 && format->top == TOP_NEG_ZERO) return 0;
    return sign | (uint32_t)code;
}

float tn_f32_from_f16(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u, mantissa = bits & 1023u, wide;
    float value;
    if (exponent == 0) {
        value = (float)mantissa * 0x1p-24f;
        memcpy(&wide, &value, sizeof wide);
        wide |= sign;
    } else if (exponent == 31) {
        wide = sign | 0x7f800000u | mantissa << 13;
    } else {
        wide = sign | (exponent + 112u) << 23 | mantissa << 13;
    }
    memcpy(&value, &wide, sizeof value);
    return value;
}

uint16_t tn_f16_from_f32(float value) {
    return (uint16_t)small_float_encode(find_small_float(TN_FLOAT16), (double)value, false);
}

uint16_t tn_bf16_from_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) return (uint16_t)(bits >> 16 | 64u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/* e8m0 has no sign and no zero: code c is 2^(c − 127), 255 NaN. What is at or below the least becomes the least. */
static uint8_t e8m0_encode(double value) {
    if (isnan(value)) return 255;
    if (!(value > 0x1p-127)) return 0;
    if (value >= 0x1p127) return 254;
    int exponent;
    double fraction = frexp(value, &exponent); /* in [0.5, 1) */
    int code = exponent - 1 + 127;
    bool up = fraction > 0.75 || (fraction == 0.75 && (code & 1) != 0);
    return (uint8_t)(up ? code + 1 : code);
}

/* --- elements -------------------------------------------------------------------------------------------------------- */

static uint32_t get_packed(const void *data, int64_t index, unsigned bits) {
    const uint8_t *bytes = data;
    int64_t bit = index * (int64_t)bits;
    return (uint32_t)(bytes[bit / 8] >> (bit % 8)) & ((1u << bits) - 1u);
}

static void set_packed(void *data, int64_t index, unsigned bits, uint32_t value) {
    uint8_t *bytes = data;
    int64_t bit = index * (int64_t)bits;
    uint32_t mask = ((1u << bits) - 1u) << (bit % 8);
    bytes[bit / 8] = (uint8_t)((bytes[bit / 8] & ~mask) | ((value << (bit % 8)) & mask));
}

double tn_dtype_load(tn_dtype dtype, const void *data, int64_t index) {
    union {
        int16_t i16;
        uint16_t u16;
        int32_t i32;
        uint32_t u32;
        int64_t i64;
        uint64_t u64;
        float f32;
        double f64;
    } value;
    const uint8_t *bytes = data;
    unsigned bits = tn_dtype_get_info(dtype)->bits;
    if (bits == 16) memcpy(&value, bytes + index * 2, 2); /* constant sizes: a call for each element else */
    if (bits == 32) memcpy(&value, bytes + index * 4, 4);
    if (bits >= 64) memcpy(&value, bytes + index * (bits / 8), 8);
    switch (dtype) {
    case TN_BOOL: return bytes[index] != 0 ? 1.0 : 0.0;
    case TN_INT2: return (double)((int)(get_packed(data, index, 2) ^ 2u) - 2);
    case TN_UINT2: return (double)get_packed(data, index, 2);
    case TN_INT4: return (double)((int)(get_packed(data, index, 4) ^ 8u) - 8);
    case TN_UINT4: return (double)get_packed(data, index, 4);
    case TN_INT8: return (double)(int8_t)bytes[index];
    case TN_UINT8: return (double)bytes[index];
    case TN_INT16: return (double)value.i16;
    case TN_UINT16: return (double)value.u16;
    case TN_INT32: return (double)value.i32;
    case TN_UINT32: return (double)value.u32;
    case TN_INT64: return (double)value.i64;
    case TN_UINT64: return (double)value.u64;
    case TN_FLOAT16: return (double)tn_f32_from_f16(value.u16);
    case TN_BFLOAT16: return (double)tn_f32_from_bf16(value.u16);
    case TN_FLOAT32: return (double)value.f32;
    case TN_FLOAT64: return value.f64;
    case TN_FLOAT8_E8M0: return bytes[index] == 255 ? (double)NAN : ldexp(1.0, bytes[index] - 127);
    case TN_FLOAT4_E2M1: return small_float_decode(find_small_float(dtype), get_packed(data, index, 4));
    case TN_FLOAT8_E4M3FN:
    case TN_FLOAT8_E4M3FNUZ:
    case TN_FLOAT8_E5M2:
    case TN_FLOAT8_E5M2FNUZ: return small_float_decode(find_small_float(dtype), bytes[index]);
    default: return (double)NAN;
    }
}

static int64_t saturate_signed(double value, unsigned bits) {
    if (isnan(value)) return 0;
    double rounded = rint(value), bound = ldexp(1.0, (int)bits - 1);
    if (rounded >= bound) return bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - 1)) - 1;
    if (rounded < -bound) return bits == 64 ? INT64_MIN : -((int64_t)1 << (bits - 1));
    return (int64_t)rounded;
}

static uint64_t saturate_unsigned(double value, unsigned bits) {
    if (isnan(value)) return 0;
    double rounded = rint(value), bound = ldexp(1.0, (int)bits);
    if (rounded >= bound) return bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
    return rounded <= 0.0 ? 0 : (uint64_t)rounded;
}

static void store_integer(const tn_dtype_info *info, void *data, int64_t index, double value) {
    uint64_t bits = info->is_signed ? (uint64_t)saturate_signed(value, info->bits) : saturate_unsigned(value, info->bits);
    uint8_t *bytes = data;
    switch (info->bits) {
    case 8: bytes[index] = (uint8_t)bits; break;
    case 16: memcpy(bytes + index * 2, &(uint16_t){(uint16_t)bits}, 2); break;
    case 32: memcpy(bytes + index * 4, &(uint32_t){(uint32_t)bits}, 4); break;
    case 64: memcpy(bytes + index * 8, &bits, 8); break;
    default: set_packed(data, index, info->bits, (uint32_t)bits); break;
    }
}

void tn_dtype_store(tn_dtype dtype, void *data, int64_t index, double value) {
    const tn_dtype_info *info = tn_dtype_get_info(dtype);
    uint8_t *bytes = data;
    if (info->is_integer) {
        store_integer(info, data, index, value);
        return;
    }
    switch (dtype) {
    case TN_BOOL: bytes[index] = value != 0.0; break;
    case TN_FLOAT32: memcpy(bytes + index * 4, &(float){(float)value}, 4); break;
    case TN_FLOAT64: memcpy(bytes + index * 8, &value, 8); break;
    case TN_FLOAT16:
    case TN_BFLOAT16: {
        uint16_t code = (uint16_t)small_float_encode(find_small_float(dtype), value, false);
        memcpy(bytes + index * 2, &code, 2);
        break;
    }
    case TN_FLOAT8_E8M0: bytes[index] = e8m0_encode(value); break;
    case TN_FLOAT4_E2M1: set_packed(data, index, 4, small_float_encode(find_small_float(dtype), value, true)); break;
    case TN_FLOAT8_E4M3FN:
    case TN_FLOAT8_E4M3FNUZ:
    case TN_FLOAT8_E5M2:
    case TN_FLOAT8_E5M2FNUZ: bytes[index] = (uint8_t)small_float_encode(find_small_float(dtype), value, true); break;
    default: break;
    }
}
