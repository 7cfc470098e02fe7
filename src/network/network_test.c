/* SPDX-License-Identifier: Apache-2.0
 *
 * network_test.c: defining networks: inputs, outputs, names, uses, states, the sweep, wrong usage.
 */
#include "network/testing.h"
#include "support/fault_allocator.h"

/* --- definition ----------------------------------------------------------------------------------------------------------- */

static void linear_layer_has_the_shape_of_its_product(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 784));
    tn_tensor_set_dim_name(x, 0, "batch");
    tn_tensor *w = add_floats(f, TN_DIMS(4, 784), "w");
    tn_tensor *y = output(tn_network_add_matrix_multiply(f->net, x, TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE));
    tn_network_mark_output(f->net, y, "y");
    assert_dims(y, TN_DIMS(-1, 4));
    assert_type(y, "float32 [batch, 4]");
    assert_string_equal(tn_tensor_name(y), "y");
    assert_int_equal(tn_network_num_inputs(f->net), 1);
    assert_int_equal(tn_network_num_outputs(f->net), 1);
    assert_int_equal(tn_network_num_layers(f->net), 2);
    assert_string_equal(tn_layer_kind(tn_network_layer(f->net, 1)), "matrix_multiply");
    assert_null(tn_network_layer(f->net, 2));
    assert_null(tn_network_output(f->net, 1));
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
}

static void mismatched_inner_dimensions_are_named(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 784));
    tn_tensor_set_dim_name(x, 0, "batch");
    assert_null(tn_network_add_matrix_multiply(f->net, x, TN_MATRIX_NONE, add_floats(f, TN_DIMS(4, 10), "w"), TN_MATRIX_TRANSPOSE));
    assert_message(f, "'x' is float32 [batch, 784] and 'w' is float32 [4, 10], transposed: the inner dimensions 784 and 10 differ");
    assert_true(f->net->failed);
}

static void missing_inputs_are_recorded_once(void **state) {
    fixture *f = *state;
    tn_tensor *nothing = output(tn_network_add_softmax(f->net, NULL, 0));
    assert_null(nothing);
    assert_message(f, "cannot add softmax: input 0 is missing");
    assert_null(add(f, nothing, nothing));
    tn_network_mark_output(f->net, nothing, "y");
    tn_shuffle_set_reshape(tn_network_add_shuffle(f->net, nothing), TN_DIMS(1));
    assert_int_equal(tn_diag_num_entries(f->diag), 1);
}

static void null_networks_and_layers_are_answered(void **state) {
    (void)state;
    tn_diag *silent;
    assert_int_equal(tn_diag_create(NULL, &silent), TN_OK);
    assert_null(tn_layer_output(NULL, 0));
    assert_null(tn_layer_input(NULL, 0));
    assert_string_equal(tn_layer_name(NULL), "");
    assert_string_equal(tn_layer_kind(NULL), "");
    assert_string_equal(tn_tensor_name(NULL), "");
    assert_int_equal(tn_tensor_dtype(NULL), TN_DTYPE_NONE);
    assert_int_equal(tn_tensor_dims(NULL).rank, 0);
    assert_null(tn_tensor_dim_name(NULL, 0));
    tn_layer_set_name(NULL, "x");
    tn_tensor_set_name(NULL, "x");
    tn_tensor_set_dim_name(NULL, 0, "x");
    tn_tensor_set_role(NULL, "x");
    tn_network_unmark_output(NULL, NULL);
    tn_network_mark_debug(NULL, NULL);
    assert_int_equal(tn_network_num_inputs(NULL) + tn_network_num_outputs(NULL) + tn_network_num_layers(NULL), 0);
    assert_null(tn_network_input(NULL, 0));
    assert_null(tn_network_output(NULL, 0));
    assert_null(tn_network_layer(NULL, 0));
    tn_if_else(NULL);
    tn_if_end(NULL);
    assert_null(tn_if_add_output(NULL, NULL, NULL));
    tn_loop_end(NULL);
    tn_network_destroy(NULL);
    tn_network_sweep(NULL);
    tn_diag_destroy(silent);
}

