/* SPDX-License-Identifier: Apache-2.0
 *
 * add_layer.c: the adder behind all adders: arity, ownership, regions, shapes, epilogues; then the layer and its outputs.
 */
#include <inttypes.h>
#include <string.h>

#include "network/network_internal.h"
#include "plugin/plugin.h"

enum { MAX_OPTIONAL_INPUTS = 8 }; /* the most inputs of an op that has optional ones */

static bool (*const shape_functions[TN_NUM_OP_KINDS])(tn_shape *shape) = {
#define TN_OP(kind, name, member, min_in, max_in, outputs, fields) [TN_OP_##kind] = tn_shape_##member,
#include "op/op_kinds.def"
#undef TN_OP
};

bool tn_op_input_is_optional(tn_op_kind kind, uint32_t input) {
    switch (kind) {
    case TN_OP_NORMALIZATION: return input == 2 || input == 3;
    case TN_OP_SHUFFLE: return input == 1;
    case TN_OP_SLICE: return input >= 1;
    case TN_OP_SCALE: return input >= 1;
    case TN_OP_NORMALIZATION_ND: return input == 2;
    case TN_OP_TOPK: return input == 1;
    case TN_OP_NMS: return input >= 3;
    case TN_OP_CONVOLUTION:
    case TN_OP_DECONVOLUTION: return input == 2;
    case TN_OP_RESIZE: return input == 1;
    case TN_OP_DYNAMIC_QUANTIZE: return input == 1;
    case TN_OP_DEQUANTIZE: return input == 2;
    case TN_OP_RECURRENCE: return input == 1;
    case TN_OP_LOOP_OUTPUT: return input == 1;
    case TN_OP_ATTENTION: return input == 5 || input == 6;
    case TN_OP_QKV_CACHE: return input >= 1 && input <= 3;
    case TN_OP_ROUTE: return input == 1;
    case TN_OP_SAMPLE: return input == 4;
    case TN_OP_PLUGIN: return input == 0;
    default: return false;
    }
}

/* Inputs of the op itself; operands of epilogues follow them. */
static uint32_t num_own_inputs(tn_op_kind kind, uint32_t num_inputs) {
    if (kind == TN_OP_MATRIX_MULTIPLY) return num_inputs < 2 ? num_inputs : 2;
    if (kind == TN_OP_GROUPED_MATMUL) return num_inputs < 4 ? num_inputs : 4;
    return num_inputs;
}

static bool inputs_are_valid(tn_shape *shape, uint32_t num_inputs, uint32_t num_epilogues) {
    const tn_op_info *info = tn_op_get_info(shape->kind);
    if ((int)num_inputs < info->min_inputs || (info->max_inputs >= 0 && (int)num_inputs > info->max_inputs)) {
        if (info->max_inputs == info->min_inputs)
            return tn_shape_fail(shape, "it has %" PRIu32 " inputs, it needs %d", num_inputs, info->min_inputs);
        return tn_shape_fail(shape, "it has %" PRIu32 " inputs, it needs at least %d", num_inputs, info->min_inputs);
    }
    for (uint32_t i = 0; i < num_inputs; i++) {
        const tn_tensor *input = shape->inputs[i];
        if (input == NULL) {
            if (tn_op_input_is_optional(shape->kind, i)) continue;
            if (!shape->network->failed) (void)tn_shape_fail(shape, "input %" PRIu32 " is missing", i);
            return false;
        }
        if (input->network != shape->network)
            return tn_shape_fail(shape, "input %" PRIu32 " ('%s') belongs to another network", i, input->name);
        if (input->producer != NULL && input->producer->is_dead)
            return tn_shape_fail(shape, "input %" PRIu32 " ('%s') was removed", i, input->name);
        uint32_t region = input->producer != NULL ? input->producer->region : 0;
        bool takes_out = shape->kind == TN_OP_CONDITION_OUTPUT || shape->kind == TN_OP_LOOP_OUTPUT;
        if (!takes_out && !tn_region_contains(shape->network, region, shape->network->current_region))
            return tn_shape_fail(shape, "input %" PRIu32 " ('%s') stands inside a loop or conditional", i, input->name);
    }
    if (num_inputs > shape->num_inputs && num_epilogues == 0)
        return tn_shape_fail(shape, "it has %" PRIu32 " inputs, it needs %" PRIu32, num_inputs, shape->num_inputs);
    return true;
}

/* --- epilogues ------------------------------------------------------------------------------------------------------------ */

static bool epilogue_operand(tn_shape *shape, const tn_epilogue *epilogue, uint32_t num_inputs, const tn_tensor **out_operand) {
    if (epilogue->operand < (int32_t)shape->num_inputs || epilogue->operand >= (int32_t)num_inputs)
        return tn_shape_fail(shape, "epilogue %s reads input %" PRId32 ", which is no epilogue's input",
                             tn_epilogue_kind_name(epilogue->kind), epilogue->operand);
    *out_operand = shape->inputs[epilogue->operand];
    return true;
}

