/* SPDX-License-Identifier: Apache-2.0
 *
 * link.c: what a norm, attention or a gated product makes for matmul_wgmma alone is rounded and packed by the kernel that makes it
 * (kernels/packed_rows.cuh), as pack_rows would: the same bits, without float32 written and read again.
 */
#include "backend/cost.h"
#include "backend/cuda/device.h"
#include "backend/cuda/kernels/attention_args.h"
#include "backend/cuda/kernels/matmul_args.h"
#include "backend/cuda/kernels/norm_args.h"

static bool write_packed(tn_launch *launch) {
    if (launch->cuda.num_phases == 0) return false;
    uint32_t kernel = launch->cuda.phases[launch->cuda.num_phases - 1].kernel;
    switch (tn_cuda_kernel_source((tn_cuda_kernel)kernel)) {
    case TN_CUDA_SOURCE_norm:
        if (kernel != TN_CUDA_KERNEL_normalize_short_rows) return false;
        launch->constants[TN_NORM_Y_IS_PACKED] = 1;
        return true;
    case TN_CUDA_SOURCE_attention_decode:
        if (launch->cuda.phases[0].num_threads != 128) return false; /* kernels for few sequences: a matter of registers */
        launch->constants[TN_ATTENTION_FLAGS] |= TN_ATTENTION_Y_IS_PACKED;
        return true;
    case TN_CUDA_SOURCE_attention_wgmma: launch->constants[TN_ATTENTION_FLAGS] |= TN_ATTENTION_Y_IS_PACKED; return true;
    case TN_CUDA_SOURCE_matmul_wgmma: launch->constants[TN_MATMUL_PACKED] |= TN_MATMUL_Y_IS_PACKED; return true;
    default: return false;
    }
}

void tn_cuda_link(const tn_problem *first, tn_launch *first_launch, const tn_problem *second, tn_launch *second_launch,
                  const int64_t *symbols) {
    const tn_operand *made = &first->operands[first->num_inputs], *read = &second->operands[0];
    int64_t rows = tn_operand_rows(read, symbols), columns = tn_operand_columns(read, symbols);
    if (tn_operand_rows(made, symbols) != rows || tn_operand_columns(made, symbols) != columns) return;
    if (columns % 64 != 0 || rows < 32) return; /* whole tiles of 64 × 64 of 16 bits, in the place of the rows' 32 */
    if (second_launch->cuda.num_phases != 2 || second_launch->cuda.phases[0].kernel != TN_CUDA_KERNEL_pack_rows) return;
    if (!write_packed(first_launch)) return;
    second_launch->constants[TN_MATMUL_PACKED] |= TN_MATMUL_X_IS_PACKED;
    second_launch->cuda.phases[0] = second_launch->cuda.phases[1];
    second_launch->cuda.num_phases = 1;
}
