/* SPDX-License-Identifier: Apache-2.0
 *
 * draft.c: the draft's memory, and its symbols' values at the points of a profile.
 */
#include "builder/draft.h"

#include "base/text.h"

void tn_draft_init(tn_draft *draft, const tn_allocator *allocator, tn_diag *diag) {
    *draft = (tn_draft){.allocator = allocator, .diag = diag, .arena = {.allocator = allocator}};
}

void tn_draft_deinit(tn_draft *draft) {
    const tn_allocator *allocator = draft->allocator;
    for (size_t i = 0; i < draft->functions.count; i++) {
        tn_draft_function *function = &draft->functions.data[i];
        tn_array_deinit(allocator, &function->tensors);
        tn_array_deinit(allocator, &function->symbols);
        tn_array_deinit(allocator, &function->value_bounds);
        tn_array_deinit(allocator, &function->steps);
        tn_array_deinit(allocator, &function->profiles);
    }
    for (size_t i = 0; i < draft->weights.count; i++) tn_array_deinit(allocator, &draft->weights.data[i].readers);
    tn_array_deinit(allocator, &draft->functions);
    tn_array_deinit(allocator, &draft->weights);
    tn_array_deinit(allocator, &draft->states);
    tn_arena_deinit(&draft->arena);
}

typedef struct evaluation {
    const tn_draft_function *function;
    uint32_t profile;
    tn_range_point point;
    uint32_t bucket_symbol;
    int64_t bucket;
    int64_t *values;
} evaluation;

static bool leaf_value(void *user, const tn_sym_node *node, int64_t *out_value) {
    const evaluation *e = user;
    size_t index = (size_t)(node - e->function->symbols.data);
    for (size_t i = 0; node->op == TN_SYM_HOST_VALUE && i < e->function->profiles.count; i++) {
        const tn_plan_profile *row = &e->function->profiles.data[i];
        if (row->profile != e->profile || row->tensor != node->a || row->axis != TN_PROFILE_VALUES + node->b) continue;
        *out_value = e->point == TN_AT_MIN ? row->min : e->point == TN_AT_OPT ? row->opt : row->max;
        return true;
    }
    if (node->op == TN_SYM_HOST_VALUE) {
        uint32_t bound = e->function->value_bounds.data[index];
        *out_value = bound != 0 && e->values[bound] != TN_SYM_UNKNOWN ? e->values[bound] : 1;
        return true;
    }
    if (e->bucket_symbol != 0 && index == e->bucket_symbol) {
        *out_value = e->bucket;
        return true;
    }
    for (size_t i = 0; i < e->function->profiles.count; i++) {
        const tn_plan_profile *row = &e->function->profiles.data[i];
        if (row->profile != e->profile || row->tensor != node->a || row->axis != node->b) continue;
        *out_value = e->point == TN_AT_MIN ? row->min : e->point == TN_AT_OPT ? row->opt : row->max;
        return true;
    }
    return false;
}

tn_status tn_draft_evaluate(const tn_draft *draft, const tn_draft_function *function, uint32_t profile, tn_range_point point,
                            uint32_t bucket_symbol, int64_t bucket, int64_t *values) {
    evaluation e = {
        .function = function, .profile = profile, .point = point, .bucket_symbol = bucket_symbol, .bucket = bucket, .values = values};
    tn_status status = tn_sym_evaluate(function->symbols.data, function->symbols.count, leaf_value, &e, draft->diag, values);
    if (status != TN_OK) return status;
    for (size_t i = 0; i < function->symbols.count; i++)
        if (values[i] == TN_SYM_UNKNOWN || values[i] < 0) values[i] = values[i] == TN_SYM_UNKNOWN ? 1 : values[i];
    return TN_OK;
}
