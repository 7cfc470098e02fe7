/* SPDX-License-Identifier: Apache-2.0
 *
 * async.c: streams as threads. A command is queued and runs later, after a random pause; its error is kept and given to the
 * next synchronize, and what was queued behind it until then is dropped.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "backend/ref/async.h"
#include "base/memory.h"
#include "base/thread.h"

#define LONGEST_PAUSE_NS 200000

typedef enum command_kind { COMMAND_COPY, COMMAND_SEGMENT, COMMAND_COPY_BLOCKS, COMMAND_EVENT } command_kind;

typedef struct command {
    struct command *next;
    command_kind kind;
    /* COPY */
    tn_copy_direction direction;
    void *dst;
    const void *src;
    size_t size_bytes;
    /* SEGMENT: the steps are the caller's until it has run */
    const tn_bound_step *steps;
    size_t num_steps;
    tn_profile_sink sink;
    /* COPY_BLOCKS: copied behind the command */
    tn_kv_geometry geometry;
    void *state;
    size_t num_copies;
    /* EVENT */
    tn_event *event;
    uint64_t ticket;
    tn_block_copy copies[];
} command;

typedef struct async_stream {
    tn_stream base;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    command *first, *last;
    bool is_busy, is_ending;
    uint64_t random;
    tn_status status; /* of the first command that failed since the last synchronize */
    char message[256];
} async_stream;

struct tn_event {
    tn_device *device;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t recorded, done;
    tn_status status; /* of the work before the last record */
    char message[256];
};

/* --- memory --------------------------------------------------------------------------------------------------------------------- */

tn_status tn_ref_async_memory_allocate(tn_device *base, tn_memory_kind kind, size_t size_bytes, tn_diag *diag, void **out_memory) {
    (void)kind;
    tn_ref_device *device = (tn_ref_device *)base;
    *out_memory = NULL;
    tn_status status = tn_ref_device_take(device, size_bytes, diag);
    if (status != TN_OK) return status;
    *out_memory = tn_ref_memory_take(device->memory, size_bytes);
    if (*out_memory != NULL) return TN_OK;
    tn_ref_device_give_back(device, size_bytes);
    return tn_fail_memory(diag, "tensor memory", size_bytes);
}

void tn_ref_async_memory_free(tn_device *base, void *memory, size_t size_bytes) {
    tn_ref_device *device = (tn_ref_device *)base;
    if (memory == NULL) return;
    tn_ref_memory_give_back(device->memory, memory);
    tn_ref_device_give_back(device, size_bytes);
}

/* --- the worker ----------------------------------------------------------------------------------------------------------------- */

static void pause_a_while(async_stream *stream) {
    stream->random ^= stream->random << 13;
    stream->random ^= stream->random >> 7;
    stream->random ^= stream->random << 17;
    if ((stream->random & 3) != 0) return; /* most commands start at once */
    struct timespec pause = {0, (long)(stream->random >> 8) % LONGEST_PAUSE_NS};
    if (pause.tv_nsec < 0) pause.tv_nsec = -pause.tv_nsec;
    (void)nanosleep(&pause, NULL);
}

static tn_status run_copy(const tn_ref_memory *memory, const command *c, tn_diag *diag) {
    void *dst = c->dst;
    const void *src = c->src;
    if (c->size_bytes == 0) return TN_OK;
    if (c->direction != TN_COPY_TO_HOST) dst = tn_ref_memory_worker_address(memory, c->dst, c->size_bytes);
    if (c->direction != TN_COPY_TO_DEVICE) src = tn_ref_memory_worker_address(memory, c->src, c->size_bytes);
    if (dst == NULL || src == NULL) return tn_fail(diag, TN_INTERNAL, "a copy's %s is no device memory", dst == NULL ? "target" : "source");
    memmove(dst, src, c->size_bytes);
    return TN_OK;
}

