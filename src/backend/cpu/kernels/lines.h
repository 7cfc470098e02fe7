/* SPDX-License-Identifier: Apache-2.0
 *
 * lines.h: up to NEST_CHUNK elements of a tensor, a stride apart, as float32, double or int64, and back. One rounding where they
 * are stored. float32 that lies together is used where it is.
 */
#ifndef TN_BACKEND_CPU_LINES_H_
#define TN_BACKEND_CPU_LINES_H_

#include "backend/cpu/kernels/vec16.h"
#include "backend/cpu/tensor.h"

V_INLINE vf v_load_bf16_upto(const uint16_t *p, int64_t n) {
    uint16_t part[LANES] = {0};
    if (n >= LANES) return v_load_bf16(p);
    memcpy(part, p, (size_t)n * sizeof *p);
    return v_load_bf16(part);
}
V_INLINE vf v_load_f16_upto(const uint16_t *p, int64_t n) {
    uint16_t part[LANES] = {0};
    if (n >= LANES) return v_load_f16(p);
    memcpy(part, p, (size_t)n * sizeof *p);
    return v_load_f16(part);
}
V_INLINE void v_store_f16_upto(uint16_t *p, vf a, int64_t n) {
    uint16_t part[LANES];
    v_store_f16(n >= LANES ? p : part, a);
    if (n < LANES) memcpy(p, part, (size_t)n * sizeof *p);
}
V_INLINE void v_store_bf16_upto(uint16_t *p, vf a, int64_t n) {
    float values[LANES];
    v_store(values, a);
    for (int64_t i = 0; i < n && i < LANES; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bool is_nan = values[i] != values[i];
        p[i] = (uint16_t)(is_nan ? bits >> 16 | 64u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
    }
}

/* Elements at, at + stride, …; n ≤ NEST_CHUNK. */
static inline const float *line_floats(const tensor *t, int64_t at, int64_t stride, int64_t n, float *buffer) {
    const float *f32 = (const float *)(const void *)t->data + at;
    const uint16_t *half = (const uint16_t *)(const void *)t->data + at;
    if (stride == 0) n = 1;
    if (t->dtype == TN_FLOAT32 && stride == 1) return f32;
    if (t->dtype == TN_FLOAT32) {
        for (int64_t i = 0; i < n; i++) buffer[i] = f32[i * stride];
    } else if (t->dtype == TN_FLOAT16 && stride == 1) {
        for (int64_t i = 0; i < n; i += LANES) v_store(buffer + i, v_load_f16_upto(half + i, n - i));
    } else if (t->dtype == TN_BFLOAT16 && stride == 1) {
        for (int64_t i = 0; i < n; i += LANES) v_store(buffer + i, v_load_bf16_upto(half + i, n - i));
    } else if (t->dtype == TN_FLOAT16) {
        for (int64_t i = 0; i < n; i++) buffer[i] = tn_f32_from_f16(half[i * stride]);
    } else {
        for (int64_t i = 0; i < n; i++) buffer[i] = tn_f32_from_bf16(half[i * stride]);
    }
    return buffer;
}

/* The same; a stride of 0 repeats the element, so that all operands can be read alike. */
static inline const float *line_floats_spread(const tensor *t, int64_t at, int64_t stride, int64_t n, float *buffer) {
    const float *line = line_floats(t, at, stride, n, buffer);
    if (stride != 0) return line;
    for (int64_t i = 0; i < n; i += LANES) v_store(buffer + i, v_set1(line[0]));
    return buffer;
}

/* Where results of a line are collected: in place if that is float32. */
static inline float *line_target(const tensor *t, int64_t at, float *buffer) {
    return t->dtype == TN_FLOAT32 ? (float *)(void *)t->data + at : buffer;
}
static inline void line_store_floats(const tensor *t, int64_t at, int64_t n, const float *values) {
    uint16_t *half = (uint16_t *)(void *)t->data + at;
    float *f32 = (float *)(void *)t->data + at;
    if (t->dtype == TN_FLOAT32 && values != f32) memcpy(f32, values, (size_t)n * sizeof *values);
    for (int64_t i = 0; t->dtype == TN_FLOAT16 && i < n; i += LANES) v_store_f16_upto(half + i, v_load_upto(values + i, n - i), n - i);
    for (int64_t i = 0; t->dtype == TN_BFLOAT16 && i < n; i += LANES) v_store_bf16_upto(half + i, v_load_upto(values + i, n - i), n - i);
}

/* --- integers ------------------------------------------------------------------------------------------------------------------- */

#define LINE_INTEGERS(X) \
    X(TN_BOOL, uint8_t)  \
    X(TN_INT8, int8_t)   \
    X(TN_UINT8, uint8_t) \
    X(TN_INT32, int32_t) \
    X(TN_INT64, int64_t)

static inline void line_ints(const tensor *t, int64_t at, int64_t stride, int64_t n, int64_t *out) {
    switch (t->dtype) {
#define X(dtype, type)                                                      \
    case dtype: {                                                           \
        const type *from = (const type *)(const void *)t->data + at;        \
        for (int64_t i = 0; i < n; i++) out[i] = (int64_t)from[i * stride]; \
        break;                                                              \
    }
        LINE_INTEGERS(X)
#undef X
    default: break;
    }
}

/* Wraps. */
static inline void line_store_ints(const tensor *t, int64_t at, int64_t n, const int64_t *values) {
    switch (t->dtype) {
#define X(dtype, type)                                           \
    case dtype: {                                                \
        type *to = (type *)(void *)t->data + at;                 \
        for (int64_t i = 0; i < n; i++) to[i] = (type)values[i]; \
        break;                                                   \
    }
        LINE_INTEGERS(X)
#undef X
    default: break;
    }
}

/* --- doubles, of every type with a number in an element --------------------------------------------------------------------------- */

/* Types below a byte: `at` counts from the start of the row that `data` points to. */
static inline void line_doubles(tn_dtype dtype, const void *data, int64_t at, int64_t stride, int64_t n, double *out) {
    switch (dtype) {
    case TN_FLOAT32:
        for (int64_t i = 0; i < n; i++) out[i] = (double)((const float *)data)[at + i * stride];
        break;
    case TN_FLOAT64:
        for (int64_t i = 0; i < n; i++) out[i] = ((const double *)data)[at + i * stride];
        break;
    case TN_INT8:
        for (int64_t i = 0; i < n; i++) out[i] = (double)((const int8_t *)data)[at + i * stride];
        break;
    default:
        for (int64_t i = 0; i < n; i++) out[i] = tn_dtype_load(dtype, data, at + i * stride);
        break;
    }
}

static inline void line_store_doubles(tn_dtype dtype, void *data, int64_t at, int64_t n, const double *values) {
    switch (dtype) {
    case TN_FLOAT32:
        for (int64_t i = 0; i < n; i++) ((float *)data)[at + i] = (float)values[i];
        break;
    case TN_FLOAT64: memcpy((double *)data + at, values, (size_t)n * sizeof *values); break;
    case TN_INT8: /* to even, saturating; a NaN is 0 */
        for (int64_t i = 0; i < n; i++) {
            double value = values[i] == values[i] ? rint(values[i]) : 0.0;
            ((int8_t *)data)[at + i] = (int8_t)(value > 127.0 ? 127.0 : value < -128.0 ? -128.0 : value);
        }
        break;
    default:
        for (int64_t i = 0; i < n; i++) tn_dtype_store(dtype, data, at + i, values[i]);
        break;
    }
}

#endif
