/* SPDX-License-Identifier: Apache-2.0
 *
 * function.c: a function of the plan made ready for running: problems parsed, tactics found, symbols sorted into those known
 * before a run and those that the function computes. Everything stands in the engine's arena.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "plan/symbol_names.h"
#include "runtime/engine.h"

typedef struct maker {
    tn_engine *engine;
    tn_function *function;
    TN_ARRAY(tn_sym_node) nodes; /* grows while problems are read */
    tn_diag *diag;
} maker;

bool tn_tensor_span(tn_dtype dtype, uint32_t rank, const uint32_t *dims, const int64_t *values, size_t *out_bytes) {
    int64_t rows = 1, columns = rank > 0 ? values[dims[rank - 1]] : 1;
    for (uint32_t i = 0; i + 1 < rank; i++)
        if (values[dims[i]] < 0 || !tn_mul_i64(rows, values[dims[i]], &rows)) return false;
    return columns >= 0 && tn_dtype_matrix_bytes(dtype, rows, columns, out_bytes);
}

static void *take(maker *m, size_t count, size_t element_size, tn_status *status) {
    void *memory = tn_arena_alloc_array(&m->engine->arena, count, element_size);
    if (memory == NULL && *status == TN_OK) *status = tn_fail_memory(m->diag, "a function of the plan", count * element_size);
    return memory;
}

/* --- symbols -------------------------------------------------------------------------------------------------------------- */

static tn_sym find_constant(void *user, int64_t value) {
    maker *m = user;
    for (size_t i = 0; i < m->nodes.count; i++)
        if (m->nodes.data[i].op == TN_SYM_CONST && m->nodes.data[i].value == value) return (tn_sym)i;
    tn_sym_node node = {.op = TN_SYM_CONST, .value = value};
    if (m->nodes.count >= TN_SYM_INVALID || !tn_array_push(m->engine->allocator, &m->nodes, node)) return TN_SYM_INVALID;
    return (tn_sym)(m->nodes.count - 1);
}

static tn_status read_symbols(maker *m) {
    const tn_plan_view *view = m->engine->view;
    const tn_plan_function *record = m->function->record;
    if (!tn_array_reserve(m->engine->allocator, &m->nodes, record->num_symbols))
        return tn_fail_memory(m->diag, "symbols", record->num_symbols * sizeof(tn_sym_node));
    for (uint32_t i = 0; i < record->num_symbols; i++) {
        const tn_plan_symbol *symbol = &view->symbols[record->first_symbol + i];
        tn_sym_op op = tn_sym_op_find(tn_plan_string(view, symbol->op));
        m->nodes.data[m->nodes.count++] = (tn_sym_node){.op = op, .a = symbol->a, .b = symbol->b, .c = symbol->c, .value = symbol->value};
    }
    return TN_OK;
}

static bool is_known_leaf(const tn_function *function, const tn_sym_node *node) {
    return node->op == TN_SYM_INPUT_DIM || (node->op == TN_SYM_HOST_VALUE && function->tensors[node->a].space == TN_SPACE_INPUT);
}

static tn_status sort_symbols(maker *m) {
    tn_function *function = m->function;
    tn_status status = TN_OK;
    size_t num_leaves = 0;
    function->num_symbols = (uint32_t)m->nodes.count;
    function->nodes = take(m, m->nodes.count, sizeof *function->nodes, &status);
    function->is_late = take(m, m->nodes.count, sizeof *function->is_late, &status);
    if (status != TN_OK) return status;
    memcpy(function->nodes, m->nodes.data, m->nodes.count * sizeof *function->nodes);
    for (uint32_t i = 0; i < function->num_symbols; i++) {
        const tn_sym_node *node = &function->nodes[i];
        const uint32_t operands[3] = {node->a, node->b, node->c};
        if (is_known_leaf(function, node)) num_leaves++;
        if (node->op == TN_SYM_HOST_VALUE && !is_known_leaf(function, node)) function->is_late[i] = true;
        for (int k = 0; k < tn_sym_op_arity((tn_sym_op)node->op); k++)
            if (function->is_late[operands[k]]) function->is_late[i] = true;
    }
    function->leaves = take(m, num_leaves, sizeof *function->leaves, &status);
    if (status != TN_OK) return status;
    for (uint32_t i = 0; i < function->num_symbols; i++) {
        const tn_sym_node *node = &function->nodes[i];
        if (!is_known_leaf(function, node)) continue;
        bool is_host_value = node->op == TN_SYM_HOST_VALUE;
        function->leaves[function->num_leaves++] = (tn_leaf){i, node->a, node->b, is_host_value};
        function->num_late_inputs += is_host_value;
    }
    return TN_OK;
}

