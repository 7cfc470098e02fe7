/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf.h: GGUF files, versions 2 and 3, little endian: metadata, tensor table, tensor bytes. What the metadata mean is
 * model/'s and tokenizer/'s business, what a block decodes to is op/'s. To write one see gguf_writer.h.
 *
 *     tn_gguf *gguf;
 *     if ((status = tn_gguf_open("model.gguf", allocator, diag, &gguf)) != TN_OK) goto cleanup;
 *     int64_t num_layers;
 *     status = tn_gguf_get_integer(gguf, "llama.block_count", 1, 4096, diag, &num_layers);
 *     const tn_gguf_tensor *tensor = tn_gguf_find_tensor(gguf, "blk.0.attn_q.weight");    // NULL: absent
 *     status = tn_gguf_read(gguf, tensor, 0, dst, tensor->size_bytes, diag);
 *     tn_gguf_close(gguf);
 *
 * The bytes, all integers little endian:
 *     "GGUF"  u32 version  u64 num_tensors  u64 num_values
 *     num_values × { string key, u32 type, value }       string: u64 size, bytes; array: u32 element type, u64 count, elements
 *     num_tensors × { string name, u32 rank, u64 dims[rank] (fastest first), u32 type, u64 offset }
 *     zeros up to a multiple of general.alignment (32 if absent), then the data section that the offsets count from,
 *     each tensor padded to the alignment
 *
 * tn_gguf_open checks everything before it returns: each count and size against the bytes that remain before anything is
 * allocated for it, each tensor's size by checked arithmetic, its place in the file, no overlap, no gap, no bytes after the
 * last tensor's padding. So whoever holds a tn_gguf_tensor may read its bytes without another check. Refused by name:
 * version 1, big endian, arrays of arrays, types that the format has dropped.
 *
 * A split model ("model-00001-of-00003.gguf") is opened by its first part, which has the metadata: the others are found beside it and
 * their tensors stand in one table.
 *
 * Header and tables are copied from the file (a file that shrinks later cannot hurt), tensor data are read on demand or
 * mapped. Threads: immutable after open (and tn_gguf_map), so any number may read. Strings, values and tensors live until
 * tn_gguf_close. Metadata strings are bytes: their UTF-8 is not checked, that of keys and tensor names is.
 */
#ifndef TN_FORMAT_GGUF_H_
#define TN_FORMAT_GGUF_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/report.h"
#include "tenon/dtype.h"

enum {
    TN_GGUF_MAX_RANK = 4,
    TN_GGUF_MAX_NAME_BYTES = 64,        /* of a tensor's name */
    TN_GGUF_MAX_KEY_BYTES = 65535,      /* of a metadata key */
    TN_GGUF_MAX_ALIGNMENT = 65536,      /* and a power of two */
    TN_GGUF_MAX_HEADER_BYTES = 1 << 27, /* everything before the data section */
};

/* The format's numbers of tensor types ("ggml_type"). */
typedef enum tn_ggml_type {
    TN_GGML_F32 = 0,
    TN_GGML_F16 = 1,
    TN_GGML_Q4_0 = 2,
    TN_GGML_Q4_1 = 3,
    TN_GGML_Q5_0 = 6,
    TN_GGML_Q5_1 = 7,
    TN_GGML_Q8_0 = 8,
    TN_GGML_Q8_1 = 9,
    TN_GGML_Q2_K = 10,
    TN_GGML_Q3_K = 11,
    TN_GGML_Q4_K = 12,
    TN_GGML_Q5_K = 13,
    TN_GGML_Q6_K = 14,
    TN_GGML_Q8_K = 15,
    TN_GGML_IQ2_XXS = 16,
    TN_GGML_IQ2_XS = 17,
    TN_GGML_IQ3_XXS = 18,
    TN_GGML_IQ1_S = 19,
    TN_GGML_IQ4_NL = 20,
    TN_GGML_IQ3_S = 21,
    TN_GGML_IQ2_S = 22,
    TN_GGML_IQ4_XS = 23,
    TN_GGML_I8 = 24,
    TN_GGML_I16 = 25,
    TN_GGML_I32 = 26,
    TN_GGML_I64 = 27,
    TN_GGML_F64 = 28,
    TN_GGML_IQ1_M = 29,
    TN_GGML_BF16 = 30,
    TN_GGML_TQ1_0 = 34,
    TN_GGML_TQ2_0 = 35,
    TN_GGML_MXFP4 = 39,
} tn_ggml_type;

