/* SPDX-License-Identifier: Apache-2.0
 *
 * symbol_test.c: normal form, equality, bounds and evaluation of symbols.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"
#include "op/symbol.h"
#include "support/fault_allocator.h"

typedef struct fixture {
    tn_symbols *symbols;
    tn_sym n, m, s, k; /* three dimensions and one host value */
} fixture;

static int setup(void **state) {
    static fixture f;
    f.symbols = tn_symbols_create(NULL);
    f.n = tn_sym_input_dim(f.symbols, 0, 0);
    f.m = tn_sym_input_dim(f.symbols, 0, 1);
    f.s = tn_sym_input_dim(f.symbols, 1, 0);
    f.k = tn_sym_host_value(f.symbols, 7, 2);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    tn_symbols_destroy(((fixture *)*state)->symbols);
    return 0;
}

static tn_sym c(fixture *f, int64_t value) {
    return tn_sym_const(f->symbols, value);
}
static tn_sym op(fixture *f, tn_sym_op kind, tn_sym a, tn_sym b) {
    return tn_sym_binary(f->symbols, kind, a, b);
}
static tn_sym add(fixture *f, tn_sym a, tn_sym b) {
    return op(f, TN_SYM_ADD, a, b);
}
static tn_sym sub(fixture *f, tn_sym a, tn_sym b) {
    return op(f, TN_SYM_SUB, a, b);
}
static tn_sym mul(fixture *f, tn_sym a, tn_sym b) {
    return op(f, TN_SYM_MUL, a, b);
}
static tn_sym divide(fixture *f, tn_sym a, tn_sym b) {
    return op(f, TN_SYM_FLOOR_DIV, a, b);
}

static void node_zero_is_the_constant_one(void **state) {
    fixture *f = *state;
    int64_t value = 0;
    assert_true(tn_sym_is_const(f->symbols, TN_SYM_ONE, &value));
    assert_int_equal(value, 1);
    assert_int_equal(c(f, 1), TN_SYM_ONE);
}

static void equal_sums_are_one_node(void **state) {
    fixture *f = *state;
    assert_int_equal(add(f, f->n, f->m), add(f, f->m, f->n));
    assert_int_equal(add(f, add(f, f->n, f->m), f->s), add(f, f->n, add(f, f->s, f->m)));
    assert_int_equal(add(f, f->n, f->n), mul(f, f->n, c(f, 2)));
    assert_int_equal(sub(f, add(f, f->n, f->m), f->m), f->n);
    assert_int_equal(sub(f, f->n, f->n), c(f, 0));
    assert_int_equal(add(f, add(f, f->n, c(f, 3)), c(f, -3)), f->n);
}

static void equal_products_are_one_node(void **state) {
    fixture *f = *state;
    assert_int_equal(mul(f, f->n, f->m), mul(f, f->m, f->n));
    assert_int_equal(mul(f, mul(f, c(f, 2), f->n), c(f, 3)), mul(f, f->n, c(f, 6)));
    /* (n + 1)(m + 2) = nm + 2n + m + 2 */
    tn_sym product = mul(f, add(f, f->n, c(f, 1)), add(f, f->m, c(f, 2)));
    tn_sym sum = add(f, add(f, mul(f, f->m, f->n), mul(f, f->n, c(f, 2))), add(f, f->m, c(f, 2)));
    assert_int_equal(product, sum);
    assert_int_equal(mul(f, f->n, c(f, 0)), c(f, 0));
    assert_int_equal(mul(f, f->n, c(f, 1)), f->n);
}

