/* SPDX-License-Identifier: Apache-2.0
 *
 * load_gguf.c: a GGUF file's metadata → spec, for the kinds gpt2 (BPE; gguf_patterns.c has its words), gemma4 and whitespace
 * (BPE over characters), llama (sentencepiece's BPE), t5 (unigram) and bert (WordPiece).
 */
#include <math.h>
#include <string.h>

#include "format/quote.h"
#include "tokenizer/gguf_patterns.h"
#include "tokenizer/load_json.h"
#include "tokenizer/tokenizer_internal.h"

#define BAD_VALUE "cannot use the tokenizer of %s: "

/* ---- parts ---- */

static tn_status add_normalizer(tn_spec *spec, tn_part_kind kind) {
    return tn_spec_add_part(spec, &spec->normalizer, (tn_part){.kind = kind});
}

static tn_status add_escaped_spaces(tn_spec *spec) {
    tn_part part = {.kind = TN_PART_REPLACE, .flags = TN_PART_LITERAL, .a = tn_bytes_of(" "), .b = tn_bytes_of(TN_SPACE_SYMBOL)};
    return tn_spec_add_part(spec, &spec->normalizer, part);
}

static tn_status read_bool(tn_spec *spec, const tn_gguf *gguf, const char *key, bool fallback, bool *out_value) {
    return tn_gguf_get_bool_or(gguf, key, fallback, spec->diag, out_value);
}

static tn_status find_pattern(tn_spec *spec, const tn_gguf *gguf, const char *kind, const tn_gguf_pattern **out_pattern) {
    const char *name = kind;
    size_t size = strlen(kind);
    char quoted[TN_QUOTE_SIZE];
    *out_pattern = NULL;
    if (strcmp(kind, "gpt2") == 0) {
        if (!tn_gguf_find(gguf, "tokenizer.ggml.pre"))
            return tn_fail(spec->diag, TN_UNSUPPORTED, BAD_VALUE "the file does not name its pre-tokenizer (tokenizer.ggml.pre)",
                           tn_gguf_name(gguf));
        tn_status status = tn_gguf_get_string(gguf, "tokenizer.ggml.pre", spec->diag, &name, &size);
        if (status != TN_OK) return status;
    }
    *out_pattern = tn_gguf_find_pattern(name, size);
    if (*out_pattern) return TN_OK;
    return tn_fail(spec->diag, TN_UNSUPPORTED, BAD_VALUE "the pre-tokenizer '%s' is not supported", tn_gguf_name(gguf),
                   tn_quote(name, size, quoted));
}

/* Words and normalizer of a BPE file. */
static tn_status read_pattern(tn_spec *spec, const tn_gguf *gguf, const tn_gguf_pattern *found) {
    unsigned flags = found->flags;
    bool prefix_space = false, lowercase = false;
    if (flags & TN_GGUF_IGNORE_MERGES) spec->model_flags |= TN_MODEL_IGNORE_MERGES;
    if (flags & TN_GGUF_WHOLE_LINE_FEEDS) spec->model_flags |= TN_MODEL_WHOLE_LINE_FEEDS;
    if (flags & TN_GGUF_RAW) spec->model_flags |= TN_MODEL_BYTE_FALLBACK;
    tn_status status = flags & TN_GGUF_NFC ? add_normalizer(spec, TN_PART_NFC) : TN_OK;
    if (status == TN_OK && (flags & TN_GGUF_ESCAPE_SPACES)) status = add_escaped_spaces(spec);
    if (status == TN_OK) status = read_bool(spec, gguf, "tokenizer.ggml.normalizer.lowercase", false, &lowercase);
    if (status == TN_OK && lowercase) status = add_normalizer(spec, TN_PART_LOWERCASE);
    if (status == TN_OK && !(flags & TN_GGUF_RAW)) status = read_bool(spec, gguf, "tokenizer.ggml.add_space_prefix", false, &prefix_space);
    if (status == TN_OK && prefix_space)
        status = tn_spec_add_part(spec, &spec->pre_tokenizer, (tn_part){.kind = TN_PART_PREFIX, .a = tn_bytes_of(" ")});
    tn_split_behavior behavior = flags & TN_GGUF_REMOVED ? TN_SPLIT_REMOVED : TN_SPLIT_ISOLATED;
    for (size_t i = 0; status == TN_OK && i < sizeof found->patterns / sizeof *found->patterns && found->patterns[i]; i++)
        status = tn_spec_add_split(spec, found->patterns[i], behavior, false);
    if (status != TN_OK) return status;
    if (!(flags & TN_GGUF_RAW)) {
        status = tn_spec_add_part(spec, &spec->pre_tokenizer, (tn_part){.kind = TN_PART_BYTE_LEVEL});
        return status == TN_OK ? tn_spec_add_part(spec, &spec->decoder, (tn_part){.kind = TN_PART_BYTE_LEVEL}) : status;
    }
    return tn_spec_add_part(spec, &spec->decoder, (tn_part){.kind = TN_PART_PIECES});
}

