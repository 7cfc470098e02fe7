/* SPDX-License-Identifier: Apache-2.0
 *
 * encode.c: text → ids. Added tokens cut the text, what lies between is normalized, cut again, cut into words, and each word
 * goes through the model.
 *
 * Words repeat: a table of the words encoded so far in this call points back into the text and into the ids made for them,
 * so a repeated word is a compare and a copy. It holds a fixed number of words and is never shared between calls.
 */
#include <string.h>

#include "base/checked.h"
#include "base/hash.h"
#include "tokenizer/code_point.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer_internal.h"
#include "tokenizer/word_piece.h"

#define CACHE_SLOTS    8192u /* a power of two */
#define CACHE_MIN_TEXT 1024u /* below, the table costs more than it saves */
#define CACHE_MAX_WORD 64u

typedef struct cached_word {
    uint32_t offset, size; /* in the text; size 0: empty */
    uint32_t first_id, num_ids;
} cached_word;

typedef struct stretch {
    size_t end; /* in the text */
    bool is_template;
} stretch;

typedef struct encoder {
    const tn_tokenizer *tokenizer;
    const tn_allocator *allocator;
    tn_diag *diag;
    tn_bytes text; /* valid UTF-8 where the normalizer needs it */
    char *owned_text;
    TN_ARRAY(stretch) stretches; /* cover the text */
    tn_id_list ids;
    tn_normalizer_scratch normalizer;
    tn_pre_tokenizer_scratch pre_tokenizer;
    tn_bpe_scratch bpe;
    tn_unigram_scratch unigram;
    tn_word_piece_scratch word_piece;
    cached_word *cache; /* NULL: none */
} encoder;

void tn_encode_options_init(tn_encode_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
    options->add_special = true;
}

/* ---- the text and which of it is template ---- */

/* Copies with U+FFFD for each maximal ill-formed part. */
static void append_repaired(tn_text *out, const char *bytes, size_t size) {
    size_t copied = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code_point;
        int length = tn_utf8_decode(bytes + at, size - at, &code_point);
        if (length > 0) {
            at += (size_t)length;
            continue;
        }
        tn_text_append(out, bytes + copied, at - copied);
        tn_text_append(out, "\xEF\xBF\xBD", 3);
        at += tn_utf8_bad_size(bytes + at, size - at);
        copied = at;
    }
    tn_text_append(out, bytes + copied, size - copied);
}

/* sentencepiece's normalizer reads any bytes; what reads UTF-8 only gets it. */
static tn_status take_text(encoder *e, const tn_text_segment *segments, size_t num_segments) {
    size_t size = 0;
    for (size_t i = 0; i < num_segments; i++)
        if (!tn_add_size(size, segments[i].size_bytes, &size) || size > INT32_MAX / 3)
            return tn_fail(e->diag, TN_INVALID_ARGUMENT, "cannot encode a text of more than %d bytes", INT32_MAX / 3);
    const tn_pipeline *normalizer = &e->tokenizer->normalizer;
    bool takes_bytes = normalizer->count > 0 && normalizer->stages[0].part.kind == TN_PART_SENTENCEPIECE;
    bool is_whole = num_segments == 1 && (takes_bytes || tn_utf8_is_valid(segments[0].text, segments[0].size_bytes));
    tn_text joined = {.allocator = e->allocator};
    for (size_t i = 0; i < num_segments; i++) {
        if (!is_whole && takes_bytes) tn_text_append(&joined, segments[i].text, segments[i].size_bytes);
        if (!is_whole && !takes_bytes && segments[i].size_bytes) append_repaired(&joined, segments[i].text, segments[i].size_bytes);
        stretch s = {is_whole ? size : joined.size, segments[i].is_template};
        if (!tn_array_push(e->allocator, &e->stretches, s)) joined.failed = true;
    }
    e->owned_text = joined.data;
    if (joined.failed) return tn_fail_memory(e->diag, "a text", size);
    e->text = is_whole ? (tn_bytes){segments[0].text, size} : (tn_bytes){joined.data, joined.size};
    return TN_OK;
}

