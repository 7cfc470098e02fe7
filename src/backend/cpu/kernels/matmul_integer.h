/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_integer.h: y[m][n] = Σ_k x[m][k] · w[n][k] for one strip of 16 outputs, x q15_32 or q8_32, w any form of codes.
 *
 * Shapes   x rows of op/quantized_rows.h, w strip16 (layout_strip16.h), y float32 [rows][stride]
 * Order    blocks b of 32 along k ascending: t = float(Σ q·w, exact in int32); y = fma(t · dw, dx, y);
 *          with minima: y = fma(mw, dx · Σq, y). Forms that scale 16 columns do this for each half of a block, with its dw and Σ.
 *          The numerics q15_block32 and q8_block32: any tile, any thread, same bits
 * Planes   Σ q·w = (Σ hi·w · 256) + Σ lo·w; with AVX2 both at once, as int16: the same sum, exact too
 * Bound    rows ≤ 4: weight bytes; rows ≥ 32: multiply-adds, 8 of 11 instructions (8 rows) for one plane
 * Measured Cascade Lake 2.5 GHz, one core of a shared machine, q4_1, K 576, weights in the first cache (least of 2,000 runs):
 *          q15 0.14, q8 0.24 TOPS at 8 rows and more (the core multiplies 0.60); one row 17 and 21 GB/s of weights
 *          from memory (96 MB of copies, thousands of products in turn), GB/s of weights, k 576 and 1,536; the third line is
 *          what `streams` takes: 1 strip, 1, 2, 4 rows                                10.4 11.2 | 10.0 10.3 | 9.0 9.0
 *                              4 strips side by side                                11.0 11.8 | 10.2 11.4 | 8.6 9.6
 *                              1 row: 4 strips, 512 B ahead; else 1 strip, 4 KB     11.8 12.5 | 11.3 11.9 | 11.4 11.0
 *          from the second cache: 29.5 | 21.3 | 13.2 without, 34.9 | 20.0 | 13.1 with it: which is better depends on where weights are
 *          other forms against q4_1 (1536 × 1024, streams, processor time): q15 one row q4_k 1.2, q5_k 1.5, q6_k 2.2 (1.4 times the bytes);
 *          16 rows q4_k 1.1, q6_k 1.4; 512 rows q4_k 1.0, q5_k 1.0, q6_k 1.2
 * Tried    a pointer for each row and plane: 0.08 TOPS with the broadcast inside the product, 0.12 without (q15);
 *          both planes one after the other: spills; gcc's own code for the broadcast operand: two instructions for one;
 *          8 strips side by side: 4 % slower than 4; a row alone with two chains of sums a plane: 1 % from memory
 */
#ifndef TN_BACKEND_CPU_MATMUL_INTEGER_H_
#define TN_BACKEND_CPU_MATMUL_INTEGER_H_

#include "backend/cpu/kernels/strip_codes.h"
#include "op/quantized_rows.h"

#ifndef V_JOINED_PLANES
#define V_JOINED_PLANES 0 /* of this level: planes are multiplied one by one */
#endif

/* Rows are first gathered into tiles of R = 8, 4, 2 or 1 rows, so that a kernel reaches all of a block's activations by
 * constant distances from one pointer (with a pointer for each row and plane it took twice the instructions). A tile holds
 * for each block  R × {hi int8 [32], lo int8 [32]}  (q8_32: only hi; V_JOINED_PLANES: int16 [32] for both)  |  scale f32 [R]  |
 * scaled sum f32 [R], or, for weights stored with an offset, offset · Σq int32 [R]; of each half where 16 columns share a scale. */
V_INLINE int64_t tile_block_bytes(int halves, int64_t tile_rows, bool two_planes) {
    return tile_rows * tn_strip_tile_row_bytes(halves, two_planes);
}
V_INLINE int64_t tile_rows_of(int64_t rows_left) {
    if (V_TILE_ROWS == 1) return 1;
    return rows_left >= V_TILE_ROWS ? V_TILE_ROWS : rows_left >= 4 ? 4 : rows_left >= 2 ? 2 : 1;
}

/* Where the tiles of some rows stand: blocks from `first` on, row_bytes for each row of a tile. */
typedef struct gathered_rows {
    const char *tiles;
    int64_t first, row_bytes;
} gathered_rows;

