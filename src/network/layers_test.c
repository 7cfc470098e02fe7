/* SPDX-License-Identifier: Apache-2.0
 *
 * layers_test.c: what the adders of layers with options refuse, and with which words; and looking at, naming and removing what is
 * there. Values are in tests/layers.
 */
#include "network/testing.h"

#define assert_refused(layer, part) \
    do {                            \
        assert_null(layer);         \
        assert_message(f, part);    \
    } while (0)

static tn_tensor *typed(fixture *f, const char *name, tn_dtype dtype, tn_dims dims) {
    return tn_network_add_input(f->net, name, dtype, dims);
}

static tn_window_options window(void) {
    tn_window_options o;
    tn_window_options_init(&o);
    return o;
}

static void windows_that_do_not_fit_are_refused(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4, 5, 6)), *w = add_floats(f, TN_DIMS(6, 4, 3, 3), "w"),
              *b = add_floats(f, TN_DIMS(6), "b");
    tn_tensor_set_dim_name(x, 0, "n");
    tn_window_options o = window();
    assert_type(output(tn_network_add_convolution(f->net, x, w, b, NULL)), "float32 [n, 6, 3, 4]");
    o.stride = TN_DIMS(2, 2), o.padding_mode = TN_PADDING_SAME_LOWER;
    assert_type(output(tn_network_add_convolution(f->net, x, w, NULL, &o)), "float32 [n, 6, 3, 3]");
    tn_tensor *wide = add_input(f, "wide", TN_DIMS(1, 4, -1, 6));
    tn_tensor_set_dim_name(wide, 2, "h");
    assert_type(output(tn_network_add_convolution(f->net, wide, w, NULL, NULL)), "float32 [1, 6, h - 2, 4]");
    assert_refused(tn_network_add_convolution(f->net, add_floats(f, TN_DIMS(1, 3, 5, 5), "c"), w, b, NULL), "it must have 4 channels");
    assert_refused(tn_network_add_convolution(f->net, x, w, add_floats(f, TN_DIMS(5), "b5"), NULL), "dimension 0 of the bias must be 6");
    assert_refused(tn_network_add_convolution(f->net, x, add_floats(f, TN_DIMS(6, 4, 9, 3), "tall"), b, NULL),
                   "a window of 9 (size 9, dilation 1) does not fit 5 elements with padding 0 and 0");
    assert_refused(tn_network_add_convolution(f->net, x, add_floats(f, TN_DIMS(6, 4, 3), "flat"), b, NULL),
                   "the kernel must have 4 dimensions");
    assert_refused(tn_network_add_convolution(f->net, add_floats(f, TN_DIMS(4, 4), "m"), w, b, NULL), "1 to 3 spatial dimensions");
    assert_refused(tn_network_add_convolution(f->net, typed(f, "i", TN_INT32, TN_DIMS(1, 4, 5, 5)), w, b, NULL),
                   "x must be of a float type");
    assert_refused(tn_network_add_convolution(f->net, typed(f, "half", TN_FLOAT16, TN_DIMS(1, 4, 5, 5)), w, b, NULL),
                   "the kernel must be float16");
    o = window(), o.groups = 4;
    assert_refused(tn_network_add_convolution(f->net, x, w, b, &o), "6 filters are no multiple of 4 groups");
    o = window(), o.groups = -1;
    assert_refused(tn_network_add_convolution(f->net, x, w, b, &o), "it has -1 groups");
    o = window(), o.stride = TN_DIMS(1, 1, 1);
    assert_refused(tn_network_add_convolution(f->net, x, w, b, &o), "its stride has 3 elements, it needs 2");
    o = window(), o.stride = TN_DIMS(0, 1);
    assert_refused(tn_network_add_convolution(f->net, x, w, b, &o), "stride 0");
    o = window(), o.pre_padding = TN_DIMS(-1, 0);
    assert_refused(tn_network_add_pooling(f->net, x, TN_POOLING_MAX, TN_DIMS(2, 2), &o), "padding -1 and 0");
    o = window(), o.padding_mode = (tn_padding_mode)9;
    assert_refused(tn_network_add_pooling(f->net, x, TN_POOLING_MAX, TN_DIMS(2, 2), &o), "there is no padding mode 9");
    o = window(), o.blend_factor = 1.5;
    assert_refused(tn_network_add_pooling(f->net, x, TN_POOLING_MAX_AVERAGE_BLEND, TN_DIMS(2, 2), &o), "its blend factor is 1.5");
    assert_refused(tn_network_add_pooling(f->net, x, TN_POOLING_MAX, TN_SCALAR, NULL), "its window has 0 dimensions");
    assert_refused(tn_network_add_pooling(f->net, x, (tn_pooling_type)7, TN_DIMS(2, 2), NULL), "there is no pooling 7");
    assert_refused(tn_network_add_pooling(f->net, x, TN_POOLING_MAX, TN_DIMS(2, 2), &(tn_window_options){0}),
                   "were not made by their init function");
    assert_refused(tn_network_add_deconvolution(f->net, x, w, b, NULL), "it must have 6 channels");
    o = window(), o.pre_padding = TN_DIMS(9, 9), o.post_padding = TN_DIMS(9, 9);
    assert_refused(tn_network_add_deconvolution(f->net, x, add_floats(f, TN_DIMS(4, 2, 3, 3), "d"), NULL, &o), "is more than its output");
    assert_refused(tn_network_add_lrn(f->net, x, 4, 1, 1, 1), "its window is 4, it must be odd");
}

