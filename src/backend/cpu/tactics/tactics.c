/* SPDX-License-Identifier: Apache-2.0
 *
 * tactics.c: the table of tactics, and what they share.
 */
#include "backend/cpu/tactics/tactics.h"

const tn_tactic *const tn_cpu_tactics[TN_NUM_CPU_TACTICS] = {
#define X(name) &tn_cpu_tactic_##name,
    TN_CPU_TACTICS(X)
#undef X
};

void tn_cpu_launch_tiles(tn_launch *launch, tn_tile_function run, int64_t num_tiles, int64_t bytes_per_tile, int64_t bytes_per_claim) {
    int64_t grain = bytes_per_claim / (bytes_per_tile > 0 ? bytes_per_tile : 1);
    int phase = launch->cpu.num_phases++;
    launch->cpu.phases[phase].run = run;
    launch->cpu.phases[phase].num_tiles = num_tiles;
    launch->cpu.phases[phase].grain = grain < 1 ? 1 : grain;
}

double tn_cpu_estimate_us(const tn_device_info *device, double bytes, double flops) {
    double memory_us = bytes / device->read_bytes_per_us, compute_us = flops / device->flops_per_us;
    return 0.5 + (memory_us > compute_us ? memory_us : compute_us);
}

double tn_cpu_estimate_operands_us(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    double bytes = 0;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        size_t size;
        const tn_operand *operand = &problem->operands[i];
        if (operand->absent || operand->role == TN_ROLE_STATE || operand->role == TN_ROLE_WEIGHT) continue;
        if (tn_operand_bytes(operand, symbols, &size)) bytes += (double)size;
    }
    return tn_cpu_estimate_us(device, bytes, bytes);
}
