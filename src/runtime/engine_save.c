/* SPDX-License-Identifier: Apache-2.0
 *
 * engine_save.c: the engine as a plan again. Tables are the plan's own; weights are the present ones, all inline, so that the
 * file stands alone. What a stripped plan still misses stays left out.
 */
#include <string.h>

#include "plan/plan_writer.h"
#include "runtime/engine.h"

static size_t section_bytes(const tn_plan_view *view, tn_plan_section_id id) {
    const tn_plan_section *sections = (const tn_plan_section *)(const void *)(view->header + 1);
    for (uint32_t i = 0; i < view->header->num_sections; i++)
        if (sections[i].id == (uint32_t)id) return (size_t)sections[i].size;
    return 0;
}

#define COPY_TABLE(writer, member, source, number)                                                                 \
    (tn_array_reserve((writer)->allocator, &(writer)->member, number) &&                                           \
     ((number) == 0 || memcpy((writer)->member.data, source, (number) * sizeof *(writer)->member.data) != NULL) && \
     ((writer)->member.count = (number), true))

/* Offsets of strings stay what they are. */
static bool copy_tables(tn_plan_writer *writer, const tn_plan_view *view) {
    size_t strings = section_bytes(view, TN_SECTION_STRINGS);
    memcpy(writer->header.builder_version, view->header->builder_version, sizeof writer->header.builder_version);
    memcpy(writer->header.fingerprint, view->header->fingerprint, sizeof writer->header.fingerprint);
    if (strings > 1) tn_text_append(&writer->strings, view->strings + 1, strings - 1);
    tn_text_append_string(&writer->meta, view->meta);
    return !writer->strings.failed && !writer->meta.failed && COPY_TABLE(writer, functions, view->functions, view->num_functions) &&
           COPY_TABLE(writer, tensors, view->tensors, view->num_tensors) && COPY_TABLE(writer, symbols, view->symbols, view->num_symbols) &&
           COPY_TABLE(writer, profiles, view->profiles, view->num_profiles) && COPY_TABLE(writer, steps, view->steps, view->num_steps) &&
           COPY_TABLE(writer, refs, view->refs, view->num_refs) && COPY_TABLE(writer, variants, view->variants, view->num_variants) &&
           COPY_TABLE(writer, states, view->states, view->num_states);
}

/* The packed bytes of a weight where the host can read them; in `arena` if they had to be fetched. */
static tn_status find_bytes(const tn_engine *engine, const tn_weight_slot *slot, size_t size_bytes, tn_arena *arena, tn_diag *diag,
                            const void **out_bytes) {
    tn_device *device = engine->device;
    *out_bytes = slot->host != NULL ? slot->host : slot->data;
    if (device->backend->is_host || slot->host != NULL) return TN_OK;
    tn_stream *stream;
    void *bytes = tn_arena_alloc(arena, size_bytes);
    if (bytes == NULL) return tn_fail_memory(diag, "a weight to save", size_bytes);
    tn_status status = device->backend->stream_create(device, diag, &stream);
    if (status != TN_OK) return status;
    status = device->backend->copy(stream, TN_COPY_TO_HOST, bytes, slot->data, size_bytes, diag);
    tn_status done = device->backend->stream_synchronize(stream, diag);
    device->backend->stream_destroy(stream);
    *out_bytes = bytes;
    return status == TN_OK ? done : status;
}

static tn_status add_weight(const tn_engine *engine, const tn_weight_set *set, uint32_t index, tn_plan_writer *writer, tn_arena *arena) {
    tn_plan_weight record = engine->view->weights[index];
    tn_plan_weight_source source = {0};
    uint32_t unused;
    tn_status status = TN_OK;
    record.file = 0;
    record.offset = 0;
    record.hash = 0;
    record.size = engine->weights[index].size_bytes;
    if (set->slots[index].data == NULL) {
        record.storage = TN_WEIGHT_STRIPPED;
        writer->header.flags |= TN_PLAN_STRIPPED;
    } else {
        record.storage = TN_WEIGHT_INLINE;
        status = find_bytes(engine, &set->slots[index], (size_t)record.size, arena, writer->diag, &source.packed);
    }
    return status == TN_OK ? tn_plan_writer_add_weight(writer, &record, &source, &unused) : status;
}

static void run_tasks(void *user, void (*task)(void *task_user, int64_t index, int worker), void *task_user, int64_t num_tasks) {
    tn_device *device = user;
    device->backend->run_host_tasks(device, task, task_user, num_tasks);
}

tn_status tn_engine_save(const tn_engine *engine, const char *path, tn_diag *diag) {
    if (engine == NULL || path == NULL) return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot save an engine: no engine or no path given");
    tn_plan_writer writer;
    tn_plan *plan = NULL;
    tn_arena arena = {.allocator = engine->allocator};
    unsigned generation;
    tn_weight_set *set = tn_engine_retain_weights((tn_engine *)engine, &generation);
    tn_plan_writer_init(&writer, engine->view->header->backend, engine->allocator, diag);
    tn_status status =
        copy_tables(&writer, engine->view) ? TN_OK : tn_fail_memory(diag, "the tables of a plan", engine->view->header->file_bytes);
    for (uint32_t i = 0; i < engine->view->num_weights && status == TN_OK; i++) status = add_weight(engine, set, i, &writer, &arena);
    if (status == TN_OK) {
        bool is_parallel = engine->device->backend->run_host_tasks != NULL;
        tn_plan_write_options options = {.path = path, .run_tasks = is_parallel ? run_tasks : NULL, .user = engine->device};
        status = tn_plan_writer_finish(&writer, &options, &plan);
    }
    tn_plan_destroy(plan);
    tn_plan_writer_deinit(&writer);
    tn_weight_set_release(set);
    tn_arena_deinit(&arena);
    return status;
}
