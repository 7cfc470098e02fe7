/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_inspect.c: a plan as JSON, for people and scripts: what runs, by which tactic, on what memory.
 */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "plan/memory_plan.h"
#include "plan/plan.h"
#include "plan/symbol_names.h"

enum { MAX_EXPRESSION = 12 }; /* deeper ones are shown by number */

typedef struct inspector {
    const tn_plan_view *view;
    const tn_plan_function *function;
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_text *out;
    tn_sym_node *nodes; /* of the function */
    int64_t *values;    /* of its symbols at the largest dimensions of a profile */
} inspector;

static void put_string(inspector *i, const char *text) {
    tn_text_append_json_string(i->out, text, strlen(text));
}

static void put_key(inspector *i, const char *separator, const char *key) {
    tn_text_append_format(i->out, "%s\"%s\":", separator, key);
}

static void put_named(inspector *i, const char *separator, const char *key, uint32_t string) {
    put_key(i, separator, key);
    put_string(i, tn_plan_string(i->view, string));
}

/* --- symbols -------------------------------------------------------------------------------------------------------------------- */

static const tn_plan_tensor *tensor_of(const inspector *i, uint32_t index) {
    return &i->view->tensors[i->function->first_tensor + index];
}

static void print_leaf(const inspector *i, const tn_plan_symbol *symbol, bool is_value, tn_text *out) {
    const tn_plan_tensor *tensor = tensor_of(i, symbol->a);
    const char *dim = is_value ? "" : tn_plan_string(i->view, tensor->dim_names[symbol->b]);
    if (dim[0] != '\0')
        tn_text_append_string(out, dim);
    else
        tn_text_append_format(out, is_value ? "%s[%" PRIu32 "]" : "%s.%" PRIu32, tn_plan_string(i->view, tensor->name), symbol->b);
}

static void print_symbol(const inspector *i, uint32_t index, int depth, tn_text *out) {
    static const char *const signs[TN_NUM_SYM_OPS] = {
        [TN_SYM_ADD] = "+", [TN_SYM_SUB] = "-",    [TN_SYM_MUL] = "*", [TN_SYM_FLOOR_DIV] = "/",
        [TN_SYM_MOD] = "%", [TN_SYM_EQUAL] = "==", [TN_SYM_LESS] = "<"};
    const tn_plan_symbol *symbol = &i->view->symbols[i->function->first_symbol + index];
    tn_sym_op op = tn_sym_op_find(tn_plan_string(i->view, symbol->op));
    const uint32_t operands[3] = {symbol->a, symbol->b, symbol->c};
    if (op == TN_SYM_CONST) {
        tn_text_append_format(out, "%" PRId64, symbol->value);
    } else if (op == TN_SYM_INPUT_DIM || op == TN_SYM_HOST_VALUE) {
        print_leaf(i, symbol, op == TN_SYM_HOST_VALUE, out);
    } else if (depth == 0) {
        tn_text_append_format(out, "s%" PRIu32, index);
    } else if (signs[op] != NULL) {
        tn_text_append_char(out, '(');
        print_symbol(i, symbol->a, depth - 1, out);
        tn_text_append_format(out, " %s ", signs[op]);
        print_symbol(i, symbol->b, depth - 1, out);
        tn_text_append_char(out, ')');
    } else {
        tn_text_append_format(out, "%s(", tn_sym_op_name(op));
        for (int k = 0; k < tn_sym_op_arity(op); k++) {
            if (k > 0) tn_text_append_string(out, ", ");
            print_symbol(i, operands[k], depth - 1, out);
        }
        tn_text_append_char(out, ')');
    }
}

