/* SPDX-License-Identifier: Apache-2.0
 *
 * charsmap.c: see charsmap.h.
 */
#include "tokenizer/charsmap.h"

#include <utf8proc.h>

#include "base/memory.h"
#include "tokenizer/code_point.h"
#include "tokenizer/part.h"

static uint32_t unit_at(const tn_charsmap *charsmap, uint32_t index) {
    const unsigned char *b = (const unsigned char *)charsmap->units + (size_t)index * 4;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* Bits 10 and up, shifted by a byte more where bit 9 is set. */
static uint32_t offset_of(uint32_t unit) {
    return (unit >> 10) << ((unit & 1u << 9) >> 6);
}

static tn_status refuse(tn_diag *diag, const char *what) {
    return tn_fail(diag, TN_INVALID_DATA, "cannot use the tokenizer's character rules: %s", what);
}

static tn_status open_spared(tn_charsmap *charsmap, tn_diag *diag) {
    tn_bytes list = charsmap->spared;
    if (list.size > 0 && list.data[list.size - 1] != 0) return refuse(diag, "a spared string has no end");
    uint32_t at = 0;
    for (unsigned byte = 0; byte <= 256; byte++) {
        charsmap->spared_begin[byte] = at;
        while (byte < 256 && at < list.size && (uint8_t)list.data[at] == byte) at += (uint32_t)strlen(list.data + at) + 1;
    }
    return at == list.size ? TN_OK : refuse(diag, "the spared strings are not sorted");
}

static tn_status open_table(tn_charsmap *charsmap, tn_bytes table, tn_diag *diag) {
    if (table.size == 0) return TN_OK;
    if (table.size < 4) return refuse(diag, "the table is cut off");
    charsmap->units = table.data;
    uint32_t trie_size = unit_at(charsmap, 0);
    if (trie_size == 0 || trie_size % 4 != 0 || trie_size > table.size - 4) return refuse(diag, "the table is shorter than its trie");
    charsmap->units = table.data + 4;
    charsmap->num_units = trie_size / 4;
    charsmap->strings = (tn_bytes){table.data + 4 + trie_size, table.size - 4 - trie_size};
    if (!tn_utf8_is_valid(charsmap->strings.data, charsmap->strings.size)) return refuse(diag, "a string is not UTF-8");
    if (charsmap->strings.size == 0 || charsmap->strings.data[charsmap->strings.size - 1] != 0) return refuse(diag, "a string has no end");
    return TN_OK;
}

tn_status tn_charsmap_create(tn_bytes table, tn_bytes spared, const tn_allocator *allocator, tn_diag *diag, tn_charsmap **out_charsmap) {
    *out_charsmap = NULL;
    tn_charsmap *charsmap = tn_alloc_zero(allocator, sizeof *charsmap);
    if (!charsmap) return tn_fail_memory(diag, "character rules", sizeof *charsmap);
    charsmap->allocator = allocator;
    charsmap->spared = spared;
    tn_status status = open_table(charsmap, table, diag);
    if (status == TN_OK) status = open_spared(charsmap, diag);
    if (status != TN_OK) {
        tn_charsmap_destroy(charsmap);
        return status;
    }
    *out_charsmap = charsmap;
    return TN_OK;
}

void tn_charsmap_destroy(tn_charsmap *charsmap) {
    if (charsmap) tn_free(charsmap->allocator, charsmap);
}

static bool is_boundary(tn_bytes text, size_t at) {
    return at == text.size || ((unsigned char)text.data[at] & 0xC0) != 0x80;
}

/* The string of a rule for a beginning of `text`: of the longest one, or of the shortest. *out_size is the beginning's size. */
static bool find_rule(const tn_charsmap *charsmap, tn_bytes text, bool longest, size_t *out_size, tn_bytes *out_string) {
    if (charsmap->num_units == 0) return false;
    bool found = false;
    uint32_t node = offset_of(unit_at(charsmap, 0));
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        node ^= byte;
        if (byte == 0 || node >= charsmap->num_units) break;
        uint32_t unit = unit_at(charsmap, node);
        if ((unit & (1u << 31 | 0xFF)) != byte) break;
        node ^= offset_of(unit);
        if (!(unit & 1u << 8) || node >= charsmap->num_units || !tn_utf8_is_valid(text.data, i + 1)) continue;
        uint32_t place = unit_at(charsmap, node) & 0x7FFFFFFFu;
        if (place >= charsmap->strings.size || !is_boundary(charsmap->strings, place)) continue;
        const char *string = charsmap->strings.data + place;
        *out_size = i + 1;
        *out_string = (tn_bytes){string, strlen(string)};
        found = true;
        if (!longest) break;
    }
    return found;
}

/* ---- as the tokenizers library ---- */

