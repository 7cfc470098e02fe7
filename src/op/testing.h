/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: random weights in encodings that nothing here writes, for tests and benchmarks of everything above op.
 */
#ifndef TN_OP_TESTING_H_
#define TN_OP_TESTING_H_

#include <string.h>

#include "op/encoding.h"
#include "op/gguf_blocks.h"

static inline void tn_test_random_bytes(uint64_t seed, size_t size_bytes, uint8_t *bytes) {
    for (size_t i = 0; i < size_bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(seed >> 40);
    }
}

static inline void tn_test_scale_blocks(const tn_gguf_block_type *type, size_t size_bytes, uint8_t *blocks) {
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

/* Random numbers with scales that keep values in about [−1, 1], in a GGUF, AFFINE or MX encoding. */
static inline void tn_test_fill_weight(const tn_encoding *encoding, uint64_t seed, int64_t rows, int64_t columns,
                                       void *const parts[TN_NUM_WEIGHT_PARTS]) {
    size_t bytes[TN_NUM_WEIGHT_PARTS] = {0};
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
        if (!tn_encoding_part_bytes(encoding, (tn_weight_part)part, rows, columns, &bytes[part])) return;
    uint8_t *data = parts[TN_PART_DATA], *scales = parts[TN_PART_SCALE];
    tn_test_random_bytes(seed, bytes[TN_PART_DATA], data);
    const tn_gguf_block_type *type = encoding->kind == TN_ENCODING_GGUF ? tn_gguf_block_type_find(encoding->gguf_type) : NULL;
    if (type != NULL) tn_test_scale_blocks(type, bytes[TN_PART_DATA], data);
    bool is_fp8 = encoding->storage == TN_FLOAT8_E4M3FN;
    for (size_t i = 0; i < bytes[TN_PART_DATA] && is_fp8; i++) data[i] &= 0xbf; /* below 2, and no NaN */
    size_t scale_bytes = scales != NULL ? tn_dtype_get_info(encoding->scale_dtype)->bits / 8u : 1;
    double largest = is_fp8 ? 2.0 : (double)(1 << encoding->bits);
    for (size_t i = 0; i < bytes[TN_PART_SCALE] / scale_bytes; i++) {
        double spread = (double)(1 + (seed + i * 7) % 13) / 13.0;
        tn_dtype_store(encoding->scale_dtype, scales, (int64_t)i, encoding->kind == TN_ENCODING_MX ? 0x1p-3 : spread / largest);
    }
    for (size_t i = 0; i < bytes[TN_PART_ZERO]; i++)
        ((uint8_t *)parts[TN_PART_ZERO])[i] = (uint8_t)((seed + i * 5) % (encoding->bits == 4 ? 16 : 200));
}

#endif