/* A number as a number, anything else as a string. Expressions share operands: the depth allowed shrinks with their number. */
static void put_symbol(inspector *i, uint32_t index) {
    const tn_plan_symbol *symbol = &i->view->symbols[i->function->first_symbol + index];
    if (strcmp(tn_plan_string(i->view, symbol->op), tn_sym_op_name(TN_SYM_CONST)) == 0) {
        tn_text_append_format(i->out, "%" PRId64, symbol->value);
        return;
    }
    tn_text text = {.allocator = i->allocator};
    for (int depth = MAX_EXPRESSION; depth >= 0; depth -= 4) {
        tn_text_reset(&text);
        text.max_size = depth > 0 ? 256 : 0;
        print_symbol(i, index, depth, &text);
        if (!text.failed) break;
    }
    tn_text_append_json_string(i->out, text.data != NULL ? text.data : "", text.size);
    if (text.failed) i->out->failed = true;
    tn_text_deinit(&text);
}

static void put_dims(inspector *i, const uint32_t *dims, uint32_t rank) {
    tn_text_append_char(i->out, '[');
    for (uint32_t k = 0; k < rank; k++) {
        if (k > 0) tn_text_append_char(i->out, ',');
        put_symbol(i, dims[k]);
    }
    tn_text_append_char(i->out, ']');
}

/* --- memory --------------------------------------------------------------------------------------------------------------------- */

typedef struct leaf_context {
    const inspector *inspector;
    uint32_t profile;
} leaf_context;

static bool leaf_at_max(void *user, const tn_sym_node *node, int64_t *out_value) {
    const leaf_context *leaf = user;
    const tn_plan_function *f = leaf->inspector->function;
    uint32_t axis = node->op == TN_SYM_INPUT_DIM ? node->b : TN_PROFILE_VALUES + node->b;
    for (uint32_t k = 0; k < f->num_profiles; k++) {
        const tn_plan_profile *row = &leaf->inspector->view->profiles[f->first_profile + k];
        if (row->profile != leaf->profile || row->tensor != node->a || row->axis != axis) continue;
        *out_value = row->max;
        return true;
    }
    return false;
}

static bool tensor_bytes(const inspector *i, const tn_plan_tensor *tensor, size_t *out_bytes) {
    tn_operand operand = {.dtype = tn_dtype_find(tn_plan_string(i->view, tensor->dtype)), .rank = (uint8_t)tensor->rank};
    memcpy(operand.dims, tensor->max_dims, sizeof operand.dims);
    return tn_operand_bytes(&operand, i->values, out_bytes);
}

static void put_memory_of_profile(inspector *i, uint32_t profile, tn_memory_request *requests, uint32_t *scratch) {
    const tn_plan_function *f = i->function;
    leaf_context leaf = {i, profile};
    if (tn_sym_evaluate(i->nodes, f->num_symbols, leaf_at_max, &leaf, i->diag, i->values) != TN_OK) return;
    size_t count = 0;
    for (uint32_t k = 0; k < f->num_tensors; k++) {
        const tn_plan_tensor *tensor = tensor_of(i, k);
        if (tensor->space != TN_SPACE_ACTIVATION) continue;
        requests[count] = (tn_memory_request){.first_step = tensor->first_step, .last_step = tensor->last_step};
        if (!tensor_bytes(i, tensor, &requests[count].size_bytes)) requests[count].size_bytes = 0; /* known at run time only */
        count++;
    }
    size_t total = tn_memory_plan(requests, count, scratch), at = 0;
    tn_text_append_format(i->out, "%s{\"profile\":%" PRIu32 ",\"activation_bytes\":%zu,\"tensors\":[", profile > 0 ? "," : "", profile,
                          total);
    for (uint32_t k = 0; k < f->num_tensors; k++) {
        const tn_plan_tensor *tensor = tensor_of(i, k);
        if (tensor->space != TN_SPACE_ACTIVATION) continue;
        put_named(i, at > 0 ? ",{" : "{", "name", tensor->name);
        tn_text_append_format(i->out, ",\"offset\":%zu,\"bytes\":%zu}", requests[at].offset, requests[at].size_bytes);
        at++;
    }
    tn_text_append_string(i->out, "]}");
}

