/* SPDX-License-Identifier: Apache-2.0
 *
 * timing_cache.h: times of tactics by device, tactic and problem. A problem's text here has numbers for all dimensions, so an
 * entry does not depend on the network it was measured in.
 *
 *     # tenon timing cache 1
 *     <fingerprint> TAB <tactic> TAB <version> TAB <problem> TAB <microseconds>
 *
 * Fingerprint `*` fits every device. `~12.5` is an estimate that stands because the timing budget was used up: levels 1 to 3
 * take it, so that the next build with this cache makes the same choices without timing; levels 4 and 5 measure again.
 */
#ifndef TN_BUILDER_TIMING_CACHE_H_
#define TN_BUILDER_TIMING_CACHE_H_

#include "tenon/builder.h"

typedef struct tn_timing_key {
    const char *fingerprint, *tactic, *problem;
    uint32_t version;
} tn_timing_key;

/* tn_timing_cache_create with a report. */
TN_MUST_CHECK tn_status tn_timing_cache_create_diag(const tn_allocator *allocator, tn_diag *diag, tn_timing_cache **out_cache);
bool tn_timing_cache_find(const tn_timing_cache *cache, const tn_timing_key *key, double *out_us, bool *out_is_estimate);
/* Replaces an older one. */
TN_MUST_CHECK tn_status tn_timing_cache_put(tn_timing_cache *cache, const tn_timing_key *key, double us, bool is_estimate, tn_diag *diag);

#endif
