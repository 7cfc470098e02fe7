/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_residual_norm.c: norm(x + residual) → normalization with a residual input, whose second output is the sum. For sums that
 * fuse_residual_add left: those of experts' outputs.
 */
#include "passes/passes_internal.h"

/* The constant again, before the sum: it may stand after it. */
static bool repeat_constant(tn_rewriter *rewriter, const tn_layer *norm, uint32_t input, tn_tensor **out) {
    *out = NULL;
    if (norm->inputs.data[input] == NULL) return true;
    const tn_weights *weights = tn_match_weights(norm, input);
    if (weights == NULL) return false;
    *out = tn_network_add_weights(rewriter->network, weights, norm->inputs.data[input]->producer->name);
    return *out != NULL;
}

static void retire_constant(tn_rewriter *rewriter, tn_tensor *constant) {
    if (constant != NULL) tn_network_retire(rewriter->network, constant->producer);
}

static bool fuse_residual_norm(tn_rewriter *rewriter, tn_layer *root) {
    tn_layer *sum = tn_match_producer(root, 0, TN_OP_ELEMENTWISE);
    if (sum == NULL || !tn_pass_is_elementwise(sum, TN_ELEMENTWISE_SUM) || root->inputs.data[3] != NULL || root->num_epilogues > 0)
        return false;
    tn_tensor *x = sum->inputs.data[0], *residual = sum->inputs.data[1];
    if (!tn_pass_same_dims(x, residual) || tn_tensor_weights(x) != NULL || tn_tensor_weights(residual) != NULL) return false;
    rewriter->network->insert_before = sum; /* other readers of the sum stand after it, maybe before the norm */
    tn_tensor *scale = NULL, *bias = NULL;
    tn_layer *fused = NULL;
    if (repeat_constant(rewriter, root, 1, &scale) && repeat_constant(rewriter, root, 2, &bias)) {
        tn_tensor *inputs[4] = {x, scale, bias, residual};
        fused = tn_network_add_layer(rewriter->network, TN_OP_NORMALIZATION, &root->params, inputs, 4, root->name);
        fused = tn_pass_keep_if_supported(rewriter, fused);
    }
    if (fused == NULL) {
        retire_constant(rewriter, scale);
        retire_constant(rewriter, bias);
        return false;
    }
    return tn_rewriter_replace_outputs(rewriter, root, &fused->outputs.data[0], 1) &&
           tn_rewriter_replace_outputs(rewriter, sum, &fused->outputs.data[1], 1);
}

static const tn_op_kind roots[] = {TN_OP_NORMALIZATION};
const tn_pattern tn_fuse_residual_norm = {
    .name = "fuse_residual_norm", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_residual_norm};
