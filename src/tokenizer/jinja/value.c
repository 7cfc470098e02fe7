/* SPDX-License-Identifier: Apache-2.0
 *
 * value.c: see value.h.
 */
#include "tokenizer/jinja/value.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/checked.h"
#include "base/text.h"

void tn_jinja_init(tn_jinja *j, const tn_allocator *allocator, tn_diag *diag, size_t input_size) {
    memset(j, 0, sizeof *j);
    j->arena.allocator = allocator;
    j->diag = diag;
    j->max_bytes = TN_JINJA_MAX_BYTES + (input_size < SIZE_MAX / 16 ? input_size * 8 : 0);
    j->frame = &j->globals;
}

void tn_jinja_deinit(tn_jinja *j) {
    tn_arena_deinit(&j->arena);
}

bool tn_jinja_fail(tn_jinja *j, tn_status code, const char *format, ...) {
    if (j->status != TN_OK) return false;
    j->status = code;
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    (void)tn_fail(j->diag, code, "cannot use the chat template: line %u: %s", j->line, what);
    return false;
}

bool tn_jinja_charge(tn_jinja *j, size_t num_steps) {
    if (num_steps > TN_JINJA_MAX_STEPS || j->num_steps + num_steps > TN_JINJA_MAX_STEPS)
        return tn_jinja_fail(j, TN_INVALID_DATA, "it takes more than %d steps", TN_JINJA_MAX_STEPS);
    j->num_steps += num_steps;
    return true;
}

void *tn_jinja_alloc(tn_jinja *j, size_t size_bytes) {
    if (j->arena.used_bytes > j->max_bytes || size_bytes > j->max_bytes - j->arena.used_bytes) {
        (void)tn_jinja_fail(j, TN_INVALID_DATA, "it needs more than %zu bytes of memory", j->max_bytes);
        return NULL;
    }
    void *block = tn_arena_alloc(&j->arena, size_bytes);
    if (!block && j->status == TN_OK) j->status = tn_fail_memory(j->diag, "a chat template", size_bytes);
    return block;
}

/* ---- strings ---- */

bool tn_jinja_append(tn_jinja *j, tn_jinja_builder *b, tn_jinja_string string) {
    if (string.size == 0) return true;
    if (!tn_jinja_charge(j, string.size / 64)) return false;
    if (string.size > b->capacity - b->size) {
        size_t capacity = b->capacity < 32 ? 64 : b->capacity * 2;
        if (capacity < b->size + string.size) capacity = b->size + string.size;
        char *data = tn_jinja_alloc(j, capacity);
        uint8_t *marks = data ? tn_jinja_alloc(j, capacity) : NULL;
        if (!marks) return false;
        if (b->size) {
            memcpy(data, b->data, b->size);
            memcpy(marks, b->marks, b->size);
        }
        b->data = data;
        b->marks = marks;
        b->capacity = capacity;
    }
    memcpy(b->data + b->size, string.data, string.size);
    if (string.marks)
        memcpy(b->marks + b->size, string.marks, string.size);
    else
        memset(b->marks + b->size, string.mark, string.size);
    b->size += string.size;
    return true;
}

bool tn_jinja_append_bytes(tn_jinja *j, tn_jinja_builder *builder, const char *bytes, size_t size, uint8_t mark) {
    return tn_jinja_append(j, builder, (tn_jinja_string){.data = bytes, .size = size, .mark = mark});
}

tn_jinja_string tn_jinja_built(const tn_jinja_builder *b) {
    return (tn_jinja_string){.data = b->data ? b->data : "", .size = b->size, .marks = b->size ? b->marks : NULL};
}

tn_jinja_string tn_jinja_slice(tn_jinja_string string, size_t from, size_t to) {
    return (tn_jinja_string){string.data + from, to - from, string.marks ? string.marks + from : NULL, string.mark, string.is_safe};
}

bool tn_jinja_has_input(tn_jinja_string string) {
    if (string.size == 0) return false;
    return string.marks ? memchr(string.marks, 1, string.size) != NULL : string.mark != 0;
}

tn_jinja_value tn_jinja_of_text(const char *text) {
    return tn_jinja_of_string((tn_jinja_string){.data = text, .size = strlen(text)});
}

bool tn_jinja_string_is(tn_jinja_string string, const char *text) {
    return string.size == strlen(text) && memcmp(string.data, text, string.size) == 0;
}

/* ---- containers ---- */

