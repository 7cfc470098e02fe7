/* SPDX-License-Identifier: Apache-2.0
 *
 * manager.c: public patterns by label, and running them: the driver of rewrite.h on a network that is saved before.
 */
#include <string.h>

#include "rewrite/rewrite.h"

typedef struct entry {
    const char *label;
    const tn_pattern_rewriter *rewriter; /* one of the two, and what the driver takes */
    const tn_pattern *pattern;
    const tn_pattern_analyzer *analyzer;
    const tn_analysis *analysis;
} entry;

struct tn_pattern_manager {
    const tn_allocator *allocator;
    tn_allocator allocator_copy;
    tn_diag *diag;
    tn_arena arena; /* labels and patterns */
    TN_ARRAY(entry) entries;
};

void tn_pattern_manager_options_init(tn_pattern_manager_options *options) {
    *options = (tn_pattern_manager_options){.struct_size = sizeof *options};
}

void tn_pattern_rewriter_init(tn_pattern_rewriter *pattern) {
    *pattern = (tn_pattern_rewriter){.struct_size = sizeof *pattern};
}

void tn_pattern_analyzer_init(tn_pattern_analyzer *pattern) {
    *pattern = (tn_pattern_analyzer){.struct_size = sizeof *pattern};
}

tn_status tn_pattern_manager_create(const tn_pattern_manager_options *options, tn_pattern_manager **out_manager) {
    *out_manager = NULL;
    tn_pattern_manager_options defaults;
    tn_pattern_manager_options_init(&defaults);
    if (options == NULL) options = &defaults;
    if (options->struct_size != sizeof *options)
        return tn_fail(options->diag, TN_INVALID_ARGUMENT,
                       "cannot create a pattern manager: its options were not made by tn_pattern_manager_options_init");
    tn_pattern_manager *manager = tn_alloc_zero(options->allocator, sizeof *manager);
    if (manager == NULL) return tn_fail_memory(options->diag, "a pattern manager", sizeof *manager);
    if (options->allocator != NULL) {
        manager->allocator_copy = *options->allocator;
        manager->allocator = &manager->allocator_copy;
    }
    manager->diag = options->diag;
    manager->arena.allocator = manager->allocator;
    *out_manager = manager;
    return TN_OK;
}

void tn_pattern_manager_destroy(tn_pattern_manager *manager) {
    if (manager == NULL) return;
    tn_allocator copy = manager->allocator_copy;
    const tn_allocator *allocator = manager->allocator != NULL ? &copy : NULL;
    tn_array_deinit(allocator, &manager->entries);
    manager->arena.allocator = allocator;
    tn_arena_deinit(&manager->arena);
    tn_free(allocator, manager);
}

/* --- adding --------------------------------------------------------------------------------------------------------------- */

static const entry *find(const tn_pattern_manager *manager, const char *label) {
    for (size_t i = 0; manager != NULL && label != NULL && i < manager->entries.count; i++)
        if (strcmp(manager->entries.data[i].label, label) == 0) return &manager->entries.data[i];
    return NULL;
}

const tn_pattern_rewriter *tn_pattern_manager_get_rewriter(const tn_pattern_manager *manager, const char *label) {
    const entry *found = find(manager, label);
    return found != NULL ? found->rewriter : NULL;
}

const tn_pattern_analyzer *tn_pattern_manager_get_analyzer(const tn_pattern_manager *manager, const char *label) {
    const entry *found = find(manager, label);
    return found != NULL ? found->analyzer : NULL;
}

static tn_status fail_to_add(const tn_pattern_manager *manager, const char *label, const char *reason, const char *value) {
    return tn_fail_at(manager->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = label}, "cannot add pattern '%s': %s%s",
                      label != NULL ? label : "", reason, value);
}

/* What both sorts of patterns have. */
typedef struct common {
    const char *label, *name;
    const char *const *root_kinds;
    uint32_t num_root_kinds;
    bool is_initialised, can_run;
} common;

