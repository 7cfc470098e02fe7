/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.c: the tokenizer object over its image.
 */
#include <string.h>

#include "tokenizer/tokenizer_internal.h"

void tn_tokenizer_options_init(tn_tokenizer_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
}

tn_status tn_options_copy(void *options, size_t options_size, const void *given, const char *what, tn_diag *diag) {
    if (!given) return TN_OK;
    size_t given_size;
    memcpy(&given_size, given, sizeof given_size);
    if (given_size < sizeof given_size || given_size > 4096)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot use %s: its struct_size is %zu; call its init function first", what, given_size);
    for (size_t i = options_size; i < given_size; i++)
        if (((const char *)given)[i] != 0)
            return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot use %s: it sets a field that this version does not know", what);
    memcpy(options, given, given_size < options_size ? given_size : options_size);
    memcpy(options, &options_size, sizeof options_size);
    return TN_OK;
}

/* ---- making one ---- */

static tn_status add_parts(tn_tokenizer *t, tn_pipeline *pipeline, tn_pipeline_kind kind, const tn_part_entry *entries, uint32_t count,
                           tn_diag *diag) {
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < count && status == TN_OK; i++) {
        tn_part part = {(tn_part_kind)entries[i].kind,
                        entries[i].flags,
                        entries[i].number_a,
                        entries[i].number_b,
                        tn_image_bytes(&t->image, entries[i].a),
                        tn_image_bytes(&t->image, entries[i].b)};
        status = tn_pipeline_add(pipeline, kind, &part, t->allocator, diag);
    }
    return status;
}

static void index_added(tn_tokenizer *t) {
    const tn_image *image = &t->image;
    for (int group = 0; group < 2; group++) {
        uint32_t at = group == 0 ? 0 : image->header->num_raw_added, end = group == 0 ? image->header->num_raw_added : image->num_added;
        for (unsigned byte = 0; byte < 256; byte++) {
            t->added[group].begin[byte] = at;
            while (at < end && (uint8_t)image->strings[image->added[at].pattern.offset] == byte) at++;
        }
        t->added[group].begin[256] = at;
    }
}

static tn_status set_up(tn_tokenizer *t, const void *data, size_t size, bool check_checksum, tn_diag *diag) {
    t->image_size = size;
    tn_status status = tn_image_open(data, size, check_checksum, diag, &t->image);
    if (status != TN_OK) return status;
    const tn_image *image = &t->image;
    status = add_parts(t, &t->normalizer, TN_PIPELINE_NORMALIZER, image->normalizer, image->num_normalizer, diag);
    if (status == TN_OK)
        status = add_parts(t, &t->pre_tokenizer, TN_PIPELINE_PRE_TOKENIZER, image->pre_tokenizer, image->num_pre_tokenizer, diag);
    if (status == TN_OK) status = add_parts(t, &t->decoder, TN_PIPELINE_DECODER, image->decoder, image->num_decoder, diag);
    if (status != TN_OK) return status;
    const tn_pipeline *pre = &t->pre_tokenizer;
    bool is_byte_level = pre->count > 0 && pre->stages[pre->count - 1].part.kind == TN_PART_BYTE_LEVEL;
    if (is_byte_level && image->header->model_kind != TN_MODEL_BPE)
        return tn_fail(diag, TN_INVALID_DATA, "cannot use the tokenizer: only a BPE model reads bytes");
    for (uint32_t i = 0; i < image->num_tokens; i++)
        if (image->tokens[i].piece.size > t->longest_piece) t->longest_piece = image->tokens[i].piece.size;
    if (image->header->model_kind == TN_MODEL_BPE) tn_bpe_init(&t->bpe, image, t->longest_piece, is_byte_level);
    if (image->header->model_kind == TN_MODEL_UNIGRAM) tn_unigram_init(&t->unigram, image);
    index_added(t);
    return TN_OK;
}

static tn_tokenizer *create_empty(const tn_allocator *allocator) {
    tn_tokenizer *t = tn_alloc_zero(allocator, sizeof *t);
    if (!t) return NULL;
    t->file.descriptor = -1;
    if (allocator) {
        t->allocator_copy = *allocator;
        t->allocator = &t->allocator_copy;
    }
    return t;
}

tn_status tn_tokenizer_create_from_spec(const tn_spec *spec, tn_tokenizer **out_tokenizer) {
    *out_tokenizer = NULL;
    tn_tokenizer *t = create_empty(spec->allocator);
    if (!t) return tn_fail_memory(spec->diag, "a tokenizer", sizeof *t);
    size_t size;
    tn_status status = tn_image_write(spec, &t->owned_image, &size);
    if (status == TN_OK) status = set_up(t, t->owned_image, size, false, spec->diag);
    if (status != TN_OK) {
        tn_tokenizer_destroy(t);
        return status;
    }
    *out_tokenizer = t;
    return TN_OK;
}

