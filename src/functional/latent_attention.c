/* SPDX-License-Identifier: Apache-2.0
 *
 * latent_attention.c: attention whose keys and values come out of one narrow vector.
 */
#include <stdio.h>

#include "functional/functional_internal.h"

static tn_tensor *reshape(tn_network *network, tn_tensor *x, tn_dims dims) {
    tn_layer *layer = tn_network_add_shuffle(network, x);
    tn_shuffle_set_reshape(layer, dims);
    return tn_layer_output(layer, 0);
}

/* [T, size] for all heads alike: [T, heads, size] */
static tn_tensor *repeat_for_heads(tn_network *network, tn_tensor *x, int64_t heads, int64_t size, const char *name) {
    float *zeros = tn_arena_alloc_array(&network->arena, (size_t)(heads * size), sizeof *zeros);
    if (zeros == NULL) {
        network->failed = network->out_of_memory = true;
        return NULL;
    }
    const tn_weights *nothing = tn_weights_floats(&network->arena, zeros, TN_DIMS(1, heads, size), network->diag);
    return tn_fn_add(network, reshape(network, x, TN_DIMS(-1, 1, size)), tn_network_add_weights(network, nothing, name), NULL);
}

tn_tensor *tn_fn_latent_attention(tn_decoder *decoder, tn_tensor *x, const tn_latent_weights *weights, const tn_attention_config *params,
                                  const char *name) {
    tn_network *network = decoder->network;
    int64_t heads = params->num_heads, size = decoder->options.k_dim, rotated = weights->rotated_dim;
    tn_call_argument arguments[] = {{.name = "x", .tensor = x},
                                    {.name = "layer", .number = (double)params->layer},
                                    {.name = "num_heads", .number = (double)heads},
                                    {.name = "rotated_dim", .number = (double)rotated},
                                    {.name = "scale", .number = params->scale}};
    tn_call *call = tn_call_begin(network, "latent_attention", arguments, 5);
    char part[128];
#define PART(suffix) (snprintf(part, sizeof part, "%s.%s", name, suffix), part)
    tn_tensor *q = x;
    if (weights->q_a != NULL) {
        q = tn_fn_linear(network, x, weights->q_a, weights->q_a_bias, PART("q_a"));
        q = tn_fn_rms_norm(network, q, weights->q_a_norm, params->norm_epsilon, PART("q_a_norm"));
    }
    q = tn_fn_linear(network, q, weights->q, NULL, PART("q"));
    q = tn_fn_rotate(decoder, q, size, params, PART("q_rotary"));
    tn_tensor *latent = tn_fn_linear(network, x, weights->latent, weights->latent_bias, PART("latent"));
    latent = tn_fn_rms_norm(network, latent, weights->latent_norm, params->norm_epsilon, PART("latent_norm"));
    tn_tensor *k_rotated = tn_fn_linear(network, x, weights->k_rotated, weights->k_rotated_bias, PART("k_rotated"));
    k_rotated = tn_fn_rotate(decoder, k_rotated, rotated, params, PART("k_rotary"));
    tn_tensor *k_plain = tn_fn_linear(network, latent, weights->k, NULL, PART("k"));
    tn_tensor *v = tn_fn_linear(network, latent, weights->v, NULL, PART("v"));
    tn_tensor *parts[2] = {repeat_for_heads(network, k_rotated, heads, rotated, PART("k_repeat")),
                           reshape(network, k_plain, TN_DIMS(-1, heads, size - rotated))};
    tn_tensor *k = tn_layer_output(tn_network_add_concatenation(network, parts, 2, 2), 0);
    k = reshape(network, k, TN_DIMS(-1, heads * size));
    tn_fn_record(call, "q", q);
    tn_fn_record(call, "k", k);
    tn_fn_record(call, "v", v);
    tn_tensor *y = tn_fn_attend(decoder, q, k, v, NULL, NULL, params, name);
    y = tn_fn_linear(network, y, weights->o, weights->o_bias, PART("o"));
#undef PART
    tn_call_end(call, &y, 1);
    return y;
}
