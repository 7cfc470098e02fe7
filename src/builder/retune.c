/* SPDX-License-Identifier: Apache-2.0
 *
 * retune.c: tactics chosen again for this device from what a plan says: its problems, symbols and profiles. Weights keep their
 * layouts and bytes, so neither the network nor the model is needed.
 */
#include <string.h>

#include "builder/builder_internal.h"
#include "plan/symbol_names.h"

typedef struct retuner {
    tn_draft *draft;
    const tn_plan_view *view;
    tn_diag *diag;
    bool failed_memory;
} retuner;

/* The function's symbol of a constant: there already, as a dimension of some tensor, or added. */
static tn_sym find_constant(void *user, int64_t value) {
    retuner *r = user;
    tn_draft_function *f = &r->draft->functions.data[r->draft->functions.count - 1];
    for (size_t i = 0; i < f->symbols.count; i++)
        if (f->symbols.data[i].op == TN_SYM_CONST && f->symbols.data[i].value == value) return (tn_sym)i;
    if (!tn_array_reserve(r->draft->allocator, &f->value_bounds, 1) ||
        !tn_array_push(r->draft->allocator, &f->symbols, ((tn_sym_node){.op = TN_SYM_CONST, .value = value}))) {
        r->failed_memory = true;
        return TN_SYM_INVALID;
    }
    f->value_bounds.data[f->value_bounds.count++] = 0;
    return (tn_sym)f->symbols.count - 1;
}

static bool read_tensor(retuner *r, tn_draft_function *f, const tn_plan_tensor *tensor) {
    tn_draft_tensor out = {.name = tn_plan_string(r->view, tensor->name),
                           .role = tn_plan_string(r->view, tensor->role),
                           .dtype = tn_dtype_find(tn_plan_string(r->view, tensor->dtype)),
                           .space = tensor->space,
                           .place = tensor->place,
                           .rank = tensor->rank,
                           .flags = tensor->flags,
                           .first_step = tensor->first_step,
                           .last_step = tensor->last_step,
                           .is_used = true};
    for (uint32_t i = 0; i < tensor->rank; i++) {
        out.dims[i] = tensor->dims[i];
        out.max_dims[i] = tensor->max_dims[i];
        out.dim_names[i] = tn_plan_string(r->view, tensor->dim_names[i]);
    }
    return tn_array_push(r->draft->allocator, &f->tensors, out);
}

static bool read_symbol(retuner *r, tn_draft_function *f, const tn_plan_symbol *symbol) {
    tn_sym_node node = {
        .op = tn_sym_op_find(tn_plan_string(r->view, symbol->op)), .a = symbol->a, .b = symbol->b, .c = symbol->c, .value = symbol->value};
    return tn_array_push(r->draft->allocator, &f->symbols, node) && tn_array_push(r->draft->allocator, &f->value_bounds, 0u);
}

static tn_status read_step(retuner *r, tn_draft_function *f, const tn_plan_step *record) {
    tn_draft_step step = {.record = *record, .name = tn_plan_string(r->view, record->name)};
    step.refs = tn_arena_alloc_array(&r->draft->arena, record->num_refs, sizeof *step.refs);
    if (step.refs == NULL) return tn_fail_memory(r->diag, "reading a plan", record->num_refs * sizeof *step.refs);
    memcpy(step.refs, r->view->refs + record->first_ref, record->num_refs * sizeof *step.refs);
    if (record->kind == TN_STEP_LAUNCH) {
        tn_status status = tn_problem_parse(tn_plan_string(r->view, record->problem), find_constant, r, (uint32_t)f->symbols.count,
                                            &r->draft->arena, r->diag, &step.problem);
        if (r->failed_memory) return tn_fail_memory(r->diag, "reading a plan", sizeof step);
        if (status != TN_OK) return status;
        step.has_problem = true;
        step.operands = (tn_operand *)(uintptr_t)step.problem.operands; /* made in our arena */
    }
    return tn_array_push(r->draft->allocator, &f->steps, step) ? TN_OK : tn_fail_memory(r->diag, "reading a plan", sizeof step);
}

