/* SPDX-License-Identifier: Apache-2.0
 *
 * api_test.c: tenon/rewrite.h where it is used rightly: the graph, replacing, order of patterns, managers, guards.
 */
#include "rewrite/testing.h"

#include "support/fault_allocator.h"

/* x → a = x·x → sum = a + x → y = sum · sum */
typedef struct sample {
    tn_tensor *x, *a, *sum, *y;
} sample;

static sample make_sample(fixture *f) {
    sample s = {.x = add_input(f, "x", TN_DIMS(-1, 4))};
    s.a = binary(f->net, s.x, s.x, TN_ELEMENTWISE_PROD);
    s.sum = binary(f->net, s.a, s.x, TN_ELEMENTWISE_SUM);
    s.y = binary(f->net, s.sum, s.sum, TN_ELEMENTWISE_PROD);
    tn_network_mark_output(f->net, s.y, "y");
    return s;
}

/* --- the graph: the upstream's tests of network queries --------------------------------------------------------------------- */

static void number_of_inputs_is_the_network_s(void **state) {
    fixture *f = *state;
    (void)make_sample(f);
    (void)add_input(f, "z", TN_DIMS(2));
    assert_int_equal(tn_network_num_inputs(f->net), 2);
    assert_string_equal(tn_tensor_name(tn_network_input(f->net, 1)), "z");
}

static void inputs_and_outputs_have_no_parent_or_one(void **state) {
    fixture *f = *state;
    sample s = make_sample(f);
    assert_null(tn_tensor_parent(tn_network_input(f->net, 0)));
    assert_ptr_equal(tn_network_output(f->net, 0), s.y);
    assert_non_null(tn_tensor_parent(s.y));
    assert_null(tn_tensor_parent(NULL));
}

static void every_output_has_the_layer_that_makes_it_as_parent(void **state) {
    fixture *f = *state;
    (void)make_sample(f);
    int count = 0;
    for (tn_layer *layer = tn_network_next_layer(f->net, NULL); layer != NULL; layer = tn_network_next_layer(f->net, layer), count++) {
        assert_ptr_equal(tn_tensor_parent(tn_layer_output(layer, 0)), layer);
        assert_ptr_equal(tn_layer_network(layer), f->net);
        assert_ptr_equal(layer, tn_network_layer(f->net, count));
    }
    assert_int_equal(count, tn_network_num_layers(f->net));
}

static void every_layer_is_a_user_of_each_of_its_inputs(void **state) {
    fixture *f = *state;
    sample s = make_sample(f);
    for (tn_layer *layer = tn_network_next_layer(f->net, NULL); layer != NULL; layer = tn_network_next_layer(f->net, layer))
        for (int i = 0; i < 2; i++) {
            const tn_tensor *input = tn_layer_input(layer, i);
            int found = 0;
            for (int j = 0; j < tn_tensor_num_users(input); j++)
                found += tn_tensor_user(input, j) == layer && tn_tensor_user_input(input, j) == i;
            assert_int_equal(found, 1);
        }
    assert_int_equal(tn_tensor_num_users(s.x), 3);
    assert_null(tn_tensor_user(s.x, 3));
    assert_null(tn_tensor_user(s.x, -1));
    assert_int_equal(tn_tensor_user_input(s.x, 3), -1);
    assert_int_equal(tn_tensor_num_users(NULL), 0);
}

static void dot_of_a_rewritten_network_is_a_digraph_of_the_new_layers(void **state) {
    fixture *f = *state;
    (void)make_sample(f);
    size_t count;
    assert_int_equal(run(f, NULL, &count, REWRITER(.name = "sub", KINDS("elementwise"), .match_and_rewrite = sum_becomes_sub), NULL, NULL),
                     TN_OK);
    tn_text dot = {0};
    tn_network_print_dot(f->net, &dot);
    assert_non_null(strstr(dot.data, "digraph"));
    tn_text_deinit(&dot);
}

