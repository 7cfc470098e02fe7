/* SPDX-License-Identifier: Apache-2.0
 *
 * scored_merges.c: the merges of a vocabulary that has scores in place of a list of them. Each cut of a token into two that
 * text may be is a merge; its rank is the place of the token's score, equal scores have one rank, since among them the
 * leftmost pair merges first.
 */
#include <stdlib.h>

#include "tokenizer/code_point.h"
#include "tokenizer/spec.h"

typedef struct scored {
    uint32_t id;
    double score;
} scored;

static int compare_scores(const void *left, const void *right) {
    const scored *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static bool takes_part(const tn_spec *spec, size_t id) {
    return (spec->tokens.data[id].flags & (TN_TOKEN_MODEL | TN_TOKEN_SPECIAL | TN_TOKEN_HIDDEN)) == TN_TOKEN_MODEL;
}

/* What half of a merge this is: a token, a character that is none, or TN_NO_SLOT. */
static uint32_t find_unit(const tn_spec *spec, tn_bytes half) {
    int32_t id = tn_spec_find(spec, half);
    if (id >= 0 && takes_part(spec, (size_t)id)) return (uint32_t)id;
    size_t at = 0;
    uint32_t code_point = tn_next_code_point(half, &at);
    return at == half.size ? TN_UNIT_CHARACTER | code_point : TN_NO_SLOT;
}

#define MAX_SCORED_SIZE 1024u /* bytes of a piece: each of its cuts is looked up */

static tn_status add_cuts(tn_spec *spec, uint32_t id, uint32_t rank) {
    tn_bytes piece = spec->tokens.data[id].piece;
    if (piece.size > MAX_SCORED_SIZE)
        return tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use the vocabulary: token %u has %zu bytes, at most %u can merge", id,
                       piece.size, MAX_SCORED_SIZE);
    for (size_t cut = 0; cut < piece.size;) {
        (void)tn_next_code_point(piece, &cut);
        if (cut >= piece.size) break;
        uint32_t left = find_unit(spec, (tn_bytes){piece.data, cut});
        uint32_t right = left == TN_NO_SLOT ? TN_NO_SLOT : find_unit(spec, (tn_bytes){piece.data + cut, piece.size - cut});
        if (right == TN_NO_SLOT) continue;
        if (spec->merges.count >= TN_MAX_TOKENS)
            return tn_fail(spec->diag, TN_INVALID_DATA, "cannot use the vocabulary: its pieces merge in more than %u ways", TN_MAX_TOKENS);
        tn_merge_entry merge = {left, right, rank, id};
        if (!tn_array_push(spec->allocator, &spec->merges, merge)) return tn_fail_memory(spec->diag, "the merges", sizeof merge);
    }
    return TN_OK;
}

tn_status tn_spec_add_scored_merges(tn_spec *spec) {
    size_t count = 0;
    scored *order = tn_alloc_array(spec->allocator, spec->tokens.count, sizeof *order);
    if (!order) return tn_fail_memory(spec->diag, "the merges", spec->tokens.count * sizeof *order);
    for (size_t id = 0; id < spec->tokens.count; id++)
        if (takes_part(spec, id) && tn_spec_find(spec, spec->tokens.data[id].piece) == (int32_t)id)
            order[count++] = (scored){(uint32_t)id, spec->tokens.data[id].score};
    qsort(order, count, sizeof *order, compare_scores);
    tn_status status = TN_OK;
    uint32_t rank = 0;
    for (size_t i = 0; i < count && status == TN_OK; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank++;
        status = add_cuts(spec, order[i].id, rank);
    }
    tn_free(spec->allocator, order);
    return status;
}
