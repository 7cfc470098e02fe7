/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.c: messages → segments, through the model's template.
 */
#include <string.h>

#include "base/checked.h"
#include "format/json.h"
#include "tokenizer/jinja/ast.h"
#include "tokenizer/tokenizer_internal.h"

void tn_chat_options_init(tn_chat_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
    options->add_generation_prompt = true;
}

/* Text of the caller: marked, and made UTF-8. */
static bool input_text(tn_jinja *j, const char *text, size_t size, tn_jinja_value *out) {
    tn_jinja_builder builder = {0};
    if (tn_utf8_is_valid(text, size)) {
        *out = tn_jinja_of_string((tn_jinja_string){.data = text, .size = size, .mark = 1});
        return true;
    }
    for (size_t at = 0; at < size;) {
        uint32_t code_point;
        int length = tn_utf8_decode(text + at, size - at, &code_point);
        bool fits = length > 0 ? tn_jinja_append_bytes(j, &builder, text + at, (size_t)length, 1)
                               : tn_jinja_append_bytes(j, &builder, "\xEF\xBF\xBD", 3, 1);
        if (!fits) return false;
        at += length > 0 ? (size_t)length : 1;
    }
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

/* A value of the caller; every string in it is marked. The JSON reader bounds the depth. */
static bool input_json(tn_jinja *j, const tn_json_value *json, tn_jinja_value *out) {
    size_t size;
    const char *text;
    int64_t integer;
    *out = (tn_jinja_value){.kind = TN_JINJA_NONE};
    switch (tn_json_kind_of(json)) {
    case TN_JSON_NULL: return true;
    case TN_JSON_BOOL: out->kind = TN_JINJA_BOOL; return tn_json_to_bool(json, j->diag, &out->boolean) == TN_OK;
    case TN_JSON_INTEGER:
        if (tn_json_to_integer(json, INT64_MIN, INT64_MAX, j->diag, &integer) != TN_OK) return false;
        *out = tn_jinja_of_integer(integer);
        return true;
    case TN_JSON_REAL:
        out->kind = TN_JINJA_FLOAT;
        return tn_json_to_number(json, -1.7976931348623157e308, 1.7976931348623157e308, j->diag, &out->real) == TN_OK;
    case TN_JSON_STRING:
        if (tn_json_to_string(json, j->diag, &text, &size) != TN_OK) return false;
        *out = tn_jinja_of_string((tn_jinja_string){.data = text, .size = size, .mark = 1});
        return true;
    case TN_JSON_ARRAY:
        if (!tn_jinja_list_create(j, tn_json_count(json), out)) return false;
        break;
    case TN_JSON_OBJECT:
        if (!tn_jinja_dict_create(j, out)) return false;
        break;
    }
    for (size_t i = 0; i < tn_json_count(json); i++) {
        const tn_json_value *child = tn_json_at(json, i);
        tn_jinja_value value;
        if (!input_json(j, child, &value)) return false;
        if (out->kind == TN_JINJA_LIST) {
            if (!tn_jinja_list_push(j, out->list, value)) return false;
        } else {
            text = tn_json_key(child, &size);
            tn_jinja_value key = tn_jinja_of_string((tn_jinja_string){.data = text, .size = size, .mark = 1});
            if (!tn_jinja_dict_set(j, out->dict, key, value)) return false;
        }
    }
    return true;
}

static bool set_global(tn_jinja *j, const char *name, tn_jinja_value value) {
    return tn_jinja_dict_set(j, &j->globals.variables, tn_jinja_of_text(name), value);
}

static bool set_token(tn_jinja *j, const tn_tokenizer *tokenizer, const char *name, int32_t id) {
    size_t size;
    const char *piece = tn_tokenizer_piece(tokenizer, id, &size);
    return !piece || set_global(j, name, tn_jinja_of_string((tn_jinja_string){.data = piece, .size = size}));
}

static bool set_messages(tn_jinja *j, const tn_chat_message *messages, size_t num_messages) {
    tn_jinja_value list;
    if (!tn_jinja_list_create(j, num_messages, &list)) return false;
    for (size_t i = 0; i < num_messages; i++) {
        tn_jinja_value message, role, content;
        if (!messages[i].role || (!messages[i].content && messages[i].content_size_bytes > 0))
            return tn_jinja_fail(j, TN_INVALID_ARGUMENT, "message %zu has no role or no content", i);
        if (!tn_jinja_dict_create(j, &message) || !input_text(j, messages[i].role, strlen(messages[i].role), &role) ||
            !input_text(j, messages[i].content ? messages[i].content : "", messages[i].content_size_bytes, &content) ||
            !tn_jinja_dict_set(j, message.dict, tn_jinja_of_text("role"), role) ||
            !tn_jinja_dict_set(j, message.dict, tn_jinja_of_text("content"), content) || !tn_jinja_list_push(j, list.list, message))
            return false;
    }
    return set_global(j, "messages", list);
}

typedef struct chat {
    const tn_tokenizer *tokenizer;
    const tn_chat_options *options;
    tn_jinja jinja;
    tn_json *messages, *variables;
    tn_bytes text; /* the template */
} chat;

static tn_status parse_json(chat *c, const char *name, const char *text, tn_json_kind kind, tn_json **out_json) {
    if (!text) return TN_OK;
    tn_status status = tn_json_parse(name, text, strlen(text), NULL, c->tokenizer->allocator, c->options->diag, out_json);
    return status == TN_OK ? tn_json_expect(tn_json_root(*out_json), kind, c->options->diag) : status;
}

/* The caller's variables first, so that they cannot replace the rest. */
static bool set_up_globals(chat *c, const tn_chat_message *messages, size_t num_messages) {
    tn_jinja *j = &c->jinja;
    tn_jinja_value value;
    const tn_json_value *variables = c->variables ? tn_json_root(c->variables) : NULL;
    for (size_t i = 0; variables && i < tn_json_count(variables); i++) {
        const tn_json_value *member = tn_json_at(variables, i);
        if (!input_json(j, member, &value) || !set_global(j, tn_json_key(member, NULL), value)) return false;
    }
    if (c->messages) {
        if (!input_json(j, tn_json_root(c->messages), &value) || !set_global(j, "messages", value)) return false;
    } else if (!set_messages(j, messages, num_messages)) {
        return false;
    }
    return set_global(j, "add_generation_prompt", tn_jinja_of_bool(c->options->add_generation_prompt)) &&
           set_token(j, c->tokenizer, "bos_token", tn_tokenizer_bos_id(c->tokenizer)) &&
           set_token(j, c->tokenizer, "eos_token", tn_tokenizer_eos_id(c->tokenizer)) &&
           set_token(j, c->tokenizer, "pad_token", tn_tokenizer_pad_id(c->tokenizer));
}

/* One block: the segments, then their text. */
static tn_status make_segments(chat *c, tn_jinja_string text, tn_text_segment **out_segments, size_t *out_num_segments) {
    size_t count = 0, bytes = 0;
    for (size_t i = 0; i < text.size; i++) count += i == 0 || text.marks[i] != text.marks[i - 1];
    bool fits = tn_mul_size(count + 1, sizeof(tn_text_segment), &bytes) && tn_add_size(bytes, text.size, &bytes);
    tn_text_segment *segments = fits ? tn_alloc_zero(c->tokenizer->allocator, bytes) : NULL;
    if (!segments) return tn_fail_memory(c->options->diag, "a chat", bytes);
    char *copy = (char *)(segments + count + 1);
    if (text.size) memcpy(copy, text.data, text.size);
    for (size_t i = 0, at = 0; at < text.size; i++) {
        size_t end = at + 1;
        while (end < text.size && text.marks[end] == text.marks[at]) end++;
        segments[i] = (tn_text_segment){copy + at, end - at, text.marks[at] == 0};
        at = end;
    }
    *out_segments = segments;
    *out_num_segments = count;
    return TN_OK;
}

static tn_status find_template(chat *c) {
    if (c->options->template_text) {
        c->text = tn_bytes_of(c->options->template_text);
        if (c->text.size <= TN_MAX_TEMPLATE_SIZE) return TN_OK;
        return tn_fail(c->options->diag, TN_INVALID_DATA, "cannot use the chat template: it has %zu bytes, at most %u are allowed",
                       c->text.size, TN_MAX_TEMPLATE_SIZE);
    }
    c->text.data = tn_tokenizer_chat_template(c->tokenizer, &c->text.size);
    if (c->text.data) return TN_OK;
    tn_where where = {.hint = "use --raw to send the text as it is, or give a template"};
    return tn_fail_at(c->options->diag, TN_NOT_FOUND, &where, "cannot write a chat: the model has no chat template (use --raw)");
}

tn_status tn_tokenizer_render_chat(const tn_tokenizer *tokenizer, const tn_chat_message *messages, size_t num_messages,
                                   const tn_chat_options *given, tn_text_segment **out_segments, size_t *out_num_segments) {
    *out_segments = NULL;
    *out_num_segments = 0;
    tn_chat_options options;
    tn_chat_options_init(&options);
    tn_status status = tn_options_copy(&options, sizeof options, given, "tn_chat_options", NULL);
    if (status != TN_OK) return status;
    chat c = {.tokenizer = tokenizer, .options = &options};
    if ((status = find_template(&c)) != TN_OK) return status;
    size_t input_size = c.text.size + (options.messages_json ? strlen(options.messages_json) : 0);
    if (options.variables_json) input_size += strlen(options.variables_json);
    for (size_t i = 0; i < num_messages && !options.messages_json; i++)
        if (!tn_add_size(input_size, messages[i].content_size_bytes, &input_size) || input_size > INT32_MAX / 3)
            return tn_fail(options.diag, TN_INVALID_ARGUMENT, "cannot write a chat of more than %d bytes", INT32_MAX / 3);
    tn_jinja *j = &c.jinja;
    tn_jinja_init(j, tokenizer->allocator, options.diag, input_size);
    j->has_now = options.has_now;
    j->now_unix_s = options.now_unix_s;
    status = parse_json(&c, "messages", options.messages_json, TN_JSON_ARRAY, &c.messages);
    if (status == TN_OK) status = parse_json(&c, "template variables", options.variables_json, TN_JSON_OBJECT, &c.variables);
    tn_jinja_node *body;
    tn_jinja_builder out = {0};
    j->out = &out;
    if (status == TN_OK) {
        if (tn_jinja_parse(j, c.text.data, c.text.size, &body) && set_up_globals(&c, messages, num_messages) && tn_jinja_run(j, body))
            status = make_segments(&c, tn_jinja_built(&out), out_segments, out_num_segments);
        else
            status = j->status != TN_OK ? j->status : TN_INTERNAL;
    }
    tn_json_destroy(c.variables);
    tn_json_destroy(c.messages);
    tn_jinja_deinit(j);
    return status;
}
