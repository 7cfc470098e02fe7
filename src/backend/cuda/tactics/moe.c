/* SPDX-License-Identifier: Apache-2.0
 *
 * moe.c: the tactics of ROUTE and COMBINE.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "base/checked.h"

/* constants, as in kernels/moe.cu */
enum { NUM_TOKENS, NUM_EXPERTS, TOP_K, ROUTE_TYPE, RENORMALIZE, SCALE, HAS_BIAS, OUTPUT, GROUPS, TOP_GROUPS };
enum { MAX_EXPERTS = 512, FEW_EXPERTS = 128, ROUTE_WARPS = 4, SORT_WARPS = 8 };

static int64_t num_experts(const tn_problem *problem, const int64_t *symbols) {
    return tn_operand_columns(&problem->operands[0], symbols);
}

static bool route_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    static const tn_dtype outputs[3] = {TN_INT32, TN_INT32, TN_FLOAT32};
    const tn_route_params *params = problem->params;
    if (!tn_check_complete(problem, 1u << 1, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_inputs; i++)
        if (!tn_check_plain_f32(problem, i, reason, reason_size)) return false;
    for (uint32_t i = 0; i < 3; i++)
        if (problem->operands[problem->num_inputs + i].dtype != outputs[i])
            return tn_refuse(reason, reason_size, "output %u must be %s", i, tn_dtype_name(outputs[i]));
    return params->top_k <= MAX_EXPERTS || tn_refuse(reason, reason_size, "at most %d experts", MAX_EXPERTS);
}

static size_t route_workspace(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    const tn_route_params *params = problem->params;
    return (size_t)(tn_operand_rows(&problem->operands[0], symbols) * params->top_k) * sizeof(int32_t);
}

static tn_status route_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_route_params *params = problem->params;
    int64_t tokens = tn_operand_rows(&problem->operands[0], symbols), experts = num_experts(problem, symbols);
    *out_launch = (tn_launch){0};
    if (experts > MAX_EXPERTS) return TN_UNSUPPORTED;
    out_launch->constants[NUM_TOKENS] = tokens;
    out_launch->constants[NUM_EXPERTS] = experts;
    out_launch->constants[TOP_K] = params->top_k;
    out_launch->constants[ROUTE_TYPE] = params->type;
    out_launch->constants[RENORMALIZE] = params->renormalize;
    tn_cuda_set_real(out_launch, SCALE, params->scale);
    out_launch->constants[HAS_BIAS] = problem->num_inputs > 1 && !problem->operands[1].absent;
    out_launch->constants[OUTPUT] = problem->num_inputs;
    out_launch->constants[GROUPS] = params->groups;
    out_launch->constants[TOP_GROUPS] = params->top_groups;
    out_launch->workspace_bytes = route_workspace(device, problem, symbols);
    tn_cuda_kernel choose = experts <= FEW_EXPERTS ? TN_CUDA_KERNEL_route_choose_few : TN_CUDA_KERNEL_route_choose;
    tn_cuda_launch_add(out_launch, choose, tn_ceil_div(tokens, ROUTE_WARPS), 1, 1, 32 * ROUTE_WARPS, 0);
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_route_sort, experts + 1, 1, 1, 32 * SORT_WARPS, 0);
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_route = {
    .name = "route",
    .version = 2,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_ROUTE,
    .supports = route_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .workspace_bytes = route_workspace,
    .prepare = route_prepare,
};

/* --- COMBINE ------------------------------------------------------------------------------------------------------------------ */

enum { COMBINE_ROWS, COMBINE_COLUMNS, COMBINE_TOP_K, COMBINE_SEARCHES };
enum { COMBINE_THREADS = 256, MAX_SEARCHED_ROWS = 8 * COMBINE_THREADS };

static bool combine_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (problem->operands[1].dtype != TN_INT32) return tn_refuse(reason, reason_size, "the order must be int32");
    return tn_check_plain_f32(problem, 0, reason, reason_size) && tn_check_plain_f32(problem, 2, reason, reason_size) &&
           tn_check_plain_f32(problem, 3, reason, reason_size);
}

/* Each block looks for its token's rows itself where they are few: one kernel less. */
static bool searches(const tn_problem *problem, const int64_t *symbols) {
    return tn_operand_rows(&problem->operands[0], symbols) <= MAX_SEARCHED_ROWS &&
           tn_operand_columns(&problem->operands[2], symbols) <= MAX_EXPERTS;
}

static size_t combine_workspace(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    return searches(problem, symbols) ? 0 : (size_t)tn_operand_rows(&problem->operands[0], symbols) * sizeof(int32_t);
}

static tn_status combine_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    int64_t rows = tn_operand_rows(&problem->operands[0], symbols), columns = tn_operand_columns(&problem->operands[0], symbols);
    *out_launch = (tn_launch){0};
    out_launch->constants[COMBINE_ROWS] = rows;
    out_launch->constants[COMBINE_COLUMNS] = columns;
    out_launch->constants[COMBINE_TOP_K] = tn_operand_columns(&problem->operands[2], symbols);
    out_launch->constants[COMBINE_SEARCHES] = searches(problem, symbols);
    out_launch->workspace_bytes = combine_workspace(device, problem, symbols);
    if (!searches(problem, symbols))
        tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_combine_places, tn_ceil_div(rows, COMBINE_THREADS), 1, 1, COMBINE_THREADS, 0);
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_combine, tn_operand_rows(&problem->operands[2], symbols),
                       tn_ceil_div(columns, COMBINE_THREADS), 1, COMBINE_THREADS, 0);
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_combine = {
    .name = "combine",
    .version = 2,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_COMBINE,
    .supports = combine_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .workspace_bytes = combine_workspace,
    .prepare = combine_prepare,
};
