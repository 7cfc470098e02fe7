/* SPDX-License-Identifier: Apache-2.0
 *
 * axes.c: the tactics of what gathers values along axes: REDUCE, SOFTMAX, RAGGED_SOFTMAX, NORMALIZATION_ND, NORMALIZATION of half
 * types, LRN, CUMULATIVE. The kernels are kernels/axes.h.
 */
#include "backend/cpu/axes.h"

#include <string.h>

#include "backend/cpu/tactics/tactics.h"
#include "base/checked.h"

enum { LANES = 16 };

static void add_axis(nest *n, int64_t size, const int64_t *strides, int num_operands) {
    n->dims[n->rank] = size;
    for (int k = 0; k < num_operands; k++) n->strides[k][n->rank] = strides[k];
    n->rank++;
}

axes_plan tn_cpu_axes_plan(const tensor *x, int64_t axes, int64_t groups, const tensor *weights, int num_weights) {
    axes_plan plan = {.num_kept = 1, .num_inner = 1};
    int num_operands = 1 + num_weights;
    plan.kept.num_operands = plan.inner.num_operands = num_operands;
    for (int i = 0; i < x->rank; i++) {
        int64_t strides[1 + 2] = {x->strides[i]}, group_strides[1 + 2] = {0}, channels = groups > 1 && i == 1 ? x->dims[i] / groups : 0;
        bool is_inner = (axes >> i & 1) != 0;
        group_strides[0] = channels * strides[0];
        for (int k = 0; k < num_weights; k++) {
            int at = i - (x->rank - weights[k].rank); /* aligned at the end */
            bool has_own = at >= 0 && weights[k].dims[at] != 1;
            strides[1 + k] = has_own ? weights[k].strides[at] : 0;
            if (channels == 0) continue;
            bool by_channel = has_own && weights[k].dims[at] == x->dims[i];
            group_strides[1 + k] = strides[1 + k] * (by_channel ? channels : 1);
            if (!by_channel) strides[1 + k] = 0;
        }
        if (channels != 0) {
            add_axis(&plan.kept, groups, group_strides, num_operands);
            add_axis(&plan.inner, channels, strides, num_operands);
            plan.num_kept *= groups;
            plan.num_inner *= channels;
            continue;
        }
        add_axis(is_inner ? &plan.inner : &plan.kept, x->dims[i], strides, num_operands);
        *(is_inner ? &plan.num_inner : &plan.num_kept) *= x->dims[i];
    }
    nest_end(&plan.kept, false);
    nest_end(&plan.inner, false);
    bool is_together = plan.inner.strides[0][plan.inner.rank - 1] == 1 || plan.num_inner == 1;
    plan.is_across = !is_together && plan.kept.strides[0][plan.kept.rank - 1] == 1 && plan.kept.line > 1;
    return plan;
}

static tn_status launch(const tn_device_info *device, tn_cpu_kernel kernel, int64_t num_tiles, int64_t bytes_per_tile,
                        tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, kernel), num_tiles, bytes_per_tile, 16 << 10);
    return TN_OK;
}

/* --- REDUCE --------------------------------------------------------------------------------------------------------------------------------- */

static bool reduce_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_equal_types(problem, 0, TN_DTYPES_FLOATS | TN_DTYPES_INTEGERS, reason, reason_size);
}

static tn_status reduce_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    tensor x = tensor_make(problem, symbols, NULL, 0);
    axes_plan plan = tn_cpu_axes_plan(&x, ((const tn_reduce_params *)problem->params)->axes, 1, NULL, 0);
    bool is_across = plan.is_across && tn_dtype_get_info(x.dtype)->is_float;
    int64_t num_tiles = is_across ? plan.kept.num_lines * tn_ceil_div(plan.kept.line, LANES) : plan.num_kept;
    return launch(device, TN_KERNEL_reduce, num_tiles, plan.num_inner * (is_across ? 4 * LANES : 4), out_launch);
}

/* --- SOFTMAX, RAGGED_SOFTMAX ------------------------------------------------------------------------------------------------------------------ */

static bool softmax_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (problem->operands[0].rank == 0) return tn_refuse(reason, reason_size, "no scalars");
    return tn_check_equal_types(problem, 0, TN_DTYPES_FLOATS, reason, reason_size);
}

