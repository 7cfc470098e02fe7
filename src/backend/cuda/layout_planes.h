/* SPDX-License-Identifier: Apache-2.0
 *
 * layout_planes.h: GGUF weights of 32-value blocks as two planes, so that 16 bytes are one aligned load. Plain C for host and
 * kernels.
 *
 * Rows are all dimensions but the last, flattened; columns are a multiple of 32. First the quants of all rows, one row after
 * another; then, from a multiple of 64 on, the scales of all rows, one row after another:
 *
 *     planes_q4_0   16 B a block, four bits a value          2 B: f16 scale
 *     planes_q4_1   the same                                 4 B: f16 scale, f16 minimum
 *     planes_q8_0   32 B a block, byte i: value i + 128      2 B: f16 scale
 *
 * Four bits: 32-bit word w of a block holds values 8w … 8w+7, value 8w + 2p at bits 4p and value 8w + 2p + 1 at bits 16 + 4p:
 * (word >> 4p) & 0x000f000f is a pair of neighbours, ready to become two 16-bit floats. A value is scale · (q − 8) in q4_0,
 * scale · q + minimum in q4_1, scale · (q − 128) in q8_0.
 */
#ifndef TN_BACKEND_CUDA_LAYOUT_PLANES_H_
#define TN_BACKEND_CUDA_LAYOUT_PLANES_H_

#include <stdint.h>

#define TN_PLANES_BLOCK 32 /* values */

typedef enum tn_planes_type { TN_PLANES_Q4_0 = 0, TN_PLANES_Q4_1, TN_PLANES_Q8_0, TN_NUM_PLANES_TYPES } tn_planes_type;

/* Bytes of one block in either plane. */
static inline int64_t tn_planes_quant_bytes(tn_planes_type type) {
    return type == TN_PLANES_Q8_0 ? 32 : 16;
}
static inline int64_t tn_planes_scale_bytes(tn_planes_type type) {
    return type == TN_PLANES_Q4_1 ? 4 : 2;
}

/* Byte offsets from the weight's start: of the quants and of the scale of a row's block. */
static inline int64_t tn_planes_quant_offset(tn_planes_type type, int64_t columns, int64_t row, int64_t block) {
    return (row * (columns / TN_PLANES_BLOCK) + block) * tn_planes_quant_bytes(type);
}
static inline int64_t tn_planes_scale_plane(tn_planes_type type, int64_t rows, int64_t columns) {
    return (rows * (columns / TN_PLANES_BLOCK) * tn_planes_quant_bytes(type) + 63) / 64 * 64;
}
static inline int64_t tn_planes_scale_offset(tn_planes_type type, int64_t rows, int64_t columns, int64_t row, int64_t block) {
    return tn_planes_scale_plane(type, rows, columns) + (row * (columns / TN_PLANES_BLOCK) + block) * tn_planes_scale_bytes(type);
}
/* A multiple of 64. */
static inline int64_t tn_planes_bytes(tn_planes_type type, int64_t rows, int64_t columns) {
    return tn_planes_scale_plane(type, rows, columns) + (rows * (columns / TN_PLANES_BLOCK) * tn_planes_scale_bytes(type) + 63) / 64 * 64;
}

/* The bit of its 32-bit word at which value i (0 … 7) of a word of four-bit quants starts. */
static inline int tn_planes_nibble_shift(int i) {
    return i / 2 * 4 + i % 2 * 16;
}

/* The quant of value i (0 … 31) of the block that starts at `quants`, as its scale multiplies it: −8 … 7, 0 … 15, −128 … 127. */
static inline int tn_planes_quant(tn_planes_type type, const void *quants, int i) {
    if (type == TN_PLANES_Q8_0) return (int)((const uint8_t *)quants)[i] - 128;
    uint32_t word = ((const uint32_t *)quants)[i / 8];
    int q = (int)(word >> tn_planes_nibble_shift(i % 8) & 15u);
    return type == TN_PLANES_Q4_0 ? q - 8 : q;
}

#endif
