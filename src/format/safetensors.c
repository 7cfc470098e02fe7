/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors.c: headers and index to one table. Rules: README.md.
 */
#include "format/safetensors.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/json.h"
#include "format/little_endian.h"
#include "format/quote.h"

enum { max_header_values = 4000000, max_header_depth = 8 };

typedef struct model_file {
    tn_file file;         /* closed when in memory */
    const char *path;     /* or the name given */
    const char *shard;    /* the name in the index; NULL for a single file */
    const uint8_t *bytes; /* the whole file, when in memory or mapped */
    uint64_t size_bytes;
} model_file;

struct tn_safetensors {
    tn_allocator allocator_copy;
    const tn_allocator *allocator;
    tn_arena arena; /* names, paths */
    TN_ARRAY(model_file) files;
    TN_ARRAY(tn_safetensors_tensor) tensors; /* sorted by name once all are in */
};

static int compare_names(const void *a, const void *b) {
    return strcmp(((const tn_safetensors_tensor *)a)->name, ((const tn_safetensors_tensor *)b)->name);
}

static int compare_offsets(const void *a, const void *b) {
    const tn_safetensors_tensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->size_bytes < y->size_bytes ? -1 : x->size_bytes > y->size_bytes; /* an empty tensor stands before its neighbour */
}

static tn_status read_dtype(const tn_json_value *entry, tn_diag *diag, tn_dtype *out_dtype) {
    const char *name;
    tn_status status = tn_json_get_string(entry, "dtype", diag, &name, NULL);
    if (status != TN_OK) return status;
    for (tn_dtype dtype = TN_DTYPE_NONE; dtype < TN_NUM_DTYPES; dtype++) {
        const char *known = tn_safetensors_dtype_name(dtype);
        if (known != NULL && strcmp(known, name) == 0) {
            *out_dtype = dtype;
            return TN_OK;
        }
    }
    char quoted[TN_QUOTE_SIZE];
    if (strcmp(name, "F6_E2M3") == 0 || strcmp(name, "F6_E3M2") == 0)
        return tn_json_fail(entry, diag, TN_UNSUPPORTED, "has dtype %s, which is not supported", name);
    return tn_json_fail(entry, diag, TN_INVALID_DATA, "has the unknown dtype \"%s\"", tn_quote(name, strlen(name), quoted));
}

static tn_status read_shape(const tn_json_value *entry, tn_diag *diag, tn_dims *out_dims) {
    const tn_json_value *shape;
    tn_status status = tn_json_get_array(entry, "shape", diag, &shape);
    if (status != TN_OK) return status;
    if (tn_json_count(shape) > TN_MAX_RANK)
        return tn_json_fail(entry, diag, TN_UNSUPPORTED, "has %zu dimensions, at most %d are supported", tn_json_count(shape), TN_MAX_RANK);
    out_dims->rank = (int32_t)tn_json_count(shape);
    for (int32_t i = 0; i < out_dims->rank && status == TN_OK; i++)
        status = tn_json_to_integer(tn_json_at(shape, (size_t)i), 0, INT64_MAX, diag, &out_dims->d[i]);
    return status;
}

