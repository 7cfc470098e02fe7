/* SPDX-License-Identifier: Apache-2.0
 *
 * regex.h: the regular expressions of tokenizers. Patterns are written in the dialect of the source library (Oniguruma with
 * Ruby's syntax) and translated into PCRE2's: what the two read differently is rewritten (\s means Unicode white space, ^
 * begins a line), and what has no certain counterpart is refused by its name. Compiled with the JIT where there is one.
 *
 * A tn_regex never changes after creation; any number of threads may match with it, each with a tn_regex_scratch of its own.
 */
#ifndef TN_TOKENIZER_REGEX_H_
#define TN_TOKENIZER_REGEX_H_

#include <stdbool.h>
#include <string.h>

#include "base/report.h"
#include "base/text.h"

typedef struct tn_bytes {
    const char *data;
    size_t size;
} tn_bytes;

static inline tn_bytes tn_bytes_of(const char *string) {
    return (tn_bytes){string, strlen(string)};
}

typedef struct tn_regex tn_regex;
typedef struct tn_regex_scratch tn_regex_scratch;

/* is_literal: the pattern is a plain string. TN_UNSUPPORTED for a construct without counterpart, TN_INVALID_DATA for a
 * malformed pattern. */
TN_MUST_CHECK tn_status tn_regex_create(tn_bytes pattern, bool is_literal, const tn_allocator *allocator, tn_diag *diag,
                                        tn_regex **out_regex);
void tn_regex_destroy(tn_regex *regex); /* accepts NULL */

/* Appends the PCRE2 form of the pattern. */
TN_MUST_CHECK tn_status tn_regex_translate(tn_bytes pattern, tn_diag *diag, tn_text *out);

TN_MUST_CHECK tn_status tn_regex_scratch_create(const tn_allocator *allocator, tn_diag *diag, tn_regex_scratch **out_scratch);
void tn_regex_scratch_destroy(tn_regex_scratch *scratch); /* accepts NULL */

/* The leftmost match at or after `start` in valid UTF-8. Nothing outside `subject` is seen. *out_found false: none.
 * TN_INVALID_DATA when the match needs more than the step limit. */
TN_MUST_CHECK tn_status tn_regex_find(const tn_regex *regex, tn_regex_scratch *scratch, tn_bytes subject, size_t start, tn_diag *diag,
                                      bool *out_found, size_t *out_from, size_t *out_to);

#endif
