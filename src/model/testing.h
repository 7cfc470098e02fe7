/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what this folder's tests share: temporary model directories made from the golden ones with a change, and the
 * check of a status with its message.
 */
#ifndef TN_MODEL_TESTING_H_
#define TN_MODEL_TESTING_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/model.h"

#define GOLDEN TN_TEST_DATA "/models/"

static const char *const golden_models[] = {"llama-gqa", "llama-tied-mha", "llama3-rope", "mistral", "qwen2",
                                            "qwen3",     "gpt2",           "mixtral",     "gemma2",  "phi3",
                                            "gptj",      "gpt_neox",       "falcon-mqa",  "opt",     "bloom"};
enum { NUM_GOLDEN = sizeof golden_models / sizeof *golden_models };

static inline void make_folder(char path[64]) {
    snprintf(path, 64, "/tmp/tenon-model-XXXXXX");
    if (mkdtemp(path) == NULL) fail_msg("cannot make %s", path);
}

static inline void write_file(const char *folder, const char *name, const void *data, size_t size) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* The folder and the files that these tests put into one. */
static inline void remove_folder(const char *folder) {
    static const char *const names[] = {"config.json", "generation_config.json", "model.safetensors", "model.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* A golden file with the first `from` in it replaced; from NULL: as it is. free() */
static inline char *golden_text(const char *model, const char *name, const char *from, const char *to, size_t *out_size) {
    char path[256];
    snprintf(path, sizeof path, GOLDEN "%s/%s", model, name);
    char *data;
    size_t size;
    assert_int_equal(tn_file_read_all(path, 1 << 24, NULL, NULL, &data, &size), TN_OK);
    const char *at = from != NULL ? strstr(data, from) : data;
    if (at == NULL) fail_msg("%s lacks what the test replaces", path);
    tn_text text = {0};
    tn_text_append(&text, data, (size_t)(at - data));
    if (from != NULL) tn_text_append_string(&text, to);
    size_t skipped = from != NULL ? strlen(from) : 0;
    tn_text_append(&text, at + skipped, size - (size_t)(at - data) - skipped);
    assert_false(text.failed);
    tn_free(NULL, data);
    *out_size = text.size;
    return text.data;
}

static inline void golden_path(const char *model, char path[256]) {
    snprintf(path, 256, GOLDEN "%s", model);
}

/* `status` is `code`, and the first error of diag has that code and `part` in its message. Clears diag. */
static inline void assert_failed(tn_diag *diag, tn_status status, tn_status code, const char *part) {
    tn_diag_entry entry = {0};
    bool has_entry = tn_diag_num_entries(diag) > 0 && tn_diag_get(diag, 0, &entry) == TN_OK;
    if (!has_entry || status != code || entry.code != code || strstr(entry.message, part) == NULL)
        fail_msg("wanted %s and \"%s\", got %s and \"%s\"", tn_status_name(code), part, tn_status_name(status),
                 has_entry ? entry.message : "(no message)");
    tn_diag_clear(diag);
}

static inline void assert_ok(tn_diag *diag, tn_status status) {
    tn_diag_entry entry = {0};
    if (status != TN_OK) {
        (void)!tn_diag_get(diag, 0, &entry);
        fail_msg("%s: %s", tn_status_name(status), entry.message != NULL ? entry.message : "");
    }
    assert_int_equal(tn_diag_num_entries(diag), 0);
}

static inline int make_diag(void **state) {
    return tn_diag_create(NULL, (tn_diag **)state) == TN_OK ? 0 : -1;
}

static inline int destroy_diag(void **state) {
    tn_diag_destroy(*state);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_diag, destroy_diag)

#endif