static tn_status check(const tn_pattern_manager *manager, const common *pattern) {
    if (!pattern->is_initialised) return fail_to_add(manager, pattern->label, "it was not made by its _init function", "");
    if (pattern->name == NULL || pattern->name[0] == '\0') return fail_to_add(manager, pattern->label, "it has no name", "");
    if (!pattern->can_run)
        return fail_to_add(manager, pattern->label, "it has nothing to run: match and rewrite, or match_and_rewrite alone, or analyze", "");
    if (find(manager, pattern->label) != NULL) return fail_to_add(manager, pattern->label, "the label is taken", "");
    if (pattern->num_root_kinds > 0 && pattern->root_kinds == NULL)
        return fail_to_add(manager, pattern->label, "its root kinds are missing", "");
    for (uint32_t i = 0; i < pattern->num_root_kinds; i++) {
        const char *kind = pattern->root_kinds[i];
        tn_op_kind ignored;
        if (kind == NULL || !tn_op_find(kind, &ignored))
            return fail_to_add(manager, pattern->label, "there is no layer of the kind ", kind != NULL ? kind : "NULL");
    }
    return TN_OK;
}

/* Copies of names and kinds, the kinds also as the driver wants them. */
static bool copy_common(tn_pattern_manager *manager, common *pattern, const tn_op_kind **out_kinds) {
    tn_arena *arena = &manager->arena;
    tn_op_kind *kinds = tn_arena_alloc_array(arena, pattern->num_root_kinds, sizeof *kinds);
    const char **names = tn_arena_alloc_array(arena, pattern->num_root_kinds, sizeof *names);
    pattern->label = tn_arena_string(arena, pattern->label);
    pattern->name = tn_arena_string(arena, pattern->name);
    bool complete = kinds != NULL && names != NULL && pattern->label != NULL && pattern->name != NULL;
    for (uint32_t i = 0; complete && i < pattern->num_root_kinds; i++) {
        complete = tn_op_find(pattern->root_kinds[i], &kinds[i]);
        names[i] = tn_op_get_info(kinds[i])->name;
    }
    pattern->root_kinds = names;
    *out_kinds = kinds;
    return complete;
}

tn_status tn_pattern_manager_add_rewriter(tn_pattern_manager *manager, const char *label, const tn_pattern_rewriter *pattern) {
    if (manager == NULL || pattern == NULL)
        return tn_fail(manager != NULL ? manager->diag : NULL, TN_INVALID_ARGUMENT,
                       "cannot add a pattern: the manager or the pattern is missing");
    bool is_separate = pattern->match != NULL && pattern->rewrite != NULL && pattern->match_and_rewrite == NULL;
    bool is_combined = pattern->match == NULL && pattern->rewrite == NULL && pattern->match_and_rewrite != NULL;
    common both = {label != NULL ? label : pattern->name,
                   pattern->name,
                   pattern->root_kinds,
                   pattern->num_root_kinds,
                   pattern->struct_size == sizeof *pattern,
                   is_separate || is_combined};
    tn_status status = check(manager, &both);
    if (status != TN_OK) return status;
    const tn_op_kind *kinds = NULL;
    tn_pattern_rewriter *copy = tn_arena_alloc(&manager->arena, sizeof *copy);
    tn_pattern *inner = tn_arena_alloc(&manager->arena, sizeof *inner);
    if (copy == NULL || inner == NULL || !copy_common(manager, &both, &kinds) ||
        !tn_array_push(manager->allocator, &manager->entries, ((entry){.label = both.label, .rewriter = copy, .pattern = inner})))
        return tn_fail_memory(manager->diag, "a pattern", sizeof *copy);
    *copy = *pattern;
    copy->name = both.name;
    copy->root_kinds = both.root_kinds;
    *inner = (tn_pattern){.name = both.name,
                          .root_kinds = kinds,
                          .num_root_kinds = both.num_root_kinds,
                          .benefit = pattern->benefit,
                          .match = pattern->match,
                          .rewrite = pattern->rewrite,
                          .match_and_rewrite = pattern->match_and_rewrite,
                          .user = pattern->user};
    return TN_OK;
}

