/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.c: queues of work, copies and events.
 */
#include "backend/cuda/graph.h"
#include "backend/cuda/staging.h"

struct tn_event {
    tn_cuda_device *device;
    tn_cu_event handle;
    tn_cuda_outbox *outbox; /* of the stream that it was recorded on, and how far that was then */
    uint64_t sequence;
};

/* --- streams ----------------------------------------------------------------------------------------------------------------- */

tn_status tn_cuda_stream_create(tn_device *base, tn_diag *diag, tn_stream **out_stream) {
    tn_cuda_device *device = (tn_cuda_device *)base;
    tn_cuda_stream *stream = tn_alloc_zero(&base->allocator, sizeof *stream);
    *out_stream = NULL;
    if (stream == NULL) return tn_fail_memory(diag, "a stream", sizeof *stream);
    stream->base.device = base;
    tn_cuda_enter(device);
    int error = device->driver.StreamCreate(&stream->handle, TN_CU_STREAM_NON_BLOCKING);
    tn_cuda_leave(device);
    if (error != 0) {
        tn_free(&base->allocator, stream);
        return tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "create a GPU stream");
    }
    *out_stream = &stream->base;
    return TN_OK;
}

void tn_cuda_stream_destroy(tn_stream *base) {
    tn_cuda_stream *stream = (tn_cuda_stream *)base;
    if (stream == NULL) return;
    tn_cuda_device *device = (tn_cuda_device *)base->device;
    tn_cuda_enter(device);
    (void)tn_cuda_inbox_flush(stream, NULL);
    if (device->driver.StreamSynchronize(stream->handle) == 0)
        tn_cuda_outbox_deliver(stream->outbox, tn_cuda_outbox_sequence(stream->outbox));
    tn_cuda_inbox_deinit(stream);
    tn_cuda_outbox_release(stream->outbox);
    tn_cuda_graphs_deinit(stream);
    for (size_t i = 0; i < stream->timers.count; i++) (void)device->driver.EventDestroy(stream->timers.data[i]);
    (void)device->driver.StreamDestroy(stream->handle);
    tn_cuda_leave(device);
    tn_array_deinit(&device->base.allocator, &stream->timers);
    tn_free(&device->base.allocator, stream);
}

tn_status tn_cuda_stream_synchronize(tn_stream *base, tn_diag *diag) {
    tn_cuda_stream *stream = (tn_cuda_stream *)base;
    const tn_cuda_device *device = (const tn_cuda_device *)base->device;
    tn_cuda_enter(device);
    tn_status status = tn_cuda_inbox_flush(stream, diag);
    int error = device->driver.StreamSynchronize(stream->handle);
    tn_cuda_leave(device);
    if (error != 0) return tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "run work on the GPU");
    tn_cuda_outbox_deliver(stream->outbox, tn_cuda_outbox_sequence(stream->outbox));
    return status;
}

/* Of larger pieces of pageable host memory: the driver has taken them in when it returns, or put them where they go. */
static tn_status copy_large(tn_cuda_stream *stream, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes,
                            tn_diag *diag) {
    static const char *const directions[] = {"to the GPU", "from the GPU", "on the GPU"};
    const tn_cuda_driver *driver = &((const tn_cuda_device *)stream->base.device)->driver;
    tn_cu_address to = (tn_cu_address)(uintptr_t)dst, from = (tn_cu_address)(uintptr_t)src;
    tn_status status = tn_cuda_inbox_flush(stream, diag);
    int error = 0;
    if (status == TN_OK && direction == TN_COPY_TO_HOST && stream->outbox != NULL) { /* smaller ones before it arrive before it */
        error = driver->StreamSynchronize(stream->handle);
        if (error == 0) tn_cuda_outbox_deliver(stream->outbox, tn_cuda_outbox_sequence(stream->outbox));
    }
    if (status != TN_OK || error != 0)
        return status != TN_OK ? status : tn_cuda_fail(driver, error, TN_INTERNAL, diag, "run work on the GPU");
    switch (direction) {
    case TN_COPY_TO_DEVICE: error = driver->MemcpyHtoDAsync(to, src, size_bytes, stream->handle); break;
    case TN_COPY_TO_HOST: error = driver->MemcpyDtoHAsync(dst, from, size_bytes, stream->handle); break;
    case TN_COPY_ON_DEVICE: error = driver->MemcpyDtoDAsync(to, from, size_bytes, stream->handle); break;
    }
    return error == 0 ? TN_OK : tn_cuda_fail(driver, error, TN_INTERNAL, diag, "copy %zu bytes %s", size_bytes, directions[direction]);
}

