/* SPDX-License-Identifier: Apache-2.0
 *
 * json_test.c: limits, refusals and getters of JSON documents.
 */
#include "format/json.h"

#include <math.h>

#include "base/memory.h"
#include "format/quote.h"
#include "format/testing.h"
#include "support/fault_allocator.h"

static tn_json *parse(tn_diag *diag, const char *text) {
    tn_json *json;
    assert_ok(diag, tn_json_parse("config.json", text, strlen(text), NULL, NULL, diag, &json));
    return json;
}

static void assert_refused_bytes(tn_diag *diag, const char *text, size_t size, const char *part) {
    tn_json *json = (tn_json *)diag;
    tn_status status = tn_json_parse("config.json", text, size, NULL, NULL, diag, &json);
    assert_null(json);
    assert_failed(diag, status, TN_INVALID_DATA, part);
}

static void assert_refused(tn_diag *diag, const char *text, const char *part) {
    assert_refused_bytes(diag, text, strlen(text), part);
}

static void values_keep_their_type_and_members_their_order(void **state) {
    tn_json *json = parse(*state, "{\"z\": 1, \"a\": [true, null, -2.5, \"x\\u00e9\\ud83d\\ude00\"], \"m\": {}}");
    const tn_json_value *root = tn_json_root(json);
    assert_int_equal(tn_json_kind_of(root), TN_JSON_OBJECT);
    assert_int_equal(tn_json_count(root), 3);
    assert_string_equal(tn_json_key(tn_json_at(root, 0), NULL), "z");
    assert_string_equal(tn_json_key(tn_json_at(root, 1), NULL), "a");
    assert_string_equal(tn_json_key(tn_json_at(root, 2), NULL), "m");
    const tn_json_value *array = tn_json_find(root, "a");
    assert_int_equal(tn_json_count(array), 4);
    bool flag;
    assert_ok(*state, tn_json_to_bool(tn_json_at(array, 0), *state, &flag));
    assert_true(flag);
    assert_int_equal(tn_json_kind_of(tn_json_at(array, 1)), TN_JSON_NULL);
    double number;
    assert_ok(*state, tn_json_to_number(tn_json_at(array, 2), -10, 10, *state, &number));
    assert_true(number == -2.5);
    const char *string;
    size_t size;
    assert_ok(*state, tn_json_to_string(tn_json_at(array, 3), *state, &string, &size));
    assert_int_equal(size, 7);
    assert_string_equal(string, "x\xc3\xa9\xf0\x9f\x98\x80");
    assert_int_equal(tn_json_kind_of(tn_json_find(root, "m")), TN_JSON_OBJECT);
    assert_int_equal(tn_json_count(tn_json_find(root, "m")), 0);
    assert_null(tn_json_find(root, "absent"));
    tn_json_destroy(json);
}

static void many_members_keep_their_order(void **state) {
    tn_text text = {0};
    for (int i = 0; i < 1000; i++) tn_text_append_format(&text, "%s\"k%d\":%d", i > 0 ? "," : "{", (i * 7919) % 1000, i);
    tn_text_append_char(&text, '}');
    tn_json *json = parse(*state, text.data);
    assert_int_equal(tn_json_count(tn_json_root(json)), 1000);
    for (int i = 0; i < 1000; i++) {
        int64_t value;
        assert_ok(*state, tn_json_to_integer(tn_json_at(tn_json_root(json), (size_t)i), 0, 999, *state, &value));
        assert_int_equal(value, i);
    }
    tn_json_destroy(json);
    tn_text_deinit(&text);
}

static void an_integer_out_of_range_names_field_value_and_limits(void **state) {
    tn_json *json = parse(*state, "{\"num_hidden_layers\": -3}");
    int64_t value;
    tn_status status = tn_json_get_integer(tn_json_root(json), "num_hidden_layers", 1, 4096, *state, &value);
    assert_failed(*state, status, TN_INVALID_DATA, "config.json: 'num_hidden_layers' is -3, must be 1 to 4096");
    assert_int_equal(value, 0);
    assert_failed(*state, tn_json_get_integer(tn_json_root(json), "num_hidden_layers", -9, -4, *state, &value), TN_INVALID_DATA,
                  "is -3, must be -9 to -4");
    tn_json_destroy(json);
}

