/* SPDX-License-Identifier: Apache-2.0
 *
 * prepare.c: launches, buffers and the program for the shapes and addresses at hand; made once, found again afterwards.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "runtime/context.h"
#include "runtime/problem_check.h"
#include "runtime/state_set.h"

enum { MAX_SIBLINGS = 4 }; /* entries of the same shapes */

/* --- waiting ------------------------------------------------------------------------------------------------------------------ */

tn_status tn_prepared_wait(tn_context *context, tn_prepared *prepared) {
    if (!prepared->is_in_flight) return TN_OK;
    prepared->is_in_flight = false;
    return prepared->event != NULL ? context->backend->event_wait(prepared->event, context->diag) : TN_OK;
}

tn_status tn_context_wait(tn_context *context) {
    tn_status status = TN_OK;
    for (int i = 0; i < TN_MAX_PREPARED; i++) {
        tn_status waited = tn_prepared_wait(context, &context->prepared[i]);
        if (status == TN_OK) status = waited;
    }
    return status;
}

/* --- entries -------------------------------------------------------------------------------------------------------------------- */

void tn_prepared_destroy(tn_context *context, tn_prepared *prepared) {
    const tn_allocator *allocator = context->allocator;
    if (prepared->event != NULL) context->backend->event_destroy(prepared->event);
    tn_weight_set_release(prepared->weights);
    tn_memory_layout_destroy(context, &prepared->layout);
    tn_free(allocator, prepared->leaves);
    tn_free(allocator, prepared->addresses);
    tn_free(allocator, prepared->values);
    tn_free(allocator, prepared->launches);
    tn_free(allocator, prepared->tactics);
    tn_free(allocator, prepared->buffers);
    tn_free(allocator, prepared->bound);
    tn_free(allocator, prepared->bound_steps);
    tn_free(allocator, prepared->program);
    *prepared = (tn_prepared){0};
}

static tn_status create_entry(tn_context *context, tn_prepared *prepared) {
    const tn_function *function = context->function;
    const tn_allocator *allocator = context->allocator;
    size_t num_steps = function->num_steps;
    *prepared = (tn_prepared){.leaves = tn_alloc_array(allocator, function->num_leaves, sizeof(int64_t)),
                              .addresses = tn_alloc_array(allocator, function->num_io, sizeof(void *)),
                              .values = tn_alloc_array(allocator, function->num_symbols, sizeof(int64_t)),
                              .launches = tn_alloc_array(allocator, num_steps, sizeof(tn_launch)),
                              .tactics = tn_alloc_array(allocator, num_steps, sizeof(tn_tactic *)),
                              .buffers = tn_alloc_array(allocator, function->num_buffers, sizeof(void *)),
                              .bound = tn_alloc_array(allocator, num_steps, sizeof(tn_bound_step)),
                              .bound_steps = tn_alloc_array(allocator, num_steps, sizeof(uint32_t)),
                              .program = tn_alloc_array(allocator, 2 * num_steps, sizeof(tn_program_item))};
    tn_status status = tn_memory_layout_create(context, &prepared->layout);
    bool complete = prepared->leaves != NULL && prepared->addresses != NULL && prepared->values != NULL && prepared->launches != NULL &&
                    prepared->tactics != NULL && prepared->buffers != NULL && prepared->bound != NULL && prepared->bound_steps != NULL &&
                    prepared->program != NULL;
    if (status == TN_OK && !complete) status = tn_fail_memory(context->diag, "a prepared function", num_steps * sizeof(tn_launch));
    if (status == TN_OK && context->backend->event_create != NULL)
        status = context->backend->event_create(context->engine->device, context->diag, &prepared->event);
    if (status != TN_OK) tn_prepared_destroy(context, prepared);
    return status;
}

static bool has_leaves(const tn_context *context, const tn_prepared *prepared) {
    return prepared->is_used && memcmp(prepared->leaves, context->leaves, context->function->num_leaves * sizeof(int64_t)) == 0;
}

/* Was it bound to weights, states or memory that are no longer the present ones? */
static bool is_stale(const tn_context *context, const tn_prepared *prepared, unsigned weights_generation) {
    return !prepared->is_bound || prepared->weights_generation != weights_generation || prepared->states_serial != context->states_serial ||
           prepared->memory_generation != context->memory_generation || prepared->program_generation != context->program_generation;
}

