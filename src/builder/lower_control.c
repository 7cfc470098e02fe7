/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_control.c: Ifs and Loops.
 *
 * If      The steps of a branch are guarded by its condition; an output is one COPY for each branch.
 * Loop    initial → recurrence, LOOP, body, values of joined outputs, next → recurrence. A count is a symbol. A condition that is
 *         made of recurrences and outer values is a symbol, too, and is checked before each round. A condition that the body
 *         computes is carried in its own tensor, true at first: the round in which it turns false still runs its steps up to it,
 *         but changes no recurrence and joins no value.
 */
#include "builder/lower.h"

bool lower_is_control(tn_op_kind kind) {
    switch (kind) {
    case TN_OP_CONDITION:
    case TN_OP_CONDITION_INPUT:
    case TN_OP_CONDITION_OUTPUT:
    case TN_OP_TRIP_LIMIT:
    case TN_OP_RECURRENCE:
    case TN_OP_ITERATOR:
    case TN_OP_LOOP_OUTPUT: return true;
    default: return false;
    }
}

static bool region_is_inside(const lowering *l, uint32_t region, uint32_t outer) {
    while (region != outer && region != 0) region = l->network->regions.data[region].parent;
    return region == outer;
}

static tn_sym logical_and(lowering *l, tn_sym a, tn_sym b) {
    if (a == TN_SYM_ONE) return b;
    tn_symbols *symbols = l->network->symbols;
    return tn_sym_select(symbols, a, b, tn_sym_const(symbols, 0)); /* b may be unknown where a is 0 */
}

static tn_sym region_guard(lowering *l, uint32_t region) {
    if (region == 0) return TN_SYM_ONE;
    const tn_region *r = &l->network->regions.data[region];
    tn_symbols *symbols = l->network->symbols;
    if (r->is_loop) return l->regions[region].is_guarded ? l->regions[region].condition : TN_SYM_ONE;
    tn_sym condition = l->regions[r->is_else ? region - 1 : region].condition;
    if (r->is_else) condition = tn_sym_binary(symbols, TN_SYM_EQUAL, condition, tn_sym_const(symbols, 0));
    return logical_and(l, region_guard(l, r->parent), condition);
}

uint32_t lower_guard(lowering *l, uint32_t region) {
    return l->status == TN_OK ? lower_symbol(l, region_guard(l, region)) : 0;
}

/* --- declaring ------------------------------------------------------------------------------------------------------------- */

static bool fail_unsupported(lowering *l, const tn_layer *layer, const char *what) {
    if (l->status == TN_OK)
        l->status = tn_fail_at(l->diag, TN_UNSUPPORTED, &(tn_where){.subject = layer->name}, "cannot build '%s': %s", layer->name, what);
    return false;
}

/* Does the symbol read a tensor that the loop's body makes anew each round (not a recurrence of it)? */
static bool reads_body(const lowering *l, tn_sym sym, uint32_t loop) {
    size_t count;
    tn_sym_node node = tn_symbols_nodes(l->network->symbols, &count)[tn_sym_canonical(l->network->symbols, sym)];
    if (node.op == TN_SYM_CONST || node.op == TN_SYM_INPUT_DIM) return false;
    if (node.op == TN_SYM_HOST_VALUE) {
        const tn_tensor *tensor = node.a < l->num_ids ? l->tensors[node.a].tensor : NULL;
        if (tensor == NULL || tensor->producer == NULL || !region_is_inside(l, tensor->producer->region, loop)) return false;
        return tensor->producer->kind != TN_OP_RECURRENCE || tensor->producer->params.recurrence.construct != loop;
    }
    return reads_body(l, node.a, loop) || reads_body(l, node.b, loop) || (node.op == TN_SYM_SELECT && reads_body(l, node.c, loop));
}

static bool declare_condition(lowering *l, tn_layer *layer) {
    tn_tensor *tensor = layer->inputs.data[0];
    if (tensor->host_syms == NULL) return fail_unsupported(l, layer, "its condition is not known on the host");
    l->regions[layer->params.condition.construct].condition = tensor->host_syms[0];
    (void)lower_symbol(l, tensor->host_syms[0]);
    return l->status == TN_OK;
}