static void wrong_inputs_are_refused_by_name(void **state) {
    fixture *f = *state;
    static char long_name[5000];
    memset(long_name, 'a', sizeof long_name - 1);
    assert_null(add_input(f, NULL, TN_DIMS(1)));
    assert_message(f, "its name is empty");
    assert_null(add_input(f, "", TN_DIMS(1)));
    assert_null(add_input(f, "\xff", TN_DIMS(1)));
    assert_message(f, "not UTF-8");
    assert_null(add_input(f, long_name, TN_DIMS(1)));
    assert_message(f, "more than 4095 bytes");
    assert_null(add_input(f, "x", ((tn_dims){.rank = 9})));
    assert_message(f, "'x': it has 9 dimensions, at most 8 are allowed");
    assert_null(add_input(f, "x", TN_DIMS(3, -2)));
    assert_message(f, "dimension 1 is -2");
    assert_null(tn_network_add_input(f->net, "x", TN_Q15_32, TN_DIMS(3)));
    assert_message(f, "q15_32");
    assert_null(tn_network_add_input(f->net, "x", (tn_dtype)99, TN_DIMS(3)));
    assert_non_null(add_input(f, "x", TN_DIMS(3)));
    assert_null(add_input(f, "x", TN_DIMS(3)));
    assert_message(f, "there is an input of that name already");
}

static void wrong_outputs_are_refused_by_name(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_tensor *y = add(f, x, x), *z = add(f, y, y);
    tn_network_mark_output(f->net, x, NULL);
    assert_message(f, "cannot mark 'x' as an output: it is an input");
    tn_network_mark_output(f->net, y, "y");
    tn_network_mark_output(f->net, y, "y2");
    assert_message(f, "it is an output already");
    tn_network_mark_output(f->net, z, "y");
    assert_message(f, "there is an output of that name already");
    tn_network_mark_output(f->net, z, "x");
    assert_message(f, "there is an input of that name already");
    assert_int_equal(tn_network_num_outputs(f->net), 1);
    tn_network_unmark_output(f->net, y);
    assert_int_equal(tn_network_num_outputs(f->net), 0);
}

static void tensors_of_another_network_are_refused(void **state) {
    fixture *f = *state;
    tn_network *other;
    assert_int_equal(tn_network_create(NULL, &other), TN_OK);
    tn_tensor *foreign = tn_network_add_input(other, "foreign", TN_FLOAT32, TN_DIMS(3));
    assert_null(add(f, foreign, foreign));
    assert_message(f, "('foreign') belongs to another network");
    tn_network_destroy(other);
}

static void dimensions_named_alike_are_one(void **state) {
    fixture *f = *state;
    tn_tensor *a = add_input(f, "a", TN_DIMS(-1, 4)), *b = add_input(f, "b", TN_DIMS(-1, 4));
    tn_tensor *before = output(tn_network_add_concatenation(f->net, (tn_tensor *[]){a, b}, 2, 0));
    tn_tensor_set_dim_name(a, 0, "n");
    tn_tensor_set_dim_name(b, 0, "n");
    assert_type(b, "float32 [n, 4]");
    assert_type(before, "float32 [n * 2, 4]");
    assert_int_equal(tn_sym_equal(f->net->symbols, a->dims[0], b->dims[0]), TN_YES);
    assert_string_equal(tn_tensor_dim_name(b, 0), "n");
    tn_tensor_set_dim_name(a, 2, "m");
    assert_message(f, "it has no such dimension");
    tn_tensor_set_dim_name(before, 0, "m");
    assert_message(f, "only dimensions of inputs have names");
    tn_tensor *c = add_input(f, "c", TN_DIMS(5, 6));
    tn_tensor_set_dim_name(c, 0, "k");
    tn_tensor_set_dim_name(c, 1, "k");
    assert_message(f, "it is 6, the other dimension of that name is 5");
}

