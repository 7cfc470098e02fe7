/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.c: memory with one lifetime; see arena.h.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

enum { ALIGNMENT = 16, FIRST_CHUNK_BYTES = 4096, LARGEST_GROWTH_BYTES = 1 << 20 };

typedef struct tn_arena_chunk {
    struct tn_arena_chunk *older;
    size_t capacity, used; /* bytes after this header */
} chunk;

/* The header is padded, so that the first byte after it is aligned as the chunk is. */
#define HEADER_BYTES ((sizeof(chunk) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

static uint8_t *chunk_data(chunk *c) {
    return (uint8_t *)c + HEADER_BYTES;
}

/* Chunks double up to a limit; a block that is larger gets a chunk of its own size. */
static bool add_chunk(tn_arena *arena, size_t needed) {
    size_t capacity = FIRST_CHUNK_BYTES - HEADER_BYTES;
    if (arena->chunks != NULL) {
        size_t doubled = arena->chunks->capacity * 2;
        capacity = doubled < LARGEST_GROWTH_BYTES ? doubled : LARGEST_GROWTH_BYTES;
    }
    if (capacity < needed) capacity = needed;
    size_t size_bytes;
    if (!tn_add_size(capacity, HEADER_BYTES, &size_bytes)) return false;
    chunk *added = tn_alloc(arena->allocator, size_bytes);
    if (added == NULL) return false;
    *added = (chunk){.older = arena->chunks, .capacity = capacity};
    arena->chunks = added;
    return true;
}

void *tn_arena_alloc(tn_arena *arena, size_t size_bytes) {
    size_t aligned;
    if (!tn_align_size(size_bytes > 0 ? size_bytes : 1, ALIGNMENT, &aligned)) {
        arena->out_of_memory = true;
        return NULL;
    }
    chunk *newest = arena->chunks;
    if (newest == NULL || newest->capacity - newest->used < aligned) {
        if (!add_chunk(arena, aligned)) {
            arena->out_of_memory = true;
            return NULL;
        }
        newest = arena->chunks;
    }
    void *block = chunk_data(newest) + newest->used;
    newest->used += aligned;
    arena->used_bytes += aligned;
    memset(block, 0, aligned);
    return block;
}

void *tn_arena_alloc_array(tn_arena *arena, size_t count, size_t element_size) {
    size_t size_bytes;
    return tn_arena_alloc(arena, tn_mul_size(count, element_size, &size_bytes) ? size_bytes : SIZE_MAX);
}

char *tn_arena_string(tn_arena *arena, const char *string) {
    return tn_arena_bytes(arena, string, strlen(string));
}

char *tn_arena_bytes(tn_arena *arena, const void *data, size_t size_bytes) {
    size_t with_nul;
    if (!tn_add_size(size_bytes, 1, &with_nul)) return NULL;
    char *copy = tn_arena_alloc(arena, with_nul);
    if (copy != NULL && size_bytes > 0) memcpy(copy, data, size_bytes);
    return copy;
}

char *tn_arena_format(tn_arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) return NULL;
    char *string = tn_arena_alloc(arena, (size_t)length + 1);
    if (string == NULL) return NULL;
    va_start(args, format);
    (void)vsnprintf(string, (size_t)length + 1, format, args);
    va_end(args);
    return string;
}

static void free_chunks(tn_arena *arena, chunk *first) {
    while (first != NULL) {
        chunk *older = first->older;
        tn_free(arena->allocator, first);
        first = older;
    }
}

void tn_arena_reset(tn_arena *arena) {
    arena->used_bytes = 0;
    if (arena->chunks == NULL) return;
    free_chunks(arena, arena->chunks->older);
    arena->chunks->older = NULL;
    arena->chunks->used = 0;
}

void tn_arena_deinit(tn_arena *arena) {
    free_chunks(arena, arena->chunks);
    arena->chunks = NULL;
    arena->used_bytes = 0;
}
