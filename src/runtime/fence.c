/* SPDX-License-Identifier: Apache-2.0
 *
 * fence.c: tn_fence over a backend's events; on a synchronous device there is nothing to wait for.
 */
#include "base/memory.h"
#include "runtime/engine.h"

struct tn_fence {
    const tn_allocator *allocator;
    tn_device *device;
    tn_event *event; /* NULL: the device is synchronous */
};

tn_status tn_fence_create(tn_engine *engine, tn_diag *diag, tn_fence **out_fence) {
    *out_fence = NULL;
    tn_device *device = tn_engine_device(engine);
    tn_fence *fence = tn_alloc_zero(engine->allocator, sizeof *fence);
    if (fence == NULL) return tn_fail_memory(diag, "a fence", sizeof *fence);
    fence->allocator = engine->allocator;
    fence->device = device;
    if (device->backend->event_create != NULL) {
        tn_status status = device->backend->event_create(device, diag, &fence->event);
        if (status != TN_OK) {
            tn_fence_destroy(fence);
            return status;
        }
    }
    *out_fence = fence;
    return TN_OK;
}

void tn_fence_destroy(tn_fence *fence) {
    if (fence == NULL) return;
    if (fence->event != NULL) fence->device->backend->event_destroy(fence->event);
    tn_free(fence->allocator, fence);
}

tn_status tn_fence_record(tn_fence *fence, tn_stream *stream) {
    return fence->event != NULL ? fence->device->backend->event_record(stream, fence->event) : TN_OK;
}

tn_status tn_fence_wait(tn_fence *fence, tn_diag *diag) {
    return fence->event != NULL ? fence->device->backend->event_wait(fence->event, diag) : TN_OK;
}
