/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_qkv.c: matrix multiplications of one input by constant weights of one form → one, by the weights one below the other;
 * each former output is a slice of its columns. The input is read once, and one large product runs better than three small.
 */
#include "passes/passes_internal.h"

/* Those that belong together stand close by; a bound keeps the search linear. */
enum { WINDOW = 64, MAX_PARTS = 8 };

static bool is_candidate(const tn_layer *layer) {
    if (layer->kind != TN_OP_MATRIX_MULTIPLY || layer->is_dead) return false;
    const tn_matrix_multiply_params *params = &layer->params.matrix_multiply;
    if (params->op_a != TN_MATRIX_NONE || params->op_b != TN_MATRIX_TRANSPOSE || layer->outputs.data[0]->dtype != TN_FLOAT32) return false;
    const tn_weights *weights = tn_match_weights(layer, 1);
    if (weights == NULL || weights->desc.dims.rank != 2) return false;
    if (layer->num_epilogues > 1 || (layer->num_epilogues == 1 && layer->epilogues[0].kind != TN_EPILOGUE_BIAS)) return false;
    return layer->num_epilogues == 0 || tn_match_weights(layer, 2) != NULL;
}

static bool belong_together(const tn_layer *a, const tn_layer *b) {
    return a->inputs.data[0] == b->inputs.data[0] && a->region == b->region && a->precision == b->precision &&
           tn_pass_rows_join(tn_match_weights(a, 1), tn_match_weights(b, 1));
}

/* Root and those after it, in their order; 0 if one stands before it, which will be the root then. */
static uint32_t find_parts(tn_layer *root, tn_layer **parts) {
    const tn_layer *before = root->previous;
    for (int i = 0; i < WINDOW && before != NULL; i++, before = before->previous)
        if (is_candidate(before) && belong_together(before, root)) return 0;
    uint32_t count = 1;
    parts[0] = root;
    tn_layer *after = root->next;
    for (int i = 0; i < WINDOW && after != NULL && count < MAX_PARTS; i++, after = after->next)
        if (is_candidate(after) && belong_together(root, after)) parts[count++] = after;
    return count;
}

/* Weights, or biases with zeros where a part has none, as one constant. */
static tn_tensor *join_constants(tn_rewriter *rewriter, tn_layer *const *parts, uint32_t count, uint32_t input) {
    tn_network *network = rewriter->network;
    const tn_weights *pieces[MAX_PARTS];
    const char *names[MAX_PARTS];
    uint32_t num_names = 0;
    for (uint32_t i = 0; i < count; i++) {
        pieces[i] = tn_match_weights(parts[i], input);
        if (pieces[i] != NULL) {
            names[num_names++] = parts[i]->inputs.data[input]->producer->name;
            continue;
        }
        int64_t rows = tn_match_weights(parts[i], 1)->desc.dims.d[0];
        float *zeros = tn_arena_alloc_array(&network->arena, (size_t)rows, sizeof *zeros);
        pieces[i] = zeros != NULL ? tn_weights_floats(&network->arena, zeros, TN_DIMS(rows), network->diag) : NULL;
    }
    const tn_weights *joined = tn_weights_concat(&network->arena, pieces, count, 0, network->diag);
    const char *name = joined != NULL ? tn_pass_join_names(network, names, num_names) : NULL;
    if (name == NULL) network->failed = true;
    return name != NULL ? tn_network_add_weights(network, joined, name) : NULL;
}

static tn_layer *make_joined(tn_rewriter *rewriter, tn_layer *const *parts, uint32_t count) {
    bool has_bias = false;
    const char *names[MAX_PARTS];
    for (uint32_t i = 0; i < count; i++) {
        has_bias = has_bias || parts[i]->num_epilogues > 0;
        names[i] = parts[i]->name;
    }
    tn_tensor *inputs[3] = {parts[0]->inputs.data[0], join_constants(rewriter, parts, count, 1), NULL};
    if (has_bias) inputs[2] = join_constants(rewriter, parts, count, 2);
    const char *name = tn_pass_join_names(rewriter->network, names, count);
    if (inputs[1] == NULL || (has_bias && inputs[2] == NULL) || name == NULL) return NULL;
    const tn_epilogue bias = {.kind = TN_EPILOGUE_BIAS, .operand = 2};
    tn_layer *joined = tn_network_add_fused_layer(rewriter->network, TN_OP_MATRIX_MULTIPLY, &parts[0]->params, inputs, has_bias ? 3 : 2,
                                                  &bias, has_bias ? 1 : 0, name);
    if (joined != NULL) joined->precision = parts[0]->precision;
    return tn_pass_keep_if_supported(rewriter, joined);
}

static tn_dims filled(int rank, int64_t value, int64_t last) {
    tn_dims dims = {.rank = rank};
    for (int i = 0; i < rank; i++) dims.d[i] = i + 1 < rank ? value : last;
    return dims;
}

static bool fuse_qkv(tn_rewriter *rewriter, tn_layer *root) {
    tn_layer *parts[MAX_PARTS];
    if (!is_candidate(root)) return false;
    uint32_t count = find_parts(root, parts);
    if (count < 2) return false;
    tn_layer *joined = make_joined(rewriter, parts, count);
    if (joined == NULL) return false;
    int rank = joined->outputs.data[0]->rank;
    int64_t begin = 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t columns = tn_match_weights(parts[i], 1)->desc.dims.d[0];
        tn_layer *slice = tn_network_add_slice(rewriter->network, joined->outputs.data[0], filled(rank, 0, begin),
                                               filled(rank, -1, columns), filled(rank, 1, 1));
        if (!tn_rewriter_replace(rewriter, parts[i], slice)) return false;
        begin += columns;
    }
    return true;
}

static const tn_op_kind roots[] = {TN_OP_MATRIX_MULTIPLY};
const tn_pattern tn_fuse_qkv = {.name = "fuse_qkv", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_qkv};
