/* SPDX-License-Identifier: Apache-2.0
 *
 * common.c: what the tactics share: filling launches, estimating times.
 */
#include <assert.h>
#include <string.h>

#include "backend/cost.h"
#include "backend/cuda/cuda.h"

#define LAUNCH_US 1.5 /* what a kernel of a graph costs beside its work: its start and its last blocks */

void tn_cuda_launch_add(tn_launch *launch, tn_cuda_kernel kernel, int64_t grid_x, int64_t grid_y, int64_t grid_z, uint32_t num_threads,
                        uint32_t shared_bytes) {
    assert(launch->cuda.num_phases < TN_MAX_PHASES);
    assert(grid_x >= 0 && grid_x <= INT32_MAX && grid_y >= 0 && grid_y <= UINT16_MAX && grid_z >= 0 && grid_z <= UINT16_MAX);
    uint32_t phase = launch->cuda.num_phases++;
    launch->cuda.phases[phase].kernel = (uint32_t)kernel;
    launch->cuda.phases[phase].grid[0] = (uint32_t)grid_x;
    launch->cuda.phases[phase].grid[1] = (uint32_t)grid_y;
    launch->cuda.phases[phase].grid[2] = (uint32_t)grid_z;
    launch->cuda.phases[phase].num_threads = num_threads;
    launch->cuda.phases[phase].shared_bytes = shared_bytes;
}

void tn_cuda_set_real(tn_launch *launch, int constant, double value) {
    memcpy(&launch->constants[constant], &value, sizeof value);
}

double tn_cuda_estimate_us(const tn_device_info *device, double bytes, double flops, double flops_per_us) {
    double memory_us = bytes / device->read_bytes_per_us, compute_us = flops / flops_per_us;
    return (memory_us > compute_us ? memory_us : compute_us) + LAUNCH_US;
}

double tn_cuda_estimate_operands_us(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    return tn_cuda_estimate_us(device, tn_problem_cost(problem, symbols).bytes, 0.0, 1.0);
}
