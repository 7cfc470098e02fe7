/* SPDX-License-Identifier: Apache-2.0
 *
 * cases_forms.c: layers over whole tensors in every type and form that a backend may take: small on purpose, one case a form.
 */
#include <string.h>

#include "backend/conformance/conformance.h"

static const tn_dtype floats[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16};
static const tn_dtype index_types[] = {TN_INT32, TN_INT64};
static const tn_dtype number_types[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT8, TN_UINT8, TN_INT32, TN_INT64};
static const tn_dtype whole_types[] = {
    TN_FLOAT32,         TN_FLOAT16,     TN_BFLOAT16,        TN_INT32,       TN_INT64,     TN_BOOL,      TN_INT8,
    TN_UINT8,           TN_INT16,       TN_UINT16,          TN_UINT32,      TN_UINT64,    TN_FLOAT64,   TN_FLOAT8_E4M3FN,
    TN_FLOAT8_E4M3FNUZ, TN_FLOAT8_E5M2, TN_FLOAT8_E5M2FNUZ, TN_FLOAT8_E8M0, TN_COMPLEX64, TN_COMPLEX128};
enum { NUM_WHOLE = 20, NUM_REAL = 18 };

static tn_case *add(tn_case_list *list, tn_op_kind op, tn_case_function make, tn_dtype a, tn_dtype y, int variant, int option) {
    tn_case *added = tn_cases_add(list, op, make, "form %s %s %d %d", tn_dtype_name(a), tn_dtype_name(y), variant, option);
    added->a = a, added->y = y, added->variant = variant, added->option = option;
    return added;
}

/* A weight that is stored in `dtype`, one of `floats`, and read as that. */
static void weight(tn_case_build *build, tn_dtype dtype, tn_dims dims) {
    tn_encoding plain = tn_encoding_plain(dtype);
    tn_problem_builder *builder = &build->problems[build->num_problems - 1].builder;
    tn_case_weight(build, &plain, dims);
    builder->operands[builder->problem.num_operands - 1].dtype = dtype;
}

static void absent(tn_case_build *build) {
    tn_build_absent(&build->problems[build->num_problems - 1].builder);
}

/* --- elements --------------------------------------------------------------------------------------------------------------------- */

/* option bits: which of shift, scale, power are given */
static void make_scale(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_SCALE);
    tn_case_params(build)->scale = (tn_scale_params){.mode = from->variant, .axis = 1};
    tn_dims dims = from->variant == 0 ? TN_SCALAR : from->variant == 1 ? TN_DIMS(3) : TN_DIMS(3, 5);
    (void)tn_case_input(build, from->a, TN_DIMS(2, 3, 5), false);
    for (int i = 0; from->option >> i != 0; i++) {
        if ((from->option >> i & 1) != 0)
            (void)tn_case_input(build, from->a, dims, false);
        else
            absent(build);
    }
    tn_case_output(build, from->a, TN_DIMS(2, 3, 5));
}

/* variant: shapes with an empty dimension, a scalar, several that broadcast, and lines longer than a tile */
static void make_elementwise(tn_case_build *build) {
    static const tn_dims a[] = {{2, {0, 4}}, {0, {0}}, {4, {2, 1, 3, 1}}, {2, {2, 700}}, {3, {3, 1, 300}}};
    static const tn_dims b[] = {{2, {1, 4}}, {0, {0}}, {4, {1, 4, 1, 5}}, {2, {2, 1}}, {3, {1, 2, 1}}};
    static const tn_dims y[] = {{2, {0, 4}}, {0, {0}}, {4, {2, 4, 3, 5}}, {2, {2, 700}}, {3, {3, 2, 300}}};
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_ELEMENTWISE);
    tn_case_params(build)->elementwise.op = from->option;
    (void)tn_case_input(build, from->a, a[from->variant], false);
    if (tn_dtype_get_info(from->a)->is_integer)
        (void)tn_case_ints(build, from->a, b[from->variant], 1, 9);
    else
        (void)tn_case_input(build, from->a, b[from->variant], false);
    tn_case_output(build, from->y, y[from->variant]);
}

static void make_unary(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    if (from->op == TN_OP_UNARY) tn_case_params(build)->unary.op = from->variant;
    if (from->op == TN_OP_ACTIVATION) tn_case_params(build)->activation.type = from->variant;
    if (from->op == TN_OP_CAST) tn_case_params(build)->cast.to = from->y;
    (void)tn_case_input(build, from->a, TN_DIMS(3, 11), false);
    tn_case_output(build, from->y, TN_DIMS(3, 11));
}

static void make_select(tn_case_build *build) {
    tn_dtype type = build->from->a;
    (void)tn_case_begin(build, TN_OP_SELECT);
    (void)tn_case_input(build, TN_BOOL, TN_DIMS(3, 1, 5), false);
    (void)tn_case_input(build, type, TN_DIMS(1, 4, 5), false);
    (void)tn_case_input(build, type, TN_DIMS(3, 4, 1), false);
    tn_case_output(build, type, TN_DIMS(3, 4, 5));
}

