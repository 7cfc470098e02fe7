/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_rows.h: QUANTIZE_ROWS: float32 [rows, n] → q15_32 or q8_32 [rows, n]. A tile is a row.
 */
#ifndef TN_BACKEND_CPU_QUANTIZE_ROWS_H_
#define TN_BACKEND_CPU_QUANTIZE_ROWS_H_

#include "backend/cpu/kernels/quantize.h"
#include "op/tactic.h"

void TN_ISA_NAME(tn_cpu_quantize_rows)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_quantize_rows)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tn_dtype dtype = step->problem->operands[1].dtype;
    int64_t columns = tn_operand_columns(&step->problem->operands[0], step->symbols);
    size_t row_bytes = tn_quantized_row_bytes(dtype, columns);
    const float *x = step->buffers[0];
    char *rows = step->buffers[1];
    for (int64_t r = begin; r < end; r++) v_quantize_columns(dtype, x + r * columns, 0, columns, columns, rows + (size_t)r * row_bytes);
}

#endif
