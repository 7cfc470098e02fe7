/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: one run of a prepared function: its program item by item. In the plain case that is a single segment.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/thread.h"
#include "runtime/context.h"

typedef struct runner {
    tn_context *context;
    tn_prepared *prepared;
    const tn_function *function;
    tn_stream *stream;
    bool is_queued;                 /* work of this run may be on its way */
    const uint32_t *profiled_steps; /* step of each bound step of the segment that runs */
} runner;

/* --- steps in time ------------------------------------------------------------------------------------------------------------ */

static void record_time(void *user, size_t index, int64_t begin_ns, int64_t end_ns) {
    const runner *r = user;
    uint32_t step = r->profiled_steps[index];
    r->context->durations[step] += end_ns - begin_ns;
    r->context->was_run[step] = true;
}

static void report_times(const runner *r) {
    const tn_context *context = r->context;
    for (uint32_t i = 0; i < r->function->num_steps; i++) {
        if (!context->was_run[i]) continue;
        const tn_plan_step *step = r->function->steps[i].record;
        const tn_tactic *tactic = r->prepared->tactics[i];
        const char *name = tactic != NULL && step->device == 1 && step->kind == TN_STEP_LAUNCH ? tactic->name : "host";
        if (step->kind == TN_STEP_COPY || step->kind == TN_STEP_READ_SYMBOL) name = "copy";
        context->profiler(context->profiler_user, tn_engine_string(context->engine, step->name),
                          tn_engine_string(context->engine, step->problem), name, context->durations[i]);
        context->was_run[i] = false;
    }
}

/* Until the device has done what was queued, so that the host may read what it wrote and change what it reads. */
static tn_status settle(runner *r) {
    if (!r->is_queued || r->context->backend->is_host) return TN_OK;
    r->is_queued = false;
    return r->context->backend->stream_synchronize(r->stream, r->context->diag);
}

static tn_status run_bound(runner *r, const tn_bound_step *steps, const uint32_t *step_indices, size_t count) {
    if (count == 0) return TN_OK;
    const tn_backend *backend = r->context->backend;
    if (r->context->profiler == NULL) {
        r->is_queued = true;
        return backend->run_segment(r->stream, steps, count, NULL, r->context->diag);
    }
    tn_profile_sink sink = {.user = r, .record = record_time};
    r->profiled_steps = step_indices;
    tn_status status = backend->run_segment(r->stream, steps, count, &sink, r->context->diag);
    r->is_queued = true;
    tn_status settled = settle(r); /* the sink is ours to take away only then */
    return status == TN_OK ? settled : status;
}

/* --- values that the function computes -------------------------------------------------------------------------------------------- */

static bool read_leaf(void *user, const tn_sym_node *node, int64_t *out_value) {
    const runner *r = user;
    const tn_function *function = r->function;
    if (node->op == TN_SYM_HOST_VALUE && function->tensors[node->a].space == TN_SPACE_HOST) {
        if (!r->context->host_written[node->a]) return false;
        tn_dtype dtype = function->dtypes[node->a];
        const uint8_t *data = r->context->host + r->prepared->layout.tensor_offsets[node->a];
        size_t end;
        if (!tn_dtype_matrix_bytes(dtype, 1, (int64_t)node->b + 1, &end) || end > r->prepared->layout.tensor_bytes[node->a]) return false;
        if (dtype == TN_INT64)
            memcpy(out_value, data + node->b * sizeof(int64_t), sizeof *out_value); /* exact */
        else
            *out_value = (int64_t)tn_dtype_load(dtype, data, node->b);
        return true;
    }
    for (uint32_t i = 0; i < function->num_leaves; i++) {
        const tn_leaf *leaf = &function->leaves[i];
        if (leaf->tensor != node->a || leaf->index != node->b || leaf->is_host_value != (node->op == TN_SYM_HOST_VALUE)) continue;
        *out_value = r->prepared->leaves[i];
        return true;
    }
    return false;
}

static tn_status update_values(runner *r) {
    return tn_sym_evaluate(r->function->nodes, r->function->num_symbols, read_leaf, r, r->context->diag, r->prepared->values);
}

static tn_status fail_unknown(const runner *r, uint32_t step) {
    const char *name = tn_engine_string(r->context->engine, r->function->steps[step].record->name);
    tn_where where = {.subject = name};
    return tn_fail_at(r->context->diag, TN_INVALID_DATA, &where, "cannot run function '%s': step '%s' needs a value that is not known yet",
                      r->function->name, name);
}

