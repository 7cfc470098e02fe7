/* SPDX-License-Identifier: Apache-2.0
 *
 * image_write.c: lays a spec out as the compiled form. Sizes first, then one allocation, then the tables.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/hash.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/spec.h"

typedef struct writer {
    const tn_spec *spec;
    tn_image_header header;
    char *image;
    size_t strings_used, strings_size;
    tn_spec_added *added; /* sorted, patterns normalized */
    tn_text patterns;     /* holds the normalized ones */
    tn_bytes *sorted;     /* pieces that text may become */
    size_t num_sorted;
} writer;

static tn_span write_string(writer *w, tn_bytes bytes) {
    tn_span span = {(uint32_t)w->strings_used, (uint32_t)bytes.size};
    if (bytes.size) memcpy(w->image + w->header.sections[TN_SECTION_STRINGS].offset + w->strings_used, bytes.data, bytes.size);
    w->strings_used += bytes.size;
    return span;
}

static void *section(const writer *w, int index) {
    return w->image + w->header.sections[index].offset;
}

static int compare_added(const void *left, const void *right) {
    const tn_spec_added *a = left, *b = right;
    int normalized = (int)(a->flags & TN_ADDED_NORMALIZED) - (int)(b->flags & TN_ADDED_NORMALIZED);
    if (normalized != 0) return normalized;
    size_t size = a->content.size < b->content.size ? a->content.size : b->content.size;
    int order = memcmp(a->content.data, b->content.data, size);
    if (order != 0) return order;
    if (a->content.size != b->content.size) return a->content.size < b->content.size ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The patterns searched for in normalized text are normalized themselves. One that vanishes can never be found. */
static tn_status prepare_added(writer *w) {
    const tn_spec *spec = w->spec;
    tn_pipeline pipeline = {.count = 0};
    tn_normalizer_scratch scratch = {.allocator = spec->allocator, .diag = spec->diag};
    tn_status status = TN_OK;
    w->added = tn_alloc_array(spec->allocator, spec->added.count, sizeof *w->added);
    if (!w->added) return tn_fail_memory(spec->diag, "the added tokens", spec->added.count * sizeof *w->added);
    for (size_t i = 0; i < spec->normalizer.count && status == TN_OK; i++)
        status = tn_pipeline_add(&pipeline, TN_PIPELINE_NORMALIZER, &spec->normalizer.data[i], spec->allocator, spec->diag);
    size_t *offsets = tn_alloc_array(spec->allocator, spec->added.count, sizeof *offsets);
    if (!offsets && status == TN_OK) status = tn_fail_memory(spec->diag, "the added tokens", spec->added.count * sizeof *offsets);
    uint64_t num_added = 0;
    for (size_t i = 0; i < spec->added.count && status == TN_OK; i++) {
        tn_spec_added added = spec->added.data[i];
        if (added.flags & TN_ADDED_NORMALIZED) {
            bool is_literal = (added.flags & TN_ADDED_LITERAL) != 0;
            if (!is_literal && (status = tn_normalize(&pipeline, &scratch, added.content, &added.content)) != TN_OK) break;
            if (added.content.size == 0) continue;
            if (added.content.size > TN_MAX_ADDED_SIZE) {
                status = tn_fail(spec->diag, TN_INVALID_DATA,
                                 "cannot read the added tokens: token %u has %zu bytes when normalized, at most %u are allowed", added.id,
                                 added.content.size, TN_MAX_ADDED_SIZE);
                break;
            }
            offsets[num_added] = w->patterns.size;
            tn_text_append(&w->patterns, added.content.data, added.content.size);
        }
        w->added[num_added++] = added;
    }
    if (status == TN_OK && w->patterns.failed) status = tn_fail_memory(spec->diag, "the added tokens", w->patterns.size);
    if (status == TN_OK) {
        for (uint64_t i = 0; i < num_added; i++) {
            if (w->added[i].flags & TN_ADDED_NORMALIZED)
                w->added[i].content.data = w->patterns.data + offsets[i];
            else
                w->header.num_raw_added++;
        }
        qsort(w->added, (size_t)num_added, sizeof *w->added, compare_added);
        w->header.sections[TN_SECTION_ADDED].count = num_added;
    }
    tn_free(spec->allocator, offsets);
    tn_normalizer_scratch_deinit(&scratch);
    tn_pipeline_deinit(&pipeline);
    return status;
}

static int compare_pieces(const void *left, const void *right) {
    const tn_bytes *a = left, *b = right;
    size_t size = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->data, b->data, size);
    return order != 0 ? order : a->size < b->size ? -1 : a->size > b->size;
}