static void resizing_wants_sizes_or_scales(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(1, 2, -1, 6));
    tn_tensor_set_dim_name(x, 2, "h");
    tn_resize_options o;
    tn_resize_options_init(&o);
    assert_refused(tn_network_add_resize(f->net, x, NULL), "it has neither a size nor");
    assert_refused(tn_network_add_resize(f->net, x, &o), "it has sizes or scales for 0 dimensions, it needs 4");
    o.num_scales = 4, o.scales[0] = o.scales[1] = 1.0, o.scales[2] = 0.6, o.scales[3] = 1.0 / 3.0;
    assert_type(output(tn_network_add_resize(f->net, x, &o)), "float32 [1, 2, h * 3 / 5, 2]");
    o.scales[3] = -1.0;
    assert_refused(tn_network_add_resize(f->net, x, &o), "the scale of dimension 3 is -1");
    o.num_scales = 0, o.size = TN_DIMS(1, 2, 3);
    assert_refused(tn_network_add_resize(f->net, x, &o), "it has sizes or scales for 3 dimensions");
    o.size = TN_DIMS(1, 2, 3, -4);
    assert_refused(tn_network_add_resize(f->net, x, &o), "it resizes dimension 3 to -4");
    o.size = TN_DIMS(1, 2, 3, 4), o.mode = TN_INTERPOLATION_LINEAR;
    assert_refused(tn_network_add_resize(f->net, typed(f, "i", TN_INT32, TN_DIMS(1, 2, 3, 4)), &o), "x must be of a float type");
    assert_refused(tn_network_add_resize(f->net, add_floats(f, TN_DIMS(1, 0, 3, 4), "none"), &o),
                   "it resizes dimension 1, which is empty, to 2");
    o.mode = (tn_interpolation_mode)5;
    assert_refused(tn_network_add_resize(f->net, x, &o), "there is no mode 5");
    tn_tensor *grid = add_input(f, "grid", TN_DIMS(1, 3, 3, 3));
    assert_refused(tn_network_add_grid_sample(f->net, x, grid, TN_INTERPOLATION_LINEAR, false, TN_SAMPLE_FILL),
                   "dimension 3 of the grid must be 2");
    assert_refused(tn_network_add_grid_sample(f->net, x, grid, TN_INTERPOLATION_LINEAR, false, TN_SAMPLE_WRAP),
                   "must be fill, clamp or reflect");
}

