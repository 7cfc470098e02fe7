/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_options_test.c: what a caller gives besides text: tools, tool calls, variables, and going on with the last message.
 */
#include "support/fault_allocator.h"
#include "tokenizer/chat.h"
#include "tokenizer/testing.h"

static tn_chat_options options_of(tn_diag *diag, const char *template_text, const char *messages) {
    tn_chat_options options;
    tn_chat_options_init(&options);
    options.diag = diag;
    options.template_text = template_text;
    options.messages_json = messages;
    return options;
}

/* The rendered text, to be freed; NULL and the status. */
static char *render(const tn_chat_options *options, tn_status *out_status) {
    tn_tokenizer *t = load_small();
    tn_text_segment *segments;
    size_t count;
    tn_text text = {0};
    *out_status = tn_tokenizer_render_chat(t, NULL, 0, options, &segments, &count);
    tn_text_append(&text, "", 0);
    for (size_t i = 0; i < count; i++) tn_text_append(&text, segments[i].text, segments[i].size_bytes);
    tn_tokenizer_free(t, segments);
    tn_tokenizer_destroy(t);
    if (*out_status != TN_OK) tn_text_deinit(&text);
    return text.data;
}

static void assert_renders(const tn_chat_options *options, const char *expected) {
    tn_status status;
    char *text = render(options, &status);
    if (status != TN_OK) fail_msg("'%s': %s", options->template_text, first_message(options->diag));
    assert_string_equal(text, expected);
    free(text);
}

static void assert_refused(const tn_chat_options *options, tn_status expected, const char *words) {
    tn_status status;
    assert_null(render(options, &status));
    assert_int_equal(status, expected);
    assert_mentions(options->diag, words);
    assert_int_equal(tn_diag_num_entries(options->diag), 1);
    tn_diag_clear(options->diag);
}

static void tools_and_documents_are_none_if_not_given(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    tn_chat_options options = options_of(diag, "{{ tools }}{{ documents is none }}{{ tools is defined }}", "[]");
    assert_renders(&options, "NoneTrueTrue");
    options.variables_json = "{\"tools\":[1],\"documents\":[2]}";
    assert_renders(&options, "[1]FalseTrue");
    options.tools_json = "[{\"type\":\"function\"}]";
    assert_renders(&options, "[{'type': 'function'}]FalseTrue");
    tn_diag_destroy(diag);
}

#define CALL(arguments)                                                                                                                    \
    "[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":" arguments "}}]}" \
    "]"

static void arguments_written_as_text_are_seen_as_an_object_and_printed_as_the_text(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    const char *text = "{% set a = messages[0].tool_calls[0].function.arguments %}{{ a is mapping }} {{ a | tojson }} {{ a.city }} "
                       "{% for k, v in a.items() %}{{ k }}={{ v }}{% endfor %} {{ a }} {{ 'x' + a + 'y' }}";
    tn_chat_options options = options_of(diag, text, CALL("\"{\\\"city\\\":\\\"Rome\\\"}\""));
    assert_renders(&options, "True {\"city\": \"Rome\"} Rome city=Rome {\"city\":\"Rome\"} x{\"city\":\"Rome\"}y");
    options.messages_json = CALL("\" \"");
    options.template_text = "{% set a = messages[0].tool_calls[0].function.arguments %}{{ a | tojson }}{{ a | length }}{{ a }}";
    assert_renders(&options, "{}0{}");
    options.template_text = "{{ messages[0].tool_calls[0].function.arguments }}";
    options.messages_json = CALL("{\"a\": 1}");
    assert_renders(&options, "{'a': 1}"); /* as the caller gave an object, so does Jinja print it */
    static const char *const others[][2] = {{CALL("\"{\\\"a\\\": \""), "{\"a\": "}, {CALL("\"[1]\""), "[1]"}, {CALL("\"x\""), "x"}};
    for (size_t i = 0; i < 3; i++) { /* whatever a model wrote is accepted in a history */
        options.messages_json = others[i][0];
        assert_renders(&options, others[i][1]);
    }
    options.messages_json = "[{\"tool_calls\":[{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":2}\"}, 7]}]";
    options.template_text = "{{ messages[0].tool_calls[0].arguments.a }}";
    assert_renders(&options, "2");
    assert_int_equal(tn_diag_num_entries(diag), 0);
    tn_diag_destroy(diag);
}

static void input_of_another_form_is_refused(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    tn_chat_options options = options_of(diag, "x", "[");
    assert_refused(&options, TN_INVALID_ARGUMENT, "messages");
    options.messages_json = "{}";
    assert_refused(&options, TN_INVALID_ARGUMENT, "must be an array");
    options.messages_json = "null";
    assert_refused(&options, TN_INVALID_ARGUMENT, "must be an array");
    options.messages_json = "[]";
    options.tools_json = "{}";
    assert_refused(&options, TN_INVALID_ARGUMENT, "must be an array");
    options.tools_json = "[1";
    assert_refused(&options, TN_INVALID_ARGUMENT, "tools");
    options.tools_json = "null";
    options.variables_json = "[]";
    assert_refused(&options, TN_INVALID_ARGUMENT, "must be an object");
    options.variables_json = "nul";
    assert_refused(&options, TN_INVALID_ARGUMENT, "template variables");
    options.variables_json = NULL;
    assert_renders(&options, "x");
    tn_diag_destroy(diag);
}

