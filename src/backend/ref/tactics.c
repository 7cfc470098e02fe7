/* SPDX-License-Identifier: Apache-2.0
 *
 * tactics.c: one tactic an operation, "ref_<op>": the whole problem as one tile.
 */
#include "backend/cost.h"
#include "backend/ref/ref.h"

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    return tn_ref_supports(problem, reason, reason_size);
}

static double estimate_us(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    return tn_cost_us(device, problem, symbols, 1.0);
}

static size_t workspace_bytes(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    return tn_ref_workspace_bytes(problem, symbols);
}

tn_status tn_ref_run_step(const tn_bound_step *step, void *const *buffers, tn_diag *diag) {
    tn_ref_call call = {.problem = step->problem, .buffers = buffers, .symbols = step->symbols, .diag = diag};
    if (step->launch->workspace_bytes > 0) call.workspace = buffers[tn_ref_num_buffers(step->problem)];
    return tn_ref_run_call(&call);
}

/* For callers that run launches themselves; what a kernel refuses is seen through tn_ref_run_step only. */
static void run_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    if (begin < end) (void)tn_ref_run_step(step, step->buffers, NULL);
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    *out_launch = (tn_launch){.workspace_bytes = tn_ref_workspace_bytes(problem, symbols)};
    out_launch->cpu.num_phases = 1;
    out_launch->cpu.phases[0].run = run_tile;
    out_launch->cpu.phases[0].num_tiles = 1;
    out_launch->cpu.phases[0].grain = 1;
    return TN_OK;
}

#define REF_TACTICS(X)                              \
    X(IDENTITY, "identity", EXACT)                  \
    X(CAST, "cast", EXACT)                          \
    X(SHAPE, "shape", EXACT)                        \
    X(FILL, "fill", DOUBLE)                         \
    X(UNARY, "unary", DOUBLE)                       \
    X(ACTIVATION, "activation", DOUBLE)             \
    X(ELEMENTWISE, "elementwise", DOUBLE)           \
    X(SELECT, "select", EXACT)                      \
    X(REDUCE, "reduce", DOUBLE)                     \
    X(SOFTMAX, "softmax", DOUBLE)                   \
    X(NORMALIZATION, "normalization", DOUBLE)       \
    X(SHUFFLE, "shuffle", EXACT)                    \
    X(SLICE, "slice", EXACT)                        \
    X(CONCATENATION, "concatenation", EXACT)        \
    X(GATHER, "gather", EXACT)                      \
    X(NON_ZERO, "non_zero", EXACT)                  \
    X(MATRIX_MULTIPLY, "matrix_multiply", DOUBLE)   \
    X(QUANTIZE, "quantize", DOUBLE)                 \
    X(DEQUANTIZE, "dequantize", DOUBLE)             \
    X(QUANTIZE_ROWS, "quantize_rows", EXACT)        \
    X(TOKEN_IDS, "token_ids", EXACT)                \
    X(ROTARY_TABLE, "rotary_table", DOUBLE)         \
    X(ROTARY, "rotary", DOUBLE)                     \
    X(KV_CACHE_UPDATE, "kv_cache_update", EXACT)    \
    X(ATTENTION, "attention", DOUBLE)               \
    X(QKV_CACHE, "qkv_cache", DOUBLE)               \
    X(ROUTE, "route", DOUBLE)                       \
    X(GROUPED_MATMUL, "grouped_matmul", DOUBLE)     \
    X(COMBINE, "combine", DOUBLE)                   \
    X(SAMPLE, "sample", DOUBLE)                     \
    X(ASSERTION, "assertion", EXACT)                \
    X(SQUEEZE, "squeeze", EXACT)                    \
    X(UNSQUEEZE, "unsqueeze", EXACT)                \
    X(PARAMETRIC_RELU, "parametric_relu", DOUBLE)   \
    X(SCALE, "scale", DOUBLE)                       \
    X(LRN, "lrn", DOUBLE)                           \
    X(NORMALIZATION_ND, "normalization_nd", DOUBLE) \
    X(RAGGED_SOFTMAX, "ragged_softmax", DOUBLE)     \
    X(TOPK, "topk", EXACT)                          \
    X(CUMULATIVE, "cumulative", DOUBLE)             \
    X(SCATTER, "scatter", EXACT)                    \
    X(ONE_HOT, "one_hot", EXACT)                    \
    X(REVERSE_SEQUENCE, "reverse_sequence", EXACT)  \
    X(NMS, "nms", EXACT)                            \
    X(CONVOLUTION, "convolution", DOUBLE)           \
    X(DECONVOLUTION, "deconvolution", DOUBLE)       \
    X(POOLING, "pooling", DOUBLE)                   \
    X(RESIZE, "resize", DOUBLE)                     \
    X(GRID_SAMPLE, "grid_sample", DOUBLE)           \
    X(EINSUM, "einsum", DOUBLE)                     \
    X(DYNAMIC_QUANTIZE, "dynamic_quantize", DOUBLE)

#define DEFINE_TACTIC(kind, text, contract)  \
    static const tn_tactic tactic_##kind = { \
        .name = "ref_" text,                 \
        .version = 1,                        \
        .numerics = TN_NUMERICS_##contract,  \
        .op = TN_OP_##kind,                  \
        .supports = supports,                \
        .estimate_us = estimate_us,          \
        .workspace_bytes = workspace_bytes,  \
        .prepare = prepare,                  \
    };
REF_TACTICS(DEFINE_TACTIC)

#define LIST_TACTIC(kind, text, contract) &tactic_##kind,
const tn_tactic *const tn_ref_tactics[TN_REF_NUM_TACTICS] = {REF_TACTICS(LIST_TACTIC)};
