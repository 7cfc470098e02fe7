/* SPDX-License-Identifier: Apache-2.0
 *
 * gather_columns.c: x · W of a weight whose columns are stored in another order → the columns of x gathered in that order, times the
 * weight as it is stored. The same products in another order; kernels never see an order. Weights that read one x and agree on the
 * order share its gather, so that they can be joined. Where the device does not run that, the weight is decoded.
 */
#include <string.h>

#include "passes/passes_internal.h"

static bool has_values(void *unused, const tn_weights *leaf) {
    (void)unused;
    return leaf->op == TN_WEIGHTS_VALUE || leaf->source != NULL;
}

/* The one place where a pass reads values: names cannot tell whether two weights' orders are equal. */
static bool orders_are_equal(tn_rewriter *rewriter, const tn_weights *a, const tn_weights *b) {
    size_t columns = (size_t)tn_weight_num_columns(&a->desc);
    if (tn_weights_equal(a, b)) return true;
    if (tn_weight_num_columns(&b->desc) != (int64_t)columns || !tn_weights_visit_sources(a, has_values, NULL) ||
        !tn_weights_visit_sources(b, has_values, NULL))
        return false;
    tn_arena scratch = {.allocator = rewriter->network->allocator};
    int32_t *orders[2];
    bool are_read = true;
    for (int i = 0; i < 2 && are_read; i++) {
        void *parts[TN_NUM_WEIGHT_PARTS] = {orders[i] = tn_arena_alloc_array(&scratch, columns, sizeof **orders)};
        are_read = orders[i] != NULL && tn_weights_read_rows(i == 0 ? a : b, 0, 1, parts, &scratch, rewriter->diag) == TN_OK;
    }
    bool are_equal = are_read && memcmp(orders[0], orders[1], columns * sizeof **orders) == 0;
    if (!are_read) rewriter->network->failed = true;
    tn_arena_deinit(&scratch);
    return are_equal;
}

/* x in this order, made right behind x, so that it stands before every reader. */
static tn_layer *gather_in_order(tn_rewriter *rewriter, tn_tensor *x, const tn_weights *order, const tn_layer *root) {
    tn_network *network = rewriter->network;
    if ((x->producer != NULL ? x->producer->region : 0) == root->region) {
        for (size_t i = 0; i < x->uses.count; i++) {
            tn_layer *user = x->uses.data[i].layer;
            const tn_weights *indices = user->kind == TN_OP_GATHER && user->region == root->region ? tn_match_weights(user, 1) : NULL;
            if (indices != NULL && indices->op == TN_WEIGHTS_COLUMN_ORDER && user->params.gather.axis == x->rank - 1 &&
                orders_are_equal(rewriter, indices, order))
                return user;
        }
        network->insert_before = x->producer != NULL ? x->producer->next : network->first_layer;
    }
    const char *name = tn_pass_join_names(network, (const char *[]){root->inputs.data[1]->producer->name, "order"}, 2);
    tn_tensor *indices = name != NULL ? tn_network_add_weights(network, order, name) : NULL;
    tn_layer *gather = indices != NULL ? tn_network_add_gather(network, x, indices, TN_GATHER_DEFAULT, x->rank - 1) : NULL;
    if (gather != NULL) tn_layer_set_name(gather, name);
    return tn_pass_keep_if_supported(rewriter, gather);
}

static bool gather_columns(tn_rewriter *rewriter, tn_layer *root) {
    const tn_matrix_multiply_params *params = &root->params.matrix_multiply;
    const tn_weights *weights = tn_match_weights(root, 1);
    if (weights == NULL || !weights->desc.encoding.has_perm || weights->desc.dims.rank != 2 || root->inputs.count != 2 ||
        root->num_epilogues > 0 || params->op_a != TN_MATRIX_NONE || params->op_b != TN_MATRIX_TRANSPOSE)
        return false;
    tn_network *network = rewriter->network;
    tn_layer *gather =
        gather_in_order(rewriter, root->inputs.data[0], tn_weights_column_order(&network->arena, weights, network->diag), root);
    if (gather == NULL) return false;
    weights = tn_weights_as_stored(&network->arena, weights, tn_match_weights(gather, 1), network->diag);
    if (weights == NULL) network->failed = true;
    network->insert_before = root;
    tn_tensor *inputs[2] = {gather->outputs.data[0],
                            weights != NULL ? tn_network_add_weights(network, weights, root->inputs.data[1]->producer->name) : NULL};
    if (inputs[1] == NULL) return false;
    tn_layer *product = tn_network_add_fused_layer(network, root->kind, &root->params, inputs, 2, NULL, 0, root->name);
    if (product != NULL) product->precision = root->precision;
    product = tn_pass_keep_if_supported(rewriter, product);
    if (product != NULL) return tn_rewriter_replace(rewriter, root, product);
    if (gather->outputs.data[0]->uses.count == 0) tn_network_retire(network, gather);
    return false;
}

static const tn_op_kind roots[] = {TN_OP_MATRIX_MULTIPLY};
const tn_pattern tn_gather_columns = {
    .name = "gather_columns", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = gather_columns};
