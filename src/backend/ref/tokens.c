/* SPDX-License-Identifier: Apache-2.0
 *
 * tokens.c: where the tokens of a step stand; TOKEN_IDS.
 */
#include "backend/ref/ref.h"
#include "op/slot.h"

static int64_t find_sequence(const tn_ref_view *query_start, int64_t token) {
    for (int64_t s = 0; s + 1 < query_start->count; s++)
        if (token >= tn_ref_load_int(query_start, s) && token < tn_ref_load_int(query_start, s + 1)) return s;
    return -1;
}

bool tn_ref_find_token(const tn_ref_tokens *tokens, int64_t token, int64_t *out_sequence, int64_t *out_index) {
    int64_t sequence = find_sequence(&tokens->query_start, token);
    *out_sequence = *out_index = -1;
    if (sequence < 0) return false;
    *out_sequence = sequence;
    *out_index = tn_ref_load_int(&tokens->kv_length, sequence) - (tn_ref_load_int(&tokens->query_start, sequence + 1) - token);
    return *out_index >= 0;
}

int64_t tn_ref_find_block(const tn_ref_tokens *tokens, int64_t sequence, int64_t index, int64_t tokens_per_block) {
    int64_t column = index / tokens_per_block;
    if (column >= tokens->block_table.columns) return -1;
    return tn_ref_load_int(&tokens->block_table, sequence * tokens->block_table.columns + column);
}

tn_status tn_ref_token_ids(const tn_ref_call *call) {
    const tn_token_ids_params *params = call->problem->params;
    tn_ref_view ids = tn_ref_input(call, 0), query_start = tn_ref_input(call, 1), seq_slot = tn_ref_input(call, 2);
    tn_ref_view slots = tn_ref_input(call, 3), y = tn_ref_output(call, 0);
    size_t row_bytes = tn_slot_layout_make(params->vocab_size, params->max_seq_len).row_bytes;
    for (int64_t t = 0; t < y.count; t++) {
        int64_t id = tn_ref_load_int(&ids, t), sequence = id >= 0 ? -1 : find_sequence(&query_start, t);
        int64_t slot = sequence >= 0 ? tn_ref_load_int(&seq_slot, sequence) : -1;
        if (slot >= 0) {
            tn_slot row;
            memcpy(&row, (const char *)slots.data + (size_t)slot * row_bytes, sizeof row);
            id = row.last_token;
        }
        tn_ref_store_int(&y, t, id);
    }
    return TN_OK;
}
