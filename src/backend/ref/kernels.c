/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.c: the table of reference kernels with the types each takes, and the entry points over it.
 */
#include <stdarg.h>
#include <stdio.h>

#include "backend/ref/ref.h"
#include "base/memory.h"

#define FLOATS   TN_REF_FLOAT
#define INTEGERS TN_REF_INTEGER
#define BOOLS    TN_REF_BOOL
#define STATE    TN_REF_ANY
#define REALS    (TN_REF_ELEMENT | TN_REF_UINT64)
#define WEIGHTS  (TN_REF_FLOAT | TN_REF_ENCODED)

bool tn_ref_refuse(char *reason, size_t reason_size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (reason_size > 0) (void)vsnprintf(reason, reason_size, format, arguments);
    va_end(arguments);
    return false;
}

static uint8_t class_of(tn_dtype dtype) {
    const tn_dtype_info *info = tn_dtype_get_info(dtype);
    switch (dtype) {
    case TN_BOOL: return TN_REF_BOOL;
    case TN_UINT64: return TN_REF_UINT64;
    case TN_COMPLEX64:
    case TN_COMPLEX128: return TN_REF_COMPLEX;
    case TN_Q15_32:
    case TN_Q8_32: return TN_REF_QUANTIZED;
    default: return info->is_float ? TN_REF_FLOAT : info->is_integer ? TN_REF_INTEGER : 0;
    }
}

static bool check_unary(const tn_problem *problem, char *reason, size_t reason_size) {
    tn_unary_op op = (tn_unary_op)((const tn_unary_params *)problem->params)->op;
    tn_dtype dtype = problem->operands[0].dtype;
    const char *name = tn_enum_get_info(TN_ENUM_ID_UNARY)->values[op], *type = tn_dtype_get_info(dtype)->name;
    bool of_integers = op == TN_UNARY_ABS || op == TN_UNARY_NEG || op == TN_UNARY_FLOOR || op == TN_UNARY_CEIL || op == TN_UNARY_ROUND;
    bool classifies = op == TN_UNARY_ISINF || op == TN_UNARY_ISNAN;
    of_integers = of_integers || op == TN_UNARY_SIGN;
    if (problem->operands[problem->num_inputs].dtype != (classifies ? TN_BOOL : dtype))
        return tn_ref_refuse(reason, reason_size, "the result of %s has another type", name);
    if ((dtype == TN_BOOL) != (op == TN_UNARY_NOT)) return tn_ref_refuse(reason, reason_size, "no %s of %s", name, type);
    if (tn_dtype_get_info(dtype)->is_integer && !of_integers) return tn_ref_refuse(reason, reason_size, "no %s of %s", name, type);
    return true;
}

static bool check_elementwise(const tn_problem *problem, char *reason, size_t reason_size) {
    tn_elementwise_op op = (tn_elementwise_op)((const tn_elementwise_params *)problem->params)->op;
    const tn_operand *operands = problem->operands;
    tn_dtype dtype = operands[0].dtype;
    const char *name = tn_enum_get_info(TN_ENUM_ID_ELEMENTWISE)->values[op], *type = tn_dtype_get_info(dtype)->name;
    bool logical = op == TN_ELEMENTWISE_AND || op == TN_ELEMENTWISE_OR || op == TN_ELEMENTWISE_XOR;
    bool compares = op == TN_ELEMENTWISE_EQUAL || op == TN_ELEMENTWISE_GREATER || op == TN_ELEMENTWISE_LESS;
    if (operands[1].dtype != dtype) return tn_ref_refuse(reason, reason_size, "%s of two types", name);
    if (operands[2].dtype != (compares ? TN_BOOL : dtype))
        return tn_ref_refuse(reason, reason_size, "the result of %s has another type", name);
    if (logical != (dtype == TN_BOOL) && !(dtype == TN_BOOL && op == TN_ELEMENTWISE_EQUAL))
        return tn_ref_refuse(reason, reason_size, "no %s of %s", name, type);
    return true;
}

