/* SPDX-License-Identifier: Apache-2.0
 *
 * misuse_test.c: tenon/rewrite.h where it is used wrongly: the error names the cause, the network stays as it was.
 */
#include "rewrite/testing.h"

static tn_tensor *add_output(fixture *f) {
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_tensor *y = binary(f->net, x, x, TN_ELEMENTWISE_SUM);
    tn_network_mark_output(f->net, y, "y");
    return y;
}

#define assert_refused(f, call, part)                  \
    do {                                               \
        tn_text before_ = picture((f)->net);           \
        assert_int_equal((call), TN_INVALID_ARGUMENT); \
        assert_message((f), (part));                   \
        assert_unchanged((f)->net, before_);           \
    } while (0)

static void replacements_that_do_not_fit_are_refused(void **state) {
    fixture *f = *state;
    tn_tensor *y = add_output(f), *x = tn_network_input(f->net, 0);
    tn_tensor *other_shape = add_input(f, "wide", TN_DIMS(-1, 5)), *other_rank = add_input(f, "flat", TN_DIMS(4));
    tn_tensor *unknown = add_input(f, "unknown", TN_DIMS(-1, 4));
    tn_tensor *other_type = output(tn_network_add_cast(f->net, x, TN_INT32));
    tn_network *net;
    assert_int_equal(tn_network_create(NULL, &net), TN_OK);
    tn_tensor *foreign = tn_network_add_input(net, "foreign", TN_FLOAT32, TN_DIMS(-1, 4));
    assert_refused(f, tn_tensor_replace_all_uses_with(x, other_shape), "its users need float32");
    assert_refused(f, tn_tensor_replace_all_uses_with(x, other_rank), "its users need float32");
    assert_refused(f, tn_tensor_replace_all_uses_with(x, unknown), "its users need float32");
    assert_refused(f, tn_tensor_replace_all_uses_with(y, other_type), "not int32");
    assert_refused(f, tn_tensor_replace_all_uses_with(x, foreign), "different networks");
    assert_refused(f, tn_tensor_replace_all_uses_with(x, y), "a cycle");
    assert_refused(f, tn_tensor_replace_all_uses_with(NULL, y), "is missing");
    assert_refused(f, tn_tensor_replace_all_uses_with(y, NULL), "is missing");
    assert_refused(f, tn_layer_mark_as_removed(tn_tensor_parent(y)), "cannot remove layer");
    assert_int_equal(tn_tensor_replace_all_uses_with(y, y), TN_OK);
    tn_network_destroy(net);
}

static void a_replacement_behind_its_users_is_refused(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(-1, 4));
    tn_tensor *a = binary(f->net, x, x, TN_ELEMENTWISE_SUM), *b = binary(f->net, a, x, TN_ELEMENTWISE_PROD);
    tn_tensor *c = binary(f->net, b, x, TN_ELEMENTWISE_PROD), *late = binary(f->net, x, x, TN_ELEMENTWISE_SUB);
    tn_network_mark_output(f->net, c, "c");
    tn_network_mark_output(f->net, late, "late");
    assert_refused(f, tn_tensor_replace_all_uses_with(a, c), "a cycle"); /* through b */
    assert_refused(f, tn_tensor_replace_all_uses_with(a, late), "stands before what makes the second");
}

static bool adds_in_match(tn_rewriter *rewriter, tn_layer *layer) {
    (void)tn_network_add_identity(tn_rewriter_network(rewriter), tn_layer_output(layer, 0));
    return true;
}
static bool marks_in_match(tn_rewriter *rewriter, tn_layer *layer) {
    tn_network_mark_output(tn_rewriter_network(rewriter), tn_layer_input(layer, 0), "z");
    return false;
}
static bool replaces_in_match(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    return tn_tensor_replace_all_uses_with(tn_layer_output(layer, 0), tn_layer_output(layer, 0)) == TN_OK;
}
static void names_in_analyze(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    tn_layer_set_name(layer, "renamed");
}

static void match_and_analyze_cannot_change_the_network(void **state) {
    fixture *f = *state;
    (void)add_output(f);
    bool (*const matches[])(tn_rewriter *, tn_layer *) = {adds_in_match, marks_in_match, replaces_in_match};
    for (size_t i = 0; i < 3; i++)
        assert_refused(f, run(f, NULL, NULL, REWRITER(.name = "eager", .match = matches[i], .rewrite = sum_becomes_sub), NULL, NULL),
                       "pattern 'eager' is only looking");
    tn_pattern_manager *manager = make_manager(f);
    assert_int_equal(tn_pattern_manager_add_analyzer(manager, NULL, ANALYZER(.name = "namer", .analyze = names_in_analyze)), TN_OK);
    assert_refused(f, tn_pattern_manager_analyze(manager, f->net, NULL, NULL), "pattern 'namer' is only looking");
    tn_pattern_manager_destroy(manager);
}

