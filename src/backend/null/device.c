/* SPDX-License-Identifier: Apache-2.0
 *
 * device.c: the null backend. It runs a schedule without arithmetic: steps do nothing, outputs keep the zeros that memory
 * starts with, copies are real. A profile gets modelled times, not measured ones: a device of 2 TB/s and 500 TFLOPS that
 * takes 2 µs a launch. For measuring what the host side costs, and as a template for a new backend.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "backend/cost.h"
#include "base/memory.h"
#include "base/text.h"

#define LAUNCH_US 2.0

extern const tn_backend tn_null_backend;

typedef struct null_device {
    tn_device base;
    bool has_allocator;
    size_t limit_bytes;
    _Atomic size_t used_bytes;
    _Atomic int64_t clock_ns; /* modelled time of all work so far */
} null_device;

static const tn_allocator *allocator_of(const null_device *device) {
    return device->has_allocator ? &device->base.allocator : NULL;
}

static tn_status device_create(const tn_device_options *options, tn_device **out_device) {
    *out_device = NULL;
    null_device *device = tn_alloc_zero(options->allocator, sizeof *device);
    if (device == NULL) return tn_fail_memory(options->diag, "a null device", sizeof *device);
    device->base.backend = &tn_null_backend;
    device->has_allocator = options->allocator != NULL;
    if (device->has_allocator) device->base.allocator = *options->allocator;
    device->limit_bytes = options->memory_limit_bytes;
    tn_device_info *info = &device->base.info;
    *info = (tn_device_info){.backend = "null", .num_workers = 1, .memory_bytes = (size_t)80 << 30};
    info->read_bytes_per_us = 2e6;
    info->flops_per_us = 5e8;
    (void)snprintf(info->name, sizeof info->name, "no arithmetic");
    (void)snprintf(info->fingerprint, sizeof info->fingerprint, "null");
    (void)snprintf(device->base.description, sizeof device->base.description, "null device (schedule only, outputs are zeros)");
    *out_device = &device->base;
    return TN_OK;
}

static void device_destroy(tn_device *base) {
    null_device *device = (null_device *)base;
    tn_allocator allocator = base->allocator;
    tn_free(device->has_allocator ? &allocator : NULL, device);
}

static tn_status memory_allocate(tn_device *base, tn_memory_kind kind, size_t size_bytes, tn_diag *diag, void **out_memory) {
    (void)kind;
    null_device *device = (null_device *)base;
    *out_memory = NULL;
    size_t used = atomic_fetch_add(&device->used_bytes, size_bytes) + size_bytes;
    if (device->limit_bytes != 0 && (used < size_bytes || used > device->limit_bytes)) {
        char needed[32], limit[32];
        (void)atomic_fetch_sub(&device->used_bytes, size_bytes);
        return tn_fail(diag, TN_OUT_OF_MEMORY, "cannot allocate %s of tensor memory on null: the limit is %s",
                       tn_format_bytes(size_bytes, needed), tn_format_bytes(device->limit_bytes, limit));
    }
    if (posix_memalign(out_memory, size_bytes >= 4096 ? 4096 : 64, size_bytes > 0 ? size_bytes : 1) != 0) {
        *out_memory = NULL;
        (void)atomic_fetch_sub(&device->used_bytes, size_bytes);
        return tn_fail_memory(diag, "tensor memory", size_bytes);
    }
    memset(*out_memory, 0, size_bytes);
    return TN_OK;
}

static void memory_free(tn_device *base, void *memory, size_t size_bytes) {
    if (memory == NULL) return;
    free(memory);
    (void)atomic_fetch_sub(&((null_device *)base)->used_bytes, size_bytes);
}

static tn_status stream_create(tn_device *device, tn_diag *diag, tn_stream **out_stream) {
    tn_stream *stream = tn_alloc_zero(allocator_of((null_device *)device), sizeof *stream);
    *out_stream = stream;
    if (stream == NULL) return tn_fail_memory(diag, "a stream", sizeof *stream);
    stream->device = device;
    return TN_OK;
}

static void stream_destroy(tn_stream *stream) {
    if (stream != NULL) tn_free(allocator_of((null_device *)stream->device), stream);
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
    (void)diag;
    null_device *device = (null_device *)stream->device;
    for (size_t i = 0; i < num_steps && sink != NULL; i++) {
        int64_t duration_ns = (int64_t)(tn_cost_us(&device->base.info, steps[i].problem, steps[i].symbols, LAUNCH_US) * 1000.0);
        int64_t begin_ns = atomic_fetch_add(&device->clock_ns, duration_ns);
        sink->record(sink->user, i, begin_ns, begin_ns + duration_ns);
    }
    return TN_OK;
}

static size_t kv_block_bytes(const tn_device *device, const tn_kv_geometry *geometry) {
    (void)device;
    size_t element = tn_dtype_get_info(geometry->dtype)->bits / 8u;
    int64_t per_layer = geometry->num_kv_heads * geometry->tokens_per_block * (geometry->k_dim + geometry->v_dim);
    size_t scales =
        tn_kv_levels(geometry->dtype) > 0 ? (size_t)(2 * geometry->num_kv_heads * geometry->tokens_per_block) * sizeof(float) : 0;
    return (((size_t)per_layer * element + scales) * (size_t)geometry->num_layers + 63u) & ~(size_t)63u;
}

static tn_status copy_blocks(tn_stream *stream, const tn_kv_geometry *geometry, void *state, const tn_block_copy *copies, size_t num_copies,
                             tn_diag *diag) {
    (void)stream;
    (void)geometry;
    (void)state;
    (void)copies;
    (void)num_copies;
    (void)diag;
    return TN_OK;
}

/* --- tactics: one an operation, for whatever ref computes ------------------------------------------------------------------ */

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_ref_supports(problem, reason, reason_size);
}

static double estimate_us(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    return tn_cost_us(device, problem, symbols, LAUNCH_US);
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    (void)problem;
    (void)symbols;
    *out_launch = (tn_launch){0};
    return TN_OK;
}

#define DEFINE_TACTIC(kind_, text)  \
    {.name = "null_" text,          \
     .version = 1,                  \
     .numerics = TN_NUMERICS_EXACT, \
     .op = kind_,                   \
     .supports = supports,          \
     .estimate_us = estimate_us,    \
     .prepare = prepare},
static const tn_tactic tactics[TN_NUM_OP_KINDS] = {
#define TN_OP(kind, name, member, min_in, max_in, outputs, fields) DEFINE_TACTIC(TN_OP_##kind, name)
#include "op/op_kinds.def"
#undef TN_OP
};

static const tn_tactic *const tactic_list[TN_NUM_OP_KINDS] = {
#define TN_OP(kind, name, member, min_in, max_in, outputs, fields) &tactics[TN_OP_##kind],
#include "op/op_kinds.def"
#undef TN_OP
};

const tn_backend tn_null_backend = {
    .name = "null",
    .is_host = true,
    .batch_invariant_by_default = true,
    .tactics = tactic_list,
    .num_tactics = TN_NUM_OP_KINDS,
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
};
