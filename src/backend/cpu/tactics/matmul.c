/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul.c: the tactics of MATRIX_MULTIPLY (a linear layer) and GROUPED_MATMUL over strip16 weights. For each numerics one
 * that is best with weights that are in a cache or meet many rows, and, for linear layers, one that streams them from memory.
 */
#include <string.h>

#include "backend/cpu/tactics/tactics.h"
#include "base/checked.h"
#include "op/quantized_rows.h"

/* A claim of less than this costs more in claiming than it gains in balance. */
enum {
    BYTES_PER_CLAIM = 8 << 10,
    GATHERED_PER_CLAIM = 24 << 10, /* half a microsecond */
    MAX_BLOCK_ROWS = 128,          /* enough to reuse the weights, tiles small enough to share */
    GATHER_ROWS = 8
};

static bool weight_fits(const tn_problem *problem, bool integer, int rank, char *reason, size_t reason_size) {
    const tn_operand *w = &problem->operands[1];
    tn_strip_type type;
    char name[64];
    if (w->role != TN_ROLE_WEIGHT) return tn_refuse(reason, reason_size, "the second operand must be a weight");
    if (w->rank != rank) return tn_refuse(reason, reason_size, "the weight must have rank %d, it has %d", rank, w->rank);
    if (!tn_strip_type_of(&w->encoding, &type))
        return tn_refuse(reason, reason_size, "no weights in %s", tn_encoding_name(&w->encoding, name));
    if (integer && type < TN_STRIP_Q4_0) return tn_refuse(reason, reason_size, "quantised activations need weights of codes");
    if (w->layout != NULL && strcmp(w->layout, tn_strip_layout_name(type)) != 0)
        return tn_refuse(reason, reason_size, "reads layout %s, not %s", tn_strip_layout_name(type), w->layout);
    return true;
}

static bool supports(const tn_problem *problem, tn_dtype activations, int weight_rank, char *reason, size_t reason_size) {
    const uint32_t all = (1u << TN_NUM_EPILOGUE_KINDS) - 1;
    const tn_operand *x = &problem->operands[0];
    if (x->dtype != activations)
        return tn_refuse(reason, reason_size, "%s activations only, they are %s", tn_dtype_name(activations), tn_dtype_name(x->dtype));
    if (x->role == TN_ROLE_WEIGHT && x->encoding.kind != TN_ENCODING_PLAIN)
        return tn_refuse(reason, reason_size, "the first operand must not be an encoded weight");
    if (!weight_fits(problem, activations != TN_FLOAT32, weight_rank, reason, reason_size)) return false;
    return tn_check_epilogues(problem, all, reason, reason_size);
}

static bool supports_linear(const tn_problem *problem, tn_dtype activations, char *reason, size_t reason_size) {
    const tn_matrix_multiply_params *params = problem->params;
    if (params->op_a != TN_MATRIX_NONE || params->op_b != TN_MATRIX_TRANSPOSE)
        return tn_refuse(reason, reason_size, "a · transposed weight only");
    return supports(problem, activations, 2, reason, reason_size);
}

static double estimate(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    const tn_operand *x = &problem->operands[0], *w = &problem->operands[1];
    tn_strip_type type;
    if (!tn_strip_type_of(&w->encoding, &type)) return 1e9;
    double rows = (double)tn_operand_rows(x, symbols), k = (double)tn_operand_columns(x, symbols);
    double n = (double)tn_operand_dim(w, w->rank - 2, symbols), experts = w->rank == 3 ? (double)tn_operand_dim(w, 0, symbols) : 1;
    double bytes = experts * n / TN_STRIP_ROWS * (double)tn_strip_bytes(type, tn_operand_columns(w, symbols));
    /* measured against float32 multiply-adds: two planes of bytes take about half their time, one plane a quarter */
    double cost = x->dtype == TN_FLOAT32 ? 2.0 : x->dtype == TN_Q15_32 ? 1.0 : 0.5;
    return tn_cpu_estimate_us(device, bytes, rows * n * k * cost);
}

/* Measured on one machine; the builder measures the user's. */
static double estimate_streamed(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    double rows = (double)tn_operand_rows(&problem->operands[0], symbols);
    return estimate(device, problem, symbols) * (rows <= 32 ? 0.9 : 1.02);
}

/* Rows of activations that half of the second-level cache holds, in whole chunks. */
static int64_t rows_per_block(const tn_device_info *device, size_t row_bytes, int64_t num_rows) {
    int64_t rows = (int64_t)(device->l2_bytes / 2 / row_bytes) / 32 * 32;
    if (rows > MAX_BLOCK_ROWS) rows = MAX_BLOCK_ROWS;
    return rows < 32 ? 32 : rows > num_rows ? num_rows : rows;
}

static bool gathers(const tn_problem *problem, const int64_t *symbols) {
    const tn_operand *x = &problem->operands[0];
    return problem->op == TN_OP_MATRIX_MULTIPLY && x->dtype != TN_FLOAT32 && tn_operand_rows(x, symbols) > 1;
}

/* Blocks of 32 with planes, scale and sums, as matmul_integer.h lays them out. */
static int64_t gathered_row_bytes(const tn_problem *problem, const int64_t *symbols) {
    const tn_operand *x = &problem->operands[0];
    tn_strip_type type;
    if (!tn_strip_type_of(&problem->operands[1].encoding, &type)) return 0;
    return tn_operand_columns(x, symbols) / 32 * tn_strip_tile_row_bytes(tn_strip_halves(type), x->dtype == TN_Q15_32);
}

