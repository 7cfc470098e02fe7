/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.c: allocation through tn_allocator; see memory.h.
 */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { SMALLEST_CAPACITY = 8 };

/* An allocator reads size 0 as "free", so nothing is ever asked for with it. */
static size_t at_least_one(size_t size_bytes) {
    return size_bytes > 0 ? size_bytes : 1;
}

void *tn_alloc(const tn_allocator *allocator, size_t size_bytes) {
    return tn_realloc(allocator, NULL, size_bytes);
}

void *tn_alloc_zero(const tn_allocator *allocator, size_t size_bytes) {
    /* calloc gets fresh pages that the system zeroes when they are touched: large tables cost only what is used of them */
    if (allocator == NULL || allocator->reallocate == NULL) return calloc(1, at_least_one(size_bytes));
    void *block = tn_alloc(allocator, size_bytes);
    if (block != NULL) memset(block, 0, size_bytes);
    return block;
}

void *tn_alloc_array(const tn_allocator *allocator, size_t count, size_t element_size) {
    size_t size_bytes;
    if (!tn_mul_size(count, element_size, &size_bytes)) return NULL;
    return tn_alloc_zero(allocator, size_bytes);
}

void *tn_realloc(const tn_allocator *allocator, void *block, size_t new_size_bytes) {
    size_t size_bytes = at_least_one(new_size_bytes);
    if (allocator == NULL || allocator->reallocate == NULL) return realloc(block, size_bytes);
    return allocator->reallocate(allocator->user, block, size_bytes);
}

void tn_free(const tn_allocator *allocator, void *block) {
    if (block == NULL) return;
    if (allocator == NULL || allocator->reallocate == NULL) {
        free(block);
    } else {
        (void)allocator->reallocate(allocator->user, block, 0);
    }
}

char *tn_copy_string(const tn_allocator *allocator, const char *string) {
    return tn_copy_bytes(allocator, string, strlen(string));
}

char *tn_copy_bytes(const tn_allocator *allocator, const void *data, size_t size_bytes) {
    size_t with_nul;
    if (!tn_add_size(size_bytes, 1, &with_nul)) return NULL;
    char *copy = tn_alloc(allocator, with_nul);
    if (copy == NULL) return NULL;
    if (size_bytes > 0) memcpy(copy, data, size_bytes);
    copy[size_bytes] = '\0';
    return copy;
}

bool tn_array_reserve_raw(const tn_allocator *allocator, void **data, size_t *capacity, size_t element_size, size_t needed) {
    if (needed <= *capacity) return true;
    size_t new_capacity = *capacity > SMALLEST_CAPACITY / 2 ? *capacity : SMALLEST_CAPACITY / 2;
    size_t size_bytes;
    if (!tn_mul_size(new_capacity, 2, &new_capacity) || new_capacity < needed) new_capacity = needed;
    if (!tn_mul_size(new_capacity, element_size, &size_bytes)) return false;
    /* The caller's member has type T *, not void *: its bytes are copied, because an access as void * would break C's
     * aliasing rule. */
    void *block;
    memcpy(&block, data, sizeof block);
    block = tn_realloc(allocator, block, size_bytes);
    if (block == NULL) return false;
    memcpy(data, &block, sizeof block);
    *capacity = new_capacity;
    return true;
}
