/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what this module's tests share: a source of seeded tensors, and reading a recipe as floats.
 */
#ifndef TN_WEIGHTS_TESTING_H_
#define TN_WEIGHTS_TESTING_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "weights/memory_source.h"
#include "weights/weights.h"

/* A tensor of seeded bytes in `arena`; floats are small multiples of 1/8, scales powers of two, so that sums are exact. */
static inline tn_memory_tensor make_tensor(tn_arena *arena, const char *name, tn_encoding encoding, tn_dims dims, uint32_t seed) {
    tn_memory_tensor tensor = {.name = name, .desc = {.encoding = encoding, .dims = dims}};
    tensor.desc.dtype = encoding.kind == TN_ENCODING_PLAIN ? encoding.storage : TN_FLOAT32;
    int64_t rows = tn_weight_num_rows(&tensor.desc), columns = tn_weight_num_columns(&tensor.desc);
    float *values = tn_arena_alloc_array(arena, (size_t)(rows * columns), sizeof *values);
    for (int64_t i = 0; i < rows * columns; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)((int)(seed >> 24) - 128) / 8.0f;
    }
    void *parts[TN_NUM_WEIGHT_PARTS] = {NULL};
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes;
        assert_true(tn_encoding_part_bytes(&encoding, (tn_weight_part)part, rows, columns, &bytes));
        if (bytes == 0) continue;
        uint8_t *data = parts[part] = tn_arena_alloc(arena, bytes);
        for (size_t i = 0; i < bytes; i++) {
            seed = seed * 1664525u + 1013904223u;
            data[i] = (uint8_t)(seed >> 24);
        }
        if (part == TN_PART_SCALE)
            for (size_t i = 0; i < bytes / sizeof(float); i++) ((float *)(void *)data)[i] = i % 3 == 0 ? 0.5f : i % 3 == 1 ? 1.0f : 2.0f;
        tensor.parts.part[part] = data;
    }
    if (encoding.kind != TN_ENCODING_AFFINE) assert_int_equal(tn_encoding_encode(&encoding, values, rows, columns, parts), TN_OK);
    return tensor;
}

/* Rows [begin, end) of a recipe as floats in `arena`. */
static inline float *read_floats(const tn_weights *weights, int64_t begin, int64_t end, tn_arena *arena) {
    void *parts[TN_NUM_WEIGHT_PARTS] = {NULL};
    tn_weight_parts read = {{NULL}};
    int64_t columns = tn_weight_num_columns(&weights->desc);
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        size_t bytes;
        assert_true(tn_encoding_part_bytes(&weights->desc.encoding, (tn_weight_part)part, end - begin, columns, &bytes));
        if (bytes > 0) read.part[part] = parts[part] = tn_arena_alloc(arena, bytes);
    }
    tn_arena scratch = {0};
    assert_int_equal(tn_weights_read_rows(weights, begin, end, parts, &scratch, NULL), TN_OK);
    tn_arena_deinit(&scratch);
    float *values = tn_arena_alloc_array(arena, (size_t)((end - begin) * columns), sizeof *values);
    tn_encoding_decode(&weights->desc.encoding, &read, end - begin, columns, values);
    return values;
}

#endif
