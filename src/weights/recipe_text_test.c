/* SPDX-License-Identifier: Apache-2.0
 *
 * recipe_text_test.c: recipes print as text and read back as the same recipe; other text is refused.
 */
#include <stdlib.h>

#include "base/text.h"
#include "support/fault_allocator.h"
#include "weights/recipe_text.h"
#include "weights/testing.h"

static const char *const recipes[] = {
    "load(\"w\" float32[4,3])",
    "load(\"\" int64[])",
    "load(\"a \\\"b\\\\\\x0a\" q4_1[2,32])",
    "load(\"w\" q4_1>bfloat16[2,32])",
    "load(\"w\" affine_int4_b2x16_zint8[2,32])",
    "value(float32[2] \"0000803f000000c0\")",
    "slice(0, 1, 2, load(\"w\" q8_0[4,32]))",
    "slice(-1, 32, 64, load(\"w\" q8_0[4,64]))",
    "concat(0, load(\"a\" float16[2,4]), load(\"b\" float16[3,4]), load(\"c\" float16[1,4]))",
    "concat(-1, load(\"a\" float16[2,4]), load(\"b\" float16[2,1]))",
    "stack(load(\"a\" float16[2,4]), load(\"b\" float16[2,4]))",
    "reshape([8], load(\"a\" float16[2,4]))",
    "transpose(load(\"a\" float16[2,4]))",
    "interleave(2, load(\"a\" float16[2,4]), load(\"b\" float16[2,4]))",
    "permute_rows([1,0,2], load(\"a\" q4_0[3,32]))",
    "decode(bfloat16, load(\"a\" q4_0[3,32]))",
    "reshape([1,3], inverse_norms(load(\"a\" q4_0[3,32])))",
    "encode(q8_0, load(\"a\" float32[3,32]))",
    "as_stored(load(\"a\" affine_uint4_b1x32_perm[3,32]), column_order(load(\"b\" affine_uint4_b1x32_perm[2,32])))",
    "add(mul(load(\"a\" float32[3,32]), load(\"s\" float32[1])), value(float32[3,1] \"000000000000803f00000040\"))",
};

static void every_recipe_reads_back_as_itself(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++) {
        tn_arena arena = {0};
        tn_text text = {0};
        const tn_weights *parsed;
        assert_int_equal(tn_weights_parse(recipes[i], NULL, &arena, NULL, &parsed), TN_OK);
        assert_true(tn_weights_print(parsed, &text));
        assert_string_equal(text.data, recipes[i]);
        tn_text_deinit(&text);
        tn_arena_deinit(&arena);
    }
}

static void a_parsed_recipe_computes_the_same_values(void **state) {
    (void)state;
    tn_arena arena = {0};
    tn_memory_tensor tensors[] = {
        make_tensor(&arena, "a", tn_encoding_plain(TN_FLOAT32), TN_DIMS(4, 64), 1),
        make_tensor(&arena, "b", tn_encoding_plain(TN_FLOAT32), TN_DIMS(4, 64), 2),
    };
    tn_weight_source *source;
    assert_int_equal(tn_memory_source_create(tensors, 2, NULL, NULL, &source), TN_OK);
    const tn_weights *pair[2] = {tn_weights_load(&arena, source, "a", NULL), tn_weights_load(&arena, source, "b", NULL)};
    const tn_weights *x = tn_weights_interleave(&arena, pair[0], pair[1], 2, NULL);
    x = tn_weights_mul(&arena, x, tn_weights_floats(&arena, (float[]){0.5f}, TN_DIMS(1), NULL), NULL);
    tn_text text = {0};
    assert_true(tn_weights_print(x, &text));
    const tn_weights *parsed;
    assert_int_equal(tn_weights_parse(text.data, source, &arena, NULL, &parsed), TN_OK);
    assert_true(tn_weights_equal(x, parsed));
    assert_memory_equal(read_floats(x, 0, 8, &arena), read_floats(parsed, 0, 8, &arena), 8 * 64 * sizeof(float));
    tn_text_deinit(&text);
    tn_weight_source_destroy(source);
    tn_arena_deinit(&arena);
}

static void a_named_value_prints_as_a_load_and_a_large_unnamed_one_not_at_all(void **state) {
    (void)state;
    tn_arena arena = {0};
    tn_text text = {0};
    static float zeros[20000];
    tn_weight_desc desc = {.dtype = TN_FLOAT32, .encoding = tn_encoding_plain(TN_FLOAT32), .dims = TN_DIMS(20000)};
    tn_weight_parts parts = {.part = {zeros}};
    assert_true(tn_weights_print(tn_weights_value(&arena, &desc, &parts, "w", NULL), &text));
    assert_string_equal(text.data, "load(\"w\" float32[20000])");
    tn_text_reset(&text);
    assert_false(tn_weights_print(tn_weights_value(&arena, &desc, &parts, NULL, NULL), &text));
    assert_int_equal(text.size, 0);
    tn_text_deinit(&text);
    tn_arena_deinit(&arena);
}

