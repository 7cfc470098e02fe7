/* SPDX-License-Identifier: Apache-2.0
 *
 * values.c: IDENTITY (also of SQUEEZE and UNSQUEEZE), CAST, SHAPE, FILL, ASSERTION.
 */
#include <math.h>

#include "backend/ref/ref.h"
#include "op/philox.h"

tn_status tn_ref_identity(const tn_ref_call *call) {
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    for (int64_t i = 0; i < y.count; i++) tn_ref_copy(&y, i, &x, i);
    return TN_OK;
}

tn_status tn_ref_cast(const tn_ref_call *call) {
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    bool from_integer = tn_ref_is_integer(x.dtype), to_integer = tn_dtype_get_info(y.dtype)->is_integer;
    for (int64_t i = 0; i < y.count; i++) {
        if (x.dtype == y.dtype)
            tn_ref_copy(&y, i, &x, i);
        else if (y.dtype == TN_BOOL)
            tn_ref_store(&y, i, from_integer ? tn_ref_load_int(&x, i) != 0 : tn_ref_load(&x, i) != 0.0);
        else if (from_integer)
            tn_ref_store_int(&y, i, tn_ref_load_int(&x, i));
        else
            tn_ref_store(&y, i, to_integer ? trunc(tn_ref_load(&x, i)) : tn_ref_load(&x, i));
    }
    return TN_OK;
}

tn_status tn_ref_shape(const tn_ref_call *call) {
    const tn_operand *x = &call->problem->operands[0];
    tn_ref_view y = tn_ref_output(call, 0);
    for (int i = 0; i < x->rank; i++) tn_ref_store_int(&y, i, tn_operand_dim(x, i, call->symbols));
    return TN_OK;
}

/* alpha + Σ beta[axis] · index[axis]; a scalar beta goes along the last axis. */
static void fill_linspace(const tn_ref_view *alpha, const tn_ref_view *beta, const tn_ref_view *y) {
    bool is_integer = tn_ref_is_integer(y->dtype);
    for (int64_t i = 0; i < y->count; i++) {
        double sum = is_integer ? 0.0 : tn_ref_load(alpha, 0);
        uint64_t exact = is_integer ? (uint64_t)tn_ref_load_int(alpha, 0) : 0;
        int64_t rest = i;
        for (int axis = y->rank - 1; axis >= 0; axis--) {
            int64_t index = rest % y->dims[axis], from = beta->rank == 0 ? 0 : axis;
            rest /= y->dims[axis];
            if (beta->rank == 0 && axis != y->rank - 1) continue;
            if (is_integer)
                exact += (uint64_t)tn_ref_load_int(beta, from) * (uint64_t)index;
            else
                sum += tn_ref_load(beta, from) * (double)index;
        }
        if (is_integer)
            tn_ref_store_int(y, i, (int64_t)exact);
        else
            tn_ref_store(y, i, sum);
    }
}

tn_status tn_ref_fill(const tn_ref_call *call) {
    const tn_fill_params *params = call->problem->params;
    tn_ref_view alpha = tn_ref_input(call, 1), beta = tn_ref_input(call, 2), y = tn_ref_output(call, 0);
    if (params->op == TN_FILL_LINSPACE) {
        fill_linspace(&alpha, &beta, &y);
        return TN_OK;
    }
    double first = tn_ref_load(&alpha, 0), second = tn_ref_load(&beta, 0);
    for (int64_t i = 0; i < y.count; i++) {
        if (params->op == TN_FILL_RANDOM_NORMAL)
            tn_ref_store(&y, i, first + second * tn_philox_normal((uint64_t)params->seed, (uint64_t)i));
        else
            tn_ref_store(&y, i, first + (second - first) * tn_philox_uniform((uint64_t)params->seed, (uint64_t)i, 0));
    }
    return TN_OK;
}

tn_status tn_ref_assert(const tn_ref_call *call) {
    const tn_assertion_params *params = call->problem->params;
    tn_ref_view condition = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    for (int64_t i = 0; i < y.count; i++) {
        if (tn_ref_load_int(&condition, i) == 0) return tn_fail(call->diag, TN_INVALID_DATA, "assertion failed: %s", params->message.text);
        tn_ref_copy(&y, i, &condition, i);
    }
    return TN_OK;
}
