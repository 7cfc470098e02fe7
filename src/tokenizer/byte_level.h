/* SPDX-License-Identifier: Apache-2.0
 *
 * byte_level.h: how byte-level vocabularies write bytes. Each of the 256 bytes is one printable character: those that are
 * printable in Latin-1 stand for themselves, the 68 others are U+0100 and up, in the order of their values.
 */
#ifndef TN_TOKENIZER_BYTE_LEVEL_H_
#define TN_TOKENIZER_BYTE_LEVEL_H_

#include <stdbool.h>
#include <stdint.h>

static inline bool tn_byte_is_printable(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

static inline uint32_t tn_byte_to_code_point(uint8_t byte) {
    if (tn_byte_is_printable(byte)) return byte;
    if (byte <= 0x20) return 0x100u + byte;
    if (byte <= 0xA0) return 0x121u + (byte - 0x7Fu);
    return 0x143u; /* 0xAD */
}

/* -1: the character stands for no byte. */
static inline int tn_byte_from_code_point(uint32_t code_point) {
    if (code_point < 0x100) return tn_byte_is_printable(code_point) ? (int)code_point : -1;
    if (code_point <= 0x120) return (int)(code_point - 0x100);
    if (code_point <= 0x142) return (int)(code_point - 0x121 + 0x7F);
    return code_point == 0x143 ? 0xAD : -1;
}

#endif
