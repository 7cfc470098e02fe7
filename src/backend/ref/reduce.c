/* SPDX-License-Identifier: Apache-2.0
 *
 * reduce.c: REDUCE over any set of axes, SOFTMAX along one.
 */
#include <math.h>

#include "backend/ref/ref.h"

/* Walks the reduced axes of one output element: `inner` counts in row-major order over them. */
typedef struct reduction {
    int64_t num_inner;
    int64_t outer_strides[TN_MAX_RANK]; /* by output dimension, in input elements */
    tn_ref_view inner_shape;            /* the reduced dimensions as a shape */
    int64_t inner_strides[TN_MAX_RANK];
} reduction;

static reduction plan_reduction(const tn_ref_view *x, int64_t axes, bool keep_dims) {
    reduction plan = {.num_inner = 1};
    int64_t strides[TN_MAX_RANK], stride = 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= x->dims[i];
    }
    int outer = 0;
    for (int i = 0; i < x->rank; i++) {
        if ((axes >> i & 1) == 0) {
            plan.outer_strides[outer++] = strides[i];
            continue;
        }
        if (keep_dims) plan.outer_strides[outer++] = 0;
        plan.inner_strides[plan.inner_shape.rank] = strides[i];
        plan.inner_shape.dims[plan.inner_shape.rank++] = x->dims[i];
        plan.num_inner *= x->dims[i];
    }
    return plan;
}

static double reduce_floats(tn_reduce_op op, const tn_ref_view *x, const reduction *plan, int64_t base) {
    double result = op == TN_REDUCE_PROD ? 1.0 : op == TN_REDUCE_MAX ? -INFINITY : op == TN_REDUCE_MIN ? INFINITY : 0.0;
    for (int64_t i = 0; i < plan->num_inner; i++) {
        double value = tn_ref_load(x, base + tn_ref_offset(&plan->inner_shape, i, plan->inner_strides));
        switch (op) {
        case TN_REDUCE_PROD: result *= value; break;
        case TN_REDUCE_MAX: result = isnan(result) || result > value ? result : value; break;
        case TN_REDUCE_MIN: result = isnan(result) || result < value ? result : value; break;
        default: result += value; break;
        }
    }
    return op == TN_REDUCE_AVG ? result / (double)plan->num_inner : result;
}

static int64_t reduce_ints(tn_reduce_op op, const tn_ref_view *x, const reduction *plan, int64_t base) {
    int64_t result = op == TN_REDUCE_PROD ? 1 : op == TN_REDUCE_MAX ? INT64_MIN : op == TN_REDUCE_MIN ? INT64_MAX : 0;
    for (int64_t i = 0; i < plan->num_inner; i++) {
        int64_t value = tn_ref_load_int(x, base + tn_ref_offset(&plan->inner_shape, i, plan->inner_strides));
        switch (op) {
        case TN_REDUCE_PROD: result = (int64_t)((uint64_t)result * (uint64_t)value); break;
        case TN_REDUCE_MAX: result = result > value ? result : value; break;
        case TN_REDUCE_MIN: result = result < value ? result : value; break;
        default: result = (int64_t)((uint64_t)result + (uint64_t)value); break;
        }
    }
    return op == TN_REDUCE_AVG && plan->num_inner > 0 ? result / plan->num_inner : result;
}

tn_status tn_ref_reduce(const tn_ref_call *call) {
    const tn_reduce_params *params = call->problem->params;
    tn_reduce_op op = (tn_reduce_op)params->op;
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    reduction plan = plan_reduction(&x, params->axes, params->keep_dims);
    for (int64_t i = 0; i < y.count; i++) {
        int64_t base = tn_ref_offset(&y, i, plan.outer_strides);
        if (tn_ref_is_integer(x.dtype))
            tn_ref_store_int(&y, i, reduce_ints(op, &x, &plan, base));
        else
            tn_ref_store(&y, i, reduce_floats(op, &x, &plan, base));
    }
    return TN_OK;
}

tn_status tn_ref_softmax(const tn_ref_call *call) {
    const tn_softmax_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    int64_t length = x.dims[params->axis], stride = 1;
    for (int i = x.rank - 1; i > params->axis; i--) stride *= x.dims[i];
    for (int64_t outer = 0; length > 0 && outer < x.count / length; outer++) {
        int64_t base = outer / stride * stride * length + outer % stride;
        double largest = -INFINITY, sum = 0.0;
        for (int64_t i = 0; i < length; i++) largest = fmax(largest, tn_ref_load(&x, base + i * stride));
        for (int64_t i = 0; i < length; i++) sum += exp(tn_ref_load(&x, base + i * stride) - largest);
        for (int64_t i = 0; i < length; i++) tn_ref_store(&y, base + i * stride, exp(tn_ref_load(&x, base + i * stride) - largest) / sum);
    }
    return TN_OK;
}
