/* SPDX-License-Identifier: Apache-2.0
 *
 * shape_test.c: shape functions with constants and symbols, and what they refuse, by message.
 */
#include "network/testing.h"

static tn_tensor *x(fixture *f) { /* [n, 6, 4] */
    tn_tensor *tensor = add_input(f, "x", TN_DIMS(-1, 6, 4));
    tn_tensor_set_dim_name(tensor, 0, "n");
    return tensor;
}

static tn_tensor *typed(fixture *f, const char *name, tn_dtype dtype, tn_dims dims) {
    return tn_network_add_input(f->net, name, dtype, dims);
}

static tn_layer *shuffle(fixture *f, tn_tensor *input, tn_dims dims) {
    tn_layer *layer = tn_network_add_shuffle(f->net, input);
    tn_shuffle_set_reshape(layer, dims);
    return layer;
}

static tn_layer *add_op(fixture *f, tn_op_kind kind, tn_op_params params, tn_tensor *const *inputs, uint32_t num_inputs) {
    return tn_network_add_layer(f->net, kind, &params, inputs, num_inputs, "it");
}
#define OP(kind, params, ...)                                                   \
    add_op(f, TN_OP_##kind, (tn_op_params)params, (tn_tensor *[]){__VA_ARGS__}, \
           (uint32_t)(sizeof((tn_tensor *[]){__VA_ARGS__}) / sizeof(tn_tensor *)))
#define PARAMS(...) \
    { __VA_ARGS__ }

#define assert_refused(layer, message) \
    do {                               \
        assert_null(layer);            \
        assert_message(f, message);    \
    } while (0)

static void elementwise_layers_broadcast(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f), *row = add_input(f, "row", TN_DIMS(1, 1, 4)), *any = add_input(f, "any", TN_DIMS(-1, 6, 4));
    assert_type(add(f, a, row), "float32 [n, 6, 4]");
    assert_type(add(f, row, a), "float32 [n, 6, 4]");
    assert_type(add(f, a, any), "float32 [select(1 == n, input2.0, n), 6, 4]");
    assert_type(output(tn_network_add_elementwise(f->net, a, a, TN_ELEMENTWISE_LESS)), "bool [n, 6, 4]");
    tn_tensor *condition = typed(f, "c", TN_BOOL, TN_DIMS(1, 6, 1));
    assert_type(output(tn_network_add_select(f->net, condition, row, a)), "float32 [n, 6, 4]");
    assert_refused(tn_network_add_elementwise(f->net, a, add_input(f, "other", TN_DIMS(-1, 5, 4)), TN_ELEMENTWISE_SUM),
                   "'x' is float32 [n, 6, 4] and 'other' is float32 [input4.0, 5, 4]: ranks must be equal, and dimensions equal or 1");
    assert_refused(tn_network_add_elementwise(f->net, a, add_input(f, "flat", TN_DIMS(4)), TN_ELEMENTWISE_SUM), "ranks must be equal");
    assert_refused(tn_network_add_elementwise(f->net, a, typed(f, "half", TN_FLOAT16, TN_DIMS(-1, 6, 4)), TN_ELEMENTWISE_SUM),
                   "the types must be equal");
    assert_refused(tn_network_add_elementwise(f->net, a, a, TN_ELEMENTWISE_AND), "and needs bool, it gets float32");
    assert_refused(tn_network_add_elementwise(f->net, condition, condition, TN_ELEMENTWISE_SUM), "sum needs numbers, it gets bool");
    assert_refused(tn_network_add_elementwise(f->net, a, a, (tn_elementwise_op)99), "there is no elementwise operation 99");
    assert_refused(tn_network_add_select(f->net, a, a, a), "the condition must be bool");
}

