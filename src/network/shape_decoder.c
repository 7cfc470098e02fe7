/* SPDX-License-Identifier: Apache-2.0
 *
 * shape_decoder.c: shapes and types of decoders' layers: rotary tables, paged cache, attention, experts, sampling; and of the
 * reserved ones.
 */
#include <inttypes.h>

#include "network/network_internal.h"
#include "op/kv_geometry.h"

/* An int32 tensor [dim0] or [dim0, any]. */
static bool want_indices(const tn_shape *shape, uint32_t input, const char *what, int rank, tn_sym dim0) {
    return tn_shape_want_dtype(shape, input, what, TN_INT32) && tn_shape_want_rank(shape, input, what, rank) &&
           tn_shape_want_dim(shape, input, what, 0, dim0);
}

static bool want_rows(const tn_shape *shape, uint32_t input, const char *what, tn_sym rows, tn_sym columns) {
    return tn_shape_want_float(shape, input, what) && tn_shape_want_rank(shape, input, what, 2) &&
           tn_shape_want_dim(shape, input, what, 0, rows) && tn_shape_want_dim(shape, input, what, 1, columns);
}

bool tn_shape_token_ids(tn_shape *shape) {
    const tn_tensor *slot = shape->inputs[2];
    if (!want_indices(shape, 0, "input_ids", 1, TN_SYM_INVALID) || !want_indices(shape, 1, "query_start", 1, TN_SYM_INVALID) ||
        !want_indices(shape, 2, "seq_slot", 1, TN_SYM_INVALID) || !tn_shape_want_state(shape, 3, "slots", "slots"))
        return false;
    tn_sym starts = tn_sym_binary(shape->network->symbols, TN_SYM_ADD, slot->dims[0], TN_SYM_ONE);
    return tn_shape_want_dim(shape, 1, "query_start", 0, starts) && tn_shape_output_is_input(shape);
}

bool tn_shape_rotary_table(tn_shape *shape) {
    const tn_tensor *positions = shape->inputs[0], *frequencies = shape->inputs[1];
    if (!want_indices(shape, 0, "positions", 1, TN_SYM_INVALID) || !tn_shape_want_dtype(shape, 1, "the frequencies", TN_FLOAT32) ||
        !tn_shape_want_rank(shape, 1, "the frequencies", 1))
        return false;
    tn_sym columns = tn_sym_binary(shape->network->symbols, TN_SYM_MUL, frequencies->dims[0], tn_shape_const(shape, 2));
    shape->num_outputs = 1;
    shape->outputs[0] = (tn_shape_output){.dtype = TN_FLOAT32, .rank = 2, .dims = {positions->dims[0], columns}};
    return true;
}

/* Columns must be a constant and a multiple of the head's size. */
static bool want_heads(const tn_shape *shape, uint32_t input, const char *what, int64_t head_dim, int64_t *out_heads) {
    const tn_tensor *x = shape->inputs[input];
    int64_t columns;
    if (head_dim < 1) return tn_shape_fail(shape, "the head size is %" PRId64 ", it must be at least 1", head_dim);
    if (!tn_sym_is_const(shape->network->symbols, x->dims[x->rank - 1], &columns) || columns % head_dim != 0)
        return tn_shape_fail(shape, "%s must have a multiple of %" PRId64 " columns (the head size), it is %s", what, head_dim,
                             tn_shape_describe(shape, x));
    *out_heads = columns / head_dim;
    return true;
}

static bool want_table(const tn_shape *shape, uint32_t input, tn_sym rows, int64_t head_dim) {
    int64_t columns;
    const tn_tensor *table = shape->inputs[input];
    if (!tn_shape_want_dtype(shape, input, "the table", TN_FLOAT32) || !want_rows(shape, input, "the table", rows, TN_SYM_INVALID))
        return false;
    if (tn_sym_is_const(shape->network->symbols, table->dims[1], &columns) && columns % 2 == 0 && columns <= head_dim) return true;
    return tn_shape_fail(shape, "the table must have an even number of columns, at most the head size %" PRId64 ", it is %s", head_dim,
                         tn_shape_describe(shape, table));
}