static tn_status open_memory(const void *data, size_t size, bool check_checksum, const tn_tokenizer_options *given,
                             tn_tokenizer **out_tokenizer) {
    *out_tokenizer = NULL;
    tn_tokenizer_options options;
    tn_tokenizer_options_init(&options);
    tn_status status = tn_options_copy(&options, sizeof options, given, "tn_tokenizer_options", NULL);
    if (status != TN_OK) return status;
    tn_tokenizer *t = create_empty(options.allocator);
    if (!t) return tn_fail_memory(options.diag, "a tokenizer", sizeof *t);
    if ((uintptr_t)data % 8 != 0) {
        t->owned_image = tn_copy_bytes(t->allocator, data, size);
        if (!t->owned_image) status = tn_fail_memory(options.diag, "a tokenizer", size);
        data = t->owned_image;
    }
    if (status == TN_OK) status = set_up(t, data, size, check_checksum, options.diag);
    if (status != TN_OK) {
        tn_tokenizer_destroy(t);
        return status;
    }
    *out_tokenizer = t;
    return TN_OK;
}

tn_status tn_tokenizer_load_compiled(const void *data, size_t size_bytes, const tn_tokenizer_options *options,
                                     tn_tokenizer **out_tokenizer) {
    return open_memory(data, size_bytes, true, options, out_tokenizer);
}

tn_status tn_tokenizer_open_unsealed(const void *data, size_t size_bytes, const tn_tokenizer_options *options,
                                     tn_tokenizer **out_tokenizer) {
    return open_memory(data, size_bytes, false, options, out_tokenizer);
}

tn_status tn_tokenizer_load_json(const char *json, size_t size_bytes, const tn_tokenizer_options *given, tn_tokenizer **out_tokenizer) {
    *out_tokenizer = NULL;
    tn_tokenizer_options options;
    tn_tokenizer_options_init(&options);
    tn_status status = tn_options_copy(&options, sizeof options, given, "tn_tokenizer_options", NULL);
    if (status != TN_OK) return status;
    tn_spec spec;
    tn_spec_init(&spec, options.allocator, options.diag);
    status = tn_spec_read_json(&spec, "tokenizer.json", json, size_bytes);
    if (status == TN_OK) status = tn_tokenizer_create_from_spec(&spec, out_tokenizer);
    tn_spec_deinit(&spec);
    return status;
}

/* ---- loading by what the path is ---- */

static tn_status map_compiled(const char *path, const tn_tokenizer_options *options, tn_tokenizer **out_tokenizer) {
    tn_tokenizer *t = create_empty(options->allocator);
    if (!t) return tn_fail_memory(options->diag, "a tokenizer", sizeof *t);
    tn_status status = tn_file_open(path, t->allocator, options->diag, &t->file);
    if (status == TN_OK) status = tn_file_map(&t->file, options->diag);
    if (status == TN_OK) status = set_up(t, t->file.data, t->file.size_bytes, true, options->diag);
    if (status != TN_OK) {
        tn_tokenizer_destroy(t);
        return status;
    }
    *out_tokenizer = t;
    return TN_OK;
}

static tn_status read_gguf_file(tn_spec *spec, const char *path) {
    tn_gguf *gguf = NULL;
    tn_status status = tn_gguf_open(path, spec->allocator, spec->diag, &gguf);
    if (status == TN_OK) status = tn_spec_read_gguf(spec, gguf);
    tn_gguf_close(gguf);
    return status;
}

/* A tokenizer.json, or a sentencepiece model by its name. */
static tn_status read_other_file(tn_spec *spec, const char *path) {
    char *data = NULL;
    size_t size;
    tn_status status = tn_file_read_all(path, (size_t)1 << 30, spec->allocator, spec->diag, &data, &size);
    if (status == TN_OK)
        status = tn_string_ends_with(path, ".model") ? tn_spec_read_sentencepiece(spec, path, data, size)
                                                     : tn_spec_read_json(spec, path, data, size);
    tn_free(spec->allocator, data);
    return status;
}

/* The first 8 bytes, zeros where the file is shorter. */
static tn_status read_magic(const char *path, const tn_tokenizer_options *options, char magic[8]) {
    memset(magic, 0, 8);
    tn_file file = {.descriptor = -1};
    tn_status status = tn_file_open(path, options->allocator, options->diag, &file);
    if (status == TN_OK) status = tn_file_read_at(&file, 0, magic, file.size_bytes < 8 ? file.size_bytes : 8, options->diag);
    tn_file_close(&file);
    return status;
}

