/* SPDX-License-Identifier: Apache-2.0
 *
 * problem_check.c: the shapes that op_kinds.def states, as conditions.
 */
#include "runtime/problem_check.h"

#include "base/checked.h"
#include "op/einsum.h"
#include "op/window.h"

/* An operand with its dimensions; `is_given` false: absent, or behind the end of the list. */
typedef struct shape {
    bool is_given;
    tn_dtype dtype;
    bool is_encoded;
    int rank;
    int64_t dims[TN_MAX_RANK];
    int64_t count, rows, columns; /* −1 on overflow */
} shape;

typedef struct checked_problem {
    const tn_problem *problem;
    const tn_op_params *params;
    const int64_t *values;
} checked_problem;

static int64_t product(const int64_t *dims, int rank) {
    int64_t result = 1;
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0 || !tn_mul_i64(result, dims[i], &result)) return -1;
    return result;
}

static shape shape_of(const checked_problem *p, uint32_t index) {
    shape s = {.count = -1};
    if (index >= p->problem->num_operands || p->problem->operands[index].absent) return s;
    const tn_operand *operand = &p->problem->operands[index];
    s.is_given = true;
    s.dtype = operand->dtype;
    s.is_encoded = operand->role == TN_ROLE_WEIGHT && operand->encoding.kind != TN_ENCODING_PLAIN;
    s.rank = operand->rank;
    for (int i = 0; i < s.rank; i++) s.dims[i] = p->values[operand->dims[i]];
    s.count = product(s.dims, s.rank);
    s.columns = s.rank > 0 ? s.dims[s.rank - 1] : 1;
    s.rows = product(s.dims, s.rank > 0 ? s.rank - 1 : 0);
    return s;
}

static shape input(const checked_problem *p, uint32_t index) {
    return index < p->problem->num_inputs ? shape_of(p, index) : (shape){.count = -1};
}

static shape output(const checked_problem *p, uint32_t index) {
    return shape_of(p, p->problem->num_inputs + index);
}

/* An optional operand that, if given, has `count` elements. */
static bool is_absent_or(shape s, int64_t count) {
    return !s.is_given || s.count == count;
}

static bool is_matrix(shape s, int64_t rows, int64_t columns) {
    return s.is_given && s.rows == rows && s.columns == columns;
}

/* Rows of types narrower than a byte are padded: their division into rows must agree, too. */
static bool same_elements(shape x, shape y) {
    bool has_rows = x.columns == y.columns;
    bool needs_rows = tn_dtype_get_info(x.dtype)->bits < 8 || tn_dtype_get_info(y.dtype)->bits < 8;
    return x.is_given && y.is_given && x.count >= 0 && x.count == y.count && (has_rows || !needs_rows);
}

/* Dimensions are aligned at the end; 1 broadcasts, so does a missing one. */
static bool broadcasts(const int64_t *dims, int rank, const int64_t *to, int to_rank) {
    if (rank > to_rank) return false;
    for (int i = 0; i < rank; i++)
        if (dims[i] != 1 && dims[i] != to[to_rank - rank + i]) return false;
    return true;
}

static bool fits_broadcast(const checked_problem *p) {
    shape y = output(p, 0);
    for (uint32_t i = 0; i < p->problem->num_inputs; i++) {
        shape x = input(p, i);
        if (!x.is_given || !broadcasts(x.dims, x.rank, y.dims, y.rank)) return false;
    }
    return y.is_given;
}

/* --- epilogues -------------------------------------------------------------------------------------------------------------- */

/* What becomes of a result of rows × columns; the output must hold it. bias_rows: of a bias with a row an expert. */
static bool fits_epilogues(const checked_problem *p, int64_t rows, int64_t columns, int64_t bias_rows, shape y) {
    for (uint32_t i = 0; i < p->problem->num_epilogues; i++) {
        const tn_epilogue *epilogue = &p->problem->epilogues[i];
        shape operand = epilogue->operand >= 0 ? input(p, (uint32_t)epilogue->operand) : (shape){.count = -1};
        int64_t elements;
        switch (epilogue->kind) {
        case TN_EPILOGUE_BIAS:
            if (!operand.is_given || operand.columns != columns || (operand.rows != 1 && operand.rows != bias_rows)) return false;
            break;
        case TN_EPILOGUE_ADD:
            if (!operand.is_given || operand.columns != columns || !tn_mul_i64(rows, columns, &elements) || operand.count != elements)
                return false;
            break;
        case TN_EPILOGUE_GATED_ACTIVATION:
            if (columns % 32 != 0) return false; /* strips of 16 alternate */
            columns /= 2;
            break;
        case TN_EPILOGUE_QUANTIZE:
            if (epilogue->dtype != y.dtype || i + 1 != p->problem->num_epilogues) return false;
            break;
        default: break;
        }
    }
    return is_matrix(y, rows, columns);
}

