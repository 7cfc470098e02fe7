/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json_model.c: the model of tokenizer.json → spec: vocabulary, merges or scores, and settings.
 */
#include <math.h>
#include <string.h>

#include "format/quote.h"
#include "tokenizer/load_json.h"

static tn_status read_vocabulary(tn_spec *spec, const tn_json_value *vocab) {
    size_t count = tn_json_count(vocab);
    for (size_t i = 0; i < count; i++) {
        const tn_json_value *member = tn_json_at(vocab, i);
        tn_bytes piece;
        piece.data = tn_json_key(member, &piece.size);
        int64_t id;
        tn_status status = tn_json_to_integer(member, 0, TN_MAX_TOKENS - 1, spec->diag, &id);
        if (status == TN_OK) status = tn_spec_set_token(spec, (uint64_t)id, count, piece, TN_TOKEN_MODEL);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

/* "a b" or ["a", "b"] */
static tn_status read_merge(tn_spec *spec, const tn_json_value *value) {
    tn_bytes left, right;
    tn_status status;
    if (tn_json_kind_of(value) == TN_JSON_ARRAY) {
        if (tn_json_count(value) != 2)
            return tn_json_fail(value, spec->diag, TN_INVALID_DATA, "has %zu parts, must have 2", tn_json_count(value));
        status = tn_json_to_string(tn_json_at(value, 0), spec->diag, &left.data, &left.size);
        if (status == TN_OK) status = tn_json_to_string(tn_json_at(value, 1), spec->diag, &right.data, &right.size);
        if (status != TN_OK) return status;
    } else {
        tn_bytes both;
        if ((status = tn_json_to_string(value, spec->diag, &both.data, &both.size)) != TN_OK) return status;
        const char *space = memchr(both.data, ' ', both.size);
        if (!space || memchr(space + 1, ' ', both.size - (size_t)(space + 1 - both.data)))
            return tn_json_fail(value, spec->diag, TN_INVALID_DATA, "must be two tokens with one space between");
        left = (tn_bytes){both.data, (size_t)(space - both.data)};
        right = (tn_bytes){space + 1, both.size - left.size - 1};
    }
    return tn_spec_add_merge(spec, left, right);
}

static tn_status read_unknown_token(tn_spec *spec, const tn_json_value *model) {
    const tn_json_value *value = tn_json_find(model, "unk_token");
    if (!tn_json_is_present(value)) return TN_OK;
    tn_bytes piece;
    tn_status status = tn_json_to_string(value, spec->diag, &piece.data, &piece.size);
    if (status != TN_OK) return status;
    spec->unk_id = tn_spec_find(spec, piece);
    if (spec->unk_id < 0 && spec->model_kind == TN_MODEL_BPE)
        return tn_json_fail(value, spec->diag, TN_INVALID_DATA, "is not in the vocabulary");
    return TN_OK;
}

/* ---- BPE ---- */

static tn_status read_affix(tn_spec *spec, const tn_json_value *model, const char *key, tn_bytes *out_affix) {
    const tn_json_value *value = tn_json_find(model, key);
    if (!tn_json_is_present(value)) return TN_OK;
    tn_bytes text;
    tn_status status = tn_json_to_string(value, spec->diag, &text.data, &text.size);
    if (status != TN_OK) return status;
    if (text.size > TN_MAX_ADDED_SIZE)
        return tn_json_fail(value, spec->diag, TN_INVALID_DATA, "has %zu bytes, at most %u are allowed", text.size, TN_MAX_ADDED_SIZE);
    out_affix->data = tn_arena_bytes(&spec->arena, text.data, text.size);
    out_affix->size = text.size;
    return out_affix->data ? TN_OK : tn_fail_memory(spec->diag, "an affix", text.size);
}

static tn_status read_flags(tn_spec *spec, const tn_json_value *model) {
    static const struct {
        const char *key;
        uint32_t flag;
    } flags[] = {{"byte_fallback", TN_MODEL_BYTE_FALLBACK}, {"fuse_unk", TN_MODEL_FUSE_UNK}, {"ignore_merges", TN_MODEL_IGNORE_MERGES}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool is_set;
        tn_status status = tn_json_get_bool_or(model, flags[i].key, false, spec->diag, &is_set);
        if (status != TN_OK) return status;
        if (is_set) spec->model_flags |= flags[i].flag;
    }
    double dropout;
    tn_status status = tn_json_get_number_or(model, "dropout", 0, 1, 0, spec->diag, &dropout);
    if (status == TN_OK && dropout > 0)
        status = tn_json_fail(tn_json_find(model, "dropout"), spec->diag, TN_UNSUPPORTED, "is not supported: it makes tokens random");
    return status;
}

static tn_status read_bpe(tn_spec *spec, const tn_json_value *model) {
    const tn_json_value *vocab = NULL, *merges = NULL;
    tn_status status = tn_spec_check_members(spec, model,
                                             "type dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback "
                                             "ignore_merges vocab merges");
    if (status == TN_OK) status = read_flags(spec, model);
    if (status == TN_OK) status = read_affix(spec, model, "continuing_subword_prefix", &spec->affix_prefix);
    if (status == TN_OK) status = read_affix(spec, model, "end_of_word_suffix", &spec->affix_suffix);
    if (status == TN_OK) status = tn_json_get_object(model, "vocab", spec->diag, &vocab);
    if (status == TN_OK) status = tn_json_get_array(model, "merges", spec->diag, &merges);
    if (status == TN_OK) status = read_vocabulary(spec, vocab);
    for (size_t i = 0; status == TN_OK && i < tn_json_count(merges); i++) status = read_merge(spec, tn_json_at(merges, i));
    return status == TN_OK ? read_unknown_token(spec, model) : status;
}

/* ---- Unigram ---- */

/* ["piece", score] for each id in turn. */
static tn_status read_scored_piece(tn_spec *spec, const tn_json_value *value, size_t id, size_t count) {
    tn_bytes piece;
    double score;
    tn_status status = tn_json_expect(value, TN_JSON_ARRAY, spec->diag);
    if (status == TN_OK && tn_json_count(value) != 2)
        status = tn_json_fail(value, spec->diag, TN_INVALID_DATA, "must be a piece and its score");
    if (status == TN_OK) status = tn_json_to_string(tn_json_at(value, 0), spec->diag, &piece.data, &piece.size);
    if (status == TN_OK) status = tn_json_to_number(tn_json_at(value, 1), -1e300, 1e300, spec->diag, &score);
    if (status == TN_OK) status = tn_spec_set_token(spec, id, count, piece, TN_TOKEN_MODEL);
    if (status == TN_OK) spec->tokens.data[id].score = score;
    return status;
}

static tn_status read_unigram(tn_spec *spec, const tn_json_value *model) {
    const tn_json_value *vocab = NULL;
    int64_t unk_id = -1;
    bool has_fallback = false;
    spec->model_kind = TN_MODEL_UNIGRAM;
    tn_status status = tn_spec_check_members(spec, model, "type unk_id vocab byte_fallback");
    if (status == TN_OK) status = tn_json_get_bool_or(model, "byte_fallback", false, spec->diag, &has_fallback);
    if (status == TN_OK) status = tn_json_get_array(model, "vocab", spec->diag, &vocab);
    if (status != TN_OK) return status;
    if (has_fallback) spec->model_flags |= TN_MODEL_BYTE_FALLBACK;
    size_t count = tn_json_count(vocab);
    if (count > TN_MAX_TOKENS) return tn_json_fail(vocab, spec->diag, TN_INVALID_DATA, "has more than %u pieces", TN_MAX_TOKENS);
    for (size_t i = 0; status == TN_OK && i < count; i++) status = read_scored_piece(spec, tn_json_at(vocab, i), i, count);
    if (status == TN_OK && tn_json_is_present(tn_json_find(model, "unk_id")))
        status = tn_json_get_integer(model, "unk_id", 0, (int64_t)count - 1, spec->diag, &unk_id);
    spec->unk_id = (int32_t)unk_id;
    double least = INFINITY;
    for (size_t i = 0; i < spec->tokens.count; i++)
        if (spec->tokens.data[i].score < least) least = spec->tokens.data[i].score;
    spec->unknown_score = least - 10; /* the source library's penalty */
    return status;
}

/* ---- WordPiece and WordLevel ---- */

static tn_status read_word_piece(tn_spec *spec, const tn_json_value *model) {
    const tn_json_value *vocab = NULL;
    int64_t longest = 100;
    spec->model_kind = TN_MODEL_WORD_PIECE;
    tn_status status = tn_spec_check_members(spec, model, "type unk_token continuing_subword_prefix max_input_chars_per_word vocab");
    if (status == TN_OK) status = read_affix(spec, model, "continuing_subword_prefix", &spec->affix_prefix);
    if (status == TN_OK) status = tn_json_get_integer_or(model, "max_input_chars_per_word", 0, UINT32_MAX, 100, spec->diag, &longest);
    spec->max_word_characters = (uint32_t)longest;
    if (status == TN_OK) status = tn_json_get_object(model, "vocab", spec->diag, &vocab);
    if (status == TN_OK) status = read_vocabulary(spec, vocab);
    return status == TN_OK ? read_unknown_token(spec, model) : status;
}

static tn_status read_word_level(tn_spec *spec, const tn_json_value *model) {
    const tn_json_value *vocab = NULL;
    spec->model_kind = TN_MODEL_WORD_LEVEL;
    tn_status status = tn_spec_check_members(spec, model, "type unk_token vocab");
    if (status == TN_OK) status = tn_json_get_object(model, "vocab", spec->diag, &vocab);
    if (status == TN_OK) status = read_vocabulary(spec, vocab);
    return status == TN_OK ? read_unknown_token(spec, model) : status;
}

tn_status tn_spec_read_model(tn_spec *spec, const tn_json_value *model) {
    static const struct {
        const char *type;
        tn_status (*read)(tn_spec *spec, const tn_json_value *model);
    } models[] = {{"BPE", read_bpe}, {"Unigram", read_unigram}, {"WordPiece", read_word_piece}, {"WordLevel", read_word_level}};
    const char *type;
    char quoted[TN_QUOTE_SIZE];
    tn_status status = tn_json_get_string_or(model, "type", "BPE", spec->diag, &type);
    if (status != TN_OK) return status;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(type, models[i].type) == 0) return models[i].read(spec, model);
    return tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use the tokenizer: its model '%s' is not supported",
                   tn_quote(type, strlen(type), quoted));
}
