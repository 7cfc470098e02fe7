/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_bias.c: x·w + constant [n] → matrix multiplication with the epilogue BIAS.
 */
#include "passes/passes_internal.h"

/* [1, …, n] with the n columns of y. */
static bool is_row_of(const tn_tensor *bias, const tn_tensor *y) {
    int64_t columns, value;
    if (bias->rank != y->rank || y->rank < 1 || !tn_pass_dim_is(y, y->rank - 1, &columns)) return false;
    for (int axis = 0; axis < y->rank; axis++)
        if (!tn_pass_dim_is(bias, axis, &value) || value != (axis + 1 < y->rank ? 1 : columns)) return false;
    return true;
}

static bool fuse_bias(tn_rewriter *rewriter, tn_layer *root) {
    if (!tn_pass_is_elementwise(root, TN_ELEMENTWISE_SUM)) return false;
    for (uint32_t side = 0; side < 2; side++) {
        tn_layer *matmul = tn_pass_own_matmul(root, side);
        const tn_weights *bias = tn_match_weights(root, 1 - side);
        if (matmul == NULL || bias == NULL || bias->desc.dtype != TN_FLOAT32 || matmul->params.matrix_multiply.op_b == TN_MATRIX_VECTOR)
            continue;
        if (matmul->outputs.data[0]->dtype != TN_FLOAT32 || !is_row_of(root->inputs.data[1 - side], matmul->outputs.data[0])) continue;
        const tn_weights *vector = tn_pass_float_vector(rewriter->network, bias);
        tn_tensor *operand =
            vector != NULL ? tn_network_add_weights(rewriter->network, vector, root->inputs.data[1 - side]->producer->name) : NULL;
        if (operand == NULL) return false;
        tn_layer *fused = tn_pass_add_epilogue(rewriter, matmul, (tn_epilogue){.kind = TN_EPILOGUE_BIAS}, operand);
        if (fused != NULL) return tn_rewriter_replace(rewriter, root, fused);
        tn_network_retire(rewriter->network, operand->producer);
    }
    return false;
}

static const tn_op_kind roots[] = {TN_OP_ELEMENTWISE};
const tn_pattern tn_fuse_bias = {.name = "fuse_bias", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_bias};