/* --- values and axes ----------------------------------------------------------------------------------------------------------- */

static bool is_axis(int64_t axis, int rank) {
    return axis >= 0 && axis < rank;
}

static bool fits_reduce(const checked_problem *p) {
    shape x = input(p, 0), y = output(p, 0);
    int64_t kept = 1, axes = p->params->reduce.axes;
    if (!x.is_given || !y.is_given || axes < 0 || axes >> x.rank != 0) return false;
    for (int i = 0; i < x.rank; i++)
        if ((axes >> i & 1) == 0 && !tn_mul_i64(kept, x.dims[i], &kept)) return false;
    return x.count >= 0 && y.count == kept;
}

static bool fits_normalization(const checked_problem *p) {
    shape x = input(p, 0), sum = output(p, 1);
    int64_t n = x.columns;
    return x.is_given && input(p, 1).count == n && is_absent_or(input(p, 2), n) && is_absent_or(input(p, 3), x.count) &&
           fits_epilogues(p, x.rows, n, 1, output(p, 0)) && (!sum.is_given || is_matrix(sum, x.rows, n));
}

static bool is_permutation(const tn_dims *dims, int rank) {
    unsigned seen = 0;
    if (dims->rank == 0) return true; /* none */
    if (dims->rank != rank) return false;
    for (int i = 0; i < rank; i++) {
        if (!is_axis(dims->d[i], rank)) return false;
        seen |= 1u << dims->d[i];
    }
    return seen == (1u << rank) - 1;
}

static bool fits_shuffle(const checked_problem *p) {
    shape x = input(p, 0), y = output(p, 0);
    return same_elements(x, y) && is_permutation(&p->params->shuffle.first, x.rank) && is_permutation(&p->params->shuffle.second, y.rank);
}

static bool is_axis_list(const tn_dims *axes, int rank) {
    unsigned seen = 0;
    for (int i = 0; i < axes->rank; i++) {
        if (!is_axis(axes->d[i], rank) || (seen >> axes->d[i] & 1u) != 0) return false;
        seen |= 1u << axes->d[i];
    }
    return true;
}

/* Axes that are not sliced keep their size. What start and stride do with the bounds is the kernel's to check: it sees the values. */
static bool fits_slice(const checked_problem *p) {
    const tn_slice_params *params = &p->params->slice;
    shape x = input(p, 0), start = input(p, 1), stride = input(p, 3), fill = input(p, 4), y = output(p, 0);
    int count = params->axes.rank > 0 ? params->axes.rank : x.rank;
    if (!x.is_given || !y.is_given || x.rank != y.rank || x.count < 0 || y.count < 0 || !is_axis_list(&params->axes, x.rank)) return false;
    if (start.is_given ? start.count < count : params->start.rank != count) return false;
    if (stride.is_given ? stride.count < count : params->stride.rank != 0 && params->stride.rank != count) return false;
    if (fill.is_given && fill.count < 1) return false;
    unsigned sliced = 0;
    for (int i = 0; i < count; i++) sliced |= 1u << (params->axes.rank > 0 ? params->axes.d[i] : i);
    for (int i = 0; i < x.rank; i++)
        if ((sliced >> i & 1u) == 0 && x.dims[i] != y.dims[i]) return false;
    if (start.is_given || stride.is_given || params->mode != TN_SAMPLE_STRICT_BOUNDS) return true;
    for (int i = 0; i < count && y.count > 0; i++) {
        int64_t axis = params->axes.rank > 0 ? params->axes.d[i] : i, step = params->stride.rank > 0 ? params->stride.d[i] : 1, last;
        if (!tn_mul_i64(y.dims[axis] - 1, step, &last) || !tn_add_i64(last, params->start.d[i], &last)) return false;
        if (!is_axis(params->start.d[i], INT32_MAX) || params->start.d[i] >= x.dims[axis] || last < 0 || last >= x.dims[axis]) return false;
    }
    return true;
}

static bool fits_concatenation(const checked_problem *p) {
    shape y = output(p, 0);
    int64_t axis = p->params->concatenation.axis, sum = 0;
    if (!is_axis(axis, y.rank)) return false;
    for (uint32_t i = 0; i < p->problem->num_inputs; i++) {
        shape x = input(p, i);
        if (!x.is_given || x.rank != y.rank || x.count < 0) return false;
        for (int k = 0; k < y.rank; k++)
            if (k != axis && x.dims[k] != y.dims[k]) return false;
        if (!tn_add_i64(sum, x.dims[axis], &sum)) return false;
    }
    return sum == y.dims[axis];
}

