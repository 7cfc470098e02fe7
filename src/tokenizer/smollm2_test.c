/* SPDX-License-Identifier: Apache-2.0
 *
 * smollm2_test.c: a real model's tokenizer and chat template, from its GGUF file: $TENON_SMOLLM2, else the cache folder;
 * skipped if it is not there. Expected values: tests/golden/smollm2.
 */
#include "tokenizer/testing.h"

static char *model_path;
static tn_tokenizer *tokenizer;

static void assert_ids(const tn_json_value *expected, const int32_t *ids, size_t count) {
    assert_int_equal(count, tn_json_count(expected));
    for (size_t i = 0; i < count; i++) {
        int64_t id;
        assert_int_equal(tn_json_to_integer(tn_json_at(expected, i), 0, INT32_MAX, NULL, &id), TN_OK);
        assert_int_equal(ids[i], id);
    }
}

static void prompts_ids_and_template_are_the_expected_ones(void **state) {
    (void)state;
    tn_json *json;
    assert_int_equal(tn_json_load(TN_TEST_DATA "/smollm2/expected.json", NULL, NULL, NULL, &json), TN_OK);
    const tn_json_value *cases = tn_json_find(tn_json_root(json), "cases");
    size_t num_chats = 0;
    for (size_t i = 0; i < tn_json_count(cases); i++) {
        const tn_json_value *c = tn_json_at(cases, i);
        const char *kind, *text, *prompt;
        size_t text_size, prompt_size, num_ids;
        int32_t *ids;
        assert_int_equal(tn_json_get_string(c, "kind", NULL, &kind, NULL), TN_OK);
        assert_int_equal(tn_json_get_string(c, "text", NULL, &text, &text_size), TN_OK);
        assert_int_equal(tn_json_get_string(c, "prompt", NULL, &prompt, &prompt_size), TN_OK);
        if (strcmp(kind, "chat") == 0) {
            num_chats++;
            const tn_chat_message message = {"user", text, text_size};
            tn_text_segment *segments;
            size_t num_segments;
            assert_int_equal(tn_tokenizer_render_chat(tokenizer, &message, 1, NULL, &segments, &num_segments), TN_OK);
            tn_text all = {0};
            for (size_t k = 0; k < num_segments; k++) tn_text_append(&all, segments[k].text, segments[k].size_bytes);
            assert_string_equal(all.data, prompt);
            tn_encode_options options;
            tn_encode_options_init(&options);
            options.add_special = false;
            assert_int_equal(tn_tokenizer_encode_segments(tokenizer, segments, num_segments, &options, &ids, &num_ids), TN_OK);
            tn_text_deinit(&all);
            tn_tokenizer_free(tokenizer, segments);
        } else {
            assert_int_equal(tn_tokenizer_encode(tokenizer, text, text_size, NULL, &ids, &num_ids), TN_OK);
        }
        assert_ids(tn_json_find(c, "ids"), ids, num_ids);
        char *decoded;
        size_t decoded_size;
        assert_int_equal(tn_tokenizer_decode(tokenizer, ids, num_ids, false, NULL, &decoded, &decoded_size), TN_OK);
        assert_string_equal(decoded, prompt);
        tn_tokenizer_free(tokenizer, decoded);
        tn_tokenizer_free(tokenizer, ids);
    }
    assert_true(num_chats > 0);
    tn_json_destroy(json);
}

static void special_ids_are_the_files(void **state) {
    (void)state;
    assert_int_equal(tn_tokenizer_bos_id(tokenizer), 1);
    assert_int_equal(tn_tokenizer_eos_id(tokenizer), 2);
    assert_true(tn_tokenizer_is_end(tokenizer, 2));
    assert_int_equal(tn_tokenizer_vocab_size(tokenizer), 49152);
}

static void no_special_token_comes_from_plain_text(void **state) {
    (void)state;
    for (int32_t id = 0; id < 49152; id++) {
        if (!tn_tokenizer_is_special(tokenizer, id)) continue;
        size_t size, count;
        const char *piece = tn_tokenizer_piece(tokenizer, id, &size);
        int32_t *ids;
        assert_int_equal(tn_tokenizer_encode(tokenizer, piece, size, NULL, &ids, &count), TN_OK);
        for (size_t i = 0; i < count; i++) assert_false(tn_tokenizer_is_special(tokenizer, ids[i]));
        tn_tokenizer_free(tokenizer, ids);
    }
}

int main(void) {
    const char *from_environment = getenv("TENON_SMOLLM2");
    char *folder = NULL;
    if (from_environment)
        model_path = tn_copy_string(NULL, from_environment);
    else if (tn_cache_directory(NULL, NULL, &folder) == TN_OK)
        model_path = tn_path_join(NULL, folder, "models/SmolLM2-135M-Instruct.Q4_1.gguf");
    tn_free(NULL, folder);
    if (!model_path || !tn_path_exists(model_path)) {
        printf("skipped: no SmolLM2 file at %s; scripts/fetch_model.sh gets it, or set TENON_SMOLLM2\n", model_path ? model_path : "?");
        tn_free(NULL, model_path);
        return 77;
    }
    if (tn_tokenizer_load(model_path, NULL, &tokenizer) != TN_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_ids_and_template_are_the_expected_ones),
        cmocka_unit_test(special_ids_are_the_files),
        cmocka_unit_test(no_special_token_comes_from_plain_text),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    tn_tokenizer_destroy(tokenizer);
    tn_free(NULL, model_path);
    return result;
}
