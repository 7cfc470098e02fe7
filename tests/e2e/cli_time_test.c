/* SPDX-License-Identifier: Apache-2.0
 *
 * cli_time_test.c: `tenon inspect --time`: every step is there, bytes and arithmetic are those worked out by hand, and options that
 * make no sense are refused. Times are only looked at for being there.
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
#include <sys/wait.h>

#include "format/json.h"

#define MODELS TN_TEST_DATA "/models/"

static char output[1 << 20];

/* Runs `tenon inspect ARGUMENTS MODEL`, the model one of the golden ones or "" for none; both streams are in `output`. Returns the
 * exit code. */
static int inspect(const char *model, const char *arguments) {
    char command[1024];
    int length = snprintf(command, sizeof command, "'" TN_BINARY "' inspect --no-cache --level 0 %s %s%s 2>&1", arguments,
                          model[0] != '\0' ? MODELS : "", model);
    assert_in_range(length, 1, sizeof command - 1);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = fread(output, 1, sizeof output - 1, pipe);
    output[size] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static tn_json *time_as_json(const char *model, const char *arguments) {
    char all[256];
    tn_json *json;
    (void)snprintf(all, sizeof all, "--time --json %s", arguments);
    int exit_code = inspect(model, all);
    if (exit_code != 0) fail_msg("exit code %d:\n%s", exit_code, output);
    assert_int_equal(tn_json_parse("the output", output, strlen(output), NULL, NULL, NULL, &json), TN_OK);
    return json;
}

static const tn_json_value *function_at(const tn_json *json, size_t index) {
    return tn_json_at(tn_json_find(tn_json_root(json), "functions"), index);
}

static double number(const tn_json_value *object, const char *key) {
    double value;
    assert_int_equal(tn_json_get_number(object, key, 0.0, 1e18, NULL, &value), TN_OK);
    return value;
}

static const char *text(const tn_json_value *object, const char *key) {
    const char *value;
    assert_int_equal(tn_json_get_string(object, key, NULL, &value, NULL), TN_OK);
    return value;
}

typedef struct expected_step {
    const char *name;
    double bytes_read, bytes_written, flops;
} expected_step;

static void expect_steps(const tn_json *json, const expected_step *expected, size_t count) {
    const tn_json_value *steps = tn_json_find(function_at(json, 0), "steps");
    for (size_t i = 0; i < count; i++) {
        const tn_json_value *found = NULL;
        for (size_t k = 0; k < tn_json_count(steps) && found == NULL; k++)
            if (strcmp(text(tn_json_at(steps, k), "name"), expected[i].name) == 0) found = tn_json_at(steps, k);
        if (found == NULL) fail_msg("there is no step '%s'", expected[i].name);
        double read = number(found, "bytes_read"), written = number(found, "bytes_written"), flops = number(found, "flops");
        if (read != expected[i].bytes_read || written != expected[i].bytes_written || flops != expected[i].flops)
            fail_msg("%s reads %.0f, writes %.0f, multiplies %.0f; must be %.0f, %.0f, %.0f", expected[i].name, read, written, flops,
                     expected[i].bytes_read, expected[i].bytes_written, expected[i].flops);
    }
}

/* Two sequences with 40 tokens each: hidden size 64, 4 heads and 2 key/value heads of 16, blocks of 32, all float32. */
static void every_step_of_a_decode_has_its_time_bytes_and_products(void **state) {
    static const expected_step expected[] = {
        {"token_ids", 2 * 4 + 3 * 4 + 2 * 4, 2 * 4, 0},
        {"embedding", 2 * 4 + 2 * 256, 2 * 256, 0},
        {"layers.0.attention_norm", 2 * 256 + 256, 2 * 256, 0},
        {"layers.0.attention.q+k+v", 2 * 256 + 128 * 256, 2 * 512, 2 * 2 * 128 * 64},
        /* qkv, cos and sin, query_start, kv_length, one block number each; q and a token of the cache each */
        {"layers.1.attention.cache", 2 * 512 + 2 * 64 + 3 * 4 + 2 * 4 + 2 * 4, 2 * 256 + 2 * 256, 0},
        /* q, query_start, kv_length, two block numbers each, 41 tokens of 2 heads' k and v each */
        {"layers.1.attention", 2 * 256 + 3 * 4 + 2 * 4 + 2 * 2 * 4 + 2 * 41 * 256, 2 * 256, 2 * 2 * 41 * 4 * (16 + 16)},
        {"layers.2.attention.o", 2 * 256 + 64 * 256 + 2 * 256, 2 * 256, 2 * 2 * 64 * 64},
        {"layers.2.mlp.gate+up", 2 * 256 + 352 * 256, 2 * 176 * 4, 2 * 2 * 352 * 64},
        {"layers.2.mlp.down", 2 * 176 * 4 + 64 * 176 * 4 + 2 * 256, 2 * 256, 2 * 2 * 64 * 176},
        {"head", 2 * 256 + 320 * 256, 2 * 320 * 4, 2 * 2 * 320 * 64},
    };
    tn_json *json = time_as_json("llama-gqa", *state);
    const tn_json_value *root = tn_json_root(json), *forward = function_at(json, 0), *sample = function_at(json, 1);
    assert_string_equal(text(root, "mode"), "decode");
    assert_true(number(root, "sequences") == 2.0 && number(root, "context") == 40.0 && number(root, "tokens") == 1.0);
    assert_true(number(root, "runs") >= 20.0);
    assert_true(number(tn_json_find(root, "copy"), "bytes_per_second") > 0.0);
    assert_true(number(tn_json_find(root, "multiply"), "flops_per_second") > 0.0);
    assert_string_equal(text(forward, "name"), "forward");
    assert_string_equal(text(sample, "name"), "sample");
    const tn_json_value *steps = tn_json_find(forward, "steps");
    assert_int_equal(tn_json_count(steps), 3 + 3 * 8 + 3);
    assert_int_equal(tn_json_count(tn_json_find(sample, "steps")), 1);
    double us = 0.0, bytes_read = 0.0, flops = 0.0;
    for (size_t i = 0; i < tn_json_count(steps); i++) {
        const tn_json_value *step = tn_json_at(steps, i);
        assert_true(number(step, "index") == (double)i);
        assert_true(text(step, "tactic")[0] != '\0' && text(step, "problem")[0] != '\0' && text(step, "shape")[0] != '\0');
        us += number(step, "us");
        bytes_read += number(step, "bytes_read");
        flops += number(step, "flops");
    }
    assert_true(bytes_read == number(forward, "bytes_read") && flops == number(forward, "flops"));
    assert_float_equal(us, number(forward, "steps_us"), 0.1);
    assert_true(number(forward, "run_us") > 0.0 && number(forward, "floor_us") > 0.0);
    expect_steps(json, expected, sizeof expected / sizeof *expected);
    tn_json_destroy(json);
}

/* A token sees itself and those before it: 8 · 9 / 2 pairs. One row of logits. */
static void a_prefill_counts_the_triangle_and_each_cached_token_once(void **state) {
    static const expected_step expected[] = {
        {"layers.0.attention", 8 * 256 + 2 * 4 + 4 + 4 + 8 * 256, 8 * 256, 2 * 36 * 4 * (16 + 16)},
        {"layers.0.mlp.down", 8 * 176 * 4 + 64 * 176 * 4 + 8 * 256, 8 * 256, 2 * 8 * 64 * 176},
        {"logits_rows.gather", 256 + 4, 256, 0},
        {"head", 256 + 320 * 256, 320 * 4, 2 * 320 * 64},
    };
    (void)state;
    tn_json *json = time_as_json("llama-gqa", "--tokens 8");
    assert_string_equal(text(tn_json_root(json), "mode"), "prefill");
    expect_steps(json, expected, sizeof expected / sizeof *expected);
    tn_json_destroy(json);
}

/* Two of four experts for one token: half of the stored weights. */
static void experts_that_no_token_chose_are_not_counted(void **state) {
    static const expected_step expected[] = {
        {"layers.0.mlp.gate+up", 256 + 4 * 352 * 256 / 2 + 5 * 4 + 2 * 4, 2 * 176 * 4, 2 * 2 * 352 * 64},
    };
    (void)state;
    tn_json *json = time_as_json("mixtral", "--context 3");
    expect_steps(json, expected, 1);
    tn_json_destroy(json);
}

/* The last 16 of 41 tokens are seen, in two blocks; heads of 32. */
static void a_window_hides_the_older_tokens(void **state) {
    static char folder[] = "/tmp/tenon-time-XXXXXX";
    char command[512];
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(command, sizeof command,
                   "cp '" MODELS "'mistral/* %s && sed 's/\"sliding_window\": null/\"sliding_window\": 16/' '" MODELS
                   "mistral/config.json' > %s/config.json",
                   folder, folder);
    assert_int_equal(system(command), 0);
    (void)snprintf(command, sizeof command, "--context 40 %s", folder);
    tn_json *json = time_as_json("", command);
    const tn_json_value *steps = tn_json_find(function_at(json, 0), "steps");
    size_t count = 0;
    for (size_t i = 0; i < tn_json_count(steps); i++) {
        const tn_json_value *step = tn_json_at(steps, i);
        if (strcmp(text(step, "op"), "attention") != 0) continue;
        count++;
        assert_true(number(step, "flops") == 2 * 16 * 4 * (32 + 32));
        assert_true(number(step, "bytes_read") == 512 + 2 * 4 + 4 + 2 * 4 + 16 * 512);
    }
    assert_int_equal(count, 3);
    tn_json_destroy(json);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void layers_of_one_shape_are_one_line_of_the_table(void **state) {
    (void)state;
    assert_int_equal(inspect("llama-gqa", "--time --context 8"), 0);
    static const char *const parts[] = {"copy bandwidth",
                                        "multiply rate",
                                        "decode of 1 sequence, 8 tokens in the cache of each",
                                        "function forward: 30 steps",
                                        "function sample: 1 step\n",
                                        "whole run"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(output, parts[i]) == NULL) fail_msg("'%s' is missing in:\n%s", parts[i], output);
    unsigned total = 0;
    size_t num_lines = 0;
    for (const char *line = output; line != NULL && strstr(line, "function sample") != NULL; line = strchr(line + 1, '\n')) {
        unsigned count;
        if (strncmp(line, "\n    ", 5) != 0 || sscanf(line, "%5u", &count) != 1) continue;
        total += count;
        num_lines++;
    }
    assert_int_equal(total, 30);
    assert_in_range(num_lines, 10, 14); /* 3 layers of 8 steps, norms alike */
}

static void options_that_make_no_sense_are_refused(void **state) {
    static const struct {
        const char *arguments, *message;
        int exit_code;
    } cases[] = {
        {"--tokens 4", "--tokens goes with --time", 2},
        {"--sequences 2", "--sequences goes with --time", 2},
        {"--context 2", "--context goes with --time", 2},
        {"--time --why", "--why and --time do not go together", 2},
        {"--time --tokens 4 --sequences 2", "--tokens measures a prefill", 2},
        {"--time --tokens 4 --context 0", "--tokens measures a prefill", 2},
        {"--time --tokens 0", "--tokens is '0', must be", 2},
        {"--time --sequences x", "--sequences is 'x', must be", 2},
        {"--time --context -1", "--context is '-1', must be", 2},
        {"--time --tokens 513", "--tokens is 513, a step of this engine takes at most 512", 1},
        {"--time --sequences 17", "--sequences is 17, a step of this engine takes at most 16", 1},
        {"--time --context 512", "--context is 512, a sequence of this engine has at most 512", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int exit_code = inspect("llama-gqa", cases[i].arguments);
        if (exit_code != cases[i].exit_code || strstr(output, cases[i].message) == NULL)
            fail_msg("%s: exit code %d, must be %d with '%s':\n%s", cases[i].arguments, exit_code, cases[i].exit_code, cases[i].message,
                     output);
    }
    assert_int_equal(inspect("", "--time"), 2);
}

int main(void) {
    static char on_cpu[] = "--sequences 2 --context 40", on_ref[] = "--device ref --sequences 2 --context 40";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_step_of_a_decode_has_its_time_bytes_and_products, on_cpu),
        cmocka_unit_test_prestate(every_step_of_a_decode_has_its_time_bytes_and_products, on_ref),
        cmocka_unit_test(a_prefill_counts_the_triangle_and_each_cached_token_once),
        cmocka_unit_test(experts_that_no_token_chose_are_not_counted),
        cmocka_unit_test(a_window_hides_the_older_tokens),
        cmocka_unit_test(layers_of_one_shape_are_one_line_of_the_table),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
