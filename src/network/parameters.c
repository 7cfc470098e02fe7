/* SPDX-License-Identifier: Apache-2.0
 *
 * parameters.c: tenon/layer.h: parameters by name, from the field lists of op_kinds.def.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "network/network_internal.h"
#include "op/dtype.h"

/* Fields that an input may give instead. */
typedef struct dynamic_field {
    tn_op_kind kind;
    const char *field;
    uint32_t input;
} dynamic_field;
static const dynamic_field dynamic_fields[] = {
    {TN_OP_SHUFFLE, "reshape", 1}, {TN_OP_SLICE, "start", 1}, {TN_OP_SLICE, "size", 2},
    {TN_OP_SLICE, "stride", 3},    {TN_OP_TOPK, "k", 1},      {TN_OP_RESIZE, "size", 1},
};

static const dynamic_field *find_dynamic(const tn_layer *layer, const char *field) {
    for (size_t i = 0; i < sizeof dynamic_fields / sizeof dynamic_fields[0]; i++)
        if (dynamic_fields[i].kind == layer->kind && strcmp(dynamic_fields[i].field, field) == 0) return &dynamic_fields[i];
    return NULL;
}

/* Fields that follow from other things, and what to call instead. */
typedef struct fixed_field {
    tn_op_kind kind;
    const char *field; /* NULL: all of the kind */
    const char *reason;
} fixed_field;
static const fixed_field fixed_fields[] = {
    {TN_OP_CONSTANT, NULL, "a constant's type and dimensions are those of its values: add another constant"},
    {TN_OP_FILL, "dtype", "its type is that of alpha"},
    {TN_OP_FILL, "rank", "its rank is the number of elements of input 0"},
    {TN_OP_SHUFFLE, "has_reshape", "set reshape, or input 1"},
    {TN_OP_RESIZE, "numerators", "use tn_resize_set_scales"},
    {TN_OP_RESIZE, "denominators", "use tn_resize_set_scales"},
    {TN_OP_PLUGIN, NULL, "a plugin's fields are set when it is created"},
    {TN_OP_TRIP_LIMIT, "is_while", "a loop's limits are set by tn_loop_set_trip_limit and tn_loop_set_condition"},
};

static const char *why_fixed(const tn_layer *layer, const char *field) {
    for (size_t i = 0; i < sizeof fixed_fields / sizeof fixed_fields[0]; i++)
        if (fixed_fields[i].kind == layer->kind && (fixed_fields[i].field == NULL || strcmp(fixed_fields[i].field, field) == 0))
            return fixed_fields[i].reason;
    return strcmp(field, "construct") == 0 ? "a layer stays in its loop or conditional" : NULL;
}

/* --- looking ---------------------------------------------------------------------------------------------------------------- */

static void put_integer(tn_parameter *parameter, tn_parameter_type type, int64_t value, const char *text) {
    parameter->type = type;
    parameter->integer = value;
    parameter->text = text != NULL ? text : "";
}

int tn_layer_num_parameters(const tn_layer *layer) {
    return layer != NULL ? tn_op_get_info(layer->kind)->num_fields : 0;
}

bool tn_layer_parameter(const tn_layer *layer, int index, tn_parameter *out_parameter) {
    *out_parameter = (tn_parameter){.name = "", .text = ""};
    if (layer == NULL || index < 0 || index >= tn_op_get_info(layer->kind)->num_fields) return false;
    const tn_op_field *field = &tn_op_get_info(layer->kind)->fields[index];
    const void *value = (const char *)&layer->params + field->offset;
    out_parameter->name = field->name;
    switch (field->type) {
    case TN_TYPE_BOOL: put_integer(out_parameter, TN_PARAMETER_BOOL, *(const bool *)value, NULL); break;
    case TN_TYPE_INT: put_integer(out_parameter, TN_PARAMETER_INT, *(const int64_t *)value, NULL); break;
    case TN_TYPE_DTYPE: {
        tn_dtype dtype = *(const tn_dtype *)value;
        put_integer(out_parameter, TN_PARAMETER_DTYPE, (int64_t)dtype, tn_dtype_name(dtype));
        break;
    }
    case TN_TYPE_ENUM: {
        const tn_enum_info *info = tn_enum_get_info(field->enum_id);
        int number = *(const int *)value;
        put_integer(out_parameter, TN_PARAMETER_ENUM, number, number >= 0 && number < info->num_values ? info->values[number] : NULL);
        break;
    }
    case TN_TYPE_TEXT: put_integer(out_parameter, TN_PARAMETER_TEXT, 0, ((const tn_label *)value)->text); break;
    case TN_TYPE_REAL:
        out_parameter->type = TN_PARAMETER_REAL;
        out_parameter->real = *(const double *)value;
        break;
    case TN_TYPE_DIMS:
        out_parameter->type = TN_PARAMETER_DIMS;
        out_parameter->dims = *(const tn_dims *)value;
        break;
    }
    const dynamic_field *dynamic = find_dynamic(layer, field->name);
    if (dynamic != NULL && dynamic->input < layer->inputs.count && layer->inputs.data[dynamic->input] != NULL) {
        out_parameter->integer = -1;
        out_parameter->dims = (tn_dims){.rank = -1};
    }
    return true;
}

