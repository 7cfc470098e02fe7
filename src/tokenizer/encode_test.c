/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_test.c: what the golden files do not show: added tokens' flags, odd bytes, long runs, and failing allocations.
 */
#include "support/fault_allocator.h"
#include "tokenizer/testing.h"

static void assert_encodes(const tn_tokenizer *t, const char *text, bool parse_special, const char *expected) {
    tn_encode_options options;
    tn_encode_options_init(&options);
    options.parse_special = parse_special;
    int32_t *ids;
    size_t count;
    assert_int_equal(tn_tokenizer_encode(t, text, strlen(text), &options, &ids, &count), TN_OK);
    tn_text all = {0};
    for (size_t i = 0; i < count; i++) tn_text_append_format(&all, "%d ", ids[i]);
    assert_string_equal(all.data ? all.data : "", expected);
    tn_text_deinit(&all);
    tn_tokenizer_free(t, ids);
}

/* SMALL_JSON: <s> 0, a 1, b 2, c 3, space 4, ab 5, abc 6, " a" 7, 1 8, <pad> 9 (single word, both strips, normalized) */
static void flags_of_added_tokens_hold(void **state) {
    (void)state;
    tn_tokenizer *t = load_small();
    assert_encodes(t, "abc", true, "0 4 6 ");
    assert_encodes(t, "b <pad> b", true, "0 4 2 9 4 2 "); /* takes the white space at both sides */
    assert_encodes(t, "b<pad>b", true, "0 4 2 1 2 ");     /* inside a word it is text, most of it unknown here */
    assert_encodes(t, "B <PAD> B", true, "0 4 2 9 4 2 "); /* found in normalized text */
    assert_encodes(t, "<s>b", true, "0 0 4 2 ");
    assert_encodes(t, "<s>b", false, "0 4 2 ");
    assert_encodes(t, "", true, "0 ");
    tn_tokenizer_destroy(t);
}

static void special_tokens_never_come_from_text(void **state) {
    (void)state;
    /* "ab" is special here: neither the merge, nor the whole word, nor its own unit may make it. */
    static const char json[] =
        "{\"added_tokens\":[{\"id\":2,\"content\":\"ab\",\"special\":true},{\"id\":3,\"content\":\"c\",\"special\":true}],"
        "\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"c\":3},\"merges\":[\"a b\"]}}";
    tn_tokenizer *t;
    assert_int_equal(tn_tokenizer_load_json(json, strlen(json), NULL, &t), TN_OK);
    assert_encodes(t, "ab", false, "0 1 ");
    assert_encodes(t, "abc", false, "0 1 ");
    assert_encodes(t, "abc", true, "2 3 ");
    tn_tokenizer_destroy(t);
}