static void a_wrong_type_names_the_whole_path(void **state) {
    tn_json *json = parse(*state, "{\"a\": {\"b\": [1, {\"c\": \"x\"}, 1.5, [], {}, null, true]}}");
    const tn_json_value *b = tn_json_find(tn_json_find(tn_json_root(json), "a"), "b");
    int64_t integer;
    double number;
    bool flag;
    const char *string;
    assert_failed(*state, tn_json_get_integer(tn_json_at(b, 1), "c", 0, 9, *state, &integer), TN_INVALID_DATA,
                  "config.json: 'a.b[1].c' is \"x\", must be an integer from 0 to 9");
    assert_failed(*state, tn_json_get_number(tn_json_at(b, 1), "c", 0, 9, *state, &number), TN_INVALID_DATA,
                  "'a.b[1].c' is \"x\", must be a number from 0 to 9");
    assert_failed(*state, tn_json_to_number(tn_json_at(b, 2), 2, 9, *state, &number), TN_INVALID_DATA, "'a.b[2]' is 1.5, must be 2 to 9");
    assert_failed(*state, tn_json_to_number(tn_json_at(b, 6), -INFINITY, INFINITY, *state, &number), TN_INVALID_DATA,
                  "'a.b[6]' is true, must be a number");
    assert_failed(*state, tn_json_to_bool(tn_json_at(b, 3), *state, &flag), TN_INVALID_DATA, "'a.b[3]' is an array, must be true or false");
    assert_failed(*state, tn_json_to_string(tn_json_at(b, 4), *state, &string, NULL), TN_INVALID_DATA,
                  "'a.b[4]' is an object, must be a string");
    assert_failed(*state, tn_json_to_string(tn_json_at(b, 5), *state, &string, NULL), TN_INVALID_DATA,
                  "'a.b[5]' is null, must be a string");
    assert_failed(*state, tn_json_to_integer(tn_json_at(b, 2), 0, 9, *state, &integer), TN_INVALID_DATA,
                  "'a.b[2]' is 1.5, must be an integer from 0 to 9");
    assert_failed(*state, tn_json_expect(b, TN_JSON_OBJECT, *state), TN_INVALID_DATA, "'a.b' is an array, must be an object");
    assert_failed(*state, tn_json_fail(b, *state, TN_UNSUPPORTED, "has %d kinds", 7), TN_UNSUPPORTED, "config.json: 'a.b' has 7 kinds");
    tn_json_destroy(json);
}

static void a_missing_member_is_named(void **state) {
    tn_json *json = parse(*state, "{\"a\": {}}");
    const tn_json_value *a = tn_json_find(tn_json_root(json), "a"), *value;
    int64_t integer;
    double number;
    bool flag;
    const char *string;
    assert_failed(*state, tn_json_get_integer(a, "n", 0, 9, *state, &integer), TN_INVALID_DATA, "config.json: 'a.n' is missing");
    assert_failed(*state, tn_json_get_number(a, "n", 0, 9, *state, &number), TN_INVALID_DATA, "'a.n' is missing");
    assert_failed(*state, tn_json_get_bool(a, "n", *state, &flag), TN_INVALID_DATA, "'a.n' is missing");
    assert_failed(*state, tn_json_get_string(a, "n", *state, &string, NULL), TN_INVALID_DATA, "'a.n' is missing");
    assert_failed(*state, tn_json_get_array(a, "n", *state, &value), TN_INVALID_DATA, "'a.n' is missing");
    assert_null(value);
    assert_failed(*state, tn_json_get_object(tn_json_root(json), "b", *state, &value), TN_INVALID_DATA, "'b' is missing");
    assert_ok(*state, tn_json_get_object(tn_json_root(json), "a", *state, &value));
    assert_ptr_equal(value, a);
    tn_json_destroy(json);
}

