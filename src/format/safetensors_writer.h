/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_writer.h: writes one safetensors file, streaming: nothing but the header is kept in memory.
 *
 *     tn_safetensors_writer *writer;
 *     if ((status = tn_safetensors_writer_create("tiny.safetensors", allocator, diag, &writer)) != TN_OK) goto cleanup;
 *     tn_safetensors_writer_add_metadata(writer, "format", "pt");
 *     tn_safetensors_writer_add_tensor(writer, "w", TN_FLOAT32, TN_DIMS(2, 3), &index);
 *     status = tn_safetensors_writer_write(writer, index, 0, values, sizeof values);    // any order, any pieces, each byte once
 *     status = tn_safetensors_writer_commit(writer);                                    // the file appears whole, or not at all
 *     tn_safetensors_writer_destroy(writer);
 *
 * The add functions return nothing: a failure is reported to diag when it happens, kept, and returned by every later write
 * and by commit. No add after the first write. Not locked.
 */
#ifndef TN_FORMAT_SAFETENSORS_WRITER_H_
#define TN_FORMAT_SAFETENSORS_WRITER_H_

#include "format/safetensors.h"

typedef struct tn_safetensors_writer tn_safetensors_writer;

TN_MUST_CHECK tn_status tn_safetensors_writer_create(const char *path, const tn_allocator *allocator, tn_diag *diag,
                                                     tn_safetensors_writer **out_writer);
void tn_safetensors_writer_destroy(tn_safetensors_writer *writer); /* accepts NULL; without commit no file remains */

void tn_safetensors_writer_add_metadata(tn_safetensors_writer *writer, const char *key, const char *value);
void tn_safetensors_writer_add_tensor(tn_safetensors_writer *writer, const char *name, tn_dtype dtype, tn_dims dims, size_t *out_index);

TN_MUST_CHECK tn_status tn_safetensors_writer_write(tn_safetensors_writer *writer, size_t tensor_index, uint64_t offset, const void *data,
                                                    size_t size_bytes);
/* TN_INVALID_ARGUMENT if some tensor's bytes are missing. */
TN_MUST_CHECK tn_status tn_safetensors_writer_commit(tn_safetensors_writer *writer);

#endif
