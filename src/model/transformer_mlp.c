/* SPDX-License-Identifier: Apache-2.0
 *
 * transformer_mlp.c: a layer's MLP: plain, gated, or experts with or without a shared one.
 */
#include <stdio.h>

#include "model/transformer.h"

typedef struct mlp_names {
    const char *gate, *up, *gate_up, *down;
} mlp_names;

static tn_tensor *activate(const tn_model_builder *builder, tn_tensor *x) {
    tn_tensor *y = tn_fn_activation(builder->network, x, builder->config->activation, NULL);
    return builder->config->squares_activation ? tn_fn_multiply(builder->network, y, y, NULL) : y;
}

static tn_tensor *add_plain(tn_model_builder *builder, tn_tensor *x, int64_t layer, const char *name) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    int64_t hidden = config->hidden_size, inner = config->intermediate_size;
    const tn_weights *up = tn_model_linear(builder, names->up, layer, inner, hidden);
    const tn_weights *up_bias = tn_model_bias(builder, names->up, layer, config->mlp_bias, inner);
    const tn_weights *down = tn_model_linear(builder, names->down, layer, hidden, inner);
    const tn_weights *down_bias = tn_model_bias(builder, names->down, layer, config->mlp_bias, hidden);
    if (!config->squares_activation) return tn_fn_mlp(builder->network, x, up, up_bias, down, down_bias, config->activation, name);
    char part[80];
    snprintf(part, sizeof part, "%s.first", name);
    tn_tensor *y = activate(builder, tn_fn_linear(builder->network, x, up, up_bias, part));
    snprintf(part, sizeof part, "%s.second", name);
    return tn_fn_linear(builder->network, y, down, down_bias, part);
}

static tn_tensor *add_gated(tn_model_builder *builder, tn_tensor *x, int64_t layer, const mlp_names *names, int64_t inner,
                            const char *name) {
    const tn_model_config *config = builder->config;
    tn_network *network = builder->network;
    int64_t hidden = config->hidden_size;
    const tn_weights *gate, *up, *gate_bias = NULL, *up_bias = NULL;
    if (config->is_gate_joined && names->gate_up != NULL) {
        const tn_weights *both = tn_model_linear(builder, names->gate_up, layer, 2 * inner, hidden);
        gate = tn_model_rows(builder, both, 0, inner);
        up = tn_model_rows(builder, both, inner, 2 * inner);
    } else {
        gate = tn_model_linear(builder, names->gate, layer, inner, hidden);
        up = tn_model_linear(builder, names->up, layer, inner, hidden);
        gate_bias = tn_model_bias(builder, names->gate, layer, config->mlp_bias, inner);
        up_bias = tn_model_bias(builder, names->up, layer, config->mlp_bias, inner);
    }
    const tn_weights *down = tn_model_linear(builder, names->down, layer, hidden, inner);
    const tn_weights *down_bias = tn_model_bias(builder, names->down, layer, config->mlp_bias, hidden);
    if (gate_bias == NULL && up_bias == NULL && down_bias == NULL)
        return tn_fn_gated_mlp(network, x, gate, up, down, config->activation, name);
    /* the same with biases, written out */
    char part[80];
    snprintf(part, sizeof part, "%s.gate", name);
    tn_tensor *gated = activate(builder, tn_fn_linear(network, x, gate, gate_bias, part));
    snprintf(part, sizeof part, "%s.up", name);
    tn_tensor *product = tn_fn_multiply(network, gated, tn_fn_linear(network, x, up, up_bias, part), NULL);
    snprintf(part, sizeof part, "%s.down", name);
    return tn_fn_linear(network, product, down, down_bias, part);
}

/* What all tokens go through beside their experts, weighed by a sigmoid of its own if there is one. */
static tn_tensor *add_shared(tn_model_builder *builder, tn_tensor *x, int64_t layer, const char *name) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    const mlp_names shared = {.gate = names->shared_gate, .up = names->shared_up, .down = names->shared_down};
    char part[80];
    snprintf(part, sizeof part, "%s.shared", name);
    tn_tensor *y = add_gated(builder, x, layer, &shared, config->shared_expert_size, part);
    if (!config->has_shared_gate) return y;
    tn_network *network = builder->network;
    const tn_weights *router = tn_model_weight(builder, names->shared_router, layer, "weight", true);
    if (router != NULL && router->desc.dims.rank == 1) /* as GGUF has it */
        router = tn_weights_reshape(&network->arena, router, TN_DIMS(1, router->desc.dims.d[0]), network->diag);
    router = tn_model_expect(builder, router, TN_DIMS(1, config->hidden_size));
    snprintf(part, sizeof part, "%s.shared_gate", name);
    tn_tensor *weight = tn_fn_activation(network, tn_fn_linear(network, x, router, NULL, part), TN_ACTIVATION_SIGMOID, NULL);
    return tn_fn_multiply(network, y, weight, NULL);
}

