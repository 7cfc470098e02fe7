/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_test.c: templates: what they render, what is template and what is message, what is refused, and the limits.
 */
#include "tokenizer/chat_testing.h"

static const tn_chat_message hello[] = {{"system", "Be brief.", 9}, {"user", " hi <s> there ", 14}, {"assistant", "ok", 2}};

static test_chat chat_of(const char *template_text, const char *variables, tn_diag *diag) {
    test_chat chat = make_chat(diag, template_text, hello, 3);
    chat.options.variables_json = variables;
    return chat;
}

static char *render(const char *template_text, const char *variables, tn_diag *diag, tn_status *out_status, char **out_marks) {
    test_chat chat = chat_of(template_text, variables, diag);
    return render_chat(&chat, out_status, out_marks);
}

static void assert_renders(const char *template_text, const char *expected) {
    tn_diag *diag = make_diag();
    test_chat chat = chat_of(template_text, NULL, diag);
    assert_chat_renders(&chat, expected);
    tn_diag_destroy(diag);
}

static void assert_refused(const char *template_text, tn_status expected, const char *words) {
    tn_diag *diag = make_diag();
    test_chat chat = chat_of(template_text, NULL, diag);
    assert_chat_is_refused(&chat, expected, words);
    tn_diag_destroy(diag);
}

