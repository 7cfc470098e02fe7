/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf.cuh: weights in the blocks of GGUF's types, read as the file has them. op/gguf_blocks.h says what stands in a block, op/gguf_blocks.c
 * where; here the same by eight columns at a time, each a lane's or a thread's.
 *
 * A block type is a struct: BYTES of a block, VALUES of it, ALIGNMENT that all of its parts have; scale_of: the scale and what is
 * added, of eight columns; numbers_of: their numbers. value = scale · number + minimum, each rounded.
 */
#ifndef TN_BACKEND_CUDA_KERNELS_GGUF_CUH_
#define TN_BACKEND_CUDA_KERNELS_GGUF_CUH_

#include "backend/cuda/kernels/instructions.cuh"
#include "backend/cuda/kernels/matmul_args.h"

/* Eight bytes from an address that is a multiple of ALIGNMENT. */
template <int ALIGNMENT> __device__ __forceinline__ uint2 load_bytes(const uint8_t *at) {
    if constexpr (ALIGNMENT == 4) {
        return uint2{((const uint32_t *)at)[0], ((const uint32_t *)at)[1]};
    } else if constexpr (ALIGNMENT == 2) {
        const uint16_t *pairs = (const uint16_t *)at;
        return uint2{pairs[0] | (uint32_t)pairs[1] << 16, pairs[2] | (uint32_t)pairs[3] << 16};
    } else {
        return uint2{at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24,
                     at[4] | (uint32_t)at[5] << 8 | (uint32_t)at[6] << 16 | (uint32_t)at[7] << 24};
    }
}

/* Bits `shift` … of each byte, as far as `mask` (of one byte) goes. */
__device__ __forceinline__ uint2 take_bits(uint2 bytes, int shift, uint32_t mask) {
    return uint2{bytes.x >> shift & mask * 0x01010101u, bytes.y >> shift & mask * 0x01010101u};
}
__device__ __forceinline__ uint2 put_above(uint2 low, uint2 high, int bits) {
    return uint2{low.x | high.x << bits, low.y | high.y << bits};
}
__device__ __forceinline__ int byte_of(uint2 bytes, int i) {
    return (int)((i < 4 ? bytes.x : bytes.y) >> (i % 4 * 8) & 255u);
}

__device__ __forceinline__ float load_half(const uint8_t *at) {
    return to_float(*(const f16 *)at);
}

/* Four bits: bytes that hold 16 columns low and 16 high. eighth: which eight columns of the 32. */
template <int ALIGNMENT> __device__ __forceinline__ uint2 split_nibbles(const uint8_t *at, int eighth) {
    return take_bits(load_bytes<ALIGNMENT>(at + eighth % 2 * 8), eighth / 2 * 4, 15);
}
/* The fifth bits of 32 columns in a word. */
__device__ __forceinline__ uint2 spread_bits(uint32_t word, int eighth) {
    uint32_t bits = word >> (8 * eighth);
    return uint2{(bits & 1) | (bits & 2) << 7 | (bits & 4) << 14 | (bits & 8) << 21,
                 (bits >> 4 & 1) | (bits >> 5 & 1) << 8 | (bits >> 6 & 1) << 16 | (bits >> 7 & 1) << 24};
}

/* An entry of a table of 16 numbers, the first in the lowest byte. */
__device__ __forceinline__ int table_entry(uint64_t low, uint64_t high, int code) {
    return (int8_t)((code < 8 ? low : high) >> (code % 8 * 8));
}
__device__ __forceinline__ int iq4_number(int code) {
    return table_entry(0xf6eaddcfbfad9881ull, 0x7159453526190d01ull, code);
}

struct block_scale {
    float scale, minimum;
};

/* piece: which 32 columns of a block; eighth: which eight of them. */
struct gguf_q5_0 {
    enum { BYTES = 22, VALUES = 32, ALIGNMENT = 2, HAS_MINIMUM = 0 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int, int) { return {load_half(block), 0.0f}; }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int, int eighth) {
        uint32_t fifth = ((const uint16_t *)block)[1] | (uint32_t)((const uint16_t *)block)[2] << 16;
        return put_above(split_nibbles<2>(block + 6, eighth), spread_bits(fifth, eighth), 4);
    }
    static __device__ __forceinline__ int number_of(int code) { return code - 16; }
};