static void every_kind_tells_its_parameters(void **state) {
    fixture *f = *state;
    for (int kind = 0; kind < TN_NUM_OP_KINDS; kind++) {
        tn_layer layer = {.network = f->net, .kind = (tn_op_kind)kind};
        for (int i = 0; i < tn_layer_num_parameters(&layer); i++) {
            tn_parameter by_index, by_name;
            assert_true(tn_layer_parameter(&layer, i, &by_index));
            assert_true(tn_layer_find_parameter(&layer, by_index.name, &by_name));
            assert_int_equal(by_index.type, by_name.type);
            assert_non_null(by_index.text);
        }
    }
    tn_parameter none;
    assert_false(tn_layer_find_parameter(NULL, "op", &none));
}

static void parameters_have_values_and_names(void **state) {
    fixture *f = *state;
    sample s = make_sample(f);
    tn_parameter op;
    assert_true(tn_layer_find_parameter(tn_tensor_parent(s.sum), "op", &op));
    assert_int_equal(op.type, TN_PARAMETER_ENUM);
    assert_int_equal(op.integer, TN_ELEMENTWISE_SUM);
    assert_string_equal(op.text, "sum");
    assert_false(tn_layer_find_parameter(tn_tensor_parent(s.sum), "axis", &op));
    assert_false(tn_layer_parameter(tn_tensor_parent(s.sum), 9, &op));
    tn_layer *cast = tn_network_add_cast(f->net, s.x, TN_INT32);
    assert_true(tn_layer_find_parameter(cast, "to", &op));
    assert_string_equal(op.text, "int32");
    assert_true(tn_layer_has(cast, "to", TN_INT32));
    assert_false(tn_layer_has(cast, "from", 0));
    float scale[4] = {0};
    tn_tensor *weights =
        output(tn_network_add_constant(f->net, TN_DIMS(4), &(tn_weights_data){.dtype = TN_FLOAT32, .data = scale, .count = 4}));
    tn_layer *norm = tn_network_add_normalization(f->net, s.x, weights, NULL, TN_NORMALIZATION_RMS, 0.5);
    assert_true(tn_layer_find_parameter(norm, "epsilon", &op));
    assert_int_equal(op.type, TN_PARAMETER_REAL);
    assert_true(op.real == 0.5);
    tn_layer *shuffle = tn_network_add_shuffle(f->net, s.x);
    tn_shuffle_set_reshape(shuffle, TN_DIMS(-1, 2));
    assert_true(tn_layer_find_parameter(shuffle, "reshape", &op));
    assert_int_equal(op.dims.rank, 2);
}

/* --- replacing ------------------------------------------------------------------------------------------------------------ */

static void all_users_read_the_other_tensor(void **state) {
    fixture *f = *state;
    sample s = make_sample(f);
    tn_network_guard guard = tn_network_guard_begin(f->net, tn_tensor_parent(s.sum));
    tn_tensor *sub = binary(f->net, s.a, s.x, TN_ELEMENTWISE_SUB);
    tn_network_guard_end(&guard);
    assert_int_equal(tn_tensor_replace_all_uses_with(s.sum, sub), TN_OK);
    assert_int_equal(tn_tensor_num_users(s.sum), 0);
    assert_int_equal(tn_tensor_num_users(sub), 2);
    assert_ptr_equal(tn_layer_input(tn_tensor_parent(s.y), 0), sub);
    assert_ptr_equal(tn_layer_input(tn_tensor_parent(s.y), 1), sub);
    assert_ptr_equal(tn_network_next_layer(f->net, tn_tensor_parent(sub)), tn_tensor_parent(s.sum));
    assert_int_equal(tn_layer_mark_as_removed(tn_tensor_parent(s.sum)), TN_OK);
    assert_int_equal(tn_network_num_layers(f->net), 3);
    assert_int_equal(tn_network_verify(f->net, NULL), TN_OK);
}

