/* SPDX-License-Identifier: Apache-2.0
 *
 * ggml_type.c: the tensor types of GGUF: names and block sizes. Sizes are given as what a block holds (f16 scales, packed
 * bits), so that each line can be checked against the format's description.
 */
#include "base/checked.h"
#include "format/gguf.h"

typedef struct type_info {
    const char *name;
    uint16_t block_values, block_bytes;
} type_info;

static const type_info types[] = {
    [TN_GGML_F32] = {"F32", 1, 4},
    [TN_GGML_F16] = {"F16", 1, 2},
    [TN_GGML_Q4_0] = {"Q4_0", 32, 2 + 16},         /* d, 4 bits each */
    [TN_GGML_Q4_1] = {"Q4_1", 32, 2 + 2 + 16},     /* d, m */
    [TN_GGML_Q5_0] = {"Q5_0", 32, 2 + 4 + 16},     /* d, fifth bits, 4 bits each */
    [TN_GGML_Q5_1] = {"Q5_1", 32, 2 + 2 + 4 + 16}, /* d, m, fifth bits */
    [TN_GGML_Q8_0] = {"Q8_0", 32, 2 + 32},
    [TN_GGML_Q8_1] = {"Q8_1", 32, 2 + 2 + 32}, /* d, sum */
    [TN_GGML_Q2_K] = {"Q2_K", 256, 16 + 64 + 2 + 2},
    [TN_GGML_Q3_K] = {"Q3_K", 256, 32 + 64 + 12 + 2},
    [TN_GGML_Q4_K] = {"Q4_K", 256, 2 + 2 + 12 + 128},
    [TN_GGML_Q5_K] = {"Q5_K", 256, 2 + 2 + 12 + 32 + 128},
    [TN_GGML_Q6_K] = {"Q6_K", 256, 128 + 64 + 16 + 2},
    [TN_GGML_Q8_K] = {"Q8_K", 256, 4 + 256 + 32},
    [TN_GGML_IQ2_XXS] = {"IQ2_XXS", 256, 2 + 64},
    [TN_GGML_IQ2_XS] = {"IQ2_XS", 256, 2 + 64 + 8},
    [TN_GGML_IQ3_XXS] = {"IQ3_XXS", 256, 2 + 96},
    [TN_GGML_IQ1_S] = {"IQ1_S", 256, 2 + 32 + 16},
    [TN_GGML_IQ4_NL] = {"IQ4_NL", 32, 2 + 16},
    [TN_GGML_IQ3_S] = {"IQ3_S", 256, 2 + 64 + 8 + 32 + 4},
    [TN_GGML_IQ2_S] = {"IQ2_S", 256, 2 + 64 + 8 + 8},
    [TN_GGML_IQ4_XS] = {"IQ4_XS", 256, 2 + 2 + 4 + 128},
    [TN_GGML_I8] = {"I8", 1, 1},
    [TN_GGML_I16] = {"I16", 1, 2},
    [TN_GGML_I32] = {"I32", 1, 4},
    [TN_GGML_I64] = {"I64", 1, 8},
    [TN_GGML_F64] = {"F64", 1, 8},
    [TN_GGML_IQ1_M] = {"IQ1_M", 256, 32 + 16 + 8},
    [TN_GGML_BF16] = {"BF16", 1, 2},
    [TN_GGML_TQ1_0] = {"TQ1_0", 256, 48 + 4 + 2},
    [TN_GGML_TQ2_0] = {"TQ2_0", 256, 64 + 2},
    [TN_GGML_MXFP4] = {"MXFP4", 32, 1 + 16},
};
enum { num_types = sizeof types / sizeof types[0] };

const char *tn_ggml_type_name(uint32_t type) {
    return type < num_types ? types[type].name : NULL;
}

bool tn_ggml_type_block(uint32_t type, int64_t *out_block_values, int64_t *out_block_bytes) {
    if (tn_ggml_type_name(type) == NULL) return false;
    *out_block_values = types[type].block_values;
    *out_block_bytes = types[type].block_bytes;
    return true;
}

bool tn_ggml_tensor_bytes(uint32_t type, const tn_dims *dims, uint64_t *out_bytes) {
    int64_t block_values, block_bytes, bytes, values = 1;
    if (!tn_ggml_type_block(type, &block_values, &block_bytes) || dims->rank < 1) return false;
    for (int32_t i = 0; i < dims->rank; i++)
        if (dims->d[i] < 1 || !tn_mul_i64(values, dims->d[i], &values)) return false;
    if (dims->d[dims->rank - 1] % block_values != 0) return false;
    if (!tn_mul_i64(values / block_values, block_bytes, &bytes)) return false;
    *out_bytes = (uint64_t)bytes;
    return true;
}