static bool is_current(const tn_context *context, const tn_prepared *prepared, unsigned weights_generation) {
    if (is_stale(context, prepared, weights_generation)) return false;
    for (uint32_t i = 0; i < context->function->num_io; i++)
        if (prepared->addresses[i] != context->io[i].address) return false;
    return true;
}

/* A caller that alternates between a few sets of addresses gets an entry for each; one that always gives new ones has its oldest
 * entry bound again. *out_sibling: an entry of the same shapes, whose launches can be copied; or NULL. */
static tn_status take_entry(tn_context *context, unsigned weights_generation, tn_prepared **out_prepared, const tn_prepared **out_sibling) {
    tn_prepared *oldest = NULL, *oldest_sibling = NULL, *unused = NULL, *stale = NULL;
    int num_siblings = 0;
    *out_sibling = NULL;
    for (int i = 0; i < TN_MAX_PREPARED; i++) {
        tn_prepared *prepared = &context->prepared[i];
        if (prepared->leaves == NULL) {
            if (unused == NULL) unused = prepared;
            continue;
        }
        if (oldest == NULL || prepared->last_use < oldest->last_use) oldest = prepared;
        if (!has_leaves(context, prepared)) continue;
        num_siblings++;
        *out_sibling = prepared;
        if (oldest_sibling == NULL || prepared->last_use < oldest_sibling->last_use) oldest_sibling = prepared;
        if (stale == NULL && is_stale(context, prepared, weights_generation)) stale = prepared;
    }
    if (stale == NULL && unused != NULL && num_siblings < MAX_SIBLINGS) {
        *out_prepared = unused;
        return create_entry(context, unused);
    }
    *out_prepared = stale != NULL ? stale : oldest_sibling != NULL ? oldest_sibling : oldest;
    return tn_prepared_wait(context, *out_prepared);
}

/* --- one step ---------------------------------------------------------------------------------------------------------------------- */

static tn_status fail_step(const tn_context *context, tn_status code, const tn_function_step *step, const char *what) {
    const char *name = tn_engine_string(context->engine, step->record->name);
    tn_where where = {.subject = name, .file = tn_plan_path(context->engine->plan)};
    return tn_fail_at(context->diag, code, &where, "cannot run function '%s': step '%s' %s", context->function->name, name, what);
}

/* Kernels trust the shapes that they are given. A size that the step itself finds out (NonZero) is not known yet. */
tn_status tn_prepared_check(const tn_context *context, const tn_prepared *prepared, uint32_t index) {
    const tn_function_step *step = &context->function->steps[index];
    const tn_problem *problem = &step->problem;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        const tn_operand *operand = &problem->operands[i];
        if (operand->role == TN_ROLE_STATE || (tn_op_counts_output(problem->op) && i == problem->num_inputs)) continue;
        for (int k = 0; k < operand->rank; k++)
            if (prepared->values[operand->dims[k]] == TN_SYM_UNKNOWN)
                return fail_step(context, TN_INVALID_DATA, step, "needs a value that is not known yet");
    }
    return tn_problem_fits(problem, prepared->values)
               ? TN_OK
               : fail_step(context, TN_INVALID_DATA, step, "has operands whose shapes do not fit its operation");
}

tn_status tn_prepared_launch(tn_context *context, tn_prepared *prepared, uint32_t index) {
    const tn_function_step *step = &context->function->steps[index];
    const tn_tactic *tactic;
    if (tn_step_find_variant(context, step, prepared->values, &tactic) == NULL)
        return fail_step(context, TN_INVALID_DATA, step, "has no variant for these dimensions");
    tn_status status = tn_prepared_check(context, prepared, index);
    if (status != TN_OK) return status;
    tn_launch *launch = &prepared->launches[index];
    *launch = (tn_launch){0};
    prepared->tactics[index] = tactic;
    status = tactic->prepare(&context->engine->device->info, &step->problem, prepared->values, launch);
    return status == TN_OK ? TN_OK : fail_step(context, status, step, "could not be prepared");
}

