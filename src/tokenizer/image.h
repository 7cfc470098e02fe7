/* SPDX-License-Identifier: Apache-2.0
 *
 * image.h: the compiled form of a tokenizer (tokenizer.bin): tables that are used where they lie.
 *
 *     0    magic "TNTOKEN\0"
 *     8    version, byte_order mark, size_bytes, checksum (XXH3 of all that follows the header)
 *     32   special ids, model flags
 *     56   chat template, the model's kind and settings
 *     96   section table: {offset, count} for each TN_SECTION_*, in this order
 *     …    the sections, each at a multiple of 8
 *
 * Every tokenizer in memory is one of these: a loader fills a spec (spec.h), tn_image_write makes the bytes, tn_image_open
 * checks them. So there is one way from tables to ids, whatever the source was. Little-endian; integers as in the structs.
 *
 * tn_image_open looks at every span, id and slot once. After it, code may index with what it finds here; before it, nothing
 * may. The checksum is for accidents only: no memory safety rests on it.
 */
#ifndef TN_TOKENIZER_IMAGE_H_
#define TN_TOKENIZER_IMAGE_H_

#include "base/memory.h"
#include "tokenizer/part.h"

#define TN_IMAGE_VERSION     2u
#define TN_MAX_TOKENS        (1u << 24)
#define TN_MAX_PIECE_SIZE    65535u     /* bytes in one vocabulary entry */
#define TN_MAX_ADDED_SIZE    1024u      /* bytes in one added token: the search for them looks this far ahead at each place */
#define TN_MAX_PATTERN_SIZE  16384u     /* bytes in one pattern */
#define TN_MAX_CHARSMAP_SIZE (1u << 24) /* bytes in a table of character rules, and in a list of strings that they spare */
#define TN_MAX_TEMPLATE_SIZE (1u << 20)
#define TN_NO_SLOT           UINT32_MAX

/* A string in the section STRINGS. */
typedef struct tn_span {
    uint32_t offset, size;
} tn_span;

enum {
    TN_TOKEN_USED = 1,    /* ids without it belong to no token */
    TN_TOKEN_MODEL = 2,   /* in the model's vocabulary, not only an added token */
    TN_TOKEN_SPECIAL = 4, /* never made from plain text */
    TN_TOKEN_HIDDEN = 8,  /* in the vocabulary, but no text is it: what stands for a byte, an unused entry */
};
typedef struct tn_token_entry {
    tn_span piece;
    uint32_t flags;
} tn_token_entry;

/* A slot of an open-addressed table: left is TN_NO_SLOT when empty. Merges that would make a special token are left out. A
 * half with TN_UNIT_CHARACTER is a character that no token is (only with TN_MODEL_LATE_UNKNOWN). */
#define TN_UNIT_CHARACTER 0x80000000u
typedef struct tn_merge_entry {
    uint32_t left, right, rank, result;
} tn_merge_entry;

enum {
    TN_ADDED_SINGLE_WORD = 1,
    TN_ADDED_LSTRIP = 2,
    TN_ADDED_RSTRIP = 4,
    TN_ADDED_NORMALIZED = 8, /* searched in normalized text; the pattern is normalized too */
    TN_ADDED_SPECIAL = 16,
    TN_ADDED_LITERAL = 32, /* with NORMALIZED: the pattern stays as it is */
};
/* First those searched in the text as it came, then the normalized ones; each group sorted by the pattern's bytes. */
typedef struct tn_added_entry {
    tn_span pattern;
    uint32_t id, flags;
} tn_added_entry;

typedef struct tn_part_entry {
    uint32_t kind, flags, number_a, number_b;
    tn_span a, b;
} tn_part_entry;

typedef enum tn_model_kind {
    TN_MODEL_BPE = 0,
    TN_MODEL_UNIGRAM,
    TN_MODEL_WORD_PIECE,
    TN_MODEL_WORD_LEVEL,
    TN_NUM_MODEL_KINDS,
} tn_model_kind;

enum { /* flags of the model */
       TN_MODEL_BYTE_FALLBACK = 1,
       TN_MODEL_FUSE_UNK = 2,
       TN_MODEL_IGNORE_MERGES = 4,     /* a word that is a token is that token */
       TN_MODEL_LATE_UNKNOWN = 8,      /* characters that no token is may merge too; what is left of them is unknown */
       TN_MODEL_FLOAT_SCORES = 16,     /* a path's score is rounded to float at each piece */
       TN_MODEL_WHOLE_LINE_FEEDS = 32, /* a word of line feeds that is a token is that token */
};