static bool grow(tn_jinja *j, void **data, size_t count, size_t *capacity, size_t element_size) {
    if (count < *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 8, size;
    if (!tn_mul_size(wanted, element_size, &size)) return tn_jinja_fail(j, TN_INVALID_DATA, "a list is too long");
    void *block = tn_jinja_alloc(j, size);
    if (!block) return false;
    if (count) memcpy(block, *data, count * element_size);
    *data = block;
    *capacity = wanted;
    return true;
}

bool tn_jinja_list_create(tn_jinja *j, size_t capacity, tn_jinja_value *out) {
    tn_jinja_list *list = tn_jinja_alloc(j, sizeof *list);
    size_t size;
    if (!list || !tn_mul_size(capacity, sizeof *list->items, &size)) return false;
    if (capacity && !(list->items = tn_jinja_alloc(j, size))) return false;
    list->capacity = capacity;
    *out = (tn_jinja_value){.kind = TN_JINJA_LIST, .list = list};
    return true;
}

bool tn_jinja_list_push(tn_jinja *j, tn_jinja_list *list, tn_jinja_value value) {
    if (!grow(j, (void **)&list->items, list->count, &list->capacity, sizeof *list->items)) return false;
    list->items[list->count++] = value;
    return true;
}

bool tn_jinja_dict_create(tn_jinja *j, tn_jinja_value *out) {
    tn_jinja_dict *dict = tn_jinja_alloc(j, sizeof *dict);
    *out = (tn_jinja_value){.kind = TN_JINJA_DICT, .dict = dict};
    return dict != NULL;
}

const tn_jinja_value *tn_jinja_dict_find(tn_jinja *j, const tn_jinja_dict *dict, const tn_jinja_value *key) {
    if (!tn_jinja_charge(j, dict->count / 16)) return NULL;
    for (size_t i = 0; i < dict->count; i++) {
        bool equal;
        if (!tn_jinja_equal(j, &dict->pairs[i].key, key, &equal)) return NULL;
        if (equal) return &dict->pairs[i].value;
    }
    return NULL;
}

bool tn_jinja_dict_set(tn_jinja *j, tn_jinja_dict *dict, tn_jinja_value key, tn_jinja_value value) {
    const tn_jinja_value *known = tn_jinja_dict_find(j, dict, &key);
    if (j->status != TN_OK) return false;
    if (known) {
        *(tn_jinja_value *)(uintptr_t)known = value; /* a value of our own dict */
        return true;
    }
    if (!grow(j, (void **)&dict->pairs, dict->count, &dict->capacity, sizeof *dict->pairs)) return false;
    dict->pairs[dict->count++] = (tn_jinja_pair){key, value};
    return true;
}

bool tn_jinja_items(tn_jinja *j, const tn_jinja_value *value, const tn_jinja_list **out_items) {
    tn_jinja_value list;
    if (value->kind == TN_JINJA_LIST) {
        *out_items = value->list;
        return true;
    }
    if (value->kind == TN_JINJA_DICT || value->kind == TN_JINJA_NAMESPACE) {
        if (!tn_jinja_list_create(j, value->dict->count, &list)) return false;
        for (size_t i = 0; i < value->dict->count; i++)
            if (!tn_jinja_list_push(j, list.list, value->dict->pairs[i].key)) return false;
    } else if (value->kind == TN_JINJA_STRING) {
        if (!tn_jinja_list_create(j, 0, &list)) return false;
        for (size_t at = 0; at < value->string.size;) {
            uint32_t code_point;
            int size = tn_utf8_decode(value->string.data + at, value->string.size - at, &code_point);
            size_t end = at + (size > 0 ? (size_t)size : 1);
            if (!tn_jinja_list_push(j, list.list, tn_jinja_of_string(tn_jinja_slice(value->string, at, end)))) return false;
            at = end;
        }
    } else if (value->kind == TN_JINJA_UNDEFINED) {
        if (!tn_jinja_list_create(j, 0, &list)) return false;
    } else {
        return tn_jinja_fail(j, TN_INVALID_DATA, "%s cannot be iterated over", tn_jinja_kind_name(value));
    }
    *out_items = list.list;
    return true;
}

/* ---- questions ---- */

const char *tn_jinja_kind_name(const tn_jinja_value *value) {
    static const char *const names[] = {
        "an undefined value", "None",   "a boolean", "an integer", "a float", "a string", "a list", "a dict",
        "a namespace",        "a loop", "a macro",   "a function", "a method"};
    return names[value->kind];
}

bool tn_jinja_is_true(const tn_jinja_value *value) {
    switch (value->kind) {
    case TN_JINJA_UNDEFINED:
    case TN_JINJA_NONE: return false;
    case TN_JINJA_BOOL: return value->boolean;
    case TN_JINJA_INTEGER: return value->integer != 0;
    case TN_JINJA_FLOAT: return value->real != 0;
    case TN_JINJA_STRING: return value->string.size > 0;
    case TN_JINJA_LIST: return value->list->count > 0 || value->list->sequence == TN_JINJA_LAZY;
    case TN_JINJA_DICT: return value->dict->count > 0;
    default: return true;
    }
}

static bool is_number(const tn_jinja_value *value) {
    return value->kind == TN_JINJA_BOOL || value->kind == TN_JINJA_INTEGER || value->kind == TN_JINJA_FLOAT;
}

static double number_of(const tn_jinja_value *value) {
    return value->kind == TN_JINJA_FLOAT ? value->real : value->kind == TN_JINJA_BOOL ? value->boolean : (double)value->integer;
}

static bool equal_containers(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, bool *out_equal) {
    *out_equal = false;
    if (a->kind == TN_JINJA_LIST) {
        if (a->list->count != b->list->count || a->list->sequence != b->list->sequence) return true;
        for (size_t i = 0; i < a->list->count; i++) {
            if (!tn_jinja_equal(j, &a->list->items[i], &b->list->items[i], out_equal)) return false;
            if (!*out_equal) return true;
        }
    } else {
        if (a->dict->count != b->dict->count) return true;
        for (size_t i = 0; i < a->dict->count; i++) {
            const tn_jinja_value *other = tn_jinja_dict_find(j, b->dict, &a->dict->pairs[i].key);
            if (j->status != TN_OK) return false;
            *out_equal = false;
            if (!other) return true;
            if (!tn_jinja_equal(j, &a->dict->pairs[i].value, other, out_equal)) return false;
            if (!*out_equal) return true;
        }
    }
    *out_equal = true;
    return true;
}

bool tn_jinja_equal(tn_jinja *j, const tn_jinja_value *a, const tn_jinja_value *b, bool *out_equal) {
    *out_equal = false;
    if (is_number(a) && is_number(b)) {
        *out_equal = a->kind != TN_JINJA_FLOAT && b->kind != TN_JINJA_FLOAT
                         ? (a->kind == TN_JINJA_BOOL ? a->boolean : a->integer) == (b->kind == TN_JINJA_BOOL ? b->boolean : b->integer)
                         : number_of(a) == number_of(b);
        return true;
    }
    if (a->kind != b->kind) return true;
    switch (a->kind) {
    case TN_JINJA_UNDEFINED:
    case TN_JINJA_NONE: *out_equal = true; return true;
    case TN_JINJA_STRING:
        if (a->string.size != b->string.size) return true;
        *out_equal = memcmp(a->string.data, b->string.data, a->string.size) == 0;
        return tn_jinja_charge(j, a->string.size / 64);
    case TN_JINJA_LIST:
    case TN_JINJA_DICT: {
        if (j->depth >= TN_JINJA_MAX_DEPTH) return tn_jinja_fail(j, TN_INVALID_DATA, "it nests deeper than %d", TN_JINJA_MAX_DEPTH);
        j->depth++;
        bool fits = tn_jinja_charge(j, 1) && equal_containers(j, a, b, out_equal);
        j->depth--;
        return fits;
    }
    case TN_JINJA_NAMESPACE: *out_equal = a->dict == b->dict; return true;
    default: return true;
    }
}

/* ---- printing ---- */

static bool append_text(tn_jinja *j, tn_jinja_builder *builder, const char *text) {
    return tn_jinja_append_bytes(j, builder, text, strlen(text), 0);
}

/* The shortest digits that read back as the same number, with ".0" for whole ones. */
static bool print_float(tn_jinja *j, tn_jinja_builder *builder, double real) {
    char digits[40];
    if (isnan(real) || isinf(real)) return append_text(j, builder, isnan(real) ? "nan" : real > 0 ? "inf" : "-inf");
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, real);
        if (strtod(digits, NULL) == real) break;
    }
    if (fabs(real) < 1e16 && fabs(real) >= 1e-4 && strchr(digits, 'e')) snprintf(digits, sizeof digits, "%.1f", real);
    if (!strpbrk(digits, ".e")) strncat(digits, ".0", sizeof digits - strlen(digits) - 1);
    return append_text(j, builder, digits);
}

