/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c: the filter tojson, which writes as Python's json.dumps does.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "tokenizer/jinja/filters.h"

typedef struct writer {
    tn_jinja *j;
    tn_jinja_builder builder;
    tn_jinja_string item_separator, key_separator;
    int64_t indent; /* < 0: all on one line */
    bool only_ascii, sorts;
} writer;

static bool write_value(writer *w, const tn_jinja_value *value, int level);

static bool append_text(writer *w, const char *text) {
    return tn_jinja_append_bytes(w->j, &w->builder, text, strlen(text), 0);
}

/* The escape of the character at text[0], or "" if it stands for itself; *out_size: its bytes. */
static void escape_character(const writer *w, const char *text, size_t rest, char escape[16], size_t *out_size) {
    static const char names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    unsigned char c = (unsigned char)*text;
    const char *name = c ? strchr(names, c) : NULL;
    escape[0] = 0;
    *out_size = 1;
    if (name)
        snprintf(escape, 16, "\\%c", letters[name - names]);
    else if (c < 0x20)
        snprintf(escape, 16, "\\u%04x", c);
    if (c < 0x80 || !w->only_ascii) return;
    uint32_t code_point = 0xFFFD;
    int size = tn_utf8_decode(text, rest, &code_point);
    if (size > 0) *out_size = (size_t)size;
    if (code_point > 0xFFFF)
        snprintf(escape, 16, "\\u%04x\\u%04x", 0xD800 + ((code_point - 0x10000) >> 10), 0xDC00 + ((code_point - 0x10000) & 0x3FF));
    else
        snprintf(escape, 16, "\\u%04x", code_point);
}

static bool write_string(writer *w, tn_jinja_string s) {
    size_t copied = 0, size;
    if (!append_text(w, "\"")) return false;
    for (size_t i = 0; i < s.size; i += size) {
        char escape[16];
        escape_character(w, s.data + i, s.size - i, escape, &size);
        if (!escape[0]) continue;
        if (!tn_jinja_append(w->j, &w->builder, tn_jinja_slice(s, copied, i)) ||
            !tn_jinja_append_bytes(w->j, &w->builder, escape, strlen(escape), s.marks ? s.marks[i] : s.mark))
            return false;
        copied = i + size;
    }
    return tn_jinja_append(w->j, &w->builder, tn_jinja_slice(s, copied, s.size)) && append_text(w, "\"");
}

static bool break_line(writer *w, int level) {
    if (w->indent < 0) return true;
    if (!append_text(w, "\n")) return false;
    for (int64_t i = 0; i < w->indent * level; i++)
        if (!append_text(w, " ")) return false;
    return true;
}

/* A key that is no string is written as one. */
static bool write_key(writer *w, const tn_jinja_value *key) {
    if (key->kind == TN_JINJA_STRING) return write_string(w, key->string);
    if (key->kind == TN_JINJA_LIST || key->kind == TN_JINJA_DICT)
        return tn_jinja_fail(w->j, TN_INVALID_DATA, "tojson cannot write %s as a key", tn_jinja_kind_name(key));
    return append_text(w, "\"") && write_value(w, key, 0) && append_text(w, "\"");
}

/* The pairs of a dict by their keys, in a list of its own. */
static bool sort_pairs(writer *w, const tn_jinja_dict *dict, tn_jinja_pair **out_pairs) {
    tn_jinja_pair *pairs = *out_pairs = tn_jinja_alloc(w->j, dict->count * sizeof *pairs);
    if (!pairs) return false;
    for (size_t i = 0; i < dict->count; i++) {
        size_t at = i;
        for (; at > 0; at--) {
            int order;
            if (!tn_jinja_charge(w->j, 1) || !tn_jinja_compare(w->j, &pairs[at - 1].key, &dict->pairs[i].key, &order)) return false;
            if (order <= 0) break;
            pairs[at] = pairs[at - 1];
        }
        pairs[at] = dict->pairs[i];
    }
    return true;
}