/* Σq of the first 16 columns of a block. */
V_INLINE int32_t half_sum(const tn_quantized_row *row, int64_t b) {
    int32_t high = 0, low = 0;
    for (int i = 0; i < 16; i++) high += row->hi[b * 32 + i];
    if (row->lo == NULL) return high;
    for (int i = 0; i < 16; i++) low += row->lo[b * 32 + i];
    return 256 * high + low;
}

V_INLINE void gather_planes(const tn_quantized_row *row, int64_t b, int8_t *out) {
#if V_JOINED_PLANES
    if (row->lo != NULL) {
        for (int half = 0; half < 2; half++) v_join_planes(row->hi + b * 32 + 16 * half, row->lo + b * 32 + 16 * half, out + 32 * half);
        return;
    }
#endif
    memcpy(out, row->hi + b * 32, 32);
    if (row->lo != NULL) memcpy(out + 32, row->lo + b * 32, 32);
}

/* Blocks [first, end) of num_rows quantised rows of `columns` columns as tiles, one after another. */
static void gather_tiles(tn_dtype dtype, tn_strip_type type, int64_t columns, const char *const *rows, int64_t num_rows, int64_t first,
                         int64_t end, char *tiles) {
    const tn_strip_form *form = &tn_strip_forms[type];
    bool two_planes = dtype == TN_Q15_32, has_halves = form->scale_columns == 16;
    int64_t plane_bytes = two_planes ? 64 : 32;
    for (int64_t r = 0, count; r < num_rows; r += count) {
        count = tile_rows_of(num_rows - r);
        int64_t block_bytes = tile_block_bytes(1 + has_halves, count, two_planes);
        for (int64_t i = 0; i < count; i++) {
            tn_quantized_row row = tn_quantized_row_at(dtype, (void *)(uintptr_t)rows[r + i], columns);
            char *block = tiles;
            for (int64_t b = first; b < end; b++, block += block_bytes) {
                char *scales = block + count * plane_bytes + 4 * i;
                gather_planes(&row, b, (int8_t *)block + i * plane_bytes);
                memcpy(scales, &row.scale[b], 4);
                int32_t sums[2] = {row.sum[b], 0};
                if (has_halves) {
                    sums[0] = half_sum(&row, b);
                    sums[1] = (int32_t)((uint32_t)row.sum[b] - (uint32_t)sums[0]); /* wraps where the builder times on made-up rows */
                }
                for (int h = 0; h <= has_halves; h++) {
                    float scaled = has_halves ? row.scale[b] * (float)sums[h] : row.scaled_sum[b];
                    int32_t offset = (int32_t)((uint32_t)sums[h] * (uint32_t)form->offset);
                    memcpy(scales + (1 + h) * 4 * count, form->has_minimum ? (const void *)&scaled : (const void *)&offset, 4);
                }
            }
        }
        tiles += (end - first) * block_bytes;
    }
}

/* How a tile is cut, all constants: rows × strips sums a plane, and how far ahead of the products weights are asked for in
 * bytes (0: the processor's own prefetching alone). Either one row or one strip. */
typedef struct tile_shape {
    int rows, strips, ahead;
} tile_shape;

/* Weights that come from memory: one row takes several strips side by side, so that as many streams are under way. */
#define ROW_STREAMS  ((tile_shape){1, V_TILE_STRIPS, 512})
#define ONE_ROW      ((tile_shape){1, 1, 0})
#define TILE_STREAMS 4096

/* Adds the products of one vector of weights with four columns of each row to the sums of one or two planes. Both planes go
 * together: one after the other, the compiler keeps the unpacked weights of a block and spills the sums. */
#define VECTOR_PRODUCTS(dot, weights, column)                                                                                 \
    do {                                                                                                                      \
        vb w_ = (weights);                                                                                                    \
        V_UNROLL for (int r = 0; r < shape.rows; r++) hi_sums[r + s] = dot(hi_sums[r + s], w_, x + r * row_bytes + (column)); \
        if (two_planes) V_UNROLL                                                                                              \
        for (int r = 0; r < shape.rows; r++) lo_sums[r + s] = dot(lo_sums[r + s], w_, x + r * row_bytes + 32 + (column));     \
    } while (0)

#if V_JOINED_PLANES
#define JOINED_PRODUCTS(weights, column)                                         \
    do {                                                                         \
        vb w_ = (weights);                                                       \
        V_UNROLL for (int r = 0; r < shape.rows; r++) hi_sums[r + s] =           \
            v_dot4_joined(hi_sums[r + s], w_, x + r * row_bytes + 2 * (column)); \
    } while (0)