static void constants_need_as_many_values_as_their_dims(void **state) {
    fixture *f = *state;
    const float values[6] = {0};
    assert_null(tn_network_add_constant(f->net, TN_DIMS(2, 4), &(tn_weights_data){.dtype = TN_FLOAT32, .data = values, .count = 6}));
    assert_message(f, "it has 6 values, its dimensions need 8");
    assert_null(
        tn_network_add_constant(f->net, TN_DIMS(INT64_MAX, 4), &(tn_weights_data){.dtype = TN_FLOAT32, .data = values, .count = 6}));
    assert_message(f, "negative or too large");
    assert_null(tn_network_add_constant(f->net, TN_DIMS(6), &(tn_weights_data){.dtype = TN_FLOAT32, .count = 6}));
    assert_message(f, "its values are missing");
    assert_null(tn_network_add_constant(f->net, TN_DIMS(6), NULL));
    assert_null(tn_network_add_constant(f->net, TN_DIMS(6), &(tn_weights_data){.data = values, .count = 6}));
    assert_message(f, "no type");
}

/* --- uses ----------------------------------------------------------------------------------------------------------------- */

static size_t num_uses(const tn_tensor *tensor) {
    return tensor->uses.count;
}

static void replaced_uses_move_with_outputs_and_states(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_tensor *a = add(f, x, x), *b = add(f, x, x), *c = add(f, a, a);
    tn_network_mark_output(f->net, a, "y");
    tn_tensor_set_role(a, "logits");
    assert_int_equal(num_uses(x), 4);
    tn_network_replace_uses(f->net, a, b);
    assert_int_equal(num_uses(a), 0);
    assert_int_equal(num_uses(b), 2);
    assert_ptr_equal(tn_layer_input(c->producer, 0), b);
    assert_ptr_equal(tn_network_output(f->net, 0), b);
    assert_string_equal(tn_tensor_name(b), "y");
    assert_string_equal(b->role, "logits");
    assert_false(a->is_output);
    tn_network_sweep(f->net);
    assert_int_equal(tn_network_num_layers(f->net), 1);
    assert_int_equal(num_uses(x), 2);
}

static void two_outputs_replaced_by_one_tensor_stay_two(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_tensor *a = add(f, x, x), *b = add(f, x, x);
    tn_network_mark_output(f->net, a, "a");
    tn_network_mark_output(f->net, b, "b");
    tn_network_replace_uses(f->net, b, a);
    assert_int_equal(tn_network_num_outputs(f->net), 2);
    assert_string_equal(tn_tensor_name(tn_network_output(f->net, 1)), "b");
    assert_string_equal(tn_layer_kind(tn_network_output(f->net, 1)->producer), "identity");
    assert_ptr_equal(tn_layer_input(tn_network_output(f->net, 1)->producer, 0), a);
}

static void sweep_keeps_what_outputs_and_debug_tensors_need(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_tensor *a = add(f, x, x), *b = add(f, a, a), *c = add(f, b, b), *d = add(f, x, x);
    tn_network_mark_output(f->net, b, "b");
    tn_network_mark_debug(f->net, d);
    (void)c;
    tn_network_sweep(f->net);
    assert_int_equal(tn_network_num_layers(f->net), 3);
    assert_int_equal(num_uses(b), 0);
    assert_int_equal(f->net->tensors.count, 4);
}

static void retiring_takes_producers_that_nothing_needs(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3));
    tn_tensor *a = add(f, x, x), *b = add(f, a, a), *c = add(f, b, a);
    tn_network_retire(f->net, b->producer);
    assert_false(b->producer->is_dead); /* c reads it */
    tn_network_retire(f->net, c->producer);
    assert_true(a->producer->is_dead && b->producer->is_dead && c->producer->is_dead);
    assert_int_equal(num_uses(x), 0);
    assert_null(add(f, a, a));
    assert_message(f, "was removed");
}

static void long_chains_are_swept_without_recursion(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(3)), *y = x;
    for (int i = 0; i < 100000; i++) y = add(f, y, x);
    tn_network_retire(f->net, y->producer);
    assert_int_equal(num_uses(x), 0);
    tn_network_sweep(f->net);
    assert_int_equal(tn_network_num_layers(f->net), 0);
}

/* --- states --------------------------------------------------------------------------------------------------------------- */

static const tn_kv_geometry geometry = {
    .num_layers = 2, .num_kv_heads = 2, .k_dim = 8, .v_dim = 8, .tokens_per_block = 16, .dtype = TN_FLOAT32};

