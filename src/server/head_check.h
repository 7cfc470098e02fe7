/* SPDX-License-Identifier: Apache-2.0
 *
 * head_check.h: what is looked at before a body is read: the head's form, its size, Host, Origin, key, kind and size of the body.
 */
#ifndef TN_SERVER_HEAD_CHECK_H_
#define TN_SERVER_HEAD_CHECK_H_

#include "server/exchange.h"

/* As libmicrohttpd hands them over: pointers into the head as it came. */
typedef struct tn_request_line {
    const char *url, *method, *version;
    size_t target_size; /* of the target as it was sent, up to a NUL */
} tn_request_line;

/* Finds the exchange's route and key. False: refused, with the error. */
bool tn_head_check(tn_exchange *exchange, const tn_request_line *line, tn_api_error *error);

#endif
