/* SPDX-License-Identifier: Apache-2.0
 *
 * elementwise.c: the tactics of operations on elements: ELEMENTWISE, UNARY, ACTIVATION, PARAMETRIC_RELU, SCALE, CAST, SELECT.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/elements.h"
#include "backend/cuda/tactics/tensors.h"
#include "base/checked.h"

enum { THREADS = 256 };

/* --- operands that broadcast ---------------------------------------------------------------------------------------------------- */

/* The output's axes, each with the operands that have it as bits. */
typedef struct walk {
    int rank;
    int64_t sizes[TN_MAX_RANK];
    uint32_t owners[TN_MAX_RANK], all;
} walk;

static walk walk_begin(const tn_operand *y, const int64_t *symbols) {
    walk w = {.rank = y->rank};
    for (int i = 0; i < y->rank; i++) w.sizes[i] = tn_operand_dim(y, i, symbols);
    return w;
}

static void walk_add(walk *w, uint32_t operand, const tn_operand *x, const int64_t *symbols) {
    int missing = w->rank - x->rank; /* leading dimensions may lack */
    w->all |= 1u << operand;
    for (int i = 0; i < w->rank; i++)
        if (i >= missing && tn_operand_dim(x, i - missing, symbols) != 1) w->owners[i] |= 1u << operand;
}

/* Into the launch's constants. Axes of one element go, neighbours with the same owners become one. */
static bool walk_store(const walk *w, tn_launch *launch) {
    int64_t sizes[TN_MAX_RANK] = {0};
    uint32_t owners[TN_MAX_RANK];
    int num_axes = 0;
    for (int i = 0; i < w->rank; i++) {
        if (w->sizes[i] == 1) continue;
        bool joins = num_axes > 0 && owners[num_axes - 1] == w->owners[i];
        if (joins && (w->owners[i] == w->all || sizes[num_axes - 1] * w->sizes[i] <= UINT32_MAX)) {
            sizes[num_axes - 1] *= w->sizes[i];
        } else {
            owners[num_axes] = w->owners[i];
            sizes[num_axes++] = w->sizes[i];
        }
    }
    if (num_axes == 1 && owners[0] == w->all) num_axes = 0;
    launch->constants[TN_ELEMENTS_NUM_AXES] = num_axes;
    for (int i = 0; i < num_axes; i++) {
        if (sizes[i] > UINT32_MAX) return false;
        launch->constants[TN_ELEMENTS_AXES + i] = (int64_t)((uint64_t)owners[i] << 32 | (uint64_t)sizes[i]);
    }
    return true;
}

/* --- launches --------------------------------------------------------------------------------------------------------------------- */

static void begin(const tn_problem *problem, const int64_t *symbols, int kind, tn_launch *out_launch) {
    const tn_operand *y = &problem->operands[problem->num_inputs];
    *out_launch = (tn_launch){0};
    out_launch->constants[TN_ELEMENTS_COUNT] = tn_cuda_num_elements(y, symbols);
    out_launch->constants[TN_ELEMENTS_KIND] = kind;
    out_launch->constants[TN_ELEMENTS_INPUT] = tn_cuda_element_of(problem->operands[0].dtype);
    out_launch->constants[TN_ELEMENTS_OUTPUT] = tn_cuda_element_of(y->dtype);
}

static tn_status launch(tn_cuda_kernel kernel, tn_launch *out_launch) {
    tn_cuda_launch_add(out_launch, kernel, tn_ceil_div(out_launch->constants[TN_ELEMENTS_COUNT], THREADS), 1, 1, THREADS, 0);
    return TN_OK;
}

static tn_status launch_broadcast(const tn_problem *problem, const int64_t *symbols, tn_cuda_kernel kernel, tn_launch *out_launch) {
    walk w = walk_begin(&problem->operands[problem->num_inputs], symbols);
    for (uint32_t i = 0; i < problem->num_inputs; i++) walk_add(&w, i, &problem->operands[i], symbols);
    return walk_store(&w, out_launch) ? launch(kernel, out_launch) : TN_UNSUPPORTED;
}

/* --- ELEMENTWISE, SELECT, PARAMETRIC_RELU ---------------------------------------------------------------------------------------- */

static bool elementwise_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_elementwise(problem, TN_CUDA_NUMBERS, reason, reason_size);
}

