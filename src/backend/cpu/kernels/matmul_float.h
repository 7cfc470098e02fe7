/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul_float.h: y[m][n] = Σ_k x[m][k] · w[n][k] for one strip of 16 outputs, x float32, w any strip form.
 *
 * Shapes   x float32 [rows][k], w strip16, y float32 [rows][stride]
 * Order    k ascending, one accumulator an output, y = fma(w, x, y): the numerics f32_ascending
 * Method   Weights that are not float32 are decoded, 128 columns at a time, to 8 KB that stay in the first cache; then one
 *          float32 tile for all forms.
 * Bound    rows ≥ 8: float32 multiply-adds; fewer: the decoding
 */
#ifndef TN_BACKEND_CPU_MATMUL_FLOAT_H_
#define TN_BACKEND_CPU_MATMUL_FLOAT_H_

#include "backend/cpu/kernels/matmul_integer.h"

#define DECODE_COLUMNS 128

/* The four bytes j of each lane of an unpacked vector, as floats: columns ascending. */
V_INLINE vf byte_lane(vb bytes, int j) {
    vi lanes;
    memcpy(&lanes, &bytes, sizeof lanes);
    return v_from_int(vi_and(j == 0 ? lanes : j == 1 ? vi_shr(lanes, 8) : j == 2 ? vi_shr(lanes, 16) : vi_shr(lanes, 24), vi_set1(255)));
}

/* 32 columns of an expanded block as the encoding defines them: number · scale [+ minimum]. The product is exact. */
V_INLINE void decode_block(const tn_strip_form *form, const uint8_t *block, float *out) {
    vf offset = v_set1((float)form->offset);
    for (int g = 0; g < 8; g++) {
        int h = 4 * g / form->scale_columns;
        vf d = expanded_scale(block, h), m = form->has_minimum ? expanded_minimum(block, h) : v_zero();
        vb bytes = vb_load(block + 64 * g);
        for (int j = 0; j < 4; j++) {
            vf w = v_mul(v_sub(byte_lane(bytes, j), offset), d);
            v_store(out + (4 * g + j) * LANES, form->has_minimum ? v_add(w, m) : w);
        }
    }
}

/* Four columns of fp8 with their scale. A byte's seven bits under float32's sign are the value, 2^120 too small. */
V_INLINE void decode_e4m3(const uint8_t *strip, int64_t column, float *out) {
    const tn_strip_form *form = &tn_strip_forms[TN_STRIP_E4M3];
    const uint8_t *unit = strip + column / form->unit_columns * form->unit_bytes;
    vf scale = v_load((const float *)(const void *)(unit + form->unit_columns * LANES));
    vi lanes = vi_load((const int32_t *)(const void *)(unit + column % form->unit_columns * LANES));
    for (int j = 0; j < 4; j++) {
        vi byte = j == 0 ? lanes : j == 1 ? vi_shr(lanes, 8) : j == 2 ? vi_shr(lanes, 16) : vi_shr(lanes, 24);
        vi magnitude = vi_and(byte, vi_set1(127)), sign = vi_shl(vi_and(byte, vi_set1(128)), 24);
        vf value = v_mul(v_as_float(vi_or(sign, vi_shl(magnitude, 20))), v_set1(0x1p120f));
        value = v_select(v_equal(v_from_int(magnitude), v_set1(127.0f)), v_set1(NAN), value);
        v_store(out + j * LANES, v_mul(value, scale));
    }
}

/* Columns [first, first + count) of a strip as float32 [count][16]; first a multiple of DECODE_COLUMNS. */
static void decode_strip(tn_strip_type type, const uint8_t *strip, int64_t first, int64_t count, float *out) {
    const uint16_t *halves = (const uint16_t *)(const void *)strip;
    switch (type) {
    case TN_STRIP_F16:
        for (int64_t k = 0; k < count; k++) v_store(out + k * LANES, v_load_f16(halves + (first + k) * LANES));
        break;
    case TN_STRIP_BF16:
        for (int64_t k = 0; k < count; k++) {
            vi pairs = vi_load((const int32_t *)(const void *)strip + (first + k) / 2 * LANES);
            vi bits = k % 2 == 0 ? vi_shl(pairs, 16) : vi_and(pairs, vi_set1((int32_t)0xffff0000u));
            v_store(out + k * LANES, v_as_float(bits));
        }
        break;
    case TN_STRIP_E4M3:
        for (int64_t k = 0; k < count; k += 4) decode_e4m3(strip, first + k, out + k * LANES);
        break;
    case TN_STRIP_F32: break;
    default: {
        _Alignas(64) uint8_t blocks[DECODE_COLUMNS / 32 * EXPANDED_BYTES];
        expand_blocks(type, strip, first / 32, (first + count) / 32, 0, blocks);
        for (int64_t k = 0; k < count; k += 32) decode_block(&tn_strip_forms[type], blocks + k / 32 * EXPANDED_BYTES, out + k * LANES);
    }
    }
}

V_INLINE void float_tile(const int num_rows, const float *weights, const float *const *row_starts, int64_t count, float *y,
                         int64_t stride) {
    const float *rows[V_TILE_ROWS];
    vf total[V_TILE_ROWS];
    V_UNROLL for (int r = 0; r < num_rows; r++) {
        rows[r] = row_starts[r];
        total[r] = v_load(y + r * stride);
    }
    for (int64_t k = 0; k < count; k++) {
        vf w = v_load(weights + k * LANES);
        V_UNROLL for (int r = 0; r < num_rows; r++) total[r] = v_fma(w, v_set1(rows[r][k]), total[r]);
    }
    V_UNROLL for (int r = 0; r < num_rows; r++) v_store(y + r * stride, total[r]);
}

/* All rows of a chunk against columns [first, end) of one strip; adds to y. ahead: bytes of a strip that its next
 * DECODE_COLUMNS columns are asked for from memory while these are multiplied; 0: not. */
static void float_strip(tn_strip_type type, const uint8_t *strip, int64_t ahead, const char *const *rows, int64_t num_rows, int64_t first,
                        int64_t end, float *y, int64_t stride) {
    float decoded[DECODE_COLUMNS * LANES];
    for (int64_t k = first; k < end; k += DECODE_COLUMNS) {
        int64_t count = end - k < DECODE_COLUMNS ? end - k : DECODE_COLUMNS;
        const float *weights = decoded;
        const uint8_t *next = strip + tn_strip_bytes(type, k + count);
        for (int64_t i = 0; i < ahead; i += 64) v_prefetch(next + i);
        if (type == TN_STRIP_F32) {
            weights = (const float *)(const void *)strip + k * LANES;
        } else {
            decode_strip(type, strip, k, count, decoded);
        }
        int64_t step;
        for (int64_t r = 0; r < num_rows; r += step) {
            const float *x[V_TILE_ROWS];
            step = V_TILE_ROWS == 1 ? 1 : num_rows - r >= V_TILE_ROWS ? V_TILE_ROWS : num_rows - r >= 4 ? 4 : 1;
            for (int64_t i = 0; i < step; i++) x[i] = (const float *)(const void *)rows[r + i] + k;
            if (step == V_TILE_ROWS) {
                float_tile(V_TILE_ROWS, weights, x, count, y + r * stride, stride);
            } else if (step == 4) {
                float_tile(V_TILE_ROWS < 4 ? V_TILE_ROWS : 4, weights, x, count, y + r * stride, stride);
            } else {
                float_tile(1, weights, x, count, y + r * stride, stride);
            }
        }
    }
}

#endif
