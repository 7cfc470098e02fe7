/* SPDX-License-Identifier: Apache-2.0
 *
 * cli_test.c: the program `tenon` as scripts and users meet it: what it prints, where, and its exit code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "format/json.h"
#include "plan/plan_format.h"
#include "program.h"

#define MODEL     TN_TEST_DATA "/models/llama-gqa"
#define TOKENIZER TN_TEST_DATA "/tokenizers/gpt2-bytelevel/tokenizer.json"

/* --- run --json ------------------------------------------------------------------------------------------------------------------------ */

static void run_json_has_the_promised_keys_and_no_others(void **state) {
    (void)state;
    static const char *const keys[] = {"prompt_ids", "output_ids", "text", "finish_reason", "log_probs", "timings"};
    TENON("run", MODEL, "--ids", "3,5,8", "--max-tokens", "24", "--temperature", "0", "--ignore-eos", "--json", "--log-probs", "2");
    expect_success("");
    tn_json *json;
    assert_int_equal(tn_json_parse("the output", last.output, strlen(last.output), NULL, NULL, NULL, &json), TN_OK);
    const tn_json_value *root = tn_json_root(json);
    assert_int_equal(tn_json_count(root), 6);
    for (size_t i = 0; i < 6; i++)
        if (tn_json_find(root, keys[i]) == NULL) fail_msg("the key %s is missing", keys[i]);
    static const int64_t prompt[] = {3, 5, 8};
    int64_t id;
    assert_int_equal(tn_json_count(tn_json_find(root, "prompt_ids")), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tn_json_to_integer(tn_json_at(tn_json_find(root, "prompt_ids"), i), 0, 1000, NULL, &id), TN_OK);
        assert_int_equal(id, prompt[i]);
    }
    const tn_json_value *output = tn_json_find(root, "output_ids"), *log_probs = tn_json_find(root, "log_probs");
    assert_int_equal(tn_json_count(output), 24);
    assert_int_equal(tn_json_count(log_probs), 24);
    for (size_t i = 0; i < 24; i++) { /* the token itself, then the two most likely */
        int64_t first, likeliest;
        const tn_json_value *pairs = tn_json_at(log_probs, i);
        assert_int_equal(tn_json_count(pairs), 3);
        assert_int_equal(tn_json_to_integer(tn_json_at(output, i), 0, 1000, NULL, &id), TN_OK);
        assert_int_equal(tn_json_to_integer(tn_json_at(tn_json_at(pairs, 0), 0), 0, 1000, NULL, &first), TN_OK);
        assert_int_equal(tn_json_to_integer(tn_json_at(tn_json_at(pairs, 1), 0), 0, 1000, NULL, &likeliest), TN_OK);
        assert_int_equal(first, id);
        assert_int_equal(likeliest, id); /* greedy */
    }
    tn_json_destroy(json);
    TENON("run", MODEL, "--ids", "3,5,8", "--max-tokens", "2", "--json");
    expect_success("");
    assert_null(strstr(last.output, "log_probs"));
}

static void logits_are_a_float32_matrix_of_prompt_and_vocabulary(void **state) {
    (void)state;
    const char *path = "logits.npy";
    TENON("run", MODEL, "--ids", "3,5,8", "--max-tokens", "1", "--logits", path);
    expect_success("");
    char *bytes;
    size_t size;
    assert_int_equal(tn_file_read_all(path, 1 << 20, NULL, NULL, &bytes, &size), TN_OK);
    assert_int_equal(size, 128 + 3 * 320 * sizeof(float));
    assert_memory_equal(bytes, "\x93NUMPY\x01\x00", 8);
    assert_non_null(strstr(bytes + 10, "'descr': '<f4', 'fortran_order': False, 'shape': (3, 320)"));
    tn_free(NULL, bytes);
}

/* --- engines of another machine -------------------------------------------------------------------------------------------------------- */

/* The plan as a machine with other kernels would have written it: the first step's tactic has another version. */
static void make_plan_of_another_machine(const char *path) {
    char *bytes;
    size_t size;
    assert_int_equal(tn_file_read_all(path, 1 << 24, NULL, NULL, &bytes, &size), TN_OK);
    tn_plan_header *header = (tn_plan_header *)(void *)bytes;
    tn_plan_section *sections = (tn_plan_section *)(void *)(bytes + sizeof *header);
    for (uint32_t i = 0; i < header->num_sections; i++) {
        if (sections[i].id != TN_SECTION_VARIANTS) continue;
        tn_plan_variant *variants = (tn_plan_variant *)(void *)(bytes + sections[i].offset);
        variants[0].tactic_version += 7;
        sections[i].hash = tn_hash(variants, sections[i].size, 0);
    }
    memset(header->fingerprint, 0, sizeof header->fingerprint);
    snprintf(header->fingerprint, sizeof header->fingerprint, "cpu-of-another-machine");
    header->header_hash = 0;
    header->header_hash = tn_hash(bytes, sizeof *header + header->num_sections * sizeof *sections, 0);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    tn_free(NULL, bytes);
}

