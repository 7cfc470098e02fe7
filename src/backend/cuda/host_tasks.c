/* SPDX-License-Identifier: Apache-2.0
 *
 * host_tasks.c: the host's threads, for packing and loading weights. They live as long as one call: its work is seconds long.
 */
#include "backend/cuda/device.h"

enum { MAX_THREADS = 64 };

typedef struct job {
    void (*task)(void *user, int64_t index, int worker);
    void *user;
    int64_t num_tasks;
    _Atomic int64_t next;
} job;

typedef struct worker {
    job *job;
    int index;
    pthread_t thread;
} worker;

static void *run_worker(void *user) {
    const worker *self = user;
    job *j = self->job;
    for (int64_t i = atomic_fetch_add(&j->next, 1); i < j->num_tasks; i = atomic_fetch_add(&j->next, 1)) j->task(j->user, i, self->index);
    return NULL;
}

void tn_cuda_run_host_tasks(tn_device *base, void (*task)(void *user, int64_t index, int worker), void *user, int64_t num_tasks) {
    int num_threads = ((tn_cuda_device *)base)->num_host_threads, num_started = 0;
    job j = {.task = task, .user = user, .num_tasks = num_tasks};
    worker workers[MAX_THREADS];
    if (num_threads > MAX_THREADS) num_threads = MAX_THREADS;
    if (num_threads > num_tasks) num_threads = (int)num_tasks;
    workers[0] = (worker){.job = &j};
    for (int i = 1; i < num_threads; i++) {
        workers[i] = (worker){.job = &j, .index = i};
        if (pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]) != 0) break; /* fewer will do */
        num_started = i;
    }
    (void)run_worker(&workers[0]);
    for (int i = 1; i <= num_started; i++) (void)pthread_join(workers[i].thread, NULL);
}
