/* SPDX-License-Identifier: Apache-2.0
 *
 * problem_builder.h: states a problem with its buffers in a few lines. For tests.
 *
 *     tn_problem_builder b;
 *     tn_build_begin(&b, TN_OP_ACTIVATION, &params);
 *     tn_build_input(&b, TN_FLOAT32, x, TN_DIMS(2, 3));
 *     tn_build_output(&b, TN_FLOAT32, y, TN_DIMS(2, 3));
 *     status = tn_ref_run(tn_build_problem(&b), b.buffers, b.symbols, diag);
 *
 * Inputs come before outputs. Every dimension gets a symbol of its own value. Nothing is allocated.
 */
#ifndef TN_BACKEND_CONFORMANCE_PROBLEM_BUILDER_H_
#define TN_BACKEND_CONFORMANCE_PROBLEM_BUILDER_H_

#include "op/problem.h"

#define TN_BUILD_MAX_OPERANDS 16
#define TN_BUILD_MAX_SYMBOLS  96

typedef struct tn_problem_builder {
    tn_problem problem;
    tn_operand operands[TN_BUILD_MAX_OPERANDS];
    tn_epilogue epilogues[TN_MAX_EPILOGUES];
    void *buffers[TN_BUILD_MAX_OPERANDS + 8]; /* room for the parts of encoded weights, and a workspace */
    uint32_t num_buffers;
    int64_t symbols[TN_BUILD_MAX_SYMBOLS];
    tn_sym_node nodes[TN_BUILD_MAX_SYMBOLS]; /* the same as constants, for tn_problem_print */
    uint32_t num_symbols;
} tn_problem_builder;

static inline void tn_build_begin(tn_problem_builder *b, tn_op_kind op, const void *params) {
    *b = (tn_problem_builder){.problem = {.op = op, .params = params}, .num_symbols = 1};
    b->symbols[0] = b->nodes[0].value = 1;
}

/* A problem whose dimensions are numbered behind those of another: its symbols are both's, as in a function. */
static inline void tn_build_begin_behind(tn_problem_builder *b, const tn_problem_builder *first, tn_op_kind op, const void *params) {
    tn_build_begin(b, op, params);
    for (uint32_t i = 0; i < first->num_symbols; i++) b->symbols[i] = first->symbols[i], b->nodes[i] = first->nodes[i];
    b->num_symbols = first->num_symbols;
}

static inline tn_operand *tn_build_operand(tn_problem_builder *b, tn_operand_role role, tn_dtype dtype, tn_dims dims) {
    tn_operand *operand = &b->operands[b->problem.num_operands++];
    *operand = (tn_operand){.dtype = dtype, .role = (uint8_t)role, .rank = (uint8_t)dims.rank};
    for (int i = 0; i < dims.rank; i++) {
        operand->dims[i] = b->num_symbols;
        b->nodes[b->num_symbols].value = dims.d[i];
        b->symbols[b->num_symbols++] = dims.d[i];
    }
    if (role != TN_ROLE_OUTPUT) b->problem.num_inputs = b->problem.num_operands;
    return operand;
}

/* The buffer is only written if the op writes to it; const data may be given. */
static inline void tn_build_add(tn_problem_builder *b, tn_operand_role role, tn_dtype dtype, const void *data, tn_dims dims) {
    (void)tn_build_operand(b, role, dtype, dims);
    b->buffers[b->num_buffers++] = (void *)(uintptr_t)data;
}
static inline void tn_build_input(tn_problem_builder *b, tn_dtype dtype, const void *data, tn_dims dims) {
    tn_build_add(b, TN_ROLE_INPUT, dtype, data, dims);
}
static inline void tn_build_output(tn_problem_builder *b, tn_dtype dtype, void *data, tn_dims dims) {
    tn_build_add(b, TN_ROLE_OUTPUT, dtype, data, dims);
}
/* A state that the op updates: once before the outputs, and again with is_output among them. */
static inline void tn_build_state(tn_problem_builder *b, void *data, bool is_output) {
    uint32_t num_inputs = b->problem.num_inputs;
    tn_build_add(b, TN_ROLE_STATE, TN_UINT8, data, TN_DIMS(1));
    if (is_output) b->problem.num_inputs = num_inputs;
}
static inline void tn_build_absent(tn_problem_builder *b) {
    tn_build_operand(b, TN_ROLE_INPUT, TN_DTYPE_NONE, TN_SCALAR)->absent = true;
    b->buffers[b->num_buffers++] = NULL;
}
static inline void tn_build_weight(tn_problem_builder *b, const tn_encoding *encoding, const tn_weight_parts *parts, tn_dims dims) {
    tn_operand *operand = tn_build_operand(b, TN_ROLE_WEIGHT, TN_FLOAT32, dims);
    operand->encoding = *encoding;
    operand->layout = "plain";
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
        if (tn_encoding_has_part(encoding, (tn_weight_part)part)) b->buffers[b->num_buffers++] = (void *)(uintptr_t)parts->part[part];
}
static inline void tn_build_epilogue(tn_problem_builder *b, tn_epilogue epilogue) {
    b->epilogues[b->problem.num_epilogues++] = epilogue;
}

static inline const tn_problem *tn_build_problem(tn_problem_builder *b) {
    b->problem.operands = b->operands;
    b->problem.epilogues = b->epilogues;
    return &b->problem;
}

#endif
