/* SPDX-License-Identifier: Apache-2.0
 *
 * axes.c: the tactics of what gathers values along axes: REDUCE, SOFTMAX, RAGGED_SOFTMAX, CUMULATIVE.
 */
#include "backend/cuda/tactics/tensors.h"
#include "base/checked.h"

enum { MAX_THREADS = 256 };

static uint32_t threads_for(int64_t length) {
    uint32_t threads = 32;
    while (threads < MAX_THREADS && threads * 4 < length) threads *= 2;
    return threads;
}

/* --- REDUCE. constants, as in kernels/axes.cu --------------------------------------------------------------------------------------- */

enum { NUM_INNER, KIND, TYPE, NUM_AXES, AXES };

static bool reduce_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_equal_types(problem, 0, TN_CUDA_NUMBERS, reason, reason_size);
}

static tn_status reduce_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_reduce_params *params = problem->params;
    tn_cuda_axes x = tn_cuda_axes_of(&problem->operands[0], symbols), parts[2] = {{0}, {0}}; /* kept, reduced */
    int64_t counts[2] = {1, 1};
    for (int i = 0; i < x.count; i++) {
        int is_reduced = (int)(params->axes >> i & 1);
        tn_cuda_axes *part = &parts[is_reduced];
        part->sizes[part->count] = x.sizes[i];
        part->strides[part->count++] = x.strides[i];
        counts[is_reduced] *= x.sizes[i];
    }
    for (int i = 0; i < 2; i++) tn_cuda_axes_merge(&parts[i]);
    *out_launch = (tn_launch){0};
    out_launch->constants[NUM_INNER] = counts[1];
    out_launch->constants[KIND] = params->op;
    out_launch->constants[TYPE] = tn_cuda_element_of(problem->operands[0].dtype);
    out_launch->constants[NUM_AXES] = parts[0].count | parts[1].count << 8;
    if (counts[0] > INT32_MAX || !tn_cuda_axes_store(&parts[0], &out_launch->constants[AXES]) ||
        !tn_cuda_axes_store(&parts[1], &out_launch->constants[AXES + parts[0].count]))
        return TN_UNSUPPORTED;
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_reduce_axes, counts[0], 1, 1, threads_for(counts[1]), 0);
    return TN_OK;
}

/* --- lines along one axis ----------------------------------------------------------------------------------------------------------- */

enum { LENGTH, INNER, LINE_TYPE, BOUNDS, FLAGS = BOUNDS, NUM_LINES };

/* Returns the number of lines. */
static int64_t begin_lines(const tn_problem *problem, int64_t axis, const int64_t *symbols, tn_launch *out_launch) {
    const tn_operand *x = &problem->operands[0];
    if (axis < 0) axis += x->rank;
    *out_launch = (tn_launch){0};
    out_launch->constants[LENGTH] = tn_operand_dim(x, (int)axis, symbols);
    out_launch->constants[INNER] = tn_cuda_span(x, axis + 1, x->rank, symbols);
    out_launch->constants[LINE_TYPE] = tn_cuda_element_of(x->dtype);
    return tn_cuda_span(x, 0, axis, symbols) * out_launch->constants[INNER];
}

static tn_status launch_softmax(int64_t num_lines, tn_launch *launch) {
    int64_t length = launch->constants[LENGTH];
    if (num_lines > INT32_MAX) return TN_UNSUPPORTED;
    tn_cuda_launch_add(launch, TN_CUDA_KERNEL_softmax_lines, length > 0 ? num_lines : 0, 1, 1, threads_for(length), 0);
    return TN_OK;
}

static bool softmax_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (problem->operands[0].rank == 0) return tn_refuse(reason, reason_size, "no scalars");
    return tn_check_equal_types(problem, 0, TN_DTYPES_FLOATS, reason, reason_size);
}

static tn_status softmax_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    int64_t num_lines = begin_lines(problem, ((const tn_softmax_params *)problem->params)->axis, symbols, out_launch);
    return launch_softmax(num_lines, out_launch);
}

static bool ragged_softmax_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 1u << 1, TN_DTYPES_FLOATS, 0, reason, reason_size);
}

static tn_status ragged_softmax_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                        tn_launch *out_launch) {
    (void)device;
    int64_t num_lines = begin_lines(problem, -1, symbols, out_launch);
    out_launch->constants[BOUNDS] = problem->operands[1].dtype == TN_INT64 ? 2 : 1;
    return launch_softmax(num_lines, out_launch);
}

static bool cumulative_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_equal_types(problem, 0, TN_CUDA_NUMBERS, reason, reason_size);
}

static tn_status cumulative_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                    tn_launch *out_launch) {
    (void)device;
    const tn_cumulative_params *params = problem->params;
    int64_t num_lines = begin_lines(problem, params->axis, symbols, out_launch);
    out_launch->constants[FLAGS] = params->exclusive | params->reverse << 1;
    out_launch->constants[NUM_LINES] = num_lines;
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_cumulate, tn_ceil_div(num_lines, MAX_THREADS), 1, 1, MAX_THREADS, 0);
    return TN_OK;
}

TN_CUDA_TENSOR_TACTIC(reduce, 1, REDUCE, F32_CUDA, reduce_supports, NULL, reduce_prepare)
TN_CUDA_TENSOR_TACTIC(softmax, 2, SOFTMAX, F32_CUDA, softmax_supports, NULL, softmax_prepare)
TN_CUDA_TENSOR_TACTIC(ragged_softmax, 1, RAGGED_SOFTMAX, F32_CUDA, ragged_softmax_supports, NULL, ragged_softmax_prepare)
TN_CUDA_TENSOR_TACTIC(cumulative, 1, CUMULATIVE, F32_CUDA, cumulative_supports, NULL, cumulative_prepare)
