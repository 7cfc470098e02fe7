/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_quantize.c: QUANTIZE_ROWS of a norm's, attention's or matrix multiplication's output → the epilogue QUANTIZE of that
 * layer, where nothing reads the floats. Where something does, both stay: one more pass over a row in cache costs less than
 * making the row twice.
 */
#include "passes/passes_internal.h"

static tn_layer *find_producer(const tn_layer *root) {
    static const tn_op_kind kinds[] = {TN_OP_NORMALIZATION, TN_OP_ATTENTION, TN_OP_MATRIX_MULTIPLY, TN_OP_GROUPED_MATMUL};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        tn_layer *producer = tn_match_own_producer(root, 0, kinds[i]);
        if (producer != NULL && root->inputs.data[0]->output_index == 0) return producer;
    }
    return NULL;
}

static bool fuse_quantize(tn_rewriter *rewriter, tn_layer *root) {
    tn_layer *producer = find_producer(root);
    if (producer == NULL) return false;
    rewriter->network->insert_before = producer; /* its second output has readers before root */
    tn_layer *fused =
        tn_pass_add_epilogue(rewriter, producer, (tn_epilogue){.kind = TN_EPILOGUE_QUANTIZE, .dtype = root->params.quantize_rows.to}, NULL);
    if (fused == NULL || !tn_rewriter_replace_outputs(rewriter, root, &fused->outputs.data[0], 1)) return false;
    if (producer->outputs.count == 1) return true;
    return tn_rewriter_replace_outputs(rewriter, producer, (tn_tensor *[]){NULL, fused->outputs.data[1]}, 2);
}

static const tn_op_kind roots[] = {TN_OP_QUANTIZE_ROWS};
const tn_pattern tn_fuse_quantize = {.name = "fuse_quantize", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_quantize};
