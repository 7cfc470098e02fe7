/* SPDX-License-Identifier: Apache-2.0
 *
 * pre_tokenizer.c: each stage hands its pieces to the next as soon as it has them, so no list of pieces is kept but where
 * the behavior needs its neighbours.
 */
#include "tokenizer/pre_tokenizer.h"

#include "base/memory.h"
#include "tokenizer/code_point.h"

typedef struct walk {
    const tn_pipeline *pipeline;
    tn_pre_tokenizer_scratch *scratch;
    tn_word_fn on_word;
    void *user;
} walk;

typedef struct piece {
    size_t from, to;
    bool is_match;
} piece;
typedef TN_ARRAY(piece) piece_list;

static tn_status run_stage(const walk *w, uint32_t stage, tn_bytes text);

static tn_status pass_on(const walk *w, uint32_t stage, tn_bytes text, size_t from, size_t to) {
    return from == to ? TN_OK : run_stage(w, stage + 1, (tn_bytes){text.data + from, to - from});
}

/* The next match from *at on, or found false. *at moves behind it, past an empty one by a code point. */
static tn_status next_match(const walk *w, uint32_t stage, tn_bytes text, size_t *at, bool *out_found, piece *out) {
    *out_found = false;
    if (*at > text.size) return TN_OK;
    const tn_regex *regex = w->pipeline->stages[stage].regex;
    tn_status status = tn_regex_find(regex, w->scratch->regex, text, *at, w->scratch->diag, out_found, &out->from, &out->to);
    if (status != TN_OK || !*out_found) return status;
    *at = out->to;
    if (out->from == out->to) {
        if (*at < text.size)
            (void)tn_next_code_point(text, at);
        else
            *at = text.size + 1;
    }
    return TN_OK;
}

/* ISOLATED and REMOVED: pieces go on at once. */
static tn_status split_at_once(const walk *w, uint32_t stage, tn_bytes text) {
    const tn_part *part = &w->pipeline->stages[stage].part;
    bool invert = (part->flags & TN_PART_INVERT) != 0, removed = part->number_a == TN_SPLIT_REMOVED;
    bool keep_match = !removed || invert, keep_between = !removed || !invert;
    size_t at = 0, done = 0;
    for (;;) {
        bool found;
        piece match = {0, 0, true};
        tn_status status = next_match(w, stage, text, &at, &found, &match);
        if (status == TN_OK && !found) break;
        if (status == TN_OK && keep_between) status = pass_on(w, stage, text, done, match.from);
        if (status == TN_OK && keep_match) status = pass_on(w, stage, text, match.from, match.to);
        if (status != TN_OK) return status;
        done = match.to;
    }
    return keep_between ? pass_on(w, stage, text, done, text.size) : TN_OK;
}

static tn_status collect(const walk *w, uint32_t stage, tn_bytes text, piece_list *pieces) {
    const tn_allocator *allocator = w->scratch->allocator;
    bool invert = (w->pipeline->stages[stage].part.flags & TN_PART_INVERT) != 0;
    size_t at = 0, done = 0;
    for (bool found = true; found;) {
        piece match = {text.size, text.size, true};
        tn_status status = next_match(w, stage, text, &at, &found, &match);
        if (status != TN_OK) return status;
        if (!found) match = (piece){text.size, text.size, true};
        bool fits = true;
        if (done != match.from) fits = tn_array_push(allocator, pieces, ((piece){done, match.from, invert}));
        if (found) fits = fits && tn_array_push(allocator, pieces, ((piece){match.from, match.to, !invert}));
        if (!fits) return tn_fail_memory(w->scratch->diag, "the words of a text", pieces->count * sizeof *pieces->data);
        done = match.to;
    }
    return TN_OK;
}

/* Joins neighbours in place. A match joins the piece before it (or behind, walking backwards) unless that one is a match. */
static void merge_with_previous(piece_list *pieces) {
    size_t count = 0;
    bool previous_match = false;
    for (size_t i = 0; i < pieces->count; i++) {
        piece p = pieces->data[i];
        if (p.is_match && !previous_match && count > 0)
            pieces->data[count - 1].to = p.to;
        else
            pieces->data[count++] = p;
        previous_match = p.is_match;
    }
    pieces->count = count;
}

