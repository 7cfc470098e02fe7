/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_tensor.c: where tensors stand, their twins on the other side, the weights behind constants, and copies.
 */
#include <string.h>

#include "builder/lower.h"
#include "op/dtype.h"

bool lower_fail_memory(lowering *l) {
    if (l->status == TN_OK) l->status = tn_fail_memory(l->diag, "lowering a network", sizeof(tn_draft_step));
    return false;
}

lowered_tensor *lower_base(lowering *l, const tn_tensor *tensor) {
    lowered_tensor *lowered = &l->tensors[tensor->id];
    while (lowered->alias_of != NULL) lowered = &l->tensors[lowered->alias_of->id];
    return lowered;
}

static bool is_constant(const tn_tensor *tensor) {
    return tn_tensor_weights(tensor) != NULL;
}

/* --- the table of tensors ---------------------------------------------------------------------------------------------------- */

static bool set_dims(lowering *l, tn_draft_tensor *out, const tn_tensor *like) {
    for (uint32_t i = 0; i < out->rank; i++) {
        tn_sym bound = lower_upper_bound(l, like->dims[i]);
        if (bound == TN_SYM_INVALID && !tn_symbols_out_of_memory(l->network->symbols) && l->status == TN_OK)
            l->status =
                tn_fail_at(l->diag, TN_UNSUPPORTED, &(tn_where){.subject = like->name},
                           "cannot plan memory for '%s': dimension %u is computed while the function runs and has no bound", like->name, i);
        out->max_dims[i] = lower_symbol(l, bound);
        out->dims[i] = lower_symbol(l, like->dims[i]);
        out->dim_names[i] = like->dim_names[i] != NULL ? like->dim_names[i] : "";
    }
    return l->status == TN_OK;
}

bool lower_add_tensor(lowering *l, const char *name, const tn_tensor *like, uint32_t space, uint32_t place, uint32_t *out_index) {
    if (l->status != TN_OK || name == NULL) return lower_fail_memory(l);
    tn_draft_tensor added = {.name = name, .role = "", .dtype = like->dtype, .space = space, .place = place, .rank = like->rank};
    if (space == TN_SPACE_INPUT || space == TN_SPACE_OUTPUT) added.role = like->role != NULL ? like->role : "";
    if (like->is_debug && place == like->place) added.flags |= TN_TENSOR_DEBUG;
    uint32_t index = (uint32_t)l->function->tensors.count;
    if (!tn_array_push(l->draft->allocator, &l->function->tensors, added)) return lower_fail_memory(l);
    *out_index = index;
    if (!set_dims(l, &added, like)) return false;
    l->function->tensors.data[index] = added; /* set_dims may have added others */
    return true;
}

static bool make_own(lowering *l, tn_tensor *tensor, uint32_t place) {
    lowered_tensor *lowered = &l->tensors[tensor->id];
    if (lowered->at[place].space != TN_SPACE_NONE) return true;
    bool is_own = tensor->place == place; /* a hosted layer's output is at home on the host, but belongs on the device */
    uint32_t space = place == TN_PLACE_HOST ? TN_SPACE_HOST : TN_SPACE_ACTIVATION;
    if (is_own && tensor->is_output) space = TN_SPACE_OUTPUT;
    const char *name = is_own ? tensor->name : tn_arena_format(l->arena, "%s@%s", tensor->name, place == TN_PLACE_HOST ? "host" : "device");
    uint32_t index = (uint32_t)l->function->tensors.count;
    lowered->at[place] = (tn_plan_ref){.space = space, .id = index}; /* before its dims: they may read its values */
    return lower_add_tensor(l, name, tensor, space, place, &index);
}

/* Inputs come first, all numbered before their dims are read: a dimension may be another input's. */
bool lower_declare_inputs(lowering *l) {
    size_t count = l->network->inputs.count;
    for (size_t i = 0; i < count; i++) {
        const tn_tensor *input = l->network->inputs.data[i];
        tn_draft_tensor added = {.name = input->name,
                                 .role = input->role != NULL ? input->role : "",
                                 .dtype = input->dtype,
                                 .space = TN_SPACE_INPUT,
                                 .place = input->place,
                                 .rank = input->rank,
                                 .flags = input->is_debug ? TN_TENSOR_DEBUG : 0};
        l->tensors[input->id].home = input->place;
        l->tensors[input->id].at[input->place] = (tn_plan_ref){.space = TN_SPACE_INPUT, .id = (uint32_t)i};
        if (!tn_array_push(l->draft->allocator, &l->function->tensors, added)) return lower_fail_memory(l);
    }
    for (size_t i = 0; i < count; i++) {
        tn_draft_tensor filled = l->function->tensors.data[i];
        if (!set_dims(l, &filled, l->network->inputs.data[i])) return false;
        l->function->tensors.data[i] = filled;
    }
    return true;
}

