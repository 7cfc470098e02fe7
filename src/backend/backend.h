/* SPDX-License-Identifier: Apache-2.0
 *
 * backend.h: the interface between the runtime and a kind of device. A backend is one static const tn_backend; a device
 * and a stream start with the structs below, followed by the backend's own members.
 *
 * The runtime resolves buffers, evaluates symbols, prepares launches, and cuts a function into segments (runs of LAUNCH and
 * COPY steps with nothing for the host to do between); the backend runs a segment in order on a stream. It keeps no state
 * about networks.
 *
 * Errors: functions that enqueue report what they can see at once; what goes wrong later is returned by
 * stream_synchronize. A backend never aborts.
 */
#ifndef TN_BACKEND_BACKEND_H_
#define TN_BACKEND_BACKEND_H_

#include "op/kv_geometry.h"
#include "op/layout.h"
#include "op/tactic.h"
#include "tenon/device.h"

typedef struct tn_backend tn_backend;
typedef struct tn_event tn_event;

struct tn_device {
    const tn_backend *backend;
    tn_allocator allocator; /* for host objects */
    tn_device_info info;
    char description[192];
};

struct tn_stream {
    tn_device *device;
};

typedef enum tn_memory_kind { TN_MEMORY_WEIGHTS = 0, TN_MEMORY_ACTIVATIONS, TN_MEMORY_STATE } tn_memory_kind;
typedef enum tn_copy_direction { TN_COPY_TO_DEVICE = 0, TN_COPY_TO_HOST, TN_COPY_ON_DEVICE } tn_copy_direction;

/* Receives times of steps; index is the step's place in the segment. Called after the step has run. */
typedef struct tn_profile_sink {
    void *user;
    void (*record)(void *user, size_t index, int64_t begin_ns, int64_t end_ns);
} tn_profile_sink;

typedef struct tn_block_copy {
    int32_t src, dst;   /* block numbers in one state */
    int32_t num_tokens; /* the first so many of the block */
} tn_block_copy;

struct tn_backend {
    const char *name;
    /* true: host code may read and write this device's memory directly and run_segment returns when the work is done */
    bool is_host;
    bool batch_invariant_by_default;

    const tn_tactic *const *tactics; /* in order of preference when estimates are equal */
    size_t num_tactics;
    const tn_layout *const *layouts;
    size_t num_layouts;
    /* Rows at which a step is asked anew which tactic suits it: last row counts of ranges, ascending; one more goes on from there.
     * Few where timing costs much, as many as its kernels have regimes. May be none. */
    const int64_t *range_ends;
    size_t num_range_ends;

    /* --- required ------------------------------------------------------------------------------------------------- */
    tn_status (*device_create)(const tn_device_options *options, tn_device **out_device); /* options complete, diag set or NULL */
    void (*device_destroy)(tn_device *device);

    /* 64-byte aligned (host memory: 4,096 from 4 KB on), zeroed. TN_OUT_OF_MEMORY reports size and limit. */
    tn_status (*memory_allocate)(tn_device *device, tn_memory_kind kind, size_t size_bytes, tn_diag *diag, void **out_memory);
    void (*memory_free)(tn_device *device, void *memory, size_t size_bytes);

    tn_status (*stream_create)(tn_device *device, tn_diag *diag, tn_stream **out_stream);
    void (*stream_destroy)(tn_stream *stream);
    tn_status (*stream_synchronize)(tn_stream *stream, tn_diag *diag);
    /* The host memory must stay valid and unchanged until the copy has run. */
    tn_status (*copy)(tn_stream *stream, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes, tn_diag *diag);
    /* Everything the steps point to must stay valid until the segment has run. sink may be NULL. */
    tn_status (*run_segment)(tn_stream *stream, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink, tn_diag *diag);

    /* Paged cache: bytes of one block of a group (all its layers), and copying the head of blocks inside one state. */
    size_t (*kv_block_bytes)(const tn_device *device, const tn_kv_geometry *geometry);
    tn_status (*copy_blocks)(tn_stream *stream, const tn_kv_geometry *geometry, void *state, const tn_block_copy *copies, size_t num_copies,
                             tn_diag *diag);

    /* --- optional: NULL has the default named ------------------------------------------------------------------------ */
    tn_status (*event_create)(tn_device *device, tn_diag *diag, tn_event **out_event); /* default: everything is synchronous */
    void (*event_destroy)(tn_event *event);
    tn_status (*event_record)(tn_stream *stream, tn_event *event);
    tn_status (*event_wait)(tn_event *event, tn_diag *diag); /* blocks the host */
    bool (*event_is_done)(tn_event *event);
    /* Runs task(user, index, worker) for index 0 … num_tasks−1 on the device's threads; returns when all ran.
     * Default: one after another on the caller. For packing and loading weights. */
    void (*run_host_tasks)(tn_device *device, void (*task)(void *user, int64_t index, int worker), void *user, int64_t num_tasks);
    bool can_capture_graphs;
    /* What `first` writes as its first output is read by `second` alone, as its operand 0, whole: both launches may be changed so that
     * it stands there in another form of no more bytes. Default: it stays as it is. */
    void (*link)(const tn_problem *first, tn_launch *first_launch, const tn_problem *second, tn_launch *second_launch,
                 const int64_t *symbols);
    /* Bytes of tensor memory that may still be taken. Default: the host's free memory. */
    size_t (*memory_available)(tn_device *device);
    /* Host memory that copies are fastest from. Default: any memory will do. */
    tn_status (*host_memory_allocate)(tn_device *device, size_t size_bytes, tn_diag *diag, void **out_memory);
    void (*host_memory_free)(tn_device *device, void *memory);
};

/* All backends of this build, NULL-terminated; the first is the default. */
const tn_backend *const *tn_backends(void);
const tn_backend *tn_backend_find(const char *name); /* NULL if none */

size_t tn_device_available_memory_bytes(tn_device *device);

/* Entries of tn_bound_step.buffers before the workspace. */
uint32_t tn_problem_num_buffers(const tn_problem *problem);

const tn_layout *tn_backend_find_layout(const tn_backend *backend, const char *name);
const tn_tactic *tn_backend_find_tactic(const tn_backend *backend, const char *name);

/* The ref kernel of an op: runs any problem whose buffers the host can read. Host steps of every engine use these.
 * TN_UNSUPPORTED with the reason if the problem has a type it lacks. */
tn_status tn_ref_run(const tn_problem *problem, void *const *buffers, const int64_t *symbols, tn_diag *diag);
bool tn_ref_supports(const tn_problem *problem, char *reason, size_t reason_size);

#endif