/* option: a scalar scale, one an index of axis 1, one a block; 3: with zero points */
static void make_quantize(tn_case_build *build) {
    static const float values[8] = {0.01f, 0.02f, 0.03f, 0.05f, 0.25f, 1.0f, 2.0f, 0.5f};
    const tn_case *from = build->from;
    bool quantizes = from->op == TN_OP_QUANTIZE;
    tn_dtype wide = quantizes ? from->a : from->y;
    (void)tn_case_begin(build, from->op);
    tn_dims block = from->option == 2 ? TN_DIMS(2, 3) : (tn_dims){0, {0}};
    if (quantizes)
        tn_case_params(build)->quantize = (tn_quantize_params){.to = from->y, .axis = 1, .block = block};
    else
        tn_case_params(build)->dequantize = (tn_dequantize_params){.to = from->y, .axis = 1, .block = block};
    (void)tn_case_input(build, from->a, TN_DIMS(4, 5), false);
    char scales[8 * 4];
    for (int i = 0; i < 8; i++) tn_dtype_store(wide, scales, i, (double)values[i]);
    tn_dims dims = from->option == 1 || from->option == 3 ? TN_DIMS(5) : from->option == 2 ? TN_DIMS(2, 2) : TN_SCALAR;
    int64_t count = from->option == 1 || from->option == 3 ? 5 : from->option == 2 ? 4 : 1;
    tn_case_given(build, wide, scales, (size_t)count * tn_dtype_get_info(wide)->bits / 8, dims);
    if (from->option == 3) (void)tn_case_input(build, from->a, TN_DIMS(5), false);
    tn_case_output(build, from->y, TN_DIMS(4, 5));
}

static void add_elements(tn_case_list *list) {
    static const tn_dtype more[] = {TN_FLOAT64, TN_INT8, TN_UINT8};
    static const tn_dtype stored[] = {TN_INT8, TN_INT4, TN_FLOAT8_E4M3FN, TN_FLOAT8_E5M2, TN_FLOAT4_E2M1, TN_UINT8, TN_UINT4};
    static const tn_dtype castable[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT32, TN_INT64, TN_BOOL, TN_FLOAT64, TN_INT8, TN_UINT8};
    for (int d = 0; d < 3; d++) {
        for (int op = 0; op < TN_NUM_UNARY_OPS; op++)
            (void)add(list, TN_OP_UNARY, make_unary, more[d], op == TN_UNARY_ISINF || op == TN_UNARY_ISNAN ? TN_BOOL : more[d], op, 0);
        for (int type = 0; type < 2; type++) (void)add(list, TN_OP_ACTIVATION, make_unary, more[d], more[d], type, 0);
        for (int op = 0; op < TN_NUM_ELEMENTWISE_OPS; op++) {
            bool compares = op == TN_ELEMENTWISE_EQUAL || op == TN_ELEMENTWISE_GREATER || op == TN_ELEMENTWISE_LESS;
            (void)add(list, TN_OP_ELEMENTWISE, make_elementwise, more[d], compares ? TN_BOOL : more[d], 2, op);
        }
        for (int mode = 0; mode < 3; mode++)
            for (int given = 0; given < 8; given++) (void)add(list, TN_OP_SCALE, make_scale, floats[d], floats[d], mode, given);
        for (int s = 0; s < 7; s++)
            for (int option = 0; option < 4; option++) {
                if (s < 5 && option < 3) (void)add(list, TN_OP_QUANTIZE, make_quantize, floats[d], stored[s], 0, option);
                (void)add(list, TN_OP_DEQUANTIZE, make_quantize, stored[s], floats[d], 0, option);
            }
    }
    for (int variant = 0; variant < 5; variant++)
        for (int d = 0; d < 2; d++)
            (void)add(list, TN_OP_ELEMENTWISE, make_elementwise, d == 0 ? TN_FLOAT32 : TN_INT32, d == 0 ? TN_FLOAT32 : TN_INT32, variant,
                      TN_ELEMENTWISE_SUB);
    for (int from = 0; from < 9; from++)
        for (int to = 0; to < 9; to++)
            if (from > 5 || to > 5) (void)add(list, TN_OP_CAST, make_unary, castable[from], castable[to], 0, 0);
    for (int d = 0; d < NUM_WHOLE; d++) (void)add(list, TN_OP_SELECT, make_select, whole_types[d], whole_types[d], 0, 0);
}

/* --- along axes ------------------------------------------------------------------------------------------------------------------------ */

static void make_axes(tn_case_build *build) {
    static const int64_t lengths[] = {5, 0, 40}; /* of axis 1 */
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    tn_op_params *params = tn_case_params(build);
    tn_dims dims = TN_DIMS(3, lengths[from->variant], 4);
    (void)tn_case_input(build, from->a, dims, false);
    switch (from->op) {
    case TN_OP_REDUCE:
        params->reduce = (tn_reduce_params){.op = from->option % 8, .axes = from->option / 8};
        dims = from->option / 8 == 2 ? TN_DIMS(3, 4) : TN_DIMS(dims.d[1]);
        break;
    case TN_OP_SOFTMAX: params->softmax.axis = from->option; break;
    case TN_OP_CUMULATIVE:
        params->cumulative =
            (tn_cumulative_params){.axis = 1 + from->option / 4, .exclusive = (from->option & 1) != 0, .reverse = (from->option & 2) != 0};
        break;
    default: (void)tn_case_ints(build, from->y, TN_DIMS(3, dims.d[1], 1), -1, 6); break;
    }
    tn_case_output(build, from->a, dims);
}

