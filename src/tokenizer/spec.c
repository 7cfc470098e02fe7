/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.c: collects a tokenizer's tokens, merges and parts, and refuses what contradicts itself.
 */
#include "tokenizer/spec.h"

#include <string.h>

#include "base/hash.h"
#include "format/quote.h"

void tn_spec_init(tn_spec *spec, const tn_allocator *allocator, tn_diag *diag) {
    memset(spec, 0, sizeof *spec);
    spec->allocator = allocator;
    spec->diag = diag;
    spec->arena.allocator = allocator;
    spec->bos_id = spec->eos_id = spec->pad_id = spec->unk_id = -1;
}

void tn_spec_deinit(tn_spec *spec) {
    tn_array_deinit(spec->allocator, &spec->tokens);
    tn_array_deinit(spec->allocator, &spec->merges);
    tn_array_deinit(spec->allocator, &spec->added);
    tn_array_deinit(spec->allocator, &spec->normalizer);
    tn_array_deinit(spec->allocator, &spec->pre_tokenizer);
    tn_array_deinit(spec->allocator, &spec->decoder);
    tn_array_deinit(spec->allocator, &spec->prefix);
    tn_array_deinit(spec->allocator, &spec->suffix);
    tn_array_deinit(spec->allocator, &spec->end_ids);
    tn_free(spec->allocator, spec->slots);
    spec->slots = NULL;
    tn_arena_deinit(&spec->arena);
}

/* The slot of the piece, or the empty one where it would stand. */
static uint32_t find_slot(const tn_spec *spec, tn_bytes piece) {
    uint32_t mask = spec->num_slots - 1;
    uint32_t slot = (uint32_t)tn_hash(piece.data, piece.size, 0) & mask;
    for (;; slot = (slot + 1) & mask) {
        uint32_t id = spec->slots[slot];
        if (id == TN_NO_SLOT) return slot;
        const tn_spec_token *token = &spec->tokens.data[id];
        if (token->piece.size == piece.size && memcmp(token->piece.data, piece.data, piece.size) == 0) return slot;
    }
}

static tn_status grow_slots(tn_spec *spec) {
    uint32_t num_slots = spec->num_slots ? spec->num_slots * 2 : 64;
    uint32_t *slots = tn_alloc_array(spec->allocator, num_slots, sizeof *slots);
    if (!slots) return tn_fail_memory(spec->diag, "the vocabulary", num_slots * sizeof *slots);
    memset(slots, 0xff, num_slots * sizeof *slots);
    uint32_t *old_slots = spec->slots, num_old = spec->num_slots;
    spec->slots = slots;
    spec->num_slots = num_slots;
    for (uint32_t i = 0; i < num_old; i++)
        if (old_slots[i] != TN_NO_SLOT) slots[find_slot(spec, spec->tokens.data[old_slots[i]].piece)] = old_slots[i];
    tn_free(spec->allocator, old_slots);
    return TN_OK;
}

tn_status tn_spec_set_token(tn_spec *spec, uint64_t id, size_t num_expected, tn_bytes piece, uint32_t flags) {
    char quoted[TN_QUOTE_SIZE];
    tn_quote(piece.data, piece.size, quoted);
    if (id >= TN_MAX_TOKENS || id > (uint64_t)num_expected * 4 + 65536)
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the vocabulary: token '%s' has id %llu, far beyond its %zu tokens", quoted,
                       (unsigned long long)id, num_expected);
    if (piece.size > TN_MAX_PIECE_SIZE)
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the vocabulary: token %llu has %zu bytes, at most %u are allowed",
                       (unsigned long long)id, piece.size, TN_MAX_PIECE_SIZE);
    if (id >= spec->tokens.count) {
        size_t extra = (size_t)id + 1 - spec->tokens.count;
        if (!tn_array_reserve(spec->allocator, &spec->tokens, extra))
            return tn_fail_memory(spec->diag, "the vocabulary", extra * sizeof(tn_spec_token));
        memset(spec->tokens.data + spec->tokens.count, 0, extra * sizeof(tn_spec_token));
        spec->tokens.count += extra;
    }
    tn_spec_token *token = &spec->tokens.data[id];
    if (token->flags & TN_TOKEN_USED) {
        char other[TN_QUOTE_SIZE];
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the vocabulary: id %llu belongs to both '%s' and '%s'",
                       (unsigned long long)id, tn_quote(token->piece.data, token->piece.size, other), quoted);
    }
    if ((spec->num_pieces + 1) * 4 / 3 >= spec->num_slots) {
        tn_status status = grow_slots(spec);
        if (status != TN_OK) return status;
    }
    char *copy = tn_arena_bytes(&spec->arena, piece.data, piece.size);
    if (!copy) return tn_fail_memory(spec->diag, "the vocabulary", piece.size);
    token->piece = (tn_bytes){copy, piece.size};
    token->flags = flags | TN_TOKEN_USED;
    uint32_t slot = find_slot(spec, token->piece);
    if (spec->slots[slot] == TN_NO_SLOT) spec->num_pieces++;
    spec->slots[slot] = (uint32_t)id;
    return TN_OK;
}

int32_t tn_spec_find(const tn_spec *spec, tn_bytes piece) {
    if (spec->num_slots == 0) return -1;
    uint32_t id = spec->slots[find_slot(spec, piece)];
    return id == TN_NO_SLOT ? -1 : (int32_t)id;
}

