/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_test.c: the driver's promises: fixpoint, order, replaced layers, the cap, regions, size.
 */
#include "rewrite/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "support/fault_allocator.h"

typedef struct fixture {
    tn_network *net;
    tn_diag *diag;
    tn_tensor *x;
} fixture;

static int setup(void **state) {
    static fixture f;
    tn_network_options options;
    tn_network_options_init(&options);
    if (tn_diag_create(NULL, &f.diag) != TN_OK) return 1;
    options.diag = f.diag;
    if (tn_network_create(&options, &f.net) != TN_OK) return 1;
    f.x = tn_network_add_input(f.net, "x", TN_FLOAT32, TN_DIMS(-1, 4));
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    tn_network_destroy(f->net);
    tn_diag_destroy(f->diag);
    return 0;
}

static tn_tensor *output(tn_layer *layer) {
    return tn_layer_output(layer, 0);
}

static tn_tensor *binary(tn_network *net, tn_tensor *a, tn_tensor *b, tn_elementwise_op op) {
    return output(tn_network_add_elementwise(net, a, b, op));
}

static int count_ops(const tn_network *net, tn_elementwise_op op) {
    int count = 0;
    for (const tn_layer *layer = net->first_layer; layer != NULL; layer = layer->next)
        count += layer->kind == TN_OP_ELEMENTWISE && layer->params.elementwise.op == (int)op;
    return count;
}

static const tn_op_kind elementwise_roots[] = {TN_OP_ELEMENTWISE};

static bool replace_op(tn_rewriter *rewriter, tn_layer *root, tn_elementwise_op from, tn_elementwise_op to) {
    if (root->params.elementwise.op != (int)from) return false;
    tn_op_params params = {.elementwise = {.op = (int)to}};
    return tn_rewriter_replace(rewriter, root,
                               tn_network_add_layer(rewriter->network, TN_OP_ELEMENTWISE, &params, root->inputs.data, 2, NULL));
}

static bool is_sum(tn_rewriter *rewriter, tn_layer *root) {
    (void)rewriter;
    return root->params.elementwise.op == TN_ELEMENTWISE_SUM;
}
static bool make_sub(tn_rewriter *rewriter, tn_layer *root) {
    return replace_op(rewriter, root, TN_ELEMENTWISE_SUM, TN_ELEMENTWISE_SUB);
}
static bool make_max(tn_rewriter *rewriter, tn_layer *root) {
    return replace_op(rewriter, root, TN_ELEMENTWISE_SUM, TN_ELEMENTWISE_MAX);
}
static bool max_to_min(tn_rewriter *rewriter, tn_layer *root) {
    return replace_op(rewriter, root, TN_ELEMENTWISE_MAX, TN_ELEMENTWISE_MIN);
}
static bool min_to_max(tn_rewriter *rewriter, tn_layer *root) {
    return replace_op(rewriter, root, TN_ELEMENTWISE_MIN, TN_ELEMENTWISE_MAX);
}

#define PATTERN(pattern_name, function, value) \
    { .name = pattern_name, .root_kinds = elementwise_roots, .num_root_kinds = 1, .benefit = value, .match_and_rewrite = function }

static size_t rewrite(fixture *f, const tn_pattern *const *patterns, uint32_t num_patterns, void *args) {
    size_t count = 99;
    assert_int_equal(tn_rewrite(f->net, patterns, num_patterns, args, &count), TN_OK);
    return count;
}

static void add_becomes_sub_with_the_same_inputs_and_consumers(void **state) {
    fixture *f = *state;
    tn_tensor *a = binary(f->net, f->x, f->x, TN_ELEMENTWISE_PROD), *sum = binary(f->net, a, f->x, TN_ELEMENTWISE_SUM);
    tn_tensor *last = binary(f->net, sum, sum, TN_ELEMENTWISE_PROD);
    tn_network_mark_output(f->net, last, "y");
    const tn_pattern pattern = {
        .name = "add_to_sub", .root_kinds = elementwise_roots, .num_root_kinds = 1, .match = is_sum, .rewrite = make_sub};
    assert_int_equal(rewrite(f, &(const tn_pattern *){&pattern}, 1, NULL), 1);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_SUM), 0);
    assert_int_equal(tn_network_num_layers(f->net), 3);
    const tn_layer *sub = last->producer->inputs.data[0]->producer;
    assert_int_equal(sub->params.elementwise.op, TN_ELEMENTWISE_SUB);
    assert_ptr_equal(sub->inputs.data[0], a);
    assert_ptr_equal(last->producer->inputs.data[1]->producer, sub);
    assert_ptr_equal(sub->next, last->producer); /* in the replaced one's place */
}