/* ---- tokens ---- */

enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_BYTE = 6 };

static tn_status read_token(tn_spec *spec, const tn_gguf *gguf, const tn_gguf_value *tokens, uint64_t id, int64_t type, double score) {
    tn_bytes piece;
    piece.data = tn_gguf_string(tokens, id, &piece.size);
    if (!tn_utf8_is_valid(piece.data, piece.size))
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: token %llu is not UTF-8", tn_gguf_name(gguf), (unsigned long long)id);
    if (!isfinite(score))
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: the score of token %llu is no number", tn_gguf_name(gguf),
                       (unsigned long long)id);
    uint32_t flags = TN_TOKEN_MODEL;
    if (type == TYPE_BYTE && spec->model_kind != TN_MODEL_WORD_PIECE) flags |= TN_TOKEN_HIDDEN;
    tn_status status = tn_spec_set_token(spec, id, (size_t)tokens->count, piece, flags);
    if (status != TN_OK) return status;
    spec->tokens.data[id].score = score;
    if (type != TYPE_UNKNOWN && type != TYPE_CONTROL && type != TYPE_USER_DEFINED) return TN_OK;
    if (piece.size == 0) { /* a padding row of some files */
        spec->tokens.data[id].flags |= TN_TOKEN_HIDDEN;
        return TN_OK;
    }
    return tn_spec_add_added(spec, (uint32_t)id, type == TYPE_USER_DEFINED ? 0 : TN_ADDED_SPECIAL);
}

static tn_status read_tokens(tn_spec *spec, const tn_gguf *gguf, bool needs_scores) {
    const tn_gguf_value *tokens, *types = NULL, *scores = NULL;
    tn_status status = tn_gguf_get_array(gguf, "tokenizer.ggml.tokens", TN_GGUF_STRING, spec->diag, &tokens);
    if (status == TN_OK && tn_gguf_find(gguf, "tokenizer.ggml.token_type"))
        status = tn_gguf_get_array(gguf, "tokenizer.ggml.token_type", TN_GGUF_INT64, spec->diag, &types);
    if (status == TN_OK && needs_scores) status = tn_gguf_get_array(gguf, "tokenizer.ggml.scores", TN_GGUF_FLOAT64, spec->diag, &scores);
    if (status == TN_OK && types && types->count != tokens->count)
        status = tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: it has %llu tokens but %llu token types", tn_gguf_name(gguf),
                         (unsigned long long)tokens->count, (unsigned long long)types->count);
    if (status == TN_OK && scores && scores->count != tokens->count)
        status = tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: it has %llu tokens but %llu scores", tn_gguf_name(gguf),
                         (unsigned long long)tokens->count, (unsigned long long)scores->count);
    for (uint64_t i = 0; status == TN_OK && i < tokens->count; i++) {
        int64_t type = 0;
        if (types && !tn_gguf_integer(types, i, &type)) type = 0;
        status = read_token(spec, gguf, tokens, i, type, scores ? tn_gguf_number(scores, i) : 0);
    }
    return status;
}

