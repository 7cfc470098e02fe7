/* SPDX-License-Identifier: Apache-2.0
 *
 * product.h: convolutions and products of two activations as y[m][n] = Σ_k rows[m][k] · columns[k][n], one for each image and group
 * or batch. Built alike by tactics/product.c and by the kernel.
 *
 * Rows are the filters, or op(a), where they lie (float32) or as float32 in the workspace; columns are what the windows see, or
 * op(b), packed PRODUCT_DEPTH deep and up to PRODUCT_WIDTH wide for a tile.
 */
#ifndef TN_BACKEND_CPU_PRODUCT_H_
#define TN_BACKEND_CPU_PRODUCT_H_

#include "backend/cpu/tensor.h"

enum { PRODUCT_WIDTH = 48, PRODUCT_DEPTH = 128, PRODUCT_MAX_ROWS = 512 };

/* Spatial dimensions padded to three by ones in front. */
typedef struct product_windows {
    bool is_transposed; /* a deconvolution */
    int64_t in[3], out[3], size[3], stride[3], dilation[3], pre[3];
    int64_t channels, in_size, kernel_size; /* channels of a group */
} product_windows;

typedef struct product_plan {
    int64_t m, n, k, num_products, groups;
    int64_t width, num_column_tiles, rows, num_row_tiles; /* a tile: `rows` by `width` */
    int64_t row_stride, depth_stride;                     /* of the rows, in elements */
    bool copies_rows, transposes_columns;
    int64_t num_row_elements;
    size_t rows_bytes, worker_bytes; /* workspace: rows if copied, then for each worker its columns and sums */
    product_windows windows;
} product_plan;

product_plan tn_cpu_product_plan(const tn_problem *problem, const int64_t *symbols, int num_workers);

static inline int64_t product_num_tiles(const product_plan *p) {
    return p->num_products * p->num_column_tiles * p->num_row_tiles;
}

#endif
