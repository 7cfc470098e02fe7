/* SPDX-License-Identifier: Apache-2.0
 *
 * ordering.c: what walks along one axis or places by index: TOPK, CUMULATIVE, RAGGED_SOFTMAX, REVERSE_SEQUENCE, ONE_HOT, SCATTER.
 */
#include <math.h>

#include "backend/ref/ref.h"

/* One axis of a shape: element i of line l stands at base(l) + i · stride. */
typedef struct lines {
    int64_t length, stride, count;
} lines;

static lines lines_of(const tn_ref_view *view, int64_t axis) {
    lines l = {.length = view->dims[axis], .stride = 1, .count = 1};
    for (int i = 0; i < view->rank; i++) {
        if (i > axis) l.stride *= view->dims[i];
        if (i != axis) l.count *= view->dims[i];
    }
    return l;
}

static int64_t line_base(const lines *l, int64_t line) {
    return line / l->stride * l->stride * l->length + line % l->stride;
}

/* --- TOPK ------------------------------------------------------------------------------------------------------------------- */

/* −1: a stands before b in descending order; NaN is the largest, equal values are equal. */
static int compare_down(const tn_ref_view *x, int64_t a, int64_t b) {
    if (tn_ref_is_integer(x->dtype)) {
        int64_t left = tn_ref_load_int(x, a), right = tn_ref_load_int(x, b);
        return left > right ? -1 : left < right;
    }
    double left = tn_ref_load(x, a), right = tn_ref_load(x, b);
    if (isnan(left) || isnan(right)) return isnan(right) - isnan(left);
    return left > right ? -1 : left < right;
}

static bool stands_before(const tn_ref_view *x, tn_topk_op op, int64_t a, int64_t b) {
    int order = compare_down(x, a, b);
    if (op == TN_TOPK_MIN) order = -order;
    return order < 0 || (order == 0 && a < b);
}

/* One after another: the first in order of those that stand behind the last one taken. */
tn_status tn_ref_topk(const tn_ref_call *call) {
    const tn_topk_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0), indices = tn_ref_output(call, 1);
    tn_topk_op op = (tn_topk_op)params->op;
    lines from = lines_of(&x, params->axis), to = lines_of(&y, params->axis);
    for (int64_t line = 0; line < from.count; line++) {
        int64_t base = line_base(&from, line), last = -1;
        for (int64_t k = 0; k < to.length; k++) {
            int64_t best = -1;
            for (int64_t i = 0; i < from.length; i++) {
                int64_t at = base + i * from.stride;
                bool is_left = last < 0 || stands_before(&x, op, last, at);
                if (is_left && (best < 0 || stands_before(&x, op, at, best))) best = at;
            }
            int64_t place = line_base(&to, line) + k * to.stride;
            tn_ref_copy(&y, place, &x, best);
            tn_ref_store_int(&indices, place, (best - base) / from.stride);
            last = best;
        }
    }
    return TN_OK;
}

/* --- along an axis -------------------------------------------------------------------------------------------------------------- */

tn_status tn_ref_cumulate(const tn_ref_call *call) {
    const tn_cumulative_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    bool is_integer = tn_ref_is_integer(x.dtype);
    lines l = lines_of(&x, params->axis);
    for (int64_t line = 0; line < l.count; line++) {
        double sum = 0.0;
        uint64_t exact = 0;
        for (int64_t i = 0; i < l.length; i++) {
            int64_t at = line_base(&l, line) + (params->reverse ? l.length - 1 - i : i) * l.stride;
            double value = is_integer ? 0.0 : tn_ref_load(&x, at);
            uint64_t exact_value = is_integer ? (uint64_t)tn_ref_load_int(&x, at) : 0;
            if (!params->exclusive) sum += value, exact += exact_value;
            if (is_integer)
                tn_ref_store_int(&y, at, (int64_t)exact);
            else
                tn_ref_store(&y, at, sum);
            if (params->exclusive) sum += value, exact += exact_value;
        }
    }
    return TN_OK;
}

