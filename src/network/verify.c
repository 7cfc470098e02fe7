/* SPDX-License-Identifier: Apache-2.0
 *
 * verify.c: everything that is wrong with a network, in one go.
 *
 * Shapes and types are checked when a layer is added; here is what only the whole shows: order, use-lists, regions, versions of
 * states, loops that lack a part, types and dimensions that nothing can run.
 */
#include <inttypes.h>
#include <string.h>

#include "network/network_internal.h"

typedef struct verifier {
    tn_network *network;
    tn_diag *diag;
    uint32_t *positions;   /* of layers in the list, by id; 0: not in it */
    uint8_t *region_marks; /* by id */
    size_t num_errors;
} verifier;

#define REPORT(v, layer, ...) \
    ((v)->num_errors++, (void)tn_fail_at((v)->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = (layer)->name}, __VA_ARGS__))

static uint32_t position_of(const verifier *v, const tn_layer *layer) {
    return layer->id < v->network->next_id ? v->positions[layer->id] : 0;
}

static void verify_input(verifier *v, const tn_layer *layer, uint32_t index) {
    const tn_tensor *input = layer->inputs.data[index];
    if (input == NULL) {
        bool is_next = layer->kind == TN_OP_RECURRENCE && index == 1;
        if (is_next)
            REPORT(v, layer, "recurrence '%s' has no next value", layer->name);
        else if (!tn_op_input_is_optional(layer->kind, index))
            REPORT(v, layer, "layer '%s' lacks input %" PRIu32, layer->name, index);
        return;
    }
    uint32_t at = layer->use_positions.data[index];
    if (at >= input->uses.count || input->uses.data[at].layer != layer || input->uses.data[at].input != index)
        REPORT(v, layer, "layer '%s' is not among the users of its input '%s'", layer->name, input->name);
    const tn_layer *producer = input->producer;
    if (producer == NULL) return;
    if (position_of(v, producer) == 0) {
        REPORT(v, layer, "layer '%s' reads '%s', whose layer is not in the network", layer->name, input->name);
        return;
    }
    bool may_be_later = layer->kind == TN_OP_RECURRENCE && index == 1;
    if (!may_be_later && position_of(v, producer) >= position_of(v, layer))
        REPORT(v, layer, "layer '%s' reads '%s', which is made after it", layer->name, input->name);
    bool takes_out = layer->kind == TN_OP_CONDITION_OUTPUT || layer->kind == TN_OP_LOOP_OUTPUT;
    if (!takes_out && !tn_region_contains(v->network, producer->region, layer->region))
        REPORT(v, layer, "layer '%s' reads '%s' across the edge of a loop or conditional", layer->name, input->name);
}

static void verify_outputs(verifier *v, const tn_layer *layer) {
    for (size_t i = 0; i < layer->outputs.count; i++) {
        const tn_tensor *output = layer->outputs.data[i];
        if (output->producer != layer || output->output_index != i)
            REPORT(v, layer, "output %zu of layer '%s' names another layer as its maker", i, layer->name);
        if (output->dtype <= TN_DTYPE_NONE || output->dtype >= TN_NUM_DTYPES)
            REPORT(v, layer, "output '%s' of layer '%s' has no type", output->name, layer->name);
        for (int axis = 0; axis < output->rank; axis++) {
            int64_t value;
            if (output->dims[axis] == TN_SYM_INVALID)
                REPORT(v, layer, "dimension %d of '%s' is unknown", axis, output->name);
            else if (tn_sym_is_const(v->network->symbols, output->dims[axis], &value) && value < 0)
                REPORT(v, layer, "dimension %d of '%s' is %" PRId64, axis, output->name, value);
        }
    }
    if (layer->kind == TN_OP_CONSTANT && layer->weights == NULL) REPORT(v, layer, "constant '%s' has no values", layer->name);
}

/* --- states ----------------------------------------------------------------------------------------------------------------- */

/* The layer that makes the next version from this one, or NULL. Two of them would fork the state. */
static const tn_layer *find_updater(verifier *v, const tn_tensor *version) {
    const tn_layer *updater = NULL;
    for (size_t i = 0; i < version->uses.count; i++) {
        const tn_layer *user = version->uses.data[i].layer;
        for (size_t j = 0; j < user->outputs.count; j++) {
            if (user->outputs.data[j]->state == NULL || strcmp(user->outputs.data[j]->state, version->state) != 0) continue;
            if (updater != NULL && updater != user)
                REPORT(v, user, "state '%s' is updated from one version by both '%s' and '%s'", version->state, updater->name, user->name);
            updater = user;
        }
    }
    return updater;
}

