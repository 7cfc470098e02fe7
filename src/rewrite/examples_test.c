/* SPDX-License-Identifier: Apache-2.0
 *
 * examples_test.c: the worked examples of graph rewriting as programs: a sum becomes a difference; an attention is called again
 * with packed input; a bias moves into an attention.
 */
#include "rewrite/testing.h"

/* --- 1. Sum becomes difference: match, then rewrite ----------------------------------------------------------------------- */

static bool is_sum(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    return tn_layer_has(layer, "op", TN_ELEMENTWISE_SUM);
}

static bool make_sub(tn_rewriter *rewriter, tn_layer *layer) {
    (void)rewriter;
    tn_network_guard guard = tn_network_guard_begin(tn_layer_network(layer), layer);
    tn_tensor *a = tn_layer_input(layer, 0), *b = tn_layer_input(layer, 1);   /* 1: inputs and outputs of what goes */
    tn_tensor *c = binary(tn_layer_network(layer), a, b, TN_ELEMENTWISE_SUB); /* 2: what comes instead */
    tn_network_guard_end(&guard);
    if (tn_tensor_replace_all_uses_with(output(layer), c) != TN_OK) return false; /* 3: users read the new one */
    return tn_layer_mark_as_removed(layer) == TN_OK;                              /* 4 */
}

static void add_becomes_sub_with_the_same_inputs_and_consumers(void **state) {
    fixture *f = *state;
    tn_tensor *a = add_input(f, "a", TN_DIMS(-1, 4)), *b = add_input(f, "b", TN_DIMS(-1, 4));
    tn_tensor *sum = binary(f->net, a, b, TN_ELEMENTWISE_SUM), *y = binary(f->net, sum, sum, TN_ELEMENTWISE_PROD);
    tn_network_mark_output(f->net, y, "y");
    tn_layer *consumer = tn_tensor_parent(y);
    size_t count;
    assert_int_equal(run(f, NULL, &count,
                         REWRITER(.name = "replace_add_with_sub", KINDS("elementwise"), .match = is_sum, .rewrite = make_sub), NULL, NULL),
                     TN_OK);
    assert_int_equal(count, 1);
    assert_int_equal(count_ops(f->net, TN_ELEMENTWISE_SUM), 0);
    assert_int_equal(tn_tensor_num_users(sum), 0);
    tn_layer *sub = tn_tensor_parent(tn_layer_input(consumer, 0));
    assert_true(tn_layer_has(sub, "op", TN_ELEMENTWISE_SUB));
    assert_ptr_equal(tn_layer_input(sub, 0), a);
    assert_ptr_equal(tn_layer_input(sub, 1), b);
    assert_ptr_equal(tn_layer_input(consumer, 1), output(sub));
    assert_int_equal(tn_tensor_num_users(output(sub)), 2);
}

/* --- an attention whose layers say nothing about its arguments -------------------------------------------------------------- */

static tn_tensor *gpt_attention(tn_network *net, const tn_call_argument *arguments, uint32_t num_arguments) {
    tn_call *call = tn_call_begin(net, "gpt_attention", arguments, num_arguments);
    tn_tensor *y = call != NULL ? tn_call_input(call, "qkv") : NULL;
    if (tn_call_input(call, "qkv_bias") != NULL) y = binary(net, y, tn_call_input(call, "qkv_bias"), TN_ELEMENTWISE_SUM);
    y = output(tn_network_add_softmax(net, y, -1));
    tn_call_end(call, &y, 1);
    return y;
}

static tn_call *attention_of(const tn_layer *layer) {
    tn_call *call = tn_layer_call(layer);
    if (call == NULL || strcmp(tn_call_functional(call), "gpt_attention") != 0) return NULL;
    return tn_tensor_parent(tn_call_output(call, 0)) == layer ? call : NULL;
}

/* --- 2. Remove padding: the combined form, with args and the call ----------------------------------------------------------- */

typedef struct padding_args {
    int64_t batch_size, in_len, hidden_size;
} padding_args;

static bool remove_padding(tn_rewriter *rewriter, tn_layer *layer) {
    tn_call *call = attention_of(layer);
    if (call == NULL || tn_tensor_dims(tn_call_input(call, "qkv")).d[0] == 1) return false; /* packed already */
    const padding_args *args = tn_rewriter_args(rewriter);
    if (args == NULL) return tn_rewriter_fail(rewriter, TN_INVALID_ARGUMENT, "it needs batch_size, in_len and hidden_size");
    tn_network *net = tn_rewriter_network(rewriter);
    tn_call_argument arguments[4];
    uint32_t num_arguments = tn_call_clone_arguments(call, arguments, 4);
    tn_tensor *packed = tn_network_add_input(net, "qkv_packed", TN_FLOAT32, TN_DIMS(1, args->batch_size * args->in_len, args->hidden_size));
    for (uint32_t i = 0; i < num_arguments; i++)
        if (strcmp(arguments[i].name, "qkv") == 0) arguments[i].tensor = packed;
    tn_layer *unpacked = tn_network_add_shuffle(net, gpt_attention(net, arguments, num_arguments)); /* users want the old shape */
    tn_shuffle_set_reshape(unpacked, TN_DIMS(args->batch_size, args->in_len, args->hidden_size));
    tn_tensor *new_output = output(unpacked);
    return tn_call_replace_outputs_uses_with(call, &new_output, 1) == TN_OK && tn_layer_mark_as_removed(layer) == TN_OK;
}

