/* SPDX-License-Identifier: Apache-2.0
 *
 * parameters_test.c: tenon/layer.h: parameters by name, changes that reach all layers behind, and changes that are taken back.
 */
#include "network/network_internal.h"
#include "network/testing.h"
#include "support/fault_allocator.h"

static tn_parameter parameter(const tn_layer *layer, const char *name) {
    tn_parameter found;
    if (!tn_layer_find_parameter(layer, name, &found)) fail_msg("%s has no parameter '%s'", tn_layer_kind(layer), name);
    return found;
}

/* The network as text. */
static tn_text picture(const fixture *f) {
    tn_text text = {0};
    tn_network_print(f->net, &text);
    return text;
}

#define assert_refused(f, call, part)                   \
    do {                                                \
        tn_text before_ = picture(f);                   \
        assert_false(call);                             \
        assert_message((f), (part));                    \
        tn_text after_ = picture(f);                    \
        assert_string_equal(after_.data, before_.data); \
        tn_text_deinit(&before_);                       \
        tn_text_deinit(&after_);                        \
    } while (0)

static tn_layer *relu(fixture *f, tn_tensor *x) {
    return tn_network_add_activation(f->net, x, TN_ACTIVATION_RELU);
}

static void every_parameter_of_a_layer_reads_back_as_set(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 4, 6, 8));
    tn_layer *unary = tn_network_add_unary(f->net, x, TN_UNARY_EXP), *sum = tn_network_add_elementwise(f->net, x, x, TN_ELEMENTWISE_SUM);
    tn_layer *act = relu(f, x), *reduce = tn_network_add_reduce(f->net, x, TN_REDUCE_SUM, 1, true);
    tn_layer *softmax = tn_network_add_softmax(f->net, x, 1), *cast = tn_network_add_cast(f->net, x, TN_FLOAT16);
    tn_layer *lrn = tn_network_add_lrn(f->net, x, 3, 1e-4, 0.75, 1.0),
             *pool = tn_network_add_pooling(f->net, x, TN_POOLING_MAX, TN_DIMS(2, 2), NULL);
    assert_true(tn_layer_set_int(unary, "op", TN_UNARY_LOG) && tn_layer_set_text(sum, "op", "max"));
    assert_true(tn_layer_set_text(act, "type", "clip") && tn_layer_set_real(act, "alpha", -1.5) && tn_layer_set_real(act, "beta", 2.0));
    assert_true(tn_layer_set_int(reduce, "axes", 6) && tn_layer_set_int(reduce, "keep_dims", false) &&
                tn_layer_set_text(reduce, "op", "avg"));
    assert_true(tn_layer_set_int(softmax, "axis", -1) && tn_layer_set_int(cast, "to", TN_INT32) &&
                tn_layer_set_text(cast, "to", "bfloat16"));
    assert_true(tn_layer_set_int(lrn, "window", 5) && tn_layer_set_real(lrn, "k", 2.0));
    assert_true(tn_layer_set_dims(pool, "stride", TN_DIMS(2, 2)) && tn_layer_set_text(pool, "padding_mode", "same_upper") &&
                tn_layer_set_text(pool, "type", "average") && tn_layer_set_int(pool, "counts_padding", true));
    assert_string_equal(parameter(unary, "op").text, "log");
    assert_string_equal(parameter(sum, "op").text, "max");
    assert_true(parameter(act, "alpha").real == -1.5 && parameter(act, "beta").real == 2.0);
    assert_dims(output(reduce), TN_DIMS(2, 8));
    assert_int_equal(parameter(softmax, "axis").integer, 3);
    assert_int_equal(tn_tensor_dtype(output(cast)), TN_BFLOAT16);
    assert_int_equal(parameter(lrn, "window").integer, 5);
    assert_dims(output(pool), TN_DIMS(2, 4, 3, 4));
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
}

