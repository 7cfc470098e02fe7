/* SPDX-License-Identifier: Apache-2.0
 *
 * tensors.h: what the tactics over whole tensors share (elementwise.c, move.c, place.c, axes.c).
 */
#ifndef TN_BACKEND_CUDA_TACTICS_TENSORS_H_
#define TN_BACKEND_CUDA_TACTICS_TENSORS_H_

#include "backend/checks.h"
#include "backend/cuda/cuda.h"

/* What kernels compute with; bools beside them where an operation has them. */
#define TN_CUDA_NUMBERS (TN_DTYPES_FLOATS | TN_DTYPES_INTEGERS)

/* TN_ELEMENT_… of a type of TN_CUDA_NUMBERS or bool; 0 for others, which are only moved. */
int tn_cuda_element_of(tn_dtype dtype);
int64_t tn_cuda_num_elements(const tn_operand *operand, const int64_t *symbols);
/* Product of dimensions [begin, end). */
int64_t tn_cuda_span(const tn_operand *operand, int64_t begin, int64_t end, const int64_t *symbols);

/* A tensor's axes with steps in elements of another one. */
typedef struct tn_cuda_axes {
    int count;
    int64_t sizes[TN_MAX_RANK], strides[TN_MAX_RANK];
} tn_cuda_axes;

tn_cuda_axes tn_cuda_axes_of(const tn_operand *operand, const int64_t *symbols); /* row-major */
/* The axes `order[0]`, `order[1]` …; of rank 0: as they are. */
tn_cuda_axes tn_cuda_axes_permute(const tn_cuda_axes *axes, const tn_dims *order);
/* Axes of one element go, neighbours that lie together become one; a single one of stride 1 goes too. */
void tn_cuda_axes_merge(tn_cuda_axes *axes);
/* One constant an axis: size in the low, stride (signed) in the high 32 bits; false: one does not fit. */
bool tn_cuda_axes_store(const tn_cuda_axes *axes, int64_t *out_constants);

#define TN_CUDA_TENSOR_TACTIC(suffix, number, kind, contract, checks, workspace, prepares) \
    const tn_tactic tn_cuda_tactic_##suffix = {                                            \
        .name = #suffix,                                                                   \
        .version = number,                                                                 \
        .numerics = TN_NUMERICS_##contract,                                                \
        .op = TN_OP_##kind,                                                                \
        .supports = checks,                                                                \
        .estimate_us = tn_cuda_estimate_operands_us,                                       \
        .workspace_bytes = workspace,                                                      \
        .prepare = prepares,                                                               \
    };

#endif
