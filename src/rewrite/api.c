/* SPDX-License-Identifier: Apache-2.0
 *
 * api.c: what patterns of tenon/rewrite.h ask and do: the graph, parameters, checked replacing, removing, the guard.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "op/dtype.h"
#include "rewrite/rewrite.h"

/* --- the graph ------------------------------------------------------------------------------------------------------------ */

tn_layer *tn_tensor_parent(const tn_tensor *tensor) {
    return tensor != NULL && tensor->producer != NULL && !tensor->producer->is_dead ? tensor->producer : NULL;
}

int tn_tensor_num_users(const tn_tensor *tensor) {
    return tensor != NULL ? (int)tensor->uses.count : 0;
}

tn_layer *tn_tensor_user(const tn_tensor *tensor, int index) {
    return tensor != NULL && index >= 0 && (size_t)index < tensor->uses.count ? tensor->uses.data[index].layer : NULL;
}

int tn_tensor_user_input(const tn_tensor *tensor, int index) {
    return tensor != NULL && index >= 0 && (size_t)index < tensor->uses.count ? (int)tensor->uses.data[index].input : -1;
}

tn_network *tn_layer_network(const tn_layer *layer) {
    return layer != NULL ? layer->network : NULL;
}

bool tn_layer_is_removed(const tn_layer *layer) {
    return layer != NULL && layer->is_dead;
}

tn_layer *tn_network_next_layer(const tn_network *network, const tn_layer *layer) {
    if (network == NULL) return NULL;
    tn_layer *next = layer != NULL ? layer->next : network->first_layer;
    while (next != NULL && next->is_dead) next = next->next;
    return next;
}

/* --- changing ------------------------------------------------------------------------------------------------------------- */

/* In a run, what failed ends it; outside, the network is as good as before. */
static tn_status failed_in(tn_network *network, tn_status status) {
    if (network->layer_added != NULL || network->frozen_by != NULL) network->failed = true;
    return status;
}

static tn_status check_change(tn_network *network, const char *what) {
    if (network->frozen_by == NULL) return TN_OK;
    return failed_in(network, tn_fail_at(network->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = network->frozen_by},
                                         "cannot %s: pattern '%s' is only looking at the network", what, network->frozen_by));
}

static tn_status fail_missing(tn_network *network, const char *what) {
    if (network != NULL && network->failed) return network->out_of_memory ? TN_OUT_OF_MEMORY : TN_INVALID_ARGUMENT;
    tn_status status = tn_fail(network != NULL ? network->diag : NULL, TN_INVALID_ARGUMENT, "cannot %s is missing", what);
    return network != NULL ? failed_in(network, status) : status;
}

/* After the checks. */
static tn_status move_uses(tn_tensor *from, tn_tensor *to) {
    tn_network *network = from->network;
    bool had_failed = network->failed;
    tn_rewriter *rewriter = tn_rewriter_of(network);
    if (!tn_network_replace_in_calls(network, from, to)) return TN_OUT_OF_MEMORY;
    if (rewriter != NULL)
        tn_rewriter_replace_uses(rewriter, from, to);
    else
        tn_network_replace_uses(network, from, to);
    if (!network->failed || had_failed) return TN_OK;
    return network->out_of_memory ? TN_OUT_OF_MEMORY : TN_INVALID_ARGUMENT;
}

tn_status tn_tensor_replace_all_uses_with(tn_tensor *from, tn_tensor *to) {
    if (from == NULL || to == NULL) {
        const tn_tensor *one = from != NULL ? from : to;
        return fail_missing(one != NULL ? one->network : NULL, "replace the uses of a tensor: one of the two");
    }
    tn_status status = check_change(from->network, "replace the uses of a tensor");
    if (status != TN_OK || from == to) return status;
    status = tn_tensor_check_replacement(from, to);
    return status == TN_OK ? move_uses(from, to) : failed_in(from->network, status);
}

tn_status tn_layer_mark_as_removed(tn_layer *layer) {
    if (layer == NULL) return fail_missing(NULL, "remove a layer: it");
    tn_network *network = layer->network;
    tn_status status = check_change(network, "remove a layer");
    if (status != TN_OK || layer->is_dead) return status;
    tn_network_retire(network, layer);
    if (!layer->is_dead)
        return failed_in(
            network,
            tn_fail_at(network->diag, TN_INVALID_ARGUMENT,
                       &(tn_where){.subject = layer->name, .hint = "give its users another tensor first: tn_tensor_replace_all_uses_with"},
                       "cannot remove layer '%s': another layer, an output of the network, a debug tensor or a state needs it",
                       layer->name));
    if (tn_rewriter_of(network) == NULL) tn_network_remove_dead(network);
    return TN_OK;
}

tn_network_guard tn_network_guard_begin(tn_network *network, tn_layer *before) {
    tn_network_guard guard = {.network = network};
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot begin a guard: the network is missing");
        return guard;
    }
    guard.insert_before = network->insert_before;
    guard.region = network->current_region;
    guard.call = network->current_call;
    if (before != NULL && (before->network != network || before->is_dead)) {
        network->failed = true;
        (void)tn_fail(network->diag, TN_INVALID_ARGUMENT, "cannot begin a guard: layer '%s' %s", before->name,
                      before->is_dead ? "was removed" : "belongs to another network");
        return guard;
    }
    network->insert_before = before;
    network->current_region = before != NULL ? before->region : 0;
    network->current_call = before != NULL ? before->call : NULL;
    return guard;
}

static tn_call *find_call(tn_network *network, const void *wanted) {
    tn_call *call = wanted != NULL ? network->last_call : NULL;
    while (call != NULL && call != wanted) call = call->previous;
    return call;
}

