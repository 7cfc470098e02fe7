/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c: limits, then the parser (json_parse.c), and looking at what it made.
 */
#include "format/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/json_tree.h"
#include "format/quote.h"

enum { default_max_bytes = 64 << 20, default_max_values = 4000000, default_max_depth = 64, hard_max_depth = 512 };

tn_status tn_json_refuse_text(const char *name, size_t offset, const char *text, tn_diag *diag, const char *reason) {
    size_t line = 1;
    for (size_t i = 0; i < offset; i++) line += text[i] == '\n';
    return tn_fail_at(diag, TN_INVALID_DATA, &(tn_where){.file = name, .has_offset = true, .offset = (int64_t)offset},
                      "cannot read %s: %s at byte %zu (line %zu)", name, reason, offset, line);
}

/* The end of the string whose opening quote is text[i], or size. */
static size_t scan_string(const char *text, size_t size, size_t i) {
    for (i++; i < size && text[i] != '"'; i++)
        if (text[i] == '\\') i++;
    return i < size ? i + 1 : size;
}

/* One pass over the bytes before anything is allocated. *out_num_values is an upper bound: one, plus one for each of { [ and , */
static tn_status scan(const char *name, const char *text, size_t size, const tn_json_limits *limits, tn_diag *diag,
                      size_t *out_num_values) {
    const char *nul = memchr(text, 0, size);
    if (nul != NULL) return tn_json_refuse_text(name, (size_t)(nul - text), text, diag, "a NUL byte stands");
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) return tn_json_refuse_text(name, 0, text, diag, "a byte-order mark stands");

    size_t num_values = 1, depth = 0;
    for (size_t i = 0; i < size;) {
        char c = text[i];
        if (c == '"') {
            i = scan_string(text, size, i);
            continue;
        }
        if (c == '{' || c == '[') {
            if (++depth > limits->max_depth) {
                char reason[64];
                snprintf(reason, sizeof reason, "nesting deeper than %zu levels", limits->max_depth);
                return tn_json_refuse_text(name, i, text, diag, reason);
            }
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
        }
        if ((c == '{' || c == '[' || c == ',') && ++num_values > limits->max_values) {
            char reason[64];
            snprintf(reason, sizeof reason, "more than %zu values", limits->max_values);
            return tn_json_refuse_text(name, i, text, diag, reason);
        }
        i++;
    }
    *out_num_values = num_values;
    return TN_OK;
}

static tn_json_limits effective_limits(const tn_json_limits *limits) {
    tn_json_limits result = limits != NULL ? *limits : (tn_json_limits){0};
    if (result.max_bytes == 0) result.max_bytes = default_max_bytes;
    if (result.max_bytes > INT32_MAX) result.max_bytes = INT32_MAX; /* sizes in values are 32 bits */
    if (result.max_values == 0) result.max_values = default_max_values;
    if (result.max_depth == 0) result.max_depth = default_max_depth;
    if (result.max_depth > hard_max_depth) result.max_depth = hard_max_depth;
    return result;
}

tn_status tn_json_parse(const char *name, const char *text, size_t size_bytes, const tn_json_limits *limits, const tn_allocator *allocator,
                        tn_diag *diag, tn_json **out_json) {
    *out_json = NULL;
    const tn_json_limits effective = effective_limits(limits);
    if (size_bytes > effective.max_bytes)
        return tn_fail_at(diag, TN_INVALID_DATA, &(tn_where){.file = name}, "cannot read %s: it has %zu bytes, at most %zu are allowed",
                          name, size_bytes, effective.max_bytes);
    if (size_bytes == 0) return tn_fail_at(diag, TN_INVALID_DATA, &(tn_where){.file = name}, "cannot read %s: it is empty", name);
    size_t num_values = 0;
    tn_status status = scan(name, text, size_bytes, &effective, diag, &num_values);
    if (status != TN_OK) return status;

    tn_json *json = tn_alloc_zero(allocator, sizeof *json);
    if (json == NULL) return tn_fail_memory(diag, name, sizeof *json);
    if (allocator != NULL) json->allocator_copy = *allocator;
    json->allocator = allocator != NULL ? &json->allocator_copy : NULL;
    json->name = tn_copy_string(json->allocator, name);
    json->values = tn_alloc_array(json->allocator, num_values, sizeof *json->values);
    json->strings = tn_alloc(json->allocator, size_bytes + TN_JSON_STRINGS_SLACK);
    if (json->name == NULL || json->values == NULL || json->strings == NULL)
        status = tn_fail_memory(diag, name, num_values * sizeof *json->values + size_bytes);
    if (status == TN_OK) status = tn_json_parse_values(json, text, size_bytes, num_values, diag);
    if (status != TN_OK) {
        tn_json_destroy(json);
        json = NULL;
    }
    *out_json = json;
    return status;
}

