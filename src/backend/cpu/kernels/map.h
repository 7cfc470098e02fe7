/* SPDX-License-Identifier: Apache-2.0
 *
 * map.h: what is one function of the elements at a place: UNARY, ACTIVATION, PARAMETRIC_RELU, SCALE, ELEMENTWISE, SELECT, CAST,
 * QUANTIZE, DEQUANTIZE, with operands that broadcast. One nest (tensor.h); an operation is a loop over a line.
 *
 * Types    float32, float16 and bfloat16 in float32, rounded once when stored; float64 in double; integers in int64, wrapping
 * Order    one chain an element; floats by vector_math.h, rare functions by scalar_math.h
 * Bound    bytes of the operands
 */
#ifndef TN_BACKEND_CPU_MAP_H_
#define TN_BACKEND_CPU_MAP_H_

#include "backend/cpu/kernels/lines.h"
#include "backend/cpu/kernels/map_functions.h"
#include "backend/cpu/map.h"

/* --- tiles --------------------------------------------------------------------------------------------------------------------------- */

typedef struct map_call {
    const tn_problem *problem;
    tensor tensors[NEST_MAX_OPERANDS]; /* 0: the output */
    nest walk;
} map_call;

static map_call map_begin(const tn_bound_step *step) {
    map_call call = {.problem = step->problem};
    tn_cpu_map_nest(step->problem, step->symbols, step->buffers, call.tensors, &call.walk);
    return call;
}

static int64_t map_stride(const map_call *call, int operand) {
    return call->walk.strides[operand][call->walk.rank - 1];
}

static void map_tile_floats(const map_call *call, const nest_tile *t) {
    float buffers[NEST_MAX_OPERANDS][NEST_CHUNK];
    const float *lines[NEST_MAX_OPERANDS] = {NULL};
    const tensor *y = &call->tensors[0];
    for (int k = 1; k < call->walk.num_operands; k++)
        if (call->tensors[k].is_given)
            lines[k] = line_floats_spread(&call->tensors[k], t->offsets[k], map_stride(call, k), t->count, buffers[k]);
    map_line line = {
        .a = lines[1], .b = lines[2], .c = lines[3], .d = lines[4], .out = line_target(y, t->offsets[0], buffers[0]), .n = t->count};
    map_floats(call->problem, &line);
    line_store_floats(y, t->offsets[0], t->count, line.out);
}

static void map_tile_doubles(const map_call *call, const nest_tile *t) {
    double a[NEST_CHUNK], b[NEST_CHUNK];
    const tensor *y = &call->tensors[0];
    line_doubles(call->tensors[1].dtype, call->tensors[1].data, t->offsets[1], map_stride(call, 1), t->count, a);
    if (call->problem->op == TN_OP_UNARY) {
        tn_unary_op op = (tn_unary_op)((const tn_unary_params *)call->problem->params)->op;
        for (int64_t i = 0; i < t->count; i++) a[i] = map_unary_double(op, a[i]);
    } else {
        tn_elementwise_op op = (tn_elementwise_op)((const tn_elementwise_params *)call->problem->params)->op;
        line_doubles(call->tensors[2].dtype, call->tensors[2].data, t->offsets[2], map_stride(call, 2), t->count, b);
        for (int64_t i = 0; i < t->count; i++) a[i] = map_binary_double(op, a[i], b[i]);
    }
    line_store_doubles(y->dtype, y->data, t->offsets[0], t->count, a);
}

static void map_tile_ints(const map_call *call, const nest_tile *t) {
    int64_t a[NEST_CHUNK], b[NEST_CHUNK];
    line_ints(&call->tensors[1], t->offsets[1], map_stride(call, 1), t->count, a);
    if (call->problem->op == TN_OP_ELEMENTWISE) {
        line_ints(&call->tensors[2], t->offsets[2], map_stride(call, 2), t->count, b);
        map_ints_binary((tn_elementwise_op)((const tn_elementwise_params *)call->problem->params)->op, t->count, a, b, a);
    } else {
        map_ints_unary(call->problem, t->count, a, a);
    }
    line_store_ints(&call->tensors[0], t->offsets[0], t->count, a);
}

