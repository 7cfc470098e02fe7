/* SPDX-License-Identifier: Apache-2.0
 *
 * norm.c: the tactic of NORMALIZATION: a block a row.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/norm_args.h"

enum { SHORT_COLUMNS = 16384 }; /* what the kernel for short rows keeps in registers */

static bool has_input(const tn_problem *problem, uint32_t index) {
    return problem->num_inputs > index && !problem->operands[index].absent;
}

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 1u << 2 | 1u << 3, false, reason, reason_size)) return false;
    if (problem->num_inputs > 4) return tn_refuse(reason, reason_size, "at most x, scale, bias and residual");
    if (has_input(problem, 3) != (problem->num_operands - problem->num_inputs == 2))
        return tn_refuse(reason, reason_size, "the sum is an output exactly where there is a residual");
    return tn_check_all_are(problem, TN_FLOAT32, reason, reason_size);
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_normalization_params *params = problem->params;
    int64_t rows = tn_operand_rows(&problem->operands[0], symbols), columns = tn_operand_columns(&problem->operands[0], symbols);
    *out_launch = (tn_launch){0};
    out_launch->constants[TN_NORM_COLUMNS] = columns;
    out_launch->constants[TN_NORM_IS_RMS] = params->type == TN_NORMALIZATION_RMS;
    tn_cuda_set_real(out_launch, TN_NORM_EPSILON, params->epsilon);
    tn_cuda_set_real(out_launch, TN_NORM_SCALE_OFFSET, params->scale_offset);
    out_launch->constants[TN_NORM_OUTPUT] = problem->num_inputs;
    out_launch->constants[TN_NORM_HAS_BIAS] = has_input(problem, 2);
    out_launch->constants[TN_NORM_HAS_RESIDUAL] = has_input(problem, 3);
    bool is_short = columns % 4 == 0 && columns <= SHORT_COLUMNS;
    /* A few rows wait for their own latency: eight or so values a thread. Many wait for memory: what stays in registers, several rows a
     * multiprocessor. */
    int64_t values_a_thread = rows < 2 * device->num_workers ? 8 : 16;
    uint32_t threads = 128;
    while (threads < 1024 && threads * values_a_thread < columns) threads *= 2;
    tn_cuda_launch_add(out_launch, is_short ? TN_CUDA_KERNEL_normalize_short_rows : TN_CUDA_KERNEL_normalize_rows, rows, 1, 1, threads, 0);
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_normalization = {
    .name = "normalize_rows",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_NORMALIZATION,
    .supports = supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = prepare,
};
