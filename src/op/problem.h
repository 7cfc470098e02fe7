/* SPDX-License-Identifier: Apache-2.0
 *
 * problem.h: one step's computation, stated so that a tactic can accept, refuse, estimate and prepare it without knowing
 * the network. The canonical text form is the timing cache's key and stands in the plan.
 */
#ifndef TN_OP_PROBLEM_H_
#define TN_OP_PROBLEM_H_

#include "op/encoding.h"
#include "op/op.h"
#include "op/symbol.h"

/* What happens to an output before it is stored, in list order. Passes make them (fuse_*). */
typedef enum tn_epilogue_kind {
    TN_EPILOGUE_NONE = 0,
    TN_EPILOGUE_BIAS,       /* y += operand f32 [n]; in GROUPED_MATMUL also [E, n], the row of the expert */
    TN_EPILOGUE_ACTIVATION, /* y = activation(y) */
    /* The weight's rows alternate in strips of 16: strip 2i gate, strip 2i+1 up. y[.., n/2] = activation(gate) · up */
    TN_EPILOGUE_GATED_ACTIVATION,
    TN_EPILOGUE_ADD,      /* y += operand f32 [.., n] (a residual) */
    TN_EPILOGUE_SCALE,    /* y *= value */
    TN_EPILOGUE_SOFT_CAP, /* y = value · tanh(y / value) */
    TN_EPILOGUE_QUANTIZE, /* stored as `dtype` (op/quantized_rows.h); always last */
    TN_NUM_EPILOGUE_KINDS
} tn_epilogue_kind;
const char *tn_epilogue_kind_name(tn_epilogue_kind kind); /* "bias", "gated_activation" … */

typedef struct tn_epilogue {
    tn_epilogue_kind kind;
    tn_activation_type activation;
    int32_t operand; /* index among the problem's inputs; −1: none */
    tn_dtype dtype;
    double value;
} tn_epilogue;
#define TN_MAX_EPILOGUES 4

typedef enum tn_operand_role { TN_ROLE_INPUT = 0, TN_ROLE_WEIGHT, TN_ROLE_STATE, TN_ROLE_OUTPUT } tn_operand_role;
typedef enum tn_place { TN_PLACE_DEVICE = 0, TN_PLACE_HOST } tn_place;

typedef struct tn_operand {
    tn_dtype dtype; /* of an encoded weight: what it decodes to */
    uint8_t role;   /* tn_operand_role */
    uint8_t place;  /* tn_place */
    uint8_t rank;
    bool absent; /* an optional input that is not given; its buffer is NULL */
    tn_sym dims[TN_MAX_RANK];
    tn_encoding encoding; /* WEIGHT: its form in the source */
    const char *layout;   /* WEIGHT: name of the physical form in memory; NULL while none is chosen. "plain" = the encoding's own */
} tn_operand;

typedef struct tn_compute {
    tn_dtype accumulator; /* NONE: the tactic's own */
    bool tf32, strict_nans;
    bool batch_invariant; /* a row's bits must not depend on the other rows, their number, tiles or threads */
} tn_compute;

/* Inputs in the op's order (epilogue operands after them), then outputs. A state that is updated stands as input (STATE)
 * and as output (STATE) with the same buffer. */
typedef struct tn_problem {
    tn_op_kind op;
    const void *params; /* the op's parameter struct */
    const tn_epilogue *epilogues;
    uint32_t num_epilogues;
    const tn_operand *operands;
    uint32_t num_operands, num_inputs; /* outputs: operands[num_inputs .. num_operands) */
    tn_compute compute;
} tn_problem;

/* One line: "matrix_multiply{op_b=transpose} float32[s3,576] q4_1:strip16_q4_1[1536,576] -> q15_32[s3,768] |gated_activation(silu),quantize(q15_32)".
 * Symbols print as s<id>, constants as numbers; `symbols` may be NULL (then all as s<id>). Appends to out. */
struct tn_text;
void tn_problem_print(const tn_problem *problem, const tn_sym_node *nodes, size_t num_nodes, struct tn_text *out);

/* Helpers for tactics and kernels; values = the function's symbols. */
static inline int64_t tn_operand_dim(const tn_operand *operand, int axis, const int64_t *values) {
    return values[operand->dims[axis]];
}
int64_t tn_operand_rows(const tn_operand *operand, const int64_t *values);    /* product of all but the last dimension */
int64_t tn_operand_columns(const tn_operand *operand, const int64_t *values); /* the last; 1 for a scalar */
/* Bytes of the operand's buffer at these values, padded to 64; false on overflow. Weights: use the layout. */
bool tn_operand_bytes(const tn_operand *operand, const int64_t *values, size_t *out_bytes);

#endif
