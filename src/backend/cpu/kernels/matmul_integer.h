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
 * Tried    a pointer for each row and plane: 0.08 TOPS with the broadcast inside the product, 0.12 without (q15);
 *          both planes one after the other: spills; gcc's own code for the broadcast operand: two instructions for one
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
                int32_t sum = row.sum[b] * offset;
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

/* Adds the products of one vector of weights with four columns of each row to the sums of one or two planes. Both planes go
 * together: one after the other, the compiler keeps the unpacked weights of a block and spills the sums. */
#define VECTOR_PRODUCTS(dot, weights, column)                                                                                            \
    do {                                                                                                                                 \
        vb w_ = (weights);                                                                                                               \
        V_UNROLL for (int r = 0; r < num_rows; r++) hi_sums[r] = dot(hi_sums[r], w_, x + r * row_bytes + (column));                      \
        if (two_planes) V_UNROLL for (int r = 0; r < num_rows; r++) lo_sums[r] = dot(lo_sums[r], w_, x + r * row_bytes + 32 + (column)); \
    } while (0)

/* One tile of num_rows rows against blocks [first, end) of one strip; adds to y. The first three arguments are constants;
 * tile is the tile's block `first`. */
V_INLINE void integer_tile(const int num_rows, const tn_strip_type type, const bool two_planes, const uint8_t *strip, const char *tile,
                           int64_t first, int64_t end, float *y, int64_t stride) {
    const int row_bytes = two_planes ? 64 : 32;
    vf total[V_TILE_ROWS];
    V_UNROLL for (int r = 0; r < num_rows; r++) total[r] = v_load(y + r * stride);
    const int8_t *x = (const int8_t *)tile;
    for (int64_t b = first; b < end; b++, x += tile_block_bytes(num_rows, two_planes)) {
        const uint8_t *vectors = block_vectors(type, strip, b);
        const uint16_t *scales = block_scales(type, strip, b);
        const float *dx = (const float *)(const void *)(x + num_rows * row_bytes), *sx = dx + num_rows;
        vi hi_sums[V_TILE_ROWS], lo_sums[V_TILE_ROWS];
        V_UNROLL for (int r = 0; r < num_rows; r++) {
            hi_sums[r] = vi_zero();
            lo_sums[r] = vi_zero();
        }
        if (type == TN_STRIP_Q8_0) {
            V_UNROLL for (int g = 0; g < 8; g++) VECTOR_PRODUCTS(v_dot4_wide, vb_load(vectors + 64 * g), 4 * g);
        } else {
            V_UNROLL for (int v = 0; v < 4; v++) {
                vb both = vb_load(vectors + 64 * v);
                VECTOR_PRODUCTS(v_dot4, vb_low_nibbles(both), 8 * v);
                VECTOR_PRODUCTS(v_dot4, vb_high_nibbles(both), 8 * v + 4);
            }
        }
        vf dw = v_load_f16(scales), mw = type == TN_STRIP_Q4_1 ? v_load_f16(scales + LANES) : v_zero();
        V_UNROLL for (int r = 0; r < num_rows; r++) {
            vi products = two_planes ? vi_add(vi_shl(hi_sums[r], 8), lo_sums[r]) : hi_sums[r];
            if (type != TN_STRIP_Q4_1) {
                int32_t offset;
                memcpy(&offset, sx + r, sizeof offset);
                products = vi_sub(products, vi_set1(offset));
            }
            total[r] = v_fma(v_mul(v_from_int(products), dw), v_set1(dx[r]), total[r]);
            if (type == TN_STRIP_Q4_1) total[r] = v_fma(mw, v_set1(sx[r]), total[r]);
        }
    }
    V_UNROLL for (int r = 0; r < num_rows; r++) v_store(y + r * stride, total[r]);
}

/* All tiles of a chunk against blocks [first, end) of one strip. */
V_INLINE void integer_strip(const tn_strip_type type, const bool two_planes, const uint8_t *strip, const char *tiles, int64_t num_rows,
                            int64_t first, int64_t end, float *y, int64_t stride) {
    int64_t r = 0, row_bytes = (end - first) * tile_block_bytes(1, two_planes);
#if V_TILE_ROWS > 1
    for (; r + V_TILE_ROWS <= num_rows; r += V_TILE_ROWS)
        integer_tile(V_TILE_ROWS, type, two_planes, strip, tiles + r * row_bytes, first, end, y + r * stride, stride);
    if (r + 4 <= num_rows) {
        integer_tile(4, type, two_planes, strip, tiles + r * row_bytes, first, end, y + r * stride, stride);
        r += 4;
    }
    if (r + 2 <= num_rows) {
        integer_tile(2, type, two_planes, strip, tiles + r * row_bytes, first, end, y + r * stride, stride);
        r += 2;
    }
#endif
    for (; r < num_rows; r++) integer_tile(1, type, two_planes, strip, tiles + r * row_bytes, first, end, y + r * stride, stride);
}

typedef void (*integer_strip_function)(const uint8_t *strip, const char *tiles, int64_t num_rows, int64_t first, int64_t end, float *y,
                                       int64_t stride);

#define INTEGER_STRIP(name, type, two_planes)                                                                                           \
    static void name(const uint8_t *strip, const char *tiles, int64_t num_rows, int64_t first, int64_t end, float *y, int64_t stride) { \
        integer_strip(type, two_planes, strip, tiles, num_rows, first, end, y, stride);                                                 \
    }
INTEGER_STRIP(strip_q15_q4_0, TN_STRIP_Q4_0, true)
INTEGER_STRIP(strip_q15_q4_1, TN_STRIP_Q4_1, true)
INTEGER_STRIP(strip_q15_q8_0, TN_STRIP_Q8_0, true)
INTEGER_STRIP(strip_q8_q4_0, TN_STRIP_Q4_0, false)
INTEGER_STRIP(strip_q8_q4_1, TN_STRIP_Q4_1, false)
INTEGER_STRIP(strip_q8_q8_0, TN_STRIP_Q8_0, false)

V_INLINE integer_strip_function integer_strip_for(tn_strip_type type, bool two_planes) {
    switch (type) {
    case TN_STRIP_Q4_0: return two_planes ? strip_q15_q4_0 : strip_q8_q4_0;
    case TN_STRIP_Q4_1: return two_planes ? strip_q15_q4_1 : strip_q8_q4_1;
    default: return two_planes ? strip_q15_q8_0 : strip_q8_q8_0;
    }
}

#endif
