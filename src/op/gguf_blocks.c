/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_blocks.c: see gguf_blocks.h. Sizes are given as what a block holds, so that each line can be checked against the format.
 */
#include "op/gguf_blocks.h"

#include <math.h>
#include <string.h>

#include "op/encoding.h"

static const int8_t iq4_table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
/* twice the values of e2m1; the scale is halved */
static const int8_t mxfp4_table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* number, name, bytes, values, scale at, minimum at, bits, scale columns, offset, table, storage */
static const tn_gguf_block_type types[] = {
    {TN_GGUF_Q4_0, "q4_0", 2 + 16, 32, 0, -1, 4, 0, 8, NULL, TN_INT4},
    {TN_GGUF_Q4_1, "q4_1", 2 + 2 + 16, 32, 0, 2, 4, 0, 0, NULL, TN_UINT4},
    {TN_GGUF_Q5_0, "q5_0", 2 + 4 + 16, 32, 0, -1, 5, 0, 16, NULL, TN_INT8},
    {TN_GGUF_Q5_1, "q5_1", 2 + 2 + 4 + 16, 32, 0, 2, 5, 0, 0, NULL, TN_UINT8},
    {TN_GGUF_Q8_0, "q8_0", 2 + 32, 32, 0, -1, 8, 0, 128, NULL, TN_INT8},
    {TN_GGUF_Q2_K, "q2_k", 16 + 64 + 2 + 2, 256, 80, 82, 2, 16, 0, NULL, TN_UINT2},
    {TN_GGUF_Q3_K, "q3_k", 32 + 64 + 12 + 2, 256, 108, -1, 3, 16, 4, NULL, TN_INT4},
    {TN_GGUF_Q4_K, "q4_k", 2 + 2 + 12 + 128, 256, 0, 2, 4, 32, 0, NULL, TN_UINT4},
    {TN_GGUF_Q5_K, "q5_k", 2 + 2 + 12 + 32 + 128, 256, 0, 2, 5, 32, 0, NULL, TN_UINT8},
    {TN_GGUF_Q6_K, "q6_k", 128 + 64 + 16 + 2, 256, 208, -1, 6, 16, 32, NULL, TN_INT8},
    {TN_GGUF_IQ4_NL, "iq4_nl", 2 + 16, 32, 0, -1, 4, 0, 127, iq4_table, TN_UINT4},
    {TN_GGUF_IQ4_XS, "iq4_xs", 2 + 2 + 4 + 128, 256, 0, -1, 4, 32, 127, iq4_table, TN_UINT4},
    {TN_GGUF_MXFP4, "mxfp4", 1 + 16, 32, 0, -1, 4, 0, 12, mxfp4_table, TN_UINT4},
};
enum { NUM_TYPES = sizeof types / sizeof types[0], HALF = 16 };

size_t tn_gguf_num_block_types(void) {
    return NUM_TYPES;
}

const tn_gguf_block_type *tn_gguf_block_type_at(size_t index) {
    return &types[index];
}

const tn_gguf_block_type *tn_gguf_block_type_find(uint32_t number) {
    for (size_t i = 0; i < NUM_TYPES; i++)
        if (types[i].number == number) return &types[i];
    return NULL;
}

/* --- codes ---------------------------------------------------------------------------------------------------------------- */

/* Where the low four bits of a piece stand: bytes that hold 16 columns low and 16 high (`is_split`), or all 32 columns in one
 * half of 32 bytes. */
typedef struct nibble_place {
    int at, shift;
    bool is_split;
} nibble_place;

static nibble_place find_nibbles(uint32_t number, int piece) {
    switch (number) {
    case TN_GGUF_Q4_0:
    case TN_GGUF_IQ4_NL: return (nibble_place){2, 0, true};
    case TN_GGUF_Q4_1: return (nibble_place){4, 0, true};
    case TN_GGUF_Q5_0: return (nibble_place){6, 0, true};
    case TN_GGUF_Q5_1: return (nibble_place){8, 0, true};
    case TN_GGUF_MXFP4: return (nibble_place){1, 0, true};
    case TN_GGUF_IQ4_XS: return (nibble_place){8 + 16 * piece, 0, true};
    case TN_GGUF_Q4_K: return (nibble_place){16 + 32 * (piece / 2), 4 * (piece % 2), false};
    case TN_GGUF_Q5_K: return (nibble_place){48 + 32 * (piece / 2), 4 * (piece % 2), false};
    default: return (nibble_place){64 * (piece / 4) + 32 * (piece % 2), 4 * (piece / 2 % 2), false}; /* Q6_K */
    }
}

