/* SPDX-License-Identifier: Apache-2.0
 *
 * emit.c: the finished draft as records of a plan.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "builder/builder_internal.h"
#include "plan/symbol_names.h"
#include "weights/recipe_text.h"

#define STRING(writer, text) tn_plan_writer_string((writer), (text))

static tn_status fail_table(const tn_plan_writer *writer) {
    return tn_fail_memory(writer->diag, "a table of a plan", sizeof(tn_plan_tensor));
}

/* --- functions ------------------------------------------------------------------------------------------------------------------ */

static bool emit_tensor(tn_plan_writer *w, const tn_draft_tensor *tensor) {
    tn_plan_tensor record = {.name = STRING(w, tensor->name[0] != '\0' ? tensor->name : "unnamed"),
                             .dtype = STRING(w, tn_dtype_name(tensor->dtype)),
                             .role = STRING(w, tensor->role),
                             .space = tensor->space,
                             .place = tensor->place,
                             .rank = tensor->rank,
                             .flags = tensor->flags,
                             .first_step = tensor->first_step,
                             .last_step = tensor->last_step};
    for (uint32_t i = 0; i < tensor->rank; i++) {
        record.dims[i] = tensor->dims[i];
        record.max_dims[i] = tensor->max_dims[i];
        record.dim_names[i] = tensor->dim_names[i] != NULL ? STRING(w, tensor->dim_names[i]) : 0;
    }
    return tn_array_push(w->allocator, &w->tensors, record);
}

static bool emit_symbol(tn_plan_writer *w, const tn_sym_node *node) {
    tn_plan_symbol record = {.op = STRING(w, tn_sym_op_name(node->op)), .a = node->a, .b = node->b, .c = node->c, .value = node->value};
    return tn_array_push(w->allocator, &w->symbols, record);
}

static bool emit_step(tn_plan_writer *w, const tn_draft_function *f, const tn_draft_step *step) {
    tn_plan_step record = step->record;
    record.name = STRING(w, step->name[0] != '\0' ? step->name : "unnamed");
    record.first_ref = (uint32_t)w->refs.count;
    record.first_variant = (uint32_t)w->variants.count;
    record.num_variants = step->num_variants;
    if (step->has_problem) {
        tn_text text = {.allocator = w->allocator};
        tn_problem_print(&step->problem, f->symbols.data, f->symbols.count, &text);
        record.problem = text.failed ? 0 : STRING(w, text.data);
        bool failed = text.failed;
        tn_text_deinit(&text);
        if (failed) return false;
    }
    for (uint32_t i = 0; i < record.num_refs; i++)
        if (!tn_array_push(w->allocator, &w->refs, step->refs[i])) return false;
    for (uint32_t i = 0; i < step->num_variants; i++) {
        const tn_draft_variant *variant = &step->variants[i];
        tn_plan_variant out = {.profile = variant->profile,
                               .tactic = STRING(w, variant->tactic->name),
                               .tactic_version = variant->tactic->version,
                               .bucket_min = variant->bucket_min,
                               .bucket_max = variant->bucket_max,
                               .workspace_bytes = variant->workspace_bytes};
        if (!tn_array_push(w->allocator, &w->variants, out)) return false;
    }
    return tn_array_push(w->allocator, &w->steps, record);
}

static bool emit_function(tn_plan_writer *w, const tn_draft_function *f) {
    tn_plan_function record = {.name = STRING(w, f->name),
                               .first_tensor = (uint32_t)w->tensors.count,
                               .num_tensors = (uint32_t)f->tensors.count,
                               .first_symbol = (uint32_t)w->symbols.count,
                               .num_symbols = (uint32_t)f->symbols.count,
                               .first_step = (uint32_t)w->steps.count,
                               .num_steps = (uint32_t)f->steps.count,
                               .first_profile = (uint32_t)w->profiles.count,
                               .num_profiles = (uint32_t)f->profiles.count};
    bool good = true;
    for (size_t i = 0; i < f->tensors.count && good; i++) good = emit_tensor(w, &f->tensors.data[i]);
    for (size_t i = 0; i < f->symbols.count && good; i++) good = emit_symbol(w, &f->symbols.data[i]);
    for (size_t i = 0; i < f->profiles.count && good; i++) good = tn_array_push(w->allocator, &w->profiles, f->profiles.data[i]);
    for (size_t i = 0; i < f->steps.count && good; i++) good = emit_step(w, f, &f->steps.data[i]);
    return good && tn_array_push(w->allocator, &w->functions, record);
}

