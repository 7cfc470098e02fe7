/* SPDX-License-Identifier: Apache-2.0
 *
 * thread.h: what Linux adds to pthreads for us: counting usable CPUs, sleeping on a word, time. */
#ifndef TN_BASE_THREAD_H_
#define TN_BASE_THREAD_H_

#include <stdatomic.h>
#include <stdint.h>

/* CPUs of the affinity mask, at most the cgroup's quota rounded up; at least 1. */
int tn_num_usable_cpus(void);

/* Sleeps while *word == expected; may return early. Wakes by tn_futex_wake on the same word. timeout_ns < 0: for ever. */
void tn_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns);
void tn_futex_wake(_Atomic uint32_t *word, int num_waiters);

int64_t tn_now_ns(void); /* monotonic */

/* Bytes this process may still take: the least of free memory, cgroup limit and RLIMIT_AS, each less what is used. */
uint64_t tn_available_memory_bytes(void);

#endif
