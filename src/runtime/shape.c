/* SPDX-License-Identifier: Apache-2.0
 *
 * shape.c: the dimensions that a caller sets, against the plan and its profiles; symbols from them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "runtime/context.h"

enum { MAX_DIMS_TEXT = 200 };
/* Above any real dimension; keeps arithmetic on a few of them inside 64 bits. */
#define MAX_DIM ((int64_t)1 << 40)

static const char *tensor_name(const tn_context *context, uint32_t tensor) {
    return tn_engine_string(context->engine, context->function->tensors[tensor].name);
}

static const char *print_dims(const int64_t *dims, uint32_t rank, char text[MAX_DIMS_TEXT]) {
    size_t size = 0;
    text[size++] = '[';
    for (uint32_t i = 0; i < rank; i++) {
        int length = snprintf(text + size, MAX_DIMS_TEXT - size, "%s%" PRId64, i > 0 ? ", " : "", dims[i]);
        if (length > 0) size += (size_t)length;
    }
    (void)snprintf(text + size, MAX_DIMS_TEXT - size, "]");
    return text;
}

/* The row of a profile for one axis; NULL: the axis is fixed, or free. */
static const tn_plan_profile *find_row(const tn_function *function, uint32_t profile, uint32_t tensor, uint32_t axis) {
    for (uint32_t i = 0; i < function->record->num_profiles; i++) {
        const tn_plan_profile *row = &function->profile_rows[i];
        if (row->profile == profile && row->tensor == tensor && row->axis == axis) return row;
    }
    return NULL;
}

static bool axis_range(const tn_function *function, uint32_t profile, uint32_t tensor, uint32_t axis, int64_t *out_min, int64_t *out_max) {
    const tn_sym_node *node = &function->nodes[function->tensors[tensor].dims[axis]];
    const tn_plan_profile *row = find_row(function, profile, tensor, axis);
    *out_min = row != NULL ? row->min : node->op == TN_SYM_CONST ? node->value : 0;
    *out_max = row != NULL ? row->max : node->op == TN_SYM_CONST ? node->value : MAX_DIM;
    return row != NULL || node->op == TN_SYM_CONST;
}

static bool fits_profile(const tn_function *function, uint32_t profile, uint32_t tensor, const int64_t *dims) {
    for (uint32_t i = 0; i < function->tensors[tensor].rank; i++) {
        int64_t min, max;
        (void)axis_range(function, profile, tensor, i, &min, &max);
        if (dims[i] < min || dims[i] > max) return false;
    }
    return true;
}

static tn_status fail_range(const tn_context *context, uint32_t tensor, const int64_t *dims) {
    const tn_function *function = context->function;
    uint32_t rank = function->tensors[tensor].rank;
    int64_t min[TN_MAX_RANK], max[TN_MAX_RANK];
    char given[MAX_DIMS_TEXT], least[MAX_DIMS_TEXT], most[MAX_DIMS_TEXT],
        hint[128] = "build the plan with a profile that allows this shape";
    for (uint32_t i = 0; i < rank; i++) (void)axis_range(function, context->profile, tensor, i, &min[i], &max[i]);
    for (uint32_t profile = 0; profile < function->num_profiles; profile++)
        if (fits_profile(function, profile, tensor, dims)) {
            (void)snprintf(hint, sizeof hint, "profile %" PRIu32 " allows it: create the context with that one", profile);
            break;
        }
    tn_where where = {.subject = tensor_name(context, tensor), .hint = hint};
    return tn_fail_at(context->diag, TN_INVALID_ARGUMENT, &where,
                      "cannot set the shape of '%s' to %s: profile %" PRIu32 " of function '%s' allows %s to %s",
                      tensor_name(context, tensor), print_dims(dims, rank, given), context->profile, function->name,
                      print_dims(min, rank, least), print_dims(max, rank, most));
}

tn_status tn_context_set_input_shape(tn_context *context, const char *input, tn_dims dims) {
    const tn_function *function = context->function;
    int64_t id = input != NULL ? tn_function_find_io(context->engine, function, input) : -1;
    if (id < 0 || function->tensors[id].space != TN_SPACE_INPUT)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot set a shape: function '%s' has no input '%s'", function->name,
                       input != NULL ? input : "");
    uint32_t tensor = (uint32_t)id, rank = function->tensors[tensor].rank;
    if (dims.rank != (int32_t)rank)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot set the shape of '%s': %d dimensions given, it has %" PRIu32, input,
                       dims.rank, rank);
    tn_io_binding *io = &context->io[context->io_of[tensor]];
    if (io->has_dims && memcmp(io->dims, dims.d, rank * sizeof dims.d[0]) == 0) return TN_OK;
    if (!fits_profile(function, context->profile, tensor, dims.d)) return fail_range(context, tensor, dims.d);
    memcpy(io->dims, dims.d, rank * sizeof dims.d[0]);
    io->has_dims = true;
    context->is_resolved = false;
    context->is_changed = true;
    return TN_OK;
}