static bool write_container(writer *w, const tn_jinja_value *value, int level) {
    bool is_list = value->kind == TN_JINJA_LIST;
    size_t count = is_list ? value->list->count : value->dict->count;
    tn_jinja_pair *pairs = is_list ? NULL : value->dict->pairs;
    if (!is_list && w->sorts && count > 0 && !sort_pairs(w, value->dict, &pairs)) return false;
    if (!append_text(w, is_list ? "[" : "{")) return false;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && !tn_jinja_append(w->j, &w->builder, w->item_separator)) return false;
        if (!break_line(w, level + 1)) return false;
        if (!is_list && (!write_key(w, &pairs[i].key) || !tn_jinja_append(w->j, &w->builder, w->key_separator))) return false;
        if (!write_value(w, is_list ? &value->list->items[i] : &pairs[i].value, level + 1)) return false;
    }
    return (count == 0 || break_line(w, level)) && append_text(w, is_list ? "]" : "}");
}

static bool write_value(writer *w, const tn_jinja_value *value, int level) {
    tn_jinja *j = w->j;
    if (!tn_jinja_charge(j, 1)) return false;
    switch (value->kind) {
    case TN_JINJA_NONE: return append_text(w, "null");
    case TN_JINJA_BOOL: return append_text(w, value->boolean ? "true" : "false");
    case TN_JINJA_FLOAT:
        if (isnan(value->real)) return append_text(w, "NaN");
        if (isinf(value->real)) return append_text(w, value->real > 0 ? "Infinity" : "-Infinity");
        return tn_jinja_print(j, &w->builder, value, false);
    case TN_JINJA_INTEGER: return tn_jinja_print(j, &w->builder, value, false);
    case TN_JINJA_STRING: return write_string(w, value->string);
    case TN_JINJA_LIST:
    case TN_JINJA_DICT: {
        if (j->depth >= TN_JINJA_MAX_DEPTH) return tn_jinja_fail(j, TN_INVALID_DATA, "it nests deeper than %d", TN_JINJA_MAX_DEPTH);
        j->depth++;
        bool fits = write_container(w, value, level);
        j->depth--;
        return fits;
    }
    default: return tn_jinja_fail(j, TN_INVALID_DATA, "tojson cannot write %s", tn_jinja_kind_name(value));
    }
}

/* tojson(ensure_ascii, indent, separators, sort_keys) */
bool tn_jinja_filter_tojson(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    static const char *const known[] = {"ensure_ascii", "indent", "separators", "sort_keys"};
    for (size_t i = 0; i < arguments->num_named; i++) {
        size_t k = 0;
        while (k < 4 && strcmp(arguments->named[i].name, known[k]) != 0) k++;
        if (k == 4) return tn_jinja_fail(j, TN_UNSUPPORTED, "tojson(%.64s) is not supported", arguments->named[i].name);
    }
    const tn_jinja_value *ascii = tn_jinja_argument(arguments, 0, known[0]), *indent = tn_jinja_argument(arguments, 1, known[1]);
    const tn_jinja_value *separators = tn_jinja_argument(arguments, 2, known[2]), *sorts = tn_jinja_argument(arguments, 3, known[3]);
    bool has_indent = indent && indent->kind != TN_JINJA_NONE;
    if (has_indent && (indent->kind != TN_JINJA_INTEGER || indent->integer < 0 || indent->integer > 16))
        return tn_jinja_fail(j, TN_UNSUPPORTED, "this indentation of tojson is not supported");
    writer w = {.j = j, .indent = has_indent ? indent->integer : -1};
    w.only_ascii = ascii && tn_jinja_is_true(ascii);
    w.sorts = sorts && tn_jinja_is_true(sorts);
    w.item_separator = tn_jinja_of_text(has_indent ? "," : ", ").string;
    w.key_separator = tn_jinja_of_text(": ").string;
    if (separators && separators->kind != TN_JINJA_NONE) {
        const tn_jinja_list *both = separators->kind == TN_JINJA_LIST ? separators->list : NULL;
        if (!both || both->count != 2 || both->items[0].kind != TN_JINJA_STRING || both->items[1].kind != TN_JINJA_STRING)
            return tn_jinja_fail(j, TN_INVALID_DATA, "the separators of tojson must be two strings");
        w.item_separator = both->items[0].string;
        w.key_separator = both->items[1].string;
    }
    if (!write_value(&w, input, 0)) return false;
    *out = tn_jinja_of_string(tn_jinja_built(&w.builder));
    return true;
}
