/* SPDX-License-Identifier: Apache-2.0
 *
 * device.h: what the files of the cuda device share. Knows no operation.
 *
 *     device.c    the card, its description, its memory          driver.c   libcuda
 *     modules.c   kernels by number                              nvrtc.c, text.c, cubins.c   where their code comes from
 *     stream.c    queues, copies, events                         launch.c   segments, kernel by kernel or timed
 *     staging.c   small copies through pinned memory             graph.c    segments that come again
 *
 * Every call into the driver happens between tn_cuda_enter and tn_cuda_leave, which lend the device's context to the calling
 * thread, so that a device serves any number of threads and a caller's own use of CUDA is undisturbed.
 */
#ifndef TN_BACKEND_CUDA_DEVICE_H_
#define TN_BACKEND_CUDA_DEVICE_H_

#include <pthread.h>
#include <stdatomic.h>

#include "backend/cuda/cuda.h"
#include "backend/cuda/driver.h"
#include "backend/cuda/nvrtc.h"
#include "base/memory.h"

/* Kernels that were used; a module is loaded when one of its kernels is launched first. */
typedef struct tn_cuda_modules {
    pthread_mutex_t mutex; /* for loading; functions are read without it */
    tn_cu_module modules[TN_NUM_CUDA_SOURCES];
    _Atomic(tn_cu_function) functions[TN_NUM_CUDA_KERNELS];
    tn_nvrtc nvrtc; /* library NULL: not needed so far */
} tn_cuda_modules;

typedef struct tn_cuda_device {
    tn_device base; /* allocator: all zero stands for malloc */
    tn_cuda_driver driver;
    int ordinal;
    tn_cu_context context;
    bool has_dependent_launch, has_graphs;
    int max_shared_bytes;
    size_t memory_limit_bytes; /* 0: the card's memory */
    _Atomic size_t memory_used_bytes;
    int num_host_threads;
    tn_cuda_modules modules;
} tn_cuda_device;

static inline void tn_cuda_enter(const tn_cuda_device *device) {
    (void)device->driver.CtxPushCurrent(device->context); /* a failure shows in the call that follows */
}
static inline void tn_cuda_leave(const tn_cuda_device *device) {
    tn_cu_context context;
    (void)device->driver.CtxPopCurrent(&context);
}

/* modules.c. Between enter and leave. */
TN_MUST_CHECK tn_status tn_cuda_find_function(tn_cuda_device *device, tn_cuda_kernel kernel, tn_diag *diag, tn_cu_function *out_function);
const char *tn_cuda_kernel_name(tn_cuda_kernel kernel);
tn_cuda_source tn_cuda_kernel_source(tn_cuda_kernel kernel);
void tn_cuda_modules_deinit(tn_cuda_device *device);

/* staging.c */
enum { TN_CUDA_INBOX_CHUNKS = 4, TN_CUDA_INBOX_CHUNK_BYTES = 1 << 20, TN_CUDA_INBOX_PENDING = 16 };

typedef struct tn_cuda_inbox {
    uint8_t *memory; /* pinned; NULL until the first copy */
    tn_cu_event passed[TN_CUDA_INBOX_CHUNKS];
    int chunk; /* being filled */
    size_t used_bytes;
    struct {
        void *dst;
        size_t offset, size_bytes;
    } pending[TN_CUDA_INBOX_PENDING];
    int num_pending;
} tn_cuda_inbox;

typedef struct tn_cuda_outbox tn_cuda_outbox;

/* graph.c */
enum { TN_CUDA_MAX_SEGMENTS = 64 };

typedef struct tn_cuda_segment tn_cuda_segment;

/* stream.c */
typedef struct tn_cuda_stream {
    tn_stream base;
    tn_cu_stream handle;
    tn_cuda_inbox inbox;
    tn_cuda_outbox *outbox;    /* NULL until the first copy */
    tn_cuda_segment *segments; /* [TN_CUDA_MAX_SEGMENTS] NULL until the first */
    uint64_t num_segments_run;
    bool has_no_graphs;           /* one could not be made */
    TN_ARRAY(tn_cu_event) timers; /* of profiles */
} tn_cuda_stream;

tn_status tn_cuda_stream_create(tn_device *device, tn_diag *diag, tn_stream **out_stream);
void tn_cuda_stream_destroy(tn_stream *stream);
tn_status tn_cuda_stream_synchronize(tn_stream *stream, tn_diag *diag);
tn_status tn_cuda_copy(tn_stream *stream, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes, tn_diag *diag);
tn_status tn_cuda_event_create(tn_device *device, tn_diag *diag, tn_event **out_event);
void tn_cuda_event_destroy(tn_event *event);
tn_status tn_cuda_event_record(tn_stream *stream, tn_event *event);
tn_status tn_cuda_event_wait(tn_event *event, tn_diag *diag);
bool tn_cuda_event_is_done(tn_event *event);

/* launch.c. The first two between enter and leave. */
tn_status tn_cuda_launch(tn_cuda_stream *stream, tn_cuda_kernel kernel, const uint32_t grid[3], uint32_t num_threads, uint32_t shared_bytes,
                         tn_cuda_args *arguments, tn_cu_tensor_map *boxes, bool is_dependent, tn_diag *diag);
tn_status tn_cuda_launch_steps(tn_cuda_stream *stream, const tn_bound_step *steps, size_t num_steps, tn_diag *diag);
/* link.c */
void tn_cuda_link(const tn_problem *first, tn_launch *first_launch, const tn_problem *second, tn_launch *second_launch,
                  const int64_t *symbols);

tn_status tn_cuda_run_segment(tn_stream *stream, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink, tn_diag *diag);

/* cache.c */
size_t tn_cuda_kv_block_bytes(const tn_device *device, const tn_kv_geometry *geometry);
tn_status tn_cuda_copy_blocks(tn_stream *stream, const tn_kv_geometry *geometry, void *state, const tn_block_copy *copies,
                              size_t num_copies, tn_diag *diag);

/* host_tasks.c */
void tn_cuda_run_host_tasks(tn_device *device, void (*task)(void *user, int64_t index, int worker), void *user, int64_t num_tasks);

#endif
