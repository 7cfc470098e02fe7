/* SPDX-License-Identifier: Apache-2.0
 *
 * tensors.c: see tensors.h.
 */
#include "backend/cuda/tactics/tensors.h"

#include "backend/cuda/kernels/elements.h"

int tn_cuda_element_of(tn_dtype dtype) {
    switch (dtype) {
    case TN_FLOAT16: return TN_ELEMENT_F16;
    case TN_BFLOAT16: return TN_ELEMENT_BF16;
    case TN_BOOL: return TN_ELEMENT_BOOL;
    case TN_INT8: return TN_ELEMENT_I8;
    case TN_UINT8: return TN_ELEMENT_U8;
    case TN_INT32: return TN_ELEMENT_I32;
    case TN_INT64: return TN_ELEMENT_I64;
    default: return TN_ELEMENT_F32;
    }
}

int64_t tn_cuda_num_elements(const tn_operand *operand, const int64_t *symbols) {
    return tn_cuda_span(operand, 0, operand->rank, symbols);
}

int64_t tn_cuda_span(const tn_operand *operand, int64_t begin, int64_t end, const int64_t *symbols) {
    int64_t product = 1;
    for (int64_t i = begin; i < end; i++) product *= tn_operand_dim(operand, (int)i, symbols);
    return product;
}

tn_cuda_axes tn_cuda_axes_of(const tn_operand *operand, const int64_t *symbols) {
    tn_cuda_axes axes = {.count = operand->rank};
    int64_t stride = 1;
    for (int i = operand->rank - 1; i >= 0; i--) {
        axes.sizes[i] = tn_operand_dim(operand, i, symbols);
        axes.strides[i] = stride;
        stride *= axes.sizes[i];
    }
    return axes;
}

tn_cuda_axes tn_cuda_axes_permute(const tn_cuda_axes *axes, const tn_dims *order) {
    tn_cuda_axes permuted = *axes;
    for (int i = 0; i < order->rank; i++) {
        permuted.sizes[i] = axes->sizes[order->d[i]];
        permuted.strides[i] = axes->strides[order->d[i]];
    }
    return permuted;
}

void tn_cuda_axes_merge(tn_cuda_axes *axes) {
    int count = 0;
    for (int i = 0; i < axes->count; i++) {
        int64_t size = axes->sizes[i], stride = axes->strides[i];
        if (size == 1) continue;
        if (count > 0 && axes->strides[count - 1] == stride * size) {
            axes->sizes[count - 1] *= size;
            axes->strides[count - 1] = stride;
        } else {
            axes->sizes[count] = size;
            axes->strides[count++] = stride;
        }
    }
    if (count == 1 && axes->strides[0] == 1) count = 0;
    axes->count = count;
}

bool tn_cuda_axes_store(const tn_cuda_axes *axes, int64_t *out_constants) {
    for (int i = 0; i < axes->count; i++) {
        if (axes->sizes[i] > UINT32_MAX || axes->strides[i] > INT32_MAX || axes->strides[i] < INT32_MIN) return false;
        out_constants[i] = (int64_t)((uint64_t)axes->strides[i] << 32 | (uint64_t)axes->sizes[i]);
    }
    return true;
}
