/* SPDX-License-Identifier: Apache-2.0
 *
 * calls.c: the records of functionals: what was called with what, and what came out (tenon/rewrite.h, "calls").
 */
#include <string.h>

#include "network/network_internal.h"

/* --- recording ------------------------------------------------------------------------------------------------------------ */

/* The argument with its strings and its list copied. */
static bool copy_argument(tn_network *network, const tn_call_argument *from, tn_call_argument *to) {
    *to = *from;
    to->name = tn_network_copy_string(network, from->name);
    if (from->text != NULL) to->text = tn_network_copy_string(network, from->text);
    if (from->num_tensors > 0) {
        tn_tensor **tensors = tn_arena_alloc_array(&network->arena, from->num_tensors, sizeof *tensors);
        if (tensors != NULL) memcpy(tensors, from->tensors, from->num_tensors * sizeof *tensors);
        to->tensors = tensors;
    }
    if (to->name != NULL && (from->text == NULL || to->text != NULL) && (from->num_tensors == 0 || to->tensors != NULL)) return true;
    tn_network_fail_memory(network);
    return false;
}

static bool argument_is_valid(tn_network *network, const char *functional, const tn_call_argument *argument) {
    const char *reason = NULL;
    if (argument->name == NULL || argument->name[0] == '\0') reason = "an argument has no name";
    if (argument->tensors == NULL && argument->num_tensors > 0) reason = "a list of tensors is missing";
    if (argument->tensor != NULL && argument->tensor->network != network) reason = "an argument belongs to another network";
    for (uint32_t i = 0; reason == NULL && i < argument->num_tensors; i++)
        if (argument->tensors[i] != NULL && argument->tensors[i]->network != network) reason = "an argument belongs to another network";
    if (reason == NULL) return true;
    TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot record a call of '%s': %s", functional, reason);
    return false;
}

/* The call's arguments with room for `extra` more; NULL after recording. */
static tn_call_argument *copy_arguments(const tn_call *call, uint32_t extra) {
    size_t count = (size_t)call->num_arguments + extra;
    tn_call_argument *arguments = tn_arena_alloc_array(&call->network->arena, count, sizeof *arguments);
    if (arguments == NULL)
        tn_network_fail_memory(call->network);
    else if (call->num_arguments > 0)
        memcpy(arguments, call->arguments, call->num_arguments * sizeof *arguments);
    return arguments;
}

tn_call *tn_call_begin(tn_network *network, const char *functional, const tn_call_argument *arguments, uint32_t num_arguments) {
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot record a call: the network is missing");
        return NULL;
    }
    if (tn_network_is_frozen(network, "record a call")) return NULL;
    if (functional == NULL || functional[0] == '\0' || (arguments == NULL && num_arguments > 0)) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot record a call: its name or its arguments are missing");
        return NULL;
    }
    for (uint32_t i = 0; i < num_arguments; i++)
        if (!argument_is_valid(network, functional, &arguments[i])) return NULL;
    tn_call *call = tn_network_alloc(network, sizeof *call);
    if (call == NULL) return NULL;
    *call = (tn_call){.network = network, .outer = network->current_call, .previous = network->last_call};
    call->functional = tn_network_copy_string(network, functional);
    tn_call_argument *copies = copy_arguments(call, num_arguments);
    if (call->functional == NULL || copies == NULL) return NULL;
    for (uint32_t i = 0; i < num_arguments; i++)
        if (!copy_argument(network, &arguments[i], &copies[i])) return NULL;
    call->arguments = copies;
    call->num_arguments = num_arguments;
    network->current_call = network->last_call = call;
    return call;
}

void tn_call_add_argument(tn_call *call, const tn_call_argument *argument) {
    if (call == NULL || argument == NULL || !argument_is_valid(call->network, call->functional, argument)) return;
    tn_call_argument *arguments = copy_arguments(call, 1);
    if (arguments == NULL || !copy_argument(call->network, argument, &arguments[call->num_arguments])) return;
    call->arguments = arguments;
    call->num_arguments++;
}

void tn_call_end(tn_call *call, tn_tensor *const *outputs, uint32_t num_outputs) {
    if (call == NULL) return;
    tn_network *network = call->network;
    if (network->current_call != call) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot end the call of '%s': it is not the innermost one that is open",
                        call->functional);
        return;
    }
    network->current_call = call->outer;
    if (network->failed) return; /* what it made may be missing; the reason was recorded */
    if (outputs == NULL || num_outputs == 0) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot end the call of '%s': it has no output", call->functional);
        return;
    }
    tn_tensor **copies = tn_arena_alloc_array(&network->arena, num_outputs, sizeof *copies);
    if (copies == NULL) {
        tn_network_fail_memory(network);
        return;
    }
    for (uint32_t i = 0; i < num_outputs; i++) {
        if (outputs[i] == NULL || outputs[i]->network != network) {
            TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot end the call of '%s': output %u is missing or of another network",
                            call->functional, i);
            return;
        }
        copies[i] = outputs[i];
    }
    call->outputs = copies;
    call->num_outputs = num_outputs;
}

/* --- following replaced tensors ------------------------------------------------------------------------------------------- */

static bool list_has(tn_tensor *const *tensors, uint32_t count, const tn_tensor *wanted) {
    for (uint32_t i = 0; i < count; i++)
        if (tensors[i] == wanted) return true;
    return false;
}

