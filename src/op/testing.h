/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: random weights in any GGUF encoding, for tests and benchmarks of everything above op.
 */
#ifndef TN_OP_TESTING_H_
#define TN_OP_TESTING_H_

#include <string.h>

#include "op/encoding.h"
#include "op/gguf_blocks.h"

/* Blocks of random codes and small integers, with scales that keep values in about [−1, 1]. blocks: tn_encoding_part_bytes */
static inline void tn_test_fill_blocks(const tn_encoding *encoding, uint64_t seed, size_t size_bytes, uint8_t *blocks) {
    const tn_gguf_block_type *type = tn_gguf_block_type_find(encoding->gguf_type);
    if (type == NULL) return;
    for (size_t i = 0; i < size_bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        blocks[i] = (uint8_t)(seed >> 40);
    }
    double largest = type->table != NULL ? (double)type->offset : (double)(1 << type->code_bits);
    if (type->scale_columns > 0) largest *= type->number == TN_GGUF_Q6_K ? 128.0 : type->number == TN_GGUF_Q2_K ? 16.0 : 64.0;
    for (size_t i = 0; i + type->size_bytes <= size_bytes; i += type->size_bytes) {
        double spread = (0.5 + (double)blocks[i + type->size_bytes / 2u] / 256.0) / largest;
        if (type->number == TN_GGUF_MXFP4)
            blocks[i] = (uint8_t)(123 + blocks[i] % 4);
        else
            tn_dtype_store(TN_FLOAT16, blocks + i + type->scale_at, 0, spread);
        if (type->minimum_at >= 0) tn_dtype_store(TN_FLOAT16, blocks + i + type->minimum_at, 0, type->scale_columns > 0 ? spread : -0.5);
    }
}

#endif