static bool check_same_type(const tn_problem *problem, char *reason, size_t reason_size) {
    const tn_operand *output = &problem->operands[problem->num_inputs];
    bool selects = problem->op == TN_OP_SELECT;
    for (uint32_t i = selects; i < problem->num_inputs; i++) {
        if (problem->op == TN_OP_SHUFFLE && i == 1) continue;
        if (problem->op == TN_OP_SLICE && i > 0 && i < 4) continue;
        if (problem->operands[i].absent) continue;
        if ((problem->op == TN_OP_TOPK || problem->op == TN_OP_RESIZE || problem->op == TN_OP_SCATTER ||
             problem->op == TN_OP_RAGGED_SOFTMAX || problem->op == TN_OP_REVERSE_SEQUENCE || problem->op == TN_OP_GRID_SAMPLE) &&
            i == 1)
            continue;
        if (problem->operands[i].dtype != output->dtype) return tn_ref_refuse(reason, reason_size, "input and output types differ");
    }
    return true;
}

static bool check_gather(const tn_problem *problem, char *reason, size_t reason_size) {
    const tn_gather_params *params = problem->params;
    const tn_operand *data = &problem->operands[0];
    bool is_encoded = data->role == TN_ROLE_WEIGHT && data->encoding.kind != TN_ENCODING_PLAIN;
    if (is_encoded && (params->mode != TN_GATHER_DEFAULT || params->axis != 0))
        return tn_ref_refuse(reason, reason_size, "an encoded weight is gathered by rows only");
    if (!is_encoded && data->role != TN_ROLE_WEIGHT && data->dtype != problem->operands[2].dtype)
        return tn_ref_refuse(reason, reason_size, "input and output types differ");
    return true;
}

static bool check_activation(const tn_problem *problem, char *reason, size_t reason_size) {
    int type = ((const tn_activation_params *)problem->params)->type;
    bool is_integer = tn_ref_is_integer(problem->operands[0].dtype);
    if (is_integer && (type > TN_ACTIVATION_RELU || problem->operands[0].dtype != problem->operands[problem->num_inputs].dtype))
        return tn_ref_refuse(reason, reason_size, "only relu of integers, in their own type");
    return true;
}

static bool check_random(const tn_problem *problem, char *reason, size_t reason_size) {
    bool is_integer = tn_ref_is_integer(problem->operands[problem->num_inputs].dtype);
    if (((const tn_fill_params *)problem->params)->op != TN_FILL_LINSPACE && is_integer)
        return tn_ref_refuse(reason, reason_size, "random numbers of float types only");
    return true;
}

static bool check_one_hot(const tn_problem *problem, char *reason, size_t reason_size) {
    if (problem->operands[1].dtype != problem->operands[2].dtype)
        return tn_ref_refuse(reason, reason_size, "values and output types differ");
    return true;
}

static bool check_resize(const tn_problem *problem, char *reason, size_t reason_size) {
    bool is_nearest = ((const tn_resize_params *)problem->params)->mode == TN_INTERPOLATION_NEAREST;
    if (!is_nearest && class_of(problem->operands[0].dtype) != TN_REF_FLOAT)
        return tn_ref_refuse(reason, reason_size, "only nearest of types that are no floats");
    return check_same_type(problem, reason, reason_size);
}

static bool check_dynamic_quantize(const tn_problem *problem, char *reason, size_t reason_size) {
    const tn_dynamic_quantize_params *params = problem->params;
    const tn_operand *outputs = problem->operands + problem->num_inputs;
    if (outputs[0].dtype != params->to || outputs[1].dtype != params->scale_type)
        return tn_ref_refuse(reason, reason_size, "outputs of other types than its parameters say");
    return true;
}

static bool check_gated(const tn_problem *problem, char *reason, size_t reason_size) {
    if (problem->op != TN_OP_MATRIX_MULTIPLY || !tn_ref_is_gated(problem)) return true;
    const tn_matrix_multiply_params *params = problem->params;
    if (params->op_a == TN_MATRIX_VECTOR || params->op_b == TN_MATRIX_VECTOR)
        return tn_ref_refuse(reason, reason_size, "gated_activation of a vector product");
    return true;
}

