/* SPDX-License-Identifier: Apache-2.0
 *
 * region_test.c: Ifs and Loops: where layers stand, what comes out, what is refused.
 */
#include "network/testing.h"

static tn_tensor *add_scalar(fixture *f, const char *name, tn_dtype dtype) {
    return tn_network_add_input(f->net, name, dtype, TN_SCALAR);
}

static void branches_stand_in_regions_of_their_own(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_tensor *condition = add_scalar(f, "c", TN_BOOL);
    tn_if *conditional = tn_network_begin_if(f->net, condition);
    tn_tensor *a = add(f, x, x);
    tn_if_else(conditional);
    tn_tensor *b = output(tn_network_add_slice(f->net, x, TN_DIMS(0, 0), TN_DIMS(2, 4), TN_DIMS(1, 1)));
    tn_if_end(conditional);
    tn_tensor *y = output(tn_if_add_output(conditional, a, b));
    tn_network_mark_output(f->net, y, "y");
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
    assert_int_equal(a->producer->region, 1);
    assert_int_equal(b->producer->region, 2);
    assert_int_equal(y->producer->region, 0);
    assert_true(f->net->regions.data[2].is_else);
    assert_int_equal(condition->place, TN_PLACE_HOST);
    assert_ptr_equal(f->net->regions.data[1].owner, tn_network_layer(f->net, 0));
    tn_sym expected = tn_sym_select(f->net->symbols, condition->host_syms[0], x->dims[0], tn_sym_const(f->net->symbols, 2));
    assert_int_equal(y->dims[0], expected);
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_OK);
    tn_network_sweep(f->net);
    assert_int_equal(tn_network_num_layers(f->net), 4);
}

static void unused_ifs_are_swept_with_their_condition(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_if *conditional = tn_network_begin_if(f->net, add_scalar(f, "c", TN_BOOL));
    tn_tensor *a = add(f, x, x);
    tn_if_else(conditional);
    tn_if_end(conditional);
    (void)tn_if_add_output(conditional, a, x);
    tn_network_mark_output(f->net, add(f, x, x), "y");
    tn_network_sweep(f->net);
    assert_int_equal(tn_network_num_layers(f->net), 1);
}

static void branches_must_agree_in_type_and_rank(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_if *conditional = tn_network_begin_if(f->net, add_scalar(f, "c", TN_BOOL));
    tn_tensor *a = add(f, x, x);
    tn_if_else(conditional);
    tn_tensor *b = output(tn_network_add_reduce(f->net, x, TN_REDUCE_SUM, 2, false));
    tn_if_end(conditional);
    assert_null(tn_if_add_output(conditional, a, b));
    assert_message(f, "the branches give float32 [input0.0, 4] and float32 [input0.0]");
    assert_null(tn_if_add_output(conditional, b, a));
    assert_message(f, "does not come from that branch");
}

static void layers_outside_cannot_read_a_branch(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_if *conditional = tn_network_begin_if(f->net, add_scalar(f, "c", TN_BOOL));
    tn_tensor *a = add(f, x, x);
    tn_if_else(conditional);
    assert_null(add(f, a, a));
    assert_message(f, "stands inside a loop or conditional");
    tn_if_end(conditional);
    assert_null(add(f, a, x));
    tn_network_mark_output(f->net, a, "a");
    assert_message(f, "it stands inside a loop or conditional");
}

static void wrong_order_of_calls_is_refused(void **state) {
    fixture *f = *state;
    tn_tensor *condition = add_scalar(f, "c", TN_BOOL);
    tn_if *conditional = tn_network_begin_if(f->net, condition);
    tn_if_end(conditional);
    assert_message(f, "cannot end an if: its else branch is not the one that is open");
    assert_null(tn_if_add_output(conditional, condition, condition));
    assert_message(f, "it has not ended");
    tn_if_else(conditional);
    tn_if_else(conditional);
    assert_message(f, "cannot begin the else branch");
    tn_if_end(conditional);
    assert_null(tn_network_begin_if(f->net, add_input(f, "x", TN_SCALAR)));
    assert_message(f, "the condition must be bool, it is float32 []");
    tn_loop *loop = tn_network_begin_loop(f->net);
    assert_null(tn_loop_add_output(loop, condition, false, 0));
    assert_message(f, "cannot add an output of a loop: it has not ended");
    tn_loop_end(loop);
    tn_loop_end(loop);
    assert_message(f, "the loop's body is not open");
}

/* x added to itself n times, with the values of all rounds. */
static void loop_carries_values_and_joins_them(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4)), *rows = add_input(f, "rows", TN_DIMS(6, 4));
    tn_tensor *count = tn_network_add_input(f->net, "n", TN_INT64, TN_SCALAR);
    tn_tensor *one =
        output(tn_network_add_constant(f->net, TN_SCALAR, &(tn_weights_data){.dtype = TN_INT64, .data = (const int64_t[]){1}, .count = 1}));
    tn_tensor *trips = output(tn_network_add_elementwise(f->net, count, one, TN_ELEMENTWISE_SUM));
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_layer *sum = tn_loop_add_recurrence(loop, x);
    tn_layer *row = tn_loop_add_iterator(loop, rows, 0, false);
    tn_loop_set_trip_limit(loop, trips);
    assert_type(output(row), "float32 [4]");
    tn_tensor *next = add(f, output(sum), x);
    tn_recurrence_set_next(sum, next);
    tn_loop_end(loop);
    tn_tensor *last = output(tn_loop_add_output(loop, output(sum), false, 0));
    tn_tensor *all = output(tn_loop_add_output(loop, next, true, 0));
    tn_network_mark_output(f->net, last, "last");
    tn_network_mark_output(f->net, all, "all");
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
    assert_int_equal(all->rank, 3);
    tn_sym expected = tn_sym_binary(f->net->symbols, TN_SYM_ADD, tn_sym_host_value(f->net->symbols, count->id, 0), TN_SYM_ONE);
    assert_int_equal(all->dims[0], expected);
    assert_int_equal(count->place, TN_PLACE_HOST);
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_OK);
    const tn_layer *limit = f->net->regions.data[1].owner;
    assert_int_equal(limit->region, 0);
    assert_ptr_equal(limit->next, sum); /* right before the body */
    tn_network_sweep(f->net);
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_OK);
    assert_int_equal(sum->inputs.count, 2);
}