/* The dimensions that data and indices have in common. */
static bool fits_batch_dims(shape data, shape indices, int64_t count) {
    if (count < 0 || count > data.rank || count > indices.rank) return false;
    for (int i = 0; i < count; i++)
        if (data.dims[i] != indices.dims[i]) return false;
    return true;
}

static bool fits_gather(const checked_problem *p) {
    const tn_gather_params *params = &p->params->gather;
    shape data = input(p, 0), indices = input(p, 1), y = output(p, 0);
    int64_t expected, batch_dims = params->batch_dims;
    if (data.count < 0 || indices.count < 0 || y.count < 0 || !fits_batch_dims(data, indices, batch_dims)) return false;
    if (data.is_encoded && batch_dims != 0) return false;
    if (params->mode == TN_GATHER_ND) {
        int64_t depth = indices.columns;
        if (data.is_encoded || indices.rank < 1 + batch_dims || depth < 0 || depth > data.rank - batch_dims) return false;
        int kept = (int)(batch_dims + depth);
        return tn_mul_i64(indices.rows, product(data.dims + kept, data.rank - kept), &expected) && y.count == expected;
    }
    if (!is_axis(params->axis, data.rank)) return false;
    int axis = (int)params->axis;
    if (params->mode == TN_GATHER_ELEMENT) {
        if (data.is_encoded || batch_dims != 0 || indices.rank != y.rank || y.rank != data.rank) return false;
        for (int i = 0; i < y.rank; i++)
            if (indices.dims[i] != y.dims[i] || (i != axis && y.dims[i] > data.dims[i])) return false;
        return true;
    }
    if (batch_dims > axis) return false;
    int64_t outer = product(data.dims, axis), inner = product(data.dims + axis + 1, data.rank - axis - 1);
    int64_t chosen = product(indices.dims + batch_dims, indices.rank - (int)batch_dims);
    if (data.is_encoded && (axis != 0 || data.rank < 2)) return false;
    if (axis + 1 < data.rank && y.columns != data.columns) return false;
    return tn_mul_i64(outer, chosen, &expected) && tn_mul_i64(expected, inner, &expected) && y.count == expected;
}

/* --- order and place --------------------------------------------------------------------------------------------------------------- */

/* Equal but along one axis; −1: everywhere. */
static bool equal_but(shape a, shape b, int64_t axis) {
    if (!a.is_given || !b.is_given || a.rank != b.rank || a.count < 0 || b.count < 0) return false;
    for (int i = 0; i < a.rank; i++)
        if (i != axis && a.dims[i] != b.dims[i]) return false;
    return true;
}

static bool fits_topk(const checked_problem *p) {
    shape x = input(p, 0), y = output(p, 0);
    int64_t axis = p->params->topk.axis;
    return is_axis(axis, x.rank) && equal_but(x, y, axis) && equal_but(y, output(p, 1), -1) && y.dims[axis] <= x.dims[axis];
}

static bool fits_scatter(const checked_problem *p) {
    const tn_scatter_params *params = &p->params->scatter;
    shape data = input(p, 0), indices = input(p, 1), updates = input(p, 2), y = output(p, 0);
    int64_t expected;
    if (!equal_but(data, y, -1) || indices.count < 0 || updates.count < 0) return false;
    if (params->mode == TN_SCATTER_ELEMENT) {
        if (!is_axis(params->axis, data.rank) || !equal_but(indices, updates, -1) || indices.rank != data.rank) return false;
        for (int i = 0; i < data.rank; i++)
            if (i != params->axis && indices.dims[i] > data.dims[i] && indices.count > 0) return false;
        return true;
    }
    int64_t depth = indices.columns;
    if (params->mode != TN_SCATTER_ND || indices.rank < 1 || depth < 0 || depth > data.rank) return false;
    return tn_mul_i64(indices.rows, product(data.dims + depth, data.rank - (int)depth), &expected) && updates.count == expected;
}

static bool fits_one_hot(const checked_problem *p) {
    shape indices = input(p, 0), y = output(p, 0);
    int64_t axis = p->params->one_hot.axis, expected;
    return indices.count >= 0 && input(p, 1).count >= 2 && is_axis(axis, y.rank) && tn_mul_i64(indices.count, y.dims[axis], &expected) &&
           y.count == expected;
}

