/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_writer.c: tables in memory, tensor bytes straight to the file.
 */
#include "format/gguf_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/little_endian.h"

typedef struct written_tensor {
    uint64_t offset; /* from the data section's start */
    uint64_t size_bytes, written_bytes;
} written_tensor;

struct tn_gguf_writer {
    tn_allocator allocator_copy;
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_file_writer *file;
    tn_status status;      /* the first failure */
    tn_text values, table; /* the metadata's and the tensor table's bytes */
    uint64_t num_values, alignment, data_size;
    TN_ARRAY(written_tensor) tensors;
    bool has_header;
    uint64_t data_begin;
};

static void append_le(tn_text *text, int size_bytes, uint64_t value) {
    uint8_t bytes[8];
    tn_store_le(bytes, size_bytes, value);
    tn_text_append(text, bytes, (size_t)size_bytes);
}

static void append_string(tn_text *text, const char *bytes, size_t size) {
    append_le(text, 8, size);
    tn_text_append(text, bytes, size);
}

tn_status tn_gguf_writer_create(const char *path, uint32_t alignment, const tn_allocator *allocator, tn_diag *diag,
                                tn_gguf_writer **out_writer) {
    *out_writer = NULL;
    if (alignment == 0 || alignment > TN_GGUF_MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot write %s: the alignment is %" PRIu32 ", must be a power of two up to %d", path,
                       alignment, TN_GGUF_MAX_ALIGNMENT);
    tn_gguf_writer *writer = tn_alloc_zero(allocator, sizeof *writer);
    if (writer == NULL) return tn_fail_memory(diag, "GGUF writer", sizeof *writer);
    if (allocator != NULL) {
        writer->allocator_copy = *allocator;
        writer->allocator = &writer->allocator_copy;
    }
    writer->diag = diag;
    writer->alignment = alignment;
    writer->values.allocator = writer->table.allocator = writer->allocator;
    tn_status status = tn_file_writer_create(path, writer->allocator, diag, &writer->file);
    if (status != TN_OK) {
        tn_gguf_writer_destroy(writer);
        return status;
    }
    if (alignment != 32) tn_gguf_writer_add_integer(writer, "general.alignment", TN_GGUF_UINT32, alignment);
    *out_writer = writer;
    return TN_OK;
}

void tn_gguf_writer_destroy(tn_gguf_writer *writer) {
    if (writer == NULL) return;
    const tn_allocator copy = writer->allocator_copy;
    const tn_allocator *allocator = writer->allocator != NULL ? &copy : NULL;
    tn_file_writer_destroy(writer->file);
    tn_text_deinit(&writer->values);
    tn_text_deinit(&writer->table);
    tn_array_deinit(allocator, &writer->tensors);
    tn_free(allocator, writer);
}

static void check_memory(tn_gguf_writer *writer) {
    if (writer->status == TN_OK && (writer->values.failed || writer->table.failed))
        writer->status = tn_fail_memory(writer->diag, "GGUF tables", writer->values.size + writer->table.size);
}

/* The key and type of the next metadata entry. */
static void begin_value(tn_gguf_writer *writer, const char *key, tn_gguf_value_type type) {
    assert(!writer->has_header);
    writer->num_values++;
    append_string(&writer->values, key, strlen(key));
    append_le(&writer->values, 4, type);
}

static int bytes_of_type(tn_gguf_value_type type) {
    switch (type) {
    case TN_GGUF_UINT16:
    case TN_GGUF_INT16: return 2;
    case TN_GGUF_UINT32:
    case TN_GGUF_INT32:
    case TN_GGUF_FLOAT32: return 4;
    case TN_GGUF_UINT64:
    case TN_GGUF_INT64: return 8;
    default: return 1;
    }
}

void tn_gguf_writer_add_integer(tn_gguf_writer *writer, const char *key, tn_gguf_value_type type, int64_t value) {
    assert(tn_gguf_type_is_integer(type));
    begin_value(writer, key, type);
    append_le(&writer->values, bytes_of_type(type), (uint64_t)value);
    check_memory(writer);
}

void tn_gguf_writer_add_float(tn_gguf_writer *writer, const char *key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    begin_value(writer, key, TN_GGUF_FLOAT32);
    append_le(&writer->values, 4, bits);
    check_memory(writer);
}

void tn_gguf_writer_add_bool(tn_gguf_writer *writer, const char *key, bool value) {
    begin_value(writer, key, TN_GGUF_BOOL);
    append_le(&writer->values, 1, value);
    check_memory(writer);
}

void tn_gguf_writer_add_string(tn_gguf_writer *writer, const char *key, const char *bytes, size_t size) {
    begin_value(writer, key, TN_GGUF_STRING);
    append_string(&writer->values, bytes, size);
    check_memory(writer);
}

void tn_gguf_writer_add_string_array(tn_gguf_writer *writer, const char *key, const char *const *strings, size_t count) {
    begin_value(writer, key, TN_GGUF_ARRAY);
    append_le(&writer->values, 4, TN_GGUF_STRING);
    append_le(&writer->values, 8, count);
    for (size_t i = 0; i < count; i++) append_string(&writer->values, strings[i], strlen(strings[i]));
    check_memory(writer);
}

