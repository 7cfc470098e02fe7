/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors.h: models in safetensors form, one file or many (shards with an index), as one table of tensors. To write a
 * file see safetensors_writer.h.
 *
 *     tn_safetensors *model;
 *     if ((status = tn_safetensors_open("model_directory", allocator, diag, &model)) != TN_OK) goto cleanup;
 *     const tn_safetensors_tensor *tensor = tn_safetensors_find(model, "lm_head.weight");    // NULL: absent
 *     status = tn_safetensors_read(model, tensor, 0, dst, tensor->size_bytes, diag);
 *     tn_safetensors_close(model);
 *
 * The bytes of a file: u64 header_size (little endian), header_size bytes of JSON that start with '{' and may end in
 * spaces, data. The JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …} with offsets from
 * the data's start, and "__metadata__": {string: string}.
 *
 * Opening checks everything: header_size ≤ 100,000,000 and within the file, names not twice, begin ≤ end ≤ data, size equal
 * to the product of shape and dtype, no overlap, no gap, nothing after the last tensor. Rank 0 and tensors without elements
 * are legal. So whoever holds a tn_safetensors_tensor may read its bytes without another check.
 * Shards: the index names them by plain file names (no folder, no "..") next to itself; each must exist and hold the
 * tensors that the index puts there; a tensor in two shards is refused.
 *
 * Headers are copied, tensor data are read on demand or mapped. Threads: immutable after open (and tn_safetensors_map), so
 * any number may read. Tensors live until tn_safetensors_close.
 */
#ifndef TN_FORMAT_SAFETENSORS_H_
#define TN_FORMAT_SAFETENSORS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/report.h"
#include "tenon/dtype.h"

enum { TN_SAFETENSORS_MAX_HEADER_BYTES = 100000000, TN_SAFETENSORS_MAX_SHARDS = 512 };

typedef struct tn_safetensors_tensor {
    const char *name; /* valid UTF-8, ends with a NUL */
    tn_dtype dtype;
    tn_dims dims;
    uint32_t file;   /* index of the shard */
    uint64_t offset; /* of the first byte, from the start of that file */
    uint64_t size_bytes;
} tn_safetensors_tensor;

typedef struct tn_safetensors tn_safetensors;

/* path: a .safetensors file, an index (*.index.json), or a directory with model.safetensors or
 * model.safetensors.index.json (in this order).
 * TN_NOT_FOUND, TN_IO_ERROR    as tn_file_open; also a missing shard
 * TN_INVALID_DATA              a rule above is broken: the diagnostic names the tensor and the reason
 * TN_UNSUPPORTED               a dtype, rank (> TN_MAX_RANK) or number of shards that Tenon has no place for
 * TN_OUT_OF_MEMORY */
TN_MUST_CHECK tn_status tn_safetensors_open(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_safetensors **out_model);
/* One file's bytes in memory, borrowed until tn_safetensors_close. `name` stands in messages. */
TN_MUST_CHECK tn_status tn_safetensors_open_memory(const char *name, const void *data, size_t size_bytes, const tn_allocator *allocator,
                                                   tn_diag *diag, tn_safetensors **out_model);
void tn_safetensors_close(tn_safetensors *model); /* accepts NULL */

size_t tn_safetensors_num_files(const tn_safetensors *model);
const char *tn_safetensors_file_path(const tn_safetensors *model, size_t file); /* or the name given */

/* Tensors in the order of their names, or by name in O(log n); NULL if absent. */
size_t tn_safetensors_num_tensors(const tn_safetensors *model);
const tn_safetensors_tensor *tn_safetensors_at(const tn_safetensors *model, size_t index);
const tn_safetensors_tensor *tn_safetensors_find(const tn_safetensors *model, const char *name);

/* size bytes of the tensor's data from `offset` on; TN_INVALID_ARGUMENT beyond its end, TN_INVALID_DATA or TN_IO_ERROR if
 * the file has changed. */
TN_MUST_CHECK tn_status tn_safetensors_read(const tn_safetensors *model, const tn_safetensors_tensor *tensor, uint64_t offset, void *dst,
                                            size_t size_bytes, tn_diag *diag);
/* Maps the files, so that tn_safetensors_data works; for memory nothing to do. See base/file.h for shrinking files. */
TN_MUST_CHECK tn_status tn_safetensors_map(tn_safetensors *model, tn_diag *diag);
const uint8_t *tn_safetensors_data(const tn_safetensors *model, const tn_safetensors_tensor *tensor); /* NULL unless mapped or in memory */

/* The format's name of a dtype ("F32"); NULL if it has none. */
const char *tn_safetensors_dtype_name(tn_dtype dtype);
/* Bytes of a tensor of a dtype with such a name: elements packed without padding. False if a dimension is negative, the
 * elements do not fill whole bytes, or on overflow. */
bool tn_safetensors_tensor_bytes(tn_dtype dtype, const tn_dims *dims, uint64_t *out_bytes);

#endif
