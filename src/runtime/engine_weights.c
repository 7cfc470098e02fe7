/* SPDX-License-Identifier: Apache-2.0
 *
 * engine_weights.c: brings a plan's weights to where the device wants them: used where they are (a plan in memory, a mapped
 * file), or copied into memory of the device, on all its threads, checksums compared on the way.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"
#include "runtime/engine.h"
#include "runtime/map_probe.h"
#include "runtime/weight_upload.h"
#include "weights/weights.h"

#define CHUNK_BYTES      ((size_t)8 << 20)
#define COPY_BELOW_BYTES ((size_t)2000000000)
#define WEIGHT_ALIGNMENT 64u

static const char *const rebuild_hint = "build the plan again from its model: tenon build MODEL -o DIR";

/* --- forms ------------------------------------------------------------------------------------------------------------------ */

static tn_status fail_form(const tn_engine *engine, tn_status code, const tn_weight_form *form, const char *what, tn_diag *diag) {
    tn_where where = {.subject = form->name, .file = tn_plan_path(engine->plan), .hint = rebuild_hint};
    return tn_fail_at(diag, code, &where, "cannot use plan %s: weight '%s' %s", tn_plan_path(engine->plan), form->name, what);
}

static tn_status make_form(tn_engine *engine, uint32_t index, tn_diag *diag) {
    const tn_plan_weight *record = &engine->view->weights[index];
    tn_weight_form *form = &engine->weights[index];
    const char *layout = tn_engine_string(engine, record->layout);
    char text[160];
    form->name = tn_engine_string(engine, record->name);
    form->desc.dtype = tn_dtype_find(tn_engine_string(engine, record->dtype));
    form->desc.dims.rank = (int32_t)record->rank;
    memcpy(form->desc.dims.d, record->dims, record->rank * sizeof record->dims[0]);
    if (!tn_encoding_parse(tn_engine_string(engine, record->encoding), &form->desc.encoding))
        return fail_form(engine, TN_INVALID_DATA, form, "has an unknown encoding", diag);
    bool is_plain = strcmp(layout, TN_LAYOUT_PLAIN) == 0;
    if (!is_plain) {
        form->layout = tn_backend_find_layout(engine->device->backend, layout);
        if (form->layout == NULL || form->layout->version != record->layout_version || !form->layout->accepts(&form->desc)) {
            (void)snprintf(text, sizeof text, "is stored as '%.60s' version %" PRIu32 ", which %s does not read", layout,
                           record->layout_version, engine->device->backend->name);
            return fail_form(engine, TN_INCOMPATIBLE, form, text, diag);
        }
    }
    if (tn_weights_packed_bytes(&form->desc, form->layout, &form->size_bytes) != TN_OK)
        return fail_form(engine, TN_INVALID_DATA, form, "has a shape that its encoding does not allow", diag);
    size_t data_bytes = 0;
    (void)tn_encoding_part_bytes(&form->desc.encoding, TN_PART_DATA, tn_weight_num_rows(&form->desc), tn_weight_num_columns(&form->desc),
                                 &data_bytes);
    /* what stays in a file of others has no padding behind it */
    bool unpadded = is_plain && record->storage == TN_WEIGHT_EXTERNAL && record->size == data_bytes;
    if (record->size != form->size_bytes && !unpadded) {
        (void)snprintf(text, sizeof text, "has %" PRIu64 " bytes, its layout '%.60s' has %zu", record->size, layout, form->size_bytes);
        return fail_form(engine, TN_INVALID_DATA, form, text, diag);
    }
    form->num_buffers = is_plain ? 0 : 1;
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS && is_plain; part++)
        if (part == TN_PART_DATA || tn_encoding_has_part(&form->desc.encoding, (tn_weight_part)part))
            form->part_offsets[form->num_buffers++] = tn_weights_plain_offset(&form->desc, (tn_weight_part)part);
    return TN_OK;
}

tn_status tn_engine_make_weight_forms(tn_engine *engine, tn_diag *diag) {
    uint32_t count = engine->view->num_weights;
    engine->weights = tn_arena_alloc_array(&engine->arena, count, sizeof *engine->weights);
    if (engine->weights == NULL) return tn_fail_memory(diag, "weights", count * sizeof *engine->weights);
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < count && status == TN_OK; i++) status = make_form(engine, i, diag);
    return status;
}

/* --- external files ----------------------------------------------------------------------------------------------------------- */

