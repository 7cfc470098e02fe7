/* SPDX-License-Identifier: Apache-2.0
 *
 * values.c: IDENTITY, CAST, SHAPE, FILL.
 */
#include <math.h>

#include "backend/ref/ref.h"

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

tn_status tn_ref_fill(const tn_ref_call *call) {
    tn_ref_view alpha = tn_ref_input(call, 1), beta = tn_ref_input(call, 2), y = tn_ref_output(call, 0);
    for (int64_t i = 0; i < y.count; i++) {
        int64_t index = i % y.columns;
        if (tn_ref_is_integer(y.dtype)) {
            uint64_t value = (uint64_t)tn_ref_load_int(&alpha, 0) + (uint64_t)tn_ref_load_int(&beta, 0) * (uint64_t)index;
            tn_ref_store_int(&y, i, (int64_t)value);
        } else {
            tn_ref_store(&y, i, tn_ref_load(&alpha, 0) + tn_ref_load(&beta, 0) * (double)index);
        }
    }
    return TN_OK;
}
