/* SPDX-License-Identifier: Apache-2.0
 *
 * layers_attention.c: attention and rotary embedding of padded tensors, written as the layers that they are.
 */
#include <inttypes.h>
#include <math.h>

#include "network/network_internal.h"

void tn_attention_options_init(tn_attention_options *options) {
    *options = (tn_attention_options){.struct_size = sizeof *options, .softmax = true};
}

static tn_tensor *elementwise(tn_network *network, tn_tensor *a, tn_tensor *b, tn_elementwise_op op) {
    return tn_layer_output(tn_network_add_elementwise(network, a, b, op), 0);
}

static tn_tensor *reshape(tn_network *network, tn_tensor *x, tn_dims dims) {
    tn_layer *layer = tn_network_add_shuffle(network, x);
    if (layer != NULL) tn_shuffle_set_reshape(layer, dims);
    return tn_layer_output(layer, 0);
}

static tn_tensor *unsqueeze(tn_network *network, tn_tensor *x, int axis) {
    return tn_layer_output(tn_network_add_unsqueeze(network, x, &axis, 1), 0);
}

/* [1] int64: a dimension of x */
static tn_tensor *dim_of(tn_network *network, tn_tensor *x, int axis) {
    tn_tensor *shape = tn_layer_output(tn_network_add_shape(network, x), 0);
    return tn_layer_output(tn_network_add_slice(network, shape, TN_DIMS(axis), TN_DIMS(1), TN_DIMS(1)), 0);
}

/* bool [1, 1, 1, queries, keys]: query i sees key j. */
static tn_tensor *causal_mask(tn_network *network, tn_tensor *q, tn_tensor *k, tn_causal_mask kind) {
    static const double down[2] = {1.0, 0.0}, across[2] = {0.0, 1.0};
    const double zero = 0.0;
    tn_tensor *num_queries = dim_of(network, q, 2), *num_keys = dim_of(network, k, 2);
    tn_tensor *dims = tn_layer_output(tn_network_add_concatenation(network, (tn_tensor *[]){num_queries, num_keys}, 2, 0), 0);
    tn_tensor *origin = tn_network_add_copied_constant(network, TN_SCALAR, TN_INT64, &zero);
    tn_tensor *rows = tn_network_add_copied_constant(network, TN_DIMS(2), TN_INT64, down);
    tn_tensor *columns = tn_network_add_copied_constant(network, TN_DIMS(2), TN_INT64, across);
    tn_tensor *query = tn_layer_output(tn_network_add_fill(network, dims, origin, rows), 0);
    tn_tensor *key = tn_layer_output(tn_network_add_fill(network, dims, origin, columns), 0);
    if (kind == TN_CAUSAL_LOWER_RIGHT) {
        tn_tensor *offset = elementwise(network, num_keys, num_queries, TN_ELEMENTWISE_SUB);
        query = elementwise(network, query, unsqueeze(network, offset, 0), TN_ELEMENTWISE_SUM);
    }
    tn_tensor *hidden = elementwise(network, key, query, TN_ELEMENTWISE_GREATER);
    tn_tensor *seen = tn_layer_output(tn_network_add_unary(network, hidden, TN_UNARY_NOT), 0);
    return tn_layer_output(tn_network_add_unsqueeze(network, seen, (const int[]){0, 1, 2}, 3), 0);
}

/* Scores where the mask is false become −∞; a float mask is added. */
static tn_tensor *apply_mask(tn_network *network, tn_tensor *scores, tn_tensor *mask) {
    const double infinite = -INFINITY;
    if (scores == NULL || mask == NULL || mask->dtype != TN_BOOL) return elementwise(network, scores, mask, TN_ELEMENTWISE_SUM);
    tn_tensor *nothing = tn_network_add_copied_constant(network, TN_DIMS(1, 1, 1, 1, 1), scores->dtype, &infinite);
    return tn_layer_output(tn_network_add_select(network, mask, scores, nothing), 0);
}

static bool heads_are_valid(tn_network *network, tn_tensor *q, tn_tensor *k, tn_tensor *v, int64_t *num_heads, int64_t *num_kv_heads) {
    if (q == NULL || k == NULL || v == NULL) {
        tn_network_fail_missing(network, "add an attention");
        return false;
    }
    bool is_valid = q->rank == 4 && k->rank == 4 && v->rank == 4 && tn_sym_is_const(network->symbols, q->dims[1], num_heads) &&
                    tn_sym_is_const(network->symbols, k->dims[1], num_kv_heads) && *num_kv_heads > 0 && *num_heads % *num_kv_heads == 0;
    if (!is_valid)
        TN_NETWORK_FAIL(
            network, TN_INVALID_ARGUMENT,
            "cannot add attention: q, k and v must be [batch, heads, length, size] with fixed numbers of heads, those of '%s' a "
            "multiple of those of '%s'",
            q->name, k->name);
    return is_valid;
}

