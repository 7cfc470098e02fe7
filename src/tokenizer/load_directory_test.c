/* SPDX-License-Identifier: Apache-2.0
 *
 * load_directory_test.c: what the files beside tokenizer.json add, and what a path may be.
 */
#include <unistd.h>

#include "tokenizer/testing.h"

static char directory[64];

static void write_file(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static int make_directory(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/tenon_tokenizer_XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
    (void)state;
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
                                        "config.json",    "chat_template.jinja",   "tokenizer.model"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        (void)unlink(path);
    }
    return rmdir(directory);
}

static tn_status load(tn_diag *diag, tn_tokenizer **out) {
    tn_tokenizer_options options = {.struct_size = sizeof options, .diag = diag};
    return tn_tokenizer_load(directory, &options, out);
}

static void the_files_beside_it_give_ids_and_template(void **state) {
    (void)state;
    write_file("tokenizer.json", SMALL_JSON);
    write_file("tokenizer_config.json", "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"abc\"},\"chat_template\":"
                                        "[{\"name\":\"tool\",\"template\":\"T\"},{\"name\":\"default\",\"template\":\"D\"}]}");
    write_file("special_tokens_map.json", "{\"pad_token\":\"<pad>\",\"eos_token\":\"a\"}");
    write_file("generation_config.json", "{\"eos_token_id\":[2,3,900]}");
    tn_tokenizer *t;
    assert_int_equal(load(NULL, &t), TN_OK);
    assert_int_equal(tn_tokenizer_bos_id(t), 0);
    assert_int_equal(tn_tokenizer_eos_id(t), 6);
    assert_int_equal(tn_tokenizer_pad_id(t), 9);
    const int32_t *ends;
    assert_int_equal(tn_tokenizer_end_ids(t, &ends), 3);
    assert_int_equal(ends[0], 6);
    assert_true(tn_tokenizer_is_end(t, 3));
    assert_false(tn_tokenizer_is_end(t, 1));
    size_t size;
    assert_memory_equal(tn_tokenizer_chat_template(t, &size), "D", 1);
    tn_tokenizer_destroy(t);
    write_file("chat_template.jinja", "own file");
    assert_int_equal(load(NULL, &t), TN_OK);
    assert_memory_equal(tn_tokenizer_chat_template(t, &size), "own file", 8);
    tn_tokenizer_destroy(t);
}

static void a_sentencepiece_model_gets_its_ends_from_the_class(void **state) {
    (void)state;
    char *model, path[128];
    size_t size, count;
    assert_int_equal(
        tn_file_read_all(TN_TEST_DATA "/tokenizers/parts/sentencepiece-bpe/tokenizer.model", 1 << 20, NULL, NULL, &model, &size), TN_OK);
    snprintf(path, sizeof path, "%s/tokenizer.model", directory);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(model, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    write_file("tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizer\",\"add_eos_token\":true}");
    tn_tokenizer *t;
    assert_int_equal(load(NULL, &t), TN_OK);
    int32_t *ids;
    assert_int_equal(tn_tokenizer_encode(t, "dog", 3, NULL, &ids, &count), TN_OK);
    assert_true(count > 2);
    assert_int_equal(ids[0], tn_tokenizer_bos_id(t));
    assert_int_equal(ids[count - 1], tn_tokenizer_eos_id(t));
    assert_true(tn_tokenizer_is_end(t, ids[count - 1]));
    tn_tokenizer_free(t, ids);
    tn_tokenizer_destroy(t);
    tn_free(NULL, model);
}

static void a_directory_without_tokenizer_is_not_found(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    tn_tokenizer *t;
    assert_int_equal(load(diag, &t), TN_NOT_FOUND);
    assert_mentions(diag, "no tokenizer.json");
    tn_diag_destroy(diag);
}

static void an_end_token_that_is_no_token_is_refused(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    tn_tokenizer *t;
    write_file("tokenizer.json", SMALL_JSON);
    write_file("tokenizer_config.json", "{\"eos_token\":\"<end>\"}");
    assert_int_equal(load(diag, &t), TN_INVALID_DATA);
    assert_mentions(diag, "<end>");
    tn_diag_destroy(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_files_beside_it_give_ids_and_template, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_sentencepiece_model_gets_its_ends_from_the_class, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_directory_without_tokenizer_is_not_found, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(an_end_token_that_is_no_token_is_refused, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