/* Sets offset (still from the data's start) and size_bytes. */
static tn_status read_offsets(const tn_json_value *entry, uint64_t data_size, tn_diag *diag, tn_safetensors_tensor *tensor) {
    const tn_json_value *offsets;
    tn_status status = tn_json_get_array(entry, "data_offsets", diag, &offsets);
    if (status != TN_OK) return status;
    if (tn_json_count(offsets) != 2)
        return tn_json_fail(offsets, diag, TN_INVALID_DATA, "has %zu numbers, must have 2", tn_json_count(offsets));
    int64_t begin, end;
    status = tn_json_to_integer(tn_json_at(offsets, 0), 0, INT64_MAX, diag, &begin);
    if (status == TN_OK) status = tn_json_to_integer(tn_json_at(offsets, 1), 0, INT64_MAX, diag, &end);
    if (status != TN_OK) return status;
    if (begin > end) return tn_json_fail(offsets, diag, TN_INVALID_DATA, "ends at %" PRId64 ", before it begins at %" PRId64, end, begin);
    if ((uint64_t)end > data_size)
        return tn_json_fail(offsets, diag, TN_INVALID_DATA,
                            "ends at %" PRId64 ", the file has %" PRIu64 " bytes of data; it looks truncated", end, data_size);
    uint64_t needed;
    if (!tn_safetensors_tensor_bytes(tensor->dtype, &tensor->dims, &needed))
        return tn_json_fail(entry, diag, TN_INVALID_DATA, "has a shape whose size is no number of bytes");
    tensor->offset = (uint64_t)begin;
    tensor->size_bytes = (uint64_t)(end - begin);
    if (needed != tensor->size_bytes)
        return tn_json_fail(entry, diag, TN_INVALID_DATA, "needs %" PRIu64 " bytes for its shape and dtype, its data_offsets span %" PRIu64,
                            needed, tensor->size_bytes);
    return TN_OK;
}

static tn_status check_metadata(const tn_json_value *metadata, tn_diag *diag) {
    tn_status status = tn_json_expect(metadata, TN_JSON_OBJECT, diag);
    for (size_t i = 0; status == TN_OK && i < tn_json_count(metadata); i++) {
        const char *string;
        status = tn_json_to_string(tn_json_at(metadata, i), diag, &string, NULL);
    }
    return status;
}

/* Appends the tensors of one header to the table; `offset` counts from the data's start. */
static tn_status read_entries(tn_safetensors *model, const tn_json_value *root, uint64_t data_size, tn_diag *diag) {
    tn_status status = tn_json_expect(root, TN_JSON_OBJECT, diag);
    for (size_t i = 0; status == TN_OK && i < tn_json_count(root); i++) {
        const tn_json_value *entry = tn_json_at(root, i);
        size_t name_size;
        const char *name = tn_json_key(entry, &name_size);
        if (strcmp(name, "__metadata__") == 0) {
            status = check_metadata(entry, diag);
            continue;
        }
        tn_safetensors_tensor tensor = {.file = (uint32_t)model->files.count - 1};
        status = read_dtype(entry, diag, &tensor.dtype);
        if (status == TN_OK) status = read_shape(entry, diag, &tensor.dims);
        if (status == TN_OK) status = read_offsets(entry, data_size, diag, &tensor);
        if (status != TN_OK) break;
        tensor.name = tn_arena_bytes(&model->arena, name, name_size);
        if (tensor.name == NULL || !tn_array_push(model->allocator, &model->tensors, tensor))
            status = tn_fail_memory(diag, "tensor table", sizeof tensor + name_size);
    }
    return status;
}

/* The tensors from `first` on fill the data section without overlap and gap; makes their offsets absolute. */
static tn_status check_layout(tn_safetensors *model, size_t first, uint64_t data_begin, uint64_t data_size, tn_diag *diag) {
    const model_file *file = &model->files.data[model->files.count - 1];
    uint64_t expected = 0;
    if (model->tensors.count > first)
        qsort(model->tensors.data + first, model->tensors.count - first, sizeof *model->tensors.data, compare_offsets);
    for (size_t i = first; i < model->tensors.count; i++) {
        tn_safetensors_tensor *tensor = &model->tensors.data[i];
        char quoted[TN_QUOTE_SIZE];
        tn_quote(tensor->name, strlen(tensor->name), quoted);
        const tn_where where = {.subject = quoted, .file = file->path};
        if (tensor->offset < expected)
            return tn_fail_at(diag, TN_INVALID_DATA, &where,
                              "cannot read %s: tensor '%s' begins at data byte %" PRIu64 ", which overlaps what ends at %" PRIu64,
                              file->path, quoted, tensor->offset, expected);
        if (tensor->offset > expected)
            return tn_fail_at(diag, TN_INVALID_DATA, &where,
                              "cannot read %s: tensor '%s' begins at data byte %" PRIu64 ", but the data before it end at %" PRIu64,
                              file->path, quoted, tensor->offset, expected);
        expected += tensor->size_bytes;
        tensor->offset += data_begin;
    }
    if (expected != data_size)
        return tn_fail_at(diag, TN_INVALID_DATA, &(tn_where){.file = file->path},
                          "cannot read %s: its tensors end at data byte %" PRIu64 ", but the file has %" PRIu64, file->path, expected,
                          data_size);
    return TN_OK;
}

