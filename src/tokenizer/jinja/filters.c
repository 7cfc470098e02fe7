/* SPDX-License-Identifier: Apache-2.0
 *
 * filters.c: filters and tests. A name that is not here is refused when the template reaches it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/strings.h"

/* The input's text: strings as they are, all else printed. */
static bool text_of(tn_jinja *j, const tn_jinja_value *input, tn_jinja_string *out) {
    if (input->kind == TN_JINJA_STRING) {
        *out = input->string;
        return true;
    }
    tn_jinja_builder builder = {0};
    if (!tn_jinja_print(j, &builder, input, false)) return false;
    *out = tn_jinja_built(&builder);
    return true;
}

static bool filter_trim(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    tn_jinja_string text;
    const tn_jinja_value *set = tn_jinja_argument(arguments, 0, "chars");
    if (!text_of(j, input, &text)) return false;
    *out = tn_jinja_of_string(tn_jinja_strip(text, set && set->kind == TN_JINJA_STRING ? &set->string : NULL, true, true));
    return true;
}

static bool filter_length(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    if (input->kind == TN_JINJA_STRING) {
        int64_t count = 0;
        for (size_t i = 0; i < input->string.size; i++) count += ((unsigned char)input->string.data[i] & 0xC0) != 0x80;
        *out = tn_jinja_of_integer(count);
        return tn_jinja_charge(j, input->string.size / 64);
    }
    const tn_jinja_list *items;
    if (!tn_jinja_items(j, input, &items)) return false;
    *out = tn_jinja_of_integer((int64_t)items->count);
    return true;
}

static bool filter_default(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)j;
    const tn_jinja_value *fallback = tn_jinja_argument(arguments, 0, "default_value"),
                         *also_false = tn_jinja_argument(arguments, 1, "boolean");
    bool is_missing = input->kind == TN_JINJA_UNDEFINED || (also_false && tn_jinja_is_true(also_false) && !tn_jinja_is_true(input));
    *out = !is_missing ? *input : fallback ? *fallback : tn_jinja_of_text("");
    return true;
}

static bool change_case(tn_jinja *j, const tn_jinja_value *input, tn_jinja_case to, tn_jinja_value *out) {
    tn_jinja_string text;
    return text_of(j, input, &text) && tn_jinja_change_case(j, text, to, out);
}
static bool filter_upper(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    return change_case(j, input, TN_CASE_UPPER, out);
}
static bool filter_lower(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    return change_case(j, input, TN_CASE_LOWER, out);
}
static bool filter_capitalize(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    return change_case(j, input, TN_CASE_CAPITALIZE, out);
}
static bool filter_title(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    return change_case(j, input, TN_CASE_WORDS, out);
}

bool tn_jinja_attribute_of(tn_jinja *j, const tn_jinja_value *item, const tn_jinja_value *attribute, tn_jinja_value *out) {
    *out = *item;
    if (!attribute || attribute->kind == TN_JINJA_NONE) return true;
    if (attribute->kind != TN_JINJA_STRING || memchr(attribute->string.data, '.', attribute->string.size))
        return tn_jinja_fail(j, TN_UNSUPPORTED, "an attribute that is no plain name is not supported");
    *out = (tn_jinja_value){.kind = TN_JINJA_UNDEFINED};
    if (item->kind != TN_JINJA_DICT) return true;
    const tn_jinja_value *found = tn_jinja_dict_find(j, item->dict, attribute);
    if (found) *out = *found;
    return j->status == TN_OK;
}

