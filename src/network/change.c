/* SPDX-License-Identifier: Apache-2.0
 *
 * change.c: changing what stands: parameters and inputs of a layer, an input's type and dimensions; and what follows from it.
 *
 * The layers behind are derived again in their order, each at most once a round. What they were is logged, so that a change that
 * a later layer cannot take is taken back everywhere.
 */
#include <inttypes.h>
#include <string.h>

#include "network/network_internal.h"

enum { MAX_ROUNDS = 8 }; /* of going through the layers: only recurrences make a second one */

typedef struct saved_tensor {
    tn_tensor *tensor;
    tn_dtype dtype;
    uint8_t rank, place;
    tn_sym dims[TN_MAX_RANK];
    const int64_t *host_value;
    const tn_sym *host_syms;
    int64_t num_host_values;
} saved_tensor;

typedef struct saved_params {
    tn_layer *layer;
    tn_op_params params;
} saved_params;

typedef struct change {
    tn_network *network;
    uint8_t *is_queued; /* by layer id */
    size_t num_queued;
    TN_ARRAY(saved_tensor) tensors;
    TN_ARRAY(saved_params) params;
} change;

static bool log_tensor(change *c, tn_tensor *tensor) {
    saved_tensor saved = {.tensor = tensor,
                          .dtype = tensor->dtype,
                          .rank = tensor->rank,
                          .place = tensor->place,
                          .host_value = tensor->host_value,
                          .host_syms = tensor->host_syms,
                          .num_host_values = tensor->num_host_values};
    memcpy(saved.dims, tensor->dims, sizeof saved.dims);
    if (tn_array_push(c->network->allocator, &c->tensors, saved)) return true;
    tn_network_fail_memory(c->network);
    return false;
}

static void take_back(change *c) {
    while (c->params.count > 0) {
        const saved_params *saved = &c->params.data[--c->params.count];
        saved->layer->params = saved->params;
    }
    while (c->tensors.count > 0) {
        const saved_tensor *saved = &c->tensors.data[--c->tensors.count];
        tn_tensor *tensor = saved->tensor;
        tensor->dtype = saved->dtype;
        tensor->rank = saved->rank;
        tensor->place = saved->place;
        memcpy(tensor->dims, saved->dims, sizeof tensor->dims);
        tensor->host_value = saved->host_value;
        tensor->host_syms = saved->host_syms;
        tensor->num_host_values = saved->num_host_values;
    }
}

static void queue_layer(change *c, const tn_layer *layer) {
    if (layer->is_dead || c->is_queued[layer->id] != 0) return;
    c->is_queued[layer->id] = 1;
    c->num_queued++;
}

static bool is_same(const tn_network *network, const saved_tensor *before, const tn_tensor *now) {
    bool same = before->dtype == now->dtype && before->rank == now->rank && (before->host_syms == NULL) == (now->host_syms == NULL) &&
                before->num_host_values == now->num_host_values;
    for (int axis = 0; same && axis < now->rank; axis++)
        same = tn_sym_equal(network->symbols, before->dims[axis], now->dims[axis]) == TN_YES;
    for (int64_t i = 0; same && now->host_syms != NULL && i < now->num_host_values; i++)
        same = tn_sym_equal(network->symbols, before->host_syms[i], now->host_syms[i]) == TN_YES;
    return same;
}

/* Users of what differs from its saved form. An output whose elements were wanted on the host stays there. */
static bool queue_users(change *c, size_t first_saved) {
    for (size_t i = first_saved; i < c->tensors.count; i++) {
        const saved_tensor *before = &c->tensors.data[i];
        tn_tensor *tensor = before->tensor;
        if (tensor->is_output && before->host_syms != NULL && before->place == TN_PLACE_HOST && tensor->host_syms == NULL &&
            !tn_tensor_require_host(tensor)) {
            TN_NETWORK_FAIL(c->network, TN_INVALID_ARGUMENT,
                            "cannot change '%s': it is an output for shapes, which it could not be any more", tensor->name);
            return false;
        }
        if (is_same(c->network, before, tensor)) continue;
        for (size_t j = 0; j < tensor->uses.count; j++) queue_layer(c, tensor->uses.data[j].layer);
    }
    return true;
}