static void ordering_and_placing_want_axes_and_indices(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3, 4)), *i = typed(f, "i", TN_INT32, TN_DIMS(3, 2)), *b = typed(f, "b", TN_BOOL, TN_DIMS(3));
    assert_type(output(tn_network_add_topk(f->net, x, TN_TOPK_MAX, 2, -1)), "float32 [3, 2]");
    assert_refused(tn_network_add_topk(f->net, x, TN_TOPK_MAX, 5, 1), "it cannot take 5 elements along axis 1 of float32 [3, 4]");
    assert_refused(tn_network_add_topk(f->net, x, TN_TOPK_MAX, 1, 2), "axis 2 is outside");
    assert_refused(tn_network_add_topk(f->net, b, TN_TOPK_MAX, 1, 0), "it needs numbers");
    assert_refused(tn_network_add_cumulative(f->net, b, 0, TN_CUMULATIVE_SUM, false, false), "it needs numbers");
    assert_refused(tn_network_add_scatter(f->net, x, x, x, TN_SCATTER_ELEMENT, 0), "the indices must be int32 or int64");
    assert_refused(tn_network_add_scatter(f->net, x, i, x, TN_SCATTER_ELEMENT, 1), "dimension 1 of the updates must be 2");
    assert_refused(tn_network_add_scatter(f->net, x, typed(f, "deep", TN_INT32, TN_DIMS(2, 3)), x, TN_SCATTER_ND, 0),
                   "a constant from 1 to 2");
    assert_refused(tn_network_add_one_hot(f->net, i, x, 4, 0), "the values must have 1 dimensions");
    assert_refused(tn_network_add_one_hot(f->net, i, add_floats(f, TN_DIMS(2), "v"), 0, 0), "its depth is 0");
    assert_refused(tn_network_add_reverse_sequence(f->net, x, typed(f, "n", TN_INT32, TN_DIMS(4)), 0, 1),
                   "dimension 0 of the lengths must be 3");
    assert_refused(tn_network_add_reverse_sequence(f->net, x, typed(f, "n2", TN_INT32, TN_DIMS(3)), 0, 0), "are both 0");
    assert_refused(tn_network_add_ragged_softmax(f->net, x, i), "x must have 3 dimensions");
    assert_refused(tn_network_add_gather_batched(f->net, x, i, TN_GATHER_DEFAULT, 0, 1), "axis 0 is one of the 1 common dimensions");
    assert_refused(tn_network_add_gather_batched(f->net, x, i, TN_GATHER_DEFAULT, 1, 2), "2 dimensions cannot be common");
    assert_refused(tn_network_add_gather_batched(f->net, x, i, TN_GATHER_ELEMENT, 1, 1), "1 dimensions cannot be common");
    assert_refused(tn_network_add_squeeze(f->net, x, (const int[]){0}, 1), "dimension 0 of x must be 1");
    assert_refused(tn_network_add_squeeze(f->net, x, (const int[]){2}, 1), "axis 2 is outside 2 dimensions or stands twice");
    assert_refused(tn_network_add_unsqueeze(f->net, x, (const int[]){1, -3}, 2), "stands twice");
    const int64_t two = 2;
    tn_tensor *boxes = add_input(f, "boxes", TN_DIMS(1, 6, 4)), *scores = add_input(f, "scores", TN_DIMS(1, 5, 3));
    assert_refused(tn_network_add_nms(f->net, boxes, scores, add_int64s(f, &two, 1), NULL), "dimension 1 of the scores must be 6");
    assert_refused(tn_network_add_nms(f->net, x, scores, add_int64s(f, &two, 1), NULL), "the boxes must be [batch, boxes, 4]");
}