/* Bits above the low four (Q3_K: two), of all 32 columns in 32 bytes. */
typedef struct high_place {
    int at, shift, mask, to;
} high_place;

static high_place find_high_bits(uint32_t number, int piece) {
    switch (number) {
    case TN_GGUF_Q3_K: return (high_place){0, piece, 1, 2};
    case TN_GGUF_Q5_K: return (high_place){16, piece, 1, 4};
    case TN_GGUF_Q6_K: return (high_place){128 + 32 * (piece / 4), 2 * (piece % 4), 3, 4};
    default: return (high_place){0, 0, 0, 0};
    }
}

static int pair_bits_at(uint32_t number, int piece) {
    return (number == TN_GGUF_Q2_K ? 16 : 32) + 32 * (piece / 4);
}

static uint32_t load_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void tn_gguf_load_codes(const tn_gguf_block_type *type, const uint8_t *block, int piece, uint8_t codes[TN_GGUF_PIECE]) {
    uint32_t number = type->number;
    if (number == TN_GGUF_Q8_0) { /* stored with a sign */
        for (int i = 0; i < TN_GGUF_PIECE; i++) codes[i] = block[2 + i] ^ 0x80;
        return;
    }
    if (type->code_bits < 4) {
        const uint8_t *pairs = block + pair_bits_at(number, piece);
        for (int i = 0; i < TN_GGUF_PIECE; i++) codes[i] = pairs[i] >> 2 * (piece % 4) & 3;
    } else {
        nibble_place place = find_nibbles(number, piece);
        const uint8_t *nibbles = block + place.at;
        for (int i = 0; i < TN_GGUF_PIECE && !place.is_split; i++) codes[i] = nibbles[i] >> place.shift & 15;
        for (int i = 0; i < HALF && place.is_split; i++) {
            codes[i] = nibbles[i] & 15;
            codes[i + HALF] = nibbles[i] >> 4;
        }
    }
    high_place high = find_high_bits(number, piece);
    const uint8_t *bits = block + high.at;
    for (int i = 0; i < TN_GGUF_PIECE && high.mask != 0; i++)
        codes[i] = (uint8_t)(codes[i] | (bits[i] >> high.shift & high.mask) << high.to);
    if (number == TN_GGUF_Q5_0 || number == TN_GGUF_Q5_1) {
        uint32_t fifth = load_u32(block + (number == TN_GGUF_Q5_0 ? 2 : 4));
        for (int i = 0; i < TN_GGUF_PIECE; i++) codes[i] = (uint8_t)(codes[i] | (fifth >> i & 1) << 4);
    }
}

void tn_gguf_store_codes(const tn_gguf_block_type *type, uint8_t *block, int piece, const uint8_t codes[TN_GGUF_PIECE]) {
    uint32_t number = type->number;
    if (number == TN_GGUF_Q8_0) {
        for (int i = 0; i < TN_GGUF_PIECE; i++) block[2 + i] = codes[i] ^ 0x80;
        return;
    }
    if (type->code_bits < 4) {
        uint8_t *pairs = block + pair_bits_at(number, piece);
        for (int i = 0; i < TN_GGUF_PIECE; i++) pairs[i] = (uint8_t)(pairs[i] | (codes[i] & 3) << 2 * (piece % 4));
    } else {
        nibble_place place = find_nibbles(number, piece);
        uint8_t *nibbles = block + place.at;
        for (int i = 0; i < TN_GGUF_PIECE && !place.is_split; i++) nibbles[i] = (uint8_t)(nibbles[i] | (codes[i] & 15) << place.shift);
        for (int i = 0; i < HALF && place.is_split; i++) nibbles[i] = (uint8_t)((codes[i] & 15) | (codes[i + HALF] & 15) << 4);
    }
    high_place high = find_high_bits(number, piece);
    uint8_t *bits = block + high.at;
    for (int i = 0; i < TN_GGUF_PIECE && high.mask != 0; i++)
        bits[i] = (uint8_t)(bits[i] | (codes[i] >> high.to & high.mask) << high.shift);
    if (number == TN_GGUF_Q5_0 || number == TN_GGUF_Q5_1) {
        uint8_t *fifth = block + (number == TN_GGUF_Q5_0 ? 2 : 4);
        for (int i = 0; i < TN_GGUF_PIECE; i++) fifth[i / 8] = (uint8_t)(fifth[i / 8] | (codes[i] >> 4 & 1) << i % 8);
    }
}

