/* SPDX-License-Identifier: Apache-2.0
 *
 * layout.c: where tensors lie for the dimensions at hand. Planned for a bucket (dimensions rounded up to powers of two inside
 * the profile), so that growing sequences and batches do not plan again at each step.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "plan/memory_plan.h"
#include "runtime/context.h"
#include "runtime/problem_check.h"

enum { ALIGNMENT = 64 };

tn_status tn_memory_layout_create(tn_context *context, tn_memory_layout *layout) {
    const tn_function *function = context->function;
    const tn_allocator *allocator = context->allocator;
    *layout = (tn_memory_layout){.leaves = tn_alloc_array(allocator, function->num_leaves, sizeof(int64_t)),
                                 .tensor_bytes = tn_alloc_array(allocator, function->num_tensors, sizeof(size_t)),
                                 .tensor_offsets = tn_alloc_array(allocator, function->num_tensors, sizeof(size_t)),
                                 .workspace_bytes = tn_alloc_array(allocator, function->num_steps, sizeof(size_t)),
                                 .workspace_offsets = tn_alloc_array(allocator, function->num_steps, sizeof(size_t))};
    if (layout->leaves != NULL && layout->tensor_bytes != NULL && layout->tensor_offsets != NULL && layout->workspace_bytes != NULL &&
        layout->workspace_offsets != NULL)
        return TN_OK;
    tn_memory_layout_destroy(context, layout);
    return tn_fail_memory(context->diag, "a memory plan", (function->num_tensors + function->num_steps) * 2 * sizeof(size_t));
}

void tn_memory_layout_destroy(tn_context *context, tn_memory_layout *layout) {
    tn_free(context->allocator, layout->leaves);
    tn_free(context->allocator, layout->tensor_bytes);
    tn_free(context->allocator, layout->tensor_offsets);
    tn_free(context->allocator, layout->workspace_bytes);
    tn_free(context->allocator, layout->workspace_offsets);
    *layout = (tn_memory_layout){0};
}

void tn_memory_layout_copy(const tn_context *context, tn_memory_layout *dst, const tn_memory_layout *src) {
    const tn_function *function = context->function;
    memcpy(dst->leaves, src->leaves, function->num_leaves * sizeof(int64_t));
    memcpy(dst->tensor_bytes, src->tensor_bytes, function->num_tensors * sizeof(size_t));
    memcpy(dst->tensor_offsets, src->tensor_offsets, function->num_tensors * sizeof(size_t));
    memcpy(dst->workspace_bytes, src->workspace_bytes, function->num_steps * sizeof(size_t));
    memcpy(dst->workspace_offsets, src->workspace_offsets, function->num_steps * sizeof(size_t));
    dst->activation_bytes = src->activation_bytes;
    dst->host_bytes = src->host_bytes;
    dst->is_used = src->is_used;
}

/* --- sizes --------------------------------------------------------------------------------------------------------------------- */

const tn_plan_variant *tn_step_find_variant(const tn_context *context, const tn_function_step *step, const int64_t *values,
                                            const tn_tactic **out_tactic) {
    const tn_plan_variant *variants = context->engine->view->variants + step->record->first_variant;
    uint32_t bucket_symbol = step->record->bucket_symbol;
    *out_tactic = NULL;
    for (uint32_t i = 0; i < step->record->num_variants; i++) {
        if (variants[i].profile != context->profile) continue;
        int64_t bucket = values[bucket_symbol];
        if (bucket_symbol != 0 && (bucket < variants[i].bucket_min || bucket > variants[i].bucket_max)) continue;
        *out_tactic = step->tactics[i];
        return &variants[i];
    }
    return NULL;
}

/* The most that any tactic needs which may be chosen up to these values. */
static size_t step_workspace(const tn_context *context, const tn_function_step *step, const int64_t *values) {
    const tn_plan_variant *variants = context->engine->view->variants + step->record->first_variant;
    uint32_t bucket_symbol = step->record->bucket_symbol;
    int64_t bucket = bucket_symbol != 0 ? values[bucket_symbol] : TN_SYM_UNKNOWN;
    size_t most = 0;
    bool asks_tactic = !step->is_late && tn_problem_fits(&step->problem, values); /* what does not fit is refused later */
    for (uint32_t i = 0; i < step->record->num_variants; i++) {
        if (variants[i].profile != context->profile || (bucket != TN_SYM_UNKNOWN && variants[i].bucket_min > bucket)) continue;
        const tn_tactic *tactic = step->tactics[i];
        size_t bytes = step->is_late ? (size_t)variants[i].workspace_bytes : 0;
        if (asks_tactic && tactic->workspace_bytes != NULL)
            bytes = tactic->workspace_bytes(&context->engine->device->info, &step->problem, values);
        if (bytes > most) most = bytes;
    }
    return most;
}

