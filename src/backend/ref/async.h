/* SPDX-License-Identifier: Apache-2.0
 *
 * async.h: the reference device in its asynchronous form, which behaves as a GPU does so that bugs show without one: each
 * stream is a thread, work starts late (seeded random delays), device memory faults when host code touches it, and host
 * memory given as a device buffer is refused.
 */
#ifndef TN_BACKEND_REF_ASYNC_H_
#define TN_BACKEND_REF_ASYNC_H_

#include "backend/ref/ref.h"

/* Device memory that host code cannot read: one range of addresses mapped without access, whose pages only the worker
 * threads see, at `worker_address`. */
typedef struct tn_ref_memory tn_ref_memory;
tn_status tn_ref_memory_create(const tn_allocator *allocator, tn_diag *diag, tn_ref_memory **out_memory);
void tn_ref_memory_destroy(tn_ref_memory *memory);                  /* accepts NULL */
void *tn_ref_memory_take(tn_ref_memory *memory, size_t size_bytes); /* whole pages, zeroed; NULL: no room */
void tn_ref_memory_give_back(tn_ref_memory *memory, void *address);
/* NULL if [address, address + size_bytes) is not this memory. */
void *tn_ref_memory_worker_address(const tn_ref_memory *memory, const void *address, size_t size_bytes);

tn_status tn_ref_async_memory_allocate(tn_device *device, tn_memory_kind kind, size_t size_bytes, tn_diag *diag, void **out_memory);
void tn_ref_async_memory_free(tn_device *device, void *memory, size_t size_bytes);
tn_status tn_ref_async_stream_create(tn_device *device, tn_diag *diag, tn_stream **out_stream);
void tn_ref_async_stream_destroy(tn_stream *stream);
tn_status tn_ref_async_stream_synchronize(tn_stream *stream, tn_diag *diag);
tn_status tn_ref_async_copy(tn_stream *stream, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes, tn_diag *diag);
tn_status tn_ref_async_run_segment(tn_stream *stream, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink,
                                   tn_diag *diag);
tn_status tn_ref_async_copy_blocks(tn_stream *stream, const tn_kv_geometry *geometry, void *state, const tn_block_copy *copies,
                                   size_t num_copies, tn_diag *diag);
tn_status tn_ref_async_event_create(tn_device *device, tn_diag *diag, tn_event **out_event);
void tn_ref_async_event_destroy(tn_event *event);
tn_status tn_ref_async_event_record(tn_stream *stream, tn_event *event);
tn_status tn_ref_async_event_wait(tn_event *event, tn_diag *diag);
bool tn_ref_async_event_is_done(tn_event *event);

#endif