typedef struct loader {
    tn_engine *engine;
    tn_diag *diag;
    tn_weight_set *set;
    bool in_place;
    const tn_file *plan_file;             /* NULL: the plan is in memory */
    TN_ARRAY(tn_weight_block *) external; /* each keeps one open file */
    uint32_t *external_of;                /* [num_weights] index in `external` */
} loader;

static char *resolve_path(const loader *l, const char *path) {
    const char *plan_path = tn_plan_path(l->engine->plan), *slash = strrchr(plan_path, '/');
    if (path[0] == '/' || slash == NULL) return tn_copy_string(l->engine->allocator, path);
    tn_text text = {.allocator = l->engine->allocator};
    tn_text_append(&text, plan_path, (size_t)(slash - plan_path) + 1);
    tn_text_append_string(&text, path);
    if (!text.failed) return text.data;
    tn_text_deinit(&text);
    return NULL;
}

static tn_status open_external(loader *l, uint32_t index) {
    tn_engine *engine = l->engine;
    char *path = resolve_path(l, tn_engine_string(engine, engine->view->weights[index].file));
    tn_weight_block *block = NULL;
    tn_status status = TN_OK;
    if (path == NULL) return tn_fail_memory(l->diag, "a file name", 1);
    for (uint32_t i = 0; i < l->external.count; i++)
        if (strcmp(l->external.data[i]->file.path, path) == 0) {
            l->external_of[index] = i;
            goto cleanup;
        }
    status = tn_weight_block_create(engine, 0, l->diag, &block);
    if (status == TN_OK) status = tn_file_open(path, engine->allocator, l->diag, &block->file);
    if (status == TN_OK && !tn_array_push(engine->allocator, &l->external, block))
        status = tn_fail_memory(l->diag, "a table of files", sizeof block);
    if (status == TN_OK) {
        l->external_of[index] = (uint32_t)l->external.count - 1;
        block = NULL;
    } else if (status == TN_NOT_FOUND) {
        tn_where where = {
            .subject = engine->weights[index].name, .file = path, .hint = "put the file back where it was, or build the plan again"};
        status = tn_fail_at(l->diag, status, &where, "cannot load plan %s: weight '%s' stands in %s, which is not there",
                            tn_plan_path(engine->plan), engine->weights[index].name, path);
    }
cleanup:
    tn_weight_block_release(block);
    tn_free(engine->allocator, path);
    return status;
}

static const tn_file *file_of(const loader *l, uint32_t index, uint64_t *out_offset) {
    const tn_plan_weight *record = &l->engine->view->weights[index];
    bool is_external = record->storage == TN_WEIGHT_EXTERNAL;
    *out_offset = record->offset + (is_external ? 0 : l->engine->view->weight_data_offset);
    return is_external ? &l->external.data[l->external_of[index]]->file : l->plan_file;
}

static tn_status fail_hash(const loader *l, uint32_t index) {
    uint64_t offset;
    const tn_file *file = file_of(l, index, &offset);
    const char *name = l->engine->weights[index].name, *path = file != NULL ? file->path : "";
    tn_where where = {.subject = name, .file = path, .hint = rebuild_hint, .has_offset = true, .offset = (int64_t)offset};
    return tn_fail_at(l->diag, TN_INVALID_DATA, &where,
                      "cannot load plan %s: the checksum of weight '%s' differs (%" PRIu64 " bytes at byte %" PRIu64 " of %s)",
                      tn_plan_path(l->engine->plan), name, l->engine->view->weights[index].size, offset, path[0] != '\0' ? path : "memory");
}

/* --- in place ------------------------------------------------------------------------------------------------------------------ */

/* Can the bytes be used where the file is mapped? Kernels read whole packed weights at aligned addresses. */
static bool fits_in_place(const loader *l, uint32_t index) {
    uint64_t offset;
    const tn_file *file = file_of(l, index, &offset);
    size_t end;
    if (l->engine->view->weights[index].storage == TN_WEIGHT_INLINE) return true; /* checked at open */
    return offset % WEIGHT_ALIGNMENT == 0 && tn_add_size((size_t)offset, l->engine->weights[index].size_bytes, &end) &&
           end <= file->size_bytes;
}

static tn_status place(loader *l, uint32_t index, tn_weight_block *plan_block) {
    const tn_plan_weight *record = &l->engine->view->weights[index];
    tn_weight_slot *slot = &l->set->slots[index];
    if (record->storage == TN_WEIGHT_INLINE) {
        slot->data = (void *)(l->engine->view->weight_data + record->offset);
        slot->block = tn_weight_block_retain(plan_block);
    } else {
        tn_weight_block *block = l->external.data[l->external_of[index]];
        tn_status status = tn_file_map(&block->file, l->diag);
        if (status != TN_OK) return status;
        slot->data = (void *)(block->file.data + record->offset);
        slot->block = tn_weight_block_retain(block);
    }
    slot->host = slot->data;
    return TN_OK;
}

