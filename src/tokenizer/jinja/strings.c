/* SPDX-License-Identifier: Apache-2.0
 *
 * strings.c: see strings.h; also the methods of strings and dicts.
 */
#include "tokenizer/jinja/strings.h"

#include <string.h>
#include <utf8proc.h>

#include "base/text.h"
#include "tokenizer/code_point.h"

static uint8_t mark_at(tn_jinja_string text, size_t at) {
    return text.marks ? text.marks[at] : text.mark;
}

static bool is_cased(int32_t c) {
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

bool tn_jinja_change_case(tn_jinja *j, tn_jinja_string text, tn_jinja_case to, tn_jinja_value *out) {
    tn_jinja_builder builder = {0};
    tn_bytes bytes = {text.data, text.size};
    bool begins = true;
    for (size_t at = 0; at < text.size;) {
        size_t from = at;
        int32_t c = (int32_t)tn_next_code_point(bytes, &at);
        bool up = to == TN_CASE_UPPER || (to != TN_CASE_LOWER && begins);
        int32_t changed = up ? utf8proc_toupper(c) : utf8proc_tolower(c);
        begins = to == TN_CASE_TITLE ? !is_cased(c)
                                     : to == TN_CASE_WORDS && (tn_is_white_space((uint32_t)c) || (c < 0x80 && strchr("-({[<", c)));
        char encoded[8] = "ss";
        int size = up && c == 0xDF ? 2 : tn_utf8_encode((uint32_t)changed, encoded);
        if (up && c == 0xDF) memcpy(encoded, to == TN_CASE_UPPER ? "SS" : "Ss", 2);
        if (!tn_jinja_append_bytes(j, &builder, encoded, (size_t)size, mark_at(text, from))) return false;
    }
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return tn_jinja_charge(j, text.size / 16);
}

bool tn_jinja_has_case(tn_jinja_string text, bool upper) {
    bool found = false;
    for (size_t at = 0; at < text.size;) {
        int32_t c = (int32_t)tn_next_code_point((tn_bytes){text.data, text.size}, &at);
        if (!is_cased(c)) continue;
        if (utf8proc_category(c) != (upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL)) return false;
        found = true;
    }
    return found;
}

static bool is_in_set(uint32_t c, const tn_jinja_string *set) {
    if (!set) return tn_is_white_space(c) || (c >= 0x1C && c <= 0x1F); /* as Python's str.strip */
    for (size_t at = 0; at < set->size;)
        if (tn_next_code_point((tn_bytes){set->data, set->size}, &at) == c) return true;
    return false;
}

tn_jinja_string tn_jinja_strip(tn_jinja_string text, const tn_jinja_string *set, bool left, bool right) {
    tn_bytes bytes = {text.data, text.size};
    size_t from = 0, to = text.size;
    while (left && from < to) {
        size_t at = from;
        if (!is_in_set(tn_next_code_point(bytes, &at), set)) break;
        from = at;
    }
    while (right && to > from) {
        size_t at = to;
        if (!is_in_set(tn_previous_code_point(bytes, &at), set)) break;
        to = at;
    }
    return tn_jinja_slice(text, from, to);
}

/* Where `what` begins in text at or behind `at`; text.size + 1: nowhere. */
static size_t find(tn_jinja_string text, tn_jinja_string what, size_t at) {
    const char *found = memmem(text.data + at, text.size - at, what.data, what.size);
    return found ? (size_t)(found - text.data) : text.size + 1;
}

static bool expect_string(tn_jinja *j, const tn_jinja_value *value, const char *who) {
    return (value && value->kind == TN_JINJA_STRING) || tn_jinja_fail(j, TN_INVALID_DATA, "%s needs a string", who);
}

bool tn_jinja_replace(tn_jinja *j, tn_jinja_string text, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    const tn_jinja_value *from = tn_jinja_argument(arguments, 0, "old"), *to = tn_jinja_argument(arguments, 1, "new");
    const tn_jinja_value *limit = tn_jinja_argument(arguments, 2, "count");
    if (!expect_string(j, from, "replace") || !expect_string(j, to, "replace")) return false;
    if (from->string.size == 0) return tn_jinja_fail(j, TN_UNSUPPORTED, "replacing the empty string is not supported");
    int64_t left = limit && limit->kind == TN_JINJA_INTEGER && limit->integer >= 0 ? limit->integer : INT64_MAX;
    tn_jinja_builder builder = {0};
    size_t at = 0;
    for (; left > 0; left--) {
        size_t found = find(text, from->string, at);
        if (found > text.size) break;
        if (!tn_jinja_charge(j, 1) || !tn_jinja_append(j, &builder, tn_jinja_slice(text, at, found)) ||
            !tn_jinja_append(j, &builder, to->string))
            return false;
        at = found + from->string.size;
    }
    if (!tn_jinja_append(j, &builder, tn_jinja_slice(text, at, text.size))) return false;
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

bool tn_jinja_pairs(tn_jinja *j, const tn_jinja_dict *dict, tn_jinja_value *out) {
    if (!tn_jinja_list_create(j, dict->count, out)) return false;
    for (size_t i = 0; i < dict->count; i++) {
        tn_jinja_value pair;
        if (!tn_jinja_list_create(j, 2, &pair) || !tn_jinja_list_push(j, pair.list, dict->pairs[i].key) ||
            !tn_jinja_list_push(j, pair.list, dict->pairs[i].value) || !tn_jinja_list_push(j, out->list, pair))
            return false;
        pair.list->sequence = TN_JINJA_TUPLE;
    }
    return true;
}

/* ---- methods of strings ---- */

static bool split_at_space(tn_jinja *j, tn_jinja_string text, int64_t limit, tn_jinja_value *out) {
    tn_jinja_string rest = tn_jinja_strip(text, NULL, true, false);
    while (rest.size > 0) {
        size_t at = 0;
        for (size_t next = 0; next < rest.size; at = next)
            if (is_in_set(tn_next_code_point((tn_bytes){rest.data, rest.size}, &next), NULL)) break;
        if (limit-- == 0) at = tn_jinja_strip(rest, NULL, false, true).size;
        if (!tn_jinja_list_push(j, out->list, tn_jinja_of_string(tn_jinja_slice(rest, 0, at)))) return false;
        rest = tn_jinja_strip(tn_jinja_slice(rest, at, rest.size), NULL, true, false);
    }
    return true;
}

static bool split(tn_jinja *j, tn_jinja_string text, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    const tn_jinja_value *separator = tn_jinja_argument(arguments, 0, "sep"), *max = tn_jinja_argument(arguments, 1, "maxsplit");
    int64_t limit = max && max->kind == TN_JINJA_INTEGER && max->integer >= 0 ? max->integer : INT64_MAX;
    if (!tn_jinja_list_create(j, 0, out) || !tn_jinja_charge(j, text.size / 16)) return false;
    if (!separator || separator->kind == TN_JINJA_NONE) return split_at_space(j, text, limit, out);
    if (!expect_string(j, separator, "split")) return false;
    if (separator->string.size == 0) return tn_jinja_fail(j, TN_INVALID_DATA, "split needs a separator that is not empty");
    size_t at = 0;
    for (; limit > 0; limit--) {
        size_t found = find(text, separator->string, at);
        if (found > text.size) break;
        if (!tn_jinja_list_push(j, out->list, tn_jinja_of_string(tn_jinja_slice(text, at, found)))) return false;
        at = found + separator->string.size;
    }
    return tn_jinja_list_push(j, out->list, tn_jinja_of_string(tn_jinja_slice(text, at, text.size)));
}

/* startswith, endswith: of a string or of any in a list. */
static bool has_end(tn_jinja *j, tn_jinja_string text, const tn_jinja_value *what, bool at_begin, bool *out) {
    tn_jinja_list single = {.items = (tn_jinja_value *)(uintptr_t)what, .count = 1}; /* only read */
    const tn_jinja_list *items = what && what->kind == TN_JINJA_LIST ? what->list : &single;
    *out = false;
    for (size_t i = 0; i < items->count && !*out; i++) {
        if (!expect_string(j, what ? &items->items[i] : NULL, at_begin ? "startswith" : "endswith") || !tn_jinja_charge(j, 1)) return false;
        tn_jinja_string end = items->items[i].string;
        *out = end.size <= text.size && memcmp(text.data + (at_begin ? 0 : text.size - end.size), end.data, end.size) == 0;
    }
    return true;
}

static bool count_or_find(tn_jinja *j, tn_jinja_string text, const tn_jinja_arguments *arguments, bool is_count, tn_jinja_value *out) {
    const tn_jinja_value *what = tn_jinja_argument(arguments, 0, NULL);
    if (arguments->num_positional != 1) return tn_jinja_fail(j, TN_UNSUPPORTED, "count and find with limits are not supported");
    if (!expect_string(j, what, "count or find") || !tn_jinja_charge(j, text.size / 64)) return false;
    if (what->string.size == 0) return tn_jinja_fail(j, TN_UNSUPPORTED, "searching for the empty string is not supported");
    int64_t result = is_count ? 0 : -1;
    size_t found = find(text, what->string, 0);
    if (!is_count && found <= text.size) {
        result = 0;
        for (size_t i = 0; i < found; i++) result += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    }
    for (; is_count && found <= text.size; found = find(text, what->string, found + what->string.size)) result++;
    *out = tn_jinja_of_integer(result);
    return true;
}

static bool join(tn_jinja *j, tn_jinja_string separator, const tn_jinja_value *what, tn_jinja_value *out) {
    const tn_jinja_list *items;
    tn_jinja_builder builder = {0};
    if (!what) return tn_jinja_fail(j, TN_INVALID_DATA, "join needs a list");
    if (!tn_jinja_items(j, what, &items)) return false;
    for (size_t i = 0; i < items->count; i++) {
        if (!expect_string(j, &items->items[i], "join")) return false;
        if (i > 0 && !tn_jinja_append(j, &builder, separator)) return false;
        if (!tn_jinja_append(j, &builder, items->items[i].string)) return false;
    }
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

/* "{}", "{0}" and "{name}" by the arguments, "{{" and "}}" by one brace. */
static bool format(tn_jinja *j, tn_jinja_string text, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    tn_jinja_builder builder = {0};
    size_t copied = 0, next = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c != '{' && c != '}') continue;
        bool is_double = i + 1 < text.size && text.data[i + 1] == c;
        if (!tn_jinja_append(j, &builder, tn_jinja_slice(text, copied, i + is_double))) return false;
        if (is_double) {
            copied = ++i + 1;
            continue;
        }
        char name[32] = "";
        const char *end = c == '{' ? memchr(text.data + i, '}', text.size - i) : NULL;
        size_t size = end ? (size_t)(end - text.data) - i - 1 : 0;
        if (!end) return tn_jinja_fail(j, TN_INVALID_DATA, "a single '%c' stands in a format", c);
        if (size >= sizeof name || strcspn(memcpy(name, text.data + i + 1, size), ".[:!{") < size)
            return tn_jinja_fail(j, TN_UNSUPPORTED, "this field of a format is not supported");
        bool is_index = size > 0 && strspn(name, "0123456789") == size && size < 3;
        size_t index = size == 0  ? next++
                       : is_index ? (size_t)(name[0] - '0') * (size == 2 ? 10 : 1) + (size == 2 ? (size_t)(name[1] - '0') : 0)
                                  : SIZE_MAX;
        const tn_jinja_value *value = tn_jinja_argument(arguments, index, index == SIZE_MAX ? name : NULL);
        if (!value) return tn_jinja_fail(j, TN_INVALID_DATA, "a format has no argument for '{%s}'", name);
        if (!tn_jinja_print(j, &builder, value, false)) return false;
        copied = i + size + 2;
        i = copied - 1;
    }
    if (!tn_jinja_append(j, &builder, tn_jinja_slice(text, copied, text.size))) return false;
    *out = tn_jinja_of_string(tn_jinja_built(&builder));
    return true;
}

/* Python's line ends; "\r\n" is one. */
static bool split_lines(tn_jinja *j, tn_jinja_string text, tn_jinja_value *out) {
    if (!tn_jinja_list_create(j, 0, out) || !tn_jinja_charge(j, text.size / 16)) return false;
    for (size_t begin = 0, at = 0; begin < text.size;) {
        size_t end = at;
        uint32_t c = at < text.size ? tn_next_code_point((tn_bytes){text.data, text.size}, &at) : '\n';
        bool ends = (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
        if (!ends) continue;
        if (c == '\r' && at < text.size && text.data[at] == '\n') at++;
        if (!tn_jinja_list_push(j, out->list, tn_jinja_of_string(tn_jinja_slice(text, begin, end)))) return false;
        begin = at;
    }
    return true;
}

/* Where `what`, which is not empty, begins last; text.size + 1: nowhere. */
static size_t find_last(tn_jinja_string text, tn_jinja_string what) {
    for (size_t at = text.size + 1; what.size <= text.size && at-- > 0;)
        if (text.size - at >= what.size && memcmp(text.data + at, what.data, what.size) == 0) return at;
    return text.size + 1;
}

/* (before, separator, behind) at the first or last separator. */
static bool partition(tn_jinja *j, tn_jinja_string text, const tn_jinja_value *separator, bool last, tn_jinja_value *out) {
    if (!expect_string(j, separator, "partition") || !tn_jinja_list_create(j, 3, out)) return false;
    if (!tn_jinja_charge(j, text.size / 16 + text.size / 256 * (separator->string.size / 256))) return false;
    if (separator->string.size == 0) return tn_jinja_fail(j, TN_INVALID_DATA, "partition needs a separator that is not empty");
    size_t at = last ? find_last(text, separator->string) : find(text, separator->string, 0);
    bool found = at <= text.size;
    if (!found) at = last ? 0 : text.size;
    size_t end = found ? at + separator->string.size : at;
    out->list->sequence = TN_JINJA_TUPLE;
    return tn_jinja_list_push(j, out->list, tn_jinja_of_string(tn_jinja_slice(text, 0, at))) &&
           tn_jinja_list_push(j, out->list, tn_jinja_of_string(tn_jinja_slice(text, at, end))) &&
           tn_jinja_list_push(j, out->list, tn_jinja_of_string(tn_jinja_slice(text, end, text.size)));
}

/* Without `what` at its begin or end, if it is there. */
static bool remove_end(tn_jinja *j, tn_jinja_string text, const tn_jinja_value *what, bool at_begin, tn_jinja_value *out) {
    bool has_it;
    if (!expect_string(j, what, "removeprefix or removesuffix") || !has_end(j, text, what, at_begin, &has_it)) return false;
    size_t size = has_it ? what->string.size : 0;
    *out = tn_jinja_of_string(tn_jinja_slice(text, at_begin ? size : 0, text.size - (at_begin ? 0 : size)));
    return true;
}

static bool is_digits(tn_jinja_string text) {
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9') return false;
    return text.size > 0;
}

static bool string_method(tn_jinja *j, const char *name, tn_jinja_string text, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    const tn_jinja_value *first = tn_jinja_argument(arguments, 0, NULL);
    const tn_jinja_string *set = first && first->kind == TN_JINJA_STRING ? &first->string : NULL;
    bool is_right = strcmp(name, "rstrip") == 0, is_left = strcmp(name, "lstrip") == 0, found;
    if (!tn_jinja_charge(j, 1 + text.size / 64)) return false;
    if (is_left || is_right || strcmp(name, "strip") == 0) {
        *out = tn_jinja_of_string(tn_jinja_strip(text, set, !is_right, !is_left));
        return true;
    }
    if (strcmp(name, "split") == 0) return split(j, text, arguments, out);
    if (strcmp(name, "replace") == 0) return tn_jinja_replace(j, text, arguments, out);
    if (strcmp(name, "upper") == 0) return tn_jinja_change_case(j, text, TN_CASE_UPPER, out);
    if (strcmp(name, "lower") == 0) return tn_jinja_change_case(j, text, TN_CASE_LOWER, out);
    if (strcmp(name, "capitalize") == 0) return tn_jinja_change_case(j, text, TN_CASE_CAPITALIZE, out);
    if (strcmp(name, "title") == 0) return tn_jinja_change_case(j, text, TN_CASE_TITLE, out);
    if (strcmp(name, "startswith") == 0 || strcmp(name, "endswith") == 0) {
        if (!has_end(j, text, first, name[0] == 's', &found)) return false;
        *out = tn_jinja_of_bool(found);
        return true;
    }
    if (strcmp(name, "join") == 0) return join(j, text, first, out);
    if (strcmp(name, "format") == 0) return format(j, text, arguments, out);
    if (strcmp(name, "splitlines") == 0) return split_lines(j, text, out);
    if (strcmp(name, "partition") == 0 || strcmp(name, "rpartition") == 0) return partition(j, text, first, name[0] == 'r', out);
    if (strcmp(name, "removeprefix") == 0 || strcmp(name, "removesuffix") == 0) return remove_end(j, text, first, name[6] == 'p', out);
    if (strcmp(name, "isdigit") == 0) {
        *out = tn_jinja_of_bool(is_digits(text));
        return true;
    }
    return count_or_find(j, text, arguments, strcmp(name, "count") == 0, out);
}

/* ---- methods of dicts ---- */

static bool dict_method(tn_jinja *j, const char *name, const tn_jinja_dict *dict, const tn_jinja_arguments *arguments,
                        tn_jinja_value *out) {
    if (strcmp(name, "items") == 0) return tn_jinja_pairs(j, dict, out);
    if (strcmp(name, "get") == 0) {
        const tn_jinja_value *key = tn_jinja_argument(arguments, 0, NULL), *fallback = tn_jinja_argument(arguments, 1, NULL);
        if (!key) return tn_jinja_fail(j, TN_INVALID_DATA, "get needs a key");
        const tn_jinja_value *found = tn_jinja_dict_find(j, dict, key);
        *out = found ? *found : fallback ? *fallback : (tn_jinja_value){.kind = TN_JINJA_NONE};
        return j->status == TN_OK;
    }
    if (!tn_jinja_list_create(j, dict->count, out)) return false;
    for (size_t i = 0; i < dict->count; i++)
        if (!tn_jinja_list_push(j, out->list, name[0] == 'k' ? dict->pairs[i].key : dict->pairs[i].value)) return false;
    return true;
}

bool tn_jinja_has_method(const tn_jinja_value *self, const char *name) {
    static const char *const of_strings[] = {"format", "splitlines", "partition", "rpartition", "removeprefix", "removesuffix",
                                             "strip",  "lstrip",     "rstrip",    "split",      "replace",      "upper",
                                             "lower",  "capitalize", "title",     "count",      "startswith",   "endswith",
                                             "join",   "find",       "isdigit"};
    static const char *const of_dicts[] = {"items", "keys", "values", "get"};
    const char *const *names = self->kind == TN_JINJA_STRING ? of_strings : of_dicts;
    size_t count = self->kind == TN_JINJA_STRING ? sizeof of_strings / sizeof *of_strings : self->kind == TN_JINJA_DICT ? 4 : 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

bool tn_jinja_call_method(tn_jinja *j, const char *name, const tn_jinja_value *self, const tn_jinja_arguments *arguments,
                          tn_jinja_value *out) {
    return self->kind == TN_JINJA_STRING ? string_method(j, name, self->string, arguments, out)
                                         : dict_method(j, name, self->dict, arguments, out);
}
