/* SPDX-License-Identifier: Apache-2.0
 *
 * layout_strip16_test.c: packing and unpacking are inverse, whatever the shape and the order of row ranges.
 */
#include "backend/cpu/layout_strip16.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "op/testing.h"

static tn_encoding encoding_of(tn_strip_type type) {
    static const char *const names[TN_NUM_STRIP_TYPES] = {
        [TN_STRIP_F32] = "float32",
        [TN_STRIP_F16] = "float16",
        [TN_STRIP_BF16] = "bfloat16",
        [TN_STRIP_E4M3] = "affine_e4m3fn_b1x128",
        [TN_STRIP_A4X32] = "affine_uint4_b1x32_sf16_zuint8",
        [TN_STRIP_A4X128] = "affine_int4_b1x128_sbf16",
        [TN_STRIP_A8X32] = "affine_int8_b1x64_sf16_zint8",
        [TN_STRIP_A8X128] = "affine_uint8_b1x128_zuint8",
    };
    tn_encoding encoding;
    assert_true(tn_encoding_parse(names[type] != NULL ? names[type] : tn_strip_layout_name(type) + strlen("strip16_"), &encoding));
    return encoding;
}

/* The least number of columns that a row can be cut to. */
static int64_t multiple_of(tn_strip_type type) {
    tn_encoding encoding = encoding_of(type);
    int64_t multiple = tn_encoding_column_multiple(&encoding);
    return multiple > 1 ? multiple : 32;
}

static uint8_t *random_bytes(size_t count, unsigned seed) {
    uint8_t *bytes = malloc(count + 64);
    assert_non_null(bytes);
    for (size_t i = 0; i < count + 64; i++) bytes[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    return bytes;
}

static size_t part_bytes(const tn_encoding *encoding, int part, int64_t rows, int64_t columns) {
    size_t bytes;
    assert_true(tn_encoding_part_bytes(encoding, (tn_weight_part)part, rows, columns, &bytes));
    return bytes;
}

/* Random bytes; scales must be numbers that round trip as numbers do. */
static void make_parts(const tn_encoding *encoding, int64_t rows, int64_t columns, unsigned seed, void *out_parts[TN_NUM_WEIGHT_PARTS]) {
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
        out_parts[part] = tn_encoding_has_part(encoding, (tn_weight_part)part)
                              ? random_bytes(part_bytes(encoding, part, rows, columns), seed + (unsigned)part)
                              : NULL;
    if (encoding->kind == TN_ENCODING_AFFINE) tn_test_fill_weight(encoding, seed, rows, columns, out_parts);
}

/* Packs in ranges of 16 rows from the last to the first, unpacks at once. */
static void check(tn_strip_type type, tn_dims dims) {
    tn_weight_desc desc = {TN_FLOAT32, encoding_of(type), dims};
    const tn_layout *layout = tn_cpu_layouts[type];
    int64_t rows = tn_weight_num_rows(&desc), columns = tn_weight_num_columns(&desc);
    size_t packed_bytes;
    void *data[TN_NUM_WEIGHT_PARTS], *back[TN_NUM_WEIGHT_PARTS];
    tn_strip_type found;
    assert_true(tn_strip_type_of(&desc.encoding, &found));
    assert_int_equal(found, type);
    assert_true(layout->accepts(&desc));
    assert_int_equal(layout->size(&desc, &packed_bytes), TN_OK);
    assert_int_equal(packed_bytes % 64, 0);
    make_parts(&desc.encoding, rows, columns, 7, data);
    make_parts(&desc.encoding, rows, columns, 19, back);
    uint8_t *packed = random_bytes(packed_bytes, 9), *again = random_bytes(packed_bytes, 10);
    for (int64_t begin = (rows - 1) / 16 * 16; begin >= 0; begin -= 16) {
        tn_weight_parts parts = {.part = {NULL}};
        for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++)
            if (data[part] != NULL) parts.part[part] = (char *)data[part] + (size_t)begin * part_bytes(&desc.encoding, part, 1, columns);
        assert_int_equal(layout->pack_rows(&desc, &parts, begin, begin + 16 < rows ? begin + 16 : rows, packed), TN_OK);
    }
    tn_weight_parts whole = {.part = {NULL}};
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) whole.part[part] = data[part];
    assert_int_equal(layout->pack_rows(&desc, &whole, 0, rows, again), TN_OK);
    assert_memory_equal(packed, again, packed_bytes); /* every byte is written, padding too */
    assert_int_equal(layout->unpack_rows(&desc, packed, 0, rows, back), TN_OK);
    for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) {
        if (data[part] != NULL) assert_memory_equal(back[part], data[part], part_bytes(&desc.encoding, part, rows, columns));
        free(data[part]), free(back[part]);
    }
    free(packed), free(again);
}