static size_t workspace_bytes(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    const tn_operand *x = &problem->operands[0];
    return gathers(problem, symbols) ? (size_t)(tn_operand_rows(x, symbols) * gathered_row_bytes(problem, symbols)) : 0;
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_cpu_kernel kernel,
                         bool streams, tn_launch *out_launch) {
    const tn_operand *x = &problem->operands[0], *w = &problem->operands[1];
    bool quantized = tn_has_epilogue(problem, TN_EPILOGUE_QUANTIZE), gated = tn_has_epilogue(problem, TN_EPILOGUE_GATED_ACTIVATION);
    int64_t num_rows = tn_operand_rows(x, symbols), k = tn_operand_columns(x, symbols);
    int64_t num_strips = tn_ceil_div(tn_operand_dim(w, w->rank - 2, symbols), TN_STRIP_ROWS);
    size_t row_bytes = x->dtype == TN_FLOAT32 ? (size_t)k * sizeof(float) : tn_quantized_row_bytes(x->dtype, k);
    tn_strip_type type;
    memset(out_launch, 0, sizeof *out_launch);
    if (!tn_strip_type_of(&w->encoding, &type)) return TN_INTERNAL;

    int64_t per_granule = quantized && gated ? 4 : quantized || gated ? 2 : 1;
    if (num_rows > 32) per_granule = 4; /* gathering the rows once for four strips costs 5 % */
    if (streams && num_rows == 1) per_granule = 4;
    int64_t granules = tn_ceil_div(num_strips, per_granule), block = rows_per_block(device, row_bytes, num_rows), num_tiles;
    if (kernel == TN_KERNEL_grouped_matmul) {
        num_tiles = tn_operand_dim(w, 0, symbols) * granules;
    } else {
        num_tiles = num_rows > 0 ? tn_ceil_div(num_rows, block) * granules : 0;
    }
    out_launch->constants[0] = block;
    out_launch->constants[1] = per_granule;
    out_launch->constants[2] = granules;
    out_launch->constants[3] = streams;
    if (gathers(problem, symbols)) {
        out_launch->constants[4] = 1;
        out_launch->workspace_bytes = workspace_bytes(device, problem, symbols);
        tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, TN_KERNEL_gather_rows), tn_ceil_div(num_rows, GATHER_ROWS),
                            GATHER_ROWS * gathered_row_bytes(problem, symbols), GATHERED_PER_CLAIM);
    }
    int64_t tile_bytes = tn_strip_bytes(type, k) * per_granule * tn_ceil_div(num_rows > 0 ? num_rows : 1, 8);
    tn_cpu_launch_tiles(out_launch, tn_cpu_kernel_get(device->isa, kernel), num_tiles, tile_bytes, BYTES_PER_CLAIM);
    return TN_OK;
}

static tn_status prepare_linear(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare(device, problem, symbols, TN_KERNEL_matmul, false, out_launch);
}

static tn_status prepare_streamed(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare(device, problem, symbols, TN_KERNEL_matmul, true, out_launch);
}

static tn_status prepare_grouped(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    return prepare(device, problem, symbols, TN_KERNEL_grouped_matmul, false, out_launch);
}

#define MATMUL_TACTICS(member, activations, rounding, readable)                                                                          \
    static bool linear_##member##_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {  \
        (void)device;                                                                                                                    \
        return supports_linear(problem, activations, reason, reason_size);                                                               \
    }                                                                                                                                    \
    static bool grouped_##member##_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) { \
        (void)device;                                                                                                                    \
        return supports(problem, activations, 3, reason, reason_size);                                                                   \
    }                                                                                                                                    \
    const tn_tactic tn_cpu_tactic_matmul_##member = {                                                                                    \
        .name = "matmul_strip16_" #member,                                                                                               \
        .version = 2,                                                                                                                    \
        .numerics = rounding,                                                                                                            \
        .op = TN_OP_MATRIX_MULTIPLY,                                                                                                     \
        .layouts = readable,                                                                                                             \
        .supports = linear_##member##_supports,                                                                                          \
        .estimate_us = estimate,                                                                                                         \
        .workspace_bytes = workspace_bytes,                                                                                              \
        .prepare = prepare_linear,                                                                                                       \
    };                                                                                                                                   \
    const tn_tactic tn_cpu_tactic_matmul_stream_##member = {                                                                             \
        .name = "matmul_strip16_stream_" #member,                                                                                        \
        .version = 2,                                                                                                                    \
        .numerics = rounding,                                                                                                            \
        .op = TN_OP_MATRIX_MULTIPLY,                                                                                                     \
        .layouts = readable,                                                                                                             \
        .supports = linear_##member##_supports,                                                                                          \
        .estimate_us = estimate_streamed,                                                                                                \
        .workspace_bytes = workspace_bytes,                                                                                              \
        .prepare = prepare_streamed,                                                                                                     \
    };                                                                                                                                   \
    const tn_tactic tn_cpu_tactic_grouped_##member = {                                                                                   \
        .name = "grouped_matmul_strip16_" #member,                                                                                       \
        .version = 1,                                                                                                                    \
        .numerics = rounding,                                                                                                            \
        .op = TN_OP_GROUPED_MATMUL,                                                                                                      \
        .layouts = readable,                                                                                                             \
        .supports = grouped_##member##_supports,                                                                                         \
        .estimate_us = estimate,                                                                                                         \
        .prepare = prepare_grouped,                                                                                                      \
    };
MATMUL_TACTICS(q15, TN_Q15_32, TN_NUMERICS_Q15_BLOCK32, tn_strip_code_layout_names)
MATMUL_TACTICS(q8, TN_Q8_32, TN_NUMERICS_Q8_BLOCK32, tn_strip_code_layout_names)
MATMUL_TACTICS(f32, TN_FLOAT32, TN_NUMERICS_F32_ASCENDING, tn_strip_layout_names)
