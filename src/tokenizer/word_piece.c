/* SPDX-License-Identifier: Apache-2.0
 *
 * word_piece.c: see word_piece.h.
 */
#include "tokenizer/word_piece.h"

#include "tokenizer/code_point.h"

static tn_status push(const tn_allocator *allocator, tn_diag *diag, int32_t id, tn_id_list *ids) {
    if (id < 0) return TN_OK; /* a model without an unknown token */
    return tn_array_push(allocator, ids, id) ? TN_OK : tn_fail_memory(diag, "ids", (ids->count + 1) * sizeof id);
}

static bool is_too_long(const tn_image *image, tn_bytes word) {
    size_t at = 0;
    for (uint32_t i = 0; at < word.size; i++) {
        if (i == image->header->max_word_characters) return true;
        (void)tn_next_code_point(word, &at);
    }
    return false;
}

/* The longest piece that the rest of the word begins with, behind the affix if it is not the first; or -1. */
static int32_t find_longest(const tn_image *image, uint32_t longest_piece, tn_text *piece, tn_bytes rest, bool is_first, size_t *out_size) {
    tn_bytes affix = tn_image_bytes(image, image->header->affix_prefix);
    if (is_first) affix.size = 0;
    size_t end = rest.size;
    if (affix.size + end > longest_piece) end = longest_piece > affix.size ? longest_piece - affix.size : 0;
    tn_text_reset(piece);
    tn_text_append(piece, affix.data, affix.size);
    tn_text_append(piece, rest.data, end);
    if (piece->failed) return -1;
    while (end > 0) {
        bool is_boundary = end == rest.size || ((unsigned char)rest.data[end] & 0xC0) != 0x80;
        int32_t id = is_boundary ? tn_image_find_model_piece(image, piece->data, affix.size + end) : -1;
        if (id >= 0) {
            *out_size = end;
            return id;
        }
        end--;
    }
    return -1;
}

tn_status tn_word_piece_encode(const tn_image *image, uint32_t longest_piece, tn_word_piece_scratch *scratch, tn_bytes word,
                               tn_id_list *ids) {
    if (is_too_long(image, word)) return push(scratch->allocator, scratch->diag, image->header->unk_id, ids);
    size_t first = ids->count, size;
    scratch->piece.allocator = scratch->allocator;
    for (size_t at = 0; at < word.size; at += size) {
        int32_t id = find_longest(image, longest_piece, &scratch->piece, (tn_bytes){word.data + at, word.size - at}, at == 0, &size);
        if (scratch->piece.failed) return tn_fail_memory(scratch->diag, "a word", word.size);
        if (id < 0) {
            ids->count = first;
            return push(scratch->allocator, scratch->diag, image->header->unk_id, ids);
        }
        tn_status status = push(scratch->allocator, scratch->diag, id, ids);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

tn_status tn_word_level_encode(const tn_image *image, tn_diag *diag, const tn_allocator *allocator, tn_bytes word, tn_id_list *ids) {
    int32_t id = tn_image_find_model_piece(image, word.data, word.size);
    return push(allocator, diag, id >= 0 ? id : image->header->unk_id, ids);
}

void tn_word_piece_scratch_deinit(tn_word_piece_scratch *scratch) {
    tn_text_deinit(&scratch->piece);
}