static bool emit_state(tn_plan_writer *w, const tn_network_state *state, uint32_t group) {
    tn_plan_state record = {.name = STRING(w, state->name), .kind = STRING(w, state->kind), .group = group};
    if (strcmp(state->kind, "kv") == 0) {
        record.dtype = STRING(w, tn_dtype_name(state->kv.dtype));
        record.num_layers = state->kv.num_layers;
        record.num_kv_heads = state->kv.num_kv_heads;
        record.k_dim = state->kv.k_dim;
        record.v_dim = state->kv.v_dim;
        record.tokens_per_block = state->kv.tokens_per_block;
        record.window = state->window;
        record.sink_tokens = state->sink_tokens;
    } else {
        record.vocab_size = state->vocab_size;
        record.max_seq_len = state->max_seq_len;
    }
    return tn_array_push(w->allocator, &w->states, record);
}

/* The group of "kv.<n>". */
static uint32_t group_of(const tn_network_state *state) {
    const char *dot = strrchr(state->name, '.');
    return dot != NULL ? (uint32_t)strtoul(dot + 1, NULL, 10) : 0;
}

tn_status tn_emit_functions(const tn_draft *draft, tn_plan_writer *writer) {
    for (size_t i = 0; i < draft->states.count; i++)
        if (!emit_state(writer, &draft->states.data[i], group_of(&draft->states.data[i]))) return fail_table(writer);
    for (size_t i = 0; i < draft->functions.count; i++)
        if (!emit_function(writer, &draft->functions.data[i])) return fail_table(writer);
    return TN_OK;
}

/* --- weights --------------------------------------------------------------------------------------------------------------------- */

static bool found_source(void *user, const tn_weights *leaf) {
    (void)user;
    (void)leaf;
    return false; /* stops at the first */
}

/* Where the plain bytes stand in the source as they are; false if they do not. */
static bool locate(const tn_draft_weight *weight, size_t size, const char **out_path, uint64_t *out_offset) {
    const tn_weights *x = weight->weights;
    if (x->op != TN_WEIGHTS_LOAD || x->source == NULL || x->source->locate == NULL || weight->layout != NULL) return false;
    size_t data;
    if (!tn_encoding_part_bytes(&x->desc.encoding, TN_PART_DATA, tn_weight_num_rows(&x->desc), tn_weight_num_columns(&x->desc), &data) ||
        data != size) /* one part, and a multiple of 64 bytes */
        return false;
    return x->source->locate(x->source, x->name, TN_PART_DATA, out_path, out_offset) == TN_OK;
}

static tn_status hash_external(const tn_draft *draft, const tn_weights *x, size_t size, uint64_t *out_hash) {
    const size_t chunk = (size_t)4 << 20;
    tn_hasher *hasher = tn_hasher_create();
    uint8_t *buffer = tn_alloc(draft->allocator, chunk);
    tn_status status = hasher != NULL && buffer != NULL ? TN_OK : tn_fail_memory(draft->diag, "reading a weight", chunk);
    for (size_t at = 0; at < size && status == TN_OK; at += chunk) {
        size_t count = size - at < chunk ? size - at : chunk;
        status = x->source->read(x->source, x->name, TN_PART_DATA, at, count, buffer, draft->diag);
        if (status == TN_OK) tn_hasher_update(hasher, buffer, count);
    }
    if (status == TN_OK) *out_hash = tn_hasher_get(hasher);
    tn_hasher_destroy(hasher);
    tn_free(draft->allocator, buffer);
    return status;
}

