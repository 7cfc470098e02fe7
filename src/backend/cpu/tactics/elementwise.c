/* SPDX-License-Identifier: Apache-2.0
 *
 * elementwise.c: the tactics of ELEMENTWISE, UNARY, ACTIVATION and SOFTMAX on float32.
 */
#include <string.h>

#include "backend/cpu/tactics/tactics.h"
#include "base/checked.h"

enum { ELEMENTS_PER_TILE = 1024 };

static bool plain_f32(const tn_problem *problem, char *reason, size_t reason_size) {
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    return tn_check_all_are(problem, TN_FLOAT32, reason, reason_size);
}

static int64_t num_elements(const tn_operand *operand, const int64_t *symbols) {
    return tn_operand_rows(operand, symbols) * tn_operand_columns(operand, symbols);
}

/* --- ELEMENTWISE ------------------------------------------------------------------------------------------------------------ */

/* Axes of b before `end` that are 1 although a's are not known to be; axes must be equal elsewhere. */
static bool is_ones(const tn_operand *b, int end) {
    for (int i = 0; i < end; i++)
        if (b->dims[i] != TN_SYM_ONE) return false;
    return true;
}

static bool elementwise_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_elementwise_params *params = problem->params;
    const tn_operand *a = &problem->operands[0], *b = &problem->operands[1];
    if (!plain_f32(problem, reason, reason_size)) return false;
    if (params->op > TN_ELEMENTWISE_DIV) return tn_refuse(reason, reason_size, "sum, prod, max, min, sub and div only");
    if (a->rank != b->rank || a->rank == 0) return tn_refuse(reason, reason_size, "operands of equal rank, at least 1");
    bool equal = true;
    for (int i = 0; i < a->rank; i++) equal = equal && a->dims[i] == b->dims[i];
    bool is_row = is_ones(b, b->rank - 1) && (a->dims[a->rank - 1] == b->dims[b->rank - 1] || b->dims[b->rank - 1] == TN_SYM_ONE);
    return equal || is_row || tn_refuse(reason, reason_size, "the second operand has the first's shape, or is a row, or one value");
}

static tn_status elementwise_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                     tn_launch *out_launch) {
    const tn_operand *a = &problem->operands[0], *b = &problem->operands[1];
    int64_t row = tn_operand_columns(a, symbols), num_rows = tn_operand_rows(a, symbols), right = num_elements(b, symbols);
    memset(out_launch, 0, sizeof *out_launch);
    if (right == row * num_rows) { /* equal shapes: one long row */
        row = right;
        num_rows = row > 0 ? 1 : 0;
    }
    out_launch->constants[0] = right;
    out_launch->constants[1] = row;
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_elementwise), num_rows * tn_ceil_div(row, ELEMENTS_PER_TILE),
                        ELEMENTS_PER_TILE * 4, 32 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_elementwise = {
    .name = "elementwise",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_ELEMENTWISE,
    .supports = elementwise_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = elementwise_prepare,
};

/* --- UNARY, ACTIVATION -------------------------------------------------------------------------------------------------------- */

static bool unary_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    int op = ((const tn_unary_params *)problem->params)->op;
    if (op == TN_UNARY_SIN || op == TN_UNARY_COS || op >= TN_UNARY_NOT)
        return tn_refuse(reason, reason_size, "exp, log, sqrt, recip, abs, neg, erf and rounding only");
    return plain_f32(problem, reason, reason_size);
}

static bool activation_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_activation_is_plain((tn_activation_type)((const tn_activation_params *)problem->params)->type))
        return tn_refuse(reason, reason_size, "no activation with parameters");
    return plain_f32(problem, reason, reason_size);
}

static tn_status unary_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    out_launch->constants[0] = num_elements(&problem->operands[0], symbols);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_unary),
                        tn_ceil_div(out_launch->constants[0], ELEMENTS_PER_TILE), ELEMENTS_PER_TILE * 4, 16 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_unary = {
    .name = "unary",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_UNARY,
    .supports = unary_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = unary_prepare,
};

const tn_tactic tn_cpu_tactic_activation = {
    .name = "activation",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_ACTIVATION,
    .supports = activation_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = unary_prepare,
};

/* --- SOFTMAX -------------------------------------------------------------------------------------------------------------------- */

static bool softmax_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_softmax_params *params = problem->params;
    int rank = problem->operands[0].rank;
    if (rank == 0 || (params->axis != rank - 1 && params->axis != -1))
        return tn_refuse(reason, reason_size, "over the last dimension only");
    return plain_f32(problem, reason, reason_size);
}

static tn_status softmax_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_softmax), tn_operand_rows(&problem->operands[0], symbols),
                        tn_operand_columns(&problem->operands[0], symbols) * 4, 16 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_softmax = {
    .name = "softmax_rows",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_SOFTMAX,
    .supports = softmax_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = softmax_prepare,
};
