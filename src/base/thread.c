/* SPDX-License-Identifier: Apache-2.0
 *
 * thread.c: futex and clock; see thread.h. What the machine allows us is in limits.c.
 */
#include "base/thread.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_SECOND = 1000000000 };

_Static_assert(sizeof(_Atomic uint32_t) == 4, "the kernel compares the word as a plain 32-bit value");

void tn_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns) {
    struct timespec timeout = {0};
    if (timeout_ns >= 0) {
        timeout.tv_sec = (time_t)(timeout_ns / NS_PER_SECOND);
        timeout.tv_nsec = (long)(timeout_ns % NS_PER_SECOND);
    }
    /* a changed word, a signal and the end of the time all mean the same to the caller: look again */
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns >= 0 ? &timeout : NULL, NULL, 0);
}

void tn_futex_wake(_Atomic uint32_t *word, int num_waiters) {
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, num_waiters, NULL, NULL, 0);
}

int64_t tn_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}
