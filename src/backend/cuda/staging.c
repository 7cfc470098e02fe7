/* SPDX-License-Identifier: Apache-2.0
 *
 * staging.c: the inbox is a ring of chunks; a chunk is filled again once the event behind its last copy has passed. The outbox is
 * a ring of bytes whose copies are delivered in order.
 */
#include "backend/cuda/staging.h"

#include <string.h>

enum { OUTBOX_BYTES = 4 << 20, GATHERED_BYTES = 64 << 10, MAX_OUT = 256, STAGED_ALIGNMENT = 16 };

static size_t aligned(size_t size_bytes) {
    return (size_bytes + STAGED_ALIGNMENT - 1) & ~(size_t)(STAGED_ALIGNMENT - 1);
}

static tn_status allocate_pinned(const tn_cuda_device *device, size_t size_bytes, tn_diag *diag, void **out_memory) {
    int error = device->driver.MemHostAlloc(out_memory, size_bytes, TN_CU_HOST_PORTABLE);
    if (error == 0) return TN_OK;
    *out_memory = NULL;
    return tn_cuda_fail(&device->driver, error, TN_OUT_OF_MEMORY, diag, "pin %zu bytes of host memory for copies", size_bytes);
}

/* --- inbox ------------------------------------------------------------------------------------------------------------------- */

static tn_status inbox_init(tn_cuda_stream *stream, tn_diag *diag) {
    const tn_cuda_device *device = (const tn_cuda_device *)stream->base.device;
    tn_cuda_inbox *inbox = &stream->inbox;
    void *memory;
    tn_status status = allocate_pinned(device, (size_t)TN_CUDA_INBOX_CHUNKS * TN_CUDA_INBOX_CHUNK_BYTES, diag, &memory);
    for (int i = 0; i < TN_CUDA_INBOX_CHUNKS && status == TN_OK; i++) {
        int error = inbox->passed[i] != NULL ? 0 : device->driver.EventCreate(&inbox->passed[i], TN_CU_EVENT_NO_TIMING);
        if (error != 0) status = tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "create a GPU event");
    }
    if (status == TN_OK)
        inbox->memory = memory;
    else if (memory != NULL)
        (void)device->driver.MemFreeHost(memory);
    return status;
}

void tn_cuda_inbox_deinit(tn_cuda_stream *stream) {
    const tn_cuda_driver *driver = &((tn_cuda_device *)stream->base.device)->driver;
    for (int i = 0; i < TN_CUDA_INBOX_CHUNKS; i++)
        if (stream->inbox.passed[i] != NULL) (void)driver->EventDestroy(stream->inbox.passed[i]);
    if (stream->inbox.memory != NULL) (void)driver->MemFreeHost(stream->inbox.memory);
    stream->inbox = (tn_cuda_inbox){0};
}

/* Constants of deliver_copies: offset and size of each. kernels/staging.cu has the same packing. */
enum { SIZE_BITS = 20 };

tn_status tn_cuda_inbox_flush(tn_cuda_stream *stream, tn_diag *diag) {
    const tn_cuda_device *device = (const tn_cuda_device *)stream->base.device;
    tn_cuda_inbox *inbox = &stream->inbox;
    int count = inbox->num_pending;
    inbox->num_pending = 0;
    if (count == 0) return TN_OK;
    if (count == 1) {
        int error = device->driver.MemcpyHtoDAsync((tn_cu_address)(uintptr_t)inbox->pending[0].dst,
                                                   inbox->memory + inbox->pending[0].offset, inbox->pending[0].size_bytes, stream->handle);
        return error == 0
                   ? TN_OK
                   : tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "copy %zu bytes to the GPU", inbox->pending[0].size_bytes);
    }
    tn_cuda_args arguments = {{NULL}, {0}};
    for (int i = 0; i < count; i++) {
        arguments.buffers[i] = inbox->pending[i].dst;
        arguments.constants[i] = (long long)(inbox->pending[i].offset << SIZE_BITS | inbox->pending[i].size_bytes);
    }
    arguments.buffers[TN_CUDA_INBOX_PENDING] = inbox->memory;
    const uint32_t grid[3] = {(uint32_t)count, 1, 1};
    return tn_cuda_launch(stream, TN_CUDA_KERNEL_deliver_copies, grid, 256, 0, &arguments, NULL, false, diag);
}

