/* SPDX-License-Identifier: Apache-2.0
 *
 * product.h: CONVOLUTION and DECONVOLUTION with 1 to 3 spatial dimensions, groups and dilation, and MATRIX_MULTIPLY of anything:
 * y[m][n] = Σ_k rows[m][k] · columns[k][n].
 *
 * Shapes   rows: filters [groups][m][channels · kernel] or op(a); columns: what the windows see, [channels · kernel][pixels], or op(b)
 * Order    k ascending, one accumulator an output, sum = fma(row, column, sum); a bias is added last: f32_ascending. What lies in the
 *          padding takes part as 0
 * Method   PRODUCT_DEPTH × PRODUCT_WIDTH of the columns are packed once for all rows of a tile and stay in the first cache; lanes
 *          are columns, a row's element is spread; sums wait in float32 between blocks of depth, exactly
 * Types    float32, float16, bfloat16, in float32; half rows are made float32 once, in a phase of their own
 * Bound    float32 multiply-adds
 */
#ifndef TN_BACKEND_CPU_KERNELS_PRODUCT_H_
#define TN_BACKEND_CPU_KERNELS_PRODUCT_H_

#include "backend/cpu/kernels/lines.h"
#include "backend/cpu/product.h"

#if defined(__AVX512F__)
#define PRODUCT_TILE_ROWS    8
#define PRODUCT_TILE_VECTORS 3
#elif defined(__AVX2__)
#define PRODUCT_TILE_ROWS    6 /* a vector is two registers of sixteen */
#define PRODUCT_TILE_VECTORS 1
#else
#define PRODUCT_TILE_ROWS    1
#define PRODUCT_TILE_VECTORS 1
#endif

/* --- the register tile ------------------------------------------------------------------------------------------------------------------ */

typedef struct product_block {
    const float *rows, *columns;
    int64_t row_stride, depth_stride, depth, width; /* width: of a row of columns and sums */
    float *sums;
    bool is_first; /* the sums are not read */
} product_block;

V_INLINE void product_registers(const int num_rows, const int num_vectors, const product_block *b, int64_t row, int64_t column) {
    vf total[PRODUCT_TILE_ROWS][PRODUCT_TILE_VECTORS];
    const float *rows = b->rows + row * b->row_stride, *columns = b->columns + column;
    float *sums = b->sums + row * b->width + column;
    V_UNROLL for (int r = 0; r < num_rows; r++) {
        V_UNROLL for (int v = 0; v < num_vectors; v++) total[r][v] = b->is_first ? v_zero() : v_load(sums + r * b->width + v * LANES);
    }
    for (int64_t k = 0; k < b->depth; k++) {
        vf x[PRODUCT_TILE_VECTORS];
        V_UNROLL for (int v = 0; v < num_vectors; v++) x[v] = v_load(columns + v * LANES);
        V_UNROLL for (int r = 0; r < num_rows; r++) {
            vf w = v_set1(rows[r * b->row_stride]);
            V_UNROLL for (int v = 0; v < num_vectors; v++) total[r][v] = v_fma(w, x[v], total[r][v]);
        }
        rows += b->depth_stride;
        columns += b->width;
    }
    V_UNROLL for (int r = 0; r < num_rows; r++) {
        V_UNROLL for (int v = 0; v < num_vectors; v++) v_store(sums + r * b->width + v * LANES, total[r][v]);
    }
}

V_INLINE void product_rows(const int num_vectors, const product_block *b, int64_t num_rows, int64_t column) {
    int64_t row = 0;
    for (; row + PRODUCT_TILE_ROWS <= num_rows; row += PRODUCT_TILE_ROWS) product_registers(PRODUCT_TILE_ROWS, num_vectors, b, row, column);
#if PRODUCT_TILE_ROWS > 1
    for (; row + 2 <= num_rows; row += 2) product_registers(2, num_vectors, b, row, column);
    if (row < num_rows) product_registers(1, num_vectors, b, row, column);
#endif
}

