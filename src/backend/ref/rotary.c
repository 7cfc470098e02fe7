/* SPDX-License-Identifier: Apache-2.0
 *
 * rotary.c: ROTARY_TABLE (cos and sin of position · frequency) and ROTARY (turning pairs of a head by them).
 */
#include <math.h>

#include "backend/ref/ref.h"

tn_status tn_ref_rotary_table(const tn_ref_call *call) {
    const tn_rotary_table_params *params = call->problem->params;
    tn_ref_view positions = tn_ref_input(call, 0), frequencies = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    for (int64_t t = 0; t < y.rows; t++)
        for (int64_t i = 0; i < y.columns / 2; i++) {
            double angle = (double)tn_ref_load_int(&positions, t) * tn_ref_load(&frequencies, i);
            tn_ref_store(&y, t * y.columns + i, cos(angle) * params->scale);
            tn_ref_store(&y, t * y.columns + y.columns / 2 + i, sin(angle) * params->scale);
        }
    return TN_OK;
}

void tn_ref_rotate(tn_rotary_type type, const tn_ref_view *table, int64_t token, double *head, int64_t head_dim) {
    int64_t half = (table->columns < head_dim ? table->columns : head_dim) / 2, row = token * table->columns;
    for (int64_t i = 0; i < half; i++) {
        int64_t first = type == TN_ROTARY_INTERLEAVED ? 2 * i : i, second = type == TN_ROTARY_INTERLEAVED ? 2 * i + 1 : i + half;
        double cosine = tn_ref_load(table, row + i), sine = tn_ref_load(table, row + table->columns / 2 + i);
        double a = head[first], b = head[second];
        head[first] = a * cosine - b * sine;
        head[second] = b * cosine + a * sine;
    }
}

size_t tn_ref_rotary_workspace(const tn_problem *problem, const int64_t *symbols) {
    (void)symbols;
    return (size_t)((const tn_rotary_params *)problem->params)->head_dim * sizeof(double);
}

tn_status tn_ref_rotary(const tn_ref_call *call) {
    const tn_rotary_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), table = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    double *head = call->workspace;
    int64_t dim = params->head_dim, heads = x.columns / dim;
    for (int64_t t = 0; t < x.rows; t++)
        for (int64_t h = 0; h < heads; h++) {
            int64_t at = t * x.columns + h * dim;
            for (int64_t i = 0; i < dim; i++) head[i] = tn_ref_load(&x, at + i);
            tn_ref_rotate((tn_rotary_type)params->type, &table, t, head, dim);
            for (int64_t i = 0; i < dim; i++) tn_ref_store(&y, at + i, head[i]);
        }
    return TN_OK;
}
