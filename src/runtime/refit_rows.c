/* SPDX-License-Identifier: Apache-2.0
 *
 * refit_rows.c: see refit_rows.h.
 */
#include "runtime/refit_rows.h"

int tn_weights_origin(const tn_weights *weights, tn_leaf_is_given is_given, void *user) {
    if (weights->op == TN_WEIGHTS_LOAD || (weights->op == TN_WEIGHTS_VALUE && weights->name != NULL))
        return is_given(user, weights) ? TN_ROW_FROM_GIVEN : TN_ROW_FROM_PRESENT;
    int origin = 0;
    for (uint32_t i = 0; i < weights->num_inputs; i++) origin |= tn_weights_origin(weights->inputs[i], is_given, user);
    return origin;
}

/* CONCAT along rows and STACK. */
static int joined_origin(const tn_weights *weights, int64_t row, tn_leaf_is_given is_given, void *user) {
    for (uint32_t i = 0; i < weights->num_inputs; i++) {
        int64_t rows = tn_weight_num_rows(&weights->inputs[i]->desc);
        if (row < rows) return tn_weights_row_origin(weights->inputs[i], row, is_given, user);
        row -= rows;
    }
    return 0;
}

int tn_weights_row_origin(const tn_weights *weights, int64_t row, tn_leaf_is_given is_given, void *user) {
    const tn_weights *in = weights->num_inputs > 0 ? weights->inputs[0] : NULL;
    int64_t strip = weights->begin;
    int origin = 0;
    switch (weights->op) {
    case TN_WEIGHTS_SLICE:
        if (weights->axis == 0) row += weights->begin * (tn_weight_num_rows(&in->desc) / in->desc.dims.d[0]);
        return tn_weights_row_origin(in, row, is_given, user);
    case TN_WEIGHTS_CONCAT:
        if (weights->axis == 0) return joined_origin(weights, row, is_given, user);
        for (uint32_t i = 0; i < weights->num_inputs; i++) origin |= tn_weights_row_origin(weights->inputs[i], row, is_given, user);
        return origin;
    case TN_WEIGHTS_STACK: return joined_origin(weights, row, is_given, user);
    case TN_WEIGHTS_RESHAPE:
        if (tn_weight_num_columns(&weights->desc) != tn_weight_num_columns(&in->desc)) return tn_weights_origin(in, is_given, user);
        return tn_weights_row_origin(in, row, is_given, user);
    case TN_WEIGHTS_INTERLEAVE:
        return tn_weights_row_origin(weights->inputs[row / strip % 2], row / (2 * strip) * strip + row % strip, is_given, user);
    case TN_WEIGHTS_PERMUTE_ROWS: return tn_weights_row_origin(in, weights->table[row], is_given, user);
    case TN_WEIGHTS_DECODE:
    case TN_WEIGHTS_INVERSE_NORMS:
    case TN_WEIGHTS_ENCODE: return tn_weights_row_origin(in, row, is_given, user);
    case TN_WEIGHTS_MUL:
    case TN_WEIGHTS_ADD:
    case TN_WEIGHTS_AS_STORED:
        return tn_weights_row_origin(in, row, is_given, user) | tn_weights_origin(weights->inputs[1], is_given, user);
    default: return tn_weights_origin(weights, is_given, user);
    }
}
