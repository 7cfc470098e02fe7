/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.c: QUANTIZE, DEQUANTIZE (symmetric, scale per tensor, axis or block), DYNAMIC_QUANTIZE, QUANTIZE_ROWS (q15_32, q8_32).
 */
#include <math.h>

#include "backend/ref/ref.h"

/* Index in `scale` of element `index` of x: scalar, one an index of `axis`, or one a block. */
static int64_t scale_index(const tn_ref_view *x, const tn_ref_view *scale, int64_t axis, const tn_dims *block, int64_t index) {
    if (scale->count == 1) return 0;
    int64_t coordinates[TN_MAX_RANK], rest = index;
    for (int i = x->rank - 1; i >= 0; i--) {
        coordinates[i] = rest % x->dims[i];
        rest /= x->dims[i];
    }
    if (block->rank == 0) return coordinates[axis];
    int64_t at = 0;
    for (int i = 0; i < x->rank; i++) at = at * scale->dims[i] + coordinates[i] / (block->d[i] > 0 ? block->d[i] : x->dims[i]);
    return at;
}

tn_status tn_ref_quantize(const tn_ref_call *call) {
    const tn_quantize_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), scale = tn_ref_input(call, 1), y = tn_ref_output(call, 0);
    for (int64_t i = 0; i < y.count; i++)
        tn_ref_store(&y, i, tn_ref_load(&x, i) / tn_ref_load(&scale, scale_index(&x, &scale, params->axis, &params->block, i)));
    return TN_OK;
}

tn_status tn_ref_dequantize(const tn_ref_call *call) {
    const tn_dequantize_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), scale = tn_ref_input(call, 1), zero = tn_ref_input(call, 2), y = tn_ref_output(call, 0);
    for (int64_t i = 0; i < y.count; i++) {
        int64_t at = scale_index(&x, &scale, params->axis, &params->block, i);
        double offset = zero.absent ? 0.0 : tn_ref_load(&zero, zero.count == 1 ? 0 : at);
        tn_ref_store(&y, i, (tn_ref_load(&x, i) - offset) * tn_ref_load(&scale, at));
    }
    return TN_OK;
}

static double largest_of(tn_dtype dtype) {
    return dtype == TN_INT8 ? 127.0 : dtype == TN_FLOAT4_E2M1 ? 6.0 : 448.0;
}

/* A scale as it is stored: a power of two not below it in e8m0; at most the largest of its type. */
static void store_scale(const tn_ref_view *scales, int64_t index, double scale) {
    int exponent;
    if (scales->dtype == TN_FLOAT8_E8M0 && scale > 0.0 && isfinite(scale)) {
        double fraction = frexp(scale, &exponent);
        scale = fraction == 0.5 ? scale : ldexp(1.0, exponent);
    }
    if (scales->dtype == TN_FLOAT8_E4M3FN) scale = fmin(scale, 448.0);
    tn_ref_store(scales, index, scale);
}

/* Element `at` of a block as an index of x; −1: outside. */
static int64_t block_element(const tn_ref_view *x, const tn_ref_view *scales, const tn_dims *block, int64_t number, int64_t at) {
    int64_t index = 0, stride = 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        int64_t place = number % scales->dims[i] * block->d[i] + at % block->d[i];
        number /= scales->dims[i];
        at /= block->d[i];
        if (place >= x->dims[i]) return -1;
        index += place * stride;
        stride *= x->dims[i];
    }
    return index;
}

tn_status tn_ref_dynamic_quantize(const tn_ref_call *call) {
    const tn_dynamic_quantize_params *params = call->problem->params;
    tn_ref_view x = tn_ref_input(call, 0), whole = tn_ref_input(call, 1), y = tn_ref_output(call, 0), scales = tn_ref_output(call, 1);
    double limit = largest_of(params->to), factor = whole.absent ? 1.0 : tn_ref_load(&whole, 0);
    tn_dims block = params->block;
    int64_t size = 1;
    for (int i = 0; i < x.rank; i++) { /* no longer than the axis */
        if (block.d[i] > x.dims[i]) block.d[i] = x.dims[i] > 0 ? x.dims[i] : 1;
        size *= block.d[i];
    }
    for (int64_t i = 0; i < scales.count; i++) {
        double largest = 0.0;
        for (int64_t k = 0; k < size; k++) {
            int64_t at = block_element(&x, &scales, &block, i, k);
            if (at >= 0) largest = fmax(largest, fabs(tn_ref_load(&x, at)));
        }
        store_scale(&scales, i, largest / limit / factor);
        double scale = largest > 0.0 ? tn_ref_load(&scales, i) * factor : 0.0;
        for (int64_t k = 0; k < size; k++) {
            int64_t at = block_element(&x, &scales, &block, i, k);
            if (at < 0) continue;
            double value = scale > 0.0 ? tn_ref_load(&x, at) / scale : 0.0;
            tn_ref_store(&y, at, value > limit ? limit : value < -limit ? -limit : value);
        }
    }
    return TN_OK;
}

tn_status tn_ref_quantize_rows(const tn_ref_call *call) {
    tn_ref_view x = tn_ref_input(call, 0), y = tn_ref_output(call, 0);
    double values[TN_REF_CHUNK];
    for (int64_t row = 0; row < y.rows; row++)
        for (int64_t begin = 0; begin < y.columns; begin += TN_REF_CHUNK) {
            int64_t count = y.columns - begin < TN_REF_CHUNK ? y.columns - begin : TN_REF_CHUNK;
            tn_ref_load_columns(&x, row, begin, count, values);
            tn_ref_store_columns(&y, row, begin, count, values);
        }
    return TN_OK;
}