/* --- items ------------------------------------------------------------------------------------------------------------------------------ */

static tn_status run_late(runner *r, const tn_program_item *item) {
    tn_context *context = r->context;
    tn_prepared *prepared = r->prepared;
    size_t count = 0;
    tn_status status = settle(r); /* steps of the iteration before may still read what is prepared anew */
    for (uint32_t i = item->step; i < item->end && status == TN_OK; i++) {
        const tn_function_step *step = &r->function->steps[i];
        int64_t guard = prepared->values[step->record->guard];
        if (guard == TN_SYM_UNKNOWN) return fail_unknown(r, i);
        if (guard == 0) continue;
        status = tn_prepared_launch(context, prepared, i);
        if (status == TN_OK) status = tn_prepared_bind(context, prepared, i, false);
        context->late_steps[count] = i;
        context->late_bound[count++] = (tn_bound_step){.launch = &prepared->launches[i],
                                                       .problem = &step->problem,
                                                       .buffers = prepared->buffers + step->first_buffer,
                                                       .symbols = prepared->values};
    }
    return status == TN_OK ? run_bound(r, context->late_bound, context->late_steps, count) : status;
}

static void mark_written(runner *r, const tn_plan_ref *ref) {
    if (ref->space == TN_SPACE_HOST) r->context->host_written[ref->id] = true;
}

static tn_status run_host(runner *r, const tn_program_item *item) {
    const tn_function_step *step = &r->function->steps[item->step];
    tn_status status = settle(r);
    if (status == TN_OK) status = tn_prepared_check(r->context, r->prepared, item->step);
    if (status == TN_OK) status = tn_prepared_bind(r->context, r->prepared, item->step, false);
    void *const *buffers = r->prepared->buffers + step->first_buffer;
    if (status == TN_OK && step->plugin != NULL)
        status = tn_plugin_run(step->plugin, &step->problem, buffers, r->prepared->values,
                               tn_engine_string(r->context->engine, step->record->name), r->context->allocator, r->context->diag);
    else if (status == TN_OK)
        status = tn_ref_run(&step->problem, buffers, r->prepared->values, r->context->diag);
    if (status != TN_OK) return status;
    for (uint32_t i = step->problem.num_inputs; i < step->problem.num_operands; i++) mark_written(r, &step->refs[i]);
    return update_values(r);
}

static bool is_on_host(const runner *r, const tn_plan_ref *ref) {
    return ref->space != TN_SPACE_WEIGHT && ref->space != TN_SPACE_STATE && tn_tensor_is_on_host(&r->function->tensors[ref->id]);
}

/* Bytes of a copy: those of the source at its present dimensions, or what a symbol says. */
static tn_status copy_bytes(runner *r, uint32_t index, size_t source_room, size_t destination_room, size_t *out_bytes) {
    const tn_function_step *step = &r->function->steps[index];
    const tn_plan_ref *source = &step->refs[0];
    size_t bytes = source_room;
    if (step->record->size_symbol != 0) {
        int64_t size = r->prepared->values[step->record->size_symbol];
        if (size == TN_SYM_UNKNOWN) return fail_unknown(r, index);
        bytes = size >= 0 ? (size_t)size : SIZE_MAX;
    } else if (source->space != TN_SPACE_WEIGHT) {
        const tn_plan_tensor *tensor = &r->function->tensors[source->id];
        if (!tn_tensor_span(r->function->dtypes[source->id], tensor->rank, tensor->dims, r->prepared->values, &bytes))
            return fail_unknown(r, index);
    }
    if (bytes > source_room || bytes > destination_room)
        return tn_fail(r->context->diag, TN_INVALID_DATA, "cannot run function '%s': step '%s' copies %zu bytes from %zu to %zu",
                       r->function->name, tn_engine_string(r->context->engine, step->record->name), bytes, source_room, destination_room);
    *out_bytes = bytes;
    return TN_OK;
}

