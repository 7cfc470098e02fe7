/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_activation.c: activation(x·w) → matrix multiplication with the epilogue ACTIVATION.
 */
#include "passes/passes_internal.h"

static bool fuse_activation(tn_rewriter *rewriter, tn_layer *root) {
    tn_layer *matmul = tn_pass_own_any_matmul(root, 0);
    int type = root->params.activation.type;
    if (matmul == NULL || type == TN_ACTIVATION_NONE || !tn_activation_is_plain((tn_activation_type)type) ||
        matmul->outputs.data[0]->dtype != TN_FLOAT32)
        return false;
    if (matmul->outputs.data[0]->rank < 1) return false;
    tn_epilogue epilogue = {.kind = TN_EPILOGUE_ACTIVATION, .activation = (tn_activation_type)type};
    return tn_rewriter_replace(rewriter, root, tn_pass_add_epilogue(rewriter, matmul, epilogue, NULL));
}

static const tn_op_kind roots[] = {TN_OP_ACTIVATION};
const tn_pattern tn_fuse_activation = {
    .name = "fuse_activation", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_activation};