/* --- symbols ---------------------------------------------------------------------------------------------------------------- */

static tn_status find_missing(const tn_context *context) {
    const tn_function *function = context->function;
    for (uint32_t i = 0; i < function->num_io; i++)
        if (function->tensors[function->io[i]].space == TN_SPACE_INPUT && !context->io[i].has_dims)
            return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot run function '%s': the shape of input '%s' is not set",
                           function->name, tensor_name(context, function->io[i]));
    return TN_OK;
}

static tn_status check_named_dims(const tn_context *context) {
    const tn_function *function = context->function;
    for (uint32_t i = 0; i < function->num_named_dims; i++) {
        const tn_named_dim *dim = &function->named_dims[i];
        int64_t value = context->io[context->io_of[dim->tensor]].dims[dim->axis];
        int64_t first = context->io[context->io_of[dim->first_tensor]].dims[dim->first_axis];
        if (value == first) continue;
        const char *name = tn_engine_string(context->engine, function->tensors[dim->tensor].dim_names[dim->axis]);
        return tn_fail(context->diag, TN_INVALID_ARGUMENT,
                       "cannot run function '%s': dimension '%s' is %" PRId64 " in '%s' and %" PRId64 " in '%s'", function->name, name,
                       first, tensor_name(context, dim->first_tensor), value, tensor_name(context, dim->tensor));
    }
    return TN_OK;
}

static tn_status read_host_leaf(const tn_context *context, const tn_leaf *leaf, int64_t *out_value) {
    const tn_function *function = context->function;
    const tn_io_binding *io = &context->io[context->io_of[leaf->tensor]];
    int64_t count = 1;
    for (uint32_t i = 0; i < function->tensors[leaf->tensor].rank; i++) count *= io->dims[i] < MAX_DIM ? io->dims[i] : 0;
    if (io->given == NULL)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot run function '%s': input '%s', which shapes depend on, has no address",
                       function->name, tensor_name(context, leaf->tensor));
    if ((int64_t)leaf->index >= count)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT,
                       "cannot run function '%s': shapes depend on element %" PRIu32 " of '%s', which has %" PRId64, function->name,
                       leaf->index, tensor_name(context, leaf->tensor), count);
    const tn_plan_profile *row = find_row(function, context->profile, leaf->tensor, TN_PROFILE_VALUES + leaf->index);
    if (function->dtypes[leaf->tensor] == TN_INT64) /* exact */
        memcpy(out_value, (const int64_t *)io->given + leaf->index, sizeof *out_value);
    else
        *out_value = (int64_t)tn_dtype_load(function->dtypes[leaf->tensor], io->given, leaf->index);
    if (row == NULL || (*out_value >= row->min && *out_value <= row->max)) return TN_OK;
    return tn_fail(context->diag, TN_INVALID_ARGUMENT,
                   "cannot run function '%s': value %" PRIu32 " of input '%s' is %" PRId64 ", profile %" PRIu32 " allows %" PRId64
                   " to %" PRId64,
                   function->name, leaf->index, tensor_name(context, leaf->tensor), *out_value, context->profile, row->min, row->max);
}

typedef struct leaf_reader {
    const tn_function *function;
    const int64_t *leaves;
} leaf_reader;

/* Leaves stand in the order of their symbols, which is that of evaluation; found by tensor and index all the same. */
static bool read_leaf(void *user, const tn_sym_node *node, int64_t *out_value) {
    const leaf_reader *reader = user;
    bool is_host_value = node->op == TN_SYM_HOST_VALUE;
    for (uint32_t i = 0; i < reader->function->num_leaves; i++) {
        const tn_leaf *leaf = &reader->function->leaves[i];
        if (leaf->tensor != node->a || leaf->index != node->b || leaf->is_host_value != is_host_value) continue;
        *out_value = reader->leaves[i];
        return true;
    }
    return false;
}