/* COPY and READ_SYMBOL. What reaches the host is waited for: the next host step or symbol reads it. */
static tn_status run_copy(runner *r, const tn_program_item *item) {
    const tn_function_step *step = &r->function->steps[item->step];
    const tn_backend *backend = r->context->backend;
    const tn_plan_ref *source = &step->refs[0], *destination = &step->refs[1];
    bool from_host = is_on_host(r, source), to_host = is_on_host(r, destination);
    void *src, *dst;
    size_t src_room, dst_room, bytes = 0;
    tn_status status = tn_prepared_address(r->context, r->prepared, source, &src, &src_room);
    if (status == TN_OK) status = tn_prepared_address(r->context, r->prepared, destination, &dst, &dst_room);
    if (status == TN_OK) status = copy_bytes(r, item->step, src_room, dst_room, &bytes);
    if (status != TN_OK) return status;
    int64_t begin_ns = tn_now_ns();
    if (from_host && to_host) {
        status = settle(r);
        if (status == TN_OK && bytes > 0) memmove(dst, src, bytes);
    } else {
        tn_copy_direction direction = from_host ? TN_COPY_TO_DEVICE : to_host ? TN_COPY_TO_HOST : TN_COPY_ON_DEVICE;
        if (bytes > 0) status = backend->copy(r->stream, direction, dst, src, bytes, r->context->diag);
        r->is_queued = true;
    }
    if (status == TN_OK && (to_host || r->context->profiler != NULL)) status = settle(r);
    if (status != TN_OK) return status;
    if (r->context->profiler != NULL) {
        r->context->durations[item->step] += tn_now_ns() - begin_ns;
        r->context->was_run[item->step] = true;
    }
    mark_written(r, destination);
    return destination->space == TN_SPACE_HOST ? update_values(r) : TN_OK;
}

/* Debug outputs of the step that has just run. */
static tn_status show_debug(runner *r, const tn_program_item *item) {
    tn_context *context = r->context;
    const tn_function_step *step = &r->function->steps[item->step];
    tn_status status = settle(r);
    for (uint32_t i = step->problem.num_inputs; i < step->problem.num_operands && status == TN_OK; i++) {
        const tn_plan_ref *ref = &step->refs[i];
        if (ref->space == TN_SPACE_NONE || ref->space == TN_SPACE_STATE) continue;
        const tn_plan_tensor *tensor = &r->function->tensors[ref->id];
        void *data;
        size_t room, bytes;
        if ((tensor->flags & TN_TENSOR_DEBUG) == 0) continue;
        tn_plan_ref whole = {.space = ref->space, .id = ref->id};
        status = tn_prepared_address(context, r->prepared, &whole, &data, &room);
        if (status != TN_OK) return status;
        if (!tn_tensor_span(r->function->dtypes[ref->id], tensor->rank, tensor->dims, r->prepared->values, &bytes) || bytes > room)
            continue; /* a size that is read only later */
        if (!context->backend->is_host && !tn_tensor_is_on_host(tensor)) {
            if (context->debug_bytes < bytes) {
                uint8_t *grown = tn_realloc(context->allocator, context->debug_buffer, bytes);
                if (grown == NULL) return tn_fail_memory(context->diag, "a debug tensor", bytes);
                context->debug_buffer = grown;
                context->debug_bytes = bytes;
            }
            status = context->backend->copy(r->stream, TN_COPY_TO_HOST, context->debug_buffer, data, bytes, context->diag);
            r->is_queued = true;
            if (status == TN_OK) status = settle(r);
            if (status != TN_OK) return status;
            data = context->debug_buffer;
        }
        int64_t dims[TN_MAX_RANK] = {0};
        for (uint32_t k = 0; k < tensor->rank; k++) dims[k] = r->prepared->values[tensor->dims[k]];
        context->debug(context->debug_user, tn_engine_string(context->engine, tensor->name), r->function->dtypes[ref->id], dims,
                       (int)tensor->rank, data);
    }
    return status;
}

static tn_status run_items(runner *r, uint32_t begin, uint32_t end);

static tn_status count_iteration(runner *r, uint32_t step, int64_t iteration) {
    bool counts = false;
    for (uint32_t i = 0; i < r->function->num_tensors; i++) {
        const tn_plan_tensor *tensor = &r->function->tensors[i];
        if ((tensor->flags & TN_TENSOR_ITERATION) == 0 || tensor->first_step != step) continue;
        memcpy(r->context->host + r->prepared->layout.tensor_offsets[i], &iteration, sizeof iteration);
        r->context->host_written[i] = true;
        counts = true;
    }
    return counts ? update_values(r) : TN_OK;
}

