/* SPDX-License-Identifier: Apache-2.0
 *
 * decoder.c: see decoder.h.
 */
#include "tokenizer/decoder.h"

#include "tokenizer/byte_level.h"
#include "tokenizer/code_point.h"
#include "tokenizer/normalizer.h"

static tn_status push(tn_decoder *d, uint32_t stage, tn_bytes piece);

/* ---- one piece in, one piece out ---- */

static bool starts_with(tn_bytes text, tn_bytes prefix) {
    return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

static void append_replaced(tn_text *out, tn_bytes text, tn_bytes from, tn_bytes to) {
    for (size_t at = 0; at < text.size;) {
        bool found = from.size > 0 && starts_with((tn_bytes){text.data + at, text.size - at}, from);
        tn_text_append(out, found ? to.data : text.data + at, found ? to.size : 1);
        at += found ? from.size : 1;
    }
}

static void replace_in_place(tn_text *text, tn_text *spare, const char *from, const char *to) {
    if (text->size == 0) return;
    bool failed = text->failed;
    tn_text_reset(spare);
    append_replaced(spare, (tn_bytes){text->data, text->size}, tn_bytes_of(from), tn_bytes_of(to));
    tn_text_reset(text);
    tn_text_append(text, spare->data, spare->size);
    text->failed |= failed || spare->failed;
}

/* What English writing puts together, one replacement after the other as in the source library. */
static void clean_up(tn_text *text, tn_text *spare) {
    static const char *const pairs[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                           {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                           {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) replace_in_place(text, spare, pairs[i][0], pairs[i][1]);
}

/* A byte-level piece: its characters are bytes, unless one is none: then the piece is text. */
static void append_byte_level(tn_text *out, tn_bytes piece) {
    size_t size = out->size;
    for (size_t at = 0; at < piece.size;) {
        int byte = tn_byte_from_code_point(tn_next_code_point(piece, &at));
        if (byte < 0) {
            out->size = size;
            tn_text_append(out, piece.data, piece.size);
            return;
        }
        tn_text_append_char(out, (char)byte);
    }
}

static tn_bytes strip(const tn_part *part, uint32_t *left, tn_bytes piece) {
    for (; *left > 0 && piece.size > 0; (*left)--) {
        if (!starts_with(piece, part->a)) {
            *left = 0;
            break;
        }
        piece = (tn_bytes){piece.data + part->a.size, piece.size - part->a.size};
    }
    for (uint32_t i = 0; i < part->number_b && piece.size >= part->a.size; i++) {
        if (memcmp(piece.data + piece.size - part->a.size, part->a.data, part->a.size) != 0) break;
        piece.size -= part->a.size;
    }
    return piece;
}

static void append_word_piece(tn_decoder_stage *s, tn_bytes piece) {
    if (s->has_input) {
        if (starts_with(piece, s->part->a))
            piece = (tn_bytes){piece.data + s->part->a.size, piece.size - s->part->a.size};
        else
            tn_text_append_char(&s->work, ' ');
    }
    tn_text_append(&s->work, piece.data, piece.size);
    if (s->part->number_a) clean_up(&s->work, &s->held);
}

/* Returns whether a piece comes out. */
static bool append_ctc(tn_decoder_stage *s, tn_bytes piece) {
    bool is_repeated = s->has_input && s->held.size == piece.size && (piece.size == 0 || memcmp(s->held.data, piece.data, piece.size) == 0);
    if (is_repeated) return false;
    tn_text_reset(&s->held);
    tn_text_append(&s->held, piece.data, piece.size);
    append_replaced(&s->work, piece, s->part->a, (tn_bytes){"", 0});
    if (s->part->number_a) {
        tn_text spare = {.allocator = s->work.allocator}, cleaned = {.allocator = s->work.allocator};
        clean_up(&s->work, &spare);
        append_replaced(&cleaned, (tn_bytes){s->work.data, s->work.size}, s->part->b, tn_bytes_of(" "));
        bool failed = s->work.failed;
        tn_text_reset(&s->work);
        tn_text_append(&s->work, cleaned.data, cleaned.size);
        s->work.failed |= failed || cleaned.failed;
        tn_text_deinit(&spare);
        tn_text_deinit(&cleaned);
    }
    return s->work.size > 0;
}

/* ---- byte tokens ---- */

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

/* A run of byte tokens is a text, or each of its bytes is a replacement character (each ill-formed byte, for sentencepiece). */
static tn_status end_run(tn_decoder *d, uint32_t stage) {
    tn_decoder_stage *s = &d->stages[stage];
    bool each = s->part->kind == TN_PART_BYTE_FALLBACK;
    tn_bytes run = {s->held.data, s->held.size};
    tn_status status = TN_OK;
    if (run.size > 0 && tn_utf8_is_valid(run.data, run.size)) {
        s->has_text = true;
        status = push(d, stage + 1, run);
        run.size = 0;
    }
    for (size_t at = 0; at < run.size && status == TN_OK;) {
        uint32_t code_point;
        int size = each ? 0 : tn_utf8_decode(run.data + at, run.size - at, &code_point);
        s->has_text = true;
        status = push(d, stage + 1, size > 0 ? (tn_bytes){run.data + at, (size_t)size} : tn_bytes_of("\xEF\xBF\xBD"));
        at += size > 0 ? (size_t)size : 1;
    }
    tn_text_reset(&s->held);
    return status;
}

/* BYTE_FALLBACK and PIECES. */
static tn_status push_fallback(tn_decoder *d, uint32_t stage, tn_bytes piece) {
    tn_decoder_stage *s = &d->stages[stage];
    int byte = byte_of_piece(piece);
    if (byte >= 0) {
        tn_text_append_char(&s->held, (char)byte);
        return TN_OK;
    }
    tn_status status = end_run(d, stage);
    if (status != TN_OK || s->part->kind == TN_PART_BYTE_FALLBACK) return status == TN_OK ? push(d, stage + 1, piece) : status;
    bool removes = (s->part->flags & TN_PART_REMOVE_SPACES) != 0, strips = removes || (s->part->flags & TN_PART_DUMMY_PREFIX);
    tn_bytes space = tn_bytes_of(TN_SPACE_SYMBOL);
    if (s->has_text) s->is_begin_open = false;
    if (s->is_begin_open && strips && starts_with(piece, space)) {
        piece = (tn_bytes){piece.data + space.size, piece.size - space.size};
        s->is_begin_open = removes; /* one space, or all of them */
    }
    append_replaced(&s->work, piece, space, tn_bytes_of(" "));
    s->has_text = s->has_text || s->work.size > 0;
    return push(d, stage + 1, (tn_bytes){s->work.data, s->work.size});
}

/* ---- the chain ---- */

/* The last token differs from the others, so each waits for the next. */
static tn_status push_word_end(tn_decoder *d, uint32_t stage, tn_bytes piece) {
    tn_decoder_stage *s = &d->stages[stage];
    tn_status status = TN_OK;
    if (s->has_input) {
        append_replaced(&s->work, (tn_bytes){s->held.data, s->held.size}, s->part->a, tn_bytes_of(" "));
        status = push(d, stage + 1, (tn_bytes){s->work.data, s->work.size});
    }
    tn_text_reset(&s->held);
    tn_text_append(&s->held, piece.data, piece.size);
    return status;
}

static tn_status push_replaced(tn_decoder *d, uint32_t stage, tn_bytes piece) {
    tn_decoder_stage *s = &d->stages[stage];
    if (!d->regex) {
        tn_status status = tn_regex_scratch_create(d->allocator, d->diag, &d->regex);
        if (status != TN_OK) return status;
    }
    tn_status status = tn_replace_matches(s->regex, s->part->b, piece, d->regex, d->diag, &s->work);
    return status == TN_OK ? push(d, stage + 1, (tn_bytes){s->work.data, s->work.size}) : status;
}

static tn_status run_stage(tn_decoder *d, uint32_t stage, tn_bytes piece) {
    tn_decoder_stage *s = &d->stages[stage];
    uint32_t left = s->part->number_a;
    switch (s->part->kind) {
    case TN_PART_BYTE_LEVEL: append_byte_level(&s->work, piece); break;
    case TN_PART_BYTE_FALLBACK:
    case TN_PART_PIECES: return push_fallback(d, stage, piece);
    case TN_PART_REPLACE: return push_replaced(d, stage, piece);
    case TN_PART_STRIP_COUNT: return push(d, stage + 1, strip(s->part, s->is_whole ? &s->left : &left, piece));
    case TN_PART_METASPACE:
        append_replaced(&s->work, piece, s->part->a, !s->has_input && s->part->number_a ? (tn_bytes){"", 0} : tn_bytes_of(" "));
        break;
    case TN_PART_WORD_PIECES: append_word_piece(s, piece); break;
    case TN_PART_CTC:
        if (!append_ctc(s, piece)) return TN_OK;
        break;
    case TN_PART_WORD_ENDS: return push_word_end(d, stage, piece);
    case TN_PART_FUSE:
        if (s->is_whole) return push(d, stage + 1, piece);
        tn_text_append(&s->held, piece.data, piece.size);
        return TN_OK;
    default: return tn_fail(d->diag, TN_INTERNAL, "cannot decode with part %d", (int)s->part->kind);
    }
    return push(d, stage + 1, (tn_bytes){s->work.data, s->work.size});
}

static tn_status push(tn_decoder *d, uint32_t stage, tn_bytes piece) {
    if (stage == d->count) {
        if (piece.size) tn_text_append(d->out, piece.data, piece.size);
        return TN_OK;
    }
    tn_decoder_stage *s = &d->stages[stage];
    tn_text_reset(&s->work);
    tn_status status = run_stage(d, stage, piece.data ? piece : (tn_bytes){"", 0});
    s->has_input = true;
    if (status == TN_OK && (s->work.failed || s->held.failed)) status = tn_fail_memory(d->diag, "decoded text", piece.size);
    return status;
}

tn_status tn_decoder_push(tn_decoder *d, tn_bytes piece) {
    return push(d, 0, piece);
}

tn_status tn_decoder_finish(tn_decoder *d) {
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < d->count && status == TN_OK; i++) {
        tn_decoder_stage *s = &d->stages[i];
        tn_bytes held = {s->held.data, s->held.size};
        tn_text_reset(&s->work);
        if (s->part->kind == TN_PART_BYTE_FALLBACK || s->part->kind == TN_PART_PIECES) {
            status = end_run(d, i);
        } else if (s->part->kind == TN_PART_FUSE && !s->is_whole) {
            status = push(d, i + 1, held);
        } else if (s->part->kind == TN_PART_WORD_ENDS && s->has_input) {
            append_replaced(&s->work, held, s->part->a, (tn_bytes){"", 0});
            status = push(d, i + 1, (tn_bytes){s->work.data, s->work.size});
        }
        if (status == TN_OK && s->work.failed) status = tn_fail_memory(d->diag, "decoded text", held.size);
    }
    return status;
}

void tn_decoder_reset(tn_decoder *d) {
    for (uint32_t i = 0; i < d->count; i++) {
        tn_decoder_stage *s = &d->stages[i];
        s->has_input = s->has_text = false;
        s->is_begin_open = true;
        s->left = s->part->number_a;
        tn_text_reset(&s->held);
    }
}

void tn_decoder_init(tn_decoder *d, const tn_pipeline *pipeline, const tn_allocator *allocator, tn_diag *diag, tn_text *out) {
    memset(d, 0, sizeof *d);
    d->allocator = allocator;
    d->diag = diag;
    d->out = out;
    d->count = pipeline->count;
    for (uint32_t i = 0; i < d->count; i++) {
        const tn_part *part = &pipeline->stages[i].part;
        const tn_part *next = i + 1 < d->count ? &pipeline->stages[i + 1].part : NULL;
        tn_decoder_stage *s = &d->stages[i];
        s->part = part;
        s->regex = pipeline->stages[i].regex;
        s->held.allocator = s->work.allocator = allocator;
        bool strips_begin = next && next->kind == TN_PART_STRIP_COUNT && next->number_b == 0 && i + 2 == d->count;
        if (part->kind == TN_PART_FUSE) s->is_whole = !next || strips_begin;
        if (part->kind == TN_PART_STRIP_COUNT && i > 0)
            s->is_whole = pipeline->stages[i - 1].part.kind == TN_PART_FUSE && d->stages[i - 1].is_whole;
    }
    tn_decoder_reset(d);
}

void tn_decoder_deinit(tn_decoder *d) {
    tn_regex_scratch_destroy(d->regex);
    d->regex = NULL;
    for (uint32_t i = 0; i < d->count; i++) {
        tn_text_deinit(&d->stages[i].held);
        tn_text_deinit(&d->stages[i].work);
    }
}
