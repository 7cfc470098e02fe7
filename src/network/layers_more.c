/* SPDX-License-Identifier: Apache-2.0
 *
 * layers_more.c: public adders with options, and those that make several layers or their own constants.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "network/network_internal.h"
#include "op/dtype.h"
#include "op/einsum.h"

bool tn_network_options_are_made(tn_network *network, const char *kind, const void *options, size_t struct_size, size_t expected) {
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot add %s: the network is missing", kind);
        return false;
    }
    if (options == NULL || struct_size == expected) return true;
    TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add %s: its options were not made by their init function", kind);
    return false;
}

tn_tensor *tn_network_add_copied_constant(tn_network *network, tn_dims dims, tn_dtype dtype, const double *values) {
    int64_t count = 1, rows = 1, columns = dims.rank > 0 ? dims.d[dims.rank - 1] : 1;
    size_t bytes = 0;
    for (int i = 0; i < dims.rank; i++) count *= dims.d[i];
    if (columns > 0) rows = count / columns;
    if (!tn_dtype_matrix_bytes(dtype, rows, columns, &bytes)) return NULL;
    void *data = tn_network_alloc(network, bytes + 8);
    if (data == NULL) return NULL;
    for (int64_t i = 0; i < count; i++) tn_dtype_store(dtype, data, i, values[i]);
    return tn_layer_output(tn_network_add_constant(network, dims, &(tn_weights_data){.dtype = dtype, .data = data, .count = count}), 0);
}

/* --- values --------------------------------------------------------------------------------------------------------------- */

tn_layer *tn_network_add_fill_constant(tn_network *network, tn_dims dims, tn_fill_op op, tn_dtype dtype, double alpha, double beta) {
    if (!tn_network_options_are_made(network, "fill", NULL, 0, 0)) return NULL;
    double sizes[TN_MAX_RANK];
    if (dims.rank < 0 || dims.rank > TN_MAX_RANK || tn_dtype_name(dtype) == NULL || dtype == TN_DTYPE_NONE ||
        tn_dtype_get_info(dtype)->bits < 8 || dtype == TN_Q15_32 || dtype == TN_Q8_32) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add fill: %" PRId32 " dimensions of type %s are not possible", dims.rank,
                        tn_dtype_name(dtype) != NULL ? tn_dtype_name(dtype) : "unknown");
        return NULL;
    }
    for (int i = 0; i < dims.rank; i++) {
        sizes[i] = (double)dims.d[i];
        if (dims.d[i] >= 0) continue;
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add fill: dimension %d is %" PRId64 ", it must be ≥ 0", i, dims.d[i]);
        return NULL;
    }
    tn_tensor *inputs[3] = {tn_network_add_copied_constant(network, TN_DIMS(dims.rank), TN_INT64, sizes),
                            tn_network_add_copied_constant(network, TN_SCALAR, dtype, &alpha),
                            tn_network_add_copied_constant(network, TN_SCALAR, dtype, &beta)};
    return tn_network_add_layer(network, TN_OP_FILL, &(tn_op_params){.fill = {.op = (int)op}}, inputs, 3, NULL);
}

void tn_fill_set_operation(tn_layer *layer, tn_fill_op op, int64_t seed) {
    if (!tn_layer_is_kind(layer, TN_OP_FILL)) return;
    tn_op_params params = layer->params;
    params.fill.op = (int)op;
    params.fill.seed = seed;
    (void)tn_layer_change(layer, &params, NULL, 0);
}

tn_layer *tn_network_add_assertion(tn_network *network, tn_tensor *condition, const char *message) {
    tn_op_params params = {0};
    if (!tn_network_options_are_made(network, "assertion", NULL, 0, 0)) return NULL;
    if (message == NULL || !tn_label_set(&params.assertion.message, message, strlen(message))) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT,
                        "cannot add assertion: its message must be UTF-8 of at most %d bytes without quotes, backslashes and control "
                        "characters",
                        TN_MAX_LABEL_BYTES - 1);
        return NULL;
    }
    return tn_network_add_layer(network, TN_OP_ASSERTION, &params, &condition, 1, NULL);
}

/* --- parameters -------------------------------------------------------------------------------------------------------------- */

void tn_activation_set_parameters(tn_layer *layer, double alpha, double beta) {
    if (!tn_layer_is_kind(layer, TN_OP_ACTIVATION)) return;
    tn_op_params params = layer->params;
    params.activation.alpha = alpha;
    params.activation.beta = beta;
    (void)tn_layer_change(layer, &params, NULL, 0);
}

