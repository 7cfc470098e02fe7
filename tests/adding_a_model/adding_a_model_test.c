/* SPDX-License-Identifier: Apache-2.0
 *
 * adding_a_model_test.c: the family of docs/adding-a-model.md gives the logits of the golden whose weights it has.
 */
#include "e2e/golden.h"
#include "model/family.h"

static void the_pages_family_gives_the_golden_logits(void **state) {
    (void)state;
    golden_model *model = golden_load("llama-gqa", "config.json");
    tn_test_decoder decoder;
    tn_test_decoder_open(&decoder, TN_FOLLOWED, "cpu", NULL, NULL);
    golden_run(&decoder, model, 8, false, "the page's family");
    tn_test_decoder_close(&decoder);
    free(model);
}

static void the_pages_family_stands_beside_the_others(void **state) {
    (void)state;
    assert_non_null(tn_family_find_hf("ExampleForCausalLM"));
    assert_string_equal(tn_family_find_hf("ExampleForCausalLM")->name, "example");
    assert_non_null(tn_family_find_hf("LlamaForCausalLM"));
}

static void a_config_field_that_nobody_asked_for_is_refused(void **state) {
    (void)state;
    const char *text = "{\"architectures\":[\"ExampleForCausalLM\"],\"vocab_size\":320,\"width\":64,\"depth\":3,\"heads\":4,"
                       "\"mlp_width\":176,\"context\":512,\"activation\":\"silu\",\"twist\":0.5}";
    tn_arena arena = {0};
    tn_diag *diag;
    tn_json *json;
    tn_model_config config;
    const tn_family *family;
    tn_diag_entry entry;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_json_parse("config.json", text, strlen(text), NULL, NULL, diag, &json), TN_OK);
    assert_int_equal(tn_model_config_from_json(json, "config.json", &arena, diag, &config, &family), TN_UNSUPPORTED);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_non_null(strstr(entry.message, "'twist'"));
    tn_json_destroy(json);
    tn_diag_destroy(diag);
    tn_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pages_family_gives_the_golden_logits),
        cmocka_unit_test(the_pages_family_stands_beside_the_others),
        cmocka_unit_test(a_config_field_that_nobody_asked_for_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
