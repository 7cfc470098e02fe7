/* SPDX-License-Identifier: Apache-2.0
 *
 * cases_tensors.c: elementwise, reducing and moving operations in the types that backends usually have.
 */
#include <string.h>

#include "backend/conformance/conformance.h"
#include "op/gguf_blocks.h"

static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT32, TN_INT64, TN_BOOL};
#define NUM_DTYPES 6

static void make_unary(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    if (from->op == TN_OP_UNARY) tn_case_params(build)->unary.op = from->variant;
    /* Activations without parameters ignore them. */
    bool is_plain = from->op != TN_OP_ACTIVATION || tn_activation_is_plain((tn_activation_type)from->variant);
    bool has_parameters = from->op == TN_OP_ACTIVATION && (!is_plain || from->has_special_values);
    if (from->op == TN_OP_ACTIVATION) tn_case_params(build)->activation.type = from->variant;
    if (has_parameters) tn_case_params(build)->activation.alpha = 0.3, tn_case_params(build)->activation.beta = 1.4;
    if (from->op == TN_OP_CAST) tn_case_params(build)->cast.to = from->y;
    (void)tn_case_input(build, from->a, TN_DIMS(build->num_rows, from->n), true);
    tn_case_output(build, from->y, TN_DIMS(build->num_rows, from->n));
}

/* option 1: the second operand broadcasts along rows, 2: both broadcast */
static void make_binary(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    tn_case_params(build)->elementwise.op = from->variant;
    int64_t rows = from->rows, n = from->n;
    (void)tn_case_input(build, from->a, from->option == 2 ? TN_DIMS(rows, 1) : TN_DIMS(rows, n), false);
    tn_dims second = from->option != 0 ? TN_DIMS(1, n) : TN_DIMS(rows, n);
    if (tn_dtype_get_info(from->a)->is_integer)
        (void)tn_case_ints(build, from->a, second, 1, 9); /* no division by zero */
    else
        (void)tn_case_input(build, from->a, second, false);
    tn_case_output(build, from->y, TN_DIMS(rows, n));
}

static void make_select(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_SELECT);
    (void)tn_case_input(build, TN_BOOL, TN_DIMS(from->rows, from->n), false);
    (void)tn_case_input(build, from->a, TN_DIMS(from->rows, from->n), false);
    (void)tn_case_input(build, from->a, TN_DIMS(1, from->n), false);
    tn_case_output(build, from->a, TN_DIMS(from->rows, from->n));
}

static void make_reduce(tn_case_build *build) {
    const tn_case *from = build->from;
    static const int64_t dims[] = {5, 6, 7};
    (void)tn_case_begin(build, TN_OP_REDUCE);
    tn_case_params(build)->reduce = (tn_reduce_params){.op = from->variant, .axes = from->k, .keep_dims = from->option != 0};
    (void)tn_case_input(build, from->a, TN_DIMS(5, 6, 7), false);
    tn_dims y = {0, {0}};
    for (int i = 0; i < 3; i++) {
        bool is_reduced = (from->k >> i & 1) != 0;
        if (!is_reduced || from->option != 0) y.d[y.rank++] = is_reduced ? 1 : dims[i];
    }
    tn_case_output(build, from->y, y);
}

static void make_softmax(tn_case_build *build) {
    (void)tn_case_begin(build, TN_OP_SOFTMAX);
    tn_case_params(build)->softmax.axis = build->from->variant;
    (void)tn_case_input(build, build->from->a, TN_DIMS(4, 9, 21), false);
    tn_case_output(build, build->from->a, TN_DIMS(4, 9, 21));
}

static void make_move(tn_case_build *build) {
    const tn_case *from = build->from;
    tn_op_params *params;
    (void)tn_case_begin(build, from->op);
    params = tn_case_params(build);
    if (from->op == TN_OP_CONCATENATION) {
        params->concatenation.axis = from->variant;
        (void)tn_case_input(build, from->a, TN_DIMS(3, 5), false);
        (void)tn_case_input(build, from->a, from->variant == 0 ? TN_DIMS(2, 5) : TN_DIMS(3, 4), false);
        tn_case_output(build, from->a, from->variant == 0 ? TN_DIMS(5, 5) : TN_DIMS(3, 9));
        return;
    }
    (void)tn_case_input(build, from->a, TN_DIMS(3, 5, 4), false);
    if (from->op == TN_OP_IDENTITY) tn_case_output(build, from->a, TN_DIMS(3, 5, 4));
    if (from->op == TN_OP_SLICE) {
        params->slice = (tn_slice_params){.start = TN_DIMS(2, 1, 0), .size = TN_DIMS(2, 2, 4), .stride = TN_DIMS(-1, 2, 1)};
        tn_case_output(build, from->a, TN_DIMS(2, 2, 4));
    }
    if (from->op == TN_OP_SHUFFLE) {
        params->shuffle =
            (tn_shuffle_params){.first = TN_DIMS(2, 0, 1), .reshape = TN_DIMS(4, 15), .has_reshape = true, .second = TN_DIMS(1, 0)};
        tn_case_output(build, from->a, TN_DIMS(15, 4));
    }
    if (from->op == TN_OP_NON_ZERO) {
        tn_case_output(build, TN_INT64, TN_DIMS(3, 60));
        tn_case_output(build, TN_INT64, TN_SCALAR);
    }
}