static bool check_heads(const tn_problem *problem, char *reason, size_t reason_size) {
    const tn_attention_params *params = problem->params;
    if (params->num_kv_heads <= 0 || params->num_heads % params->num_kv_heads != 0)
        return tn_ref_refuse(reason, reason_size, "%lld query heads over %lld key heads", (long long)params->num_heads,
                             (long long)params->num_kv_heads);
    return true;
}

static const tn_ref_kernel kernels[TN_NUM_OP_KINDS] = {
    [TN_OP_IDENTITY] = {.run = tn_ref_identity, .inputs = {TN_REF_ANY}, .outputs = TN_REF_ANY, .check = check_same_type},
    [TN_OP_CAST] = {.run = tn_ref_cast, .inputs = {TN_REF_ELEMENT}, .outputs = TN_REF_ELEMENT},
    [TN_OP_SHAPE] = {.run = tn_ref_shape, .inputs = {0xff}, .outputs = INTEGERS},
    [TN_OP_FILL] = {.run = tn_ref_fill, .inputs = {INTEGERS, TN_REF_NUMBER}, .outputs = TN_REF_NUMBER, .check = check_random},
    [TN_OP_UNARY] = {.run = tn_ref_unary, .inputs = {TN_REF_ELEMENT}, .outputs = TN_REF_ELEMENT, .check = check_unary},
    [TN_OP_ACTIVATION] = {.run = tn_ref_activate, .inputs = {TN_REF_NUMBER}, .outputs = TN_REF_NUMBER, .check = check_activation},
    [TN_OP_ELEMENTWISE] = {.run = tn_ref_elementwise, .inputs = {TN_REF_ELEMENT}, .outputs = TN_REF_ELEMENT, .check = check_elementwise},
    [TN_OP_SELECT] = {.run = tn_ref_select, .inputs = {BOOLS, TN_REF_ANY}, .outputs = TN_REF_ANY, .check = check_same_type},
    [TN_OP_REDUCE] = {.run = tn_ref_reduce, .inputs = {TN_REF_NUMBER}, .outputs = TN_REF_NUMBER, .check = check_same_type},
    [TN_OP_SOFTMAX] = {.run = tn_ref_softmax, .inputs = {FLOATS}, .outputs = FLOATS},
    [TN_OP_NORMALIZATION] = {.run = tn_ref_normalize, .inputs = {FLOATS}, .outputs = FLOATS, .takes_quantize = true},
    [TN_OP_SHUFFLE] = {.run = tn_ref_shuffle, .inputs = {TN_REF_ANY, INTEGERS}, .outputs = TN_REF_ANY, .check = check_same_type},
    [TN_OP_SLICE] = {.run = tn_ref_slice,
                     .inputs = {TN_REF_ANY, INTEGERS, INTEGERS, INTEGERS, TN_REF_ANY},
                     .outputs = TN_REF_ANY,
                     .check = check_same_type},
    [TN_OP_CONCATENATION] = {.run = tn_ref_concatenate, .inputs = {TN_REF_ANY}, .outputs = TN_REF_ANY, .check = check_same_type},
    [TN_OP_GATHER] = {.run = tn_ref_gather, .inputs = {REALS | TN_REF_ENCODED, INTEGERS}, .outputs = REALS, .check = check_gather},
    [TN_OP_NON_ZERO] = {.run = tn_ref_non_zero, .inputs = {TN_REF_ELEMENT}, .outputs = INTEGERS},
    [TN_OP_MATRIX_MULTIPLY] = {.run = tn_ref_matmul,
                               .inputs = {FLOATS | TN_REF_QUANTIZED, WEIGHTS, FLOATS},
                               .outputs = FLOATS,
                               .takes_epilogues = true,
                               .takes_quantize = true,
                               .check = check_gated},
    [TN_OP_QUANTIZE] = {.run = tn_ref_quantize, .inputs = {FLOATS}, .outputs = TN_REF_NUMBER},
    [TN_OP_DEQUANTIZE] = {.run = tn_ref_dequantize, .inputs = {TN_REF_NUMBER, FLOATS, TN_REF_NUMBER}, .outputs = FLOATS},
    [TN_OP_QUANTIZE_ROWS] = {.run = tn_ref_quantize_rows, .inputs = {FLOATS}, .outputs = TN_REF_QUANTIZED},
    [TN_OP_TOKEN_IDS] = {.run = tn_ref_token_ids, .inputs = {INTEGERS, INTEGERS, INTEGERS, STATE}, .outputs = INTEGERS},
    [TN_OP_ROTARY_TABLE] = {.run = tn_ref_rotary_table, .inputs = {INTEGERS, FLOATS}, .outputs = FLOATS},
    [TN_OP_ROTARY] = {.run = tn_ref_rotary, .inputs = {FLOATS}, .outputs = FLOATS, .workspace_bytes = tn_ref_rotary_workspace},
    [TN_OP_KV_CACHE_UPDATE] = {.run = tn_ref_kv_cache_update,
                               .inputs = {FLOATS, FLOATS, STATE, INTEGERS},
                               .outputs = STATE,
                               .workspace_bytes = tn_ref_kv_cache_update_workspace},
    [TN_OP_ATTENTION] = {.run = tn_ref_attention,
                         .inputs = {FLOATS, STATE, INTEGERS, INTEGERS, INTEGERS, FLOATS},
                         .outputs = FLOATS,
                         .takes_quantize = true,
                         .check = check_heads,
                         .workspace_bytes = tn_ref_attention_workspace},
    [TN_OP_QKV_CACHE] = {.run = tn_ref_qkv_cache,
                         .inputs = {FLOATS, FLOATS, FLOATS, FLOATS, STATE, INTEGERS},
                         .outputs = FLOATS,
                         .workspace_bytes = tn_ref_qkv_cache_workspace},
    [TN_OP_ROUTE] = {.run = tn_ref_route, .inputs = {FLOATS}, .outputs = TN_REF_NUMBER, .workspace_bytes = tn_ref_route_workspace},
    [TN_OP_GROUPED_MATMUL] = {.run = tn_ref_grouped_matmul,
                              .inputs = {FLOATS | TN_REF_QUANTIZED, WEIGHTS, INTEGERS, INTEGERS, FLOATS},
                              .outputs = FLOATS,
                              .takes_epilogues = true,
                              .takes_quantize = true},
    [TN_OP_COMBINE] = {.run = tn_ref_combine,
                       .inputs = {FLOATS, INTEGERS, FLOATS},
                       .outputs = FLOATS,
                       .workspace_bytes = tn_ref_combine_workspace},
    [TN_OP_SAMPLE] = {.run = tn_ref_sample,
                      .inputs = {FLOATS, INTEGERS, INTEGERS, STATE, INTEGERS},
                      .outputs = TN_REF_NUMBER,
                      .workspace_bytes = tn_ref_sample_workspace},
    [TN_OP_ASSERTION] = {.run = tn_ref_assert, .inputs = {BOOLS}, .outputs = BOOLS},
    [TN_OP_SQUEEZE] = {.run = tn_ref_identity, .inputs = {TN_REF_ANY}, .outputs = TN_REF_ANY, .check = check_same_type},
    [TN_OP_UNSQUEEZE] = {.run = tn_ref_identity, .inputs = {TN_REF_ANY}, .outputs = TN_REF_ANY, .check = check_same_type},
    [TN_OP_PARAMETRIC_RELU] = {.run = tn_ref_parametric_relu, .inputs = {FLOATS}, .outputs = FLOATS},
    [TN_OP_SCALE] = {.run = tn_ref_scale, .inputs = {FLOATS}, .outputs = FLOATS},
    [TN_OP_LRN] = {.run = tn_ref_lrn, .inputs = {FLOATS}, .outputs = FLOATS},
    [TN_OP_NORMALIZATION_ND] = {.run = tn_ref_normalize_nd, .inputs = {FLOATS}, .outputs = FLOATS},
    [TN_OP_RAGGED_SOFTMAX] = {.run = tn_ref_ragged_softmax, .inputs = {FLOATS, INTEGERS}, .outputs = FLOATS},
    [TN_OP_TOPK] = {.run = tn_ref_topk, .inputs = {TN_REF_NUMBER, INTEGERS}, .outputs = TN_REF_NUMBER, .check = check_same_type},
    [TN_OP_CUMULATIVE] = {.run = tn_ref_cumulate, .inputs = {TN_REF_NUMBER}, .outputs = TN_REF_NUMBER, .check = check_same_type},
    [TN_OP_SCATTER] = {.run = tn_ref_scatter,
                       .inputs = {TN_REF_ANY, INTEGERS, TN_REF_ANY},
                       .outputs = TN_REF_ANY,
                       .check = check_same_type},
    [TN_OP_ONE_HOT] = {.run = tn_ref_one_hot, .inputs = {INTEGERS, TN_REF_ANY}, .outputs = TN_REF_ANY, .check = check_one_hot},
    [TN_OP_REVERSE_SEQUENCE] = {.run = tn_ref_reverse_sequence,
                                .inputs = {TN_REF_ANY, INTEGERS},
                                .outputs = TN_REF_ANY,
                                .check = check_same_type},
    [TN_OP_NMS] = {.run = tn_ref_nms,
                   .inputs = {FLOATS, FLOATS, INTEGERS, FLOATS},
                   .outputs = INTEGERS,
                   .workspace_bytes = tn_ref_nms_workspace},
    [TN_OP_CONVOLUTION] = {.run = tn_ref_convolve, .inputs = {FLOATS}, .outputs = FLOATS},
    [TN_OP_DECONVOLUTION] = {.run = tn_ref_deconvolve, .inputs = {FLOATS}, .outputs = FLOATS},
    [TN_OP_POOLING] = {.run = tn_ref_pool, .inputs = {FLOATS}, .outputs = FLOATS},
    [TN_OP_RESIZE] = {.run = tn_ref_resize, .inputs = {TN_REF_ANY, INTEGERS}, .outputs = TN_REF_ANY, .check = check_resize},
    [TN_OP_GRID_SAMPLE] = {.run = tn_ref_grid_sample, .inputs = {FLOATS}, .outputs = FLOATS},
    [TN_OP_EINSUM] = {.run = tn_ref_einsum, .inputs = {TN_REF_NUMBER}, .outputs = TN_REF_NUMBER, .check = check_same_type},
    [TN_OP_DYNAMIC_QUANTIZE] = {.run = tn_ref_dynamic_quantize,
                                .inputs = {FLOATS},
                                .outputs = TN_REF_NUMBER,
                                .check = check_dynamic_quantize},
};