static bool declare_trip_limit(lowering *l, tn_layer *layer) {
    tn_tensor *tensor = layer->inputs.data[0];
    uint32_t loop = (uint32_t)layer->params.trip_limit.construct;
    lowered_region *region = &l->regions[loop];
    if (tensor->host_syms == NULL) return fail_unsupported(l, layer, "its count or condition is not known on the host");
    if (!layer->params.trip_limit.is_while) {
        region->count = tensor->host_syms[0];
        (void)lower_symbol(l, region->count);
        return l->status == TN_OK;
    }
    region->condition = tensor->host_syms[0];
    if (reads_body(l, region->condition, loop)) {
        region->carrier = tensor;
        region->condition = tn_sym_host_value(l->network->symbols, tensor->id, 0);
    }
    (void)lower_symbol(l, region->condition);
    return l->status == TN_OK;
}

/* The number of the loop's round, as a symbol. */
static tn_sym iteration_symbol(lowering *l, uint32_t loop) {
    lowered_region *region = &l->regions[loop];
    if (!region->has_iteration) {
        tn_draft_tensor counter = {
            .role = "", .dtype = TN_INT64, .space = TN_SPACE_HOST, .place = TN_PLACE_HOST, .flags = TN_TENSOR_ITERATION};
        counter.name = tn_arena_format(l->arena, "loop_%u.round", loop);
        region->iteration = (uint32_t)l->function->tensors.count;
        if (counter.name == NULL || !tn_array_push(l->draft->allocator, &l->function->tensors, counter)) {
            (void)lower_fail_memory(l);
            return TN_SYM_ONE;
        }
        region->has_iteration = true;
    }
    return tn_sym_host_value(l->network->symbols, l->num_ids + loop, 0);
}

/* Slices along an axis lie in one piece if nothing but 1 stands before it. */
static bool axis_is_outermost(const lowering *l, const tn_tensor *tensor, int64_t axis) {
    for (int64_t i = 0; i < axis; i++) {
        int64_t dim;
        if (!tn_sym_is_const(l->network->symbols, tensor->dims[i], &dim) || dim != 1) return false;
    }
    return true;
}

/* The ref of slice `round` of a whole tensor. */
static bool slice_ref(lowering *l, const tn_layer *layer, tn_plan_ref whole, const tn_tensor *slice, uint32_t loop, bool reverse,
                      tn_plan_ref *out_ref) {
    tn_symbols *symbols = l->network->symbols;
    tn_sym stride = lower_byte_count(l, slice->dtype, slice->dims, slice->rank), index = iteration_symbol(l, loop);
    if (stride == TN_SYM_INVALID) return fail_unsupported(l, layer, "its elements are smaller than a byte");
    if (reverse) {
        if (l->regions[loop].count == TN_SYM_INVALID) return fail_unsupported(l, layer, "a loop without a count has no last element");
        tn_sym last = tn_sym_binary(symbols, TN_SYM_SUB, l->regions[loop].count, TN_SYM_ONE);
        index = tn_sym_binary(symbols, TN_SYM_SUB, last, index);
    }
    *out_ref = whole;
    out_ref->index_symbol = lower_symbol(l, index);
    out_ref->stride_symbol = lower_symbol_not_0(l, stride);
    return l->status == TN_OK;
}

/* An iterator's whole tensor on a side: moving refs go into tensors only. */
static bool need_whole(lowering *l, tn_tensor *whole, uint32_t place) {
    tn_plan_ref unused;
    if (tn_tensor_weights(lower_base(l, whole)->tensor) != NULL)
        return lower_constant_tensor(l, lower_base(l, whole)->tensor, place, &unused);
    return lower_need(l, whole, place);
}

static bool ref_of_whole(lowering *l, tn_tensor *whole, uint32_t place, tn_plan_ref *out_ref) {
    tn_tensor *base = lower_base(l, whole)->tensor;
    return tn_tensor_weights(base) != NULL ? lower_constant_tensor(l, base, place, out_ref) : lower_ref(l, whole, place, out_ref);
}

static bool declare_iterator(lowering *l, tn_layer *layer) {
    tn_tensor *whole = layer->inputs.data[0], *slice = layer->outputs.data[0];
    if (!axis_is_outermost(l, whole, layer->params.iterator.axis))
        return fail_unsupported(l, layer, "a loop can take slices along the outermost dimension only; transpose it first");
    return need_whole(l, whole, slice->place) && lower_declare(l, slice, slice->place);
}

