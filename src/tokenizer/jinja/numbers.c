/* SPDX-License-Identifier: Apache-2.0
 *
 * numbers.c: filters that make numbers or compare.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/strings.h"

/* The number that a short text spells, white space around it; false: none. */
static bool read_number(tn_jinja_string text, bool as_integer, tn_jinja_value *out) {
    char digits[64], *end;
    tn_jinja_string inside = tn_jinja_strip(text, NULL, true, true);
    if (inside.size == 0 || inside.size >= sizeof digits || memchr(inside.data, 0, inside.size)) return false;
    memcpy(digits, inside.data, inside.size);
    digits[inside.size] = 0;
    if (strpbrk(digits, "xXpPnN")) return false; /* hexadecimal, nan, inf: read otherwise by Python */
    double real = strtod(digits, &end);
    if (*end != 0) return false;
    *out = (tn_jinja_value){.kind = TN_JINJA_FLOAT, .real = real};
    if (as_integer && inside.size < 19 && !strpbrk(digits, ".eE")) *out = tn_jinja_of_integer(strtoll(digits, NULL, 10));
    return true;
}

bool tn_jinja_filter_int(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)j;
    const tn_jinja_value *fallback = tn_jinja_argument(arguments, 0, "default");
    tn_jinja_value number = *input;
    if (input->kind == TN_JINJA_STRING && !read_number(input->string, true, &number)) number.kind = TN_JINJA_NONE;
    *out = fallback ? *fallback : tn_jinja_of_integer(0);
    if (number.kind == TN_JINJA_INTEGER) *out = number;
    if (number.kind == TN_JINJA_BOOL) *out = tn_jinja_of_integer(number.boolean);
    if (number.kind == TN_JINJA_FLOAT && number.real > -9e18 && number.real < 9e18) *out = tn_jinja_of_integer((int64_t)number.real);
    return true;
}

bool tn_jinja_filter_float(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)j;
    const tn_jinja_value *fallback = tn_jinja_argument(arguments, 0, "default");
    *out = fallback ? *fallback : (tn_jinja_value){.kind = TN_JINJA_FLOAT, .real = 0};
    if (input->kind == TN_JINJA_FLOAT) *out = *input;
    if (input->kind == TN_JINJA_INTEGER) *out = (tn_jinja_value){.kind = TN_JINJA_FLOAT, .real = (double)input->integer};
    if (input->kind == TN_JINJA_BOOL) *out = (tn_jinja_value){.kind = TN_JINJA_FLOAT, .real = input->boolean};
    if (input->kind == TN_JINJA_STRING) (void)read_number(input->string, false, out);
    return true;
}

bool tn_jinja_filter_abs(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    *out = *input;
    if (input->kind == TN_JINJA_FLOAT) {
        out->real = fabs(input->real);
    } else if (input->kind == TN_JINJA_INTEGER && input->integer != INT64_MIN) {
        out->integer = input->integer < 0 ? -input->integer : input->integer;
    } else {
        return tn_jinja_fail(j, TN_INVALID_DATA, "%s has no absolute value here", tn_jinja_kind_name(input));
    }
    return true;
}

/* Digits are cut as printf does it: the exact value, halves to even, as Python does it. */
bool tn_jinja_filter_round(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    const tn_jinja_value *precision = tn_jinja_argument(arguments, 0, "precision"), *method = tn_jinja_argument(arguments, 1, "method");
    char digits[400];
    if (method || (precision && (precision->kind != TN_JINJA_INTEGER || precision->integer < 0 || precision->integer > 15)))
        return tn_jinja_fail(j, TN_UNSUPPORTED, "this way of rounding is not supported");
    if (input->kind == TN_JINJA_INTEGER) {
        *out = *input;
        return true;
    }
    if (input->kind != TN_JINJA_FLOAT) return tn_jinja_fail(j, TN_INVALID_DATA, "%s cannot be rounded", tn_jinja_kind_name(input));
    snprintf(digits, sizeof digits, "%.*f", precision ? (int)precision->integer : 0, input->real);
    *out = (tn_jinja_value){.kind = TN_JINJA_FLOAT, .real = strtod(digits, NULL)};
    return true;
}

