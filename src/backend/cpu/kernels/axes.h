/* SPDX-License-Identifier: Apache-2.0
 *
 * axes.h: what gathers values along axes: REDUCE, SOFTMAX, RAGGED_SOFTMAX, CUMULATIVE.
 *
 * Types    float32, float16 and bfloat16 in float32, rounded once when stored; integers in int64, wrapping
 * Order    element k of the axes, row-major, goes to lane k mod 16; the lanes then go by the fixed tree. The same whether one
 *          output is made of sixteen lanes (its elements lie together) or sixteen outputs side by side (they do).
 *          CUMULATIVE: in double, one after another
 * Bound    bytes of the operands
 */
#ifndef TN_BACKEND_CPU_KERNELS_AXES_H_
#define TN_BACKEND_CPU_KERNELS_AXES_H_

#include "backend/cpu/axes.h"
#include "backend/cpu/kernels/lines.h"
#include "backend/cpu/kernels/vector_math.h"

/* n of the next LANES elements, zeros behind. */
V_INLINE vf v_load_any(const tensor *t, int64_t at, int64_t n) {
    const uint16_t *half = (const uint16_t *)(const void *)t->data + at;
    if (t->dtype == TN_FLOAT32) return v_load_upto((const float *)(const void *)t->data + at, n);
    return t->dtype == TN_FLOAT16 ? v_load_f16_upto(half, n) : v_load_bf16_upto(half, n);
}
V_INLINE void v_store_any(const tensor *t, int64_t at, vf value, int64_t n) {
    uint16_t *half = (uint16_t *)(void *)t->data + at;
    if (t->dtype == TN_FLOAT32)
        v_store_upto((float *)(void *)t->data + at, value, n);
    else if (t->dtype == TN_FLOAT16)
        v_store_f16_upto(half, value, n);
    else
        v_store_bf16_upto(half, value, n);
}

/* --- the elements of an inner nest, one after another -------------------------------------------------------------------------------- */

typedef struct stream {
    const tensor *t;
    const nest *walk;
    int64_t base, line, first; /* of what comes next */
} stream;

/* The next up to NEST_CHUNK elements; fewer only at the end, 0 behind it. */
static int64_t stream_next(stream *s, float *buffer, const float **out) {
    const nest *n = s->walk;
    int64_t count = 0, stride = n->strides[0][n->rank - 1];
    *out = buffer;
    while (count < NEST_CHUNK && s->line < n->num_lines && n->line > 0) {
        int64_t left = n->line - s->first, take = left < NEST_CHUNK - count ? left : NEST_CHUNK - count;
        int64_t at = s->base + nest_offset(n, s->line * n->line, 0) + s->first * stride;
        const float *from = line_floats(s->t, at, stride, take, buffer + count);
        if (stride == 0)
            for (int64_t i = 1; i < take; i++) buffer[count + i] = from[0];
        if (count == 0 && (take == NEST_CHUNK || n->num_lines == 1) && stride != 0)
            *out = from;
        else if (from != buffer + count)
            memcpy(buffer + count, from, (size_t)(stride == 0 ? 1 : take) * sizeof *from);
        count += take;
        s->first += take;
        if (s->first == n->line) s->first = 0, s->line++;
        if (*out != buffer) break;
    }
    return count;
}

/* --- REDUCE ------------------------------------------------------------------------------------------------------------------------------ */

V_INLINE vf reduce_step(tn_reduce_op op, vf a, vf b) {
    switch (op) {
    case TN_REDUCE_PROD: return v_mul(a, b);
    case TN_REDUCE_MAX: return v_select(v_equal(a, a), v_max(a, b), a); /* a NaN stays */
    case TN_REDUCE_MIN: return v_select(v_equal(a, a), v_min(a, b), a);
    default: return v_add(a, b);
    }
}
V_INLINE float reduce_start(tn_reduce_op op) {
    return op == TN_REDUCE_PROD ? 1.0f : op == TN_REDUCE_MAX ? -INFINITY : op == TN_REDUCE_MIN ? INFINITY : 0.0f;
}
/* Lane n with n + 8, then 4, 2, 1: the tree of v_sum, for any operation. */
V_INLINE vf reduce_lanes(tn_reduce_op op, vf lanes[LANES]) {
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int n = 0; n < half; n++) lanes[n] = reduce_step(op, lanes[n], lanes[n + half]);
    return lanes[0];
}
V_INLINE float reduce_vector(tn_reduce_op op, vf a) {
    float f[LANES];
    vf lanes[LANES];
    v_store(f, a);
    for (int n = 0; n < LANES; n++) lanes[n] = v_set1(f[n]);
    v_store(f, reduce_lanes(op, lanes));
    return f[0];
}

