/* SPDX-License-Identifier: Apache-2.0
 *
 * epilogue.c: what happens to an output before it is stored: all in double, rounded by the store.
 */
#include <math.h>

#include "backend/ref/ref.h"

bool tn_ref_is_gated(const tn_problem *problem) {
    for (uint32_t i = 0; i < problem->num_epilogues; i++)
        if (problem->epilogues[i].kind == TN_EPILOGUE_GATED_ACTIVATION) return true;
    return false;
}

/* Strips of 16: gate, up, gate, up … → half as many columns, in place. */
static void apply_gate(tn_activation_type activation, int64_t count, double *values) {
    for (int64_t i = 0; i < count / 2; i++) {
        int64_t gate = i / TN_REF_STRIP * 2 * TN_REF_STRIP + i % TN_REF_STRIP;
        values[i] = tn_ref_activation(activation, values[gate]) * values[gate + TN_REF_STRIP];
    }
}

void tn_ref_finish_columns(const tn_ref_call *call, int64_t row, int64_t group, int64_t begin, int64_t count, double *values) {
    for (uint32_t e = 0; e < call->problem->num_epilogues; e++) {
        const tn_epilogue *epilogue = &call->problem->epilogues[e];
        tn_ref_view operand = epilogue->operand >= 0 ? tn_ref_input(call, (uint32_t)epilogue->operand) : (tn_ref_view){.absent = true};
        if (epilogue->kind == TN_EPILOGUE_GATED_ACTIVATION) {
            apply_gate(epilogue->activation, count, values);
            begin /= 2;
            count /= 2;
            continue;
        }
        for (int64_t i = 0; i < count; i++) switch (epilogue->kind) {
            case TN_EPILOGUE_BIAS: values[i] += tn_ref_load(&operand, (operand.rank > 1 ? group * operand.columns : 0) + begin + i); break;
            case TN_EPILOGUE_ACTIVATION: values[i] = tn_ref_activation(epilogue->activation, values[i]); break;
            case TN_EPILOGUE_ADD: values[i] += tn_ref_load(&operand, row * operand.columns + begin + i); break;
            case TN_EPILOGUE_SCALE: values[i] *= epilogue->value; break;
            case TN_EPILOGUE_SOFT_CAP: values[i] = epilogue->value * tanh(values[i] / epilogue->value); break;
            default: break; /* QUANTIZE is in the output's type */
            }
    }
    tn_ref_view y = tn_ref_output(call, 0);
    tn_ref_store_columns(&y, row, begin, count, values);
}
