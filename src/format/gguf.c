/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf.c: the reader of GGUF's header and tables. Rules: README.md.
 */
#include "format/gguf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/little_endian.h"
#include "format/quote.h"

enum {
    first_read_bytes = 1 << 16, /* doubled until the header is in */
    default_alignment = 32,
    min_value_bytes = 8 + 1 + 4 + 1,          /* key size, key, type, value */
    MAX_PARTS = 4096,                         /* of a split model */
    min_tensor_bytes = 8 + 1 + 4 + 8 + 4 + 8, /* name size, name, rank, one dimension, type, offset */
};

/* data and string_starts of the value are set when the header has stopped growing. */
typedef struct value_entry {
    tn_gguf_value value;
    uint64_t data_offset;
} value_entry;

struct tn_gguf {
    tn_allocator allocator_copy;
    const tn_allocator *allocator;
    char *name;
    tn_file file;         /* closed when in memory */
    uint8_t *own_header;  /* the first header_size bytes of the file; NULL when in memory */
    const uint8_t *bytes; /* own_header, or the caller's memory */
    uint64_t loaded_size; /* of `bytes` */
    uint64_t size;        /* of the file */
    bool in_memory;
    tn_arena arena; /* names, string_starts */
    uint32_t version;
    uint64_t alignment;
    TN_ARRAY(value_entry) values;
    TN_ARRAY(tn_gguf_tensor) tensors;
    const tn_gguf_value **values_by_key;
    const tn_gguf_tensor **tensors_by_name;
    int64_t split_no, split_count; /* of split files; else 0, 0 or 1 */
    TN_ARRAY(tn_gguf *) parts;     /* the second and later files; their tensors stand in `tensors` too */
};

/* Reads the header front to back. `part` says where we are, for messages. */
typedef struct reader {
    tn_gguf *gguf;
    tn_diag *diag;
    uint64_t offset;
    char part[TN_QUOTE_SIZE + 64];
} reader;