static void product_multiply(const product_block *b, int64_t num_rows) {
    int64_t column = 0;
    for (; column + PRODUCT_TILE_VECTORS * LANES <= b->width; column += PRODUCT_TILE_VECTORS * LANES)
        product_rows(PRODUCT_TILE_VECTORS, b, num_rows, column);
#if PRODUCT_TILE_VECTORS > 1
    if (column + 2 * LANES <= b->width) {
        product_rows(2, b, num_rows, column);
        column += 2 * LANES;
    }
    if (column < b->width) product_rows(1, b, num_rows, column);
#endif
}

/* --- columns ------------------------------------------------------------------------------------------------------------------------------- */

/* One tile's columns: where they come from, and the runs of outputs that stand in one row of an image. */
typedef struct product_run {
    int64_t column, length, at[3]; /* at: of the first output */
} product_run;

typedef struct product_columns {
    const tensor *from;
    const product_plan *plan;
    int64_t base, first, count; /* base: of the image's group or the matrix, in elements */
    int num_runs;
    product_run runs[PRODUCT_WIDTH];
} product_columns;

static void copy_floats(const tensor *t, int64_t at, int64_t stride, int64_t n, float *out) {
    const float *line = line_floats(t, at, stride, n, out);
    for (int64_t i = 0; line != out && i < n; i += LANES) v_store_upto(out + i, v_load_upto(line + i, n - i), n - i);
}

static void find_runs(product_columns *c) {
    const product_windows *w = &c->plan->windows;
    c->num_runs = 0;
    for (int64_t column = 0; column < c->count;) {
        int64_t index = c->first + column, place = index % w->out[2], left = w->out[2] - place;
        product_run *run = &c->runs[c->num_runs++];
        run->column = column;
        run->length = left < c->count - column ? left : c->count - column;
        run->at[2] = place;
        run->at[1] = index / w->out[2] % w->out[1];
        run->at[0] = index / w->out[2] / w->out[1];
        column += run->length;
    }
}

/* Index along axis i of the input that output `at` sees through element j of the kernel; −1: none. */
static int64_t window_place(const product_windows *w, int i, int64_t at, int64_t j) {
    int64_t place = w->is_transposed ? at + w->pre[i] - j * w->dilation[i] : at * w->stride[i] - w->pre[i] + j * w->dilation[i];
    if (w->is_transposed && (place < 0 || place % w->stride[i] != 0)) return -1;
    if (w->is_transposed) place /= w->stride[i];
    return place >= 0 && place < w->in[i] ? place : -1;
}

/* A run of a convolution along the last axis: zeros, what lies inside, zeros. */
static void pack_run(const product_columns *c, int64_t row, const product_run *run, int64_t j, float *out) {
    const product_windows *w = &c->plan->windows;
    int64_t place = run->at[2] * w->stride[2] - w->pre[2] + j * w->dilation[2], stride = w->stride[2];
    int64_t before = place >= 0 ? 0 : (-place + stride - 1) / stride;
    int64_t end = place >= w->in[2] ? 0 : (w->in[2] - 1 - place) / stride + 1;
    if (before > run->length) before = run->length;
    if (end > run->length) end = run->length;
    if (end < before) end = before;
    for (int64_t i = 0; i < before; i++) out[i] = 0.0f;
    if (before < end) copy_floats(c->from, row + place + before * stride, stride, end - before, out + before);
    for (int64_t i = end; i < run->length; i++) out[i] = 0.0f;
}

/* Of a deconvolution: every stride-th output sees an element. */
static void pack_transposed_run(const product_columns *c, int64_t row, const product_run *run, int64_t j, float *out) {
    const product_windows *w = &c->plan->windows;
    for (int64_t i = 0; i < run->length; i++) out[i] = 0.0f;
    int64_t place = run->at[2] + w->pre[2] - j * w->dilation[2], stride = w->stride[2];
    int64_t first = place < 0 ? -place : (stride - place % stride) % stride; /* the first that is a multiple and not negative */
    for (int64_t i = first; i < run->length && (place + i) / stride < w->in[2]; i += stride)
        copy_floats(c->from, row + (place + i) / stride, 1, 1, out + i);
}