static void make_alias(lowering *l, tn_tensor *tensor, tn_tensor *of) {
    l->tensors[tensor->id].alias_of = of;
}

static bool can_be_alias(const tn_tensor *tensor, const tn_tensor *of) {
    return !tensor->is_output && !tensor->is_debug && tensor->place == of->place && tn_tensor_weights(of) == NULL;
}

static bool declare_output(lowering *l, tn_tensor *output, tn_tensor *from) {
    if (output->state != NULL) return true; /* a state is where it is */
    if (from != NULL && can_be_alias(output, from)) {
        make_alias(l, output, from);
        return true;
    }
    return lower_declare(l, output, output->place);
}

bool lower_declare_control(lowering *l, tn_layer *layer) {
    tn_tensor *first = layer->inputs.data[0], *output = layer->outputs.count > 0 ? layer->outputs.data[0] : NULL;
    switch (layer->kind) {
    case TN_OP_CONDITION: return declare_condition(l, layer);
    case TN_OP_TRIP_LIMIT: return declare_trip_limit(l, layer);
    case TN_OP_ITERATOR: return declare_iterator(l, layer);
    case TN_OP_CONDITION_INPUT: return declare_output(l, output, first);
    case TN_OP_LOOP_OUTPUT:
        if (!layer->params.loop_output.concatenate) return declare_output(l, output, first);
        if (!axis_is_outermost(l, output, layer->params.loop_output.axis))
            return fail_unsupported(l, layer, "a loop can join values along the outermost dimension only; transpose the result");
        (void)iteration_symbol(l, (uint32_t)layer->params.loop_output.construct);
        return declare_output(l, output, NULL);
    default: return declare_output(l, output, NULL);
    }
}

/* --- steps -------------------------------------------------------------------------------------------------------------------- */

/* From wherever a tensor is at home to `to`. */
static bool copy_tensor(lowering *l, const char *name, tn_tensor *from, tn_plan_ref to, uint32_t guard) {
    lowered_tensor *base = lower_base(l, from);
    const tn_weights *weights = tn_tensor_weights(base->tensor);
    tn_plan_ref ref;
    if (weights == NULL) return lower_ref(l, from, base->home, &ref) && lower_transfer(l, name, ref, to, TN_SYM_INVALID, guard);
    uint32_t place = l->function->tensors.data[to.id].place;
    ref = (tn_plan_ref){.space = TN_SPACE_WEIGHT};
    tn_sym size = lower_byte_count(l, from->dtype, from->dims, from->rank);
    return lower_weight(l, weights, base->tensor->producer->name, place == TN_PLACE_HOST, true, &ref.id) &&
           lower_transfer(l, name, ref, to, size, guard);
}

static const char *part_name(lowering *l, const tn_layer *layer, const char *part) {
    return tn_arena_format(l->arena, "%s %s", layer->name, part);
}

static tn_plan_ref home_ref(lowering *l, tn_tensor *tensor) {
    lowered_tensor *base = lower_base(l, tensor);
    return base->at[base->home];
}

static bool is_of_loop(const tn_layer *layer, tn_op_kind kind, uint32_t loop) {
    if (layer->is_dead || layer->kind != kind) return false;
    return (kind == TN_OP_RECURRENCE ? layer->params.recurrence.construct : layer->params.loop_output.construct) == (int64_t)loop;
}

static bool start_carrier(lowering *l, tn_tensor *carrier, uint32_t guard) {
    static const uint8_t is_true[1] = {1};
    tn_weight_desc desc = {.dtype = TN_BOOL, .encoding = tn_encoding_plain(TN_BOOL), .dims = TN_SCALAR};
    const tn_weights *weights = tn_weights_value(l->arena, &desc, &(tn_weight_parts){.part = {is_true}}, NULL, l->diag);
    tn_plan_ref from = {.space = TN_SPACE_WEIGHT}, to = {.space = TN_SPACE_HOST};
    if (weights == NULL) return lower_fail_memory(l);
    if (!lower_weight(l, weights, "true", true, true, &from.id) || !lower_host_value_tensor(l, carrier->id, &to.id)) return false;
    return lower_transfer(l, tn_arena_format(l->arena, "%s starts", carrier->name), from, to, tn_sym_const(l->network->symbols, 1), guard);
}

