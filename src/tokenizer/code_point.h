/* SPDX-License-Identifier: Apache-2.0
 *
 * code_point.h: steps through UTF-8, and the two questions about characters that tokenizers ask.
 */
#ifndef TN_TOKENIZER_CODE_POINT_H_
#define TN_TOKENIZER_CODE_POINT_H_

#include "base/text.h"
#include "tokenizer/regex.h"

/* The code point at *at < text.size; *at moves behind it. */
uint32_t tn_next_code_point(tn_bytes text, size_t *at);
/* The code point that ends at *at > 0; *at moves to its begin. */
uint32_t tn_previous_code_point(tn_bytes text, size_t *at);

/* Size of the maximal ill-formed part at bytes[0..size), which no code point begins. */
size_t tn_utf8_bad_size(const char *bytes, size_t size);

/* Unicode's White_Space. */
bool tn_is_white_space(uint32_t code_point);
/* What \w matches: letters, marks, decimal digits, connectors, joiners. */
bool tn_is_word(uint32_t code_point);

#endif
