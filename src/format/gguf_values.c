/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_values.c: what a metadata value is, and getters that say what it should have been.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/gguf.h"
#include "format/little_endian.h"

static const char *const type_names[TN_GGUF_NUM_TYPES] = {
    [TN_GGUF_UINT8] = "a uint8",   [TN_GGUF_INT8] = "an int8",    [TN_GGUF_UINT16] = "a uint16", [TN_GGUF_INT16] = "an int16",
    [TN_GGUF_UINT32] = "a uint32", [TN_GGUF_INT32] = "an int32",  [TN_GGUF_FLOAT32] = "a float", [TN_GGUF_BOOL] = "a bool",
    [TN_GGUF_STRING] = "a string", [TN_GGUF_UINT64] = "a uint64", [TN_GGUF_INT64] = "an int64",  [TN_GGUF_ARRAY] = "an array",
    [TN_GGUF_FLOAT64] = "a double"};

bool tn_gguf_type_is_integer(tn_gguf_value_type type) {
    return type <= TN_GGUF_INT32 || type == TN_GGUF_UINT64 || type == TN_GGUF_INT64;
}

bool tn_gguf_type_is_float(tn_gguf_value_type type) {
    return type == TN_GGUF_FLOAT32 || type == TN_GGUF_FLOAT64;
}

bool tn_gguf_integer(const tn_gguf_value *value, uint64_t index, int64_t *out_integer) {
    assert(index < value->count && (tn_gguf_type_is_integer(value->type) || value->type == TN_GGUF_BOOL));
    *out_integer = 0;
    switch (value->type) {
    case TN_GGUF_INT8: *out_integer = (int8_t)value->data[index]; return true;
    case TN_GGUF_UINT16: *out_integer = (uint16_t)tn_load_le(value->data + 2 * index, 2); return true;
    case TN_GGUF_INT16: *out_integer = (int16_t)tn_load_le(value->data + 2 * index, 2); return true;
    case TN_GGUF_UINT32: *out_integer = tn_load_le32(value->data + 4 * index); return true;
    case TN_GGUF_INT32: *out_integer = (int32_t)tn_load_le32(value->data + 4 * index); return true;
    case TN_GGUF_INT64: *out_integer = (int64_t)tn_load_le64(value->data + 8 * index); return true;
    case TN_GGUF_UINT64: {
        uint64_t wide = tn_load_le64(value->data + 8 * index);
        if (wide > INT64_MAX) return false;
        *out_integer = (int64_t)wide;
        return true;
    }
    default: *out_integer = value->data[index]; return true; /* uint8, bool */
    }
}

double tn_gguf_number(const tn_gguf_value *value, uint64_t index) {
    assert(index < value->count);
    if (value->type == TN_GGUF_FLOAT32) {
        uint32_t bits = tn_load_le32(value->data + 4 * index);
        float number;
        memcpy(&number, &bits, sizeof number);
        return (double)number;
    }
    if (value->type == TN_GGUF_FLOAT64) {
        uint64_t bits = tn_load_le64(value->data + 8 * index);
        double number;
        memcpy(&number, &bits, sizeof number);
        return number;
    }
    if (value->type == TN_GGUF_UINT64) return (double)tn_load_le64(value->data + 8 * index);
    int64_t integer;
    tn_gguf_integer(value, index, &integer);
    return (double)integer;
}

const char *tn_gguf_string(const tn_gguf_value *value, uint64_t index, size_t *out_size) {
    assert(index < value->count && value->type == TN_GGUF_STRING);
    const uint8_t *start = value->data + value->string_starts[index];
    *out_size = tn_load_le64(start - 8);
    return (const char *)start;
}

