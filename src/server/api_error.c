/* SPDX-License-Identifier: Apache-2.0
 *
 * api_error.c: errors in OpenAI's shape.
 */
#include "server/api_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool tn_api_fail(tn_api_error *error, int status, const char *code, const char *param, const char *format, ...) {
    error->status = status;
    error->code = code;
    error->param = param;
    error->retry_after_s = status == 429 || status == 503 ? 1 : 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}

static int http_status(tn_status status) {
    switch (status) {
    case TN_INVALID_ARGUMENT:
    case TN_INVALID_DATA:
    case TN_UNSUPPORTED: return 400;
    case TN_NOT_FOUND: return 404;
    case TN_UNAVAILABLE: return 429;
    case TN_OUT_OF_MEMORY: return 503;
    default: return 500;
    }
}

bool tn_api_fail_from(tn_api_error *error, tn_status status, const tn_diag *diag, const char *param) {
    tn_diag_entry entry = {.message = tn_status_name(status), .severity = TN_SEVERITY_ERROR};
    for (size_t i = 0; i < tn_diag_num_entries(diag); i++)
        if (tn_diag_get(diag, i, &entry) == TN_OK && entry.severity == TN_SEVERITY_ERROR) break;
    static const char *const codes[] = {
        [TN_INVALID_ARGUMENT] = "invalid_value", [TN_INVALID_DATA] = "invalid_value", [TN_NOT_FOUND] = "not_found",
        [TN_UNSUPPORTED] = "unsupported",        [TN_OUT_OF_MEMORY] = "overloaded",   [TN_UNAVAILABLE] = "overloaded",
    };
    size_t index = (size_t)status;
    const char *code = index < sizeof codes / sizeof *codes && codes[index] != NULL ? codes[index] : "internal_error";
    return tn_api_fail(error, http_status(status), code, param, "%s", entry.message);
}

static const char *type_of(int status) {
    if (status == 401) return "authentication_error";
    if (status == 403) return "permission_error";
    if (status == 404) return "not_found_error";
    if (status == 429) return "rate_limit_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

void tn_api_error_write(const tn_api_error *error, tn_text *out) {
    tn_text_append_string(out, "{\"error\": {\"message\": ");
    tn_text_append_json_string(out, error->message, strlen(error->message));
    tn_text_append_format(out, ", \"type\": \"%s\", \"param\": ", type_of(error->status));
    if (error->param != NULL)
        tn_text_append_json_string(out, error->param, strlen(error->param));
    else
        tn_text_append_string(out, "null");
    tn_text_append_format(out, ", \"code\": \"%s\"}}", error->code);
}