static tn_status set_external(const tn_draft *draft, tn_plan_writer *w, const tn_draft_weight *weight, const char *path, uint64_t offset,
                              tn_plan_weight *record) {
    char absolute[PATH_MAX];
    if (realpath(path, absolute) == NULL)
        return tn_fail(draft->diag, TN_IO_ERROR, "cannot find %s, where weight '%s' stands", path, weight->name);
    record->storage = TN_WEIGHT_EXTERNAL;
    record->file = STRING(w, absolute);
    record->offset = offset;
    return hash_external(draft, weight->weights, (size_t)record->size, &record->hash);
}

static tn_status emit_weight(const tn_draft *draft, const tn_builder_config *config, tn_plan_writer *w, const tn_draft_weight *weight) {
    const tn_weight_desc *desc = &weight->weights->desc;
    char encoding[64];
    size_t size = 0;
    if (tn_weights_packed_bytes(desc, weight->layout, &size) != TN_OK)
        return tn_fail_at(draft->diag, TN_INVALID_ARGUMENT, &(tn_where){.subject = weight->name},
                          "cannot pack weight '%s': it is too large", weight->name);
    tn_plan_weight record = {.name = STRING(w, weight->name),
                             .dtype = STRING(w, tn_dtype_name(desc->dtype)),
                             .encoding = STRING(w, tn_encoding_name(&desc->encoding, encoding)),
                             .layout = STRING(w, weight->layout != NULL ? weight->layout->name : TN_LAYOUT_PLAIN),
                             .layout_version = weight->layout != NULL ? weight->layout->version : 0,
                             .storage = TN_WEIGHT_INLINE,
                             .rank = (uint32_t)desc->dims.rank,
                             .size = size};
    for (int i = 0; i < desc->dims.rank; i++) record.dims[i] = desc->dims.d[i];
    bool has_source = !tn_weights_visit_sources(weight->weights, found_source, NULL);
    tn_text recipe = {.allocator = w->allocator};
    if ((config->refit || config->strip) && has_source && tn_weights_print(weight->weights, &recipe) && !recipe.failed)
        record.recipe = STRING(w, recipe.data);
    bool failed = recipe.failed;
    tn_text_deinit(&recipe);
    if (failed) return tn_fail_memory(draft->diag, "a weight's recipe", 256);
    tn_status status = TN_OK;
    const char *path;
    uint64_t offset;
    if (config->strip && record.recipe != 0 && !weight->is_host)
        record.storage = TN_WEIGHT_STRIPPED;
    else if (config->external_weights && !weight->is_host && size > 0 && locate(weight, size, &path, &offset))
        status = set_external(draft, w, weight, path, offset, &record);
    uint32_t index;
    tn_plan_weight_source source = {.recipe = weight->weights, .layout = weight->layout};
    return status == TN_OK ? tn_plan_writer_add_weight(w, &record, &source, &index) : status;
}

tn_status tn_emit_weights(const tn_draft *draft, const tn_builder_config *config, tn_plan_writer *writer) {
    tn_status status = TN_OK;
    if (config->strip) writer->header.flags |= TN_PLAN_STRIPPED;
    for (size_t i = 0; i < draft->weights.count && status == TN_OK; i++)
        status = emit_weight(draft, config, writer, &draft->weights.data[i]);
    return status;
}

/* --- meta -------------------------------------------------------------------------------------------------------------------------- */

void tn_emit_meta(const tn_draft *draft, const tn_builder_config *config, tn_plan_writer *writer) {
    static const char *const precisions[] = {
#define NAME(value, name) name,
        TN_ENUM_ACTIVATION_PRECISION(NAME)
#undef NAME
    };
    tn_text *meta = &writer->meta;
    tn_text_append_format(meta, "{\"model\":%s,\"builder\":{\"version\":\"%s\",\"activations\":\"%s\"",
                          config->model_info != NULL ? config->model_info : "{}", TN_VERSION, precisions[config->activations]);
    tn_text_append_format(meta, ",\"optimization_level\":%d,\"batch_invariant\":%s,\"host_fallback\":%s}", config->optimization_level,
                          config->batch_invariant ? "true" : "false", config->host_fallback ? "true" : "false");
    tn_text_append_format(meta, ",\"refused\":[%s]}", draft->refused != NULL && draft->refused->size > 0 ? draft->refused->data : "");
}
