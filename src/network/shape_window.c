/* SPDX-License-Identifier: Apache-2.0
 *
 * shape_window.c: shapes of layers with windows and of sampling: convolution, deconvolution, pooling, LRN, resize, grid sample.
 */
#include <inttypes.h>

#include "network/network_internal.h"
#include "op/window.h"

static bool want_list(const tn_shape *shape, const tn_dims *list, const char *what, int count) {
    if (list->rank == 0 || list->rank == count) return true;
    return tn_shape_fail(shape, "its %s has %" PRId32 " elements, it needs %d, one for each spatial dimension", what, list->rank, count);
}

static bool want_window(const tn_shape *shape, const tn_window *window, int axis) {
    if ((int)window->mode < 0 || window->mode >= TN_NUM_PADDING_MODES)
        return tn_shape_fail(shape, "there is no padding mode %d", window->mode);
    if (tn_window_is_valid(window)) return true;
    return tn_shape_fail(shape,
                         "spatial dimension %d: window %" PRId64 ", stride %" PRId64 ", dilation %" PRId64 ", padding %" PRId64
                         " and %" PRId64 "; windows, strides and dilations must be at least 1, padding at least 0",
                         axis, window->size, window->stride, window->dilation, window->pre, window->post);
}

static tn_sym binary(const tn_shape *shape, tn_sym_op op, tn_sym a, int64_t b) {
    return tn_sym_binary(shape->network->symbols, op, a, tn_shape_const(shape, b));
}

/* How many windows a dimension has; fails if that is known to be none. */
static bool count_windows(const tn_shape *shape, const tn_window *w, int axis, tn_sym in, tn_sym *out) {
    int64_t value;
    if (tn_window_is_same(w)) {
        *out = binary(shape, TN_SYM_CEIL_DIV, in, w->stride);
        return true;
    }
    if (tn_sym_is_const(shape->network->symbols, in, &value) && tn_window_count(w, value) < 0)
        return tn_shape_fail(shape,
                             "spatial dimension %d: a window of %" PRId64 " (size %" PRId64 ", dilation %" PRId64 ") does not fit %" PRId64
                             " elements with padding %" PRId64 " and %" PRId64,
                             axis, tn_window_span(w), w->size, w->dilation, value, w->pre, w->post);
    tn_sym room = binary(shape, TN_SYM_ADD, in, w->pre + w->post - tn_window_span(w));
    room = binary(shape, w->mode == TN_PADDING_EXPLICIT_ROUND_UP ? TN_SYM_CEIL_DIV : TN_SYM_FLOOR_DIV, room, w->stride);
    *out = binary(shape, TN_SYM_ADD, room, 1);
    return true;
}

static bool count_transposed(const tn_shape *shape, const tn_window *w, int axis, tn_sym in, tn_sym *out) {
    int64_t value;
    if (tn_window_is_same(w)) {
        *out = binary(shape, TN_SYM_MUL, in, w->stride);
        return true;
    }
    if (tn_sym_is_const(shape->network->symbols, in, &value) && tn_window_transposed_count(w, value) < 0)
        return tn_shape_fail(shape, "spatial dimension %d: padding %" PRId64 " and %" PRId64 " is more than its output", axis, w->pre,
                             w->post);
    *out = binary(shape, TN_SYM_ADD, binary(shape, TN_SYM_MUL, binary(shape, TN_SYM_ADD, in, -1), w->stride),
                  tn_window_span(w) - w->pre - w->post);
    return true;
}

/* --- convolution -------------------------------------------------------------------------------------------------------------- */

static bool want_group_channels(const tn_shape *shape, bool is_transposed, int64_t groups) {
    const tn_tensor *x = shape->inputs[0], *kernel = shape->inputs[1];
    tn_symbols *symbols = shape->network->symbols;
    int64_t count;
    if (groups < 1 || groups > INT32_MAX) return tn_shape_fail(shape, "it has %" PRId64 " groups, it needs at least 1", groups);
    if (tn_sym_is_const(symbols, kernel->dims[0], &count) && count % groups != 0)
        return tn_shape_fail(shape, "the kernel's %" PRId64 " %s are no multiple of %" PRId64 " groups", count,
                             is_transposed ? "input channels" : "filters", groups);
    tn_sym channels = is_transposed ? kernel->dims[0] : binary(shape, TN_SYM_MUL, kernel->dims[1], groups);
    if (tn_sym_equal(symbols, x->dims[1], channels) != TN_NO) return true;
    return tn_shape_fail(shape, "x is %s: with the kernel %s and %" PRId64 " group%s it must have %s channels", tn_shape_describe(shape, x),
                         tn_shape_describe(shape, kernel), groups, groups > 1 ? "s" : "", tn_shape_describe_dim(shape, channels));
}