tn_status tn_json_load(const char *path, const tn_json_limits *limits, const tn_allocator *allocator, tn_diag *diag, tn_json **out_json) {
    *out_json = NULL;
    char *text = NULL;
    size_t size = 0;
    tn_status status = tn_file_read_all(path, effective_limits(limits).max_bytes, allocator, diag, &text, &size);
    if (status == TN_OK) status = tn_json_parse(path, text, size, limits, allocator, diag, out_json);
    tn_free(allocator, text);
    return status;
}

void tn_json_destroy(tn_json *json) {
    if (json == NULL) return;
    const tn_allocator copy = json->allocator_copy;
    const tn_allocator *allocator = json->allocator != NULL ? &copy : NULL;
    tn_free(allocator, json->name);
    tn_free(allocator, json->values);
    tn_free(allocator, json->strings);
    tn_free(allocator, json);
}

const tn_json_value *tn_json_root(const tn_json *json) {
    return json->values;
}

tn_json_kind tn_json_kind_of(const tn_json_value *value) {
    return value->kind;
}

static bool is_container(const tn_json_value *value) {
    return value->kind == TN_JSON_ARRAY || value->kind == TN_JSON_OBJECT;
}

size_t tn_json_count(const tn_json_value *value) {
    return is_container(value) ? value->size : 0;
}

const tn_json_value *tn_json_at(const tn_json_value *value, size_t index) {
    assert(is_container(value) && index < value->size);
    return &value->as.children[index];
}

const char *tn_json_key(const tn_json_value *member, size_t *out_size) {
    assert(member->parent != NULL && member->parent->kind == TN_JSON_OBJECT);
    if (out_size != NULL) *out_size = member->key_size;
    return member->key;
}

const tn_json_value *tn_json_find(const tn_json_value *object, const char *key) {
    if (object->kind != TN_JSON_OBJECT) return NULL;
    size_t size = strlen(key);
    for (size_t i = 0; i < object->size; i++) {
        const tn_json_value *member = &object->as.children[i];
        if (member->key_size == size && memcmp(member->key, key, size) == 0) return member;
    }
    return NULL;
}

/* Errors. A path in a message is "a.b[3].c"; beyond its room the outermost names go. */

enum { path_size = 320 };

/* Prepends text to the path that starts at buffer[begin]; the new start, or begin when there is no room. */
static size_t prepend(char buffer[path_size], size_t begin, const char *text) {
    size_t size = strlen(text);
    if (size > begin) return begin;
    memcpy(buffer + begin - size, text, size);
    return begin - size;
}

/* The path of value, or of its absent member `missing`; "" for the root itself. */
static const char *path_of(const tn_json_value *value, const char *missing, char buffer[path_size]) {
    size_t begin = path_size - 1;
    buffer[begin] = 0;
    if (missing != NULL) begin = prepend(buffer, begin, missing);
    for (; value->parent != NULL; value = value->parent) {
        char step[TN_QUOTE_SIZE];
        if (value->key != NULL)
            tn_quote(value->key, value->key_size, step);
        else
            snprintf(step, sizeof step, "[%zu]", (size_t)(value - value->parent->as.children));
        if (buffer[begin] != 0 && buffer[begin] != '[') begin = prepend(buffer, begin, ".");
        begin = prepend(buffer, begin, step);
    }
    return buffer + begin;
}

static const char *name_of(const tn_json_value *value) {
    while (value->parent != NULL) value = value->parent;
    return value->key;
}

/* Reports "name: 'path' text". */
static tn_status fail_at_path(const tn_json_value *value, const char *missing, tn_diag *diag, tn_status code, const char *text) {
    char buffer[path_size];
    const char *path = path_of(value, missing, buffer), *name = name_of(value);
    const tn_where where = {.file = name, .subject = path};
    if (path[0] == 0) return tn_fail_at(diag, code, &where, "%s: the document %s", name, text);
    return tn_fail_at(diag, code, &where, "%s: '%s' %s", name, path, text);
}

