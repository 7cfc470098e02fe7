/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/dtype.h: element types and shapes.
 */
#ifndef TENON_DTYPE_H_
#define TENON_DTYPE_H_

#include <stdint.h>

#include "tenon/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TN_MAX_RANK 8

/* Values are for this process only: files store names. Sub-byte types are packed low bits first, rows padded to a byte. */
typedef enum tn_dtype {
    TN_DTYPE_NONE = 0,
    TN_BOOL, /* one byte, 0 or 1 */
    TN_INT2,
    TN_UINT2,
    TN_INT4,
    TN_UINT4,
    TN_INT8,
    TN_UINT8,
    TN_INT16,
    TN_UINT16,
    TN_INT32,
    TN_UINT32,
    TN_INT64,
    TN_UINT64,
    TN_FLOAT16,
    TN_BFLOAT16,
    TN_FLOAT32,
    TN_FLOAT64,
    TN_COMPLEX64,
    TN_COMPLEX128,
    TN_FLOAT8_E4M3FN,
    TN_FLOAT8_E4M3FNUZ,
    TN_FLOAT8_E5M2,
    TN_FLOAT8_E5M2FNUZ,
    TN_FLOAT8_E8M0,
    TN_FLOAT4_E2M1,
    /* Quantised activations (op/quantized_rows.h): one scale for 32 values along the last dimension. Made and read by
     * fused layers; never a network's input or output. */
    TN_Q15_32,
    TN_Q8_32,
    TN_NUM_DTYPES
} tn_dtype;

/* "float32", "int4", "q15_32"; "none" for TN_DTYPE_NONE; NULL for a value outside the enum. Static. */
TN_API const char *tn_dtype_name(tn_dtype dtype);

typedef struct tn_dims {
    int32_t rank;           /* 0 = scalar, at most TN_MAX_RANK */
    int64_t d[TN_MAX_RANK]; /* −1 = known at run time */
} tn_dims;

/* TN_DIMS(-1, 784); a scalar is TN_SCALAR. */
#define TN_DIMS(...) ((tn_dims){(int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#define TN_SCALAR    ((tn_dims){0, {0}})

#ifdef __cplusplus
}
#endif
#endif
