/* SPDX-License-Identifier: Apache-2.0
 *
 * unigram.c: see unigram.h.
 */
#include "tokenizer/unigram.h"

#include "tokenizer/code_point.h"

void tn_unigram_init(tn_unigram *unigram, const tn_image *image) {
    unigram->image = image;
    tn_image_find_byte_tokens(image, unigram->fallback_ids);
    uint32_t at = 0;
    for (unsigned byte = 0; byte <= 256; byte++) {
        unigram->begin[byte] = at;
        while (byte < 256 && at < image->num_sorted &&
               (uint8_t)tn_image_bytes(image, image->tokens[image->sorted[at]].piece).data[0] == byte)
            at++;
    }
}

/* The byte of a sorted piece at `depth`, or -1 behind its end. */
static int piece_byte(const tn_image *image, uint32_t index, size_t depth) {
    tn_bytes piece = tn_image_bytes(image, image->tokens[image->sorted[index]].piece);
    return depth < piece.size ? (uint8_t)piece.data[depth] : -1;
}

/* The first of [low, high) whose byte there is ≥ byte. */
static uint32_t lower_bound(const tn_image *image, uint32_t low, uint32_t high, size_t depth, int byte) {
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (piece_byte(image, middle, depth) < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void consider(const tn_unigram *unigram, tn_unigram_node *nodes, uint32_t from, size_t to, double score, int32_t id) {
    double sum = nodes[from].score + score;
    if (unigram->image->header->model_flags & TN_MODEL_FLOAT_SCORES) sum = (double)(float)sum;
    if (nodes[to].from != UINT32_MAX && !(sum > nodes[to].score)) return;
    nodes[to] = (tn_unigram_node){sum, from, id};
}

/* All pieces that begin at `at`. Returns whether one of them is the character there. */
static bool consider_pieces(const tn_unigram *unigram, tn_unigram_node *nodes, tn_bytes word, size_t at, size_t character_size) {
    const tn_image *image = unigram->image;
    uint8_t first = (uint8_t)word.data[at];
    uint32_t low = unigram->begin[first], high = unigram->begin[first + 1];
    bool has_character = false;
    for (size_t depth = 1; low < high; depth++) {
        uint32_t id = image->sorted[low];
        if (image->tokens[id].piece.size == depth) {
            consider(unigram, nodes, (uint32_t)at, at + depth, image->scores[id], (int32_t)id);
            has_character = has_character || depth == character_size;
            low++;
        }
        if (at + depth >= word.size) break;
        int byte = (uint8_t)word.data[at + depth];
        low = lower_bound(image, low, high, depth, byte);
        high = lower_bound(image, low, high, depth, byte + 1);
    }
    return has_character;
}

static bool push_bytes(const tn_unigram *unigram, tn_bytes unknown, int32_t *ids, size_t *count) {
    for (size_t i = 0; i < unknown.size; i++)
        if (unigram->fallback_ids[(uint8_t)unknown.data[i]] < 0) return false;
    for (size_t i = unknown.size; i-- > 0;) ids[(*count)++] = unigram->fallback_ids[(uint8_t)unknown.data[i]];
    return true;
}

/* Walks back from the end. Neighbouring unknown characters are one: its bytes, else the unknown token. */
static size_t collect(const tn_unigram *unigram, const tn_unigram_node *nodes, tn_bytes word, int32_t *ids) {
    size_t count = 0, end = word.size;
    int32_t unk_id = unigram->image->header->unk_id;
    while (end > 0) {
        size_t begin = nodes[end].from;
        if (nodes[end].id >= 0) {
            ids[count++] = nodes[end].id;
        } else {
            while (begin > 0 && nodes[begin].id < 0) begin = nodes[begin].from;
            if (!push_bytes(unigram, (tn_bytes){word.data + begin, end - begin}, ids, &count) && unk_id >= 0) ids[count++] = unk_id;
        }
        end = begin;
    }
    for (size_t i = 0; i < count / 2; i++) {
        int32_t id = ids[i];
        ids[i] = ids[count - 1 - i];
        ids[count - 1 - i] = id;
    }
    return count;
}

tn_status tn_unigram_encode(const tn_unigram *unigram, tn_unigram_scratch *scratch, tn_bytes word, tn_id_list *ids) {
    scratch->nodes.count = 0;
    if (!tn_array_reserve(scratch->allocator, &scratch->nodes, word.size + 1) || !tn_array_reserve(scratch->allocator, ids, word.size))
        return tn_fail_memory(scratch->diag, "a word", word.size * sizeof(tn_unigram_node));
    tn_unigram_node *nodes = scratch->nodes.data;
    for (size_t i = 0; i <= word.size; i++) nodes[i] = (tn_unigram_node){0, UINT32_MAX, 0};
    for (size_t at = 0; at < word.size;) {
        size_t next = at;
        (void)tn_next_code_point(word, &next);
        /* Pieces may end inside a character only where the vocabulary is not UTF-8; no way goes on from there. */
        if (!consider_pieces(unigram, nodes, word, at, next - at))
            consider(unigram, nodes, (uint32_t)at, next, unigram->image->header->unknown_score, -1);
        at = next;
    }
    ids->count += collect(unigram, nodes, word, ids->data + ids->count);
    return TN_OK;
}

void tn_unigram_scratch_deinit(tn_unigram_scratch *scratch) {
    tn_array_deinit(scratch->allocator, &scratch->nodes);
}
