/* SPDX-License-Identifier: Apache-2.0
 *
 * unigram.h: a unigram language model's encoding of one word: of all ways to cut it into pieces, the one whose scores have the
 * largest sum (Viterbi). A character that is no piece costs the unknown score.
 *
 * Pieces that begin at a place are found by walking down the sorted vocabulary a byte at a time; O(n · longest piece).
 */
#ifndef TN_TOKENIZER_UNIGRAM_H_
#define TN_TOKENIZER_UNIGRAM_H_

#include "base/memory.h"
#include "tokenizer/image.h"

typedef struct tn_unigram {
    const tn_image *image;
    uint32_t begin[257];       /* of sorted pieces that begin with byte b: [begin[b], begin[b + 1]) */
    int32_t fallback_ids[256]; /* of <0x00> … where the model has byte fall-back; else -1 */
} tn_unigram;

/* The best way to a place in the word. */
typedef struct tn_unigram_node {
    double score;
    uint32_t from; /* where its last piece begins; UINT32_MAX: no way leads here */
    int32_t id;    /* -1: a character that is no piece */
} tn_unigram_node;

typedef struct tn_unigram_scratch {
    const tn_allocator *allocator;
    tn_diag *diag;
    TN_ARRAY(tn_unigram_node) nodes;
} tn_unigram_scratch;

void tn_unigram_init(tn_unigram *unigram, const tn_image *image);

/* Appends the ids of a word of valid UTF-8, at most INT32_MAX bytes. */
TN_MUST_CHECK tn_status tn_unigram_encode(const tn_unigram *unigram, tn_unigram_scratch *scratch, tn_bytes word, tn_id_list *ids);
void tn_unigram_scratch_deinit(tn_unigram_scratch *scratch);

#endif