static tn_status run_step(tn_ref_device *device, const tn_bound_step *step, size_t index, tn_diag *diag) {
    uint32_t count = tn_ref_num_buffers(step->problem) + (step->launch->workspace_bytes > 0);
    void **buffers = tn_alloc_array(tn_ref_device_allocator(&device->base), count, sizeof *buffers);
    if (buffers == NULL) return tn_fail_memory(diag, "a step's buffers", count * sizeof *buffers);
    tn_status status = TN_OK;
    const tn_problem *problem = step->problem;
    bool has_parts = tn_ref_num_buffers(problem) != problem->num_operands; /* then buffers are not operands, and none is on the host */
    for (uint32_t i = 0; i < count && status == TN_OK; i++) {
        if (step->buffers[i] == NULL) continue;
        buffers[i] = tn_ref_memory_worker_address(device->memory, step->buffers[i], 0);
        /* Dims that the host computed; constants among them lie on the device. */
        bool is_shape = !has_parts && i < problem->num_operands && problem->operands[i].place == TN_PLACE_HOST;
        if (buffers[i] == NULL && is_shape) buffers[i] = step->buffers[i];
        if (buffers[i] == NULL)
            status = tn_fail(diag, TN_INTERNAL, "step %zu (%s): buffer %u is host memory, a device step cannot read it", index,
                             tn_op_get_info(step->problem->op)->name, i);
    }
    if (status == TN_OK) status = tn_ref_run_step(step, buffers, diag);
    tn_free(tn_ref_device_allocator(&device->base), buffers);
    return status;
}

static tn_status run_segment(async_stream *stream, const command *c, tn_diag *diag) {
    tn_status status = TN_OK;
    for (size_t i = 0; i < c->num_steps && status == TN_OK; i++) {
        pause_a_while(stream);
        int64_t begin_ns = tn_now_ns();
        status = run_step((tn_ref_device *)stream->base.device, &c->steps[i], i, diag);
        if (status == TN_OK && c->sink.record != NULL) c->sink.record(c->sink.user, i, begin_ns, tn_now_ns());
    }
    return status;
}

static tn_status run_copy_blocks(const tn_ref_memory *memory, const command *c, tn_diag *diag) {
    void *state = tn_ref_memory_worker_address(memory, c->state, 0);
    if (state == NULL) return tn_fail(diag, TN_INTERNAL, "copying blocks: the state is no device memory");
    tn_ref_kv_copy_blocks(&c->geometry, state, c->copies, c->num_copies);
    return TN_OK;
}

static void finish_event(tn_event *event, uint64_t ticket, const async_stream *stream) {
    (void)pthread_mutex_lock(&event->mutex);
    if (ticket > event->done) event->done = ticket;
    event->status = stream->status;
    (void)snprintf(event->message, sizeof event->message, "%s", stream->message);
    (void)pthread_cond_broadcast(&event->changed);
    (void)pthread_mutex_unlock(&event->mutex);
}

/* Runs one command with its reports kept for synchronize. */
static void run_command(async_stream *stream, const command *c) {
    const tn_ref_memory *memory = ((tn_ref_device *)stream->base.device)->memory;
    if (c->kind == COMMAND_EVENT) {
        finish_event(c->event, c->ticket, stream); /* also behind a failure, or a waiter would hang */
        return;
    }
    if (stream->status != TN_OK) return;
    tn_diag *diag = NULL;
    tn_status status = tn_diag_create(tn_ref_device_allocator(stream->base.device), &diag);
    pause_a_while(stream);
    if (status == TN_OK) switch (c->kind) {
        case COMMAND_COPY: status = run_copy(memory, c, diag); break;
        case COMMAND_SEGMENT: status = run_segment(stream, c, diag); break;
        default: status = run_copy_blocks(memory, c, diag); break;
        }
    tn_diag_entry entry;
    if (status != TN_OK) {
        bool has_entry = diag != NULL && tn_diag_get(diag, 0, &entry) == TN_OK;
        (void)snprintf(stream->message, sizeof stream->message, "%s", has_entry ? entry.message : "out of memory");
        stream->status = status;
    }
    tn_diag_destroy(diag);
}