const tn_ref_kernel *tn_ref_find_kernel(tn_op_kind kind) {
    return (int)kind >= 0 && kind < TN_NUM_OP_KINDS ? &kernels[kind] : NULL;
}

static bool check_weight(const tn_operand *operand, uint8_t classes, uint32_t index, char *reason, size_t reason_size) {
    char name[64];
    const tn_encoding *encoding = &operand->encoding;
    if (operand->layout != NULL && strcmp(operand->layout, TN_LAYOUT_PLAIN) != 0)
        return tn_ref_refuse(reason, reason_size, "reads weights in layout plain, not %s", operand->layout);
    if (encoding->kind == TN_ENCODING_PLAIN) {
        tn_dtype storage = encoding->storage != TN_DTYPE_NONE ? encoding->storage : operand->dtype;
        if ((class_of(storage) & classes) != 0) return true;
    } else if ((classes & TN_REF_ENCODED) != 0) {
        return true;
    }
    return tn_ref_refuse(reason, reason_size, "input %u: no weights in %s", index, tn_encoding_name(encoding, name));
}

static bool check_epilogues(const tn_ref_kernel *kernel, const tn_problem *problem, char *reason, size_t reason_size) {
    bool quantizes = false;
    for (uint32_t i = 0; i < problem->num_epilogues; i++) {
        const tn_epilogue *epilogue = &problem->epilogues[i];
        bool is_quantize = epilogue->kind == TN_EPILOGUE_QUANTIZE, has_operand = epilogue->operand >= 0;
        bool needs_operand = epilogue->kind == TN_EPILOGUE_BIAS || epilogue->kind == TN_EPILOGUE_ADD;
        if (is_quantize ? !kernel->takes_quantize : !kernel->takes_epilogues)
            return tn_ref_refuse(reason, reason_size, "no epilogue %s", tn_epilogue_kind_name(epilogue->kind));
        if (!tn_activation_is_plain(epilogue->activation)) return tn_ref_refuse(reason, reason_size, "no activation with parameters");
        if (quantizes) return tn_ref_refuse(reason, reason_size, "an epilogue follows quantize");
        if (needs_operand && (!has_operand || (uint32_t)epilogue->operand >= problem->num_inputs))
            return tn_ref_refuse(reason, reason_size, "epilogue %s lacks its operand", tn_epilogue_kind_name(epilogue->kind));
        quantizes = is_quantize;
    }
    bool is_quantized =
        problem->num_operands > problem->num_inputs && class_of(problem->operands[problem->num_inputs].dtype) == TN_REF_QUANTIZED;
    if (kernel->takes_quantize && quantizes != is_quantized)
        return tn_ref_refuse(reason, reason_size, "the output's type and epilogue quantize do not agree");
    return true;
}