/* Whether all of [from, to) is template. */
static bool is_template(const encoder *e, size_t from, size_t to) {
    size_t low = 0, high = e->stretches.count;
    while (low < high) { /* the first stretch that ends behind `from` */
        size_t middle = low + (high - low) / 2;
        if (e->stretches.data[middle].end <= from)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < e->stretches.count; low++) {
        if (!e->stretches.data[low].is_template) return false;
        if (e->stretches.data[low].end >= to) return true;
    }
    return false;
}

/* A search window in the text, or a normalized copy of one: then it is template as a whole or not at all. */
typedef struct window {
    const encoder *encoder;
    size_t offset;
    bool is_copy, is_template;
} window;

static bool is_special_allowed(const void *user, size_t from, size_t to) {
    const window *w = user;
    return w->is_copy ? w->is_template : is_template(w->encoder, w->offset + from, w->offset + to);
}

/* ---- words ---- */

static tn_status push_id(encoder *e, int32_t id) {
    return tn_array_push(e->allocator, &e->ids, id) ? TN_OK : tn_fail_memory(e->diag, "ids", (e->ids.count + 1) * sizeof id);
}

static tn_status run_model(encoder *e, tn_bytes word) {
    const tn_tokenizer *t = e->tokenizer;
    switch ((tn_model_kind)t->image.header->model_kind) {
    case TN_MODEL_UNIGRAM: return tn_unigram_encode(&t->unigram, &e->unigram, word, &e->ids);
    case TN_MODEL_WORD_PIECE: return tn_word_piece_encode(&t->image, t->longest_piece, &e->word_piece, word, &e->ids);
    case TN_MODEL_WORD_LEVEL: return tn_word_level_encode(&t->image, e->diag, e->allocator, word, &e->ids);
    default: return tn_bpe_encode(&t->bpe, &e->bpe, word, &e->ids);
    }
}

static tn_status encode_word(void *user, tn_bytes word) {
    encoder *e = user;
    uintptr_t offset = (uintptr_t)word.data - (uintptr_t)e->text.data;
    if (!e->cache || word.size > CACHE_MAX_WORD || offset >= e->text.size) return run_model(e, word);
    cached_word *cached = &e->cache[tn_hash(word.data, word.size, 0) & (CACHE_SLOTS - 1)];
    if (cached->size == word.size && memcmp(e->text.data + cached->offset, word.data, word.size) == 0) {
        if (!tn_array_reserve(e->allocator, &e->ids, cached->num_ids))
            return tn_fail_memory(e->diag, "ids", (e->ids.count + cached->num_ids) * sizeof(int32_t));
        memcpy(e->ids.data + e->ids.count, e->ids.data + cached->first_id, cached->num_ids * sizeof(int32_t));
        e->ids.count += cached->num_ids;
        return TN_OK;
    }
    size_t first = e->ids.count;
    tn_status status = run_model(e, word);
    if (status == TN_OK) *cached = (cached_word){(uint32_t)offset, (uint32_t)word.size, (uint32_t)first, (uint32_t)(e->ids.count - first)};
    return status;
}

static tn_status encode_plain(encoder *e, tn_bytes text, bool is_begin) {
    return tn_pre_tokenize(&e->tokenizer->pre_tokenizer, &e->pre_tokenizer, text, is_begin, encode_word, e);
}

/* Text between added tokens of the first group: normalized, then cut at those of the second. */
static tn_status encode_between(encoder *e, size_t from, size_t to) {
    tn_bytes text = {e->text.data + from, to - from};
    if (text.size == 0) return TN_OK;
    tn_bytes normalized;
    tn_status status = tn_normalize(&e->tokenizer->normalizer, &e->normalizer, text, &normalized);
    if (status != TN_OK) return status;
    window w = {.encoder = e, .offset = from, .is_copy = normalized.data != text.data || normalized.size != text.size};
    if (w.is_copy) w.is_template = is_template(e, from, to);
    size_t done = 0;
    tn_added_match match = {0};
    while (tn_find_added(e->tokenizer, 1, normalized, match.pattern_end, done, is_special_allowed, &w, &match)) {
        if (done < match.from) status = encode_plain(e, (tn_bytes){normalized.data + done, match.from - done}, from + done == 0);
        if (status == TN_OK) status = push_id(e, match.id);
        if (status != TN_OK) return status;
        done = match.to;
    }
    if (done < normalized.size) status = encode_plain(e, (tn_bytes){normalized.data + done, normalized.size - done}, from + done == 0);
    return status;
}

