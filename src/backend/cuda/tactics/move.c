/* SPDX-License-Identifier: Apache-2.0
 *
 * move.c: the tactics of what moves values and changes no bits: IDENTITY, SQUEEZE, UNSQUEEZE, SHUFFLE, SLICE, CONCATENATION and
 * REVERSE_SEQUENCE, in types of whole bytes.
 */
#include "backend/cuda/kernels/elements.h"
#include "backend/cuda/tactics/tensors.h"
#include "base/checked.h"

/* constants, as in kernels/move.cu */
enum { COUNT = TN_ELEMENTS_COUNT, UNIT_BYTES };
enum { FIRST = 2, NUM_AXES, OUTPUT, AXES, MAX_AXES = TN_MAX_CONSTANTS - AXES };
enum { THREADS = 256, MAX_UNIT_BYTES = 16 };

static int64_t element_bytes(const tn_problem *problem) {
    return tn_dtype_get_info(problem->operands[problem->num_inputs].dtype)->bits / 8;
}

static tn_status launch_units(tn_launch *launch, tn_cuda_kernel kernel, int64_t count, int64_t unit_bytes) {
    launch->constants[COUNT] = count;
    launch->constants[UNIT_BYTES] = unit_bytes;
    tn_cuda_launch_add(launch, kernel, tn_ceil_div(count, THREADS), 1, 1, THREADS, 0);
    return TN_OK;
}

/* --- copies by strides ------------------------------------------------------------------------------------------------------------ */

/* How many neighbours move as one: the innermost axis lies together on both sides and everything is a multiple of it. */
static int64_t widest_unit(const tn_cuda_axes *axes, int64_t first, int64_t count, int64_t bytes) {
    int64_t unit = 1;
    for (int64_t wider = 2; wider * bytes <= MAX_UNIT_BYTES; wider *= 2) {
        bool fits = first % wider == 0 && count % wider == 0;
        for (int i = 0; i + 1 < axes->count; i++) fits = fits && axes->strides[i] % wider == 0;
        if (axes->count > 0) fits = fits && axes->strides[axes->count - 1] == 1 && axes->sizes[axes->count - 1] % wider == 0;
        if (!fits) break;
        unit = wider;
    }
    return unit;
}

/* Unit i of the output comes from FIRST + by `inner` of (by `outer` of i). Both merged; at most one of them has axes unless both
 * transpose. */
static tn_status launch_strided(const tn_problem *problem, const tn_cuda_axes *outer, const tn_cuda_axes *inner, int64_t first,
                                int64_t count, tn_launch *out_launch) {
    int64_t bytes = element_bytes(problem), unit = 1;
    tn_cuda_axes second = *outer, last = *inner;
    if (second.count == 0 || last.count == 0) {
        tn_cuda_axes *only = second.count > 0 ? &second : &last;
        unit = widest_unit(only, first, count, bytes);
        for (int i = 0; i + 1 < only->count; i++) only->strides[i] /= unit;
        if (only->count > 0) only->sizes[only->count - 1] /= unit;
        if (only->count > 0) tn_cuda_axes_merge(only); /* the last axis may be one unit now */
    }
    *out_launch = (tn_launch){0};
    if (second.count + last.count > MAX_AXES || !tn_cuda_axes_store(&second, &out_launch->constants[AXES]) ||
        !tn_cuda_axes_store(&last, &out_launch->constants[AXES + second.count]))
        return TN_UNSUPPORTED;
    out_launch->constants[FIRST] = first / unit;
    out_launch->constants[NUM_AXES] = second.count | last.count << 8;
    out_launch->constants[OUTPUT] = problem->num_inputs;
    return launch_units(out_launch, TN_CUDA_KERNEL_copy_strided, count / unit, bytes * unit);
}

static bool copy_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 0, TN_DTYPES_WHOLE_BYTES, 0, reason, reason_size);
}

static tn_status copy_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_cuda_axes none = {0};
    return launch_strided(problem, &none, &none, 0, tn_cuda_num_elements(&problem->operands[problem->num_inputs], symbols), out_launch);
}

/* The dims of a given shape are those of the output: nobody reads the tensor. */
static bool shuffle_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_shuffle_params *params = problem->params;
    if (params->first.rank > 0 && params->second.rank > 0 &&
        problem->operands[0].rank + problem->operands[problem->num_inputs].rank > MAX_AXES)
        return tn_refuse(reason, reason_size, "two transpositions of at most %d dimensions together", MAX_AXES);
    return tn_check_moves(problem, 1u << 1, TN_DTYPES_WHOLE_BYTES, 1u << 1, reason, reason_size);
}