static tn_status read_bytes(const model_file *file, uint64_t offset, void *dst, size_t size_bytes, tn_diag *diag) {
    if (file->bytes == NULL) return tn_file_read_at(&file->file, offset, dst, size_bytes, diag);
    if (size_bytes > 0) memcpy(dst, file->bytes + offset, size_bytes);
    return TN_OK;
}

static tn_status read_header_size(const model_file *file, tn_diag *diag, uint64_t *out_size) {
    const tn_where where = {.file = file->path, .has_offset = true};
    uint8_t bytes[8];
    if (file->size_bytes < sizeof bytes)
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "cannot read %s: it has %" PRIu64 " bytes, a safetensors file has at least 8",
                          file->path, file->size_bytes);
    tn_status status = read_bytes(file, 0, bytes, sizeof bytes, diag);
    if (status != TN_OK) return status;
    if (memcmp(bytes, "version ", sizeof bytes) == 0)
        return tn_fail_at(diag, TN_INVALID_DATA, &(tn_where){.file = file->path, .hint = "fetch the model itself with: git lfs pull"},
                          "cannot read %s: it is a Git LFS pointer, not a safetensors file", file->path);
    uint64_t size = tn_load_le64(bytes);
    if (size < 2 || size > TN_SAFETENSORS_MAX_HEADER_BYTES)
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "cannot read %s: its header has %" PRIu64 " bytes, must be 2 to %d", file->path,
                          size, TN_SAFETENSORS_MAX_HEADER_BYTES);
    if (size > file->size_bytes - sizeof bytes)
        return tn_fail_at(diag, TN_INVALID_DATA, &where, "cannot read %s: its header has %" PRIu64 " bytes, but only %" PRIu64 " follow",
                          file->path, size, file->size_bytes - sizeof bytes);
    *out_size = size;
    return TN_OK;
}

/* Reads the header of the newest file and appends its tensors. */
static tn_status read_file(tn_safetensors *model, tn_diag *diag) {
    const model_file *file = &model->files.data[model->files.count - 1];
    uint64_t header_size = 0;
    tn_status status = read_header_size(file, diag, &header_size);
    if (status != TN_OK) return status;

    const uint64_t data_begin = 8 + header_size, data_size = file->size_bytes - data_begin;
    const size_t first = model->tensors.count;
    tn_json *json = NULL;
    const char *name = tn_arena_format(&model->arena, "%s (header)", file->path);
    char *header = tn_alloc(model->allocator, header_size);
    if (name == NULL || header == NULL) {
        status = tn_fail_memory(diag, "safetensors header", header_size);
        goto cleanup;
    }
    status = read_bytes(file, 8, header, header_size, diag);
    if (status != TN_OK) goto cleanup;
    if (header[0] != '{') {
        status = tn_fail_at(diag, TN_INVALID_DATA, &(tn_where){.file = file->path, .has_offset = true, .offset = 8},
                            "cannot read %s: its header starts with byte 0x%02x, must be '{'", file->path, (unsigned)(uint8_t)header[0]);
        goto cleanup;
    }
    const tn_json_limits limits = {
        .max_bytes = TN_SAFETENSORS_MAX_HEADER_BYTES, .max_values = max_header_values, .max_depth = max_header_depth};
    status = tn_json_parse(name, header, header_size, &limits, model->allocator, diag, &json);
    if (status == TN_OK) status = read_entries(model, tn_json_root(json), data_size, diag);
    if (status == TN_OK) status = check_layout(model, first, data_begin, data_size, diag);

cleanup:
    tn_free(model->allocator, header);
    tn_json_destroy(json);
    return status;
}