static tn_status encode_all(encoder *e) {
    window w = {.encoder = e};
    size_t done = 0;
    tn_added_match match = {0};
    while (tn_find_added(e->tokenizer, 0, e->text, match.pattern_end, done, is_special_allowed, &w, &match)) {
        tn_status status = done < match.from ? encode_between(e, done, match.from) : TN_OK;
        if (status == TN_OK) status = push_id(e, match.id);
        if (status != TN_OK) return status;
        done = match.to;
    }
    return done < e->text.size ? encode_between(e, done, e->text.size) : TN_OK;
}

static void release(encoder *e) {
    tn_normalizer_scratch_deinit(&e->normalizer);
    tn_pre_tokenizer_scratch_deinit(&e->pre_tokenizer);
    tn_bpe_scratch_deinit(&e->bpe);
    tn_unigram_scratch_deinit(&e->unigram);
    tn_word_piece_scratch_deinit(&e->word_piece);
    tn_array_deinit(e->allocator, &e->stretches);
    tn_array_deinit(e->allocator, &e->ids);
    tn_free(e->allocator, e->owned_text);
    tn_free(e->allocator, e->cache);
}

static tn_status add_ids(encoder *e, const int32_t *ids, uint32_t count) {
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < count && status == TN_OK; i++) status = push_id(e, ids[i]);
    return status;
}

tn_status tn_tokenizer_encode_segments(const tn_tokenizer *tokenizer, const tn_text_segment *segments, size_t num_segments,
                                       const tn_encode_options *given, int32_t **out_ids, size_t *out_num_ids) {
    *out_ids = NULL;
    *out_num_ids = 0;
    tn_encode_options options;
    tn_encode_options_init(&options);
    tn_status status = tn_options_copy(&options, sizeof options, given, "tn_encode_options", NULL);
    if (status != TN_OK) return status;
    const tn_allocator *allocator = tokenizer->allocator;
    encoder e = {.tokenizer = tokenizer, .allocator = allocator, .diag = options.diag};
    e.normalizer = (tn_normalizer_scratch){.allocator = allocator, .diag = options.diag};
    e.pre_tokenizer = (tn_pre_tokenizer_scratch){.allocator = allocator, .diag = options.diag};
    e.bpe = (tn_bpe_scratch){.allocator = allocator, .diag = options.diag};
    e.unigram = (tn_unigram_scratch){.allocator = allocator, .diag = options.diag};
    e.word_piece = (tn_word_piece_scratch){.allocator = allocator, .diag = options.diag};

    const tn_image *image = &tokenizer->image;
    status = take_text(&e, segments, num_segments);
    if (status == TN_OK && !tn_array_reserve(allocator, &e.ids, e.text.size / 3 + 8)) status = tn_fail_memory(e.diag, "ids", e.text.size);
    if (status == TN_OK && e.text.size >= CACHE_MIN_TEXT) e.cache = tn_alloc_array(allocator, CACHE_SLOTS, sizeof *e.cache);
    if (status == TN_OK && options.add_special) status = add_ids(&e, image->prefix, image->num_prefix);
    if (status == TN_OK) status = encode_all(&e);
    if (status == TN_OK && options.add_special) status = add_ids(&e, image->suffix, image->num_suffix);
    if (status == TN_OK) {
        *out_ids = e.ids.data;
        *out_num_ids = e.ids.count;
        e.ids.data = NULL;
    }
    release(&e);
    return status;
}

tn_status tn_tokenizer_encode(const tn_tokenizer *tokenizer, const char *text, size_t size_bytes, const tn_encode_options *given,
                              int32_t **out_ids, size_t *out_num_ids) {
    bool parse_special = given && given->struct_size >= offsetof(tn_encode_options, parse_special) + sizeof(bool) && given->parse_special;
    tn_text_segment segment = {text, size_bytes, parse_special};
    return tn_tokenizer_encode_segments(tokenizer, &segment, 1, given, out_ids, out_num_ids);
}