/* option bit 0: a bias, bit 1: groups, or (last dimension) an offset of the scale; variant: the type, and whether the last only */
static void make_normalization(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    bool is_last = from->op == TN_OP_NORMALIZATION;
    if (is_last)
        tn_case_params(build)->normalization =
            (tn_normalization_params){.type = from->variant, .epsilon = 1e-5, .scale_offset = from->option >> 1};
    else
        tn_case_params(build)->normalization_nd = (tn_normalization_nd_params){.type = from->variant % 2,
                                                                               .axes = from->variant / 2 == 1 ? 2 : 4 + 8,
                                                                               .groups = from->option >> 1 != 0 ? 2 : 1,
                                                                               .epsilon = 1e-5};
    (void)tn_case_input(build, from->a, TN_DIMS(2, 4, 3, 7), false);
    tn_dims weights = is_last ? TN_DIMS(7) : from->option >> 1 != 0 && from->variant / 2 == 2 ? TN_DIMS(1, 2, 1, 1) : TN_DIMS(1, 4, 1, 1);
    for (int i = 0; i < 1 + (from->option & 1); i++) (void)tn_case_input(build, from->a, weights, false);
    tn_case_output(build, from->a, TN_DIMS(2, 4, 3, 7));
}

static void add_axes(tn_case_list *list) {
    for (int d = 0; d < 7; d++) {
        for (int op = 0; op < TN_NUM_REDUCE_OPS; op++)
            for (int axes = 2; axes < 6; axes += 3)
                (void)add(list, TN_OP_REDUCE, make_axes, number_types[d], number_types[d], d == 0 ? 2 : 0, op + 8 * axes);
        for (int option = 0; option < 8; option++)
            (void)add(list, TN_OP_CUMULATIVE, make_axes, number_types[d], number_types[d], 0, option);
    }
    for (int op = 0; op < TN_NUM_REDUCE_OPS; op++) (void)add(list, TN_OP_REDUCE, make_axes, TN_FLOAT32, TN_FLOAT32, 1, op + 8 * 2);
    for (int axis = 0; axis < 3; axis++)
        for (int variant = 1; variant < 3; variant++) (void)add(list, TN_OP_SOFTMAX, make_axes, TN_FLOAT32, TN_FLOAT32, variant, axis);
    for (int d = 0; d < 3; d++) {
        for (int i = 0; i < 2; i++) (void)add(list, TN_OP_RAGGED_SOFTMAX, make_axes, floats[d], index_types[i], 0, 0);
        for (int option = 0; option < 4; option++) {
            for (int variant = 0; variant < 6; variant++) {
                if (option >> 1 != 0 && variant / 2 == 1) continue; /* groups are of spatial axes */
                (void)add(list, TN_OP_NORMALIZATION_ND, make_normalization, floats[d], floats[d], variant, option);
            }
            for (int type = 0; type < 2; type++)
                (void)add(list, TN_OP_NORMALIZATION, make_normalization, floats[d], floats[d], type, option);
        }
    }
}

/* --- moving and placing -------------------------------------------------------------------------------------------------------------------- */

static void make_shuffle(tn_case_build *build) {
    const tn_case *from = build->from;
    static const tn_dims reshapes[] = {{2, {6, 5}}, {3, {3, 2, 5}}, {2, {10, 3}}, {2, {6, 5}}};
    static const int64_t sizes[] = {6, 5};
    tn_shuffle_params params = {.has_reshape = true};
    (void)tn_case_begin(build, TN_OP_SHUFFLE);
    params.reshape = reshapes[from->variant];
    if (from->variant == 1) params.first = TN_DIMS(1, 0, 2), params.has_reshape = false;
    params.zero_is_zero = from->variant == 2;
    if (from->variant == 2) params.second = TN_DIMS(1, 0), params.reshape = TN_DIMS(3, 10);
    if (from->variant == 3) params.first = TN_DIMS(2, 0, 1), params.second = TN_DIMS(1, 0), params.reshape = TN_DIMS(5, 6);
    tn_case_params(build)->shuffle = params;
    (void)tn_case_input(build, from->a, TN_DIMS(2, 3, 5), false);
    if (from->option != 0 && from->y == TN_INT32)
        tn_case_given(build, TN_INT32, (const int32_t[]){6, 5}, 8, TN_DIMS(2));
    else if (from->option != 0)
        tn_case_given(build, TN_INT64, sizes, sizeof sizes, TN_DIMS(2));
    tn_case_output(build, from->a, reshapes[from->variant]);
}

static void given_indices(tn_case_build *build, int type, const int64_t values[3]) {
    const int32_t narrow[3] = {(int32_t)values[0], (int32_t)values[1], (int32_t)values[2]};
    if (type == 0)
        absent(build);
    else if (type == 1)
        tn_case_given(build, TN_INT32, narrow, sizeof narrow, TN_DIMS(3));
    else
        tn_case_given(build, TN_INT64, values, 3 * sizeof *values, TN_DIMS(3));
}

