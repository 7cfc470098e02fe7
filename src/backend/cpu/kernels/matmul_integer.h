/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_integer.h: y[m][n] = Σ_k x[m][k] · w[n][k] for one strip of 16 outputs, x q15_32 or q8_32, w q4_0, q4_1 or q8_0.
 *
 * Shapes   x rows of op/quantized_rows.h, w strip16 (layout_strip16.h), y float32 [rows][stride]
 * Order    blocks b of 32 along k ascending: t = float(Σ q·w, exact in int32); y = fma(t · dw, dx, y);
 *          with minima: y = fma(mw, dx · Σq, y). The numerics q15_block32 and q8_block32: any tile, any thread, same bits
 * Planes   Σ q·w = (Σ hi·w · 256) + Σ lo·w
 * Bound    rows ≤ 4: weight bytes; rows ≥ 32: multiply-adds, 8 of 11 instructions (8 rows) for one plane
 * Measured Cascade Lake 2.5 GHz, one core of a shared machine, q4_1, K 576, weights in the first cache (least of 2,000 runs):
 *          q15 0.14, q8 0.24 TOPS at 8 rows and more (the core multiplies 0.60); one row 17 and 21 GB/s of weights
 *          from memory (96 MB of copies, thousands of products in turn), GB/s of weights, k 576 and 1,536; the third line is
 *          what `streams` takes: 1 strip, 1, 2, 4 rows                                10.4 11.2 | 10.0 10.3 | 9.0 9.0
 *                              4 strips side by side                                11.0 11.8 | 10.2 11.4 | 8.6 9.6
 *                              1 row: 4 strips, 512 B ahead; else 1 strip, 4 KB     11.8 12.5 | 11.3 11.9 | 11.4 11.0
 *          from the second cache: 29.5 | 21.3 | 13.2 without, 34.9 | 20.0 | 13.1 with it: which is better depends on where weights are
 * Tried    a pointer for each row and plane: 0.08 TOPS with the broadcast inside the product, 0.12 without (q15);
 *          both planes one after the other: spills; gcc's own code for the broadcast operand: two instructions for one;
 *          8 strips side by side: 4 % slower than 4; a row alone with two chains of sums a plane: 1 % from memory
 */
#ifndef TN_BACKEND_CPU_MATMUL_INTEGER_H_
#define TN_BACKEND_CPU_MATMUL_INTEGER_H_

#include "backend/cpu/kernels/vec16.h"
#include "backend/cpu/layout_strip16.h"
#include "op/quantized_rows.h"

/* Rows are first gathered into tiles of R = 8, 4, 2 or 1 rows, so that a kernel reaches all of a block's activations by
 * constant distances from one pointer (with a pointer for each row and plane it took twice the instructions). A tile holds
 * for each block  R × {hi int8 [32], lo int8 [32]}  (q8_32: only hi)  |  scale f32 [R]  |  scaled sum f32 [R], or, for
 * weights stored with an offset, offset · Σq int32 [R]. */
