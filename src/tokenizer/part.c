/* SPDX-License-Identifier: Apache-2.0
 *
 * part.c: puts parts into pipelines and refuses those that have no place there.
 */
#include "tokenizer/part.h"

bool tn_is_decoder_order(tn_part_kind last, const tn_part *part) {
    bool is_first = last == TN_NUM_PART_KINDS;
    switch (part->kind) {
    case TN_PART_BYTE_LEVEL: return is_first;
    case TN_PART_REPLACE:
    case TN_PART_BYTE_FALLBACK: return is_first || last == TN_PART_REPLACE;
    case TN_PART_FUSE: return is_first || last == TN_PART_REPLACE || last == TN_PART_BYTE_FALLBACK;
    case TN_PART_STRIP_COUNT: return last == TN_PART_FUSE && part->number_b == 0 && part->a.size > 0;
    default: return false;
    }
}

static bool is_place(const tn_pipeline *pipeline, tn_pipeline_kind kind, const tn_part *part) {
    tn_part_kind last = pipeline->count ? pipeline->stages[pipeline->count - 1].part.kind : TN_NUM_PART_KINDS;
    if (last == TN_PART_BYTE_LEVEL) return false; /* nothing follows it */
    switch (part->kind) {
    case TN_PART_NFC:
    case TN_PART_NFD:
    case TN_PART_NFKC:
    case TN_PART_NFKD:
    case TN_PART_LOWERCASE:
    case TN_PART_PREPEND: return kind == TN_PIPELINE_NORMALIZER;
    case TN_PART_STRIP_ENDS: return kind == TN_PIPELINE_NORMALIZER;
    case TN_PART_REPLACE: return kind == TN_PIPELINE_NORMALIZER || (kind == TN_PIPELINE_DECODER && tn_is_decoder_order(last, part));
    case TN_PART_PREFIX_SPACE: return kind == TN_PIPELINE_PRE_TOKENIZER;
    case TN_PART_SPLIT: return kind == TN_PIPELINE_PRE_TOKENIZER && part->number_a < TN_NUM_SPLIT_BEHAVIORS;
    case TN_PART_BYTE_LEVEL: return kind == TN_PIPELINE_PRE_TOKENIZER || (kind == TN_PIPELINE_DECODER && tn_is_decoder_order(last, part));
    case TN_PART_BYTE_FALLBACK:
    case TN_PART_FUSE:
    case TN_PART_STRIP_COUNT: return kind == TN_PIPELINE_DECODER && tn_is_decoder_order(last, part);
    case TN_NUM_PART_KINDS: break;
    }
    return false;
}

tn_status tn_pipeline_add(tn_pipeline *pipeline, tn_pipeline_kind kind, const tn_part *part, const tn_allocator *allocator, tn_diag *diag) {
    static const char *const names[] = {"normalizer", "pre-tokenizer", "decoder"};
    if (pipeline->count >= TN_MAX_PARTS || !is_place(pipeline, kind, part))
        return tn_fail(diag, TN_INVALID_DATA, "cannot use the tokenizer: part %u of its %s has no place there (kind %d)", pipeline->count,
                       names[kind], (int)part->kind);
    tn_regex *regex = NULL;
    if (part->kind == TN_PART_SPLIT || part->kind == TN_PART_REPLACE) {
        tn_status status = tn_regex_create(part->a, (part->flags & TN_PART_LITERAL) != 0, allocator, diag, &regex);
        if (status != TN_OK) return status;
    }
    pipeline->stages[pipeline->count].part = *part;
    pipeline->stages[pipeline->count].regex = regex;
    pipeline->count++;
    return TN_OK;
}

void tn_pipeline_deinit(tn_pipeline *pipeline) {
    for (uint32_t i = 0; i < pipeline->count; i++) tn_regex_destroy(pipeline->stages[i].regex);
    pipeline->count = 0;
}
