/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h: a growable byte string, and the few string questions that C leaves open.
 *
 *     tn_text text = {.allocator = allocator};
 *     tn_text_append_format(&text, "%d tokens", n);
 *     if (text.failed) …                              // sticky: one check at the end
 *     tn_text_deinit(&text);
 *
 * `data` always ends with a NUL beyond `size` once anything was appended; NULL before that. A failed append (no memory, or
 * beyond max_size) sets `failed` and changes nothing else.
 */
#ifndef TN_BASE_TEXT_H_
#define TN_BASE_TEXT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenon/allocator.h"

typedef struct tn_text {
    const tn_allocator *allocator; /* borrowed; NULL: malloc */
    char *data;
    size_t size, capacity;
    size_t max_size; /* 0: none */
    bool failed;
} tn_text;

void tn_text_append(tn_text *text, const void *bytes, size_t size_bytes);
void tn_text_append_string(tn_text *text, const char *string);
void tn_text_append_char(tn_text *text, char c);
void tn_text_append_format(tn_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends `bytes` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD, one for each maximal bad part. */
void tn_text_append_json_string(tn_text *text, const char *bytes, size_t size_bytes);
void tn_text_reset(tn_text *text); /* size 0, failed false, keeps the memory */
void tn_text_deinit(tn_text *text);

/* UTF-8 (Unicode 15, table 3-7). Length 1..4 of the well-formed sequence at bytes[0..size), with its code point;
 * 0 if ill-formed; -1 if size ends inside a sequence that is well-formed so far. */
int tn_utf8_decode(const char *bytes, size_t size, uint32_t *out_code_point);
int tn_utf8_encode(uint32_t code_point, char out_bytes[4]); /* number of bytes; 0 for surrogates and > U+10FFFF */
bool tn_utf8_is_valid(const char *bytes, size_t size);

bool tn_string_starts_with(const char *string, const char *prefix);
bool tn_string_ends_with(const char *string, const char *suffix);
/* "1,234,567" */
const char *tn_format_count(uint64_t count, char buffer[32]);
/* "1.5 GB", "312 KB": decimal units, three significant digits */
const char *tn_format_bytes(uint64_t size_bytes, char buffer[32]);

#endif