/* Floats → bool: comparisons, isinf, isnan. */
static void map_tile_tests(const map_call *call, const nest_tile *t) {
    double a[NEST_CHUNK], b[NEST_CHUNK];
    uint8_t *out = (uint8_t *)call->tensors[0].data + t->offsets[0];
    line_doubles(call->tensors[1].dtype, call->tensors[1].data, t->offsets[1], map_stride(call, 1), t->count, a);
    if (call->problem->op == TN_OP_UNARY) {
        bool finds_nan = ((const tn_unary_params *)call->problem->params)->op == TN_UNARY_ISNAN;
        for (int64_t i = 0; i < t->count; i++) out[i] = finds_nan ? a[i] != a[i] : fabs(a[i]) > 0x1.fffffffffffffp+1023;
        return;
    }
    line_doubles(call->tensors[2].dtype, call->tensors[2].data, t->offsets[2], map_stride(call, 2), t->count, b);
    switch (((const tn_elementwise_params *)call->problem->params)->op) {
    case TN_ELEMENTWISE_EQUAL:
        for (int64_t i = 0; i < t->count; i++) out[i] = a[i] == b[i];
        break;
    case TN_ELEMENTWISE_GREATER:
        for (int64_t i = 0; i < t->count; i++) out[i] = a[i] > b[i];
        break;
    default:
        for (int64_t i = 0; i < t->count; i++) out[i] = a[i] < b[i];
        break;
    }
}

void TN_ISA_NAME(tn_cpu_map)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_map)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    map_call call = map_begin(step);
    tn_dtype from = call.tensors[1].dtype, to = call.tensors[0].dtype;
    bool is_float = tn_dtype_get_info(from)->is_float;
    for (int64_t tile = begin; tile < end; tile++) {
        nest_tile t = nest_find(&call.walk, tile);
        if (!is_float)
            map_tile_ints(&call, &t);
        else if (to == TN_BOOL)
            map_tile_tests(&call, &t);
        else if (from == TN_FLOAT64)
            map_tile_doubles(&call, &t);
        else
            map_tile_floats(&call, &t);
    }
}

/* --- SELECT ------------------------------------------------------------------------------------------------------------------------- */

#define SELECT_LINE(type)                                                                                           \
    do {                                                                                                            \
        const type *a = (const type *)(const void *)call->tensors[2].data + t->offsets[2];                          \
        const type *b = (const type *)(const void *)call->tensors[3].data + t->offsets[3];                          \
        type *out = (type *)(void *)call->tensors[0].data + t->offsets[0];                                          \
        for (int64_t i = 0; i < t->count; i++) out[i] = condition[i * step_c] != 0 ? a[i * step_a] : b[i * step_b]; \
    } while (false)

typedef struct sixteen_bytes {
    uint64_t low, high;
} sixteen_bytes;

static void select_tile(const map_call *call, const nest_tile *t) {
    const uint8_t *condition = (const uint8_t *)call->tensors[1].data + t->offsets[1];
    int64_t step_c = map_stride(call, 1), step_a = map_stride(call, 2), step_b = map_stride(call, 3);
    switch (call->tensors[0].bits) {
    case 8: SELECT_LINE(uint8_t); break;
    case 16: SELECT_LINE(uint16_t); break;
    case 32: SELECT_LINE(uint32_t); break;
    case 64: SELECT_LINE(uint64_t); break;
    default: SELECT_LINE(sixteen_bytes); break;
    }
}

void TN_ISA_NAME(tn_cpu_select)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_select)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    map_call call = map_begin(step);
    for (int64_t tile = begin; tile < end; tile++) {
        nest_tile t = nest_find(&call.walk, tile);
        select_tile(&call, &t);
    }
}

/* --- CAST, QUANTIZE, DEQUANTIZE ------------------------------------------------------------------------------------------------------ */

/* Bytes from the start of the tensor to the row of the tile, for types below a byte. */
static char *row_of(const tensor *t, int64_t line) {
    return t->bits >= 8 || t->rank == 0 ? t->data : t->data + (t->dims[t->rank - 1] * t->bits + 7) / 8 * line;
}

static bool is_whole(tn_dtype dtype) {
    return dtype == TN_BOOL || tn_dtype_get_info(dtype)->is_integer;
}

