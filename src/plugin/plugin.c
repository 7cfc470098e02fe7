/* SPDX-License-Identifier: Apache-2.0
 *
 * plugin.c: instances of plugin classes, and every call of them.
 */
#include "plugin/plugin.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "base/text.h"
#include "op/dtype.h"

enum { MAX_MESSAGE = 512 };

struct tn_plugin {
    tn_allocator allocator_copy;
    const tn_allocator *allocator; /* NULL: malloc */
    atomic_int references;
    const tn_plugin_class *plugin_class;
    void *self;
    tn_label id;
};

/* --- calls -------------------------------------------------------------------------------------------------------------------- */

typedef struct call_state {
    tn_plugin_call call; /* first: plugins give it back */
    tn_symbols *symbols; /* in infer_shapes */
    char *message;       /* [MAX_MESSAGE] */
} call_state;

static const call_state *state_of(const tn_plugin_call *call) {
    return (const call_state *)(const void *)call;
}

static void set_error(const tn_plugin_call *call, const char *message) {
    const call_state *state = state_of(call);
    (void)snprintf(state->message, MAX_MESSAGE, "%s", message != NULL ? message : "");
    if (!tn_utf8_is_valid(state->message, strlen(state->message))) state->message[0] = '\0';
}

static tn_plugin_dim make_dim(const tn_plugin_call *call, int64_t value) {
    const call_state *state = state_of(call);
    return state->symbols != NULL ? tn_sym_const(state->symbols, value) : TN_SYM_INVALID;
}

static bool is_dim(const call_state *state, tn_plugin_dim dim) {
    size_t count = 0;
    if (state->symbols != NULL) (void)tn_symbols_nodes(state->symbols, &count);
    return dim < count;
}

static tn_plugin_dim compute_dim(const tn_plugin_call *call, tn_plugin_dim_op op, tn_plugin_dim a, tn_plugin_dim b) {
    static const tn_sym_op ops[] = {[TN_PLUGIN_DIM_ADD] = TN_SYM_ADD,
                                    [TN_PLUGIN_DIM_SUB] = TN_SYM_SUB,
                                    [TN_PLUGIN_DIM_MUL] = TN_SYM_MUL,
                                    [TN_PLUGIN_DIM_FLOOR_DIV] = TN_SYM_FLOOR_DIV,
                                    [TN_PLUGIN_DIM_CEIL_DIV] = TN_SYM_CEIL_DIV,
                                    [TN_PLUGIN_DIM_MIN] = TN_SYM_MIN,
                                    [TN_PLUGIN_DIM_MAX] = TN_SYM_MAX};
    const call_state *state = state_of(call);
    bool is_known = (int)op >= 0 && (size_t)op < sizeof ops / sizeof ops[0] && is_dim(state, a) && is_dim(state, b);
    return is_known ? tn_sym_binary(state->symbols, ops[op], a, b) : TN_SYM_INVALID;
}

static bool get_dim(const tn_plugin_call *call, tn_plugin_dim dim, int64_t *out_value) {
    const call_state *state = state_of(call);
    return is_dim(state, dim) && tn_sym_is_const(state->symbols, dim, out_value);
}

static call_state make_call(tn_symbols *symbols, char *message) {
    message[0] = '\0';
    return (call_state){.call = {.struct_size = sizeof(tn_plugin_call),
                                 .set_error = set_error,
                                 .make_dim = make_dim,
                                 .compute_dim = compute_dim,
                                 .get_dim = get_dim},
                        .symbols = symbols,
                        .message = message};
}

/* Plugins may return anything. */
static tn_status checked(tn_status status) {
    return status >= TN_OK && status <= TN_INTERNAL ? status : TN_INTERNAL;
}

static const char *words(const char *message) {
    return message[0] != '\0' ? message : "it gave no reason";
}

/* --- making and ending ---------------------------------------------------------------------------------------------------------- */