static tn_status refuse(const reader *r, tn_status code, const char *hint, const char *format, ...) TN_PRINTF(4, 5);
static tn_status refuse(const reader *r, tn_status code, const char *hint, const char *format, ...) {
    char reason[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    const tn_where where = {.file = r->gguf->name, .hint = hint, .has_offset = true, .offset = (int64_t)r->offset};
    return tn_fail_at(r->diag, code, &where, "cannot read %s: %s", r->gguf->name, reason);
}

static const char truncated_hint[] = "the file looks truncated; compare its size with the source's or download it again";

static uint64_t remaining(const reader *r) {
    return r->gguf->size - r->offset;
}

/* TN_OK if `size` more bytes may belong to the header. Reads nothing. */
static tn_status check_room(const reader *r, uint64_t size) {
    if (size > remaining(r))
        return refuse(r, TN_INVALID_DATA, truncated_hint, "%s needs %" PRIu64 " bytes at byte %" PRIu64 ", the file has %" PRIu64, r->part,
                      size, r->offset, r->gguf->size);
    if (r->offset + size > TN_GGUF_MAX_HEADER_BYTES)
        return refuse(r, TN_UNSUPPORTED, NULL, "its header reaches beyond %d bytes (%s)", TN_GGUF_MAX_HEADER_BYTES, r->part);
    return TN_OK;
}

/* Makes the next `size` bytes readable at gguf->bytes + offset. */
static tn_status load(const reader *r, uint64_t size) {
    tn_gguf *gguf = r->gguf;
    tn_status status = check_room(r, size);
    if (status != TN_OK || r->offset + size <= gguf->loaded_size) return status;
    uint64_t wanted = gguf->loaded_size > 0 ? 2 * gguf->loaded_size : first_read_bytes;
    if (wanted < r->offset + size) wanted = r->offset + size;
    if (wanted > gguf->size) wanted = gguf->size;
    uint8_t *grown = tn_realloc(gguf->allocator, gguf->own_header, wanted);
    if (grown == NULL) return tn_fail_memory(r->diag, "GGUF header", wanted);
    gguf->own_header = grown;
    gguf->bytes = grown;
    status = tn_file_read_at(&gguf->file, gguf->loaded_size, grown + gguf->loaded_size, wanted - gguf->loaded_size, r->diag);
    if (status == TN_OK) gguf->loaded_size = wanted;
    return status;
}

static tn_status read_u32(reader *r, uint32_t *out) {
    *out = 0;
    tn_status status = load(r, 4);
    if (status != TN_OK) return status;
    *out = tn_load_le32(r->gguf->bytes + r->offset);
    r->offset += 4;
    return TN_OK;
}

static tn_status read_u64(reader *r, uint64_t *out) {
    *out = 0;
    tn_status status = load(r, 8);
    if (status != TN_OK) return status;
    *out = tn_load_le64(r->gguf->bytes + r->offset);
    r->offset += 8;
    return TN_OK;
}

/* A key or a tensor's name: copied, checked. */
static tn_status read_name(reader *r, const char *noun, size_t max_size, const char **out_name) {
    uint64_t size;
    tn_status status = read_u64(r, &size);
    if (status != TN_OK) return status;
    if (size == 0 || size > max_size)
        return refuse(r, TN_INVALID_DATA, NULL, "the %s of %s has %" PRIu64 " bytes, must be 1 to %zu", noun, r->part, size, max_size);
    status = load(r, size);
    if (status != TN_OK) return status;
    const char *bytes = (const char *)r->gguf->bytes + r->offset;
    if (memchr(bytes, 0, size) != NULL) return refuse(r, TN_INVALID_DATA, NULL, "the %s of %s holds a NUL byte", noun, r->part);
    if (!tn_utf8_is_valid(bytes, size)) return refuse(r, TN_INVALID_DATA, NULL, "the %s of %s is not UTF-8", noun, r->part);
    *out_name = tn_arena_bytes(&r->gguf->arena, bytes, size);
    if (*out_name == NULL) return tn_fail_memory(r->diag, "GGUF name", size);
    r->offset += size;
    return TN_OK;
}

static const uint8_t value_bytes[TN_GGUF_NUM_TYPES] = {
    [TN_GGUF_UINT8] = 1, [TN_GGUF_INT8] = 1,    [TN_GGUF_UINT16] = 2, [TN_GGUF_INT16] = 2, [TN_GGUF_UINT32] = 4,  [TN_GGUF_INT32] = 4,
    [TN_GGUF_BOOL] = 1,  [TN_GGUF_FLOAT32] = 4, [TN_GGUF_UINT64] = 8, [TN_GGUF_INT64] = 8, [TN_GGUF_FLOAT64] = 8,
};

/* A string takes at least its size field. */
static uint64_t min_element_bytes(tn_gguf_value_type type) {
    return type == TN_GGUF_STRING ? 8 : value_bytes[type];
}

static tn_status read_strings(reader *r, value_entry *entry) {
    const uint64_t count = entry->value.count;
    uint64_t *starts = tn_arena_alloc_array(&r->gguf->arena, count, sizeof *starts);
    if (starts == NULL) return tn_fail_memory(r->diag, "GGUF string table", count * sizeof *starts);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t size;
        tn_status status = read_u64(r, &size);
        if (status == TN_OK) status = load(r, size);
        if (status != TN_OK) return status;
        starts[i] = r->offset - entry->data_offset;
        r->offset += size;
    }
    entry->value.string_starts = starts;
    return TN_OK;
}

static tn_status read_elements(reader *r, value_entry *entry) {
    const tn_gguf_value_type type = entry->value.type;
    uint64_t size; /* what the elements take at least */
    if (__builtin_mul_overflow(entry->value.count, min_element_bytes(type), &size)) size = UINT64_MAX;
    tn_status status = check_room(r, size);
    if (status != TN_OK) return status;
    entry->data_offset = r->offset;
    if (type == TN_GGUF_STRING) return read_strings(r, entry);
    status = load(r, size);
    if (status != TN_OK) return status;
    if (type == TN_GGUF_BOOL)
        for (uint64_t i = 0; i < size; i++)
            if (r->gguf->bytes[r->offset + i] > 1)
                return refuse(r, TN_INVALID_DATA, NULL, "%s is a bool of value %u, must be 0 or 1", r->part, r->gguf->bytes[r->offset + i]);
    r->offset += size;
    return TN_OK;
}

