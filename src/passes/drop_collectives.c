/* SPDX-License-Identifier: Apache-2.0
 *
 * drop_collectives.c: a collective of one rank is its input.
 */
#include "passes/passes_internal.h"

static bool drop_collective(tn_rewriter *rewriter, tn_layer *root) {
    if (root->params.collective.group > 1) return false;
    tn_layer *copy = tn_network_add_layer(rewriter->network, TN_OP_IDENTITY, NULL, root->inputs.data, 1, root->name);
    return copy != NULL && tn_rewriter_replace_outputs(rewriter, root, copy->outputs.data, 1);
}

static const tn_op_kind roots[] = {TN_OP_COLLECTIVE};
const tn_pattern tn_drop_collectives = {
    .name = "drop_collectives", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = drop_collective};
