/* SPDX-License-Identifier: Apache-2.0
 *
 * device.c: the cuda backend's table, its device (the first GPU that the driver shows: CUDA_VISIBLE_DEVICES chooses), and the
 * memory on it.
 */
#include "backend/cuda/device.h"

#include <stdio.h>
#include <string.h>

#include "backend/cuda/layouts.h"
#include "base/checked.h"
#include "base/text.h"
#include "base/thread.h"

enum { MAX_HOST_THREADS = 16, OLDEST_ISA = 80, ALIGNMENT = 256 };

/* --- device ------------------------------------------------------------------------------------------------------------------ */

static int attribute(const tn_cuda_device *device, int which) {
    int value = 0;
    return device->driver.DeviceGetAttribute(&value, which, device->ordinal) == 0 ? value : 0;
}

static tn_status describe(tn_cuda_device *device, tn_diag *diag) {
    const tn_cuda_driver *driver = &device->driver;
    tn_device_info *info = &device->base.info;
    char size[32];
    int error = driver->DeviceGetName(info->name, (int)sizeof info->name, device->ordinal);
    if (error == 0) error = driver->DeviceTotalMem(&info->memory_bytes, device->ordinal);
    if (error != 0) return tn_cuda_fail(driver, error, TN_UNAVAILABLE, diag, "ask the GPU what it is");
    info->backend = "cuda";
    info->isa = (uint32_t)(10 * attribute(device, TN_CU_ATTRIBUTE_CAPABILITY_MAJOR) + attribute(device, TN_CU_ATTRIBUTE_CAPABILITY_MINOR));
    info->num_workers = attribute(device, TN_CU_ATTRIBUTE_NUM_MULTIPROCESSORS);
    info->l2_bytes = (size_t)attribute(device, TN_CU_ATTRIBUTE_L2_BYTES);
    /* two transfers a clock; 92 % of that is what reading reaches on an H100 */
    double bytes_per_clock = 2.0 * attribute(device, TN_CU_ATTRIBUTE_MEMORY_BUS_BITS) / 8.0;
    info->read_bytes_per_us = 0.92 * bytes_per_clock * attribute(device, TN_CU_ATTRIBUTE_MEMORY_CLOCK_KHZ) / 1e3;
    if (info->read_bytes_per_us < 1e4) info->read_bytes_per_us = 5e5; /* some virtual GPUs keep it to themselves */
    /* float32 of the plain units: 128 a multiprocessor and clock, counted as two */
    info->flops_per_us = 256.0 * info->num_workers * attribute(device, TN_CU_ATTRIBUTE_CLOCK_KHZ) / 1e3;
    (void)snprintf(info->fingerprint, sizeof info->fingerprint, "cuda-sm_%u-%dsm-%zumb-%dmhz", info->isa, info->num_workers,
                   info->memory_bytes >> 20, attribute(device, TN_CU_ATTRIBUTE_CLOCK_KHZ) / 1000);
    (void)snprintf(device->base.description, sizeof device->base.description, "%.80s (sm_%u, %d multiprocessors, %s)", info->name,
                   info->isa, info->num_workers, tn_format_bytes(info->memory_bytes, size));
    enum { DEPENDENT_GRAPHS = 12030 }; /* the first driver that captures dependent launches */
    device->has_dependent_launch = info->isa >= 90;
    device->has_graphs = driver->version >= DEPENDENT_GRAPHS;
    device->max_shared_bytes = attribute(device, TN_CU_ATTRIBUTE_SHARED_BYTES);
    if (info->isa >= OLDEST_ISA) return TN_OK;
    return tn_fail(diag, TN_UNAVAILABLE, "cannot use a GPU: %.80s has compute capability %u.%u, 8.0 is the oldest that will do", info->name,
                   info->isa / 10, info->isa % 10);
}

static void device_destroy(tn_device *base) {
    tn_cuda_device *device = (tn_cuda_device *)base;
    if (device == NULL) return;
    if (device->context != NULL) {
        tn_cuda_enter(device);
        tn_cuda_modules_deinit(device);
        tn_cuda_leave(device);
        (void)device->driver.DevicePrimaryCtxRelease(device->ordinal);
    }
    (void)pthread_mutex_destroy(&device->modules.mutex);
    tn_cuda_driver_unload(&device->driver);
    tn_allocator allocator = base->allocator;
    tn_free(&allocator, device);
}