static tn_status read_value(reader *r, uint64_t index) {
    value_entry entry = {.value = {.count = 1}};
    snprintf(r->part, sizeof r->part, "metadata entry %" PRIu64, index);
    tn_status status = read_name(r, "key", TN_GGUF_MAX_KEY_BYTES, &entry.value.key);
    if (status != TN_OK) return status;
    char quoted[TN_QUOTE_SIZE];
    snprintf(r->part, sizeof r->part, "metadata entry '%s'", tn_quote(entry.value.key, strlen(entry.value.key), quoted));
    uint32_t type;
    status = read_u32(r, &type);
    if (status != TN_OK) return status;
    if (type == TN_GGUF_ARRAY) {
        entry.value.is_array = true;
        status = read_u32(r, &type);
        if (status == TN_OK) status = read_u64(r, &entry.value.count);
        if (status != TN_OK) return status;
        if (type == TN_GGUF_ARRAY) return refuse(r, TN_UNSUPPORTED, NULL, "%s is an array of arrays", r->part);
    }
    if (type >= TN_GGUF_NUM_TYPES) return refuse(r, TN_INVALID_DATA, NULL, "%s has the unknown type %" PRIu32, r->part, type);
    entry.value.type = (tn_gguf_value_type)type;
    status = read_elements(r, &entry);
    if (status != TN_OK) return status;
    if (!tn_array_push(r->gguf->allocator, &r->gguf->values, entry)) return tn_fail_memory(r->diag, "GGUF metadata", sizeof entry);
    return TN_OK;
}

static int compare_values(const void *a, const void *b) {
    return strcmp((*(const tn_gguf_value *const *)a)->key, (*(const tn_gguf_value *const *)b)->key);
}

static int compare_tensors(const void *a, const void *b) {
    return strcmp((*(const tn_gguf_tensor *const *)a)->name, (*(const tn_gguf_tensor *const *)b)->name);
}

/* The header is in: values get their pointers and their order. */
static tn_status index_values(const reader *r) {
    tn_gguf *gguf = r->gguf;
    const size_t count = gguf->values.count;
    gguf->values_by_key = tn_alloc_array(gguf->allocator, count, sizeof *gguf->values_by_key);
    if (gguf->values_by_key == NULL) return tn_fail_memory(r->diag, "GGUF metadata index", count * sizeof *gguf->values_by_key);
    for (size_t i = 0; i < count; i++) {
        value_entry *entry = &gguf->values.data[i];
        entry->value.data = gguf->bytes + entry->data_offset;
        gguf->values_by_key[i] = &entry->value;
    }
    if (count > 0) qsort(gguf->values_by_key, count, sizeof *gguf->values_by_key, compare_values);
    for (size_t i = 1; i < count; i++) {
        const char *key = gguf->values_by_key[i]->key;
        char quoted[TN_QUOTE_SIZE];
        if (strcmp(gguf->values_by_key[i - 1]->key, key) == 0)
            return refuse(r, TN_INVALID_DATA, NULL, "the metadata key '%s' stands twice", tn_quote(key, strlen(key), quoted));
    }
    return TN_OK;
}

static tn_status index_tensors(const reader *r) {
    tn_gguf *gguf = r->gguf;
    const size_t count = gguf->tensors.count;
    gguf->tensors_by_name = tn_alloc_array(gguf->allocator, count, sizeof *gguf->tensors_by_name);
    if (gguf->tensors_by_name == NULL) return tn_fail_memory(r->diag, "GGUF tensor index", count * sizeof *gguf->tensors_by_name);
    for (size_t i = 0; i < count; i++) gguf->tensors_by_name[i] = &gguf->tensors.data[i];
    if (count > 0) qsort(gguf->tensors_by_name, count, sizeof *gguf->tensors_by_name, compare_tensors);
    for (size_t i = 1; i < count; i++) {
        const char *name = gguf->tensors_by_name[i]->name;
        char quoted[TN_QUOTE_SIZE];
        if (strcmp(gguf->tensors_by_name[i - 1]->name, name) == 0)
            return refuse(r, TN_INVALID_DATA, NULL, "the tensor name '%s' stands twice", tn_quote(name, strlen(name), quoted));
    }
    return TN_OK;
}

