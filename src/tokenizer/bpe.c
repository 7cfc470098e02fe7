/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe.c: see bpe.h.
 */
#include "tokenizer/bpe.h"

#include <string.h>

#include "base/checked.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/code_point.h"
#include "tokenizer/normalizer.h"

void tn_bpe_init(tn_bpe *bpe, const tn_image *image, uint32_t longest_piece, bool is_byte_level) {
    bpe->image = image;
    bpe->is_byte_level = is_byte_level;
    bpe->longest_piece = longest_piece;
    bpe->has_affixes = image->header->affix_prefix.size > 0 || image->header->affix_suffix.size > 0;
    tn_image_find_byte_tokens(image, bpe->fallback_ids);
    for (int i = 0; i < 256; i++) {
        char piece[4];
        uint32_t code_point = is_byte_level ? tn_byte_to_code_point((uint8_t)i) : (uint32_t)i;
        int size = tn_utf8_encode(code_point, piece);
        bpe->unit_ids[i] = is_byte_level || i < 128 ? tn_image_find_model_piece(image, piece, (size_t)size) : -1;
    }
}

void tn_bpe_scratch_deinit(tn_bpe_scratch *scratch) {
    tn_array_deinit(scratch->allocator, &scratch->symbols);
    tn_array_deinit(scratch->allocator, &scratch->heap);
    tn_text_deinit(&scratch->piece);
}

/* ---- units ---- */

/* There is room: reserve_symbols counted. */
static void add_symbol(tn_bpe_scratch *scratch, uint32_t id) {
    int32_t index = (int32_t)scratch->symbols.count;
    scratch->symbols.data[scratch->symbols.count++] = (tn_bpe_symbol){id, index - 1, index + 1};
}

/* All bytes of a unit the model does not know, if each has a token. */
static bool add_fallback(const tn_bpe *bpe, tn_bpe_scratch *scratch, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bpe->fallback_ids[(uint8_t)bytes[i]] < 0) return false;
    for (size_t i = 0; i < size; i++) add_symbol(scratch, (uint32_t)bpe->fallback_ids[(uint8_t)bytes[i]]);
    return true;
}

/* The unit with the affixes that its place in the word asks for. */
static tn_bytes add_affixes(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_bytes unit, bool is_first, bool is_last) {
    tn_bytes prefix = tn_image_bytes(bpe->image, bpe->image->header->affix_prefix);
    tn_bytes suffix = tn_image_bytes(bpe->image, bpe->image->header->affix_suffix);
    if (scratch->piece.failed) return (tn_bytes){"", 0}; /* reported when the word is done */
    tn_text_reset(&scratch->piece);
    if (!is_first) tn_text_append(&scratch->piece, prefix.data, prefix.size);
    if (bpe->is_byte_level)
        tn_append_byte_characters(&scratch->piece, unit);
    else
        tn_text_append(&scratch->piece, unit.data, unit.size);
    if (is_last) tn_text_append(&scratch->piece, suffix.data, suffix.size);
    return scratch->piece.failed ? (tn_bytes){"", 0} : (tn_bytes){scratch->piece.data, scratch->piece.size};
}

static int32_t unit_id(const tn_bpe *bpe, tn_bytes unit) {
    if (unit.size == 1 && !bpe->has_affixes) return bpe->unit_ids[(uint8_t)unit.data[0]];
    return tn_image_find_model_piece(bpe->image, unit.data, unit.size);
}

/* The word's units as symbols. Unknown ones become the unknown token, which waits until the next known unit (in the source
 * library byte fall-back does not flush it), or nothing. */