/* option: types of start, size and stride (0: absent) by thirds, then whether there is a fill value; variant: the mode */
static void make_slice(tn_case_build *build) {
    static const int64_t starts[] = {1, -1, 4}, sizes[] = {2, 5, 2}, strides[] = {1, 1, -3}, inside[] = {1, 0, 4}, few[] = {2, 3, 2};
    const tn_case *from = build->from;
    bool is_strict = from->variant == TN_SAMPLE_STRICT_BOUNDS;
    const int64_t *start = is_strict ? inside : starts, *size = is_strict ? few : sizes;
    int types[3] = {from->option % 3, from->option / 3 % 3, from->option / 9 % 3}, has_fill = from->option / 27;
    (void)tn_case_begin(build, TN_OP_SLICE);
    tn_slice_params *params = &tn_case_params(build)->slice;
    *params = (tn_slice_params){.mode = from->variant, .size = TN_DIMS(size[0], size[1], size[2])};
    params->start = TN_DIMS(start[0], start[1], start[2]);
    params->stride = TN_DIMS(strides[0], strides[1], strides[2]);
    (void)tn_case_input(build, from->a, TN_DIMS(3, 3, 5), false);
    int last = has_fill != 0 ? 3 : types[2] != 0 ? 3 : types[1] != 0 ? 2 : types[0] != 0 ? 1 : 0;
    for (int i = 0; i < last; i++) given_indices(build, types[i], i == 0 ? start : i == 1 ? size : strides);
    if (has_fill != 0) (void)tn_case_input(build, from->a, TN_SCALAR, false);
    tn_case_output(build, from->a, params->size);
}

static void make_moves(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    tn_op_params *params = tn_case_params(build);
    switch (from->op) {
    case TN_OP_CONCATENATION:
        params->concatenation.axis = from->variant;
        (void)tn_case_input(build, from->a, TN_DIMS(2, 0, 3), false);
        (void)tn_case_input(build, from->a, from->variant == 1 ? TN_DIMS(2, 4, 3) : TN_DIMS(2, 0, 5), false);
        tn_case_output(build, from->a, from->variant == 1 ? TN_DIMS(2, 4, 3) : TN_DIMS(2, 0, 8));
        return;
    case TN_OP_UNSQUEEZE: params->unsqueeze.axes = 2; break;
    case TN_OP_SQUEEZE: params->squeeze.axes = 2; break;
    default: break;
    }
    (void)tn_case_input(build, from->a, from->op == TN_OP_SQUEEZE ? TN_DIMS(3, 1, 4) : TN_DIMS(3, 4), false);
    if (from->op == TN_OP_REVERSE_SEQUENCE) {
        params->reverse_sequence = (tn_reverse_sequence_params){.batch_axis = from->variant, .sequence_axis = 1 - from->variant};
        (void)tn_case_ints(build, from->y, from->variant == 0 ? TN_DIMS(3) : TN_DIMS(4), 0, 5);
    }
    tn_case_output(build, from->a, from->op == TN_OP_UNSQUEEZE ? TN_DIMS(3, 1, 4) : TN_DIMS(3, 4));
}

/* variant: the mode; option 1: batch dimensions, 2: an empty list of indices */
static void make_gather(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_GATHER);
    tn_gather_params *params = &tn_case_params(build)->gather;
    *params = (tn_gather_params){.mode = from->variant, .axis = 1, .batch_dims = from->option == 1};
    if (from->option == 3) {
        *params = (tn_gather_params){0};
        weight(build, from->a, TN_DIMS(6, 4));
        (void)tn_case_ints(build, from->y, TN_DIMS(5), -1, 7);
        tn_case_output(build, from->a, TN_DIMS(5, 4));
        return;
    }
    (void)tn_case_input(build, from->a, TN_DIMS(2, 3, 4), false);
    if (from->variant == TN_GATHER_ELEMENT) {
        (void)tn_case_ints(build, from->y, TN_DIMS(2, 2, 3), -1, 3);
        tn_case_output(build, from->a, TN_DIMS(2, 2, 3));
    } else if (from->variant == TN_GATHER_ND) {
        (void)tn_case_ints(build, from->y, from->option == 1 ? TN_DIMS(2, 5, 1) : TN_DIMS(5, 2), 0, 2);
        tn_case_output(build, from->a, from->option == 1 ? TN_DIMS(2, 5, 4) : TN_DIMS(5, 4));
    } else {
        tn_dims indices = from->option == 1 ? TN_DIMS(2, 3) : from->option == 2 ? TN_DIMS(0) : TN_DIMS(2);
        (void)tn_case_ints(build, from->y, indices, -1, 3);
        tn_case_output(build, from->a, from->option == 1 ? TN_DIMS(2, 3, 4) : from->option == 2 ? TN_DIMS(2, 0, 4) : TN_DIMS(2, 2, 4));
    }
}

static void make_scatter(tn_case_build *build) {
    const tn_case *from = build->from;
    bool is_nd = from->variant == TN_SCATTER_ND;
    (void)tn_case_begin(build, TN_OP_SCATTER);
    tn_case_params(build)->scatter = (tn_scatter_params){.mode = from->variant, .axis = 1};
    (void)tn_case_input(build, from->a, TN_DIMS(2, 3, 4), false);
    (void)tn_case_ints(build, from->y, is_nd ? TN_DIMS(4, 2) : TN_DIMS(2, 5, 3), -1, 3);
    (void)tn_case_input(build, from->a, is_nd ? TN_DIMS(4, 4) : TN_DIMS(2, 5, 3), false);
    tn_case_output(build, from->a, TN_DIMS(2, 3, 4));
}