/* What the container itself means by its metadata: alignment and splitting. */
static tn_status apply_metadata(reader *r) {
    tn_gguf *gguf = r->gguf;
    gguf->alignment = default_alignment;
    const tn_gguf_value *alignment = tn_gguf_find(gguf, "general.alignment");
    if (alignment != NULL) {
        if (alignment->type != TN_GGUF_UINT32 || alignment->is_array)
            return refuse(r, TN_INVALID_DATA, NULL, "the metadata key 'general.alignment' must be a uint32");
        gguf->alignment = tn_load_le32(alignment->data);
        if (gguf->alignment == 0 || gguf->alignment > TN_GGUF_MAX_ALIGNMENT || (gguf->alignment & (gguf->alignment - 1)) != 0)
            return refuse(r, TN_INVALID_DATA, NULL, "'general.alignment' is %" PRIu64 ", must be a power of two up to %d", gguf->alignment,
                          TN_GGUF_MAX_ALIGNMENT);
    }
    tn_status status = tn_gguf_get_integer_or(gguf, "split.count", 0, MAX_PARTS, 0, r->diag, &gguf->split_count);
    if (status == TN_OK) status = tn_gguf_get_integer_or(gguf, "split.no", 0, MAX_PARTS - 1, 0, r->diag, &gguf->split_no);
    if (status == TN_OK && gguf->split_count > 1 && gguf->in_memory)
        return refuse(r, TN_UNSUPPORTED, "open the first part by its path", "it is one of %" PRId64 " parts of a split model, in memory",
                      gguf->split_count);
    return status;
}

static const char *removed_type_name(uint32_t type) {
    switch (type) {
    case 4: return "Q4_2";
    case 5: return "Q4_3";
    case 31: return "Q4_0_4_4";
    case 32: return "Q4_0_4_8";
    case 33: return "Q4_0_8_8";
    case 36: return "IQ4_NL_4_4";
    case 37: return "IQ4_NL_4_8";
    case 38: return "IQ4_NL_8_8";
    default: return NULL;
    }
}

/* Sets tensor's type, and size_bytes from its dims. */
static tn_status size_tensor(const reader *r, tn_gguf_tensor *tensor, uint32_t type) {
    if (removed_type_name(type) != NULL)
        return refuse(r, TN_UNSUPPORTED, "convert the model again from its source", "%s has type %s, which GGUF has dropped", r->part,
                      removed_type_name(type));
    int64_t block_values, block_bytes;
    if (!tn_ggml_type_block(type, &block_values, &block_bytes))
        return refuse(r, TN_UNSUPPORTED, NULL, "%s has the unknown type %" PRIu32, r->part, type);
    tensor->type = (tn_ggml_type)type;
    if (tensor->ne[0] % block_values != 0)
        return refuse(r, TN_INVALID_DATA, NULL, "%s has rows of %" PRId64 " values, %s needs a multiple of %" PRId64, r->part,
                      tensor->ne[0], tn_ggml_type_name(type), block_values);
    if (!tn_ggml_tensor_bytes(type, &tensor->dims, &tensor->size_bytes))
        return refuse(r, TN_INVALID_DATA, NULL, "%s is larger than any file", r->part);
    return TN_OK;
}

