/* SPDX-License-Identifier: Apache-2.0
 *
 * image_open.c: the one place where a compiled form is checked.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/hash.h"
#include "tokenizer/image.h"

static tn_status damaged(tn_diag *diag, size_t offset, const char *what) {
    tn_where where = {.has_offset = true, .offset = (int64_t)offset, .hint = "build the engine again"};
    return tn_fail_at(diag, TN_INVALID_DATA, &where, "cannot use the compiled tokenizer: %s at byte %zu", what, offset);
}

int32_t tn_image_find_piece(const tn_image *image, const char *piece, size_t size_bytes) {
    for (uint32_t slot = (uint32_t)tn_hash(piece, size_bytes, 0) & image->vocab_mask;; slot = (slot + 1) & image->vocab_mask) {
        uint32_t id = image->vocab[slot];
        if (id == TN_NO_SLOT) return -1;
        const tn_token_entry *token = &image->tokens[id];
        if (token->piece.size == size_bytes && memcmp(image->strings + token->piece.offset, piece, size_bytes) == 0) return (int32_t)id;
    }
}

int32_t tn_image_find_model_piece(const tn_image *image, const char *piece, size_t size_bytes) {
    int32_t id = tn_image_find_piece(image, piece, size_bytes);
    if (id < 0) return -1;
    return (image->tokens[id].flags & (TN_TOKEN_MODEL | TN_TOKEN_SPECIAL | TN_TOKEN_HIDDEN)) == TN_TOKEN_MODEL ? id : -1;
}

void tn_image_find_byte_tokens(const tn_image *image, int32_t out_ids[256]) {
    for (unsigned byte = 0; byte < 256; byte++) {
        char piece[8];
        int size = snprintf(piece, sizeof piece, "<0x%02X>", byte);
        int32_t id = image->header->model_flags & TN_MODEL_BYTE_FALLBACK ? tn_image_find_piece(image, piece, (size_t)size) : -1;
        out_ids[byte] = id >= 0 && !(image->tokens[id].flags & TN_TOKEN_SPECIAL) ? id : -1;
    }
}

void tn_image_seal(void *data, size_t size_bytes) {
    uint64_t checksum = tn_hash((const char *)data + sizeof(tn_image_header), size_bytes - sizeof(tn_image_header), 0);
    tn_image_header header;
    memcpy(&header, data, sizeof header);
    header.checksum = 0;
    header.checksum = checksum ^ tn_hash(&header, sizeof header, 0); /* the header counts too */
    memcpy(data, &header, sizeof header);
}

static bool is_span(const tn_image *image, tn_span span) {
    return span.offset <= image->strings_size && span.size <= image->strings_size - span.offset;
}

static bool is_id(const tn_image *image, uint32_t id) {
    return id < image->num_tokens && (image->tokens[id].flags & TN_TOKEN_USED);
}

static bool is_id_or_none(const tn_image *image, int32_t id) {
    return id == -1 || (id >= 0 && is_id(image, (uint32_t)id));
}

/* A power of two of slots with an empty one, so that every search ends. */
static tn_status check_tables(const tn_image *image, const tn_image_header *header, tn_diag *diag) {
    size_t vocab_offset = (size_t)header->sections[TN_SECTION_VOCAB].offset;
    uint32_t num_empty = 0, num_bad = 0;
    for (uint32_t i = 0; i <= image->vocab_mask; i++) {
        if (image->vocab[i] == TN_NO_SLOT)
            num_empty++;
        else if (!is_id(image, image->vocab[i]))
            num_bad++;
    }
    if (num_empty == 0 || num_bad) return damaged(diag, vocab_offset, "the vocabulary's index is wrong");
    /* Halves of merges are only compared with symbols; the result becomes an id. */
    num_empty = num_bad = 0;
    for (uint32_t i = 0; i <= image->merge_mask; i++) {
        if (image->merges[i].left == TN_NO_SLOT)
            num_empty++;
        else
            num_bad += image->merges[i].result >= image->num_tokens;
    }
    if (num_empty == 0 || num_bad) return damaged(diag, (size_t)header->sections[TN_SECTION_MERGES].offset, "the table of merges is wrong");
    return TN_OK;
}

