/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_check_weights.c: checks states and weights of a plan. Whether the layouts exist here and have these sizes is the
 * engine's question.
 */
#include <inttypes.h>
#include <string.h>

#include "op/kv_geometry.h"
#include "plan/plan_reader.h"

enum { MIN_TOKENS_PER_BLOCK = 16, MAX_TOKENS_PER_BLOCK = 256, MAX_STATES = 1024, WEIGHT_ALIGNMENT = 64 };

/* Keeps products of a state's sizes inside 64 bits. */
static bool is_size(int64_t value, int64_t max) {
    return value > 0 && value <= max;
}

static tn_status check_kv(const tn_plan_reader *reader, uint32_t index) {
    const tn_plan_state *state = &reader->view->states[index];
    const char *dtype = tn_plan_find_string(reader, state->dtype);
    tn_dtype type = dtype != NULL ? tn_dtype_find(dtype) : TN_DTYPE_NONE;
    if (!tn_kv_dtype_is_known(type))
        return tn_plan_fail_record(reader, TN_SECTION_STATES, index, "a cache of '%s', only " TN_KV_DTYPES " are known",
                                   dtype != NULL ? dtype : "");
    int64_t tokens = state->tokens_per_block;
    if (tokens < MIN_TOKENS_PER_BLOCK || tokens > MAX_TOKENS_PER_BLOCK || (tokens & (tokens - 1)) != 0)
        return tn_plan_fail_record(reader, TN_SECTION_STATES, index, "%" PRId64 " tokens a block, allowed are 16, 32, 64, 128, 256",
                                   tokens);
    if (!is_size(state->num_layers, 1 << 12) || !is_size(state->num_kv_heads, 1 << 12) || !is_size(state->k_dim, 1 << 14) ||
        !is_size(state->v_dim, 1 << 14) || state->window < 0 || state->sink_tokens < 0)
        return tn_plan_fail_record(reader, TN_SECTION_STATES, index,
                                   "a cache of %" PRId64 " layers, %" PRId64 " heads of %" PRId64 " and %" PRId64, state->num_layers,
                                   state->num_kv_heads, state->k_dim, state->v_dim);
    return TN_OK;
}

static tn_status check_state(const tn_plan_reader *reader, uint32_t index) {
    const tn_plan_state *state = &reader->view->states[index];
    const char *name = tn_plan_find_string(reader, state->name), *kind = tn_plan_find_string(reader, state->kind);
    if (name == NULL || name[0] == '\0' || kind == NULL || tn_plan_find_string(reader, state->dtype) == NULL)
        return tn_plan_fail_record(reader, TN_SECTION_STATES, index, "it has no name or no kind");
    for (uint32_t other = 0; other < index; other++)
        if (strcmp(reader->view->strings + reader->view->states[other].name, name) == 0)
            return tn_plan_fail_record(reader, TN_SECTION_STATES, index, "two states are called '%s'", name);
    if (strcmp(kind, "kv") == 0) return check_kv(reader, index);
    if (strcmp(kind, "slots") == 0) {
        if (!is_size(state->vocab_size, INT32_MAX) || !is_size(state->max_seq_len, INT32_MAX))
            return tn_plan_fail_record(reader, TN_SECTION_STATES, index, "slots for %" PRId64 " tokens of a vocabulary of %" PRId64,
                                       state->max_seq_len, state->vocab_size);
        return TN_OK;
    }
    if (strcmp(kind, "lora") == 0) return tn_plan_fail_reserved(reader, TN_SECTION_STATES, index, "a state of kind 'lora'");
    if (strcmp(kind, "recurrent") == 0) return tn_plan_fail_reserved(reader, TN_SECTION_STATES, index, "a state of kind 'recurrent'");
    return tn_plan_fail_record(reader, TN_SECTION_STATES, index, "unknown kind '%s'", kind);
}