/* --- inputs and outputs ------------------------------------------------------------------------------------------------------ */

static tn_status read_tensors(maker *m) {
    const tn_plan_view *view = m->engine->view;
    tn_function *function = m->function;
    tn_status status = TN_OK;
    function->num_tensors = function->record->num_tensors;
    function->tensors = view->tensors + function->record->first_tensor;
    tn_dtype *dtypes = take(m, function->num_tensors, sizeof *dtypes, &status);
    function->io = take(m, function->num_tensors, sizeof *function->io, &status);
    if (status != TN_OK) return status;
    function->dtypes = dtypes;
    for (uint32_t i = 0; i < function->num_tensors; i++) {
        dtypes[i] = tn_dtype_find(tn_plan_string(view, function->tensors[i].dtype));
        uint32_t space = function->tensors[i].space;
        if (space == TN_SPACE_INPUT || space == TN_SPACE_OUTPUT) function->io[function->num_io++] = i;
    }
    const tn_plan_function *record = function->record;
    function->profile_rows = view->profiles + record->first_profile;
    function->num_profiles = record->num_profiles > 0 ? function->profile_rows[record->num_profiles - 1].profile + 1 : 1;
    return TN_OK;
}

static tn_status find_named_dims(maker *m) {
    tn_function *function = m->function;
    tn_status status = TN_OK;
    function->named_dims = take(m, (size_t)function->num_io * TN_MAX_RANK, sizeof *function->named_dims, &status);
    if (status != TN_OK) return status;
    for (uint32_t i = 0; i < function->num_io; i++) {
        const tn_plan_tensor *tensor = &function->tensors[function->io[i]];
        for (uint32_t axis = 0; axis < tensor->rank && tensor->space == TN_SPACE_INPUT; axis++) {
            const char *name = tn_engine_string(m->engine, tensor->dim_names[axis]);
            if (name[0] == '\0') continue;
            tn_named_dim found = {function->io[i], axis, function->io[i], axis};
            for (uint32_t k = 0; k < function->num_named_dims; k++) {
                const tn_named_dim *other = &function->named_dims[k];
                if (strcmp(tn_engine_string(m->engine, function->tensors[other->tensor].dim_names[other->axis]), name) != 0) continue;
                found.first_tensor = other->first_tensor;
                found.first_axis = other->first_axis;
                break;
            }
            function->named_dims[function->num_named_dims++] = found;
        }
    }
    return TN_OK;
}

/* --- operands against weights and states ---------------------------------------------------------------------------------------- */

static tn_status fail_step(const maker *m, const tn_function_step *step, const char *what) {
    tn_where where = {.subject = tn_engine_string(m->engine, step->record->name),
                      .file = tn_plan_path(m->engine->plan),
                      .hint = "build the plan again from its model: tenon build MODEL -o DIR"};
    return tn_fail_at(m->diag, TN_INVALID_DATA, &where, "cannot load plan: step '%s' of function '%s' %s",
                      tn_engine_string(m->engine, step->record->name), m->function->name, what);
}

static tn_status check_weight_dims(const maker *m, const tn_function_step *step, const tn_operand *operand, const tn_plan_ref *ref) {
    const tn_plan_weight *weight = &m->engine->view->weights[ref->id];
    for (uint32_t i = 0; i < operand->rank; i++) {
        const tn_sym_node *node = &m->nodes.data[operand->dims[i]];
        if (node->op != TN_SYM_CONST || node->value != weight->dims[i]) return fail_step(m, step, "reads a weight of another shape");
    }
    return TN_OK;
}