static void make_one_hot(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_ONE_HOT);
    tn_case_params(build)->one_hot = (tn_one_hot_params){.depth = 3, .axis = from->variant};
    (void)tn_case_ints(build, from->y, TN_DIMS(2, 4), -4, 4);
    (void)tn_case_input(build, from->a, TN_DIMS(2), false);
    tn_case_output(build, from->a, from->variant == 1 ? TN_DIMS(2, 3, 4) : TN_DIMS(2, 4, 3));
}

static void make_non_zero(tn_case_build *build) {
    const tn_case *from = build->from;
    bool is_float = tn_dtype_get_info(from->a)->is_float;
    (void)tn_case_begin(build, TN_OP_NON_ZERO);
    tn_case_params(build)->non_zero.indices = from->y;
    if (is_float)
        (void)tn_case_input(build, from->a, from->variant == 0 ? TN_DIMS(3, 5) : TN_DIMS(0, 5), false);
    else
        (void)tn_case_ints(build, from->a, from->variant == 0 ? TN_DIMS(3, 5) : TN_DIMS(0, 5), 0, 1);
    tn_case_output(build, from->y, from->variant == 0 ? TN_DIMS(2, 15) : TN_DIMS(2, 0));
    tn_case_output(build, TN_INT64, TN_SCALAR);
}

static void add_moves(tn_case_list *list) {
    for (int d = 0; d < NUM_WHOLE; d++) {
        tn_dtype t = whole_types[d];
        for (int variant = 0; variant < 4; variant++) (void)add(list, TN_OP_SHUFFLE, make_shuffle, t, t, variant, 0);
        for (int option = 0; option < 54; option++) (void)add(list, TN_OP_SLICE, make_slice, t, t, option % TN_NUM_SAMPLE_MODES, option);
        (void)add(list, TN_OP_CONCATENATION, make_moves, t, t, 1 + d % 2, 0);
        (void)add(list, TN_OP_IDENTITY, make_moves, t, t, 0, 0);
        (void)add(list, TN_OP_SQUEEZE, make_moves, t, t, 0, 0);
        (void)add(list, TN_OP_UNSQUEEZE, make_moves, t, t, 0, 0);
        for (int i = 0; i < 2; i++) {
            tn_dtype index = index_types[i];
            (void)add(list, TN_OP_SHUFFLE, make_shuffle, t, index, 0, 1);
            (void)add(list, TN_OP_REVERSE_SEQUENCE, make_moves, t, index, i, 0);
            (void)add(list, TN_OP_ONE_HOT, make_one_hot, t, index, 1 + i, 0);
            for (int mode = 0; mode < 2; mode++) (void)add(list, TN_OP_SCATTER, make_scatter, t, index, mode, 0);
            for (int mode = 0; mode < 3 && d < NUM_REAL; mode++)
                (void)add(list, TN_OP_GATHER, make_gather, t, index, mode, d < 3 && mode != TN_GATHER_ELEMENT);
        }
    }
    /* No tensor but x: what backends take that cannot read shapes on the host. */
    for (int mode = 0; mode < TN_NUM_SAMPLE_MODES; mode++) (void)add(list, TN_OP_SLICE, make_slice, TN_FLOAT32, TN_FLOAT32, mode, 0);
    (void)add(list, TN_OP_GATHER, make_gather, TN_FLOAT32, TN_INT32, TN_GATHER_DEFAULT, 2);
    for (int d = 0; d < 3; d++)
        for (int i = 0; i < 2; i++) (void)add(list, TN_OP_GATHER, make_gather, floats[d], index_types[i], 0, 3);
    static const tn_dtype testable[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT8, TN_UINT8, TN_INT32, TN_INT64, TN_BOOL, TN_FLOAT64};
    for (int d = 0; d < 9; d++)
        for (int i = 0; i < 2; i++) (void)add(list, TN_OP_NON_ZERO, make_non_zero, testable[d], index_types[i], 0, 0);
    (void)add(list, TN_OP_NON_ZERO, make_non_zero, TN_BOOL, TN_INT64, 1, 0);
}

/* --- ordering, filling, quantising ------------------------------------------------------------------------------------------------------------ */

/* option: type of k (0: absent) */
static void make_topk(tn_case_build *build) {
    const tn_case *from = build->from;
    const int64_t k = 7;
    (void)tn_case_begin(build, TN_OP_TOPK);
    tn_case_params(build)->topk = (tn_topk_params){.op = from->variant, .k = 7, .axis = 1, .indices = from->y};
    if (tn_dtype_get_info(from->a)->is_float)
        (void)tn_case_input(build, from->a, TN_DIMS(2, 20, 2), false);
    else
        (void)tn_case_ints(build, from->a, TN_DIMS(2, 20, 2), 0, 6); /* with equal ones */
    if (from->option == 1) tn_case_given(build, TN_INT32, &(int32_t){7}, 4, TN_SCALAR);
    if (from->option == 2) tn_case_given(build, TN_INT64, &k, 8, TN_SCALAR);
    tn_case_output(build, from->a, TN_DIMS(2, 7, 2));
    tn_case_output(build, from->y, TN_DIMS(2, 7, 2));
}

