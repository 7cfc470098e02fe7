/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.c: prompts as token ids.
 */
#include "server/prompt.h"

#include <string.h>
#include <time.h>

#include "server/json_text.h"
#include "server/server_internal.h"

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

/* Text parts become one text, since most templates know only that; other parts are refused by name. */
static bool append_content(const tn_preparation *self, const tn_json_value *content, tn_text *out) {
    const char *type, *text;
    size_t size;
    tn_text joined = {.allocator = out->allocator};
    for (size_t i = 0; i < tn_json_count(content); i++) {
        const tn_json_value *part = tn_json_at(content, i);
        tn_status status = tn_json_get_string(part, "type", self->diag, &type, NULL);
        bool is_text = status == TN_OK && strcmp(type, "text") == 0;
        if (is_text) status = tn_json_get_string(part, "text", self->diag, &text, &size);
        if (status != TN_OK || !is_text) {
            tn_text_deinit(&joined);
            if (status != TN_OK) return refuse(self, status, "messages");
            return tn_api_fail(self->error, 400, "unsupported", "messages", "content parts of type '%.32s' are not supported", type);
        }
        if (i > 0) tn_text_append_char(&joined, '\n');
        tn_text_append(&joined, text, size);
    }
    tn_text_append_json_string(out, joined.data != NULL ? joined.data : "", joined.size);
    out->failed |= joined.failed;
    tn_text_deinit(&joined);
    return true;
}

static bool append_message(const tn_preparation *self, const tn_json_value *message, tn_text *out) {
    const char *role;
    tn_status status = tn_json_expect(message, TN_JSON_OBJECT, self->diag);
    if (status == TN_OK) status = tn_json_get_string(message, "role", self->diag, &role, NULL);
    if (status != TN_OK) return refuse(self, status, "messages");
    tn_text_append_char(out, '{');
    for (size_t i = 0; i < tn_json_count(message); i++) {
        const tn_json_value *member = tn_json_at(message, i);
        size_t size;
        const char *key = tn_json_key(member, &size);
        bool is_content = strcmp(key, "content") == 0;
        if (i > 0) tn_text_append_string(out, ", ");
        tn_text_append_json_string(out, key, size);
        tn_text_append_string(out, ": ");
        if (is_content && tn_json_kind_of(member) == TN_JSON_ARRAY) {
            if (!append_content(self, member, out)) return false;
        } else if (is_content && tn_json_kind_of(member) != TN_JSON_STRING && tn_json_kind_of(member) != TN_JSON_NULL) {
            return tn_api_fail(self->error, 400, "invalid_value", "messages",
                               "the content of a message is neither a text nor a list of parts");
        } else {
            tn_json_append(member, out);
        }
    }
    tn_text_append_char(out, '}');
    return true;
}

static bool append_messages(const tn_preparation *self, const tn_json_value *messages, tn_text *out) {
    if (messages == NULL) return tn_api_fail(self->error, 400, "missing_field", "messages", "'messages' is missing");
    if (tn_json_kind_of(messages) != TN_JSON_ARRAY || tn_json_count(messages) == 0)
        return tn_api_fail(self->error, 400, "invalid_value", "messages", "'messages' is not a list of at least one message");
    tn_text_append_char(out, '[');
    for (size_t i = 0; i < tn_json_count(messages); i++) {
        if (i > 0) tn_text_append_string(out, ", ");
        if (!append_message(self, tn_json_at(messages, i), out)) return false;
    }
    tn_text_append_char(out, ']');
    return !out->failed || out_of_memory(self);
}

/* The template's variables besides messages and tools. */
static bool append_variables(const tn_preparation *self, const tn_api_fields *fields, tn_text *out) {
    const tn_json_value *more = fields->chat_template_kwargs;
    if (more != NULL && tn_json_kind_of(more) != TN_JSON_OBJECT)
        return tn_api_fail(self->error, 400, "invalid_value", "chat_template_kwargs", "'chat_template_kwargs' is not an object");
    bool is_first = true;
    tn_text_append_char(out, '{');
    for (size_t i = 0; more != NULL && i < tn_json_count(more); i++) {
        const tn_json_value *member = tn_json_at(more, i);
        size_t size;
        const char *key = tn_json_key(member, &size);
        if (fields->documents != NULL && strcmp(key, "documents") == 0) continue;
        if (!is_first) tn_text_append_string(out, ", ");
        is_first = false;
        tn_text_append_json_string(out, key, size);
        tn_text_append_string(out, ": ");
        tn_json_append(member, out);
    }
    if (fields->documents != NULL) {
        if (!is_first) tn_text_append_string(out, ", ");
        tn_text_append_string(out, "\"documents\": ");
        tn_json_append(fields->documents, out);
    }
    tn_text_append_char(out, '}');
    return !out->failed || out_of_memory(self);
}

bool tn_chat_render(const tn_preparation *self, const tn_api_fields *fields, tn_text_segment **out_segments, size_t *out_count) {
    const tn_server *server = self->server;
    tn_text messages = {.allocator = &server->allocator}, variables = messages, tools = messages;
    tn_chat_options options;
    if (!has_tokenizer(self, "messages")) return false;
    if (fields->chat_template != NULL && !server->options.allow_request_template)
        return tn_api_fail(self->error, 400, "unsupported", "chat_template",
                           "'chat_template' is refused: the server was not started with --allow-request-template");
    bool is_ok = append_messages(self, fields->messages, &messages) && append_variables(self, fields, &variables);
    if (is_ok && fields->tools != NULL) tn_json_append(fields->tools, &tools);
    if (is_ok && tools.failed) is_ok = out_of_memory(self);
    if (is_ok) {
        tn_chat_options_init(&options);
        options.diag = self->diag;
        options.add_generation_prompt = fields->add_generation_prompt && !fields->continue_final_message;
        options.continue_final_message = fields->continue_final_message;
        options.messages_json = messages.data;
        options.variables_json = variables.data;
        options.tools_json = tools.data;
        options.template_text = fields->chat_template != NULL ? fields->chat_template : server->options.chat_template;
        options.has_now = true;
        options.now_unix_s = (int64_t)time(NULL);
        tn_status status = tn_tokenizer_render_chat(server->tokenizer, NULL, 0, &options, out_segments, out_count);
        if (status == TN_NOT_FOUND)
            is_ok = tn_api_fail(self->error, 400, "unsupported", "messages", "this model has no chat template: use /v1/completions");
        else if (status != TN_OK)
            is_ok = refuse(self, status, "messages");
    }
    tn_text_deinit(&messages);
    tn_text_deinit(&variables);
    tn_text_deinit(&tools);
    return is_ok;
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
