/* SPDX-License-Identifier: Apache-2.0
 *
 * async_memory.c: device memory that host code cannot touch. One file in memory, mapped twice: the addresses that the host is
 * given have no access rights; the worker threads add a constant to reach the readable view.
 *
 * Ranges are whole pages and handed out first fit from a list sorted by address. A page that is given back reads as zeros when
 * it is taken again.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/ref/async.h"
#include "base/memory.h"

#define LARGEST_BYTES  ((size_t)64 << 30) /* of addresses; pages come when they are touched */
#define SMALLEST_BYTES ((size_t)256 << 20)
#define PAGE_BYTES     ((size_t)4096)

typedef struct range {
    size_t offset, size_bytes;
} range;

struct tn_ref_memory {
    tn_allocator allocator;
    bool has_allocator;
    int descriptor;
    size_t size_bytes;
    char *host_view, *worker_view;
    pthread_mutex_t mutex;
    TN_ARRAY(range) taken; /* by offset */
};

static const tn_allocator *allocator_of(const tn_ref_memory *memory) {
    return memory->has_allocator ? &memory->allocator : NULL;
}

static bool map_views(tn_ref_memory *memory, size_t size_bytes) {
    if (ftruncate(memory->descriptor, (off_t)size_bytes) != 0) return false;
    void *host = mmap(NULL, size_bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, memory->descriptor, 0);
    if (host == MAP_FAILED) return false;
    void *worker = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory->descriptor, 0);
    if (worker == MAP_FAILED) {
        (void)munmap(host, size_bytes);
        return false;
    }
    memory->host_view = host, memory->worker_view = worker, memory->size_bytes = size_bytes;
    return true;
}

tn_status tn_ref_memory_create(const tn_allocator *allocator, tn_diag *diag, tn_ref_memory **out_memory) {
    *out_memory = NULL;
    tn_ref_memory *memory = tn_alloc_zero(allocator, sizeof *memory);
    if (memory == NULL) return tn_fail_memory(diag, "the memory of a ref device", sizeof *memory);
    memory->has_allocator = allocator != NULL;
    if (allocator != NULL) memory->allocator = *allocator;
    (void)pthread_mutex_init(&memory->mutex, NULL);
    memory->descriptor = memfd_create("tenon-ref", MFD_CLOEXEC);
    for (size_t size = LARGEST_BYTES; size >= SMALLEST_BYTES && memory->descriptor >= 0 && memory->host_view == NULL; size /= 2)
        (void)map_views(memory, size);
    if (memory->host_view == NULL) {
        tn_ref_memory_destroy(memory);
        return tn_fail(diag, TN_UNAVAILABLE, "cannot create an asynchronous ref device: the system gives no shared memory");
    }
    *out_memory = memory;
    return TN_OK;
}

void tn_ref_memory_destroy(tn_ref_memory *memory) {
    if (memory == NULL) return;
    if (memory->host_view != NULL) {
        (void)munmap(memory->host_view, memory->size_bytes);
        (void)munmap(memory->worker_view, memory->size_bytes);
    }
    if (memory->descriptor >= 0) (void)close(memory->descriptor);
    tn_array_deinit(allocator_of(memory), &memory->taken);
    (void)pthread_mutex_destroy(&memory->mutex);
    tn_allocator allocator = memory->allocator;
    tn_free(memory->has_allocator ? &allocator : NULL, memory);
}

void *tn_ref_memory_take(tn_ref_memory *memory, size_t size_bytes) {
    if (size_bytes > memory->size_bytes) return NULL;
    size_t needed = size_bytes == 0 ? PAGE_BYTES : (size_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES, offset = 0, at = 0;
    (void)pthread_mutex_lock(&memory->mutex);
    /* A page stays free between neighbours, so that running over the end faults. */
    while (at < memory->taken.count && memory->taken.data[at].offset - offset < needed + PAGE_BYTES) {
        offset = memory->taken.data[at].offset + memory->taken.data[at].size_bytes + PAGE_BYTES;
        at++;
    }
    void *address = NULL;
    if (offset + needed <= memory->size_bytes && tn_array_reserve(allocator_of(memory), &memory->taken, 1)) {
        memmove(memory->taken.data + at + 1, memory->taken.data + at, (memory->taken.count - at) * sizeof(range));
        memory->taken.data[at] = (range){offset, needed};
        memory->taken.count++;
        address = memory->host_view + offset;
    }
    (void)pthread_mutex_unlock(&memory->mutex);
    return address;
}

void tn_ref_memory_give_back(tn_ref_memory *memory, void *address) {
    size_t offset = (size_t)((char *)address - memory->host_view);
    (void)pthread_mutex_lock(&memory->mutex);
    for (size_t i = 0; i < memory->taken.count; i++) {
        if (memory->taken.data[i].offset != offset) continue;
        (void)madvise(memory->worker_view + offset, memory->taken.data[i].size_bytes, MADV_REMOVE);
        memmove(memory->taken.data + i, memory->taken.data + i + 1, (memory->taken.count - i - 1) * sizeof(range));
        memory->taken.count--;
        break;
    }
    (void)pthread_mutex_unlock(&memory->mutex);
}

void *tn_ref_memory_worker_address(const tn_ref_memory *memory, const void *address, size_t size_bytes) {
    uintptr_t at = (uintptr_t)address, base = (uintptr_t)memory->host_view;
    if (at < base || at - base > memory->size_bytes || size_bytes > memory->size_bytes - (at - base)) return NULL;
    return memory->worker_view + (at - base);
}