bool tn_ref_supports(const tn_problem *problem, char *reason, size_t reason_size) {
    const tn_ref_kernel *kernel = tn_ref_find_kernel(problem->op);
    if (kernel == NULL || kernel->run == NULL) {
        const char *name = kernel == NULL ? "this operation" : tn_op_get_info(problem->op)->name;
        return tn_ref_refuse(reason, reason_size, "%s has no kernel", name);
    }
    const tn_op_info *info = tn_op_get_info(problem->op);
    uint32_t num_outputs = problem->num_operands - problem->num_inputs;
    if (problem->num_inputs < (uint32_t)info->min_inputs || (info->num_outputs >= 0 && num_outputs != (uint32_t)info->num_outputs))
        return tn_ref_refuse(reason, reason_size, "%u inputs and %u outputs", problem->num_inputs, num_outputs);
    uint8_t classes = 0, outputs = kernel->outputs;
    if (kernel->takes_quantize) outputs |= TN_REF_QUANTIZED;
    for (uint32_t i = 0; i < problem->num_operands; i++) {
        const tn_operand *operand = &problem->operands[i];
        bool is_output = i >= problem->num_inputs;
        if (!is_output && i < sizeof kernel->inputs && kernel->inputs[i] != 0) classes = kernel->inputs[i];
        if (is_output) classes = outputs;
        if (operand->absent || operand->role == TN_ROLE_STATE) continue;
        if (operand->role == TN_ROLE_WEIGHT) {
            if (!check_weight(operand, classes, i, reason, reason_size)) return false;
        } else if ((class_of(operand->dtype) & classes) == 0) {
            return tn_ref_refuse(reason, reason_size, "%s %u: no %s", is_output ? "output" : "input",
                                 is_output ? i - problem->num_inputs : i, tn_dtype_get_info(operand->dtype)->name);
        }
    }
    if (!check_epilogues(kernel, problem, reason, reason_size)) return false;
    return kernel->check == NULL || kernel->check(problem, reason, reason_size);
}

