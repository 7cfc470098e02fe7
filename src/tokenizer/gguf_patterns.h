/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_patterns.h: what the names of pre-tokenizers in GGUF files (tokenizer.ggml.pre) stand for.
 */
#ifndef TN_TOKENIZER_GGUF_PATTERNS_H_
#define TN_TOKENIZER_GGUF_PATTERNS_H_

#include <stddef.h>

enum {
    TN_GGUF_IGNORE_MERGES = 1,     /* a word that is a token is that token */
    TN_GGUF_ADD_BOS = 2,           /* unless the file says otherwise */
    TN_GGUF_NFC = 4,               /* text is composed first */
    TN_GGUF_RAW = 8,               /* the vocabulary writes characters, not bytes */
    TN_GGUF_ESCAPE_SPACES = 16,    /* U+2581 in place of spaces */
    TN_GGUF_WHOLE_LINE_FEEDS = 32, /* a word of line feeds that is a token is that token */
    TN_GGUF_REMOVED = 64,          /* what the pattern matches is dropped, else it is a word */
};

/* One split after the other, isolated. */
typedef struct tn_gguf_pattern {
    const char *names; /* between spaces */
    const char *patterns[6];
    unsigned flags;
} tn_gguf_pattern;

/* NULL: no such name. */
const tn_gguf_pattern *tn_gguf_find_pattern(const char *name, size_t size);

#endif
