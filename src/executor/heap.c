/* SPDX-License-Identifier: Apache-2.0
 *
 * heap.c: a binary heap of sequences.
 */
#include "executor/heap.h"

#include "base/memory.h"

bool tn_heap_reserve(tn_heap *heap, const tn_allocator *allocator, size_t count) {
    return tn_array_reserve_raw(allocator, (void **)&heap->items, &heap->capacity, sizeof *heap->items, count);
}

void tn_heap_deinit(tn_heap *heap, const tn_allocator *allocator) {
    tn_free(allocator, heap->items);
    heap->items = NULL;
    heap->count = 0;
    heap->capacity = 0;
}

static void put(tn_heap *heap, int32_t index, tn_sequence *sequence) {
    heap->items[index] = sequence;
    sequence->heap_index[heap->order] = index;
}

static void settle(tn_heap *heap, int32_t index) {
    tn_sequence *sequence = heap->items[index];
    while (index > 0 && heap->is_before(sequence, heap->items[(index - 1) / 2])) {
        put(heap, index, heap->items[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    for (;;) {
        int32_t child = 2 * index + 1;
        if (child + 1 < heap->count && heap->is_before(heap->items[child + 1], heap->items[child])) child++;
        if (child >= heap->count || !heap->is_before(heap->items[child], sequence)) break;
        put(heap, index, heap->items[child]);
        index = child;
    }
    put(heap, index, sequence);
}

void tn_heap_push(tn_heap *heap, tn_sequence *sequence) {
    put(heap, heap->count++, sequence);
    settle(heap, heap->count - 1);
}

void tn_heap_remove(tn_heap *heap, tn_sequence *sequence) {
    int32_t index = sequence->heap_index[heap->order];
    if (index < 0) return;
    sequence->heap_index[heap->order] = -1;
    tn_sequence *last = heap->items[--heap->count];
    if (last == sequence) return;
    put(heap, index, last);
    settle(heap, index);
}

bool tn_sequence_is_more_urgent(const tn_sequence *a, const tn_sequence *b) {
    return a->priority != b->priority ? a->priority > b->priority : a->id < b->id;
}

bool tn_sequence_times_out_before(const tn_sequence *a, const tn_sequence *b) {
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->id < b->id;
}