static void fill_symbols(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_bytes word) {
    int32_t unk_id = bpe->image->header->unk_id;
    uint32_t flags = bpe->image->header->model_flags;
    bool has_unk = false;
    for (size_t at = 0; at < word.size;) {
        size_t begin = at++;
        uint32_t code_point = 0;
        if (!bpe->is_byte_level) {
            at = begin;
            code_point = tn_next_code_point(word, &at);
        }
        tn_bytes unit = {word.data + begin, at - begin};
        if (bpe->has_affixes) unit = add_affixes(bpe, scratch, unit, begin == 0, at == word.size);
        int32_t id = unit_id(bpe, unit);
        if (id >= 0) {
            if (has_unk) add_symbol(scratch, (uint32_t)unk_id);
            has_unk = false;
            add_symbol(scratch, (uint32_t)id);
        } else if (flags & TN_MODEL_LATE_UNKNOWN) {
            add_symbol(scratch, TN_UNIT_CHARACTER | code_point);
        } else if (!add_fallback(bpe, scratch, unit.data, unit.size) && unk_id >= 0) {
            if (has_unk && !(flags & TN_MODEL_FUSE_UNK)) add_symbol(scratch, (uint32_t)unk_id);
            has_unk = true;
        }
    }
    if (has_unk) add_symbol(scratch, (uint32_t)unk_id);
}

/* ---- merging ---- */

static void sift_up(tn_bpe_candidate *heap, size_t at) {
    tn_bpe_candidate candidate = heap[at];
    while (at > 0 && heap[(at - 1) / 2].order > candidate.order) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = candidate;
}

static void sift_down(tn_bpe_candidate *heap, size_t count, size_t at) {
    tn_bpe_candidate candidate = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) break;
        if (child + 1 < count && heap[child + 1].order < heap[child].order) child++;
        if (heap[child].order >= candidate.order) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = candidate;
}

/* There is room: a pair each at the begin, and each merge takes one out and puts two in. */
static void consider(const tn_bpe *bpe, tn_bpe_scratch *scratch, int32_t left) {
    const tn_bpe_symbol *symbols = scratch->symbols.data;
    if (left < 0 || symbols[left].next < 0) return;
    uint32_t left_id = symbols[left].id, right_id = symbols[symbols[left].next].id;
    const tn_merge_entry *merge = tn_image_find_merge(bpe->image, left_id, right_id);
    if (!merge) return;
    scratch->heap.data[scratch->heap.count] =
        (tn_bpe_candidate){(uint64_t)merge->rank << 32 | (uint32_t)left, left_id, right_id, merge->result};
    sift_up(scratch->heap.data, scratch->heap.count++);
}

static void merge_symbols(const tn_bpe *bpe, tn_bpe_scratch *scratch) {
    tn_bpe_symbol *symbols = scratch->symbols.data;
    size_t count = scratch->symbols.count;
    symbols[count - 1].next = -1;
    scratch->heap.count = 0;
    for (size_t i = 0; i + 1 < count; i++) consider(bpe, scratch, (int32_t)i);
    while (scratch->heap.count > 0) {
        tn_bpe_candidate best = scratch->heap.data[0];
        scratch->heap.data[0] = scratch->heap.data[--scratch->heap.count];
        if (scratch->heap.count > 1) sift_down(scratch->heap.data, scratch->heap.count, 0);
        int32_t left = (int32_t)(best.order & 0xffffffffu), right = symbols[left].next;
        if (symbols[left].id != best.left || right < 0 || symbols[right].id != best.right) continue; /* merged meanwhile */
        symbols[left].id = best.result;
        symbols[left].next = symbols[right].next;
        if (symbols[right].next >= 0) symbols[symbols[right].next].previous = left;
        symbols[right].id = TN_NO_SLOT; /* no candidate names it */
        symbols[right].next = -1;
        consider(bpe, scratch, symbols[left].previous);
        consider(bpe, scratch, left);
    }
}

/* ---- words ---- */

static bool is_line_feeds(tn_bytes word) {
    for (size_t i = 0; i < word.size; i++)
        if (word.data[i] != '\n') return false;
    return true;
}