bool tn_layer_find_parameter(const tn_layer *layer, const char *name, tn_parameter *out_parameter) {
    for (int i = 0; name != NULL && i < tn_layer_num_parameters(layer); i++)
        if (strcmp(tn_op_get_info(layer->kind)->fields[i].name, name) == 0) return tn_layer_parameter(layer, i, out_parameter);
    *out_parameter = (tn_parameter){.name = "", .text = ""};
    return false;
}

bool tn_layer_has(const tn_layer *layer, const char *parameter, int64_t value) {
    tn_parameter found;
    return tn_layer_find_parameter(layer, parameter, &found) && found.type != TN_PARAMETER_REAL && found.type != TN_PARAMETER_DIMS &&
           found.type != TN_PARAMETER_TEXT && found.integer == value;
}

int tn_num_layer_kinds(void) {
    return TN_NUM_OP_KINDS;
}

const char *tn_layer_kind_name(int kind) {
    return kind >= 0 && kind < TN_NUM_OP_KINDS ? tn_op_get_info((tn_op_kind)kind)->name : NULL;
}

/* --- changing --------------------------------------------------------------------------------------------------------------- */

static bool refuse(const tn_layer *layer, const char *parameter, const char *reason) {
    TN_NETWORK_FAIL(layer->network, TN_INVALID_ARGUMENT, "cannot set '%s' of %s '%s': %s", parameter != NULL ? parameter : "",
                    tn_op_get_info(layer->kind)->name, layer->name, reason);
    return false;
}

static const tn_op_field *find_settable(tn_layer *layer, const char *parameter) {
    if (layer == NULL || tn_network_is_frozen(layer->network, "change a layer")) return NULL;
    const tn_op_info *info = tn_op_get_info(layer->kind);
    for (int i = 0; parameter != NULL && i < info->num_fields; i++) {
        if (strcmp(info->fields[i].name, parameter) != 0) continue;
        const char *reason = why_fixed(layer, parameter);
        if (reason == NULL) return &info->fields[i];
        (void)refuse(layer, parameter, reason);
        return NULL;
    }
    (void)refuse(layer, parameter, "layers of this kind have no such parameter");
    return NULL;
}

/* The parameter is in `params`; the input that gave it goes. */
static bool apply(tn_layer *layer, const tn_op_field *field, tn_op_params *params) {
    const dynamic_field *dynamic = find_dynamic(layer, field->name);
    if (layer->kind == TN_OP_SHUFFLE && strcmp(field->name, "reshape") == 0) params->shuffle.has_reshape = true;
    if (layer->kind == TN_OP_RESIZE && strcmp(field->name, "size") == 0)
        params->resize.numerators = params->resize.denominators = (tn_dims){0};
    if (dynamic == NULL || layer->inputs.data[dynamic->input] == NULL) return tn_layer_change(layer, params, NULL, 0);
    return tn_layer_change(layer, params, &(tn_input_change){dynamic->input, NULL}, 1);
}

