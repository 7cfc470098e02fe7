/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_tile.c: the tactic of ATTENTION for prompts, on tensor cores: attention_wgmma's kernels where they do, else
 * attention_tile's. A step that has no more tokens than sequences is
 * left to attention_decode's kernels, as plans choose by the number of tokens alone.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/kernels/attention_args.h"
#include "base/checked.h"

enum { ROWS = 128, GROUP = 16, FIRST_ISA = 80 /* cp.async, products of bfloat16 */ };

/* One for each number of values of a head that registers and shared memory are cut for. */
typedef struct variant {
    int64_t dim, warp_rows, positions;
    tn_cuda_kernel f16, bf16;
} variant;

static const variant variants[] = {
    {64, 32, 64, TN_CUDA_KERNEL_attention_tile_f16_64, TN_CUDA_KERNEL_attention_tile_bf16_64},
    {96, 32, 64, TN_CUDA_KERNEL_attention_tile_f16_96, TN_CUDA_KERNEL_attention_tile_bf16_96},
    {128, 32, 64, TN_CUDA_KERNEL_attention_tile_f16_128, TN_CUDA_KERNEL_attention_tile_bf16_128},
    {256, 16, 32, TN_CUDA_KERNEL_attention_tile_f16_256, TN_CUDA_KERNEL_attention_tile_bf16_256},
};
enum { NUM_VARIANTS = sizeof variants / sizeof variants[0] };

static const variant *find_variant(const tn_attention_params *params) {
    for (int i = 0; i < NUM_VARIANTS; i++)
        if (params->k_dim <= variants[i].dim && params->v_dim <= variants[i].dim) return &variants[i];
    return NULL;
}

/* shared_memory of the kernel */
static int64_t shared_bytes(const variant *v) {
    enum { PAD = 8, TILE_BYTES = 64, ROW_PLACE_BYTES = 12, GROUP_BYTES = 4 * 2 * 8 };
    return (ROWS + 4 * v->positions) * (v->dim + PAD) * 2 + TILE_BYTES + ROWS * ROW_PLACE_BYTES + v->positions / GROUP * GROUP_BYTES;
}

/* Kernels of warpgroups: plain scores of heads of 64 or 128 values. */
static bool uses_warpgroups(const tn_device_info *device, const tn_problem *problem) {
    const tn_attention_params *params = problem->params;
    bool is_plain = params->soft_cap <= 0.0 && params->k_dim == params->v_dim && (params->k_dim == 64 || params->k_dim == 128);
    for (uint32_t i = 5; i < problem->num_inputs; i++) is_plain = is_plain && problem->operands[i].absent;
    return is_plain && device->isa == 90;
}

static void launch_warpgroups(const tn_problem *problem, int64_t num_blocks, tn_launch *launch) {
    static const tn_cuda_kernel kernels[2][2] = {{TN_CUDA_KERNEL_attention_wgmma_f16_64, TN_CUDA_KERNEL_attention_wgmma_f16_128},
                                                 {TN_CUDA_KERNEL_attention_wgmma_bf16_64, TN_CUDA_KERNEL_attention_wgmma_bf16_128}};
    enum { WARPGROUP_POSITIONS = 128, SLOTS = 6, WARPGROUP_THREADS = 384, ALIGNMENT = 1024 };
    const tn_attention_params *params = problem->params;
    int64_t bytes = (ROWS + SLOTS * WARPGROUP_POSITIONS) * params->k_dim * 2 + ALIGNMENT;
    tn_cuda_launch_add(launch, kernels[params->cache_dtype == TN_BFLOAT16][params->k_dim == 128], num_blocks, 1, 1, WARPGROUP_THREADS,
                       (uint32_t)bytes);
}

/* What a block may have of a multiprocessor's shared memory. */
static int64_t max_shared_bytes(uint32_t isa) {
    int64_t kibibytes = isa == 80 || isa == 87 ? 163 : isa < 90 || isa >= 120 ? 99 : 227;
    return kibibytes * 1024;
}

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    const tn_attention_params *params = problem->params;
    if (!tn_cuda_tactic_attention.supports(device, problem, reason, reason_size)) return false;
    if (params->cache_dtype != TN_FLOAT16 && params->cache_dtype != TN_BFLOAT16)
        return tn_refuse(reason, reason_size, "a cache of float16 or bfloat16: products of %s would be rounded",
                         tn_dtype_name(params->cache_dtype));
    if (device->isa < FIRST_ISA) return tn_refuse(reason, reason_size, "needs compute capability 8.0");
    const variant *v = find_variant(params);
    if (v == NULL) return tn_refuse(reason, reason_size, "heads of at most %lld values", (long long)variants[NUM_VARIANTS - 1].dim);
    if (shared_bytes(v) > max_shared_bytes(device->isa))
        return tn_refuse(reason, reason_size, "heads of %lld values need %lld bytes of shared memory", (long long)v->dim,
                         (long long)shared_bytes(v));
    return true;
}

