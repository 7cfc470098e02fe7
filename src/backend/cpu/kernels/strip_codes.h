/* SPDX-License-Identifier: Apache-2.0
 *
 * strip_codes.h: codes and scales of a strip's blocks, in any form (layout_strip16.h), as kernels use them: unsigned bytes of four
 * columns a lane, `offset` above the numbers they stand for, and float32 scales and minima.
 *
 * An expanded block is the one form that all others have in common: 8 vectors of codes, then 16 float32 scales for each half of
 * the block (the second only where 16 columns share a scale), then as many minima.
 */
#ifndef TN_BACKEND_CPU_STRIP_CODES_H_
#define TN_BACKEND_CPU_STRIP_CODES_H_

#include "backend/cpu/kernels/vec16.h"
#include "backend/cpu/layout_strip16.h"

enum {
    EXPANDED_SCALES = 512,
    EXPANDED_MINIMA = 512 + 2 * 64,
    EXPANDED_BYTES = 512 + 4 * 64,
    EXPANDED_BLOCKS = 8 /* at a time: 6 KB of the first cache */
};

/* Four columns, group g of a block: their codes, or what a table has for them. */
V_INLINE vb group_codes(const tn_strip_type type, const uint8_t *vectors, const int g) {
    const int bits = tn_strip_forms[type].code_bits;
    if (bits == 8) return vb_load(vectors + 64 * g);
    vb codes = vb_load(vectors + (bits >= 4 ? 64 * (g / 2) : 64 * (g / 4)));
    if (bits < 4) codes = vb_bits(codes, 2 * (g % 4), 3);
    if (bits >= 4) codes = g % 2 == 0 ? vb_low_nibbles(codes) : vb_high_nibbles(codes);
    if (type == TN_STRIP_IQ4_NL || type == TN_STRIP_IQ4_XS) codes = vb_lookup(tn_strip_iq4_table, codes);
    if (type == TN_STRIP_MXFP4 || type == TN_STRIP_MX_E2M1) codes = vb_lookup(tn_strip_mxfp4_table, codes);
    if (bits == 6) codes = vb_or(codes, vb_bits(vb_load(vectors + 256 + 64 * (g / 4)), 2 * (g % 4) - 4, 3 << 4));
    if (bits == 5) codes = vb_or(codes, vb_bits(vb_load(vectors + 256), g - 4, 1 << 4));
    if (bits == 3) codes = vb_or(codes, vb_bits(vb_load(vectors + 128), g - 2, 1 << 2));
    return codes;
}

/* 2^(e − 128) of 16 bytes e, in two factors because the smallest are subnormal. */
V_INLINE vf load_halved_powers(const uint8_t *exponents) {
    vi e = vi_and(vi_load_i8((const int8_t *)exponents), vi_set1(255)), half = vi_shr(e, 1), bias = vi_set1(63);
    return v_mul(v_as_float(vi_shl(vi_add(half, bias), 23)), v_as_float(vi_shl(vi_add(vi_sub(e, half), bias), 23)));
}

/* Scales and minima of half h (or all) of block b. */
V_INLINE const uint8_t *own_scales(const tn_strip_type type, const uint8_t *strip, int64_t b, const int h) {
    const tn_strip_form *form = &tn_strip_forms[type];
    return tn_strip_unit_scales(type, strip, b) + b % (form->unit_columns / 32) * tn_strip_scale_bytes(type, 32) +
           h * tn_strip_scale_bytes(type, form->scale_columns);
}
V_INLINE vf unit_scale(const tn_strip_type type, const uint8_t *strip, int64_t b, const int which) {
    const uint8_t *at = tn_strip_unit_scales(type, strip, b) + tn_strip_scale_bytes(type, tn_strip_forms[type].unit_columns) + 32 * which;
    return v_load_f16((const uint16_t *)(const void *)at);
}
V_INLINE vf block_scale(const tn_strip_type type, const uint8_t *strip, int64_t b, const int h) {
    const uint8_t *own = own_scales(type, strip, b, h);
    if (type == TN_STRIP_MXFP4 || type == TN_STRIP_MX_E2M1) return load_halved_powers(own);
    if (tn_strip_forms[type].is_affine) return v_load((const float *)(const void *)own);
    if (!tn_strip_forms[type].has_integers) return v_load_f16((const uint16_t *)(const void *)own);
    return v_mul(unit_scale(type, strip, b, 0), v_from_int(vi_load_i8((const int8_t *)own)));
}
V_INLINE vf block_minimum(const tn_strip_type type, const uint8_t *strip, int64_t b, const int h) {
    const uint8_t *own = own_scales(type, strip, b, h);
    if (tn_strip_forms[type].is_affine) { /* scale · (code − zero) */
        const float *scales = (const float *)(const void *)own;
        return v_negate(v_mul(v_load(scales + LANES), v_load(scales)));
    }
    if (!tn_strip_forms[type].has_integers) return v_load_f16((const uint16_t *)(const void *)own + LANES);
    return v_negate(v_mul(unit_scale(type, strip, b, 1), v_from_int(vi_load_i8((const int8_t *)own + LANES))));
}

V_INLINE vf expanded_scale(const uint8_t *block, int h) {
    return v_load((const float *)(const void *)(block + EXPANDED_SCALES + 64 * h));
}
V_INLINE vf expanded_minimum(const uint8_t *block, int h) {
    return v_load((const float *)(const void *)(block + EXPANDED_MINIMA + 64 * h));
}

V_INLINE void expand_form(const tn_strip_type type, const uint8_t *strip, int64_t first, int64_t end, int64_t ahead, uint8_t *out) {
    const tn_strip_form *form = &tn_strip_forms[type];
    for (int64_t b = first; b < end; b++, out += EXPANDED_BYTES) {
        const uint8_t *vectors = tn_strip_block(type, strip, b);
        for (int v = 0; v < form->code_bits && ahead > 0; v++) v_prefetch(vectors + 64 * v + ahead);
        V_UNROLL for (int g = 0; g < 8; g++) vb_store(out + 64 * g, group_codes(type, vectors, g));
        for (int h = 0; h < 32 / form->scale_columns; h++) {
            v_store((float *)(void *)(out + EXPANDED_SCALES + 64 * h), block_scale(type, strip, b, h));
            if (form->has_minimum) v_store((float *)(void *)(out + EXPANDED_MINIMA + 64 * h), block_minimum(type, strip, b, h));
        }
    }
}

/* Blocks [first, end) of a strip, expanded. ahead: so many bytes behind them are asked for from memory. */
static void expand_blocks(tn_strip_type type, const uint8_t *strip, int64_t first, int64_t end, int64_t ahead, uint8_t *out) {
    switch (type) {
#define EXPAND(form, name) \
    case TN_STRIP_##form: expand_form(TN_STRIP_##form, strip, first, end, ahead, out); break;
        TN_STRIP_CODE_FORMS(EXPAND)
#undef EXPAND
    default: break;
    }
}

#endif
