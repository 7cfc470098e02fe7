/* SPDX-License-Identifier: Apache-2.0
 *
 * fault_allocator.h: an allocator for tests. It fails the calls it is told to, and knows what was not given back.
 *
 *     for (size_t n = 1;; n++) {
 *         tn_fault_allocator fault;
 *         tn_fault_allocator_init(&fault, n);
 *         tn_status status = load(path, &fault.allocator, diag, &model);
 *         if (status == TN_OK) destroy(model);
 *         assert_int_equal(tn_fault_num_live_blocks(&fault), 0);   // nothing leaked
 *         if (!tn_fault_has_failed(&fault)) {                      // fewer than n allocations: all of them were tried
 *             assert_int_equal(status, TN_OK);
 *             break;
 *         }
 *         assert_int_equal(status, TN_OUT_OF_MEMORY);
 *     }
 *
 * Safe from many threads. Freeing or resizing a block that is not its own aborts the test program.
 */
#ifndef TN_TESTS_SUPPORT_FAULT_ALLOCATOR_H_
#define TN_TESTS_SUPPORT_FAULT_ALLOCATOR_H_

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "tenon/allocator.h"

typedef struct tn_fault_allocator {
    tn_allocator allocator;  /* give &fault.allocator to the code under test; the struct must not move */
    size_t fail_at;          /* the call, counted from 1, that gets NULL; 0: none */
    bool keep_failing;       /* every later call fails too; may be set after init */
    atomic_size_t num_calls; /* allocations and resizes asked for */
    atomic_size_t num_failed;
    atomic_size_t num_live_blocks;
    atomic_size_t live_bytes, peak_bytes, largest_request_bytes;
} tn_fault_allocator;

void tn_fault_allocator_init(tn_fault_allocator *fault, size_t fail_at);

static inline bool tn_fault_has_failed(const tn_fault_allocator *fault) {
    return atomic_load(&fault->num_failed) > 0;
}
static inline size_t tn_fault_num_live_blocks(const tn_fault_allocator *fault) {
    return atomic_load(&fault->num_live_blocks);
}
/* For "refused before allocating": the largest single request, granted or not. */
static inline size_t tn_fault_largest_request(const tn_fault_allocator *fault) {
    return atomic_load(&fault->largest_request_bytes);
}
/* The most bytes that were live at once. */
static inline size_t tn_fault_peak_bytes(const tn_fault_allocator *fault) {
    return atomic_load(&fault->peak_bytes);
}

#endif