tn_layer *tn_network_add_parametric_relu(tn_network *network, tn_tensor *x, tn_tensor *slope) {
    return tn_network_add_layer(network, TN_OP_PARAMETRIC_RELU, NULL, (tn_tensor *[]){x, slope}, 2, NULL);
}

tn_layer *tn_network_add_scale(tn_network *network, tn_tensor *x, tn_scale_mode mode, tn_tensor *shift, tn_tensor *scale, tn_tensor *power,
                               int axis) {
    tn_op_params params = {.scale = {.mode = (int)mode, .axis = axis}};
    return tn_network_add_layer(network, TN_OP_SCALE, &params, (tn_tensor *[]){x, shift, scale, power}, 4, NULL);
}

tn_layer *tn_network_add_normalization_nd(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_tensor *bias, tn_normalization_type type,
                                          uint32_t axes, int64_t groups, double epsilon) {
    tn_op_params params = {.normalization_nd = {.type = (int)type, .axes = axes, .groups = groups, .epsilon = epsilon}};
    return tn_network_add_layer(network, TN_OP_NORMALIZATION_ND, &params, (tn_tensor *[]){x, scale, bias}, 3, NULL);
}

tn_layer *tn_network_add_lrn(tn_network *network, tn_tensor *x, int64_t window, double alpha, double beta, double k) {
    tn_op_params params = {.lrn = {.window = window, .alpha = alpha, .beta = beta, .k = k}};
    return tn_network_add_layer(network, TN_OP_LRN, &params, &x, 1, NULL);
}

/* --- order ------------------------------------------------------------------------------------------------------------------- */

tn_layer *tn_network_add_topk(tn_network *network, tn_tensor *x, tn_topk_op op, int64_t k, int axis) {
    tn_op_params params = {.topk = {.op = (int)op, .k = k, .axis = axis}};
    return tn_network_add_layer(network, TN_OP_TOPK, &params, &x, 1, NULL);
}

void tn_topk_set_k_tensor(tn_layer *layer, tn_tensor *k) {
    if (!tn_layer_is_kind(layer, TN_OP_TOPK)) return;
    if (k == NULL)
        tn_network_fail_missing(layer->network, "set an input");
    else
        (void)tn_layer_set_input(layer, 1, k);
}

void tn_topk_set_indices_type(tn_layer *layer, tn_dtype dtype) {
    if (!tn_layer_is_kind(layer, TN_OP_TOPK)) return;
    tn_op_params params = layer->params;
    params.topk.indices = dtype;
    (void)tn_layer_change(layer, &params, NULL, 0);
}

void tn_non_zero_set_indices_type(tn_layer *layer, tn_dtype dtype) {
    if (!tn_layer_is_kind(layer, TN_OP_NON_ZERO)) return;
    tn_op_params params = layer->params;
    params.non_zero.indices = dtype;
    (void)tn_layer_change(layer, &params, NULL, 0);
}

tn_layer *tn_network_add_cumulative(tn_network *network, tn_tensor *x, int axis, tn_cumulative_op op, bool exclusive, bool reverse) {
    tn_op_params params = {.cumulative = {.op = (int)op, .axis = axis, .exclusive = exclusive, .reverse = reverse}};
    return tn_network_add_layer(network, TN_OP_CUMULATIVE, &params, &x, 1, NULL);
}

tn_layer *tn_network_add_ragged_softmax(tn_network *network, tn_tensor *x, tn_tensor *bounds) {
    return tn_network_add_layer(network, TN_OP_RAGGED_SOFTMAX, NULL, (tn_tensor *[]){x, bounds}, 2, NULL);
}

/* --- moving ------------------------------------------------------------------------------------------------------------------ */

void tn_shuffle_set_zero_is_placeholder(tn_layer *layer, bool is_placeholder) {
    if (!tn_layer_is_kind(layer, TN_OP_SHUFFLE)) return;
    tn_op_params params = layer->params;
    params.shuffle.zero_is_zero = !is_placeholder;
    (void)tn_layer_change(layer, &params, NULL, 0);
}

