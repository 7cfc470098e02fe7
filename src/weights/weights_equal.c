/* SPDX-License-Identifier: Apache-2.0
 *
 * weights_equal.c: when two recipes are one weight, and walking a recipe's leaves.
 */
#include <string.h>

#include "base/hash.h"
#include "weights/weights.h"

static bool desc_equal(const tn_weight_desc *a, const tn_weight_desc *b) {
    if (a->dtype != b->dtype || a->dims.rank != b->dims.rank || !tn_encoding_equal(&a->encoding, &b->encoding)) return false;
    for (int i = 0; i < a->dims.rank; i++)
        if (a->dims.d[i] != b->dims.d[i]) return false;
    return true;
}

static size_t value_part_bytes(const tn_weights *x, int part) {
    size_t bytes = 0;
    bool fits = tn_encoding_part_bytes(&x->desc.encoding, (tn_weight_part)part, tn_weight_num_rows(&x->desc),
                                       tn_weight_num_columns(&x->desc), &bytes);
    return fits ? bytes : 0;
}

static bool values_equal(const tn_weights *a, const tn_weights *b) {
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        const void *x = a->value.part[part], *y = b->value.part[part];
        size_t bytes = value_part_bytes(a, part);
        if (x != y && bytes > 0 && memcmp(x, y, bytes) != 0) return false;
    }
    return true;
}

static bool names_equal(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool tn_weights_equal(const tn_weights *a, const tn_weights *b) {
    if (a == b) return true;
    if (a->op != b->op || a->num_inputs != b->num_inputs || a->axis != b->axis || a->begin != b->begin || a->end != b->end ||
        a->source != b->source || !names_equal(a->name, b->name) || !desc_equal(&a->desc, &b->desc))
        return false;
    if (a->op == TN_WEIGHTS_VALUE && !values_equal(a, b)) return false;
    if (a->table != b->table && memcmp(a->table, b->table, (size_t)tn_weight_num_rows(&a->desc) * sizeof *a->table) != 0) return false;
    for (uint32_t i = 0; i < a->num_inputs; i++)
        if (!tn_weights_equal(a->inputs[i], b->inputs[i])) return false;
    return true;
}

uint64_t tn_weights_hash(const tn_weights *weights) {
    const tn_weights *x = weights;
    uint64_t seed = tn_hash(x->desc.dims.d, (size_t)x->desc.dims.rank * sizeof x->desc.dims.d[0], (uint64_t)x->op);
    int64_t numbers[3] = {x->axis, x->begin, x->end};
    seed = tn_hash(numbers, sizeof numbers, seed);
    if (x->name != NULL) seed = tn_hash(x->name, strlen(x->name), seed);
    if (x->op == TN_WEIGHTS_VALUE && x->name == NULL)
        for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
            if (value_part_bytes(x, part) > 0) seed = tn_hash(x->value.part[part], value_part_bytes(x, part), seed);
    if (x->table != NULL) seed = tn_hash(x->table, (size_t)tn_weight_num_rows(&x->desc) * sizeof *x->table, seed);
    for (uint32_t i = 0; i < x->num_inputs; i++) {
        uint64_t input = tn_weights_hash(x->inputs[i]);
        seed = tn_hash(&input, sizeof input, seed);
    }
    return seed;
}

bool tn_weights_visit_sources(const tn_weights *weights, bool (*visit)(void *user, const tn_weights *leaf), void *user) {
    bool is_source = weights->op == TN_WEIGHTS_LOAD || (weights->op == TN_WEIGHTS_VALUE && weights->name != NULL);
    if (is_source && !visit(user, weights)) return false;
    for (uint32_t i = 0; i < weights->num_inputs; i++)
        if (!tn_weights_visit_sources(weights->inputs[i], visit, user)) return false;
    return true;
}
