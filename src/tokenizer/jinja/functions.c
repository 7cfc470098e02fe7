/* SPDX-License-Identifier: Apache-2.0
 *
 * functions.c: the global functions of chat templates.
 */
#include <string.h>
#include <time.h>

#include "tokenizer/jinja/ast.h"

static bool integer_argument(tn_jinja *j, const tn_jinja_arguments *arguments, size_t index, int64_t fallback, int64_t *out) {
    const tn_jinja_value *value = tn_jinja_argument(arguments, index, NULL);
    if (value && value->kind != TN_JINJA_INTEGER) return tn_jinja_fail(j, TN_INVALID_DATA, "range needs integers");
    *out = value ? value->integer : fallback;
    return true;
}

static bool range(tn_jinja *j, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    int64_t from = 0, to = 0, step = 1;
    bool only_end = arguments->num_positional == 1;
    if (arguments->num_positional == 0) return tn_jinja_fail(j, TN_INVALID_DATA, "range needs an end");
    if (!integer_argument(j, arguments, only_end ? 1 : 0, 0, &from) || !integer_argument(j, arguments, only_end ? 0 : 1, 0, &to) ||
        !integer_argument(j, arguments, 2, 1, &step))
        return false;
    if (step == 0) return tn_jinja_fail(j, TN_INVALID_DATA, "range needs a step other than 0");
    __int128 span = step > 0 ? (__int128)to - from : (__int128)from - to, size = step > 0 ? step : -(__int128)step;
    __int128 count = span <= 0 ? 0 : (span + size - 1) / size;
    if (count > TN_JINJA_MAX_RANGE) return tn_jinja_fail(j, TN_INVALID_DATA, "a range has more than %d numbers", TN_JINJA_MAX_RANGE);
    if (!tn_jinja_charge(j, (size_t)count) || !tn_jinja_list_create(j, (size_t)count, out)) return false;
    for (int64_t i = 0; i < (int64_t)count; i++) out->list->items[i] = tn_jinja_of_integer(from + i * step);
    out->list->count = (size_t)count;
    return true;
}

/* namespace(a=1), dict(a=1) */
static bool create_dict(tn_jinja *j, const tn_jinja_arguments *arguments, tn_jinja_kind kind, tn_jinja_value *out) {
    if (arguments->num_positional > 0) return tn_jinja_fail(j, TN_UNSUPPORTED, "namespace and dict of another dict are not supported");
    if (!tn_jinja_dict_create(j, out)) return false;
    out->kind = kind;
    for (size_t i = 0; i < arguments->num_named; i++)
        if (!tn_jinja_dict_set(j, out->dict, tn_jinja_of_text(arguments->named[i].name), arguments->named[i].value)) return false;
    return true;
}

static bool raise(tn_jinja *j, const tn_jinja_arguments *arguments) {
    const tn_jinja_value *message = tn_jinja_argument(arguments, 0, "message");
    tn_jinja_builder builder = {0};
    if (message && !tn_jinja_print(j, &builder, message, false)) return false;
    tn_jinja_string text = tn_jinja_built(&builder);
    return tn_jinja_fail(j, TN_INVALID_ARGUMENT, "it refuses this conversation: %.*s", (int)(text.size < 300 ? text.size : 300), text.data);
}

static bool show_time(tn_jinja *j, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    const tn_jinja_value *format = tn_jinja_argument(arguments, 0, "format");
    if (!j->has_now) return tn_jinja_fail(j, TN_UNSUPPORTED, "it asks for the time (strftime_now), which was not given");
    if (!format || format->kind != TN_JINJA_STRING || format->string.size > 64)
        return tn_jinja_fail(j, TN_INVALID_DATA, "strftime_now needs a format of at most 64 bytes");
    char pattern[72], *text = tn_jinja_alloc(j, 512);
    time_t now = (time_t)j->now_unix_s;
    struct tm parts;
    memcpy(pattern, format->string.data, format->string.size);
    pattern[format->string.size] = 0;
    if (!text) return false;
    for (const char *at = pattern; (at = strchr(at, '%')) != NULL; at += 2)
        if (!at[1] || !strchr("aAbBdHIjmMpSUwWxXyYZcekl-%", at[1]))
            return tn_jinja_fail(j, TN_UNSUPPORTED, "the format of strftime_now is not supported");
    if (!gmtime_r(&now, &parts)) return tn_jinja_fail(j, TN_INVALID_ARGUMENT, "the time that was given is out of range");
    size_t size = strftime(text, 512, pattern, &parts); /* NOLINT: the format's conversions were checked above */
    *out = tn_jinja_of_string((tn_jinja_string){.data = text, .size = size});
    return true;
}

static const char *const names[] = {"range", "namespace", "dict", "raise_exception", "strftime_now"};

bool tn_jinja_has_function(const char *name) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

bool tn_jinja_call_function(tn_jinja *j, const char *name, const tn_jinja_arguments *arguments, tn_jinja_value *out) {
    if (strcmp(name, "range") == 0) return range(j, arguments, out);
    if (strcmp(name, "namespace") == 0) return create_dict(j, arguments, TN_JINJA_NAMESPACE, out);
    if (strcmp(name, "dict") == 0) return create_dict(j, arguments, TN_JINJA_DICT, out);
    if (strcmp(name, "raise_exception") == 0) return raise(j, arguments);
    return show_time(j, arguments, out);
}
