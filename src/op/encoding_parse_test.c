/* SPDX-License-Identifier: Apache-2.0
 *
 * encoding_parse_test.c: names of encodings read back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "op/encoding.h"
#include "op/gguf_blocks.h"

static void every_encoding_reads_back_from_its_name(void **state) {
    (void)state;
    tn_encoding encodings[] = {
        tn_encoding_plain(TN_FLOAT32),
        tn_encoding_plain(TN_BFLOAT16),
        tn_encoding_plain(TN_INT4),
        {0},
        {0},
        {0},
        {.kind = TN_ENCODING_AFFINE, .storage = TN_INT8, .scale_dtype = TN_FLOAT32, .bits = 8},
        {.kind = TN_ENCODING_AFFINE,
         .storage = TN_UINT4,
         .scale_dtype = TN_FLOAT16,
         .zero_dtype = TN_UINT4,
         .bits = 4,
         .block_rows = 1,
         .block_cols = 128,
         .has_zero = true,
         .has_scale2 = true,
         .has_perm = true},
        {.kind = TN_ENCODING_AFFINE,
         .storage = TN_FLOAT8_E4M3FN,
         .scale_dtype = TN_BFLOAT16,
         .bits = 8,
         .block_rows = 128,
         .block_cols = 128},
    };
    assert_int_equal(tn_encoding_from_gguf(TN_GGUF_Q4_0, &encodings[3]), TN_OK);
    assert_int_equal(tn_encoding_from_gguf(TN_GGUF_Q4_1, &encodings[4]), TN_OK);
    assert_int_equal(tn_encoding_from_gguf(TN_GGUF_Q8_0, &encodings[5]), TN_OK);
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        char name[64];
        tn_encoding parsed;
        assert_true(tn_encoding_parse(tn_encoding_name(&encodings[i], name), &parsed));
        assert_true(tn_encoding_equal(&encodings[i], &parsed));
    }
    tn_encoding parsed;
    for (size_t i = 0; i < tn_gguf_num_block_types(); i++) {
        assert_true(tn_encoding_parse(tn_gguf_block_type_at(i)->name, &parsed));
        assert_int_equal(parsed.kind, TN_ENCODING_GGUF);
        assert_int_equal(parsed.gguf_type, tn_gguf_block_type_at(i)->number);
    }
    assert_true(tn_encoding_parse("mx_e2m1", &parsed));
    assert_int_equal(parsed.kind, TN_ENCODING_MX);
    assert_true(tn_encoding_parse("nvfp4", &parsed));
    assert_int_equal(parsed.kind, TN_ENCODING_NVFP4);
}

static void other_spellings_are_no_encodings(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "f32",
                                      "none",
                                      "q15_32",
                                      "q4_9",
                                      "affine",
                                      "affine_int4",
                                      "affine_int4_b1",
                                      "affine_int4_b1x",
                                      "affine_int4_bx1",
                                      "affine_int4_b-1x1",
                                      "affine_int4_b01x1",
                                      "affine_int4_b1x32_q",
                                      "affine_int4_b1x32_sf32",
                                      "mx_",
                                      "mx_float8",
                                      "nvfp4 ",
                                      "affine_int4_b1x32_perm_s2",
                                      "affine_int4_b99999999999999999999999999999999999999999999999999999999999999x1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tn_encoding parsed;
        if (tn_encoding_parse(bad[i], &parsed)) fail_msg("'%s' was read", bad[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_encoding_reads_back_from_its_name),
        cmocka_unit_test(other_spellings_are_no_encodings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