tn_status tn_tokenizer_load(const char *path, const tn_tokenizer_options *given, tn_tokenizer **out_tokenizer) {
    *out_tokenizer = NULL;
    tn_tokenizer_options options;
    tn_tokenizer_options_init(&options);
    tn_status status = tn_options_copy(&options, sizeof options, given, "tn_tokenizer_options", NULL);
    if (status != TN_OK) return status;
    bool is_directory = tn_path_is_directory(path);
    if (is_directory) {
        char *compiled = tn_path_join(options.allocator, path, "tokenizer.bin");
        if (!compiled) return tn_fail_memory(options.diag, "a path", strlen(path));
        bool exists = tn_path_exists(compiled);
        if (exists) status = map_compiled(compiled, &options, out_tokenizer);
        tn_free(options.allocator, compiled);
        if (exists) return status;
    }
    char magic[8] = "";
    if (!is_directory && (status = read_magic(path, &options, magic)) != TN_OK) return status;
    if (memcmp(magic, "TNTOKEN", 8) == 0) return map_compiled(path, &options, out_tokenizer);
    tn_spec spec;
    tn_spec_init(&spec, options.allocator, options.diag);
    if (is_directory)
        status = tn_spec_read_directory(&spec, path);
    else if (memcmp(magic, "GGUF", 4) == 0)
        status = read_gguf_file(&spec, path);
    else
        status = read_other_file(&spec, path);
    if (status == TN_OK) status = tn_tokenizer_create_from_spec(&spec, out_tokenizer);
    tn_spec_deinit(&spec);
    return status;
}

tn_status tn_tokenizer_save(const tn_tokenizer *t, const char *path, tn_diag *diag) {
    tn_file_writer *writer = NULL;
    tn_status status = tn_file_writer_create(path, t->allocator, diag, &writer);
    if (status == TN_OK) status = tn_file_writer_write_at(writer, 0, t->image.header, t->image_size);
    if (status == TN_OK) status = tn_file_writer_commit(writer);
    tn_file_writer_destroy(writer);
    return status;
}

void tn_tokenizer_get_compiled(const tn_tokenizer *t, const void **out_data, size_t *out_size_bytes) {
    *out_data = t->image.header;
    *out_size_bytes = t->image_size;
}

void tn_tokenizer_destroy(tn_tokenizer *t) {
    if (!t) return;
    tn_pipeline_deinit(&t->normalizer);
    tn_pipeline_deinit(&t->pre_tokenizer);
    tn_pipeline_deinit(&t->decoder);
    tn_free(t->allocator, t->owned_image);
    tn_file_close(&t->file);
    tn_allocator allocator = t->allocator_copy; /* t itself comes from it */
    tn_free(t->allocator ? &allocator : NULL, t);
}

void tn_tokenizer_free(const tn_tokenizer *t, void *block) {
    tn_free(t->allocator, block);
}

/* ---- looking ---- */

size_t tn_tokenizer_vocab_size(const tn_tokenizer *t) {
    return t->image.num_tokens;
}

const char *tn_tokenizer_piece(const tn_tokenizer *t, int32_t id, size_t *out_size_bytes) {
    *out_size_bytes = 0;
    if (id < 0 || (uint32_t)id >= t->image.num_tokens || !(t->image.tokens[id].flags & TN_TOKEN_USED)) return NULL;
    *out_size_bytes = t->image.tokens[id].piece.size;
    return t->image.strings + t->image.tokens[id].piece.offset;
}

int32_t tn_tokenizer_find(const tn_tokenizer *t, const char *piece, size_t size_bytes) {
    return tn_image_find_piece(&t->image, piece, size_bytes);
}

bool tn_tokenizer_is_special(const tn_tokenizer *t, int32_t id) {
    return id >= 0 && (uint32_t)id < t->image.num_tokens && (t->image.tokens[id].flags & TN_TOKEN_SPECIAL);
}

int32_t tn_tokenizer_bos_id(const tn_tokenizer *t) {
    return t->image.header->bos_id;
}

int32_t tn_tokenizer_eos_id(const tn_tokenizer *t) {
    return t->image.header->eos_id;
}

int32_t tn_tokenizer_pad_id(const tn_tokenizer *t) {
    return t->image.header->pad_id;
}

size_t tn_tokenizer_end_ids(const tn_tokenizer *t, const int32_t **out_ids) {
    *out_ids = t->image.end_ids;
    return t->image.num_end_ids;
}

bool tn_tokenizer_is_end(const tn_tokenizer *t, int32_t id) {
    for (uint32_t i = 0; i < t->image.num_end_ids; i++)
        if (t->image.end_ids[i] == id) return true;
    return false;
}

const char *tn_tokenizer_chat_template(const tn_tokenizer *t, size_t *out_size_bytes) {
    *out_size_bytes = t->image.header->chat_template.size;
    return *out_size_bytes ? t->image.strings + t->image.header->chat_template.offset : NULL;
}
