/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_export.c: the graph of a plan for Graphviz, for viewers of ONNX files, and as a page.
 */
#include "cli/inspect_export.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "op/op.h"

extern const unsigned char tn_inspect_page[]; /* inspect_page.html */
extern const size_t tn_inspect_page_size;

static bool is_tensor(uint32_t space) {
    return space == TN_SPACE_INPUT || space == TN_SPACE_OUTPUT || space == TN_SPACE_ACTIVATION || space == TN_SPACE_HOST;
}

static const tn_plan_tensor *tensor_of(const tn_plan_view *view, const tn_plan_function *f, const tn_plan_ref *ref) {
    return &view->tensors[f->first_tensor + ref->id];
}

/* The step makes the tensor: it is the first to name it. Inputs are the caller's. */
static bool is_made_by(const tn_plan_tensor *tensor, uint32_t step) {
    return tensor->space != TN_SPACE_INPUT && tensor->first_step == step;
}

/* "matrix_multiply" of a launch's problem; else the kind of the step. */
static size_t op_of(const tn_plan_view *view, const tn_plan_step *step, const char **out_name) {
    static const char *const kinds[] = {"step", "launch", "copy", "read_symbol", "loop", "collective", "plugin"};
    *out_name = step->kind == TN_STEP_LAUNCH ? tn_plan_string(view, step->problem) : kinds[step->kind];
    return strcspn(*out_name, "{ ");
}

static const char *tactic_of(const tn_plan_view *view, const tn_plan_step *step) {
    return step->num_variants > 0 ? tn_plan_string(view, view->variants[step->first_variant].tactic) : "host";
}

/* --- Graphviz --------------------------------------------------------------------------------------------------------------- */

static void put_label(tn_text *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') tn_text_append_char(out, '\\');
        tn_text_append_char(out, *text == '\n' ? ' ' : *text);
    }
}

static void put_dot_step(const tn_plan_view *view, const tn_plan_function *f, uint32_t function, uint32_t local, tn_text *out) {
    const tn_plan_step *step = &view->steps[f->first_step + local];
    const char *op;
    size_t size = op_of(view, step, &op);
    tn_text_append_format(out, "    s%" PRIu32 "_%" PRIu32 " [shape=box, label=\"%.*s\\n", function, local, (int)size, op);
    put_label(out, tn_plan_string(view, step->name));
    tn_text_append_format(out, "\\n%s\"%s];\n", tactic_of(view, step), step->device == 0 ? ", style=dashed" : "");
    for (uint32_t k = 0; k < step->num_refs; k++) {
        const tn_plan_ref *ref = &view->refs[step->first_ref + k];
        if (!is_tensor(ref->space)) continue;
        const tn_plan_tensor *tensor = tensor_of(view, f, ref);
        bool is_made = is_made_by(tensor, local), is_output = tensor->space == TN_SPACE_OUTPUT && is_made;
        if (is_made && !is_output) continue;
        char from = tensor->space == TN_SPACE_INPUT ? 't' : 's';
        uint32_t id = tensor->space == TN_SPACE_INPUT ? ref->id : tensor->first_step;
        if (is_output)
            tn_text_append_format(out, "    s%" PRIu32 "_%" PRIu32 " -> t%" PRIu32 "_%" PRIu32 " [label=\"", function, local, function,
                                  ref->id);
        else
            tn_text_append_format(out, "    %c%" PRIu32 "_%" PRIu32 " -> s%" PRIu32 "_%" PRIu32 " [label=\"", from, function, id, function,
                                  local);
        put_label(out, tn_plan_string(view, tensor->name));
        tn_text_append_format(out, " %s\"];\n", tn_plan_string(view, tensor->dtype));
    }
}

void tn_export_dot(const tn_plan_view *view, tn_text *out) {
    tn_text_append_string(out, "digraph plan {\n  rankdir=TB;\n");
    for (uint32_t i = 0; i < view->num_functions; i++) {
        const tn_plan_function *f = &view->functions[i];
        tn_text_append_format(out, "  subgraph cluster_%" PRIu32 " {\n    label=\"", i);
        put_label(out, tn_plan_string(view, f->name));
        tn_text_append_string(out, "\";\n");
        for (uint32_t k = 0; k < f->num_tensors; k++) {
            const tn_plan_tensor *tensor = &view->tensors[f->first_tensor + k];
            if (tensor->space != TN_SPACE_INPUT && tensor->space != TN_SPACE_OUTPUT) continue;
            tn_text_append_format(out, "    t%" PRIu32 "_%" PRIu32 " [shape=ellipse, label=\"", i, k);
            put_label(out, tn_plan_string(view, tensor->name));
            tn_text_append_string(out, "\"];\n");
        }
        for (uint32_t k = 0; k < f->num_steps; k++) put_dot_step(view, f, i, k, out);
        tn_text_append_string(out, "  }\n");
    }
    tn_text_append_string(out, "}\n");
}