tn_status tn_pattern_manager_add_analyzer(tn_pattern_manager *manager, const char *label, const tn_pattern_analyzer *pattern) {
    if (manager == NULL || pattern == NULL)
        return tn_fail(manager != NULL ? manager->diag : NULL, TN_INVALID_ARGUMENT,
                       "cannot add a pattern: the manager or the pattern is missing");
    common both = {label != NULL ? label : pattern->name,   pattern->name,           pattern->root_kinds, pattern->num_root_kinds,
                   pattern->struct_size == sizeof *pattern, pattern->analyze != NULL};
    tn_status status = check(manager, &both);
    if (status != TN_OK) return status;
    const tn_op_kind *kinds = NULL;
    tn_pattern_analyzer *copy = tn_arena_alloc(&manager->arena, sizeof *copy);
    tn_analysis *inner = tn_arena_alloc(&manager->arena, sizeof *inner);
    if (copy == NULL || inner == NULL || !copy_common(manager, &both, &kinds) ||
        !tn_array_push(manager->allocator, &manager->entries, ((entry){.label = both.label, .analyzer = copy, .analysis = inner})))
        return tn_fail_memory(manager->diag, "a pattern", sizeof *copy);
    *copy = *pattern;
    copy->name = both.name;
    copy->root_kinds = both.root_kinds;
    *inner = (tn_analysis){.name = both.name,
                           .root_kinds = kinds,
                           .num_root_kinds = both.num_root_kinds,
                           .benefit = pattern->benefit,
                           .match = pattern->match,
                           .analyze = pattern->analyze,
                           .user = pattern->user};
    return TN_OK;
}

/* --- running -------------------------------------------------------------------------------------------------------------- */

static tn_status check_run(const tn_pattern_manager *manager, const tn_network *network) {
    if (manager == NULL || network == NULL)
        return tn_fail(network != NULL ? network->diag : NULL, TN_INVALID_ARGUMENT,
                       "cannot run patterns: the manager or the network is missing");
    if (!network->failed || network->layer_added != NULL || network->frozen_by != NULL) return TN_OK;
    return tn_fail(network->diag, network->out_of_memory ? TN_OUT_OF_MEMORY : TN_INVALID_ARGUMENT,
                   "cannot run patterns: the network's definition has errors");
}

/* The driver's run between saving and, if it failed, going back. */
static tn_status run_saved(tn_network *network, const tn_pattern *const *patterns, uint32_t num_patterns, void *args,
                           size_t *out_num_rewrites) {
    if (tn_rewriter_of(network) != NULL || network->frozen_by != NULL) /* which says so */
        return tn_rewrite_without_sweep(network, patterns, num_patterns, args, out_num_rewrites);
    tn_network_saved *saved;
    tn_status status = tn_network_save(network, &saved);
    if (status != TN_OK) return status;
    status = tn_rewrite_without_sweep(network, patterns, num_patterns, args, out_num_rewrites);
    if (status == TN_OK)
        tn_network_remove_dead(network);
    else
        tn_network_restore(network, saved);
    tn_network_saved_destroy(saved);
    return status;
}

tn_status tn_pattern_manager_rewrite(tn_pattern_manager *manager, tn_network *network, void *args, size_t *out_num_rewrites) {
    if (out_num_rewrites != NULL) *out_num_rewrites = 0;
    tn_status status = check_run(manager, network);
    if (status != TN_OK) return status;
    const tn_pattern **patterns = tn_alloc_array(manager->allocator, manager->entries.count, sizeof *patterns);
    if (patterns == NULL) return tn_fail_memory(network->diag, "rewriting", manager->entries.count * sizeof *patterns);
    uint32_t count = 0;
    for (size_t i = 0; i < manager->entries.count; i++)
        if (manager->entries.data[i].pattern != NULL) patterns[count++] = manager->entries.data[i].pattern;
    status = run_saved(network, patterns, count, args, out_num_rewrites);
    tn_free(manager->allocator, patterns);
    return status;
}

tn_status tn_pattern_manager_analyze(tn_pattern_manager *manager, tn_network *network, void *args, size_t *out_num_matches) {
    size_t num_matches = 0;
    if (out_num_matches != NULL) *out_num_matches = 0;
    tn_status status = check_run(manager, network);
    if (status != TN_OK) return status;
    const tn_analysis **patterns = tn_alloc_array(manager->allocator, manager->entries.count, sizeof *patterns);
    if (patterns == NULL) return tn_fail_memory(network->diag, "analysing", manager->entries.count * sizeof *patterns);
    uint32_t count = 0;
    for (size_t i = 0; i < manager->entries.count; i++)
        if (manager->entries.data[i].analysis != NULL) patterns[count++] = manager->entries.data[i].analysis;
    bool is_inside = network->layer_added != NULL || network->frozen_by != NULL;
    bool had_failed = network->failed;
    status = tn_analyze(network, patterns, count, args, &num_matches);
    if (!is_inside) network->failed = had_failed; /* what failed was refused, and changed nothing */
    tn_free(manager->allocator, patterns);
    if (status == TN_OK && out_num_matches != NULL) *out_num_matches = num_matches;
    return status;
}