bool lower_declare(lowering *l, tn_tensor *tensor, uint32_t home) {
    if (l->status != TN_OK) return false;
    l->tensors[tensor->id].home = home;
    return make_own(l, tensor, home);
}

bool lower_need(lowering *l, tn_tensor *tensor, uint32_t place) {
    if (l->status != TN_OK) return false;
    lowered_tensor *base = lower_base(l, tensor);
    if (is_constant(base->tensor) || base->at[base->home].space == TN_SPACE_STATE || base->home == place) return true;
    base->needs[place] = true;
    return make_own(l, base->tensor, place);
}

bool lower_host_value_tensor(lowering *l, uint32_t id, uint32_t *out_index) {
    tn_tensor *tensor = l->tensors[id].tensor;
    if (tensor == NULL) {
        l->status = tn_fail(l->diag, TN_INTERNAL, "a symbol reads tensor %u, which is gone", id);
        return false;
    }
    lowered_tensor *base = lower_base(l, tensor);
    tn_plan_ref ref;
    if (is_constant(base->tensor)) {
        if (!lower_constant_tensor(l, base->tensor, TN_PLACE_HOST, &ref)) return false;
    } else {
        if (base->at[base->home].space == TN_SPACE_NONE && base->tensor->producer != NULL &&
            !lower_declare(l, base->tensor, base->tensor->place))
            return false;
        if (!lower_need(l, base->tensor, TN_PLACE_HOST)) return false;
        ref = base->at[TN_PLACE_HOST];
    }
    *out_index = ref.id;
    return true;
}

/* --- weights -------------------------------------------------------------------------------------------------------------------- */

bool lower_weight(lowering *l, const tn_weights *weights, const char *name, bool is_host, bool is_plain, uint32_t *out_index) {
    if (l->status != TN_OK) return false;
    tn_draft *draft = l->draft;
    uint64_t hash = tn_weights_hash(weights);
    for (size_t i = 0; i < draft->weights.count; i++) {
        tn_draft_weight *known = &draft->weights.data[i];
        if (known->hash != hash || known->is_host != is_host || !tn_weights_equal(known->weights, weights)) continue;
        known->is_plain = known->is_plain || is_plain;
        *out_index = (uint32_t)i;
        return true;
    }
    tn_draft_weight added = {.weights = weights, .hash = hash, .name = name, .is_host = is_host, .is_plain = is_plain || is_host};
    if (weights->name != NULL && weights->name[0] != '\0') added.name = weights->name;
    *out_index = (uint32_t)draft->weights.count;
    return tn_array_push(draft->allocator, &draft->weights, added) || lower_fail_memory(l);
}

bool lower_ref(lowering *l, tn_tensor *tensor, uint32_t place, tn_plan_ref *out_ref) {
    *out_ref = (tn_plan_ref){0};
    if (l->status != TN_OK) return false;
    lowered_tensor *base = lower_base(l, tensor);
    if (is_constant(base->tensor)) {
        out_ref->space = TN_SPACE_WEIGHT;
        return lower_weight(l, tn_tensor_weights(base->tensor), base->tensor->producer->name, place == TN_PLACE_HOST, false, &out_ref->id);
    }
    *out_ref = base->at[place];
    if (base->at[place].space == TN_SPACE_NONE) {
        l->status = tn_fail(l->diag, TN_INTERNAL, "tensor '%s' is not on the %s", tensor->name, place == TN_PLACE_HOST ? "host" : "device");
        return false;
    }
    return true;
}

bool lower_constant_tensor(lowering *l, tn_tensor *tensor, uint32_t place, tn_plan_ref *out_ref) {
    if (l->status != TN_OK) return false;
    lowered_tensor *lowered = &l->tensors[tensor->id];
    uint32_t space = place == TN_PLACE_HOST ? TN_SPACE_HOST : TN_SPACE_ACTIVATION, index = lowered->copies[place] - 1;
    if (lowered->copies[place] == 0) {
        const char *name = tn_arena_format(l->arena, "%s@%s", tensor->name, place == TN_PLACE_HOST ? "host" : "device");
        if (!lower_add_tensor(l, name, tensor, space, place, &index)) return false;
        lowered->copies[place] = index + 1;
    }
    *out_ref = (tn_plan_ref){.space = space, .id = index};
    return true;
}