static int compare_patterns(const tn_image *image, const tn_added_entry *a, const tn_added_entry *b) {
    uint32_t size = a->pattern.size < b->pattern.size ? a->pattern.size : b->pattern.size;
    int order = memcmp(image->strings + a->pattern.offset, image->strings + b->pattern.offset, size);
    return order != 0 ? order : a->pattern.size < b->pattern.size ? -1 : a->pattern.size > b->pattern.size;
}

static tn_status check_added(const tn_image *image, const tn_image_header *header, tn_diag *diag) {
    for (uint32_t i = 0; i < image->num_added; i++) {
        const tn_added_entry *added = &image->added[i];
        bool is_right = is_span(image, added->pattern) && added->pattern.size >= 1 && added->pattern.size <= TN_MAX_ADDED_SIZE &&
                        is_id(image, added->id) && tn_utf8_is_valid(image->strings + added->pattern.offset, added->pattern.size);
        if (is_right && i > 0 && i != header->num_raw_added) is_right = compare_patterns(image, added - 1, added) <= 0;
        if (!is_right)
            return damaged(diag, (size_t)header->sections[TN_SECTION_ADDED].offset + i * sizeof *added, "an added token is wrong");
    }
    return TN_OK;
}

static tn_status check_parts(const tn_image *image, const tn_part_entry *parts, uint32_t count, size_t offset, tn_diag *diag) {
    for (uint32_t i = 0; i < count; i++) {
        const tn_part_entry *part = &parts[i];
        bool is_right = is_span(image, part->a) && is_span(image, part->b) && part->kind < TN_NUM_PART_KINDS;
        bool has_charsmap = is_right && tn_part_has_charsmap((tn_part_kind)part->kind); /* charsmap.h checks what is in it */
        uint32_t max_size = has_charsmap ? TN_MAX_CHARSMAP_SIZE : TN_MAX_PATTERN_SIZE;
        is_right = is_right && part->a.size <= max_size && part->b.size <= max_size;
        if (is_right && !has_charsmap) is_right = tn_utf8_is_valid(image->strings + part->a.offset, part->a.size);
        if (!is_right || !tn_utf8_is_valid(image->strings + part->b.offset, part->b.size))
            return damaged(diag, offset + i * sizeof *part, "a part is wrong");
    }
    return TN_OK;
}

static tn_status check_ids(const tn_image *image, const int32_t *ids, uint32_t count, size_t offset, tn_diag *diag) {
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] < 0 || !is_id(image, (uint32_t)ids[i])) return damaged(diag, offset + i * sizeof *ids, "a special id is wrong");
    return TN_OK;
}

