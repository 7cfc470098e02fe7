/* SPDX-License-Identifier: Apache-2.0
 *
 * layers.c: the public adders and setters: arguments in, parameter structs out.
 */
#include <float.h>
#include <inttypes.h>
#include <string.h>

#include "network/network_internal.h"

tn_tensor *tn_layer_output(const tn_layer *layer, int index) {
    return layer != NULL && index >= 0 && (size_t)index < layer->outputs.count ? layer->outputs.data[index] : NULL;
}

tn_tensor *tn_layer_input(const tn_layer *layer, int index) {
    return layer != NULL && index >= 0 && (size_t)index < layer->inputs.count ? layer->inputs.data[index] : NULL;
}

const char *tn_layer_name(const tn_layer *layer) {
    return layer != NULL ? layer->name : "";
}

void tn_layer_set_name(tn_layer *layer, const char *name) {
    if (layer == NULL || tn_network_is_frozen(layer->network, "name a layer")) return;
    if (name == NULL || name[0] == '\0' || strnlen(name, TN_MAX_NAME_BYTES) == TN_MAX_NAME_BYTES || !tn_utf8_is_valid(name, strlen(name))) {
        TN_NETWORK_FAIL(layer->network, TN_INVALID_ARGUMENT, "cannot name layer '%s': a name is UTF-8 of 1 to %d bytes", layer->name,
                        TN_MAX_NAME_BYTES - 1);
        return;
    }
    const char *copy = tn_network_copy_string(layer->network, name);
    if (copy != NULL) layer->name = copy;
}

const char *tn_layer_kind(const tn_layer *layer) {
    return layer != NULL ? tn_op_get_info(layer->kind)->name : "";
}

int tn_layer_num_inputs(const tn_layer *layer) {
    return layer != NULL ? (int)layer->inputs.count : 0;
}

int tn_layer_num_outputs(const tn_layer *layer) {
    return layer != NULL ? (int)layer->outputs.count : 0;
}

void tn_layer_set_metadata(tn_layer *layer, const char *metadata) {
    if (layer == NULL || tn_network_is_frozen(layer->network, "change a layer")) return;
    if (metadata != NULL && !tn_utf8_is_valid(metadata, strlen(metadata))) {
        TN_NETWORK_FAIL(layer->network, TN_INVALID_ARGUMENT, "cannot set the metadata of '%s': it is not UTF-8", layer->name);
        return;
    }
    layer->metadata = metadata != NULL ? tn_network_copy_string(layer->network, metadata) : NULL;
}

const char *tn_layer_metadata(const tn_layer *layer) {
    return layer != NULL && layer->metadata != NULL ? layer->metadata : "";
}

void tn_constant_set_weights_name(tn_layer *layer, const char *name) {
    if (!tn_layer_is_kind(layer, TN_OP_CONSTANT)) return;
    tn_network *network = layer->network;
    const tn_weights *old = layer->weights;
    if (old == NULL || old->op != TN_WEIGHTS_VALUE || name == NULL || name[0] == '\0' || !tn_utf8_is_valid(name, strlen(name))) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot name the weights of '%s': %s", layer->name,
                        name == NULL || name[0] == '\0' ? "the name is empty" : "they come from a recipe, or the name is not UTF-8");
        return;
    }
    const tn_weights *named = tn_weights_value(&network->arena, &old->desc, &old->value, name, network->diag);
    if (named == NULL)
        network->failed = true;
    else
        layer->weights = named;
}

/* --- values --------------------------------------------------------------------------------------------------------------- */

static bool weights_fit(tn_network *network, const tn_dims *dims, const tn_weights_data *weights) {
    int64_t count = 1;
    const tn_dtype_info *info = weights != NULL && tn_dtype_name(weights->dtype) != NULL ? tn_dtype_get_info(weights->dtype) : NULL;
    const char *reason = NULL;
    if (weights == NULL || (weights->data == NULL && weights->count != 0))
        reason = "its values are missing";
    else if (info == NULL || info->bits == 0)
        reason = "its values have no type";
    else if (dims->rank < 0 || dims->rank > TN_MAX_RANK)
        reason = "it has too many dimensions";
    for (int i = 0; reason == NULL && i < dims->rank; i++)
        if (dims->d[i] < 0 || __builtin_mul_overflow(count, dims->d[i], &count)) reason = "its dimensions are negative or too large";
    if (reason != NULL) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add constant: %s", reason);
        return false;
    }
    if (weights->count == count) return true;
    TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add constant%s%s: it has %" PRId64 " values, its dimensions need %" PRId64,
                    weights->name != NULL ? " " : "", weights->name != NULL ? weights->name : "", weights->count, count);
    return false;
}

