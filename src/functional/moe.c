/* SPDX-License-Identifier: Apache-2.0
 *
 * moe.c: a mixture of experts: route, two rounds of products by expert, combine.
 */
#include <float.h>
#include <stdio.h>

#include "functional/functional_internal.h"

/* The expert's bias has no place but the product's epilogue: only there is known whose row it is. */
static tn_tensor *grouped_matmul(tn_network *network, tn_tensor *x, const tn_weights *weight, const tn_weights *bias, const tn_layer *route,
                                 const tn_grouped_matmul_params *grouped, const char *name) {
    tn_op_params params = {.grouped_matmul = *grouped};
    char constant_name[128];
    snprintf(constant_name, sizeof constant_name, "%s.weight", name);
    tn_tensor *inputs[5] = {x, tn_network_add_weights(network, weight, constant_name), tn_layer_output(route, 0),
                            tn_layer_output(route, 1)};
    if (bias == NULL) return tn_layer_output(tn_network_add_layer(network, TN_OP_GROUPED_MATMUL, &params, inputs, 4, name), 0);
    snprintf(constant_name, sizeof constant_name, "%s.bias", name);
    inputs[4] = tn_network_add_weights(network, bias, constant_name);
    const tn_epilogue epilogue = {.kind = TN_EPILOGUE_BIAS, .operand = 4};
    return tn_layer_output(tn_network_add_fused_layer(network, TN_OP_GROUPED_MATMUL, &params, inputs, 5, &epilogue, 1, name), 0);
}

static tn_tensor *add_product(tn_network *network, tn_tensor *gate, tn_tensor *up, const tn_moe_config *config) {
    if (config->limit == 0.0) return tn_fn_multiply(network, tn_fn_activation(network, gate, config->activation, NULL), up, NULL);
    gate = tn_fn_activation(network, tn_fn_clip(network, gate, -FLT_MAX, config->limit, NULL), config->activation, NULL);
    up = tn_fn_clip(network, up, -config->limit, config->limit, NULL);
    return tn_fn_add(network, tn_fn_multiply(network, gate, up, NULL), gate, NULL); /* gate · (up + 1) */
}

tn_tensor *tn_fn_moe(tn_network *network, tn_tensor *x, const tn_moe_weights *weights, const tn_moe_config *params, const char *name) {
    tn_call_argument arguments[] = {{.name = "x", .tensor = x},
                                    {.name = "num_experts", .number = (double)params->num_experts},
                                    {.name = "top_k", .number = (double)params->top_k},
                                    {.name = "activation", .number = (double)params->activation},
                                    {.name = "limit", .number = params->limit}};
    tn_call *call = tn_call_begin(network, "moe", arguments, 5);
    char part[128];
    snprintf(part, sizeof part, "%s.router", name);
    tn_tensor *logits[2] = {tn_fn_linear(network, x, weights->router, weights->router_bias, part), NULL};
    tn_op_params route_params = {.route = {.type = (int)params->route,
                                           .top_k = params->top_k,
                                           .renormalize = params->renormalize,
                                           .scale = params->scale == 0.0 ? 1.0 : params->scale,
                                           .groups = params->num_groups,
                                           .top_groups = params->top_groups}};
    snprintf(part, sizeof part, "%s.choice_bias", name);
    if (weights->choice_bias != NULL) logits[1] = tn_network_add_weights(network, weights->choice_bias, part);
    snprintf(part, sizeof part, "%s.route", name);
    tn_layer *route = tn_network_add_layer(network, TN_OP_ROUTE, &route_params, logits, logits[1] != NULL ? 2 : 1, part);
    const tn_grouped_matmul_params by_token = {.top_k = params->top_k}, in_order = {.top_k = params->top_k, .sorted = true};
    snprintf(part, sizeof part, "%s.gate", name);
    tn_tensor *gate = grouped_matmul(network, x, weights->gate, weights->gate_bias, route, &by_token, part);
    snprintf(part, sizeof part, "%s.up", name);
    tn_tensor *up = grouped_matmul(network, x, weights->up, weights->up_bias, route, &by_token, part);
    snprintf(part, sizeof part, "%s.down", name);
    tn_tensor *product = add_product(network, gate, up, params);
    tn_tensor *down = grouped_matmul(network, product, weights->down, weights->down_bias, route, &in_order, part);
    snprintf(part, sizeof part, "%s.combine", name);
    tn_tensor *inputs[] = {down, tn_layer_output(route, 1), tn_layer_output(route, 2)};
    tn_tensor *y = tn_layer_output(tn_network_add_layer(network, TN_OP_COMBINE, &(tn_op_params){0}, inputs, 3, part), 0);
    tn_call_end(call, &y, 1);
    return y;
}
