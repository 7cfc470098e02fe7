/* SPDX-License-Identifier: Apache-2.0
 *
 * pooling.c: the tactic of POOLING; the kernel is kernels/pooling.h.
 */
#include "backend/cpu/pooling.h"

#include <string.h>

#include "backend/cpu/tactics/tactics.h"
#include "base/checked.h"

pooling_plan tn_cpu_pooling_plan(const tn_problem *problem, const int64_t *symbols) {
    const tn_pooling_params *params = problem->params;
    tensor x = tensor_make(problem, symbols, NULL, 0), y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    pooling_plan p = {.in = {1, 1, 1}, .out = {1, 1, 1}, .num_planes = 1};
    int spatial = params->window.rank;
    for (int i = 0; i < 3; i++) {
        int axis = i - (3 - spatial);
        p.windows[i] = (tn_window){.size = 1, .stride = 1, .dilation = 1};
        if (axis < 0) continue;
        p.in[i] = x.dims[x.rank - spatial + axis];
        p.out[i] = y.dims[y.rank - spatial + axis];
        p.windows[i] = tn_window_of(params->window.d[axis], &params->stride, NULL, &params->pre_padding, &params->post_padding,
                                    params->padding_mode, axis);
        p.pre[i] = tn_window_pre(&p.windows[i], p.in[i], p.out[i]);
    }
    for (int i = 0; i < x.rank - spatial; i++) p.num_planes *= x.dims[i];
    return p;
}

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (problem->operands[1].dtype != problem->operands[0].dtype) return tn_refuse(reason, reason_size, "x and y of one type only");
    return tn_check_type(problem, 0, TN_DTYPES_FLOATS, reason, reason_size) &&
           tn_check_type(problem, 1, TN_DTYPES_FLOATS, reason, reason_size);
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    pooling_plan p = tn_cpu_pooling_plan(problem, symbols);
    int64_t window = p.windows[0].size * p.windows[1].size * p.windows[2].size, width = p.out[2] < NEST_CHUNK ? p.out[2] : NEST_CHUNK;
    memset(out_launch, 0, sizeof *out_launch);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_pooling),
                        p.num_planes * p.out[0] * p.out[1] * tn_ceil_div(p.out[2], NEST_CHUNK), width * window * 4, 16 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_pooling = {
    .name = "pooling",
    .version = 1,
    .numerics = TN_NUMERICS_F32_ASCENDING,
    .op = TN_OP_POOLING,
    .supports = supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = prepare,
};