static void verify_version(verifier *v, const tn_tensor *version) {
    const tn_layer *updater = find_updater(v, version);
    if (updater == NULL) return;
    for (size_t i = 0; i < version->uses.count; i++) {
        const tn_layer *user = version->uses.data[i].layer;
        if (position_of(v, user) > position_of(v, updater))
            REPORT(v, user, "layer '%s' reads state '%s' as it was before '%s', which stands before it and updates it", user->name,
                   version->state, updater->name);
    }
}

/* --- regions ---------------------------------------------------------------------------------------------------------------- */

enum { REGION_USED = 1, REGION_LEFT = 2 };

/* Marks the regions around `from` that do not hold `to`. */
static void leave_regions(verifier *v, uint32_t from, uint32_t to) {
    for (; from != 0 && !tn_region_contains(v->network, from, to); from = v->network->regions.data[from].parent)
        v->region_marks[from] |= REGION_LEFT;
}

/* A region's layers stand together: what comes between is inside. False if one that was left is entered again. */
static bool enter_regions(verifier *v, uint32_t region) {
    bool is_new = true;
    for (; region != 0; region = v->network->regions.data[region].parent) {
        v->region_marks[region] |= REGION_USED;
        if ((v->region_marks[region] & REGION_LEFT) != 0) is_new = false;
    }
    return is_new;
}

static void verify_regions(verifier *v) {
    uint32_t present = 0;
    for (const tn_layer *layer = v->network->first_layer; layer != NULL; layer = layer->next) {
        if (layer->region == present || layer->is_dead) continue;
        leave_regions(v, present, layer->region);
        if (!enter_regions(v, layer->region))
            REPORT(v, layer, "layer '%s' stands apart from the others of its loop or conditional", layer->name);
        present = layer->region;
    }
    for (size_t i = 1; i < v->network->regions.count; i++) {
        const tn_region *region = &v->network->regions.data[i];
        if ((v->region_marks[i] & REGION_USED) == 0 || (region->owner != NULL && position_of(v, region->owner) != 0)) continue;
        v->num_errors++;
        (void)tn_fail(v->diag, TN_INVALID_ARGUMENT,
                      region->is_loop ? "loop %" PRIu32 " has neither a count nor a condition and would never stop"
                                      : "conditional %" PRIu32 " has no condition",
                      region->id);
    }
}

/* --- the whole -------------------------------------------------------------------------------------------------------------- */

static void verify_outputs_of_network(verifier *v) {
    const tn_network *network = v->network;
    if (network->outputs.count == 0 && network->states.count == 0) {
        v->num_errors++;
        (void)tn_fail_at(v->diag, TN_INVALID_ARGUMENT, &(tn_where){.hint = "mark what it computes with tn_network_mark_output"},
                         "the network has no output");
    }
    for (size_t i = 0; i < network->outputs.count; i++) {
        const tn_tensor *output = network->outputs.data[i];
        if (!output->is_output || output->producer == NULL || position_of(v, output->producer) == 0)
            REPORT(v, output, "output '%s' is made by no layer", output->name);
        for (size_t j = 0; j < i; j++)
            if (strcmp(network->outputs.data[j]->name, output->name) == 0) REPORT(v, output, "two outputs are named '%s'", output->name);
    }
    for (size_t i = 0; i < network->inputs.count; i++) {
        const tn_tensor *input = network->inputs.data[i];
        if (input->uses.count == 0 && input->role == NULL) /* the executor's contract has its inputs whether a model reads them or not */
            tn_warn(v->diag, &(tn_where){.subject = input->name}, "input '%s' is read by nothing", input->name);
    }
}

static tn_status verify_all(verifier *v) {
    const tn_network *network = v->network;
    uint32_t position = 0;
    for (const tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) v->positions[layer->id] = ++position;
    if (network->failed) v->num_errors++; /* the adders said what */
    for (const tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) {
        if (layer->is_dead) continue;
        for (uint32_t i = 0; i < layer->inputs.count; i++) verify_input(v, layer, i);
        verify_outputs(v, layer);
    }
    for (size_t i = 0; i < network->tensors.count; i++)
        if (network->tensors.data[i]->state != NULL) verify_version(v, network->tensors.data[i]);
    verify_regions(v);
    verify_outputs_of_network(v);
    return v->num_errors == 0 ? TN_OK : TN_INVALID_ARGUMENT;
}

tn_status tn_network_verify(tn_network *network, tn_diag *diag) {
    if (network->out_of_memory) return TN_OUT_OF_MEMORY;
    verifier v = {.network = network, .diag = diag};
    v.positions = tn_alloc_array(network->allocator, network->next_id, sizeof *v.positions);
    v.region_marks = tn_alloc_array(network->allocator, network->regions.count, sizeof *v.region_marks);
    tn_status status = v.positions != NULL && v.region_marks != NULL
                           ? verify_all(&v)
                           : tn_fail_memory(diag, "verifying a network", network->next_id * sizeof *v.positions);
    tn_free(network->allocator, v.positions);
    tn_free(network->allocator, v.region_marks);
    return status;
}
