/* SPDX-License-Identifier: Apache-2.0
 *
 * cache.c: names and housekeeping of the engine cache.
 */
#include "cli/cache.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"

static char *cache_folder(void) {
    tn_diag *diag;
    char *path = NULL;
    if (tn_diag_create(NULL, &diag) != TN_OK) return NULL;
    if (tn_cache_directory(NULL, diag, &path) != TN_OK) path = NULL;
    tn_diag_destroy(diag);
    return path;
}

/* Identity and samples of one file: its first 64 KB and 4 KB at 16 places. */
static bool add_file(tn_text *key, const char *path, tn_diag *diag) {
    tn_file file;
    if (tn_file_open(path, NULL, diag, &file) != TN_OK) return false;
    enum { HEAD_BYTES = 65536, SAMPLE_BYTES = 4096, NUM_SAMPLES = 16 };
    static _Thread_local uint8_t buffer[HEAD_BYTES];
    size_t head = file.size_bytes < HEAD_BYTES ? file.size_bytes : HEAD_BYTES;
    bool is_read = tn_file_read_at(&file, 0, buffer, head, diag) == TN_OK;
    uint64_t hash = tn_hash(buffer, head, 0);
    for (size_t i = 0; is_read && i < NUM_SAMPLES && file.size_bytes > HEAD_BYTES + SAMPLE_BYTES; i++) {
        uint64_t offset = (file.size_bytes - SAMPLE_BYTES) / NUM_SAMPLES * (i + 1);
        is_read = tn_file_read_at(&file, offset, buffer, SAMPLE_BYTES, diag) == TN_OK;
        hash = tn_hash(buffer, SAMPLE_BYTES, hash);
    }
    tn_text_append_format(key, "%llu %llu %zu %lld %016llx\n", (unsigned long long)file.device, (unsigned long long)file.inode,
                          file.size_bytes, (long long)file.mtime_ns, (unsigned long long)hash);
    tn_file_close(&file);
    return is_read && !key->failed;
}

static int is_model_part(const struct dirent *entry) {
    return tn_string_ends_with(entry->d_name, ".json") || tn_string_ends_with(entry->d_name, ".safetensors") ||
           tn_string_ends_with(entry->d_name, ".jinja");
}

static bool add_directory(tn_text *key, const char *path, tn_diag *diag) {
    struct dirent **entries;
    int count = scandir(path, &entries, is_model_part, alphasort);
    bool is_added = count > 0;
    for (int i = 0; i < count; i++) {
        char *file = tn_path_join(NULL, path, entries[i]->d_name);
        is_added = is_added && file != NULL && add_file(key, file, diag);
        tn_free(NULL, file);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return is_added;
}

char *tn_engine_cache_path(const tn_engine_args *args, const char *device_description) {
    char *folder = cache_folder(), *path = NULL;
    tn_diag *diag = NULL;
    tn_text key = {0};
    if (folder == NULL || tn_diag_create(NULL, &diag) != TN_OK) goto cleanup;
    const tn_model_options *model = &args->model;
    tn_text_append_format(&key, "tenon %s\n%s\n%s\n%lld %lld %lld %lld %lld %d %d %d %d %d\n", TN_VERSION, args->device, device_description,
                          (long long)model->max_seq_len, (long long)model->max_num_tokens, (long long)model->max_batch_size,
                          (long long)model->tokens_per_block, (long long)model->max_log_probs, (int)model->cache_dtype,
                          (int)model->float_dtype, (int)model->activations, (int)model->hidden_states, args->optimization_level);
    /* The program is part of the key: another build of one version may choose other defaults. */
    bool is_added = add_file(&key, "/proc/self/exe", diag);
    is_added = is_added && (tn_path_is_directory(args->path) ? add_directory(&key, args->path, diag) : add_file(&key, args->path, diag));
    if (!is_added) goto cleanup;
    tn_text name = {0};
    tn_text_append_format(&name, "%s/engines/%016llx", folder, (unsigned long long)tn_hash(key.data, key.size, 0));
    path = name.failed ? NULL : name.data;

cleanup:
    tn_text_deinit(&key);
    tn_diag_destroy(diag);
    tn_free(NULL, folder);
    return path;
}

char *tn_timing_cache_path(void) {
    tn_diag *diag;
    char *folder = cache_folder(), *path = NULL;
    if (folder != NULL && tn_diag_create(NULL, &diag) == TN_OK) {
        if (tn_make_directories(folder, diag) == TN_OK) path = tn_path_join(NULL, folder, "timing.cache");
        tn_diag_destroy(diag);
    }
    tn_free(NULL, folder);
    return path;
}

/* --- housekeeping -------------------------------------------------------------------------------------------------------------- */

typedef struct cached_engine {
    char *path;
    uint64_t size_bytes;
    int64_t used_s; /* seconds: the latest access or change of its files */
} cached_engine;

static const char *const engine_files[] = {"rank0.plan", "tokenizer.bin", "config.json"};

static cached_engine measure(const char *path) {
    cached_engine engine = {.path = tn_copy_string(NULL, path)};
    for (size_t i = 0; i < sizeof engine_files / sizeof *engine_files; i++) {
        char *file = tn_path_join(NULL, path, engine_files[i]);
        struct stat status;
        if (file != NULL && stat(file, &status) == 0) {
            engine.size_bytes += (uint64_t)status.st_size;
            int64_t used = (int64_t)(status.st_atim.tv_sec > status.st_mtim.tv_sec ? status.st_atim.tv_sec : status.st_mtim.tv_sec);
            if (used > engine.used_s) engine.used_s = used;
        }
        tn_free(NULL, file);
    }
    return engine;
}

static void remove_engine(const char *path) {
    for (size_t i = 0; i < sizeof engine_files / sizeof *engine_files; i++) {
        char *file = tn_path_join(NULL, path, engine_files[i]);
        if (file != NULL) unlink(file);
        tn_free(NULL, file);
    }
    rmdir(path);
}

static int compare_age(const void *a, const void *b) {
    const cached_engine *left = a, *right = b;
    return (left->used_s > right->used_s) - (left->used_s < right->used_s);
}

void tn_engine_cache_trim(const char *keep, size_t limit_bytes) {
    char *folder = cache_folder(), *engines_path = folder != NULL ? tn_path_join(NULL, folder, "engines") : NULL;
    TN_ARRAY(cached_engine) engines = {0};
    uint64_t total = 0;
    DIR *directory = engines_path != NULL ? opendir(engines_path) : NULL;
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        char *path = tn_path_join(NULL, engines_path, entry->d_name);
        if (path != NULL && tn_array_push(NULL, &engines, measure(path))) total += engines.data[engines.count - 1].size_bytes;
        tn_free(NULL, path);
    }
    if (directory != NULL) closedir(directory);
    if (engines.count > 1) qsort(engines.data, engines.count, sizeof *engines.data, compare_age);
    for (size_t i = 0; i < engines.count; i++) {
        bool is_removable = engines.data[i].path != NULL && strcmp(engines.data[i].path, keep) != 0;
        if (total > limit_bytes && is_removable) {
            remove_engine(engines.data[i].path);
            total -= engines.data[i].size_bytes;
        }
        tn_free(NULL, engines.data[i].path);
    }
    tn_array_deinit(NULL, &engines);
    tn_free(NULL, engines_path);
    tn_free(NULL, folder);
}
