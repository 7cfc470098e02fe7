/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.c: the tactics of ROTARY, KV_CACHE_UPDATE and QKV_CACHE: a warp a head of a token.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "base/checked.h"

enum { WARPS = 4, MAX_HEAD_DIM = 512, SHORT_HEAD_DIM = 128 /* of the smaller kernels */ };

static void launch_heads(tn_launch *launch, tn_cuda_kernel kernel, int64_t num_heads) {
    tn_cuda_launch_add(launch, kernel, tn_ceil_div(num_heads, WARPS), 1, 1, 32 * WARPS, 0);
}

/* --- ROTARY. constants, as in kernels/kv_cache.cu ------------------------------------------------------------------------------- */

enum { ROTARY_NUM_HEADS, ROTARY_HEADS_A_TOKEN, ROTARY_DIM, ROTARY_TABLE_COLUMNS, ROTARY_IS_INTERLEAVED };

static bool rotary_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_rotary_params *params = problem->params;
    if (params->head_dim > MAX_HEAD_DIM) return tn_refuse(reason, reason_size, "heads of at most %d values", MAX_HEAD_DIM);
    return tn_check_complete(problem, 0, false, reason, reason_size) && tn_check_all_are(problem, TN_FLOAT32, reason, reason_size);
}

static tn_status rotary_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_rotary_params *params = problem->params;
    *out_launch = (tn_launch){0};
    int64_t heads = tn_operand_columns(&problem->operands[0], symbols) / params->head_dim;
    out_launch->constants[ROTARY_NUM_HEADS] = tn_operand_rows(&problem->operands[0], symbols) * heads;
    out_launch->constants[ROTARY_HEADS_A_TOKEN] = heads;
    out_launch->constants[ROTARY_DIM] = params->head_dim;
    out_launch->constants[ROTARY_TABLE_COLUMNS] = tn_operand_columns(&problem->operands[1], symbols);
    out_launch->constants[ROTARY_IS_INTERLEAVED] = params->type == TN_ROTARY_INTERLEAVED;
    launch_heads(out_launch, TN_CUDA_KERNEL_rotary, out_launch->constants[ROTARY_NUM_HEADS]);
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_rotary = {
    .name = "rotary",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_ROTARY,
    .supports = rotary_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = rotary_prepare,
};

/* --- both updates ----------------------------------------------------------------------------------------------------------------- */

enum {
    NUM_TOKENS,
    NUM_SEQS,
    TABLE_COLUMNS,
    LAYER,
    NUM_LAYERS,
    NUM_KV_HEADS,
    K_DIM,
    V_DIM,
    TOKENS_PER_BLOCK,
    NUM_HEADS,
    ROTARY_COLUMNS,
    IS_INTERLEAVED,
    NORM_EPSILON
};

static bool cache_fits(const tn_problem *problem, const tn_kv_geometry *geometry, uint32_t first, char *reason, size_t reason_size) {
    if (!tn_kv_dtype_is_known(geometry->dtype))
        return tn_refuse(reason, reason_size, "a cache of " TN_KV_DTYPES ", not %s", tn_dtype_name(geometry->dtype));
    return tn_check_cache(problem, geometry, first, MAX_HEAD_DIM, reason, reason_size);
}

/* A kernel for each type of a cache. */
typedef struct cache_kernels {
    tn_cuda_kernel f32, f16, bf16, i16, i8, e4m3;
} cache_kernels;

#define CACHE_KERNELS(name, suffix)                                                                                       \
    {                                                                                                                     \
        TN_CUDA_KERNEL_##name##_f32##suffix, TN_CUDA_KERNEL_##name##_f16##suffix, TN_CUDA_KERNEL_##name##_bf16##suffix,   \
            TN_CUDA_KERNEL_##name##_i16##suffix, TN_CUDA_KERNEL_##name##_i8##suffix, TN_CUDA_KERNEL_##name##_e4m3##suffix \
    }
static const cache_kernels updates = CACHE_KERNELS(kv_cache_update, ), short_qkvs = CACHE_KERNELS(qkv_cache, _128),
                           long_qkvs = CACHE_KERNELS(qkv_cache, _512);

