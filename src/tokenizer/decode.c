/* SPDX-License-Identifier: Apache-2.0
 *
 * decode.c: ids → text, at once or one by one, by the same steps: a token's piece goes through the decoder (decoder.h) into
 * `held`, and what is whole UTF-8 there comes out. So both ways give the same text.
 */
#include <string.h>

#include "tokenizer/code_point.h"
#include "tokenizer/decoder.h"
#include "tokenizer/tokenizer_internal.h"

struct tn_detokenizer {
    const tn_tokenizer *tokenizer;
    tn_diag *diag;
    bool skip_special;
    bool is_first; /* no token has come yet */
    tn_decoder decoder;
    tn_text held, out;
};

void tn_detokenizer_options_init(tn_detokenizer_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
    options->skip_special = true;
}

static void restart(tn_detokenizer *d) {
    d->is_first = true;
    tn_decoder_reset(&d->decoder);
    tn_text_reset(&d->held);
}

static void init(tn_detokenizer *d, const tn_tokenizer *tokenizer, bool skip_special, tn_diag *diag) {
    memset(d, 0, sizeof *d);
    d->tokenizer = tokenizer;
    d->diag = diag;
    d->skip_special = skip_special;
    d->held.allocator = d->out.allocator = tokenizer->allocator;
    tn_decoder_init(&d->decoder, &tokenizer->decoder, tokenizer->allocator, diag, &d->held);
    restart(d);
}

static void deinit(tn_detokenizer *d) {
    tn_decoder_deinit(&d->decoder);
    tn_text_deinit(&d->held);
    tn_text_deinit(&d->out);
}

static tn_status hold_token(tn_detokenizer *d, int32_t id) {
    const tn_image *image = &d->tokenizer->image;
    const tn_pipeline *decoder = &d->tokenizer->decoder;
    if (id < 0 || (uint32_t)id >= image->num_tokens) return TN_OK;
    const tn_token_entry *token = &image->tokens[id];
    if (!(token->flags & TN_TOKEN_USED)) return TN_OK;
    bool has_pieces = decoder->count > 0 && decoder->stages[0].part.kind == TN_PART_PIECES;
    if (d->skip_special && (token->flags & TN_TOKEN_SPECIAL)) /* sentencepiece's ends a run of byte tokens all the same */
        return has_pieces ? tn_decoder_push(&d->decoder, (tn_bytes){"", 0}) : TN_OK;
    tn_bytes piece = tn_image_bytes(image, token->piece);
    if (decoder->count == 0 && !d->is_first) tn_text_append_char(&d->held, ' '); /* pieces joined by a space */
    d->is_first = false;
    if (has_pieces && decoder->stages[0].part.b.size > 0 && id == image->header->unk_id) piece = decoder->stages[0].part.b;
    return tn_decoder_push(&d->decoder, piece);
}

/* Moves what is whole from held to out; is_end: all of it. */
static void release_text(tn_detokenizer *d, bool is_end, tn_text *out) {
    const char *held = d->held.data;
    size_t size = d->held.size, at = 0, copied = 0;
    while (at < size) {
        uint32_t code_point;
        int length = tn_utf8_decode(held + at, size - at, &code_point);
        if (length > 0) {
            at += (size_t)length;
            continue;
        }
        if (length < 0 && !is_end) break;
        tn_text_append(out, held + copied, at - copied);
        tn_text_append(out, "\xEF\xBF\xBD", 3);
        at += tn_utf8_bad_size(held + at, size - at);
        copied = at;
    }
    if (at > copied) tn_text_append(out, held + copied, at - copied);
    if (at > 0 && at < size) memmove(d->held.data, held + at, size - at);
    d->held.size = size - at;
}

static tn_status feed(tn_detokenizer *d, int32_t id, tn_text *out) {
    tn_status status = hold_token(d, id);
    if (status != TN_OK) return status;
    release_text(d, false, out);
    if (d->held.failed || out->failed) return tn_fail_memory(d->diag, "decoded text", out->size);
    return TN_OK;
}

static tn_status finish(tn_detokenizer *d, tn_text *out) {
    tn_status status = tn_decoder_finish(&d->decoder);
    release_text(d, true, out);
    tn_text_append(out, "", 0); /* a NUL, even behind nothing */
    if (status == TN_OK && (d->held.failed || out->failed)) status = tn_fail_memory(d->diag, "decoded text", out->size);
    restart(d);
    return status;
}

tn_status tn_tokenizer_decode(const tn_tokenizer *tokenizer, const int32_t *ids, size_t num_ids, bool skip_special, tn_diag *diag,
                              char **out_text, size_t *out_size_bytes) {
    *out_text = NULL;
    *out_size_bytes = 0;
    tn_detokenizer d;
    init(&d, tokenizer, skip_special, diag);
    tn_text out = {.allocator = tokenizer->allocator};
    tn_status status = TN_OK;
    for (size_t i = 0; i < num_ids && status == TN_OK; i++) status = feed(&d, ids[i], &out);
    if (status == TN_OK) status = finish(&d, &out);
    deinit(&d);
    if (status != TN_OK) {
        tn_text_deinit(&out);
        return status;
    }
    *out_text = out.data;
    *out_size_bytes = out.size;
    return TN_OK;
}

tn_status tn_detokenizer_create(const tn_tokenizer *tokenizer, const tn_detokenizer_options *given, tn_detokenizer **out_detokenizer) {
    *out_detokenizer = NULL;
    tn_detokenizer_options options;
    tn_detokenizer_options_init(&options);
    tn_status status = tn_options_copy(&options, sizeof options, given, "tn_detokenizer_options", NULL);
    if (status != TN_OK) return status;
    tn_detokenizer *d = tn_alloc(tokenizer->allocator, sizeof *d);
    if (!d) return tn_fail_memory(options.diag, "a detokenizer", sizeof *d);
    init(d, tokenizer, options.skip_special, options.diag);
    *out_detokenizer = d;
    return TN_OK;
}

void tn_detokenizer_destroy(tn_detokenizer *d) {
    if (!d) return;
    deinit(d);
    tn_free(d->tokenizer->allocator, d);
}

static void lend(const tn_detokenizer *d, tn_status status, const char **out_text, size_t *out_size_bytes) {
    *out_text = status == TN_OK && d->out.data ? d->out.data : "";
    *out_size_bytes = status == TN_OK ? d->out.size : 0;
}

tn_status tn_detokenizer_push(tn_detokenizer *d, int32_t id, const char **out_text, size_t *out_size_bytes) {
    tn_text_reset(&d->out);
    tn_status status = feed(d, id, &d->out);
    lend(d, status, out_text, out_size_bytes);
    return status;
}

tn_status tn_detokenizer_finish(tn_detokenizer *d, const char **out_text, size_t *out_size_bytes) {
    tn_text_reset(&d->out);
    tn_status status = finish(d, &d->out);
    lend(d, status, out_text, out_size_bytes);
    return status;
}