static tn_status put_memory(inspector *i) {
    const tn_plan_function *f = i->function;
    uint32_t num_profiles = f->num_profiles > 0 ? i->view->profiles[f->first_profile + f->num_profiles - 1].profile + 1 : 1;
    i->nodes = tn_alloc_array(i->allocator, f->num_symbols, sizeof *i->nodes);
    i->values = tn_alloc_array(i->allocator, f->num_symbols, sizeof *i->values);
    tn_memory_request *requests = tn_alloc_array(i->allocator, f->num_tensors, sizeof *requests);
    uint32_t *scratch = tn_alloc_array(i->allocator, f->num_tensors, sizeof *scratch);
    bool room = i->nodes != NULL && i->values != NULL && requests != NULL && scratch != NULL;
    for (uint32_t k = 0; k < f->num_symbols && room; k++) {
        const tn_plan_symbol *symbol = &i->view->symbols[f->first_symbol + k];
        i->nodes[k] = (tn_sym_node){.op = tn_sym_op_find(tn_plan_string(i->view, symbol->op)),
                                    .a = symbol->a,
                                    .b = symbol->b,
                                    .c = symbol->c,
                                    .value = symbol->value};
    }
    put_key(i, ",", "memory");
    tn_text_append_char(i->out, '[');
    for (uint32_t profile = 0; profile < num_profiles && room; profile++) put_memory_of_profile(i, profile, requests, scratch);
    tn_text_append_char(i->out, ']');
    tn_free(i->allocator, i->nodes);
    tn_free(i->allocator, i->values);
    tn_free(i->allocator, requests);
    tn_free(i->allocator, scratch);
    return room ? TN_OK : tn_fail_memory(i->diag, "inspecting a plan", f->num_tensors * sizeof *requests);
}

/* --- tensors, steps ------------------------------------------------------------------------------------------------------------- */

static const char *space_name(uint32_t space) {
    static const char *const names[TN_NUM_SPACES] = {"none", "input", "output", "activation", "weight", "state", "host"};
    return names[space];
}

static void put_tensor(inspector *i, const tn_plan_tensor *tensor) {
    put_named(i, "{", "name", tensor->name);
    put_named(i, ",", "dtype", tensor->dtype);
    put_key(i, ",", "dims");
    put_dims(i, tensor->dims, tensor->rank);
    tn_text_append_format(i->out, ",\"space\":\"%s\",\"place\":\"%s\"", space_name(tensor->space),
                          tensor->space == TN_SPACE_HOST || tensor->place == 1 ? "host" : "device");
    if (tn_plan_string(i->view, tensor->role)[0] != '\0') put_named(i, ",", "role", tensor->role);
    if ((tensor->flags & TN_TENSOR_DEBUG) != 0) tn_text_append_string(i->out, ",\"debug\":true");
    tn_text_append_format(i->out, ",\"first_step\":%" PRIu32 ",\"last_step\":%" PRIu32 "}", tensor->first_step, tensor->last_step);
}

static void put_ref(inspector *i, const tn_plan_ref *ref) {
    if (ref->space == TN_SPACE_NONE) {
        tn_text_append_string(i->out, "null");
        return;
    }
    uint32_t name = ref->space == TN_SPACE_WEIGHT  ? i->view->weights[ref->id].name
                    : ref->space == TN_SPACE_STATE ? i->view->states[ref->id].name
                                                   : tensor_of(i, ref->id)->name;
    put_key(i, "{", space_name(ref->space));
    put_string(i, tn_plan_string(i->view, name));
    if (ref->offset != 0) tn_text_append_format(i->out, ",\"offset\":%" PRIu64, ref->offset);
    if (ref->stride_symbol != 0) {
        put_key(i, ",", "index");
        put_symbol(i, ref->index_symbol);
        put_key(i, ",", "stride");
        put_symbol(i, ref->stride_symbol);
    }
    tn_text_append_char(i->out, '}');
}

static void put_variant(inspector *i, const tn_plan_variant *variant) {
    tn_text_append_format(i->out, "{\"profile\":%" PRIu32 ",\"bucket_min\":%" PRId64 ",\"bucket_max\":%" PRId64, variant->profile,
                          variant->bucket_min, variant->bucket_max);
    put_named(i, ",", "tactic", variant->tactic);
    tn_text_append_format(i->out, ",\"version\":%" PRIu32 ",\"workspace_bytes\":%" PRIu64 "}", variant->tactic_version,
                          variant->workspace_bytes);
}

