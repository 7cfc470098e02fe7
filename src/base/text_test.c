/* SPDX-License-Identifier: Apache-2.0
 *
 * text_test.c: growing text, UTF-8, JSON strings, numbers for people.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"
#include "support/fault_allocator.h"

static void appended_pieces_make_one_string(void **state) {
    (void)state;
    tn_text text = {0};
    tn_text_append_string(&text, "a");
    tn_text_append_char(&text, 'b');
    tn_text_append_format(&text, "%d%s", 12, "c");
    tn_text_append(&text, "d\0e", 3);
    assert_false(text.failed);
    assert_int_equal(text.size, 8);
    assert_memory_equal(text.data, "ab12cd\0e", 9);
    for (int i = 0; i < 10000; i++) tn_text_append_char(&text, 'x');
    assert_int_equal(text.size, 10008);
    tn_text_reset(&text);
    assert_string_equal(text.data, "");
    tn_text_deinit(&text);
    assert_null(text.data);
}

static void append_beyond_the_limit_fails_and_keeps_what_was_there(void **state) {
    (void)state;
    tn_text text = {.max_size = 4};
    tn_text_append_string(&text, "abcd");
    assert_false(text.failed);
    tn_text_append_char(&text, 'e');
    assert_true(text.failed);
    assert_string_equal(text.data, "abcd");
    tn_text_deinit(&text);
}

static void failure_sticks_so_that_no_middle_part_is_missing(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 1);
    tn_text text = {.allocator = &fault.allocator};
    tn_text_append_string(&text, "lost");
    tn_text_append_string(&text, "after");
    assert_true(text.failed);
    assert_int_equal(text.size, 0);
    tn_text_reset(&text);
    tn_text_append_string(&text, "new");
    assert_false(text.failed);
    assert_string_equal(text.data, "new");
    tn_text_deinit(&text);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

static void json_of(const char *bytes, size_t size, const char *expected) {
    tn_text text = {0};
    tn_text_append_json_string(&text, bytes, size);
    assert_string_equal(text.data, expected);
    tn_text_deinit(&text);
}

static void json_strings_are_escaped(void **state) {
    (void)state;
    json_of("a\"\\\n\r\t\b\f/", 9, "\"a\\\"\\\\\\n\\r\\t\\b\\f/\"");
    json_of("\0\x1f\x7f", 3, "\"\\u0000\\u001f\x7f\"");
    json_of("h\xC3\xA9\xF0\x9F\x98\x80", 7, "\"h\xC3\xA9\xF0\x9F\x98\x80\"");
    json_of("", 0, "\"\"");
}

/* The examples of the Unicode standard, section 3.9, on substituting maximal subparts. */
static void each_maximal_bad_part_becomes_one_replacement_character(void **state) {
    (void)state;
#define BAD "\xEF\xBF\xBD"
    json_of("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9, "\"" BAD BAD BAD BAD BAD BAD BAD BAD "A\"");
    json_of("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9, "\"" BAD BAD BAD BAD BAD BAD BAD BAD "A\"");
    json_of("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9, "\"" BAD BAD BAD BAD "A\"");
    json_of("\xF0\x9F\x98", 3, "\"" BAD "\"");
#undef BAD
}

static void json_string_that_does_not_fit_is_left_out_whole(void **state) {
    (void)state;
    tn_text text = {.max_size = 8};
    tn_text_append_string(&text, "[");
    tn_text_append_json_string(&text, "0123456789", 10);
    assert_true(text.failed);
    assert_string_equal(text.data, "[");
    tn_text_deinit(&text);
}

static void every_code_point_survives_encoding_and_decoding(void **state) {
    (void)state;
    for (uint32_t code_point = 0; code_point <= 0x110010; code_point++) {
        char bytes[4];
        int length = tn_utf8_encode(code_point, bytes);
        if ((code_point >= 0xD800 && code_point <= 0xDFFF) || code_point > 0x10FFFF) {
            assert_int_equal(length, 0);
            continue;
        }
        uint32_t decoded;
        if (tn_utf8_decode(bytes, (size_t)length, &decoded) != length || decoded != code_point) fail_msg("U+%04X", code_point);
        for (int part = 0; part < length; part++)
            if (tn_utf8_decode(bytes, (size_t)part, &decoded) != -1) fail_msg("U+%04X cut to %d bytes", code_point, part);
    }
}

static void ill_formed_sequences_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"\x80",         "\xC0\x80",         "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80", "\xF5\x80\x80\x80", "\xFF",     "\xC3(",        "\xE2\x82(",    "\xF0\x9F\x98("};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint32_t code_point;
        assert_int_equal(tn_utf8_decode(bad[i], strlen(bad[i]), &code_point), 0);
        assert_false(tn_utf8_is_valid(bad[i], strlen(bad[i])));
    }
    assert_true(tn_utf8_is_valid("", 0));
    assert_true(tn_utf8_is_valid("a\xE2\x82\xAC", 4));
    assert_false(tn_utf8_is_valid("a\xE2\x82\xAC", 3));
}

static void prefixes_and_suffixes_are_found(void **state) {
    (void)state;
    assert_true(tn_string_starts_with("model.gguf", "model"));
    assert_false(tn_string_starts_with("mod", "model"));
    assert_true(tn_string_ends_with("model.gguf", ".gguf"));
    assert_false(tn_string_ends_with("gguf", ".gguf"));
    assert_true(tn_string_ends_with("x", ""));
}

static void counts_and_sizes_are_written_for_people(void **state) {
    (void)state;
    char buffer[32];
    assert_string_equal(tn_format_count(0, buffer), "0");
    assert_string_equal(tn_format_count(999, buffer), "999");
    assert_string_equal(tn_format_count(1000, buffer), "1,000");
    assert_string_equal(tn_format_count(UINT64_MAX, buffer), "18,446,744,073,709,551,615");
    assert_string_equal(tn_format_bytes(0, buffer), "0 B");
    assert_string_equal(tn_format_bytes(999, buffer), "999 B");
    assert_string_equal(tn_format_bytes(1500000000, buffer), "1.5 GB");
    assert_string_equal(tn_format_bytes(312000, buffer), "312 KB");
    assert_string_equal(tn_format_bytes(999999, buffer), "1 MB");
    assert_string_equal(tn_format_bytes(UINT64_MAX, buffer), "18.4 EB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_pieces_make_one_string),
        cmocka_unit_test(append_beyond_the_limit_fails_and_keeps_what_was_there),
        cmocka_unit_test(failure_sticks_so_that_no_middle_part_is_missing),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(each_maximal_bad_part_becomes_one_replacement_character),
        cmocka_unit_test(json_string_that_does_not_fit_is_left_out_whole),
        cmocka_unit_test(every_code_point_survives_encoding_and_decoding),
        cmocka_unit_test(ill_formed_sequences_are_refused),
        cmocka_unit_test(prefixes_and_suffixes_are_found),
        cmocka_unit_test(counts_and_sizes_are_written_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
