/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_source.c: see memory_source.h. Tensors are kept sorted by name.
 */
#include "weights/memory_source.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

typedef struct memory_source {
    tn_weight_source base;
    tn_arena arena;
    tn_allocator allocator;
    bool has_allocator;
    tn_memory_tensor *tensors;
    size_t num_tensors;
} memory_source;

static int compare_names(const void *a, const void *b) {
    return strcmp(((const tn_memory_tensor *)a)->name, ((const tn_memory_tensor *)b)->name);
}

static const tn_memory_tensor *find_tensor(const memory_source *source, const char *name) {
    tn_memory_tensor key = {.name = name};
    return bsearch(&key, source->tensors, source->num_tensors, sizeof key, compare_names);
}

static tn_status memory_find(tn_weight_source *base, const char *name, tn_weight_desc *out_desc) {
    const tn_memory_tensor *tensor = find_tensor((const memory_source *)(const void *)base, name);
    *out_desc = tensor != NULL ? tensor->desc : (tn_weight_desc){0};
    return tensor != NULL ? TN_OK : TN_NOT_FOUND;
}

static tn_status memory_read(tn_weight_source *base, const char *name, tn_weight_part part, uint64_t offset, size_t size_bytes, void *dst,
                             tn_diag *diag) {
    const tn_memory_tensor *tensor = find_tensor((const memory_source *)(const void *)base, name);
    if (tensor == NULL || tensor->parts.part[part] == NULL)
        return tn_fail_at(diag, TN_NOT_FOUND, &(tn_where){.subject = name}, "cannot read weight '%s': it has no %s", name,
                          tn_weight_part_name(part));
    memcpy(dst, (const char *)tensor->parts.part[part] + offset, size_bytes);
    return TN_OK;
}

static void memory_destroy(tn_weight_source *base) {
    memory_source *source = (memory_source *)(void *)base;
    tn_allocator allocator = source->allocator;
    bool has_allocator = source->has_allocator;
    tn_arena_deinit(&source->arena);
    tn_free(has_allocator ? &allocator : NULL, source);
}

tn_status tn_memory_source_create(const tn_memory_tensor *tensors, size_t num_tensors, const tn_allocator *allocator, tn_diag *diag,
                                  tn_weight_source **out_source) {
    *out_source = NULL;
    memory_source *source = tn_alloc_zero(allocator, sizeof *source);
    if (source == NULL) return tn_fail_memory(diag, "a weight source", sizeof *source);
    source->base = (tn_weight_source){.find = memory_find, .read = memory_read, .destroy = memory_destroy};
    source->has_allocator = allocator != NULL;
    if (allocator != NULL) source->allocator = *allocator;
    source->arena.allocator = allocator != NULL ? &source->allocator : NULL;
    source->tensors = tn_arena_alloc_array(&source->arena, num_tensors, sizeof *tensors);
    tn_status status = source->tensors != NULL ? TN_OK : tn_fail_memory(diag, "a weight source", num_tensors * sizeof *tensors);
    for (size_t i = 0; i < num_tensors && status == TN_OK; i++) {
        source->tensors[i] = tensors[i];
        source->tensors[i].name = tn_arena_string(&source->arena, tensors[i].name);
        if (source->tensors[i].name == NULL) status = tn_fail_memory(diag, "a weight's name", strlen(tensors[i].name));
    }
    if (status == TN_OK) {
        source->num_tensors = num_tensors;
        qsort(source->tensors, num_tensors, sizeof *source->tensors, compare_names);
        for (size_t i = 1; i < num_tensors && status == TN_OK; i++)
            if (compare_names(&source->tensors[i - 1], &source->tensors[i]) == 0)
                status = tn_fail_at(diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = source->tensors[i].name},
                                    "cannot make a weight source: the name '%s' is given twice", source->tensors[i].name);
    }
    if (status != TN_OK) {
        memory_destroy(&source->base);
        return status;
    }
    *out_source = &source->base;
    return TN_OK;
}
