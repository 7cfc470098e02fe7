/* SPDX-License-Identifier: Apache-2.0
 *
 * elementwise.c: the tactics of ELEMENTWISE, UNARY, ACTIVATION and SOFTMAX on float32.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "base/checked.h"

/* constants, as in kernels/elementwise.cu */
enum { COUNT, KIND, PERIOD, SOFTMAX_COLUMNS = 0, THREADS = 256 };

static bool plain_f32(const tn_problem *problem, char *reason, size_t reason_size) {
    return tn_check_complete(problem, 0, false, reason, reason_size) && tn_check_all_are(problem, TN_FLOAT32, reason, reason_size);
}

static int64_t num_elements(const tn_operand *operand, const int64_t *symbols) {
    return tn_operand_rows(operand, symbols) * tn_operand_columns(operand, symbols);
}

static void launch_elements(tn_launch *launch, tn_cuda_kernel kernel, int kind, int64_t count) {
    launch->constants[COUNT] = count;
    launch->constants[KIND] = kind;
    tn_cuda_launch_add(launch, kernel, tn_ceil_div(count, THREADS), 1, 1, THREADS, 0);
}

/* --- ELEMENTWISE ------------------------------------------------------------------------------------------------------------ */

/* b stands in a's last dimensions: its own leading ones are 1, the rest are a's, or it is one value. */
static bool repeats(const tn_operand *a, const tn_operand *b) {
    int first = 0;
    while (first < b->rank && b->dims[first] == TN_SYM_ONE) first++;
    for (int i = first; i < b->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

static bool elementwise_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_elementwise_params *params = problem->params;
    const tn_operand *a = &problem->operands[0], *b = &problem->operands[1];
    if (!plain_f32(problem, reason, reason_size)) return false;
    if (params->op > TN_ELEMENTWISE_DIV) return tn_refuse(reason, reason_size, "sum, prod, max, min, sub and div only");
    if (a->rank != b->rank || a->rank == 0) return tn_refuse(reason, reason_size, "operands of equal rank, at least 1");
    return repeats(a, b) ||
           tn_refuse(reason, reason_size, "the second operand has the first's shape or its last dimensions, or is one value");
}

static tn_status elementwise_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                     tn_launch *out_launch) {
    (void)device;
    *out_launch = (tn_launch){0};
    out_launch->constants[PERIOD] = num_elements(&problem->operands[1], symbols);
    launch_elements(out_launch, TN_CUDA_KERNEL_elementwise, ((const tn_elementwise_params *)problem->params)->op,
                    num_elements(&problem->operands[0], symbols));
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_elementwise = {
    .name = "elementwise",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_ELEMENTWISE,
    .supports = elementwise_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = elementwise_prepare,
};

/* --- UNARY, ACTIVATION -------------------------------------------------------------------------------------------------------- */

static bool unary_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (((const tn_unary_params *)problem->params)->op > TN_UNARY_ROUND) return tn_refuse(reason, reason_size, "float32 functions only");
    return plain_f32(problem, reason, reason_size);
}

static tn_status unary_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    *out_launch = (tn_launch){0};
    launch_elements(out_launch, TN_CUDA_KERNEL_unary, ((const tn_unary_params *)problem->params)->op,
                    num_elements(&problem->operands[0], symbols));
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_unary = {
    .name = "unary",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_UNARY,
    .supports = unary_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = unary_prepare,
};

static bool activation_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (((const tn_activation_params *)problem->params)->type > TN_ACTIVATION_GELU_QUICK)
        return tn_refuse(reason, reason_size, "the activations of decoders only");
    return plain_f32(problem, reason, reason_size);
}

static tn_status activation_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                    tn_launch *out_launch) {
    (void)device;
    *out_launch = (tn_launch){0};
    launch_elements(out_launch, TN_CUDA_KERNEL_activation, ((const tn_activation_params *)problem->params)->type,
                    num_elements(&problem->operands[0], symbols));
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_activation = {
    .name = "activation",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_ACTIVATION,
    .supports = activation_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = activation_prepare,
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
    (void)device;
    *out_launch = (tn_launch){0};
    out_launch->constants[SOFTMAX_COLUMNS] = tn_operand_columns(&problem->operands[0], symbols);
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_softmax_rows, tn_operand_rows(&problem->operands[0], symbols), 1, 1, THREADS, 0);
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_softmax = {
    .name = "softmax_rows",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_SOFTMAX,
    .supports = softmax_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = softmax_prepare,
};
