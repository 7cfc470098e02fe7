/* SPDX-License-Identifier: Apache-2.0
 *
 * cases_layers.c: layers of images, of ordering and of placing.
 */
#include "backend/conformance/conformance.h"

static const tn_dtype floats[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16};

static void make_windows(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    tn_op_params *params = tn_case_params(build);
    (void)tn_case_input(build, from->a, TN_DIMS(2, 4, 7, 6), false);
    if (from->op == TN_OP_POOLING) {
        params->pooling = (tn_pooling_params){.type = from->variant, .window = TN_DIMS(3, 2), .stride = TN_DIMS(2, 2), .blend = 0.25};
        tn_case_output(build, from->a, TN_DIMS(2, 4, 3, 3));
        return;
    }
    bool is_transposed = from->op == TN_OP_DECONVOLUTION;
    params->convolution = (tn_convolution_params){.stride = TN_DIMS(2, 1), .pre_padding = TN_DIMS(1, 0), .groups = 2};
    (void)tn_case_input(build, from->a, is_transposed ? TN_DIMS(4, 3, 3, 2) : TN_DIMS(6, 2, 3, 2), false);
    if (from->option != 0) (void)tn_case_input(build, from->a, TN_DIMS(6), false);
    tn_case_output(build, from->a, is_transposed ? TN_DIMS(2, 6, 14, 7) : TN_DIMS(2, 6, 3, 5));
}

static void make_sampling(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    tn_op_params *params = tn_case_params(build);
    (void)tn_case_input(build, from->a, TN_DIMS(1, 2, 5, 4), false);
    if (from->op == TN_OP_RESIZE) {
        params->resize = (tn_resize_params){
            .size = TN_DIMS(1, 2, 7, 3), .mode = from->variant, .transform = from->option, .rounding = from->option, .cubic_coeff = -0.75};
    } else {
        params->grid_sample =
            (tn_grid_sample_params){.mode = from->variant, .align_corners = from->option == 1, .outside = TN_SAMPLE_CLAMP + from->option};
        (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(1, 7, 3, 2), false);
    }
    tn_case_output(build, from->a, TN_DIMS(1, 2, 7, 3));
}

static void make_parameters(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    tn_op_params *params = tn_case_params(build);
    (void)tn_case_input(build, from->a, TN_DIMS(2, 6, 5), false);
    switch (from->op) {
    case TN_OP_PARAMETRIC_RELU: (void)tn_case_input(build, from->a, TN_DIMS(1, 6, 1), false); break;
    case TN_OP_SCALE:
        params->scale = (tn_scale_params){.mode = from->variant, .axis = 1};
        for (int i = 0; i < 2; i++)
            (void)tn_case_input(build, from->a, from->variant == 0 ? TN_SCALAR : from->variant == 1 ? TN_DIMS(6) : TN_DIMS(6, 5), false);
        break;
    case TN_OP_NORMALIZATION_ND:
        params->normalization_nd =
            (tn_normalization_nd_params){.type = from->variant, .axes = 4, .groups = from->option != 0 ? 3 : 1, .epsilon = 1e-5};
        for (int i = 0; i < 2; i++) (void)tn_case_input(build, from->a, TN_DIMS(1, 6, 1), false);
        break;
    default: params->lrn = (tn_lrn_params){.window = 3, .alpha = 0.5, .beta = 0.75, .k = 1.5}; break;
    }
    tn_case_output(build, from->a, TN_DIMS(2, 6, 5));
}

static void make_ordering(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    tn_op_params *params = tn_case_params(build);
    if (from->op == TN_OP_ONE_HOT) {
        params->one_hot = (tn_one_hot_params){.depth = 4, .axis = from->option};
        (void)tn_case_ints(build, TN_INT32, TN_DIMS(2, 3), -5, 5);
        (void)tn_case_input(build, from->a, TN_DIMS(2), false);
        tn_case_output(build, from->a, from->option == 0 ? TN_DIMS(4, 2, 3) : TN_DIMS(2, 4, 3));
        return;
    }
    (void)tn_case_input(build, from->a, TN_DIMS(3, 4, 5), false);
    switch (from->op) {
    case TN_OP_TOPK:
        params->topk = (tn_topk_params){.op = from->variant, .k = 2, .axis = 1, .indices = from->y};
        tn_case_output(build, from->a, TN_DIMS(3, 2, 5));
        tn_case_output(build, from->y, TN_DIMS(3, 2, 5));
        return;
    case TN_OP_CUMULATIVE:
        params->cumulative = (tn_cumulative_params){.axis = 1, .exclusive = (from->option & 1) != 0, .reverse = (from->option & 2) != 0};
        break;
    case TN_OP_RAGGED_SOFTMAX: (void)tn_case_ints(build, TN_INT32, TN_DIMS(3, 4, 1), 0, 6); break;
    case TN_OP_REVERSE_SEQUENCE:
        params->reverse_sequence = (tn_reverse_sequence_params){.sequence_axis = 1};
        (void)tn_case_ints(build, TN_INT32, TN_DIMS(3), 0, 5);
        break;
    case TN_OP_SCATTER:
        params->scatter = (tn_scatter_params){.mode = from->variant, .axis = 1};
        (void)tn_case_ints(build, TN_INT32, from->variant == TN_SCATTER_ND ? TN_DIMS(2, 2) : TN_DIMS(3, 2, 5), 0, 4);
        (void)tn_case_input(build, from->a, from->variant == TN_SCATTER_ND ? TN_DIMS(2, 5) : TN_DIMS(3, 2, 5), false);
        break;
    default: break; /* SQUEEZE, UNSQUEEZE */
    }
    tn_case_output(build, from->a, from->op == TN_OP_UNSQUEEZE ? TN_DIMS(3, 1, 4, 5) : TN_DIMS(3, 4, 5));
    if (from->op == TN_OP_UNSQUEEZE) params->unsqueeze.axes = 2;
}