tn_status tn_cuda_copy(tn_stream *base, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes, tn_diag *diag) {
    tn_cuda_stream *stream = (tn_cuda_stream *)base;
    const tn_cuda_device *device = (const tn_cuda_device *)base->device;
    tn_status status;
    if (size_bytes == 0) return TN_OK;
    tn_cuda_enter(device);
    if (direction == TN_COPY_ON_DEVICE || size_bytes > TN_CUDA_STAGED_BYTES) {
        status = copy_large(stream, direction, dst, src, size_bytes, diag);
    } else if (direction == TN_COPY_TO_DEVICE) {
        status = tn_cuda_inbox_put(stream, dst, src, size_bytes, diag);
    } else {
        status = tn_cuda_inbox_flush(stream, diag);
        if (status == TN_OK) status = tn_cuda_outbox_put(stream, dst, src, size_bytes, diag);
    }
    tn_cuda_leave(device);
    return status;
}

/* --- events ------------------------------------------------------------------------------------------------------------------ */

tn_status tn_cuda_event_create(tn_device *base, tn_diag *diag, tn_event **out_event) {
    tn_cuda_device *device = (tn_cuda_device *)base;
    tn_event *event = tn_alloc_zero(&base->allocator, sizeof *event);
    *out_event = NULL;
    if (event == NULL) return tn_fail_memory(diag, "an event", sizeof *event);
    event->device = device;
    tn_cuda_enter(device);
    int error = device->driver.EventCreate(&event->handle, TN_CU_EVENT_NO_TIMING);
    tn_cuda_leave(device);
    if (error != 0) {
        tn_free(&base->allocator, event);
        return tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "create a GPU event");
    }
    *out_event = event;
    return TN_OK;
}

void tn_cuda_event_destroy(tn_event *event) {
    if (event == NULL) return;
    tn_cuda_device *device = event->device;
    tn_cuda_enter(device);
    (void)device->driver.EventDestroy(event->handle);
    tn_cuda_outbox_release(event->outbox);
    tn_cuda_leave(device);
    tn_free(&device->base.allocator, event);
}

tn_status tn_cuda_event_record(tn_stream *base, tn_event *event) {
    tn_cuda_stream *stream = (tn_cuda_stream *)base;
    tn_cuda_enter(event->device);
    tn_status status = tn_cuda_inbox_flush(stream, NULL);
    int error = event->device->driver.EventRecord(event->handle, stream->handle);
    if (event->outbox != stream->outbox) {
        tn_cuda_outbox_release(event->outbox);
        event->outbox = tn_cuda_outbox_retain(stream->outbox);
    }
    event->sequence = tn_cuda_outbox_sequence(stream->outbox);
    tn_cuda_leave(event->device);
    return error == 0 ? status : TN_INTERNAL; /* synchronize says why */
}

tn_status tn_cuda_event_wait(tn_event *event, tn_diag *diag) {
    const tn_cuda_driver *driver = &event->device->driver;
    tn_cuda_enter(event->device);
    int error = driver->EventSynchronize(event->handle);
    tn_cuda_leave(event->device);
    if (error != 0) return tn_cuda_fail(driver, error, TN_INTERNAL, diag, "run work on the GPU");
    tn_cuda_outbox_deliver(event->outbox, event->sequence);
    return TN_OK;
}

bool tn_cuda_event_is_done(tn_event *event) {
    tn_cuda_enter(event->device);
    int error = event->device->driver.EventQuery(event->handle);
    tn_cuda_leave(event->device);
    if (error == 0) tn_cuda_outbox_deliver(event->outbox, event->sequence);
    return error != TN_CU_ERROR_NOT_READY; /* after a failure too: wait reports it */
}
