/* SPDX-License-Identifier: Apache-2.0
 *
 * load_sentencepiece.c: a sentencepiece .model file → spec: its bpe and unigram models.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/quote.h"
#include "format/sentencepiece.h"
#include "tokenizer/tokenizer_internal.h"

static tn_bytes to_bytes(tn_sentencepiece_bytes bytes) {
    return (tn_bytes){bytes.data, bytes.size};
}

static int compare_strings(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The user's own symbols, sorted, each with a NUL: the normalizer leaves them alone. */
static tn_status list_user_symbols(tn_spec *spec, const char *name, const tn_sentencepiece *model, tn_bytes *out_list) {
    size_t count = 0, size = 0;
    const char **symbols = tn_alloc_array(spec->allocator, model->num_pieces, sizeof *symbols);
    if (!symbols) return tn_fail_memory(spec->diag, "a sentencepiece model", model->num_pieces * sizeof *symbols);
    tn_status status = TN_OK;
    for (size_t i = 0; i < model->num_pieces && status == TN_OK; i++) {
        tn_bytes text = to_bytes(model->pieces[i].text);
        if (model->pieces[i].type != TN_PIECE_USER_DEFINED) continue;
        if (text.size == 0 || memchr(text.data, 0, text.size))
            status = tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: its symbol %zu is empty or holds a NUL", name, i);
        else if (!(symbols[count++] = tn_arena_bytes(&spec->arena, text.data, text.size)))
            status = tn_fail_memory(spec->diag, "a sentencepiece model", text.size);
        size += text.size + 1;
    }
    char *list = status == TN_OK ? tn_arena_alloc(&spec->arena, size) : NULL;
    if (status == TN_OK && !list) status = tn_fail_memory(spec->diag, "a sentencepiece model", size);
    if (status == TN_OK) {
        qsort(symbols, count, sizeof *symbols, compare_strings);
        size_t at = 0;
        for (size_t i = 0; i < count; i++) {
            size_t length = strlen(symbols[i]) + 1;
            memcpy(list + at, symbols[i], length);
            at += length;
        }
        *out_list = (tn_bytes){list, at};
    }
    tn_free(spec->allocator, symbols);
    return status;
}

static tn_status read_machines(tn_spec *spec, const char *name, const tn_sentencepiece *model) {
    tn_part part = {.kind = TN_PART_SENTENCEPIECE, .a = to_bytes(model->charsmap)};
    if (model->adds_dummy_prefix) part.flags |= TN_PART_DUMMY_PREFIX;
    if (model->space_is_suffix) part.flags |= TN_PART_DUMMY_SUFFIX;
    if (model->removes_extra_spaces) part.flags |= TN_PART_REMOVE_SPACES;
    if (model->escapes_spaces) part.flags |= TN_PART_ESCAPE_SPACES;
    tn_part decoder = {.kind = TN_PART_PIECES, .flags = part.flags, .b = to_bytes(model->unk_surface)};
    if (!tn_utf8_is_valid(decoder.b.data, decoder.b.size))
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: what stands for the unknown token is not UTF-8", name);
    tn_status status = list_user_symbols(spec, name, model, &part.b);
    if (status == TN_OK) status = tn_spec_add_part(spec, &spec->normalizer, part);
    return status == TN_OK ? tn_spec_add_part(spec, &spec->decoder, decoder) : status;
}

/* What the type of a piece makes of its token. */
static tn_status read_piece(tn_spec *spec, const char *name, const tn_sentencepiece *model, size_t id) {
    const tn_sentencepiece_piece *piece = &model->pieces[id];
    tn_bytes text = to_bytes(piece->text);
    bool is_bpe = spec->model_kind == TN_MODEL_BPE;
    if (!tn_utf8_is_valid(text.data, text.size) || !isfinite(piece->score))
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read %s: piece %zu is not UTF-8, or its score no number", name, id);
    if (piece->type < TN_PIECE_NORMAL || piece->type > TN_PIECE_BYTE)
        return tn_fail(spec->diag, TN_UNSUPPORTED, "cannot read %s: piece %zu has the unknown type %d", name, id, (int)piece->type);
    uint32_t flags = TN_TOKEN_MODEL;
    bool is_user_defined = piece->type == TN_PIECE_USER_DEFINED;
    if (piece->type == TN_PIECE_UNKNOWN || piece->type == TN_PIECE_BYTE || (piece->type == TN_PIECE_UNUSED && !is_bpe) ||
        (is_user_defined && is_bpe))
        flags |= TN_TOKEN_HIDDEN;
    tn_status status = tn_spec_set_token(spec, id, model->num_pieces, text, flags);
    if (status != TN_OK) return status;
    spec->tokens.data[id].score = (double)piece->score;
    if (piece->type == TN_PIECE_UNKNOWN) spec->unk_id = (int32_t)id;
    if (piece->type == TN_PIECE_CONTROL) return tn_spec_add_added(spec, (uint32_t)id, TN_ADDED_SPECIAL);
    if (is_user_defined && is_bpe) return tn_spec_add_added(spec, (uint32_t)id, TN_ADDED_NORMALIZED | TN_ADDED_LITERAL);
    return TN_OK;
}

