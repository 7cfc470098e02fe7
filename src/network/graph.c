/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.c: layers in their list, use-lists, and what changes them: replacing uses, retiring layers, the sweep.
 */
#include <string.h>

#include "network/network_internal.h"

/* --- the list of layers --------------------------------------------------------------------------------------------------- */

/* Between equal distances there is room for 2^32 layers and more, and halving a distance gives room for at least 30 insertions
 * at one place: numbering all again is rare. */
static void number_all(tn_network *network) {
    uint64_t distance = UINT64_MAX / ((uint64_t)network->num_layers + 2), order = 0;
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) layer->order = order += distance;
}

static void number_layer(tn_network *network, tn_layer *layer) {
    uint64_t before = layer->previous != NULL ? layer->previous->order : 0;
    uint64_t room = (layer->next != NULL ? layer->next->order : UINT64_MAX) - before;
    layer->order = before + (layer->next == NULL && room > (uint64_t)1 << 41 ? (uint64_t)1 << 40 : room / 2);
    if (layer->order == before) number_all(network);
}

void tn_network_link_layer(tn_network *network, tn_layer *layer) {
    tn_layer *next = network->insert_before;
    layer->next = next;
    layer->previous = next != NULL ? next->previous : network->last_layer;
    if (layer->previous != NULL)
        layer->previous->next = layer;
    else
        network->first_layer = layer;
    if (next != NULL)
        next->previous = layer;
    else
        network->last_layer = layer;
    network->num_layers++;
    number_layer(network, layer);
}

static void take_out(tn_network *network, tn_layer *layer) {
    if (layer->previous != NULL)
        layer->previous->next = layer->next;
    else
        network->first_layer = layer->next;
    if (layer->next != NULL)
        layer->next->previous = layer->previous;
    else
        network->last_layer = layer->previous;
    if (network->insert_before == layer) network->insert_before = layer->next;
    network->num_layers--;
}

void tn_network_move_layer(tn_network *network, tn_layer *layer, tn_layer *behind) {
    take_out(network, layer);
    tn_layer *insert_before = network->insert_before;
    network->insert_before = behind->next;
    tn_network_link_layer(network, layer);
    network->insert_before = insert_before;
}

static void unlink_layer(tn_network *network, tn_layer *layer) {
    take_out(network, layer);
    tn_array_deinit(network->allocator, &layer->inputs);
    tn_array_deinit(network->allocator, &layer->use_positions);
    tn_array_deinit(network->allocator, &layer->outputs);
    tn_plugin_destroy(layer->plugin);
    layer->plugin = NULL;
}

bool tn_region_contains(const tn_network *network, uint32_t outer, uint32_t inner) {
    while (inner != outer && inner != 0) inner = network->regions.data[inner].parent;
    return inner == outer;
}

/* --- use-lists ------------------------------------------------------------------------------------------------------------ */

bool tn_tensor_add_use(tn_tensor *tensor, tn_layer *layer, uint32_t input) {
    layer->use_positions.data[input] = (uint32_t)tensor->uses.count;
    return tn_array_push(tensor->network->allocator, &tensor->uses, ((tn_use){layer, input}));
}

/* The last use takes the place of the one that goes. */
static void drop_use(tn_layer *layer, uint32_t input) {
    tn_tensor *tensor = layer->inputs.data[input];
    if (tensor == NULL) return;
    uint32_t at = layer->use_positions.data[input];
    tn_use moved = tensor->uses.data[--tensor->uses.count];
    if (at < tensor->uses.count) {
        tensor->uses.data[at] = moved;
        moved.layer->use_positions.data[moved.input] = at;
    }
}

void tn_layer_drop_uses(tn_layer *layer) {
    for (uint32_t i = 0; i < layer->inputs.count; i++) {
        drop_use(layer, i);
        layer->inputs.data[i] = NULL;
    }
}

void tn_layer_connect(tn_layer *layer, uint32_t index, tn_tensor *tensor) {
    if (layer == NULL || index >= layer->inputs.count || layer->inputs.data[index] == tensor) return;
    drop_use(layer, index);
    layer->inputs.data[index] = tensor;
    if (tensor != NULL && !tn_tensor_add_use(tensor, layer, index)) {
        layer->inputs.data[index] = NULL;
        tn_network_fail_memory(layer->network);
    }
}

