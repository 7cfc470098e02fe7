/* SPDX-License-Identifier: Apache-2.0
 *
 * builder_test.c: what a build accepts and refuses, and what its plans say.
 */
#include "builder/testing.h"

#include "support/fault_allocator.h"

static void a_plan_has_inputs_steps_weights_and_profiles(void **state) {
    fixture *f = *state;
    set_batch(f, 1, 8, 100);
    tn_plan *plan = build(f, linear_network(NULL, matrix, "w"));
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(view->num_functions, 1);
    assert_string_equal(tn_plan_string(view, view->functions[0].name), "forward");
    assert_int_equal(view->num_weights, 1);
    assert_string_equal(tn_plan_string(view, view->weights[0].name), "w");
    assert_string_equal(tn_plan_string(view, view->weights[0].recipe), "load(\"w\" float32[64,32])");
    assert_memory_equal(view->weight_data + view->weights[0].offset, matrix, sizeof matrix);
    assert_int_equal(view->num_profiles, 1);
    assert_int_equal(view->profiles[0].max, 100);
    assert_string_equal(tactic_of(plan, "matrix_multiply", 0), "ref_matrix_multiply");
    assert_string_equal(view->header->backend, "ref");
    tn_plan_destroy(plan);
}

static void a_network_that_was_built_can_be_built_again(void **state) {
    fixture *f = *state;
    set_batch(f, 1, 8, 100);
    tn_network *network = linear_network(NULL, matrix, "w");
    tn_plan *one, *two;
    const tn_file *unused;
    assert_int_equal(tn_builder_build(f->builder, network, f->config, &one), TN_OK);
    assert_int_equal(tn_builder_build(f->builder, network, f->config, &two), TN_OK);
    assert_int_equal(tn_plan_size_bytes(one), tn_plan_size_bytes(two));
    assert_memory_equal(tn_plan_bytes(one, &unused), tn_plan_bytes(two, &unused), tn_plan_size_bytes(one));
    tn_plan_destroy(one);
    tn_plan_destroy(two);
    tn_network_destroy(network);
}

static void equal_constants_are_one_weight_across_functions(void **state) {
    fixture *f = *state;
    static float copy[OUT * IN];
    memcpy(copy, matrix, sizeof copy);
    set_batch(f, 1, 8, 100);
    tn_network *networks[2] = {linear_network("one", matrix, "w"), linear_network("two", copy, "w")};
    tn_plan *plan;
    assert_int_equal(tn_builder_build_functions(f->builder, networks, 2, f->config, &plan), TN_OK);
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(view->num_functions, 2);
    assert_int_equal(view->num_weights, 1);
    assert_string_equal(tn_plan_string(view, view->functions[1].name), "two");
    tn_plan_destroy(plan);
    tn_network_destroy(networks[0]);
    tn_network_destroy(networks[1]);
}

static void every_contradiction_of_the_profiles_is_reported_at_once(void **state) {
    fixture *f = *state;
    tn_network *net = make_network(NULL);
    tn_tensor *a = tn_network_add_input(net, "a", TN_FLOAT32, TN_DIMS(-1, 4)),
              *b = tn_network_add_input(net, "b", TN_FLOAT32, TN_DIMS(-1, 4));
    tn_tensor *c = tn_network_add_input(net, "c", TN_FLOAT32, TN_DIMS(-1));
    tn_tensor_set_dim_name(a, 0, "n");
    tn_tensor_set_dim_name(b, 0, "n");
    tn_network_mark_output(net, first(tn_network_add_elementwise(net, a, b, TN_ELEMENTWISE_SUM)), "y");
    tn_network_mark_output(net, first(tn_network_add_unary(net, c, TN_UNARY_EXP)), "z");
    tn_profile *one = tn_builder_config_add_profile(f->config), *two = tn_builder_config_add_profile(f->config);
    tn_profile_set_dims(one, "a", TN_DIMS(1, 4), TN_DIMS(2, 4), TN_DIMS(3, 4));
    tn_profile_set_dims(one, "b", TN_DIMS(1, 4), TN_DIMS(2, 4), TN_DIMS(4, 4)); /* n has two ranges */
    tn_profile_set_dims(one, "c", TN_DIMS(3), TN_DIMS(2), TN_DIMS(4));          /* min > opt */
    tn_profile_set_dims(one, "d", TN_DIMS(3), TN_DIMS(3), TN_DIMS(3));          /* no such input */
    tn_profile_set_dim(two, "n", 1, 2, 3);
    tn_profile_set_dim(two, "m", 1, 2, 3);                                      /* no such dimension; c has no range */
    tn_profile_set_dims(two, "a", TN_DIMS(1, 4), TN_DIMS(1, 5), TN_DIMS(1, 5)); /* the second is 4 */
    assert_refused(f, net, TN_INVALID_ARGUMENT);
    assert_true(diag_says(f->diag, "'n' is 1, 2, 3 in input 'a' and 1, 2, 4 in input 'b'"));
    assert_true(diag_says(f->diag, "the range of 'c'[0] is 3, 2, 4"));
    assert_true(diag_says(f->diag, "no such input"));
    assert_true(diag_says(f->diag, "no such dimension"));
    assert_true(diag_says(f->diag, "profile 1 has no range for dimension 0 of input 'c'"));
    assert_true(diag_says(f->diag, "dimension 1 of input 'a' is 4"));
}