/* What Python's repr() shows as it is, beyond ASCII. */
static bool is_printable(uint32_t code_point) {
    switch (utf8proc_category((int32_t)code_point)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO: return false;
    default: return true;
    }
}

/* Python's choice of quotes and its escapes. */
static bool print_quoted(tn_jinja *j, tn_jinja_builder *builder, tn_jinja_string s) {
    char quote = memchr(s.data, '\'', s.size) && !memchr(s.data, '"', s.size) ? '"' : '\'';
    if (!tn_jinja_append_bytes(j, builder, &quote, 1, 0)) return false;
    size_t copied = 0, size;
    for (size_t i = 0; i < s.size; i += size) {
        char escape[16] = "";
        unsigned char c = (unsigned char)s.data[i];
        uint32_t code_point = c;
        int length = c < 0x80 ? 1 : tn_utf8_decode(s.data + i, s.size - i, &code_point);
        size = length > 0 ? (size_t)length : 1;
        if (c == (unsigned char)quote || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c < 0x20 || c == 0x7f)
            snprintf(escape, sizeof escape, "\\x%02x", c);
        else if (c >= 0x80 && !is_printable(code_point))
            snprintf(escape, sizeof escape, code_point < 0x100 ? "\\x%02x" : code_point < 0x10000 ? "\\u%04x" : "\\U%08x", code_point);
        if (!escape[0]) continue;
        if (!tn_jinja_append(j, builder, tn_jinja_slice(s, copied, i)) ||
            !tn_jinja_append_bytes(j, builder, escape, strlen(escape), s.marks ? s.marks[i] : s.mark))
            return false;
        copied = i + size;
    }
    return tn_jinja_append(j, builder, tn_jinja_slice(s, copied, s.size)) && tn_jinja_append_bytes(j, builder, &quote, 1, 0);
}

