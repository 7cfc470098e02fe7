/* SPDX-License-Identifier: Apache-2.0
 *
 * decode.c: ids → text, at once or one by one, by the same steps: a token's piece goes through the decoder's parts into
 * `held`, and what is whole UTF-8 there comes out. So both ways give the same text.
 */
#include <string.h>

#include "tokenizer/byte_level.h"
#include "tokenizer/code_point.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/tokenizer_internal.h"

struct tn_detokenizer {
    const tn_tokenizer *tokenizer;
    tn_diag *diag;
    bool skip_special;
    bool is_first;       /* no token has come yet */
    uint32_t strip_left; /* characters that may still be stripped at the begin */
    bool fallback;       /* the decoder has byte fall-back */
    const tn_part *strip;
    tn_pipeline replacements; /* borrowed regexes of the decoder's REPLACE parts, in order */
    tn_normalizer_scratch scratch;
    tn_text run; /* bytes of a run of byte tokens */
    tn_text held, out;
};

void tn_detokenizer_options_init(tn_detokenizer_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
    options->skip_special = true;
}

static void restart(tn_detokenizer *d) {
    d->is_first = true;
    d->strip_left = d->strip ? d->strip->number_a : 0;
    tn_text_reset(&d->run);
    tn_text_reset(&d->held);
}

static void init(tn_detokenizer *d, const tn_tokenizer *tokenizer, bool skip_special, tn_diag *diag) {
    memset(d, 0, sizeof *d);
    d->tokenizer = tokenizer;
    d->diag = diag;
    d->skip_special = skip_special;
    d->scratch.allocator = d->run.allocator = d->held.allocator = d->out.allocator = tokenizer->allocator;
    d->scratch.diag = diag;
    for (uint32_t i = 0; i < tokenizer->decoder.count; i++) {
        const tn_part *part = &tokenizer->decoder.stages[i].part;
        if (part->kind == TN_PART_REPLACE) d->replacements.stages[d->replacements.count++] = tokenizer->decoder.stages[i];
        if (part->kind == TN_PART_BYTE_FALLBACK) d->fallback = true;
        if (part->kind == TN_PART_STRIP_COUNT) d->strip = part;
    }
    restart(d);
}

static void deinit(tn_detokenizer *d) {
    tn_normalizer_scratch_deinit(&d->scratch);
    tn_text_deinit(&d->run);
    tn_text_deinit(&d->held);
    tn_text_deinit(&d->out);
}

/* A byte-level piece: its characters are bytes, unless one is none: then the piece is text. */
static void hold_byte_level(tn_text *held, tn_bytes piece) {
    size_t size = held->size;
    for (size_t at = 0; at < piece.size;) {
        int byte = tn_byte_from_code_point(tn_next_code_point(piece, &at));
        if (byte < 0) {
            held->size = size;
            tn_text_append(held, piece.data, piece.size);
            return;
        }
        tn_text_append_char(held, (char)byte);
    }
}

static void hold_text(tn_detokenizer *d, tn_bytes text) {
    while (d->strip_left > 0 && text.size > 0) {
        tn_bytes c = d->strip->a;
        bool is_stripped = text.size >= c.size && memcmp(text.data, c.data, c.size) == 0;
        d->strip_left = is_stripped ? d->strip_left - 1 : 0;
        if (is_stripped) text = (tn_bytes){text.data + c.size, text.size - c.size};
    }
    tn_text_append(&d->held, text.data, text.size);
}

/* The run of byte tokens is a text, or each of its bytes is a replacement character. */
static void end_run(tn_detokenizer *d) {
    if (d->run.size == 0) return;
    if (tn_utf8_is_valid(d->run.data, d->run.size)) {
        hold_text(d, (tn_bytes){d->run.data, d->run.size});
    } else {
        for (size_t i = 0; i < d->run.size; i++) hold_text(d, tn_bytes_of("\xEF\xBF\xBD"));
    }
    tn_text_reset(&d->run);
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "<0x41>", exactly; -1: another piece. */
static int byte_of_piece(tn_bytes piece) {
    if (piece.size != 6 || memcmp(piece.data, "<0x", 3) != 0 || piece.data[5] != '>') return -1;
    int high = hex_value(piece.data[3]), low = hex_value(piece.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static tn_status hold_token(tn_detokenizer *d, int32_t id) {
    const tn_image *image = &d->tokenizer->image;
    if (id < 0 || (uint32_t)id >= image->num_tokens) return TN_OK;
    const tn_token_entry *token = &image->tokens[id];
    if (!(token->flags & TN_TOKEN_USED) || (d->skip_special && (token->flags & TN_TOKEN_SPECIAL))) return TN_OK;
    tn_bytes piece = tn_image_bytes(image, token->piece);
    const tn_pipeline *decoder = &d->tokenizer->decoder;
    if (decoder->count == 0) {
        if (!d->is_first) tn_text_append_char(&d->held, ' ');
        d->is_first = false;
        tn_text_append(&d->held, piece.data, piece.size);
        return TN_OK;
    }
    if (decoder->stages[0].part.kind == TN_PART_BYTE_LEVEL) {
        hold_byte_level(&d->held, piece);
        return TN_OK;
    }
    tn_status status = tn_normalize(&d->replacements, &d->scratch, piece, &piece);
    if (status != TN_OK) return status;
    int byte = d->fallback ? byte_of_piece(piece) : -1;
    if (byte >= 0) {
        tn_text_append_char(&d->run, (char)byte);
        return TN_OK;
    }
    end_run(d);
    hold_text(d, piece);
    return TN_OK;
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
    if (d->run.failed || d->held.failed || out->failed) return tn_fail_memory(d->diag, "decoded text", out->size);
    return TN_OK;
}

static tn_status finish(tn_detokenizer *d, tn_text *out) {
    end_run(d);
    release_text(d, true, out);
    tn_text_append(out, "", 0); /* a NUL, even behind nothing */
    bool failed = d->held.failed || out->failed;
    restart(d);
    return failed ? tn_fail_memory(d->diag, "decoded text", out->size) : TN_OK;
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
