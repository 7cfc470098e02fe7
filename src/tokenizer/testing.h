/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what the tests of this folder share.
 */
#ifndef TN_TOKENIZER_TESTING_H_
#define TN_TOKENIZER_TESTING_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "format/json.h"
#include "tokenizer/tokenizer_internal.h"

static inline tn_diag *make_diag(void) {
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    return diag;
}

/* The first error's message. */
static inline const char *first_message(const tn_diag *diag) {
    tn_diag_entry entry;
    return tn_diag_get(diag, 0, &entry) == TN_OK ? entry.message : "";
}

static inline void assert_mentions(const tn_diag *diag, const char *words) {
    if (!strstr(first_message(diag), words)) fail_msg("the message '%s' does not mention '%s'", first_message(diag), words);
}

/* A byte-level tokenizer.json without byte tokens but a few: small enough to cut at every byte. */
#define SMALL_JSON                                                                                                                  \
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["                                                  \
    "{\"id\":0,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}," \
    "{\"id\":9,\"content\":\"<pad>\",\"single_word\":true,\"lstrip\":true,\"rstrip\":true,\"normalized\":true,\"special\":false}]," \
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Lowercase\"}]},"                         \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["                                                                  \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{N}\"},\"behavior\":\"MergedWithPrevious\",\"invert\":false},"               \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}]},"                                \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"            \
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[0],"             \
    "\"tokens\":[\"<s>\"]}}},\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"dropout\":null,"                    \
    "\"unk_token\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{\"<s>\":0,\"a\":1,\"b\":2,"   \
    "\"c\":3,\"\xC4\xA0\":4,\"ab\":5,\"abc\":6,\"\xC4\xA0"                                                                          \
    "a\":7,\"1\":8},"                                                                                                               \
    "\"merges\":[\"a b\",[\"ab\",\"c\"],\"\xC4\xA0 a\"]}}"

static inline tn_tokenizer *load_small(void) {
    tn_tokenizer *tokenizer;
    assert_int_equal(tn_tokenizer_load_json(SMALL_JSON, strlen(SMALL_JSON), NULL, &tokenizer), TN_OK);
    return tokenizer;
}

static inline tn_tokenizer *load_golden(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/tokenizers/%s/tokenizer.json", TN_TEST_DATA, name);
    tn_tokenizer *tokenizer;
    assert_int_equal(tn_tokenizer_load(path, NULL, &tokenizer), TN_OK);
    return tokenizer;
}

#endif