static bool fits_reverse_sequence(const checked_problem *p) {
    const tn_reverse_sequence_params *params = &p->params->reverse_sequence;
    shape x = input(p, 0);
    return equal_but(x, output(p, 0), -1) && is_axis(params->batch_axis, x.rank) && is_axis(params->sequence_axis, x.rank) &&
           params->batch_axis != params->sequence_axis && input(p, 1).count >= x.dims[params->batch_axis];
}

static bool fits_ragged_softmax(const checked_problem *p) {
    shape x = input(p, 0);
    return x.rows >= 0 && equal_but(x, output(p, 0), -1) && input(p, 1).count >= x.rows;
}

/* Output 0 is checked by its bound (all scores) where the step is bound. */
static bool fits_nms(const checked_problem *p) {
    shape boxes = input(p, 0), scores = input(p, 1), iou = input(p, 3), threshold = input(p, 4);
    if (scores.rank != 3 || scores.count < 0 || boxes.count < 0 || (boxes.rank != 3 && boxes.rank != 4)) return false;
    if (boxes.dims[0] != scores.dims[0] || boxes.dims[1] != scores.dims[1] || boxes.columns != 4) return false;
    if (boxes.rank == 4 && boxes.dims[2] != 1 && boxes.dims[2] != scores.dims[2]) return false;
    return input(p, 2).count >= 1 && (!iou.is_given || iou.count >= 1) && (!threshold.is_given || threshold.count >= 1) &&
           output(p, 1).count == 1;
}

static bool fits_scale(const checked_problem *p) {
    const tn_scale_params *params = &p->params->scale;
    shape x = input(p, 0);
    int64_t needed = 1;
    if (!same_elements(x, output(p, 0)) || (params->mode != TN_SCALE_UNIFORM && !is_axis(params->axis, x.rank))) return false;
    if (params->mode == TN_SCALE_CHANNEL) needed = x.dims[params->axis];
    if (params->mode == TN_SCALE_ELEMENTWISE) needed = product(x.dims + params->axis, x.rank - (int)params->axis);
    for (uint32_t i = 1; i < p->problem->num_inputs; i++)
        if (input(p, i).is_given && input(p, i).count < needed) return false;
    return needed >= 0;
}

static bool fits_normalization_nd(const checked_problem *p) {
    const tn_normalization_nd_params *params = &p->params->normalization_nd;
    shape x = input(p, 0);
    if (!equal_but(x, output(p, 0), -1) || params->axes <= 0 || params->axes >> x.rank != 0 || params->groups < 0) return false;
    if (params->groups > 1 && (x.rank < 3 || (params->axes & 3) != 0 || x.dims[1] % params->groups != 0)) return false;
    for (uint32_t i = 1; i <= 2; i++) {
        shape weights = input(p, i);
        if (i == 2 && !weights.is_given) continue;
        if (!weights.is_given || weights.rank != x.rank) return false;
        for (int d = 0; d < x.rank; d++) {
            bool is_group = d == 1 && params->groups > 1 && weights.dims[d] == params->groups;
            if (weights.dims[d] != 1 && weights.dims[d] != x.dims[d] && !is_group) return false;
        }
    }
    return true;
}

/* --- windows and sampling ------------------------------------------------------------------------------------------------------------- */

static bool has_list(const tn_dims *list, int count) {
    return list->rank == 0 || list->rank == count;
}

static bool fits_windows(int64_t in, int64_t out, const tn_window *w, bool is_transposed) {
    if (!tn_window_is_valid(w) || in < 0 || in > (int64_t)1 << 40) return false;
    return out == (is_transposed ? tn_window_transposed_count(w, in) : tn_window_count(w, in));
}

/* CONVOLUTION and DECONVOLUTION have equal parameters. */
static bool fits_convolution(const checked_problem *p, bool is_transposed) {
    const tn_convolution_params *params = &p->params->convolution;
    shape x = input(p, 0), kernel = input(p, 1), bias = input(p, 2), y = output(p, 0);
    int spatial = x.rank - 2;
    int64_t groups = params->groups > 0 ? params->groups : 1, channels, filters;
    if (x.count < 0 || y.count < 0 || kernel.count < 0 || spatial < 1 || spatial > 3 || kernel.rank != x.rank || y.rank != x.rank)
        return false;
    if (!has_list(&params->stride, spatial) || !has_list(&params->dilation, spatial) || !has_list(&params->pre_padding, spatial) ||
        !has_list(&params->post_padding, spatial))
        return false;
    if (!tn_mul_i64(kernel.dims[1], groups, is_transposed ? &filters : &channels)) return false;
    *(is_transposed ? &channels : &filters) = kernel.dims[0];
    if (kernel.dims[0] % groups != 0 || x.dims[1] != channels || y.dims[1] != filters || x.dims[0] != y.dims[0]) return false;
    if (bias.is_given && bias.count != filters) return false;
    for (int i = 0; i < spatial; i++) {
        tn_window window = tn_window_of(kernel.dims[2 + i], &params->stride, &params->dilation, &params->pre_padding, &params->post_padding,
                                        params->padding_mode, i);
        if (!fits_windows(x.dims[2 + i], y.dims[2 + i], &window, is_transposed)) return false;
    }
    return true;
}

