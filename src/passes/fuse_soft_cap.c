/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_soft_cap.c: c · tanh((x·w) / c) → matrix multiplication with the epilogue SOFT_CAP.
 */
#include <math.h>

#include "passes/passes_internal.h"

/* The matrix multiplication that `scaled` divides by `cap`, or multiplies by 1/cap. */
static tn_layer *divided_matmul(const tn_layer *scaled, double cap) {
    for (uint32_t side = 0; side < 2; side++) {
        double value;
        tn_layer *matmul = tn_pass_own_matmul(scaled, side);
        if (matmul == NULL || !tn_match_scalar(scaled->inputs.data[1 - side], &value)) continue;
        if (tn_pass_is_elementwise(scaled, TN_ELEMENTWISE_DIV) && side == 0 && value == cap) return matmul;
        if (tn_pass_is_elementwise(scaled, TN_ELEMENTWISE_PROD) && fabs(value * cap - 1.0) < 1e-6) return matmul;
    }
    return NULL;
}

static bool fuse_soft_cap(tn_rewriter *rewriter, tn_layer *root) {
    if (!tn_pass_is_elementwise(root, TN_ELEMENTWISE_PROD)) return false;
    for (uint32_t side = 0; side < 2; side++) {
        double cap;
        const tn_layer *tanh_layer = tn_match_own_producer(root, side, TN_OP_ACTIVATION);
        if (tanh_layer == NULL || tanh_layer->params.activation.type != TN_ACTIVATION_TANH) continue;
        if (!tn_match_scalar(root->inputs.data[1 - side], &cap) || !(cap > 0.0)) continue;
        const tn_layer *scaled = tn_match_own_producer(tanh_layer, 0, TN_OP_ELEMENTWISE);
        const tn_layer *matmul = scaled != NULL ? divided_matmul(scaled, cap) : NULL;
        if (matmul == NULL || matmul->outputs.data[0]->dtype != TN_FLOAT32 || matmul->outputs.data[0]->rank < 1) continue;
        tn_layer *fused = tn_pass_add_epilogue(rewriter, matmul, (tn_epilogue){.kind = TN_EPILOGUE_SOFT_CAP, .value = cap}, NULL);
        if (fused != NULL) return tn_rewriter_replace(rewriter, root, fused);
    }
    return false;
}

static const tn_op_kind roots[] = {TN_OP_ELEMENTWISE};
const tn_pattern tn_fuse_soft_cap = {.name = "fuse_soft_cap", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_soft_cap};
