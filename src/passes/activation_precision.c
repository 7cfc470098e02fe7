/* SPDX-License-Identifier: Apache-2.0
 *
 * activation_precision.c: matrix multiplications by weights stored as integers read their input as quantised rows: q15_32, or
 * q8_32 when int8 was asked for. One QUANTIZE_ROWS for all readers of a tensor. Weights stored as floats keep float inputs.
 */
#include <string.h>

#include "op/dtype.h"
#include "passes/passes_internal.h"

static bool is_stored_as_integers(const tn_encoding *encoding) {
    if (encoding->kind == TN_ENCODING_GGUF) return true;
    if (encoding->kind == TN_ENCODING_MX && encoding->storage == TN_FLOAT4_E2M1) return true; /* twice its values are integers */
    return encoding->kind == TN_ENCODING_AFFINE && tn_dtype_get_info(encoding->storage)->is_integer;
}

/* NONE: it stays as it is. */
static tn_dtype wanted_dtype(const tn_pass_options *options, const tn_layer *matmul) {
    tn_activation_precision precision = matmul->precision != TN_ACTIVATIONS_AUTO ? matmul->precision : options->activations;
    switch (precision) {
    case TN_ACTIVATIONS_AUTO:
    case TN_ACTIVATIONS_Q15: return TN_Q15_32;
    case TN_ACTIVATIONS_INT8: return TN_Q8_32;
    default: return TN_DTYPE_NONE;
    }
}

static bool multiplies_rows_by_integers(const tn_layer *layer) {
    const tn_tensor *x = layer->inputs.data[0];
    const tn_weights *weights = tn_match_weights(layer, 1);
    if (x->dtype != TN_FLOAT32 || x->rank < 1 || tn_tensor_weights(x) != NULL || weights == NULL || weights->desc.dtype != TN_FLOAT32)
        return false;
    if (!is_stored_as_integers(&weights->desc.encoding)) return false;
    const tn_matrix_multiply_params *params = &layer->params.matrix_multiply;
    return layer->kind == TN_OP_GROUPED_MATMUL || (params->op_a == TN_MATRIX_NONE && params->op_b == TN_MATRIX_TRANSPOSE);
}

/* The quantised form of x, made right behind x, so that it stands before every reader. */
static tn_tensor *quantize_rows(tn_rewriter *rewriter, tn_tensor *x, const tn_layer *reader, tn_dtype dtype) {
    tn_network *network = rewriter->network;
    uint32_t region = x->producer != NULL ? x->producer->region : 0;
    if (region == reader->region) {
        for (size_t i = 0; i < x->uses.count; i++) {
            const tn_layer *user = x->uses.data[i].layer;
            if (user->kind == TN_OP_QUANTIZE_ROWS && user->region == region && user->params.quantize_rows.to == dtype)
                return user->outputs.data[0];
        }
        network->insert_before = x->producer != NULL ? x->producer->next : network->first_layer;
    }
    tn_op_params params = {.quantize_rows = {.to = dtype}};
    return tn_layer_output(tn_network_add_layer(network, TN_OP_QUANTIZE_ROWS, &params, &x, 1, NULL), 0);
}

static bool set_precision(tn_rewriter *rewriter, tn_layer *root) {
    tn_dtype dtype = wanted_dtype(tn_pass_options_of(rewriter), root);
    if (dtype == TN_DTYPE_NONE || !multiplies_rows_by_integers(root)) return false;
    tn_network *network = rewriter->network;
    tn_tensor *inputs[8];
    uint32_t num_inputs = (uint32_t)root->inputs.count;
    if (num_inputs > sizeof inputs / sizeof inputs[0]) return false;
    memcpy(inputs, root->inputs.data, num_inputs * sizeof *inputs);
    inputs[0] = quantize_rows(rewriter, root->inputs.data[0], root, dtype);
    if (inputs[0] == NULL) return false;
    network->insert_before = root;
    tn_layer *quantized = tn_network_add_fused_layer(network, root->kind, &root->params, inputs, num_inputs, root->epilogues,
                                                     root->num_epilogues, root->name);
    if (quantized != NULL) quantized->precision = root->precision;
    quantized = tn_pass_keep_if_supported(rewriter, quantized);
    if (quantized != NULL) return tn_rewriter_replace(rewriter, root, quantized);
    tn_network_retire(network, inputs[0]->producer);
    return false;
}

static const tn_op_kind roots[] = {TN_OP_MATRIX_MULTIPLY, TN_OP_GROUPED_MATMUL};
const tn_pattern tn_activation_precision_pattern = {
    .name = "activation_precision", .root_kinds = roots, .num_root_kinds = 2, .match_and_rewrite = set_precision};
