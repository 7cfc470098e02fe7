/* SPDX-License-Identifier: Apache-2.0
 *
 * load_json_test.c: what a tokenizer.json may get wrong, class by class.
 */
#include "support/fault_allocator.h"
#include "tokenizer/testing.h"

static void assert_refused(const char *json, tn_status expected, const char *words) {
    tn_diag *diag = make_diag();
    tn_tokenizer_options options = {.struct_size = sizeof options, .diag = diag};
    tn_tokenizer *t;
    tn_status status = tn_tokenizer_load_json(json, strlen(json), &options, &t);
    assert_null(t);
    if (status != expected) fail_msg("status %d, message '%s'", (int)status, first_message(diag));
    assert_mentions(diag, words);
    assert_int_equal(tn_diag_num_entries(diag), 1);
    tn_diag_destroy(diag);
}

/* SMALL_JSON with the first `old` replaced. */
static void assert_change_refused(const char *old, const char *new, tn_status expected, const char *words) {
    tn_text json = {0};
    const char *at = strstr(SMALL_JSON, old);
    assert_non_null(at);
    tn_text_append(&json, SMALL_JSON, (size_t)(at - SMALL_JSON));
    tn_text_append_string(&json, new);
    tn_text_append_string(&json, at + strlen(old));
    assert_refused(json.data, expected, words);
    tn_text_deinit(&json);
}

static void truncation_at_every_byte_is_refused(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    tn_tokenizer_options options = {.struct_size = sizeof options, .diag = diag};
    assert_true(strlen(SMALL_JSON) <= 4096);
    for (size_t size = 0; size < strlen(SMALL_JSON); size++) {
        char *copy = malloc(size ? size : 1); /* exactly as long, for the sanitizer */
        memcpy(copy, SMALL_JSON, size);
        tn_tokenizer *t;
        assert_int_equal(tn_tokenizer_load_json(copy, size, &options, &t), TN_INVALID_DATA);
        assert_null(t);
        assert_mentions(diag, size == 0 ? "it is empty" : "the text ends too early");
        tn_diag_clear(diag);
        free(copy);
    }
    tn_diag_destroy(diag);
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    tn_diag *diag = make_diag();
    for (size_t fail_at = 0;; fail_at++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, fail_at / 2 + 1); /* each once with all after it and once alone */
        fault.keep_failing = fail_at % 2 == 0;
        tn_tokenizer_options options = {.struct_size = sizeof options, .diag = diag, .allocator = &fault.allocator};
        tn_tokenizer *t;
        tn_status status = tn_tokenizer_load_json(SMALL_JSON, strlen(SMALL_JSON), &options, &t);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        assert_int_equal(tn_diag_num_entries(diag), tn_fault_has_failed(&fault) ? 1 : 0);
        tn_diag_clear(diag);
        tn_tokenizer_destroy(t);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (status == TN_OK) break;
        assert_true(fail_at < 2000);
    }
    tn_diag_destroy(diag);
}

static void bad_ids_are_refused(void **state) {
    (void)state;
    assert_change_refused("\"a\":1", "\"a\":-1", TN_INVALID_DATA, "-1");
    assert_change_refused("\"a\":1", "\"a\":4294967297", TN_INVALID_DATA, "4294967297");
    assert_change_refused("\"a\":1", "\"a\":16000000", TN_INVALID_DATA, "far beyond");
    assert_change_refused("\"a\":1", "\"a\":2", TN_INVALID_DATA, "id 2 belongs to both 'a' and 'b'");
    assert_change_refused("\"a\":1", "\"a\":1.5", TN_INVALID_DATA, "'model.vocab.a' is 1.5, must be an integer");
    assert_change_refused("\"a\":1", "\"a\":1,\"a\":77", TN_INVALID_DATA, "a name stands twice in one object");
    assert_change_refused("\"id\":0,", "\"id\":5,", TN_INVALID_DATA, "id 5");
}

