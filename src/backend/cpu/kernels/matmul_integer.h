/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_integer.h: y[m][n] = Σ_k x[m][k] · w[n][k] for one strip of 16 outputs, x q15_32 or q8_32, w q4_0, q4_1 or q8_0.
 *
 * Shapes   x rows of op/quantized_rows.h, w strip16 (layout_strip16.h), y float32 [rows][stride]
 * Order    blocks b of 32 along k ascending: t = float(Σ q·w, exact in int32); y = fma(t · dw, dx, y);
 *          with minima: y = fma(mw, dx · Σq, y). The numerics q15_block32 and q8_block32: any tile, any thread, same bits
 * Planes   Σ q·w = (Σ hi·w · 128) + Σ lo·w
 * Bound    rows ≤ 4: weight bytes; rows ≥ 32: multiply-adds, 8 of 11 instructions (8 rows) for one plane
 * Measured see matmul_bench.c and ARCHITECTURE.md
 */
#ifndef TN_BACKEND_CPU_MATMUL_INTEGER_H_
#define TN_BACKEND_CPU_MATMUL_INTEGER_H_

#include "backend/cpu/kernels/vec16.h"
#include "backend/cpu/layout_strip16.h"
#include "op/quantized_rows.h"

/* Where the parts of a quantised row stand, in bytes from its start. */
typedef struct row_offsets {
    size_t lo, scale, scaled_sum, sum;
} row_offsets;

