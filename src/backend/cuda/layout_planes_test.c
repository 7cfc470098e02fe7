/* SPDX-License-Identifier: Apache-2.0
 *
 * layout_planes_test.c: packing and unpacking are inverse, and a packed value is what its encoding decodes to.
 */
#include "backend/cuda/layouts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static tn_encoding encoding_of(int type) {
    static const uint32_t gguf[] = {TN_GGUF_Q4_0, TN_GGUF_Q4_1, TN_GGUF_Q8_0};
    tn_encoding encoding = {0};
    assert_int_equal(tn_encoding_from_gguf(gguf[type], &encoding), TN_OK);
    return encoding;
}

static uint8_t *random_bytes(size_t count, unsigned seed) {
    uint8_t *bytes = malloc(count + 64);
    assert_non_null(bytes);
    for (size_t i = 0; i < count + 64; i++) bytes[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    return bytes;
}

/* Packs in ranges of 3 rows from the last to the first, unpacks at once. */
static void check(int type, tn_dims dims) {
    tn_weight_desc desc = {TN_FLOAT32, encoding_of(type), dims};
    const tn_layout *layout = tn_cuda_layouts[type];
    int64_t rows = tn_weight_num_rows(&desc), columns = tn_weight_num_columns(&desc);
    size_t data_bytes, packed_bytes, row_bytes;
    assert_true(layout->accepts(&desc));
    assert_true(tn_encoding_part_bytes(&desc.encoding, TN_PART_DATA, rows, columns, &data_bytes));
    assert_true(tn_encoding_part_bytes(&desc.encoding, TN_PART_DATA, 1, columns, &row_bytes));
    assert_int_equal(layout->size(&desc, &packed_bytes), TN_OK);
    assert_int_equal(packed_bytes % 64, 0);
    uint8_t *data = random_bytes(data_bytes, 7), *back = random_bytes(data_bytes, 8);
    uint8_t *packed = random_bytes(packed_bytes, 9), *again = random_bytes(packed_bytes, 10);
    for (int64_t begin = (rows - 1) / 3 * 3; begin >= 0; begin -= 3) {
        tn_weight_parts parts = {.part = {[TN_PART_DATA] = data + (size_t)begin * row_bytes}};
        assert_int_equal(layout->pack_rows(&desc, &parts, begin, begin + 3 < rows ? begin + 3 : rows, packed), TN_OK);
    }
    tn_weight_parts whole = {.part = {[TN_PART_DATA] = data}};
    assert_int_equal(layout->pack_rows(&desc, &whole, 0, rows, again), TN_OK);
    assert_memory_equal(packed, again, packed_bytes); /* every byte is written, padding too */
    void *parts[TN_NUM_WEIGHT_PARTS] = {[TN_PART_DATA] = back};
    assert_int_equal(layout->unpack_rows(&desc, packed, 0, rows, parts), TN_OK);
    assert_memory_equal(back, data, data_bytes);
    free(data), free(back), free(packed), free(again);
}

static void packing_and_unpacking_are_inverse(void **state) {
    (void)state;
    for (int type = 0; type < TN_NUM_PLANES_TYPES; type++) {
        check(type, TN_DIMS(16, 64));
        check(type, TN_DIMS(37, 96));
        check(type, TN_DIMS(1, 32));
        check(type, TN_DIMS(5, 1056));
        check(type, TN_DIMS(3, 7, 64));
    }
}

static void a_packed_value_is_what_its_encoding_decodes_to(void **state) {
    (void)state;
    enum { ROWS = 5, COLUMNS = 96 };
    for (int i = 0; i < TN_NUM_PLANES_TYPES; i++) {
        tn_planes_type type = (tn_planes_type)i;
        tn_weight_desc desc = {TN_FLOAT32, encoding_of(i), TN_DIMS(ROWS, COLUMNS)};
        size_t data_bytes, packed_bytes;
        assert_true(tn_encoding_part_bytes(&desc.encoding, TN_PART_DATA, ROWS, COLUMNS, &data_bytes));
        assert_int_equal(tn_cuda_layouts[i]->size(&desc, &packed_bytes), TN_OK);
        uint8_t *data = random_bytes(data_bytes, 3), *packed = random_bytes(packed_bytes, 4);
        size_t block_bytes = data_bytes / (ROWS * COLUMNS / 32);
        for (size_t b = 0; b < data_bytes; b += block_bytes) { /* scales that are numbers */
            data[b + 1] &= 0x3f;
            if (type == TN_PLANES_Q4_1) data[b + 3] &= 0xbf;
        }
        tn_weight_parts parts = {.part = {[TN_PART_DATA] = data}};
        float expected[ROWS * COLUMNS];
        assert_int_equal(tn_cuda_layouts[i]->pack_rows(&desc, &parts, 0, ROWS, packed), TN_OK);
        tn_encoding_decode(&desc.encoding, &parts, ROWS, COLUMNS, expected);
        for (int64_t row = 0; row < ROWS; row++)
            for (int64_t column = 0; column < COLUMNS; column++) {
                const uint8_t *scales = packed + tn_planes_scale_offset(type, ROWS, COLUMNS, row, column / 32);
                const uint8_t *quants = packed + tn_planes_quant_offset(type, COLUMNS, row, column / 32);
                double value = tn_dtype_load(TN_FLOAT16, scales, 0) * tn_planes_quant(type, quants, (int)(column % 32));
                if (type == TN_PLANES_Q4_1) value += tn_dtype_load(TN_FLOAT16, scales, 1);
                assert_true(fabs(value - (double)expected[row * COLUMNS + column]) <= 1e-6 * (1.0 + fabs(value)));
            }
        free(data), free(packed);
    }
}

static void a_weight_that_does_not_fit_is_refused(void **state) {
    (void)state;
    size_t bytes = 1;
    tn_weight_desc vector = {TN_FLOAT32, encoding_of(TN_PLANES_Q4_0), TN_DIMS(64)};
    tn_weight_desc other = {TN_FLOAT32, encoding_of(TN_PLANES_Q8_0), TN_DIMS(16, 64)};
    tn_weight_desc huge = {TN_FLOAT32, encoding_of(TN_PLANES_Q4_0), TN_DIMS(INT64_MAX / 64, 1 << 20)};
    assert_false(tn_cuda_layouts[TN_PLANES_Q4_0]->accepts(&vector));
    assert_false(tn_cuda_layouts[TN_PLANES_Q4_0]->accepts(&other));
    assert_int_equal(tn_cuda_layouts[TN_PLANES_Q4_0]->size(&other, &bytes), TN_UNSUPPORTED);
    assert_int_equal(tn_cuda_layouts[TN_PLANES_Q4_0]->size(&huge, &bytes), TN_INVALID_DATA);
    assert_int_equal(bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_and_unpacking_are_inverse),
        cmocka_unit_test(a_packed_value_is_what_its_encoding_decodes_to),
        cmocka_unit_test(a_weight_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