/* "F32", "Q4_K"; NULL for a number that is no type (any more). */
const char *tn_ggml_type_name(uint32_t type);
/* Values in a block and its bytes; false for a number that is no type. A row must be whole blocks. */
bool tn_ggml_type_block(uint32_t type, int64_t *out_block_values, int64_t *out_block_bytes);
/* Bytes of a tensor; false if the type is none, a row is not whole blocks, a dimension is < 1, or on overflow. */
bool tn_ggml_tensor_bytes(uint32_t type, const tn_dims *dims, uint64_t *out_bytes);

/* The format's numbers of metadata types. */
typedef enum tn_gguf_value_type {
    TN_GGUF_UINT8 = 0,
    TN_GGUF_INT8 = 1,
    TN_GGUF_UINT16 = 2,
    TN_GGUF_INT16 = 3,
    TN_GGUF_UINT32 = 4,
    TN_GGUF_INT32 = 5,
    TN_GGUF_FLOAT32 = 6,
    TN_GGUF_BOOL = 7,
    TN_GGUF_STRING = 8,
    TN_GGUF_ARRAY = 9,
    TN_GGUF_UINT64 = 10,
    TN_GGUF_INT64 = 11,
    TN_GGUF_FLOAT64 = 12,
    TN_GGUF_NUM_TYPES
} tn_gguf_value_type;

/* One metadata entry. A scalar is an array of one: `type` is the element's type then too, and is_array false. */
typedef struct tn_gguf_value {
    const char *key;         /* ends with a NUL; valid UTF-8 */
    tn_gguf_value_type type; /* of the value, or of the array's elements; never TN_GGUF_ARRAY */
    bool is_array;
    uint64_t count;                /* elements; 1 for a scalar */
    const uint8_t *data;           /* numbers: count elements, little endian, not aligned; strings: see tn_gguf_string */
    const uint64_t *string_starts; /* private: [count], for strings */
} tn_gguf_value;

typedef struct tn_gguf_tensor {
    const char *name;
    tn_ggml_type type;
    tn_dims dims;                 /* row-major: the last dimension is the fastest, as everywhere in Tenon; each ≥ 1 */
    int64_t ne[TN_GGUF_MAX_RANK]; /* as in the file: ne[0] is the fastest, 1 beyond the rank */
    uint64_t offset;              /* of the first byte, from the start of its file */
    uint64_t size_bytes;
    uint32_t part; /* which file of a split model, from 0 */
} tn_gguf_tensor;

typedef struct tn_gguf tn_gguf;

/* TN_NOT_FOUND, TN_IO_ERROR    as tn_file_open
 * TN_INVALID_DATA              damaged or not GGUF: the diagnostic names the entry and the offset
 * TN_UNSUPPORTED               valid, but one of the forms above
 * TN_OUT_OF_MEMORY */
TN_MUST_CHECK tn_status tn_gguf_open(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_gguf **out_gguf);
/* The same of bytes in memory, borrowed until tn_gguf_close. `name` stands in messages. */
TN_MUST_CHECK tn_status tn_gguf_open_memory(const char *name, const void *data, size_t size_bytes, const tn_allocator *allocator,
                                            tn_diag *diag, tn_gguf **out_gguf);
void tn_gguf_close(tn_gguf *gguf); /* accepts NULL */

uint32_t tn_gguf_version(const tn_gguf *gguf); /* 2 or 3 */
uint64_t tn_gguf_alignment(const tn_gguf *gguf);
const char *tn_gguf_name(const tn_gguf *gguf);                                      /* the path (of the first part), or the name given */
const char *tn_gguf_tensor_path(const tn_gguf *gguf, const tn_gguf_tensor *tensor); /* of the tensor's file */

