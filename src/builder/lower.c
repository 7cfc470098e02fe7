/* SPDX-License-Identifier: Apache-2.0
 *
 * lower.c: a network after passes becomes a function of the draft: one step a layer, but for constants, control flow and the
 * copies between the sides.
 */
#include "builder/lower.h"

#include <string.h>

#include "op/dtype.h"

enum { MAX_REFUSED_SHOWN = 3 };

/* --- what the device can do -------------------------------------------------------------------------------------------------- */

/* What its tactics said goes to `reasons` if none of them does it. */
static bool device_supports(const tn_device *device, const tn_problem *problem, tn_text *reasons) {
    for (size_t i = 0; i < device->backend->num_tactics; i++) {
        const tn_tactic *tactic = device->backend->tactics[i];
        if (tactic->op != problem->op) continue;
        char why[256] = "";
        if (tactic->supports(&device->info, problem, why, sizeof why)) return true;
        tn_text_append_format(reasons, "%s%s: %s", reasons->size > 0 ? "; " : "", tactic->name, why);
    }
    if (reasons->size == 0) tn_text_append_string(reasons, "it has none for this operation");
    return false;
}

/* The problem with every operand on the host; false if that cannot be. */
static bool host_supports(const lowered_layer *lowered) {
    for (uint32_t i = 0; i < lowered->problem.num_operands; i++) {
        if (lowered->operands[i].role == TN_ROLE_STATE) return false;
        lowered->operands[i].place = TN_PLACE_HOST;
    }
    char unused[256];
    return tn_ref_supports(&lowered->problem, unused, sizeof unused);
}

/* The first few of a kind in full, the rest by number (count_refused). */
static bool fail_layer(lowering *l, const tn_layer *layer, const char *reason) {
    bool could_host = !l->options->host_fallback;
    if (l->num_refused[layer->kind]++ >= MAX_REFUSED_SHOWN) return false;
    tn_where where = {.subject = layer->name, .hint = could_host ? "--fallback host runs such layers with the reference kernels" : NULL};
    (void)tn_fail_at(l->diag, TN_UNSUPPORTED, &where, "cannot build '%s': no kernel of %s does this %s (%s)", layer->name,
                     l->options->device->backend->name, tn_op_get_info(layer->kind)->name, reason);
    return false;
}

static void count_refused(const lowering *l) {
    for (int kind = 0; kind < TN_NUM_OP_KINDS; kind++)
        if (l->num_refused[kind] > MAX_REFUSED_SHOWN)
            (void)tn_fail(l->diag, TN_UNSUPPORTED, "cannot build %u more layers of kind %s on %s", l->num_refused[kind] - MAX_REFUSED_SHOWN,
                          tn_op_get_info((tn_op_kind)kind)->name, l->options->device->backend->name);
}

/* --- first pass: tensors and problems ------------------------------------------------------------------------------------------ */

static bool state_problem(lowering *l, tn_layer *layer, bool *out_supported) {
    lowered_layer *lowered = &l->layers[layer->id];
    tn_status status = tn_layer_make_problem(layer, l->arena, &lowered->problem, l->diag);
    if (status != TN_OK) {
        l->status = status;
        return false;
    }
    lowered->is_launch = true;
    lowered->operands = (tn_operand *)(uintptr_t)lowered->problem.operands; /* made by us, in our arena */
    lowered->problem.compute.batch_invariant = l->options->batch_invariant;
    if (tn_layer_is_on_host(layer)) return true;
    tn_text reasons = {.allocator = l->draft->allocator};
    bool is_supported = device_supports(l->options->device, &lowered->problem, &reasons);
    if (reasons.failed) {
        (void)lower_fail_memory(l);
    } else if (!is_supported) {
        lowered->is_hosted = l->options->host_fallback && host_supports(lowered);
        *out_supported = lowered->is_hosted || fail_layer(l, layer, reasons.data);
    }
    tn_text_deinit(&reasons);
    return l->status == TN_OK;
}

static bool declare_outputs(lowering *l, tn_layer *layer) {
    for (size_t i = 0; i < layer->outputs.count; i++) {
        tn_tensor *output = layer->outputs.data[i];
        if (output->state == NULL && !lower_declare(l, output, output->place)) return false;
    }
    return true;
}

