/* SPDX-License-Identifier: Apache-2.0
 *
 * file_test.c: reading, mapping, all-or-nothing writing, folders. Every test has a temporary folder of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "support/fault_allocator.h"

typedef struct fixture {
    char folder[64];
    char path[128]; /* "<folder>/file", not made */
    tn_diag *diag;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/tenon-file-test-XXXXXX");
    if (mkdtemp(f->folder) == NULL) return -1;
    (void)snprintf(f->path, sizeof f->path, "%s/file", f->folder);
    return tn_diag_create(NULL, &f->diag) == TN_OK ? 0 : -1;
}

static int num_files_in(const char *folder) {
    int count = 0;
    DIR *directory = opendir(folder);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static int tear_down(void **state) {
    fixture *f = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", f->folder);
    int result = system(command);
    tn_diag_destroy(f->diag);
    free(f);
    return result;
}

static void put_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static const char *last_message(const fixture *f) {
    tn_diag_entry entry;
    assert_true(tn_diag_num_entries(f->diag) > 0);
    assert_int_equal(tn_diag_get(f->diag, tn_diag_num_entries(f->diag) - 1, &entry), TN_OK);
    return entry.message;
}

static void file_is_read_mapped_and_closed(void **state) {
    fixture *f = *state;
    put_file(f->path, "0123456789", 10);
    tn_file file;
    char bytes[4];
    assert_int_equal(tn_file_open(f->path, NULL, f->diag, &file), TN_OK);
    assert_int_equal(file.size_bytes, 10);
    assert_true(file.inode != 0 && file.mtime_ns > 0);
    assert_int_equal(tn_file_read_at(&file, 6, bytes, 4, f->diag), TN_OK);
    assert_memory_equal(bytes, "6789", 4);
    assert_int_equal(tn_file_map(&file, f->diag), TN_OK);
    assert_memory_equal(file.data, "0123456789", 10);
    tn_file_close(&file);
    assert_int_equal(file.descriptor, -1);
    tn_file_close(&file);
    assert_int_equal(tn_diag_num_entries(f->diag), 0);
}

static void closing_a_zeroed_struct_leaves_standard_input_open(void **state) {
    (void)state;
    struct stat info;
    int had_input = fstat(0, &info);
    tn_file file = {0};
    tn_file_close(&file);
    assert_int_equal(fstat(0, &info), had_input);
}

static void reading_past_the_end_is_invalid_data(void **state) {
    fixture *f = *state;
    put_file(f->path, "0123456789", 10);
    tn_file file;
    char bytes[20];
    static const uint64_t offsets[] = {7, 10, 11, INT64_MAX, UINT64_MAX};
    assert_int_equal(tn_file_open(f->path, NULL, f->diag, &file), TN_OK);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++)
        assert_int_equal(tn_file_read_at(&file, offsets[i], bytes, 4, f->diag), TN_INVALID_DATA);
    assert_int_equal(tn_file_read_at(&file, 10, bytes, 0, f->diag), TN_OK);
    tn_file_close(&file);
}

static void file_that_shrank_after_opening_is_an_error_and_no_signal(void **state) {
    fixture *f = *state;
    put_file(f->path, "0123456789", 10);
    tn_file file;
    char bytes[10];
    assert_int_equal(tn_file_open(f->path, NULL, f->diag, &file), TN_OK);
    assert_int_equal(truncate(f->path, 3), 0);
    assert_int_equal(tn_file_read_at(&file, 0, bytes, 10, f->diag), TN_INVALID_DATA);
    tn_file_close(&file);
}

static void what_is_no_regular_file_is_refused(void **state) {
    fixture *f = *state;
    tn_file file;
    assert_int_equal(tn_file_open(f->path, NULL, f->diag, &file), TN_NOT_FOUND);
    assert_non_null(strstr(last_message(f), "No such file"));
    assert_int_equal(file.descriptor, -1);
    assert_int_equal(tn_file_open(f->folder, NULL, f->diag, &file), TN_INVALID_DATA);
    assert_non_null(strstr(last_message(f), "a directory"));
    assert_int_equal(tn_file_open("/dev/null", NULL, f->diag, &file), TN_INVALID_DATA);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(tn_file_open(f->path, NULL, f->diag, &file), TN_INVALID_DATA); /* and does not wait for a writer */
}

static void empty_file_maps_to_a_valid_pointer(void **state) {
    fixture *f = *state;
    put_file(f->path, "", 0);
    tn_file file;
    assert_int_equal(tn_file_open(f->path, NULL, f->diag, &file), TN_OK);
    assert_int_equal(tn_file_map(&file, f->diag), TN_OK);
    assert_non_null(file.data);
    tn_file_close(&file);
}

static void whole_file_is_read_up_to_the_limit(void **state) {
    fixture *f = *state;
    char *data;
    size_t size;
    put_file(f->path, "0123456789", 10);
    assert_int_equal(tn_file_read_all(f->path, 10, NULL, f->diag, &data, &size), TN_OK);
    assert_int_equal(size, 10);
    assert_string_equal(data, "0123456789");
    tn_free(NULL, data);
    assert_int_equal(tn_file_read_all(f->path, 9, NULL, f->diag, &data, &size), TN_INVALID_DATA);
    assert_null(data);
    assert_int_equal(size, 0);
    assert_non_null(strstr(last_message(f), "it has 10 bytes, at most 9 are allowed"));
}

