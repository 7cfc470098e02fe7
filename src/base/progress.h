/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.h: the calling side of tenon/progress.h. */
#ifndef TN_BASE_PROGRESS_H_
#define TN_BASE_PROGRESS_H_

#include <stddef.h>

#include "tenon/progress.h"

static inline bool tn_progress_report(const tn_progress *progress, const char *phase, uint64_t done, uint64_t total) {
    return progress == NULL || progress->report == NULL || progress->report(progress->user, phase, done, total);
}

#endif