/* Axes as a mask over `rank` dimensions; −1 after recording. */
static int64_t mask_of(tn_network *network, const char *kind, const int *axes, int num_axes, int rank) {
    int64_t mask = 0;
    for (int i = 0; i < num_axes && axes != NULL; i++) {
        int axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis >= 0 && axis < rank && axis < TN_MAX_RANK && (mask >> axis & 1) == 0) {
            mask |= (int64_t)1 << axis;
            continue;
        }
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add %s: axis %d is outside %d dimensions or stands twice", kind, axes[i],
                        rank);
        return -1;
    }
    return mask;
}

tn_layer *tn_network_add_squeeze(tn_network *network, tn_tensor *x, const int *axes, int num_axes) {
    if (network == NULL || x == NULL) return tn_network_add_layer(network, TN_OP_SQUEEZE, NULL, &x, 1, NULL);
    int64_t mask = mask_of(network, "squeeze", axes, num_axes, x->rank);
    return mask < 0 ? NULL : tn_network_add_layer(network, TN_OP_SQUEEZE, &(tn_op_params){.squeeze = {.axes = mask}}, &x, 1, NULL);
}

tn_layer *tn_network_add_unsqueeze(tn_network *network, tn_tensor *x, const int *axes, int num_axes) {
    if (network == NULL || x == NULL) return tn_network_add_layer(network, TN_OP_UNSQUEEZE, NULL, &x, 1, NULL);
    int64_t mask = mask_of(network, "unsqueeze", axes, num_axes, x->rank + (num_axes > 0 ? num_axes : 0));
    return mask < 0 ? NULL : tn_network_add_layer(network, TN_OP_UNSQUEEZE, &(tn_op_params){.unsqueeze = {.axes = mask}}, &x, 1, NULL);
}

void tn_slice_options_init(tn_slice_options *options) {
    *options = (tn_slice_options){.struct_size = sizeof *options};
}

tn_layer *tn_network_add_slice_with(tn_network *network, tn_tensor *x, const tn_slice_options *options) {
    if (!tn_network_options_are_made(network, "slice", options, options != NULL ? options->struct_size : 0, sizeof *options)) return NULL;
    if (options == NULL) {
        tn_network_fail_missing(network, "add a slice");
        return NULL;
    }
    tn_op_params params = {
        .slice = {
            .start = options->start, .size = options->size, .stride = options->stride, .mode = (int)options->mode, .axes = options->axes}};
    tn_tensor *inputs[5] = {x, options->start_tensor, options->size_tensor, options->stride_tensor, options->fill};
    return tn_network_add_layer(network, TN_OP_SLICE, &params, inputs, 5, NULL);
}

tn_layer *tn_network_add_padding(tn_network *network, tn_tensor *x, tn_dims pre, tn_dims post) {
    tn_slice_options options;
    tn_slice_options_init(&options);
    options.mode = TN_SAMPLE_FILL;
    if (network == NULL || x == NULL) return tn_network_add_slice_with(network, x, &options);
    if (pre.rank != post.rank || pre.rank < 1 || pre.rank > x->rank) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT,
                        "cannot add padding: it has %" PRId32 " values before and %" PRId32 " after, for '%s' of %d dimensions", pre.rank,
                        post.rank, x->name, x->rank);
        return NULL;
    }
    tn_tensor *shape = NULL;
    double amounts[TN_MAX_RANK] = {0};
    for (int i = 0; i < pre.rank; i++) {
        int axis = x->rank - pre.rank + i;
        int64_t size;
        options.axes.d[i] = axis;
        options.start.d[i] = -pre.d[i];
        options.stride.d[i] = 1;
        amounts[i] = (double)(pre.d[i] + post.d[i]);
        if (tn_sym_is_const(network->symbols, x->dims[axis], &size))
            options.size.d[i] = size + pre.d[i] + post.d[i];
        else
            options.size.d[i] = INT64_MIN; /* by a tensor */
    }
    options.axes.rank = options.start.rank = options.stride.rank = options.size.rank = pre.rank;
    bool is_dynamic = false;
    for (int i = 0; i < pre.rank; i++) is_dynamic = is_dynamic || options.size.d[i] == INT64_MIN;
    if (is_dynamic) { /* size = shape(x)[last ones] + amounts */
        shape = tn_layer_output(tn_network_add_shape(network, x), 0);
        shape = tn_layer_output(tn_network_add_slice(network, shape, TN_DIMS(x->rank - pre.rank), TN_DIMS(pre.rank), TN_DIMS(1)), 0);
        tn_tensor *added = tn_network_add_copied_constant(network, TN_DIMS(pre.rank), TN_INT64, amounts);
        options.size_tensor = tn_layer_output(tn_network_add_elementwise(network, shape, added, TN_ELEMENTWISE_SUM), 0);
        if (options.size_tensor == NULL) return NULL;
    }
    return tn_network_add_slice_with(network, x, &options);
}

