/* SPDX-License-Identifier: Apache-2.0
 *
 * refit.c: new values for named source tensors: recipes run again for what they reach, the rest of the weights is shared, and
 * the new set takes the place of the old one at once.
 *
 * A recipe of several tensors of which some are not given keeps their rows from the present weight, unpacked through its
 * layout. That works as long as each row comes from one side; where an operation mixes both in a row, all must be given.
 */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "runtime/engine.h"
#include "runtime/refit_rows.h"
#include "weights/recipe_text.h"

enum { ALIGNMENT = 64 };
#define TASK_BYTES ((int64_t)4 << 20)

typedef struct refit_tensor {
    const char *name; /* of the recipe */
    tn_weight_desc desc;
    const void *data; /* borrowed; NULL: not given */
} refit_tensor;

struct tn_refitter {
    tn_weight_source source; /* what recipes load from; first, so that a pointer to it is one to the refitter */
    tn_engine *engine;
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_arena arena;
    const tn_weights **recipes; /* [num_weights]; NULL: cannot be refitted */
    TN_ARRAY(refit_tensor) tensors;
    TN_ARRAY(const char *) missing;
};

/* --- tensors by name ------------------------------------------------------------------------------------------------------------- */

static refit_tensor *find_tensor(const tn_refitter *refitter, const char *name) {
    for (size_t i = 0; i < refitter->tensors.count; i++)
        if (strcmp(refitter->tensors.data[i].name, name) == 0) return &refitter->tensors.data[i];
    return NULL;
}

static bool is_given(void *user, const tn_weights *leaf) {
    const refit_tensor *tensor = find_tensor(user, leaf->name);
    return tensor != NULL && tensor->data != NULL;
}

static tn_status find(tn_weight_source *source, const char *name, tn_weight_desc *out_desc) {
    const refit_tensor *tensor = find_tensor((tn_refitter *)source, name);
    if (tensor == NULL) return TN_NOT_FOUND;
    *out_desc = tensor->desc;
    return TN_OK;
}

static tn_status read(tn_weight_source *source, const char *name, tn_weight_part part, uint64_t offset, size_t size_bytes, void *dst,
                      tn_diag *diag) {
    const refit_tensor *tensor = find_tensor((tn_refitter *)source, name);
    if (tensor == NULL || tensor->data == NULL) return tn_fail(diag, TN_NOT_FOUND, "cannot refit: tensor '%s' is not given", name);
    memcpy(dst, (const uint8_t *)tensor->data + tn_weights_plain_offset(&tensor->desc, part) + offset, size_bytes);
    return TN_OK;
}

static bool add_tensor(void *user, const tn_weights *leaf) {
    tn_refitter *refitter = user;
    if (find_tensor(refitter, leaf->name) != NULL) return true;
    refit_tensor tensor = {.name = leaf->name, .desc = leaf->desc};
    return tn_array_push(refitter->allocator, &refitter->tensors, tensor);
}

typedef struct missing_finder {
    tn_refitter *refitter;
    bool out_of_memory;
} missing_finder;

static bool add_missing(void *user, const tn_weights *leaf) {
    missing_finder *finder = user;
    tn_refitter *refitter = finder->refitter;
    if (is_given(refitter, leaf)) return true;
    for (size_t i = 0; i < refitter->missing.count; i++)
        if (strcmp(refitter->missing.data[i], leaf->name) == 0) return true;
    finder->out_of_memory = !tn_array_push(refitter->allocator, &refitter->missing, leaf->name);
    return !finder->out_of_memory;
}

/* Names that weights without any value still wait for. */
static tn_status find_missing(tn_refitter *refitter) {
    unsigned generation;
    tn_weight_set *set = tn_engine_retain_weights(refitter->engine, &generation);
    missing_finder finder = {.refitter = refitter};
    refitter->missing.count = 0;
    for (uint32_t i = 0; i < refitter->engine->view->num_weights && !finder.out_of_memory; i++)
        if (set->slots[i].data == NULL && refitter->recipes[i] != NULL)
            (void)tn_weights_visit_sources(refitter->recipes[i], add_missing, &finder);
    tn_weight_set_release(set);
    return finder.out_of_memory ? tn_fail_memory(refitter->diag, "a list of names", sizeof(char *)) : TN_OK;
}