static void attention_is_called_again_with_packed_input(void **state) {
    fixture *f = *state;
    tn_tensor *qkv = add_input(f, "qkv", TN_DIMS(4, 8, 16));
    tn_tensor *y = gpt_attention(f->net, (tn_call_argument[]){{.name = "qkv", .tensor = qkv}, {.name = "num_heads", .number = 4}}, 2);
    tn_network_mark_output(f->net, y, "y");
    tn_layer *old = tn_tensor_parent(y);
    const tn_pattern_rewriter *pattern =
        REWRITER(.name = "gpt_attention_plugin_remove_padding", KINDS("softmax"), .match_and_rewrite = remove_padding);
    size_t count;
    tn_text before = picture(f->net);
    assert_int_equal(run(f, NULL, &count, pattern, NULL, NULL), TN_INVALID_ARGUMENT);
    assert_message(f, "pattern 'gpt_attention_plugin_remove_padding' failed at layer");
    assert_message(f, "it needs batch_size");
    assert_unchanged(f->net, before);
    padding_args args = {4, 8, 16};
    assert_int_equal(run(f, &args, &count, pattern, NULL, NULL), TN_OK);
    assert_int_equal(count, 1);
    assert_true(tn_layer_is_removed(old));
    tn_tensor *new_output = tn_network_output(f->net, 0);
    assert_string_equal(tn_tensor_name(new_output), "y");
    assert_dims(new_output, TN_DIMS(4, 8, 16));
    tn_call *call = tn_layer_call(tn_tensor_parent(tn_layer_input(tn_tensor_parent(new_output), 0)));
    assert_string_equal(tn_call_functional(call), "gpt_attention");
    assert_string_equal(tn_tensor_name(tn_call_input(call, "qkv")), "qkv_packed");
    assert_true(tn_call_find_argument(call, "num_heads")->number == 4);
    assert_int_equal(tn_network_verify(f->net, NULL), TN_OK);
}

/* --- 3. A bias moves into the attention ------------------------------------------------------------------------------------- */

static bool is_constant(const tn_tensor *tensor) {
    return strcmp(tn_layer_kind(tn_tensor_parent(tensor)), "constant") == 0;
}

static bool fuse_bias(tn_rewriter *rewriter, tn_layer *layer) {
    tn_call *call = attention_of(layer);
    if (call == NULL || tn_call_find_argument(call, "qkv_bias") != NULL) return false;
    tn_tensor *qkv = tn_call_input(call, "qkv");
    tn_layer *sum = tn_tensor_parent(qkv);
    if (tn_tensor_num_users(qkv) != 1 || strcmp(tn_layer_kind(sum), "elementwise") != 0 || !tn_layer_has(sum, "op", TN_ELEMENTWISE_SUM))
        return false;
    tn_tensor *a = tn_layer_input(sum, 0), *b = tn_layer_input(sum, 1);
    if (is_constant(a) == is_constant(b)) return false;
    tn_call_argument arguments[5];
    uint32_t count = tn_call_clone_arguments(call, arguments, 4);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(arguments[i].name, "qkv") == 0) arguments[i].tensor = is_constant(a) ? b : a;
    arguments[count] = (tn_call_argument){.name = "qkv_bias", .tensor = is_constant(a) ? a : b};
    tn_tensor *new_output = gpt_attention(tn_rewriter_network(rewriter), arguments, count + 1);
    return tn_call_replace_outputs_uses_with(call, &new_output, 1) == TN_OK;
}

static void bias_before_an_attention_becomes_its_argument(void **state) {
    fixture *f = *state;
    tn_tensor *x = add_input(f, "x", TN_DIMS(2, 16)), *bias = add_floats(f, TN_DIMS(1, 16), "bias");
    tn_tensor *qkv = binary(f->net, bias, x, TN_ELEMENTWISE_SUM);
    tn_tensor *y = gpt_attention(f->net, (tn_call_argument[]){{.name = "qkv", .tensor = qkv}, {.name = "num_heads", .number = 4}}, 2);
    tn_network_mark_output(f->net, y, "y");
    size_t count;
    const tn_pattern_rewriter *pattern = REWRITER(.name = "fuse_attention_with_bias", .match_and_rewrite = fuse_bias);
    assert_int_equal(run(f, NULL, &count, pattern, NULL, NULL), TN_OK);
    assert_int_equal(count, 1);
    tn_call *call = tn_layer_call(tn_tensor_parent(tn_network_output(f->net, 0)));
    assert_ptr_equal(tn_call_input(call, "qkv"), x);
    assert_ptr_equal(tn_call_input(call, "qkv_bias"), bias);
    assert_null(tn_tensor_parent(qkv)); /* the old sum is gone */
    assert_int_equal(run(f, NULL, &count, pattern, NULL, NULL), TN_OK);
    assert_int_equal(count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(add_becomes_sub_with_the_same_inputs_and_consumers),
        TEST(attention_is_called_again_with_packed_input),
        TEST(bias_before_an_attention_becomes_its_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