static tn_plugin *make_plugin(const tn_plugin_class *plugin_class, const tn_allocator *allocator) {
    tn_plugin *plugin = tn_alloc_zero(allocator, sizeof *plugin);
    if (plugin == NULL) return NULL;
    if (allocator != NULL) {
        plugin->allocator_copy = *allocator;
        plugin->allocator = &plugin->allocator_copy;
    }
    atomic_init(&plugin->references, 1);
    plugin->plugin_class = plugin_class;
    (void)tn_plugin_make_id(plugin_class, &plugin->id); /* it was when the class was added */
    return plugin;
}

tn_plugin *tn_plugin_retain(tn_plugin *plugin) {
    (void)atomic_fetch_add_explicit(&plugin->references, 1, memory_order_relaxed);
    return plugin;
}

void tn_plugin_destroy(tn_plugin *plugin) {
    if (plugin == NULL || atomic_fetch_sub_explicit(&plugin->references, 1, memory_order_acq_rel) != 1) return;
    if (plugin->plugin_class->destroy != NULL && plugin->self != NULL) plugin->plugin_class->destroy(plugin->self);
    tn_allocator copy = plugin->allocator_copy;
    tn_free(plugin->allocator != NULL ? &copy : NULL, plugin);
}

static tn_status fail_field(const tn_plugin_registry *registry, const char *type, const char *field, const char *reason) {
    return tn_fail(tn_plugin_registry_diag(registry), TN_INVALID_ARGUMENT, "cannot create plugin '%s': field '%s' %s", type, field, reason);
}

static tn_status check_fields(const tn_plugin_registry *registry, const tn_plugin_class *c, const tn_parameter *fields,
                              uint32_t num_fields) {
    if (fields == NULL && num_fields > 0) return fail_field(registry, c->type, "", "is missing");
    for (uint32_t i = 0; i < num_fields; i++) {
        const tn_plugin_field_info *info = NULL;
        const char *name = fields[i].name != NULL ? fields[i].name : "";
        for (uint32_t k = 0; k < c->num_fields; k++)
            if (strcmp(c->fields[k].name, name) == 0) info = &c->fields[k];
        if (info == NULL) return fail_field(registry, c->type, name, "is none of its class");
        if (info->type != fields[i].type) return fail_field(registry, c->type, name, "is of another type in its class");
        if (info->type == TN_PARAMETER_TEXT && fields[i].text == NULL) return fail_field(registry, c->type, name, "has no text");
        if (info->type == TN_PARAMETER_DIMS && (fields[i].dims.rank < 0 || fields[i].dims.rank > TN_MAX_RANK))
            return fail_field(registry, c->type, name, "has fewer than 0 or more than 8 elements");
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(fields[k].name, name) == 0) return fail_field(registry, c->type, name, "is given twice");
    }
    for (uint32_t k = 0; k < c->num_fields; k++) {
        bool is_given = !c->fields[k].is_required;
        for (uint32_t i = 0; i < num_fields && !is_given; i++) is_given = strcmp(fields[i].name, c->fields[k].name) == 0;
        if (!is_given) return fail_field(registry, c->type, c->fields[k].name, "must be given");
    }
    return TN_OK;
}