static tn_status add_file(tn_safetensors *model, const char *path, const char *shard, tn_diag *diag) {
    model_file file = {.file = {.descriptor = -1}};
    file.path = tn_arena_string(&model->arena, path);
    if (file.path == NULL) return tn_fail_memory(diag, "path", strlen(path) + 1);
    if (shard != NULL && (file.shard = tn_arena_string(&model->arena, shard)) == NULL)
        return tn_fail_memory(diag, "path", strlen(shard) + 1);
    if (!tn_array_reserve(model->allocator, &model->files, 1)) return tn_fail_memory(diag, "file table", sizeof file);
    tn_status status = tn_file_open(path, model->allocator, diag, &file.file);
    if (status != TN_OK) return status;
    file.size_bytes = file.file.size_bytes;
    model->files.data[model->files.count++] = file;
    return read_file(model, diag);
}

/* All tensors are in. */
static tn_status sort_tensors(tn_safetensors *model, tn_diag *diag) {
    if (model->tensors.count > 0) qsort(model->tensors.data, model->tensors.count, sizeof *model->tensors.data, compare_names);
    for (size_t i = 1; i < model->tensors.count; i++) {
        const tn_safetensors_tensor *a = &model->tensors.data[i - 1], *b = a + 1;
        char quoted[TN_QUOTE_SIZE];
        if (strcmp(a->name, b->name) == 0)
            return tn_fail(diag, TN_INVALID_DATA, "cannot read the model: tensor '%s' is in two shards, %s and %s",
                           tn_quote(a->name, strlen(a->name), quoted), model->files.data[a->file].path, model->files.data[b->file].path);
    }
    return TN_OK;
}

/* A line of the index: which shard is said to hold a tensor. */
typedef struct index_entry {
    const tn_json_value *value;
    const char *shard;
} index_entry;

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const index_entry *)a)->shard, ((const index_entry *)b)->shard);
}

/* Plain file names only: a model's directory is all that its index may point into. */
static bool is_plain_file_name(const char *name) {
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return size > 0 && size <= 255 && name[size] == 0 && name[0] != '.';
}

static tn_status read_entries_of_index(const tn_json_value *weight_map, tn_diag *diag, index_entry *out_entries) {
    for (size_t i = 0; i < tn_json_count(weight_map); i++) {
        index_entry *entry = &out_entries[i];
        entry->value = tn_json_at(weight_map, i);
        size_t size;
        tn_status status = tn_json_to_string(entry->value, diag, &entry->shard, &size);
        if (status != TN_OK) return status;
        char quoted[TN_QUOTE_SIZE];
        if (!is_plain_file_name(entry->shard))
            return tn_json_fail(entry->value, diag, TN_INVALID_DATA, "names the shard \"%s\", must be a plain file name beside the index",
                                tn_quote(entry->shard, size, quoted));
    }
    return TN_OK;
}

static tn_status open_shard(tn_safetensors *model, const char *index_path, const index_entry *entry, tn_diag *diag) {
    if (model->files.count == TN_SAFETENSORS_MAX_SHARDS)
        return tn_json_fail(entry->value, diag, TN_UNSUPPORTED, "is in one shard more than the %d that are supported",
                            TN_SAFETENSORS_MAX_SHARDS);
    const char *slash = strrchr(index_path, '/');
    const char *path =
        slash == NULL ? entry->shard : tn_arena_format(&model->arena, "%.*s/%s", (int)(slash - index_path), index_path, entry->shard);
    if (path == NULL) return tn_fail_memory(diag, "path", strlen(index_path) + strlen(entry->shard));
    if (!tn_path_exists(path))
        return tn_fail_at(diag, TN_NOT_FOUND,
                          &(tn_where){.file = path, .hint = "every shard must be in the folder of the index; download what is missing"},
                          "cannot read %s: its shard %s does not exist", index_path, path);
    return add_file(model, path, entry->shard, diag);
}