static tn_status device_create(const tn_device_options *options, tn_device **out_device) {
    *out_device = NULL;
    tn_cuda_device *device = tn_alloc_zero(options->allocator, sizeof *device);
    if (device == NULL) return tn_fail_memory(options->diag, "the cuda device", sizeof *device);
    device->base.backend = &tn_cuda_backend;
    if (options->allocator != NULL) device->base.allocator = *options->allocator;
    device->memory_limit_bytes = options->memory_limit_bytes;
    int num_cpus = tn_num_usable_cpus();
    device->num_host_threads = num_cpus < MAX_HOST_THREADS ? num_cpus : MAX_HOST_THREADS;
    (void)pthread_mutex_init(&device->modules.mutex, NULL);
    tn_status status = tn_cuda_driver_load(options->diag, &device->driver);
    if (status == TN_OK) status = describe(device, options->diag);
    if (status == TN_OK) {
        int error = device->driver.DevicePrimaryCtxRetain(&device->context, device->ordinal);
        if (error != 0) {
            device->context = NULL;
            status = tn_cuda_fail(&device->driver, error, TN_UNAVAILABLE, options->diag, "use %.80s", device->base.info.name);
        }
    }
    if (status == TN_OK)
        *out_device = &device->base;
    else
        device_destroy(&device->base);
    return status;
}

/* --- memory ------------------------------------------------------------------------------------------------------------------ */

static tn_status fail_limit(const tn_cuda_device *device, const char *kind, size_t size_bytes, size_t used, tn_diag *diag) {
    char needed[32], limit[32], taken[32];
    return tn_fail(diag, TN_OUT_OF_MEMORY, "cannot allocate %s for %s: %s of the limit of %s are used", tn_format_bytes(size_bytes, needed),
                   kind, tn_format_bytes(used, taken), tn_format_bytes(device->memory_limit_bytes, limit));
}

static tn_status fail_full(const tn_cuda_device *device, const char *kind, size_t size_bytes, tn_diag *diag) {
    char needed[32], left[32], total[32];
    size_t free_bytes = 0, total_bytes = 0;
    (void)device->driver.MemGetInfo(&free_bytes, &total_bytes);
    tn_where where = {.hint = "other programs on the GPU use memory too: nvidia-smi shows them"};
    return tn_fail_at(diag, TN_OUT_OF_MEMORY, &where, "cannot allocate %s for %s on %.80s: %s of %s are free",
                      tn_format_bytes(size_bytes, needed), kind, device->base.info.name, tn_format_bytes(free_bytes, left),
                      tn_format_bytes(total_bytes, total));
}

static bool round_size(size_t size_bytes, size_t *out_bytes) {
    return tn_align_size(size_bytes > 0 ? size_bytes : 1, ALIGNMENT, out_bytes);
}

static tn_status memory_allocate(tn_device *base, tn_memory_kind kind, size_t size_bytes, tn_diag *diag, void **out_memory) {
    static const char *const kinds[] = {"weights", "activations", "states"};
    tn_cuda_device *device = (tn_cuda_device *)base;
    const tn_cuda_driver *driver = &device->driver;
    size_t rounded;
    *out_memory = NULL;
    if (!round_size(size_bytes, &rounded)) return tn_fail_memory(diag, kinds[kind], size_bytes);
    size_t used = atomic_fetch_add(&device->memory_used_bytes, rounded), limit = device->memory_limit_bytes;
    tn_status status = TN_OK;
    tn_cu_address address = 0;
    if (limit != 0 && (rounded > limit || used > limit - rounded)) {
        status = fail_limit(device, kinds[kind], size_bytes, used, diag);
    } else {
        tn_cuda_enter(device);
        int error = driver->MemAlloc(&address, rounded);
        if (error == TN_CU_ERROR_OUT_OF_MEMORY) {
            status = fail_full(device, kinds[kind], size_bytes, diag);
        } else {
            if (error == 0) error = driver->MemsetD8Async(address, 0, rounded, NULL);
            if (error == 0) error = driver->StreamSynchronize(NULL);
            if (error != 0) status = tn_cuda_fail(driver, error, TN_INTERNAL, diag, "allocate GPU memory for %s", kinds[kind]);
        }
        if (status != TN_OK && address != 0) (void)driver->MemFree(address);
        tn_cuda_leave(device);
    }
    if (status == TN_OK)
        *out_memory = (void *)(uintptr_t)address;
    else
        atomic_fetch_sub(&device->memory_used_bytes, rounded);
    return status;
}