/* Sections lie in the file, each aligned, with counts that the rest of the code can hold. */
static tn_status find_sections(const char *data, size_t size, const tn_image_header *header, tn_diag *diag, tn_image *image) {
    static const struct {
        size_t element_size;
        uint64_t max_count;
    } sections[TN_NUM_SECTIONS] = {
        {1, UINT32_MAX},
        {sizeof(tn_token_entry), TN_MAX_TOKENS},
        {sizeof(uint32_t), 4u * TN_MAX_TOKENS},
        {sizeof(tn_merge_entry), 4u * TN_MAX_TOKENS},
        {sizeof(tn_added_entry), TN_MAX_TOKENS},
        {sizeof(tn_part_entry), TN_MAX_PARTS},
        {sizeof(tn_part_entry), TN_MAX_PARTS},
        {sizeof(tn_part_entry), TN_MAX_PARTS},
        {sizeof(int32_t), 65536},
        {sizeof(int32_t), 65536},
        {sizeof(int32_t), 65536},
        {sizeof(double), TN_MAX_TOKENS},
        {sizeof(uint32_t), TN_MAX_TOKENS},
    };
    const char *at[TN_NUM_SECTIONS];
    for (int i = 0; i < TN_NUM_SECTIONS; i++) {
        uint64_t offset = header->sections[i].offset, count = header->sections[i].count;
        size_t entry = offsetof(tn_image_header, sections) + (size_t)i * sizeof header->sections[0];
        if (offset % 8 != 0 || offset < sizeof *header || offset > size || count > sections[i].max_count ||
            count > (size - offset) / sections[i].element_size)
            return damaged(diag, entry, "a section lies outside the file");
        at[i] = data + offset;
    }
    uint64_t vocab_slots = header->sections[TN_SECTION_VOCAB].count, merge_slots = header->sections[TN_SECTION_MERGES].count;
    if (vocab_slots == 0 || (vocab_slots & (vocab_slots - 1)) || merge_slots == 0 || (merge_slots & (merge_slots - 1)))
        return damaged(diag, offsetof(tn_image_header, sections), "the size of a table is no power of two");
    image->header = header;
    image->strings = at[TN_SECTION_STRINGS];
    image->strings_size = (size_t)header->sections[TN_SECTION_STRINGS].count;
    image->tokens = (const void *)at[TN_SECTION_TOKENS];
    image->num_tokens = (uint32_t)header->sections[TN_SECTION_TOKENS].count;
    image->vocab = (const void *)at[TN_SECTION_VOCAB];
    image->vocab_mask = (uint32_t)(vocab_slots - 1);
    image->merges = (const void *)at[TN_SECTION_MERGES];
    image->merge_mask = (uint32_t)(merge_slots - 1);
    image->added = (const void *)at[TN_SECTION_ADDED];
    image->num_added = (uint32_t)header->sections[TN_SECTION_ADDED].count;
    image->normalizer = (const void *)at[TN_SECTION_NORMALIZER];
    image->num_normalizer = (uint32_t)header->sections[TN_SECTION_NORMALIZER].count;
    image->pre_tokenizer = (const void *)at[TN_SECTION_PRE_TOKENIZER];
    image->num_pre_tokenizer = (uint32_t)header->sections[TN_SECTION_PRE_TOKENIZER].count;
    image->decoder = (const void *)at[TN_SECTION_DECODER];
    image->num_decoder = (uint32_t)header->sections[TN_SECTION_DECODER].count;
    image->prefix = (const void *)at[TN_SECTION_PREFIX];
    image->num_prefix = (uint32_t)header->sections[TN_SECTION_PREFIX].count;
    image->suffix = (const void *)at[TN_SECTION_SUFFIX];
    image->num_suffix = (uint32_t)header->sections[TN_SECTION_SUFFIX].count;
    image->end_ids = (const void *)at[TN_SECTION_END_IDS];
    image->num_end_ids = (uint32_t)header->sections[TN_SECTION_END_IDS].count;
    image->scores = (const void *)at[TN_SECTION_SCORES];
    image->sorted = (const void *)at[TN_SECTION_SORTED];
    image->num_sorted = (uint32_t)header->sections[TN_SECTION_SORTED].count;
    return TN_OK;
}

static tn_status check_model(const tn_image *image, const tn_image_header *header, tn_diag *diag) {
    size_t offset = offsetof(tn_image_header, model_kind);
    if (header->model_kind >= TN_NUM_MODEL_KINDS) return damaged(diag, offset, "the kind of the model is unknown");
    if (!is_span(image, header->affix_prefix) || !is_span(image, header->affix_suffix) || header->affix_prefix.size > TN_MAX_ADDED_SIZE ||
        header->affix_suffix.size > TN_MAX_ADDED_SIZE)
        return damaged(diag, offset, "an affix is wrong");
    if (header->model_kind != TN_MODEL_UNIGRAM) return TN_OK;
    if (header->sections[TN_SECTION_SCORES].count != image->num_tokens) return damaged(diag, offset, "the number of scores is wrong");
    for (uint32_t i = 0; i < image->num_sorted; i++)
        if (!is_id(image, image->sorted[i]) || image->tokens[image->sorted[i]].piece.size == 0)
            return damaged(diag, (size_t)header->sections[TN_SECTION_SORTED].offset + i * sizeof *image->sorted, "a sorted id is wrong");
    return TN_OK;
}