/* One entry of the tensor table; `offset` still counts from the data section. */
static tn_status read_tensor(reader *r, uint64_t index) {
    tn_gguf_tensor tensor = {.ne = {1, 1, 1, 1}};
    snprintf(r->part, sizeof r->part, "tensor entry %" PRIu64, index);
    tn_status status = read_name(r, "name", TN_GGUF_MAX_NAME_BYTES, &tensor.name);
    if (status != TN_OK) return status;
    char quoted[TN_QUOTE_SIZE];
    snprintf(r->part, sizeof r->part, "tensor '%s'", tn_quote(tensor.name, strlen(tensor.name), quoted));
    uint32_t rank, type;
    status = read_u32(r, &rank);
    if (status != TN_OK) return status;
    if (rank < 1 || rank > TN_GGUF_MAX_RANK)
        return refuse(r, TN_INVALID_DATA, NULL, "%s has %" PRIu32 " dimensions, must be 1 to %d", r->part, rank, TN_GGUF_MAX_RANK);
    tensor.dims.rank = (int32_t)rank;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t dim;
        status = read_u64(r, &dim);
        if (status != TN_OK) return status;
        if (dim < 1 || dim > INT64_MAX)
            return refuse(r, TN_INVALID_DATA, NULL, "dimension %" PRIu32 " of %s is %" PRId64 ", must be at least 1", i, r->part,
                          (int64_t)dim);
        tensor.ne[i] = (int64_t)dim;
        tensor.dims.d[rank - 1 - i] = (int64_t)dim;
    }
    status = read_u32(r, &type);
    if (status == TN_OK) status = size_tensor(r, &tensor, type);
    if (status == TN_OK) status = read_u64(r, &tensor.offset);
    if (status != TN_OK) return status;
    if (!tn_array_push(r->gguf->allocator, &r->gguf->tensors, tensor)) return tn_fail_memory(r->diag, "GGUF tensor table", sizeof tensor);
    return TN_OK;
}

/* Rounds up to the alignment; UINT64_MAX on overflow, which no file reaches. */
static uint64_t align_up(const tn_gguf *gguf, uint64_t offset) {
    size_t aligned;
    return tn_align_size(offset, gguf->alignment, &aligned) ? aligned : UINT64_MAX;
}

/* Tensor data follow one another, each padded to the alignment, in the order of the table, up to the end of the file. */
static tn_status place_tensors(reader *r) {
    tn_gguf *gguf = r->gguf;
    uint64_t end = r->offset; /* of what is used so far */
    const uint64_t data_begin = align_up(gguf, end);
    uint64_t expected = 0; /* offset of the next tensor, from data_begin */
    char used[32], size[32];
    for (size_t i = 0; i < gguf->tensors.count; i++) {
        tn_gguf_tensor *tensor = &gguf->tensors.data[i];
        char quoted[TN_QUOTE_SIZE];
        tn_quote(tensor->name, strlen(tensor->name), quoted);
        if (tensor->offset % gguf->alignment != 0)
            return refuse(r, TN_INVALID_DATA, NULL,
                          "tensor '%s' starts at offset %" PRIu64 ", which is not a multiple of the alignment %" PRIu64, quoted,
                          tensor->offset, gguf->alignment);
        if (tensor->offset != expected)
            return refuse(r, TN_INVALID_DATA, NULL, "tensor '%s' starts at offset %" PRIu64 " of the data, %s %" PRIu64, quoted,
                          tensor->offset, tensor->offset < expected ? "which overlaps what ends at" : "but the data before it end at",
                          expected);
        if (!tn_add_size(data_begin, tensor->offset, &tensor->offset) || !tn_add_size(tensor->offset, tensor->size_bytes, &end))
            end = UINT64_MAX;
        if (end > gguf->size)
            return refuse(r, TN_INVALID_DATA, truncated_hint, "tensor '%s' ends at byte %s, the file has %s", quoted,
                          tn_format_count(end, used), tn_format_count(gguf->size, size));
        expected = align_up(gguf, end) - data_begin;
    }
    if (gguf->size > align_up(gguf, end))
        return refuse(r, TN_INVALID_DATA, "the file is damaged, or two files were joined", "its data end at byte %s, but the file has %s",
                      tn_format_count(end, used), tn_format_count(gguf->size, size));
    return TN_OK;
}

