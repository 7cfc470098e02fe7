/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_options_test.c: what a caller gives besides text: tools, tool calls, variables, and going on with the last message.
 */
#include "tokenizer/chat.h"
#include "tokenizer/chat_testing.h"

static test_chat chat_of(tn_diag *diag, const char *template_text, const char *messages) {
    test_chat chat = make_chat(diag, template_text, NULL, 0);
    chat.options.messages_json = messages;
    return chat;
}

static void tools_and_documents_are_none_if_not_given(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    test_chat chat = chat_of(diag, "{{ tools }}{{ documents is none }}{{ tools is defined }}", "[]");
    assert_chat_renders(&chat, "NoneTrueTrue");
    chat.options.variables_json = "{\"tools\":[1],\"documents\":[2]}";
    assert_chat_renders(&chat, "[1]FalseTrue");
    chat.options.tools_json = "[{\"type\":\"function\"}]";
    assert_chat_renders(&chat, "[{'type': 'function'}]FalseTrue");
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
    test_chat chat = chat_of(diag, text, CALL("\"{\\\"city\\\":\\\"Rome\\\"}\""));
    assert_chat_renders(&chat, "True {\"city\": \"Rome\"} Rome city=Rome {\"city\":\"Rome\"} x{\"city\":\"Rome\"}y");
    chat.options.messages_json = CALL("\" \"");
    chat.options.template_text = "{% set a = messages[0].tool_calls[0].function.arguments %}{{ a | tojson }}{{ a | length }}{{ a }}";
    assert_chat_renders(&chat, "{}0{}");
    chat.options.template_text = "{{ messages[0].tool_calls[0].function.arguments }}";
    chat.options.messages_json = CALL("{\"a\": 1}");
    assert_chat_renders(&chat, "{'a': 1}"); /* as the caller gave an object, so does Jinja print it */
    static const char *const others[][2] = {{CALL("\"{\\\"a\\\": \""), "{\"a\": "}, {CALL("\"[1]\""), "[1]"}, {CALL("\"x\""), "x"}};
    for (size_t i = 0; i < 3; i++) { /* whatever a model wrote is accepted in a history */
        chat.options.messages_json = others[i][0];
        assert_chat_renders(&chat, others[i][1]);
    }
    chat.options.messages_json = "[{\"tool_calls\":[{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":2}\"}, 7]}]";
    chat.options.template_text = "{{ messages[0].tool_calls[0].arguments.a }}";
    assert_chat_renders(&chat, "2");
    assert_int_equal(tn_diag_num_entries(diag), 0);
    tn_diag_destroy(diag);
}

static void input_of_another_form_is_refused(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    test_chat chat = chat_of(diag, "x", "[");
    assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "messages");
    chat.options.messages_json = "{}";
    assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "must be an array");
    chat.options.messages_json = "null";
    assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "must be an array");
    chat.options.messages_json = "[]";
    chat.options.tools_json = "{}";
    assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "must be an array");
    chat.options.tools_json = "[1";
    assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "tools");
    chat.options.tools_json = "null";
    chat.options.variables_json = "[]";
    assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "must be an object");
    chat.options.variables_json = "nul";
    assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "template variables");
    chat.options.variables_json = NULL;
    assert_chat_renders(&chat, "x");
    tn_diag_destroy(diag);
}

static void a_final_message_is_continued_right_behind_its_text(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    const char *keeps = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}",
               *trims = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}<end>{% endfor %}";
    test_chat chat = chat_of(diag, keeps, "[{\"role\":\"user\",\"content\":\"end\"},{\"role\":\"a\",\"content\":\" The end \"}]");
    chat.options.continue_final_message = true;
    assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "exclude each other");
    chat.options.add_generation_prompt = false;
    assert_chat_renders(&chat, "<user>end<end><a> The end ");
    chat.options.template_text = trims;
    assert_chat_renders(&chat, "<user>end<end><a>The end");
    chat.options.messages_json = "[{\"role\":\"a\",\"content\":\"e\"}]"; /* stands in the template's own bytes behind it as well */
    assert_chat_renders(&chat, "<a>e");
    chat.options.template_text = "{{ messages[0].content[1].text }}!{% set messages = [] %}";
    chat.options.messages_json = "[{\"content\":[{\"text\":\"no\"},{\"type\":\"text\",\"text\":\"yes\"},{\"type\":\"image\"}]}]";
    assert_chat_renders(&chat, "yes");
    chat.options.template_text = "nothing of it";
    assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "its text is not in what it renders");
    static const char *const empty[] = {"[]", "[{\"content\":null}]", "[{\"content\":\" \"}]", "[7]"};
    for (size_t i = 0; i < 4; i++) {
        chat.options.messages_json = empty[i];
        assert_chat_is_refused(&chat, TN_INVALID_ARGUMENT, "no text that could be continued");
    }
    tn_diag_destroy(diag);
}

