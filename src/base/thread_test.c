/* SPDX-License-Identifier: Apache-2.0
 *
 * thread_test.c: limits of the machine, futex, clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/thread.h"

static void usable_cpus_are_at_least_one_and_at_most_those_of_the_machine(void **state) {
    (void)state;
    int count = tn_num_usable_cpus();
    assert_true(count >= 1);
    assert_true(count <= sysconf(_SC_NPROCESSORS_CONF));
}

static void affinity_mask_of_one_cpu_gives_one_usable_cpu(void **state) {
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &before)) continue;
        CPU_SET(cpu, &one);
        break;
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int count = tn_num_usable_cpus();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(count, 1);
}

static void address_space_limit_lowers_the_available_memory(void **state) {
    (void)state;
    uint64_t unlimited = tn_available_memory_bytes();
    assert_true(unlimited > 1 << 20);
#ifndef TN_SANITIZED /* a sanitizer's shadow memory is larger than any such limit */
    const uint64_t limit_bytes = UINT64_C(256) << 20;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    struct rlimit lowered = {.rlim_cur = limit_bytes, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &lowered), 0);
    uint64_t available = tn_available_memory_bytes();
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_true(available < limit_bytes);
#endif
}

static _Atomic uint32_t word;

static void *wake_later(void *unused) {
    (void)unused;
    atomic_store(&word, 1);
    tn_futex_wake(&word, 1);
    return NULL;
}

static void sleeper_on_a_word_is_woken(void **state) {
    (void)state;
    pthread_t thread;
    atomic_store(&word, 0);
    assert_int_equal(pthread_create(&thread, NULL, wake_later, NULL), 0);
    while (atomic_load(&word) == 0) tn_futex_wait(&word, 0, -1);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&word), 1);
}

static void waiting_on_a_word_that_differs_or_timing_out_returns(void **state) {
    (void)state;
    atomic_store(&word, 5);
    tn_futex_wait(&word, 4, -1);
    tn_futex_wait(&word, 5, 1000);
    assert_int_equal(atomic_load(&word), 5);
}

static void clock_never_goes_back(void **state) {
    (void)state;
    int64_t previous = tn_now_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = tn_now_ns();
        assert_true(now >= previous);
        previous = now;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usable_cpus_are_at_least_one_and_at_most_those_of_the_machine),
        cmocka_unit_test(affinity_mask_of_one_cpu_gives_one_usable_cpu),
        cmocka_unit_test(address_space_limit_lowers_the_available_memory),
        cmocka_unit_test(sleeper_on_a_word_is_woken),
        cmocka_unit_test(waiting_on_a_word_that_differs_or_timing_out_returns),
        cmocka_unit_test(clock_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
