/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe.h: byte-pair encoding of one word: its units (bytes or characters) become ids, then the neighbours whose merge has the
 * least rank, leftmost first, become one, until none merges.
 *
 * Merges wait in a heap, symbols stand in a linked list, so a word of n units takes O(n log n).
 */
#ifndef TN_TOKENIZER_BPE_H_
#define TN_TOKENIZER_BPE_H_

#include "base/memory.h"
#include "tokenizer/image.h"

typedef struct tn_bpe {
    const tn_image *image;
    bool is_byte_level, has_affixes;
    int32_t unit_ids[256];     /* by byte (byte level) or by ASCII character; -1: none */
    int32_t fallback_ids[256]; /* of <0x00> … where the model has byte fall-back; else -1 */
    uint32_t longest_piece;
} tn_bpe;

typedef struct tn_bpe_symbol {
    uint32_t id;            /* of a token, or TN_UNIT_CHARACTER with a character that no token is */
    int32_t previous, next; /* -1: none */
} tn_bpe_symbol;

typedef struct tn_bpe_candidate {
    uint64_t order; /* rank in the upper half, position in the lower */
    uint32_t left, right, result;
} tn_bpe_candidate;

/* Zero but for the first two. */
typedef struct tn_bpe_scratch {
    const tn_allocator *allocator;
    tn_diag *diag;
    TN_ARRAY(tn_bpe_symbol) symbols;
    TN_ARRAY(tn_bpe_candidate) heap;
    tn_text piece;
} tn_bpe_scratch;

void tn_bpe_init(tn_bpe *bpe, const tn_image *image, uint32_t longest_piece, bool is_byte_level);

/* Appends the ids of a word of valid UTF-8, at most INT32_MAX bytes. */
TN_MUST_CHECK tn_status tn_bpe_encode(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_bytes word, tn_id_list *ids);
void tn_bpe_scratch_deinit(tn_bpe_scratch *scratch);

#endif