static tn_status fail_merge(const tn_spec *spec, tn_bytes piece) {
    char quoted[TN_QUOTE_SIZE];
    return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the merges: merge %zu needs the token '%s', which the vocabulary lacks",
                   spec->merges.count, tn_quote(piece.data, piece.size, quoted));
}

tn_status tn_spec_add_merge(tn_spec *spec, tn_bytes left, tn_bytes right) {
    size_t affix_size = spec->affix_prefix.size;
    if (left.size == 0 || right.size <= affix_size)
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the merges: merge %zu has an empty half", spec->merges.count);
    if (spec->merges.count >= TN_MAX_TOKENS)
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the merges: more than %u of them", TN_MAX_TOKENS);
    int32_t left_id = tn_spec_find(spec, left), right_id = tn_spec_find(spec, right);
    if (left_id < 0) return fail_merge(spec, left);
    if (right_id < 0) return fail_merge(spec, right);
    tn_bytes rest = {right.data + affix_size, right.size - affix_size};
    char stack[256];
    tn_bytes both = {stack, left.size + rest.size}; /* each is a token, so at most twice TN_MAX_PIECE_SIZE */
    char *heap = NULL;
    if (both.size > sizeof stack) {
        both.data = heap = tn_alloc(spec->allocator, both.size);
        if (!heap) return tn_fail_memory(spec->diag, "a merge", both.size);
    }
    char *joined = heap ? heap : stack;
    memcpy(joined, left.data, left.size);
    memcpy(joined + left.size, rest.data, rest.size);
    int32_t result = tn_spec_find(spec, both);
    tn_status status = TN_OK;
    if (result < 0) {
        status = fail_merge(spec, both);
    } else {
        tn_merge_entry merge = {(uint32_t)left_id, (uint32_t)right_id, (uint32_t)spec->merges.count, (uint32_t)result};
        if (!tn_array_push(spec->allocator, &spec->merges, merge)) status = tn_fail_memory(spec->diag, "the merges", sizeof merge);
    }
    tn_free(spec->allocator, heap);
    return status;
}

tn_status tn_spec_add_added(tn_spec *spec, uint32_t id, uint32_t added_flags) {
    tn_spec_token *token = &spec->tokens.data[id];
    if (token->piece.size == 0) return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the added tokens: token %u is empty", id);
    if (token->piece.size > TN_MAX_ADDED_SIZE)
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the added tokens: token %u has %zu bytes, at most %u are allowed", id,
                       token->piece.size, TN_MAX_ADDED_SIZE);
    if (added_flags & TN_ADDED_SPECIAL) token->flags |= TN_TOKEN_SPECIAL;
    tn_spec_added added = {token->piece, id, added_flags};
    if (!tn_array_push(spec->allocator, &spec->added, added)) return tn_fail_memory(spec->diag, "the added tokens", sizeof added);
    return TN_OK;
}

tn_status tn_spec_add_part(tn_spec *spec, tn_spec_parts *parts, tn_part part) {
    if (parts->count >= TN_MAX_PARTS)
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the tokenizer: a sequence has more than %u parts", TN_MAX_PARTS);
    uint32_t max_size = tn_part_has_charsmap(part.kind) ? TN_MAX_CHARSMAP_SIZE : TN_MAX_PATTERN_SIZE;
    if (part.a.size > max_size || part.b.size > max_size)
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the tokenizer: a pattern has more than %u bytes", max_size);
    char *a = tn_arena_bytes(&spec->arena, part.a.size ? part.a.data : "", part.a.size);
    char *b = tn_arena_bytes(&spec->arena, part.b.size ? part.b.data : "", part.b.size);
    if (!a || !b) return tn_fail_memory(spec->diag, "a pattern", part.a.size + part.b.size);
    part.a.data = a;
    part.b.data = b;
    if (!tn_array_push(spec->allocator, parts, part)) return tn_fail_memory(spec->diag, "the tokenizer's parts", sizeof part);
    return TN_OK;
}

tn_status tn_spec_add_id(tn_spec *spec, tn_spec_ids *ids, int32_t id) {
    if (!tn_array_push(spec->allocator, ids, id)) return tn_fail_memory(spec->diag, "the tokenizer's special ids", sizeof id);
    return TN_OK;
}

tn_status tn_spec_add_end_id(tn_spec *spec, int64_t id) {
    if (id < 0 || (uint64_t)id >= spec->tokens.count) return TN_OK;
    for (size_t i = 0; i < spec->end_ids.count; i++)
        if (spec->end_ids.data[i] == id) return TN_OK;
    return tn_spec_add_id(spec, &spec->end_ids, (int32_t)id);
}

tn_status tn_spec_set_chat_template(tn_spec *spec, tn_bytes text) {
    if (text.size > TN_MAX_TEMPLATE_SIZE)
        return tn_fail(spec->diag, TN_INVALID_DATA, "cannot read the chat template: it has %zu bytes, at most %u are allowed", text.size,
                       TN_MAX_TEMPLATE_SIZE);
    char *copy = tn_arena_bytes(&spec->arena, text.data, text.size);
    if (!copy) return tn_fail_memory(spec->diag, "the chat template", text.size);
    spec->chat_template = (tn_bytes){copy, text.size};
    return TN_OK;
}
