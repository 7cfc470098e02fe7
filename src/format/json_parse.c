/* SPDX-License-Identifier: Apache-2.0
 *
 * json_parse.c: text to values (RFC 8259, strict).
 *
 * One array holds the values in two heaps that grow towards each other: a stack of values whose container is still open, from
 * the front, and finished children, neighbours at last, from the back. A container that closes moves its children from one
 * to the other, so that neither can meet the other as long as the array has room for all values.
 *
 * Why not a library: jansson 2.14 does not check the growth of its token buffer. When that allocation fails, a string silently
 * loses a byte, or an assertion ends the process (json_test.c has had both); its allocator is one for the process, so a
 * library cannot make it safe. This parser allocates nothing but the list that finds a name standing twice.
 */
#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "format/json_tree.h"

enum {
    exact_digits = 18,      /* an integer literal of so many digits fits int64 */
    few_members = 16,       /* up to here names are compared each with each */
    max_point_size = 8,     /* bytes of the locale's decimal point: TN_JSON_STRINGS_SLACK has room for it */
    no_byte = -1,           /* the end of the text */
    first_printable = 0x20, /* below it, a byte must be escaped */
};

typedef struct reader {
    const tn_json *json;
    const char *text;
    size_t size, at;
    tn_json_value *values; /* [0, num_stacked) open, [first_placed, …) finished */
    size_t num_stacked, first_placed;
    char *strings;
    size_t strings_size;
    tn_diag *diag;
} reader;

static tn_status refuse_at(const reader *r, size_t offset, const char *reason) {
    return tn_json_refuse_text(r->json->name, offset, r->text, r->diag, reason);
}

/* What stands here is not what JSON has here. */
static tn_status refuse(const reader *r) {
    return refuse_at(r, r->at, r->at == r->size ? "the text ends too early," : "invalid JSON");
}

static int peek(const reader *r) {
    return r->at < r->size ? (unsigned char)r->text[r->at] : no_byte;
}

static bool take(reader *r, char c) {
    if (peek(r) != c) return false;
    r->at++;
    return true;
}

static void skip_space(reader *r) {
    for (int c = peek(r); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(r)) r->at++;
}

/* --- strings ---------------------------------------------------------------------------------------------------------- */