static void larger_benefit_is_tried_first(void **state) {
    fixture *f = *state;
    tn_network_mark_output(f->net, binary(f->net, f->x, f->x, TN_ELEMENTWISE_SUM), "y");
    const tn_pattern small = PATTERN("small", make_sub, 1), large = PATTERN("large", make_max, 5);
    assert_int_equal(rewrite(f, (const tn_pattern *[]){&small, &large}, 2, NULL), 1);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_MAX), 1);
}

static void equal_benefits_keep_the_order_of_adding(void **state) {
    fixture *f = *state;
    tn_network_mark_output(f->net, binary(f->net, f->x, f->x, TN_ELEMENTWISE_SUM), "y");
    const tn_pattern first = PATTERN("first", make_sub, 3), second = PATTERN("second", make_max, 3);
    assert_int_equal(rewrite(f, (const tn_pattern *[]){&first, &second}, 2, NULL), 1);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_SUB), 1);
}

static bool fail_on_dead(tn_rewriter *rewriter, tn_layer *root) {
    (void)rewriter;
    assert_false(root->is_dead);
    assert_int_not_equal(root->params.elementwise.op, TN_ELEMENTWISE_SUM);
    return false;
}

static void replaced_layers_are_shown_to_no_further_pattern(void **state) {
    fixture *f = *state;
    tn_network_mark_output(f->net, binary(f->net, f->x, f->x, TN_ELEMENTWISE_SUM), "y");
    const tn_pattern first = PATTERN("first", make_sub, 3), second = PATTERN("second", fail_on_dead, 1);
    assert_int_equal(rewrite(f, (const tn_pattern *[]){&second, &first}, 2, NULL), 1);
}

static void new_layers_are_rewritten_too(void **state) {
    fixture *f = *state;
    tn_network_mark_output(f->net, binary(f->net, f->x, f->x, TN_ELEMENTWISE_SUM), "y");
    const tn_pattern first = PATTERN("first", max_to_min, 3), second = PATTERN("second", make_max, 1);
    assert_int_equal(rewrite(f, (const tn_pattern *[]){&first, &second}, 2, NULL), 2);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_MIN), 1);
}

static void pattern_that_does_not_settle_is_stopped_and_named(void **state) {
    fixture *f = *state;
    tn_network_mark_output(f->net, binary(f->net, f->x, f->x, TN_ELEMENTWISE_MAX), "y");
    const tn_pattern there = PATTERN("there", max_to_min, 0), back = PATTERN("and_back", min_to_max, 0);
    size_t count = 99;
    assert_int_equal(tn_rewrite(f->net, (const tn_pattern *[]){&there, &back}, 2, NULL, &count), TN_INVALID_ARGUMENT);
    assert_int_equal(count, 0);
    tn_diag_entry entry;
    assert_int_equal(tn_diag_get(f->diag, 0, &entry), TN_OK);
    assert_non_null(strstr(entry.message, "pattern 'there' does not settle"));
    for (const tn_layer *layer = f->net->first_layer; layer != NULL; layer = layer->next) assert_false(layer->is_queued);
    assert_int_equal(tn_network_num_layers(f->net), 1);
}

static void incomplete_patterns_are_refused(void **state) {
    fixture *f = *state;
    const tn_pattern pattern = {.name = "half", .match = is_sum};
    assert_int_equal(tn_rewrite(f->net, &(const tn_pattern *){&pattern}, 1, NULL, NULL), TN_INVALID_ARGUMENT);
}

static bool count_match(tn_rewriter *rewriter, tn_layer *root) {
    /* relu(a + b): only where both stand in one region */
    if (tn_match_own_producer(root, 0, TN_OP_ELEMENTWISE) != NULL) ++*(int *)rewriter->args;
    return false;
}