tn_status tn_json_fail(const tn_json_value *value, tn_diag *diag, tn_status code, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return fail_at_path(value, NULL, diag, code, text);
}

/* Reports "… is <value>, must be <rule>". */
static tn_status refuse_value(const tn_json_value *value, tn_diag *diag, const char *rule) {
    char quoted[TN_QUOTE_SIZE];
    switch (value->kind) {
    case TN_JSON_NULL: return tn_json_fail(value, diag, TN_INVALID_DATA, "is null, must be %s", rule);
    case TN_JSON_BOOL: return tn_json_fail(value, diag, TN_INVALID_DATA, "is %s, must be %s", value->as.boolean ? "true" : "false", rule);
    case TN_JSON_INTEGER: return tn_json_fail(value, diag, TN_INVALID_DATA, "is %" PRId64 ", must be %s", value->as.integer, rule);
    case TN_JSON_REAL: return tn_json_fail(value, diag, TN_INVALID_DATA, "is %.9g, must be %s", value->as.real, rule);
    case TN_JSON_STRING:
        return tn_json_fail(value, diag, TN_INVALID_DATA, "is \"%s\", must be %s", tn_quote(value->as.string, value->size, quoted), rule);
    case TN_JSON_ARRAY: return tn_json_fail(value, diag, TN_INVALID_DATA, "is an array, must be %s", rule);
    case TN_JSON_OBJECT: break;
    }
    return tn_json_fail(value, diag, TN_INVALID_DATA, "is an object, must be %s", rule);
}

tn_status tn_json_to_integer(const tn_json_value *value, int64_t min, int64_t max, tn_diag *diag, int64_t *out_integer) {
    *out_integer = 0;
    bool is_integer = value->kind == TN_JSON_INTEGER;
    if (!is_integer || value->as.integer < min || value->as.integer > max) {
        char rule[96];
        snprintf(rule, sizeof rule, "%s%" PRId64 " to %" PRId64, is_integer ? "" : "an integer from ", min, max);
        return refuse_value(value, diag, rule);
    }
    *out_integer = value->as.integer;
    return TN_OK;
}

tn_status tn_json_to_number(const tn_json_value *value, double min, double max, tn_diag *diag, double *out_number) {
    *out_number = 0;
    bool is_number = value->kind == TN_JSON_INTEGER || value->kind == TN_JSON_REAL;
    double number = value->kind == TN_JSON_INTEGER ? (double)value->as.integer : is_number ? value->as.real : 0;
    if (!is_number || !(number >= min && number <= max)) {
        char rule[96];
        if (isinf(min) && isinf(max))
            snprintf(rule, sizeof rule, "a number");
        else
            snprintf(rule, sizeof rule, "%s%g to %g", is_number ? "" : "a number from ", min, max);
        return refuse_value(value, diag, rule);
    }
    *out_number = number;
    return TN_OK;
}

tn_status tn_json_to_bool(const tn_json_value *value, tn_diag *diag, bool *out_bool) {
    *out_bool = false;
    if (value->kind != TN_JSON_BOOL) return refuse_value(value, diag, "true or false");
    *out_bool = value->as.boolean;
    return TN_OK;
}

tn_status tn_json_to_string(const tn_json_value *value, tn_diag *diag, const char **out_string, size_t *out_size) {
    *out_string = NULL;
    if (out_size != NULL) *out_size = 0;
    if (value->kind != TN_JSON_STRING) return refuse_value(value, diag, "a string");
    *out_string = value->as.string;
    if (out_size != NULL) *out_size = value->size;
    return TN_OK;
}

tn_status tn_json_expect(const tn_json_value *value, tn_json_kind kind, tn_diag *diag) {
    assert(kind == TN_JSON_ARRAY || kind == TN_JSON_OBJECT);
    if (value->kind == kind) return TN_OK;
    return refuse_value(value, diag, kind == TN_JSON_ARRAY ? "an array" : "an object");
}

/* The member, or an error that says it is missing. */
static tn_status require(const tn_json_value *object, const char *key, tn_diag *diag, const tn_json_value **out_value) {
    tn_status status = tn_json_expect(object, TN_JSON_OBJECT, diag);
    if (status != TN_OK) return status;
    *out_value = tn_json_find(object, key);
    return *out_value != NULL ? TN_OK : fail_at_path(object, key, diag, TN_INVALID_DATA, "is missing");
}