static tn_status refuse(const tn_gguf *gguf, const char *key, tn_diag *diag, const char *format, ...) TN_PRINTF(4, 5);
static tn_status refuse(const tn_gguf *gguf, const char *key, tn_diag *diag, const char *format, ...) {
    char reason[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return tn_fail_at(diag, TN_INVALID_DATA, &(tn_where){.file = tn_gguf_name(gguf), .subject = key}, "%s: '%s' %s", tn_gguf_name(gguf),
                      key, reason);
}

static tn_status refuse_missing(const tn_gguf *gguf, const char *key, tn_diag *diag) {
    return refuse(gguf, key, diag, "is missing");
}

static tn_status refuse_type(const tn_gguf *gguf, const tn_gguf_value *value, tn_diag *diag, const char *rule) {
    return refuse(gguf, value->key, diag, "is %s%s, must be %s", value->is_array ? "an array, each " : "", type_names[value->type], rule);
}

static tn_status to_integer(const tn_gguf *gguf, const tn_gguf_value *value, int64_t min, int64_t max, tn_diag *diag,
                            int64_t *out_integer) {
    char rule[96];
    if (value->is_array || !tn_gguf_type_is_integer(value->type)) {
        snprintf(rule, sizeof rule, "an integer from %" PRId64 " to %" PRId64, min, max);
        return refuse_type(gguf, value, diag, rule);
    }
    int64_t integer;
    if (!tn_gguf_integer(value, 0, &integer))
        return refuse(gguf, value->key, diag, "is %" PRIu64 ", must be %" PRId64 " to %" PRId64, tn_load_le64(value->data), min, max);
    if (integer < min || integer > max)
        return refuse(gguf, value->key, diag, "is %" PRId64 ", must be %" PRId64 " to %" PRId64, integer, min, max);
    *out_integer = integer;
    return TN_OK;
}

static tn_status to_number(const tn_gguf *gguf, const tn_gguf_value *value, double min, double max, tn_diag *diag, double *out_number) {
    if (value->is_array || !(tn_gguf_type_is_integer(value->type) || tn_gguf_type_is_float(value->type)))
        return refuse_type(gguf, value, diag, "a number");
    double number = tn_gguf_number(value, 0);
    if (!(number >= min && number <= max)) return refuse(gguf, value->key, diag, "is %.9g, must be %g to %g", number, min, max);
    *out_number = number;
    return TN_OK;
}

static tn_status to_bool(const tn_gguf *gguf, const tn_gguf_value *value, tn_diag *diag, bool *out_bool) {
    if (value->is_array || value->type != TN_GGUF_BOOL) return refuse_type(gguf, value, diag, "a bool");
    *out_bool = value->data[0] != 0;
    return TN_OK;
}

tn_status tn_gguf_get_integer(const tn_gguf *gguf, const char *key, int64_t min, int64_t max, tn_diag *diag, int64_t *out_integer) {
    *out_integer = 0;
    const tn_gguf_value *value = tn_gguf_find(gguf, key);
    return value != NULL ? to_integer(gguf, value, min, max, diag, out_integer) : refuse_missing(gguf, key, diag);
}

tn_status tn_gguf_get_number(const tn_gguf *gguf, const char *key, double min, double max, tn_diag *diag, double *out_number) {
    *out_number = 0;
    const tn_gguf_value *value = tn_gguf_find(gguf, key);
    return value != NULL ? to_number(gguf, value, min, max, diag, out_number) : refuse_missing(gguf, key, diag);
}

tn_status tn_gguf_get_bool(const tn_gguf *gguf, const char *key, tn_diag *diag, bool *out_bool) {
    *out_bool = false;
    const tn_gguf_value *value = tn_gguf_find(gguf, key);
    return value != NULL ? to_bool(gguf, value, diag, out_bool) : refuse_missing(gguf, key, diag);
}

tn_status tn_gguf_get_string(const tn_gguf *gguf, const char *key, tn_diag *diag, const char **out_bytes, size_t *out_size) {
    *out_bytes = NULL;
    *out_size = 0;
    const tn_gguf_value *value = tn_gguf_find(gguf, key);
    if (value == NULL) return refuse_missing(gguf, key, diag);
    if (value->is_array || value->type != TN_GGUF_STRING) return refuse_type(gguf, value, diag, "a string");
    *out_bytes = tn_gguf_string(value, 0, out_size);
    return TN_OK;
}

tn_status tn_gguf_get_array(const tn_gguf *gguf, const char *key, tn_gguf_value_type kind, tn_diag *diag, const tn_gguf_value **out_value) {
    assert(kind == TN_GGUF_STRING || kind == TN_GGUF_INT64 || kind == TN_GGUF_FLOAT64);
    *out_value = NULL;
    const tn_gguf_value *value = tn_gguf_find(gguf, key);
    if (value == NULL) return refuse_missing(gguf, key, diag);
    bool fits = kind == TN_GGUF_STRING  ? value->type == TN_GGUF_STRING
                : kind == TN_GGUF_INT64 ? tn_gguf_type_is_integer(value->type)
                                        : tn_gguf_type_is_float(value->type);
    if (!value->is_array || !fits) {
        return refuse_type(gguf, value, diag,
                           kind == TN_GGUF_STRING  ? "an array of strings"
                           : kind == TN_GGUF_INT64 ? "an array of integers"
                                                   : "an array of floats");
    }
    *out_value = value;
    return TN_OK;
}

tn_status tn_gguf_get_integer_or(const tn_gguf *gguf, const char *key, int64_t min, int64_t max, int64_t fallback, tn_diag *diag,
                                 int64_t *out_integer) {
    const tn_gguf_value *value = tn_gguf_find(gguf, key);
    *out_integer = value == NULL ? fallback : 0;
    return value != NULL ? to_integer(gguf, value, min, max, diag, out_integer) : TN_OK;
}

tn_status tn_gguf_get_number_or(const tn_gguf *gguf, const char *key, double min, double max, double fallback, tn_diag *diag,
                                double *out_number) {
    const tn_gguf_value *value = tn_gguf_find(gguf, key);
    *out_number = value == NULL ? fallback : 0;
    return value != NULL ? to_number(gguf, value, min, max, diag, out_number) : TN_OK;
}

tn_status tn_gguf_get_bool_or(const tn_gguf *gguf, const char *key, bool fallback, tn_diag *diag, bool *out_bool) {
    const tn_gguf_value *value = tn_gguf_find(gguf, key);
    *out_bool = value == NULL && fallback;
    return value != NULL ? to_bool(gguf, value, diag, out_bool) : TN_OK;
}