#else
#define JOINED_PRODUCTS(weights, column) (void)0
#endif

/* How a kernel finds codes and scales, all constants: in the strip itself, or in expanded blocks. For one row every form has its
 * kernel. With more rows only the forms that were here first have: one for each form would be a minute of compiling, and
 * expanding a strip costs 512 rows 2 %, 16 rows 20 %. */
typedef struct weight_form {
    tn_strip_type type; /* not of expanded blocks */
    bool is_expanded, has_minimum, is_wide;
    int halves;
} weight_form;
#define NATIVE_FORM(type) ((weight_form){(type), false, tn_strip_forms[type].has_minimum, tn_strip_is_wide(type), tn_strip_halves(type)})

/* One tile against blocks [first, end) of shape.strips strips that stand strip_bytes apart; adds to y. The first three
 * arguments are constants; tile is the tile's block `first`, and so is an expanded strip. */
V_INLINE void integer_tile(const tile_shape shape, const weight_form form, const bool two_planes, const uint8_t *strip, int64_t strip_bytes,
                           const char *tile, int64_t first, int64_t end, float *y, int64_t stride) {
    const bool is_joined = two_planes && V_JOINED_PLANES;
    const int row_bytes = two_planes ? 64 : 32, bits = form.is_expanded ? 8 : tn_strip_forms[form.type].code_bits;
    vf total[V_TILE_SUMS];
    V_UNROLL for (int i = 0; i < shape.rows * shape.strips; i++) total[i] = v_load(y + (shape.strips > 1 ? i * LANES : i * stride));
    const int8_t *x = (const int8_t *)tile;
    for (int64_t b = first; b < end; b++, x += tile_block_bytes(form.halves, shape.rows, two_planes)) {
        const uint8_t *expanded = form.is_expanded ? strip + (b - first) * EXPANDED_BYTES : NULL;
        const uint8_t *vectors = form.is_expanded ? expanded : tn_strip_block(form.type, strip, b);
        const float *dx = (const float *)(const void *)(x + shape.rows * row_bytes);
        V_UNROLL for (int h = 0; h < form.halves; h++) {
            const float *sx = dx + (1 + h) * shape.rows;
            vi hi_sums[V_TILE_SUMS], lo_sums[V_TILE_SUMS];
            V_UNROLL for (int i = 0; i < shape.rows * shape.strips; i++) {
                hi_sums[i] = vi_zero();
                lo_sums[i] = vi_zero();
            }
            V_UNROLL for (int g = h * 4; g < h * 4 + 8 / form.halves; g++) {
                V_UNROLL for (int s = 0; s < shape.strips; s++) {
                    const uint8_t *of_strip = vectors + s * strip_bytes;
                    if (shape.ahead > 0 && (g + 1) * bits / 8 > g * bits / 8) v_prefetch(of_strip + 64 * (g * bits / 8) + shape.ahead);
                    vb codes = form.is_expanded ? vb_load(of_strip + 64 * g) : group_codes(form.type, of_strip, g);
                    if (is_joined) {
                        JOINED_PRODUCTS(codes, 4 * g);
                    } else if (form.is_wide) {
                        VECTOR_PRODUCTS(v_dot4_wide, codes, 4 * g);
                    } else {
                        VECTOR_PRODUCTS(v_dot4, codes, 4 * g);
                    }
                }
            }
            V_UNROLL for (int s = 0; s < shape.strips; s++) {
                const uint8_t *of_strip = strip + s * strip_bytes;
                if (shape.ahead > 0) v_prefetch(own_scales(form.type, of_strip, b, h) + shape.ahead);
                vf dw = form.is_expanded ? expanded_scale(expanded, h) : block_scale(form.type, of_strip, b, h), mw = v_zero();
                if (form.has_minimum) mw = form.is_expanded ? expanded_minimum(expanded, h) : block_minimum(form.type, of_strip, b, h);
                V_UNROLL for (int r = 0; r < shape.rows; r++) {
                    vi products = two_planes && !is_joined ? vi_add(vi_shl(hi_sums[r + s], 8), lo_sums[r + s]) : hi_sums[r + s];
                    if (!form.has_minimum) {
                        int32_t offset;
                        memcpy(&offset, sx + r, sizeof offset);
                        products = vi_sub(products, vi_set1(offset));
                    }
                    total[r + s] = v_fma(v_mul(v_from_int(products), dw), v_set1(dx[r]), total[r + s]);
                    if (form.has_minimum) total[r + s] = v_fma(mw, v_set1(sx[r]), total[r + s]);
                }
            }
        }
    }
    V_UNROLL for (int i = 0; i < shape.rows * shape.strips; i++) v_store(y + (shape.strips > 1 ? i * LANES : i * stride), total[i]);
}

