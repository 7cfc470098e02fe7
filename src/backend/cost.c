/* SPDX-License-Identifier: Apache-2.0
 *
 * cost.c: see cost.h.
 */
#include "backend/cost.h"

#include "op/encoding.h"

static double operand_bytes(const tn_operand *operand, const int64_t *symbols) {
    size_t total = 0, bytes = 0;
    if (operand->absent || operand->role == TN_ROLE_STATE) return 0.0;
    if (operand->role != TN_ROLE_WEIGHT) return tn_operand_bytes(operand, symbols, &bytes) ? (double)bytes : 0.0;
    int64_t rows = tn_operand_rows(operand, symbols), columns = tn_operand_columns(operand, symbols);
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
        if (tn_encoding_part_bytes(&operand->encoding, (tn_weight_part)part, rows, columns, &bytes)) total += bytes;
    return (double)total;
}

tn_cost tn_problem_cost(const tn_problem *problem, const int64_t *symbols) {
    const tn_operand *operands = problem->operands;
    tn_cost cost = {0};
    double largest = 0.0;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        double bytes = operand_bytes(&operands[i], symbols);
        cost.bytes += bytes;
        largest = bytes > largest ? bytes : largest;
    }
    cost.flops = largest;
    if (problem->op == TN_OP_MATRIX_MULTIPLY || problem->op == TN_OP_GROUPED_MATMUL) {
        const tn_operand *a = &operands[0], *weight = &operands[1];
        double rows = (double)tn_operand_rows(a, symbols), columns = (double)tn_operand_columns(a, symbols);
        double outputs =
            columns > 0.0 ? (double)tn_operand_rows(weight, symbols) * (double)tn_operand_columns(weight, symbols) / columns : 0.0;
        if (problem->op == TN_OP_GROUPED_MATMUL && weight->rank > 0) outputs /= (double)symbols[weight->dims[0]];
        cost.flops = 2.0 * rows * columns * outputs;
    } else if (problem->op == TN_OP_ATTENTION) {
        const tn_attention_params *params = problem->params;
        double positions = (double)tn_operand_columns(&operands[4], symbols) * (double)params->tokens_per_block;
        double per_position = 2.0 * (double)(params->num_heads * (params->k_dim + params->v_dim));
        cost.flops = (double)tn_operand_rows(&operands[0], symbols) * positions * per_position;
    }
    return cost;
}

double tn_cost_us(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, double fixed_us) {
    tn_cost cost = tn_problem_cost(problem, symbols);
    double memory_us = device->read_bytes_per_us > 0.0 ? cost.bytes / device->read_bytes_per_us : 0.0;
    double compute_us = device->flops_per_us > 0.0 ? cost.flops / device->flops_per_us : 0.0;
    return fixed_us + (memory_us > compute_us ? memory_us : compute_us);
}