static void a_gap_in_the_ids_is_an_unused_id(void **state) {
    (void)state;
    static const char json[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":7},\"merges\":[]}}";
    tn_tokenizer *t;
    assert_int_equal(tn_tokenizer_load_json(json, strlen(json), NULL, &t), TN_OK);
    size_t size;
    assert_int_equal(tn_tokenizer_vocab_size(t), 8);
    assert_null(tn_tokenizer_piece(t, 3, &size));
    assert_null(tn_tokenizer_piece(t, -1, &size));
    assert_null(tn_tokenizer_piece(t, 8, &size));
    const int32_t ids[] = {3, 0, -5, 99, 7, INT32_MAX, INT32_MIN};
    char *text;
    assert_int_equal(tn_tokenizer_decode(t, ids, 7, false, NULL, &text, &size), TN_OK);
    assert_string_equal(text, "a b");
    tn_tokenizer_free(t, text);
    tn_tokenizer_destroy(t);
}

static void merges_of_unknown_tokens_are_refused(void **state) {
    (void)state;
    assert_change_refused("\"a b\"", "\"a x\"", TN_INVALID_DATA, "'x'");
    assert_change_refused("\"a b\"", "\"b a\"", TN_INVALID_DATA, "'ba'");
    assert_change_refused("\"a b\"", "\"ab\"", TN_INVALID_DATA, "one space");
    assert_change_refused("\"a b\"", "\"a b c\"", TN_INVALID_DATA, "one space");
    assert_change_refused("\"a b\"", "\" a\"", TN_INVALID_DATA, "empty half");
    assert_change_refused("[\"ab\",\"c\"]", "[\"ab\"]", TN_INVALID_DATA, "1 parts");
    assert_change_refused("\"a b\"", "7", TN_INVALID_DATA, "merges");
}

static void merges_cannot_go_in_circles(void **state) {
    (void)state;
    /* An empty token would be its own union with another: refused as half of a merge. */
    static const char json[] = "{\"model\":{\"vocab\":{\"\":0,\"a\":1},\"merges\":[[\"\",\"a\"]]}}";
    assert_refused(json, TN_INVALID_DATA, "empty half");
}

static void text_that_is_no_unicode_is_refused(void **state) {
    (void)state;
    assert_change_refused("\"a\":1", "\"\\ud800\":1", TN_INVALID_DATA, "a lone surrogate");
    assert_change_refused("\"a\":1", "\"\xff\":1", TN_INVALID_DATA, "UTF-8");
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    char *json = malloc(1000001);
    memset(json, '[', 1000000);
    json[1000000] = 0;
    assert_refused(json, TN_INVALID_DATA, "nest");
    free(json);
    tn_text nested = {0};
    tn_text_append_string(&nested, "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":");
    for (int i = 0; i < 15; i++) tn_text_append_string(&nested, "{\"type\":\"Sequence\",\"normalizers\":[");
    tn_text_append_string(&nested, "{\"type\":\"NFC\"}");
    for (int i = 0; i < 15; i++) tn_text_append_string(&nested, "]}");
    tn_text_append_string(&nested, "}");
    assert_refused(nested.data, TN_INVALID_DATA, "nested deeper");
    tn_text_deinit(&nested);
}

static void an_added_token_may_be_neither_empty_nor_huge(void **state) {
    (void)state;
    assert_change_refused("\"content\":\"<pad>\"", "\"content\":\"\"", TN_INVALID_DATA, "is empty");
    char *json = malloc(1 << 21);
    const char *at = strstr(SMALL_JSON, "<pad>");
    int used = snprintf(json, 1 << 21, "%.*s", (int)(at - SMALL_JSON), SMALL_JSON);
    memset(json + used, 'x', 1 << 20);
    memcpy(json + used + (1 << 20), at + 5, strlen(at + 5) + 1);
    assert_refused(json, TN_INVALID_DATA, "1048576 bytes");
    free(json);
}

static void bad_patterns_are_refused(void **state) {
    (void)state;
    assert_change_refused("\\\\p{N}", "(", TN_INVALID_DATA, "pattern '('");
    assert_change_refused("\\\\p{N}", "", TN_INVALID_DATA, "empty pattern");
    assert_change_refused("\\\\p{N}", "[a&&b]", TN_UNSUPPORTED, "intersection");
    assert_change_refused("\\\\p{N}", "[a[b]]", TN_UNSUPPORTED, "class inside a class");
    assert_change_refused("\\\\p{N}", "(a)\\\\1", TN_UNSUPPORTED, "escape \\1");
    assert_change_refused("\\\\p{N}", "(?<n>a)", TN_UNSUPPORTED, "kind of group");
    assert_change_refused("\\\\p{N}", "a{2}+", TN_UNSUPPORTED, "interval with +");
    assert_change_refused("\\\\p{N}", "\\\\p{Nope}", TN_INVALID_DATA, "property");
    assert_change_refused("\\\\p{N}", "(?x) a", TN_UNSUPPORTED, "kind of group");
    assert_change_refused("\\\\p{N}", "*a", TN_INVALID_DATA, "nothing to repeat");
}

static void a_catastrophic_pattern_ends_in_an_error(void **state) {
    (void)state;
    static const char json[] =
        "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+$|(a|a)*(a|a)*b\"},\"behavior\":\"Isolated\"},"
        "\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}";
    tn_diag *diag = make_diag();
    tn_tokenizer *t;
    assert_int_equal(tn_tokenizer_load_json(json, strlen(json), NULL, &t), TN_OK);
    tn_encode_options options;
    tn_encode_options_init(&options);
    options.diag = diag;
    int32_t *ids;
    size_t count;
    assert_int_equal(
        tn_tokenizer_encode(t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", 69, &options, &ids, &count),
        TN_INVALID_DATA);
    assert_null(ids);
    assert_mentions(diag, "steps");
    tn_tokenizer_destroy(t);
    tn_diag_destroy(diag);
}

static void unknown_parts_are_refused_by_name(void **state) {
    (void)state;
    assert_change_refused("\"type\":\"NFC\"", "\"type\":\"New\"", TN_UNSUPPORTED, "normalizer 'New'");
    assert_change_refused("\"type\":\"Split\"", "\"type\":\"New\"", TN_UNSUPPORTED, "pre-tokenizer 'New'");
    assert_change_refused("\"type\":\"TemplateProcessing\"", "\"type\":\"New\"", TN_UNSUPPORTED, "post-processor 'New'");
    assert_change_refused("\"decoder\":{\"type\":\"ByteLevel\"}", "\"decoder\":{\"type\":\"New\"}", TN_UNSUPPORTED, "decoder 'New'");
    assert_change_refused("\"type\":\"BPE\"", "\"type\":\"New\"", TN_UNSUPPORTED, "'New'");
    assert_change_refused("\"behavior\":\"MergedWithPrevious\"", "\"behavior\":\"Other\"", TN_UNSUPPORTED, "behavior");
    assert_change_refused("\"dropout\":null", "\"dropout\":0.1", TN_UNSUPPORTED, "dropout");
    assert_change_refused("\"dropout\":null", "\"new_field\":null", TN_UNSUPPORTED, "new_field");
    assert_change_refused("\"unk_token\":null", "\"unk_token\":\"?\"", TN_INVALID_DATA, "unk_token");
    assert_change_refused("\"id\":\"A\"", "\"id\":\"B\"", TN_UNSUPPORTED, "only A");
    assert_change_refused("\"ids\":[0]", "\"ids\":[50]", TN_INVALID_DATA, "50");
}

static void a_byte_without_a_token_is_left_out(void **state) {
    (void)state;
    tn_tokenizer *t = load_small();
    int32_t *ids;
    size_t count;
    assert_int_equal(tn_tokenizer_encode(t, "zabz", 4, NULL, &ids, &count), TN_OK);
    assert_int_equal(count, 3); /* <s>, the prefix space, ab */
    assert_int_equal(ids[2], 5);
    tn_tokenizer_free(t, ids);
    tn_tokenizer_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncation_at_every_byte_is_refused),
        cmocka_unit_test(every_failing_allocation_is_reported),
        cmocka_unit_test(bad_ids_are_refused),
        cmocka_unit_test(a_gap_in_the_ids_is_an_unused_id),
        cmocka_unit_test(merges_of_unknown_tokens_are_refused),
        cmocka_unit_test(merges_cannot_go_in_circles),
        cmocka_unit_test(text_that_is_no_unicode_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(an_added_token_may_be_neither_empty_nor_huge),
        cmocka_unit_test(bad_patterns_are_refused),
        cmocka_unit_test(a_catastrophic_pattern_ends_in_an_error),
        cmocka_unit_test(unknown_parts_are_refused_by_name),
        cmocka_unit_test(a_byte_without_a_token_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
