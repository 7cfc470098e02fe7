/* SPDX-License-Identifier: Apache-2.0
 *
 * layers_model.c: layers of language models written as the layers that they are: updating a padded cache, experts that were
 * chosen already; and collectives.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "network/network_internal.h"

static tn_tensor *elementwise(tn_network *network, tn_tensor *a, tn_tensor *b, tn_elementwise_op op) {
    return tn_layer_output(tn_network_add_elementwise(network, a, b, op), 0);
}

static tn_tensor *reshape(tn_network *network, tn_tensor *x, tn_dims dims) {
    tn_layer *layer = tn_network_add_shuffle(network, x);
    if (layer != NULL) tn_shuffle_set_reshape(layer, dims);
    return tn_layer_output(layer, 0);
}

static tn_tensor *reshape_like(tn_network *network, tn_tensor *x, tn_tensor *like) {
    tn_layer *layer = tn_network_add_shuffle(network, x);
    if (layer != NULL) tn_shuffle_set_reshape_tensor(layer, tn_layer_output(tn_network_add_shape(network, like), 0));
    return tn_layer_output(layer, 0);
}

static tn_tensor *scalar(tn_network *network, tn_dtype dtype, double value) {
    return tn_network_add_copied_constant(network, TN_SCALAR, dtype, &value);
}

/* One value, to be broadcast over `rank` dimensions. */
static tn_tensor *single(tn_network *network, tn_dtype dtype, double value, int rank) {
    tn_dims dims = {.rank = rank};
    for (int i = 0; i < rank; i++) dims.d[i] = 1;
    return tn_network_add_copied_constant(network, dims, dtype, &value);
}

/* --- cache ------------------------------------------------------------------------------------------------------------------ */

void tn_kv_cache_update_options_init(tn_kv_cache_update_options *options) {
    *options = (tn_kv_cache_update_options){.struct_size = sizeof *options};
}

static bool is_integer_vector(const tn_tensor *tensor) {
    return tensor->rank == 1 && (tensor->dtype == TN_INT32 || tensor->dtype == TN_INT64);
}

/* int64 [batch, heads, length, 1]: the index along one axis */
static tn_tensor *index_of_axis(tn_network *network, tn_tensor *dims, int axis) {
    double steps[4] = {0};
    steps[axis] = 1.0;
    tn_tensor *beta = tn_network_add_copied_constant(network, TN_DIMS(4), TN_INT64, steps);
    return tn_layer_output(tn_network_add_fill(network, dims, scalar(network, TN_INT64, 0.0), beta), 0);
}

/* int64 [batch, 1, 1, 1] */
static tn_tensor *per_batch(tn_network *network, tn_tensor *vector) {
    if (vector->dtype != TN_INT64) vector = tn_layer_output(tn_network_add_cast(network, vector, TN_INT64), 0);
    return tn_layer_output(tn_network_add_unsqueeze(network, vector, (const int[]){1, 2, 3}, 3), 0);
}