static tn_status shuffle_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_shuffle_params *params = problem->params;
    const tn_operand *y = &problem->operands[problem->num_inputs];
    tn_cuda_axes x_axes = tn_cuda_axes_of(&problem->operands[0], symbols), reshaped = tn_cuda_axes_of(y, symbols);
    tn_cuda_axes first = tn_cuda_axes_permute(&x_axes, &params->first);
    int64_t stride = 1;
    for (int i = 0; i < params->second.rank; i++) reshaped.sizes[params->second.d[i]] = tn_operand_dim(y, i, symbols);
    for (int i = reshaped.count - 1; i >= 0; i--) {
        reshaped.strides[i] = stride;
        stride *= reshaped.sizes[i];
    }
    tn_cuda_axes second = tn_cuda_axes_permute(&reshaped, &params->second);
    tn_cuda_axes_merge(&first);
    tn_cuda_axes_merge(&second);
    return launch_strided(problem, &second, &first, 0, stride, out_launch);
}

/* --- SLICE ------------------------------------------------------------------------------------------------------------------------- */

enum { MODE = 2, OUTSIDE_FORM, OUTSIDE_AXES, MAX_OUTSIDE_RANK = (TN_MAX_CONSTANTS - OUTSIDE_AXES) / 2 };

/* Begin and step of every axis; those that `axes` leaves out are whole. */
static void read_slice(const tn_slice_params *params, int rank, int64_t *begins, int64_t *steps) {
    bool has_axes = params->axes.rank > 0;
    for (int i = 0; i < rank; i++) begins[i] = 0, steps[i] = 1;
    for (int i = 0; i < (has_axes ? params->axes.rank : rank); i++) {
        int64_t axis = has_axes ? params->axes.d[i] : i;
        begins[axis] = params->start.d[i];
        if (params->stride.rank > 0) steps[axis] = params->stride.d[i];
    }
}

static bool slice_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_slice_params *params = problem->params;
    for (uint32_t i = 1; i < problem->num_inputs && i < 4; i++)
        if (i != 2 && !problem->operands[i].absent) return tn_refuse(reason, reason_size, "start and stride as numbers only");
    if (params->mode != TN_SAMPLE_STRICT_BOUNDS && problem->operands[0].rank > MAX_OUTSIDE_RANK)
        return tn_refuse(reason, reason_size, "beyond the edges of at most %d dimensions", MAX_OUTSIDE_RANK);
    return tn_check_moves(problem, 1u << 2, TN_DTYPES_WHOLE_BYTES, 15u << 1, reason, reason_size);
}

static bool is_int32(int64_t x) {
    return x >= INT32_MIN && x <= INT32_MAX;
}

/* Elements outside are what the mode says. */
static tn_status prepare_outside(const tn_problem *problem, const tn_cuda_axes *x, const tn_cuda_axes *y, const int64_t *begins,
                                 const int64_t *steps, int64_t count, tn_launch *out_launch) {
    const tn_slice_params *params = problem->params;
    bool has_fill = problem->num_inputs > 4 && !problem->operands[4].absent;
    *out_launch = (tn_launch){0};
    out_launch->constants[MODE] = params->mode;
    out_launch->constants[OUTSIDE_FORM] = x->count | has_fill << 8 | (int64_t)problem->num_inputs << 16;
    for (int i = 0; i < x->count; i++) {
        if (x->sizes[i] == 0 && count > 0 && params->mode != TN_SAMPLE_FILL) return TN_INVALID_DATA;
        if (!is_int32(x->sizes[i]) || !is_int32(y->sizes[i]) || !is_int32(begins[i]) || !is_int32(steps[i])) return TN_UNSUPPORTED;
        out_launch->constants[OUTSIDE_AXES + 2 * i] = x->sizes[i] << 32 | y->sizes[i];
        out_launch->constants[OUTSIDE_AXES + 2 * i + 1] = (int64_t)((uint64_t)steps[i] << 32 | (uint64_t)(uint32_t)begins[i]);
    }
    return launch_units(out_launch, TN_CUDA_KERNEL_slice_outside, count, element_bytes(problem));
}

static tn_status slice_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_slice_params *params = problem->params;
    tn_cuda_axes x = tn_cuda_axes_of(&problem->operands[0], symbols), y = tn_cuda_axes_of(&problem->operands[problem->num_inputs], symbols);
    const tn_cuda_axes none = {0};
    int64_t begins[TN_MAX_RANK], steps[TN_MAX_RANK], first = 0;
    int64_t count = tn_cuda_num_elements(&problem->operands[problem->num_inputs], symbols);
    read_slice(params, x.count, begins, steps);
    if (params->mode != TN_SAMPLE_STRICT_BOUNDS) return prepare_outside(problem, &x, &y, begins, steps, count, out_launch);
    for (int i = 0; i < x.count && count > 0; i++) {
        int64_t last;
        bool overflows = __builtin_mul_overflow(y.sizes[i] - 1, steps[i], &last) || __builtin_add_overflow(last, begins[i], &last);
        if (overflows || begins[i] < 0 || begins[i] >= x.sizes[i] || last < 0 || last >= x.sizes[i]) return TN_INVALID_DATA;
        first += begins[i] * x.strides[i];
        y.strides[i] = y.sizes[i] > 1 ? steps[i] * x.strides[i] : 1;
    }
    tn_cuda_axes_merge(&y);
    return launch_strided(problem, &none, &y, first, count, out_launch);
}