bool tn_shape_rotary(tn_shape *shape) {
    const tn_rotary_params *params = &shape->params->rotary;
    int64_t heads;
    if (params->type < 0 || params->type >= TN_NUM_ROTARY_TYPES) return tn_shape_fail(shape, "there is no rotary type %d", params->type);
    return want_rows(shape, 0, "x", TN_SYM_INVALID, TN_SYM_INVALID) && want_heads(shape, 0, "x", params->head_dim, &heads) &&
           want_table(shape, 1, shape->inputs[0]->dims[0], params->head_dim) && tn_shape_output_is_input(shape);
}

/* --- paged cache ---------------------------------------------------------------------------------------------------------- */

/* The parameters name a layer of the state's group. */
static bool want_cache(const tn_shape *shape, uint32_t input, const tn_kv_geometry *geometry, int64_t layer) {
    if (!tn_shape_want_state(shape, input, "the cache", "kv")) return false;
    const tn_network_state *state = tn_network_find_state(shape->network, shape->inputs[input]->state);
    const tn_kv_geometry *kv = &state->kv;
    bool fits = kv->num_layers == geometry->num_layers && kv->num_kv_heads == geometry->num_kv_heads && kv->k_dim == geometry->k_dim &&
                kv->v_dim == geometry->v_dim && kv->tokens_per_block == geometry->tokens_per_block && kv->dtype == geometry->dtype;
    if (!fits) return tn_shape_fail(shape, "its cache parameters are not those of the state '%s'", state->name);
    if (layer < 0 || layer >= kv->num_layers)
        return tn_shape_fail(shape, "cache layer %" PRId64 " is outside the %" PRId64 " layers of '%s'", layer, kv->num_layers,
                             state->name);
    return true;
}

/* query_start [S+1], kv_length [S], block_table [S, B] as three inputs in a row. */
static bool want_sequences(const tn_shape *shape, uint32_t first) {
    const tn_tensor *kv_length = shape->inputs[first + 1];
    if (!want_indices(shape, first, "query_start", 1, TN_SYM_INVALID) || !want_indices(shape, first + 1, "kv_length", 1, TN_SYM_INVALID) ||
        !want_indices(shape, first + 2, "block_table", 2, kv_length->dims[0]))
        return false;
    return tn_shape_want_dim(shape, first, "query_start", 0,
                             tn_sym_binary(shape->network->symbols, TN_SYM_ADD, kv_length->dims[0], TN_SYM_ONE));
}

static void output_next_state(tn_shape *shape, uint32_t output, uint32_t input) {
    const tn_tensor *state = shape->inputs[input];
    tn_shape_copy(shape, output, state, state->dtype);
    shape->outputs[output].state = state->state;
}

bool tn_shape_kv_cache_update(tn_shape *shape) {
    const tn_kv_cache_update_params *params = &shape->params->kv_cache_update;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    if (!want_cache(shape, 2, &geometry, params->layer) ||
        !want_rows(shape, 0, "k", TN_SYM_INVALID, tn_shape_const(shape, params->num_kv_heads * params->k_dim)) ||
        !want_rows(shape, 1, "v", shape->inputs[0]->dims[0], tn_shape_const(shape, params->num_kv_heads * params->v_dim)) ||
        !want_sequences(shape, 3))
        return false;
    output_next_state(shape, 0, 2);
    return true;
}

static bool want_query_heads(const tn_shape *shape, int64_t num_heads, int64_t num_kv_heads) {
    if (num_heads >= 1 && num_kv_heads >= 1 && num_heads % num_kv_heads == 0) return true;
    return tn_shape_fail(shape, "%" PRId64 " query heads are no multiple of %" PRId64 " key heads", num_heads, num_kv_heads);
}