typedef struct step_size {
    int64_t tokens, sequences, group;
} step_size;

static step_size size_of(const tn_problem *problem, const int64_t *symbols) {
    const tn_attention_params *params = problem->params;
    return (step_size){.tokens = tn_operand_rows(&problem->operands[0], symbols),
                       .sequences = tn_operand_dim(&problem->operands[3], 0, symbols),
                       .group = params->num_heads / params->num_kv_heads};
}

/* What takes a step of no more tokens than sequences. */
static const tn_tactic *decoding_tactic(const tn_problem *problem) {
    enum { MAX_DECODE_DIM = 128 };
    const tn_attention_params *params = problem->params;
    bool is_long = params->k_dim > MAX_DECODE_DIM || params->v_dim > MAX_DECODE_DIM;
    return is_long ? &tn_cuda_tactic_attention : &tn_cuda_tactic_attention_decode;
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_attention_params *params = problem->params;
    const variant *v = find_variant(params);
    step_size size = size_of(problem, symbols);
    if (size.tokens <= size.sequences) return decoding_tactic(problem)->prepare(device, problem, symbols, out_launch);
    tn_cuda_begin_attention(problem, symbols, out_launch);
    out_launch->constants[TN_ATTENTION_NUM_TOKENS] = size.tokens;
    /* every number that the kernel gives to tiles, tokens without a sequence behind the last one included */
    int64_t tiles = size.tokens * size.group / ROWS + size.sequences + 1;
    if (uses_warpgroups(device, problem))
        launch_warpgroups(problem, tiles * params->num_kv_heads, out_launch);
    else
        tn_cuda_launch_add(out_launch, params->cache_dtype == TN_FLOAT16 ? v->f16 : v->bf16, tiles * params->num_kv_heads, 1, 1,
                           (uint32_t)(ROWS / v->warp_rows * 32), (uint32_t)shared_bytes(v));
    return TN_OK;
}

/* Two blocks share a multiprocessor; one alone is not twice as fast. Whole rounds of blocks, each over half of the positions. */
static double estimate(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    enum { BLOCKS_A_WORKER = 2 };
    const double flops_per_us = 2.0e6, lone_flops_per_us = 1.4e6, warpgroup_flops_per_us = 3.0e6; /* of one multiprocessor */
    const tn_attention_params *params = problem->params;
    step_size size = size_of(problem, symbols);
    if (size.tokens <= size.sequences) return decoding_tactic(problem)->estimate_us(device, problem, symbols);
    int64_t workers = device->num_workers > 0 ? device->num_workers : 1, sequences = size.sequences > 0 ? size.sequences : 1;
    int64_t blocks = tn_ceil_div(tn_ceil_div(size.tokens, sequences) * size.group, ROWS) * sequences * params->num_kv_heads;
    double positions = (double)(tn_operand_dim(&problem->operands[4], 1, symbols) * params->tokens_per_block) / 2;
    double block_flops = 2.0 * ROWS * positions * (double)(params->k_dim + params->v_dim);
    if (uses_warpgroups(device, problem))
        return tn_cuda_estimate_us(device, 0, (double)tn_ceil_div(blocks, workers) * block_flops, warpgroup_flops_per_us);
    double us = blocks <= workers ? block_flops / lone_flops_per_us
                                  : (double)tn_ceil_div(blocks, BLOCKS_A_WORKER * workers) * BLOCKS_A_WORKER * block_flops / flops_per_us;
    return tn_cuda_estimate_us(device, 0, us, 1.0);
}

static size_t workspace_bytes(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    return decoding_tactic(problem)->workspace_bytes(device, problem, symbols);
}

const tn_tactic tn_cuda_tactic_attention_tile = {
    .name = "attention_tile",
    .version = 1,
    .numerics = TN_NUMERICS_BF16_CUDA,
    .op = TN_OP_ATTENTION,
    .supports = supports,
    .estimate_us = estimate,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
};