static void unary_layers_want_their_types(void **state) {
    fixture *f = *state;
    tn_tensor *ints = typed(f, "ints", TN_INT32, TN_DIMS(3)), *flags = typed(f, "flags", TN_BOOL, TN_DIMS(3));
    assert_type(output(tn_network_add_unary(f->net, ints, TN_UNARY_NEG)), "int32 [3]");
    assert_type(output(tn_network_add_unary(f->net, flags, TN_UNARY_NOT)), "bool [3]");
    assert_type(output(tn_network_add_activation(f->net, ints, TN_ACTIVATION_RELU)), "int32 [3]");
    assert_type(output(tn_network_add_cast(f->net, flags, TN_FLOAT16)), "float16 [3]");
    assert_refused(tn_network_add_unary(f->net, ints, TN_UNARY_EXP), "its input must be of a float type, it is int32 [3]");
    assert_refused(tn_network_add_unary(f->net, flags, TN_UNARY_NEG), "neg needs numbers");
    assert_refused(tn_network_add_unary(f->net, ints, TN_UNARY_NOT), "not needs bool");
    assert_refused(tn_network_add_activation(f->net, ints, TN_ACTIVATION_SILU), "must be of a float type");
    assert_refused(tn_network_add_cast(f->net, ints, TN_Q8_32), "there is no such type to cast to");
    assert_refused(tn_network_add_cast(f->net, ints, TN_DTYPE_NONE), "there is no such type to cast to");
}

static void reductions_drop_or_keep_axes(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f);
    assert_type(output(tn_network_add_reduce(f->net, a, TN_REDUCE_SUM, 1u << 1, false)), "float32 [n, 4]");
    assert_type(output(tn_network_add_reduce(f->net, a, TN_REDUCE_MAX, 5, true)), "float32 [1, 6, 1]");
    assert_type(output(tn_network_add_softmax(f->net, a, -1)), "float32 [n, 6, 4]");
    assert_refused(tn_network_add_reduce(f->net, a, TN_REDUCE_SUM, 8, false), "axes 0x8 are none of float32 [n, 6, 4]");
    assert_refused(tn_network_add_reduce(f->net, a, TN_REDUCE_SUM, 0, false), "axes 0x0");
    assert_refused(tn_network_add_reduce(f->net, typed(f, "b", TN_BOOL, TN_DIMS(3)), TN_REDUCE_SUM, 1, false), "it needs numbers");
    assert_refused(tn_network_add_softmax(f->net, a, 3), "axis 3 is outside float32 [n, 6, 4]");
}

static void normalization_wants_vectors_of_the_last_dimension(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f), *scale = add_floats(f, TN_DIMS(4), "scale");
    assert_type(output(tn_network_add_normalization(f->net, a, scale, scale, TN_NORMALIZATION_LAYER, 1e-5)), "float32 [n, 6, 4]");
    tn_layer *fused = OP(NORMALIZATION, PARAMS(.normalization = {.type = TN_NORMALIZATION_RMS}), a, scale, NULL, a);
    assert_int_equal(fused->outputs.count, 2);
    assert_refused(tn_network_add_normalization(f->net, a, add_floats(f, TN_DIMS(5), "s"), NULL, TN_NORMALIZATION_RMS, 1e-5),
                   "dimension 0 of the scale must be 4, it is float32 [5]");
    assert_refused(tn_network_add_normalization(f->net, a, add_floats(f, TN_DIMS(1, 4), "s"), NULL, TN_NORMALIZATION_RMS, 1e-5),
                   "the scale must have 1 dimensions");
    assert_refused(tn_network_add_normalization(f->net, a, scale, NULL, TN_NORMALIZATION_RMS, -1.0), "epsilon -1 must be ≥ 0");
    assert_refused(OP(NORMALIZATION, PARAMS(.normalization = {.type = TN_NORMALIZATION_RMS}), a, scale, NULL, scale),
                   "the residual must have 3");
}