static void division_takes_out_what_divides(void **state) {
    fixture *f = *state;
    assert_int_equal(divide(f, mul(f, f->n, c(f, 4)), c(f, 4)), f->n);
    assert_int_equal(divide(f, mul(f, f->n, c(f, 576)), mul(f, f->n, c(f, 9))), c(f, 64));
    assert_int_equal(divide(f, mul(f, f->n, mul(f, f->m, c(f, 6))), mul(f, f->m, c(f, 2))), mul(f, f->n, c(f, 3)));
    assert_int_equal(divide(f, add(f, mul(f, f->n, c(f, 4)), c(f, 7)), c(f, 4)), add(f, f->n, c(f, 1)));
    /* (6n + 2) / 4 = (3n + 1) / 2 */
    assert_int_equal(divide(f, add(f, mul(f, f->n, c(f, 6)), c(f, 2)), c(f, 4)),
                     divide(f, add(f, mul(f, f->n, c(f, 3)), c(f, 1)), c(f, 2)));
    assert_int_equal(divide(f, divide(f, f->n, c(f, 3)), c(f, 5)), divide(f, f->n, c(f, 15)));
    assert_int_equal(divide(f, add(f, f->n, f->m), add(f, f->m, f->n)), c(f, 1));
    assert_int_not_equal(divide(f, f->n, c(f, 4)), f->n);
    assert_int_equal(op(f, TN_SYM_CEIL_DIV, mul(f, f->n, c(f, 32)), c(f, 32)), f->n);
    assert_int_equal(op(f, TN_SYM_CEIL_DIV, add(f, mul(f, f->n, c(f, 32)), c(f, 1)), c(f, 32)), add(f, f->n, c(f, 1)));
}

static void remainders_forget_multiples(void **state) {
    fixture *f = *state;
    assert_int_equal(op(f, TN_SYM_MOD, mul(f, f->n, c(f, 8)), c(f, 4)), c(f, 0));
    assert_int_equal(op(f, TN_SYM_MOD, add(f, mul(f, f->n, c(f, 8)), c(f, 7)), c(f, 4)), c(f, 3));
    assert_int_equal(op(f, TN_SYM_MOD, mul(f, f->n, c(f, 5)), c(f, 4)), op(f, TN_SYM_MOD, f->n, c(f, 4)));
    assert_int_equal(op(f, TN_SYM_MOD, mul(f, f->n, f->m), f->m), c(f, 0));
}

static void extremes_are_sorted_and_folded(void **state) {
    fixture *f = *state;
    assert_int_equal(op(f, TN_SYM_MIN, f->n, f->m), op(f, TN_SYM_MIN, f->m, f->n));
    assert_int_equal(op(f, TN_SYM_MAX, f->n, f->n), f->n);
    assert_int_equal(op(f, TN_SYM_MAX, f->n, add(f, f->n, c(f, 1))), add(f, f->n, c(f, 1)));
    assert_int_equal(op(f, TN_SYM_MIN, op(f, TN_SYM_MIN, f->n, f->m), f->s), op(f, TN_SYM_MIN, f->s, op(f, TN_SYM_MIN, f->m, f->n)));
}

static void comparisons_and_selects_fold(void **state) {
    fixture *f = *state;
    assert_int_equal(op(f, TN_SYM_EQUAL, f->n, f->n), c(f, 1));
    assert_int_equal(op(f, TN_SYM_LESS, f->n, add(f, f->n, c(f, 1))), c(f, 1));
    assert_int_equal(op(f, TN_SYM_EQUAL, f->n, f->m), op(f, TN_SYM_EQUAL, f->m, f->n));
    assert_int_equal(tn_sym_select(f->symbols, c(f, 1), f->n, f->m), f->n);
    assert_int_equal(tn_sym_select(f->symbols, c(f, 0), f->n, f->m), f->m);
    assert_int_equal(tn_sym_select(f->symbols, f->k, f->n, f->n), f->n);
}