static void bad_bytes_read_as_replacement_characters(void **state) {
    (void)state;
    tn_tokenizer *t = load_golden("gpt2-bytelevel");
    static const char *const pairs[][2] = {
        {"a\xff"
         "b",
         "a\xEF\xBF\xBD"
         "b"},
        {"\xE4\xB8", "\xEF\xBF\xBD"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF0\x9F\x99x", "\xEF\xBF\xBDx"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        int32_t *ids;
        size_t count, size;
        char *text;
        assert_int_equal(tn_tokenizer_encode(t, pairs[i][0], strlen(pairs[i][0]), NULL, &ids, &count), TN_OK);
        assert_int_equal(tn_tokenizer_decode(t, ids, count, false, NULL, &text, &size), TN_OK);
        assert_string_equal(text, pairs[i][1]);
        tn_tokenizer_free(t, ids);
        tn_tokenizer_free(t, text);
    }
    tn_tokenizer_destroy(t);
}

static void control_characters_survive_a_round_trip(void **state) {
    (void)state;
    tn_tokenizer *t = load_golden("gpt2-bytelevel");
    for (int first = 0; first < 128; first++) {
        const char bytes[2] = {(char)first, 0};
        int32_t *ids;
        size_t count, size;
        char *text;
        assert_int_equal(tn_tokenizer_encode(t, bytes, 2, NULL, &ids, &count), TN_OK);
        assert_int_equal(tn_tokenizer_decode(t, ids, count, false, NULL, &text, &size), TN_OK);
        assert_int_equal(size, 2);
        assert_memory_equal(text, bytes, 2);
        tn_tokenizer_free(t, ids);
        tn_tokenizer_free(t, text);
    }
    tn_tokenizer_destroy(t);
}

/* Quadratic merging would take minutes here. */
static void long_runs_are_encoded(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2-bytelevel", "llama3-bytelevel", "llama2-sentencepiece-bpe"};
    size_t size = (size_t)1 << 18;
    char *text = malloc(size);
    for (size_t n = 0; n < 3; n++)
        for (int kind = 0; kind < 2; kind++) {
            tn_tokenizer *t = load_golden(names[n]);
            memset(text, kind == 0 ? 'a' : ' ', size);
            int32_t *ids;
            size_t count, decoded_size;
            char *decoded;
            assert_int_equal(tn_tokenizer_encode(t, text, size, NULL, &ids, &count), TN_OK);
            assert_int_equal(tn_tokenizer_decode(t, ids, count, true, NULL, &decoded, &decoded_size), TN_OK);
            assert_int_equal(decoded_size, size);
            assert_memory_equal(decoded, text, size);
            tn_tokenizer_free(t, decoded);
            tn_tokenizer_free(t, ids);
            tn_tokenizer_destroy(t);
        }
    free(text);
}

/* More backtracking than the steps allowed for a short text. */
static void a_run_of_millions_of_spaces_is_within_the_limit(void **state) {
    (void)state;
    tn_tokenizer *t = load_golden("llama3-bytelevel");
    size_t size = 2500000, count;
    char *text = malloc(size);
    int32_t *ids;
    memset(text, ' ', size);
    text[size - 1] = 'x';
    assert_int_equal(tn_tokenizer_encode(t, text, size, NULL, &ids, &count), TN_OK);
    tn_tokenizer_free(t, ids);
    free(text);
    tn_tokenizer_destroy(t);
}

static void repeated_words_give_the_ids_of_the_first(void **state) {
    (void)state;
    tn_tokenizer *t = load_golden("smollm-digits-bytelevel");
    tn_text text = {0};
    for (int i = 0; i < 400; i++) tn_text_append_format(&text, " word%d caf\xC3\xA9", i % 7);
    int32_t *ids, *piece_ids;
    size_t count, piece_count, at = 0;
    assert_int_equal(tn_tokenizer_encode(t, text.data, text.size, NULL, &ids, &count), TN_OK); /* through the word table */
    for (int i = 0; i < 400; i++) {
        char piece[32];
        int size = snprintf(piece, sizeof piece, " word%d caf\xC3\xA9", i % 7);
        assert_int_equal(tn_tokenizer_encode(t, piece, (size_t)size, NULL, &piece_ids, &piece_count), TN_OK);
        assert_true(at + piece_count <= count);
        assert_memory_equal(ids + at, piece_ids, piece_count * sizeof *ids);
        at += piece_count;
        tn_tokenizer_free(t, piece_ids);
    }
    assert_int_equal(at, count);
    tn_tokenizer_free(t, ids);
    tn_text_deinit(&text);
    tn_tokenizer_destroy(t);
}

static void incremental_text_is_valid_for_any_ids(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2-bytelevel", "llama2-sentencepiece-bpe"};
    uint64_t seed = 1;
    for (size_t n = 0; n < 2; n++) {
        tn_tokenizer *t = load_golden(names[n]);
        for (int round = 0; round < 500; round++) {
            int32_t ids[24];
            for (int i = 0; i < 24; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                ids[i] = (int32_t)((seed >> 33) % 400); /* mostly bytes */
            }
            tn_detokenizer *d;
            assert_int_equal(tn_detokenizer_create(t, NULL, &d), TN_OK);
            tn_text all = {0};
            const char *part;
            size_t size;
            for (int i = 0; i < 24; i++) {
                assert_int_equal(tn_detokenizer_push(d, ids[i], &part, &size), TN_OK);
                assert_true(tn_utf8_is_valid(part, size));
                tn_text_append(&all, part, size);
            }
            assert_int_equal(tn_detokenizer_finish(d, &part, &size), TN_OK);
            tn_text_append(&all, part, size);
            char *whole;
            assert_int_equal(tn_tokenizer_decode(t, ids, 24, true, NULL, &whole, &size), TN_OK);
            assert_int_equal(size, all.size);
            assert_memory_equal(whole, all.data, size);
            tn_tokenizer_free(t, whole);
            tn_text_deinit(&all);
            tn_detokenizer_destroy(d);
        }
        tn_tokenizer_destroy(t);
    }
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
        tn_encode_options options = {.struct_size = sizeof options, .diag = diag, .add_special = true};
        int32_t *ids;
        size_t count, size;
        char *text = NULL;
        tn_status status = tn_tokenizer_encode(t, "abc \xC3\xA9 1a <pad> b\xff", 16, &options, &ids, &count);
        if (status == TN_OK) status = tn_tokenizer_decode(t, ids, count, true, diag, &text, &size);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        assert_int_equal(tn_diag_num_entries(diag), tn_fault_has_failed(&fault) ? 1 : 0);
        tn_diag_clear(diag);
        tn_tokenizer_free(t, ids);
        tn_tokenizer_free(t, text);
        tn_tokenizer_destroy(t);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (status == TN_OK) break;
        assert_true(fail_at < 500);
    }
    tn_diag_destroy(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_of_added_tokens_hold),
        cmocka_unit_test(special_tokens_never_come_from_text),
        cmocka_unit_test(bad_bytes_read_as_replacement_characters),
        cmocka_unit_test(control_characters_survive_a_round_trip),
        cmocka_unit_test(long_runs_are_encoded),
        cmocka_unit_test(a_run_of_millions_of_spaces_is_within_the_limit),
        cmocka_unit_test(repeated_words_give_the_ids_of_the_first),
        cmocka_unit_test(incremental_text_is_valid_for_any_ids),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