static void reshapes_infer_copy_and_count(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f);
    assert_type(output(shuffle(f, a, TN_DIMS(-1, 8))), "float32 [n * 3, 8]");
    assert_type(output(shuffle(f, a, TN_DIMS(0, -1))), "float32 [n, 24]");
    assert_type(output(shuffle(f, a, TN_DIMS(0, 3, 2, 4))), "float32 [n, 3, 2, 4]");
    assert_type(output(shuffle(f, output(shuffle(f, a, TN_DIMS(-1, 2))), TN_DIMS(-1, 6, 4))), "float32 [n, 6, 4]");
    tn_layer *transposed = tn_network_add_shuffle(f->net, a);
    tn_shuffle_set_first_transpose(transposed, TN_DIMS(2, 0, 1));
    assert_type(output(transposed), "float32 [4, n, 6]");
    tn_shuffle_set_reshape(transposed, TN_DIMS(4, -1));
    tn_shuffle_set_second_transpose(transposed, TN_DIMS(1, 0));
    assert_type(output(transposed), "float32 [n * 6, 4]");
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
    tn_tensor *fixed = add_input(f, "fixed", TN_DIMS(5, 6));
    (void)shuffle(f, fixed, TN_DIMS(4, 8));
    assert_message(f, "float32 [5, 6] cannot be reshaped: it has 30 elements, the reshape 32");
    (void)shuffle(f, fixed, TN_DIMS(-1, 7));
    assert_message(f, "30 elements are no multiple of 7");
    (void)shuffle(f, fixed, TN_DIMS(-1, -1));
    assert_message(f, "two dimensions of −1");
    (void)shuffle(f, fixed, TN_DIMS(5, 6, 0));
    assert_message(f, "dimension 2 of the reshape copies one that the input lacks");
    (void)shuffle(f, fixed, TN_DIMS(-5, 6));
    assert_message(f, "a dimension of -5");
    tn_shuffle_set_first_transpose(tn_network_add_shuffle(f->net, fixed), TN_DIMS(0, 0));
    assert_message(f, "the first transpose is no permutation of 2 axes");
    (void)shuffle(f, a, TN_DIMS(INT64_MAX, INT64_MAX, 2));
    assert_true(f->net->failed);
}

static void slices_take_sizes_and_stay_inside(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f);
    assert_type(output(tn_network_add_slice(f->net, a, TN_DIMS(0, 2, 0), TN_DIMS(-1, 3, 2), TN_DIMS(1, 1, 2))), "float32 [n, 3, 2]");
    assert_type(output(tn_network_add_slice(f->net, a, TN_DIMS(1, 0, 3), TN_DIMS(-1, 6, 4), TN_DIMS(2, 1, -1))),
                "float32 [ceil_div(n - 1, 2), 6, 4]");
    assert_refused(tn_network_add_slice(f->net, a, TN_DIMS(0, 4, 0), TN_DIMS(1, 3, 4), TN_DIMS(1, 1, 1)),
                   "axis 1: start 4, size 3, stride 1 leave the dimension of 6");
    assert_refused(tn_network_add_slice(f->net, a, TN_DIMS(0, 0, 1), TN_DIMS(1, 1, 3), TN_DIMS(1, 1, -1)), "leave the dimension of 4");
    assert_refused(tn_network_add_slice(f->net, a, TN_DIMS(0, 0, 0), TN_DIMS(1, 1, 3), TN_DIMS(1, 1, INT64_MAX)),
                   "leave the dimension of 4");
    assert_refused(tn_network_add_slice(f->net, a, TN_DIMS(0, 0), TN_DIMS(1, 1, 1), TN_DIMS(1, 1, 1)),
                   "its start has 2 elements, it needs 3");
    assert_refused(tn_network_add_slice(f->net, a, TN_DIMS(0, 0, 0), TN_DIMS(-2, 1, 1), TN_DIMS(1, 1, 1)), "its size is -2 on axis 0");
    tn_layer *dynamic = tn_network_add_slice(f->net, a, TN_DIMS(0, 0, 0), TN_DIMS(1, 1, 1), TN_DIMS(1, 1, 1));
    tn_slice_set_tensors(dynamic, NULL, typed(f, "sizes", TN_INT64, TN_DIMS(3)), NULL);
    assert_int_equal(output(dynamic)->dims[0], tn_sym_host_value(f->net->symbols, tn_layer_input(dynamic, 2)->id, 0));
}

static void concatenations_add_along_one_axis(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f), *b = add_input(f, "b", TN_DIMS(3, 6, 4));
    assert_type(output(tn_network_add_concatenation(f->net, (tn_tensor *[]){a, b, a}, 3, 0)), "float32 [n * 2 + 3, 6, 4]");
    assert_type(output(tn_network_add_concatenation(f->net, (tn_tensor *[]){a, a}, 2, -1)), "float32 [n, 6, 8]");
    assert_refused(tn_network_add_concatenation(f->net, (tn_tensor *[]){b, add_input(f, "c", TN_DIMS(3, 5, 4))}, 2, 0),
                   "'b' is float32 [3, 6, 4] and 'c' is float32 [3, 5, 4]: they may differ only along axis 0");
    assert_refused(tn_network_add_concatenation(f->net, NULL, 0, 0), "it has 0 inputs, it needs at least 1");
    assert_refused(tn_network_add_concatenation(f->net, &a, 1, 3), "axis 3 is outside");
}

