/* SPDX-License-Identifier: Apache-2.0
 *
 * save.c: the graph as it was, for runs of patterns that may fail.
 *
 * Layers, tensors and calls are copied as structs; the lists that they own keep their present memory, which has only grown
 * since, and get their elements back. So restoring allocates nothing.
 */
#include <string.h>

#include "network/network_internal.h"

struct tn_network_saved {
    const tn_allocator *allocator; /* the network's */
    tn_network network;
    tn_symbols_saved symbols;
    tn_layer **layers; /* in their order */
    tn_layer *layer_copies;
    size_t num_layers;
    tn_tensor **tensors;
    tn_tensor *tensor_copies;
    size_t num_tensors;
    tn_call **calls;
    tn_call *call_copies;
    size_t num_calls;
    tn_tensor **inputs, **outputs; /* of the network */
    tn_tensor **layer_tensors;     /* inputs and outputs of all layers */
    uint32_t *positions;           /* of all layers' inputs in their use-lists */
    tn_use *uses;                  /* of all tensors */
    tn_region *regions;
    tn_network_state *states;
};

void tn_network_saved_destroy(tn_network_saved *saved) {
    if (saved == NULL) return;
    const tn_allocator *allocator = saved->allocator;
    void *const blocks[] = {saved->layers,      saved->layer_copies, saved->tensors, saved->tensor_copies, saved->calls,
                            saved->call_copies, saved->inputs,       saved->outputs, saved->layer_tensors, saved->positions,
                            saved->uses,        saved->regions,      saved->states};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) tn_free(allocator, blocks[i]);
    if (saved->network.symbols != NULL) tn_symbols_saved_deinit(saved->network.symbols, &saved->symbols);
    tn_free(allocator, saved);
}

static void *copy_array(const tn_allocator *allocator, const void *data, size_t count, size_t element_size) {
    void *copy = tn_alloc_array(allocator, count, element_size);
    if (copy != NULL && count > 0) memcpy(copy, data, count * element_size);
    return copy;
}

static bool save_layers(const tn_network *network, tn_network_saved *saved) {
    size_t num_inputs = 0, num_outputs = 0;
    for (const tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) {
        saved->num_layers++;
        num_inputs += layer->inputs.count;
        num_outputs += layer->outputs.count;
    }
    const tn_allocator *allocator = network->allocator;
    saved->layers = tn_alloc_array(allocator, saved->num_layers, sizeof *saved->layers);
    saved->layer_copies = tn_alloc_array(allocator, saved->num_layers, sizeof *saved->layer_copies);
    saved->layer_tensors = tn_alloc_array(allocator, num_inputs + num_outputs, sizeof *saved->layer_tensors);
    saved->positions = tn_alloc_array(allocator, num_inputs, sizeof *saved->positions);
    if (saved->layers == NULL || saved->layer_copies == NULL || saved->layer_tensors == NULL || saved->positions == NULL) return false;
    size_t at = 0;
    tn_tensor **tensors = saved->layer_tensors;
    uint32_t *positions = saved->positions;
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next, at++) {
        saved->layers[at] = layer;
        saved->layer_copies[at] = *layer;
        for (size_t i = 0; i < layer->inputs.count; i++) *tensors++ = layer->inputs.data[i], *positions++ = layer->use_positions.data[i];
        for (size_t i = 0; i < layer->outputs.count; i++) *tensors++ = layer->outputs.data[i];
    }
    return true;
}

static bool save_tensors(const tn_network *network, tn_network_saved *saved) {
    const tn_allocator *allocator = network->allocator;
    size_t num_uses = 0;
    saved->num_tensors = network->tensors.count;
    for (size_t i = 0; i < saved->num_tensors; i++) num_uses += network->tensors.data[i]->uses.count;
    saved->tensors = copy_array(allocator, network->tensors.data, saved->num_tensors, sizeof *saved->tensors);
    saved->tensor_copies = tn_alloc_array(allocator, saved->num_tensors, sizeof *saved->tensor_copies);
    saved->uses = tn_alloc_array(allocator, num_uses, sizeof *saved->uses);
    if (saved->tensors == NULL || saved->tensor_copies == NULL || saved->uses == NULL) return false;
    tn_use *uses = saved->uses;
    for (size_t i = 0; i < saved->num_tensors; i++) {
        const tn_tensor *tensor = saved->tensors[i];
        saved->tensor_copies[i] = *tensor;
        for (size_t j = 0; j < tensor->uses.count; j++) *uses++ = tensor->uses.data[j];
    }
    return true;
}

static bool save_calls(const tn_network *network, tn_network_saved *saved) {
    for (const tn_call *call = network->last_call; call != NULL; call = call->previous) saved->num_calls++;
    saved->calls = tn_alloc_array(network->allocator, saved->num_calls, sizeof *saved->calls);
    saved->call_copies = tn_alloc_array(network->allocator, saved->num_calls, sizeof *saved->call_copies);
    if (saved->calls == NULL || saved->call_copies == NULL) return false;
    size_t at = 0;
    for (tn_call *call = network->last_call; call != NULL; call = call->previous, at++) {
        saved->calls[at] = call;
        saved->call_copies[at] = *call;
    }
    return true;
}