/* Thresholds that keep every box, so that the output is full; variant: the format, option: which thresholds are given. */
static void make_nms(tn_case_build *build) {
    const tn_case *from = build->from;
    const float overlap = 1.0f, score = -2.0f;
    const int64_t most = 6;
    bool is_free = (from->option & 1) != 0; /* else boxes of no size, which do not overlap */
    float boxes[6][4] = {{0}};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 4; j++) boxes[i][j] = is_free ? tn_case_float(build, 7, i, j) : (float)(3 * i + (j < 2 ? 0 : 1));
    (void)tn_case_begin(build, TN_OP_NMS);
    tn_case_params(build)->nms = (tn_nms_params){.format = from->variant, .indices = from->y};
    tn_case_given(build, TN_FLOAT32, boxes, sizeof boxes, TN_DIMS(1, 6, 4));
    (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(1, 6, 2), false);
    if (from->a == TN_INT32)
        tn_case_given(build, TN_INT32, &(int32_t){6}, 4, TN_SCALAR);
    else
        tn_case_given(build, TN_INT64, &most, 8, TN_SCALAR);
    if ((from->option & 1) != 0)
        tn_case_given(build, TN_FLOAT32, &overlap, 4, TN_SCALAR);
    else if (from->option != 0)
        absent(build);
    if ((from->option & 2) != 0) tn_case_given(build, TN_FLOAT32, &score, 4, TN_SCALAR);
    tn_case_output(build, from->y, TN_DIMS(12, 3));
    tn_case_output(build, TN_INT64, TN_SCALAR);
}

static void make_fill(tn_case_build *build) {
    static const int64_t dims[] = {3, 100};
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_FILL);
    tn_case_params(build)->fill = (tn_fill_params){.dtype = from->a, .rank = 2, .op = from->variant, .seed = 11};
    if (from->y == TN_INT32)
        tn_case_given(build, TN_INT32, (const int32_t[]){3, 100}, 8, TN_DIMS(2));
    else
        tn_case_given(build, TN_INT64, dims, sizeof dims, TN_DIMS(2));
    for (int i = 0; i < 2; i++) {
        double value[2];
        for (int k = 0; k < 2; k++) tn_dtype_store(from->a, value, k, 2.0 + i + k);
        tn_case_given(build, from->a, value, (size_t)(i + 1) * tn_dtype_get_info(from->a)->bits / 8,
                      i == 0 || from->variant != TN_FILL_LINSPACE ? TN_SCALAR : TN_DIMS(2));
    }
    tn_case_output(build, from->a, TN_DIMS(3, 100));
}

static void make_dynamic_quantize(tn_case_build *build) {
    static const tn_dtype scale_types[] = {TN_FLOAT32, TN_FLOAT8_E4M3FN, TN_FLOAT8_E8M0};
    const tn_case *from = build->from;
    const float whole = 0.001f;
    (void)tn_case_begin(build, TN_OP_DYNAMIC_QUANTIZE);
    tn_dtype scale_type = scale_types[from->variant];
    tn_case_params(build)->dynamic_quantize = (tn_dynamic_quantize_params){.to = from->y, .scale_type = scale_type, .block = TN_DIMS(2, 3)};
    (void)tn_case_input(build, from->a, TN_DIMS(3, 7), false);
    if (from->option != 0) tn_case_given(build, TN_FLOAT32, &whole, 4, TN_SCALAR);
    tn_case_output(build, from->y, TN_DIMS(3, 7));
    tn_case_output(build, scale_type, TN_DIMS(2, 3));
}

static void add_others(tn_case_list *list) {
    static const tn_dtype to[] = {TN_INT8, TN_FLOAT8_E4M3FN, TN_FLOAT4_E2M1};
    for (int i = 0; i < 2; i++) {
        for (int d = 0; d < 7; d++) {
            for (int k = 0; k < 3; k++) (void)add(list, TN_OP_TOPK, make_topk, number_types[d], index_types[i], k % 2, k);
            for (int op = 0; op < TN_NUM_FILL_OPS && (op == 0 || d < 3); op++)
                (void)add(list, TN_OP_FILL, make_fill, number_types[d], index_types[i], op, 0);
        }
        for (int m = 0; m < 2; m++)
            for (int given = 0; given < 4; given++) (void)add(list, TN_OP_NMS, make_nms, index_types[m], index_types[i], given % 2, given);
    }
    for (int d = 0; d < 3; d++)
        for (int t = 0; t < 3; t++)
            for (int s = 0; s < 3; s++)
                for (int whole = 0; whole < 2; whole++)
                    (void)add(list, TN_OP_DYNAMIC_QUANTIZE, make_dynamic_quantize, floats[d], to[t], s, whole);
}

/* --- windows, sampling, products ------------------------------------------------------------------------------------------------------------------ */