static void gathers_put_indices_in_the_axis_place(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f), *rows = typed(f, "rows", TN_INT32, TN_DIMS(-1, 2)), *same = typed(f, "same", TN_INT64, TN_DIMS(3, 6, 4));
    assert_type(output(tn_network_add_gather(f->net, a, rows, TN_GATHER_DEFAULT, 1)), "float32 [n, input1.0, 2, 4]");
    assert_type(output(tn_network_add_gather(f->net, a, same, TN_GATHER_ELEMENT, 0)), "float32 [3, 6, 4]");
    assert_type(output(tn_network_add_gather(f->net, a, rows, TN_GATHER_ND, 0)), "float32 [input1.0, 4]");
    assert_refused(tn_network_add_gather(f->net, a, a, TN_GATHER_DEFAULT, 0), "the indices must be int32 or int64");
    assert_refused(tn_network_add_gather(f->net, a, rows, TN_GATHER_DEFAULT, 5), "axis 5 is outside");
    assert_refused(tn_network_add_gather(f->net, a, rows, TN_GATHER_ELEMENT, 0), "the indices must have 3 dimensions");
    assert_refused(tn_network_add_gather(f->net, a, same, TN_GATHER_ND, 0), "must be a constant from 1 to 3");
    tn_tensor *deep = typed(f, "deep", TN_INT32, TN_DIMS(1, 1, 1, 1, 1, 1, 1));
    assert_refused(tn_network_add_gather(f->net, a, deep, TN_GATHER_DEFAULT, 0), "its output has 9 dimensions, at most 8 are allowed");
}

static void matrix_products_batch_transpose_and_take_vectors(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f), *b = add_input(f, "b", TN_DIMS(1, 5, 4)), *v = add_input(f, "v", TN_DIMS(-1, 4)),
              *w = add_input(f, "w", TN_DIMS(9, 4));
    assert_type(output(tn_network_add_matrix_multiply(f->net, a, TN_MATRIX_NONE, b, TN_MATRIX_TRANSPOSE)), "float32 [n, 6, 5]");
    assert_type(output(tn_network_add_matrix_multiply(f->net, a, TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE)), "float32 [n, 6, 9]");
    tn_tensor_set_dim_name(v, 0, "n");
    assert_type(output(tn_network_add_matrix_multiply(f->net, a, TN_MATRIX_NONE, v, TN_MATRIX_VECTOR)), "float32 [n, 6]");
    assert_type(output(tn_network_add_matrix_multiply(f->net, v, TN_MATRIX_VECTOR, a, TN_MATRIX_TRANSPOSE)), "float32 [n, 6]");
    assert_refused(tn_network_add_matrix_multiply(f->net, a, TN_MATRIX_NONE, b, TN_MATRIX_NONE), "the inner dimensions 4 and 5 differ");
    assert_refused(tn_network_add_matrix_multiply(f->net, v, TN_MATRIX_NONE, a, TN_MATRIX_TRANSPOSE),
                   "equally many dimensions before the matrix");
    assert_refused(tn_network_add_matrix_multiply(f->net, add_input(f, "flat", TN_DIMS(4)), TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE),
                   "it needs at least 2 dimensions");
    assert_refused(tn_network_add_matrix_multiply(f->net, typed(f, "h", TN_FLOAT16, TN_DIMS(2, 4)), TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE),
                   "the types must be equal numbers");
    assert_refused(tn_network_add_matrix_multiply(f->net, a, (tn_matrix_op)7, w, TN_MATRIX_NONE), "there is no matrix operation 7");
}