/* --- the object -------------------------------------------------------------------------------------------------------------------- */

/* A recipe must make what the weight is. */
static tn_status read_recipe(tn_refitter *refitter, uint32_t index) {
    const tn_engine *engine = refitter->engine;
    const tn_weight_form *form = &engine->weights[index];
    const char *text = tn_engine_string(engine, engine->view->weights[index].recipe);
    if (text[0] == '\0') return TN_OK;
    const tn_weights *recipe;
    tn_status status = tn_weights_parse(text, &refitter->source, &refitter->arena, refitter->diag, &recipe);
    if (status != TN_OK) return status;
    if (!tn_encoding_equal(&recipe->desc.encoding, &form->desc.encoding) ||
        tn_weight_num_rows(&recipe->desc) != tn_weight_num_rows(&form->desc) ||
        tn_weight_num_columns(&recipe->desc) != tn_weight_num_columns(&form->desc))
        return tn_fail(refitter->diag, TN_INVALID_DATA, "cannot refit weight '%s': its recipe makes something else", form->name);
    refitter->recipes[index] = recipe;
    if (!tn_weights_visit_sources(recipe, add_tensor, refitter))
        return tn_fail_memory(refitter->diag, "a table of tensors", sizeof(refit_tensor));
    return TN_OK;
}

tn_status tn_refitter_create(tn_engine *engine, tn_diag *diag, tn_refitter **out_refitter) {
    *out_refitter = NULL;
    if (engine == NULL) return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot refit: no engine given");
    tn_refitter *refitter = tn_alloc_zero(engine->allocator, sizeof *refitter);
    if (refitter == NULL) return tn_fail_memory(diag, "a refitter", sizeof *refitter);
    refitter->source = (tn_weight_source){.find = find, .read = read};
    refitter->engine = engine;
    refitter->allocator = engine->allocator;
    refitter->diag = diag;
    refitter->arena.allocator = engine->allocator;
    tn_status status = TN_OK;
    refitter->recipes = tn_arena_alloc_array(&refitter->arena, engine->view->num_weights, sizeof *refitter->recipes);
    if (refitter->recipes == NULL) status = tn_fail_memory(diag, "recipes", engine->view->num_weights * sizeof *refitter->recipes);
    for (uint32_t i = 0; i < engine->view->num_weights && status == TN_OK; i++) status = read_recipe(refitter, i);
    if (status == TN_OK) status = find_missing(refitter);
    if (status != TN_OK) {
        tn_refitter_destroy(refitter);
        return status;
    }
    *out_refitter = refitter;
    return TN_OK;
}

void tn_refitter_destroy(tn_refitter *refitter) {
    if (refitter == NULL) return;
    tn_array_deinit(refitter->allocator, &refitter->tensors);
    tn_array_deinit(refitter->allocator, &refitter->missing);
    tn_arena_deinit(&refitter->arena);
    tn_free(refitter->allocator, refitter);
}

/* One part alone has no padding behind it. */
static size_t given_bytes(const tn_weight_desc *desc) {
    size_t bytes = 0;
    int num_parts = 0;
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) num_parts += tn_encoding_has_part(&desc->encoding, (tn_weight_part)part);
    bool sized = num_parts > 1
                     ? tn_weights_packed_bytes(desc, NULL, &bytes) == TN_OK
                     : tn_encoding_part_bytes(&desc->encoding, TN_PART_DATA, tn_weight_num_rows(desc), tn_weight_num_columns(desc), &bytes);
    return sized ? bytes : 0;
}

tn_status tn_refitter_set(tn_refitter *refitter, const char *name, const void *data, size_t size_bytes) {
    refit_tensor *tensor = name != NULL ? find_tensor(refitter, name) : NULL;
    if (tensor == NULL) {
        tn_where where = {.subject = name, .hint = "names are those of the model's files; weights of a plan built without refit have none"};
        return tn_fail_at(refitter->diag, TN_NOT_FOUND, &where, "cannot refit tensor '%s': no weight of the plan is made from it",
                          name != NULL ? name : "");
    }
    size_t expected = given_bytes(&tensor->desc);
    char encoding[64];
    if (data == NULL || size_bytes != expected)
        return tn_fail(refitter->diag, TN_INVALID_ARGUMENT, "cannot refit tensor '%s': %zu bytes given, as %s it has %zu", name, size_bytes,
                       tn_encoding_name(&tensor->desc.encoding, encoding), expected);
    tensor->data = data;
    return find_missing(refitter);
}

