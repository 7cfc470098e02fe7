/* SPDX-License-Identifier: Apache-2.0
 *
 * file.c: files in and out; see file.h.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/memory.h"

enum { MAX_TEMPORARY_NAMES = 100, NS_PER_SECOND = 1000000000 };

static const uint8_t empty_file_data[1];

/* strerror is not safe from many threads, strerror_r has two forms; this has neither trouble. NULL: a number unknown to libc */
static const char *reason(int error_number) {
    const char *text = strerrordesc_np(error_number);
    return text != NULL ? text : "unknown error";
}

static tn_status fail_errno(tn_diag *diag, const char *action, const char *path, int error_number) {
    bool missing = error_number == ENOENT || error_number == ENOTDIR;
    tn_where where = {.file = path};
    return tn_fail_at(diag, missing ? TN_NOT_FOUND : TN_IO_ERROR, &where, "cannot %s %s: %s", action, path, reason(error_number));
}

tn_status tn_file_open(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_file *out_file) {
    *out_file = (tn_file){.descriptor = -1, .allocator = allocator};
    tn_file file = *out_file;
    tn_where where = {.file = path};
    tn_status status = TN_OK;

    file.path = tn_copy_string(allocator, path);
    if (file.path == NULL) return tn_fail_memory(diag, "a file name", strlen(path) + 1);
    /* O_NONBLOCK: a named pipe is refused below, not waited for */
    file.descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (file.descriptor < 0 || fstat(file.descriptor, &info) != 0) {
        status = fail_errno(diag, "open", path, errno);
        goto cleanup;
    }
    if (!S_ISREG(info.st_mode)) {
        status = tn_fail_at(diag, TN_INVALID_DATA, &where, "cannot read %s: it is %s, not a regular file", path,
                            S_ISDIR(info.st_mode) ? "a directory" : "a device or pipe");
        goto cleanup;
    }
    file.size_bytes = (size_t)info.st_size;
    file.device = info.st_dev;
    file.inode = info.st_ino;
    file.mtime_ns = (int64_t)info.st_mtim.tv_sec * NS_PER_SECOND + info.st_mtim.tv_nsec;
    *out_file = file;
    return TN_OK;

cleanup:
    tn_file_close(&file);
    return status;
}

tn_status tn_file_map(tn_file *file, tn_diag *diag) {
    if (file->data != NULL) return TN_OK;
    if (file->size_bytes == 0) {
        file->data = empty_file_data;
        return TN_OK;
    }
    void *data = mmap(NULL, file->size_bytes, PROT_READ, MAP_PRIVATE, file->descriptor, 0);
    if (data == MAP_FAILED) {
        if (errno == ENOMEM) return tn_fail_memory(diag, file->path, file->size_bytes);
        return fail_errno(diag, "map", file->path, errno);
    }
    file->data = data;
    return TN_OK;
}

static tn_status fail_ends_before(const tn_file *file, uint64_t offset, size_t size_bytes, tn_diag *diag) {
    tn_where where = {.file = file->path,
                      .hint = "the file looks truncated; compare its size with the source's or download it again",
                      .has_offset = offset <= INT64_MAX,
                      .offset = (int64_t)offset};
    return tn_fail_at(diag, TN_INVALID_DATA, &where, "cannot read %s: it ends before the %zu bytes at offset %" PRIu64, file->path,
                      size_bytes, offset);
}

tn_status tn_file_read_at(const tn_file *file, uint64_t offset, void *dst, size_t size_bytes, tn_diag *diag) {
    size_t end;
    if (offset > INT64_MAX || !tn_add_size((size_t)offset, size_bytes, &end) || end > INT64_MAX)
        return fail_ends_before(file, offset, size_bytes, diag);
    for (size_t done = 0; done < size_bytes;) {
        ssize_t got = pread(file->descriptor, (uint8_t *)dst + done, size_bytes - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(diag, "read", file->path, errno);
        if (got == 0) return fail_ends_before(file, offset, size_bytes, diag);
        done += (size_t)got;
    }
    return TN_OK;
}

void tn_file_close(tn_file *file) {
    if (file->path == NULL) return; /* an open file always has its path; a zeroed struct's descriptor 0 is not ours */
    if (file->data != NULL && file->size_bytes > 0) (void)munmap((void *)file->data, file->size_bytes);
    if (file->descriptor >= 0) (void)close(file->descriptor);
    tn_free(file->allocator, file->path);
    *file = (tn_file){.descriptor = -1};
}

tn_status tn_file_read_all(const char *path, size_t max_bytes, const tn_allocator *allocator, tn_diag *diag, char **out_data,
                           size_t *out_size) {
    *out_data = NULL;
    *out_size = 0;
    tn_file file;
    char *data = NULL;
    tn_status status = tn_file_open(path, allocator, diag, &file);
    if (status != TN_OK) return status;

    size_t with_nul;
    if (file.size_bytes > max_bytes || !tn_add_size(file.size_bytes, 1, &with_nul)) {
        tn_where where = {.file = path};
        status = tn_fail_at(diag, TN_INVALID_DATA, &where, "cannot read %s: it has %zu bytes, at most %zu are allowed", path,
                            file.size_bytes, max_bytes);
        goto cleanup;
    }
    data = tn_alloc(allocator, with_nul);
    if (data == NULL) {
        status = tn_fail_memory(diag, path, with_nul);
        goto cleanup;
    }
    status = tn_file_read_at(&file, 0, data, file.size_bytes, diag);
    if (status != TN_OK) goto cleanup;
    data[file.size_bytes] = '\0';
    *out_data = data;
    *out_size = file.size_bytes;
    data = NULL;

cleanup:
    tn_free(allocator, data);
    tn_file_close(&file);
    return status;
}

struct tn_file_writer {
    const tn_allocator *allocator;
    tn_diag *diag;
    int descriptor;
    char *path, *temporary_path;
    bool exists; /* the temporary file is there and ours to remove */
};

/* A name of our own beside the target. Not mkstemp: its files are 0600 whatever the umask says. */
static tn_status create_temporary(tn_file_writer *writer) {
    size_t size = strlen(writer->path) + sizeof ".0123456789abcdef.tmp";
    writer->temporary_path = tn_alloc(writer->allocator, size);
    if (writer->temporary_path == NULL) return tn_fail_memory(writer->diag, "a file name", size);
    for (int i = 0; i < MAX_TEMPORARY_NAMES; i++) {
        uint64_t number;
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) number = (uint64_t)getpid() << 32 | (uint64_t)i;
        (void)snprintf(writer->temporary_path, size, "%s.%016" PRIx64 ".tmp", writer->path, number);
        writer->descriptor = open(writer->temporary_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->descriptor >= 0) {
            writer->exists = true;
            return TN_OK;
        }
        if (errno != EEXIST) break;
    }
    return fail_errno(writer->diag, "create", writer->temporary_path, errno);
}