/* A user's symbol costs nothing, so it is worth more than any cut of it; unknown characters cost more than every piece. */
static void set_unigram_scores(tn_spec *spec, const tn_sentencepiece *model) {
    float least = FLT_MAX;
    for (size_t i = 0; i < model->num_pieces; i++) {
        if (model->pieces[i].type == TN_PIECE_NORMAL && model->pieces[i].score < least) least = model->pieces[i].score;
        if (model->pieces[i].type == TN_PIECE_USER_DEFINED) spec->tokens.data[i].score = 0;
    }
    spec->unknown_score = (double)(least - 10.0f);
}

/* An unused piece that merges could make would be cut again; who has one knows of no such model. */
static tn_status add_merges(tn_spec *spec, const char *name, const tn_sentencepiece *model) {
    tn_status status = tn_spec_add_scored_merges(spec);
    for (size_t i = 0; i < spec->merges.count && status == TN_OK; i++)
        if (model->pieces[spec->merges.data[i].result].type == TN_PIECE_UNUSED)
            status = tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use %s: its piece %u is unused, which is not supported in a bpe model",
                             name, spec->merges.data[i].result);
    for (size_t i = 0; i < model->num_pieces && status == TN_OK; i++)
        if (model->pieces[i].type == TN_PIECE_UNUSED) spec->tokens.data[i].flags |= TN_TOKEN_HIDDEN;
    return status;
}

static int32_t find_control(const tn_spec *spec, tn_sentencepiece_bytes piece) {
    int32_t id = tn_spec_find(spec, to_bytes(piece));
    return id >= 0 && (spec->tokens.data[id].flags & TN_TOKEN_SPECIAL) ? id : -1;
}

static tn_status read_model(tn_spec *spec, const char *name, const tn_sentencepiece *model) {
    static const char *const kinds[] = {"word", "char"};
    if (model->model_type == TN_SENTENCEPIECE_WORD || model->model_type == TN_SENTENCEPIECE_CHAR)
        return tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use %s: its model '%s' is not supported", name,
                       kinds[model->model_type - TN_SENTENCEPIECE_WORD]);
    if (model->model_type != TN_SENTENCEPIECE_BPE && model->model_type != TN_SENTENCEPIECE_UNIGRAM)
        return tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use %s: its model has the unknown type %d", name, (int)model->model_type);
    if (model->has_denormalizer) return tn_fail(spec->diag, TN_UNSUPPORTED, "cannot use %s: its denormalizer is not supported", name);
    bool is_bpe = model->model_type == TN_SENTENCEPIECE_BPE;
    spec->model_kind = is_bpe ? TN_MODEL_BPE : TN_MODEL_UNIGRAM;
    spec->model_flags = TN_MODEL_FUSE_UNK | (is_bpe ? TN_MODEL_LATE_UNKNOWN : TN_MODEL_FLOAT_SCORES);
    if (model->has_byte_fallback) spec->model_flags |= TN_MODEL_BYTE_FALLBACK;
    tn_status status = read_machines(spec, name, model);
    for (size_t i = 0; i < model->num_pieces && status == TN_OK; i++) status = read_piece(spec, name, model, i);
    if (status == TN_OK && spec->unk_id < 0) status = tn_fail(spec->diag, TN_INVALID_DATA, "cannot use %s: it has no unknown piece", name);
    if (status == TN_OK && is_bpe) status = add_merges(spec, name, model);
    if (status == TN_OK && !is_bpe) set_unigram_scores(spec, model);
    if (status != TN_OK) return status;
    spec->bos_id = find_control(spec, model->bos_piece);
    spec->eos_id = find_control(spec, model->eos_piece);
    spec->pad_id = find_control(spec, model->pad_piece);
    return tn_spec_add_end_id(spec, spec->eos_id);
}

tn_status tn_spec_read_sentencepiece(tn_spec *spec, const char *name, const void *data, size_t size_bytes) {
    tn_sentencepiece *model;
    tn_status status = tn_sentencepiece_parse(name, data, size_bytes, spec->allocator, spec->diag, &model);
    if (status == TN_OK) status = read_model(spec, name, model);
    tn_sentencepiece_destroy(model);
    return status;
}