static void epilogues_are_checked(void **state) {
    fixture *f = *state;
    tn_tensor *a = add_input(f, "a", TN_DIMS(-1, 32)), *w = add_floats(f, TN_DIMS(64, 32), "w");
    tn_tensor *inputs[3] = {a, w, add_floats(f, TN_DIMS(32), "bias")};
    tn_op_params params = {.matrix_multiply = {.op_b = TN_MATRIX_TRANSPOSE}};
#define FUSED(...)                                                                                              \
    tn_network_add_fused_layer(f->net, TN_OP_MATRIX_MULTIPLY, &params, inputs, 3, (tn_epilogue[]){__VA_ARGS__}, \
                               (uint32_t)(sizeof((tn_epilogue[]){__VA_ARGS__}) / sizeof(tn_epilogue)), "fused")
    assert_refused(FUSED({.kind = TN_EPILOGUE_BIAS, .operand = 2}),
                   "epilogue bias reads float32 [32], which does not fit an output of 64 columns");
    assert_type(output(FUSED({.kind = TN_EPILOGUE_GATED_ACTIVATION}, {.kind = TN_EPILOGUE_BIAS, .operand = 2})), "float32 [input0.0, 32]");
    assert_refused(FUSED({.kind = TN_EPILOGUE_BIAS, .operand = 1}), "which is no epilogue's input");
    assert_refused(FUSED({.kind = TN_EPILOGUE_QUANTIZE, .dtype = TN_Q15_32}, {.kind = TN_EPILOGUE_SCALE}), "must be the last one");
    assert_refused(FUSED({.kind = TN_EPILOGUE_QUANTIZE, .dtype = TN_INT8}), "to q15_32 or q8_32");
    assert_refused(FUSED({.kind = (tn_epilogue_kind)77}), "it has an unknown epilogue");
    assert_refused(FUSED({.kind = TN_EPILOGUE_SCALE}, {.kind = TN_EPILOGUE_SCALE}, {.kind = TN_EPILOGUE_SCALE}, {.kind = TN_EPILOGUE_SCALE},
                         {.kind = TN_EPILOGUE_SCALE}),
                   "it has 5 epilogues, at most 4 are allowed");
    assert_refused(tn_network_add_fused_layer(f->net, TN_OP_SOFTMAX, NULL, &a, 1, (tn_epilogue[]){{.kind = TN_EPILOGUE_SCALE}}, 1, "s"),
                   "it cannot have the epilogue scale");
    inputs[1] = add_floats(f, TN_DIMS(24, 32), "odd");
    assert_refused(FUSED({.kind = TN_EPILOGUE_GATED_ACTIVATION}), "a gated activation needs a multiple of 32 columns, not 24");
}

static void quantised_rows_go_into_products_by_weights_only(void **state) {
    fixture *f = *state;
    tn_tensor *a = add_input(f, "a", TN_DIMS(-1, 32)), *w = add_floats(f, TN_DIMS(64, 32), "w");
    tn_tensor *rows = output(OP(QUANTIZE_ROWS, PARAMS(.quantize_rows = {.to = TN_Q15_32}), a));
    assert_type(rows, "q15_32 [input0.0, 32]");
    assert_type(output(tn_network_add_matrix_multiply(f->net, rows, TN_MATRIX_NONE, w, TN_MATRIX_TRANSPOSE)), "float32 [input0.0, 64]");
    assert_refused(tn_network_add_matrix_multiply(f->net, rows, TN_MATRIX_NONE, a, TN_MATRIX_TRANSPOSE),
                   "multiply only float32 weights [n, k]");
    assert_refused(tn_network_add_activation(f->net, rows, TN_ACTIVATION_RELU), "must be of a float type, it is q15_32");
    assert_refused(tn_network_add_elementwise(f->net, rows, rows, TN_ELEMENTWISE_SUM), "which only matrix multiplications read");
    assert_refused(OP(QUANTIZE_ROWS, PARAMS(.quantize_rows = {.to = TN_INT8}), a), "it quantises to q15_32 or q8_32, not int8");
    tn_network_mark_output(f->net, rows, "rows");
    assert_message(f, "its type exists only between layers");
}