bool tn_layer_set_int(tn_layer *layer, const char *parameter, int64_t value) {
    const tn_op_field *field = find_settable(layer, parameter);
    if (field == NULL) return false;
    tn_op_params params = layer->params;
    void *place = (char *)&params + field->offset;
    switch (field->type) {
    case TN_TYPE_BOOL:
        if (value != 0 && value != 1) return refuse(layer, parameter, "it is true (1) or false (0)");
        *(bool *)place = value != 0;
        break;
    case TN_TYPE_INT: *(int64_t *)place = value; break;
    case TN_TYPE_DTYPE:
        if (value < 0 || value >= TN_NUM_DTYPES) return refuse(layer, parameter, "there is no type of that number");
        *(tn_dtype *)place = (tn_dtype)value;
        break;
    case TN_TYPE_ENUM:
        if (value < 0 || value >= tn_enum_get_info(field->enum_id)->num_values)
            return refuse(layer, parameter, "its enum has no value of that number");
        *(int *)place = (int)value;
        break;
    case TN_TYPE_REAL: return refuse(layer, parameter, "it is a real number: use tn_layer_set_real");
    case TN_TYPE_DIMS: return refuse(layer, parameter, "it is a list of dimensions: use tn_layer_set_dims");
    case TN_TYPE_TEXT: return refuse(layer, parameter, "it is a text: use tn_layer_set_text");
    }
    return apply(layer, field, &params);
}

bool tn_layer_set_real(tn_layer *layer, const char *parameter, double value) {
    const tn_op_field *field = find_settable(layer, parameter);
    if (field == NULL) return false;
    if (field->type != TN_TYPE_REAL) return refuse(layer, parameter, "it is no real number");
    if (!isfinite(value)) return refuse(layer, parameter, "it must be finite");
    tn_op_params params = layer->params;
    *(double *)((char *)&params + field->offset) = value;
    return apply(layer, field, &params);
}

bool tn_layer_set_dims(tn_layer *layer, const char *parameter, tn_dims dims) {
    const tn_op_field *field = find_settable(layer, parameter);
    if (field == NULL) return false;
    if (field->type != TN_TYPE_DIMS) return refuse(layer, parameter, "it is no list of dimensions");
    if (dims.rank < 0 || dims.rank > TN_MAX_RANK) return refuse(layer, parameter, "it has fewer than 0 or more than 8 dimensions");
    tn_op_params params = layer->params;
    *(tn_dims *)((char *)&params + field->offset) = dims;
    return apply(layer, field, &params);
}

bool tn_layer_set_text(tn_layer *layer, const char *parameter, const char *text) {
    const tn_op_field *field = find_settable(layer, parameter);
    if (field == NULL) return false;
    if (text == NULL) return refuse(layer, parameter, "the text is missing");
    tn_op_params params = layer->params;
    void *place = (char *)&params + field->offset;
    if (field->type == TN_TYPE_ENUM) {
        int value = tn_enum_find(field->enum_id, text);
        if (value < 0) return refuse(layer, parameter, "its enum has no value of that name");
        *(int *)place = value;
    } else if (field->type == TN_TYPE_DTYPE) {
        tn_dtype dtype = tn_dtype_find(text);
        if (dtype == TN_DTYPE_NONE) return refuse(layer, parameter, "there is no type of that name");
        *(tn_dtype *)place = dtype;
    } else if (field->type == TN_TYPE_TEXT) {
        if (!tn_label_set(place, text, strlen(text)))
            return refuse(layer, parameter, "it is UTF-8 of at most 127 bytes without quotes, backslashes and control characters");
    } else {
        return refuse(layer, parameter, "it is neither a text nor a name of a type or of an enum's value");
    }
    return apply(layer, field, &params);
}

bool tn_layer_set_input(tn_layer *layer, int index, tn_tensor *tensor) {
    if (layer == NULL || tn_network_is_frozen(layer->network, "change a layer")) return false;
    if (layer->kind == TN_OP_RECURRENCE && index == 1) {
        bool had_failed = layer->network->failed;
        layer->network->failed = false;
        tn_recurrence_set_next(layer, tensor);
        bool good = !layer->network->failed;
        layer->network->failed = had_failed || !good;
        return good;
    }
    tn_input_change change = {index >= 0 ? (uint32_t)index : UINT32_MAX, tensor};
    return tn_layer_change(layer, &layer->params, &change, 1);
}

bool tn_layer_set_activation_precision(tn_layer *layer, tn_activation_precision precision) {
    if (layer == NULL || tn_network_is_frozen(layer->network, "change a layer")) return false;
    if (layer->kind != TN_OP_MATRIX_MULTIPLY && layer->kind != TN_OP_GROUPED_MATMUL)
        return refuse(layer, "activation precision", "only matrix products have one");
    if (precision < 0 || precision >= TN_NUM_ACTIVATION_PRECISIONS)
        return refuse(layer, "activation precision", "there is no such precision");
    layer->precision = precision;
    return true;
}
