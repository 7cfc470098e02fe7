/* SPDX-License-Identifier: Apache-2.0
 *
 * hf_config.c: the configuration of a Hugging Face directory: architecture, vocabulary and end ids; the rest is its family's
 * (read_hf), which has the defaults that transformers gives the architecture. A checkpoint that reads images too has its decoder's
 * fields in text_config; what stands beside it is of images but for end ids and quantisation.
 */
#include <string.h>

#include "base/file.h"
#include "model/family.h"
#include "model/hf_reader.h"

static tn_status read_architecture(const tn_json_value *config, tn_diag *diag, tn_arena *arena, tn_model_config *out,
                                   const tn_family **family) {
    const tn_json_value *architectures;
    const char *name;
    tn_status status = tn_json_get_array(config, "architectures", diag, &architectures);
    if (status != TN_OK) return status;
    if (tn_json_count(architectures) != 1)
        return tn_json_fail(architectures, diag, TN_INVALID_DATA, "has %zu names, must have one", tn_json_count(architectures));
    status = tn_json_to_string(tn_json_at(architectures, 0), diag, &name, NULL);
    if (status != TN_OK) return status;
    *family = tn_family_find_hf(name);
    if (*family == NULL) {
        bool has_encoder = false;
        const tn_json_value *flag = tn_json_find(config, "is_encoder_decoder");
        if (flag != NULL && tn_json_kind_of(flag) == TN_JSON_BOOL) (void)!tn_json_to_bool(flag, diag, &has_encoder);
        const char *what = has_encoder ? "an encoder-decoder; only decoders are built" : "an architecture that Tenon does not know";
        return tn_json_fail(tn_json_at(architectures, 0), diag, TN_UNSUPPORTED, "is '%s', %s", name, what);
    }
    out->architecture = tn_arena_string(arena, name);
    return out->architecture != NULL ? TN_OK : tn_fail_memory(diag, "the model's configuration", strlen(name));
}

/* An id, a list of ids, or null. */
static tn_status read_end_ids(const tn_json_value *config, tn_diag *diag, tn_model_config *out) {
    const tn_json_value *value = tn_json_find(config, "eos_token_id");
    if (value == NULL || tn_json_kind_of(value) == TN_JSON_NULL) return TN_OK;
    bool is_list = tn_json_kind_of(value) == TN_JSON_ARRAY;
    size_t count = is_list ? tn_json_count(value) : 1;
    if (count > TN_MAX_END_IDS)
        return tn_json_fail(value, diag, TN_UNSUPPORTED, "has %zu ids, at most %d are supported", count, TN_MAX_END_IDS);
    out->num_end_ids = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t id;
        tn_status status = tn_json_to_integer(is_list ? tn_json_at(value, i) : value, 0, out->vocab_size - 1, diag, &id);
        if (status != TN_OK) return status;
        out->end_ids[out->num_end_ids++] = (int32_t)id;
    }
    return TN_OK;
}

/* generation_config.json has the last word on what ends an answer; many directories have none. */
static tn_status read_generation_config(const char *directory, const tn_allocator *allocator, tn_diag *diag, tn_model_config *out) {
    char *path = tn_path_join(allocator, directory, "generation_config.json");
    if (path == NULL) return tn_fail_memory(diag, "a path", strlen(directory));
    tn_json *json = NULL;
    tn_status status = TN_OK;
    if (tn_path_exists(path)) {
        status = tn_json_load(path, NULL, allocator, diag, &json);
        if (status == TN_OK) status = tn_json_expect(tn_json_root(json), TN_JSON_OBJECT, diag);
        if (status == TN_OK) status = read_end_ids(tn_json_root(json), diag, out);
    }
    tn_json_destroy(json);
    tn_free(allocator, path);
    return status;
}

/* false, {} and [] say that there is none. */
static void read_quantization(tn_hf_reader *reader) {
    const tn_json_value *value = tn_hf_find(reader, "quantization_config|compression_config");
    if (value == NULL || reader->status != TN_OK) return;
    tn_json_kind kind = tn_json_kind_of(value);
    bool is_true = false;
    if (kind == TN_JSON_BOOL && tn_json_to_bool(value, NULL, &is_true) == TN_OK && !is_true) return;
    if ((kind == TN_JSON_OBJECT || kind == TN_JSON_ARRAY) && tn_json_count(value) == 0) return;
    reader->status = tn_quantization_from_json(value, reader->diag, &reader->config->quantization);
}