static bool declare_needs(lowering *l, tn_layer *layer) {
    const lowered_layer *lowered = &l->layers[layer->id];
    for (uint32_t i = 0; i < lowered->problem.num_operands; i++) {
        bool is_output = i >= lowered->problem.num_inputs;
        tn_tensor *tensor = is_output ? layer->outputs.data[i - lowered->problem.num_inputs] : layer->inputs.data[i];
        if (tensor == NULL || (is_output && !lowered->is_hosted)) continue;
        if (is_output && tensor->place == TN_PLACE_DEVICE) { /* ref writes the host's twin, which is copied home */
            if (!lower_declare(l, tensor, TN_PLACE_HOST) || !lower_need(l, tensor, TN_PLACE_DEVICE)) return false;
        } else if (!is_output && !lower_need(l, tensor, lowered->operands[i].place)) {
            return false;
        }
    }
    return true;
}

static bool declare_layer(lowering *l, tn_layer *layer, bool *out_supported) {
    if (layer->kind == TN_OP_CONSTANT) {
        tn_tensor *tensor = layer->outputs.data[0];
        return !tensor->is_output || lower_declare(l, tensor, tensor->place);
    }
    if (lower_is_control(layer->kind)) return lower_declare_control(l, layer);
    if (layer->kind == TN_OP_IDENTITY) return declare_outputs(l, layer);
    bool supported = true;
    if (!state_problem(l, layer, &supported)) return false;
    *out_supported = *out_supported && supported;
    if (!supported) return true;
    return (l->layers[layer->id].is_hosted || declare_outputs(l, layer)) && declare_needs(l, layer);
}

static bool declare_all(lowering *l) {
    bool supported = true;
    if (!lower_declare_inputs(l)) return false;
    for (tn_layer *layer = l->network->first_layer; layer != NULL; layer = layer->next)
        if (!layer->is_dead && !declare_layer(l, layer, &supported)) return false;
    if (!supported) count_refused(l);
    if (!supported && l->status == TN_OK) l->status = TN_UNSUPPORTED;
    return l->status == TN_OK;
}

/* --- second pass: steps ---------------------------------------------------------------------------------------------------------- */

static bool add_launch(lowering *l, tn_layer *layer) {
    lowered_layer *lowered = &l->layers[layer->id];
    bool on_host = lowered->is_hosted || tn_layer_is_on_host(layer);
    uint32_t guard = lower_guard(l, layer->region);
    tn_draft_step *step = lower_add_step(l, TN_STEP_LAUNCH, layer->name, lowered->problem.num_operands, guard);
    if (step == NULL) return false;
    size_t index = l->function->steps.count - 1;
    step->has_problem = true;
    step->record.device = on_host ? 0 : 1;
    step->problem = lowered->problem;
    step->operands = lowered->operands;
    tn_plan_ref *refs = step->refs;
    for (uint32_t i = 0; i < lowered->problem.num_operands; i++) {
        bool is_output = i >= lowered->problem.num_inputs;
        tn_operand *operand = &lowered->operands[i];
        tn_tensor *tensor = is_output ? layer->outputs.data[i - lowered->problem.num_inputs] : layer->inputs.data[i];
        if (operand->absent) continue;
        if (!lower_ref(l, tensor, operand->place, &refs[i])) return false;
        for (int axis = 0; axis < operand->rank; axis++) operand->dims[axis] = lower_symbol(l, operand->dims[axis]);
        if (refs[i].space != TN_SPACE_WEIGHT) continue;
        tn_draft_weight *weight = &l->draft->weights.data[refs[i].id];
        tn_weight_reader reader = {l->function_index, (uint32_t)index, i};
        if (!tn_array_push(l->draft->allocator, &weight->readers, reader)) return lower_fail_memory(l);
    }
    for (size_t i = 0; i < layer->outputs.count; i++)
        if (layer->outputs.data[i]->state == NULL && !lower_made(l, layer->outputs.data[i], layer->region)) return false;
    return l->status == TN_OK;
}

static bool add_all(lowering *l) {
    for (size_t i = 0; i < l->network->inputs.count; i++)
        if (!lower_made(l, l->network->inputs.data[i], 0)) return false;
    for (tn_layer *layer = l->network->first_layer; layer != NULL; layer = layer->next) {
        if (layer->is_dead) continue;
        if (layer->kind == TN_OP_CONSTANT) {
            if (!lower_enter_region(l, layer) || !lower_made(l, layer->outputs.data[0], layer->region)) return false;
            continue;
        }
        if (!lower_enter_region(l, layer)) return false;
        bool is_copy = layer->kind == TN_OP_IDENTITY || lower_is_control(layer->kind);
        if (!(is_copy ? lower_control_step(l, layer) : add_launch(l, layer))) return false;
    }
    return lower_close_loops(l);
}

