/* SPDX-License-Identifier: Apache-2.0
 *
 * product.c: the tactics of CONVOLUTION, DECONVOLUTION, MATRIX_MULTIPLY of anything that is no linear layer over packed weights, and
 * EINSUM. The kernel of the first three is kernels/product.h.
 */
#include "backend/cpu/product.h"

#include <string.h>

#include "backend/cpu/tactics/tactics.h"
#include "base/checked.h"
#include "op/einsum.h"
#include "op/window.h"

/* --- the plan ---------------------------------------------------------------------------------------------------------------------------- */

static product_windows windows_of(const tn_problem *problem, const tensor *x, const tensor *kernel, const tensor *y) {
    const tn_convolution_params *params = problem->params; /* those of a deconvolution are alike */
    product_windows w = {.is_transposed = problem->op == TN_OP_DECONVOLUTION};
    int spatial = kernel->rank - 2;
    bool is_pointwise = !w.is_transposed;
    for (int i = 0; i < 3; i++) {
        w.in[i] = w.out[i] = w.size[i] = w.stride[i] = w.dilation[i] = 1;
        if (i < 3 - spatial) continue;
        int axis = i - (3 - spatial);
        tn_window window = tn_window_of(kernel->dims[2 + axis], &params->stride, &params->dilation, &params->pre_padding,
                                        &params->post_padding, params->padding_mode, axis);
        w.in[i] = x->dims[2 + axis];
        w.out[i] = y->dims[2 + axis];
        w.size[i] = window.size;
        w.stride[i] = window.stride;
        w.dilation[i] = window.dilation;
        w.pre[i] = w.is_transposed ? tn_window_pre(&window, w.out[i], w.in[i]) : tn_window_pre(&window, w.in[i], w.out[i]);
        is_pointwise = is_pointwise && w.size[i] == 1 && w.stride[i] == 1 && w.in[i] == w.out[i] && w.pre[i] == 0;
    }
    w.in_size = w.in[0] * w.in[1] * w.in[2];
    w.kernel_size = w.size[0] * w.size[1] * w.size[2];
    if (is_pointwise) { /* one long row */
        w.in[2] = w.out[2] = w.in_size;
        w.in[0] = w.in[1] = w.out[0] = w.out[1] = 1;
    }
    return w;
}

static void plan_convolution(const tn_problem *problem, const int64_t *symbols, product_plan *p) {
    tensor x = tensor_make(problem, symbols, NULL, 0), kernel = tensor_make(problem, symbols, NULL, 1);
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    int64_t groups = ((const tn_convolution_params *)problem->params)->groups;
    p->groups = groups > 0 ? groups : 1;
    p->windows = windows_of(problem, &x, &kernel, &y);
    p->windows.channels = x.dims[1] / p->groups;
    p->m = y.dims[1] / p->groups;
    p->n = p->windows.out[0] * p->windows.out[1] * p->windows.out[2];
    p->k = p->windows.channels * p->windows.kernel_size;
    p->num_products = x.dims[0] * p->groups;
    p->row_stride = p->k;
    p->depth_stride = 1;
    p->num_row_elements = kernel.count;
    p->copies_rows = kernel.dtype != TN_FLOAT32 || problem->op == TN_OP_DECONVOLUTION;
}

static void plan_matrices(const tn_problem *problem, const int64_t *symbols, product_plan *p) {
    const tn_matrix_multiply_params *params = problem->params;
    tensor a = tensor_make(problem, symbols, NULL, 0), b = tensor_make(problem, symbols, NULL, 1);
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    int64_t a_columns = a.dims[a.rank - 1], a_rows = params->op_a == TN_MATRIX_VECTOR ? 1 : a.dims[a.rank - 2];
    int64_t b_columns = b.dims[b.rank - 1], b_rows = params->op_b == TN_MATRIX_VECTOR ? 1 : b.dims[b.rank - 2];
    bool is_transposed = params->op_a == TN_MATRIX_TRANSPOSE;
    p->transposes_columns = params->op_b != TN_MATRIX_NONE; /* a vector is a row of b transposed */
    p->groups = 1;
    p->m = is_transposed ? a_columns : a_rows;
    p->k = is_transposed ? a_rows : a_columns;
    p->n = p->transposes_columns ? b_rows : b_columns;
    p->num_products = p->m * p->n > 0 ? y.count / (p->m * p->n) : 0;
    p->row_stride = is_transposed ? 1 : p->k;
    p->depth_stride = is_transposed ? p->m : 1;
    p->num_row_elements = a.count;
    p->copies_rows = a.dtype != TN_FLOAT32;
}