static void an_engine_of_another_machine_is_retuned_with_one_line_and_kept(void **state) {
    (void)state;
    const char *engine = "moved";
    char answer[256];
    TENON("build", MODEL, "-o", engine, "--level", "0");
    expect_success("");
    TENON("run", engine, "--ids", "3,5,8", "--max-tokens", "8");
    expect_success("");
    snprintf(answer, sizeof answer, "%s", last.output);
    make_plan_of_another_machine("moved/rank0.plan");
    TENON("run", engine, "--ids", "3,5,8", "--max-tokens", "8");
    expect_success("tenon: choosing the kernels of moved/rank0.plan again for this machine\n");
    assert_string_equal(last.output, answer);
    TENON("run", engine, "--ids", "3,5,8", "--max-tokens", "8");
    expect_success("");
    assert_string_equal(last.output, answer);
}

static void an_engine_of_fewer_instructions_runs_as_it_is(void **state) {
    (void)state;
    const char *engine = "plain-c";
    TENON("run", MODEL, "--ids", "3,5,8", "--max-tokens", "8");
    char answer[256];
    snprintf(answer, sizeof answer, "%s", last.output);
    TENON("build", MODEL, "-o", engine, "--level", "0", "--isa", "c");
    expect_success("");
    TENON("run", engine, "--ids", "3,5,8", "--max-tokens", "8");
    expect_success("");
    assert_string_equal(last.output, answer);
}

static void an_engine_of_another_device_is_refused_with_the_option_that_fits(void **state) {
    (void)state;
    const char *engine = "reference";
    TENON("build", MODEL, "-o", engine, "--level", "0", "--device", "ref");
    expect_success("");
    TENON("run", engine, "--ids", "3");
    expect_failure(1, "tenon: ");
    assert_non_null(strstr(last.messages, "was built for the device 'ref', this is 'cpu'\n  add --device ref"));
    TENON("run", engine, "--ids", "3", "--device", "ref", "--max-tokens", "2");
    expect_success("");
}

static void an_engine_without_hidden_states_is_refused_where_embeddings_are_asked_for(void **state) {
    (void)state;
    TENON("build", MODEL, "-o", "vectors", "--level", "0", "--embeddings");
    expect_success("");
    TENON("run", "vectors", "--ids", "3", "--max-tokens", "2", "--embeddings");
    expect_success("");
    TENON("build", MODEL, "-o", "no-vectors", "--level", "0");
    expect_success("");
    TENON("run", "no-vectors", "--ids", "3", "--embeddings");
    expect_failure(1, "tenon: no-vectors gives no embeddings\n  build it again from its model with --embeddings");
}

static void a_damaged_cached_engine_is_built_again_without_a_word(void **state) {
    (void)state;
    TENON("run", MODEL, "--ids", "3,5,8", "--max-tokens", "8", "--max-seq-len", "64");
    expect_success("");
    char *answer = tn_copy_string(NULL, last.output);
    assert_int_equal(system("for plan in cache/engines/*/rank0.plan; do truncate -s 100 \"$plan\"; done"), 0);
    TENON("run", MODEL, "--ids", "3,5,8", "--max-tokens", "8", "--max-seq-len", "64");
    expect_success("");
    assert_string_equal(last.output, answer);
    tn_free(NULL, answer);
}

/* --- limits ------------------------------------------------------------------------------------------------------------------------------ */

