/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_residual_add.c: x·w + residual → matrix multiplication with the epilogue ADD. The sum is made where the product is in
 * registers, and read once by the norm after it; fuse_residual_norm takes the sums that no matrix multiplication feeds.
 */
#include "passes/passes_internal.h"

static bool fuse_residual_add(tn_rewriter *rewriter, tn_layer *root) {
    if (!tn_pass_is_elementwise(root, TN_ELEMENTWISE_SUM)) return false;
    for (uint32_t side = 0; side < 2; side++) {
        tn_layer *matmul = tn_pass_own_matmul(root, side);
        tn_tensor *residual = root->inputs.data[1 - side];
        if (matmul == NULL || residual->dtype != TN_FLOAT32 || matmul->outputs.data[0]->dtype != TN_FLOAT32) continue;
        if (matmul->outputs.data[0]->rank < 1 || !tn_pass_same_dims(matmul->outputs.data[0], residual)) continue;
        tn_layer *fused = tn_pass_add_epilogue(rewriter, matmul, (tn_epilogue){.kind = TN_EPILOGUE_ADD}, residual);
        if (fused != NULL) return tn_rewriter_replace(rewriter, root, fused);
    }
    return false;
}

static const tn_op_kind roots[] = {TN_OP_ELEMENTWISE};
const tn_pattern tn_fuse_residual_add = {
    .name = "fuse_residual_add", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_residual_add};