static void outputs_keep_their_order_and_names(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_tensor *ys[3];
    const char *const names[] = {"first", "second", "third"};
    for (int i = 0; i < 3; i++) {
        ys[i] = binary(f->net, x, x, TN_ELEMENTWISE_SUM);
        tn_network_mark_output(f->net, ys[i], names[i]);
    }
    assert_int_equal(tn_tensor_replace_all_uses_with(ys[1], binary(f->net, x, x, TN_ELEMENTWISE_SUB)), TN_OK);
    assert_int_equal(tn_network_num_outputs(f->net), 3);
    for (int i = 0; i < 3; i++) assert_string_equal(tn_tensor_name(tn_network_output(f->net, i)), names[i]);
    assert_true(tn_layer_has(tn_tensor_parent(tn_network_output(f->net, 1)), "op", TN_ELEMENTWISE_SUB));
    assert_false(ys[1]->is_output);
}

static void an_output_replaced_by_another_output_is_a_copy_of_it(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_tensor *a = binary(f->net, x, x, TN_ELEMENTWISE_SUM), *b = binary(f->net, x, x, TN_ELEMENTWISE_SUB);
    tn_network_mark_output(f->net, a, "a");
    tn_network_mark_output(f->net, b, "b");
    assert_int_equal(tn_tensor_replace_all_uses_with(a, b), TN_OK);
    assert_string_equal(tn_tensor_name(tn_network_output(f->net, 0)), "a");
    assert_string_equal(tn_tensor_name(tn_network_output(f->net, 1)), "b");
    assert_string_equal(tn_layer_kind(tn_tensor_parent(tn_network_output(f->net, 0))), "identity");
}

static void a_shape_that_becomes_another_s_value_is_followed(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4)), *z = add_input(f, "z", TN_DIMS(-1, 4));
    tn_tensor *shape = output(tn_network_add_shape(f->net, x)), *same = output(tn_network_add_shape(f->net, x));
    tn_tensor *other = output(tn_network_add_shape(f->net, z));
    tn_layer *reshape = tn_network_add_shuffle(f->net, x);
    tn_shuffle_set_reshape_tensor(reshape, shape);
    assert_int_equal(tn_tensor_replace_all_uses_with(shape, other), TN_INVALID_ARGUMENT);
    assert_message(f, "shapes were derived from the values of the first");
    tn_network_guard guard = tn_network_guard_begin(f->net, reshape);
    tn_tensor *before = output(tn_network_add_identity(f->net, same));
    tn_network_guard_end(&guard);
    assert_int_equal(tn_tensor_replace_all_uses_with(shape, before), TN_OK);
    assert_false(f->net->failed);
}

static void removing_takes_what_only_the_layer_needed(void **state) {
    fixture *f = *state;
    sample s = make_sample(f);
    tn_tensor *p = binary(f->net, s.x, s.x, TN_ELEMENTWISE_MAX), *q = binary(f->net, p, p, TN_ELEMENTWISE_MIN);
    tn_layer *last = tn_tensor_parent(q), *first = tn_tensor_parent(p);
    assert_int_equal(tn_layer_mark_as_removed(last), TN_OK);
    assert_true(tn_layer_is_removed(last) && tn_layer_is_removed(first));
    assert_int_equal(tn_layer_mark_as_removed(last), TN_OK); /* again: nothing */
    assert_null(tn_tensor_parent(q));
    assert_null(tn_layer_input(last, 0));
    assert_int_equal(tn_network_num_layers(f->net), 3);
}

static void guards_nest_and_restore_the_place(void **state) {
    fixture *f = *state;
    sample s = make_sample(f);
    tn_network_guard outer = tn_network_guard_begin(f->net, tn_tensor_parent(s.y));
    tn_network_guard inner = tn_network_guard_begin(f->net, tn_tensor_parent(s.a));
    tn_layer *first = tn_network_add_identity(f->net, s.x);
    tn_network_guard_end(&inner);
    tn_layer *third = tn_network_add_identity(f->net, s.x);
    tn_network_guard_end(&outer);
    tn_network_guard_end(&outer); /* a second end does nothing */
    tn_layer *last = tn_network_add_identity(f->net, s.x);
    assert_ptr_equal(tn_network_next_layer(f->net, NULL), first);
    assert_ptr_equal(tn_network_next_layer(f->net, third), tn_tensor_parent(s.y));
    assert_null(tn_network_next_layer(f->net, last));
}