static bool fits_pooling(const checked_problem *p) {
    const tn_pooling_params *params = &p->params->pooling;
    shape x = input(p, 0), y = output(p, 0);
    int spatial = params->window.rank, lead = x.rank - spatial;
    if (x.count < 0 || y.count < 0 || x.rank != y.rank || spatial < 1 || spatial > 3 || lead < 0) return false;
    if (!has_list(&params->stride, spatial) || !has_list(&params->pre_padding, spatial) || !has_list(&params->post_padding, spatial))
        return false;
    for (int i = 0; i < lead; i++)
        if (x.dims[i] != y.dims[i]) return false;
    for (int i = 0; i < spatial; i++) {
        tn_window window =
            tn_window_of(params->window.d[i], &params->stride, NULL, &params->pre_padding, &params->post_padding, params->padding_mode, i);
        if (!fits_windows(x.dims[lead + i], y.dims[lead + i], &window, false)) return false;
    }
    return true;
}

/* Any size is possible, but something cannot be made of nothing. */
static bool fits_resize(const checked_problem *p) {
    const tn_resize_params *params = &p->params->resize;
    shape x = input(p, 0), y = output(p, 0);
    bool has_scales = !input(p, 1).is_given && params->size.rank == 0;
    if (!x.is_given || x.count < 0 || y.count < 0 || x.rank != y.rank) return false;
    if (has_scales && (params->numerators.rank != x.rank || params->denominators.rank != x.rank)) return false;
    for (int i = 0; i < x.rank; i++) {
        int64_t num = params->numerators.d[i], den = params->denominators.d[i];
        if (x.dims[i] > (int64_t)1 << 40 || y.dims[i] > (int64_t)1 << 40 || (x.dims[i] == 0 && y.count > 0)) return false;
        if (has_scales && (num < 1 || den < 1 || num > TN_MAX_WINDOW || den > TN_MAX_WINDOW)) return false;
    }
    return true;
}

static bool fits_grid_sample(const checked_problem *p) {
    shape x = input(p, 0), grid = input(p, 1), y = output(p, 0);
    return x.rank == 4 && grid.rank == 4 && y.rank == 4 && x.count >= 0 && grid.count >= 0 && y.count >= 0 && grid.dims[3] == 2 &&
           x.dims[0] == grid.dims[0] && x.dims[0] == y.dims[0] && x.dims[1] == y.dims[1] && y.dims[2] == grid.dims[1] &&
           y.dims[3] == grid.dims[2] && x.dims[2] > 0 && x.dims[3] > 0;
}

static bool fits_lrn(const checked_problem *p) {
    shape x = input(p, 0);
    int64_t window = p->params->lrn.window;
    return x.rank >= 2 && same_elements(x, output(p, 0)) && window >= 1 && window <= TN_MAX_WINDOW;
}

/* --- multiplication ---------------------------------------------------------------------------------------------------------------- */

static bool fits_matmul(const checked_problem *p) {
    const tn_matrix_multiply_params *params = &p->params->matrix_multiply;
    shape a = input(p, 0), b = input(p, 1), y = output(p, 0);
    bool a_vector = params->op_a == TN_MATRIX_VECTOR, b_vector = params->op_b == TN_MATRIX_VECTOR;
    int a_dims = a_vector ? 1 : 2, b_dims = b_vector ? 1 : 2, y_dims = 2 - a_vector - b_vector;
    if (!a.is_given || !b.is_given || !y.is_given || a.rank < a_dims || b.rank < b_dims || y.rank < y_dims) return false;
    if (a.count < 0 || b.count < 0 || y.count < 0) return false;
    int64_t a_rows = a_vector ? 1 : a.dims[a.rank - 2], b_rows = b_vector ? 1 : b.dims[b.rank - 2];
    bool a_turned = params->op_a == TN_MATRIX_TRANSPOSE, b_turned = params->op_b == TN_MATRIX_TRANSPOSE || b_vector;
    int64_t m = a_turned ? a.columns : a_rows, k = a_turned ? a_rows : a.columns;
    int64_t n = b_turned ? b_rows : b.columns, b_k = b_turned ? b.columns : b_rows;
    int lead = y.rank - y_dims;
    if (k != b_k || !broadcasts(a.dims, a.rank - a_dims, y.dims, lead) || !broadcasts(b.dims, b.rank - b_dims, y.dims, lead)) return false;
    if (a_vector && b_vector) return p->problem->num_epilogues == 0;
    if (b_vector) return y.columns == m && p->problem->num_epilogues == 0;
    int64_t rows;
    if (!a_vector && y.dims[y.rank - 2] != m) return false;
    return tn_mul_i64(product(y.dims, lead), m, &rows) && fits_epilogues(p, rows, n, 1, y);
}

