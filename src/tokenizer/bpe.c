/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe.c: see bpe.h.
 */
#include "tokenizer/bpe.h"

#include <stdio.h>
#include <string.h>

#include "tokenizer/byte_level.h"

/* A piece of the model's vocabulary that plain text may become. */
static int32_t find_model_piece(const tn_image *image, const char *piece, size_t size) {
    int32_t id = tn_image_find_piece(image, piece, size);
    if (id < 0) return -1;
    uint32_t flags = image->tokens[id].flags;
    return (flags & TN_TOKEN_MODEL) && !(flags & TN_TOKEN_SPECIAL) ? id : -1;
}

void tn_bpe_init(tn_bpe *bpe, const tn_image *image, bool is_byte_level) {
    bpe->image = image;
    bpe->is_byte_level = is_byte_level;
    bpe->longest_piece = 0;
    for (uint32_t i = 0; i < image->num_tokens; i++)
        if (image->tokens[i].piece.size > bpe->longest_piece) bpe->longest_piece = image->tokens[i].piece.size;
    for (int i = 0; i < 256; i++) {
        char piece[8];
        uint32_t code_point = is_byte_level ? tn_byte_to_code_point((uint8_t)i) : (uint32_t)i;
        int size = tn_utf8_encode(code_point, piece);
        bpe->unit_ids[i] = is_byte_level || i < 128 ? find_model_piece(image, piece, (size_t)size) : -1;
        snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)i);
        bpe->fallback_ids[i] = image->header->model_flags & TN_MODEL_BYTE_FALLBACK ? find_model_piece(image, piece, strlen(piece)) : -1;
    }
}

void tn_bpe_scratch_deinit(tn_bpe_scratch *scratch) {
    tn_array_deinit(scratch->allocator, &scratch->symbols);
    tn_array_deinit(scratch->allocator, &scratch->heap);
    tn_text_deinit(&scratch->piece);
}

/* ---- units ---- */

/* There is room: a word has at most as many symbols as bytes. */
static void add_symbol(tn_bpe_scratch *scratch, int32_t id) {
    int32_t index = (int32_t)scratch->symbols.count;
    scratch->symbols.data[scratch->symbols.count++] = (tn_bpe_symbol){(uint32_t)id, index - 1, index + 1};
}

/* All bytes of a character the model does not know, if each has a token. */
static bool add_fallback(const tn_bpe *bpe, tn_bpe_scratch *scratch, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bpe->fallback_ids[(uint8_t)bytes[i]] < 0) return false;
    for (size_t i = 0; i < size; i++) add_symbol(scratch, bpe->fallback_ids[(uint8_t)bytes[i]]);
    return true;
}

static int32_t unit_id(const tn_bpe *bpe, const char *unit, size_t size) {
    if (size == 1) return bpe->unit_ids[(uint8_t)unit[0]];
    return find_model_piece(bpe->image, unit, size);
}

/* The word's units as symbols. Unknown ones become the unknown token, which waits until the next known unit (in the source
 * library byte fall-back does not flush it), or nothing. */
static void fill_symbols(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_bytes word) {
    int32_t unk_id = bpe->image->header->unk_id;
    bool fuse = (bpe->image->header->model_flags & TN_MODEL_FUSE_UNK) != 0, has_unk = false;
    scratch->symbols.count = 0;
    for (size_t at = 0; at < word.size;) {
        uint32_t code_point;
        int size = bpe->is_byte_level ? 1 : tn_utf8_decode(word.data + at, word.size - at, &code_point);
        size_t unit_size = size > 0 ? (size_t)size : 1;
        int32_t id = unit_id(bpe, word.data + at, unit_size);
        if (id >= 0) {
            if (has_unk) add_symbol(scratch, unk_id);
            has_unk = false;
            add_symbol(scratch, id);
        } else if (!add_fallback(bpe, scratch, word.data + at, unit_size) && unk_id >= 0) {
            if (has_unk && !fuse) add_symbol(scratch, unk_id);
            has_unk = true;
        }
        at += unit_size;
    }
    if (has_unk) add_symbol(scratch, unk_id);
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

/* The token that is the whole word, or -1. */
static int32_t find_word(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_bytes word) {
    if (word.size > bpe->longest_piece) return -1;
    if (!bpe->is_byte_level) return find_model_piece(bpe->image, word.data, word.size);
    char piece[512];
    if (word.size > (sizeof piece - 4) / 2) { /* two bytes for each at most */
        scratch->piece.allocator = scratch->allocator;
        tn_text_reset(&scratch->piece);
        for (size_t i = 0; i < word.size; i++) {
            char bytes[4];
            int size = tn_utf8_encode(tn_byte_to_code_point((uint8_t)word.data[i]), bytes);
            tn_text_append(&scratch->piece, bytes, (size_t)size);
        }
        return scratch->piece.failed ? -2 : find_model_piece(bpe->image, scratch->piece.data, scratch->piece.size);
    }
    size_t size = 0;
    for (size_t i = 0; i < word.size; i++) size += (size_t)tn_utf8_encode(tn_byte_to_code_point((uint8_t)word.data[i]), piece + size);
    return find_model_piece(bpe->image, piece, size);
}

tn_status tn_bpe_encode(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_bytes word, tn_id_list *ids) {
    const tn_allocator *allocator = scratch->allocator;
    if (bpe->image->header->model_flags & TN_MODEL_IGNORE_MERGES) {
        int32_t id = find_word(bpe, scratch, word);
        if (id == -2) return tn_fail_memory(scratch->diag, "a word", word.size * 2);
        if (id >= 0) return tn_array_push(allocator, ids, id) ? TN_OK : tn_fail_memory(scratch->diag, "ids", sizeof id);
    }
    scratch->symbols.count = scratch->heap.count = 0;
    if (!tn_array_reserve(allocator, &scratch->symbols, word.size + 1) || !tn_array_reserve(allocator, &scratch->heap, 2 * word.size + 2))
        return tn_fail_memory(scratch->diag, "a word", word.size * (sizeof(tn_bpe_symbol) + 2 * sizeof(tn_bpe_candidate)));
    fill_symbols(bpe, scratch, word);
    if (scratch->symbols.count == 0) return TN_OK;
    merge_symbols(bpe, scratch);
    if (!tn_array_reserve(allocator, ids, scratch->symbols.count))
        return tn_fail_memory(scratch->diag, "ids", scratch->symbols.count * sizeof(int32_t));
    for (int32_t i = 0; i >= 0; i = scratch->symbols.data[i].next) ids->data[ids->count++] = (int32_t)scratch->symbols.data[i].id;
    return TN_OK;
}