/* --- CONCATENATION ------------------------------------------------------------------------------------------------------------------- */

enum { NUM_INPUTS = 2, ENDS, MAX_INPUTS = TN_CUDA_MAX_BUFFERS - 1 };

static bool concatenation_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    if (problem->num_inputs > MAX_INPUTS) return tn_refuse(reason, reason_size, "at most %d inputs", MAX_INPUTS);
    return copy_supports(device, problem, reason, reason_size);
}

static tn_status concatenation_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                       tn_launch *out_launch) {
    (void)device;
    int64_t axis = ((const tn_concatenation_params *)problem->params)->axis, bytes = element_bytes(problem), unit = MAX_UNIT_BYTES, end = 0;
    const tn_operand *y = &problem->operands[problem->num_inputs];
    *out_launch = (tn_launch){0};
    for (uint32_t i = 0; i < problem->num_inputs; i++)
        while (tn_cuda_span(&problem->operands[i], axis, y->rank, symbols) * bytes % unit != 0) unit /= 2;
    for (uint32_t i = 0; i < problem->num_inputs; i++) {
        end += tn_cuda_span(&problem->operands[i], axis, y->rank, symbols) * bytes / unit;
        if (end > UINT32_MAX) return TN_UNSUPPORTED;
        int64_t *constant = &out_launch->constants[ENDS + i / 2];
        *constant = (int64_t)((uint64_t)*constant | (uint64_t)end << (i % 2 * 32));
    }
    out_launch->constants[NUM_INPUTS] = problem->num_inputs;
    return launch_units(out_launch, TN_CUDA_KERNEL_concatenate, tn_cuda_num_elements(y, symbols) * bytes / unit, unit);
}

/* --- REVERSE_SEQUENCE ----------------------------------------------------------------------------------------------------------------- */

enum { INDEX_IS_64 = 2, SEQUENCE_SIZE, SEQUENCE_STRIDE, BATCH_SIZE, BATCH_STRIDE };

static bool reverse_sequence_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_moves(problem, 1u << 1, TN_DTYPES_WHOLE_BYTES, 0, reason, reason_size);
}

static tn_status reverse_sequence_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                          tn_launch *out_launch) {
    (void)device;
    const tn_reverse_sequence_params *params = problem->params;
    tn_cuda_axes x = tn_cuda_axes_of(&problem->operands[0], symbols);
    *out_launch = (tn_launch){0};
    out_launch->constants[INDEX_IS_64] = problem->operands[1].dtype == TN_INT64;
    out_launch->constants[SEQUENCE_SIZE] = x.sizes[params->sequence_axis];
    out_launch->constants[SEQUENCE_STRIDE] = x.strides[params->sequence_axis];
    out_launch->constants[BATCH_SIZE] = x.sizes[params->batch_axis];
    out_launch->constants[BATCH_STRIDE] = x.strides[params->batch_axis];
    return launch_units(out_launch, TN_CUDA_KERNEL_reverse_sequence, tn_cuda_num_elements(&problem->operands[0], symbols),
                        element_bytes(problem));
}

TN_CUDA_TENSOR_TACTIC(identity, 1, IDENTITY, EXACT, copy_supports, NULL, copy_prepare)
TN_CUDA_TENSOR_TACTIC(squeeze, 1, SQUEEZE, EXACT, copy_supports, NULL, copy_prepare)
TN_CUDA_TENSOR_TACTIC(unsqueeze, 1, UNSQUEEZE, EXACT, copy_supports, NULL, copy_prepare)
TN_CUDA_TENSOR_TACTIC(shuffle, 1, SHUFFLE, EXACT, shuffle_supports, NULL, shuffle_prepare)
TN_CUDA_TENSOR_TACTIC(slice, 1, SLICE, EXACT, slice_supports, NULL, slice_prepare)
TN_CUDA_TENSOR_TACTIC(concatenation, 1, CONCATENATION, EXACT, concatenation_supports, NULL, concatenation_prepare)
TN_CUDA_TENSOR_TACTIC(reverse_sequence, 1, REVERSE_SEQUENCE, EXACT, reverse_sequence_supports, NULL, reverse_sequence_prepare)
