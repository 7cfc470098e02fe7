/* SPDX-License-Identifier: Apache-2.0
 *
 * part.h: the small machines that a tokenizer is put together from: normalizers, pre-tokenizers and decoders. A loader
 * reduces the many parts of the source formats to the few kinds here; a tn_pipeline holds some of them in their order, ready
 * to run. A new kind is a line here, a check in tn_part_check, and a case in the one file that runs it.
 */
#ifndef TN_TOKENIZER_PART_H_
#define TN_TOKENIZER_PART_H_

#include <stdbool.h>
#include <string.h>

#include "base/report.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/regex.h"

#define TN_MAX_PARTS 32u /* in one pipeline */

typedef enum tn_part_kind {
    /* normalizers */
    TN_PART_NFC = 1,
    TN_PART_NFD,
    TN_PART_NFKC,
    TN_PART_NFKD,
    TN_PART_LOWERCASE,
    TN_PART_PREPEND,         /* a */
    TN_PART_REPLACE,         /* pattern a (TN_PART_LITERAL or regex) by b; also a pre-tokenizer and a decoder */
    TN_PART_STRIP_ENDS,      /* number_a: at the left, number_b: at the right (0 or 1) */
    TN_PART_STRIP_MARKS,     /* number_a: all marks, else those without width */
    TN_PART_CLEAN_CONTROLS,  /* BERT's cleaning: no controls, white space becomes a space */
    TN_PART_SPACE_HAN,       /* spaces around Han characters, as BERT's */
    TN_PART_NMT,             /* its cleaning of controls and spaces */
    TN_PART_CHARSMAP,        /* rules a for grapheme clusters and characters (charsmap.h) */
    TN_PART_SENTENCEPIECE,   /* sentencepiece's normalizer: rules a, may be empty, that spare the strings of b */
    TN_PART_BYTE_CHARACTERS, /* byte-level characters in place of bytes; also a pre-tokenizer */
    /* pre-tokenizers */
    TN_PART_PREFIX,       /* a before a piece, unless it begins so */
    TN_PART_SPLIT,        /* pattern a, number_a a tn_split_behavior, TN_PART_INVERT */
    TN_PART_FIXED_LENGTH, /* pieces of number_a characters */
    TN_PART_BYTE_LEVEL,   /* bytes in place of characters; the last one. Also a decoder: then the last one too */
    /* decoders */
    TN_PART_BYTE_FALLBACK, /* <0x41> is byte 0x41 */
    TN_PART_FUSE,          /* what follows sees the whole text */
    TN_PART_STRIP_COUNT,   /* up to number_a times character a at the begin, number_b at the end */
    TN_PART_METASPACE,     /* spaces in place of a; number_a: none in the first token */
    TN_PART_WORD_PIECES,   /* a space before a token, or prefix a taken away; number_a: clean up */
    TN_PART_CTC,           /* equal neighbours once, a taken away; number_a: clean up, spaces in place of b */
    TN_PART_WORD_ENDS,     /* spaces in place of a, nothing in the last token */
    TN_PART_PIECES,        /* sentencepiece's decoder; b stands for the unknown token */
    TN_NUM_PART_KINDS,
} tn_part_kind;
enum {
    TN_PART_LITERAL = 1, /* the pattern is a string, not a regular expression */
    TN_PART_INVERT = 2,  /* what the pattern does not match counts as matched */
    TN_PART_FIRST = 4,   /* PREFIX: only at the begin of a text */
    TN_PART_ALWAYS = 8,  /* PREFIX: even where it is there */
    /* SENTENCEPIECE and PIECES */
    TN_PART_DUMMY_PREFIX = 16,   /* a space before a text */
    TN_PART_DUMMY_SUFFIX = 32,   /* it stands behind the text */
    TN_PART_REMOVE_SPACES = 64,  /* no spaces at the ends, one between words */
    TN_PART_ESCAPE_SPACES = 128, /* U+2581 in place of spaces */
};
#define TN_SPACE_SYMBOL "\xE2\x96\x81" /* U+2581, a space in many vocabularies */
typedef enum tn_split_behavior {
    TN_SPLIT_ISOLATED = 0,
    TN_SPLIT_REMOVED,
    TN_SPLIT_MERGED_WITH_PREVIOUS,
    TN_SPLIT_MERGED_WITH_NEXT,
    TN_SPLIT_CONTIGUOUS,
    TN_NUM_SPLIT_BEHAVIORS,
} tn_split_behavior;
/* A part as a loader describes it and as a pipeline keeps it; the bytes are borrowed. */
typedef struct tn_part {
    tn_part_kind kind;
    uint32_t flags, number_a, number_b;
    tn_bytes a, b;
} tn_part;

typedef enum tn_pipeline_kind { TN_PIPELINE_NORMALIZER = 0, TN_PIPELINE_PRE_TOKENIZER, TN_PIPELINE_DECODER } tn_pipeline_kind;

typedef struct tn_pipeline {
    uint32_t count;
    struct {
        tn_part part;
        tn_regex *regex;       /* of SPLIT and REPLACE; else NULL */
        tn_charsmap *charsmap; /* of CHARSMAP and SENTENCEPIECE; else NULL */
    } stages[TN_MAX_PARTS];
} tn_pipeline;

/* Whether `a` is a table of character rules. */
static inline bool tn_part_has_charsmap(tn_part_kind kind) {
    return kind == TN_PART_CHARSMAP || kind == TN_PART_SENTENCEPIECE;
}

/* Appends a part, compiling its pattern. TN_INVALID_DATA for a part that has no place in such a pipeline. */
TN_MUST_CHECK tn_status tn_pipeline_add(tn_pipeline *pipeline, tn_pipeline_kind kind, const tn_part *part, const tn_allocator *allocator,
                                        tn_diag *diag);
void tn_pipeline_deinit(tn_pipeline *pipeline);

#endif
