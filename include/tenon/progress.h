/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/progress.h: how a long call (build, load) tells how far it is, and learns that it should stop.
 */
#ifndef TENON_PROGRESS_H_
#define TENON_PROGRESS_H_

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A NULL tn_progress, or a NULL function in it, is silent and never cancels. The function is called from one thread at a
 * time, at most some tens of times a second. */
typedef struct tn_progress {
    void *user;
    /* phase: static name ("pack weights", "time tactics"); done ≤ total. Returning false cancels: the call then returns
     * TN_CANCELLED and leaves nothing behind. */
    bool (*report)(void *user, const char *phase, uint64_t done, uint64_t total);
} tn_progress;

#ifdef __cplusplus
}
#endif
#endif