/* A piece that two ids have stands once. */
static tn_status sort_pieces(writer *w) {
    const tn_spec *spec = w->spec;
    if (spec->model_kind != TN_MODEL_UNIGRAM) return TN_OK;
    w->sorted = tn_alloc_array(spec->allocator, spec->tokens.count, sizeof *w->sorted);
    if (!w->sorted) return tn_fail_memory(spec->diag, "the vocabulary", spec->tokens.count * sizeof *w->sorted);
    for (size_t i = 0; i < spec->tokens.count; i++) {
        const tn_spec_token *token = &spec->tokens.data[i];
        uint32_t flags = token->flags & (TN_TOKEN_MODEL | TN_TOKEN_SPECIAL | TN_TOKEN_HIDDEN);
        if (flags == TN_TOKEN_MODEL && token->piece.size > 0 && tn_spec_find(spec, token->piece) == (int32_t)i)
            w->sorted[w->num_sorted++] = token->piece;
    }
    qsort(w->sorted, w->num_sorted, sizeof *w->sorted, compare_pieces);
    return TN_OK;
}

static size_t strings_size_of_parts(const tn_spec_parts *parts) {
    size_t size = 0;
    for (size_t i = 0; i < parts->count; i++) size += parts->data[i].a.size + parts->data[i].b.size;
    return size;
}

static uint64_t merge_slots(const tn_spec *spec) {
    uint64_t slots = 16;
    while (slots < spec->merges.count * 3 / 2 + 1) slots *= 2;
    return slots;
}

/* Fills offsets and counts and allocates the image. */
static tn_status lay_out(writer *w) {
    static const size_t element_size[TN_NUM_SECTIONS] = {
        1,
        sizeof(tn_token_entry),
        sizeof(uint32_t),
        sizeof(tn_merge_entry),
        sizeof(tn_added_entry),
        sizeof(tn_part_entry),
        sizeof(tn_part_entry),
        sizeof(tn_part_entry),
        sizeof(int32_t),
        sizeof(int32_t),
        sizeof(int32_t),
        sizeof(double),
        sizeof(uint32_t),
    };
    const tn_spec *spec = w->spec;
    size_t strings = spec->chat_template.size + spec->affix_prefix.size + spec->affix_suffix.size +
                     strings_size_of_parts(&spec->normalizer) + strings_size_of_parts(&spec->pre_tokenizer) +
                     strings_size_of_parts(&spec->decoder);
    for (size_t i = 0; i < spec->tokens.count; i++) strings += spec->tokens.data[i].piece.size;
    for (uint64_t i = 0; i < w->header.sections[TN_SECTION_ADDED].count; i++) strings += w->added[i].content.size;
    if (strings > UINT32_MAX)
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot compile the tokenizer: its strings have %zu bytes", strings);
    w->header.sections[TN_SECTION_STRINGS].count = strings;
    w->header.sections[TN_SECTION_TOKENS].count = spec->tokens.count;
    w->header.sections[TN_SECTION_VOCAB].count = spec->num_slots;
    w->header.sections[TN_SECTION_MERGES].count = merge_slots(spec);
    w->header.sections[TN_SECTION_NORMALIZER].count = spec->normalizer.count;
    w->header.sections[TN_SECTION_PRE_TOKENIZER].count = spec->pre_tokenizer.count;
    w->header.sections[TN_SECTION_DECODER].count = spec->decoder.count;
    w->header.sections[TN_SECTION_PREFIX].count = spec->prefix.count;
    w->header.sections[TN_SECTION_SUFFIX].count = spec->suffix.count;
    w->header.sections[TN_SECTION_END_IDS].count = spec->end_ids.count;
    bool is_unigram = spec->model_kind == TN_MODEL_UNIGRAM;
    w->header.sections[TN_SECTION_SCORES].count = is_unigram ? spec->tokens.count : 0;
    w->header.sections[TN_SECTION_SORTED].count = is_unigram ? w->num_sorted : 0;
    size_t at = sizeof w->header;
    for (int i = 0; i < TN_NUM_SECTIONS; i++) {
        w->header.sections[i].offset = at;
        at += (size_t)w->header.sections[i].count * element_size[i];
        at = (at + 7) & ~(size_t)7;
    }
    w->header.size_bytes = at;
    w->image = tn_alloc_zero(spec->allocator, at);
    return w->image ? TN_OK : tn_fail_memory(spec->diag, "the compiled tokenizer", at);
}

static void write_merges(writer *w) {
    tn_merge_entry *merges = section(w, TN_SECTION_MERGES);
    uint64_t num_slots = w->header.sections[TN_SECTION_MERGES].count;
    uint32_t mask = (uint32_t)(num_slots - 1);
    for (uint64_t i = 0; i < num_slots; i++) merges[i].left = TN_NO_SLOT;
    for (size_t i = 0; i < w->spec->merges.count; i++) {
        const tn_merge_entry *merge = &w->spec->merges.data[i];
        if (w->spec->tokens.data[merge->result].flags & TN_TOKEN_SPECIAL) continue;
        uint32_t slot = tn_merge_hash(merge->left, merge->right) & mask;
        while (merges[slot].left != TN_NO_SLOT && (merges[slot].left != merge->left || merges[slot].right != merge->right))
            slot = (slot + 1) & mask;
        merges[slot] = *merge; /* a pair that comes twice keeps its last rank, as in the source library */
    }
}