static bool apply_operand(tn_shape *shape, const tn_epilogue *epilogue, uint32_t num_inputs, const tn_shape_output *output) {
    const tn_tensor *operand = NULL;
    if (!epilogue_operand(shape, epilogue, num_inputs, &operand)) return false;
    if (operand->dtype != TN_FLOAT32)
        return tn_shape_fail(shape, "epilogue %s reads %s, it must be float32", tn_epilogue_kind_name(epilogue->kind),
                             tn_shape_describe(shape, operand));
    int rank = epilogue->kind == TN_EPILOGUE_BIAS ? 1 : output->rank;
    bool is_by_expert = rank == 1 && shape->kind == TN_OP_GROUPED_MATMUL && operand->rank == 2;
    if (is_by_expert && tn_sym_equal(shape->network->symbols, operand->dims[0], shape->inputs[1]->dims[0]) != TN_NO &&
        tn_sym_equal(shape->network->symbols, operand->dims[1], output->dims[output->rank - 1]) != TN_NO)
        return true;
    bool fits = operand->rank == rank;
    for (int i = 0; fits && i < rank; i++)
        fits = tn_sym_equal(shape->network->symbols, operand->dims[i], output->dims[output->rank - rank + i]) != TN_NO;
    if (!fits)
        return tn_shape_fail(shape, "epilogue %s reads %s, which does not fit an output of %s columns",
                             tn_epilogue_kind_name(epilogue->kind), tn_shape_describe(shape, operand),
                             tn_shape_describe_dim(shape, output->dims[output->rank - 1]));
    return true;
}

static bool apply_gated(tn_shape *shape, tn_shape_output *output) {
    int64_t columns;
    tn_sym *last = &output->dims[output->rank - 1];
    if (!tn_sym_is_const(shape->network->symbols, *last, &columns) || columns % 32 != 0)
        return tn_shape_fail(shape, "a gated activation needs a multiple of 32 columns, not %s", tn_shape_describe_dim(shape, *last));
    *last = tn_shape_const(shape, columns / 2);
    return true;
}

static bool want_plain_activation(const tn_shape *shape, const tn_epilogue *epilogue) {
    if ((int)epilogue->activation >= 0 && tn_activation_is_plain(epilogue->activation)) return true;
    return tn_shape_fail(shape, "the epilogue %s cannot hold an activation with parameters", tn_epilogue_kind_name(epilogue->kind));
}

/* Output 0 as the epilogues leave it. */
static bool apply_epilogues(tn_shape *shape, const tn_epilogue *epilogues, uint32_t num_epilogues, uint32_t num_inputs) {
    bool takes_any = shape->kind == TN_OP_MATRIX_MULTIPLY || shape->kind == TN_OP_GROUPED_MATMUL;
    bool takes_quantize = takes_any || shape->kind == TN_OP_NORMALIZATION || shape->kind == TN_OP_ATTENTION;
    tn_shape_output *output = &shape->outputs[0];
    if (num_epilogues > TN_MAX_EPILOGUES)
        return tn_shape_fail(shape, "it has %" PRIu32 " epilogues, at most %d are allowed", num_epilogues, TN_MAX_EPILOGUES);
    for (uint32_t i = 0; i < num_epilogues; i++) {
        const tn_epilogue *epilogue = &epilogues[i];
        if (!(epilogue->kind == TN_EPILOGUE_QUANTIZE ? takes_quantize : takes_any))
            return tn_shape_fail(shape, "it cannot have the epilogue %s", tn_epilogue_kind_name(epilogue->kind));
        if (output->rank == 0) return tn_shape_fail(shape, "a scalar output cannot have an epilogue");
        switch (epilogue->kind) {
        case TN_EPILOGUE_BIAS:
        case TN_EPILOGUE_ADD:
            if (!apply_operand(shape, epilogue, num_inputs, output)) return false;
            break;
        case TN_EPILOGUE_GATED_ACTIVATION:
            if (!want_plain_activation(shape, epilogue) || !apply_gated(shape, output)) return false;
            break;
        case TN_EPILOGUE_QUANTIZE:
            if (i + 1 != num_epilogues || output->dtype != TN_FLOAT32 || (epilogue->dtype != TN_Q15_32 && epilogue->dtype != TN_Q8_32))
                return tn_shape_fail(shape, "the epilogue quantize must be the last one, on float32, to q15_32 or q8_32");
            output->dtype = epilogue->dtype;
            break;
        case TN_EPILOGUE_ACTIVATION:
            if (!want_plain_activation(shape, epilogue)) return false;
            break;
        case TN_EPILOGUE_SCALE:
        case TN_EPILOGUE_SOFT_CAP: break;
        default: return tn_shape_fail(shape, "it has an unknown epilogue");
        }
    }
    return true;
}