static void put_step(inspector *i, const tn_plan_step *step) {
    static const char *const kinds[] = {"", "launch", "copy", "read_symbol", "loop", "collective", "plugin"};
    tn_text_append_format(i->out, "{\"kind\":\"%s\",\"device\":\"%s\"", kinds[step->kind], step->device == 0 ? "host" : "device");
    put_named(i, ",", "name", step->name);
    if (step->kind == TN_STEP_LAUNCH) put_named(i, ",", "problem", step->problem);
    if (step->guard != 0) {
        put_key(i, ",", "guard");
        put_symbol(i, step->guard);
    }
    if (step->kind == TN_STEP_LOOP) {
        tn_text_append_format(i->out, ",\"body_end\":%" PRIu32, step->body_end);
        if (step->count != 0 || step->condition == 0) {
            put_key(i, ",", "count");
            put_symbol(i, step->count);
        }
        if (step->condition != 0) {
            put_key(i, ",", "condition");
            put_symbol(i, step->condition);
        }
    }
    put_key(i, ",", "operands");
    for (uint32_t k = 0; k < step->num_refs; k++) {
        tn_text_append_char(i->out, k == 0 ? '[' : ',');
        put_ref(i, &i->view->refs[step->first_ref + k]);
    }
    tn_text_append_string(i->out, step->num_refs == 0 ? "[]" : "]");
    if (step->bucket_symbol != 0) {
        put_key(i, ",", "bucket");
        put_symbol(i, step->bucket_symbol);
    }
    tn_text_append_string(i->out, ",\"variants\":[");
    for (uint32_t k = 0; k < step->num_variants; k++) {
        if (k > 0) tn_text_append_char(i->out, ',');
        put_variant(i, &i->view->variants[step->first_variant + k]);
    }
    tn_text_append_string(i->out, "]}");
}

static void put_profiles(inspector *i) {
    put_key(i, ",", "profiles");
    tn_text_append_char(i->out, '[');
    for (uint32_t k = 0; k < i->function->num_profiles; k++) {
        const tn_plan_profile *row = &i->view->profiles[i->function->first_profile + k];
        tn_text_append_format(i->out, "%s{\"profile\":%" PRIu32, k > 0 ? "," : "", row->profile);
        put_named(i, ",", "input", tensor_of(i, row->tensor)->name);
        bool is_value = row->axis >= TN_PROFILE_VALUES;
        tn_text_append_format(i->out, ",\"%s\":%" PRIu32 ",\"min\":%" PRId64 ",\"opt\":%" PRId64 ",\"max\":%" PRId64 "}",
                              is_value ? "value" : "axis", is_value ? row->axis - TN_PROFILE_VALUES : row->axis, row->min, row->opt,
                              row->max);
    }
    tn_text_append_char(i->out, ']');
}

static tn_status put_function(inspector *i) {
    const tn_plan_function *f = i->function;
    put_named(i, "{", "name", f->name);
    put_profiles(i);
    put_key(i, ",", "tensors");
    tn_text_append_char(i->out, '[');
    for (uint32_t k = 0; k < f->num_tensors; k++) {
        if (k > 0) tn_text_append_char(i->out, ',');
        put_tensor(i, tensor_of(i, k));
    }
    tn_text_append_string(i->out, "],\"steps\":[");
    for (uint32_t k = 0; k < f->num_steps; k++) {
        if (k > 0) tn_text_append_char(i->out, ',');
        put_step(i, &i->view->steps[f->first_step + k]);
    }
    tn_text_append_char(i->out, ']');
    tn_status status = put_memory(i);
    tn_text_append_char(i->out, '}');
    return status;
}

/* --- weights, states ------------------------------------------------------------------------------------------------------------- */

