/* SPDX-License-Identifier: Apache-2.0
 *
 * json_text.h: a checked value back as text, for who takes JSON as text (chat templates).
 */
#ifndef TN_SERVER_JSON_TEXT_H_
#define TN_SERVER_JSON_TEXT_H_

#include "base/text.h"
#include "format/json.h"

/* Appends the value. Its depth was bounded when it was parsed. */
void tn_json_append(const tn_json_value *value, tn_text *out);

#endif
