/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.c: the tactic of SAMPLE: blocks survey parts of rows, then a block a row.
 */
#include "backend/checks.h"
#include "backend/cuda/cuda.h"
#include "base/checked.h"
#include "op/slot.h"

/* constants, as in kernels/sample.cu */
enum { VOCAB, SLOT_BYTES, HISTORY_OFFSET, COUNTS_OFFSET, BIAS_OFFSET, MAX_SEQ_LEN, COLUMNS, HAS_MASK, OUTPUT, ROWS };
enum { THREADS = 1024, PART = 4096, PART_THREADS = 256, PART_BYTES = 12 /* of its survey */ };

static bool supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    static const tn_dtype outputs[3] = {TN_INT32, TN_INT32, TN_FLOAT32};
    if (!tn_check_complete(problem, 1u << 4, false, reason, reason_size) || !tn_check_plain_f32(problem, 0, reason, reason_size))
        return false;
    for (uint32_t i = 1; i < 3; i++)
        if (problem->operands[i].dtype != TN_INT32) return tn_refuse(reason, reason_size, "int32 slots and positions only");
    if (problem->num_inputs > 4 && !problem->operands[4].absent && problem->operands[4].dtype != TN_UINT32)
        return tn_refuse(reason, reason_size, "a uint32 token mask only");
    for (uint32_t i = 0; i < 3; i++)
        if (problem->operands[problem->num_inputs + i].dtype != outputs[i])
            return tn_refuse(reason, reason_size, "output %u must be %s", i, tn_dtype_name(outputs[i]));
    return true;
}

static size_t workspace_bytes(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols) {
    (void)device;
    const tn_operand *logits = &problem->operands[0];
    int64_t rows = tn_operand_rows(logits, symbols), vocab = tn_operand_columns(logits, symbols);
    return (size_t)(rows * vocab) * sizeof(float) + (size_t)(rows * tn_ceil_div(vocab, PART)) * PART_BYTES;
}

static tn_status prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    const tn_sample_params *params = problem->params;
    tn_slot_layout layout = tn_slot_layout_make(params->vocab_size, params->max_seq_len);
    *out_launch = (tn_launch){0};
    int64_t *constants = out_launch->constants;
    constants[VOCAB] = tn_operand_columns(&problem->operands[0], symbols);
    constants[SLOT_BYTES] = (int64_t)layout.row_bytes;
    constants[HISTORY_OFFSET] = (int64_t)layout.history_offset;
    constants[COUNTS_OFFSET] = (int64_t)layout.counts_offset;
    constants[BIAS_OFFSET] = (int64_t)layout.bias_offset;
    constants[MAX_SEQ_LEN] = params->max_seq_len;
    constants[COLUMNS] = params->max_log_probs + 1;
    constants[HAS_MASK] = problem->num_inputs > 4 && !problem->operands[4].absent;
    constants[OUTPUT] = problem->num_inputs;
    out_launch->workspace_bytes = workspace_bytes(device, problem, symbols);
    int64_t rows = tn_operand_rows(&problem->operands[0], symbols);
    constants[ROWS] = rows;
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_survey_rows, tn_ceil_div(constants[VOCAB], PART), rows, 1, PART_THREADS, 0);
    tn_cuda_launch_add(out_launch, TN_CUDA_KERNEL_sample_rows, rows, 1, 1, THREADS, 0);
    return TN_OK;
}

const tn_tactic tn_cuda_tactic_sample = {
    .name = "sample_rows",
    .version = 1,
    .numerics = TN_NUMERICS_F32_CUDA,
    .op = TN_OP_SAMPLE,
    .supports = supports,
    .estimate_us = tn_cuda_estimate_operands_us,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
};