V_INLINE row_offsets row_offsets_make(bool two_planes, int64_t columns) {
    size_t padded = tn_quantized_padded_columns(columns), blocks = padded / TN_QUANTIZED_BLOCK;
    row_offsets at = {.lo = padded, .scale = two_planes ? 2 * padded : padded};
    at.scaled_sum = at.scale + blocks * sizeof(float);
    at.sum = at.scaled_sum + blocks * sizeof(float);
    return at;
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

/* Adds one block's products of one plane (byte offset `plane` in each row) to sums. */
#define BLOCK_PRODUCTS(type, vectors, num_rows, rows, plane, sums)                          \
    do {                                                                                    \
        if ((type) == TN_STRIP_Q8_0) {                                                      \
            V_UNROLL for (int g = 0; g < 8; g++) {                                          \
                vb w = vb_load((vectors) + 64 * g);                                         \
                V_UNROLL for (int r = 0; r < (num_rows); r++)(sums)[r] =                    \
                    v_dot4_wide((sums)[r], w, (const int8_t *)(rows)[r] + (plane) + 4 * g); \
            }                                                                               \
        } else {                                                                            \
            V_UNROLL for (int v = 0; v < 4; v++) {                                          \
                vb both = vb_load((vectors) + 64 * v), w = vb_low_nibbles(both);            \
                V_UNROLL for (int r = 0; r < (num_rows); r++)(sums)[r] =                    \
                    v_dot4((sums)[r], w, (const int8_t *)(rows)[r] + (plane) + 8 * v);      \
                w = vb_high_nibbles(both);                                                  \
                V_UNROLL for (int r = 0; r < (num_rows); r++)(sums)[r] =                    \
                    v_dot4((sums)[r], w, (const int8_t *)(rows)[r] + (plane) + 8 * v + 4);  \
            }                                                                               \
        }                                                                                   \
    } while (0)

/* num_rows ≤ 8 rows against blocks [first, end) of one strip; adds to y. All but the last four arguments are constants. */
V_INLINE void integer_tile(const int num_rows, const tn_strip_type type, const bool two_planes, const uint8_t *strip,
                           const char *const *row_starts, const row_offsets *at, int64_t first, int64_t end, float *y, int64_t stride) {
    const char *rows[V_TILE_ROWS];
    vf total[V_TILE_ROWS];
    V_UNROLL for (int r = 0; r < num_rows; r++) {
        rows[r] = row_starts[r];
        total[r] = v_load(y + r * stride);
    }
    const size_t lo = at->lo, scale = at->scale, scaled_sum = at->scaled_sum, sum = at->sum;
    for (int64_t b = first; b < end; b++) {
        const uint8_t *vectors = block_vectors(type, strip, b);
        const uint16_t *scales = block_scales(type, strip, b);
        vi hi_sums[V_TILE_ROWS], lo_sums[V_TILE_ROWS];
        V_UNROLL for (int r = 0; r < num_rows; r++) {
            hi_sums[r] = vi_zero();
            lo_sums[r] = vi_zero();
        }
        size_t k = (size_t)b * TN_QUANTIZED_BLOCK;
        BLOCK_PRODUCTS(type, vectors, num_rows, rows, k, hi_sums);
        if (two_planes) BLOCK_PRODUCTS(type, vectors, num_rows, rows, lo + k, lo_sums);
        vf dw = v_load_f16(scales), mw = type == TN_STRIP_Q4_1 ? v_load_f16(scales + LANES) : v_zero();
        V_UNROLL for (int r = 0; r < num_rows; r++) {
            vi products = two_planes ? vi_add(vi_shl(hi_sums[r], 7), lo_sums[r]) : hi_sums[r];
            if (type != TN_STRIP_Q4_1) { /* weights are stored with an offset */
                int32_t q;
                memcpy(&q, rows[r] + sum + b * 4, sizeof q);
                products = vi_sub(products, vi_set1(q * (type == TN_STRIP_Q4_0 ? 8 : 128)));
            }
            float dx, sx;
            memcpy(&dx, rows[r] + scale + b * 4, sizeof dx);
            total[r] = v_fma(v_mul(v_from_int(products), dw), v_set1(dx), total[r]);
            if (type == TN_STRIP_Q4_1) {
                memcpy(&sx, rows[r] + scaled_sum + b * 4, sizeof sx);
                total[r] = v_fma(mw, v_set1(sx), total[r]);
            }
        }
    }
    V_UNROLL for (int r = 0; r < num_rows; r++) v_store(y + r * stride, total[r]);
}

/* All rows of a chunk against blocks [first, end) of one strip. */
V_INLINE void integer_strip(const tn_strip_type type, const bool two_planes, const uint8_t *strip, const char *const *rows,
                            int64_t num_rows, const row_offsets *at, int64_t first, int64_t end, float *y, int64_t stride) {
    int64_t r = 0;
    for (; V_TILE_ROWS == 8 && r + 8 <= num_rows; r += 8)
        integer_tile(V_TILE_ROWS, type, two_planes, strip, rows + r, at, first, end, y + r * stride, stride);
    if (V_TILE_ROWS >= 4 && r + 4 <= num_rows) {
        integer_tile(V_TILE_ROWS < 4 ? V_TILE_ROWS : 4, type, two_planes, strip, rows + r, at, first, end, y + r * stride, stride);
        r += 4;
    }
    if (V_TILE_ROWS >= 2 && r + 2 <= num_rows) {
        integer_tile(V_TILE_ROWS < 2 ? V_TILE_ROWS : 2, type, two_planes, strip, rows + r, at, first, end, y + r * stride, stride);
        r += 2;
    }
    for (; r < num_rows; r++) integer_tile(1, type, two_planes, strip, rows + r, at, first, end, y + r * stride, stride);
}

typedef void (*integer_strip_function)(const uint8_t *strip, const char *const *rows, int64_t num_rows, const row_offsets *at,
                                       int64_t first, int64_t end, float *y, int64_t stride);

#define INTEGER_STRIP(name, type, two_planes)                                                                                            \
    static void name(const uint8_t *strip, const char *const *rows, int64_t num_rows, const row_offsets *at, int64_t first, int64_t end, \
                     float *y, int64_t stride) {                                                                                         \
        integer_strip(type, two_planes, strip, rows, num_rows, at, first, end, y, stride);                                               \
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
