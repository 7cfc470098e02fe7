/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_internal.h: what a tokenizer is made of. Its image is the only truth; the rest is derived when it is opened.
 */
#ifndef TN_TOKENIZER_TOKENIZER_INTERNAL_H_
#define TN_TOKENIZER_TOKENIZER_INTERNAL_H_

#include "base/file.h"
#include "format/gguf.h"
#include "tenon/tokenizer.h"
#include "tokenizer/bpe.h"
#include "tokenizer/part.h"
#include "tokenizer/spec.h"
#include "tokenizer/unigram.h"

struct tn_tokenizer {
    tn_allocator allocator_copy;
    const tn_allocator *allocator; /* &allocator_copy, or NULL */
    void *owned_image;             /* NULL: mapped or borrowed */
    size_t image_size;
    tn_file file; /* descriptor -1: none */
    tn_image image;
    tn_pipeline normalizer, pre_tokenizer, decoder;
    uint32_t longest_piece; /* bytes of the longest one in the vocabulary */
    tn_bpe bpe;             /* what the model of this kind derives; the others stay zero */
    tn_unigram unigram;
    struct {
        uint32_t begin[257]; /* entries whose pattern begins with byte b: [begin[b], begin[b + 1]) */
    } added[2];              /* those searched in the text as it came; in normalized text */
};

/* Makes the tokenizer of a finished spec. */
TN_MUST_CHECK tn_status tn_tokenizer_create_from_spec(const tn_spec *spec, tn_tokenizer **out_tokenizer);
/* As tn_tokenizer_load_compiled, without looking at the checksum: for tests and fuzzing. */
TN_MUST_CHECK tn_status tn_tokenizer_open_unsealed(const void *data, size_t size_bytes, const tn_tokenizer_options *options,
                                                   tn_tokenizer **out_tokenizer);

/* The loaders; `name` stands in messages. */
TN_MUST_CHECK tn_status tn_spec_read_json(tn_spec *spec, const char *name, const char *json, size_t size_bytes);
TN_MUST_CHECK tn_status tn_spec_read_sentencepiece(tn_spec *spec, const char *name, const void *data, size_t size_bytes);
TN_MUST_CHECK tn_status tn_spec_read_directory(tn_spec *spec, const char *directory);
TN_MUST_CHECK tn_status tn_spec_read_gguf(tn_spec *spec, const tn_gguf *gguf);

/* The added token that matches at or behind *at, for which is_allowed answers true if special; false: none. group 0: in the
 * text as it came, 1: in normalized text. The match may be longer than the pattern by white space. `done` is where the one
 * before ended. */
typedef bool (*tn_special_fn)(const void *user, size_t from, size_t to);
typedef struct tn_added_match {
    size_t from, to, pattern_end;
    int32_t id;
} tn_added_match;
bool tn_find_added(const tn_tokenizer *tokenizer, int group, tn_bytes text, size_t at, size_t done, tn_special_fn is_allowed,
                   const void *user, tn_added_match *out_match);

/* Options whose size the caller gave: copies what both sides know, the rest stays as initialised. */
TN_MUST_CHECK tn_status tn_options_copy(void *options, size_t options_size, const void *given, const char *what, tn_diag *diag);

#endif