tn_layer *tn_network_add_gather_batched(tn_network *network, tn_tensor *data, tn_tensor *indices, tn_gather_mode mode, int axis,
                                        int batch_dims) {
    tn_op_params params = {.gather = {.mode = (int)mode, .axis = axis, .batch_dims = batch_dims}};
    return tn_network_add_layer(network, TN_OP_GATHER, &params, (tn_tensor *[]){data, indices}, 2, NULL);
}

tn_layer *tn_network_add_scatter(tn_network *network, tn_tensor *data, tn_tensor *indices, tn_tensor *updates, tn_scatter_mode mode,
                                 int axis) {
    tn_op_params params = {.scatter = {.mode = (int)mode, .axis = axis}};
    return tn_network_add_layer(network, TN_OP_SCATTER, &params, (tn_tensor *[]){data, indices, updates}, 3, NULL);
}

tn_layer *tn_network_add_one_hot(tn_network *network, tn_tensor *indices, tn_tensor *values, int64_t depth, int axis) {
    tn_op_params params = {.one_hot = {.depth = depth, .axis = axis}};
    return tn_network_add_layer(network, TN_OP_ONE_HOT, &params, (tn_tensor *[]){indices, values}, 2, NULL);
}

tn_layer *tn_network_add_reverse_sequence(tn_network *network, tn_tensor *x, tn_tensor *lengths, int batch_axis, int sequence_axis) {
    tn_op_params params = {.reverse_sequence = {.batch_axis = batch_axis, .sequence_axis = sequence_axis}};
    return tn_network_add_layer(network, TN_OP_REVERSE_SEQUENCE, &params, (tn_tensor *[]){x, lengths}, 2, NULL);
}

void tn_nms_options_init(tn_nms_options *options) {
    *options = (tn_nms_options){.struct_size = sizeof *options, .top_k = 5000, .indices = TN_INT32};
}

tn_layer *tn_network_add_nms(tn_network *network, tn_tensor *boxes, tn_tensor *scores, tn_tensor *max_per_class,
                             const tn_nms_options *options) {
    tn_nms_options defaults;
    tn_nms_options_init(&defaults);
    if (!tn_network_options_are_made(network, "nms", options, options != NULL ? options->struct_size : 0, sizeof *options)) return NULL;
    if (options == NULL) options = &defaults;
    tn_op_params params = {.nms = {.format = (int)options->format, .top_k = options->top_k, .indices = options->indices}};
    tn_tensor *inputs[5] = {boxes, scores, max_per_class, options->iou_threshold, options->score_threshold};
    return tn_network_add_layer(network, TN_OP_NMS, &params, inputs, 5, NULL);
}

/* --- windows and sampling ------------------------------------------------------------------------------------------------------ */

void tn_window_options_init(tn_window_options *options) {
    *options = (tn_window_options){.struct_size = sizeof *options, .groups = 1};
}

static tn_layer *add_convolution(tn_network *network, tn_op_kind kind, tn_tensor *x, tn_tensor *kernel, tn_tensor *bias,
                                 const tn_window_options *options) {
    tn_window_options defaults;
    tn_window_options_init(&defaults);
    if (!tn_network_options_are_made(network, tn_op_get_info(kind)->name, options, options != NULL ? options->struct_size : 0,
                                     sizeof *options))
        return NULL;
    if (options == NULL) options = &defaults;
    tn_op_params params = {.convolution = {.stride = options->stride,
                                           .dilation = options->dilation,
                                           .pre_padding = options->pre_padding,
                                           .post_padding = options->post_padding,
                                           .padding_mode = (int)options->padding_mode,
                                           .groups = options->groups}};
    return tn_network_add_layer(network, kind, &params, (tn_tensor *[]){x, kernel, bias}, 3, NULL);
}

tn_layer *tn_network_add_convolution(tn_network *network, tn_tensor *x, tn_tensor *kernel, tn_tensor *bias,
                                     const tn_window_options *options) {
    return add_convolution(network, TN_OP_CONVOLUTION, x, kernel, bias, options);
}