static void a_final_message_is_continued_right_behind_its_text(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    const char *keeps = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}",
               *trims = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}<end>{% endfor %}";
    tn_chat_options options =
        options_of(diag, keeps, "[{\"role\":\"user\",\"content\":\"end\"},{\"role\":\"a\",\"content\":\" The end \"}]");
    options.continue_final_message = true;
    assert_refused(&options, TN_INVALID_ARGUMENT, "exclude each other");
    options.add_generation_prompt = false;
    assert_renders(&options, "<user>end<end><a> The end ");
    options.template_text = trims;
    assert_renders(&options, "<user>end<end><a>The end");
    options.messages_json = "[{\"role\":\"a\",\"content\":\"e\"}]"; /* stands in the template's own bytes behind it as well */
    assert_renders(&options, "<a>e");
    options.template_text = "{{ messages[0].content[1].text }}!{% set messages = [] %}";
    options.messages_json = "[{\"content\":[{\"text\":\"no\"},{\"type\":\"text\",\"text\":\"yes\"},{\"type\":\"image\"}]}]";
    assert_renders(&options, "yes");
    options.template_text = "nothing of it";
    assert_refused(&options, TN_INVALID_ARGUMENT, "its text is not in what it renders");
    static const char *const empty[] = {"[]", "[{\"content\":null}]", "[{\"content\":\" \"}]", "[7]"};
    for (size_t i = 0; i < 4; i++) {
        options.messages_json = empty[i];
        assert_refused(&options, TN_INVALID_ARGUMENT, "no text that could be continued");
    }
    tn_diag_destroy(diag);
}

static void parsed_values_render_as_their_text_does(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    tn_json *json;
    const char *request = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":null,\"chat_template_kwargs\":{\"deep\":true}}";
    assert_int_equal(tn_json_parse("request", request, strlen(request), NULL, NULL, diag, &json), TN_OK);
    const tn_json_value *root = tn_json_root(json);
    tn_chat_values values = {tn_json_find(root, "messages"), tn_json_find(root, "tools"), tn_json_find(root, "chat_template_kwargs"),
                             strlen(request)};
    tn_chat_options options = options_of(diag, "{{ messages[0].content }}{{ tools }}{{ deep }}", "[\"not read\"]");
    tn_tokenizer *t = load_small();
    tn_text_segment *segments;
    size_t count;
    assert_int_equal(tn_chat_render_values(t, &values, &options, &segments, &count), TN_OK);
    assert_int_equal(count, 2);
    assert_memory_equal(segments[0].text, "hi", 2);
    assert_false(segments[0].is_template);
    assert_memory_equal(segments[1].text, "NoneTrue", 8);
    tn_tokenizer_free(t, segments);
    tn_tokenizer_destroy(t);
    tn_json_destroy(json);
    tn_diag_destroy(diag);
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    for (size_t fail_at = 0;; fail_at++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, 0);
        tn_tokenizer_options load = {.struct_size = sizeof load, .diag = diag, .allocator = &fault.allocator};
        tn_tokenizer *t;
        assert_int_equal(tn_tokenizer_load_json(SMALL_JSON, strlen(SMALL_JSON), &load, &t), TN_OK);
        fault.fail_at = fault.num_calls + fail_at / 2 + 1; /* each once with all after it and once alone */
        fault.keep_failing = fail_at % 2 == 0;
        tn_chat_options options = options_of(diag, "{{ messages[0].tool_calls[0].function.arguments }}{{ messages[1].content }}!",
                                             "[{\"tool_calls\":[{\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}},"
                                             "{\"function\":{\"arguments\":\"\"}}]},{\"content\":\"text\"}]");
        options.tools_json = "[1]";
        options.variables_json = "{\"a\":[1,2]}";
        options.add_generation_prompt = false;
        options.continue_final_message = true;
        tn_text_segment *segments;
        size_t count;
        tn_status status = tn_tokenizer_render_chat(t, NULL, 0, &options, &segments, &count);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        assert_int_equal(tn_diag_num_entries(diag), tn_fault_has_failed(&fault) ? 1 : 0);
        tn_diag_clear(diag);
        tn_tokenizer_free(t, segments);
        tn_tokenizer_destroy(t);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (status == TN_OK) break;
        assert_true(fail_at < 1000);
    }
    tn_diag_destroy(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tools_and_documents_are_none_if_not_given),
        cmocka_unit_test(arguments_written_as_text_are_seen_as_an_object_and_printed_as_the_text),
        cmocka_unit_test(input_of_another_form_is_refused),
        cmocka_unit_test(a_final_message_is_continued_right_behind_its_text),
        cmocka_unit_test(parsed_values_render_as_their_text_does),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