static void quantisation_wants_scales_that_fit(void **state) {
    fixture *f = *state;
    tn_tensor *a = add_input(f, "a", TN_DIMS(8, 32)), *one = add_floats(f, TN_SCALAR, "one");
    assert_type(output(tn_network_add_quantize(f->net, a, one, TN_INT8, 0)), "int8 [8, 32]");
    assert_type(output(tn_network_add_quantize(f->net, a, add_floats(f, TN_DIMS(8), "s"), TN_FLOAT8_E4M3FN, 0)), "float8_e4m3fn [8, 32]");
    assert_non_null(OP(QUANTIZE, PARAMS(.quantize = {.to = TN_INT4, .block = TN_DIMS(1, 16)}), a, add_floats(f, TN_DIMS(8, 2), "blocks")));
    assert_refused(tn_network_add_quantize(f->net, a, add_floats(f, TN_DIMS(9), "s"), TN_INT8, 0), "dimension 0 of the scale must be 8");
    assert_refused(tn_network_add_quantize(f->net, a, one, TN_INT32, 0), "it cannot quantise to int32");
    assert_refused(tn_network_add_dequantize(f->net, a, one, TN_FLOAT32, 0), "x must be quantised");
    assert_refused(OP(QUANTIZE, PARAMS(.quantize = {.to = TN_INT8, .block = TN_DIMS(16)}), a, one), "block scales need 2 dimensions");
    assert_refused(OP(QUANTIZE, PARAMS(.quantize = {.to = TN_INT8, .block = TN_DIMS(0, 1)}), a, add_floats(f, TN_DIMS(8, 2), "b")),
                   "block size 0");
}

static void fills_take_their_shape_from_the_host(void **state) {
    fixture *f = *state;
    static const int64_t dims[2] = {2, 3};
    tn_tensor *one = add_floats(f, TN_SCALAR, "one");
    assert_type(output(tn_network_add_fill(f->net, add_int64s(f, dims, 2), one, one)), "float32 [2, 3]");
    assert_type(output(tn_network_add_fill(f->net, output(tn_network_add_shape(f->net, x(f))), one, one)), "float32 [n, 6, 4]");
    assert_refused(tn_network_add_fill(f->net, one, one, one), "its dims must be an integer tensor");
    assert_refused(tn_network_add_fill(f->net, add_int64s(f, dims, 2), add_floats(f, TN_DIMS(1), "v"), one),
                   "alpha must have 0 dimensions");
}

/* --- decoders --------------------------------------------------------------------------------------------------------------- */

static void rotary_tables_and_rotations_fit_heads(void **state) {
    fixture *f = *state;
    tn_tensor *positions = typed(f, "positions", TN_INT32, TN_DIMS(-1));
    tn_tensor *table =
        output(OP(ROTARY_TABLE, PARAMS(.rotary_table = {.scale = 1.0}), positions, add_floats(f, TN_DIMS(4), "frequencies")));
    assert_type(table, "float32 [input0.0, 8]");
    tn_tensor *q = add_input(f, "q", TN_DIMS(-1, 32));
    assert_type(output(OP(ROTARY, PARAMS(.rotary = {.head_dim = 16}), q, table)), "float32 [input1.0, 32]");
    assert_refused(OP(ROTARY, PARAMS(.rotary = {.head_dim = 10}), q, table), "x must have a multiple of 10 columns");
    assert_refused(OP(ROTARY, PARAMS(.rotary = {.head_dim = 4}), q, table), "at most the head size 4");
    assert_refused(OP(ROTARY, PARAMS(.rotary = {.head_dim = 0}), q, table), "the head size is 0");
    assert_refused(OP(ROTARY, PARAMS(.rotary = {.type = 9, .head_dim = 16}), q, table), "there is no rotary type 9");
}

#define KV(layers) .num_layers = layers, .num_kv_heads = 2, .k_dim = 8, .v_dim = 4, .tokens_per_block = 16, .cache_dtype = TN_FLOAT16

