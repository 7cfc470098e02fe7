/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.h: memory with one lifetime. Blocks are handed out from chunks and freed together; there is no free of one block.
 *
 *     tn_arena arena = {.allocator = allocator};      // zero otherwise
 *     char *name = tn_arena_string(&arena, text);     // NULL when out of memory
 *     tn_arena_deinit(&arena);
 *
 * Not locked. Blocks never move. Name an arena by its lifetime: engine_arena, step_arena.
 */
#ifndef TN_BASE_ARENA_H_
#define TN_BASE_ARENA_H_

#include <stdbool.h>
#include <stddef.h>

#include "tenon/allocator.h"

typedef struct tn_arena {
    const tn_allocator *allocator; /* borrowed; NULL: malloc */
    struct tn_arena_chunk *chunks; /* newest first */
    size_t used_bytes;             /* handed out, all chunks together */
    bool out_of_memory;            /* an allocation has failed: tells that apart from other reasons for a NULL further up */
} tn_arena;

void *tn_arena_alloc(tn_arena *arena, size_t size_bytes);                       /* zeroed, aligned to 16; size 0 gives a valid pointer */
void *tn_arena_alloc_array(tn_arena *arena, size_t count, size_t element_size); /* checked multiplication */
char *tn_arena_string(tn_arena *arena, const char *string);
char *tn_arena_bytes(tn_arena *arena, const void *data, size_t size_bytes); /* a copy with a NUL after it */
char *tn_arena_format(tn_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tn_arena_reset(tn_arena *arena);  /* keeps the newest chunk for reuse */
void tn_arena_deinit(tn_arena *arena); /* the struct may be used again */

#endif
