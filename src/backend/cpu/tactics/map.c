/* SPDX-License-Identifier: Apache-2.0
 *
 * map.c: the tactics of operations on elements: UNARY, ACTIVATION, PARAMETRIC_RELU, SCALE, ELEMENTWISE, SELECT, CAST, QUANTIZE,
 * DEQUANTIZE. One nest and one tile size for all (tensor.h); the kernels are kernels/map.h.
 */
#include "backend/cpu/map.h"

#include <string.h>

#include "backend/cpu/tactics/tactics.h"

/* Weights of SCALE: one value, one an index of the axis, or one an element from the axis on. */
static void add_scale_weight(nest *n, const tn_scale_params *params, const tensor *x) {
    int64_t strides[TN_MAX_RANK] = {0}, stride = 1;
    for (int i = x->rank - 1; i >= params->axis && params->mode == TN_SCALE_ELEMENTWISE; i--) {
        strides[i] = stride;
        stride *= x->dims[i];
    }
    if (params->mode == TN_SCALE_CHANNEL) strides[params->axis] = 1;
    nest_add(n, strides);
}

void tn_cpu_map_nest(const tn_problem *problem, const int64_t *symbols, void *const *buffers, tensor tensors[NEST_MAX_OPERANDS],
                     nest *out) {
    bool is_scale = problem->op == TN_OP_SCALE, has_rows = false;
    bool quantizes = problem->op == TN_OP_QUANTIZE || problem->op == TN_OP_DEQUANTIZE;
    tensors[0] = tensor_make(problem, symbols, buffers, problem->num_inputs);
    *out = nest_begin(&tensors[0]);
    nest_add(out, tensors[0].strides);
    uint32_t num = quantizes ? 1 : problem->num_inputs; /* scales are looked up, not walked */
    for (uint32_t i = 0; i < num; i++) {
        tensor *t = &tensors[i + 1];
        *t = tensor_make(problem, symbols, buffers, i);
        has_rows = has_rows || (t->is_given && t->bits < 8);
        if (is_scale && i > 0)
            add_scale_weight(out, problem->params, &tensors[1]);
        else
            nest_add_broadcast(out, t);
    }
    for (uint32_t i = num; i + 1 < NEST_MAX_OPERANDS; i++) tensors[i + 1] = (tensor){.count = 1};
    nest_end(out, has_rows || tensors[0].bits < 8);
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_cpu_kernel kernel,
                         tn_launch *out_launch) {
    tensor tensors[NEST_MAX_OPERANDS];
    nest walk;
    memset(out_launch, 0, sizeof *out_launch);
    tn_cpu_map_nest(problem, symbols, NULL, tensors, &walk);
    int64_t bytes = (walk.line < NEST_CHUNK ? walk.line : NEST_CHUNK) * 4;
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, kernel), nest_num_tiles(&walk), bytes, 16 << 10);
    return TN_OK;
}

#define ALL_NUMBERS (TN_DTYPES_FLOATS | TN_DTYPE_BIT(TN_FLOAT64) | TN_DTYPES_INTEGERS)

/* --- UNARY, ACTIVATION, PARAMETRIC_RELU, SCALE ------------------------------------------------------------------------------------- */

static bool unary_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_unary(problem, ALL_NUMBERS, reason, reason_size);
}

static tn_status map_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare(device, problem, symbols, TN_KERNEL_map, out_launch);
}

static bool activation_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_activation(problem, TN_DTYPES_FLOATS | TN_DTYPES_INTEGERS, reason, reason_size);
}

static bool floats_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    uint32_t optional = problem->op == TN_OP_SCALE ? 1u << 1 | 1u << 2 | 1u << 3 : 0;
    return tn_check_equal_types(problem, optional, TN_DTYPES_FLOATS, reason, reason_size);
}

/* --- ELEMENTWISE, SELECT ------------------------------------------------------------------------------------------------------------- */

static bool elementwise_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_elementwise(problem, ALL_NUMBERS, reason, reason_size);
}

static bool select_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_select(problem, TN_DTYPES_WHOLE_BYTES, reason, reason_size);
}

static tn_status select_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare(device, problem, symbols, TN_KERNEL_select, out_launch);
}

/* --- CAST, QUANTIZE, DEQUANTIZE -------------------------------------------------------------------------------------------------------- */

static bool cast_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_types(problem, 0, ALL_NUMBERS | TN_DTYPE_BIT(TN_BOOL), reason, reason_size);
}

static tn_status cast_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare(device, problem, symbols, TN_KERNEL_cast, out_launch);
}

#define STORED                                                                                                       \
    (TN_DTYPE_BIT(TN_INT8) | TN_DTYPE_BIT(TN_INT4) | TN_DTYPE_BIT(TN_FLOAT8_E4M3FN) | TN_DTYPE_BIT(TN_FLOAT8_E5M2) | \
     TN_DTYPE_BIT(TN_FLOAT4_E2M1))

static bool quantize_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    bool quantizes = problem->op == TN_OP_QUANTIZE;
    uint32_t stored = STORED | (quantizes ? 0 : TN_DTYPE_BIT(TN_UINT8) | TN_DTYPE_BIT(TN_UINT4));
    uint32_t output = problem->num_inputs;
    if (!tn_check_complete(problem, 1u << 2, false, reason, reason_size)) return false;
    if (!tn_check_type(problem, 0, quantizes ? TN_DTYPES_FLOATS : stored, reason, reason_size) ||
        !tn_check_type(problem, 1, TN_DTYPES_FLOATS, reason, reason_size) ||
        !tn_check_type(problem, output, quantizes ? stored : TN_DTYPES_FLOATS, reason, reason_size))
        return false;
    if (problem->operands[1].dtype != problem->operands[quantizes ? 0 : output].dtype)
        return tn_refuse(reason, reason_size, "scales of the float side's type only");
    if (problem->num_inputs > 2 && !problem->operands[2].absent && problem->operands[2].dtype != problem->operands[0].dtype)
        return tn_refuse(reason, reason_size, "zero points of the quantised type only");
    return problem->num_inputs < 3 || tn_check_type(problem, 2, stored, reason, reason_size);
}

static tn_status quantize_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare(device, problem, symbols, TN_KERNEL_quantize, out_launch);
}

TN_CPU_TACTIC(elementwise, "elementwise", 2, ELEMENTWISE, F32_LANES16, elementwise_supports, NULL, map_prepare)
TN_CPU_TACTIC(unary, "unary", 2, UNARY, F32_LANES16, unary_supports, NULL, map_prepare)
TN_CPU_TACTIC(activation, "activation", 2, ACTIVATION, F32_LANES16, activation_supports, NULL, map_prepare)
TN_CPU_TACTIC(parametric_relu, "parametric_relu", 1, PARAMETRIC_RELU, F32_LANES16, floats_supports, NULL, map_prepare)
TN_CPU_TACTIC(scale, "scale", 1, SCALE, F32_LANES16, floats_supports, NULL, map_prepare)
TN_CPU_TACTIC(select, "select", 1, SELECT, EXACT, select_supports, NULL, select_prepare)
TN_CPU_TACTIC(cast, "cast", 1, CAST, EXACT, cast_supports, NULL, cast_prepare)
TN_CPU_TACTIC(quantize, "quantize", 1, QUANTIZE, DOUBLE, quantize_supports, NULL, quantize_prepare)
TN_CPU_TACTIC(dequantize, "dequantize", 1, DEQUANTIZE, DOUBLE, quantize_supports, NULL, quantize_prepare)