static bool filter_join(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    const tn_jinja_value *separator = tn_jinja_argument(arguments, 0, "d"), *attribute = tn_jinja_argument(arguments, 1, "attribute");
    const tn_jinja_list *items;
    tn_jinja_builder builder = {0};
    if (!tn_jinja_items(j, input, &items)) return false;
    for (size_t i = 0; i < items->count; i++) {
        tn_jinja_value item;
        if (i > 0 && separator && !tn_jinja_print(j, &builder, separator, false)) return false;
        if (!tn_jinja_attribute_of(j, &items->items[i], attribute, &item) || !tn_jinja_print(j, &builder, &item, false)) return false;
    }
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

static bool pick(tn_jinja *j, const tn_jinja_value *input, bool last, tn_jinja_value *out) {
    const tn_jinja_list *items;
    if (!tn_jinja_items(j, input, &items)) return false;
    *out = (tn_jinja_value){.kind = TN_JINJA_UNDEFINED};
    if (items->count > 0) *out = items->items[last ? items->count - 1 : 0];
    return true;
}
static bool filter_first(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    return pick(j, input, false, out);
}
static bool filter_last(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    return pick(j, input, true, out);
}

static bool become_lazy(tn_jinja_value *list) {
    list->list->sequence = TN_JINJA_LAZY;
    return true;
}

static bool copy_items(tn_jinja *j, const tn_jinja_value *input, bool reverse, tn_jinja_value *out) {
    const tn_jinja_list *items;
    if (!tn_jinja_items(j, input, &items) || !tn_jinja_charge(j, items->count / 16) || !tn_jinja_list_create(j, items->count, out))
        return false;
    for (size_t i = 0; i < items->count; i++) out->list->items[i] = items->items[reverse ? items->count - 1 - i : i];
    out->list->count = items->count;
    return true;
}
static bool filter_list(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    return copy_items(j, input, false, out);
}
static bool filter_reverse(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    if (input->kind == TN_JINJA_STRING) {
        const tn_jinja_list *items;
        tn_jinja_builder builder = {0};
        if (!tn_jinja_items(j, input, &items)) return false;
        for (size_t i = items->count; i > 0; i--)
            if (!tn_jinja_append(j, &builder, items->items[i - 1].string)) return false;
        *out = tn_jinja_of_string(tn_jinja_built(&builder));
        return true;
    }
    return copy_items(j, input, true, out) && become_lazy(out);
}

static bool filter_string(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    tn_jinja_string text;
    if (!text_of(j, input, &text)) return false;
    *out = tn_jinja_of_string(text);
    return true;
}

static bool filter_safe(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    if (!filter_string(j, input, arguments, out)) return false;
    out->string.is_safe = true;
    return true;
}

static bool filter_replace(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    tn_jinja_string text;
    return text_of(j, input, &text) && tn_jinja_replace(j, text, arguments, out);
}

static bool filter_items(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    if (input->kind == TN_JINJA_UNDEFINED) return tn_jinja_list_create(j, 0, out);
    if (input->kind != TN_JINJA_DICT) return tn_jinja_fail(j, TN_INVALID_DATA, "%s has no items", tn_jinja_kind_name(input));
    return tn_jinja_pairs(j, input->dict, out);
}

static bool filter_dictsort(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    if (arguments->num_positional + arguments->num_named > 0)
        return tn_jinja_fail(j, TN_UNSUPPORTED, "dictsort with arguments is not supported");
    if (!filter_items(j, input, arguments, out)) return false;
    tn_jinja_value *items = out->list->items;
    for (size_t i = 1; i < out->list->count; i++)
        for (size_t k = i; k > 0; k--) {
            int order;
            tn_jinja_value a, b;
            if (!tn_jinja_charge(j, 1) || !change_case(j, &items[k - 1].list->items[0], TN_CASE_LOWER, &a) ||
                !change_case(j, &items[k].list->items[0], TN_CASE_LOWER, &b) || !tn_jinja_compare(j, &a, &b, &order))
                return false;
            if (order <= 0) break;
            tn_jinja_value swap = items[k];
            items[k] = items[k - 1];
            items[k - 1] = swap;
        }
    return true;
}

static bool filter_unique(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    (void)arguments;
    const tn_jinja_list *items;
    if (!tn_jinja_items(j, input, &items) || !tn_jinja_list_create(j, 0, out)) return false;
    for (size_t i = 0; i < items->count; i++) {
        bool known;
        if (!tn_jinja_contains(j, out, &items->items[i], &known)) return false;
        if (!known && !tn_jinja_list_push(j, out->list, items->items[i])) return false;
    }
    return become_lazy(out);
}

/* What map and select walk over: nothing where the input is false, None among it. */
static bool items_if_true(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_list **out_items) {
    static const tn_jinja_value nothing = {.kind = TN_JINJA_UNDEFINED};
    return tn_jinja_items(j, tn_jinja_is_true(input) ? input : &nothing, out_items);
}

/* map(attribute="x"), map("filter", …) */
static bool filter_map(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    const tn_jinja_list *items;
    const tn_jinja_value *attribute = tn_jinja_argument(arguments, SIZE_MAX, "attribute"), *name = tn_jinja_argument(arguments, 0, NULL);
    char filter_name[32];
    if (!items_if_true(j, input, &items) || !tn_jinja_list_create(j, 0, out)) return false;
    if (!attribute && (!name || name->kind != TN_JINJA_STRING || name->string.size >= sizeof filter_name))
        return tn_jinja_fail(j, TN_INVALID_DATA, "map needs a filter's name or an attribute");
    tn_jinja_arguments rest = *arguments;
    if (!attribute) {
        memcpy(filter_name, name->string.data, name->string.size);
        filter_name[name->string.size] = 0;
        if (strcmp(filter_name, "map") == 0) return tn_jinja_fail(j, TN_UNSUPPORTED, "map of map is not supported");
        rest.num_positional--;
        memmove(rest.positional, rest.positional + 1, rest.num_positional * sizeof *rest.positional);
    }
    for (size_t i = 0; i < items->count; i++) {
        tn_jinja_value item;
        bool fits = attribute ? tn_jinja_attribute_of(j, &items->items[i], attribute, &item)
                              : tn_jinja_filter(j, filter_name, &items->items[i], &rest, &item);
        if (!fits || !tn_jinja_list_push(j, out->list, item)) return false;
    }
    return become_lazy(out);
}

/* select, reject, selectattr, rejectattr: by a test, or by truth. */
static bool choose(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, bool has_attribute, bool wanted,
                   tn_jinja_value *out) {
    const tn_jinja_list *items;
    size_t skip = has_attribute ? 1 : 0;
    const tn_jinja_value *attribute = has_attribute ? tn_jinja_argument(arguments, 0, NULL) : NULL;
    const tn_jinja_value *test = tn_jinja_argument(arguments, skip, NULL);
    char name[32] = "";
    if (!items_if_true(j, input, &items) || !tn_jinja_list_create(j, 0, out)) return false;
    if (has_attribute && !attribute) return tn_jinja_fail(j, TN_INVALID_DATA, "selectattr and rejectattr need an attribute");
    tn_jinja_arguments rest = *arguments;
    if (test) {
        if (test->kind != TN_JINJA_STRING || test->string.size >= sizeof name)
            return tn_jinja_fail(j, TN_INVALID_DATA, "a test's name is no name");
        memcpy(name, test->string.data, test->string.size);
        rest.num_positional -= skip + 1;
        memmove(rest.positional, rest.positional + skip + 1, rest.num_positional * sizeof *rest.positional);
    }
    for (size_t i = 0; i < items->count; i++) {
        tn_jinja_value item;
        bool passes;
        if (!tn_jinja_charge(j, 1) || !tn_jinja_attribute_of(j, &items->items[i], attribute, &item)) return false;
        passes = tn_jinja_is_true(&item);
        if (test && !tn_jinja_test(j, name, &item, &rest, &passes)) return false;
        if (passes == wanted && !tn_jinja_list_push(j, out->list, items->items[i])) return false;
    }
    return become_lazy(out);
}
static bool filter_select(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    return choose(j, input, arguments, false, true, out);
}
static bool filter_reject(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    return choose(j, input, arguments, false, false, out);
}
static bool filter_selectattr(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    return choose(j, input, arguments, true, true, out);
}
static bool filter_rejectattr(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    return choose(j, input, arguments, true, false, out);
}

/* Every line but the first gets `width` spaces; blank ones only if asked. */
static bool filter_indent(tn_jinja *j, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    tn_jinja_string text;
    const tn_jinja_value *width = tn_jinja_argument(arguments, 0, "width"), *first = tn_jinja_argument(arguments, 1, "first"),
                         *blank = tn_jinja_argument(arguments, 2, "blank");
    if (!text_of(j, input, &text)) return false;
    if (width && (width->kind != TN_JINJA_INTEGER || width->integer < 0 || width->integer > 64))
        return tn_jinja_fail(j, TN_UNSUPPORTED, "this width of indent is not supported");
    size_t count = width ? (size_t)width->integer : 4;
    static const char spaces[] = "                                                                ";
    tn_jinja_builder builder = {0};
    for (size_t at = 0, line = 0; at <= text.size; line++) {
        const char *newline = at < text.size ? memchr(text.data + at, '\n', text.size - at) : NULL;
        size_t end = newline ? (size_t)(newline - text.data) + 1 : text.size;
        bool is_blank = end == at || (newline && end == at + 1);
        bool indents = line == 0 ? first && tn_jinja_is_true(first) : !is_blank || (blank && tn_jinja_is_true(blank));
        if (indents && !tn_jinja_append_bytes(j, &builder, spaces, count, 0)) return false;
        if (!tn_jinja_append(j, &builder, tn_jinja_slice(text, at, end))) return false;
        if (!newline) break;
        at = end;
    }
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

bool tn_jinja_filter(tn_jinja *j, const char *name, const tn_jinja_value *input, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    static const struct {
        const char *name;
        tn_jinja_filter_fn *run;
    } filters[] = {
        {"trim", filter_trim},
        {"length", filter_length},
        {"count", filter_length},
        {"default", filter_default},
        {"d", filter_default},
        {"upper", filter_upper},
        {"lower", filter_lower},
        {"capitalize", filter_capitalize},
        {"title", filter_title},
        {"join", filter_join},
        {"tojson", tn_jinja_filter_tojson},
        {"first", filter_first},
        {"last", filter_last},
        {"list", filter_list},
        {"reverse", filter_reverse},
        {"string", filter_string},
        {"safe", filter_safe},
        {"int", tn_jinja_filter_int},
        {"float", tn_jinja_filter_float},
        {"abs", tn_jinja_filter_abs},
        {"round", tn_jinja_filter_round},
        {"min", tn_jinja_filter_min},
        {"max", tn_jinja_filter_max},
        {"sum", tn_jinja_filter_sum},
        {"sort", tn_jinja_filter_sort},
        {"replace", filter_replace},
        {"items", filter_items},
        {"dictsort", filter_dictsort},
        {"unique", filter_unique},
        {"map", filter_map},
        {"select", filter_select},
        {"reject", filter_reject},
        {"selectattr", filter_selectattr},
        {"rejectattr", filter_rejectattr},
        {"indent", filter_indent},
    };
    if (!tn_jinja_charge(j, 1)) return false;
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (strcmp(name, filters[i].name) == 0) return filters[i].run(j, input, arguments, out);
    return tn_jinja_fail(j, TN_UNSUPPORTED, "the filter '%.64s' is not supported", name);
}

/* ---- tests ---- */

static bool is_kind(const char *name, const tn_jinja_value *v, bool *out) {
    bool is_number = v->kind == TN_JINJA_INTEGER || v->kind == TN_JINJA_FLOAT || v->kind == TN_JINJA_BOOL;
    bool is_mapping = v->kind == TN_JINJA_DICT;
    if (strcmp(name, "defined") == 0)
        *out = v->kind != TN_JINJA_UNDEFINED;
    else if (strcmp(name, "undefined") == 0)
        *out = v->kind == TN_JINJA_UNDEFINED;
    else if (strcmp(name, "none") == 0)
        *out = v->kind == TN_JINJA_NONE;
    else if (strcmp(name, "string") == 0)
        *out = v->kind == TN_JINJA_STRING;
    else if (strcmp(name, "number") == 0)
        *out = is_number;
    else if (strcmp(name, "integer") == 0)
        *out = v->kind == TN_JINJA_INTEGER;
    else if (strcmp(name, "float") == 0)
        *out = v->kind == TN_JINJA_FLOAT;
    else if (strcmp(name, "boolean") == 0)
        *out = v->kind == TN_JINJA_BOOL;
    else if (strcmp(name, "true") == 0)
        *out = v->kind == TN_JINJA_BOOL && v->boolean;
    else if (strcmp(name, "false") == 0)
        *out = v->kind == TN_JINJA_BOOL && !v->boolean;
    else if (strcmp(name, "mapping") == 0)
        *out = is_mapping;
    else if (strcmp(name, "iterable") == 0)
        *out = is_mapping || v->kind == TN_JINJA_LIST || v->kind == TN_JINJA_STRING || v->kind == TN_JINJA_UNDEFINED;
    else if (strcmp(name, "sequence") == 0)
        *out = is_mapping || v->kind == TN_JINJA_LIST || v->kind == TN_JINJA_STRING || v->kind == TN_JINJA_UNDEFINED;
    else if (strcmp(name, "callable") == 0)
        *out = v->kind == TN_JINJA_MACRO || v->kind == TN_JINJA_FUNCTION || v->kind == TN_JINJA_METHOD;
    else
        return false;
    return true;
}

static bool test_integer(tn_jinja *j, const char *name, const tn_jinja_value *input, const tn_jinja_value *other, bool *out) {
    int64_t divisor = strcmp(name, "divisibleby") == 0 ? (other && other->kind == TN_JINJA_INTEGER ? other->integer : 0) : 2;
    if (input->kind != TN_JINJA_INTEGER || divisor == 0) return tn_jinja_fail(j, TN_INVALID_DATA, "the test '%s' needs integers", name);
    *out = (divisor == -1 || input->integer % divisor == 0) == (strcmp(name, "odd") != 0);
    return true;
}

bool tn_jinja_test(tn_jinja *j, const char *name, const tn_jinja_value *input, const tn_jinja_arguments *arguments, bool *out) {
    static const struct {
        const char *name;
        char operation; /* '=': equal, '!': not; '<', 'l' (<=), '>', 'g' (>=) */
    } comparisons[] = {{"equalto", '='}, {"eq", '='}, {"sameas", '='}, {"ne", '!'},       {"lt", '<'},
                       {"le", 'l'},      {"gt", '>'}, {"ge", 'g'},     {"lessthan", '<'}, {"greaterthan", '>'}};
    const tn_jinja_value *other = tn_jinja_argument(arguments, 0, NULL);
    *out = false;
    if (is_kind(name, input, out)) return true;
    if (strcmp(name, "even") == 0 || strcmp(name, "odd") == 0 || strcmp(name, "divisibleby") == 0)
        return test_integer(j, name, input, other, out);
    if (strcmp(name, "upper") == 0 || strcmp(name, "lower") == 0) {
        tn_jinja_string text;
        if (!text_of(j, input, &text)) return false;
        *out = tn_jinja_has_case(text, name[0] == 'u');
        return tn_jinja_charge(j, text.size / 16);
    }
    if (strcmp(name, "in") == 0 && other) return tn_jinja_contains(j, other, input, out);
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        char operation = comparisons[i].operation;
        int order;
        if (strcmp(name, comparisons[i].name) != 0 || !other) continue;
        if (operation == '=' || operation == '!') {
            if (!tn_jinja_equal(j, input, other, out)) return false;
            *out = *out == (operation == '=');
            return true;
        }
        if (!tn_jinja_compare(j, input, other, &order)) return false;
        *out = operation == '<' ? order < 0 : operation == 'l' ? order <= 0 : operation == '>' ? order > 0 : order >= 0;
        return true;
    }
    return tn_jinja_fail(j, TN_UNSUPPORTED, "the test '%.64s' is not supported", name);
}