static void a_thousand_insertions_at_one_place_stay_in_order(void **state) {
    fixture *f = *state;
    sample s = make_sample(f);
    tn_layer *before = tn_tensor_parent(s.sum);
    for (int i = 0; i < 1000; i++) { /* before the newest one, and before the same one */
        tn_network_guard guard = tn_network_guard_begin(f->net, i % 2 == 0 ? before : tn_tensor_parent(s.y));
        tn_layer *made = tn_network_add_identity(f->net, s.x);
        if (i % 2 == 0) before = made;
        tn_network_guard_end(&guard);
    }
    uint64_t last = 0;
    for (const tn_layer *layer = tn_network_next_layer(f->net, NULL); layer != NULL; layer = tn_network_next_layer(f->net, layer)) {
        assert_true(layer->order > last);
        last = layer->order;
    }
}

/* --- runs ----------------------------------------------------------------------------------------------------------------- */

static void larger_benefit_first_and_ties_in_order_of_adding(void **state) {
    fixture *f = *state;
    (void)make_sample(f);
    size_t count;
    const tn_pattern_rewriter *sub = REWRITER(.name = "sub", KINDS("elementwise"), .benefit = 1, .match_and_rewrite = sum_becomes_sub);
    const tn_pattern_rewriter *max = REWRITER(.name = "max", KINDS("elementwise"), .benefit = 5, .match_and_rewrite = sum_becomes_max);
    assert_int_equal(run(f, NULL, &count, sub, max, NULL), TN_OK);
    assert_int_equal(count, 1);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_MAX), 1);
}

static void equal_benefits_keep_the_order_of_adding(void **state) {
    fixture *f = *state;
    (void)make_sample(f);
    size_t count;
    const tn_pattern_rewriter *sub = REWRITER(.name = "sub", .benefit = 5, .match_and_rewrite = sum_becomes_sub);
    const tn_pattern_rewriter *max = REWRITER(.name = "max", .benefit = 5, .match_and_rewrite = sum_becomes_max);
    assert_int_equal(run(f, NULL, &count, sub, max, NULL), TN_OK);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_SUB), 1);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_MAX), 0);
}

static bool refuses_sums(tn_rewriter *rewriter, tn_layer *layer) {
    assert_false(tn_layer_is_removed(layer));
    return tn_layer_has(layer, "op", TN_ELEMENTWISE_SUM) ? tn_rewriter_fail(rewriter, TN_INTERNAL, "a replaced layer") : false;
}

static void several_patterns_on_one_layer_do_not_see_it_once_it_is_replaced(void **state) {
    fixture *f = *state;
    (void)make_sample(f);
    size_t count;
    const tn_pattern_rewriter *sub = REWRITER(.name = "sub", .benefit = 2, .match_and_rewrite = sum_becomes_sub);
    const tn_pattern_rewriter *later = REWRITER(.name = "later", KINDS("elementwise"), .benefit = 1, .match_and_rewrite = refuses_sums);
    assert_int_equal(run(f, NULL, &count, later, sub, NULL), TN_OK);
    assert_int_equal(count, 1);
}

static void what_a_pattern_makes_is_shown_to_the_others(void **state) {
    fixture *f = *state;
    (void)make_sample(f);
    size_t count;
    const tn_pattern_rewriter *min = REWRITER(.name = "min", KINDS("elementwise"), .benefit = 2, .match_and_rewrite = max_becomes_min);
    const tn_pattern_rewriter *max = REWRITER(.name = "max", KINDS("elementwise"), .benefit = 1, .match_and_rewrite = sum_becomes_max);
    assert_int_equal(run(f, NULL, &count, min, max, NULL), TN_OK);
    assert_int_equal(count, 2);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_MIN), 1);
}