/* variant: the padding mode, option bit 0: a bias (pooling: averages count padding), bit 1: the kernel is a weight, bits 2…: shape */
static void make_windows(tn_case_build *build) {
    const tn_case *from = build->from;
    bool is_pool = from->op == TN_OP_POOLING, is_transposed = from->op == TN_OP_DECONVOLUTION;
    int shape = from->option >> 2;
    (void)tn_case_begin(build, from->op);
    tn_op_params *params = tn_case_params(build);
    if (is_pool) {
        static const tn_dims y[] = {{4, {1, 2, 3, 3}}, {4, {1, 2, 4, 3}}, {4, {1, 2, 4, 3}}, {4, {1, 2, 4, 3}}};
        params->pooling = (tn_pooling_params){.type = from->option % 3,
                                              .window = TN_DIMS(3, 2),
                                              .stride = TN_DIMS(2, 2),
                                              .padding_mode = from->variant,
                                              .blend = 0.25,
                                              .counts_padding = (from->option & 1) != 0};
        if (from->variant < 2) params->pooling.pre_padding = TN_DIMS(1, 0), params->pooling.post_padding = TN_DIMS(0, 1);
        (void)tn_case_input(build, from->a, TN_DIMS(1, 2, from->variant == 1 ? 8 : 7, 5), false);
        tn_dims out = y[from->variant];
        if (from->variant == 1) out.d[2] = 4;
        tn_case_output(build, from->a, out);
        return;
    }
    /* 0: 5×6 by modes; 1: one dimension; 2: three, dilated; 3: pointwise, more filters than a register tile; 4: no image; 5: deeper
     * than a block of depth, a channel a group */
    static const tn_dims x[] = {{4, {2, 4, 5, 6}}, {3, {1, 2, 9}},    {5, {1, 2, 3, 4, 5}},
                                {4, {1, 5, 7, 9}}, {4, {0, 4, 5, 6}}, {4, {1, 3, 15, 15}}};
    static const tn_dims kernels[] = {{4, {6, 2, 3, 3}},  {3, {3, 2, 4}},    {5, {3, 2, 2, 2, 2}},
                                      {4, {19, 5, 1, 1}}, {4, {6, 2, 3, 3}}, {4, {3, 1, 12, 12}}};
    static const tn_dims transposed[] = {{4, {4, 3, 3, 3}},  {3, {2, 3, 4}},    {5, {2, 3, 2, 2, 2}},
                                         {4, {5, 19, 1, 1}}, {4, {4, 3, 3, 3}}, {4, {3, 1, 12, 12}}};
    static const tn_dims y[] = {{4, {2, 6, 3, 3}},  {3, {1, 3, 6}},    {5, {1, 3, 1, 2, 3}},
                                {4, {1, 19, 7, 9}}, {4, {0, 6, 3, 3}}, {4, {1, 3, 4, 4}}};
    static const tn_dims y_transposed[] = {{4, {2, 6, 10, 12}}, {3, {1, 3, 12}},     {5, {1, 3, 5, 6, 7}},
                                           {4, {1, 19, 7, 9}},  {4, {0, 6, 10, 12}}, {4, {1, 3, 26, 26}}};
    tn_convolution_params p = {.padding_mode = from->variant, .groups = shape == 0 || shape == 4 ? 2 : shape == 5 ? 3 : 1};
    if (shape == 0 || shape == 4) p.stride = TN_DIMS(2, 2);
    if ((shape == 0 || shape == 4) && from->variant < 2)
        p.pre_padding = TN_DIMS(1, 1), p.post_padding = is_transposed ? TN_DIMS(0, 0) : TN_DIMS(1, 1);
    if (shape == 2) p.dilation = TN_DIMS(2, 2, 2);
    params->convolution = p;
    (void)tn_case_input(build, from->a, x[shape], false);
    tn_dims kernel = is_transposed ? transposed[shape] : kernels[shape];
    if ((from->option & 2) != 0)
        weight(build, from->a, kernel);
    else
        (void)tn_case_input(build, from->a, kernel, false);
    tn_dims out = is_transposed ? y_transposed[shape] : y[shape];
    if (!is_transposed && shape == 0 && from->variant == TN_PADDING_EXPLICIT_ROUND_UP) out.d[3] = 4;
    if (is_transposed && (shape == 0 || shape == 4) && from->variant < 2) out.d[2] = 10, out.d[3] = 12;
    if ((from->option & 1) != 0) (void)tn_case_input(build, from->a, TN_DIMS(out.d[1]), false);
    tn_case_output(build, from->a, out);
}

/* variant: which of the settings that others leave at their default; option: type of the sizes (0: none) */
static void make_resize(tn_case_build *build) {
    static const int64_t sizes[] = {1, 2, 7, 1};
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_RESIZE);
    tn_resize_params *p = &tn_case_params(build)->resize;
    *p = (tn_resize_params){.size = TN_DIMS(1, 2, 7, 1),
                            .mode = from->variant,
                            .selector = 1,
                            .rounding = TN_RESIZE_CEIL,
                            .cubic_coeff = -0.75,
                            .exclude_outside = true};
    (void)tn_case_input(build, from->a, TN_DIMS(1, 2, 5, 4), false);
    if (from->option == 1) tn_case_given(build, TN_INT32, (const int32_t[]){1, 2, 7, 1}, 16, TN_DIMS(4));
    if (from->option == 2) tn_case_given(build, TN_INT64, sizes, sizeof sizes, TN_DIMS(4));
    tn_case_output(build, from->a, TN_DIMS(1, 2, 7, 1));
}

static void make_grid_sample(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, TN_OP_GRID_SAMPLE);
    tn_case_params(build)->grid_sample = (tn_grid_sample_params){.mode = from->variant, .outside = TN_SAMPLE_FILL};
    (void)tn_case_input(build, from->a, TN_DIMS(1, 2, 5, 4), false);
    (void)tn_case_input(build, from->y, TN_DIMS(1, 3, 2, 2), false);
    tn_case_output(build, from->a, TN_DIMS(1, 2, 3, 2));
}

