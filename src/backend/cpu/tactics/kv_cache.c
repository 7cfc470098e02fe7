/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.c: the tactics of ROTARY, KV_CACHE_UPDATE and QKV_CACHE: a tile is a token.
 */
#include <string.h>

#include "backend/cpu/tactics/tactics.h"

enum { MAX_HEAD_DIM = 512 };

static tn_status prepare_tokens(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_cpu_kernel kernel,
                                tn_launch *out_launch) {
    memset(out_launch, 0, sizeof *out_launch);
    int64_t row_bytes = tn_operand_columns(&problem->operands[0], symbols) * (int64_t)sizeof(float);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, kernel), tn_operand_rows(&problem->operands[0], symbols), row_bytes,
                        16 << 10);
    return TN_OK;
}

bool tn_cpu_cache_fits(const tn_problem *problem, const tn_kv_geometry *geometry, uint32_t first, char *reason, size_t reason_size) {
    if (!tn_kv_dtype_is_known(geometry->dtype))
        return tn_refuse(reason, reason_size, "a cache of " TN_KV_DTYPES ", not %s", tn_dtype_name(geometry->dtype));
    return tn_check_cache(problem, geometry, first, MAX_HEAD_DIM, reason, reason_size);
}

/* --- ROTARY --------------------------------------------------------------------------------------------------------------- */

static bool rotary_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_check_complete(problem, 0, false, reason, reason_size) && tn_check_all_are(problem, TN_FLOAT32, reason, reason_size);
}

static tn_status rotary_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare_tokens(device, problem, symbols, TN_KERNEL_rotary, out_launch);
}

const tn_tactic tn_cpu_tactic_rotary = {
    .name = "rotary",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_ROTARY,
    .supports = rotary_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = rotary_prepare,
};

/* --- KV_CACHE_UPDATE ---------------------------------------------------------------------------------------------------------- */

static bool update_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_kv_cache_update_params *params = problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    return tn_check_complete(problem, 0, false, reason, reason_size) && tn_check_plain_f32(problem, 0, reason, reason_size) &&
           tn_check_plain_f32(problem, 1, reason, reason_size) && tn_cpu_cache_fits(problem, &geometry, 2, reason, reason_size);
}

static tn_status update_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare_tokens(device, problem, symbols, TN_KERNEL_kv_cache_update, out_launch);
}

const tn_tactic tn_cpu_tactic_kv_cache_update = {
    .name = "kv_cache_update",
    .version = 1,
    .numerics = TN_NUMERICS_EXACT,
    .op = TN_OP_KV_CACHE_UPDATE,
    .supports = update_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = update_prepare,
};

/* --- QKV_CACHE ---------------------------------------------------------------------------------------------------------------- */

static bool qkv_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_qkv_cache_params *params = problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    for (uint32_t i = 0; i < 4; i++)
        if (!tn_check_plain_f32(problem, i, reason, reason_size)) return false;
    return tn_check_complete(problem, 1u << 1 | 1u << 2 | 1u << 3, false, reason, reason_size) &&
           tn_check_plain_f32(problem, 8, reason, reason_size) && tn_cpu_cache_fits(problem, &geometry, 4, reason, reason_size);
}

static tn_status qkv_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare_tokens(device, problem, symbols, TN_KERNEL_qkv_cache, out_launch);
}

const tn_tactic tn_cpu_tactic_qkv_cache = {
    .name = "qkv_cache",
    .version = 1,
    .numerics = TN_NUMERICS_F32_LANES16,
    .op = TN_OP_QKV_CACHE,
    .supports = qkv_supports,
    .estimate_us = tn_cpu_estimate_operands_us,
    .prepare = qkv_prepare,
};
