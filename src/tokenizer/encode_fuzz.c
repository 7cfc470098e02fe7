/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_fuzz.c: any bytes as text for a byte-level tokenizer with all its machines. First byte: which options. Ids must
 * decode, one by one as at once.
 * covers: encode.c added.c bpe.c code_point.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/byte_level.h"
#include "tokenizer/tokenizer_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All 256 bytes, some merges, an added token of each kind; llama3's pattern. */
static tn_tokenizer *create_tokenizer(void) {
    static const char *const merges[][2] = {{"a", "b"}, {"ab", "c"}, {"\xC4\xA0", "a"}, {"a", "a"}, {"aa", "aa"}, {"t", "h"}, {"th", "e"}};
    static const char pattern[] =
        "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    tn_spec spec;
    tn_spec_init(&spec, NULL, NULL);
    bool fits = true;
    for (int i = 0; i < 256 && fits; i++) {
        char piece[4];
        int length = tn_utf8_encode(tn_byte_to_code_point((uint8_t)i), piece);
        fits = tn_spec_set_token(&spec, (uint64_t)i, 300, (tn_bytes){piece, (size_t)length}, TN_TOKEN_MODEL) == TN_OK;
    }
    for (size_t i = 0; i < 7 && fits; i++) {
        char both[16];
        int length = snprintf(both, sizeof both, "%s%s", merges[i][0], merges[i][1]);
        fits = tn_spec_set_token(&spec, 256 + i, 300, (tn_bytes){both, (size_t)length}, TN_TOKEN_MODEL) == TN_OK &&
               tn_spec_add_merge(&spec, tn_bytes_of(merges[i][0]), tn_bytes_of(merges[i][1])) == TN_OK;
    }
    for (uint32_t flags = 0; flags < 32 && fits; flags++) {
        char content[16];
        snprintf(content, sizeof content, "<%u>", flags);
        fits = tn_spec_set_token(&spec, 263 + flags, 300, tn_bytes_of(content), 0) == TN_OK &&
               tn_spec_add_added(&spec, 263 + flags, flags) == TN_OK;
    }
    tn_part nfc = {.kind = TN_PART_NFC}, lower = {.kind = TN_PART_LOWERCASE}, bytes = {.kind = TN_PART_BYTE_LEVEL};
    tn_part split = {.kind = TN_PART_SPLIT, .a = {pattern, sizeof pattern - 1}};
    tn_tokenizer *t = NULL;
    fits = fits && tn_spec_add_part(&spec, &spec.normalizer, nfc) == TN_OK && tn_spec_add_part(&spec, &spec.normalizer, lower) == TN_OK &&
           tn_spec_add_part(&spec, &spec.pre_tokenizer, split) == TN_OK && tn_spec_add_part(&spec, &spec.pre_tokenizer, bytes) == TN_OK &&
           tn_spec_add_part(&spec, &spec.decoder, bytes) == TN_OK && tn_tokenizer_create_from_spec(&spec, &t) == TN_OK;
    tn_spec_deinit(&spec);
    if (!fits) abort();
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static tn_tokenizer *t;
    if (!t) t = create_tokenizer();
    if (size == 0) return 0;
    tn_encode_options options;
    tn_encode_options_init(&options);
    options.add_special = data[0] & 1;
    options.parse_special = data[0] & 2;
    int32_t *ids;
    size_t count, whole_size, part_size;
    if (tn_tokenizer_encode(t, (const char *)data + 1, size - 1, &options, &ids, &count) != TN_OK) abort();
    char *whole;
    if (tn_tokenizer_decode(t, ids, count, data[0] & 4, NULL, &whole, &whole_size) != TN_OK) abort();
    tn_detokenizer_options detokenizer = {.struct_size = sizeof detokenizer, .skip_special = data[0] & 4};
    tn_detokenizer *d;
    if (tn_detokenizer_create(t, &detokenizer, &d) != TN_OK) abort();
    tn_text all = {0};
    const char *part;
    for (size_t i = 0; i <= count; i++) {
        if (!options.parse_special && i < count && tn_tokenizer_is_special(t, ids[i])) abort();
        if ((i < count ? tn_detokenizer_push(d, ids[i], &part, &part_size) : tn_detokenizer_finish(d, &part, &part_size)) != TN_OK) abort();
        if (!tn_utf8_is_valid(part, part_size)) abort();
        tn_text_append(&all, part, part_size);
    }
    if (all.size != whole_size || (whole_size && memcmp(all.data, whole, whole_size) != 0)) abort();
    tn_text_deinit(&all);
    tn_detokenizer_destroy(d);
    tn_tokenizer_free(t, whole);
    tn_tokenizer_free(t, ids);
    return 0;
}
