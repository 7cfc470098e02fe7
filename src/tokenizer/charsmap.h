/* SPDX-License-Identifier: Apache-2.0
 *
 * charsmap.h: sentencepiece's precompiled character rules: which strings become which. Two libraries apply the same table in
 * two ways, and both are here.
 *
 * The bytes: u32 size of the trie, the trie, the strings. The trie is a double array of u32 units (as darts-clone writes it):
 * a unit's low byte is its label, bit 8 says that a value hangs below it, the rest is the XOR offset of its children. A value
 * is the place of a string, which ends with a NUL. Little-endian; any address will do.
 */
#ifndef TN_TOKENIZER_CHARSMAP_H_
#define TN_TOKENIZER_CHARSMAP_H_

#include "tokenizer/regex.h"

typedef struct tn_charsmap {
    const tn_allocator *allocator;
    const char *units;
    uint32_t num_units;
    tn_bytes strings;
    tn_bytes spared;            /* strings that stay as they are, each with a NUL behind it, sorted */
    uint32_t spared_begin[257]; /* of those that begin with byte b: [spared_begin[b], spared_begin[b + 1]) in `spared` */
} tn_charsmap;

/* Checks the table and what it spares; both are borrowed and may be empty. Lookups check places and ends themselves, so a
 * damaged trie gives wrong rules, never wrong memory. */
TN_MUST_CHECK tn_status tn_charsmap_create(tn_bytes table, tn_bytes spared, const tn_allocator *allocator, tn_diag *diag,
                                           tn_charsmap **out_charsmap);
void tn_charsmap_destroy(tn_charsmap *charsmap); /* accepts NULL */

/* As the tokenizers library: a grapheme cluster of at most 5 bytes by the rule for its shortest beginning, else each of its
 * characters so. Text is valid UTF-8. */
void tn_charsmap_apply(const tn_charsmap *charsmap, tn_bytes text, tn_text *out);

/* As sentencepiece: at each place the longest rule; then spaces as `flags` (TN_PART_DUMMY_PREFIX …) say. Text may be any bytes:
 * each ill-formed one becomes U+FFFD. */
void tn_charsmap_normalize(const tn_charsmap *charsmap, uint32_t flags, tn_bytes text, tn_text *out);

#endif
