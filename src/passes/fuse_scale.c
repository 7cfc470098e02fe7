/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_scale.c: (x·w) · constant, or divided by one → matrix multiplication with the epilogue SCALE.
 */
#include <math.h>

#include "passes/passes_internal.h"

/* Division by anything but a power of two would round differently as a product. */
static bool has_exact_inverse(double value) {
    int exponent;
    return isfinite(value) && value != 0.0 && fabs(frexp(value, &exponent)) == 0.5;
}

static bool read_factor(const tn_layer *root, uint32_t side, double *out) {
    if (!tn_match_scalar(root->inputs.data[1 - side], out)) return false;
    if (tn_pass_is_elementwise(root, TN_ELEMENTWISE_PROD)) return true;
    if (side != 0 || !tn_pass_is_elementwise(root, TN_ELEMENTWISE_DIV) || !has_exact_inverse(*out)) return false;
    *out = 1.0 / *out;
    return true;
}

static bool fuse_scale(tn_rewriter *rewriter, tn_layer *root) {
    for (uint32_t side = 0; side < 2; side++) {
        tn_layer *matmul = tn_pass_own_any_matmul(root, side);
        double factor;
        if (matmul == NULL || matmul->outputs.data[0]->dtype != TN_FLOAT32 || matmul->outputs.data[0]->rank < 1) continue;
        if (!read_factor(root, side, &factor)) continue;
        tn_layer *fused = tn_pass_add_epilogue(rewriter, matmul, (tn_epilogue){.kind = TN_EPILOGUE_SCALE, .value = factor}, NULL);
        if (fused != NULL) return tn_rewriter_replace(rewriter, root, fused);
    }
    return false;
}

static const tn_op_kind roots[] = {TN_OP_ELEMENTWISE};
const tn_pattern tn_fuse_scale = {.name = "fuse_scale", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_scale};