/* --- small integers ------------------------------------------------------------------------------------------------------- */

/* Q4_K and Q5_K: scales and minima of six bits in twelve bytes: those of pieces 0…3 whole, of the later ones four bits in
 * bytes 8…11 and two on top of the early ones. */
static tn_gguf_integers load_six_bits(const uint8_t *packed, int piece) {
    uint8_t scale, minimum;
    if (piece < 4) {
        scale = packed[piece] & 63;
        minimum = packed[piece + 4] & 63;
    } else {
        scale = (uint8_t)((packed[piece + 4] & 15) | packed[piece - 4] >> 6 << 4);
        minimum = (uint8_t)(packed[piece + 4] >> 4 | packed[piece] >> 6 << 4);
    }
    return (tn_gguf_integers){{(int8_t)scale, (int8_t)scale}, {minimum, minimum}};
}

static void store_six_bits(uint8_t *packed, int piece, tn_gguf_integers integers) {
    uint8_t scale = (uint8_t)integers.scale[0], minimum = integers.minimum[0];
    if (piece < 4) {
        packed[piece] |= scale & 63;
        packed[piece + 4] |= minimum & 63;
    } else {
        packed[piece + 4] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
        packed[piece - 4] = (uint8_t)(packed[piece - 4] | (scale >> 4 & 3) << 6);
        packed[piece] = (uint8_t)(packed[piece] | (minimum >> 4 & 3) << 6);
    }
}

/* Q3_K: sixteen scales of six bits, 32 too large: four bits in bytes 0…7 (low, then high halves), two in bytes 8…11. */
static int8_t load_q3_scale(const uint8_t *packed, int index) {
    int low = index < 8 ? packed[index] & 15 : packed[index - 8] >> 4, high = packed[8 + index % 4] >> 2 * (index / 4) & 3;
    return (int8_t)((low | high << 4) - 32);
}

static void store_q3_scale(uint8_t *packed, int index, int8_t scale) {
    int stored = scale + 32;
    packed[index % 8] = (uint8_t)(packed[index % 8] | (stored & 15) << 4 * (index / 8));
    packed[8 + index % 4] = (uint8_t)(packed[8 + index % 4] | (stored >> 4 & 3) << 2 * (index / 4));
}

/* IQ4_XS: eight scales of six bits, 32 too large: two bits in the 16-bit number at 2, four in bytes 4…7. */
static int8_t load_iq4_scale(const uint8_t *block, int piece) {
    int low = block[4 + piece / 2] >> 4 * (piece % 2) & 15, high = block[2 + piece / 4] >> 2 * (piece % 4) & 3;
    return (int8_t)((low | high << 4) - 32);
}

static void store_iq4_scale(uint8_t *block, int piece, int8_t scale) {
    int stored = scale + 32;
    block[4 + piece / 2] = (uint8_t)(block[4 + piece / 2] | (stored & 15) << 4 * (piece % 2));
    block[2 + piece / 4] = (uint8_t)(block[2 + piece / 4] | (stored >> 4 & 3) << 2 * (piece % 4));
}

tn_gguf_integers tn_gguf_load_integers(const tn_gguf_block_type *type, const uint8_t *block, int piece) {
    tn_gguf_integers integers = {{0, 0}, {0, 0}};
    switch (type->number) {
    case TN_GGUF_Q4_K:
    case TN_GGUF_Q5_K: return load_six_bits(block + 4, piece);
    case TN_GGUF_IQ4_XS: integers.scale[0] = integers.scale[1] = load_iq4_scale(block, piece); return integers;
    default: break;
    }
    for (int half = 0; half < 2; half++) {
        int index = 2 * piece + half;
        if (type->number == TN_GGUF_Q2_K) {
            integers.scale[half] = block[index] & 15;
            integers.minimum[half] = block[index] >> 4;
        } else {
            integers.scale[half] = type->number == TN_GGUF_Q3_K ? load_q3_scale(block + 96, index) : (int8_t)block[192 + index];
        }
    }
    return integers;
}

