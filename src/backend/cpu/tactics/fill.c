/* SPDX-License-Identifier: Apache-2.0
 *
 * fill.c: the tactics of FILL and DYNAMIC_QUANTIZE, in double and in the reference's order (numerics double). Plain C, the same at
 * every instruction set level.
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/tactics/move.h"
#include "base/checked.h"
#include "op/philox.h"

enum { FILL_CHUNK = 256 };

/* --- FILL ----------------------------------------------------------------------------------------------------------------------------- */

typedef struct fill_call {
    const tn_fill_params *params;
    tensor alpha, beta, y;
} fill_call;

static int64_t whole_number(const tensor *t, int64_t at) {
    return t->dtype == TN_INT64 || t->dtype == TN_INT32 ? tensor_index(t, at) : (int64_t)tensor_double(t, at);
}

/* alpha + Σ beta[axis] · index[axis]; a scalar beta goes along the last axis. */
static void linspace(const fill_call *c, int64_t at) {
    bool is_float = tn_dtype_get_info(c->y.dtype)->is_float;
    double sum = is_float ? tensor_double(&c->alpha, 0) : 0.0;
    uint64_t exact = is_float ? 0 : (uint64_t)whole_number(&c->alpha, 0);
    int64_t rest = at;
    for (int axis = c->y.rank - 1; axis >= 0; axis--) {
        int64_t index = rest % c->y.dims[axis], from = c->beta.rank == 0 ? 0 : axis;
        rest /= c->y.dims[axis];
        if (c->beta.rank == 0 && axis != c->y.rank - 1) continue;
        if (is_float)
            sum += tensor_double(&c->beta, from) * (double)index;
        else
            exact += (uint64_t)whole_number(&c->beta, from) * (uint64_t)index;
    }
    if (is_float) {
        tensor_set_double(&c->y, at, sum);
        return;
    }
    switch (c->y.bits) { /* wraps */
    case 8: ((uint8_t *)c->y.data)[at] = (uint8_t)exact; break;
    case 32: ((uint32_t *)(void *)c->y.data)[at] = (uint32_t)exact; break;
    default: ((uint64_t *)(void *)c->y.data)[at] = exact; break;
    }
}

static void fill_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    fill_call c = {
        .params = step->problem->params, .alpha = tensor_input(step, 1), .beta = tensor_input(step, 2), .y = tensor_output(step, 0)};
    uint64_t seed = (uint64_t)c.params->seed;
    int64_t last = end * FILL_CHUNK < c.y.count ? end * FILL_CHUNK : c.y.count;
    bool is_linear = c.params->op == TN_FILL_LINSPACE;
    double first = is_linear ? 0.0 : tensor_double(&c.alpha, 0), second = is_linear ? 0.0 : tensor_double(&c.beta, 0);
    for (int64_t i = begin * FILL_CHUNK; i < last; i++) {
        if (is_linear)
            linspace(&c, i);
        else if (c.params->op == TN_FILL_RANDOM_NORMAL)
            tensor_set_double(&c.y, i, first + second * tn_philox_normal(seed, (uint64_t)i));
        else
            tensor_set_double(&c.y, i, first + (second - first) * tn_philox_uniform(seed, (uint64_t)i, 0));
    }
}

static bool fill_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_fill_params *params = problem->params;
    tn_dtype dtype = problem->operands[problem->num_inputs].dtype;
    if (!tn_check_complete(problem, 0, false, reason, reason_size)) return false;
    if (params->op != TN_FILL_LINSPACE && tn_dtype_get_info(dtype)->is_integer)
        return tn_refuse(reason, reason_size, "random numbers of float types only");
    if (!tn_check_type(problem, 0, TN_DTYPES_INDICES, reason, reason_size)) return false;
    for (uint32_t i = 1; i < problem->num_operands; i++) {
        if (problem->operands[i].dtype != dtype) return tn_refuse(reason, reason_size, "alpha and beta of the output's type only");
        if (!tn_check_type(problem, i, TN_DTYPES_FLOATS | TN_DTYPES_INTEGERS, reason, reason_size)) return false;
    }
    return true;
}

static tn_status fill_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols, tn_launch *out_launch) {
    (void)device;
    tensor y = tensor_make(problem, symbols, NULL, problem->num_inputs);
    return tn_cpu_move_launch(fill_tile, tn_ceil_div(y.count, FILL_CHUNK), FILL_CHUNK * 64, out_launch);
}

/* --- DYNAMIC_QUANTIZE -------------------------------------------------------------------------------------------------------------------- */

typedef struct quantize_call {
    const tn_dynamic_quantize_params *params;
    tensor x, y, scales;
    int64_t block[TN_MAX_RANK], block_size; /* no longer than the axes */
    double limit, factor;
} quantize_call;

/* A scale as it is stored: a power of two not below it in e8m0; at most the largest of its type. */
static void store_scale(const tensor *scales, int64_t index, double scale) {
    int exponent;
    if (scales->dtype == TN_FLOAT8_E8M0 && scale > 0.0 && isfinite(scale)) {
        double fraction = frexp(scale, &exponent);
        scale = fraction == 0.5 ? scale : ldexp(1.0, exponent);
    }
    if (scales->dtype == TN_FLOAT8_E4M3FN) scale = fmin(scale, 448.0);
    tensor_set_double(scales, index, scale);
}