tn_status tn_plan_check_states(const tn_plan_reader *reader) {
    tn_status status = TN_OK;
    if (reader->view->num_states > MAX_STATES)
        return tn_plan_fail(reader, reader->section_offset[TN_SECTION_STATES], "%" PRIu32 " states, at most %d are allowed",
                            reader->view->num_states, MAX_STATES);
    for (uint32_t i = 0; i < reader->view->num_states && status == TN_OK; i++) status = check_state(reader, i);
    return status;
}

static tn_status check_weight_form(const tn_plan_reader *reader, uint32_t index) {
    const tn_plan_weight *weight = &reader->view->weights[index];
    const char *name = tn_plan_find_string(reader, weight->name), *dtype = tn_plan_find_string(reader, weight->dtype),
               *encoding = tn_plan_find_string(reader, weight->encoding), *layout = tn_plan_find_string(reader, weight->layout);
    tn_encoding unused;
    if (name == NULL || name[0] == '\0') return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index, "it has no name");
    if (dtype == NULL || tn_dtype_get_info(tn_dtype_find(dtype))->bits == 0)
        return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index, "unknown element type '%s'", dtype != NULL ? dtype : "");
    if (encoding == NULL || !tn_encoding_parse(encoding, &unused))
        return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index, "unknown encoding '%s'", encoding != NULL ? encoding : "");
    if (layout == NULL || layout[0] == '\0') return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index, "it has no layout");
    if (tn_plan_find_string(reader, weight->file) == NULL || tn_plan_find_string(reader, weight->recipe) == NULL)
        return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index, "its file or recipe is no string");
    if (weight->rank > TN_MAX_RANK || weight->reserved != 0)
        return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index, "%" PRIu32 " dimensions, at most %d are allowed", weight->rank,
                                   TN_MAX_RANK);
    int64_t elements = 1;
    for (uint32_t i = 0; i < weight->rank; i++)
        if (weight->dims[i] < 0 || !tn_mul_i64(elements, weight->dims[i] > 0 ? weight->dims[i] : 1, &elements))
            return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index, "dimension %" PRIu32 " of '%s' is %" PRId64, i, name,
                                       weight->dims[i]);
    return TN_OK;
}

static tn_status check_weight(const tn_plan_reader *reader, uint32_t index) {
    const tn_plan_view *view = reader->view;
    const tn_plan_weight *weight = &view->weights[index];
    tn_status status = check_weight_form(reader, index);
    if (status != TN_OK) return status;
    const char *name = view->strings + weight->name;
    switch (weight->storage) {
    case TN_WEIGHT_INLINE:
        if (weight->offset % WEIGHT_ALIGNMENT != 0 || weight->offset > view->weight_data_bytes ||
            weight->size > view->weight_data_bytes - weight->offset)
            return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index,
                                       "'%s' has offset %" PRIu64 " and %" PRIu64 " bytes, the plan has %" PRIu64 " bytes of weights", name,
                                       weight->offset, weight->size, view->weight_data_bytes);
        return TN_OK;
    case TN_WEIGHT_EXTERNAL:
        if (view->strings[weight->file] == '\0' || weight->offset > INT64_MAX || weight->size > INT64_MAX - weight->offset)
            return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index, "'%s' has no file, or an offset of %" PRIu64 " in it", name,
                                       weight->offset);
        return TN_OK;
    case TN_WEIGHT_STRIPPED:
        if ((view->header->flags & TN_PLAN_STRIPPED) == 0 || view->strings[weight->recipe] == '\0')
            return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index,
                                       "'%s' is left out of a plan that is not stripped, or has no recipe", name);
        return TN_OK;
    default: return tn_plan_fail_record(reader, TN_SECTION_WEIGHTS, index, "unknown storage %" PRIu32, weight->storage);
    }
}

tn_status tn_plan_check_weights(const tn_plan_reader *reader) {
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < reader->view->num_weights && status == TN_OK; i++) status = check_weight(reader, i);
    return status;
}