#define ROW_TILE(num_rows, ahead)                                                                                                          \
    integer_tile((tile_shape){(num_rows), 1, (ahead)}, form, two_planes, strip, 0,                                                         \
                 rows->tiles + r * rows->row_bytes + (first - rows->first) * tile_block_bytes(form.halves, (num_rows), two_planes), first, \
                 end, y + r * stride, stride)

/* All tiles of a chunk against blocks [first, end) of one strip. streams: the weights come from memory with the first tile. */
V_INLINE void integer_strip(const weight_form form, const bool two_planes, const bool streams, const uint8_t *strip,
                            const gathered_rows *rows, int64_t num_rows, int64_t first, int64_t end, float *y, int64_t stride) {
    int64_t r = 0;
    if (streams) {
        int64_t count = tile_rows_of(num_rows);
#if V_TILE_ROWS > 1
        if (count == V_TILE_ROWS && V_TILE_ROWS > 4)
            ROW_TILE(V_TILE_ROWS, TILE_STREAMS);
        else if (count == 4)
            ROW_TILE(4, TILE_STREAMS);
        else if (count == 2)
            ROW_TILE(2, TILE_STREAMS);
        else
#endif
            ROW_TILE(1, TILE_STREAMS);
        r = count;
    }
#if V_TILE_ROWS > 1
    for (; r + V_TILE_ROWS <= num_rows; r += V_TILE_ROWS) ROW_TILE(V_TILE_ROWS, 0);
    if (V_TILE_ROWS > 4 && r + 4 <= num_rows) {
        ROW_TILE(4, 0);
        r += 4;
    }
    if (r + 2 <= num_rows) {
        ROW_TILE(2, 0);
        r += 2;
    }
#endif
    for (; r < num_rows; r++) ROW_TILE(1, 0);
}

typedef void (*integer_strip_function)(const uint8_t *strip, const gathered_rows *rows, int64_t num_rows, int64_t first, int64_t end,
                                       float *y, int64_t stride);
#define STRIP_FUNCTION(name, form, two_planes, streams)                                                                       \
    static void name(const uint8_t *strip, const gathered_rows *rows, int64_t num_rows, int64_t first, int64_t end, float *y, \
                     int64_t stride) {                                                                                        \
        integer_strip(form, two_planes, streams, strip, rows, num_rows, first, end, y, stride);                               \
    }

