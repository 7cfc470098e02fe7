/* SPDX-License-Identifier: Apache-2.0
 *
 * reflect_test.c: layers by name equal those of the adders; what is wrong is named; errors can be forgiven.
 */
#include "tenon/reflect.h"

#include "network/testing.h"

static tn_layer *add_named(fixture *f, const char *kind, tn_tensor *x, const tn_parameter *parameter) {
    return tn_network_add_layer_by_name(f->net, kind, &x, 1, parameter, parameter != NULL ? 1 : 0);
}

static void layers_by_name_have_the_parameters_given(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 3, 8, 8));
    const tn_parameter pooling[] = {
        {.name = "type", .type = TN_PARAMETER_TEXT, .text = "average"},
        {.name = "window", .type = TN_PARAMETER_DIMS, .dims = TN_DIMS(2, 2)},
        {.name = "stride", .type = TN_PARAMETER_DIMS, .dims = TN_DIMS(2, 2)},
        {.name = "blend", .type = TN_PARAMETER_INT, .integer = 1},
        {.name = "counts_padding", .type = TN_PARAMETER_INT, .integer = 1},
    };
    tn_layer *layer = tn_network_add_layer_by_name(f->net, "pooling", &x, 1, pooling, 5);
    assert_non_null(layer);
    assert_string_equal(tn_layer_kind(layer), "pooling");
    assert_int_equal(layer->params.pooling.type, TN_POOLING_AVERAGE);
    assert_true(layer->params.pooling.counts_padding);
    assert_true(layer->params.pooling.blend == 1.0);
    assert_int_equal(tn_tensor_dims(output(layer)).d[3], 4);
    layer = add_named(f, "cast", x, &(tn_parameter){.name = "to", .type = TN_PARAMETER_DTYPE, .integer = TN_FLOAT16});
    assert_int_equal(tn_tensor_dtype(output(layer)), TN_FLOAT16);
    layer = add_named(f, "einsum", x, &(tn_parameter){.name = "equation", .type = TN_PARAMETER_TEXT, .text = "abcd->abdc"});
    assert_non_null(layer);
    assert_false(tn_network_has_failed(f->net));
}

static void what_is_wrong_is_named(void **state) {
    static const struct {
        const char *kind;
        tn_parameter parameter;
        const char *message;
    } cases[] = {
        {"softmux", {.name = "axis"}, "cannot add a layer of the kind 'softmux': there is none"},
        {"constant", {.name = "dtype"}, "it has an adder of its own"},
        {"attention", {.name = "layer"}, "only passes make it"},
        {"softmax", {.name = "axes", .type = TN_PARAMETER_INT}, "its parameter 'axes' does not exist"},
        {"softmax", {.name = NULL, .type = TN_PARAMETER_INT}, "its parameter '' does not exist"},
        {"softmax", {.name = "axis", .type = TN_PARAMETER_REAL, .real = 1.0}, "its parameter 'axis' must be an integer"},
        {"softmax", {.name = "axis", .type = TN_PARAMETER_INT, .integer = 9}, "axis"},
        {"unary", {.name = "op", .type = TN_PARAMETER_TEXT, .text = "cube"}, "its parameter 'op' has no value cube"},
        {"unary", {.name = "op", .type = TN_PARAMETER_ENUM, .integer = 99}, "its parameter 'op' has no value of that number"},
        {"unary", {.name = "op", .type = TN_PARAMETER_INT, .integer = 1}, "must be one of its enum's names"},
        {"cast", {.name = "to", .type = TN_PARAMETER_TEXT, .text = "float33"}, "its parameter 'to' is no type: float33"},
        {"cast", {.name = "to", .type = TN_PARAMETER_DTYPE, .integer = -1}, "its parameter 'to' is no type"},
        {"pooling", {.name = "window", .type = TN_PARAMETER_DIMS, .dims = {.rank = 9}}, "has too many dimensions"},
        {"pooling", {.name = "window", .type = TN_PARAMETER_TEXT, .text = "2x2"}, "must be dims"},
        {"lrn", {.name = "alpha", .type = TN_PARAMETER_TEXT, .text = "1"}, "must be a number"},
        {"reduce", {.name = "keep_dims", .type = TN_PARAMETER_REAL}, "must be a bool"},
        {"einsum", {.name = "equation", .type = TN_PARAMETER_TEXT, .text = "a\"b"}, "must be UTF-8 of at most 127 bytes"},
    };
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 3));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(add_named(f, cases[i].kind, x, &cases[i].parameter));
        assert_message(f, cases[i].message);
        assert_true(tn_network_has_failed(f->net));
        assert_true(tn_network_forgive(f->net));
        assert_false(tn_network_has_failed(f->net));
    }
    assert_null(add_named(f, NULL, x, NULL));
    assert_null(tn_network_add_layer_by_name(f->net, "softmax", NULL, -1, NULL, 0));
    assert_message(f, "inputs");
    assert_int_equal(tn_network_num_layers(f->net), 0);
}

static void a_forgiven_network_goes_on(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 3)), *y = add_input(f, "y", TN_DIMS(4, 5));
    assert_null(tn_network_add_elementwise(f->net, x, y, TN_ELEMENTWISE_SUM));
    assert_true(tn_network_forgive(f->net));
    tn_layer *layer = tn_network_add_elementwise(f->net, x, x, TN_ELEMENTWISE_SUM);
    tn_network_mark_output(f->net, output(layer), "z");
    assert_int_equal(tn_network_verify(f->net, f->diag), TN_OK);
    assert_false(tn_network_has_failed(f->net));
    assert_false(tn_network_forgive(NULL));
    f->net->failed = f->net->out_of_memory = true;
    assert_false(tn_network_forgive(f->net));
    assert_true(tn_network_has_failed(f->net));
}

static void a_network_is_a_text(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 3));
    tn_network_mark_output(f->net, output(add_named(f, "softmax", x, NULL)), "y");
    char *text;
    assert_int_equal(tn_network_to_text(f->net, TN_NETWORK_DOT, f->diag, &text), TN_OK);
    assert_non_null(strstr(text, "digraph"));
    tn_free(NULL, text);
    assert_int_equal(tn_network_to_text(f->net, TN_NETWORK_TEXT, f->diag, &text), TN_OK);
    assert_non_null(strstr(text, "softmax"));
    tn_free(NULL, text);
    assert_int_equal(tn_network_to_text(f->net, (tn_network_format)7, f->diag, &text), TN_INVALID_ARGUMENT);
    assert_null(text);
    assert_int_equal(tn_network_to_text(NULL, TN_NETWORK_DOT, f->diag, &text), TN_INVALID_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(layers_by_name_have_the_parameters_given),
        TEST(what_is_wrong_is_named),
        TEST(a_forgiven_network_goes_on),
        TEST(a_network_is_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
