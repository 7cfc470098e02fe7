/* SPDX-License-Identifier: Apache-2.0
 *
 * place.c: the tactics of what places values by index: GATHER of anything in all modes, SCATTER, ONE_HOT.
 */
#include "backend/cuda/kernels/elements.h"
#include "backend/cuda/tactics/tensors.h"
#include "base/checked.h"

/* constants, as in kernels/place.cu */
enum { COUNT = TN_ELEMENTS_COUNT, UNIT_BYTES, INDEX_IS_64 };
enum { THREADS = 256, MAX_UNIT_BYTES = 16 };

static void add_units(tn_launch *launch, tn_cuda_kernel kernel, int64_t count) {
    tn_cuda_launch_add(launch, kernel, tn_ceil_div(count, THREADS), 1, 1, THREADS, 0);
}

/* `inner` elements of the output lie together behind an index. Returns how many of them are one unit. */
static int64_t begin(const tn_problem *problem, uint32_t index_operand, int64_t inner, const int64_t *symbols, tn_launch *out_launch) {
    const tn_operand *y = &problem->operands[problem->num_inputs];
    int64_t bytes = tn_dtype_get_info(y->dtype)->bits / 8, unit = 1;
    while (inner % (2 * unit) == 0 && 2 * unit * bytes <= MAX_UNIT_BYTES) unit *= 2;
    *out_launch = (tn_launch){0};
    out_launch->constants[COUNT] = tn_cuda_num_elements(y, symbols) / unit;
    out_launch->constants[UNIT_BYTES] = bytes * unit;
    out_launch->constants[INDEX_IS_64] = problem->operands[index_operand].dtype == TN_INT64;
    return unit;
}

/* --- GATHER --------------------------------------------------------------------------------------------------------------------------- */

enum { INNER = 3, PER_BATCH, OUTER_PER_BATCH, LENGTH };
enum { AXIS_STRIDE = 3, AXIS_LENGTH, NUM_AXES, AXES };
enum { PLACE_INNER = 3, ROWS_PER_BATCH, BATCH_STRIDE, DEPTH, PLACE_AXES };

static bool gather_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const uint32_t complex = TN_DTYPE_BIT(TN_COMPLEX64) | TN_DTYPE_BIT(TN_COMPLEX128);
    return tn_check_moves(problem, 1u << 1, TN_DTYPES_WHOLE_BYTES & ~complex, 0, reason, reason_size);
}

static tn_status prepare_along(const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_gather_params *params = problem->params;
    const tn_operand *data = &problem->operands[0], *indices = &problem->operands[1];
    int64_t inner = tn_cuda_span(data, params->axis + 1, data->rank, symbols);
    int64_t unit = begin(problem, 1, inner, symbols, out_launch);
    out_launch->constants[INNER] = inner / unit;
    out_launch->constants[PER_BATCH] = tn_cuda_span(indices, params->batch_dims, indices->rank, symbols);
    out_launch->constants[OUTER_PER_BATCH] = tn_cuda_span(data, params->batch_dims, params->axis, symbols);
    out_launch->constants[LENGTH] = tn_operand_dim(data, (int)params->axis, symbols);
    add_units(out_launch, TN_CUDA_KERNEL_gather_along, out_launch->constants[COUNT]);
    return TN_OK;
}

static tn_status prepare_elements(const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    int64_t axis = ((const tn_gather_params *)problem->params)->axis;
    tn_cuda_axes data = tn_cuda_axes_of(&problem->operands[0], symbols), walk = tn_cuda_axes_of(&problem->operands[2], symbols);
    (void)begin(problem, 1, 1, symbols, out_launch);
    out_launch->constants[AXIS_STRIDE] = data.strides[axis];
    out_launch->constants[AXIS_LENGTH] = data.sizes[axis];
    for (int i = 0; i < walk.count; i++) walk.strides[i] = i == axis ? 0 : data.strides[i];
    out_launch->constants[NUM_AXES] = walk.count;
    if (!tn_cuda_axes_store(&walk, &out_launch->constants[AXES])) return TN_UNSUPPORTED;
    add_units(out_launch, TN_CUDA_KERNEL_gather_elements, out_launch->constants[COUNT]);
    return TN_OK;
}

/* Places among the data's dimensions [batch_dims, batch_dims + depth). Returns the elements of a unit; 0: a size does not fit. */
static int64_t begin_places(const tn_problem *problem, int64_t batch_dims, const int64_t *symbols, tn_launch *out_launch) {
    const tn_operand *data = &problem->operands[0], *indices = &problem->operands[1];
    int64_t depth = tn_operand_columns(indices, symbols), inner = tn_cuda_span(data, batch_dims + depth, data->rank, symbols);
    int64_t unit = begin(problem, 1, inner, symbols, out_launch);
    tn_cuda_axes all = tn_cuda_axes_of(data, symbols), places = {.count = (int)depth};
    for (int i = 0; i < (int)depth; i++) {
        places.sizes[i] = all.sizes[batch_dims + i];
        places.strides[i] = all.strides[batch_dims + i] / unit;
    }
    out_launch->constants[PLACE_INNER] = inner / unit;
    out_launch->constants[ROWS_PER_BATCH] = tn_cuda_span(indices, batch_dims, indices->rank - 1, symbols);
    out_launch->constants[BATCH_STRIDE] = batch_dims > 0 ? all.strides[batch_dims - 1] / unit : 0;
    out_launch->constants[DEPTH] = depth;
    return tn_cuda_axes_store(&places, &out_launch->constants[PLACE_AXES]) ? unit : 0;
}

