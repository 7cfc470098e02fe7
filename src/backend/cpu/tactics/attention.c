/* SPDX-License-Identifier: Apache-2.0
 *
 * attention.c: the tactic of ATTENTION; how rows, heads and chunks of positions become tiles.
 */
#include <string.h>

#include "backend/cpu/tactics/tactics.h"
#include "base/checked.h"

enum { CHUNK = 256, MAX_ROWS = 32, MAX_TOKENS = 8, MAX_HEAD_DIM = 256, MAX_SHARES = 4, LANES = 16 };

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_attention_params *params = problem->params;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    if (!tn_check_complete(problem, 1u << 5 | 1u << 6, true, reason, reason_size) || !tn_check_plain_f32(problem, 0, reason, reason_size))
        return false;
    for (uint32_t i = 5; i < problem->num_inputs; i++)
        if (!tn_check_plain_f32(problem, i, reason, reason_size)) return false;
    if (params->k_dim > MAX_HEAD_DIM || params->v_dim > MAX_HEAD_DIM)
        return tn_refuse(reason, reason_size, "heads of at most %d values", MAX_HEAD_DIM);
    if (params->num_kv_heads < 1 || params->num_heads % params->num_kv_heads != 0)
        return tn_refuse(reason, reason_size, "query heads must be a multiple of key/value heads");
    if (problem->num_epilogues > 0 && params->v_dim % 32 != 0)
        return tn_refuse(reason, reason_size, "quantised output needs heads of a multiple of 32 values, not %lld",
                         (long long)params->v_dim);
    return tn_cpu_cache_fits(problem, &geometry, 1, reason, reason_size) &&
           tn_check_epilogues(problem, 1u << TN_EPILOGUE_QUANTIZE, reason, reason_size);
}

static int64_t max_positions(const tn_problem *problem, const int64_t *symbols) {
    const tn_attention_params *params = problem->params;
    return tn_operand_dim(&problem->operands[4], 1, symbols) * params->tokens_per_block;
}

/* With fewer tokens than this, tiles of tokens and heads alone would leave workers idle: chunks become tiles too. */
static int64_t split_tokens(const tn_device_info *device, const tn_attention_params *params) {
    return (4 * device->num_workers - 1) / params->num_kv_heads;
}

static size_t partial_bytes(const tn_problem *problem, const int64_t *symbols, int64_t num_tokens) {
    const tn_attention_params *params = problem->params;
    int64_t chunks = tn_ceil_div(max_positions(problem, symbols), CHUNK);
    return (size_t)(num_tokens * params->num_heads * chunks * (tn_round_up(params->v_dim, LANES) + LANES)) * sizeof(float);
}

static size_t workspace_bytes(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    int64_t num_tokens = tn_operand_rows(&problem->operands[0], symbols), most = split_tokens(device, problem->params);
    return partial_bytes(problem, symbols, num_tokens < most ? num_tokens : most);
}

/* The largest divisor of the heads that share keys and values which is at most `most`. */
static int64_t heads_of_tile(const tn_attention_params *params, int64_t most) {
    int64_t group = params->num_heads / params->num_kv_heads, heads = group < most ? group : most;
    while (group % heads != 0) heads--;
    return heads;
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_attention_params *params = problem->params;
    int64_t num_tokens = tn_operand_rows(&problem->operands[0], symbols), num_seqs = tn_operand_dim(&problem->operands[3], 0, symbols);
    int64_t chunks = tn_ceil_div(max_positions(problem, symbols), CHUNK), heads = heads_of_tile(params, MAX_ROWS), tokens = 1, shares = 1;
    memset(out_launch, 0, sizeof *out_launch);
    bool few = num_tokens <= split_tokens(device, params) && device->num_workers > 1;
    bool split = few && chunks > 1;
    if (split) {
        shares = chunks < MAX_SHARES ? chunks : MAX_SHARES;
        out_launch->workspace_bytes = partial_bytes(problem, symbols, num_tokens);
    }
    if (few) {
        heads = 1; /* three key/value heads are a bad share for two workers */
    } else {
        int64_t per_sequence = num_seqs > 0 ? tn_ceil_div(num_tokens, num_seqs) : 1;
        tokens = MAX_ROWS / heads;
        if (tokens > MAX_TOKENS) tokens = MAX_TOKENS;
        if (tokens > per_sequence) tokens = per_sequence;
        if (tokens < 1) tokens = 1;
    }
    int64_t head_tiles = params->num_heads / heads;
    out_launch->constants[0] = tokens;
    out_launch->constants[1] = heads;
    out_launch->constants[2] = head_tiles;
    out_launch->constants[3] = split ? chunks : 0;
    out_launch->constants[4] = shares;
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_attention),
                        tn_ceil_div(num_tokens, tokens) * head_tiles * shares, 1, 1);
    if (split)
        tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_attention_merge), num_tokens * params->num_heads, 1, 16);
    return TN_OK;
}

static double estimate(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    const tn_attention_params *params = problem->params;
    double tokens = (double)tn_operand_rows(&problem->operands[0], symbols), positions = (double)max_positions(problem, symbols) / 2;
    double flops = 2 * tokens * positions * (double)(params->num_heads * (params->k_dim + params->v_dim));
    return tn_cpu_estimate_us(device, 0, flops);
}

const tn_tactic tn_cpu_tactic_attention = {
    .name = "attention_paged",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CHUNKED_SOFTMAX,
    .op = TN_OP_ATTENTION,
    .supports = supports,
    .estimate_us = estimate,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
};