static tn_status place_weights(loader *l) {
    tn_weight_block *block;
    tn_status status = tn_weight_block_create(l->engine, 0, l->diag, &block);
    if (status != TN_OK) return status;
    block->plan = tn_plan_retain(l->engine->plan);
    for (uint32_t i = 0; i < l->engine->view->num_weights && status == TN_OK; i++)
        if (l->engine->view->weights[i].storage != TN_WEIGHT_STRIPPED && fits_in_place(l, i)) status = place(l, i, block);
    tn_weight_block_release(block);
    return status;
}

/* --- copying ------------------------------------------------------------------------------------------------------------------------ */

typedef struct copy_task {
    uint32_t weight;
    size_t offset, size_bytes;
} copy_task;

typedef struct copy_job {
    loader *l;
    copy_task *tasks;
    atomic_size_t *missing_bytes; /* [num_weights] */
    atomic_int status;            /* the first failure */
} copy_job;

static bool is_copied(const loader *l, uint32_t index) {
    return l->engine->view->weights[index].storage != TN_WEIGHT_STRIPPED && l->set->slots[index].data == NULL;
}

static tn_status read_bytes(const loader *l, uint32_t index, size_t offset, void *dst, size_t size_bytes) {
    uint64_t at;
    const tn_file *file = file_of(l, index, &at);
    if (file != NULL) return tn_file_read_at(file, at + offset, dst, size_bytes, l->diag);
    memcpy(dst, l->engine->view->weight_data + l->engine->view->weights[index].offset + offset, size_bytes);
    return TN_OK;
}

/* The worker that brings the last bytes of a weight compares its checksum. */
static void run_copy_task(void *user, int64_t task_index, int worker) {
    copy_job *job = user;
    const copy_task *task = &job->tasks[task_index];
    loader *l = job->l;
    const tn_plan_weight *record = &l->engine->view->weights[task->weight];
    uint8_t *data = job->l->set->slots[task->weight].data;
    (void)worker;
    if (atomic_load_explicit(&job->status, memory_order_relaxed) != TN_OK) return;
    tn_status status = read_bytes(l, task->weight, task->offset, data + task->offset, task->size_bytes);
    if (status == TN_OK &&
        atomic_fetch_sub_explicit(&job->missing_bytes[task->weight], task->size_bytes, memory_order_acq_rel) == task->size_bytes &&
        record->hash != 0 && tn_hash(data, (size_t)record->size, 0) != record->hash)
        status = fail_hash(l, task->weight);
    int expected = TN_OK;
    if (status != TN_OK) (void)atomic_compare_exchange_strong(&job->status, &expected, (int)status);
}

static tn_status copy_on_host(loader *l) {
    const tn_plan_view *view = l->engine->view;
    const tn_allocator *allocator = l->engine->allocator;
    const tn_backend *backend = l->engine->device->backend;
    copy_job job = {.l = l};
    TN_ARRAY(copy_task) tasks = {0};
    tn_status status = TN_OK;
    job.missing_bytes = tn_alloc_array(allocator, view->num_weights, sizeof *job.missing_bytes);
    if (job.missing_bytes == NULL) status = tn_fail_memory(l->diag, "loading weights", view->num_weights * sizeof *job.missing_bytes);
    for (uint32_t i = 0; i < view->num_weights && status == TN_OK; i++) {
        size_t size = (size_t)view->weights[i].size;
        if (l->set->slots[i].block == NULL || l->set->slots[i].block->memory == NULL) continue;
        atomic_init(&job.missing_bytes[i], size);
        for (size_t at = 0; at < size && status == TN_OK; at += CHUNK_BYTES) {
            copy_task task = {i, at, size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES};
            if (!tn_array_push(allocator, &tasks, task)) status = tn_fail_memory(l->diag, "loading weights", sizeof task);
        }
    }
    if (status == TN_OK) {
        job.tasks = tasks.data;
        atomic_init(&job.status, TN_OK);
        if (backend->run_host_tasks != NULL)
            backend->run_host_tasks(l->engine->device, run_copy_task, &job, (int64_t)tasks.count);
        else
            for (size_t i = 0; i < tasks.count; i++) run_copy_task(&job, (int64_t)i, 0);
        status = (tn_status)atomic_load(&job.status);
    }
    tn_array_deinit(allocator, &tasks);
    tn_free(allocator, job.missing_bytes);
    return status;
}

