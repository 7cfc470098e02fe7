/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_rows.c: the tactic of QUANTIZE_ROWS.
 */
#include <string.h>

#include "backend/cpu/tactics/tactics.h"

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    tn_dtype to = problem->operands[1].dtype;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (problem->operands[0].dtype != TN_FLOAT32 || problem->operands[0].role == TN_ROLE_WEIGHT)
        return tn_refuse(reason, reason_size, "float32 values only");
    return to == TN_Q15_32 || to == TN_Q8_32 || tn_refuse(reason, reason_size, "to q15_32 and q8_32 only");
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    int64_t row_bytes = tn_operand_columns(&problem->operands[0], symbols) * (int64_t)sizeof(float);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_quantize_rows),
                        tn_operand_rows(&problem->operands[0], symbols), row_bytes, 16 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_quantize_rows = {
    .name = "quantize_rows",
    .version = 1,
    .numerics = TN_NUMERICS_EXACT,
    .op = TN_OP_QUANTIZE_ROWS,
    .supports = supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = prepare,
};
