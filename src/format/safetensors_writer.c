/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_writer.c: the header in memory, tensor bytes straight to the file.
 */
#include "format/safetensors_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/little_endian.h"

typedef struct written_tensor {
    uint64_t offset; /* from the data's start */
    uint64_t size_bytes, written_bytes;
} written_tensor;

struct tn_safetensors_writer {
    tn_allocator allocator_copy;
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_file_writer *file;
    tn_status status;        /* the first failure */
    tn_text metadata, table; /* members of the two objects, each with a comma before it */
    TN_ARRAY(written_tensor) tensors;
    uint64_t data_begin, data_size;
    bool has_header;
};

tn_status tn_safetensors_writer_create(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_safetensors_writer **out_writer) {
    *out_writer = NULL;
    tn_safetensors_writer *writer = tn_alloc_zero(allocator, sizeof *writer);
    if (writer == NULL) return tn_fail_memory(diag, "safetensors writer", sizeof *writer);
    if (allocator != NULL) {
        writer->allocator_copy = *allocator;
        writer->allocator = &writer->allocator_copy;
    }
    writer->diag = diag;
    writer->metadata.allocator = writer->table.allocator = writer->allocator;
    tn_status status = tn_file_writer_create(path, writer->allocator, diag, &writer->file);
    if (status == TN_OK)
        *out_writer = writer;
    else
        tn_safetensors_writer_destroy(writer);
    return status;
}

void tn_safetensors_writer_destroy(tn_safetensors_writer *writer) {
    if (writer == NULL) return;
    const tn_allocator copy = writer->allocator_copy;
    const tn_allocator *allocator = writer->allocator != NULL ? &copy : NULL;
    tn_file_writer_destroy(writer->file);
    tn_text_deinit(&writer->metadata);
    tn_text_deinit(&writer->table);
    tn_array_deinit(allocator, &writer->tensors);
    tn_free(allocator, writer);
}

static void check_memory(tn_safetensors_writer *writer) {
    if (writer->status == TN_OK && (writer->metadata.failed || writer->table.failed))
        writer->status = tn_fail_memory(writer->diag, "safetensors header", writer->metadata.size + writer->table.size);
}

void tn_safetensors_writer_add_metadata(tn_safetensors_writer *writer, const char *key, const char *value) {
    assert(!writer->has_header);
    tn_text *text = &writer->metadata;
    if (text->size > 0) tn_text_append_char(text, ',');
    tn_text_append_json_string(text, key, strlen(key));
    tn_text_append_char(text, ':');
    tn_text_append_json_string(text, value, strlen(value));
    check_memory(writer);
}

void tn_safetensors_writer_add_tensor(tn_safetensors_writer *writer, const char *name, tn_dtype dtype, tn_dims dims, size_t *out_index) {
    assert(!writer->has_header);
    if (out_index != NULL) *out_index = 0;
    if (writer->status != TN_OK) return;
    written_tensor tensor = {.offset = writer->data_size};
    if (!tn_safetensors_tensor_bytes(dtype, &dims, &tensor.size_bytes) ||
        !tn_add_size(writer->data_size, tensor.size_bytes, &writer->data_size)) {
        writer->status =
            tn_fail(writer->diag, TN_INVALID_ARGUMENT, "cannot write tensor '%s': safetensors has no such dtype and shape", name);
        return;
    }
    tn_text *text = &writer->table;
    if (text->size > 0) tn_text_append_char(text, ',');
    tn_text_append_json_string(text, name, strlen(name));
    tn_text_append_format(text, ":{\"dtype\":\"%s\",\"shape\":[", tn_safetensors_dtype_name(dtype));
    for (int32_t i = 0; i < dims.rank; i++) tn_text_append_format(text, "%s%" PRId64, i > 0 ? "," : "", dims.d[i]);
    tn_text_append_format(text, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", tensor.offset, writer->data_size);
    check_memory(writer);
    if (writer->status != TN_OK) return;
    if (!tn_array_push(writer->allocator, &writer->tensors, tensor)) {
        writer->status = tn_fail_memory(writer->diag, "safetensors header", sizeof tensor);
        return;
    }
    if (out_index != NULL) *out_index = writer->tensors.count - 1;
}

/* The header's bytes: size, JSON, spaces up to a multiple of 8, so that the data are aligned. */
static void format_header(const tn_safetensors_writer *writer, tn_text *out_text) {
    tn_text_append(out_text, "\0\0\0\0\0\0\0\0{", 9);
    if (writer->metadata.size > 0) {
        tn_text_append_string(out_text, "\"__metadata__\":{");
        tn_text_append(out_text, writer->metadata.data, writer->metadata.size);
        tn_text_append_string(out_text, writer->table.size > 0 ? "}," : "}");
    }
    if (writer->table.size > 0) tn_text_append(out_text, writer->table.data, writer->table.size);
    tn_text_append_char(out_text, '}');
    while (out_text->size % 8 != 0 && !out_text->failed) tn_text_append_char(out_text, ' ');
    if (!out_text->failed) tn_store_le((uint8_t *)out_text->data, 8, out_text->size - 8);
}

static tn_status write_header(tn_safetensors_writer *writer) {
    if (writer->status != TN_OK || writer->has_header) return writer->status;
    tn_text text = {.allocator = writer->allocator};
    format_header(writer, &text);
    writer->has_header = true;
    writer->data_begin = text.size;
    if (text.failed)
        writer->status = tn_fail_memory(writer->diag, "safetensors header", writer->metadata.size + writer->table.size);
    else
        writer->status = tn_file_writer_write_at(writer->file, 0, text.data, text.size);
    tn_text_deinit(&text);
    return writer->status;
}

tn_status tn_safetensors_writer_write(tn_safetensors_writer *writer, size_t tensor_index, uint64_t offset, const void *data,
                                      size_t size_bytes) {
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

tn_status tn_safetensors_writer_commit(tn_safetensors_writer *writer) {
    if (write_header(writer) != TN_OK) return writer->status;
    for (size_t i = 0; i < writer->tensors.count; i++) {
        const written_tensor *tensor = &writer->tensors.data[i];
        if (tensor->written_bytes != tensor->size_bytes)
            return writer->status =
                       tn_fail(writer->diag, TN_INVALID_ARGUMENT,
                               "cannot finish the safetensors file: %" PRIu64 " bytes of tensor %zu were written, it has %" PRIu64,
                               tensor->written_bytes, i, tensor->size_bytes);
    }
    return writer->status = tn_file_writer_commit(writer->file);
}