static bool kv_equal(const tn_kv_geometry *a, const tn_kv_geometry *b) {
    return a->num_layers == b->num_layers && a->num_kv_heads == b->num_kv_heads && a->k_dim == b->k_dim && a->v_dim == b->v_dim &&
           a->tokens_per_block == b->tokens_per_block && a->dtype == b->dtype;
}

/* Kernels compute addresses inside a state from their parameters, so these must be the state's. */
static bool fits_state(const tn_problem *problem, const tn_state_info *state) {
    const tn_op_params *params = problem->params;
    tn_kv_geometry geometry = {0};
    int64_t layer = -1;
    switch (problem->op) {
    case TN_OP_KV_CACHE_UPDATE:
        geometry = TN_KV_GEOMETRY(&params->kv_cache_update);
        layer = params->kv_cache_update.layer;
        break;
    case TN_OP_ATTENTION:
        geometry = TN_KV_GEOMETRY(&params->attention);
        layer = params->attention.layer;
        break;
    case TN_OP_QKV_CACHE:
        geometry = TN_KV_GEOMETRY(&params->qkv_cache);
        layer = params->qkv_cache.layer;
        break;
    case TN_OP_TOKEN_IDS:
        return strcmp(state->kind, "slots") == 0 && params->token_ids.vocab_size == state->vocab_size &&
               params->token_ids.max_seq_len == state->max_seq_len;
    case TN_OP_SAMPLE:
        return strcmp(state->kind, "slots") == 0 && params->sample.vocab_size == state->vocab_size &&
               params->sample.max_seq_len == state->max_seq_len;
    default: return false;
    }
    return strcmp(state->kind, "kv") == 0 && layer >= 0 && layer < state->kv.num_layers && kv_equal(&geometry, &state->kv);
}

static tn_status check_operands(maker *m, tn_function_step *step) {
    const tn_problem *problem = &step->problem;
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < problem->num_operands && status == TN_OK; i++) {
        const tn_operand *operand = &problem->operands[i];
        const tn_plan_ref *ref = &step->refs[i];
        if (ref->space == TN_SPACE_WEIGHT) {
            status = check_weight_dims(m, step, operand, ref);
            if (step->record->device == 0) m->engine->weights[ref->id].needs_host_copy = true;
        } else if (ref->space == TN_SPACE_STATE) {
            m->function->has_states = true;
            if (!fits_state(problem, &m->engine->states[ref->id])) status = fail_step(m, step, "uses a state of another shape");
        } else if (operand->role == TN_ROLE_OUTPUT && ref->space != TN_SPACE_NONE) {
            if ((m->function->tensors[ref->id].flags & TN_TENSOR_DEBUG) != 0) step->writes_debug = true;
        }
        step->num_buffers += ref->space == TN_SPACE_WEIGHT ? m->engine->weights[ref->id].num_buffers : 1;
    }
    return status;
}

/* --- steps ------------------------------------------------------------------------------------------------------------------------ */

/* A device without the tactic may still have others: choosing again needs neither model nor weights. */
static tn_status fail_incompatible(const maker *m, const tn_function_step *step, const char *tactic, const char *reason) {
    const tn_engine *engine = m->engine;
    char hint[512] = "choose tactics for this machine: tenon build --retune DIR";
    const char *path = tn_plan_path(engine->plan), *slash = strrchr(path, '/');
    if (slash != NULL && slash - path < 400)
        (void)snprintf(hint, sizeof hint, "choose tactics for this machine: tenon build --retune %.*s", (int)(slash - path), path);
    tn_where where = {.subject = tn_engine_string(engine, step->record->name), .file = path, .hint = hint};
    return tn_fail_at(m->diag, TN_INCOMPATIBLE, &where,
                      "cannot use plan%s%s here: step '%s' needs tactic '%s' (%s); it was made for %s, this is %s",
                      path[0] != '\0' ? " " : "", path, tn_engine_string(engine, step->record->name), tactic, reason,
                      engine->view->header->fingerprint, engine->device->info.fingerprint);
}