static void a_dynamic_network_without_a_profile_is_refused_by_dimension(void **state) {
    fixture *f = *state;
    assert_refused(f, linear_network(NULL, matrix, NULL), TN_INVALID_ARGUMENT);
    assert_true(diag_says(f->diag, "no range for dimension 0 (batch) of input 'x'"));
}

static void a_range_of_a_named_dimension_serves_all_its_inputs(void **state) {
    fixture *f = *state;
    tn_network *net = make_network(NULL);
    tn_tensor *a = tn_network_add_input(net, "a", TN_FLOAT32, TN_DIMS(-1)), *b = tn_network_add_input(net, "b", TN_FLOAT32, TN_DIMS(-1));
    tn_tensor_set_dim_name(a, 0, "n");
    tn_tensor_set_dim_name(b, 0, "n");
    tn_network_mark_output(net, first(tn_network_add_elementwise(net, a, b, TN_ELEMENTWISE_SUM)), "y");
    tn_profile_set_dims(tn_builder_config_add_profile(f->config), "a", TN_DIMS(1), TN_DIMS(2), TN_DIMS(3));
    tn_plan *plan = build(f, net);
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(view->num_profiles, 2);
    for (int i = 0; i < 2; i++) assert_int_equal(view->profiles[i].max, 3);
    tn_plan_destroy(plan);
}

static void layers_that_nothing_runs_are_all_reported(void **state) {
    fixture *f = *state;
    fake_remove_op(&f->fake, TN_OP_SOFTMAX);
    fake_remove_op(&f->fake, TN_OP_MATRIX_MULTIPLY);
    set_batch(f, 1, 2, 4);
    assert_refused(f, linear_network(NULL, matrix, NULL), TN_UNSUPPORTED);
    assert_true(diag_says(f->diag, "this softmax"));
    assert_true(diag_says(f->diag, "this matrix_multiply"));
}

static void host_fallback_puts_such_layers_on_the_host_between_copies(void **state) {
    fixture *f = *state;
    fake_remove_op(&f->fake, TN_OP_MATRIX_MULTIPLY);
    set_batch(f, 1, 2, 4);
    tn_builder_config_set_host_fallback(f->config, true);
    tn_plan *plan = build(f, linear_network(NULL, matrix, "w"));
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(find_step(plan, "matrix_multiply")->device, 0);
    assert_int_equal(find_step(plan, "softmax")->device, 1);
    uint32_t num_transfers = 0;
    for (uint32_t i = 0; i < view->num_steps; i++)
        num_transfers += view->steps[i].kind == TN_STEP_COPY || view->steps[i].kind == TN_STEP_READ_SYMBOL;
    assert_int_equal(num_transfers, 2);
    tn_plan_destroy(plan);
}

static void reserved_operations_are_refused_by_name(void **state) {
    fixture *f = *state;
    tn_network *net = make_network(NULL);
    tn_tensor *x = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(4));
    tn_op_params params = {.collective = {.group = 2}};
    tn_layer *layer = tn_network_add_layer(net, TN_OP_COLLECTIVE, &params, &x, 1, "sum over ranks");
    if (layer != NULL) tn_network_mark_output(net, first(layer), "y");
    tn_plan *plan;
    tn_status status = tn_builder_build(f->builder, net, f->config, &plan);
    assert_true(status == TN_UNSUPPORTED || (layer == NULL && status == TN_INVALID_ARGUMENT)); /* by the network, if not by us */
    if (layer != NULL) assert_true(diag_says(f->diag, "collective"));
    assert_null(plan);
    tn_network_destroy(net);
}

static void a_memory_limit_below_the_need_is_refused_with_the_table(void **state) {
    fixture *f = *state;
    set_batch(f, 1, 8, 100000);
    tn_builder_config_set_memory_limit(f->config, 1 << 20);
    assert_refused(f, linear_network(NULL, matrix, NULL), TN_OUT_OF_MEMORY);
    assert_true(diag_says(f->diag, "weights"));
    assert_true(diag_says(f->diag, "activations  25.6 MB"));
    assert_true(diag_says(f->diag, "limit        1.05 MB"));
}

static bool stop_at_packing(void *user, const char *phase, uint64_t done, uint64_t total) {
    (void)done;
    (void)total;
    return strcmp(phase, user) != 0;
}