/* variant: op of a + 3 · op of b; option 1: b is a weight, 2: a sum over nothing, 3: more than one tile of everything */
static void make_product(tn_case_build *build) {
    const tn_case *from = build->from;
    int a = from->variant % 3, b = from->variant / 3;
    int64_t m = from->option == 3 ? 37 : 5, n = from->option == 3 ? 70 : 6, k = from->option == 2 ? 0 : from->option == 3 ? 150 : 7;
    (void)tn_case_begin(build, TN_OP_MATRIX_MULTIPLY);
    tn_case_params(build)->matrix_multiply = (tn_matrix_multiply_params){.op_a = a, .op_b = b};
    (void)tn_case_input(build, from->a,
                        a == TN_MATRIX_VECTOR      ? TN_DIMS(k)
                        : a == TN_MATRIX_TRANSPOSE ? TN_DIMS(k, m)
                                                   : TN_DIMS(m, k),
                        false);
    tn_dims right = b == TN_MATRIX_VECTOR ? TN_DIMS(k) : b == TN_MATRIX_TRANSPOSE ? TN_DIMS(n, k) : TN_DIMS(k, n);
    if (from->option == 1)
        weight(build, from->a, right);
    else
        (void)tn_case_input(build, from->a, right, false);
    tn_dims y = {0, {0}};
    if (a != TN_MATRIX_VECTOR) y.d[y.rank++] = m;
    if (b != TN_MATRIX_VECTOR) y.d[y.rank++] = n;
    tn_case_output(build, from->a, y);
}

static void make_einsum(tn_case_build *build) {
    static const char *const equations[] = {"ab,bc->ac", "aab,bc->c", "abc->b", "ab,ab,a->"};
    const tn_case *from = build->from;
    const char *equation = equations[from->variant];
    (void)tn_case_begin(build, TN_OP_EINSUM);
    (void)tn_label_set(&tn_case_params(build)->einsum.equation, equation, strlen(equation));
    tn_dims x[3] = {{2, {3, 4}}, {2, {4, 5}}, {1, {3}}}, y[] = {{2, {3, 5}}, {1, {5}}, {1, {3}}, {0, {0}}};
    if (from->variant == 1) x[0] = TN_DIMS(3, 3, 4);
    if (from->variant == 2) x[0] = TN_DIMS(2, 3, 4);
    if (from->variant == 3) x[1] = x[0];
    for (int i = 0; i < (from->variant == 2 ? 1 : from->variant == 3 ? 3 : 2); i++) (void)tn_case_input(build, from->a, x[i], false);
    tn_case_output(build, from->a, y[from->variant]);
}

static void add_products(tn_case_list *list) {
    static const tn_op_kind windows[] = {TN_OP_CONVOLUTION, TN_OP_DECONVOLUTION, TN_OP_POOLING};
    for (int i = 0; i < 3; i++) {
        for (int mode = 0; mode < TN_NUM_PADDING_MODES; mode++)
            for (int d = 0; d < 3; d++) (void)add(list, windows[i], make_windows, floats[d], floats[d], mode, (mode + d) % 2);
        for (int shape = 1; shape < 6 && i < 2; shape++)
            for (int d = 0; d < 2; d++) (void)add(list, windows[i], make_windows, floats[d], floats[d], 0, 4 * shape + d);
        for (int d = 0; d < 3 && i < 2; d++)
            for (int bias = 0; bias < 2; bias++) (void)add(list, windows[i], make_windows, floats[d], floats[d], 0, 2 + bias);
    }
    for (int d = 0; d < NUM_WHOLE; d++)
        for (int option = 0; option < 3; option++)
            for (int mode = 0; mode < (d < 3 ? 3 : 1); mode++)
                (void)add(list, TN_OP_RESIZE, make_resize, whole_types[d], whole_types[d], mode, option);
    for (int d = 0; d < 3; d++) {
        for (int grid = 0; grid < 3; grid++) (void)add(list, TN_OP_GRID_SAMPLE, make_grid_sample, floats[d], floats[grid], grid, 0);
        for (int variant = 0; variant < 9; variant++)
            (void)add(list, TN_OP_MATRIX_MULTIPLY, make_product, floats[d], floats[d], variant, 0);
    }
    for (int d = 0; d < 3; d++)
        for (int variant = 0; variant < 9; variant++)
            (void)add(list, TN_OP_MATRIX_MULTIPLY, make_product, floats[d], floats[d], variant, 1);
    (void)add(list, TN_OP_MATRIX_MULTIPLY, make_product, TN_FLOAT32, TN_FLOAT32, 0, 2);
    for (int variant = 0; variant < 5; variant++) (void)add(list, TN_OP_MATRIX_MULTIPLY, make_product, TN_FLOAT32, TN_FLOAT32, variant, 3);
    static const tn_dtype summable[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT32, TN_INT64};
    for (int d = 0; d < 5; d++)
        for (int variant = 0; variant < 4; variant++) (void)add(list, TN_OP_EINSUM, make_einsum, summable[d], summable[d], variant, 0);
}

void tn_cases_add_forms(tn_case_list *list) {
    add_elements(list);
    add_axes(list);
    add_moves(list);
    add_others(list);
    add_products(list);
}
