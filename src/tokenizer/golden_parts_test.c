/* SPDX-License-Identifier: Apache-2.0
 *
 * golden_parts_test.c: every id and string of tests/golden/tokenizers/parts (scripts/golden/tokenizer_parts.py): one small
 * tokenizer for each model, with most machines in one of them; texts are bytes, some of them no UTF-8.
 */
#include "support/fault_allocator.h"
#include "tokenizer/testing.h"

static size_t from_hex(const tn_json_value *object, const char *key, char *out, size_t capacity) {
    const char *hex;
    size_t size;
    assert_int_equal(tn_json_get_string(object, key, NULL, &hex, &size), TN_OK);
    assert_true(size / 2 < capacity);
    for (size_t i = 0; i < size / 2; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (char)byte;
    }
    return size / 2;
}

static size_t read_ids(const tn_json_value *object, const char *key, int32_t *out, size_t capacity) {
    const tn_json_value *list = tn_json_find(object, key);
    size_t count = tn_json_count(list);
    assert_true(count < capacity);
    for (size_t i = 0; i < count; i++) {
        int64_t id;
        assert_int_equal(tn_json_to_integer(tn_json_at(list, i), 0, INT32_MAX, NULL, &id), TN_OK);
        out[i] = (int32_t)id;
    }
    return count;
}

static void assert_encodes(const tn_tokenizer *t, const char *name, const char *text, size_t size, bool add_special, bool parse_special,
                           const int32_t *expected, size_t num_expected) {
    tn_encode_options options = {.struct_size = sizeof options, .add_special = add_special, .parse_special = parse_special};
    int32_t *ids;
    size_t count;
    assert_int_equal(tn_tokenizer_encode(t, text, size, &options, &ids, &count), TN_OK);
    if (count != num_expected || memcmp(ids, expected, count * sizeof *ids) != 0)
        fail_msg("%s: other ids for '%.*s'", name, (int)size, text);
    tn_tokenizer_free(t, ids);
}

/* At once and one by one, which must be valid UTF-8 all the way. */
static void assert_decodes(const tn_tokenizer *t, const char *name, const int32_t *ids, size_t count, bool skip_special,
                           const char *expected, size_t expected_size) {
    char *text;
    size_t size, part_size;
    assert_int_equal(tn_tokenizer_decode(t, ids, count, skip_special, NULL, &text, &size), TN_OK);
    if (size != expected_size || memcmp(text, expected, size) != 0)
        fail_msg("%s: '%s' in place of '%.*s'", name, text, (int)expected_size, expected);
    tn_detokenizer_options options = {.struct_size = sizeof options, .skip_special = skip_special};
    tn_detokenizer *d;
    assert_int_equal(tn_detokenizer_create(t, &options, &d), TN_OK);
    tn_text all = {0};
    const char *part;
    for (size_t i = 0; i <= count; i++) {
        tn_status status = i < count ? tn_detokenizer_push(d, ids[i], &part, &part_size) : tn_detokenizer_finish(d, &part, &part_size);
        assert_int_equal(status, TN_OK);
        assert_true(tn_utf8_is_valid(part, part_size));
        tn_text_append(&all, part, part_size);
    }
    assert_int_equal(all.size, size);
    assert_true(size == 0 || memcmp(all.data, text, size) == 0);
    tn_text_deinit(&all);
    tn_detokenizer_destroy(d);
    tn_tokenizer_free(t, text);
}

static void check_case(const tn_tokenizer *t, const char *name, bool is_model, const tn_json_value *c) {
    char text[1024], decoded[4096];
    int32_t ids[1024];
    size_t size = from_hex(c, "hex", text, sizeof text), count = read_ids(c, "ids_with_special", ids, 1024);
    /* sentencepiece knows neither special strings in texts nor ids around them. */
    if (!is_model) assert_encodes(t, name, text, size, true, true, ids, count);
    count = read_ids(c, "ids", ids, 1024);
    assert_encodes(t, name, text, size, false, !is_model, ids, count);
    assert_decodes(t, name, ids, count, is_model, decoded, from_hex(c, "decoded", decoded, sizeof decoded));
    assert_decodes(t, name, ids, count, true, decoded, from_hex(c, "decoded_skip_special", decoded, sizeof decoded));
}

static void check_golden(const char *name) {
    bool is_model = strncmp(name, "sentencepiece", 13) == 0;
    char path[512];
    snprintf(path, sizeof path, "%s/tokenizers/parts/%s/tokenizer.%s", TN_TEST_DATA, name, is_model ? "model" : "json");
    tn_tokenizer *source, *t;
    const void *image;
    size_t size;
    assert_int_equal(tn_tokenizer_load(path, NULL, &source), TN_OK);
    tn_tokenizer_get_compiled(source, &image, &size);
    assert_int_equal(tn_tokenizer_load_compiled(image, size, NULL, &t), TN_OK);
    snprintf(path, sizeof path, "%s/tokenizers/parts/%s/expected.json", TN_TEST_DATA, name);
    tn_json *json;
    assert_int_equal(tn_json_load(path, NULL, NULL, NULL, &json), TN_OK);
    size_t num_cases = tn_json_count(tn_json_root(json));
    assert_true(num_cases > 40);
    for (size_t i = 0; i < num_cases; i++) check_case(t, name, is_model, tn_json_at(tn_json_root(json), i));
    tn_json_destroy(json);
    tn_tokenizer_destroy(t);
    tn_tokenizer_destroy(source);
}