static tn_status find_tactics(maker *m, tn_function_step *step) {
    const tn_engine *engine = m->engine;
    tn_status status = TN_OK;
    const tn_tactic **tactics = take(m, step->record->num_variants, sizeof *tactics, &status);
    if (status != TN_OK) return status;
    step->tactics = tactics;
    for (uint32_t i = 0; i < step->record->num_variants; i++) {
        const tn_plan_variant *variant = &engine->view->variants[step->record->first_variant + i];
        const char *name = tn_engine_string(engine, variant->tactic);
        char reason[160] = "this build does not have it";
        const tn_tactic *tactic = tn_backend_find_tactic(engine->device->backend, name);
        if (tactic != NULL && tactic->version != variant->tactic_version) {
            (void)snprintf(reason, sizeof reason, "version %" PRIu32 ", this build has %" PRIu32, variant->tactic_version, tactic->version);
            tactic = NULL;
        }
        bool known = i > 0 && tactic == tactics[i - 1]; /* asked already */
        if (tactic == NULL || tactic->op != step->problem.op ||
            (!known && !tactic->supports(&engine->device->info, &step->problem, reason, sizeof reason)))
            return fail_incompatible(m, step, name, reason);
        tactics[i] = tactic;
    }
    return TN_OK;
}

/* The state, and so many tensors as a plugin can have. */
static bool problem_is_plugin_s(const tn_problem *problem) {
    const tn_operand *state = &problem->operands[0];
    uint32_t num_outputs = problem->num_operands - problem->num_inputs;
    if (problem->num_inputs < 1 || problem->num_inputs > TN_PLUGIN_MAX_TENSORS + 1 || num_outputs < 1 ||
        num_outputs > TN_PLUGIN_MAX_OUTPUTS)
        return false;
    return state->absent || (state->role == TN_ROLE_WEIGHT && state->dtype == TN_UINT8 && state->rank == 1 &&
                             state->encoding.kind == TN_ENCODING_PLAIN && state->encoding.storage == TN_UINT8);
}

static tn_status read_launch(maker *m, tn_function_step *step) {
    const tn_engine *engine = m->engine;
    const char *text = tn_engine_string(engine, step->record->problem);
    tn_status status =
        tn_problem_parse(text, find_constant, m, m->function->record->num_symbols, &m->engine->arena, m->diag, &step->problem);
    if (status == TN_OK) status = check_operands(m, step);
    if (status != TN_OK) return status;
    step->num_buffers++; /* the workspace */
    step->first_buffer = m->function->num_buffers;
    m->function->num_buffers += step->num_buffers;
    if (step->record->device == 1) return find_tactics(m, step);
    char reason[160] = "";
    if (step->problem.op == TN_OP_PLUGIN && problem_is_plugin_s(&step->problem)) return TN_OK;
    if (tn_ref_supports(&step->problem, reason, sizeof reason)) return TN_OK;
    return tn_fail(m->diag, TN_UNSUPPORTED, "cannot load plan: host step '%s': %s", tn_engine_string(engine, step->record->name), reason);
}

static void mark_late(maker *m, tn_function_step *step) {
    const tn_function *function = m->function;
    const tn_plan_step *record = step->record;
    step->has_late_guard = function->is_late[record->guard];
    step->is_late = record->kind == TN_STEP_LAUNCH && record->device == 1 && function->is_late[record->bucket_symbol];
    for (uint32_t i = 0; i < record->num_refs; i++)
        if (function->is_late[step->refs[i].index_symbol] || function->is_late[step->refs[i].stride_symbol]) step->is_late = true;
    for (uint32_t i = 0; i < step->problem.num_operands; i++)
        for (int k = 0; k < step->problem.operands[i].rank; k++)
            if (function->is_late[step->problem.operands[i].dims[k]]) step->is_late = true;
}

static tn_status read_steps(maker *m) {
    const tn_plan_view *view = m->engine->view;
    tn_function *function = m->function;
    tn_status status = TN_OK;
    function->num_steps = function->record->num_steps;
    function->steps = take(m, function->num_steps, sizeof *function->steps, &status);
    for (uint32_t i = 0; i < function->num_steps && status == TN_OK; i++) {
        tn_function_step *step = &function->steps[i];
        step->record = &view->steps[function->record->first_step + i];
        step->refs = view->refs + step->record->first_ref;
        if (step->record->kind != TN_STEP_LAUNCH || step->record->device == 0) function->has_host_work = true;
        if (step->record->kind == TN_STEP_LAUNCH) status = read_launch(m, step);
    }
    return status;
}