static tn_status resolve_offset(const tn_context *context, const tn_prepared *prepared, const tn_plan_ref *ref, size_t room,
                                size_t *out_offset) {
    int64_t offset = (int64_t)ref->offset;
    if (ref->stride_symbol != 0) {
        int64_t index = prepared->values[ref->index_symbol], stride = prepared->values[ref->stride_symbol], part;
        if (index == TN_SYM_UNKNOWN || stride == TN_SYM_UNKNOWN || !tn_mul_i64(index, stride, &part) || !tn_add_i64(offset, part, &offset))
            offset = -1;
    }
    if (offset < 0 || (uint64_t)offset > room)
        return tn_fail(context->diag, TN_INVALID_DATA, "cannot run function '%s': a step reaches beyond tensor '%s' (%zu bytes)",
                       context->function->name, tn_engine_string(context->engine, context->function->tensors[ref->id].name), room);
    *out_offset = (size_t)offset;
    return TN_OK;
}

tn_status tn_prepared_address(tn_context *context, const tn_prepared *prepared, const tn_plan_ref *ref, void **out_address,
                              size_t *out_room) {
    const tn_function *function = context->function;
    uint8_t *base = NULL;
    size_t room, offset = 0;
    *out_address = NULL;
    *out_room = SIZE_MAX;
    if (ref->space == TN_SPACE_WEIGHT) {
        *out_address = prepared->weights->slots[ref->id].data;
        *out_room = context->engine->weights[ref->id].size_bytes;
        return TN_OK;
    }
    if (ref->space == TN_SPACE_STATE) {
        *out_address = tn_state_set_memory(context->states, ref->id);
        return TN_OK;
    }
    if (ref->space == TN_SPACE_INPUT || ref->space == TN_SPACE_OUTPUT) {
        base = prepared->addresses[context->io_of[ref->id]];
    } else {
        base = ref->space == TN_SPACE_HOST ? context->host : context->activation;
        if (base != NULL) base += prepared->layout.tensor_offsets[ref->id];
    }
    if (!tn_tensor_room(function, ref->id, prepared->values, &room)) room = 0;
    tn_status status = resolve_offset(context, prepared, ref, room, &offset);
    if (status != TN_OK) return status;
    *out_address = base != NULL ? base + offset : NULL;
    *out_room = room - offset;
    return TN_OK;
}

/* The span of an operand must lie inside its tensor. A size that its own step finds out (NonZero) is bounded by the plan. */
static tn_status check_span(const tn_context *context, const tn_prepared *prepared, const tn_function_step *step, const tn_operand *operand,
                            size_t room) {
    const tn_problem *problem = &step->problem;
    size_t bytes;
    bool is_unknown = false;
    for (int i = 0; i < operand->rank; i++) is_unknown = is_unknown || prepared->values[operand->dims[i]] == TN_SYM_UNKNOWN;
    if (is_unknown) {
        int64_t elements = 1; /* NON_ZERO: at most all of x, with an index an axis; NMS: all scores, with three */
        const tn_operand *x = &problem->operands[problem->op == TN_OP_NMS ? 1 : 0];
        bool known = tn_op_counts_output(problem->op) && operand->role == TN_ROLE_OUTPUT;
        for (int i = 0; i < x->rank && known; i++)
            known = prepared->values[x->dims[i]] >= 0 && tn_mul_i64(elements, prepared->values[x->dims[i]], &elements);
        if (!known || !tn_mul_i64(elements, problem->op == TN_OP_NMS ? 3 : x->rank, &elements) ||
            !tn_dtype_matrix_bytes(operand->dtype, 1, elements, &bytes))
            return fail_step(context, TN_INVALID_DATA, step, "needs a value that is not known yet");
    } else if (!tn_tensor_span(operand->dtype, operand->rank, operand->dims, prepared->values, &bytes)) {
        return fail_step(context, TN_INVALID_DATA, step, "has a dimension that is negative or too large");
    }
    return bytes <= room ? TN_OK : fail_step(context, TN_INVALID_DATA, step, "reaches beyond one of its tensors");
}

