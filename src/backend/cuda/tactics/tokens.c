/* SPDX-License-Identifier: Apache-2.0
 *
 * tokens.c: the tactics of what begins a step: TOKEN_IDS, GATHER of embedding rows, ROTARY_TABLE.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/layouts.h"
#include "base/checked.h"
#include "op/layout.h"
#include "op/slot.h"

/* --- TOKEN_IDS. constants, as in kernels/tokens.cu ------------------------------------------------------------------------- */

enum { IDS_NUM_TOKENS, IDS_NUM_SEQS, IDS_SLOT_BYTES, IDS_THREADS = 256 };

static bool token_ids_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    for (uint32_t i = 0; i < 5; i++)
        if (i != 3 && problem->operands[i].dtype != TN_INT32) return tn_refuse(reason, reason_size, "int32 operands only");
    return tn_check_complete(problem, 0, false, reason, reason_size);
}

static tn_status token_ids_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_token_ids_params *params = problem->params;
    *out_launch = (tn_launch){0};
    int64_t tokens = tn_operand_dim(&problem->operands[0], 0, symbols);
    out_launch->constants[IDS_NUM_TOKENS] = tokens;
    out_launch->constants[IDS_NUM_SEQS] = tn_operand_dim(&problem->operands[2], 0, symbols);
    out_launch->constants[IDS_SLOT_BYTES] = (int64_t)tn_slot_layout_make(params->vocab_size, params->max_seq_len).row_bytes;
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_token_ids, tn_ceil_div(tokens, IDS_THREADS), 1, 1, IDS_THREADS, 0);
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_token_ids = {
    .name = "token_ids",
    .version = 1,
    .numerics = TN_NUMERICS_EXACT,
    .op = TN_OP_TOKEN_IDS,
    .supports = token_ids_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = token_ids_prepare,
};

/* --- GATHER ------------------------------------------------------------------------------------------------------------------- */

enum { GATHER_ROWS, GATHER_COLUMNS, GATHER_INDEX_IS_64, GATHER_THREADS = 256, FEW_ROWS_THREADS = 1024 };

/* The kernel that reads rows of this operand, and the layout it reads; false: none does. */
static bool find_gather_kernel(const tn_operand *data, tn_cuda_kernel *out_kernel, const char **out_layout) {
    static const tn_cuda_kernel of_planes[] = {TN_CUDA_KERNEL_gather_rows_q4_0, TN_CUDA_KERNEL_gather_rows_q4_1,
                                               TN_CUDA_KERNEL_gather_rows_q8_0};
    static const struct {
        uint32_t gguf_type;
        tn_cuda_kernel kernel;
    } of_blocks[] = {
        {TN_GGUF_Q5_0, TN_CUDA_KERNEL_gather_rows_q5_0},     {TN_GGUF_Q5_1, TN_CUDA_KERNEL_gather_rows_q5_1},
        {TN_GGUF_Q2_K, TN_CUDA_KERNEL_gather_rows_q2_k},     {TN_GGUF_Q3_K, TN_CUDA_KERNEL_gather_rows_q3_k},
        {TN_GGUF_Q4_K, TN_CUDA_KERNEL_gather_rows_q4_k},     {TN_GGUF_Q5_K, TN_CUDA_KERNEL_gather_rows_q5_k},
        {TN_GGUF_Q6_K, TN_CUDA_KERNEL_gather_rows_q6_k},     {TN_GGUF_IQ4_NL, TN_CUDA_KERNEL_gather_rows_iq4_nl},
        {TN_GGUF_IQ4_XS, TN_CUDA_KERNEL_gather_rows_iq4_xs}, {TN_GGUF_MXFP4, TN_CUDA_KERNEL_gather_rows_mxfp4},
    };
    bool is_weight = data->role == TN_ROLE_WEIGHT;
    tn_planes_type type;
    *out_layout = TN_LAYOUT_PLAIN;
    if (is_weight && tn_planes_type_of(&data->encoding, &type)) {
        *out_kernel = of_planes[type];
        *out_layout = tn_planes_layout_name(type);
        return true;
    }
    for (size_t i = 0; is_weight && data->encoding.kind == TN_ENCODING_GGUF && i < sizeof of_blocks / sizeof *of_blocks; i++) {
        if (of_blocks[i].gguf_type != data->encoding.gguf_type) continue;
        *out_kernel = of_blocks[i].kernel;
        return true;
    }
    if (is_weight && data->encoding.kind != TN_ENCODING_PLAIN) return false;
    switch (is_weight ? data->encoding.storage : data->dtype) {
    case TN_FLOAT32: *out_kernel = TN_CUDA_KERNEL_gather_rows_f32; return true;
    case TN_BFLOAT16: *out_kernel = TN_CUDA_KERNEL_gather_rows_bf16; return true;
    case TN_FLOAT16: *out_kernel = TN_CUDA_KERNEL_gather_rows_f16; return true;
    default: return false;
    }
}

