/* SPDX-License-Identifier: Apache-2.0
 *
 * sentencepiece.h: sentencepiece's .model files: a vocabulary with scores, and how text is normalized. What the fields do to a
 * text is tokenizer/'s business.
 *
 *     tn_sentencepiece *model;
 *     if ((status = tn_sentencepiece_parse("tokenizer.model", data, size, allocator, diag, &model)) != TN_OK) goto cleanup;
 *     for (size_t i = 0; i < model->num_pieces; i++) { … model->pieces[i].text … }
 *     tn_sentencepiece_destroy(model);
 *
 * Immutable after parsing. All bytes live as long as the model and may be anything: NUL, no UTF-8, empty.
 */
#ifndef TN_FORMAT_SENTENCEPIECE_H_
#define TN_FORMAT_SENTENCEPIECE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/report.h"

/* The format's numbers of piece types and of models. */
enum { TN_PIECE_NORMAL = 1, TN_PIECE_UNKNOWN, TN_PIECE_CONTROL, TN_PIECE_USER_DEFINED, TN_PIECE_UNUSED, TN_PIECE_BYTE };
enum { TN_SENTENCEPIECE_UNIGRAM = 1, TN_SENTENCEPIECE_BPE, TN_SENTENCEPIECE_WORD, TN_SENTENCEPIECE_CHAR };

typedef struct tn_sentencepiece_bytes {
    const char *data; /* never NULL */
    size_t size;
} tn_sentencepiece_bytes;

typedef struct tn_sentencepiece_piece {
    tn_sentencepiece_bytes text;
    float score;
    int32_t type;
} tn_sentencepiece_piece;

typedef struct tn_sentencepiece {
    const tn_allocator *allocator; /* private */
    void *message;                 /* private */
    tn_sentencepiece_piece *pieces;
    size_t num_pieces;
    int32_t model_type;
    bool has_byte_fallback, space_is_suffix;
    bool adds_dummy_prefix, removes_extra_spaces, escapes_spaces;
    bool has_denormalizer; /* with rules of its own */
    tn_sentencepiece_bytes charsmap;
    tn_sentencepiece_bytes unk_surface, bos_piece, eos_piece, pad_piece; /* the format's defaults where absent */
} tn_sentencepiece;

/* TN_INVALID_DATA   not a message of this kind
 * TN_OUT_OF_MEMORY
 * `name` stands in messages; data are copied. */
TN_MUST_CHECK tn_status tn_sentencepiece_parse(const char *name, const void *data, size_t size_bytes, const tn_allocator *allocator,
                                               tn_diag *diag, tn_sentencepiece **out_model);
void tn_sentencepiece_destroy(tn_sentencepiece *model); /* accepts NULL */

#endif