static bool fits_grouped_matmul(const checked_problem *p) {
    const tn_grouped_matmul_params *params = &p->params->grouped_matmul;
    shape x = input(p, 0), w = input(p, 1), start = input(p, 2), order = input(p, 3), y = output(p, 0);
    int64_t rows = x.rows;
    if (!x.is_given || !w.is_given || w.rank != 3 || x.columns != w.dims[2] || params->top_k <= 0) return false;
    if (!params->sorted && !tn_mul_i64(rows, params->top_k, &rows)) return false;
    return start.count == w.dims[0] + 1 && order.count == rows && fits_epilogues(p, rows, w.dims[1], w.dims[0], y);
}

/* One scale for all, for each index of the axis, or for each block (0: the whole axis). */
static bool fits_quantization(const checked_problem *p, int64_t axis, const tn_dims *block) {
    shape x = input(p, 0), scale = input(p, 1), zero = input(p, 2), y = output(p, 0);
    if (!same_elements(x, y) || x.columns != y.columns || (zero.is_given && zero.count != 1 && zero.count != scale.count)) return false;
    if (scale.count == 1) return true;
    if (block->rank == 0) return is_axis(axis, x.rank) && scale.count == x.dims[axis];
    if (block->rank != x.rank || scale.rank != x.rank || scale.count < 0) return false;
    for (int i = 0; i < x.rank; i++) {
        int64_t size = block->d[i] > 0 ? block->d[i] : x.dims[i];
        if (block->d[i] < 0 || (size > 0 && scale.dims[i] != x.dims[i] / size + (x.dims[i] % size != 0))) return false;
    }
    return true;
}

static bool fits_einsum(const checked_problem *p) {
    tn_einsum einsum;
    int64_t shapes[TN_EINSUM_MAX_INPUTS][TN_MAX_RANK], sizes[TN_EINSUM_NUM_LABELS], all = 1;
    shape y = output(p, 0);
    if (!tn_einsum_read(&p->params->einsum.equation, &einsum) || p->problem->num_inputs != (uint32_t)einsum.num_inputs) return false;
    for (int i = 0; i < einsum.num_inputs; i++) {
        shape x = input(p, (uint32_t)i);
        if (x.count < 0 || x.rank != einsum.rank[i]) return false;
        for (int d = 0; d < x.rank; d++) shapes[i][d] = x.dims[d];
    }
    if (!tn_einsum_sizes(&einsum, (const int64_t(*)[TN_MAX_RANK])shapes, sizes) || y.count < 0 || y.rank != einsum.rank[TN_EINSUM_OUTPUT])
        return false;
    for (int d = 0; d < y.rank; d++)
        if (y.dims[d] != sizes[einsum.labels[TN_EINSUM_OUTPUT][d]]) return false;
    for (int i = 0; i < TN_EINSUM_NUM_LABELS; i++)
        if (!tn_mul_i64(all, sizes[i], &all)) return false; /* the kernel counts the terms */
    return true;
}

static bool fits_dynamic_quantize(const checked_problem *p) {
    const tn_dims *block = &p->params->dynamic_quantize.block;
    shape x = input(p, 0), whole = input(p, 1), scales = output(p, 1);
    if (!equal_but(x, output(p, 0), -1) || block->rank != x.rank || scales.rank != x.rank || scales.count < 0) return false;
    if (whole.is_given && whole.count < 1) return false;
    for (int i = 0; i < x.rank; i++)
        if (block->d[i] < 1 || scales.dims[i] != x.dims[i] / block->d[i] + (x.dims[i] % block->d[i] != 0)) return false;
    return true;
}

/* linspace: beta is one value or one an axis. */
static bool fits_fill(const checked_problem *p) {
    shape beta = input(p, 2), y = output(p, 0);
    return y.count >= 0 && input(p, 1).count > 0 && beta.count > 0 && (beta.rank == 0 || beta.count >= y.rank);
}

