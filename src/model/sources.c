/* SPDX-License-Identifier: Apache-2.0
 *
 * sources.c: tensors of safetensors and GGUF files as weights.
 */
#include "model/sources.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "op/gguf_blocks.h"

typedef struct safetensors_source {
    tn_weight_source base;
    const tn_allocator *allocator;
    tn_safetensors *files;
    tn_quantization quantization;
} safetensors_source;

static bool is_float_type(tn_dtype dtype) {
    return dtype == TN_FLOAT32 || dtype == TN_FLOAT16 || dtype == TN_BFLOAT16;
}

/* What quantised weights are made of. */
static bool is_packed_type(tn_dtype dtype) {
    return dtype == TN_INT32 || dtype == TN_INT8 || dtype == TN_FLOAT8_E4M3FN;
}

/* Masks and position ids, which no network reads. */
static bool is_table_type(tn_dtype dtype) {
    return dtype == TN_BOOL || dtype == TN_UINT8 || dtype == TN_INT64;
}

static tn_status safetensors_find(tn_weight_source *source, const char *name, tn_weight_desc *out_desc) {
    const safetensors_source *self = (safetensors_source *)source;
    tn_quantized_weight weight;
    const char *problem;
    tn_status status = tn_quantized_find(self->files, &self->quantization, name, &weight, &problem);
    *out_desc = weight.desc;
    if (status != TN_NOT_FOUND) return status;
    const tn_safetensors_tensor *tensor = tn_safetensors_find(self->files, name);
    if (tensor == NULL) return TN_NOT_FOUND;
    if (!is_float_type(tensor->dtype)) return TN_UNSUPPORTED;
    *out_desc = (tn_weight_desc){
        .dtype = TN_FLOAT32,
        .encoding = tn_encoding_plain(tensor->dtype),
        .dims = tensor->dims,
    };
    return TN_OK;
}

static tn_status safetensors_read(tn_weight_source *source, const char *name, tn_weight_part part, uint64_t offset, size_t size_bytes,
                                  void *dst, tn_diag *diag) {
    safetensors_source *self = (safetensors_source *)source;
    tn_quantized_weight weight;
    const char *problem;
    if (tn_quantized_find(self->files, &self->quantization, name, &weight, &problem) == TN_OK)
        return tn_quantized_read(self->files, &self->quantization, &weight, part, offset, size_bytes, dst, diag);
    const tn_safetensors_tensor *tensor = tn_safetensors_find(self->files, name);
    if (tensor == NULL || part != TN_PART_DATA)
        return tn_fail(diag, TN_NOT_FOUND, "cannot read weight '%s': the file has no such tensor", name);
    return tn_safetensors_read(self->files, tensor, offset, dst, size_bytes, diag);
}

static tn_status safetensors_locate(tn_weight_source *source, const char *name, tn_weight_part part, const char **out_path,
                                    uint64_t *out_offset) {
    safetensors_source *self = (safetensors_source *)source;
    const tn_safetensors_tensor *tensor = tn_safetensors_find(self->files, name);
    if (tensor == NULL || part != TN_PART_DATA || !is_float_type(tensor->dtype)) return TN_NOT_FOUND;
    *out_path = tn_safetensors_file_path(self->files, tensor->file);
    *out_offset = tensor->offset;
    return TN_OK;
}

static void safetensors_destroy(tn_weight_source *source) {
    safetensors_source *self = (safetensors_source *)source;
    tn_free(self->allocator, self);
}

/* "X.weight" of a tensor that is the main one of a quantised weight, in a name of its own; false: it is not. */
static bool quantized_name(const char *tensor, char *out_name, size_t size) {
    static const char *const suffixes[] = {".qweight", ".weight_packed", "_blocks"};
    size_t length = strlen(tensor);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        size_t tail = strlen(suffixes[i]);
        if (length <= tail || strcmp(tensor + length - tail, suffixes[i]) != 0) continue;
        return snprintf(out_name, size, "%.*s.weight", (int)(length - tail), tensor) < (int)size;
    }
    return snprintf(out_name, size, "%s", tensor) < (int)size;
}

/* Everything a network could ask for must be readable: what is not is named now. */
static tn_status check_tensor(const tn_safetensors *files, const tn_quantization *quantization, const tn_safetensors_tensor *tensor,
                              tn_diag *diag) {
    tn_where where = {.subject = tensor->name, .file = tn_safetensors_file_path(files, tensor->file)};
    tn_quantized_weight weight;
    const char *problem;
    char name[600];
    if (quantized_name(tensor->name, name, sizeof name)) {
        tn_status status = tn_quantized_find(files, quantization, name, &weight, &problem);
        if (status == TN_OK) return TN_OK;
        if (status != TN_NOT_FOUND)
            return tn_fail_at(diag, status, &where, "cannot use %s: tensor '%s' is no quantised weight: %s", where.file, tensor->name,
                              problem);
    }
    if (tensor->dims.rank < 2 || is_float_type(tensor->dtype) || is_table_type(tensor->dtype)) return TN_OK;
    /* zeros, orders and the like; a weight that they belong to was checked by itself */
    bool is_part = quantization->method != TN_QUANTIZATION_NONE && is_packed_type(tensor->dtype) && strcmp(name, tensor->name) == 0;
    size_t length = strlen(tensor->name);
    if (is_part && (length < 7 || strcmp(tensor->name + length - 7, ".weight") != 0)) return TN_OK;
    return tn_fail_at(diag, TN_UNSUPPORTED, &where, "cannot use %s: tensor '%s' is %s; float32, float16 and bfloat16 weights are supported",
                      where.file, tensor->name, tn_dtype_name(tensor->dtype));
}

