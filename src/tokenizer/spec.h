/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.h: a tokenizer while a loader describes it; tn_image_write turns it into the compiled form.
 *
 *     tn_spec spec;
 *     tn_spec_init(&spec, allocator, diag);
 *     … tn_spec_set_token for each id, then tn_spec_add_merge, tn_spec_add_added, tn_spec_add_part …
 *     status = tn_image_write(&spec, &image, &image_size);
 *     tn_spec_deinit(&spec);
 *
 * Strings are copied into the spec's arena. Not locked.
 */
#ifndef TN_TOKENIZER_SPEC_H_
#define TN_TOKENIZER_SPEC_H_

#include "base/arena.h"
#include "base/memory.h"
#include "tokenizer/image.h"

typedef struct tn_spec_token {
    tn_bytes piece;
    uint32_t flags;
    double score;
} tn_spec_token;

typedef struct tn_spec_added {
    tn_bytes content;
    uint32_t id, flags;
} tn_spec_added;

typedef TN_ARRAY(tn_part) tn_spec_parts;
typedef TN_ARRAY(int32_t) tn_spec_ids;

typedef struct tn_spec {
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_arena arena;
    TN_ARRAY(tn_spec_token) tokens; /* by id */
    TN_ARRAY(tn_merge_entry) merges;
    TN_ARRAY(tn_spec_added) added;
    tn_spec_parts normalizer, pre_tokenizer, decoder;
    tn_spec_ids prefix, suffix, end_ids;
    int32_t bos_id, eos_id, pad_id, unk_id;
    tn_model_kind model_kind;
    uint32_t model_flags, max_word_characters;
    tn_bytes affix_prefix, affix_suffix;
    double unknown_score;
    tn_bytes chat_template;
    uint32_t *slots; /* piece → id, as TN_SECTION_VOCAB */
    uint32_t num_slots, num_pieces;
} tn_spec;

void tn_spec_init(tn_spec *spec, const tn_allocator *allocator, tn_diag *diag);
void tn_spec_deinit(tn_spec *spec);

/* TN_INVALID_DATA when the id is taken or far beyond the `num_expected` tokens of the vocabulary. */
TN_MUST_CHECK tn_status tn_spec_set_token(tn_spec *spec, uint64_t id, size_t num_expected, tn_bytes piece, uint32_t flags);
int32_t tn_spec_find(const tn_spec *spec, tn_bytes piece); /* or -1 */
/* The next merge by rank. The pieces and their union (less the affix before the right one) must be tokens. */
TN_MUST_CHECK tn_status tn_spec_add_merge(tn_spec *spec, tn_bytes left, tn_bytes right);
/* In place of a list of merges: two neighbours merge where together they are a token, the one with the highest score first
 * (sentencepiece's order). Hidden, special and added tokens take no part. Pieces are UTF-8. */
TN_MUST_CHECK tn_status tn_spec_add_scored_merges(tn_spec *spec);
/* Marks the token and adds it to those searched in texts. The token must be set. */
TN_MUST_CHECK tn_status tn_spec_add_added(tn_spec *spec, uint32_t id, uint32_t added_flags);
TN_MUST_CHECK tn_status tn_spec_add_part(tn_spec *spec, tn_spec_parts *parts, tn_part part);
TN_MUST_CHECK tn_status tn_spec_add_id(tn_spec *spec, tn_spec_ids *ids, int32_t id);
/* The same, unless it is there or -1. */
TN_MUST_CHECK tn_status tn_spec_add_end_id(tn_spec *spec, int64_t id);
TN_MUST_CHECK tn_status tn_spec_set_chat_template(tn_spec *spec, tn_bytes text);

/* Free *out_image with tn_free. */
TN_MUST_CHECK tn_status tn_image_write(const tn_spec *spec, void **out_image, size_t *out_size);

#endif