static void slices_by_mode_and_axes(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3, 4));
    tn_slice_options o;
    tn_slice_options_init(&o);
    o.start = TN_DIMS(-1, 2), o.size = TN_DIMS(5, 5), o.stride = TN_DIMS(1, 1);
    assert_refused(tn_network_add_slice_with(f->net, x, &o), "leave the dimension of 3");
    o.mode = TN_SAMPLE_FILL;
    assert_type(output(tn_network_add_slice_with(f->net, x, &o)), "float32 [5, 5]");
    o.fill = typed(f, "fill", TN_INT32, TN_SCALAR);
    assert_refused(tn_network_add_slice_with(f->net, x, &o), "the fill value must be float32");
    o.fill = typed(f, "fill1", TN_FLOAT32, TN_SCALAR), o.mode = TN_SAMPLE_WRAP;
    assert_refused(tn_network_add_slice_with(f->net, x, &o), "its mode is not fill");
    o.fill = NULL, o.axes = TN_DIMS(1, -1);
    assert_refused(tn_network_add_slice_with(f->net, x, &o), "axis 1 stands twice");
    o.axes = TN_DIMS(1);
    assert_refused(tn_network_add_slice_with(f->net, x, &o), "its start has 2 elements, it needs 1");
    assert_refused(
        tn_network_add_slice_with(
            f->net, add_floats(f, TN_DIMS(0, 4), "none"),
            &(tn_slice_options){
                .struct_size = sizeof o, .start = TN_DIMS(0, 0), .size = TN_DIMS(1, 1), .stride = TN_DIMS(1, 1), .mode = TN_SAMPLE_CLAMP}),
        "it takes 1 elements of an empty dimension");
    assert_refused(tn_network_add_padding(f->net, x, TN_DIMS(1), TN_DIMS(1, 2)), "it has 1 values before and 2 after");
}

static void parameters_want_shapes_that_broadcast(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 6, 4)), *bad = add_floats(f, TN_DIMS(5), "bad");
    assert_refused(tn_network_add_parametric_relu(f->net, x, bad), "the slope must have 3 dimensions");
    assert_refused(tn_network_add_parametric_relu(f->net, x, add_floats(f, TN_DIMS(1, 5, 1), "s")), "dimension 1 of the slope must be 6");
    assert_refused(tn_network_add_scale(f->net, x, TN_SCALE_UNIFORM, bad, NULL, NULL, 0), "the shift must be one value");
    assert_refused(tn_network_add_scale(f->net, x, TN_SCALE_CHANNEL, NULL, bad, NULL, 1), "dimension 0 of the scale must be 6");
    assert_refused(tn_network_add_scale(f->net, x, TN_SCALE_ELEMENTWISE, NULL, NULL, bad, 1), "the power must have 2 dimensions");
    tn_tensor *scale = add_floats(f, TN_DIMS(1, 6, 1), "scale");
    assert_refused(tn_network_add_normalization_nd(f->net, x, scale, NULL, TN_NORMALIZATION_LAYER, 0, 1, 1e-5), "axes 0x0 are none of");
    assert_refused(tn_network_add_normalization_nd(f->net, x, scale, NULL, TN_NORMALIZATION_LAYER, 4, 4, 1e-5), "4 groups do not divide");
    assert_refused(tn_network_add_normalization_nd(f->net, x, scale, NULL, TN_NORMALIZATION_LAYER, 6, 2, 1e-5),
                   "with groups its axes are spatial ones");
    assert_refused(tn_network_add_normalization_nd(f->net, x, bad, NULL, TN_NORMALIZATION_LAYER, 4, 1, 1e-5),
                   "the scale must have 3 dimensions");
    tn_layer *clip = tn_network_add_activation(f->net, x, TN_ACTIVATION_CLIP);
    tn_activation_set_parameters(clip, 0.0, 1.0 / 0.0);
    assert_message(f, "must be finite");
    assert_refused(tn_network_add_activation(f->net, typed(f, "i", TN_INT32, TN_DIMS(3)), TN_ACTIVATION_TANH), "must be of a float type");
    assert_refused(tn_network_add_dynamic_quantize(f->net, x, NULL, TN_INT4, TN_FLOAT32, TN_DIMS(1, 1, 4)), "it cannot quantise to int4");
    assert_refused(tn_network_add_dynamic_quantize(f->net, x, NULL, TN_INT8, TN_FLOAT32, TN_DIMS(4)), "its block has 1 dimensions");
    assert_refused(tn_network_add_fully_connected(f->net, x, bad, NULL), "the kernel [outputs, k]");
    assert_refused(tn_network_add_fill_constant(f->net, TN_DIMS(2), TN_FILL_RANDOM_UNIFORM, TN_INT32, 0, 1),
                   "alpha must be of a float type");
}

