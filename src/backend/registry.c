/* SPDX-License-Identifier: Apache-2.0
 *
 * registry.c: the backends of this build, and the public side of devices and streams.
 */
#include "backend/backend.h"
#include "base/text.h"
#include "base/thread.h"

extern const tn_backend tn_cpu_backend, tn_cuda_backend, tn_ref_backend, tn_null_backend;

const tn_backend *const *tn_backends(void) {
    static const tn_backend *const backends[] = {&tn_cpu_backend, &tn_cuda_backend, &tn_ref_backend, &tn_null_backend, NULL};
    return backends;
}

const tn_backend *tn_backend_find(const char *name) {
    for (const tn_backend *const *backend = tn_backends(); *backend != NULL; backend++)
        if (strcmp((*backend)->name, name) == 0) return *backend;
    return NULL;
}

size_t tn_device_available_memory_bytes(tn_device *device) {
    if (device->backend->memory_available != NULL) return device->backend->memory_available(device);
    uint64_t available = tn_available_memory_bytes();
    return available < SIZE_MAX ? (size_t)available : SIZE_MAX;
}

/* A weight that is encoded has a buffer for each part while it is plain, one when it is packed. */
uint32_t tn_problem_num_buffers(const tn_problem *problem) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        const tn_operand *operand = &problem->operands[i];
        bool is_plain = operand->layout == NULL || strcmp(operand->layout, TN_LAYOUT_PLAIN) == 0;
        if (operand->role != TN_ROLE_WEIGHT || operand->encoding.kind == TN_ENCODING_PLAIN || !is_plain) {
            count++;
            continue;
        }
        for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) count += tn_encoding_has_part(&operand->encoding, (tn_weight_part)part);
    }
    return count;
}

const tn_layout *tn_backend_find_layout(const tn_backend *backend, const char *name) {
    for (size_t i = 0; i < backend->num_layouts; i++)
        if (strcmp(backend->layouts[i]->name, name) == 0) return backend->layouts[i];
    return NULL;
}

const tn_tactic *tn_backend_find_tactic(const tn_backend *backend, const char *name) {
    for (size_t i = 0; i < backend->num_tactics; i++)
        if (strcmp(backend->tactics[i]->name, name) == 0) return backend->tactics[i];
    return NULL;
}

void tn_device_options_init(tn_device_options *options) {
    *options = (tn_device_options){.struct_size = sizeof *options};
}

static tn_status fail_unknown(tn_diag *diag, const char *name) {
    tn_text hint = {0};
    tn_text_append_string(&hint, "this build has");
    for (const tn_backend *const *backend = tn_backends(); *backend != NULL; backend++)
        tn_text_append_format(&hint, " %s", (*backend)->name);
    tn_where where = {.subject = name, .hint = hint.data};
    tn_status status = tn_fail_at(diag, TN_NOT_FOUND, &where, "cannot create a device: there is no backend '%s'", name);
    tn_text_deinit(&hint);
    return status;
}

tn_status tn_device_create(const char *backend_name, const tn_device_options *options, tn_device **out_device) {
    *out_device = NULL;
    tn_device_options complete;
    tn_device_options_init(&complete);
    if (options != NULL) {
        if (options->struct_size == 0 || options->struct_size > sizeof complete)
            return tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot create a device: options were not filled by tn_device_options_init");
        memcpy(&complete, options, options->struct_size);
        complete.struct_size = sizeof complete;
    }
    if (complete.num_threads < 0)
        return tn_fail(complete.diag, TN_INVALID_ARGUMENT, "cannot create a device: num_threads is %d, at least 0", complete.num_threads);
    if (backend_name == NULL) return tn_fail(complete.diag, TN_INVALID_ARGUMENT, "cannot create a device: no backend named");
    const tn_backend *backend = tn_backend_find(backend_name);
    if (backend == NULL) return fail_unknown(complete.diag, backend_name);
    return backend->device_create(&complete, out_device);
}

void tn_device_destroy(tn_device *device) {
    if (device != NULL) device->backend->device_destroy(device);
}

const char *tn_device_description(const tn_device *device) {
    return device->description;
}

int tn_device_num_threads(const tn_device *device) {
    return device->info.num_workers;
}

tn_status tn_stream_create(tn_device *device, tn_diag *diag, tn_stream **out_stream) {
    *out_stream = NULL;
    if (device == NULL) return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot create a stream: no device given");
    return device->backend->stream_create(device, diag, out_stream);
}

void tn_stream_destroy(tn_stream *stream) {
    if (stream != NULL) stream->device->backend->stream_destroy(stream);
}

tn_status tn_stream_synchronize(tn_stream *stream, tn_diag *diag) {
    if (stream == NULL) return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot synchronize: no stream given");
    return stream->device->backend->stream_synchronize(stream, diag);
}
