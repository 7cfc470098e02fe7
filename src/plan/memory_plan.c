/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_plan.c: offsets for blocks of which some live at the same time. Largest first, each into the tightest hole that the
 * blocks already placed leave it: simple, and within some percent of the lower bound for the lifetimes of networks.
 */
#include "plan/memory_plan.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/checked.h"

enum { ALIGNMENT = 64 };

/* Larger first, then longer-lived, then earlier: an order without ties. */
static bool goes_before(const tn_memory_request *requests, uint32_t a, uint32_t b) {
    const tn_memory_request *x = &requests[a], *y = &requests[b];
    if (x->size_bytes != y->size_bytes) return x->size_bytes > y->size_bytes;
    uint32_t x_life = x->last_step - x->first_step, y_life = y->last_step - y->first_step;
    if (x_life != y_life) return x_life > y_life;
    return a < b;
}

/* Heap sort: qsort_r's order of arguments differs between systems, and requests may be many. */
static void sift_down(const tn_memory_request *requests, uint32_t *order, size_t root, size_t count) {
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && goes_before(requests, order[child], order[child + 1])) child++;
        if (!goes_before(requests, order[root], order[child])) return;
        uint32_t swap = order[root];
        order[root] = order[child];
        order[child] = swap;
    }
}

static void sort_requests(const tn_memory_request *requests, uint32_t *order, size_t count) {
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    for (size_t i = count / 2; i-- > 0;) sift_down(requests, order, i, count);
    for (size_t i = count; i-- > 1;) {
        uint32_t swap = order[0];
        order[0] = order[i];
        order[i] = swap;
        sift_down(requests, order, 0, i);
    }
}

static bool live_together(const tn_memory_request *a, const tn_memory_request *b) {
    return a->first_step <= b->last_step && b->first_step <= a->last_step;
}

static size_t padded(size_t size) {
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* The tightest hole among the `count` requests of `placed` (sorted by offset), else behind them. */
static size_t best_offset(const tn_memory_request *requests, const uint32_t *placed, size_t count, const tn_memory_request *request) {
    size_t need = padded(request->size_bytes), end = 0, best = SIZE_MAX, best_waste = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        const tn_memory_request *other = &requests[placed[i]];
        if (!live_together(other, request)) continue;
        if (other->offset > end && other->offset - end >= need && other->offset - end - need < best_waste) {
            best = end;
            best_waste = other->offset - end - need;
        }
        if (other->offset + padded(other->size_bytes) > end) end = other->offset + padded(other->size_bytes);
    }
    return best != SIZE_MAX ? best : end;
}

size_t tn_memory_plan(tn_memory_request *requests, size_t count, uint32_t *scratch) {
    size_t sum = 0, total = 0;
    for (size_t i = 0; i < count; i++)
        if (!tn_add_size(sum, ALIGNMENT, &sum) || !tn_add_size(sum, requests[i].size_bytes, &sum)) return SIZE_MAX;
    sort_requests(requests, scratch, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t index = scratch[i];
        tn_memory_request *request = &requests[index];
        request->offset = best_offset(requests, scratch, i, request);
        if (request->offset + padded(request->size_bytes) > total) total = request->offset + padded(request->size_bytes);
        size_t at = i; /* scratch[0 .. i] becomes sorted by offset */
        for (; at > 0 && requests[scratch[at - 1]].offset > request->offset; at--) scratch[at] = scratch[at - 1];
        scratch[at] = index;
    }
    return total;
}
