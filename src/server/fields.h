/* SPDX-License-Identifier: Apache-2.0
 *
 * fields.h: a request's body as checked values: the one way from JSON to numbers that the rest of the server trusts.
 *
 * The table is fields.def. What it calls VALUE is handed on as JSON; its readers are in prompt.c, chat.c and sampling.c.
 */
#ifndef TN_SERVER_FIELDS_H_
#define TN_SERVER_FIELDS_H_

#include <stdint.h>

#include "format/json.h"
#include "server/api_error.h"

enum {
    TN_FIELDS_COMPLETIONS = 1 << 0,
    TN_FIELDS_CHAT = 1 << 1,
    TN_FIELDS_TOKENIZE = 1 << 2,
    TN_FIELDS_DETOKENIZE = 1 << 3,
    TN_FIELDS_TEMPLATE = 1 << 4,
    TN_FIELDS_EMBEDDINGS = 1 << 5,
};

typedef struct tn_api_fields {
#define INTEGER(routes, name, member, min, max, fallback, text) int64_t member;
#define NUMBER(routes, name, member, min, max, fallback, text)  double member;
#define BOOLEAN(routes, name, member, fallback, text)           bool member;
#define STRING(routes, name, member, text)                      const char *member;          /* NULL: not given */
#define VALUE(routes, name, member, shape, text)                const tn_json_value *member; /* NULL: not given */
#define NO_EFFECT(routes, name, text)
#define REFUSED(routes, name, text)
#include "server/fields.def"
#undef INTEGER
#undef NUMBER
#undef BOOLEAN
#undef STRING
#undef VALUE
#undef NO_EFFECT
#undef REFUSED
} tn_api_fields;

/* Parses a body within limits; 400 with what is wrong and where. `diag` is scratch: cleared by each call. */
bool tn_fields_parse(const char *body, size_t size_bytes, const tn_allocator *allocator, tn_diag *diag, tn_json **out_json,
                     tn_api_error *error);
/* Reads the object's fields by the table; `route` is one TN_FIELDS_ bit. What `out` lends lives as long as the document. */
bool tn_fields_read(const tn_json_value *body, int route, tn_diag *diag, tn_api_fields *out, tn_api_error *error);

#endif