static void each_failed_allocation_while_reading_is_reported_without_a_leak(void **state) {
    fixture *f = *state;
    put_file(f->path, "0123456789", 10);
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        char *data;
        size_t size;
        tn_status status = tn_file_read_all(f->path, 100, &fault.allocator, f->diag, &data, &size);
        tn_free(&fault.allocator, data);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            break;
        }
        assert_int_equal(status, TN_OUT_OF_MEMORY);
    }
}

static void committed_file_has_all_bytes_and_the_umask_decides_its_mode(void **state) {
    fixture *f = *state;
    tn_file_writer *writer;
    put_file(f->path, "old", 3);
    mode_t mask = umask(022);
    assert_int_equal(tn_file_writer_create(f->path, NULL, f->diag, &writer), TN_OK);
    assert_int_equal(tn_file_writer_write_at(writer, 4, "tail", 4), TN_OK);
    assert_int_equal(tn_file_writer_write_at(writer, 0, "head", 4), TN_OK);
    assert_int_equal(tn_file_writer_commit(writer), TN_OK);
    assert_int_equal(tn_file_writer_commit(writer), TN_INVALID_ARGUMENT);
    tn_file_writer_destroy(writer);
    umask(mask);
    char *data;
    size_t size;
    assert_int_equal(tn_file_read_all(f->path, 100, NULL, f->diag, &data, &size), TN_OK);
    assert_string_equal(data, "headtail");
    tn_free(NULL, data);
    assert_int_equal(num_files_in(f->folder), 1);
    struct stat info;
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644);
}

static void destroyed_writer_leaves_the_old_file_and_nothing_else(void **state) {
    fixture *f = *state;
    tn_file_writer *writer;
    put_file(f->path, "old", 3);
    assert_int_equal(tn_file_writer_create(f->path, NULL, f->diag, &writer), TN_OK);
    assert_int_equal(tn_file_writer_write_at(writer, 0, "new", 3), TN_OK);
    assert_int_equal(tn_file_writer_write_at(writer, UINT64_MAX - 1, "new", 3), TN_INVALID_ARGUMENT);
    tn_file_writer_destroy(writer);
    tn_file_writer_destroy(NULL);
    char *data;
    size_t size;
    assert_int_equal(tn_file_read_all(f->path, 100, NULL, f->diag, &data, &size), TN_OK);
    assert_string_equal(data, "old");
    tn_free(NULL, data);
    assert_int_equal(num_files_in(f->folder), 1);
}

