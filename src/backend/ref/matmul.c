/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul.c: MATRIX_MULTIPLY and GROUPED_MATMUL: y[m][n] = Σ_k a[m][k] · b[k][n], k ascending, one double accumulator an output.
 *
 * Works in tiles of 16 rows × 64 columns so that an encoded weight is decoded once for 16 rows; tiles do not touch the
 * order of any sum.
 */
#include "backend/ref/ref.h"

#define TILE_ROWS    16
#define TILE_COLUMNS 64
#define TILE_DEPTH   TN_REF_CHUNK

/* One matrix of an operand: rows [first_row, …) of its view, seen as stored or transposed. */
typedef struct matrix {
    const tn_ref_view *view;
    int64_t first_row;
    bool transposed;
} matrix;

/* out[i][j] = element (row + i, column + j) of the matrix as the product sees it; `width` is the row length of out */
static void load_panel(const matrix *from, int64_t row, int64_t rows, int64_t column, int64_t columns, int64_t width, double *out) {
    if (!from->transposed) {
        for (int64_t i = 0; i < rows; i++) tn_ref_load_columns(from->view, from->first_row + row + i, column, columns, out + i * width);
        return;
    }
    double line[TILE_COLUMNS];
    for (int64_t j = 0; j < columns; j++) {
        tn_ref_load_columns(from->view, from->first_row + column + j, row, rows, line);
        for (int64_t i = 0; i < rows; i++) out[i * width + j] = line[i];
    }
}

typedef struct product {
    const tn_ref_call *call;
    matrix a, b;          /* a: [m, k], b: [k, n] */
    const int64_t *a_row; /* row of a for each output row; NULL: the same */
    int64_t m, n, k;
    int64_t first_row, group; /* of the output; of a rank-2 bias */
    bool is_column;           /* n = 1 is no dimension of the output: its m values are one row */
} product;

/* Sanitizers may leave this loop alone: the panels are whole arrays of the caller's stack, the sizes at most theirs. Watched, it took
 * two fifths of what tests of the executor cost. */
#if defined(__clang__)
#define UNWATCHED __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#else
#define UNWATCHED
#endif

UNWATCHED static void add_products(int64_t rows, int64_t depth, int64_t columns, const double a[TILE_ROWS * TILE_DEPTH],
                                   const double b[TILE_DEPTH * TILE_COLUMNS], double sums[TILE_ROWS][TILE_COLUMNS]) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t l = 0; l < depth; l++)
            for (int64_t j = 0; j < columns; j++) sums[i][j] += a[i * TILE_DEPTH + l] * b[l * TILE_COLUMNS + j];
}

static void multiply_tile(const product *p, int64_t row, int64_t rows, int64_t column, int64_t columns,
                          double sums[TILE_ROWS][TILE_COLUMNS]) {
    double a[TILE_ROWS * TILE_DEPTH], b[TILE_DEPTH * TILE_COLUMNS];
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) sums[i][j] = 0.0;
    for (int64_t k = 0; k < p->k; k += TILE_DEPTH) {
        int64_t depth = p->k - k < TILE_DEPTH ? p->k - k : TILE_DEPTH;
        if (p->a_row == NULL) load_panel(&p->a, row, rows, k, depth, TILE_DEPTH, a);
        for (int64_t i = 0; p->a_row != NULL && i < rows; i++) tn_ref_load_columns(p->a.view, p->a_row[i], k, depth, a + i * TILE_DEPTH);
        load_panel(&p->b, k, depth, column, columns, TILE_COLUMNS, b);
        add_products(rows, depth, columns, a, b, sums);
    }
}

static void multiply(const product *p) {
    double sums[TILE_ROWS][TILE_COLUMNS], line[TILE_ROWS];
    for (int64_t row = 0; row < p->m; row += TILE_ROWS) {
        int64_t rows = p->m - row < TILE_ROWS ? p->m - row : TILE_ROWS;
        for (int64_t column = 0; column < p->n; column += TILE_COLUMNS) {
            int64_t columns = p->n - column < TILE_COLUMNS ? p->n - column : TILE_COLUMNS;
            multiply_tile(p, row, rows, column, columns, sums);
            for (int64_t i = 0; i < rows && !p->is_column; i++)
                tn_ref_finish_columns(p->call, p->first_row + row + i, p->group, column, columns, sums[i]);
            if (!p->is_column) continue;
            for (int64_t i = 0; i < rows; i++) line[i] = sums[i][0];
            tn_ref_finish_columns(p->call, p->first_row, p->group, row, rows, line);
        }
    }
}