static void a_memory_limit_below_the_need_gives_the_table(void **state) {
    (void)state;
    TENON("run", MODEL, "--ids", "3", "--mem-limit", "1M", "--no-cache");
    assert_int_equal(last.exit_code, 1);
    static const char *const lines[] = {"tenon: cannot build: the memory is too small\n",
                                        "\n  weights ",
                                        "\n  activations ",
                                        "\n  together ",
                                        "\n  limit        1 MB",
                                        "--mem-limit\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (strstr(last.messages, lines[i]) == NULL) fail_msg("'%s' is missing in:\n%s", lines[i], last.messages);
}

static void a_prompt_longer_than_the_context_gives_both_numbers(void **state) {
    (void)state;
    TENON("run", MODEL, "--ids", "3,4,5,6,7,8,9,10", "--max-seq-len", "6");
    expect_failure(1, "tenon: cannot take the request: the prompt has 8 tokens, the context holds 6 ");
}

/* --- wrong usage ------------------------------------------------------------------------------------------------------------------------- */

static void wrong_options_are_named_with_exit_code_2(void **state) {
    (void)state;
    TENON("run", MODEL, "--no-such-option");
    expect_failure(2, "tenon run: unrecognized option '--no-such-option'\n");
    TENON("run");
    expect_failure(2, "tenon run: MODEL is missing\n");
    TENON("run", MODEL, "--device", "gpu");
    expect_failure(2, "tenon run: --device is 'gpu', must be one of: cpu, cuda, ref, ");
    static const char *const lists[] = {"3,x", "", "3,", ",3", "3 5", "-1", "99999999999"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char message[128];
        snprintf(message, sizeof message, "tenon run: --ids is '%s', must be token ids with commas between them\n", lists[i]);
        TENON("run", MODEL, "--ids", lists[i]);
        expect_failure(2, message);
    }
    TENON("run", MODEL, "--ids", "3", "--mem-limit", "much");
    expect_failure(2, "tenon run: --mem-limit is 'much', must be a size such as 512M or 2G\n");
    TENON("build", MODEL);
    expect_failure(2, "tenon build: -o DIR is missing\n");
    TENON("frob");
    assert_int_equal(last.exit_code, 2);
    assert_memory_equal(last.messages, "tenon: there is no verb 'frob'\n", 31);
}

static void an_id_outside_the_vocabulary_is_named(void **state) {
    (void)state;
    TENON("run", MODEL, "--ids", "3,320");
    expect_failure(1, "tenon: cannot take the request: the prompt holds id 320 at 1, the vocabulary has 0 to 319\n");
}

static void what_is_no_model_is_refused_by_its_name(void **state) {
    (void)state;
    TENON("run", "/no/such/model.gguf", "--ids", "3");
    expect_failure(1, "tenon: there is no '/no/such/model.gguf'\n");
    TENON("build", "/no/such/model.gguf", "-o", "never");
    expect_failure(1, "tenon: cannot open /no/such/model.gguf: No such file or directory\n");
    assert_int_equal(mkdir("empty", 0755), 0);
    TENON("run", "empty", "--ids", "3");
    expect_failure(1, "tenon: cannot open empty/config.json: No such file or directory\n");
    write_text("text.gguf", "Once upon a time.\n");
    TENON("run", "text.gguf", "--ids", "3");
    expect_failure(1, "tenon: cannot read text.gguf: it is not a GGUF file: ");
}

static void a_file_without_permission_is_refused_by_its_name(void **state) {
    (void)state;
    if (geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_SETPCAP) != 1) skip(); /* root that cannot give up its rights */
    write_text("closed.gguf", "GGUF");
    assert_int_equal(chmod("closed.gguf", 0), 0);
    TENON("run", "closed.gguf", "--ids", "3");
    expect_failure(1, "tenon: cannot open closed.gguf: Permission denied\n");
}

static void logits_that_cannot_be_written_fail(void **state) {
    (void)state;
    TENON("run", MODEL, "--ids", "3", "--max-tokens", "1", "--logits", "/no/such/folder/logits.npy");
    expect_failure(1, "tenon: cannot create /no/such/folder/logits.npy");
}

static void a_model_without_tokenizer_asks_for_ids(void **state) {
    (void)state;
    TENON("run", MODEL, "Hello");
    expect_failure(1, "tenon: this model has no tokenizer\n  give the prompt as --ids 3,5,8\n");
    TENON("chat", MODEL);
    expect_failure(1, "tenon: this model has no tokenizer\n");
}