tn_layer *tn_network_add_constant(tn_network *network, tn_dims dims, const tn_weights_data *weights) {
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot add a constant: the network is missing");
        return NULL;
    }
    if (!weights_fit(network, &dims, weights)) return NULL;
    tn_weight_desc desc = {.dtype = weights->dtype, .encoding = tn_encoding_plain(weights->dtype), .dims = dims};
    const tn_weight_parts parts = {.part = {weights->data}};
    const tn_weights *value = tn_weights_value(&network->arena, &desc, &parts, weights->name, network->diag);
    if (value == NULL) network->failed = true;
    tn_tensor *tensor = value != NULL ? tn_network_add_weights(network, value, weights->name) : NULL;
    return tensor != NULL ? tensor->producer : NULL;
}

tn_layer *tn_network_add_identity(tn_network *network, tn_tensor *x) {
    return tn_network_add_layer(network, TN_OP_IDENTITY, NULL, &x, 1, NULL);
}

tn_layer *tn_network_add_cast(tn_network *network, tn_tensor *x, tn_dtype to) {
    return tn_network_add_layer(network, TN_OP_CAST, &(tn_op_params){.cast = {.to = to}}, &x, 1, NULL);
}

tn_layer *tn_network_add_shape(tn_network *network, tn_tensor *x) {
    return tn_network_add_layer(network, TN_OP_SHAPE, NULL, &x, 1, NULL);
}

tn_layer *tn_network_add_fill(tn_network *network, tn_tensor *dims, tn_tensor *alpha, tn_tensor *beta) {
    return tn_network_add_layer(network, TN_OP_FILL, NULL, (tn_tensor *[]){dims, alpha, beta}, 3, NULL);
}

tn_layer *tn_network_add_unary(tn_network *network, tn_tensor *x, tn_unary_op op) {
    return tn_network_add_layer(network, TN_OP_UNARY, &(tn_op_params){.unary = {.op = (int)op}}, &x, 1, NULL);
}

tn_layer *tn_network_add_activation(tn_network *network, tn_tensor *x, tn_activation_type type) {
    tn_op_params params = {.activation = {.type = (int)type}};
    switch (type) {
    case TN_ACTIVATION_LEAKY_RELU: params.activation.alpha = 0.01; break;
    case TN_ACTIVATION_ELU:
    case TN_ACTIVATION_THRESHOLDED_RELU: params.activation.alpha = 1.0; break;
    case TN_ACTIVATION_SELU: params.activation.alpha = 1.67326324235437728482, params.activation.beta = 1.05070098735548049342; break;
    case TN_ACTIVATION_SOFTPLUS:
    case TN_ACTIVATION_SCALED_TANH: params.activation.alpha = params.activation.beta = 1.0; break;
    case TN_ACTIVATION_CLIP: params.activation.alpha = -FLT_MAX, params.activation.beta = FLT_MAX; break;
    case TN_ACTIVATION_HARD_SIGMOID: params.activation.alpha = 0.2, params.activation.beta = 0.5; break;
    default: break;
    }
    return tn_network_add_layer(network, TN_OP_ACTIVATION, &params, &x, 1, NULL);
}

tn_layer *tn_network_add_elementwise(tn_network *network, tn_tensor *a, tn_tensor *b, tn_elementwise_op op) {
    return tn_network_add_layer(network, TN_OP_ELEMENTWISE, &(tn_op_params){.elementwise = {.op = (int)op}}, (tn_tensor *[]){a, b}, 2,
                                NULL);
}

tn_layer *tn_network_add_select(tn_network *network, tn_tensor *condition, tn_tensor *if_true, tn_tensor *if_false) {
    return tn_network_add_layer(network, TN_OP_SELECT, NULL, (tn_tensor *[]){condition, if_true, if_false}, 3, NULL);
}

tn_layer *tn_network_add_reduce(tn_network *network, tn_tensor *x, tn_reduce_op op, uint32_t axes, bool keep_dims) {
    tn_op_params params = {.reduce = {.op = (int)op, .axes = axes, .keep_dims = keep_dims}};
    return tn_network_add_layer(network, TN_OP_REDUCE, &params, &x, 1, NULL);
}

tn_layer *tn_network_add_softmax(tn_network *network, tn_tensor *x, int axis) {
    return tn_network_add_layer(network, TN_OP_SOFTMAX, &(tn_op_params){.softmax = {.axis = axis}}, &x, 1, NULL);
}

tn_layer *tn_network_add_normalization(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_tensor *bias, tn_normalization_type type,
                                       double epsilon) {
    tn_op_params params = {.normalization = {.type = (int)type, .epsilon = epsilon}};
    return tn_network_add_layer(network, TN_OP_NORMALIZATION, &params, (tn_tensor *[]){x, scale, bias}, 3, NULL);
}

/* --- shuffle and slice: setters ------------------------------------------------------------------------------------------- */

tn_layer *tn_network_add_shuffle(tn_network *network, tn_tensor *x) {
    return tn_network_add_layer(network, TN_OP_SHUFFLE, NULL, &x, 1, NULL);
}

