/* SPDX-License-Identifier: Apache-2.0
 *
 * context.c: contexts: creation, addresses, enqueue, reading back.
 */
#include "runtime/context.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "plan/memory_plan.h"
#include "runtime/state_set.h"

void tn_context_options_init(tn_context_options *options) {
    *options = (tn_context_options){.struct_size = sizeof *options};
}

/* --- creation ----------------------------------------------------------------------------------------------------------------- */

static tn_status allocate_tables(tn_context *context) {
    const tn_function *function = context->function;
    const tn_allocator *allocator = context->allocator;
    size_t num_requests = (size_t)function->num_tensors + function->num_steps;
    context->io = tn_alloc_array(allocator, function->num_io, sizeof *context->io);
    context->io_of = tn_alloc_array(allocator, function->num_tensors, sizeof *context->io_of);
    context->leaves = tn_alloc_array(allocator, function->num_leaves, sizeof *context->leaves);
    context->values = tn_alloc_array(allocator, function->num_symbols, sizeof *context->values);
    context->scratch_leaves = tn_alloc_array(allocator, function->num_leaves, sizeof *context->scratch_leaves);
    context->scratch_values = tn_alloc_array(allocator, function->num_symbols, sizeof *context->scratch_values);
    context->requests = tn_alloc_array(allocator, num_requests, sizeof(tn_memory_request));
    context->request_scratch = tn_alloc_array(allocator, num_requests, sizeof *context->request_scratch);
    context->late_bound = tn_alloc_array(allocator, function->num_steps, sizeof *context->late_bound);
    context->late_steps = tn_alloc_array(allocator, function->num_steps, sizeof *context->late_steps);
    context->host_written = tn_alloc_array(allocator, function->num_tensors, sizeof *context->host_written);
    context->durations = tn_alloc_array(allocator, function->num_steps, sizeof *context->durations);
    context->was_run = tn_alloc_array(allocator, function->num_steps, sizeof *context->was_run);
    bool complete = context->io != NULL && context->io_of != NULL && context->leaves != NULL && context->values != NULL &&
                    context->scratch_leaves != NULL && context->scratch_values != NULL && context->requests != NULL &&
                    context->request_scratch != NULL && context->late_bound != NULL && context->late_steps != NULL &&
                    context->host_written != NULL && context->durations != NULL && context->was_run != NULL;
    if (!complete || tn_diag_create(allocator, &context->quiet) != TN_OK)
        return tn_fail_memory(context->diag, "a context", num_requests * sizeof(tn_memory_request));
    for (uint32_t i = 0; i < function->num_tensors; i++) context->io_of[i] = UINT32_MAX;
    for (uint32_t i = 0; i < function->num_io; i++) context->io_of[function->io[i]] = i;
    return TN_OK;
}

/* Inputs whose dimensions are all fixed need not be set. */
static void set_fixed_dims(tn_context *context) {
    const tn_function *function = context->function;
    for (uint32_t i = 0; i < function->num_io; i++) {
        const tn_plan_tensor *tensor = &function->tensors[function->io[i]];
        tn_io_binding *io = &context->io[i];
        if (tensor->space != TN_SPACE_INPUT) continue;
        io->has_dims = true;
        for (uint32_t k = 0; k < tensor->rank; k++) {
            const tn_sym_node *node = &function->nodes[tensor->dims[k]];
            io->dims[k] = node->value;
            io->has_dims = io->has_dims && node->op == TN_SYM_CONST;
        }
    }
}

tn_status tn_context_create(tn_engine *engine, const tn_context_options *options, tn_context **out_context) {
    *out_context = NULL;
    tn_context_options complete;
    tn_context_options_init(&complete);
    tn_status status = tn_take_options(options, &complete, sizeof complete, "a context");
    if (status != TN_OK) return status;
    if (engine == NULL) return tn_fail(complete.diag, TN_INVALID_ARGUMENT, "cannot create a context: no engine given");
    const tn_function *function = tn_engine_find_function(engine, complete.function);
    if (function == NULL)
        return tn_fail(complete.diag, TN_NOT_FOUND, "cannot create a context: the engine has no function '%s'", complete.function);
    if (complete.profile < 0 || (uint32_t)complete.profile >= function->num_profiles)
        return tn_fail(complete.diag, TN_INVALID_ARGUMENT, "cannot create a context: profile %d of function '%s', which has %" PRIu32,
                       complete.profile, function->name, function->num_profiles);
    const tn_allocator *allocator = complete.allocator != NULL ? complete.allocator : engine->allocator;
    tn_context *context = tn_alloc_zero(allocator, sizeof *context);
    if (context == NULL) return tn_fail_memory(complete.diag, "a context", sizeof *context);
    if (allocator != NULL) {
        context->allocator_copy = *allocator;
        context->allocator = &context->allocator_copy;
    }
    context->engine = engine;
    context->backend = engine->device->backend;
    context->diag = complete.diag;
    context->function = function;
    context->profile = (uint32_t)complete.profile;
    context->is_changed = true;
    status = allocate_tables(context);
    if (status != TN_OK) {
        tn_context_destroy(context);
        return status;
    }
    set_fixed_dims(context);
    *out_context = context;
    return TN_OK;
}