static tn_cuda_kernel of_dtype(tn_dtype dtype, const cache_kernels *kernels) {
    switch (dtype) {
    case TN_FLOAT16: return kernels->f16;
    case TN_BFLOAT16: return kernels->bf16;
    case TN_INT16: return kernels->i16;
    case TN_INT8: return kernels->i8;
    case TN_FLOAT8_E4M3FN: return kernels->e4m3;
    default: return kernels->f32;
    }
}

/* first: the operand of query_start. */
static void describe_cache(tn_launch *launch, const tn_problem *problem, const tn_kv_geometry *geometry, int64_t layer, uint32_t first,
                           const int64_t *symbols) {
    launch->constants[NUM_TOKENS] = tn_operand_rows(&problem->operands[0], symbols);
    launch->constants[NUM_SEQS] = tn_operand_dim(&problem->operands[first + 1], 0, symbols);
    launch->constants[TABLE_COLUMNS] = tn_operand_dim(&problem->operands[first + 2], 1, symbols);
    launch->constants[LAYER] = layer;
    launch->constants[NUM_LAYERS] = geometry->num_layers;
    launch->constants[NUM_KV_HEADS] = geometry->num_kv_heads;
    launch->constants[K_DIM] = geometry->k_dim;
    launch->constants[V_DIM] = geometry->v_dim;
    launch->constants[TOKENS_PER_BLOCK] = geometry->tokens_per_block;
}

static bool update_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_kv_cache_update_params *params = problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    return tn_check_complete(problem, 0, false, reason, reason_size) && tn_check_plain_f32(problem, 0, reason, reason_size) &&
           tn_check_plain_f32(problem, 1, reason, reason_size) && cache_fits(problem, &geometry, 2, reason, reason_size);
}

static tn_status update_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_kv_cache_update_params *params = problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    *out_launch = (tn_launch){0};
    describe_cache(out_launch, problem, &geometry, params->layer, 3, symbols);
    launch_heads(out_launch, of_dtype(geometry.dtype, &updates), out_launch->constants[NUM_TOKENS] * 2 * geometry.num_kv_heads);
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_kv_cache_update = {
    .name = "kv_cache_update",
    .version = 1,
    .numerics = TN_NUMERICS_EXACT,
    .op = TN_OP_KV_CACHE_UPDATE,
    .supports = update_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = update_prepare,
};

static bool qkv_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_qkv_cache_params *params = problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    for (uint32_t i = 0; i < 4; i++)
        if (!tn_check_plain_f32(problem, i, reason, reason_size)) return false;
    return tn_check_complete(problem, 1u << 1 | 1u << 2 | 1u << 3, false, reason, reason_size) &&
           tn_check_plain_f32(problem, 8, reason, reason_size) && cache_fits(problem, &geometry, 4, reason, reason_size);
}

static tn_status qkv_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_qkv_cache_params *params = problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    const tn_operand *table = &problem->operands[1];
    *out_launch = (tn_launch){0};
    describe_cache(out_launch, problem, &geometry, params->layer, 5, symbols);
    out_launch->constants[NUM_HEADS] = params->num_heads;
    out_launch->constants[ROTARY_COLUMNS] = table->absent ? 0 : tn_operand_columns(table, symbols);
    out_launch->constants[IS_INTERLEAVED] = params->rotary == TN_ROTARY_INTERLEAVED;
    tn_cuda_set_real(out_launch, NORM_EPSILON, params->epsilon);
    bool is_short = geometry.k_dim <= SHORT_HEAD_DIM && geometry.v_dim <= SHORT_HEAD_DIM;
    tn_cuda_kernel kernel = of_dtype(geometry.dtype, is_short ? &short_qkvs : &long_qkvs);
    launch_heads(out_launch, kernel, out_launch->constants[NUM_TOKENS] * (params->num_heads + 2 * geometry.num_kv_heads));
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_qkv_cache = {
    .name = "qkv_cache",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_QKV_CACHE,
    .supports = qkv_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = qkv_prepare,
};