static void every_field_of_the_table_can_be_set_or_says_why_not(void **state) {
    (void)state;
    for (int kind = 0; kind < tn_num_layer_kinds(); kind++) {
        const tn_op_info *info = tn_op_get_info((tn_op_kind)kind);
        assert_string_equal(tn_layer_kind_name(kind), info->name);
        for (int i = 0; i < info->num_fields; i++) { /* a setter finds it, whatever the layer then says */
            tn_network *net;
            tn_diag *diag;
            tn_network_options options;
            tn_network_options_init(&options);
            assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
            options.diag = diag;
            assert_int_equal(tn_network_create(&options, &net), TN_OK);
            tn_layer *layer = tn_network_add_identity(net, tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(2, 3)));
            layer->kind = (tn_op_kind)kind; /* enough to be asked what it has */
            assert_false(tn_layer_set_int(layer, "no such thing", 1));
            const char *name = info->fields[i].name;
            if (info->fields[i].type == TN_TYPE_TEXT) assert_false(tn_layer_set_text(layer, name, "\""));
            if (info->fields[i].type == TN_TYPE_ENUM || info->fields[i].type == TN_TYPE_DTYPE)
                assert_false(tn_layer_set_int(layer, name, 99));
            if (info->fields[i].type == TN_TYPE_DIMS) assert_false(tn_layer_set_dims(layer, name, (tn_dims){.rank = 9}));
            if (info->fields[i].type == TN_TYPE_REAL) assert_false(tn_layer_set_real(layer, name, 1.0 / 0.0));
            if (info->fields[i].type == TN_TYPE_BOOL) assert_false(tn_layer_set_int(layer, name, 2));
            layer->kind = TN_OP_IDENTITY;
            tn_network_destroy(net);
            tn_diag_destroy(diag);
        }
    }
    assert_null(tn_layer_kind_name(-1));
    assert_null(tn_layer_kind_name(tn_num_layer_kinds()));
}

static void a_change_reaches_the_layers_behind(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 6));
    tn_layer *shuffle = tn_network_add_shuffle(f->net, x);
    tn_shuffle_set_reshape(shuffle, TN_DIMS(-1, 2));
    tn_tensor *y = output(relu(f, add(f, output(shuffle), output(shuffle))));
    assert_dims(y, TN_DIMS(-1, 2));
    tn_shuffle_set_reshape(shuffle, TN_DIMS(-1, 3));
    assert_dims(y, TN_DIMS(-1, 3));
    assert_true(tn_layer_set_dims(shuffle, "second", TN_DIMS(1, 0)));
    assert_dims(y, TN_DIMS(3, -1));
    tn_slice_set_tensors(shuffle, NULL, NULL, NULL);
    assert_message(f, "it is shuffle, not slice");
}

static void a_change_that_a_later_layer_cannot_take_is_taken_back(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(4, 6)), *w = add_floats(f, TN_DIMS(6, 5), "w");
    tn_layer *first = relu(f, x), *cast = tn_network_add_cast(f->net, output(first), TN_FLOAT32);
    tn_layer *product = tn_network_add_matrix_multiply(f->net, output(cast), TN_MATRIX_NONE, w, TN_MATRIX_NONE);
    tn_layer_set_name(product, "product");
    tn_network_mark_output(f->net, output(relu(f, output(product))), "y");
    assert_refused(f, tn_layer_set_text(cast, "to", "int32"), "cannot change matrix_multiply 'product'");
    assert_refused(f, tn_layer_set_text(product, "op_a", "transpose"), "cannot change matrix_multiply 'product'");
    assert_refused(f, tn_layer_set_input(product, 1, x), "cannot change matrix_multiply 'product'");
    assert_refused(f, tn_tensor_set_dims(x, TN_DIMS(4, 7)), "cannot change matrix_multiply 'product'");
    assert_refused(f, tn_tensor_set_dtype(x, TN_BOOL), "cannot change activation");
    assert_true(tn_tensor_set_dims(x, TN_DIMS(3, 6)));
    assert_dims(tn_network_output(f->net, 0), TN_DIMS(3, 5));
}

