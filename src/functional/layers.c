/* SPDX-License-Identifier: Apache-2.0
 *
 * layers.c: functionals of a few layers.
 */
#include <stdio.h>
#include <string.h>

#include "functional/functional_internal.h"

/* A tensor is recorded where there is one: biases are optional. */
void tn_fn_record(tn_call *call, const char *name, tn_tensor *tensor) {
    if (tensor != NULL) tn_call_add_argument(call, &(tn_call_argument){.name = name, .tensor = tensor});
}

static tn_tensor *only_output(tn_layer *layer) {
    return tn_layer_output(layer, 0);
}

static tn_tensor *add_named(tn_network *network, tn_op_kind kind, const tn_op_params *params, tn_tensor *const *inputs, uint32_t num_inputs,
                            const char *name) {
    return only_output(tn_network_add_layer(network, kind, params, inputs, num_inputs, name));
}

tn_tensor *tn_fn_add(tn_network *network, tn_tensor *a, tn_tensor *b, const char *name) {
    tn_op_params params = {.elementwise = {.op = TN_ELEMENTWISE_SUM}};
    return add_named(network, TN_OP_ELEMENTWISE, &params, (tn_tensor *[]){a, b}, 2, name);
}

tn_tensor *tn_fn_multiply(tn_network *network, tn_tensor *a, tn_tensor *b, const char *name) {
    tn_op_params params = {.elementwise = {.op = TN_ELEMENTWISE_PROD}};
    return add_named(network, TN_OP_ELEMENTWISE, &params, (tn_tensor *[]){a, b}, 2, name);
}

tn_tensor *tn_fn_activation(tn_network *network, tn_tensor *x, tn_activation_type type, const char *name) {
    tn_op_params params = {.activation = {.type = (int)type}};
    return add_named(network, TN_OP_ACTIVATION, &params, &x, 1, name);
}

/* A number that broadcasts over rows and columns. */
static tn_tensor *add_number(tn_network *network, double value) {
    float number = (float)value;
    return tn_network_add_weights(network, tn_weights_floats(&network->arena, &number, TN_DIMS(1, 1), network->diag), NULL);
}

tn_tensor *tn_fn_scale(tn_network *network, tn_tensor *x, double factor, const char *name) {
    return factor == 0.0 || factor == 1.0 ? x : tn_fn_multiply(network, x, add_number(network, factor), name);
}

tn_tensor *tn_fn_clip(tn_network *network, tn_tensor *x, double low, double high, const char *name) {
    tn_op_params params = {.activation = {.type = TN_ACTIVATION_CLIP, .alpha = low, .beta = high}};
    return add_named(network, TN_OP_ACTIVATION, &params, &x, 1, name);
}

tn_tensor *tn_fn_row_constant(tn_network *network, const tn_weights *weights, const char *name) {
    if (weights == NULL) return NULL;
    int64_t columns = tn_weight_num_columns(&weights->desc);
    return tn_network_add_weights(network, tn_weights_reshape(&network->arena, weights, TN_DIMS(1, columns), network->diag), name);
}

tn_tensor *tn_fn_linear(tn_network *network, tn_tensor *x, const tn_weights *weight, const tn_weights *bias, const char *name) {
    tn_call *call = tn_call_begin(network, "linear", (tn_call_argument[]){{.name = "x", .tensor = x}}, 1);
    tn_op_params params = {.matrix_multiply = {.op_a = TN_MATRIX_NONE, .op_b = TN_MATRIX_TRANSPOSE}};
    char weight_name[128];
    snprintf(weight_name, sizeof weight_name, "%s.weight", name);
    tn_tensor *inputs[] = {x, tn_network_add_weights(network, weight, weight_name)};
    tn_fn_record(call, "weight", inputs[1]);
    tn_tensor *y = add_named(network, TN_OP_MATRIX_MULTIPLY, &params, inputs, 2, name);
    if (bias != NULL) {
        char bias_name[128];
        snprintf(bias_name, sizeof bias_name, "%s.bias", name);
        tn_tensor *row = tn_fn_row_constant(network, bias, bias_name);
        tn_fn_record(call, "bias", row);
        y = tn_fn_add(network, y, row, NULL);
    }
    tn_call_end(call, &y, 1);
    return y;
}

