/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.c: messages → segments, through the model's template.
 */
#include <string.h>

#include "base/checked.h"
#include "tokenizer/chat.h"
#include "tokenizer/jinja/ast.h"
#include "tokenizer/jinja/strings.h"
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

static bool input_messages(tn_jinja *j, const tn_chat_message *messages, size_t num_messages, tn_jinja_value *out) {
    if (!tn_jinja_list_create(j, num_messages, out)) return false;
    for (size_t i = 0; i < num_messages; i++) {
        tn_jinja_value message, role, content;
        if (!messages[i].role || (!messages[i].content && messages[i].content_size_bytes > 0))
            return tn_jinja_fail(j, TN_INVALID_ARGUMENT, "message %zu has no role or no content", i);
        if (!tn_jinja_dict_create(j, &message) || !input_text(j, messages[i].role, strlen(messages[i].role), &role) ||
            !input_text(j, messages[i].content ? messages[i].content : "", messages[i].content_size_bytes, &content) ||
            !tn_jinja_dict_set(j, message.dict, tn_jinja_of_text("role"), role) ||
            !tn_jinja_dict_set(j, message.dict, tn_jinja_of_text("content"), content) || !tn_jinja_list_push(j, out->list, message))
            return false;
    }
    return true;
}

/* A document that lives as long as the rendering. */
typedef struct parsed {
    tn_json *json;
    struct parsed *next;
} parsed;

typedef struct chat {
    const tn_tokenizer *tokenizer;
    const tn_chat_options *options;
    tn_jinja jinja;
    tn_bytes text; /* the template */
    const tn_chat_message *messages;
    size_t num_messages;
    tn_chat_values values; /* messages NULL: those above */
    tn_jinja_value list;   /* the messages as the template sees them */
    parsed *documents;
    tn_diag *quiet; /* for text that may well be no JSON */
} chat;

static bool parse_json(chat *c, const char *name, const char *text, size_t size, tn_diag *diag, const tn_json_value **out_root) {
    parsed *document = tn_jinja_alloc(&c->jinja, sizeof *document);
    if (!document) return false;
    tn_status status = tn_json_parse(name, text, size, NULL, c->tokenizer->allocator, diag, &document->json);
    if (status != TN_OK) {
        c->jinja.status = status == TN_INVALID_DATA ? TN_INVALID_ARGUMENT : status;
        return false;
    }
    document->next = c->documents;
    c->documents = document;
    *out_root = tn_json_root(document->json);
    return true;
}

/* The arguments of a call are mostly a string that holds a JSON object, and templates mostly expect the object. */
static bool open_arguments(chat *c, tn_jinja_value *arguments) {
    tn_jinja *j = &c->jinja;
    tn_jinja_string text = arguments->string;
    const tn_json_value *root;
    tn_jinja_value object;
    if (tn_jinja_strip(text, NULL, true, true).size == 0) {
        if (!tn_jinja_dict_create(j, arguments)) return false;
        arguments->dict->text = (tn_jinja_string){.data = "{}", .size = 2};
        return true;
    }
    if (!c->quiet && tn_diag_create(c->tokenizer->allocator, &c->quiet) != TN_OK) {
        j->status = tn_fail_memory(j->diag, "a chat", 0);
        return false;
    }
    if (!parse_json(c, "arguments", text.data, text.size, c->quiet, &root)) {
        tn_diag_clear(c->quiet);
        if (j->status == TN_OUT_OF_MEMORY) j->status = tn_fail_memory(j->diag, "a tool call", text.size);
        if (j->status != TN_INVALID_ARGUMENT) return false;
        j->status = TN_OK; /* no JSON: the model wrote it so, the template sees it so */
        return true;
    }
    if (tn_json_kind_of(root) != TN_JSON_OBJECT) return true;
    if (!input_json(j, root, &object)) return false;
    object.dict->text = text;
    *arguments = object;
    return true;
}

static tn_jinja_value *member(tn_jinja *j, const tn_jinja_value *value, const char *name, tn_jinja_kind kind) {
    tn_jinja_value key = tn_jinja_of_text(name);
    const tn_jinja_value *found = value->kind == TN_JINJA_DICT ? tn_jinja_dict_find(j, value->dict, &key) : NULL;
    return found && found->kind == kind ? (tn_jinja_value *)(uintptr_t)found : NULL; /* of a dict that was made here */
}