static bool rewrites_then_fails(tn_rewriter *rewriter, tn_layer *layer) {
    return sum_becomes_sub(rewriter, layer) && tn_rewriter_fail(rewriter, TN_UNSUPPORTED, "no %d", 7);
}
static bool wrong_adder(tn_rewriter *rewriter, tn_layer *layer) {
    tn_layer *made = tn_network_add_cast(tn_rewriter_network(rewriter), NULL, TN_INT32);
    return tn_tensor_replace_all_uses_with(output(layer), tn_layer_output(made, 0)) == TN_OK;
}
static bool replaces_by_another_type(tn_rewriter *rewriter, tn_layer *layer) {
    tn_layer *made = tn_network_add_cast(tn_rewriter_network(rewriter), tn_layer_input(layer, 0), TN_INT32);
    (void)!tn_tensor_replace_all_uses_with(output(layer), output(made)); /* not looked at: the run fails still */
    return true;
}

static void a_pattern_that_fails_leaves_the_network_as_it_was(void **state) {
    fixture *f = *state;
    (void)add_output(f);
    tn_text before = picture(f->net);
    assert_int_equal(run(f, NULL, NULL, REWRITER(.name = "half", .match_and_rewrite = rewrites_then_fails), NULL, NULL), TN_UNSUPPORTED);
    assert_message(f, "pattern 'half' failed at layer 'elementwise_1': no 7");
    assert_unchanged(f->net, before);
    assert_refused(f, run(f, NULL, NULL, REWRITER(.name = "wrong", .match_and_rewrite = wrong_adder), NULL, NULL), "is missing");
    assert_refused(f, run(f, NULL, NULL, REWRITER(.name = "typed", .match_and_rewrite = replaces_by_another_type), NULL, NULL),
                   "not int32");
}

static bool always_true(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    (void)layer;
    return true;
}

static void patterns_that_never_settle_are_named_and_undone(void **state) {
    fixture *f = *state;
    (void)add_output(f);
    assert_refused(f,
                   run(f, NULL, NULL, REWRITER(.name = "max", .match_and_rewrite = sum_becomes_max),
                       REWRITER(.name = "there", .match_and_rewrite = max_becomes_min),
                       REWRITER(.name = "back", .match_and_rewrite = min_becomes_max)),
                   "pattern 'there' does not settle");
    assert_refused(f, run(f, NULL, NULL, REWRITER(.name = "idle", .match_and_rewrite = always_true), NULL, NULL),
                   "pattern 'idle' does not settle");
}

static bool runs_inside(tn_rewriter *rewriter, tn_layer *layer) {
    (void)layer;
    tn_pattern_manager *manager = tn_rewriter_args(rewriter);
    assert_int_equal(tn_pattern_manager_rewrite(manager, tn_rewriter_network(rewriter), NULL, NULL), TN_UNAVAILABLE);
    return false;
}

static void a_run_inside_a_run_is_refused(void **state) {
    fixture *f = *state;
    (void)add_output(f);
    tn_pattern_manager *manager = make_manager(f);
    assert_int_equal(tn_pattern_manager_add_rewriter(manager, NULL, REWRITER(.name = "again", .match_and_rewrite = runs_inside)), TN_OK);
    assert_int_equal(tn_pattern_manager_rewrite(manager, f->net, manager, NULL), TN_OK);
    assert_message(f, "a run of its patterns is under way");
    tn_pattern_manager_destroy(manager);
}

