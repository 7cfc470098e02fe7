/* SPDX-License-Identifier: Apache-2.0
 *
 * regions.c: Ifs and Loops through the public API. The layers added between begin and end stand in the construct's regions.
 *
 * If: CONDITION stands in the outer region, then the layers of the branch if true, then those of the other branch.
 * Loop: TRIP_LIMIT of a count stands in the outer region before the body, that of a condition in the body.
 */
#include <inttypes.h>

#include "network/network_internal.h"

struct tn_if {
    tn_network *network;
    uint32_t construct, parent; /* regions construct (true) and construct + 1 (false) */
    enum { IF_TRUE, IF_FALSE, IF_ENDED } stage;
};

struct tn_loop {
    tn_network *network;
    uint32_t construct, parent;
    tn_layer *last_before; /* what stood last before the body; NULL: nothing */
    bool ended;
};

static bool add_region(tn_network *network, uint32_t parent, bool is_else, bool is_loop, uint32_t *out_id) {
    *out_id = (uint32_t)network->regions.count;
    tn_region region = {.id = *out_id, .parent = parent, .is_else = is_else, .is_loop = is_loop};
    if (tn_array_push(network->allocator, &network->regions, region)) return true;
    tn_network_fail_memory(network);
    return false;
}

static void fail_order(tn_network *network, const char *what, const char *reason) {
    TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot %s: %s", what, reason);
}

/* --- If ------------------------------------------------------------------------------------------------------------------- */

tn_if *tn_network_begin_if(tn_network *network, tn_tensor *condition) {
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot begin an if: the network is missing");
        return NULL;
    }
    tn_if *conditional = tn_network_alloc(network, sizeof *conditional);
    uint32_t if_false;
    if (conditional == NULL) return NULL;
    *conditional = (tn_if){.network = network, .parent = network->current_region};
    if (!add_region(network, conditional->parent, false, false, &conditional->construct) ||
        !add_region(network, conditional->parent, true, false, &if_false))
        return NULL;
    tn_op_params params = {.condition = {.construct = conditional->construct}};
    tn_layer *owner = tn_network_add_layer(network, TN_OP_CONDITION, &params, &condition, 1, NULL);
    if (owner == NULL) return NULL;
    network->regions.data[conditional->construct].owner = owner;
    network->regions.data[if_false].owner = owner;
    network->current_region = conditional->construct;
    return conditional;
}

void tn_if_else(tn_if *conditional) {
    if (conditional == NULL) return;
    if (conditional->stage != IF_TRUE || conditional->network->current_region != conditional->construct) {
        fail_order(conditional->network, "begin the else branch", "the branch if true is not the one that is open");
        return;
    }
    conditional->stage = IF_FALSE;
    conditional->network->current_region = conditional->construct + 1;
}

void tn_if_end(tn_if *conditional) {
    if (conditional == NULL) return;
    if (conditional->stage != IF_FALSE || conditional->network->current_region != conditional->construct + 1) {
        fail_order(conditional->network, "end an if", "its else branch is not the one that is open");
        return;
    }
    conditional->stage = IF_ENDED;
    conditional->network->current_region = conditional->parent;
}

tn_layer *tn_if_add_output(tn_if *conditional, tn_tensor *if_true, tn_tensor *if_false) {
    if (conditional == NULL) return NULL;
    if (conditional->stage != IF_ENDED) {
        fail_order(conditional->network, "add an output of an if", "it has not ended");
        return NULL;
    }
    tn_op_params params = {.condition_output = {.construct = conditional->construct}};
    return tn_network_add_layer(conditional->network, TN_OP_CONDITION_OUTPUT, &params, (tn_tensor *[]){if_true, if_false}, 2, NULL);
}

/* --- Loop ----------------------------------------------------------------------------------------------------------------- */

tn_loop *tn_network_begin_loop(tn_network *network) {
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot begin a loop: the network is missing");
        return NULL;
    }
    tn_loop *loop = tn_network_alloc(network, sizeof *loop);
    if (loop == NULL) return NULL;
    *loop = (tn_loop){.network = network, .parent = network->current_region, .last_before = network->last_layer};
    if (!add_region(network, loop->parent, false, true, &loop->construct)) return NULL;
    network->current_region = loop->construct;
    return loop;
}

static bool is_open(const tn_loop *loop, const char *what) {
    if (!loop->ended && loop->network->current_region == loop->construct) return true;
    fail_order(loop->network, what, "the loop's body is not open");
    return false;
}