product_plan tn_cpu_product_plan(const tn_problem *problem, const int64_t *symbols, int num_workers) {
    product_plan p = {.width = 16, .rows = PRODUCT_MAX_ROWS};
    if (problem->op == TN_OP_MATRIX_MULTIPLY)
        plan_matrices(problem, symbols, &p);
    else
        plan_convolution(problem, symbols, &p);
    int64_t num_wide = tn_ceil_div(p.n, PRODUCT_WIDTH);
    if (num_wide > 0) p.width = tn_round_up(tn_ceil_div(p.n, num_wide), 16);
    p.num_column_tiles = tn_ceil_div(p.n, p.width);
    if (p.rows > p.m && p.m > 0) p.rows = p.m;
    /* enough tiles for all workers; those of fewer rows pack the same columns again */
    while (p.rows > 32 && p.num_products * p.num_column_tiles * tn_ceil_div(p.m, p.rows) < 2 * (int64_t)num_workers)
        p.rows = tn_round_up(p.rows / 2, 8);
    p.num_row_tiles = tn_ceil_div(p.m, p.rows);
    p.rows_bytes = p.copies_rows ? (size_t)tn_round_up(p.num_row_elements * (int64_t)sizeof(float), 64) : 0;
    p.worker_bytes = (size_t)((PRODUCT_DEPTH * PRODUCT_WIDTH + p.rows * p.width) * (int64_t)sizeof(float));
    return p;
}

/* --- CONVOLUTION, DECONVOLUTION, MATRIX_MULTIPLY -------------------------------------------------------------------------------------------- */

static size_t product_workspace(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    product_plan p = tn_cpu_product_plan(problem, symbols, device->num_workers);
    size_t most = (size_t)(PRODUCT_DEPTH + PRODUCT_MAX_ROWS) * PRODUCT_WIDTH * sizeof(float); /* at fewer columns, rows may be more */
    return p.rows_bytes + (size_t)device->num_workers * most;
}

static tn_status product_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    product_plan p = tn_cpu_product_plan(problem, symbols, device->num_workers);
    memset(out_launch, 0, sizeof *out_launch);
    out_launch->constants[0] = device->num_workers;
    out_launch->workspace_bytes = product_workspace(device, problem, symbols);
    if (p.copies_rows) {
        bool by_channel = problem->op == TN_OP_DECONVOLUTION;
        int64_t length = by_channel ? p.windows.kernel_size : NEST_CHUNK;
        int64_t num_tiles = by_channel ? p.groups * p.m * p.windows.channels : tn_ceil_div(p.num_row_elements, NEST_CHUNK);
        tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_product_rows), num_tiles, length * 4, 16 << 10);
    }
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_product), product_num_tiles(&p), p.rows * p.width * p.k / 4,
                        16 << 10);
    return TN_OK;
}

static double product_estimate(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    product_plan p = tn_cpu_product_plan(problem, symbols, device->num_workers);
    double products = (double)p.num_products * (double)p.m * (double)(p.num_column_tiles * p.width) * (double)p.k;
    double packed = (double)p.num_products * (double)p.num_row_tiles * (double)p.n * (double)p.k;
    return tn_cpu_estimate_us(device, packed * 4.0, products * 2.0 + packed * 8.0);
}

static bool one_float_type(const tn_problem *problem, uint32_t optional, char *reason, size_t reason_size) {
    if (!tn_check_complete(problem, optional, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        if (!tn_check_type(problem, i, TN_DTYPES_FLOATS, reason, reason_size)) return false;
        if (!problem->operands[i].absent && problem->operands[i].dtype != problem->operands[0].dtype)
            return tn_refuse(reason, reason_size, "operands of one type only");
    }
    return true;
}

static bool convolution_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    int rank = problem->operands[0].rank;
    if (rank < 3 || rank > 5) return tn_refuse(reason, reason_size, "1 to 3 spatial dimensions");
    return one_float_type(problem, 1u << 2, reason, reason_size);
}

static bool matmul_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_matrix_multiply_params *params = problem->params;
    const tn_operand *b = &problem->operands[1];
    if (problem->num_inputs != 2) return tn_refuse(reason, reason_size, "two inputs");
    if (b->role == TN_ROLE_WEIGHT && b->rank == 2 && b->dtype == TN_FLOAT32 && params->op_a == TN_MATRIX_NONE &&
        params->op_b == TN_MATRIX_TRANSPOSE)
        return tn_refuse(reason, reason_size, "linear layers of float32 have packed weights");
    return one_float_type(problem, 0, reason, reason_size);
}

/* --- EINSUM: each output the sum over the labels that it lacks, in double and in the reference's order ------------------------------------------ */

typedef struct einsum_call {
    int num_inputs, num_kept, num_summed;
    tensor x[TN_EINSUM_MAX_INPUTS], y;
    int64_t kept[TN_MAX_RANK], kept_strides[TN_MAX_RANK][TN_EINSUM_MAX_INPUTS];
    int64_t summed[TN_EINSUM_NUM_LABELS], summed_strides[TN_EINSUM_NUM_LABELS][TN_EINSUM_MAX_INPUTS], num_terms;
} einsum_call;

static void label_strides(const tn_einsum *e, const einsum_call *c, int label, int64_t *out) {
    for (int i = 0; i < c->num_inputs; i++) {
        out[i] = 0;
        for (int d = 0; d < c->x[i].rank; d++)
            if (e->labels[i][d] == label && c->x[i].dims[d] != 1) out[i] += c->x[i].strides[d];
    }
}