static bool derive(change *c, tn_layer *layer) {
    size_t first_saved = c->tensors.count;
    saved_params saved = {.layer = layer, .params = layer->params};
    if (!tn_array_push(c->network->allocator, &c->params, saved)) {
        tn_network_fail_memory(c->network);
        return false;
    }
    for (size_t i = 0; i < layer->outputs.count; i++)
        if (!log_tensor(c, layer->outputs.data[i])) return false;
    return tn_layer_infer_again(layer) && queue_users(c, first_saved);
}

static bool settle(change *c) {
    for (int round = 0; c->num_queued > 0; round++) {
        if (round == MAX_ROUNDS) {
            TN_NETWORK_FAIL(c->network, TN_INVALID_ARGUMENT, "cannot change the network: a loop's value changes its own shape");
            return false;
        }
        for (tn_layer *layer = c->network->first_layer; layer != NULL && c->num_queued > 0; layer = layer->next) {
            if (c->is_queued[layer->id] == 0) continue;
            c->is_queued[layer->id] = 0;
            c->num_queued--;
            if (!derive(c, layer)) return false;
        }
    }
    return true;
}

static bool begin(change *c, tn_network *network) {
    *c = (change){.network = network, .is_queued = tn_alloc_zero(network->allocator, (size_t)network->next_id + 1)};
    if (c->is_queued != NULL) return true;
    tn_network_fail_memory(network);
    return false;
}

static void end(change *c) {
    const tn_allocator *allocator = c->network->allocator;
    tn_free(allocator, c->is_queued);
    tn_array_deinit(allocator, &c->tensors);
    tn_array_deinit(allocator, &c->params);
}

/* --- layers ---------------------------------------------------------------------------------------------------------------- */

static bool refuse_input(const tn_layer *layer, const tn_input_change *input, const char *reason) {
    TN_NETWORK_FAIL(layer->network, TN_INVALID_ARGUMENT, "cannot set input %" PRIu32 " of '%s': %s%s%s", input->index, layer->name,
                    input->tensor != NULL ? input->tensor->name : "", input->tensor != NULL ? " " : "", reason);
    return false;
}

/* A layer that nothing reads before `producer` can be moved behind it. */
static bool stands_before(const tn_layer *layer, const tn_layer *producer) {
    if (producer->order < layer->order) return true;
    bool can_move = producer != layer && producer->region == layer->region;
    for (size_t i = 0; can_move && i < layer->outputs.count; i++)
        for (size_t j = 0; can_move && j < layer->outputs.data[i]->uses.count; j++)
            can_move = layer->outputs.data[i]->uses.data[j].layer->order > producer->order;
    return can_move;
}

static bool input_is_valid(const tn_layer *layer, const tn_input_change *input) {
    const tn_tensor *tensor = input->tensor;
    if (input->index >= layer->inputs.count) return refuse_input(layer, input, "cannot be there: the layer has no such input");
    const tn_tensor *old = layer->inputs.data[input->index];
    if (tensor == NULL) return tn_op_input_is_optional(layer->kind, input->index) || refuse_input(layer, input, "a tensor is missing");
    if (tensor->network != layer->network) return refuse_input(layer, input, "belongs to another network");
    if (tensor->producer != NULL && tensor->producer->is_dead) return refuse_input(layer, input, "was removed");
    if (tensor->state != NULL || (old != NULL && old->state != NULL))
        return refuse_input(layer, input, "would change the versions of a state");
    if (tensor->producer == NULL) return true;
    bool takes_out = layer->kind == TN_OP_CONDITION_OUTPUT || layer->kind == TN_OP_LOOP_OUTPUT;
    if (!takes_out && !tn_region_contains(layer->network, tensor->producer->region, layer->region))
        return refuse_input(layer, input, "stands inside a loop or conditional");
    if (!stands_before(layer, tensor->producer)) return refuse_input(layer, input, "is made after the layer, which others read before it");
    return true;
}

