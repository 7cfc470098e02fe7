/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.c: RESIZE and GRID_SAMPLE: values between elements, from one, two or four neighbours along each axis.
 */
#include "backend/ref/ref.h"
#include "op/taps.h"

tn_status tn_ref_resize(const tn_ref_call *call) {
    const tn_resize_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), size = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    bool is_nearest = params->mode == TN_INTERPOLATION_NEAREST;
    for (int64_t i = 0; i < y.count; i++) {
        tn_taps axes[TN_MAX_RANK];
        int64_t rest = i, num_terms = 1;
        for (int axis = x.rank - 1; axis >= 0; axis--) {
            int64_t at = rest % y.dims[axis];
            rest /= y.dims[axis];
            axes[axis] = tn_resize_taps(params, !size.absent, axis, at, x.dims[axis], y.dims[axis]);
            num_terms *= axes[axis].count;
        }
        double sum = 0.0;
        for (int64_t term = 0; term < num_terms; term++) {
            int64_t from = 0, stride = 1, choice = term;
            double weight = 1.0;
            for (int axis = x.rank - 1; axis >= 0; axis--) {
                int tap = (int)(choice % axes[axis].count);
                choice /= axes[axis].count;
                from += axes[axis].index[tap] * stride;
                stride *= x.dims[axis];
                weight *= axes[axis].weight[tap];
            }
            if (is_nearest)
                tn_ref_copy(&y, i, &x, from);
            else if (weight != 0.0)
                sum += weight * tn_ref_load(&x, from);
        }
        if (!is_nearest) tn_ref_store(&y, i, sum);
    }
    return TN_OK;
}

tn_status tn_ref_grid_sample(const tn_ref_call *call) {
    const tn_grid_sample_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), grid = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    int64_t height = x.dims[2], width = x.dims[3], out_size = y.dims[2] * y.dims[3];
    for (int64_t i = 0; i < y.count; i++) {
        int64_t image = i / out_size / y.dims[1], point = (image * out_size + i % out_size) * 2;
        tn_taps across = tn_grid_sample_taps(params, tn_ref_load(&grid, point), width);
        tn_taps down = tn_grid_sample_taps(params, tn_ref_load(&grid, point + 1), height);
        double sum = 0.0;
        for (int r = 0; r < down.count; r++)
            for (int c = 0; c < across.count; c++)
                if (down.index[r] >= 0 && across.index[c] >= 0)
                    sum += down.weight[r] * across.weight[c] *
                           tn_ref_load(&x, (i / out_size * height + down.index[r]) * width + across.index[c]);
        tn_ref_store(&y, i, sum);
    }
    return TN_OK;
}