void tn_gguf_writer_add_array(tn_gguf_writer *writer, const char *key, tn_gguf_value_type type, const void *elements, size_t count) {
    bool is_byte = type == TN_GGUF_UINT8 || type == TN_GGUF_BOOL;
    assert(type == TN_GGUF_INT32 || type == TN_GGUF_UINT32 || type == TN_GGUF_FLOAT32 || is_byte);
    begin_value(writer, key, TN_GGUF_ARRAY);
    append_le(&writer->values, 4, type);
    append_le(&writer->values, 8, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t word;
        if (is_byte)
            word = ((const uint8_t *)elements)[i];
        else
            memcpy(&word, (const uint8_t *)elements + 4 * i, sizeof word);
        append_le(&writer->values, bytes_of_type(type), word);
    }
    check_memory(writer);
}

void tn_gguf_writer_add_tensor(tn_gguf_writer *writer, const char *name, tn_ggml_type type, tn_dims dims, size_t *out_index) {
    assert(!writer->has_header);
    if (out_index != NULL) *out_index = 0;
    if (writer->status != TN_OK) return;
    written_tensor tensor = {.offset = writer->data_size};
    size_t padded;
    if (dims.rank > TN_GGUF_MAX_RANK || !tn_ggml_tensor_bytes(type, &dims, &tensor.size_bytes) ||
        !tn_align_size(tensor.size_bytes, writer->alignment, &padded) || !tn_add_size(writer->data_size, padded, &writer->data_size)) {
        writer->status = tn_fail(writer->diag, TN_INVALID_ARGUMENT, "cannot write tensor '%s': GGUF has no such type and shape", name);
        return;
    }
    append_string(&writer->table, name, strlen(name));
    append_le(&writer->table, 4, (uint64_t)dims.rank);
    for (int32_t i = dims.rank - 1; i >= 0; i--) append_le(&writer->table, 8, (uint64_t)dims.d[i]);
    append_le(&writer->table, 4, type);
    append_le(&writer->table, 8, tensor.offset);
    check_memory(writer);
    if (writer->status != TN_OK) return;
    if (!tn_array_push(writer->allocator, &writer->tensors, tensor)) {
        writer->status = tn_fail_memory(writer->diag, "GGUF tensor table", sizeof tensor);
        return;
    }
    if (out_index != NULL) *out_index = writer->tensors.count - 1;
}

/* Writes everything before the data section, once. */
static tn_status write_header(tn_gguf_writer *writer) {
    if (writer->status != TN_OK || writer->has_header) return writer->status;
    uint8_t fixed[24] = "GGUF";
    tn_store_le(fixed + 4, 4, 3);
    tn_store_le(fixed + 8, 8, writer->tensors.count);
    tn_store_le(fixed + 16, 8, writer->num_values);
    const uint64_t table_begin = sizeof fixed + writer->values.size, end = table_begin + writer->table.size;
    writer->data_begin = (end + writer->alignment - 1) & ~(writer->alignment - 1);
    writer->has_header = true;
    writer->status = tn_file_writer_write_at(writer->file, 0, fixed, sizeof fixed);
    if (writer->status == TN_OK && writer->values.size > 0)
        writer->status = tn_file_writer_write_at(writer->file, sizeof fixed, writer->values.data, writer->values.size);
    if (writer->status == TN_OK && writer->table.size > 0)
        writer->status = tn_file_writer_write_at(writer->file, table_begin, writer->table.data, writer->table.size);
    /* The gaps before and after tensors are holes of the file; this sets its end. */
    if (writer->status == TN_OK && writer->data_begin + writer->data_size > end)
        writer->status = tn_file_writer_write_at(writer->file, writer->data_begin + writer->data_size - 1, "", 1);
    return writer->status;
}

tn_status tn_gguf_writer_write(tn_gguf_writer *writer, size_t tensor_index, uint64_t offset, const void *data, size_t size_bytes) {
    if (write_header(writer) != TN_OK) return writer->status;
    assert(tensor_index < writer->tensors.count);
    written_tensor *tensor = &writer->tensors.data[tensor_index];
    if (offset > tensor->size_bytes || size_bytes > tensor->size_bytes - offset)
        return writer->status =
                   tn_fail(writer->diag, TN_INVALID_ARGUMENT, "cannot write %zu bytes at %" PRIu64 " of tensor %zu: it has %" PRIu64,
                           size_bytes, offset, tensor_index, tensor->size_bytes);
    tensor->written_bytes += size_bytes;
    return writer->status = tn_file_writer_write_at(writer->file, writer->data_begin + tensor->offset + offset, data, size_bytes);
}

tn_status tn_gguf_writer_commit(tn_gguf_writer *writer) {
    if (write_header(writer) != TN_OK) return writer->status;
    for (size_t i = 0; i < writer->tensors.count; i++) {
        const written_tensor *tensor = &writer->tensors.data[i];
        if (tensor->written_bytes != tensor->size_bytes)
            return writer->status = tn_fail(writer->diag, TN_INVALID_ARGUMENT,
                                            "cannot finish the GGUF file: %" PRIu64 " bytes of tensor %zu were written, it has %" PRIu64,
                                            tensor->written_bytes, i, tensor->size_bytes);
    }
    return writer->status = tn_file_writer_commit(writer->file);
}