static void layers_that_nothing_reads_yet_survive_a_run(void **state) {
    fixture *f = *state;
    sample s = make_sample(f);
    tn_tensor *later = output(tn_network_add_identity(f->net, s.x));
    size_t count;
    assert_int_equal(run(f, NULL, &count, REWRITER(.name = "sub", KINDS("elementwise"), .match_and_rewrite = sum_becomes_sub), NULL, NULL),
                     TN_OK);
    assert_int_equal(count, 1);
    tn_network_mark_output(f->net, later, "later");
    assert_int_equal(tn_network_num_outputs(f->net), 2);
    assert_int_equal(tn_network_verify(f->net, NULL), TN_OK);
}

static bool only_in_own_region(tn_rewriter *rewriter, tn_layer *layer) {
    tn_layer *made = tn_network_add_activation(tn_rewriter_network(rewriter), tn_layer_input(layer, 0), TN_ACTIVATION_SIGMOID);
    if (!tn_layer_has(layer, "type", TN_ACTIVATION_RELU)) return false;
    return tn_tensor_replace_all_uses_with(output(layer), output(made)) == TN_OK;
}

static void layers_of_a_branch_are_replaced_in_the_branch(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4)), *condition = tn_network_add_input(f->net, "c", TN_BOOL, TN_SCALAR);
    tn_if *conditional = tn_network_begin_if(f->net, condition);
    tn_tensor *yes = output(tn_network_add_activation(f->net, x, TN_ACTIVATION_RELU));
    tn_if_else(conditional);
    tn_tensor *no = output(tn_network_add_activation(f->net, x, TN_ACTIVATION_RELU));
    tn_if_end(conditional);
    tn_layer *merged = tn_if_add_output(conditional, yes, no);
    tn_network_mark_output(f->net, output(merged), "y");
    uint32_t regions[] = {tn_tensor_parent(yes)->region, tn_tensor_parent(no)->region};
    size_t count;
    assert_int_equal(
        run(f, NULL, &count, REWRITER(.name = "sigmoid", KINDS("activation"), .match_and_rewrite = only_in_own_region), NULL, NULL), TN_OK);
    assert_int_equal(count, 2);
    for (int i = 0; i < 2; i++) assert_int_equal(tn_tensor_parent(tn_layer_input(merged, i))->region, regions[i]);
    assert_int_equal(tn_network_verify(f->net, NULL), TN_OK);
}

/* --- managers and analysis ------------------------------------------------------------------------------------------------ */

static void count_in_args(tn_rewriter *rewriter, tn_layer *layer) {
    (void)layer;
    ++*(int *)tn_rewriter_args(rewriter);
    ++*(int *)tn_rewriter_user(rewriter);
}
static bool is_sum(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    return tn_layer_has(layer, "op", TN_ELEMENTWISE_SUM);
}

static void analyzers_count_the_one_sum_with_args_and_user_data(void **state) {
    fixture *f = *state;
    (void)make_sample(f);
    tn_pattern_manager *manager = make_manager(f);
    int in_args = 0, in_user = 0, all = 0;
    size_t count;
    assert_int_equal(
        tn_pattern_manager_add_analyzer(
            manager, "sums", ANALYZER(.name = "sums", KINDS("elementwise"), .user = &in_user, .match = is_sum, .analyze = count_in_args)),
        TN_OK);
    assert_int_equal(tn_pattern_manager_analyze(manager, f->net, &in_args, &count), TN_OK);
    assert_int_equal(count, 1);
    assert_int_equal(in_args, 1);
    assert_int_equal(in_user, 1);
    assert_int_equal(tn_pattern_manager_add_analyzer(manager, "all", ANALYZER(.name = "all", .user = &all, .analyze = count_in_args)),
                     TN_OK);
    assert_int_equal(tn_pattern_manager_analyze(manager, f->net, &in_args, NULL), TN_OK);
    assert_int_equal(all, 3);
    assert_int_equal(tn_pattern_manager_rewrite(manager, f->net, NULL, &count), TN_OK); /* it has no rewriters */
    assert_int_equal(count, 0);
    tn_pattern_manager_destroy(manager);
}