tn_status tn_safetensors_source_create(tn_safetensors *files, const tn_quantization *quantization, const tn_allocator *allocator,
                                       tn_diag *diag, tn_weight_source **out_source) {
    *out_source = NULL;
    for (size_t i = 0; i < tn_safetensors_num_tensors(files); i++) {
        tn_status status = check_tensor(files, quantization, tn_safetensors_at(files, i), diag);
        if (status != TN_OK) return status;
    }
    if (quantization->method == TN_QUANTIZATION_AWQ || quantization->method == TN_QUANTIZATION_GPTQ) {
        tn_status status = tn_safetensors_map(files, diag);
        if (status != TN_OK) return status;
    }
    safetensors_source *self = tn_alloc_zero(allocator, sizeof *self);
    if (self == NULL) return tn_fail_memory(diag, "a weight source", sizeof *self);
    self->base = (tn_weight_source){safetensors_find, safetensors_read, safetensors_locate, safetensors_destroy};
    self->allocator = allocator;
    self->files = files;
    self->quantization = *quantization;
    *out_source = &self->base;
    return TN_OK;
}

typedef struct gguf_source {
    tn_weight_source base;
    const tn_allocator *allocator;
    tn_gguf *gguf;
} gguf_source;

static tn_status gguf_encoding(tn_ggml_type type, tn_encoding *out_encoding) {
    switch (type) {
    case TN_GGML_F32: *out_encoding = tn_encoding_plain(TN_FLOAT32); return TN_OK;
    case TN_GGML_F16: *out_encoding = tn_encoding_plain(TN_FLOAT16); return TN_OK;
    case TN_GGML_BF16: *out_encoding = tn_encoding_plain(TN_BFLOAT16); return TN_OK;
    default: return tn_encoding_from_gguf((uint32_t)type, out_encoding);
    }
}

static tn_status gguf_find(tn_weight_source *source, const char *name, tn_weight_desc *out_desc) {
    const tn_gguf_tensor *tensor = tn_gguf_find_tensor(((gguf_source *)source)->gguf, name);
    if (tensor == NULL) return TN_NOT_FOUND;
    *out_desc = (tn_weight_desc){.dtype = TN_FLOAT32, .dims = tensor->dims};
    return gguf_encoding(tensor->type, &out_desc->encoding);
}

static tn_status gguf_read(tn_weight_source *source, const char *name, tn_weight_part part, uint64_t offset, size_t size_bytes, void *dst,
                           tn_diag *diag) {
    gguf_source *self = (gguf_source *)source;
    const tn_gguf_tensor *tensor = tn_gguf_find_tensor(self->gguf, name);
    if (tensor == NULL || part != TN_PART_DATA)
        return tn_fail(diag, TN_NOT_FOUND, "cannot read weight '%s': the file has no such tensor", name);
    return tn_gguf_read(self->gguf, tensor, offset, dst, size_bytes, diag);
}

static tn_status gguf_locate(tn_weight_source *source, const char *name, tn_weight_part part, const char **out_path, uint64_t *out_offset) {
    gguf_source *self = (gguf_source *)source;
    const tn_gguf_tensor *tensor = tn_gguf_find_tensor(self->gguf, name);
    if (tensor == NULL || part != TN_PART_DATA) return TN_NOT_FOUND;
    *out_path = tn_gguf_tensor_path(self->gguf, tensor);
    *out_offset = tensor->offset;
    return TN_OK;
}

static void gguf_destroy(tn_weight_source *source) {
    gguf_source *self = (gguf_source *)source;
    tn_free(self->allocator, self);
}

static tn_status refuse_type(const tn_gguf *gguf, const tn_gguf_tensor *tensor, tn_diag *diag) {
    tn_text hint = {0};
    tn_text_append_string(&hint, "take a file of F32, F16, BF16");
    for (size_t i = 0; i < tn_gguf_num_block_types(); i++)
        tn_text_append_format(&hint, "%s%s", i + 1 < tn_gguf_num_block_types() ? ", " : " or ",
                              tn_ggml_type_name(tn_gguf_block_type_at(i)->number));
    tn_where where = {.subject = tensor->name, .file = tn_gguf_name(gguf), .has_offset = true, .offset = (int64_t)tensor->offset};
    if (!hint.failed) where.hint = hint.data;
    tn_status status = tn_fail_at(diag, TN_UNSUPPORTED, &where, "cannot use %s: tensor '%s' is %s, a type of weights that is not built",
                                  where.file, tensor->name, tn_ggml_type_name((uint32_t)tensor->type));
    tn_text_deinit(&hint);
    return status;
}

tn_status tn_gguf_source_create(tn_gguf *gguf, const tn_allocator *allocator, tn_diag *diag, tn_weight_source **out_source) {
    *out_source = NULL;
    for (size_t i = 0; i < tn_gguf_num_tensors(gguf); i++) {
        const tn_gguf_tensor *tensor = tn_gguf_tensor_at(gguf, i);
        tn_encoding encoding;
        if (gguf_encoding(tensor->type, &encoding) == TN_OK) continue;
        return refuse_type(gguf, tensor, diag);
    }
    gguf_source *self = tn_alloc_zero(allocator, sizeof *self);
    if (self == NULL) return tn_fail_memory(diag, "a weight source", sizeof *self);
    self->base = (tn_weight_source){gguf_find, gguf_read, gguf_locate, gguf_destroy};
    self->allocator = allocator;
    self->gguf = gguf;
    *out_source = &self->base;
    return TN_OK;
}
