/* SPDX-License-Identifier: Apache-2.0
 *
 * state_set.c: memory of an engine's states (cache blocks, slots), and writing into it in the order of a stream.
 */
#include "runtime/state_set.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

/* Host memory that a queued copy reads from; free again once its event has passed. */
typedef struct staging {
    uint8_t *memory;
    size_t size_bytes;
    tn_event *event;
    bool is_in_flight;
} staging;

struct tn_state_set {
    tn_engine *engine;
    const tn_allocator *allocator;
    tn_stream *own_stream;
    unsigned serial;
    void **memory; /* [num_states] */
    int64_t *units;
    uint32_t num_states;
    TN_ARRAY(staging) stagings;
};

void *tn_state_set_memory(const tn_state_set *set, uint32_t state) {
    return state < set->num_states ? set->memory[state] : NULL;
}

unsigned tn_state_set_serial(const tn_state_set *set) {
    return set->serial;
}

const tn_engine *tn_state_set_engine(const tn_state_set *set) {
    return set->engine;
}

static const tn_backend *backend_of(const tn_state_set *set) {
    return set->engine->device->backend;
}

/* --- creation ----------------------------------------------------------------------------------------------------------------- */

static tn_status allocate_states(tn_state_set *set, const int64_t *units, tn_diag *diag) {
    for (uint32_t i = 0; i < set->num_states; i++) {
        const tn_state_info *info = &set->engine->states[i];
        size_t size;
        if (units[i] < 0 || units[i] > INT32_MAX)
            return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot create states: %" PRId64 " units of '%s'", units[i], info->name);
        if (!tn_mul_size((size_t)units[i], info->unit_bytes, &size)) return tn_fail_memory(diag, info->name, SIZE_MAX);
        set->units[i] = units[i];
        if (size == 0) continue;
        tn_status status = tn_engine_allocate(set->engine, TN_ACCOUNT_STATES, info->name, size, diag, &set->memory[i]);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

tn_status tn_state_set_create(tn_engine *engine, const int64_t *units, tn_diag *diag, tn_state_set **out_set) {
    *out_set = NULL;
    tn_state_set *set = tn_alloc_zero(engine->allocator, sizeof *set);
    if (set == NULL) return tn_fail_memory(diag, "states", sizeof *set);
    set->engine = engine;
    set->allocator = engine->allocator;
    set->serial = atomic_fetch_add(&engine->num_state_sets, 1) + 1;
    set->memory = tn_alloc_array(set->allocator, engine->view->num_states, sizeof *set->memory);
    set->units = tn_alloc_array(set->allocator, engine->view->num_states, sizeof *set->units);
    tn_status status = TN_OK;
    if (set->memory == NULL || set->units == NULL)
        status = tn_fail_memory(diag, "states", engine->view->num_states * sizeof *set->units);
    else
        set->num_states = engine->view->num_states;
    if (status == TN_OK) status = engine->device->backend->stream_create(engine->device, diag, &set->own_stream);
    if (status == TN_OK) status = allocate_states(set, units, diag);
    if (status != TN_OK) {
        tn_state_set_destroy(set);
        return status;
    }
    *out_set = set;
    return TN_OK;
}

void tn_state_set_destroy(tn_state_set *set) {
    if (set == NULL) return;
    const tn_backend *backend = backend_of(set);
    for (size_t i = 0; i < set->stagings.count; i++) {
        staging *entry = &set->stagings.data[i];
        if (entry->event != NULL) {
            if (entry->is_in_flight) (void)!backend->event_wait(entry->event, NULL);
            backend->event_destroy(entry->event);
        }
        tn_free(set->allocator, entry->memory);
    }
    tn_array_deinit(set->allocator, &set->stagings);
    tn_stream_destroy(set->own_stream);
    for (uint32_t i = 0; i < set->num_states; i++)
        tn_engine_free(set->engine, TN_ACCOUNT_STATES, set->memory[i], (size_t)set->units[i] * set->engine->states[i].unit_bytes);
    tn_free(set->allocator, set->memory);
    tn_free(set->allocator, set->units);
    tn_free(set->allocator, set);
}

/* --- queued work ----------------------------------------------------------------------------------------------------------------- */

static tn_status take_staging(tn_state_set *set, size_t size_bytes, tn_diag *diag, staging **out_staging) {
    const tn_backend *backend = backend_of(set);
    staging *found = NULL;
    *out_staging = NULL;
    for (size_t i = 0; i < set->stagings.count && found == NULL; i++) {
        staging *entry = &set->stagings.data[i];
        if (entry->is_in_flight && backend->event_is_done != NULL && backend->event_is_done(entry->event)) entry->is_in_flight = false;
        if (!entry->is_in_flight) found = entry;
    }
    if (found == NULL) {
        staging entry = {0};
        if (!tn_array_reserve(set->allocator, &set->stagings, 1)) return tn_fail_memory(diag, "a table of buffers", sizeof entry);
        if (backend->event_create != NULL) {
            tn_status status = backend->event_create(set->engine->device, diag, &entry.event);
            if (status != TN_OK) return status;
        }
        found = &set->stagings.data[set->stagings.count++];
        *found = entry;
    }
    if (found->size_bytes < size_bytes) {
        uint8_t *grown = tn_realloc(set->allocator, found->memory, size_bytes);
        if (grown == NULL) return tn_fail_memory(diag, "a buffer", size_bytes);
        found->memory = grown;
        found->size_bytes = size_bytes;
    }
    *out_staging = found;
    return TN_OK;
}

/* After the last copy out of the buffer was queued, whether it succeeded or not. */
static tn_status finish_staging(tn_state_set *set, staging *entry, tn_stream *stream, bool is_synchronous, tn_status status,
                                tn_diag *diag) {
    const tn_backend *backend = backend_of(set);
    tn_status finished = TN_OK;
    if (is_synchronous || entry->event == NULL) {
        finished = backend->stream_synchronize(stream, diag);
    } else {
        entry->is_in_flight = true;
        finished = backend->event_record(stream, entry->event);
    }
    return status == TN_OK ? finished : status;
}

static tn_status check_state(const tn_state_set *set, int state, const char *kind, tn_diag *diag) {
    if (state >= 0 && (uint32_t)state < set->num_states && strcmp(set->engine->states[state].kind, kind) == 0) return TN_OK;
    return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot change state %d: it is no state of kind '%s'", state, kind);
}

tn_status tn_state_set_copy_blocks(tn_state_set *set, int state, const tn_block_move *moves, size_t num_moves, tn_stream *stream,
                                   tn_diag *diag) {
    tn_status status = check_state(set, state, "kv", diag);
    if (status != TN_OK || num_moves == 0) return status;
    const tn_kv_geometry *geometry = &set->engine->states[state].kv;
    staging *entry;
    size_t size;
    if (!tn_mul_size(num_moves, sizeof(tn_block_copy), &size)) return tn_fail_memory(diag, "block copies", SIZE_MAX);
    for (size_t i = 0; i < num_moves; i++) {
        const tn_block_move *move = &moves[i];
        if (move->src < 0 || move->src >= set->units[state] || move->dst < 0 || move->dst >= set->units[state] || move->num_tokens < 0 ||
            move->num_tokens > geometry->tokens_per_block)
            return tn_fail(
                diag, TN_INVALID_ARGUMENT,
                "cannot copy %" PRId32 " tokens from block %" PRId32 " to %" PRId32 ": state '%s' has %" PRId64 " blocks of %" PRId64,
                move->num_tokens, move->src, move->dst, set->engine->states[state].name, set->units[state], geometry->tokens_per_block);
    }
    status = take_staging(set, size, diag, &entry);
    if (status != TN_OK) return status;
    tn_block_copy *copies = (tn_block_copy *)(void *)entry->memory;
    for (size_t i = 0; i < num_moves; i++) copies[i] = (tn_block_copy){moves[i].src, moves[i].dst, moves[i].num_tokens};
    bool is_synchronous = stream == NULL;
    if (is_synchronous) stream = set->own_stream;
    status = backend_of(set)->copy_blocks(stream, geometry, set->memory[state], copies, num_moves, diag);
    return finish_staging(set, entry, stream, is_synchronous, status, diag);
}

static tn_status check_block(const tn_state_set *set, int state, int64_t block, tn_diag *diag) {
    tn_status status = check_state(set, state, "kv", diag);
    if (status != TN_OK || (block >= 0 && block < set->units[state])) return status;
    return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot copy block %" PRId64 ": state '%s' has %" PRId64, block,
                   set->engine->states[state].name, set->units[state]);
}

tn_status tn_state_set_read_block(tn_state_set *set, int state, int64_t block, void *dst, tn_stream *stream, tn_diag *diag) {
    tn_status status = check_block(set, state, block, diag);
    if (status != TN_OK) return status;
    size_t unit_bytes = set->engine->states[state].unit_bytes;
    return backend_of(set)->copy(stream, TN_COPY_TO_HOST, dst, (const uint8_t *)set->memory[state] + (size_t)block * unit_bytes, unit_bytes,
                                 diag);
}

tn_status tn_state_set_write_block(tn_state_set *set, int state, int64_t block, const void *src, tn_stream *stream, tn_diag *diag) {
    tn_status status = check_block(set, state, block, diag);
    if (status != TN_OK) return status;
    size_t unit_bytes = set->engine->states[state].unit_bytes;
    return backend_of(set)->copy(stream, TN_COPY_TO_DEVICE, (uint8_t *)set->memory[state] + (size_t)block * unit_bytes, src, unit_bytes,
                                 diag);
}

/* What TN_OP_SAMPLE made of top_p by drawing these tokens. */
static float decayed_top_p(const tn_slot_params *params, const int32_t *tokens, int64_t num_tokens) {
    float top_p = params->top_p;
    for (int64_t i = params->prompt_length; i < num_tokens && params->top_p > 0.0f; i++) {
        float decayed = top_p * params->top_p_decay;
        top_p = decayed > params->top_p_min ? decayed : params->top_p_min;
        if (tokens[i] == params->top_p_reset_id) top_p = params->top_p;
    }
    return top_p;
}

/* The row as it stands after admission; the rest of the history is left as it is. */
static void fill_row(uint8_t *row, const tn_slot_layout *layout, int64_t vocab_size, const tn_slot_params *params, const int32_t *tokens,
                     int64_t num_tokens, const float *bias) {
    tn_slot slot;
    memset(&slot, 0, sizeof slot); /* padding too: rows are comparable */
    slot.params = *params;
    slot.params.has_bias = bias != NULL;
    slot.current_top_p = decayed_top_p(params, tokens, num_tokens);
    slot.last_token = num_tokens > 0 ? tokens[num_tokens - 1] : 0;
    slot.history_count = (int32_t)num_tokens;
    memset(row, 0, layout->history_offset);
    memcpy(row, &slot, sizeof slot);
    if (num_tokens > 0) memcpy(row + layout->history_offset, tokens, (size_t)num_tokens * sizeof *tokens);
    int32_t *counts = (int32_t *)(void *)(row + layout->counts_offset);
    memset(counts, 0, (size_t)vocab_size * sizeof *counts);
    for (int64_t i = params->prompt_ignore_length > 0 ? params->prompt_ignore_length : 0; i < num_tokens; i++) counts[tokens[i]]++;
    if (bias != NULL) memcpy(row + layout->bias_offset, bias, (size_t)vocab_size * sizeof *bias);
}

tn_status tn_state_set_write_slot(tn_state_set *set, int state, int64_t slot, const tn_slot_params *params, const int32_t *tokens,
                                  int64_t num_tokens, const float *bias, tn_stream *stream, tn_diag *diag) {
    tn_status status = check_state(set, state, "slots", diag);
    if (status != TN_OK) return status;
    const tn_state_info *info = &set->engine->states[state];
    if (slot < 0 || slot >= set->units[state] || num_tokens < 0 || num_tokens > info->max_seq_len)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot write slot %" PRId64 " of %" PRId64 " with %" PRId64 " tokens, at most %" PRId64,
                       slot, set->units[state], num_tokens, info->max_seq_len);
    for (int64_t i = 0; i < num_tokens; i++)
        if (tokens[i] < 0 || tokens[i] >= info->vocab_size)
            return tn_fail(diag, TN_INVALID_ARGUMENT,
                           "cannot write slot %" PRId64 ": token %" PRId32 " is not in the vocabulary of %" PRId64, slot, tokens[i],
                           info->vocab_size);
    tn_slot_layout layout = tn_slot_layout_make(info->vocab_size, info->max_seq_len);
    const tn_backend *backend = backend_of(set);
    uint8_t *row = (uint8_t *)set->memory[state] + (size_t)slot * info->unit_bytes;
    staging *entry;
    status = take_staging(set, layout.row_bytes, diag, &entry);
    if (status != TN_OK) return status;
    fill_row(entry->memory, &layout, info->vocab_size, params, tokens, num_tokens, bias);
    bool is_synchronous = stream == NULL;
    if (is_synchronous) stream = set->own_stream;
    size_t head_bytes = layout.history_offset + (size_t)num_tokens * sizeof *tokens;
    size_t tail_bytes = (bias != NULL ? layout.bias_offset + (size_t)info->vocab_size * sizeof *bias
                                      : layout.counts_offset + (size_t)info->vocab_size * sizeof(int32_t)) -
                        layout.counts_offset;
    status = backend->copy(stream, TN_COPY_TO_DEVICE, row, entry->memory, head_bytes, diag);
    if (status == TN_OK)
        status =
            backend->copy(stream, TN_COPY_TO_DEVICE, row + layout.counts_offset, entry->memory + layout.counts_offset, tail_bytes, diag);
    return finish_staging(set, entry, stream, is_synchronous, status, diag);
}

tn_status tn_state_set_read_slot_error(tn_state_set *set, int state, int64_t slot, int32_t *out_error, tn_stream *stream, tn_diag *diag) {
    *out_error = 0;
    tn_status status = check_state(set, state, "slots", diag);
    if (status != TN_OK) return status;
    if (slot < 0 || slot >= set->units[state])
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot read slot %" PRId64 " of %" PRId64, slot, set->units[state]);
    const uint8_t *row = (const uint8_t *)set->memory[state] + (size_t)slot * set->engine->states[state].unit_bytes;
    return backend_of(set)->copy(stream, TN_COPY_TO_HOST, out_error, row + offsetof(tn_slot, error), sizeof *out_error, diag);
}