static void getters_of_a_document_that_is_no_object_say_so(void **state) {
    tn_json *json = parse(*state, "[1]");
    assert_null(tn_json_find(tn_json_root(json), "n"));
    assert_null(tn_json_find(tn_json_at(tn_json_root(json), 0), "n"));
    int64_t integer;
    assert_failed(*state, tn_json_get_integer(tn_json_root(json), "n", 0, 9, *state, &integer), TN_INVALID_DATA,
                  "config.json: the document is an array, must be an object");
    assert_failed(*state, tn_json_get_integer_or(tn_json_root(json), "n", 0, 9, 5, *state, &integer), TN_INVALID_DATA, "must be an object");
    assert_int_equal(integer, 0);
    tn_json_destroy(json);
}

static void absent_and_null_members_take_the_fallback_and_wrong_ones_do_not(void **state) {
    tn_json *json = parse(*state, "{\"null\": null, \"bad\": [], \"i\": 3, \"d\": 0.5, \"b\": true, \"s\": \"x\"}");
    const tn_json_value *root = tn_json_root(json);
    int64_t integer;
    double number;
    bool flag;
    const char *string;
    assert_ok(*state, tn_json_get_integer_or(root, "null", 0, 9, 42, *state, &integer));
    assert_int_equal(integer, 42);
    assert_ok(*state, tn_json_get_integer_or(root, "i", 0, 9, 42, *state, &integer));
    assert_int_equal(integer, 3);
    assert_ok(*state, tn_json_get_number_or(root, "absent", 0, 9, 1.5, *state, &number));
    assert_true(number == 1.5);
    assert_ok(*state, tn_json_get_number_or(root, "i", 0, 9, 1.5, *state, &number));
    assert_true(number == 3);
    assert_ok(*state, tn_json_get_bool_or(root, "absent", true, *state, &flag));
    assert_true(flag);
    assert_ok(*state, tn_json_get_bool_or(root, "b", false, *state, &flag));
    assert_true(flag);
    assert_ok(*state, tn_json_get_string_or(root, "absent", "f", *state, &string));
    assert_string_equal(string, "f");
    assert_ok(*state, tn_json_get_string_or(root, "s", "f", *state, &string));
    assert_string_equal(string, "x");
    assert_failed(*state, tn_json_get_integer_or(root, "bad", 0, 9, 42, *state, &integer), TN_INVALID_DATA, "'bad' is an array");
    assert_failed(*state, tn_json_get_number_or(root, "bad", 0, 9, 42, *state, &number), TN_INVALID_DATA, "'bad' is an array");
    assert_failed(*state, tn_json_get_bool_or(root, "bad", true, *state, &flag), TN_INVALID_DATA, "'bad' is an array");
    assert_false(flag);
    assert_failed(*state, tn_json_get_string_or(root, "bad", "f", *state, &string), TN_INVALID_DATA, "'bad' is an array");
    assert_null(string);
    tn_json_destroy(json);
}

static void integers_of_18_digits_are_exact_and_longer_ones_are_reals(void **state) {
    tn_json *json =
        parse(*state, "[999999999999999999, -999999999999999999, 1000000000000000019884624838656, \"1000000000000000019884624838656\"]");
    const tn_json_value *root = tn_json_root(json);
    int64_t integer;
    double number;
    assert_ok(*state, tn_json_to_integer(tn_json_at(root, 0), INT64_MIN, INT64_MAX, *state, &integer));
    assert_true(integer == 999999999999999999);
    assert_ok(*state, tn_json_to_integer(tn_json_at(root, 1), INT64_MIN, INT64_MAX, *state, &integer));
    assert_true(integer == -999999999999999999);
    assert_int_equal(tn_json_kind_of(tn_json_at(root, 2)), TN_JSON_REAL);
    assert_ok(*state, tn_json_to_number(tn_json_at(root, 2), 0, INFINITY, *state, &number));
    assert_true(fabs(number / 1e30 - 1) < 1e-15);
    assert_failed(*state, tn_json_to_integer(tn_json_at(root, 2), 1, 4096, *state, &integer), TN_INVALID_DATA,
                  "'[2]' is 1e+30, must be an integer from 1 to 4096");
    const char *string;
    assert_ok(*state, tn_json_to_string(tn_json_at(root, 3), *state, &string, NULL));
    assert_string_equal(string, "1000000000000000019884624838656");
    tn_json_destroy(json);
}