/* --- liveness -------------------------------------------------------------------------------------------------------------------- */

static void touch(tn_draft_function *f, const tn_plan_ref *ref, uint32_t step) {
    if (ref->space == TN_SPACE_NONE || ref->space == TN_SPACE_WEIGHT || ref->space == TN_SPACE_STATE) return;
    tn_draft_tensor *tensor = &f->tensors.data[ref->id];
    if (!tensor->is_used) tensor->first_step = step;
    tensor->last_step = step;
    tensor->is_used = true;
}

/* A tensor that lives across a loop's edge lives as long as the loop. Inner loops stand behind the outer ones' steps, so that
 * going backwards widens from the inside out. */
static void widen(tn_draft_function *f) {
    for (size_t i = f->steps.count; i-- > 0;) {
        if (f->steps.data[i].record.kind != TN_STEP_LOOP) continue;
        uint32_t begin = (uint32_t)i, end = f->steps.data[i].record.body_end - 1;
        for (size_t t = 0; t < f->tensors.count; t++) {
            tn_draft_tensor *tensor = &f->tensors.data[t];
            if (!tensor->is_used || tensor->last_step < begin || tensor->first_step > end) continue;
            if (tensor->first_step > begin && tensor->last_step <= end) continue;
            if (tensor->first_step > begin) tensor->first_step = begin;
            if (tensor->last_step < end) tensor->last_step = end;
        }
    }
}

static void set_liveness(lowering *l) {
    tn_draft_function *f = l->function;
    for (uint32_t i = 0; i < f->steps.count; i++)
        for (uint32_t j = 0; j < f->steps.data[i].record.num_refs; j++) touch(f, &f->steps.data[i].refs[j], i);
    for (size_t i = 0; i < l->network->regions.count; i++)
        if (l->regions[i].has_iteration && f->tensors.data[l->regions[i].iteration].flags != 0) {
            tn_draft_tensor *counter = &f->tensors.data[l->regions[i].iteration];
            counter->first_step = counter->last_step = l->regions[i].loop_step;
        }
    widen(f);
}

/* --- profiles and states ------------------------------------------------------------------------------------------------------------ */

static bool add_profiles(lowering *l, const tn_network_ranges *ranges) {
    tn_draft_function *f = l->function;
    f->num_profiles = ranges->num_profiles;
    for (uint32_t profile = 0; profile < ranges->num_profiles; profile++)
        for (size_t i = 0; i < ranges->num_inputs; i++) {
            const tn_tensor *input = l->network->inputs.data[i];
            for (int axis = 0; axis < input->rank; axis++) {
                if (tn_sym_is_const(l->network->symbols, input->dims[axis], NULL)) continue;
                tn_dim_range range = ranges->ranges[((size_t)profile * ranges->num_inputs + i) * TN_MAX_RANK + (size_t)axis];
                tn_plan_profile row = {.profile = profile,
                                       .tensor = (uint32_t)i,
                                       .axis = (uint32_t)axis,
                                       .min = range.min,
                                       .opt = range.opt,
                                       .max = range.max};
                if (!tn_array_push(l->draft->allocator, &f->profiles, row)) return lower_fail_memory(l);
            }
            const tn_profile_entry *values = ranges->values[(size_t)profile * ranges->num_inputs + i];
            for (int k = 0; values != NULL && k < values->num_values; k++) {
                tn_plan_profile row = {.profile = profile,
                                       .tensor = (uint32_t)i,
                                       .axis = TN_PROFILE_VALUES + (uint32_t)k,
                                       .min = values->values[k],
                                       .opt = values->values[values->num_values + k],
                                       .max = values->values[2 * values->num_values + k]};
                if (!tn_array_push(l->draft->allocator, &f->profiles, row)) return lower_fail_memory(l);
            }
        }
    return l->status == TN_OK;
}

static bool geometry_is_equal(const tn_network_state *a, const tn_network_state *b) {
    return strcmp(a->kind, b->kind) == 0 && a->kv.num_layers == b->kv.num_layers && a->kv.num_kv_heads == b->kv.num_kv_heads &&
           a->kv.k_dim == b->kv.k_dim && a->kv.v_dim == b->kv.v_dim && a->kv.tokens_per_block == b->kv.tokens_per_block &&
           a->kv.dtype == b->kv.dtype && a->vocab_size == b->vocab_size && a->max_seq_len == b->max_seq_len;
}