static void a_given_value_takes_the_tensor_that_gave_it_away(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(4, 6)),
              *k = output(
                  tn_network_add_constant(f->net, TN_SCALAR, &(tn_weights_data){.dtype = TN_INT64, .data = (int64_t[]){2}, .count = 1}));
    tn_tensor *two = add_int64s(f, (int64_t[]){0, 1}, 2), *ones = add_int64s(f, (int64_t[]){1, 1}, 2),
              *size = add_int64s(f, (int64_t[]){2, 3}, 2);
    tn_layer *slice = tn_network_add_slice(f->net, x, TN_DIMS(0, 0), TN_DIMS(2, 2), TN_DIMS(1, 1));
    tn_slice_set_tensors(slice, two, size, ones);
    const char *const names[] = {"start", "size", "stride"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(parameter(slice, names[i]).dims.rank, -1);
        assert_true(tn_layer_set_dims(slice, names[i], TN_DIMS(1, 1)));
        assert_int_equal(parameter(slice, names[i]).dims.rank, 2);
        assert_null(tn_layer_input(slice, i + 1));
    }
    assert_dims(output(slice), TN_DIMS(1, 1));
    tn_layer *top = tn_network_add_topk(f->net, x, TN_TOPK_MAX, 3, 1);
    tn_topk_set_k_tensor(top, k);
    assert_int_equal(parameter(top, "k").integer, -1);
    assert_dims(output(top), TN_DIMS(4, 2));
    assert_true(tn_layer_set_int(top, "k", 5));
    assert_dims(output(top), TN_DIMS(4, 5));
    tn_layer *shuffle = tn_network_add_shuffle(f->net, x);
    tn_shuffle_set_reshape_tensor(shuffle, add_int64s(f, (int64_t[]){8, 3}, 2));
    assert_int_equal(parameter(shuffle, "reshape").dims.rank, -1);
    assert_true(tn_layer_set_dims(shuffle, "reshape", TN_DIMS(24)));
    assert_dims(output(shuffle), TN_DIMS(24));
    tn_resize_options o;
    tn_resize_options_init(&o);
    o.size_tensor = add_int64s(f, (int64_t[]){8, 12}, 2);
    tn_layer *resize = tn_network_add_resize(f->net, x, &o);
    assert_int_equal(parameter(resize, "size").dims.rank, -1);
    assert_true(tn_layer_set_dims(resize, "size", TN_DIMS(4, 9)));
    assert_dims(output(resize), TN_DIMS(4, 9));
    assert_true(tn_resize_set_scales(resize, (const double[]){1.0, 0.5}, 2));
    assert_dims(output(resize), TN_DIMS(4, 3));
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
}

static void inputs_can_be_replaced_by_what_stands_before(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(4, 6)), *y = add_input(f, "y", TN_DIMS(1, 6)), *bias = add_floats(f, TN_DIMS(6), "b");
    tn_layer *sum = tn_network_add_elementwise(f->net, x, x, TN_ELEMENTWISE_SUM);
    tn_layer *norm = tn_network_add_normalization(f->net, output(sum), add_floats(f, TN_DIMS(6), "s"), NULL, TN_NORMALIZATION_LAYER, 1e-5);
    assert_true(tn_layer_set_input(sum, 1, y));
    assert_ptr_equal(tn_layer_input(sum, 1), y);
    assert_int_equal(x->uses.count, 1);
    tn_tensor *late = add_floats(f, TN_DIMS(6), "late");
    assert_true(tn_layer_set_input(norm, 2, late)); /* the layer moves behind it */
    tn_network_mark_output(f->net, output(norm), "out");
    if (tn_network_verify(f->net, f->diag) != TN_OK) fail_msg("%s", last_message(f));
    assert_true(tn_layer_set_input(norm, 2, bias));
    assert_true(tn_layer_set_input(norm, 2, NULL));
    assert_null(tn_layer_input(norm, 2));
}

