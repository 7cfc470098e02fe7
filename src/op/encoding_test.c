/* SPDX-License-Identifier: Apache-2.0
 *
 * encoding_test.c: GGUF blocks against the gguf package (scripts/golden/op.py), the other encodings by hand.
 */
#include "op/encoding.h"
#include "op/gguf_blocks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static tn_encoding gguf(uint32_t type) {
    tn_encoding encoding;
    assert_int_equal(tn_encoding_from_gguf(type, &encoding), TN_OK);
    return encoding;
}

static void gguf_blocks_are_read_and_written_as_the_gguf_package_does(void **state) {
    (void)state;
    for (size_t t = 0; t < tn_gguf_num_block_types(); t++) {
        if (tn_gguf_encoder_of(tn_gguf_block_type_at(t)) == NULL) continue;
        tn_encoding encoding = gguf(tn_gguf_block_type_at(t)->number);
        static float values[512], expected[512], decoded[512];
        static uint8_t blocks[16 * 34], encoded[16 * 34];
        char name[64], path[512];
        size_t block_bytes = 0;
        assert_true(tn_encoding_part_bytes(&encoding, TN_PART_DATA, 2, 256, &block_bytes));
        (void)snprintf(path, sizeof path, "%s/op/%s.bin", TN_TEST_DATA, tn_encoding_name(&encoding, name));
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        assert_int_equal(fread(values, 1, sizeof values, file), sizeof values);
        assert_int_equal(fread(blocks, 1, block_bytes, file), block_bytes);
        assert_int_equal(fread(expected, 1, sizeof expected, file), sizeof expected);
        assert_int_equal(fgetc(file), EOF);
        (void)fclose(file);

        tn_encoding_decode(&encoding, &(tn_weight_parts){{blocks}}, 2, 256, decoded);
        assert_memory_equal(decoded, expected, sizeof expected);
        void *parts[TN_NUM_WEIGHT_PARTS] = {encoded};
        assert_int_equal(tn_encoding_encode(&encoding, values, 2, 256, parts), TN_OK);
        assert_memory_equal(encoded, blocks, block_bytes);
        tn_encoding_decode_columns(&encoding, &(tn_weight_parts){{blocks}}, 256, 1, 64, 96, decoded);
        assert_memory_equal(decoded, expected + 256 + 64, 96 * sizeof(float));
    }
}

static void gguf_blocks_decode_as_the_gguf_package_says(void **state) {
    (void)state;
    enum { ROWS = 2, COLUMNS = 1024, VALUES = ROWS * COLUMNS };
    for (size_t t = 0; t < tn_gguf_num_block_types(); t++) {
        const tn_gguf_block_type *type = tn_gguf_block_type_at(t);
        if (tn_gguf_encoder_of(type) != NULL) continue; /* compared above */
        tn_encoding encoding = gguf(type->number);
        static float expected[VALUES], decoded[VALUES];
        static uint8_t blocks[VALUES * 2];
        char path[512];
        size_t block_bytes = 0;
        assert_true(tn_encoding_part_bytes(&encoding, TN_PART_DATA, ROWS, COLUMNS, &block_bytes));
        (void)snprintf(path, sizeof path, "%s/op/%s.bin", TN_TEST_DATA, type->name);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        assert_int_equal(fread(blocks, 1, block_bytes, file), block_bytes);
        assert_int_equal(fread(expected, 1, sizeof expected, file), sizeof expected);
        assert_int_equal(fgetc(file), EOF);
        (void)fclose(file);

        tn_weight_parts parts = {{blocks}};
        tn_encoding_decode(&encoding, &parts, ROWS, COLUMNS, decoded);
        assert_memory_equal(decoded, expected, sizeof expected);
        tn_encoding_decode_columns(&encoding, &parts, COLUMNS, 1, 288, 320, decoded); /* from within a block to within another */
        assert_memory_equal(decoded, expected + COLUMNS + 288, 320 * sizeof(float));
    }
}

static void affine_subtracts_the_zero_and_multiplies_by_its_blocks_scale(void **state) {
    (void)state;
    tn_encoding encoding = {.kind = TN_ENCODING_AFFINE,
                            .storage = TN_UINT4,
                            .scale_dtype = TN_FLOAT32,
                            .zero_dtype = TN_UINT8,
                            .bits = 4,
                            .block_rows = 1,
                            .block_cols = 2,
                            .has_zero = true};
    const uint8_t data[] = {0x21, 0x43, 0x65, 0x87}; /* 1 2 3 4 | 5 6 7 8 */
    const uint8_t zero[] = {1, 2, 3, 4};
    const float scale[] = {1.0f, 10.0f, 0.5f, -1.0f}, expected[] = {0, 1, 10, 20, 1, 1.5f, -3, -4};
    float out[8];
    tn_encoding_decode(&encoding, &(tn_weight_parts){{data, scale, zero}}, 2, 4, out);
    assert_memory_equal(out, expected, sizeof expected);
    size_t bytes;
    assert_true(tn_encoding_part_bytes(&encoding, TN_PART_SCALE, 2, 4, &bytes));
    assert_int_equal(bytes, 16);
    assert_true(tn_encoding_part_bytes(&encoding, TN_PART_ZERO, 2, 4, &bytes));
    assert_int_equal(bytes, 4);
    assert_true(tn_encoding_part_bytes(&encoding, TN_PART_PERM, 2, 4, &bytes));
    assert_int_equal(bytes, 0);
}

