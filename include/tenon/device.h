/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/device.h: where a network computes. A device owns threads, streams and tensor memory of one backend; engines share
 * it. One cpu device a process is the rule: two would fight for the same cores.
 *
 *     tn_device_options options;
 *     tn_device_options_init(&options);
 *     options.num_threads = 2;
 *     if (tn_device_create("cpu", &options, &device) != TN_OK) return 1;
 *     …                                   // tn_engine_options.device = device
 *     tn_device_destroy(device);          // after its last engine and stream
 *
 * Threads: a device may be used from any number of threads; a stream from one at a time.
 */
#ifndef TENON_DEVICE_H_
#define TENON_DEVICE_H_

#include <stdbool.h>
#include <stddef.h>

#include "tenon/allocator.h"
#include "tenon/diag.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_device tn_device;
typedef struct tn_stream tn_stream;

typedef struct tn_device_options {
    size_t struct_size;            /* set by tn_device_options_init */
    tn_diag *diag;                 /* borrowed for the call; NULL: stderr */
    const tn_allocator *allocator; /* copied; NULL: malloc */
    int num_threads;               /* cpu: workers, the calling thread among them; 0 (default): the CPUs this process may use */
    const char *isa;               /* cpu: at most this level: "c", "avx2", "avx512_vnni"; NULL (default): the best there is */
    bool async;                    /* ref: run on a thread of its own with memory that host code cannot read; for tests */
    unsigned async_seed;           /* ref async: seeds its delays */
    size_t memory_limit_bytes;     /* tensor memory of this device; 0 (default): no limit of ours */
} tn_device_options;
TN_API void tn_device_options_init(tn_device_options *options);

/* backend: "cpu", "cuda" (the first GPU; CUDA_VISIBLE_DEVICES chooses), "ref", "null".
 * TN_NOT_FOUND        no such backend in this build: the hint lists those there are
 * TN_INVALID_ARGUMENT an option out of range
 * TN_UNAVAILABLE      the machine has no such device */
TN_API TN_MUST_CHECK tn_status tn_device_create(const char *backend, const tn_device_options *options, tn_device **out_device);
TN_API void tn_device_destroy(tn_device *device); /* accepts NULL */

/* "Intel(R) Xeon(R) … (avx512_vnni, 2 threads)". Borrowed from the device. */
TN_API const char *tn_device_description(const tn_device *device);

TN_API int tn_device_num_threads(const tn_device *device); /* workers that compute, the caller's thread among them */

/* A queue of work in order. NULL stands for a context's own, which makes calls synchronous. */
TN_API TN_MUST_CHECK tn_status tn_stream_create(tn_device *device, tn_diag *diag, tn_stream **out_stream);
TN_API void tn_stream_destroy(tn_stream *stream); /* waits for its work; accepts NULL */
/* Blocks until all work enqueued so far is done. Returns the first error of that work. */
TN_API TN_MUST_CHECK tn_status tn_stream_synchronize(tn_stream *stream, tn_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
