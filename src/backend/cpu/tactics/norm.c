/* SPDX-License-Identifier: Apache-2.0
 *
 * norm.c: the tactic of NORMALIZATION.
 */
#include <string.h>

#include "backend/cpu/tactics/tactics.h"

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 1u << 2 | 1u << 3, true, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_inputs; i++)
        if (!tn_check_plain_f32(problem, i, reason, reason_size)) return false;
    for (uint32_t i = problem->num_inputs + 1; i < problem->num_operands; i++)
        if (problem->operands[i].dtype != TN_FLOAT32) return tn_refuse(reason, reason_size, "the sum is float32 only");
    bool residual = problem->num_inputs > 3 && !problem->operands[3].absent;
    if (problem->num_inputs > 4) return tn_refuse(reason, reason_size, "at most x, scale, bias and residual");
    if (residual != (problem->num_operands - problem->num_inputs == 2))
        return tn_refuse(reason, reason_size, "the sum is an output exactly where there is a residual");
    return tn_check_epilogues(problem, 1u << TN_EPILOGUE_QUANTIZE, reason, reason_size);
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    int64_t row_bytes = tn_operand_columns(&problem->operands[0], symbols) * (int64_t)sizeof(float);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_normalization),
                        tn_operand_rows(&problem->operands[0], symbols), row_bytes, 8 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_normalization = {
    .name = "normalization_rows",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_NORMALIZATION,
    .supports = supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = prepare,
};