int tn_refitter_num_missing(const tn_refitter *refitter) {
    return (int)refitter->missing.count;
}

const char *tn_refitter_missing(const tn_refitter *refitter, int index) {
    return index >= 0 && (size_t)index < refitter->missing.count ? refitter->missing.data[index] : NULL;
}

/* --- making one weight ----------------------------------------------------------------------------------------------------------------- */

typedef struct pack_job {
    tn_refitter *refitter;
    const tn_weights *recipe;
    const tn_weight_form *form;
    const uint8_t *present; /* packed; NULL: everything is given */
    uint8_t *dst;
    int64_t rows, rows_each;
    atomic_int status;
} pack_job;

static tn_status pack_new_rows(const pack_job *job, int64_t begin, int64_t end, int64_t first, void *const *parts, tn_arena *scratch) {
    const tn_encoding *encoding = &job->form->desc.encoding;
    int64_t columns = tn_weight_num_columns(&job->form->desc);
    void *at[TN_NUM_WEIGHT_PARTS];
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t offset = 0;
        at[part] = parts[part];
        if (parts[part] == NULL) continue;
        if (!tn_encoding_part_bytes(encoding, (tn_weight_part)part, begin - first, columns, &offset))
            return tn_fail(job->refitter->diag, TN_INTERNAL, "cannot size a weight's rows");
        at[part] = (uint8_t *)parts[part] + offset;
    }
    return tn_weights_read_rows(job->recipe, begin, end, at, scratch, job->refitter->diag);
}

/* Rows [begin, end): the present ones, then the new ones over them. */
static tn_status pack_mixed(const pack_job *job, int64_t begin, int64_t end, tn_arena *scratch) {
    const tn_weight_desc *desc = &job->form->desc;
    int64_t columns = tn_weight_num_columns(desc);
    void *parts[TN_NUM_WEIGHT_PARTS] = {NULL};
    tn_weight_parts packed_parts = {{NULL}};
    tn_status status = TN_OK;
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes = 0, before = 0;
        if (!tn_encoding_has_part(&desc->encoding, (tn_weight_part)part)) continue;
        (void)tn_encoding_part_bytes(&desc->encoding, (tn_weight_part)part, end - begin, columns, &bytes);
        (void)tn_encoding_part_bytes(&desc->encoding, (tn_weight_part)part, begin, columns, &before);
        if (job->form->layout != NULL) {
            parts[part] = tn_arena_alloc(scratch, bytes);
            if (parts[part] == NULL) return tn_fail_memory(job->refitter->diag, "rows of a weight", bytes);
        } else {
            size_t offset = tn_weights_plain_offset(desc, (tn_weight_part)part) + before;
            memcpy(job->dst + offset, job->present + offset, bytes);
            parts[part] = job->dst + offset;
        }
        packed_parts.part[part] = parts[part];
    }
    if (job->form->layout != NULL) status = job->form->layout->unpack_rows(desc, job->present, begin, end, parts);
    for (int64_t row = begin; row < end && status == TN_OK;) {
        int64_t stop = row;
        while (stop < end && (tn_weights_row_origin(job->recipe, stop, is_given, job->refitter) & TN_ROW_FROM_GIVEN) != 0) stop++;
        if (stop > row) status = pack_new_rows(job, row, stop, begin, parts, scratch);
        row = stop > row ? stop : row + 1;
    }
    if (status != TN_OK || job->form->layout == NULL) return status;
    return job->form->layout->pack_rows(desc, &packed_parts, begin, end, job->dst);
}

static void run_pack_task(void *user, int64_t index, int worker) {
    pack_job *job = user;
    (void)worker;
    if (atomic_load_explicit(&job->status, memory_order_relaxed) != TN_OK) return;
    int64_t begin = index * job->rows_each, end = job->rows - begin < job->rows_each ? job->rows : begin + job->rows_each;
    tn_arena scratch = {.allocator = job->refitter->allocator};
    tn_status status = job->present != NULL
                           ? pack_mixed(job, begin, end, &scratch)
                           : tn_weights_pack_range(job->recipe, job->form->layout, begin, end, job->dst, &scratch, job->refitter->diag);
    tn_arena_deinit(&scratch);
    int expected = TN_OK;
    if (status != TN_OK) (void)atomic_compare_exchange_strong(&job->status, &expected, (int)status);
}

