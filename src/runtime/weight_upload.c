/* SPDX-License-Identifier: Apache-2.0
 *
 * weight_upload.c: a task is a whole weight, so that its checksum is taken as its pieces pass; the largest weights go first.
 */
#include "runtime/weight_upload.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

enum { MAX_WORKERS = 64, NUM_BUFFERS = 2, CHUNK_BYTES = 4 << 20 };

typedef struct upload_worker {
    tn_stream *stream; /* made by its worker's first task */
    uint8_t *buffers[NUM_BUFFERS];
    tn_event *passed[NUM_BUFFERS]; /* the copy from the buffer; NULL where the device has no events */
    int next;
} upload_worker;

typedef struct upload_job {
    const tn_upload *upload;
    upload_worker workers[MAX_WORKERS];
    atomic_int status; /* the first failure */
} upload_job;

static tn_status allocate_buffer(const tn_upload *u, uint8_t **out_buffer) {
    const tn_backend *backend = u->device->backend;
    void *memory = NULL;
    tn_status status = TN_OK;
    if (backend->host_memory_allocate != NULL)
        status = backend->host_memory_allocate(u->device, CHUNK_BYTES, u->diag, &memory);
    else if ((memory = tn_alloc(u->allocator, CHUNK_BYTES)) == NULL)
        status = tn_fail_memory(u->diag, "loading weights", CHUNK_BYTES);
    *out_buffer = memory;
    return status;
}

static tn_status start_worker(const tn_upload *u, upload_worker *worker) {
    const tn_backend *backend = u->device->backend;
    tn_status status = backend->stream_create(u->device, u->diag, &worker->stream);
    for (int i = 0; i < NUM_BUFFERS && status == TN_OK; i++) {
        status = allocate_buffer(u, &worker->buffers[i]);
        if (status == TN_OK && backend->event_create != NULL) status = backend->event_create(u->device, u->diag, &worker->passed[i]);
    }
    return status;
}

static void stop_worker(const tn_upload *u, upload_worker *worker) {
    const tn_backend *backend = u->device->backend;
    if (worker->stream != NULL) backend->stream_destroy(worker->stream); /* waits */
    for (int i = 0; i < NUM_BUFFERS; i++) {
        if (worker->passed[i] != NULL) backend->event_destroy(worker->passed[i]);
        if (backend->host_memory_free != NULL)
            backend->host_memory_free(u->device, worker->buffers[i]);
        else
            tn_free(u->allocator, worker->buffers[i]);
    }
}

/* A buffer whose last copy has passed. */
static tn_status take_buffer(const tn_upload *u, upload_worker *worker, int *out_buffer) {
    const tn_backend *backend = u->device->backend;
    *out_buffer = worker->next;
    worker->next = (worker->next + 1) % NUM_BUFFERS;
    tn_event *passed = worker->passed[*out_buffer];
    return passed != NULL ? backend->event_wait(passed, u->diag) : backend->stream_synchronize(worker->stream, u->diag);
}

static tn_status upload_piece(const tn_upload *u, upload_worker *worker, const tn_upload_item *item, size_t at, size_t size_bytes,
                              tn_hasher *hasher) {
    const tn_backend *backend = u->device->backend;
    int i;
    tn_status status = take_buffer(u, worker, &i);
    if (status == TN_OK) status = u->read(u->user, item->weight, at, worker->buffers[i], size_bytes);
    if (status != TN_OK) return status;
    if (item->hash != 0) tn_hasher_update(hasher, worker->buffers[i], size_bytes);
    if (item->host_copy != NULL) memcpy((uint8_t *)item->host_copy + at, worker->buffers[i], size_bytes);
    status = backend->copy(worker->stream, TN_COPY_TO_DEVICE, (uint8_t *)item->dst + at, worker->buffers[i], size_bytes, u->diag);
    if (status == TN_OK && worker->passed[i] != NULL) status = backend->event_record(worker->stream, worker->passed[i]);
    return status;
}

static tn_status upload_item(const tn_upload *u, upload_worker *worker, const tn_upload_item *item, const atomic_int *stop) {
    tn_hasher *hasher = tn_hasher_create();
    tn_status status = hasher != NULL ? TN_OK : tn_fail_memory(u->diag, "a checksum", 1);
    for (size_t at = 0; at < item->size_bytes && status == TN_OK; at += CHUNK_BYTES) {
        size_t left = item->size_bytes - at;
        if (atomic_load_explicit(stop, memory_order_relaxed) != TN_OK) break;
        status = upload_piece(u, worker, item, at, left < CHUNK_BYTES ? left : CHUNK_BYTES, hasher);
    }
    bool is_whole = status == TN_OK && atomic_load_explicit(stop, memory_order_relaxed) == TN_OK;
    if (is_whole && item->hash != 0 && tn_hasher_get(hasher) != item->hash) status = u->fail_hash(u->user, item->weight);
    tn_hasher_destroy(hasher);
    return status;
}

static void run_task(void *user, int64_t index, int worker_index) {
    upload_job *job = user;
    upload_worker *worker = &job->workers[worker_index];
    if (atomic_load_explicit(&job->status, memory_order_relaxed) != TN_OK) return;
    tn_status status = worker->stream != NULL ? TN_OK : start_worker(job->upload, worker);
    if (status == TN_OK) status = upload_item(job->upload, worker, &job->upload->items[index], &job->status);
    int expected = TN_OK;
    if (status != TN_OK) (void)atomic_compare_exchange_strong(&job->status, &expected, (int)status);
}

static int compare_sizes(const void *a, const void *b) {
    size_t left = ((const tn_upload_item *)a)->size_bytes, right = ((const tn_upload_item *)b)->size_bytes;
    return left < right ? 1 : left > right ? -1 : 0;
}

tn_status tn_weights_upload(const tn_upload *u) {
    const tn_backend *backend = u->device->backend;
    upload_job *job = tn_alloc_zero(u->allocator, sizeof *job);
    if (job == NULL) return tn_fail_memory(u->diag, "loading weights", sizeof *job);
    job->upload = u;
    atomic_init(&job->status, TN_OK);
    if (u->num_items > 0) qsort(u->items, u->num_items, sizeof *u->items, compare_sizes);
    if (backend->run_host_tasks != NULL)
        backend->run_host_tasks(u->device, run_task, job, (int64_t)u->num_items);
    else
        for (size_t i = 0; i < u->num_items; i++) run_task(job, (int64_t)i, 0);
    tn_status status = (tn_status)atomic_load(&job->status);
    for (int i = 0; i < MAX_WORKERS; i++) {
        if (job->workers[i].stream == NULL) continue;
        tn_status done = backend->stream_synchronize(job->workers[i].stream, u->diag);
        if (status == TN_OK) status = done;
    }
    for (int i = 0; i < MAX_WORKERS; i++) stop_worker(u, &job->workers[i]);
    tn_free(u->allocator, job);
    return status;
}