/* --- decoders -------------------------------------------------------------------------------------------------------------------------- */

static bool fits_rotary(const checked_problem *p) {
    shape x = input(p, 0), table = input(p, 1);
    int64_t head = p->params->rotary.head_dim;
    return x.is_given && head > 0 && x.columns % head == 0 && table.rows == x.rows && table.columns % 2 == 0 && table.columns <= head &&
           is_matrix(output(p, 0), x.rows, x.columns);
}

/* query_start [S + 1], kv_length [S], block_table [S, B] from operand `first` on */
static bool fits_sequences(const checked_problem *p, uint32_t first) {
    shape query_start = input(p, first), kv_length = input(p, first + 1), block_table = input(p, first + 2);
    return kv_length.count >= 0 && query_start.count == kv_length.count + 1 && block_table.rank == 2 &&
           block_table.dims[0] == kv_length.count;
}

static bool fits_kv_cache_update(const checked_problem *p) {
    const tn_kv_cache_update_params *params = &p->params->kv_cache_update;
    shape k = input(p, 0), v = input(p, 1);
    return k.rows >= 0 && is_matrix(k, k.rows, params->num_kv_heads * params->k_dim) &&
           is_matrix(v, k.rows, params->num_kv_heads * params->v_dim) && fits_sequences(p, 3);
}

static bool has_heads(int64_t num_heads, int64_t num_kv_heads) {
    return num_heads > 0 && num_heads <= INT32_MAX && num_kv_heads > 0 && num_heads % num_kv_heads == 0;
}

static bool fits_attention(const checked_problem *p) {
    const tn_attention_params *params = &p->params->attention;
    shape q = input(p, 0);
    int64_t heads = params->num_heads;
    return has_heads(heads, params->num_kv_heads) && is_matrix(q, q.rows, heads * params->k_dim) && fits_sequences(p, 2) &&
           is_absent_or(input(p, 5), heads) && is_absent_or(input(p, 6), heads) &&
           fits_epilogues(p, q.rows, heads * params->v_dim, 1, output(p, 0));
}

static bool fits_qkv_cache(const checked_problem *p) {
    const tn_qkv_cache_params *params = &p->params->qkv_cache;
    shape qkv = input(p, 0), table = input(p, 1);
    int64_t heads = params->num_heads, groups = params->num_kv_heads;
    if (!has_heads(heads, groups) || !is_matrix(qkv, qkv.rows, (heads + groups) * params->k_dim + groups * params->v_dim)) return false;
    if (table.is_given && (table.rows != qkv.rows || table.columns % 2 != 0 || table.columns > params->k_dim)) return false;
    return is_absent_or(input(p, 2), params->k_dim) && is_absent_or(input(p, 3), params->k_dim) && fits_sequences(p, 5) &&
           is_matrix(output(p, 0), qkv.rows, heads * params->k_dim);
}

static bool fits_route(const checked_problem *p) {
    shape logits = input(p, 0);
    int64_t experts = logits.columns, top_k = p->params->route.top_k, choices;
    return logits.is_given && top_k > 0 && top_k <= experts && tn_route_groups_fit(&p->params->route, experts) &&
           is_absent_or(input(p, 1), experts) && output(p, 0).count == experts + 1 && tn_mul_i64(logits.rows, top_k, &choices) &&
           output(p, 1).count == choices && is_matrix(output(p, 2), logits.rows, top_k);
}

static bool fits_combine(const checked_problem *p) {
    shape y = input(p, 0), order = input(p, 1), scores = input(p, 2);
    return y.is_given && order.count == y.rows && scores.count == y.rows && is_matrix(output(p, 0), scores.rows, y.columns);
}

static bool fits_sample(const checked_problem *p) {
    const tn_sample_params *params = &p->params->sample;
    shape logits = input(p, 0), mask = input(p, 4);
    int64_t rows = logits.rows, width = params->max_log_probs + 1;
    if (!is_matrix(logits, rows, params->vocab_size) || params->max_log_probs < 0 || input(p, 1).count != rows || input(p, 2).count != rows)
        return false;
    if (mask.is_given && !is_matrix(mask, rows, (params->vocab_size + 31) / 32)) return false;
    return output(p, 0).count == rows && is_matrix(output(p, 1), rows, width) && is_matrix(output(p, 2), rows, width);
}

static bool fits_tokens(const checked_problem *p) {
    shape ids = input(p, 0), query_start = input(p, 1), seq_slot = input(p, 2);
    return ids.count >= 0 && output(p, 0).count == ids.count && seq_slot.count >= 0 && query_start.count == seq_slot.count + 1;
}