tn_status tn_function_evaluate(const tn_function *function, const int64_t *leaves, tn_diag *diag, int64_t *values) {
    leaf_reader reader = {function, leaves};
    return tn_sym_evaluate(function->nodes, function->num_symbols, read_leaf, &reader, diag, values);
}

/* A dimension may be given by another input's (equal names are one symbol), or by a number. */
static tn_status check_dims(const tn_context *context) {
    const tn_function *function = context->function;
    for (uint32_t i = 0; i < function->num_io; i++) {
        uint32_t tensor = function->io[i];
        if (function->tensors[tensor].space != TN_SPACE_INPUT) continue;
        for (uint32_t k = 0; k < function->tensors[tensor].rank; k++) {
            int64_t value = context->values[function->tensors[tensor].dims[k]];
            if (value != context->io[i].dims[k] && value != TN_SYM_UNKNOWN)
                return tn_fail(context->diag, TN_INVALID_ARGUMENT,
                               "cannot run function '%s': dimension %" PRIu32 " of '%s' is %" PRId64 ", other inputs make it %" PRId64,
                               function->name, k, tensor_name(context, tensor), context->io[i].dims[k], value);
        }
    }
    return TN_OK;
}

int64_t tn_context_bucket(const tn_context *context, const tn_leaf *leaf, int64_t value) {
    int64_t min, max, rounded = 1;
    if (leaf->is_host_value) return value;
    (void)axis_range(context->function, context->profile, leaf->tensor, leaf->index, &min, &max);
    if (value > max) return value; /* a symbol of another input's name */
    while (rounded < value) rounded *= 2;
    return value == 0 ? 0 : rounded < max ? rounded : max;
}

tn_status tn_context_resolve(tn_context *context) {
    const tn_function *function = context->function;
    tn_status status = context->is_resolved && function->num_late_inputs == 0 ? TN_OK : find_missing(context);
    if (status != TN_OK || (context->is_resolved && function->num_late_inputs == 0)) return status;
    context->layout = NULL;
    status = check_named_dims(context);
    for (uint32_t i = 0; i < function->num_leaves && status == TN_OK; i++) {
        const tn_leaf *leaf = &function->leaves[i];
        if (leaf->is_host_value)
            status = read_host_leaf(context, leaf, &context->leaves[i]);
        else
            context->leaves[i] = context->io[context->io_of[leaf->tensor]].dims[leaf->index];
    }
    if (status == TN_OK) status = tn_function_evaluate(function, context->leaves, context->diag, context->values);
    if (status == TN_OK) status = check_dims(context);
    context->is_resolved = status == TN_OK;
    return status;
}

bool tn_tensor_room(const tn_function *function, uint32_t tensor, const int64_t *values, size_t *out_bytes) {
    const tn_plan_tensor *record = &function->tensors[tensor];
    bool is_late = false;
    for (uint32_t i = 0; i < record->rank; i++) is_late = is_late || function->is_late[record->dims[i]];
    return tn_tensor_span(function->dtypes[tensor], record->rank, is_late ? record->max_dims : record->dims, values, out_bytes);
}

tn_status tn_context_get_shape(const tn_context *context, const char *name, tn_dims *out_dims) {
    const tn_function *function = context->function;
    *out_dims = TN_SCALAR;
    int64_t id = name != NULL ? tn_function_find_io(context->engine, function, name) : -1;
    if (id < 0)
        return tn_fail(context->diag, TN_INVALID_ARGUMENT, "cannot get a shape: function '%s' has no input or output '%s'", function->name,
                       name != NULL ? name : "");
    const tn_plan_tensor *tensor = &function->tensors[id];
    const tn_io_binding *io = &context->io[context->io_of[id]];
    if (tensor->space == TN_SPACE_INPUT && io->has_dims) {
        out_dims->rank = (int32_t)tensor->rank;
        memcpy(out_dims->d, io->dims, tensor->rank * sizeof io->dims[0]);
        return TN_OK;
    }
    /* Filling in what was set already changes nothing that a caller can see. */
    tn_status status = tn_context_resolve((tn_context *)context);
    if (status != TN_OK) return status;
    bool has_run = context->present != NULL && !context->is_changed;
    const int64_t *values = has_run ? context->present->values : context->values;
    out_dims->rank = (int32_t)tensor->rank;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        int64_t value = values[tensor->dims[i]];
        out_dims->d[i] = value != TN_SYM_UNKNOWN ? value : -1;
    }
    return TN_OK;
}
