/* SPDX-License-Identifier: Apache-2.0
 *
 * word_piece.h: the models that look words up. WordPiece takes the longest piece that the word begins with, then the longest
 * that the rest does, written with the affix of continuing pieces; a word with a rest that is none is unknown as a whole.
 * WordLevel knows whole words only.
 */
#ifndef TN_TOKENIZER_WORD_PIECE_H_
#define TN_TOKENIZER_WORD_PIECE_H_

#include "base/memory.h"
#include "tokenizer/image.h"

typedef struct tn_word_piece_scratch {
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_text piece;
} tn_word_piece_scratch;

/* Appends the ids of a word of valid UTF-8; longest_piece is the size of the longest one in the vocabulary. */
TN_MUST_CHECK tn_status tn_word_piece_encode(const tn_image *image, uint32_t longest_piece, tn_word_piece_scratch *scratch, tn_bytes word,
                                             tn_id_list *ids);
TN_MUST_CHECK tn_status tn_word_level_encode(const tn_image *image, tn_diag *diag, const tn_allocator *allocator, tn_bytes word,
                                             tn_id_list *ids);
void tn_word_piece_scratch_deinit(tn_word_piece_scratch *scratch);

#endif
