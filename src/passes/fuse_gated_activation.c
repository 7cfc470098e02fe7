/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_gated_activation.c: activation(x·gate) · (x·up) → one matrix multiplication whose weight's rows are gate's and up's in
 * alternate strips of 16, with the epilogue GATED_ACTIVATION. For experts' weights [E, n, k] too.
 */
#include <string.h>

#include "passes/passes_internal.h"

enum { STRIP = 16 };

/* Biases of both, or of none. */
static bool epilogues_match(const tn_layer *gate, const tn_layer *up, uint32_t own_inputs) {
    if (gate->num_epilogues != up->num_epilogues || gate->num_epilogues > 1) return false;
    if (gate->num_epilogues == 0) return true;
    return gate->epilogues[0].kind == TN_EPILOGUE_BIAS && up->epilogues[0].kind == TN_EPILOGUE_BIAS &&
           tn_match_weights(gate, own_inputs) != NULL && tn_match_weights(up, own_inputs) != NULL;
}

/* Same kind, parameters, inputs but the weights, and weights that can be interleaved. */
static bool are_gate_and_up(const tn_layer *gate, const tn_layer *up) {
    if (gate->kind != up->kind || gate == up || gate->inputs.data[0] != up->inputs.data[0]) return false;
    uint32_t own_inputs = 2;
    if (gate->kind == TN_OP_MATRIX_MULTIPLY) {
        const tn_matrix_multiply_params *params = &gate->params.matrix_multiply, *other = &up->params.matrix_multiply;
        if (params->op_a != TN_MATRIX_NONE || params->op_b != TN_MATRIX_TRANSPOSE || other->op_a != TN_MATRIX_NONE ||
            other->op_b != TN_MATRIX_TRANSPOSE)
            return false;
    } else {
        const tn_grouped_matmul_params *params = &gate->params.grouped_matmul, *other = &up->params.grouped_matmul;
        if (params->top_k != other->top_k || params->sorted != other->sorted || gate->inputs.data[2] != up->inputs.data[2] ||
            gate->inputs.data[3] != up->inputs.data[3])
            return false;
        own_inputs = 4;
    }
    if (gate->precision != up->precision || !epilogues_match(gate, up, own_inputs)) return false;
    const tn_weights *a = tn_match_weights(gate, 1), *b = tn_match_weights(up, 1);
    if (a == NULL || b == NULL || !tn_pass_rows_join(a, b)) return false;
    for (int i = 0; i < a->desc.dims.rank; i++)
        if (a->desc.dims.d[i] != b->desc.dims.d[i]) return false;
    return a->desc.dims.rank >= 2 && a->desc.dims.d[a->desc.dims.rank - 2] % STRIP == 0;
}

/* Input `input` of both, interleaved, as a new constant. */
static tn_tensor *interleave(tn_rewriter *rewriter, const tn_layer *gate, const tn_layer *up, uint32_t input) {
    tn_network *network = rewriter->network;
    const tn_weights *weights =
        tn_weights_interleave(&network->arena, tn_match_weights(gate, input), tn_match_weights(up, input), STRIP, network->diag);
    const char *names[2] = {gate->inputs.data[input]->producer->name, up->inputs.data[input]->producer->name};
    const char *name = weights != NULL ? tn_pass_join_names(network, names, 2) : NULL;
    if (name == NULL) network->failed = true;
    return name != NULL ? tn_network_add_weights(network, weights, name) : NULL;
}

static tn_layer *fuse(tn_rewriter *rewriter, const tn_layer *gate, const tn_layer *up, tn_activation_type activation) {
    tn_network *network = rewriter->network;
    uint32_t own_inputs = gate->kind == TN_OP_MATRIX_MULTIPLY ? 2 : 4, num_inputs = own_inputs, num_epilogues = 0;
    tn_tensor *inputs[5];
    tn_epilogue epilogues[2];
    memcpy(inputs, gate->inputs.data, own_inputs * sizeof *inputs);
    inputs[1] = interleave(rewriter, gate, up, 1);
    if (inputs[1] == NULL) return NULL;
    if (gate->num_epilogues == 1) {
        inputs[num_inputs] = interleave(rewriter, gate, up, own_inputs);
        if (inputs[num_inputs] == NULL) return NULL;
        epilogues[num_epilogues++] = (tn_epilogue){.kind = TN_EPILOGUE_BIAS, .operand = (int32_t)num_inputs++};
    }
    epilogues[num_epilogues++] = (tn_epilogue){.kind = TN_EPILOGUE_GATED_ACTIVATION, .activation = activation, .operand = -1};
    const char *name = tn_pass_join_names(network, (const char *[]){gate->name, up->name}, 2);
    if (name == NULL) return NULL;
    tn_layer *fused = tn_network_add_fused_layer(network, gate->kind, &gate->params, inputs, num_inputs, epilogues, num_epilogues, name);
    if (fused != NULL) fused->precision = gate->precision;
    return tn_pass_keep_if_supported(rewriter, fused);
}

static bool fuse_gated_activation(tn_rewriter *rewriter, tn_layer *root) {
    if (!tn_pass_is_elementwise(root, TN_ELEMENTWISE_PROD)) return false;
    for (uint32_t side = 0; side < 2; side++) {
        const tn_layer *activation = tn_match_own_producer(root, side, TN_OP_ACTIVATION);
        const tn_layer *up = tn_pass_own_any_matmul(root, 1 - side);
        const tn_layer *gate = activation != NULL ? tn_pass_own_any_matmul(activation, 0) : NULL;
        if (gate == NULL || up == NULL || gate->outputs.data[0]->dtype != TN_FLOAT32 || !are_gate_and_up(gate, up)) continue;
        tn_layer *fused = fuse(rewriter, gate, up, (tn_activation_type)activation->params.activation.type);
        if (fused != NULL) return tn_rewriter_replace(rewriter, root, fused);
    }
    return false;
}

static const tn_op_kind roots[] = {TN_OP_ELEMENTWISE};
const tn_pattern tn_fuse_gated_activation = {
    .name = "fuse_gated_activation", .root_kinds = roots, .num_root_kinds = 1, .match_and_rewrite = fuse_gated_activation};
