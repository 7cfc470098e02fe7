/* SPDX-License-Identifier: Apache-2.0
 *
 * normalizer.h: rewrites a text before it is cut into words.
 */
#ifndef TN_TOKENIZER_NORMALIZER_H_
#define TN_TOKENIZER_NORMALIZER_H_

#include "tokenizer/part.h"

/* Zero but for the first two. */
typedef struct tn_normalizer_scratch {
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_regex_scratch *regex;
    tn_text text[2];
} tn_normalizer_scratch;

/* *out_text is `text` itself where nothing changed, else memory of the scratch that lives until its next use. */
TN_MUST_CHECK tn_status tn_normalize(const tn_pipeline *pipeline, tn_normalizer_scratch *scratch, tn_bytes text, tn_bytes *out_text);
/* Appends the text with each match replaced. */
TN_MUST_CHECK tn_status tn_replace_matches(const tn_regex *regex, tn_bytes replacement, tn_bytes text, tn_regex_scratch *scratch,
                                           tn_diag *diag, tn_text *out);
/* Appends the byte-level characters of the text's bytes. */
void tn_append_byte_characters(tn_text *out, tn_bytes text);
void tn_normalizer_scratch_deinit(tn_normalizer_scratch *scratch);

#endif
