/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.c: a small cache of segments for each stream, found by where their steps lie and compared by contents: launches and
 * buffers, about 300 bytes a step. The first time a segment is only remembered, the second time captured.
 */
#include "backend/cuda/graph.h"

#include <string.h>

enum { FEWEST_STEPS = 3 };

typedef struct seen_step {
    const tn_problem *problem;
    uint32_t first_buffer, num_buffers;
    tn_launch launch;
} seen_step;

struct tn_cuda_segment {
    const tn_bound_step *key;
    size_t num_steps;
    uint64_t last_use;
    seen_step *steps;
    void **buffers;
    tn_cu_graph_exec exec; /* NULL: not captured */
};

static bool is_same(const tn_cuda_segment *segment, const tn_bound_step *steps) {
    for (size_t i = 0; i < segment->num_steps; i++) {
        const seen_step *seen = &segment->steps[i];
        if (seen->problem != steps[i].problem || memcmp(&seen->launch, steps[i].launch, sizeof seen->launch) != 0 ||
            memcmp(segment->buffers + seen->first_buffer, steps[i].buffers, seen->num_buffers * sizeof(void *)) != 0)
            return false;
    }
    return true;
}

static void forget(tn_cuda_stream *stream, tn_cuda_segment *segment) {
    const tn_cuda_device *device = (const tn_cuda_device *)stream->base.device;
    if (segment->exec != NULL) (void)device->driver.GraphExecDestroy(segment->exec); /* one that runs goes when it has ended */
    tn_free(&device->base.allocator, segment->steps);
    tn_free(&device->base.allocator, segment->buffers);
    *segment = (tn_cuda_segment){0};
}

/* false: no memory for it, so it is not remembered. */
static bool remember(tn_cuda_stream *stream, tn_cuda_segment *segment, const tn_bound_step *steps, size_t num_steps) {
    const tn_allocator *allocator = &stream->base.device->allocator;
    uint32_t num_buffers = 0;
    forget(stream, segment);
    segment->steps = tn_alloc_array(allocator, num_steps, sizeof *segment->steps);
    if (segment->steps == NULL) return false;
    for (size_t i = 0; i < num_steps; i++) {
        uint32_t count = tn_problem_num_buffers(steps[i].problem) + (steps[i].launch->workspace_bytes > 0);
        segment->steps[i] = (seen_step){.problem = steps[i].problem, .first_buffer = num_buffers, .num_buffers = count};
        memcpy(&segment->steps[i].launch, steps[i].launch, sizeof *steps[i].launch); /* with its padding */
        num_buffers += count;
    }
    segment->buffers = tn_alloc_array(allocator, num_buffers, sizeof *segment->buffers);
    if (segment->buffers == NULL) {
        forget(stream, segment);
        return false;
    }
    for (size_t i = 0; i < num_steps; i++)
        memcpy(segment->buffers + segment->steps[i].first_buffer, steps[i].buffers, segment->steps[i].num_buffers * sizeof(void *));
    segment->key = steps;
    segment->num_steps = num_steps;
    return true;
}

/* A graph that cannot be made is no error: the segment is launched kernel by kernel. */
static void capture(tn_cuda_stream *stream, tn_cuda_segment *segment, const tn_bound_step *steps, tn_diag *diag) {
    const tn_cuda_driver *driver = &((tn_cuda_device *)stream->base.device)->driver;
    tn_cu_graph graph = NULL;
    if (driver->StreamBeginCapture(stream->handle, TN_CU_CAPTURE_THREAD_LOCAL) != 0) {
        stream->has_no_graphs = true;
        return;
    }
    tn_status status = tn_cuda_launch_steps(stream, steps, segment->num_steps, diag);
    int error = driver->StreamEndCapture(stream->handle, &graph);
    if (status == TN_OK && error == 0) error = driver->GraphInstantiate(&segment->exec, graph, 0);
    if (graph != NULL) (void)driver->GraphDestroy(graph);
    if (status == TN_OK && error == 0) return;
    segment->exec = NULL;
    stream->has_no_graphs = true;
    const char *reason = "the launches";
    if (error != 0) (void)driver->GetErrorName(error, &reason);
    tn_warn(diag, NULL, "cannot capture %zu steps in a GPU graph (%s), so each is launched by itself", segment->num_steps, reason);
}

tn_status tn_cuda_graphs_run(tn_cuda_stream *stream, const tn_bound_step *steps, size_t num_steps, tn_diag *diag, bool *out_is_done) {
    const tn_cuda_device *device = (const tn_cuda_device *)stream->base.device;
    *out_is_done = false;
    if (num_steps < FEWEST_STEPS || stream->has_no_graphs || !device->has_graphs) return TN_OK;
    if (stream->segments == NULL)
        stream->segments = tn_alloc_array(&device->base.allocator, TN_CUDA_MAX_SEGMENTS, sizeof *stream->segments);
    if (stream->segments == NULL) return TN_OK;
    tn_cuda_segment *segment = NULL, *oldest = &stream->segments[0];
    for (int i = 0; i < TN_CUDA_MAX_SEGMENTS && segment == NULL; i++) {
        tn_cuda_segment *s = &stream->segments[i];
        if (s->key == steps && s->num_steps == num_steps) segment = s;
        if (s->last_use < oldest->last_use) oldest = s;
    }
    if (segment == NULL || !is_same(segment, steps)) {
        if (segment == NULL) segment = oldest;
        if (remember(stream, segment, steps, num_steps)) segment->last_use = ++stream->num_segments_run;
        return TN_OK;
    }
    segment->last_use = ++stream->num_segments_run;
    if (segment->exec == NULL) capture(stream, segment, steps, diag);
    if (segment->exec == NULL) return TN_OK;
    int error = device->driver.GraphLaunch(segment->exec, stream->handle);
    *out_is_done = true;
    return error == 0 ? TN_OK : tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "launch a GPU graph of %zu steps", num_steps);
}

void tn_cuda_graphs_deinit(tn_cuda_stream *stream) {
    if (stream->segments == NULL) return;
    for (int i = 0; i < TN_CUDA_MAX_SEGMENTS; i++) forget(stream, &stream->segments[i]);
    tn_free(&stream->base.device->allocator, stream->segments);
    stream->segments = NULL;
}
