/* SPDX-License-Identifier: Apache-2.0
 *
 * added.c: finds added tokens in a text: leftmost, then longest. Patterns are sorted, so walking down the bytes of the text
 * narrows a range of them; most places fail at the first byte.
 */
#include "tokenizer/code_point.h"
#include "tokenizer/tokenizer_internal.h"

static uint8_t pattern_byte(const tn_image *image, uint32_t index, uint32_t depth) {
    return (uint8_t)image->strings[image->added[index].pattern.offset + depth];
}

/* The first entry of [low, high), all longer than depth, whose byte there is ≥ byte. */
static uint32_t lower_bound(const tn_image *image, uint32_t low, uint32_t high, uint32_t depth, unsigned byte) {
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (pattern_byte(image, middle, depth) < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest allowed entry that matches at `at`, or num_added. */
static uint32_t longest_at(const tn_tokenizer *tokenizer, int group, tn_bytes text, size_t at, tn_special_fn is_allowed, const void *user) {
    const tn_image *image = &tokenizer->image;
    uint8_t first = (uint8_t)text.data[at];
    uint32_t low = tokenizer->added[group].begin[first], high = tokenizer->added[group].begin[first + 1];
    uint32_t best = image->num_added;
    for (uint32_t depth = 1; low < high; depth++) {
        bool found = false;
        for (; low < high && image->added[low].pattern.size == depth; low++) {
            bool allowed = !(image->added[low].flags & TN_ADDED_SPECIAL) || is_allowed(user, at, at + depth);
            if (allowed && !found) {
                best = low;
                found = true;
            }
        }
        if (at + depth >= text.size) break;
        uint8_t byte = (uint8_t)text.data[at + depth];
        low = lower_bound(image, low, high, depth, byte);
        high = lower_bound(image, low, high, depth, byte + 1u);
    }
    return best;
}

static bool is_alone(tn_bytes text, size_t from, size_t to) {
    if (from > 0) {
        size_t before = from;
        if (tn_is_word(tn_previous_code_point(text, &before))) return false;
    }
    return to == text.size || !tn_is_word(tn_next_code_point(text, &to));
}

bool tn_find_added(const tn_tokenizer *tokenizer, int group, tn_bytes text, size_t at, size_t done, tn_special_fn is_allowed,
                   const void *user, tn_added_match *out_match) {
    const tn_image *image = &tokenizer->image;
    const uint32_t *begin = tokenizer->added[group].begin;
    if (begin[0] == begin[256]) return false;
    for (; at < text.size; at++) {
        uint8_t first = (uint8_t)text.data[at];
        if (begin[first] == begin[first + 1]) continue;
        uint32_t index = longest_at(tokenizer, group, text, at, is_allowed, user);
        if (index == image->num_added) continue;
        const tn_added_entry *added = &image->added[index];
        size_t from = at, to = at + added->pattern.size;
        if ((added->flags & TN_ADDED_SINGLE_WORD) && !is_alone(text, from, to)) {
            at = to - 1;
            continue;
        }
        out_match->pattern_end = to;
        while ((added->flags & TN_ADDED_LSTRIP) && from > done) {
            size_t before = from;
            if (!tn_is_white_space(tn_previous_code_point(text, &before))) break;
            from = before;
        }
        while ((added->flags & TN_ADDED_RSTRIP) && to < text.size) {
            size_t behind = to;
            if (!tn_is_white_space(tn_next_code_point(text, &behind))) break;
            to = behind;
        }
        out_match->from = from < done ? done : from;
        out_match->to = to;
        out_match->id = (int32_t)added->id;
        return true;
    }
    return false;
}