static void merge_with_next(piece_list *pieces) {
    size_t first = pieces->count;
    bool next_match_seen = false;
    for (size_t i = pieces->count; i-- > 0;) {
        piece p = pieces->data[i];
        if (p.is_match && !next_match_seen && first < pieces->count)
            pieces->data[first].from = p.from;
        else
            pieces->data[--first] = p;
        next_match_seen = p.is_match;
    }
    if (first < pieces->count) memmove(pieces->data, pieces->data + first, (pieces->count - first) * sizeof *pieces->data);
    pieces->count -= first;
}

static void merge_contiguous(piece_list *pieces) {
    size_t count = 0;
    bool previous_match = false;
    for (size_t i = 0; i < pieces->count; i++) {
        piece p = pieces->data[i];
        if (p.is_match == previous_match && count > 0)
            pieces->data[count - 1].to = p.to;
        else
            pieces->data[count++] = p;
        previous_match = p.is_match;
    }
    pieces->count = count;
}

static tn_status split_with_neighbours(const walk *w, uint32_t stage, tn_bytes text) {
    piece_list pieces = {0};
    tn_status status = collect(w, stage, text, &pieces);
    if (status == TN_OK) {
        switch (w->pipeline->stages[stage].part.number_a) {
        case TN_SPLIT_MERGED_WITH_PREVIOUS: merge_with_previous(&pieces); break;
        case TN_SPLIT_MERGED_WITH_NEXT: merge_with_next(&pieces); break;
        default: merge_contiguous(&pieces); break;
        }
    }
    for (size_t i = 0; i < pieces.count && status == TN_OK; i++) status = pass_on(w, stage, text, pieces.data[i].from, pieces.data[i].to);
    tn_array_deinit(w->scratch->allocator, &pieces);
    return status;
}

static tn_status prefix_space(const walk *w, uint32_t stage, tn_bytes text) {
    if (text.data[0] == ' ') return run_stage(w, stage + 1, text);
    tn_text *prefixed = &w->scratch->prefixed[stage];
    prefixed->allocator = w->scratch->allocator;
    tn_text_reset(prefixed);
    tn_text_append_char(prefixed, ' ');
    tn_text_append(prefixed, text.data, text.size);
    if (prefixed->failed) return tn_fail_memory(w->scratch->diag, "a word", text.size + 1);
    return run_stage(w, stage + 1, (tn_bytes){prefixed->data, prefixed->size});
}

static tn_status run_stage(const walk *w, uint32_t stage, tn_bytes text) {
    if (stage == w->pipeline->count) return w->on_word(w->user, text);
    const tn_part *part = &w->pipeline->stages[stage].part;
    switch (part->kind) {
    case TN_PART_BYTE_LEVEL: return w->on_word(w->user, text); /* the last stage; the model reads bytes */
    case TN_PART_PREFIX_SPACE: return prefix_space(w, stage, text);
    case TN_PART_SPLIT:
        if (part->number_a == TN_SPLIT_ISOLATED || part->number_a == TN_SPLIT_REMOVED) return split_at_once(w, stage, text);
        return split_with_neighbours(w, stage, text);
    default: return tn_fail(w->scratch->diag, TN_INTERNAL, "cannot pre-tokenize with part %d", (int)part->kind);
    }
}

tn_status tn_pre_tokenize(const tn_pipeline *pipeline, tn_pre_tokenizer_scratch *scratch, tn_bytes text, tn_word_fn on_word, void *user) {
    if (text.size == 0) return TN_OK;
    if (!scratch->regex) {
        tn_status status = tn_regex_scratch_create(scratch->allocator, scratch->diag, &scratch->regex);
        if (status != TN_OK) return status;
    }
    walk w = {pipeline, scratch, on_word, user};
    return run_stage(&w, 0, text);
}

void tn_pre_tokenizer_scratch_deinit(tn_pre_tokenizer_scratch *scratch) {
    tn_regex_scratch_destroy(scratch->regex);
    scratch->regex = NULL;
    for (uint32_t i = 0; i < TN_MAX_PARTS; i++) tn_text_deinit(&scratch->prefixed[i]);
}