static void *worker(void *user) {
    async_stream *stream = user;
    (void)pthread_mutex_lock(&stream->mutex);
    for (;;) {
        while (stream->first == NULL && !stream->is_ending) (void)pthread_cond_wait(&stream->changed, &stream->mutex);
        command *c = stream->first;
        if (c == NULL) break;
        stream->first = c->next;
        if (stream->first == NULL) stream->last = NULL;
        stream->is_busy = true;
        (void)pthread_mutex_unlock(&stream->mutex);
        run_command(stream, c);
        tn_free(tn_ref_device_allocator(stream->base.device), c);
        (void)pthread_mutex_lock(&stream->mutex);
        stream->is_busy = false;
        (void)pthread_cond_broadcast(&stream->changed);
    }
    (void)pthread_mutex_unlock(&stream->mutex);
    return NULL;
}

/* --- streams -------------------------------------------------------------------------------------------------------------------- */

tn_status tn_ref_async_stream_create(tn_device *device, tn_diag *diag, tn_stream **out_stream) {
    *out_stream = NULL;
    async_stream *stream = tn_alloc_zero(tn_ref_device_allocator(device), sizeof *stream);
    if (stream == NULL) return tn_fail_memory(diag, "a stream", sizeof *stream);
    stream->base.device = device;
    stream->random = 0x9e3779b97f4a7c15u ^ ((tn_ref_device *)device)->seed;
    (void)pthread_mutex_init(&stream->mutex, NULL);
    (void)pthread_cond_init(&stream->changed, NULL);
    if (pthread_create(&stream->thread, NULL, worker, stream) != 0) {
        (void)pthread_cond_destroy(&stream->changed);
        (void)pthread_mutex_destroy(&stream->mutex);
        tn_free(tn_ref_device_allocator(device), stream);
        return tn_fail(diag, TN_UNAVAILABLE, "cannot create a stream: the system gives no thread");
    }
    *out_stream = &stream->base;
    return TN_OK;
}

void tn_ref_async_stream_destroy(tn_stream *base) {
    async_stream *stream = (async_stream *)base;
    if (stream == NULL) return;
    (void)pthread_mutex_lock(&stream->mutex);
    stream->is_ending = true; /* after what is queued */
    (void)pthread_cond_broadcast(&stream->changed);
    (void)pthread_mutex_unlock(&stream->mutex);
    (void)pthread_join(stream->thread, NULL);
    (void)pthread_cond_destroy(&stream->changed);
    (void)pthread_mutex_destroy(&stream->mutex);
    tn_free(tn_ref_device_allocator(base->device), stream);
}

tn_status tn_ref_async_stream_synchronize(tn_stream *base, tn_diag *diag) {
    async_stream *stream = (async_stream *)base;
    (void)pthread_mutex_lock(&stream->mutex);
    while (stream->first != NULL || stream->is_busy) (void)pthread_cond_wait(&stream->changed, &stream->mutex);
    tn_status status = stream->status;
    if (status != TN_OK) (void)tn_fail(diag, status, "%s", stream->message);
    stream->status = TN_OK;
    (void)pthread_mutex_unlock(&stream->mutex);
    return status;
}

/* A command with room for block copies; NULL after reporting. */
static command *make_command(tn_stream *stream, command_kind kind, size_t num_copies, tn_diag *diag) {
    size_t size_bytes = sizeof(command) + num_copies * sizeof(tn_block_copy);
    command *c = tn_alloc_zero(tn_ref_device_allocator(stream->device), size_bytes);
    if (c == NULL)
        (void)tn_fail_memory(diag, "a command", size_bytes);
    else
        c->kind = kind;
    return c;
}

