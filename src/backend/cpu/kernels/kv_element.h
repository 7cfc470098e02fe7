/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_element.h: the cache's element types by vectors of sixteen: float32 to what is stored, and back. The rules are those of
 * op/kv_geometry.h; scales are applied by who reads.
 */
#ifndef TN_BACKEND_CPU_KV_ELEMENT_H_
#define TN_BACKEND_CPU_KV_ELEMENT_H_

#include "backend/cpu/kernels/vec16.h"
#include "op/kv_geometry.h"

/* Levels in [-448, 448] to bytes, half to even. From 2^-6 up the mantissa is rounded to three bits as an integer; below, values
 * are multiples of 2^-9, and the eighth of them is 2^-6 by itself. */
V_INLINE vi v_to_e4m3(vf x) {
    vi bits = v_as_int(x), magnitude = vi_and(bits, vi_set1(INT32_MAX));
    vi odd = vi_and(vi_shr(magnitude, 20), vi_set1(1));
    vi normal = vi_sub(vi_shr(vi_add(magnitude, vi_add(odd, vi_set1(0x7ffff))), 20), vi_set1(120 << 3));
    vi small = v_to_int(v_mul(v_as_float(magnitude), v_set1(0x1p9f)));
    vm is_small = v_less(v_as_float(magnitude), v_set1(0x1p-6f));
    vi level = v_as_int(v_select(is_small, v_as_float(small), v_as_float(normal)));
    return vi_or(level, vi_and(vi_shr(bits, 24), vi_set1(0x80)));
}

/* Bytes, sign-extended, to their values; 0x7f and 0xff do not occur. */
V_INLINE vf v_from_e4m3(vi bytes) {
    vi magnitude = vi_and(bytes, vi_set1(0x7f));
    vf normal = v_as_float(vi_add(vi_shl(magnitude, 20), vi_set1(120 << 23))), count = v_from_int(magnitude);
    vf value = v_select(v_less(count, v_set1(8.0f)), v_mul(count, v_set1(0x1p-9f)), normal);
    return v_as_float(vi_or(v_as_int(value), vi_and(bytes, vi_set1(INT32_MIN))));
}

/* Sixteen elements from index i on as float32; levels of scaled types as they are. */
V_INLINE vf v_load_element(tn_dtype dtype, const char *data, int64_t i) {
    switch (dtype) {
    case TN_FLOAT16: return v_load_f16((const uint16_t *)(const void *)data + i);
    case TN_BFLOAT16: return v_as_float(vi_shl(vi_load_i16((const int16_t *)(const void *)data + i), 16));
    case TN_INT16: return v_from_int(vi_load_i16((const int16_t *)(const void *)data + i));
    case TN_INT8: return v_from_int(vi_load_i8((const int8_t *)data + i));
    case TN_FLOAT8_E4M3FN: return v_from_e4m3(vi_load_i8((const int8_t *)data + i));
    default: return v_load((const float *)(const void *)data + i);
    }
}

/* Sixteen values to elements at `out`, which has room for all of them. */
V_INLINE void v_store_element(tn_dtype dtype, char *out, vf x) {
    switch (dtype) {
    case TN_FLOAT16: v_store_f16((uint16_t *)(void *)out, x); break;
    case TN_BFLOAT16: {
        vi bits = v_as_int(x), odd = vi_and(vi_shr(bits, 16), vi_set1(1));
        vf rounded = v_as_float(vi_add(bits, vi_add(odd, vi_set1(0x7fff)))), quiet = v_as_float(vi_or(bits, vi_set1(0x400000)));
        vi_store_i16((int16_t *)(void *)out, vi_sar(v_as_int(v_select(v_equal(x, x), rounded, quiet)), 16));
        break;
    }
    case TN_INT16: vi_store_i16((int16_t *)(void *)out, v_to_int(x)); break;
    case TN_INT8: vi_store_i8((int8_t *)out, v_to_int(x)); break;
    case TN_FLOAT8_E4M3FN: vi_store_i8((int8_t *)out, v_to_e4m3(x)); break;
    default: v_store((float *)(void *)out, x); break;
    }
}

/* The largest magnitude of a head's values; NaN if one is not finite. */
V_INLINE float head_largest(const float *x, int64_t dim) {
    vf largest = v_zero();
    bool finite = true;
    for (int64_t d = 0; d < dim; d += LANES) {
        vf magnitude = v_abs(v_load_upto(x + d, dim - d));
        finite = finite && v_all(v_less(magnitude, v_set1(INFINITY)));
        largest = v_max(largest, magnitude);
    }
    return finite ? v_largest(largest) : NAN;
}

#endif