tn_status tn_file_writer_create(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_file_writer **out_writer) {
    *out_writer = NULL;
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        /* the rename would replace a device such as /dev/null */
        tn_where where = {.file = path, .hint = "give the name of a file"};
        return tn_fail_at(diag, TN_INVALID_ARGUMENT, &where, "cannot write %s: it is %s, not a regular file", path,
                          S_ISDIR(info.st_mode) ? "a directory" : "a device or pipe");
    }
    tn_file_writer *writer = tn_alloc_zero(allocator, sizeof *writer);
    if (writer == NULL) return tn_fail_memory(diag, "a file writer", sizeof *writer);
    *writer = (tn_file_writer){.allocator = allocator, .diag = diag, .descriptor = -1};
    tn_status status = TN_OK;
    writer->path = tn_copy_string(allocator, path);
    if (writer->path == NULL) {
        status = tn_fail_memory(diag, "a file name", strlen(path) + 1);
        goto cleanup;
    }
    status = create_temporary(writer);
    if (status != TN_OK) goto cleanup;
    *out_writer = writer;
    return TN_OK;

cleanup:
    tn_file_writer_destroy(writer);
    return status;
}

tn_status tn_file_writer_write_at(tn_file_writer *writer, uint64_t offset, const void *data, size_t size_bytes) {
    size_t end;
    if (offset > INT64_MAX || !tn_add_size((size_t)offset, size_bytes, &end) || end > INT64_MAX)
        return tn_fail(writer->diag, TN_INVALID_ARGUMENT, "cannot write %s: %zu bytes at offset %" PRIu64 " are beyond any file",
                       writer->path, size_bytes, offset);
    for (size_t done = 0; done < size_bytes;) {
        ssize_t put = pwrite(writer->descriptor, (const uint8_t *)data + done, size_bytes - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno(writer->diag, "write", writer->path, errno);
        done += (size_t)put;
    }
    return TN_OK;
}

/* Without this the rename itself may be lost in a power cut. Not every file system can do it; the data is safe either way. */
static void sync_folder_of(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (length >= sizeof folder) return;
    memcpy(folder, path, length);
    folder[length] = '\0';
    int descriptor = open(length > 0 ? folder : (slash != NULL ? "/" : "."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    (void)fsync(descriptor);
    (void)close(descriptor);
}

tn_status tn_file_writer_commit(tn_file_writer *writer) {
    if (!writer->exists) return tn_fail(writer->diag, TN_INVALID_ARGUMENT, "cannot write %s: it was committed before", writer->path);
    if (fsync(writer->descriptor) != 0) return fail_errno(writer->diag, "write", writer->path, errno);
    int closed = close(writer->descriptor);
    int close_error = errno;
    writer->descriptor = -1;
    if (closed != 0 && close_error != EINTR) return fail_errno(writer->diag, "write", writer->path, close_error);
    if (rename(writer->temporary_path, writer->path) != 0) return fail_errno(writer->diag, "write", writer->path, errno);
    writer->exists = false;
    sync_folder_of(writer->path);
    return TN_OK;
}

void tn_file_writer_destroy(tn_file_writer *writer) {
    if (writer == NULL) return;
    if (writer->descriptor >= 0) (void)close(writer->descriptor);
    if (writer->exists) (void)unlink(writer->temporary_path);
    tn_free(writer->allocator, writer->temporary_path);
    tn_free(writer->allocator, writer->path);
    tn_free(writer->allocator, writer);
}