static void put_weight(inspector *i, const tn_plan_weight *weight) {
    static const char *const storages[] = {"", "inline", "external", "stripped"};
    put_named(i, "{", "name", weight->name);
    put_named(i, ",", "encoding", weight->encoding);
    put_named(i, ",", "dtype", weight->dtype);
    put_named(i, ",", "layout", weight->layout);
    tn_text_append_string(i->out, ",\"dims\":[");
    for (uint32_t k = 0; k < weight->rank; k++) tn_text_append_format(i->out, "%s%" PRId64, k > 0 ? "," : "", weight->dims[k]);
    tn_text_append_format(i->out, "],\"storage\":\"%s\",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64, storages[weight->storage],
                          weight->offset, weight->size);
    if (weight->storage == TN_WEIGHT_EXTERNAL) put_named(i, ",", "file", weight->file);
    put_named(i, ",", "recipe", weight->recipe);
    tn_text_append_char(i->out, '}');
}

static void put_state(inspector *i, const tn_plan_state *state) {
    put_named(i, "{", "name", state->name);
    put_named(i, ",", "kind", state->kind);
    if (strcmp(tn_plan_string(i->view, state->kind), "kv") == 0) {
        put_named(i, ",", "dtype", state->dtype);
        tn_text_append_format(i->out,
                              ",\"group\":%" PRIu32 ",\"num_layers\":%" PRId64 ",\"num_kv_heads\":%" PRId64 ",\"k_dim\":%" PRId64
                              ",\"v_dim\":%" PRId64 ",\"tokens_per_block\":%" PRId64 ",\"window\":%" PRId64 ",\"sink_tokens\":%" PRId64 "}",
                              state->group, state->num_layers, state->num_kv_heads, state->k_dim, state->v_dim, state->tokens_per_block,
                              state->window, state->sink_tokens);
    } else {
        tn_text_append_format(i->out, ",\"vocab_size\":%" PRId64 ",\"max_seq_len\":%" PRId64 "}", state->vocab_size, state->max_seq_len);
    }
}

static tn_status put_plan(inspector *i, const tn_plan *plan) {
    const tn_plan_view *view = i->view;
    put_key(i, "{", "backend");
    put_string(i, view->header->backend);
    put_key(i, ",", "builder_version");
    put_string(i, view->header->builder_version);
    put_key(i, ",", "fingerprint");
    put_string(i, view->header->fingerprint);
    tn_text_append_format(i->out, ",\"file_bytes\":%zu,\"stripped\":%s,\"meta\":%s", tn_plan_size_bytes(plan),
                          (view->header->flags & TN_PLAN_STRIPPED) != 0 ? "true" : "false", view->meta);
    put_key(i, ",", "functions");
    tn_text_append_char(i->out, '[');
    tn_status status = TN_OK;
    for (uint32_t k = 0; k < view->num_functions && status == TN_OK; k++) {
        if (k > 0) tn_text_append_char(i->out, ',');
        i->function = &view->functions[k];
        status = put_function(i);
    }
    tn_text_append_string(i->out, "],\"weights\":[");
    for (uint32_t k = 0; k < view->num_weights; k++) {
        if (k > 0) tn_text_append_char(i->out, ',');
        put_weight(i, &view->weights[k]);
    }
    tn_text_append_string(i->out, "],\"states\":[");
    for (uint32_t k = 0; k < view->num_states; k++) {
        if (k > 0) tn_text_append_char(i->out, ',');
        put_state(i, &view->states[k]);
    }
    tn_text_append_string(i->out, "]}");
    return status;
}

tn_status tn_plan_inspect(const tn_plan *plan, tn_diag *diag, char **out_json) {
    *out_json = NULL;
    tn_text text = {0}; /* the caller frees it without an allocator at hand */
    inspector i = {.view = tn_plan_get_view(plan), .diag = diag, .out = &text};
    tn_status status = put_plan(&i, plan);
    if (status == TN_OK && text.failed) status = tn_fail_memory(diag, "inspecting a plan", text.size);
    if (status == TN_OK)
        *out_json = text.data;
    else
        tn_text_deinit(&text);
    return status;
}

void tn_string_free(char *string) {
    tn_free(NULL, string);
}
