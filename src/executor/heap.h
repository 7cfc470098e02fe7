/* SPDX-License-Identifier: Apache-2.0
 *
 * heap.h: sequences in an order, with removal from anywhere: the queue by priority, and the time limits. Each sequence knows its
 * place in each heap. Not locked. Room is made by whoever enqueues, so that pushing never fails.
 */
#ifndef TN_EXECUTOR_HEAP_H_
#define TN_EXECUTOR_HEAP_H_

#include "executor/sequence.h"

typedef struct tn_heap {
    tn_sequence **items;
    int32_t count;
    size_t capacity;
    bool (*is_before)(const tn_sequence *a, const tn_sequence *b);
    int order; /* index of sequence.heap_index that this heap keeps */
} tn_heap;

TN_MUST_CHECK bool tn_heap_reserve(tn_heap *heap, const tn_allocator *allocator, size_t count);
void tn_heap_deinit(tn_heap *heap, const tn_allocator *allocator);
void tn_heap_push(tn_heap *heap, tn_sequence *sequence);   /* there must be room */
void tn_heap_remove(tn_heap *heap, tn_sequence *sequence); /* nothing if it is not in */

static inline bool tn_heap_has(const tn_heap *heap, const tn_sequence *sequence) {
    return sequence->heap_index[heap->order] >= 0;
}
static inline tn_sequence *tn_heap_first(const tn_heap *heap) {
    return heap->count > 0 ? heap->items[0] : NULL;
}

/* Higher priority first; of equal ones the lower id. */
bool tn_sequence_is_more_urgent(const tn_sequence *a, const tn_sequence *b);
bool tn_sequence_times_out_before(const tn_sequence *a, const tn_sequence *b);

#endif