/* Types and shapes of all outputs. */
static bool infer_outputs(tn_shape *shape, const tn_epilogue *epilogues, uint32_t num_epilogues, uint32_t num_inputs) {
    if (!shape_functions[shape->kind](shape) || !apply_epilogues(shape, epilogues, num_epilogues, num_inputs)) return false;
    for (uint32_t i = 0; i < shape->num_outputs; i++)
        for (int axis = 0; axis < shape->outputs[i].rank; axis++)
            if (shape->outputs[i].dims[axis] == TN_SYM_INVALID && !tn_symbols_out_of_memory(shape->network->symbols))
                return tn_shape_fail(shape, "dimension %d of its output is too large", axis);
    /* Also where the symbol that memory was missing for was only compared with. */
    if (!tn_symbols_out_of_memory(shape->network->symbols)) return true;
    tn_network_fail_memory(shape->network);
    return false;
}

/* --- the layer ------------------------------------------------------------------------------------------------------------ */

static bool make_outputs(const tn_shape *shape, tn_layer *layer) {
    tn_network *network = shape->network;
    if (!tn_array_reserve(network->allocator, &layer->outputs, shape->num_outputs)) {
        tn_network_fail_memory(network);
        return false;
    }
    for (uint32_t i = 0; i < shape->num_outputs; i++) {
        const tn_shape_output *output = &shape->outputs[i];
        const char *name = shape->num_outputs == 1 ? layer->name : tn_arena_format(&network->arena, "%s.%" PRIu32, layer->name, i);
        if (name == NULL) tn_network_fail_memory(network);
        tn_tensor *tensor = name != NULL ? tn_network_make_tensor(network, name, output->dtype) : NULL;
        if (tensor == NULL) return false;
        tensor->producer = layer;
        tensor->output_index = i;
        tensor->rank = (uint8_t)output->rank;
        memcpy(tensor->dims, output->dims, sizeof tensor->dims);
        tensor->state = output->state;
        layer->outputs.data[layer->outputs.count++] = tensor;
    }
    return true;
}

/* A version made from the present last one is the new last one. */
static void advance_states(tn_layer *layer) {
    for (size_t i = 0; i < layer->outputs.count; i++) {
        tn_tensor *output = layer->outputs.data[i];
        if (output->state == NULL) continue;
        tn_network_state *state = tn_network_find_state(layer->network, output->state);
        for (size_t j = 0; state != NULL && j < layer->inputs.count; j++)
            if (layer->inputs.data[j] == state->last) state->last = output;
    }
}

static bool connect_inputs(tn_layer *layer, tn_tensor *const *inputs, uint32_t num_inputs) {
    const tn_allocator *allocator = layer->network->allocator;
    if (!tn_array_reserve(allocator, &layer->inputs, num_inputs) || !tn_array_reserve(allocator, &layer->use_positions, num_inputs))
        return false;
    layer->use_positions.count = num_inputs;
    for (uint32_t i = 0; i < num_inputs; i++) {
        layer->inputs.data[layer->inputs.count++] = NULL;
        if (inputs[i] == NULL) continue;
        layer->inputs.data[i] = inputs[i];
        if (tn_tensor_add_use(inputs[i], layer, i)) continue;
        layer->inputs.data[i] = NULL;
        return false;
    }
    return true;
}

static tn_layer *make_layer(const tn_shape *shape, uint32_t num_inputs, const tn_epilogue *epilogues, uint32_t num_epilogues,
                            const char *name) {
    tn_network *network = shape->network;
    tn_layer *layer = tn_network_alloc(network, sizeof *layer);
    if (layer == NULL) return NULL;
    layer->network = network;
    layer->id = network->next_id++;
    layer->kind = shape->kind;
    layer->params = *shape->params;
    layer->region = network->current_region;
    layer->call = network->current_call;
    if (layer->kind == TN_OP_PLUGIN && network->adding_plugin != NULL) layer->plugin = tn_plugin_retain(network->adding_plugin);
    layer->name = name != NULL ? tn_network_copy_string(network, name)
                               : tn_arena_format(&network->arena, "%s_%" PRIu32, tn_op_get_info(shape->kind)->name, layer->id);
    if (num_epilogues > 0) memcpy(layer->epilogues, epilogues, num_epilogues * sizeof *epilogues);
    layer->num_epilogues = num_epilogues;
    bool complete = layer->name != NULL && make_outputs(shape, layer) && connect_inputs(layer, shape->inputs, num_inputs);
    tn_network_link_layer(network, layer); /* also when half made: what it holds is freed with the list */
    if (complete) {
        advance_states(layer);
        complete = tn_layer_fold_host_values(layer);
    }
    if (!complete) {
        tn_network_fail_memory(network);
        return NULL;
    }
    if (network->layer_added != NULL) network->layer_added(network->layer_added_user, layer);
    return layer;
}