static void make_gather(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_GATHER);
    tn_case_params(build)->gather = (tn_gather_params){.mode = from->variant, .axis = from->option};
    int64_t columns = tn_encoding_column_multiple(&from->encoding) > 32 ? 768 : 96;
    if (from->encoding.storage != TN_DTYPE_NONE)
        tn_case_weight(build, &from->encoding, TN_DIMS(40, columns));
    else
        (void)tn_case_input(build, from->a, TN_DIMS(6, 8), false);
    if (from->encoding.storage != TN_DTYPE_NONE) {
        (void)tn_case_ints(build, TN_INT32, TN_DIMS(9), -1, 41);
        tn_case_output(build, TN_FLOAT32, TN_DIMS(9, columns));
    } else if (from->variant == TN_GATHER_DEFAULT) {
        (void)tn_case_ints(build, from->y, TN_DIMS(3, 2), -1, 8);
        tn_case_output(build, from->a, from->option == 0 ? TN_DIMS(3, 2, 8) : TN_DIMS(6, 3, 2));
    } else if (from->variant == TN_GATHER_ELEMENT) {
        (void)tn_case_ints(build, from->y, from->option == 0 ? TN_DIMS(4, 8) : TN_DIMS(6, 5), 0, 5);
        tn_case_output(build, from->a, from->option == 0 ? TN_DIMS(4, 8) : TN_DIMS(6, 5));
    } else {
        (void)tn_case_ints(build, from->y, TN_DIMS(5, 2), 0, 5);
        tn_case_output(build, from->a, TN_DIMS(5));
    }
}

static void make_quantize(tn_case_build *build) {
    const tn_case *from = build->from;
    bool quantizes = from->op == TN_OP_QUANTIZE;
    (void)tn_case_begin(build, from->op);
    static const float scales[] = {0.01f, 0.02f, 0.03f, 0.05f};
    if (quantizes)
        tn_case_params(build)->quantize = (tn_quantize_params){.to = from->y, .axis = 1};
    else
        tn_case_params(build)->dequantize = (tn_dequantize_params){.to = from->y, .axis = 1};
    (void)tn_case_input(build, from->a, TN_DIMS(6, 4), false);
    tn_case_given(build, TN_FLOAT32, scales, from->option == 0 ? 4 : sizeof scales, from->option == 0 ? TN_SCALAR : TN_DIMS(4));
    tn_case_output(build, from->y, TN_DIMS(6, 4));
}

static void make_shape(tn_case_build *build) {
    (void)tn_case_begin(build, build->from->op);
    if (build->from->op == TN_OP_SHAPE) {
        (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(3, 7), false);
        tn_case_output(build, TN_INT64, TN_DIMS(2));
        return;
    }
    bool is_integer = tn_dtype_get_info(build->from->y)->is_integer;
    const int64_t dims[] = {3, 7}, numbers[] = {5, -2};
    const float floats[] = {0.5f, 0.125f};
    tn_case_params(build)->fill = (tn_fill_params){.dtype = build->from->y, .rank = 2};
    tn_case_given(build, TN_INT64, dims, sizeof dims, TN_DIMS(2));
    for (int i = 0; i < 2; i++) {
        if (is_integer)
            tn_case_given(build, TN_INT64, &numbers[i], 8, TN_SCALAR);
        else
            tn_case_given(build, TN_FLOAT32, &floats[i], 4, TN_SCALAR);
    }
    tn_case_output(build, build->from->y, TN_DIMS(3, 7));
}

static void add_unary(tn_case_list *list, tn_op_kind op, int variant, const char *name, tn_dtype a, tn_dtype y) {
    for (int shape = 0; shape < 2; shape++) {
        tn_case *added = tn_cases_add(list, op, make_unary, "%s %s -> %s %d", name, tn_dtype_name(a), tn_dtype_name(y), shape);
        added->variant = variant, added->a = a, added->y = y, added->rows = 7, added->n = shape == 0 ? 64 : 37, added->has_windows = true;
        added->has_special_values = shape == 1;
    }
}