static tn_status enqueue(tn_stream *base, command *c) {
    async_stream *stream = (async_stream *)base;
    (void)pthread_mutex_lock(&stream->mutex);
    if (stream->last != NULL)
        stream->last->next = c;
    else
        stream->first = c;
    stream->last = c;
    (void)pthread_cond_broadcast(&stream->changed);
    (void)pthread_mutex_unlock(&stream->mutex);
    return TN_OK;
}

tn_status tn_ref_async_copy(tn_stream *stream, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes, tn_diag *diag) {
    command *c = make_command(stream, COMMAND_COPY, 0, diag);
    if (c == NULL) return TN_OUT_OF_MEMORY;
    c->direction = direction, c->dst = dst, c->src = src, c->size_bytes = size_bytes;
    return enqueue(stream, c);
}

tn_status tn_ref_async_run_segment(tn_stream *stream, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink,
                                   tn_diag *diag) {
    command *c = make_command(stream, COMMAND_SEGMENT, 0, diag);
    if (c == NULL) return TN_OUT_OF_MEMORY;
    c->steps = steps, c->num_steps = num_steps;
    if (sink != NULL) c->sink = *sink;
    return enqueue(stream, c);
}

tn_status tn_ref_async_copy_blocks(tn_stream *stream, const tn_kv_geometry *geometry, void *state, const tn_block_copy *copies,
                                   size_t num_copies, tn_diag *diag) {
    command *c = make_command(stream, COMMAND_COPY_BLOCKS, num_copies, diag);
    if (c == NULL) return TN_OUT_OF_MEMORY;
    c->geometry = *geometry, c->state = state, c->num_copies = num_copies;
    if (num_copies > 0) memcpy(c->copies, copies, num_copies * sizeof *copies);
    return enqueue(stream, c);
}

/* --- events --------------------------------------------------------------------------------------------------------------------- */

tn_status tn_ref_async_event_create(tn_device *device, tn_diag *diag, tn_event **out_event) {
    tn_event *event = tn_alloc_zero(tn_ref_device_allocator(device), sizeof *event);
    *out_event = event;
    if (event == NULL) return tn_fail_memory(diag, "an event", sizeof *event);
    event->device = device;
    (void)pthread_mutex_init(&event->mutex, NULL);
    (void)pthread_cond_init(&event->changed, NULL);
    return TN_OK;
}

void tn_ref_async_event_destroy(tn_event *event) {
    if (event == NULL) return;
    (void)tn_ref_async_event_wait(event, NULL); /* a queued command still points to it */
    (void)pthread_cond_destroy(&event->changed);
    (void)pthread_mutex_destroy(&event->mutex);
    tn_free(tn_ref_device_allocator(event->device), event);
}

tn_status tn_ref_async_event_record(tn_stream *stream, tn_event *event) {
    command *c = make_command(stream, COMMAND_EVENT, 0, NULL);
    if (c == NULL) return TN_OUT_OF_MEMORY;
    (void)pthread_mutex_lock(&event->mutex);
    c->event = event, c->ticket = ++event->recorded;
    (void)pthread_mutex_unlock(&event->mutex);
    return enqueue(stream, c);
}

tn_status tn_ref_async_event_wait(tn_event *event, tn_diag *diag) {
    (void)pthread_mutex_lock(&event->mutex);
    while (event->done < event->recorded) (void)pthread_cond_wait(&event->changed, &event->mutex);
    tn_status status = event->status;
    if (status != TN_OK && diag != NULL) (void)tn_fail(diag, status, "%s", event->message);
    (void)pthread_mutex_unlock(&event->mutex);
    return status;
}

bool tn_ref_async_event_is_done(tn_event *event) {
    (void)pthread_mutex_lock(&event->mutex);
    bool is_done = event->done == event->recorded;
    (void)pthread_mutex_unlock(&event->mutex);
    return is_done;
}