/* Index of the matrix that output batch `batch` uses, when leading dimensions broadcast. */
static int64_t batch_of(const tn_ref_view *view, int num_matrix_dims, const tn_ref_view *batch_shape, int64_t batch) {
    tn_ref_view lead = {.rank = view->rank - num_matrix_dims};
    int64_t strides[TN_MAX_RANK];
    for (int i = 0; i < lead.rank; i++) lead.dims[i] = view->dims[i];
    tn_ref_broadcast_strides(&lead, batch_shape->rank, strides);
    return tn_ref_offset(batch_shape, batch, strides);
}

tn_status tn_ref_matmul(const tn_ref_call *call) {
    const tn_matrix_multiply_params *params = call->problem->params;
    tn_ref_view a = tn_ref_input(call, 0), b = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    bool a_vector = params->op_a == TN_MATRIX_VECTOR, b_vector = params->op_b == TN_MATRIX_VECTOR;
    int a_dims = a_vector ? 1 : 2, b_dims = b_vector ? 1 : 2;
    int y_dims = 2 - a_vector - b_vector;
    int64_t a_rows = a_vector ? 1 : a.dims[a.rank - 2], b_rows = b_vector ? 1 : b.dims[b.rank - 2];
    product p = {.call = call, .is_column = b_vector && !a_vector};
    p.a = (matrix){.view = &a, .transposed = params->op_a == TN_MATRIX_TRANSPOSE};
    p.b = (matrix){.view = &b, .transposed = params->op_b == TN_MATRIX_TRANSPOSE || b_vector};
    p.m = p.a.transposed ? a.columns : a_rows;
    p.k = p.a.transposed ? a_rows : a.columns;
    p.n = p.b.transposed ? b_rows : b.columns;
    tn_ref_view batch_shape = {.rank = y.rank - y_dims};
    int64_t num_batches = 1;
    for (int i = 0; i < batch_shape.rank; i++) num_batches *= batch_shape.dims[i] = y.dims[i];
    for (int64_t batch = 0; batch < num_batches; batch++) {
        p.a.first_row = batch_of(&a, a_dims, &batch_shape, batch) * a_rows;
        p.b.first_row = batch_of(&b, b_dims, &batch_shape, batch) * b_rows;
        p.first_row = p.is_column ? batch : batch * p.m;
        /* Two vectors: one number a product, the products of the last batch dimension being a row. */
        if (!(a_vector && b_vector)) {
            multiply(&p);
            continue;
        }
        double sums[TILE_ROWS][TILE_COLUMNS];
        multiply_tile(&p, 0, 1, 0, 1, sums);
        tn_ref_store(&y, batch, sums[0][0]);
    }
    return TN_OK;
}

tn_status tn_ref_grouped_matmul(const tn_ref_call *call) {
    const tn_grouped_matmul_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), weight = tn_ref_input(call, 1), start = tn_ref_input(call, 2), order = tn_ref_input(call, 3);
    int64_t n = weight.dims[1], a_row[TILE_ROWS];
    for (int64_t expert = 0; expert < weight.dims[0]; expert++) {
        int64_t begin = tn_ref_load_int(&start, expert), end = tn_ref_load_int(&start, expert + 1);
        for (int64_t row = begin; row < end; row += TILE_ROWS) {
            int64_t rows = end - row < TILE_ROWS ? end - row : TILE_ROWS;
            for (int64_t i = 0; i < rows; i++) a_row[i] = params->sorted ? row + i : tn_ref_load_int(&order, row + i) / params->top_k;
            product p = {.call = call, .a_row = a_row, .m = rows, .n = n, .k = x.columns, .first_row = row, .group = expert};
            p.a = (matrix){.view = &x};
            p.b = (matrix){.view = &weight, .first_row = expert * n, .transposed = true};
            multiply(&p);
        }
    }
    return TN_OK;
}