static tn_status read_function(retuner *r, const tn_plan_function *record) {
    if (!tn_array_push(r->draft->allocator, &r->draft->functions, ((tn_draft_function){.num_profiles = 1})))
        return tn_fail_memory(r->diag, "reading a plan", sizeof(tn_draft_function));
    tn_draft_function *f = &r->draft->functions.data[r->draft->functions.count - 1];
    f->name = tn_plan_string(r->view, record->name);
    bool room = true;
    for (uint32_t i = 0; i < record->num_tensors && room; i++) room = read_tensor(r, f, &r->view->tensors[record->first_tensor + i]);
    for (uint32_t i = 0; i < record->num_symbols && room; i++) room = read_symbol(r, f, &r->view->symbols[record->first_symbol + i]);
    for (uint32_t i = 0; i < record->num_profiles && room; i++) {
        const tn_plan_profile *row = &r->view->profiles[record->first_profile + i];
        room = tn_array_push(r->draft->allocator, &f->profiles, *row);
        f->num_profiles = row->profile + 1;
    }
    if (!room) return tn_fail_memory(r->diag, "reading a plan", sizeof *f);
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < record->num_steps && status == TN_OK; i++) status = read_step(r, f, &r->view->steps[record->first_step + i]);
    return status;
}

static tn_status read_states(retuner *r) {
    for (uint32_t i = 0; i < r->view->num_states; i++) {
        const tn_plan_state *state = &r->view->states[i];
        tn_network_state out = {.name = tn_plan_string(r->view, state->name),
                                .kind = tn_plan_string(r->view, state->kind),
                                .kv = {.num_layers = state->num_layers,
                                       .num_kv_heads = state->num_kv_heads,
                                       .k_dim = state->k_dim,
                                       .v_dim = state->v_dim,
                                       .tokens_per_block = state->tokens_per_block,
                                       .dtype = tn_dtype_find(tn_plan_string(r->view, state->dtype))},
                                .window = state->window,
                                .sink_tokens = state->sink_tokens,
                                .vocab_size = state->vocab_size,
                                .max_seq_len = state->max_seq_len};
        if (!tn_array_push(r->draft->allocator, &r->draft->states, out)) return tn_fail_memory(r->diag, "reading a plan", sizeof out);
    }
    return TN_OK;
}

/* Every layout must be one that this device has. */
static tn_status check_layouts(const retuner *r, const tn_device *device) {
    for (uint32_t i = 0; i < r->view->num_weights; i++) {
        const tn_plan_weight *weight = &r->view->weights[i];
        const char *name = tn_plan_string(r->view, weight->layout);
        if (strcmp(name, TN_LAYOUT_PLAIN) == 0) continue;
        const tn_layout *layout = tn_backend_find_layout(device->backend, name);
        if (layout != NULL && layout->version == weight->layout_version) continue;
        tn_where where = {.subject = tn_plan_string(r->view, weight->name),
                          .hint = "build the plan again from its model: tenon build MODEL -o DIR"};
        return tn_fail_at(r->diag, TN_INCOMPATIBLE, &where,
                          "cannot retune for %s: weight '%s' is stored as %s version %u, which it does not read", device->description,
                          where.subject, name, weight->layout_version);
    }
    return TN_OK;
}