static void cast_tile(const map_call *call, const nest_tile *t) {
    const tensor *x = &call->tensors[1], *y = &call->tensors[0];
    int64_t at = t->offsets[0], n = t->count;
    bool is_short_x = x->dtype == TN_FLOAT32 || x->dtype == TN_FLOAT16 || x->dtype == TN_BFLOAT16;
    bool is_short_y = y->dtype == TN_FLOAT32 || y->dtype == TN_FLOAT16 || y->dtype == TN_BFLOAT16;
    if (x->dtype == y->dtype) {
        memcpy(y->data + at * y->bits / 8, x->data + at * y->bits / 8, (size_t)(n * y->bits / 8));
        return;
    }
    if (is_short_x && is_short_y) {
        float values[NEST_CHUNK];
        line_store_floats(y, at, n, line_floats(x, at, 1, n, values));
        return;
    }
    if (is_whole(x->dtype) && is_whole(y->dtype)) {
        int64_t values[NEST_CHUNK];
        line_ints(x, at, 1, n, values);
        for (int64_t i = 0; y->dtype == TN_BOOL && i < n; i++) values[i] = values[i] != 0;
        line_store_ints(y, at, n, values);
        return;
    }
    if (x->dtype == TN_INT64 && y->dtype == TN_FLOAT32) { /* not by way of a double: that would round twice */
        const int64_t *from = (const int64_t *)(const void *)x->data + at;
        float *to = (float *)(void *)y->data + at;
        for (int64_t i = 0; i < n; i++) to[i] = (float)from[i];
        return;
    }
    double values[NEST_CHUNK];
    line_doubles(x->dtype, x->data, at, 1, n, values);
    for (int64_t i = 0; tn_dtype_get_info(y->dtype)->is_integer && i < n; i++) values[i] = trunc(values[i]);
    line_store_doubles(y->dtype, y->data, at, n, values);
}

void TN_ISA_NAME(tn_cpu_cast)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_cast)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    map_call call = map_begin(step);
    for (int64_t tile = begin; tile < end; tile++) {
        nest_tile t = nest_find(&call.walk, tile);
        cast_tile(&call, &t);
    }
}

/* Place of the tile's elements among the scales: one for all, one an index of an axis, or one a block. */
typedef struct scale_walk {
    const tensor *x, *scale;
    int64_t blocks[TN_MAX_RANK]; /* elements of each axis that share one */
} scale_walk;

static scale_walk scale_walk_make(const tn_problem *problem, const tensor *x, const tensor *scale) {
    bool quantizes = problem->op == TN_OP_QUANTIZE;
    const tn_quantize_params *q = problem->params;
    const tn_dequantize_params *d = problem->params;
    const tn_dims *block = quantizes ? &q->block : &d->block;
    int64_t axis = quantizes ? q->axis : d->axis;
    scale_walk w = {.x = x, .scale = scale};
    for (int i = 0; i < x->rank; i++) w.blocks[i] = block->rank == 0 ? (i == axis ? 1 : 0) : block->d[i] > 0 ? block->d[i] : x->dims[i];
    return w;
}

/* Index of the scale of element `index` of x, row-major. */
static int64_t scale_at(const scale_walk *w, int64_t index) {
    if (w->scale->count == 1) return 0;
    int64_t at = 0, stride = 1;
    bool is_blocked = w->scale->rank == w->x->rank && w->x->rank > 1;
    for (int i = w->x->rank - 1; i >= 0; i--) {
        int64_t place = index % w->x->dims[i];
        index /= w->x->dims[i];
        if (w->blocks[i] == 0) continue;
        at += place / w->blocks[i] * stride;
        stride *= is_blocked ? w->scale->dims[i] : w->x->dims[i];
    }
    return at;
}

static void quantize_tile(const tn_bound_step *step, const map_call *call, const nest_tile *t) {
    tensor x = tensor_input(step, 0), scale = tensor_input(step, 1), zero = tensor_input(step, 2), y = tensor_output(step, 0);
    scale_walk w = scale_walk_make(step->problem, &x, &scale);
    double values[NEST_CHUNK], factor = 1.0, offset = 0.0;
    int64_t index = t->line * call->walk.line + t->first, last = -1;
    int64_t x_at = x.bits < 8 ? t->first : index, y_at = y.bits < 8 ? t->first : index;
    line_doubles(x.dtype, row_of(&x, t->line), x_at, 1, t->count, values);
    for (int64_t i = 0; i < t->count; i++) {
        int64_t place = scale_at(&w, index + i);
        if (place != last) {
            line_doubles(scale.dtype, scale.data, place, 1, 1, &factor);
            if (zero.is_given) line_doubles(zero.dtype, zero.data, zero.count == 1 ? 0 : place, 1, 1, &offset);
            last = place;
        }
        values[i] = step->problem->op == TN_OP_QUANTIZE ? values[i] / factor : (values[i] - offset) * factor;
    }
    line_store_doubles(y.dtype, row_of(&y, t->line), y_at, t->count, values);
}

void TN_ISA_NAME(tn_cpu_quantize)(const tn_bound_step *step, int64_t begin, int64_t end, int worker);
void TN_ISA_NAME(tn_cpu_quantize)(const tn_bound_step *step, int64_t begin, int64_t end, int worker) {
    (void)worker;
    map_call call = map_begin(step);
    for (int64_t tile = begin; tile < end; tile++) {
        nest_tile t = nest_find(&call.walk, tile);
        quantize_tile(step, &call, &t);
    }
}

#endif