bool tn_shape_attention(tn_shape *shape) {
    const tn_attention_params *params = &shape->params->attention;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    if (!want_query_heads(shape, params->num_heads, params->num_kv_heads) || !want_cache(shape, 1, &geometry, params->layer)) return false;
    tn_sym heads = tn_shape_const(shape, params->num_heads);
    if (!want_rows(shape, 0, "q", TN_SYM_INVALID, tn_shape_const(shape, params->num_heads * params->k_dim)) || !want_sequences(shape, 2) ||
        !tn_shape_want_weight_vector(shape, 5, "the sinks", heads) || !tn_shape_want_weight_vector(shape, 6, "the slopes", heads))
        return false;
    if (params->window < 0 || params->sink_tokens < 0)
        return tn_shape_fail(shape, "window %" PRId64 " and sink_tokens %" PRId64 " must be ≥ 0", params->window, params->sink_tokens);
    tn_shape_copy(shape, 0, shape->inputs[0], shape->inputs[0]->dtype);
    shape->outputs[0].dims[1] = tn_shape_const(shape, params->num_heads * params->v_dim);
    return true;
}

bool tn_shape_qkv_cache(tn_shape *shape) {
    const tn_qkv_cache_params *params = &shape->params->qkv_cache;
    tn_kv_geometry geometry = TN_KV_GEOMETRY(params);
    if (!want_query_heads(shape, params->num_heads, params->num_kv_heads) || !want_cache(shape, 4, &geometry, params->layer)) return false;
    int64_t columns = params->num_heads * params->k_dim + params->num_kv_heads * (params->k_dim + params->v_dim);
    if (!want_rows(shape, 0, "qkv", TN_SYM_INVALID, tn_shape_const(shape, columns))) return false;
    tn_sym rows = shape->inputs[0]->dims[0], head = tn_shape_const(shape, params->k_dim);
    if (shape->inputs[1] != NULL && !want_table(shape, 1, rows, params->k_dim)) return false;
    if (!tn_shape_want_weight_vector(shape, 2, "q_norm", head) || !tn_shape_want_weight_vector(shape, 3, "k_norm", head) ||
        !want_sequences(shape, 5))
        return false;
    shape->outputs[0].dtype = shape->inputs[0]->dtype;
    shape->outputs[0].rank = 2;
    shape->outputs[0].dims[0] = rows;
    shape->outputs[0].dims[1] = tn_shape_const(shape, params->num_heads * params->k_dim);
    shape->num_outputs = 1;
    output_next_state(shape, 1, 4);
    return true;
}

/* --- experts -------------------------------------------------------------------------------------------------------------- */

bool tn_shape_route(tn_shape *shape) {
    const tn_route_params *params = &shape->params->route;
    const tn_tensor *logits = shape->inputs[0];
    tn_symbols *symbols = shape->network->symbols;
    int64_t experts;
    if (params->type < 0 || params->type >= TN_NUM_ROUTE_TYPES) return tn_shape_fail(shape, "there is no way %d to route", params->type);
    if (!want_rows(shape, 0, "the logits", TN_SYM_INVALID, TN_SYM_INVALID) ||
        !tn_shape_want_weight_vector(shape, 1, "the bias", logits->dims[1]))
        return false;
    if (!tn_sym_is_const(symbols, logits->dims[1], &experts) || params->top_k < 1 || params->top_k > experts)
        return tn_shape_fail(shape, "it cannot take the %" PRId64 " largest of %s", params->top_k, tn_shape_describe(shape, logits));
    if (!tn_route_groups_fit(params, experts))
        return tn_shape_fail(shape, "it cannot take %" PRId64 " of %" PRId64 " experts out of the %" PRId64 " best of %" PRId64 " groups",
                             params->top_k, experts, params->top_groups, params->groups);
    tn_sym top_k = tn_shape_const(shape, params->top_k);
    shape->num_outputs = 3;
    shape->outputs[0] = (tn_shape_output){.dtype = TN_INT32, .rank = 1, .dims = {tn_shape_const(shape, experts + 1)}};
    shape->outputs[1] =
        (tn_shape_output){.dtype = TN_INT32, .rank = 1, .dims = {tn_sym_binary(symbols, TN_SYM_MUL, logits->dims[0], top_k)}};
    shape->outputs[2] = (tn_shape_output){.dtype = TN_FLOAT32, .rank = 2, .dims = {logits->dims[0], top_k}};
    return true;
}