static tn_status gather_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_gather_params *params = problem->params;
    if (params->mode == TN_GATHER_DEFAULT) return prepare_along(problem, symbols, out_launch);
    if (params->mode == TN_GATHER_ELEMENT) return prepare_elements(problem, symbols, out_launch);
    if (begin_places(problem, params->batch_dims, symbols, out_launch) == 0) return TN_UNSUPPORTED;
    add_units(out_launch, TN_CUDA_KERNEL_gather_places, out_launch->constants[COUNT]);
    return TN_OK;
}

/* --- SCATTER --------------------------------------------------------------------------------------------------------------------------- */

enum { UPDATE_STRIDE = 13, NUM_LINES, NUM_UPDATES };

static bool scatter_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 1u << 1, TN_DTYPES_WHOLE_BYTES, 0, reason, reason_size);
}

static tn_status prepare_scatter_elements(const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    int64_t axis = ((const tn_scatter_params *)problem->params)->axis, num_lines = 1;
    tn_cuda_axes data = tn_cuda_axes_of(&problem->operands[0], symbols), updates = tn_cuda_axes_of(&problem->operands[2], symbols);
    tn_cuda_axes walk = {0};
    for (int i = 0; i < updates.count; i++) {
        if (i == axis) continue;
        walk.sizes[walk.count] = updates.sizes[i];
        walk.strides[walk.count++] = data.strides[i];
        num_lines *= updates.sizes[i];
    }
    if (walk.count == 0) walk = (tn_cuda_axes){.count = 1, .sizes = {1}}; /* none would stand for the line's number */
    (void)begin(problem, 1, 1, symbols, out_launch);
    out_launch->constants[AXIS_STRIDE] = data.strides[axis];
    out_launch->constants[AXIS_LENGTH] = data.sizes[axis];
    out_launch->constants[NUM_AXES] = walk.count;
    out_launch->constants[UPDATE_STRIDE] = updates.strides[axis];
    out_launch->constants[NUM_LINES] = num_lines;
    out_launch->constants[NUM_UPDATES] = updates.sizes[axis];
    if (!tn_cuda_axes_store(&walk, &out_launch->constants[AXES])) return TN_UNSUPPORTED;
    add_units(out_launch, TN_CUDA_KERNEL_scatter_copy, out_launch->constants[COUNT]);
    add_units(out_launch, TN_CUDA_KERNEL_scatter_elements, num_lines);
    return TN_OK;
}

static tn_status scatter_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    if (((const tn_scatter_params *)problem->params)->mode == TN_SCATTER_ELEMENT)
        return prepare_scatter_elements(problem, symbols, out_launch);
    if (begin_places(problem, 0, symbols, out_launch) == 0) return TN_UNSUPPORTED;
    out_launch->constants[NUM_UPDATES] = tn_operand_rows(&problem->operands[1], symbols);
    add_units(out_launch, TN_CUDA_KERNEL_scatter_copy, out_launch->constants[COUNT]);
    add_units(out_launch, TN_CUDA_KERNEL_scatter_places, out_launch->constants[PLACE_INNER]);
    return TN_OK;
}

/* --- ONE_HOT ----------------------------------------------------------------------------------------------------------------------------- */

enum { HOT_INNER = 3, HOT_DEPTH };

static bool one_hot_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 1u << 0, TN_DTYPES_WHOLE_BYTES, 0, reason, reason_size);
}

static tn_status one_hot_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_operand *y = &problem->operands[2];
    int64_t axis = ((const tn_one_hot_params *)problem->params)->axis;
    if (axis < 0) axis += y->rank;
    (void)begin(problem, 0, 1, symbols, out_launch);
    out_launch->constants[HOT_INNER] = tn_cuda_span(y, axis + 1, y->rank, symbols);
    out_launch->constants[HOT_DEPTH] = tn_operand_dim(y, (int)axis, symbols);
    add_units(out_launch, TN_CUDA_KERNEL_one_hot, out_launch->constants[COUNT]);
    return TN_OK;
}

TN_CUDA_TENSOR_TACTIC(gather_any, 1, GATHER, EXACT, gather_supports, NULL, gather_prepare)
TN_CUDA_TENSOR_TACTIC(scatter, 1, SCATTER, EXACT, scatter_supports, NULL, scatter_prepare)
TN_CUDA_TENSOR_TACTIC(one_hot, 1, ONE_HOT, EXACT, one_hot_supports, NULL, one_hot_prepare)
