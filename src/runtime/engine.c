/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.c: from a plan to an engine, and what can be asked of it.
 */
#include "runtime/engine.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

tn_status tn_take_options(const void *options, void *complete, size_t size_bytes, const char *what) {
    if (options == NULL) return TN_OK;
    size_t given;
    memcpy(&given, options, sizeof given); /* struct_size stands first */
    if (given < sizeof given || given > size_bytes)
        return tn_fail(NULL, TN_INVALID_ARGUMENT, "cannot create %s: its options were not filled by their init function", what);
    memcpy(complete, options, given);
    return TN_OK;
}

void tn_engine_options_init(tn_engine_options *options) {
    *options = (tn_engine_options){.struct_size = sizeof *options};
}

static tn_status fail_option(tn_diag *diag, const char *what) {
    return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot create an engine: %s", what);
}

/* --- the model object of META ------------------------------------------------------------------------------------------------ */

/* The end of the JSON value at `at`; NULL if it does not end. META was written by the builder; what is no JSON gives "{}". */
static const char *skip_json(const char *at) {
    int depth = 0;
    do {
        if (*at == '"') {
            for (at++; *at != '"'; at++)
                if (*at == '\0' || (*at == '\\' && *++at == '\0')) return NULL;
            at++;
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (depth > 0) {
            if (*at++ == '\0') return NULL;
        } else {
            size_t length = strcspn(at, ",:{}[]\" \t\r\n");
            if (length == 0) return NULL;
            at += length;
        }
    } while (depth > 0);
    return depth == 0 ? at : NULL;
}

static const char *skip_space(const char *at) {
    return at + strspn(at, " \t\r\n");
}

/* The value of the member "model" of an object, as text in the arena. */
static tn_status find_model_info(tn_engine *engine, tn_diag *diag) {
    const char *at = skip_space(engine->view->meta);
    engine->model_info = "{}";
    if (*at != '{') return TN_OK;
    for (at = skip_space(at + 1); *at == '"';) {
        const char *name = at, *name_end = skip_json(at);
        if (name_end == NULL) return TN_OK;
        at = skip_space(name_end);
        if (*at != ':') return TN_OK;
        const char *value = skip_space(at + 1), *value_end = skip_json(value);
        if (value_end == NULL) return TN_OK;
        if (*value == '{' && name_end - name == 7 && strncmp(name, "\"model\"", 7) == 0) {
            size_t size = (size_t)(value_end - value);
            engine->model_info = tn_arena_bytes(&engine->arena, value, size);
            return engine->model_info != NULL ? TN_OK : tn_fail_memory(diag, "the model's description", size);
        }
        at = skip_space(value_end);
        if (*at != ',') return TN_OK;
        at = skip_space(at + 1);
    }
    return TN_OK;
}

const char *tn_engine_model_info(const tn_engine *engine) {
    return engine->model_info;
}

/* --- states ---------------------------------------------------------------------------------------------------------------------- */

static tn_status read_states(tn_engine *engine, tn_diag *diag) {
    const tn_plan_view *view = engine->view;
    engine->states = tn_arena_alloc_array(&engine->arena, view->num_states, sizeof *engine->states);
    if (engine->states == NULL) return tn_fail_memory(diag, "states", view->num_states * sizeof *engine->states);
    for (uint32_t i = 0; i < view->num_states; i++) {
        const tn_plan_state *record = &view->states[i];
        tn_state_info *state = &engine->states[i];
        *state = (tn_state_info){.name = tn_engine_string(engine, record->name), .kind = tn_engine_string(engine, record->kind)};
        if (strcmp(state->kind, "kv") == 0) {
            state->kv =
                (tn_kv_geometry){record->num_layers, record->num_kv_heads,     record->k_dim,
                                 record->v_dim,      record->tokens_per_block, tn_dtype_find(tn_engine_string(engine, record->dtype))};
            state->window = record->window;
            state->sink_tokens = record->sink_tokens;
            state->unit_bytes = engine->device->backend->kv_block_bytes(engine->device, &state->kv);
        } else {
            state->vocab_size = record->vocab_size;
            state->max_seq_len = record->max_seq_len;
            state->unit_bytes = tn_slot_layout_make(record->vocab_size, record->max_seq_len).row_bytes;
        }
    }
    return TN_OK;
}

int tn_engine_num_states(const tn_engine *engine) {
    return (int)engine->view->num_states;
}

const tn_state_info *tn_engine_get_state(const tn_engine *engine, int index) {
    return index >= 0 && (uint32_t)index < engine->view->num_states ? &engine->states[index] : NULL;
}

/* --- loading ------------------------------------------------------------------------------------------------------------------------- */

static tn_status take_device(tn_engine *engine, const tn_engine_options *options, tn_diag *diag) {
    const char *backend = engine->view->header->backend;
    engine->device = options->device;
    if (engine->device == NULL) {
        tn_device_options device_options;
        tn_device_options_init(&device_options);
        device_options.diag = diag;
        device_options.allocator = engine->allocator;
        tn_status status = tn_device_create(backend, &device_options, &engine->device);
        engine->owns_device = status == TN_OK;
        return status;
    }
    if (strcmp(engine->device->backend->name, backend) == 0) return TN_OK;
    tn_where where = {.file = tn_plan_path(engine->plan), .hint = "build the plan for this device, or load it on the one it was made for"};
    return tn_fail_at(diag, TN_INCOMPATIBLE, &where, "cannot load plan %s: it was made for the backend '%s', the device is '%s'",
                      tn_plan_path(engine->plan), backend, engine->device->backend->name);
}

static tn_status fill_engine(tn_engine *engine, const tn_engine_options *options, tn_diag *diag) {
    tn_status status = take_device(engine, options, diag);
    if (status != TN_OK) return status;
    if (pthread_mutex_init(&engine->mutex, NULL) != 0) return tn_fail_memory(diag, "a lock", sizeof engine->mutex);
    engine->has_mutex = true;
    if (pthread_mutex_init(&engine->refit_mutex, NULL) != 0) return tn_fail_memory(diag, "a lock", sizeof engine->refit_mutex);
    engine->has_refit_mutex = true;
    status = find_model_info(engine, diag);
    if (status == TN_OK) status = read_states(engine, diag);
    if (status == TN_OK) status = tn_engine_make_weight_forms(engine, diag);
    if (status != TN_OK) return status;
    size_t num_functions = engine->view->num_functions;
    engine->functions = tn_arena_alloc_array(&engine->arena, num_functions, sizeof *engine->functions);
    if (engine->functions == NULL) return tn_fail_memory(diag, "functions", num_functions * sizeof *engine->functions);
    for (uint32_t i = 0; i < num_functions && status == TN_OK; i++) status = tn_function_make(engine, i, diag);
    if (status == TN_OK) status = tn_engine_load_weights(engine, options, diag);
    return status == TN_OK ? tn_engine_make_plugins(engine, options->plugins, diag) : status;
}

/* The engine takes over the caller's reference to the plan, on failure too. */
static tn_status create_engine(tn_plan *plan, const tn_engine_options *options, tn_engine **out_engine) {
    tn_engine *engine = tn_alloc_zero(options->allocator, sizeof *engine);
    if (engine == NULL) {
        tn_plan_destroy(plan);
        return tn_fail_memory(options->diag, "an engine", sizeof *engine);
    }
    if (options->allocator != NULL) {
        engine->allocator_copy = *options->allocator;
        engine->allocator = &engine->allocator_copy;
    }
    engine->arena.allocator = engine->allocator;
    engine->plan = plan;
    engine->view = tn_plan_get_view(plan);
    engine->memory_limit_bytes = options->memory_limit_bytes;
    atomic_init(&engine->damaged_weight, -1);
    tn_status status = fill_engine(engine, options, options->diag);
    if (status != TN_OK) {
        tn_engine_destroy(engine);
        return status;
    }
    *out_engine = engine;
    return TN_OK;
}

tn_status tn_engine_load(const char *path, const tn_engine_options *options, tn_engine **out_engine) {
    *out_engine = NULL;
    tn_engine_options complete;
    tn_engine_options_init(&complete);
    tn_status status = tn_take_options(options, &complete, sizeof complete, "an engine");
    if (status != TN_OK) return status;
    if (path == NULL) return fail_option(complete.diag, "no path given");
    tn_plan *plan;
    status = tn_plan_open_file(path, complete.allocator, complete.diag, &plan);
    return status == TN_OK ? create_engine(plan, &complete, out_engine) : status;
}

tn_status tn_engine_load_memory(const void *bytes, size_t size_bytes, const tn_engine_options *options, tn_engine **out_engine) {
    *out_engine = NULL;
    tn_engine_options complete;
    tn_engine_options_init(&complete);
    tn_status status = tn_take_options(options, &complete, sizeof complete, "an engine");
    if (status != TN_OK) return status;
    if (bytes == NULL) return fail_option(complete.diag, "no bytes given");
    tn_plan *plan;
    status = tn_plan_open_memory(bytes, size_bytes, NULL, NULL, complete.allocator, complete.diag, &plan);
    return status == TN_OK ? create_engine(plan, &complete, out_engine) : status;
}

tn_status tn_engine_create(tn_plan *plan, const tn_engine_options *options, tn_engine **out_engine) {
    *out_engine = NULL;
    tn_engine_options complete;
    tn_engine_options_init(&complete);
    tn_status status = tn_take_options(options, &complete, sizeof complete, "an engine");
    if (status != TN_OK) return status;
    if (plan == NULL) return fail_option(complete.diag, "no plan given");
    return create_engine(tn_plan_retain(plan), &complete, out_engine);
}

void tn_engine_destroy(tn_engine *engine) {
    if (engine == NULL) return;
    tn_engine_stop_verifier(engine);
    tn_engine_destroy_plugins(engine);
    tn_weight_set_release(engine->present);
    if (engine->has_mutex) (void)pthread_mutex_destroy(&engine->mutex);
    if (engine->has_refit_mutex) (void)pthread_mutex_destroy(&engine->refit_mutex);
    tn_arena_deinit(&engine->arena);
    if (engine->owns_device) tn_device_destroy(engine->device);
    tn_plan_destroy(engine->plan);
    tn_allocator copy = engine->allocator_copy;
    tn_free(engine->allocator != NULL ? &copy : NULL, engine);
}

/* --- questions ------------------------------------------------------------------------------------------------------------------------- */

tn_device *tn_engine_device(const tn_engine *engine) {
    return engine->device;
}

bool tn_engine_is_asynchronous(const tn_engine *engine) {
    return !engine->device->backend->is_host;
}

int tn_engine_num_functions(const tn_engine *engine) {
    return (int)engine->view->num_functions;
}

const char *tn_engine_function_name(const tn_engine *engine, int function) {
    return function >= 0 && (uint32_t)function < engine->view->num_functions ? engine->functions[function].name : NULL;
}

bool tn_engine_has_function(const tn_engine *engine, const char *function) {
    return tn_engine_find_function(engine, function) != NULL;
}

int tn_engine_num_io(const tn_engine *engine, const char *function) {
    const tn_function *found = tn_engine_find_function(engine, function);
    return found != NULL ? (int)found->num_io : 0;
}

tn_status tn_engine_get_io(const tn_engine *engine, const char *function, int index, tn_io_info *out_info) {
    *out_info = (tn_io_info){.name = "", .role = ""};
    const tn_function *found = tn_engine_find_function(engine, function);
    if (found == NULL || index < 0 || (uint32_t)index >= found->num_io) return TN_NOT_FOUND;
    uint32_t id = found->io[index];
    const tn_plan_tensor *tensor = &found->tensors[id];
    *out_info = (tn_io_info){.name = tn_engine_string(engine, tensor->name),
                             .role = tn_engine_string(engine, tensor->role),
                             .dtype = found->dtypes[id],
                             .dims.rank = (int32_t)tensor->rank,
                             .is_input = tensor->space == TN_SPACE_INPUT,
                             .is_on_host = tensor->place == 1};
    for (uint32_t i = 0; i < tensor->rank; i++) {
        const tn_sym_node *node = &found->nodes[tensor->dims[i]];
        out_info->dims.d[i] = node->op == TN_SYM_CONST ? node->value : -1;
    }
    return TN_OK;
}

int64_t tn_engine_max_dim(const tn_engine *engine, const char *function, const char *dim_name) {
    const tn_function *found = tn_engine_find_function(engine, function);
    int64_t max = -1;
    if (found == NULL) return max;
    for (uint32_t i = 0; i < found->num_named_dims; i++) {
        const tn_named_dim *dim = &found->named_dims[i];
        const tn_plan_tensor *tensor = &found->tensors[dim->tensor];
        if (strcmp(tn_engine_string(engine, tensor->dim_names[dim->axis]), dim_name) != 0) continue;
        const tn_sym_node *node = &found->nodes[tensor->dims[dim->axis]];
        if (node->op == TN_SYM_CONST && node->value > max) max = node->value;
        for (uint32_t k = 0; k < found->record->num_profiles; k++) {
            const tn_plan_profile *row = &found->profile_rows[k];
            if (row->tensor == dim->tensor && row->axis == dim->axis && row->max > max) max = row->max;
        }
    }
    return max;
}
