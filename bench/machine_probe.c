/* SPDX-License-Identifier: Apache-2.0
 *
 * machine_probe.c: what the machine gives right now: read bandwidth from memory and 8-bit integer rate, all usable CPUs
 * together. compare-llamacpp runs it before and after each measurement: figures taken while a neighbour was busy are thrown away.
 *
 *     cc -O3 -pthread machine_probe.c -o machine_probe && ./machine_probe
 *     {"threads": 2, "read_gb_per_second": 64.9, "integer_tops": 0.944, "integer_instruction": "vpdpbusd"}
 *
 * The integer loop is assembly with 16 accumulators in registers: written with intrinsics gcc 12 spills them and shows half.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { MAX_THREADS = 256, NUM_RUNS = 3, INTEGER_LOOPS = 4000000, HUGE_PAGE = 2 << 20 };
static const size_t bytes_per_thread = (size_t)192 << 20; /* beyond any cache of the machines we know */

typedef struct probe {
    pthread_barrier_t barrier;
    int num_threads;
    bool reading;
    double seconds[NUM_RUNS];
} probe;
typedef struct worker {
    probe *probe;
    int index, cpu;
    uint64_t *data;
    uint64_t sum;
} worker;

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Two streams a thread: more cost bandwidth on the machines measured. */
static uint64_t read_all(const uint64_t *data, size_t count) {
    const uint64_t *second = data + count / 2;
    uint64_t sums[16] = {0};
    for (size_t i = 0; i < count / 2; i += 8)
        for (size_t j = 0; j < 8; j++) {
            sums[j] += data[i + j];
            sums[8 + j] += second[i + j];
        }
    uint64_t sum = 0;
    for (size_t j = 0; j < 16; j++) sum += sums[j];
    return sum;
}

#if defined(__x86_64__)
#define DOT(n) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #n "\n\t"
static void run_vnni(long loops) {
    __asm__ volatile("1:\n\t" DOT(0) DOT(1) DOT(2) DOT(3) DOT(4) DOT(5) DOT(6) DOT(7) DOT(8) DOT(9) DOT(10) DOT(11) DOT(12) DOT(13) DOT(14)
                         DOT(15) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(loops)
                     :
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
                       "xmm13", "xmm14", "xmm15");
}
/* 8 sums of products: each product of 32 bytes is widened and added, as AVX2 kernels must */
static void run_avx2(long loops) {
#define MADD(n) "vpmaddubsw %%ymm14, %%ymm15, %%ymm13\n\tvpmaddwd %%ymm13, %%ymm12, %%ymm13\n\tvpaddd %%ymm13, %%ymm" #n ", %%ymm" #n "\n\t"
    __asm__ volatile("1:\n\t" MADD(0) MADD(1) MADD(2) MADD(3) MADD(4) MADD(5) MADD(6) MADD(7) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(loops)
                     :
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm12", "xmm13", "xmm14", "xmm15");
}
#endif

typedef struct integer_kind {
    const char *name;
    void (*run)(long loops);
    double operations_per_loop;
} integer_kind;

static integer_kind find_integer_kind(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vnni")) return (integer_kind){"vpdpbusd", run_vnni, 16 * 128};
    if (__builtin_cpu_supports("avx2")) return (integer_kind){"vpmaddubsw", run_avx2, 8 * 64};
#endif
    return (integer_kind){"none", NULL, 0};
}

static void *work(void *argument) {
    worker *w = argument;
    probe *p = w->probe;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)w->cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
    if (p->reading) memset(w->data, 1, bytes_per_thread);
    integer_kind kind = find_integer_kind();
    for (int run = 0; run < NUM_RUNS; run++) {
        pthread_barrier_wait(&p->barrier);
        double begin = now_seconds();
        if (p->reading) {
            w->sum += read_all(w->data, bytes_per_thread / sizeof *w->data);
        } else {
            kind.run(INTEGER_LOOPS);
        }
        pthread_barrier_wait(&p->barrier);
        if (w->index == 0) p->seconds[run] = now_seconds() - begin;
    }
    return NULL;
}

/* The shortest of a few runs, all threads at once; -1: no memory or no threads. */
static double measure(bool reading, int num_threads, const int *cpus) {
    static worker workers[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    probe p = {.num_threads = num_threads, .reading = reading};
    double best = -1;
    int num_started = 0;
    pthread_barrier_init(&p.barrier, NULL, (unsigned)num_threads);
    for (int i = 0; i < num_threads; i++) {
        workers[i] = (worker){.probe = &p, .index = i, .cpu = cpus[i]};
        if (!reading) continue;
        workers[i].data = aligned_alloc(HUGE_PAGE, bytes_per_thread);
        if (workers[i].data == NULL) goto cleanup;
        (void)madvise(workers[i].data, bytes_per_thread, MADV_HUGEPAGE);
    }
    for (; num_started < num_threads; num_started++)
        if (pthread_create(&threads[num_started], NULL, work, &workers[num_started]) != 0) exit(1); /* the others would wait for ever */
    for (int i = 0; i < num_started; i++) pthread_join(threads[i], NULL);
    for (int run = 0; run < NUM_RUNS; run++)
        if (best < 0 || p.seconds[run] < best) best = p.seconds[run];
cleanup:
    for (int i = 0; i < num_threads; i++) free(workers[i].data);
    pthread_barrier_destroy(&p.barrier);
    return best;
}

int main(void) {
    cpu_set_t set;
    int cpus[MAX_THREADS], num_threads = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE && num_threads < MAX_THREADS; cpu++)
        if (CPU_ISSET((size_t)cpu, &set)) cpus[num_threads++] = cpu;
    double read_seconds = measure(true, num_threads, cpus);
    integer_kind kind = find_integer_kind();
    double integer_seconds = kind.run != NULL ? measure(false, num_threads, cpus) : -1;
    if (read_seconds <= 0) return 1;
    printf("{\"threads\": %d, \"read_gb_per_second\": %.1f, \"integer_tops\": %.3f, \"integer_instruction\": \"%s\"}\n", num_threads,
           (double)bytes_per_thread * num_threads / read_seconds * 1e-9,
           integer_seconds > 0 ? kind.operations_per_loop * INTEGER_LOOPS * num_threads / integer_seconds * 1e-12 : 0.0, kind.name);
    return 0;
}