/* The object with the decoder's fields: the whole of it, or text_config. */
static tn_status find_text(const tn_json_value *root, const tn_family *family, const char *architecture, tn_diag *diag,
                           const tn_json_value **out_text) {
    static const char ending[] = "ForConditionalGeneration";
    size_t length = strlen(architecture), tail = sizeof ending - 1;
    const char *model_type;
    *out_text = root;
    if (family->text_model_type == NULL || length < tail || strcmp(architecture + length - tail, ending) != 0) return TN_OK;
    tn_status status = tn_json_get_object(root, "text_config", diag, out_text);
    if (status == TN_OK) status = tn_json_get_string(*out_text, "model_type", diag, &model_type, NULL);
    if (status == TN_OK && strcmp(model_type, family->text_model_type) != 0)
        status = tn_json_fail(tn_json_find(*out_text, "model_type"), diag, TN_UNSUPPORTED,
                              "is '%s', a decoder that Tenon does not know in %s", model_type, architecture);
    return status;
}

static tn_status start_reader(tn_hf_reader *reader, const tn_json_value *json) {
    reader->json = json;
    reader->is_asked = tn_arena_alloc_array(reader->arena, tn_json_count(json), sizeof *reader->is_asked);
    if (reader->is_asked == NULL && tn_json_count(json) > 0)
        return tn_fail_memory(reader->diag, "the model's configuration", tn_json_count(json));
    return TN_OK;
}

tn_status tn_model_config_from_json(const tn_json *json, const char *file, tn_arena *arena, tn_diag *diag, tn_model_config *out_config,
                                    const tn_family **out_family) {
    *out_config = (tn_model_config){.bos_id = -1, .name = "", .head_bias = TN_BIAS_NONE};
    *out_family = NULL;
    const tn_json_value *root = tn_json_root(json);
    tn_status status = tn_json_expect(root, TN_JSON_OBJECT, diag);
    if (status == TN_OK) status = read_architecture(root, diag, arena, out_config, out_family);
    const tn_json_value *text;
    if (status == TN_OK) status = find_text(root, *out_family, out_config->architecture, diag, &text);
    if (status != TN_OK) return status;
    tn_hf_reader outer = {.arena = arena, .diag = diag, .config = out_config}, inner = outer;
    tn_hf_reader *reader = text == root ? &outer : &inner;
    tn_json *defaults = NULL;
    status = start_reader(&outer, root);
    if (status == TN_OK && reader == &inner) status = start_reader(&inner, text);
    const char *missing = (*out_family)->text_defaults;
    if (status == TN_OK && reader == &inner && missing != NULL)
        status = tn_json_parse("the architecture's defaults", missing, strlen(missing), NULL, arena->allocator, diag, &defaults);
    if (status != TN_OK) goto cleanup;
    if (defaults != NULL) inner.defaults = tn_json_root(defaults);

    (void)tn_hf_has(reader, "architectures");
    (void)tn_hf_has(reader, "eos_token_id");
    out_config->vocab_size = tn_hf_integer(reader, "vocab_size|padded_vocab_size", 1, TN_HF_MAX_SIZE);
    (*out_family)->read_hf(reader);
    read_quantization(&outer);
    out_config->bos_id = (int32_t)tn_hf_integer_or(reader, "bos_token_id", 0, out_config->vocab_size - 1, -1);
    out_config->head_is_optional = reader == &inner;
    if (out_config->head_is_optional) out_config->tie_embeddings = false;
    status = tn_hf_finish(reader);
    if (status == TN_OK) status = outer.status;
    if (status == TN_OK) status = read_end_ids(text, diag, out_config);
    if (status == TN_OK) status = read_end_ids(root, diag, out_config);
    if (status == TN_OK) status = tn_model_config_check(out_config, file, diag);
cleanup:
    tn_json_destroy(defaults);
    return status;
}

tn_status tn_model_config_from_hf(const char *directory, tn_arena *arena, tn_diag *diag, tn_model_config *out_config,
                                  const tn_family **out_family) {
    *out_config = (tn_model_config){.bos_id = -1};
    *out_family = NULL;
    char *path = tn_path_join(arena->allocator, directory, "config.json");
    if (path == NULL) return tn_fail_memory(diag, "a path", strlen(directory));
    tn_json *json = NULL;
    tn_status status = tn_json_load(path, NULL, arena->allocator, diag, &json);
    if (status == TN_OK) status = tn_model_config_from_json(json, path, arena, diag, out_config, out_family);
    if (status == TN_OK) status = read_generation_config(directory, arena->allocator, diag, out_config);
    tn_json_destroy(json);
    tn_free(arena->allocator, path);
    return status;
}
