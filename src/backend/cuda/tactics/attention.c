/* SPDX-License-Identifier: Apache-2.0
 *
 * attention.c: the tactics of ATTENTION for any number of tokens: which kernel, how many heads a block, how many splits.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/attention_args.h"
#include "base/checked.h"

enum { WARPS = 8, MAX_HEAD_DIM = 256, MAX_SPLITS = 64, POSITIONS_A_PASS = 64, MERGE_THREADS = 128 };
enum { CLUSTER_SPLITS = 8, CLUSTER_POSITIONS = 8192 /* from here on eight blocks a head are too few */ };

static bool has_form(const tn_problem *problem, int64_t max_head_dim, char *reason, size_t reason_size) {
    const tn_attention_params *params = problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    if (!tn_check_complete(problem, 1u << 5 | 1u << 6, false, reason, reason_size)) return false;
    for (uint32_t i = 0; i < problem->num_operands; i++)
        if ((i == 0 || i >= 5) && !tn_check_plain_f32(problem, i, reason, reason_size)) return false;
    if (params->num_kv_heads < 1 || params->num_heads % params->num_kv_heads != 0)
        return tn_refuse(reason, reason_size, "query heads must be a multiple of key/value heads");
    if (!tn_kv_dtype_is_known(geometry.dtype))
        return tn_refuse(reason, reason_size, "a cache of " TN_KV_DTYPES ", not %s", tn_dtype_name(geometry.dtype));
    return tn_check_cache(problem, &geometry, 1, max_head_dim, reason, reason_size);
}

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_attention_params *params = problem->params;
    if (params->k_dim % 8 != 0 || params->v_dim % 8 != 0) return tn_refuse(reason, reason_size, "heads of a multiple of 8 values");
    return has_form(problem, MAX_HEAD_DIM, reason, reason_size);
}

/* Heads that one block takes: of those that share keys and values, as many as registers hold. */
static int64_t heads_of_block(const tn_attention_params *params) {
    int64_t group = params->num_heads / params->num_kv_heads;
    int64_t most = params->k_dim > 128 || params->v_dim > 128 ? 2 : tn_kv_levels(params->cache_dtype) > 0 ? 4 : 8;
    while (group % most != 0) most /= 2;
    return most;
}

static int64_t max_positions(const tn_problem *problem, const int64_t *symbols) {
    const tn_attention_params *params = problem->params;
    return tn_operand_dim(&problem->operands[4], 1, symbols) * params->tokens_per_block;
}

/* Enough blocks to fill the card with the tokens there are; a split of less than one pass of a block is not worth it. */
static int64_t num_splits(const tn_device_info *device, const tn_problem *problem, int64_t num_tokens, const int64_t *symbols) {
    const tn_attention_params *params = problem->params;
    int64_t blocks = num_tokens * params->num_heads / heads_of_block(params);
    int64_t splits = tn_ceil_div(2 * device->num_workers, blocks > 0 ? blocks : 1);
    int64_t most = tn_ceil_div(max_positions(problem, symbols), POSITIONS_A_PASS);
    if (splits > most) splits = most;
    if (splits > MAX_SPLITS) splits = MAX_SPLITS;
    return splits < 1 ? 1 : splits;
}

/* Blocks of a cluster merge by themselves: no second kernel, no workspace. */
static bool merges_in_clusters(const tn_device_info *device, const tn_problem *problem, int64_t splits, const int64_t *symbols) {
    return device->isa >= 90 && splits > 1 && max_positions(problem, symbols) <= CLUSTER_POSITIONS;
}

static size_t partial_bytes(const tn_problem *problem, int64_t num_tokens, int64_t splits) {
    const tn_attention_params *params = problem->params;
    return splits > 1 ? (size_t)(num_tokens * params->num_heads * splits * (params->v_dim + 2)) * sizeof(float) : 0;
}

/* Fewer tokens have more splits: all numbers of tokens that have any are looked at. */
static size_t workspace_bytes(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    int64_t most = tn_operand_rows(&problem->operands[0], symbols);
    size_t bytes = 0;
    if (merges_in_clusters(device, problem, 2, symbols)) return 0;
    for (int64_t tokens = 1; tokens <= most && num_splits(device, problem, tokens, symbols) > 1; tokens++) {
        size_t these = partial_bytes(problem, tokens, num_splits(device, problem, tokens, symbols));
        if (these > bytes) bytes = these;
    }
    return bytes;
}

/* Place of a cache's type in the tables of kernels. */
static int type_number(tn_dtype dtype) {
    static const tn_dtype order[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT16, TN_INT8, TN_FLOAT8_E4M3FN};
    int type = 0;
    while (order[type] != dtype) type++; /* supports() has looked */
    return type;
}

static tn_cuda_kernel find_kernel(tn_dtype dtype, bool in_clusters, bool is_long, int64_t heads) {
    int size = heads == 8 ? 3 : heads == 4 ? 2 : heads == 2 ? 1 : 0;
#define KERNEL(form, size) TN_CUDA_KERNEL_attention_##form##_##size
#define KERNELS(form, of_8_heads) \
    { KERNEL(form, 1_1), KERNEL(form, 1_2), KERNEL(form, 1_4), of_8_heads, KERNEL(form, 2_1), KERNEL(form, 2_2) }
#define VALUES(form) KERNELS(form, KERNEL(form, 1_8))
#define LEVELS(form) KERNELS(form, KERNEL(form, 1_4)) /* 8 heads are never asked for */
    static const tn_cuda_kernel kernels[2][6][6] = {
        {VALUES(f32), VALUES(f16), VALUES(bf16), LEVELS(i16), LEVELS(i8), LEVELS(e4m3)},
        {VALUES(cluster_f32), VALUES(cluster_f16), VALUES(cluster_bf16), LEVELS(cluster_i16), LEVELS(cluster_i8), LEVELS(cluster_e4m3)}};
#undef KERNEL
#undef KERNELS
#undef VALUES
#undef LEVELS
    return kernels[in_clusters][type_number(dtype)][is_long ? 4 + size : size];
}