static bool fits_rotary_table(const checked_problem *p) {
    shape positions = input(p, 0), frequencies = input(p, 1);
    return positions.count >= 0 && frequencies.count >= 0 && frequencies.count <= INT32_MAX &&
           is_matrix(output(p, 0), positions.count, 2 * frequencies.count);
}

bool tn_problem_fits(const tn_problem *problem, const int64_t *values) {
    const checked_problem p = {problem, problem->params, values};
    shape x = input(&p, 0), y = output(&p, 0);
    switch (problem->op) {
    case TN_OP_IDENTITY:
    case TN_OP_CAST:
    case TN_OP_UNARY:
    case TN_OP_ACTIVATION: return same_elements(x, y);
    case TN_OP_SHAPE: return y.count == x.rank;
    case TN_OP_FILL: return fits_fill(&p);
    case TN_OP_ASSERTION:
    case TN_OP_SQUEEZE:
    case TN_OP_UNSQUEEZE: return same_elements(x, y);
    case TN_OP_PARAMETRIC_RELU: return fits_broadcast(&p) && same_elements(x, y);
    case TN_OP_SCALE: return fits_scale(&p);
    case TN_OP_LRN: return fits_lrn(&p);
    case TN_OP_NORMALIZATION_ND: return fits_normalization_nd(&p);
    case TN_OP_RAGGED_SOFTMAX: return fits_ragged_softmax(&p);
    case TN_OP_TOPK: return fits_topk(&p);
    case TN_OP_CUMULATIVE: return equal_but(x, y, -1) && is_axis(p.params->cumulative.axis, x.rank);
    case TN_OP_SCATTER: return fits_scatter(&p);
    case TN_OP_ONE_HOT: return fits_one_hot(&p);
    case TN_OP_REVERSE_SEQUENCE: return fits_reverse_sequence(&p);
    case TN_OP_NMS: return fits_nms(&p);
    case TN_OP_CONVOLUTION: return fits_convolution(&p, false);
    case TN_OP_DECONVOLUTION: return fits_convolution(&p, true);
    case TN_OP_POOLING: return fits_pooling(&p);
    case TN_OP_RESIZE: return fits_resize(&p);
    case TN_OP_GRID_SAMPLE: return fits_grid_sample(&p);
    case TN_OP_EINSUM: return fits_einsum(&p);
    case TN_OP_DYNAMIC_QUANTIZE: return fits_dynamic_quantize(&p);
    case TN_OP_ELEMENTWISE:
    case TN_OP_SELECT: return fits_broadcast(&p);
    case TN_OP_REDUCE: return fits_reduce(&p);
    case TN_OP_SOFTMAX: return same_elements(x, y) && is_axis(p.params->softmax.axis, x.rank);
    case TN_OP_NORMALIZATION: return fits_normalization(&p);
    case TN_OP_SHUFFLE: return fits_shuffle(&p);
    case TN_OP_SLICE: return fits_slice(&p);
    case TN_OP_CONCATENATION: return fits_concatenation(&p);
    case TN_OP_GATHER: return fits_gather(&p);
    case TN_OP_NON_ZERO: return x.count >= 0 && output(&p, 1).count == 1; /* the first output: by its bound */
    case TN_OP_MATRIX_MULTIPLY: return fits_matmul(&p);
    case TN_OP_QUANTIZE: return fits_quantization(&p, p.params->quantize.axis, &p.params->quantize.block);
    case TN_OP_DEQUANTIZE: return fits_quantization(&p, p.params->dequantize.axis, &p.params->dequantize.block);
    case TN_OP_QUANTIZE_ROWS: return x.is_given && is_matrix(y, x.rows, x.columns);
    case TN_OP_TOKEN_IDS: return fits_tokens(&p);
    case TN_OP_ROTARY_TABLE: return fits_rotary_table(&p);
    case TN_OP_ROTARY: return fits_rotary(&p);
    case TN_OP_KV_CACHE_UPDATE: return fits_kv_cache_update(&p);
    case TN_OP_ATTENTION: return fits_attention(&p);
    case TN_OP_QKV_CACHE: return fits_qkv_cache(&p);
    case TN_OP_ROUTE: return fits_route(&p);
    case TN_OP_GROUPED_MATMUL: return fits_grouped_matmul(&p);
    case TN_OP_COMBINE: return fits_combine(&p);
    case TN_OP_SAMPLE: return fits_sample(&p);
    case TN_OP_PLUGIN: return true; /* its class checks what it needs */
    default: return false;          /* no kernel runs the others */
    }
}
