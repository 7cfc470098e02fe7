/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_constructs_test.c: constructs of templates, one a line and more, with what Jinja prints for them.
 */
#include "tokenizer/chat_testing.h"

static test_chat chat_of(const char *template_text, tn_diag *diag) {
    static const tn_chat_message message = {"user", "<s>", 3};
    test_chat chat = make_chat(diag, template_text, &message, 1);
    chat.options.has_now = true;
    chat.options.now_unix_s = 1772892309; /* 2026-03-07 14:05:09 */
    return chat;
}

static void assert_renders(const char *template_text, const char *expected) {
    tn_diag *diag = make_diag();
    test_chat chat = chat_of(template_text, diag);
    assert_chat_renders(&chat, expected);
    tn_diag_destroy(diag);
}

static void assert_refused(const char *template_text, tn_status expected, const char *words) {
    tn_diag *diag = make_diag();
    test_chat chat = chat_of(template_text, diag);
    assert_chat_is_refused(&chat, expected, words);
    tn_diag_destroy(diag);
}

/* Left: templates; right: what PyPI's jinja2 3.1.6 printed, in the environment of scripts/check_templates.py. */
static void constructs_render_as_jinja_renders_them(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 2 ** 3 ** 2 }}{{ 2 ** -1 }}{{ 2.0 ** 2 }}", "TrueFalse640.54.0"},
        {"{{ [1,2,3,4,5][::2] }}{{ 'abcdef'[4:0:-2] }}{{ (1,2,3)[1:] }}", "[1, 3, 5]ec(2, 3)"},
        {"{{ (1,) }}{{ () }}{{ (1, 'a') }}{{ (1,2) == [1,2] }}{{ {'a': 1}.items() | list }}", "(1,)()(1, 'a')False[('a', 1)]"},
        {"{% if [] | select | list %}a{% else %}b{% endif %}{% if [] | select %}c{% endif %}{{ [3,1] | reverse | list }}{{ 'abc' | reverse "
         "}}",
         "bc[1, 3]cba"},
        {"{{ [3, 1, 2] | min }}{{ ['b', 'A'] | min }}{{ [{'n': 2}, {'n': 5}] | max(attribute='n') }}{{ [] | max }}{{ [1, 2.5] | sum }}{{ "
         "[{'n': 2}, {'n': 5}] | sum(attribute='n') }}",
         "1A{'n': 5}3.57"},
        {"{{ ['b', 'A', 'a'] | sort }}{{ [3, 1, 2] | sort(reverse=true) }}{{ [{'n': 2}, {'n': 1}] | sort(attribute='n') }}{{ ['b', 'A'] | "
         "sort(case_sensitive=true) }}",
         "['A', 'a', 'b'][3, 2, 1][{'n': 1}, {'n': 2}]['A', 'b']"},
        {"{{ '3.7' | int }}{{ ' 12 ' | int }}{{ 'x' | int(7) }}{{ '2.5' | float }}{{ 'x' | float }}{{ 3 | float }}{{ -3 | abs }}{{ -1.5 | "
         "abs }}{{ 2.567 | round(2) }}{{ 2.5 | round }}{{ true | int }}",
         "31272.50.03.031.52.572.01"},
        {"{{ {'b': 1, 'a': [1, 2]} | tojson(sort_keys=true) }}{{ {'a': 1, 'b': 2} | tojson(separators=(',', ':')) }}{{ 'é😀' | "
         "tojson(ensure_ascii=true) }}{{ 'é' | tojson }}{{ {1: none, true: 2.0} | tojson }}",
         "{\"a\": [1, 2], \"b\": 1}{\"a\":1,\"b\":2}\"\\u00e9\\ud83d\\ude00\"\"é\"{\"1\": 2.0}"},
        {"{{ {'a': [1, {}], 'b': []} | tojson(indent=2) }}", "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"},
        {"{% macro f(a) %}<{{ a }}{{ caller() }}>{% endmacro %}{% call f(1) %}x{% endcall %}", "<1x>"},
        {"{% macro f(a) %}{{ caller(a, 2) }}{% endmacro %}{% call(u, v=9) f(1) %}{{ u }}{{ v }}{% endcall %}", "12"},
        {"{% with a = 1, b = 2 %}{{ a }}{{ b }}{% set a = 3 %}{{ a }}{% endwith %}{{ a }}", "123"},
        {"{% filter upper | replace('B', 'x') %}abc{% endfilter %}{% set t | trim %}  q {% endset %}[{{ t }}]", "AxC[q]"},
        {"{% for i in [1,2] %}{% set k = i %}{% macro m() %}{{ k }}{% endmacro %}{{ m() }}{% endfor %}", "12"},
        {"{% set k = 1 %}{% macro m() %}{{ k }}{% endmacro %}{% set k = 2 %}{{ m() }}", "2"},
        {"{% for i in 'ab' %}{{ loop.cycle('x', 'y', 'z') }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.revindex }}{{ loop.previtem is "
         "defined }}{% endfor %}",
         "x102Falsey101True"},
        {"{{ '<{}|{}>'.format('a', 2) }}{{ '{1}{0}{k}{{x}}'.format('a', 'b', k='c') }}", "<a|2>bac{x}"},
        {"{{ 'a\\nb\\r\\nc\\n'.splitlines() }}{{ 'a-b-c'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}{{ 'abc'.partition('x') }}{{ "
         "'abc'.rpartition('x') }}{{ 'abc'.removeprefix('ab') }}{{ 'abc'.removesuffix('x') }}",
         "['a', 'b', 'c']('a', '-', 'b-c')('a-b', '-', 'c')('abc', '', '')('', '', 'abc')cabc"},
        {"{{ ('a<b' | safe) + '<\"' }}{{ '<b>' | safe }}{{ ('<' | safe) + ('>' | safe) }}", "a<b&lt;&#34;<b><>"},
        {"{{ 'x\\u00a0\\u200b\\u0007é'.split('q') }}{{ \"it's\" }}{{ [\"it's\", 'a\"b'] }}",
         "['x\\xa0\\u200b\\x07é']it's[\"it's\", 'a\"b']"},
        {"{{ 1e16 }} {{ 1e-5 }} {{ 123456789.125 }} {{ 0.1 + 0.2 }} {{ 1e22 }} {{ -0.0 }} {{ 5 // 2.0 }} {{ -7 // 2 }} {{ 7 % -3 }}",
         "1e+16 1e-05 123456789.125 0.30000000000000004 1e+22 -0.0 2.0 -4 -2"},
        {"{{ 'ß'.upper() }}{{ 'aB cD' | capitalize }}{{ \"they're ok\" | title }}{{ 'x' | upper is upper }}", "SSAb cdThey're OkTrue"},
        {"{% set x = [] %}{% if x %}y{% elif not x %}n{% endif %}{{ x | first is defined }}{{ none | default('d', true) }}{{ '' or 'e' "
         "}}{{ 0 and 1 }}",
         "nFalsede0"},
        {"{{ 'a' if false }}|{{ [1, 2] + [3] }}{{ 'ab' * 2 }}{{ [[1], [2]] | map('first') | list }}{{ ['a', 'b'] | map('upper') | "
         "join('+') }}",
         "|[1, 2, 3]abab[1, 2]A+B"},
        {"{{ {'a': {'b': 1}}['a']['b'] }}{{ {'a': 1}.get('x', 5) }}{{ {'a': 1}.keys() | list }}{{ {'b': 1, 'a': 2} | dictsort }}{{ 'a' in "
         "{'a': 1} }}{{ {'a': 1} | length }}",
         "15['a'][('a', 2), ('b', 1)]True1"},
        {"{{ 'line one\\nline two' | indent(2) }}|{{ 'a\\n\\nb' | indent(1, true, true) }}", "line one\n  line two| a\n \n b"},
        {"{{ [1, 2, 2, 1] | unique | list }}{{ [1, 'a', none] | select('string') | list }}{{ [1, 2, 3] | reject('odd') | list }}{{ [{'a': "
         "1}, {}] | rejectattr('a', 'defined') | list }}",
         "[1, 2]['a'][2][{}]"},
        {"{{ 3 is divisibleby 3 }}{{ 4 is even }}{{ 'a' is sameas 'a' }}", "TrueTrueTrue"},
        {"{{ 1 is number and 1.0 is float and true is boolean and none is none and [] is iterable and {} is mapping and 'a' is sequence }}",
         "True"},
        {"{% for k in {'x': 1} %}{{ k }}{% else %}none{% endfor %}{% for k in [] %}{% else %}none{% endfor %}{% for i in [1,2,3] if i != 2 "
         "%}{{ i }}{{ loop.length }}{% endfor %}",
         "xnone1232"},
        {"{% generation %}g{% endgeneration %}{{- ' a ' -}}  b  {{+ 'c' }}", "g a b  c"},
        {"a {#- c -#} b{# d #}", "ab"},
        {"{% raw -%}  {{ x }} {%- endraw %}", "{{ x }}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_renders(cases[i][0], cases[i][1]);
}

