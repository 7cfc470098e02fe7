/* SPDX-License-Identifier: Apache-2.0
 *
 * tool_calls_test.c: what is a call in which form, what stays content, and that cutting the text changes nothing.
 */
#include "tokenizer/tool_calls.h"

#include "support/fault_allocator.h"
#include "tokenizer/testing.h"

/* Events as one line: content as it is, a call as «name(arguments)» or, where its end is missing, «name(arguments…. */
static void print_events(tn_text *line, const tn_tool_event *events, size_t num_events) {
    for (size_t i = 0; i < num_events; i++) {
        static const char *const before[] = {"", "«", "", ")»"}, *const behind[] = {"", "(", "", ""};
        tn_text_append_string(line, before[events[i].kind]);
        tn_text_append(line, events[i].text, events[i].size_bytes);
        tn_text_append_string(line, behind[events[i].kind]);
        if (events[i].kind != TN_TOOL_CALL_END) assert_true(events[i].size_bytes > 0);
    }
}

static tn_tool_parser *make_parser(tn_tool_form form) {
    tn_tool_parser *parser;
    assert_int_equal(tn_tool_parser_create(form, NULL, NULL, &parser), TN_OK);
    return parser;
}

/* Pieces of `step` code points each; the first one `first` bytes. */
static tn_text stream(tn_tool_form form, const char *text, size_t first, size_t step) {
    tn_tool_parser *parser = make_parser(form);
    tn_text line = {0};
    const tn_tool_event *events;
    size_t num_events, size = strlen(text);
    for (size_t at = 0; at < size;) {
        size_t end = at == 0 && first ? first : at;
        for (size_t i = 0; i < step && end < size && !(at == 0 && first); i++) do
                end++;
            while (end < size && ((unsigned char)text[end] & 0xC0) == 0x80);
        assert_int_equal(tn_tool_parser_push(parser, text + at, end - at, &events, &num_events), TN_OK);
        print_events(&line, events, num_events);
        at = end;
    }
    assert_int_equal(tn_tool_parser_finish(parser, &events, &num_events), TN_OK);
    print_events(&line, events, num_events);
    tn_text_append(&line, "", 0);
    tn_tool_parser_destroy(parser);
    return line;
}

static void assert_reads(tn_tool_form form, const char *text, const char *expected) {
    size_t size = strlen(text);
    tn_text whole = stream(form, text, size, 1);
    if (strcmp(whole.data, expected) != 0)
        fail_msg("%s '%s': got '%s', expected '%s'", tn_tool_form_name(form), text, whole.data, expected);
    for (size_t first = 0; first < size; first++) {
        if (((unsigned char)text[first] & 0xC0) == 0x80) continue;
        for (size_t step = 1; step < 64; step = step * 3 + 1) { /* 1, 4, 13, 40: the rest in such pieces */
            tn_text line = stream(form, text, first, step);
            if (strcmp(line.data, expected) != 0)
                fail_msg("%s '%s' cut at %zu, then by %zu: '%s'", tn_tool_form_name(form), text, first, step, line.data);
            tn_text_deinit(&line);
        }
    }
    tn_text_deinit(&whole);
}

static void hermes_calls_stand_between_tags(void **state) {
    (void)state;
    const tn_tool_form form = TN_TOOLS_HERMES;
    assert_reads(form, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"}\"], \"b\": {}}}\n</tool_call>",
                 "«f({\"a\": [1, \"}\"], \"b\": {}})»");
    assert_reads(form,
                 "Let me "
                 "see.\n\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</"
                 "tool_call>\n<tool_call>{\"name\":\"g\",\"arguments\":{\"x\":\"\\\"\"}}</tool_call>\n",
                 "Let me see.«f({})»«g({\"x\":\"\\\"\"})»");
    assert_reads(form, "<tool_call>{\"arguments\": {\"a\": 1}, \"id\": 7, \"name\": \"f\", \"more\": [true, null]}</tool_call> Done.",
                 "«f({\"a\": 1})» Done.");
    assert_reads(form, "<tool_call>{\"name\": \"f\"}</tool_call>", "«f({})»");
    assert_reads(form, "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>", "«f({})»");
    assert_reads(form, "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": \\\"\\\\u00e9\\ud83d\\ude00\\\"}\"}</tool_call>",
                 "«f({\"a\": \"\\u00e9😀\"})»");
    assert_reads(form, "<tool_call>{\"name\": \"\\u0066\\n\\q\", \"arguments\": {\"ü\": \"ß\"}}</tool_call>", "«f\n\\q({\"ü\": \"ß\"})»");
    assert_reads(form, "<tool_call>[{\"name\":\"f\",\"arguments\":{}}, {\"name\":\"g\"}]</tool_call>", "«f({})»«g({})»");
}