static void memory_free(tn_device *base, void *memory, size_t size_bytes) {
    tn_cuda_device *device = (tn_cuda_device *)base;
    size_t rounded;
    if (memory == NULL || !round_size(size_bytes, &rounded)) return;
    tn_cuda_enter(device);
    (void)device->driver.MemFree((tn_cu_address)(uintptr_t)memory); /* waits for kernels that run */
    tn_cuda_leave(device);
    atomic_fetch_sub(&device->memory_used_bytes, rounded);
}

static size_t memory_available(tn_device *base) {
    tn_cuda_device *device = (tn_cuda_device *)base;
    size_t free_bytes = 0, total_bytes, limit = device->memory_limit_bytes, used = atomic_load(&device->memory_used_bytes);
    tn_cuda_enter(device);
    (void)device->driver.MemGetInfo(&free_bytes, &total_bytes);
    tn_cuda_leave(device);
    size_t left = limit > used ? limit - used : 0;
    return limit != 0 && left < free_bytes ? left : free_bytes;
}

static tn_status host_memory_allocate(tn_device *base, size_t size_bytes, tn_diag *diag, void **out_memory) {
    tn_cuda_device *device = (tn_cuda_device *)base;
    tn_cuda_enter(device);
    int error = device->driver.MemHostAlloc(out_memory, size_bytes, TN_CU_HOST_PORTABLE);
    tn_cuda_leave(device);
    if (error == 0) return TN_OK;
    *out_memory = NULL;
    return tn_cuda_fail(&device->driver, error, TN_OUT_OF_MEMORY, diag, "pin %zu bytes of host memory for copies", size_bytes);
}

static void host_memory_free(tn_device *base, void *memory) {
    tn_cuda_device *device = (tn_cuda_device *)base;
    if (memory == NULL) return;
    tn_cuda_enter(device);
    (void)device->driver.MemFreeHost(memory);
    tn_cuda_leave(device);
}

/* --- table ------------------------------------------------------------------------------------------------------------------- */

static const tn_tactic *const tactics[] = {
#define X(name) &tn_cuda_tactic_##name,
    TN_CUDA_TACTICS(X)
#undef X
};

/* GEMV up to 8 rows; tiles of 64 and 128 rows. */
static const int64_t range_ends[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};

const tn_backend tn_cuda_backend = {
    .name = "cuda",
    .tactics = tactics,
    .num_tactics = sizeof tactics / sizeof tactics[0],
    .layouts = tn_cuda_layouts,
    .num_layouts = TN_NUM_CUDA_LAYOUTS,
    .range_ends = range_ends,
    .num_range_ends = sizeof range_ends / sizeof range_ends[0],
    .device_create = device_create,
    .device_destroy = device_destroy,
    .memory_allocate = memory_allocate,
    .memory_free = memory_free,
    .stream_create = tn_cuda_stream_create,
    .stream_destroy = tn_cuda_stream_destroy,
    .stream_synchronize = tn_cuda_stream_synchronize,
    .copy = tn_cuda_copy,
    .run_segment = tn_cuda_run_segment,
    .link = tn_cuda_link,
    .kv_block_bytes = tn_cuda_kv_block_bytes,
    .copy_blocks = tn_cuda_copy_blocks,
    .event_create = tn_cuda_event_create,
    .event_destroy = tn_cuda_event_destroy,
    .event_record = tn_cuda_event_record,
    .event_wait = tn_cuda_event_wait,
    .event_is_done = tn_cuda_event_is_done,
    .run_host_tasks = tn_cuda_run_host_tasks,
    .can_capture_graphs = true,
    .memory_available = memory_available,
    .host_memory_allocate = host_memory_allocate,
    .host_memory_free = host_memory_free,
};
