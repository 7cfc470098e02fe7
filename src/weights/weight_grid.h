/* SPDX-License-Identifier: Apache-2.0
 *
 * weight_grid.h: how the parts of a weight divide along its rows. Inside the module only.
 */
#ifndef TN_WEIGHTS_WEIGHT_GRID_H_
#define TN_WEIGHTS_WEIGHT_GRID_H_

#include "op/encoding.h"

/* Rows of the weight that share one row of a part; 0: the part belongs to the whole weight. */
static inline int64_t tn_part_row_height(const tn_encoding *encoding, tn_weight_part part) {
    switch (part) {
    case TN_PART_SCALE:
    case TN_PART_ZERO: return encoding->kind == TN_ENCODING_AFFINE ? encoding->block_rows : 1;
    case TN_PART_SCALE2:
    case TN_PART_PERM: return 0;
    default: return 1;
    }
}

/* Row ranges must start at multiples of this, or scales would be cut apart. */
static inline int64_t tn_weight_row_multiple(const tn_encoding *encoding) {
    return encoding->kind == TN_ENCODING_AFFINE && encoding->block_rows > 1 ? encoding->block_rows : 1;
}

/* Bytes of one row of the part (of one grid row of scales); all of it for a part of the whole weight. Only for weights whose
 * desc was checked. */
static inline size_t tn_part_row_bytes(const tn_encoding *encoding, tn_weight_part part, int64_t columns) {
    size_t bytes = 0;
    return tn_encoding_part_bytes(encoding, part, 1, columns, &bytes) ? bytes : 0;
}

/* Where row `row` stands in a part that starts at row 0. */
static inline size_t tn_part_row_offset(const tn_encoding *encoding, tn_weight_part part, int64_t row, int64_t columns) {
    int64_t height = tn_part_row_height(encoding, part);
    return height == 0 ? 0 : (size_t)(row / height) * tn_part_row_bytes(encoding, part, columns);
}

/* Grid rows of a part for `rows` rows. */
static inline int64_t tn_part_grid_rows(const tn_encoding *encoding, tn_weight_part part, int64_t rows) {
    int64_t height = tn_part_row_height(encoding, part);
    if (rows == 0) return 0;
    return height == 0 ? 1 : (rows - 1) / height + 1;
}

#endif
