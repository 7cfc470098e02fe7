/* SPDX-License-Identifier: Apache-2.0
 *
 * reflect.c: layers by the names of the operation table (tenon/reflect.h).
 */
#include "tenon/reflect.h"

#include <inttypes.h>
#include <string.h>

#include "network/network_internal.h"
#include "op/dtype.h"
#include "op/op.h"

/* What has adders of its own (values, control flow), what needs states, and what only passes make. */
static bool can_be_added(tn_op_kind kind) {
    switch (kind) {
    case TN_OP_CONSTANT:
    case TN_OP_CONDITION:
    case TN_OP_CONDITION_INPUT:
    case TN_OP_CONDITION_OUTPUT:
    case TN_OP_TRIP_LIMIT:
    case TN_OP_RECURRENCE:
    case TN_OP_ITERATOR:
    case TN_OP_LOOP_OUTPUT:
    case TN_OP_TOKEN_IDS:
    case TN_OP_KV_CACHE_UPDATE:
    case TN_OP_ATTENTION:
    case TN_OP_QKV_CACHE:
    case TN_OP_SAMPLE:
    case TN_OP_COLLECTIVE:
    case TN_OP_PLUGIN:
    case TN_OP_LORA_LINEAR:
    case TN_OP_QUANTIZE_ROWS: return false;
    default: return true;
    }
}

static const tn_parameter_type parameter_types[] = {
    [TN_TYPE_BOOL] = TN_PARAMETER_BOOL,   [TN_TYPE_INT] = TN_PARAMETER_INT,   [TN_TYPE_REAL] = TN_PARAMETER_REAL,
    [TN_TYPE_DTYPE] = TN_PARAMETER_DTYPE, [TN_TYPE_DIMS] = TN_PARAMETER_DIMS, [TN_TYPE_ENUM] = TN_PARAMETER_ENUM,
    [TN_TYPE_TEXT] = TN_PARAMETER_TEXT,
};
static const char *const type_names[] = {
    [TN_PARAMETER_BOOL] = "a bool",  [TN_PARAMETER_INT] = "an integer", [TN_PARAMETER_REAL] = "a number",
    [TN_PARAMETER_DTYPE] = "a type", [TN_PARAMETER_DIMS] = "dims",      [TN_PARAMETER_ENUM] = "one of its enum's names",
    [TN_PARAMETER_TEXT] = "a text",
};

/* --- parameters ----------------------------------------------------------------------------------------------------------- */

/* The layer that is added. */
typedef struct target {
    tn_network *network;
    tn_op_kind kind;
    const char *name; /* of the kind */
} target;

static bool fail(const target *t, const char *parameter, const char *reason, const char *value) {
    TN_NETWORK_FAIL(t->network, TN_INVALID_ARGUMENT, "cannot add %s: its parameter '%s' %s%s", t->name, parameter, reason, value);
    return false;
}

static bool is_whole(const tn_parameter *parameter) {
    return parameter->type == TN_PARAMETER_BOOL || parameter->type == TN_PARAMETER_INT;
}

static bool has_text(const tn_parameter *parameter) {
    return parameter->text != NULL && parameter->text[0] != '\0';
}

static bool store_enum(const target *t, const tn_op_field *field, const tn_parameter *parameter, void *value) {
    const tn_enum_info *info = tn_enum_get_info(field->enum_id);
    int64_t number = has_text(parameter) ? tn_enum_find(field->enum_id, parameter->text) : parameter->integer;
    if (number < 0 || number >= info->num_values)
        return fail(t, field->name, "has no value ", has_text(parameter) ? parameter->text : "of that number");
    *(int *)value = (int)number;
    return true;
}

static bool store_dtype(const target *t, const tn_op_field *field, const tn_parameter *parameter, void *value) {
    int64_t dtype = has_text(parameter) ? (int64_t)tn_dtype_find(parameter->text) : parameter->integer;
    if (dtype < 0 || dtype >= TN_NUM_DTYPES || (dtype == TN_DTYPE_NONE && has_text(parameter)))
        return fail(t, field->name, "is no type: ", has_text(parameter) ? parameter->text : "there is none of that number");
    *(tn_dtype *)value = (tn_dtype)dtype;
    return true;
}