static void reals_of_many_digits_keep_their_value(void **state) {
    const struct {
        const char *text;
        double value;
    } cases[] = {{"[0.12345678901234567890123]", 0.12345678901234567890123},
                 {"[12345678901234567890123e-5]", 12345678901234567890123e-5},
                 {"[12345678901234567890123E-5]", 12345678901234567890123e-5},
                 {"[-12345678901234567890.123e+10]", -12345678901234567890.123e+10}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_json *json = parse(*state, cases[i].text);
        double number;
        assert_ok(*state, tn_json_to_number(tn_json_at(tn_json_root(json), 0), -INFINITY, INFINITY, *state, &number));
        assert_true(number == cases[i].value);
        tn_json_destroy(json);
    }
}

static void numbers_beyond_double_are_refused(void **state) {
    assert_refused(*state, "[1, 1e400]", "a number beyond the range of a double at byte");
    assert_refused(*state, "[NaN]", "invalid JSON");
    assert_refused(*state, "[Infinity]", "invalid JSON");
    assert_refused(*state, "[00000000000000000000]", "invalid JSON");
}

static void nesting_beyond_the_limit_is_refused_before_parsing(void **state) {
    enum { depth = 1000000 };
    char *text = malloc(depth);
    memset(text, '[', depth);
    assert_refused_bytes(*state, text, depth, "cannot read config.json: nesting deeper than 64 levels at byte 64 (line 1)");
    const tn_json_limits limits = {.max_depth = 1000000};
    tn_json *json;
    tn_status status = tn_json_parse("config.json", text, depth, &limits, NULL, *state, &json);
    assert_failed(*state, status, TN_INVALID_DATA, "nesting deeper than 512 levels");
    free(text);
}

static void nesting_up_to_the_limit_is_read(void **state) {
    char text[1025];
    memset(text, '[', 512);
    memset(text + 512, ']', 512);
    text[1024] = 0;
    const tn_json_limits limits = {.max_depth = 512};
    tn_json *json;
    assert_ok(*state, tn_json_parse("x", text, 1024, &limits, NULL, *state, &json));
    tn_json_destroy(json);
}

static void values_beyond_the_limit_are_refused_before_parsing(void **state) {
    const tn_json_limits limits = {.max_values = 4};
    tn_json *json;
    assert_ok(*state, tn_json_parse("x", "[1,2,\",,,,\"]", 12, &limits, NULL, *state, &json));
    tn_json_destroy(json);
    const char escaped_quote[] = "[\"\\\",,,,,\"]", escaped_backslash[] = "[\"\\\\\",1,2,3]";
    assert_ok(*state, tn_json_parse("x", escaped_quote, strlen(escaped_quote), &limits, NULL, *state, &json));
    tn_json_destroy(json);
    assert_failed(*state, tn_json_parse("x", escaped_backslash, strlen(escaped_backslash), &limits, NULL, *state, &json), TN_INVALID_DATA,
                  "more than 4 values");
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 1);
    fault.keep_failing = true;
    tn_status status = tn_json_parse("x", "[1,2,3,4]", 9, &limits, &fault.allocator, *state, &json);
    assert_failed(*state, status, TN_INVALID_DATA, "cannot read x: more than 4 values at byte 6 (line 1)");
    assert_int_equal(fault.num_calls, 0);
}

static void bytes_beyond_the_limit_are_refused(void **state) {
    const tn_json_limits limits = {.max_bytes = 4};
    tn_json *json;
    tn_status status = tn_json_parse("x", "[1,2]", 5, &limits, NULL, *state, &json);
    assert_failed(*state, status, TN_INVALID_DATA, "cannot read x: it has 5 bytes, at most 4 are allowed");
}

