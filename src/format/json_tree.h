/* SPDX-License-Identifier: Apache-2.0
 *
 * json_tree.h: what json_parse.c builds and json.c looks at. Only these two include it.
 */
#ifndef TN_FORMAT_JSON_TREE_H_
#define TN_FORMAT_JSON_TREE_H_

#include "format/json.h"

struct tn_json_value {
    const char *key;             /* of an object's member; of the root: the document's name; else NULL */
    const tn_json_value *parent; /* NULL: the root */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *string;
        tn_json_value *children; /* [size], in the order of the text */
    } as;
    uint32_t key_size, size; /* size: bytes of a string, children of a container */
    uint32_t offset;         /* where the value begins in the text */
    tn_json_kind kind;
};

struct tn_json {
    const tn_allocator *allocator;
    tn_allocator allocator_copy;
    char *name;
    tn_json_value *values; /* values[0] is the root; children of one container are neighbours */
    char *strings;
};

/* What json->strings has more than the text: a number is copied there, with the locale's decimal point and a NUL. */
#define TN_JSON_STRINGS_SLACK 16

/* Fills json->values, which has room for num_values (an upper bound that the scan found, ≥ 1), and json->strings. Nesting is
 * at most 512 levels: the scan saw to that. */
TN_MUST_CHECK tn_status tn_json_parse_values(tn_json *json, const char *text, size_t size_bytes, size_t num_values, tn_diag *diag);

/* Reports "cannot read <name>: <reason> at byte <offset> (line <n>)" and returns TN_INVALID_DATA. */
tn_status tn_json_refuse_text(const char *name, size_t offset, const char *text, tn_diag *diag, const char *reason);

#endif