static bool store(const target *t, const tn_op_field *field, const tn_parameter *parameter, tn_op_params *params) {
    void *value = (char *)params + field->offset;
    tn_parameter_type type = parameter_types[field->type];
    bool is_exact = parameter->type == type;
    switch (field->type) {
    case TN_TYPE_BOOL:
        if (!is_whole(parameter)) break;
        *(bool *)value = parameter->integer != 0;
        return true;
    case TN_TYPE_INT:
        if (!is_whole(parameter)) break;
        *(int64_t *)value = parameter->integer;
        return true;
    case TN_TYPE_REAL:
        if (!is_exact && !is_whole(parameter)) break;
        *(double *)value = is_exact ? parameter->real : (double)parameter->integer;
        return true;
    case TN_TYPE_ENUM:
        if (is_exact || parameter->type == TN_PARAMETER_TEXT) return store_enum(t, field, parameter, value);
        break;
    case TN_TYPE_DTYPE:
        if (is_exact || parameter->type == TN_PARAMETER_TEXT) return store_dtype(t, field, parameter, value);
        break;
    case TN_TYPE_DIMS:
        if (!is_exact) break;
        if (parameter->dims.rank < 0 || parameter->dims.rank > TN_MAX_RANK)
            return fail(t, field->name, "has too many dimensions, at most 8 are possible", "");
        *(tn_dims *)value = parameter->dims;
        return true;
    case TN_TYPE_TEXT:
        if (!is_exact) break;
        if (parameter->text != NULL && tn_label_set(value, parameter->text, strlen(parameter->text))) return true;
        return fail(t, field->name, "must be UTF-8 of at most 127 bytes without quotes, backslashes and control characters", "");
    }
    return fail(t, field->name, "must be ", type_names[type]);
}

static bool store_all(const target *t, const tn_parameter *parameters, int num_parameters, tn_op_params *params) {
    const tn_op_info *info = tn_op_get_info(t->kind);
    for (int i = 0; i < num_parameters && parameters != NULL; i++) {
        const char *name = parameters[i].name != NULL ? parameters[i].name : "";
        const tn_op_field *field = NULL;
        for (int j = 0; j < info->num_fields && field == NULL; j++)
            if (strcmp(info->fields[j].name, name) == 0) field = &info->fields[j];
        if (field == NULL) return fail(t, name, "does not exist", "");
        if (!store(t, field, &parameters[i], params)) return false;
    }
    return true;
}

/* --- adding -------------------------------------------------------------------------------------------------------------- */

tn_layer *tn_network_add_layer_by_name(tn_network *network, const char *kind, tn_tensor *const *inputs, int num_inputs,
                                       const tn_parameter *parameters, int num_parameters) {
    if (network == NULL) {
        (void)tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot add a layer: the network is missing");
        return NULL;
    }
    target t = {.network = network, .name = kind != NULL ? kind : ""};
    if (!tn_op_find(t.name, &t.kind) || !can_be_added(t.kind)) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add a layer of the kind '%s': %s", t.name,
                        tn_op_find(t.name, &t.kind) ? "it has an adder of its own, or only passes make it" : "there is none");
        return NULL;
    }
    tn_op_params params = {0};
    if (!store_all(&t, parameters, num_parameters, &params)) return NULL;
    if (inputs == NULL || num_inputs < 0) num_inputs = 0;
    return tn_network_add_layer(network, t.kind, &params, inputs, (uint32_t)num_inputs, NULL);
}

/* --- the network ---------------------------------------------------------------------------------------------------------- */

bool tn_network_has_failed(const tn_network *network) {
    return network != NULL && network->failed;
}

bool tn_network_forgive(tn_network *network) {
    if (network == NULL || network->out_of_memory || network->layer_added != NULL || network->frozen_by != NULL) return false;
    network->failed = false;
    return true;
}

tn_status tn_network_to_text(const tn_network *network, tn_network_format format, tn_diag *diag, char **out_text) {
    *out_text = NULL;
    if (network == NULL || (format != TN_NETWORK_TEXT && format != TN_NETWORK_DOT))
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot print a network: %s",
                       network == NULL ? "it is missing" : "there is no such format");
    tn_text text = {0};
    if (format == TN_NETWORK_DOT)
        tn_network_print_dot(network, &text);
    else
        tn_network_print(network, &text);
    if (text.failed || text.data == NULL) {
        size_t size_bytes = text.size;
        tn_text_deinit(&text);
        return tn_fail_memory(diag, "a network as text", size_bytes);
    }
    *out_text = text.data;
    return TN_OK;
}