static void write_scores(writer *w) {
    double *scores = section(w, TN_SECTION_SCORES);
    uint32_t *sorted = section(w, TN_SECTION_SORTED);
    for (uint64_t i = 0; i < w->header.sections[TN_SECTION_SCORES].count; i++) scores[i] = w->spec->tokens.data[i].score;
    for (size_t i = 0; i < w->num_sorted; i++) sorted[i] = (uint32_t)tn_spec_find(w->spec, w->sorted[i]);
}

static void write_parts(writer *w, int index, const tn_spec_parts *parts) {
    tn_part_entry *entries = section(w, index);
    for (size_t i = 0; i < parts->count; i++) {
        const tn_part *part = &parts->data[i];
        entries[i] = (tn_part_entry){(uint32_t)part->kind, part->flags, part->number_a, part->number_b, {0, 0}, {0, 0}};
        entries[i].a = write_string(w, part->a);
        entries[i].b = write_string(w, part->b);
    }
}

static void write_ids(writer *w, int index, const tn_spec_ids *ids) {
    if (ids->count) memcpy(section(w, index), ids->data, ids->count * sizeof *ids->data);
}

static void write_sections(writer *w) {
    const tn_spec *spec = w->spec;
    tn_token_entry *tokens = section(w, TN_SECTION_TOKENS);
    for (size_t i = 0; i < spec->tokens.count; i++) {
        tokens[i].piece = write_string(w, spec->tokens.data[i].piece);
        tokens[i].flags = spec->tokens.data[i].flags;
    }
    if (spec->num_slots) memcpy(section(w, TN_SECTION_VOCAB), spec->slots, spec->num_slots * sizeof *spec->slots);
    write_merges(w);
    write_scores(w);
    tn_added_entry *added = section(w, TN_SECTION_ADDED);
    for (uint64_t i = 0; i < w->header.sections[TN_SECTION_ADDED].count; i++) {
        added[i].pattern = write_string(w, w->added[i].content);
        added[i].id = w->added[i].id;
        added[i].flags = w->added[i].flags;
    }
    write_parts(w, TN_SECTION_NORMALIZER, &spec->normalizer);
    write_parts(w, TN_SECTION_PRE_TOKENIZER, &spec->pre_tokenizer);
    write_parts(w, TN_SECTION_DECODER, &spec->decoder);
    write_ids(w, TN_SECTION_PREFIX, &spec->prefix);
    write_ids(w, TN_SECTION_SUFFIX, &spec->suffix);
    write_ids(w, TN_SECTION_END_IDS, &spec->end_ids);
    w->header.chat_template = write_string(w, spec->chat_template);
    w->header.affix_prefix = write_string(w, spec->affix_prefix);
    w->header.affix_suffix = write_string(w, spec->affix_suffix);
}

tn_status tn_image_write(const tn_spec *spec, void **out_image, size_t *out_size) {
    *out_image = NULL;
    *out_size = 0;
    if (spec->num_pieces == 0) return tn_fail(spec->diag, TN_INVALID_DATA, "cannot use the tokenizer: its vocabulary is empty");
    writer w = {.spec = spec, .patterns = {.allocator = spec->allocator}};
    memcpy(w.header.magic, "TNTOKEN", 8);
    w.header.version = TN_IMAGE_VERSION;
    w.header.byte_order = 0x01020304;
    w.header.bos_id = spec->bos_id;
    w.header.eos_id = spec->eos_id;
    w.header.pad_id = spec->pad_id;
    w.header.unk_id = spec->unk_id;
    w.header.model_flags = spec->model_flags;
    w.header.model_kind = (uint32_t)spec->model_kind;
    w.header.max_word_characters = spec->max_word_characters;
    w.header.unknown_score = spec->unknown_score;
    tn_status status = prepare_added(&w);
    if (status == TN_OK) status = sort_pieces(&w);
    if (status == TN_OK) status = lay_out(&w);
    if (status == TN_OK) {
        write_sections(&w);
        memcpy(w.image, &w.header, sizeof w.header);
        tn_image_seal(w.image, (size_t)w.header.size_bytes);
        *out_image = w.image;
        *out_size = (size_t)w.header.size_bytes;
    }
    tn_text_deinit(&w.patterns);
    tn_free(spec->allocator, w.added);
    tn_free(spec->allocator, w.sorted);
    return status;
}