static void destroy_own(tn_context *context, uint32_t index) {
    tn_io_binding *io = &context->io[index];
    if (context->function->tensors[context->function->io[index]].place == 1)
        tn_free(context->allocator, io->own);
    else
        tn_engine_free(context->engine, TN_ACCOUNT_ACTIVATIONS, io->own, io->own_bytes);
}

void tn_context_destroy(tn_context *context) {
    if (context == NULL) return;
    const tn_allocator *allocator = context->allocator;
    for (int i = 0; i < TN_MAX_PREPARED; i++) {
        tn_prepared *prepared = &context->prepared[i];
        if (prepared->is_in_flight && prepared->event != NULL) (void)!context->backend->event_wait(prepared->event, context->quiet);
        if (prepared->leaves != NULL) tn_prepared_destroy(context, prepared);
    }
    for (int i = 0; i < TN_MAX_LAYOUTS; i++)
        if (context->layouts[i].leaves != NULL) tn_memory_layout_destroy(context, &context->layouts[i]);
    for (uint32_t i = 0; context->io != NULL && i < context->function->num_io; i++) destroy_own(context, i);
    tn_engine_free(context->engine, TN_ACCOUNT_ACTIVATIONS, context->activation, context->activation_bytes);
    tn_stream_destroy(context->own_stream);
    tn_diag_destroy(context->quiet);
    tn_free(allocator, context->host);
    tn_free(allocator, context->io);
    tn_free(allocator, context->io_of);
    tn_free(allocator, context->leaves);
    tn_free(allocator, context->values);
    tn_free(allocator, context->scratch_leaves);
    tn_free(allocator, context->scratch_values);
    tn_free(allocator, context->requests);
    tn_free(allocator, context->request_scratch);
    tn_free(allocator, context->late_bound);
    tn_free(allocator, context->late_steps);
    tn_free(allocator, context->host_written);
    tn_free(allocator, context->debug_buffer);
    tn_free(allocator, context->durations);
    tn_free(allocator, context->was_run);
    tn_allocator copy = context->allocator_copy;
    tn_free(allocator != NULL ? &copy : NULL, context);
}

/* --- what callers set ----------------------------------------------------------------------------------------------------------- */

static tn_status find_io(const tn_context *context, const char *name, const char *action, uint32_t *out_index) {
    int64_t tensor = name != NULL ? tn_function_find_io(context->engine, context->function, name) : -1;
    *out_index = 0;
    if (tensor < 0)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot %s: function '%s' has no input or output '%s'", action,
                       context->function->name, name != NULL ? name : "");
    *out_index = context->io_of[tensor];
    return TN_OK;
}

static tn_status set_address(tn_context *context, const char *name, tn_io_source source, void *memory) {
    uint32_t index;
    tn_status status = find_io(context, name, "set an address", &index);
    if (status != TN_OK) return status;
    tn_io_binding *io = &context->io[index];
    if (memory == NULL) source = TN_IO_UNSET;
    if (io->source == source && io->given == memory) return TN_OK;
    io->source = source;
    io->given = memory;
    context->is_changed = true;
    return TN_OK;
}

tn_status tn_context_set_address(tn_context *context, const char *name, void *memory) {
    return set_address(context, name, TN_IO_ADDRESS, memory);
}

tn_status tn_context_set_host_address(tn_context *context, const char *name, void *memory) {
    return set_address(context, name, TN_IO_HOST, memory);
}

void tn_context_set_states(tn_context *context, tn_state_set *set) {
    context->states = set;
    context->states_serial = set != NULL ? tn_state_set_serial(set) : 0;
}

void tn_context_set_debug_callback(tn_context *context, tn_debug_callback callback, void *user) {
    if ((context->debug == NULL) != (callback == NULL)) context->program_generation++;
    context->debug = callback;
    context->debug_user = user;
}

void tn_context_set_profiler(tn_context *context, tn_profile_callback callback, void *user) {
    context->profiler = callback;
    context->profiler_user = user;
    memset(context->durations, 0, context->function->num_steps * sizeof *context->durations);
}

/* --- running ------------------------------------------------------------------------------------------------------------------------ */

static tn_status fail_damaged(const tn_context *context, int weight) {
    const char *name = context->engine->weights[weight].name, *path = tn_plan_path(context->engine->plan);
    tn_where where = {.subject = name, .file = path, .hint = "build the plan again from its model: tenon build MODEL -o DIR"};
    return tn_fail_at(context->diag, TN_INVALID_DATA, &where, "cannot run function '%s': the checksum of weight '%s' in %s differs",
                      context->function->name, name, path);
}

/* Two streams would use the same activations at once. */
static tn_status change_stream(tn_context *context, tn_stream *stream) {
    if (context->last_stream == stream) return TN_OK;
    tn_status status = context->last_stream != NULL ? tn_context_wait(context) : TN_OK;
    context->last_stream = stream;
    return status;
}

static tn_status take_own_stream(tn_context *context, tn_stream **stream) {
    if (context->own_stream == NULL) {
        tn_status status = context->backend->stream_create(context->engine->device, context->diag, &context->own_stream);
        if (status != TN_OK) return status;
    }
    *stream = context->own_stream;
    return TN_OK;
}