static bool analyses_after_replacing(tn_rewriter *rewriter, tn_layer *layer) {
    if (!sum_becomes_sub(rewriter, layer)) return false;
    assert_int_equal(tn_layer_mark_as_removed(layer), TN_OK);
    int seen = 0, user = 0;
    size_t count;
    tn_pattern_manager *manager;
    assert_int_equal(tn_pattern_manager_create(NULL, &manager), TN_OK);
    assert_int_equal(
        tn_pattern_manager_add_analyzer(
            manager, NULL, ANALYZER(.name = "sums", KINDS("elementwise"), .user = &user, .match = is_sum, .analyze = count_in_args)),
        TN_OK);
    assert_int_equal(tn_pattern_manager_analyze(manager, tn_rewriter_network(rewriter), &seen, &count), TN_OK);
    tn_pattern_manager_destroy(manager);
    assert_int_equal(seen, 0);
    return true;
}

static void analysis_skips_removed_layers(void **state) {
    fixture *f = *state;
    (void)make_sample(f);
    size_t count;
    assert_int_equal(
        run(f, NULL, &count, REWRITER(.name = "look", KINDS("elementwise"), .match_and_rewrite = analyses_after_replacing), NULL, NULL),
        TN_OK);
    assert_int_equal(count, 1);
}

static void managers_know_patterns_by_label_and_nothing_of_each_other(void **state) {
    fixture *f = *state;
    tn_pattern_manager *manager = make_manager(f), *other = make_manager(f);
    char label[] = "mine", name[] = "the name";
    tn_pattern_rewriter pattern = *REWRITER(.name = name, KINDS("elementwise"), .benefit = 7, .match_and_rewrite = sum_becomes_sub);
    assert_int_equal(tn_pattern_manager_add_rewriter(manager, label, &pattern), TN_OK);
    label[0] = name[0] = '!';
    const tn_pattern_rewriter *found = tn_pattern_manager_get_rewriter(manager, "mine");
    assert_non_null(found);
    assert_string_equal(found->name, "the name");
    assert_string_equal(found->root_kinds[0], "elementwise");
    assert_int_equal(found->benefit, 7);
    assert_null(tn_pattern_manager_get_analyzer(manager, "mine"));
    assert_null(tn_pattern_manager_get_rewriter(other, "mine"));
    assert_null(tn_pattern_manager_get_rewriter(manager, NULL));
    assert_null(tn_pattern_manager_get_rewriter(NULL, "mine"));
    tn_pattern_manager_destroy(manager);
    tn_pattern_manager_destroy(other);
    tn_pattern_manager_destroy(NULL);
}

/* --- size and memory ------------------------------------------------------------------------------------------------------ */

static bool counts_shown(tn_rewriter *rewriter, tn_layer *layer) {
    ++*(size_t *)tn_rewriter_args(rewriter);
    return sum_becomes_sub(rewriter, layer);
}

static void large_networks_are_shown_a_few_times(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4)), *y = x;
    for (int i = 0; i < 20000; i++) y = binary(f->net, y, x, i % 10 == 0 ? TN_ELEMENTWISE_SUM : TN_ELEMENTWISE_PROD);
    tn_network_mark_output(f->net, y, "y");
    size_t shown = 0, count;
    assert_int_equal(run(f, &shown, &count, REWRITER(.name = "sub", KINDS("elementwise"), .match_and_rewrite = counts_shown), NULL, NULL),
                     TN_OK);
    assert_int_equal(count, 2000);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_SUM), 0);
    assert_true(shown <= 100000);
}

/* The picture's own allocations do not fail. */
static tn_text picture_without_faults(const tn_network *net, tn_fault_allocator *fault) {
    size_t fail_at = fault->fail_at;
    fault->fail_at = 0;
    tn_text text = picture(net);
    fault->fail_at = fail_at;
    return text;
}