static tn_layer *add_update(fixture *f, tn_tensor *cache, int64_t layer, tn_tensor *kv, tn_tensor *starts, tn_tensor *lengths,
                            tn_tensor *table) {
    tn_op_params params = {
        .kv_cache_update = {
            .layer = layer, .num_layers = 2, .num_kv_heads = 2, .k_dim = 8, .v_dim = 8, .tokens_per_block = 16, .cache_dtype = TN_FLOAT32}};
    return tn_network_add_layer(f->net, TN_OP_KV_CACHE_UPDATE, &params, (tn_tensor *[]){kv, kv, cache, starts, lengths, table}, 6, NULL);
}

static void states_remember_their_last_version(void **state) {
    fixture *f = *state;
    tn_tensor *kv = add_input(f, "kv_rows", TN_DIMS(-1, 16));
    tn_tensor *starts = tn_network_add_input(f->net, "starts", TN_INT32, TN_DIMS(-1));
    tn_tensor *lengths = tn_network_add_input(f->net, "lengths", TN_INT32, TN_DIMS(-1));
    tn_tensor *table = tn_network_add_input(f->net, "table", TN_INT32, TN_DIMS(-1, -1));
    tn_tensor *cache = tn_network_add_kv_state(f->net, "kv.0", &geometry, 0, 0);
    tn_tensor *first = output(add_update(f, cache, 0, kv, starts, lengths, table));
    tn_tensor *second = output(add_update(f, first, 1, kv, starts, lengths, table));
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
    assert_string_equal(second->state, "kv.0");
    assert_ptr_equal(f->net->states.data[0].tensor, cache);
    assert_ptr_equal(f->net->states.data[0].last, second);
    tn_network_sweep(f->net);
    assert_int_equal(tn_network_num_layers(f->net), 2);
    assert_null(add_update(f, second, 2, kv, starts, lengths, table));
    assert_message(f, "cache layer 2 is outside the 2 layers of 'kv.0'");
    assert_null(tn_network_add_kv_state(f->net, "kv.0", &geometry, 0, 0));
    assert_message(f, "there is a state of that name already");
    assert_null(tn_network_add_kv_state(f->net, "kv.1", &(tn_kv_geometry){.num_layers = 1}, 0, 0));
    assert_null(tn_network_add_slots_state(f->net, 0, 5));
}

/* --- host values ---------------------------------------------------------------------------------------------------------- */

static void shape_arithmetic_folds_to_symbols(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 6, 4));
    tn_tensor_set_dim_name(x, 0, "n");
    const int64_t zero[1] = {0}, rest[1] = {12};
    tn_tensor *dims = output(tn_network_add_shape(f->net, x));
    tn_tensor *first = output(tn_network_add_slice(f->net, dims, TN_DIMS(0), TN_DIMS(1), TN_DIMS(1)));
    tn_tensor *two = output(tn_network_add_elementwise(f->net, first, add_int64s(f, (const int64_t[]){2}, 1), TN_ELEMENTWISE_PROD));
    tn_tensor *wanted = output(tn_network_add_concatenation(f->net, (tn_tensor *[]){two, add_int64s(f, rest, 1)}, 2, 0));
    tn_layer *shuffle = tn_network_add_shuffle(f->net, x);
    tn_shuffle_set_reshape_tensor(shuffle, wanted);
    assert_type(output(shuffle), "float32 [n * 2, 12]");
    assert_int_equal(wanted->place, TN_PLACE_HOST);
    assert_int_equal(output(shuffle)->place, TN_PLACE_DEVICE);
    tn_tensor *gathered = output(tn_network_add_gather(f->net, dims, add_int64s(f, zero, 1), TN_GATHER_DEFAULT, 0));
    assert_int_equal(tn_sym_equal(f->net->symbols, gathered->host_syms[0], x->dims[0]), TN_YES);
    assert_null(gathered->host_value);
    assert_int_equal(dims->host_syms[1], tn_sym_const(f->net->symbols, 6));
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
}