static void equality_answers_yes_no_and_unknown(void **state) {
    fixture *f = *state;
    assert_int_equal(tn_sym_equal(f->symbols, add(f, f->n, f->m), add(f, f->m, f->n)), TN_YES);
    assert_int_equal(tn_sym_equal(f->symbols, f->n, add(f, f->n, c(f, 1))), TN_NO);
    assert_int_equal(tn_sym_equal(f->symbols, f->n, add(f, mul(f, f->n, c(f, 4)), c(f, 1))), TN_NO); /* dimensions are ≥ 0 */
    assert_int_equal(tn_sym_equal(f->symbols, f->n, mul(f, f->n, c(f, 4))), TN_UNKNOWN);             /* 0 and 0 */
    assert_int_equal(tn_sym_equal(f->symbols, f->n, f->m), TN_UNKNOWN);
    assert_int_equal(tn_sym_equal(f->symbols, f->n, c(f, -1)), TN_NO);
    assert_int_equal(tn_sym_equal(f->symbols, f->k, c(f, -1)), TN_UNKNOWN);
    assert_int_equal(tn_sym_equal(f->symbols, TN_SYM_INVALID, TN_SYM_INVALID), TN_UNKNOWN);
}

static void names_alike_make_leaves_one_value(void **state) {
    fixture *f = *state;
    tn_sym before = add(f, mul(f, f->m, c(f, 3)), f->s);
    assert_int_equal(tn_sym_equal(f->symbols, f->m, f->n), TN_UNKNOWN);
    tn_sym_alias(f->symbols, f->n, f->m);
    assert_int_equal(tn_sym_equal(f->symbols, f->m, f->n), TN_YES);
    assert_int_equal(tn_sym_equal(f->symbols, before, add(f, f->s, mul(f, f->n, c(f, 3)))), TN_YES);
    assert_int_equal(tn_sym_canonical(f->symbols, before), add(f, f->s, mul(f, f->n, c(f, 3))));
    assert_int_equal(tn_sym_input_dim(f->symbols, 0, 1), f->n);
    tn_sym_alias(f->symbols, f->s, f->n);
    assert_int_equal(tn_sym_equal(f->symbols, before, mul(f, f->s, c(f, 4))), TN_YES);
}

static void invalid_symbols_are_passed_on(void **state) {
    fixture *f = *state;
    assert_int_equal(add(f, TN_SYM_INVALID, f->n), TN_SYM_INVALID);
    assert_int_equal(tn_sym_select(f->symbols, f->n, TN_SYM_INVALID, f->n), TN_SYM_INVALID);
    assert_int_equal(mul(f, c(f, INT64_MAX), c(f, 2)), TN_SYM_INVALID);
    assert_int_equal(mul(f, mul(f, f->n, c(f, INT64_MAX)), c(f, 2)), TN_SYM_INVALID);
    assert_int_equal(divide(f, c(f, 1), c(f, 0)), TN_SYM_INVALID);
    assert_false(tn_symbols_out_of_memory(f->symbols));
}

static void sums_beyond_the_normal_form_stay_right(void **state) {
    fixture *f = *state;
    tn_sym sum = c(f, 0), again = c(f, 0);
    for (uint32_t i = 0; i < 500; i++) sum = add(f, sum, tn_sym_input_dim(f->symbols, 10 + i, 0));
    for (uint32_t i = 0; i < 500; i++) again = add(f, again, tn_sym_input_dim(f->symbols, 10 + i, 0));
    assert_int_equal(sum, again);
    size_t count;
    const tn_sym_node *nodes = tn_symbols_nodes(f->symbols, &count);
    assert_true(tn_sym_nodes_are_valid(nodes, count, 600, 8));
}

static bool bound_n(void *user, const tn_sym_node *node, int64_t *out_min, int64_t *out_max) {
    (void)user;
    if (node->op != TN_SYM_INPUT_DIM) return false;
    *out_min = 1;
    *out_max = node->b == 0 ? 512 : 16;
    return true;
}

