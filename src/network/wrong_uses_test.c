/* SPDX-License-Identifier: Apache-2.0
 *
 * wrong_uses_test.c: the public interface of networks used wrongly, one case a line: the first error's status and its words, which
 * name the cause. Nothing crashes, the network can be destroyed, and a verify after it refuses. Plugins: tests/layers/plugin_test.c;
 * patterns: rewrite/misuse_test.c; texts, regions and states: beside their files.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "network/network_internal.h"
#include "network/testing.h"

typedef struct world {
    tn_diag *diag;
    tn_network *net, *other;
    tn_tensor *x, *half, *m6, *m5, *v, *i2, *b, *flag, *lengths, *one, *kernel, *kernel2, *grid, *y, *foreign, *in, *out;
    tn_layer *sum, *constant, *carry;
    tn_weights_data six;
    tn_resize_options shrink;
    tn_attention_options masked_causal;
    tn_moe_options moe;
    tn_if *if_;
    tn_loop *loop;
    tn_call *call;
    char *long_text;
} world;

#define N    (w->net)
#define O(l) tn_layer_output((l), 0)

static void input_without_a_name(world *w) {
    (void)(tn_network_add_input(N, "", TN_FLOAT32, TN_DIMS(2)));
}
static void input_with_a_name_too_long(world *w) {
    (void)(tn_network_add_input(N, w->long_text, TN_FLOAT32, TN_DIMS(2)));
}
static void input_with_a_name_that_is_not_utf8(world *w) {
    (void)(tn_network_add_input(N, "\xff", TN_FLOAT32, TN_DIMS(2)));
}
static void two_inputs_of_one_name(world *w) {
    (void)(tn_network_add_input(N, "x", TN_FLOAT32, TN_DIMS(2)));
}
static void input_of_nine_dimensions(world *w) {
    (void)(tn_network_add_input(N, "nine", TN_FLOAT32, (tn_dims){.rank = 9}));
}
static void input_of_a_negative_size(world *w) {
    (void)(tn_network_add_input(N, "negative", TN_FLOAT32, TN_DIMS(-2)));
}
static void input_without_a_type(world *w) {
    (void)(tn_network_add_input(N, "none", TN_DTYPE_NONE, TN_DIMS(2)));
}
static void input_of_an_inner_type(world *w) {
    (void)(tn_network_add_input(N, "q15", TN_Q15_32, TN_DIMS(2)));
}
static void input_of_an_unknown_type(world *w) {
    (void)(tn_network_add_input(N, "unknown", (tn_dtype)999, TN_DIMS(2)));
}
static void output_that_is_an_input(world *w) {
    (void)(tn_network_mark_output(N, w->x, "y"));
}
static void output_marked_twice(world *w) {
    (void)(tn_network_mark_output(N, w->y, "a"), tn_network_mark_output(N, w->y, "b"));
}
static void output_that_is_missing(world *w) {
    (void)(tn_network_mark_output(N, NULL, "y"));
}
static void output_of_another_network(world *w) {
    (void)(tn_network_mark_output(N, O(tn_network_add_identity(w->other, w->foreign)), "y"));
}
static void two_outputs_of_one_name(world *w) {
    (void)(tn_network_mark_output(N, w->y, "y"), tn_network_mark_output(N, O(tn_network_add_identity(N, w->x)), "y"));
}
static void output_named_as_an_input(world *w) {
    (void)(tn_network_mark_output(N, w->y, "x"));
}
static void output_for_shapes_of_floats(world *w) {
    (void)(tn_network_mark_output_for_shapes(N, w->y, "y"));
}
static void output_for_shapes_of_two_dimensions(world *w) {
    (void)(tn_network_mark_output_for_shapes(N, O(tn_network_add_identity(N, w->i2)), "y"));
}
static void debug_tensor_that_is_missing(world *w) {
    (void)(tn_network_mark_debug(N, NULL));
}
static void dimension_name_of_no_input(world *w) {
    (void)(tn_tensor_set_dim_name(w->y, 0, "n"));
}
static void dimension_name_of_no_dimension(world *w) {
    (void)(tn_tensor_set_dim_name(w->x, 4, "n"));
}
static void dimension_name_that_is_empty(world *w) {
    (void)(tn_tensor_set_dim_name(w->x, 0, ""));
}
static void one_name_for_two_sizes(world *w) {
    (void)(tn_tensor_set_dim_name(w->x, 0, "n"), tn_tensor_set_dim_name(w->x, 1, "n"));
}
static void removal_of_what_is_read(world *w) {
    (void)(tn_network_add_identity(N, w->y), tn_network_remove_tensor(N, w->y));
}
static void removal_of_an_output(world *w) {
    (void)(tn_network_mark_output(N, w->y, "y"), tn_network_remove_tensor(N, w->y));
}
static void removal_of_an_input(world *w) {
    (void)(tn_network_remove_tensor(N, w->x));
}
static void removal_in_another_network(world *w) {
    (void)(tn_network_remove_tensor(w->other, w->y));
}
static void tensor_name_that_is_empty(world *w) {
    (void)(tn_tensor_set_name(w->y, ""));
}
static void network_name_that_is_empty(world *w) {
    (void)(tn_network_set_name(N, ""));
}
static void layer_name_that_is_empty(world *w) {
    (void)(tn_layer_set_name(w->sum, ""));
}
static void layer_name_that_is_missing(world *w) {
    (void)(tn_layer_set_name(w->sum, NULL));
}
static void metadata_that_is_not_utf8(world *w) {
    (void)(tn_layer_set_metadata(w->sum, "\xc3("));
}
static void weights_name_of_no_constant(world *w) {
    (void)(tn_constant_set_weights_name(w->sum, "weight"));
}
static void weights_name_that_is_empty(world *w) {
    (void)(tn_constant_set_weights_name(w->constant, ""));
}
static void constant_of_too_few_values(world *w) {
    (void)(tn_network_add_constant(N, TN_DIMS(7), &w->six));
}
static void constant_without_values(world *w) {
    (void)(tn_network_add_constant(N, TN_DIMS(6), NULL));
}
static void constant_of_a_negative_size(world *w) {
    (void)(tn_network_add_constant(N, TN_DIMS(-1), &w->six));
}
static void constant_too_large_to_count(world *w) {
    (void)(tn_network_add_constant(N, TN_DIMS(INT64_MAX, INT64_MAX), &w->six));
}
static void constant_without_a_type(world *w) {
    (void)(tn_network_add_constant(N, TN_DIMS(6), &(tn_weights_data){.data = w->six.data, .count = 6}));
}
static void layer_on_a_missing_tensor(world *w) {
    (void)(tn_network_add_identity(N, NULL));
}
static void layer_on_another_network_s_tensor(world *w) {
    (void)(tn_network_add_identity(N, w->foreign));
}
static void layer_on_a_removed_tensor(world *w) {
    (void)(tn_network_remove_tensor(N, w->y), tn_network_add_identity(N, w->y));
}
static void cast_to_no_type(world *w) {
    (void)(tn_network_add_cast(N, w->x, TN_DTYPE_NONE));
}
static void cast_to_an_inner_type(world *w) {
    (void)(tn_network_add_cast(N, w->x, TN_Q8_32));
}
static void fill_of_inner_type(world *w) {
    (void)(tn_network_add_fill_constant(N, TN_DIMS(2), TN_FILL_LINSPACE, TN_Q15_32, 0, 1));
}
static void fill_random_of_integers(world *w) {
    (void)(tn_network_add_fill_constant(N, TN_DIMS(2), TN_FILL_RANDOM_UNIFORM, TN_INT32, 0, 1));
}
static void fill_of_unknown_operation(world *w) {
    (void)(tn_network_add_fill_constant(N, TN_DIMS(2), (tn_fill_op)7, TN_FLOAT32, 0, 1));
}
static void fill_of_negative_size(world *w) {
    (void)(tn_network_add_fill_constant(N, TN_DIMS(-3), TN_FILL_LINSPACE, TN_FLOAT32, 0, 1));
}
static void fill_with_dims_of_floats(world *w) {
    (void)(tn_network_add_fill(N, w->v, w->v, w->v));
}
static void assertion_without_a_message(world *w) {
    (void)(tn_network_add_assertion(N, w->b, NULL));
}
static void assertion_with_quotes(world *w) {
    (void)(tn_network_add_assertion(N, w->b, "\""));
}
static void assertion_of_floats(world *w) {
    (void)(tn_network_add_assertion(N, w->v, "holds"));
}
static void unary_of_an_unknown_operation(world *w) {
    (void)(tn_network_add_unary(N, w->x, (tn_unary_op)99));
}
static void unary_not_of_floats(world *w) {
    (void)(tn_network_add_unary(N, w->x, TN_UNARY_NOT));
}
static void unary_sine_of_integers(world *w) {
    (void)(tn_network_add_unary(N, w->i2, TN_UNARY_SIN));
}
static void activation_of_an_unknown_type(world *w) {
    (void)(tn_network_add_activation(N, w->x, (tn_activation_type)99));
}
static void activation_tanh_of_integers(world *w) {
    (void)(tn_network_add_activation(N, w->i2, TN_ACTIVATION_TANH));
}
static void activation_parameters_of_no_activation(world *w) {
    (void)(tn_activation_set_parameters(w->sum, 1, 2));
}
static void prelu_slope_of_another_rank(world *w) {
    (void)(tn_network_add_parametric_relu(N, w->x, w->v));
}
static void prelu_slope_larger_than_x(world *w) {
    (void)(tn_network_add_parametric_relu(N, O(tn_network_add_reduce(N, w->x, TN_REDUCE_SUM, 1, true)), w->x));
}
static void scale_by_too_many_values(world *w) {
    (void)(tn_network_add_scale(N, w->x, TN_SCALE_UNIFORM, w->v, NULL, NULL, 1));
}
static void scale_of_a_channel_that_is_not_there(world *w) {
    (void)(tn_network_add_scale(N, w->x, TN_SCALE_CHANNEL, w->v, NULL, NULL, 9));
}
static void scale_of_an_unknown_mode(world *w) {
    (void)(tn_network_add_scale(N, w->x, (tn_scale_mode)9, NULL, w->v, NULL, 1));
}
static void sum_of_two_ranks(world *w) {
    (void)(tn_network_add_elementwise(N, w->x, w->v, TN_ELEMENTWISE_SUM));
}
static void sum_of_sizes_that_do_not_broadcast(world *w) {
    (void)(tn_network_add_elementwise(N, w->m6, w->m5, TN_ELEMENTWISE_SUM));
}
static void sum_of_two_types(world *w) {
    (void)(tn_network_add_elementwise(N, w->x, w->half, TN_ELEMENTWISE_SUM));
}
static void and_of_floats(world *w) {
    (void)(tn_network_add_elementwise(N, w->x, w->x, TN_ELEMENTWISE_AND));
}
static void unknown_elementwise_operation(world *w) {
    (void)(tn_network_add_elementwise(N, w->x, w->x, (tn_elementwise_op)99));
}
static void select_by_floats(world *w) {
    (void)(tn_network_add_select(N, w->x, w->x, w->x));
}
static void select_of_two_types(world *w) {
    (void)(tn_network_add_select(N, O(tn_network_add_elementwise(N, w->x, w->x, TN_ELEMENTWISE_LESS)), w->x, w->half));
}
static void reduce_over_no_such_axis(world *w) {
    (void)(tn_network_add_reduce(N, w->x, TN_REDUCE_SUM, 1u << 5, false));
}
static void reduce_over_nothing(world *w) {
    (void)(tn_network_add_reduce(N, w->x, TN_REDUCE_SUM, 0, false));
}
static void reduce_by_an_unknown_operation(world *w) {
    (void)(tn_network_add_reduce(N, w->x, (tn_reduce_op)9, 1, false));
}
static void reduce_of_bools(world *w) {
    (void)(tn_network_add_reduce(N, w->b, TN_REDUCE_SUM, 1, false));
}
static void softmax_over_no_such_axis(world *w) {
    (void)(tn_network_add_softmax(N, w->x, 4));
}
static void softmax_of_integers(world *w) {
    (void)(tn_network_add_softmax(N, w->i2, 0));
}
static void norm_scale_of_another_size(world *w) {
    (void)(tn_network_add_normalization(N, w->m5, w->v, NULL, TN_NORMALIZATION_LAYER, 1e-5));
}
static void norm_without_a_scale(world *w) {
    (void)(tn_network_add_normalization(N, w->m6, NULL, NULL, TN_NORMALIZATION_LAYER, 1e-5));
}
static void norm_of_an_unknown_type(world *w) {
    (void)(tn_network_add_normalization(N, w->m6, w->v, NULL, (tn_normalization_type)7, 1e-5));
}
static void norm_with_a_negative_epsilon(world *w) {
    (void)(tn_network_add_normalization(N, w->m6, w->v, NULL, TN_NORMALIZATION_LAYER, -1));
}
static void group_norm_of_groups_that_do_not_divide(world *w) {
    (void)(tn_network_add_normalization_nd(N, w->x, w->x, NULL, TN_NORMALIZATION_LAYER, 12, 2, 1e-5));
}
static void norm_over_no_such_axes(world *w) {
    (void)(tn_network_add_normalization_nd(N, w->x, w->x, NULL, TN_NORMALIZATION_LAYER, 1u << 6, 1, 1e-5));
}
static void lrn_of_an_even_window(world *w) {
    (void)(tn_network_add_lrn(N, w->x, 4, 1, 1, 1));
}
static void lrn_of_two_dimensions(world *w) {
    (void)(tn_network_add_lrn(N, w->v, 3, 1, 1, 1));
}
static void topk_of_more_than_there_are(world *w) {
    (void)(tn_network_add_topk(N, w->x, TN_TOPK_MAX, 9, 1));
}
static void topk_of_none(world *w) {
    (void)(tn_network_add_topk(N, w->x, TN_TOPK_MAX, -1, 1));
}
static void topk_over_no_such_axis(world *w) {
    (void)(tn_network_add_topk(N, w->x, TN_TOPK_MAX, 1, 7));
}
static void topk_by_an_unknown_operation(world *w) {
    (void)(tn_network_add_topk(N, w->x, (tn_topk_op)5, 1, 1));
}
static void topk_with_float_indices(world *w) {
    (void)(tn_topk_set_indices_type(tn_network_add_topk(N, w->x, TN_TOPK_MAX, 1, 1), TN_FLOAT32));
}
static void topk_with_k_that_is_missing(world *w) {
    (void)(tn_topk_set_k_tensor(tn_network_add_topk(N, w->x, TN_TOPK_MAX, 1, 1), NULL));
}
static void cumulative_over_no_such_axis(world *w) {
    (void)(tn_network_add_cumulative(N, w->x, 4, TN_CUMULATIVE_SUM, false, false));
}
static void cumulative_of_bools(world *w) {
    (void)(tn_network_add_cumulative(N, w->b, 0, TN_CUMULATIVE_SUM, false, false));
}
static void ragged_softmax_of_two_dimensions(world *w) {
    (void)(tn_network_add_ragged_softmax(N, w->m6, w->i2));
}
static void reshape_to_another_count(world *w) {
    (void)(tn_shuffle_set_reshape(tn_network_add_shuffle(N, w->x), TN_DIMS(7)));
}
static void reshape_with_two_unknowns(world *w) {
    (void)(tn_shuffle_set_reshape(tn_network_add_shuffle(N, w->x), TN_DIMS(-1, -1)));
}
static void transpose_that_is_no_permutation(world *w) {
    (void)(tn_shuffle_set_first_transpose(tn_network_add_shuffle(N, w->x), TN_DIMS(0, 0, 1, 2)));
}
static void transpose_of_another_rank(world *w) {
    (void)(tn_shuffle_set_second_transpose(tn_network_add_shuffle(N, w->x), TN_DIMS(1, 0)));
}
static void reshape_by_a_missing_tensor(world *w) {
    (void)(tn_shuffle_set_reshape_tensor(tn_network_add_shuffle(N, w->x), NULL));
}
static void reshape_by_floats(world *w) {
    (void)(tn_shuffle_set_reshape_tensor(tn_network_add_shuffle(N, w->x), w->v));
}
static void squeeze_of_what_is_not_one(world *w) {
    (void)(tn_network_add_squeeze(N, w->x, (const int[]){1}, 1));
}
static void squeeze_of_no_such_axis(world *w) {
    (void)(tn_network_add_squeeze(N, w->x, (const int[]){6}, 1));
}
static void squeeze_of_an_axis_twice(world *w) {
    (void)(tn_network_add_squeeze(N, w->x, (const int[]){0, 0}, 2));
}
static void unsqueeze_beyond_eight(world *w) {
    (void)(tn_network_add_unsqueeze(N, w->x, (const int[]){0, 1, 2, 3, 4}, 5));
}
static void slice_beyond_the_end(world *w) {
    (void)(tn_network_add_slice(N, w->v, TN_DIMS(4), TN_DIMS(4), TN_DIMS(1)));
}
static void slice_of_another_rank(world *w) {
    (void)(tn_network_add_slice(N, w->x, TN_DIMS(0), TN_DIMS(1), TN_DIMS(1)));
}
static void slice_of_a_negative_start(world *w) {
    (void)(tn_network_add_slice(N, w->v, TN_DIMS(-1), TN_DIMS(2), TN_DIMS(1)));
}
static void slice_tensors_of_no_slice(world *w) {
    (void)(tn_slice_set_tensors(w->sum, w->v, NULL, NULL));
}
static void slice_without_options(world *w) {
    (void)(tn_network_add_slice_with(N, w->x, NULL));
}
static void slice_options_not_made(world *w) {
    (void)(tn_network_add_slice_with(N, w->x, &(tn_slice_options){.start = TN_DIMS(0)}));
}
static void padding_of_more_than_there_is(world *w) {
    (void)(tn_network_add_padding(N, w->v, TN_DIMS(1, 1), TN_DIMS(1, 1)));
}
static void padding_of_two_ranks(world *w) {
    (void)(tn_network_add_padding(N, w->x, TN_DIMS(1, 1), TN_DIMS(1)));
}
static void padding_that_crops_everything(world *w) {
    (void)(tn_network_add_padding(N, w->v, TN_DIMS(-4), TN_DIMS(-4)));
}
static void concatenation_of_nothing(world *w) {
    (void)(tn_network_add_concatenation(N, NULL, 0, 0));
}
static void concatenation_of_two_ranks(world *w) {
    (void)(tn_network_add_concatenation(N, (tn_tensor *[]){w->x, w->v}, 2, 0));
}
static void concatenation_of_other_sizes(world *w) {
    (void)(tn_network_add_concatenation(N, (tn_tensor *[]){w->m6, w->m5}, 2, 0));
}
static void concatenation_along_no_such_axis(world *w) {
    (void)(tn_network_add_concatenation(N, (tn_tensor *[]){w->x, w->x}, 2, 4));
}
static void concatenation_of_two_types(world *w) {
    (void)(tn_network_add_concatenation(N, (tn_tensor *[]){w->x, w->half}, 2, 0));
}
static void gather_by_floats(world *w) {
    (void)(tn_network_add_gather(N, w->x, w->v, TN_GATHER_DEFAULT, 0));
}
static void gather_along_no_such_axis(world *w) {
    (void)(tn_network_add_gather(N, w->x, w->i2, TN_GATHER_DEFAULT, 5));
}
static void gather_by_an_unknown_mode(world *w) {
    (void)(tn_network_add_gather(N, w->x, w->i2, (tn_gather_mode)5, 0));
}
static void gather_of_two_batch_dimensions(world *w) {
    (void)(tn_network_add_gather_batched(N, w->x, w->i2, TN_GATHER_DEFAULT, 2, 2));
}
static void scatter_of_another_type(world *w) {
    (void)(tn_network_add_scatter(N, w->m6, w->i2, w->i2, TN_SCATTER_ELEMENT, 0));
}
static void scatter_along_no_such_axis(world *w) {
    (void)(tn_network_add_scatter(N, w->m6, w->i2, w->m6, TN_SCATTER_ELEMENT, 3));
}
static void scatter_by_an_unknown_mode(world *w) {
    (void)(tn_network_add_scatter(N, w->m6, w->i2, w->m6, (tn_scatter_mode)3, 0));
}
static void one_hot_of_depth_zero(world *w) {
    (void)(tn_network_add_one_hot(N, w->i2, O(tn_network_add_slice(N, w->v, TN_DIMS(0), TN_DIMS(2), TN_DIMS(1))), 0, 0));
}
static void one_hot_without_off_and_on(world *w) {
    (void)(tn_network_add_one_hot(N, w->i2, w->v, 3, 0));
}
static void reverse_sequence_over_one_axis(world *w) {
    (void)(tn_network_add_reverse_sequence(N, w->m6, w->lengths, 0, 0));
}
static void reverse_sequence_of_no_such_axis(world *w) {
    (void)(tn_network_add_reverse_sequence(N, w->m6, w->lengths, 0, 5));
}
static void nonzero_with_float_indices(world *w) {
    (void)(tn_non_zero_set_indices_type(tn_network_add_non_zero(N, w->x), TN_FLOAT32));
}
static void nms_of_boxes_of_five(world *w) {
    (void)(tn_network_add_nms(N, w->x, w->x, w->lengths, NULL));
}
static void nms_options_not_made(world *w) {
    (void)(tn_network_add_nms(N, w->x, w->x, w->lengths, &(tn_nms_options){.top_k = 3}));
}
static void convolution_of_other_channels(world *w) {
    (void)(tn_network_add_convolution(N, w->x, w->kernel, NULL, NULL));
}
static void convolution_of_a_matrix(world *w) {
    (void)(tn_network_add_convolution(N, w->m6, w->kernel, NULL, NULL));
}
static void convolution_without_a_kernel(world *w) {
    (void)(tn_network_add_convolution(N, w->x, NULL, NULL, NULL));
}
static void convolution_options_not_made(world *w) {
    (void)(tn_network_add_convolution(N, w->x, w->kernel, NULL, &(tn_window_options){.groups = 1}));
}
static void deconvolution_of_other_channels(world *w) {
    (void)(tn_network_add_deconvolution(N, w->x, w->kernel, NULL, NULL));
}
static void pooling_window_larger_than_x(world *w) {
    (void)(tn_network_add_pooling(N, w->x, TN_POOLING_MAX, TN_DIMS(5, 5), NULL));
}
static void pooling_window_of_no_dimension(world *w) {
    (void)(tn_network_add_pooling(N, w->x, TN_POOLING_MAX, TN_DIMS(0, 1), NULL));
}
static void pooling_of_an_unknown_type(world *w) {
    (void)(tn_network_add_pooling(N, w->x, (tn_pooling_type)5, TN_DIMS(2, 2), NULL));
}
static void resize_without_a_size(world *w) {
    (void)(tn_network_add_resize(N, w->x, NULL));
}
static void resize_by_zero(world *w) {
    (void)(tn_network_add_resize(N, w->x, &w->shrink));
}
static void resize_scales_of_no_resize(world *w) {
    (void)(tn_resize_set_scales(w->sum, (const double[]){1}, 1));
}
static void grid_of_another_shape(world *w) {
    (void)(tn_network_add_grid_sample(N, w->x, w->x, TN_INTERPOLATION_LINEAR, false, TN_SAMPLE_FILL));
}
static void grid_sample_strictly(world *w) {
    (void)(tn_network_add_grid_sample(N, w->x, w->grid, TN_INTERPOLATION_LINEAR, false, TN_SAMPLE_STRICT_BOUNDS));
}
static void einsum_without_an_equation(world *w) {
    (void)(tn_network_add_einsum(N, &w->m6, 1, NULL));
}
static void einsum_with_capital_letters(world *w) {
    (void)(tn_network_add_einsum(N, &w->m6, 1, "AB->BA"));
}
static void einsum_of_another_rank(world *w) {
    (void)(tn_network_add_einsum(N, &w->m6, 1, "abc->ab"));
}
static void einsum_of_five_inputs(world *w) {
    (void)(tn_network_add_einsum(N, (tn_tensor *[]){w->v, w->v, w->v, w->v, w->v}, 5, "a,a,a,a,a->a"));
}
static void einsum_with_a_letter_from_nowhere(world *w) {
    (void)(tn_network_add_einsum(N, &w->m6, 1, "ab->c"));
}
static void fully_connected_without_a_kernel(world *w) {
    (void)(tn_network_add_fully_connected(N, w->x, NULL, NULL));
}
static void fully_connected_of_another_size(world *w) {
    (void)(tn_network_add_fully_connected(N, w->x, w->kernel2, NULL));
}
static void product_of_inner_sizes_that_differ(world *w) {
    (void)(tn_network_add_matrix_multiply(N, w->m6, TN_MATRIX_NONE, w->kernel2, TN_MATRIX_NONE));
}
static void product_of_an_unknown_operation(world *w) {
    (void)(tn_network_add_matrix_multiply(N, w->m6, (tn_matrix_op)9, w->m6, TN_MATRIX_TRANSPOSE));
}
static void product_of_integers_and_floats(world *w) {
    (void)(tn_network_add_matrix_multiply(N, w->m6, TN_MATRIX_NONE, w->i2, TN_MATRIX_TRANSPOSE));
}
static void product_of_vectors_without_saying_so(world *w) {
    (void)(tn_network_add_matrix_multiply(N, w->v, TN_MATRIX_NONE, w->v, TN_MATRIX_NONE));
}
static void attention_of_three_dimensions(world *w) {
    (void)(tn_network_add_attention(N, w->m6, w->m6, w->m6, NULL));
}
static void attention_with_mask_and_causal(world *w) {
    (void)(tn_network_add_attention(N, w->x, w->x, w->x, &w->masked_causal));
}
static void attention_options_not_made(world *w) {
    (void)(tn_network_add_attention(N, w->x, w->x, w->x, &(tn_attention_options){.softmax = true}));
}
static void rotary_of_an_odd_size(world *w) {
    (void)(tn_network_add_rotary_embedding(N, w->x, w->m6, w->m6, w->i2, false, 3));
}
static void rotary_without_tables(world *w) {
    (void)(tn_network_add_rotary_embedding(N, w->x, NULL, NULL, NULL, false, 0));
}
static void cache_update_of_three_dimensions(world *w) {
    (void)(tn_network_add_kv_cache_update(N, w->m6, w->m6, w->lengths, NULL));
}
static void cache_update_at_float_places(world *w) {
    (void)(tn_network_add_kv_cache_update(N, w->x, w->x, w->v, NULL));
}
static void cache_update_of_another_type(world *w) {
    (void)(tn_network_add_kv_cache_update(N, w->x, w->half, w->lengths, NULL));
}
static void cache_update_of_other_heads(world *w) {
    (void)(tn_network_add_kv_cache_update(N, w->x, w->grid, w->lengths, NULL));
}
static void cache_update_options_not_made(world *w) {
    (void)(tn_network_add_kv_cache_update(N, w->x, w->x, w->lengths, &(tn_kv_cache_update_options){0}));
}
static void moe_without_weights(world *w) {
    (void)(tn_network_add_moe(N, w->m6, w->i2, w->m6, NULL));
}
static void moe_options_not_made(world *w) {
    (void)(tn_network_add_moe(N, w->m6, w->i2, w->m6, &(tn_moe_options){0}));
}
static void moe_with_weights_that_are_no_constants(world *w) {
    (void)(w->moe.gate = w->moe.up = w->moe.down = w->x, tn_network_add_moe(N, w->m6, w->i2, w->m6, &w->moe));
}
static void collective_of_two_ranks(world *w) {
    (void)(tn_network_add_collective(N, w->x, TN_COLLECTIVE_ALL_REDUCE, TN_REDUCE_SUM, 0, (const int64_t[]){0, 1}, 2));
}
static void collective_of_an_unknown_type(world *w) {
    (void)(tn_network_add_collective(N, w->x, (tn_collective_type)99, TN_REDUCE_SUM, 0, NULL, 0));
}
static void collective_from_another_rank(world *w) {
    (void)(tn_network_add_collective(N, w->x, TN_COLLECTIVE_BROADCAST, TN_REDUCE_SUM, 2, NULL, 0));
}
static void collective_that_sends(world *w) {
    (void)(tn_network_add_collective(N, w->x, TN_COLLECTIVE_SEND, TN_REDUCE_SUM, 0, NULL, 0));
}
static void quantize_to_floats(world *w) {
    (void)(tn_network_add_quantize(N, w->x, w->one, TN_FLOAT32, 0));
}
static void quantize_by_scales_of_another_size(world *w) {
    (void)(tn_network_add_quantize(N, w->m5, w->v, TN_INT8, 1));
}
static void quantize_of_integers(world *w) {
    (void)(tn_network_add_quantize(N, w->i2, w->one, TN_INT8, 0));
}
static void dequantize_of_floats(world *w) {
    (void)(tn_network_add_dequantize(N, w->x, w->one, TN_FLOAT32, 0));
}
static void dynamic_quantize_to_int32(world *w) {
    (void)(tn_network_add_dynamic_quantize(N, w->m6, NULL, TN_INT32, TN_FLOAT32, TN_DIMS(1, 6)));
}
static void dynamic_quantize_by_blocks_of_another_rank(world *w) {
    (void)(tn_network_add_dynamic_quantize(N, w->m6, NULL, TN_INT8, TN_FLOAT32, TN_DIMS(6)));
}
static void if_on_floats(world *w) {
    (void)(tn_network_begin_if(N, w->v));
}
static void if_without_a_condition(world *w) {
    (void)(tn_network_begin_if(N, NULL));
}
static void else_after_the_end(world *w) {
    (void)(w->if_ = tn_network_begin_if(N, w->flag), tn_if_else(w->if_), tn_if_end(w->if_), tn_if_else(w->if_));
}
static void if_output_before_the_end(world *w) {
    (void)(w->if_ = tn_network_begin_if(N, w->flag), tn_if_add_output(w->if_, w->y, w->y));
}
static void if_output_of_two_ranks(world *w) {
    (void)(w->if_ = tn_network_begin_if(N, w->flag), w->in = O(tn_network_add_identity(N, w->x)), tn_if_else(w->if_),
           w->out = O(tn_network_add_identity(N, w->v)), tn_if_end(w->if_), tn_if_add_output(w->if_, w->in, w->out));
}
static void reading_a_branch_from_outside(world *w) {
    (void)(w->if_ = tn_network_begin_if(N, w->flag), w->in = O(tn_network_add_identity(N, w->x)), tn_if_else(w->if_), tn_if_end(w->if_),
           tn_network_add_identity(N, w->in));
}
static void output_inside_a_branch(world *w) {
    (void)(w->if_ = tn_network_begin_if(N, w->flag), tn_network_mark_output(N, O(tn_network_add_identity(N, w->x)), "y"));
}
static void loop_that_never_ends(world *w) {
    (void)(tn_loop_end(tn_network_begin_loop(N)));
}
static void loop_count_of_floats(world *w) {
    (void)(tn_loop_set_trip_limit(tn_network_begin_loop(N), w->v));
}
static void loop_condition_of_floats(world *w) {
    (void)(tn_loop_set_condition(tn_network_begin_loop(N), w->v));
}
static void recurrence_of_another_shape(world *w) {
    (void)(w->loop = tn_network_begin_loop(N), w->carry = tn_loop_add_recurrence(w->loop, w->x), tn_recurrence_set_next(w->carry, w->v));
}
static void recurrence_without_next(world *w) {
    (void)(w->loop = tn_network_begin_loop(N), w->carry = tn_loop_add_recurrence(w->loop, w->x), tn_recurrence_set_next(w->carry, NULL));
}
static void next_of_no_recurrence(world *w) {
    (void)(tn_recurrence_set_next(w->sum, w->x));
}
static void iterator_over_no_such_axis(world *w) {
    (void)(tn_loop_add_iterator(tn_network_begin_loop(N), w->x, 7, false));
}
static void loop_output_before_the_end(world *w) {
    (void)(tn_loop_add_output(tn_network_begin_loop(N), w->x, false, 0));
}
static void parameter_that_does_not_exist(world *w) {
    (void)(tn_layer_set_int(w->sum, "axis", 1));
}
static void parameter_without_a_name(world *w) {
    (void)(tn_layer_set_int(w->sum, NULL, 1));
}
static void parameter_of_an_unknown_value(world *w) {
    (void)(tn_layer_set_text(w->sum, "op", "plus"));
}
static void parameter_of_a_number_beyond_its_enum(world *w) {
    (void)(tn_layer_set_int(w->sum, "op", 99));
}
static void parameter_that_is_no_real(world *w) {
    (void)(tn_layer_set_real(w->sum, "op", 1.0));
}
static void parameter_that_is_no_list(world *w) {
    (void)(tn_layer_set_dims(w->sum, "op", TN_DIMS(1)));
}
static void parameter_that_is_infinite(world *w) {
    (void)(tn_layer_set_real(tn_network_add_lrn(N, w->x, 3, 1, 1, 1), "alpha", INFINITY));
}
static void parameter_that_is_neither_true_nor_false(world *w) {
    (void)(tn_layer_set_int(tn_network_add_reduce(N, w->x, TN_REDUCE_SUM, 1, true), "keep_dims", 2));
}
static void parameter_of_a_constant(world *w) {
    (void)(tn_layer_set_dims(w->constant, "dims", TN_DIMS(2, 3)));
}
static void parameter_that_a_later_layer_cannot_take(world *w) {
    (void)(w->carry = tn_network_add_cast(N, w->m6, TN_FLOAT32),
           tn_network_add_matrix_multiply(N, O(w->carry), TN_MATRIX_NONE, w->m6, TN_MATRIX_TRANSPOSE),
           tn_layer_set_text(w->carry, "to", "bool"));
}
static void input_that_the_layer_does_not_have(world *w) {
    (void)(tn_layer_set_input(w->sum, 2, w->x));
}
static void input_that_cannot_be_absent(world *w) {
    (void)(tn_layer_set_input(w->sum, 0, NULL));
}
static void input_made_from_its_own_output(world *w) {
    (void)(tn_layer_set_input(w->sum, 0, O(tn_network_add_identity(N, w->y))));
}
static void input_of_another_network(world *w) {
    (void)(tn_layer_set_input(w->sum, 0, w->foreign));
}
static void input_of_another_shape(world *w) {
    (void)(tn_layer_set_input(w->sum, 0, w->v));
}
static void dims_of_an_output(world *w) {
    (void)(tn_tensor_set_dims(w->y, TN_DIMS(1)));
}
static void type_of_an_output(world *w) {
    (void)(tn_tensor_set_dtype(w->y, TN_FLOAT16));
}
static void dims_that_a_layer_cannot_take(world *w) {
    (void)(tn_network_add_pooling(N, w->x, TN_POOLING_MAX, TN_DIMS(2, 2), NULL), tn_tensor_set_dims(w->x, TN_DIMS(1, 3, 1, 1)));
}
static void precision_of_no_product(world *w) {
    (void)(tn_layer_set_activation_precision(w->sum, TN_ACTIVATIONS_INT8));
}
static void call_without_a_name(world *w) {
    (void)(tn_call_begin(N, "", NULL, 0));
}
static void call_without_arguments_it_counts(world *w) {
    (void)(tn_call_begin(N, "f", NULL, 2));
}
static void call_with_an_argument_of_another_network(world *w) {
    (void)(tn_call_begin(N, "f", &(tn_call_argument){.name = "x", .tensor = w->foreign}, 1));
}
static void call_with_an_argument_without_a_name(world *w) {
    (void)(tn_call_begin(N, "f", &(tn_call_argument){.tensor = w->x}, 1));
}
static void call_ended_without_outputs(world *w) {
    (void)(tn_call_end(tn_call_begin(N, "f", NULL, 0), NULL, 0));
}
static void call_ended_twice(world *w) {
    (void)(w->call = tn_call_begin(N, "f", NULL, 0), tn_call_end(w->call, &w->y, 1), tn_call_end(w->call, &w->y, 1));
}
static void call_ended_before_its_inner_one(world *w) {
    (void)(w->call = tn_call_begin(N, "f", NULL, 0), tn_call_begin(N, "g", NULL, 0), tn_call_end(w->call, &w->y, 1));
}

typedef struct wrong_use {
    const char *name;
    void (*run)(world *w);
    tn_status status;
    const char *message;
} wrong_use;

static const wrong_use wrong_uses[] = {
    {"input_without_a_name", input_without_a_name, TN_INVALID_ARGUMENT, "cannot add an input: its name is empty"},
    {"input_with_a_name_too_long", input_with_a_name_too_long, TN_INVALID_ARGUMENT,
     "cannot add an input: its name has more than 4095 bytes"},
    {"input_with_a_name_that_is_not_utf8", input_with_a_name_that_is_not_utf8, TN_INVALID_ARGUMENT,
     "cannot add an input: its name is not UTF-8"},
    {"two_inputs_of_one_name", two_inputs_of_one_name, TN_INVALID_ARGUMENT, "cannot add input 'x': there is an input of that name already"},
    {"input_of_nine_dimensions", input_of_nine_dimensions, TN_INVALID_ARGUMENT,
     "cannot add input 'nine': it has 9 dimensions, at most 8 are allowed"},
    {"input_of_a_negative_size", input_of_a_negative_size, TN_INVALID_ARGUMENT,
     "cannot add input 'negative': dimension 0 is -2, it must be ≥ 0, or −1 if known at run time"},
    {"input_without_a_type", input_without_a_type, TN_INVALID_ARGUMENT, "cannot add input 'none': inputs cannot be of type none"},
    {"input_of_an_inner_type", input_of_an_inner_type, TN_INVALID_ARGUMENT, "cannot add input 'q15': inputs cannot be of type q15_32"},
    {"input_of_an_unknown_type", input_of_an_unknown_type, TN_INVALID_ARGUMENT,
     "cannot add input 'unknown': inputs cannot be of type unknown"},
    {"output_that_is_an_input", output_that_is_an_input, TN_INVALID_ARGUMENT, "cannot mark 'x' as an output: it is an input"},
    {"output_marked_twice", output_marked_twice, TN_INVALID_ARGUMENT, "cannot mark 'a' as an output: it is an output already"},
    {"output_that_is_missing", output_that_is_missing, TN_INVALID_ARGUMENT, "cannot mark an output: an input is missing"},
    {"output_of_another_network", output_of_another_network, TN_INVALID_ARGUMENT,
     "cannot mark 'identity_1' as an output: it belongs to another network"},
    {"two_outputs_of_one_name", two_outputs_of_one_name, TN_INVALID_ARGUMENT,
     "cannot name an output 'y': there is an output of that name already"},
    {"output_named_as_an_input", output_named_as_an_input, TN_INVALID_ARGUMENT,
     "cannot name an input or output 'x': there is an input of that name already"},
    {"output_for_shapes_of_floats", output_for_shapes_of_floats, TN_INVALID_ARGUMENT,
     "cannot mark 'elementwise_18' as an output for shapes: it must be integers or bools, a scalar or of 1 fixed dimension"},
    {"output_for_shapes_of_two_dimensions", output_for_shapes_of_two_dimensions, TN_INVALID_ARGUMENT,
     "cannot mark 'identity_20' as an output for shapes: it must be integers or bools, a scalar or of 1 fixed dimension"},
    {"debug_tensor_that_is_missing", debug_tensor_that_is_missing, TN_INVALID_ARGUMENT, "cannot mark a debug tensor: an input is missing"},
    {"dimension_name_of_no_input", dimension_name_of_no_input, TN_INVALID_ARGUMENT,
     "cannot name dimension 0 of 'elementwise_18': only dimensions of inputs have names"},
    {"dimension_name_of_no_dimension", dimension_name_of_no_dimension, TN_INVALID_ARGUMENT,
     "cannot name dimension 4 of 'x': it has no such dimension"},
    {"dimension_name_that_is_empty", dimension_name_that_is_empty, TN_INVALID_ARGUMENT, "cannot name a dimension: its name is empty"},
    {"one_name_for_two_sizes", one_name_for_two_sizes, TN_INVALID_ARGUMENT,
     "cannot name dimension 1 of 'x' 'n': it is 3, the other dimension of that name is 2"},
    {"removal_of_what_is_read", removal_of_what_is_read, TN_INVALID_ARGUMENT,
     "cannot remove 'elementwise_18': a layer reads it or another output of its layer"},
    {"removal_of_an_output", removal_of_an_output, TN_INVALID_ARGUMENT,
     "cannot remove 'y': it or another output of its layer is an output, a debug tensor or a state"},
    {"removal_of_an_input", removal_of_an_input, TN_INVALID_ARGUMENT, "cannot remove 'x': no layer makes it"},
    {"removal_in_another_network", removal_in_another_network, TN_INVALID_ARGUMENT,
     "cannot remove 'elementwise_18': it belongs to another network"},
    {"tensor_name_that_is_empty", tensor_name_that_is_empty, TN_INVALID_ARGUMENT, "cannot name a tensor: its name is empty"},
    {"network_name_that_is_empty", network_name_that_is_empty, TN_INVALID_ARGUMENT, "cannot name the network: its name is empty"},
    {"layer_name_that_is_empty", layer_name_that_is_empty, TN_INVALID_ARGUMENT,
     "cannot name layer 'elementwise_18': a name is UTF-8 of 1 to 4095 bytes"},
    {"layer_name_that_is_missing", layer_name_that_is_missing, TN_INVALID_ARGUMENT,
     "cannot name layer 'elementwise_18': a name is UTF-8 of 1 to 4095 bytes"},
    {"metadata_that_is_not_utf8", metadata_that_is_not_utf8, TN_INVALID_ARGUMENT,
     "cannot set the metadata of 'elementwise_18': it is not UTF-8"},
    {"weights_name_of_no_constant", weights_name_of_no_constant, TN_INVALID_ARGUMENT,
     "cannot change 'elementwise_18': it is elementwise, not constant"},
    {"weights_name_that_is_empty", weights_name_that_is_empty, TN_INVALID_ARGUMENT,
     "cannot name the weights of 'constant_10': the name is empty"},
    {"constant_of_too_few_values", constant_of_too_few_values, TN_INVALID_ARGUMENT,
     "cannot add constant: it has 6 values, its dimensions need 7"},
    {"constant_without_values", constant_without_values, TN_INVALID_ARGUMENT, "cannot add constant: its values are missing"},
    {"constant_of_a_negative_size", constant_of_a_negative_size, TN_INVALID_ARGUMENT,
     "cannot add constant: its dimensions are negative or too large"},
    {"constant_too_large_to_count", constant_too_large_to_count, TN_INVALID_ARGUMENT,
     "cannot add constant: its dimensions are negative or too large"},
    {"constant_without_a_type", constant_without_a_type, TN_INVALID_ARGUMENT, "cannot add constant: its values have no type"},
    {"layer_on_a_missing_tensor", layer_on_a_missing_tensor, TN_INVALID_ARGUMENT, "cannot add identity: input 0 is missing"},
    {"layer_on_another_network_s_tensor", layer_on_another_network_s_tensor, TN_INVALID_ARGUMENT,
     "cannot add identity: input 0 ('foreign') belongs to another network"},
    {"layer_on_a_removed_tensor", layer_on_a_removed_tensor, TN_INVALID_ARGUMENT,
     "cannot add identity: input 0 ('elementwise_18') was removed"},
    {"cast_to_no_type", cast_to_no_type, TN_INVALID_ARGUMENT, "cannot add cast: there is no such type to cast to"},
    {"cast_to_an_inner_type", cast_to_an_inner_type, TN_INVALID_ARGUMENT, "cannot add cast: there is no such type to cast to"},
    {"fill_of_inner_type", fill_of_inner_type, TN_INVALID_ARGUMENT, "cannot add fill: 1 dimensions of type q15_32 are not possible"},
    {"fill_random_of_integers", fill_random_of_integers, TN_INVALID_ARGUMENT,
     "cannot add fill: alpha must be of a float type, it is int32 []"},
    {"fill_of_unknown_operation", fill_of_unknown_operation, TN_INVALID_ARGUMENT, "cannot add fill: there is no fill operation 7"},
    {"fill_of_negative_size", fill_of_negative_size, TN_INVALID_ARGUMENT, "cannot add fill: dimension 0 is -3, it must be ≥ 0"},
    {"fill_with_dims_of_floats", fill_with_dims_of_floats, TN_INVALID_ARGUMENT,
     "cannot add fill: its dims must be an integer tensor of 1 dimension and at most 8 elements, they are float32 [6]"},
    {"assertion_without_a_message", assertion_without_a_message, TN_INVALID_ARGUMENT,
     "cannot add assertion: its message must be UTF-8 of at most 127 bytes without quotes, backslashes and control characters"},
    {"assertion_with_quotes", assertion_with_quotes, TN_INVALID_ARGUMENT,
     "cannot add assertion: its message must be UTF-8 of at most 127 bytes without quotes, backslashes and control characters"},
    {"assertion_of_floats", assertion_of_floats, TN_INVALID_ARGUMENT,
     "cannot add assertion: the condition must be bool, it is float32 [6]"},
    {"unary_of_an_unknown_operation", unary_of_an_unknown_operation, TN_INVALID_ARGUMENT,
     "cannot add unary: there is no unary operation 99"},
    {"unary_not_of_floats", unary_not_of_floats, TN_INVALID_ARGUMENT, "cannot add unary: not needs bool, it gets float32 [2, 3, 4, 4]"},
    {"unary_sine_of_integers", unary_sine_of_integers, TN_INVALID_ARGUMENT,
     "cannot add unary: its input must be of a float type, it is int32 [2, 3]"},
    {"activation_of_an_unknown_type", activation_of_an_unknown_type, TN_INVALID_ARGUMENT,
     "cannot add activation: there is no activation 99"},
    {"activation_tanh_of_integers", activation_tanh_of_integers, TN_INVALID_ARGUMENT,
     "cannot add activation: its input must be of a float type, it is int32 [2, 3]"},
    {"activation_parameters_of_no_activation", activation_parameters_of_no_activation, TN_INVALID_ARGUMENT,
     "cannot change 'elementwise_18': it is elementwise, not activation"},
    {"prelu_slope_of_another_rank", prelu_slope_of_another_rank, TN_INVALID_ARGUMENT,
     "cannot add parametric_relu: the slope must have 4 dimensions, it is float32 [6]"},
    {"prelu_slope_larger_than_x", prelu_slope_larger_than_x, TN_INVALID_ARGUMENT,
     "cannot add parametric_relu: dimension 0 of the slope must be 1, it is float32 [2, 3, 4, 4]"},
    {"scale_by_too_many_values", scale_by_too_many_values, TN_INVALID_ARGUMENT,
     "cannot add scale: the shift must be one value, it is float32 [6]"},
    {"scale_of_a_channel_that_is_not_there", scale_of_a_channel_that_is_not_there, TN_INVALID_ARGUMENT,
     "cannot add scale: axis 9 is outside float32 [2, 3, 4, 4]"},
    {"scale_of_an_unknown_mode", scale_of_an_unknown_mode, TN_INVALID_ARGUMENT, "cannot add scale: there is no scale mode 9"},
    {"sum_of_two_ranks", sum_of_two_ranks, TN_INVALID_ARGUMENT,
     "cannot add elementwise: 'x' is float32 [2, 3, 4, 4] and 'v' is float32 [6]: ranks must be equal, and dimensions equal or 1"},
    {"sum_of_sizes_that_do_not_broadcast", sum_of_sizes_that_do_not_broadcast, TN_INVALID_ARGUMENT,
     "cannot add elementwise: 'm6' is float32 [input2.0, 6] and 'm5' is float32 [input3.0, 5]: ranks must be equal, and dimensions equal "
     "or 1"},
    {"sum_of_two_types", sum_of_two_types, TN_INVALID_ARGUMENT,
     "cannot add elementwise: 'x' is float32 [2, 3, 4, 4] and 'half' is float16 [2, 3, 4, 4]: the types must be equal"},
    {"and_of_floats", and_of_floats, TN_INVALID_ARGUMENT, "cannot add elementwise: and needs bool, it gets float32"},
    {"unknown_elementwise_operation", unknown_elementwise_operation, TN_INVALID_ARGUMENT,
     "cannot add elementwise: there is no elementwise operation 99"},
    {"select_by_floats", select_by_floats, TN_INVALID_ARGUMENT,
     "cannot add select: the condition must be bool, it is float32 [2, 3, 4, 4]"},
    {"select_of_two_types", select_of_two_types, TN_INVALID_ARGUMENT,
     "cannot add select: the value if false must be float32, it is float16 [2, 3, 4, 4]"},
    {"reduce_over_no_such_axis", reduce_over_no_such_axis, TN_INVALID_ARGUMENT,
     "cannot add reduce: axes 0x20 are none of float32 [2, 3, 4, 4]"},
    {"reduce_over_nothing", reduce_over_nothing, TN_INVALID_ARGUMENT, "cannot add reduce: axes 0x0 are none of float32 [2, 3, 4, 4]"},
    {"reduce_by_an_unknown_operation", reduce_by_an_unknown_operation, TN_INVALID_ARGUMENT, "cannot add reduce: there is no reduction 9"},
    {"reduce_of_bools", reduce_of_bools, TN_INVALID_ARGUMENT, "cannot add reduce: it needs numbers, it gets bool [6]"},
    {"softmax_over_no_such_axis", softmax_over_no_such_axis, TN_INVALID_ARGUMENT,
     "cannot add softmax: axis 4 is outside float32 [2, 3, 4, 4]"},
    {"softmax_of_integers", softmax_of_integers, TN_INVALID_ARGUMENT,
     "cannot add softmax: its input must be of a float type, it is int32 [2, 3]"},
    {"norm_scale_of_another_size", norm_scale_of_another_size, TN_INVALID_ARGUMENT,
     "cannot add normalization: dimension 0 of the scale must be 5, it is float32 [6]"},
    {"norm_without_a_scale", norm_without_a_scale, TN_INVALID_ARGUMENT, "cannot add normalization: input 1 is missing"},
    {"norm_of_an_unknown_type", norm_of_an_unknown_type, TN_INVALID_ARGUMENT, "cannot add normalization: there is no normalization 7"},
    {"norm_with_a_negative_epsilon", norm_with_a_negative_epsilon, TN_INVALID_ARGUMENT, "cannot add normalization: epsilon -1 must be ≥ 0"},
    {"group_norm_of_groups_that_do_not_divide", group_norm_of_groups_that_do_not_divide, TN_INVALID_ARGUMENT,
     "cannot add normalization_nd: 2 groups do not divide the channels of float32 [2, 3, 4, 4]"},
    {"norm_over_no_such_axes", norm_over_no_such_axes, TN_INVALID_ARGUMENT,
     "cannot add normalization_nd: axes 0x40 are none of float32 [2, 3, 4, 4]"},
    {"lrn_of_an_even_window", lrn_of_an_even_window, TN_INVALID_ARGUMENT, "cannot add lrn: its window is 4, it must be odd and at least 1"},
    {"lrn_of_two_dimensions", lrn_of_two_dimensions, TN_INVALID_ARGUMENT,
     "cannot add lrn: x must be [batch, channels, …] of at least 3 dimensions, it is float32 [6]"},
    {"topk_of_more_than_there_are", topk_of_more_than_there_are, TN_INVALID_ARGUMENT,
     "cannot add topk: it cannot take 9 elements along axis 1 of float32 [2, 3, 4, 4]"},
    {"topk_of_none", topk_of_none, TN_INVALID_ARGUMENT, "cannot add topk: it cannot take -1 elements along axis 1 of float32 [2, 3, 4, 4]"},
    {"topk_over_no_such_axis", topk_over_no_such_axis, TN_INVALID_ARGUMENT, "cannot add topk: axis 7 is outside float32 [2, 3, 4, 4]"},
    {"topk_by_an_unknown_operation", topk_by_an_unknown_operation, TN_INVALID_ARGUMENT, "cannot add topk: there is no operation 5"},
    {"topk_with_float_indices", topk_with_float_indices, TN_INVALID_ARGUMENT,
     "cannot change topk 'topk_20': its indices can be int32 or int64, not float32"},
    {"topk_with_k_that_is_missing", topk_with_k_that_is_missing, TN_INVALID_ARGUMENT, "cannot set an input: an input is missing"},
    {"cumulative_over_no_such_axis", cumulative_over_no_such_axis, TN_INVALID_ARGUMENT,
     "cannot add cumulative: axis 4 is outside float32 [2, 3, 4, 4]"},
    {"cumulative_of_bools", cumulative_of_bools, TN_INVALID_ARGUMENT, "cannot add cumulative: it needs numbers, it gets bool [6]"},
    {"ragged_softmax_of_two_dimensions", ragged_softmax_of_two_dimensions, TN_INVALID_ARGUMENT,
     "cannot add ragged_softmax: x must have 3 dimensions, it is float32 [input2.0, 6]"},
    {"reshape_to_another_count", reshape_to_another_count, TN_INVALID_ARGUMENT,
     "cannot change shuffle 'shuffle_20': float32 [2, 3, 4, 4] cannot be reshaped: it has 96 elements, the reshape 7"},
    {"reshape_with_two_unknowns", reshape_with_two_unknowns, TN_INVALID_ARGUMENT,
     "cannot change shuffle 'shuffle_20': it reshapes with two dimensions of −1, one can be inferred"},
    {"transpose_that_is_no_permutation", transpose_that_is_no_permutation, TN_INVALID_ARGUMENT,
     "cannot change shuffle 'shuffle_20': the first transpose is no permutation of 4 axes"},
    {"transpose_of_another_rank", transpose_of_another_rank, TN_INVALID_ARGUMENT,
     "cannot change shuffle 'shuffle_20': the second transpose is no permutation of 4 axes"},
    {"reshape_by_a_missing_tensor", reshape_by_a_missing_tensor, TN_INVALID_ARGUMENT, "cannot set an input: an input is missing"},
    {"reshape_by_floats", reshape_by_floats, TN_INVALID_ARGUMENT,
     "cannot change shuffle 'shuffle_20': the reshape must be an integer tensor of 1 dimension and at most 64 elements, it is float32 [6]"},
    {"squeeze_of_what_is_not_one", squeeze_of_what_is_not_one, TN_INVALID_ARGUMENT,
     "cannot add squeeze: dimension 1 of x must be 1, it is float32 [2, 3, 4, 4]"},
    {"squeeze_of_no_such_axis", squeeze_of_no_such_axis, TN_INVALID_ARGUMENT,
     "cannot add squeeze: axis 6 is outside 4 dimensions or stands twice"},
    {"squeeze_of_an_axis_twice", squeeze_of_an_axis_twice, TN_INVALID_ARGUMENT,
     "cannot add squeeze: axis 0 is outside 4 dimensions or stands twice"},
    {"unsqueeze_beyond_eight", unsqueeze_beyond_eight, TN_INVALID_ARGUMENT,
     "cannot add unsqueeze: axes 0x1f are none of an output of 9 dimensions; at most 8 are allowed"},
    {"slice_beyond_the_end", slice_beyond_the_end, TN_INVALID_ARGUMENT,
     "cannot add slice: axis 0: start 4, size 4, stride 1 leave the dimension of 6"},
    {"slice_of_another_rank", slice_of_another_rank, TN_INVALID_ARGUMENT,
     "cannot add slice: its start has 1 elements, it needs 4 for float32 [2, 3, 4, 4]"},
    {"slice_of_a_negative_start", slice_of_a_negative_start, TN_INVALID_ARGUMENT,
     "cannot add slice: axis 0: start -1, size 2, stride 1 leave the dimension of 6"},
    {"slice_tensors_of_no_slice", slice_tensors_of_no_slice, TN_INVALID_ARGUMENT,
     "cannot change 'elementwise_18': it is elementwise, not slice"},
    {"slice_without_options", slice_without_options, TN_INVALID_ARGUMENT, "cannot add a slice: an input is missing"},
    {"slice_options_not_made", slice_options_not_made, TN_INVALID_ARGUMENT,
     "cannot add slice: its options were not made by their init function"},
    {"padding_of_more_than_there_is", padding_of_more_than_there_is, TN_INVALID_ARGUMENT,
     "cannot add padding: it has 2 values before and 2 after, for 'v' of 1 dimensions"},
    {"padding_of_two_ranks", padding_of_two_ranks, TN_INVALID_ARGUMENT,
     "cannot add padding: it has 2 values before and 1 after, for 'x' of 4 dimensions"},
    {"padding_that_crops_everything", padding_that_crops_everything, TN_INVALID_ARGUMENT,
     "cannot add slice: its size is -2 on axis 0; −1, up to the end, needs a stride ≥ 1"},
    {"concatenation_of_nothing", concatenation_of_nothing, TN_INVALID_ARGUMENT,
     "cannot add concatenation: it has 0 inputs, it needs at least 1"},
    {"concatenation_of_two_ranks", concatenation_of_two_ranks, TN_INVALID_ARGUMENT,
     "cannot add concatenation: 'x' is float32 [2, 3, 4, 4] and 'v' is float32 [6]: they may differ only along axis 0"},
    {"concatenation_of_other_sizes", concatenation_of_other_sizes, TN_INVALID_ARGUMENT,
     "cannot add concatenation: 'm6' is float32 [input2.0, 6] and 'm5' is float32 [input3.0, 5]: they may differ only along axis 0"},
    {"concatenation_along_no_such_axis", concatenation_along_no_such_axis, TN_INVALID_ARGUMENT,
     "cannot add concatenation: axis 4 is outside float32 [2, 3, 4, 4]"},
    {"concatenation_of_two_types", concatenation_of_two_types, TN_INVALID_ARGUMENT,
     "cannot add concatenation: 'x' is float32 [2, 3, 4, 4] and 'half' is float16 [2, 3, 4, 4]: they may differ only along axis 0"},
    {"gather_by_floats", gather_by_floats, TN_INVALID_ARGUMENT,
     "cannot add gather: the indices must be int32 or int64, they are float32 [6]"},
    {"gather_along_no_such_axis", gather_along_no_such_axis, TN_INVALID_ARGUMENT,
     "cannot add gather: axis 5 is outside float32 [2, 3, 4, 4]"},
    {"gather_by_an_unknown_mode", gather_by_an_unknown_mode, TN_INVALID_ARGUMENT, "cannot add gather: there is no gather mode 5"},
    {"gather_of_two_batch_dimensions", gather_of_two_batch_dimensions, TN_INVALID_ARGUMENT,
     "cannot add gather: 2 dimensions cannot be common to data float32 [2, 3, 4, 4] and indices int32 [2, 3] in this mode"},
    {"scatter_of_another_type", scatter_of_another_type, TN_INVALID_ARGUMENT,
     "cannot add scatter: the updates must be float32, it is int32 [2, 3]"},
    {"scatter_along_no_such_axis", scatter_along_no_such_axis, TN_INVALID_ARGUMENT,
     "cannot add scatter: axis 3 is outside float32 [input2.0, 6]"},
    {"scatter_by_an_unknown_mode", scatter_by_an_unknown_mode, TN_INVALID_ARGUMENT, "cannot add scatter: there is no scatter mode 3"},
    {"one_hot_of_depth_zero", one_hot_of_depth_zero, TN_INVALID_ARGUMENT, "cannot add one_hot: its depth is 0, it must be at least 1"},
    {"one_hot_without_off_and_on", one_hot_without_off_and_on, TN_INVALID_ARGUMENT,
     "cannot add one_hot: dimension 0 of the values must be 2, it is float32 [6]"},
    {"reverse_sequence_over_one_axis", reverse_sequence_over_one_axis, TN_INVALID_ARGUMENT,
     "cannot add reverse_sequence: its batch axis and its sequence axis are both 0"},
    {"reverse_sequence_of_no_such_axis", reverse_sequence_of_no_such_axis, TN_INVALID_ARGUMENT,
     "cannot add reverse_sequence: axis 5 is outside float32 [input2.0, 6]"},
    {"nonzero_with_float_indices", nonzero_with_float_indices, TN_INVALID_ARGUMENT,
     "cannot change non_zero 'non_zero_20': its indices can be int32 or int64, not float32"},
    {"nms_of_boxes_of_five", nms_of_boxes_of_five, TN_INVALID_ARGUMENT,
     "cannot add nms: the scores must have 3 dimensions, it is float32 [2, 3, 4, 4]"},
    {"nms_options_not_made", nms_options_not_made, TN_INVALID_ARGUMENT, "cannot add nms: its options were not made by their init function"},
    {"convolution_of_other_channels", convolution_of_other_channels, TN_INVALID_ARGUMENT,
     "cannot add convolution: x is float32 [2, 3, 4, 4]: with the kernel float32 [2, 4, 3, 3] and 1 group it must have 4 channels"},
    {"convolution_of_a_matrix", convolution_of_a_matrix, TN_INVALID_ARGUMENT,
     "cannot add convolution: x must be [batch, channels, 1 to 3 spatial dimensions], it is float32 [input2.0, 6]"},
    {"convolution_without_a_kernel", convolution_without_a_kernel, TN_INVALID_ARGUMENT, "cannot add convolution: input 1 is missing"},
    {"convolution_options_not_made", convolution_options_not_made, TN_INVALID_ARGUMENT,
     "cannot add convolution: its options were not made by their init function"},
    {"deconvolution_of_other_channels", deconvolution_of_other_channels, TN_INVALID_ARGUMENT,
     "cannot add deconvolution: x is float32 [2, 3, 4, 4]: with the kernel float32 [2, 4, 3, 3] and 1 group it must have 2 channels"},
    {"pooling_window_larger_than_x", pooling_window_larger_than_x, TN_INVALID_ARGUMENT,
     "cannot add pooling: spatial dimension 0: a window of 5 (size 5, dilation 1) does not fit 4 elements with padding 0 and 0"},
    {"pooling_window_of_no_dimension", pooling_window_of_no_dimension, TN_INVALID_ARGUMENT,
     "cannot add pooling: spatial dimension 0: window 0, stride 1, dilation 1, padding 0 and 0; windows, strides and dilations must be at "
     "least 1, padding at least 0"},
    {"pooling_of_an_unknown_type", pooling_of_an_unknown_type, TN_INVALID_ARGUMENT, "cannot add pooling: there is no pooling 5"},
    {"resize_without_a_size", resize_without_a_size, TN_INVALID_ARGUMENT, "cannot add resize: it has neither a size nor 1 to 8 scales"},
    {"resize_by_zero", resize_by_zero, TN_INVALID_ARGUMENT, "cannot add resize: the scale of dimension 0 is 0, it must be above 0"},
    {"resize_scales_of_no_resize", resize_scales_of_no_resize, TN_INVALID_ARGUMENT,
     "cannot change 'elementwise_18': it is elementwise, not resize"},
    {"grid_of_another_shape", grid_of_another_shape, TN_INVALID_ARGUMENT,
     "cannot add grid_sample: dimension 3 of the grid must be 2, it is float32 [2, 3, 4, 4]"},
    {"grid_sample_strictly", grid_sample_strictly, TN_INVALID_ARGUMENT,
     "cannot add grid_sample: its sample mode must be fill, clamp or reflect"},
    {"einsum_without_an_equation", einsum_without_an_equation, TN_INVALID_ARGUMENT, "cannot add einsum '': it takes 1 to 4 inputs"},
    {"einsum_with_capital_letters", einsum_with_capital_letters, TN_INVALID_ARGUMENT,
     "cannot add einsum 'AB->BA': labels are the letters a to z"},
    {"einsum_of_another_rank", einsum_of_another_rank, TN_INVALID_ARGUMENT,
     "cannot add einsum 'abc->ab': an input has another number of dimensions than the equation has letters"},
    {"einsum_of_five_inputs", einsum_of_five_inputs, TN_INVALID_ARGUMENT, "cannot add einsum 'a,a,a,a,a->a': it takes 1 to 4 inputs"},
    {"einsum_with_a_letter_from_nowhere", einsum_with_a_letter_from_nowhere, TN_INVALID_ARGUMENT,
     "cannot add einsum 'ab->c': a letter of the output stands in no input, or twice, or there are too many dimensions"},
    {"fully_connected_without_a_kernel", fully_connected_without_a_kernel, TN_INVALID_ARGUMENT,
     "cannot add fully_connected: x must be [n, …] and the kernel [outputs, k]"},
    {"fully_connected_of_another_size", fully_connected_of_another_size, TN_INVALID_ARGUMENT,
     "cannot add matrix_multiply: 'shuffle_20' is float32 [2, 48] and 'constant_16' is float32 [2, 5], transposed: the inner dimensions 48 "
     "and 5 differ"},
    {"product_of_inner_sizes_that_differ", product_of_inner_sizes_that_differ, TN_INVALID_ARGUMENT,
     "cannot add matrix_multiply: 'm6' is float32 [input2.0, 6] and 'constant_16' is float32 [2, 5]: the inner dimensions 6 and 2 differ"},
    {"product_of_an_unknown_operation", product_of_an_unknown_operation, TN_INVALID_ARGUMENT,
     "cannot add matrix_multiply: there is no matrix operation 9"},
    {"product_of_integers_and_floats", product_of_integers_and_floats, TN_INVALID_ARGUMENT,
     "cannot add matrix_multiply: 'm6' is float32 [input2.0, 6] and 'i2' is int32 [2, 3]: the types must be equal numbers"},
    {"product_of_vectors_without_saying_so", product_of_vectors_without_saying_so, TN_INVALID_ARGUMENT,
     "cannot add matrix_multiply: input 0 is float32 [6], it needs at least 2 dimensions"},
    {"attention_of_three_dimensions", attention_of_three_dimensions, TN_INVALID_ARGUMENT,
     "cannot add attention: q, k and v must be [batch, heads, length, size] with fixed numbers of heads, those of 'm6' a multiple of those "
     "of 'm6'"},
    {"attention_with_mask_and_causal", attention_with_mask_and_causal, TN_INVALID_ARGUMENT,
     "cannot add attention: it has a mask and is causal"},
    {"attention_options_not_made", attention_options_not_made, TN_INVALID_ARGUMENT,
     "cannot add attention: its options were not made by their init function"},
    {"rotary_of_an_odd_size", rotary_of_an_odd_size, TN_INVALID_ARGUMENT,
     "cannot add rotary_embedding: x must be [batch, heads, length, size], cos and sin [batch, length, size / 2], or [positions, size / 2] "
     "with position ids; 3 of 4 elements cannot be rotated"},
    {"rotary_without_tables", rotary_without_tables, TN_INVALID_ARGUMENT, "cannot add a rotary embedding: an input is missing"},
    {"cache_update_of_three_dimensions", cache_update_of_three_dimensions, TN_INVALID_ARGUMENT,
     "cannot add kv cache update: cache and update must be [batch, heads, length, size]"},
    {"cache_update_at_float_places", cache_update_at_float_places, TN_INVALID_ARGUMENT,
     "cannot add kv cache update: write indices and update lengths must be int32 or int64 [batch]"},
    {"cache_update_of_another_type", cache_update_of_another_type, TN_INVALID_ARGUMENT,
     "cannot add kv cache update: cache and update must be of one type"},
    {"cache_update_of_other_heads", cache_update_of_other_heads, TN_INVALID_ARGUMENT,
     "cannot add kv cache update: cache and update differ in another dimension than the length"},
    {"cache_update_options_not_made", cache_update_options_not_made, TN_INVALID_ARGUMENT,
     "cannot add kv cache update: its options were not made by their init function"},
    {"moe_without_weights", moe_without_weights, TN_INVALID_ARGUMENT, "cannot add a moe: an input is missing"},
    {"moe_options_not_made", moe_options_not_made, TN_INVALID_ARGUMENT, "cannot add moe: its options were not made by their init function"},
    {"moe_with_weights_that_are_no_constants", moe_with_weights_that_are_no_constants, TN_INVALID_ARGUMENT,
     "cannot add moe: gate, up and down must be constants of 3 dimensions"},
    {"collective_of_two_ranks", collective_of_two_ranks, TN_UNSUPPORTED,
     "cannot add collective: it needs rank 1, this version runs rank 0 alone"},
    {"collective_of_an_unknown_type", collective_of_an_unknown_type, TN_INVALID_ARGUMENT,
     "cannot add collective: there is no collective 99"},
    {"collective_from_another_rank", collective_from_another_rank, TN_UNSUPPORTED,
     "cannot add collective: it needs rank 2, this version runs rank 0 alone"},
    {"collective_that_sends", collective_that_sends, TN_UNSUPPORTED,
     "cannot add collective: this collective needs a group of ranks, which is not built"},
    {"quantize_to_floats", quantize_to_floats, TN_INVALID_ARGUMENT,
     "cannot add quantize: it cannot quantise to float32; int8, int4, float8 and float4 are possible"},
    {"quantize_by_scales_of_another_size", quantize_by_scales_of_another_size, TN_INVALID_ARGUMENT,
     "cannot add quantize: dimension 0 of the scale must be 5, it is float32 [6]"},
    {"quantize_of_integers", quantize_of_integers, TN_INVALID_ARGUMENT,
     "cannot add quantize: x must be of a float type, it is int32 [2, 3]"},
    {"dequantize_of_floats", dequantize_of_floats, TN_INVALID_ARGUMENT,
     "cannot add dequantize: x must be quantised, it is float32 [2, 3, 4, 4]"},
    {"dynamic_quantize_to_int32", dynamic_quantize_to_int32, TN_INVALID_ARGUMENT,
     "cannot add dynamic_quantize: it cannot quantise to int32; int8, float8_e4m3fn and float4_e2m1 are possible"},
    {"dynamic_quantize_by_blocks_of_another_rank", dynamic_quantize_by_blocks_of_another_rank, TN_INVALID_ARGUMENT,
     "cannot add dynamic_quantize: its block has 1 dimensions, it needs those of float32 [input2.0, 6]"},
    {"if_on_floats", if_on_floats, TN_INVALID_ARGUMENT, "cannot add condition: the condition must be bool, it is float32 [6]"},
    {"if_without_a_condition", if_without_a_condition, TN_INVALID_ARGUMENT, "cannot add condition: input 0 is missing"},
    {"else_after_the_end", else_after_the_end, TN_INVALID_ARGUMENT,
     "cannot begin the else branch: the branch if true is not the one that is open"},
    {"if_output_before_the_end", if_output_before_the_end, TN_INVALID_ARGUMENT, "cannot add an output of an if: it has not ended"},
    {"if_output_of_two_ranks", if_output_of_two_ranks, TN_INVALID_ARGUMENT,
     "cannot add condition_output: the branches give float32 [2, 3, 4, 4] and float32 [6]: type and rank must be equal"},
    {"reading_a_branch_from_outside", reading_a_branch_from_outside, TN_INVALID_ARGUMENT,
     "cannot add identity: input 0 ('identity_21') stands inside a loop or conditional"},
    {"output_inside_a_branch", output_inside_a_branch, TN_INVALID_ARGUMENT,
     "cannot mark 'identity_21' as an output: it stands inside a loop or conditional"},
    {"loop_that_never_ends", loop_that_never_ends, TN_INVALID_ARGUMENT,
     "cannot end a loop: it has neither a count nor a condition and would never stop"},
    {"loop_count_of_floats", loop_count_of_floats, TN_INVALID_ARGUMENT,
     "cannot add trip_limit: the count must be int32 or int64, it is float32 [6]"},
    {"loop_condition_of_floats", loop_condition_of_floats, TN_INVALID_ARGUMENT,
     "cannot add trip_limit: the condition must be bool, it is float32 [6]"},
    {"recurrence_of_another_shape", recurrence_of_another_shape, TN_INVALID_ARGUMENT,
     "cannot carry 'v' to the next round of 'recurrence_20': it is float32 [6], the initial value is float32 [2, 3, 4, 4]"},
    {"recurrence_without_next", recurrence_without_next, TN_INVALID_ARGUMENT,
     "cannot set the next value of a recurrence: an input is missing"},
    {"next_of_no_recurrence", next_of_no_recurrence, TN_INVALID_ARGUMENT, "cannot set the next value: the layer is no recurrence"},
    {"iterator_over_no_such_axis", iterator_over_no_such_axis, TN_INVALID_ARGUMENT,
     "cannot add iterator: axis 7 is outside float32 [2, 3, 4, 4]"},
    {"loop_output_before_the_end", loop_output_before_the_end, TN_INVALID_ARGUMENT, "cannot add an output of a loop: it has not ended"},
    {"parameter_that_does_not_exist", parameter_that_does_not_exist, TN_INVALID_ARGUMENT,
     "cannot set 'axis' of elementwise 'elementwise_18': layers of this kind have no such parameter"},
    {"parameter_without_a_name", parameter_without_a_name, TN_INVALID_ARGUMENT,
     "cannot set '' of elementwise 'elementwise_18': layers of this kind have no such parameter"},
    {"parameter_of_an_unknown_value", parameter_of_an_unknown_value, TN_INVALID_ARGUMENT,
     "cannot set 'op' of elementwise 'elementwise_18': its enum has no value of that name"},
    {"parameter_of_a_number_beyond_its_enum", parameter_of_a_number_beyond_its_enum, TN_INVALID_ARGUMENT,
     "cannot set 'op' of elementwise 'elementwise_18': its enum has no value of that number"},
    {"parameter_that_is_no_real", parameter_that_is_no_real, TN_INVALID_ARGUMENT,
     "cannot set 'op' of elementwise 'elementwise_18': it is no real number"},
    {"parameter_that_is_no_list", parameter_that_is_no_list, TN_INVALID_ARGUMENT,
     "cannot set 'op' of elementwise 'elementwise_18': it is no list of dimensions"},
    {"parameter_that_is_infinite", parameter_that_is_infinite, TN_INVALID_ARGUMENT,
     "cannot set 'alpha' of lrn 'lrn_20': it must be finite"},
    {"parameter_that_is_neither_true_nor_false", parameter_that_is_neither_true_nor_false, TN_INVALID_ARGUMENT,
     "cannot set 'keep_dims' of reduce 'reduce_20': it is true (1) or false (0)"},
    {"parameter_of_a_constant", parameter_of_a_constant, TN_INVALID_ARGUMENT,
     "cannot set 'dims' of constant 'constant_10': a constant's type and dimensions are those of its values: add another constant"},
    {"parameter_that_a_later_layer_cannot_take", parameter_that_a_later_layer_cannot_take, TN_INVALID_ARGUMENT,
     "cannot change matrix_multiply 'matrix_multiply_22': 'cast_20' is bool [input2.0, 6] and 'm6' is float32 [input2.0, 6]: the types "
     "must be equal numbers"},
    {"input_that_the_layer_does_not_have", input_that_the_layer_does_not_have, TN_INVALID_ARGUMENT,
     "cannot set input 2 of 'elementwise_18': x cannot be there: the layer has no such input"},
    {"input_that_cannot_be_absent", input_that_cannot_be_absent, TN_INVALID_ARGUMENT,
     "cannot set input 0 of 'elementwise_18': a tensor is missing"},
    {"input_made_from_its_own_output", input_made_from_its_own_output, TN_INVALID_ARGUMENT,
     "cannot set input 0 of 'elementwise_18': identity_20 is made after the layer, which others read before it"},
    {"input_of_another_network", input_of_another_network, TN_INVALID_ARGUMENT,
     "cannot set input 0 of 'elementwise_18': foreign belongs to another network"},
    {"input_of_another_shape", input_of_another_shape, TN_INVALID_ARGUMENT,
     "cannot change elementwise 'elementwise_18': 'v' is float32 [6] and 'x' is float32 [2, 3, 4, 4]: ranks must be equal, and dimensions "
     "equal or 1"},
    {"dims_of_an_output", dims_of_an_output, TN_INVALID_ARGUMENT,
     "cannot set the dimensions of 'elementwise_18': it follows from its layer; only inputs of the network can be set"},
    {"type_of_an_output", type_of_an_output, TN_INVALID_ARGUMENT,
     "cannot set the type of 'elementwise_18': it follows from its layer; only inputs of the network can be set"},
    {"dims_that_a_layer_cannot_take", dims_that_a_layer_cannot_take, TN_INVALID_ARGUMENT,
     "cannot change pooling 'pooling_20': spatial dimension 0: a window of 2 (size 2, dilation 1) does not fit 1 elements with padding 0 "
     "and 0"},
    {"precision_of_no_product", precision_of_no_product, TN_INVALID_ARGUMENT,
     "cannot set 'activation precision' of elementwise 'elementwise_18': only matrix products have one"},
    {"call_without_a_name", call_without_a_name, TN_INVALID_ARGUMENT, "cannot record a call: its name or its arguments are missing"},
    {"call_without_arguments_it_counts", call_without_arguments_it_counts, TN_INVALID_ARGUMENT,
     "cannot record a call: its name or its arguments are missing"},
    {"call_with_an_argument_of_another_network", call_with_an_argument_of_another_network, TN_INVALID_ARGUMENT,
     "cannot record a call of 'f': an argument belongs to another network"},
    {"call_with_an_argument_without_a_name", call_with_an_argument_without_a_name, TN_INVALID_ARGUMENT,
     "cannot record a call of 'f': an argument has no name"},
    {"call_ended_without_outputs", call_ended_without_outputs, TN_INVALID_ARGUMENT, "cannot end the call of 'f': it has no output"},
    {"call_ended_twice", call_ended_twice, TN_INVALID_ARGUMENT, "cannot end the call of 'f': it is not the innermost one that is open"},
    {"call_ended_before_its_inner_one", call_ended_before_its_inner_one, TN_INVALID_ARGUMENT,
     "cannot end the call of 'f': it is not the innermost one that is open"},
};

static char long_text[TN_MAX_NAME_BYTES + 1];

static tn_tensor *make(world *w, const char *name, tn_dtype dtype, tn_dims dims) {
    return tn_network_add_input(w->net, name, dtype, dims);
}

static void fill_world(world *w) {
    static const float values[256];
    tn_network_options options;
    tn_network_options_init(&options);
    assert_int_equal(tn_diag_create(NULL, &w->diag), TN_OK);
    options.diag = w->diag;
    assert_int_equal(tn_network_create(&options, &w->net), TN_OK);
    assert_int_equal(tn_network_create(&options, &w->other), TN_OK);
    w->x = make(w, "x", TN_FLOAT32, TN_DIMS(2, 3, 4, 4));
    w->half = make(w, "half", TN_FLOAT16, TN_DIMS(2, 3, 4, 4));
    w->m6 = make(w, "m6", TN_FLOAT32, TN_DIMS(-1, 6));
    w->m5 = make(w, "m5", TN_FLOAT32, TN_DIMS(-1, 5));
    w->v = make(w, "v", TN_FLOAT32, TN_DIMS(6));
    w->i2 = make(w, "i2", TN_INT32, TN_DIMS(2, 3));
    w->b = make(w, "b", TN_BOOL, TN_DIMS(6));
    w->flag = make(w, "flag", TN_BOOL, TN_SCALAR);
    w->lengths = make(w, "lengths", TN_INT32, TN_DIMS(2));
    w->grid = make(w, "grid", TN_FLOAT32, TN_DIMS(2, 5, 5, 2));
    w->foreign = tn_network_add_input(w->other, "foreign", TN_FLOAT32, TN_DIMS(2, 3, 4, 4));
    w->six = (tn_weights_data){.dtype = TN_FLOAT32, .data = values, .count = 6};
    w->constant = tn_network_add_constant(w->net, TN_DIMS(6), &w->six);
    w->one = O(tn_network_add_constant(w->net, TN_SCALAR, &(tn_weights_data){.dtype = TN_FLOAT32, .data = values, .count = 1}));
    w->kernel =
        O(tn_network_add_constant(w->net, TN_DIMS(2, 4, 3, 3), &(tn_weights_data){.dtype = TN_FLOAT32, .data = values, .count = 72}));
    w->kernel2 = O(tn_network_add_constant(w->net, TN_DIMS(2, 5), &(tn_weights_data){.dtype = TN_FLOAT32, .data = values, .count = 10}));
    w->sum = tn_network_add_elementwise(w->net, w->x, w->x, TN_ELEMENTWISE_SUM);
    w->y = O(w->sum);
    tn_resize_options_init(&w->shrink);
    w->shrink.scales[0] = 0.0, w->shrink.num_scales = 4;
    tn_attention_options_init(&w->masked_causal);
    w->masked_causal.mask = w->x, w->masked_causal.causal = TN_CAUSAL_UPPER_LEFT;
    tn_moe_options_init(&w->moe);
    memset(long_text, 'n', sizeof long_text - 1);
    w->long_text = long_text;
    assert_int_equal(tn_diag_num_entries(w->diag), 0);
}

static void every_wrong_use_is_refused_with_its_cause(void **state) {
    (void)state;
    int num_failed = 0;
    bool prints = getenv("TN_PRINT_MESSAGES") != NULL;
    for (size_t i = 0; i < sizeof wrong_uses / sizeof wrong_uses[0]; i++) {
        const wrong_use *use = &wrong_uses[i];
        world w = {0};
        tn_diag_entry entry = {.message = ""};
        fill_world(&w);
        use->run(&w);
        size_t count = tn_diag_num_entries(w.diag);
        if (count > 0) assert_int_equal(tn_diag_get(w.diag, 0, &entry), TN_OK);
        if (prints) printf("%s\t%s\t%s\n", use->name, count > 0 ? tn_status_name(entry.code) : "", entry.message);
        bool is_told = count > 0 && entry.code == use->status && strcmp(entry.message, use->message) == 0;
        bool is_refused = w.net->failed || w.other->failed;
        if (!is_told || !is_refused) {
            print_error("%s: %s: \"%s\"%s\n", use->name, count > 0 ? tn_status_name(entry.code) : "no error", entry.message,
                        is_refused ? "" : ", and a build would go on");
            num_failed++;
        }
        tn_network_destroy(w.net);
        tn_network_destroy(w.other);
        tn_diag_destroy(w.diag);
    }
    assert_int_equal(num_failed, 0);
    assert_true(sizeof wrong_uses / sizeof wrong_uses[0] >= 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_wrong_use_is_refused_with_its_cause)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
