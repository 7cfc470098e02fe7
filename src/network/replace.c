/* SPDX-License-Identifier: Apache-2.0
 *
 * replace.c: may one tensor take all uses of another? Shapes behind the users were derived from the old one and are not derived
 * again, so the new one must be its like in all that they were derived from; and it must stand before the users.
 */
#include "network/network_internal.h"

static tn_status fail(const tn_tensor *from, const tn_tensor *to, const char *hint, const char *reason) {
    return tn_fail_at(from->network->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = from->name, .hint = hint},
                      "cannot replace '%s' by '%s': %s", from->name, to->name, reason);
}

static bool is_removed(const tn_tensor *tensor) {
    return tensor->producer != NULL && tensor->producer->is_dead;
}

static bool is_like(const tn_tensor *from, const tn_tensor *to) {
    if (from->dtype != to->dtype || from->rank != to->rank) return false;
    for (int axis = 0; axis < from->rank; axis++)
        if (tn_sym_equal(from->network->symbols, from->dims[axis], to->dims[axis]) != TN_YES) return false;
    return true;
}

static tn_status fail_type(const tn_tensor *from, const tn_tensor *to) {
    tn_text types = {.allocator = from->network->allocator};
    tn_tensor_print_type(from, &types);
    tn_text_append_string(&types, ", not ");
    tn_tensor_print_type(to, &types);
    const char *reason = !types.failed && types.data != NULL ? types.data : "of another type or shape";
    tn_status status = tn_fail_at(from->network->diag, TN_INVALID_ARGUMENT,
                                  &(tn_where){.subject = from->name, .hint = "add a cast or shuffle layer behind the new one"},
                                  "cannot replace '%s' by '%s': its users need %s", from->name, to->name, reason);
    tn_text_deinit(&types);
    return status;
}

/* What shapes were derived from `from` holds for `to`: nothing, equal values, or values that become one with to's. */
static bool values_fit(const tn_tensor *from, const tn_tensor *to) {
    tn_symbols *symbols = from->network->symbols;
    for (int64_t i = 0; from->host_syms != NULL && i < from->num_host_values; i++) {
        if (to->host_syms != NULL && tn_sym_equal(symbols, from->host_syms[i], to->host_syms[i]) == TN_YES) continue;
        if (from->host_syms[i] != tn_sym_host_value(symbols, from->id, (uint32_t)i)) return false;
    }
    return true;
}

static uint32_t region_of(const tn_tensor *tensor) {
    return tensor->producer != NULL ? tensor->producer->region : 0;
}

static tn_status check_use(const tn_tensor *from, const tn_tensor *to, const tn_use *use) {
    const tn_layer *user = use->layer, *maker = to->producer;
    if (user == maker)
        return fail(from, to, "make the new one from a new layer on the old one's inputs", "the second is made from the first: a cycle");
    bool takes_out = user->kind == TN_OP_CONDITION_OUTPUT || user->kind == TN_OP_LOOP_OUTPUT;
    if (!tn_region_contains(from->network, region_of(to), user->region) && !(takes_out && region_of(to) == region_of(from)))
        return fail(from, to, NULL, "the second stands inside a loop or conditional that a user of the first is outside of");
    bool from_last_round = user->kind == TN_OP_RECURRENCE && use->input == 1;
    if (maker == NULL || from_last_round || maker->order < user->order) return TN_OK;
    return tn_fail_at(from->network->diag, TN_INVALID_ARGUMENT,
                      &(tn_where){.subject = user->name, .hint = "add the new layers before the users: tn_network_guard_begin"},
                      "cannot replace '%s' by '%s': the layer '%s' reads the first and stands before what makes the second (or is part of "
                      "it: a cycle)",
                      from->name, to->name, user->name);
}

tn_status tn_tensor_check_replacement(const tn_tensor *from, const tn_tensor *to) {
    if (from->network != to->network) return fail(from, to, NULL, "they belong to different networks");
    if (is_removed(from) || is_removed(to))
        return fail(from, to, NULL, is_removed(from) ? "the first was removed" : "the second was removed");
    if (from->state != NULL || to->state != NULL) return fail(from, to, NULL, "a state has one version after the other");
    if (!is_like(from, to)) return fail_type(from, to);
    if (!values_fit(from, to)) return fail(from, to, NULL, "shapes were derived from the values of the first");
    if (from->is_output && region_of(to) != 0)
        return fail(from, to, "take it out with tn_if_add_output or tn_loop_add_output",
                    "the first is an output, the second stands inside a loop or conditional");
    for (size_t i = 0; i < from->uses.count; i++) {
        tn_status status = check_use(from, to, &from->uses.data[i]);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}