tn_layer *tn_network_add_kv_cache_update(tn_network *network, tn_tensor *cache, tn_tensor *update, tn_tensor *write_indices,
                                         const tn_kv_cache_update_options *options) {
    tn_kv_cache_update_options defaults;
    tn_kv_cache_update_options_init(&defaults);
    if (!tn_network_options_are_made(network, "kv cache update", options, options != NULL ? options->struct_size : 0, sizeof *options))
        return NULL;
    if (options == NULL) options = &defaults;
    if (cache == NULL || update == NULL || write_indices == NULL) {
        tn_network_fail_missing(network, "add a kv cache update");
        return NULL;
    }
    tn_tensor *lengths = options->update_lengths;
    const char *reason = NULL;
    if (cache->network != network || update->network != network || write_indices->network != network)
        reason = "an input belongs to another network";
    else if (cache->rank != 4 || update->rank != 4)
        reason = "cache and update must be [batch, heads, length, size]";
    else if (cache->dtype != update->dtype)
        reason = "cache and update must be of one type";
    else if (!is_integer_vector(write_indices) || (lengths != NULL && !is_integer_vector(lengths)))
        reason = "write indices and update lengths must be int32 or int64 [batch]";
    for (int axis = 0; reason == NULL && axis < 4; axis++)
        if (axis != 2 && tn_sym_equal(network->symbols, cache->dims[axis], update->dims[axis]) == TN_NO)
            reason = "cache and update differ in another dimension than the length";
    if (reason != NULL) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add kv cache update: %s", reason);
        return NULL;
    }
    tn_tensor *shape = tn_layer_output(tn_network_add_shape(network, update), 0);
    tn_tensor *rows = tn_layer_output(tn_network_add_slice(network, shape, TN_DIMS(0), TN_DIMS(3), TN_DIMS(1)), 0);
    tn_tensor *one = tn_network_add_copied_constant(network, TN_DIMS(1), TN_INT64, (const double[]){1.0});
    tn_tensor *dims = tn_layer_output(tn_network_add_concatenation(network, (tn_tensor *[]){rows, one}, 2, 0), 0);
    tn_tensor *step = index_of_axis(network, dims, 2);
    tn_tensor *place = elementwise(network, step, per_batch(network, write_indices), TN_ELEMENTWISE_SUM);
    if (lengths != NULL) { /* what does not count goes nowhere */
        tn_tensor *counts = elementwise(network, step, per_batch(network, lengths), TN_ELEMENTWISE_LESS);
        place = tn_layer_output(tn_network_add_select(network, counts, place, single(network, TN_INT64, -1.0, 4)), 0);
    }
    tn_tensor *parts[3] = {index_of_axis(network, dims, 0), index_of_axis(network, dims, 1), place};
    tn_tensor *indices = tn_layer_output(tn_network_add_concatenation(network, parts, 3, 3), 0);
    return tn_network_add_scatter(network, cache, indices, update, TN_SCATTER_ND, 0);
}

/* --- experts ---------------------------------------------------------------------------------------------------------------- */

void tn_moe_options_init(tn_moe_options *options) {
    *options =
        (tn_moe_options){.struct_size = sizeof *options, .activation = TN_ACTIVATION_SILU, .swiglu_limit = INFINITY, .swiglu_alpha = 1.0};
}

typedef struct moe {
    tn_network *network;
    tn_tensor *starts, *order; /* of the experts among the sorted rows; which row each is */
    tn_tensor *expert_of_row;  /* int32 [tokens · k], sorted; NULL without biases */
    int64_t top_k;
} moe;

static tn_tensor *product(const moe *m, tn_tensor *x, tn_tensor *weight, tn_tensor *bias, bool sorted) {
    tn_op_params params = {.grouped_matmul = {.top_k = m->top_k, .sorted = sorted}};
    tn_tensor *inputs[4] = {x, weight, m->starts, m->order};
    tn_tensor *y = tn_layer_output(tn_network_add_layer(m->network, TN_OP_GROUPED_MATMUL, &params, inputs, 4, NULL), 0);
    if (bias == NULL) return y;
    tn_tensor *rows = tn_layer_output(tn_network_add_gather(m->network, bias, m->expert_of_row, TN_GATHER_DEFAULT, 0), 0);
    return elementwise(m->network, y, rows, TN_ELEMENTWISE_SUM);
}

static tn_tensor *clip(tn_network *network, tn_tensor *x, double low, double high) {
    tn_layer *layer = tn_network_add_activation(network, x, TN_ACTIVATION_CLIP);
    tn_activation_set_parameters(layer, low, high);
    return tn_layer_output(layer, 0);
}

/* act(gate) · up, with the limits of SwiGLU. */
static tn_tensor *gated(const moe *m, tn_tensor *gate, tn_tensor *up, const tn_moe_options *options) {
    tn_network *network = m->network;
    if (isfinite(options->swiglu_limit)) {
        gate = clip(network, gate, -FLT_MAX, options->swiglu_limit);
        up = clip(network, up, -options->swiglu_limit, options->swiglu_limit);
    }
    if (gate != NULL && up != NULL && options->swiglu_beta != 0.0)
        up = elementwise(network, up, single(network, up->dtype, options->swiglu_beta, 2), TN_ELEMENTWISE_SUM);
    if (gate == NULL || options->activation != TN_ACTIVATION_SILU || options->swiglu_alpha == 1.0) {
        gate = tn_layer_output(tn_network_add_activation(network, gate, options->activation), 0);
    } else {
        tn_tensor *scaled = elementwise(network, gate, single(network, gate->dtype, options->swiglu_alpha, 2), TN_ELEMENTWISE_PROD);
        tn_tensor *share = tn_layer_output(tn_network_add_activation(network, scaled, TN_ACTIVATION_SIGMOID), 0);
        gate = elementwise(network, gate, share, TN_ELEMENTWISE_PROD);
    }
    return elementwise(network, gate, up, TN_ELEMENTWISE_PROD);
}