enum {
    TN_SECTION_STRINGS = 0,   /* char */
    TN_SECTION_TOKENS,        /* tn_token_entry, by id */
    TN_SECTION_VOCAB,         /* uint32_t id, open addressing by tn_hash of the piece; a power of two */
    TN_SECTION_MERGES,        /* tn_merge_entry, open addressing by tn_merge_hash; a power of two */
    TN_SECTION_ADDED,         /* tn_added_entry */
    TN_SECTION_NORMALIZER,    /* tn_part_entry, in order */
    TN_SECTION_PRE_TOKENIZER, /* tn_part_entry */
    TN_SECTION_DECODER,       /* tn_part_entry; none: pieces joined by a space */
    TN_SECTION_PREFIX,        /* int32_t: ids that add_special puts before a text */
    TN_SECTION_SUFFIX,        /* int32_t: and after it */
    TN_SECTION_END_IDS,       /* int32_t: ids that end an answer */
    TN_SECTION_SCORES,        /* double, by id; of a unigram model, else none */
    TN_SECTION_SORTED,        /* uint32_t: the ids that text may become, sorted by their pieces' bytes; of a unigram model */
    TN_NUM_SECTIONS,
};

typedef TN_ARRAY(int32_t) tn_id_list;

typedef struct tn_image_header {
    char magic[8];
    uint32_t version, byte_order;
    uint64_t size_bytes, checksum;
    int32_t bos_id, eos_id, pad_id, unk_id; /* -1: none */
    uint32_t model_flags, num_raw_added;
    tn_span chat_template; /* size 0: none */
    uint32_t model_kind;
    uint32_t max_word_characters; /* of a WordPiece model: longer words are unknown */
    tn_span affix_prefix;         /* before each unit of a word but the first; size 0: none */
    tn_span affix_suffix;         /* behind the last unit of a word */
    double unknown_score;         /* of a character that no token is, in a unigram model */
    struct {
        uint64_t offset, count;
    } sections[TN_NUM_SECTIONS];
} tn_image_header;

typedef struct tn_image {
    const tn_image_header *header;
    const char *strings;
    size_t strings_size;
    const tn_token_entry *tokens;
    uint32_t num_tokens;
    const uint32_t *vocab;
    uint32_t vocab_mask; /* number of slots less one */
    const tn_merge_entry *merges;
    uint32_t merge_mask;
    const tn_added_entry *added;
    uint32_t num_added;
    const tn_part_entry *normalizer, *pre_tokenizer, *decoder;
    uint32_t num_normalizer, num_pre_tokenizer, num_decoder;
    const int32_t *prefix, *suffix, *end_ids;
    uint32_t num_prefix, num_suffix, num_end_ids;
    const double *scores;
    const uint32_t *sorted;
    uint32_t num_sorted;
} tn_image;

/* Checks `data`, aligned to 8, and fills the view into it. check_checksum false: for tests and fuzzing of what lies behind.
 * TN_INVALID_DATA with the offset; TN_INCOMPATIBLE for another version. */
TN_MUST_CHECK tn_status tn_image_open(const void *data, size_t size_bytes, bool check_checksum, tn_diag *diag, tn_image *out_image);
/* Sets the checksum of an image whose bytes were changed. */
void tn_image_seal(void *data, size_t size_bytes);

static inline uint32_t tn_merge_hash(uint32_t left, uint32_t right) {
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(key >> 32);
}

/* The merge of two neighbours, or NULL. */
static inline const tn_merge_entry *tn_image_find_merge(const tn_image *image, uint32_t left, uint32_t right) {
    for (uint32_t slot = tn_merge_hash(left, right) & image->merge_mask;; slot = (slot + 1) & image->merge_mask) {
        const tn_merge_entry *merge = &image->merges[slot];
        if (merge->left == left && merge->right == right) return merge;
        if (merge->left == TN_NO_SLOT) return NULL;
    }
}

static inline tn_bytes tn_image_bytes(const tn_image *image, tn_span span) {
    return (tn_bytes){image->strings + span.offset, span.size};
}

/* The id of a piece, or -1. */
int32_t tn_image_find_piece(const tn_image *image, const char *piece, size_t size_bytes);
/* By byte: the id of <0x00> … where the model has byte fall-back, or -1. */
void tn_image_find_byte_tokens(const tn_image *image, int32_t out_ids[256]);
/* The id of a piece that text may become in the model, or -1. */
int32_t tn_image_find_model_piece(const tn_image *image, const char *piece, size_t size_bytes);

#endif