tn_status tn_plugin_create(tn_plugin_registry *registry, const char *name_space, const char *type, const char *version,
                           const tn_parameter *fields, uint32_t num_fields, tn_plugin **out_plugin) {
    *out_plugin = NULL;
    if (registry == NULL || name_space == NULL || type == NULL)
        return tn_fail(registry != NULL ? tn_plugin_registry_diag(registry) : NULL, TN_INVALID_ARGUMENT,
                       "cannot create a plugin: the registry, the namespace or the type is missing");
    const tn_plugin_class *c = tn_plugin_registry_find(registry, name_space, type, version);
    if (c == NULL)
        return tn_fail(tn_plugin_registry_diag(registry), TN_NOT_FOUND, "cannot create plugin '%s::%s%s%s': the registry has no such class",
                       name_space, type, version != NULL ? "::" : "", version != NULL ? version : "");
    tn_status status = check_fields(registry, c, fields, num_fields);
    if (status != TN_OK) return status;
    tn_plugin *plugin = make_plugin(c, tn_plugin_registry_allocator(registry));
    if (plugin == NULL) return tn_fail_memory(tn_plugin_registry_diag(registry), "a plugin", sizeof *plugin);
    if (c->create != NULL) {
        char message[MAX_MESSAGE];
        call_state state = make_call(NULL, message);
        status = checked(c->create(&state.call, c->user, fields, num_fields, &plugin->self));
        if (status != TN_OK) {
            plugin->self = NULL;
            status = tn_fail(tn_plugin_registry_diag(registry), status, "cannot create plugin '%s': %s", plugin->id.text, words(message));
            tn_plugin_destroy(plugin);
            return status;
        }
    }
    *out_plugin = plugin;
    return TN_OK;
}

const tn_plugin_class *tn_plugin_get_class(const tn_plugin *plugin) {
    return plugin != NULL ? plugin->plugin_class : NULL;
}
const void *tn_plugin_self(const tn_plugin *plugin) {
    return plugin != NULL ? plugin->self : NULL;
}
const char *tn_plugin_id(const tn_plugin *plugin) {
    return plugin->id.text;
}

/* --- shapes -------------------------------------------------------------------------------------------------------------------- */

static const char *why_bad_output(const call_state *state, const tn_plugin_shape *output) {
    const char *name = tn_dtype_name(output->dtype);
    int64_t value;
    if (name == NULL || output->dtype == TN_DTYPE_NONE || output->dtype == TN_Q15_32 || output->dtype == TN_Q8_32) return "it has no type";
    if (output->rank < 0 || output->rank > TN_MAX_RANK) return "its rank is not 0 to 8";
    for (int i = 0; i < output->rank; i++) {
        if (!is_dim(state, output->dims[i])) return "it has a dimension that does not exist";
        if (tn_sym_is_const(state->symbols, output->dims[i], &value) && value < 0) return "it has a negative dimension";
    }
    return NULL;
}

tn_status tn_plugin_infer(const tn_plugin *plugin, tn_symbols *symbols, const tn_plugin_shape *inputs, uint32_t num_inputs,
                          tn_plugin_shape *outputs, char *reason, size_t reason_size) {
    const tn_plugin_class *c = plugin->plugin_class;
    char message[MAX_MESSAGE];
    call_state state = make_call(symbols, message);
    for (uint32_t i = 0; i < c->num_outputs; i++) outputs[i] = (tn_plugin_shape){.dtype = TN_DTYPE_NONE, .rank = -1};
    tn_status status = checked(c->infer_shapes(&state.call, plugin->self, inputs, num_inputs, outputs));
    if (status != TN_OK) {
        (void)snprintf(reason, reason_size, "plugin '%s' refuses these inputs: %s", plugin->id.text, words(message));
        return status;
    }
    for (uint32_t i = 0; i < c->num_outputs; i++) {
        const char *why = why_bad_output(&state, &outputs[i]);
        if (why == NULL) continue;
        (void)snprintf(reason, reason_size, "plugin '%s' gave output %" PRIu32 " wrongly: %s", plugin->id.text, i, why);
        return TN_INVALID_ARGUMENT;
    }
    return TN_OK;
}

/* --- bytes ---------------------------------------------------------------------------------------------------------------------- */