tn_status tn_ref_ragged_softmax(const tn_ref_call *call) {
    tn_ref_view x = tn_ref_input(call, 0), bounds = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    for (int64_t row = 0; row < y.rows; row++) {
        int64_t bound = tn_ref_load_int(&bounds, row), base = row * x.columns;
        int64_t length = bound < 0 ? 0 : bound < x.columns ? bound : x.columns;
        double largest = -INFINITY, sum = 0.0;
        for (int64_t i = 0; i < length; i++) largest = fmax(largest, tn_ref_load(&x, base + i));
        for (int64_t i = 0; i < length; i++) sum += exp(tn_ref_load(&x, base + i) - largest);
        for (int64_t i = 0; i < x.columns; i++)
            tn_ref_store(&y, base + i, i < length ? exp(tn_ref_load(&x, base + i) - largest) / sum : 0.0);
    }
    return TN_OK;
}

static int64_t coordinate(const tn_ref_view *view, int64_t index, int64_t axis) {
    for (int i = view->rank - 1; i > axis; i--) index /= view->dims[i];
    return index % view->dims[axis];
}

tn_status tn_ref_reverse_sequence(const tn_ref_call *call) {
    const tn_reverse_sequence_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), lengths = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    lines l = lines_of(&x, params->sequence_axis);
    for (int64_t i = 0; i < y.count; i++) {
        int64_t length = tn_ref_load_int(&lengths, coordinate(&x, i, params->batch_axis)), at = coordinate(&x, i, params->sequence_axis);
        if (length > l.length) length = l.length;
        tn_ref_copy(&y, i, &x, at < length ? i + (length - 1 - 2 * at) * l.stride : i);
    }
    return TN_OK;
}

/* --- by index ------------------------------------------------------------------------------------------------------------------- */

tn_status tn_ref_one_hot(const tn_ref_call *call) {
    const tn_one_hot_params *params = call->problem->params;
    tn_ref_view indices = tn_ref_input(call, 0), values = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    lines l = lines_of(&y, params->axis);
    for (int64_t line = 0; line < l.count; line++) {
        int64_t index = tn_ref_load_int(&indices, line);
        if (index < 0) index += l.length;
        for (int64_t i = 0; i < l.length; i++) tn_ref_copy(&y, line_base(&l, line) + i * l.stride, &values, i == index);
    }
    return TN_OK;
}

static void scatter_elements(const tn_ref_view *indices, const tn_ref_view *updates, const tn_ref_view *y, int64_t axis) {
    for (int64_t i = 0; i < indices->count; i++) {
        int64_t index = tn_ref_load_int(indices, i), at = 0, rest = i, stride = 1;
        bool inside = index >= 0 && index < y->dims[axis];
        for (int d = y->rank - 1; d >= 0; d--) {
            int64_t place = d == axis ? index : rest % indices->dims[d];
            rest /= indices->dims[d];
            at += place * stride;
            stride *= y->dims[d];
        }
        if (inside) tn_ref_copy(y, at, updates, i);
    }
}

static void scatter_nd(const tn_ref_view *indices, const tn_ref_view *updates, const tn_ref_view *y) {
    int64_t depth = indices->columns, inner = 1;
    for (int64_t i = depth; i < y->rank; i++) inner *= y->dims[i];
    for (int64_t row = 0; row < indices->rows; row++) {
        int64_t at = 0;
        bool inside = true;
        for (int64_t d = 0; d < depth; d++) {
            int64_t index = tn_ref_load_int(indices, row * depth + d);
            inside = inside && index >= 0 && index < y->dims[d];
            if (inside) at = at * y->dims[d] + index;
        }
        for (int64_t i = 0; i < inner && inside; i++) tn_ref_copy(y, at * inner + i, updates, row * inner + i);
    }
}

tn_status tn_ref_scatter(const tn_ref_call *call) {
    const tn_scatter_params *params = call->problem->params;
    tn_ref_view data = tn_ref_input(call, 0), indices = tn_ref_input(call, 1), updates = tn_ref_input(call, 2), y = tn_ref_output(call, 0);
    for (int64_t i = 0; i < y.count; i++) tn_ref_copy(&y, i, &data, i);
    if (params->mode == TN_SCATTER_ND)
        scatter_nd(&indices, &updates, &y);
    else
        scatter_elements(&indices, &updates, &y, params->axis);
    return TN_OK;
}