static bool print_container(tn_jinja *j, tn_jinja_builder *b, const tn_jinja_value *value) {
    bool is_list = value->kind == TN_JINJA_LIST, is_tuple = is_list && value->list->sequence == TN_JINJA_TUPLE;
    size_t count = is_list ? value->list->count : value->dict->count;
    if (!append_text(j, b, is_tuple ? "(" : is_list ? "[" : "{")) return false;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && !append_text(j, b, ", ")) return false;
        if (!is_list && (!tn_jinja_print(j, b, &value->dict->pairs[i].key, true) || !append_text(j, b, ": "))) return false;
        if (!tn_jinja_print(j, b, is_list ? &value->list->items[i] : &value->dict->pairs[i].value, true)) return false;
    }
    return append_text(j, b, is_tuple ? (count == 1 ? ",)" : ")") : is_list ? "]" : "}");
}

bool tn_jinja_print(tn_jinja *j, tn_jinja_builder *builder, const tn_jinja_value *value, bool as_repr) {
    char digits[32];
    if (!tn_jinja_charge(j, 1)) return false;
    switch (value->kind) {
    case TN_JINJA_UNDEFINED: return true;
    case TN_JINJA_NONE: return append_text(j, builder, "None");
    case TN_JINJA_BOOL: return append_text(j, builder, value->boolean ? "True" : "False");
    case TN_JINJA_INTEGER: snprintf(digits, sizeof digits, "%" PRId64, value->integer); return append_text(j, builder, digits);
    case TN_JINJA_FLOAT: return print_float(j, builder, value->real);
    case TN_JINJA_STRING: return as_repr ? print_quoted(j, builder, value->string) : tn_jinja_append(j, builder, value->string);
    case TN_JINJA_DICT:
        if (!as_repr && value->dict->text.data) return tn_jinja_append(j, builder, value->dict->text);
        /* fall through */
    case TN_JINJA_LIST: {
        if (j->depth >= TN_JINJA_MAX_DEPTH) return tn_jinja_fail(j, TN_INVALID_DATA, "it nests deeper than %d", TN_JINJA_MAX_DEPTH);
        j->depth++;
        bool fits = print_container(j, builder, value);
        j->depth--;
        return fits;
    }
    default: return tn_jinja_fail(j, TN_UNSUPPORTED, "printing %s is not supported", tn_jinja_kind_name(value));
    }
}