static void what_only_looks_like_a_call_is_content(void **state) {
    (void)state;
    const tn_tool_form form = TN_TOOLS_HERMES;
    static const char *const texts[] = {
        "no call",
        "",
        " \n",
        "a <tool",
        "a < b <<tool_call",
        "x \n<tool_call>",
        "<tool_call> ",
        "<tool_call>{\"name\": \"f\", \"argu",
        "<tool_call>{\"name\": 7}</tool_call>",
        "<tool_call>{\"x\": 1}</tool_call>",
        "<tool_call>{name: f}</tool_call>",
        " <tool_call>f(1)</tool_call> ",
        "</tool_call>",
        "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>",
        "{\"name\": \"f\", \"arguments\": {}}",
        "<tool_call>{\"a\": [1}, \"name\": \"f\"}</tool_call>",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_reads(form, texts[i], texts[i]);
    assert_reads(form, "<tool_call><tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>", "<tool_call>«f({})»");
}

static void a_call_that_breaks_off_has_no_end(void **state) {
    (void)state;
    const tn_tool_form form = TN_TOOLS_HERMES;
    assert_reads(form, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"b", "«f({\"a\": \"b");
    assert_reads(form, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1</tool_call>\n<tool_call>{\"name\": \"g\"}</tool_call>",
                 "«f({\"a\": 1«g({})»");
    assert_reads(form, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1]} x", "«f({\"a\": 1]} x");
    assert_reads(form, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}</tool_call> x", "«f({\"a\": 1})» x");
    assert_reads(form, "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\u00", "«f({");
    char deep[300] = "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":";
    size_t size = strlen(deep);
    memset(deep + size, '[', 100);
    tn_text line = stream(form, deep, strlen(deep), 1);
    assert_true(strncmp(line.data, "«f({\"a\":[[[", 12) == 0);
    assert_non_null(strstr(line.data, "[[["));
    tn_text_deinit(&line);
}

static void llama_calls_are_the_whole_answer(void **state) {
    (void)state;
    const tn_tool_form form = TN_TOOLS_LLAMA;
    assert_reads(form, "{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}", "«f({\"a\": \"b\"})»");
    assert_reads(form, "\n {\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}\n", "«f({})»");
    assert_reads(form, "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"n\": 1.5}}", "«f({\"n\": 1.5})»");
    assert_reads(form, "{\"name\":\"f\",\"parameters\":{}}; {\"name\":\"g\",\"parameters\":{}}\n{\"name\":\"h\",\"parameters\":{}}",
                 "«f({})»«g({})»«h({})»");
    static const char *const texts[] = {
        "{\"a\": 1}",
        "{\"name\": \"Ann\", \"age\": 7}",
        "{ braces }",
        "Say {\"name\": \"f\", \"parameters\": {}}",
        "<|python_tag|>print(1)",
        "  text ",
        "{",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_reads(form, texts[i], texts[i]);
    assert_reads(form, "{\"name\":\"f\",\"parameters\":{}} and {\"name\":\"g\",\"parameters\":{}}",
                 "«f({})» and {\"name\":\"g\",\"parameters\":{}}");
}

static void mistral_calls_are_a_list_or_have_names_in_front(void **state) {
    (void)state;
    const tn_tool_form form = TN_TOOLS_MISTRAL;
    assert_reads(form, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\", \"arguments\": {}, \"id\": \"abc\"}]",
                 "«f({\"a\": 1})»«g({})»");
    assert_reads(form, "ok[TOOL_CALLS]f[ARGS]{\"a\": \"[ARGS]\"}[TOOL_CALLS]g[CALL_ID]x1[ARGS]{}", "ok«f({\"a\": \"[ARGS]\"})»«g({})»");
    assert_reads(form, "[TOOL_CALLS]f{\"a\":1}", "«f({\"a\":1})»");
    static const char *const texts[] = {"[TOOL_CALLS]", "[TOOL", "[TOOL_CALLS] none\n", "[TOOL_CALLS][]", "[TOOL_CALLS][ARGS]{}", "[1, 2]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_reads(form, texts[i], texts[i]);
}

static void deepseek_calls_are_fenced_or_follow_their_name(void **state) {
    (void)state;
    const tn_tool_form form = TN_TOOLS_DEEPSEEK;
    assert_reads(
        form,
        "I look.\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>\n"
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "I look.«f({\"a\": 1})»«g({})»");
    assert_reads(form, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
                 "«f({\"a\": 1})»");
    assert_reads(form, "<｜tool▁call▁begin｜>f\n", "<｜tool▁call▁begin｜>f\n");
    assert_reads(form, "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\nx", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\nx");
    assert_reads(form, "a <｜tool ｜ b", "a <｜tool ｜ b");
}

static void granite_and_command_calls_are_lists(void **state) {
    (void)state;
    assert_reads(TN_TOOLS_GRANITE, "<|tool_call|>[{\"arguments\": {\"a\": 1}, \"name\": \"f\"}]", "«f({\"a\": 1})»");
    assert_reads(TN_TOOLS_GRANITE, "<|tool_call|>[{\"name\":\"f\",\"arguments\":{}}]<|/tool_call|>", "«f({})»");
    assert_reads(TN_TOOLS_COMMAND,
                 "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {\"a\": 1}},\n"
                 "    {\"tool_call_id\": \"1\", \"tool_name\": \"g\", \"parameters\": {}}\n]<|END_ACTION|>",
                 "«f({\"a\": 1})»«g({})»");
    assert_reads(TN_TOOLS_COMMAND, "Plan\nAction: ```json\n[{\"tool_name\": \"f\", \"parameters\": {}}]\n```", "Plan«f({})»");
    assert_reads(TN_TOOLS_COMMAND, "<|START_RESPONSE|>Action: wait.<|END_RESPONSE|>", "Action: wait.");
}

static void long_white_space_and_long_heads_are_not_held_for_ever(void **state) {
    (void)state;
    tn_tool_parser *parser = make_parser(TN_TOOLS_HERMES);
    const tn_tool_event *events;
    size_t num_events, shown = 0, size = 0;
    for (int i = 0; i < 1000; i++, size++) {
        assert_int_equal(tn_tool_parser_push(parser, " ", 1, &events, &num_events), TN_OK);
        for (size_t k = 0; k < num_events; k++) shown += events[k].size_bytes;
    }
    assert_int_equal(shown, 1000 - 256);
    assert_int_equal(tn_tool_parser_push(parser, "<tool_call>{\"x\":\"", 17, &events, &num_events), TN_OK);
    for (int i = 0; i < 70000 && num_events == 0; i += 1000) {
        char text[1000];
        memset(text, 'y', sizeof text);
        assert_int_equal(tn_tool_parser_push(parser, text, sizeof text, &events, &num_events), TN_OK);
    }
    assert_true(num_events > 0);
    assert_int_equal(events[0].kind, TN_TOOL_CONTENT);
    assert_int_equal(tn_tool_parser_num_calls(parser), 0);
    tn_tool_parser_destroy(parser);
}

static void whole_answers_come_sorted(void **state) {
    (void)state;
    const char *text =
        "One <tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call> two <tool_call>{\"name\":\"g\",\"arguments\":{\"b\":";
    tn_tool_answer *answer;
    assert_int_equal(tn_tool_calls_parse(TN_TOOLS_HERMES, text, strlen(text), NULL, NULL, &answer), TN_OK);
    assert_string_equal(answer->content, "One two");
    assert_int_equal(answer->content_size_bytes, 7);
    assert_int_equal(answer->num_calls, 2);
    assert_string_equal(answer->calls[0].name, "f");
    assert_string_equal(answer->calls[0].arguments, "{\"a\":1}");
    assert_true(answer->calls[0].is_whole);
    assert_string_equal(answer->calls[1].name, "g");
    assert_string_equal(answer->calls[1].arguments, "{\"b\":");
    assert_false(answer->calls[1].is_whole);
    tn_free(NULL, answer);
    assert_int_equal(tn_tool_calls_parse(TN_TOOLS_LLAMA, "", 0, NULL, NULL, &answer), TN_OK);
    assert_string_equal(answer->content, "");
    assert_int_equal(answer->num_calls, 0);
    tn_free(NULL, answer);
}

static void a_form_is_found_by_the_markers_of_the_template(void **state) {
    (void)state;
    static const struct {
        const char *text;
        tn_tool_form form;
    } cases[] = {
        {"{{ message.content }}", TN_TOOLS_NONE},
        {"return <tool_call>\\n{{ c | tojson }}\\n</tool_call>", TN_TOOLS_HERMES},
        {"<tool_call>\\n<function=example>", TN_TOOLS_NONE},
        {"<tool_call>{{ name }}<arg_key>", TN_TOOLS_NONE},
        {"{{ '<|python_tag|>' }}", TN_TOOLS_LLAMA},
        {"Respond in the format {\"name\": function name, \"parameters\": dictionary}", TN_TOOLS_LLAMA},
        {"{{ '[TOOL_CALLS] [' }}", TN_TOOLS_MISTRAL},
        {"'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>'", TN_TOOLS_DEEPSEEK},
        {"<|tool_call|>", TN_TOOLS_GRANITE},
        {"<|START_ACTION|>", TN_TOOLS_COMMAND},
        {"Action: ```json [{\"tool_name\":", TN_TOOLS_COMMAND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(tn_tool_form_name(tn_tool_form_of_template(cases[i].text, strlen(cases[i].text))),
                            tn_tool_form_name(cases[i].form));
    tn_diag *diag = make_diag();
    tn_tool_parser *parser;
    assert_int_equal(tn_tool_parser_create(TN_TOOLS_NONE, NULL, diag, &parser), TN_INVALID_ARGUMENT);
    assert_mentions(diag, "no form that is known");
    tn_diag_destroy(diag);
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    const char *text = "One <tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call> two";
    tn_diag *diag = make_diag();
    for (size_t fail_at = 1;; fail_at++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, fail_at);
        tn_tool_answer *answer;
        tn_status status = tn_tool_calls_parse(TN_TOOLS_HERMES, text, strlen(text), &fault.allocator, diag, &answer);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        assert_int_equal(tn_diag_num_entries(diag), status == TN_OK ? 0 : 1);
        tn_diag_clear(diag);
        tn_free(&fault.allocator, answer);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (status == TN_OK) break;
    }
    tn_diag_destroy(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hermes_calls_stand_between_tags),
        cmocka_unit_test(what_only_looks_like_a_call_is_content),
        cmocka_unit_test(a_call_that_breaks_off_has_no_end),
        cmocka_unit_test(llama_calls_are_the_whole_answer),
        cmocka_unit_test(mistral_calls_are_a_list_or_have_names_in_front),
        cmocka_unit_test(deepseek_calls_are_fenced_or_follow_their_name),
        cmocka_unit_test(granite_and_command_calls_are_lists),
        cmocka_unit_test(long_white_space_and_long_heads_are_not_held_for_ever),
        cmocka_unit_test(whole_answers_come_sorted),
        cmocka_unit_test(a_form_is_found_by_the_markers_of_the_template),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