static void apply_to_characters(const tn_charsmap *charsmap, tn_bytes cluster, tn_text *out) {
    for (size_t at = 0; at < cluster.size;) {
        size_t begin = at, size;
        (void)tn_next_code_point(cluster, &at);
        tn_bytes character = {cluster.data + begin, at - begin}, string = character;
        (void)find_rule(charsmap, character, false, &size, &string);
        tn_text_append(out, string.data, string.size);
    }
}

void tn_charsmap_apply(const tn_charsmap *charsmap, tn_bytes text, tn_text *out) {
    for (size_t begin = 0; begin < text.size;) {
        size_t end = begin, size;
        utf8proc_int32_t state = 0;
        uint32_t last = tn_next_code_point(text, &end);
        while (end < text.size) {
            size_t behind = end;
            uint32_t next = tn_next_code_point(text, &behind);
            if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)last, (utf8proc_int32_t)next, &state)) break;
            last = next;
            end = behind;
        }
        tn_bytes cluster = {text.data + begin, end - begin}, string;
        if (cluster.size < 6 && find_rule(charsmap, cluster, false, &size, &string))
            tn_text_append(out, string.data, string.size);
        else
            apply_to_characters(charsmap, cluster, out);
        begin = end;
    }
}

/* ---- as sentencepiece ---- */

/* The longest spared string that `text` begins with; 0: none. */
static size_t spared_size(const tn_charsmap *charsmap, tn_bytes text) {
    size_t longest = 0;
    uint8_t first = (uint8_t)text.data[0];
    for (uint32_t at = charsmap->spared_begin[first]; at < charsmap->spared_begin[first + 1];) {
        size_t size = strlen(charsmap->spared.data + at);
        if (size > longest && size <= text.size && memcmp(charsmap->spared.data + at, text.data, size) == 0) longest = size;
        at += (uint32_t)size + 1;
    }
    return longest;
}

/* What stands for the next characters of the text, and how many bytes they are. */
static tn_bytes next_string(const tn_charsmap *charsmap, tn_bytes text, size_t *out_size) {
    tn_bytes string;
    size_t size = spared_size(charsmap, text);
    if (size == 0 && find_rule(charsmap, text, true, &size, &string)) {
        *out_size = size;
        return string;
    }
    if (size == 0) {
        uint32_t code_point;
        int length = tn_utf8_decode(text.data, text.size, &code_point);
        if (length <= 0) { /* an ill-formed byte, which no rule is for */
            *out_size = 1;
            return tn_bytes_of("\xEF\xBF\xBD");
        }
        size = (size_t)length;
    }
    *out_size = size;
    return (tn_bytes){text.data, size};
}

static void append_space(uint32_t flags, tn_text *out) {
    if (flags & TN_PART_ESCAPE_SPACES)
        tn_text_append_string(out, TN_SPACE_SYMBOL);
    else
        tn_text_append_char(out, ' ');
}

static void append_string(uint32_t flags, tn_bytes string, tn_text *out) {
    for (size_t i = 0; i < string.size; i++)
        if (string.data[i] == ' ')
            append_space(flags, out);
        else
            tn_text_append_char(out, string.data[i]);
}

static void remove_trailing_spaces(uint32_t flags, tn_text *out) {
    const char *space = flags & TN_PART_ESCAPE_SPACES ? TN_SPACE_SYMBOL : " ";
    size_t size = strlen(space);
    while (out->size >= size && memcmp(out->data + out->size - size, space, size) == 0) out->size -= size;
}

void tn_charsmap_normalize(const tn_charsmap *charsmap, uint32_t flags, tn_bytes text, tn_text *out) {
    bool removes = (flags & TN_PART_REMOVE_SPACES) != 0;
    size_t at = 0, size;
    while (removes && at < text.size) {
        tn_bytes string = next_string(charsmap, (tn_bytes){text.data + at, text.size - at}, &size);
        if (string.size != 1 || string.data[0] != ' ') break;
        at += size;
    }
    if (at == text.size) return;
    if ((flags & TN_PART_DUMMY_PREFIX) && !(flags & TN_PART_DUMMY_SUFFIX)) append_space(flags, out);
    bool is_behind_space = removes;
    while (at < text.size) {
        tn_bytes string = next_string(charsmap, (tn_bytes){text.data + at, text.size - at}, &size);
        at += size;
        while (is_behind_space && string.size > 0 && string.data[0] == ' ') string = (tn_bytes){string.data + 1, string.size - 1};
        if (string.size == 0) continue;
        append_string(flags, string, out);
        is_behind_space = removes && string.data[string.size - 1] == ' ';
    }
    if (removes) remove_trailing_spaces(flags, out);
    if ((flags & TN_PART_DUMMY_PREFIX) && (flags & TN_PART_DUMMY_SUFFIX)) append_space(flags, out);
}
