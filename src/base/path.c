/* SPDX-License-Identifier: Apache-2.0
 *
 * path.c: names of files and folders; declared in file.h.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"

bool tn_path_is_directory(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool tn_path_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

char *tn_path_join(const tn_allocator *allocator, const char *directory, const char *name) {
    size_t directory_length = strlen(directory), name_length = strlen(name);
    bool slash = directory_length > 0 && directory[directory_length - 1] != '/';
    char *path = tn_alloc(allocator, directory_length + slash + name_length + 1);
    if (path == NULL) return NULL;
    memcpy(path, directory, directory_length);
    if (slash) path[directory_length] = '/';
    memcpy(path + directory_length + slash, name, name_length + 1);
    return path;
}

static tn_status fail_make(tn_diag *diag, const char *path, int error_number) {
    const char *text = strerrordesc_np(error_number);
    tn_where where = {.file = path};
    return tn_fail_at(diag, TN_IO_ERROR, &where, "cannot make the folder %s: %s", path, text != NULL ? text : "unknown error");
}

tn_status tn_make_directories(const char *path, tn_diag *diag) {
    char partial[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0) return fail_make(diag, path, ENOENT);
    if (length >= sizeof partial) return fail_make(diag, path, ENAMETOOLONG);
    memcpy(partial, path, length + 1);
    for (char *slash = strchr(partial + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL) *slash = '\0';
        if (mkdir(partial, 0700) != 0 && !tn_path_is_directory(partial)) return fail_make(diag, partial, errno);
        if (slash == NULL) return TN_OK;
        *slash = '/';
    }
}

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

tn_status tn_cache_directory(const tn_allocator *allocator, tn_diag *diag, char **out_path) {
    *out_path = NULL;
    const char *folder = environment("TENON_CACHE"), *below = NULL;
    if (folder == NULL) {
        below = "tenon";
        folder = environment("XDG_CACHE_HOME");
        if (folder != NULL && folder[0] != '/') folder = NULL; /* the XDG rule: a relative path is ignored */
    }
    if (folder == NULL) {
        below = ".cache/tenon";
        folder = environment("HOME");
    }
    if (folder == NULL) {
        tn_where where = {.hint = "set TENON_CACHE to a folder where built engines may be kept"};
        return tn_fail_at(diag, TN_NOT_FOUND, &where, "cannot find a cache folder: none of TENON_CACHE, XDG_CACHE_HOME, HOME is set");
    }
    *out_path = below != NULL ? tn_path_join(allocator, folder, below) : tn_copy_string(allocator, folder);
    return *out_path != NULL ? TN_OK : tn_fail_memory(diag, "the cache folder's name", strlen(folder) + sizeof ".cache/tenon" + 1);
}