/* Element `at` of a block as an index of x; −1: outside. */
static int64_t block_element(const quantize_call *c, int64_t number, int64_t at) {
    int64_t index = 0;
    for (int i = c->x.rank - 1; i >= 0; i--) {
        int64_t place = number % c->scales.dims[i] * c->block[i] + at % c->block[i];
        number /= c->scales.dims[i];
        at /= c->block[i];
        if (place >= c->x.dims[i]) return -1;
        index += place * c->x.strides[i];
    }
    return index;
}

static void quantize_block(const quantize_call *c, int64_t number) {
    int64_t columns = c->x.dims[c->x.rank - 1], row_bytes = (columns * c->y.bits + 7) / 8;
    double largest = 0.0;
    for (int64_t k = 0; k < c->block_size; k++) {
        int64_t at = block_element(c, number, k);
        if (at >= 0) largest = fmax(largest, fabs(tensor_double(&c->x, at)));
    }
    store_scale(&c->scales, number, largest / c->limit / c->factor);
    double scale = largest > 0.0 ? tensor_double(&c->scales, number) * c->factor : 0.0;
    for (int64_t k = 0; k < c->block_size; k++) {
        int64_t at = block_element(c, number, k);
        if (at < 0) continue;
        double value = scale > 0.0 ? tensor_double(&c->x, at) / scale : 0.0;
        tn_dtype_store(c->y.dtype, c->y.data + at / columns * row_bytes, at % columns,
                       value > c->limit    ? c->limit
                       : value < -c->limit ? -c->limit
                                           : value);
    }
}

/* A tile: the blocks beside each other along the last axis, so that no two share a byte. */
static void dynamic_quantize_tile(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tensor whole = tensor_input(step, 1);
    quantize_call c = {.params = step->problem->params, .x = tensor_input(step, 0), .y = tensor_output(step, 0), .block_size = 1};
    c.scales = tensor_output(step, 1);
    c.limit = c.params->to == TN_INT8 ? 127.0 : c.params->to == TN_FLOAT4_E2M1 ? 6.0 : 448.0;
    c.factor = whole.is_given ? tensor_double(&whole, 0) : 1.0;
    for (int i = 0; i < c.x.rank; i++) {
        int64_t most = c.x.dims[i] > 0 ? c.x.dims[i] : 1;
        c.block[i] = c.params->block.d[i] < most ? c.params->block.d[i] : most;
        c.block_size *= c.block[i];
    }
    int64_t per_row = c.scales.dims[c.scales.rank - 1];
    for (int64_t number = begin * per_row; number < end * per_row; number++) quantize_block(&c, number);
}

static bool dynamic_quantize_supports(const tn_device_info *device, const tn_problem *problem, char *reason, size_t reason_size) {
    (void)device;
    const tn_dynamic_quantize_params *params = problem->params;
    const uint32_t to = TN_DTYPE_BIT(TN_INT8) | TN_DTYPE_BIT(TN_FLOAT8_E4M3FN) | TN_DTYPE_BIT(TN_FLOAT4_E2M1);
    const uint32_t scales = TN_DTYPE_BIT(TN_FLOAT32) | TN_DTYPE_BIT(TN_FLOAT8_E4M3FN) | TN_DTYPE_BIT(TN_FLOAT8_E8M0);
    uint32_t output = problem->num_inputs;
    if (!tn_check_complete(problem, 1u << 1, false, reason, reason_size)) return false;
    if (problem->operands[output].dtype != params->to || problem->operands[output + 1].dtype != params->scale_type)
        return tn_refuse(reason, reason_size, "outputs of the types that its parameters say");
    return tn_check_type(problem, 0, TN_DTYPES_FLOATS, reason, reason_size) &&
           (problem->num_inputs < 2 || tn_check_type(problem, 1, TN_DTYPE_BIT(TN_FLOAT32), reason, reason_size)) &&
           tn_check_type(problem, output, to, reason, reason_size) && tn_check_type(problem, output + 1, scales, reason, reason_size);
}

static tn_status dynamic_quantize_prepare(const tn_device_info *device, const tn_problem *problem, const int64_t *symbols,
                                          tn_launch *out_launch) {
    (void)device;
    tensor x = tensor_make(problem, symbols, NULL, 0), scales = tensor_make(problem, symbols, NULL, problem->num_inputs + 1);
    int64_t num_tiles = scales.count > 0 ? scales.count / scales.dims[scales.rank - 1] : 0;
    return tn_cpu_move_launch(dynamic_quantize_tile, num_tiles, num_tiles > 0 ? x.count / num_tiles * 32 : 1, out_launch);
}

TN_CPU_TACTIC(fill, "fill", 1, FILL, DOUBLE, fill_supports, NULL, fill_prepare)
TN_CPU_TACTIC(dynamic_quantize, "dynamic_quantize", 1, DYNAMIC_QUANTIZE, DOUBLE, dynamic_quantize_supports, NULL, dynamic_quantize_prepare)