tn_layer *tn_network_add_deconvolution(tn_network *network, tn_tensor *x, tn_tensor *kernel, tn_tensor *bias,
                                       const tn_window_options *options) {
    return add_convolution(network, TN_OP_DECONVOLUTION, x, kernel, bias, options);
}

tn_layer *tn_network_add_pooling(tn_network *network, tn_tensor *x, tn_pooling_type type, tn_dims window,
                                 const tn_window_options *options) {
    tn_window_options defaults;
    tn_window_options_init(&defaults);
    if (!tn_network_options_are_made(network, "pooling", options, options != NULL ? options->struct_size : 0, sizeof *options)) return NULL;
    if (options == NULL) options = &defaults;
    tn_op_params params = {.pooling = {.type = (int)type,
                                       .window = window,
                                       .stride = options->stride,
                                       .pre_padding = options->pre_padding,
                                       .post_padding = options->post_padding,
                                       .padding_mode = (int)options->padding_mode,
                                       .blend = options->blend_factor,
                                       .counts_padding = options->average_counts_padding}};
    return tn_network_add_layer(network, TN_OP_POOLING, &params, &x, 1, NULL);
}

void tn_resize_options_init(tn_resize_options *options) {
    *options = (tn_resize_options){.struct_size = sizeof *options, .cubic_coeff = -0.75};
}

/* The fraction of smallest denominator within float32's precision of a scale, by continued fractions. */
static bool find_fraction(double scale, int64_t *out_num, int64_t *out_den) {
    enum { MAX_TERM = 1 << 20 };
    int64_t before_num = 1, num, before_den = 0, den = 1;
    if (!(scale > 0.0) || scale > MAX_TERM) return false;
    double rest = scale - floor(scale);
    num = (int64_t)floor(scale);
    while (fabs((double)num / (double)den - scale) > scale * 0x1p-24) {
        double inverse = 1.0 / rest;
        int64_t term = (int64_t)floor(inverse), next_num, next_den;
        rest = inverse - floor(inverse);
        next_num = term * num + before_num, next_den = term * den + before_den;
        if (next_num > MAX_TERM || next_den > MAX_TERM) break;
        before_num = num, before_den = den, num = next_num, den = next_den;
    }
    *out_num = num, *out_den = den;
    return num > 0;
}

static bool set_fractions(tn_network *network, const char *what, const double *scales, int num_scales, tn_resize_params *params) {
    for (int i = 0; i < num_scales; i++) {
        if (find_fraction(scales[i], &params->numerators.d[i], &params->denominators.d[i])) continue;
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot %s: the scale of dimension %d is %g, it must be above 0", what, i, scales[i]);
        return false;
    }
    params->numerators.rank = params->denominators.rank = num_scales;
    return true;
}

bool tn_resize_set_scales(tn_layer *layer, const double *scales, int num_scales) {
    if (!tn_layer_is_kind(layer, TN_OP_RESIZE)) return false;
    tn_op_params params = layer->params;
    if (scales == NULL || num_scales < 1 || num_scales > TN_MAX_RANK) {
        TN_NETWORK_FAIL(layer->network, TN_INVALID_ARGUMENT, "cannot change resize '%s': it needs 1 to %d scales, %d were given",
                        layer->name, TN_MAX_RANK, scales != NULL ? num_scales : 0);
        return false;
    }
    params.resize.size = (tn_dims){0};
    return set_fractions(layer->network, "change a resize", scales, num_scales, &params.resize) &&
           tn_layer_change(layer, &params, &(tn_input_change){1, NULL}, 1);
}

tn_layer *tn_network_add_resize(tn_network *network, tn_tensor *x, const tn_resize_options *options) {
    if (!tn_network_options_are_made(network, "resize", options, options != NULL ? options->struct_size : 0, sizeof *options)) return NULL;
    if (options == NULL || options->num_scales < 0 || options->num_scales > TN_MAX_RANK) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add resize: it has neither a size nor 1 to %d scales", TN_MAX_RANK);
        return NULL;
    }
    tn_op_params params = {.resize = {.size = options->size,
                                      .mode = (int)options->mode,
                                      .transform = (int)options->transform,
                                      .selector = (int)options->selector,
                                      .rounding = (int)options->rounding,
                                      .cubic_coeff = options->cubic_coeff,
                                      .exclude_outside = options->exclude_outside}};
    if (!set_fractions(network, "add resize", options->scales, options->num_scales, &params.resize)) return NULL;
    return tn_network_add_layer(network, TN_OP_RESIZE, &params, (tn_tensor *[]){x, options->size_tensor}, 2, NULL);
}

