/* SPDX-License-Identifier: Apache-2.0
 *
 * refit_rows.h: which rows of a recipe's result a refit can make anew, and which it must keep from the present weight.
 */
#ifndef TN_RUNTIME_REFIT_ROWS_H_
#define TN_RUNTIME_REFIT_ROWS_H_

#include "weights/weights.h"

/* What a row is made of; a set of these. */
enum { TN_ROW_FROM_GIVEN = 1, TN_ROW_FROM_PRESENT = 2 };

typedef bool (*tn_leaf_is_given)(void *user, const tn_weights *leaf);

/* For row `row` of the result. Where an operation mixes rows, its inputs count whole. */
int tn_weights_row_origin(const tn_weights *weights, int64_t row, tn_leaf_is_given is_given, void *user);
/* Of all rows together. */
int tn_weights_origin(const tn_weights *weights, tn_leaf_is_given is_given, void *user);

#endif