static const char *why_not_moe(tn_network *network, const tn_tensor *x, const tn_tensor *experts, const tn_tensor *scores,
                               const tn_moe_options *options, int64_t *out_experts, int64_t *out_top_k, int64_t *out_hidden) {
    const tn_tensor *weights[3] = {options->gate, options->up, options->down};
    const tn_tensor *biases[3] = {options->gate_bias, options->up_bias, options->down_bias};
    if ((x->rank != 2 && x->rank != 3) || experts->rank != x->rank || scores->rank != x->rank)
        return "x, experts and scores must all be [tokens, n] or [batch, tokens, n]";
    if (experts->dtype != TN_INT32) return "the experts must be int32";
    if (scores->dtype != x->dtype) return "the scores must be of x's type";
    tn_dims weight_dims = tn_tensor_dims(options->gate);
    for (int i = 0; i < 3; i++) {
        if (tn_tensor_weights(weights[i]) == NULL || weights[i]->rank != 3) return "gate, up and down must be constants of 3 dimensions";
        if (tn_tensor_dims(weights[i]).d[0] != weight_dims.d[0]) return "gate, up and down have different numbers of experts";
        if (biases[i] != NULL && (biases[i]->rank != 2 || tn_tensor_dims(biases[i]).d[0] != weight_dims.d[0] ||
                                  tn_tensor_dims(biases[i]).d[1] != tn_tensor_dims(weights[i]).d[1]))
            return "a bias must be [experts, outputs] of its weight";
    }
    *out_experts = weight_dims.d[0];
    if (!tn_sym_is_const(network->symbols, experts->dims[experts->rank - 1], out_top_k) || *out_top_k < 1 || *out_top_k > *out_experts)
        return "the number of experts a token, the last dimension of experts, must be fixed and 1 to the number of experts";
    if (!tn_sym_is_const(network->symbols, x->dims[x->rank - 1], out_hidden)) return "the size of x's rows must be fixed";
    bool has_limits = isfinite(options->swiglu_limit) || options->swiglu_alpha != 1.0 || options->swiglu_beta != 0.0;
    if (has_limits && options->activation != TN_ACTIVATION_SILU) return "limit, alpha and beta are those of silu";
    if (isnan(options->swiglu_limit) || options->swiglu_limit <= 0.0 || !isfinite(options->swiglu_alpha) || !isfinite(options->swiglu_beta))
        return "the limit must be above 0, alpha and beta finite";
    if ((int)options->activation < 0 || !tn_activation_is_plain(options->activation))
        return "its activation must be one without parameters";
    return NULL;
}

/* Rows sorted by expert, from the choices given: ROUTE sorts logits, so the scores are put where their experts are, the least
 * number elsewhere; TOPK gives the scores in the order in which ROUTE counts choices. */
