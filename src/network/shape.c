/* SPDX-License-Identifier: Apache-2.0
 *
 * shape.c: what shape functions have in common: messages, checks of inputs, broadcasting.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "network/network_internal.h"

static bool fail_with_reason(const tn_shape *shape, tn_status status, const char *reason) {
    const char *kind = tn_op_get_info(shape->kind)->name, *verb = shape->is_change ? "change" : "add";
    shape->network->failed = true;
    if (shape->name[0] == '\0')
        (void)tn_fail(shape->network->diag, status, "cannot %s %s: %s", verb, kind, reason);
    else
        (void)tn_fail_at(shape->network->diag, status, &(tn_where){.subject = shape->name}, "cannot %s %s '%s': %s", verb, kind,
                         shape->name, reason);
    return false;
}

bool tn_shape_fail(const tn_shape *shape, const char *format, ...) {
    char reason[768];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return fail_with_reason(shape, TN_INVALID_ARGUMENT, reason);
}

bool tn_shape_fail_status(const tn_shape *shape, tn_status status, const char *format, ...) {
    char reason[768];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return fail_with_reason(shape, status, reason);
}

/* The text in the network's arena; messages only. */
static const char *keep_text(const tn_shape *shape, tn_text *text) {
    const char *copy = text->failed || text->data == NULL ? NULL : tn_arena_string(&shape->network->arena, text->data);
    tn_text_deinit(text);
    return copy != NULL ? copy : "?";
}

const char *tn_shape_describe(const tn_shape *shape, const tn_tensor *tensor) {
    tn_text text = {.allocator = shape->network->allocator};
    tn_tensor_print_type(tensor, &text);
    return keep_text(shape, &text);
}

const char *tn_shape_describe_dim(const tn_shape *shape, tn_sym dim) {
    tn_text text = {.allocator = shape->network->allocator};
    tn_network_print_dim(shape->network, dim, &text);
    return keep_text(shape, &text);
}

bool tn_shape_want_dtype(const tn_shape *shape, uint32_t input, const char *what, tn_dtype dtype) {
    const tn_tensor *tensor = shape->inputs[input];
    if (tensor->dtype == dtype) return true;
    return tn_shape_fail(shape, "%s must be %s, it is %s", what, tn_dtype_name(dtype), tn_shape_describe(shape, tensor));
}

bool tn_shape_want_float(const tn_shape *shape, uint32_t input, const char *what) {
    const tn_tensor *tensor = shape->inputs[input];
    if (tn_dtype_get_info(tensor->dtype)->is_float && tensor->dtype != TN_Q15_32 && tensor->dtype != TN_Q8_32) return true;
    return tn_shape_fail(shape, "%s must be of a float type, it is %s", what, tn_shape_describe(shape, tensor));
}

bool tn_shape_want_elements(const tn_shape *shape, uint32_t input) {
    tn_dtype dtype = shape->inputs[input]->dtype;
    if (dtype != TN_Q15_32 && dtype != TN_Q8_32) return true;
    return tn_shape_fail(shape, "input %" PRIu32 " is %s, which only matrix multiplications read", input,
                         tn_shape_describe(shape, shape->inputs[input]));
}

bool tn_shape_want_rank(const tn_shape *shape, uint32_t input, const char *what, int rank) {
    const tn_tensor *tensor = shape->inputs[input];
    if (tensor->rank == rank) return true;
    return tn_shape_fail(shape, "%s must have %d dimensions, it is %s", what, rank, tn_shape_describe(shape, tensor));
}

bool tn_shape_want_dim(const tn_shape *shape, uint32_t input, const char *what, int axis, tn_sym dim) {
    const tn_tensor *tensor = shape->inputs[input];
    if (dim == TN_SYM_INVALID || tn_sym_equal(shape->network->symbols, tensor->dims[axis], dim) != TN_NO) return true;
    return tn_shape_fail(shape, "dimension %d of %s must be %s, it is %s", axis, what, tn_shape_describe_dim(shape, dim),
                         tn_shape_describe(shape, tensor));
}

bool tn_shape_want_axis(const tn_shape *shape, int64_t *axis, int rank) {
    if (*axis >= -rank && *axis < rank) {
        if (*axis < 0) *axis += rank;
        return true;
    }
    return tn_shape_fail(shape, "axis %" PRId64 " is outside %s", *axis, tn_shape_describe(shape, shape->inputs[0]));
}

bool tn_shape_want_weight_vector(const tn_shape *shape, uint32_t input, const char *what, tn_sym size) {
    if (input >= shape->num_inputs || shape->inputs[input] == NULL) return true;
    return tn_shape_want_float(shape, input, what) && tn_shape_want_rank(shape, input, what, 1) &&
           tn_shape_want_dim(shape, input, what, 0, size);
}

bool tn_shape_want_state(const tn_shape *shape, uint32_t input, const char *what, const char *kind) {
    const tn_tensor *tensor = shape->inputs[input];
    const tn_network_state *state = tensor->state != NULL ? tn_network_find_state(shape->network, tensor->state) : NULL;
    if (state != NULL && strcmp(state->kind, kind) == 0) return true;
    return tn_shape_fail(shape, "%s must be a state of kind '%s', '%s' is none", what, kind, tensor->name);
}

tn_sym tn_shape_const(const tn_shape *shape, int64_t value) {
    return tn_sym_const(shape->network->symbols, value);
}

bool tn_shape_dim_is(const tn_shape *shape, tn_sym dim, int64_t value) {
    int64_t constant;
    return tn_sym_is_const(shape->network->symbols, dim, &constant) && constant == value;
}

tn_sym tn_shape_broadcast(const tn_shape *shape, tn_sym a, tn_sym b) {
    tn_symbols *symbols = shape->network->symbols;
    if (tn_sym_equal(symbols, a, b) == TN_YES || tn_shape_dim_is(shape, b, 1)) return a;
    if (tn_shape_dim_is(shape, a, 1)) return b;
    bool a_is_const = tn_sym_is_const(symbols, a, NULL), b_is_const = tn_sym_is_const(symbols, b, NULL);
    if (a_is_const && b_is_const) return TN_SYM_INVALID;
    if (a_is_const) return a; /* the other is 1 or equal when it runs */
    if (b_is_const) return b;
    return tn_sym_select(symbols, tn_sym_binary(symbols, TN_SYM_EQUAL, a, TN_SYM_ONE), b, a);
}

void tn_shape_copy(tn_shape *shape, uint32_t index, const tn_tensor *like, tn_dtype dtype) {
    tn_shape_output *output = &shape->outputs[index];
    output->dtype = dtype;
    output->rank = like->rank;
    memcpy(output->dims, like->dims, sizeof output->dims);
    if (index >= shape->num_outputs) shape->num_outputs = index + 1;
}

bool tn_shape_output_is_input(tn_shape *shape) {
    tn_shape_copy(shape, 0, shape->inputs[0], shape->inputs[0]->dtype);
    return true;
}
