/* SPDX-License-Identifier: Apache-2.0
 *
 * bucket.c: the symbol that a step's tactics are chosen by at run time, and the ranges of it that are judged one by one.
 */
#include <string.h>

#include "builder/select.h"

enum { LARGEST_POINT = 512, MAX_CANDIDATES = 64 };

/* Dimensions of inputs that may vary: candidates, the function's tokens (or else its first) before all others. */
typedef struct candidates {
    uint32_t symbols[MAX_CANDIDATES];
    uint32_t count;
    uint64_t *reach; /* [symbols of the function]: which candidates each depends on */
} candidates;

static uint32_t symbol_of(const tn_draft_function *f, const tn_plan_profile *row) {
    return row->axis < TN_MAX_RANK ? f->tensors.data[row->tensor].dims[row->axis] : 0; /* 0: a value, by which nothing is chosen */
}

static void find_candidates(const tn_draft_function *f, candidates *c) {
    for (size_t i = 0; i < f->profiles.count && c->count < MAX_CANDIDATES; i++) {
        const tn_plan_profile *row = &f->profiles.data[i];
        uint32_t symbol = symbol_of(f, row);
        bool is_known = symbol == 0 || f->symbols.data[symbol].op != TN_SYM_INPUT_DIM;
        for (uint32_t k = 0; k < c->count; k++) is_known = is_known || c->symbols[k] == symbol;
        if (is_known) continue;
        c->symbols[c->count++] = symbol;
        const char *name = f->tensors.data[row->tensor].dim_names[row->axis];
        if (name == NULL || strcmp(name, "num_tokens") != 0) continue;
        c->symbols[c->count - 1] = c->symbols[0];
        c->symbols[0] = symbol;
    }
}

/* Nodes stand after their operands. */
static void find_reach(const tn_draft_function *f, candidates *c) {
    for (size_t i = 0; i < f->symbols.count; i++) {
        const tn_sym_node *node = &f->symbols.data[i];
        c->reach[i] = 0;
        for (uint32_t k = 0; k < c->count; k++)
            if (c->symbols[k] == i) c->reach[i] = (uint64_t)1 << k;
        if (node->op <= TN_SYM_HOST_VALUE) continue;
        c->reach[i] |= c->reach[node->a] | c->reach[node->b] | (node->op == TN_SYM_SELECT ? c->reach[node->c] : 0);
    }
}

static uint32_t symbol_for(const tn_draft_step *step, const candidates *c) {
    uint64_t reached = 0;
    for (uint32_t i = 0; i < step->problem.num_operands; i++)
        for (int axis = 0; axis < step->operands[i].rank && !step->operands[i].absent; axis++)
            reached |= c->reach[step->operands[i].dims[axis]];
    for (uint32_t k = 0; k < c->count; k++)
        if ((reached >> k & 1) != 0) return c->symbols[k];
    return 0;
}

static const tn_plan_profile *limits_of(const tn_draft_function *f, uint32_t profile, uint32_t symbol) {
    for (size_t i = 0; i < f->profiles.count && symbol != 0; i++)
        if (f->profiles.data[i].profile == profile && symbol_of(f, &f->profiles.data[i]) == symbol) return &f->profiles.data[i];
    return NULL;
}

static tn_status add_range(selector *s, selector_bucket *bucket, selector_range range, int64_t point) {
    const tn_draft_function *f = &s->draft->functions.data[bucket->function];
    size_t count = f->symbols.count;
    range.point_values = tn_arena_alloc_array(&s->draft->arena, count, sizeof *range.point_values);
    range.max_values = tn_arena_alloc_array(&s->draft->arena, count, sizeof *range.max_values);
    if (range.point_values == NULL || range.max_values == NULL || !tn_array_push(s->draft->allocator, &bucket->ranges, range))
        return tn_fail_memory(s->draft->diag, "selecting tactics", count * sizeof(int64_t));
    tn_status status = tn_draft_evaluate(s->draft, f, range.profile, TN_AT_OPT, bucket->symbol, point, range.point_values);
    if (status == TN_OK) status = tn_draft_evaluate(s->draft, f, range.profile, TN_AT_MAX, bucket->symbol, range.max, range.max_values);
    return status;
}

static tn_status make_ranges(selector *s, selector_bucket *bucket) {
    const tn_draft_function *f = &s->draft->functions.data[bucket->function];
    const tn_backend *backend = s->options->device->backend;
    tn_status status = TN_OK;
    for (uint32_t profile = 0; profile < f->num_profiles && status == TN_OK; profile++) {
        const tn_plan_profile *limits = limits_of(f, profile, bucket->symbol);
        if (limits == NULL) {
            status = add_range(s, bucket, (selector_range){.profile = profile, .min = 0, .max = INT64_MAX}, 0);
            continue;
        }
        int64_t begin = limits->min;
        for (size_t i = 0; i <= backend->num_range_ends && status == TN_OK; i++) {
            bool is_last = i == backend->num_range_ends || backend->range_ends[i] >= limits->max;
            int64_t end = is_last ? limits->max : backend->range_ends[i];
            if (begin > end) continue;
            int64_t point = limits->opt >= begin && limits->opt <= end ? limits->opt : end;
            if (point > LARGEST_POINT && begin <= LARGEST_POINT) point = LARGEST_POINT;
            status = add_range(s, bucket, (selector_range){.profile = profile, .min = begin, .max = end}, point);
            begin = end + 1;
        }
    }
    return status;
}

static selector_bucket *find_bucket(const selector *s, uint32_t function, uint32_t symbol) {
    for (size_t i = 0; i < s->buckets.count; i++)
        if (s->buckets.data[i].function == function && s->buckets.data[i].symbol == symbol) return &s->buckets.data[i];
    return NULL;
}

static tn_status assign_function(selector *s, uint32_t function) {
    tn_draft_function *f = &s->draft->functions.data[function];
    candidates c = {.count = 0};
    c.reach = tn_alloc_array(s->draft->allocator, f->symbols.count, sizeof *c.reach);
    if (c.reach == NULL) return tn_fail_memory(s->draft->diag, "selecting tactics", f->symbols.count * sizeof *c.reach);
    find_candidates(f, &c);
    find_reach(f, &c);
    tn_status status = TN_OK;
    for (size_t i = 0; i < f->steps.count && status == TN_OK; i++) {
        tn_draft_step *step = &f->steps.data[i];
        if (!step->has_problem || step->record.device == 0) continue;
        step->record.bucket_symbol = symbol_for(step, &c);
        if (find_bucket(s, function, step->record.bucket_symbol) != NULL) continue;
        selector_bucket bucket = {.function = function, .symbol = step->record.bucket_symbol};
        if (tn_array_push(s->draft->allocator, &s->buckets, bucket))
            status = make_ranges(s, &s->buckets.data[s->buckets.count - 1]);
        else
            status = tn_fail_memory(s->draft->diag, "selecting tactics", sizeof bucket);
    }
    tn_free(s->draft->allocator, c.reach);
    return status;
}

tn_status bucket_assign_all(selector *s) {
    tn_status status = TN_OK;
    for (uint32_t f = 0; f < s->draft->functions.count && status == TN_OK; f++) status = assign_function(s, f);
    return status;
}

const selector_bucket *bucket_of(const selector *s, uint32_t function, const tn_draft_step *step) {
    return find_bucket(s, function, step->record.bucket_symbol);
}