V_INLINE float reduce_along(tn_reduce_op op, stream s) {
    float buffer[NEST_CHUNK];
    const float *x;
    vf total = v_set1(reduce_start(op)), none = total;
    for (int64_t n; (n = stream_next(&s, buffer, &x)) > 0;)
        for (int64_t i = 0; i < n; i += LANES) {
            vf value = v_load_upto(x + i, n - i);
            total = reduce_step(op, total, n - i < LANES ? v_select(v_mask_range(0, n - i), value, none) : value);
        }
    return reduce_vector(op, total);
}

/* Sixteen outputs whose elements lie side by side from x + base on; `width` of them exist. */
V_INLINE vf reduce_across(tn_reduce_op op, const tensor *x, const nest *inner, int64_t base, int64_t width) {
    vf lanes[LANES];
    int64_t k = 0, stride = inner->strides[0][inner->rank - 1];
    for (int n = 0; n < LANES; n++) lanes[n] = v_set1(reduce_start(op));
    for (int64_t line = 0; line < inner->num_lines && inner->line > 0; line++) {
        int64_t at = base + nest_offset(inner, line * inner->line, 0);
        for (int64_t i = 0; i < inner->line; i++, k++)
            lanes[k % LANES] = reduce_step(op, lanes[k % LANES], v_load_any(x, at + i * stride, width));
    }
    return reduce_lanes(op, lanes);
}

static int64_t reduce_ints(tn_reduce_op op, const tensor *x, const nest *inner, int64_t base, int64_t count) {
    int64_t values[NEST_CHUNK], stride = inner->strides[0][inner->rank - 1];
    int64_t result = op == TN_REDUCE_PROD ? 1 : op == TN_REDUCE_MAX ? INT64_MIN : op == TN_REDUCE_MIN ? INT64_MAX : 0;
    for (int64_t tile = 0; tile < nest_num_tiles(inner); tile++) {
        nest_tile t = nest_find(inner, tile);
        line_ints(x, base + t.offsets[0], stride, t.count, values);
        for (int64_t i = 0; i < t.count; i++) switch (op) {
            case TN_REDUCE_PROD: result = (int64_t)((uint64_t)result * (uint64_t)values[i]); break;
            case TN_REDUCE_MAX: result = result > values[i] ? result : values[i]; break;
            case TN_REDUCE_MIN: result = result < values[i] ? result : values[i]; break;
            default: result = (int64_t)((uint64_t)result + (uint64_t)values[i]); break;
            }
    }
    return op == TN_REDUCE_AVG && count > 0 ? result / count : result;
}

typedef struct reduce_call {
    tensor x, y;
    axes_plan plan;
} reduce_call;

V_INLINE void reduce_tiles(tn_reduce_op op, const reduce_call *c, int64_t begin, int64_t end) {
    vf count = v_set1((float)c->plan.num_inner);
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t at = tile, width = 1;
        vf value;
        if (c->plan.is_across) {
            int64_t line = c->plan.kept.line, per_line = (line + LANES - 1) / LANES, first = tile % per_line * LANES;
            at = tile / per_line * line + first;
            width = line - first < LANES ? line - first : LANES;
            value = reduce_across(op, &c->x, &c->plan.inner, nest_offset(&c->plan.kept, at, 0), width);
        } else {
            stream s = {.t = &c->x, .walk = &c->plan.inner, .base = nest_offset(&c->plan.kept, at, 0)};
            value = v_set1(reduce_along(op, s));
        }
        v_store_any(&c->y, at, op == TN_REDUCE_AVG ? v_div(value, count) : value, width);
    }
}

