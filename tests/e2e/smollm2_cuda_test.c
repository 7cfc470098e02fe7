/* SPDX-License-Identifier: Apache-2.0
 *
 * smollm2_cuda_test.c: a real quantised model on a GPU: its tokens and log-probabilities (ARCHITECTURE.md, "numbers").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "support/expected.h"
#include "support/model_file.h"

static char model_path[4096];

static void check_path(tn_activation_precision activations, tn_dtype cache_dtype, double margin, double tolerance) {
    tn_model_options model;
    tn_model_options_init(&model);
    model.activations = activations;
    model.cache_dtype = cache_dtype;
    model.max_seq_len = 2048;
    tn_test_decoder decoder;
    tn_json *expected;
    assert_int_equal(tn_json_load(TN_TEST_DATA "/smollm2/expected.json", NULL, NULL, NULL, &expected), TN_OK);
    tn_test_decoder_open(&decoder, model_path, "cuda", NULL, &model);
    tn_test_decoder_start(&decoder, NULL);
    tn_test_check_expected(&decoder, expected, SIZE_MAX, margin, tolerance);
    tn_test_decoder_close(&decoder);
    tn_json_destroy(expected);
}

static void float32_path_gives_every_expected_token(void **state) {
    (void)state;
    check_path(TN_ACTIVATIONS_FLOAT32, TN_FLOAT32, -1.0, 1e-3);
}

static void default_path_gives_every_expected_token(void **state) {
    (void)state;
    check_path(TN_ACTIVATIONS_AUTO, TN_DTYPE_NONE, -1.0, 1e-3);
}

static void a_cache_of_float16_gives_the_tokens_up_to_a_margin_of_a_tenth(void **state) {
    (void)state;
    check_path(TN_ACTIVATIONS_AUTO, TN_FLOAT16, 0.1, 5e-2);
}

int main(void) {
    if (tn_test_smollm2_path(model_path, sizeof model_path) == NULL) {
        puts(tn_test_no_model);
        return 77;
    }
    if (!tn_test_has_device("cuda")) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_path_gives_every_expected_token),
        cmocka_unit_test(default_path_gives_every_expected_token),
        cmocka_unit_test(a_cache_of_float16_gives_the_tokens_up_to_a_margin_of_a_tenth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
