/* SPDX-License-Identifier: Apache-2.0
 *
 * normalization.c: NORMALIZATION over the last dimension, with the fused forms: residual added before, quantised after.
 *
 * With a residual the sum is rounded to output 1's type first and what is normalised is that: fused and unfused agree.
 */
#include <math.h>

#include "backend/ref/ref.h"

typedef struct statistics {
    double mean, inverse; /* y = (x − mean) · inverse */
} statistics;

static statistics measure(const tn_ref_view *x, int64_t row, const tn_normalization_params *params) {
    double sum = 0.0, squares = 0.0, mean = 0.0, values[TN_REF_CHUNK];
    for (int pass = params->type == TN_NORMALIZATION_RMS; pass < 2; pass++) {
        for (int64_t begin = 0; begin < x->columns; begin += TN_REF_CHUNK) {
            int64_t count = x->columns - begin < TN_REF_CHUNK ? x->columns - begin : TN_REF_CHUNK;
            tn_ref_load_columns(x, row, begin, count, values);
            for (int64_t i = 0; i < count; i++) {
                if (pass == 0)
                    sum += values[i];
                else
                    squares += (values[i] - mean) * (values[i] - mean);
            }
        }
        if (pass == 0) mean = sum / (double)x->columns;
    }
    return (statistics){mean, 1.0 / sqrt(squares / (double)x->columns + params->epsilon)};
}

tn_status tn_ref_normalize(const tn_ref_call *call) {
    const tn_normalization_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), scale = tn_ref_input(call, 1), bias = tn_ref_input(call, 2), residual = tn_ref_input(call, 3);
    tn_ref_view y = tn_ref_output(call, 0);
    if (!residual.absent) {
        tn_ref_view sum = tn_ref_output(call, 1);
        for (int64_t i = 0; i < sum.count; i++) tn_ref_store(&sum, i, tn_ref_load(&x, i) + tn_ref_load(&residual, i));
        x = sum;
    }
    for (int64_t row = 0; row < y.rows; row++) {
        statistics s = measure(&x, row, params);
        for (int64_t begin = 0; begin < y.columns; begin += TN_REF_CHUNK) {
            double values[TN_REF_CHUNK];
            int64_t count = y.columns - begin < TN_REF_CHUNK ? y.columns - begin : TN_REF_CHUNK;
            tn_ref_load_columns(&x, row, begin, count, values);
            for (int64_t i = 0; i < count; i++) {
                values[i] = (values[i] - s.mean) * s.inverse * (tn_ref_load(&scale, begin + i) + params->scale_offset);
                if (!bias.absent) values[i] += tn_ref_load(&bias, begin + i);
            }
            tn_ref_finish_columns(call, row, 0, begin, count, values);
        }
    }
    return TN_OK;
}