static tn_status read_for_upload(void *user, uint32_t weight, size_t offset, void *dst, size_t size_bytes) {
    return read_bytes(user, weight, offset, dst, size_bytes);
}

static tn_status fail_upload_hash(void *user, uint32_t weight) {
    return fail_hash(user, weight);
}

static tn_status copy_to_device(loader *l) {
    const tn_plan_view *view = l->engine->view;
    const tn_allocator *allocator = l->engine->allocator;
    tn_upload upload = {.device = l->engine->device,
                        .allocator = allocator,
                        .diag = l->diag,
                        .items = tn_alloc_array(allocator, view->num_weights, sizeof *upload.items),
                        .user = l,
                        .read = read_for_upload,
                        .fail_hash = fail_upload_hash};
    if (upload.items == NULL) return tn_fail_memory(l->diag, "loading weights", view->num_weights * sizeof *upload.items);
    for (uint32_t i = 0; i < view->num_weights; i++) {
        const tn_weight_slot *slot = &l->set->slots[i];
        if (slot->data == NULL) continue;
        upload.items[upload.num_items++] = (tn_upload_item){.dst = slot->data,
                                                            .host_copy = (void *)(uintptr_t)slot->host,
                                                            .size_bytes = (size_t)view->weights[i].size,
                                                            .hash = view->weights[i].hash,
                                                            .weight = i};
    }
    tn_status status = tn_weights_upload(&upload);
    tn_free(allocator, upload.items);
    return status;
}

static size_t aligned(size_t size) {
    return (size + WEIGHT_ALIGNMENT - 1) & ~(size_t)(WEIGHT_ALIGNMENT - 1);
}

static tn_status sum_copied(const loader *l, size_t *out_bytes) {
    size_t total = 0;
    for (uint32_t i = 0; i < l->engine->view->num_weights; i++)
        if (is_copied(l, i) && !tn_add_size(total, aligned(l->engine->weights[i].size_bytes), &total))
            return tn_fail(l->diag, TN_INVALID_DATA, "cannot load plan: its weights are too large");
    *out_bytes = total;
    return TN_OK;
}

/* Host steps read weights too: on a device with memory of its own they get a copy. */
static tn_status make_host_copies(loader *l) {
    const tn_engine *engine = l->engine;
    for (uint32_t i = 0; i < engine->view->num_weights; i++) {
        tn_weight_slot *slot = &l->set->slots[i];
        if (!engine->weights[i].needs_host_copy || slot->data == NULL) continue;
        tn_status status = tn_weight_block_create(l->engine, 0, l->diag, &slot->host_block);
        if (status != TN_OK) return status;
        slot->host_block->host_memory = tn_alloc_zero(engine->allocator, engine->weights[i].size_bytes);
        if (slot->host_block->host_memory == NULL) return tn_fail_memory(l->diag, "a weight for the host", engine->weights[i].size_bytes);
        slot->host = slot->host_block->host_memory;
    }
    return TN_OK;
}

static tn_status copy_weights(loader *l) {
    tn_engine *engine = l->engine;
    size_t total = 0;
    tn_weight_block *block = NULL;
    tn_status status = sum_copied(l, &total);
    if (status != TN_OK || total == 0) return status;
    status = tn_weight_block_create(engine, total, l->diag, &block);
    if (status != TN_OK) return status;
    size_t offset = 0;
    for (uint32_t i = 0; i < engine->view->num_weights; i++) {
        if (!is_copied(l, i)) continue;
        tn_weight_slot *slot = &l->set->slots[i];
        slot->data = (uint8_t *)block->memory + offset;
        slot->block = tn_weight_block_retain(block);
        if (engine->device->backend->is_host) slot->host = slot->data;
        offset += aligned(engine->weights[i].size_bytes);
    }
    tn_weight_block_release(block);
    if (engine->device->backend->is_host) return copy_on_host(l);
    status = make_host_copies(l);
    return status == TN_OK ? copy_to_device(l) : status;
}

/* --- checksums of what stays in place ------------------------------------------------------------------------------------------------- */

static tn_status verify_placed(loader *l) {
    for (uint32_t i = 0; i < l->engine->view->num_weights; i++) {
        const tn_plan_weight *record = &l->engine->view->weights[i];
        const tn_weight_slot *slot = &l->set->slots[i];
        if (slot->data == NULL || slot->block->memory != NULL || record->hash == 0) continue;
        if (tn_hash(slot->data, (size_t)record->size, 0) != record->hash) return fail_hash(l, i);
    }
    return TN_OK;
}