/* `to` in `from`'s place among the outputs, with its name and role. */
static void replace_output(tn_network *network, tn_tensor *from, tn_tensor *to) {
    if (to->is_output || to->is_input || to->state != NULL) { /* one tensor cannot be two outputs: a copy is the second */
        tn_layer *insert_before = network->insert_before;
        uint32_t region = network->current_region;
        network->insert_before = NULL;
        network->current_region = 0;
        to = tn_layer_output(tn_network_add_layer(network, TN_OP_IDENTITY, NULL, &to, 1, NULL), 0);
        network->insert_before = insert_before;
        network->current_region = region;
        if (to == NULL) return;
    }
    for (size_t i = 0; i < network->outputs.count; i++)
        if (network->outputs.data[i] == from) network->outputs.data[i] = to;
    to->is_output = true;
    to->name = from->name;
    to->role = from->role;
    from->is_output = false;
}

/* Dimensions that are read from `from` are read from `to` from now on. */
static void move_host_values(tn_network *network, const tn_tensor *from, tn_tensor *to) {
    bool is_read = false;
    for (int64_t i = 0; from->host_syms != NULL && i < from->num_host_values; i++)
        is_read = is_read || from->host_syms[i] == tn_sym_host_value(network->symbols, from->id, (uint32_t)i);
    if (!is_read || !tn_tensor_require_host(to) || to->num_host_values != from->num_host_values) return;
    for (int64_t i = 0; i < from->num_host_values; i++) tn_sym_alias(network->symbols, to->host_syms[i], from->host_syms[i]);
    tn_network_refresh_dims(network);
    if (tn_symbols_out_of_memory(network->symbols)) tn_network_fail_memory(network);
}

void tn_network_replace_uses(tn_network *network, tn_tensor *from, tn_tensor *to) {
    if (from == to) return;
    move_host_values(network, from, to);
    if (!tn_array_reserve(network->allocator, &to->uses, from->uses.count)) {
        tn_network_fail_memory(network);
        return;
    }
    for (size_t i = 0; i < from->uses.count; i++) {
        tn_use use = from->uses.data[i];
        use.layer->inputs.data[use.input] = to;
        use.layer->use_positions.data[use.input] = (uint32_t)to->uses.count;
        to->uses.data[to->uses.count++] = use;
    }
    from->uses.count = 0;
    if (from->state != NULL) {
        tn_network_state *state = tn_network_find_state(network, from->state);
        if (state != NULL && state->last == from) state->last = to;
    }
    if (from->is_debug) { /* the mark moves, with the name that callers know; a mark left behind would keep the old layer */
        to->is_debug = true;
        from->is_debug = false;
        if (!to->is_output && !to->is_input && to->state == NULL) to->name = from->name;
    }
    if (from->is_output) replace_output(network, from, to);
}

/* --- what is needed ------------------------------------------------------------------------------------------------------- */

static bool is_needed_for_itself(const tn_tensor *tensor) {
    if (tensor->is_output || tensor->is_debug) return true;
    if (tensor->state == NULL) return false;
    const tn_network_state *state = tn_network_find_state(tensor->network, tensor->state);
    return state != NULL && state->last == tensor;
}

/* CONDITION and TRIP_LIMIT make nothing: what stands in their regions decides, in the sweep. */
static bool is_unused(const tn_layer *layer) {
    if (layer->kind == TN_OP_CONDITION || layer->kind == TN_OP_TRIP_LIMIT || layer->kind == TN_OP_ASSERTION) return false;
    for (size_t i = 0; i < layer->outputs.count; i++) {
        const tn_tensor *output = layer->outputs.data[i];
        if (output->uses.count > 0 || is_needed_for_itself(output)) return false;
    }
    return true;
}

void tn_network_retire(tn_network *network, tn_layer *layer) {
    (void)network;
    if (layer->is_dead || !is_unused(layer)) return;
    layer->is_dead = true;
    layer->next_retired = NULL;
    tn_layer *pending = layer;
    while (pending != NULL) {
        tn_layer *dead = pending;
        pending = dead->next_retired;
        for (uint32_t i = 0; i < dead->inputs.count; i++) {
            tn_tensor *input = dead->inputs.data[i];
            if (input == NULL) continue;
            drop_use(dead, i);
            dead->inputs.data[i] = NULL;
            tn_layer *producer = input->producer;
            if (producer == NULL || producer->is_dead || !is_unused(producer)) continue;
            producer->is_dead = true;
            producer->next_retired = pending;
            pending = producer;
        }
    }
}

