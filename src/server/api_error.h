/* SPDX-License-Identifier: Apache-2.0
 *
 * api_error.h: why a request is refused, in the words and the shape that OpenAI's clients read:
 *
 *     {"error": {"message": "…", "type": "invalid_request_error", "param": "temperature", "code": "invalid_value"}}
 *
 * An error that is sent in a stream has the same body in a data event.
 */
#ifndef TN_SERVER_API_ERROR_H_
#define TN_SERVER_API_ERROR_H_

#include <stdbool.h>

#include "base/text.h"
#include "tenon/diag.h"

typedef struct tn_api_error {
    int status;        /* of HTTP; 0: no error */
    int retry_after_s; /* 0: not said */
    const char *code;  /* static */
    const char *param; /* the field at fault, static or of the table; NULL: none */
    char message[512];
} tn_api_error;

/* Sets the error and returns false, so that `return tn_api_fail(…)` is the idiom. param may be NULL. */
bool tn_api_fail(tn_api_error *error, int status, const char *code, const char *param, const char *format, ...) TN_PRINTF(5, 6);
/* From what a call reported: its status decides HTTP's, the first error's message is the message. `diag` may be empty. */
bool tn_api_fail_from(tn_api_error *error, tn_status status, const tn_diag *diag, const char *param);
/* Appends the body. */
void tn_api_error_write(const tn_api_error *error, tn_text *out);

#endif
