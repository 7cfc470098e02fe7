/* SPDX-License-Identifier: Apache-2.0
 *
 * tool_calls_json.c: see tool_calls_json.h.
 */
#include "tokenizer/tool_calls_json.h"

#include <string.h>

enum { MAX_DEPTH = 64 };

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What may stand in a container outside strings, brackets aside. */
static bool is_plain(char c) {
    return is_space(c) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c != 0 && strchr("+-.,:", c));
}

tn_tool_scan tn_tool_cursor_step(tn_tool_cursor *cursor, char c) {
    if (cursor->in_string) {
        bool ends = c == '"' && !cursor->escaped;
        cursor->escaped = c == '\\' && !cursor->escaped;
        cursor->in_string = !ends;
        return ends && cursor->depth == 0 ? TN_SCAN_DONE : TN_SCAN_MORE;
    }
    switch (c) {
    case '"': cursor->in_string = true; return TN_SCAN_MORE;
    case '{':
    case '[': {
        if (cursor->depth == MAX_DEPTH) return TN_SCAN_BAD;
        uint64_t bit = (uint64_t)1 << cursor->depth++;
        cursor->objects = c == '{' ? cursor->objects | bit : cursor->objects & ~bit;
        return TN_SCAN_MORE;
    }
    case '}':
    case ']': {
        if (cursor->depth == 0) return TN_SCAN_BAD;
        bool is_object = cursor->objects >> --cursor->depth & 1;
        if (is_object != (c == '}')) return TN_SCAN_BAD;
        return cursor->depth == 0 ? TN_SCAN_DONE : TN_SCAN_MORE;
    }
    default: return cursor->depth > 0 && is_plain(c) ? TN_SCAN_MORE : TN_SCAN_BAD;
    }
}

size_t tn_tool_skip_space(tn_bytes text, size_t at) {
    while (at < text.size && is_space(text.data[at])) at++;
    return at;
}

/* *at moves behind the value that begins there; a number or word needs a byte behind it to be over. */
static tn_tool_scan skip_value(tn_bytes text, size_t *at) {
    if (*at == text.size) return TN_SCAN_MORE;
    if (strchr("\"{[", text.data[*at])) {
        tn_tool_cursor cursor = {0};
        tn_tool_scan scan = TN_SCAN_MORE;
        while (scan == TN_SCAN_MORE && *at < text.size) scan = tn_tool_cursor_step(&cursor, text.data[(*at)++]);
        return scan;
    }
    size_t begin = *at;
    while (*at < text.size && !strchr(",}] \t\r\n", text.data[*at]))
        if (!is_plain(text.data[(*at)++])) return TN_SCAN_BAD;
    return *at == text.size ? TN_SCAN_MORE : *at > begin ? TN_SCAN_DONE : TN_SCAN_BAD;
}

static bool is_key(tn_bytes text, size_t begin, size_t end, const char *a, const char *b) {
    size_t size = end - begin;
    return (size == strlen(a) && memcmp(text.data + begin, a, size) == 0) || (size == strlen(b) && memcmp(text.data + begin, b, size) == 0);
}

/* A member whose value begins at *at. *out_found: now name and arguments are known, *at is where to go on. */
static tn_tool_scan take_member(tn_bytes text, size_t key_begin, size_t key_end, size_t *at, tn_tool_head *head, bool *out_found) {
    size_t begin = *at;
    char first = text.data[begin];
    *out_found = false;
    if (is_key(text, key_begin, key_end, "arguments", "parameters") && (first == '{' || first == '"')) {
        head->arguments = first == '{' ? TN_ARGUMENTS_OBJECT : TN_ARGUMENTS_STRING;
        head->arguments_begin = *at = begin + (first == '"');
        *out_found = head->name_begin > 0;
        if (*out_found) return TN_SCAN_DONE;
        *at = begin;
        tn_tool_scan scan = skip_value(text, at);
        head->arguments_end = *at - (first == '"');
        return scan;
    }
    tn_tool_scan scan = skip_value(text, at);
    if (scan != TN_SCAN_DONE || !is_key(text, key_begin, key_end, "name", "tool_name")) return scan;
    if (first != '"' || *at - begin <= 2) return TN_SCAN_BAD;
    head->name_begin = begin + 1;
    head->name_end = *at - 1;
    *out_found = head->arguments != TN_ARGUMENTS_NONE;
    return TN_SCAN_DONE;
}