static bool overlaps_pending(const tn_cuda_inbox *inbox, const char *dst, size_t size_bytes) {
    for (int i = 0; i < inbox->num_pending; i++) {
        const char *other = inbox->pending[i].dst;
        if (dst < other + inbox->pending[i].size_bytes && other < dst + size_bytes) return true;
    }
    return false;
}

static tn_status next_chunk(tn_cuda_stream *stream, tn_diag *diag) {
    const tn_cuda_driver *driver = &((tn_cuda_device *)stream->base.device)->driver;
    tn_cuda_inbox *inbox = &stream->inbox;
    tn_status status = tn_cuda_inbox_flush(stream, diag);
    if (status != TN_OK) return status;
    int error = driver->EventRecord(inbox->passed[inbox->chunk], stream->handle);
    inbox->chunk = (inbox->chunk + 1) % TN_CUDA_INBOX_CHUNKS;
    inbox->used_bytes = 0;
    if (error == 0) error = driver->EventSynchronize(inbox->passed[inbox->chunk]); /* at once if it was never recorded */
    return error == 0 ? TN_OK : tn_cuda_fail(driver, error, TN_INTERNAL, diag, "run work on the GPU");
}

tn_status tn_cuda_inbox_put(tn_cuda_stream *stream, void *dst, const void *src, size_t size_bytes, tn_diag *diag) {
    tn_cuda_inbox *inbox = &stream->inbox;
    tn_status status = inbox->memory != NULL ? TN_OK : inbox_init(stream, diag);
    if (status == TN_OK && inbox->used_bytes + size_bytes > TN_CUDA_INBOX_CHUNK_BYTES) status = next_chunk(stream, diag);
    if (status == TN_OK &&
        (inbox->num_pending == TN_CUDA_INBOX_PENDING || size_bytes > GATHERED_BYTES || overlaps_pending(inbox, dst, size_bytes)))
        status = tn_cuda_inbox_flush(stream, diag);
    if (status != TN_OK) return status;
    size_t offset = (size_t)inbox->chunk * TN_CUDA_INBOX_CHUNK_BYTES + inbox->used_bytes;
    memcpy(inbox->memory + offset, src, size_bytes);
    inbox->pending[inbox->num_pending].dst = dst;
    inbox->pending[inbox->num_pending].offset = offset;
    inbox->pending[inbox->num_pending++].size_bytes = size_bytes;
    inbox->used_bytes += aligned(size_bytes);
    return size_bytes <= GATHERED_BYTES ? TN_OK : tn_cuda_inbox_flush(stream, diag); /* alone: by the copy engine */
}

/* --- outbox ------------------------------------------------------------------------------------------------------------------ */

struct tn_cuda_outbox {
    tn_cuda_device *device;
    atomic_int num_references;
    pthread_mutex_t mutex;
    uint8_t *memory;
    size_t head; /* where the next copy lands; copies do not wrap */
    struct {
        void *dst;
        size_t offset, size_bytes;
    } copies[MAX_OUT];            /* by sequence modulo MAX_OUT */
    uint64_t num_put, num_passed; /* copies so far; those delivered */
};

static tn_status outbox_create(tn_cuda_device *device, tn_diag *diag, tn_cuda_outbox **out_outbox) {
    tn_cuda_outbox *outbox = tn_alloc_zero(&device->base.allocator, sizeof *outbox);
    void *memory;
    *out_outbox = NULL;
    if (outbox == NULL) return tn_fail_memory(diag, "a stream", sizeof *outbox);
    tn_status status = allocate_pinned(device, OUTBOX_BYTES, diag, &memory);
    if (status != TN_OK) {
        tn_free(&device->base.allocator, outbox);
        return status;
    }
    outbox->device = device;
    outbox->memory = memory;
    atomic_init(&outbox->num_references, 1);
    (void)pthread_mutex_init(&outbox->mutex, NULL);
    *out_outbox = outbox;
    return TN_OK;
}