static void make_others(tn_case_build *build) {
    const tn_case *from = build->from;
    (void)tn_case_begin(build, from->op);
    tn_op_params *params = tn_case_params(build);
    const int64_t most = 3;
    switch (from->op) {
    case TN_OP_EINSUM:
        (void)tn_label_set(&params->einsum.equation, "ab,cb->ca", 9);
        (void)tn_case_input(build, from->a, TN_DIMS(3, 5), false);
        (void)tn_case_input(build, from->a, TN_DIMS(4, 5), false);
        tn_case_output(build, from->a, TN_DIMS(4, 3));
        break;
    case TN_OP_DYNAMIC_QUANTIZE:
        params->dynamic_quantize = (tn_dynamic_quantize_params){.to = from->y, .scale_type = TN_FLOAT32, .block = TN_DIMS(1, 4)};
        (void)tn_case_input(build, from->a, TN_DIMS(3, 10), false);
        tn_case_output(build, from->y, TN_DIMS(3, 10));
        tn_case_output(build, TN_FLOAT32, TN_DIMS(3, 3));
        break;
    case TN_OP_ASSERTION:
        tn_case_given(build, TN_BOOL, (const uint8_t[]){1, 1}, 2, TN_DIMS(2));
        tn_case_output(build, TN_BOOL, TN_DIMS(2));
        break;
    default: /* NMS; every box is kept at a class each, so that the output is full */
        params->nms = (tn_nms_params){.indices = TN_INT32};
        (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(1, 1, 4), false);
        (void)tn_case_input(build, TN_FLOAT32, TN_DIMS(1, 1, 5), false);
        tn_case_given(build, TN_INT64, &most, sizeof most, TN_SCALAR);
        tn_case_output(build, TN_INT32, TN_DIMS(5, 3));
        tn_case_output(build, TN_INT64, TN_SCALAR);
        break;
    }
}

void tn_cases_add_layers(tn_case_list *list) {
    static const tn_op_kind with_variants[] = {TN_OP_CONVOLUTION,      TN_OP_DECONVOLUTION,   TN_OP_POOLING,
                                               TN_OP_RESIZE,           TN_OP_GRID_SAMPLE,     TN_OP_SCALE,
                                               TN_OP_NORMALIZATION_ND, TN_OP_PARAMETRIC_RELU, TN_OP_LRN};
    static const tn_op_kind ordering[] = {TN_OP_TOPK,    TN_OP_CUMULATIVE, TN_OP_RAGGED_SOFTMAX, TN_OP_REVERSE_SEQUENCE,
                                          TN_OP_SCATTER, TN_OP_ONE_HOT,    TN_OP_SQUEEZE,        TN_OP_UNSQUEEZE};
    for (int d = 0; d < 3; d++) {
        for (int i = 0; i < 9; i++)
            for (int variant = 0; variant < (with_variants[i] == TN_OP_NORMALIZATION_ND ? 2 : 3); variant++)
                for (int option = 0; option < 3; option++) {
                    tn_case_function make = i < 3 ? make_windows : i < 5 ? make_sampling : make_parameters;
                    tn_case *added = tn_cases_add(list, with_variants[i], make, "%s %d %d", tn_dtype_name(floats[d]), variant, option);
                    added->a = added->y = floats[d], added->variant = variant, added->option = option;
                }
        for (int i = 0; i < 8; i++)
            for (int option = 0; option < 2; option++) {
                tn_case *added = tn_cases_add(list, ordering[i], make_ordering, "%s %d", tn_dtype_name(floats[d]), option);
                added->a = floats[d], added->y = option == 0 ? TN_INT32 : TN_INT64, added->variant = added->option = option;
            }
        tn_cases_add(list, TN_OP_EINSUM, make_others, "%s", tn_dtype_name(floats[d]))->a = floats[d];
    }
    tn_cases_add(list, TN_OP_DYNAMIC_QUANTIZE, make_others, "int8")->y = TN_INT8;
    tn_cases_add(list, TN_OP_DYNAMIC_QUANTIZE, make_others, "float8")->y = TN_FLOAT8_E4M3FN;
    (void)tn_cases_add(list, TN_OP_ASSERTION, make_others, "holds");
    (void)tn_cases_add(list, TN_OP_NMS, make_others, "one box a class");
}