static tn_status fail_size(const tn_context *context, uint32_t tensor, tn_diag *diag) {
    const char *name = tn_engine_string(context->engine, context->function->tensors[tensor].name);
    tn_where where = {.subject = name};
    return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot run function '%s': the dimensions of '%s' are negative or too large here",
                      context->function->name, name);
}

/* Rooms of all tensors and places of the activations. */
static tn_status plan_layout(tn_context *context, const int64_t *leaves, const int64_t *values, tn_memory_layout *layout, tn_diag *diag) {
    const tn_function *function = context->function;
    tn_memory_request *requests = context->requests;
    size_t count = 0, host_bytes = 0;
    memcpy(layout->leaves, leaves, function->num_leaves * sizeof *leaves);
    for (uint32_t i = 0; i < function->num_tensors; i++) {
        const tn_plan_tensor *tensor = &function->tensors[i];
        size_t padded;
        if (!tn_tensor_room(function, i, values, &layout->tensor_bytes[i]) || !tn_align_size(layout->tensor_bytes[i], ALIGNMENT, &padded))
            return fail_size(context, i, diag);
        if (tensor->space == TN_SPACE_ACTIVATION) {
            requests[count++] = (tn_memory_request){padded, tensor->first_step, tensor->last_step, 0};
        } else if (tensor->space == TN_SPACE_HOST) {
            layout->tensor_offsets[i] = host_bytes;
            if (!tn_add_size(host_bytes, padded, &host_bytes)) return fail_size(context, i, diag);
        }
    }
    for (uint32_t i = 0; i < function->num_steps; i++) {
        layout->workspace_bytes[i] = 0;
        if (function->steps[i].record->num_variants == 0) continue;
        layout->workspace_bytes[i] = step_workspace(context, &function->steps[i], values);
        size_t padded;
        if (!tn_align_size(layout->workspace_bytes[i], ALIGNMENT, &padded))
            return tn_fail(diag, TN_INVALID_DATA, "cannot run function '%s': a workspace is too large", function->name);
        if (padded > 0) requests[count++] = (tn_memory_request){padded, i, i, 0};
    }
    layout->host_bytes = host_bytes;
    layout->activation_bytes = tn_memory_plan(requests, count, context->request_scratch);
    if (layout->activation_bytes == SIZE_MAX)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot run function '%s': its activations are too large", function->name);
    count = 0;
    for (uint32_t i = 0; i < function->num_tensors; i++)
        if (function->tensors[i].space == TN_SPACE_ACTIVATION) layout->tensor_offsets[i] = requests[count++].offset;
    for (uint32_t i = 0; i < function->num_steps; i++)
        if (layout->workspace_bytes[i] > 0) layout->workspace_offsets[i] = requests[count++].offset;
    return TN_OK;
}

/* Dimensions need not grow with those of the inputs. */
static bool fits(const tn_context *context, const tn_memory_layout *layout) {
    for (uint32_t i = 0; i < context->function->num_tensors; i++) {
        size_t bytes;
        if (!tn_tensor_room(context->function, i, context->values, &bytes) || bytes > layout->tensor_bytes[i]) return false;
    }
    return true;
}

/* --- the cache -------------------------------------------------------------------------------------------------------------------- */

static tn_memory_layout *find_cached(tn_context *context, const int64_t *leaves) {
    size_t size = context->function->num_leaves * sizeof *leaves;
    for (int i = 0; i < TN_MAX_LAYOUTS; i++)
        if (context->layouts[i].is_used && memcmp(context->layouts[i].leaves, leaves, size) == 0) return &context->layouts[i];
    return NULL;
}

static tn_status take_entry(tn_context *context, tn_memory_layout **out_layout) {
    tn_memory_layout *oldest = NULL;
    for (int i = 0; i < TN_MAX_LAYOUTS; i++) {
        tn_memory_layout *layout = &context->layouts[i];
        if (layout->leaves == NULL) {
            *out_layout = layout;
            return tn_memory_layout_create(context, layout);
        }
        if (oldest == NULL || !layout->is_used || (oldest->is_used && layout->last_use < oldest->last_use)) oldest = layout;
    }
    oldest->is_used = false;
    *out_layout = oldest;
    return TN_OK;
}

static tn_status plan_cached(tn_context *context, const int64_t *leaves, const int64_t *values, tn_diag *diag,
                             tn_memory_layout **out_layout) {
    tn_memory_layout *layout;
    tn_status status = take_entry(context, &layout);
    if (status == TN_OK) status = plan_layout(context, leaves, values, layout, diag);
    if (status != TN_OK) return status;
    layout->is_used = true;
    *out_layout = layout;
    return TN_OK;
}

