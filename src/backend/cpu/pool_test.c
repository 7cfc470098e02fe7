/* SPDX-License-Identifier: Apache-2.0
 *
 * pool_test.c: every tile runs once, phases and steps in order, also with more workers than cores and many callers.
 */
#include "backend/cpu/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/memory.h"

enum { MAX_TILES = 300, NUM_STEPS = 60 };

static void *system_reallocate(void *user, void *block, size_t size) {
    (void)user;
    if (size > 0) return realloc(block, size);
    free(block);
    return NULL;
}
static const tn_allocator allocator = {NULL, system_reallocate};

static tn_cpu_pool *create(int num_workers) {
    tn_cpu_pool *pool = NULL;
    assert_int_equal(tn_cpu_pool_create(&allocator, num_workers, NULL, &pool), TN_OK);
    return pool;
}

/* What a step's tiles write: a plain array, so that a missing barrier is a data race that the thread sanitizer sees. */
typedef struct journal {
    int runs[MAX_TILES];
    const struct journal *before; /* its tiles must all have run */
    int64_t num_tiles;
    _Atomic int num_too_early;
} journal;

static void write_tiles(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    journal *j = step->buffers[0];
    (void)worker;
    for (int64_t i = 0; j->before != NULL && i < j->before->num_tiles; i++)
        if (j->before->runs[i] == 0) atomic_fetch_add(&j->num_too_early, 1);
    for (int64_t i = begin; i < end; i++) j->runs[i]++;
}

static void second_phase(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    journal *j = step->buffers[1];
    (void)worker;
    for (int64_t i = 0; i < j->before->num_tiles; i++)
        if (j->before->runs[i] == 0) atomic_fetch_add(&j->num_too_early, 1);
    for (int64_t i = begin; i < end; i++) j->runs[i]++;
}

typedef struct segment {
    journal first[NUM_STEPS], second[NUM_STEPS];
    tn_launch launches[NUM_STEPS];
    void *buffers[NUM_STEPS][2];
    tn_bound_step steps[NUM_STEPS];
} segment;

/* Steps of 0, 1, few and many tiles, with one phase or two. */
static segment *make_segment(void) {
    segment *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (int i = 0; i < NUM_STEPS; i++) {
        static const int64_t tiles[] = {1, 7, 300, 0, 64, 2};
        int64_t num_tiles = tiles[i % 6];
        s->first[i].before = i > 0 ? &s->second[i - 1] : NULL;
        s->first[i].num_tiles = num_tiles;
        s->second[i].before = &s->first[i];
        s->second[i].num_tiles = i % 2 == 0 ? 5 : 0;
        s->buffers[i][0] = &s->first[i];
        s->buffers[i][1] = &s->second[i];
        s->launches[i].cpu.num_phases = i % 2 == 0 ? 2 : 1;
        s->launches[i].cpu.phases[0].run = write_tiles;
        s->launches[i].cpu.phases[0].num_tiles = num_tiles;
        s->launches[i].cpu.phases[0].grain = 1 + i % 3;
        s->launches[i].cpu.phases[1].run = second_phase;
        s->launches[i].cpu.phases[1].num_tiles = 5;
        s->launches[i].cpu.phases[1].grain = 1;
        s->steps[i] = (tn_bound_step){.launch = &s->launches[i], .buffers = s->buffers[i]};
    }
    return s;
}

static void assert_ran(const segment *s, int times) {
    for (int i = 0; i < NUM_STEPS; i++) {
        assert_int_equal(s->first[i].num_too_early, 0);
        assert_int_equal(s->second[i].num_too_early, 0);
        for (int64_t t = 0; t < s->first[i].num_tiles; t++) assert_int_equal(s->first[i].runs[t], times);
        for (int64_t t = 0; t < s->second[i].num_tiles; t++) assert_int_equal(s->second[i].runs[t], times);
    }
}

static void every_tile_runs_once_and_phases_in_order(void **state) {
    (void)state;
    for (int workers = 1; workers <= 9; workers += 2) {
        tn_cpu_pool *pool = create(workers);
        for (int round = 0; round < 20; round++) {
            segment *s = make_segment();
            tn_cpu_pool_run(pool, s->steps, NUM_STEPS, NULL);
            assert_ran(s, 1);
            free(s);
        }
        tn_cpu_pool_destroy(pool);
    }
}

typedef struct caller {
    tn_cpu_pool *pool;
    segment *segment;
} caller;

static void *call_often(void *argument) {
    caller *c = argument;
    for (int round = 0; round < 10; round++) tn_cpu_pool_run(c->pool, c->segment->steps, NUM_STEPS, NULL);
    return NULL;
}

static void callers_from_several_threads_take_turns(void **state) {
    (void)state;
    enum { NUM_CALLERS = 4 };
    tn_cpu_pool *pool = create(3);
    pthread_t threads[NUM_CALLERS];
    caller callers[NUM_CALLERS];
    for (int i = 0; i < NUM_CALLERS; i++) {
        callers[i] = (caller){pool, make_segment()};
        for (int k = 0; k < NUM_STEPS; k++) callers[i].segment->first[k].before = NULL;
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < NUM_CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_ran(callers[i].segment, 10);
        free(callers[i].segment);
    }
    tn_cpu_pool_destroy(pool);
}

typedef struct records {
    size_t count;
    bool in_order;
} records;

static void record(void *user, size_t index, int64_t begin_ns, int64_t end_ns) {
    records *r = user;
    r->in_order = r->in_order && index == r->count && begin_ns <= end_ns;
    r->count++;
}

static void a_profile_has_every_step_in_order(void **state) {
    (void)state;
    tn_cpu_pool *pool = create(2);
    segment *s = make_segment();
    records r = {.in_order = true};
    tn_profile_sink sink = {&r, record};
    tn_cpu_pool_run(pool, s->steps, NUM_STEPS, &sink);
    assert_true(r.in_order && r.count == NUM_STEPS);
    free(s);
    tn_cpu_pool_destroy(pool);
}

static void a_pool_that_sleeps_wakes_up(void **state) {
    (void)state;
    tn_cpu_pool *pool = create(4);
    for (int round = 0; round < 5; round++) {
        struct timespec nap = {0, 2 * 1000 * 1000};
        segment *s = make_segment();
        nanosleep(&nap, NULL);
        tn_cpu_pool_run(pool, s->steps, NUM_STEPS, NULL);
        assert_ran(s, 1);
        free(s);
    }
    tn_cpu_pool_destroy(pool);
}

static void an_empty_segment_returns(void **state) {
    (void)state;
    tn_cpu_pool *pool = create(2);
    tn_cpu_pool_run(pool, NULL, 0, NULL);
    tn_cpu_pool_run(pool, NULL, 0, NULL);
    tn_cpu_pool_destroy(pool);
    tn_cpu_pool_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tile_runs_once_and_phases_in_order),
        cmocka_unit_test(callers_from_several_threads_take_turns),
        cmocka_unit_test(a_profile_has_every_step_in_order),
        cmocka_unit_test(a_pool_that_sleeps_wakes_up),
        cmocka_unit_test(an_empty_segment_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