static void inputs_that_cannot_be_are_refused(void **state) {
    fixture *f = *state;
    tn_network *net;
    tn_tensor *x = add_input(f, "x", TN_DIMS(4, 6));
    tn_layer *sum = tn_network_add_elementwise(f->net, x, x, TN_ELEMENTWISE_SUM);
    tn_tensor *late = output(relu(f, output(sum)));
    assert_int_equal(tn_network_create(NULL, &net), TN_OK);
    tn_tensor *foreign = tn_network_add_input(net, "foreign", TN_FLOAT32, TN_DIMS(4, 6));
    tn_if *conditional = tn_network_begin_if(f->net, tn_network_add_input(f->net, "c", TN_BOOL, TN_SCALAR));
    tn_tensor *inside = output(relu(f, x));
    tn_if_else(conditional);
    tn_tensor *other = output(relu(f, x));
    tn_if_end(conditional);
    tn_tensor *joined = output(tn_if_add_output(conditional, inside, other));
    tn_layer *behind = relu(f, joined);
    assert_refused(f, tn_layer_set_input(sum, 2, x), "the layer has no such input");
    assert_refused(f, tn_layer_set_input(sum, -1, x), "the layer has no such input");
    assert_refused(f, tn_layer_set_input(sum, 0, NULL), "a tensor is missing");
    assert_refused(f, tn_layer_set_input(sum, 0, foreign), "foreign belongs to another network");
    assert_refused(f, tn_layer_set_input(sum, 0, late), "is made after the layer");
    assert_refused(f, tn_layer_set_input(sum, 0, output(sum)), "is made after the layer");
    assert_refused(f, tn_layer_set_input(behind, 0, inside), "stands inside a loop or conditional");
    tn_network_destroy(net);
}

static void inputs_of_the_network_change_type_and_dimensions(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 6)), *z = add_input(f, "z", TN_DIMS(-1));
    tn_tensor *y = output(relu(f, x));
    tn_tensor_set_dim_name(x, 0, "batch");
    assert_true(tn_tensor_set_dims(x, TN_DIMS(-1, 3, 2)));
    assert_type(y, "float32 [batch, 3, 2]");
    assert_true(tn_tensor_set_dtype(x, TN_FLOAT16));
    assert_type(y, "float16 [batch, 3, 2]");
    assert_true(tn_tensor_set_dims(z, TN_DIMS(7, -1)));
    assert_refused(f, tn_tensor_set_dims(x, TN_DIMS(4, 6)), "dimension 0 is called 'batch' and must stay -1");
    assert_refused(f, tn_tensor_set_dims(z, TN_DIMS(-2)), "dimension 0 is -2");
    assert_refused(f, tn_tensor_set_dims(z, (tn_dims){.rank = 9}), "9 dimensions, at most 8");
    assert_refused(f, tn_tensor_set_dims(y, TN_DIMS(4)), "it follows from its layer");
    assert_refused(f, tn_tensor_set_dtype(y, TN_FLOAT32), "it follows from its layer");
    assert_refused(f, tn_tensor_set_dtype(z, TN_Q15_32), "inputs cannot be of type q15_32");
    assert_false(tn_tensor_set_dims(NULL, TN_DIMS(4)));
}

static void shapes_computed_from_a_changed_input_follow(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 6));
    tn_tensor *shape = output(tn_network_add_shape(f->net, x));
    tn_layer *shuffle = tn_network_add_shuffle(f->net, x);
    tn_shuffle_set_reshape_tensor(shuffle, output(tn_network_add_slice(f->net, shape, TN_DIMS(1), TN_DIMS(2), TN_DIMS(-1))));
    tn_network_mark_output_for_shapes(f->net, shape, "dims");
    assert_dims(output(shuffle), TN_DIMS(6, 2));
    assert_true(tn_tensor_set_dims(x, TN_DIMS(-1, 5)));
    assert_dims(output(shuffle), TN_DIMS(5, -1));
    assert_true(tn_tensor_is_shape(shape) && tn_tensor_is_made_on_host(shape) && !tn_tensor_is_made_on_host(x));
}

static void a_count_stays_the_layer_s_own_when_its_input_changes(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 6));
    tn_layer *places = tn_network_add_non_zero(f->net, x);
    tn_sym before = output(places)->dims[1];
    assert_true(tn_layer_set_text(places, "indices", "int32") && tn_tensor_set_dims(x, TN_DIMS(2, 6, 5)));
    assert_int_equal(tn_tensor_dtype(output(places)), TN_INT32);
    assert_int_equal(tn_tensor_dims(output(places)).d[0], 3);
    assert_int_equal(output(places)->dims[1], before);
}