static bool open_loop(lowering *l, uint32_t loop) {
    lowered_region *region = &l->regions[loop];
    uint32_t guard = lower_guard(l, l->network->regions.data[loop].parent);
    if (region->was_closed) {
        if (l->status == TN_OK) l->status = tn_fail(l->diag, TN_INTERNAL, "the layers of loop %u do not stand together", loop);
        return false;
    }
    for (tn_layer *layer = l->network->first_layer; layer != NULL; layer = layer->next)
        if (is_of_loop(layer, TN_OP_RECURRENCE, loop) &&
            (!copy_tensor(l, part_name(l, layer, "starts"), layer->inputs.data[0], home_ref(l, layer->outputs.data[0]), guard) ||
             !lower_made(l, layer->outputs.data[0], l->network->regions.data[loop].parent)))
            return false;
    if (region->carrier != NULL && !start_carrier(l, region->carrier, guard)) return false;
    uint32_t count = region->count != TN_SYM_INVALID ? lower_symbol(l, region->count) : 0;
    uint32_t condition = region->condition != TN_SYM_INVALID ? lower_symbol_not_0(l, region->condition) : 0;
    if (count == 0 && condition != 0 && region->count != TN_SYM_INVALID) count = lower_symbol_not_0(l, region->count); /* once at most */
    region->loop_step = (uint32_t)l->function->steps.count;
    tn_draft_step *step = lower_add_step(l, TN_STEP_LOOP, tn_arena_format(l->arena, "loop_%u", loop), 0, guard);
    if (step == NULL) return false;
    step->record.device = 0;
    step->record.count = count;
    step->record.condition = condition;
    return tn_array_push(l->draft->allocator, &l->open_loops, loop) || lower_fail_memory(l);
}

static bool join_values(lowering *l, uint32_t loop, uint32_t guard) {
    for (tn_layer *layer = l->network->first_layer; layer != NULL; layer = layer->next) {
        if (!is_of_loop(layer, TN_OP_LOOP_OUTPUT, loop) || !layer->params.loop_output.concatenate) continue;
        tn_tensor *value = layer->inputs.data[0], *whole = layer->outputs.data[0];
        tn_plan_ref to;
        if (!slice_ref(l, layer, home_ref(l, whole), value, loop, layer->params.loop_output.reverse, &to) ||
            !copy_tensor(l, part_name(l, layer, "joins"), value, to, guard))
            return false;
    }
    return true;
}

/* Is the next value another recurrence of the loop, which may have been overwritten by then? */
static bool next_is_recurrence(lowering *l, const tn_layer *layer, uint32_t loop) {
    const tn_tensor *next = lower_base(l, layer->inputs.data[1])->tensor;
    return next != layer->outputs.data[0] && next->producer != NULL && is_of_loop(next->producer, TN_OP_RECURRENCE, loop);
}

static bool carry_values(lowering *l, uint32_t loop, uint32_t guard) {
    TN_ARRAY(tn_plan_ref) kept = {0};
    bool good = true;
    for (tn_layer *layer = l->network->first_layer; layer != NULL && good; layer = layer->next) {
        if (!is_of_loop(layer, TN_OP_RECURRENCE, loop) || layer->inputs.count < 2 || !next_is_recurrence(l, layer, loop)) continue;
        tn_tensor *value = layer->outputs.data[0];
        tn_plan_ref to = {.space = value->place == TN_PLACE_HOST ? TN_SPACE_HOST : TN_SPACE_ACTIVATION};
        good = lower_add_tensor(l, part_name(l, layer, "next"), value, to.space, value->place, &to.id) &&
               copy_tensor(l, part_name(l, layer, "keeps"), layer->inputs.data[1], to, guard) &&
               (tn_array_push(l->draft->allocator, &kept, to) || lower_fail_memory(l));
    }
    size_t next_kept = 0;
    for (tn_layer *layer = l->network->first_layer; layer != NULL && good; layer = layer->next) {
        if (!is_of_loop(layer, TN_OP_RECURRENCE, loop) || layer->inputs.count < 2) continue;
        tn_tensor *value = layer->outputs.data[0];
        if (lower_base(l, layer->inputs.data[1])->tensor == value) continue;
        if (next_is_recurrence(l, layer, loop))
            good = lower_transfer(l, part_name(l, layer, "goes on"), kept.data[next_kept++], home_ref(l, value), TN_SYM_INVALID, guard);
        else
            good = copy_tensor(l, part_name(l, layer, "goes on"), layer->inputs.data[1], home_ref(l, value), guard);
        good = good && lower_made(l, value, loop);
    }
    tn_array_deinit(l->draft->allocator, &kept);
    return good;
}