static void a_symbolic_link_is_replaced_and_what_it_points_to_stays(void **state) {
    fixture *f = *state;
    char victim[128];
    (void)snprintf(victim, sizeof victim, "%s/victim", f->folder);
    put_file(victim, "mine", 4);
    assert_int_equal(symlink(victim, f->path), 0);
    tn_file_writer *writer;
    assert_int_equal(tn_file_writer_create(f->path, NULL, f->diag, &writer), TN_OK);
    assert_int_equal(tn_file_writer_write_at(writer, 0, "new", 3), TN_OK);
    assert_int_equal(tn_file_writer_commit(writer), TN_OK);
    tn_file_writer_destroy(writer);
    char *data;
    size_t size;
    assert_int_equal(tn_file_read_all(victim, 100, NULL, f->diag, &data, &size), TN_OK);
    assert_string_equal(data, "mine");
    tn_free(NULL, data);
    struct stat info;
    assert_int_equal(lstat(f->path, &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_int_equal(info.st_size, 3);
}

enum { NUM_WRITERS = 4, NUM_WRITES = 25, WRITTEN_BYTES = 20000 };

/* Writes whole files of one letter each, in two halves. */
typedef struct letter_writer {
    const char *path;
    char letter;
    bool is_ok;
} letter_writer;

static void *write_letters(void *user) {
    letter_writer *self = user;
    char half[WRITTEN_BYTES / 2];
    memset(half, self->letter, sizeof half);
    self->is_ok = true;
    for (int i = 0; i < NUM_WRITES; i++) {
        tn_file_writer *writer;
        self->is_ok = self->is_ok && tn_file_writer_create(self->path, NULL, NULL, &writer) == TN_OK;
        if (!self->is_ok) return NULL;
        self->is_ok = tn_file_writer_write_at(writer, sizeof half, half, sizeof half) == TN_OK &&
                      tn_file_writer_write_at(writer, 0, half, sizeof half) == TN_OK && tn_file_writer_commit(writer) == TN_OK;
        tn_file_writer_destroy(writer);
    }
    return NULL;
}

static void of_concurrent_writers_each_leaves_a_whole_file(void **state) {
    fixture *f = *state;
    pthread_t threads[NUM_WRITERS];
    letter_writer writers[NUM_WRITERS];
    put_file(f->path, "", 0);
    for (int i = 0; i < NUM_WRITERS; i++) {
        writers[i] = (letter_writer){.path = f->path, .letter = (char)('a' + i)};
        assert_int_equal(pthread_create(&threads[i], NULL, write_letters, &writers[i]), 0);
    }
    for (int i = 0; i < 100; i++) { /* a reader beside them sees the old file or a new one */
        char *data;
        size_t size;
        assert_int_equal(tn_file_read_all(f->path, WRITTEN_BYTES, NULL, f->diag, &data, &size), TN_OK);
        assert_true(size == 0 || size == WRITTEN_BYTES);
        for (size_t k = 1; k < size; k++) assert_int_equal(data[k], data[0]);
        tn_free(NULL, data);
    }
    for (int i = 0; i < NUM_WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(writers[i].is_ok);
    }
    assert_int_equal(num_files_in(f->folder), 1);
}

static void writing_where_no_file_can_be_is_refused(void **state) {
    fixture *f = *state;
    tn_file_writer *writer;
    assert_int_equal(tn_file_writer_create(f->folder, NULL, f->diag, &writer), TN_INVALID_ARGUMENT);
    assert_null(writer);
    assert_int_equal(tn_file_writer_create("/dev/null", NULL, f->diag, &writer), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_file_writer_create("/nonexistent/folder/file", NULL, f->diag, &writer), TN_NOT_FOUND);
    for (size_t n = 1; n <= 3; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n);
        assert_int_equal(tn_file_writer_create(f->path, &fault.allocator, f->diag, &writer), TN_OUT_OF_MEMORY);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
    }
    assert_int_equal(num_files_in(f->folder), 0);
}

static void folders_are_made_with_their_parents(void **state) {
    fixture *f = *state;
    char deep[160];
    (void)snprintf(deep, sizeof deep, "%s/a/b//c/", f->folder);
    assert_int_equal(tn_make_directories(deep, f->diag), TN_OK);
    assert_true(tn_path_is_directory(deep));
    assert_int_equal(tn_make_directories(deep, f->diag), TN_OK);
    put_file(f->path, "", 0);
    assert_false(tn_path_is_directory(f->path));
    assert_true(tn_path_exists(f->path));
    (void)snprintf(deep, sizeof deep, "%s/below", f->path);
    assert_int_equal(tn_make_directories(deep, f->diag), TN_IO_ERROR);
    assert_int_equal(tn_make_directories("", f->diag), TN_IO_ERROR);
}

static void paths_are_joined_with_one_slash(void **state) {
    (void)state;
    static const char *const cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = tn_path_join(NULL, cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        tn_free(NULL, path);
    }
}

static void cache_is(const char *tenon, const char *xdg, const char *home, tn_diag *diag, const char *expected) {
    const char *values[3] = {tenon, xdg, home};
    static const char *const names[3] = {"TENON_CACHE", "XDG_CACHE_HOME", "HOME"};
    for (int i = 0; i < 3; i++) {
        if (values[i] != NULL) {
            setenv(names[i], values[i], 1);
        } else {
            unsetenv(names[i]);
        }
    }
    char *path;
    tn_status status = tn_cache_directory(NULL, diag, &path);
    assert_int_equal(status, expected != NULL ? TN_OK : TN_NOT_FOUND);
    if (expected != NULL) assert_string_equal(path, expected);
    tn_free(NULL, path);
}

static void cache_folder_follows_the_environment(void **state) {
    fixture *f = *state;
    cache_is("/t", "/x", "/h", f->diag, "/t");
    cache_is(NULL, "/x", "/h", f->diag, "/x/tenon");
    cache_is("", "relative", "/h", f->diag, "/h/.cache/tenon");
    cache_is(NULL, NULL, "", f->diag, NULL);
    assert_non_null(strstr(last_message(f), "TENON_CACHE"));
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
    const struct CMUnitTest tests[] = {
        FILE_TEST(file_is_read_mapped_and_closed),
        FILE_TEST(closing_a_zeroed_struct_leaves_standard_input_open),
        FILE_TEST(reading_past_the_end_is_invalid_data),
        FILE_TEST(file_that_shrank_after_opening_is_an_error_and_no_signal),
        FILE_TEST(what_is_no_regular_file_is_refused),
        FILE_TEST(empty_file_maps_to_a_valid_pointer),
        FILE_TEST(whole_file_is_read_up_to_the_limit),
        FILE_TEST(each_failed_allocation_while_reading_is_reported_without_a_leak),
        FILE_TEST(committed_file_has_all_bytes_and_the_umask_decides_its_mode),
        FILE_TEST(destroyed_writer_leaves_the_old_file_and_nothing_else),
        FILE_TEST(a_symbolic_link_is_replaced_and_what_it_points_to_stays),
        FILE_TEST(of_concurrent_writers_each_leaves_a_whole_file),
        FILE_TEST(writing_where_no_file_can_be_is_refused),
        FILE_TEST(folders_are_made_with_their_parents),
        FILE_TEST(paths_are_joined_with_one_slash),
        FILE_TEST(cache_folder_follows_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