static tn_status elementwise_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                     tn_launch *out_launch) {
    (void)device;
    begin(problem, symbols, ((const tn_elementwise_params *)problem->params)->op, out_launch);
    return launch_broadcast(problem, symbols, TN_CUDA_KERNEL_elementwise, out_launch);
}

static bool select_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_select(problem, TN_DTYPES_WHOLE_BYTES, reason, reason_size);
}

static tn_status select_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    begin(problem, symbols, tn_dtype_get_info(problem->operands[1].dtype)->bits / 8, out_launch);
    return launch_broadcast(problem, symbols, TN_CUDA_KERNEL_select_elements, out_launch);
}

static bool floats_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    uint32_t optional = problem->op == TN_OP_SCALE ? 1u << 1 | 1u << 2 | 1u << 3 : 0;
    return tn_check_equal_types(problem, optional, TN_DTYPES_FLOATS, reason, reason_size);
}

static tn_status parametric_relu_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                         tn_launch *out_launch) {
    (void)device;
    begin(problem, symbols, 0, out_launch);
    return launch_broadcast(problem, symbols, TN_CUDA_KERNEL_parametric_relu, out_launch);
}

/* --- SCALE ------------------------------------------------------------------------------------------------------------------------ */

static tn_status scale_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    enum { X = 1, COEFFICIENTS = 2 | 4 | 8 };
    (void)device;
    const tn_scale_params *params = problem->params;
    begin(problem, symbols, (int)problem->num_inputs, out_launch);
    walk w = walk_begin(&problem->operands[0], symbols);
    w.all = X | COEFFICIENTS;
    for (int i = 0; i < w.rank; i++) {
        bool has_own = params->mode == TN_SCALE_CHANNEL ? i == params->axis : params->mode == TN_SCALE_ELEMENTWISE && i >= params->axis;
        w.owners[i] = has_own ? X | COEFFICIENTS : X;
    }
    return walk_store(&w, out_launch) ? launch(TN_CUDA_KERNEL_scale_elements, out_launch) : TN_UNSUPPORTED;
}

/* --- UNARY, ACTIVATION, CAST ------------------------------------------------------------------------------------------------------ */

static bool unary_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_unary(problem, TN_CUDA_NUMBERS, reason, reason_size);
}

static tn_status unary_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    begin(problem, symbols, ((const tn_unary_params *)problem->params)->op, out_launch);
    return launch(TN_CUDA_KERNEL_unary, out_launch);
}

static bool activation_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_activation(problem, TN_CUDA_NUMBERS, reason, reason_size);
}

static tn_status activation_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                    tn_launch *out_launch) {
    (void)device;
    const tn_activation_params *params = problem->params;
    begin(problem, symbols, params->type, out_launch);
    tn_cuda_set_real(out_launch, TN_ELEMENTS_ALPHA, params->alpha);
    tn_cuda_set_real(out_launch, TN_ELEMENTS_BETA, params->beta);
    return launch(TN_CUDA_KERNEL_activation, out_launch);
}

static bool cast_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (((const tn_cast_params *)problem->params)->to != problem->operands[1].dtype)
        return tn_refuse(reason, reason_size, "the result has another type than it is cast to");
    return tn_check_types(problem, 0, TN_CUDA_NUMBERS | TN_DTYPE_BIT(TN_BOOL), reason, reason_size);
}

static tn_status cast_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    begin(problem, symbols, 0, out_launch);
    return launch(TN_CUDA_KERNEL_cast_elements, out_launch);
}

TN_CUDA_TENSOR_TACTIC(elementwise, 2, ELEMENTWISE, F32_CUDA, elementwise_supports, NULL, elementwise_prepare)
TN_CUDA_TENSOR_TACTIC(unary, 2, UNARY, F32_CUDA, unary_supports, NULL, unary_prepare)
TN_CUDA_TENSOR_TACTIC(activation, 2, ACTIVATION, F32_CUDA, activation_supports, NULL, activation_prepare)
TN_CUDA_TENSOR_TACTIC(parametric_relu, 1, PARAMETRIC_RELU, F32_CUDA, floats_supports, NULL, parametric_relu_prepare)
TN_CUDA_TENSOR_TACTIC(scale, 1, SCALE, F32_CUDA, floats_supports, NULL, scale_prepare)
TN_CUDA_TENSOR_TACTIC(cast, 1, CAST, EXACT, cast_supports, NULL, cast_prepare)
TN_CUDA_TENSOR_TACTIC(select, 1, SELECT, EXACT, select_supports, NULL, select_prepare)