#define NATIVE_FUNCTIONS(name, type, two_planes)                       \
    STRIP_FUNCTION(name##_strip, NATIVE_FORM(type), two_planes, false) \
    STRIP_FUNCTION(name##_streamed, NATIVE_FORM(type), two_planes, true)
NATIVE_FUNCTIONS(q15_q4_0, TN_STRIP_Q4_0, true)
NATIVE_FUNCTIONS(q15_q4_1, TN_STRIP_Q4_1, true)
NATIVE_FUNCTIONS(q15_q8_0, TN_STRIP_Q8_0, true)
NATIVE_FUNCTIONS(q8_q4_0, TN_STRIP_Q4_0, false)
NATIVE_FUNCTIONS(q8_q4_1, TN_STRIP_Q4_1, false)
NATIVE_FUNCTIONS(q8_q8_0, TN_STRIP_Q8_0, false)

/* NULL: the form is expanded. */
V_INLINE integer_strip_function native_function_for(tn_strip_type type, bool two_planes, bool streams) {
    switch (type) {
#define CHOOSE(name) \
    streams ? two_planes ? q15_##name##_streamed : q8_##name##_streamed : two_planes ? q15_##name##_strip : q8_##name##_strip
    case TN_STRIP_Q4_0: return CHOOSE(q4_0);
    case TN_STRIP_Q4_1: return CHOOSE(q4_1);
    case TN_STRIP_Q8_0: return CHOOSE(q8_0);
#undef CHOOSE
    default: return NULL;
    }
}

/* One row against strips that stand strip_bytes apart: one, or V_TILE_STRIPS whose weights come from memory. y: [strips · 16] */
typedef void (*integer_row_function)(const uint8_t *strips, int64_t strip_bytes, const char *tile, int64_t first, int64_t end, float *y);

#define ROW_FUNCTION(name, shape, form, two_planes)                                                                        \
    static void name(const uint8_t *strips, int64_t strip_bytes, const char *tile, int64_t first, int64_t end, float *y) { \
        integer_tile(shape, NATIVE_FORM(TN_STRIP_##form), two_planes, strips, strip_bytes, tile, first, end, y, 0);        \
    }
#define ROW_FUNCTIONS(form, name)                                   \
    ROW_FUNCTION(q15_##name##_row, ONE_ROW, form, true)             \
    ROW_FUNCTION(q15_##name##_row_streams, ROW_STREAMS, form, true) \
    ROW_FUNCTION(q8_##name##_row, ONE_ROW, form, false)             \
    ROW_FUNCTION(q8_##name##_row_streams, ROW_STREAMS, form, false)
TN_STRIP_CODE_FORMS(ROW_FUNCTIONS)

V_INLINE integer_row_function row_function_for(tn_strip_type type, bool two_planes, bool streams) {
#define OF_FORM(form, name) [TN_STRIP_##form] = {{q8_##name##_row, q8_##name##_row_streams}, {q15_##name##_row, q15_##name##_row_streams}},
    static const integer_row_function functions[TN_NUM_STRIP_TYPES][2][2] = {TN_STRIP_CODE_FORMS(OF_FORM)};
#undef OF_FORM
    return functions[type][two_planes][streams];
}

#define EXPANDED_FORM(has_minimum, is_wide, halves) ((weight_form){TN_STRIP_F32, true, (has_minimum), (is_wide), (halves)})
#define EXPANDED_FUNCTIONS(name, has_minimum, is_wide, halves)                           \
    STRIP_FUNCTION(q15_##name, EXPANDED_FORM(has_minimum, is_wide, halves), true, false) \
    STRIP_FUNCTION(q8_##name, EXPANDED_FORM(has_minimum, is_wide, halves), false, false)
EXPANDED_FUNCTIONS(offset, false, false, 1)
EXPANDED_FUNCTIONS(wide_offset, false, true, 1)
EXPANDED_FUNCTIONS(minimum, true, false, 1)
EXPANDED_FUNCTIONS(wide_minimum, true, true, 1)
EXPANDED_FUNCTIONS(half_offsets, false, false, 2)
EXPANDED_FUNCTIONS(half_minima, true, false, 2)

V_INLINE integer_strip_function expanded_function_for(tn_strip_type type, bool two_planes) {
    const tn_strip_form *form = &tn_strip_forms[type];
    if (form->scale_columns == 16)
        return form->has_minimum ? (two_planes ? q15_half_minima : q8_half_minima) : (two_planes ? q15_half_offsets : q8_half_offsets);
    if (form->has_minimum && tn_strip_is_wide(type)) return two_planes ? q15_wide_minimum : q8_wide_minimum;
    if (form->has_minimum) return two_planes ? q15_minimum : q8_minimum;
    if (tn_strip_is_wide(type)) return two_planes ? q15_wide_offset : q8_wide_offset;
    return two_planes ? q15_offset : q8_offset;
}

/* All tiles of a chunk against blocks [first, end) of one strip of an expanded form. ahead: as in expand_blocks */
static void expanded_strip(tn_strip_type type, bool two_planes, const uint8_t *strip, int64_t ahead, const gathered_rows *rows,
                           int64_t num_rows, int64_t first, int64_t end, float *y, int64_t stride) {
    _Alignas(64) uint8_t blocks[EXPANDED_BLOCKS * EXPANDED_BYTES];
    integer_strip_function multiply = expanded_function_for(type, two_planes);
    for (int64_t b = first; b < end; b += EXPANDED_BLOCKS) {
        int64_t last = b + EXPANDED_BLOCKS < end ? b + EXPANDED_BLOCKS : end;
        expand_blocks(type, strip, b, last, ahead, blocks);
        multiply(blocks, rows, num_rows, b, last, y, stride);
    }
}

#endif