static void text_that_safe_text_is_added_to_is_escaped(void **state) {
    (void)state;
    assert_renders("{{ '<b>' ~ ('<' | safe) }}{% set s = '<i>' | safe %}{{ '&' + s + \"'\" }}{{ s + s }}{{ s[0] + '<' }}",
                   "<b><&amp;<i>&#39;<i><i><&lt;");
}

static void the_time_is_shown_in_utc(void **state) {
    (void)state;
    assert_renders("{{ strftime_now('%d %B %Y, %H:%M:%S %j %%') }}", "07 March 2026, 14:05:09 066 %");
    assert_refused("{{ strftime_now('%Q') }}", TN_UNSUPPORTED, "format of strftime_now");
}

static void what_is_no_construct_of_the_subset_is_named_with_its_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        tn_status status;
        const char *words;
    } cases[] = {
        {"\n{% for a, (b, c) in [] %}{% endfor %}", TN_UNSUPPORTED, "line 2: unpacking into nested names"},
        {"{{ f(*a) }}", TN_UNSUPPORTED, "unpacking arguments"},
        {"{% call 1 %}{% endcall %}", TN_INVALID_DATA, "a call block needs a call"},
        {"{% call f() %}{% endcall %}", TN_INVALID_DATA, "cannot be called by a block"},
        {"{% macro f(a) %}{% endmacro %}{{ f(b=1) }}", TN_INVALID_DATA, "macro 'f' has no argument 'b'"},
        {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", TN_INVALID_DATA, "takes 1 arguments, not 2"},
        {"{% set a, b %}{% endset %}", TN_INVALID_DATA, "a set block has one name"},
        {"{% with a %}{% endwith %}", TN_INVALID_DATA, "where '=' should be"},
        {"{% filter nothing %}{% endfilter %}", TN_UNSUPPORTED, "filter 'nothing'"},
        {"{{ loop }}", TN_OK, NULL},
        {"{% for i in [1] %}{{ loop.changed(1) }}{% endfor %}", TN_UNSUPPORTED, "loop.changed"},
        {"{% for i in [1] %}{{ loop.cycle() }}{% endfor %}", TN_INVALID_DATA, "loop.cycle needs values"},
        {"{{ '{x.y}'.format(x=1) }}", TN_UNSUPPORTED, "field of a format"},
        {"{{ '{:>5}'.format(1) }}", TN_UNSUPPORTED, "field of a format"},
        {"{{ '{}{}'.format(1) }}", TN_INVALID_DATA, "no argument for '{}'"},
        {"{{ '{'.format(1) }}", TN_INVALID_DATA, "single '{'"},
        {"{{ [1][::0] }}", TN_INVALID_DATA, "step of a slice"},
        {"{{ 2 ** 64 }}", TN_INVALID_DATA, "too large"},
        {"{{ (-2) ** 0.5 }}", TN_UNSUPPORTED, "power"},
        {"{{ [1, 'a'] | sort }}", TN_INVALID_DATA, "cannot be compared"},
        {"{{ [1, 'a'] | sum }}", TN_INVALID_DATA, "'+' cannot be applied"},
        {"{{ 'a' | abs }}", TN_INVALID_DATA, "absolute value"},
        {"{{ 'a' | round }}", TN_INVALID_DATA, "rounded"},
        {"{{ 1.5 | round(1, 'ceil') }}", TN_UNSUPPORTED, "rounding"},
        {"{{ 1 | tojson(default=1) }}", TN_UNSUPPORTED, "tojson(default)"},
        {"{{ 1 | tojson(indent='x') }}", TN_UNSUPPORTED, "indentation"},
        {"{{ 1 | tojson(separators=1) }}", TN_INVALID_DATA, "separators"},
        {"{{ nothing | tojson }}", TN_INVALID_DATA, "tojson cannot write"},
        {"{{ {(1, 2): 1} | tojson }}", TN_INVALID_DATA, "as a key"},
        {"{{ 'a'.partition('') }}", TN_INVALID_DATA, "partition"},
        {"{{ 'a'.removeprefix(1) }}", TN_INVALID_DATA, "needs a string"},
        {"{{ {}.pop('a') }}", TN_UNSUPPORTED, "'pop'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i].words)
            assert_refused(cases[i].text, cases[i].status, cases[i].words);
        else
            assert_renders(cases[i].text, "");
}

static void new_constructs_are_limited_too(void **state) {
    (void)state;
    assert_refused("{% macro f() %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}", TN_INVALID_DATA, "nests deeper");
    assert_refused("{% macro f() %}{% filter upper %}{{ f() }}{% endfilter %}{% endmacro %}{{ f() }}", TN_INVALID_DATA, "nests deeper");
    assert_refused("{% macro f() %}{% with a = f() %}{% endwith %}{% endmacro %}{{ f() }}", TN_INVALID_DATA, "nests deeper");
    assert_refused("{{ range(99999) | sort(reverse=true) }}", TN_INVALID_DATA, "more than 4000000 steps");
    assert_refused("{% set s = 'aaaaaaaaaaaaaaaa' * 65536 %}{% for i in range(9999) %}{{ s.rpartition(s + 'b')[0] }}{% endfor %}",
                   TN_INVALID_DATA, "than");
    assert_refused(
        "{% set f = '{0}{0}{0}{0}{0}{0}{0}{0}' %}{{ f.format(f.format(f.format(f.format(f.format(f.format(f.format(f.format(f)))))))) }}",
        TN_INVALID_DATA, "than");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constructs_render_as_jinja_renders_them),
        cmocka_unit_test(text_that_safe_text_is_added_to_is_escaped),
        cmocka_unit_test(the_time_is_shown_in_utc),
        cmocka_unit_test(what_is_no_construct_of_the_subset_is_named_with_its_line),
        cmocka_unit_test(new_constructs_are_limited_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