void tn_network_remove_tensor(tn_network *network, tn_tensor *tensor) {
    if (network == NULL || tensor == NULL || tn_network_is_frozen(network, "remove a tensor")) return;
    tn_layer *layer = tensor->producer;
    const char *reason = NULL;
    if (tensor->network != network)
        reason = "it belongs to another network";
    else if (layer == NULL)
        reason = "no layer makes it";
    else if (layer->is_dead)
        return;
    for (size_t i = 0; reason == NULL && i < layer->outputs.count; i++) {
        const tn_tensor *output = layer->outputs.data[i];
        if (output->uses.count > 0) reason = "a layer reads it or another output of its layer";
        if (is_needed_for_itself(output)) reason = "it or another output of its layer is an output, a debug tensor or a state";
    }
    if (reason != NULL) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot remove '%s': %s", tensor->name, reason);
        return;
    }
    tn_layer_drop_uses(layer);
    layer->is_dead = true;
}

static void mark_live(tn_layer *layer, bool *changed) {
    if (layer == NULL || layer->is_live || layer->is_dead) return;
    layer->is_live = true;
    *changed = true;
}

/* A live layer needs its producers, and what opens the constructs around it. */
static void mark_needs(tn_network *network, tn_layer *layer, bool *changed) {
    for (size_t i = 0; i < layer->inputs.count; i++)
        if (layer->inputs.data[i] != NULL) mark_live(layer->inputs.data[i]->producer, changed);
    for (uint32_t region = layer->region; region != 0; region = network->regions.data[region].parent)
        mark_live(network->regions.data[region].owner, changed);
}

static uint32_t construct_of(const tn_layer *layer) {
    switch (layer->kind) {
    case TN_OP_CONDITION: return (uint32_t)layer->params.condition.construct;
    case TN_OP_CONDITION_OUTPUT: return (uint32_t)layer->params.condition_output.construct;
    case TN_OP_TRIP_LIMIT: return (uint32_t)layer->params.trip_limit.construct;
    case TN_OP_LOOP_OUTPUT: return (uint32_t)layer->params.loop_output.construct;
    default: return 0;
    }
}

/* What is needed, from the last layer to the first: producers stand before users, so that one round does, but for the `next`
 * of recurrences, and limits of loops, which stand after what makes them needed. */
static void mark_needed(tn_network *network) {
    bool ignored = false;
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) layer->is_live = false;
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next)
        if (layer->kind == TN_OP_ASSERTION) mark_live(layer, &ignored);
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next)
        for (size_t i = 0; i < layer->outputs.count; i++)
            if (is_needed_for_itself(layer->outputs.data[i])) mark_live(layer, &ignored);
    bool changed = true;
    while (changed) {
        changed = false;
        for (tn_layer *layer = network->last_layer; layer != NULL; layer = layer->previous) {
            if (!layer->is_live) continue;
            bool again = false;
            mark_needs(network, layer, &again);
            uint32_t construct = construct_of(layer);
            if (construct != 0) mark_live(network->regions.data[construct].owner, &again);
            if (again && (layer->kind == TN_OP_RECURRENCE || construct != 0 || layer->region != 0)) changed = true;
        }
        /* A second limit of a loop that is needed is needed too. */
        for (tn_layer *layer = network->last_layer; layer != NULL; layer = layer->previous) {
            if (layer->kind != TN_OP_TRIP_LIMIT || layer->is_live) continue;
            const tn_layer *owner = network->regions.data[construct_of(layer)].owner;
            if (owner != NULL && owner->is_live) mark_live(layer, &changed);
        }
    }
}

/* Tensors keep the order in which they were made. */
static void forget_tensors(tn_network *network) {
    size_t kept = 0;
    for (size_t i = 0; i < network->tensors.count; i++) {
        tn_tensor *tensor = network->tensors.data[i];
        if (tensor->producer != NULL && !tensor->producer->is_live)
            tn_array_deinit(network->allocator, &tensor->uses);
        else
            network->tensors.data[kept++] = tensor;
    }
    network->tensors.count = kept;
}

static void unlink_all_but_live(tn_network *network) {
    forget_tensors(network);
    for (tn_layer *layer = network->first_layer, *next; layer != NULL; layer = next) {
        next = layer->next;
        if (!layer->is_live) {
            layer->is_dead = true;
            unlink_layer(network, layer);
        }
        layer->is_live = false;
    }
}

void tn_network_sweep(tn_network *network) {
    if (network == NULL) return;
    mark_needed(network);
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next)
        if (!layer->is_live) tn_layer_drop_uses(layer);
    unlink_all_but_live(network);
}

void tn_network_remove_dead(tn_network *network) {
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) layer->is_live = !layer->is_dead;
    unlink_all_but_live(network);
}
