/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_testing.h: for fuzz targets of readers that take paths: one folder under /tmp, removed when the process ends.
 */
#ifndef TN_BASE_FUZZ_TESTING_H_
#define TN_BASE_FUZZ_TESTING_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FUZZ_MAX_FILES = 8 };
static char fuzz_folder[] = "/tmp/tenon-fuzz-XXXXXX";
static struct { char path[96]; } fuzz_files[FUZZ_MAX_FILES]; /* ever written */

static inline void fuzz_remove_folder(void) {
    for (size_t i = 0; i < FUZZ_MAX_FILES && fuzz_files[i].path[0] != 0; i++) unlink(fuzz_files[i].path);
    rmdir(fuzz_folder);
}

/* The file's path; valid until the process ends. */
static inline const char *fuzz_path(const char *name) {
    char path[sizeof fuzz_files[0].path];
    if (fuzz_files[0].path[0] == 0 && (mkdtemp(fuzz_folder) == NULL || atexit(fuzz_remove_folder) != 0)) abort();
    snprintf(path, sizeof path, "%s/%s", fuzz_folder, name);
    for (size_t i = 0; i < FUZZ_MAX_FILES; i++) {
        if (fuzz_files[i].path[0] == 0) memcpy(fuzz_files[i].path, path, sizeof path);
        if (strcmp(fuzz_files[i].path, path) == 0) return fuzz_files[i].path;
    }
    abort();
}

static inline const char *fuzz_write(const char *name, const void *data, size_t size) {
    const char *path = fuzz_path(name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
    return path;
}

#endif
