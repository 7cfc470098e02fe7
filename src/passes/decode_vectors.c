/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_vectors.c: constant vectors that are computed with as float32 (norm scales, biases, slopes) are stored as float32, so
 * that no kernel needs another form of them; so are matrices whose columns stand in another order, if gather_columns left any. Exact.
 */
#include "passes/passes_internal.h"

static bool decode_vector(tn_rewriter *rewriter, tn_layer *root) {
    const tn_weights *weights = root->weights;
    if (weights == NULL || weights->desc.dtype != TN_FLOAT32 || root->outputs.data[0]->uses.count == 0) return false;
    if (weights->desc.dims.rank > 1 && !weights->desc.encoding.has_perm) return false;
    if (weights->desc.encoding.kind == TN_ENCODING_PLAIN && weights->desc.encoding.storage == TN_FLOAT32) return false;
    const tn_weights *decoded = tn_weights_decode(&rewriter->network->arena, weights, TN_FLOAT32, rewriter->diag);
    if (decoded == NULL) {
        rewriter->network->failed = true;
        return false;
    }
    tn_tensor *constant = tn_network_add_weights(rewriter->network, decoded, root->name);
    return constant != NULL && tn_rewriter_replace(rewriter, root, constant->producer);
}

static const tn_op_kind roots[] = {TN_OP_CONSTANT};
const tn_pattern tn_decode_vectors = {
    .name = "decode_vectors", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = decode_vector};
