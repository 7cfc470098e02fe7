/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.c: workers and the claiming of tiles; see pool.h.
 *
 * `state` is one word: the phase's sequence number (high half) and the first tile that nobody has claimed, or IDLE when the
 * segment has ended. What the phase is stands in slots[sequence mod 4]. A worker reads state, then the slot, then claims by
 * compare-and-swap on state: if that succeeds, the phase was open all the time and the slot its own, because a slot is
 * rewritten only after the sequence has moved on by four. A late worker can so never touch steps of a segment that has ended.
 * What a slot says counts only after such a swap: a thread that was away for three phases may read the slot of a fourth, half
 * written. That is why the end of a segment stands in the state itself.
 */
#include "backend/cpu/pool.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "base/thread.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define spin_pause() _mm_pause()
#else
#define spin_pause() ((void)0)
#endif

enum { NUM_SLOTS = 4, CACHE_LINE = 64, SPINS_PER_CLOCK_READ = 64 };

#define IDLE UINT32_MAX /* no first tile: tiles of a phase are fewer */

typedef struct phase_slot {
    _Atomic(const tn_bound_step *) step;
    _Atomic(tn_tile_function) run;
    _Atomic int64_t num_tiles, grain;
    _Alignas(CACHE_LINE) _Atomic int64_t num_done;
} phase_slot;

typedef struct worker_start {
    tn_cpu_pool *pool;
    int worker;
} worker_start;

struct tn_cpu_pool {
    _Alignas(CACHE_LINE) _Atomic uint64_t state;
    _Alignas(CACHE_LINE) _Atomic uint32_t wake_word;
    _Atomic int32_t num_sleepers;
    _Atomic bool stop;
    phase_slot slots[NUM_SLOTS];

    /* the segment that runs: read and written only by the worker that ends a phase */
    _Alignas(CACHE_LINE) const tn_bound_step *steps;
    size_t num_steps, step;
    int phase;
    int64_t step_begin_ns;
    const tn_profile_sink *sink;

    int num_workers, num_started;
    tn_allocator allocator;
    void *block;           /* what `allocator` gave; the pool stands aligned inside */
    pthread_mutex_t mutex; /* one segment at a time */
    pthread_t threads[TN_CPU_MAX_WORKERS];
    worker_start starts[TN_CPU_MAX_WORKERS];
};

static void wake_sleepers(tn_cpu_pool *pool) {
    if (atomic_load(&pool->num_sleepers) == 0) return;
    atomic_fetch_add(&pool->wake_word, 1);
    tn_futex_wake(&pool->wake_word, pool->num_workers);
}

/* Waits until state differs from `seen`. The order sleepers++, read state against write state, read sleepers (all
 * sequentially consistent) makes a lost wake-up impossible. */
static void wait_for_change(tn_cpu_pool *pool, uint64_t seen) {
    int64_t deadline = 0;
    for (unsigned spins = 0;; spins++) {
        if (atomic_load_explicit(&pool->state, memory_order_acquire) != seen || atomic_load(&pool->stop)) return;
        spin_pause();
        if (spins % SPINS_PER_CLOCK_READ != 0) continue;
        int64_t now = tn_now_ns();
        if (deadline == 0) deadline = now + TN_CPU_SPIN_NS;
        if (now >= deadline) break;
    }
    atomic_fetch_add(&pool->num_sleepers, 1);
    for (;;) {
        uint32_t word = atomic_load(&pool->wake_word);
        if (atomic_load(&pool->state) != seen || atomic_load(&pool->stop)) break;
        tn_futex_wait(&pool->wake_word, word, -1);
    }
    atomic_fetch_sub(&pool->num_sleepers, 1);
}

/* Moves the sequence on; first_tile is 0, or IDLE. */
static void set_state(tn_cpu_pool *pool, uint32_t sequence, uint32_t first_tile) {
    atomic_store(&pool->state, (uint64_t)sequence << 32 | first_tile);
    wake_sleepers(pool);
}

static uint32_t next_sequence(tn_cpu_pool *pool) {
    return (uint32_t)(atomic_load_explicit(&pool->state, memory_order_relaxed) >> 32) + 1;
}

static void publish(tn_cpu_pool *pool, const tn_bound_step *step, tn_tile_function run, int64_t num_tiles, int64_t grain) {
    uint32_t sequence = next_sequence(pool);
    phase_slot *slot = &pool->slots[sequence % NUM_SLOTS];
    atomic_store_explicit(&slot->step, step, memory_order_relaxed);
    atomic_store_explicit(&slot->run, run, memory_order_relaxed);
    atomic_store_explicit(&slot->num_tiles, num_tiles, memory_order_relaxed);
    atomic_store_explicit(&slot->grain, grain, memory_order_relaxed);
    atomic_store_explicit(&slot->num_done, 0, memory_order_relaxed);
    set_state(pool, sequence, 0);
}

