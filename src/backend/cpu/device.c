/* SPDX-License-Identifier: Apache-2.0
 *
 * device.c: the cpu device: its description, its memory, its streams (all calls are done when they return), its threads.
 */
#include "backend/cpu/device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/cpu/kv_layout.h"
#include "backend/cpu/layout_strip16.h"
#include "backend/cpu/tactics/tactics.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/thread.h"

enum { ALIGNMENT = 64, PAGE_BYTES = 4096, HUGE_PAGE_BYTES = 2 << 20 };

/* --- device ------------------------------------------------------------------------------------------------------- */

static void *system_reallocate(void *user, void *block, size_t new_size) {
    (void)user;
    if (new_size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, new_size);
}

static size_t cache_bytes(int name, size_t fallback) {
    long bytes = sysconf(name);
    return bytes > 0 ? (size_t)bytes : fallback;
}

static void describe(tn_cpu_device *device, tn_cpu_isa isa, int num_workers) {
    tn_device_info *info = &device->base.info;
    info->backend = "cpu";
    tn_cpu_model_name(info->name, (int)sizeof info->name);
    info->isa = (uint32_t)isa;
    info->num_workers = num_workers;
    info->l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32u << 10);
    info->l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1u << 20);
    info->l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 8u << 20);
    info->memory_bytes = (size_t)tn_available_memory_bytes();
    info->read_bytes_per_us = 12e3 * (num_workers < 3 ? num_workers : 3);
    static const double flops_per_us[TN_NUM_CPU_ISAS] = {2e3, 40e3, 80e3}; /* a core's float32 multiply-adds, counted as two */
    info->flops_per_us = flops_per_us[isa] * num_workers;
    (void)snprintf(info->fingerprint, sizeof info->fingerprint, "cpu-%s-l1.%u-l2.%u-l3.%u-t%d", tn_cpu_isa_name(isa),
                   (unsigned)(info->l1_bytes >> 10), (unsigned)(info->l2_bytes >> 10), (unsigned)(info->l3_bytes >> 10), num_workers);
    (void)snprintf(device->base.description, sizeof device->base.description, "%s (%s, %d thread%s)", info->name, tn_cpu_isa_name(isa),
                   num_workers, num_workers == 1 ? "" : "s");
}

static tn_status choose_isa(const tn_device_options *options, tn_cpu_isa *out_isa) {
    tn_cpu_isa most = TN_CPU_ISA_C, best = tn_cpu_isa_detect();
    *out_isa = best;
    if (options->isa == NULL) return TN_OK;
    if (!tn_cpu_isa_find(options->isa, &most)) {
        tn_where where = {.hint = "the levels are c, avx2 and avx512_vnni"};
        return tn_fail_at(options->diag, TN_INVALID_ARGUMENT, &where, "cannot create a cpu device: unknown instruction set level '%s'",
                          options->isa);
    }
    *out_isa = most < best ? most : best;
    return TN_OK;
}

static void device_destroy(tn_device *base) {
    if (base == NULL) return;
    tn_cpu_device *device = (tn_cpu_device *)base;
    tn_cpu_pool_destroy(device->pool);
    tn_allocator allocator = base->allocator;
    tn_free(&allocator, device);
}