/* The list with `to` for `from`; NULL after recording. */
static tn_tensor *const *replace_in_list(tn_network *network, tn_tensor *const *tensors, uint32_t count, const tn_tensor *from,
                                         tn_tensor *to) {
    tn_tensor **copies = tn_arena_alloc_array(&network->arena, count, sizeof *copies);
    if (copies == NULL) tn_network_fail_memory(network);
    for (uint32_t i = 0; copies != NULL && i < count; i++) copies[i] = tensors[i] == from ? to : tensors[i];
    return copies;
}

static bool names(const tn_call *call, const tn_tensor *tensor) {
    for (uint32_t i = 0; i < call->num_arguments; i++) {
        const tn_call_argument *argument = &call->arguments[i];
        if (argument->tensor == tensor || list_has(argument->tensors, argument->num_tensors, tensor)) return true;
    }
    return false;
}

static bool replace_arguments(tn_call *call, const tn_tensor *from, tn_tensor *to) {
    if (!names(call, from)) return true;
    tn_call_argument *arguments = copy_arguments(call, 0);
    if (arguments == NULL) return false;
    for (uint32_t i = 0; i < call->num_arguments; i++) {
        tn_call_argument *argument = &arguments[i];
        if (argument->tensor == from) argument->tensor = to;
        if (!list_has(argument->tensors, argument->num_tensors, from)) continue;
        argument->tensors = replace_in_list(call->network, argument->tensors, argument->num_tensors, from, to);
        if (argument->tensors == NULL) return false;
    }
    call->arguments = arguments;
    return true;
}

static bool is_made_in(const tn_tensor *tensor, const tn_call *wanted) {
    const tn_call *call = tensor->producer != NULL ? tensor->producer->call : NULL;
    while (call != NULL && call != wanted) call = call->outer;
    return call != NULL;
}

bool tn_network_replace_in_calls(tn_network *network, const tn_tensor *from, tn_tensor *to) {
    for (size_t i = 0; i < from->uses.count; i++)
        for (tn_call *call = from->uses.data[i].layer->call; call != NULL; call = call->outer)
            if (!replace_arguments(call, from, to)) return false;
    /* What a call gives is what replaced it inside the call. */
    for (tn_call *call = from->producer != NULL ? from->producer->call : NULL; call != NULL; call = call->outer) {
        if (!list_has(call->outputs, call->num_outputs, from) || !is_made_in(to, call)) continue;
        tn_tensor *const *outputs = replace_in_list(network, call->outputs, call->num_outputs, from, to);
        if (outputs == NULL) return false;
        call->outputs = outputs;
    }
    return true;
}

tn_status tn_call_replace_input_with(tn_call *call, tn_tensor *from, tn_tensor *to) {
    tn_diag *diag = call != NULL ? call->network->diag : NULL;
    const char *reason = NULL;
    if (call == NULL || from == NULL || to == NULL)
        reason = "the call or a tensor is missing";
    else if (from->network != call->network || to->network != call->network)
        reason = "a tensor belongs to another network";
    else if (call->network->frozen_by != NULL)
        reason = "a pattern is only looking at the network";
    if (reason != NULL) {
        if (call != NULL && call->network->layer_added != NULL) call->network->failed = true; /* ends the run */
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot replace an argument: %s", reason);
    }
    if (!names(call, from))
        return tn_fail(diag, TN_NOT_FOUND, "cannot replace an argument: the call of '%s' has no argument '%s'", call->functional,
                       from->name);
    return replace_arguments(call, from, to) ? TN_OK : TN_OUT_OF_MEMORY;
}

/* --- asking --------------------------------------------------------------------------------------------------------------- */

static tn_call *standing(tn_call *call) {
    while (call != NULL && call->is_removed) call = call->outer;
    return call;
}

tn_call *tn_layer_call(const tn_layer *layer) {
    return layer != NULL && !layer->is_dead ? standing(layer->call) : NULL;
}

tn_call *tn_call_outer(const tn_call *call) {
    return call != NULL ? standing(call->outer) : NULL;
}

const char *tn_call_functional(const tn_call *call) {
    return call != NULL ? call->functional : "";
}

int tn_call_num_arguments(const tn_call *call) {
    return call != NULL ? (int)call->num_arguments : 0;
}

const tn_call_argument *tn_call_get_argument(const tn_call *call, int index) {
    return call != NULL && index >= 0 && (uint32_t)index < call->num_arguments ? &call->arguments[index] : NULL;
}

const tn_call_argument *tn_call_find_argument(const tn_call *call, const char *name) {
    for (uint32_t i = 0; call != NULL && name != NULL && i < call->num_arguments; i++)
        if (strcmp(call->arguments[i].name, name) == 0) return &call->arguments[i];
    return NULL;
}

tn_tensor *tn_call_input(const tn_call *call, const char *name) {
    const tn_call_argument *argument = tn_call_find_argument(call, name);
    return argument != NULL ? argument->tensor : NULL;
}

int tn_call_num_outputs(const tn_call *call) {
    return call != NULL ? (int)call->num_outputs : 0;
}

tn_tensor *tn_call_output(const tn_call *call, int index) {
    return call != NULL && index >= 0 && (uint32_t)index < call->num_outputs ? call->outputs[index] : NULL;
}

uint32_t tn_call_clone_arguments(const tn_call *call, tn_call_argument *arguments, uint32_t capacity) {
    if (call == NULL) return 0;
    uint32_t count = call->num_arguments < capacity ? call->num_arguments : capacity;
    if (arguments != NULL && count > 0) memcpy(arguments, call->arguments, count * sizeof *arguments);
    return call->num_arguments;
}
