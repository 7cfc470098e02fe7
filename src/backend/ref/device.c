/* SPDX-License-Identifier: Apache-2.0
 *
 * device.c: the reference device in its synchronous form: steps run where they are called, in host memory.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/ref/async.h"
#include "backend/ref/ref.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"

tn_status tn_ref_device_take(tn_ref_device *device, size_t size_bytes, tn_diag *diag) {
    size_t used = atomic_fetch_add(&device->used_bytes, size_bytes) + size_bytes;
    if (device->limit_bytes == 0 || (used >= size_bytes && used <= device->limit_bytes)) return TN_OK;
    tn_ref_device_give_back(device, size_bytes);
    char needed[32], limit[32];
    return tn_fail(diag, TN_OUT_OF_MEMORY, "cannot allocate %s of tensor memory on ref: the limit is %s",
                   tn_format_bytes(size_bytes, needed), tn_format_bytes(device->limit_bytes, limit));
}

void tn_ref_device_give_back(tn_ref_device *device, size_t size_bytes) {
    (void)atomic_fetch_sub(&device->used_bytes, size_bytes);
}

static tn_status device_create(const tn_device_options *options, tn_device **out_device) {
    *out_device = NULL;
    tn_ref_device *device = tn_alloc_zero(options->allocator, sizeof *device);
    if (device == NULL) return tn_fail_memory(options->diag, "a ref device", sizeof *device);
    device->base.backend = options->async ? &tn_ref_async_backend : &tn_ref_backend;
    device->base.allocator = options->allocator != NULL ? *options->allocator : (tn_allocator){0};
    device->seed = options->async_seed;
    device->limit_bytes = options->memory_limit_bytes;
    tn_device_info *info = &device->base.info;
    *info = (tn_device_info){.backend = "ref", .num_workers = 1, .memory_bytes = tn_available_memory_bytes()};
    info->read_bytes_per_us = 500.0; /* scalar double arithmetic, an element at a time */
    info->flops_per_us = 1000.0;
    (void)snprintf(info->name, sizeof info->name, "reference kernels");
    (void)snprintf(info->fingerprint, sizeof info->fingerprint, "ref");
    (void)snprintf(device->base.description, sizeof device->base.description, "reference kernels (double precision, 1 thread%s)",
                   options->async ? ", asynchronous" : "");
    tn_status status = options->async ? tn_ref_memory_create(options->allocator, options->diag, &device->memory) : TN_OK;
    if (status != TN_OK) {
        tn_free(options->allocator, device);
        return status;
    }
    *out_device = &device->base;
    return TN_OK;
}

/* A copied allocator without a function stands for malloc. */
const tn_allocator *tn_ref_device_allocator(const tn_device *device) {
    return device->allocator.reallocate != NULL ? &device->allocator : NULL;
}

static void device_destroy(tn_device *base) {
    tn_allocator allocator = base->allocator;
    tn_ref_memory_destroy(((tn_ref_device *)base)->memory);
    tn_free(allocator.reallocate != NULL ? &allocator : NULL, base);
}

static tn_status memory_allocate(tn_device *base, tn_memory_kind kind, size_t size_bytes, tn_diag *diag, void **out_memory) {
    (void)kind;
    tn_ref_device *device = (tn_ref_device *)base;
    size_t alignment = size_bytes >= 4096 ? 4096 : 64;
    *out_memory = NULL;
    tn_status status = tn_ref_device_take(device, size_bytes, diag);
    if (status != TN_OK) return status;
    if (posix_memalign(out_memory, alignment, size_bytes > 0 ? size_bytes : 1) != 0) {
        *out_memory = NULL;
        tn_ref_device_give_back(device, size_bytes);
        return tn_fail_memory(diag, "tensor memory", size_bytes);
    }
    memset(*out_memory, 0, size_bytes);
    return TN_OK;
}

static void memory_free(tn_device *device, void *memory, size_t size_bytes) {
    if (memory == NULL) return;
    free(memory);
    tn_ref_device_give_back((tn_ref_device *)device, size_bytes);
}

static tn_status stream_create(tn_device *device, tn_diag *diag, tn_stream **out_stream) {
    tn_stream *stream = tn_alloc_zero(tn_ref_device_allocator(device), sizeof *stream);
    *out_stream = stream;
    if (stream == NULL) return tn_fail_memory(diag, "a stream", sizeof *stream);
    stream->device = device;
    return TN_OK;
}

static void stream_destroy(tn_stream *stream) {
    if (stream != NULL) tn_free(tn_ref_device_allocator(stream->device), stream);
}

static tn_status stream_synchronize(tn_stream *stream, tn_diag *diag) {
    (void)stream;
    (void)diag;
    return TN_OK;
}

static tn_status copy(tn_stream *stream, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes, tn_diag *diag) {
    (void)stream;
    (void)direction;
    (void)diag;
    if (size_bytes > 0) memmove(dst, src, size_bytes);
    return TN_OK;
}

static tn_status run_segment(tn_stream *stream, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink, tn_diag *diag) {
    (void)stream;
    for (size_t i = 0; i < num_steps; i++) {
        int64_t begin_ns = sink != NULL ? tn_now_ns() : 0;
        tn_status status = tn_ref_run_step(&steps[i], steps[i].buffers, diag);
        if (status != TN_OK) return status;
        if (sink != NULL) sink->record(sink->user, i, begin_ns, tn_now_ns());
    }
    return TN_OK;
}

size_t tn_ref_device_kv_block_bytes(const tn_device *device, const tn_kv_geometry *geometry) {
    (void)device;
    return tn_ref_kv_block_bytes(geometry);
}

static tn_status copy_blocks(tn_stream *stream, const tn_kv_geometry *geometry, void *state, const tn_block_copy *copies, size_t num_copies,
                             tn_diag *diag) {
    (void)stream;
    (void)diag;
    tn_ref_kv_copy_blocks(geometry, state, copies, num_copies);
    return TN_OK;
}

const tn_backend tn_ref_backend = {
    .name = "ref",
    .is_host = true,
    .batch_invariant_by_default = true,
    .tactics = tn_ref_tactics,
    .num_tactics = TN_REF_NUM_TACTICS,
    .device_create = device_create,
    .device_destroy = device_destroy,
    .memory_allocate = memory_allocate,
    .memory_free = memory_free,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_synchronize = stream_synchronize,
    .copy = copy,
    .run_segment = run_segment,
    .kv_block_bytes = tn_ref_device_kv_block_bytes,
    .copy_blocks = copy_blocks,
};

const tn_backend tn_ref_async_backend = {
    .name = "ref",
    .batch_invariant_by_default = true,
    .tactics = tn_ref_tactics,
    .num_tactics = TN_REF_NUM_TACTICS,
    .device_create = device_create,
    .device_destroy = device_destroy,
    .memory_allocate = tn_ref_async_memory_allocate,
    .memory_free = tn_ref_async_memory_free,
    .stream_create = tn_ref_async_stream_create,
    .stream_destroy = tn_ref_async_stream_destroy,
    .stream_synchronize = tn_ref_async_stream_synchronize,
    .copy = tn_ref_async_copy,
    .run_segment = tn_ref_async_run_segment,
    .kv_block_bytes = tn_ref_device_kv_block_bytes,
    .copy_blocks = tn_ref_async_copy_blocks,
    .event_create = tn_ref_async_event_create,
    .event_destroy = tn_ref_async_event_destroy,
    .event_record = tn_ref_async_event_record,
    .event_wait = tn_ref_async_event_wait,
    .event_is_done = tn_ref_async_event_is_done,
};