static void bounds_follow_the_leaves(void **state) {
    fixture *f = *state;
    int64_t min, max;
    assert_true(tn_sym_bounds(f->symbols, add(f, mul(f, f->n, f->m), c(f, 5)), bound_n, NULL, &min, &max));
    assert_int_equal(min, 6);
    assert_int_equal(max, 512 * 16 + 5);
    assert_true(tn_sym_bounds(f->symbols, op(f, TN_SYM_CEIL_DIV, f->n, c(f, 32)), bound_n, NULL, &min, &max));
    assert_int_equal(min, 1);
    assert_int_equal(max, 16);
    assert_true(tn_sym_bounds(f->symbols, op(f, TN_SYM_MIN, f->n, c(f, 100)), bound_n, NULL, &min, &max));
    assert_int_equal(max, 100);
    assert_false(tn_sym_bounds(f->symbols, add(f, f->n, f->k), bound_n, NULL, &min, &max));
    assert_false(tn_sym_bounds(f->symbols, f->n, NULL, NULL, &min, &max));
    assert_int_equal(min, 0);
}

static bool value_of_leaf(void *user, const tn_sym_node *node, int64_t *out_value) {
    const int64_t *values = user; /* [n, m, s, k]; negative: unknown */
    int64_t value = node->op == TN_SYM_HOST_VALUE ? values[3] : values[node->a * 2 + node->b];
    *out_value = value;
    return value >= 0;
}

static tn_status evaluate(fixture *f, const int64_t leaves[4], int64_t *values, tn_diag *diag) {
    size_t count;
    const tn_sym_node *nodes = tn_symbols_nodes(f->symbols, &count);
    assert_true(count <= 256);
    return tn_sym_evaluate(nodes, count, value_of_leaf, (void *)(uintptr_t)leaves, diag, values);
}

static void evaluation_gives_every_operator_its_value(void **state) {
    fixture *f = *state;
    const int64_t leaves[4] = {7, 3, 10, 0};
    int64_t values[256];
    struct {
        tn_sym sym;
        int64_t expected;
    } cases[] = {
        {sub(f, f->n, f->s), -3},
        {divide(f, sub(f, f->n, f->s), f->n), -1},
        {op(f, TN_SYM_CEIL_DIV, f->s, f->m), 4},
        {op(f, TN_SYM_MOD, sub(f, f->n, f->s), f->n), 4},
        {op(f, TN_SYM_MAX, f->n, f->s), 10},
        {op(f, TN_SYM_MIN, f->n, f->s), 7},
        {op(f, TN_SYM_EQUAL, f->n, f->s), 0},
        {op(f, TN_SYM_LESS, f->n, f->s), 1},
        {tn_sym_select(f->symbols, f->k, f->n, f->s), 10},
        {mul(f, add(f, f->n, c(f, 1)), f->m), 24},
    };
    assert_int_equal(evaluate(f, leaves, values, NULL), TN_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) assert_int_equal(values[cases[i].sym], cases[i].expected);
}

static void unknown_leaves_make_unknown_values(void **state) {
    fixture *f = *state;
    const int64_t leaves[4] = {7, 3, 10, -1};
    tn_sym sum = add(f, f->n, f->k), chosen = tn_sym_select(f->symbols, op(f, TN_SYM_LESS, f->n, f->s), f->n, f->k);
    int64_t values[256];
    assert_int_equal(evaluate(f, leaves, values, NULL), TN_OK);
    assert_int_equal(values[sum], TN_SYM_UNKNOWN);
    assert_int_equal(values[chosen], 7); /* the side not taken does not count */
}

static void division_by_zero_and_overflow_are_reported(void **state) {
    fixture *f = *state;
    int64_t values[256];
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    divide(f, f->n, f->m);
    assert_int_equal(evaluate(f, (const int64_t[]){7, 0, 10, 0}, values, diag), TN_INVALID_DATA);
    tn_diag_entry entry;
    tn_diag_get(diag, 0, &entry);
    assert_non_null(strstr(entry.message, "7 / 0 divides by zero"));
    mul(f, f->n, f->s);
    assert_int_equal(evaluate(f, (const int64_t[]){INT64_MAX, 1, 10, 0}, values, diag), TN_INVALID_DATA);
    tn_diag_get(diag, 1, &entry);
    assert_non_null(strstr(entry.message, "overflows"));
    tn_diag_destroy(diag);
}