static tn_tensor *normalize(tn_network *network, const char *functional, tn_tensor *x, const tn_weights *scale, const tn_weights *bias,
                            tn_normalization_type type, double epsilon, const char *name) {
    tn_call_argument arguments[] = {{.name = "x", .tensor = x}, {.name = "epsilon", .number = epsilon}};
    tn_call *call = tn_call_begin(network, functional, arguments, 2);
    tn_op_params params = {.normalization = {.type = (int)type, .epsilon = epsilon}};
    char constant_name[128];
    snprintf(constant_name, sizeof constant_name, "%s.weight", name);
    tn_tensor *inputs[3] = {x, tn_network_add_weights(network, scale, constant_name), NULL};
    if (bias != NULL) {
        snprintf(constant_name, sizeof constant_name, "%s.bias", name);
        inputs[2] = tn_network_add_weights(network, bias, constant_name);
    }
    tn_fn_record(call, "scale", inputs[1]);
    tn_fn_record(call, "bias", inputs[2]);
    tn_tensor *y = add_named(network, TN_OP_NORMALIZATION, &params, inputs, bias != NULL ? 3 : 2, name);
    tn_call_end(call, &y, 1);
    return y;
}

tn_tensor *tn_fn_rms_norm(tn_network *network, tn_tensor *x, const tn_weights *scale, double epsilon, const char *name) {
    return normalize(network, "rms_norm", x, scale, NULL, TN_NORMALIZATION_RMS, epsilon, name);
}

tn_tensor *tn_fn_layer_norm(tn_network *network, tn_tensor *x, const tn_weights *scale, const tn_weights *bias, double epsilon,
                            const char *name) {
    return normalize(network, "layer_norm", x, scale, bias, TN_NORMALIZATION_LAYER, epsilon, name);
}

tn_tensor *tn_fn_embedding(tn_network *network, tn_tensor *ids, const tn_weights *table, const char *name) {
    tn_call *call = tn_call_begin(network, "embedding", (tn_call_argument[]){{.name = "ids", .tensor = ids}}, 1);
    tn_op_params params = {.gather = {.mode = TN_GATHER_DEFAULT, .axis = 0}};
    char table_name[128];
    snprintf(table_name, sizeof table_name, "%s.weight", name);
    tn_tensor *inputs[] = {tn_network_add_weights(network, table, table_name), ids};
    tn_fn_record(call, "table", inputs[0]);
    tn_tensor *y = add_named(network, TN_OP_GATHER, &params, inputs, 2, name);
    tn_call_end(call, &y, 1);
    return y;
}

tn_tensor *tn_fn_gated_mlp(tn_network *network, tn_tensor *x, const tn_weights *gate, const tn_weights *up, const tn_weights *down,
                           tn_activation_type activation, const char *name) {
    tn_call_argument arguments[] = {{.name = "x", .tensor = x}, {.name = "activation", .number = (double)activation}};
    tn_call *call = tn_call_begin(network, "gated_mlp", arguments, 2);
    char layer_name[128];
    snprintf(layer_name, sizeof layer_name, "%s.gate", name);
    tn_tensor *gated = tn_fn_activation(network, tn_fn_linear(network, x, gate, NULL, layer_name), activation, NULL);
    snprintf(layer_name, sizeof layer_name, "%s.up", name);
    tn_tensor *product = tn_fn_multiply(network, gated, tn_fn_linear(network, x, up, NULL, layer_name), NULL);
    snprintf(layer_name, sizeof layer_name, "%s.down", name);
    tn_tensor *y = tn_fn_linear(network, product, down, NULL, layer_name);
    tn_call_end(call, &y, 1);
    return y;
}

tn_tensor *tn_fn_mlp(tn_network *network, tn_tensor *x, const tn_weights *first, const tn_weights *first_bias, const tn_weights *second,
                     const tn_weights *second_bias, tn_activation_type activation, const char *name) {
    tn_call_argument arguments[] = {{.name = "x", .tensor = x}, {.name = "activation", .number = (double)activation}};
    tn_call *call = tn_call_begin(network, "mlp", arguments, 2);
    char layer_name[128];
    snprintf(layer_name, sizeof layer_name, "%s.first", name);
    tn_tensor *hidden = tn_fn_activation(network, tn_fn_linear(network, x, first, first_bias, layer_name), activation, NULL);
    snprintf(layer_name, sizeof layer_name, "%s.second", name);
    tn_tensor *y = tn_fn_linear(network, hidden, second, second_bias, layer_name);
    tn_call_end(call, &y, 1);
    return y;
}