/* --- ONNX: protobuf's wire format, as far as these messages go --------------------------------------------------------------- */

static void put_varint(tn_text *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) tn_text_append_char(out, (char)(value | 0x80));
    tn_text_append_char(out, (char)value);
}

static void put_number(tn_text *out, uint32_t field, uint64_t value) {
    put_varint(out, (uint64_t)field << 3);
    put_varint(out, value);
}

static void put_bytes(tn_text *out, uint32_t field, const char *bytes, size_t size) {
    put_varint(out, (uint64_t)field << 3 | 2);
    put_varint(out, size);
    tn_text_append(out, bytes, size);
}

static void put_string(tn_text *out, uint32_t field, const char *string) {
    put_bytes(out, field, string, strlen(string));
}

/* The message is done and goes into the outer one. */
static void put_message(tn_text *out, uint32_t field, tn_text *message) {
    put_bytes(out, field, message->data != NULL ? message->data : "", message->size);
    out->failed = out->failed || message->failed;
    tn_text_deinit(message);
}

/* TensorProto.DataType; 0, undefined, for types that ONNX does not have. */
static uint64_t onnx_type(tn_dtype dtype) {
    switch (dtype) {
    case TN_FLOAT32: return 1;
    case TN_UINT8: return 2;
    case TN_INT8: return 3;
    case TN_UINT16: return 4;
    case TN_INT16: return 5;
    case TN_INT32: return 6;
    case TN_INT64: return 7;
    case TN_BOOL: return 9;
    case TN_FLOAT16: return 10;
    case TN_FLOAT64: return 11;
    case TN_UINT32: return 12;
    case TN_UINT64: return 13;
    case TN_BFLOAT16: return 16;
    default: return 0;
    }
}