tn_layer *tn_network_add_fused_layer(tn_network *network, tn_op_kind kind, const tn_op_params *params, tn_tensor *const *inputs,
                                     uint32_t num_inputs, const tn_epilogue *epilogues, uint32_t num_epilogues, const char *name) {
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot add %s: the network is missing", tn_op_get_info(kind)->name);
        return NULL;
    }
    if (network->out_of_memory || tn_network_is_frozen(network, "add a layer")) return NULL;
    tn_op_params completed = {0};
    if (params != NULL) completed = *params;
    tn_shape shape = {.network = network,
                      .kind = kind,
                      .name = name != NULL ? name : "",
                      .params = &completed,
                      .inputs = inputs,
                      .plugin = network->adding_plugin};
    shape.count_id = network->next_id + 2;
    shape.num_inputs = num_own_inputs(kind, num_inputs);
    if (!inputs_are_valid(&shape, num_inputs, num_epilogues)) return NULL;
    tn_tensor *padded[MAX_OPTIONAL_INPUTS] = {NULL};
    int max_inputs = tn_op_get_info(kind)->max_inputs;
    if ((int)num_inputs < max_inputs && kind != TN_OP_EINSUM) { /* absent optional ones stand in the list too */
        if (num_inputs > 0) memcpy(padded, inputs, num_inputs * sizeof *inputs);
        shape.inputs = padded;
        shape.num_inputs = num_inputs = (uint32_t)max_inputs;
    }
    if (!infer_outputs(&shape, epilogues, num_epilogues, num_inputs)) return NULL;
    return make_layer(&shape, num_inputs, epilogues, num_epilogues, name);
}

bool tn_layer_infer_again(tn_layer *layer) {
    tn_network *network = layer->network;
    tn_op_params completed = layer->params;
    tn_shape shape = {.network = network,
                      .kind = layer->kind,
                      .name = layer->name,
                      .is_change = true,
                      .params = &completed,
                      .inputs = layer->inputs.data,
                      .plugin = layer->plugin};
    uint32_t num_inputs = (uint32_t)layer->inputs.count;
    if (layer->outputs.count > 1) shape.count_id = layer->outputs.data[1]->id;
    shape.num_inputs = num_own_inputs(layer->kind, num_inputs);
    if (!infer_outputs(&shape, layer->epilogues, layer->num_epilogues, num_inputs)) return false;
    if (shape.num_outputs != layer->outputs.count)
        return tn_shape_fail(&shape, "it would have %" PRIu32 " outputs, not %zu", shape.num_outputs, layer->outputs.count);
    layer->params = completed;
    for (size_t i = 0; i < layer->outputs.count; i++) {
        tn_tensor *output = layer->outputs.data[i];
        output->dtype = shape.outputs[i].dtype;
        output->rank = (uint8_t)shape.outputs[i].rank;
        memcpy(output->dims, shape.outputs[i].dims, sizeof output->dims);
        output->host_syms = NULL;
        output->host_value = NULL;
        output->num_host_values = 0;
        output->place = TN_PLACE_DEVICE;
    }
    if (tn_layer_fold_host_values(layer)) return true;
    tn_network_fail_memory(network);
    return false;
}

tn_layer *tn_network_add_layer(tn_network *network, tn_op_kind kind, const tn_op_params *params, tn_tensor *const *inputs,
                               uint32_t num_inputs, const char *name) {
    return tn_network_add_fused_layer(network, kind, params, inputs, num_inputs, NULL, 0, name);
}

tn_tensor *tn_network_add_weights(tn_network *network, const tn_weights *weights, const char *name) {
    if (network == NULL) return NULL;
    if (weights == NULL) {
        tn_network_fail_missing(network, "add a constant");
        return NULL;
    }
    tn_op_params params = {.constant = {.dtype = weights->desc.dtype, .dims = weights->desc.dims}};
    void (*layer_added)(void *user, tn_layer *layer) = network->layer_added;
    network->layer_added = NULL; /* it is shown once it is complete */
    tn_layer *layer = tn_network_add_layer(network, TN_OP_CONSTANT, &params, NULL, 0, name);
    network->layer_added = layer_added;
    if (layer == NULL) return NULL;
    layer->weights = weights;
    if (!tn_layer_fold_host_values(layer)) {
        tn_network_fail_memory(network);
        return NULL;
    }
    if (layer_added != NULL) layer_added(network->layer_added_user, layer);
    return layer->outputs.data[0];
}
