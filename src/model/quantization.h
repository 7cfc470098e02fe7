/* SPDX-License-Identifier: Apache-2.0
 *
 * quantization.h: quantised checkpoints of Hugging Face directories, as weights.
 *
 *     quant_method         tensors beside X.weight's name                       becomes
 *     awq (gemm)           X.qweight, X.qzeros, X.scales                        affine uint4, a zero a group
 *     gptq, 4 and 8 bits   X.qweight, X.qzeros, X.scales, X.g_idx               affine uint4 or uint8, with perm where g_idx is out of order
 *     compressed-tensors   X.weight_packed, X.weight_scale[, _zero_point]       affine int4 or int8 (with zeros uint4, uint8)
 *                          X.weight (int8 or fp8), X.weight_scale               affine int8, affine fp8
 *     fp8                  X.weight, X.weight_scale_inv or X.weight_scale       affine fp8, by blocks or as a whole
 *     mxfp4                X_blocks, X_scales                                   mx
 *
 * A tensor that has none of these is what it says it is. How activations are to be quantised is not read: they are kept finer here.
 */
#ifndef TN_MODEL_QUANTIZATION_H_
#define TN_MODEL_QUANTIZATION_H_

#include "format/json.h"
#include "format/safetensors.h"
#include "op/encoding.h"

typedef enum tn_quantization_method {
    TN_QUANTIZATION_NONE = 0,
    TN_QUANTIZATION_AWQ,
    TN_QUANTIZATION_GPTQ,
    TN_QUANTIZATION_COMPRESSED,
    TN_QUANTIZATION_FP8,
    TN_QUANTIZATION_MXFP4
} tn_quantization_method;

typedef struct tn_quantization {
    tn_quantization_method method;
    int bits;                       /* 4 or 8, where weights are integers */
    bool zeros_are_one_less;        /* GPTQ's first form */
    int64_t block_rows, block_cols; /* of FP8's scales; 0: not by blocks */
} tn_quantization;

/* config.json's quantization_config; what is not built is refused by name. Absent values have the formats' own defaults. */
TN_MUST_CHECK tn_status tn_quantization_from_json(const tn_json_value *value, tn_diag *diag, tn_quantization *out_quantization);

/* Of columns in other than their own order. */
#define TN_QUANTIZED_MAX_GROUPS 2048

/* One weight made of several tensors. */
typedef struct tn_quantized_weight {
    tn_weight_desc desc;
    const tn_safetensors_tensor *data, *scale, *zero,
        *order; /* order: columns' groups, if out of order; stored columns have them in order */
    int64_t num_groups;
} tn_quantized_weight;

/* TN_NOT_FOUND: `name` is not made of several tensors. TN_INVALID_DATA or TN_UNSUPPORTED: *out_problem says what is wrong. */
tn_status tn_quantized_find(const tn_safetensors *files, const tn_quantization *quantization, const char *name,
                            tn_quantized_weight *out_weight, const char **out_problem);
/* Bytes of whole rows of a part. AWQ and GPTQ store columns before rows: the files must be mapped. */
TN_MUST_CHECK tn_status tn_quantized_read(const tn_safetensors *files, const tn_quantization *quantization,
                                          const tn_quantized_weight *weight, tn_weight_part part, uint64_t offset, size_t size_bytes,
                                          void *dst, tn_diag *diag);

#endif
