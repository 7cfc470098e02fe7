/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_decode.c: the tactic of ATTENTION for decoding on tensor cores: a token a block, or a cluster of blocks where there
 * are few. Where even those are too few for long contexts, attention_paged does it, whose splits are more.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/attention_args.h"
#include "base/checked.h"

enum { WARPS = 4, WIDE_WARPS = 16, MAX_HEADS = 8, SPLITS = 8, MAX_DIM = 128, FIRST_ISA = 80 };
enum {
    CLUSTER_POSITIONS = 8192,
    WIDE_POSITIONS = 512,
    BLOCK_POSITIONS = 128 /* what eight blocks, a wide one, and a small one may take */
};
enum { BANDWIDTH_SHARE = 3 /* a third of the multiprocessors read at the memory's pace */ };

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    const tn_attention_params *params = problem->params;
    if (!tn_cuda_tactic_attention.supports(device, problem, reason, reason_size)) return false;
    if (params->cache_dtype != TN_FLOAT16 && params->cache_dtype != TN_BFLOAT16)
        return tn_refuse(reason, reason_size, "a cache of float16 or bfloat16: products of %s would be rounded",
                         tn_dtype_name(params->cache_dtype));
    if (device->isa < FIRST_ISA) return tn_refuse(reason, reason_size, "needs compute capability 8.0");
    if (params->k_dim > MAX_DIM || params->v_dim > MAX_DIM) return tn_refuse(reason, reason_size, "heads of at most %d values", MAX_DIM);
    return true;
}

/* Of the query heads that share keys and values, each block of a token takes as many. */
static int64_t heads_of_block(const tn_attention_params *params) {
    int64_t group = params->num_heads / params->num_kv_heads;
    return tn_ceil_div(group, tn_ceil_div(group, MAX_HEADS));
}

static int64_t blocks_of_token(const tn_attention_params *params) {
    return params->num_kv_heads * tn_ceil_div(params->num_heads / params->num_kv_heads, heads_of_block(params));
}

static int64_t max_positions(const tn_problem *problem, const int64_t *symbols) {
    const tn_attention_params *params = problem->params;
    return tn_operand_dim(&problem->operands[4], 1, symbols) * params->tokens_per_block;
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    static const tn_cuda_kernel kernels[2][2][2] = {
        {{TN_CUDA_KERNEL_attention_decode_f16_64, TN_CUDA_KERNEL_attention_decode_f16_128},
         {TN_CUDA_KERNEL_attention_decode_bf16_64, TN_CUDA_KERNEL_attention_decode_bf16_128}},
        {{TN_CUDA_KERNEL_attention_decode_split_f16_64, TN_CUDA_KERNEL_attention_decode_split_f16_128},
         {TN_CUDA_KERNEL_attention_decode_split_bf16_64, TN_CUDA_KERNEL_attention_decode_split_bf16_128}}};
    static const tn_cuda_kernel wide[2] = {TN_CUDA_KERNEL_attention_decode_wide_f16_128, TN_CUDA_KERNEL_attention_decode_wide_bf16_128};
    const tn_attention_params *params = problem->params;
    int64_t tokens = tn_operand_rows(&problem->operands[0], symbols), heads = heads_of_block(params);
    int64_t positions = max_positions(problem, symbols);
    int64_t blocks = tokens * blocks_of_token(params);
    bool is_long = params->k_dim > MAX_DIM / 2 || params->v_dim > MAX_DIM / 2, is_bf16 = params->cache_dtype == TN_BFLOAT16;
    bool is_wide = blocks < device->num_workers && positions > BLOCK_POSITIONS;
    bool is_split = is_wide && (!is_long || positions > WIDE_POSITIONS);
    bool are_few = blocks * SPLITS * BANDWIDTH_SHARE < device->num_workers;
    if (is_split && (device->isa < 90 || (are_few && positions > CLUSTER_POSITIONS)))
        return tn_cuda_tactic_attention.prepare(device, problem, symbols, out_launch);
    tn_cuda_begin_attention(problem, symbols, out_launch);
    out_launch->constants[TN_ATTENTION_HEADS_A_BLOCK] = heads;
    int64_t warps = is_wide ? WIDE_WARPS : WARPS;
    uint32_t shared_bytes = (uint32_t)((warps + is_split) * heads * (params->v_dim + 4)) * (uint32_t)sizeof(float);
    tn_cuda_kernel kernel = is_wide && !is_split ? wide[is_bf16] : kernels[is_split][is_bf16][is_long];
    tn_cuda_launch_add(out_launch, kernel, tokens, blocks_of_token(params), is_split ? SPLITS : 1, (uint32_t)(32 * warps), shared_bytes);
    return TN_OK;
}

/* The cache is read once a token: half of the longest context. */
static double estimate(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    const double share = 0.8; /* of the bandwidth */
    const tn_attention_params *params = problem->params;
    double tokens = (double)tn_operand_rows(&problem->operands[0], symbols), positions = (double)max_positions(problem, symbols) / 2;
    double bytes = 2.0 * tokens * positions * (double)(params->num_kv_heads * (params->k_dim + params->v_dim));
    return tn_cuda_estimate_us(device, bytes / share, 0.0, 1.0);
}

static size_t workspace_bytes(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    return tn_cuda_tactic_attention.workspace_bytes(device, problem, symbols);
}

const tn_tactic tn_cuda_tactic_attention_decode = {
    .name = "attention_decode",
    .version = 1,
    .numerics = TN_NUMERICS_BF16_CUDA,
    .op = TN_OP_ATTENTION,
    .supports = supports,
    .estimate_us = estimate,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
};
