/* SPDX-License-Identifier: Apache-2.0
 *
 * pre_tokenizer.h: cuts a text into the words that the model encodes one by one.
 */
#ifndef TN_TOKENIZER_PRE_TOKENIZER_H_
#define TN_TOKENIZER_PRE_TOKENIZER_H_

#include "tokenizer/part.h"

/* Zero but for the first two. */
typedef struct tn_pre_tokenizer_scratch {
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_regex_scratch *regex;
    tn_text changed[TN_MAX_PARTS]; /* by stage: its text where a stage writes one */
} tn_pre_tokenizer_scratch;

typedef tn_status (*tn_word_fn)(void *user, tn_bytes word);

/* Calls on_word with each word of valid UTF-8 `text`, in order, never empty; an error ends it and is returned. Words lie in
 * text, or in the scratch until the next call of on_word. is_begin: nothing stands before `text`. */
TN_MUST_CHECK tn_status tn_pre_tokenize(const tn_pipeline *pipeline, tn_pre_tokenizer_scratch *scratch, tn_bytes text, bool is_begin,
                                        tn_word_fn on_word, void *user);
void tn_pre_tokenizer_scratch_deinit(tn_pre_tokenizer_scratch *scratch);

#endif