struct gguf_q5_1 {
    enum { BYTES = 24, VALUES = 32, ALIGNMENT = 4, HAS_MINIMUM = 1 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int, int) {
        return {load_half(block), load_half(block + 2)};
    }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int, int eighth) {
        return put_above(split_nibbles<4>(block + 8, eighth), spread_bits(*(const uint32_t *)(block + 4), eighth), 4);
    }
    static __device__ __forceinline__ int number_of(int code) { return code; }
};

struct gguf_q2_k {
    enum { BYTES = 84, VALUES = 256, ALIGNMENT = 4, HAS_MINIMUM = 1 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int piece, int eighth) {
        int integers = block[2 * piece + eighth / 2];
        return {__fmul_rn(load_half(block + 80), (float)(integers & 15)), -__fmul_rn(load_half(block + 82), (float)(integers >> 4))};
    }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int piece, int eighth) {
        return take_bits(load_bytes<4>(block + 16 + 32 * (piece / 4) + 8 * eighth), 2 * (piece % 4), 3);
    }
    static __device__ __forceinline__ int number_of(int code) { return code; }
};

struct gguf_q3_k {
    enum { BYTES = 110, VALUES = 256, ALIGNMENT = 2, HAS_MINIMUM = 0 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int piece, int eighth) {
        const uint8_t *packed = block + 96;
        int i = 2 * piece + eighth / 2, low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4, high = packed[8 + i % 4] >> 2 * (i / 4) & 3;
        return {__fmul_rn(load_half(block + 108), (float)((low | high << 4) - 32)), 0.0f};
    }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int piece, int eighth) {
        uint2 low = take_bits(load_bytes<2>(block + 32 + 32 * (piece / 4) + 8 * eighth), 2 * (piece % 4), 3);
        return put_above(low, take_bits(load_bytes<2>(block + 8 * eighth), piece, 1), 2);
    }
    static __device__ __forceinline__ int number_of(int code) { return code - 4; }
};

/* Scales and minima of six bits in twelve bytes. */
__device__ __forceinline__ block_scale six_bit_scale(const uint8_t *block, int piece) {
    const uint8_t *packed = block + 4;
    int scale = piece < 4 ? packed[piece] & 63 : (packed[piece + 4] & 15) | packed[piece - 4] >> 6 << 4;
    int minimum = piece < 4 ? packed[piece + 4] & 63 : packed[piece + 4] >> 4 | packed[piece] >> 6 << 4;
    return {__fmul_rn(load_half(block), (float)scale), -__fmul_rn(load_half(block + 2), (float)minimum)};
}

struct gguf_q4_k {
    enum { BYTES = 144, VALUES = 256, ALIGNMENT = 4, HAS_MINIMUM = 1 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int piece, int) { return six_bit_scale(block, piece); }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int piece, int eighth) {
        return take_bits(load_bytes<4>(block + 16 + 32 * (piece / 2) + 8 * eighth), 4 * (piece % 2), 15);
    }
    static __device__ __forceinline__ int number_of(int code) { return code; }
};

struct gguf_q5_k {
    enum { BYTES = 176, VALUES = 256, ALIGNMENT = 4, HAS_MINIMUM = 1 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int piece, int) { return six_bit_scale(block, piece); }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int piece, int eighth) {
        uint2 low = take_bits(load_bytes<4>(block + 48 + 32 * (piece / 2) + 8 * eighth), 4 * (piece % 2), 15);
        return put_above(low, take_bits(load_bytes<4>(block + 16 + 8 * eighth), piece, 1), 4);
    }
    static __device__ __forceinline__ int number_of(int code) { return code; }
};