static void without_a_home_folder_a_model_still_runs(void **state) {
    (void)state;
    unsetenv("TENON_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    TENON("run", MODEL, "--ids", "3,5,8", "--max-tokens", "2");
    setenv("TENON_CACHE", cache, 1);
    expect_success("");
    assert_true(strlen(last.output) > 2);
}

/* --- tokenize ------------------------------------------------------------------------------------------------------------------------------ */

static const char text_with_end[] = "Hello, world! 123 \xc3\xa4\xe4\xb8\xad</s>";

static void tokenize_json_has_ids_pieces_and_the_text_again(void **state) {
    (void)state;
    run(text_with_end, (const char *const[]){"tokenize", TOKENIZER, "--json", NULL});
    expect_success("");
    tn_json *json;
    assert_int_equal(tn_json_parse("the output", last.output, strlen(last.output), NULL, NULL, NULL, &json), TN_OK);
    const tn_json_value *root = tn_json_root(json);
    size_t num_ids = tn_json_count(tn_json_find(root, "ids"));
    assert_int_equal(tn_json_count(root), 3);
    assert_true(num_ids > 4);
    assert_int_equal(tn_json_count(tn_json_find(root, "pieces")), num_ids);
    const char *decoded;
    assert_int_equal(tn_json_get_string(root, "decoded", NULL, &decoded, NULL), TN_OK);
    assert_string_equal(decoded, text_with_end);
    tn_json_destroy(json);
}

static void decoded_ids_are_the_text_with_or_without_its_special_tokens(void **state) {
    (void)state;
    run(text_with_end, (const char *const[]){"tokenize", TOKENIZER, NULL});
    expect_success("");
    char *ids = tn_copy_string(NULL, last.output);
    run(ids, (const char *const[]){"tokenize", TOKENIZER, "--decode", NULL});
    expect_success("");
    assert_string_equal(last.output, text_with_end);
    run(ids, (const char *const[]){"tokenize", TOKENIZER, "--decode", "--skip-special", NULL});
    expect_success("");
    assert_int_equal(strlen(last.output), strlen(text_with_end) - strlen("</s>"));
    assert_memory_equal(last.output, text_with_end, strlen(last.output));
    tn_free(NULL, ids);
    run("3 x", (const char *const[]){"tokenize", TOKENIZER, "--decode", NULL});
    expect_failure(1, "tenon: 'x' is no id of this vocabulary (0 to ");
    run("99999999", (const char *const[]){"tokenize", TOKENIZER, "--decode", NULL});
    expect_failure(1, "tenon: '99999999' is no id of this vocabulary (0 to ");
}

/* The golden tokenizer with a rule that puts <s> before a text. */
static void write_tokenizer_with_begin(const char *path) {
    static const char none[] = "\"post_processor\": null";
    static const char rule[] = "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", "
                               "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"Sequence\": {\"id\": "
                               "\"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], \"special_tokens\": {\"<s>\": "
                               "{\"id\": \"<s>\", \"ids\": [0], \"tokens\": [\"<s>\"]}}}";
    char *json;
    size_t size;
    assert_int_equal(tn_file_read_all(TOKENIZER, 1 << 24, NULL, NULL, &json, &size), TN_OK);
    const char *place = strstr(json, none);
    assert_non_null(place);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fprintf(file, "%.*s%s%s", (int)(place - json), json, rule, place + strlen(none));
    assert_int_equal(fclose(file), 0);
    tn_free(NULL, json);
}

static void no_special_adds_nothing_around_the_text(void **state) {
    (void)state;
    const char *tokenizer = "tokenizer.json";
    write_tokenizer_with_begin(tokenizer);
    run("Hello", (const char *const[]){"tokenize", tokenizer, NULL});
    expect_success("");
    assert_memory_equal(last.output, "0 ", 2);
    char *with = tn_copy_string(NULL, last.output);
    run("Hello", (const char *const[]){"tokenize", tokenizer, "--no-special", NULL});
    expect_success("");
    assert_string_equal(last.output, with + 2);
    run(with, (const char *const[]){"tokenize", tokenizer, "--decode", NULL});
    expect_success("");
    assert_string_equal(last.output, "<s>Hello");
    run(with, (const char *const[]){"tokenize", tokenizer, "--decode", "--skip-special", NULL});
    expect_success("");
    assert_string_equal(last.output, "Hello");
    tn_free(NULL, with);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_json_has_the_promised_keys_and_no_others),
        cmocka_unit_test(logits_are_a_float32_matrix_of_prompt_and_vocabulary),
        cmocka_unit_test(an_engine_of_another_machine_is_retuned_with_one_line_and_kept),
        cmocka_unit_test(an_engine_of_fewer_instructions_runs_as_it_is),
        cmocka_unit_test(an_engine_of_another_device_is_refused_with_the_option_that_fits),
        cmocka_unit_test(an_engine_without_hidden_states_is_refused_where_embeddings_are_asked_for),
        cmocka_unit_test(a_damaged_cached_engine_is_built_again_without_a_word),
        cmocka_unit_test(a_memory_limit_below_the_need_gives_the_table),
        cmocka_unit_test(a_prompt_longer_than_the_context_gives_both_numbers),
        cmocka_unit_test(wrong_options_are_named_with_exit_code_2),
        cmocka_unit_test(an_id_outside_the_vocabulary_is_named),
        cmocka_unit_test(what_is_no_model_is_refused_by_its_name),
        cmocka_unit_test(a_file_without_permission_is_refused_by_its_name),
        cmocka_unit_test(logits_that_cannot_be_written_fail),
        cmocka_unit_test(a_model_without_tokenizer_asks_for_ids),
        cmocka_unit_test(without_a_home_folder_a_model_still_runs),
        cmocka_unit_test(tokenize_json_has_ids_pieces_and_the_text_again),
        cmocka_unit_test(decoded_ids_are_the_text_with_or_without_its_special_tokens),
        cmocka_unit_test(no_special_adds_nothing_around_the_text),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
