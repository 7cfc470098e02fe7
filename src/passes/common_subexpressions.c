/* SPDX-License-Identifier: Apache-2.0
 *
 * common_subexpressions.c: layers that compute the same from the same become one: rotary tables, quantised rows, constants. One
 * walk in order finds all: when a layer is looked at, its inputs are merged already.
 */
#include <string.h>

#include "base/hash.h"
#include "passes/passes_internal.h"

/* Layers whose result is not a function of inputs and parameters, or that do something. */
static bool is_pure(const tn_layer *layer) {
    switch (layer->kind) {
    case TN_OP_CONDITION:
    case TN_OP_TRIP_LIMIT:
    case TN_OP_RECURRENCE:
    case TN_OP_COLLECTIVE:
    case TN_OP_PLUGIN: return false;
    default: break;
    }
    for (size_t i = 0; i < layer->outputs.count; i++) {
        const tn_tensor *output = layer->outputs.data[i];
        if (output->state != NULL || output->is_debug || output->is_output) return false;
    }
    return !layer->is_dead && layer->outputs.count > 0;
}

static bool fields_equal(const tn_op_field *field, const void *a, const void *b) {
    const char *x = (const char *)a + field->offset, *y = (const char *)b + field->offset;
    switch (field->type) {
    case TN_TYPE_BOOL: return *(const bool *)x == *(const bool *)y;
    case TN_TYPE_INT: return *(const int64_t *)(const void *)x == *(const int64_t *)(const void *)y;
    case TN_TYPE_REAL: return memcmp(x, y, sizeof(double)) == 0;
    case TN_TYPE_DTYPE: return *(const tn_dtype *)(const void *)x == *(const tn_dtype *)(const void *)y;
    case TN_TYPE_ENUM: return *(const int *)(const void *)x == *(const int *)(const void *)y;
    case TN_TYPE_TEXT: return memcmp(x, y, sizeof(tn_label)) == 0;
    case TN_TYPE_DIMS: {
        const tn_dims *m = (const void *)x, *n = (const void *)y;
        return m->rank == n->rank && (m->rank <= 0 || memcmp(m->d, n->d, (size_t)m->rank * sizeof *m->d) == 0);
    }
    }
    return false;
}

static bool epilogues_equal(const tn_layer *a, const tn_layer *b) {
    if (a->num_epilogues != b->num_epilogues) return false;
    for (uint32_t i = 0; i < a->num_epilogues; i++) {
        const tn_epilogue *x = &a->epilogues[i], *y = &b->epilogues[i];
        if (x->kind != y->kind || x->activation != y->activation || x->operand != y->operand || x->dtype != y->dtype ||
            x->value != y->value)
            return false;
    }
    return true;
}

static bool layers_equal(const tn_layer *a, const tn_layer *b) {
    if (a->kind != b->kind || a->region != b->region || a->precision != b->precision || a->inputs.count != b->inputs.count ||
        a->outputs.count != b->outputs.count || !epilogues_equal(a, b))
        return false;
    for (size_t i = 0; i < a->inputs.count; i++)
        if (a->inputs.data[i] != b->inputs.data[i]) return false;
    if (a->kind == TN_OP_CONSTANT) return a->weights != NULL && b->weights != NULL && tn_weights_equal(a->weights, b->weights);
    const tn_op_info *info = tn_op_get_info(a->kind);
    for (int i = 0; i < info->num_fields; i++)
        if (!fields_equal(&info->fields[i], &a->params, &b->params)) return false;
    return true;
}

static uint64_t hash_layer(const tn_layer *layer) {
    uint64_t hash = (uint64_t)layer->kind << 32 | layer->region;
    if (layer->kind == TN_OP_CONSTANT && layer->weights != NULL) hash ^= tn_weights_hash(layer->weights);
    for (size_t i = 0; i < layer->inputs.count; i++) {
        const uint64_t words[2] = {hash, layer->inputs.data[i] != NULL ? (uint64_t)layer->inputs.data[i]->id + 1 : 0};
        hash = tn_hash(words, sizeof words, 0);
    }
    return hash;
}

static void merge(tn_network *network, tn_layer *layer, const tn_layer *into) {
    for (size_t i = 0; i < layer->outputs.count; i++) tn_network_replace_uses(network, layer->outputs.data[i], into->outputs.data[i]);
    tn_network_retire(network, layer);
}

tn_status tn_eliminate_common_subexpressions(tn_network *network, size_t *out_num_changes) {
    *out_num_changes = 0;
    size_t num_slots = 64;
    while (num_slots < (size_t)network->num_layers * 2) num_slots *= 2;
    tn_layer **slots = tn_alloc_array(network->allocator, num_slots, sizeof *slots);
    if (slots == NULL) return tn_fail_memory(network->diag, "finding equal layers", num_slots * sizeof *slots);
    for (tn_layer *layer = network->first_layer; layer != NULL; layer = layer->next) {
        if (!is_pure(layer)) continue;
        size_t slot = (size_t)hash_layer(layer) & (num_slots - 1);
        while (slots[slot] != NULL && !layers_equal(slots[slot], layer)) slot = (slot + 1) & (num_slots - 1);
        if (slots[slot] == NULL) {
            slots[slot] = layer;
            continue;
        }
        merge(network, layer, slots[slot]);
        ++*out_num_changes;
    }
    tn_free(network->allocator, slots);
    tn_network_sweep(network);
    return network->out_of_memory ? TN_OUT_OF_MEMORY : TN_OK;
}