/* The records as they were; inline bytes from the old plan. */
static tn_status copy_weights(const retuner *r, tn_plan_writer *w) {
    tn_status status = TN_OK;
    w->header.flags = r->view->header->flags;
    for (uint32_t i = 0; i < r->view->num_weights && status == TN_OK; i++) {
        const tn_plan_weight *old = &r->view->weights[i];
        tn_plan_weight record = *old;
        record.name = tn_plan_writer_string(w, tn_plan_string(r->view, old->name));
        record.dtype = tn_plan_writer_string(w, tn_plan_string(r->view, old->dtype));
        record.encoding = tn_plan_writer_string(w, tn_plan_string(r->view, old->encoding));
        record.layout = tn_plan_writer_string(w, tn_plan_string(r->view, old->layout));
        record.file = tn_plan_writer_string(w, tn_plan_string(r->view, old->file));
        record.recipe = tn_plan_writer_string(w, tn_plan_string(r->view, old->recipe));
        tn_plan_weight_source source = {.packed = old->storage == TN_WEIGHT_INLINE ? r->view->weight_data + old->offset : NULL};
        uint32_t index;
        status = tn_plan_writer_add_weight(w, &record, &source, &index);
    }
    return status;
}

/* The "model" object of the old plan's META, so that it goes on to the new one: META begins with it (emit.c). NULL: none. */
static char *copy_model_info(const tn_plan_view *view, const tn_allocator *allocator) {
    static const char prefix[] = "{\"model\":";
    const char *start = view->meta + sizeof prefix - 1, *c = start;
    if (strncmp(view->meta, prefix, sizeof prefix - 1) != 0 || *start != '{') return NULL;
    int depth = 0;
    for (bool in_string = false; *c != '\0'; c++) {
        if (*c == '\\' && in_string && c[1] != '\0')
            c++;
        else if (*c == '"')
            in_string = !in_string;
        else if (!in_string && *c == '{')
            depth++;
        else if (!in_string && *c == '}' && --depth == 0)
            return tn_copy_bytes(allocator, start, (size_t)(c + 1 - start));
    }
    return NULL;
}

tn_status tn_builder_retune(tn_builder *builder, const tn_plan *plan, const tn_builder_config *config, tn_plan **out_plan) {
    *out_plan = NULL;
    if (builder == NULL || plan == NULL || config == NULL)
        return tn_fail(builder != NULL ? builder->diag : NULL, TN_INVALID_ARGUMENT,
                       "cannot retune: a builder, a plan or a configuration is missing");
    if (config->out_of_memory) return tn_fail_memory(builder->diag, "the builder's configuration", sizeof *config);
    if (config->invalid) return tn_fail(builder->diag, TN_INVALID_ARGUMENT, "cannot retune: the configuration has errors");
    tn_draft draft;
    tn_plan_writer writer;
    tn_text refused = {.allocator = builder->allocator};
    tn_draft_init(&draft, builder->allocator, builder->diag);
    draft.refused = &refused;
    tn_plan_writer_init(&writer, builder->device->backend->name, builder->allocator, builder->diag);
    retuner r = {.draft = &draft, .view = tn_plan_get_view(plan), .diag = builder->diag};
    tn_builder_config adopted = *config;
    adopted.model_info = config->model_info == NULL ? copy_model_info(r.view, builder->allocator) : NULL;
    char *owned = adopted.model_info;
    if (owned == NULL) adopted.model_info = config->model_info;
    tn_status status = check_layouts(&r, builder->device);
    if (status == TN_OK) status = read_states(&r);
    for (uint32_t i = 0; i < r.view->num_functions && status == TN_OK; i++) status = read_function(&r, &r.view->functions[i]);
    if (status == TN_OK) status = tn_builder_select(&draft, builder, config, true);
    if (status == TN_OK) tn_builder_dump(&draft, "plan");
    if (status == TN_OK) status = tn_emit_functions(&draft, &writer);
    if (status == TN_OK) status = copy_weights(&r, &writer);
    if (status == TN_OK) status = tn_builder_write(&draft, builder, &adopted, &writer, out_plan);
    tn_plan_writer_deinit(&writer);
    tn_draft_deinit(&draft);
    tn_text_deinit(&refused);
    tn_free(builder->allocator, owned);
    return status;
}
