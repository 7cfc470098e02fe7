/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.c: prompts as token ids.
 */
#include "server/prompt.h"

#include <string.h>
#include <time.h>

#include "server/server_internal.h"
#include "tokenizer/chat.h"

static bool refuse(const tn_preparation *self, tn_status status, const char *param) {
    return tn_api_fail_from(self->error, status, self->diag, param);
}

static bool out_of_memory(const tn_preparation *self) {
    return tn_api_fail(self->error, 503, "overloaded", NULL, "out of memory for the request");
}

static bool has_tokenizer(const tn_preparation *self, const char *param) {
    if (self->server->tokenizer != NULL) return true;
    return tn_api_fail(self->error, 400, "unsupported", param, "this model has no tokenizer: give token ids");
}

bool tn_ids_read(const tn_preparation *self, const tn_json_value *value, const char *param, size_t max_ids, int32_t **out_ids,
                 size_t *out_count) {
    size_t count = tn_json_count(value);
    int64_t id;
    if (tn_json_kind_of(value) != TN_JSON_ARRAY)
        return tn_api_fail(self->error, 400, "invalid_value", param, "'%s' is no list of ids", param);
    if (count > max_ids)
        return tn_api_fail(self->error, 400, "invalid_value", param, "'%s' has %zu ids, at most %zu are taken", param, count, max_ids);
    int32_t *ids = tn_arena_alloc_array(self->arena, count, sizeof *ids);
    if (ids == NULL) return out_of_memory(self);
    for (size_t i = 0; i < count; i++) {
        tn_status status = tn_json_to_integer(tn_json_at(value, i), 0, self->server->limits.vocab_size - 1, self->diag, &id);
        if (status != TN_OK) return refuse(self, status, param);
        ids[i] = (int32_t)id;
    }
    *out_ids = ids;
    *out_count = count;
    return true;
}

/* Takes over what the tokenizer made. */
static bool keep_ids(const tn_preparation *self, int32_t *ids, size_t count, tn_prompt *out) {
    int32_t *copy = tn_arena_alloc_array(self->arena, count, sizeof *copy);
    if (copy != NULL) memcpy(copy, ids, count * sizeof *copy);
    tn_tokenizer_free(self->server->tokenizer, ids);
    *out = (tn_prompt){copy, count};
    return copy != NULL || out_of_memory(self);
}

bool tn_prompt_encode(const tn_preparation *self, const char *text, size_t size, bool add_special, bool parse_special, const char *param,
                      tn_prompt *out) {
    int32_t *ids;
    size_t count;
    tn_encode_options options;
    if (!has_tokenizer(self, param)) return false;
    tn_encode_options_init(&options);
    options.diag = self->diag;
    options.add_special = add_special;
    options.parse_special = parse_special;
    tn_status status = tn_tokenizer_encode(self->server->tokenizer, text, size, &options, &ids, &count);
    return status == TN_OK ? keep_ids(self, ids, count, out) : refuse(self, status, param);
}

static bool read_one(const tn_preparation *self, const tn_json_value *value, const char *param, tn_prompt *out) {
    const char *text;
    size_t size;
    if (tn_json_kind_of(value) == TN_JSON_ARRAY) {
        int32_t *ids;
        bool is_ok = tn_ids_read(self, value, param, SIZE_MAX, &ids, &out->num_ids); /* too many: check_context has the words */
        out->ids = ids;
        return is_ok;
    }
    tn_status status = tn_json_to_string(value, self->diag, &text, &size);
    if (status != TN_OK) return refuse(self, status, param);
    return tn_prompt_encode(self, text, size, true, false, param, out);
}

bool tn_prompts_read(const tn_preparation *self, const tn_json_value *value, const char *param, size_t max_prompts, tn_prompt **out_prompts,
                     size_t *out_count) {
    if (value == NULL) return tn_api_fail(self->error, 400, "missing_field", param, "'%s' is missing", param);
    bool is_list = tn_json_kind_of(value) == TN_JSON_ARRAY;
    size_t count = is_list ? tn_json_count(value) : 1;
    bool is_many = is_list && count > 0 && tn_json_kind_of(tn_json_at(value, 0)) != TN_JSON_INTEGER;
    if (is_list && !is_many) count = 1;
    if (count > max_prompts)
        return tn_api_fail(self->error, 400, "invalid_value", param, "'%s' has %zu prompts, at most %zu are taken", param, count,
                           max_prompts);
    tn_prompt *prompts = tn_arena_alloc_array(self->arena, count, sizeof *prompts);
    if (prompts == NULL) return out_of_memory(self);
    for (size_t i = 0; i < count; i++) {
        if (!read_one(self, is_many ? tn_json_at(value, i) : value, param, &prompts[i])) return false;
        if (prompts[i].num_ids == 0) return tn_api_fail(self->error, 400, "invalid_value", param, "'%s' is empty: it has no token", param);
    }
    *out_prompts = prompts;
    *out_count = count;
    return true;
}