static void loop_with_a_condition_of_its_own(void **state) {
    fixture *f = *state;
    tn_tensor *start = tn_network_add_input(f->net, "start", TN_INT64, TN_SCALAR);
    tn_tensor *limit = tn_network_add_input(f->net, "limit", TN_INT64, TN_SCALAR);
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_layer *value = tn_loop_add_recurrence(loop, start);
    tn_tensor *next = output(tn_network_add_elementwise(f->net, output(value), output(value), TN_ELEMENTWISE_SUM));
    tn_recurrence_set_next(value, next);
    tn_loop_set_condition(loop, output(tn_network_add_elementwise(f->net, next, limit, TN_ELEMENTWISE_LESS)));
    tn_loop_end(loop);
    tn_tensor *last = output(tn_loop_add_output(loop, output(value), false, 0));
    tn_network_mark_output(f->net, last, "last");
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
    assert_int_equal(next->place, TN_PLACE_HOST);
    assert_int_equal(output(value)->host_syms[0], tn_sym_host_value(f->net->symbols, output(value)->id, 0));
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_OK);
    assert_null(tn_loop_add_output(loop, next, true, 0));
    assert_message(f, "a loop without a count cannot join its values");
}

static void an_if_may_stand_in_a_loop(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_loop_set_trip_limit(loop, tn_network_add_input(f->net, "n", TN_INT32, TN_SCALAR));
    tn_layer *sum = tn_loop_add_recurrence(loop, x);
    tn_if *conditional = tn_network_begin_if(f->net, add_scalar(f, "c", TN_BOOL));
    tn_tensor *a = add(f, output(sum), x);
    tn_if_else(conditional);
    tn_tensor *b = output(tn_network_add_activation(f->net, output(sum), TN_ACTIVATION_RELU));
    tn_if_end(conditional);
    tn_recurrence_set_next(sum, output(tn_if_add_output(conditional, a, b)));
    tn_loop_end(loop);
    tn_network_mark_output(f->net, output(tn_loop_add_output(loop, output(sum), false, 0)), "y");
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
    assert_int_equal(f->net->regions.data[2].parent, 1);
    tn_network_sweep(f->net);
    assert_int_equal(tn_network_num_layers(f->net), 7);
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_OK);
}

static void unused_loops_are_swept_whole(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_loop_set_trip_limit(loop, tn_network_add_input(f->net, "n", TN_INT32, TN_SCALAR));
    tn_layer *sum = tn_loop_add_recurrence(loop, x);
    tn_recurrence_set_next(sum, add(f, output(sum), x));
    tn_loop_end(loop);
    (void)tn_loop_add_output(loop, output(sum), false, 0);
    tn_network_mark_output(f->net, add(f, x, x), "y");
    tn_network_sweep(f->net);
    assert_int_equal(tn_network_num_layers(f->net), 1);
}

static void loops_that_never_stop_are_refused(void **state) {
    fixture *f = *state;
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_loop_end(loop);
    assert_message(f, "it has neither a count nor a condition and would never stop");
}

static void carried_values_keep_their_shape(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3)), *longer = add_input(f, "longer", TN_DIMS(5));
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_loop_set_trip_limit(loop, tn_network_add_input(f->net, "n", TN_INT32, TN_SCALAR));
    tn_layer *sum = tn_loop_add_recurrence(loop, x);
    tn_recurrence_set_next(sum, longer);
    assert_message(f, "cannot carry 'longer' to the next round of 'recurrence_");
    assert_message(f, "it is float32 [5], the initial value is float32 [3]");
    tn_loop_set_trip_limit(loop, longer);
    assert_message(f, "it has a count already");
}

static void last_values_are_recurrences_only(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_loop *loop = tn_network_begin_loop(f->net);
    tn_loop_set_trip_limit(loop, tn_network_add_input(f->net, "n", TN_INT32, TN_SCALAR));
    tn_tensor *y = add(f, x, x);
    tn_loop_end(loop);
    assert_null(tn_loop_add_output(loop, y, false, 0));
    assert_message(f, "the last value must be a recurrence's");
    assert_null(tn_loop_add_output(loop, x, true, 0));
    assert_message(f, "'x' does not come from the loop's body");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(branches_stand_in_regions_of_their_own), TEST(unused_ifs_are_swept_with_their_condition),
        TEST(branches_must_agree_in_type_and_rank),   TEST(layers_outside_cannot_read_a_branch),
        TEST(wrong_order_of_calls_is_refused),        TEST(loop_carries_values_and_joins_them),
        TEST(loop_with_a_condition_of_its_own),       TEST(an_if_may_stand_in_a_loop),
        TEST(unused_loops_are_swept_whole),           TEST(loops_that_never_stop_are_refused),
        TEST(carried_values_keep_their_shape),        TEST(last_values_are_recurrences_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
