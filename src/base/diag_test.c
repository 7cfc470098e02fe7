/* SPDX-License-Identifier: Apache-2.0
 *
 * diag_test.c: status names, diagnostics and how they are reported.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/report.h"
#include "support/fault_allocator.h"

static void every_status_has_its_own_name(void **state) {
    (void)state;
    for (int a = TN_OK; a <= TN_INTERNAL; a++) {
        assert_string_not_equal(tn_status_name((tn_status)a), "unknown status");
        for (int b = TN_OK; b < a; b++) assert_string_not_equal(tn_status_name((tn_status)a), tn_status_name((tn_status)b));
    }
    assert_string_equal(tn_status_name((tn_status)999), "unknown status");
}

static void failing_records_everything_and_returns_the_code(void **state) {
    (void)state;
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_where where = {.subject = "blk.0", .file = "a.gguf", .hint = "download it again", .has_offset = true, .offset = 17};
    assert_int_equal(tn_fail_at(diag, TN_INVALID_DATA, &where, "tensor has %d dimensions", 9), TN_INVALID_DATA);
    tn_warn(diag, NULL, "lowered to %s", "4,096");
    tn_info(diag, NULL, "retuned");
    assert_int_equal(tn_fail_memory(diag, "the index", 123), TN_OUT_OF_MEMORY);

    assert_int_equal(tn_diag_num_entries(diag), 4);
    tn_diag_entry entry;
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_OK);
    assert_int_equal(entry.severity, TN_SEVERITY_ERROR);
    assert_int_equal(entry.code, TN_INVALID_DATA);
    assert_string_equal(entry.message, "tensor has 9 dimensions");
    assert_string_equal(entry.subject, "blk.0");
    assert_string_equal(entry.file, "a.gguf");
    assert_string_equal(entry.hint, "download it again");
    assert_int_equal(entry.offset, 17);
    assert_int_equal(tn_diag_get(diag, 1, &entry), TN_OK);
    assert_int_equal(entry.severity, TN_SEVERITY_WARNING);
    assert_int_equal(entry.code, TN_OK);
    assert_string_equal(entry.message, "lowered to 4,096");
    assert_string_equal(entry.subject, "");
    assert_int_equal(entry.offset, -1);
    assert_int_equal(tn_diag_get(diag, 2, &entry), TN_OK);
    assert_int_equal(entry.severity, TN_SEVERITY_INFO);
    assert_int_equal(tn_diag_get(diag, 3, &entry), TN_OK);
    assert_string_equal(entry.message, "out of memory: the index needs 123 bytes");
    tn_diag_destroy(diag);
}

static void get_past_the_end_is_not_found_and_gives_empty_strings(void **state) {
    (void)state;
    tn_diag *diag;
    tn_diag_entry entry;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_diag_get(diag, 0, &entry), TN_NOT_FOUND);
    assert_string_equal(entry.message, "");
    assert_int_equal(entry.offset, -1);
    assert_int_equal(tn_diag_get(NULL, 0, &entry), TN_NOT_FOUND);
    assert_int_equal(tn_diag_num_entries(NULL), 0);
    tn_diag_destroy(diag);
    tn_diag_destroy(NULL);
}

static void clear_forgets_entries_and_gives_their_memory_back(void **state) {
    (void)state;
    tn_fault_allocator fault;
    tn_fault_allocator_init(&fault, 0);
    tn_diag *diag;
    assert_int_equal(tn_diag_create(&fault.allocator, &diag), TN_OK);
    for (int i = 0; i < 100; i++) tn_warn(diag, NULL, "number %d", i);
    assert_int_equal(tn_diag_num_entries(diag), 100);
    tn_diag_clear(diag);
    assert_int_equal(tn_diag_num_entries(diag), 0);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 1);
    tn_warn(diag, NULL, "again");
    assert_int_equal(tn_diag_num_entries(diag), 1);
    tn_diag_destroy(diag);
    assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
}

static void entries_do_not_move_when_more_are_reported(void **state) {
    (void)state;
    tn_diag *diag;
    tn_diag_entry first;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    tn_warn(diag, NULL, "first");
    assert_int_equal(tn_diag_get(diag, 0, &first), TN_OK);
    for (int i = 0; i < 1000; i++) tn_warn(diag, NULL, "%d", i);
    tn_diag_entry again;
    assert_int_equal(tn_diag_get(diag, 0, &again), TN_OK);
    assert_ptr_equal(first.message, again.message);
    assert_string_equal(first.message, "first");
    tn_diag_destroy(diag);
}

static void entry_without_memory_is_counted_as_dropped(void **state) {
    (void)state;
    for (size_t n = 1; n <= 3; n++) {
        tn_fault_allocator fault;
        tn_fault_allocator_init(&fault, n); /* 1: the diag, 2: the record, 3: the array of records */
        tn_diag *diag;
        tn_status status = tn_diag_create(&fault.allocator, &diag);
        if (n == 1) {
            assert_int_equal(status, TN_OUT_OF_MEMORY);
            assert_null(diag);
        } else {
            assert_int_equal(status, TN_OK);
            assert_int_equal(tn_fail(diag, TN_INVALID_DATA, "lost"), TN_INVALID_DATA);
            assert_int_equal(tn_diag_num_entries(diag), 0);
            assert_int_equal(tn_diag_num_dropped(diag), 1);
            tn_warn(diag, NULL, "kept");
            assert_int_equal(tn_diag_num_entries(diag), 1);
        }
        tn_diag_destroy(diag);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
    }
}

enum { NUM_THREADS = 4, NUM_REPORTS = 500 };

static void *report_many(void *diag) {
    for (int i = 0; i < NUM_REPORTS; i++) tn_warn(diag, NULL, "report %d", i);
    return NULL;
}

static void many_threads_may_report_at_once(void **state) {
    (void)state;
    tn_diag *diag;
    pthread_t threads[NUM_THREADS];
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    for (int i = 0; i < NUM_THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, report_many, diag), 0);
    for (int i = 0; i < NUM_THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(tn_diag_num_entries(diag), NUM_THREADS * NUM_REPORTS);
    tn_diag_destroy(diag);
}

static void without_a_diag_errors_and_warnings_go_to_stderr_and_infos_nowhere(void **state) {
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    (void)fflush(stderr);
    int kept = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    tn_where where = {.hint = "try again"};
    tn_status status = tn_fail_at(NULL, TN_IO_ERROR, &where, "cannot open %s", "x");
    tn_warn(NULL, NULL, "careful");
    tn_info(NULL, NULL, "unheard");
    (void)fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);

    char text[200] = "";
    rewind(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    fclose(file);
    assert_int_equal(status, TN_IO_ERROR);
    assert_string_equal(text, "tenon: cannot open x\n  try again\ntenon: warning: careful\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_name),
        cmocka_unit_test(failing_records_everything_and_returns_the_code),
        cmocka_unit_test(get_past_the_end_is_not_found_and_gives_empty_strings),
        cmocka_unit_test(clear_forgets_entries_and_gives_their_memory_back),
        cmocka_unit_test(entries_do_not_move_when_more_are_reported),
        cmocka_unit_test(entry_without_memory_is_counted_as_dropped),
        cmocka_unit_test(many_threads_may_report_at_once),
        cmocka_unit_test(without_a_diag_errors_and_warnings_go_to_stderr_and_infos_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