static void cache_layers_fit_their_state(void **state) {
    fixture *f = *state;
    const tn_kv_geometry kv = {.num_layers = 3, .num_kv_heads = 2, .k_dim = 8, .v_dim = 4, .tokens_per_block = 16, .dtype = TN_FLOAT16};
    tn_tensor *cache = tn_network_add_kv_state(f->net, "kv.0", &kv, 0, 0), *k = add_input(f, "k", TN_DIMS(-1, 16)),
              *v = add_input(f, "v", TN_DIMS(-1, 8));
    tn_tensor *starts = typed(f, "starts", TN_INT32, TN_DIMS(-1)), *lengths = typed(f, "lengths", TN_INT32, TN_DIMS(-1));
    tn_tensor *table = typed(f, "table", TN_INT32, TN_DIMS(-1, -1)), *q = add_input(f, "q", TN_DIMS(-1, 32)),
              *qkv = add_input(f, "qkv", TN_DIMS(-1, 56));
    tn_layer *update = OP(KV_CACHE_UPDATE, PARAMS(.kv_cache_update = {.layer = 2, KV(3)}), k, v, cache, starts, lengths, table);
    assert_string_equal(output(update)->state, "kv.0");
    assert_type(output(OP(ATTENTION, PARAMS(.attention = {.num_heads = 4, KV(3)}), q, output(update), starts, lengths, table)),
                "float32 [input5.0, 16]");
    assert_int_equal(
        OP(QKV_CACHE, PARAMS(.qkv_cache = {.num_heads = 4, KV(3)}), qkv, NULL, NULL, NULL, output(update), starts, lengths, table)
            ->outputs.count,
        2);
    assert_refused(OP(KV_CACHE_UPDATE, PARAMS(.kv_cache_update = {KV(2)}), k, v, cache, starts, lengths, table),
                   "are not those of the state 'kv.0'");
    assert_refused(OP(KV_CACHE_UPDATE, PARAMS(.kv_cache_update = {KV(3)}), v, v, cache, starts, lengths, table),
                   "dimension 1 of k must be 16");
    assert_refused(OP(KV_CACHE_UPDATE, PARAMS(.kv_cache_update = {KV(3)}), k, v, k, starts, lengths, table),
                   "the cache must be a state of kind 'kv', 'k' is none");
    assert_refused(OP(ATTENTION, PARAMS(.attention = {.num_heads = 3, KV(3)}), q, cache, starts, lengths, table),
                   "3 query heads are no multiple of 2 key heads");
    assert_refused(OP(ATTENTION, PARAMS(.attention = {.num_heads = 4, .window = -1, KV(3)}), q, cache, starts, lengths, table),
                   "window -1");
    assert_refused(OP(ATTENTION, PARAMS(.attention = {.num_heads = 4, KV(3)}), q, cache, starts, lengths, starts),
                   "block_table must have 2 dimensions");
    assert_refused(OP(QKV_CACHE, PARAMS(.qkv_cache = {.num_heads = 4, KV(3)}), q, NULL, NULL, NULL, cache, starts, lengths, table),
                   "dimension 1 of qkv must be 56");
}

static void experts_are_routed_multiplied_and_combined(void **state) {
    fixture *f = *state;
    tn_tensor *logits = add_input(f, "logits", TN_DIMS(-1, 8)), *rows = add_input(f, "rows", TN_DIMS(-1, 32));
    tn_tensor_set_dim_name(logits, 0, "n");
    tn_tensor_set_dim_name(rows, 0, "n");
    tn_layer *route = OP(ROUTE, PARAMS(.route = {.top_k = 2, .scale = 1.0}), logits);
    assert_type(tn_layer_output(route, 0), "int32 [9]");
    assert_type(tn_layer_output(route, 1), "int32 [n * 2]");
    assert_type(tn_layer_output(route, 2), "float32 [n, 2]");
    tn_tensor *weight = add_floats(f, TN_DIMS(8, 16, 32), "experts"), *starts = tn_layer_output(route, 0),
              *order = tn_layer_output(route, 1);
    tn_tensor *y = output(OP(GROUPED_MATMUL, PARAMS(.grouped_matmul = {.top_k = 2}), rows, weight, starts, order));
    assert_type(y, "float32 [n * 2, 16]");
    assert_type(output(OP(COMBINE, {0}, y, order, tn_layer_output(route, 2))), "float32 [n, 16]");
    assert_refused(OP(ROUTE, PARAMS(.route = {.top_k = 9}), logits), "it cannot take the 9 largest of float32 [n, 8]");
    assert_refused(OP(ROUTE, PARAMS(.route = {.top_k = 2, .groups = 3, .top_groups = 1}), logits), "out of the 1 best of 3 groups");
    assert_refused(OP(ROUTE, PARAMS(.route = {.top_k = 3, .groups = 4, .top_groups = 1}), logits),
                   "cannot take 3 of 8 experts out of the 1");
    assert_refused(OP(GROUPED_MATMUL, PARAMS(.grouped_matmul = {.top_k = 2}), logits, weight, starts, order),
                   "the inner dimensions 8 and 32 differ");
    assert_refused(OP(GROUPED_MATMUL, PARAMS(.grouped_matmul = {0}), rows, weight, starts, order), "top_k is 0");
}