/* The token that is the whole word, or -1. */
static int32_t find_word(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_bytes word) {
    if (word.size > bpe->longest_piece) return -1;
    if (!bpe->is_byte_level) return tn_image_find_model_piece(bpe->image, word.data, word.size);
    tn_text_reset(&scratch->piece);
    tn_append_byte_characters(&scratch->piece, word);
    return scratch->piece.failed ? -1 : tn_image_find_model_piece(bpe->image, scratch->piece.data, scratch->piece.size);
}

/* Characters that have not merged: their bytes, else the unknown token, one for neighbours. */
static void push_unknown(const tn_bpe *bpe, uint32_t code_point, bool is_behind_unknown, tn_id_list *ids) {
    char bytes[4];
    int size = tn_utf8_encode(code_point, bytes);
    int32_t unk_id = bpe->image->header->unk_id;
    bool has_bytes = true;
    for (int i = 0; i < size; i++) has_bytes = has_bytes && bpe->fallback_ids[(uint8_t)bytes[i]] >= 0;
    for (int i = 0; i < size && has_bytes; i++) ids->data[ids->count++] = bpe->fallback_ids[(uint8_t)bytes[i]];
    if (!has_bytes && unk_id >= 0 && !(is_behind_unknown && (bpe->image->header->model_flags & TN_MODEL_FUSE_UNK)))
        ids->data[ids->count++] = unk_id;
}

/* A unit may become as many symbols as it has bytes with its affixes. */
static tn_status reserve(const tn_bpe *bpe, tn_bpe_scratch *scratch, size_t word_size, tn_id_list *ids) {
    const tn_image_header *header = bpe->image->header;
    size_t most = word_size, per_unit = (bpe->is_byte_level && bpe->has_affixes ? 2u : 1u) + header->affix_prefix.size;
    scratch->symbols.count = scratch->heap.count = 0;
    if (!tn_mul_size(most, per_unit, &most) || !tn_add_size(most, header->affix_suffix.size + 1, &most) || most > INT32_MAX / 2 ||
        !tn_array_reserve(scratch->allocator, &scratch->symbols, most) || !tn_array_reserve(scratch->allocator, &scratch->heap, 2 * most) ||
        !tn_array_reserve(scratch->allocator, ids, most))
        return tn_fail_memory(scratch->diag, "a word", word_size * (sizeof(tn_bpe_symbol) + 2 * sizeof(tn_bpe_candidate)));
    return TN_OK;
}

tn_status tn_bpe_encode(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_bytes word, tn_id_list *ids) {
    scratch->piece.allocator = scratch->allocator;
    tn_text_reset(&scratch->piece);
    tn_status status = reserve(bpe, scratch, word.size, ids);
    if (status != TN_OK) return status;
    uint32_t flags = bpe->image->header->model_flags;
    bool may_be_whole = (flags & TN_MODEL_IGNORE_MERGES) || ((flags & TN_MODEL_WHOLE_LINE_FEEDS) && is_line_feeds(word));
    int32_t whole = may_be_whole ? find_word(bpe, scratch, word) : -1;
    if (whole < 0) fill_symbols(bpe, scratch, word);
    if (scratch->piece.failed) return tn_fail_memory(scratch->diag, "a word", word.size * 2);
    if (whole >= 0) {
        ids->data[ids->count++] = whole;
        return TN_OK;
    }
    if (scratch->symbols.count == 0) return TN_OK;
    merge_symbols(bpe, scratch);
    bool is_behind_unknown = false;
    for (int32_t i = 0; i >= 0; i = scratch->symbols.data[i].next) {
        uint32_t id = scratch->symbols.data[i].id;
        bool is_unknown = (id & TN_UNIT_CHARACTER) != 0;
        if (is_unknown)
            push_unknown(bpe, id & ~TN_UNIT_CHARACTER, is_behind_unknown, ids);
        else
            ids->data[ids->count++] = (int32_t)id;
        is_behind_unknown = is_unknown;
    }
    return TN_OK;
}