static void a_loop_s_value_may_change_its_shape_with_what_it_starts_from(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3)), *count = tn_network_add_input(f->net, "n", TN_INT64, TN_SCALAR);
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_loop_set_trip_limit(loop, count);
    tn_layer *value = tn_loop_add_recurrence(loop, x);
    tn_recurrence_set_next(value, add(f, output(value), output(value)));
    tn_loop_end(loop);
    tn_tensor *y = output(tn_loop_add_output(loop, output(value), false, 0));
    assert_true(tn_tensor_set_dims(x, TN_DIMS(5)));
    assert_dims(y, TN_DIMS(5));
    assert_refused(f, tn_layer_set_int(value, "construct", 2), "a layer stays in its loop or conditional");
}

static void the_network_has_a_name_and_collectives_one_rank(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(4, 6));
    tn_network_set_name(f->net, "vision");
    assert_string_equal(tn_network_name(f->net), "vision");
    assert_non_null(tn_network_add_collective(f->net, x, TN_COLLECTIVE_ALL_GATHER, TN_REDUCE_SUM, 0, (const int64_t[]){0}, 1));
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
    assert_null(tn_network_add_collective(f->net, x, TN_COLLECTIVE_ALL_REDUCE, TN_REDUCE_SUM, 0, (const int64_t[]){0, 1}, 2));
    assert_message(f, "it needs rank 1, this version runs rank 0 alone");
    assert_null(tn_network_add_collective(f->net, x, TN_COLLECTIVE_BROADCAST, TN_REDUCE_SUM, 3, NULL, 0));
    assert_message(f, "it needs rank 3");
    assert_null(tn_network_add_collective(f->net, x, TN_COLLECTIVE_SEND, TN_REDUCE_SUM, 0, NULL, 0));
    assert_message(f, "needs a group of ranks");
    tn_layer *product = tn_network_add_matrix_multiply(f->net, x, TN_MATRIX_NONE, x, TN_MATRIX_TRANSPOSE);
    assert_true(tn_layer_set_activation_precision(product, TN_ACTIVATIONS_INT8));
    assert_false(tn_layer_set_activation_precision(relu(f, x), TN_ACTIVATIONS_INT8));
    assert_message(f, "only matrix products have one");
}

static void each_failing_allocation_of_a_change_is_reported(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_network_options options;
        tn_diag *diag;
        tn_network *net;
        tn_fault_allocator_init(&fault, n);
        tn_network_options_init(&options);
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        options.diag = diag;
        options.allocator = &fault.allocator;
        tn_status status = tn_network_create(&options, &net);
        bool changed = false;
        if (status == TN_OK) {
            tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(-1, 6)), *y = x;
            for (int i = 0; i < 5; i++) y = output(tn_network_add_activation(net, y, TN_ACTIVATION_RELU));
            changed = y != NULL && tn_tensor_set_dims(x, TN_DIMS(-1, 3, 4)) && tn_layer_set_text(y->producer, "type", "tanh");
            assert_true(changed != net->out_of_memory);
        }
        tn_network_destroy(net);
        tn_diag_destroy(diag);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_true(changed);
            return;
        }
        assert_false(changed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_parameter_of_a_layer_reads_back_as_set),
        cmocka_unit_test(every_field_of_the_table_can_be_set_or_says_why_not),
        TEST(a_change_reaches_the_layers_behind),
        TEST(a_change_that_a_later_layer_cannot_take_is_taken_back),
        TEST(a_given_value_takes_the_tensor_that_gave_it_away),
        TEST(inputs_can_be_replaced_by_what_stands_before),
        TEST(inputs_that_cannot_be_are_refused),
        TEST(inputs_of_the_network_change_type_and_dimensions),
        TEST(shapes_computed_from_a_changed_input_follow),
        TEST(a_count_stays_the_layer_s_own_when_its_input_changes),
        TEST(a_loop_s_value_may_change_its_shape_with_what_it_starts_from),
        TEST(the_network_has_a_name_and_collectives_one_rank),
        cmocka_unit_test(each_failing_allocation_of_a_change_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