static void add_elementwise(tn_case_list *list) {
    for (size_t d = 0; d < NUM_DTYPES; d++) {
        for (int op = 0; op < TN_NUM_UNARY_OPS; op++)
            add_unary(list, TN_OP_UNARY, op, tn_enum_get_info(TN_ENUM_ID_UNARY)->values[op], dtypes[d],
                      op == TN_UNARY_ISINF || op == TN_UNARY_ISNAN ? TN_BOOL : dtypes[d]);
        for (int type = 0; type < TN_NUM_ACTIVATIONS; type++)
            add_unary(list, TN_OP_ACTIVATION, type, tn_enum_get_info(TN_ENUM_ID_ACTIVATION)->values[type], dtypes[d], dtypes[d]);
        for (size_t to = 0; to < NUM_DTYPES; to++) add_unary(list, TN_OP_CAST, 0, "", dtypes[d], dtypes[to]);
        for (int op = 0; op < TN_NUM_ELEMENTWISE_OPS; op++)
            for (int option = 0; option < 3; option++) {
                tn_case *added = tn_cases_add(list, TN_OP_ELEMENTWISE, make_binary, "%s %s %d",
                                              tn_enum_get_info(TN_ENUM_ID_ELEMENTWISE)->values[op], tn_dtype_name(dtypes[d]), option);
                added->variant = op, added->option = option, added->a = dtypes[d], added->rows = 6, added->n = option == 1 ? 64 : 33;
                added->y = op == TN_ELEMENTWISE_EQUAL || op == TN_ELEMENTWISE_GREATER || op == TN_ELEMENTWISE_LESS ? TN_BOOL : dtypes[d];
            }
    }
}

static void add_axes(tn_case_list *list) {
    for (size_t d = 0; d < NUM_DTYPES; d++) {
        for (int op = 0; op < TN_NUM_REDUCE_OPS; op++)
            for (int i = 0; i < 14; i++) {
                tn_case *added =
                    tn_cases_add(list, TN_OP_REDUCE, make_reduce, "%s %s axes %d%s", tn_enum_get_info(TN_ENUM_ID_REDUCE)->values[op],
                                 tn_dtype_name(dtypes[d]), i / 2 + 1, i % 2 == 0 ? "" : " keep_dims");
                added->variant = op, added->k = i / 2 + 1, added->option = i % 2, added->a = added->y = dtypes[d];
            }
        for (int axis = 0; axis < 3; axis++) {
            tn_case *added = tn_cases_add(list, TN_OP_SOFTMAX, make_softmax, "%s axis %d", tn_dtype_name(dtypes[d]), axis);
            added->variant = axis, added->a = added->y = dtypes[d];
        }
    }
}

static void add_moves(tn_case_list *list) {
    static const tn_op_kind moves[] = {TN_OP_IDENTITY, TN_OP_SLICE,         TN_OP_SHUFFLE,
                                       TN_OP_NON_ZERO, TN_OP_CONCATENATION, TN_OP_CONCATENATION};
    for (size_t d = 0; d < NUM_DTYPES; d++) {
        for (int i = 0; i < 6; i++) {
            tn_case *added = tn_cases_add(list, moves[i], make_move, "%s %d", tn_dtype_name(dtypes[d]), i);
            added->a = added->y = dtypes[d], added->variant = i == 5;
        }
        tn_case *select = tn_cases_add(list, TN_OP_SELECT, make_select, "%s", tn_dtype_name(dtypes[d]));
        select->a = select->y = dtypes[d], select->rows = 5, select->n = 34;
        for (int mode = 0; mode < TN_NUM_GATHER_MODES; mode++)
            for (int option = 0; option < 4; option++) {
                tn_dtype index = option / 2 == 0 ? TN_INT32 : TN_INT64;
                tn_case *added = tn_cases_add(list, TN_OP_GATHER, make_gather, "%s mode %d axis %d %s", tn_dtype_name(dtypes[d]), mode,
                                              option % 2, tn_dtype_name(index));
                added->a = dtypes[d], added->y = index, added->variant = mode, added->option = option % 2;
            }
    }
    static const uint32_t floats[] = {0, 1, 30};
    for (size_t i = 0; i < 3 + tn_gguf_num_block_types(); i++) {
        char name[64];
        tn_encoding encoding;
        if (tn_encoding_from_gguf(i < 3 ? floats[i] : tn_gguf_block_type_at(i - 3)->number, &encoding) != TN_OK) continue;
        tn_cases_add(list, TN_OP_GATHER, make_gather, "rows of %s", tn_encoding_name(&encoding, name))->encoding = encoding;
    }
}

void tn_cases_add_tensors(tn_case_list *list) {
    add_elementwise(list);
    add_axes(list);
    add_moves(list);
    for (int i = 0; i < 2; i++) {
        tn_case *quantize = tn_cases_add(list, TN_OP_QUANTIZE, make_quantize, "%s", i == 0 ? "scalar" : "axis");
        quantize->a = TN_FLOAT32, quantize->y = TN_INT8, quantize->option = i;
        tn_case *dequantize = tn_cases_add(list, TN_OP_DEQUANTIZE, make_quantize, "%s", i == 0 ? "scalar" : "axis");
        dequantize->a = TN_INT8, dequantize->y = TN_FLOAT32, dequantize->option = i;
    }
    (void)tn_cases_add(list, TN_OP_SHAPE, make_shape, "3x7");
    tn_cases_add(list, TN_OP_FILL, make_shape, "float32")->y = TN_FLOAT32;
    tn_cases_add(list, TN_OP_FILL, make_shape, "int64")->y = TN_INT64;
}