static void token_ids_and_sampling_read_the_slots(void **state) {
    fixture *f = *state;
    tn_tensor *slots = tn_network_add_slots_state(f->net, 64, 32), *ids = typed(f, "ids", TN_INT32, TN_DIMS(-1));
    tn_tensor *starts = typed(f, "starts", TN_INT32, TN_DIMS(3)), *slot = typed(f, "slot", TN_INT32, TN_DIMS(2));
    assert_type(output(OP(TOKEN_IDS, PARAMS(.token_ids = {.vocab_size = 64, .max_seq_len = 32}), ids, starts, slot, slots)),
                "int32 [input0.0]");
    assert_refused(OP(TOKEN_IDS, {0}, ids, slot, slot, slots), "dimension 0 of query_start must be 3, it is int32 [2]");
    assert_refused(OP(TOKEN_IDS, {0}, ids, starts, slot, ids), "slots must be a state of kind 'slots'");
    tn_tensor *logits = add_input(f, "logits", TN_DIMS(-1, 64)), *rows = typed(f, "rows", TN_INT32, TN_DIMS(-1));
    tn_tensor_set_dim_name(logits, 0, "num_logits");
    tn_tensor_set_dim_name(rows, 0, "num_logits");
    tn_op_params params = {.sample = {.max_log_probs = 4, .vocab_size = 64, .max_seq_len = 32}};
    tn_layer *sample = add_op(f, TN_OP_SAMPLE, params, (tn_tensor *[]){logits, rows, rows, slots}, 4);
    assert_type(tn_layer_output(sample, 0), "int32 [num_logits]");
    assert_type(tn_layer_output(sample, 1), "int32 [num_logits, 5]");
    assert_type(tn_layer_output(sample, 2), "float32 [num_logits, 5]");
    assert_string_equal(tn_layer_output(sample, 3)->state, "slots");
    assert_refused(OP(SAMPLE, PARAMS(.sample = {.vocab_size = 65}), logits, rows, rows, slots), "dimension 1 of the logits must be 65");
    assert_refused(OP(SAMPLE, PARAMS(.sample = {.max_log_probs = -1}), logits, rows, rows, slots), "max_log_probs is -1");
    assert_refused(OP(SAMPLE, PARAMS(.sample = {.vocab_size = 64}), logits, rows, rows, slots, rows), "token_mask must be uint32");
}

static void reserved_layers_are_refused_by_name(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f);
    assert_refused(add_op(f, TN_OP_PLUGIN, (tn_op_params){0}, &a, 1), "is known by its name only: add it with tn_network_add_plugin");
    assert_refused(OP(LORA_LINEAR, {0}, a, a, a, a), "adapters are not built");
    assert_refused(OP(COLLECTIVE, PARAMS(.collective = {.type = TN_COLLECTIVE_ALL_GATHER, .group = 2}), a), "needs a group of ranks");
    assert_type(output(OP(COLLECTIVE, PARAMS(.collective = {.type = TN_COLLECTIVE_ALL_REDUCE}), a)), "float32 [n, 6, 4]");
}

static void too_many_inputs_are_refused(void **state) {
    fixture *f = *state;
    tn_tensor *a = x(f);
    assert_refused(OP(IDENTITY, {0}, a, a), "it has 2 inputs, it needs 1");
    assert_refused(OP(MATRIX_MULTIPLY, {0}, a, a, a), "it has 3 inputs, it needs 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(elementwise_layers_broadcast),
        TEST(unary_layers_want_their_types),
        TEST(reductions_drop_or_keep_axes),
        TEST(normalization_wants_vectors_of_the_last_dimension),
        TEST(reshapes_infer_copy_and_count),
        TEST(slices_take_sizes_and_stay_inside),
        TEST(concatenations_add_along_one_axis),
        TEST(gathers_put_indices_in_the_axis_place),
        TEST(matrix_products_batch_transpose_and_take_vectors),
        TEST(epilogues_are_checked),
        TEST(quantised_rows_go_into_products_by_weights_only),
        TEST(quantisation_wants_scales_that_fit),
        TEST(fills_take_their_shape_from_the_host),
        TEST(rotary_tables_and_rotations_fit_heads),
        TEST(cache_layers_fit_their_state),
        TEST(experts_are_routed_multiplied_and_combined),
        TEST(token_ids_and_sampling_read_the_slots),
        TEST(reserved_layers_are_refused_by_name),
        TEST(too_many_inputs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