tn_cuda_outbox *tn_cuda_outbox_retain(tn_cuda_outbox *outbox) {
    if (outbox != NULL) (void)atomic_fetch_add(&outbox->num_references, 1);
    return outbox;
}

void tn_cuda_outbox_release(tn_cuda_outbox *outbox) {
    if (outbox == NULL || atomic_fetch_sub(&outbox->num_references, 1) != 1) return;
    (void)outbox->device->driver.MemFreeHost(outbox->memory);
    (void)pthread_mutex_destroy(&outbox->mutex);
    tn_free(&outbox->device->base.allocator, outbox);
}

uint64_t tn_cuda_outbox_sequence(const tn_cuda_outbox *outbox) {
    return outbox != NULL ? outbox->num_put : 0;
}

void tn_cuda_outbox_deliver(tn_cuda_outbox *outbox, uint64_t sequence) {
    if (outbox == NULL) return;
    (void)pthread_mutex_lock(&outbox->mutex);
    for (; outbox->num_passed < sequence; outbox->num_passed++) {
        uint64_t i = outbox->num_passed % MAX_OUT;
        memcpy(outbox->copies[i].dst, outbox->memory + outbox->copies[i].offset, outbox->copies[i].size_bytes);
    }
    (void)pthread_mutex_unlock(&outbox->mutex);
}

/* Is [offset, offset + size) free of copies that were not delivered? */
static bool has_room(tn_cuda_outbox *outbox, size_t offset, size_t size_bytes) {
    bool is_free = outbox->num_put - outbox->num_passed < MAX_OUT;
    for (uint64_t i = outbox->num_passed; i < outbox->num_put && is_free; i++) {
        size_t other = outbox->copies[i % MAX_OUT].offset, other_end = other + outbox->copies[i % MAX_OUT].size_bytes;
        is_free = offset >= other_end || other >= offset + size_bytes;
    }
    return is_free;
}

tn_status tn_cuda_outbox_put(tn_cuda_stream *stream, void *dst, const void *src, size_t size_bytes, tn_diag *diag) {
    tn_cuda_device *device = (tn_cuda_device *)stream->base.device;
    tn_status status = stream->outbox != NULL ? TN_OK : outbox_create(device, diag, &stream->outbox);
    if (status != TN_OK) return status;
    tn_cuda_outbox *outbox = stream->outbox;
    int error = 0;
    (void)pthread_mutex_lock(&outbox->mutex);
    if (outbox->head + size_bytes > OUTBOX_BYTES) outbox->head = 0;
    bool fits = has_room(outbox, outbox->head, size_bytes);
    (void)pthread_mutex_unlock(&outbox->mutex);
    if (!fits) { /* nobody has looked for long */
        error = device->driver.StreamSynchronize(stream->handle);
        if (error == 0) tn_cuda_outbox_deliver(outbox, outbox->num_put);
    }
    if (error == 0)
        error = device->driver.MemcpyDtoHAsync(outbox->memory + outbox->head, (tn_cu_address)(uintptr_t)src, size_bytes, stream->handle);
    if (error != 0) return tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "copy %zu bytes from the GPU", size_bytes);
    (void)pthread_mutex_lock(&outbox->mutex);
    uint64_t i = outbox->num_put % MAX_OUT;
    outbox->copies[i].dst = dst;
    outbox->copies[i].offset = outbox->head;
    outbox->copies[i].size_bytes = size_bytes;
    outbox->head += aligned(size_bytes);
    outbox->num_put++;
    (void)pthread_mutex_unlock(&outbox->mutex);
    return TN_OK;
}
