/* SPDX-License-Identifier: Apache-2.0
 *
 * fault_allocator.c: see fault_allocator.h. Each block has a header in front, so that its size and owner are known.
 */
#include "support/fault_allocator.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct block_header {
    alignas(16) const tn_fault_allocator *owner;
    size_t size;
} block_header;

static void raise_to(atomic_size_t *maximum, size_t value) {
    size_t seen = atomic_load(maximum);
    while (value > seen && !atomic_compare_exchange_weak(maximum, &seen, value)) {}
}

static block_header *checked_header(const tn_fault_allocator *fault, void *block) {
    block_header *header = (block_header *)block - 1;
    if (header->owner != fault) {
        (void)fprintf(stderr, "fault_allocator: block %p does not belong to this allocator\n", block);
        abort();
    }
    return header;
}

static void release(tn_fault_allocator *fault, void *block) {
    block_header *header = checked_header(fault, block);
    atomic_fetch_sub(&fault->live_bytes, header->size);
    atomic_fetch_sub(&fault->num_live_blocks, 1);
    header->owner = NULL; /* a second free is noticed even without a sanitizer, mostly */
    free(header);
}

static void *fault_reallocate(void *user, void *block, size_t new_size) {
    tn_fault_allocator *fault = user;
    if (new_size == 0) {
        if (block != NULL) release(fault, block);
        return NULL;
    }
    size_t call = atomic_fetch_add(&fault->num_calls, 1) + 1;
    raise_to(&fault->largest_request_bytes, new_size);
    bool fails = fault->fail_at != 0 && (call == fault->fail_at || (fault->keep_failing && call > fault->fail_at));
    block_header *old = block != NULL ? checked_header(fault, block) : NULL;
    size_t old_size = old != NULL ? old->size : 0;
    block_header *header = NULL;
    if (!fails && new_size <= SIZE_MAX - sizeof *header) header = realloc(old, sizeof *header + new_size);
    if (header == NULL) {
        atomic_fetch_add(&fault->num_failed, 1);
        return NULL;
    }
    *header = (block_header){.owner = fault, .size = new_size};
    if (old_size == 0) atomic_fetch_add(&fault->num_live_blocks, 1);
    raise_to(&fault->peak_bytes, atomic_fetch_add(&fault->live_bytes, new_size) + new_size - old_size);
    atomic_fetch_sub(&fault->live_bytes, old_size);
    return header + 1;
}

void tn_fault_allocator_init(tn_fault_allocator *fault, size_t fail_at) {
    *fault = (tn_fault_allocator){.fail_at = fail_at};
    fault->allocator = (tn_allocator){.user = fault, .reallocate = fault_reallocate};
}