tn_status tn_plugin_save(const tn_plugin *plugin, tn_arena *arena, tn_diag *diag, const void **out_bytes, size_t *out_size) {
    const tn_plugin_class *c = plugin->plugin_class;
    char message[MAX_MESSAGE];
    *out_bytes = NULL;
    *out_size = 0;
    if (c->serialize == NULL) return TN_OK;
    call_state state = make_call(NULL, message);
    size_t size = 0, written = 0;
    tn_status status = checked(c->serialize(&state.call, plugin->self, NULL, 0, &size));
    if (status == TN_OK && size == 0) return TN_OK;
    void *bytes = status == TN_OK ? tn_arena_alloc(arena, size) : NULL;
    if (status == TN_OK && bytes == NULL) return tn_fail_memory(diag, "the state of a plugin", size);
    if (status == TN_OK) status = checked(c->serialize(&state.call, plugin->self, bytes, size, &written));
    if (status == TN_OK && written != size) {
        status = TN_INVALID_ARGUMENT;
        (void)snprintf(message, sizeof message, "it said %zu bytes and wrote %zu", size, written);
    }
    if (status != TN_OK) return tn_fail(diag, status, "cannot save plugin '%s': %s", plugin->id.text, words(message));
    *out_bytes = bytes;
    *out_size = size;
    return TN_OK;
}

tn_status tn_plugin_restore(tn_plugin_registry *registry, const char *id, const void *bytes, size_t size_bytes,
                            const tn_allocator *allocator, tn_diag *diag, tn_plugin **out_plugin) {
    *out_plugin = NULL;
    const tn_plugin_class *c = tn_plugin_registry_find_id(registry, id);
    if (c == NULL) return TN_NOT_FOUND;
    tn_plugin *plugin = make_plugin(c, allocator);
    if (plugin == NULL) return tn_fail_memory(diag, "a plugin", sizeof *plugin);
    char message[MAX_MESSAGE];
    call_state state = make_call(NULL, message);
    tn_status status = TN_OK;
    if (c->deserialize != NULL)
        status = checked(c->deserialize(&state.call, c->user, bytes, size_bytes, &plugin->self));
    else if (size_bytes > 0)
        status = TN_INVALID_DATA,
        (void)snprintf(message, sizeof message, "the plan has %zu bytes of state, this class has none", size_bytes);
    if (status != TN_OK) {
        plugin->self = NULL;
        tn_plugin_destroy(plugin);
        return tn_fail(diag, status, "cannot load plugin '%s': %s", id, words(message));
    }
    *out_plugin = plugin;
    return TN_OK;
}

/* --- running --------------------------------------------------------------------------------------------------------------------- */

static void fill_tensor(const tn_operand *operand, void *data, const int64_t *values, tn_plugin_tensor *out) {
    *out = (tn_plugin_tensor){.dtype = operand->dtype, .dims.rank = operand->rank, .data = data};
    for (int i = 0; i < operand->rank; i++) out->dims.d[i] = values[operand->dims[i]];
}

tn_status tn_plugin_run(const tn_plugin *plugin, const tn_problem *problem, void *const *buffers, const int64_t *values, const char *what,
                        const tn_allocator *allocator, tn_diag *diag) {
    const tn_plugin_class *c = plugin->plugin_class;
    tn_plugin_tensor tensors[TN_PLUGIN_MAX_TENSORS + TN_PLUGIN_MAX_OUTPUTS];
    uint32_t num_tensors = problem->num_operands - 1; /* operand 0 is the state */
    for (uint32_t i = 0; i < num_tensors; i++) fill_tensor(&problem->operands[i + 1], buffers[i + 1], values, &tensors[i]);
    uint32_t num_inputs = problem->num_inputs - 1;
    char message[MAX_MESSAGE];
    call_state state = make_call(NULL, message);
    void *workspace = NULL;
    size_t size = c->workspace_size != NULL ? c->workspace_size(plugin->self, tensors, num_inputs) : 0;
    if (size > 0 && (workspace = tn_alloc(allocator, size)) == NULL) return tn_fail_memory(diag, "the workspace of a plugin", size);
    tn_status status = checked(c->run(&state.call, plugin->self, tensors, num_inputs, tensors + num_inputs, workspace));
    tn_free(allocator, workspace);
    if (status == TN_OK) return TN_OK;
    return tn_fail_at(diag, status, &(tn_where){.subject = what}, "plugin '%s' failed at step '%s': %s", plugin->id.text, what,
                      words(message));
}
