/* SPDX-License-Identifier: Apache-2.0
 *
 * code_point.c: see code_point.h.
 */
#include "tokenizer/code_point.h"

#include <utf8proc.h>

uint32_t tn_next_code_point(tn_bytes text, size_t *at) {
    uint32_t code_point = 0xFFFD;
    int size = tn_utf8_decode(text.data + *at, text.size - *at, &code_point);
    if (size <= 0) code_point = 0xFFFD;
    *at += size > 0 ? (size_t)size : 1;
    return code_point;
}

uint32_t tn_previous_code_point(tn_bytes text, size_t *at) {
    size_t begin = *at - 1;
    while (begin > 0 && ((unsigned char)text.data[begin] & 0xC0) == 0x80) begin--;
    *at = begin;
    return tn_next_code_point(text, &begin);
}

size_t tn_utf8_bad_size(const char *bytes, size_t size) {
    uint32_t code_point;
    for (size_t part = size < 3 ? size : 3; part > 1; part--)
        if (tn_utf8_decode(bytes, part, &code_point) < 0) return part;
    return 1;
}

bool tn_is_white_space(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool tn_is_word(uint32_t c) {
    if (c == 0x200C || c == 0x200D) return true;
    if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189))
        return true; /* alphabetic symbols */
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return false;
    }
}