static tn_status check_index_entry(const tn_safetensors *model, const index_entry *entry, tn_diag *diag) {
    const tn_safetensors_tensor *tensor = tn_safetensors_find(model, tn_json_key(entry->value, NULL));
    if (tensor == NULL) return tn_json_fail(entry->value, diag, TN_INVALID_DATA, "is in no shard, the index says %s", entry->shard);
    if (strcmp(model->files.data[tensor->file].shard, entry->shard) != 0)
        return tn_json_fail(entry->value, diag, TN_INVALID_DATA, "is in shard %s, the index says %s", model->files.data[tensor->file].shard,
                            entry->shard);
    return TN_OK;
}

static tn_status open_index(tn_safetensors *model, const char *path, tn_diag *diag) {
    const tn_json_limits limits = {.max_values = max_header_values, .max_depth = max_header_depth};
    tn_json *json = NULL;
    index_entry *entries = NULL;
    const tn_json_value *weight_map = NULL;
    size_t count = 0;
    tn_status status = tn_json_load(path, &limits, model->allocator, diag, &json);
    if (status == TN_OK) status = tn_json_get_object(tn_json_root(json), "weight_map", diag, &weight_map);
    if (status != TN_OK) goto cleanup;
    count = tn_json_count(weight_map);
    entries = tn_alloc_array(model->allocator, count, sizeof *entries);
    if (entries == NULL) {
        status = tn_fail_memory(diag, "shard index", count * sizeof *entries);
        goto cleanup;
    }
    status = read_entries_of_index(weight_map, diag, entries);
    if (status != TN_OK) goto cleanup;
    if (count > 0) qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; status == TN_OK && i < count; i++)
        if (i == 0 || strcmp(entries[i - 1].shard, entries[i].shard) != 0) status = open_shard(model, path, &entries[i], diag);
    if (status == TN_OK) status = sort_tensors(model, diag);
    for (size_t i = 0; status == TN_OK && i < count; i++) status = check_index_entry(model, &entries[i], diag);

cleanup:
    tn_free(model->allocator, entries);
    tn_json_destroy(json);
    return status;
}

static tn_status open_single(tn_safetensors *model, const char *path, tn_diag *diag) {
    tn_status status = add_file(model, path, NULL, diag);
    return status == TN_OK ? sort_tensors(model, diag) : status;
}

static tn_status open_directory(tn_safetensors *model, const char *path, tn_diag *diag) {
    const char *single = tn_arena_format(&model->arena, "%s/model.safetensors", path);
    const char *sharded = tn_arena_format(&model->arena, "%s/model.safetensors.index.json", path);
    if (single == NULL || sharded == NULL) return tn_fail_memory(diag, "path", strlen(path) + 32);
    if (tn_path_exists(single)) return open_single(model, single, diag);
    if (tn_path_exists(sharded)) return open_index(model, sharded, diag);
    return tn_fail_at(diag, TN_NOT_FOUND, &(tn_where){.file = path},
                      "cannot read %s: it has neither model.safetensors nor model.safetensors.index.json", path);
}

static tn_status create(const tn_allocator *allocator, tn_diag *diag, tn_safetensors **out_model) {
    *out_model = NULL;
    tn_safetensors *model = tn_alloc_zero(allocator, sizeof *model);
    if (model == NULL) return tn_fail_memory(diag, "safetensors reader", sizeof *model);
    if (allocator != NULL) {
        model->allocator_copy = *allocator;
        model->allocator = &model->allocator_copy;
    }
    model->arena.allocator = model->allocator;
    *out_model = model;
    return TN_OK;
}

