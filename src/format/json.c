/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c: limits, then jansson, then its tree flattened into one block of values and one of strings. The only file that
 * knows jansson.
 */
#include "format/json.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/quote.h"

struct tn_json_value {
    const char *key;             /* of an object's member; of the root: the document's name; else NULL */
    const tn_json_value *parent; /* NULL: the root */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *string;
        const tn_json_value *children; /* [size], in the order of the text */
    } as;
    uint32_t key_size, size; /* size: bytes of a string, children of a container */
    tn_json_kind kind;
};

struct tn_json {
    const tn_allocator *allocator;
    tn_allocator allocator_copy;
    char *name;
    tn_json_value *values; /* values[0] is the root; children of one container are neighbours */
    char *strings;
};

enum { default_max_bytes = 64 << 20, default_max_values = 4000000, default_max_depth = 64, hard_max_depth = 512, exact_digits = 18 };

static tn_status refuse_text(const char *name, size_t offset, const char *text, tn_diag *diag, const char *reason) {
    size_t line = 1;
    for (size_t i = 0; i < offset; i++) line += text[i] == '\n';
    return tn_fail_at(diag, TN_INVALID_DATA, &(tn_where){.file = name, .has_offset = true, .offset = (int64_t)offset},
                      "cannot read %s: %s at byte %zu (line %zu)", name, reason, offset, line);
}

/* What one pass over the bytes finds out before anything is allocated. */
typedef struct scan_result {
    size_t num_values;        /* an upper bound: one, plus one for each of { [ and , */
    size_t num_long_integers; /* literals of more than 18 digits without fraction or exponent */
} scan_result;

/* The end of the number whose first digit is text[i]; *out_is_long if it is an integer that int64 may not hold. */
static size_t scan_number(const char *text, size_t size, size_t i, bool *out_is_long) {
    size_t num_digits = 0;
    bool is_real = false;
    for (; i < size; i++) {
        char c = text[i];
        if (c >= '0' && c <= '9')
            num_digits++;
        else if (c == '.' || c == 'e' || c == 'E')
            is_real = true;
        else if (c != '-' && c != '+')
            break;
    }
    *out_is_long = !is_real && num_digits > exact_digits;
    return i;
}

/* The end of the string whose opening quote is text[i], or size. */
static size_t scan_string(const char *text, size_t size, size_t i) {
    for (i++; i < size && text[i] != '"'; i++)
        if (text[i] == '\\') i++;
    return i < size ? i + 1 : size;
}

static tn_status scan(const char *name, const char *text, size_t size, const tn_json_limits *limits, tn_diag *diag,
                      scan_result *out_result) {
    const char *nul = memchr(text, 0, size);
    if (nul != NULL) return refuse_text(name, (size_t)(nul - text), text, diag, "a NUL byte stands");
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) return refuse_text(name, 0, text, diag, "a byte-order mark stands");

    scan_result result = {.num_values = 1};
    size_t depth = 0;
    for (size_t i = 0; i < size;) {
        char c = text[i];
        if (c == '"') {
            i = scan_string(text, size, i);
            continue;
        }
        if (c >= '0' && c <= '9') {
            bool is_long;
            i = scan_number(text, size, i, &is_long);
            result.num_long_integers += is_long;
            continue;
        }
        if (c == '{' || c == '[') {
            if (++depth > limits->max_depth) {
                char reason[64];
                snprintf(reason, sizeof reason, "nesting deeper than %zu levels", limits->max_depth);
                return refuse_text(name, i, text, diag, reason);
            }
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
        }
        if ((c == '{' || c == '[' || c == ',') && ++result.num_values > limits->max_values) {
            char reason[64];
            snprintf(reason, sizeof reason, "more than %zu values", limits->max_values);
            return refuse_text(name, i, text, diag, reason);
        }
        i++;
    }
    *out_result = result;
    return TN_OK;
}

/* jansson refuses an integer beyond int64, but tokenizer_config.json files hold 10^30. Their last two digits become the
 * exponent: a real of the same length, so that offsets in errors stay right. */
static void rewrite_long_integers(char *text, size_t size) {
    for (size_t i = 0; i < size;) {
        if (text[i] == '"') {
            i = scan_string(text, size, i);
        } else if (text[i] >= '0' && text[i] <= '9') {
            bool is_long;
            i = scan_number(text, size, i, &is_long);
            if (is_long) memcpy(text + i - 2, "e2", 2);
        } else {
            i++;
        }
    }
}

static const char *reason_of(const json_error_t *error) {
    switch (json_error_code(error)) {
    case json_error_stack_overflow: return "nesting too deep";
    case json_error_invalid_utf8: return "invalid UTF-8";
    case json_error_premature_end_of_input: return "the text ends too early,";
    case json_error_end_of_input_expected: return "bytes follow the document";
    case json_error_null_character: return "\\u0000 in a string";
    case json_error_null_byte_in_key: return "\\u0000 in a name";
    case json_error_duplicate_key: return "a name stands twice in one object";
    case json_error_numeric_overflow: return "a number beyond the range of a double";
    default: return "invalid JSON";
    }
}