/* What an item is compared by: its attribute, text in lower case unless case_sensitive. */
static bool key_of(tn_jinja *j, const tn_jinja_value *item, const tn_jinja_value *attribute, const tn_jinja_value *with_case,
                   tn_jinja_value *out) {
    if (!tn_jinja_charge(j, 1) || !tn_jinja_attribute_of(j, item, attribute, out)) return false;
    if (out->kind != TN_JINJA_STRING || (with_case && tn_jinja_is_true(with_case))) return true;
    return tn_jinja_change_case(j, out->string, TN_CASE_LOWER, out);
}

/* The first item that no other is less than (sign 1) or greater than (-1). */
static bool extreme(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, int sign, tn_jinja_value *out) {
    const tn_jinja_list *items;
    const tn_jinja_value *with_case = tn_jinja_argument(arguments, 0, "case_sensitive"),
                         *attribute = tn_jinja_argument(arguments, 1, "attribute");
    tn_jinja_value best = {.kind = TN_JINJA_UNDEFINED}, key;
    *out = best;
    if (!tn_jinja_items(j, input, &items)) return false;
    for (size_t i = 0; i < items->count; i++) {
        int order = -sign;
        if (!key_of(j, &items->items[i], attribute, with_case, &key) || (i > 0 && !tn_jinja_compare(j, &key, &best, &order))) return false;
        if (i > 0 && order * sign >= 0) continue;
        best = key;
        *out = items->items[i];
    }
    return true;
}

bool tn_jinja_filter_min(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    return extreme(j, input, arguments, 1, out);
}

bool tn_jinja_filter_max(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    return extreme(j, input, arguments, -1, out);
}

bool tn_jinja_filter_sum(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    const tn_jinja_list *items;
    const tn_jinja_value *attribute = tn_jinja_argument(arguments, 0, "attribute"), *start = tn_jinja_argument(arguments, 1, "start");
    tn_jinja_value item;
    *out = start ? *start : tn_jinja_of_integer(0);
    if (!tn_jinja_items(j, input, &items)) return false;
    for (size_t i = 0; i < items->count; i++)
        if (!tn_jinja_charge(j, 1) || !tn_jinja_attribute_of(j, &items->items[i], attribute, &item) || !tn_jinja_add(j, out, &item, out))
            return false;
    return true;
}

/* Insertion keeps the order of equals; each comparison is a step. */
bool tn_jinja_filter_sort(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    const tn_jinja_list *items;
    const tn_jinja_value *reverse = tn_jinja_argument(arguments, 0, "reverse"), *attribute = tn_jinja_argument(arguments, 2, "attribute");
    const tn_jinja_value *with_case = tn_jinja_argument(arguments, 1, "case_sensitive");
    int sign = reverse && tn_jinja_is_true(reverse) ? -1 : 1;
    tn_jinja_value keys;
    if (!tn_jinja_items(j, input, &items) || !tn_jinja_list_create(j, items->count, out) || !tn_jinja_list_create(j, items->count, &keys))
        return false;
    for (size_t i = 0; i < items->count; i++) {
        tn_jinja_value key;
        size_t at = i;
        if (!key_of(j, &items->items[i], attribute, with_case, &key)) return false;
        for (; at > 0; at--) {
            int order;
            if (!tn_jinja_charge(j, 1) || !tn_jinja_compare(j, &keys.list->items[at - 1], &key, &order)) return false;
            if (order * sign <= 0) break;
            keys.list->items[at] = keys.list->items[at - 1];
            out->list->items[at] = out->list->items[at - 1];
        }
        keys.list->items[at] = key;
        out->list->items[at] = items->items[i];
    }
    out->list->count = keys.list->count = items->count;
    return true;
}
