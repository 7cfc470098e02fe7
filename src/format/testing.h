/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what the tests of this folder share: bytes to build files from, and the check that a call failed
 * with a certain status and message.
 */
#ifndef TN_FORMAT_TESTING_H_
#define TN_FORMAT_TESTING_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/report.h"
#include "base/text.h"
#include "format/little_endian.h"

/* The call whose result is `status` reported exactly one error, with this code and `part` in its message. Clears diag. */
static inline void assert_failed(tn_diag *diag, tn_status status, tn_status code, const char *part) {
    tn_diag_entry entry = {0};
    if (tn_diag_num_entries(diag) != 1 || tn_diag_get(diag, 0, &entry) != TN_OK || status != code || entry.code != code ||
        strstr(entry.message, part) == NULL)
        fail_msg("wanted %s and \"%s\", got %s and \"%s\" (%zu entries)", tn_status_name(code), part, tn_status_name(status),
                 entry.message != NULL ? entry.message : "", tn_diag_num_entries(diag));
    tn_diag_clear(diag);
}

static inline void assert_ok(tn_diag *diag, tn_status status) {
    tn_diag_entry entry = {0};
    if (status != TN_OK) {
        (void)tn_diag_get(diag, 0, &entry);
        fail_msg("%s: %s", tn_status_name(status), entry.message != NULL ? entry.message : "");
    }
    assert_int_equal(tn_diag_num_entries(diag), 0);
}

static inline void put_le(tn_text *text, int size_bytes, uint64_t value) {
    uint8_t bytes[8];
    tn_store_le(bytes, size_bytes, value);
    tn_text_append(text, bytes, (size_t)size_bytes);
}

static inline void put_zeros(tn_text *text, size_t count) {
    while (count-- > 0) tn_text_append_char(text, 0);
}

/* A folder of its own for a test's files. */
static inline void make_temporary_folder(char path[64]) {
    snprintf(path, 64, "/tmp/tenon-format-XXXXXX");
    if (mkdtemp(path) == NULL) fail_msg("cannot make %s", path);
}

static inline void write_file(const char *folder, const char *name, const void *data, size_t size) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Removes the folder and the plain files named. */
static inline void remove_folder(const char *folder, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* A fixture: *state is a tn_diag. */
static inline int make_diag(void **state) {
    return tn_diag_create(NULL, (tn_diag **)state) == TN_OK ? 0 : -1;
}

static inline int destroy_diag(void **state) {
    tn_diag_destroy(*state);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_diag, destroy_diag)

#endif