/* Metadata: in the order of the file, or by key in O(log n); NULL if absent. */
size_t tn_gguf_num_values(const tn_gguf *gguf);
const tn_gguf_value *tn_gguf_value_at(const tn_gguf *gguf, size_t index);
const tn_gguf_value *tn_gguf_find(const tn_gguf *gguf, const char *key);

/* Elements of a value, index < count; the value must be of the kind in question. Never fail, never allocate.
 * tn_gguf_integer: any integer type or bool; false if it exceeds int64. tn_gguf_number: any integer or float type.
 * tn_gguf_string: the bytes in the file, not ended by a NUL. */
bool tn_gguf_integer(const tn_gguf_value *value, uint64_t index, int64_t *out_integer);
double tn_gguf_number(const tn_gguf_value *value, uint64_t index);
const char *tn_gguf_string(const tn_gguf_value *value, uint64_t index, size_t *out_size);
bool tn_gguf_type_is_integer(tn_gguf_value_type type);
bool tn_gguf_type_is_float(tn_gguf_value_type type);

/* A scalar that must be there and in range (inclusive): else TN_INVALID_DATA with key, value and rule in the message.
 * Any integer type will do for an integer, any integer or float type for a number (NaN is out of every range). */
TN_MUST_CHECK tn_status tn_gguf_get_integer(const tn_gguf *gguf, const char *key, int64_t min, int64_t max, tn_diag *diag,
                                            int64_t *out_integer);
TN_MUST_CHECK tn_status tn_gguf_get_number(const tn_gguf *gguf, const char *key, double min, double max, tn_diag *diag, double *out_number);
TN_MUST_CHECK tn_status tn_gguf_get_bool(const tn_gguf *gguf, const char *key, tn_diag *diag, bool *out_bool);
TN_MUST_CHECK tn_status tn_gguf_get_string(const tn_gguf *gguf, const char *key, tn_diag *diag, const char **out_bytes, size_t *out_size);
/* An array of strings, of integers (any integer type but bool) or of floats: `kind` is TN_GGUF_STRING, TN_GGUF_INT64 or
 * TN_GGUF_FLOAT64. */
TN_MUST_CHECK tn_status tn_gguf_get_array(const tn_gguf *gguf, const char *key, tn_gguf_value_type kind, tn_diag *diag,
                                          const tn_gguf_value **out_value);
/* The same with a fallback for an absent key. */
TN_MUST_CHECK tn_status tn_gguf_get_integer_or(const tn_gguf *gguf, const char *key, int64_t min, int64_t max, int64_t fallback,
                                               tn_diag *diag, int64_t *out_integer);
TN_MUST_CHECK tn_status tn_gguf_get_number_or(const tn_gguf *gguf, const char *key, double min, double max, double fallback, tn_diag *diag,
                                              double *out_number);
TN_MUST_CHECK tn_status tn_gguf_get_bool_or(const tn_gguf *gguf, const char *key, bool fallback, tn_diag *diag, bool *out_bool);

/* Tensors: in the order of the file, which is the order of their data, or by name in O(log n). */
size_t tn_gguf_num_tensors(const tn_gguf *gguf);
const tn_gguf_tensor *tn_gguf_tensor_at(const tn_gguf *gguf, size_t index);
const tn_gguf_tensor *tn_gguf_find_tensor(const tn_gguf *gguf, const char *name);

/* size bytes of the tensor's data from `offset` on; TN_INVALID_ARGUMENT beyond its end, TN_INVALID_DATA or TN_IO_ERROR if
 * the file has changed. */
TN_MUST_CHECK tn_status tn_gguf_read(const tn_gguf *gguf, const tn_gguf_tensor *tensor, uint64_t offset, void *dst, size_t size_bytes,
                                     tn_diag *diag);
/* Maps the file, so that tn_gguf_data works; for memory nothing to do. See base/file.h for what a shrinking file does then. */
TN_MUST_CHECK tn_status tn_gguf_map(tn_gguf *gguf, tn_diag *diag);
const uint8_t *tn_gguf_data(const tn_gguf *gguf, const tn_gguf_tensor *tensor); /* NULL unless mapped or in memory */

#endif