/* Runs beside the first requests; contexts refuse to go on once it found damage. */
static void *verify_in_background(void *user) {
    tn_engine *engine = user;
    unsigned generation;
    tn_weight_set *set = tn_engine_retain_weights(engine, &generation);
    for (uint32_t i = 0; i < engine->view->num_weights; i++) {
        const tn_plan_weight *record = &engine->view->weights[i];
        const tn_weight_slot *slot = &set->slots[i];
        if (slot->data == NULL || slot->block->memory != NULL || record->hash == 0) continue;
        if (atomic_load_explicit(&engine->verifier_stops, memory_order_relaxed)) break;
        if (tn_hash(slot->data, (size_t)record->size, 0) == record->hash) continue;
        atomic_store_explicit(&engine->damaged_weight, (int)i, memory_order_release);
        break;
    }
    tn_weight_set_release(set);
    return NULL;
}

void tn_engine_stop_verifier(tn_engine *engine) {
    if (!engine->has_verifier) return;
    atomic_store_explicit(&engine->verifier_stops, true, memory_order_relaxed);
    (void)pthread_join(engine->verifier, NULL);
    engine->has_verifier = false;
}

/* --- choosing --------------------------------------------------------------------------------------------------------------------------- */

static tn_status choose(loader *l, tn_weight_loading loading) {
    const tn_engine *engine = l->engine;
    bool is_host = engine->device->backend->is_host;
    size_t total = 0;
    if (loading == TN_WEIGHTS_MAP && !is_host)
        return tn_fail(l->diag, TN_UNSUPPORTED, "cannot map the weights: %s computes in memory of its own", engine->device->backend->name);
    tn_status status = sum_copied(l, &total);
    if (status != TN_OK) return status;
    if (loading == TN_WEIGHTS_AUTO && is_host)
        l->in_place = l->plan_file == NULL || total > tn_engine_room_bytes(engine) ||
                      (total >= COPY_BELOW_BYTES && tn_map_probe_is_fast(engine->device, l->plan_file));
    else
        l->in_place = loading == TN_WEIGHTS_MAP;
    return TN_OK;
}

static tn_status load(loader *l, const tn_engine_options *options) {
    tn_engine *engine = l->engine;
    tn_status status = TN_OK;
    (void)tn_plan_bytes(engine->plan, &l->plan_file);
    for (uint32_t i = 0; i < engine->view->num_weights && status == TN_OK; i++)
        if (engine->view->weights[i].storage == TN_WEIGHT_EXTERNAL) status = open_external(l, i);
    if (status == TN_OK) status = choose(l, options->weight_loading);
    if (status == TN_OK && l->in_place) status = place_weights(l);
    if (status == TN_OK) status = copy_weights(l);
    /* A plan in memory was made by this process or was given by a caller who can see it: verified when asked to. */
    if (status == TN_OK && options->verify_weights) status = verify_placed(l);
    for (uint32_t i = 0; i < engine->view->num_weights && status == TN_OK; i++) l->set->num_missing += l->set->slots[i].data == NULL;
    return status;
}

tn_status tn_engine_load_weights(tn_engine *engine, const tn_engine_options *options, tn_diag *diag) {
    loader l = {.engine = engine, .diag = diag};
    tn_status status = TN_OK;
    l.set = tn_weight_set_create(engine, diag);
    if (l.set == NULL) return TN_OUT_OF_MEMORY;
    l.external_of = tn_alloc_array(engine->allocator, engine->view->num_weights, sizeof *l.external_of);
    status =
        l.external_of != NULL ? load(&l, options) : tn_fail_memory(diag, "loading weights", engine->view->num_weights * sizeof(uint32_t));
    if (status == TN_OK) {
        tn_engine_set_weights(engine, l.set);
        l.set = NULL;
        bool maps_file = l.in_place && l.plan_file != NULL;
        if (maps_file && !options->verify_weights)
            engine->has_verifier = pthread_create(&engine->verifier, NULL, verify_in_background, engine) == 0;
    }
    for (size_t i = 0; i < l.external.count; i++) tn_weight_block_release(l.external.data[i]);
    tn_array_deinit(engine->allocator, &l.external);
    tn_free(engine->allocator, l.external_of);
    tn_weight_set_release(l.set);
    return status;
}
