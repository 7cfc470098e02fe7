/* SPDX-License-Identifier: Apache-2.0
 *
 * load_directory.c: a Hugging Face model directory → spec. tokenizer.json or a sentencepiece model must be there; the files
 * beside it tell which tokens begin and end a text and how a chat is written. Where two files disagree, the more special one
 * wins: the chat template's own file over tokenizer_config.json, tokenizer_config.json over special_tokens_map.json over
 * generation_config.json over config.json; the end ids of all but config.json count.
 */
#include <string.h>

#include "tokenizer/load_json.h"
#include "tokenizer/tokenizer_internal.h"

#define MAX_CONFIG_BYTES ((size_t)64 << 20)

/* NULL without error: no such file. */
static tn_status load_optional(tn_spec *spec, const char *directory, const char *name, tn_json **out_json) {
    *out_json = NULL;
    char *path = tn_path_join(spec->allocator, directory, name);
    if (!path) return tn_fail_memory(spec->diag, "a path", strlen(directory));
    tn_status status = tn_path_exists(path) ? tn_json_load(path, NULL, spec->allocator, spec->diag, out_json) : TN_OK;
    tn_free(spec->allocator, path);
    return status;
}

/* "bos_token": "<s>" or {"content": "<s>", …}; a string that is no token is an error, absent or null leaves *id alone. */
static tn_status read_token(tn_spec *spec, const tn_json_value *config, const char *key, int32_t *id) {
    const tn_json_value *value = tn_json_find(config, key);
    if (!value || tn_json_kind_of(value) == TN_JSON_NULL || *id >= 0) return TN_OK;
    tn_bytes content;
    tn_status status = tn_json_kind_of(value) == TN_JSON_OBJECT
                           ? tn_json_get_string(value, "content", spec->diag, &content.data, &content.size)
                           : tn_json_to_string(value, spec->diag, &content.data, &content.size);
    if (status != TN_OK) return status;
    *id = tn_spec_find(spec, content);
    if (*id < 0) return tn_json_fail(value, spec->diag, TN_INVALID_DATA, "is '%.64s', which is no token of the vocabulary", content.data);
    return TN_OK;
}

static tn_status read_tokens(tn_spec *spec, const tn_json_value *config) {
    tn_status status = read_token(spec, config, "bos_token", &spec->bos_id);
    if (status == TN_OK) status = read_token(spec, config, "eos_token", &spec->eos_id);
    if (status == TN_OK) status = read_token(spec, config, "pad_token", &spec->pad_id);
    return status;
}

static bool is_used(const tn_spec *spec, int64_t id) {
    return id >= 0 && (uint64_t)id < spec->tokens.count && (spec->tokens.data[id].flags & TN_TOKEN_USED);
}

/* "eos_token_id": 2 or [2, 3]. Ids that no token has are left out: some configurations name padding rows. */
static tn_status read_ids(tn_spec *spec, const tn_json_value *config, bool all_end) {
    int64_t id = -1;
    tn_status status = tn_json_get_integer_or(config, "bos_token_id", -1, INT32_MAX, -1, spec->diag, &id);
    if (status == TN_OK && spec->bos_id < 0 && is_used(spec, id)) spec->bos_id = (int32_t)id;
    const tn_json_value *end = tn_json_find(config, "eos_token_id");
    if (status != TN_OK || !end || tn_json_kind_of(end) == TN_JSON_NULL) return status;
    bool is_list = tn_json_kind_of(end) == TN_JSON_ARRAY;
    size_t count = is_list ? tn_json_count(end) : 1;
    for (size_t i = 0; i < count && status == TN_OK; i++) {
        status = tn_json_to_integer(is_list ? tn_json_at(end, i) : end, -1, INT32_MAX, spec->diag, &id);
        if (status != TN_OK || !is_used(spec, id)) continue;
        if (spec->eos_id < 0) spec->eos_id = (int32_t)id;
        if (all_end) status = tn_spec_add_end_id(spec, id);
    }
    return status;
}

/* "chat_template": "…" or [{"name": "default", "template": "…"}, …] */
static tn_status read_chat_template(tn_spec *spec, const tn_json_value *config) {
    const tn_json_value *value = tn_json_find(config, "chat_template");
    if (!value || tn_json_kind_of(value) == TN_JSON_NULL) return TN_OK;
    tn_bytes text;
    tn_status status = TN_OK;
    if (tn_json_kind_of(value) != TN_JSON_ARRAY) {
        status = tn_json_to_string(value, spec->diag, &text.data, &text.size);
        return status == TN_OK ? tn_spec_set_chat_template(spec, text) : status;
    }
    for (size_t i = 0; i < tn_json_count(value) && status == TN_OK; i++) {
        const char *name;
        status = tn_json_get_string(tn_json_at(value, i), "name", spec->diag, &name, NULL);
        if (status != TN_OK || strcmp(name, "default") != 0) continue;
        status = tn_json_get_string(tn_json_at(value, i), "template", spec->diag, &text.data, &text.size);
        if (status == TN_OK) status = tn_spec_set_chat_template(spec, text);
    }
    return status;
}