tn_layer *tn_network_add_attention(tn_network *network, tn_tensor *q, tn_tensor *k, tn_tensor *v, const tn_attention_options *options) {
    tn_attention_options defaults;
    int64_t num_heads, num_kv_heads, size;
    tn_attention_options_init(&defaults);
    if (options == NULL) options = &defaults;
    if (network == NULL || !heads_are_valid(network, q, k, v, &num_heads, &num_kv_heads)) return NULL;
    const char *reason = NULL;
    if (options->struct_size != sizeof *options) reason = "its options were not made by their init function";
    if (options->mask != NULL && options->causal != TN_CAUSAL_NONE) reason = "it has a mask and is causal";
    if (options->mask != NULL && options->mask->rank != 4) reason = "its mask must be [batch or 1, heads or 1, queries, keys]";
    if (!tn_sym_is_const(network->symbols, v->dims[3], &size)) reason = "the size of v's heads must be fixed";
    if (reason != NULL) {
        TN_NETWORK_FAIL(network, TN_INVALID_ARGUMENT, "cannot add attention: %s", reason);
        return NULL;
    }
    int64_t q_size = tn_tensor_dims(q).d[3];
    /* [batch, kv heads, heads of a group, length, size]: keys and values broadcast over a group */
    tn_tensor *grouped = reshape(network, q, TN_DIMS(0, num_kv_heads, num_heads / num_kv_heads, -1, q_size));
    tn_tensor *scores =
        tn_layer_output(tn_network_add_matrix_multiply(network, grouped, TN_MATRIX_NONE, unsqueeze(network, k, 2), TN_MATRIX_TRANSPOSE), 0);
    if (options->causal != TN_CAUSAL_NONE) scores = apply_mask(network, scores, causal_mask(network, q, k, options->causal));
    if (options->mask != NULL) {
        bool is_shared = tn_tensor_dims(options->mask).d[1] == 1;
        if (!is_shared && num_heads != num_kv_heads) {
            tn_dims dims = tn_tensor_dims(options->mask);
            scores = apply_mask(network, scores,
                                reshape(network, options->mask, TN_DIMS(0, num_kv_heads, num_heads / num_kv_heads, -1, dims.d[3])));
        } else {
            scores = apply_mask(network, scores, unsqueeze(network, options->mask, 2));
        }
    }
    if (options->softmax) scores = tn_layer_output(tn_network_add_softmax(network, scores, 4), 0);
    tn_tensor *y =
        tn_layer_output(tn_network_add_matrix_multiply(network, scores, TN_MATRIX_NONE, unsqueeze(network, v, 2), TN_MATRIX_NONE), 0);
    tn_layer *layer = tn_network_add_shuffle(network, y);
    if (layer != NULL) tn_shuffle_set_reshape(layer, TN_DIMS(0, num_heads, -1, size));
    return layer;
}

/* Elements first, first + stride … of the last dimension. */
static tn_tensor *pick(tn_network *network, tn_tensor *x, int64_t first, int64_t count, int64_t stride) {
    tn_slice_options options;
    tn_slice_options_init(&options);
    options.axes = TN_DIMS(-1), options.start = TN_DIMS(first), options.size = TN_DIMS(count), options.stride = TN_DIMS(stride);
    return tn_layer_output(tn_network_add_slice_with(network, x, &options), 0);
}

tn_layer *tn_network_add_rotary_embedding(tn_network *network, tn_tensor *x, tn_tensor *cos, tn_tensor *sin, tn_tensor *position_ids,
                                          bool interleaved, int64_t rotary_dim) {
    int64_t size = 0;
    if (network == NULL || x == NULL || cos == NULL || sin == NULL) {
        if (network != NULL) tn_network_fail_missing(network, "add a rotary embedding");
        return NULL;
    }
    bool is_valid = x->rank == 4 && tn_sym_is_const(network->symbols, x->dims[3], &size) && cos->rank == (position_ids != NULL ? 2 : 3);
    int64_t rotated = rotary_dim > 0 ? rotary_dim : size, half = rotated / 2;
    if (!is_valid || rotated % 2 != 0 || rotated > size || rotated < 2) {
        TN_NETWORK_FAIL(
            network, TN_INVALID_ARGUMENT,
            "cannot add rotary_embedding: x must be [batch, heads, length, size], cos and sin [batch, length, size / 2], or [positions, "
            "size / 2] with position ids; %" PRId64 " of %" PRId64 " elements cannot be rotated",
            rotated, size);
        return NULL;
    }
    if (position_ids != NULL) {
        cos = tn_layer_output(tn_network_add_gather(network, cos, position_ids, TN_GATHER_DEFAULT, 0), 0);
        sin = tn_layer_output(tn_network_add_gather(network, sin, position_ids, TN_GATHER_DEFAULT, 0), 0);
    }
    cos = unsqueeze(network, cos, 1), sin = unsqueeze(network, sin, 1);
    tn_tensor *a = pick(network, x, 0, half, interleaved ? 2 : 1);
    tn_tensor *b = pick(network, x, interleaved ? 1 : half, half, interleaved ? 2 : 1);
    tn_tensor *first = elementwise(network, elementwise(network, a, cos, TN_ELEMENTWISE_PROD),
                                   elementwise(network, b, sin, TN_ELEMENTWISE_PROD), TN_ELEMENTWISE_SUB);
    tn_tensor *second = elementwise(network, elementwise(network, b, cos, TN_ELEMENTWISE_PROD),
                                    elementwise(network, a, sin, TN_ELEMENTWISE_PROD), TN_ELEMENTWISE_SUM);
    if (!interleaved) {
        tn_tensor *parts[3] = {first, second, rotated < size ? pick(network, x, rotated, size - rotated, 1) : NULL};
        return tn_network_add_concatenation(network, parts, rotated < size ? 3 : 2, -1);
    }
    tn_tensor *pairs[2] = {unsqueeze(network, first, 4), unsqueeze(network, second, 4)};
    tn_layer *layer = tn_network_add_shuffle(network, tn_layer_output(tn_network_add_concatenation(network, pairs, 2, 4), 0));
    if (layer != NULL) tn_shuffle_set_reshape(layer, TN_DIMS(0, 0, 0, rotated));
    if (layer == NULL || rotated == size) return layer;
    return tn_network_add_concatenation(network, (tn_tensor *[]){tn_layer_output(layer, 0), pick(network, x, rotated, size - rotated, 1)},
                                        2, -1);
}
