/* SPDX-License-Identifier: Apache-2.0
 *
 * weight_upload.h: weights into memory of a device that the host cannot write: read in pieces on all of the device's host
 * threads, each with a stream and two buffers of its own, so that reading, checksums and copies overlap.
 */
#ifndef TN_RUNTIME_WEIGHT_UPLOAD_H_
#define TN_RUNTIME_WEIGHT_UPLOAD_H_

#include "backend/backend.h"

typedef struct tn_upload_item {
    void *dst;       /* on the device */
    void *host_copy; /* gets the same bytes; NULL: none wanted */
    size_t size_bytes;
    uint64_t hash; /* of the whole; 0: not compared */
    uint32_t weight;
} tn_upload_item;

typedef struct tn_upload {
    tn_device *device;
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_upload_item *items; /* sorted by size on the way */
    size_t num_items;
    void *user;
    /* Both from any thread. */
    tn_status (*read)(void *user, uint32_t weight, size_t offset, void *dst, size_t size_bytes);
    tn_status (*fail_hash)(void *user, uint32_t weight); /* reports, returns its code */
} tn_upload;

/* Blocks until all is there. The first failure ends it. */
TN_MUST_CHECK tn_status tn_weights_upload(const tn_upload *upload);

#endif
