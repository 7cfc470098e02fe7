/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_product.c: the tactic of MATRIX_MULTIPLY for two float32 operands of any form.
 */
#include "backend/checks.h"
#include "backend/cost.h"
#include "backend/cuda/cuda.h"
#include "base/checked.h"

/* kernels/matmul_product.cu has the same list. */
enum { N, K, OUTPUT, A_ROW, A_K, B_K, B_COLUMN, PER_BATCH, INNER, A_OUTER, A_INNER, B_OUTER, B_INNER, COUNT };
enum { THREADS = 256, MAX_BATCH_DIMS = 2 };

static bool product_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    const tn_matrix_multiply_params *params = problem->params;
    int y_dims = 2 - (params->op_a == TN_MATRIX_VECTOR) - (params->op_b == TN_MATRIX_VECTOR);
    (void)device;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (!tn_check_all_are(problem, TN_FLOAT32, reason, reason_size)) return false;
    if (problem->operands[2].rank > y_dims + MAX_BATCH_DIMS)
        return tn_refuse(reason, reason_size, "at most %d dimensions of a batch", MAX_BATCH_DIMS);
    return true;
}

/* One operand: strides along its row and column, and along the two dimensions of the output's batch (0 where it broadcasts). */
typedef struct matrix {
    int64_t rows, columns, row_stride, column_stride, outer, inner;
} matrix;

static matrix matrix_of(const tn_operand *operand, const int64_t *symbols, tn_matrix_op op, bool is_second) {
    int matrix_dims = op == TN_MATRIX_VECTOR ? 1 : 2, lead = operand->rank - matrix_dims;
    matrix m = {.rows = matrix_dims == 2 ? tn_operand_dim(operand, operand->rank - 2, symbols) : 1,
                .columns = tn_operand_columns(operand, symbols)};
    m.row_stride = m.columns, m.column_stride = 1;
    int64_t size = m.rows * m.columns;
    int64_t inner = lead > 0 ? tn_operand_dim(operand, lead - 1, symbols) : 1,
            outer = lead > 1 ? tn_operand_dim(operand, lead - 2, symbols) : 1;
    m.inner = inner > 1 ? size : 0;
    m.outer = outer > 1 ? size * inner : 0;
    bool is_turned = op == TN_MATRIX_TRANSPOSE || (op == TN_MATRIX_VECTOR && is_second); /* a second vector is a column */
    if (!is_turned) return m;
    return (matrix){m.columns, m.rows, m.column_stride, m.row_stride, m.outer, m.inner};
}

static tn_status product_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_matrix_multiply_params *params = problem->params;
    const tn_operand *y = &problem->operands[2];
    matrix a = matrix_of(&problem->operands[0], symbols, (tn_matrix_op)params->op_a, false);
    matrix b = matrix_of(&problem->operands[1], symbols, (tn_matrix_op)params->op_b, true);
    int y_dims = 2 - (params->op_a == TN_MATRIX_VECTOR) - (params->op_b == TN_MATRIX_VECTOR), lead = y->rank - y_dims;
    int64_t count = a.rows * b.columns;
    (void)device;
    *out_launch = (tn_launch){0};
    int64_t *c = out_launch->constants;
    c[N] = b.columns, c[K] = a.columns, c[OUTPUT] = 2;
    c[A_ROW] = a.row_stride, c[A_K] = a.column_stride, c[B_K] = b.row_stride, c[B_COLUMN] = b.column_stride;
    c[PER_BATCH] = count;
    c[INNER] = lead > 0 ? tn_operand_dim(y, lead - 1, symbols) : 1;
    c[A_OUTER] = a.outer, c[A_INNER] = a.inner, c[B_OUTER] = b.outer, c[B_INNER] = b.inner;
    for (int i = 0; i < lead; i++) count *= tn_operand_dim(y, i, symbols);
    c[COUNT] = count;
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_product, tn_ceil_div(count, THREADS), 1, 1, THREADS, 0);
    return TN_OK;
}

static double product_estimate(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    tn_cost cost = tn_problem_cost(problem, symbols);
    return tn_cuda_estimate_us(device, cost.bytes, cost.flops, 1e4 * device->num_workers);
}

const tn_tactic tn_cuda_tactic_matmul_product = {
    .name = "matmul_product",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_MATRIX_MULTIPLY,
    .supports = product_supports,
    .estimate_us = product_estimate,
    .prepare = product_prepare,
};
