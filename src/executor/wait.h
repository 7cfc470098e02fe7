/* SPDX-License-Identifier: Apache-2.0
 *
 * wait.h: waiting on a condition with a time-out on the monotonic clock. timeout_ms < 0: for ever.
 */
#ifndef TN_EXECUTOR_WAIT_H_
#define TN_EXECUTOR_WAIT_H_

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline bool tn_condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    bool is_ok = pthread_condattr_init(&attributes) == 0;
    is_ok = is_ok && pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 && pthread_cond_init(condition, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return is_ok;
}

static inline struct timespec tn_deadline_after(int64_t timeout_ms) {
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    if (timeout_ms <= 0) return deadline;
    if (timeout_ms > (int64_t)1 << 40) timeout_ms = (int64_t)1 << 40; /* 34 years: the sum stays in range */
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (timeout_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    return deadline;
}

/* False: the time is over. */
static inline bool tn_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t timeout_ms,
                                     const struct timespec *deadline) {
    if (timeout_ms < 0) return pthread_cond_wait(condition, lock) == 0;
    return pthread_cond_timedwait(condition, lock, deadline) != ETIMEDOUT;
}

#endif
