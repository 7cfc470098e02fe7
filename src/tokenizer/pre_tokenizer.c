/* SPDX-License-Identifier: Apache-2.0
 *
 * pre_tokenizer.c: each stage hands its pieces to the next as soon as it has them, so no list of pieces is kept but where
 * the behavior needs its neighbours.
 */
#include "tokenizer/pre_tokenizer.h"

#include "base/memory.h"
#include "tokenizer/code_point.h"
#include "tokenizer/normalizer.h"

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

/* A text that a stage is given; is_begin: nothing stands before it. */
typedef struct stage_text {
    tn_bytes bytes;
    bool is_begin;
} stage_text;

static tn_status run_stage(const walk *w, uint32_t stage, stage_text text);

static tn_status pass_on(const walk *w, uint32_t stage, stage_text text, size_t from, size_t to) {
    if (from == to) return TN_OK;
    return run_stage(w, stage + 1, (stage_text){{text.bytes.data + from, to - from}, text.is_begin && from == 0});
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
static tn_status split_at_once(const walk *w, uint32_t stage, stage_text text) {
    const tn_part *part = &w->pipeline->stages[stage].part;
    bool invert = (part->flags & TN_PART_INVERT) != 0, removed = part->number_a == TN_SPLIT_REMOVED;
    bool keep_match = !removed || invert, keep_between = !removed || !invert;
    size_t at = 0, done = 0;
    for (;;) {
        bool found;
        piece match = {0, 0, true};
        tn_status status = next_match(w, stage, text.bytes, &at, &found, &match);
        if (status == TN_OK && !found) break;
        if (status == TN_OK && keep_between) status = pass_on(w, stage, text, done, match.from);
        if (status == TN_OK && keep_match) status = pass_on(w, stage, text, match.from, match.to);
        if (status != TN_OK) return status;
        done = match.to;
    }
    return keep_between ? pass_on(w, stage, text, done, text.bytes.size) : TN_OK;
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

static tn_status split_with_neighbours(const walk *w, uint32_t stage, stage_text text) {
    piece_list pieces = {0};
    tn_status status = collect(w, stage, text.bytes, &pieces);
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

static tn_status cut_at_length(const walk *w, uint32_t stage, stage_text text) {
    tn_status status = TN_OK;
    for (size_t at = 0, from = 0; at < text.bytes.size && status == TN_OK; from = at) {
        for (uint32_t i = 0; i < w->pipeline->stages[stage].part.number_a && at < text.bytes.size; i++)
            (void)tn_next_code_point(text.bytes, &at);
        status = pass_on(w, stage, text, from, at);
    }
    return status;
}

/* The stages that write a text of their own. */
static tn_status change(const walk *w, uint32_t stage, stage_text text) {
    const tn_part *part = &w->pipeline->stages[stage].part;
    tn_text *out = &w->scratch->changed[stage];
    tn_status status = TN_OK;
    out->allocator = w->scratch->allocator;
    tn_text_reset(out);
    if (part->kind == TN_PART_PREFIX) {
        bool is_there = text.bytes.size >= part->a.size && memcmp(text.bytes.data, part->a.data, part->a.size) == 0;
        if ((is_there && !(part->flags & TN_PART_ALWAYS)) || ((part->flags & TN_PART_FIRST) && !text.is_begin))
            return run_stage(w, stage + 1, text);
        tn_text_append(out, part->a.data, part->a.size);
        tn_text_append(out, text.bytes.data, text.bytes.size);
    } else if (part->kind == TN_PART_REPLACE) {
        status = tn_replace_matches(w->pipeline->stages[stage].regex, part->b, text.bytes, w->scratch->regex, w->scratch->diag, out);
    } else {
        tn_append_byte_characters(out, text.bytes);
    }
    if (status == TN_OK && out->failed) status = tn_fail_memory(w->scratch->diag, "a word", text.bytes.size + part->a.size);
    if (status != TN_OK || out->size == 0) return status;
    return run_stage(w, stage + 1, (stage_text){{out->data, out->size}, text.is_begin});
}

static tn_status run_stage(const walk *w, uint32_t stage, stage_text text) {
    if (stage == w->pipeline->count) return w->on_word(w->user, text.bytes);
    const tn_part *part = &w->pipeline->stages[stage].part;
    switch (part->kind) {
    case TN_PART_BYTE_LEVEL: return w->on_word(w->user, text.bytes); /* the last stage; the model reads bytes */
    case TN_PART_PREFIX:
    case TN_PART_REPLACE:
    case TN_PART_BYTE_CHARACTERS: return change(w, stage, text);
    case TN_PART_FIXED_LENGTH: return cut_at_length(w, stage, text);
    case TN_PART_SPLIT:
        if (part->number_a == TN_SPLIT_ISOLATED || part->number_a == TN_SPLIT_REMOVED) return split_at_once(w, stage, text);
        return split_with_neighbours(w, stage, text);
    default: return tn_fail(w->scratch->diag, TN_INTERNAL, "cannot pre-tokenize with part %d", (int)part->kind);
    }
}

tn_status tn_pre_tokenize(const tn_pipeline *pipeline, tn_pre_tokenizer_scratch *scratch, tn_bytes text, bool is_begin, tn_word_fn on_word,
                          void *user) {
    if (text.size == 0) return TN_OK;
    if (!scratch->regex) {
        tn_status status = tn_regex_scratch_create(scratch->allocator, scratch->diag, &scratch->regex);
        if (status != TN_OK) return status;
    }
    walk w = {pipeline, scratch, on_word, user};
    return run_stage(&w, 0, (stage_text){text, is_begin});
}

void tn_pre_tokenizer_scratch_deinit(tn_pre_tokenizer_scratch *scratch) {
    tn_regex_scratch_destroy(scratch->regex);
    scratch->regex = NULL;
    for (uint32_t i = 0; i < TN_MAX_PARTS; i++) tn_text_deinit(&scratch->changed[i]);
}