V_INLINE int64_t tile_block_bytes(int64_t tile_rows, bool two_planes) {
    return tile_rows * (two_planes ? 72 : 40);
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

/* Blocks [first, end) of num_rows quantised rows of `columns` columns as tiles, one after another. */
static void gather_tiles(tn_dtype dtype, tn_strip_type type, int64_t columns, const char *const *rows, int64_t num_rows, int64_t first,
                         int64_t end, char *tiles) {
    bool two_planes = dtype == TN_Q15_32;
    int64_t plane_bytes = two_planes ? 64 : 32;
    int32_t offset = type == TN_STRIP_Q4_0 ? 8 : 128;
    for (int64_t r = 0, count; r < num_rows; r += count) {
        count = tile_rows_of(num_rows - r);
        int64_t block_bytes = tile_block_bytes(count, two_planes);
        for (int64_t i = 0; i < count; i++) {
            tn_quantized_row row = tn_quantized_row_at(dtype, (void *)(uintptr_t)rows[r + i], columns);
            char *block = tiles;
            for (int64_t b = first; b < end; b++, block += block_bytes) {
                char *scales = block + count * plane_bytes + 4 * i;
                memcpy(block + i * plane_bytes, row.hi + b * 32, 32);
                if (two_planes) memcpy(block + i * plane_bytes + 32, row.lo + b * 32, 32);
                memcpy(scales, &row.scale[b], 4);
                int32_t sum = (int32_t)((uint32_t)row.sum[b] * (uint32_t)offset); /* wraps where the builder times on made-up rows */
                memcpy(scales + 4 * count, type == TN_STRIP_Q4_1 ? (const void *)&row.scaled_sum[b] : (const void *)&sum, 4);
            }
        }
        tiles += (end - first) * block_bytes;
    }
}

/* Where the vectors, scales and minima of block b stand in a strip. */
V_INLINE const uint8_t *block_vectors(tn_strip_type type, const uint8_t *strip, int64_t b) {
    if (type == TN_STRIP_Q4_1) return strip + b * 320;
    if (type == TN_STRIP_Q4_0) return strip + b / 2 * 576 + b % 2 * 256;
    return strip + b / 2 * 1088 + b % 2 * 512;
}
V_INLINE const uint16_t *block_scales(tn_strip_type type, const uint8_t *strip, int64_t b) {
    const uint8_t *at = type == TN_STRIP_Q4_1   ? strip + b * 320 + 256
                        : type == TN_STRIP_Q4_0 ? strip + b / 2 * 576 + 512 + b % 2 * 32
                                                : strip + b / 2 * 1088 + 1024 + b % 2 * 32;
    return (const uint16_t *)(const void *)at;
}

/* How a tile is cut, all constants: rows × strips sums a plane, and how far ahead of the products weights are asked for in
 * bytes (0: the processor's own prefetching alone). Either one row or one strip. */
typedef struct tile_shape {
    int rows, strips, ahead;
} tile_shape;

/* Weights that come from memory: one row takes several strips side by side, so that as many streams are under way. */
#define ROW_STREAMS  ((tile_shape){1, V_TILE_STRIPS, 512})
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

/* One tile against blocks [first, end) of shape.strips strips that stand strip_bytes apart; adds to y. The first three
 * arguments are constants; tile is the tile's block `first`. */
V_INLINE void integer_tile(const tile_shape shape, const tn_strip_type type, const bool two_planes, const uint8_t *strip,
                           int64_t strip_bytes, const char *tile, int64_t first, int64_t end, float *y, int64_t stride) {
    const int row_bytes = two_planes ? 64 : 32, num_vectors = type == TN_STRIP_Q8_0 ? 8 : 4;
    vf total[V_TILE_SUMS];
    V_UNROLL for (int i = 0; i < shape.rows * shape.strips; i++) total[i] = v_load(y + (shape.strips > 1 ? i * LANES : i * stride));
    const int8_t *x = (const int8_t *)tile;
    for (int64_t b = first; b < end; b++, x += tile_block_bytes(shape.rows, two_planes)) {
        const uint8_t *vectors = block_vectors(type, strip, b);
        const uint16_t *scales = block_scales(type, strip, b);
        const float *dx = (const float *)(const void *)(x + shape.rows * row_bytes), *sx = dx + shape.rows;
        vi hi_sums[V_TILE_SUMS], lo_sums[V_TILE_SUMS];
        V_UNROLL for (int i = 0; i < shape.rows * shape.strips; i++) {
            hi_sums[i] = vi_zero();
            lo_sums[i] = vi_zero();
        }
        V_UNROLL for (int v = 0; v < num_vectors; v++) {
            V_UNROLL for (int s = 0; s < shape.strips; s++) {
                const uint8_t *vector = vectors + s * strip_bytes + 64 * v;
                if (shape.ahead > 0) v_prefetch(vector + shape.ahead);
                vb weights = vb_load(vector);
                if (type == TN_STRIP_Q8_0) {
                    VECTOR_PRODUCTS(v_dot4_wide, weights, 4 * v);
                } else {
                    VECTOR_PRODUCTS(v_dot4, vb_low_nibbles(weights), 8 * v);
                    VECTOR_PRODUCTS(v_dot4, vb_high_nibbles(weights), 8 * v + 4);
                }
            }
        }
        V_UNROLL for (int s = 0; s < shape.strips; s++) {
            const uint16_t *scales_of_strip = (const uint16_t *)(const void *)((const uint8_t *)scales + s * strip_bytes);
            if (shape.ahead > 0) v_prefetch((const uint8_t *)scales_of_strip + shape.ahead);
            vf dw = v_load_f16(scales_of_strip), mw = type == TN_STRIP_Q4_1 ? v_load_f16(scales_of_strip + LANES) : v_zero();
            V_UNROLL for (int r = 0; r < shape.rows; r++) {
                vi products = two_planes ? vi_add(vi_shl(hi_sums[r + s], 8), lo_sums[r + s]) : hi_sums[r + s];
                if (type != TN_STRIP_Q4_1) {
                    int32_t offset;
                    memcpy(&offset, sx + r, sizeof offset);
                    products = vi_sub(products, vi_set1(offset));
                }
                total[r + s] = v_fma(v_mul(v_from_int(products), dw), v_set1(dx[r]), total[r + s]);
                if (type == TN_STRIP_Q4_1) total[r + s] = v_fma(mw, v_set1(sx[r]), total[r + s]);
            }
        }
    }
    V_UNROLL for (int i = 0; i < shape.rows * shape.strips; i++) v_store(y + (shape.strips > 1 ? i * LANES : i * stride), total[i]);
}

#define ROW_TILE(num_rows, ahead)                                                                                                  \
    integer_tile((tile_shape){(num_rows), 1, (ahead)}, type, two_planes, strip, 0,                                                 \
                 rows->tiles + r * rows->row_bytes + (first - rows->first) * tile_block_bytes((num_rows), two_planes), first, end, \
                 y + r * stride, stride)

/* All tiles of a chunk against blocks [first, end) of one strip. streams: the weights come from memory with the first tile. */
V_INLINE void integer_strip(const tn_strip_type type, const bool two_planes, const bool streams, const uint8_t *strip,
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
/* V_TILE_STRIPS strips, strip_bytes apart, against one row; y: [strips · 16] */
typedef void (*integer_row_function)(const uint8_t *strips, int64_t strip_bytes, const char *tile, int64_t first, int64_t end, float *y);

typedef struct integer_functions {
    integer_strip_function strip, streamed_strip;
    integer_row_function streamed_row;
} integer_functions;

#define INTEGER_FUNCTIONS(name, type, two_planes)                                                                                        \
    static void name##_strip(const uint8_t *strip, const gathered_rows *rows, int64_t num_rows, int64_t first, int64_t end, float *y,    \
                             int64_t stride) {                                                                                           \
        integer_strip(type, two_planes, false, strip, rows, num_rows, first, end, y, stride);                                            \
    }                                                                                                                                    \
    static void name##_streamed(const uint8_t *strip, const gathered_rows *rows, int64_t num_rows, int64_t first, int64_t end, float *y, \
                                int64_t stride) {                                                                                        \
        integer_strip(type, two_planes, true, strip, rows, num_rows, first, end, y, stride);                                             \
    }                                                                                                                                    \
    static void name##_row(const uint8_t *strips, int64_t strip_bytes, const char *tile, int64_t first, int64_t end, float *y) {         \
        integer_tile(ROW_STREAMS, type, two_planes, strips, strip_bytes, tile, first, end, y, 0);                                        \
    }                                                                                                                                    \
    static const integer_functions name = {name##_strip, name##_streamed, name##_row};
INTEGER_FUNCTIONS(q15_q4_0, TN_STRIP_Q4_0, true)
INTEGER_FUNCTIONS(q15_q4_1, TN_STRIP_Q4_1, true)
INTEGER_FUNCTIONS(q15_q8_0, TN_STRIP_Q8_0, true)
INTEGER_FUNCTIONS(q8_q4_0, TN_STRIP_Q4_0, false)
INTEGER_FUNCTIONS(q8_q4_1, TN_STRIP_Q4_1, false)
INTEGER_FUNCTIONS(q8_q8_0, TN_STRIP_Q8_0, false)

V_INLINE const integer_functions *integer_functions_for(tn_strip_type type, bool two_planes) {
    switch (type) {
    case TN_STRIP_Q4_0: return two_planes ? &q15_q4_0 : &q8_q4_0;
    case TN_STRIP_Q4_1: return two_planes ? &q15_q4_1 : &q8_q4_1;
    default: return two_planes ? &q15_q8_0 : &q8_q8_0;
    }
}

#endif