static bool join_parts(tn_jinja *j, tn_jinja_value *content) {
    tn_jinja_builder builder = {0};
    for (size_t i = 0; i < content->list->count; i++) {
        const tn_jinja_value *text = member(j, &content->list->items[i], "text", TN_JINJA_STRING);
        if (!text) return true; /* it stays a list */
        if (i > 0 && !tn_jinja_append_bytes(j, &builder, "\n", 1, 1)) return false;
        if (!tn_jinja_append(j, &builder, text->string)) return false;
    }
    *content = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

static bool join_contents(tn_jinja *j, const tn_jinja_list *messages) {
    for (size_t i = 0; i < messages->count; i++) {
        tn_jinja_value *content = member(j, &messages->items[i], "content", TN_JINJA_LIST);
        if (content && !join_parts(j, content)) return false;
    }
    return true;
}

static bool open_tool_calls(chat *c, const tn_jinja_list *messages) {
    tn_jinja *j = &c->jinja;
    for (size_t i = 0; i < messages->count; i++) {
        const tn_jinja_value *calls = member(j, &messages->items[i], "tool_calls", TN_JINJA_LIST);
        for (size_t k = 0; calls && k < calls->list->count; k++) {
            const tn_jinja_value *call = &calls->list->items[k], *function = member(j, call, "function", TN_JINJA_DICT);
            tn_jinja_value *arguments = member(j, function ? function : call, "arguments", TN_JINJA_STRING);
            if (arguments && !open_arguments(c, arguments)) return false;
        }
    }
    return j->status == TN_OK;
}

static bool is_given(const tn_json_value *json) {
    return json && tn_json_kind_of(json) != TN_JSON_NULL;
}

static bool expect_json(chat *c, const tn_json_value *json, tn_json_kind kind) {
    tn_jinja *j = &c->jinja;
    if (tn_json_kind_of(json) == kind) return true;
    j->status = tn_json_fail(json, j->diag, TN_INVALID_ARGUMENT, "must be an %s", kind == TN_JSON_ARRAY ? "array" : "object");
    return false;
}

static bool input_array(chat *c, const tn_json_value *json, tn_jinja_value *out) {
    return expect_json(c, json, TN_JSON_ARRAY) && input_json(&c->jinja, json, out);
}

static bool set_array(chat *c, const char *name, const tn_json_value *json) {
    tn_jinja_value value;
    return !is_given(json) || (input_array(c, json, &value) && set_global(&c->jinja, name, value));
}

static bool set_variables(chat *c, const tn_json_value *json) {
    tn_jinja *j = &c->jinja;
    tn_jinja_value value;
    if (!expect_json(c, json, TN_JSON_OBJECT)) return false;
    for (size_t i = 0; i < tn_json_count(json); i++) {
        const tn_json_value *variable = tn_json_at(json, i);
        if (!input_json(j, variable, &value) || !set_global(j, tn_json_key(variable, NULL), value)) return false;
    }
    return true;
}

/* The caller's variables come early, so that they cannot replace the rest. */
static bool set_up_globals(chat *c) {
    tn_jinja *j = &c->jinja;
    const tn_jinja_value none = {.kind = TN_JINJA_NONE};
    if (!set_global(j, "tools", none) || !set_global(j, "documents", none)) return false;
    if (is_given(c->values.variables) && !set_variables(c, c->values.variables)) return false;
    if (!set_array(c, "tools", c->values.tools) || !set_array(c, "documents", c->values.documents)) return false;
    bool fits =
        c->values.messages ? input_array(c, c->values.messages, &c->list) : input_messages(j, c->messages, c->num_messages, &c->list);
    return fits && (!c->values.joins_parts || join_contents(j, c->list.list)) && open_tool_calls(c, c->list.list) &&
           set_global(j, "messages", c->list) &&
           set_global(j, "add_generation_prompt", tn_jinja_of_bool(c->options->add_generation_prompt)) &&
           set_token(j, c->tokenizer, "bos_token", tn_tokenizer_bos_id(c->tokenizer)) &&
           set_token(j, c->tokenizer, "eos_token", tn_tokenizer_eos_id(c->tokenizer)) &&
           set_token(j, c->tokenizer, "pad_token", tn_tokenizer_pad_id(c->tokenizer));
}

/* The last message's text; of parts the last one's. */
static const tn_jinja_string *final_content(chat *c) {
    size_t count = c->list.list->count;
    const tn_jinja_value *last = count ? &c->list.list->items[count - 1] : NULL;
    const tn_jinja_value *content = last ? member(&c->jinja, last, "content", TN_JINJA_STRING) : NULL;
    const tn_jinja_value *parts = last ? member(&c->jinja, last, "content", TN_JINJA_LIST) : NULL;
    for (size_t i = parts ? parts->list->count : 0; i > 0 && !content; i--)
        content = member(&c->jinja, &parts->list->items[i - 1], "text", TN_JINJA_STRING);
    return content ? &content->string : NULL;
}

/* Cuts what stands behind the last message's text. That is searched backwards, once, where only bytes of messages match. */
static bool cut_behind_final_message(chat *c, tn_jinja_string *text) {
    tn_jinja *j = &c->jinja;
    const tn_jinja_string *content = final_content(c);
    tn_jinja_string whole = content ? tn_jinja_strip(*content, NULL, true, false) : (tn_jinja_string){.data = ""};
    tn_jinja_string trimmed = tn_jinja_strip(whole, NULL, false, true);
    if (trimmed.size == 0) return tn_jinja_fail(j, TN_INVALID_ARGUMENT, "the final message has no text that could be continued");
    char *haystack = tn_jinja_alloc(j, text->size), *needle = haystack ? tn_jinja_alloc(j, trimmed.size) : NULL;
    if (!needle) return false;
    for (size_t i = 0; i < text->size; i++) haystack[text->size - 1 - i] = (char)(text->marks[i] ? text->data[i] : 0xFF);
    for (size_t i = 0; i < trimmed.size; i++) needle[trimmed.size - 1 - i] = trimmed.data[i];
    const char *found = memmem(haystack, text->size, needle, trimmed.size);
    if (!found) return tn_jinja_fail(j, TN_INVALID_ARGUMENT, "the final message cannot be continued: its text is not in what it renders");
    size_t end = text->size - (size_t)(found - haystack), begin = end - trimmed.size;
    if (text->size - begin >= whole.size && memcmp(text->data + begin, whole.data, whole.size) == 0) end = begin + whole.size;
    *text = tn_jinja_slice(*text, 0, end);
    return true;
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

/* Bytes of template and messages together, which the memory limit grows with. */
static tn_status measure_input(const chat *c, const tn_chat_values *values, size_t *out_size) {
    const tn_chat_options *o = c->options;
    const char *const texts[] = {o->messages_json, o->variables_json, o->tools_json};
    bool fits = tn_add_size(c->text.size, values ? values->size_bytes : 0, out_size);
    for (size_t i = 0; i < 3 && !values; i++) fits = fits && tn_add_size(*out_size, texts[i] ? strlen(texts[i]) : 0, out_size);
    for (size_t i = 0; i < c->num_messages && !o->messages_json && !values; i++)
        fits = fits && tn_add_size(*out_size, c->messages[i].content_size_bytes, out_size);
    if (fits && *out_size <= INT32_MAX / 3) return TN_OK;
    return tn_fail(o->diag, TN_INVALID_ARGUMENT, "cannot write a chat of more than %d bytes", INT32_MAX / 3);
}

/* Template and messages are known; the rest of *c is. */
static bool render(chat *c, tn_jinja_string *out_text) {
    tn_jinja *j = &c->jinja;
    tn_jinja_node *body;
    tn_jinja_builder *out = tn_jinja_alloc(j, sizeof *out);
    j->out = out;
    if (!out || !tn_jinja_parse(j, c->text.data, c->text.size, &body) || !set_up_globals(c) || !tn_jinja_run(j, body)) return false;
    *out_text = tn_jinja_built(out);
    return !c->options->continue_final_message || cut_behind_final_message(c, out_text);
}

static bool parse_texts(chat *c) {
    const tn_chat_options *o = c->options;
    return (!o->messages_json || parse_json(c, "messages", o->messages_json, strlen(o->messages_json), o->diag, &c->values.messages)) &&
           (!o->tools_json || parse_json(c, "tools", o->tools_json, strlen(o->tools_json), o->diag, &c->values.tools)) &&
           (!o->variables_json ||
            parse_json(c, "template variables", o->variables_json, strlen(o->variables_json), o->diag, &c->values.variables));
}

/* values NULL: the texts of the options, or messages. */
static tn_status render_chat(const tn_tokenizer *tokenizer, const tn_chat_values *values, const tn_chat_message *messages,
                             size_t num_messages, const tn_chat_options *given, tn_text_segment **out_segments, size_t *out_num_segments) {
    *out_segments = NULL;
    *out_num_segments = 0;
    tn_chat_options options;
    tn_chat_options_init(&options);
    tn_status status = tn_options_copy(&options, sizeof options, given, "tn_chat_options", NULL);
    if (status != TN_OK) return status;
    if (options.continue_final_message && options.add_generation_prompt)
        return tn_fail(options.diag, TN_INVALID_ARGUMENT,
                       "cannot write a chat: continue_final_message and add_generation_prompt exclude each other");
    chat c = {.tokenizer = tokenizer, .options = &options, .messages = messages, .num_messages = num_messages};
    if ((status = find_template(&c)) != TN_OK) return status;
    size_t input_size = 0;
    if ((status = measure_input(&c, values, &input_size)) != TN_OK) return status;
    tn_jinja *j = &c.jinja;
    tn_jinja_init(j, tokenizer->allocator, options.diag, input_size);
    j->has_now = options.has_now;
    j->now_unix_s = options.now_unix_s;
    if (values) c.values = *values;
    tn_jinja_string text;
    if ((values || parse_texts(&c)) && render(&c, &text))
        status = make_segments(&c, text, out_segments, out_num_segments);
    else
        status = j->status != TN_OK ? j->status : TN_INTERNAL;
    for (parsed *document = c.documents; document; document = document->next) tn_json_destroy(document->json);
    tn_diag_destroy(c.quiet);
    tn_jinja_deinit(j);
    return status;
}

tn_status tn_tokenizer_render_chat(const tn_tokenizer *tokenizer, const tn_chat_message *messages, size_t num_messages,
                                   const tn_chat_options *options, tn_text_segment **out_segments, size_t *out_num_segments) {
    return render_chat(tokenizer, NULL, messages, num_messages, options, out_segments, out_num_segments);
}

tn_status tn_chat_render_values(const tn_tokenizer *tokenizer, const tn_chat_values *values, const tn_chat_options *options,
                                tn_text_segment **out_segments, size_t *out_num_segments) {
    return render_chat(tokenizer, values, NULL, 0, options, out_segments, out_num_segments);
}