static bool einsum_begin(const tn_bound_step *step, einsum_call *c) {
    tn_einsum e;
    int64_t shapes[TN_EINSUM_MAX_INPUTS][TN_MAX_RANK], sizes[TN_EINSUM_NUM_LABELS];
    memset(c, 0, sizeof *c);
    if (!tn_einsum_read(&((const tn_einsum_params *)step->problem->params)->equation, &e)) return false;
    c->num_inputs = e.num_inputs;
    c->y = tensor_output(step, 0);
    for (int i = 0; i < e.num_inputs; i++) {
        c->x[i] = tensor_input(step, (uint32_t)i);
        memcpy(shapes[i], c->x[i].dims, sizeof shapes[i]);
    }
    if (!tn_einsum_sizes(&e, (const int64_t(*)[TN_MAX_RANK])shapes, sizes)) return false;
    bool is_kept[TN_EINSUM_NUM_LABELS] = {false};
    c->num_kept = e.rank[TN_EINSUM_OUTPUT];
    for (int d = 0; d < c->num_kept; d++) {
        int label = e.labels[TN_EINSUM_OUTPUT][d];
        is_kept[label] = true;
        c->kept[d] = sizes[label];
        label_strides(&e, c, label, c->kept_strides[d]);
    }
    c->num_terms = 1;
    for (int label = 0; label < TN_EINSUM_NUM_LABELS; label++) {
        if (is_kept[label] || sizes[label] == 1) continue;
        label_strides(&e, c, label, c->summed_strides[c->num_summed]);
        c->summed[c->num_summed++] = sizes[label];
        c->num_terms *= sizes[label];
    }
    return true;
}

/* The next term in row-major order over the summed labels. */
static void einsum_advance(const einsum_call *c, int64_t *at, int64_t *offsets) {
    for (int s = c->num_summed - 1; s >= 0; s--) {
        bool is_over = ++at[s] == c->summed[s];
        int64_t steps = is_over ? 1 - c->summed[s] : 1;
        for (int i = 0; i < c->num_inputs; i++) offsets[i] += steps * c->summed_strides[s][i];
        if (!is_over) return;
        at[s] = 0;
    }
}

static void einsum_one(const einsum_call *c, int64_t index) {
    int64_t offsets[TN_EINSUM_MAX_INPUTS] = {0}, at[TN_EINSUM_NUM_LABELS] = {0}, rest = index;
    bool is_float = tn_dtype_get_info(c->y.dtype)->is_float;
    double sum = 0.0;
    uint64_t exact = 0;
    for (int d = c->num_kept - 1; d >= 0; d--) {
        for (int i = 0; i < c->num_inputs; i++) offsets[i] += rest % c->kept[d] * c->kept_strides[d][i];
        rest /= c->kept[d];
    }
    for (int64_t term = 0; term < c->num_terms; term++) {
        double product = 1.0;
        uint64_t exact_product = 1;
        for (int i = 0; i < c->num_inputs; i++) {
            if (is_float)
                product *= tensor_double(&c->x[i], offsets[i]);
            else
                exact_product *= (uint64_t)tensor_index(&c->x[i], offsets[i]);
        }
        sum += product;
        exact += exact_product;
        einsum_advance(c, at, offsets);
    }
    if (is_float)
        tensor_set_double(&c->y, index, sum);
    else
        tensor_set_index(&c->y, index, (int64_t)exact);
}

static void einsum_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    einsum_call c;
    if (!einsum_begin(step, &c)) return; /* checked where the step was made */
    for (int64_t i = begin; i < end; i++) einsum_one(&c, i);
}

static bool einsum_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        if (!tn_check_type(problem, i, TN_DTYPES_FLOATS | TN_DTYPES_INDICES, reason, reason_size)) return false;
        if (problem->operands[i].dtype != problem->operands[0].dtype) return tn_refuse(reason, reason_size, "operands of one type only");
    }
    return true;
}

static tn_status einsum_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    memset(out_launch, 0, sizeof *out_launch);
    tn_cpu_launch_tiles(out_launch, einsum_tile, y.count, 512, 16 << 10);
    return TN_OK;
}

const tn_tactic tn_cpu_tactic_einsum = {
    .name = "einsum",
    .version = 1,
    .numerics = TN_NUMERICS_DOUBLE,
    .op = TN_OP_EINSUM,
    .supports = einsum_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = einsum_prepare,
};

#define PRODUCT_TACTIC(suffix, text, kind, checks) \
    const tn_tactic tn_cpu_tactic_##suffix = {     \
        .name = text,                              \
        .version = 1,                              \
        .numerics = TN_NUMERICS_F32_ASCENDING,     \
        .op = TN_OP_##kind,                        \
        .supports = checks,                        \
        .estimate_us = product_estimate,           \
        .workspace_bytes = product_workspace,      \
        .prepare = product_prepare,                \
    };
PRODUCT_TACTIC(convolution, "convolution", CONVOLUTION, convolution_supports)
PRODUCT_TACTIC(deconvolution, "deconvolution", DECONVOLUTION, convolution_supports)
PRODUCT_TACTIC(matmul_any, "matmul", MATRIX_MULTIPLY, matmul_supports)
