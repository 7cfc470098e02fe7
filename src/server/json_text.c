/* SPDX-License-Identifier: Apache-2.0
 *
 * json_text.c: JSON values as text.
 */
#include "server/json_text.h"

#include <float.h>

static void append_string(const tn_json_value *value, tn_text *out) {
    const char *string;
    size_t size;
    if (tn_json_to_string(value, NULL, &string, &size) == TN_OK) tn_text_append_json_string(out, string, size);
}

static void append_children(const tn_json_value *value, bool is_object, tn_text *out) {
    tn_text_append_char(out, is_object ? '{' : '[');
    for (size_t i = 0; i < tn_json_count(value) && !out->failed; i++) {
        const tn_json_value *child = tn_json_at(value, i);
        if (i > 0) tn_text_append_string(out, ", ");
        if (is_object) {
            size_t size;
            const char *key = tn_json_key(child, &size);
            tn_text_append_json_string(out, key, size);
            tn_text_append_string(out, ": ");
        }
        tn_json_append(child, out);
    }
    tn_text_append_char(out, is_object ? '}' : ']');
}

void tn_json_append(const tn_json_value *value, tn_text *out) {
    bool truth = false;
    int64_t integer = 0;
    double number = 0.0;
    switch (tn_json_kind_of(value)) {
    case TN_JSON_NULL: tn_text_append_string(out, "null"); break;
    case TN_JSON_BOOL:
        (void)!tn_json_to_bool(value, NULL, &truth);
        tn_text_append_string(out, truth ? "true" : "false");
        break;
    case TN_JSON_INTEGER:
        (void)!tn_json_to_integer(value, INT64_MIN, INT64_MAX, NULL, &integer);
        tn_text_append_format(out, "%lld", (long long)integer);
        break;
    case TN_JSON_REAL:
        (void)!tn_json_to_number(value, -DBL_MAX, DBL_MAX, NULL, &number);
        tn_text_append_format(out, "%.17g", number);
        break;
    case TN_JSON_STRING: append_string(value, out); break;
    case TN_JSON_ARRAY: append_children(value, false, out); break;
    case TN_JSON_OBJECT: append_children(value, true, out); break;
    }
}