static bool close_loop(lowering *l) {
    uint32_t loop = l->open_loops.data[--l->open_loops.count];
    lowered_region *region = &l->regions[loop];
    region->is_guarded = region->carrier != NULL;
    uint32_t guard = lower_guard(l, loop);
    if (!join_values(l, loop, guard) || !carry_values(l, loop, guard)) return false;
    region->was_closed = true;
    region->is_guarded = false;
    if (l->function->steps.count == region->loop_step + 1) { /* a body of nothing */
        l->function->steps.count--;
        if (region->has_iteration) l->function->tensors.data[region->iteration].flags = 0;
        return true;
    }
    l->function->steps.data[region->loop_step].record.body_end = (uint32_t)l->function->steps.count;
    return true;
}

bool lower_close_loops(lowering *l) {
    while (l->open_loops.count > 0)
        if (!close_loop(l)) return false;
    return true;
}

/* Opens the loops around `region` that are not open yet, the outermost first. */
static bool open_loops_of(lowering *l, uint32_t region) {
    if (region == 0) return true;
    if (!open_loops_of(l, l->network->regions.data[region].parent)) return false;
    if (!l->network->regions.data[region].is_loop) return true;
    for (size_t i = 0; i < l->open_loops.count; i++)
        if (l->open_loops.data[i] == region) return true;
    return open_loop(l, region);
}

bool lower_enter_region(lowering *l, const tn_layer *layer) {
    while (l->open_loops.count > 0 && !region_is_inside(l, layer->region, l->open_loops.data[l->open_loops.count - 1]))
        if (!close_loop(l)) return false;
    return open_loops_of(l, layer->region);
}

static bool copy_slice(lowering *l, tn_layer *layer) {
    tn_tensor *slice = layer->outputs.data[0];
    uint32_t loop = (uint32_t)layer->params.iterator.construct;
    tn_plan_ref whole, from;
    if (!ref_of_whole(l, layer->inputs.data[0], slice->place, &whole) ||
        !slice_ref(l, layer, whole, slice, loop, layer->params.iterator.reverse, &from))
        return false;
    tn_sym size = lower_byte_count(l, slice->dtype, slice->dims, slice->rank);
    return lower_transfer(l, layer->name, from, home_ref(l, slice), size, lower_guard(l, layer->region));
}

static bool copy_branches(lowering *l, tn_layer *layer) {
    uint32_t if_true = (uint32_t)layer->params.condition_output.construct;
    tn_plan_ref to = home_ref(l, layer->outputs.data[0]);
    return copy_tensor(l, part_name(l, layer, "if true"), layer->inputs.data[0], to, lower_guard(l, if_true)) &&
           copy_tensor(l, part_name(l, layer, "if false"), layer->inputs.data[1], to, lower_guard(l, if_true + 1));
}

bool lower_control_step(lowering *l, tn_layer *layer) {
    if (layer->outputs.count == 0) {
        if (layer->kind == TN_OP_TRIP_LIMIT && layer->params.trip_limit.is_while) {
            lowered_region *region = &l->regions[layer->params.trip_limit.construct];
            region->is_guarded = region->carrier != NULL;
        }
        return l->status == TN_OK;
    }
    tn_tensor *output = layer->outputs.data[0];
    if (l->tensors[output->id].alias_of != NULL || output->state != NULL) return l->status == TN_OK;
    bool good = true;
    switch (layer->kind) {
    case TN_OP_CONDITION_OUTPUT: good = copy_branches(l, layer); break;
    case TN_OP_ITERATOR: good = copy_slice(l, layer); break;
    case TN_OP_RECURRENCE: return true; /* copied before the loop and at the end of each round */
    case TN_OP_LOOP_OUTPUT:
        if (!layer->params.loop_output.concatenate)
            good = copy_tensor(l, layer->name, layer->inputs.data[0], home_ref(l, output), lower_guard(l, layer->region));
        break;
    default: good = copy_tensor(l, layer->name, layer->inputs.data[0], home_ref(l, output), lower_guard(l, layer->region)); break;
    }
    return good && lower_made(l, output, layer->region);
}