tn_status tn_prepared_bind(tn_context *context, tn_prepared *prepared, uint32_t index, bool is_checked) {
    const tn_function_step *step = &context->function->steps[index];
    void **buffers = prepared->buffers + step->first_buffer;
    bool on_host = step->record->device == 0;
    for (uint32_t i = 0; i < step->problem.num_operands; i++) {
        const tn_operand *operand = &step->problem.operands[i];
        const tn_plan_ref *ref = &step->refs[i];
        if (ref->space == TN_SPACE_NONE) {
            *buffers++ = NULL;
            continue;
        }
        void *address;
        size_t room;
        tn_status status = tn_prepared_address(context, prepared, ref, &address, &room);
        if (status != TN_OK) return status;
        if (ref->space == TN_SPACE_WEIGHT) {
            const tn_weight_form *form = &context->engine->weights[ref->id];
            if (on_host) address = (void *)prepared->weights->slots[ref->id].host;
            if (address == NULL) return fail_step(context, TN_INVALID_DATA, step, "reads a weight that is missing");
            for (uint32_t k = 0; k < form->num_buffers; k++) *buffers++ = (uint8_t *)address + form->part_offsets[k];
            continue;
        }
        if (ref->space != TN_SPACE_STATE && !is_checked) status = check_span(context, prepared, step, operand, room);
        if (status != TN_OK) return status;
        *buffers++ = address;
    }
    *buffers = NULL;
    if (on_host || prepared->launches[index].workspace_bytes == 0) return TN_OK;
    if (prepared->launches[index].workspace_bytes > prepared->layout.workspace_bytes[index])
        return fail_step(context, TN_INTERNAL, step, "needs more workspace than its tactic said");
    *buffers = (uint8_t *)context->activation + prepared->layout.workspace_offsets[index];
    return TN_OK;
}

/* --- the program ------------------------------------------------------------------------------------------------------------------------ */

static bool is_device_launch(const tn_function_step *step) {
    return step->record->kind == TN_STEP_LAUNCH && step->record->device == 1;
}

static tn_program_item *add_item(tn_prepared *prepared, tn_program_kind kind, uint32_t step, uint32_t guard) {
    tn_program_item *item = &prepared->program[prepared->program_size++];
    *item = (tn_program_item){.kind = kind, .step = step, .end = step + 1, .guard = guard};
    return item;
}

static void add_bound(tn_context *context, tn_prepared *prepared, uint32_t index) {
    const tn_function_step *step = &context->function->steps[index];
    prepared->bound_steps[prepared->num_bound] = index;
    prepared->bound[prepared->num_bound++] = (tn_bound_step){.launch = &prepared->launches[index],
                                                             .problem = &step->problem,
                                                             .buffers = prepared->buffers + step->first_buffer,
                                                             .symbols = prepared->values};
}

/* The launches from `begin` on with nothing for the host to do between; returns the step behind them. */
static uint32_t build_segment(tn_context *context, tn_prepared *prepared, uint32_t begin, uint32_t end) {
    const tn_function_step *steps = context->function->steps;
    bool is_late = false, is_cut = false;
    uint32_t stop = begin;
    for (; stop < end && !is_cut && is_device_launch(&steps[stop]); stop++) {
        is_late = is_late || steps[stop].is_late || steps[stop].has_late_guard;
        is_cut = context->debug != NULL && steps[stop].writes_debug;
    }
    uint32_t last_guard = steps[stop - 1].has_late_guard ? steps[stop - 1].record->guard : 0;
    bool last_runs = steps[stop - 1].has_late_guard || prepared->values[steps[stop - 1].record->guard] != 0;
    if (is_late) {
        add_item(prepared, TN_PROGRAM_LATE, begin, 0)->end = stop;
    } else {
        uint32_t first = prepared->num_bound;
        for (uint32_t i = begin; i < stop; i++)
            if (prepared->values[steps[i].record->guard] != 0) add_bound(context, prepared, i);
        if (prepared->num_bound > first) {
            tn_program_item *item = add_item(prepared, TN_PROGRAM_SEGMENT, begin, 0);
            item->end = stop;
            item->first = first;
            item->count = prepared->num_bound - first;
        }
    }
    if (is_cut && last_runs) (void)add_item(prepared, TN_PROGRAM_DEBUG, stop - 1, last_guard);
    return stop;
}

