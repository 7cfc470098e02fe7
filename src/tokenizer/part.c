/* SPDX-License-Identifier: Apache-2.0
 *
 * part.c: puts parts into pipelines and refuses those that have no place there.
 */
#include "tokenizer/part.h"

enum { NORMALIZER = 1 << TN_PIPELINE_NORMALIZER, PRE_TOKENIZER = 1 << TN_PIPELINE_PRE_TOKENIZER, DECODER = 1 << TN_PIPELINE_DECODER };

/* The pipelines that a kind may stand in. */
static int places_of(tn_part_kind kind) {
    switch (kind) {
    case TN_PART_NFC:
    case TN_PART_NFD:
    case TN_PART_NFKC:
    case TN_PART_NFKD:
    case TN_PART_LOWERCASE:
    case TN_PART_PREPEND:
    case TN_PART_STRIP_ENDS:
    case TN_PART_STRIP_MARKS:
    case TN_PART_CLEAN_CONTROLS:
    case TN_PART_SPACE_HAN:
    case TN_PART_NMT:
    case TN_PART_CHARSMAP:
    case TN_PART_SENTENCEPIECE: return NORMALIZER;
    case TN_PART_REPLACE: return NORMALIZER | PRE_TOKENIZER | DECODER;
    case TN_PART_BYTE_CHARACTERS: return NORMALIZER | PRE_TOKENIZER;
    case TN_PART_PREFIX:
    case TN_PART_SPLIT:
    case TN_PART_FIXED_LENGTH: return PRE_TOKENIZER;
    case TN_PART_BYTE_LEVEL: return PRE_TOKENIZER | DECODER;
    case TN_PART_BYTE_FALLBACK:
    case TN_PART_FUSE:
    case TN_PART_STRIP_COUNT:
    case TN_PART_METASPACE:
    case TN_PART_WORD_PIECES:
    case TN_PART_CTC:
    case TN_PART_WORD_ENDS:
    case TN_PART_PIECES: return DECODER;
    case TN_NUM_PART_KINDS: break;
    }
    return 0;
}

static bool is_complete(const tn_part *part) {
    switch (part->kind) {
    case TN_PART_SPLIT: return part->number_a < TN_NUM_SPLIT_BEHAVIORS;
    case TN_PART_FIXED_LENGTH: return part->number_a > 0;
    case TN_PART_PREFIX:
    case TN_PART_STRIP_COUNT:
    case TN_PART_METASPACE: return part->a.size > 0;
    default: return true;
    }
}

tn_status tn_pipeline_add(tn_pipeline *pipeline, tn_pipeline_kind kind, const tn_part *part, const tn_allocator *allocator, tn_diag *diag) {
    static const char *const names[] = {"normalizer", "pre-tokenizer", "decoder"};
    uint32_t count = pipeline->count;
    bool is_behind_end = count > 0 && pipeline->stages[count - 1].part.kind == TN_PART_BYTE_LEVEL; /* nothing follows it */
    if (count >= TN_MAX_PARTS || is_behind_end || !(places_of(part->kind) & 1 << kind) || !is_complete(part))
        return tn_fail(diag, TN_INVALID_DATA, "cannot use the tokenizer: part %u of its %s has no place there (kind %d)", count,
                       names[kind], (int)part->kind);
    tn_regex *regex = NULL;
    tn_charsmap *charsmap = NULL;
    tn_status status = TN_OK;
    if (part->kind == TN_PART_SPLIT || part->kind == TN_PART_REPLACE)
        status = tn_regex_create(part->a, (part->flags & TN_PART_LITERAL) != 0, allocator, diag, &regex);
    else if (tn_part_has_charsmap(part->kind))
        status = tn_charsmap_create(part->a, part->b, allocator, diag, &charsmap);
    if (status != TN_OK) return status;
    pipeline->stages[count].part = *part;
    pipeline->stages[count].regex = regex;
    pipeline->stages[count].charsmap = charsmap;
    pipeline->count++;
    return TN_OK;
}

void tn_pipeline_deinit(tn_pipeline *pipeline) {
    for (uint32_t i = 0; i < pipeline->count; i++) {
        tn_regex_destroy(pipeline->stages[i].regex);
        tn_charsmap_destroy(pipeline->stages[i].charsmap);
    }
    pipeline->count = 0;
}