static const tn_weights *expert_bias(tn_model_builder *builder, const char *pattern, int64_t layer, int64_t columns) {
    const tn_model_config *config = builder->config;
    if (!config->has_expert_bias) return NULL;
    const tn_weights *bias = tn_model_weight(builder, pattern, layer, "bias", true);
    bias = tn_weights_decode(&builder->network->arena, bias, TN_FLOAT32, builder->network->diag);
    return tn_model_expect(builder, bias, TN_DIMS(config->num_experts, columns));
}

static tn_tensor *add_experts(tn_model_builder *builder, tn_tensor *x, int64_t layer, const char *name) {
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    int64_t hidden = config->hidden_size, inner = config->expert_size, experts = config->num_experts;
    tn_moe_weights weights = {.router = tn_model_linear(builder, names->router, layer, experts, hidden)};
    if (config->expert_gate_is_interleaved) {
        weights.gate = tn_model_expert_half(builder, names->expert_gate_up, layer, 0, inner, hidden);
        if (weights.gate != NULL) weights.up = tn_model_expert_half(builder, names->expert_gate_up, layer, 1, inner, hidden);
        weights.gate_bias = tn_model_expert_half_bias(builder, names->expert_gate_up, layer, 0, inner);
        weights.up_bias = tn_model_expert_half_bias(builder, names->expert_gate_up, layer, 1, inner);
    } else if (config->expert_gate_is_joined && names->expert_gate_up != NULL) {
        weights.gate = tn_model_joined_experts(builder, names->expert_gate_up, layer, 0, inner, hidden);
        if (weights.gate != NULL) weights.up = tn_model_joined_experts(builder, names->expert_gate_up, layer, 1, inner, hidden);
    } else {
        weights.gate = tn_model_experts(builder, names->expert_gate, layer, inner, hidden);
        weights.up = tn_model_experts(builder, names->expert_up, layer, inner, hidden);
        weights.gate_bias = expert_bias(builder, names->expert_gate, layer, inner);
        weights.up_bias = expert_bias(builder, names->expert_up, layer, inner);
    }
    weights.down = tn_model_experts(builder, names->expert_down, layer, hidden, inner);
    weights.down_bias = expert_bias(builder, names->expert_down, layer, hidden);
    if (config->has_router_bias) weights.router_bias = tn_model_bias(builder, names->router, layer, TN_BIAS_REQUIRED, experts);
    if (config->has_choice_bias)
        weights.choice_bias =
            tn_model_expect(builder, tn_model_weight(builder, names->choice_bias, layer, "weight", true), TN_DIMS(experts));
    tn_moe_config moe = {.num_experts = experts,
                         .top_k = config->experts_per_token,
                         .route = config->route,
                         .renormalize = config->renormalizes_scores,
                         .scale = config->expert_scale,
                         .num_groups = config->expert_groups,
                         .top_groups = config->chosen_groups,
                         .activation = config->activation,
                         .limit = config->expert_limit};
    tn_tensor *y = tn_fn_moe(builder->network, x, &weights, &moe, name);
    return config->shared_expert_size > 0 ? tn_fn_add(builder->network, y, add_shared(builder, x, layer, name), NULL) : y;
}

tn_tensor *tn_transformer_mlp(const tn_transformer *self, tn_tensor *x, int64_t layer) {
    tn_model_builder *builder = self->builder;
    const tn_model_config *config = builder->config;
    const tn_weight_names *names = builder->names;
    char name[64];
    snprintf(name, sizeof name, "layers.%lld.mlp", (long long)layer);
    bool is_dense = config->num_experts == 0 || (config->layer_is_dense != NULL && config->layer_is_dense[layer]);
    if (!is_dense) return add_experts(builder, x, layer, name);
    if (config->has_plain_mlp) return add_plain(builder, x, layer, name);
    const mlp_names dense = {.gate = names->gate, .up = names->up, .gate_up = names->gate_up, .down = names->down};
    return add_gated(builder, x, layer, &dense, config->intermediate_size, name);
}