static void scales_that_rows_share_come_back(void **state) {
    (void)state;
    static const char *const names[] = {"affine_e4m3fn_b128x128", "affine_e4m3fn_b0x0", "affine_int8_b1x0_sbf16", "affine_int4_b0x0"};
    enum { ROWS = 300, COLUMNS = 384 };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        tn_weight_desc desc = {.dtype = TN_FLOAT32, .dims = TN_DIMS(ROWS, COLUMNS)};
        tn_strip_type type;
        size_t packed_bytes;
        void *data[TN_NUM_WEIGHT_PARTS], *back[TN_NUM_WEIGHT_PARTS];
        assert_true(tn_encoding_parse(names[i], &desc.encoding));
        assert_true(tn_strip_type_of(&desc.encoding, &type));
        assert_int_equal(tn_cpu_layouts[type]->size(&desc, &packed_bytes), TN_OK);
        uint8_t *packed = random_bytes(packed_bytes, 9);
        make_parts(&desc.encoding, ROWS, COLUMNS, 7, data);
        make_parts(&desc.encoding, ROWS, COLUMNS, 19, back);
        for (int64_t begin = 0; begin < ROWS; begin += 128) {
            tn_weight_parts parts = {
                .part = {(char *)data[TN_PART_DATA] + (size_t)begin * part_bytes(&desc.encoding, TN_PART_DATA, 1, COLUMNS)}};
            int64_t height = desc.encoding.block_rows;
            parts.part[TN_PART_SCALE] = (char *)data[TN_PART_SCALE] +
                                        (height > 0 ? (size_t)(begin / height) * part_bytes(&desc.encoding, TN_PART_SCALE, 1, COLUMNS) : 0);
            assert_int_equal(tn_cpu_layouts[type]->pack_rows(&desc, &parts, begin, begin + 128 < ROWS ? begin + 128 : ROWS, packed), TN_OK);
        }
        assert_int_equal(tn_cpu_layouts[type]->unpack_rows(&desc, packed, 0, ROWS, back), TN_OK);
        for (int part = 0; part <= TN_PART_SCALE; part++)
            assert_memory_equal(back[part], data[part], part_bytes(&desc.encoding, part, ROWS, COLUMNS));
        for (int part = 0; part < TN_NUM_WEIGHT_PARTS; part++) free(data[part]), free(back[part]);
        free(packed);
    }
}

static void packing_and_unpacking_are_inverse(void **state) {
    (void)state;
    for (int type = 0; type < TN_NUM_STRIP_TYPES; type++) {
        int64_t columns = multiple_of((tn_strip_type)type);
        check((tn_strip_type)type, TN_DIMS(16, 2 * columns));
        check((tn_strip_type)type, TN_DIMS(37, 3 * columns));
        check((tn_strip_type)type, TN_DIMS(1, columns));
        check((tn_strip_type)type, TN_DIMS(48, 33 * columns));
        if (type <= TN_STRIP_BF16) check((tn_strip_type)type, TN_DIMS(19, 7));
    }
}

static void each_expert_begins_at_a_strip(void **state) {
    (void)state;
    for (int type = 0; type < TN_NUM_STRIP_TYPES; type++) {
        int64_t columns = multiple_of((tn_strip_type)type);
        check((tn_strip_type)type, TN_DIMS(3, 24, 2 * columns));
        check((tn_strip_type)type, TN_DIMS(2, 16, 3 * columns));
        check((tn_strip_type)type, TN_DIMS(4, 5, columns));
    }
    size_t bytes;
    tn_weight_desc desc = {TN_FLOAT32, encoding_of(TN_STRIP_Q4_1), TN_DIMS(3, 24, 64)};
    assert_int_equal(tn_cpu_layouts[TN_STRIP_Q4_1]->size(&desc, &bytes), TN_OK);
    assert_int_equal(bytes, 3 * 2 * 2 * 320);
}