/* --- steps ----------------------------------------------------------------------------------------------------------------------- */

tn_draft_step *lower_add_step(lowering *l, tn_step_kind kind, const char *name, uint32_t num_refs, uint32_t guard) {
    if (l->status != TN_OK) return NULL;
    tn_draft_step step = {.name = name, .record = {.kind = (uint32_t)kind, .device = 1, .num_refs = num_refs, .guard = guard}};
    step.refs = tn_arena_alloc_array(l->arena, num_refs, sizeof *step.refs);
    if (name != NULL && step.refs != NULL && tn_array_push(l->draft->allocator, &l->function->steps, step))
        return &l->function->steps.data[l->function->steps.count - 1];
    (void)lower_fail_memory(l);
    return NULL;
}

static bool ref_is_on_host(const lowering *l, const tn_plan_ref *ref) {
    if (ref->space == TN_SPACE_WEIGHT) return l->draft->weights.data[ref->id].is_host;
    return l->function->tensors.data[ref->id].place == TN_PLACE_HOST;
}

bool lower_transfer(lowering *l, const char *name, tn_plan_ref from, tn_plan_ref to, tn_sym size, uint32_t guard) {
    if (l->status != TN_OK) return false;
    bool from_host = ref_is_on_host(l, &from), to_host = ref_is_on_host(l, &to);
    bool reads = !from_host && to_host && to.space == TN_SPACE_HOST && from.space != TN_SPACE_WEIGHT && from.stride_symbol == 0;
    uint32_t size_symbol = reads || size == TN_SYM_INVALID ? 0 : lower_symbol_not_0(l, size);
    tn_draft_step *step = lower_add_step(l, reads ? TN_STEP_READ_SYMBOL : TN_STEP_COPY, name, 2, guard);
    if (step == NULL) return false;
    step->refs[0] = from;
    step->refs[1] = to;
    step->record.device = from_host && to_host ? 0 : 1;
    step->record.size_symbol = size_symbol;
    return true;
}

static const char *transfer_name(lowering *l, const tn_tensor *tensor, uint32_t place) {
    return tn_arena_format(l->arena, "%s to %s", tensor->name, place == TN_PLACE_HOST ? "host" : "device");
}

/* A constant's values as a tensor: copied from a plain weight. */
static bool copy_constant(lowering *l, tn_tensor *tensor, uint32_t place, tn_plan_ref to, uint32_t guard) {
    tn_plan_ref from = {.space = TN_SPACE_WEIGHT};
    tn_sym size = lower_byte_count(l, tensor->dtype, tensor->dims, tensor->rank);
    const tn_weights *weights = tn_tensor_weights(tensor);
    if (size == TN_SYM_INVALID || weights->desc.encoding.kind != TN_ENCODING_PLAIN || weights->desc.encoding.storage != tensor->dtype) {
        if (l->status == TN_OK)
            l->status =
                tn_fail_at(l->diag, TN_UNSUPPORTED, &(tn_where){.subject = tensor->name},
                           "cannot use constant '%s' as a tensor: it is not stored as %s", tensor->name, tn_dtype_name(tensor->dtype));
        return false;
    }
    if (!lower_weight(l, weights, tensor->producer->name, place == TN_PLACE_HOST, true, &from.id)) return false;
    return lower_transfer(l, transfer_name(l, tensor, place), from, to, size, guard);
}

bool lower_made(lowering *l, tn_tensor *tensor, uint32_t region) {
    if (l->status != TN_OK) return false;
    lowered_tensor *lowered = &l->tensors[tensor->id];
    uint32_t guard = lower_guard(l, region);
    if (is_constant(tensor)) {
        for (uint32_t place = 0; place < 2; place++) {
            if (lowered->copies[place] == 0) continue;
            tn_plan_ref to = {.space = place == TN_PLACE_HOST ? TN_SPACE_HOST : TN_SPACE_ACTIVATION, .id = lowered->copies[place] - 1};
            if (!copy_constant(l, tensor, place, to, guard)) return false;
        }
        return !tensor->is_output || copy_constant(l, tensor, lowered->home, lowered->at[lowered->home], guard);
    }
    uint32_t other = 1 - lowered->home;
    if (lowered->alias_of != NULL || !lowered->needs[other]) return true;
    return lower_transfer(l, transfer_name(l, tensor, other), lowered->at[lowered->home], lowered->at[other], TN_SYM_INVALID, guard);
}