static void shapes_given_at_run_time_are_placed_on_the_host(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1));
    tn_tensor *given = tn_network_add_input(f->net, "given", TN_INT64, TN_DIMS(2));
    tn_tensor *more = output(tn_network_add_elementwise(f->net, given, add_int64s(f, (const int64_t[]){1}, 1), TN_ELEMENTWISE_SUM));
    assert_int_equal(given->place, TN_PLACE_DEVICE);
    tn_layer *shuffle = tn_network_add_shuffle(f->net, x);
    tn_shuffle_set_reshape_tensor(shuffle, more);
    assert_int_equal(given->place, TN_PLACE_HOST);
    assert_int_equal(more->place, TN_PLACE_HOST);
    tn_sym expected = tn_sym_binary(f->net->symbols, TN_SYM_ADD, tn_sym_host_value(f->net->symbols, given->id, 1), TN_SYM_ONE);
    assert_int_equal(output(shuffle)->dims[1], expected);
    assert_true(tn_layer_is_on_host(more->producer));
    assert_false(tn_layer_is_on_host(shuffle));
}

static void counts_of_the_device_are_read_back(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_layer *non_zero = tn_network_add_non_zero(f->net, x);
    tn_tensor *indices = tn_layer_output(non_zero, 0), *count = tn_layer_output(non_zero, 1);
    assert_dims(indices, TN_DIMS(2, -1));
    assert_int_equal(indices->dims[1], tn_sym_host_value(f->net->symbols, count->id, 0));
    tn_layer *shuffle = tn_network_add_shuffle(f->net, indices);
    tn_shuffle_set_reshape(shuffle, TN_DIMS(-1, 1, 2));
    assert_dims(output(shuffle), TN_DIMS(-1, 1, 2));
    assert_int_equal(output(shuffle)->dims[0], indices->dims[1]);
    assert_int_equal(count->place, TN_PLACE_DEVICE);
}

static void dimensions_follow_a_replaced_host_tensor(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_layer *first = tn_network_add_non_zero(f->net, x), *second = tn_network_add_non_zero(f->net, x);
    tn_tensor *y = output(tn_network_add_unary(f->net, tn_layer_output(second, 0), TN_UNARY_NEG));
    assert_int_not_equal(y->dims[1], tn_layer_output(first, 0)->dims[1]);
    tn_network_replace_uses(f->net, tn_layer_output(second, 0), tn_layer_output(first, 0));
    tn_network_replace_uses(f->net, tn_layer_output(second, 1), tn_layer_output(first, 1));
    assert_int_equal(y->dims[1], tn_layer_output(first, 0)->dims[1]);
}

static void what_stays_on_the_device_takes_no_input_to_the_host(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1)), *small = tn_network_add_input(f->net, "small", TN_INT64, TN_DIMS(1));
    tn_tensor *large = tn_network_add_input(f->net, "large", TN_INT64, TN_DIMS(100));
    tn_tensor *picked = output(tn_network_add_gather(f->net, large, small, TN_GATHER_DEFAULT, 0));
    tn_shuffle_set_reshape_tensor(tn_network_add_shuffle(f->net, x), picked);
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
    assert_int_equal(small->place, TN_PLACE_DEVICE);
    assert_int_equal(picked->place, TN_PLACE_DEVICE);
    assert_int_equal(picked->host_syms[0], tn_sym_host_value(f->net->symbols, picked->id, 0));
}

static void tensors_too_large_for_shapes_are_refused(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1));
    tn_layer *shuffle = tn_network_add_shuffle(f->net, x);
    tn_shuffle_set_reshape_tensor(shuffle, x);
    assert_message(f, "the reshape must be an integer tensor of 1 dimension and at most 64 elements, it is float32 [input0.0]");
}

/* --- problems ------------------------------------------------------------------------------------------------------------- */

