/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.c: queues of work, copies and events.
 */
#include "backend/cuda/device.h"

struct tn_event {
    tn_cuda_device *device;
    tn_cu_event handle;
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
    (void)device->driver.StreamSynchronize(stream->handle);
    for (size_t i = 0; i < stream->timers.count; i++) (void)device->driver.EventDestroy(stream->timers.data[i]);
    (void)device->driver.StreamDestroy(stream->handle);
    tn_cuda_leave(device);
    tn_array_deinit(&device->base.allocator, &stream->timers);
    tn_free(&device->base.allocator, stream);
}

tn_status tn_cuda_stream_synchronize(tn_stream *base, tn_diag *diag) {
    const tn_cuda_device *device = (const tn_cuda_device *)base->device;
    tn_cuda_enter(device);
    int error = device->driver.StreamSynchronize(((tn_cuda_stream *)base)->handle);
    tn_cuda_leave(device);
    return error == 0 ? TN_OK : tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "run work on the GPU");
}

/* Of pageable host memory the driver takes small copies in at once and larger ones before it returns; what goes to such memory
 * is there when it returns. */
tn_status tn_cuda_copy(tn_stream *base, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes, tn_diag *diag) {
    static const char *const directions[] = {"to the GPU", "from the GPU", "on the GPU"};
    const tn_cuda_device *device = (const tn_cuda_device *)base->device;
    const tn_cuda_driver *driver = &device->driver;
    tn_cu_stream handle = ((tn_cuda_stream *)base)->handle;
    tn_cu_address to = (tn_cu_address)(uintptr_t)dst, from = (tn_cu_address)(uintptr_t)src;
    int error = 0;
    if (size_bytes == 0) return TN_OK;
    tn_cuda_enter(device);
    switch (direction) {
    case TN_COPY_TO_DEVICE: error = driver->MemcpyHtoDAsync(to, src, size_bytes, handle); break;
    case TN_COPY_TO_HOST: error = driver->MemcpyDtoHAsync(dst, from, size_bytes, handle); break;
    case TN_COPY_ON_DEVICE: error = driver->MemcpyDtoDAsync(to, from, size_bytes, handle); break;
    }
    tn_cuda_leave(device);
    return error == 0 ? TN_OK : tn_cuda_fail(driver, error, TN_INTERNAL, diag, "copy %zu bytes %s", size_bytes, directions[direction]);
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
    tn_cuda_leave(device);
    tn_free(&device->base.allocator, event);
}

tn_status tn_cuda_event_record(tn_stream *stream, tn_event *event) {
    const tn_cuda_driver *driver = &event->device->driver;
    tn_cuda_enter(event->device);
    int error = driver->EventRecord(event->handle, ((tn_cuda_stream *)stream)->handle);
    tn_cuda_leave(event->device);
    return error == 0 ? TN_OK : TN_INTERNAL; /* synchronize says why */
}

tn_status tn_cuda_event_wait(tn_event *event, tn_diag *diag) {
    const tn_cuda_driver *driver = &event->device->driver;
    tn_cuda_enter(event->device);
    int error = driver->EventSynchronize(event->handle);
    tn_cuda_leave(event->device);
    return error == 0 ? TN_OK : tn_cuda_fail(driver, error, TN_INTERNAL, diag, "run work on the GPU");
}

bool tn_cuda_event_is_done(tn_event *event) {
    tn_cuda_enter(event->device);
    int error = event->device->driver.EventQuery(event->handle);
    tn_cuda_leave(event->device);
    return error != TN_CU_ERROR_NOT_READY; /* after a failure too: wait reports it */
}
