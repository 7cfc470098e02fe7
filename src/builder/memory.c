/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.c: what building and running will need, before either starts.
 */
#include "base/checked.h"
#include "builder/builder_internal.h"
#include "plan/memory_plan.h"

enum { PACK_BUFFER_BYTES = 32 << 20 };

typedef struct memory_needs {
    size_t weights, largest_weight, activations, packing;
} memory_needs;

static tn_status needs_of_weights(const tn_draft *draft, memory_needs *needs) {
    for (size_t i = 0; i < draft->weights.count; i++) {
        size_t size;
        const tn_draft_weight *weight = &draft->weights.data[i];
        if (tn_weights_packed_bytes(&weight->weights->desc, weight->layout, &size) != TN_OK ||
            !tn_add_size(needs->weights, size, &needs->weights))
            return tn_fail_at(draft->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = weight->name}, "weight '%s' is too large",
                              weight->name);
        if (size > needs->largest_weight) needs->largest_weight = size;
    }
    return TN_OK;
}

/* One function's activations with one profile at its largest. */
static tn_status activations_of(const tn_draft *draft, const tn_draft_function *f, uint32_t profile, size_t *out_bytes) {
    size_t count = f->tensors.count, num_requests = 0;
    int64_t *values = tn_alloc_array(draft->allocator, f->symbols.count, sizeof *values);
    tn_memory_request *requests = tn_alloc_array(draft->allocator, count, sizeof *requests);
    uint32_t *scratch = tn_alloc_array(draft->allocator, count, sizeof *scratch);
    tn_status status = values != NULL && requests != NULL && scratch != NULL ? tn_draft_evaluate(draft, f, profile, TN_AT_MAX, 0, 0, values)
                                                                             : tn_fail_memory(draft->diag, "planning memory", count * 64);
    for (size_t i = 0; i < count && status == TN_OK; i++) {
        const tn_draft_tensor *tensor = &f->tensors.data[i];
        if (tensor->space != TN_SPACE_ACTIVATION || !tensor->is_used) continue;
        tn_operand operand = {.dtype = tensor->dtype, .rank = (uint8_t)tensor->rank};
        for (uint32_t k = 0; k < tensor->rank; k++) operand.dims[k] = tensor->max_dims[k];
        tn_memory_request *request = &requests[num_requests++];
        *request = (tn_memory_request){.first_step = tensor->first_step, .last_step = tensor->last_step};
        if (!tn_operand_bytes(&operand, values, &request->size_bytes))
            status = tn_fail_at(draft->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = tensor->name},
                                "tensor '%s' is too large at the largest dimensions of profile %u", tensor->name, profile);
    }
    if (status == TN_OK) *out_bytes = tn_memory_plan(requests, num_requests, scratch);
    tn_free(draft->allocator, values);
    tn_free(draft->allocator, requests);
    tn_free(draft->allocator, scratch);
    return status;
}

tn_status tn_builder_check_memory(const tn_draft *draft, tn_device *device, const tn_builder_config *config) {
    memory_needs needs = {0};
    tn_status status = needs_of_weights(draft, &needs);
    for (size_t f = 0; f < draft->functions.count && status == TN_OK; f++)
        for (uint32_t profile = 0; profile < draft->functions.data[f].num_profiles && status == TN_OK; profile++) {
            size_t bytes = 0;
            status = activations_of(draft, &draft->functions.data[f], profile, &bytes);
            if (bytes > needs.activations) needs.activations = bytes;
        }
    if (status != TN_OK) return status;
    bool in_memory = config->output_path == NULL;
    needs.packing = in_memory ? 0 : needs.largest_weight > PACK_BUFFER_BYTES ? needs.largest_weight : PACK_BUFFER_BYTES;
    if (!in_memory && needs.weights < needs.packing) needs.packing = needs.weights;
    if (!device->backend->is_host) needs.packing = 0; /* on the host; the limit is the device's */
    size_t total, available = tn_device_available_memory_bytes(device), limit = available;
    if (config->memory_limit_bytes != 0 && config->memory_limit_bytes < limit) limit = config->memory_limit_bytes;
    bool fits = tn_add_size(needs.weights, needs.activations, &total) && tn_add_size(total, needs.packing, &total) && total <= limit;
    char weights[32], activations[32], packing[32], sum[32], least[32], free_now[32];
    (void)tn_format_bytes(needs.weights, weights);
    (void)tn_format_bytes(needs.activations, activations);
    (void)tn_format_bytes(needs.packing, packing);
    (void)tn_format_bytes(fits ? total : needs.weights + needs.activations + needs.packing, sum);
    (void)tn_format_bytes(limit, least);
    (void)tn_format_bytes(available, free_now);
    if (fits) {
        tn_info(draft->diag, NULL, "memory: weights %s, activations %s, packing %s, together %s of %s", weights, activations, packing, sum,
                least);
        return TN_OK;
    }
    return tn_fail_at(draft->diag, TN_OUT_OF_MEMORY,
                      &(tn_where){.hint = "make the largest sequence or batch smaller, use a smaller model, or raise --mem-limit"},
                      "cannot build: the memory is too small\n"
                      "  weights      %s\n  activations  %s\n  packing      %s\n  together     %s\n  limit        %s (free here: %s)",
                      weights, activations, packing, sum, least, free_now);
}