/* States of one name are one state of the plan. */
static bool merge_state(lowering *l, const tn_network_state *state, uint32_t *out_index) {
    for (size_t i = 0; i < l->draft->states.count; i++) {
        tn_network_state *known = &l->draft->states.data[i];
        if (strcmp(known->name, state->name) != 0) continue;
        if (!geometry_is_equal(known, state)) {
            l->status = tn_fail_at(l->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = state->name},
                                   "cannot build function '%s': its state '%s' differs from that of another function", l->network->name,
                                   state->name);
            return false;
        }
        known->window = known->window == 0 || state->window == 0 ? 0 : known->window > state->window ? known->window : state->window;
        if (state->sink_tokens > known->sink_tokens) known->sink_tokens = state->sink_tokens;
        *out_index = (uint32_t)i;
        return true;
    }
    tn_network_state copy = *state;
    copy.tensor = copy.last = NULL;
    *out_index = (uint32_t)l->draft->states.count;
    return tn_array_push(l->draft->allocator, &l->draft->states, copy) || lower_fail_memory(l);
}

static bool add_states(lowering *l) {
    for (size_t i = 0; i < l->network->states.count; i++) {
        const tn_network_state *state = &l->network->states.data[i];
        uint32_t index;
        if (!merge_state(l, state, &index)) return false;
        for (size_t t = 0; t < l->network->tensors.count; t++) {
            const tn_tensor *tensor = l->network->tensors.data[t];
            if (tensor->state == NULL || strcmp(tensor->state, state->name) != 0) continue;
            l->tensors[tensor->id].home = TN_PLACE_DEVICE;
            l->tensors[tensor->id].at[TN_PLACE_DEVICE] = (tn_plan_ref){.space = TN_SPACE_STATE, .id = index};
        }
    }
    return true;
}

/* --- entry --------------------------------------------------------------------------------------------------------------------------- */

static bool start(lowering *l) {
    tn_network *network = l->network;
    size_t num_regions = network->regions.count;
    l->num_ids = network->next_id;
    l->tensors = tn_arena_alloc_array(l->arena, l->num_ids, sizeof *l->tensors);
    l->layers = tn_arena_alloc_array(l->arena, l->num_ids, sizeof *l->layers);
    l->regions = tn_arena_alloc_array(l->arena, num_regions, sizeof *l->regions);
    if (l->tensors == NULL || l->layers == NULL || l->regions == NULL) return lower_fail_memory(l);
    for (size_t i = 0; i < num_regions; i++) l->regions[i] = (lowered_region){.condition = TN_SYM_INVALID, .count = TN_SYM_INVALID};
    for (size_t i = 0; i < network->tensors.count; i++) l->tensors[network->tensors.data[i]->id].tensor = network->tensors.data[i];
    l->function->name = network->name;
    (void)lower_symbol(l, TN_SYM_ONE); /* number 0 */
    return l->status == TN_OK;
}

static bool refuse_reserved(lowering *l) {
    for (const tn_layer *layer = l->network->first_layer; layer != NULL; layer = layer->next) {
        if (layer->is_dead || !tn_op_is_reserved(layer->kind)) continue;
        l->status =
            tn_fail_at(l->diag, TN_UNSUPPORTED, &(tn_where){.subject = layer->name},
                       "cannot build '%s': operation %s is not built in this version", layer->name, tn_op_get_info(layer->kind)->name);
    }
    return l->status == TN_OK;
}

tn_status tn_lower_network(tn_draft *draft, tn_network *network, const tn_network_ranges *ranges, const tn_lower_options *options) {
    lowering l = {.draft = draft, .network = network, .options = options, .arena = &draft->arena, .diag = draft->diag};
    l.function_index = (uint32_t)draft->functions.count;
    if (!tn_array_push(draft->allocator, &draft->functions, ((tn_draft_function){.num_profiles = 1})))
        return tn_fail_memory(draft->diag, "lowering a network", sizeof(tn_draft_function));
    l.function = &draft->functions.data[l.function_index];
    if (refuse_reserved(&l) && start(&l) && add_states(&l) && declare_all(&l) && add_profiles(&l, ranges) && add_all(&l)) set_liveness(&l);
    tn_array_deinit(draft->allocator, &l.symbols);
    tn_array_deinit(draft->allocator, &l.open_loops);
    if (l.status == TN_OK && network->out_of_memory) l.status = TN_OUT_OF_MEMORY;
    return l.status;
}