static void problem_names_roles_places_and_absent_inputs(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 32));
    tn_tensor *w = add_floats(f, TN_DIMS(8, 32), "w");
    tn_layer *mm = tn_network_add_matrix_multiply(f->net, x, TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE);
    tn_layer *norm = tn_network_add_normalization(f->net, output(mm), add_floats(f, TN_DIMS(8), "s"), NULL, TN_NORMALIZATION_RMS, 1e-5);
    tn_arena arena = {0};
    tn_problem problem;
    assert_int_equal(tn_layer_make_problem(mm, &arena, &problem, f->diag), TN_OK);
    assert_int_equal(problem.num_inputs, 2);
    assert_int_equal(problem.operands[1].role, TN_ROLE_WEIGHT);
    assert_int_equal(problem.operands[1].encoding.storage, TN_FLOAT32);
    assert_int_equal(problem.operands[2].role, TN_ROLE_OUTPUT);
    assert_int_equal(tn_layer_make_problem(norm, &arena, &problem, f->diag), TN_OK);
    assert_int_equal(problem.num_inputs, 4);
    assert_true(problem.operands[2].absent && problem.operands[3].absent);
    assert_int_equal(problem.num_operands, 5);
    assert_int_equal(tn_layer_make_problem(w->producer, &arena, &problem, f->diag), TN_INVALID_ARGUMENT);
    tn_layer *shape = tn_network_add_shape(f->net, x);
    assert_int_equal(tn_layer_make_problem(shape, &arena, &problem, f->diag), TN_OK);
    assert_int_equal(problem.operands[0].place, TN_PLACE_DEVICE);
    assert_int_equal(problem.operands[1].place, TN_PLACE_HOST);
    tn_arena_deinit(&arena);
}

/* --- memory --------------------------------------------------------------------------------------------------------------- */

static tn_status define_something(const tn_allocator *allocator, tn_diag *diag) {
    tn_network_options options;
    tn_network_options_init(&options);
    options.allocator = allocator;
    options.diag = diag;
    tn_network *net;
    tn_status status = tn_network_create(&options, &net);
    if (status != TN_OK) return status;
    fixture f = {net, diag};
    tn_tensor *x = add_input(&f, "x", TN_DIMS(-1, 32));
    tn_tensor_set_dim_name(x, 0, "n");
    tn_tensor *w = add_floats(&f, TN_DIMS(8, 32), "w");
    tn_tensor *y = output(tn_network_add_matrix_multiply(net, x, TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE));
    tn_layer *shuffle = tn_network_add_shuffle(net, y);
    tn_shuffle_set_reshape_tensor(shuffle, add_int64s(&f, (const int64_t[]){-1, 4}, 2));
    tn_if *conditional = tn_network_begin_if(net, tn_network_add_input(net, "c", TN_BOOL, TN_SCALAR));
    tn_tensor *a = add(&f, output(shuffle), output(shuffle));
    tn_if_else(conditional);
    tn_tensor *b = output(tn_network_add_activation(net, output(shuffle), TN_ACTIVATION_RELU));
    tn_if_end(conditional);
    tn_network_mark_output(net, output(tn_if_add_output(conditional, a, b)), "y");
    tn_network_sweep(net);
    status = net->out_of_memory ? TN_OUT_OF_MEMORY : net->failed ? TN_INTERNAL : TN_OK;
    tn_network_destroy(net);
    return status;
}

static void each_failing_allocation_is_reported_and_leaks_nothing(void **state) {
    fixture *f = *state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_status status = define_something(&fault.allocator, f->diag);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            break;
        }
        assert_int_equal(status, TN_OUT_OF_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(linear_layer_has_the_shape_of_its_product),
        TEST(mismatched_inner_dimensions_are_named),
        TEST(missing_inputs_are_recorded_once),
        TEST(null_networks_and_layers_are_answered),
        TEST(wrong_inputs_are_refused_by_name),
        TEST(wrong_outputs_are_refused_by_name),
        TEST(tensors_of_another_network_are_refused),
        TEST(dimensions_named_alike_are_one),
        TEST(constants_need_as_many_values_as_their_dims),
        TEST(replaced_uses_move_with_outputs_and_states),
        TEST(two_outputs_replaced_by_one_tensor_stay_two),
        TEST(sweep_keeps_what_outputs_and_debug_tensors_need),
        TEST(retiring_takes_producers_that_nothing_needs),
        TEST(long_chains_are_swept_without_recursion),
        TEST(states_remember_their_last_version),
        TEST(shape_arithmetic_folds_to_symbols),
        TEST(shapes_given_at_run_time_are_placed_on_the_host),
        TEST(counts_of_the_device_are_read_back),
        TEST(dimensions_follow_a_replaced_host_tensor),
        TEST(what_stays_on_the_device_takes_no_input_to_the_host),
        TEST(tensors_too_large_for_shapes_are_refused),
        TEST(problem_names_roles_places_and_absent_inputs),
        TEST(each_failing_allocation_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