void tn_loop_set_trip_limit(tn_loop *loop, tn_tensor *count) {
    if (loop == NULL || !is_open(loop, "limit a loop")) return;
    tn_network *network = loop->network;
    const tn_layer *owner = network->regions.data[loop->construct].owner;
    if (owner != NULL && !owner->params.trip_limit.is_while) {
        fail_order(network, "limit a loop", "it has a count already");
        return;
    }
    network->current_region = loop->parent;
    tn_layer *outer_insert = network->insert_before;
    if (outer_insert == NULL) network->insert_before = loop->last_before != NULL ? loop->last_before->next : network->first_layer;
    tn_op_params params = {.trip_limit = {.construct = loop->construct}};
    tn_layer *limit = tn_network_add_layer(network, TN_OP_TRIP_LIMIT, &params, &count, 1, NULL);
    network->insert_before = outer_insert;
    network->current_region = loop->construct;
    if (limit != NULL) network->regions.data[loop->construct].owner = limit;
}

void tn_loop_set_condition(tn_loop *loop, tn_tensor *condition) {
    if (loop == NULL || !is_open(loop, "set a loop's condition")) return;
    tn_op_params params = {.trip_limit = {.construct = loop->construct, .is_while = true}};
    tn_layer *limit = tn_network_add_layer(loop->network, TN_OP_TRIP_LIMIT, &params, &condition, 1, NULL);
    tn_region *region = &loop->network->regions.data[loop->construct];
    if (region->owner == NULL) region->owner = limit;
}

tn_layer *tn_loop_add_recurrence(tn_loop *loop, tn_tensor *initial) {
    if (loop == NULL || !is_open(loop, "add a recurrence")) return NULL;
    tn_op_params params = {.recurrence = {.construct = loop->construct}};
    return tn_network_add_layer(loop->network, TN_OP_RECURRENCE, &params, &initial, 1, NULL);
}

void tn_recurrence_set_next(tn_layer *recurrence, tn_tensor *next) {
    if (recurrence == NULL) return;
    tn_network *network = recurrence->network;
    if (recurrence->kind != TN_OP_RECURRENCE) {
        fail_order(network, "set the next value", "the layer is no recurrence");
        return;
    }
    if (next == NULL) {
        tn_network_fail_missing(network, "set the next value of a recurrence");
        return;
    }
    const tn_tensor *value = recurrence->outputs.data[0];
    tn_shape shape = {.network = network, .kind = recurrence->kind, .name = recurrence->name};
    bool fits = next->network == network && next->dtype == value->dtype && next->rank == value->rank;
    for (int axis = 0; fits && axis < value->rank; axis++)
        fits = tn_sym_equal(network->symbols, next->dims[axis], value->dims[axis]) == TN_YES;
    if (!fits) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot carry '%s' to the next round of '%s': it is %s, the initial value is %s",
                        next->name, recurrence->name, tn_shape_describe(&shape, next), tn_shape_describe(&shape, value));
        return;
    }
    uint32_t region = next->producer != NULL ? next->producer->region : 0;
    if (!tn_region_contains(network, region, recurrence->region)) {
        fail_order(network, "carry a value to the next round", "it stands inside another loop or conditional");
        return;
    }
    tn_layer_connect(recurrence, 1, next);
}

tn_layer *tn_loop_add_iterator(tn_loop *loop, tn_tensor *x, int axis, bool reverse) {
    if (loop == NULL || !is_open(loop, "add an iterator")) return NULL;
    tn_op_params params = {.iterator = {.construct = loop->construct, .axis = axis, .reverse = reverse}};
    return tn_network_add_layer(loop->network, TN_OP_ITERATOR, &params, &x, 1, NULL);
}

void tn_loop_end(tn_loop *loop) {
    if (loop == NULL || !is_open(loop, "end a loop")) return;
    if (loop->network->regions.data[loop->construct].owner == NULL && !loop->network->failed)
        fail_order(loop->network, "end a loop", "it has neither a count nor a condition and would never stop");
    loop->ended = true;
    loop->network->current_region = loop->parent;
}

tn_layer *tn_loop_add_output(tn_loop *loop, tn_tensor *x, bool concatenate, int axis) {
    if (loop == NULL) return NULL;
    if (!loop->ended) {
        fail_order(loop->network, "add an output of a loop", "it has not ended");
        return NULL;
    }
    tn_op_params params = {.loop_output = {.construct = loop->construct, .axis = axis, .concatenate = concatenate}};
    return tn_network_add_layer(loop->network, TN_OP_LOOP_OUTPUT, &params, &x, 1, NULL);
}