static void statements_and_expressions_render_as_jinja_does(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a{{ 1 + 2 * 3 }}b\n", "a7b"},
        {"{% for m in messages %}{{ loop.index }}{{ m.role }}{% if not loop.last %},{% endif %}{% endfor %}", "1system,2user,3assistant"},
        {"{%- for m in messages -%}\n  {{ m['content'] | trim }}\n{%- endfor %}", "Be brief.hi <s> thereok"},
        {"{% if messages[0].role == 'user' %}u{% elif messages[0]['role'] == 'system' %}s{% else %}x{% endif %}", "s"},
        {"{% set ns = namespace(n=0) %}{% for m in messages if m.role != 'user' %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"},
        {"{% set x = 1 %}{% for i in range(3) %}{% set x = i %}{% endfor %}{{ x }}", "1"},
        {"{% macro f(a, b='z') %}<{{ a }}{{ b }}>{% endmacro %}{{ f(1) }}{{ f('q', b=2) }}", "<1z><q2>"},
        {"{{ 'A' if undefined_name is defined else 'B' }}{{ missing }}{{ missing | default('d') }}", "Bd"},
        {"{{ [1, 'a', none, true, {'k': 1.5}] }}", "[1, 'a', None, True, {'k': 1.5}]"},
        {"{{ {'a': [1, 2], 'b': \"q\\\"\"} | tojson }}", "{\"a\": [1, 2], \"b\": \"q\\\"\"}"},
        {"{{ 'a,b,c'.split(',')[-1] ~ 7 // 2 ~ -7 % 3 }}", "c32"},
        {"{{ messages[1:] | length }}{{ messages[::-1][0].role }}", "2assistant"},
        {"{{ ('x' ~ 'y').upper() + 'z' * 2 }}{{ 'Abc' is string }}{{ 3 is odd }}", "XYzzTrueTrue"},
        {"{% set a, b = [1, 2] %}{{ a }}{{ b }}{% set t %}x{{ a }}{% endset %}{{ t }}", "12x1"},
        {"{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('|') }}", " hi <s> there "},
        {"{% raw %}{{ x }}{% endraw %}{# gone #}!", "{{ x }}!"},
        {"{% for i in [1,2,3,4] %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "13"},
        {"  {% if true %}\n  x\n  {% endif %}\n", "  x\n"},
        {"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "a1b2"},
        {"{{ 'a' in 'abc' and 'd' not in 'abc' and 1 in [1] }}", "True"},
        {"{{ 1 / 2 }} {{ 1.0 }} {{ 1e3 }} {{ 7 | string + '!' }}", "0.5 1.0 1000.0 7!"},
        {"{{ add_generation_prompt }}{{ 'x\\ny' | replace('\\n', '-') }}", "Truex-y"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_renders(cases[i][0], cases[i][1]);
}

static void constructs_outside_the_subset_are_refused_by_name(void **state) {
    (void)state;
    assert_refused("{% include 'x' %}", TN_UNSUPPORTED, "'include'");
    assert_refused("{% import 'os' as os %}", TN_UNSUPPORTED, "'import'");
    assert_refused("{% block x %}{% endblock %}", TN_UNSUPPORTED, "'block'");
    assert_refused("{% for x in y recursive %}{% endfor %}", TN_UNSUPPORTED, "recursive");
    assert_refused("\n\n{{ 'x' | xmlattr }}", TN_UNSUPPORTED, "line 3: the filter 'xmlattr'");
    assert_refused("{{ 1 is prime }}", TN_UNSUPPORTED, "'prime'");
    assert_refused("{{ lipsum() }}", TN_UNSUPPORTED, "'lipsum'");
    assert_refused("{{ strftime_now('%Y') }}", TN_UNSUPPORTED, "strftime_now");
    assert_refused("{{ ''.__class__.__mro__ }}", TN_INVALID_DATA, "undefined");
    assert_refused("{{ messages.append(1) }}", TN_UNSUPPORTED, "'append'");
}

static void malformed_templates_are_refused(void **state) {
    (void)state;
    assert_refused("{% if true %}x", TN_INVALID_DATA, "'elif' is missing");
    assert_refused("{{ 1 + }}", TN_INVALID_DATA, "unexpected");
    assert_refused("{{ 'abc }}", TN_INVALID_DATA, "string has no end");
    assert_refused("{# x", TN_INVALID_DATA, "comment has no end");
    assert_refused("{% endfor %}", TN_INVALID_DATA, "unexpected 'endfor'");
    assert_refused("{{ x.y }}", TN_INVALID_DATA, "'x' is undefined");
    assert_refused("{{ 1 // 0 }}", TN_INVALID_DATA, "division by zero");
    assert_refused("{{ \xff }}", TN_INVALID_DATA, "not UTF-8");
}

static void template_bombs_hit_limits(void **state) {
    (void)state;
    assert_refused("{% for i in range(10**9) %}x{% endfor %}", TN_INVALID_DATA, "range has more than");
    assert_refused("{{ 10**20 }}", TN_INVALID_DATA, "too large");
    assert_refused("{% for i in range(1000000000) %}x{% endfor %}", TN_INVALID_DATA, "range has more than");
    assert_refused("{% for i in range(99999) %}{% for k in range(99999) %}x{% endfor %}{% endfor %}", TN_INVALID_DATA, "than");
    assert_refused("{% set ns = namespace(s='0123456789') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
                   TN_INVALID_DATA, "bytes of memory");
    assert_refused("{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}", TN_INVALID_DATA,
                   "than");
    assert_refused("{{ 'x' * 1000000000000 }}", TN_INVALID_DATA, "than");
    assert_refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", TN_INVALID_DATA, "nests deeper");
    assert_refused("{% macro f(n) %}{{ g(n) }}{{ g(n) }}{% endmacro %}{% macro g(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}"
                   "{% endmacro %}{{ f(30) }}",
                   TN_INVALID_DATA, "than");
    char nested[4096];
    memset(nested, '(', sizeof nested);
    memcpy(nested, "{{ ", 3);
    nested[sizeof nested - 1] = 0;
    assert_refused(nested, TN_INVALID_DATA, "nests deeper");
    tn_text blocks = {0};
    for (int i = 0; i < 2000; i++) tn_text_append_string(&blocks, "{% if 1 %}");
    assert_refused(blocks.data, TN_INVALID_DATA, "nests deeper");
    tn_text_deinit(&blocks);
}

static void bytes_of_messages_stay_marked_through_every_operation(void **state) {
    (void)state;
    static const char *const templates[] = {
        "{{ messages[2].content }}",
        "{{ messages[2].content | upper | trim }}",
        "{{ [messages[2].content] | join('') }}",
        "{{ messages[2]['content'].split('x')[0][0:2] }}",
        "{% set x %}{{ messages[2].content }}{% endset %}{{ x }}",
        "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(messages[2].content) }}",
        "{{ messages[2].content.replace('z', 'q') }}",
        "{{ '{}'.format(messages[2].content) }}",
        "{{ messages[2].content.partition('x')[0] }}",
        "{{ messages[2].content.removeprefix('x').removesuffix('x').splitlines()[0] }}",
        "{{ [messages[2].content] | sort | first }}",
        "{{ [messages[2].content] | max }}",
        "{{ messages[2].content | reverse | safe }}",
        "{% filter title %}{{ messages[2].content }}{% endfilter %}",
        "{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{{ messages[2].content }}{% endcall %}",
        "{% with a = messages[2].content %}{{ a }}{% endwith %}",
        "{% set x | trim %}{{ messages[2].content }} {% endset %}{{ x | trim }}",
    };
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        tn_status status;
        char *marks, *text = render(templates[i], NULL, NULL, &status, &marks);
        assert_int_equal(status, TN_OK);
        assert_string_equal(marks, "mm");
        free(text);
        free(marks);
    }
    tn_status status;
    char *marks, *text = render("{{ 'ab' + v + ('cd' ~ v)|trim }}{{ [v]|tojson }}", "{\"v\":\"xy\"}", NULL, &status, &marks);
    assert_string_equal(text, "abxycdxy[\"xy\"]");
    assert_string_equal(marks, "ttmmttmmttmmtt");
    free(text);
    free(marks);
    text = render("{{ ('<' | safe) + v }}{{ v | tojson(ensure_ascii=true) }}{{ [v] }}", "{\"v\":\"<\\u00a0\"}", NULL, &status, &marks);
    assert_string_equal(text, "<&lt;\xC2\xA0\"<\\u00a0\"['<\\xa0']"); /* escapes of a message's bytes are the message's */
    assert_string_equal(marks, "tmmmmmmtmmmmmmmtttmmmmmtt");
    free(text);
    free(marks);
}

static void special_strings_in_messages_never_become_control_tokens(void **state) {
    (void)state;
    tn_tokenizer *t = load_small();
    const tn_chat_message messages[] = {{"user", "<s>a<s", 6}, {"user", ">b", 2}};
    tn_chat_options options;
    tn_chat_options_init(&options);
    options.template_text = "<s>{% for m in messages %}{{ m.content }}{% endfor %}<s>";
    tn_text_segment *segments;
    size_t count, num_ids;
    int32_t *ids;
    assert_int_equal(tn_tokenizer_render_chat(t, messages, 2, &options, &segments, &count), TN_OK);
    tn_encode_options encode;
    tn_encode_options_init(&encode);
    encode.add_special = false;
    assert_int_equal(tn_tokenizer_encode_segments(t, segments, count, &encode, &ids, &num_ids), TN_OK);
    size_t num_control = 0;
    for (size_t i = 0; i < num_ids; i++) num_control += tn_tokenizer_is_special(t, ids[i]);
    assert_int_equal(num_control, 2);
    assert_int_equal(ids[0], 0);
    assert_int_equal(ids[num_ids - 1], 0);
    tn_tokenizer_free(t, ids);
    tn_tokenizer_free(t, segments);
    tn_tokenizer_destroy(t);
}

static void a_model_without_template_is_told_of_raw(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    tn_status status;
    assert_null(render(NULL, NULL, diag, &status, NULL));
    assert_int_equal(status, TN_NOT_FOUND);
    assert_mentions(diag, "--raw");
    tn_diag_destroy(diag);
}

static void the_template_may_refuse_a_conversation(void **state) {
    (void)state;
    assert_refused("{{ raise_exception('roles must alternate') }}", TN_INVALID_ARGUMENT, "roles must alternate");
}

static void variables_cannot_replace_what_the_caller_set(void **state) {
    (void)state;
    tn_status status;
    char *text = render("{{ messages | length }}{{ add_generation_prompt }}{{ tools[0].name }}",
                        "{\"messages\":[],\"add_generation_prompt\":false,\"tools\":[{\"name\":\"f\"}]}", NULL, &status, NULL);
    assert_string_equal(text, "3Truef");
    free(text);
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    const char *text = "{% for m in messages %}{{ m.content | upper }}{{ m | tojson }}{% endfor %}";
    assert_failing_allocations_are_reported(chat_of(text, "{\"a\":[1,2]}", diag));
    tn_diag_destroy(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_and_expressions_render_as_jinja_does),
        cmocka_unit_test(constructs_outside_the_subset_are_refused_by_name),
        cmocka_unit_test(malformed_templates_are_refused),
        cmocka_unit_test(template_bombs_hit_limits),
        cmocka_unit_test(bytes_of_messages_stay_marked_through_every_operation),
        cmocka_unit_test(special_strings_in_messages_never_become_control_tokens),
        cmocka_unit_test(a_model_without_template_is_told_of_raw),
        cmocka_unit_test(the_template_may_refuse_a_conversation),
        cmocka_unit_test(variables_cannot_replace_what_the_caller_set),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