#define GOLDEN(function, name)           \
    static void function(void **state) { \
        (void)state;                     \
        check_golden(name);              \
    }
GOLDEN(unigram_gives_every_id_and_string, "unigram")
GOLDEN(unigram_with_byte_fallback_gives_every_id_and_string, "unigram-fallback")
GOLDEN(bert_gives_every_id_and_string, "bert")
GOLDEN(cased_word_pieces_give_every_id_and_string, "wordpiece-cased")
GOLDEN(whole_words_give_every_id_and_string, "wordlevel")
GOLDEN(ctc_gives_every_id_and_string, "ctc")
GOLDEN(bpe_with_suffixes_gives_every_id_and_string, "bpe-suffix")
GOLDEN(bpe_with_prefixes_gives_every_id_and_string, "bpe-prefix")
GOLDEN(bytes_in_the_normalizer_give_every_id_and_string, "bpe-byte-normalizer")
GOLDEN(parts_behind_bytes_give_every_id_and_string, "bpe-byte-middle")
GOLDEN(every_split_gives_every_id_and_string, "splits")
GOLDEN(scripts_give_every_id_and_string, "scripts")
GOLDEN(sentencepiece_unigram_gives_every_id_and_string, "sentencepiece-unigram")
GOLDEN(sentencepiece_unigram_with_bytes_gives_every_id_and_string, "sentencepiece-unigram-bytes")
GOLDEN(sentencepiece_bpe_gives_every_id_and_string, "sentencepiece-bpe")
GOLDEN(sentencepiece_bpe_with_bytes_gives_every_id_and_string, "sentencepiece-bpe-bytes")

/* Encoding and decoding, each allocation failing in turn. */
static void check_failing_allocations(const char *name, tn_diag *diag) {
    static const char text[] = "Hello  caf\xC3\xA9 \xE4\xB8\xAD 12 <mask> tokenizing\n";
    bool is_model = strncmp(name, "sentencepiece", 13) == 0;
    char path[512];
    snprintf(path, sizeof path, "%s/tokenizers/parts/%s/tokenizer.%s", TN_TEST_DATA, name, is_model ? "model" : "json");
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    tn_tokenizer_options load = {.struct_size = sizeof load, .diag = diag, .allocator = &fault.allocator};
    tn_tokenizer *t;
    assert_int_equal(tn_tokenizer_load(path, &load, &t), TN_OK);
    size_t num_live = tn_fault_num_live_blocks(&fault);
    for (size_t n = 1;; n++) {
        fault.fail_at = atomic_load(&fault.num_calls) + n;
        size_t num_failed = atomic_load(&fault.num_failed);
        tn_encode_options options = {.struct_size = sizeof options, .diag = diag, .add_special = true};
        int32_t *ids;
        size_t count, size;
        char *decoded = NULL;
        tn_status status = tn_tokenizer_encode(t, text, sizeof text - 1, &options, &ids, &count);
        if (status == TN_OK) status = tn_tokenizer_decode(t, ids, count, true, diag, &decoded, &size);
        bool has_failed = atomic_load(&fault.num_failed) > num_failed;
        if (status != (has_failed ? TN_OUT_OF_MEMORY : TN_OK)) fail_msg("%s: status %d at allocation %zu", name, (int)status, n);
        assert_int_equal(tn_diag_num_entries(diag), has_failed ? 1 : 0);
        tn_diag_clear(diag);
        tn_tokenizer_free(t, ids);
        tn_tokenizer_free(t, decoded);
        assert_int_equal(tn_fault_num_live_blocks(&fault), num_live);
        if (!has_failed) break;
        assert_true(n < 1000);
    }
    tn_tokenizer_destroy(t);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

static void every_failing_allocation_is_reported_by_every_model(void **state) {
    (void)state;
    static const char *const names[] = {"unigram",    "unigram-fallback", "bert",   "wordlevel",         "ctc",
                                        "bpe-suffix", "bpe-byte-middle",  "splits", "sentencepiece-bpe", "sentencepiece-unigram-bytes"};
    tn_diag *diag = make_diag();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_failing_allocations(names[i], diag);
    tn_diag_destroy(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unigram_gives_every_id_and_string),
        cmocka_unit_test(unigram_with_byte_fallback_gives_every_id_and_string),
        cmocka_unit_test(bert_gives_every_id_and_string),
        cmocka_unit_test(cased_word_pieces_give_every_id_and_string),
        cmocka_unit_test(whole_words_give_every_id_and_string),
        cmocka_unit_test(ctc_gives_every_id_and_string),
        cmocka_unit_test(bpe_with_suffixes_gives_every_id_and_string),
        cmocka_unit_test(bpe_with_prefixes_gives_every_id_and_string),
        cmocka_unit_test(bytes_in_the_normalizer_give_every_id_and_string),
        cmocka_unit_test(parts_behind_bytes_give_every_id_and_string),
        cmocka_unit_test(every_split_gives_every_id_and_string),
        cmocka_unit_test(scripts_give_every_id_and_string),
        cmocka_unit_test(sentencepiece_unigram_gives_every_id_and_string),
        cmocka_unit_test(sentencepiece_unigram_with_bytes_gives_every_id_and_string),
        cmocka_unit_test(sentencepiece_bpe_gives_every_id_and_string),
        cmocka_unit_test(sentencepiece_bpe_with_bytes_gives_every_id_and_string),
        cmocka_unit_test(every_failing_allocation_is_reported_by_every_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