tn_status tn_context_enqueue(tn_context *context, tn_stream *stream) {
    bool is_synchronous = stream == NULL;
    int damaged = atomic_load_explicit(&context->engine->damaged_weight, memory_order_acquire);
    if (damaged >= 0) return fail_damaged(context, damaged);
    if (!is_synchronous && stream->device != context->engine->device)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot run function '%s': the stream belongs to another device",
                       context->function->name);
    tn_status status = is_synchronous ? take_own_stream(context, &stream) : TN_OK;
    if (status == TN_OK) status = change_stream(context, stream);
    if (status == TN_OK) status = tn_context_prepare(context);
    if (status != TN_OK) return status;
    status = tn_context_run(context, context->present, stream);
    if (!is_synchronous || context->backend->is_host) return status;
    tn_status done = context->backend->stream_synchronize(stream, context->diag);
    for (int i = 0; i < TN_MAX_PREPARED; i++) context->prepared[i].is_in_flight = false;
    return status == TN_OK ? done : status;
}

/* --- memory of the context -------------------------------------------------------------------------------------------------------------- */

void *tn_context_buffer(tn_context *context, const char *name) {
    uint32_t index;
    if (find_io(context, name, "give a buffer", &index) != TN_OK) return NULL;
    tn_io_binding *io = &context->io[index];
    if (io->source == TN_IO_ADDRESS || io->source == TN_IO_HOST) {
        (void)tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot give a buffer: '%s' has an address already", name);
        return NULL;
    }
    if (io->source == TN_IO_OWN && context->present != NULL && !context->is_changed) return io->own;
    if (io->source != TN_IO_OWN) context->is_changed = true;
    io->source = TN_IO_OWN;
    const tn_memory_layout *layout;
    if (tn_context_resolve(context) != TN_OK || tn_context_find_layout(context, false, &layout) != TN_OK ||
        tn_context_reserve(context, layout) != TN_OK)
        return NULL;
    return io->own;
}

tn_status tn_context_get_max_size(tn_context *context, const char *name, size_t *out_bytes) {
    uint32_t index;
    *out_bytes = 0;
    tn_status status = find_io(context, name, "size a tensor", &index);
    if (status == TN_OK) status = tn_context_resolve(context);
    if (status != TN_OK) return status;
    if (tn_tensor_room(context->function, context->function->io[index], context->values, out_bytes)) return TN_OK;
    return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot size '%s': its shape is too large", name);
}

tn_status tn_context_read(tn_context *context, const char *name, size_t offset, size_t size_bytes, void *dst, tn_stream *stream) {
    uint32_t index;
    size_t room;
    tn_status status = find_io(context, name, "read", &index);
    if (status != TN_OK) return status;
    const tn_io_binding *io = &context->io[index];
    uint32_t tensor = context->function->io[index];
    status = tn_context_resolve(context);
    if (status != TN_OK) return status;
    if (io->source == TN_IO_UNSET || io->address == NULL)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot read '%s': it has no memory yet", name);
    if (!tn_tensor_room(context->function, tensor, context->values, &room) || offset > room || size_bytes > room - offset)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot read '%s': %zu bytes from %zu on, it has %zu", name, size_bytes, offset,
                       room);
    bool is_synchronous = stream == NULL;
    if (is_synchronous) status = take_own_stream(context, &stream);
    if (status == TN_OK && is_synchronous && stream != context->last_stream) status = tn_context_wait(context);
    if (status != TN_OK) return status;
    const uint8_t *src = (const uint8_t *)io->address + offset;
    bool on_host = context->function->tensors[tensor].place == 1;
    if (on_host) {
        status = tn_context_wait(context);
        if (status == TN_OK && size_bytes > 0) memcpy(dst, src, size_bytes);
        return status;
    }
    status = size_bytes > 0 ? context->backend->copy(stream, TN_COPY_TO_HOST, dst, src, size_bytes, context->diag) : TN_OK;
    if (status == TN_OK && is_synchronous) status = context->backend->stream_synchronize(stream, context->diag);
    return status;
}

tn_status tn_context_write(tn_context *context, const char *name, size_t offset, size_t size_bytes, const void *src, tn_stream *stream) {
    uint32_t index;
    size_t room;
    tn_status status = find_io(context, name, "write", &index);
    if (status != TN_OK) return status;
    const tn_io_binding *io = &context->io[index];
    uint32_t tensor = context->function->io[index];
    status = tn_context_resolve(context);
    if (status != TN_OK) return status;
    if (io->source == TN_IO_UNSET || io->address == NULL || context->function->tensors[tensor].place == 1)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot write '%s': it has no memory on the device yet", name);
    if (!tn_tensor_room(context->function, tensor, context->values, &room) || offset > room || size_bytes > room - offset)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot write '%s': %zu bytes from %zu on, it has %zu", name, size_bytes, offset,
                       room);
    return context->backend->copy(stream, TN_COPY_TO_DEVICE, (uint8_t *)io->address + offset, src, size_bytes, context->diag);
}