void tn_network_guard_end(tn_network_guard *guard) {
    if (guard == NULL || guard->network == NULL) return;
    tn_network *network = guard->network;
    network->insert_before =
        guard->insert_before != NULL && guard->insert_before->is_dead ? guard->insert_before->next : guard->insert_before;
    network->current_region = guard->region;
    network->current_call = find_call(network, guard->call);
    guard->network = NULL;
}

/* --- outputs of calls ----------------------------------------------------------------------------------------------------- */

static tn_status check_outputs(const tn_call *call, tn_tensor *const *outputs, uint32_t num_outputs) {
    tn_network *network = call->network;
    const char *reason = NULL;
    if (call->is_removed) reason = "it is removed";
    if (num_outputs != call->num_outputs) reason = "the number of outputs differs";
    for (uint32_t i = 0; reason == NULL && i < num_outputs; i++) {
        if (outputs == NULL || outputs[i] == NULL) reason = "a new output is missing";
        for (uint32_t j = 0; reason == NULL && j < i; j++)
            if (outputs[i] == outputs[j]) reason = "one new output stands for two";
    }
    if (reason == NULL) return TN_OK;
    return tn_fail(network->diag, TN_INVALID_ARGUMENT, "cannot replace the outputs of the call of '%s': %s", call->functional, reason);
}

/* The new output in the old one's type; a cast stands right behind what makes it. */
static tn_tensor *with_type_of(const tn_tensor *old, tn_tensor *new) {
    tn_network *network = old->network;
    if (old->dtype == new->dtype || network != new->network) return new;
    tn_network_guard guard = tn_network_guard_begin(network, NULL);
    network->insert_before = new->producer != NULL ? new->producer->next : network->first_layer;
    network->current_region = new->producer != NULL ? new->producer->region : 0;
    tn_layer *cast = tn_network_add_cast(network, new, old->dtype);
    tn_network_guard_end(&guard);
    return tn_layer_output(cast, 0);
}

static bool take_name(tn_network *network, tn_tensor *old, tn_tensor *new) {
    const char *deprecated = tn_arena_format(&network->arena, "%s_deprecated", old->name);
    if (deprecated == NULL) return false;
    new->name = old->name;
    old->name = deprecated;
    return true;
}

static tn_status replace_outputs(tn_call *call, tn_tensor *const *outputs, tn_tensor **replacements) {
    tn_network *network = call->network;
    uint32_t count = call->num_outputs;
    tn_tensor *const *old = call->outputs;
    for (uint32_t i = 0; i < count; i++) {
        replacements[i] = with_type_of(old[i], outputs[i]);
        if (replacements[i] == NULL) return TN_INVALID_ARGUMENT;
        tn_status status = tn_tensor_check_replacement(old[i], replacements[i]);
        if (status != TN_OK) return status;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool keeps_name = replacements[i]->is_output || replacements[i]->is_input;
        tn_status status = move_uses(old[i], replacements[i]);
        if (status != TN_OK) return status;
        if (!keeps_name && !take_name(network, old[i], replacements[i]))
            return tn_fail_memory(network->diag, "a name", strlen(old[i]->name) + 12);
    }
    call->is_removed = true;
    return TN_OK;
}

tn_status tn_call_replace_outputs_uses_with(tn_call *call, tn_tensor *const *outputs, uint32_t num_outputs) {
    if (call == NULL) return fail_missing(NULL, "replace the outputs of a call: it");
    tn_network *network = call->network;
    tn_status status = check_change(network, "replace the outputs of a call");
    if (status != TN_OK) return status;
    if (network->failed) return network->out_of_memory ? TN_OUT_OF_MEMORY : TN_INVALID_ARGUMENT; /* making the new ones failed */
    status = check_outputs(call, outputs, num_outputs);
    if (status != TN_OK) return failed_in(network, status);
    tn_network_saved *saved = NULL; /* in a run the whole run goes back */
    if (tn_rewriter_of(network) == NULL) status = tn_network_save(network, &saved);
    tn_tensor **replacements = tn_alloc_array(network->allocator, num_outputs, sizeof *replacements);
    if (status == TN_OK && replacements == NULL)
        status = tn_fail_memory(network->diag, "outputs of a call", num_outputs * sizeof *replacements);
    if (status == TN_OK) status = replace_outputs(call, outputs, replacements);
    if (status != TN_OK && network->out_of_memory) status = TN_OUT_OF_MEMORY;
    if (status != TN_OK && saved != NULL) tn_network_restore(network, saved);
    tn_network_saved_destroy(saved);
    tn_free(network->allocator, replacements);
    return status == TN_OK ? TN_OK : failed_in(network, status);
}

/* --- what a pattern is given ---------------------------------------------------------------------------------------------- */

tn_network *tn_rewriter_network(const tn_rewriter *rewriter) {
    return rewriter != NULL ? rewriter->network : NULL;
}

void *tn_rewriter_args(const tn_rewriter *rewriter) {
    return rewriter != NULL ? rewriter->args : NULL;
}

void *tn_rewriter_user(const tn_rewriter *rewriter) {
    return rewriter != NULL ? rewriter->user : NULL;
}

const char *tn_rewriter_name(const tn_rewriter *rewriter) {
    return rewriter != NULL ? rewriter->name : "";
}

bool tn_rewriter_fail(tn_rewriter *rewriter, tn_status status, const char *format, ...) {
    if (rewriter == NULL) return false;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    rewriter->network->failed = true;
    rewriter->failure = status != TN_OK ? status : TN_INVALID_ARGUMENT;
    (void)tn_fail_at(rewriter->diag, rewriter->failure, &(tn_where){.subject = rewriter->name}, "pattern '%s' failed at layer '%s': %s",
                     rewriter->name, rewriter->root != NULL ? rewriter->root->name : "", text);
    return false;
}