tn_status tn_network_save(const tn_network *network, tn_network_saved **out_saved) {
    *out_saved = NULL;
    const tn_allocator *allocator = network->allocator;
    tn_network_saved *saved = tn_alloc_zero(allocator, sizeof *saved);
    if (saved == NULL) return tn_fail_memory(network->diag, "a copy of the network", sizeof *saved);
    saved->allocator = allocator;
    saved->network = *network;
    saved->inputs = copy_array(allocator, network->inputs.data, network->inputs.count, sizeof *saved->inputs);
    saved->outputs = copy_array(allocator, network->outputs.data, network->outputs.count, sizeof *saved->outputs);
    saved->regions = copy_array(allocator, network->regions.data, network->regions.count, sizeof *saved->regions);
    saved->states = copy_array(allocator, network->states.data, network->states.count, sizeof *saved->states);
    if (saved->inputs != NULL && saved->outputs != NULL && saved->regions != NULL && saved->states != NULL && save_layers(network, saved) &&
        save_tensors(network, saved) && save_calls(network, saved) && tn_symbols_save(network->symbols, &saved->symbols)) {
        *out_saved = saved;
        return TN_OK;
    }
    tn_network_saved_destroy(saved);
    return tn_fail_memory(network->diag, "a copy of the network", (size_t)network->num_layers * sizeof(tn_layer));
}

/* --- going back ----------------------------------------------------------------------------------------------------------- */

/* The list's elements as they were, in its present memory. */
#define RESTORE_ARRAY(now, then, elements)                                                         \
    do {                                                                                           \
        if ((then).count > 0) memcpy((now)->data, (elements), (then).count * sizeof *(now)->data); \
        (now)->count = (then).count;                                                               \
    } while (0)

static void forget_added(tn_network *network, const tn_network_saved *saved) {
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) {
        if (layer->id < saved->network.next_id) continue;
        tn_array_deinit(network->allocator, &layer->inputs);
        tn_array_deinit(network->allocator, &layer->use_positions);
        tn_array_deinit(network->allocator, &layer->outputs);
    }
    for (size_t i = saved->num_tensors; i < network->tensors.count; i++)
        tn_array_deinit(network->allocator, &network->tensors.data[i]->uses);
    network->tensors.count = saved->num_tensors;
}

static void restore_layers(const tn_network_saved *saved) {
    tn_tensor *const *tensors = saved->layer_tensors;
    const uint32_t *positions = saved->positions;
    for (size_t i = 0; i < saved->num_layers; i++) {
        tn_layer *layer = saved->layers[i], now = *layer;
        *layer = saved->layer_copies[i];
        RESTORE_ARRAY(&now.inputs, layer->inputs, tensors);
        tensors += now.inputs.count;
        RESTORE_ARRAY(&now.use_positions, layer->use_positions, positions);
        positions += now.inputs.count;
        RESTORE_ARRAY(&now.outputs, layer->outputs, tensors);
        tensors += now.outputs.count;
        memcpy(&layer->inputs, &now.inputs, sizeof now.inputs);
        memcpy(&layer->use_positions, &now.use_positions, sizeof now.use_positions);
        memcpy(&layer->outputs, &now.outputs, sizeof now.outputs);
    }
}

static void restore_tensors(const tn_network_saved *saved) {
    const tn_use *uses = saved->uses;
    for (size_t i = 0; i < saved->num_tensors; i++) {
        tn_tensor *tensor = saved->tensors[i], now = *tensor;
        *tensor = saved->tensor_copies[i];
        RESTORE_ARRAY(&now.uses, tensor->uses, uses);
        uses += now.uses.count;
        memcpy(&tensor->uses, &now.uses, sizeof now.uses);
    }
}

void tn_network_restore(tn_network *network, const tn_network_saved *saved) {
    const tn_network *then = &saved->network;
    forget_added(network, saved);
    restore_layers(saved);
    restore_tensors(saved);
    for (size_t i = 0; i < saved->num_calls; i++) *saved->calls[i] = saved->call_copies[i];
    RESTORE_ARRAY(&network->inputs, then->inputs, saved->inputs);
    RESTORE_ARRAY(&network->outputs, then->outputs, saved->outputs);
    RESTORE_ARRAY(&network->regions, then->regions, saved->regions);
    RESTORE_ARRAY(&network->states, then->states, saved->states);
    tn_symbols_restore(network->symbols, &saved->symbols);
    network->first_layer = then->first_layer;
    network->last_layer = then->last_layer;
    network->num_layers = then->num_layers;
    network->next_id = then->next_id;
    network->current_region = then->current_region;
    network->insert_before = then->insert_before;
    network->current_call = then->current_call;
    network->last_call = then->last_call;
    network->failed = then->failed;
    network->out_of_memory = then->out_of_memory;
    network->arena.out_of_memory = then->arena.out_of_memory;
}