static tn_status read_magic(reader *r) {
    snprintf(r->part, sizeof r->part, "the header");
    tn_status status = load(r, 4);
    if (status != TN_OK) return status;
    const uint8_t *bytes = r->gguf->bytes;
    if (memcmp(bytes, "GGUF", 4) != 0) {
        bool is_pointer = r->gguf->loaded_size >= 19 && memcmp(bytes, "version https://git", 19) == 0;
        return refuse(r, TN_INVALID_DATA, is_pointer ? "the file is a Git LFS pointer; fetch the model itself with: git lfs pull" : NULL,
                      "it is not a GGUF file: it starts with %02x %02x %02x %02x, not \"GGUF\"", bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    r->offset = 4;
    status = read_u32(r, &r->gguf->version);
    if (status != TN_OK) return status;
    const uint32_t version = r->gguf->version;
    if (version == 2 || version == 3) return TN_OK;
    if (version == 0) return refuse(r, TN_INVALID_DATA, NULL, "GGUF version 0 does not exist");
    if ((version & 0xffff) == 0)
        return refuse(r, TN_UNSUPPORTED, "convert the model again for a little-endian machine", "it is a big-endian GGUF file");
    return refuse(r, TN_UNSUPPORTED, version == 1 ? "convert the model again with a current tool" : NULL,
                  "it has GGUF version %" PRIu32 ", versions 2 and 3 are supported", version);
}

/* A count of records against the bytes that are left for them. */
static tn_status check_count(const reader *r, const char *noun, uint64_t count, uint64_t min_bytes) {
    if (count > remaining(r) / min_bytes)
        return refuse(r, TN_INVALID_DATA, truncated_hint, "it claims %" PRIu64 " %s, but only %" PRIu64 " bytes follow", count, noun,
                      remaining(r));
    return TN_OK;
}

static tn_status read_header(tn_gguf *gguf, tn_diag *diag) {
    reader r = {.gguf = gguf, .diag = diag};
    uint64_t num_tensors, num_values;
    tn_status status = read_magic(&r);
    if (status == TN_OK) status = read_u64(&r, &num_tensors);
    if (status == TN_OK) status = read_u64(&r, &num_values);
    if (status == TN_OK) status = check_count(&r, "tensors", num_tensors, min_tensor_bytes);
    if (status == TN_OK) status = check_count(&r, "metadata entries", num_values, min_value_bytes);
    for (uint64_t i = 0; status == TN_OK && i < num_values; i++) status = read_value(&r, i);
    for (uint64_t i = 0; status == TN_OK && i < num_tensors; i++) status = read_tensor(&r, i);
    if (status == TN_OK) status = index_values(&r);
    if (status == TN_OK) status = apply_metadata(&r);
    if (status == TN_OK) status = index_tensors(&r);
    if (status == TN_OK) status = place_tensors(&r);
    return status;
}

static tn_status create(const char *name, const tn_allocator *allocator, tn_diag *diag, tn_gguf **out_gguf) {
    tn_gguf *gguf = tn_alloc_zero(allocator, sizeof *gguf);
    if (gguf == NULL) return tn_fail_memory(diag, "GGUF reader", sizeof *gguf);
    if (allocator != NULL) {
        gguf->allocator_copy = *allocator;
        gguf->allocator = &gguf->allocator_copy;
    }
    gguf->file.descriptor = -1;
    gguf->arena.allocator = gguf->allocator;
    gguf->name = tn_copy_string(gguf->allocator, name);
    if (gguf->name == NULL) {
        tn_gguf_close(gguf);
        return tn_fail_memory(diag, "GGUF reader", strlen(name) + 1);
    }
    *out_gguf = gguf;
    return TN_OK;
}

static tn_status open_file(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_gguf **out_gguf) {
    *out_gguf = NULL;
    tn_gguf *gguf = NULL;
    tn_status status = create(path, allocator, diag, &gguf);
    if (status != TN_OK) return status;
    status = tn_file_open(path, gguf->allocator, diag, &gguf->file);
    if (status != TN_OK) gguf->file = (tn_file){.descriptor = -1};
    gguf->size = gguf->file.size_bytes;
    if (status == TN_OK) status = read_header(gguf, diag);
    if (status == TN_OK)
        *out_gguf = gguf;
    else
        tn_gguf_close(gguf);
    return status;
}

/* Opens part `no` and appends its tensors. */
static tn_status add_part(reader *r, const char *path, int64_t no) {
    tn_gguf *gguf = r->gguf, *part;
    tn_status status = open_file(path, gguf->allocator, r->diag, &part);
    if (status != TN_OK) return status;
    if (!tn_array_push(gguf->allocator, &gguf->parts, part)) {
        tn_gguf_close(part);
        return tn_fail_memory(r->diag, "GGUF parts", sizeof part);
    }
    if (part->split_no != no || part->split_count != gguf->split_count) {
        reader other = {.gguf = part, .diag = r->diag};
        return refuse(&other, TN_INVALID_DATA, "the parts are of different models, or renamed",
                      "it says that it is part %" PRId64 " of %" PRId64 ", wanted is part %" PRId64 " of %" PRId64, part->split_no + 1,
                      part->split_count, no + 1, gguf->split_count);
    }
    for (size_t i = 0; i < part->tensors.count; i++) {
        tn_gguf_tensor tensor = part->tensors.data[i];
        tensor.part = (uint32_t)no;
        if (!tn_array_push(gguf->allocator, &gguf->tensors, tensor)) return tn_fail_memory(r->diag, "GGUF tensor table", sizeof tensor);
    }
    return TN_OK;
}

/* The other parts of a split model, which stand beside the first as "<stem>-00002-of-00003.gguf". */
static tn_status open_parts(tn_gguf *gguf, tn_diag *diag) {
    reader r = {.gguf = gguf, .diag = diag};
    char suffix[48];
    snprintf(suffix, sizeof suffix, "-00001-of-%05" PRId64 ".gguf", gguf->split_count);
    size_t length = strlen(gguf->name), tail = strlen(suffix);
    if (gguf->split_no != 0)
        return refuse(&r, TN_INVALID_ARGUMENT, "open the first part; it finds the others",
                      "it is part %" PRId64 " of %" PRId64 " of a split model", gguf->split_no + 1, gguf->split_count);
    if (length < tail || strcmp(gguf->name + length - tail, suffix) != 0)
        return refuse(&r, TN_INVALID_DATA, "give the parts their names back",
                      "it is the first of %" PRId64 " parts of a split model, but its name does not end in '%s'", gguf->split_count,
                      suffix);
    tn_status status = TN_OK;
    for (int64_t no = 1; status == TN_OK && no < gguf->split_count; no++) {
        tn_text path = {.allocator = gguf->allocator};
        tn_text_append(&path, gguf->name, length - tail);
        tn_text_append_format(&path, "-%05" PRId64 "-of-%05" PRId64 ".gguf", no + 1, gguf->split_count);
        status = path.failed ? tn_fail_memory(diag, "a path", length) : add_part(&r, path.data, no);
        tn_text_deinit(&path);
    }
    if (status != TN_OK) return status;
    tn_free(gguf->allocator, gguf->tensors_by_name);
    gguf->tensors_by_name = NULL;
    return index_tensors(&r);
}

tn_status tn_gguf_open(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_gguf **out_gguf) {
    tn_status status = open_file(path, allocator, diag, out_gguf);
    if (status == TN_OK && (*out_gguf)->split_count > 1) status = open_parts(*out_gguf, diag);
    if (status == TN_OK) return TN_OK;
    tn_gguf_close(*out_gguf);
    *out_gguf = NULL;
    return status;
}

tn_status tn_gguf_open_memory(const char *name, const void *data, size_t size_bytes, const tn_allocator *allocator, tn_diag *diag,
                              tn_gguf **out_gguf) {
    *out_gguf = NULL;
    tn_gguf *gguf = NULL;
    tn_status status = create(name, allocator, diag, &gguf);
    if (status != TN_OK) return status;
    gguf->in_memory = true;
    gguf->bytes = data;
    gguf->loaded_size = gguf->size = size_bytes;
    status = read_header(gguf, diag);
    if (status == TN_OK)
        *out_gguf = gguf;
    else
        tn_gguf_close(gguf);
    return status;
}

void tn_gguf_close(tn_gguf *gguf) {
    if (gguf == NULL) return;
    const tn_allocator copy = gguf->allocator_copy;
    const tn_allocator *allocator = gguf->allocator != NULL ? &copy : NULL;
    for (size_t i = 0; i < gguf->parts.count; i++) tn_gguf_close(gguf->parts.data[i]);
    tn_array_deinit(allocator, &gguf->parts);
    tn_file_close(&gguf->file);
    tn_arena_deinit(&gguf->arena);
    tn_array_deinit(allocator, &gguf->values);
    tn_array_deinit(allocator, &gguf->tensors);
    tn_free(allocator, gguf->values_by_key);
    tn_free(allocator, gguf->tensors_by_name);
    tn_free(allocator, gguf->own_header);
    tn_free(allocator, gguf->name);
    tn_free(allocator, gguf);
}

uint32_t tn_gguf_version(const tn_gguf *gguf) {
    return gguf->version;
}

uint64_t tn_gguf_alignment(const tn_gguf *gguf) {
    return gguf->alignment;
}

const char *tn_gguf_name(const tn_gguf *gguf) {
    return gguf->name;
}

size_t tn_gguf_num_values(const tn_gguf *gguf) {
    return gguf->values.count;
}

const tn_gguf_value *tn_gguf_value_at(const tn_gguf *gguf, size_t index) {
    assert(index < gguf->values.count);
    return &gguf->values.data[index].value;
}

const tn_gguf_value *tn_gguf_find(const tn_gguf *gguf, const char *key) {
    const tn_gguf_value wanted = {.key = key}, *pointer = &wanted;
    if (gguf->values.count == 0) return NULL;
    const tn_gguf_value **found = bsearch(&pointer, gguf->values_by_key, gguf->values.count, sizeof *gguf->values_by_key, compare_values);
    return found != NULL ? *found : NULL;
}

size_t tn_gguf_num_tensors(const tn_gguf *gguf) {
    return gguf->tensors.count;
}

const tn_gguf_tensor *tn_gguf_tensor_at(const tn_gguf *gguf, size_t index) {
    assert(index < gguf->tensors.count);
    return &gguf->tensors.data[index];
}

const tn_gguf_tensor *tn_gguf_find_tensor(const tn_gguf *gguf, const char *name) {
    const tn_gguf_tensor wanted = {.name = name}, *pointer = &wanted;
    if (gguf->tensors.count == 0) return NULL;
    const tn_gguf_tensor **found =
        bsearch(&pointer, gguf->tensors_by_name, gguf->tensors.count, sizeof *gguf->tensors_by_name, compare_tensors);
    return found != NULL ? *found : NULL;
}

static const tn_gguf *owner_of(const tn_gguf *gguf, const tn_gguf_tensor *tensor) {
    return tensor->part == 0 ? gguf : gguf->parts.data[tensor->part - 1];
}

const char *tn_gguf_tensor_path(const tn_gguf *gguf, const tn_gguf_tensor *tensor) {
    return owner_of(gguf, tensor)->name;
}

tn_status tn_gguf_read(const tn_gguf *gguf, const tn_gguf_tensor *tensor, uint64_t offset, void *dst, size_t size_bytes, tn_diag *diag) {
    gguf = owner_of(gguf, tensor);
    if (offset > tensor->size_bytes || size_bytes > tensor->size_bytes - offset)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot read %zu bytes at %" PRIu64 " of tensor '%s': it has %" PRIu64, size_bytes,
                       offset, tensor->name, tensor->size_bytes);
    if (!gguf->in_memory) return tn_file_read_at(&gguf->file, tensor->offset + offset, dst, size_bytes, diag);
    if (size_bytes > 0) memcpy(dst, gguf->bytes + tensor->offset + offset, size_bytes);
    return TN_OK;
}

tn_status tn_gguf_map(tn_gguf *gguf, tn_diag *diag) {
    tn_status status = gguf->in_memory || gguf->file.data != NULL ? TN_OK : tn_file_map(&gguf->file, diag);
    for (size_t i = 0; status == TN_OK && i < gguf->parts.count; i++) status = tn_gguf_map(gguf->parts.data[i], diag);
    return status;
}

const uint8_t *tn_gguf_data(const tn_gguf *gguf, const tn_gguf_tensor *tensor) {
    gguf = owner_of(gguf, tensor);
    const uint8_t *start = gguf->in_memory ? gguf->bytes : gguf->file.data;
    return start != NULL ? start + tensor->offset : NULL;
}
