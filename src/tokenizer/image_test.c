/* SPDX-License-Identifier: Apache-2.0
 *
 * image_test.c: the compiled form: the same behaviour, damage refused, and no access out of bounds whatever the bytes are.
 */
#include "tokenizer/testing.h"

static char *copy_image(const tn_tokenizer *t, size_t *out_size) {
    const void *data;
    tn_tokenizer_get_compiled(t, &data, out_size);
    char *copy = malloc(*out_size);
    memcpy(copy, data, *out_size);
    return copy;
}

/* Uses everything an image leads to. */
static void exercise(const tn_tokenizer *t, tn_diag *diag) {
    static const char text[] = "abc <s> <pad> a1b 9";
    tn_encode_options options = {.struct_size = sizeof options, .diag = diag, .add_special = true, .parse_special = true};
    int32_t *ids;
    size_t count, size;
    if (tn_tokenizer_encode(t, text, strlen(text), &options, &ids, &count) == TN_OK) {
        char *decoded;
        if (tn_tokenizer_decode(t, ids, count, false, diag, &decoded, &size) == TN_OK) assert_true(tn_utf8_is_valid(decoded, size));
        tn_tokenizer_free(t, decoded);
    }
    tn_tokenizer_free(t, ids);
    for (int32_t id = -1; id <= (int32_t)tn_tokenizer_vocab_size(t) && id < 100; id++) {
        const char *piece = tn_tokenizer_piece(t, id, &size);
        if (piece) (void)tn_tokenizer_find(t, piece, size);
    }
}

static void every_flipped_byte_is_refused(void **state) {
    (void)state;
    tn_tokenizer *t = load_small(), *other;
    tn_diag *diag = make_diag();
    tn_tokenizer_options options = {.struct_size = sizeof options, .diag = diag};
    size_t size;
    char *image = copy_image(t, &size);
    for (size_t i = 0; i < size; i++) {
        image[i] = (char)(image[i] ^ 0x10);
        tn_status status = tn_tokenizer_load_compiled(image, size, &options, &other);
        assert_true(status == TN_INVALID_DATA || status == TN_INCOMPATIBLE);
        assert_null(other);
        image[i] = (char)(image[i] ^ 0x10);
    }
    free(image);
    tn_diag_destroy(diag);
    tn_tokenizer_destroy(t);
}

static void a_forged_image_is_refused_or_stays_in_bounds(void **state) {
    (void)state;
    tn_tokenizer *t = load_small(), *other;
    tn_diag *diag = make_diag();
    tn_tokenizer_options options = {.struct_size = sizeof options, .diag = diag};
    size_t size, num_accepted = 0;
    char *image = copy_image(t, &size);
    static const unsigned char values[] = {0x01, 0x10, 0x80, 0xff};
    for (size_t i = 0; i < size; i++)
        for (size_t k = 0; k < sizeof values; k++) {
            image[i] = (char)(image[i] ^ values[k]);
            if (tn_tokenizer_open_unsealed(image, size, &options, &other) == TN_OK) {
                num_accepted++;
                exercise(other, diag);
            }
            tn_tokenizer_destroy(other);
            image[i] = (char)(image[i] ^ values[k]);
        }
    assert_true(num_accepted > 0);
    free(image);
    tn_diag_destroy(diag);
    tn_tokenizer_destroy(t);
}

static void truncation_at_every_byte_is_refused(void **state) {
    (void)state;
    tn_tokenizer *t = load_small(), *other;
    tn_diag *diag = make_diag();
    tn_tokenizer_options options = {.struct_size = sizeof options, .diag = diag};
    size_t size;
    char *image = copy_image(t, &size);
    for (size_t cut = 0; cut < size; cut++) {
        char *copy = malloc(cut ? cut : 1);
        memcpy(copy, image, cut);
        assert_int_equal(tn_tokenizer_load_compiled(copy, cut, &options, &other), TN_INVALID_DATA);
        free(copy);
    }
    free(image);
    tn_diag_destroy(diag);
    tn_tokenizer_destroy(t);
}

static void another_version_is_incompatible(void **state) {
    (void)state;
    tn_tokenizer *t = load_small(), *other;
    tn_diag *diag = make_diag();
    tn_tokenizer_options options = {.struct_size = sizeof options, .diag = diag};
    size_t size;
    char *image = copy_image(t, &size);
    image[8]++;
    assert_int_equal(tn_tokenizer_load_compiled(image, size, &options, &other), TN_INCOMPATIBLE);
    assert_mentions(diag, "version 3");
    free(image);
    tn_diag_destroy(diag);
    tn_tokenizer_destroy(t);
}

static void a_saved_tokenizer_loads_from_its_directory(void **state) {
    (void)state;
    char directory[] = "/tmp/tenon_tokenizer_XXXXXX", path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/tokenizer.bin", directory);
    tn_tokenizer *t = load_small(), *by_directory, *by_file;
    assert_int_equal(tn_tokenizer_save(t, path, NULL), TN_OK);
    assert_int_equal(tn_tokenizer_load(directory, NULL, &by_directory), TN_OK);
    assert_int_equal(tn_tokenizer_load(path, NULL, &by_file), TN_OK);
    const void *data, *loaded;
    size_t size, loaded_size;
    tn_tokenizer_get_compiled(t, &data, &size);
    tn_tokenizer_get_compiled(by_directory, &loaded, &loaded_size);
    assert_int_equal(size, loaded_size);
    assert_memory_equal(data, loaded, size);
    tn_tokenizer_destroy(by_file);
    tn_tokenizer_destroy(by_directory);
    tn_tokenizer_destroy(t);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(directory), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_byte_is_refused),
        cmocka_unit_test(a_forged_image_is_refused_or_stays_in_bounds),
        cmocka_unit_test(truncation_at_every_byte_is_refused),
        cmocka_unit_test(another_version_is_incompatible),
        cmocka_unit_test(a_saved_tokenizer_loads_from_its_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
