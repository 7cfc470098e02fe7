/* SPDX-License-Identifier: Apache-2.0
 *
 * experts.c: the tactics of ROUTE and COMBINE.
 */
#include <string.h>

#include "backend/cpu/tactics/tactics.h"

static bool route_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    static const tn_dtype outputs[3] = {TN_INT32, TN_INT32, TN_FLOAT32};
    if (!tn_check_complete(problem, 1u << 1, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_inputs; i++)
        if (!tn_check_plain_f32(problem, i, reason, reason_size)) return false;
    for (uint32_t i = 0; i < 3; i++)
        if (problem->operands[problem->num_inputs + i].dtype != outputs[i])
            return tn_refuse(reason, reason_size, "output %u must be %s", i, tn_dtype_name(outputs[i]));
    return true;
}

static size_t route_workspace(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    const tn_route_params *params = problem->params;
    int64_t experts = tn_operand_columns(&problem->operands[0], symbols), tokens = tn_operand_rows(&problem->operands[0], symbols);
    return (size_t)(3 * experts + tokens * params->top_k) * sizeof(float);
}

static tn_status route_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    out_launch->workspace_bytes = route_workspace(device, problem, symbols);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_route), 1, 1, 1);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_route = {
    .name = "route",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_ROUTE,
    .supports = route_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .workspace_bytes = route_workspace,
    .prepare = route_prepare,
};

static bool combine_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (problem->operands[1].dtype != TN_INT32) return tn_refuse(reason, reason_size, "the order must be int32");
    return tn_check_plain_f32(problem, 0, reason, reason_size) && tn_check_plain_f32(problem, 2, reason, reason_size) &&
           tn_check_plain_f32(problem, 3, reason, reason_size);
}

static size_t combine_workspace(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    return (size_t)tn_operand_rows(&problem->operands[0], symbols) * sizeof(int32_t);
}

static tn_status combine_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    out_launch->workspace_bytes = combine_workspace(device, problem, symbols);
    int64_t row_bytes = tn_operand_columns(&problem->operands[0], symbols) * (int64_t)sizeof(float);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_combine_places), 1, 1, 1);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_combine), tn_operand_rows(&problem->operands[3], symbols),
                        row_bytes, 16 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_combine = {
    .name = "combine",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_COMBINE,
    .supports = combine_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .workspace_bytes = combine_workspace,
    .prepare = combine_prepare,
};