static tn_status rewrite_with_calls(tn_fault_allocator *fault, tn_diag *diag) {
    const tn_allocator *allocator = &fault->allocator;
    fixture f = {.diag = diag};
    tn_network_options options;
    tn_network_options_init(&options);
    options.allocator = allocator;
    options.diag = diag;
    tn_status status = tn_network_create(&options, &f.net);
    if (status != TN_OK) return status;
    tn_tensor *x = tn_network_add_input(f.net, "x", TN_FLOAT32, TN_DIMS(-1, 4)), *y = x;
    for (int i = 0; i < 12; i++) {
        tn_call *call = tn_call_begin(
            f.net, "twice", (tn_call_argument[]){{.name = "x", .tensor = y}, {.name = "list", .tensors = &y, .num_tensors = 1}}, 2);
        y = binary(f.net, y, y, TN_ELEMENTWISE_SUM);
        tn_call_end(call, &y, 1);
    }
    tn_network_mark_output(f.net, y, "y");
    if (f.net->failed) {
        tn_network_destroy(f.net);
        return TN_OUT_OF_MEMORY;
    }
    tn_text before = picture_without_faults(f.net, fault);
    tn_pattern_manager_options manager_options;
    tn_pattern_manager_options_init(&manager_options);
    manager_options.allocator = allocator;
    manager_options.diag = diag;
    tn_pattern_manager *manager = NULL;
    status = tn_pattern_manager_create(&manager_options, &manager);
    if (status == TN_OK)
        status = tn_pattern_manager_add_rewriter(manager, "sub",
                                                 REWRITER(.name = "sub", KINDS("elementwise"), .match_and_rewrite = sum_becomes_sub));
    size_t count = 99;
    if (status == TN_OK) status = tn_pattern_manager_rewrite(manager, f.net, NULL, &count);
    if (status == TN_OK) assert_int_equal(count, 12);
    fault->fail_at = 0;
    if (status == TN_OK) {
        tn_text_deinit(&before);
    } else {
        assert_unchanged(f.net, before);
    }
    tn_pattern_manager_destroy(manager);
    tn_network_destroy(f.net);
    return status;
}

static void each_failing_allocation_leaves_the_network_as_it_was(void **state) {
    fixture *f = *state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_status status = rewrite_with_calls(&fault, f->diag);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        if (n > atomic_load(&fault.num_calls)) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(number_of_inputs_is_the_network_s),
        TEST(inputs_and_outputs_have_no_parent_or_one),
        TEST(every_output_has_the_layer_that_makes_it_as_parent),
        TEST(every_layer_is_a_user_of_each_of_its_inputs),
        TEST(dot_of_a_rewritten_network_is_a_digraph_of_the_new_layers),
        TEST(every_kind_tells_its_parameters),
        TEST(parameters_have_values_and_names),
        TEST(all_users_read_the_other_tensor),
        TEST(outputs_keep_their_order_and_names),
        TEST(an_output_replaced_by_another_output_is_a_copy_of_it),
        TEST(a_shape_that_becomes_another_s_value_is_followed),
        TEST(removing_takes_what_only_the_layer_needed),
        TEST(guards_nest_and_restore_the_place),
        TEST(a_thousand_insertions_at_one_place_stay_in_order),
        TEST(larger_benefit_first_and_ties_in_order_of_adding),
        TEST(equal_benefits_keep_the_order_of_adding),
        TEST(several_patterns_on_one_layer_do_not_see_it_once_it_is_replaced),
        TEST(what_a_pattern_makes_is_shown_to_the_others),
        TEST(layers_that_nothing_reads_yet_survive_a_run),
        TEST(layers_of_a_branch_are_replaced_in_the_branch),
        TEST(analyzers_count_the_one_sum_with_args_and_user_data),
        TEST(analysis_skips_removed_layers),
        TEST(managers_know_patterns_by_label_and_nothing_of_each_other),
        TEST(large_networks_are_shown_a_few_times),
        TEST(each_failing_allocation_leaves_the_network_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
