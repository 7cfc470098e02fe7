/* SPDX-License-Identifier: Apache-2.0
 *
 * layers_plugin.c: plugins as layers: the state as a constant before the inputs, shapes from the class.
 */
#include <inttypes.h>
#include <string.h>

#include "network/network_internal.h"
#include "plugin/plugin.h"

static tn_plugin_shape shape_of(const tn_tensor *tensor) {
    tn_plugin_shape shape = {.dtype = tensor->dtype, .rank = tensor->rank};
    for (int i = 0; i < tensor->rank; i++) shape.dims[i] = tensor->dims[i];
    if (tensor->host_syms != NULL) {
        shape.values = tensor->host_syms;
        shape.num_values = (int32_t)tensor->num_host_values;
    }
    return shape;
}

bool tn_shape_plugin(tn_shape *shape) {
    const tn_plugin *plugin = shape->plugin;
    if (plugin == NULL)
        return tn_shape_fail_status(shape, TN_UNSUPPORTED, "plugin '%s' is known by its name only: add it with tn_network_add_plugin",
                                    shape->params->plugin.plugin.text);
    const tn_plugin_class *c = tn_plugin_get_class(plugin);
    tn_plugin_shape inputs[TN_PLUGIN_MAX_TENSORS] = {0}, outputs[TN_PLUGIN_MAX_OUTPUTS];
    uint32_t num_inputs = shape->num_inputs - 1;
    char reason[768] = "";
    if (num_inputs < c->min_inputs || num_inputs > c->max_inputs)
        return tn_shape_fail(shape, "plugin '%s' has %" PRIu32 " to %" PRIu32 " inputs, %" PRIu32 " were given", tn_plugin_id(plugin),
                             c->min_inputs, c->max_inputs, num_inputs);
    for (uint32_t i = 0; i < num_inputs; i++) {
        if (!tn_shape_want_elements(shape, i + 1)) return false;
        if (shape->inputs[i + 1]->state != NULL) return tn_shape_fail(shape, "a plugin cannot read a state");
        inputs[i] = shape_of(shape->inputs[i + 1]);
    }
    tn_status status = tn_plugin_infer(plugin, shape->network->symbols, inputs, num_inputs, outputs, reason, sizeof reason);
    if (status != TN_OK) return tn_shape_fail_status(shape, status, "%s", reason);
    shape->num_outputs = c->num_outputs;
    for (uint32_t i = 0; i < c->num_outputs; i++) {
        shape->outputs[i] = (tn_shape_output){.dtype = outputs[i].dtype, .rank = outputs[i].rank};
        for (int axis = 0; axis < outputs[i].rank; axis++) shape->outputs[i].dims[axis] = outputs[i].dims[axis];
    }
    return true;
}

/* The state as a constant; NULL and true: it has none. */
static bool add_state(tn_network *network, const tn_plugin *plugin, tn_tensor **out_state) {
    const void *bytes;
    size_t size;
    *out_state = NULL;
    if (tn_plugin_save(plugin, &network->arena, network->diag, &bytes, &size) != TN_OK) {
        network->failed = true;
        return false;
    }
    if (size == 0) return true;
    tn_weights_data data = {.dtype = TN_UINT8, .data = bytes, .count = (int64_t)size};
    *out_state = tn_layer_output(tn_network_add_constant(network, TN_DIMS((int64_t)size), &data), 0);
    return *out_state != NULL;
}

tn_layer *tn_network_add_plugin(tn_network *network, tn_tensor *const *inputs, int num_inputs, tn_tensor *const *shape_inputs,
                                int num_shape_inputs, tn_plugin *plugin) {
    if (!tn_network_options_are_made(network, "plugin", NULL, 0, 0) || tn_network_is_frozen(network, "add a plugin")) return NULL;
    bool is_valid = num_inputs >= 0 && num_shape_inputs >= 0 && num_inputs + num_shape_inputs <= TN_PLUGIN_MAX_TENSORS &&
                    (inputs != NULL || num_inputs == 0) && (shape_inputs != NULL || num_shape_inputs == 0);
    if (plugin == NULL || !is_valid) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add plugin: %s",
                        plugin == NULL ? "the plugin is missing" : "its inputs are missing, or more than 32");
        return NULL;
    }
    tn_tensor *all[1 + TN_PLUGIN_MAX_TENSORS];
    for (int i = 0; i < num_inputs; i++) all[1 + i] = inputs[i];
    for (int i = 0; i < num_shape_inputs; i++) {
        tn_tensor *tensor = shape_inputs[i];
        all[1 + num_inputs + i] = tensor;
        if (tensor == NULL || tensor->network != network || tn_tensor_require_host(tensor))
            continue; /* the adder behind tells the first two */
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT,
                        "cannot add plugin '%s': its shape input '%s' must be integers or bools, a scalar or of 1 fixed dimension",
                        tn_plugin_id(plugin), tensor->name);
        return NULL;
    }
    if (!add_state(network, plugin, &all[0])) return NULL;
    tn_op_params params = {0};
    (void)tn_label_set(&params.plugin.plugin, tn_plugin_id(plugin), strlen(tn_plugin_id(plugin)));
    network->adding_plugin = plugin;
    tn_layer *layer = tn_network_add_layer(network, TN_OP_PLUGIN, &params, all, (uint32_t)(1 + num_inputs + num_shape_inputs), NULL);
    network->adding_plugin = NULL;
    return layer;
}

tn_plugin *tn_layer_plugin(const tn_layer *layer) {
    return layer != NULL ? layer->plugin : NULL;
}