static tn_status read_merges(tn_spec *spec, const tn_gguf *gguf) {
    const tn_gguf_value *merges;
    tn_status status = tn_gguf_get_array(gguf, "tokenizer.ggml.merges", TN_GGUF_STRING, spec->diag, &merges);
    for (uint64_t i = 0; status == TN_OK && i < merges->count; i++) {
        tn_bytes both;
        both.data = tn_gguf_string(merges, i, &both.size);
        const char *space = both.size > 1 ? memchr(both.data + 1, ' ', both.size - 1) : NULL;
        if (!space)
            return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: merge %llu is not two tokens with a space between",
                           tn_gguf_name(gguf), (unsigned long long)i);
        size_t left = (size_t)(space - both.data);
        status = tn_spec_add_merge(spec, (tn_bytes){both.data, left}, (tn_bytes){space + 1, both.size - left - 1});
    }
    return status;
}

static tn_status read_id(tn_spec *spec, const tn_gguf *gguf, const char *key, int64_t fallback, int32_t *out_id) {
    int64_t id;
    if (fallback >= (int64_t)spec->tokens.count) fallback = -1;
    tn_status status = tn_gguf_get_integer_or(gguf, key, 0, (int64_t)spec->tokens.count - 1, fallback, spec->diag, &id);
    *out_id = (int32_t)id;
    return status;
}

/* Converters name one end id; chat models end their answers with others too, known by their strings. */
static tn_status add_known_end_ids(tn_spec *spec) {
    static const char *const names[] = {"<|im_end|>",    "<|eot_id|>",    "<|eom_id|>",      "<|end|>",
                                        "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>"};
    tn_status status = TN_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && status == TN_OK; i++) {
        int32_t id = tn_spec_find(spec, tn_bytes_of(names[i]));
        if (id >= 0 && (spec->tokens.data[id].flags & TN_TOKEN_SPECIAL)) status = tn_spec_add_end_id(spec, id);
    }
    return status;
}

/* What a kind takes for granted where its file says nothing. */
typedef struct defaults {
    const char *kind;
    int bos_id, eos_id, unk_id;
    bool add_bos, add_eos;
} defaults;