static tn_status pack(tn_refitter *refitter, uint32_t index, const uint8_t *present, uint8_t *dst) {
    tn_device *device = refitter->engine->device;
    pack_job job = {.refitter = refitter,
                    .recipe = refitter->recipes[index],
                    .form = &refitter->engine->weights[index],
                    .present = present,
                    .dst = dst};
    job.rows = tn_weight_num_rows(&job.form->desc);
    if (job.rows == 0) return TN_OK;
    int64_t step = tn_weights_pack_step(job.recipe, job.form->layout), row_bytes = (int64_t)job.form->size_bytes / job.rows + 1;
    job.rows_each = TASK_BYTES / row_bytes / step * step;
    if (job.rows_each < step) job.rows_each = step;
    atomic_init(&job.status, TN_OK);
    int64_t num_tasks = (job.rows + job.rows_each - 1) / job.rows_each;
    if (device->backend->run_host_tasks != NULL)
        device->backend->run_host_tasks(device, run_pack_task, &job, num_tasks);
    else
        for (int64_t i = 0; i < num_tasks; i++) run_pack_task(&job, i, 0);
    return (tn_status)atomic_load(&job.status);
}

/* Host memory aligned as layouts like it. */
static void *allocate_aligned(const tn_allocator *allocator, size_t size_bytes, void **out_block) {
    *out_block = tn_alloc_zero(allocator, size_bytes + ALIGNMENT);
    return *out_block != NULL ? (void *)(((uintptr_t)*out_block + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1)) : NULL;
}

static tn_status copy_across(tn_refitter *refitter, tn_copy_direction direction, void *dst, const void *src, size_t size_bytes) {
    tn_device *device = refitter->engine->device;
    tn_stream *stream;
    tn_status status = device->backend->stream_create(device, refitter->diag, &stream);
    if (status != TN_OK) return status;
    status = device->backend->copy(stream, direction, dst, src, size_bytes, refitter->diag);
    tn_status done = device->backend->stream_synchronize(stream, refitter->diag);
    device->backend->stream_destroy(stream);
    return status == TN_OK ? done : status;
}

/* On a device with memory of its own the weight is made on the host and sent there. */
static tn_status make_through_host(tn_refitter *refitter, uint32_t index, const void *present, tn_weight_slot *slot) {
    const tn_weight_form *form = &refitter->engine->weights[index];
    void *old_block = NULL, *new_block = NULL, *old_bytes = NULL;
    tn_status status = TN_OK;
    uint8_t *bytes = allocate_aligned(refitter->allocator, form->size_bytes, &new_block);
    if (present != NULL) old_bytes = allocate_aligned(refitter->allocator, form->size_bytes, &old_block);
    if (bytes == NULL || (present != NULL && old_bytes == NULL)) {
        status = tn_fail_memory(refitter->diag, form->name, form->size_bytes);
        goto cleanup;
    }
    if (present != NULL) status = copy_across(refitter, TN_COPY_TO_HOST, old_bytes, present, form->size_bytes);
    if (status == TN_OK) status = pack(refitter, index, old_bytes, bytes);
    if (status == TN_OK) status = copy_across(refitter, TN_COPY_TO_DEVICE, slot->data, bytes, form->size_bytes);
    if (status == TN_OK && form->needs_host_copy) {
        status = tn_weight_block_create(refitter->engine, 0, refitter->diag, &slot->host_block);
        if (status != TN_OK) goto cleanup;
        slot->host_block->host_memory = tn_copy_bytes(refitter->allocator, bytes, form->size_bytes);
        slot->host = slot->host_block->host_memory;
        if (slot->host == NULL) status = tn_fail_memory(refitter->diag, form->name, form->size_bytes);
    }
cleanup:
    tn_free(refitter->allocator, old_block);
    tn_free(refitter->allocator, new_block);
    return status;
}

