/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_dtype.c: the dtypes of safetensors.
 */
#include "base/checked.h"
#include "format/safetensors.h"

static const struct {
    const char *name;
    int64_t bits;
} dtypes[TN_NUM_DTYPES] = {
    [TN_BOOL] = {"BOOL", 8},
    [TN_INT8] = {"I8", 8},
    [TN_UINT8] = {"U8", 8},
    [TN_INT16] = {"I16", 16},
    [TN_UINT16] = {"U16", 16},
    [TN_INT32] = {"I32", 32},
    [TN_UINT32] = {"U32", 32},
    [TN_INT64] = {"I64", 64},
    [TN_UINT64] = {"U64", 64},
    [TN_FLOAT16] = {"F16", 16},
    [TN_BFLOAT16] = {"BF16", 16},
    [TN_FLOAT32] = {"F32", 32},
    [TN_FLOAT64] = {"F64", 64},
    [TN_COMPLEX64] = {"C64", 64},
    [TN_FLOAT8_E4M3FN] = {"F8_E4M3", 8},
    [TN_FLOAT8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [TN_FLOAT8_E5M2] = {"F8_E5M2", 8},
    [TN_FLOAT8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [TN_FLOAT8_E8M0] = {"F8_E8M0", 8},
    [TN_FLOAT4_E2M1] = {"F4", 4},
};

const char *tn_safetensors_dtype_name(tn_dtype dtype) {
    return (unsigned)dtype < TN_NUM_DTYPES ? dtypes[dtype].name : NULL;
}

bool tn_safetensors_tensor_bytes(tn_dtype dtype, const tn_dims *dims, uint64_t *out_bytes) {
    if (tn_safetensors_dtype_name(dtype) == NULL || dims->rank < 0 || dims->rank > TN_MAX_RANK) return false;
    int64_t bits = dtypes[dtype].bits;
    for (int32_t i = 0; i < dims->rank; i++)
        if (dims->d[i] < 0 || !tn_mul_i64(bits, dims->d[i], &bits)) return false;
    if (bits % 8 != 0) return false;
    *out_bytes = (uint64_t)bits / 8;
    return true;
}