tn_status tn_context_find_layout(tn_context *context, bool exact, const tn_memory_layout **out_layout) {
    const tn_function *function = context->function;
    tn_memory_layout *layout = NULL;
    *out_layout = context->layout;
    if (!exact && context->layout != NULL) return TN_OK;
    if (!exact) {
        for (uint32_t i = 0; i < function->num_leaves; i++)
            context->scratch_leaves[i] = tn_context_bucket(context, &function->leaves[i], context->leaves[i]);
        layout = find_cached(context, context->scratch_leaves);
        if (layout == NULL && tn_function_evaluate(function, context->scratch_leaves, context->quiet, context->scratch_values) == TN_OK) {
            tn_status status = plan_cached(context, context->scratch_leaves, context->scratch_values, context->quiet, &layout);
            if (status == TN_OUT_OF_MEMORY) return status;
        }
        if (layout != NULL && !fits(context, layout)) layout = NULL;
    }
    if (layout == NULL) {
        tn_diag_clear(context->quiet);
        layout = find_cached(context, context->leaves);
        if (layout != NULL && !fits(context, layout)) layout->is_used = false;
        if (layout == NULL || !layout->is_used || exact) {
            tn_status status = plan_cached(context, context->leaves, context->values, context->diag, &layout);
            if (status != TN_OK) return status;
        }
    }
    layout->last_use = ++context->clock;
    context->layout = *out_layout = layout;
    return TN_OK;
}

/* --- memory -------------------------------------------------------------------------------------------------------------------------- */

static tn_status grow_own(tn_context *context, uint32_t index, size_t size_bytes) {
    tn_io_binding *io = &context->io[index];
    bool on_host = context->function->tensors[context->function->io[index]].place == 1;
    tn_status status = tn_context_wait(context);
    if (status != TN_OK) return status;
    void *memory = NULL;
    if (size_bytes == 0) size_bytes = ALIGNMENT;
    if (on_host) {
        memory = tn_alloc_zero(context->allocator, size_bytes);
        if (memory == NULL) return tn_fail_memory(context->diag, "an input or output", size_bytes);
        tn_free(context->allocator, io->own);
    } else {
        status = tn_engine_allocate(context->engine, TN_ACCOUNT_ACTIVATIONS, "an input or output", size_bytes, context->diag, &memory);
        if (status != TN_OK) return status;
        tn_engine_free(context->engine, TN_ACCOUNT_ACTIVATIONS, io->own, io->own_bytes);
    }
    io->own = memory;
    io->own_bytes = size_bytes;
    context->memory_generation++;
    return TN_OK;
}

static tn_status grow_activation(tn_context *context, size_t size_bytes) {
    tn_status status = tn_context_wait(context);
    if (status != TN_OK) return status;
    tn_engine_free(context->engine, TN_ACCOUNT_ACTIVATIONS, context->activation, context->activation_bytes);
    context->activation = NULL;
    context->activation_bytes = 0;
    context->memory_generation++;
    status =
        tn_engine_allocate(context->engine, TN_ACCOUNT_ACTIVATIONS, "the activations", size_bytes, context->diag, &context->activation);
    if (status == TN_OK) context->activation_bytes = size_bytes;
    return status;
}

static tn_status grow_host(tn_context *context, size_t size_bytes) {
    tn_status status = tn_context_wait(context);
    if (status != TN_OK) return status;
    uint8_t *memory = tn_alloc_zero(context->allocator, size_bytes);
    if (memory == NULL) return tn_fail_memory(context->diag, "host tensors", size_bytes);
    tn_free(context->allocator, context->host);
    context->host = memory;
    context->host_bytes = size_bytes;
    context->memory_generation++;
    return TN_OK;
}

/* Device memory of the context between the device and the caller's host memory. */
static bool is_staged(const tn_context *context, uint32_t index) {
    return context->io[index].source == TN_IO_HOST && context->function->tensors[context->function->io[index]].place == 0 &&
           !context->backend->is_host;
}

void tn_context_set_addresses(tn_context *context) {
    for (uint32_t i = 0; i < context->function->num_io; i++) {
        tn_io_binding *io = &context->io[i];
        io->address = io->source == TN_IO_OWN || is_staged(context, i) ? io->own : io->given;
    }
}

tn_status tn_context_reserve(tn_context *context, const tn_memory_layout *layout) {
    const tn_function *function = context->function;
    tn_status status = TN_OK;
    if (layout->activation_bytes > context->activation_bytes) status = grow_activation(context, layout->activation_bytes);
    if (status == TN_OK && layout->host_bytes > context->host_bytes) status = grow_host(context, layout->host_bytes);
    for (uint32_t i = 0; i < function->num_io && status == TN_OK; i++) {
        tn_io_binding *io = &context->io[i];
        size_t needed = layout->tensor_bytes[function->io[i]];
        if ((io->source == TN_IO_OWN || is_staged(context, i)) && (io->own == NULL || io->own_bytes < needed))
            status = grow_own(context, i, needed);
    }
    tn_context_set_addresses(context);
    return status;
}