/* ValueInfoProto {1 name, 2 TypeProto {1 tensor {1 type, 2 shape {1 dim {1 value, 2 name}}}}}; dims NULL: by symbols of the function. */
static void put_value(tn_text *out, uint32_t field, const char *name, tn_dtype dtype, const int64_t *dims, const tn_plan_view *view,
                      const tn_plan_function *f, const tn_plan_tensor *tensor, uint32_t rank) {
    tn_text value = {0}, type = {0}, array = {0}, shape = {0};
    for (uint32_t i = 0; i < rank; i++) {
        tn_text dim = {0};
        const tn_plan_symbol *symbol = dims == NULL ? &view->symbols[f->first_symbol + tensor->dims[i]] : NULL;
        if (dims != NULL || strcmp(tn_plan_string(view, symbol->op), "const") == 0) {
            put_number(&dim, 1, (uint64_t)(dims != NULL ? dims[i] : symbol->value));
        } else {
            const char *dim_name = tn_plan_string(view, tensor->dim_names[i]);
            char number[24];
            (void)snprintf(number, sizeof number, "s%" PRIu32, tensor->dims[i]);
            put_string(&dim, 2, dim_name[0] != '\0' ? dim_name : number);
        }
        put_message(&shape, 1, &dim);
    }
    put_number(&array, 1, onnx_type(dtype));
    put_message(&array, 2, &shape);
    put_message(&type, 1, &array);
    put_string(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(out, field, &value);
}

static void put_attribute(tn_text *node, const char *name, const char *value) {
    tn_text attribute = {0};
    put_string(&attribute, 1, name);
    put_string(&attribute, 4, value);
    put_number(&attribute, 20, 3); /* STRING */
    put_message(node, 5, &attribute);
}

static const char *ref_name(const tn_plan_view *view, const tn_plan_function *f, const tn_plan_ref *ref) {
    if (ref->space == TN_SPACE_NONE) return "";
    if (ref->space == TN_SPACE_WEIGHT) return tn_plan_string(view, view->weights[ref->id].name);
    if (ref->space == TN_SPACE_STATE) return tn_plan_string(view, view->states[ref->id].name);
    return tn_plan_string(view, tensor_of(view, f, ref)->name);
}

static void put_node(tn_text *graph, const tn_plan_view *view, const tn_plan_function *f, uint32_t local) {
    const tn_plan_step *step = &view->steps[f->first_step + local];
    const char *op;
    size_t size = op_of(view, step, &op);
    tn_text node = {0};
    for (uint32_t k = 0; k < step->num_refs; k++) {
        const tn_plan_ref *ref = &view->refs[step->first_ref + k];
        bool is_output = is_tensor(ref->space) && is_made_by(tensor_of(view, f, ref), local);
        put_string(&node, is_output ? 2 : 1, ref_name(view, f, ref));
    }
    put_string(&node, 3, tn_plan_string(view, step->name));
    put_bytes(&node, 4, op, size);
    put_string(&node, 7, "tenon");
    if (step->kind == TN_STEP_LAUNCH) put_attribute(&node, "problem", tn_plan_string(view, step->problem));
    put_attribute(&node, "tactic", tactic_of(view, step));
    put_attribute(&node, "device", step->device == 0 ? "host" : "device");
    put_message(graph, 1, &node);
}

void tn_export_onnx(const tn_plan_view *view, tn_text *out) {
    const tn_plan_function *f = &view->functions[0];
    tn_text graph = {0}, opset = {0}, own = {0};
    for (uint32_t i = 0; i < f->num_steps; i++) put_node(&graph, view, f, i);
    put_string(&graph, 2, tn_plan_string(view, f->name));
    for (uint32_t i = 0; i < f->num_tensors; i++) {
        const tn_plan_tensor *tensor = &view->tensors[f->first_tensor + i];
        uint32_t field = tensor->space == TN_SPACE_INPUT ? 11 : tensor->space == TN_SPACE_OUTPUT ? 12 : 13;
        put_value(&graph, field, tn_plan_string(view, tensor->name), tn_dtype_find(tn_plan_string(view, tensor->dtype)), NULL, view, f,
                  tensor, tensor->rank);
    }
    for (uint32_t i = 0; i < view->num_weights; i++) {
        const tn_plan_weight *weight = &view->weights[i];
        put_value(&graph, 13, tn_plan_string(view, weight->name), tn_dtype_find(tn_plan_string(view, weight->dtype)), weight->dims, view, f,
                  NULL, weight->rank);
    }
    put_number(out, 1, 8); /* ir_version */
    put_string(out, 2, "tenon");
    put_string(out, 3, TN_VERSION);
    put_message(out, 7, &graph);
    put_string(&opset, 1, "");
    put_number(&opset, 2, 17);
    put_message(out, 8, &opset);
    put_string(&own, 1, "tenon");
    put_number(&own, 2, 1);
    put_message(out, 8, &own);
}

/* --- the page ------------------------------------------------------------------------------------------------------------------ */

/* "<" stands in no JSON inside a script element, so that no text can end it. */
static void put_json(tn_text *out, const char *json) {
    for (; *json != '\0'; json++) {
        if (*json == '<')
            tn_text_append_string(out, "\\u003c");
        else
            tn_text_append_char(out, *json);
    }
}

bool tn_export_page(const tn_plan *plan, const char *time_json, tn_text *out) {
    static const char mark[] = "/*DATA*/";
    const char *page = (const char *)tn_inspect_page, *at = memmem(page, tn_inspect_page_size, mark, sizeof mark - 1);
    char *json;
    if (tn_plan_inspect(plan, NULL, &json) != TN_OK) return false;
    tn_text_append(out, page, (size_t)(at - page));
    tn_text_append_string(out, "{\"plan\":");
    put_json(out, json);
    tn_text_append_string(out, ",\"time\":");
    put_json(out, time_json != NULL ? time_json : "null");
    tn_text_append_char(out, '}');
    tn_text_append(out, at + sizeof mark - 1, tn_inspect_page_size - (size_t)(at - page) - (sizeof mark - 1));
    tn_string_free(json);
    if (out->failed) (void)tn_cli_fail("out of memory");
    return !out->failed;
}

bool tn_export_write(const char *path, const tn_text *text) {
    tn_file_writer *writer;
    if (text->failed) {
        (void)tn_cli_fail("out of memory");
        return false;
    }
    if (tn_file_writer_create(path, NULL, NULL, &writer) != TN_OK) return false;
    bool is_ok = tn_file_writer_write_at(writer, 0, text->data, text->size) == TN_OK && tn_file_writer_commit(writer) == TN_OK;
    tn_file_writer_destroy(writer);
    return is_ok;
}