/* CONVOLUTION and DECONVOLUTION have equal parameters. */
static bool convolution(tn_shape *shape, bool is_transposed) {
    tn_convolution_params *params = &shape->params->convolution;
    const tn_tensor *x = shape->inputs[0], *kernel = shape->inputs[1], *bias = shape->num_inputs > 2 ? shape->inputs[2] : NULL;
    int spatial = x->rank - 2;
    if (!tn_shape_want_float(shape, 0, "x")) return false;
    if (spatial < 1 || spatial > 3)
        return tn_shape_fail(shape, "x must be [batch, channels, 1 to 3 spatial dimensions], it is %s", tn_shape_describe(shape, x));
    if (!tn_shape_want_dtype(shape, 1, "the kernel", x->dtype) || !tn_shape_want_rank(shape, 1, "the kernel", x->rank) ||
        !want_list(shape, &params->stride, "stride", spatial) || !want_list(shape, &params->dilation, "dilation", spatial) ||
        !want_list(shape, &params->pre_padding, "pre-padding", spatial) ||
        !want_list(shape, &params->post_padding, "post-padding", spatial))
        return false;
    if (params->groups == 0) params->groups = 1;
    if (!want_group_channels(shape, is_transposed, params->groups)) return false;
    tn_shape_copy(shape, 0, x, x->dtype);
    tn_sym filters = is_transposed ? binary(shape, TN_SYM_MUL, kernel->dims[1], params->groups) : kernel->dims[0];
    shape->outputs[0].dims[1] = filters;
    if (bias != NULL && (!tn_shape_want_dtype(shape, 2, "the bias", x->dtype) || !tn_shape_want_rank(shape, 2, "the bias", 1) ||
                         !tn_shape_want_dim(shape, 2, "the bias", 0, filters)))
        return false;
    for (int i = 0; i < spatial; i++) {
        int64_t size;
        if (!tn_sym_is_const(shape->network->symbols, kernel->dims[2 + i], &size))
            return tn_shape_fail(shape, "the kernel's spatial dimensions must be fixed, it is %s", tn_shape_describe(shape, kernel));
        tn_window window =
            tn_window_of(size, &params->stride, &params->dilation, &params->pre_padding, &params->post_padding, params->padding_mode, i);
        tn_sym *out = &shape->outputs[0].dims[2 + i];
        if (!want_window(shape, &window, i)) return false;
        if (!(is_transposed ? count_transposed : count_windows)(shape, &window, i, x->dims[2 + i], out)) return false;
    }
    return true;
}

bool tn_shape_convolution(tn_shape *shape) {
    return convolution(shape, false);
}

bool tn_shape_deconvolution(tn_shape *shape) {
    return convolution(shape, true);
}

/* --- pooling, LRN ------------------------------------------------------------------------------------------------------------- */

bool tn_shape_pooling(tn_shape *shape) {
    const tn_pooling_params *params = &shape->params->pooling;
    const tn_tensor *x = shape->inputs[0];
    int spatial = params->window.rank;
    if (params->type < 0 || params->type >= TN_NUM_POOLING_TYPES) return tn_shape_fail(shape, "there is no pooling %d", params->type);
    if (!tn_shape_want_float(shape, 0, "x")) return false;
    if (spatial < 1 || spatial > 3 || spatial > x->rank)
        return tn_shape_fail(shape, "its window has %d dimensions, it needs 1 to 3 and at most those of %s", spatial,
                             tn_shape_describe(shape, x));
    if (!want_list(shape, &params->stride, "stride", spatial) || !want_list(shape, &params->pre_padding, "pre-padding", spatial) ||
        !want_list(shape, &params->post_padding, "post-padding", spatial))
        return false;
    if (params->type == TN_POOLING_MAX_AVERAGE_BLEND && !(params->blend >= 0.0 && params->blend <= 1.0))
        return tn_shape_fail(shape, "its blend factor is %g, it must be from 0 (max) to 1 (average)", params->blend);
    tn_shape_copy(shape, 0, x, x->dtype);
    for (int i = 0; i < spatial; i++) {
        int axis = x->rank - spatial + i;
        tn_window window =
            tn_window_of(params->window.d[i], &params->stride, NULL, &params->pre_padding, &params->post_padding, params->padding_mode, i);
        if (!want_window(shape, &window, i)) return false;
        if (!count_windows(shape, &window, i, x->dims[axis], &shape->outputs[0].dims[axis])) return false;
    }
    return true;
}

bool tn_shape_lrn(tn_shape *shape) {
    const tn_lrn_params *params = &shape->params->lrn;
    if (!tn_shape_want_float(shape, 0, "x")) return false;
    if (shape->inputs[0]->rank < 3)
        return tn_shape_fail(shape, "x must be [batch, channels, …] of at least 3 dimensions, it is %s",
                             tn_shape_describe(shape, shape->inputs[0]));
    if (params->window < 1 || params->window > TN_MAX_WINDOW || params->window % 2 == 0)
        return tn_shape_fail(shape, "its window is %" PRId64 ", it must be odd and at least 1", params->window);
    return tn_shape_output_is_input(shape);
}

