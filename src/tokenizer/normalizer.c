/* SPDX-License-Identifier: Apache-2.0
 *
 * normalizer.c: the normalizers of tokenizers, over utf8proc. Text is valid UTF-8 throughout.
 */
#include "tokenizer/normalizer.h"

#include <utf8proc.h>

#include "base/memory.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/code_point.h"
#include "tokenizer/source_unicode.h"

static void append_code_point(tn_text *out, uint32_t code_point) {
    char bytes[4];
    int size = tn_utf8_encode(code_point, bytes);
    if (size > 0) tn_text_append(out, bytes, (size_t)size);
}

void tn_append_byte_characters(tn_text *out, tn_bytes text) {
    for (size_t i = 0; i < text.size; i++) append_code_point(out, tn_byte_to_code_point((uint8_t)text.data[i]));
}

static bool is_ascii(tn_bytes text) {
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] >= 0x80) return false;
    return true;
}

/* Canonical or compatible decomposition, with composition or without. */
static tn_status compose(tn_bytes text, utf8proc_option_t options, tn_normalizer_scratch *scratch, tn_text *out) {
    /* utf8proc writes code points into an int32 buffer: 18 for one at most, so two passes. */
    utf8proc_ssize_t count = utf8proc_decompose((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.size, NULL, 0, options);
    if (count < 0) return tn_fail(scratch->diag, TN_INTERNAL, "cannot normalize a text: %s", utf8proc_errmsg(count));
    size_t capacity = (size_t)count + 1; /* one more: reencoding writes a NUL */
    utf8proc_int32_t *buffer = tn_alloc_array(scratch->allocator, capacity, sizeof *buffer);
    if (!buffer) return tn_fail_memory(scratch->diag, "normalizing", capacity * sizeof *buffer);
    count = utf8proc_decompose((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.size, buffer, count, options);
    if (count >= 0) count = utf8proc_normalize_utf32(buffer, count, options);
    for (utf8proc_ssize_t i = 0; i < count; i++) append_code_point(out, (uint32_t)buffer[i]);
    tn_free(scratch->allocator, buffer);
    if (count < 0) return tn_fail(scratch->diag, TN_INTERNAL, "cannot normalize a text: %s", utf8proc_errmsg(count));
    return TN_OK;
}

/* ---- a character at a time ---- */

#define REMOVED UINT32_MAX

static uint32_t without_mark(const tn_part *part, uint32_t c) {
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return (part->number_a ? tn_source_is_mark(category, c) : tn_source_is_accent(category, c)) ? REMOVED : c;
}

static uint32_t clean_control(const tn_part *part, uint32_t c) {
    (void)part;
    if (c == '\t' || c == '\n' || c == '\r') return ' ';
    if (c == 0 || c == 0xFFFD || tn_source_is_control(utf8proc_category((utf8proc_int32_t)c), c)) return REMOVED;
    return tn_is_white_space(c) ? ' ' : c;
}

static uint32_t clean_as_nmt(const tn_part *part, uint32_t c) {
    (void)part;
    if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) return REMOVED;
    bool is_space = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
                    c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    return is_space ? ' ' : c;
}

static uint32_t to_lower(const tn_part *part, uint32_t c) {
    (void)part;
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

static void map_characters(uint32_t (*map)(const tn_part *part, uint32_t c), const tn_part *part, tn_bytes text, tn_text *out) {
    for (size_t at = 0; at < text.size;) {
        uint32_t c = tn_next_code_point(text, &at);
        if (c == 0x130 && map == to_lower) { /* the one letter that grows */
            tn_text_append(out, "i\xCC\x87", 3);
            continue;
        }
        c = map(part, c);
        if (c != REMOVED) append_code_point(out, c);
    }
}

/* The blocks that BERT calls Chinese. */
static bool is_han(uint32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static void space_han(tn_bytes text, tn_text *out) {
    for (size_t at = 0; at < text.size;) {
        size_t begin = at;
        bool spaced = is_han(tn_next_code_point(text, &at));
        if (spaced) tn_text_append_char(out, ' ');
        tn_text_append(out, text.data + begin, at - begin);
        if (spaced) tn_text_append_char(out, ' ');
    }
}

tn_status tn_replace_matches(const tn_regex *regex, tn_bytes replacement, tn_bytes text, tn_regex_scratch *scratch, tn_diag *diag,
                             tn_text *out) {
    size_t copied = 0;
    for (size_t at = 0; at <= text.size;) {
        bool found;
        size_t from, to;
        tn_status status = tn_regex_find(regex, scratch, text, at, diag, &found, &from, &to);
        if (status != TN_OK) return status;
        if (!found) break;
        tn_text_append(out, text.data + copied, from - copied);
        tn_text_append(out, replacement.data, replacement.size);
        copied = at = to;
        if (from == to) { /* an empty match: go on behind the next code point */
            if (at == text.size) break;
            (void)tn_next_code_point(text, &at);
        }
    }
    tn_text_append(out, text.data + copied, text.size - copied);
    return TN_OK;
}

static tn_status replace(const tn_pipeline *pipeline, uint32_t stage, tn_bytes text, tn_normalizer_scratch *scratch, tn_text *out) {
    if (!scratch->regex) {
        tn_status status = tn_regex_scratch_create(scratch->allocator, scratch->diag, &scratch->regex);
        if (status != TN_OK) return status;
    }
    return tn_replace_matches(pipeline->stages[stage].regex, pipeline->stages[stage].part.b, text, scratch->regex, scratch->diag, out);
}

static tn_bytes strip(tn_bytes text, bool left, bool right) {
    while (left && text.size > 0) {
        size_t at = 0;
        if (!tn_is_white_space(tn_next_code_point(text, &at))) break;
        text.data += at;
        text.size -= at;
    }
    while (right && text.size > 0) {
        size_t begin = text.size;
        if (!tn_is_white_space(tn_previous_code_point(text, &begin))) break;
        text.size = begin;
    }
    return text;
}

static utf8proc_option_t composition(tn_part_kind kind) {
    switch (kind) {
    case TN_PART_NFC: return UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    case TN_PART_NFD: return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    case TN_PART_NFKC: return UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE;
    default: return UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE;
    }
}

tn_status tn_normalize(const tn_pipeline *pipeline, tn_normalizer_scratch *scratch, tn_bytes text, tn_bytes *out_text) {
    tn_status status = TN_OK;
    int free_text = 0; /* the other one may hold the input */
    for (uint32_t i = 0; i < pipeline->count && text.size > 0; i++) {
        const tn_part *part = &pipeline->stages[i].part;
        tn_text *out = &scratch->text[free_text];
        out->allocator = scratch->allocator;
        tn_text_reset(out);
        switch (part->kind) {
        case TN_PART_NFC:
        case TN_PART_NFD:
        case TN_PART_NFKC:
        case TN_PART_NFKD:
            if (is_ascii(text)) continue;
            status = compose(text, composition(part->kind), scratch, out);
            break;
        case TN_PART_LOWERCASE: map_characters(to_lower, part, text, out); break;
        case TN_PART_STRIP_MARKS: map_characters(without_mark, part, text, out); break;
        case TN_PART_CLEAN_CONTROLS: map_characters(clean_control, part, text, out); break;
        case TN_PART_NMT: map_characters(clean_as_nmt, part, text, out); break;
        case TN_PART_SPACE_HAN: space_han(text, out); break;
        case TN_PART_CHARSMAP: tn_charsmap_apply(pipeline->stages[i].charsmap, text, out); break;
        case TN_PART_SENTENCEPIECE: tn_charsmap_normalize(pipeline->stages[i].charsmap, part->flags, text, out); break;
        case TN_PART_BYTE_CHARACTERS: tn_append_byte_characters(out, text); break;
        case TN_PART_PREPEND:
            tn_text_append(out, part->a.data, part->a.size);
            tn_text_append(out, text.data, text.size);
            break;
        case TN_PART_REPLACE: status = replace(pipeline, i, text, scratch, out); break;
        case TN_PART_STRIP_ENDS: text = strip(text, part->number_a != 0, part->number_b != 0); continue;
        default: return tn_fail(scratch->diag, TN_INTERNAL, "cannot normalize with part %d", (int)part->kind);
        }
        if (status != TN_OK) return status;
        if (out->failed) return tn_fail_memory(scratch->diag, "normalizing", text.size);
        if (out->size == text.size && memcmp(out->data, text.data, text.size) == 0) continue;
        text = (tn_bytes){out->data, out->size};
        free_text = 1 - free_text;
    }
    *out_text = text;
    return TN_OK;
}

void tn_normalizer_scratch_deinit(tn_normalizer_scratch *scratch) {
    tn_regex_scratch_destroy(scratch->regex);
    scratch->regex = NULL;
    tn_text_deinit(&scratch->text[0]);
    tn_text_deinit(&scratch->text[1]);
}