static void build_range(tn_context *context, tn_prepared *prepared, uint32_t begin, uint32_t end) {
    const tn_function_step *steps = context->function->steps;
    for (uint32_t i = begin; i < end;) {
        const tn_function_step *step = &steps[i];
        if (is_device_launch(step)) {
            i = build_segment(context, prepared, i, end);
            continue;
        }
        uint32_t next = step->record->kind == TN_STEP_LOOP ? step->record->body_end : i + 1;
        uint32_t guard = step->has_late_guard ? step->record->guard : 0;
        if (step->has_late_guard || prepared->values[step->record->guard] != 0) {
            static const tn_program_kind kinds[] = {[TN_STEP_LAUNCH] = TN_PROGRAM_HOST,
                                                    [TN_STEP_COPY] = TN_PROGRAM_COPY,
                                                    [TN_STEP_READ_SYMBOL] = TN_PROGRAM_READ,
                                                    [TN_STEP_LOOP] = TN_PROGRAM_LOOP};
            uint32_t item = prepared->program_size;
            (void)add_item(prepared, kinds[step->record->kind], i, guard);
            if (step->record->kind == TN_STEP_LOOP) build_range(context, prepared, i + 1, next);
            if (context->debug != NULL && step->writes_debug) (void)add_item(prepared, TN_PROGRAM_DEBUG, i, guard);
            prepared->program[item].next = prepared->program_size;
        }
        i = next;
    }
}

static tn_status check_step(tn_context *context, tn_prepared *prepared, uint32_t i) {
    const tn_function_step *step = &context->function->steps[i];
    if (!is_device_launch(step) || step->is_late || step->has_late_guard || prepared->values[step->record->guard] == 0) return TN_OK;
    return tn_prepared_launch(context, prepared, i);
}

static bool workspaces_fit(const tn_context *context, const tn_prepared *prepared) {
    for (uint32_t i = 0; i < context->function->num_steps; i++)
        if (prepared->launches[i].workspace_bytes > prepared->layout.workspace_bytes[i]) return false;
    return true;
}

static void link_launches(const tn_context *context, tn_prepared *prepared) {
    const tn_function *function = context->function;
    for (uint32_t i = 0; i < function->num_steps && context->backend->link != NULL; i++) {
        const tn_function_step *step = &function->steps[i];
        if (step->reader == TN_NO_STEP || prepared->values[step->record->guard] == 0) continue;
        context->backend->link(&step->problem, &prepared->launches[i], &function->steps[step->reader].problem,
                               &prepared->launches[step->reader], prepared->values);
    }
}

/* Launches for context->leaves; those of a sibling are the same. */
static tn_status fill_launches(tn_context *context, tn_prepared *prepared, const tn_prepared *sibling) {
    const tn_function *function = context->function;
    prepared->is_used = prepared->is_bound = prepared->is_checked = false;
    memcpy(prepared->leaves, context->leaves, function->num_leaves * sizeof(int64_t));
    memcpy(prepared->values, context->values, function->num_symbols * sizeof(int64_t));
    memset(prepared->launches, 0, function->num_steps * sizeof(tn_launch));
    tn_status status = TN_OK;
    if (sibling != NULL) {
        memcpy(prepared->launches, sibling->launches, function->num_steps * sizeof(tn_launch));
        memcpy(prepared->tactics, sibling->tactics, function->num_steps * sizeof(tn_tactic *));
    }
    for (uint32_t i = 0; i < function->num_steps && status == TN_OK && sibling == NULL; i++) status = check_step(context, prepared, i);
    if (status == TN_OK && sibling == NULL) link_launches(context, prepared);
    prepared->is_used = status == TN_OK;
    return status;
}

static tn_status take_exact_layout(tn_context *context, tn_prepared *prepared) {
    const tn_memory_layout *layout;
    tn_status status = tn_context_find_layout(context, true, &layout);
    if (status == TN_OK) status = tn_context_reserve(context, layout);
    if (status == TN_OK) tn_memory_layout_copy(context, &prepared->layout, layout);
    return status;
}

static tn_status take_weights(tn_context *context, tn_prepared *prepared, unsigned weights_generation) {
    if (prepared->weights != NULL && prepared->weights_generation == weights_generation) return TN_OK;
    tn_weight_set_release(prepared->weights);
    prepared->weights = tn_engine_retain_weights(context->engine, &prepared->weights_generation);
    if (prepared->weights->num_missing == 0) return TN_OK;
    tn_where where = {.hint = "give the weights with a tn_refitter: tn_refitter_missing lists their names"};
    return tn_fail_at(context->diag, TN_INVALID_DATA, &where,
                      "cannot run function '%s': %" PRIu32 " weights of the stripped plan are missing", context->function->name,
                      prepared->weights->num_missing);
}