/* --- resize, grid sample ------------------------------------------------------------------------------------------------------ */

static bool resize_dim(tn_shape *shape, int axis) {
    const tn_resize_params *params = &shape->params->resize;
    const tn_tensor *x = shape->inputs[0], *size = shape->num_inputs > 1 ? shape->inputs[1] : NULL;
    tn_symbols *symbols = shape->network->symbols;
    tn_sym *out = &shape->outputs[0].dims[axis];
    if (size != NULL) {
        *out = size->host_syms[axis];
    } else if (params->size.rank > 0) {
        *out = tn_shape_const(shape, params->size.d[axis]);
    } else {
        int64_t num = params->numerators.d[axis], den = params->denominators.d[axis];
        if (num < 1 || den < 1 || num > TN_MAX_WINDOW || den > TN_MAX_WINDOW)
            return tn_shape_fail(shape, "the scale of dimension %d is %" PRId64 " / %" PRId64 ", it must be above 0", axis, num, den);
        *out = binary(shape, TN_SYM_FLOOR_DIV, binary(shape, TN_SYM_MUL, x->dims[axis], num), den);
    }
    int64_t in_value, out_value;
    if (!tn_sym_is_const(symbols, *out, &out_value)) return true;
    if (out_value < 0) return tn_shape_fail(shape, "it resizes dimension %d to %" PRId64, axis, out_value);
    if (out_value > 0 && tn_sym_is_const(symbols, x->dims[axis], &in_value) && in_value == 0)
        return tn_shape_fail(shape, "it resizes dimension %d, which is empty, to %" PRId64, axis, out_value);
    return true;
}

bool tn_shape_resize(tn_shape *shape) {
    const tn_resize_params *params = &shape->params->resize;
    const tn_tensor *x = shape->inputs[0];
    tn_tensor *size = shape->num_inputs > 1 ? shape->inputs[1] : NULL;
    if (params->mode < 0 || params->mode >= TN_NUM_INTERPOLATION_MODES || params->transform < 0 ||
        params->transform >= TN_NUM_RESIZE_TRANSFORMS || params->selector < 0 || params->selector >= TN_NUM_RESIZE_SELECTORS ||
        params->rounding < 0 || params->rounding >= TN_NUM_RESIZE_ROUNDINGS)
        return tn_shape_fail(shape, "there is no mode %d, transformation %d, selector %d or rounding %d", params->mode, params->transform,
                             params->selector, params->rounding);
    if (params->mode == TN_INTERPOLATION_NEAREST ? !tn_shape_want_elements(shape, 0) : !tn_shape_want_float(shape, 0, "x")) return false;
    if (size != NULL && (size->rank != 1 || !tn_tensor_require_host(size)))
        return tn_shape_fail(shape, "its size must be an integer tensor of 1 dimension, it is %s", tn_shape_describe(shape, size));
    int64_t given = size != NULL ? size->num_host_values : params->size.rank > 0 ? params->size.rank : params->numerators.rank;
    if (given != x->rank || (size == NULL && params->size.rank == 0 && params->denominators.rank != x->rank))
        return tn_shape_fail(shape, "it has sizes or scales for %" PRId64 " dimensions, it needs %d for %s", given, x->rank,
                             tn_shape_describe(shape, x));
    tn_shape_copy(shape, 0, x, x->dtype);
    for (int axis = 0; axis < x->rank; axis++)
        if (!resize_dim(shape, axis)) return false;
    return true;
}

bool tn_shape_grid_sample(tn_shape *shape) {
    const tn_grid_sample_params *params = &shape->params->grid_sample;
    const tn_tensor *x = shape->inputs[0], *grid = shape->inputs[1];
    if (params->mode < 0 || params->mode >= TN_NUM_INTERPOLATION_MODES)
        return tn_shape_fail(shape, "there is no interpolation mode %d", params->mode);
    if (params->outside != TN_SAMPLE_FILL && params->outside != TN_SAMPLE_CLAMP && params->outside != TN_SAMPLE_REFLECT)
        return tn_shape_fail(shape, "its sample mode must be fill, clamp or reflect");
    if (!tn_shape_want_float(shape, 0, "x") || !tn_shape_want_rank(shape, 0, "x", 4) || !tn_shape_want_float(shape, 1, "the grid") ||
        !tn_shape_want_rank(shape, 1, "the grid", 4) || !tn_shape_want_dim(shape, 1, "the grid", 0, x->dims[0]) ||
        !tn_shape_want_dim(shape, 1, "the grid", 3, tn_shape_const(shape, 2)))
        return false;
    tn_shape_copy(shape, 0, x, x->dtype);
    shape->outputs[0].dims[2] = grid->dims[1];
    shape->outputs[0].dims[3] = grid->dims[2];
    return true;
}