static tn_tensor *route(moe *m, tn_tensor *experts, tn_tensor *scores, int64_t num_experts, bool has_bias) {
    tn_network *network = m->network;
    tn_tensor *count = tn_layer_output(tn_network_add_shape(network, scores), 0);
    tn_tensor *tokens = tn_layer_output(tn_network_add_slice(network, count, TN_DIMS(0), TN_DIMS(1), TN_DIMS(1)), 0);
    tn_tensor *width = tn_network_add_copied_constant(network, TN_DIMS(1), TN_INT64, (const double[]){(double)num_experts});
    tn_tensor *dims = tn_layer_output(tn_network_add_concatenation(network, (tn_tensor *[]){tokens, width}, 2, 0), 0);
    tn_tensor *least =
        tn_layer_output(tn_network_add_fill(network, dims, scalar(network, TN_FLOAT32, -FLT_MAX), scalar(network, TN_FLOAT32, 0.0)), 0);
    if (scores != NULL && scores->dtype != TN_FLOAT32) scores = tn_layer_output(tn_network_add_cast(network, scores, TN_FLOAT32), 0);
    tn_tensor *logits = tn_layer_output(tn_network_add_scatter(network, least, experts, scores, TN_SCATTER_ELEMENT, 1), 0);
    tn_op_params params = {.route = {.type = TN_ROUTE_TOPK_SOFTMAX, .top_k = m->top_k, .scale = 1.0}};
    tn_layer *routed = tn_network_add_layer(network, TN_OP_ROUTE, &params, &logits, 1, NULL);
    tn_layer *chosen = tn_network_add_topk(network, logits, TN_TOPK_MAX, m->top_k, 1);
    m->starts = tn_layer_output(routed, 0);
    m->order = tn_layer_output(routed, 1);
    if (has_bias)
        m->expert_of_row = tn_layer_output(
            tn_network_add_gather(network, reshape(network, tn_layer_output(chosen, 1), TN_DIMS(-1)), m->order, TN_GATHER_DEFAULT, 0), 0);
    return tn_layer_output(chosen, 0);
}

tn_layer *tn_network_add_moe(tn_network *network, tn_tensor *x, tn_tensor *experts, tn_tensor *scores, const tn_moe_options *options) {
    if (!tn_network_options_are_made(network, "moe", options, options != NULL ? options->struct_size : 0, sizeof *options)) return NULL;
    if (x == NULL || experts == NULL || scores == NULL || options == NULL || options->gate == NULL || options->up == NULL ||
        options->down == NULL) {
        tn_network_fail_missing(network, "add a moe");
        return NULL;
    }
    int64_t num_experts = 0, hidden = 0;
    moe m = {.network = network};
    const char *reason = why_not_moe(network, x, experts, scores, options, &num_experts, &m.top_k, &hidden);
    if (reason != NULL) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add moe: %s", reason);
        return NULL;
    }
    tn_tensor *rows = x->rank == 3 ? reshape(network, x, TN_DIMS(-1, hidden)) : x;
    if (x->rank == 3) {
        experts = reshape(network, experts, TN_DIMS(-1, m.top_k));
        scores = reshape(network, scores, TN_DIMS(-1, m.top_k));
    }
    bool has_bias = options->gate_bias != NULL || options->up_bias != NULL || options->down_bias != NULL;
    tn_tensor *shares = route(&m, experts, scores, num_experts, has_bias);
    tn_tensor *gate = product(&m, rows, options->gate, options->gate_bias, false);
    tn_tensor *up = product(&m, rows, options->up, options->up_bias, false);
    tn_tensor *down = product(&m, gated(&m, gate, up, options), options->down, options->down_bias, true);
    tn_layer *sum = tn_network_add_layer(network, TN_OP_COMBINE, NULL, (tn_tensor *[]){down, m.order, shares}, 3, NULL);
    if (x->rank == 2 || sum == NULL) return sum;
    tn_tensor *y = reshape_like(network, tn_layer_output(sum, 0), x);
    return y != NULL ? y->producer : NULL;
}

/* --- collectives ------------------------------------------------------------------------------------------------------------ */

tn_layer *tn_network_add_collective(tn_network *network, tn_tensor *x, tn_collective_type type, tn_reduce_op op, int64_t root,
                                    const int64_t *group, int num_ranks) {
    if (!tn_network_options_are_made(network, "collective", NULL, 0, 0)) return NULL;
    if (num_ranks < 0 || (num_ranks > 0 && group == NULL)) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add collective: its group of %d ranks is missing", num_ranks);
        return NULL;
    }
    int64_t other = num_ranks > 1 ? group[1] : num_ranks == 1 ? group[0] : 0;
    if (other == 0 && root > 0) other = root;
    if (other != 0 || num_ranks > 1) {
        TN_NETWORK_FAIL(network, TN_UNSUPPORTED, "cannot add collective: it needs rank %" PRId64 ", this version runs rank 0 alone", other);
        return NULL;
    }
    tn_op_params params = {.collective = {.type = (int)type, .op = (int)op, .group = 1}};
    return tn_network_add_layer(network, TN_OP_COLLECTIVE, &params, &x, 1, NULL);
}