static tn_status run_parser(const char *name, const char *text, size_t size, tn_diag *diag, json_t **out_tree) {
    json_error_t error;
    *out_tree = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (*out_tree != NULL) return TN_OK;
    /* jansson says nothing at all about most allocations that fail; whatever is wrong with the text has a code. */
    enum json_error_code code = json_error_code(&error);
    if (code == json_error_out_of_memory || code == json_error_unknown) return tn_fail_memory(diag, "JSON text", size);
    size_t offset = error.position < 0 ? 0 : (size_t)error.position;
    return refuse_text(name, offset < size ? offset : size, text, diag, reason_of(&error));
}

typedef struct flatten_state {
    tn_json_value *values;
    char *strings;
    size_t num_values, strings_size;
} flatten_state;

static const char *keep_string(flatten_state *state, const char *bytes, size_t size) {
    char *copy = state->strings + state->strings_size;
    memcpy(copy, bytes, size);
    copy[size] = 0;
    state->strings_size += size + 1;
    return copy;
}

/* Fills *out_value (key and parent are set) from node. Recursion is bounded by max_depth. */
static void flatten(flatten_state *state, const json_t *node, tn_json_value *out_value) {
    tn_json_value *children = state->values + state->num_values;
    switch (json_typeof(node)) {
    case JSON_NULL: out_value->kind = TN_JSON_NULL; break;
    case JSON_TRUE:
    case JSON_FALSE:
        out_value->kind = TN_JSON_BOOL;
        out_value->as.boolean = json_is_true(node);
        break;
    case JSON_INTEGER:
        out_value->kind = TN_JSON_INTEGER;
        out_value->as.integer = json_integer_value(node);
        break;
    case JSON_REAL:
        out_value->kind = TN_JSON_REAL;
        out_value->as.real = json_real_value(node);
        break;
    case JSON_STRING:
        out_value->kind = TN_JSON_STRING;
        out_value->size = (uint32_t)json_string_length(node);
        out_value->as.string = keep_string(state, json_string_value(node), out_value->size);
        break;
    case JSON_ARRAY:
        out_value->kind = TN_JSON_ARRAY;
        out_value->size = (uint32_t)json_array_size(node);
        out_value->as.children = children;
        state->num_values += out_value->size;
        for (size_t i = 0; i < out_value->size; i++) {
            children[i].parent = out_value;
            flatten(state, json_array_get(node, i), &children[i]);
        }
        break;
    case JSON_OBJECT: {
        out_value->kind = TN_JSON_OBJECT;
        out_value->size = (uint32_t)json_object_size(node);
        out_value->as.children = children;
        state->num_values += out_value->size;
        json_t *object = (json_t *)(uintptr_t)node; /* jansson's iterators want it writable, and do not write */
        for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i), children++) {
            children->parent = out_value;
            children->key_size = (uint32_t)json_object_iter_key_len(i);
            children->key = keep_string(state, json_object_iter_key(i), children->key_size);
            flatten(state, json_object_iter_value(i), children);
        }
        break;
    }
    }
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
    scan_result found = {0};
    tn_status status = scan(name, text, size_bytes, &effective, diag, &found);
    if (status != TN_OK) return status;

    tn_json *json = NULL;
    json_t *tree = NULL;
    char *rewritten = NULL;
    if (found.num_long_integers > 0) {
        rewritten = tn_copy_bytes(allocator, text, size_bytes);
        if (rewritten == NULL) return tn_fail_memory(diag, "JSON text", size_bytes);
        rewrite_long_integers(rewritten, size_bytes);
        text = rewritten;
    }
    status = run_parser(name, text, size_bytes, diag, &tree);
    if (status != TN_OK) goto cleanup;

    status = TN_OUT_OF_MEMORY;
    json = tn_alloc_zero(allocator, sizeof *json);
    if (json == NULL) goto cleanup;
    if (allocator != NULL) json->allocator_copy = *allocator;
    json->allocator = allocator != NULL ? &json->allocator_copy : NULL;
    json->name = tn_copy_string(json->allocator, name);
    json->values = tn_alloc_array(json->allocator, found.num_values, sizeof *json->values);
    /* Each string lost its two quotes and gains one NUL, and no escape is shorter than what it stands for. */
    json->strings = tn_alloc(json->allocator, size_bytes);
    if (json->name == NULL || json->values == NULL || json->strings == NULL) goto cleanup;
    flatten_state state = {.values = json->values, .strings = json->strings, .num_values = 1};
    json->values[0].key = json->name;
    flatten(&state, tree, &json->values[0]);
    assert(state.num_values <= found.num_values && state.strings_size <= size_bytes);
    status = TN_OK;

cleanup:
    if (status == TN_OUT_OF_MEMORY && tree != NULL) tn_fail_memory(diag, name, found.num_values * sizeof *json->values + size_bytes);
    json_decref(tree);
    tn_free(allocator, rewritten);
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