static void pack_windows(const product_columns *c, int64_t first, int64_t depth, float *out) {
    const product_windows *w = &c->plan->windows;
    for (int64_t k = first; k < first + depth; k++, out += c->plan->width) {
        int64_t j = k % w->kernel_size, plane = c->base + k / w->kernel_size * w->in_size;
        int64_t across = j % w->size[2], down = j / w->size[2] % w->size[1], deep = j / w->size[2] / w->size[1];
        for (int i = 0; i < c->num_runs; i++) {
            const product_run *run = &c->runs[i];
            int64_t d = window_place(w, 0, run->at[0], deep), r = window_place(w, 1, run->at[1], down);
            float *to = out + run->column;
            if (d < 0 || r < 0)
                for (int64_t n = 0; n < run->length; n++) to[n] = 0.0f;
            else if (w->is_transposed)
                pack_transposed_run(c, plane + (d * w->in[1] + r) * w->in[2], run, across, to);
            else
                pack_run(c, plane + (d * w->in[1] + r) * w->in[2], run, across, to);
        }
        for (int64_t n = c->count; n < c->plan->width; n++) out[n] = 0.0f;
    }
}

static void pack_matrix(const product_columns *c, int64_t first, int64_t depth, float *out) {
    int64_t width = c->plan->width, n = c->plan->n, k = c->plan->k;
    if (!c->plan->transposes_columns) {
        for (int64_t i = 0; i < depth; i++, out += width) {
            copy_floats(c->from, c->base + (first + i) * n + c->first, 1, c->count, out);
            for (int64_t j = c->count; j < width; j++) out[j] = 0.0f;
        }
        return;
    }
    float line[NEST_CHUNK];
    for (int64_t j = 0; j < width; j++) {
        const float *values = line;
        if (j < c->count) values = line_floats(c->from, c->base + (c->first + j) * k + first, 1, depth, line);
        for (int64_t i = 0; i < depth; i++) out[i * width + j] = j < c->count ? values[i] : 0.0f;
    }
}

/* --- tiles ---------------------------------------------------------------------------------------------------------------------------------- */

typedef struct product_call {
    const tn_problem *problem;
    product_plan plan;
    tensor a, b, bias, y; /* a convolution's x is b, its kernel a */
    const float *rows;
    float *scratch; /* of this worker */
} product_call;

static product_call product_begin(const tn_bound_step *step, int worker) {
    product_call c = {.problem = step->problem, .y = tensor_output(step, 0)};
    bool is_matrix = step->problem->op == TN_OP_MATRIX_MULTIPLY;
    c.plan = tn_cpu_product_plan(step->problem, step->symbols, (int)step->launch->constants[0]);
    c.a = tensor_input(step, is_matrix ? 0 : 1);
    c.b = tensor_input(step, is_matrix ? 1 : 0);
    if (!is_matrix) c.bias = tensor_input(step, 2);
    char *workspace = step_workspace(step);
    c.rows = (const float *)(const void *)(c.plan.copies_rows ? workspace : c.a.data);
    c.scratch = (float *)(void *)(workspace + c.plan.rows_bytes + (size_t)worker * c.plan.worker_bytes);
    return c;
}

/* Where the product's rows and columns begin, and its output: images and groups, or batches that broadcast. */
static void find_product(const product_call *c, int64_t index, int64_t *rows, int64_t *columns, int64_t *out) {
    const product_plan *p = &c->plan;
    *out = index * p->m * p->n;
    if (c->problem->op != TN_OP_MATRIX_MULTIPLY) {
        *rows = index % p->groups * p->m * p->k;
        *columns = index * p->windows.channels * p->windows.in_size;
        return;
    }
    const tn_matrix_multiply_params *params = c->problem->params;
    int a_dims = c->a.rank - (params->op_a == TN_MATRIX_VECTOR ? 1 : 2), b_dims = c->b.rank - (params->op_b == TN_MATRIX_VECTOR ? 1 : 2);
    int y_dims = c->y.rank - 2 + (params->op_a == TN_MATRIX_VECTOR) + (params->op_b == TN_MATRIX_VECTOR);
    *rows = *columns = 0;
    for (int i = y_dims - 1; i >= 0; i--) {
        int64_t at = index % c->y.dims[i];
        index /= c->y.dims[i];
        int in_a = i - (y_dims - a_dims), in_b = i - (y_dims - b_dims);
        if (in_a >= 0 && c->a.dims[in_a] != 1) *rows += at * c->a.strides[in_a];
        if (in_b >= 0 && c->b.dims[in_b] != 1) *columns += at * c->b.strides[in_b];
    }
}