void TN_ISA_NAME(tn_cpu_reduce)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_reduce)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_reduce_params *params = step->problem->params;
    reduce_call c = {.x = tensor_input(step, 0), .y = tensor_output(step, 0)};
    c.plan = tn_cpu_axes_plan(&c.x, params->axes, 1, NULL, 0);
    if (!tn_dtype_get_info(c.x.dtype)->is_float) {
        for (int64_t at = begin; at < end; at++) {
            int64_t value = reduce_ints((tn_reduce_op)params->op, &c.x, &c.plan.inner, nest_offset(&c.plan.kept, at, 0), c.plan.num_inner);
            line_store_ints(&c.y, at, 1, &value);
        }
        return;
    }
    switch (params->op) {
    case TN_REDUCE_PROD: reduce_tiles(TN_REDUCE_PROD, &c, begin, end); break;
    case TN_REDUCE_MAX: reduce_tiles(TN_REDUCE_MAX, &c, begin, end); break;
    case TN_REDUCE_MIN: reduce_tiles(TN_REDUCE_MIN, &c, begin, end); break;
    case TN_REDUCE_AVG: reduce_tiles(TN_REDUCE_AVG, &c, begin, end); break;
    default: reduce_tiles(TN_REDUCE_SUM, &c, begin, end); break;
    }
}

/* --- SOFTMAX, RAGGED_SOFTMAX ---------------------------------------------------------------------------------------------------------------- */

/* The first n elements of a row that lies together; e^(x − max) waits in the output if that is float32, else it is made again. */
static void softmax_row(const tensor *x, const tensor *y, int64_t base, int64_t n) {
    vf hidden = v_set1(-INFINITY), largest = hidden, sum = v_zero();
    bool is_kept = y->dtype == TN_FLOAT32;
    for (int64_t i = 0; i < n; i += LANES)
        largest = v_max(largest, v_select(v_mask_range(0, n - i), v_load_any(x, base + i, n - i), hidden));
    vf maximum = v_set1(v_largest(largest));
    for (int64_t i = 0; i < n; i += LANES) {
        vf e = v_exp_negative(v_sub(v_load_any(x, base + i, n - i), maximum));
        sum = v_add(sum, v_select(v_mask_range(0, n - i), e, v_zero()));
        if (is_kept) v_store_any(y, base + i, e, n - i);
    }
    vf total = v_set1(v_sum(sum));
    for (int64_t i = 0; i < n; i += LANES) {
        vf e = is_kept ? v_load_any(y, base + i, n - i) : v_exp_negative(v_sub(v_load_any(x, base + i, n - i), maximum));
        v_store_any(y, base + i, v_div(e, total), n - i);
    }
}

/* Sixteen rows side by side, elements `stride` apart. */
static void softmax_across(const tensor *x, const tensor *y, int64_t base, int64_t length, int64_t stride, int64_t width) {
    vf largest = v_set1(-INFINITY), lanes[LANES];
    for (int64_t i = 0; i < length; i++) largest = v_max(largest, v_load_any(x, base + i * stride, width));
    for (int n = 0; n < LANES; n++) lanes[n] = v_zero();
    for (int64_t i = 0; i < length; i++) {
        vf e = v_exp_negative(v_sub(v_load_any(x, base + i * stride, width), largest));
        lanes[i % LANES] = v_add(lanes[i % LANES], e);
        if (y->dtype == TN_FLOAT32) v_store_any(y, base + i * stride, e, width);
    }
    vf total = reduce_lanes(TN_REDUCE_SUM, lanes);
    for (int64_t i = 0; i < length; i++) {
        vf e = y->dtype == TN_FLOAT32 ? v_load_any(y, base + i * stride, width)
                                      : v_exp_negative(v_sub(v_load_any(x, base + i * stride, width), largest));
        v_store_any(y, base + i * stride, v_div(e, total), width);
    }
}

