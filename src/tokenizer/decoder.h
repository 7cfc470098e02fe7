/* SPDX-License-Identifier: Apache-2.0
 *
 * decoder.h: a decoder's parts as a chain that pieces run through, one by one; what comes out is bytes of the text.
 *
 * Each part sees the pieces that come out of the one before it, and keeps back what it cannot tell yet: a run of byte tokens,
 * the last piece where the last one differs. FUSE keeps back everything, unless nothing follows it that needs the end of the
 * text. So pushing pieces one by one and all at once are the same thing.
 */
#ifndef TN_TOKENIZER_DECODER_H_
#define TN_TOKENIZER_DECODER_H_

#include "tokenizer/part.h"

typedef struct tn_decoder_stage {
    const tn_part *part;   /* borrowed */
    const tn_regex *regex; /* borrowed */
    bool is_whole;         /* STRIP_COUNT behind a FUSE that keeps nothing back: the text is one piece */
    bool has_input;        /* a piece has come */
    bool is_begin_open;    /* PIECES: a space at the begin may still go */
    bool has_text;         /* PIECES: something has come out */
    uint32_t left;         /* STRIP_COUNT with is_whole: characters that may still go */
    tn_text held, work;    /* what is kept back; what the next stage is reading */
} tn_decoder_stage;

typedef struct tn_decoder {
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_regex_scratch *regex;
    uint32_t count;
    tn_decoder_stage stages[TN_MAX_PARTS];
    tn_text *out; /* where the bytes go; borrowed */
} tn_decoder;

void tn_decoder_init(tn_decoder *decoder, const tn_pipeline *pipeline, const tn_allocator *allocator, tn_diag *diag, tn_text *out);
void tn_decoder_reset(tn_decoder *decoder); /* to the begin of a text */
TN_MUST_CHECK tn_status tn_decoder_push(tn_decoder *decoder, tn_bytes piece);
/* Gives out what is kept back. */
TN_MUST_CHECK tn_status tn_decoder_finish(tn_decoder *decoder);
void tn_decoder_deinit(tn_decoder *decoder);

#endif
