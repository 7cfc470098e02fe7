/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.h: host memory through a tn_allocator; every allocation of the library goes through here, so that tests can make
 * each one fail in turn. NULL allocator, or a zeroed one = malloc, realloc, free:
 * an object copies its options' allocator, or stays zeroed.
 *
 * All of these return NULL when there is no memory or the size overflows; the caller reports (tn_fail_memory).
 * tn_array_* grow a {data, count, capacity} triple by doubling; on failure the triple is unchanged.
 */
#ifndef TN_BASE_MEMORY_H_
#define TN_BASE_MEMORY_H_

#include <stdbool.h>
#include <stddef.h>

#include "tenon/allocator.h"

void *tn_alloc(const tn_allocator *allocator, size_t size_bytes);
void *tn_alloc_zero(const tn_allocator *allocator, size_t size_bytes);
void *tn_alloc_array(const tn_allocator *allocator, size_t count, size_t element_size); /* zeroed; count 0 gives a freeable block */
void *tn_realloc(const tn_allocator *allocator, void *block, size_t new_size_bytes);
void tn_free(const tn_allocator *allocator, void *block); /* accepts NULL */
char *tn_copy_string(const tn_allocator *allocator, const char *string);
char *tn_copy_bytes(const tn_allocator *allocator, const void *data, size_t size_bytes); /* adds a NUL after them */

/* struct { T *data; size_t count, capacity; } */
#define TN_ARRAY(type)          \
    struct {                    \
        type *data;             \
        size_t count, capacity; \
    }
bool tn_array_reserve_raw(const tn_allocator *allocator, void **data, size_t *capacity, size_t element_size, size_t needed);
/* Makes room for `extra` more elements; true on success. */
#define tn_array_reserve(allocator, array, extra) \
    tn_array_reserve_raw((allocator), (void **)&(array)->data, &(array)->capacity, sizeof *(array)->data, (array)->count + (extra))
/* Appends; true on success. `value` is evaluated only if there is room. */
#define tn_array_push(allocator, array, value) \
    (tn_array_reserve((allocator), (array), 1) ? ((array)->data[(array)->count++] = (value), true) : false)
#define tn_array_deinit(allocator, array) \
    (tn_free((allocator), (array)->data), (array)->data = NULL, (array)->count = 0, (array)->capacity = 0)

#endif