static void equations_are_completed_or_refused(void **state) {
    fixture *f = *state;
    tn_tensor *a = add_input(f, "a", TN_DIMS(2, 3)), *b = add_input(f, "b", TN_DIMS(3, 4));
    tn_tensor *both[2] = {a, b};
    assert_type(output(tn_network_add_einsum(f->net, both, 2, "ij, jk")), "float32 [2, 4]");
    assert_refused(tn_network_add_einsum(f->net, both, 2, "ij,ik->jk"), "is 3 where another input has 2");
    assert_refused(tn_network_add_einsum(f->net, both, 2, "ij->i"), "fewer lists than there are inputs");
    assert_refused(tn_network_add_einsum(f->net, both, 1, "ij,jk->ik"), "more lists than there are inputs");
    assert_refused(tn_network_add_einsum(f->net, both, 2, "ijk,jk->i"), "another number of dimensions");
    assert_refused(tn_network_add_einsum(f->net, both, 2, "iJ,jk->ik"), "labels are the letters a to z");
    assert_refused(tn_network_add_einsum(f->net, both, 2, "ij,jk->ix"), "stands in no input");
    assert_refused(tn_network_add_einsum(f->net, both, 2, "ij,jk->ii"), "stands in no input, or twice");
    assert_refused(tn_network_add_einsum(f->net, both, 2, "i..,jk->ik"), "an ellipsis is three dots");
    assert_refused(tn_network_add_einsum(f->net, both, 2, "ij,jk->ik,"), "it goes on behind the output");
    assert_refused(tn_network_add_einsum(f->net, both, 2, NULL), "cannot add einsum ''");
    assert_refused(tn_network_add_einsum(f->net, both, 9, "ij,jk"), "it takes 1 to 4 inputs");
}

static void assertions_that_never_hold_are_refused(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 3));
    const int64_t two = 2, three = 3;
    tn_tensor *rows = output(tn_network_add_gather(f->net, output(tn_network_add_shape(f->net, x)), add_int64s(f, (const int64_t[]){0}, 1),
                                                   TN_GATHER_DEFAULT, 0));
    tn_tensor *holds = output(tn_network_add_elementwise(f->net, rows, add_int64s(f, &two, 1), TN_ELEMENTWISE_EQUAL));
    tn_tensor *fails = output(tn_network_add_elementwise(f->net, rows, add_int64s(f, &three, 1), TN_ELEMENTWISE_EQUAL));
    assert_non_null(tn_network_add_assertion(f->net, holds, "two rows"));
    assert_refused(tn_network_add_assertion(f->net, fails, "three rows"), "it never holds: three rows");
    assert_refused(tn_network_add_assertion(f->net, holds, "a \"quote\""), "without quotes");
    assert_refused(tn_network_add_assertion(f->net, holds, NULL), "without quotes");
    assert_refused(tn_network_add_assertion(f->net, x, "no bool"), "the condition must be bool");
    tn_network_sweep(f->net); /* kept although nothing reads it */
    bool is_there = false;
    for (const tn_layer *layer = f->net->first_layer; layer != NULL; layer = layer->next)
        is_there = is_there || layer->kind == TN_OP_ASSERTION;
    assert_true(is_there);
}

