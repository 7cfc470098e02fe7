/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_plan.h: liveness and sizes in, offsets out. Pure; used by the builder for every profile's maximum and by the runtime
 * for the bucket at hand.
 */
#ifndef TN_PLAN_MEMORY_PLAN_H_
#define TN_PLAN_MEMORY_PLAN_H_

#include "base/report.h"

typedef struct tn_memory_request {
    size_t size_bytes;
    uint32_t first_step, last_step; /* inclusive; two requests whose ranges meet never overlap */
    size_t offset;                  /* out: multiple of 64 */
} tn_memory_request;

/* Largest first, best fit; deterministic. scratch: caller's array of count indices. Returns the total (0 requests: 0);
 * SIZE_MAX on overflow. */
size_t tn_memory_plan(tn_memory_request *requests, size_t count, uint32_t *scratch);

#endif