static tn_status read_template_file(tn_spec *spec, const char *directory) {
    char *path = tn_path_join(spec->allocator, directory, "chat_template.jinja"), *text = NULL;
    if (!path) return tn_fail_memory(spec->diag, "a path", strlen(directory));
    size_t size;
    tn_status status = TN_OK;
    if (tn_path_exists(path)) {
        status = tn_file_read_all(path, TN_MAX_TEMPLATE_SIZE, spec->allocator, spec->diag, &text, &size);
        if (status == TN_OK) status = tn_spec_set_chat_template(spec, (tn_bytes){text, size});
    }
    tn_free(spec->allocator, text);
    tn_free(spec->allocator, path);
    return status;
}

/* A directory without tokenizer.json may hold a sentencepiece model. XLM-R's kind, whose ids are shifted, has another name. */
static tn_status read_tokenizer(tn_spec *spec, const char *directory, bool *out_is_model) {
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "spiece.model"};
    *out_is_model = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = tn_path_join(spec->allocator, directory, names[i]), *data = NULL;
        if (!path) return tn_fail_memory(spec->diag, "a path", strlen(directory));
        size_t size = 0;
        bool exists = tn_path_exists(path);
        tn_status status = exists ? tn_file_read_all(path, MAX_CONFIG_BYTES * 4, spec->allocator, spec->diag, &data, &size) : TN_OK;
        if (exists && status == TN_OK)
            status = i == 0 ? tn_spec_read_json(spec, path, data, size) : tn_spec_read_sentencepiece(spec, path, data, size);
        tn_free(spec->allocator, data);
        tn_free(spec->allocator, path);
        *out_is_model = i > 0;
        if (exists) return status;
    }
    tn_where where = {.file = directory, .hint = "a Hugging Face directory holds its tokenizer as tokenizer.json"};
    return tn_fail_at(spec->diag, TN_NOT_FOUND, &where, "cannot read a tokenizer from %s: it has no tokenizer.json", directory);
}

/* Beside a sentencepiece model, tokenizer_config.json tells what stands around a text, or its class does. */
static tn_status read_ends(tn_spec *spec, const tn_json_value *config) {
    const char *class_name;
    tn_status status = tn_json_get_string_or(config, "tokenizer_class", "", spec->diag, &class_name);
    if (status != TN_OK) return status;
    bool add_bos = strncmp(class_name, "Llama", 5) == 0 || strncmp(class_name, "CodeLlama", 9) == 0 || strncmp(class_name, "Gemma", 5) == 0;
    bool add_eos = strncmp(class_name, "T5", 2) == 0;
    status = tn_json_get_bool_or(config, "add_bos_token", add_bos, spec->diag, &add_bos);
    if (status == TN_OK) status = tn_json_get_bool_or(config, "add_eos_token", add_eos, spec->diag, &add_eos);
    if (status == TN_OK && add_bos && spec->bos_id >= 0) status = tn_spec_add_id(spec, &spec->prefix, spec->bos_id);
    if (status == TN_OK && add_eos && spec->eos_id >= 0) status = tn_spec_add_id(spec, &spec->suffix, spec->eos_id);
    return status;
}

tn_status tn_spec_read_directory(tn_spec *spec, const char *directory) {
    static const struct {
        const char *name;
        bool has_tokens, has_ids, all_end;
    } files[] = {{"tokenizer_config.json", true, false, false},
                 {"special_tokens_map.json", true, false, false},
                 {"generation_config.json", false, true, true},
                 {"config.json", false, true, false}};
    bool is_model;
    tn_status status = read_tokenizer(spec, directory, &is_model);
    for (size_t i = 0; i < sizeof files / sizeof *files && status == TN_OK; i++) {
        tn_json *json = NULL;
        status = load_optional(spec, directory, files[i].name, &json);
        const tn_json_value *config = json ? tn_json_root(json) : NULL;
        if (status == TN_OK && config) status = tn_json_expect(config, TN_JSON_OBJECT, spec->diag);
        if (status == TN_OK && config && files[i].has_tokens) status = read_tokens(spec, config);
        if (status == TN_OK && config && i == 0) status = read_chat_template(spec, config);
        if (status == TN_OK && config && i == 0 && is_model) status = read_ends(spec, config);
        if (status == TN_OK && config && files[i].has_ids) status = read_ids(spec, config, files[i].all_end);
        tn_json_destroy(json);
        if (status == TN_OK && i == 1) status = tn_spec_add_end_id(spec, spec->eos_id); /* first, before further ends */
    }
    if (status == TN_OK) status = tn_spec_add_end_id(spec, spec->eos_id);
    return status == TN_OK ? read_template_file(spec, directory) : status;
}
