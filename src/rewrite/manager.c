/* SPDX-License-Identifier: Apache-2.0
 *
 * manager.c: patterns by label, for code that collects them from several places.
 */
#include <string.h>

#include "rewrite/rewrite.h"

typedef struct entry {
    const char *label;
    const tn_pattern_rewriter *rewriter; /* one of the two */
    const tn_pattern_analyzer *analyzer;
} entry;

struct tn_rewrite_manager {
    const tn_allocator *allocator;
    tn_allocator allocator_copy;
    tn_diag *diag;
    tn_arena arena; /* labels and patterns */
    TN_ARRAY(entry) entries;
};

tn_status tn_rewrite_manager_create(const tn_allocator *allocator, tn_diag *diag, tn_rewrite_manager **out_manager) {
    *out_manager = NULL;
    tn_rewrite_manager *manager = tn_alloc_zero(allocator, sizeof *manager);
    if (manager == NULL) return tn_fail_memory(diag, "a pattern manager", sizeof *manager);
    if (allocator != NULL) {
        manager->allocator_copy = *allocator;
        manager->allocator = &manager->allocator_copy;
    }
    manager->diag = diag;
    manager->arena.allocator = manager->allocator;
    *out_manager = manager;
    return TN_OK;
}

void tn_rewrite_manager_destroy(tn_rewrite_manager *manager) {
    if (manager == NULL) return;
    tn_allocator copy = manager->allocator_copy;
    const tn_allocator *allocator = manager->allocator != NULL ? &copy : NULL;
    tn_array_deinit(allocator, &manager->entries);
    manager->arena.allocator = allocator;
    tn_arena_deinit(&manager->arena);
    tn_free(allocator, manager);
}

static const entry *find(const tn_rewrite_manager *manager, const char *label) {
    for (size_t i = 0; i < manager->entries.count; i++)
        if (strcmp(manager->entries.data[i].label, label) == 0) return &manager->entries.data[i];
    return NULL;
}

const tn_pattern_rewriter *tn_rewrite_manager_get(const tn_rewrite_manager *manager, const char *label) {
    const entry *found = find(manager, label);
    return found != NULL ? found->rewriter : NULL;
}

const tn_pattern_analyzer *tn_rewrite_manager_get_analyzer(const tn_rewrite_manager *manager, const char *label) {
    const entry *found = find(manager, label);
    return found != NULL ? found->analyzer : NULL;
}

/* Copies what the pattern points to; `copy` gets the pattern itself. */
static tn_status add_entry(tn_rewrite_manager *manager, const char *label, entry added, const char **name, const tn_op_kind **kinds,
                           uint32_t num_kinds) {
    tn_arena *arena = &manager->arena;
    added.label = tn_arena_string(arena, label);
    char *name_copy = tn_arena_string(arena, *name);
    tn_op_kind *kinds_copy = tn_arena_alloc_array(arena, num_kinds, sizeof *kinds_copy);
    if (added.label == NULL || name_copy == NULL || kinds_copy == NULL || !tn_array_push(manager->allocator, &manager->entries, added))
        return tn_fail_memory(manager->diag, "a pattern", sizeof added);
    if (num_kinds > 0) memcpy(kinds_copy, *kinds, num_kinds * sizeof *kinds_copy);
    *name = name_copy;
    *kinds = kinds_copy;
    return TN_OK;
}

static tn_status check_label(const tn_rewrite_manager *manager, const char *label) {
    if (find(manager, label) == NULL) return TN_OK;
    return tn_fail_at(manager->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = label}, "cannot add pattern '%s': the label is taken",
                      label);
}

tn_status tn_rewrite_manager_add(tn_rewrite_manager *manager, const char *label, const tn_pattern_rewriter *pattern) {
    tn_status status = check_label(manager, label);
    if (status != TN_OK) return status;
    tn_pattern_rewriter *copy = tn_arena_alloc(&manager->arena, sizeof *copy);
    if (copy == NULL) return tn_fail_memory(manager->diag, "a pattern", sizeof *copy);
    *copy = *pattern;
    return add_entry(manager, label, (entry){.rewriter = copy}, &copy->name, &copy->root_kinds, copy->num_root_kinds);
}

tn_status tn_rewrite_manager_add_analyzer(tn_rewrite_manager *manager, const char *label, const tn_pattern_analyzer *pattern) {
    tn_status status = check_label(manager, label);
    if (status != TN_OK) return status;
    tn_pattern_analyzer *copy = tn_arena_alloc(&manager->arena, sizeof *copy);
    if (copy == NULL) return tn_fail_memory(manager->diag, "a pattern", sizeof *copy);
    *copy = *pattern;
    return add_entry(manager, label, (entry){.analyzer = copy}, &copy->name, &copy->root_kinds, copy->num_root_kinds);
}

tn_status tn_rewrite_manager_rewrite(tn_rewrite_manager *manager, tn_network *network, void *args, size_t *out_num_rewrites) {
    const tn_pattern_rewriter **patterns = tn_alloc_array(manager->allocator, manager->entries.count, sizeof *patterns);
    if (patterns == NULL) return tn_fail_memory(manager->diag, "rewriting", manager->entries.count * sizeof *patterns);
    uint32_t count = 0;
    for (size_t i = 0; i < manager->entries.count; i++)
        if (manager->entries.data[i].rewriter != NULL) patterns[count++] = manager->entries.data[i].rewriter;
    tn_status status = tn_rewrite(network, patterns, count, args, out_num_rewrites);
    tn_free(manager->allocator, patterns);
    return status;
}

tn_status tn_rewrite_manager_analyze(tn_rewrite_manager *manager, tn_network *network, void *args, size_t *out_num_matches) {
    const tn_pattern_analyzer **patterns = tn_alloc_array(manager->allocator, manager->entries.count, sizeof *patterns);
    if (patterns == NULL) return tn_fail_memory(manager->diag, "analysing", manager->entries.count * sizeof *patterns);
    uint32_t count = 0;
    for (size_t i = 0; i < manager->entries.count; i++)
        if (manager->entries.data[i].analyzer != NULL) patterns[count++] = manager->entries.data[i].analyzer;
    tn_status status = tn_analyze(network, patterns, count, args, out_num_matches);
    tn_free(manager->allocator, patterns);
    return status;
}