void tn_cuda_begin_attention(const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_attention_params *params = problem->params;
    *out_launch = (tn_launch){0};
    int64_t *constants = out_launch->constants;
    constants[TN_ATTENTION_NUM_SEQS] = tn_operand_dim(&problem->operands[3], 0, symbols);
    constants[TN_ATTENTION_TABLE_COLUMNS] = tn_operand_dim(&problem->operands[4], 1, symbols);
    constants[TN_ATTENTION_LAYER] = params->layer;
    constants[TN_ATTENTION_NUM_LAYERS] = params->num_layers;
    constants[TN_ATTENTION_NUM_KV_HEADS] = params->num_kv_heads;
    constants[TN_ATTENTION_K_DIM] = params->k_dim;
    constants[TN_ATTENTION_V_DIM] = params->v_dim;
    constants[TN_ATTENTION_TOKENS_PER_BLOCK] = params->tokens_per_block;
    constants[TN_ATTENTION_NUM_HEADS] = params->num_heads;
    constants[TN_ATTENTION_WINDOW] = params->window;
    constants[TN_ATTENTION_SINK_TOKENS] = params->sink_tokens;
    tn_cuda_set_real(out_launch, TN_ATTENTION_SCALE, params->scale);
    tn_cuda_set_real(out_launch, TN_ATTENTION_SOFT_CAP, params->soft_cap);
    bool has_sinks = problem->num_inputs > 5 && !problem->operands[5].absent;
    bool has_slopes = problem->num_inputs > 6 && !problem->operands[6].absent;
    constants[TN_ATTENTION_FLAGS] = (has_sinks ? TN_ATTENTION_HAS_SINKS : 0) | (has_slopes ? TN_ATTENTION_HAS_SLOPES : 0);
    constants[TN_ATTENTION_OUTPUT] = problem->num_inputs;
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_attention_params *params = problem->params;
    int64_t tokens = tn_operand_rows(&problem->operands[0], symbols), heads = heads_of_block(params);
    int64_t splits = num_splits(device, problem, tokens, symbols);
    bool in_clusters = merges_in_clusters(device, problem, splits, symbols);
    if (in_clusters) splits = CLUSTER_SPLITS;
    tn_cuda_begin_attention(problem, symbols, out_launch);
    out_launch->constants[TN_ATTENTION_NUM_SPLITS] = splits;
    if (!in_clusters) out_launch->workspace_bytes = partial_bytes(problem, tokens, splits);
    bool is_long = params->k_dim > 128 || params->v_dim > 128;
    uint32_t shared_bytes = (uint32_t)((WARPS + in_clusters) * heads * (params->v_dim + 2)) * (uint32_t)sizeof(float);
    tn_cuda_launch_add(out_launch, find_kernel(params->cache_dtype, in_clusters, is_long, heads), tokens, params->num_heads / heads, splits,
                       32 * WARPS, shared_bytes);
    if (splits > 1 && !in_clusters)
        tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_attention_merge, tokens, params->num_heads, 1, MERGE_THREADS, 0);
    return TN_OK;
}

static double estimate(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    const tn_attention_params *params = problem->params;
    double tokens = (double)tn_operand_rows(&problem->operands[0], symbols);
    double positions = (double)(tn_operand_dim(&problem->operands[4], 1, symbols) * params->tokens_per_block) / 2;
    double flops = 2 * tokens * positions * (double)(params->num_heads * (params->k_dim + params->v_dim));
    double bytes = tokens * positions * (double)(params->num_kv_heads * (params->k_dim + params->v_dim)) *
                   tn_dtype_get_info(params->cache_dtype)->bits / 8.0;
    /* taking 16-bit values apart and adding scores over lanes cost three times the products; on an H100 256 sequences took 4.7
     * times what their bytes do */
    return tn_cuda_estimate_us(device, 4.7 * bytes, flops, device->flops_per_us / 4);
}

const tn_tactic tn_cuda_tactic_attention = {
    .name = "attention_paged",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_ATTENTION,
    .supports = supports,
    .estimate_us = estimate,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
};

/* --- heads that no vector divides, or longer ones ------------------------------------------------------------------------------- */

enum { MAX_ANY_HEAD_DIM = 512, ANY_WARPS = 4 };

static bool any_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return has_form(problem, MAX_ANY_HEAD_DIM, reason, reason_size);
}

static tn_status any_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    static const tn_cuda_kernel kernels[] = {TN_CUDA_KERNEL_attention_any_f32,  TN_CUDA_KERNEL_attention_any_f16,
                                             TN_CUDA_KERNEL_attention_any_bf16, TN_CUDA_KERNEL_attention_any_i16,
                                             TN_CUDA_KERNEL_attention_any_i8,   TN_CUDA_KERNEL_attention_any_e4m3};
    const tn_attention_params *params = problem->params;
    tn_cuda_begin_attention(problem, symbols, out_launch);
    tn_cuda_launch_add(out_launch, kernels[type_number(params->cache_dtype)], tn_operand_rows(&problem->operands[0], symbols),
                       params->num_heads, 1, 32 * ANY_WARPS, 0);
    return TN_OK;
}

static double any_estimate(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    return 8.0 * estimate(device, problem, symbols); /* one head and one key at a time */
}

const tn_tactic tn_cuda_tactic_attention_any = {
    .name = "attention_any",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_ATTENTION,
    .supports = any_supports,
    .estimate_us = any_estimate,
    .prepare = any_prepare,
};
