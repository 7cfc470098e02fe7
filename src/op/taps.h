/* SPDX-License-Identifier: Apache-2.0
 *
 * taps.h: which elements a value between elements is made of, along one axis, for RESIZE and GRID_SAMPLE.
 *
 * A backend multiplies the shares of all axes and sums in double. The places decide which neighbours count, and a rounding there is
 * a wrong pixel, so they are computed here for every backend. Formulas: ONNX, operators Resize-19 and GridSample-20.
 */
#ifndef TN_OP_TAPS_H_
#define TN_OP_TAPS_H_

#include <stdbool.h>
#include <stdint.h>

#include "op/op.h"

enum { TN_MAX_TAPS = 4 };

typedef struct tn_taps {
    int count;                  /* 1, 2 or TN_MAX_TAPS */
    int64_t index[TN_MAX_TAPS]; /* −1: outside, counts as 0 (GRID_SAMPLE only) */
    double weight[TN_MAX_TAPS];
} tn_taps;

/* Neighbours of element `at` of `axis`, which has `in` elements before and `out` after. sizes_given: the sizes came as a tensor, and
 * the scale is theirs, whatever the parameters hold. */
tn_taps tn_resize_taps(const tn_resize_params *params, bool sizes_given, int axis, int64_t at, int64_t in, int64_t out);

/* Neighbours of the place that grid value `at` (−1 … 1 is the whole axis) means on an axis of `size` elements. Not finite: outside. */
tn_taps tn_grid_sample_taps(const tn_grid_sample_params *params, double at, int64_t size);

#endif