size_t tn_ref_workspace_bytes(const tn_problem *problem, const int64_t *symbols) {
    const tn_ref_kernel *kernel = tn_ref_find_kernel(problem->op);
    return kernel != NULL && kernel->workspace_bytes != NULL ? kernel->workspace_bytes(problem, symbols) : 0;
}

tn_status tn_ref_run_call(const tn_ref_call *call) {
    return tn_ref_find_kernel(call->problem->op)->run(call);
}

tn_status tn_ref_run(const tn_problem *problem, void *const *buffers, const int64_t *symbols, tn_diag *diag) {
    char reason[128];
    if (!tn_ref_supports(problem, reason, sizeof reason))
        return tn_fail(diag, TN_UNSUPPORTED, "cannot run %s on the host: %s", tn_op_get_info(problem->op)->name, reason);
    size_t size_bytes = tn_ref_workspace_bytes(problem, symbols);
    tn_ref_call call = {.problem = problem, .buffers = buffers, .symbols = symbols, .on_host = true, .diag = diag};
    if (size_bytes > 0) {
        call.workspace = tn_alloc(NULL, size_bytes);
        if (call.workspace == NULL) return tn_fail_memory(diag, "the workspace of a host step", size_bytes);
    }
    tn_status status = tn_ref_run_call(&call);
    tn_free(NULL, call.workspace);
    return status;
}