static void product_tile(const product_call *c, int64_t tile) {
    const product_plan *p = &c->plan;
    int64_t first_row = tile % p->num_row_tiles * p->rows, rest = tile / p->num_row_tiles, rows, out;
    int64_t num_rows = p->m - first_row < p->rows ? p->m - first_row : p->rows;
    product_columns columns = {.from = &c->b, .plan = p, .first = rest % p->num_column_tiles * p->width};
    bool is_matrix = c->problem->op == TN_OP_MATRIX_MULTIPLY;
    columns.count = p->n - columns.first < p->width ? p->n - columns.first : p->width;
    find_product(c, rest / p->num_column_tiles, &rows, &columns.base, &out);
    if (!is_matrix) find_runs(&columns);
    float *packed = c->scratch, *sums = packed + PRODUCT_DEPTH * PRODUCT_WIDTH;
    for (int64_t first = 0; first < p->k; first += PRODUCT_DEPTH) {
        int64_t depth = p->k - first < PRODUCT_DEPTH ? p->k - first : PRODUCT_DEPTH;
        if (is_matrix)
            pack_matrix(&columns, first, depth, packed);
        else
            pack_windows(&columns, first, depth, packed);
        product_block block = {.rows = c->rows + rows + first_row * p->row_stride + first * p->depth_stride,
                               .columns = packed,
                               .row_stride = p->row_stride,
                               .depth_stride = p->depth_stride,
                               .depth = depth,
                               .width = p->width,
                               .sums = sums,
                               .is_first = first == 0};
        product_multiply(&block, num_rows);
    }
    for (int64_t r = 0; r < num_rows; r++) {
        float *line = sums + r * p->width, bias = 0.0f;
        int64_t row = first_row + r;
        if (c->bias.is_given) bias = (float)tensor_double(&c->bias, rest / p->num_column_tiles % p->groups * p->m + row);
        for (int64_t i = 0; i < p->width; i += LANES) {
            vf sum = p->k > 0 ? v_load(line + i) : v_zero();
            v_store(line + i, c->bias.is_given ? v_add(sum, v_set1(bias)) : sum);
        }
        line_store_floats(&c->y, out + row * p->n + columns.first, columns.count, line);
    }
}

void TN_ISA_NAME(tn_cpu_product)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_product)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    product_call c = product_begin(step, worker);
    for (int64_t tile = begin; tile < end; tile++) product_tile(&c, tile);
}

/* The phase before: rows as float32 in the workspace, [groups][m][k]; a deconvolution's kernel is [groups][channels][m][kernel]. */
void TN_ISA_NAME(tn_cpu_product_rows)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_product_rows)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    product_call c = product_begin(step, worker);
    float *rows = step_workspace(step);
    if (c.problem->op != TN_OP_DECONVOLUTION) {
        for (int64_t tile = begin; tile < end; tile++) {
            int64_t first = tile * NEST_CHUNK, left = c.plan.num_row_elements - first;
            copy_floats(&c.a, first, 1, left < NEST_CHUNK ? left : NEST_CHUNK, rows + first);
        }
        return;
    }
    int64_t channels = c.plan.windows.channels, size = c.plan.windows.kernel_size;
    for (int64_t tile = begin; tile < end; tile++) { /* one channel of one filter */
        int64_t channel = tile % channels, row = tile / channels, group = row / c.plan.m;
        int64_t from = ((group * channels + channel) * c.plan.m + row % c.plan.m) * size;
        for (int64_t i = 0; i < size; i += NEST_CHUNK)
            copy_floats(&c.a, from + i, 1, size - i < NEST_CHUNK ? size - i : NEST_CHUNK, rows + tile * size + i);
    }
}

#endif
