/* SPDX-License-Identifier: Apache-2.0
 *
 * file.h: files in and out. Reading maps or copies; writing is all or nothing: a temporary file beside the target, fsync,
 * rename. Every failure is reported with the path and the system's reason.
 *
 * A mapped file that shrinks under us raises SIGBUS, which no check prevents: loaders that must survive it use
 * tn_file_read_at (an error instead). */
#ifndef TN_BASE_FILE_H_
#define TN_BASE_FILE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/report.h"

typedef struct tn_file {
    int descriptor;      /* -1: closed */
    size_t size_bytes;   /* at open */
    const uint8_t *data; /* the whole file, read only, once mapped; else NULL */
    char *path;          /* owned copy for messages */
    const tn_allocator *allocator;
    uint64_t device, inode; /* identity for cache keys */
    int64_t mtime_ns;
} tn_file;

/* Regular files only: a directory or device is TN_INVALID_DATA, a missing file TN_NOT_FOUND. */
TN_MUST_CHECK tn_status tn_file_open(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_file *out_file);
/* Maps the file read-only (MAP_PRIVATE). An empty file maps to a valid pointer of no bytes. */
TN_MUST_CHECK tn_status tn_file_map(tn_file *file, tn_diag *diag);
/* Reads exactly size bytes at offset; TN_INVALID_DATA if the file ends before. Safe from many threads. */
TN_MUST_CHECK tn_status tn_file_read_at(const tn_file *file, uint64_t offset, void *dst, size_t size_bytes, tn_diag *diag);
void tn_file_close(tn_file *file); /* accepts a zeroed or closed struct with descriptor -1 */

/* The whole file with a NUL after it; TN_INVALID_DATA if larger than max_bytes. Free with tn_free. */
TN_MUST_CHECK tn_status tn_file_read_all(const char *path, size_t max_bytes, const tn_allocator *allocator, tn_diag *diag, char **out_data,
                                         size_t *out_size);

/* Writing: create, write at any offsets (from any threads), commit (fsync + rename), destroy. Without a commit that
 * succeeded, destroy leaves nothing behind. `diag` must outlive the writer. A target that exists and is no regular file is
 * TN_INVALID_ARGUMENT. */
typedef struct tn_file_writer tn_file_writer;
TN_MUST_CHECK tn_status tn_file_writer_create(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_file_writer **out_writer);
TN_MUST_CHECK tn_status tn_file_writer_write_at(tn_file_writer *writer, uint64_t offset, const void *data, size_t size_bytes);
TN_MUST_CHECK tn_status tn_file_writer_commit(tn_file_writer *writer);
void tn_file_writer_destroy(tn_file_writer *writer); /* accepts NULL */

bool tn_path_is_directory(const char *path);
bool tn_path_exists(const char *path);
/* "a" + "b" → "a/b". NULL when out of memory. Free with tn_free. */
char *tn_path_join(const tn_allocator *allocator, const char *directory, const char *name);
/* mkdir -p with mode 0700 */
TN_MUST_CHECK tn_status tn_make_directories(const char *path, tn_diag *diag);
/* $TENON_CACHE, else $XDG_CACHE_HOME/tenon, else $HOME/.cache/tenon; TN_NOT_FOUND if none is set. Not created. */
TN_MUST_CHECK tn_status tn_cache_directory(const tn_allocator *allocator, tn_diag *diag, char **out_path);

#endif