static tn_status softmax_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    tensor x = tensor_make(problem, symbols, NULL, 0);
    int64_t axis = ((const tn_softmax_params *)problem->params)->axis;
    axis_walk w = tensor_axis(&x, axis < 0 ? axis + x.rank : axis);
    int64_t width = w.inner == 1 ? 1 : LANES;
    return launch(device, TN_KERNEL_softmax, w.outer * tn_ceil_div(w.inner, width), w.length * width * 4, out_launch);
}

static bool ragged_softmax_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (problem->operands[2].dtype != problem->operands[0].dtype) return tn_refuse(reason, reason_size, "x and y of one type only");
    return tn_check_type(problem, 0, TN_DTYPES_FLOATS, reason, reason_size) &&
           tn_check_type(problem, 1, TN_DTYPES_INDICES, reason, reason_size);
}

static tn_status ragged_softmax_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                        tn_launch *out_launch) {
    const tn_operand *x = &problem->operands[0];
    return launch(device, TN_KERNEL_ragged_softmax, tn_operand_rows(x, symbols), tn_operand_columns(x, symbols) * 4, out_launch);
}

/* --- NORMALIZATION_ND, NORMALIZATION, LRN, CUMULATIVE --------------------------------------------------------------------------------------------- */

static bool normalization_nd_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_equal_types(problem, 1u << 2, TN_DTYPES_FLOATS, reason, reason_size);
}

static bool normalization_half_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (problem->num_inputs > 3 || problem->num_operands != problem->num_inputs + 1)
        return tn_refuse(reason, reason_size, "without a residual only");
    return tn_check_equal_types(problem, 1u << 2, TN_DTYPE_BIT(TN_FLOAT16) | TN_DTYPE_BIT(TN_BFLOAT16), reason, reason_size);
}

static tn_status normalization_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                       tn_launch *out_launch) {
    tensor x = tensor_make(problem, symbols, NULL, 0);
    const tn_normalization_nd_params *params = problem->params;
    bool is_nd = problem->op == TN_OP_NORMALIZATION_ND;
    axes_plan plan =
        is_nd ? tn_cpu_axes_plan(&x, params->axes, params->groups, NULL, 0) : tn_cpu_axes_plan(&x, (int64_t)1 << (x.rank - 1), 1, NULL, 0);
    return launch(device, TN_KERNEL_normalization_nd, plan.num_inner > 0 ? plan.num_kept : 0, plan.num_inner * 4, out_launch);
}

static bool lrn_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_equal_types(problem, 0, TN_DTYPES_FLOATS, reason, reason_size);
}

static tn_status lrn_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    tensor x = tensor_make(problem, symbols, NULL, 0);
    axis_walk w = tensor_axis(&x, 1);
    return launch(device, TN_KERNEL_lrn, w.outer * w.length, w.inner * 16, out_launch);
}

static bool cumulative_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_equal_types(problem, 0, TN_DTYPES_FLOATS | TN_DTYPES_INTEGERS, reason, reason_size);
}

static tn_status cumulative_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                    tn_launch *out_launch) {
    tensor x = tensor_make(problem, symbols, NULL, 0);
    axis_walk w = tensor_axis(&x, ((const tn_cumulative_params *)problem->params)->axis);
    int64_t width = w.inner < NEST_CHUNK ? w.inner : NEST_CHUNK;
    return launch(device, TN_KERNEL_cumulative, w.outer * tn_ceil_div(w.inner, NEST_CHUNK), w.length * width * 8, out_launch);
}

TN_CPU_TACTIC(reduce, "reduce", 1, REDUCE, F32_LANES16, reduce_supports, NULL, reduce_prepare)
TN_CPU_TACTIC(softmax, "softmax", 1, SOFTMAX, F32_LANES16, softmax_supports, NULL, softmax_prepare)
TN_CPU_TACTIC(ragged_softmax, "ragged_softmax", 1, RAGGED_SOFTMAX, F32_LANES16, ragged_softmax_supports, NULL, ragged_softmax_prepare)
TN_CPU_TACTIC(normalization_nd, "normalization_nd", 1, NORMALIZATION_ND, F32_LANES16, normalization_nd_supports, NULL,
              normalization_prepare)
TN_CPU_TACTIC(normalization_half, "normalization_half", 1, NORMALIZATION, F32_LANES16, normalization_half_supports, NULL,
              normalization_prepare)
TN_CPU_TACTIC(lrn, "lrn", 1, LRN, F32_LANES16, lrn_supports, NULL, lrn_prepare)
TN_CPU_TACTIC(cumulative, "cumulative", 1, CUMULATIVE, DOUBLE, cumulative_supports, NULL, cumulative_prepare)
