/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h: JSON documents from files and requests that nobody trusts, and typed getters whose errors name the field.
 *
 *     tn_json *json;
 *     if ((status = tn_json_load("config.json", NULL, allocator, diag, &json)) != TN_OK) goto cleanup;
 *     const tn_json_value *config = tn_json_root(json);
 *     int64_t num_layers;
 *     status = tn_json_get_integer(config, "num_hidden_layers", 1, 4096, diag, &num_layers);
 *     // on failure: "config.json: 'num_hidden_layers' is -3, must be 1 to 4096"
 *     tn_json_destroy(json);
 *
 * Limits come first: one pass over the bytes counts values and nesting, and refuses before anything is
 * allocated. Refused with their offset: a NUL byte or \u0000, a byte-order mark, bytes after the
 * document, a name twice in one object, invalid UTF-8, lone surrogates, NaN and Infinity.
 *
 * Numbers: an integer literal of up to 18 digits is exact (TN_JSON_INTEGER); a longer one, such as the 10^30 that some
 * tokenizer_config.json files hold as "no limit", is TN_JSON_REAL and approximate. A number beyond the range of double is
 * refused.
 *
 * A document is a tree of tn_json_value in one block; it never changes, so threads may share it. Values and strings live
 * until tn_json_destroy. Members keep the order of the text. tn_json_find searches linearly: whoever looks up many names in
 * a large object (a vocabulary) iterates and makes a table of its own.
 * Memory comes from the allocator: about 40 bytes a value and the size of the text.
 */
#ifndef TN_FORMAT_JSON_H_
#define TN_FORMAT_JSON_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/report.h"

typedef struct tn_json tn_json;
typedef struct tn_json_value tn_json_value;

typedef enum tn_json_kind {
    TN_JSON_NULL = 0,
    TN_JSON_BOOL,
    TN_JSON_INTEGER,
    TN_JSON_REAL,
    TN_JSON_STRING,
    TN_JSON_ARRAY,
    TN_JSON_OBJECT,
} tn_json_kind;

/* 0 in a member: its default. */
typedef struct tn_json_limits {
    size_t max_bytes;  /* 64 MiB */
    size_t max_values; /* 4,000,000: every value, containers included */
    size_t max_depth;  /* 64, at most 512 */
} tn_json_limits;

/* `name` stands in messages ("config.json", "request"); text need not end with a NUL and is not kept. limits NULL: defaults.
 * TN_INVALID_DATA    not one JSON document, or beyond a limit; the diagnostic has the offset
 * TN_OUT_OF_MEMORY */
TN_MUST_CHECK tn_status tn_json_parse(const char *name, const char *text, size_t size_bytes, const tn_json_limits *limits,
                                      const tn_allocator *allocator, tn_diag *diag, tn_json **out_json);
/* The same of a file; `name` is its path. Also the errors of tn_file_read_all. */
TN_MUST_CHECK tn_status tn_json_load(const char *path, const tn_json_limits *limits, const tn_allocator *allocator, tn_diag *diag,
                                     tn_json **out_json);
void tn_json_destroy(tn_json *json); /* accepts NULL */
const tn_json_value *tn_json_root(const tn_json *json);

/* Looking at values. Never fail. */
tn_json_kind tn_json_kind_of(const tn_json_value *value);
size_t tn_json_count(const tn_json_value *value);                          /* members or elements; 0 if neither */
const tn_json_value *tn_json_at(const tn_json_value *value, size_t index); /* the index-th child, index < count */
const char *tn_json_key(const tn_json_value *member, size_t *out_size); /* of a child of an object; ends with a NUL; out_size may be NULL */
const tn_json_value *tn_json_find(const tn_json_value *object, const char *key); /* NULL: absent, or not an object */

/* Reports "name: 'path.to.value' <what>" and returns code: for what the getters cannot know. `value` may be any value. */
tn_status tn_json_fail(const tn_json_value *value, tn_diag *diag, tn_status code, const char *format, ...) TN_PRINTF(4, 5);

/* The value as a type; TN_INVALID_DATA if it is another or out of range (limits inclusive). A string ends with a NUL, holds
 * no other, and is valid UTF-8; out_size may be NULL. An integer is also a number. */
TN_MUST_CHECK tn_status tn_json_to_integer(const tn_json_value *value, int64_t min, int64_t max, tn_diag *diag, int64_t *out_integer);
TN_MUST_CHECK tn_status tn_json_to_number(const tn_json_value *value, double min, double max, tn_diag *diag, double *out_number);
TN_MUST_CHECK tn_status tn_json_to_bool(const tn_json_value *value, tn_diag *diag, bool *out_bool);
TN_MUST_CHECK tn_status tn_json_to_string(const tn_json_value *value, tn_diag *diag, const char **out_string, size_t *out_size);
/* TN_INVALID_DATA unless value is of that kind (TN_JSON_ARRAY, TN_JSON_OBJECT). */
TN_MUST_CHECK tn_status tn_json_expect(const tn_json_value *value, tn_json_kind kind, tn_diag *diag);

/* A member that must be there: an absent one is TN_INVALID_DATA, and so is `object` when it is none. */
TN_MUST_CHECK tn_status tn_json_get_integer(const tn_json_value *object, const char *key, int64_t min, int64_t max, tn_diag *diag,
                                            int64_t *out_integer);
TN_MUST_CHECK tn_status tn_json_get_number(const tn_json_value *object, const char *key, double min, double max, tn_diag *diag,
                                           double *out_number);
TN_MUST_CHECK tn_status tn_json_get_bool(const tn_json_value *object, const char *key, tn_diag *diag, bool *out_bool);
TN_MUST_CHECK tn_status tn_json_get_string(const tn_json_value *object, const char *key, tn_diag *diag, const char **out_string,
                                           size_t *out_size);
TN_MUST_CHECK tn_status tn_json_get_array(const tn_json_value *object, const char *key, tn_diag *diag, const tn_json_value **out_array);
TN_MUST_CHECK tn_status tn_json_get_object(const tn_json_value *object, const char *key, tn_diag *diag, const tn_json_value **out_object);

/* A member that may be absent or null: then the fallback, unchecked. Present, it must be right. */
TN_MUST_CHECK tn_status tn_json_get_integer_or(const tn_json_value *object, const char *key, int64_t min, int64_t max, int64_t fallback,
                                               tn_diag *diag, int64_t *out_integer);
TN_MUST_CHECK tn_status tn_json_get_number_or(const tn_json_value *object, const char *key, double min, double max, double fallback,
                                              tn_diag *diag, double *out_number);
TN_MUST_CHECK tn_status tn_json_get_bool_or(const tn_json_value *object, const char *key, bool fallback, tn_diag *diag, bool *out_bool);
TN_MUST_CHECK tn_status tn_json_get_string_or(const tn_json_value *object, const char *key, const char *fallback, tn_diag *diag,
                                              const char **out_string);

#endif
