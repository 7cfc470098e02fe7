/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_export_test.c: what `tenon inspect` writes for others: Graphviz, viewers of ONNX files, and the page, which a headless
 * Chromium opens where there is one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODEL TN_TEST_DATA "/models/llama-gqa"

static char folder[] = "/tmp/tenon-export-XXXXXX", output[4 << 20];
static size_t output_size;

static int run(const char *command) {
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    output_size = fread(output, 1, sizeof output - 1, pipe);
    output[output_size] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int inspect(const char *options) {
    char command[1024];
    (void)snprintf(command, sizeof command, "cd %s && '" TN_BINARY "' inspect --no-cache --level 0 %s '" MODEL "' 2>&1", folder, options);
    return run(command);
}

static void read_output(const char *name) {
    char path[64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    output_size = fread(output, 1, sizeof output - 1, file);
    output[output_size] = '\0';
    (void)fclose(file);
}

static uint64_t varint(size_t *at) {
    uint64_t value = 0;
    for (int shift = 0; *at < output_size && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)output[(*at)++];
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) break;
    }
    return value;
}

/* Fields of the message from `begin` to `end`; those of number `field` are counted, *out_at: where the last one's bytes begin. */
static int count_fields(size_t begin, size_t end, uint32_t field, size_t *out_at, size_t *out_size) {
    int count = 0;
    for (size_t at = begin; at < end;) {
        uint64_t tag = varint(&at), size = varint(&at);
        if ((tag & 7) == 2) {
            assert_true(size <= end - at);
            if (tag >> 3 == field) count++, *out_at = at, *out_size = (size_t)size;
            at += size;
        } else {
            assert_int_equal(tag & 7, 0); /* a number: it was `size` */
        }
        assert_true(at <= end);
    }
    return count;
}

static void the_graph_goes_to_graphviz_and_to_viewers_of_onnx(void **state) {
    (void)state;
    assert_int_equal(inspect("--dot"), 0);
    assert_true(strncmp(output, "digraph plan {", 14) == 0);
    assert_non_null(strstr(output, "label=\"forward\""));
    assert_non_null(strstr(output, "matrix_multiply\\n"));
    assert_non_null(strstr(output, " -> "));
    assert_int_equal(inspect("--onnx graph.onnx"), 0);
    read_output("graph.onnx");
    size_t graph, graph_size, at, size;
    assert_int_equal(count_fields(0, output_size, 7, &graph, &graph_size), 1);
    assert_int_equal(count_fields(0, output_size, 8, &at, &size), 2);
    assert_true(count_fields(graph, graph + graph_size, 1, &at, &size) >= 20);
    assert_int_equal(count_fields(graph, graph + graph_size, 12, &at, &size), 1);
    assert_true(memmem(output + at, size, "logits", 6) != NULL);
    assert_true(count_fields(graph, graph + graph_size, 11, &at, &size) >= 5);
}

static void the_page_stands_alone_and_holds_graph_times_and_refusals(void **state) {
    (void)state;
    assert_int_equal(inspect("--html page.html --context 8"), 0);
    read_output("page.html");
    assert_non_null(strstr(output, "\"functions\":[{\"name\":\"forward\""));
    assert_non_null(strstr(output, "\"bytes_per_second\":"));
    assert_non_null(strstr(output, "\"refused\":["));
    assert_non_null(strstr(output, "prefers-color-scheme: dark"));
    assert_non_null(strstr(output, "default-src 'none'"));
    assert_null(strstr(output, "src=\"http"));
    assert_null(strstr(output, "href=\"http"));
    assert_null(strstr(output, "@import"));
}

static void the_page_opens_in_chromium_without_an_error(void **state) {
    (void)state;
    char command[1024];
    if (run("command -v chromium || command -v chromium-browser") != 0) {
        print_message("no chromium here: apt-get install chromium\n");
        skip();
    }
    assert_int_equal(inspect("--html page.html --context 8"), 0);
    (void)snprintf(command, sizeof command,
                   "cd %s && HOME=%s timeout 100 chromium --headless=new --no-sandbox --disable-gpu --enable-logging=stderr "
                   "--virtual-time-budget=5000 "
                   "--dump-dom file://%s/page.html 2>page.log",
                   folder, folder, folder);
    int status = run(command);
    if (status != 0) fail_msg("chromium ended with %d", status);
    assert_non_null(strstr(output, "data-ready=\"yes\""));
    assert_non_null(strstr(output, "class=\"roof\""));
    assert_non_null(strstr(output, "class=\"node\""));
    read_output("page.log");
    assert_null(strstr(output, "Uncaught"));
    assert_null(strstr(output, "Refused to"));
}

static void options_that_do_not_go_together_are_refused(void **state) {
    (void)state;
    const char *const wrong[] = {"--dot --json", "--html page.html --why", "--onnx a --dot", "--time --dot", "--tokens 4 --dot"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_int_not_equal(inspect(wrong[i]), 0);
    assert_int_not_equal(inspect("--onnx /no/such/folder/graph.onnx"), 0);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : 1;
}
static int remove_folder(void **state) {
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return run(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_graph_goes_to_graphviz_and_to_viewers_of_onnx),
        cmocka_unit_test(the_page_stands_alone_and_holds_graph_times_and_refusals),
        cmocka_unit_test(the_page_opens_in_chromium_without_an_error),
        cmocka_unit_test(options_that_do_not_go_together_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
