/* SPDX-License-Identifier: Apache-2.0
 *
 * load_sentencepiece_test.c: sentencepiece models that are cut off, changed, or of a kind we do not have.
 */
#include "support/fault_allocator.h"
#include "tokenizer/testing.h"

#define MODEL TN_TEST_DATA "/tokenizers/parts/sentencepiece-bpe/tokenizer.model"

static tn_status load(const char *data, size_t size, const tn_allocator *allocator, tn_diag *diag) {
    tn_spec spec;
    tn_tokenizer *t = NULL;
    tn_spec_init(&spec, allocator, diag);
    tn_status status = tn_spec_read_sentencepiece(&spec, "tokenizer.model", data, size);
    if (status == TN_OK) status = tn_tokenizer_create_from_spec(&spec, &t);
    tn_spec_deinit(&spec);
    tn_tokenizer_destroy(t);
    return status;
}

static char *read_model(size_t *out_size) {
    char *data;
    assert_int_equal(tn_file_read_all(MODEL, 1 << 20, NULL, NULL, &data, out_size), TN_OK);
    return data;
}

/* A prefix of a message is a message where a field ends: then the pieces that are left decide. */
static void truncation_at_every_byte_never_crashes(void **state) {
    (void)state;
    size_t size, num_refused = 0;
    char *data = read_model(&size);
    tn_diag *diag = make_diag();
    for (size_t cut = 0; cut < size; cut++) {
        char *copy = malloc(cut + 1); /* so that a read beyond the end is seen */
        memcpy(copy, data, cut);
        tn_status status = load(copy, cut, NULL, diag);
        assert_true(status == TN_OK || status == TN_INVALID_DATA);
        num_refused += status != TN_OK;
        tn_diag_clear(diag);
        free(copy);
    }
    assert_true(num_refused > size / 2);
    tn_diag_destroy(diag);
    tn_free(NULL, data);
}

static void assert_refused(const char *data, size_t size, tn_status expected, const char *words) {
    tn_diag *diag = make_diag();
    assert_int_equal(load(data, size, NULL, diag), expected);
    assert_mentions(diag, words);
    assert_int_equal(tn_diag_num_entries(diag), 1);
    tn_diag_destroy(diag);
}

#define UNKNOWN_PIECE "\x0A\x09\x0A\x05<unk>\x18\x02"

static void other_models_are_refused_by_name(void **state) {
    (void)state;
    static const char word[] = UNKNOWN_PIECE "\x12\x02\x18\x03", character[] = UNKNOWN_PIECE "\x12\x02\x18\x04",
                      unknown[] = UNKNOWN_PIECE "\x12\x02\x18\x09";
    assert_refused(word, sizeof word - 1, TN_UNSUPPORTED, "'word'");
    assert_refused(character, sizeof character - 1, TN_UNSUPPORTED, "'char'");
    assert_refused(unknown, sizeof unknown - 1, TN_UNSUPPORTED, "type 9");
}

static void bad_pieces_are_refused(void **state) {
    (void)state;
    static const char bad_utf8[] = UNKNOWN_PIECE "\x0A\x03\x0A\x01\xFF",
                      bad_type[] = UNKNOWN_PIECE "\x0A\x05\x0A\x01"
                                                 "a\x18\x07",
                      no_unknown[] = "\x0A\x03\x0A\x01"
                                     "a",
                      bad_score[] = UNKNOWN_PIECE "\x0A\x08\x0A\x01"
                                                  "a\x15\x00\x00\xC0\x7F";
    assert_refused(bad_utf8, sizeof bad_utf8 - 1, TN_INVALID_DATA, "piece 1");
    assert_refused(bad_type, sizeof bad_type - 1, TN_UNSUPPORTED, "type 7");
    assert_refused(no_unknown, sizeof no_unknown - 1, TN_INVALID_DATA, "no unknown piece");
    assert_refused(bad_score, sizeof bad_score - 1, TN_INVALID_DATA, "piece 1");
    assert_refused("\x0A", 1, TN_INVALID_DATA, "not a sentencepiece model");
}

/* The rules' table says that its trie is longer than the table. */
static void damaged_rules_are_refused(void **state) {
    (void)state;
    static const char model[] = UNKNOWN_PIECE "\x1A\x0A\x12\x08\xFF\x00\x00\x00zzzz";
    assert_refused(model, sizeof model - 1, TN_INVALID_DATA, "character rules");
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    size_t size;
    char *data = read_model(&size);
    tn_diag *diag = make_diag();
    for (size_t fail_at = 1;; fail_at += fail_at < 200 ? 1 : 37) { /* most are alike */
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, fail_at);
        tn_status status = load(data, size, &fault.allocator, diag);
        assert_int_equal(status, tn_fault_has_failed(&fault) ? TN_OUT_OF_MEMORY : TN_OK);
        assert_int_equal(tn_diag_num_entries(diag), tn_fault_has_failed(&fault) ? 1 : 0);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        tn_diag_clear(diag);
        if (status == TN_OK) break;
    }
    tn_diag_destroy(diag);
    tn_free(NULL, data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncation_at_every_byte_never_crashes),
        cmocka_unit_test(other_models_are_refused_by_name),
        cmocka_unit_test(bad_pieces_are_refused),
        cmocka_unit_test(damaged_rules_are_refused),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