static void text_that_is_no_recipe_is_refused_with_its_place(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "load",
        "load(",
        "load()",
        "load(\"w\")",
        "load(\"w\" float32)",
        "load(\"w\" float33[2])",
        "load(\"w float32[2])",
        "load(\"w\\x0\" float32[2])",
        "load(\"w\\x00\" float32[2])",
        "load(\"w\" float32[2]",
        "load(\"w\" float32[2]) x",
        "load(\"w\" float32[-1])",
        "load(\"w\" float32[99999999999999999999])",
        "load(\"w\" float32[4611686018427387904,4])",
        "load(\"w\" float32[1,1,1,1,1,1,1,1,1])",
        "load(\"w\" q4_1[2,33])",
        "load(\"w\" float32>nothing[2])",
        "load(\"w\" float32>q4_1[2])",
        "value(float32[2] \"0000803f\")",
        "value(float32[1] \"0000803g\")",
        "value(float32[100000000] \"\")",
        "value(q4_1[1,32] \"\")",
        "erase(load(\"w\" float32[2]))",
        "slice(1, 0, 1, load(\"w\" float32[2,2]))",
        "slice(0, 0, 3, load(\"w\" float32[2,2]))",
        "slice(0, 0, load(\"w\" float32[2,2]))",
        "concat(0)",
        "concat(0, load(\"w\" float32[2,2]),)",
        "concat(0, load(\"w\" float32[2,2]), load(\"w\" float32[2,3]))",
        "reshape([3], load(\"w\" float32[2,2]))",
        "permute_rows([0], load(\"w\" float32[2,2]))",
        "permute_rows([0,1,0], load(\"w\" float32[2,2]))",
        "permute_rows([0,2], load(\"w\" float32[2,2]))",
        "permute_rows([], load(\"w\" float32[0,2]), 1)",
        "interleave(0, load(\"w\" float32[2,2]), load(\"v\" float32[2,2]))",
        "decode(int8, load(\"w\" float32[2,2]))",
        "encode(nvfp4, load(\"w\" float32[2,32]))",
        "mul(load(\"w\" float32[2,2]))",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tn_arena arena = {0};
        tn_diag *diag;
        const tn_weights *parsed;
        assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
        if (tn_weights_parse(bad[i], NULL, &arena, diag, &parsed) != TN_INVALID_DATA) fail_msg("'%s' was read", bad[i]);
        assert_null(parsed);
        assert_int_equal(tn_diag_num_entries(diag), 1);
        tn_diag_destroy(diag);
        tn_arena_deinit(&arena);
    }
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++)
        for (size_t size = 0; size < strlen(recipes[i]); size++) {
            char *cut = tn_copy_bytes(NULL, recipes[i], size);
            tn_arena arena = {0};
            const tn_weights *parsed;
            assert_int_equal(tn_weights_parse(cut, NULL, &arena, diag, &parsed), TN_INVALID_DATA);
            tn_arena_deinit(&arena);
            tn_free(NULL, cut);
        }
    tn_diag_destroy(diag);
}

static void a_recipe_that_is_too_deep_is_refused(void **state) {
    (void)state;
    tn_text text = {0};
    for (int i = 0; i < 100000; i++) tn_text_append_string(&text, "transpose(");
    tn_diag *diag;
    tn_arena arena = {0};
    const tn_weights *parsed;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_weights_parse(text.data, NULL, &arena, diag, &parsed), TN_INVALID_DATA);
    tn_diag_destroy(diag);
    tn_arena_deinit(&arena);
    tn_text_deinit(&text);
}

static void each_failing_allocation_of_the_reader_is_out_of_memory(void **state) {
    (void)state;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++)
        for (size_t n = 1;; n++) {
            tn_fault_allocator fault;
            tn_fault_allocator_init(&fault, n);
            tn_arena arena = {.allocator = &fault.allocator};
            const tn_weights *parsed;
            tn_status status = tn_weights_parse(recipes[i], NULL, &arena, diag, &parsed);
            tn_arena_deinit(&arena);
            assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
            assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
            if (!tn_fault_has_failed(&fault)) break;
        }
    tn_diag_destroy(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recipe_reads_back_as_itself),
        cmocka_unit_test(a_parsed_recipe_computes_the_same_values),
        cmocka_unit_test(a_named_value_prints_as_a_load_and_a_large_unnamed_one_not_at_all),
        cmocka_unit_test(text_that_is_no_recipe_is_refused_with_its_place),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_recipe_that_is_too_deep_is_refused),
        cmocka_unit_test(each_failing_allocation_of_the_reader_is_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