bool tn_layer_is_kind(tn_layer *layer, tn_op_kind kind) {
    if (layer == NULL || tn_network_is_frozen(layer->network, "change a layer")) return false;
    if (layer->kind == kind) return true;
    TN_NETWORK_FAIL(layer->network, TN_INVALID_ARGUMENT, "cannot change '%s': it is %s, not %s", layer->name,
                    tn_op_get_info(layer->kind)->name, tn_op_get_info(kind)->name);
    return false;
}

void tn_shuffle_set_first_transpose(tn_layer *layer, tn_dims permutation) {
    if (!tn_layer_is_kind(layer, TN_OP_SHUFFLE)) return;
    tn_op_params params = layer->params;
    params.shuffle.first = permutation;
    (void)tn_layer_change(layer, &params, NULL, 0);
}

void tn_shuffle_set_reshape(tn_layer *layer, tn_dims dims) {
    if (tn_layer_is_kind(layer, TN_OP_SHUFFLE)) (void)tn_layer_set_dims(layer, "reshape", dims);
}

void tn_shuffle_set_reshape_tensor(tn_layer *layer, tn_tensor *dims) {
    if (!tn_layer_is_kind(layer, TN_OP_SHUFFLE)) return;
    if (dims == NULL) {
        tn_network_fail_missing(layer->network, "set an input");
        return;
    }
    tn_op_params params = layer->params;
    params.shuffle.has_reshape = false;
    params.shuffle.reshape = (tn_dims){0};
    (void)tn_layer_change(layer, &params, &(tn_input_change){1, dims}, 1);
}

void tn_shuffle_set_second_transpose(tn_layer *layer, tn_dims permutation) {
    if (!tn_layer_is_kind(layer, TN_OP_SHUFFLE)) return;
    tn_op_params params = layer->params;
    params.shuffle.second = permutation;
    (void)tn_layer_change(layer, &params, NULL, 0);
}

tn_layer *tn_network_add_slice(tn_network *network, tn_tensor *x, tn_dims start, tn_dims size, tn_dims stride) {
    tn_op_params params = {.slice = {.start = start, .size = size, .stride = stride}};
    return tn_network_add_layer(network, TN_OP_SLICE, &params, &x, 1, NULL);
}

void tn_slice_set_tensors(tn_layer *layer, tn_tensor *start, tn_tensor *size, tn_tensor *stride) {
    if (!tn_layer_is_kind(layer, TN_OP_SLICE)) return;
    tn_tensor *tensors[3] = {start, size, stride};
    tn_input_change changes[3];
    uint32_t num_changes = 0;
    for (uint32_t i = 0; i < 3; i++)
        if (tensors[i] != NULL) changes[num_changes++] = (tn_input_change){1 + i, tensors[i]};
    (void)tn_layer_change(layer, &layer->params, changes, num_changes);
}

/* --- the rest --------------------------------------------------------------------------------------------------------------- */

tn_layer *tn_network_add_concatenation(tn_network *network, tn_tensor *const *inputs, int num_inputs, int axis) {
    if (inputs == NULL || num_inputs < 0) num_inputs = 0;
    tn_op_params params = {.concatenation = {.axis = axis}};
    return tn_network_add_layer(network, TN_OP_CONCATENATION, &params, inputs, (uint32_t)num_inputs, NULL);
}

tn_layer *tn_network_add_gather(tn_network *network, tn_tensor *data, tn_tensor *indices, tn_gather_mode mode, int axis) {
    tn_op_params params = {.gather = {.mode = (int)mode, .axis = axis}};
    return tn_network_add_layer(network, TN_OP_GATHER, &params, (tn_tensor *[]){data, indices}, 2, NULL);
}

tn_layer *tn_network_add_non_zero(tn_network *network, tn_tensor *x) {
    return tn_network_add_layer(network, TN_OP_NON_ZERO, NULL, &x, 1, NULL);
}

tn_layer *tn_network_add_matrix_multiply(tn_network *network, tn_tensor *a, tn_matrix_op op_a, tn_tensor *b, tn_matrix_op op_b) {
    tn_op_params params = {.matrix_multiply = {.op_a = (int)op_a, .op_b = (int)op_b}};
    return tn_network_add_layer(network, TN_OP_MATRIX_MULTIPLY, &params, (tn_tensor *[]){a, b}, 2, NULL);
}

tn_layer *tn_network_add_quantize(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, int axis) {
    tn_op_params params = {.quantize = {.to = to, .axis = axis}};
    return tn_network_add_layer(network, TN_OP_QUANTIZE, &params, (tn_tensor *[]){x, scale}, 2, NULL);
}

tn_layer *tn_network_add_dequantize(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, int axis) {
    tn_op_params params = {.dequantize = {.to = to, .axis = axis}};
    return tn_network_add_layer(network, TN_OP_DEQUANTIZE, &params, (tn_tensor *[]){x, scale}, 2, NULL);
}
