/* SPDX-License-Identifier: Apache-2.0
 *
 * fold_identity_slices.c: a slice that is the whole of its input is its input.
 */
#include "passes/passes_internal.h"

static bool takes_everything(const tn_layer *slice) {
    const tn_slice_params *params = &slice->params.slice;
    for (uint32_t i = 1; i < slice->inputs.count; i++)
        if (slice->inputs.data[i] != NULL) return false;
    for (int axis = 0; axis < params->start.rank; axis++)
        if (params->start.d[axis] != 0 || params->stride.d[axis] != 1) return false;
    return tn_pass_same_dims(slice->inputs.data[0], slice->outputs.data[0]);
}

static bool fold_slice(tn_rewriter *rewriter, tn_layer *root) {
    if (!takes_everything(root) || root->outputs.data[0]->is_output || root->outputs.data[0]->is_debug) return false;
    return tn_rewriter_replace_outputs(rewriter, root, root->inputs.data, 1);
}

static const tn_op_kind roots[] = {TN_OP_SLICE};
const tn_pattern tn_fold_identity_slices = {
    .name = "fold_identity_slices", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fold_slice};
