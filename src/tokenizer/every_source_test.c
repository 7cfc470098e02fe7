/* SPDX-License-Identifier: Apache-2.0
 *
 * every_source_test.c: what holds for a tokenizer of any kind from any source (tokenizer.json, sentencepiece's .model, GGUF): no message
 * makes a control token, text that comes token by token is valid UTF-8 and the text of all tokens at once, bytes that the tokenizer keeps
 * come back. Ids are compared with the source libraries' in golden_test.c, golden_parts_test.c and, from GGUF, by
 * `make check-vocabularies`.
 */
#include "tokenizer/testing.h"

#define GIVEN   TN_TEST_DATA "/tokenizers/"
#define PARTS   TN_TEST_DATA "/tokenizers/parts/"
#define OF_GGUF TN_TEST_DATA "/../fuzz/tokenizer_load_gguf_fuzz/"

static const struct {
    const char *name, *path;
    bool keeps_bytes; /* valid UTF-8 comes back as it was */
} sources[] = {
    {"bytelevel_bpe_gpt2", GIVEN "gpt2-bytelevel/tokenizer.json", true},
    {"bytelevel_bpe_llama3", GIVEN "llama3-bytelevel/tokenizer.json", true},
    {"bytelevel_bpe_with_digits", GIVEN "smollm-digits-bytelevel/tokenizer.json", true},
    {"sentencepiece_bpe_from_json", GIVEN "llama2-sentencepiece-bpe/tokenizer.json", true},
    {"unigram", PARTS "unigram/tokenizer.json", false},
    {"unigram_with_byte_fallback", PARTS "unigram-fallback/tokenizer.json", false},
    {"word_pieces_of_bert", PARTS "bert/tokenizer.json", false},
    {"cased_word_pieces", PARTS "wordpiece-cased/tokenizer.json", false},
    {"whole_words", PARTS "wordlevel/tokenizer.json", false},
    {"ctc", PARTS "ctc/tokenizer.json", false},
    {"bpe_with_suffixes", PARTS "bpe-suffix/tokenizer.json", false},
    {"bpe_with_prefixes", PARTS "bpe-prefix/tokenizer.json", false},
    {"bpe_of_bytes_from_the_normalizer", PARTS "bpe-byte-normalizer/tokenizer.json", false},
    {"bpe_of_bytes_that_are_split_again", PARTS "bpe-byte-middle/tokenizer.json", true},
    {"every_split", PARTS "splits/tokenizer.json", false},
    {"scripts", PARTS "scripts/tokenizer.json", false},
    {"sentencepiece_unigram", PARTS "sentencepiece-unigram/tokenizer.model", false},
    {"sentencepiece_unigram_with_bytes", PARTS "sentencepiece-unigram-bytes/tokenizer.model", false},
    {"sentencepiece_bpe", PARTS "sentencepiece-bpe/tokenizer.model", false},
    {"sentencepiece_bpe_with_bytes", PARTS "sentencepiece-bpe-bytes/tokenizer.model", false},
    {"gguf_gpt2", OF_GGUF "gpt2", false}, /* those from GGUF have few tokens, not all bytes */
    {"gguf_qwen2", OF_GGUF "qwen2", false},
    {"gguf_gemma4", OF_GGUF "gemma4", false},
    {"gguf_whitespace", OF_GGUF "whitespace", false},
    {"gguf_llama", OF_GGUF "llama", false},
    {"gguf_t5", OF_GGUF "t5", false},
    {"gguf_bert", OF_GGUF "bert", false},
};
enum { NUM_SOURCES = sizeof sources / sizeof *sources };

/* Around a message stand the tokens that begin and end a text; unknown ones are no control. */
static void expect_no_control(const tn_tokenizer *t, const int32_t *ids, size_t count, const char *text, size_t size) {
    for (size_t i = t->image.num_prefix; i + t->image.num_suffix < count; i++)
        if (tn_tokenizer_is_special(t, ids[i]) && ids[i] != t->image.header->unk_id)
            fail_msg("'%.*s' gives the control token %d", (int)size, text, (int)ids[i]);
}

static void check_message(const tn_tokenizer *t, const char *text, size_t size, bool keeps_bytes) {
    int32_t *ids;
    char *whole;
    size_t count, whole_size, part_size;
    assert_int_equal(tn_tokenizer_encode(t, text, size, NULL, &ids, &count), TN_OK);
    expect_no_control(t, ids, count, text, size);
    assert_int_equal(tn_tokenizer_decode(t, ids, count, true, NULL, &whole, &whole_size), TN_OK);
    if (keeps_bytes && tn_utf8_is_valid(text, size) && (whole_size != size || memcmp(whole, text, size) != 0))
        fail_msg("'%.*s' comes back as '%s'", (int)size, text, whole);
    tn_detokenizer *d;
    const char *part;
    tn_text all = {0};
    assert_int_equal(tn_detokenizer_create(t, NULL, &d), TN_OK);
    for (size_t i = 0; i <= count; i++) {
        assert_int_equal(i < count ? tn_detokenizer_push(d, ids[i], &part, &part_size) : tn_detokenizer_finish(d, &part, &part_size),
                         TN_OK);
        assert_true(tn_utf8_is_valid(part, part_size));
        tn_text_append(&all, part, part_size);
    }
    assert_int_equal(all.size, whole_size);
    assert_true(whole_size == 0 || memcmp(all.data, whole, whole_size) == 0);
    tn_text_deinit(&all);
    tn_detokenizer_destroy(d);
    tn_tokenizer_free(t, whole);
    tn_tokenizer_free(t, ids);
}

/* Each special token, each byte, every 37th pair of bytes, and 200 random strings of up to 24. */
static void check_source(void **state) {
    size_t source = (size_t)(uintptr_t)*state;
    bool keeps_bytes = sources[source].keeps_bytes;
    tn_tokenizer *t;
    char text[24];
    uint64_t seed = 1;
    assert_int_equal(tn_tokenizer_load(sources[source].path, NULL, &t), TN_OK);
    for (size_t id = 0; id < tn_tokenizer_vocab_size(t); id++) {
        size_t size;
        const char *piece = tn_tokenizer_piece(t, (int32_t)id, &size);
        if (tn_tokenizer_is_special(t, (int32_t)id)) check_message(t, piece, size, false);
    }
    for (int first = 0; first < 256; first++) {
        text[0] = (char)first;
        check_message(t, text, 1, keeps_bytes);
    }
    for (int pair = 0; pair < 65536; pair += 37) {
        text[0] = (char)(pair >> 8), text[1] = (char)pair;
        check_message(t, text, 2, keeps_bytes);
    }
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)i % (sizeof text + 1);
        for (size_t k = 0; k < size; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[k] = (char)(seed >> 40);
        }
        check_message(t, text, size, keeps_bytes);
    }
    tn_tokenizer_destroy(t);
}

int main(void) {
    struct CMUnitTest tests[NUM_SOURCES];
    char titles[NUM_SOURCES][96];
    for (size_t i = 0; i < NUM_SOURCES; i++) {
        snprintf(titles[i], sizeof titles[i], "messages_make_no_control_token_and_valid_text_by_%s", sources[i].name);
        tests[i] = (struct CMUnitTest){.name = titles[i], .test_func = check_source, .initial_state = (void *)(uintptr_t)i};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