static tn_status bind_all(tn_context *context, tn_prepared *prepared, unsigned weights_generation) {
    const tn_function *function = context->function;
    prepared->is_bound = false;
    tn_status status = take_weights(context, prepared, weights_generation);
    if (status != TN_OK) return status;
    for (uint32_t i = 0; i < function->num_io; i++) prepared->addresses[i] = context->io[i].address;
    prepared->states_serial = context->states_serial;
    prepared->memory_generation = context->memory_generation;
    prepared->program_generation = context->program_generation;
    prepared->program_size = prepared->num_bound = 0;
    build_range(context, prepared, 0, function->num_steps);
    for (uint32_t i = 0; i < prepared->num_bound && status == TN_OK; i++)
        status = tn_prepared_bind(context, prepared, prepared->bound_steps[i], prepared->is_checked);
    prepared->is_bound = prepared->is_checked = status == TN_OK;
    return status;
}

/* --- the choice -------------------------------------------------------------------------------------------------------------------------- */

static tn_status check_bindings(const tn_context *context) {
    const tn_function *function = context->function;
    for (uint32_t i = 0; i < function->num_io; i++) {
        const tn_plan_tensor *tensor = &function->tensors[function->io[i]];
        if (context->io[i].source != TN_IO_UNSET) continue;
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot run function '%s': %s '%s' has no address", function->name,
                       tensor->space == TN_SPACE_INPUT ? "input" : "output", tn_engine_string(context->engine, tensor->name));
    }
    if (function->has_states && (context->states == NULL || tn_state_set_engine(context->states) != context->engine))
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot run function '%s': no state set of its engine is given", function->name);
    return TN_OK;
}

static tn_prepared *find_current(tn_context *context, unsigned weights_generation) {
    for (int i = 0; i < TN_MAX_PREPARED; i++)
        if (has_leaves(context, &context->prepared[i]) && is_current(context, &context->prepared[i], weights_generation))
            return &context->prepared[i];
    return NULL;
}

static tn_status prepare_new(tn_context *context, unsigned weights_generation, tn_prepared **out_prepared) {
    const tn_memory_layout *layout;
    const tn_prepared *sibling;
    tn_prepared *prepared;
    *out_prepared = NULL;
    tn_status status = tn_context_find_layout(context, false, &layout);
    if (status == TN_OK) status = tn_context_reserve(context, layout);
    if (status == TN_OK) status = take_entry(context, weights_generation, &prepared, &sibling);
    if (status != TN_OK) return status;
    tn_memory_layout_copy(context, &prepared->layout, layout);
    if (prepared != sibling && !has_leaves(context, prepared)) status = fill_launches(context, prepared, sibling);
    if (status == TN_OK && !workspaces_fit(context, prepared)) status = take_exact_layout(context, prepared);
    if (status == TN_OK) status = bind_all(context, prepared, weights_generation);
    if (status == TN_OK) *out_prepared = prepared;
    return status;
}

tn_status tn_context_prepare(tn_context *context) {
    unsigned weights_generation = atomic_load_explicit(&context->engine->weights_generation, memory_order_acquire);
    const tn_prepared *present = context->present;
    bool is_same = present != NULL && !context->is_changed && context->function->num_late_inputs == 0 &&
                   present->weights_generation == weights_generation && present->states_serial == context->states_serial &&
                   present->memory_generation == context->memory_generation && present->program_generation == context->program_generation;
    if (is_same) return TN_OK;
    context->present = NULL;
    tn_status status = check_bindings(context);
    if (status == TN_OK) status = tn_context_resolve(context);
    if (status != TN_OK) return status;
    tn_context_set_addresses(context);
    context->present = find_current(context, weights_generation);
    if (context->present == NULL) status = prepare_new(context, weights_generation, &context->present);
    if (status != TN_OK) return status;
    context->present->last_use = ++context->clock;
    context->is_changed = false;
    return TN_OK;
}
