/* SPDX-License-Identifier: Apache-2.0
 *
 * layer_problem.c: the problem that a layer states.
 */
#include <string.h>

#include "network/network_internal.h"

bool tn_op_input_is_shape(tn_op_kind kind, uint32_t input) {
    switch (kind) {
    case TN_OP_FILL: return input == 0;
    case TN_OP_SHUFFLE: return input == 1;
    case TN_OP_SLICE: return input >= 1 && input <= 3;
    case TN_OP_TOPK:
    case TN_OP_RESIZE: return input == 1;
    case TN_OP_NMS: return input == 2;
    case TN_OP_ASSERTION: return true;
    case TN_OP_LOOP_OUTPUT: return input == 1;
    case TN_OP_CONDITION:
    case TN_OP_TRIP_LIMIT: return true;
    default: return false;
    }
}

bool tn_layer_is_on_host(const tn_layer *layer) {
    if (layer->kind == TN_OP_CONDITION || layer->kind == TN_OP_TRIP_LIMIT || layer->kind == TN_OP_ASSERTION) return true;
    for (size_t i = 0; i < layer->outputs.count; i++)
        if (layer->outputs.data[i]->place == TN_PLACE_HOST) return true;
    return false;
}

static void fill_operand(const tn_tensor *tensor, bool is_output, tn_place place, tn_operand *out) {
    const tn_weights *weights = is_output ? NULL : tn_tensor_weights(tensor);
    out->dtype = tensor->dtype;
    out->rank = tensor->rank;
    out->place = (uint8_t)place;
    memcpy(out->dims, tensor->dims, sizeof out->dims);
    out->role = is_output ? TN_ROLE_OUTPUT : TN_ROLE_INPUT;
    if (tensor->state != NULL) out->role = TN_ROLE_STATE;
    if (weights != NULL) {
        out->role = TN_ROLE_WEIGHT;
        out->encoding = weights->desc.encoding;
    }
}

tn_status tn_layer_make_problem(const tn_layer *layer, tn_arena *arena, tn_problem *out_problem, tn_diag *diag) {
    *out_problem = (tn_problem){0};
    if (layer->kind == TN_OP_CONSTANT)
        return tn_fail(diag, TN_INVALID_ARGUMENT, "cannot state the problem of '%s': a constant runs nothing", layer->name);
    uint32_t num_inputs = (uint32_t)layer->inputs.count, num_operands = num_inputs + (uint32_t)layer->outputs.count;
    tn_operand *operands = tn_arena_alloc_array(arena, num_operands, sizeof *operands);
    tn_op_params *params = tn_arena_alloc(arena, sizeof *params);
    tn_epilogue *epilogues = tn_arena_alloc_array(arena, layer->num_epilogues, sizeof *epilogues);
    if (operands == NULL || params == NULL || epilogues == NULL) return tn_fail_memory(diag, "a problem", num_operands * sizeof *operands);
    *params = layer->params;
    memcpy(epilogues, layer->epilogues, layer->num_epilogues * sizeof *epilogues);
    bool on_host = tn_layer_is_on_host(layer);
    for (uint32_t i = 0; i < num_inputs; i++) {
        const tn_tensor *input = layer->inputs.data[i];
        if (input == NULL) {
            operands[i].absent = true;
            continue;
        }
        /* SHAPE reads no values: its input may lie anywhere. */
        bool wants_host = (on_host && layer->kind != TN_OP_SHAPE) || tn_op_input_is_shape(layer->kind, i);
        fill_operand(input, false,
                     wants_host                   ? TN_PLACE_HOST
                     : layer->kind == TN_OP_SHAPE ? (tn_place)input->place
                                                  : TN_PLACE_DEVICE,
                     &operands[i]);
    }
    for (uint32_t i = 0; i < layer->outputs.count; i++)
        fill_operand(layer->outputs.data[i], true, on_host ? TN_PLACE_HOST : TN_PLACE_DEVICE, &operands[num_inputs + i]);
    *out_problem = (tn_problem){.op = layer->kind,
                                .params = params,
                                .epilogues = epilogues,
                                .num_epilogues = layer->num_epilogues,
                                .operands = operands,
                                .num_operands = num_operands,
                                .num_inputs = num_inputs};
    return TN_OK;
}