static void one_scale_may_serve_a_whole_weight_or_a_square(void **state) {
    (void)state;
    tn_encoding whole = {.kind = TN_ENCODING_AFFINE, .storage = TN_INT8, .scale_dtype = TN_FLOAT16, .bits = 8};
    const int8_t data[] = {1, -2, 3, 4};
    const uint16_t half = 0x3800; /* 0.5 */
    float out[4];
    tn_encoding_decode(&whole, &(tn_weight_parts){{data, &half}}, 2, 2, out);
    assert_memory_equal(out, ((float[]){0.5f, -1.0f, 1.5f, 2.0f}), sizeof out);

    tn_encoding square = {.kind = TN_ENCODING_AFFINE,
                          .storage = TN_INT8,
                          .scale_dtype = TN_FLOAT32,
                          .bits = 8,
                          .block_rows = 2,
                          .block_cols = 1,
                          .has_perm = true};
    const float scales[] = {10, 100};
    const int32_t perm[] = {1, 0};
    tn_encoding_decode(&square, &(tn_weight_parts){{data, scales, NULL, NULL, perm}}, 2, 2, out);
    assert_memory_equal(out, ((float[]){-200, 10, 400, 30}), sizeof out);
}

static void nvfp4_multiplies_both_scales(void **state) {
    (void)state;
    tn_encoding encoding = {
        .kind = TN_ENCODING_NVFP4, .storage = TN_FLOAT4_E2M1, .scale_dtype = TN_FLOAT8_E4M3FN, .bits = 4, .has_scale2 = true};
    uint8_t data[8] = {0x72};   /* 1, 6, then zeros */
    const uint8_t scale = 0x40; /* 2 */
    const float scale2 = 0.25f;
    float out[16];
    tn_encoding_decode(&encoding, &(tn_weight_parts){{data, &scale, NULL, &scale2}}, 1, 16, out);
    assert_true(out[0] == 0.5f && out[1] == 3.0f && out[2] == 0.0f);
}

static void distinct_encodings_have_distinct_names(void **state) {
    (void)state;
    tn_encoding affine = {.kind = TN_ENCODING_AFFINE,
                          .storage = TN_INT4,
                          .scale_dtype = TN_FLOAT32,
                          .zero_dtype = TN_INT4,
                          .bits = 4,
                          .block_rows = 1,
                          .block_cols = 128};
    tn_encoding list[9] = {tn_encoding_plain(TN_FLOAT32),
                           tn_encoding_plain(TN_BFLOAT16),
                           gguf(TN_GGUF_Q4_0),
                           gguf(TN_GGUF_Q4_1),
                           affine,
                           affine,
                           affine,
                           affine,
                           affine};
    list[5].has_zero = true;
    list[6].scale_dtype = TN_FLOAT16;
    list[7].block_rows = 128;
    list[8].has_perm = true;
    char names[9][64];
    for (int i = 0; i < 9; i++) (void)tn_encoding_name(&list[i], names[i]);
    assert_string_equal(names[4], "affine_int4_b1x128");
    for (int i = 0; i < 9; i++)
        for (int j = 0; j < 9; j++) {
            assert_int_equal(strcmp(names[i], names[j]) == 0, i == j);
            assert_int_equal(tn_encoding_equal(&list[i], &list[j]), i == j);
        }
}

static void sizes_that_do_not_fit_the_blocks_or_the_machine_are_refused(void **state) {
    (void)state;
    tn_encoding encoding = gguf(TN_GGUF_Q4_0), unknown;
    size_t bytes;
    assert_false(tn_encoding_part_bytes(&encoding, TN_PART_DATA, 1, 33, &bytes));
    assert_false(tn_encoding_part_bytes(&encoding, TN_PART_DATA, INT64_MAX, 64, &bytes));
    assert_false(tn_encoding_part_bytes(&encoding, TN_PART_DATA, -1, 64, &bytes));
    assert_int_equal(tn_encoding_from_gguf(99, &unknown), TN_UNSUPPORTED);
    assert_int_equal(tn_encoding_from_gguf(16, &unknown), TN_UNSUPPORTED); /* IQ2_XXS */
    tn_encoding super = gguf(TN_GGUF_Q4_K);
    assert_int_equal(tn_encoding_column_multiple(&super), 256);
    assert_false(tn_encoding_part_bytes(&super, TN_PART_DATA, 1, 128, &bytes));
    void *parts[TN_NUM_WEIGHT_PARTS] = {NULL};
    assert_int_equal(tn_encoding_encode(&encoding, (float[33]){0}, 1, 33, parts), TN_INVALID_ARGUMENT);
}

static void rows_are_all_dimensions_but_the_last(void **state) {
    (void)state;
    tn_weight_desc desc = {.dims = TN_DIMS(2, 3, 5)}, scalar = {.dims = TN_SCALAR};
    assert_int_equal(tn_weight_num_rows(&desc), 6);
    assert_int_equal(tn_weight_num_columns(&desc), 5);
    assert_int_equal(tn_weight_num_rows(&scalar) * tn_weight_num_columns(&scalar), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_blocks_are_read_and_written_as_the_gguf_package_does),
        cmocka_unit_test(gguf_blocks_decode_as_the_gguf_package_says),
        cmocka_unit_test(affine_subtracts_the_zero_and_multiplies_by_its_blocks_scale),
        cmocka_unit_test(one_scale_may_serve_a_whole_weight_or_a_square),
        cmocka_unit_test(nvfp4_multiplies_both_scales),
        cmocka_unit_test(distinct_encodings_have_distinct_names),
        cmocka_unit_test(sizes_that_do_not_fit_the_blocks_or_the_machine_are_refused),
        cmocka_unit_test(rows_are_all_dimensions_but_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