/* --- chats ----------------------------------------------------------------------------------------------------------------------------- */

static bool check_kind(const tn_preparation *self, const tn_json_value *value, tn_json_kind kind, const char *param) {
    tn_status status = value != NULL ? tn_json_expect(value, kind, self->diag) : TN_OK;
    return status == TN_OK || refuse(self, status, param);
}

/* Text parts are joined by the renderer; others are refused by name. */
static bool check_parts(const tn_preparation *self, const tn_json_value *content) {
    const char *type, *text;
    for (size_t i = 0; i < tn_json_count(content); i++) {
        const tn_json_value *part = tn_json_at(content, i);
        tn_status status = tn_json_get_string(part, "type", self->diag, &type, NULL);
        if (status == TN_OK && strcmp(type, "text") != 0)
            return tn_api_fail(self->error, 400, "unsupported", "messages", "content parts of type '%.32s' are not supported", type);
        if (status == TN_OK) status = tn_json_get_string(part, "text", self->diag, &text, NULL);
        if (status != TN_OK) return refuse(self, status, "messages");
    }
    return true;
}

static bool check_messages(const tn_preparation *self, const tn_json_value *messages) {
    if (messages == NULL) return tn_api_fail(self->error, 400, "missing_field", "messages", "'messages' is missing");
    if (tn_json_kind_of(messages) != TN_JSON_ARRAY || tn_json_count(messages) == 0)
        return tn_api_fail(self->error, 400, "invalid_value", "messages", "'messages' is not a list of at least one message");
    for (size_t i = 0; i < tn_json_count(messages); i++) {
        const char *role;
        tn_status status = tn_json_get_string(tn_json_at(messages, i), "role", self->diag, &role, NULL);
        if (status != TN_OK) return refuse(self, status, "messages");
        const tn_json_value *content = tn_json_find(tn_json_at(messages, i), "content");
        tn_json_kind kind = content != NULL ? tn_json_kind_of(content) : TN_JSON_NULL;
        if (kind == TN_JSON_ARRAY && !check_parts(self, content)) return false;
        if (kind != TN_JSON_ARRAY && kind != TN_JSON_STRING && kind != TN_JSON_NULL)
            return tn_api_fail(self->error, 400, "invalid_value", "messages",
                               "the content of a message is neither a text nor a list of parts");
    }
    return true;
}

bool tn_chat_render(const tn_preparation *self, const tn_api_fields *fields, tn_text_segment **out_segments, size_t *out_count) {
    const tn_server *server = self->server;
    tn_chat_options options;
    tn_chat_values values = {.messages = fields->messages,
                             .tools = fields->tools,
                             .documents = fields->documents,
                             .variables = fields->chat_template_kwargs,
                             .size_bytes = self->body_bytes,
                             .joins_parts = true};
    if (!has_tokenizer(self, "messages") || !check_messages(self, fields->messages)) return false;
    if (!check_kind(self, values.tools, TN_JSON_ARRAY, "tools") || !check_kind(self, values.documents, TN_JSON_ARRAY, "documents") ||
        !check_kind(self, values.variables, TN_JSON_OBJECT, "chat_template_kwargs"))
        return false;
    if (fields->chat_template != NULL && !server->options.allow_request_template)
        return tn_api_fail(self->error, 400, "unsupported", "chat_template",
                           "'chat_template' is refused: the server was not started with --allow-request-template");
    tn_chat_options_init(&options);
    options.diag = self->diag;
    options.add_generation_prompt = fields->add_generation_prompt && !fields->continue_final_message;
    options.continue_final_message = fields->continue_final_message;
    options.template_text = fields->chat_template != NULL ? fields->chat_template : server->options.chat_template;
    options.has_now = true;
    options.now_unix_s = (int64_t)time(NULL);
    tn_status status = tn_chat_render_values(server->tokenizer, &values, &options, out_segments, out_count);
    if (status == TN_NOT_FOUND)
        return tn_api_fail(self->error, 400, "unsupported", "messages", "this model has no chat template: use /v1/completions");
    return status == TN_OK || refuse(self, status, "messages");
}

bool tn_chat_encode(const tn_preparation *self, const tn_api_fields *fields, tn_prompt *out) {
    tn_text_segment *segments;
    size_t num_segments, count;
    int32_t *ids;
    tn_encode_options options;
    if (!tn_chat_render(self, fields, &segments, &num_segments)) return false;
    tn_encode_options_init(&options);
    options.diag = self->diag;
    options.add_special = false;
    tn_status status = tn_tokenizer_encode_segments(self->server->tokenizer, segments, num_segments, &options, &ids, &count);
    tn_tokenizer_free(self->server->tokenizer, segments);
    if (status != TN_OK) return refuse(self, status, "messages");
    if (count > 0) return keep_ids(self, ids, count, out);
    tn_tokenizer_free(self->server->tokenizer, ids);
    return tn_api_fail(self->error, 400, "invalid_value", "messages", "the template makes an empty prompt of these messages");
}