static void damaged_tables_are_refused(void **state) {
    (void)state;
    const tn_sym_node one = {.op = TN_SYM_CONST, .value = 1};
    const tn_sym_node good[3] = {one, {.op = TN_SYM_INPUT_DIM, .a = 1, .b = 7}, {.op = TN_SYM_ADD, .a = 0, .b = 1}};
    assert_true(tn_sym_nodes_are_valid(good, 3, 2, 0));
    assert_false(tn_sym_nodes_are_valid(good, 3, 1, 0)); /* an input that is not there */
    assert_false(tn_sym_nodes_are_valid(good, 0, 2, 0));
    const tn_sym_node damaged[][2] = {
        {{.op = TN_SYM_CONST, .value = 2}, one},   {one, {.op = TN_NUM_SYM_OPS}},
        {one, {.op = TN_SYM_ADD, .a = 0, .b = 1}}, {one, {.op = TN_SYM_SELECT, .a = 0, .b = 0, .c = 1}},
        {one, {.op = TN_SYM_HOST_VALUE, .a = 3}},  {one, {.op = TN_SYM_INPUT_DIM, .a = 0, .b = 8}},
    };
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) assert_false(tn_sym_nodes_are_valid(damaged[i], 2, 2, 3));
}

static const char *leaf_name(void *user, const tn_sym_node *node) {
    (void)user;
    return node->op == TN_SYM_INPUT_DIM && node->a == 0 && node->b == 0 ? "num_tokens" : NULL;
}

static void expressions_print_as_people_write_them(void **state) {
    fixture *f = *state;
    tn_text text = {0};
    tn_sym_print(f->symbols, sub(f, mul(f, f->n, c(f, 3)), c(f, 1)), leaf_name, NULL, &text);
    assert_string_equal(text.data, "num_tokens * 3 - 1");
    tn_text_reset(&text);
    tn_sym_print(f->symbols, divide(f, add(f, f->n, f->s), c(f, 4)), leaf_name, NULL, &text);
    assert_string_equal(text.data, "(num_tokens + input1.0) / 4");
    tn_text_reset(&text);
    tn_sym_print(f->symbols, op(f, TN_SYM_MAX, f->n, f->k), leaf_name, NULL, &text);
    assert_string_equal(text.data, "max(num_tokens, value7.2)");
    tn_text_deinit(&text);
}

static void each_failing_allocation_gives_an_invalid_symbol(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        tn_symbols *symbols = tn_symbols_create(&fault.allocator);
        bool complete = symbols != NULL;
        if (symbols != NULL) {
            tn_sym sum = tn_sym_const(symbols, 0);
            for (uint32_t i = 0; i < 100; i++) sum = tn_sym_binary(symbols, TN_SYM_ADD, sum, tn_sym_input_dim(symbols, i, 0));
            complete = sum != TN_SYM_INVALID;
            assert_int_equal(complete, !tn_symbols_out_of_memory(symbols));
            tn_symbols_destroy(symbols);
        }
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        assert_int_equal(complete, !tn_fault_has_failed(&fault));
        if (complete) break;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(node_zero_is_the_constant_one),
        TEST(equal_sums_are_one_node),
        TEST(equal_products_are_one_node),
        TEST(division_takes_out_what_divides),
        TEST(remainders_forget_multiples),
        TEST(extremes_are_sorted_and_folded),
        TEST(comparisons_and_selects_fold),
        TEST(equality_answers_yes_no_and_unknown),
        TEST(names_alike_make_leaves_one_value),
        TEST(invalid_symbols_are_passed_on),
        TEST(sums_beyond_the_normal_form_stay_right),
        TEST(bounds_follow_the_leaves),
        TEST(evaluation_gives_every_operator_its_value),
        TEST(unknown_leaves_make_unknown_values),
        TEST(division_by_zero_and_overflow_are_reported),
        TEST(damaged_tables_are_refused),
        TEST(expressions_print_as_people_write_them),
        TEST(each_failing_allocation_gives_an_invalid_symbol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