static tn_status make_weight(tn_refitter *refitter, uint32_t index, const void *present, tn_weight_slot *slot) {
    const tn_weight_form *form = &refitter->engine->weights[index];
    tn_status status = tn_weight_block_create(refitter->engine, form->size_bytes, refitter->diag, &slot->block);
    if (status != TN_OK) return status;
    slot->data = slot->block->memory;
    if (!refitter->engine->device->backend->is_host) return make_through_host(refitter, index, present, slot);
    slot->host = slot->data;
    return pack(refitter, index, present, slot->data);
}

/* --- committing --------------------------------------------------------------------------------------------------------------------------- */

static const char *first_not_given(const tn_refitter *refitter, const tn_weights *weights) {
    if (weights->op == TN_WEIGHTS_LOAD || (weights->op == TN_WEIGHTS_VALUE && weights->name != NULL))
        return is_given((void *)refitter, weights) ? NULL : weights->name;
    const char *name = NULL;
    for (uint32_t i = 0; i < weights->num_inputs && name == NULL; i++) name = first_not_given(refitter, weights->inputs[i]);
    return name;
}

/* Can the rows of what is not given be kept? */
static tn_status check_rows(const tn_refitter *refitter, uint32_t index, bool has_present) {
    const tn_weights *recipe = refitter->recipes[index];
    const tn_encoding *encoding = &recipe->desc.encoding;
    bool apart =
        has_present && (encoding->kind != TN_ENCODING_AFFINE || encoding->block_rows == 1) && !encoding->has_scale2 && !encoding->has_perm;
    for (int64_t row = 0; row < tn_weight_num_rows(&recipe->desc) && apart; row++)
        apart = tn_weights_row_origin(recipe, row, is_given, (void *)refitter) != (TN_ROW_FROM_GIVEN | TN_ROW_FROM_PRESENT);
    if (apart) return TN_OK;
    const char *name = first_not_given(refitter, recipe);
    tn_where where = {.subject = name, .hint = "give this tensor too"};
    return tn_fail_at(refitter->diag, TN_INVALID_ARGUMENT, &where, "cannot refit weight '%s': tensor '%s' is not given and %s",
                      refitter->engine->weights[index].name, name,
                      has_present ? "cannot be taken from the present weight" : "the plan was stripped of it");
}

/* The slot of one weight in the new set. */
static tn_status fill_slot(tn_refitter *refitter, uint32_t index, const tn_weight_set *old, tn_weight_set *set) {
    const tn_weight_slot *from = &old->slots[index];
    tn_weight_slot *to = &set->slots[index];
    const tn_weights *recipe = refitter->recipes[index];
    int origin = recipe != NULL ? tn_weights_origin(recipe, is_given, refitter) : 0;
    if ((origin & TN_ROW_FROM_GIVEN) == 0) {
        *to = (tn_weight_slot){from->data, from->host, tn_weight_block_retain(from->block), tn_weight_block_retain(from->host_block)};
        set->num_missing += to->data == NULL;
        return TN_OK;
    }
    bool is_mixed = (origin & TN_ROW_FROM_PRESENT) != 0;
    tn_status status = is_mixed ? check_rows(refitter, index, from->data != NULL) : TN_OK;
    return status == TN_OK ? make_weight(refitter, index, is_mixed ? from->data : NULL, to) : status;
}

tn_status tn_refitter_commit(tn_refitter *refitter) {
    tn_engine *engine = refitter->engine;
    (void)pthread_mutex_lock(&engine->refit_mutex); /* two refits at once would each lose the other's weights */
    unsigned generation;
    tn_weight_set *old = tn_engine_retain_weights(engine, &generation);
    tn_weight_set *set = tn_weight_set_create(engine, refitter->diag);
    tn_status status = set != NULL ? TN_OK : TN_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < engine->view->num_weights && status == TN_OK; i++) status = fill_slot(refitter, i, old, set);
    if (status == TN_OK)
        tn_engine_set_weights(engine, set);
    else
        tn_weight_set_release(set);
    tn_weight_set_release(old);
    (void)pthread_mutex_unlock(&engine->refit_mutex);
    if (status != TN_OK) return status;
    for (size_t i = 0; i < refitter->tensors.count; i++) refitter->tensors.data[i].data = NULL; /* was borrowed until now */
    return find_missing(refitter);
}
