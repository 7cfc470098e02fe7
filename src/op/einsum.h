/* SPDX-License-Identifier: Apache-2.0
 *
 * einsum.h: the equation of EINSUM: the sum over all labels that the output lacks of the product of the inputs.
 *
 * In a layer it has one letter a dimension and its output, "ab,bc->ac". What users write may also have blanks, an ellipsis (the
 * dimensions that the letters leave, aligned at the end; upper-case letters in the layer) and no output (the ellipsis, then
 * every letter that stands once, in order of the alphabet). A letter twice in one input takes the diagonal; a dimension of 1
 * broadcasts.
 */
#ifndef TN_OP_EINSUM_H_
#define TN_OP_EINSUM_H_

#include "op/op.h"

enum { TN_EINSUM_MAX_INPUTS = 4, TN_EINSUM_NUM_LABELS = 64 };

typedef struct tn_einsum {
    int num_inputs;
    int rank[TN_EINSUM_MAX_INPUTS + 1];                    /* the last one: the output */
    uint8_t labels[TN_EINSUM_MAX_INPUTS + 1][TN_MAX_RANK]; /* < NUM_LABELS */
} tn_einsum;
#define TN_EINSUM_OUTPUT TN_EINSUM_MAX_INPUTS

/* The equation of a layer. False: it is none; every label of the output stands in an input, once in the output. */
bool tn_einsum_read(const tn_label *equation, tn_einsum *out);
/* What a user wrote, for inputs of these ranks, as a layer has it. False with `reason` (static) if it cannot be. */
bool tn_einsum_complete(const char *equation, const int *ranks, int num_inputs, tn_label *out, const char **out_reason);

/* The size of every label that stands in an input, 1 for others; shapes[i]: dims of input i. False: two sizes differ and neither is 1. */
bool tn_einsum_sizes(const tn_einsum *einsum, const int64_t (*shapes)[TN_MAX_RANK], int64_t sizes[TN_EINSUM_NUM_LABELS]);

#endif