static void patterns_do_not_see_across_a_region(void **state) {
    fixture *f = *state;
    tn_tensor *outer = binary(f->net, f->x, f->x, TN_ELEMENTWISE_SUM);
    tn_tensor *condition = tn_network_add_input(f->net, "c", TN_BOOL, TN_SCALAR);
    tn_if *conditional = tn_network_begin_if(f->net, condition);
    tn_tensor *inner = output(tn_network_add_activation(f->net, outer, TN_ACTIVATION_RELU));
    tn_if_else(conditional);
    tn_tensor *sum = binary(f->net, f->x, f->x, TN_ELEMENTWISE_PROD);
    tn_tensor *other = output(tn_network_add_activation(f->net, sum, TN_ACTIVATION_RELU));
    tn_if_end(conditional);
    tn_network_mark_output(f->net, output(tn_if_add_output(conditional, inner, other)), "y");
    int matches = 0;
    const tn_op_kind roots[] = {TN_OP_ACTIVATION};
    const tn_pattern pattern = {.name = "count", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = count_match};
    assert_int_equal(rewrite(f, &(const tn_pattern *){&pattern}, 1, &matches), 0);
    assert_int_equal(matches, 1);
}

static bool count_shown(tn_rewriter *rewriter, tn_layer *root) {
    ++*(size_t *)rewriter->args;
    return make_sub(rewriter, root);
}

static void a_hundred_thousand_layers_are_shown_a_few_times_each(void **state) {
    fixture *f = *state;
    tn_tensor *y = f->x;
    for (int i = 0; i < 100000; i++) y = binary(f->net, y, f->x, TN_ELEMENTWISE_SUM);
    tn_network_mark_output(f->net, y, "y");
    size_t shown = 0;
    const tn_pattern pattern = PATTERN("sub", count_shown, 0);
    assert_int_equal(rewrite(f, &(const tn_pattern *){&pattern}, 1, &shown), 100000);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_SUB), 100000);
    assert_true(shown <= 500000);
}

static bool is_prod(tn_rewriter *rewriter, tn_layer *root) {
    (void)rewriter;
    return root->params.elementwise.op == TN_ELEMENTWISE_PROD;
}
static void add_one(tn_rewriter *rewriter, tn_layer *root) {
    (void)root;
    ++*(int *)rewriter->args;
}

static void analyzers_get_what_matches(void **state) {
    fixture *f = *state;
    tn_tensor *sum = binary(f->net, f->x, f->x, TN_ELEMENTWISE_SUM);
    tn_network_mark_output(f->net, binary(f->net, sum, sum, TN_ELEMENTWISE_PROD), "y");
    const tn_analysis pattern = {
        .name = "prods", .root_kinds = elementwise_roots, .num_root_kinds = 1, .match = is_prod, .analyze = add_one};
    int seen = 0;
    size_t count;
    assert_int_equal(tn_analyze(f->net, &(const tn_analysis *){&pattern}, 1, &seen, &count), TN_OK);
    assert_int_equal(count, 1);
    assert_int_equal(seen, 1);
}

static tn_status rewrite_something(const tn_allocator *allocator, tn_diag *diag) {
    tn_network_options options;
    tn_network_options_init(&options);
    options.allocator = allocator;
    options.diag = diag;
    tn_network *net;
    tn_status status = tn_network_create(&options, &net);
    if (status != TN_OK) return status;
    tn_tensor *y = tn_network_add_input(net, "x", TN_FLOAT32, TN_DIMS(-1, 4));
    for (int i = 0; i < 40; i++) y = binary(net, y, y, TN_ELEMENTWISE_SUM);
    tn_network_mark_output(net, y, "y");
    const tn_pattern pattern = PATTERN("sub", make_sub, 0);
    status = net->out_of_memory ? TN_OUT_OF_MEMORY : tn_rewrite(net, &(const tn_pattern *){&pattern}, 1, NULL, NULL);
    tn_network_destroy(net);
    return status;
}

static void each_failing_allocation_is_reported_and_leaks_nothing(void **state) {
    fixture *f = *state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_status status = rewrite_something(&fault.allocator, f->diag);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        if (!tn_fault_has_failed(&fault)) break;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(add_becomes_sub_with_the_same_inputs_and_consumers),
        TEST(larger_benefit_is_tried_first),
        TEST(equal_benefits_keep_the_order_of_adding),
        TEST(replaced_layers_are_shown_to_no_further_pattern),
        TEST(new_layers_are_rewritten_too),
        TEST(pattern_that_does_not_settle_is_stopped_and_named),
        TEST(incomplete_patterns_are_refused),
        TEST(patterns_do_not_see_across_a_region),
        TEST(a_hundred_thousand_layers_are_shown_a_few_times_each),
        TEST(analyzers_get_what_matches),
        TEST(each_failing_allocation_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