static void text_that_is_not_one_document_is_refused_with_its_place(void **state) {
    assert_refused(*state, "", "cannot read config.json: it is empty");
    assert_refused(*state, " ", "the text ends too early");
    assert_refused(*state, "{\"a\": 1", "the text ends too early");
    assert_refused(*state, "{} x", "bytes follow the document at byte");
    assert_refused(*state, "{\n\n,}", "(line 3)");
    assert_refused(*state, "\xef\xbb\xbf{}", "a byte-order mark stands at byte 0");
    assert_refused_bytes(*state, "{}\0", 3, "a NUL byte stands at byte 2");
    assert_refused_bytes(*state, "{\"a\0\":1}", 8, "a NUL byte stands at byte 3");
    assert_refused(*state, "[\"a\\u0000b\"]", "\\u0000 in a string");
    assert_refused(*state, "{\"a\\u0000b\": 1}", "\\u0000 in a name");
    assert_refused(*state, "{\"a\": 1, \"a\": 2}", "a name stands twice in one object");
    assert_refused(*state, "[\"\xff\"]", "invalid UTF-8");
    assert_refused(*state, "[\"\\ud800\"]", "a lone surrogate at byte 2");
    assert_refused(*state, "[\"\\udc00\"]", "a lone surrogate at byte 2");
    assert_refused(*state, "[\"\\ud800\\u0041\"]", "a lone surrogate at byte 2");
    assert_refused(*state, "[\"\\ud800\\ud800\"]", "a lone surrogate at byte 2");
    assert_refused(*state, "[1,]", "invalid JSON");
    assert_refused(*state, "[\"\\", "the text ends too early");
    assert_refused(*state, "[\"\xe2\x82", "the text ends too early, at byte 4");
}

static void truncation_at_every_byte_is_refused(void **state) {
    const char text[] = "{\"a\": {\"b\": [1, -2.5e3, \"x\\u00e9\", 100000000000000000000], \"c\": true}, \"d\": null}";
    for (size_t size = 0; size < strlen(text); size++) {
        char *copy = malloc(size + 1); /* exactly the bytes, so that a sanitizer sees a read beyond them */
        memcpy(copy, text, size);
        char *exact = realloc(copy, size > 0 ? size : 1);
        tn_json *json;
        tn_status status = tn_json_parse("x", exact, size, NULL, NULL, *state, &json);
        assert_failed(*state, status, TN_INVALID_DATA, "cannot read x: ");
        free(exact);
    }
}

/* Strings and numbers of every length about 16 and 32 bytes, where buffers of jansson grew: a failure there lost a byte or
 * ended the process. */
static void each_allocation_failing_in_turn_is_reported_without_leak(void **state) {
    tn_text text = {0};
    for (int i = 0; i < 40; i++)
        tn_text_append_format(&text, "%s\"%.*s%d\":[\"%.*s\",%.*s]", i == 0 ? "{" : ",", i, "a name that is longer than thirty-two bytes",
                              i, i, "a string that is longer than thirty-two bytes", i + 3,
                              "0.12345678901234567890123456789012345678901234567");
    tn_text_append_char(&text, '}');
    for (size_t i = 0;; i++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, i / 2 + 1); /* each once alone and once with all after it */
        fault.keep_failing = i % 2 == 0;
        tn_json *json;
        tn_status status = tn_json_parse("x", text.data, text.size, NULL, &fault.allocator, *state, &json);
        if (!tn_fault_has_failed(&fault)) {
            assert_ok(*state, status);
            assert_int_equal(i, 10);
            tn_json_destroy(json);
            assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
            break;
        }
        assert_null(json);
        assert_failed(*state, status, TN_OUT_OF_MEMORY, "out of memory");
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
    }
    tn_text_deinit(&text);
}

