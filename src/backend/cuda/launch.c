/* SPDX-License-Identifier: Apache-2.0
 *
 * launch.c: runs a segment: by its graph, or one launch a phase, each allowed to start while its predecessor ends (cards from 9.0
 * on). With a profile, events stand between steps, and every step waits for the one before.
 */
#include <string.h>

#include "backend/cuda/graph.h"
#include "backend/cuda/staging.h"

static tn_status fill_arguments(const tn_bound_step *step, tn_cuda_args *out, tn_diag *diag) {
    uint32_t count = tn_problem_num_buffers(step->problem) + (step->launch->workspace_bytes > 0);
    *out = (tn_cuda_args){{NULL}, {0}};
    if (count > TN_CUDA_MAX_BUFFERS)
        return tn_fail(diag, TN_INTERNAL, "a step (%s) has %u buffers, GPU kernels take %d", tn_op_get_info(step->problem->op)->name, count,
                       TN_CUDA_MAX_BUFFERS);
    memcpy(out->buffers, step->buffers, count * sizeof(void *));
    for (int i = 0; i < TN_CUDA_NUM_CONSTANTS; i++) out->constants[i] = step->launch->constants[i];
    return TN_OK;
}

/* Not there: zeros, which no kernel looks at. */
static tn_status encode_boxes(const tn_cuda_device *device, const tn_bound_step *step, tn_cu_tensor_map *out_map, tn_diag *diag) {
    int64_t rows = step->launch->cuda.boxes.rows, columns = step->launch->cuda.boxes.columns;
    const uint64_t dims[2] = {(uint64_t)columns, (uint64_t)rows}, strides[1] = {2 * (uint64_t)columns};
    const unsigned box[2] = {64, step->launch->cuda.boxes.box_rows}, steps[2] = {1, 1};
    *out_map = (tn_cu_tensor_map){{0}};
    if (columns == 0) return TN_OK;
    int error = device->driver.TensorMapEncodeTiled(out_map, TN_CU_TENSOR_MAP_BFLOAT16, 2, step->buffers[step->launch->cuda.boxes.buffer],
                                                    dims, strides, box, steps, TN_CU_TENSOR_MAP_PLAIN, TN_CU_TENSOR_MAP_SWIZZLE_128,
                                                    TN_CU_TENSOR_MAP_PROMOTE_256, TN_CU_TENSOR_MAP_PLAIN);
    if (error == 0) return TN_OK;
    return tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "describe a matrix of %lld x %lld to the GPU's copy engine",
                        (long long)rows, (long long)columns);
}

tn_status tn_cuda_launch(tn_cuda_stream *stream, tn_cuda_kernel kernel, const uint32_t grid[3], uint32_t num_threads, uint32_t shared_bytes,
                         tn_cuda_args *arguments, tn_cu_tensor_map *boxes, bool is_dependent, tn_diag *diag) {
    tn_cuda_device *device = (tn_cuda_device *)stream->base.device;
    tn_cu_launch_attribute attribute = {.id = TN_CU_LAUNCH_DEPENDENT, .value = {.allowed = 1}};
    void *parameters[] = {arguments, boxes};
    tn_cu_function function;
    tn_status status = tn_cuda_find_function(device, kernel, diag, &function);
    if (status != TN_OK) return status;
    tn_cu_launch_config config = {.grid = {grid[0], grid[1], grid[2]},
                                  .block = {num_threads, 1, 1},
                                  .shared_bytes = shared_bytes,
                                  .stream = stream->handle,
                                  .attributes = &attribute,
                                  .num_attributes = is_dependent};
    int error = device->driver.LaunchKernelEx(&config, function, parameters, NULL);
    if (error == 0) return TN_OK;
    return tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "launch GPU kernel %s (grid %u x %u x %u, %u threads, %u bytes shared)",
                        tn_cuda_kernel_name(kernel), grid[0], grid[1], grid[2], num_threads, shared_bytes);
}