tn_status tn_safetensors_open(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_safetensors **out_model) {
    *out_model = NULL;
    tn_safetensors *model;
    tn_status status = create(allocator, diag, &model);
    if (status != TN_OK) return status;
    if (tn_path_is_directory(path))
        status = open_directory(model, path, diag);
    else if (tn_string_ends_with(path, ".index.json"))
        status = open_index(model, path, diag);
    else
        status = open_single(model, path, diag);
    if (status == TN_OK)
        *out_model = model;
    else
        tn_safetensors_close(model);
    return status;
}

tn_status tn_safetensors_open_memory(const char *name, const void *data, size_t size_bytes, const tn_allocator *allocator, tn_diag *diag,
                                     tn_safetensors **out_model) {
    *out_model = NULL;
    tn_safetensors *model;
    tn_status status = create(allocator, diag, &model);
    if (status != TN_OK) return status;
    model_file file = {.file = {.descriptor = -1}, .bytes = data, .size_bytes = size_bytes};
    file.path = tn_arena_string(&model->arena, name);
    if (file.path == NULL || !tn_array_push(model->allocator, &model->files, file))
        status = tn_fail_memory(diag, "safetensors reader", sizeof file);
    if (status == TN_OK) status = read_file(model, diag);
    if (status == TN_OK) status = sort_tensors(model, diag);
    if (status == TN_OK)
        *out_model = model;
    else
        tn_safetensors_close(model);
    return status;
}

void tn_safetensors_close(tn_safetensors *model) {
    if (model == NULL) return;
    const tn_allocator copy = model->allocator_copy;
    const tn_allocator *allocator = model->allocator != NULL ? &copy : NULL;
    for (size_t i = 0; i < model->files.count; i++) tn_file_close(&model->files.data[i].file);
    tn_array_deinit(allocator, &model->files);
    tn_array_deinit(allocator, &model->tensors);
    tn_arena_deinit(&model->arena);
    tn_free(allocator, model);
}

size_t tn_safetensors_num_files(const tn_safetensors *model) {
    return model->files.count;
}

const char *tn_safetensors_file_path(const tn_safetensors *model, size_t file) {
    assert(file < model->files.count);
    return model->files.data[file].path;
}

size_t tn_safetensors_num_tensors(const tn_safetensors *model) {
    return model->tensors.count;
}

const tn_safetensors_tensor *tn_safetensors_at(const tn_safetensors *model, size_t index) {
    assert(index < model->tensors.count);
    return &model->tensors.data[index];
}

const tn_safetensors_tensor *tn_safetensors_find(const tn_safetensors *model, const char *name) {
    if (model->tensors.count == 0) return NULL;
    const tn_safetensors_tensor wanted = {.name = name};
    return bsearch(&wanted, model->tensors.data, model->tensors.count, sizeof wanted, compare_names);
}

tn_status tn_safetensors_read(const tn_safetensors *model, const tn_safetensors_tensor *tensor, uint64_t offset, void *dst,
                              size_t size_bytes, tn_diag *diag) {
    if (offset > tensor->size_bytes || size_bytes > tensor->size_bytes - offset)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot read %zu bytes at %" PRIu64 " of tensor '%s': it has %" PRIu64, size_bytes,
                       offset, tensor->name, tensor->size_bytes);
    return read_bytes(&model->files.data[tensor->file], tensor->offset + offset, dst, size_bytes, diag);
}

tn_status tn_safetensors_map(tn_safetensors *model, tn_diag *diag) {
    tn_status status = TN_OK;
    for (size_t i = 0; status == TN_OK && i < model->files.count; i++) {
        model_file *file = &model->files.data[i];
        if (file->bytes != NULL) continue;
        status = tn_file_map(&file->file, diag);
        if (status == TN_OK) file->bytes = file->file.data;
    }
    return status;
}

const uint8_t *tn_safetensors_data(const tn_safetensors *model, const tn_safetensors_tensor *tensor) {
    const uint8_t *start = model->files.data[tensor->file].bytes;
    return start != NULL ? start + tensor->offset : NULL;
}