void tn_gguf_store_integers(const tn_gguf_block_type *type, uint8_t *block, int piece, tn_gguf_integers integers) {
    switch (type->number) {
    case TN_GGUF_Q4_K:
    case TN_GGUF_Q5_K: store_six_bits(block + 4, piece, integers); return;
    case TN_GGUF_IQ4_XS: store_iq4_scale(block, piece, integers.scale[0]); return;
    default: break;
    }
    for (int half = 0; half < 2; half++) {
        int index = 2 * piece + half;
        if (type->number == TN_GGUF_Q2_K)
            block[index] = (uint8_t)((integers.scale[half] & 15) | (integers.minimum[half] & 15) << 4);
        else if (type->number == TN_GGUF_Q3_K)
            store_q3_scale(block + 96, index, integers.scale[half]);
        else
            block[192 + index] = (uint8_t)integers.scale[half];
    }
}

/* --- values --------------------------------------------------------------------------------------------------------------- */

static float load_f16(const uint8_t *bytes) {
    return tn_f32_from_f16((uint16_t)(bytes[0] | bytes[1] << 8));
}

void tn_gguf_decode_piece(const tn_gguf_block_type *type, const uint8_t *block, int piece, float out[TN_GGUF_PIECE]) {
    uint8_t codes[TN_GGUF_PIECE];
    tn_gguf_load_codes(type, block, piece, codes);
    bool has_minimum = type->minimum_at >= 0;
    float d = type->number == TN_GGUF_MXFP4 ? ldexpf(1.0f, block[0] - 128) : load_f16(block + type->scale_at);
    float m = has_minimum ? load_f16(block + type->minimum_at) : 0.0f;
    float scale[2] = {d, d}, minimum[2] = {m, m};
    if (type->scale_columns > 0) {
        tn_gguf_integers integers = tn_gguf_load_integers(type, block, piece);
        for (int half = 0; half < 2; half++) {
            scale[half] = d * (float)integers.scale[half];
            minimum[half] = -(m * (float)integers.minimum[half]);
        }
    }
    for (int i = 0; i < TN_GGUF_PIECE; i++) {
        int number = type->table != NULL ? type->table[codes[i]] : codes[i] - type->offset;
        float value = scale[i / HALF] * (float)number;
        out[i] = has_minimum ? value + minimum[i / HALF] : value;
    }
}

/* --- encoding ------------------------------------------------------------------------------------------------------------- */

static void store_f16(uint8_t *bytes, float value) {
    uint16_t bits = tn_f16_from_f32(value);
    bytes[0] = (uint8_t)bits;
    bytes[1] = (uint8_t)(bits >> 8);
}

/* 0 … 15 of a value that is 0.5 above its level; NaN → 0 */
static uint8_t nibble(float shifted) {
    return (uint8_t)(shifted >= 15.0f ? 15.0f : shifted >= 0.0f ? shifted : 0.0f);
}

static void encode_q4_0(const float *x, uint8_t *block) {
    float extreme = x[0];
    for (int i = 1; i < 32; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    float d = extreme / -8.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    store_f16(block, d);
    for (int i = 0; i < 16; i++) {
        float low = x[i] * inverse + 8.5f, high = x[i + 16] * inverse + 8.5f;
        block[2 + i] = (uint8_t)(nibble(low) | nibble(high) << 4);
    }
}

static void encode_q4_1(const float *x, uint8_t *block) {
    float least = x[0], largest = x[0];
    for (int i = 1; i < 32; i++) {
        least = fminf(least, x[i]);
        largest = fmaxf(largest, x[i]);
    }
    float d = (largest - least) / 15.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    store_f16(block, d);
    store_f16(block + 2, least);
    for (int i = 0; i < 16; i++) {
        float low = (x[i] - least) * inverse + 0.5f, high = (x[i + 16] - least) * inverse + 0.5f;
        block[4 + i] = (uint8_t)(nibble(low) | nibble(high) << 4);
    }
}

static void encode_q8_0(const float *x, uint8_t *block) {
    float largest = 0.0f;
    for (int i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(x[i]));
    float d = largest / 127.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    store_f16(block, d);
    for (int i = 0; i < 32; i++) {
        float q = roundf(x[i] * inverse); /* half away from zero, as GGUF's writers do */
        block[2 + i] = (uint8_t)(int8_t)(q >= 127.0f ? 127.0f : q >= -128.0f ? q : 0.0f);
    }
}

tn_gguf_encoder tn_gguf_encoder_of(const tn_gguf_block_type *type) {
    switch (type->number) {
    case TN_GGUF_Q4_0: return encode_q4_0;
    case TN_GGUF_Q4_1: return encode_q4_1;
    case TN_GGUF_Q8_0: return encode_q8_0;
    default: return NULL;
    }
}