tn_status tn_json_get_integer(const tn_json_value *object, const char *key, int64_t min, int64_t max, tn_diag *diag, int64_t *out_integer) {
    *out_integer = 0;
    const tn_json_value *value;
    tn_status status = require(object, key, diag, &value);
    return status == TN_OK ? tn_json_to_integer(value, min, max, diag, out_integer) : status;
}

tn_status tn_json_get_number(const tn_json_value *object, const char *key, double min, double max, tn_diag *diag, double *out_number) {
    *out_number = 0;
    const tn_json_value *value;
    tn_status status = require(object, key, diag, &value);
    return status == TN_OK ? tn_json_to_number(value, min, max, diag, out_number) : status;
}

tn_status tn_json_get_bool(const tn_json_value *object, const char *key, tn_diag *diag, bool *out_bool) {
    *out_bool = false;
    const tn_json_value *value;
    tn_status status = require(object, key, diag, &value);
    return status == TN_OK ? tn_json_to_bool(value, diag, out_bool) : status;
}

tn_status tn_json_get_string(const tn_json_value *object, const char *key, tn_diag *diag, const char **out_string, size_t *out_size) {
    *out_string = NULL;
    if (out_size != NULL) *out_size = 0;
    const tn_json_value *value;
    tn_status status = require(object, key, diag, &value);
    return status == TN_OK ? tn_json_to_string(value, diag, out_string, out_size) : status;
}

static tn_status get_container(const tn_json_value *object, const char *key, tn_json_kind kind, tn_diag *diag,
                               const tn_json_value **out_value) {
    *out_value = NULL;
    const tn_json_value *value;
    tn_status status = require(object, key, diag, &value);
    if (status == TN_OK) status = tn_json_expect(value, kind, diag);
    if (status == TN_OK) *out_value = value;
    return status;
}

tn_status tn_json_get_array(const tn_json_value *object, const char *key, tn_diag *diag, const tn_json_value **out_array) {
    return get_container(object, key, TN_JSON_ARRAY, diag, out_array);
}

tn_status tn_json_get_object(const tn_json_value *object, const char *key, tn_diag *diag, const tn_json_value **out_object) {
    return get_container(object, key, TN_JSON_OBJECT, diag, out_object);
}

/* The member, NULL if absent or null, or an error if there is no object to look in. */
static tn_status look_up(const tn_json_value *object, const char *key, tn_diag *diag, const tn_json_value **out_value) {
    *out_value = NULL;
    tn_status status = tn_json_expect(object, TN_JSON_OBJECT, diag);
    if (status != TN_OK) return status;
    const tn_json_value *value = tn_json_find(object, key);
    if (value != NULL && value->kind != TN_JSON_NULL) *out_value = value;
    return TN_OK;
}

tn_status tn_json_get_integer_or(const tn_json_value *object, const char *key, int64_t min, int64_t max, int64_t fallback, tn_diag *diag,
                                 int64_t *out_integer) {
    const tn_json_value *value;
    tn_status status = look_up(object, key, diag, &value);
    *out_integer = status == TN_OK ? fallback : 0;
    return value != NULL ? tn_json_to_integer(value, min, max, diag, out_integer) : status;
}

tn_status tn_json_get_number_or(const tn_json_value *object, const char *key, double min, double max, double fallback, tn_diag *diag,
                                double *out_number) {
    const tn_json_value *value;
    tn_status status = look_up(object, key, diag, &value);
    *out_number = status == TN_OK ? fallback : 0;
    return value != NULL ? tn_json_to_number(value, min, max, diag, out_number) : status;
}

tn_status tn_json_get_bool_or(const tn_json_value *object, const char *key, bool fallback, tn_diag *diag, bool *out_bool) {
    const tn_json_value *value;
    tn_status status = look_up(object, key, diag, &value);
    *out_bool = status == TN_OK && fallback;
    return value != NULL ? tn_json_to_bool(value, diag, out_bool) : status;
}

tn_status tn_json_get_string_or(const tn_json_value *object, const char *key, const char *fallback, tn_diag *diag,
                                const char **out_string) {
    const tn_json_value *value;
    tn_status status = look_up(object, key, diag, &value);
    *out_string = status == TN_OK ? fallback : NULL;
    return value != NULL ? tn_json_to_string(value, diag, out_string, NULL) : status;
}