static void a_row_of_a_strip_decodes_as_its_encoding_does(void **state) {
    (void)state;
    enum { ROWS = 21, COLUMNS = 768 };
    for (int type = 0; type <= TN_STRIP_MXFP4; type++) {
        if (type == TN_STRIP_E4M3) continue;
        tn_weight_desc desc = {TN_FLOAT32, encoding_of((tn_strip_type)type), TN_DIMS(ROWS, COLUMNS)};
        size_t data_bytes, packed_bytes;
        assert_true(tn_encoding_part_bytes(&desc.encoding, TN_PART_DATA, ROWS, COLUMNS, &data_bytes));
        assert_int_equal(tn_cpu_layouts[type]->size(&desc, &packed_bytes), TN_OK);
        uint8_t *data = random_bytes(data_bytes, 3), *packed = random_bytes(packed_bytes, 4);
        float *expected = malloc(ROWS * COLUMNS * sizeof(float)), row[COLUMNS];
        assert_non_null(expected);
        tn_weight_parts parts = {.part = {[TN_PART_DATA] = data}};
        assert_int_equal(tn_cpu_layouts[type]->pack_rows(&desc, &parts, 0, ROWS, packed), TN_OK);
        tn_encoding_decode(&desc.encoding, &parts, ROWS, COLUMNS, expected);
        for (int r = 0; r < ROWS; r++) {
            const uint8_t *strip = packed + r / TN_STRIP_ROWS * tn_strip_bytes((tn_strip_type)type, COLUMNS);
            tn_strip_decode_row((tn_strip_type)type, strip, r % TN_STRIP_ROWS, COLUMNS, row);
            assert_memory_equal(row, expected + r * COLUMNS, sizeof row);
        }
        free(data), free(packed), free(expected);
    }
}

static void forms_are_as_large_as_their_vectors_and_scales(void **state) {
    (void)state;
    for (int type = TN_STRIP_Q4_0; type <= TN_STRIP_MXFP4; type++) {
        const tn_strip_form *form = &tn_strip_forms[type];
        tn_encoding encoding = encoding_of((tn_strip_type)type);
        const tn_gguf_block_type *from = tn_gguf_block_type_find(encoding.gguf_type);
        int64_t bytes = form->unit_columns / 32 * form->code_bits * 64 + tn_strip_scale_bytes((tn_strip_type)type, form->unit_columns);
        assert_int_equal(form->unit_bytes, bytes + (form->has_integers ? 64 : 0));
        assert_int_equal(form->unit_bytes % 64, 0);
        assert_int_equal(form->unit_columns % from->values, 0);
        assert_int_equal(form->code_bits, from->code_bits);
        assert_int_equal(form->offset, from->offset);
        assert_int_equal(form->has_minimum, from->minimum_at >= 0);
        assert_int_equal(form->has_integers, from->scale_columns > 0);
        assert_int_equal(form->scale_columns, from->scale_columns > 0 ? from->scale_columns : 32);
        const uint8_t *table = type == TN_STRIP_MXFP4 ? tn_strip_mxfp4_table : tn_strip_iq4_table;
        assert_int_equal(form->has_table, from->table != NULL);
        for (int i = 0; i < 16 && form->has_table; i++) assert_int_equal(table[i] - form->offset, from->table[i]);
    }
}

static void a_weight_that_does_not_fit_is_refused(void **state) {
    (void)state;
    size_t bytes = 1;
    tn_weight_desc vector = {TN_FLOAT32, encoding_of(TN_STRIP_F32), TN_DIMS(64)};
    tn_weight_desc other = {TN_FLOAT32, encoding_of(TN_STRIP_Q4_0), TN_DIMS(16, 64)};
    tn_weight_desc huge = {TN_FLOAT32, encoding_of(TN_STRIP_F32), TN_DIMS(INT64_MAX / 64, INT64_MAX / 64)};
    assert_false(tn_cpu_layouts[TN_STRIP_F32]->accepts(&vector));
    assert_false(tn_cpu_layouts[TN_STRIP_Q4_1]->accepts(&other));
    assert_int_equal(tn_cpu_layouts[TN_STRIP_Q4_1]->size(&other, &bytes), TN_UNSUPPORTED);
    assert_int_equal(tn_cpu_layouts[TN_STRIP_F32]->size(&huge, &bytes), TN_INVALID_DATA);
    assert_int_equal(bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_and_unpacking_are_inverse),
        cmocka_unit_test(each_expert_begins_at_a_strip),
        cmocka_unit_test(scales_that_rows_share_come_back),
        cmocka_unit_test(a_row_of_a_strip_decodes_as_its_encoding_does),
        cmocka_unit_test(forms_are_as_large_as_their_vectors_and_scales),
        cmocka_unit_test(a_weight_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