static void tensors_and_layers_are_found_and_removed(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 3));
    tn_layer *first = tn_network_add_unary(f->net, x, TN_UNARY_EXP), *second = tn_network_add_unary(f->net, output(first), TN_UNARY_LOG);
    tn_layer_set_name(first, "first");
    tn_tensor_set_name(output(second), "result");
    assert_ptr_equal(tn_network_find_layer(f->net, "first"), first);
    assert_ptr_equal(tn_network_find_tensor(f->net, "result"), output(second));
    assert_ptr_equal(tn_network_find_tensor(f->net, "x"), x);
    assert_null(tn_network_find_tensor(f->net, "nothing"));
    assert_null(tn_network_find_layer(f->net, NULL));
    assert_int_equal(tn_layer_num_inputs(first), 1);
    assert_int_equal(tn_layer_num_outputs(tn_network_add_topk(f->net, x, TN_TOPK_MAX, 1, 0)), 2);
    assert_string_equal(tn_layer_metadata(first), "");
    tn_layer_set_metadata(first, "block 3");
    assert_string_equal(tn_layer_metadata(first), "block 3");
    tn_network_remove_tensor(f->net, output(first));
    assert_message(f, "cannot remove 'unary_1': a layer reads it");
    tn_network_mark_output(f->net, output(second), "y");
    assert_true(tn_tensor_is_output(output(second)));
    tn_network_remove_tensor(f->net, output(second));
    assert_message(f, "cannot remove 'y'");
    tn_network_unmark_output(f->net, output(second));
    assert_false(tn_tensor_is_output(output(second)));
    tn_network_mark_debug(f->net, output(second));
    assert_true(tn_tensor_is_debug(output(second)));
    tn_network_unmark_debug(f->net, output(second));
    tn_tensor *result = output(second);
    tn_network_remove_tensor(f->net, result);
    assert_null(tn_network_find_tensor(f->net, "y"));
    tn_network_remove_tensor(f->net, output(first));
    assert_null(tn_network_find_layer(f->net, "first"));
    tn_network_remove_tensor(f->net, x);
    assert_message(f, "no layer makes it");
    assert_string_equal(tn_network_name(f->net), "forward");
    assert_int_equal(tn_network_flags(f->net), 0);
}

static void shapes_are_outputs_and_weights_have_names(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 3));
    tn_tensor *shape = output(tn_network_add_shape(f->net, x));
    tn_network_mark_output_for_shapes(f->net, shape, "dims");
    assert_true(tn_tensor_is_output(shape));
    assert_true(tn_tensor_is_shape(shape));
    assert_false(tn_tensor_is_shape(x));
    assert_true(tn_tensor_is_input(x));
    tn_network_mark_output_for_shapes(f->net, output(tn_network_add_identity(f->net, x)), "values");
    assert_message(f, "it must be integers or bools");
    tn_layer *w = add_floats(f, TN_DIMS(3), NULL)->producer;
    tn_constant_set_weights_name(w, "decoder.bias");
    assert_string_equal(w->weights->name, "decoder.bias");
    tn_constant_set_weights_name(w, "");
    assert_message(f, "the name is empty");
    tn_constant_set_weights_name(shape->producer, "x");
    assert_message(f, "it is shape, not constant");
}

static void missing_inputs_are_told_once(void **state) {
    fixture *f = *state;
    tn_tensor *bad = output(tn_network_add_lrn(f->net, NULL, 1, 1, 1, 1));
    size_t count = tn_diag_num_entries(f->diag);
    assert_int_equal(count, 1);
    bad = output(tn_network_add_pooling(f->net, bad, TN_POOLING_MAX, TN_DIMS(1), NULL));
    bad = output(tn_network_add_squeeze(f->net, bad, NULL, 0));
    bad = output(tn_network_add_padding(f->net, bad, TN_DIMS(1), TN_DIMS(1)));
    bad = output(tn_network_add_fully_connected(f->net, bad, NULL, NULL));
    bad = output(tn_network_add_einsum(f->net, &bad, 1, "a"));
    bad = output(tn_network_add_topk(f->net, bad, TN_TOPK_MAX, 1, 0));
    tn_topk_set_k_tensor(NULL, bad);
    tn_fill_set_operation(NULL, TN_FILL_LINSPACE, 0);
    tn_layer_set_metadata(NULL, "x");
    tn_network_remove_tensor(f->net, bad);
    assert_null(bad);
    assert_int_equal(tn_diag_num_entries(f->diag), count);
    assert_null(tn_network_add_resize(NULL, NULL, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(windows_that_do_not_fit_are_refused),        TEST(resizing_wants_sizes_or_scales),
        TEST(ordering_and_placing_want_axes_and_indices), TEST(slices_by_mode_and_axes),
        TEST(parameters_want_shapes_that_broadcast),      TEST(equations_are_completed_or_refused),
        TEST(assertions_that_never_hold_are_refused),     TEST(tensors_and_layers_are_found_and_removed),
        TEST(shapes_are_outputs_and_weights_have_names),  TEST(missing_inputs_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
