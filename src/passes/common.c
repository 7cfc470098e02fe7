/* SPDX-License-Identifier: Apache-2.0
 *
 * common.c: what passes share.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "passes/passes_internal.h"

enum { MAX_INPUTS = 16 };

tn_layer *tn_pass_keep_if_supported(tn_rewriter *rewriter, tn_layer *layer) {
    const tn_pass_options *options = tn_pass_options_of(rewriter);
    if (layer == NULL || options->supports == NULL) return layer;
    tn_network *network = rewriter->network;
    tn_arena arena = {.allocator = network->allocator};
    tn_problem problem;
    bool keep = false;
    if (tn_layer_make_problem(layer, &arena, &problem, rewriter->diag) == TN_OK)
        keep = options->supports(options->user, &problem);
    else
        network->failed = network->out_of_memory = true;
    tn_arena_deinit(&arena);
    if (keep) return layer;
    tn_network_retire(network, layer);
    return NULL;
}

tn_layer *tn_pass_add_epilogue(tn_rewriter *rewriter, const tn_layer *layer, tn_epilogue epilogue, tn_tensor *operand) {
    uint32_t num_inputs = (uint32_t)layer->inputs.count, num_epilogues = layer->num_epilogues;
    if (num_epilogues == TN_MAX_EPILOGUES || num_inputs >= MAX_INPUTS) return NULL;
    if (num_epilogues > 0 && layer->epilogues[num_epilogues - 1].kind == TN_EPILOGUE_QUANTIZE) return NULL;
    tn_tensor *inputs[MAX_INPUTS];
    tn_epilogue epilogues[TN_MAX_EPILOGUES];
    memcpy(inputs, layer->inputs.data, num_inputs * sizeof *inputs);
    memcpy(epilogues, layer->epilogues, num_epilogues * sizeof *epilogues);
    epilogue.operand = operand != NULL ? (int32_t)num_inputs : -1;
    if (operand != NULL) inputs[num_inputs++] = operand;
    epilogues[num_epilogues++] = epilogue;
    tn_layer *fused = tn_network_add_fused_layer(rewriter->network, layer->kind, &layer->params, inputs, num_inputs, epilogues,
                                                 num_epilogues, layer->name);
    if (fused != NULL) fused->precision = layer->precision;
    return tn_pass_keep_if_supported(rewriter, fused);
}

const char *tn_pass_join_names(tn_network *network, const char *const *names, uint32_t num_names) {
    size_t prefix = strlen(names[0]);
    for (uint32_t i = 1; i < num_names; i++) {
        size_t same = 0;
        while (same < prefix && names[i][same] == names[0][same]) same++;
        prefix = same;
    }
    while (prefix > 0 && names[0][prefix - 1] != '.') prefix--;
    tn_text text = {.allocator = network->allocator};
    tn_text_append_string(&text, names[0]);
    for (uint32_t i = 1; i < num_names; i++) {
        tn_text_append_char(&text, '+');
        tn_text_append_string(&text, names[i] + prefix);
    }
    const char *joined = text.failed ? NULL : tn_arena_string(&network->arena, text.data);
    tn_text_deinit(&text);
    if (joined == NULL) {
        network->failed = network->out_of_memory = true;
        (void)tn_fail_memory(network->diag, "a layer's name", 64);
    }
    return joined;
}

tn_layer *tn_pass_own_matmul(const tn_layer *layer, uint32_t input) {
    return tn_match_own_producer(layer, input, TN_OP_MATRIX_MULTIPLY);
}

tn_layer *tn_pass_own_any_matmul(const tn_layer *layer, uint32_t input) {
    tn_layer *matmul = tn_pass_own_matmul(layer, input);
    return matmul != NULL ? matmul : tn_match_own_producer(layer, input, TN_OP_GROUPED_MATMUL);
}

bool tn_pass_is_elementwise(const tn_layer *layer, tn_elementwise_op op) {
    return layer->kind == TN_OP_ELEMENTWISE && layer->params.elementwise.op == (int)op;
}

bool tn_pass_same_dims(const tn_tensor *a, const tn_tensor *b) {
    if (a->rank != b->rank) return false;
    for (int axis = 0; axis < a->rank; axis++)
        if (tn_sym_equal(a->network->symbols, a->dims[axis], b->dims[axis]) != TN_YES) return false;
    return true;
}

bool tn_pass_dim_is(const tn_tensor *tensor, int axis, int64_t *out_value) {
    return axis >= 0 && axis < tensor->rank && tn_sym_is_const(tensor->network->symbols, tensor->dims[axis], out_value);
}

bool tn_pass_rows_join(const tn_weights *a, const tn_weights *b) {
    const tn_encoding *encoding = &a->desc.encoding;
    if (a->desc.dtype != b->desc.dtype || !tn_encoding_equal(encoding, &b->desc.encoding) || a->desc.dims.rank != b->desc.dims.rank)
        return false;
    if (encoding->has_scale2 || encoding->has_perm) return false;
    if (encoding->kind == TN_ENCODING_AFFINE && encoding->block_rows != 1) return false;
    return tn_weight_num_columns(&a->desc) == tn_weight_num_columns(&b->desc);
}

const tn_weights *tn_pass_float_vector(tn_network *network, const tn_weights *weights) {
    int64_t elements = tn_weight_num_rows(&weights->desc) * tn_weight_num_columns(&weights->desc);
    const tn_weights *vector = tn_weights_decode(&network->arena, weights, TN_FLOAT32, network->diag);
    vector = tn_weights_reshape(&network->arena, vector, TN_DIMS(elements), network->diag);
    if (vector == NULL) network->failed = true;
    return vector;
}