/* The four digits at r->at. */
static tn_status read_hex4(reader *r, uint32_t *out_unit) {
    uint32_t unit = 0;
    *out_unit = 0;
    for (int i = 0; i < 4; i++) {
        int c = peek(r);
        if (c >= '0' && c <= '9')
            unit = unit * 16 + (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            unit = unit * 16 + (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            unit = unit * 16 + (uint32_t)(c - 'A' + 10);
        else
            return refuse(r);
        r->at++;
    }
    *out_unit = unit;
    return TN_OK;
}

/* After "\u". */
static tn_status read_unicode_escape(reader *r, bool is_name) {
    const size_t begin = r->at - 2;
    uint32_t code_point, low;
    tn_status status = read_hex4(r, &code_point);
    if (status != TN_OK) return status;
    if (code_point == 0) return refuse_at(r, begin, is_name ? "\\u0000 in a name" : "\\u0000 in a string");
    if (code_point >= 0xd800 && code_point <= 0xdbff) {
        if (!take(r, '\\') || !take(r, 'u')) return refuse_at(r, begin, "a lone surrogate");
        status = read_hex4(r, &low);
        if (status != TN_OK) return status;
        if (low < 0xdc00 || low > 0xdfff) return refuse_at(r, begin, "a lone surrogate");
        code_point = 0x10000 + ((code_point - 0xd800) << 10) + (low - 0xdc00);
    }
    char bytes[4];
    int length = tn_utf8_encode(code_point, bytes);
    if (length == 0) return refuse_at(r, begin, "a lone surrogate");
    memcpy(r->strings + r->strings_size, bytes, (size_t)length);
    r->strings_size += (size_t)length;
    return TN_OK;
}

/* After the backslash. */
static tn_status read_escape(reader *r, bool is_name) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    int c = peek(r);
    if (c == no_byte) return refuse(r);
    r->at++;
    if (c == 'u') return read_unicode_escape(r, is_name);
    const char *letter = memchr(letters, c, sizeof letters - 1);
    if (letter == NULL) return refuse_at(r, r->at - 1, "invalid JSON");
    r->strings[r->strings_size++] = meanings[letter - letters];
    return TN_OK;
}

/* The string whose quote is at r->at, kept with a NUL. It lost two quotes, and no escape is shorter than what it stands for. */
static tn_status read_string(reader *r, bool is_name, const char **out_string, uint32_t *out_size) {
    char *begin = r->strings + r->strings_size;
    r->at++;
    while (!take(r, '"')) {
        int c = peek(r);
        if (c == no_byte) return refuse(r);
        if (c < first_printable) return refuse_at(r, r->at, "invalid JSON (a control character in a string)");
        if (take(r, '\\')) {
            tn_status status = read_escape(r, is_name);
            if (status != TN_OK) return status;
            continue;
        }
        uint32_t code_point;
        int length = c < 0x80 ? 1 : tn_utf8_decode(r->text + r->at, r->size - r->at, &code_point);
        if (length < 0) r->at = r->size;
        if (length <= 0) return length < 0 ? refuse(r) : refuse_at(r, r->at, "invalid UTF-8");
        memcpy(r->strings + r->strings_size, r->text + r->at, (size_t)length);
        r->strings_size += (size_t)length;
        r->at += (size_t)length;
    }
    *out_string = begin;
    *out_size = (uint32_t)(r->strings + r->strings_size - begin);
    r->strings[r->strings_size++] = 0;
    return TN_OK;
}

/* --- numbers ---------------------------------------------------------------------------------------------------------- */

static size_t skip_digits(reader *r) {
    size_t begin = r->at;
    for (int c = peek(r); c >= '0' && c <= '9'; c = peek(r)) r->at++;
    return r->at - begin;
}

/* strtod reads the decimal point of the process's locale; the free end of `strings` has room for the copy. */
static double to_double(reader *r, size_t begin) {
    const char *point = localeconv()->decimal_point;
    if (strlen(point) > max_point_size) point = ".";
    char *copy = r->strings + r->strings_size, *end = copy;
    for (size_t i = begin; i < r->at; i++) {
        if (r->text[i] == '.')
            end = stpcpy(end, point);
        else
            *end++ = r->text[i];
    }
    *end = 0;
    return strtod(copy, NULL);
}

static tn_status read_number(reader *r, tn_json_value *value) {
    const size_t begin = r->at;
    const bool is_negative = take(r, '-');
    const bool is_zero = peek(r) == '0';
    const size_t first_digit = r->at, num_digits = skip_digits(r);
    bool is_real = num_digits > exact_digits;
    if (num_digits == 0) return refuse(r);
    if (is_zero && num_digits > 1) return refuse_at(r, first_digit, "invalid JSON (a number begins with 0)");
    if (take(r, '.')) {
        is_real = true;
        if (skip_digits(r) == 0) return refuse(r);
    }
    if (take(r, 'e') || take(r, 'E')) {
        is_real = true;
        if (!take(r, '+')) (void)take(r, '-');
        if (skip_digits(r) == 0) return refuse(r);
    }
    if (is_real) {
        value->kind = TN_JSON_REAL;
        value->as.real = to_double(r, begin);
        return isfinite(value->as.real) ? TN_OK : refuse_at(r, begin, "a number beyond the range of a double");
    }
    value->kind = TN_JSON_INTEGER;
    for (size_t i = first_digit; i < r->at; i++) value->as.integer = value->as.integer * 10 + (r->text[i] - '0');
    if (is_negative) value->as.integer = -value->as.integer;
    return TN_OK;
}

/* --- containers ------------------------------------------------------------------------------------------------------- */

static int compare_names(const tn_json_value *a, const tn_json_value *b) {
    if (a->key_size != b->key_size) return a->key_size < b->key_size ? -1 : 1;
    return memcmp(a->key, b->key, a->key_size);
}

static int compare_members(const void *a, const void *b) {
    return compare_names(*(const tn_json_value *const *)a, *(const tn_json_value *const *)b);
}

static tn_status refuse_twice(const reader *r, const tn_json_value *a, const tn_json_value *b) {
    return refuse_at(r, a->offset > b->offset ? a->offset : b->offset, "a name stands twice in one object,");
}

/* Sorted, not hashed: names chosen to collide would cost the square of their number. */
static tn_status check_names(const reader *r, const tn_json_value *members, size_t count) {
    if (count <= few_members) {
        for (size_t i = 1; i < count; i++)
            for (size_t k = 0; k < i; k++)
                if (compare_names(&members[i], &members[k]) == 0) return refuse_twice(r, &members[i], &members[k]);
        return TN_OK;
    }
    const tn_json_value **sorted = tn_alloc_array(r->json->allocator, count, sizeof *sorted);
    if (sorted == NULL) return tn_fail_memory(r->diag, "the names of a JSON object", count * sizeof *sorted);
    for (size_t i = 0; i < count; i++) sorted[i] = &members[i];
    qsort(sorted, count, sizeof(const tn_json_value *), compare_members);
    tn_status status = TN_OK;
    for (size_t i = 1; i < count && status == TN_OK; i++)
        if (compare_names(sorted[i - 1], sorted[i]) == 0) status = refuse_twice(r, sorted[i - 1], sorted[i]);
    tn_free(r->json->allocator, sorted);
    return status;
}

static void adopt(tn_json_value *value) {
    if (value->kind != TN_JSON_ARRAY && value->kind != TN_JSON_OBJECT) return;
    for (uint32_t i = 0; i < value->size; i++) value->as.children[i].parent = value;
}

/* Everything above `base` on the stack are the children of `value`. */
static void place_children(reader *r, tn_json_value *value, size_t base) {
    const size_t count = r->num_stacked - base;
    r->first_placed -= count;
    r->num_stacked = base;
    tn_json_value *children = r->values + r->first_placed;
    memmove(children, r->values + base, count * sizeof *children);
    for (size_t i = 0; i < count; i++) adopt(&children[i]);
    value->as.children = children;
    value->size = (uint32_t)count;
}

static tn_json_value *push_value(reader *r) {
    assert(r->num_stacked < r->first_placed); /* the scan counted at least as many values */
    tn_json_value *value = &r->values[r->num_stacked++];
    *value = (tn_json_value){0};
    return value;
}

static tn_status read_value(reader *r, tn_json_value *value);

static tn_status read_member_name(reader *r, tn_json_value *member) {
    skip_space(r);
    if (peek(r) != '"') return refuse(r);
    tn_status status = read_string(r, true, &member->key, &member->key_size);
    if (status != TN_OK) return status;
    skip_space(r);
    return take(r, ':') ? TN_OK : refuse(r);
}

static tn_status read_container(reader *r, tn_json_value *value, bool is_object) {
    const char close = is_object ? '}' : ']';
    const size_t base = r->num_stacked;
    value->kind = is_object ? TN_JSON_OBJECT : TN_JSON_ARRAY;
    r->at++;
    skip_space(r);
    if (!take(r, close)) {
        do {
            tn_json_value *child = push_value(r);
            tn_status status = is_object ? read_member_name(r, child) : TN_OK;
            if (status == TN_OK) status = read_value(r, child);
            if (status != TN_OK) return status;
            skip_space(r);
        } while (take(r, ','));
        if (!take(r, close)) return refuse(r);
    }
    tn_status status = is_object ? check_names(r, r->values + base, r->num_stacked - base) : TN_OK;
    if (status == TN_OK) place_children(r, value, base);
    return status;
}

static tn_status read_word(reader *r, const char *word, tn_json_value *value, tn_json_kind kind, bool boolean) {
    for (size_t i = 0; word[i] != 0; i++)
        if (!take(r, word[i])) return refuse(r);
    value->kind = kind;
    if (kind == TN_JSON_BOOL) value->as.boolean = boolean;
    return TN_OK;
}

static tn_status read_value(reader *r, tn_json_value *value) {
    skip_space(r);
    value->offset = (uint32_t)r->at;
    switch (peek(r)) {
    case '{': return read_container(r, value, true);
    case '[': return read_container(r, value, false);
    case '"': value->kind = TN_JSON_STRING; return read_string(r, false, &value->as.string, &value->size);
    case 't': return read_word(r, "true", value, TN_JSON_BOOL, true);
    case 'f': return read_word(r, "false", value, TN_JSON_BOOL, false);
    case 'n': return read_word(r, "null", value, TN_JSON_NULL, false);
    default: return read_number(r, value);
    }
}

tn_status tn_json_parse_values(tn_json *json, const char *text, size_t size_bytes, size_t num_values, tn_diag *diag) {
    reader r = {.json = json, .text = text, .size = size_bytes, .values = json->values, .first_placed = num_values, .diag = diag};
    r.strings = json->strings;
    tn_json_value *root = push_value(&r);
    tn_status status = read_value(&r, root);
    if (status != TN_OK) return status;
    root->key = json->name;
    adopt(root);
    skip_space(&r);
    return r.at == size_bytes ? TN_OK : refuse_at(&r, r.at, "bytes follow the document");
}
