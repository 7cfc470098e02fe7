/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_geometry.h: the shape of a paged key/value cache group: layers that share a block table. Block = tokens_per_block
 * positions of one sequence in all layers of the group; how bytes lie inside a block is the backend's business.
 *
 * float32, float16 and bfloat16 caches hold values rounded to their type. Scaled caches (int16, int8, float8_e4m3fn) hold, for
 * each token and key/value head, one float32 scale for its key and one for its value, and levels: with the largest magnitude a
 * of the head's values and L = 32767, 127 or 448
 *     scale = a / L,  level = x · (L / a) in float32, rounded half to even to an integer or to the float8 type
 * a < 2⁻¹¹¹ gives scale 0 and levels 0. A NaN or infinity anywhere in the head gives scale NaN and levels 0: it is seen at the
 * output and not hidden. Every backend makes the same scale and levels from the same floats.
 */
#ifndef TN_OP_KV_GEOMETRY_H_
#define TN_OP_KV_GEOMETRY_H_

#include <math.h>

#include "op/op.h"

typedef struct tn_kv_geometry {
    int64_t num_layers, num_kv_heads, k_dim, v_dim; /* dims are a head's */
    int64_t tokens_per_block;                       /* power of two, 16 to 256 */
    tn_dtype dtype;                                 /* tn_kv_dtype_is_known */
} tn_kv_geometry;

/* L of the scaled types; 0: the type holds values as they are. */
static inline float tn_kv_levels(tn_dtype dtype) {
    return dtype == TN_INT16 ? 32767.0f : dtype == TN_INT8 ? 127.0f : dtype == TN_FLOAT8_E4M3FN ? 448.0f : 0.0f;
}
static inline bool tn_kv_dtype_is_known(tn_dtype dtype) {
    return dtype == TN_FLOAT32 || dtype == TN_FLOAT16 || dtype == TN_BFLOAT16 || tn_kv_levels(dtype) > 0;
}
#define TN_KV_DTYPES "float32, float16, bfloat16, int16, int8 and float8_e4m3fn"

/* What the scale is, and what values are multiplied by to get levels; largest: NaN if a value is not finite. */
typedef struct tn_kv_scale {
    float scale, inverse;
} tn_kv_scale;
static inline tn_kv_scale tn_kv_scale_of(tn_dtype dtype, float largest) {
    float levels = tn_kv_levels(dtype);
    if (!(largest < INFINITY)) return (tn_kv_scale){NAN, 0.0f};
    return largest < 0x1p-111f ? (tn_kv_scale){0.0f, 0.0f} : (tn_kv_scale){largest / levels, levels / largest};
}

/* Bytes that one token takes in all layers, but for what a backend pads. */
static inline int64_t tn_kv_token_bytes(const tn_kv_geometry *geometry) {
    int64_t element_bytes = geometry->dtype == TN_FLOAT32 ? 4 : geometry->dtype == TN_INT8 || geometry->dtype == TN_FLOAT8_E4M3FN ? 1 : 2;
    int64_t scales_bytes = tn_kv_levels(geometry->dtype) > 0 ? 2 * (int64_t)sizeof(float) : 0;
    return geometry->num_layers * geometry->num_kv_heads * ((geometry->k_dim + geometry->v_dim) * element_bytes + scales_bytes);
}

/* From the TN_KV_FIELDS of a parameter struct. */
#define TN_KV_GEOMETRY(params)                                                                                                    \
    ((tn_kv_geometry){(params)->num_layers, (params)->num_kv_heads, (params)->k_dim, (params)->v_dim, (params)->tokens_per_block, \
                      (params)->cache_dtype})

#endif