/* A document costs what json.h says. */
static void memory_is_that_of_the_values_and_the_text(void **state) {
    tn_text text = {0};
    for (int i = 0; i < 10000; i++) tn_text_append_string(&text, i == 0 ? "[{}" : ",{}");
    tn_text_append_char(&text, ']');
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    tn_json *json;
    assert_ok(*state, tn_json_parse("x", text.data, text.size, NULL, &fault.allocator, *state, &json));
    assert_int_equal(tn_json_count(tn_json_root(json)), 10000);
    assert_true(tn_fault_peak_bytes(&fault) < 40 * 20002 + text.size + 1000);
    tn_json_destroy(json);
    tn_text_deinit(&text);
}

/* Small objects compare their names in pairs, large ones sort them. */
static void a_name_that_stands_twice_among_many_is_refused(void **state) {
    for (int count = 2; count < 40; count++)
        for (int twin = 1; twin < count; twin++) {
            tn_text text = {0};
            for (int i = 0; i < count; i++) tn_text_append_format(&text, "%s\"k%d\":%d", i > 0 ? "," : "{", i == twin ? 0 : i, i);
            tn_text_append_char(&text, '}');
            char part[64];
            snprintf(part, sizeof part, "a name stands twice in one object, at byte %d",
                     (int)(strstr(text.data + 5, "\"k0\"") - text.data) + 5);
            assert_refused(*state, text.data, part);
            tn_text_deinit(&text);
        }
}

static void children_know_their_path_at_any_depth_and_width(void **state) {
    tn_json *json = parse(*state, "[[[1,[2,{\"a\":[3,{}]}]],4],{\"b\":{\"c\":[[],[{\"d\":5}]]}}]");
    const tn_json_value *root = tn_json_root(json);
    const tn_json_value *three = tn_json_at(tn_json_find(tn_json_at(tn_json_at(tn_json_at(tn_json_at(root, 0), 0), 1), 1), "a"), 0);
    const tn_json_value *c = tn_json_find(tn_json_find(tn_json_at(root, 1), "b"), "c");
    assert_failed(*state, tn_json_expect(three, TN_JSON_ARRAY, *state), TN_INVALID_DATA, "'[0][0][1][1].a[0]' is 3, must be an array");
    assert_failed(*state, tn_json_expect(tn_json_find(tn_json_at(tn_json_at(c, 1), 0), "d"), TN_JSON_ARRAY, *state), TN_INVALID_DATA,
                  "'[1].b.c[1][0].d' is 5, must be an array");
    assert_int_equal(tn_json_count(tn_json_at(c, 0)), 0);
    tn_json_destroy(json);
}

static void escapes_give_their_characters(void **state) {
    tn_json *json = parse(*state, "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00DF\\u20ac\\uD834\\udd1e\"]");
    const char *string;
    size_t size;
    assert_ok(*state, tn_json_to_string(tn_json_at(tn_json_root(json), 0), *state, &string, &size));
    assert_string_equal(string, "\"\\/\b\f\n\r\tA\xc3\x9f\xe2\x82\xac\xf0\x9d\x84\x9e");
    assert_int_equal(size, strlen(string));
    tn_json_destroy(json);
}