void TN_ISA_NAME(tn_cpu_softmax)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_softmax)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tensor x = tensor_input(step, 0), y = tensor_output(step, 0);
    int64_t axis = ((const tn_softmax_params *)step->problem->params)->axis;
    axis_walk w = tensor_axis(&x, axis < 0 ? axis + x.rank : axis);
    int64_t per_outer = (w.inner + LANES - 1) / LANES;
    for (int64_t tile = begin; tile < end; tile++) {
        if (w.inner == 1) {
            softmax_row(&x, &y, tile * w.length, w.length);
            continue;
        }
        int64_t first = tile % per_outer * LANES, width = w.inner - first < LANES ? w.inner - first : LANES;
        softmax_across(&x, &y, tile / per_outer * w.length * w.inner + first, w.length, w.inner, width);
    }
}

void TN_ISA_NAME(tn_cpu_ragged_softmax)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_ragged_softmax)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tensor x = tensor_input(step, 0), bounds = tensor_input(step, 1), y = tensor_output(step, 0);
    int64_t n = x.dims[x.rank - 1];
    for (int64_t row = begin; row < end; row++) {
        int64_t bound = tensor_index(&bounds, row), length = bound < 0 ? 0 : bound < n ? bound : n;
        softmax_row(&x, &y, row * n, length);
        for (int64_t i = length; i < n; i += LANES) v_store_any(&y, row * n + i, v_zero(), n - i);
    }
}

/* --- CUMULATIVE ----------------------------------------------------------------------------------------------------------------------------- */

/* n elements `stride` apart from `at` on, added to the sums before them: one sum (they follow each other), or one each. */
static void cumulate_floats(const tn_cumulative_params *params, const tensor *x, const tensor *y, int64_t at, int64_t n, bool is_one,
                            double *sums) {
    double values[NEST_CHUNK];
    line_doubles(x->dtype, x->data, at, 1, n, values);
    for (int64_t k = 0; k < n; k++) {
        int64_t i = is_one && params->reverse ? n - 1 - k : k;
        double *sum = &sums[is_one ? 0 : i], before = *sum;
        *sum += values[i];
        values[i] = params->exclusive ? before : *sum;
    }
    line_store_doubles(y->dtype, y->data, at, n, values);
}

static void cumulate_ints(const tn_cumulative_params *params, const tensor *x, const tensor *y, int64_t at, int64_t n, bool is_one,
                          int64_t *sums) {
    int64_t values[NEST_CHUNK];
    line_ints(x, at, 1, n, values);
    for (int64_t k = 0; k < n; k++) {
        int64_t i = is_one && params->reverse ? n - 1 - k : k;
        int64_t *sum = &sums[is_one ? 0 : i], before = *sum;
        *sum = (int64_t)((uint64_t)*sum + (uint64_t)values[i]);
        values[i] = params->exclusive ? before : *sum;
    }
    line_store_ints(y, at, n, values);
}

void TN_ISA_NAME(tn_cpu_cumulative)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_cumulative)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tn_cumulative_params *params = step->problem->params;
    tensor x = tensor_input(step, 0), y = tensor_output(step, 0);
    axis_walk w = tensor_axis(&x, params->axis);
    bool is_one = w.inner == 1, is_float = tn_dtype_get_info(x.dtype)->is_float;
    int64_t per_outer = (w.inner + NEST_CHUNK - 1) / NEST_CHUNK, stride = is_one ? NEST_CHUNK : w.inner;
    int64_t num_parts = is_one ? (w.length + NEST_CHUNK - 1) / NEST_CHUNK : w.length;
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t first = tile % per_outer * NEST_CHUNK, base = tile / per_outer * w.length * w.inner + first;
        double sums[NEST_CHUNK] = {0};
        int64_t exact[NEST_CHUNK] = {0};
        for (int64_t k = 0; k < num_parts; k++) {
            int64_t part = params->reverse ? num_parts - 1 - k : k, limit = is_one ? w.length - part * NEST_CHUNK : w.inner - first;
            int64_t n = limit < NEST_CHUNK ? limit : NEST_CHUNK;
            if (is_float)
                cumulate_floats(params, &x, &y, base + part * stride, n, is_one, sums);
            else
                cumulate_ints(params, &x, &y, base + part * stride, n, is_one, exact);
        }
    }
}

#endif
