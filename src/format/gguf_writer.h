/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_writer.h: writes GGUF version 3 files, streaming: nothing but the tables is kept in memory.
 *
 *     tn_gguf_writer *writer;
 *     if ((status = tn_gguf_writer_create("tiny.gguf", 32, allocator, diag, &writer)) != TN_OK) goto cleanup;
 *     tn_gguf_writer_add_string(writer, "general.architecture", "llama", 5);
 *     tn_gguf_writer_add_integer(writer, "llama.block_count", TN_GGUF_UINT32, 2);
 *     tn_gguf_writer_add_tensor(writer, "token_embd.weight", TN_GGML_Q4_1, TN_DIMS(512, 64), &index);
 *     status = tn_gguf_writer_write(writer, index, 0, blocks, size);       // any order, any pieces, each byte once
 *     status = tn_gguf_writer_commit(writer);                             // the file appears whole, or not at all
 *     tn_gguf_writer_destroy(writer);
 *
 * The add functions return nothing: a failure is reported to diag when it happens, kept, and returned by every later write
 * and by commit. No add after the first write. Not locked.
 */
#ifndef TN_FORMAT_GGUF_WRITER_H_
#define TN_FORMAT_GGUF_WRITER_H_

#include "format/gguf.h"

typedef struct tn_gguf_writer tn_gguf_writer;

/* alignment: a power of two from 1 to TN_GGUF_MAX_ALIGNMENT; other than 32 it is recorded in the metadata. */
TN_MUST_CHECK tn_status tn_gguf_writer_create(const char *path, uint32_t alignment, const tn_allocator *allocator, tn_diag *diag,
                                              tn_gguf_writer **out_writer);
void tn_gguf_writer_destroy(tn_gguf_writer *writer); /* accepts NULL; without commit no file remains */

void tn_gguf_writer_add_integer(tn_gguf_writer *writer, const char *key, tn_gguf_value_type type, int64_t value); /* any integer type */
void tn_gguf_writer_add_float(tn_gguf_writer *writer, const char *key, float value);
void tn_gguf_writer_add_bool(tn_gguf_writer *writer, const char *key, bool value);
void tn_gguf_writer_add_string(tn_gguf_writer *writer, const char *key, const char *bytes, size_t size);
void tn_gguf_writer_add_string_array(tn_gguf_writer *writer, const char *key, const char *const *strings, size_t count);
/* type: of the elements, which are in host order; TN_GGUF_INT32, TN_GGUF_UINT32, TN_GGUF_FLOAT32, TN_GGUF_UINT8 or
 * TN_GGUF_BOOL (bytes). */
void tn_gguf_writer_add_array(tn_gguf_writer *writer, const char *key, tn_gguf_value_type type, const void *elements, size_t count);
/* dims row-major, rank 1 to 4. *out_index (may be NULL) is for tn_gguf_writer_write. */
void tn_gguf_writer_add_tensor(tn_gguf_writer *writer, const char *name, tn_ggml_type type, tn_dims dims, size_t *out_index);

TN_MUST_CHECK tn_status tn_gguf_writer_write(tn_gguf_writer *writer, size_t tensor_index, uint64_t offset, const void *data,
                                             size_t size_bytes);
/* TN_INVALID_ARGUMENT if some tensor's bytes are missing. */
TN_MUST_CHECK tn_status tn_gguf_writer_commit(tn_gguf_writer *writer);

#endif
