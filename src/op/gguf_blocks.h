/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_blocks.h: what stands in the blocks of GGUF's quantised types. All of them are one thing with other numbers:
 *
 *     value = scale · number(code) [+ minimum]
 *
 * A code is an unsigned number of `code_bits`; its number is code − offset, or an entry of a table. Scale and minimum are the
 * block's float16, in blocks of 256 times a small integer for each 16 or 32 columns (the minimum then subtracted). A block is
 * read a *piece* of 32 columns at a time: its codes and its small integers. Packed forms of weights are made of the same two,
 * so that decoding and packing share this one description of where the bits are.
 */
#ifndef TN_OP_GGUF_BLOCKS_H_
#define TN_OP_GGUF_BLOCKS_H_

#include <stddef.h>
#include <stdint.h>

#include "op/dtype.h"

#define TN_GGUF_PIECE 32

typedef struct tn_gguf_block_type {
    uint32_t number;
    const char *name;
    uint16_t size_bytes, values;  /* of a block */
    int16_t scale_at, minimum_at; /* where its float16 stand; −1: no minimum. MXFP4's scale is one e8m0 byte */
    uint8_t code_bits;
    uint8_t scale_columns; /* that share a small integer: 16 or 32; 0: there are none */
    int16_t offset;        /* a number is code − offset; with a table: no entry is below −offset */
    const int8_t *table;   /* [16] or NULL */
    tn_dtype storage;      /* the least type that holds a code or number */
} tn_gguf_block_type;

size_t tn_gguf_num_block_types(void);
const tn_gguf_block_type *tn_gguf_block_type_at(size_t index);
const tn_gguf_block_type *tn_gguf_block_type_find(uint32_t number); /* NULL: none here */

/* The small integers of a piece: scale (and, where there is one, minimum) of columns 0…15 and 16…31. */
typedef struct tn_gguf_integers {
    int8_t scale[2];
    uint8_t minimum[2];
} tn_gguf_integers;

void tn_gguf_load_codes(const tn_gguf_block_type *type, const uint8_t *block, int piece, uint8_t codes[TN_GGUF_PIECE]);
/* Only for types that have scale_columns. */
tn_gguf_integers tn_gguf_load_integers(const tn_gguf_block_type *type, const uint8_t *block, int piece);
/* The inverses; they set bits in a block that was all zeros. */
void tn_gguf_store_codes(const tn_gguf_block_type *type, uint8_t *block, int piece, const uint8_t codes[TN_GGUF_PIECE]);
void tn_gguf_store_integers(const tn_gguf_block_type *type, uint8_t *block, int piece, tn_gguf_integers integers);

/* The values of a piece, bit for bit those of the format's own package. */
void tn_gguf_decode_piece(const tn_gguf_block_type *type, const uint8_t *block, int piece, float out[TN_GGUF_PIECE]);
/* What makes one block of its values: Q4_0, Q4_1 and Q8_0; NULL: not built for the type. */
typedef void (*tn_gguf_encoder)(const float *values, uint8_t *block);
tn_gguf_encoder tn_gguf_encoder_of(const tn_gguf_block_type *type);

#endif