static tn_status check_contents(const tn_image *image, const tn_image_header *header, tn_diag *diag) {
    for (uint32_t i = 0; i < image->num_tokens; i++)
        if (!is_span(image, image->tokens[i].piece) || image->tokens[i].piece.size > TN_MAX_PIECE_SIZE)
            return damaged(diag, (size_t)header->sections[TN_SECTION_TOKENS].offset + i * sizeof *image->tokens, "a token is wrong");
    bool replaces = false; /* patterns run over the pieces, and expect UTF-8 */
    for (uint32_t i = 0; i < image->num_decoder; i++) replaces = replaces || image->decoder[i].kind == TN_PART_REPLACE;
    for (uint32_t i = 0; i < image->num_tokens && replaces; i++)
        if (!tn_utf8_is_valid(image->strings + image->tokens[i].piece.offset, image->tokens[i].piece.size))
            return damaged(diag, (size_t)header->sections[TN_SECTION_TOKENS].offset + i * sizeof *image->tokens, "a token is not UTF-8");
    if (!is_id_or_none(image, header->bos_id) || !is_id_or_none(image, header->eos_id) || !is_id_or_none(image, header->pad_id) ||
        !is_id_or_none(image, header->unk_id))
        return damaged(diag, offsetof(tn_image_header, bos_id), "a special id is wrong");
    if (!is_span(image, header->chat_template) || header->chat_template.size > TN_MAX_TEMPLATE_SIZE)
        return damaged(diag, offsetof(tn_image_header, chat_template), "the chat template lies outside its section");
    if (header->num_raw_added > image->num_added)
        return damaged(diag, offsetof(tn_image_header, num_raw_added), "the number of added tokens is wrong");
    tn_status status = check_model(image, header, diag);
    if (status == TN_OK) status = check_tables(image, header, diag);
    if (status == TN_OK) status = check_added(image, header, diag);
    const struct {
        const tn_part_entry *parts;
        uint32_t count;
        int section;
    } parts[] = {{image->normalizer, image->num_normalizer, TN_SECTION_NORMALIZER},
                 {image->pre_tokenizer, image->num_pre_tokenizer, TN_SECTION_PRE_TOKENIZER},
                 {image->decoder, image->num_decoder, TN_SECTION_DECODER}};
    for (int i = 0; i < 3 && status == TN_OK; i++)
        status = check_parts(image, parts[i].parts, parts[i].count, (size_t)header->sections[parts[i].section].offset, diag);
    const struct {
        const int32_t *ids;
        uint32_t count;
        int section;
    } ids[] = {{image->prefix, image->num_prefix, TN_SECTION_PREFIX},
               {image->suffix, image->num_suffix, TN_SECTION_SUFFIX},
               {image->end_ids, image->num_end_ids, TN_SECTION_END_IDS}};
    for (int i = 0; i < 3 && status == TN_OK; i++)
        status = check_ids(image, ids[i].ids, ids[i].count, (size_t)header->sections[ids[i].section].offset, diag);
    return status;
}

tn_status tn_image_open(const void *data, size_t size_bytes, bool check_checksum, tn_diag *diag, tn_image *out_image) {
    memset(out_image, 0, sizeof *out_image);
    const tn_image_header *header = data;
    if (size_bytes < sizeof *header) return damaged(diag, size_bytes, "the header is cut off");
    if (memcmp(header->magic, "TNTOKEN", 8) != 0) return damaged(diag, 0, "the magic is missing");
    if (header->byte_order != 0x01020304) return damaged(diag, offsetof(tn_image_header, byte_order), "the byte order is foreign");
    if (header->version != TN_IMAGE_VERSION) {
        tn_where where = {.hint = "build the engine again"};
        return tn_fail_at(diag, TN_INCOMPATIBLE, &where, "cannot use the compiled tokenizer: it has version %u, this program reads %u",
                          header->version, TN_IMAGE_VERSION);
    }
    if (header->size_bytes != size_bytes) return damaged(diag, offsetof(tn_image_header, size_bytes), "the size is not the file's");
    if (check_checksum) {
        tn_image_header copy = *header;
        copy.checksum = 0;
        uint64_t checksum = tn_hash(header + 1, size_bytes - sizeof *header, 0) ^ tn_hash(&copy, sizeof copy, 0);
        if (checksum != header->checksum) return damaged(diag, offsetof(tn_image_header, checksum), "the checksum does not fit");
    }
    tn_image image;
    memset(&image, 0, sizeof image);
    tn_status status = find_sections(data, size_bytes, header, diag, &image);
    if (status == TN_OK) status = check_contents(&image, header, diag);
    if (status == TN_OK) *out_image = image;
    return status;
}