static tn_status launch_step(tn_cuda_stream *stream, const tn_bound_step *step, bool is_dependent, tn_diag *diag) {
    const tn_launch *launch = step->launch;
    tn_cuda_args arguments;
    tn_cu_tensor_map boxes;
    tn_status status = fill_arguments(step, &arguments, diag);
    if (status == TN_OK) status = encode_boxes((const tn_cuda_device *)stream->base.device, step, &boxes, diag);
    for (uint32_t i = 0; i < launch->cuda.num_phases && status == TN_OK; i++) {
        const uint32_t *grid = launch->cuda.phases[i].grid;
        if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) continue; /* no rows */
        status = tn_cuda_launch(stream, (tn_cuda_kernel)launch->cuda.phases[i].kernel, grid, launch->cuda.phases[i].num_threads,
                                launch->cuda.phases[i].shared_bytes, &arguments, &boxes, is_dependent, diag);
    }
    return status;
}

tn_status tn_cuda_launch_steps(tn_cuda_stream *stream, const tn_bound_step *steps, size_t num_steps, tn_diag *diag) {
    bool is_dependent = ((const tn_cuda_device *)stream->base.device)->has_dependent_launch;
    tn_status status = TN_OK;
    for (size_t i = 0; i < num_steps && status == TN_OK; i++) status = launch_step(stream, &steps[i], is_dependent, diag);
    return status;
}

/* --- profiles ---------------------------------------------------------------------------------------------------------------- */

static tn_status reserve_timers(tn_cuda_stream *stream, size_t count, tn_diag *diag) {
    tn_cuda_device *device = (tn_cuda_device *)stream->base.device;
    while (stream->timers.count < count) {
        tn_cu_event event;
        int error = device->driver.EventCreate(&event, TN_CU_EVENT_TIMING);
        if (error != 0) return tn_cuda_fail(&device->driver, error, TN_INTERNAL, diag, "create a GPU timer");
        if (tn_array_push(&device->base.allocator, &stream->timers, event)) continue;
        (void)device->driver.EventDestroy(event);
        return tn_fail_memory(diag, "GPU timers", count * sizeof event);
    }
    return TN_OK;
}

static tn_status read_timers(tn_cuda_stream *stream, size_t num_steps, const tn_profile_sink *sink, tn_diag *diag) {
    const tn_cuda_driver *driver = &((tn_cuda_device *)stream->base.device)->driver;
    int error = driver->StreamSynchronize(stream->handle);
    int64_t begin_ns = 0;
    for (size_t i = 0; i < num_steps && error == 0; i++) {
        float duration_ms = 0.0f;
        error = driver->EventElapsedTime(&duration_ms, stream->timers.data[i], stream->timers.data[i + 1]);
        int64_t end_ns = begin_ns + (int64_t)(1e6 * (double)duration_ms);
        if (error == 0) sink->record(sink->user, i, begin_ns, end_ns);
        begin_ns = end_ns;
    }
    return error == 0 ? TN_OK : tn_cuda_fail(driver, error, TN_INTERNAL, diag, "time work on the GPU");
}

static tn_status run_profiled(tn_cuda_stream *stream, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink,
                              tn_diag *diag) {
    const tn_cuda_driver *driver = &((tn_cuda_device *)stream->base.device)->driver;
    tn_status status = reserve_timers(stream, num_steps + 1, diag);
    int error = status == TN_OK ? driver->EventRecord(stream->timers.data[0], stream->handle) : 0;
    for (size_t i = 0; i < num_steps && status == TN_OK && error == 0; i++) {
        status = launch_step(stream, &steps[i], false, diag);
        if (status == TN_OK) error = driver->EventRecord(stream->timers.data[i + 1], stream->handle);
    }
    if (error != 0) return tn_cuda_fail(driver, error, TN_INTERNAL, diag, "time work on the GPU");
    return status == TN_OK ? read_timers(stream, num_steps, sink, diag) : status;
}

tn_status tn_cuda_run_segment(tn_stream *base, const tn_bound_step *steps, size_t num_steps, const tn_profile_sink *sink, tn_diag *diag) {
    tn_cuda_stream *stream = (tn_cuda_stream *)base;
    const tn_cuda_device *device = (const tn_cuda_device *)base->device;
    bool is_done = false;
    tn_cuda_enter(device);
    tn_status status = tn_cuda_inbox_flush(stream, diag);
    if (status == TN_OK && sink != NULL) {
        status = run_profiled(stream, steps, num_steps, sink, diag);
    } else if (status == TN_OK) {
        status = tn_cuda_graphs_run(stream, steps, num_steps, diag, &is_done);
        if (status == TN_OK && !is_done) status = tn_cuda_launch_steps(stream, steps, num_steps, diag);
    }
    tn_cuda_leave(device);
    return status;
}