static void patterns_that_cannot_be_are_refused(void **state) {
    fixture *f = *state;
    tn_pattern_manager *manager = make_manager(f);
    const tn_pattern_rewriter *good = REWRITER(.name = "good", .match_and_rewrite = always_true);
    assert_int_equal(tn_pattern_manager_add_rewriter(manager, NULL, good), TN_OK);
    const struct {
        const tn_pattern_rewriter *pattern;
        const char *part;
    } cases[] = {
        {good, "the label is taken"},
        {REWRITER(.match_and_rewrite = always_true), "it has no name"},
        {REWRITER(.name = "half", .match = always_true), "nothing to run"},
        {REWRITER(.name = "both", .match = always_true, .rewrite = always_true, .match_and_rewrite = always_true), "nothing to run"},
        {REWRITER(.name = "odd", KINDS("plugin_v9"), .match_and_rewrite = always_true), "no layer of the kind plugin_v9"},
        {REWRITER(.name = "null", .num_root_kinds = 1, .match_and_rewrite = always_true), "root kinds are missing"},
        {&(tn_pattern_rewriter){.name = "raw", .match_and_rewrite = always_true}, "_init"},
        {NULL, "is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(tn_pattern_manager_add_rewriter(manager, NULL, cases[i].pattern), TN_INVALID_ARGUMENT);
        assert_message(f, cases[i].part);
    }
    assert_int_equal(tn_pattern_manager_add_analyzer(manager, NULL, ANALYZER(.name = "blind")), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_pattern_manager_rewrite(manager, NULL, NULL, NULL), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_pattern_manager_rewrite(NULL, f->net, NULL, NULL), TN_INVALID_ARGUMENT);
    tn_pattern_manager_destroy(manager);
}

static void calls_follow_replaced_tensors_and_refuse_nonsense(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 4)), *z = add_input(f, "z", TN_DIMS(2, 4));
    tn_tensor *list[] = {x, z};
    tn_call_argument arguments[] = {
        {.name = "x", .tensor = x}, {.name = "list", .tensors = list, .num_tensors = 2}, {.name = "mode", .text = "fast"}};
    tn_call *outer = tn_call_begin(f->net, "outer", arguments, 3), *inner = tn_call_begin(f->net, "inner", arguments, 1);
    tn_tensor *y = binary(f->net, x, z, TN_ELEMENTWISE_SUM);
    tn_call_end(inner, &y, 1);
    tn_call_end(outer, &y, 1);
    tn_network_mark_output(f->net, y, "y");
    assert_ptr_equal(tn_layer_call(tn_tensor_parent(y)), inner);
    assert_ptr_equal(tn_call_outer(inner), outer);
    assert_string_equal(tn_call_find_argument(outer, "mode")->text, "fast");
    assert_int_equal(tn_tensor_replace_all_uses_with(x, z), TN_OK);
    assert_ptr_equal(tn_call_input(outer, "x"), z);
    assert_ptr_equal(tn_call_input(inner, "x"), z);
    assert_ptr_equal(tn_call_find_argument(outer, "list")->tensors[0], z);
    assert_int_equal(tn_call_replace_input_with(outer, x, z), TN_NOT_FOUND);
    assert_int_equal(tn_call_replace_input_with(outer, z, x), TN_OK);
    assert_ptr_equal(tn_call_find_argument(outer, "list")->tensors[1], x);
    tn_tensor *two[] = {x, z}, *wide = add_input(f, "wide", TN_DIMS(2, 5));
    assert_refused(f, tn_call_replace_outputs_uses_with(outer, two, 2), "the number of outputs differs");
    assert_refused(f, tn_call_replace_outputs_uses_with(outer, (tn_tensor *[]){NULL}, 1), "a new output is missing");
    assert_refused(f, tn_call_replace_outputs_uses_with(outer, &wide, 1), "its users need float32");
    assert_refused(f, tn_call_replace_input_with(outer, NULL, x), "is missing");
    tn_tensor *half = output(tn_network_add_cast(f->net, z, TN_FLOAT16)); /* cast back by the call */
    assert_int_equal(tn_call_replace_outputs_uses_with(inner, &half, 1), TN_OK);
    assert_string_equal(tn_tensor_name(tn_network_output(f->net, 0)), "y");
    assert_string_equal(tn_tensor_name(y), "y_deprecated");
    assert_string_equal(tn_layer_kind(tn_tensor_parent(tn_network_output(f->net, 0))), "cast");
    assert_ptr_equal(tn_layer_call(tn_tensor_parent(y)), outer);
    tn_call_end(outer, &y, 1);
    assert_message(f, "cannot end the call of 'outer'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(replacements_that_do_not_fit_are_refused),
        TEST(a_replacement_behind_its_users_is_refused),
        TEST(match_and_analyze_cannot_change_the_network),
        TEST(a_pattern_that_fails_leaves_the_network_as_it_was),
        TEST(patterns_that_never_settle_are_named_and_undone),
        TEST(a_run_inside_a_run_is_refused),
        TEST(patterns_that_cannot_be_are_refused),
        TEST(calls_follow_replaced_tensors_and_refuse_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
