/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.h: how long tactics take for one problem at one point, measured on the device with made-up data.
 */
#ifndef TN_BUILDER_TIMING_H_
#define TN_BUILDER_TIMING_H_

#include "backend/backend.h"

enum { TN_MAX_TIMED = 8 };

typedef struct tn_timing_request {
    tn_device *device;
    const tn_problem *problem;
    const int64_t *symbols;
    const tn_tactic *const *tactics;
    int num_tactics;     /* at most TN_MAX_TIMED */
    int64_t deadline_ns; /* 0: none. Nothing is measured if the least that would be needed passes it */
} tn_timing_request;

/* May the problem run on made-up data? Not if it reads indices or a state. */
bool tn_timing_is_possible(const tn_problem *problem);

/* out_us[i]: the least of at least five runs, the tactics taking turns. out_measured false: there was no time, or the buffers
 * would be too large. */
TN_MUST_CHECK tn_status tn_timing_measure(const tn_timing_request *request, const tn_allocator *allocator, tn_diag *diag, double *out_us,
                                          bool *out_measured);

#endif
