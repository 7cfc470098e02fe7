/* SPDX-License-Identifier: Apache-2.0
 *
 * tactics.h: the tactics of the cpu backend. One tactic serves every instruction set level: prepare() takes the kernel of the
 * device's level, and all levels give the same bits, so plans move between machines without retuning.
 */
#ifndef TN_BACKEND_CPU_TACTICS_H_
#define TN_BACKEND_CPU_TACTICS_H_

#include "backend/checks.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/layout_strip16.h"
#include "op/kv_geometry.h"
#include "op/tactic.h"

/* Every tactic's symbol suffix, in order of preference. */
#define TN_CPU_TACTICS(X) \
    X(matmul_q15)         \
    X(matmul_q8)          \
    X(matmul_f32)         \
    X(matmul_stream_q15)  \
    X(matmul_stream_q8)   \
    X(matmul_stream_f32)  \
    X(grouped_q15)        \
    X(grouped_q8)         \
    X(grouped_f32)        \
    X(quantize_rows)      \
    X(normalization)      \
    X(rotary)             \
    X(kv_cache_update)    \
    X(qkv_cache)          \
    X(attention)          \
    X(elementwise)        \
    X(unary)              \
    X(activation)         \
    X(softmax)            \
    X(gather)             \
    X(token_ids)          \
    X(rotary_table)       \
    X(sample)             \
    X(route)              \
    X(combine)            \
    X(parametric_relu)    \
    X(scale)              \
    X(select)             \
    X(cast)               \
    X(quantize)           \
    X(dequantize)         \
    X(reduce)             \
    X(ragged_softmax)     \
    X(normalization_nd)   \
    X(normalization_half) \
    X(lrn)                \
    X(cumulative)         \
    X(identity)           \
    X(squeeze)            \
    X(unsqueeze)          \
    X(shuffle)            \
    X(slice)              \
    X(concatenation)      \
    X(reverse_sequence)   \
    X(gather_any)         \
    X(scatter)            \
    X(one_hot)            \
    X(non_zero)           \
    X(topk)               \
    X(nms)                \
    X(resize)             \
    X(grid_sample)        \
    X(fill)               \
    X(dynamic_quantize)   \
    X(einsum)             \
    X(convolution)        \
    X(deconvolution)      \
    X(matmul_any)         \
    X(pooling)

#define X(name) extern const tn_tactic tn_cpu_tactic_##name;
TN_CPU_TACTICS(X)
#undef X

/* A tactic that is as slow as its operands are large, without layouts. */
#define TN_CPU_TACTIC(suffix, text, number, kind, contract, checks, bytes, prepares) \
    const tn_tactic tn_cpu_tactic_##suffix = {                                       \
        .name = text,                                                                \
        .version = number,                                                           \
        .numerics = TN_NUMERICS_##contract,                                          \
        .op = TN_OP_##kind,                                                          \
        .supports = checks,                                                          \
        .estimate_us = tn_cpu_estimate_operands_us,                                  \
        .workspace_bytes = bytes,                                                    \
        .prepare = prepares,                                                         \
    };

enum {
#define X(name) TN_CPU_TACTIC_NUMBER_##name,
    TN_CPU_TACTICS(X)
#undef X
        TN_NUM_CPU_TACTICS
};

extern const tn_tactic *const tn_cpu_tactics[TN_NUM_CPU_TACTICS];

/* --- what the tactics share (tactics.c) ---------------------------------------------------------------------------------- */

/* Heads that the kernels hold, and a cache of a known type; the rest is tn_check_cache. */
bool tn_cpu_cache_fits(const tn_problem *problem, const tn_kv_geometry *geometry, uint32_t first, char *reason, size_t reason_size);

/* One phase of tiles; the grain gives a worker at least `bytes_per_claim` bytes of work. */
void tn_cpu_launch_tiles(tn_launch *launch, tn_tile_function run, int64_t num_tiles, int64_t bytes_per_tile, int64_t bytes_per_claim);

/* Time to touch so many bytes, and to do so many float operations, with all workers; the longer of both plus a barrier. */
double tn_cpu_estimate_us(const tn_device_info *device, double bytes, double flops);
/* What most elementwise tactics cost: all operands pass once. */
double tn_cpu_estimate_operands_us(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols);

#endif