/* --- tensors between two steps ------------------------------------------------------------------------------------------------- */

static bool is_device_tensor(const tn_function *function, const tn_plan_ref *ref) {
    return ref->space == TN_SPACE_ACTIVATION && (function->tensors[ref->id].flags & TN_TENSOR_DEBUG) == 0;
}

static bool can_be_linked(const tn_function_step *step, uint32_t operand) {
    return step->record->kind == TN_STEP_LAUNCH && step->record->device == 1 && operand < step->problem.num_operands &&
           step->refs[operand].offset == 0 && step->refs[operand].stride_symbol == 0;
}

/* num_refs: steps' references to each tensor. writers: of each tensor, TN_NO_STEP before. */
static void mark_readers(tn_function *function, const uint32_t *num_refs, uint32_t *writers) {
    for (uint32_t i = 0; i < function->num_steps; i++) {
        tn_function_step *step = &function->steps[i];
        uint32_t output = step->problem.num_inputs;
        if (output > 0 && can_be_linked(step, 0) && is_device_tensor(function, &step->refs[0])) {
            uint32_t tensor = step->refs[0].id, writer = writers[tensor];
            if (writer != TN_NO_STEP && num_refs[tensor] == 2 && function->steps[writer].record->guard == step->record->guard)
                function->steps[writer].reader = i;
        }
        if (can_be_linked(step, output) && is_device_tensor(function, &step->refs[output])) writers[step->refs[output].id] = i;
    }
}

/* For tn_backend.link: tensors that two steps alone touch, under one condition, the first writing, the second reading. A late step has
 * launches of its segment prepared again in the middle of a run: such functions have none. */
static tn_status find_readers(maker *m) {
    tn_function *function = m->function;
    const tn_allocator *allocator = m->engine->allocator;
    uint32_t num_tensors = function->num_tensors, *counts = tn_alloc_array(allocator, num_tensors, 2 * sizeof *counts);
    bool has_late = false;
    if (counts == NULL) return tn_fail_memory(m->diag, "a function of the plan", num_tensors * 2 * sizeof *counts);
    for (uint32_t i = 0; i < num_tensors; i++) counts[num_tensors + i] = TN_NO_STEP;
    for (uint32_t i = 0; i < function->num_steps; i++) {
        function->steps[i].reader = TN_NO_STEP;
        has_late = has_late || function->steps[i].is_late || function->steps[i].has_late_guard;
        for (uint32_t k = 0; k < function->steps[i].record->num_refs; k++)
            if (is_device_tensor(function, &function->steps[i].refs[k])) counts[function->steps[i].refs[k].id]++;
    }
    if (!has_late) mark_readers(function, counts, counts + num_tensors);
    tn_free(allocator, counts);
    return TN_OK;
}

tn_status tn_function_make(tn_engine *engine, uint32_t index, tn_diag *diag) {
    tn_function *function = &engine->functions[index];
    maker m = {.engine = engine, .function = function, .diag = diag};
    function->record = &engine->view->functions[index];
    function->name = tn_engine_string(engine, function->record->name);
    tn_status status = read_tensors(&m);
    if (status == TN_OK) status = read_symbols(&m);
    if (status == TN_OK) status = find_named_dims(&m);
    if (status == TN_OK) status = read_steps(&m);
    if (status == TN_OK) status = sort_symbols(&m);
    for (uint32_t i = 0; i < function->num_steps && status == TN_OK; i++) mark_late(&m, &function->steps[i]);
    if (status == TN_OK) status = find_readers(&m);
    tn_array_deinit(engine->allocator, &m.nodes);
    return status;
}

const tn_function *tn_engine_find_function(const tn_engine *engine, const char *name) {
    for (uint32_t i = 0; i < engine->view->num_functions; i++)
        if (name == NULL || strcmp(engine->functions[i].name, name) == 0) return &engine->functions[i];
    return NULL;
}

int64_t tn_function_find_io(const tn_engine *engine, const tn_function *function, const char *name) {
    for (uint32_t i = 0; i < function->num_io; i++)
        if (strcmp(tn_engine_string(engine, function->tensors[function->io[i]].name), name) == 0) return function->io[i];
    return -1;
}