tn_tool_scan tn_tool_scan_object(tn_bytes text, size_t at, tn_tool_head *out_head) {
    *out_head = (tn_tool_head){.is_name_quoted = true, .is_object_open = true};
    at++;
    for (bool found = false; !found;) {
        at = tn_tool_skip_space(text, at);
        if (at == text.size) return TN_SCAN_MORE;
        if (text.data[at] == ',') {
            at++;
            continue;
        }
        if (text.data[at] == '}') {
            out_head->is_object_open = false;
            out_head->end = at + 1;
            return out_head->name_begin > 0 ? TN_SCAN_DONE : TN_SCAN_BAD;
        }
        if (text.data[at] != '"') return TN_SCAN_BAD;
        size_t key_begin = at + 1;
        tn_tool_scan scan = skip_value(text, &at);
        if (scan != TN_SCAN_DONE) return scan;
        size_t key_end = at - 1;
        at = tn_tool_skip_space(text, at);
        if (at < text.size && text.data[at] != ':') return TN_SCAN_BAD;
        at = at < text.size ? tn_tool_skip_space(text, at + 1) : at;
        if (at == text.size) return TN_SCAN_MORE;
        scan = take_member(text, key_begin, key_end, &at, out_head, &found);
        if (scan != TN_SCAN_DONE) return scan;
    }
    out_head->end = at;
    return TN_SCAN_DONE;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits at text[at], or -1. */
static int32_t hex4(tn_bytes text, size_t at) {
    int32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = at + i < text.size ? hex_digit(text.data[at + i]) : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* "\uXXXX" at text[at], perhaps with its second half; returns its size, 0 if more is needed. */
static size_t unescape_unicode(tn_bytes text, size_t at, bool is_whole, tn_text *out) {
    char encoded[4];
    if (text.size - at < 6 && !is_whole) return 0;
    int32_t high = hex4(text, at + 2);
    size_t size = high < 0 ? 2 : 6;
    uint32_t code_point = high < 0 ? 0xFFFD : (uint32_t)high;
    if (high >= 0xD800 && high < 0xDC00) {
        size_t rest = text.size - at - 6;
        bool pairs = (rest < 1 || text.data[at + 6] == '\\') && (rest < 2 || text.data[at + 7] == 'u');
        if (pairs && rest < 6 && !is_whole) return 0;
        int32_t low = pairs ? hex4(text, at + 8) : -1;
        if (low >= 0xDC00 && low < 0xE000) {
            code_point = 0x10000 + (((uint32_t)high - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
            size = 12;
        }
    }
    int length = code_point == 0 ? 0 : tn_utf8_encode(code_point, encoded);
    tn_text_append(out, length > 0 ? encoded : "\xEF\xBF\xBD", length > 0 ? (size_t)length : 3);
    return size;
}

size_t tn_tool_unescape(tn_bytes inside, bool is_whole, tn_text *out) {
    static const char letters[] = "nrtbf\"\\/", values[] = "\n\r\t\b\f\"\\/";
    size_t at = 0;
    while (at < inside.size) {
        if (inside.data[at] != '\\') {
            const char *next = memchr(inside.data + at, '\\', inside.size - at);
            size_t size = next ? (size_t)(next - inside.data) - at : inside.size - at;
            tn_text_append(out, inside.data + at, size);
            at += size;
            continue;
        }
        if (inside.size - at < 2 && !is_whole) break;
        char c = inside.size - at < 2 ? 0 : inside.data[at + 1];
        const char *letter = c ? strchr(letters, c) : NULL;
        size_t size = 2;
        if (c == 'u')
            size = unescape_unicode(inside, at, is_whole, out);
        else if (letter)
            tn_text_append_char(out, values[letter - letters]);
        else
            size = 1, tn_text_append_char(out, '\\'); /* no escape of JSON: as it stands */
        if (size == 0) break;
        at += size;
    }
    return at;
}