static bool gather_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_gather_params *params = problem->params;
    const tn_operand *data = &problem->operands[0], *indices = &problem->operands[1];
    tn_cuda_kernel kernel;
    const char *layout;
    if (params->mode != TN_GATHER_DEFAULT || params->axis != 0 || data->rank != 2)
        return tn_refuse(reason, reason_size, "rows of a matrix only");
    if (problem->operands[2].dtype != TN_FLOAT32 || (data->role == TN_ROLE_WEIGHT && data->dtype != TN_FLOAT32))
        return tn_refuse(reason, reason_size, "float32 output only");
    if (data->role != TN_ROLE_WEIGHT && data->dtype != TN_FLOAT32) return tn_refuse(reason, reason_size, "float32 data only");
    if (indices->dtype != TN_INT32 && indices->dtype != TN_INT64) return tn_refuse(reason, reason_size, "int32 and int64 indices only");
    if (data->role == TN_ROLE_WEIGHT && indices->dtype != TN_INT32)
        return tn_refuse(reason, reason_size, "int32 indices into weights only");
    if (!find_gather_kernel(data, &kernel, &layout))
        return tn_refuse(reason, reason_size, "weights of float32, float16, bfloat16 and GGUF's types only");
    if (data->layout != NULL && strcmp(data->layout, layout) != 0)
        return tn_refuse(reason, reason_size, "reads layout %s, not %s", layout, data->layout);
    return tn_check_complete(problem, 0, false, reason, reason_size);
}

static tn_status gather_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_operand *data = &problem->operands[0], *indices = &problem->operands[1];
    tn_cuda_kernel kernel;
    const char *layout;
    *out_launch = (tn_launch){0};
    if (!find_gather_kernel(data, &kernel, &layout)) return TN_INTERNAL;
    out_launch->constants[GATHER_ROWS] = tn_operand_dim(data, 0, symbols);
    out_launch->constants[GATHER_COLUMNS] = tn_operand_dim(data, 1, symbols);
    out_launch->constants[GATHER_INDEX_IS_64] = indices->dtype == TN_INT64;
    int64_t count = tn_operand_rows(indices, symbols) * tn_operand_columns(indices, symbols);
    bool is_few = count < device->num_workers && out_launch->constants[GATHER_COLUMNS] > GATHER_THREADS;
    tn_cuda_launch_add(out_launch, kernel, count, 1, 1, is_few ? FEW_ROWS_THREADS : GATHER_THREADS, 0);
    return TN_OK;
}

static const char *const gather_layouts[] = {TN_LAYOUT_PLAIN, "planes_q4_0", "planes_q4_1", "planes_q8_0", NULL};

const tn_tactic tn_cuda_tactic_gather = {
    .name = "gather_rows",
    .version = 1,
    .numerics = TN_NUMERICS_EXACT,
    .op = TN_OP_GATHER,
    .layouts = gather_layouts,
    .supports = gather_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = gather_prepare,
};

/* --- ROTARY_TABLE --------------------------------------------------------------------------------------------------------------- */

enum { TABLE_NUM_ANGLES, TABLE_HALF, TABLE_SCALE, TABLE_THREADS = 128 };

static bool table_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    if (problem->operands[0].dtype != TN_INT32) return tn_refuse(reason, reason_size, "int32 positions only");
    if (problem->operands[2].dtype != TN_FLOAT32) return tn_refuse(reason, reason_size, "a float32 table only");
    return tn_check_complete(problem, 0, false, reason, reason_size) && tn_check_plain_f32(problem, 1, reason, reason_size);
}

static tn_status table_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    const tn_rotary_table_params *params = problem->params;
    *out_launch = (tn_launch){0};
    int64_t half = tn_operand_columns(&problem->operands[1], symbols), angles = tn_operand_dim(&problem->operands[0], 0, symbols) * half;
    out_launch->constants[TABLE_NUM_ANGLES] = angles;
    out_launch->constants[TABLE_HALF] = half;
    tn_cuda_set_real(out_launch, TABLE_SCALE, params->scale);
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_rotary_table, tn_ceil_div(angles, TABLE_THREADS), 1, 1, TABLE_THREADS, 0);
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_rotary_table = {
    .name = "rotary_table",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_ROTARY_TABLE,
    .supports = table_supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .prepare = table_prepare,
};