/* The text that the template makes of a request's values; the caller frees. */
static char *render_values(tn_diag *diag, const char *template_text, const char *request, bool joins_parts) {
    tn_json *json;
    tn_text text = {0};
    assert_int_equal(tn_json_parse("request", request, strlen(request), NULL, NULL, diag, &json), TN_OK);
    const tn_json_value *root = tn_json_root(json);
    tn_chat_values values = {.messages = tn_json_find(root, "messages"),
                             .tools = tn_json_find(root, "tools"),
                             .documents = tn_json_find(root, "documents"),
                             .variables = tn_json_find(root, "chat_template_kwargs"),
                             .size_bytes = strlen(request),
                             .joins_parts = joins_parts};
    test_chat chat = chat_of(diag, template_text, "[\"not read\"]");
    tn_tokenizer *t = load_small();
    tn_text_segment *segments;
    size_t count;
    assert_int_equal(tn_chat_render_values(t, &values, &chat.options, &segments, &count), TN_OK);
    for (size_t i = 0; i < count; i++)
        tn_text_append_format(&text, "%.*s%s", (int)segments[i].size_bytes, segments[i].text, segments[i].is_template ? "" : "^");
    tn_tokenizer_free(t, segments);
    tn_tokenizer_destroy(t);
    tn_json_destroy(json);
    return text.data;
}

static void parsed_values_render_as_their_text_does(void **state) {
    (void)state;
    static const struct {
        const char *template_text, *request, *expected;
        bool joins_parts;
    } cases[] = {
        {"{{ messages[0].content }}{{ tools }}{{ deep }}",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":null,\"chat_template_kwargs\":{\"deep\":true}}", "hi^NoneTrue",
         false},
        {"{{ documents }}", "{\"messages\":[],\"documents\":[1],\"chat_template_kwargs\":{\"documents\":[2]}}", "[1]", false},
        {"{{ messages[0].content }}!", "{\"messages\":[{\"content\":[{\"text\":\"a\"},{\"text\":\"b\"}]}]}", "a\nb^!", true},
        {"{{ messages[0].content | length }}", "{\"messages\":[{\"content\":[{\"text\":\"a\"},{\"text\":\"b\"}]}]}", "2", false},
        {"{{ messages[0].content | length }}", "{\"messages\":[{\"content\":[{\"text\":\"a\"},{\"image\":\"b\"}]}]}", "2", true},
        {"{{ messages[0].content }}{{ messages[1].content }}{{ messages[2] }}", "{\"messages\":[{\"content\":[]},{\"content\":null},7]}",
         "None7", true},
    };
    tn_diag *diag = make_diag();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = render_values(diag, cases[i].template_text, cases[i].request, cases[i].joins_parts);
        assert_string_equal(text, cases[i].expected);
        free(text);
    }
    tn_diag_destroy(diag);
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    test_chat chat = chat_of(diag, "{{ messages[0].tool_calls[0].function.arguments }}{{ messages[1].content }}!",
                             "[{\"tool_calls\":[{\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}},"
                             "{\"function\":{\"arguments\":\"\"}}]},{\"content\":\"text\"}]");
    chat.options.tools_json = "[1]";
    chat.options.variables_json = "{\"a\":[1,2]}";
    chat.options.add_generation_prompt = false;
    chat.options.continue_final_message = true;
    assert_failing_allocations_are_reported(chat);
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