static tn_status run_loop(runner *r, const tn_program_item *item) {
    const tn_plan_step *step = r->function->steps[item->step].record;
    uint32_t body = (uint32_t)(item - r->prepared->program) + 1;
    int64_t count = step->count == 0 && step->condition != 0 ? INT64_MAX : r->prepared->values[step->count];
    if (count == TN_SYM_UNKNOWN) return fail_unknown(r, item->step);
    for (int64_t i = 0; i < count; i++) {
        tn_status status = settle(r); /* the device reads the values that change now */
        if (status == TN_OK) status = count_iteration(r, item->step, i);
        if (status != TN_OK) return status;
        if (step->condition != 0) {
            int64_t condition = r->prepared->values[step->condition];
            if (condition == TN_SYM_UNKNOWN) return fail_unknown(r, item->step);
            if (condition == 0) break;
        }
        status = run_items(r, body, item->next);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

static tn_status run_item(runner *r, const tn_program_item *item) {
    const tn_prepared *prepared = r->prepared;
    if (item->kind == TN_PROGRAM_SEGMENT)
        return run_bound(r, prepared->bound + item->first, prepared->bound_steps + item->first, item->count);
    if (item->guard != 0) {
        int64_t guard = prepared->values[item->guard];
        if (guard == TN_SYM_UNKNOWN) return fail_unknown(r, item->step);
        if (guard == 0) return TN_OK;
    }
    int64_t begin_ns;
    tn_status status;
    switch (item->kind) {
    case TN_PROGRAM_LATE: return run_late(r, item);
    case TN_PROGRAM_HOST:
        begin_ns = r->context->profiler != NULL ? tn_now_ns() : 0;
        status = run_host(r, item);
        if (r->context->profiler != NULL) {
            r->context->durations[item->step] += tn_now_ns() - begin_ns;
            r->context->was_run[item->step] = true;
        }
        return status;
    case TN_PROGRAM_LOOP: return run_loop(r, item);
    case TN_PROGRAM_DEBUG: return show_debug(r, item);
    default: return run_copy(r, item);
    }
}

static tn_status run_items(runner *r, uint32_t begin, uint32_t end) {
    tn_status status = TN_OK;
    for (uint32_t i = begin; i < end && status == TN_OK;) {
        const tn_program_item *item = &r->prepared->program[i];
        status = run_item(r, item);
        i = item->kind == TN_PROGRAM_LOOP ? item->next : i + 1;
    }
    return status;
}

/* --- host addresses on a device with memory of its own ------------------------------------------------------------------------------------ */

static tn_status stage(runner *r, uint32_t space) {
    const tn_function *function = r->function;
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < function->num_io && status == TN_OK; i++) {
        const tn_io_binding *io = &r->context->io[i];
        const tn_plan_tensor *tensor = &function->tensors[function->io[i]];
        size_t bytes;
        if (tensor->space != space || io->source != TN_IO_HOST || io->address != io->own || io->own == NULL) continue;
        if (!tn_tensor_span(function->dtypes[function->io[i]], tensor->rank, tensor->dims, r->prepared->values, &bytes))
            return fail_unknown(r, 0);
        if (bytes == 0) continue;
        bool in = space == TN_SPACE_INPUT;
        status = r->context->backend->copy(r->stream, in ? TN_COPY_TO_DEVICE : TN_COPY_TO_HOST, in ? io->own : io->given,
                                           in ? io->given : io->own, bytes, r->context->diag);
        r->is_queued = true;
    }
    return status;
}

/* --- the run -------------------------------------------------------------------------------------------------------------------------------- */

tn_status tn_context_run(tn_context *context, tn_prepared *prepared, tn_stream *stream) {
    runner r = {.context = context, .prepared = prepared, .function = context->function, .stream = stream};
    tn_status status = TN_OK;
    if (context->function->has_host_work) { /* host tensors and late values are shared by all runs */
        status = tn_context_wait(context);
        memset(context->host_written, 0, context->function->num_tensors * sizeof *context->host_written);
        if (status == TN_OK) status = update_values(&r);
    }
    if (status == TN_OK) status = stage(&r, TN_SPACE_INPUT);
    if (status == TN_OK) status = run_items(&r, 0, prepared->program_size);
    if (status == TN_OK) status = stage(&r, TN_SPACE_OUTPUT);
    if (!context->backend->is_host) { /* after a failure too: what was queued still runs */
        prepared->is_in_flight = true;
        tn_status recorded = prepared->event != NULL ? context->backend->event_record(stream, prepared->event) : TN_OK;
        if (status == TN_OK) status = recorded;
    }
    if (status == TN_OK && context->profiler != NULL) {
        status = settle(&r);
        report_times(&r);
    }
    return status;
}