struct gguf_q6_k {
    enum { BYTES = 210, VALUES = 256, ALIGNMENT = 2, HAS_MINIMUM = 0 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int piece, int eighth) {
        return {__fmul_rn(load_half(block + 208), (float)(int8_t)block[192 + 2 * piece + eighth / 2]), 0.0f};
    }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int piece, int eighth) {
        uint2 low = take_bits(load_bytes<2>(block + 64 * (piece / 4) + 32 * (piece % 2) + 8 * eighth), 4 * (piece / 2 % 2), 15);
        return put_above(low, take_bits(load_bytes<2>(block + 128 + 32 * (piece / 4) + 8 * eighth), 2 * (piece % 4), 3), 4);
    }
    static __device__ __forceinline__ int number_of(int code) { return code - 32; }
};

struct gguf_iq4_nl {
    enum { BYTES = 18, VALUES = 32, ALIGNMENT = 2, HAS_MINIMUM = 0 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int, int) { return {load_half(block), 0.0f}; }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int, int eighth) { return split_nibbles<2>(block + 2, eighth); }
    static __device__ __forceinline__ int number_of(int code) { return iq4_number(code); }
};

struct gguf_iq4_xs {
    enum { BYTES = 136, VALUES = 256, ALIGNMENT = 4, HAS_MINIMUM = 0 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int piece, int) {
        int low = block[4 + piece / 2] >> 4 * (piece % 2) & 15, high = block[2 + piece / 4] >> 2 * (piece % 4) & 3;
        return {__fmul_rn(load_half(block), (float)((low | high << 4) - 32)), 0.0f};
    }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int piece, int eighth) {
        return split_nibbles<4>(block + 8 + 16 * piece, eighth);
    }
    static __device__ __forceinline__ int number_of(int code) { return iq4_number(code); }
};

/* Numbers are twice the values of e2m1, the power of two is half of e8m0's. */
struct gguf_mxfp4 {
    enum { BYTES = 17, VALUES = 32, ALIGNMENT = 1, HAS_MINIMUM = 0 };
    static __device__ __forceinline__ block_scale scale_of(const uint8_t *block, int, int) {
        uint32_t exponent = block[0];
        return {__uint_as_float(exponent >= 2 ? (exponent - 1) << 23 : 0x00200000u << exponent), 0.0f};
    }
    static __device__ __forceinline__ uint2 codes_of(const uint8_t *block, int, int eighth) { return split_nibbles<1>(block + 1, eighth); }
    static __device__ __forceinline__ int number_of(int code) { return table_entry(0x0c08060403020100ull, 0xf4f8fafcfdfeff00ull, code); }
};

/* Columns 8 · group … + 7 of a row. */
template <typename B> __device__ __forceinline__ void decode_group(const uint8_t *row, int group, float (&y)[8]) {
    enum { GROUPS = B::VALUES / 8 };
    const uint8_t *block = row + (int64_t)(group / GROUPS) * B::BYTES;
    int piece = group % GROUPS / 4, eighth = group % 4;
    block_scale scale = B::scale_of(block, piece, eighth);
    uint2 codes = B::codes_of(block, piece, eighth);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        y[i] = __fmul_rn(scale.scale, (float)B::number_of(byte_of(codes, i)));
        if (B::HAS_MINIMUM) y[i] = __fadd_rn(y[i], scale.minimum);
    }
}

/* The same of row `row` of a product's weight (matmul_args.h). */
template <typename B> struct weight_blocks {
    static __device__ __forceinline__ void load8(const tn_cuda_args &args, long long row, int column, float (&v)[8]) {
        int64_t row_bytes = args.constants[TN_MATMUL_K] / B::VALUES * B::BYTES;
        decode_group<B>((const uint8_t *)args.buffers[1] + row * row_bytes, column / 8, v);
    }
};

#define FOR_GGUF_BLOCKS(X) X(q5_0) X(q5_1) X(q2_k) X(q3_k) X(q4_k) X(q5_k) X(q6_k) X(iq4_nl) X(iq4_xs) X(mxfp4)

#endif
