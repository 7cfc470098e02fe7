/* SPDX-License-Identifier: Apache-2.0
 *
 * json_fuzz.c: any bytes as a document; every value of it through every getter.
 */
#include <math.h>

#include "format/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void visit(const tn_json_value *value, tn_diag *diag) {
    int64_t integer;
    double number;
    bool flag;
    const char *string;
    (void)tn_json_to_integer(value, -5, 5, diag, &integer);
    (void)tn_json_to_number(value, -INFINITY, INFINITY, diag, &number);
    (void)tn_json_to_bool(value, diag, &flag);
    (void)tn_json_to_string(value, diag, &string, NULL);
    (void)tn_json_get_integer_or(value, "a", 0, 5, 1, diag, &integer);
    (void)tn_json_get_number_or(value, "a", 0, 5, 1, diag, &number);
    (void)tn_json_get_bool_or(value, "a", true, diag, &flag);
    (void)tn_json_get_string_or(value, "a", "", diag, &string);
    (void)tn_json_get_integer(value, "a", 0, 5, diag, &integer);
    (void)tn_json_get_number(value, "a", 0, 5, diag, &number);
    (void)tn_json_get_bool(value, "a", diag, &flag);
    (void)tn_json_get_string(value, "a", diag, &string, NULL);
    (void)tn_json_get_array(value, "a", diag, &value);
    tn_diag_clear(diag);
}

static void walk(const tn_json_value *value, tn_diag *diag) {
    visit(value, diag);
    for (size_t i = 0; i < tn_json_count(value); i++) walk(tn_json_at(value, i), diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    const tn_json_limits limits = {.max_values = 10000};
    tn_json *json;
    if (tn_json_parse("fuzz", (const char *)data, size, &limits, NULL, diag, &json) == TN_OK) walk(tn_json_root(json), diag);
    tn_json_destroy(json);
    tn_diag_destroy(diag);
    return 0;
}
