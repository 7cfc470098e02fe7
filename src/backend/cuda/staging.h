/* SPDX-License-Identifier: Apache-2.0
 *
 * staging.h: small copies between host and device, through pinned memory of the stream. A decode step copies a handful of short
 * arrays; each would cost a place of its own on the stream, and copies to pageable memory would make the host wait.
 *
 * Inbox: what goes to the device is taken in at once and leaves with the next other work of the stream, short copies all by one
 * kernel that reads the pinned memory. Outbox: what goes to the host lands in pinned memory and is copied to its place by whoever finds
 * that the work has passed: synchronize, or wait and is_done of an event recorded behind it.
 */
#ifndef TN_BACKEND_CUDA_STAGING_H_
#define TN_BACKEND_CUDA_STAGING_H_

#include "backend/cuda/device.h"

enum { TN_CUDA_STAGED_BYTES = TN_CUDA_INBOX_CHUNK_BYTES }; /* copies up to here */

/* All between tn_cuda_enter and tn_cuda_leave. */
tn_status tn_cuda_inbox_put(tn_cuda_stream *stream, void *dst, const void *src, size_t size_bytes, tn_diag *diag);
tn_status tn_cuda_inbox_flush(tn_cuda_stream *stream, tn_diag *diag); /* before any other work is queued */
void tn_cuda_inbox_deinit(tn_cuda_stream *stream);                    /* the stream is idle */

/* Shared by a stream and the events recorded on it, which may outlive it. */
tn_status tn_cuda_outbox_put(tn_cuda_stream *stream, void *dst, const void *src, size_t size_bytes, tn_diag *diag);
uint64_t tn_cuda_outbox_sequence(const tn_cuda_outbox *outbox);         /* of the last copy put in; NULL: 0 */
void tn_cuda_outbox_deliver(tn_cuda_outbox *outbox, uint64_t sequence); /* all copies up to there, which have passed */
tn_cuda_outbox *tn_cuda_outbox_retain(tn_cuda_outbox *outbox);          /* accepts NULL */
void tn_cuda_outbox_release(tn_cuda_outbox *outbox);                    /* accepts NULL */

#endif
