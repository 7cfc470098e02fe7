/* SPDX-License-Identifier: Apache-2.0
 *
 * fields.c: reads a body by the table.
 */
#include "server/fields.h"

#include <string.h>

#include "format/quote.h"

typedef enum field_kind {
    FIELD_INTEGER,
    FIELD_NUMBER,
    FIELD_BOOLEAN,
    FIELD_STRING,
    FIELD_VALUE,
    FIELD_NO_EFFECT,
    FIELD_REFUSED
} field_kind;

typedef struct field {
    const char *name;
    int routes;
    field_kind kind;
    size_t offset; /* in tn_api_fields */
    int64_t min_integer, max_integer;
    double min_number, max_number;
    const char *text;
} field;

#define COMPLETIONS TN_FIELDS_COMPLETIONS
#define CHAT        TN_FIELDS_CHAT
#define TOKENIZE    TN_FIELDS_TOKENIZE
#define DETOKENIZE  TN_FIELDS_DETOKENIZE
#define TEMPLATE    TN_FIELDS_TEMPLATE
#define EMBEDDINGS  TN_FIELDS_EMBEDDINGS

#define INTEGER(bits, field_name, member, min, max, fallback, words) \
    {.name = #field_name,                                            \
     .routes = (bits),                                               \
     .kind = FIELD_INTEGER,                                          \
     .offset = offsetof(tn_api_fields, member),                      \
     .min_integer = (min),                                           \
     .max_integer = (max)},
#define NUMBER(bits, field_name, member, min, max, fallback, words) \
    {.name = #field_name,                                           \
     .routes = (bits),                                              \
     .kind = FIELD_NUMBER,                                          \
     .offset = offsetof(tn_api_fields, member),                     \
     .min_number = (min),                                           \
     .max_number = (max)},
#define BOOLEAN(bits, field_name, member, fallback, words) \
    {.name = #field_name, .routes = (bits), .kind = FIELD_BOOLEAN, .offset = offsetof(tn_api_fields, member)},
#define STRING(bits, field_name, member, words) \
    {.name = #field_name, .routes = (bits), .kind = FIELD_STRING, .offset = offsetof(tn_api_fields, member)},
#define VALUE(bits, field_name, member, shape, words) \
    {.name = #field_name, .routes = (bits), .kind = FIELD_VALUE, .offset = offsetof(tn_api_fields, member)},
#define NO_EFFECT(bits, field_name, words) {.name = #field_name, .routes = (bits), .kind = FIELD_NO_EFFECT},
#define REFUSED(bits, field_name, words)   {.name = #field_name, .routes = (bits), .kind = FIELD_REFUSED, .text = (words)},

static const field fields[] = {
#include "server/fields.def"
};
enum { NUM_FIELDS = sizeof fields / sizeof *fields };

#undef INTEGER
#undef NUMBER
#undef BOOLEAN
#undef STRING
#undef VALUE
#undef NO_EFFECT
#undef REFUSED
#define INTEGER(bits, field_name, member, min, max, fallback, words) .member = (fallback),
#define NUMBER(bits, field_name, member, min, max, fallback, words)  .member = (fallback),
#define BOOLEAN(bits, field_name, member, fallback, words)           .member = (fallback),
#define STRING(bits, field_name, member, words)
#define VALUE(bits, field_name, member, shape, words)
#define NO_EFFECT(bits, field_name, words)
#define REFUSED(bits, field_name, words)

static const tn_api_fields defaults = {
#include "server/fields.def"
};

bool tn_fields_parse(const char *body, size_t size_bytes, const tn_allocator *allocator, tn_diag *diag, tn_json **out_json,
                     tn_api_error *error) {
    /* A prompt of ids has a value for each token: the most that a context could hold, and then some. */
    static const tn_json_limits limits = {.max_bytes = SIZE_MAX, .max_values = 2000000, .max_depth = 64};
    tn_diag_clear(diag);
    tn_status status = tn_json_parse("the body", body, size_bytes, &limits, allocator, diag, out_json);
    if (status != TN_OK) return tn_api_fail_from(error, status, diag, NULL);
    if (tn_json_kind_of(tn_json_root(*out_json)) == TN_JSON_OBJECT) return true;
    tn_json_destroy(*out_json);
    *out_json = NULL;
    return tn_api_fail(error, 400, "invalid_value", NULL, "the body is not a JSON object");
}

static const field *find_field(const char *name, int route) {
    for (size_t i = 0; i < NUM_FIELDS; i++)
        if ((fields[i].routes & route) != 0 && strcmp(fields[i].name, name) == 0) return &fields[i];
    return NULL;
}

/* A field of that name that is about the same: one letter more, less or other, for a hint. */
static const char *find_similar(const char *name, int route) {
    size_t length = strlen(name);
    for (size_t i = 0; i < NUM_FIELDS; i++) {
        const char *other = fields[i].name;
        size_t other_length = strlen(other), same = 0, same_end = 0;
        if ((fields[i].routes & route) == 0 || other_length + 1 < length || length + 1 < other_length) continue;
        while (same < length && same < other_length && name[same] == other[same]) same++;
        while (same_end < length - same && same_end < other_length - same &&
               name[length - 1 - same_end] == other[other_length - 1 - same_end])
            same_end++;
        if (same + same_end + 1 >= (length > other_length ? length : other_length)) return other;
    }
    return NULL;
}

static bool refuse_unknown(const char *name, int route, tn_api_error *error) {
    char quoted[TN_QUOTE_SIZE];
    const char *similar = find_similar(name, route);
    return tn_api_fail(error, 400, "unknown_field", NULL, "this route has no field '%s'%s%s%s", tn_quote(name, strlen(name), quoted),
                       similar != NULL ? "; did you mean '" : "", similar != NULL ? similar : "", similar != NULL ? "'?" : "");
}

static bool read_field(const field *row, const tn_json_value *value, tn_diag *diag, tn_api_fields *out, tn_api_error *error) {
    void *member = (char *)out + row->offset;
    tn_status status = TN_OK;
    switch (row->kind) {
    case FIELD_INTEGER: status = tn_json_to_integer(value, row->min_integer, row->max_integer, diag, member); break;
    case FIELD_NUMBER: status = tn_json_to_number(value, row->min_number, row->max_number, diag, member); break;
    case FIELD_BOOLEAN: status = tn_json_to_bool(value, diag, member); break;
    case FIELD_STRING: status = tn_json_to_string(value, diag, member, NULL); break;
    case FIELD_VALUE: *(const tn_json_value **)member = value; break;
    case FIELD_NO_EFFECT: break;
    case FIELD_REFUSED: return tn_api_fail(error, 400, "unsupported", row->name, "'%s' is not supported: %s", row->name, row->text);
    }
    return status == TN_OK || tn_api_fail_from(error, status, diag, row->name);
}

bool tn_fields_read(const tn_json_value *body, int route, tn_diag *diag, tn_api_fields *out, tn_api_error *error) {
    *out = defaults;
    tn_diag_clear(diag);
    for (size_t i = 0; i < tn_json_count(body); i++) {
        const tn_json_value *value = tn_json_at(body, i);
        const char *name = tn_json_key(value, NULL);
        const field *row = find_field(name, route);
        if (row == NULL) return refuse_unknown(name, route, error);
        if (tn_json_kind_of(value) == TN_JSON_NULL) continue;
        if (!read_field(row, value, diag, out, error)) return false;
    }
    return true;
}
