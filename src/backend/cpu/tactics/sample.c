/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.c: the tactic of SAMPLE.
 */
#include <string.h>

#include "backend/cpu/tactics/tactics.h"
#include "base/checked.h"

enum { LANES = 16, ARRAYS = 3 };

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    static const tn_dtype inputs[5] = {TN_FLOAT32, TN_INT32, TN_INT32, TN_DTYPE_NONE, TN_UINT32};
    static const tn_dtype outputs[3] = {TN_INT32, TN_INT32, TN_FLOAT32};
    if (!tn_check_complete(problem, 1u << 4, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_inputs; i++)
        if (i != 3 && !problem->operands[i].absent && problem->operands[i].dtype != inputs[i])
            return tn_refuse(reason, reason_size, "input %u must be %s", i, tn_dtype_name(inputs[i]));
    for (uint32_t i = 0; i < 3; i++)
        if (problem->operands[problem->num_inputs + i].dtype != outputs[i])
            return tn_refuse(reason, reason_size, "output %u must be %s", i, tn_dtype_name(outputs[i]));
    return true;
}

static size_t workspace_bytes(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    int64_t padded = tn_round_up(tn_operand_columns(&problem->operands[0], symbols), LANES);
    return (size_t)(device->num_workers * padded * ARRAYS) * sizeof(float);
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    out_launch->workspace_bytes = workspace_bytes(device, problem, symbols);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_sample), tn_operand_rows(&problem->operands[0], symbols), 1,
                        1);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_sample = {
    .name = "sample_rows",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_SAMPLE,
    .supports = supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
};