static void what_json_does_not_have_is_refused(void **state) {
    static const char *const texts[] = {
        "[1 2]",  "[,1]",    "{,}",         "{\"a\"}",       "{\"a\":}",      "{\"a\" 1}",  "{a:1}",    "[+1]",  "[01]",      "[-01]",
        "[.5]",   "[1.]",    "[1.e5]",      "[1e]",          "[1e+]",         "[0x10]",     "[-]",      "[tru]", "[truee]",   "[True]",
        "[nul]",  "['a']",   "[\"\\x41\"]", "[\"\\u12g4\"]", "[\"\\u+123\"]", "[\"a\tb\"]", "[\"\n\"]", "[1}",   "{\"a\":1]", "]",
        "//c\n1", "[1]/**/", "[\xc2\xa0]",  "{\"a\":1,}",    "[-Infinity]",   "\"a\"\"b\"", "1 1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) assert_refused(*state, texts[i], "cannot read config.json: ");
}

static void a_file_is_read_and_a_missing_one_reported(void **state) {
    char folder[64], path[128];
    make_temporary_folder(folder);
    write_file(folder, "a.json", "{\"a\": 7}", 8);
    snprintf(path, sizeof path, "%s/a.json", folder);
    tn_json *json;
    assert_ok(*state, tn_json_load(path, NULL, NULL, *state, &json));
    int64_t value;
    assert_ok(*state, tn_json_get_integer(tn_json_root(json), "a", 0, 9, *state, &value));
    assert_int_equal(value, 7);
    tn_json_destroy(json);
    remove_folder(folder, (const char *const[]){"a.json"}, 1);
    tn_status status = tn_json_load(path, NULL, NULL, *state, &json);
    assert_null(json);
    assert_failed(*state, status, TN_NOT_FOUND, path);
}

static void quoted_names_are_short_and_harmless_to_a_terminal(void **state) {
    (void)state;
    char buffer[TN_QUOTE_SIZE], text[400];
    assert_string_equal(tn_quote("a\x1b[2Jb\xff", 7, buffer), "a?[2Jb?");
    assert_string_equal(tn_quote("\xe2\x80\xae\xc2\x9bx", 6, buffer), "??x");
    memset(text, 'y', sizeof text);
    assert_int_equal(strlen(tn_quote(text, sizeof text, buffer)), 99);
    assert_int_equal(strlen(tn_quote(text, 96, buffer)), 96);
    for (size_t i = 0; i < sizeof text; i += 4) memcpy(text + i, "\xf0\x9f\x98\x80", 4);
    assert_true(tn_utf8_is_valid(buffer, strlen(tn_quote(text + 2, 398, buffer))));
}

static void a_long_path_keeps_its_innermost_names(void **state) {
    tn_text text = {0};
    for (int i = 0; i < 12; i++) tn_text_append_format(&text, "{\"%d%060d\":", i, 0);
    tn_text_append_string(&text, "{\"innermost\": 1}");
    for (int i = 0; i < 12; i++) tn_text_append_char(&text, '}');
    tn_json *json = parse(*state, text.data);
    const tn_json_value *value = tn_json_root(json);
    while (tn_json_count(value) > 0) value = tn_json_at(value, 0);
    assert_failed(*state, tn_json_expect(value, TN_JSON_ARRAY, *state), TN_INVALID_DATA, ".innermost' is 1, must be an array");
    tn_json_destroy(json);
    tn_text_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(values_keep_their_type_and_members_their_order),
        TEST(many_members_keep_their_order),
        TEST(an_integer_out_of_range_names_field_value_and_limits),
        TEST(a_wrong_type_names_the_whole_path),
        TEST(a_missing_member_is_named),
        TEST(getters_of_a_document_that_is_no_object_say_so),
        TEST(absent_and_null_members_take_the_fallback_and_wrong_ones_do_not),
        TEST(integers_of_18_digits_are_exact_and_longer_ones_are_reals),
        TEST(reals_of_many_digits_keep_their_value),
        TEST(numbers_beyond_double_are_refused),
        TEST(nesting_beyond_the_limit_is_refused_before_parsing),
        TEST(nesting_up_to_the_limit_is_read),
        TEST(values_beyond_the_limit_are_refused_before_parsing),
        TEST(bytes_beyond_the_limit_are_refused),
        TEST(text_that_is_not_one_document_is_refused_with_its_place),
        TEST(truncation_at_every_byte_is_refused),
        TEST(each_allocation_failing_in_turn_is_reported_without_leak),
        TEST(memory_is_that_of_the_values_and_the_text),
        TEST(a_name_that_stands_twice_among_many_is_refused),
        TEST(children_know_their_path_at_any_depth_and_width),
        TEST(escapes_give_their_characters),
        TEST(what_json_does_not_have_is_refused),
        TEST(a_file_is_read_and_a_missing_one_reported),
        TEST(quoted_names_are_short_and_harmless_to_a_terminal),
        TEST(a_long_path_keeps_its_innermost_names),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
