/* SPDX-License-Identifier: Apache-2.0
 *
 * axes.h: how layers that gather values along axes walk a tensor: over what is kept, and for each of that over the axes. Built
 * alike by tactics/axes.c and by the kernels.
 */
#ifndef TN_BACKEND_CPU_AXES_H_
#define TN_BACKEND_CPU_AXES_H_

#include "backend/cpu/tensor.h"

typedef struct axes_plan {
    nest kept, inner; /* operand 0: x, then the weights that were added */
    bool is_across;   /* the kept elements lie together, those of the axes do not: sixteen of them side by side */
    int64_t num_kept, num_inner;
} axes_plan;

/* axes: bit mask of x's dimensions. groups > 1: dimension 1 is kept by groups and walked inside a group; num_weights of `weights`
 * broadcast to x (a channel of them may stand for a group). */
axes_plan tn_cpu_axes_plan(const tensor *x, int64_t axes, int64_t groups, const tensor *weights, int num_weights);

/* Offset of element `index`, row-major over the nest, in an operand. */
static inline int64_t nest_offset(const nest *n, int64_t index, int operand) {
    int64_t offset = 0;
    for (int i = n->rank - 1; i >= 0; i--) {
        offset += index % n->dims[i] * n->strides[operand][i];
        index /= n->dims[i];
    }
    return offset;
}

#endif