static void a_build_can_be_cancelled_in_every_phase(void **state) {
    fixture *f = *state;
    static const char *const phases[] = {"time tactics", "pack weights"};
    set_batch(f, 1, 8, 100);
    tn_builder_config_set_output_path(f->config, f->path);
    for (int i = 0; i < 2; i++) {
        tn_progress progress = {.user = (void *)(uintptr_t)phases[i], .report = stop_at_packing};
        tn_builder_config_set_progress(f->config, &progress);
        assert_refused(f, linear_network(NULL, matrix, NULL), TN_CANCELLED);
        assert_int_not_equal(access(f->path, F_OK), 0);
    }
}

static void a_stripped_plan_has_recipes_and_no_bytes(void **state) {
    fixture *f = *state;
    set_batch(f, 1, 8, 100);
    tn_builder_config_set_strip(f->config, true);
    tn_plan *plan = build(f, linear_network(NULL, matrix, "w"));
    const tn_plan_view *view = tn_plan_get_view(plan);
    assert_int_equal(view->header->flags & TN_PLAN_STRIPPED, TN_PLAN_STRIPPED);
    assert_int_equal(view->weights[0].storage, TN_WEIGHT_STRIPPED);
    assert_int_equal(view->weight_data_bytes, 0);
    tn_plan_destroy(plan);
    plan = build(f, linear_network(NULL, matrix, NULL)); /* a constant without a name has no other home */
    assert_int_equal(tn_plan_get_view(plan)->weights[0].storage, TN_WEIGHT_INLINE);
    tn_plan_destroy(plan);
}

static void the_inspector_shows_steps_tactics_memory_and_refusals(void **state) {
    fixture *f = *state;
    set_batch(f, 1, 8, 100);
    tn_builder_config_set_model_info(f->config, "{\"family\":\"test\"}");
    tn_plan *plan = build(f, linear_network(NULL, matrix, "w"));
    char *json;
    assert_int_equal(tn_plan_inspect(plan, NULL, &json), TN_OK);
    static const char *const words[] = {"\"model\":{\"family\":\"test\"}",
                                        "\"tactic\":\"ref_matrix_multiply\"",
                                        "\"bucket\":\"batch\"",
                                        "\"activation_bytes\":25600",
                                        "\"dims\":[\"batch\",64]",
                                        "\"recipe\":\"load("};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(json, words[i]) == NULL) fail_msg("no %s in %s", words[i], json);
    tn_string_free(json);
    tn_plan_destroy(plan);
}

static void bad_settings_fail_the_build(void **state) {
    fixture *f = *state;
    tn_builder_config_set_optimization_level(f->config, 6);
    set_batch(f, 1, 8, 100);
    assert_refused(f, linear_network(NULL, matrix, NULL), TN_INVALID_ARGUMENT);
    assert_true(diag_says(f->diag, "0 to 5"));
    tn_plan *plan;
    assert_int_equal(tn_builder_build(NULL, NULL, NULL, &plan), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_builder_build(f->builder, NULL, f->config, &plan), TN_INVALID_ARGUMENT);
    tn_builder_destroy(NULL);
    tn_builder_config_destroy(NULL);
    tn_profile_set_dim(NULL, "x", 1, 1, 1);
}

static void each_failing_allocation_is_out_of_memory_and_leaks_nothing(void **state) {
    fixture *f = *state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, 0);
        fixture mine = {.fake = f->fake, .diag = f->diag};
        make_builder(&mine, &fault.allocator);
        set_batch(&mine, 1, 8, 100);
        tn_network *network = linear_network(NULL, matrix, "w");
        fault.num_calls = 0;
        fault.fail_at = n;
        tn_plan *plan;
        tn_status status = tn_builder_build(mine.builder, network, mine.config, &plan);
        tn_plan_destroy(plan);
        tn_network_destroy(network);
        fault.fail_at = 0;
        tn_builder_config_destroy(mine.config);
        tn_builder_destroy(mine.builder);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        if (!tn_fault_has_failed(&fault)) break;
    }
}

int main(void) {
    for (int i = 0; i < OUT * IN; i++) matrix[i] = (float)(i % 13) - 6.0f;
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_plan_has_inputs_steps_weights_and_profiles),
        TEST(a_network_that_was_built_can_be_built_again),
        TEST(equal_constants_are_one_weight_across_functions),
        TEST(every_contradiction_of_the_profiles_is_reported_at_once),
        TEST(a_dynamic_network_without_a_profile_is_refused_by_dimension),
        TEST(a_range_of_a_named_dimension_serves_all_its_inputs),
        TEST(layers_that_nothing_runs_are_all_reported),
        TEST(host_fallback_puts_such_layers_on_the_host_between_copies),
        TEST(reserved_operations_are_refused_by_name),
        TEST(a_memory_limit_below_the_need_is_refused_with_the_table),
        TEST(a_build_can_be_cancelled_in_every_phase),
        TEST(a_stripped_plan_has_recipes_and_no_bytes),
        TEST(the_inspector_shows_steps_tactics_memory_and_refusals),
        TEST(bad_settings_fail_the_build),
        TEST(each_failing_allocation_is_out_of_memory_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