bool tn_layer_change(tn_layer *layer, const tn_op_params *params, const tn_input_change *inputs, uint32_t num_inputs) {
    tn_network *network = layer->network;
    tn_tensor *old_inputs[TN_MAX_INPUT_CHANGES];
    change c;
    if (layer->is_dead) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot change '%s': it was removed", layer->name);
        return false;
    }
    for (uint32_t i = 0; i < num_inputs; i++)
        if (!input_is_valid(layer, &inputs[i])) return false;
    if (!begin(&c, network)) return false;
    tn_op_params old_params = layer->params;
    for (uint32_t i = 0; i < num_inputs; i++) {
        old_inputs[i] = layer->inputs.data[inputs[i].index];
        tn_layer *producer = inputs[i].tensor != NULL ? inputs[i].tensor->producer : NULL;
        if (producer != NULL && producer->order >= layer->order) tn_network_move_layer(network, layer, producer);
        tn_layer_connect(layer, inputs[i].index, inputs[i].tensor);
    }
    layer->params = *params;
    bool good = !network->out_of_memory;
    if (good) {
        queue_layer(&c, layer);
        good = settle(&c);
    }
    if (!good) {
        take_back(&c);
        layer->params = old_params;
        for (uint32_t i = num_inputs; i-- > 0;) tn_layer_connect(layer, inputs[i].index, old_inputs[i]);
    }
    end(&c);
    return good;
}

/* --- inputs of the network -------------------------------------------------------------------------------------------------- */

static bool change_input(tn_tensor *input, tn_dtype dtype, const tn_dims *dims) {
    tn_network *network = input->network;
    change c;
    if (!begin(&c, network)) return false;
    bool good = log_tensor(&c, input);
    if (good) {
        input->dtype = dtype;
        input->host_value = NULL;
        input->host_syms = NULL;
        input->num_host_values = 0;
        input->place = TN_PLACE_DEVICE;
        for (int i = 0; dims != NULL && i < dims->rank; i++)
            input->dims[i] = tn_sym_canonical(network->symbols,
                                              dims->d[i] < 0 ? tn_sym_input_dim(network->symbols, (uint32_t)input->input_index, (uint32_t)i)
                                                             : tn_sym_const(network->symbols, dims->d[i]));
        if (dims != NULL) input->rank = (uint8_t)dims->rank;
        for (size_t i = 0; i < input->uses.count; i++) queue_layer(&c, input->uses.data[i].layer);
        good = settle(&c);
        if (tn_symbols_out_of_memory(network->symbols)) tn_network_fail_memory(network);
        good = good && !network->out_of_memory;
    }
    if (!good) take_back(&c);
    end(&c);
    return good;
}

static bool may_change_input(tn_tensor *input, const char *what) {
    if (input == NULL || tn_network_is_frozen(input->network, what)) return false;
    if (input->is_input) return true;
    TN_NETWORK_FAIL(input->network, TN_INVALID_ARGUMENT,
                    "cannot %s of '%s': it follows from its layer; only inputs of the network can be set", what, input->name);
    return false;
}

bool tn_tensor_set_dims(tn_tensor *input, tn_dims dims) {
    if (!may_change_input(input, "set the dimensions") ||
        !tn_network_input_dims_are_valid(input->network, "set the dimensions of", input->name, &dims))
        return false;
    tn_dims old = tn_tensor_dims(input);
    for (int i = 0; i < old.rank; i++) {
        if (input->dim_names[i] == NULL || (i < dims.rank && dims.d[i] == old.d[i])) continue;
        TN_NETWORK_FAIL(input->network, TN_INVALID_ARGUMENT,
                        "cannot set the dimensions of '%s': dimension %d is called '%s' and must stay %" PRId64
                        "; set dimensions before naming them",
                        input->name, i, input->dim_names[i], old.d[i]);
        return false;
    }
    return change_input(input, input->dtype, &dims);
}

bool tn_tensor_set_dtype(tn_tensor *input, tn_dtype dtype) {
    if (!may_change_input(input, "set the type") || !tn_network_input_dtype_is_valid(input->network, "set the type of", input->name, dtype))
        return false;
    return change_input(input, dtype, NULL);
}