static tn_status device_create(const tn_device_options *options, tn_device **out_device) {
    static const tn_allocator system_allocator = {NULL, system_reallocate};
    *out_device = NULL;
    const tn_allocator *allocator = options->allocator != NULL ? options->allocator : &system_allocator;
    if (options->num_threads < 0 || options->num_threads > TN_CPU_MAX_WORKERS)
        return tn_fail(options->diag, TN_INVALID_ARGUMENT, "cannot create a cpu device: %d threads asked for, at most %d are allowed",
                       options->num_threads, TN_CPU_MAX_WORKERS);
    tn_cpu_isa isa;
    tn_status status = choose_isa(options, &isa);
    if (status != TN_OK) return status;

    tn_cpu_device *device = tn_alloc_zero(allocator, sizeof *device);
    if (device == NULL) return tn_fail_memory(options->diag, "the cpu device", sizeof *device);
    int num_cpus = tn_num_usable_cpus(), num_workers = options->num_threads;
    if (num_workers == 0 || num_workers > num_cpus) num_workers = num_cpus;
    if (num_workers > TN_CPU_MAX_WORKERS) num_workers = TN_CPU_MAX_WORKERS;
    device->base.backend = &tn_cpu_backend;
    device->base.allocator = *allocator;
    device->memory_limit_bytes = options->memory_limit_bytes;
    describe(device, isa, num_workers);
    status = tn_cpu_pool_create(allocator, num_workers, options->diag, &device->pool);
    if (status != TN_OK) {
        device_destroy(&device->base);
        return status;
    }
    *out_device = &device->base;
    return TN_OK;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* From 2 MB on the block begins at a huge page and asks for them: 4 KB pages cost a GEMV 18 % of its bandwidth. */
static void *map_memory(size_t size_bytes) {
    size_t whole = size_bytes >= HUGE_PAGE_BYTES ? size_bytes + HUGE_PAGE_BYTES : size_bytes;
    char *start = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return NULL;
    if (whole == size_bytes) return start;
    size_t head = (size_t)(-(uintptr_t)start & (HUGE_PAGE_BYTES - 1));
    if (head > 0) (void)munmap(start, head);
    (void)munmap(start + head + size_bytes, whole - head - size_bytes);
    (void)madvise(start + head, size_bytes, MADV_HUGEPAGE);
    return start + head;
}

static bool round_size(size_t size_bytes, size_t *out_bytes) {
    return tn_align_size(size_bytes > 0 ? size_bytes : 1, size_bytes >= PAGE_BYTES ? PAGE_BYTES : ALIGNMENT, out_bytes);
}

static tn_status memory_allocate(tn_device *base, tn_memory_kind kind, size_t size_bytes, tn_diag *diag, void **out_memory) {
    static const char *const kinds[] = {"weights", "activations", "state"};
    tn_cpu_device *device = (tn_cpu_device *)base;
    size_t rounded;
    *out_memory = NULL;
    if (!round_size(size_bytes, &rounded)) return tn_fail_memory(diag, kinds[kind], size_bytes);
    size_t used = atomic_fetch_add(&device->memory_used_bytes, rounded);
    if (device->memory_limit_bytes != 0 && (rounded > device->memory_limit_bytes || used > device->memory_limit_bytes - rounded)) {
        atomic_fetch_sub(&device->memory_used_bytes, rounded);
        return tn_fail(diag, TN_OUT_OF_MEMORY, "cannot allocate %zu bytes for %s: %zu of the device's limit of %zu bytes are used",
                       size_bytes, kinds[kind], used, device->memory_limit_bytes);
    }
    void *memory = NULL;
    if (rounded >= PAGE_BYTES) {
        memory = map_memory(rounded);
    } else {
        memory = aligned_alloc(ALIGNMENT, rounded);
        if (memory != NULL) memset(memory, 0, rounded);
    }
    if (memory == NULL) {
        atomic_fetch_sub(&device->memory_used_bytes, rounded);
        return tn_fail_memory(diag, kinds[kind], size_bytes);
    }
    *out_memory = memory;
    return TN_OK;
}

static void memory_free(tn_device *base, void *memory, size_t size_bytes) {
    tn_cpu_device *device = (tn_cpu_device *)base;
    size_t rounded;
    if (memory == NULL || !round_size(size_bytes, &rounded)) return;
    if (rounded >= PAGE_BYTES) {
        (void)munmap(memory, rounded);
    } else {
        free(memory);
    }
    atomic_fetch_sub(&device->memory_used_bytes, rounded);
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static tn_status stream_create(tn_device *device, tn_diag *diag, tn_stream **out_stream) {
    tn_stream *stream = tn_alloc_zero(&device->allocator, sizeof *stream);
    *out_stream = stream;
    if (stream == NULL) return tn_fail_memory(diag, "a stream", sizeof *stream);
    stream->device = device;
    return TN_OK;
}

static void stream_destroy(tn_stream *stream) {
    if (stream != NULL) tn_free(&stream->device->allocator, stream);
}

static tn_status stream_synchronize(tn_stream *stream, tn_diag *diag) {
    (void)stream, (void)diag;
    return TN_OK;
}

static tn_status copy(tn_stream *stream, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes, tn_diag *diag) {
    (void)stream, (void)direction, (void)diag;
    if (size_bytes > 0) memmove(dst, src, size_bytes);
    return TN_OK;
}

static tn_status run_segment(tn_stream *stream, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink, tn_diag *diag) {
    (void)diag;
    tn_cpu_pool_run(((tn_cpu_device *)stream->device)->pool, steps, num_steps, sink);
    return TN_OK;
}

typedef struct host_tasks {
    void (*task)(void *user, int64_t index, int worker);
    void *user;
} host_tasks;

static void run_tasks_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    const host_tasks *tasks = step->buffers[0];
    for (int64_t i = begin; i < end; i++) tasks->task(tasks->user, i, worker);
}

static void run_host_tasks(tn_device *device, void (*task)(void *user, int64_t index, int worker), void *user, int64_t num_tasks) {
    host_tasks tasks = {task, user};
    void *buffers[1] = {&tasks};
    tn_launch launch = {.cpu = {.num_phases = 1, .phases = {{run_tasks_tile, num_tasks, 1}}}};
    tn_bound_step step = {.launch = &launch, .buffers = buffers};
    tn_cpu_pool_run(((tn_cpu_device *)device)->pool, &step, 1, NULL);
}

/* --- paged cache -------------------------------------------------------------------------------------------------- */

static size_t kv_block_bytes(const tn_device *device, const tn_kv_geometry *geometry) {
    (void)device;
    return (size_t)tn_cpu_kv_layout_make(geometry).block_bytes;
}

static tn_status copy_blocks(tn_stream *stream, const tn_kv_geometry *geometry, void *state, const tn_block_copy *copies, size_t num_copies,
                             tn_diag *diag) {
    (void)stream;
    tn_cpu_kv_layout layout = tn_cpu_kv_layout_make(geometry);
    for (size_t i = 0; i < num_copies; i++) {
        const tn_block_copy *c = &copies[i];
        if (c->src < 0 || c->dst < 0 || c->num_tokens < 0 || c->num_tokens > geometry->tokens_per_block)
            return tn_fail(diag, TN_INTERNAL, "cannot copy %" PRId32 " tokens of cache block %" PRId32 " to block %" PRId32, c->num_tokens,
                           c->src, c->dst);
        int64_t num_groups = tn_ceil_div(c->num_tokens, TN_KV_GROUP);
        size_t key_bytes = (size_t)(num_groups * TN_KV_GROUP * layout.k_dim * layout.element_bytes);
        size_t value_bytes = (size_t)(c->num_tokens * layout.v_dim * layout.element_bytes);
        const char *src = (const char *)state + c->src * layout.block_bytes;
        char *dst = (char *)state + c->dst * layout.block_bytes;
        for (int64_t head = 0; head < geometry->num_layers * geometry->num_kv_heads; head++) {
            int64_t offset = head * layout.head_bytes;
            memmove(dst + offset, src + offset, key_bytes);
            memmove(dst + offset + layout.v_offset, src + offset + layout.v_offset, value_bytes);
            if (layout.scales == 0) continue;
            for (int is_value = 0; is_value < 2; is_value++) {
                int64_t scales = offset + tn_cpu_kv_scale(&layout, is_value != 0, 0);
                memmove(dst + scales, src + scales, (size_t)c->num_tokens * sizeof(float));
            }
        }
    }
    return TN_OK;
}

/* One row, the few that a product reads its weights once for, a batch. */
static const int64_t range_ends[] = {1, 4, 32};

const tn_backend tn_cpu_backend = {
    .name = "cpu",
    .is_host = true,
    .batch_invariant_by_default = true,
    .tactics = tn_cpu_tactics,
    .num_tactics = TN_NUM_CPU_TACTICS,
    .layouts = tn_cpu_layouts,
    .num_layouts = TN_NUM_STRIP_TYPES,
    .range_ends = range_ends,
    .num_range_ends = sizeof range_ends / sizeof range_ends[0],
    .device_create = device_create,
    .device_destroy = device_destroy,
    .memory_allocate = memory_allocate,
    .memory_free = memory_free,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_synchronize = stream_synchronize,
    .copy = copy,
    .run_segment = run_segment,
    .kv_block_bytes = kv_block_bytes,
    .copy_blocks = copy_blocks,
    .run_host_tasks = run_host_tasks,
};