tn_layer *tn_network_add_grid_sample(tn_network *network, tn_tensor *x, tn_tensor *grid, tn_interpolation_mode mode, bool align_corners,
                                     tn_sample_mode outside) {
    tn_op_params params = {.grid_sample = {.mode = (int)mode, .align_corners = align_corners, .outside = (int)outside}};
    return tn_network_add_layer(network, TN_OP_GRID_SAMPLE, &params, (tn_tensor *[]){x, grid}, 2, NULL);
}

/* --- products, quantisation ---------------------------------------------------------------------------------------------------- */

tn_layer *tn_network_add_einsum(tn_network *network, tn_tensor *const *inputs, int num_inputs, const char *equation) {
    int ranks[TN_EINSUM_MAX_INPUTS] = {0};
    tn_op_params params = {0};
    const char *reason = "it takes 1 to 4 inputs";
    if (!tn_network_options_are_made(network, "einsum", NULL, 0, 0)) return NULL;
    bool is_valid = inputs != NULL && equation != NULL && num_inputs >= 1 && num_inputs <= TN_EINSUM_MAX_INPUTS;
    for (int i = 0; is_valid && i < num_inputs; i++) {
        if (inputs[i] == NULL) {
            tn_network_fail_missing(network, "add an einsum");
            return NULL;
        }
        ranks[i] = inputs[i]->rank;
    }
    if (!is_valid || !tn_einsum_complete(equation, ranks, num_inputs, &params.einsum.equation, &reason)) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add einsum '%s': %s", equation != NULL ? equation : "", reason);
        return NULL;
    }
    return tn_network_add_layer(network, TN_OP_EINSUM, &params, inputs, (uint32_t)num_inputs, NULL);
}

tn_layer *tn_network_add_fully_connected(tn_network *network, tn_tensor *x, tn_tensor *kernel, tn_tensor *bias) {
    tn_layer *flat = tn_network_add_shuffle(network, x);
    if (flat == NULL) return NULL;
    if (x->rank < 1 || kernel == NULL || kernel->rank != 2) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add fully_connected: x must be [n, …] and the kernel [outputs, k]");
        return NULL;
    }
    tn_shuffle_set_reshape(flat, x->rank == 1 ? TN_DIMS(0, 1) : TN_DIMS(0, -1));
    tn_tensor *y =
        tn_layer_output(tn_network_add_matrix_multiply(network, tn_layer_output(flat, 0), TN_MATRIX_NONE, kernel, TN_MATRIX_TRANSPOSE), 0);
    if (bias != NULL) {
        tn_layer *row = tn_network_add_shuffle(network, bias);
        if (row != NULL) tn_shuffle_set_reshape(row, TN_DIMS(1, -1));
        y = tn_layer_output(tn_network_add_elementwise(network, y, tn_layer_output(row, 0), TN_ELEMENTWISE_SUM), 0);
    }
    return tn_network_add_unsqueeze(network, y, (const int[]){2, 3}, 2);
}

tn_layer *tn_network_add_quantize_blocks(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, tn_dims block) {
    tn_op_params params = {.quantize = {.to = to, .block = block}};
    return tn_network_add_layer(network, TN_OP_QUANTIZE, &params, (tn_tensor *[]){x, scale}, 2, NULL);
}

tn_layer *tn_network_add_dequantize_blocks(tn_network *network, tn_tensor *x, tn_tensor *scale, tn_dtype to, tn_dims block) {
    tn_op_params params = {.dequantize = {.to = to, .block = block}};
    return tn_network_add_layer(network, TN_OP_DEQUANTIZE, &params, (tn_tensor *[]){x, scale}, 2, NULL);
}

tn_layer *tn_network_add_dynamic_quantize(tn_network *network, tn_tensor *x, tn_tensor *scale_scale, tn_dtype to, tn_dtype scale_type,
                                          tn_dims block) {
    tn_op_params params = {.dynamic_quantize = {.to = to, .scale_type = scale_type, .block = block}};
    return tn_network_add_layer(network, TN_OP_DYNAMIC_QUANTIZE, &params, (tn_tensor *[]){x, scale_scale}, 2, NULL);
}