static tn_status read_special(tn_spec *spec, const tn_gguf *gguf, const defaults *d) {
    int32_t eot_id = -1, eom_id = -1;
    bool add_bos = false, add_eos = false;
    tn_status status = read_id(spec, gguf, "tokenizer.ggml.bos_token_id", d->bos_id, &spec->bos_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.eos_token_id", d->eos_id, &spec->eos_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.unknown_token_id", d->unk_id, &spec->unk_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.padding_token_id", -1, &spec->pad_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.eot_token_id", -1, &eot_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.eom_token_id", -1, &eom_id);
    if (status == TN_OK) status = tn_spec_add_end_id(spec, spec->eos_id);
    if (status == TN_OK) status = tn_spec_add_end_id(spec, eot_id);
    if (status == TN_OK) status = tn_spec_add_end_id(spec, eom_id);
    if (status == TN_OK) status = add_known_end_ids(spec);
    if (status == TN_OK) status = read_bool(spec, gguf, "tokenizer.ggml.add_bos_token", d->add_bos, &add_bos);
    if (status == TN_OK) status = read_bool(spec, gguf, "tokenizer.ggml.add_eos_token", d->add_eos, &add_eos);
    if (status == TN_OK && add_bos && spec->bos_id >= 0) status = tn_spec_add_id(spec, &spec->prefix, spec->bos_id);
    if (status == TN_OK && add_eos && spec->eos_id >= 0) status = tn_spec_add_id(spec, &spec->suffix, spec->eos_id);
    return status;
}

/* ---- kinds ---- */

static tn_status read_bpe(tn_spec *spec, const tn_gguf *gguf, const defaults *d) {
    const tn_gguf_pattern *pattern;
    defaults with_pattern = *d;
    tn_status status = find_pattern(spec, gguf, d->kind, &pattern);
    if (status != TN_OK) return status;
    with_pattern.add_bos = d->add_bos || (pattern->flags & TN_GGUF_ADD_BOS);
    status = read_pattern(spec, gguf, pattern);
    if (status == TN_OK) status = read_tokens(spec, gguf, false);
    if (status == TN_OK) status = read_merges(spec, gguf);
    if (status == TN_OK) status = read_special(spec, gguf, &with_pattern);
    spec->unk_id = -1; /* bytes that no token is add nothing */
    return status;
}

static tn_status read_sentencepiece(tn_spec *spec, const tn_gguf *gguf, const defaults *d) {
    bool prefix_space = true;
    spec->model_flags = TN_MODEL_BYTE_FALLBACK | TN_MODEL_LATE_UNKNOWN | TN_MODEL_FUSE_UNK;
    tn_status status = read_bool(spec, gguf, "tokenizer.ggml.add_space_prefix", true, &prefix_space);
    if (status == TN_OK && prefix_space)
        status = tn_spec_add_part(spec, &spec->normalizer, (tn_part){.kind = TN_PART_PREPEND, .a = tn_bytes_of(TN_SPACE_SYMBOL)});
    if (status == TN_OK) status = add_escaped_spaces(spec);
    if (status == TN_OK) status = read_tokens(spec, gguf, true);
    if (status == TN_OK) status = tn_spec_add_scored_merges(spec);
    if (status == TN_OK) status = read_special(spec, gguf, d);
    tn_part decoder = {.kind = TN_PART_PIECES, .flags = prefix_space ? TN_PART_DUMMY_PREFIX : 0};
    return status == TN_OK ? tn_spec_add_part(spec, &spec->decoder, decoder) : status;
}

static tn_status read_unigram(tn_spec *spec, const tn_gguf *gguf, const defaults *d) {
    bool prefix_space = false, remove_spaces = false;
    tn_part part = {.kind = TN_PART_SENTENCEPIECE, .flags = TN_PART_ESCAPE_SPACES};
    spec->model_kind = TN_MODEL_UNIGRAM;
    tn_status status = read_bool(spec, gguf, "tokenizer.ggml.add_space_prefix", false, &prefix_space);
    if (status == TN_OK) status = read_bool(spec, gguf, "tokenizer.ggml.remove_extra_whitespaces", false, &remove_spaces);
    const tn_gguf_value *charsmap = tn_gguf_find(gguf, "tokenizer.ggml.precompiled_charsmap");
    if (status == TN_OK && charsmap) {
        if (!charsmap->is_array || (charsmap->type != TN_GGUF_INT8 && charsmap->type != TN_GGUF_UINT8))
            return tn_fail(spec->diag, TN_INVALID_DATA, BAD_VALUE "tokenizer.ggml.precompiled_charsmap is no array of bytes",
                           tn_gguf_name(gguf));
        part.a = (tn_bytes){(const char *)charsmap->data, (size_t)charsmap->count};
    }
    if (prefix_space) part.flags |= TN_PART_DUMMY_PREFIX;
    if (remove_spaces) part.flags |= TN_PART_REMOVE_SPACES;
    tn_part decoder = {.kind = TN_PART_PIECES, .flags = part.flags};
    if (status == TN_OK) status = tn_spec_add_part(spec, &spec->normalizer, part);
    if (status == TN_OK) status = read_tokens(spec, gguf, true);
    if (status == TN_OK) status = read_special(spec, gguf, d);
    double least = 0;
    bool is_first = true;
    for (size_t i = 0; i < spec->tokens.count; i++) {
        const tn_spec_token *token = &spec->tokens.data[i];
        if ((token->flags & (TN_TOKEN_SPECIAL | TN_TOKEN_HIDDEN)) || (!is_first && token->score >= least)) continue;
        least = token->score;
        is_first = false;
    }
    spec->unknown_score = least - 10;
    return status == TN_OK ? tn_spec_add_part(spec, &spec->decoder, decoder) : status;
}

static tn_status read_word_piece(tn_spec *spec, const tn_gguf *gguf, const defaults *d) {
    bool lowercase = true, strip_marks = true;
    int32_t cls_id = -1, sep_id = -1;
    spec->model_kind = TN_MODEL_WORD_PIECE;
    spec->max_word_characters = UINT32_MAX;
    tn_status status = read_bool(spec, gguf, "tokenizer.ggml.normalizer.lowercase", true, &lowercase);
    if (status == TN_OK) status = read_bool(spec, gguf, "tokenizer.ggml.normalizer.strip_accents", lowercase, &strip_marks);
    if (status == TN_OK) status = add_normalizer(spec, TN_PART_CLEAN_CONTROLS);
    if (status == TN_OK) status = add_normalizer(spec, TN_PART_SPACE_HAN);
    if (status == TN_OK && strip_marks) status = add_normalizer(spec, TN_PART_NFD);
    if (status == TN_OK && strip_marks) status = add_normalizer(spec, TN_PART_STRIP_MARKS);
    if (status == TN_OK && lowercase) status = add_normalizer(spec, TN_PART_LOWERCASE);
    if (status == TN_OK) status = tn_spec_add_split(spec, "\\s", TN_SPLIT_REMOVED, false);
    if (status == TN_OK) status = tn_spec_add_split(spec, tn_punctuation_pattern, TN_SPLIT_ISOLATED, false);
    tn_part prefix = {.kind = TN_PART_PREFIX, .flags = TN_PART_ALWAYS, .a = tn_bytes_of(TN_SPACE_SYMBOL)};
    if (status == TN_OK) status = tn_spec_add_part(spec, &spec->pre_tokenizer, prefix);
    if (status == TN_OK) status = read_tokens(spec, gguf, false);
    if (status == TN_OK) status = read_special(spec, gguf, d);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.cls_token_id", spec->bos_id, &cls_id);
    if (status == TN_OK) status = read_id(spec, gguf, "tokenizer.ggml.seperator_token_id", 102, &sep_id);
    spec->prefix.count = spec->suffix.count = 0;
    if (status == TN_OK && cls_id >= 0) status = tn_spec_add_id(spec, &spec->prefix, cls_id);
    if (status == TN_OK && sep_id >= 0) status = tn_spec_add_id(spec, &spec->suffix, sep_id);
    tn_part decoder = {.kind = TN_PART_PIECES, .flags = TN_PART_DUMMY_PREFIX};
    return status == TN_OK ? tn_spec_add_part(spec, &spec->decoder, decoder) : status;
}

tn_status tn_spec_read_gguf(tn_spec *spec, const tn_gguf *gguf) {
    static const struct {
        defaults d;
        tn_status (*read)(tn_spec *spec, const tn_gguf *gguf, const defaults *d);
    } kinds[] = {
        {{"gpt2", -1, -1, -1, false, false}, read_bpe},       {{"gemma4", -1, -1, -1, false, false}, read_bpe},
        {{"whitespace", -1, -1, -1, false, false}, read_bpe}, {{"llama", 1, 2, 0, true, false}, read_sentencepiece},
        {{"t5", -1, 1, 2, false, true}, read_unigram},        {{"bert", 101, -1, 100, true, false}, read_word_piece},
    };
    const char *model;
    size_t size;
    char quoted[TN_QUOTE_SIZE];
    if (!tn_gguf_find(gguf, "tokenizer.ggml.model"))
        return tn_fail(spec->diag, TN_NOT_FOUND, "cannot read a tokenizer from %s: the file has none", tn_gguf_name(gguf));
    tn_status status = tn_gguf_get_string(gguf, "tokenizer.ggml.model", spec->diag, &model, &size);
    if (status != TN_OK) return status;
    size_t kind = 0, num_kinds = sizeof kinds / sizeof *kinds;
    while (kind < num_kinds && (strlen(kinds[kind].d.kind) != size || memcmp(kinds[kind].d.kind, model, size) != 0)) kind++;
    if (kind == num_kinds)
        return tn_fail(spec->diag, TN_UNSUPPORTED, BAD_VALUE "the kind '%s' is not supported", tn_gguf_name(gguf),
                       tn_quote(model, size, quoted));
    status = kinds[kind].read(spec, gguf, &kinds[kind].d);
    if (status != TN_OK || !tn_gguf_find(gguf, "tokenizer.chat_template")) return status;
    tn_bytes text;
    status = tn_gguf_get_string(gguf, "tokenizer.chat_template", spec->diag, &text.data, &text.size);
    return status == TN_OK ? tn_spec_set_chat_template(spec, text) : status;
}
