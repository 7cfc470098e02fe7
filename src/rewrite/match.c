/* SPDX-License-Identifier: Apache-2.0
 *
 * match.c: the questions that patterns ask about what stands around a layer.
 */
#include "op/dtype.h"
#include "rewrite/rewrite.h"

tn_layer *tn_match_producer(const tn_layer *layer, uint32_t input, tn_op_kind kind) {
    const tn_tensor *tensor = input < layer->inputs.count ? layer->inputs.data[input] : NULL;
    tn_layer *producer = tensor != NULL ? tensor->producer : NULL;
    return producer != NULL && producer->kind == kind && producer->region == layer->region ? producer : NULL;
}

bool tn_match_is_read_once(const tn_tensor *tensor) {
    return tensor->uses.count == 1 && !tensor->is_output && !tensor->is_debug;
}

tn_layer *tn_match_own_producer(const tn_layer *layer, uint32_t input, tn_op_kind kind) {
    tn_layer *producer = tn_match_producer(layer, input, kind);
    return producer != NULL && tn_match_is_read_once(layer->inputs.data[input]) ? producer : NULL;
}

const tn_weights *tn_match_weights(const tn_layer *layer, uint32_t input) {
    return input < layer->inputs.count ? tn_tensor_weights(layer->inputs.data[input]) : NULL;
}

bool tn_match_scalar(const tn_tensor *tensor, double *out_value) {
    const tn_weights *weights = tn_tensor_weights(tensor);
    while (weights != NULL && weights->op == TN_WEIGHTS_RESHAPE) weights = weights->inputs[0];
    if (weights == NULL || weights->op != TN_WEIGHTS_VALUE || weights->desc.encoding.kind != TN_ENCODING_PLAIN) return false;
    if (tn_weight_num_rows(&weights->desc) != 1 || tn_weight_num_columns(&weights->desc) != 1) return false;
    *out_value = tn_dtype_load(weights->desc.encoding.storage, weights->value.part[TN_PART_DATA], 0);
    return true;
}