bool tn_shape_combine(tn_shape *shape) {
    const tn_tensor *y = shape->inputs[0], *scores = shape->inputs[2];
    if (!want_rows(shape, 0, "y", TN_SYM_INVALID, TN_SYM_INVALID) || !want_indices(shape, 1, "order", 1, y->dims[0]) ||
        !want_rows(shape, 2, "the scores", TN_SYM_INVALID, TN_SYM_INVALID))
        return false;
    tn_sym rows = tn_sym_binary(shape->network->symbols, TN_SYM_MUL, scores->dims[0], scores->dims[1]);
    if (!tn_shape_want_dim(shape, 0, "y", 0, rows)) return false;
    tn_shape_copy(shape, 0, y, y->dtype);
    shape->outputs[0].dims[0] = scores->dims[0];
    return true;
}

/* --- sampling ------------------------------------------------------------------------------------------------------------- */

bool tn_shape_sample(tn_shape *shape) {
    const tn_sample_params *params = &shape->params->sample;
    tn_symbols *symbols = shape->network->symbols;
    const tn_tensor *logits = shape->inputs[0];
    if (params->max_log_probs < 0 || params->max_log_probs > 1024)
        return tn_shape_fail(shape, "max_log_probs is %" PRId64 ", it must be 0 to 1024", params->max_log_probs);
    if (!want_rows(shape, 0, "the logits", TN_SYM_INVALID, tn_shape_const(shape, params->vocab_size)) ||
        !want_indices(shape, 1, "sample_slot", 1, logits->dims[0]) || !want_indices(shape, 2, "sample_position", 1, logits->dims[0]) ||
        !tn_shape_want_state(shape, 3, "slots", "slots"))
        return false;
    if (shape->num_inputs > 4 && shape->inputs[4] != NULL) {
        tn_sym words = tn_sym_binary(symbols, TN_SYM_CEIL_DIV, logits->dims[1], tn_shape_const(shape, 32));
        if (!tn_shape_want_dtype(shape, 4, "token_mask", TN_UINT32) || !tn_shape_want_rank(shape, 4, "token_mask", 2) ||
            !tn_shape_want_dim(shape, 4, "token_mask", 0, logits->dims[0]) || !tn_shape_want_dim(shape, 4, "token_mask", 1, words))
            return false;
    }
    tn_sym columns = tn_shape_const(shape, 1 + params->max_log_probs);
    shape->num_outputs = 3;
    shape->outputs[0] = (tn_shape_output){.dtype = TN_INT32, .rank = 1, .dims = {logits->dims[0]}};
    shape->outputs[1] = (tn_shape_output){.dtype = TN_INT32, .rank = 2, .dims = {logits->dims[0], columns}};
    shape->outputs[2] = (tn_shape_output){.dtype = TN_FLOAT32, .rank = 2, .dims = {logits->dims[0], columns}};
    output_next_state(shape, 3, 3);
    return true;
}

/* --- reserved --------------------------------------------------------------------------------------------------------------- */

/* Of several ranks they stand in networks and formats; the builder refuses them by name. */
bool tn_shape_collective(tn_shape *shape) {
    const tn_collective_params *params = &shape->params->collective;
    if (params->type < 0 || params->type >= TN_NUM_COLLECTIVES) return tn_shape_fail(shape, "there is no collective %d", params->type);
    if (params->op < 0 || params->op >= TN_NUM_REDUCE_OPS) return tn_shape_fail(shape, "there is no reduction %d", params->op);
    bool to_others = params->type == TN_COLLECTIVE_SEND || params->type == TN_COLLECTIVE_RECV || params->type == TN_COLLECTIVE_ALL_TO_ALL_V;
    bool keeps_shape = params->type == TN_COLLECTIVE_ALL_REDUCE || params->type == TN_COLLECTIVE_BROADCAST;
    if (keeps_shape || (params->group <= 1 && !to_others)) return tn_shape_want_elements(shape, 0) && tn_shape_output_is_input(shape);
    return tn_shape_fail_status(shape, TN_UNSUPPORTED, "this collective needs a group of ranks, which is not built");
}

bool tn_shape_lora_linear(tn_shape *shape) {
    return tn_shape_fail_status(shape, TN_UNSUPPORTED, "adapters are not built");
}