/* Ends the current phase and opens the next one that needs several claims; single claims on the way are run here. */
static void advance(tn_cpu_pool *pool, int worker) {
    for (;;) {
        const tn_bound_step *step = pool->step < pool->num_steps ? &pool->steps[pool->step] : NULL;
        if (step != NULL && pool->phase < step->launch->cpu.num_phases) {
            int64_t num_tiles = step->launch->cpu.phases[pool->phase].num_tiles, grain = step->launch->cpu.phases[pool->phase].grain;
            tn_tile_function run = step->launch->cpu.phases[pool->phase].run;
            if (pool->sink != NULL && pool->phase == 0) pool->step_begin_ns = tn_now_ns();
            pool->phase++;
            if (num_tiles <= 0) continue;
            if (num_tiles <= grain || pool->num_workers == 1) {
                run(step, 0, num_tiles, worker);
                continue;
            }
            publish(pool, step, run, num_tiles, grain < 1 ? 1 : grain);
            return;
        }
        if (step == NULL) {
            set_state(pool, next_sequence(pool), IDLE);
            return;
        }
        if (pool->sink != NULL) pool->sink->record(pool->sink->user, pool->step, pool->step_begin_ns, tn_now_ns());
        pool->step++;
        pool->phase = 0;
    }
}

static bool is_idle(uint64_t state) {
    return (state & UINT32_MAX) == IDLE;
}

/* Claims and runs tiles of the phase that `state` shows. False if there was nothing to claim. */
static bool claim_and_run(tn_cpu_pool *pool, uint64_t *state, int worker) {
    if (is_idle(*state)) return false;
    phase_slot *slot = &pool->slots[(*state >> 32) % NUM_SLOTS];
    int64_t num_tiles = atomic_load_explicit(&slot->num_tiles, memory_order_relaxed);
    int64_t first = (int64_t)(*state & UINT32_MAX), left = num_tiles - first;
    if (left <= 0) return false;
    const tn_bound_step *step = atomic_load_explicit(&slot->step, memory_order_relaxed);
    tn_tile_function run = atomic_load_explicit(&slot->run, memory_order_relaxed);
    int64_t grain = atomic_load_explicit(&slot->grain, memory_order_relaxed);
    int64_t count = left / (2 * pool->num_workers);
    count = count < grain ? grain : count - count % grain;
    if (count > left) count = left;
    if (!atomic_compare_exchange_strong(&pool->state, state, *state + (uint64_t)count)) return true;
    run(step, first, first + count, worker);
    if (atomic_fetch_add(&slot->num_done, count) + count == num_tiles) advance(pool, worker);
    *state = atomic_load_explicit(&pool->state, memory_order_acquire);
    return true;
}

static void *worker_main(void *argument) {
    const worker_start *start = argument;
    tn_cpu_pool *pool = start->pool;
    uint64_t state = atomic_load_explicit(&pool->state, memory_order_acquire);
    while (!atomic_load(&pool->stop)) {
        if (claim_and_run(pool, &state, start->worker)) continue;
        wait_for_change(pool, state);
        state = atomic_load_explicit(&pool->state, memory_order_acquire);
    }
    return NULL;
}

void tn_cpu_pool_run(tn_cpu_pool *pool, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink) {
    pthread_mutex_lock(&pool->mutex);
    pool->steps = steps;
    pool->num_steps = num_steps;
    pool->step = 0;
    pool->phase = 0;
    pool->sink = sink;
    advance(pool, 0);
    uint64_t state = atomic_load_explicit(&pool->state, memory_order_acquire);
    while (!is_idle(state)) {
        if (claim_and_run(pool, &state, 0)) continue;
        wait_for_change(pool, state);
        state = atomic_load_explicit(&pool->state, memory_order_acquire);
    }
    pthread_mutex_unlock(&pool->mutex);
}

tn_status tn_cpu_pool_create(const tn_allocator *allocator, int num_workers, tn_diag *diag, tn_cpu_pool **out_pool) {
    *out_pool = NULL;
    size_t size = sizeof(tn_cpu_pool) + CACHE_LINE;
    void *block = tn_alloc_zero(allocator, size);
    if (block == NULL) return tn_fail_memory(diag, "the cpu device's threads", size);
    tn_cpu_pool *pool = (tn_cpu_pool *)(((uintptr_t)block + CACHE_LINE - 1) & ~(uintptr_t)(CACHE_LINE - 1));
    pool->block = block;
    pool->allocator = *allocator;
    pool->num_workers = num_workers;
    pthread_mutex_init(&pool->mutex, NULL);
    for (int worker = 1; worker < num_workers; worker++) {
        pool->starts[worker] = (worker_start){pool, worker};
        int error = pthread_create(&pool->threads[worker], NULL, worker_main, &pool->starts[worker]);
        if (error != 0) {
            tn_cpu_pool_destroy(pool);
            return tn_fail(diag, TN_UNAVAILABLE, "cannot start thread %d of %d of the cpu device: error %d of the system", worker,
                           num_workers - 1, error);
        }
        pool->num_started++;
    }
    *out_pool = pool;
    return TN_OK;
}

void tn_cpu_pool_destroy(tn_cpu_pool *pool) {
    if (pool == NULL) return;
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->wake_word, 1);
    tn_futex_wake(&pool->wake_word, pool->num_workers);
    for (int i = 1; i <= pool->num_started; i++) pthread_join(pool->threads[i], NULL);
    pthread_mutex_destroy(&pool->mutex);
    tn_allocator allocator = pool->allocator;
    tn_free(&allocator, pool->block);
}
